/* Trees that are made of many vectors at once: what is in them, and how well it is found. */
#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/status.h"
#include "spfresh/probe.h"
#include "spfresh/tree_priv.h"

#define DIM       24
#define K         10
#define COUNT_MAX 20000

#define must(call) cr_assert_eq(call, FR_OK, "%s", fr_last_error())

static const struct fr_tree_options small = {
        .split_limit = 24, .merge_limit = 5, .inner_limit = 16, .neighbours = 24};

static float vectors[COUNT_MAX][DIM];
static struct fr_space space;
static struct fr_tree *tree;

static void draw_clusters(size_t count, uint64_t seed)
{
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    for (size_t n = 0; n < count; n++) {
        size_t cluster = fr_rng_below(&rng, 40);

        for (size_t i = 0; i < DIM; i++)
            vectors[n][i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&rng);
    }
}

static void take_and_fill(size_t from, size_t count)
{
    float *x = fr_alloc_aligned(space.dims * sizeof(float), 64);
    fr_slot slots[32];

    must(fr_tree_bulk_take(tree, count, slots));
    for (size_t i = 0; i < count; i++) {
        fr_space_map_row(&space, vectors[from + i], x);
        fr_tree_bulk_fill(tree, slots[i], from + i, x);
    }
    fr_free(x);
}

/* A tree of the first so many, by so many threads. */
static fr_status build(size_t count, size_t threads, const struct fr_tree_options *options,
        const _Atomic(bool) *stop)
{
    must(fr_space_init(&space, FR_METRIC_L2, DIM, 1));
    must(fr_space_calibrate(&space, vectors[0], FR_MIN(count + 1, (size_t)1000), 0));
    must(fr_tree_new(&space, options, &tree));
    for (size_t from = 0; from < count; from += 32)
        take_and_fill(from, FR_MIN(count - from, (size_t)32));
    return fr_tree_bulk_end(tree, threads, stop);
}

static void drop(void)
{
    fr_tree_free(tree);
    fr_space_deinit(&space);
    tree = NULL;
}

static size_t search(const float *x, size_t k, size_t postings, struct fr_found *found)
{
    struct fr_effort effort = {.postings = postings, .width = postings, .slack = 3};
    struct fr_probe *probe;
    float query[64];
    size_t count;

    must(fr_probe_new(tree, &probe));
    unsigned reader = fr_epoch_enter(&tree->epoch);
    fr_space_map_query(&space, x, query);
    fr_probe_aim(probe, query);
    must(fr_probe_search(probe, &effort, k, found, &count));
    fr_epoch_leave(&tree->epoch, reader);
    fr_probe_free(probe);
    return count;
}

/* Each id is in it once. */
static void check_all_there(size_t count)
{
    struct fr_found *found = fr_alloc((count + 1) * sizeof(*found));
    bool *seen = fr_alloc_zeroed(count + 1, sizeof(*seen));

    must(fr_tree_check(tree));
    cr_assert_eq(fr_tree_vectors(tree), count);
    cr_assert_eq(search(vectors[0], count + 1, 1000000, found), count);
    for (size_t i = 0; i < count; i++) {
        uint64_t id = fr_rows_row(&tree->tiers[0], found[i].slot)->id;

        cr_assert_lt(id, count);
        cr_assert_not(seen[id]);
        seen[id] = true;
    }
    fr_free(found);
    fr_free(seen);
}

Test(tree_bulk, has_each_vector_once_whatever_their_number)
{
    static const size_t counts[] = {0, 1, 2, 5, 24, 25, 49, 100, 1000, 5000};

    draw_clusters(5000, 1);
    for (size_t i = 0; i < 10; i++)
        for (size_t threads = 1; threads <= 3; threads += 2) {
            must(build(counts[i], threads, &small, NULL));
            check_all_there(counts[i]);
            cr_assert_eq(fr_tree_pending(tree), 0);
            drop();
        }
}

Test(tree_bulk, postings_are_neither_large_nor_small)
{
    size_t large = 0, small_ones = 0;

    draw_clusters(COUNT_MAX, 2);
    must(build(COUNT_MAX, 2, NULL, NULL));
    for (fr_slot slot = 0; slot < tree->tiers[1].slot_count; slot++) {
        const struct fr_node *node = fr_tree_node(tree, 1, slot);

        if (node == NULL) continue;
        large += node->live > fr_node_most(&tree->options, 1);
        small_ones += node->live < fr_node_least(&tree->options, 1);
    }
    cr_assert_eq(large, 0);
    cr_assert_leq(small_ones, tree->tiers[1].live_count / 50); /* none had room for theirs */
    cr_assert_gt(tree->tiers[1].live_count, COUNT_MAX / 96);
    cr_assert_lt(tree->tiers[1].live_count, COUNT_MAX / 55);
    drop();
}

/* Of the ten nearest, by looking at all. */
static size_t count_right(const float *x, const struct fr_found *found, size_t count)
{
    float worst = 0;
    size_t nearer = 0;

    for (size_t i = 0; i < count; i++) {
        uint64_t id = fr_rows_row(&tree->tiers[0], found[i].slot)->id;

        worst = fmaxf(worst, space.kernels->l2(x, vectors[id], DIM));
    }
    for (size_t n = 0; n < COUNT_MAX; n++)
        nearer += space.kernels->l2(x, vectors[n], DIM) < worst;
    return nearer < K ? K : 2 * K > nearer ? 2 * K - nearer : 0;
}

static double recall(size_t postings)
{
    struct fr_found found[K];
    size_t right = 0;

    for (size_t n = 0; n < 200; n++) {
        size_t count = search(vectors[n * 97], K, postings, found);

        right += count_right(vectors[n * 97], found, count);
    }
    return (double)right / (200.0 * K);
}

static void build_one_by_one(void)
{
    fr_slot slot;
    size_t left;

    must(fr_space_init(&space, FR_METRIC_L2, DIM, 1));
    must(fr_space_calibrate(&space, vectors[0], 1000, 0));
    must(fr_tree_new(&space, NULL, &tree));
    for (size_t n = 0; n < COUNT_MAX; n++) {
        must(fr_tree_add(tree, n, vectors[n], FR_SLOT_NONE, &slot));
        must(fr_tree_maintain(tree, 4, &left));
    }
    must(fr_tree_maintain(tree, SIZE_MAX, &left));
}

Test(tree_bulk, finds_what_one_finds_that_was_filled_one_by_one)
{
    draw_clusters(COUNT_MAX, 3);
    build_one_by_one();
    double before = recall(4);
    drop();
    must(build(COUNT_MAX, 1, NULL, NULL)); /* the same each time */
    double after = recall(4);
    drop();
    cr_assert_gt(before, 0.5);
    cr_assert_geq(after, before - 0.02, "%.4f, and %.4f one by one", after, before);
}

Test(tree_bulk, vectors_that_are_all_alike_are_one_posting)
{
    draw_clusters(1000, 4);
    for (size_t n = 1; n < 1000; n++)
        memcpy(vectors[n], vectors[0], sizeof(vectors[0]));
    must(build(1000, 2, &small, NULL));
    check_all_there(1000);
    cr_assert_eq(tree->tiers[1].live_count, 1);
    drop();
}

Test(tree_bulk, a_few_others_among_many_alike_do_not_matter)
{
    draw_clusters(5000, 5);
    for (size_t n = 0; n < 5000; n++)
        if (n % 700 != 3) memcpy(vectors[n], vectors[0], sizeof(vectors[0]));
    must(build(5000, 2, &small, NULL));
    check_all_there(5000);
    drop();
}

Test(tree_bulk, goes_on_as_a_tree_that_was_filled_one_by_one)
{
    fr_slot slot;
    size_t left;

    draw_clusters(6000, 6);
    must(build(3000, 2, &small, NULL));
    for (size_t n = 3000; n < 6000; n++) {
        must(fr_tree_add(tree, n, vectors[n], FR_SLOT_NONE, &slot));
        if (n % 16 == 0) must(fr_tree_maintain(tree, 4, &left));
    }
    must(fr_tree_maintain(tree, SIZE_MAX, &left));
    check_all_there(6000);
    drop();
}

Test(tree_bulk, one_thread_makes_the_same_tree_each_time)
{
    uint64_t sums[2] = {0};

    draw_clusters(3000, 7);
    for (int round = 0; round < 2; round++) {
        must(build(3000, 1, &small, NULL));
        for (fr_slot slot = 0; slot < 3000; slot++)
            sums[round] = sums[round] * 31 + fr_rows_row(&tree->tiers[0], slot)->node;
        drop();
    }
    cr_assert_eq(sums[0], sums[1]);
}

Test(tree_bulk, can_be_stopped)
{
    _Atomic(bool) stop = true;

    draw_clusters(1000, 8);
    cr_assert_eq(build(1000, 2, &small, &stop), FR_ERR_CANCELLED);
    drop();
}

/* Each allocation in turn. What is left of it is freed, and nothing else. */
Test(tree_bulk, without_memory_it_fails_as_a_whole)
{
    struct fr_alloc_stats before, after;
    bool hit = true;

    draw_clusters(400, 9);
    for (uint64_t n = 1; hit; n++) {
        fr_alloc_stats_get(&before);
        must(build(0, 1, &small, NULL));
        for (size_t from = 0; from < 400; from += 25)
            take_and_fill(from, 25);
        fr_alloc_fail_at(n, n % 2 == 0);
        fr_status st = fr_tree_bulk_end(tree, 1, NULL);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        if (st == FR_OK)
            check_all_there(400);
        else
            cr_assert_eq(st, FR_ERR_NOMEM);
        cr_assert(hit || st == FR_OK);
        drop();
        fr_alloc_stats_get(&after);
        cr_assert_eq(before.live_count, after.live_count);
    }
}
