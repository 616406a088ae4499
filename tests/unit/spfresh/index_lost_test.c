/*
 * index_lost_test.c - rows that are damaged, beside what is derived that is damaged as well: they
 * cost themselves, and nothing else.
 *
 * Damage of a row is done to the bytes in the file, where the engine finds it by a checksum; and to
 * its value alone, which then makes no sense.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/hash.h"
#include "base/rng.h"
#include "io/sim.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/version.h"
#include "spfresh/index_priv.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/spfresh/put_key.h"
#include "wal/file_name.h"

#define DIM 20
#define IDS 2000

struct bed {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_spfresh_setup setup;
    uint32_t value_threshold;
    struct fr_rng rng;
    size_t count;
    bool there[IDS];
    float vectors[IDS][DIM];
};

static struct bed t;

static struct fr_index_key prefix(void)
{
    struct fr_index_key key;

    fr_key_prefix("", &key);
    return key;
}

static struct fr_index_key row_key(uint64_t id)
{
    struct fr_index_key all = prefix();

    return fr_key_vector(&all, id);
}

static void open_engine(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.block_size = 4096;
    options.cache_size = 1 << 20;
    options.verify_tables = false;
    options.value_threshold = t.value_threshold;
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &options, &t.engine));
}

static fr_status try_index(void)
{
    return fr_spfresh_open(t.engine, "", &t.setup, &t.index);
}

static void close_all(void)
{
    fr_spfresh_close(FR_TAKE(t.index));
    must(fr_engine_close(FR_TAKE(t.engine)));
}

static void reopen(void)
{
    close_all();
    open_engine();
    must(try_index());
    must(fr_spfresh_wait_loaded(t.index));
}

static void draw(float *x)
{
    size_t cluster = fr_rng_below(&t.rng, 30);

    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&t.rng) + 0.1F;
}

static void put_one(uint64_t id)
{
    draw(t.vectors[id]);
    t.count += !t.there[id];
    t.there[id] = true;
    must(fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, t.vectors[id], NULL));
}

static void delete_one(uint64_t id)
{
    size_t deleted;

    t.count -= t.there[id];
    t.there[id] = false;
    must(fr_spfresh_delete(t.index, FR_DURABLE_OS, 1, &id, &deleted));
}

static void maintain(void)
{
    uint64_t left;

    must(fr_spfresh_maintain(t.index, 0, &left));
}

/* All rows of even numbers on the lowest level. */
static void open_bed(uint32_t value_threshold)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.setup =
            (struct fr_spfresh_setup){.create = true, .manual = true, .dimension = DIM, .seed = 7};
    t.value_threshold = value_threshold;
    fr_rng_init(&t.rng, 1);
    open_engine();
    must(try_index());
    for (uint64_t id = 0; id < IDS; id += 2)
        put_one(id);
    maintain();
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
}

static void close_bed(void)
{
    close_all();
    test_world_close(&t.world);
}

static struct fr_index_stats stats_now(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(t.index, &stats);
    return stats;
}

static uint32_t posting_of(uint64_t id)
{
    const struct fr_rows *rows = &fr_spfresh_tree(t.index)->tiers[0];

    return fr_rows_row(rows, fr_id_map_find(&t.index->map, id))->node;
}

static void spoil_posting(uint64_t id)
{
    struct fr_index_key all = prefix();

    put_key(t.engine, fr_key_posting(&all, FR_GENERATION_FIRST, posting_of(id)), "\1junk", 5);
}

/* What is derived is made anew for it. */
static void spoil_centroids(void)
{
    struct fr_index_key all = prefix();

    put_key(t.engine, fr_key_centroid(&all, FR_GENERATION_FIRST, 1, 5000000), "?", 1);
}

static uint64_t not_with(uint64_t id)
{
    uint64_t other = id + 2;

    while (posting_of(other) == posting_of(id))
        other += 2;
    return other;
}

/* ---- Damage of bytes ---- */

struct spot {
    char name[FR_FILE_NAME_SIZE];
    uint64_t offset;
};

static bool find_in(struct fr_table *table, uint64_t number, fr_slice key, struct spot *ret_spot)
{
    struct fr_table_block *block;
    struct fr_table_spot spot;
    struct fr_block_iter it;
    struct fr_place place;
    fr_status st = FR_NOT_FOUND;

    if (fr_table_locate(table, key, FR_SEQ_MAX, &spot) != FR_OK) return false;
    must(fr_table_block_read(table, &spot.handle, false, &block));
    fr_block_iter_init(&it);
    must(fr_block_iter_set(&it, &block->block));
    st = fr_block_get_first(&it, key, fr_hash64(key), FR_SEQ_MAX);
    fr_file_name_format(FR_FILE_TABLE, number, ret_spot->name);
    ret_spot->offset = spot.handle.offset + 10;
    if (st == FR_OK && it.iter.entry.flags & FR_ENTRY_PLACED) {
        cr_assert(fr_place_get(it.iter.entry.value, &place));
        fr_file_name_format(FR_FILE_VALUES, place.file, ret_spot->name);
        ret_spot->offset = place.offset + place.size / 2;
    }
    fr_iter_close(&it.iter);
    fr_table_block_release(table, block);
    return st == FR_OK;
}

/* Where the newest version of it lies that is in a table. */
static struct spot find_key(struct fr_index_key key)
{
    struct fr_version *version = fr_engine_version(t.engine);
    struct spot spot;
    bool found = false;

    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++)
        for (size_t i = 0; !found && i < version->levels[l].count; i++) {
            const struct fr_version_table *table = version->levels[l].tables[i];
            found = find_in(table->table, table->meta.number, fr_index_key_slice(&key), &spot);
        }
    cr_assert(found, "key %.*s is in no table", (int)key.size, (const char *)key.bytes);
    fr_version_unref(version);
    return spot;
}

static struct spot find_row(uint64_t id)
{
    return find_key(row_key(id));
}

static void flip(const struct spot *spot)
{
    struct fr_file *file;
    uint8_t byte;

    must(fr_file_open(t.world.dir, spot->name, FR_OPEN_WRITE, &file));
    must(fr_file_read_exact(file, spot->offset, &byte, 1));
    byte ^= 1;
    must(fr_file_write(file, spot->offset, &byte, 1, 0));
    fr_file_close(file);
}

/* Open it again, with that damage. */
static fr_status reopen_damaged(const struct spot *spot)
{
    close_all();
    flip(spot);
    open_engine();
    fr_status st = try_index();
    return st == FR_OK ? fr_spfresh_wait_loaded(t.index) : st;
}

/* ---- What is left ---- */

static fr_status get(uint64_t id)
{
    struct fr_engine_value value;
    float vector[DIM];
    fr_slice payload;
    fr_status st = fr_spfresh_get(t.index, id, vector, &value, &payload);

    if (st != FR_OK) return st;
    for (size_t i = 0; i < DIM; i++)
        cr_assert_eq(vector[i], t.vectors[id][i]);
    fr_engine_value_release(&value);
    return FR_OK;
}

/* Rows that were put and cannot be read; the others are as they were put. */
static size_t count_unreadable(void)
{
    size_t count = 0;

    for (uint64_t id = 0; id < IDS; id++) {
        fr_status st = get(id);

        if (st == FR_ERR_CORRUPT)
            count += t.there[id]; /* nobody can tell of one that never was, where it would be */
        else
            cr_assert_eq(st, t.there[id] ? FR_OK : FR_NOT_FOUND, "vector %d", (int)id);
    }
    return count;
}

/* A search of all postings finds what is there, once, and so many of them. */
static void check_found(size_t wanted)
{
    static const struct fr_search_options all = {.postings = 1000000};
    static struct fr_hit hits[IDS + 1];
    static bool seen[IDS];
    size_t count;

    memset(seen, 0, sizeof(seen));
    must(fr_spfresh_search(t.index, &all, t.vectors[0], IDS + 1, hits, &count));
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(hits[i].id, IDS);
        cr_assert(t.there[hits[i].id] && !seen[hits[i].id], "vector %d", (int)hits[i].id);
        seen[hits[i].id] = true;
    }
    cr_assert_eq(count, wanted, "%zu found of %zu", count, wanted);
    cr_assert_eq(stats_now().count, wanted);
}

static void check_whole(void)
{
    cr_assert_eq(stats_now().rows_lost, 0);
    cr_assert_eq(stats_now().ranges_lost, 0);
    cr_assert_str_empty(stats_now().lost_why);
    must(fr_spfresh_check(t.index));
    check_found(t.count);
}

Test(index_lost, a_row_that_makes_no_sense_costs_itself_alone)
{
    struct fr_index_stats stats;

    open_bed(0);
    spoil_posting(700);
    put_key(t.engine, row_key(700), "?", 1);
    for (int round = 0; round < 3; round++) {
        reopen();
        stats = stats_now();
        cr_assert_eq(stats.rows_lost, 1);
        cr_assert_eq(stats.ranges_lost, 0);
        cr_assert_eq(stats.rebuilt, round == 0 ? 2 : 0);
        cr_assert(strstr(stats.lost_why, "vector 700: the row of a vector is cut short") != NULL,
                "%s", stats.lost_why);
        check_found(t.count - 1);
        cr_assert_eq(count_unreadable(), 1);
        must_be(FR_ERR_CORRUPT, get(700));
        must_be(FR_ERR_CORRUPT, fr_spfresh_check(t.index));
        delete_one((uint64_t)round * 2);
    }
    put_one(700);
    cr_assert_eq(stats_now().rows_lost, 0);
    check_found(t.count);
    reopen();
    check_whole();
    reopen();
    check_whole();
    cr_assert_eq(stats_now().rebuilt, 0);
    close_bed();
}

/* Nobody knows whether it was there, so it is deleted. */
Test(index_lost, a_lost_row_that_is_deleted_is_not_there)
{
    open_bed(0);
    spoil_posting(700);
    put_key(t.engine, row_key(700), "?", 1);
    reopen();
    delete_one(700);
    must_be(FR_NOT_FOUND, get(700));
    cr_assert_eq(stats_now().rows_lost, 0);
    reopen();
    check_whole();
    cr_assert_eq(count_unreadable(), 0);
    close_bed();
}

Test(index_lost, the_code_of_a_lost_row_goes_on_being_found)
{
    open_bed(0);
    spoil_posting(not_with(700));
    put_key(t.engine, row_key(700), "?", 1);
    for (int round = 0; round < 2; round++) {
        reopen();
        cr_assert_eq(stats_now().rows_lost, 1);
        check_found(t.count);
        must_be(FR_ERR_CORRUPT, get(700));
    }
    close_bed();
}

/* All at once, where what is derived is made anew: the space is whole, and so are its codes. */
Test(index_lost, codes_of_a_lost_block_are_carried_into_an_index_built_anew)
{
    struct spot spot;
    size_t lost;

    open_bed(0);
    spot = find_row(700);
    spoil_centroids();
    must(reopen_damaged(&spot));
    cr_assert_eq(stats_now().rebuilt, 2);
    cr_assert_eq(stats_now().ranges_lost, 1);
    check_found(t.count);
    lost = count_unreadable();
    cr_assert_gt(lost, 1);
    cr_assert_eq(stats_now().rows_lost, lost);
    must_be(FR_ERR_CORRUPT, get(700));
    must_say(spot.name);
    cr_assert(strstr(stats_now().lost_why, spot.name) != NULL);
    reopen();
    cr_assert_eq(stats_now().rows_lost, lost);
    check_found(t.count);
    close_bed();
}

/* What a damaged block had was newer than what another table has of the same rows. */
Test(index_lost, nothing_old_comes_back_for_a_lost_block)
{
    static const bool built[2] = {true, false};

    for (int i = 0; i < 2; i++) {
        struct spot spot;

        open_bed(0);
        for (uint64_t id = 400; id < 840; id += 2)
            id % 4 == 0 ? put_one(id) : delete_one(id);
        for (uint64_t id = 401; id < 840; id += 4)
            put_one(id);
        maintain();
        must(fr_engine_flush(t.engine));
        must(fr_engine_wait_idle(t.engine));
        spot = find_row(620);
        built[i] ? spoil_centroids() : spoil_posting(100);
        bool was_beside[IDS] = {false};
        for (uint64_t id = 0; id < IDS; id++)
            was_beside[id] = !built[i] && t.there[id] && posting_of(id) == posting_of(100);
        must(reopen_damaged(&spot));
        cr_assert_eq(stats_now().ranges_lost, 1);
        must_be(FR_ERR_CORRUPT, get(620));
        size_t gone = 0; /* neither row nor code */
        for (uint64_t id = 0; id < IDS; id++)
            gone += was_beside[id] && get(id) == FR_ERR_CORRUPT;
        check_found(t.count - gone);
        close_bed();
    }
}

Test(index_lost, a_damaged_value_costs_its_row)
{
    struct spot spot;

    open_bed(32);
    spot = find_row(700);
    cr_assert(strstr(spot.name, ".values") != NULL);
    spoil_posting(700);
    must(reopen_damaged(&spot));
    cr_assert_eq(stats_now().rows_lost, 1);
    cr_assert_eq(stats_now().ranges_lost, 0);
    check_found(t.count - 1);
    cr_assert_eq(count_unreadable(), 1);
    must_be(FR_ERR_CORRUPT, get(700));
    must_say(spot.name);
    close_bed();
}

/* It may be that it can be read the next time: until then nothing is lost, and nothing is served.
 */
Test(index_lost, what_fails_to_be_read_is_not_lost)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ), .forever = true, .os_error = EIO};
    struct spot spot;

    open_bed(0);
    spot = find_row(700);
    fault.name = spot.name;
    spoil_posting(700);
    close_all();
    open_engine();
    t.setup.unhurried = true;
    must(try_index());
    must(fr_sim_fault_add(t.world.sim, &fault));
    must_be(FR_ERR_IO, fr_spfresh_wait_loaded(t.index));
    cr_assert_eq(stats_now().rows_lost, 0);
    fr_sim_fault_clear(t.world.sim);
    must(fr_spfresh_wait_loaded(t.index));
    check_whole();
    cr_assert_eq(count_unreadable(), 0);
    close_bed();
}

/* What could not be read is read again by each opening, and is there once it can be. */
Test(index_lost, what_can_be_read_again_is_there_again)
{
    struct spot spot;

    open_bed(0);
    spot = find_row(700);
    spoil_posting(700);
    must(reopen_damaged(&spot));
    cr_assert_gt(stats_now().ranges_lost, 0);
    cr_assert_lt(stats_now().count, t.count);
    must(reopen_damaged(&spot)); /* the same byte, flipped back */
    cr_assert_eq(stats_now().rebuilt, 2);
    check_whole();
    reopen();
    cr_assert_eq(stats_now().rebuilt, 0);
    check_whole();
    close_bed();
}

Test(index_lost, an_index_that_has_lost_everything_says_so)
{
    open_bed(0);
    for (uint64_t id = 0; id < IDS; id += 2)
        put_key(t.engine, row_key(id), "?", 1);
    struct fr_index_key all = prefix();
    put_key(t.engine, fr_key_space(&all), "?", 1);
    close_all();
    open_engine();
    must_be(FR_ERR_CORRUPT, try_index());
    must_say("vector 0: the row of a vector is cut short");
    must(fr_engine_close(FR_TAKE(t.engine)));
    test_world_close(&t.world);
}

/* A number that a lost row had is given to nobody else. */
Test(index_lost, texts_get_numbers_behind_those_that_are_lost)
{
    float vector[DIM];
    uint64_t number = 0;
    struct spot spot;
    char name[8];

    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .dimension = DIM, .id_kind = FR_ID_TEXT, .seed = 7};
    fr_rng_init(&t.rng, 1);
    open_engine();
    must(try_index());
    for (int i = 0; i < 300; i++) {
        struct fr_text_id id = {
                .data = name, .size = (size_t)snprintf(name, sizeof(name), "n%d", i)};

        draw(vector);
        must(fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &id, vector, NULL));
        must(fr_spfresh_find_text(t.index, id, &number));
    }
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    spot = find_row(number);
    must(reopen_damaged(&spot));
    struct fr_text_id id = {.data = "new", .size = 3};
    uint64_t given;
    must(fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &id, vector, NULL));
    must(fr_spfresh_find_text(t.index, id, &given));
    cr_assert_gt(given, number);
    close_all();
    test_world_close(&t.world);
}

/* ---- Options that are lost ---- */

static struct fr_index_key options_key(void)
{
    struct fr_index_key all = prefix();

    return fr_key_options(&all);
}

/* An index of that metric, whose options are those bytes now; NULL: there are none. */
static void open_without_options(enum fr_metric metric, const void *bytes, size_t size)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .dimension = DIM, .metric = metric, .seed = 7};
    fr_rng_init(&t.rng, 1);
    open_engine();
    must(try_index());
    for (uint64_t id = 0; id < IDS; id += 2)
        put_one(id);
    maintain();
    put_key(t.engine, options_key(), bytes, size);
    close_all();
    open_engine();
    t.setup = (struct fr_spfresh_setup){.create = true, .manual = true};
}

static void refuses(fr_status status, const char *words)
{
    must_be(status, try_index());
    cr_assert_not_null(strstr(fr_last_error(), words), "%s", fr_last_error());
}

/* All of it is there, and was made anew; later openings are as ever. */
static void comes_back(enum fr_metric metric)
{
    fr_cover_clear();
    must(try_index());
    must(fr_spfresh_wait_loaded(t.index));
    cr_assert_eq(t.index->options.metric, metric);
    cr_assert_eq(t.index->options.dimension, DIM);
    cr_assert_eq(stats_now().rebuilt, 2);
    cr_assert_eq(count_unreadable(), 0);
    check_whole();
    put_one(1);
    delete_one(2);
    t.setup = (struct fr_spfresh_setup){.manual = true};
    reopen();
    cr_assert_eq(t.index->options.metric, metric);
    cr_assert_eq(stats_now().rebuilt, 0);
    cr_assert_eq(count_unreadable(), 0);
    check_whole();
}

Test(index_lost, options_that_make_no_sense_are_those_of_the_rows_and_the_metric_of_who_opens_it)
{
    open_without_options(FR_METRIC_COSINE, "junk", 4);
    refuses(FR_ERR_CORRUPT, "open it with its metric");
    t.setup.metric = FR_METRIC_COSINE;
    t.setup.dimension = DIM + 1;
    refuses(FR_ERR_MISUSE, "has rows of dimension 20, not 21");
    t.setup.dimension = 0;
    t.setup.id_kind = FR_ID_TEXT;
    refuses(FR_ERR_MISUSE, "has rows whose ids are numbers");
    t.setup.id_kind = 0;
    t.setup.must_be_new = true;
    refuses(FR_ERR_EXISTS, "there are rows of an index");
    t.setup.must_be_new = false;
    comes_back(FR_METRIC_COSINE);
    close_bed();
}

Test(index_lost, rows_without_options_are_no_new_index)
{
    open_without_options(FR_METRIC_INNER_PRODUCT, NULL, 0);
    refuses(FR_ERR_CORRUPT, "open it with its metric");
    t.setup.create = false;
    refuses(FR_ERR_CORRUPT, "open it with its metric");
    t.setup.metric = FR_METRIC_INNER_PRODUCT;
    t.setup.dimension = DIM;
    comes_back(FR_METRIC_INNER_PRODUCT);
    close_bed();
}

Test(index_lost, options_of_a_later_version_are_left_alone)
{
    open_without_options(FR_METRIC_L2, "\2\0\1\1\24\0\0\0\0\0\0\0\0\0\0\0", 16);
    t.setup.metric = FR_METRIC_L2;
    refuses(FR_ERR_TOO_NEW, "version 2");
    must(fr_engine_close(FR_TAKE(t.engine)));
    test_world_close(&t.world);
}

Test(index_lost, a_reader_takes_up_an_index_without_its_options_for_itself)
{
    open_without_options(FR_METRIC_L2, "junk", 4);
    t.setup.read_only = true;
    refuses(FR_ERR_CORRUPT, "open it with its metric");
    t.setup.metric = FR_METRIC_L2;
    for (int round = 0; round < 2; round++) {
        must(try_index());
        cr_assert_eq(stats_now().rebuilt, 2);
        cr_assert_eq(count_unreadable(), 0);
        check_found(t.count);
        fr_spfresh_close(FR_TAKE(t.index));
    }
    t.setup.read_only = false;
    comes_back(FR_METRIC_L2);
    close_bed();
}

Test(index_lost, options_in_a_damaged_block_come_back)
{
    char name[FR_INDEX_NAME_MAX + 1];
    struct spot spot;

    open_bed(0);
    spot = find_key(options_key());
    t.setup.metric = 0;
    must_be(FR_ERR_CORRUPT, reopen_damaged(&spot));
    cr_assert_not_null(strstr(fr_last_error(), spot.name), "%s", fr_last_error());
    cr_assert_not_null(strstr(fr_last_error(), "open it with its metric"), "%s", fr_last_error());
    must(fr_spfresh_next_name(t.engine, NULL, name));
    cr_assert_str_eq(name, "");
    cr_assert_eq(fr_spfresh_next_name(t.engine, name, name), FR_END);
    t.setup.metric = FR_METRIC_L2;
    for (int round = 0; round < 2; round++) {
        must(try_index());
        must(fr_spfresh_wait_loaded(t.index));
        cr_assert_eq(count_unreadable(), 0);
        check_found(t.count);
        put_one((uint64_t)round);
        close_all();
        open_engine();
        t.setup.metric = 0; /* it has been written */
    }
    must(fr_spfresh_drop(t.engine, ""));
    must(fr_engine_close(FR_TAKE(t.engine)));
    test_world_close(&t.world);
}

Test(index_lost, an_index_whose_options_are_lost_can_be_dropped)
{
    char name[FR_INDEX_NAME_MAX + 1];

    for (int round = 0; round < 2; round++) {
        open_without_options(FR_METRIC_L2, round == 0 ? "junk" : NULL, 4);
        must(fr_spfresh_next_name(t.engine, NULL, name));
        must(fr_spfresh_drop(t.engine, ""));
        cr_assert_eq(fr_spfresh_next_name(t.engine, NULL, name), FR_END);
        must_be(FR_ERR_MISSING, fr_spfresh_drop(t.engine, ""));
        t.setup.dimension = DIM + 3;
        must(try_index());
        close_bed();
    }
}

/* Codes of lost rows go by the lost seed. */
Test(index_lost, without_options_codes_of_lost_rows_are_not_believed)
{
    open_without_options(FR_METRIC_L2, "junk", 4);
    put_key(t.engine, row_key(700), "?", 1);
    t.setup.metric = FR_METRIC_L2;
    must(try_index());
    must(fr_spfresh_wait_loaded(t.index));
    cr_assert_eq(stats_now().rows_lost, 1);
    check_found(t.count - 1);
    cr_assert_eq(count_unreadable(), 1);
    close_bed();
}

Test(index_lost, without_options_texts_say_that_ids_are_text)
{
    struct fr_text_id id = {.data = "name", .size = 4};
    float vector[DIM];
    uint64_t number;

    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .dimension = DIM, .id_kind = FR_ID_TEXT, .seed = 7};
    fr_rng_init(&t.rng, 1);
    open_engine();
    must(try_index());
    draw(vector);
    must(fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &id, vector, NULL));
    put_key(t.engine, options_key(), "junk", 4);
    close_all();
    open_engine();
    t.setup =
            (struct fr_spfresh_setup){.manual = true, .metric = FR_METRIC_L2, .id_kind = FR_ID_U64};
    refuses(FR_ERR_MISUSE, "has rows whose ids are text");
    t.setup.id_kind = 0;
    must(try_index());
    cr_assert_eq(t.index->options.id_kind, FR_ID_TEXT);
    must(fr_spfresh_find_text(t.index, id, &number));
    must(fr_spfresh_check(t.index));
    close_bed();
}
