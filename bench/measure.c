/*
 * measure.c - the median.
 */
#include "bench/measure.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double measure_median(double *figures, size_t count)
{
    if (count == 0) return 0;
    qsort(figures, count, sizeof(double), by_value);
    return count % 2 == 1 ? figures[count / 2] : (figures[count / 2 - 1] + figures[count / 2]) / 2;
}
