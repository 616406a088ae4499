/*
 * index_cold_test.c - an index that is written and searched while codes of its vectors lie in a
 * file, since there is no room for them in memory.
 */
#include <stdatomic.h>

#include "base/cover.h"
#include "base/thread.h"
#include "io/sim.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/spfresh/index_bed.h"

#define QUERIES 40
#define K       10

/* Less than anything takes: all that can leave does. */
#define NOTHING 4096
#define PLENTY  ((uint64_t)1 << 30)

struct answer {
    struct fr_hit hits[K];
    size_t count;
};

static float queries[QUERIES][DIM];
static struct answer expected[QUERIES];

static uint32_t postings = 6;

static void ask(size_t query, struct answer *ret)
{
    struct fr_search_options how = {.postings = postings};

    FR_ASSERT(fr_spfresh_search(bed.index, &how, queries[query], K, ret->hits, &ret->count) ==
              FR_OK);
}

static void expect(void)
{
    for (size_t i = 0; i < QUERIES; i++)
        ask(i, &expected[i]);
}

static void check_answers(void)
{
    for (size_t i = 0; i < QUERIES; i++) {
        struct answer answer;

        ask(i, &answer);
        cr_assert_eq(answer.count, expected[i].count);
        for (size_t n = 0; n < answer.count; n++) {
            cr_assert_eq(answer.hits[n].id, expected[i].hits[n].id, "query %zu", i);
            cr_assert_eq(answer.hits[n].distance, expected[i].hits[n].distance);
        }
    }
}

static void fit(void)
{
    bed.index->fit_after_us = 0;
    fr_spfresh_fit(bed.index);
}

/* Chunks of 64 rows, some of which are full. */
static void open_bed(enum fr_metric metric)
{
    bed_open(metric);
    bed.setup.chunk_bits = 6;
    bed_reopen();
    for (int round = 0; round < 30; round++)
        bed_put(64);
    bed_maintain();
    for (size_t i = 0; i < QUERIES; i++)
        bed_draw(&bed.rng, queries[i]);
}

static struct fr_rows *vectors(void)
{
    return &fr_spfresh_tree(bed.index)->tiers[0];
}

static void check_cold(bool is_cold)
{
    struct fr_index_stats stats = bed_stats();

    if (is_cold)
        cr_assert_gt(stats.cold, 1000, "%llu", (unsigned long long)stats.cold);
    else
        cr_assert_eq(stats.cool + stats.cold, 0);
}

/* ---- Searching ---- */

static void answer_the_same(enum fr_metric metric)
{
    open_bed(metric);
    expect();
    bed_set_budget(NOTHING);
    fit();
    check_cold(true);
    check_answers();
    bed_check_all();
    bed_set_budget(PLENTY);
    fit();
    check_cold(false);
    check_answers();
    bed_check_all();
    bed_close();
}

Test(index_cold, answers_are_the_same_whether_codes_are_in_memory_or_not)
{
    answer_the_same(FR_METRIC_L2);
}

Test(index_cold, so_they_are_by_cosine)
{
    answer_the_same(FR_METRIC_COSINE);
}

Test(index_cold, low_bits_leave_first)
{
    size_t before, used;

    open_bed(FR_METRIC_L2);
    expect();
    before = used = fr_engine_indexes_bytes(bed.engine);
    bed_set_budget(used - 1); /* pages are larger than these chunks: nothing is won, all leaves */
    struct fr_file *file;
    must(fr_engine_scratch(bed.engine, &file));
    fr_tree_set_file(fr_spfresh_tree(bed.index), file);
    must(fr_tree_cool(fr_spfresh_tree(bed.index), &used));
    cr_assert_eq(bed_stats().cool, 64);
    cr_assert_eq(bed_stats().cold, 0);
    check_answers();
    while (fr_tree_cool(fr_spfresh_tree(bed.index), &used) == FR_OK)
        continue;
    cr_assert_eq(bed_stats().cool, 0);
    cr_assert_eq(bed_stats().cold, vectors()->slot_count / 64 * 64);
    check_answers();
    cr_assert_leq(fr_engine_indexes_bytes(bed.engine), before);
    bed_close();
}

/* ---- Writing ---- */

Test(index_cold, vectors_come_and_go_while_codes_are_cold)
{
    open_bed(FR_METRIC_L2);
    bed_set_budget(NOTHING);
    fit();
    for (int round = 0; round < 40; round++) {
        bed_put(64);
        if (round % 3 == 0) bed_delete(48);
        if (round % 5 == 0) bed_maintain();
        if (round % 8 == 0) bed_check_all();
    }
    bed_maintain();
    check_cold(true);
    cr_assert_gt(bed_stats().splits, 0);
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

/* Slots are used again at once: few ids, and many vectors. */
Test(index_cold, what_takes_the_place_of_a_vector_is_found_in_its_stead)
{
    open_bed(FR_METRIC_L2);
    bed_set_budget(NOTHING);
    fit();
    for (int round = 0; round < 60; round++) {
        bed_put_of(0, 64, 64);
        if (round % 10 == 0) bed_check_all();
    }
    bed_maintain();
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

Test(index_cold, the_budget_goes_up_and_down_while_it_is_written)
{
    open_bed(FR_METRIC_L2);
    for (int round = 0; round < 40; round++) {
        bed_set_budget(round % 4 < 2 ? NOTHING : PLENTY);
        bed_put(64);
        bed_delete(20);
        if (round % 2 == 0) bed_maintain();
        fit();
        check_cold(round % 4 < 2);
        if (round % 6 == 0) bed_check_all();
    }
    bed_maintain();
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

Test(index_cold, it_is_rebuilt_within_the_budget)
{
    open_bed(FR_METRIC_L2);
    bed_set_budget(NOTHING);
    fit();
    must(fr_spfresh_rebuild(bed.index, 2));
    cr_assert_gt(bed_stats().cold, 1000);
    bed_check_all();
    bed_put(64);
    bed_check_all();
    bed_close();
}

/* Somewhere in between codes of some rows fit, and not of all. */
Test(index_cold, what_fits_is_rebuilt_together_and_the_rest_is_added)
{
    open_bed(FR_METRIC_L2);
    for (uint64_t budget = 256 << 10; budget <= 4 << 20; budget += budget / 2) {
        bed_set_budget(budget);
        fit();
        must(fr_spfresh_rebuild(bed.index, 2));
        bed_check_all();
    }
    cr_assert(fr_cover_count("index: rows are added one by one where there is no room for all") >
              0);
    check_cold(false);
    bed_check_vectors();
    bed_close();
}

/* ---- Opening ---- */

Test(index_cold, what_does_not_fit_is_loaded_but_for_codes_and_is_written_at_once)
{
    postings = 1000000; /* which vectors are listed twice may differ when it is opened again */
    open_bed(FR_METRIC_L2);
    must(fr_engine_flush(bed.engine));
    expect();
    /* Somewhat more than is left when all codes are gone, by opening's reckoning: it is loaded. */
    for (uint64_t budget = 64 << 10;; budget += 16 << 10) {
        bed.budget = budget / 3 * 4;
        bed_reopen();
        if (!fr_spfresh_is_bounded(bed.index)) break;
    }
    must(fr_spfresh_wait_loaded(bed.index));
    cr_assert(fr_cover_count("index: it is loaded, but for codes") > 0);
    check_answers();
    bed_put(64);
    bed_maintain();
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

/* An index that was bounded has its codes leave as soon as it is written. */
Test(index_cold, a_bounded_one_is_written_without_all_its_codes_in_memory)
{
    open_bed(FR_METRIC_L2);
    must(fr_engine_flush(bed.engine));
    bed.budget = NOTHING;
    bed_reopen();
    cr_assert(fr_spfresh_is_bounded(bed.index));
    bed_put(64);
    cr_assert_not(fr_spfresh_is_bounded(bed.index));
    check_cold(true);
    bed_maintain();
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

Test(index_cold, it_is_made_from_its_rows_within_the_budget)
{
    open_bed(FR_METRIC_L2);
    must(fr_spfresh_forget_derived(bed.index));
    bed.budget = NOTHING;
    bed_reopen();
    check_cold(true);
    bed_check_all();
    bed_close();
}

/* ---- Trouble ---- */

Test(index_cold, a_damaged_file_is_told_from_a_code)
{
    struct answer answer;
    size_t refused = 0;
    uint8_t bytes[64];

    open_bed(FR_METRIC_L2);
    expect();
    bed_set_budget(NOTHING);
    fit();
    memset(bytes, 0xa5, sizeof(bytes));
    for (uint64_t offset = 0; offset < 64 * 1024; offset += 512)
        must(fr_file_write(vectors()->file, offset, bytes, sizeof(bytes), 0));
    for (size_t i = 0; i < QUERIES; i++) {
        struct fr_search_options how = {.postings = 6};
        fr_status st =
                fr_spfresh_search(bed.index, &how, queries[i], K, answer.hits, &answer.count);

        refused += st == FR_ERR_CORRUPT;
        if (st == FR_ERR_CORRUPT) continue;
        must(st);
        for (size_t n = 0; n < answer.count; n++)
            cr_assert_eq(answer.hits[n].distance, expected[i].hits[n].distance);
    }
    cr_assert_gt(refused, 0);
    must_be(FR_ERR_CORRUPT, fr_spfresh_check(bed.index));
    must_say("the code of a vector is damaged");
    bed_reopen(); /* it was never more than memory */
    bed_check_all();
    bed_close();
}

Test(index_cold, a_read_that_fails_is_the_failure_of_the_search_that_needs_it)
{
    size_t failed = 0;

    open_bed(FR_METRIC_L2);
    expect();
    bed_set_budget(NOTHING);
    fit();
    for (uint64_t nth = 1; nth < 30; nth++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ), .nth = nth};
        struct fr_search_options how = {.postings = 6};
        struct answer answer;

        must(fr_sim_fault_add(bed.world.sim, &fault));
        for (size_t i = 0; i < QUERIES; i++) {
            fr_status st =
                    fr_spfresh_search(bed.index, &how, queries[i], K, answer.hits, &answer.count);

            cr_assert(st == FR_OK || st == FR_ERR_IO);
            failed += st < 0;
        }
        fr_sim_fault_clear(bed.world.sim);
        check_answers();
    }
    cr_assert_gt(failed, 10);
    bed_check_all();
    bed_close();
}

Test(index_cold, what_cannot_be_written_stays_in_memory)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_WRITE), .nth = 1};

    open_bed(FR_METRIC_L2);
    expect();
    bed_set_budget(NOTHING);
    must(fr_sim_fault_add(bed.world.sim, &fault));
    fit();
    fr_sim_fault_clear(bed.world.sim);
    check_cold(false);
    check_answers();
    bed_put(64);
    bed_check_all();
    bed_close();
}

/* ---- Side by side ---- */

static _Atomic(bool) over;

static void search_main(void *arg)
{
    (void)arg;
    for (size_t i = 0; !atomic_load(&over); i++) {
        struct answer answer;

        ask(i % QUERIES, &answer);
        FR_ASSERT(answer.count == K);
        for (size_t n = 1; n < K; n++)
            FR_ASSERT(answer.hits[n - 1].distance <= answer.hits[n].distance);
    }
}

static void fit_main(void *arg)
{
    (void)arg;
    for (size_t i = 0; !atomic_load(&over); i++) {
        bed_set_budget(i % 2 == 0 ? NOTHING : PLENTY);
        fit();
    }
}

Test(index_cold, searches_go_on_while_codes_come_and_go_and_vectors_are_written)
{
    struct fr_thread threads[3];

    open_bed(FR_METRIC_L2);
    atomic_store(&over, false);
    must(fr_thread_start(&threads[0], "search", search_main, NULL));
    must(fr_thread_start(&threads[1], "search", search_main, NULL));
    must(fr_thread_start(&threads[2], "fit", fit_main, NULL));
    for (int round = 0; round < 60; round++) {
        bed_put(64);
        bed_delete_of(0, IDS / 4, 16);
        if (round % 4 == 0) bed_maintain();
    }
    atomic_store(&over, true);
    for (int i = 0; i < 3; i++)
        fr_thread_join(&threads[i]);
    bed_maintain();
    bed_check_all();
    bed_check_vectors();
    bed_close();
}
