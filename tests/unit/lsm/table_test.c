#include "tests/unit/lsm/model.h"

#include <inttypes.h>

#include "base/cover.h"
#include "base/hash.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"
#include "tests/unit/io/test_world.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{0x1111, 0x2222}, 7};

static void build(struct test_world *world, const struct model *model,
        const struct fr_table_options *options, struct fr_table_meta *meta)
{
    struct fr_table_builder *b;

    must(fr_table_builder_open(world->dir, &id, options, &b));
    for (size_t i = 0; i < model->count; i++)
        must(fr_table_builder_add(b, &model->entries[i]));
    must(fr_table_builder_finish(b, meta));
    fr_table_builder_close(b);
}

/* The newest visible entry of the key by the planner's steps. */
static fr_status get(struct fr_table *t, fr_slice key, fr_seq seq, struct fr_entry *ret_entry,
        struct fr_table_block **ret_block, struct fr_block_iter *it)
{
    uint64_t hash = fr_hash64(key);
    struct fr_table_spot spot;

    if (!fr_table_may_contain(t, hash)) return FR_NOT_FOUND;
    if (fr_table_locate(t, key, seq, &spot) != FR_OK) return FR_NOT_FOUND;
    if (!fr_table_block_cached(t, &spot.handle, ret_block))
        must(fr_table_block_read(t, &spot.handle, false, ret_block));
    must(fr_block_iter_set(it, &(*ret_block)->block));
    fr_status st = fr_block_get_first(it, key, hash, seq);
    if (st == FR_OK) *ret_entry = it->iter.entry;
    return st;
}

static void check_gets(struct fr_table *t, const struct model *model)
{
    struct fr_block_iter it;

    fr_block_iter_init(&it);
    for (size_t i = 0; i < model->count; i++) {
        const struct fr_entry *entry = &model->entries[i];

        for (int k = 0; k < 3; k++) {
            fr_seq seq = entry->seq + (fr_seq)k - 1;
            size_t want = model_seek(model, entry->key, seq);
            bool there =
                    want < model->count && fr_slice_equal(model->entries[want].key, entry->key);
            struct fr_table_block *block = NULL;
            struct fr_entry got;

            cr_assert_eq(get(t, entry->key, seq, &got, &block, &it), there ? FR_OK : FR_NOT_FOUND);
            if (there) cr_assert(model_entry_equal(&got, &model->entries[want]));
            fr_table_block_release(t, block);
        }
    }
    fr_iter_close(&it.iter);
}

static void check_table(const struct model *model, const struct fr_table_options *options,
        bool cached)
{
    struct test_world world = test_world_open();
    struct fr_table_iter_options iter_options = {.fill_cache = cached};
    struct fr_cache *cache = NULL;
    struct fr_table_meta meta;
    struct fr_table *t;
    struct fr_iter *it;

    if (cached) must(fr_cache_new(256 << 10, 0, &cache));
    build(&world, model, options, &meta);
    must(fr_table_open(world.dir, &id, cache, &t));
    cr_assert(fr_hash128_equal(meta.hash, fr_table_hash(t)));
    cr_assert_eq(fr_table_entry_count(fr_table_properties(t)), model->count);
    must(fr_table_iter_new(t, &iter_options, &it));
    model_check(model, it, 3);
    fr_iter_close(it);
    check_gets(t, model);
    must(fr_table_verify(t, NULL, NULL));
    fr_table_unref(t);
    fr_cache_free(cache);
    fr_table_meta_deinit(&meta);
    test_world_close(&world);
}

Test(table, agrees_with_a_sorted_array)
{
    for (int keys = 0; keys < MODEL_KINDS; keys++) {
        struct fr_table_options options = fr_table_options_default();
        struct model model = {0};

        model_fill(&model, (enum model_keys)keys, keys == MODEL_EXTREME ? 300 : 3000, 60,
                (uint64_t)keys);
        options.block_size = 4096;
        options.index_block_size = 200;
        check_table(&model, &options, keys % 2 == 0);
        model_free(&model);
    }
}

Test(table, agrees_at_all_block_sizes_and_compressions)
{
    struct model model = {0};

    model_fill(&model, MODEL_PREFIXED, 4000, 100, 9);
    for (size_t size = 4096; size <= 65536; size *= 4) {
        for (int dictionary = 0; dictionary < 2; dictionary++) {
            struct fr_table_options options = fr_table_options_default();

            options.block_size = size;
            options.compression = FR_CODEC_ZSTD;
            options.dictionary_size = dictionary ? 2048 : 0;
            check_table(&model, &options, true);
        }
    }
    model_free(&model);
}

Test(table, holds_values_larger_than_blocks_and_nothing_at_all)
{
    struct model model = {0};

    check_table(&model, NULL, true);
    model_fill(&model, MODEL_RANDOM, 20, 300000, 4);
    check_table(&model, NULL, true);
    model_free(&model);
}

Test(table, reads_ahead_once_a_scan_goes_on)
{
    struct test_world world = test_world_open();
    struct fr_env_stats before, after;
    struct fr_table_meta meta;
    struct model model = {0};
    struct fr_table *t;
    struct fr_iter *it;
    size_t count = 0;

    model_fill(&model, MODEL_RANDOM, 20000, 100, 4);
    build(&world, &model, NULL, &meta);
    must(fr_table_open(world.dir, &id, NULL, &t));
    must(fr_table_iter_new(t, NULL, &it));
    fr_env_stats_get(world.env, &before);
    while (fr_iter_next(it) == FR_OK)
        count++;
    fr_env_stats_get(world.env, &after);
    cr_assert_eq(count, model.count);
    cr_assert_lt(4 * (after.read_count - before.read_count), fr_table_block_count(t));
    fr_env_stats_get(world.env, &before);
    while (fr_iter_prev(it) == FR_OK)
        count--;
    fr_env_stats_get(world.env, &after);
    cr_assert_eq(count, 0);
    cr_assert_lt(4 * (after.read_count - before.read_count), fr_table_block_count(t));
    fr_iter_close(it);
    fr_table_unref(t);
    fr_table_meta_deinit(&meta);
    model_free(&model);
    test_world_close(&world);
}

static fr_slice text(const char *words)
{
    return fr_slice_of_text(words);
}

Test(table, cuts_range_deletes_in_fragments)
{
    struct test_world world = test_world_open();
    struct fr_table_builder *b;
    struct fr_table_meta meta;
    const struct fr_range *r;
    struct fr_table *t;
    size_t n;

    must(fr_table_builder_open(world.dir, &id, NULL, &b));
    must(fr_table_builder_add_range(b, text("c"), text("g"), 4));
    must(fr_table_builder_add_range(b, text("a"), text("e"), 9));
    must(fr_table_builder_add_range(b, text("x"), text("x"), 5));
    must(fr_table_builder_add_range(b, text("m"), text("n"), 2));
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    must(fr_table_open(world.dir, &id, NULL, &t));
    r = fr_table_ranges(t, &n);
    cr_assert_eq(n, 5);
    static const struct {
        const char *start, *end;
        fr_seq seq;
    } want[] = {{"a", "c", 9}, {"c", "e", 9}, {"c", "e", 4}, {"e", "g", 4}, {"m", "n", 2}};
    for (size_t i = 0; i < n; i++)
        cr_assert(fr_slice_equal(r[i].start, text(want[i].start)) &&
                  fr_slice_equal(r[i].end, text(want[i].end)) && r[i].seq == want[i].seq);
    cr_assert_eq(fr_ranges_covering(r, n, text("d"), FR_SEQ_MAX), 9);
    cr_assert_eq(fr_ranges_covering(r, n, text("d"), 8), 4);
    cr_assert_eq(fr_ranges_covering(r, n, text("d"), 3), 0);
    cr_assert_eq(fr_ranges_covering(r, n, text("g"), 99), 0);
    cr_assert_eq(fr_ranges_covering(r, n, text("mm"), 99), 2);
    cr_assert(meta.properties.largest_open);
    cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.smallest), text("a")));
    cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.largest), text("n")));
    fr_table_unref(t);
    fr_table_meta_deinit(&meta);
    test_world_close(&world);
}

/* The bytes of the one table in a world. */
static uint8_t *bytes_of(struct test_world *world, size_t *ret_size)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file_info info;
    struct fr_file *file;

    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    must(fr_file_open(world->dir, name, 0, &file));
    must(fr_file_info_get(file, &info));
    uint8_t *bytes = fr_alloc(info.size);
    must(fr_file_read_exact(file, 0, bytes, info.size));
    fr_file_close(file);
    *ret_size = info.size;
    return bytes;
}

static void set_bytes(struct test_world *world, uint64_t number, const uint8_t *bytes, size_t size)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file;

    fr_file_name_format(FR_FILE_TABLE, number, name);
    fr_status st = fr_dir_unlink(world->dir, name);
    cr_assert_geq(st, 0);
    must(fr_file_open(world->dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    if (size > 0) must(fr_file_write(file, 0, bytes, size, 0));
    fr_file_close(file);
}

/* Read all there is: every answer is right, or there is an error. True: there was one. */
static bool reads_right_or_fails(struct test_world *world, const struct model *model)
{
    struct fr_table *t = NULL;
    struct fr_iter *it;
    size_t count = 0;
    fr_status st = fr_table_open(world->dir, &id, NULL, &t);

    if (st < 0) return true;
    must(fr_table_iter_new(t, NULL, &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        cr_assert_lt(count, model->count);
        cr_assert(model_entry_equal(&it->entry, &model->entries[count]));
        count++;
    }
    if (st == FR_END) cr_assert_eq(count, model->count);
    for (size_t i = 0; i < model->count; i++)
        cr_assert(fr_table_may_contain(t, fr_hash64(model->entries[i].key)));
    fr_iter_close(it);
    fr_status verified = fr_table_verify(t, NULL, NULL);
    if (st < 0) cr_assert_lt(verified, 0);
    fr_table_unref(t);
    return verified < 0;
}

static void small_table(struct test_world *world, struct model *model)
{
    struct fr_table_options options = fr_table_options_default();
    struct fr_table_builder *b;
    struct fr_table_meta meta;

    model_fill(model, MODEL_PREFIXED, 250, 30, 11);
    options.block_size = 4096;
    options.created_us = 1;
    options.compression = FR_CODEC_ZSTD;
    must(fr_table_builder_open(world->dir, &id, &options, &b));
    for (size_t i = 0; i < model->count; i++)
        must(fr_table_builder_add(b, &model->entries[i]));
    must(fr_table_builder_add_range(b, text("a"), text("b"), 5));
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    fr_table_meta_deinit(&meta);
}

Test(table, notices_each_flipped_byte_and_each_truncation)
{
    struct test_world world = test_world_open();
    struct model model = {0};
    size_t size;

    small_table(&world, &model);
    uint8_t *bytes = bytes_of(&world, &size);
    cr_assert_not(reads_right_or_fails(&world, &model));
    for (size_t i = 0; i < size; i += i < 300 || i + 900 > size ? 1 : 5) {
        bytes[i] ^= (uint8_t)(1 << i % 8);
        set_bytes(&world, 7, bytes, size);
        cr_assert(reads_right_or_fails(&world, &model), "byte %zu of %zu", i, size);
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t i = 0; i < size; i += 97) {
        struct fr_table *t;

        set_bytes(&world, 7, bytes, i);
        cr_assert_lt(fr_table_open(world.dir, &id, NULL, &t), 0);
    }
    fr_free(bytes);
    model_free(&model);
    test_world_close(&world);
}

Test(table, refuses_blocks_at_the_wrong_place_or_from_an_earlier_life)
{
    struct test_world world = test_world_open();
    struct fr_table_options options = fr_table_options_default();
    struct fr_table_meta meta;
    struct model model = {0};
    struct fr_table_block *block;
    struct fr_table *t;
    size_t size;

    for (uint8_t i = 0; i < 8; i++)
        for (uint8_t k = 0; k < 9; k++) {
            uint8_t key[2] = {i, k}, value[500] = {i, k};

            model_add(&model, fr_slice_of(key, 2), 5, FR_KIND_PUT, fr_slice_of(value, 500));
        }
    options.block_size = 4096;
    build(&world, &model, &options, &meta);
    uint8_t *bytes = bytes_of(&world, &size);
    must(fr_table_open(world.dir, &id, NULL, &t));
    struct fr_block_handle a = fr_table_spot_at(t, 1).handle, b = fr_table_spot_at(t, 2).handle;
    cr_assert_eq(a.size, b.size);
    uint8_t *swapped = fr_alloc(size);
    memcpy(swapped, bytes, size);
    memcpy(swapped + a.offset, bytes + b.offset, a.size);
    memcpy(swapped + b.offset, bytes + a.offset, a.size);
    fr_table_unref(t);
    set_bytes(&world, 7, swapped, size);
    must(fr_table_open(world.dir, &id, NULL, &t));
    must_be(FR_ERR_CORRUPT, fr_table_block_read(t, &a, false, &block));
    fr_table_unref(t);

    /* The same block as it was before its values changed: intact, and in its place. */
    char name[FR_FILE_NAME_SIZE];
    fr_file_name_format(FR_FILE_TABLE, 7, name);
    must(fr_dir_unlink(world.dir, name));
    fr_table_meta_deinit(&meta);
    ((uint8_t *)fr_unconst(model.entries[12].value.data))[9] ^= 1;
    build(&world, &model, &options, &meta);
    uint8_t *later = bytes_of(&world, &size);
    memcpy(later + a.offset, bytes + a.offset, a.size);
    set_bytes(&world, 7, later, size);
    must(fr_table_open(world.dir, &id, NULL, &t));
    struct fr_block_handle fresh = fr_table_spot_at(t, 1).handle;
    must_be(FR_ERR_CORRUPT, fr_table_block_read(t, &fresh, false, &block));
    must_say("stale");
    fr_table_unref(t);
    fr_table_meta_deinit(&meta);
    fr_free(bytes);
    fr_free(swapped);
    fr_free(later);
    model_free(&model);
    test_world_close(&world);
}

Test(table, refuses_foreign_files)
{
    struct test_world world = test_world_open();
    struct fr_file_id other_store = {{0x1111, 0x2223}, 7}, other_number = {{0x1111, 0x2222}, 8};
    struct model model = {0};
    struct fr_table *t;
    size_t size;

    small_table(&world, &model);
    uint8_t *bytes = bytes_of(&world, &size);
    must_be(FR_ERR_FOREIGN, fr_table_open(world.dir, &other_store, NULL, &t));
    must_be(FR_ERR_MISSING, fr_table_open(world.dir, &other_number, NULL, &t));
    set_bytes(&world, 8, bytes, size);
    must_be(FR_ERR_FOREIGN, fr_table_open(world.dir, &other_number, NULL, &t));
    fr_free(bytes);
    model_free(&model);
    test_world_close(&world);
}

/* Build and read a table; any step may fail, for want of memory only. */
static fr_status build_and_read(struct test_world *world, const struct model *model)
{
    struct fr_table_options options = fr_table_options_default();
    struct fr_table_builder *b = NULL;
    struct fr_table_meta meta = {0};
    struct fr_table *t = NULL;
    struct fr_iter *it = NULL;
    fr_status st;

    options.compression = FR_CODEC_ZSTD;
    options.dictionary_size = 1024;
    options.block_size = 4096;
    FR_TRY(fr_table_builder_open(world->dir, &id, &options, &b));
    for (size_t i = 0; i < model->count; i++)
        FR_TRY(fr_table_builder_add(b, &model->entries[i]));
    FR_TRY(fr_table_builder_add_range(b, text("a"), text("c"), 3));
    FR_TRY(fr_table_builder_finish(b, &meta));
    FR_TRY(fr_table_open(world->dir, &id, NULL, &t));
    FR_TRY(fr_table_iter_new(t, NULL, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        ;
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(it);
    fr_table_unref(t);
    fr_table_builder_close(b);
    fr_table_meta_deinit(&meta);
    return st;
}

Test(table, survives_each_failed_allocation)
{
    struct test_world world = test_world_open();
    struct model model = {0};
    char name[FR_FILE_NAME_SIZE];
    bool hit = true;

    model_fill(&model, MODEL_RANDOM, 500, 60, 12);
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    for (uint64_t n = 1; hit; n++) {
        fr_alloc_fail_at(n, false);
        fr_status st = build_and_read(&world, &model);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM, "%" PRIu64 ": %s", n, fr_last_error());
        if (!hit) cr_assert_eq(st, FR_OK);
        st = fr_dir_unlink(world.dir, name);
        cr_assert_geq(st, 0);
    }
    model_free(&model);
    test_world_close(&world);
}

Test(table, counts_what_is_in_it)
{
    struct test_world world = test_world_open();
    struct fr_table_meta meta;
    struct model model = {0};
    uint64_t placed = 0, appends = 0, refs = 0;

    model_fill(&model, MODEL_RANDOM, 1000, 30, 13);
    for (size_t i = 0; i < model.count; i++) {
        placed += (model.entries[i].flags & FR_ENTRY_PLACED) != 0;
        appends += model.entries[i].kind == FR_KIND_APPEND;
    }
    build(&world, &model, NULL, &meta);
    cr_assert_eq(meta.properties.placed_count, placed);
    cr_assert_eq(meta.properties.append_count, appends);
    for (size_t i = 0; i < fr_table_value_ref_count(&meta.properties); i++) {
        refs += fr_table_value_refs(&meta.properties)[i].count;
        cr_assert_eq(fr_table_value_refs(&meta.properties)[i].file, i + 1);
    }
    cr_assert_eq(refs, placed);
    cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.smallest), model.entries[0].key));
    cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.largest),
            model.entries[model.count - 1].key));
    fr_table_meta_deinit(&meta);
    model_free(&model);
    test_world_close(&world);
}

static int findings;

static bool note(void *ctx, uint64_t offset, fr_status st)
{
    (void)ctx;
    (void)offset;
    findings += st < 0;
    return true;
}

Test(table, verify_goes_on_behind_damage)
{
    struct test_world world = test_world_open();
    struct fr_table_meta meta;
    struct model model = {0};
    struct fr_table *t;
    size_t size;

    model_fill(&model, MODEL_RANDOM, 2000, 60, 14);
    build(&world, &model, NULL, &meta);
    uint8_t *bytes = bytes_of(&world, &size);
    bytes[1000] ^= 1;
    bytes[20000] ^= 1;
    set_bytes(&world, 7, bytes, size);
    must(fr_table_open(world.dir, &id, NULL, &t));
    must_be(FR_ERR_CORRUPT, fr_table_verify(t, note, NULL));
    cr_assert_eq(findings, 3); /* two blocks and the content's hash */
    fr_table_unref(t);
    fr_free(bytes);
    fr_table_meta_deinit(&meta);
    model_free(&model);
    test_world_close(&world);
}

struct passed {
    struct fr_buf low[4], high[4];
    size_t count;
};

static fr_status note_passed(void *ctx, fr_slice low, fr_slice high)
{
    struct passed *passed = ctx;

    must_say(".table");
    fr_buf_append(&passed->low[passed->count], low.data, low.size);
    fr_buf_append(&passed->high[passed->count++], high.data, high.size);
    return FR_OK;
}

static bool is_passed(const struct passed *passed, fr_slice key)
{
    for (size_t i = 0; i < passed->count; i++)
        if (fr_slice_compare(fr_buf_slice(&passed->low[i]), key) <= 0 &&
                fr_slice_compare(key, fr_buf_slice(&passed->high[i])) <= 0)
            return true;
    return false;
}

/* Whoever asks for it is told between which keys there was damage; what is behind comes. */
static void walk_past(struct fr_table *t, const struct model *model)
{
    struct passed passed = {0};
    const struct fr_table_iter_options how = {.damage = note_passed, .damage_ctx = &passed};
    struct fr_iter *it;
    size_t at = 0, missing = 0;
    fr_status st;

    must(fr_table_iter_new(t, &how, &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        for (; !model_entry_equal(&it->entry, &model->entries[at]); at++, missing++)
            cr_assert(is_passed(&passed, model->entries[at].key));
        at++;
    }
    cr_assert_eq(st, FR_END);
    cr_assert_eq(passed.count, 2);
    cr_assert(missing > 10 && missing < model->count / 2, "%zu", missing);
    size_t hidden = model_seek(model, fr_buf_slice(&passed.low[0]), 0);
    passed.count = 2;
    fr_iter_seek(it, model->entries[hidden].key, FR_SEQ_MAX);
    must(fr_iter_next(it));
    cr_assert_gt(fr_slice_compare(it->entry.key, model->entries[hidden].key), 0);
    cr_assert_eq(passed.count, 3);
    fr_iter_close(it);
    for (size_t i = 0; i < 4; i++) {
        fr_buf_deinit(&passed.low[i]);
        fr_buf_deinit(&passed.high[i]);
    }
}

Test(table, an_iterator_goes_on_behind_damage_if_asked)
{
    struct test_world world = test_world_open();
    struct fr_table_meta meta;
    struct model model = {0};
    struct fr_table *t;
    struct fr_iter *it;
    size_t size;
    fr_status st;

    model_fill(&model, MODEL_RANDOM, 2000, 60, 14);
    build(&world, &model, NULL, &meta);
    uint8_t *bytes = bytes_of(&world, &size);
    bytes[1000] ^= 1;
    bytes[20000] ^= 1;
    set_bytes(&world, 7, bytes, size);
    must(fr_table_open(world.dir, &id, NULL, &t));
    walk_past(t, &model);
    must(fr_table_iter_new(t, NULL, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        continue;
    cr_assert_eq(st, FR_ERR_CORRUPT);
    fr_iter_close(it);
    fr_table_unref(t);
    fr_free(bytes);
    fr_table_meta_deinit(&meta);
    model_free(&model);
    test_world_close(&world);
}

/* Entries, and a range behind them. */
static fr_status try_build(struct test_world *world, const struct model *model,
        struct fr_table_meta *ret_meta)
{
    struct fr_table_builder *b = NULL;
    fr_status st;

    FR_TRY(fr_table_builder_open(world->dir, &id, NULL, &b));
    for (size_t i = 0; i < model->count; i++)
        FR_TRY(fr_table_builder_add(b, &model->entries[i]));
    FR_TRY(fr_table_builder_add_range(b, text("y"), text("z"), 5));
    st = fr_table_builder_finish(b, ret_meta);
out:
    fr_table_builder_close(b);
    return st;
}

Test(table, without_memory_for_a_bound_is_not_written)
{
    struct test_world world = test_world_open();
    char name[FR_FILE_NAME_SIZE];
    struct model model = {0};
    bool hit = true;

    model_add(&model, text("b"), 5, FR_KIND_PUT, text("B"));
    model_add(&model, text("x"), 5, FR_KIND_PUT, text("X"));
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    for (uint64_t n = 1; hit; n++) {
        struct fr_table_meta meta = {0};

        fr_alloc_fail_at(n, false);
        fr_status st = try_build(&world, &model, &meta);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || (hit && st == FR_ERR_NOMEM), "%" PRIu64, n);
        if (st == FR_OK) {
            cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.smallest), text("b")));
            cr_assert(fr_slice_equal(fr_buf_slice(&meta.properties.largest), text("z")));
        }
        fr_table_meta_deinit(&meta);
        cr_assert_geq(fr_dir_unlink(world.dir, name), 0);
    }
    model_free(&model);
    test_world_close(&world);
}
