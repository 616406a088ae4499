#include "wal/wal_cursor.h"

#include "tests/unit/wal/test_log.h"

#define NAME "000001.wal"

struct test_cursor {
    struct test_log log;
    struct fr_file *file;
    struct fr_wal_cursor in;
};

/* A log with "a", "bb" and "ccc", and a byte of it flipped, unless that is at 0. */
static void setup(struct test_cursor *t, uint64_t flip)
{
    uint8_t page[FR_WAL_HEADER_SIZE];
    struct fr_wal_header header;
    struct fr_file_info info;

    test_log_init(&t->log);
    test_log_open(&t->log);
    (void)test_log_append(&t->log, "a");
    (void)test_log_append(&t->log, "bb");
    (void)test_log_append(&t->log, "ccc");
    test_log_stop(&t->log);
    if (flip > 0) test_log_flip(&t->log, NAME, flip);
    must(fr_file_open(t->log.world.dir, NAME, 0, &t->file));
    must(fr_file_info_get(t->file, &info));
    must(fr_file_read_exact(t->file, 0, page, sizeof(page)));
    must(fr_wal_header_decode(page, &header));
    t->in = FR_WAL_CURSOR_EMPTY;
    fr_wal_cursor_use(&t->in, t->file, info.size, &header, header.store, header.number);
    fr_wal_cursor_rewind(&t->in);
}

static void teardown(struct test_cursor *t)
{
    fr_wal_cursor_deinit(&t->in);
    fr_file_close(t->file);
    test_log_deinit(&t->log);
}

static void expect_next(struct test_cursor *t, const char *text)
{
    struct fr_wal_group g;
    fr_slice payload;

    must(fr_wal_cursor_next(&t->in, &g, &payload));
    cr_assert(fr_slice_equal(payload, fr_slice_of_text(text)));
}

Test(wal_cursor, reads_the_groups_of_a_segment_in_order)
{
    struct test_cursor t;
    struct fr_wal_group g;
    fr_slice payload;

    setup(&t, 0);
    expect_next(&t, "a");
    expect_next(&t, "bb");
    expect_next(&t, "ccc");
    cr_assert_eq(t.in.group_count, 3);
    uint64_t end = t.in.offset;
    cr_assert_eq(fr_wal_cursor_next(&t.in, &g, &payload), FR_NOT_FOUND);
    cr_assert_eq(t.in.offset, end);
    teardown(&t);
}

Test(wal_cursor, skips_no_gap_where_there_is_none_and_takes_nothing_at_the_end)
{
    struct test_cursor t;
    struct fr_wal_group g;
    fr_slice payload;

    setup(&t, 0);
    must(fr_wal_cursor_skip_gap(&t.in));
    cr_assert_eq(t.in.offset, FR_WAL_HEADER_SIZE);
    for (int i = 0; i < 3; i++)
        must(fr_wal_cursor_take(&t.in, &g, &payload));
    cr_assert_eq(fr_wal_cursor_take(&t.in, &g, &payload), FR_NOT_FOUND);
    teardown(&t);
}

/* A payload of which only the beginning was read along with its header. */
Test(wal_cursor, what_cannot_be_read_is_told)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ), .nth = 2};
    struct test_cursor t;
    struct fr_wal_group g;
    fr_slice payload;

    test_log_init(&t.log);
    t.log.options.segment_size = (uint64_t)1 << 20;
    test_log_open(&t.log);
    (void)test_log_append_big(&t.log, (size_t)600 << 10);
    test_log_stop(&t.log);
    must(fr_file_open(t.log.world.dir, NAME, 0, &t.file));
    struct fr_buf bytes = test_log_load(&t.log, NAME);
    struct fr_wal_header header;
    must(fr_wal_header_decode(bytes.data, &header));
    t.in = FR_WAL_CURSOR_EMPTY;
    fr_wal_cursor_use(&t.in, t.file, bytes.size, &header, header.store, header.number);
    fr_wal_cursor_rewind(&t.in);
    must(fr_sim_fault_add(t.log.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_cursor_take(&t.in, &g, &payload));
    must(fr_wal_cursor_take(&t.in, &g, &payload));
    cr_assert_eq(payload.size, (size_t)600 << 10);
    fr_buf_deinit(&bytes);
    teardown(&t);
}

Test(wal_cursor, goes_on_with_the_chain_behind_a_damaged_payload)
{
    struct fr_wal_group g;
    struct test_cursor t;
    fr_slice payload;

    setup(&t, 4096 + 56 + 48);
    expect_next(&t, "a");
    cr_assert_eq(fr_wal_cursor_next(&t.in, &g, &payload), FR_NOT_FOUND);
    must(fr_wal_cursor_take(&t.in, &g, &payload));
    cr_assert_eq(g.size, 2);
    cr_assert_neq(payload.data[0], 'b');
    expect_next(&t, "ccc");
    teardown(&t);
}

Test(wal_cursor, finds_the_next_group_behind_a_damaged_header)
{
    struct fr_wal_group g;
    struct test_cursor t;
    fr_slice payload;

    setup(&t, 4096 + 56 + 40);
    expect_next(&t, "a");
    uint64_t offset = t.in.offset;
    cr_assert_eq(fr_wal_cursor_peek(&t.in, &g), FR_NOT_FOUND);
    must(fr_wal_cursor_find(&t.in, 0, &offset, &g));
    cr_assert_eq(offset, 4096 + 112);
    cr_assert_eq(g.size, 3);
    t.in.offset = offset;
    must(fr_wal_cursor_take(&t.in, &g, &payload));
    cr_assert(fr_slice_equal(payload, fr_slice_of_text("ccc")));
    offset += 8;
    cr_assert_eq(fr_wal_cursor_find(&t.in, 0, &offset, &g), FR_END);
    teardown(&t);
}

Test(wal_cursor, finds_groups_without_a_header_by_store_and_number)
{
    uint64_t offset = FR_WAL_HEADER_SIZE;
    struct fr_wal_header header;
    struct fr_wal_group g;
    struct test_cursor t;

    setup(&t, 0);
    header = t.in.header;
    fr_wal_cursor_use(&t.in, t.file, header.size, NULL, header.store, header.number);
    must(fr_wal_cursor_find(&t.in, UINT64_MAX, &offset, &g));
    cr_assert_eq(offset, FR_WAL_HEADER_SIZE);
    cr_assert_eq(g.lsn, header.first);
    fr_wal_cursor_use(&t.in, t.file, header.size, NULL, header.store, header.number + 1);
    cr_assert_eq(fr_wal_cursor_find(&t.in, UINT64_MAX, &offset, &g), FR_END);
    teardown(&t);
}
