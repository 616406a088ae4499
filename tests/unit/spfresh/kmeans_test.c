#include "spfresh/kmeans.h"

#include <criterion/criterion.h>

#include "base/rng.h"

#define DIMS  32
#define COUNT 200

static float vectors[COUNT][DIMS], centroids[8][DIMS], scratch[COUNT];
static uint32_t groups[COUNT];
static struct fr_rng rng;

/* Vectors around so many points, the n-th around point n modulo their number. */
static void fill(size_t points)
{
    fr_rng_init(&rng, points);
    for (size_t n = 0; n < COUNT; n++)
        for (size_t i = 0; i < DIMS; i++)
            vectors[n][i] = (i == n % points ? 100.0f : 0) + (float)fr_rng_double(&rng);
}

static size_t group(size_t k, uint64_t seed)
{
    return fr_kmeans(fr_kernels_get(), &vectors[0][0], COUNT, DIMS, k, seed, scratch,
            &centroids[0][0], groups);
}

Test(kmeans, finds_groups_that_are_there)
{
    for (size_t k = 2; k <= 3; k++) {
        fill(k);
        cr_assert_eq(group(k, 1), k);
        for (size_t n = k; n < COUNT; n++)
            cr_assert_eq(groups[n], groups[n - k]);
        cr_assert_neq(groups[0], groups[1]);
    }
}

Test(kmeans, no_group_is_empty_and_centroids_are_means)
{
    fill(5);
    for (uint64_t seed = 0; seed < 50; seed++) {
        size_t k = group(8, seed), sizes[8] = {0};

        for (size_t n = 0; n < COUNT; n++)
            sizes[groups[n]]++;
        for (size_t i = 0; i < k; i++)
            cr_assert(sizes[i] > 0);
    }
}

Test(kmeans, of_two_groups_neither_is_tiny)
{
    fr_rng_init(&rng, 4);
    for (size_t n = 0; n < COUNT; n++)
        for (size_t i = 0; i < DIMS; i++)
            vectors[n][i] = (float)fr_rng_double(&rng) + (n == 7 ? 1000.0f : 0);
    cr_assert_eq(group(2, 1), 2);
    size_t ones = 0;
    for (size_t n = 0; n < COUNT; n++)
        ones += groups[n];
    cr_assert(ones >= COUNT / 5 && ones <= COUNT - COUNT / 5, "%zu", ones);
}

Test(kmeans, what_is_all_alike_is_one_group)
{
    for (size_t n = 0; n < COUNT; n++)
        for (size_t i = 0; i < DIMS; i++)
            vectors[n][i] = 3;
    cr_assert_eq(group(4, 1), 1);
    vectors[COUNT - 1][0] = 4;
    cr_assert_eq(group(2, 1), 2);
}

Test(kmeans, the_same_seed_has_the_same_outcome)
{
    static uint32_t before[COUNT];

    fill(6);
    size_t k = group(4, 9);
    memcpy(before, groups, sizeof(groups));
    cr_assert_eq(group(4, 9), k);
    cr_assert_arr_eq(before, groups, sizeof(groups));
}
