/*
 * node.h - a posting: the signs of the rows that lie nearest to one centroid.
 *
 * Postings of vectors and postings of centroids are the same thing, tier by tier (spfresh/tree.h);
 * both are called nodes here. A node is a run of blocks and, beside them, for each vector what is
 * needed if the scan wants it. Entries are only appended. Writers take turns; searches read beside
 * them: they see as many entries as the count says, and the count is raised when an entry is
 * complete. To drop entries, or when its room is used up, a node is replaced by a new one
 * (base/epoch.h).
 */
#ifndef FR_SPFRESH_NODE_H
#define FR_SPFRESH_NODE_H

#include <assert.h>
#include <stdbool.h>

#include "base/epoch.h"
#include "lsm/place.h"
#include "spfresh/node_pool.h"
#include "spfresh/rows.h"

struct fr_node_entry {
    fr_slot slot;
    uint32_t version; /* of the slot, when the entry was made; of a copy less one */
    float scale;      /* the row's, to spare a look at it */
};

/* Versions of slots in use are odd. A copy: see spfresh/copies.h. */
static inline bool fr_entry_is_copy(const struct fr_node_entry *entry)
{
    return entry->version % 2 == 0;
}

/* Of the slot, of either. */
static inline uint32_t fr_entry_version(const struct fr_node_entry *entry)
{
    return entry->version | 1;
}

struct fr_node {
    /* What a search needs to have the blocks fetched, in one line of memory. */
    size_t block_size;
    struct fr_node_entry *entries; /* behind the blocks */

    /* Release after an entry is complete; acquire before any is looked at. */
    _Atomic(uint32_t) count;

    /* Relaxed: a hint. Set by searches of a tree that is not all in memory. */
    _Atomic(bool) was_wanted;

    bool is_partial; /* constant: while the tree is, rows may be missing; it is not scanned then */
    bool is_lean;    /* constant: signs alone, without entries */

    struct fr_epoch_item item;
    struct fr_node_pool *pool; /* that it is of */
    size_t size;
    fr_slot number;    /* the slot of its centroid in the tier above */
    uint32_t capacity; /* a multiple of FR_BLOCK_VECTORS */

    /* Where its rows are stored, if they are all that is stored of it, in the order of its entries;
     * else nowhere. Constant once others see it, and only of one that came from the store. */
    struct fr_spot spot;

    /* The writers'. */
    uint32_t live;           /* entries that are their rows' own */
    uint32_t copies;         /* entries that are copies, good or not */
    uint32_t split_after;    /* it could not be split with so many: not again before it has more */
    uint32_t dissolve_below; /* with so many there was no room elsewhere: not before it has fewer */
    uint32_t stale; /* entries dropped by compacting since all were last told to be written */
    bool is_queued;
    float radius; /* the square distance of the farthest entry there has been */

    FR_ALIGNED(64) uint8_t blocks[];
};
static_assert(offsetof(struct fr_node, item) <= 64, "what a search needs is in the first line");

/* Empty, with room for capacity entries at least. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_node_new(struct fr_node_pool *pool, size_t dims, fr_slot number,
        size_t capacity, struct fr_node **ret_node);

/* The signs alone, for a tree that has not the memory for more. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_node_new_lean(struct fr_node_pool *pool, const struct fr_node *from,
        struct fr_node **ret_node);

/* Accepts NULL. */
void fr_node_free(struct fr_node *node);

/* Entries that are no copies. */
static inline uint32_t fr_node_listed(const struct fr_node *node)
{
    return atomic_load_explicit(&node->count, memory_order_relaxed) - node->copies;
}

static inline bool fr_node_is_full(const struct fr_node *node)
{
    return atomic_load_explicit(&node->count, memory_order_relaxed) == node->capacity;
}

/* Append the entry of a row with this vector; there is room. Answers its place. */
uint32_t fr_node_append(struct fr_node *node, struct fr_node_entry entry, const float *x,
        const float *centroid, size_t dims);

/* The same of a copy, as which the entry is marked. */
void fr_node_append_copy(struct fr_node *node, struct fr_node_entry entry, const float *x,
        const float *centroid, size_t dims);

/* Append an entry as it is in another node of the same centroid; there is room. */
uint32_t fr_node_append_from(struct fr_node *node, const struct fr_node *from, uint32_t place);

/* Of a node whose entries are there, and nothing else: the signs of a lean one, of the same rows.
 */
void fr_node_take_signs(struct fr_node *node, const struct fr_node *lean);

/* Make an entry's bound so high that hardly a scan wants it. */
void fr_node_hide(struct fr_node *node, uint32_t place);

/* Copy all entries into a new node with more room. */
void fr_node_copy(struct fr_node *to, const struct fr_node *from);

#endif
