/* tree_cold.c - codes of a tree's vectors leave memory, and come back (spfresh/rows_cold.h). */
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "spfresh/row_digest.h"
#include "spfresh/tree_priv.h"

void fr_tree_set_file(struct fr_tree *tree, struct fr_file *file)
{
    fr_mutex_lock(&tree->mu);
    FR_ASSERT(tree->tiers[0].file == NULL);
    tree->tiers[0].file = file;
    fr_mutex_unlock(&tree->mu);
}

bool fr_tree_has_file(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    bool has = tree->tiers[0].file != NULL;
    fr_mutex_unlock(&tree->mu);
    return has;
}

/* Low bits of all chunks before the high bytes of any: hardly a search looks at those. */
static fr_status cool_locked(struct fr_tree *tree, size_t *ret_bytes) FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[0];
    enum fr_code_part part = FR_CODE_LOW;
    uint32_t chunk;

    fr_status st = fr_rows_cool(rows, part, &chunk);
    if (st == FR_END) {
        part = FR_CODE_HIGH;
        st = fr_rows_cool(rows, part, &chunk);
    }
    if (st != FR_OK) return st;
    fr_epoch_wait(&tree->epoch); /* who looks at it in memory has begun before */
    *ret_bytes = fr_rows_drop(rows, part, chunk);
    return FR_OK;
}

fr_status fr_tree_cool(struct fr_tree *tree, size_t *ret_bytes)
{
    fr_mutex_lock(&tree->mu);
    fr_status st = cool_locked(tree, ret_bytes);
    fr_mutex_unlock(&tree->mu);
    return st;
}

fr_status fr_tree_warm(struct fr_tree *tree, size_t *ret_bytes)
{
    struct fr_rows *rows = &tree->tiers[0];

    fr_mutex_lock(&tree->mu);
    enum fr_code_part part = rows->cold[FR_CODE_HIGH] > 0 ? FR_CODE_HIGH : FR_CODE_LOW;
    fr_status st = fr_rows_warm(rows, part);
    *ret_bytes = fr_rows_part_bytes(rows, part);
    fr_mutex_unlock(&tree->mu);
    return st;
}

void fr_tree_count_cold(struct fr_tree *tree, uint64_t *ret_cool, uint64_t *ret_cold)
{
    const struct fr_rows *rows = &tree->tiers[0];

    fr_mutex_lock(&tree->mu);
    uint64_t cool = rows->cold[FR_CODE_LOW], cold = rows->cold[FR_CODE_HIGH];
    *ret_cool = (cool - cold) << rows->chunk_bits;
    *ret_cold = cold << rows->chunk_bits;
    fr_mutex_unlock(&tree->mu);
}

fr_status fr_tree_has_code(struct fr_tree *tree, fr_slot slot, const struct fr_code *code,
        const struct fr_code_room *room, bool *ret_has)
{
    const struct fr_rows *rows = &tree->tiers[0];
    const int8_t *high;
    const uint8_t *low;

    unsigned reader = fr_epoch_enter(&tree->epoch); /* what is in memory stays there */
    fr_status st = fr_rows_code(rows, slot, room, &high, &low);
    *ret_has = st == FR_OK && code->scale == fr_rows_row(rows, slot)->scale &&
               memcmp(code->high, high, rows->dims) == 0 &&
               memcmp(code->low, low, fr_row_low_size(rows->dims)) == 0;
    fr_epoch_leave(&tree->epoch, reader);
    return st < 0 ? st : FR_OK;
}

fr_status fr_tree_code_digest(struct fr_tree *tree, fr_slot slot, const struct fr_code_room *room,
        uint64_t *ret_digest)
{
    const struct fr_rows *rows = &tree->tiers[0];
    const int8_t *high;
    const uint8_t *low;

    unsigned reader = fr_epoch_enter(&tree->epoch); /* what is in memory stays there */
    fr_status st = fr_rows_code(rows, slot, room, &high, &low);
    if (st == FR_OK)
        *ret_digest = fr_code_digest(fr_rows_row(rows, slot)->scale, high, low, rows->dims);
    fr_epoch_leave(&tree->epoch, reader);
    return st < 0 ? st : FR_OK;
}
