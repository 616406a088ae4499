/* bench of internals: it shares ann_engine.h.
 *
 * ann_child.h - a process with one index in it, which searches when it is told to.
 *
 * Each engine has a process, so that its memory can be told from the others', and its process
 * sleeps while another one is measured.
 */
#ifndef FR_BENCH_ANN_CHILD_H
#define FR_BENCH_ANN_CHILD_H

#include <sys/types.h>

#include "bench/ann_engine.h"

/* What is searched for, and what counts as found. */
struct ann_task {
    const struct ann_set *base, *queries;
    enum ann_metric metric;
    size_t k;
    const float *farthest; /* of each query: the distance of the k-th nearest */
};

/* One pass over all queries. */
struct ann_pass {
    double recall;
    double seconds; /* of the processor if one thread searches, or else of the clock */
    double p50_us, p95_us, p99_us; /* of one thread's queries; 0 with more threads */
};

struct ann_made {
    struct ann_built built;
    double seconds, cpu_seconds;
    uint64_t private_bytes; /* that the process has more than before */
};

struct ann_child {
    const struct ann_engine *engine;
    pid_t pid;
    int to, from;
    struct ann_made made;
};

/* Start the process and have it make the index; returns when that is done. */
void ann_child_start(struct ann_child *child, const struct ann_engine *engine,
        const struct ann_task *task, const struct ann_job *job);

/* All queries at a level of the engine's, by so many threads. */
void ann_child_pass(struct ann_child *child, size_t level, unsigned threads,
        struct ann_pass *ret_pass);

void ann_child_stop(struct ann_child *child);

#endif
