/* bench of internals: it shares churn_plan.h.
 *
 * churn_index.h - a durable index that a plan is carried out on, and what is asked of it.
 *
 * A call that fails ends the process. What an index answers wrongly is counted as a fault and
 * printed, the first ones in words.
 */
#ifndef FR_BENCH_CHURN_INDEX_H
#define FR_BENCH_CHURN_INDEX_H

#include <pthread.h>

#include "base/histogram.h"
#include "bench/churn_plan.h"
#include "freshet/freshet.h"

#define CHURN_K 10

struct churn_index {
    const char *dir;
    struct fr_db *db;
    struct fr_index *index;
    uint64_t faults;
};

struct churn_setup {
    const char *dir;
    size_t dimension;
    enum ann_metric metric;
    fr_sync sync; /* of all writes */
    uint64_t budget;
    bool is_manual; /* nothing is maintained unless it is told to */
};

void churn_index_open(struct churn_index *index, const struct churn_setup *setup);
void churn_index_close(struct churn_index *index);

void churn_index_stats(const struct churn_index *index, struct fr_index_stats *ret_stats);

/* Maintain until nothing is left; yields the seconds that it took. */
double churn_rest(struct churn_index *index);

/* How a day's changes are made. */
struct churn_pace {
    size_t batch;    /* vectors of one call */
    uint64_t day_ns; /* batches begin evenly over that time; 0: one after the other */
    bool is_careful; /* maintain after each batch until nothing is left */
};

/* Seconds in calls, without the pauses between them. */
struct churn_spent {
    double upserts, deletes, maintenance;
};

void churn_apply(struct churn_index *index, struct churn_plan *plan, const struct churn_day *day,
        const struct churn_pace *pace, struct churn_spent *ret_spent);

/* A thread that searches for the same queries over and over until it is stopped. */
struct churn_searcher {
    struct churn_index *index;
    const struct churn_plan *plan;
    struct ann_set queries;
    double recall;
    pthread_t thread;
    _Atomic(bool) is_stopped;  /* relaxed: nothing else hangs on it */
    struct fr_histogram times; /* nanoseconds; the thread's until it is joined */
    uint64_t faults;           /* hits that had been deleted before the search began; as times */
};

void churn_searcher_start(struct churn_searcher *searcher, struct churn_index *index,
        const struct churn_plan *plan, double recall);
void churn_searcher_stop(struct churn_searcher *searcher);

/* What a pass over the queries finds, while nobody writes. */
struct churn_found {
    double recall, scanned; /* of what is nearest; vectors a query */
};

/* farthest: of each query, the distance of the k-th nearest that is there. */
void churn_search(struct churn_index *index, const struct churn_plan *plan,
        const struct fr_search_options *how, const float *farthest, struct churn_found *ret_found);

/*
 * Whether exactly what shall be there is there: found by an exhaustive search, found by a search
 * that looks at all postings, counted, and each vector as it was put.
 */
void churn_audit(struct churn_index *index, const struct churn_plan *plan);

#endif
