/*
 * probe.h - one walk down a tree: from all centroids of the last tier to the nearest of any other.
 *
 * A probe is the memory of a walk, for one thread at a time; used again and again it allocates
 * nothing. The walk of one step looks at the nodes of the nearest centroids found so far: the signs
 * of all their entries are scanned, the best by estimate are measured by their rows, and the
 * nearest of those are the next step's.
 */
#ifndef FR_SPFRESH_PROBE_H
#define FR_SPFRESH_PROBE_H

#include "spfresh/aside.h"
#include "spfresh/probe_cold.h"
#include "spfresh/tree.h"

struct fr_engine;

struct fr_found {
    float distance;
    fr_slot slot;
    uint32_t version; /* of the slot; FR_ASIDE_VERSION: the slot is the number of a row that was set
                         aside */
};

/* Looked at; by signs, by high bytes, by all bits. */
struct fr_probe_stats {
    uint64_t centroids, scanned, measured, finished;
};

/* What was looked at to find rows of one tier. */
struct fr_probe_step {
    uint64_t nodes, scanned, measured, ns;
};

/* How far a row came: its bound was within the limit when it was scanned, and its turn has come. */
enum fr_quest_reached { FR_QUEST_UNSEEN, FR_QUEST_DROPPED, FR_QUEST_WANTED, FR_QUEST_MEASURED };

/* A row whose way is followed. */
struct fr_probe_quest {
    fr_slot slot; /* FR_SLOT_NONE: nobody is looked for */
    uint32_t version;
    enum fr_quest_reached reached;
    fr_slot node; /* in which it was seen */
    float estimate, limit;
};

/* Set in a probe that is to be watched (probe_trace.c). Figures are added to. */
struct fr_probe_trace {
    const struct fr_engine *engine; /* whose clock it is */
    uint64_t now_ns;                /* when the step that is under way began */
    struct fr_probe_stats before;   /* what had been looked at then */
    struct fr_probe_step steps[FR_TIERS_MAX];
    uint64_t finished, prepare_ns, finish_ns;
    struct fr_probe_quest quest;
};

struct fr_probe {
    const struct fr_tree *tree;
    size_t dims;
    uint64_t clock;  /* what was alive then is seen */
    bool is_partial; /* postings were to be loaded then */

    float *query; /* mapped */
    uint8_t *table;
    float step, base;

    struct fr_found *found; /* of the tier that was reached, nearest first */
    struct fr_found *scratch;
    const struct fr_node **nodes; /* of those found */
    size_t found_count, found_capacity;
    size_t missing_count; /* the first of found are postings that could not be scanned or measured
                           */

    /*
     * What a scan would like to have measured: bounds, and the entries they are of. The first ones
     * have been chosen to be measured next.
     */
    float *bounds;
    const struct fr_node_entry **wanted;
    uint32_t *places; /* of one scan's */
    size_t wanted_count, wanted_capacity, chosen_count;

    /* Of a tree that is not all in memory: what is read of it for this search. */
    struct fr_asides asides;
    bool is_at_end; /* all postings have been scanned */

    float *near; /* the k least distances so far: a heap, the largest on top */
    size_t near_count, near_capacity;
    struct fr_found *pool; /* rows that may be among the k nearest */
    struct fr_found *pool_scratch;
    size_t pool_count, pool_capacity;
    struct fr_probe_cold cold;
    struct fr_code_room room; /* of one row, for whoever has the probe */
    struct fr_probe_stats stats;
    struct fr_probe_trace *trace; /* the caller's, or NULL */
};

FR_NODISCARD fr_status fr_probe_new(const struct fr_tree *tree, struct fr_probe **ret_probe);

/* Accepts NULL. */
void fr_probe_free(struct fr_probe *probe);

/* Set the query: dims mapped floats, copied. The clock is read here. */
void fr_probe_aim(struct fr_probe *probe, const float *query);

/*
 * Find the count centroids of a tier that are nearest, or nearly so, into probe->found; width of
 * them in each tier above. The caller is in the tree's epoch, or holds its lock.
 */
FR_NODISCARD fr_status fr_probe_descend(struct fr_probe *probe, uint32_t tier, size_t count,
        size_t width);

/* The nearest centroids of the last tier, zeros where there are fewer: where a query lies, roughly.
 * Queries with the same ones look at much the same postings. The caller is in the epoch. */
#define FR_PROBE_REGION 3
FR_NODISCARD fr_status fr_probe_locate(struct fr_probe *probe, const float *query,
        fr_slot ret_region[FR_PROBE_REGION]);

/* How hard to look. */
struct fr_effort {
    size_t postings; /* of vectors to scan */
    size_t width;    /* of centroids to scan for them, in each tier */
    float slack;     /* standard deviations by which an estimate may be wrong, at 128 dimensions */
};

/*
 * The slack at so many dimensions. The more there are the less a deviation is, beside the distances
 * that it is to tell apart, so the fewer rows are measured for it, and more of it pays.
 */
float fr_effort_slack(const struct fr_effort *effort, size_t dims);

/*
 * The k rows nearest to the query, nearest first: slots and mapped square distances. The caller is
 * in the epoch. Fewer than k only if there are not as many; or nothing, if missing_count is not 0:
 * then these postings, the first of found, are to be loaded, and it is to be searched again.
 */
FR_NODISCARD fr_status fr_probe_search(struct fr_probe *probe, const struct fr_effort *effort,
        size_t k, struct fr_found *ret_found, size_t *ret_count);

/* The id of a row that was found by the search that was made last. */
uint64_t fr_probe_id(const struct fr_probe *probe, const struct fr_found *found);

/* --- A walk that is watched --- */

/* The first step begins; one has ended, and found rows of a tier in so many nodes; the last has. */
void fr_probe_trace_begin(struct fr_probe *probe);
void fr_probe_trace_step(struct fr_probe *probe, uint32_t tier, size_t nodes);
void fr_probe_trace_finish(struct fr_probe *probe);

/* Nanoseconds since the last of these calls. */
uint64_t fr_probe_trace_lap(struct fr_probe_trace *trace);

/* A node will be scanned; what is beyond a limit was dropped; what was chosen will be measured. */
void fr_probe_trace_node(struct fr_probe *probe, const struct fr_node *node,
        const struct fr_scan *scan);
void fr_probe_trace_drop(struct fr_probe *probe, float limit);
void fr_probe_trace_chosen(struct fr_probe *probe);

#endif
