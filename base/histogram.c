#include "base/histogram.h"

#include "base/assert.h"

#define MILLION 1000000u

static_assert(FR_HISTOGRAM_BUCKETS == 128 + 57 * 64, "128 single values, then 57 powers of two");

void fr_histogram_init(struct fr_histogram *histogram)
{
    *histogram = (struct fr_histogram){.min = UINT64_MAX};
}

void fr_histogram_merge(struct fr_histogram *into, const struct fr_histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->min = FR_MIN(into->min, from->min);
    into->max = FR_MAX(into->max, from->max);
    for (unsigned i = 0; i < FR_HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

/* The greatest value that a bucket holds. */
static uint64_t bucket_most(unsigned bucket)
{
    unsigned octave = bucket >> FR_HISTOGRAM_SUB_BITS;
    unsigned shift = octave == 0 ? 0 : octave - 1;
    uint64_t lead = bucket - (shift << FR_HISTOGRAM_SUB_BITS);

    /* The sum may be 2^64, whose predecessor is still right. */
    return ((lead + 1) << shift) - 1;
}

/* How many values, counted from the least, must not be above the answer. Rounded up; at least 1. */
static uint64_t rank_of(uint64_t count, uint32_t millionths)
{
    fr_histogram_sum scaled = (fr_histogram_sum)count * millionths + (MILLION - 1);
    uint64_t rank = (uint64_t)(scaled / MILLION);

    return FR_MAX(rank, (uint64_t)1);
}

uint64_t fr_histogram_percentile(const struct fr_histogram *histogram, uint32_t millionths)
{
    FR_ASSERT(millionths <= MILLION);
    if (histogram->count == 0) return 0;
    if (millionths == 0) return histogram->min;

    uint64_t rank = rank_of(histogram->count, millionths);
    uint64_t seen = 0;
    unsigned bucket = fr_histogram_bucket(histogram->min);
    for (; bucket < FR_HISTOGRAM_BUCKETS - 1; bucket++) {
        seen += histogram->buckets[bucket];
        if (seen >= rank) break;
    }
    return FR_MIN(bucket_most(bucket), histogram->max);
}

double fr_histogram_mean(const struct fr_histogram *histogram)
{
    if (histogram->count == 0) return 0;
    return (double)histogram->sum / (double)histogram->count;
}

uint64_t fr_histogram_min(const struct fr_histogram *histogram)
{
    return histogram->count == 0 ? 0 : histogram->min;
}
