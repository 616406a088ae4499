/*
 * measure.h - what all benchmarks measure with: a clock, and the median of rounds.
 */
#ifndef FR_BENCH_MEASURE_H
#define FR_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Only differences have a meaning. */
static inline uint64_t measure_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline double measure_seconds_since(uint64_t start_ns)
{
    return (double)(measure_now_ns() - start_ns) * 1e-9;
}

/* Sorts them; 0 if there are none. Of an even count it is the mean of the two in the middle. */
double measure_median(double *figures, size_t count);

#endif
