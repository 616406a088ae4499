/* For spfresh/ and its tests: the inside of a tree. */
#ifndef FR_SPFRESH_TREE_PRIV_H
#define FR_SPFRESH_TREE_PRIV_H

#include "base/mutex.h"
#include "spfresh/tree.h"

/* The most and the least rows that a node of a tier's centroid should have. */
static inline uint32_t fr_node_most(const struct fr_tree_options *options, uint32_t tier)
{
    return tier == 1 ? options->split_limit : options->inner_limit;
}

static inline uint32_t fr_node_least(const struct fr_tree_options *options, uint32_t tier)
{
    return tier == 1 ? options->merge_limit : options->inner_limit / 6;
}

/* For writers: whether a slot's row is in use and has not died. */
static inline bool fr_row_is_live(const struct fr_row *row)
{
    return atomic_load_explicit(&row->version, memory_order_relaxed) % 2 == 1 &&
           (atomic_load_explicit(&row->stamp, memory_order_relaxed) & FR_ROW_DEAD) == 0;
}

/* Whether an entry is the one by which its row counts, rather than one that it left behind. */
static inline bool fr_entry_is_own(const struct fr_rows *rows, const struct fr_node *node,
        uint32_t place)
{
    const struct fr_node_entry *entry = &node->entries[place];
    const struct fr_row *row = fr_rows_row(rows, entry->slot);

    return atomic_load_explicit(&row->version, memory_order_relaxed) == entry->version &&
           row->node == node->number && fr_row_place(row) == place && fr_row_is_live(row);
}

/* A row with this vector, not listed anywhere yet; a coarse one if it is a centroid. */
FR_NODISCARD fr_status fr_tree_take_row_locked(struct fr_tree *tree, uint32_t tier, const float *x,
        fr_slot *ret_slot) FR_REQUIRES(tree->mu);

/* List a row in a node of the tier above, whose centroid is number. Its entry there is its own now.
 */
FR_NODISCARD fr_status fr_tree_list_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot,
        const float *x, fr_slot number) FR_REQUIRES(tree->mu);

/* Of a node that is to have so many rows: with their copies, which are as many as there will be. */
static inline size_t fr_tree_room_for(const struct fr_tree *tree, uint32_t tier, size_t rows)
{
    return tier == 1 ? rows + rows * tree->options.copies / 100 : rows;
}

/* So many entries were left behind, and so many rows may have no copy: for fr_tree_tidy. */
void fr_tree_note_untidy_locked(struct fr_tree *tree, size_t left_behind, size_t uncopied)
        FR_REQUIRES(tree->mu);

/* The node of a centroid; if it was full, a copy of it with more room. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_tree_node_with_room_locked(struct fr_tree *tree, uint32_t tier,
        fr_slot number, struct fr_node **ret_node) FR_REQUIRES(tree->mu);

/* A row's copy is gone, or it has died (spfresh/copies.h). */
void fr_copies_forget_locked(struct fr_tree *tree, struct fr_row *row) FR_REQUIRES(tree->mu);

/* Aim the writers' probe; it sees what the step under way has done. */
void fr_tree_aim_locked(struct fr_tree *tree, const float *x) FR_REQUIRES(tree->mu);

/* The centroid of a tier that is nearest, or nearly so, and not the excepted one. There is one. */
FR_NODISCARD fr_status fr_tree_nearest_locked(struct fr_tree *tree, uint32_t tier, const float *x,
        fr_slot except, fr_slot *ret_number) FR_REQUIRES(tree->mu);

/* List a row in the node whose centroid is nearest. */
FR_NODISCARD fr_status fr_tree_place_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot,
        const float *x) FR_REQUIRES(tree->mu);

/*
 * A centroid with an empty node that has room for so many, listed in the tier above if there is
 * one. It is seen once the step under way is complete.
 */
FR_NODISCARD fr_status fr_tree_add_centroid_locked(struct fr_tree *tree, uint32_t tier,
        const float *x, size_t room, fr_slot *ret_number) FR_REQUIRES(tree->mu);

/* Another node takes the place of a centroid's; the old one is freed when nobody looks at it. */
void fr_tree_replace_node_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *old,
        struct fr_node *node) FR_REQUIRES(tree->mu);

/* A row's entry is not its own any more; queues its node if little is left there. */
void fr_tree_unlist_locked(struct fr_tree *tree, uint32_t tier, const struct fr_row *row)
        FR_REQUIRES(tree->mu);

/* Room for so many more corpses, so that what must not fail does not. */
FR_NODISCARD fr_status fr_tree_reserve_locked(struct fr_tree *tree, size_t count)
        FR_REQUIRES(tree->mu);

/* Have a node looked at. Without memory it is not, and the next change to it tries again. */
void fr_tree_queue_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
        FR_REQUIRES(tree->mu);

/* Let a row die in the step that is under way. Room for a corpse was reserved. */
void fr_tree_kill_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot) FR_REQUIRES(tree->mu);

/* Tell who keeps postings elsewhere what has become of one; of tier 1, else nobody is told. */
void fr_tree_note_posting_locked(struct fr_tree *tree, enum fr_change_kind kind, uint32_t tier,
        fr_slot number) FR_REQUIRES(tree->mu);

/* The step is complete: searches that begin from now on see it. */
void fr_tree_step_locked(struct fr_tree *tree) FR_REQUIRES(tree->mu);

/* Wait until searches that see the dead have ended, and give their slots and nodes back. */
void fr_tree_bury_locked(struct fr_tree *tree) FR_REQUIRES(tree->mu);

/* The node of a centroid, or NULL. */
static inline struct fr_node *fr_tree_node(const struct fr_tree *tree, uint32_t tier, fr_slot slot)
{
    return atomic_load_explicit(fr_rows_node(&tree->tiers[tier], slot), memory_order_acquire);
}

#endif
