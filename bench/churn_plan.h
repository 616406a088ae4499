/* bench of internals: it shares ann_data.h.
 *
 * churn_plan.h - which vectors come and go, day by day, and which are there: the model that an
 * index is held against.
 *
 * All vectors that will ever come lie in one pool, in the order in which they come; some in between
 * are kept back as queries, so queries are where the vectors are. Ids are at first the vectors'
 * places in the pool.
 */
#ifndef FR_BENCH_CHURN_PLAN_H
#define FR_BENCH_CHURN_PLAN_H

#include <stdatomic.h>

#include "base/rng.h"
#include "bench/ann_data.h"

/*
 *   random   any leave, and new ones of the same distribution come: half of them under new ids,
 *            half in place of others under theirs
 *   cluster  whole clusters leave, and clusters that were away come back, under their old ids
 *   drift    the oldest leave, and those that come lie where few were before
 *   refill   nine of ten leave in the first half of the days, and as many new ones come in the
 *            second
 */
enum churn_mode { CHURN_RANDOM, CHURN_CLUSTER, CHURN_DRIFT, CHURN_REFILL, CHURN_MODES };

extern const char *const churn_mode_names[CHURN_MODES];

/* What a plan is made from. */
struct churn_source {
    enum churn_mode mode;
    enum ann_metric metric;
    const char *path; /* a file of vectors, or NULL: made from the seed, of a kind */
    enum ann_kind kind;
    uint64_t count, dimension, days, per_day, query_count, seed;
};

#define CHURN_NONE UINT32_MAX

struct churn_plan {
    struct churn_source source;
    struct fr_rng rng;
    struct ann_set pool;
    size_t next; /* of the pool, that has not come yet */

    struct ann_set held_back; /* as they stood in the stream, one after every query_step */
    size_t query_step;

    /* What is there: a list of ids, in no order, and where each of them stands in it. */
    uint64_t *ids;
    size_t count;
    uint32_t *place_of, *row_of; /* by id; CHURN_NONE */

    /* When a delete of it returned, in nanoseconds, 1 before it first comes; 0: it is there, or may
       be. By id. Relaxed: an answer of before or after only makes its reader miss a fault. */
    _Atomic(uint64_t) *gone_at;

    /* Clusters, if whole ones come and go. */
    uint32_t *cluster_of; /* by row */
    bool *is_away;
    size_t cluster_count;
};

/* What leaves and what comes in one day. An id that comes while it is there gets a new vector. */
struct churn_day {
    uint64_t *leaving, *coming;
    uint32_t *rows; /* the vectors of those that come */
    size_t leaving_count, coming_count;
};

void churn_plan_init(struct churn_plan *plan, const struct churn_source *source);
void churn_plan_deinit(struct churn_plan *plan);

/* What comes before the first day; all of it counts as being there. */
void churn_plan_begin(struct churn_plan *plan, struct churn_day *ret_day);

/* The day's changes, from 0 on; what is there is already what it will be in the evening. */
void churn_plan_next(struct churn_plan *plan, size_t day, struct churn_day *ret_day);

/* All that is there, as if it came in one day. */
void churn_plan_repeat(const struct churn_plan *plan, struct churn_day *ret_day);

void churn_day_deinit(struct churn_day *day);

static inline const float *churn_row(const struct churn_plan *plan, uint32_t row)
{
    return plan->pool.vectors + (size_t)row * plan->pool.dimension;
}

/* The queries that fit what is there; borrowed from the plan. */
struct ann_set churn_queries(const struct churn_plan *plan);

/* A copy of what is there, in the order of plan->ids. The room is for plan->pool.count rows. */
void churn_copy_present(const struct churn_plan *plan, struct ann_set *present);

#endif
