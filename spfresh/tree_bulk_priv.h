/*
 * For spfresh/ and its tests: what tree_bulk.c and tree_divide.c share.
 *
 * The slots of all rows lie in one array, the groups side by side, as quicksort has them.
 */
#ifndef FR_SPFRESH_TREE_BULK_PRIV_H
#define FR_SPFRESH_TREE_BULK_PRIV_H

#include "base/crew.h"
#include "base/mutex.h"
#include "spfresh/tree.h"

struct fr_bulk;

/* A part of the array. Of a posting: with its centroid, or without one of its own. */
struct fr_group {
    size_t from, count;
    fr_slot number;
};

struct fr_group_list {
    struct fr_group *items;
    size_t count, capacity;
};

FR_NODISCARD fr_status fr_group_list_add(struct fr_group_list *list, struct fr_group group);

/* Groups that one is divided into, at the most; and rows by which it is. */
#define FR_BULK_GROUPS_MOST 16
#define FR_BULK_SAMPLE_MOST 1024

/* What each thread has of its own. */
struct fr_bulk_worker {
    struct fr_bulk *bulk;
    struct fr_probe *probe;
    float *vectors, *scratch; /* FR_BULK_SAMPLE_MOST */
    uint32_t *groups;         /* the same */
    float *centroids;         /* FR_BULK_GROUPS_MOST, or one */
};

/* What all share. */
struct fr_bulk {
    struct fr_tree *tree;
    struct fr_tree *centroids; /* whose centroids are meant: another tree, in the end the same */
    const struct fr_kernels *kernels;
    struct fr_crew crew;
    struct fr_bulk_worker workers[FR_CREW_MAX];
    size_t dims, limit;
    size_t least; /* smaller groups have no centroid */

    /* Whoever has a group has that part of each. */
    size_t count;
    fr_slot *slots, *spare;
    uint32_t *to; /* where a row goes, by its place in slots */

    struct fr_mutex mu; /* rank FR_RANK_LEAF */
    struct fr_cond work;

    /* Guarded by mu, while groups are divided. */
    struct fr_group_list open; /* the last first */
    struct fr_group_list done;
    size_t busy; /* threads that may open more */
};

/*
 * Let the row come that is in the array some places behind this one, but before the end: rows lie
 * anywhere.
 */
void fr_bulk_fetch(const struct fr_bulk *bulk, size_t at, size_t end);

/* Vectors of a part of the array, one behind the other. */
void fr_bulk_decode(const struct fr_bulk *bulk, size_t from, size_t count, float *ret_vectors);

/*
 * Put a part of slots in the order of where its rows go, below k. starts: how many go to each; and
 * then where the next one begins.
 */
void fr_bulk_sort(struct fr_bulk *bulk, size_t from, size_t count, size_t *starts, size_t k);

/*
 * Divide all open groups, until none is larger than a posting should be, and give them centroids.
 * FR_ERR_NOMEM, FR_ERR_FULL, FR_ERR_CANCELLED.
 */
FR_NODISCARD fr_status fr_bulk_divide(struct fr_bulk *bulk);

#endif
