#include "crash/damage.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "crash/enumerate.h"
#include "io/dir.h"
#include "io/env.h"

#define FILES_MAX 64
#define BATCHES   24
#define SECTOR    512
#define BLOCK     4096
#define SPARSE    ((uint64_t)65536 - 512)

/*
 * Batches at the log's end of which nothing that is durable says that they were acknowledged. Where
 * a whole run of bytes is gone, what said so is gone too, back to what the manifest knows.
 */
#define IN_DOUBT 2
#define FLUSHED  (2 * BATCHES / 3 + 1)

struct content {
    char name[64];
    struct fr_buf bytes;
    uint64_t used; /* up to here all is swept; the zeros of a preallocated rest only now and then */
};

/* A disk, what is on it, and what it holds. */
struct reference {
    struct fr_sim_image *image;
    struct content files[FILES_MAX];
    size_t count;
    struct fr_crash_history history;
    struct fr_crash_model model; /* hashes only */
    unsigned config;
};

enum kind { FLIP, ZERO, GARBAGE, CUT, EXTEND, REPLACE, REMOVE };

static const char *const kind_names[] = {
        "flipped", "zeroed", "garbage", "cut", "extended", "replaced", "removed"};

struct hurt {
    enum kind kind;
    const struct content *file;
    uint64_t offset, size;
    uint8_t mask;     /* FLIP */
    fr_slice content; /* REPLACE: of so many bytes at offset, or, if size is 0, of the file */
    const char *from; /* REPLACE: the file that this is of */
    uint64_t from_offset;
    bool any_name; /* files contradict each other, so any of them may be named */
};

struct sweep {
    const struct fr_crash_damage *plan;
    struct fr_crash_report *report;
    struct reference *reference;
    struct fr_rng rng;
    uint64_t number;
    struct hurt hurt;
    char words[300]; /* what was told last */
};

/* ---- the reference */

static void reference_free(struct reference *r)
{
    if (r == NULL) return;
    for (size_t i = 0; i < r->count; i++)
        fr_buf_deinit(&r->files[i].bytes);
    fr_sim_image_free(r->image);
    fr_free(r);
}

/* To the end of the block behind the last byte that is not zero. */
static uint64_t used_of(const struct fr_buf *bytes)
{
    uint64_t used = bytes->size;

    while (used > 0 && bytes->data[used - 1] == 0)
        used--;
    return FR_MIN((used + BLOCK) / BLOCK * BLOCK + BLOCK, (uint64_t)bytes->size);
}

/* The next place to be swept. */
static uint64_t after(const struct content *file, uint64_t at, uint64_t step)
{
    return at < file->used ? at + step : at + step * (1 + SPARSE / step);
}

static fr_status read_files(struct reference *r, struct fr_sim *sim, const char *path)
{
    struct fr_dir_names names = {0};
    struct fr_dir *dir = NULL;
    char full[128];
    fr_status st;

    FR_TRY(fr_dir_open(fr_sim_env(sim), path, 0, &dir));
    FR_TRY(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count && r->count < FILES_MAX; i++) {
        struct content *file = &r->files[r->count++];
        (void)snprintf(file->name, sizeof(file->name), "%s", names.names[i]);
        (void)snprintf(full, sizeof(full), "%s/%s", path, names.names[i]);
        FR_TRY(fr_sim_image_read(r->image, full, &file->bytes));
        file->used = used_of(&file->bytes);
    }
out:
    fr_dir_names_deinit(&names);
    fr_dir_close(dir);
    return st;
}

static fr_status take_reference(struct fr_crash_run *run, struct reference **ret_reference)
{
    struct reference *r = FR_NEW(struct reference);
    fr_status st;

    if (r == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a reference");
    FR_TRY(fr_sim_image_take(run->sim, &r->image));
    FR_TRY(read_files(r, run->sim, run->path));
    fr_crash_history_copy(&r->history, &run->history, run->history.count);
    memcpy(r->model.hashes, run->model.hashes, sizeof(r->model.hashes));
    r->config = run->config;
    *ret_reference = FR_TAKE(r);
out:
    reference_free(r);
    return st;
}

/* Tables of two levels, value files, and a log with durable batches that are nowhere else. */
static fr_status fill(struct fr_crash_run *run, struct reference **ret_earlier)
{
    fr_status st;

    FR_TRY(fr_crash_run_open(run));
    for (unsigned i = 0; i < BATCHES; i++) {
        FR_TRY(fr_crash_run_write(run, 0, FR_SYNC_DEVICE));
        if (i == BATCHES / 3) FR_TRY(fr_crash_run_act(run, FR_CRASH_COMPACT, 0, 0));
        if (i == BATCHES / 2) FR_TRY(take_reference(run, ret_earlier));
        if (i + 1 == FLUSHED) FR_TRY(fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0));
    }
    FR_TRY(fr_crash_run_act(run, FR_CRASH_IDLE, 0, 0));
out:
    return st;
}

static fr_status make_reference(const struct fr_crash_damage *plan, struct fr_crash_report *report,
        uint64_t seed, struct reference **ret_reference, struct reference **ret_earlier)
{
    struct fr_crash_run *run = fr_crash_run_new(plan->subject, report, seed);
    struct fr_sim_options options = {.seed = seed, .trace_calls_only = true};
    struct fr_sim *sim;
    fr_status st;

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    atomic_store(&run->no_images, true);
    FR_TRY(fr_sim_open(&options, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fill(run, ret_earlier));
    if (plan->closed) FR_TRY(fr_crash_run_close(run));
    FR_TRY(take_reference(run, ret_reference));
out:
    fr_crash_run_free(run);
    return st;
}

static uint64_t bytes_of(const struct reference *r)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < r->count; i++)
        bytes += r->files[i].used;
    return bytes;
}

/* ---- hurting */

static fr_status write_pattern(struct sweep *s, struct fr_file *file, const struct hurt *hurt)
{
    uint8_t bytes[BLOCK] = {0};
    size_t size = (size_t)FR_MIN(hurt->size, (uint64_t)sizeof(bytes));

    if (hurt->kind != ZERO) fr_rng_fill(&s->rng, bytes, size);
    return fr_file_write(file, hurt->offset, bytes, size, 0);
}

static fr_status replace(struct fr_file *file, const struct hurt *hurt)
{
    fr_status st = FR_OK;

    if (hurt->size == 0) FR_TRY(fr_file_truncate(file, 0));
    FR_TRY(fr_file_write(file, hurt->offset, hurt->content.data, hurt->content.size, 0));
out:
    return st;
}

static fr_status hurt_file(struct sweep *s, struct fr_file *file)
{
    const struct hurt *hurt = &s->hurt;
    uint8_t byte;

    switch (hurt->kind) {
    case FLIP:
        byte = hurt->file->bytes.data[hurt->offset] ^ hurt->mask;
        return fr_file_write(file, hurt->offset, &byte, 1, 0);
    case ZERO:
    case GARBAGE:
    case EXTEND:
        return write_pattern(s, file, hurt);
    case CUT:
        return fr_file_truncate(file, hurt->offset);
    case REPLACE:
        return replace(file, hurt);
    case REMOVE:
        break;
    }
    return FR_OK;
}

static fr_status hurt_disk(struct sweep *s, struct fr_sim *sim, const char *path)
{
    struct fr_file *file = NULL;
    struct fr_dir *dir = NULL;
    fr_status st;

    FR_TRY(fr_dir_open(fr_sim_env(sim), path, 0, &dir));
    if (s->hurt.kind == REMOVE) {
        FR_TRY(fr_dir_unlink(dir, s->hurt.file->name));
    } else {
        FR_TRY(fr_file_open(dir, s->hurt.file->name, FR_OPEN_WRITE, &file));
        FR_TRY(hurt_file(s, file));
    }
out:
    fr_file_close(file);
    fr_dir_close(dir);
    return st;
}

/* ---- judging */

enum outcome { HARMLESS = 0, TORN, TOLD };

static fr_status wrong(struct sweep *s, const char *what)
{
    const struct hurt *h = &s->hurt;

    return fr_crash_find(s->report,
            "reference %" PRIu64 " (%s), damage %" PRIu64 ": %s %s at %" PRIu64 ", %" PRIu64
            " bytes%s%s (%" PRIu64 "): %s",
            s->plan->seed, s->plan->closed ? "closed" : "died", s->number, h->file->name,
            kind_names[h->kind], h->offset, h->size, h->from == NULL ? "" : ", from ",
            h->from == NULL ? "" : h->from, h->from_offset, what);
}

/*
 * Whether the words name the file; of a log, whose segments vouch for each other, any of its files.
 * A manifest that has lost its end is found out by whatever file contradicts what is left of it.
 */
static bool names_file(const struct hurt *hurt, const char *words)
{
    const char *ending = strrchr(hurt->file->name, '.');

    if (ending != NULL && strcmp(ending, ".manifest") == 0) return true;
    if (hurt->any_name || strstr(words, hurt->file->name) != NULL) return true;
    if (ending == NULL || strcmp(ending, ".table") == 0) return false;
    return strcmp(ending, ".values") != 0 && strstr(words, ending) != NULL;
}

/* An error must be one of damage, and name the file. */
static fr_status judge_error(struct sweep *s, fr_status st, enum outcome *outcome)
{
    char words[FR_CRASH_FINDING_MAX];

    *outcome = TOLD;
    bool sensible = st == FR_ERR_CORRUPT || st == FR_ERR_MISSING || st == FR_ERR_FOREIGN ||
                    st == FR_ERR_TOO_NEW || st == FR_ERR_POISONED;
    if (sensible && names_file(&s->hurt, fr_last_error())) return FR_OK;
    (void)snprintf(words, sizeof(words), "%s: %.700s", fr_status_name(st), fr_last_error());
    return wrong(s, words);
}

static bool is_log(const struct content *file)
{
    return fnmatch("*.wal", file->name, 0) == 0;
}

static bool is_late_prefix(const struct sweep *s, uint64_t hash)
{
    const struct fr_crash_history *h = &s->reference->history;
    size_t least = s->hurt.kind == FLIP ? h->count - IN_DOUBT : FLUSHED;

    for (size_t n = least; n < h->count; n++)
        if (h->hashes[n] == hash) return true;
    return false;
}

static fr_status judge_reading(struct sweep *s, const struct fr_crash_reading *reading, bool ended,
        enum outcome *outcome)
{
    char words[100];
    const char *fault = fr_crash_reading_fault(reading);
    size_t slot = fr_crash_reading_differs(reading, &s->reference->model);

    if (fault != NULL) return wrong(s, fault);
    if (slot == FR_CRASH_SLOTS) return FR_OK;
    bool former_life = s->hurt.kind == REPLACE && s->hurt.size == 0;
    bool may_be_torn = is_log(s->hurt.file) && (!s->plan->closed || former_life);
    if (may_be_torn && ended && is_late_prefix(s, fr_crash_reading_hash(reading))) {
        *outcome = TORN;
        return FR_OK;
    }
    (void)snprintf(words, sizeof(words), "slot %zu is wrong, way %d", slot, reading->way);
    return wrong(s, words);
}

static fr_status read_ways(struct sweep *s, void *store, enum outcome *outcome)
{
    fr_status st = FR_OK;

    for (int way = 0; way < FR_CRASH_WAYS; way++) {
        struct fr_crash_reading reading = {0};
        fr_status read = s->plan->subject->read(store, (enum fr_crash_way)way, &reading);
        fr_crash_count(s->report, FR_CRASH_READS, 1);
        if (read < 0) FR_TRY(judge_error(s, read, outcome));
        FR_TRY(judge_reading(s, &reading, read == FR_OK, outcome));
    }
out:
    return st;
}

/* Compaction reads the damage and writes what it read: that must not make it good. */
static fr_status launder(struct sweep *s, void *store, enum outcome *outcome)
{
    fr_status st = s->plan->subject->act(store, FR_CRASH_COMPACT, 0, 0);

    if (st < 0) FR_TRY(judge_error(s, st, outcome));
    FR_TRY(read_ways(s, store, outcome));
out:
    return st;
}

static fr_status examine(struct sweep *s, struct fr_sim *sim, enum outcome *outcome)
{
    const struct fr_crash_subject *subject = s->plan->subject;
    bool writes = s->number % 4 == 0;
    void *store = NULL;

    fr_status st = subject->open(fr_sim_env(sim), "store", s->reference->config,
            writes ? FR_CRASH_EXISTING : FR_CRASH_READ_ONLY, &store);
    if (st < 0) return judge_error(s, st, outcome);
    st = read_ways(s, store, outcome);
    if (st == FR_OK && writes && s->number % 16 == 0) st = launder(s, store, outcome);
    (void)subject->close(store);
    return st;
}

static fr_status try_hurt(struct sweep *s)
{
    enum outcome outcome = HARMLESS;
    struct fr_sim *sim = NULL;
    fr_status st;

    FR_TRY(fr_sim_image_boot(s->reference->image, 1, &sim));
    FR_TRY(hurt_disk(s, sim, "store"));
    fr_crash_count(s->report, FR_CRASH_DAMAGES, 1);
    FR_TRY(examine(s, sim, &outcome));
    fr_crash_count(s->report,
            outcome == TOLD   ? FR_CRASH_DAMAGES_TOLD
            : outcome == TORN ? FR_CRASH_DAMAGES_TORN
                              : FR_CRASH_DAMAGES_HARMLESS,
            1);
out:
    fr_sim_close(sim);
    return st;
}

/* One damage of all, if it is of this part. */
static fr_status hurt(struct sweep *s, struct hurt hurt)
{
    const struct fr_crash_damage *plan = s->plan;

    if (plan->over != NULL && plan->over(plan->over_ctx)) return FR_OK;
    s->number++;
    if (plan->parts != 0 && s->number % plan->parts != plan->part) return FR_OK;
    s->hurt = hurt;
    return try_hurt(s);
}

/* ---- the sweeps */

static fr_status flip_all(struct sweep *s, const struct content *file)
{
    fr_status st = FR_OK;

    for (uint64_t at = 0; at < file->bytes.size; at = after(file, at, 1))
        for (unsigned i = 0; i < s->plan->bits; i++)
            FR_TRY(hurt(s, (struct hurt){.kind = FLIP,
                                   .file = file,
                                   .offset = at,
                                   .size = 1,
                                   .mask = (uint8_t)(1u << ((at * 5 + i) % 8))}));
out:
    return st;
}

static fr_status hurt_sectors(struct sweep *s, const struct content *file)
{
    fr_status st = FR_OK;

    for (uint64_t at = 0; at < file->bytes.size; at = after(file, at, SECTOR))
        for (int kind = ZERO; kind <= GARBAGE; kind++) {
            uint64_t size = FR_MIN((uint64_t)SECTOR, file->bytes.size - at);
            struct hurt one = {.kind = (enum kind)kind, .file = file, .offset = at, .size = size};
            FR_TRY(hurt(s, one));
            one.size = FR_MIN((uint64_t)BLOCK, file->bytes.size - at);
            if (at % BLOCK == 0) FR_TRY(hurt(s, one));
        }
out:
    return st;
}

static fr_status change_length(struct sweep *s, const struct content *file)
{
    static const uint64_t more[] = {1, 100, SECTOR, BLOCK};
    fr_status st = FR_OK;

    for (uint64_t at = 0; at < file->bytes.size; at = after(file, at, s->plan->cut_step))
        FR_TRY(hurt(s, (struct hurt){.kind = CUT, .file = file, .offset = at}));
    if (file->bytes.size > 0)
        FR_TRY(hurt(s, (struct hurt){.kind = CUT, .file = file, .offset = file->bytes.size - 1}));
    for (size_t i = 0; i < FR_ARRAY_COUNT(more); i++)
        FR_TRY(hurt(s, (struct hurt){.kind = EXTEND,
                               .file = file,
                               .offset = file->bytes.size,
                               .size = more[i]}));
    FR_TRY(hurt(s, (struct hurt){.kind = REMOVE, .file = file}));
out:
    return st;
}

/* Each block in the place of each other one, of this file and of the others. */
static fr_status misplace_blocks(struct sweep *s, const struct content *file, uint64_t size)
{
    const struct reference *r = s->reference;
    fr_status st = FR_OK;

    for (uint64_t to = 0; to + size <= file->used; to += size)
        for (size_t i = 0; i < r->count; i++)
            for (uint64_t from = 0; from + size <= r->files[i].used; from += size) {
                const uint8_t *bytes = r->files[i].bytes.data + from;
                if (memcmp(bytes, file->bytes.data + to, (size_t)size) == 0) continue;
                FR_TRY(hurt(s, (struct hurt){.kind = REPLACE,
                                       .file = file,
                                       .offset = to,
                                       .size = size,
                                       .from = r->files[i].name,
                                       .from_offset = from,
                                       .content = fr_slice_of(bytes, (size_t)size)}));
            }
out:
    return st;
}

/* The whole file as it was in another store, or in this one before. */
static fr_status mix_up(struct sweep *s, const struct content *file, const struct reference *other)
{
    const char *ending = strrchr(file->name, '.');
    fr_status st = FR_OK;

    for (size_t i = 0; other != NULL && i < other->count; i++) {
        const struct content *theirs = &other->files[i];
        const char *end = strrchr(theirs->name, '.');
        if ((end == NULL) != (ending == NULL)) continue;
        if (strcmp(end == NULL ? theirs->name : end, ending == NULL ? file->name : ending) != 0)
            continue;
        if (fr_slice_equal(fr_buf_slice(&theirs->bytes), fr_buf_slice(&file->bytes))) continue;
        FR_TRY(hurt(s, (struct hurt){.kind = REPLACE,
                               .file = file,
                               .from = theirs->name,
                               .content = fr_buf_slice(&theirs->bytes),
                               .any_name = true}));
    }
out:
    return st;
}

static fr_status sweep_file(struct sweep *s, const struct content *file,
        const struct reference *earlier, const struct reference *other)
{
    fr_status st;

    FR_TRY(change_length(s, file));
    FR_TRY(mix_up(s, file, earlier));
    FR_TRY(mix_up(s, file, other));
    FR_TRY(hurt_sectors(s, file));
    FR_TRY(misplace_blocks(s, file, BLOCK));
    FR_TRY(flip_all(s, file));
out:
    return st;
}

fr_status fr_crash_damage_run(const struct fr_crash_damage *damage, struct fr_crash_report *report,
        uint64_t *ret_bytes)
{
    struct reference *reference = NULL, *earlier = NULL, *other = NULL, *unused = NULL;
    struct sweep s = {.plan = damage, .report = report};
    fr_status st;

    fr_rng_init(&s.rng, damage->seed);
    FR_TRY(make_reference(damage, report, damage->seed, &reference, &earlier));
    FR_TRY(make_reference(damage, report, damage->seed + 1000, &other, &unused));
    s.reference = reference;
    if (ret_bytes != NULL) *ret_bytes = bytes_of(reference);
    for (size_t i = 0; i < reference->count; i++)
        FR_TRY(sweep_file(&s, &reference->files[i], earlier, other));
out:
    reference_free(reference);
    reference_free(earlier);
    reference_free(other);
    reference_free(unused);
    return st;
}
