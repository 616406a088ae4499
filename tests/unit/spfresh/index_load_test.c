/*
 * index_load_test.c - an index comes back: by its postings, which are loaded when they are wanted,
 * or by its rows, where these are damaged or lost.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/thread.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/spfresh/index_bed.h"
#include "tests/unit/spfresh/put_key.h"

/* ---- What is derived is lost ---- */

/* Whatever is done to it, the rows bring the index back, whole and stored anew. */
static void spoil_and_reopen(struct fr_index_key key, const void *bytes, size_t size,
        uint64_t rebuilt)
{
    fr_spfresh_close(bed.index);
    put_key(bed.engine, key, bytes, size);
    bed_open_index();
    must(fr_spfresh_wait_loaded(bed.index));
    cr_assert_eq(bed.index->rebuilt, rebuilt);
    bed_check_all();
    bed_check_vectors();
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_check_all();
}

static uint32_t last_posting(void)
{
    struct fr_tree *tree = fr_spfresh_tree(bed.index);
    uint32_t number = tree->tiers[1].slot_count;

    while (!fr_row_is_live(fr_rows_row(&tree->tiers[1], --number)))
        continue;
    return number;
}

Test(index_load, comes_back_from_its_rows)
{
    struct fr_index_key prefix;
    uint8_t junk[300] = {1};

    bed_open(0);
    fr_key_prefix("", &prefix);
    for (int round = 0; round < 20; round++)
        bed_put(64);
    bed_maintain();
    spoil_and_reopen(fr_key_space(&prefix), NULL, 0, 1);
    spoil_and_reopen(fr_key_space(&prefix), junk, 3, 2);
    spoil_and_reopen(fr_key_centroid(&prefix, bed.index->generation, 1, last_posting()), NULL, 0,
            2);
    spoil_and_reopen(fr_key_centroid(&prefix, bed.index->generation, 1, last_posting()), junk,
            sizeof(junk), 2);
    spoil_and_reopen(fr_key_posting(&prefix, bed.index->generation, last_posting()), junk, 5, 2);
    spoil_and_reopen(fr_key_posting(&prefix, bed.index->generation, last_posting() + 1), junk, 0,
            2);
    spoil_and_reopen(fr_key_centroid(&prefix, bed.index->generation, 1, 5000000), junk,
            sizeof(junk), 2);
    bed_close();
}

/* ---- Loading ---- */

/* Opened again, with nobody who loads what is not asked for. */
static void reopen_unhurried(void)
{
    bed.setup.unhurried = true;
    bed_reopen();
    bed.setup.unhurried = false;
}

static void fill_bed(void)
{
    bed_open(0);
    for (int round = 0; round < 40; round++)
        bed_put(64);
    bed_delete(64);
    bed_maintain();
    cr_assert_gt(bed_stats().postings, 20);
}

static fr_status search_one(const float *query, uint32_t postings, uint64_t *ret_id)
{
    struct fr_search_options how = {.postings = postings};
    struct fr_hit hit = {0};
    size_t count = 0;

    fr_status st = fr_spfresh_search(bed.index, &how, query, 1, &hit, &count);
    *ret_id = hit.id;
    return st;
}

static uint64_t first_there(void)
{
    uint64_t id = 0;

    while (!bed.there[id])
        id++;
    return id;
}

Test(index_load, answers_the_first_search_with_what_it_needs_in_memory_and_no_more)
{
    uint64_t wanted, found;

    fill_bed();
    wanted = first_there();
    reopen_unhurried();
    cr_assert_eq(bed_stats().loaded, 0);
    cr_assert_gt(bed_stats().to_load, 20);
    must(search_one(bed.vectors[wanted], 2, &found));
    cr_assert_eq(found, wanted);
    cr_assert_eq(bed_stats().loaded, 2);
    must(search_one(bed.vectors[wanted], 2, &found));
    cr_assert_eq(bed_stats().loaded, 2);
    bed_check_found(false);
    cr_assert_eq(bed_stats().to_load, 0);
    bed_check_vectors();
    bed_check_all();
    bed_close();
}

Test(index_load, writes_and_maintains_when_all_is_loaded)
{
    struct fr_index_stats stats;

    fill_bed();
    reopen_unhurried();
    bed_put(10);
    stats = bed_stats();
    cr_assert_eq(stats.to_load, 0);
    cr_assert_eq(stats.count, bed.count);
    bed_check_all();
    reopen_unhurried();
    bed_delete(10);
    bed_check_all();
    reopen_unhurried();
    bed_maintain();
    bed_check_all();
    reopen_unhurried();
    must(fr_spfresh_forget_derived(bed.index));
    bed_maintain();
    bed_check_all();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_close();
}

static void search_all_on(void *arg)
{
    static const struct fr_search_options all = {.postings = 1000000};
    struct fr_hit *hits = fr_alloc((IDS + 1) * sizeof(*hits));
    size_t count;

    FR_ASSERT(hits != NULL);
    for (int i = 0; i < 5; i++) {
        FR_ASSERT(fr_spfresh_search(bed.index, &all, arg, IDS + 1, hits, &count) == FR_OK);
        FR_ASSERT(count == bed.count);
    }
    fr_free(hits);
}

Test(index_load, searches_beside_what_loads_miss_nothing)
{
    struct fr_thread threads[3];

    fill_bed();
    for (int round = 0; round < 10; round++) {
        bed_reopen();
        for (size_t i = 0; i < 3; i++)
            must(fr_thread_start(&threads[i], "search", search_all_on, bed.vectors[i]));
        for (size_t i = 0; i < 3; i++)
            fr_thread_join(&threads[i]);
    }
    bed_check_all();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_close();
}

Test(index_load, closes_while_it_is_loaded)
{
    fill_bed();
    for (int round = 0; round < 16; round++) {
        bed.setup.manual = round % 2 == 0;
        bed_reopen();
    }
    bed_check_all();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_close();
}

/* ---- Damage that loading finds ---- */

static struct fr_index_key posting_of(uint64_t id, uint32_t *ret_number)
{
    const struct fr_rows *rows = &fr_spfresh_tree(bed.index)->tiers[0];
    struct fr_index_key prefix;

    *ret_number = fr_rows_row(rows, fr_id_map_find(&bed.index->map, id))->node;
    fr_key_prefix("", &prefix);
    return fr_key_posting(&prefix, bed.index->generation, *ret_number);
}

/* Another posting than that one. */
static uint64_t elsewhere(uint32_t number)
{
    uint32_t other = number;
    uint64_t id = first_there();

    for (; other == number; id++)
        if (bed.there[id]) (void)posting_of(id, &other);
    return id - 1;
}

Test(index_load, a_search_of_a_damaged_posting_waits_until_it_is_made_from_the_rows)
{
    struct fr_index_key key;
    uint64_t hurt, found;
    uint32_t number;

    fill_bed();
    hurt = first_there();
    key = posting_of(hurt, &number);
    put_key(bed.engine, key, "\1junk", 5);
    reopen_unhurried();
    cr_assert_eq(bed.index->rebuilt, 0);
    must(search_one(bed.vectors[hurt], 1, &found));
    cr_assert_eq(found, hurt);
    cr_assert_eq(bed.index->rebuilt, 2);
    bed_check_all();
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

/* What stands in a posting is believed only as far as the rows say so, once one is damaged. */
Test(index_load, mending_goes_by_the_rows_alone)
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
    for (other = gone + 1; !bed.there[other] || other == hurt;)
        other++;
    fr_key_prefix("", &prefix);
    put_key(bed.engine, key, "\1junk", 5);
    put_key(bed.engine, fr_key_vector(&prefix, gone), NULL, 0);
    bed.there[gone] = false;
    bed.count--;
    bed_draw(&bed.rng, bed.vectors[other]);
    fr_stored_put_vector(&row, bed.vectors[other], DIM, NULL, NULL, 0);
    put_key(bed.engine, fr_key_vector(&prefix, other), row.data, row.size);
    fr_buf_deinit(&row);
    bed_reopen();
    bed_check_all();
    bed_check_vectors();
    cr_assert_eq(bed.index->rebuilt, 2);
    bed_reopen();
    bed_check_all();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_close();
}

Test(index_load, a_vector_in_two_postings_is_in_one_again)
{
    struct fr_engine_value value;
    struct fr_index_key from, to;
    uint32_t number, other;
    uint64_t id;

    fill_bed();
    id = first_there();
    from = posting_of(id, &number);
    to = posting_of(elsewhere(number), &other);
    must(fr_engine_get(bed.engine, fr_index_key_slice(&from), FR_SEQ_MAX, &value));
    put_key(bed.engine, to, value.bytes.data, value.bytes.size);
    fr_engine_value_release(&value);
    bed_reopen();
    bed_check_all();
    cr_assert_eq(bed.index->rebuilt, 2);
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    bed_check_all();
    bed_close();
}

/* A reader cannot write it down, and mends it in memory each time. */
Test(index_load, a_reader_mends_for_itself)
{
    uint32_t number;

    fill_bed();
    put_key(bed.engine, posting_of(first_there(), &number), "\1junk", 5);
    bed.setup.read_only = true;
    for (int round = 0; round < 2; round++) {
        bed_reopen();
        bed_check_found(false);
        cr_assert_eq(bed.index->rebuilt, 2);
    }
    bed_close();
}

/* ---- By several threads ---- */

#define MANY 20000

Test(index_load, many_rows_bring_it_back_by_several_threads)
{
    struct fr_index_key prefix;
    struct fr_hit hits[3];
    float x[50][DIM];
    uint64_t ids[50];
    size_t count;

    bed_open(0);
    fr_key_prefix("", &prefix);
    for (uint64_t id = 0; id < MANY; id += 50) {
        for (uint64_t i = 0; i < 50; i++) {
            ids[i] = id + i;
            bed_draw(&bed.rng, x[i]);
        }
        must(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, 50, ids, x[0], NULL));
    }
    fr_spfresh_close(bed.index);
    put_key(bed.engine, fr_key_space(&prefix), NULL, 0);
    bed_open_index();
    cr_assert_eq(bed.index->rebuilt, 1);
    cr_assert_eq(bed.index->map.count, MANY);
    must(fr_spfresh_check(bed.index));
    must(fr_spfresh_search(bed.index, &(struct fr_search_options){0}, x[0], 3, hits, &count));
    cr_assert_eq(hits[0].id, MANY - 50);
    bed_reopen();
    must(fr_spfresh_check(bed.index));
    cr_assert_eq(bed.index->rebuilt, 0);
    cr_assert_eq(bed_stats().tiers, 3);
#ifndef NDEBUG
    if (fr_thread_cpu_count() > 1) cr_assert_gt(fr_cover_count("index: two walks load"), 0);
#endif
    bed_close();
}
