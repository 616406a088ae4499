/*
 * wal_faults_test.c - a log, and each of its calls to the disk and to memory that may fail.
 *
 * One short story of a log is told again and again, each time with another call that fails, once or
 * from then on. Whatever is answered must be the fault's own status or follow from it; and on the
 * machine, which does not die, all must be there that was answered, and the next opening must go
 * on.
 */
#include <errno.h>

#include "tests/unit/wal/test_log.h"

#define BATCHES 12

/* Some fill segments, some go over several. */
static const size_t sizes[BATCHES] = {
        20, 300, 30000, 8000, 8000, 20, 30000, 8000, 4000, 20, 60, 40};

struct story {
    struct test_log log;
    bool answered[BATCHES];
    size_t count;       /* appended, or tried */
    size_t first;       /* before it all was released */
    fr_status expected; /* of the fault */
    uint64_t hits;      /* of faults before this one */
    bool failed;
};

struct fault {
    bool of_memory;
    struct fr_sim_fault sim; /* nth and forever hold for both */
};

static void check_status(struct story *s, fr_status st)
{
    cr_assert(st >= 0 || st == s->expected || st == FR_ERR_POISONED || st == FR_ERR_IO, "%s: %s",
            fr_status_name(st), fr_last_error());
    s->failed |= st < 0;
}

static void append(struct story *s, enum fr_wal_class durability)
{
    static uint8_t bytes[32768];
    fr_slice parts[] = {fr_slice_of(&s->count, sizeof(s->count)), fr_slice_of(NULL, 0),
            fr_slice_of(bytes, sizes[s->count])};
    fr_lsn end;

    cr_assert_lt(s->count, BATCHES);
    test_fill(bytes, 0, sizes[s->count]);
    fr_status st = fr_wal_writer_append(s->log.writer, parts, 3, 7, durability, &end);
    check_status(s, st);
    s->answered[s->count++] = st == FR_OK && durability != FR_WAL_NONE;
}

static void sync_and_release(struct story *s)
{
    fr_lsn durable = 0;

    fr_status st = fr_wal_writer_sync(s->log.writer, &durable);
    check_status(s, st);
    if (st < 0) return;
    s->first = s->count;
    s->log.start = durable;
    s->log.number = fr_wal_writer_number_at(s->log.writer, durable);
    check_status(s, fr_wal_writer_release(s->log.writer, durable));
}

static fr_status open_writer(struct story *s)
{
    s->log.options.previous = s->log.end.link;
    s->log.options.epoch++;
    return fr_wal_writer_open(s->log.world.dir, &s->log.options, &s->log.writer);
}

/* Each kind of call, in an order that has each meet all that there can be before it. */
static void tell(struct story *s)
{
    fr_status st = open_writer(s);

    check_status(s, st);
    if (st < 0) return;
    append(s, FR_WAL_OS);
    append(s, FR_WAL_NONE);
    append(s, FR_WAL_OS);
    check_status(s, fr_wal_writer_sync(s->log.writer, &(fr_lsn){0}));
    check_status(s, fr_wal_writer_mark(s->log.writer));
    append(s, FR_WAL_OS);
    check_status(s, fr_wal_writer_prepare(s->log.writer));
    append(s, FR_WAL_OS);
    append(s, FR_WAL_OS);
    sync_and_release(s);
    for (int i = 0; i < 4; i++)
        append(s, FR_WAL_OS);
    check_status(s, fr_wal_writer_sync(s->log.writer, &(fr_lsn){0}));
    append(s, FR_WAL_OS);
    check_status(s, fr_wal_writer_mark(s->log.writer));
    check_status(s, fr_wal_writer_seal(s->log.writer));
    test_log_stop(&s->log);
}

static fr_status open_reader(struct story *s, struct fr_wal_reader **ret_reader)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .flags = FR_WAL_READ_SETTLE,
            .start = s->log.start,
            .number = s->log.number};

    memcpy(options.store, s->log.options.store, FR_STORE_ID_SIZE);
    return fr_wal_reader_open(s->log.world.dir, &options, ret_reader);
}

/* One that was refused may be there, because nobody knows whether it is. */
static fr_status read_all(struct story *s, struct fr_wal_reader *reader, size_t *next)
{
    fr_slice payload;
    uint64_t tag;
    fr_status st;
    fr_lsn lsn;

    while ((st = fr_wal_reader_next(reader, &payload, &tag, &lsn)) == FR_OK) {
        size_t id;
        memcpy(&id, payload.data, sizeof(id));
        cr_assert(id >= *next && id < s->count, "%zu, not %zu", id, *next);
        for (; *next < id; ++*next)
            cr_assert(!s->answered[*next], "%zu is lost", *next);
        ++*next;
        cr_assert_eq(payload.size, sizeof(id) + sizes[id]);
        cr_assert(test_matches(payload.data + sizeof(id), 0, sizes[id]));
    }
    return st == FR_END ? FR_OK : st;
}

static void check_all_read(struct story *s)
{
    struct fr_wal_reader *reader;
    size_t next = s->first;

    must(open_reader(s, &reader));
    must(read_all(s, reader, &next));
    for (; next < s->count; next++)
        cr_assert(!s->answered[next], "%zu is lost", next);
    fr_wal_reader_end(reader, &s->log.end);
    fr_wal_reader_close(reader);
}

/* One whose sync has failed goes on failing. */
static void reopen_directory(struct story *s)
{
    struct test_world *world = &s->log.world;

    fr_dir_close(world->dir);
    must(fr_dir_open(world->env, world->path, 0, &world->dir));
}

/* What a process finds that goes on. */
static void check_aftermath(struct story *s)
{
    reopen_directory(s);
    check_all_read(s);
    must(open_writer(s));
    append(s, FR_WAL_OS);
    cr_assert(s->answered[s->count - 1]);
    test_log_sync(&s->log);
    test_log_stop(&s->log);
    check_all_read(s);
}

static void arm(struct story *s, const struct fault *fault)
{
    s->hits = fr_sim_fault_hits(s->log.world.sim);
    s->expected = fault->of_memory ? FR_ERR_NOMEM : fr_status_of_errno(fault->sim.os_error);
    if (fault->of_memory)
        fr_alloc_fail_at(fault->sim.nth, fault->sim.forever);
    else
        must(fr_sim_fault_add(s->log.world.sim, &fault->sim));
}

static bool disarm(struct story *s, const struct fault *fault)
{
    bool hit =
            fault->of_memory ? fr_alloc_fault_hit() : fr_sim_fault_hits(s->log.world.sim) > s->hits;

    fr_alloc_fail_at(0, false);
    fr_sim_fault_clear(s->log.world.sim);
    return hit;
}

static void begin(struct story *s)
{
    memset(s, 0, sizeof(*s));
    test_log_init(&s->log);
    s->log.options.spares_max = 1;
}

static bool write_with(const struct fault *fault)
{
    static struct story s;

    begin(&s);
    arm(&s, fault);
    tell(&s);
    bool hit = disarm(&s, fault);
    cr_assert(hit || !s.failed);
    test_log_stop(&s.log);
    check_aftermath(&s);
    test_log_deinit(&s.log);
    return hit;
}

static fr_status read_twice(struct story *s, struct fr_wal_reader **reader)
{
    size_t next = s->first;
    fr_status st;

    FR_TRY(open_reader(s, reader));
    FR_TRY(read_all(s, *reader, &next));
    cr_assert_eq(next, s->count);
    FR_TRY(fr_wal_reader_resume(*reader));
    FR_TRY(read_all(s, *reader, &next));
out:
    return st;
}

static bool read_with(struct story *s, const struct fault *fault)
{
    struct fr_wal_reader *reader = NULL;

    s->failed = false;
    arm(s, fault);
    fr_status st = read_twice(s, &reader);
    bool hit = disarm(s, fault);
    check_status(s, st);
    cr_assert(hit || !s->failed);
    fr_wal_reader_close(reader);
    reopen_directory(s);
    return hit;
}

static unsigned sweep(struct fault fault, bool (*try)(void *ctx, const struct fault *fault),
        void *ctx)
{
    struct fr_alloc_stats before, after;
    unsigned hits = 0;

    fr_alloc_stats_get(&before);
    for (fault.sim.nth = 1; try(ctx, &fault); fault.sim.nth++)
        hits++;
    fr_alloc_stats_get(&after);
    cr_assert_eq(before.live_count, after.live_count);
    return hits;
}

static bool try_to_write(void *ctx, const struct fault *fault)
{
    (void)ctx;
    return write_with(fault);
}

static bool try_to_read(void *ctx, const struct fault *fault)
{
    return read_with(ctx, fault);
}

TestSuite(wal_faults, .timeout = 60);

Test(wal_faults, whatever_call_to_the_disk_fails_what_was_answered_is_there)
{
    static const struct fault faults[] = {
            {.sim = {.os_error = EIO}},
            {.sim = {.os_error = ENOSPC, .forever = true}},
            {.sim = {.os_error = EIO, .forever = true, .kind = FR_SIM_FAULT_ERROR_AFTER}},
            {.sim = {.os_error = ENOSPC, .kind = FR_SIM_FAULT_ERROR_AFTER}},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(faults); i++) {
        struct fault fault = faults[i];
        fault.sim.ops = FR_SIM_MASK_ALL;
        cr_assert_gt(sweep(fault, try_to_write, NULL), 50);
    }
}

Test(wal_faults, whatever_allocation_fails_what_was_answered_is_there)
{
    for (int i = 0; i < 2; i++) {
        struct fault fault = {.of_memory = true, .sim = {.forever = i}};
        cr_assert_gt(sweep(fault, try_to_write, NULL), 20);
    }
}

Test(wal_faults, whatever_fails_a_reader_says_so_or_has_it_all)
{
    static struct story s;
    struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = EIO}};

    begin(&s);
    tell(&s);
    cr_assert(!s.failed);
    /* Looked through for what it might have known. */
    fr_file_close(test_file_with(&s.log.world, "009999.wal", FR_WAL_SEGMENT_SIZE_MIN));
    check_all_read(&s); /* and made durable */
    cr_assert_gt(sweep(fault, try_to_read, &s), 30);
    fault.of_memory = true;
    cr_assert_gt(sweep(fault, try_to_read, &s), 10);
    test_log_deinit(&s.log);
}

/* A segment that is read in several pieces, with a flaw behind which there is more. */
Test(wal_faults, whatever_fails_while_it_is_looked_through_is_told)
{
    /* The second is in the header of a group in the last block of a piece. */
    static const uint64_t group = FR_WAL_HEADER_SIZE + 13 * (FR_WAL_GROUP_HEADER_SIZE + 20000);
    static const uint64_t flaws[] = {30000, group + 8, 500000};
    struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = EIO}};
    static struct test_log log;
    fr_status st = FR_ERR_IO;

    test_log_init(&log);
    log.options.segment_size = (uint64_t)1 << 20;
    test_log_open(&log);
    for (int i = 0; i < 30; i++)
        test_log_append_big(&log, 20000);
    test_log_stop(&log);
    for (size_t i = 0; i < FR_ARRAY_COUNT(flaws); i++) {
        test_log_flip(&log, "000001.wal", flaws[i]);
        for (fault.sim.nth = 1; st == FR_ERR_IO; fault.sim.nth++) {
            must(fr_sim_fault_add(log.world.sim, &fault.sim));
            st = test_log_read(&log);
            fr_sim_fault_clear(log.world.sim);
        }
        cr_assert_eq(st, FR_OK, "%s", fr_last_error());
        cr_assert_gt(fault.sim.nth, 6);
        cr_assert_eq(log.end.verdict, FR_WAL_END_TORN);
        test_log_flip(&log, "000001.wal", flaws[i]);
        st = FR_ERR_IO;
    }
    test_log_deinit(&log);
}

Test(wal_faults, whatever_fails_when_a_reader_looks_again_is_told)
{
    struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = EIO}};
    fr_status st = FR_ERR_IO;
    static struct story s;

    for (fault.sim.nth = 1; st == FR_ERR_IO; fault.sim.nth++) {
        struct fr_wal_reader *reader;
        size_t next = 0;

        begin(&s);
        must(open_reader(&s, &reader));
        must(read_all(&s, reader, &next));
        must(open_writer(&s));
        append(&s, FR_WAL_OS);
        arm(&s, &fault);
        st = fr_wal_reader_resume(reader);
        disarm(&s, &fault);
        if (st == FR_OK) must(read_all(&s, reader, &next));
        cr_assert_eq(next, st == FR_OK ? 1 : 0);
        fr_wal_reader_close(reader);
        test_log_deinit(&s.log);
    }
    cr_assert_eq(st, FR_OK);
    cr_assert_gt(fault.sim.nth, 4);
}
