/*
 * sim_crash.c - every disk that a power loss may leave, or a good choice of them.
 *
 * What is pending is cut into pieces, one for each effect and each operation on a name, in the
 * order of issue over the whole disk; and a piece into units: the sectors of a write and the length
 * it gives the file, one unit for anything else. A candidate is a state for each unit. Candidates
 * have numbers, so that the n-th can be made without the others:
 *
 *     none, all
 *     few units:        every subset of the units
 *     few pieces:       every subset of the pieces
 *     else:             each prefix of the pieces, each piece alone, all but each piece
 *     for each write:   torn in ten ways, as the last thing that happened and among all the rest
 *     unless few units: subsets by chance
 *
 * If there are more than the caller wants, the numbers are walked in a seeded order that hits each
 * once. Two candidates often leave the same disk (a lost file, kept bytes in it); only the first of
 * them is handed out.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"

enum unit_state { UNIT_LOST = 0, UNIT_KEPT, UNIT_ZEROS, UNIT_GARBAGE };

struct piece {
    uint64_t seq;
    struct fr_sim_effect *effect; /* or */
    struct fr_sim_name_op *op;
    const struct fr_sim_inode *dir; /* of op */
    size_t first;                   /* unit */
    size_t sectors;                 /* of a write, else 0 */
    size_t units;
    size_t grown; /* sectors that the kept length covers, if not all; 0: all */
};

/* The later operation cannot be kept without the earlier one. Pieces by number. */
struct need {
    size_t later;
    size_t earlier;
};

struct fr_sim_crash {
    /* Constant after open. */
    struct fr_sim_crash_options options;
    uint64_t seed;
    struct fr_sim_image model; /* everything of an image but its disk */
    struct fr_sim_disk disk;
    struct piece *pieces; /* in the order of issue */
    size_t piece_count;
    size_t unit_count;
    struct need *needs; /* by the later one */
    size_t need_count;
    size_t *writes; /* the pieces that can be torn */
    size_t write_count;
    uint64_t candidate_count;
    uint64_t stride; /* of the walk; 0: in order */
    uint64_t start;

    /* The candidate at hand. */
    uint8_t *states;
    char origin[64];

    uint64_t at; /* candidates made */
    uint64_t emitted;
    uint64_t *seen; /* hashes of images, in a table with room; 0 is an empty slot */
    size_t seen_slots;
};

/* --- Choosing -------------------------------------------------------------------------------- */

static bool is_kept(const struct fr_sim_crash *crash, size_t piece)
{
    return crash->states[crash->pieces[piece].first] != UNIT_LOST;
}

static void set_piece(struct fr_sim_crash *crash, size_t piece, enum unit_state state)
{
    const struct piece *p = &crash->pieces[piece];

    memset(crash->states + p->first, state, p->units);
}

static void set_all(struct fr_sim_crash *crash, enum unit_state state)
{
    memset(crash->states, state, crash->unit_count);
    for (size_t i = 0; i < crash->piece_count; i++)
        crash->pieces[i].grown = 0;
}

/* Lose what cannot be without something that is lost; needs are in order, so chains fall. */
static void drop_impossible(struct fr_sim_crash *crash)
{
    for (size_t i = 0; i < crash->need_count; i++)
        if (!is_kept(crash, crash->needs[i].earlier))
            set_piece(crash, crash->needs[i].later, UNIT_LOST);
}

/* Keep what something that is kept cannot be without. */
static void pull_needed(struct fr_sim_crash *crash)
{
    for (size_t i = crash->need_count; i-- > 0;)
        if (is_kept(crash, crash->needs[i].later))
            set_piece(crash, crash->needs[i].earlier, UNIT_KEPT);
}

static void choose_unit_subset(struct fr_sim_crash *crash, uint64_t bits)
{
    for (size_t i = 0; i < crash->unit_count; i++)
        crash->states[i] = bits >> i & 1 ? UNIT_KEPT : UNIT_LOST;
    snprintf(crash->origin, sizeof(crash->origin), "units 0x%" PRIx64, bits);
}

static void choose_piece_subset(struct fr_sim_crash *crash, uint64_t bits)
{
    for (size_t i = 0; i < crash->piece_count; i++)
        if (bits >> i & 1) set_piece(crash, i, UNIT_KEPT);
    snprintf(crash->origin, sizeof(crash->origin), "pieces 0x%" PRIx64, bits);
}

static void choose_prefix(struct fr_sim_crash *crash, uint64_t count)
{
    for (size_t i = 0; i < count; i++)
        set_piece(crash, i, UNIT_KEPT);
    snprintf(crash->origin, sizeof(crash->origin), "the first %" PRIu64, count);
}

static void choose_systematic(struct fr_sim_crash *crash, uint64_t number)
{
    uint64_t piece = number / 3;

    if (number % 3 == 0) {
        choose_prefix(crash, piece);
    } else if (number % 3 == 1) {
        set_piece(crash, (size_t)piece, UNIT_KEPT);
        pull_needed(crash);
        snprintf(crash->origin, sizeof(crash->origin), "only %" PRIu64, piece);
    } else {
        set_all(crash, UNIT_KEPT);
        set_piece(crash, (size_t)piece, UNIT_LOST);
        snprintf(crash->origin, sizeof(crash->origin), "all but %" PRIu64, piece);
    }
}

/* --- Tearing --------------------------------------------------------------------------------- */

/* How one write is torn; the names are what is kept of it. */
enum tear {
    TEAR_FIRST,        /* the first sector, and the length */
    TEAR_HALF,         /* the first half, and the length */
    TEAR_BUT_LAST,     /* all but the last sector, and the length */
    TEAR_SECOND_HALF,  /* and the length */
    TEAR_HOLE,         /* all but one sector in the middle */
    TEAR_LAST_ZEROS,   /* all, but the last sector as zeros */
    TEAR_LAST_GARBAGE, /* all, but the last sector as garbage */
    TEAR_SHORT,        /* the first half, and a length that ends with it */
    TEAR_LENGTH,       /* the length and no bytes */
    TEAR_BYTES,        /* the bytes and no length */
    TEAR_COUNT
};

static const char *const tear_names[TEAR_COUNT] = {
        "the first sector",
        "the first half",
        "all but the last sector",
        "the second half",
        "all but a hole",
        "all, the last sector zeros",
        "all, the last sector garbage",
        "the first half and a shorter length",
        "the length only",
        "the bytes only",
};

static void set_sectors(struct fr_sim_crash *crash, const struct piece *p, size_t from, size_t to,
        enum unit_state state)
{
    memset(crash->states + p->first + from, state, to - from);
}

static void tear_piece(struct fr_sim_crash *crash, struct piece *p, enum tear tear)
{
    size_t n = p->sectors;
    bool garbage = !crash->options.no_garbage;

    switch (tear) {
    case TEAR_FIRST:
        set_sectors(crash, p, 1, n, UNIT_LOST);
        break;
    case TEAR_HALF:
    case TEAR_SHORT:
        set_sectors(crash, p, (n + 1) / 2, n, UNIT_LOST);
        if (tear == TEAR_SHORT) p->grown = (n + 1) / 2;
        break;
    case TEAR_BUT_LAST:
        set_sectors(crash, p, n - 1, n, UNIT_LOST);
        break;
    case TEAR_SECOND_HALF:
        set_sectors(crash, p, 0, n / 2, UNIT_LOST);
        break;
    case TEAR_HOLE:
        set_sectors(crash, p, n / 2, n / 2 + 1, UNIT_LOST);
        break;
    case TEAR_LAST_ZEROS:
        if (garbage) set_sectors(crash, p, n - 1, n, UNIT_ZEROS);
        break;
    case TEAR_LAST_GARBAGE:
        if (garbage) set_sectors(crash, p, n - 1, n, UNIT_GARBAGE);
        break;
    case TEAR_LENGTH:
        set_sectors(crash, p, 0, n, UNIT_LOST);
        break;
    case TEAR_BYTES:
        set_sectors(crash, p, n, p->units, UNIT_LOST);
        break;
    case TEAR_COUNT:
        break;
    }
}

static void choose_tear(struct fr_sim_crash *crash, uint64_t number)
{
    size_t piece = crash->writes[number / (2 * (uint64_t)TEAR_COUNT)];
    enum tear tear = (enum tear)(number % TEAR_COUNT);
    bool last = number / TEAR_COUNT % 2 == 0;

    if (last)
        choose_prefix(crash, piece + 1);
    else
        set_all(crash, UNIT_KEPT);
    tear_piece(crash, &crash->pieces[piece], tear);
    snprintf(crash->origin, sizeof(crash->origin), "%s %zu torn: %s", last ? "up to" : "all,",
            piece, tear_names[tear]);
}

/* --- Chance ---------------------------------------------------------------------------------- */

/* With a share of garbage at the end of what is kept of a write: that is where a write was cut. */
static void spoil_last(struct fr_sim_crash *crash, const struct piece *p, struct fr_rng *rng)
{
    size_t last = p->sectors;

    if (crash->options.no_garbage || !fr_rng_one_in(rng, 8)) return;
    while (last > 0 && crash->states[p->first + last - 1] == UNIT_LOST)
        last--;
    if (last > 0)
        crash->states[p->first + last - 1] = fr_rng_one_in(rng, 2) ? UNIT_ZEROS : UNIT_GARBAGE;
}

static void sample_piece(struct fr_sim_crash *crash, struct piece *p, uint64_t odds,
        struct fr_rng *rng)
{
    bool whole = p->units == 1 || fr_rng_one_in(rng, 2);
    bool kept = fr_rng_below(rng, 4) < odds;

    for (size_t i = 0; i < p->units; i++) {
        if (!whole) kept = fr_rng_below(rng, 4) < odds;
        crash->states[p->first + i] = kept ? UNIT_KEPT : UNIT_LOST;
    }
    if (!whole && p->sectors > 0 && fr_rng_one_in(rng, 4))
        p->grown = (size_t)fr_rng_between(rng, 1, p->sectors);
    if (p->sectors > 0) spoil_last(crash, p, rng);
}

static void choose_sample(struct fr_sim_crash *crash, uint64_t number)
{
    struct fr_rng rng;

    fr_rng_init(&rng, fr_mix64(crash->seed ^ fr_mix64(number)));
    uint64_t odds = fr_rng_between(&rng, 1, 3);
    for (size_t i = 0; i < crash->piece_count; i++)
        sample_piece(crash, &crash->pieces[i], odds, &rng);
    snprintf(crash->origin, sizeof(crash->origin), "sample %" PRIu64, number);
}

/* --- Numbers --------------------------------------------------------------------------------- */

static uint64_t tear_count(const struct fr_sim_crash *crash)
{
    return (uint64_t)crash->write_count * TEAR_COUNT * 2;
}

static uint64_t systematic_count(const struct fr_sim_crash *crash)
{
    unsigned most = crash->options.exhaustive_max;

    if (crash->unit_count <= most) return UINT64_C(1) << crash->unit_count;
    if (crash->piece_count <= most) return UINT64_C(1) << crash->piece_count;
    return (uint64_t)crash->piece_count * 3;
}

static void choose(struct fr_sim_crash *crash, uint64_t number)
{
    unsigned most = crash->options.exhaustive_max;

    set_all(crash, number == 1 ? UNIT_KEPT : UNIT_LOST);
    snprintf(crash->origin, sizeof(crash->origin), number == 1 ? "all" : "none");
    if (number < 2) return;

    number -= 2;
    if (number >= systematic_count(crash)) {
        number -= systematic_count(crash);
        if (number < tear_count(crash))
            choose_tear(crash, number);
        else
            choose_sample(crash, number - tear_count(crash));
    } else if (crash->unit_count <= most) {
        choose_unit_subset(crash, number);
    } else if (crash->piece_count <= most) {
        choose_piece_subset(crash, number);
    } else {
        choose_systematic(crash, number);
    }
    drop_impossible(crash);
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Count the candidates; and if they are too many, choose an order in which to walk them. */
static void number_candidates(struct fr_sim_crash *crash)
{
    uint64_t n = systematic_count(crash) + tear_count(crash);

    if (crash->unit_count > crash->options.exhaustive_max) n += crash->options.samples_max;
    crash->candidate_count = n + 2;
    if (crash->options.images_max == 0 || crash->candidate_count <= crash->options.images_max)
        return;
    struct fr_rng rng;
    fr_rng_init(&rng, crash->seed);
    crash->start = fr_rng_below(&rng, n);
    crash->stride = fr_rng_between(&rng, 1, n);
    while (gcd(crash->stride, n) != 1)
        crash->stride++;
}

static uint64_t candidate_at(const struct fr_sim_crash *crash, uint64_t index)
{
    __extension__ typedef unsigned __int128 u128;
    uint64_t n = crash->candidate_count - 2;

    if (crash->stride == 0 || index < 2) return index;
    return 2 + (uint64_t)(((u128)crash->stride * (index - 2) + crash->start) % n);
}

/* --- From a choice to a disk ----------------------------------------------------------------- */

static int fold_sector(const struct fr_sim_crash *crash, const struct fr_sim_effect *effect,
        size_t index, enum unit_state state, struct fr_sim_bytes *bytes)
{
    struct fr_sim_span span = fr_sim_effect_sector(effect, index);
    uint8_t made_up[FR_SIM_SECTOR_SIZE] = {0};
    const uint8_t *data = effect->blob->bytes + span.at;

    if (state == UNIT_GARBAGE) {
        struct fr_rng rng;
        fr_rng_init(&rng, fr_mix64(crash->seed ^ fr_mix64(effect->seq) ^ index));
        fr_rng_fill(&rng, made_up, span.size);
    }
    if (state != UNIT_KEPT) data = made_up;
    return fr_sim_bytes_write(bytes, span.offset, data, span.size);
}

static uint64_t kept_end(const struct fr_sim_effect *effect, const struct piece *p)
{
    if (p->grown == 0) return effect->offset + effect->size;
    struct fr_sim_span span = fr_sim_effect_sector(effect, p->grown - 1);
    return span.offset + span.size;
}

static int fold_write(const struct fr_sim_crash *crash, const struct fr_sim_effect *effect,
        struct fr_sim_bytes *bytes)
{
    const struct piece *p = &crash->pieces[effect->piece];
    const uint8_t *states = crash->states + p->first;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < p->sectors; i++)
        if (states[i] != UNIT_LOST)
            rc = fold_sector(crash, effect, i, (enum unit_state)states[i], bytes);
    if (effect->grows && states[p->sectors] != UNIT_LOST)
        bytes->size = FR_MAX(bytes->size, kept_end(effect, p));
    return rc;
}

/* Bytes that landed beyond the length are invisible, unless a later effect brings the length. */
static int fold_file(const struct fr_sim_crash *crash, struct fr_sim_inode *inode)
{
    int rc = 0;

    for (const struct fr_sim_effect *e = inode->effects; rc == 0 && e != NULL; e = e->next) {
        if (!e->durable && e->kind == FR_SIM_EFFECT_WRITE)
            rc = fold_write(crash, e, &inode->durable);
        else if (e->durable || is_kept(crash, e->piece))
            rc = fr_sim_effect_apply(e, &inode->durable);
    }
    return rc != 0 ? rc : fr_sim_bytes_cut(&inode->durable, inode->durable.size);
}

static int fold_dir(const struct fr_sim_crash *crash, struct fr_sim_disk *disk,
        struct fr_sim_inode *dir)
{
    for (const struct fr_sim_name_op *op = dir->ops; op != NULL; op = op->next) {
        if (!op->durable && !is_kept(crash, op->piece)) continue;
        if (fr_sim_names_reserve(&dir->durable_names, dir->durable_names.count + 1) != 0)
            return -ENOMEM;
        fr_sim_names_apply(disk, &dir->durable_names, op);
    }
    return 0;
}

static int fold_disk(const struct fr_sim_crash *crash, struct fr_sim_image *image)
{
    struct fr_sim_disk *disk = &image->disk;
    int rc = fr_sim_disk_copy(&crash->disk, disk);

    for (struct fr_sim_inode *i = disk->inodes; rc == 0 && i != NULL; i = i->next)
        rc = i->is_dir ? fold_dir(crash, disk, i) : fold_file(crash, i);
    return rc != 0 ? rc : fr_sim_image_seal(image);
}

static int make_image(const struct fr_sim_crash *crash, struct fr_sim_image **ret_image)
{
    struct fr_sim_image *image = FR_NEW(struct fr_sim_image);

    if (image == NULL) return -ENOMEM;
    *image = crash->model;
    memcpy(image->origin, crash->origin, sizeof(image->origin));
    int rc = fold_disk(crash, image);
    if (rc == 0)
        *ret_image = image;
    else
        fr_sim_image_free(image);
    return rc;
}

/* --- What was seen --------------------------------------------------------------------------- */

static uint64_t *find_seen(uint64_t *seen, size_t slots, uint64_t hash)
{
    size_t at = (size_t)(fr_mix64(hash) % slots);

    while (seen[at] != 0 && seen[at] != hash)
        at = (at + 1) % slots;
    return &seen[at];
}

/* Room for one more, with half of the table empty. */
static int reserve_seen(struct fr_sim_crash *crash)
{
    if ((crash->emitted + 1) * 2 <= crash->seen_slots) return 0;

    size_t slots = crash->seen_slots * 2 + 64;
    uint64_t *seen = fr_alloc_zeroed(slots, sizeof(*seen));
    if (seen == NULL) return -ENOMEM;
    for (size_t i = 0; i < crash->seen_slots; i++)
        if (crash->seen[i] != 0) *find_seen(seen, slots, crash->seen[i]) = crash->seen[i];
    fr_free(crash->seen);
    crash->seen = seen;
    crash->seen_slots = slots;
    return 0;
}

static bool is_new(struct fr_sim_crash *crash, uint64_t hash)
{
    if (hash == 0) hash = 1;
    uint64_t *slot = find_seen(crash->seen, crash->seen_slots, hash);
    bool found = *slot != 0;
    *slot = hash;
    return !found;
}

fr_status fr_sim_crash_next(struct fr_sim_crash *crash, struct fr_sim_image **ret_image)
{
    unsigned most = crash->options.images_max;
    struct fr_sim_image *image;

    while (crash->at < crash->candidate_count && (most == 0 || crash->emitted < most)) {
        choose(crash, candidate_at(crash, crash->at));
        if (reserve_seen(crash) != 0 || make_image(crash, &image) != 0)
            return FR_FAIL(FR_ERR_NOMEM, "no memory for the image of a simulated disk");
        crash->at++;
        if (is_new(crash, image->hash)) {
            crash->emitted++;
            *ret_image = image;
            return FR_OK;
        }
        fr_sim_image_free(image);
    }
    return FR_END;
}

/* --- Opening --------------------------------------------------------------------------------- */

static size_t count_pieces(const struct fr_sim_disk *disk)
{
    size_t count = 0;

    for (const struct fr_sim_inode *inode = disk->inodes; inode != NULL; inode = inode->next) {
        for (const struct fr_sim_effect *e = inode->effects; e != NULL; e = e->next)
            count += !e->durable;
        for (const struct fr_sim_name_op *op = inode->ops; op != NULL; op = op->next)
            count += !op->durable;
    }
    return count;
}

static void collect_effects(struct fr_sim_crash *crash, struct fr_sim_inode *inode)
{
    for (struct fr_sim_effect *e = inode->effects; e != NULL; e = e->next) {
        if (e->durable) continue;
        size_t sectors = e->kind == FR_SIM_EFFECT_WRITE ? fr_sim_effect_sectors(e) : 0;
        crash->pieces[crash->piece_count++] = (struct piece){.seq = e->seq,
                .effect = e,
                .sectors = sectors,
                .units = sectors == 0 ? 1 : sectors + e->grows};
    }
}

static void collect_ops(struct fr_sim_crash *crash, struct fr_sim_inode *dir)
{
    for (struct fr_sim_name_op *op = dir->ops; op != NULL; op = op->next)
        if (!op->durable)
            crash->pieces[crash->piece_count++] =
                    (struct piece){.seq = op->seq, .op = op, .dir = dir, .units = 1};
}

static int by_seq(const void *a, const void *b)
{
    const struct piece *left = a, *right = b;

    return (left->seq > right->seq) - (left->seq < right->seq);
}

/* Give pieces and units their numbers, in the order of issue. */
static void number_pieces(struct fr_sim_crash *crash)
{
    if (crash->piece_count > 0)
        qsort(crash->pieces, crash->piece_count, sizeof(crash->pieces[0]), by_seq);
    for (size_t i = 0; i < crash->piece_count; i++) {
        struct piece *p = &crash->pieces[i];

        p->first = crash->unit_count;
        crash->unit_count += p->units;
        if (p->effect != NULL)
            p->effect->piece = i;
        else
            p->op->piece = i;
        if (p->sectors > 0) crash->writes[crash->write_count++] = i;
    }
}

static int collect_pieces(struct fr_sim_crash *crash)
{
    size_t count = count_pieces(&crash->disk);

    crash->pieces = fr_alloc_zeroed(count, sizeof(crash->pieces[0]));
    crash->writes = fr_alloc_zeroed(count, sizeof(crash->writes[0]));
    if (crash->pieces == NULL || crash->writes == NULL) return -ENOMEM;
    for (struct fr_sim_inode *i = crash->disk.inodes; i != NULL; i = i->next) {
        collect_effects(crash, i);
        collect_ops(crash, i);
    }
    FR_ASSERT(crash->piece_count == count);
    number_pieces(crash);
    crash->states = fr_alloc_zeroed(crash->unit_count, 1);
    return crash->states == NULL ? -ENOMEM : 0;
}

static size_t find_needs_of(const struct fr_sim_crash *crash, size_t later, struct need *needs)
{
    const struct piece *l = &crash->pieces[later];
    size_t count = 0;

    if (l->op == NULL) return 0;
    for (size_t earlier = 0; earlier < later; earlier++) {
        const struct piece *e = &crash->pieces[earlier];

        if (e->dir != l->dir || !fr_sim_name_op_needs(l->op, e->op)) continue;
        if (needs != NULL) needs[count] = (struct need){.later = later, .earlier = earlier};
        count++;
    }
    return count;
}

/* Counts only, if needs is NULL. */
static size_t find_needs(const struct fr_sim_crash *crash, struct need *needs)
{
    size_t count = 0;

    for (size_t i = 0; i < crash->piece_count; i++)
        count += find_needs_of(crash, i, needs == NULL ? NULL : needs + count);
    return count;
}

static int collect_needs(struct fr_sim_crash *crash)
{
    crash->need_count = find_needs(crash, NULL);
    crash->needs = fr_alloc_zeroed(crash->need_count, sizeof(crash->needs[0]));
    if (crash->needs == NULL) return -ENOMEM;
    find_needs(crash, crash->needs);
    return 0;
}

static int copy_machine_locked(struct fr_sim *sim, struct fr_sim_crash *crash)
{
    int rc = fr_sim_disk_copy(&sim->disk, &crash->disk);

    if (rc == 0 && !crash->options.no_queue) rc = fr_sim_queues_add_pending(sim, &crash->disk);
    if (rc == 0) fr_sim_disk_sweep(&crash->disk);
    crash->seed = fr_mix64(sim->options.seed ^ fr_mix64(sim->op_number + 1));
    crash->model.options = sim->options;
    crash->model.now_us = fr_sim_now_locked(sim);
    crash->model.wall_offset_us = sim->wall_offset_us;
    return rc;
}

static fr_status take_options(struct fr_sim_crash *crash,
        const struct fr_sim_crash_options *options)
{
    struct fr_sim_crash_options *own = &crash->options;

    if (options != NULL) *own = *options;
    if (own->exhaustive_max == 0) own->exhaustive_max = FR_SIM_EXHAUSTIVE_DEFAULT;
    if (own->samples_max == 0) own->samples_max = FR_SIM_SAMPLES_DEFAULT;
    if (own->exhaustive_max > FR_SIM_EXHAUSTIVE_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "simulated crash: exhaustive_max %u", own->exhaustive_max);
    return FR_OK;
}

fr_status fr_sim_crash_open(struct fr_sim *sim, const struct fr_sim_crash_options *options,
        struct fr_sim_crash **ret_crash)
{
    struct fr_sim_crash *crash = FR_NEW(struct fr_sim_crash);
    fr_status st;

    if (crash == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated crash");
    FR_TRY(take_options(crash, options));
    fr_mutex_lock(&sim->mu);
    int rc = copy_machine_locked(sim, crash);
    fr_mutex_unlock(&sim->mu);
    if (rc == 0) rc = collect_pieces(crash);
    if (rc == 0) rc = collect_needs(crash);
    if (rc != 0) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated crash"));
    number_candidates(crash);
    *ret_crash = FR_TAKE(crash);
out:
    fr_sim_crash_close(crash);
    return st;
}

void fr_sim_crash_close(struct fr_sim_crash *crash)
{
    if (crash == NULL) return;
    fr_sim_disk_deinit(&crash->disk);
    fr_free(crash->pieces);
    fr_free(crash->needs);
    fr_free(crash->writes);
    fr_free(crash->states);
    fr_free(crash->seen);
    fr_free(crash);
}

size_t fr_sim_crash_unit_count(const struct fr_sim_crash *crash)
{
    return crash->unit_count;
}
