/*
 * prebuilt_test.c - files for an ingest that are damaged, cut, of something else, or made by an
 * enemy with all checksums right: refused with words that lead there, and the disk is what it was.
 *
 * The whole machine's disk is compared before and after, so a byte changed in the store or in the
 * file, or a file that is left over, is found whatever it is.
 */
#include "fuzz/fuzz_reseal.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/prebuilt.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"
#include "tests/unit/io/test_world.h"

#define KEYS  400
#define GIVEN "/given"

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_dir *dir;
static struct fr_engine *engine;
static struct fr_buf whole; /* a good file */

static fr_slice key_of(size_t index, char *text, size_t size)
{
    return fr_slice_of(text, (size_t)snprintf(text, size, "key%05zu", index));
}

static void make_table(void)
{
    struct fr_prebuilt_options options = {.compress = false, .verify = true};
    struct fr_sim_image *image;
    struct fr_prebuilt *p;
    char text[32], value[200];

    must(fr_prebuilt_new(env, GIVEN, &options, &p));
    for (size_t i = 0; i < KEYS; i++) {
        memset(value, 'a' + (int)(i % 26), sizeof(value));
        if (i % 10 == 9)
            must(fr_prebuilt_delete(p, key_of(i, text, sizeof(text))));
        else
            must(fr_prebuilt_put(p, key_of(i, text, sizeof(text)),
                    fr_slice_of(value, sizeof(value)), 0));
    }
    must(fr_prebuilt_finish(p));
    fr_prebuilt_free(p);
    must(fr_sim_image_take(sim, &image));
    must(fr_sim_image_read(image, GIVEN, &whole));
    fr_sim_image_free(image);
}

static void put_one(void)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    must(fr_batch_add_put(&batch, fr_slice_of_text("key00003"), fr_slice_of_text("mine")));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, 1, FR_DURABLE_DEVICE));
    fr_batch_deinit(&batch);
}

static void set_up(void)
{
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_sim_options machine = {.seed = 1};

    options.memtable_size = 64 << 10;
    options.log_segment_size = 64 << 10;
    options.cache_size = 256 << 10;
    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    must(fr_dir_open(env, "/", 0, &dir));
    must(fr_engine_open(env, "/store", &options, &engine));
    put_one();
    must(fr_engine_flush(engine));
    must(fr_engine_wait_idle(engine));
    make_table();
}

static void tear_down(void)
{
    fr_status st = fr_engine_close(engine);

    /* What has ended it: a write to the manifest that found no memory may have been done. */
    cr_assert(st == FR_OK || st == FR_ERR_NOMEM || st == FR_ERR_IO, "%s", fr_last_error());
    fr_buf_deinit(&whole);
    fr_dir_close(dir);
    fr_sim_close(sim);
}

TestSuite(prebuilt, .init = set_up, .fini = tear_down, .timeout = 120);

static void give(const void *bytes, size_t size)
{
    struct fr_file *file;

    (void)!fr_dir_unlink(dir, "given");
    must(fr_file_open(dir, "given", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    if (size > 0) must(fr_file_write(file, 0, bytes, size, 0));
    fr_file_close(file);
}

static uint64_t disk(void)
{
    struct fr_sim_image *image;

    must(fr_sim_image_take(sim, &image));
    uint64_t hash = fr_sim_image_hash(image);
    fr_sim_image_free(image);
    return hash;
}

static fr_status ingest(void)
{
    static const char *const path = GIVEN;

    return fr_engine_ingest(engine, &path, 1, true);
}

/* Refused, with words that name the file, and not a byte is another on the whole disk. */
static fr_status refused(void)
{
    uint64_t before = disk();
    fr_seq seq = fr_engine_last_seq(engine);
    fr_status st = ingest();

    cr_assert_lt(st, 0);
    must_say(GIVEN);
    cr_assert_eq(disk(), before, "%s", fr_last_error());
    cr_assert_eq(fr_engine_last_seq(engine), seq);
    return st;
}

static void must_refuse(fr_status status, const char *words)
{
    fr_status st = refused();

    cr_assert_eq(st, status, "%s: %s", fr_status_name(st), fr_last_error());
    must_say(words);
}

/* After all refusals the good file is taken, and what it holds is there. */
static void must_take(void)
{
    struct fr_engine_value value;
    struct fr_file_info info;

    give(whole.data, whole.size);
    must(ingest());
    must_be(FR_NOT_FOUND, fr_dir_stat(dir, "given", &info)); /* it was moved */
    must(fr_engine_get(engine, fr_slice_of_text("key00003"), FR_SEQ_MAX, &value));
    cr_assert_eq(value.bytes.size, 200);
    fr_engine_value_release(&value);
    must_be(FR_NOT_FOUND, fr_engine_get(engine, fr_slice_of_text("key00009"), FR_SEQ_MAX, &value));
}

Test(prebuilt, cut_anywhere_is_refused_at_an_offset_or_with_its_size)
{
    char words[40];

    for (size_t size = 0; size < whole.size;
            size += size < 300 || size > whole.size - 300 ? 1 : 997) {
        give(whole.data, size);
        fr_status st = refused();
        cr_assert_eq(st, FR_ERR_CORRUPT, "%zu: %s", size, fr_status_name(st));
        size_t place = size < FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE
                               ? size
                               : size - FR_TABLE_FOOTER_SIZE;
        snprintf(words, sizeof(words), " %zu", place);
        must_say(words);
    }
    must_take();
}

static void flip(size_t at)
{
    whole.data[at] ^= 0x20;
    give(whole.data, whole.size);
    fr_status st = refused();
    cr_assert_eq(st, FR_ERR_CORRUPT, "byte %zu: %s: %s", at, fr_status_name(st), fr_last_error());
    must_say(" at ");
    whole.data[at] ^= 0x20;
}

Test(prebuilt, each_byte_of_header_and_footer_counts)
{
    for (size_t i = 0; i < FR_TABLE_HEADER_SIZE; i++)
        flip(i);
    for (size_t i = whole.size - FR_TABLE_FOOTER_SIZE; i < whole.size; i++)
        flip(i);
    must_take();
}

Test(prebuilt, bytes_between_them_count_as_well)
{
    for (size_t i = FR_TABLE_HEADER_SIZE; i < whole.size - FR_TABLE_FOOTER_SIZE; i += 211)
        flip(i);
    must_take();
}

Test(prebuilt, a_file_of_something_else_is_foreign)
{
    static uint8_t bytes[10000];

    give(bytes, sizeof(bytes));
    must_refuse(FR_ERR_FOREIGN, "at 0");
    memset(bytes, 'x', sizeof(bytes));
    give(bytes, 300);
    must_refuse(FR_ERR_FOREIGN, "at 0");
    give(bytes, 9);
    must_refuse(FR_ERR_FOREIGN, "at 0");
    give(bytes, 0);
    must_refuse(FR_ERR_CORRUPT, "0 bytes are too few");
    must_take();
}

Test(prebuilt, no_file_and_a_directory)
{
    must(fr_dir_unlink(dir, "given"));
    must_refuse(FR_ERR_MISSING, GIVEN);
    struct fr_dir *inner;
    must(fr_dir_open(env, GIVEN, FR_DIR_CREATE, &inner));
    fr_dir_close(inner);
    cr_assert_lt(refused(), 0);
}

/* Behind right checksums. Handles of data blocks are asked from the file itself. */
static struct fr_table_spot spot_of(size_t index)
{
    struct fr_table *table;

    must(fr_prebuilt_open(env, GIVEN, &table));
    cr_assert_gt(fr_table_block_count(table), 1);
    struct fr_table_spot spot = fr_table_spot_at(table, index);
    fr_table_unref(table);
    return spot;
}

static void reseal(void)
{
    reseal_table(whole.data, whole.size, &fr_prebuilt_id);
    give(whole.data, whole.size);
}

Test(prebuilt, resealing_changes_nothing_in_a_good_file)
{
    reseal();
    must_take();
}

Test(prebuilt, of_a_later_version_is_too_new)
{
    uint8_t *footer = whole.data + whole.size - FR_TABLE_FOOTER_SIZE;

    fr_put_u32(footer + 176, FR_TABLE_VERSION + 1);
    reseal();
    must_refuse(FR_ERR_TOO_NEW, "version 2");
    fr_put_u32(footer + 176, FR_TABLE_VERSION);
    fr_put_u32(footer + 136, 4);
    reseal();
    must_refuse(FR_ERR_TOO_NEW, "features 4");
    fr_put_u32(footer + 136, 0);
    fr_put_u32(whole.data + 8, FR_TABLE_VERSION + 1);
    reseal();
    must_refuse(FR_ERR_TOO_NEW, "version 2");
}

Test(prebuilt, of_another_identity_is_foreign)
{
    struct fr_file_id id = fr_prebuilt_id;
    uint8_t *footer = whole.data + whole.size - FR_TABLE_FOOTER_SIZE;

    id.store[1]++;
    fr_file_id_put(footer + 112, &id);
    reseal();
    must_refuse(FR_ERR_FOREIGN, "is table 1");
}

/* The prefix that the keys of a block share. */
static uint8_t *prefix_of(const struct fr_table_spot *spot)
{
    uint8_t *block = whole.data + spot->handle.offset;
    uint8_t *at = memmem(block, spot->handle.size, "key", 3);

    cr_assert_not_null(at);
    return at;
}

Test(prebuilt, a_block_whose_keys_belong_elsewhere_is_refused_at_its_offset)
{
    struct fr_table_spot spots[2] = {spot_of(0), spot_of(1)};
    char words[40];

    for (size_t i = 0; i < 2; i++) {
        uint8_t *prefix = prefix_of(&spots[i]);
        *prefix = i == 0 ? 'z' : 'a'; /* above all that follow, below all before */
        reseal();
        snprintf(words, sizeof(words), "at %llu", (unsigned long long)spots[i].handle.offset);
        must_refuse(FR_ERR_CORRUPT, words);
        *prefix = 'k';
    }
    reseal();
    must_take();
}

/* What is accepted has keys that ascend strictly. */
static bool is_accepted(void)
{
    struct fr_buf last = FR_BUF_EMPTY;
    struct fr_table *table;
    struct fr_iter *it;

    fr_status st = fr_prebuilt_open(env, GIVEN, &table);
    if (st < 0) cr_assert_eq(st, FR_ERR_CORRUPT, "%s", fr_last_error());
    if (st < 0) return false;
    must(fr_table_iter_new(table, NULL, &it));
    while (fr_iter_next(it) == FR_OK) {
        cr_assert(last.size == 0 || fr_slice_compare(fr_buf_slice(&last), it->entry.key) < 0);
        fr_buf_clear(&last);
        fr_buf_append(&last, it->entry.key.data, it->entry.key.size);
    }
    fr_iter_close(it);
    fr_table_unref(table);
    fr_buf_deinit(&last);
    return true;
}

Test(prebuilt, keys_that_do_not_ascend_are_refused)
{
    struct fr_table_spot spot = spot_of(0);
    uint64_t end = spot.handle.offset + spot.handle.size;
    unsigned refusals = 0;

    for (uint64_t at = spot.handle.offset; at < end; at++) {
        uint8_t digit = whole.data[at];
        if (digit < '0' || digit > '9') continue; /* values are letters */
        whole.data[at] = digit == '0' ? '9' : '0';
        reseal();
        if (!is_accepted()) refusals++;
        whole.data[at] = digit;
    }
    cr_assert_gt(refusals, 100);
    reseal();
    must_take();
}

/* A sound table of the right identity with one entry, or a range delete. */
static void give_entry(const struct fr_entry *entry)
{
    struct fr_table_options options = fr_table_options_default();
    struct fr_table_builder *b;
    struct fr_table_meta meta;

    (void)!fr_dir_unlink(dir, "given");
    must(fr_table_builder_open_as(dir, "given", &fr_prebuilt_id, &options, &b));
    if (entry->kind == FR_KIND_DELETE_RANGE)
        must(fr_table_builder_add_range(b, entry->key, entry->value, entry->seq));
    else
        must(fr_table_builder_add(b, entry));
    must(fr_table_builder_finish(b, &meta));
    fr_table_meta_deinit(&meta);
    fr_table_builder_close(b);
}

Test(prebuilt, entries_that_no_table_writer_writes_are_refused)
{
    static const uint8_t place[] = {7, 64, 5}; /* file, offset, size */
    fr_slice key = fr_slice_of_text("k"), value = fr_slice_of_text("v");
    const struct fr_entry entries[] = {
            {.key = key, .value = value, .seq = 1, .kind = FR_KIND_APPEND},
            {.key = key, .value = value, .seq = 2, .kind = FR_KIND_PUT},
            {.key = key, .value = value, .seq = 1, .kind = FR_KIND_DELETE_RANGE},
            {.key = key, .value = value, .seq = 1, .kind = FR_KIND_DELETE},
            {.key = key,
                    .seq = 1,
                    .kind = FR_KIND_DELETE,
                    .flags = FR_ENTRY_EXPIRES,
                    .expires_us = 9},
            {.key = key,
                    .value = fr_slice_of(place, sizeof(place)),
                    .seq = 1,
                    .kind = FR_KIND_PUT,
                    .flags = FR_ENTRY_PLACED},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(entries); i++) {
        give_entry(&entries[i]);
        fr_status st = refused();
        cr_assert_eq(st, FR_ERR_CORRUPT, "%zu: %s", i, fr_status_name(st));
        must_say("at ");
    }
}

Test(prebuilt, one_bad_file_among_good_ones_is_the_one_that_is_named)
{
    static const char *const paths[] = {"/other", GIVEN};

    must(fr_dir_rename(dir, "given", "other"));
    whole.data[100] ^= 1;
    give(whole.data, whole.size);
    uint64_t before = disk();
    must_be(FR_ERR_CORRUPT, fr_engine_ingest(engine, paths, 2, true));
    must_say(GIVEN);
    cr_assert_eq(disk(), before);
}

static size_t count_keys(void)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    struct fr_iter *it;
    size_t count = 0;
    fr_status st;

    must(fr_engine_scan(engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        count++;
    must_be(FR_END, st);
    fr_iter_close(it);
    return count;
}

/*
 * Each allocation of the whole way, up to the one behind which all is published. What fails before
 * the manifest is touched leaves a store that takes the same file at the next attempt.
 */
Test(prebuilt, without_memory_at_any_moment_is_all_or_nothing)
{
    static const char *const path = GIVEN;
    unsigned failed = 0, final = 0;
    bool hit = true;

    for (uint64_t n = 1; hit; n += n < 60 ? 1 : 7) {
        fr_alloc_fail_at(n, false);
        fr_status st = fr_engine_ingest(engine, &path, 1, false);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM || st == FR_ERR_IO, "%s", fr_last_error());
        failed += st < 0;
        size_t count = count_keys();
        cr_assert_eq(count, st == FR_OK ? KEYS - KEYS / 10 : 1, "%zu after %s", count,
                fr_status_name(st));
        if (st < 0 && fr_engine_sync(engine) == FR_OK) continue;
        final += st < 0;
        tear_down();
        whole = FR_BUF_EMPTY;
        set_up();
    }
    cr_assert_gt(failed, 50);
    cr_assert_lt(final, 5, "%u of %u", final, failed); /* in the manifest itself */
}
