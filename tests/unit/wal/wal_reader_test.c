#include "wal/wal_reader.h"

#include <inttypes.h>

#include "base/coding.h"
#include "base/crc32c.h"
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

TestSuite(wal_reader, .init = open_log, .fini = close_log, .timeout = 300);

Test(wal_reader, an_empty_directory_is_an_empty_log_unless_somebody_knows_better)
{
    must(test_log_read(&log_));
    cr_assert_eq(log_.end.verdict, FR_WAL_END_OPEN);
    cr_assert_eq(log_.end.link.number, 0);
    log_.durable = 4096;
    must_be(FR_ERR_MISSING, test_log_read(&log_));
}

Test(wal_reader, starts_where_it_is_told)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    log_.start = test_log_append(&log_, "b");
    test_log_append(&log_, "c");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "c ");
    cr_assert_eq(log_.last_lsn, log_.start);
}

Test(wal_reader, a_log_that_ends_before_the_start_is_empty_unless_more_was_durable)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    log_.start = 40960;
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 0);
    cr_assert_eq(log_.end.link.number, 0); /* the next opening begins a log of its own */
    log_.durable = 40960;
    must(test_log_read(&log_));
    log_.durable = 40961;
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("000001.wal: group at 4152");
}

/* A log with two syncs, a mark, and a tail: "a b" | "c" | mark, "d". */
struct places {
    fr_lsn first, second, end;
};

#define SAMPLE_SIZE 20480

static struct places write_sample(void)
{
    struct places p;

    log_.options.segment_size = SAMPLE_SIZE;
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append(&log_, "b");
    p.first = test_log_sync(&log_);
    test_log_append(&log_, "c");
    p.second = test_log_sync(&log_);
    must(fr_wal_writer_mark(log_.writer));
    p.end = test_log_append(&log_, "d");
    test_log_stop(&log_);
    return p;
}

enum outcome { SAME, TORN, CORRUPT, OUTCOMES };

static enum outcome read_outcome(const char *whole)
{
    fr_status st = test_log_read(&log_);

    if (st == FR_ERR_CORRUPT || st == FR_ERR_MISSING) return CORRUPT;
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_eq(strncmp(log_.text, whole, strlen(log_.text)), 0); /* a prefix, whatever else */
    return strcmp(log_.text, whole) == 0 ? SAME : TORN;
}

enum zone { HEADER, ACKED, TAIL, BEYOND, ZONES };

static enum zone zone_of(uint64_t offset, const struct places *p)
{
    if (offset < 4096) return HEADER;
    if (offset < 4096 + p->second) return ACKED;
    return offset < 4096 + p->end ? TAIL : BEYOND;
}

static void print_matrix(const char *title, unsigned matrix[ZONES][OUTCOMES])
{
    static const char *const zones[] = {"header page", "acknowledged", "tail", "never written"};

    fprintf(stderr, "%-34s  read whole  torn end  corrupt\n", title);
    for (int zone = 0; zone < ZONES; zone++)
        fprintf(stderr, "  flipped in: %-20s  %10u  %8u  %7u\n", zones[zone], matrix[zone][SAME],
                matrix[zone][TORN], matrix[zone][CORRUPT]);
}

static void flip_every_byte(const char *whole, const struct places *p,
        unsigned matrix[ZONES][OUTCOMES])
{
    for (uint64_t offset = 0; offset < log_.options.segment_size; offset++) {
        test_log_flip(&log_, "000001.wal", offset);
        matrix[zone_of(offset, p)][read_outcome(whole)]++;
        test_log_flip(&log_, "000001.wal", offset);
    }
}

Test(wal_reader, a_flipped_byte_is_damage_below_the_durable_place_and_a_torn_end_above)
{
    unsigned matrix[ZONES][OUTCOMES] = {0};
    struct places p = write_sample();

    flip_every_byte("a b c d ", &p, matrix);
    print_matrix("with a mark behind the last sync", matrix);
    cr_assert_eq(matrix[HEADER][CORRUPT], 4096);
    cr_assert_eq(matrix[ACKED][CORRUPT], p.second);
    cr_assert_eq(matrix[TAIL][TORN], p.end - p.second);
    cr_assert_eq(matrix[BEYOND][SAME], SAMPLE_SIZE - 4096 - p.end);
}

/* The documented doubt: nobody vouches for the last sync, so its damage looks like a torn end. */
Test(wal_reader, without_a_mark_the_last_sync_is_in_doubt_unless_the_caller_knows)
{
    unsigned matrix[ZONES][OUTCOMES] = {0};
    struct places p;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append(&log_, "b");
    p.first = test_log_sync(&log_);
    test_log_append(&log_, "c");
    p.second = p.end = test_log_sync(&log_);
    test_log_stop(&log_);
    flip_every_byte("a b c ", &p, matrix);
    print_matrix("without a mark", matrix);
    cr_assert_eq(matrix[HEADER][CORRUPT], 4096);
    cr_assert_eq(matrix[ACKED][CORRUPT], p.first);
    /* 56 bytes of "c"; the PAD behind it holds nothing that could be lost. */
    cr_assert_eq(matrix[ACKED][TORN], 56);
    cr_assert_eq(matrix[ACKED][SAME], p.second - p.first - 56);

    memset(matrix, 0, sizeof(matrix));
    log_.durable = p.second;
    flip_every_byte("a b c ", &p, matrix);
    print_matrix("and the caller knows", matrix);
    cr_assert_eq(matrix[HEADER][CORRUPT], 4096);
    cr_assert_eq(matrix[ACKED][CORRUPT], p.second);
}

Test(wal_reader, a_clean_end_leaves_no_doubt)
{
    unsigned matrix[ZONES][OUTCOMES] = {0};
    struct places p;

    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append(&log_, "b");
    must(fr_wal_writer_seal(log_.writer));
    p.end = fr_wal_writer_end(log_.writer);
    p.first = p.second = p.end - FR_WAL_BLOCK_SIZE; /* the seal has a block of its own */
    test_log_stop(&log_);
    flip_every_byte("a b ", &p, matrix);
    print_matrix("after a clean end", matrix);
    cr_assert_eq(matrix[HEADER][CORRUPT], 4096);
    cr_assert_eq(matrix[ACKED][CORRUPT], p.second);
    cr_assert_eq(matrix[TAIL][SAME], FR_WAL_BLOCK_SIZE);
}

/* Two segments, with a sync before the end, or with none. The first one's end. */
static fr_lsn write_two_segments(bool sync)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append_big(&log_, 8000);
    test_log_append_big(&log_, 4000);
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 2);
    if (sync) test_log_sync(&log_);
    test_log_append(&log_, "b");
    test_log_stop(&log_);
    return 8192; /* the seal fills the second block */
}

Test(wal_reader, a_flaw_in_a_segment_whose_successor_was_made_durable_is_damage_at_every_byte)
{
    fr_lsn end = write_two_segments(true);

    for (uint64_t offset = 0; offset < 4096 + end; offset += 3) {
        test_log_flip(&log_, "000001.wal", offset);
        must_be(FR_ERR_CORRUPT, test_log_read(&log_));
        must_say("000001.wal: ");
        test_log_flip(&log_, "000001.wal", offset);
    }
}

Test(wal_reader, a_flaw_in_an_older_segment_is_a_torn_end_if_nobody_asked_for_a_sync)
{
    fr_lsn end = write_two_segments(false);

    for (uint64_t offset = 0; offset < 4096 + end; offset += 3) {
        test_log_flip(&log_, "000001.wal", offset);
        cr_assert_eq(read_outcome("a b "), TORN, "%" PRIu64, offset);
        cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
        cr_assert_lt(log_.batch_count, 4);
        test_log_flip(&log_, "000001.wal", offset);
    }
}

Test(wal_reader, a_damaged_header_of_a_later_segment_is_named)
{
    write_two_segments(true);
    test_log_flip(&log_, "000002.wal", 100);
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("000002.wal: header at 0 is damaged");
}

Test(wal_reader, a_former_life_is_blank_only_where_the_log_has_gone_on)
{
    test_log_open(&log_);
    log_.start = test_log_append(&log_, "a");
    test_log_stop(&log_);
    must(fr_dir_rename(log_.world.dir, "000001.wal", "000002.wal"));
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 0);
    log_.start = 0; /* nobody would have given up this segment */
    must_be(FR_ERR_FOREIGN, test_log_read(&log_));
}

Test(wal_reader, a_lost_sector_or_block_is_never_skipped)
{
    struct places p = write_sample();
    struct fr_buf good = test_log_load(&log_, "000001.wal"), bad = FR_BUF_EMPTY;

    for (size_t size = 512; size <= 4096; size *= 8)
        for (size_t at = 0; at < 4096 + p.end; at += size) {
            fr_buf_clear(&bad);
            fr_buf_append(&bad, good.data, good.size);
            memset(bad.data + at, 0, size);
            if (memcmp(bad.data, good.data, good.size) == 0) continue;
            test_log_store(&log_, "000001.wal", &bad);
            enum outcome outcome = read_outcome("a b c d ");
            cr_assert_eq(outcome, at < 4096 + p.second ? CORRUPT : TORN, "%zu at %zu", size, at);
        }
    fr_buf_deinit(&good);
    fr_buf_deinit(&bad);
}

Test(wal_reader, swapped_blocks_are_damage)
{
    write_sample();
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");
    uint8_t block[4096];

    memcpy(block, bytes.data + 4096, 4096);
    memcpy(bytes.data + 4096, bytes.data + 8192, 4096);
    memcpy(bytes.data + 8192, block, 4096);
    test_log_store(&log_, "000001.wal", &bytes);
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    fr_buf_deinit(&bytes);
}

Test(wal_reader, a_cut_segment_is_damage_wherever_it_is_cut)
{
    write_sample();
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");

    for (size_t size = FR_WAL_HEADER_SIZE; size < SAMPLE_SIZE; size += 97) {
        bytes.size = size;
        test_log_store(&log_, "000001.wal", &bytes);
        must_be(FR_ERR_CORRUPT, test_log_read(&log_));
        must_say("000001.wal: ends at");
    }
    fr_buf_deinit(&bytes);
}

Test(wal_reader, each_missing_segment_is_missed)
{
    test_log_open(&log_);
    for (int i = 0; i < 3; i++)
        test_log_append_big(&log_, 8000);
    must(fr_wal_writer_prepare(log_.writer));
    test_log_stop(&log_);
    cr_assert_geq(fr_dir_unlink(log_.world.dir, "000003.wal"), 0);
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    must_say("000002.wal: the segment that follows it is not there");
    cr_assert_geq(fr_dir_unlink(log_.world.dir, "000001.wal"), 0);
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    must_say("000002.wal: the segment before it, number 1, is not there");
}

Test(wal_reader, a_segment_of_another_store_or_name_is_foreign)
{
    write_sample();
    log_.options.store[0] ^= 1;
    must_be(FR_ERR_FOREIGN, test_log_read(&log_));
    log_.options.store[0] ^= 1;
    must(fr_dir_rename(log_.world.dir, "000001.wal", "000002.wal"));
    must_be(FR_ERR_FOREIGN, test_log_read(&log_));
}

Test(wal_reader, a_segment_of_an_earlier_opening_is_not_taken_for_this_one)
{
    /* The same number and place, another opening, and what a restored backup would bring along. */
    write_sample();
    struct fr_buf stale = test_log_load(&log_, "000001.wal");
    cr_assert_geq(fr_dir_unlink(log_.world.dir, "000001.wal"), 0);
    log_.next_number = 1;
    test_log_open(&log_);
    test_log_append(&log_, "x");
    test_log_append(&log_, "y");
    test_log_stop(&log_);
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");
    memcpy(bytes.data + 4096 + 56, stale.data + 4096 + 56, bytes.size - 4096 - 56);
    test_log_store(&log_, "000001.wal", &bytes);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "x ");
    fr_buf_deinit(&bytes);
    fr_buf_deinit(&stale);
}

Test(wal_reader, what_was_cut_off_stays_so_though_it_is_intact)
{
    /* The second of three groups is torn; the next opening goes on behind the first. */
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append(&log_, "b");
    test_log_append(&log_, "c");
    test_log_stop(&log_);
    test_log_flip(&log_, "000001.wal", 4096 + 56 + 50);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
    cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
    cr_assert_eq(log_.end.link.lsn, 56);
    cr_assert_eq(log_.end.dropped_bytes, 112);
    test_log_open(&log_);
    test_log_append(&log_, "x");
    test_log_sync(&log_);
    test_log_stop(&log_);
    test_log_flip(&log_, "000001.wal", 4096 + 56 + 50); /* as if it had been a reading error */
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a x ");
}

Test(wal_reader, what_was_cut_off_stays_so_when_what_came_after_it_is_given_up_and_lost)
{
    /* "c" stands at 4096 + 56 of the log, where the next opening's first batch will end. */
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_sync(&log_);
    test_log_append(&log_, "b");
    test_log_append(&log_, "c");
    test_log_stop(&log_);
    test_log_flip(&log_, "000001.wal", 2 * 4096 + 50);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
    test_log_flip(&log_, "000001.wal", 2 * 4096 + 50);
    test_log_open(&log_);
    log_.start = test_log_append(&log_, "x");
    cr_assert_eq(log_.start, 4096 + 56);
    log_.number = fr_wal_writer_number_at(log_.writer, log_.start);
    cr_assert_eq(log_.number, 2);
    test_log_stop(&log_);
    struct fr_buf bytes = test_log_load(&log_, "000002.wal");
    memset(bytes.data, 0, bytes.size);
    test_log_store(&log_, "000002.wal", &bytes);
    fr_buf_deinit(&bytes);
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 0);
    cr_assert_geq(fr_dir_unlink(log_.world.dir, "000002.wal"), 0);
    must_be(FR_ERR_MISSING, test_log_read(&log_));
}

Test(wal_reader, a_batch_without_its_last_group_is_cut_off_where_it_began)
{
    test_log_open(&log_);
    test_log_append(&log_, "a");
    test_log_append_big(&log_, 30000);
    test_log_stop(&log_);
    struct fr_buf bytes = test_log_load(&log_, "000005.wal");
    memset(bytes.data + 4096, 0, bytes.size - 4096);
    test_log_store(&log_, "000005.wal", &bytes);
    fr_buf_deinit(&bytes);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
    cr_assert_eq(log_.batch_count, 1);
    cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
    cr_assert_eq(log_.end.link.number, 2); /* behind "a" it found no room */
    cr_assert_eq(log_.end.link.lsn, 4096);
    test_log_open(&log_);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a b ");
}

Test(wal_reader, old_openings_are_removed_when_told)
{
    struct fr_dir_names names;

    test_log_open(&log_);
    for (int i = 0; i < 3; i++)
        test_log_append_big(&log_, 8000);
    test_log_stop(&log_);
    must(test_log_read(&log_));
    test_log_open(&log_);
    test_log_append(&log_, "b");
    log_.start = fr_wal_writer_start(log_.writer);
    must(fr_wal_remove_before(log_.world.dir, FR_WAL_KIND_LOG,
            fr_wal_writer_first_number(log_.writer)));
    must(fr_dir_list(log_.world.dir, &names));
    cr_assert_eq(names.count, 1);
    fr_dir_names_deinit(&names);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
}

/* ---- golden files ----------------------------------------------------------------------------
 *
 * FR_GOLDEN_WRITE=1 writes them anew, which is right only along with a new version of the format.
 */

static void golden_path(const char *name, char *ret_path, size_t size)
{
    snprintf(ret_path, size, "%s/%s", FR_GOLDEN, name);
}

static void write_golden(const char *name, const struct fr_buf *bytes)
{
    char path[512];

    golden_path(name, path, sizeof(path));
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file, "%s", path);
    cr_assert_eq(fwrite(bytes->data, 1, bytes->size, file), bytes->size);
    fclose(file);
}

static struct fr_buf read_golden(const char *name)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    char path[512];

    golden_path(name, path, sizeof(path));
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    uint8_t *to = fr_buf_extend(&bytes, FR_WAL_SEGMENT_SIZE_MIN);
    cr_assert_eq(fread(to, 1, FR_WAL_SEGMENT_SIZE_MIN, file), FR_WAL_SEGMENT_SIZE_MIN);
    fclose(file);
    return bytes;
}

static void check_golden(enum fr_wal_kind kind, const char *name, const char *golden)
{
    log_.options.kind = kind;
    test_log_open(&log_);
    test_log_append(&log_, "first");
    test_log_append(&log_, "");
    test_log_sync(&log_);
    test_log_append(&log_, "second");
    must(fr_wal_writer_seal(log_.writer));
    test_log_stop(&log_);
    struct fr_buf bytes = test_log_load(&log_, name);
    if (getenv("FR_GOLDEN_WRITE") != NULL) write_golden(golden, &bytes);
    struct fr_buf wanted = read_golden(golden);
    cr_assert_eq(bytes.size, wanted.size);
    cr_assert_arr_eq(bytes.data, wanted.data, wanted.size);
    test_log_store(&log_, name, &wanted);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "first  second ");
    cr_assert_eq(log_.end.verdict, FR_WAL_END_CLOSED);
    fr_buf_deinit(&bytes);
    fr_buf_deinit(&wanted);
}

Test(wal_reader, a_log_is_written_and_read_as_ever)
{
    check_golden(FR_WAL_KIND_LOG, "000001.wal", "log-v1.wal");
}

Test(wal_reader, a_manifest_is_written_and_read_as_ever)
{
    check_golden(FR_WAL_KIND_MANIFEST, "000001.manifest", "manifest-v1.manifest");
}
