/* bench of internals: it shares the kernels.
 *
 * ann_data.h - sets of vectors from files or from a seed, and who is really nearest.
 */
#ifndef FR_BENCH_ANN_DATA_H
#define FR_BENCH_ANN_DATA_H

#include "bench/ann_engine.h"

/*
 * What files cannot promise to have. All are made from a seed, in the order in which they come.
 *
 *   clustered   around a thousand centres, some with many vectors and most with few
 *   flat        near to a surface of 16 dimensions, whatever the dimension is: what embeddings do
 *   sphere      in all directions alike, of length one: there is nothing to exploit
 *   drift       clustered, and the centres wander, so that what comes last is where little was
 *   duplicates  clustered, but two of three are copies of one before, some of them of the same
 */
enum ann_kind { ANN_CLUSTERED, ANN_FLAT, ANN_SPHERE, ANN_DRIFT, ANN_DUPLICATES, ANN_KINDS };

extern const char *const ann_kind_names[ANN_KINDS];

/* Base and queries; queries lie where the last vectors of the base do, and are none of them. */
void ann_make(enum ann_kind kind, size_t count, size_t query_count, size_t dimension, uint64_t seed,
        struct ann_set *ret_base, struct ann_set *ret_queries);

/*
 * By the end of the name: .u8bin, .fbin (count and dimension in front), .fvecs, .bvecs (the
 * dimension in front of each row). At most limit rows; 0: all.
 */
void ann_read(const char *path, size_t limit, struct ann_set *ret_set);

/* Let each vector have the length one. */
void ann_normalise(struct ann_set *set);

/* The smaller the nearer. */
float ann_distance(enum ann_metric metric, const float *a, const float *b, size_t dimension);

/*
 * Each query's distance to its k-th nearest: from a file of neighbours (.ibin, .ivecs), whose first
 * k are believed, or, if path is NULL, by looking at all with so many threads. Whoever is not
 * farther is right, so ties do not matter.
 */
void ann_truth(const char *path, const struct ann_set *base, const struct ann_set *queries,
        enum ann_metric metric, size_t k, unsigned threads, float *ret_farthest);

#endif
