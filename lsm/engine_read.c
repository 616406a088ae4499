/*
 * engine_read.c - point reads: from the newest source to the oldest, until nothing older can
 * matter.
 *
 *     active memtable, sealed memtables, level 0 from the newest, level 1, 2, ...
 *
 * A table is looked at if its keys include the key; its block only if the filter lets it. A value
 * that lies in a block or a memtable is handed out where it is: the view and the block stay pinned
 * with it. One in a value file is read into memory of the caller's.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/place.h"
#include "lsm/table.h"

/* Blocks that a lookup may have to keep: one for each fragment's home, mostly one. */
#define PINNED_FEW 8

struct pinned {
    const struct fr_table *table;
    struct fr_table_block *block;
};

struct read {
    struct fr_engine *engine;
    fr_slice key;
    uint64_t hash;
    struct fr_lookup lookup;
    struct pinned few[PINNED_FEW];
    size_t pinned_count;
};

fr_status fr_engine_fetch(void *fetch_ctx, const struct fr_entry *entry, struct fr_buf *to)
{
    const struct fr_fetch_ctx *ctx = fetch_ctx;
    struct fr_place place;

    if (!fr_place_get(entry->value, &place))
        return FR_FAIL(FR_ERR_CORRUPT, "an entry's place of its value makes no sense");
    size_t at = fr_version_find_values(ctx->version, place.file);
    if (at == ctx->version->values_count)
        return FR_FAIL(FR_ERR_CORRUPT, "value file %" PRIu64 " is not part of the store",
                place.file);
    struct fr_value_file *file = ctx->version->values[at]->file;
    if (ctx->windows != NULL)
        return fr_value_windows_fetch(ctx->windows, file, &place, entry->key, entry->seq, to);
    return fr_value_fetch(file, &place, entry->key, entry->seq, to);
}

/* Hand the entries of the key in one block to the lookup. *ret_end: the key ended in this block. */
static fr_status add_from_block(struct read *read, const struct fr_table_block *block, bool stays,
        bool *ret_end)
{
    struct fr_block_iter it;
    fr_status st;

    fr_block_iter_init(&it);
    FR_TRY(fr_block_iter_set(&it, &block->block));
    st = fr_block_get_first(&it, read->key, read->hash, read->lookup.at);
    while (st == FR_OK && fr_slice_equal(it.iter.entry.key, read->key)) {
        FR_TRY(fr_lookup_add(&read->lookup, &it.iter.entry, stays));
        if (fr_lookup_complete(&read->lookup)) break;
        st = fr_iter_next(&it.iter);
    }
    *ret_end = st == FR_OK;
    if (st > 0) st = FR_OK;
out:
    fr_iter_close(&it.iter);
    return st;
}

/* A block for the lookup: kept if there is room to remember it, else its values are copied. */
static fr_status read_block(struct read *read, struct fr_table *table,
        const struct fr_block_handle *handle, bool *ret_end)
{
    struct fr_table_block *block;
    fr_status st = FR_OK;

    if (!fr_table_block_cached(table, handle, &block))
        st = fr_table_block_read(table, handle, false, &block);
    if (st < 0) return st;
    bool stays = read->pinned_count < PINNED_FEW;
    st = add_from_block(read, block, stays, ret_end);
    if (stays)
        read->few[read->pinned_count++] = (struct pinned){.table = table, .block = block};
    else
        fr_table_block_release(table, block);
    return st;
}

static fr_status read_table(struct read *read, const struct fr_version_table *source)
{
    struct fr_table *table = source->table;
    struct fr_table_spot spot;
    bool end = false;
    fr_status st = FR_OK;

    if (source->ranges != NULL)
        fr_lookup_cover(&read->lookup,
                fr_range_set_covering(source->ranges, read->key, read->lookup.at));
    if (!fr_table_may_contain(table, read->hash)) {
        atomic_fetch_add_explicit(&read->engine->filter_useful, 1, memory_order_relaxed);
    } else {
        st = fr_table_locate(table, read->key, read->lookup.at, &spot);
        while (st == FR_OK && !end) {
            FR_TRY(read_block(read, table, &spot.handle, &end));
            if (fr_lookup_complete(&read->lookup) || !spot.goes_on) break;
            spot = fr_table_spot_at(table, spot.index + 1);
        }
    }
    fr_lookup_source_done(&read->lookup);
    if (st > 0) st = FR_OK;
out:
    return st;
}

static bool holds(const struct fr_version_table *table, fr_slice key)
{
    return fr_slice_compare(table->meta.smallest, key) <= 0 &&
           !fr_version_is_before(&table->meta, key);
}

static fr_status read_version(struct read *read, const struct fr_version *version)
{
    const struct fr_version_level *newest = &version->levels[0];
    fr_status st = FR_OK;

    for (size_t i = 0; i < newest->count && !fr_lookup_complete(&read->lookup); i++)
        if (holds(newest->tables[i], read->key)) FR_TRY(read_table(read, newest->tables[i]));
    for (unsigned l = 1; l < FR_LEVEL_COUNT && !fr_lookup_complete(&read->lookup); l++) {
        const struct fr_version_level *level = &version->levels[l];
        size_t at = level->count == 0 ? 0 : fr_version_find(level, read->key);
        if (at < level->count && holds(level->tables[at], read->key))
            FR_TRY(read_table(read, level->tables[at]));
    }
out:
    return st;
}

static fr_status read_memtable(struct read *read, const struct fr_memtable *memtable)
{
    fr_status st = fr_memtable_get(memtable, read->key, &read->lookup);

    return st > 0 ? FR_OK : st;
}

static fr_status read_view(struct read *read, const struct fr_view *view)
{
    fr_status st;

    FR_TRY(read_memtable(read, view->active));
    for (size_t i = 0; i < view->sealed_count && !fr_lookup_complete(&read->lookup); i++)
        FR_TRY(read_memtable(read, view->sealed[i]));
    if (!fr_lookup_complete(&read->lookup)) st = read_version(read, view->version);
out:
    return st;
}

/* Keep what the value lies in; one in memory of its own needs nothing of the store. */
static void hand_over(struct read *read, struct fr_engine_value *value, struct fr_view *view)
{
    bool copied = value->bytes.size == 0 ||
                  (value->buf.data != NULL && value->bytes.data >= value->buf.data &&
                          value->bytes.data < value->buf.data + value->buf.capacity);

    if (copied) return;
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    value->view = view;
    for (size_t i = 0; i < read->pinned_count; i++) {
        struct pinned *pinned = &read->few[i];
        if (value->bytes.data < pinned->block->block.values ||
                value->bytes.data >= pinned->block->block.values_end)
            continue;
        value->block = pinned->block;
        value->table = pinned->table;
        *pinned = read->few[--read->pinned_count];
        return;
    }
}

struct fr_view *fr_engine_view_take(struct fr_engine *engine, fr_seq *at)
{
    struct fr_view *view = fr_engine_view(engine);

    /* After the view: what it shows must have been published before it was taken. */
    if (*at == FR_SEQ_MAX) *at = fr_engine_last_seq(engine);
    return view;
}

void fr_engine_view_release(struct fr_view *view)
{
    fr_view_unref(view);
}

fr_status fr_engine_get_in(struct fr_engine *engine, struct fr_view *view, fr_slice key, fr_seq at,
        struct fr_engine_value *ret_value)
{
    struct read read = {.engine = engine, .key = key, .hash = fr_hash64(key)};
    struct fr_fetch_ctx fetch_ctx = {.version = view->version};
    struct fr_engine_value value = {0};
    fr_status st;

    fr_lookup_init(&read.lookup, key, at, fr_env_wall_us(engine->env));
    st = read_view(&read, view);
    if (st == FR_OK)
        st = fr_lookup_value(&read.lookup, fr_engine_fetch, &fetch_ctx, &value.buf, &value.bytes,
                NULL);
    if (st == FR_OK) hand_over(&read, &value, view);
    for (size_t i = 0; i < read.pinned_count; i++)
        fr_table_block_release(read.few[i].table, read.few[i].block);
    fr_lookup_deinit(&read.lookup);
    if (st == FR_OK)
        *ret_value = value;
    else
        fr_engine_value_release(&value);
    return st;
}

fr_status fr_engine_get(struct fr_engine *engine, fr_slice key, fr_seq at,
        struct fr_engine_value *ret_value)
{
    struct fr_view *view = fr_engine_view_take(engine, &at);
    fr_status st = fr_engine_get_in(engine, view, key, at, ret_value);

    fr_view_unref(view);
    return st;
}

void fr_engine_value_release(struct fr_engine_value *value)
{
    if (value->block != NULL) fr_table_block_release(value->table, value->block);
    fr_buf_deinit(&value->buf);
    fr_view_unref(value->view);
    *value = (struct fr_engine_value){0};
}
