#include "wal/wal_reader.h"

#include <inttypes.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/unit/wal/test_log.h"
#include "wal/wal_segment.h"

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

/* ---- segments by hand ------------------------------------------------------------------------
 *
 * With a right crc everywhere, and yet not what a writer writes: one of ours that has a mistake, or
 * files that were put together by somebody else.
 */

static struct fr_wal_segment *begin_by_hand(uint64_t number, struct fr_wal_link previous,
        fr_lsn first)
{
    struct fr_wal_header header = {.kind = log_.options.kind,
            .number = number,
            .epoch = 5,
            .first = first,
            .previous = previous};
    struct fr_wal_segment *s;

    memcpy(header.store, log_.options.store, FR_STORE_ID_SIZE);
    must(fr_wal_segment_create(log_.world.dir, log_.options.kind, number, FR_WAL_SEGMENT_SIZE_MIN,
            0, &s));
    fr_wal_segment_begin(s, &header);
    return s;
}

static void add_text(struct fr_wal_segment *s, uint8_t flags, const char *text)
{
    fr_slice part = fr_slice_of_text(text);
    struct fr_wal_parts parts = {.part = &part};
    struct fr_wal_group group = {
            .type = FR_WAL_DATA, .flags = flags, .tag = 7, .size = (uint32_t)part.size};

    fr_wal_segment_add(s, &group, &parts);
}

/* Where it ends, for a successor. */
static struct fr_wal_link end_by_hand(struct fr_wal_segment *s)
{
    struct fr_wal_link link = fr_wal_segment_link(s);

    must(fr_wal_segment_publish(s));
    fr_wal_segment_close(s);
    return link;
}

/* A segment with "a" in it. */
static struct fr_wal_link write_by_hand(uint64_t number, struct fr_wal_link previous, fr_lsn first)
{
    struct fr_wal_segment *s = begin_by_hand(number, previous, first);

    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "a");
    return end_by_hand(s);
}

static const struct fr_wal_link nothing;

Test(wal_reader, batches_that_do_not_begin_or_end_are_damage)
{
    static const uint8_t flags[][2] = {{FR_WAL_FIRST | FR_WAL_LAST, FR_WAL_LAST},
            {FR_WAL_FIRST | FR_WAL_LAST, 0}, {FR_WAL_FIRST, FR_WAL_FIRST | FR_WAL_LAST},
            {FR_WAL_FIRST, FR_WAL_FIRST}};

    for (size_t i = 0; i < FR_ARRAY_COUNT(flags); i++) {
        struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);
        add_text(s, flags[i][0], "a");
        add_text(s, flags[i][1], "b");
        end_by_hand(s);
        must_be(FR_ERR_CORRUPT, test_log_read(&log_));
        must_say("the batch before it is not what a writer writes");
        must(fr_dir_unlink(log_.world.dir, "000001.wal"));
    }
}

Test(wal_reader, a_seal_that_counts_wrong_or_ends_half_a_batch_is_damage)
{
    for (int i = 0; i < 2; i++) {
        struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);
        struct fr_wal_group seal = {
                .type = FR_WAL_SEAL, .flags = FR_WAL_CLOSED, .tag = i == 0 ? 9 : 1};
        add_text(s, i == 0 ? FR_WAL_FIRST | FR_WAL_LAST : FR_WAL_FIRST, "a");
        fr_wal_segment_add(s, &seal, NULL);
        end_by_hand(s);
        must_be(FR_ERR_CORRUPT, test_log_read(&log_));
        must_say("the seal before it is not what a writer writes");
        must(fr_dir_unlink(log_.world.dir, "000001.wal"));
    }
}

Test(wal_reader, a_segment_that_goes_on_behind_its_seal_is_damage)
{
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);

    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "a");
    fr_wal_segment_fill(s, FR_WAL_SEAL, 0, 0);
    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "b");
    struct fr_wal_link end = end_by_hand(s);
    write_by_hand(2, end, fr_wal_round_up(end.lsn));
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("it stands behind a seal");
}

/* As if it followed a segment of the same number from another life. */
Test(wal_reader, a_segment_that_follows_another_one_is_damage)
{
    static const int64_t off_by[] = {0, 20000, -8};

    for (size_t i = 0; i < FR_ARRAY_COUNT(off_by); i++) {
        struct fr_wal_link end = write_by_hand(1, nothing, 0);
        if (i == 0) end.crc ^= 1;
        end.lsn += (fr_lsn)off_by[i];
        write_by_hand(2, end, fr_wal_round_up(end.lsn));
        must_be(FR_ERR_CORRUPT, test_log_read(&log_));
        must_say(i == 1 ? "which is not in 000001.wal" : "is damaged");
        must(fr_dir_unlink(log_.world.dir, "000001.wal"));
        must(fr_dir_unlink(log_.world.dir, "000002.wal"));
    }
    write_by_hand(1, nothing, 8192);
    write_by_hand(2, (struct fr_wal_link){.number = 1, .lsn = 4096}, 4096);
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("which is not in 000001.wal");
}

Test(wal_reader, a_file_of_another_kind_or_place_is_foreign)
{
    log_.options.kind = FR_WAL_KIND_MANIFEST;
    write_by_hand(1, nothing, 0);
    log_.options.kind = FR_WAL_KIND_LOG;
    must(fr_dir_rename(log_.world.dir, "000001.manifest", "000001.wal"));
    must_be(FR_ERR_FOREIGN, test_log_read(&log_));
    must(fr_dir_unlink(log_.world.dir, "000001.wal"));
    write_by_hand(2, nothing, 0);
    must(fr_dir_rename(log_.world.dir, "000002.wal", "000001.wal"));
    must_be(FR_ERR_FOREIGN, test_log_read(&log_));
    must_say("is segment 2 of a log of kind");
}

Test(wal_reader, a_segment_of_a_later_version_is_refused)
{
    write_by_hand(1, nothing, 0);
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");
    fr_put_u32(bytes.data + 8, 2);
    fr_put_u32(bytes.data + 4092, fr_crc32c(0, bytes.data, 4092));
    test_log_store(&log_, "000001.wal", &bytes);
    must_be(FR_ERR_TOO_NEW, test_log_read(&log_));
    must_say("000001.wal: was written by a later version");
    fr_buf_deinit(&bytes);
}

/* Of a segment, only bytes with a right header count; between groups there are zeros. */
Test(wal_reader, a_header_without_its_payload_is_a_torn_end)
{
    write_by_hand(1, nothing, 0);
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");
    struct fr_wal_group group = {.lsn = 56, .epoch = 5, .type = FR_WAL_DATA, .size = 12288};
    uint32_t seed = fr_wal_check_seed(log_.options.store, 1);
    fr_wal_group_encode(&group, seed, bytes.data + 4096 + 56); /* it would end behind the file */
    test_log_store(&log_, "000001.wal", &bytes);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
    cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
    fr_buf_deinit(&bytes);
}

/* A batch of that many bytes which depend on their place. */
static void add_bytes(struct fr_wal_segment *s, uint32_t size)
{
    static uint8_t bytes[FR_WAL_SEGMENT_SIZE_MIN];
    fr_slice part = fr_slice_of(bytes, size);
    struct fr_wal_parts parts = {.part = &part};
    struct fr_wal_group group = {
            .type = FR_WAL_DATA, .flags = FR_WAL_FIRST | FR_WAL_LAST, .tag = 7, .size = size};

    test_fill(bytes, 0, size);
    fr_wal_segment_add(s, &group, &parts);
}

static void change_byte(uint64_t offset, bool reseal)
{
    struct fr_buf bytes = test_log_load(&log_, "000001.wal");
    uint8_t *group = bytes.data + FR_WAL_HEADER_SIZE;
    struct fr_wal_header header;

    bytes.data[offset] ^= 1;
    must(fr_wal_header_decode(bytes.data, &header));
    uint32_t crc = fr_wal_group_crc(header.crc, group);
    if (reseal) fr_wal_group_seal(group, fr_crc32c(crc, group + FR_WAL_GROUP_HEADER_SIZE, 8));
    test_log_store(&log_, "000001.wal", &bytes);
    fr_buf_deinit(&bytes);
}

Test(wal_reader, what_is_not_zero_behind_a_payload_or_in_a_gap_ends_the_log)
{
    write_by_hand(1, nothing, 0);
    change_byte(FR_WAL_HEADER_SIZE + FR_WAL_GROUP_HEADER_SIZE + 3, true);
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 0);
    cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
    must(fr_dir_unlink(log_.world.dir, "000001.wal"));

    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);
    add_bytes(s, FR_WAL_BLOCK_SIZE - FR_WAL_GROUP_HEADER_SIZE - 16);
    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "b");
    end_by_hand(s);
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 2);
    change_byte(FR_WAL_HEADER_SIZE + FR_WAL_BLOCK_SIZE - 8, false);
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 1);
    cr_assert_eq(log_.end.verdict, FR_WAL_END_TORN);
}

Test(wal_reader, a_segment_may_be_full_to_its_last_byte)
{
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);

    add_bytes(s, FR_WAL_SEGMENT_SIZE_MIN - FR_WAL_HEADER_SIZE - FR_WAL_GROUP_HEADER_SIZE);
    end_by_hand(s);
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 1);
    cr_assert_eq(log_.end.verdict, FR_WAL_END_OPEN);
}

/* Neither half a file nor another beginning is the successor that a seal promises. */
Test(wal_reader, a_promised_segment_is_missed_whatever_else_is_there)
{
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);

    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "a");
    fr_wal_segment_fill(s, FR_WAL_SEAL, 0, 0);
    end_by_hand(s);
    fr_file_close(test_file_with(&log_.world, "000002.wal", 100));
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    write_by_hand(3, nothing, 0);
    log_.number = 1;
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    must_say("000001.wal: the segment that follows it is not there");
}

/* What a later segment knows cannot be true of a log that was sealed before. */
Test(wal_reader, a_lost_segment_that_others_relied_on_is_named)
{
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);

    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "a");
    fr_wal_segment_fill(s, FR_WAL_SEAL, 0, 0);
    end_by_hand(s);
    fr_file_close(test_file_with(&log_.world, "000002.wal", FR_WAL_SEGMENT_SIZE_MIN));
    s = begin_by_hand(3, (struct fr_wal_link){.number = 2, .lsn = 40960}, 40960);
    s->header.durable = 40960;
    fr_wal_segment_begin(s, &s->header);
    end_by_hand(s);
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("000002.wal: header at 0 is damaged; the log was durable up to LSN 40960");
}

Test(wal_reader, a_file_that_was_being_made_is_no_part_of_the_log)
{
    write_by_hand(1, nothing, 0);
    fr_file_close(test_file_with(&log_.world, "000002.wal", 100));
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "a ");
    cr_assert_eq(log_.end.last_number, 2);
}

Test(wal_reader, another_beginning_is_passed_over_with_all_that_follows_it)
{
    write_by_hand(1, nothing, 0);
    struct fr_wal_link end = write_by_hand(3, nothing, 0);
    write_by_hand(4, end, fr_wal_round_up(end.lsn));
    log_.number = 1;
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 1);
    cr_assert_eq(log_.end.link.number, 1);
    log_.number = 0;
    must(test_log_read(&log_));
    cr_assert_eq(log_.batch_count, 2);
}

Test(wal_reader, a_log_without_the_segment_that_it_begins_in_names_that)
{
    log_.number = 5;
    log_.durable = 100;
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    must_say("000005.wal: is not there; the log begins in it");
    log_.durable = 0;
    must_be(FR_ERR_MISSING, test_log_read(&log_));
    fr_file_close(test_file_with(&log_.world, "000005.wal", 100));
    must(test_log_read(&log_)); /* nothing that was in it had been acknowledged */
    log_.durable = 100;
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
    must_say("000005.wal: header at 0 is damaged");
    log_.number = 0;
    must_be(FR_ERR_CORRUPT, test_log_read(&log_));
}

Test(wal_reader, the_rest_of_a_batch_before_the_start_is_passed_over)
{
    test_log_open(&log_);
    log_.start = test_log_append_big(&log_, 30000);
    log_.number = fr_wal_writer_number_at(log_.writer, log_.start);
    test_log_append(&log_, "b");
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
    log_.number = 0;
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
}

Test(wal_reader, a_batch_of_several_groups_before_the_start_is_passed_over)
{
    log_.options.segment_size = (uint64_t)4 << 20;
    test_log_open(&log_);
    log_.start = test_log_append_big(&log_, (size_t)3 << 19);
    test_log_append(&log_, "b");
    cr_assert_eq(fr_wal_writer_segment_count(log_.writer), 1);
    must(test_log_read(&log_));
    cr_assert_str_eq(log_.text, "b ");
}

/* ---- looking again */

static struct fr_wal_reader *open_reader(void)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG};
    struct fr_wal_reader *reader;

    memcpy(options.store, log_.options.store, FR_STORE_ID_SIZE);
    must(fr_wal_reader_open(log_.world.dir, &options, &reader));
    return reader;
}

static void expect_next(struct fr_wal_reader *reader, const char *texts)
{
    fr_slice payload;
    uint64_t tag;
    fr_lsn lsn;

    for (; *texts != '\0'; texts++) {
        must(fr_wal_reader_next(reader, &payload, &tag, &lsn));
        cr_assert(payload.size == 1 && payload.data[0] == (uint8_t)*texts);
    }
    must_be(FR_END, fr_wal_reader_next(reader, &payload, &tag, &lsn));
}

Test(wal_reader, looks_again_for_what_was_appended_since)
{
    struct fr_wal_reader *reader = open_reader();

    expect_next(reader, "");
    must(fr_wal_reader_resume(reader));
    expect_next(reader, "");
    test_log_open(&log_);
    test_log_append(&log_, "a");
    must(fr_wal_reader_resume(reader));
    expect_next(reader, "a");
    test_log_append(&log_, "b");
    must(fr_wal_reader_resume(reader));
    expect_next(reader, "b");
    fr_wal_reader_close(reader);
}

Test(wal_reader, who_looks_again_does_not_wait_for_what_a_seal_promises)
{
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);
    struct fr_wal_reader *reader = open_reader();

    expect_next(reader, "");
    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "a");
    fr_wal_segment_fill(s, FR_WAL_SEAL, 0, 0);
    end_by_hand(s);
    must(fr_wal_reader_resume(reader));
    expect_next(reader, "a");
    fr_wal_reader_close(reader);
}

Test(wal_reader, looking_again_fails_where_its_segment_has_gone)
{
    struct fr_wal_reader *reader;
    fr_slice payload;
    uint64_t tag;
    fr_lsn lsn;

    write_by_hand(1, nothing, 0);
    reader = open_reader();
    expect_next(reader, "a");
    must(fr_dir_unlink(log_.world.dir, "000001.wal"));
    write_by_hand(2, nothing, 0);
    must_be(FR_ERR_MISSING, fr_wal_reader_resume(reader));
    must_say("segment 1 of the log, which was being read, is gone");
    must_be(FR_ERR_MISSING, fr_wal_reader_next(reader, &payload, &tag, &lsn));
    fr_wal_reader_close(reader);
}

/* What is not zero in a gap is torn, and may be whole in a moment; or it cannot be read. */
Test(wal_reader, who_looks_again_reads_a_gap_anew)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ)};
    struct fr_wal_segment *s = begin_by_hand(1, nothing, 0);
    struct fr_wal_reader *reader;
    fr_slice payload;
    uint64_t tag;
    fr_lsn lsn;

    add_bytes(s, FR_WAL_BLOCK_SIZE - FR_WAL_GROUP_HEADER_SIZE - 16);
    add_text(s, FR_WAL_FIRST | FR_WAL_LAST, "b");
    end_by_hand(s);
    change_byte(FR_WAL_HEADER_SIZE + FR_WAL_BLOCK_SIZE - 8, false);
    reader = open_reader();
    must(fr_wal_reader_next(reader, &payload, &tag, &lsn));
    expect_next(reader, "");
    change_byte(FR_WAL_HEADER_SIZE + FR_WAL_BLOCK_SIZE - 8, false);
    must(fr_wal_reader_resume(reader));
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_reader_next(reader, &payload, &tag, &lsn));
    fr_wal_reader_close(reader);
}

Test(wal_reader, removing_tries_all_and_tells_the_first_failure)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_UNLINK), .forever = true};
    struct fr_dir_names names;

    for (uint64_t number = 1; number < 4; number++)
        write_by_hand(number, nothing, 0);
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_remove_before(log_.world.dir, FR_WAL_KIND_LOG, 3));
    must_say("cannot remove it");
    cr_assert_eq(fr_sim_op_count(log_.world.sim, FR_SIM_UNLINK), 2);
    fr_sim_fault_clear(log_.world.sim);
    fault = (struct fr_sim_fault){.ops = FR_SIM_MASK(FR_SIM_LIST)};
    must(fr_sim_fault_add(log_.world.sim, &fault));
    must_be(FR_ERR_IO, fr_wal_remove_before(log_.world.dir, FR_WAL_KIND_LOG, 3));
    must(fr_wal_remove_before(log_.world.dir, FR_WAL_KIND_MANIFEST, 3));
    must(fr_wal_remove_before(log_.world.dir, FR_WAL_KIND_LOG, 3));
    must(fr_dir_list(log_.world.dir, &names));
    cr_assert_eq(names.count, 1);
    fr_dir_names_deinit(&names);
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
