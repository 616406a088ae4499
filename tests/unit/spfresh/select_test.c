#include "spfresh/select.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/rng.h"

#define MOST 700

static struct fr_rng rng;

static int by_distance(const void *a, const void *b)
{
    const struct fr_found *x = a, *y = b;

    if (x->distance != y->distance) return x->distance > y->distance ? 1 : -1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

#define KINDS 6

/*
 * Many ties, few, sorted and backwards: what partitions trip over. One far from all others, and so
 * near to zero that no scale is finite: what buckets do.
 */
static void fill(struct fr_found *found, size_t size, uint64_t kind)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t value = kind == 0   ? fr_rng_below(&rng, 3)
                         : kind == 1 ? fr_rng_below(&rng, 1u << 20)
                         : kind == 2 ? i
                                     : size - i;
        float distance = kind == 4   ? (i == size / 2 ? 1e9f : (float)value)
                         : kind == 5 ? (float)value * 1e-42f
                                     : (float)value;
        found[i] = (struct fr_found){.distance = distance, .slot = (fr_slot)i};
    }
}

Test(select, the_nearest_come_first_in_order)
{
    static struct fr_found found[MOST], sorted[MOST], scratch[MOST];

    fr_rng_init(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        size_t size = fr_rng_below(&rng, MOST + 1), count = fr_rng_below(&rng, MOST + 1);

        fill(found, size, round % KINDS);
        memcpy(sorted, found, size * sizeof(found[0]));
        qsort(sorted, size, sizeof(sorted[0]), by_distance);
        size_t kept = fr_select_found(found, size, count, scratch);
        cr_assert_eq(kept, FR_MIN(size, count));
        for (size_t i = 0; i < kept; i++)
            cr_assert_eq(found[i].slot, sorted[i].slot);
        /* None is lost. */
        qsort(found, size, sizeof(found[0]), by_distance);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(found[i].slot, sorted[i].slot);
    }
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

Test(select, a_limit_lets_through_as_many_as_are_wanted)
{
    static struct fr_found found[MOST];
    static float values[MOST], sorted[MOST];
    const struct fr_kernels *kernels = fr_kernels_get();

    fr_rng_init(&rng, 2);
    for (int round = 0; round < 3000; round++) {
        size_t size = 1 + fr_rng_below(&rng, MOST), count = 1 + fr_rng_below(&rng, size);
        size_t most = count + fr_rng_below(&rng, 10);

        fill(found, size, round % KINDS);
        for (size_t i = 0; i < size; i++)
            values[i] = sorted[i] = found[i].distance - (round % 2 == 0 ? 0 : 300);
        qsort(sorted, size, sizeof(sorted[0]), by_float);
        float limit = fr_select_limit(kernels, values, size, count, most);
        size_t within = kernels->count_within(values, size, limit);
        cr_assert_geq(within, count);
        /* Or there are ties: without the last value there are too few. */
        if (within > most) cr_assert_eq(limit, sorted[count - 1]);
    }
}

Test(select, a_heap_keeps_the_least)
{
    float heap[20], sorted[300];

    fr_rng_init(&rng, 3);
    for (size_t k = 0; k <= 20; k++) {
        size_t count = 0;

        for (size_t i = 0; i < 300; i++) {
            sorted[i] = (float)fr_rng_below(&rng, 1000);
            fr_heap_push(heap, &count, k, sorted[i]);
        }
        qsort(sorted, 300, sizeof(sorted[0]), by_float);
        cr_assert_eq(count, k);
        if (k > 0) cr_assert_eq(heap[0], sorted[k - 1]);
    }
}
