/*
 * table_iter.c - walking over a table: one block at a time, and ahead of it the next transfer.
 *
 * The iterator stands in a block or, with block NULL, before the first or behind the last one. In a
 * block, the block's iterator knows where. A gap at the end of one block is the gap before the
 * next; whoever moves on from it goes there.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "io/file.h"
#include "lsm/table.h"
#include "lsm/table_priv.h"

struct table_iter {
    struct fr_iter iter;
    struct fr_table *table;
    struct fr_table_iter_options options;
    struct fr_block_iter in;
    struct fr_table_block *block; /* pinned, or own if not kept, or NULL */
    bool own;
    bool behind;      /* with block NULL: behind all, else before all */
    size_t index;     /* of the block */
    fr_status status; /* what went wrong in a seek, or since */

    /* Reading ahead. */
    uint8_t *ahead;
    size_t ahead_capacity;
    size_t ahead_size; /* bytes that are there */
    uint64_t ahead_offset;
    size_t window;    /* bytes to read next time */
    size_t last_read; /* index of the block that was read last; no cache hits */
    unsigned in_a_row;
};

static inline struct table_iter *self(struct fr_iter *iter)
{
    return FR_CONTAINER_OF(iter, struct table_iter, iter);
}

static void drop_block(struct table_iter *it)
{
    if (it->own)
        fr_free(it->block);
    else
        fr_table_block_release(it->table, it->block);
    it->block = NULL;
    it->own = false;
}

/* ---- Reading ahead ---- */

/* Note the read of a block: more of them in a row open the window. */
static void note_read(struct table_iter *it, size_t index)
{
    bool neighbour = index == it->last_read + 1 || index + 1 == it->last_read;

    it->in_a_row = neighbour ? it->in_a_row + 1 : 0;
    if (!neighbour) it->window = FR_TABLE_READAHEAD_FIRST;
}

/* Where a span of that size that ends there starts; it has all from start on in any case. */
static uint64_t earliest(uint64_t start, uint64_t end, size_t window)
{
    uint64_t from = end - FR_TABLE_HEADER_SIZE > window ? end - window : FR_TABLE_HEADER_SIZE;

    return FR_MIN(start, from);
}

static uint64_t latest(uint64_t end, uint64_t wanted, uint64_t data_end)
{
    uint64_t to = FR_MIN(wanted, data_end);

    return FR_MAX(end, to);
}

/* What to read so that the block is in it: from it onwards, or up to it on the way back. */
static void choose_span(const struct table_iter *it, const struct fr_block_handle *handle,
        size_t index, uint64_t *ret_offset, size_t *ret_size)
{
    uint64_t start = handle->offset, end = start + handle->size;

    if (it->in_a_row >= 2 && index >= it->last_read)
        end = latest(end, start + it->window, it->table->data_end);
    else if (it->in_a_row >= 2)
        start = earliest(start, end, it->window);
    *ret_offset = start;
    *ret_size = (size_t)(end - start);
}

/* A buffer of at least that size, without what was in it: nobody pays for copying that. */
static fr_status make_room(struct table_iter *it, size_t size)
{
    it->ahead_size = 0;
    if (size <= it->ahead_capacity) return FR_OK;
    fr_free(FR_TAKE(it->ahead));
    it->ahead_capacity = 0;
    it->ahead = fr_alloc(size);
    if (it->ahead == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read ahead", fr_table_path(it->table));
    it->ahead_capacity = size;
    return FR_OK;
}

static fr_status read_span(struct table_iter *it, uint64_t offset, size_t size)
{
    fr_status st;

    FR_TRY(make_room(it, size));
    FR_TRY(fr_file_read_exact(it->table->file, offset, it->ahead, size));
    it->ahead_offset = offset;
    it->ahead_size = size;
out:
    return st;
}

static bool in_ahead(const struct table_iter *it, const struct fr_block_handle *handle)
{
    return handle->offset >= it->ahead_offset && handle->size <= it->ahead_size &&
           handle->offset - it->ahead_offset <= it->ahead_size - handle->size;
}

static fr_status fetch(struct table_iter *it, const struct fr_block_handle *handle, size_t index)
{
    size_t most = it->options.readahead_max;
    uint64_t offset;
    size_t size;
    fr_status st;

    note_read(it, index);
    if (in_ahead(it, handle)) return FR_OK;
    choose_span(it, handle, index, &offset, &size);
    FR_TRY(read_span(it, offset, size));
    if (it->in_a_row >= 2) {
        FR_COVER("table: reads ahead");
        it->window = FR_MIN(2 * it->window, most);
    }
out:
    return st;
}

static fr_status read_block(struct table_iter *it, const struct fr_block_handle *handle,
        size_t index)
{
    struct fr_table_block *block;
    fr_status st;

    FR_TRY(fetch(it, handle, index));
    it->last_read = index;
    FR_TRY(fr_table_block_unpack(it->table, handle,
            fr_slice_of(it->ahead + (handle->offset - it->ahead_offset), handle->size), &block));
    it->own = !it->options.fill_cache;
    it->block = it->own ? block : fr_table_block_keep(it->table, block, true);
out:
    return st;
}

/* Enter a block; its iterator stands before its first entry. */
static fr_status enter(struct table_iter *it, size_t index)
{
    struct fr_table_spot spot = fr_table_spot_at(it->table, index);
    fr_status st = FR_OK;

    drop_block(it);
    it->index = index;
    if (!fr_table_block_cached(it->table, &spot.handle, &it->block))
        FR_TRY(read_block(it, &spot.handle, index));
    FR_TRY(fr_block_iter_set(&it->in, &it->block->block));
    return FR_OK;
out:
    drop_block(it);
    it->status = st;
    return st;
}

/* A block that was not entered. FR_OK: it was damage, and is passed over. */
static fr_status pass_over(struct table_iter *it, size_t index)
{
    fr_slice low, high;

    if (it->status != FR_ERR_CORRUPT || it->options.damage == NULL) return it->status;
    FR_COVER("table: passes over a damaged block");
    fr_table_block_span(it->table, index, &low, &high);
    it->status = it->options.damage(it->options.damage_ctx, low, high);
    return it->status;
}

static void stand_behind(struct table_iter *it)
{
    drop_block(it);
    it->status = FR_OK;
    it->behind = true;
}

/* Enter that block, or the first one behind it that can be. FR_END: there is none. */
static fr_status enter_from(struct table_iter *it, size_t index)
{
    for (size_t count = fr_table_block_count(it->table); index < count; index++) {
        if (FR_LIKELY(enter(it, index) == FR_OK)) return FR_OK;
        if (pass_over(it, index) < 0) return it->status;
    }
    stand_behind(it);
    return FR_END;
}

/* ---- Moves ---- */

static fr_status fail(struct table_iter *it)
{
    return it->status;
}

static void seek_first(struct fr_iter *iter)
{
    struct table_iter *it = self(iter);

    drop_block(it);
    it->status = FR_OK;
    it->behind = false;
}

static void seek_last(struct fr_iter *iter)
{
    stand_behind(self(iter));
}

static void seek(struct fr_iter *iter, fr_slice key, fr_seq seq)
{
    struct table_iter *it = self(iter);
    struct fr_table_spot spot;

    it->status = FR_OK;
    if (fr_table_locate(it->table, key, seq, &spot) != FR_OK) {
        seek_last(iter);
        return;
    }
    if (it->block == NULL || it->index != spot.index)
        if (enter_from(it, spot.index) != FR_OK) return;
    /* What stands behind a damaged block stands before all of its own. */
    if (FR_LIKELY(it->index == spot.index)) fr_iter_seek(&it->in.iter, key, seq);
}

/* The block's iterator has come to its end: the next block, or behind them all. */
static fr_status next_block(struct table_iter *it)
{
    size_t next = it->block == NULL ? 0 : it->index + 1;
    fr_status st;

    if (it->block == NULL && it->behind) return FR_END;
    FR_TRY(enter_from(it, next));
    if (st == FR_END) return FR_END;
    st = fr_iter_next(&it->in.iter);
    it->iter.entry = it->in.iter.entry;
out:
    return st;
}

static fr_status next(struct fr_iter *iter)
{
    struct table_iter *it = self(iter);

    if (FR_UNLIKELY(it->status < 0)) return fail(it);
    if (FR_LIKELY(it->block != NULL) && FR_LIKELY(fr_iter_next(&it->in.iter) == FR_OK)) {
        it->iter.entry = it->in.iter.entry;
        return FR_OK;
    }
    return next_block(it);
}

static fr_status prev_block(struct table_iter *it)
{
    size_t from = it->block == NULL ? fr_table_block_count(it->table) : it->index;
    fr_status st;

    if ((it->block == NULL && !it->behind) || from == 0) {
        seek_first(&it->iter);
        return FR_END;
    }
    FR_TRY(enter(it, from - 1));
    fr_iter_seek_last(&it->in.iter);
    st = fr_iter_prev(&it->in.iter);
    it->iter.entry = it->in.iter.entry;
out:
    return st;
}

static fr_status prev(struct fr_iter *iter)
{
    struct table_iter *it = self(iter);

    if (FR_UNLIKELY(it->status < 0)) return fail(it);
    if (FR_LIKELY(it->block != NULL) && FR_LIKELY(fr_iter_prev(&it->in.iter) == FR_OK)) {
        it->iter.entry = it->in.iter.entry;
        return FR_OK;
    }
    return prev_block(it);
}

static void close_iter(struct fr_iter *iter)
{
    struct table_iter *it = self(iter);

    drop_block(it);
    fr_iter_close(&it->in.iter);
    fr_free(it->ahead);
    fr_table_unref(it->table);
    fr_free(it);
}

static const struct fr_iter_ops table_iter_ops = {
        .close = close_iter,
        .seek = seek,
        .seek_first = seek_first,
        .seek_last = seek_last,
        .next = next,
        .prev = prev,
};

fr_status fr_table_iter_new(struct fr_table *table, const struct fr_table_iter_options *options,
        struct fr_iter **ret_iter)
{
    struct table_iter *it = FR_NEW(struct table_iter);

    if (it == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for an iterator", fr_table_path(table));
    if (options != NULL) it->options = *options;
    if (it->options.readahead_max == 0) it->options.readahead_max = FR_TABLE_READAHEAD_DEFAULT;
    it->iter.ops = &table_iter_ops;
    it->table = fr_table_ref(table);
    it->window = FR_TABLE_READAHEAD_FIRST;
    it->last_read = SIZE_MAX / 2;
    fr_block_iter_init(&it->in);
    *ret_iter = &it->iter;
    return FR_OK;
}
