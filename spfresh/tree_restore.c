/*
 * tree_restore.c - a tree from what was written down of it.
 *
 *     centroids    fr_tree_restore_posting, in the order of their numbers; none has a node
 *     tiers above  fr_tree_restore_end (tree.c): from here on it can be searched
 *     postings     fr_tree_load_rows, fr_tree_load_show: in any order, by several threads
 *
 * A centroid without a node is a posting that is not loaded, or not any more, and no search passes
 * it over (spfresh/probe.h). Slots are taken under the tree's lock, and filled without it: nobody
 * knows them before the node can be seen.
 */
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "spfresh/tree_priv.h"

fr_status fr_tree_restore_posting(struct fr_tree *tree, uint32_t number, float scale,
        const int8_t *high, const uint8_t *low)
{
    struct fr_rows *rows = &tree->tiers[1];
    fr_status st;

    fr_mutex_lock(&tree->mu);
    if (number < atomic_load_explicit(&rows->slot_count, memory_order_relaxed)) {
        st = FR_FAIL(FR_ERR_CORRUPT, "posting %u comes after a later one", number);
        goto out;
    }
    FR_TRY(fr_rows_take_at(rows, number));
    memcpy(fr_rows_high(rows, number), high, rows->dims);
    memcpy(fr_rows_low(rows, number), low, fr_row_low_size(rows->dims));
    fr_rows_row(rows, number)->scale = scale;
    fr_rows_row(rows, number)->stamp = 0; /* always there */
out:
    fr_mutex_unlock(&tree->mu);
    return st;
}

/* Slots that are taken and given back at once. */
static size_t some_of(const struct fr_rows *rows, size_t count)
{
    return rows->in_pieces ? FR_MIN(count, FR_ROW_PIECE_MAX) : 1;
}

static void give_slots_locked(struct fr_tree *tree, const struct fr_entrant *from, size_t count)
        FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[0];

    for (size_t i = 0; i < count; i += some_of(rows, count - i))
        if (rows->in_pieces)
            fr_rows_give_piece(rows, from[i].slot);
        else
            fr_rows_give(rows, from[i].slot);
}

static fr_status take_some(struct fr_rows *rows, struct fr_entrant *from, size_t count)
{
    fr_slot first = FR_SLOT_NONE;
    fr_status st;

    if (!rows->in_pieces) return fr_rows_take(rows, &from->slot);
    FR_TRY(fr_rows_take_piece(rows, count, &first));
    for (size_t i = 0; i < count; i++)
        from[i].slot = first + (fr_slot)i;
out:
    return st;
}

/* All or none. */
static fr_status take_slots(struct fr_tree *tree, struct fr_entrant *from, size_t count)
{
    struct fr_rows *rows = &tree->tiers[0];
    fr_status st = FR_OK;
    size_t taken = 0;

    fr_mutex_lock(&tree->mu);
    while (taken < count && st == FR_OK) {
        size_t some = some_of(rows, count - taken);

        st = take_some(rows, from + taken, some);
        if (st == FR_OK) taken += some;
    }
    if (st < 0) give_slots_locked(tree, from, taken);
    fr_mutex_unlock(&tree->mu);
    return st;
}

static fr_status fill_row(struct fr_rows *rows, const struct fr_entrant *from)
{
    struct fr_row *row = fr_rows_row(rows, from->slot);

    row->scale = from->scale;
    row->id = from->id;
    /* Always there. Release, as everywhere: acquire in is_alive. */
    atomic_store_explicit(&row->stamp, 0, memory_order_release);
    return fr_rows_put_code(rows, from->slot, from->high, from->low);
}

/* All or none: in the turn of writers, since chunks become cold in it. */
static fr_status fill_rows(struct fr_tree *tree, const struct fr_entrant *from, size_t count)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    for (size_t i = 0; i < count && st == FR_OK; i++)
        st = fill_row(&tree->tiers[0], &from[i]);
    if (st < 0) give_slots_locked(tree, from, count);
    fr_mutex_unlock(&tree->mu);
    return st;
}

fr_status fr_tree_load_rows(struct fr_tree *tree, uint32_t number, struct fr_entrant *from,
        size_t count, float *scratch, struct fr_node **ret_node)
{
    struct fr_rows *rows = &tree->tiers[0];
    float *x = scratch, *centroid = scratch + rows->dims;
    struct fr_node *node = NULL;
    fr_status st;

    FR_TRY(fr_node_new(rows->in_pieces ? &tree->pieces : &tree->pool, rows->dims, number,
            rows->in_pieces ? FR_MAX(count, (size_t)1) : fr_tree_room_for(tree, 1, count + 1),
            &node));
    FR_TRY(take_slots(tree, from, count));
    FR_TRY(fill_rows(tree, from, count));
    const struct fr_node *lean = fr_tree_node(tree, 1, number);
    bool has_signs = lean != NULL && lean->count == count;
    fr_rows_decode(&tree->tiers[1], number, centroid);
    for (size_t i = 0; i < count; i++) {
        struct fr_row *row = fr_rows_row(rows, from[i].slot);
        struct fr_node_entry entry = {.slot = from[i].slot,
                .scale = from[i].scale,
                .version = atomic_load_explicit(&row->version, memory_order_relaxed)};

        row->node = number;
        row->place = (uint32_t)i;
        node->entries[i] = entry;
        if (has_signs) continue;
        fr_row_decode(from[i].high, from[i].low, from[i].scale, rows->dims, x);
        (void)fr_node_append(node, entry, x, centroid, rows->dims);
    }
    if (has_signs) fr_node_take_signs(node, lean);
    *ret_node = FR_TAKE(node);
out:
    fr_node_free(node);
    return st;
}

static void free_lean(struct fr_epoch_item *item)
{
    fr_node_free(FR_CONTAINER_OF(item, struct fr_node, item));
}

void fr_tree_load_show(struct fr_tree *tree, struct fr_node *node)
{
    _Atomic(struct fr_node *) *place = fr_rows_node(&tree->tiers[1], node->number);

    struct fr_node *lean = atomic_load_explicit(place, memory_order_relaxed);

    FR_ASSERT(lean == NULL || lean->is_lean);
    /* Release: it and its rows are complete. Acquire in fr_tree_node. */
    atomic_store_explicit(place, node, memory_order_seq_cst);
    if (lean != NULL) fr_epoch_retire(&tree->epoch, &lean->item, free_lean);
}

void fr_tree_load_undo(struct fr_tree *tree, struct fr_node *node, const struct fr_entrant *from,
        size_t count)
{
    fr_mutex_lock(&tree->mu);
    give_slots_locked(tree, from, count);
    fr_mutex_unlock(&tree->mu);
    fr_node_free(node);
}

/* ---- Postings that leave again ---- */

/* Most postings have one piece; a few more, and some are loaded before others have left. */
fr_status fr_tree_begin_rows(struct fr_tree *tree, bool in_pieces)
{
    fr_mutex_lock(&tree->mu);
    size_t postings = tree->tiers[1].live_count;
    fr_status st = fr_rows_begin(&tree->tiers[0], in_pieces ? 4 * postings + 1024 : 0);
    fr_mutex_unlock(&tree->mu);
    return st;
}

struct fr_node *fr_tree_evict_hide(struct fr_tree *tree, uint32_t number, struct fr_node *lean)
{
    /* Sequentially consistent, as all that epochs are about. */
    struct fr_node *node = atomic_exchange(fr_rows_node(&tree->tiers[1], number), lean);

    FR_ASSERT(node != NULL);
    return node;
}

void fr_tree_evict_free(struct fr_tree *tree, struct fr_node *node)
{
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);

    fr_mutex_lock(&tree->mu);
    for (uint32_t i = 0; !node->is_lean && i < count; i += (uint32_t)FR_ROW_PIECE_MAX)
        fr_rows_give_piece(&tree->tiers[0], node->entries[i].slot);
    fr_mutex_unlock(&tree->mu);
    fr_node_free(node);
}

size_t fr_tree_posting_bytes(const struct fr_tree *tree, size_t count)
{
    size_t dims = tree->space->dims, blocks = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS;
    size_t row = dims + fr_row_low_size(dims) + sizeof(struct fr_row);

    return sizeof(struct fr_node) + sizeof(struct fr_row_chunk) + 4 * (size_t)64 + count * row +
           blocks * (fr_block_size(dims) + FR_BLOCK_VECTORS * sizeof(struct fr_node_entry));
}

size_t fr_tree_lean_bytes(const struct fr_tree *tree, size_t count)
{
    size_t blocks = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS;

    return sizeof(struct fr_node) + (size_t)80 + blocks * fr_block_size(tree->space->dims);
}

/* What has grown too large since it was last looked at. */
static void queue_large(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[1];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);

    for (fr_slot number = 0; number < count; number++) {
        struct fr_node *node = fr_tree_node(tree, 1, number);

        if (node == NULL || !fr_row_is_live(fr_rows_row(rows, number))) continue;
        if (node->live > fr_node_most(&tree->options, 1)) fr_tree_queue_locked(tree, 1, node);
    }
}

void fr_tree_set_partial(struct fr_tree *tree, bool is_partial)
{
    fr_mutex_lock(&tree->mu);
    if (!is_partial) queue_large(tree);
    if (!is_partial) fr_tree_note_untidy_locked(tree, 0, tree->tiers[0].live_count);
    atomic_store_explicit(&tree->is_partial, is_partial, memory_order_release);
    fr_mutex_unlock(&tree->mu);
}
