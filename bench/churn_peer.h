/* bench of internals: it shares ann_engine.h.
 *
 * churn_peer.h - what bench_churn asks of another index that it runs beside ours. For C and C++.
 *
 * One thread at a time. An adapter that fails calls ann_die().
 */
#ifndef FR_BENCH_CHURN_PEER_H
#define FR_BENCH_CHURN_PEER_H

#include "bench/ann_engine.h"

#ifdef __cplusplus
extern "C" {
#endif

struct churn_peer {
    const char *name;

    /* Never more than capacity vectors are there at once. */
    void *(*open)(enum ann_metric metric, size_t dimension, size_t capacity);
    void (*close)(void *index);

    void (*put)(void *index, uint64_t id, const float *vector); /* in place of what is there */
    void (*remove)(void *index, uint64_t id);                   /* which is there */

    /* How many of the k nearest were found. */
    size_t (*search)(void *index, size_t effort, const float *query, size_t k, uint64_t *ret_ids);
};

extern const struct churn_peer churn_hnswlib;

#ifdef __cplusplus
}
#endif

#endif
