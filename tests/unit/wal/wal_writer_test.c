#include "wal/wal_writer.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/thread.h"
#include "tests/unit/wal/test_log.h"

static struct test_log log_;

static void open_log(void)
{
    test_log_init(&log_);
}

static void close_log(void)
{
    test_log_deinit(&log_);
}

TestSuite(wal_writer, .init = open_log, .fini = close_log, .timeout = 60);

Test(wal_writer, what_was_appended_is_read_back_in_order)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append(&log_, "");
    test_log_append(&log_, "bb");
    test_log_stop(&log_);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a  bb ");
    cr_assert_eq(log_.end.verdict, FR_WAL_END_OPEN);
}

Test(wal_writer, parts_are_put_together)
{
    fr_slice parts[] = {fr_slice_of_text("one"), fr_slice_of(NULL, 0), fr_slice_of_text("two"),
            fr_slice_of_text("three")};
    fr_lsn end;

    test_log_open(&log_);
    must(fr_wal_writer_append(log_.writer, parts, 4, 7, FR_WAL_NONE, &end));
    test_log_sync(&log_);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "onetwothree ");
}

Test(wal_writer, a_durable_place_is_a_block_and_nothing_before_it_is_written_again)
{
    test_log_open(&log_);
    fr_lsn end = test_log_append(&log_, "a");
    fr_lsn durable = test_log_sync(&log_);
    cr_assert_geq(durable, end);
    cr_assert_eq(durable % FR_WAL_BLOCK_SIZE, 0);
    struct fr_buf before = test_log_load(&log_, "000001.wal");
    test_log_append(&log_, "b");
    test_log_sync(&log_);
    struct fr_buf after = test_log_load(&log_, "000001.wal");
    cr_assert_arr_eq(before.data, after.data, FR_WAL_HEADER_SIZE + durable);
    fr_buf_deinit(&before);
    fr_buf_deinit(&after);
}

Test(wal_writer, a_sync_with_nothing_new_does_nothing)
{
    struct fr_env_stats before, after;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    fr_lsn durable = test_log_sync(&log_);
    fr_env_stats_get(log_.world.env, &before);
    cr_assert_eq(test_log_sync(&log_), durable);
    fr_env_stats_get(log_.world.env, &after);
    cr_assert_eq(before.sync_count, after.sync_count);
    cr_assert_eq(before.write_count, after.write_count);
}

Test(wal_writer, batches_larger_than_groups_and_segments_come_back_whole)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append_big(&log_, 100000);
    test_log_append(&log_, "b");
    test_log_append_big(&log_, 8144);
    test_log_append_big(&log_, 8145);
    cr_assert_gt(fr_wal_writer_segment_count(log_.writer), 5);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a b ");
    cr_assert_eq(log_.batch_count, 5);
}

Test(wal_writer, a_batch_beyond_the_limit_is_refused)
{
    fr_slice parts[] = {fr_slice_of("", FR_WAL_BATCH_MAX), fr_slice_of("", 1)};
    fr_lsn end;

    test_log_open(&log_);
    must_be(FR_ERR_LIMIT, fr_wal_writer_append(log_.writer, parts, 2, 7, FR_WAL_OS, &end));
    parts[0].size = SIZE_MAX;
    must_be(FR_ERR_LIMIT, fr_wal_writer_append(log_.writer, parts, 2, 7, FR_WAL_OS, &end));
    test_log_append(&log_, "a");
}

Test(wal_writer, a_sealed_log_takes_nothing_more_and_says_that_it_was_closed)
{
    fr_slice part = fr_slice_of_text("x");
    fr_lsn end;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    must(fr_wal_writer_seal(log_.writer));
    must_be(FR_ERR_MISUSE, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end));
    must_be(FR_ERR_MISUSE, fr_wal_writer_seal(log_.writer));
    test_log_stop(&log_);
    must(test_log_read(&log_));
    cr_assert_eq(log_.end.verdict, FR_WAL_END_CLOSED);
    test_log_open(&log_);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a b ");
    cr_assert_eq(log_.end.verdict, FR_WAL_END_OPEN);
}

Test(wal_writer, released_segments_are_used_again_and_the_rest_removed)
{
    log_.options.spares_max = 1;
    test_log_open(&log_);
    for (int i = 0; i < 4; i++)
        test_log_append_big(&log_, 8000);
    fr_lsn durable = test_log_sync(&log_);
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 4);
    must(fr_wal_writer_release(log_.writer, durable));
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 1);
    cr_assert_eq(fr_wal_writer_bytes(log_.writer), 2 * FR_WAL_SEGMENT_SIZE_MIN);
    log_.start = durable;
    test_log_append_big(&log_, 8000);
    cr_assert_eq(fr_wal_writer_bytes(log_.writer), 2 * FR_WAL_SEGMENT_SIZE_MIN);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
    cr_assert_eq(log_.batch_count, 2);
}

Test(wal_writer, a_successor_that_finds_no_room_does_no_harm)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_CREATE), .os_error = ENOSPC, .forever = true};
    static uint8_t bytes[8000];
    fr_slice part = fr_slice_of(bytes, sizeof(bytes));
    fr_lsn end;

    test_log_open(&log_);
    test_log_append_big(&log_, 8000);
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_NOSPACE, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end));
    test_log_sync(&log_);
    fr_sim_fault_clear(log_.world.sim);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 2);
}

/* Six segments, of which so many can be made. */
static void refuse_big_batch(uint64_t made)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_CREATE),
            .os_error = ENOSPC,
            .nth = made + 1,
            .forever = true};
    static uint8_t bytes[60000];
    fr_slice part = fr_slice_of(bytes, sizeof(bytes));
    fr_lsn before = fr_wal_writer_end(log_.writer), end;

    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_NOSPACE, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end));
    cr_assert_eq(fr_wal_writer_end(log_.writer), before);
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 1);
    /* What was made in vain is not kept from those who need the space. */
    cr_assert_leq(fr_wal_writer_bytes(log_.writer), 2 * FR_WAL_SEGMENT_SIZE_MIN);
    test_log_append(&log_, "s");
    fr_sim_fault_clear(log_.world.sim);
}

Test(wal_writer, a_batch_over_many_segments_that_finds_no_room_does_no_harm)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    for (uint64_t made = 0; made < 5; made++)
        refuse_big_batch(made);
    test_log_append_big(&log_, 60000);
    cr_assert_gt(fr_wal_writer_segment_count(log_.writer), 5);
    /* And no file was made in advance that was not used. */
    cr_assert_eq(fr_wal_writer_bytes(log_.writer),
            fr_wal_writer_segment_count(log_.writer) * FR_WAL_SEGMENT_SIZE_MIN);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a s s s s s b ");
    cr_assert_eq(log_.batch_count, 8);
}

Test(wal_writer, a_failed_sync_ends_it_with_the_first_words)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC)};
    fr_slice part = fr_slice_of_text("x");
    fr_lsn end, durable = 0;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_writer_sync(log_.writer, &durable));
    must_be(FR_ERR_POISONED, fr_wal_writer_sync(log_.writer, &durable));
    must_say("/000001.wal: sync");
    must_be(FR_ERR_POISONED, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end));
    must_say("/000001.wal: sync");
    cr_assert_eq(durable, 0);
    cr_assert_eq(fr_sim_op_count(log_.world.sim, FR_SIM_SYNC), 2); /* prewrite, and the one */
}

/* "No space" would say that nothing was changed, and that it may be tried again. */
Test(wal_writer, what_ends_it_is_never_told_as_want_of_space)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_WRITE) | FR_SIM_MASK(FR_SIM_SYNC), .os_error = ENOSPC};
    fr_slice part = fr_slice_of_text("x");
    fr_lsn end = 0, durable;
    fr_status st;

    test_log_open(&log_);
    must(fr_sim_fault_add(log_.world.sim, &fault));
    st = fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end);
    if (st == FR_OK) st = fr_wal_writer_sync(log_.writer, &durable);
    cr_assert_eq(st, FR_ERR_IO, "%s", fr_status_name(st));
    must_say("No space left on device");
    must_be(FR_ERR_POISONED, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &end));
    must_say("No space left on device");
}

Test(wal_writer, a_mark_is_made_once)
{
    test_log_open(&log_);
    must(fr_wal_writer_mark(log_.writer));
    cr_assert_eq(fr_wal_writer_end(log_.writer), 0);
    test_log_append(&log_, "a");
    fr_lsn durable = test_log_sync(&log_);
    must(fr_wal_writer_mark(log_.writer));
    cr_assert_eq(fr_wal_writer_end(log_.writer), durable + FR_WAL_GROUP_HEADER_SIZE);
    must(fr_wal_writer_mark(log_.writer));
    cr_assert_eq(fr_wal_writer_end(log_.writer), durable + FR_WAL_GROUP_HEADER_SIZE);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
}

Test(wal_writer, odd_options_are_misuse)
{
    struct fr_wal_writer_options good = log_.options, bad = good;

    bad.epoch = 0;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.segment_size = 8192;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad.segment_size = 16385;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.kind = 9;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.next_number = NULL;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.spares_max = FR_WAL_SPARES_MAX + 1;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.first_size = FR_WAL_FIRST_SIZE_MIN - FR_WAL_BLOCK_SIZE;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad.first_size = FR_WAL_FIRST_SIZE_MIN + 1;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
    bad = good;
    bad.segment_size = FR_WAL_SEGMENT_SIZE_MAX + FR_WAL_BLOCK_SIZE;
    must_be(FR_ERR_MISUSE, fr_wal_writer_open(log_.world.dir, &bad, &log_.writer));
}

Test(wal_writer, the_first_segment_may_be_shorter_and_is_not_used_again)
{
    log_.options.segment_size = 0;
    log_.options.first_size = FR_WAL_FIRST_SIZE_MIN;
    log_.options.spares_max = 1;
    test_log_open(&log_);
    cr_assert_eq(fr_wal_writer_bytes(log_.writer), FR_WAL_FIRST_SIZE_MIN);
    test_log_append_big(&log_, FR_WAL_FIRST_SIZE_MIN);
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 2);
    fr_lsn durable = test_log_sync(&log_);
    must(fr_wal_writer_release(log_.writer, durable));
    cr_assert_eq(fr_wal_writer_bytes(log_.writer), FR_WAL_SEGMENT_SIZE_DEFAULT);
}

/* Segments 1 to 3 are before the durable place that is answered. */
static fr_lsn write_three_segments(void)
{
    test_log_open(&log_);
    for (int i = 0; i < 4; i++)
        test_log_append_big(&log_, 8000);
    return test_log_sync(&log_);
}

Test(wal_writer, a_file_that_cannot_be_removed_is_left_behind)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_UNLINK), .forever = true};
    fr_lsn durable = write_three_segments();

    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_writer_release(log_.writer, durable));
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 1);
    fr_sim_fault_clear(log_.world.sim);
    test_log_append(&log_, "b");
    log_.start = durable;
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
}

Test(wal_writer, a_file_that_somebody_has_removed_is_not_missed)
{
    fr_lsn durable = write_three_segments();

    must(fr_dir_unlink(log_.world.dir, "000002.wal"));
    must(fr_wal_writer_release(log_.writer, durable));
}

Test(wal_writer, a_mark_that_finds_no_room_is_refused_and_may_be_tried_again)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_CREATE), .os_error = ENOSPC};

    test_log_open(&log_);
    test_log_append_big(&log_, 8000);
    test_log_sync(&log_); /* to the end of the last block but the seal's */
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_NOSPACE, fr_wal_writer_mark(log_.writer));
    must(fr_wal_writer_mark(log_.writer));
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 2);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 2);
}

/* ---- what happens while a call has given up the lock */

static struct meanwhile {
    enum fr_sim_op op;
    enum fr_sim_op fails;
    void (*act)(void);
} meanwhile_;

static void on_point(void *ctx, const struct fr_sim_point *point)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(meanwhile_.fails)};
    void (*act)(void) = meanwhile_.act;

    (void)ctx;
    if (act == NULL || point->after || point->op != meanwhile_.op) return;
    meanwhile_.act = NULL;
    must(fr_sim_fault_add(log_.world.sim, &fault));
    act();
}

static void fail_to_sync(void)
{
    must_be(FR_ERR_IO, fr_wal_writer_sync(log_.writer, &(fr_lsn){0}));
}

static void fail_to_append(void)
{
    fr_slice part = fr_slice_of_text("x");
    must_be(FR_ERR_IO, fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &(fr_lsn){0}));
}

static void plan(enum fr_sim_op op, void (*act)(void), enum fr_sim_op fails)
{
    meanwhile_ = (struct meanwhile){.op = op, .act = act, .fails = fails};
    fr_sim_set_hook(log_.world.sim, on_point, NULL);
}

static void must_be_poisoned(size_t size)
{
    static uint8_t bytes[40000];
    fr_slice part = fr_slice_of(bytes, size);

    must_be(FR_ERR_POISONED,
            fr_wal_writer_append(log_.writer, &part, 1, 7, FR_WAL_OS, &(fr_lsn){0}));
    cr_assert_null(meanwhile_.act);
}

Test(wal_writer, an_append_does_not_go_on_where_the_log_has_failed_meanwhile)
{
    static const size_t sizes[] = {8000, 40000}; /* one more segment, and several */

    for (size_t i = 0; i < 2; i++) {
        test_log_open(&log_);
        test_log_append_big(&log_, 8000);
        plan(FR_SIM_CREATE, fail_to_sync, FR_SIM_SYNC);
        must_be_poisoned(sizes[i]);
        test_log_stop(&log_);
        must(test_log_read(&log_));
        cr_assert_eq(log_.batch_count, i + 1);
    }
}

Test(wal_writer, a_sync_vouches_for_nothing_where_a_write_has_failed_meanwhile)
{
    fr_lsn durable = 0;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    plan(FR_SIM_SYNC, fail_to_append, FR_SIM_WRITE);
    must_be(FR_ERR_POISONED, fr_wal_writer_sync(log_.writer, &durable));
    cr_assert_eq(durable, 0);
    must_be(FR_ERR_POISONED, fr_wal_writer_mark(log_.writer));
    must_be(FR_ERR_POISONED, fr_wal_writer_prepare(log_.writer));
}

static struct fr_thread waiter;

static void wait_for_sync(void *arg)
{
    fr_lsn durable = 0;

    fr_status st = fr_wal_writer_sync(log_.writer, &durable);
    *(fr_status *)arg = st;
}

static fr_status waited;

/* Long enough for it to come to where it waits; sooner, it is refused at the door. */
static void have_another_wait(void)
{
    must(fr_thread_start(&waiter, "waiter", wait_for_sync, &waited));
    usleep(50000);
}

Test(wal_writer, who_waits_for_a_sync_that_fails_is_not_told_that_his_has_worked)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    plan(FR_SIM_SYNC, have_another_wait, FR_SIM_SYNC);
    must_be(FR_ERR_IO, fr_wal_writer_sync(log_.writer, &(fr_lsn){0}));
    fr_thread_join(&waiter);
    cr_assert_eq(waited, FR_ERR_POISONED);
}

/* The first words count: they say where it began. */
Test(wal_writer, of_two_failures_at_a_time_the_first_is_remembered)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC)};

    test_log_open(&log_);
    test_log_append(&log_, "a");
    plan(FR_SIM_SYNC, fail_to_append, FR_SIM_WRITE);
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_writer_sync(log_.writer, &(fr_lsn){0}));
    must_be(FR_ERR_POISONED, fr_wal_writer_sync(log_.writer, &(fr_lsn){0}));
    must_say("write");
}

/* Threads: one appends, two sync, one prepares and releases. */
struct crowd {
    struct test_log *log;
    _Atomic(bool) stop;
    _Atomic(uint64_t) released;
};

static void keep_syncing(void *arg)
{
    struct crowd *crowd = arg;
    fr_lsn last = 0, durable = 0;

    while (!atomic_load(&crowd->stop)) {
        fr_lsn end = fr_wal_writer_end(crowd->log->writer);
        must(fr_wal_writer_sync(crowd->log->writer, &durable));
        cr_assert_geq(durable, end);
        cr_assert_geq(durable, last);
        last = durable;
    }
}

static void keep_house(void *arg)
{
    struct crowd *crowd = arg;

    while (!atomic_load(&crowd->stop)) {
        must(fr_wal_writer_prepare(crowd->log->writer));
        fr_lsn durable = fr_wal_writer_durable(crowd->log->writer);
        must(fr_wal_writer_release(crowd->log->writer, durable));
        (void)fr_wal_writer_bytes(crowd->log->writer);
        (void)fr_wal_writer_segment_count(crowd->log->writer);
    }
}

Test(wal_writer, syncs_and_housekeeping_go_along_with_appends)
{
    struct crowd crowd = {.log = &log_};
    struct fr_thread threads[3] = {0};

    log_.options.spares_max = 2;
    log_.options.segment_size = 65536;
    test_log_open(&log_);
    must(fr_thread_start(&threads[0], "sync 1", keep_syncing, &crowd));
    must(fr_thread_start(&threads[1], "sync 2", keep_syncing, &crowd));
    must(fr_thread_start(&threads[2], "house", keep_house, &crowd));
    for (int i = 0; i < 2000; i++)
        test_log_append_big(&log_, i % 50 == 0 ? 100000 : 300);
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < 3; i++)
        fr_thread_join(&threads[i]);
    test_log_append(&log_, "z");
    must(fr_wal_writer_release(log_.writer, test_log_sync(&log_) - FR_WAL_BLOCK_SIZE));
    log_.start = fr_wal_writer_durable(log_.writer) - FR_WAL_BLOCK_SIZE;
    must(test_log_read(&log_));
}
