/*
 * engine_test.c - the engine as a whole, against a plain model: an array of the latest values by
 * key.
 *
 * Built for the simulated machine and for a real file system. Stores are small, memtables and
 * tables smaller, so that flushes, compactions and rotations of the log happen all the time.
 */
#include "base/assert.h"
#include "base/rng.h"
#include "base/thread.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/table.h"
#include "tests/unit/io/test_world.h"
#include "wal/file_name.h"

#define KEYS        400
#define VALUE_BYTES 3000

struct model_value {
    bool there;
    struct fr_buf bytes;
};

struct test_store {
    struct test_world world;
    struct fr_engine_options options;
    struct fr_engine *engine;
    struct fr_rng rng;
    struct model_value model[KEYS];
};

static struct fr_engine_options small_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 64 << 10;
    options.log_segment_size = 256 << 10;
    options.table_size = 64 << 10;
    options.cache_size = 256 << 10;
    options.block_size = 4096;
    options.picker.base_bytes = 128 << 10;
    options.picker.level0_most = 4;
    return options;
}

static void open_engine(struct test_store *t)
{
    must(fr_engine_open(t->world.env, fr_dir_path(t->world.dir), &t->options, &t->engine));
}

static void open_store(struct test_store *t, uint64_t seed)
{
    memset(t, 0, sizeof(*t));
    t->world = test_world_open();
    t->options = small_options();
    fr_rng_init(&t->rng, seed);
    open_engine(t);
}

static void close_store(struct test_store *t)
{
    must(fr_engine_close(t->engine));
    for (size_t i = 0; i < KEYS; i++)
        fr_buf_deinit(&t->model[i].bytes);
    test_world_close(&t->world);
}

static fr_slice key_of(size_t index, char *text, size_t size)
{
    int length = snprintf(text, size, "key/%05zu", index);

    return fr_slice_of(text, (size_t)length);
}

/* Bytes that say whose they are. */
static fr_slice random_value(struct test_store *t, uint8_t *bytes)
{
    size_t size = fr_rng_below(&t->rng, 4) == 0 ? fr_rng_below(&t->rng, VALUE_BYTES)
                                                : fr_rng_below(&t->rng, 100);

    fr_rng_fill(&t->rng, bytes, size);
    return fr_slice_of(bytes, size);
}

static void model_put(struct model_value *value, fr_slice bytes)
{
    value->there = true;
    fr_buf_clear(&value->bytes);
    fr_buf_append(&value->bytes, bytes.data, bytes.size);
}

static void model_append(struct model_value *value, fr_slice bytes)
{
    if (!value->there) fr_buf_clear(&value->bytes);
    value->there = true;
    fr_buf_append(&value->bytes, bytes.data, bytes.size);
}

/* One random operation, into the batch and the model. */
static void random_operation(struct test_store *t, struct fr_batch *batch)
{
    size_t index = fr_rng_below(&t->rng, KEYS);
    uint8_t bytes[VALUE_BYTES];
    char text[32], end_text[32];
    fr_slice key = key_of(index, text, sizeof(text));
    fr_slice value = random_value(t, bytes);

    switch (fr_rng_below(&t->rng, 20)) {
    case 0: {
        size_t end = FR_MIN(index + 1 + fr_rng_below(&t->rng, 20), (uint64_t)KEYS);
        must(fr_batch_add_delete_range(batch, key, key_of(end, end_text, sizeof(end_text))));
        for (size_t i = index; i < end; i++)
            t->model[i].there = false;
        return;
    }
    case 1:
    case 2:
    case 3:
        must(fr_batch_add_delete(batch, key));
        t->model[index].there = false;
        return;
    case 4:
    case 5:
    case 6:
    case 7:
        must(fr_batch_add_append(batch, key, value));
        model_append(&t->model[index], value);
        return;
    default:
        must(fr_batch_add_put(batch, key, value));
        model_put(&t->model[index], value);
    }
}

static void random_write(struct test_store *t)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    for (uint64_t n = 1 + fr_rng_below(&t->rng, 4); n > 0; n--)
        random_operation(t, &batch);
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(t->engine, bytes, batch.count,
            fr_rng_one_in(&t->rng, 50) ? FR_DURABLE_DEVICE : FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

static void check_get(struct test_store *t, size_t index)
{
    struct fr_engine_value value;
    char text[32];
    fr_slice key = key_of(index, text, sizeof(text));

    fr_status st = fr_engine_get(t->engine, key, FR_SEQ_MAX, &value);
    cr_assert_geq(st, 0, "%s: %s", text, fr_last_error());
    cr_assert_eq(st == FR_OK, t->model[index].there, "%s: %s", text, fr_status_name(st));
    if (st != FR_OK) return;
    cr_assert(fr_slice_equal(value.bytes, fr_buf_slice(&t->model[index].bytes)),
            "%s: %zu bytes, not %zu", text, value.bytes.size, t->model[index].bytes.size);
    fr_engine_value_release(&value);
}

/* Both ways over everything. */
static void check_scan(struct test_store *t, bool backwards)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    struct fr_iter *it;
    char text[32];
    fr_status st;

    must(fr_engine_scan(t->engine, &options, &it));
    if (backwards) fr_iter_seek_last(it);
    for (size_t n = 0; n < KEYS; n++) {
        size_t index = backwards ? KEYS - 1 - n : n;
        if (!t->model[index].there) continue;
        st = backwards ? fr_iter_prev(it) : fr_iter_next(it);
        cr_assert_eq(st, FR_OK, "%zu: %s: %s", index, fr_status_name(st), fr_last_error());
        cr_assert(fr_slice_equal(it->entry.key, key_of(index, text, sizeof(text))), "%s, not %.*s",
                text, (int)it->entry.key.size, (const char *)it->entry.key.data);
        cr_assert(fr_slice_equal(it->entry.value, fr_buf_slice(&t->model[index].bytes)));
    }
    must_be(FR_END, backwards ? fr_iter_prev(it) : fr_iter_next(it));
    fr_iter_close(it);
}

/* Random keys, some of them twice, all in one call. */
static void check_multi(struct test_store *t, size_t count)
{
    struct fr_engine_value values[FR_ENGINE_MULTI_MAX];
    fr_status statuses[FR_ENGINE_MULTI_MAX] = {0};
    fr_slice keys[FR_ENGINE_MULTI_MAX];
    size_t indexes[FR_ENGINE_MULTI_MAX];
    char texts[FR_ENGINE_MULTI_MAX][32];
    fr_seq at = FR_SEQ_MAX;

    for (size_t i = 0; i < count; i++) {
        indexes[i] = fr_rng_below(&t->rng, KEYS);
        keys[i] = key_of(indexes[i], texts[i], sizeof(texts[i]));
    }
    struct fr_view *view = fr_engine_view_take(t->engine, &at);
    must(fr_engine_multi_get(t->engine, view, at, &(uint64_t){0}, count, keys, values, statuses));
    fr_engine_view_release(t->engine, view);
    for (size_t i = 0; i < count; i++) {
        const struct model_value *wanted = &t->model[indexes[i]];
        cr_assert_eq(statuses[i], wanted->there ? FR_OK : FR_NOT_FOUND, "%s: %s", texts[i],
                fr_status_name(statuses[i]));
        if (statuses[i] != FR_OK) continue;
        cr_assert(fr_slice_equal(values[i].bytes, fr_buf_slice(&wanted->bytes)), "%s", texts[i]);
        fr_engine_value_release(&values[i]);
    }
}

static void check_all(struct test_store *t)
{
    for (size_t i = 0; i < KEYS; i++)
        check_get(t, i);
    for (int i = 0; i < 10; i++)
        check_multi(t, (size_t)fr_rng_between(&t->rng, 1, FR_ENGINE_MULTI_MAX));
    check_scan(t, false);
    check_scan(t, true);
}

static void reopen(struct test_store *t)
{
    must(fr_engine_close(t->engine));
    open_engine(t);
}

TestSuite(TEST_SUITE, .timeout = 120);

Test(TEST_SUITE, a_new_store_is_empty_and_stays_so)
{
    static struct test_store t;

    open_store(&t, 1);
    check_all(&t);
    reopen(&t);
    check_all(&t);
    close_store(&t);
}

Test(TEST_SUITE, what_was_written_is_read_before_and_after_a_flush)
{
    static struct test_store t;

    open_store(&t, 2);
    for (int i = 0; i < 100; i++)
        random_write(&t);
    check_all(&t);
    must(fr_engine_flush(t.engine));
    check_all(&t);
    reopen(&t);
    check_all(&t);
    close_store(&t);
}

Test(TEST_SUITE, a_long_history_reads_as_the_model)
{
    static struct test_store t;

    for (uint64_t seed = 10; seed < 14; seed++) {
        open_store(&t, seed);
        for (int i = 0; i < 3000; i++) {
            random_write(&t);
            check_get(&t, fr_rng_below(&t.rng, KEYS));
            if (fr_rng_one_in(&t.rng, 20)) check_multi(&t, fr_rng_between(&t.rng, 1, 40));
            if (fr_rng_one_in(&t.rng, 300)) check_all(&t);
            if (fr_rng_one_in(&t.rng, 500)) must(fr_engine_flush(t.engine));
            if (fr_rng_one_in(&t.rng, 600)) reopen(&t);
        }
        must(fr_engine_wait_idle(t.engine));
        check_all(&t);
        must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
        check_all(&t);
        reopen(&t);
        check_all(&t);
        close_store(&t);
    }
}

/* Whether the world's file system does direct reads: asked, not assumed. */
static bool world_is_direct(struct test_world *world)
{
    struct fr_file *file;

    must(fr_file_open(world->dir, "probe", FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT, &file));
    bool direct = fr_file_is_direct(file);
    fr_file_close(file);
    must(fr_dir_unlink(world->dir, "probe"));
    return direct;
}

Test(TEST_SUITE, direct_reads_answer_the_same_and_say_whether_they_are)
{
    struct fr_engine_stats stats;
    struct test_store t;

    open_store(&t, 31);
    bool direct = world_is_direct(&t.world);
    t.options.direct_reads = true;
    reopen(&t);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 300; i++)
            random_write(&t);
        must(fr_engine_flush(t.engine));
        check_all(&t);
    }
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    check_all(&t);
    reopen(&t);
    check_all(&t);
    fr_engine_stats_get(t.engine, &stats);
    cr_assert_eq(stats.reads_direct, direct);
    fr_seq at = FR_SEQ_MAX;
    struct fr_view *view = fr_engine_view_take(t.engine, &at);
    size_t tables = 0;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < view->version->levels[level].count; i++, tables++)
            cr_assert_eq(fr_table_is_direct(view->version->levels[level].tables[i]->table), direct);
    cr_assert_gt(tables, 0);
    fr_engine_view_release(t.engine, view);
    close_store(&t);
}

Test(TEST_SUITE, a_snapshot_stays_as_it_was)
{
    struct fr_engine_scan_options options = {0};
    static struct test_store t;
    struct fr_engine_value value;
    struct fr_iter *it;
    char text[32];

    open_store(&t, 3);
    for (int i = 0; i < 500; i++)
        random_write(&t);
    must(fr_engine_snapshot_take(t.engine, &options.at));
    static struct model_value before[KEYS];
    memset(before, 0, sizeof(before));
    for (size_t i = 0; i < KEYS; i++)
        if (t.model[i].there) model_put(&before[i], fr_buf_slice(&t.model[i].bytes));
    for (int i = 0; i < 1500; i++)
        random_write(&t);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_engine_scan(t.engine, &options, &it));
    for (size_t i = 0; i < KEYS; i++) {
        fr_slice key = key_of(i, text, sizeof(text));
        fr_status st = fr_engine_get(t.engine, key, options.at, &value);
        cr_assert_eq(st == FR_OK, before[i].there, "%s: %s", text, fr_status_name(st));
        if (st != FR_OK) continue;
        cr_assert(fr_slice_equal(value.bytes, fr_buf_slice(&before[i].bytes)));
        fr_engine_value_release(&value);
        must(fr_iter_next(it));
        cr_assert(fr_slice_equal(it->entry.key, key));
        cr_assert(fr_slice_equal(it->entry.value, fr_buf_slice(&before[i].bytes)));
    }
    must_be(FR_END, fr_iter_next(it));
    fr_iter_close(it);
    fr_engine_snapshot_release(t.engine, options.at);
    check_all(&t);
    for (size_t i = 0; i < KEYS; i++)
        fr_buf_deinit(&before[i].bytes);
    close_store(&t);
}

/* Readers beside a writer whose memtables fill up all the time: views come and go. */
#define RACE_KEYS    300
#define RACE_READERS 3
#define RACE_WRITES  6000

struct view_race {
    struct test_store *store;
    _Atomic(uint64_t) seed;
    _Atomic(bool) over;
};

/* A value says its key; all that is ever put has one. */
static fr_slice race_value(size_t index, uint64_t salt, char *text, size_t size)
{
    memset(text, 'v', size);
    snprintf(text, size, "key/%05zu", index);
    return fr_slice_of(text, 16 + salt % (size - 16));
}

static void check_race_value(fr_slice key, const struct fr_engine_value *value)
{
    FR_ASSERT(value->bytes.size >= 16 && memcmp(value->bytes.data, key.data, key.size) == 0);
}

static void race_write(void *arg)
{
    struct view_race *race = arg;
    char key[32], text[1500];
    struct fr_rng rng;

    fr_rng_init(&rng, 77);
    for (int i = 0; i < RACE_WRITES; i++) {
        size_t index = fr_rng_below(&rng, RACE_KEYS);
        struct fr_batch batch = FR_BATCH_EMPTY;
        fr_slice bytes;

        FR_ASSERT(fr_batch_add_put(&batch, key_of(index, key, sizeof(key)),
                          race_value(index, fr_rng_next(&rng), text, sizeof(text))) == FR_OK);
        FR_ASSERT(fr_batch_finish(&batch, &bytes) == FR_OK);
        FR_ASSERT(fr_engine_write(race->store->engine, bytes, batch.count, FR_DURABLE_NONE) ==
                  FR_OK);
        fr_batch_deinit(&batch);
    }
    atomic_store(&race->over, true);
}

static void race_read_many(struct fr_engine *engine, struct fr_rng *rng)
{
    struct fr_engine_value values[20];
    fr_status statuses[20] = {0};
    fr_slice keys[20];
    char texts[20][32];
    fr_seq at = FR_SEQ_MAX;

    for (size_t i = 0; i < 20; i++)
        keys[i] = key_of(fr_rng_below(rng, RACE_KEYS), texts[i], sizeof(texts[i]));
    struct fr_view *view = fr_engine_view_take(engine, &at);
    FR_ASSERT(fr_engine_multi_get(engine, view, at, &(uint64_t){0}, 20, keys, values, statuses) ==
              FR_OK);
    fr_engine_view_release(engine, view);
    for (size_t i = 0; i < 20; i++) {
        FR_ASSERT(statuses[i] >= 0);
        if (statuses[i] != FR_OK) continue;
        check_race_value(keys[i], &values[i]);
        fr_engine_value_release(&values[i]);
    }
}

static void race_read(void *arg)
{
    struct view_race *race = arg;
    struct fr_engine *engine = race->store->engine;
    struct fr_engine_value value;
    struct fr_rng rng;
    char text[32];

    fr_rng_init(&rng, atomic_fetch_add(&race->seed, 1));
    while (!atomic_load(&race->over)) {
        for (int i = 0; i < 20; i++) {
            fr_slice key = key_of(fr_rng_below(&rng, RACE_KEYS), text, sizeof(text));
            fr_status st = fr_engine_get(engine, key, FR_SEQ_MAX, &value);
            FR_ASSERT(st >= 0);
            if (st != FR_OK) continue;
            check_race_value(key, &value);
            fr_engine_value_release(&value);
        }
        race_read_many(engine, &rng);
    }
}

Test(TEST_SUITE, reads_go_on_while_views_come_and_go)
{
    struct fr_thread writer, readers[RACE_READERS];
    static struct test_store t;
    struct view_race race = {.store = &t};

    open_store(&t, 6);
    for (int i = 0; i < RACE_READERS; i++)
        must(fr_thread_start(&readers[i], "reader", race_read, &race));
    must(fr_thread_start(&writer, "writer", race_write, &race));
    fr_thread_join(&writer);
    for (int i = 0; i < RACE_READERS; i++)
        fr_thread_join(&readers[i]);
    close_store(&t);
}

Test(TEST_SUITE, a_second_opener_is_refused)
{
    static struct test_store t;
    struct fr_engine *second;

    open_store(&t, 4);
    must_be(FR_ERR_BUSY,
            fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &t.options, &second));
    close_store(&t);
}

Test(TEST_SUITE, a_missing_store_is_not_made_unless_asked)
{
    struct fr_engine_options options = small_options();
    struct test_world world = test_world_open();
    struct fr_engine *engine;

    options.create = false;
    must_be(FR_ERR_MISSING, fr_engine_open(world.env, fr_dir_path(world.dir), &options, &engine));
    fr_file_close(test_file_with(&world, "letter.txt", 10));
    options.create = true;
    must_be(FR_ERR_FOREIGN, fr_engine_open(world.env, fr_dir_path(world.dir), &options, &engine));
    test_world_close(&world);
}

Test(TEST_SUITE, files_that_nobody_needs_are_removed)
{
    static struct test_store t;
    struct fr_dir_names names;

    open_store(&t, 5);
    for (int i = 0; i < 3000; i++)
        random_write(&t);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    reopen(&t);
    must(fr_engine_wait_idle(t.engine));
    struct fr_engine_stats stats;
    fr_engine_stats_get(t.engine, &stats);
    must(fr_dir_list(t.world.dir, &names));
    size_t tables = 0, values = 0;
    for (size_t i = 0; i < names.count; i++) {
        tables += strstr(names.names[i], ".table") != NULL;
        values += strstr(names.names[i], ".values") != NULL;
    }
    cr_assert_eq(tables, stats.table_count);
    cr_assert_eq(values, stats.value_file_count);
    fr_dir_names_deinit(&names);
    close_store(&t);
}

#ifdef TEST_SIM
#include "io/sim.h"

/* The store as another machine has it, with all that the model has. */
static void check_machine(struct test_store *t, struct fr_sim *sim)
{
    struct fr_engine *engine = t->engine;

    must(fr_engine_open(fr_sim_env(sim), t->world.path, &t->options, &t->engine));
    check_all(t);
    must(fr_engine_close(t->engine));
    t->engine = engine;
}

static void close_broken_store(struct test_store *t)
{
    cr_assert_lt(fr_engine_close(t->engine), 0);
    for (size_t i = 0; i < KEYS; i++)
        fr_buf_deinit(&t->model[i].bytes);
    test_world_close(&t->world);
}

/* Nobody has asked for durability, but the flush has made its own. */
Test(TEST_SUITE, what_was_flushed_survives_a_power_loss)
{
    struct fr_sim_crash_options options = {.images_max = 60};
    static struct test_store t;
    struct fr_sim_image *image;
    struct fr_sim_crash *crash;
    struct fr_sim *sim;
    fr_status st;

    for (uint64_t seed = 20; seed < 23; seed++) {
        open_store(&t, seed);
        for (int i = 0; i < 40; i++)
            random_write(&t);
        must(fr_engine_flush(t.engine));
        must(fr_engine_wait_idle(t.engine));
        must(fr_sim_crash_open(t.world.sim, &options, &crash));
        while ((st = fr_sim_crash_next(crash, &image)) == FR_OK) {
            must(fr_sim_image_boot(image, 1, &sim));
            check_machine(&t, sim);
            fr_sim_close(sim);
            fr_sim_image_free(image);
        }
        cr_assert_eq(st, FR_END);
        fr_sim_crash_close(crash);
        close_store(&t);
    }
}

/* Many keys at once, of which some may fail; the others must be as they should be. */
static void count_multi(struct test_store *t, size_t *answers, size_t *failures)
{
    struct fr_engine_value values[FR_ENGINE_MULTI_MAX];
    fr_status statuses[FR_ENGINE_MULTI_MAX] = {0};
    fr_slice keys[FR_ENGINE_MULTI_MAX];
    char texts[FR_ENGINE_MULTI_MAX][32];
    fr_seq at = FR_SEQ_MAX;

    for (size_t i = 0; i < FR_ENGINE_MULTI_MAX; i++)
        keys[i] = key_of(3 * i, texts[i], sizeof(texts[i]));
    struct fr_view *view = fr_engine_view_take(t->engine, &at);
    must(fr_engine_multi_get(t->engine, view, at, &(uint64_t){0}, FR_ENGINE_MULTI_MAX, keys, values,
            statuses));
    fr_engine_view_release(t->engine, view);
    for (size_t i = 0; i < FR_ENGINE_MULTI_MAX; i++) {
        const struct model_value *wanted = &t->model[3 * i];
        if (statuses[i] < 0) {
            cr_assert_eq(statuses[i], FR_ERR_IO, "%s", fr_status_name(statuses[i]));
            ++*failures;
            continue;
        }
        ++*answers;
        cr_assert_eq(statuses[i] == FR_OK, wanted->there);
        if (statuses[i] != FR_OK) continue;
        cr_assert(fr_slice_equal(values[i].bytes, fr_buf_slice(&wanted->bytes)));
        fr_engine_value_release(&values[i]);
    }
}

Test(TEST_SUITE, a_read_that_fails_costs_its_own_keys_only)
{
    static struct test_store t;
    size_t failures = 0, answers = 0;

    open_store(&t, 32);
    for (int i = 0; i < 1500; i++)
        random_write(&t);
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    t.options.cache_size = 16 << 10;
    for (unsigned i = 0; i < 40; i++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ),
                .nth = 1 + i / 2,
                .name = i % 2 == 0 ? "*.table" : "*.values"};
        reopen(&t);
        must(fr_sim_fault_add(t.world.sim, &fault));
        count_multi(&t, &answers, &failures);
        fr_sim_fault_clear(t.world.sim);
    }
    cr_assert_gt(failures, 20);
    cr_assert_gt(answers, 10 * failures);
    check_all(&t);
    close_store(&t);
}

/* The edit is on the disk, but the answer says that it is not. */
Test(TEST_SUITE, files_of_an_edit_that_may_be_durable_stay)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC),
            .name = "*.manifest",
            .forever = true,
            .kind = FR_SIM_FAULT_ERROR_AFTER};
    static struct test_store t;
    struct fr_sim *sim;

    open_store(&t, 30);
    for (int i = 0; i < 40; i++)
        random_write(&t);
    must(fr_sim_fault_add(t.world.sim, &fault));
    must_be(FR_ERR_IO, fr_engine_flush(t.engine));
    cr_assert_lt(fr_engine_close(t.engine), 0);
    must(fr_sim_kill(t.world.sim, &sim));
    check_machine(&t, sim);
    fr_sim_close(sim);
    for (size_t i = 0; i < KEYS; i++)
        fr_buf_deinit(&t.model[i].bytes);
    test_world_close(&t.world);
}

Test(TEST_SUITE, a_manifest_that_may_not_be_current_takes_no_edits)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC),
            .name = "SUPER",
            .forever = true,
            .kind = FR_SIM_FAULT_ERROR_AFTER};
    static struct test_store t;
    struct fr_sim *sim;

    open_store(&t, 31);
    for (int i = 0; i < 40; i++)
        random_write(&t);
    must(fr_sim_fault_add(t.world.sim, &fault));
    fr_mutex_lock(&t.engine->manifest_mu);
    fr_status st = fr_engine_begin_manifest(t.engine, t.engine->view->version);
    fr_mutex_unlock(&t.engine->manifest_mu);
    cr_assert_eq(st, FR_ERR_IO);
    must_be(FR_ERR_POISONED, fr_engine_flush(t.engine));
    must(fr_sim_kill(t.world.sim, &sim));
    check_machine(&t, sim);
    fr_sim_close(sim);
    close_broken_store(&t);
}

static void checkpoint_with(struct test_store *t, const struct fr_sim_fault *fault, fr_status st)
{
    for (int i = 0; i < 40; i++)
        random_write(t);
    must(fr_sim_fault_add(t->world.sim, fault));
    must_be(st, fr_engine_checkpoint(t->engine, "copy", false));
    fr_sim_fault_clear(t->world.sim);
}

static void check_checkpoint(struct test_store *t)
{
    struct fr_engine *engine = FR_TAKE(t->engine);

    t->options.create = false;
    must(fr_engine_open(t->world.env, "copy", &t->options, &t->engine));
    check_all(t);
    must(fr_engine_close(t->engine));
    t->engine = engine;
}

/* The rename has happened, but the answer says that it has not. */
Test(TEST_SUITE, a_checkpoint_that_may_have_its_name_is_not_taken_apart)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_RENAME), .name = "copy*", .kind = FR_SIM_FAULT_ERROR_AFTER};
    static struct test_store t;

    open_store(&t, 32);
    checkpoint_with(&t, &fault, FR_ERR_IO);
    check_checkpoint(&t);
    close_store(&t);
}

/* The same of a link, in place of which a copy is as good. */
Test(TEST_SUITE, a_checkpoint_copies_what_cannot_be_linked_also_if_it_was)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_LINK), .forever = true, .kind = FR_SIM_FAULT_ERROR_AFTER};
    static struct test_store t;

    open_store(&t, 33);
    checkpoint_with(&t, &fault, FR_OK);
    check_checkpoint(&t);
    close_store(&t);
}
#endif

Test(TEST_SUITE, statistics_are_gathered_as_far_as_they_are_asked_for)
{
    struct fr_engine_stats all, some;
    static struct test_store t;

    open_store(&t, 77);
    for (int i = 0; i < 2000; i++)
        random_write(&t);
    must(fr_engine_flush(t.engine));
    must(fr_engine_wait_idle(t.engine));
    check_scan(&t, false);
    fr_engine_stats_get(t.engine, &all);
    cr_assert_gt(all.table_count, 0);
    cr_assert_gt(all.cache_inserts, 0);
    fr_engine_stats_read(t.engine, FR_STATS_MEMORY, &some);
    cr_assert_eq(some.table_count, 0);
    cr_assert_eq(some.cache_inserts, 0);
    cr_assert_eq(some.memory_total, all.memory_total);
    cr_assert_eq(some.batch_bytes, all.batch_bytes);
    fr_engine_stats_read(t.engine, FR_STATS_VERSION | FR_STATS_CACHE, &some);
    cr_assert_eq(some.table_count, all.table_count);
    cr_assert_eq(some.cache_inserts, all.cache_inserts);
    cr_assert_eq(some.memory_total, 0);
    close_store(&t);
}

/* ---- Lining up ---- */

#define LINE_WRITERS 4
#define LINE_WRITES  300

struct line {
    struct fr_engine *engine;
    struct fr_mutex mu;
    uint32_t number; /* guarded by mu */
};

/* All put the same key; what each lines up with is the number of those before it. */
static void line_write(void *arg)
{
    struct line *line = arg;

    for (int i = 0; i < LINE_WRITES; i++) {
        struct fr_writer writer = {
                .count = 1, .durability = i % 7 == 0 ? FR_DURABLE_DEVICE : FR_DURABLE_OS};
        struct fr_batch batch = FR_BATCH_EMPTY;

        fr_mutex_lock(&line->mu);
        line->number++;
        FR_ASSERT(fr_batch_add_put(&batch, fr_slice_of("last", 4),
                          fr_slice_of(&line->number, sizeof(line->number))) == FR_OK);
        FR_ASSERT(fr_batch_finish(&batch, &writer.batch) == FR_OK);
        FR_ASSERT(fr_engine_line_up(line->engine, &writer) == FR_OK);
        fr_mutex_unlock(&line->mu);
        FR_ASSERT(fr_engine_commit(line->engine, &writer) == FR_OK);
        fr_batch_deinit(&batch);
    }
}

Test(TEST_SUITE, who_lines_up_last_has_written_last)
{
    struct fr_thread threads[LINE_WRITERS];
    static struct test_store t;
    struct fr_engine_value value;
    uint32_t last;

    open_store(&t, 9);
    struct line line = {.engine = t.engine};
    fr_mutex_init(&line.mu, FR_RANK_SPFRESH_TREE);
    for (int i = 0; i < LINE_WRITERS; i++)
        must(fr_thread_start(&threads[i], "line", line_write, &line));
    for (int i = 0; i < LINE_WRITERS; i++)
        fr_thread_join(&threads[i]);
    must(fr_engine_get(t.engine, fr_slice_of("last", 4), FR_SEQ_MAX, &value));
    cr_assert_eq(value.bytes.size, sizeof(last));
    memcpy(&last, value.bytes.data, sizeof(last));
    cr_assert_eq(last, LINE_WRITERS * LINE_WRITES);
    fr_engine_value_release(&value);
    fr_mutex_deinit(&line.mu);
    close_store(&t);
}

/* ---- What is not part of the store ---- */

/* Of the kind that such a file is called by while it has a name; others come and go. */
static size_t count_value_files(struct test_store *t)
{
    struct fr_dir_names names;
    enum fr_file_kind kind;
    uint64_t number;
    size_t count = 0;

    must(fr_dir_list(t->world.dir, &names));
    for (size_t i = 0; i < names.count; i++)
        count += fr_file_name_parse(names.names[i], &kind, &number) && kind == FR_FILE_VALUES;
    fr_dir_names_deinit(&names);
    return count;
}

Test(TEST_SUITE, a_scratch_file_has_no_name_and_is_its_owners_alone)
{
    static struct test_store t;
    struct fr_file *first, *second;
    char bytes[5];

    open_store(&t, 12);
    must(fr_engine_scratch(t.engine, &first));
    must(fr_engine_scratch(t.engine, &second));
    cr_assert_eq(count_value_files(&t), 0);
    must(fr_file_write(first, 7, "first", 5, 0));
    must(fr_file_write(second, 7, "other", 5, 0));
    must(fr_file_read_exact(first, 7, bytes, 5));
    cr_assert_eq(memcmp(bytes, "first", 5), 0);
    fr_file_close(second);
    fr_file_close(first);
    close_store(&t);
}

Test(TEST_SUITE, a_reader_has_no_scratch_file)
{
    static struct test_store t;
    struct fr_file *file;

    open_store(&t, 13);
    must(fr_engine_close(t.engine));
    t.options.read_only = true;
    open_engine(&t);
    must_be(FR_ERR_READONLY, fr_engine_scratch(t.engine, &file));
    close_store(&t);
}
