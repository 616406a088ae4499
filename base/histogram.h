/*
 * histogram.h - how values are distributed: latencies above all.
 *
 * Buckets are log-linear. Values below 128 have a bucket each; from there on every power of two is
 * cut in 64 buckets of equal width. A bucket is never wider than 1/64 of its least value, so what
 * is read back is at most 1/64 (1.6 %) above the truth and never below it. All of u64 is covered,
 * in 30 KiB, and recording is an increment or two.
 *
 * One thread records into one histogram; for several, keep one each and merge.
 */
#ifndef FR_BASE_HISTOGRAM_H
#define FR_BASE_HISTOGRAM_H

#include <stdint.h>

#include "base/compiler.h"

#define FR_HISTOGRAM_SUB_BITS 6
#define FR_HISTOGRAM_BUCKETS  ((65 - FR_HISTOGRAM_SUB_BITS) << FR_HISTOGRAM_SUB_BITS)

/* Percentiles are told in millionths. */
#define FR_P50   500000u
#define FR_P90   900000u
#define FR_P99   990000u
#define FR_P999  999000u
#define FR_P9999 999900u
#define FR_P100  1000000u

__extension__ typedef unsigned __int128 fr_histogram_sum;

struct fr_histogram {
    uint64_t count;
    uint64_t min; /* UINT64_MAX while empty */
    uint64_t max;
    fr_histogram_sum sum; /* cannot overflow: less than 2^64 values below 2^64 */
    uint64_t buckets[FR_HISTOGRAM_BUCKETS];
};

/* Also empties a used one. */
void fr_histogram_init(struct fr_histogram *histogram);

/* Which bucket holds the value. */
static inline unsigned fr_histogram_bucket(uint64_t value)
{
    /* The 1 keeps the exponent at its least for the values that have a bucket each. */
    unsigned top = 63u - (unsigned)__builtin_clzll(value | (1u << FR_HISTOGRAM_SUB_BITS));
    unsigned shift = top - FR_HISTOGRAM_SUB_BITS;

    return (shift << FR_HISTOGRAM_SUB_BITS) + (unsigned)(value >> shift);
}

static inline void fr_histogram_record(struct fr_histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->min) histogram->min = value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[fr_histogram_bucket(value)]++;
}

/* Add all that was recorded in from. */
void fr_histogram_merge(struct fr_histogram *into, const struct fr_histogram *from);

/*
 * The least value such that at least so many millionths of the recorded ones are not above it, as
 * far as buckets tell: at least the exact one, at most 1/64 more, and never above the maximum.
 * 0 millionths asks for the minimum. 0 if nothing was recorded.
 */
uint64_t fr_histogram_percentile(const struct fr_histogram *histogram, uint32_t millionths);

/* Exact, but for the rounding of a double; 0 if nothing was recorded. */
double fr_histogram_mean(const struct fr_histogram *histogram);

/* Exact; 0 if nothing was recorded. */
uint64_t fr_histogram_min(const struct fr_histogram *histogram);

#endif
