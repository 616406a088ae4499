#include "spfresh/tree.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/status.h"
#include "base/thread.h"
#include "spfresh/probe.h"
#include "spfresh/select.h"
#include "spfresh/tree_priv.h"

#define DIM 24
#define K   10

/* A tree, and what is in it by id. */
struct garden {
    struct fr_space space;
    struct fr_tree *tree;
    struct fr_rng rng;
    size_t capacity;
    fr_slot *slots; /* FR_SLOT_NONE: no such id */
    float *vectors;
};

#define must(call) cr_assert_eq(call, FR_OK, "%s", fr_last_error())

/* Small limits, so that few vectors make many tiers. */
static const struct fr_tree_options small = {
        .split_limit = 24, .merge_limit = 5, .inner_limit = 16, .neighbours = 24};

static void draw_vector(struct garden *garden, float *x)
{
    size_t cluster = fr_rng_below(&garden->rng, 20);

    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&garden->rng);
}

/* In place: the tree keeps the address of the space. */
static void garden_init(struct garden *garden, size_t capacity,
        const struct fr_tree_options *options)
{
    float sample[100][DIM];

    *garden = (struct garden){.capacity = capacity};
    fr_rng_init(&garden->rng, capacity);
    for (size_t i = 0; i < 100; i++)
        draw_vector(garden, sample[i]);
    must(fr_space_init(&garden->space, FR_METRIC_L2, DIM, 1));
    must(fr_space_calibrate(&garden->space, &sample[0][0], 100, 0));
    must(fr_tree_new(&garden->space, options, &garden->tree));
    garden->slots = fr_alloc(capacity * sizeof(fr_slot));
    garden->vectors = fr_alloc_zeroed(capacity, DIM * sizeof(float));
    for (size_t i = 0; i < capacity; i++)
        garden->slots[i] = FR_SLOT_NONE;
}

static void garden_deinit(struct garden *garden)
{
    fr_tree_free(garden->tree);
    fr_space_deinit(&garden->space);
    fr_free(garden->slots);
    fr_free(garden->vectors);
}

static void garden_put(struct garden *garden, size_t id)
{
    float *x = garden->vectors + id * DIM;
    fr_slot before = garden->slots[id];

    must(fr_tree_add(garden->tree, id, x, before, &garden->slots[id]));
}

static void garden_remove(struct garden *garden, size_t id)
{
    if (garden->slots[id] == FR_SLOT_NONE) return;
    must(fr_tree_remove(garden->tree, garden->slots[id]));
    garden->slots[id] = FR_SLOT_NONE;
}

/* It comes to rest, and soon. */
static void maintain(struct garden *garden)
{
    const struct fr_tree_stats *stats = &garden->tree->stats;
    size_t left;

    must(fr_tree_maintain(garden->tree, 10000, &left));
    cr_assert_eq(left, 0, "splits %llu, dissolved %llu, refreshed %llu, compacted %llu",
            (unsigned long long)stats->splits, (unsigned long long)stats->dissolved,
            (unsigned long long)stats->refreshed, (unsigned long long)stats->compacted);
    must(fr_tree_check(garden->tree));
}

/* Entries that rows have left behind, and the most that may stay: a 32nd of each posting. */
static size_t count_left_behind(const struct garden *garden, size_t *ret_allowed)
{
    size_t left = 0;

    *ret_allowed = 0;
    for (uint32_t tier = 1; tier < garden->tree->tier_count; tier++)
        for (fr_slot slot = 0; slot < garden->tree->tiers[tier].slot_count; slot++) {
            const struct fr_node *node = fr_tree_node(garden->tree, tier, slot);

            if (node == NULL) continue;
            left += fr_node_listed(node) - node->live;
            *ret_allowed += node->live / 32;
        }
    return left;
}

static void tidy(struct garden *garden)
{
    size_t left;

    for (int calls = 0; calls < 1000; calls++) {
        must(fr_tree_tidy(garden->tree, 7, &left));
        if (left == 0) break;
    }
    cr_assert_eq(left, 0, "it does not come to rest");
    cr_assert_not(fr_tree_is_untidy(garden->tree));
    must(fr_tree_check(garden->tree));
}

static size_t search(struct garden *garden, struct fr_probe *probe, const float *x, size_t k,
        const struct fr_effort *effort, struct fr_found *found)
{
    float query[64];
    size_t count;

    unsigned reader = fr_epoch_enter(&garden->tree->epoch);
    fr_space_map_query(&garden->space, x, query);
    fr_probe_aim(probe, query);
    must(fr_probe_search(probe, effort, k, found, &count));
    fr_epoch_leave(&garden->tree->epoch, reader);
    return count;
}

static const struct fr_effort all = {.postings = 1000000, .width = 1000000, .slack = 100};
static const struct fr_effort usual = {.postings = 24, .width = 12, .slack = 2};

/* All that is there is found by a search for all, once each, and nothing else. */
static void check_all_found(struct garden *garden)
{
    struct fr_probe *probe;
    size_t alive = 0, count;
    uint8_t *seen = fr_alloc_zeroed(garden->capacity, 1);
    struct fr_found *found = fr_alloc((garden->capacity + 1) * sizeof(*found));

    must(fr_probe_new(garden->tree, &probe));
    for (size_t id = 0; id < garden->capacity; id++)
        alive += garden->slots[id] != FR_SLOT_NONE;
    count = search(garden, probe, garden->vectors, garden->capacity + 1, &all, found);
    cr_assert_eq(count, alive);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = fr_rows_row(&garden->tree->tiers[0], found[i].slot)->id;

        cr_assert_lt(id, garden->capacity);
        cr_assert_eq(garden->slots[id], found[i].slot);
        cr_assert_not(seen[id]);
        seen[id] = 1;
        if (i > 0) cr_assert_geq(found[i].distance, found[i - 1].distance);
    }
    fr_probe_free(probe);
    fr_free(found);
    fr_free(seen);
}

/* The part of the true nearest that such searches find. */
static double recall_of(struct garden *garden, const struct fr_effort *effort)
{
    struct fr_probe *probe;
    size_t hits = 0, queries = 100;
    float *distances = fr_alloc(garden->capacity * sizeof(float));

    must(fr_probe_new(garden->tree, &probe));
    for (size_t q = 0; q < queries; q++) {
        struct fr_found found[K];
        float x[DIM];
        float heap[K] = {0};
        size_t kept = 0;

        draw_vector(garden, x);
        for (size_t id = 0; id < garden->capacity; id++) {
            distances[id] = INFINITY;
            if (garden->slots[id] == FR_SLOT_NONE) continue;
            distances[id] = fr_kernels_get()->l2(x, garden->vectors + id * DIM, DIM);
            fr_heap_push(heap, &kept, K, distances[id]);
        }
        size_t count = search(garden, probe, x, K, effort, found);
        for (size_t i = 0; i < count; i++)
            hits += distances[fr_rows_row(&garden->tree->tiers[0], found[i].slot)->id] <=
                    heap[0] * 1.001f;
    }
    fr_probe_free(probe);
    fr_free(distances);
    return (double)hits / (double)(queries * K);
}

static double recall(struct garden *garden)
{
    return recall_of(garden, &usual);
}

/* Neither the one that it was replaced by, nor the one that this was replaced by. */
Test(tree, a_search_finds_each_id_as_it_was_when_it_began_and_once)
{
    struct garden garden;
    struct fr_probe *probe;
    struct fr_found found[4];
    float query[64];
    fr_slot first;
    size_t count;

    garden_init(&garden, 2, NULL);
    draw_vector(&garden, garden.vectors);
    garden_put(&garden, 0);
    first = garden.slots[0];
    must(fr_probe_new(garden.tree, &probe));
    fr_space_map_query(&garden.space, garden.vectors, query);
    unsigned reader = fr_epoch_enter(&garden.tree->epoch);
    fr_probe_aim(probe, query);
    garden_put(&garden, 0);
    garden_put(&garden, 0);
    garden_put(&garden, 1);
    garden_remove(&garden, 1);
    must(fr_probe_search(probe, &all, 4, found, &count));
    cr_assert_eq(count, 1);
    cr_assert_eq(found[0].slot, first);
    fr_probe_aim(probe, query);
    must(fr_probe_search(probe, &all, 4, found, &count));
    cr_assert_eq(count, 1);
    cr_assert_eq(found[0].slot, garden.slots[0]);
    fr_epoch_leave(&garden.tree->epoch, reader);
    fr_probe_free(probe);
    garden_deinit(&garden);
}

Test(tree, an_empty_one_finds_nothing)
{
    struct garden garden;

    garden_init(&garden, 1, NULL);
    check_all_found(&garden);
    maintain(&garden);
    garden_deinit(&garden);
}

Test(tree, one_and_two_vectors_are_found)
{
    struct garden garden;

    garden_init(&garden, 2, NULL);
    for (size_t id = 0; id < 2; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        garden_put(&garden, id);
        check_all_found(&garden);
    }
    garden_remove(&garden, 0);
    check_all_found(&garden);
    garden_remove(&garden, 1);
    check_all_found(&garden);
    maintain(&garden);
    garden_deinit(&garden);
}

Test(tree, grows_tiers_and_finds_all_at_each_size)
{
    struct garden garden;

    garden_init(&garden, 5000, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        garden_put(&garden, id);
        if (id % 50 == 0) maintain(&garden);
        if (id % 1000 == 0) check_all_found(&garden);
    }
    maintain(&garden);
    cr_assert_gt(garden.tree->tier_count, 2);
    check_all_found(&garden);
    cr_assert_gt(recall(&garden), 0.95);
    garden_deinit(&garden);
}

Test(tree, updates_and_removals_leave_no_trace)
{
    struct garden garden;

    garden_init(&garden, 1500, &small);
    for (int step = 0; step < 8000; step++) {
        size_t id = fr_rng_below(&garden.rng, garden.capacity);

        if (fr_rng_one_in(&garden.rng, 3)) {
            garden_remove(&garden, id);
        } else {
            draw_vector(&garden, garden.vectors + id * DIM);
            garden_put(&garden, id);
        }
        if (step % 100 == 0) maintain(&garden);
        if (step % 300 == 0) tidy(&garden);
        if (step % 2000 == 0) check_all_found(&garden);
    }
    maintain(&garden);
    check_all_found(&garden);
    cr_assert_gt(recall(&garden), 0.95);
    cr_assert_gt(garden.tree->stats.dissolved, 0);
    cr_assert_gt(garden.tree->stats.compacted, 0);
    garden_deinit(&garden);
}

Test(tree, removing_all_and_filling_again_works)
{
    struct garden garden;

    garden_init(&garden, 2000, &small);
    for (int round = 0; round < 2; round++) {
        for (size_t id = 0; id < garden.capacity; id++) {
            draw_vector(&garden, garden.vectors + id * DIM);
            garden_put(&garden, id);
            if (id % 64 == 0) maintain(&garden);
        }
        check_all_found(&garden);
        for (size_t id = 0; id < garden.capacity; id++) {
            garden_remove(&garden, id);
            if (id % 64 == 0) maintain(&garden);
        }
        maintain(&garden);
        check_all_found(&garden);
        cr_assert_lt(garden.tree->tiers[1].live_count, 20, "%zu", garden.tree->tiers[1].live_count);
    }
    garden_deinit(&garden);
}

/* A posting that cannot be split is left, and looked at again only when it has doubled. */
Test(tree, a_thousand_of_the_same_vector_neither_loop_nor_vanish)
{
    struct garden garden;

    garden_init(&garden, 1000, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        for (size_t i = 0; i < DIM; i++)
            garden.vectors[id * DIM + i] = 5;
        garden_put(&garden, id);
        maintain(&garden);
    }
    cr_assert_lt(garden.tree->stats.split_failures, 20);
    check_all_found(&garden);
    for (size_t id = 0; id < 500; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        garden_put(&garden, id);
        maintain(&garden);
    }
    check_all_found(&garden);
    garden_deinit(&garden);
}

Test(tree, data_that_comes_cluster_by_cluster_is_found_as_well)
{
    struct garden garden;

    garden_init(&garden, 3000, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        size_t cluster = id / 300;

        for (size_t i = 0; i < DIM; i++)
            garden.vectors[id * DIM + i] =
                    (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&garden.rng);
        garden_put(&garden, id);
        if (id % 20 == 0) maintain(&garden);
    }
    maintain(&garden);
    check_all_found(&garden);
    cr_assert_gt(recall(&garden), 0.95);
    garden_deinit(&garden);
}

Test(tree, refreshing_keeps_all_and_comes_to_rest)
{
    struct garden garden;
    uint64_t moved = 0;

    garden_init(&garden, 2500, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        garden_put(&garden, id);
        if (id % 50 == 0) maintain(&garden);
    }
    for (int round = 0; round < 6; round++) {
        uint64_t before = garden.tree->stats.moved;

        must(fr_tree_refresh(garden.tree, garden.tree->tiers[1].live_count));
        maintain(&garden);
        moved = garden.tree->stats.moved - before;
    }
    cr_assert_lt(moved, garden.capacity / 20, "%llu", (unsigned long long)moved);
    check_all_found(&garden);
    garden_deinit(&garden);
}

static void fill_maintained(struct garden *garden)
{
    for (size_t id = 0; id < garden->capacity; id++) {
        draw_vector(garden, garden->vectors + id * DIM);
        garden_put(garden, id);
        if (id % 50 == 0) maintain(garden);
    }
    maintain(garden);
}

/* So that no entry comes while others are dropped. */
static const struct fr_tree_options once = {.copies = FR_COPIES_NONE};

Test(tree, tidying_drops_what_rows_have_left_behind)
{
    struct garden garden;
    size_t allowed;

    garden_init(&garden, 2500, &once);
    fill_maintained(&garden);
    /* Too few of each posting for it to be compacted. */
    for (size_t id = 0; id < garden.capacity; id += 12)
        garden_remove(&garden, id);
    maintain(&garden);
    cr_assert(fr_tree_is_untidy(garden.tree));
    size_t before = count_left_behind(&garden, &allowed), bytes = fr_tree_bytes(garden.tree);
    cr_assert_gt(before, 2 * allowed + 32, "%zu are left, so this tries nothing", before);
    tidy(&garden);
    cr_assert_leq(count_left_behind(&garden, &allowed), allowed, "before it was %zu", before);
    cr_assert_leq(fr_tree_bytes(garden.tree), bytes);
    check_all_found(&garden);
    garden_deinit(&garden);
}

/* ---- Listed twice ---- */

static const struct fr_effort few = {.postings = 2, .width = 12, .slack = 2};

static double recall_with(struct garden *garden, const struct fr_effort *effort)
{
    fr_rng_init(&garden->rng, 99);
    return recall_of(garden, effort);
}

Test(tree, vectors_that_are_listed_twice_are_found_with_fewer_postings_and_once)
{
    struct fr_tree_options options = fr_tree_options_default();
    double found[2];

    options.split_limit = 24;
    for (int half = 0; half < 2; half++) {
        struct garden garden;

        options.copies = half ? 50 : FR_COPIES_NONE;
        garden_init(&garden, 2500, &options);
        fill_maintained(&garden);
        cr_assert_eq(fr_tree_copied(garden.tree), 0); /* that is for when it is at rest */
        tidy(&garden);
        size_t copied = fr_tree_copied(garden.tree);
        if (half)
            cr_assert(copied > garden.capacity * 2 / 5 && copied <= garden.capacity / 2,
                    "%zu are listed twice", copied);
        else
            cr_assert_eq(copied, 0);
        found[half] = recall_with(&garden, &few);
        check_all_found(&garden);
        garden_deinit(&garden);
    }
    cr_assert_gt(found[1], found[0] + 0.05, "%.3f with, %.3f without", found[1], found[0]);
}

Test(tree, second_listings_end_with_their_vectors_and_their_postings)
{
    struct garden garden;

    garden_init(&garden, 2500, &small);
    fill_maintained(&garden);
    tidy(&garden);
    size_t before = fr_tree_copied(garden.tree);
    for (size_t id = 0; id < garden.capacity; id += 2)
        garden_remove(&garden, id);
    must(fr_tree_check(garden.tree));
    cr_assert_lt(fr_tree_copied(garden.tree), before * 2 / 3);
    check_all_found(&garden);
    maintain(&garden); /* postings are dissolved */
    check_all_found(&garden);
    for (size_t id = 0; id < garden.capacity; id += 2)
        garden_put(&garden, id);
    maintain(&garden); /* and split */
    check_all_found(&garden);
    must(fr_tree_refresh(garden.tree, 2 * garden.tree->tiers[1].live_count));
    maintain(&garden);
    tidy(&garden);
    check_all_found(&garden);
    cr_assert_gt(fr_tree_copied(garden.tree), before * 4 / 5);
    garden_deinit(&garden);
}

/* All of them are equally far from any query: what was found before is not the last that was. */
Test(tree, vectors_that_are_alike_are_found_once_each_though_listed_twice)
{
    struct garden garden;

    garden_init(&garden, 1200, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        if (id < 12)
            draw_vector(&garden, garden.vectors + id * DIM);
        else
            memcpy(garden.vectors + id * DIM, garden.vectors + id % 12 * DIM, DIM * sizeof(float));
        garden_put(&garden, id);
        if (id % 100 == 0) {
            maintain(&garden);
            tidy(&garden);
            check_all_found(&garden);
        }
    }
    maintain(&garden);
    tidy(&garden);
    check_all_found(&garden);
    garden_deinit(&garden);
}

Test(tree, one_that_is_tidy_is_left_alone_until_enough_has_changed)
{
    struct garden garden;
    size_t left;

    garden_init(&garden, 2500, &small);
    fill_maintained(&garden);
    tidy(&garden);
    uint64_t compacted = garden.tree->stats.compacted;
    /* Fewer than it is worth. Each may have its posting dissolved, or compacted, by maintenance. */
    for (size_t id = 0; id < 20; id++)
        garden_remove(&garden, id * 100);
    cr_assert_not(fr_tree_is_untidy(garden.tree));
    must(fr_tree_tidy(garden.tree, SIZE_MAX, &left));
    cr_assert_eq(left, 0);
    cr_assert_eq(garden.tree->stats.compacted, compacted);
    for (size_t id = 0; id < garden.capacity; id += 5)
        garden_remove(&garden, id);
    maintain(&garden);
    tidy(&garden);
    cr_assert_gt(garden.tree->stats.compacted, compacted);
    check_all_found(&garden);
    garden_deinit(&garden);
}

Test(tree, the_same_history_builds_the_same_tree)
{
    struct fr_tree_stats stats[2];

    for (int i = 0; i < 2; i++) {
        struct garden garden;

        garden_init(&garden, 3000, &small);
        for (size_t id = 0; id < garden.capacity; id++) {
            draw_vector(&garden, garden.vectors + id * DIM);
            garden_put(&garden, id);
            if (id % 7 == 0) garden_remove(&garden, id / 2);
            if (id % 50 == 0) maintain(&garden);
            if (id % 200 == 0) tidy(&garden);
        }
        stats[i] = garden.tree->stats;
        garden_deinit(&garden);
    }
    cr_assert_arr_eq(&stats[0], &stats[1], sizeof(stats[0]));
}

/*
 * Beside a writer: ids below STEADY are never touched, so each search for one of their vectors
 * finds it. Others come, change and go; none is answered twice.
 */
#define STEADY   500
#define SEARCHES 1000

static void search_on(void *arg)
{
    struct garden *garden = arg;
    struct fr_probe *probe;
    struct fr_rng rng;

    fr_rng_init(&rng, 99);
    must(fr_probe_new(garden->tree, &probe));
    for (int i = 0; i < SEARCHES; i++) {
        size_t id = fr_rng_below(&rng, STEADY);
        struct fr_found found[K];
        bool seen = false;

        unsigned reader = fr_epoch_enter(&garden->tree->epoch);
        size_t count = search(garden, probe, garden->vectors + id * DIM, K, &usual, found);
        for (size_t a = 0; a < count; a++) {
            uint64_t one = fr_rows_row(&garden->tree->tiers[0], found[a].slot)->id;
            seen |= one == id;
            for (size_t b = 0; b < a; b++)
                cr_assert_neq(one, fr_rows_row(&garden->tree->tiers[0], found[b].slot)->id);
        }
        fr_epoch_leave(&garden->tree->epoch, reader);
        cr_assert(seen, "search %d lost id %zu", i, id);
    }
    fr_probe_free(probe);
}

Test(tree, searches_beside_a_writer_miss_nothing_and_see_nothing_twice)
{
    struct garden garden;
    struct fr_thread threads[2];
    size_t left;

    garden_init(&garden, 2000, &small);
    for (size_t id = 0; id < STEADY; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        garden_put(&garden, id);
    }
    maintain(&garden);
    for (int i = 0; i < 2; i++)
        must(fr_thread_start(&threads[i], "searcher", search_on, &garden));
    for (int step = 0; step < 5000; step++) {
        size_t id = STEADY + fr_rng_below(&garden.rng, garden.capacity - STEADY);

        if (fr_rng_one_in(&garden.rng, 3)) {
            garden_remove(&garden, id);
        } else {
            draw_vector(&garden, garden.vectors + id * DIM);
            garden_put(&garden, id);
        }
        if (step % 20 == 0) must(fr_tree_maintain(garden.tree, SIZE_MAX, &left));
        if (step % 10 == 0) must(fr_tree_tidy(garden.tree, 20, &left));
    }
    for (int i = 0; i < 2; i++)
        fr_thread_join(&threads[i]);
    maintain(&garden);
    check_all_found(&garden);
    garden_deinit(&garden);
}

/* Whatever allocation fails, what was answered stays true and the next try goes on. */
Test(tree, failing_allocations_lose_nothing)
{
    struct garden garden;
    size_t left;

    garden_init(&garden, 1500, &small);
    for (size_t id = 0; id < garden.capacity; id++) {
        draw_vector(&garden, garden.vectors + id * DIM);
        fr_alloc_fail_at(1 + fr_rng_below(&garden.rng, 6), false);
        fr_status st = fr_tree_add(garden.tree, id, garden.vectors + id * DIM, FR_SLOT_NONE,
                &garden.slots[id]);
        if (st != FR_OK) {
            cr_assert_eq(st, FR_ERR_NOMEM);
            garden.slots[id] = FR_SLOT_NONE;
        }
        st = fr_tree_maintain(garden.tree, 10, &left);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        if (st == FR_OK) st = fr_tree_tidy(garden.tree, 10, &left);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        fr_alloc_fail_at(0, false);
    }
    must(fr_tree_check(garden.tree));
    check_all_found(&garden);
    garden_deinit(&garden);
}
