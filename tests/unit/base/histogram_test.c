#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/histogram.h"
#include "base/rng.h"

static struct fr_histogram histogram;

Test(histogram, an_empty_one_answers_zero)
{
    fr_histogram_init(&histogram);
    cr_assert_eq(fr_histogram_percentile(&histogram, FR_P50), 0);
    cr_assert_eq(fr_histogram_percentile(&histogram, FR_P100), 0);
    cr_assert_eq(fr_histogram_min(&histogram), 0);
    cr_assert_eq(histogram.max, 0);
    cr_assert_eq(fr_histogram_mean(&histogram), 0.0);
}

/* Buckets are numbered without gaps, in the order of values, and none is wider than stated. */
Test(histogram, buckets_are_contiguous_and_narrow)
{
    unsigned before = 0;

    for (unsigned bit = 0; bit < 64; bit++) {
        for (uint64_t part = 0; part < 256; part++) {
            uint64_t value =
                    ((uint64_t)1 << bit) + (bit >= 8 ? part << (bit - 8) : part >> (8 - bit));
            unsigned bucket = fr_histogram_bucket(value);
            cr_assert(bucket == before || bucket == before + 1, "value %lu", value);
            before = bucket;
        }
    }
    cr_assert_eq(fr_histogram_bucket(0), 0);
    cr_assert_eq(fr_histogram_bucket(UINT64_MAX), FR_HISTOGRAM_BUCKETS - 1);
}

Test(histogram, values_below_128_are_exact)
{
    fr_histogram_init(&histogram);
    for (uint64_t value = 0; value < 100; value++)
        fr_histogram_record(&histogram, value);
    for (uint32_t percent = 1; percent <= 100; percent++)
        cr_assert_eq(fr_histogram_percentile(&histogram, percent * 10000), percent - 1);
    cr_assert_eq(fr_histogram_percentile(&histogram, 0), 0);
}

Test(histogram, one_value_is_every_percentile_exactly)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 1);
    for (int i = 0; i < 200; i++) {
        uint64_t value = fr_rng_next(&rng) >> fr_rng_below(&rng, 64);
        fr_histogram_init(&histogram);
        fr_histogram_record(&histogram, value);
        cr_assert_eq(fr_histogram_percentile(&histogram, 1), value);
        cr_assert_eq(fr_histogram_percentile(&histogram, FR_P9999), value);
        cr_assert_eq(fr_histogram_min(&histogram), value);
        cr_assert_eq(histogram.max, value);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

#define SAMPLES 20000
static uint64_t samples[SAMPLES];

/* The samples are sorted; the k-th smallest is the exact percentile if k is the rank rounded up. */
static void check_against_sorted(size_t count)
{
    static const uint32_t asked[] = {1, 100, 10000, 250000, FR_P50, 750000, FR_P90, FR_P99, FR_P999,
            FR_P9999, 999999, FR_P100};

    fr_histogram_init(&histogram);
    for (size_t i = 0; i < count; i++)
        fr_histogram_record(&histogram, samples[i]);
    qsort(samples, count, sizeof(samples[0]), by_value);
    for (size_t i = 0; i < FR_ARRAY_COUNT(asked); i++) {
        size_t rank = (size_t)(((uint64_t)asked[i] * count + 999999) / 1000000);
        uint64_t exact = samples[rank - 1];
        uint64_t answer = fr_histogram_percentile(&histogram, asked[i]);
        cr_assert(answer >= exact && answer - exact <= exact / 64, "%u: %lu for %lu", asked[i],
                answer, exact);
    }
    cr_assert_eq(fr_histogram_min(&histogram), samples[0]);
    cr_assert_eq(histogram.max, samples[count - 1]);
    cr_assert_eq(fr_histogram_percentile(&histogram, FR_P100), samples[count - 1]);
    cr_assert_eq(histogram.count, count);
}

Test(histogram, stays_within_its_error_for_every_distribution)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 2);
    for (size_t count = 1; count <= SAMPLES; count = count * 3 + 1) {
        for (size_t i = 0; i < count; i++) /* even */
            samples[i] = fr_rng_below(&rng, 1000000);
        check_against_sorted(count);
        for (size_t i = 0; i < count; i++) /* even in the exponent: all of 64 bits */
            samples[i] = fr_rng_next(&rng) >> fr_rng_below(&rng, 64);
        check_against_sorted(count);
        for (size_t i = 0; i < count; i++) /* two humps and a long tail, as latencies have */
            samples[i] = fr_rng_one_in(&rng, 1000) ? fr_rng_below(&rng, 100000000)
                         : fr_rng_one_in(&rng, 3)  ? 80000 + fr_rng_below(&rng, 20000)
                                                   : 300 + fr_rng_below(&rng, 200);
        check_against_sorted(count);
        for (size_t i = 0; i < count; i++) /* all the same */
            samples[i] = 123456789;
        check_against_sorted(count);
        for (size_t i = 0; i < count; i++) /* the top of the range */
            samples[i] = UINT64_MAX - fr_rng_below(&rng, 1000);
        check_against_sorted(count);
    }
}

Test(histogram, the_mean_is_exact_and_does_not_overflow)
{
    fr_histogram_init(&histogram);
    for (uint64_t value = 1; value <= 9999; value++)
        fr_histogram_record(&histogram, value);
    cr_assert_eq(fr_histogram_mean(&histogram), 5000.0);
    fr_histogram_init(&histogram);
    for (int i = 0; i < 1000; i++)
        fr_histogram_record(&histogram, UINT64_MAX);
    cr_assert_eq(fr_histogram_mean(&histogram), 0x1p64);
}

Test(histogram, merging_equals_recording_together)
{
    static struct fr_histogram parts[3], merged;
    struct fr_rng rng;

    fr_rng_init(&rng, 3);
    fr_histogram_init(&histogram);
    fr_histogram_init(&merged);
    for (int i = 0; i < 3; i++)
        fr_histogram_init(&parts[i]);
    for (int i = 0; i < 10000; i++) {
        uint64_t value = fr_rng_next(&rng) >> fr_rng_below(&rng, 64);
        fr_histogram_record(&histogram, value);
        fr_histogram_record(&parts[fr_rng_below(&rng, 2)], value); /* the third stays empty */
    }
    for (int i = 0; i < 3; i++)
        fr_histogram_merge(&merged, &parts[i]);
    cr_assert_arr_eq((uint8_t *)&merged, (uint8_t *)&histogram, sizeof(merged));
}
