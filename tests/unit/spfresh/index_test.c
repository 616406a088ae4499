/*
 * index_test.c - an index over an engine, against a plain model: the latest vector of each id.
 *
 * fr_spfresh_check compares memory with what is stored, so these tests only have to do things and
 * ask. Postings are left to their usual sizes: what splits them is enough vectors.
 */
#include <math.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/io/test_world.h"

#define DIM 20
#define IDS 3000

struct bed {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_spfresh_setup setup;
    struct fr_rng rng;
    size_t count;
    bool there[IDS];
    float vectors[IDS][DIM];
};

static struct bed t;

static void open_engine(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.cache_size = 1 << 20;
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &options, &t.engine));
}

static void open_index(void)
{
    must(fr_spfresh_open(t.engine, "", &t.setup, &t.index));
}

static void open_bed(enum fr_metric metric)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .dimension = DIM, .metric = metric, .seed = 7};
    fr_rng_init(&t.rng, 1);
    open_engine();
    open_index();
}

static void close_bed(void)
{
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
    test_world_close(&t.world);
}

static void reopen(void)
{
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
    open_engine();
    open_index();
}

static void draw(float *x)
{
    size_t cluster = fr_rng_below(&t.rng, 30);

    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&t.rng) + 0.1F;
}

static void put_some(size_t count)
{
    uint64_t ids[64];
    float vectors[64][DIM];

    for (size_t i = 0; i < count; i++) {
        ids[i] = fr_rng_below(&t.rng, IDS);
        draw(vectors[i]);
        t.count += !t.there[ids[i]];
        t.there[ids[i]] = true;
        memcpy(t.vectors[ids[i]], vectors[i], sizeof(vectors[i]));
    }
    must(fr_spfresh_upsert(t.index, FR_DURABLE_OS, count, ids, vectors[0], NULL));
}

static void delete_some(size_t count)
{
    size_t expected = 0, deleted;
    uint64_t ids[64];

    for (size_t i = 0; i < count; i++) {
        ids[i] = fr_rng_below(&t.rng, IDS);
        expected += t.there[ids[i]];
        t.there[ids[i]] = false;
    }
    t.count -= expected;
    must(fr_spfresh_delete(t.index, FR_DURABLE_OS, count, ids, &deleted));
    cr_assert_eq(deleted, expected);
}

static void maintain(void)
{
    uint64_t left;

    must(fr_spfresh_maintain(t.index, 0, &left));
    cr_assert_eq(left, 0);
}

/* A search for all, by either way, finds what is there and nothing else. */
static void check_found(bool exhaustive)
{
    static struct fr_hit hits[IDS + 1];
    static bool seen[IDS];
    struct fr_search_options how = {.postings = 1000000, .exhaustive = exhaustive};
    size_t count;

    memset(seen, 0, sizeof(seen));
    must(fr_spfresh_search(t.index, &how, t.vectors[0], IDS + 1, hits, &count));
    cr_assert_eq(count, t.count, "%zu found of %zu", count, t.count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(hits[i].id, IDS);
        cr_assert(t.there[hits[i].id]);
        cr_assert_not(seen[hits[i].id]);
        seen[hits[i].id] = true;
        if (i > 0) cr_assert_geq(hits[i].distance, hits[i - 1].distance);
    }
}

static void check_all(void)
{
    must(fr_spfresh_check(t.index));
    check_found(false);
}

static void check_vectors(void)
{
    for (uint64_t id = 0; id < IDS; id++) {
        struct fr_engine_value value;
        float vector[DIM];
        fr_slice payload;
        fr_status st = fr_spfresh_get(t.index, id, vector, &value, &payload);

        cr_assert_eq(st, t.there[id] ? FR_OK : FR_NOT_FOUND);
        if (st != FR_OK) continue;
        cr_assert_eq(memcmp(vector, t.vectors[id], sizeof(vector)), 0);
        fr_engine_value_release(&value);
    }
}

Test(index, an_empty_one_finds_nothing_and_opens_again)
{
    open_bed(0);
    check_all();
    reopen();
    check_all();
    maintain();
    close_bed();
}

Test(index, what_came_and_left_is_found_and_not_found)
{
    open_bed(0);
    for (int round = 0; round < 60; round++) {
        put_some(1 + fr_rng_below(&t.rng, 64));
        if (round % 3 == 0) delete_some(1 + fr_rng_below(&t.rng, 64));
        if (round % 5 == 0) maintain();
        if (round % 10 == 9) check_all();
    }
    maintain();
    check_all();
    check_found(true);
    check_vectors();
    close_bed();
}

/* Its caller may be told what a weaker delete has done, and rely on it. */
Test(index, a_durable_delete_of_nothing_carries_weaker_writes_along)
{
    uint64_t ids[2] = {5, 6};
    float vectors[2][DIM] = {{1}, {2}};
    size_t deleted;
    fr_seq seq;

    open_bed(0);
    must(fr_spfresh_upsert(t.index, FR_DURABLE_NONE, 1, ids, vectors[0], NULL));
    seq = fr_engine_last_seq(t.engine);
    must(fr_spfresh_delete(t.index, FR_DURABLE_NONE, 1, &ids[1], &deleted));
    cr_assert_eq(fr_engine_last_seq(t.engine), seq);
    must(fr_spfresh_delete(t.index, FR_DURABLE_OS, 1, &ids[1], &deleted));
    cr_assert_eq(deleted, 0);
    cr_assert_gt(fr_engine_last_seq(t.engine), seq);
    must(fr_spfresh_check(t.index));
    close_bed();
}

Test(index, opens_as_it_was_without_looking_at_rows)
{
    open_bed(0);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 6; i++)
            put_some(64);
        delete_some(40);
        if (round % 2 == 0) maintain();
        reopen();
        cr_assert_eq(t.index->rebuilt, 0);
        check_all();
    }
    check_vectors();
    close_bed();
}

static double distance(int metric, const float *a, const float *b)
{
    double square = 0, product = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < DIM; i++) {
        double x = (double)a[i], y = (double)b[i];

        square += (x - y) * (x - y);
        product += x * y;
        aa += x * x;
        bb += y * y;
    }
    return metric == FR_METRIC_L2       ? square
           : metric == FR_METRIC_COSINE ? 1 - product / sqrt(aa * bb)
                                        : -product;
}

/* What distances are like: from the query to some vector of another cluster. */
static double spread(int metric, const float *query)
{
    double most = 0;

    for (uint64_t id = 0; id < 100; id++)
        if (t.there[id]) most = fmax(most, fabs(distance(metric, query, t.vectors[id])));
    return most;
}

Test(index, serves_each_metric)
{
    for (int metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        struct fr_search_options exact = {.exhaustive = true}, usual = {.exact_distances = true};
        size_t right = 0, count;

        open_bed((enum fr_metric)metric);
        for (int round = 0; round < 40; round++)
            put_some(64);
        maintain();
        check_all();
        for (int n = 0; n < 50; n++) {
            struct fr_hit truth[10], hits[10], about[10];
            float query[DIM];

            draw(query);
            must(fr_spfresh_search(t.index, &exact, query, 10, truth, &count));
            cr_assert_eq(count, 10);
            must(fr_spfresh_search(t.index, &usual, query, 10, hits, &count));
            cr_assert_eq(count, 10);
            must(fr_spfresh_search(t.index, &(struct fr_search_options){.recall = 0.99}, query, 10,
                    about, &count));
            for (size_t i = 0; i < 10; i++) {
                for (size_t j = 0; j < 10; j++)
                    right += hits[i].id == truth[j].id;
                double right_one = distance(metric, query, t.vectors[about[i].id]);
                cr_assert_float_eq(about[i].distance, right_one, 0.004 * spread(metric, query),
                        "metric %d: %g, not %g", metric, (double)about[i].distance, right_one);
                right_one = distance(metric, query, t.vectors[hits[i].id]);
                cr_assert_float_eq(hits[i].distance, right_one, 1e-5 * spread(metric, query));
            }
        }
        cr_assert_gt(right, 470, "metric %d: %zu of 500", metric, right);
        close_bed();
    }
}

/* ---- What is refused ---- */

Test(index, refuses_what_is_not_a_vector)
{
    uint64_t id = 5, ids[2] = {1, 2};
    float x[2][DIM];

    open_bed(FR_METRIC_COSINE);
    draw(x[0]);
    draw(x[1]);
    x[1][3] = NAN;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(t.index, FR_DURABLE_OS, 2, ids, x[0], NULL));
    must_say("vector 2: value 3");
    x[1][3] = INFINITY;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    memset(x[1], 0, sizeof(x[1]));
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    must_say("no direction");
    x[1][0] = 1e30F;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    struct fr_hit hit;
    size_t count;
    must_be(FR_ERR_MISUSE,
            fr_spfresh_search(t.index, &(struct fr_search_options){0}, x[1], 1, &hit, &count));
    must_say("length is not finite");
    must(fr_spfresh_check(t.index));
    cr_assert_null(fr_spfresh_tree(t.index));
    close_bed();
}

Test(index, of_equal_ids_in_a_batch_the_last_counts)
{
    uint64_t ids[4] = {7, 8, 7, 7};
    float x[4][DIM];

    open_bed(0);
    for (int i = 0; i < 4; i++)
        draw(x[i]);
    for (int i = 0; i < 2; i++)
        must(fr_spfresh_upsert(t.index, FR_DURABLE_OS, 4, ids, x[0], NULL));
    t.there[7] = t.there[8] = true;
    t.count = 2;
    memcpy(t.vectors[7], x[3], sizeof(x[3]));
    memcpy(t.vectors[8], x[1], sizeof(x[1]));
    check_all();
    check_vectors();
    close_bed();
}

Test(index, is_what_it_was_made_as)
{
    struct fr_spfresh *other;

    open_bed(FR_METRIC_L2);
    put_some(10);
    fr_spfresh_close(t.index);
    t.setup.dimension = DIM + 1;
    must_be(FR_ERR_MISUSE, fr_spfresh_open(t.engine, "", &t.setup, &other));
    t.setup.dimension = 0;
    t.setup.metric = FR_METRIC_COSINE;
    must_be(FR_ERR_MISUSE, fr_spfresh_open(t.engine, "", &t.setup, &other));
    t.setup.metric = 0;
    t.setup.must_be_new = true;
    must_be(FR_ERR_EXISTS, fr_spfresh_open(t.engine, "", &t.setup, &other));
    t.setup.must_be_new = false;
    open_index();
    check_all();
    close_bed();
}

/* ---- What is derived is lost ---- */

static void put_key(struct fr_index_key key, const void *bytes, size_t size)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice all;

    if (bytes == NULL)
        must(fr_batch_add_delete(&batch, fr_index_key_slice(&key)));
    else
        must(fr_batch_add_put(&batch, fr_index_key_slice(&key), fr_slice_of(bytes, size)));
    must(fr_batch_finish(&batch, &all));
    must(fr_engine_write(t.engine, all, 1, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

/* Whatever is done to it, the rows bring the index back, whole and stored anew. */
static void spoil_and_reopen(struct fr_index_key key, const void *bytes, size_t size,
        uint64_t rebuilt)
{
    fr_spfresh_close(t.index);
    put_key(key, bytes, size);
    open_index();
    must(fr_spfresh_wait_loaded(t.index));
    cr_assert_eq(t.index->rebuilt, rebuilt);
    check_all();
    check_vectors();
    reopen();
    cr_assert_eq(t.index->rebuilt, 0);
    check_all();
}

static uint32_t last_posting(void)
{
    struct fr_tree *tree = fr_spfresh_tree(t.index);
    uint32_t number = tree->tiers[1].slot_count;

    while (!fr_row_is_live(fr_rows_row(&tree->tiers[1], --number)))
        continue;
    return number;
}

Test(index, comes_back_from_its_rows)
{
    struct fr_index_key prefix;
    uint8_t junk[300] = {1};

    open_bed(0);
    fr_key_prefix("", &prefix);
    for (int round = 0; round < 20; round++)
        put_some(64);
    maintain();
    spoil_and_reopen(fr_key_space(&prefix), NULL, 0, 1);
    spoil_and_reopen(fr_key_space(&prefix), junk, 3, 2);
    spoil_and_reopen(fr_key_centroid(&prefix, t.index->generation, 1, last_posting()), NULL, 0, 2);
    spoil_and_reopen(fr_key_centroid(&prefix, t.index->generation, 1, last_posting()), junk,
            sizeof(junk), 2);
    spoil_and_reopen(fr_key_posting(&prefix, t.index->generation, last_posting()), junk, 5, 2);
    spoil_and_reopen(fr_key_posting(&prefix, t.index->generation, last_posting() + 1), junk, 0, 2);
    spoil_and_reopen(fr_key_centroid(&prefix, t.index->generation, 1, 5000000), junk, sizeof(junk),
            2);
    close_bed();
}

/* ---- Loading ---- */

static struct fr_index_stats stats_now(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(t.index, &stats);
    return stats;
}

/* Opened again, with nobody who loads what is not asked for. */
static void reopen_unhurried(void)
{
    t.setup.unhurried = true;
    reopen();
    t.setup.unhurried = false;
}

static void fill_bed(void)
{
    open_bed(0);
    for (int round = 0; round < 40; round++)
        put_some(64);
    delete_some(64);
    maintain();
    cr_assert_gt(stats_now().postings, 20);
}

static fr_status search_one(const float *query, uint32_t postings, uint64_t *ret_id)
{
    struct fr_search_options how = {.postings = postings};
    struct fr_hit hit = {0};
    size_t count = 0;

    fr_status st = fr_spfresh_search(t.index, &how, query, 1, &hit, &count);
    *ret_id = hit.id;
    return st;
}

static uint64_t first_there(void)
{
    uint64_t id = 0;

    while (!t.there[id])
        id++;
    return id;
}

Test(index, answers_the_first_search_with_what_it_needs_in_memory_and_no_more)
{
    uint64_t wanted, found;

    fill_bed();
    wanted = first_there();
    reopen_unhurried();
    cr_assert_eq(stats_now().loaded, 0);
    cr_assert_gt(stats_now().to_load, 20);
    must(search_one(t.vectors[wanted], 2, &found));
    cr_assert_eq(found, wanted);
    cr_assert_eq(stats_now().loaded, 2);
    must(search_one(t.vectors[wanted], 2, &found));
    cr_assert_eq(stats_now().loaded, 2);
    check_found(false);
    cr_assert_eq(stats_now().to_load, 0);
    check_vectors();
    check_all();
    close_bed();
}

Test(index, writes_and_maintains_when_all_is_loaded)
{
    struct fr_index_stats stats;

    fill_bed();
    reopen_unhurried();
    put_some(10);
    stats = stats_now();
    cr_assert_eq(stats.to_load, 0);
    cr_assert_eq(stats.count, t.count);
    check_all();
    reopen_unhurried();
    delete_some(10);
    check_all();
    reopen_unhurried();
    maintain();
    check_all();
    reopen_unhurried();
    must(fr_spfresh_forget_derived(t.index));
    maintain();
    check_all();
    cr_assert_eq(t.index->rebuilt, 0);
    close_bed();
}

static void search_all_on(void *arg)
{
    static const struct fr_search_options all = {.postings = 1000000};
    struct fr_hit *hits = fr_alloc((IDS + 1) * sizeof(*hits));
    size_t count;

    FR_ASSERT(hits != NULL);
    for (int i = 0; i < 5; i++) {
        FR_ASSERT(fr_spfresh_search(t.index, &all, arg, IDS + 1, hits, &count) == FR_OK);
        FR_ASSERT(count == t.count);
    }
    fr_free(hits);
}

Test(index, searches_beside_what_loads_miss_nothing)
{
    struct fr_thread threads[3];

    fill_bed();
    for (int round = 0; round < 10; round++) {
        reopen();
        for (size_t i = 0; i < 3; i++)
            must(fr_thread_start(&threads[i], "search", search_all_on, t.vectors[i]));
        for (size_t i = 0; i < 3; i++)
            fr_thread_join(&threads[i]);
    }
    check_all();
    cr_assert_eq(t.index->rebuilt, 0);
    close_bed();
}

Test(index, closes_while_it_is_loaded)
{
    fill_bed();
    for (int round = 0; round < 16; round++) {
        t.setup.manual = round % 2 == 0;
        reopen();
    }
    check_all();
    cr_assert_eq(t.index->rebuilt, 0);
    close_bed();
}

/* ---- Damage that loading finds ---- */

static struct fr_index_key posting_of(uint64_t id, uint32_t *ret_number)
{
    const struct fr_rows *rows = &fr_spfresh_tree(t.index)->tiers[0];
    struct fr_index_key prefix;

    *ret_number = fr_rows_row(rows, fr_id_map_find(&t.index->map, id))->node;
    fr_key_prefix("", &prefix);
    return fr_key_posting(&prefix, t.index->generation, *ret_number);
}

/* Another posting than that one. */
static uint64_t elsewhere(uint32_t number)
{
    uint32_t other = number;
    uint64_t id = first_there();

    for (; other == number; id++)
        if (t.there[id]) (void)posting_of(id, &other);
    return id - 1;
}

Test(index, a_search_of_a_damaged_posting_waits_until_it_is_made_from_the_rows)
{
    struct fr_index_key key;
    uint64_t hurt, found;
    uint32_t number;

    fill_bed();
    hurt = first_there();
    key = posting_of(hurt, &number);
    put_key(key, "\1junk", 5);
    reopen_unhurried();
    cr_assert_eq(t.index->rebuilt, 0);
    must(search_one(t.vectors[hurt], 1, &found));
    cr_assert_eq(found, hurt);
    cr_assert_eq(t.index->rebuilt, 2);
    check_all();
    reopen();
    cr_assert_eq(t.index->rebuilt, 0);
    check_all();
    check_vectors();
    close_bed();
}

/* What stands in a posting is believed only as far as the rows say so, once one is damaged. */
Test(index, mending_goes_by_the_rows_alone)
{
    struct fr_index_key prefix;
    struct fr_buf row = FR_BUF_EMPTY;
    struct fr_index_key key;
    uint64_t hurt, gone, other;
    uint32_t number;

    fill_bed();
    hurt = first_there();
    key = posting_of(hurt, &number);
    gone = elsewhere(number);
    for (other = gone + 1; !t.there[other] || other == hurt;)
        other++;
    fr_key_prefix("", &prefix);
    put_key(key, "\1junk", 5);
    put_key(fr_key_vector(&prefix, gone), NULL, 0);
    t.there[gone] = false;
    t.count--;
    draw(t.vectors[other]);
    fr_stored_put_vector(&row, t.vectors[other], DIM, NULL, NULL, 0);
    put_key(fr_key_vector(&prefix, other), row.data, row.size);
    fr_buf_deinit(&row);
    reopen();
    check_all();
    check_vectors();
    cr_assert_eq(t.index->rebuilt, 2);
    reopen();
    check_all();
    cr_assert_eq(t.index->rebuilt, 0);
    close_bed();
}

Test(index, a_vector_in_two_postings_is_in_one_again)
{
    struct fr_engine_value value;
    struct fr_index_key from, to;
    uint32_t number, other;
    uint64_t id;

    fill_bed();
    id = first_there();
    from = posting_of(id, &number);
    to = posting_of(elsewhere(number), &other);
    must(fr_engine_get(t.engine, fr_index_key_slice(&from), FR_SEQ_MAX, &value));
    put_key(to, value.bytes.data, value.bytes.size);
    fr_engine_value_release(&value);
    reopen();
    check_all();
    cr_assert_eq(t.index->rebuilt, 2);
    reopen();
    cr_assert_eq(t.index->rebuilt, 0);
    check_all();
    close_bed();
}

/* A reader cannot write it down, and mends it in memory each time. */
Test(index, a_reader_mends_for_itself)
{
    uint32_t number;

    fill_bed();
    put_key(posting_of(first_there(), &number), "\1junk", 5);
    t.setup.read_only = true;
    for (int round = 0; round < 2; round++) {
        reopen();
        check_found(false);
        cr_assert_eq(t.index->rebuilt, 2);
    }
    close_bed();
}

/* ---- Names ---- */

Test(index, each_name_is_an_index_of_its_own)
{
    static const char *const names[] = {"", "a", "a-b", "b.c"};
    struct fr_spfresh *indexes[4];
    char name[FR_INDEX_NAME_MAX + 1];
    size_t count = 0;

    open_bed(0);
    indexes[0] = t.index;
    for (int i = 1; i < 4; i++)
        must(fr_spfresh_open(t.engine, names[i], &t.setup, &indexes[i]));
    for (uint64_t i = 0; i < 4; i++) {
        float x[DIM];
        draw(x);
        must(fr_spfresh_upsert(indexes[i], FR_DURABLE_OS, 1, &i, x, NULL));
    }
    fr_status st = fr_spfresh_next_name(t.engine, NULL, name);
    for (; st == FR_OK; count++) {
        cr_assert(strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0 ||
                  strcmp(name, names[2]) == 0 || strcmp(name, names[3]) == 0);
        st = fr_spfresh_next_name(t.engine, name, name);
    }
    cr_assert_eq(st, FR_END);
    cr_assert_eq(count, 4);
    fr_spfresh_close(indexes[1]);
    must(fr_spfresh_drop(t.engine, "a"));
    must_be(FR_ERR_MISSING, fr_spfresh_drop(t.engine, "a"));
    for (uint64_t i = 0; i < 4; i++) {
        struct fr_hit hit;
        float x[DIM] = {1};

        if (i == 1) continue;
        must(fr_spfresh_search(indexes[i], &(struct fr_search_options){0}, x, 1, &hit, &count));
        cr_assert_eq(count, 1);
        cr_assert_eq(hit.id, i);
        if (i > 0) fr_spfresh_close(indexes[i]);
    }
    close_bed();
}

/* ---- Many threads ---- */

#define WRITERS 3
#define ROUNDS  60

struct writer {
    uint64_t first; /* of the ids that are its own */
    struct fr_rng rng;
};

/* Batches of its own ids, and one that all want. */
static void write_on(void *arg)
{
    struct writer *w = arg;

    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 1 + fr_rng_below(&w->rng, 20), deleted;
        float vectors[21][DIM];
        uint64_t ids[21];

        for (size_t i = 0; i <= count; i++) {
            ids[i] = i == count ? IDS - 1 : w->first + fr_rng_below(&w->rng, 500);
            for (size_t n = 0; n < DIM; n++)
                vectors[i][n] = (float)fr_rng_double(&w->rng);
        }
        FR_ASSERT(fr_spfresh_upsert(t.index, FR_DURABLE_OS, count + 1, ids, vectors[0], NULL) ==
                  FR_OK);
        if (round % 4 == 0)
            FR_ASSERT(fr_spfresh_delete(t.index, FR_DURABLE_OS, count, ids, &deleted) == FR_OK);
    }
}

static _Atomic(bool) over;

static void search_on(void *arg)
{
    struct fr_hit hits[10];
    float query[DIM] = {0};
    size_t count;

    (void)arg;
    /* The first search is watched, the second is not. */
    for (uint64_t n = 0; !atomic_load(&over); n++) {
        struct fr_search_why why = {.id = n % IDS};
        struct fr_search_record record = {.why = &why};
        struct fr_search_options how = {.ret_records = n % 2 == 0 ? &record : NULL};

        FR_ASSERT(fr_spfresh_search(t.index, &how, query, 10, hits, &count) == FR_OK);
        for (size_t i = 1; i < count; i++)
            FR_ASSERT(hits[i].id != hits[i - 1].id);
    }
}

Test(index, many_write_and_search_while_it_is_maintained)
{
    struct fr_thread threads[WRITERS], searcher;
    struct writer writers[WRITERS];
    uint64_t left;

    open_bed(0);
    fr_spfresh_close(t.index);
    t.setup.manual = false;
    open_index();
    atomic_store(&over, false);
    must(fr_thread_start(&searcher, "search", search_on, NULL));
    for (int i = 0; i < WRITERS; i++) {
        writers[i].first = (uint64_t)i * 500;
        fr_rng_init(&writers[i].rng, (uint64_t)i);
        must(fr_thread_start(&threads[i], "write", write_on, &writers[i]));
    }
    for (int i = 0; i < WRITERS; i++)
        fr_thread_join(&threads[i]);
    atomic_store(&over, true);
    fr_thread_join(&searcher);
    must(fr_spfresh_check(t.index));
    must(fr_spfresh_maintain(t.index, 0, &left));
    must(fr_spfresh_check(t.index));
    reopen();
    cr_assert_eq(t.index->rebuilt, 0);
    must(fr_spfresh_check(t.index));
    close_bed();
}

/* ---- At rest ---- */

static size_t entries_left_behind(void)
{
    const struct fr_tree *tree = fr_spfresh_tree(t.index);
    size_t left = 0;

    for (fr_slot slot = 0; slot < tree->tiers[1].slot_count; slot++) {
        const struct fr_node *node = fr_tree_node(tree, 1, slot);

        if (node != NULL) left += node->count - node->live;
    }
    return left;
}

Test(index, at_rest_has_few_entries_that_rows_have_left_behind)
{
    open_bed(0);
    for (int round = 0; round < 60; round++)
        put_some(64);
    maintain();
    for (int round = 0; round < 4; round++) {
        put_some(64);
        delete_some(20);
    }
    maintain();
    size_t left = entries_left_behind();
    cr_assert_leq(left, 32 + t.count / 16, "%zu of %zu", left, t.count);
    uint64_t compacted = fr_spfresh_tree(t.index)->stats.compacted;
    fr_seq written = fr_engine_last_seq(t.engine);
    maintain();
    cr_assert_eq(fr_spfresh_tree(t.index)->stats.compacted, compacted);
    cr_assert_eq(fr_engine_last_seq(t.engine), written);
    check_found(false);
    must(fr_spfresh_check(t.index));
    reopen();
    check_found(false);
    close_bed();
}

/* ---- Effort ---- */

/* Data in which nothing is near to anything, in place of whatever was there. */
static void put_even(float width)
{
    for (uint64_t id = 0; id < IDS; id++) {
        for (size_t i = 0; i < DIM; i++)
            t.vectors[id][i] = width * (float)fr_rng_double(&t.rng);
        must(fr_spfresh_upsert(t.index, FR_DURABLE_NONE, 1, &id, t.vectors[id], NULL));
    }
    maintain();
}

/* Of such data more is looked at, for the same recall. */
static void check_even_recall(void)
{
    static const struct fr_search_options exact = {.exhaustive = true}, usual = {.recall = 0.95};
    struct fr_hit truth[10], hits[10];
    size_t right = 0, count;

    for (uint64_t id = 0; id < 100; id++) {
        must(fr_spfresh_search(t.index, &exact, t.vectors[id], 10, truth, &count));
        must(fr_spfresh_search(t.index, &usual, t.vectors[id], 10, hits, &count));
        for (size_t i = 0; i < 10; i++)
            for (size_t j = 0; j < 10; j++)
                right += hits[i].id == truth[j].id;
    }
    cr_assert_gt(right, 920, "%zu of 1000", right);
}

Test(index, learns_which_effort_its_data_need)
{
    open_bed(0);
    float before = atomic_load(&t.index->efforts.recalls[3]);
    put_even(1);
    cr_assert_neq(atomic_load(&t.index->efforts.recalls[3]), before);
    check_even_recall();
    close_bed();
}

/* As many vectors as before may be quite other ones. */
Test(index, learns_it_again_when_its_data_have_changed)
{
    open_bed(0);
    for (uint64_t id = 0; id < IDS; id++) {
        draw(t.vectors[id]);
        must(fr_spfresh_upsert(t.index, FR_DURABLE_NONE, 1, &id, t.vectors[id], NULL));
    }
    maintain();
    float before = atomic_load(&t.index->efforts.recalls[1]);
    put_even(25); /* about as wide as what was there */
    check_even_recall();
    cr_assert_lt(atomic_load(&t.index->efforts.recalls[1]), before);
    check_even_recall();
    close_bed();
}

Test(index, finds_all_within_a_distance)
{
    static struct fr_hit truth[IDS], hits[IDS];
    struct fr_search_options exact = {.exhaustive = true, .limited = true};
    struct fr_search_options near = {.limited = true, .recall = 0.99, .exact_distances = true};
    size_t there, count;

    open_bed(0);
    for (int round = 0; round < 40; round++)
        put_some(64);
    maintain();
    for (float radius = 0.5F; radius < 3000; radius *= 3) {
        exact.max_distance = near.max_distance = radius;
        must(fr_spfresh_search(t.index, &exact, t.vectors[0], IDS, truth, &there));
        must(fr_spfresh_search(t.index, &near, t.vectors[0], IDS, hits, &count));
        cr_assert_leq(count, there);
        cr_assert_geq((double)count, 0.97 * (double)there, "%zu of %zu", count, there);
        for (size_t i = 0; i < count; i++)
            cr_assert_leq(hits[i].distance, radius);
    }
    cr_assert_gt(there, 100);
    close_bed();
}

/* ---- Many queries at once ---- */

#define QUERIES 150
#define K_BATCH 12

static float batch_queries[QUERIES][DIM];

static void draw_queries(void)
{
    for (size_t i = 0; i < QUERIES; i++)
        draw(batch_queries[i]);
    /* The same one several times, next to each other and not. */
    for (size_t i = 20; i < 30; i++)
        memcpy(batch_queries[i], batch_queries[3], sizeof(batch_queries[3]));
}

static void check_same(const struct fr_hit *hits, const struct fr_hit *others, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(hits[i].id, others[i].id, "hit %zu", i);
        cr_assert_eq(hits[i].distance, others[i].distance, "hit %zu", i);
    }
}

static void check_batch(const struct fr_search_options *how)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_hit alone[K_BATCH];
    size_t counts[QUERIES], count;

    must(fr_spfresh_search_batch(t.index, how, QUERIES, batch_queries[0], K_BATCH, hits[0],
            counts));
    for (size_t i = 0; i < QUERIES; i++) {
        must(fr_spfresh_search(t.index, how, batch_queries[i], K_BATCH, alone, &count));
        cr_assert_eq(counts[i], count);
        check_same(hits[i], alone, count);
    }
}

Test(index, a_batch_answers_each_query_as_if_it_were_alone)
{
    struct fr_search_options ways[] = {{.recall = 0.9}, {.postings = 3, .exact_distances = true},
            {.exhaustive = true}, {.limited = true, .max_distance = 20},
            {.limited = true, .max_distance = 0.01F, .exact_distances = true}};

    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        open_bed(metric);
        for (int round = 0; round < 60; round++)
            put_some(64);
        maintain();
        draw_queries();
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
            for (uint32_t threads = 0; threads < 6; threads += 1 + threads) {
                ways[i].threads = threads;
                check_batch(&ways[i]);
            }
        close_bed();
    }
}

Test(index, a_batch_ends_with_its_first_failure)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_options how = {.exact_distances = true, .threads = 3};
    size_t counts[QUERIES];

    open_bed(0);
    draw_queries();
    must(fr_spfresh_search_batch(t.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
            counts));
    cr_assert_eq(counts[QUERIES - 1], 0);
    put_some(64);
    batch_queries[77][5] = NAN;
    must_be(FR_ERR_MISUSE, fr_spfresh_search_batch(t.index, &how, QUERIES, batch_queries[0],
                                   K_BATCH, hits[0], counts));
    must_say("query 77: its value 5");
    close_bed();
}

Test(index, a_search_that_is_warm_allocates_nothing)
{
    struct fr_hit hits[K_BATCH];
    size_t count;

    open_bed(0);
    for (int round = 0; round < 60; round++)
        put_some(64);
    maintain();
    draw_queries();
    for (int round = 0; round < 2; round++) {
        fr_alloc_fail_at(round, true); /* none at first */
        for (size_t i = 0; i < QUERIES; i++)
            must(fr_spfresh_search(t.index, &(struct fr_search_options){0}, batch_queries[i],
                    K_BATCH, hits, &count));
        fr_alloc_fail_at(0, false);
    }
    close_bed();
}

Test(index, a_batch_that_finds_no_memory_ends_and_can_be_repeated)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_options how = {.exact_distances = true, .threads = 2};
    size_t counts[QUERIES];
    fr_status st;

    open_bed(0);
    for (int round = 0; round < 20; round++)
        put_some(64);
    draw_queries();
    for (uint64_t n = 1; n < 30; n++) {
        fr_alloc_fail_at(n, n % 2 == 0);
        st = fr_spfresh_search_batch(t.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
                counts);
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        cr_assert(n > 1 || st == FR_ERR_NOMEM);
    }
    check_batch(&how);
    close_bed();
}

/* ---- What a search did ---- */

static uint64_t scanned_until_now(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(t.index, &stats);
    return stats.scanned;
}

static void fill_index(void)
{
    for (int round = 0; round < 80; round++)
        put_some(64);
    maintain();
    draw_queries();
}

Test(index, a_record_tells_what_a_search_did_and_changes_nothing)
{
    static struct fr_search_posting postings[IDS];
    struct fr_search_record record = {.postings = postings, .postings_room = IDS};
    struct fr_search_options plain = {.exact_distances = true}, told = plain;
    struct fr_hit hits[K_BATCH], again[K_BATCH];
    size_t count, count_again;

    open_bed(0);
    fill_index();
    told.ret_records = &record;
    for (size_t q = 0; q < QUERIES; q++) {
        must(fr_spfresh_search(t.index, &plain, batch_queries[q], K_BATCH, hits, &count));
        uint64_t before = scanned_until_now(), scanned = 0, codes = 0;
        must(fr_spfresh_search(t.index, &told, batch_queries[q], K_BATCH, again, &count_again));
        cr_assert_eq(count, count_again);
        check_same(hits, again, count);
        cr_assert_geq(record.tiers, 1);
        for (size_t i = 0; i <= record.tiers; i++)
            scanned += record.steps[i].scanned;
        cr_assert_eq(scanned, scanned_until_now() - before);
        cr_assert_leq(record.steps[0].postings, record.effort_postings);
        for (size_t i = 0; i < record.steps[0].postings; i++) {
            codes += postings[i].count;
            if (i > 0) cr_assert_geq(postings[i].distance, postings[i - 1].distance);
        }
        cr_assert_eq(codes, record.steps[0].scanned);
        cr_assert_geq(record.steps[0].measured, count);
        cr_assert_geq(record.finished, count);
        cr_assert_eq(record.rounds, 1);
        cr_assert_eq(record.rows_read, count);
        cr_assert_geq(record.bytes_read, count * DIM * sizeof(float));
    }
    close_bed();
}

Test(index, each_query_of_a_batch_has_a_record_of_its_own)
{
    static struct fr_search_record records[QUERIES];
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_why why = {.id = 0};
    struct fr_search_options how = {.threads = 3, .ret_records = records};
    size_t counts[QUERIES];

    open_bed(FR_METRIC_COSINE);
    fill_index();
    for (int way = 0; way < 4; way++) {
        how.exact_distances = way % 2 == 1;
        how.exhaustive = way / 2 == 1;
        records[30].why = &why;
        must(fr_spfresh_search_batch(t.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
                counts));
        for (size_t q = 0; q < QUERIES; q++) {
            cr_assert_eq(records[q].rounds, !how.exhaustive);
            cr_assert_eq(records[q].rows_read, how.exhaustive        ? t.count
                                               : how.exact_distances ? K_BATCH
                                                                     : 0);
        }
        cr_assert_eq(why.verdict != FR_WHY_MISSING, t.there[0]);
    }
    close_bed();
}

static bool is_listed(const struct fr_search_record *record, uint64_t posting)
{
    for (size_t i = 0; i < record->steps[0].postings; i++)
        if (record->postings[i].number == posting) return true;
    return false;
}

/* The verdict on one id, and that its figures go with it. */
static fr_why check_why(const struct fr_search_record *record, const struct fr_search_why *why,
        const struct fr_hit *hits, size_t count)
{
    bool is_hit = false;

    for (size_t i = 0; i < count; i++)
        is_hit = is_hit || hits[i].id == why->id;
    cr_assert_eq(why->verdict == FR_WHY_HIT, is_hit);
    cr_assert_eq(why->verdict == FR_WHY_MISSING, !t.there[why->id]);
    if (!t.there[why->id]) return why->verdict;
    double right = distance(t.setup.metric, batch_queries[0], t.vectors[why->id]);
    cr_assert_float_eq(why->distance, right, 0.004 * spread(t.setup.metric, batch_queries[0]));
    if (!why->probed) cr_assert_not(is_listed(record, why->posting));
    if (why->probed) cr_assert(is_listed(record, why->posting));
    if (why->posting_rank <= 1) cr_assert(why->probed);
    if (why->verdict == FR_WHY_NOT_MEASURED) cr_assert_gt(why->estimate, why->limit);
    if (why->verdict == FR_WHY_BEATEN)
        cr_assert_geq(why->distance, hits[count - 1].distance * 0.99F);
    return why->verdict;
}

static void check_whys(const struct fr_search_options *way, size_t ret_verdicts[6])
{
    static struct fr_search_posting postings[IDS];
    struct fr_search_why why = {.size = sizeof(why)};
    struct fr_search_record record = {.postings = postings, .postings_room = IDS, .why = &why};
    struct fr_search_options how = *way;
    struct fr_hit hits[K_BATCH];
    size_t count;

    how.ret_records = &record;
    memset(ret_verdicts, 0, 6 * sizeof(*ret_verdicts));
    for (why.id = 0; why.id < IDS; why.id++) {
        must(fr_spfresh_search(t.index, &how, batch_queries[0], K_BATCH, hits, &count));
        if (!how.exhaustive && !how.limited)
            ret_verdicts[check_why(&record, &why, hits, count)]++;
        else
            ret_verdicts[why.verdict]++;
    }
    cr_assert_eq(ret_verdicts[FR_WHY_HIT], count);
    cr_assert_eq(ret_verdicts[FR_WHY_MISSING], IDS - t.count);
}

Test(index, what_became_of_each_id_is_told)
{
    size_t verdicts[6];

    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_COSINE; metric++) {
        open_bed(metric);
        fill_index();
        check_whys(&(struct fr_search_options){.postings = 4}, verdicts);
        cr_assert_gt(verdicts[FR_WHY_NOT_PROBED], 100);
        cr_assert_gt(verdicts[FR_WHY_NOT_MEASURED], 10);
        cr_assert_gt(verdicts[FR_WHY_BEATEN], 1);
        check_whys(&(struct fr_search_options){.exhaustive = true}, verdicts);
        cr_assert_eq(verdicts[FR_WHY_BEATEN], t.count - K_BATCH);
        check_whys(&(struct fr_search_options){.limited = true}, verdicts);
        cr_assert_eq(verdicts[FR_WHY_FAR], t.count);
        close_bed();
    }
}

/* ---- By several threads ---- */

#define MANY 20000

Test(index, many_rows_bring_it_back_by_several_threads)
{
    struct fr_index_key prefix;
    struct fr_hit hits[3];
    float x[50][DIM];
    uint64_t ids[50];
    size_t count;

    open_bed(0);
    fr_key_prefix("", &prefix);
    for (uint64_t id = 0; id < MANY; id += 50) {
        for (uint64_t i = 0; i < 50; i++) {
            ids[i] = id + i;
            draw(x[i]);
        }
        must(fr_spfresh_upsert(t.index, FR_DURABLE_NONE, 50, ids, x[0], NULL));
    }
    fr_spfresh_close(t.index);
    put_key(fr_key_space(&prefix), NULL, 0);
    open_index();
    cr_assert_eq(t.index->rebuilt, 1);
    cr_assert_eq(t.index->map.count, MANY);
    must(fr_spfresh_check(t.index));
    must(fr_spfresh_search(t.index, &(struct fr_search_options){0}, x[0], 3, hits, &count));
    cr_assert_eq(hits[0].id, MANY - 50);
    reopen();
    must(fr_spfresh_check(t.index));
    cr_assert_eq(t.index->rebuilt, 0);
    cr_assert_eq(stats_now().tiers, 3);
#ifndef NDEBUG
    if (fr_thread_cpu_count() > 1) cr_assert_gt(fr_cover_count("index: two walks load"), 0);
#endif
    close_bed();
}

/* ---- A full disk ---- */

#define LARGE 4000

static void open_on_small_disk(struct fr_sim *sim)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.cache_size = 1 << 20;
    options.log_segment_size = 1 << 20;
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &t.engine));
    open_index();
}

/* One after the other, with payloads that do not compress, until there is no space for another. */
static uint64_t fill_disk(void)
{
    struct fr_payload payload = {.size = LARGE};
    static uint8_t bytes[LARGE];
    float x[DIM];

    for (uint64_t id = 0;; id++) {
        fr_rng_fill(&t.rng, bytes, sizeof(bytes));
        payload.data = bytes;
        draw(x);
        fr_status st = fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, x, &payload);
        if (st == FR_ERR_NOSPACE) return id;
        must(st);
    }
}

static size_t count_found(void)
{
    static const struct fr_search_options all = {.postings = 1000000};
    struct fr_hit *hits = fr_alloc(100000 * sizeof(*hits));
    float query[DIM] = {0};
    size_t count;

    must(fr_spfresh_search(t.index, &all, query, 100000, hits, &count));
    fr_free(hits);
    return count;
}

Test(index, deletes_go_on_when_the_disk_is_full_and_make_room)
{
    struct fr_sim_options disk = {.seed = 1, .capacity_bytes = 32 << 20};
    size_t deleted = 0;
    struct fr_sim *sim;
    uint64_t left;

    memset(&t, 0, sizeof(t));
    t.setup = (struct fr_spfresh_setup){.create = true, .manual = true, .dimension = DIM};
    fr_rng_init(&t.rng, 1);
    must(fr_sim_open(&disk, &sim));
    open_on_small_disk(sim);
    uint64_t end = fill_disk();
    cr_assert_gt(end, 1000);
    for (uint64_t id = 0; id < 10; id++) {
        must(fr_spfresh_delete(t.index, FR_DURABLE_OS, 1, &id, &deleted));
        cr_assert_eq(deleted, 1);
    }
    cr_assert_eq(t.index->derived, FR_DERIVED_GIVEN);
    cr_assert_eq(count_found(), end - 10);
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
    open_on_small_disk(sim);
    cr_assert_eq(count_found(), end - 10);
    for (uint64_t id = 10; id < end - 100; id++)
        must(fr_spfresh_delete(t.index, FR_DURABLE_OS, 1, &id, &deleted));
    must(fr_engine_compact_range(t.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_spfresh_maintain(t.index, 0, &left));
    cr_assert_eq(t.index->derived, FR_DERIVED_GOOD);
    must(fr_spfresh_check(t.index));
    cr_assert_eq(count_found(), 100);
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
    fr_sim_close(sim);
}
