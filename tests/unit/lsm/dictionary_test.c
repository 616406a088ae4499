/* dictionary_test.c - dictionaries of tables: when there is one, what it gains, and its damage. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/rng.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"
#include "lsm/table_priv.h"
#include "tests/unit/io/test_world.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{1, 2}, 3};

/* JSON: the words come again and again. NUMBERS: nothing but the names of fields does. */
enum kind { JSON, NUMBERS, NOISE };

struct pair {
    char key[24];
    char value[160];
};

/* One of 400 words of five to nine letters. */
static const char *word(struct fr_rng *rng)
{
    static char words[400][10];

    if (words[0][0] == '\0') {
        struct fr_rng letters;

        fr_rng_init(&letters, 5);
        for (size_t i = 0; i < FR_ARRAY_COUNT(words); i++)
            for (size_t n = 5 + fr_rng_below(&letters, 5), at = 0; at < n; at++)
                words[i][at] = (char)('a' + fr_rng_below(&letters, 26));
    }
    return words[fr_rng_below(rng, FR_ARRAY_COUNT(words))];
}

/* The n-th key and its value of about 100 bytes; salt makes other values. */
static struct fr_entry entry_of(enum kind kind, uint64_t n, uint64_t salt, struct pair *pair)
{
    int key_size = snprintf(pair->key, sizeof(pair->key), "user/%08" PRIu64, n), size = 100;
    const char *words[5], *state;
    uint64_t numbers[4];
    struct fr_rng rng;

    fr_rng_init(&rng, n * 7919 + salt);
    if (kind == NOISE) {
        fr_rng_fill(&rng, (uint8_t *)pair->value, 100);
    } else if (kind == NUMBERS) {
        numbers[0] = fr_rng_next(&rng) >> 32;
        state = fr_rng_one_in(&rng, 2) ? "active" : "closed";
        numbers[1] = fr_rng_below(&rng, 100000);
        numbers[2] = 1 + fr_rng_below(&rng, 9);
        numbers[3] = fr_rng_below(&rng, 10);
        size = snprintf(pair->value, sizeof(pair->value),
                "{\"id\":%" PRIu64 ",\"name\":\"u%08" PRIx64
                "\",\"state\":\"%s\",\"score\":%" PRIu64 ",\"created_at\":\"2024-0%" PRIu64
                "-1%" PRIu64 "\"}",
                n, numbers[0], state, numbers[1], numbers[2], numbers[3]);
    } else {
        for (size_t i = 0; i < FR_ARRAY_COUNT(words); i++)
            words[i] = word(&rng);
        size = snprintf(pair->value, sizeof(pair->value),
                "{\"id\":%" PRIu64
                ",\"name\":{\"first\":\"%s\",\"last\":\"%s\"},\"tags\":[\"%s\",\"%s\"],"
                "\"note\":\"%s\",\"score\":%" PRIu64 "}",
                n, words[0], words[1], words[2], words[3], words[4], fr_rng_below(&rng, 100000));
    }
    return (struct fr_entry){.key = fr_slice_of(pair->key, (size_t)key_size),
            .value = fr_slice_of(pair->value, (size_t)size),
            .seq = 1 + n,
            .kind = FR_KIND_PUT};
}

static struct fr_table_options options_of(size_t dictionary_size)
{
    struct fr_table_options options = fr_table_options_default();

    options.block_size = 4096;
    options.compression = FR_CODEC_ZSTD;
    options.dictionary_size = dictionary_size;
    return options;
}

/* A table of that many entries, open. */
static fr_status build(struct test_world *world, enum kind kind, uint64_t count,
        const struct fr_table_options *options, struct fr_table **ret_table)
{
    struct fr_table_builder *b = NULL;
    struct fr_table_meta meta = {0};
    struct pair pair;
    fr_status st;

    FR_TRY(fr_table_builder_open(world->dir, &id, options, &b));
    for (uint64_t n = 0; n < count; n++) {
        struct fr_entry entry = entry_of(kind, n, 0, &pair);

        FR_TRY(fr_table_builder_add(b, &entry));
    }
    FR_TRY(fr_table_builder_finish(b, &meta));
    FR_TRY(fr_table_open(world->dir, &id, NULL, ret_table));
out:
    fr_table_meta_deinit(&meta);
    fr_table_builder_close(b);
    return st;
}

static void check_entries(struct fr_table *t, enum kind kind, uint64_t count)
{
    struct pair pair;
    struct fr_iter *it;
    uint64_t n = 0;

    must(fr_table_iter_new(t, NULL, &it));
    for (; fr_iter_next(it) == FR_OK; n++) {
        struct fr_entry want = entry_of(kind, n, 0, &pair);

        cr_assert(fr_slice_equal(it->entry.key, want.key));
        cr_assert(fr_slice_equal(it->entry.value, want.value));
    }
    cr_assert_eq(n, count);
    fr_iter_close(it);
    must(fr_table_verify(t, NULL, NULL));
}

static void remove_table(struct test_world *world)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    must(fr_dir_unlink(world->dir, name));
}

/* How small values of a kind become: stored over raw. */
static double ratio_of(enum kind kind, uint64_t count, const struct fr_table_options *options,
        uint64_t *ret_dictionary)
{
    struct test_world world = test_world_open();
    struct fr_table *t;

    must(build(&world, kind, count, options, &t));
    const struct fr_table_properties *p = fr_table_properties(t);
    double ratio =
            (double)(p->block_stored_bytes + p->dictionary_bytes) / (double)p->block_raw_bytes;
    *ret_dictionary = p->dictionary_bytes;
    check_entries(t, kind, count);
    fr_table_unref(t);
    test_world_close(&world);
    return ratio;
}

Test(dictionary, makes_small_structured_values_smaller)
{
    static const size_t blocks[] = {4096, 8192, 16384};

    for (size_t i = 0; i < FR_ARRAY_COUNT(blocks); i++) {
        struct fr_table_options options = options_of(0);
        uint64_t none, size;

        options.block_size = blocks[i];
        double without = ratio_of(JSON, 30000, &options, &none);
        options.dictionary_size = 16 << 10;
        double with = ratio_of(JSON, 30000, &options, &size);
        printf("blocks of %5zu: stored %.3f of raw without, %.3f with %" PRIu64 " bytes\n",
                blocks[i], without, with, size);
        cr_assert_eq(none, 0);
        cr_assert_gt(size, 0);
        cr_assert_leq(size, 16 << 10);
        cr_assert_lt(with, 0.95 * without);
    }
}

Test(dictionary, is_left_out_where_it_gains_nothing)
{
    struct fr_table_options options = options_of(1024);
    uint64_t size;

    fr_cover_clear();
    double ratio = ratio_of(NOISE, 5000, &options, &size);
    cr_assert_gt(fr_cover_count("table: a dictionary does not pay"), 0);
    cr_assert_eq(size, 0);
    cr_assert_gt(ratio, 0.99, "raw blocks stay raw");

    /* Compressible, but all that comes again does so within a block. */
    fr_cover_clear();
    options.dictionary_size = 16 << 10;
    options.block_size = 16384;
    (void)ratio_of(NUMBERS, 30000, &options, &size);
    cr_assert_gt(fr_cover_count("table: a dictionary does not pay"), 0);
    cr_assert_eq(size, 0);
}

Test(dictionary, is_left_out_of_tables_smaller_than_its_sample)
{
    struct fr_table_options options = options_of(4096);
    uint64_t size;

    cr_assert_eq(fr_table_sample_size(&options), 256 << 10);
    (void)ratio_of(JSON, 1000, &options, &size);
    cr_assert_eq(size, 0);
    (void)ratio_of(JSON, 4000, &options, &size);
    cr_assert_gt(size, 0);
}

Test(dictionary, does_not_sample_values_that_are_larger_than_blocks)
{
    struct test_world world = test_world_open();
    struct fr_table_options options = options_of(65536);
    struct fr_entry large = {.key = fr_slice_of_text("a"), .seq = 1, .kind = FR_KIND_PUT};
    struct fr_table_builder *b;
    struct fr_table_meta meta;
    struct fr_table *t;
    size_t size = (size_t)3 << 20;
    uint8_t *bytes = fr_alloc_zeroed(size, 1);

    for (size_t i = 0; i < size; i += 64)
        fr_put_u64(bytes + i, i * UINT64_C(0x9e3779b97f4a7c15));

    cr_assert_eq(fr_table_sample_size(&options), 1 << 20);
    large.value = fr_slice_of(bytes, size);
    must(fr_table_builder_open(world.dir, &id, &options, &b));
    must(fr_table_builder_add(b, &large));
    struct fr_entry small = {.key = fr_slice_of_text("b"), .seq = 1, .kind = FR_KIND_PUT};
    must(fr_table_builder_add(b, &small));
    cr_assert_lt(fr_table_builder_size_estimate(b), 1 << 20, "it is written, and compressed");
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    must(fr_table_open(world.dir, &id, NULL, &t));
    must(fr_table_verify(t, NULL, NULL));
    fr_table_unref(t);
    fr_table_meta_deinit(&meta);
    fr_free(bytes);
    test_world_close(&world);
}

Test(dictionary, counts_for_the_memory_of_an_open_table)
{
    struct test_world world = test_world_open();
    struct fr_table_options options = options_of(0);
    struct fr_table *t;

    must(build(&world, JSON, 12000, &options, &t));
    size_t without = fr_table_memory(t);
    fr_table_unref(t);
    remove_table(&world);
    options.dictionary_size = 8192;
    must(build(&world, JSON, 12000, &options, &t));
    cr_assert_gt(fr_table_memory(t), without + 8192);
    fr_table_unref(t);
    test_world_close(&world);
}

/* ---- Damage ---- */

struct finding {
    uint64_t offset;
    unsigned count;
};

static bool note_finding(void *ctx, uint64_t offset, fr_status st)
{
    struct finding *finding = ctx;

    cr_assert_eq(st, FR_ERR_CORRUPT);
    if (finding->count++ == 0) finding->offset = offset;
    return true;
}

static void flip(struct fr_file *file, uint64_t offset, unsigned bit)
{
    uint8_t byte;

    must(fr_file_read_exact(file, offset, &byte, 1));
    byte ^= (uint8_t)(1u << bit);
    must(fr_file_write(file, offset, &byte, 1, 0));
}

Test(dictionary, is_refused_if_any_byte_of_it_is_damaged)
{
    struct test_world world = test_world_open();
    struct fr_table_options options = options_of(4096);
    char name[FR_FILE_NAME_SIZE], words[64];
    struct fr_table *t, *damaged = NULL;
    struct fr_file *file;

    must(build(&world, JSON, 3000, &options, &t));
    const struct fr_block_handle *at = &t->handles[FR_TABLE_HANDLE_DICTIONARY];
    cr_assert_gt(at->size, FR_FRAME_TRAILER_SIZE);
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    snprintf(words, sizeof(words), "at %" PRIu64, at->offset);
    must(fr_file_open(world.dir, name, FR_OPEN_WRITE, &file));
    for (uint32_t i = 0; i < at->size; i++) {
        flip(file, at->offset + i, i % 8);
        must_be(FR_ERR_CORRUPT, fr_table_open(world.dir, &id, NULL, &damaged));
        must_say(name);
        must_say(words);
        flip(file, at->offset + i, i % 8);
    }
    /* A table that is open already goes on with the one it has, and verifying it tells. */
    struct finding finding = {0};
    flip(file, at->offset + 100, 3);
    must_be(FR_ERR_CORRUPT, fr_table_verify(t, note_finding, &finding));
    cr_assert_eq(finding.offset, at->offset);
    flip(file, at->offset + 100, 3);
    check_entries(t, JSON, 3000);
    fr_file_close(file);
    fr_table_unref(t);
    test_world_close(&world);
}

Test(dictionary, is_corrupt_and_not_raw_bytes_if_zstd_does_not_know_it)
{
    struct fr_unpacker unpacker = {.dictionary = NULL};
    fr_slice words =
            fr_slice_of_text("these bytes are no dictionary, whatever their checksum says");

    must_be(FR_ERR_CORRUPT, fr_unpacker_set_dictionary(&unpacker, words, "a table", 77));
    must_say("a table: the dictionary at 77");
    fr_unpacker_deinit(&unpacker);
}

Test(dictionary, survives_each_failed_allocation)
{
    struct test_world world = test_world_open();
    struct fr_table_options options = options_of(2048);
    char name[FR_FILE_NAME_SIZE];
    bool hit = true;

    fr_cover_clear();
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    for (uint64_t n = 1; hit; n++) {
        struct fr_table *t = NULL;

        fr_alloc_fail_at(n, false);
        fr_status st = build(&world, JSON, 1500, &options, &t);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM, "%" PRIu64 ": %s", n, fr_last_error());
        if (!hit) cr_assert_eq(st, FR_OK);
        if (!hit) cr_assert_gt(fr_table_properties(t)->dictionary_bytes, 0);
        fr_table_unref(t);
        st = fr_dir_unlink(world.dir, name);
        cr_assert_geq(st, 0);
    }
    cr_assert_gt(fr_cover_count("table: a dictionary pays"), 0);
    test_world_close(&world);
}

/*
 * What was written once can be read. Not that it is written so today: which dictionary is trained,
 * and what is made of it, is zstd's to say.
 */
Test(dictionary, of_the_golden_file_is_read)
{
    struct test_world world = test_world_open();
    static uint8_t golden[65536];
    struct fr_file *to;
    struct fr_table *t;

    FILE *file = fopen(TEST_GOLDEN "/dictionary.table", "rb");
    cr_assert_not_null(file);
    size_t size = fread(golden, 1, sizeof(golden), file);
    fclose(file);
    must(fr_file_open(world.dir, "golden", FR_OPEN_WRITE | FR_OPEN_CREATE, &to));
    must(fr_file_write(to, 0, golden, size, 0));
    fr_file_close(to);
    must(fr_table_open_as(world.dir, "golden", &id, NULL, &t));
    cr_assert_eq(fr_table_properties(t)->dictionary_bytes, 2048);
    check_entries(t, JSON, 1300);
    fr_table_unref(t);
    test_world_close(&world);
}

/* ---- The engine ---- */

#define KEYS 12000u

static void put_all(struct fr_engine *engine, uint64_t salt, uint64_t step)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct pair pair;
    fr_slice bytes;

    for (uint64_t n = 0; n < KEYS; n += step) {
        struct fr_entry entry = entry_of(JSON, n, salt, &pair);

        must(fr_batch_add_put(&batch, entry.key, entry.value));
    }
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, batch.count, FR_DURABLE_NONE));
    fr_batch_deinit(&batch);
}

static void compact(struct fr_engine *engine)
{
    must(fr_engine_flush(engine));
    must(fr_engine_compact_range(engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_engine_wait_idle(engine));
}

/* Each key has the value of the newer salt where step divides it, else that of the older. */
static void check_all(struct fr_engine *engine, uint64_t older, uint64_t newer, uint64_t step)
{
    struct pair pair;

    for (uint64_t n = 0; n < KEYS; n++) {
        struct fr_entry want = entry_of(JSON, n, n % step == 0 ? newer : older, &pair);
        struct fr_engine_value got = {.view = NULL};

        must(fr_engine_get(engine, want.key, FR_SEQ_MAX, &got));
        cr_assert(fr_slice_equal(got.bytes, want.value), "%" PRIu64, n);
        fr_engine_value_release(&got);
    }
}

/* Tables with a dictionary, and all of them, of level 0 or of the others. */
static void count_tables(struct fr_engine *engine, bool level0, size_t *ret_with, size_t *ret_all)
{
    fr_seq at = FR_SEQ_MAX;
    struct fr_view *view = fr_engine_view_take(engine, &at);

    *ret_with = *ret_all = 0;
    for (unsigned level = level0 ? 0 : 1; level < (level0 ? 1 : FR_LEVEL_COUNT); level++) {
        const struct fr_version_level *tables = &view->version->levels[level];

        for (size_t i = 0; i < tables->count; i++) {
            ++*ret_all;
            *ret_with += fr_table_properties(tables->tables[i]->table)->dictionary_bytes > 0;
        }
    }
    fr_engine_view_release(engine, view);
}

Test(dictionary, is_made_at_the_bottom_and_follows_compaction, .timeout = 120)
{
    struct fr_engine_options options = fr_engine_options_default();
    struct test_world world = test_world_open();
    struct fr_engine *engine;
    size_t with, all;

    options.table_size = 1 << 20;
    options.block_size = 4096;
    options.picker.level0_trigger = 100;
    options.picker.level0_most = 100;
    must(fr_engine_open(world.env, fr_dir_path(world.dir), &options, &engine));
    put_all(engine, 1, 1);
    must(fr_engine_flush(engine));
    count_tables(engine, true, &with, &all);
    cr_assert_gt(all, 0);
    cr_assert_eq(with, 0, "a flush does not know what comes to rest");
    compact(engine);
    count_tables(engine, false, &with, &all);
    cr_assert_gt(with, 0);
    check_all(engine, 1, 1, 1);

    put_all(engine, 2, 3);
    check_all(engine, 1, 2, 3);
    compact(engine);
    count_tables(engine, false, &with, &all);
    cr_assert_gt(with, 0);
    check_all(engine, 1, 2, 3);

    /* Off: tables with and without one live side by side, and those before can be read. */
    must(fr_engine_close(engine));
    options.dictionary_size = 0;
    must(fr_engine_open(world.env, fr_dir_path(world.dir), &options, &engine));
    check_all(engine, 1, 2, 3);
    put_all(engine, 3, 3);
    compact(engine);
    count_tables(engine, false, &with, &all);
    cr_assert_gt(all, 0);
    cr_assert_eq(with, 0);
    check_all(engine, 1, 3, 3);
    must(fr_engine_close(engine));
    test_world_close(&world);
}

Test(dictionary, is_smaller_where_there_is_less_memory)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memory_budget = (uint64_t)256 << 20;
    cr_assert_eq(fr_engine_dictionary_size(&options), 16 << 10);
    options.memory_budget = 8 << 20;
    cr_assert_eq(fr_engine_dictionary_size(&options), 8 << 10);
    options.table_size = 256 << 10;
    cr_assert_eq(fr_engine_dictionary_size(&options), 1 << 10);
    options.table_size = 16 << 10;
    cr_assert_eq(fr_engine_dictionary_size(&options), 0);
}
