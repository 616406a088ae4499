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

/* Many ties, few, sorted and backwards: what partitions trip over. */
static void fill(struct fr_found *found, size_t size, uint64_t kind)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t value = kind == 0   ? fr_rng_below(&rng, 3)
                         : kind == 1 ? fr_rng_below(&rng, 1u << 20)
                         : kind == 2 ? i
                                     : size - i;
        found[i] = (struct fr_found){.distance = (float)value, .slot = (fr_slot)i};
    }
}

Test(select, the_nearest_come_first_in_order)
{
    static struct fr_found found[MOST], sorted[MOST];

    fr_rng_init(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        size_t size = fr_rng_below(&rng, MOST + 1), count = fr_rng_below(&rng, MOST + 1);

        fill(found, size, round % 4);
        memcpy(sorted, found, size * sizeof(found[0]));
        qsort(sorted, size, sizeof(sorted[0]), by_distance);
        size_t kept = fr_select_found(found, size, count);
        cr_assert_eq(kept, FR_MIN(size, count));
        for (size_t i = 0; i < kept; i++)
            cr_assert_eq(found[i].slot, sorted[i].slot);
    }
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

Test(select, the_least_bounds_come_first)
{
    static struct fr_wanted wanted[MOST];
    static struct fr_found found[MOST];
    static float sorted[MOST], chosen[MOST];

    fr_rng_init(&rng, 2);
    for (int round = 0; round < 3000; round++) {
        size_t size = fr_rng_below(&rng, MOST + 1), count = fr_rng_below(&rng, MOST + 1);

        fill(found, size, round % 4);
        for (size_t i = 0; i < size; i++)
            wanted[i].bound = sorted[i] = found[i].distance;
        qsort(sorted, size, sizeof(sorted[0]), by_float);
        size_t kept = fr_select_wanted(wanted, size, count);
        cr_assert_eq(kept, FR_MIN(size, count));
        for (size_t i = 0; i < kept; i++)
            chosen[i] = wanted[i].bound;
        qsort(chosen, kept, sizeof(chosen[0]), by_float);
        cr_assert_arr_eq(chosen, sorted, kept * sizeof(float));
        fr_sort_wanted(wanted, size);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(wanted[i].bound, sorted[i]);
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
