#include "wal/wal_segment.h"

#include <errno.h>

#include "tests/unit/wal/test_log.h"

static struct fr_wal_segment *begun(struct test_log *log, uint64_t size)
{
    struct fr_wal_header header = {.kind = FR_WAL_KIND_LOG, .number = 1, .epoch = 5, .first = 8192};
    struct fr_wal_segment *s;

    must(fr_wal_segment_create(log->world.dir, FR_WAL_KIND_LOG, 1, size, 0, &s));
    fr_wal_segment_begin(s, &header);
    return s;
}

static void add(struct fr_wal_segment *s, uint32_t size)
{
    struct fr_wal_group group = {.type = FR_WAL_DATA, .flags = 3, .size = size};
    fr_wal_segment_add(s, &group, NULL);
}

Test(wal_segment, a_blank_file_has_its_full_size_and_is_durable_with_its_name)
{
    struct test_log log;
    struct fr_wal_segment *s;
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;

    test_log_init(&log);
    must(fr_wal_segment_create(log.world.dir, FR_WAL_KIND_MANIFEST, 12, 16384, 0, &s));
    must(fr_sim_crash_open(log.world.sim, NULL, &crash));
    cr_assert_eq(fr_sim_crash_unit_count(crash), 0);
    must(fr_sim_crash_next(crash, &image));
    struct fr_buf bytes = FR_BUF_EMPTY;
    must(fr_sim_image_read(image, "store/000012.manifest", &bytes));
    cr_assert_eq(bytes.size, 16384);
    for (size_t i = 0; i < bytes.size; i++)
        cr_assert_eq(bytes.data[i], 0);
    fr_buf_deinit(&bytes);
    fr_sim_image_free(image);
    fr_sim_crash_close(crash);
    fr_wal_segment_close(s);
    test_log_deinit(&log);
}

Test(wal_segment, a_file_that_cannot_be_made_is_removed)
{
    struct test_log log;
    struct fr_wal_segment *s;
    struct fr_file_info info;
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_WRITE), .os_error = ENOSPC, .forever = true};

    test_log_init(&log);
    must(fr_sim_fault_add(log.world.sim, &fault));
    must_be(FR_ERR_NOSPACE,
            fr_wal_segment_create(log.world.dir, FR_WAL_KIND_LOG, 12, 16384, 0, &s));
    must_say("/000012.wal: write");
    must_be(FR_NOT_FOUND, fr_dir_stat(log.world.dir, "000012.wal", &info));
    test_log_deinit(&log);
}

Test(wal_segment, filling_ends_on_a_block_wherever_it_starts)
{
    struct test_log log;

    test_log_init(&log);
    struct fr_wal_segment *s = begun(&log, 1 << 20);
    for (uint32_t size = 0; size < 4200; size += 8) {
        if (!fr_wal_segment_fits(s, size + 8192)) fr_wal_segment_begin(s, &s->header);
        add(s, size);
        fr_wal_segment_fill(s, FR_WAL_PAD, 0, 0);
        cr_assert_eq(s->at % 4096, 0);
        uint64_t at = s->at;
        fr_wal_segment_fill(s, FR_WAL_PAD, 0, 0);
        cr_assert_eq(s->at, at); /* nothing is left to fill */
    }
    fr_wal_segment_close(s);
    test_log_deinit(&log);
}

Test(wal_segment, what_was_published_is_not_written_again)
{
    struct test_log log;

    test_log_init(&log);
    struct fr_wal_segment *s = begun(&log, 16384);
    add(s, 100);
    must(fr_wal_segment_publish(s));
    uint64_t writes = fr_sim_op_count(log.world.sim, FR_SIM_WRITE);
    must(fr_wal_segment_publish(s));
    cr_assert_eq(fr_sim_op_count(log.world.sim, FR_SIM_WRITE), writes);
    fr_wal_segment_close(s);
    test_log_deinit(&log);
}

Test(wal_segment, a_seal_always_finds_room)
{
    struct test_log log;

    test_log_init(&log);
    for (uint32_t size = 1000; size < 4300; size += 56) {
        struct fr_wal_segment *s = begun(&log, 16384);
        while (fr_wal_segment_fits(s, size))
            add(s, size);
        fr_wal_segment_fill(s, FR_WAL_SEAL, 0, 0);
        cr_assert_leq(s->at, s->size);
        cr_assert_eq(s->at % 4096, 0);
        fr_wal_segment_close(s);
        must(fr_dir_unlink(log.world.dir, "000001.wal"));
    }
    test_log_deinit(&log);
}

Test(wal_segment, the_largest_payload_fits_in_an_empty_segment)
{
    struct test_log log;

    test_log_init(&log);
    struct fr_wal_segment *s = begun(&log, 16384);
    cr_assert_eq(fr_wal_segment_payload_max(16384), 16384 - 2 * 4096 - 48);
    cr_assert(fr_wal_segment_fits(s, 16384 - 2 * 4096 - 48));
    cr_assert_not(fr_wal_segment_fits(s, 16384 - 2 * 4096 - 47));
    cr_assert_eq(fr_wal_segment_payload_max(64 << 20), 1 << 20);
    fr_wal_segment_close(s);
    test_log_deinit(&log);
}
