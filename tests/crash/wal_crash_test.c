/*
 * wal_crash_test.c - a log, and every disk that a crash may leave of it.
 *
 * A seeded workload appends, syncs, marks, prepares, releases, seals and reopens on a simulated
 * machine. Around each change of the disk the plug is pulled, and what the images may hold is read
 * back. What is found must be a prefix of what was appended, each batch whole and as it was, and
 * reach at least as far as was acknowledged. Some images go on: a second opening writes other
 * batches behind what was recovered, and is crashed in the same way.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cover.h"
#include "base/rng.h"
#include "io/dir.h"
#include "io/sim.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert(must_st_ == FR_OK, "seed %llu: %s: %s", (unsigned long long)seed_now, #call,     \
                must_st_ < 0 ? fr_last_error() : "an answer");                                     \
    } while (0)

#define BATCHES_MAX 512
#define IMAGES_MAX  4096

static const uint8_t store[FR_STORE_ID_SIZE] = "a store for test";
static uint64_t seed_now;
static unsigned long images_seen, images_read, second_images, kills, lies_noticed;

/* What was appended, in order. The content of a batch follows from its id. */
struct history {
    uint32_t ids[BATCHES_MAX];
    fr_lsn ends[BATCHES_MAX]; /* as the writer answered */
    size_t count;             /* appended */
    size_t issued;            /* count, or one more while an append is under way */
    size_t acked;             /* of them, known to be durable */
    size_t published;         /* of them, to survive the process */
    fr_lsn start;             /* released up to here */
    uint64_t number;          /* of the segment that has the start, as a manifest would know */
    size_t base;              /* batches before start */
    fr_lsn durable;
    bool lied; /* a sync said yes and did nothing: what was acknowledged may be gone, or damaged */
};

struct pending {
    struct fr_sim_image *image;
    struct history history;
};

struct bed {
    struct fr_sim *sim;
    struct fr_dir *dir;
    struct fr_wal_writer *writer;
    struct history h;
    struct fr_rng rng;
    uint64_t next_number;
    uint32_t next_id;
    uint64_t segment_size;
    unsigned images_per_point;
    bool no_images;
    struct pending pending[IMAGES_MAX];
    size_t pending_count;
    uint64_t seen[1 << 16]; /* hashes of images, by chance overwritten */
};

static uint64_t take_number(void *ctx)
{
    struct bed *bed = ctx;
    return bed->next_number++;
}

/* ---- batches */

static size_t batch_size(uint32_t id)
{
    uint64_t dice = fr_mix64(id);

    if (dice % 16 == 0) return dice / 16 % 40000; /* over groups and segments */
    if (dice % 4 == 0) return dice / 16 % 5000;
    return dice / 16 % 200;
}

static void batch_fill(uint32_t id, uint8_t *to)
{
    struct fr_rng rng;

    fr_rng_init(&rng, id);
    fr_rng_fill(&rng, to, batch_size(id));
}

static bool batch_is(uint32_t id, fr_slice payload)
{
    static uint8_t wanted[40000];

    if (payload.size != batch_size(id)) return false;
    batch_fill(id, wanted);
    return memcmp(wanted, payload.data, payload.size) == 0 || payload.size == 0;
}

/* ---- recovering */

static struct fr_wal_reader_options reader_options(const struct history *h, bool tell_durable)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .flags = FR_WAL_READ_SETTLE,
            .start = h->start,
            .number = h->number,
            .durable = tell_durable ? h->durable : 0};

    memcpy(options.store, store, sizeof(store));
    return options;
}

/* Reads the log and holds it against the history, which becomes what was found. */
static struct fr_wal_end recover(struct fr_dir *dir, struct history *h, size_t least,
        const char *origin)
{
    struct fr_wal_reader_options options = reader_options(h, h->count % 2);
    struct fr_wal_reader *reader;
    struct fr_wal_end end;
    size_t found = h->base;
    fr_slice payload;
    uint64_t tag;
    fr_lsn lsn;
    fr_status st;

    st = fr_wal_reader_open(dir, &options, &reader);
    if (h->lied && (st == FR_ERR_CORRUPT || st == FR_ERR_MISSING)) {
        lies_noticed++;
        return (struct fr_wal_end){0};
    }
    must(st);
    while ((st = fr_wal_reader_next(reader, &payload, &tag, &lsn)) == FR_OK) {
        cr_assert(found < h->issued, "seed %llu, %s: a batch that nobody wrote",
                (unsigned long long)seed_now, origin);
        cr_assert(tag == h->ids[found] && batch_is(h->ids[found], payload),
                "seed %llu, %s: batch %zu is not what was written", (unsigned long long)seed_now,
                origin, found);
        if (found > h->base) h->ends[found - 1] = lsn;
        found++;
    }
    if (h->lied && (st == FR_ERR_CORRUPT || st == FR_ERR_MISSING)) {
        lies_noticed++;
        fr_wal_reader_close(reader);
        return (struct fr_wal_end){0};
    }
    cr_assert(st == FR_END, "seed %llu, %s: %s", (unsigned long long)seed_now, origin,
            fr_last_error());
    cr_assert(h->lied || found >= least, "seed %llu, %s: %zu batches of %zu that were acknowledged",
            (unsigned long long)seed_now, origin, found, least);
    fr_wal_reader_end(reader, &end);
    fr_wal_reader_close(reader);
    if (found > h->base) h->ends[found - 1] = end.link.lsn;
    h->count = h->issued = h->acked = h->published = found;
    images_read++;
    return end;
}

/* ---- the machine and its crashes */

static void on_change(void *ctx, const struct fr_sim_point *point)
{
    struct bed *bed = ctx;
    struct fr_sim_crash_options options = {
            .exhaustive_max = 5, .samples_max = 16, .images_max = bed->images_per_point};
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;
    fr_status st;

    (void)point;
    if (bed->no_images) return;
    must(fr_sim_crash_open(bed->sim, &options, &crash));
    while ((st = fr_sim_crash_next(crash, &image)) == FR_OK) {
        uint64_t key = fr_mix64(fr_sim_image_hash(image) + bed->h.acked + bed->h.issued * 7);
        images_seen++;
        if (bed->seen[key % 65536] == key) {
            fr_sim_image_free(image);
            continue;
        }
        bed->seen[key % 65536] = key;
        cr_assert_lt(bed->pending_count, IMAGES_MAX);
        bed->pending[bed->pending_count++] = (struct pending){image, bed->h};
    }
    fr_sim_crash_close(crash);
}

static void bed_open_writer(struct bed *bed, struct fr_wal_link previous)
{
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_LOG,
            .epoch = fr_rng_next(&bed->rng) | 1,
            .next_number = take_number,
            .next_number_ctx = bed,
            .previous = previous,
            .start = bed->h.start,
            .segment_size = bed->segment_size,
            .spares_max = 2};
    fr_lsn durable;

    memcpy(options.store, store, sizeof(store));
    must(fr_wal_writer_open(bed->dir, &options, &bed->writer));
    if (previous.number > 0) return;
    /* A log that begins: once that is durable, a manifest would say so. */
    must(fr_wal_writer_sync(bed->writer, &durable));
    bed->h.number = fr_wal_writer_first_number(bed->writer);
}

static void bed_take(struct bed *bed, struct fr_sim *sim)
{
    bed->sim = sim;
    must(fr_dir_open(fr_sim_env(sim), "store", FR_DIR_CREATE, &bed->dir));
    fr_sim_set_hook(sim, on_change, bed);
}

static void bed_drop(struct bed *bed)
{
    fr_sim_set_hook(bed->sim, NULL, NULL);
    fr_wal_writer_close(bed->writer);
    fr_dir_close(bed->dir);
    fr_sim_close(bed->sim);
    bed->writer = NULL;
}

/* ---- the workload */

static void do_append(struct bed *bed, enum fr_wal_class durability)
{
    static uint8_t payload[40000];
    uint32_t id = bed->next_id++;
    size_t size = batch_size(id), cut = size / 3;
    fr_slice parts[] = {fr_slice_of(payload, cut), fr_slice_of(NULL, 0),
            fr_slice_of(payload + cut, size - cut)};
    struct history *h = &bed->h;

    if (h->count == BATCHES_MAX) return;
    batch_fill(id, payload);
    h->ids[h->count] = id;
    h->issued = h->count + 1;
    must(fr_wal_writer_append(bed->writer, parts, 3, id, durability, &h->ends[h->count]));
    h->count++;
    if (durability == FR_WAL_OS) h->published = h->count;
}

static void note_durable(struct bed *bed)
{
    struct history *h = &bed->h;

    h->durable = fr_wal_writer_durable(bed->writer);
    while (h->acked < h->count && h->ends[h->acked] <= h->durable)
        h->acked++;
    h->published = h->published < h->acked ? h->acked : h->published;
}

static void do_sync(struct bed *bed)
{
    fr_lsn durable;

    must(fr_wal_writer_sync(bed->writer, &durable));
    note_durable(bed);
    cr_assert_eq(bed->h.acked, bed->h.count);
}

/*
 * As if a manifest had just made it a durable fact; half the time for what the log itself has not
 * made durable, as when all of it is in tables.
 */
static void do_release(struct bed *bed)
{
    struct history *h = &bed->h;
    size_t upto = fr_rng_one_in(&bed->rng, 2) ? h->acked : h->count;

    if (upto == 0 || h->ends[upto - 1] <= h->start) return;
    h->start = h->ends[upto - 1];
    h->base = upto;
    h->number = fr_wal_writer_number_at(bed->writer, h->start);
    h->acked = FR_MAX(h->acked, upto);
    h->published = FR_MAX(h->published, upto);
    must(fr_wal_writer_release(bed->writer, h->start));
}

static void step(struct bed *bed)
{
    uint64_t dice = fr_rng_below(&bed->rng, 20);

    if (dice < 7)
        do_append(bed, FR_WAL_OS);
    else if (dice < 10)
        do_append(bed, FR_WAL_NONE);
    else if (dice < 15)
        do_sync(bed);
    else if (dice < 16)
        must(fr_wal_writer_mark(bed->writer));
    else if (dice < 18)
        must(fr_wal_writer_prepare(bed->writer));
    else
        do_release(bed);
}

/* A clean end or a messy one, and the next opening on the same machine. */
static void do_reopen(struct bed *bed, bool clean)
{
    struct fr_wal_end end;

    if (clean) {
        must(fr_wal_writer_seal(bed->writer));
        note_durable(bed);
        cr_assert_eq(bed->h.acked, bed->h.count);
    }
    fr_wal_writer_close(bed->writer);
    bed->writer = NULL;
    end = recover(bed->dir, &bed->h, bed->h.published, "reopened");
    if (clean) cr_assert_eq(end.verdict, FR_WAL_END_CLOSED);
    cr_assert_lt(end.last_number, bed->next_number);
    bed_open_writer(bed, end.link);
}

static void check_pending(struct bed *bed, unsigned second_one_in);

/* A second opening on what a crash left. */
static void go_on(struct bed *first, struct fr_sim *sim, struct history *h, struct fr_wal_end end)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    bed->h = *h;
    bed->next_number = first->next_number + 1000;
    bed->next_id = first->next_id + 100000;
    bed->segment_size = first->segment_size;
    bed->images_per_point = 6;
    fr_rng_init(&bed->rng, fr_rng_next(&first->rng));
    bed_take(bed, sim);
    bed_open_writer(bed, end.link);
    unsigned long before = images_read;
    for (int i = 0; i < 4; i++) {
        step(bed);
        check_pending(bed, 0);
    }
    second_images += images_read - before;
    bed_drop(bed);
    free(bed);
}

static void check_image(struct bed *bed, struct pending *p, bool second)
{
    struct fr_sim *sim;
    struct fr_dir *dir;

    must(fr_sim_image_boot(p->image, 1, &sim));
    must(fr_dir_open(fr_sim_env(sim), "store", FR_DIR_CREATE, &dir));
    struct fr_wal_end end =
            recover(dir, &p->history, p->history.acked, fr_sim_image_origin(p->image));
    fr_dir_close(dir);
    if (second)
        go_on(bed, sim, &p->history, end);
    else
        fr_sim_close(sim);
    fr_sim_image_free(p->image);
}

static void check_pending(struct bed *bed, unsigned second_one_in)
{
    for (size_t i = 0; i < bed->pending_count; i++)
        check_image(bed, &bed->pending[i],
                second_one_in > 0 && fr_rng_one_in(&bed->rng, second_one_in));
    bed->pending_count = 0;
}

/* The process dies: all that was published is there, and the next opening goes on. */
static void do_kill(struct bed *bed)
{
    struct history h = bed->h;
    struct fr_sim *heir;

    must(fr_sim_kill(bed->sim, &heir));
    bed_drop(bed);
    bed_take(bed, heir);
    struct fr_wal_end end = recover(bed->dir, &h, h.published, "killed");
    bed->h = h;
    bed_open_writer(bed, end.link);
    kills++;
}

static void run_history(uint64_t seed, unsigned steps, unsigned images_per_point, bool chaos)
{
    struct bed *bed = calloc(1, sizeof(*bed));
    struct fr_sim_options options = {.seed = seed};
    struct fr_sim *sim;

    seed_now = seed;
    fr_rng_init(&bed->rng, seed);
    if (chaos) options.short_one_in = options.interrupt_one_in = 7;
    if (seed % 2) options.direct_alignment = 512;
    bed->next_number = 1;
    bed->next_id = (uint32_t)(seed * 1000);
    bed->segment_size = seed % 3 == 0 ? 16384 : seed % 3 == 1 ? 20480 : 65536;
    bed->images_per_point = images_per_point;
    must(fr_sim_open(&options, &sim));
    bed_take(bed, sim);
    bed_open_writer(bed, (struct fr_wal_link){0});
    check_pending(bed, 4);
    for (unsigned i = 0; i < steps; i++) {
        uint64_t dice = fr_rng_below(&bed->rng, 40);
        if (dice == 0)
            do_kill(bed);
        else if (dice < 3)
            do_reopen(bed, dice == 1);
        else
            step(bed);
        check_pending(bed, 16);
    }
    bed_drop(bed);
    free(bed);
}

static uint64_t first_seed(void)
{
    const char *given = getenv("FR_TEST_SEED");
    return given == NULL ? 1 : strtoull(given, NULL, 10);
}

static unsigned seed_count(unsigned usual)
{
    const char *given = getenv("FR_TEST_SEEDS");
    return given == NULL ? usual : (unsigned)strtoul(given, NULL, 10);
}

Test(wal_crash, what_survives_is_a_prefix_with_all_that_was_acknowledged, .timeout = 600)
{
#ifdef FR_SANITIZED
    unsigned count = seed_count(6); /* one thread, ten times slower */
#else
    unsigned count = seed_count(24);
#endif

    for (unsigned i = 0; i < count; i++)
        run_history(first_seed() + i, 60, 16, i % 4 == 0);
    fprintf(stderr, "%lu images, %lu of them read, %lu of a second crash, %lu kills\n", images_seen,
            images_read, second_images, kills);
    cr_assert_gt(second_images, 100);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("wal: a segment is used again"), 0);
    cr_assert_gt(fr_cover_count("wal: a torn end"), 0);
    cr_assert_gt(fr_cover_count("wal: a segment's former life"), 0);
    cr_assert_gt(fr_cover_count("wal: a segment without the one before it"), 0);
#endif
}

/* ---- faults */

/* A short history on a machine where one kind of operation fails; what it answers is no matter. */
static fr_status run_with_faults(struct bed *bed)
{
    static uint8_t payload[40000];
    struct history *h = &bed->h;
    fr_status st = FR_OK, failed = FR_OK;
    fr_lsn durable;

    for (unsigned i = 0; i < 40 && h->count < BATCHES_MAX; i++) {
        uint32_t id = bed->next_id;
        fr_slice part = fr_slice_of(payload, batch_size(id));
        batch_fill(id, payload);
        h->ids[h->count] = id;
        h->issued = h->count + 1;
        st = fr_wal_writer_append(bed->writer, &part, 1, id, FR_WAL_OS, &h->ends[h->count]);
        if (st == FR_OK) {
            bed->next_id++;
            h->count++;
        } else if (failed == FR_OK) {
            failed = st;
        }
        if (failed == FR_ERR_POISONED) break;
        if (st == FR_ERR_POISONED) break;
        if (i % 3 != 0) continue;
        st = fr_wal_writer_sync(bed->writer, &durable);
        if (st == FR_OK)
            note_durable(bed);
        else if (failed == FR_OK)
            failed = st;
        if (i % 9 == 0 && h->acked > 0) (void)!fr_wal_writer_release(bed->writer, 0);
    }
    return failed;
}

struct fault_count {
    unsigned runs, failed, poisoned;
};

/* After the fault: the process goes, the machine stays or loses power; what is found is a prefix.
 */
static bool fault_run(const struct fr_sim_fault *fault, struct fault_count *counts)
{
    bool lies = fault->kind == FR_SIM_FAULT_SYNC_LATE || fault->kind == FR_SIM_FAULT_SYNC_LIE;
    struct bed *bed = calloc(1, sizeof(*bed));
    struct fr_sim_options options = {.seed = fault->nth};
    struct fr_sim *sim;
    fr_lsn durable;

    bed->next_number = 1;
    bed->segment_size = 20480;
    bed->no_images = true;
    fr_rng_init(&bed->rng, 5);
    must(fr_sim_open(&options, &sim));
    bed_take(bed, sim);
    bed_open_writer(bed, (struct fr_wal_link){0});
    must(fr_sim_fault_add(sim, fault));
    fr_status st = run_with_faults(bed);
    bool hit = fr_sim_fault_hits(sim) > 0;
    if (st < 0) {
        counts->failed++;
        fr_status first = st;
        fr_sim_fault_clear(sim);
        /* Either nothing has happened, or nothing will ever happen again. */
        st = fr_wal_writer_sync(bed->writer, &durable);
        int own = fault->os_error == ENOSPC ? FR_ERR_NOSPACE : FR_ERR_IO;
        /* One that goes on may have done no harm at first. */
        cr_assert(first == (st == FR_OK ? own : FR_ERR_IO) || (fault->forever && first == own),
                "%s, now: %s", fr_status_name(first), fr_last_error());
        if (st == FR_OK)
            note_durable(bed);
        else
            cr_assert_eq(st, FR_ERR_POISONED);
        if (st < 0) {
            counts->poisoned++;
            cr_assert_eq(fr_wal_writer_mark(bed->writer), FR_ERR_POISONED);
            cr_assert_eq(fr_wal_writer_seal(bed->writer), FR_ERR_POISONED);
            cr_assert_eq(fr_wal_writer_prepare(bed->writer), FR_ERR_POISONED);
            cr_assert_not_null(strstr(fr_last_error(), "since: "));
        }
    }
    bed->no_images = false;
    bed->h.lied = lies && hit;
    bed->images_per_point = 12;
    on_change(bed, NULL);
    check_pending(bed, lies ? 0 : 4);
    bed->no_images = true;
    bed_drop(bed);
    free(bed);
    counts->runs++;
    return hit;
}

Test(wal_crash, after_any_fault_the_log_is_a_prefix_with_all_that_was_acknowledged, .timeout = 600)
{
    static const enum fr_sim_op ops[] = {FR_SIM_WRITE, FR_SIM_SYNC, FR_SIM_SYNC_DIR, FR_SIM_CREATE,
            FR_SIM_RENAME, FR_SIM_UNLINK};
    static const enum fr_sim_fault_kind kinds[] = {FR_SIM_FAULT_ERROR, FR_SIM_FAULT_ERROR_AFTER,
            FR_SIM_FAULT_SYNC_NOW, FR_SIM_FAULT_SYNC_LATE, FR_SIM_FAULT_SYNC_LIE};
    /* Once and for ever; what was cancelled is done again, and nobody should notice. */
    static const int variants[] = {EIO, ENOSPC, ECANCELED};
    struct fault_count counts = {0};

    for (size_t op = 0; op < FR_ARRAY_COUNT(ops); op++)
        for (size_t kind = 0; kind < FR_ARRAY_COUNT(kinds); kind++)
            for (unsigned variant = 0; variant < 5; variant++) {
                bool is_sync = ops[op] == FR_SIM_SYNC || ops[op] == FR_SIM_SYNC_DIR;
                if (kinds[kind] >= FR_SIM_FAULT_SYNC_NOW && !is_sync) continue;
                /* What a ring cancels has not run. */
                bool is_ring = ops[op] == FR_SIM_WRITE || ops[op] == FR_SIM_SYNC;
                if (variants[variant / 2] == ECANCELED &&
                        !(is_ring && kinds[kind] == FR_SIM_FAULT_ERROR))
                    continue;
                struct fr_sim_fault fault = {.ops = FR_SIM_MASK(ops[op]),
                        .kind = kinds[kind],
                        .forever = variant % 2,
                        .os_error = variants[variant / 2]};
                for (fault.nth = 1; fault.nth < 200; fault.nth++)
                    if (!fault_run(&fault, &counts)) break;
            }
    fprintf(stderr, "%u runs with faults, %u failed, %u poisoned, %lu images told of a lie\n",
            counts.runs, counts.failed, counts.poisoned, lies_noticed);
    cr_assert_gt(counts.poisoned, 50);
    cr_assert_gt(counts.failed, counts.poisoned);
}
