/*
 * tree_enter.c - how vectors come into a tree, and leave it.
 *
 *     locate     encode, walk down to the nearest posting       in the epoch, no lock
 *     enter      a slot, an entry in that posting; unborn       the lock
 *     publish    born, and what it replaces dies, in one step   the lock
 *
 * Between the first two the posting may have been split: then it is looked for again.
 */
#include <string.h>

#include "base/status.h"
#include "spfresh/probe.h"
#include "spfresh/tree_priv.h"

/* Corpses keep slots and nodes; so many are worth the wait for searches. */
#define CORPSES_MAX 256

/* Centroids that are measured to find the nearest. */
#define NEAREST_OF 4

fr_status fr_tree_locate(struct fr_probe *probe, struct fr_entrant *entrant)
{
    const struct fr_tree *tree = probe->tree;
    size_t dims = tree->space->dims;
    fr_status st;

    entrant->scale = fr_row_encode(entrant->x, dims, entrant->high, entrant->low);
    fr_row_decode(entrant->high, entrant->low, entrant->scale, dims, entrant->x);
    fr_probe_aim(probe, entrant->x);
    FR_TRY(fr_probe_descend(probe, 1, NEAREST_OF, tree->options.insert_width));
    entrant->number = probe->found_count > 0 ? probe->found[0].slot : FR_SLOT_NONE;
    entrant->version = probe->found_count > 0 ? probe->found[0].version : 0;
out:
    return st;
}

fr_status fr_tree_locate_one(struct fr_probe *probe, struct fr_entrant *entrant)
{
    struct fr_epoch *epoch = fr_unconst(&probe->tree->epoch);
    unsigned reader = fr_epoch_enter(epoch);
    fr_status st = fr_tree_locate(probe, entrant);

    fr_epoch_leave(epoch, reader);
    return st;
}

/* Whether the posting that was found still is one; if not, the one that is nearest now. */
static fr_status find_again(struct fr_tree *tree, struct fr_entrant *entrant) FR_REQUIRES(tree->mu)
{
    if (entrant->number != FR_SLOT_NONE) {
        const struct fr_row *row = fr_rows_row(&tree->tiers[1], entrant->number);

        if (row->version == entrant->version && fr_row_is_live(row)) return FR_OK;
    }
    return fr_tree_nearest_locked(tree, 1, entrant->x, FR_SLOT_NONE, &entrant->number);
}

static fr_status enter_locked(struct fr_tree *tree, struct fr_entrant *entrant)
        FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[0];
    fr_slot slot;
    fr_status st;

    FR_TRY(find_again(tree, entrant));
    FR_TRY(fr_rows_take(rows, &slot));
    struct fr_row *row = fr_rows_row(rows, slot);
    st = fr_rows_put_code(rows, slot, entrant->high, entrant->low);
    row->scale = entrant->scale;
    row->id = entrant->id;
    /* Release, as whoever finds its entry looks at the stamp first. Acquire in is_alive. */
    atomic_store_explicit(&row->stamp, FR_ROW_UNBORN, memory_order_release);
    if (st == FR_OK) st = fr_tree_list_locked(tree, 0, slot, entrant->x, entrant->number);
    if (st < 0) fr_rows_give(rows, slot);
    entrant->slot = slot;
out:
    return st;
}

fr_status fr_tree_enter(struct fr_tree *tree, struct fr_entrant *entrant)
{
    fr_mutex_lock(&tree->mu);
    fr_status st = enter_locked(tree, entrant);
    fr_mutex_unlock(&tree->mu);
    return st;
}

fr_status fr_tree_reserve(struct fr_tree *tree, size_t count)
{
    fr_mutex_lock(&tree->mu);
    fr_status st = fr_tree_reserve_locked(tree, count);
    if (st == FR_OK) tree->corpses_promised += count;
    fr_mutex_unlock(&tree->mu);
    return st;
}

static void finish_step(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    fr_tree_step_locked(tree);
    if (tree->corpse_count >= CORPSES_MAX) fr_tree_bury_locked(tree);
}

static void publish_locked(struct fr_tree *tree, const struct fr_entrant *born, size_t born_count,
        const fr_slot *dead, size_t dead_count) FR_REQUIRES(tree->mu)
{
    uint64_t step = atomic_load_explicit(&tree->clock, memory_order_relaxed) + 1;

    for (size_t i = 0; i < born_count; i++)
        atomic_store_explicit(&fr_rows_row(&tree->tiers[0], born[i].slot)->stamp, step,
                memory_order_release);
    for (size_t i = 0; i < dead_count; i++)
        fr_tree_kill_locked(tree, 0, dead[i]);
    fr_tree_note_untidy_locked(tree, 0, born_count);
    finish_step(tree);
}

void fr_tree_publish(struct fr_tree *tree, const struct fr_entrant *born, size_t born_count,
        const fr_slot *dead, size_t dead_count, size_t reserved)
{
    fr_mutex_lock(&tree->mu);
    tree->corpses_promised -= reserved;
    publish_locked(tree, born, born_count, dead, dead_count);
    fr_mutex_unlock(&tree->mu);
}

void fr_tree_withdraw(struct fr_tree *tree, const struct fr_entrant *unborn, size_t count,
        size_t reserved)
{
    fr_mutex_lock(&tree->mu);
    tree->corpses_promised -= reserved;
    for (size_t i = 0; i < count; i++)
        fr_tree_kill_locked(tree, 0, unborn[i].slot);
    finish_step(tree);
    fr_mutex_unlock(&tree->mu);
}

fr_status fr_tree_add(struct fr_tree *tree, uint64_t id, const float *vector, fr_slot replaces,
        fr_slot *ret_slot)
{
    struct fr_rows *rows = &tree->tiers[0];
    struct fr_entrant entrant = {.id = id};
    fr_status st;

    fr_mutex_lock(&tree->mu);
    entrant.x = tree->vector;
    entrant.high = tree->high;
    entrant.low = tree->low;
    fr_space_map_row(tree->space, vector, entrant.x);
    entrant.scale = fr_row_encode(entrant.x, rows->dims, entrant.high, entrant.low);
    fr_row_decode(entrant.high, entrant.low, entrant.scale, rows->dims, entrant.x);
    entrant.number = FR_SLOT_NONE;
    FR_TRY(fr_tree_reserve_locked(tree, 1));
    FR_TRY(enter_locked(tree, &entrant));
    publish_locked(tree, &entrant, 1, &replaces, replaces != FR_SLOT_NONE);
    *ret_slot = entrant.slot;
out:
    fr_mutex_unlock(&tree->mu);
    return st;
}

fr_status fr_tree_remove(struct fr_tree *tree, fr_slot slot)
{
    fr_status st;

    fr_mutex_lock(&tree->mu);
    FR_TRY(fr_tree_reserve_locked(tree, 1));
    publish_locked(tree, NULL, 0, &slot, 1);
out:
    fr_mutex_unlock(&tree->mu);
    return st;
}
