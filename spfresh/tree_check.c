/* tree_check.c - what must hold in a tree between two changes. */
#include "base/alloc.h"
#include "base/status.h"
#include "spfresh/copies.h"
#include "spfresh/tree_priv.h"

/* Each entry of a node that is its row's own is counted; all others are left over. */
static fr_status check_node(const struct fr_tree *tree, uint32_t tier, fr_slot number,
        size_t *listed)
{
    const struct fr_node *node = fr_tree_node(tree, tier, number);
    uint32_t own = 0;

    if (node == NULL)
        return FR_FAIL(FR_ERR_CORRUPT, "tier %u: centroid %u has no node", tier, number);
    if (node->number != number)
        return FR_FAIL(FR_ERR_CORRUPT, "tier %u: centroid %u has the node of %u", tier, number,
                node->number);
    for (uint32_t place = 0; place < node->count; place++)
        own += fr_entry_is_own(&tree->tiers[tier - 1], node, place);
    if (own != node->live)
        return FR_FAIL(FR_ERR_CORRUPT, "tier %u: node %u has %u rows and counts %u", tier, number,
                own, node->live);
    *listed += own;
    return FR_OK;
}

static fr_status check_tier(const struct fr_tree *tree, uint32_t tier, bool is_last)
{
    const struct fr_rows *rows = &tree->tiers[tier];
    size_t live = 0, listed = 0;
    fr_status st = FR_OK;

    for (fr_slot slot = 0; slot < rows->slot_count; slot++) {
        const struct fr_row *row = fr_rows_row(rows, slot);

        if (!fr_row_is_live(row)) continue;
        live++;
        if (is_last != (row->node == FR_SLOT_NONE))
            return FR_FAIL(FR_ERR_CORRUPT, "tier %u: row %u is %s", tier, slot,
                    is_last ? "listed above the last" : "not listed");
        if (tier > 0) FR_TRY(check_node(tree, tier, slot, &listed));
    }
    if (tier == 0) return FR_OK;
    size_t below = 0;
    for (fr_slot slot = 0; slot < tree->tiers[tier - 1].slot_count; slot++)
        below += fr_row_is_live(fr_rows_row(&tree->tiers[tier - 1], slot));
    if (listed != below)
        return FR_FAIL(FR_ERR_CORRUPT, "tier %u lists %zu rows of %zu", tier, listed, below);
out:
    return st;
}

/* Each row that says so has one copy, and no other row has any. */
static fr_status check_copies(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[0], *centroids = &tree->tiers[1];
    size_t copied = 0, copies = 0;

    for (fr_slot slot = 0; slot < rows->slot_count; slot++)
        copied += fr_row_is_live(fr_rows_row(rows, slot)) &&
                  fr_row_is_copied(fr_rows_row(rows, slot));
    for (fr_slot number = 0; number < centroids->slot_count; number++) {
        const struct fr_node *node = fr_tree_node(tree, 1, number);

        if (node == NULL || !fr_row_is_live(fr_rows_row(centroids, number))) continue;
        uint32_t there = fr_copies_there(rows, node);
        if (there > node->copies)
            return FR_FAIL(FR_ERR_CORRUPT, "node %u has %u copies and counts %u", number, there,
                    node->copies);
        copies += there;
    }
    if (copies != copied || copies != tree->copies)
        return FR_FAIL(FR_ERR_CORRUPT, "%zu rows say that they are listed twice, %zu are of %zu",
                copied, copies, tree->copies);
    return FR_OK;
}

fr_status fr_tree_check(struct fr_tree *tree)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    uint32_t tier_count = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);
    for (uint32_t tier = 0; st == FR_OK && tier < tier_count; tier++)
        st = check_tier(tree, tier, tier + 1 == tier_count);
    if (st == FR_OK && !tree->tiers[0].in_pieces) st = check_copies(tree);
    fr_mutex_unlock(&tree->mu);
    return st;
}
