/*
 * kmeans.h - a few vectors into a few groups, none of them much smaller than it should be.
 *
 * Lloyd's iterations from a seeded start (D. Arthur and S. Vassilvitskii, "k-means++: the
 * advantages of careful seeding"). For two groups an uneven outcome is evened out, or a posting of
 * a few outliers would split off again and again.
 */
#ifndef FR_SPFRESH_KMEANS_H
#define FR_SPFRESH_KMEANS_H

#include <stddef.h>
#include <stdint.h>

#include "spfresh/kernels.h"

/*
 * Group count vectors of dims floats into k at the most: fill k centroids, and for each vector the
 * group that it is in. The answer is the number of groups, each with a vector at least; 1 if all
 * are alike. scratch has room for count floats. The same input has the same outcome.
 */
size_t fr_kmeans(const struct fr_kernels *kernels, const float *vectors, size_t count, size_t dims,
        size_t k, uint64_t seed, float *scratch, float *ret_centroids, uint32_t *ret_groups);

/* The mean of vectors. */
void fr_mean(const float *vectors, size_t count, size_t dims, float *ret_mean);

#endif
