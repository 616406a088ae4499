/*
 * reshape.h - what keeps nodes in shape: split, dissolve, refresh, compact; and move what is near.
 *
 * All four take the rows of a node and give the node's centroid none, one, or several successors:
 *
 *   split      too many rows: a successor for each group of them
 *   refresh    the mean of the rows has moved away from the centroid: one successor
 *   dissolve   too few: each row goes to the nearest of the other centroids
 *   compact    too many entries that are not their rows' own: the centroid stays, the node is
 * copied
 *
 * A new centroid changes which centroid is nearest for rows around it. After LIRE these are found
 * among few:
 *
 *   1. Rows that were in the node: only those for which the old centroid was nearer than their new
 *      one may belong to a neighbour.
 *   2. Rows of neighbours: only those for which a new centroid is nearer than their own. Signs of
 *      all are scanned with the new centroid as the query; few are measured.
 *
 * Rows that are all alike cannot be split; their node is left as it is until it has twice as many.
 */
#ifndef FR_SPFRESH_RESHAPE_H
#define FR_SPFRESH_RESHAPE_H

#include "spfresh/tree.h"

struct fr_reshape;

FR_NODISCARD fr_status fr_reshape_new(const struct fr_space *space,
        struct fr_reshape **ret_reshape);
void fr_reshape_free(struct fr_reshape *reshape);

/* Do what a centroid's node needs, if anything. A failure leaves a tree in which all is found. */
FR_NODISCARD fr_status fr_reshape_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
        FR_REQUIRES(tree->mu);

/*
 * Compact a node that needs nothing, if more than a few of its entries are not their rows' own.
 * Searches that were under way when the lock was taken have ended since (fr_epoch_wait).
 */
FR_NODISCARD fr_status fr_reshape_tidy_locked(struct fr_tree *tree, uint32_t tier,
        struct fr_node *node) FR_REQUIRES(tree->mu);

/* Look after a node that needs nothing: move rows that lie nearer elsewhere, follow their mean. */
FR_NODISCARD fr_status fr_reshape_refresh_locked(struct fr_tree *tree, uint32_t tier,
        struct fr_node *node) FR_REQUIRES(tree->mu);

#endif
