/*
 * compact_test.c - compaction as a whole, on a real file system: whatever work is chosen and
 * however its output is cut, a history reads the same; and what the choices promise.
 */
#include <inttypes.h>

#include "base/cover.h"
#include "base/rng.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"

#define KEYS       300
#define VALUE_ROOM 4096

struct model_value {
    bool there;
    size_t size;
    uint8_t bytes[64 << 10];
};

struct test_store {
    struct test_world world;
    struct fr_engine_options options;
    struct fr_engine *engine;
    struct fr_rng rng;
    struct model_value model[KEYS], kept[KEYS]; /* kept: as of the snapshot */
    fr_seq snapshot;                            /* 0: none */
};

static struct test_store t;

static struct fr_engine_options small_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 64 << 10;
    options.log_segment_size = 256 << 10;
    options.table_size = 16 << 10;
    options.value_file_size = 64 << 10;
    options.cache_size = 256 << 10;
    options.block_size = 4096;
    options.picker.base_bytes = 32 << 10;
    options.picker.level0_trigger = 2;
    options.picker.level0_most = 2;
    options.picker.space_slack = 16 << 10;
    return options;
}

static void open_engine(void)
{
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &t.options, &t.engine));
}

static void open_store(struct fr_engine_options options, uint64_t seed)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.options = options;
    fr_rng_init(&t.rng, seed);
    open_engine();
}

static void close_store(void)
{
    if (t.snapshot != 0) fr_engine_snapshot_release(t.engine, t.snapshot);
    must(fr_engine_close(t.engine));
    test_world_close(&t.world);
}

static fr_slice key_of(size_t index, char *text, size_t size)
{
    return fr_slice_of(text, (size_t)snprintf(text, size, "key/%08zu", index));
}

static void write_one(uint8_t kind, fr_slice key, fr_slice value)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    if (kind == FR_KIND_PUT) must(fr_batch_add_put(&batch, key, value));
    if (kind == FR_KIND_APPEND) must(fr_batch_add_append(&batch, key, value));
    if (kind == FR_KIND_DELETE) must(fr_batch_add_delete(&batch, key));
    if (kind == FR_KIND_DELETE_RANGE) must(fr_batch_add_delete_range(&batch, key, value));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(t.engine, bytes, batch.count, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

static void write_index(uint8_t kind, size_t index, fr_slice value)
{
    char text[32];

    write_one(kind, key_of(index, text, sizeof(text)), value);
}

/* ---- A history that reads the same however the work is chosen ---- */

static void model_append(struct model_value *value, fr_slice bytes)
{
    if (!value->there) value->size = 0;
    cr_assert_leq(value->size + bytes.size, sizeof(value->bytes));
    memcpy(value->bytes + value->size, bytes.data, bytes.size);
    value->size += bytes.size;
    value->there = true;
}

static fr_slice random_value(uint8_t *bytes)
{
    size_t size =
            fr_rng_one_in(&t.rng, 4) ? fr_rng_below(&t.rng, VALUE_ROOM) : fr_rng_below(&t.rng, 100);

    /* Half of it repeats itself, so that compression and dictionaries have something to do. */
    fr_rng_fill(&t.rng, bytes, size);
    for (size_t i = 0; i < size / 2; i++)
        bytes[i] = "freshet "[i % 8];
    return fr_slice_of(bytes, size);
}

static void delete_some(size_t index)
{
    uint64_t most = fr_rng_one_in(&t.rng, 10) ? KEYS : 20;
    size_t end = FR_MIN(index + 1 + fr_rng_below(&t.rng, most), (uint64_t)KEYS);
    char text[32];

    write_index(FR_KIND_DELETE_RANGE, index, key_of(end, text, sizeof(text)));
    for (size_t i = index; i < end; i++)
        t.model[i].there = false;
}

static void random_operation(void)
{
    size_t index = fr_rng_below(&t.rng, KEYS);
    struct model_value *value = &t.model[index];
    uint8_t bytes[VALUE_ROOM];
    fr_slice given = random_value(bytes);
    uint64_t what = fr_rng_below(&t.rng, 20);

    if (what == 0) {
        delete_some(index);
    } else if (what <= 3) {
        write_index(FR_KIND_DELETE, index, given);
        value->there = false;
    } else if (what <= 7 && (!value->there || value->size + given.size < sizeof(value->bytes))) {
        write_index(FR_KIND_APPEND, index, given);
        model_append(value, given);
    } else {
        write_index(FR_KIND_PUT, index, given);
        value->there = false;
        model_append(value, given);
    }
}

static void check_reads(const struct model_value *model, fr_seq at)
{
    struct fr_engine_scan_options options = {.at = at};
    struct fr_iter *it;
    char text[32];

    must(fr_engine_scan(t.engine, &options, &it));
    for (size_t i = 0; i < KEYS; i++) {
        struct fr_engine_value value;
        fr_slice key = key_of(i, text, sizeof(text)), want;

        must_be(model[i].there ? FR_OK : FR_NOT_FOUND, fr_engine_get(t.engine, key, at, &value));
        if (!model[i].there) continue;
        want = fr_slice_of(model[i].bytes, model[i].size);
        cr_assert(fr_slice_equal(value.bytes, want), "%s: %zu bytes, not %zu", text,
                value.bytes.size, want.size);
        fr_engine_value_release(&value);
        must(fr_iter_next(it));
        cr_assert(fr_slice_equal(it->entry.key, key), "%s", text);
        cr_assert(fr_slice_equal(it->entry.value, want), "%s", text);
    }
    must_be(FR_END, fr_iter_next(it));
    fr_iter_close(it);
}

static void change_snapshot(void)
{
    if (t.snapshot != 0) {
        check_reads(t.kept, t.snapshot);
        fr_engine_snapshot_release(t.engine, t.snapshot);
        t.snapshot = 0;
    } else {
        must(fr_engine_snapshot_take(t.engine, &t.snapshot));
        memcpy(t.kept, t.model, sizeof(t.kept));
    }
}

/* The same history each time: what is done does not depend on the options. */
static void run_history(struct fr_engine_options options)
{
    open_store(options, 77);
    for (int i = 1; i <= 1500; i++) {
        random_operation();
        if (i % 150 == 0) change_snapshot();
        if (i % 200 == 0) must(fr_engine_flush(t.engine));
        if (i % 500 == 0) must(fr_engine_wait_idle(t.engine));
        if (i == 700)
            must(fr_engine_compact_range(t.engine, fr_slice_of("key/00000050", 12),
                    fr_slice_of("key/00000150", 12)));
    }
    check_reads(t.model, FR_SEQ_MAX);
    if (t.snapshot != 0) change_snapshot();
    must(fr_engine_close(t.engine));
    open_engine();
    check_reads(t.model, FR_SEQ_MAX);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    check_reads(t.model, FR_SEQ_MAX);
    close_store();
}

struct choice {
    const char *about;
    void (*set)(struct fr_engine_options *o);
};

/* One line of options each. */
#define CHOICE(name, ...)                                                                          \
    static void name(struct fr_engine_options *o)                                                  \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
    }

CHOICE(as_it_is, (void)o)
CHOICE(tiny_tables, o->table_size = 4 << 10)
CHOICE(large_tables, o->table_size = 1 << 20)
CHOICE(one_level, o->picker.base_bytes = 1 << 30)
CHOICE(many_levels, o->picker.base_bytes = 4 << 10; o->picker.ratio = 3; o->table_size = 4 << 10)
CHOICE(eager, o->picker.level0_trigger = 1; o->picker.level0_most = 1)
CHOICE(lazy, o->picker.level0_trigger = 6; o->picker.level0_most = 10)
CHOICE(no_values, o->value_threshold = 0)
CHOICE(all_values, o->value_threshold = 1)
CHOICE(no_garbage, o->picker.space_percent = 101; o->picker.space_slack = 0)
CHOICE(all_garbage, o->picker.space_percent = 10000)
CHOICE(tiny_value_files, o->value_file_size = 4 << 10; o->picker.space_percent = 110)
CHOICE(plain, o->compress = false; o->filter_bits = 0)
CHOICE(small_dictionaries, o->table_size = 128 << 10; o->dictionary_size = 512;
        o->value_threshold = 0)
CHOICE(no_verify, o->verify_tables = false; o->memtable_size = 256 << 10)

static const struct choice choices[] = {
        {"as it is", as_it_is},
        {"tiny tables", tiny_tables},
        {"large tables", large_tables},
        {"one level", one_level},
        {"many levels", many_levels},
        {"eager", eager},
        {"lazy", lazy},
        {"no value files", no_values},
        {"all in value files", all_values},
        {"hardly any garbage", no_garbage},
        {"any garbage", all_garbage},
        {"tiny value files", tiny_value_files},
        {"no compression, no filters", plain},
        {"small dictionaries", small_dictionaries},
        {"no verification", no_verify},
};

TestSuite(compact, .timeout = 200);

Test(compact, a_history_reads_the_same_whatever_work_is_chosen)
{
    fr_cover_clear();
    for (size_t i = 0; i < FR_ARRAY_COUNT(choices); i++) {
        struct fr_engine_options options = small_options();

        choices[i].set(&options);
        cr_log_info("%s", choices[i].about);
        run_history(options);
    }
    cr_assert_gt(fr_cover_count("compaction: covered tables are dropped"), 0);
}

/* ---- What the choices promise ---- */

static void put_random(size_t index, size_t size)
{
    uint8_t bytes[VALUE_ROOM];

    fr_rng_fill(&t.rng, bytes, size);
    write_index(FR_KIND_PUT, index, fr_slice_of(bytes, size));
}

static uint64_t overlap_below(const struct fr_version *v, unsigned level, size_t at)
{
    const struct fr_edit_table *meta = &v->levels[level].tables[at]->meta;
    const struct fr_version_level *below = &v->levels[level + 1];
    uint64_t bytes = 0;

    for (size_t i = fr_version_find(below, meta->smallest); i < below->count; i++) {
        if (fr_slice_compare(below->tables[i]->meta.smallest, meta->largest) > 0) break;
        bytes += below->tables[i]->meta.size;
    }
    return bytes;
}

/* A last level that is dense where the keys of a table above lie sparse. */
Test(compact, a_table_overlaps_a_bounded_part_of_the_level_below)
{
    struct fr_engine_options options = small_options();

    options.value_threshold = 0;
    options.compress = false;
    options.verify_tables = false;
    options.table_size = 8 << 10;
    open_store(options, 3);
    fr_cover_clear();
    for (size_t i = 0; i < 6000; i++)
        put_random(i, 300);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    for (size_t i = 0; i < 6000; i += 20)
        put_random(i, 100);
    must(fr_engine_flush(t.engine));
    for (size_t i = 10; i < 6000; i += 20)
        put_random(i, 100);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    cr_assert_gt(fr_cover_count("output: cut at the end of a table below"), 0);
    cr_assert_gt(fr_cover_count("output: cut for overlapping too much below"), 0);
    struct fr_view *view = fr_engine_view(t.engine);
    for (unsigned level = 1; level < FR_LEVEL_COUNT - 1; level++)
        for (size_t i = 0; i < view->version->levels[level].count; i++)
            cr_assert_leq(overlap_below(view->version, level, i), (10 + 3) * options.table_size);
    fr_view_unref(view);
    close_store();
}

static uint64_t count_above_last(bool appends)
{
    struct fr_view *view = fr_engine_view(t.engine);
    uint64_t count = 0;

    for (unsigned level = 0; level < FR_LEVEL_COUNT - 1; level++)
        for (size_t i = 0; i < view->version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &view->version->levels[level].tables[i]->meta;
            count += appends ? meta->append_count : meta->delete_count;
        }
    fr_view_unref(view);
    return count;
}

/* Levels that are large enough to stay as they are, then two memtables of one kind of entry. */
static void write_dense(uint8_t kind)
{
    struct fr_engine_options options = small_options();

    options.value_threshold = 0;
    options.compress = false;
    open_store(options, 4);
    for (size_t i = 0; i < 1000; i++)
        put_random(i, 300);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < 200; i++)
            write_index(kind, 400 + i, fr_slice_of_text("fragment"));
        must(fr_engine_flush(t.engine));
    }
    must(fr_engine_wait_idle(t.engine));
}

Test(compact, dense_deletes_go_down_although_no_level_is_full)
{
    struct fr_engine_value value;
    char text[32];

    write_dense(FR_KIND_DELETE);
    cr_assert_eq(count_above_last(false), 0);
    must_be(FR_NOT_FOUND,
            fr_engine_get(t.engine, key_of(500, text, sizeof(text)), FR_SEQ_MAX, &value));
    close_store();
}

Test(compact, dense_fragments_go_down_although_no_level_is_full)
{
    struct fr_engine_value value;
    char text[32];

    write_dense(FR_KIND_APPEND);
    cr_assert_eq(count_above_last(true), 0);
    must(fr_engine_get(t.engine, key_of(500, text, sizeof(text)), FR_SEQ_MAX, &value));
    cr_assert_eq(value.bytes.size, 300 + 2 * strlen("fragment"));
    fr_engine_value_release(&value);
    close_store();
}

Test(compact, value_files_stay_within_the_bound)
{
    struct fr_engine_options options = small_options();
    struct fr_engine_stats stats;

    options.compress = false;
    open_store(options, 5);
    for (size_t i = 0; i < 6000; i++)
        put_random(fr_rng_below(&t.rng, 500), 1000);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    fr_engine_stats_get(t.engine, &stats);
    cr_assert_geq(stats.value_file_bytes, 490 * 1000);
    /* Headers and keys are not counted; what level 0 hides is up to an eighth of the excess. */
    cr_assert_leq(stats.value_file_bytes, 500 * 1000 * 170 / 100 + (64 << 10));
    close_store();
}

/* ---- Tables that are covered ---- */

#define COVERED_KEYS 4000

/* Many tables in several levels, and none in memory; what they hold is in value files, too. */
static void fill_levels(void)
{
    struct fr_engine_options options = small_options();

    options.compress = false;
    open_store(options, 8);
    fr_cover_clear();
    for (size_t i = 0; i < COVERED_KEYS; i++)
        put_random((i * 7919) % COVERED_KEYS, i % 5 == 0 ? 1000 : 200);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
}

static void delete_keys(size_t from, size_t to)
{
    char text[32];

    write_index(FR_KIND_DELETE_RANGE, from, key_of(to, text, sizeof(text)));
}

static struct fr_engine_stats stats_now(void)
{
    struct fr_engine_stats stats;

    fr_engine_stats_get(t.engine, &stats);
    return stats;
}

static bool is_there(size_t index, fr_seq at)
{
    struct fr_engine_value value;
    char text[32];
    fr_status st = fr_engine_get(t.engine, key_of(index, text, sizeof(text)), at, &value);

    if (st == FR_OK) fr_engine_value_release(&value);
    cr_assert(st == FR_OK || st == FR_NOT_FOUND);
    return st == FR_OK;
}

/* Keys [from, to) are gone for that reader, and the others are there, by get and by scan. */
static void lacks(size_t from, size_t to, fr_seq at)
{
    struct fr_engine_scan_options options = {.at = at};
    struct fr_iter *it;
    size_t count = 0;
    fr_status st;

    for (size_t i = 0; i < COVERED_KEYS; i++)
        cr_assert_eq(is_there(i, at), i < from || i >= to, "key %zu", i);
    must(fr_engine_scan(t.engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        count++;
    must_be(FR_END, st);
    fr_iter_close(it);
    cr_assert_eq(count, COVERED_KEYS - (to - from));
}

static size_t count_files(enum fr_file_kind wanted)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    size_t count = 0;

    must(fr_dir_list(t.world.dir, &names));
    for (size_t i = 0; i < names.count; i++)
        count += fr_file_name_parse(names.names[i], &kind, &number) && kind == wanted;
    fr_dir_names_deinit(&names);
    return count;
}

Test(compact, all_of_a_store_is_deleted_without_being_read)
{
    fill_levels();
    struct fr_engine_stats before = stats_now();
    cr_assert_gt(count_files(FR_FILE_TABLE), 20);
    cr_assert_gt(count_files(FR_FILE_VALUES), 5);
    delete_keys(0, COVERED_KEYS);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    struct fr_engine_stats after = stats_now();
    cr_assert_eq(after.compaction_read_bytes, before.compaction_read_bytes);
    cr_assert_eq(after.compaction_write_bytes, before.compaction_write_bytes);
    cr_assert_gt(after.covered_count, 20);
    cr_assert_gt(fr_cover_count("compaction: covered tables are dropped"), 0);
    cr_assert_leq(count_files(FR_FILE_TABLE), 1); /* that has the range delete */
    cr_assert_eq(count_files(FR_FILE_VALUES), 0);
    lacks(0, COVERED_KEYS, FR_SEQ_MAX);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    cr_assert_eq(count_files(FR_FILE_TABLE), 0);
    must(fr_engine_close(t.engine));
    open_engine();
    lacks(0, COVERED_KEYS, FR_SEQ_MAX);
    close_store();
}

/* compact_range alone does it, too: the flush is its own. */
Test(compact, a_range_is_dropped_before_it_is_compacted)
{
    fill_levels();
    struct fr_engine_stats before = stats_now();
    delete_keys(0, COVERED_KEYS);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    struct fr_engine_stats after = stats_now();
    cr_assert_leq(after.compaction_read_bytes - before.compaction_read_bytes, 8 << 10);
    cr_assert_leq(after.compaction_write_bytes - before.compaction_write_bytes, 8 << 10);
    cr_assert_eq(count_files(FR_FILE_TABLE), 0);
    cr_assert_eq(count_files(FR_FILE_VALUES), 0);
    close_store();
}

Test(compact, a_covered_range_has_exact_edges)
{
    fill_levels();
    struct fr_engine_stats before = stats_now();
    delete_keys(123, 3456);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    cr_assert_gt(stats_now().covered_count, before.covered_count);
    lacks(123, 3456, FR_SEQ_MAX);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    lacks(123, 3456, FR_SEQ_MAX);
    must(fr_engine_close(t.engine));
    open_engine();
    lacks(123, 3456, FR_SEQ_MAX);
    close_store();
}

/* With it goes the last of what keeps the tables; nobody but its release wakes the thread. */
Test(compact, a_snapshot_keeps_covered_tables_until_it_is_released)
{
    fr_seq snapshot, later;

    fill_levels();
    size_t files = count_files(FR_FILE_TABLE);
    must(fr_engine_snapshot_take(t.engine, &snapshot));
    delete_keys(0, COVERED_KEYS);
    must(fr_engine_snapshot_take(t.engine, &later));
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    cr_assert_geq(count_files(FR_FILE_TABLE), files);
    lacks(0, 0, snapshot);
    lacks(0, COVERED_KEYS, later);
    lacks(0, COVERED_KEYS, FR_SEQ_MAX);
    fr_engine_snapshot_release(t.engine, snapshot);
    /* One that a job was just at is merged with the range, and two come of it. */
    for (int i = 0; i < 5000 && count_files(FR_FILE_TABLE) > 2; i++)
        fr_env_sleep_us(t.world.env, 1000);
    cr_assert_leq(count_files(FR_FILE_TABLE), 2);
    lacks(0, COVERED_KEYS, later);
    fr_engine_snapshot_release(t.engine, later);
    close_store();
}

/* An iterator holds its view: what it stands on is there to its end. */
Test(compact, a_scan_goes_on_over_tables_that_are_dropped)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    struct fr_iter *it;
    size_t count = 0;

    fill_levels();
    must(fr_engine_scan(t.engine, &options, &it));
    must(fr_iter_next(it));
    delete_keys(0, COVERED_KEYS);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    for (count = 1; fr_iter_next(it) == FR_OK; count++)
        continue;
    cr_assert_eq(count, COVERED_KEYS);
    cr_assert_gt(count_files(FR_FILE_TABLE), 1);
    fr_iter_close(it);
    must(fr_engine_wait_idle(t.engine));
    cr_assert_leq(count_files(FR_FILE_TABLE), 1);
    close_store();
}

/* ---- Memory ---- */

static _Atomic(uint64_t) held, peak;

static void *counting_allocate(void *ctx, size_t size, size_t alignment)
{
    uint64_t now = atomic_fetch_add(&held, size) + size, before = atomic_load(&peak);
    void *memory = NULL;

    (void)ctx;
    while (now > before && !atomic_compare_exchange_weak(&peak, &before, now))
        ;
    return posix_memalign(&memory, FR_MAX(alignment, sizeof(void *)), size) == 0 ? memory : NULL;
}

static void counting_release(void *ctx, void *memory, size_t size, size_t alignment)
{
    (void)ctx;
    (void)alignment;
    atomic_fetch_sub(&held, size);
    free(memory);
}

#define TABLE_SIZE (256 << 10)

/* How much more memory is held at the height of a compaction of so many bytes than before. */
static uint64_t compaction_peak(size_t count)
{
    struct fr_engine_options options = small_options();
    uint64_t before;

    options.value_threshold = 0;
    options.compress = false;
    options.memtable_size = count * 64;
    options.block_size = 32 << 10;
    options.table_size = TABLE_SIZE;
    options.picker.level0_trigger = options.picker.level0_most = 1000;
    open_store(options, 6);
    for (size_t i = 0; i < count; i++)
        put_random((i * 7919) % count, 1000);
    must(fr_engine_flush(t.engine));
    before = atomic_load(&held);
    atomic_store(&peak, before);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    uint64_t most = atomic_load(&peak) - before;
    close_store();
    return most;
}

Test(compact, memory_does_not_depend_on_the_size)
{
    const struct fr_allocator allocator = {
            .size = sizeof(allocator), .allocate = counting_allocate, .release = counting_release};

    must(fr_set_allocator(&allocator));
    uint64_t few = compaction_peak(8000), many = compaction_peak(32000);
    cr_log_info("%" PRIu64 " and %" PRIu64 " bytes", few, many);
    /* The new tables are open: each holds its filter, its index, and a little for itself. */
    cr_assert_lt(many, few + 24000 * 1000 / TABLE_SIZE * (24 << 10));
}

/* ---- What a table is known to shadow ---- */

static uint64_t shadowed_in_level0(void)
{
    struct fr_view *view = fr_engine_view(t.engine);
    const struct fr_version_level *level = &view->version->levels[0];
    uint64_t bytes = 0;

    for (size_t i = 0; i < level->count; i++)
        bytes += level->tables[i]->shadowed_bytes;
    fr_view_unref(view);
    return bytes;
}

static void put_large_ones(uint8_t byte)
{
    uint8_t bytes[1000];

    memset(bytes, byte, sizeof(bytes));
    for (size_t i = 0; i < KEYS; i++)
        write_index(FR_KIND_PUT, i, fr_slice_of(bytes, sizeof(bytes)));
    must(fr_engine_flush(t.engine));
}

Test(compact, remembers_what_new_tables_shadow_when_it_is_opened_again)
{
    struct fr_engine_options options = small_options();

    options.memtable_size = 4 << 20;
    options.picker.level0_trigger = options.picker.level0_most = 100;
    options.picker.space_slack = 64 << 20; /* nothing moves */
    open_store(options, 1);
    put_large_ones(1);
    cr_assert_eq(shadowed_in_level0(), 0);
    put_large_ones(2);
    uint64_t shadowed = shadowed_in_level0();
    cr_assert_gt(shadowed, KEYS * 500u);
    for (int i = 0; i < 2; i++) {
        must(fr_engine_close(t.engine));
        open_engine();
        cr_assert_eq(shadowed_in_level0(), shadowed);
    }
    close_store();
}
