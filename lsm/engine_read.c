/*
 * engine_read.c - point reads: from the newest source to the oldest, until nothing older can
 * matter.
 *
 *     active memtable, sealed memtables, level 0 from the newest, level 1, 2, ...
 *
 * A table is looked at if its keys include the key; its block only if the filter lets it. A value
 * is handed out where it lies: in a memtable, which the view keeps, or in a block or a record of a
 * value file, which stay pinned. Only what is put together from parts gets memory of its own.
 *
 * Most of the time of a lookup is spent waiting for memory. So what is going to be looked at is
 * asked for early: the filters of all tables at once, a value's first line along with its entry's.
 */
#include "lsm/engine_read.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "io/file.h"
#include "io/io_queue.h"

/* Tables whose filters are asked for at once. */
#define AHEAD 16

static fr_status find_values(const struct fr_version *version, fr_slice stored,
        struct fr_place *ret_place, struct fr_value_file **ret_file)
{
    if (!fr_place_get(stored, ret_place))
        return FR_FAIL(FR_ERR_CORRUPT, "an entry's place of its value makes no sense");
    size_t at = fr_version_find_values(version, ret_place->file);
    if (at == version->values_count)
        return FR_FAIL(FR_ERR_CORRUPT, "value file %" PRIu64 " is not part of the store",
                ret_place->file);
    *ret_file = version->values[at]->file;
    return FR_OK;
}

struct fr_value_file *fr_engine_find_values(const void *version, uint64_t number)
{
    const struct fr_version *v = version;
    size_t at = fr_version_find_values(v, number);

    return at == v->values_count ? NULL : v->values[at]->file;
}

fr_status fr_engine_fetch(void *fetch_ctx, const struct fr_entry *entry, struct fr_buf *to)
{
    const struct fr_fetch_ctx *ctx = fetch_ctx;
    struct fr_value_file *file = NULL;
    struct fr_place place;
    fr_slice value;

    fr_status st = find_values(ctx->version, entry->value, &place, &file);
    if (st < 0) return st;
    if (ctx->windows != NULL) {
        st = fr_value_windows_get(ctx->windows, &place, entry->key, entry->seq, &value);
        if (st == FR_OK) fr_buf_append(to, value.data, value.size);
        return st < 0 ? st : fr_buf_status(to);
    }
    return fr_value_fetch(file, &place, entry->key, entry->seq, to);
}

/* ---- The steps ---- */

static bool holds(const struct fr_version_table *table, fr_slice key)
{
    return fr_slice_compare(table->meta.smallest, key) <= 0 &&
           !fr_version_is_before(&table->meta, key);
}

const struct fr_version_table *fr_sources_next(struct fr_sources *s)
{
    const struct fr_version_level *newest = &s->version->levels[0];

    while (s->next < newest->count) {
        const struct fr_version_table *table = newest->tables[s->next++];
        if (holds(table, s->key)) return table;
    }
    while (++s->level < FR_LEVEL_COUNT) {
        const struct fr_version_level *level = &s->version->levels[s->level];
        size_t at = level->count == 0 ? 0 : fr_version_find(level, s->key);
        if (at < level->count && holds(level->tables[at], s->key)) return level->tables[at];
    }
    return NULL;
}

void fr_read_begin(struct fr_read *read, struct fr_engine *engine, const struct fr_view *view,
        fr_slice key, uint64_t hash, fr_seq at)
{
    read->engine = engine;
    read->view = view;
    read->hash = hash;
    read->block_count = 0;
    read->record = NULL;
    read->filters = (struct fr_filter_counts){0};
    fr_lookup_init(&read->lookup, key, at, 0);
    read->lookup.clock = engine->env;
}

void fr_read_end(struct fr_read *read)
{
    for (size_t i = 0; i < read->block_count; i++)
        fr_cache_release(read->engine->cache, &read->blocks[i]->item);
    if (read->record != NULL) fr_cache_release(read->engine->cache, &read->record->item);
    fr_lookup_deinit(&read->lookup);
    fr_engine_count_filters(read->engine, &read->filters);
}

bool fr_read_passes(struct fr_read *read, const struct fr_table *table)
{
    bool asked = fr_table_has_filter(table);
    bool passes = fr_table_may_contain(table, read->hash);

    read->filters.checked += asked;
    read->filters.useful += asked && !passes;
    return passes;
}

static fr_status read_memtable(struct fr_read *read, const struct fr_memtable *memtable)
{
    fr_status st = fr_memtable_get(memtable, read->lookup.key, &read->lookup);

    if (st >= 0) fr_lookup_source_done(&read->lookup);
    return st > 0 ? FR_OK : st;
}

fr_status fr_read_memtables(struct fr_read *read)
{
    const struct fr_view *view = read->view;
    fr_status st;

    FR_TRY(read_memtable(read, view->active));
    for (size_t i = 0; i < view->sealed_count && !fr_lookup_complete(&read->lookup); i++)
        FR_TRY(read_memtable(read, view->sealed[i]));
out:
    return st;
}

void fr_read_ranges(struct fr_read *read, const struct fr_version_table *source)
{
    if (source->ranges == NULL) return;
    fr_lookup_cover(&read->lookup,
            fr_range_set_covering(source->ranges, read->lookup.key, read->lookup.at));
}

/* With stays, values are borrowed from the block. */
static fr_status add_from_block(struct fr_read *read, const struct fr_table_block *block,
        bool stays, bool *ret_end)
{
    struct fr_lookup *lookup = &read->lookup;
    struct fr_block_iter it;
    fr_status st;

    fr_block_iter_init(&it);
    FR_TRY(fr_block_iter_set(&it, &block->block));
    st = fr_block_get_first(&it, lookup->key, read->hash, lookup->at);
    while (st == FR_OK && fr_slice_equal(it.iter.entry.key, lookup->key)) {
        read->seen = true;
        FR_TRY(fr_lookup_add(lookup, &it.iter.entry, stays));
        if (fr_lookup_complete(lookup)) break;
        st = fr_iter_next(&it.iter);
    }
    *ret_end = st == FR_OK;
    if (st > 0) st = FR_OK;
out:
    fr_iter_close(&it.iter);
    return st;
}

fr_status fr_read_block(struct fr_read *read, struct fr_table_block *block, bool *ret_end)
{
    bool stays = read->block_count < FR_READ_BLOCKS;
    size_t before = fr_lookup_parts(&read->lookup);
    fr_status st = add_from_block(read, block, stays, ret_end);

    /* A block that had nothing to say must not take the room of one that has. */
    if (stays && fr_lookup_parts(&read->lookup) > before)
        read->blocks[read->block_count++] = block;
    else
        fr_cache_release(read->engine->cache, &block->item);
    return st;
}

fr_status fr_read_place(const struct fr_read *read, struct fr_read_place *ret_place)
{
    struct fr_entry base;

    if (!fr_lookup_placed(&read->lookup, &base)) return FR_NOT_FOUND;
    ret_place->seq = base.seq;
    return find_values(read->view->version, base.value, &ret_place->place, &ret_place->file);
}

fr_status fr_read_record(struct fr_read *read, const struct fr_read_place *at)
{
    struct fr_cache *cache = read->engine->cache;
    fr_slice key = read->lookup.key;
    struct fr_value_record *record = NULL;
    struct fr_io_request request;

    fr_status st = fr_value_record_cached(at->file, cache, &at->place, key, at->seq, &record);
    if (st == FR_NOT_FOUND) {
        FR_TRY(fr_value_record_new(at->file, &at->place, key, &record, &request));
        FR_TRY(fr_file_read(request.file, request.offset, request.data, request.size,
                &request.done_size));
        request.status = FR_OK;
        st = fr_value_record_accept(at->file, cache, &at->place, key, at->seq, &request, &record);
    }
    FR_TRY(st);
    read->record = FR_TAKE(record);
out:
    fr_value_record_free(record);
    return st;
}

/* ---- The outcome ---- */

static fr_status append_record(void *ctx, const struct fr_entry *entry, struct fr_buf *to)
{
    const struct fr_read *read = ctx;
    fr_slice value = fr_value_record_value(read->record);

    (void)entry;
    fr_buf_append(to, value.data, value.size);
    return fr_buf_status(to);
}

/* Keep what a value lies in that was not put together: a block, or else a memtable. */
static void keep_home(struct fr_read *read, struct fr_engine_value *value)
{
    for (size_t i = 0; i < read->block_count; i++) {
        struct fr_table_block *block = read->blocks[i];
        if (value->bytes.data < block->block.values || value->bytes.data >= block->block.values_end)
            continue;
        value->item = &block->item;
        read->blocks[i] = read->blocks[--read->block_count];
        return;
    }
    value->view = fr_view_ref(fr_unconst(read->view));
}

fr_status fr_read_finish(struct fr_read *read, struct fr_engine_value *ret_value)
{
    struct fr_engine_value value = {.cache = read->engine->cache};
    size_t parts = fr_lookup_parts(&read->lookup);
    fr_status st;

    if (parts == 1 && read->record != NULL) {
        value.bytes = fr_value_record_value(read->record);
        value.spot = fr_value_record_spot(read->record);
        value.item = &FR_TAKE(read->record)->item;
    } else {
        FR_TRY(fr_lookup_value(&read->lookup, append_record, read, &value.buf, &value.bytes, NULL));
        if (st == FR_OK && parts == 1 && value.bytes.size > 0) keep_home(read, &value);
    }
    if (parts > 0) *ret_value = value;
    return parts > 0 ? FR_OK : FR_NOT_FOUND;
out:
    fr_buf_deinit(&value.buf);
    return st;
}

void fr_engine_value_release(struct fr_engine_value *value)
{
    fr_cache_release(value->cache, value->item);
    fr_buf_deinit(&value->buf);
    fr_view_unref(value->view);
    *value = (struct fr_engine_value){0};
}

/* ---- One key ---- */

static fr_status block_of(struct fr_table *table, const struct fr_block_handle *handle,
        struct fr_table_block **ret_block)
{
    if (fr_table_block_cached(table, handle, ret_block)) return FR_OK;
    return fr_table_block_fetch(table, handle, ret_block);
}

fr_status fr_read_table(struct fr_read *read, struct fr_table *table, struct fr_table_spot spot,
        struct fr_table_block *block)
{
    bool end = false;
    fr_status st;

    read->seen = false;
    for (;;) {
        if (block == NULL) FR_TRY(block_of(table, &spot.handle, &block));
        FR_TRY(fr_read_block(read, FR_TAKE(block), &end));
        if (end || fr_lookup_complete(&read->lookup) || !spot.goes_on) break;
        spot = fr_table_spot_at(table, spot.index + 1);
    }
    read->filters.wrong += !read->seen && fr_table_has_filter(table);
out:
    return st;
}

static fr_status read_planned(struct fr_read *read, const struct fr_version_table **tables,
        size_t count)
{
    struct fr_table_spot spot;
    fr_status st = FR_OK;

    for (size_t i = 0; i < count && !fr_lookup_complete(&read->lookup); i++) {
        struct fr_table *table = tables[i]->table;
        fr_read_ranges(read, tables[i]);
        if (fr_read_passes(read, table) &&
                fr_table_locate(table, read->lookup.key, read->lookup.at, &spot) == FR_OK)
            FR_TRY(fr_read_table(read, table, spot, NULL));
        fr_lookup_source_done(&read->lookup);
    }
out:
    return st;
}

fr_status fr_read_sources(struct fr_read *read, struct fr_sources *sources)
{
    const struct fr_version_table *tables[AHEAD];
    size_t count = AHEAD;
    fr_status st = FR_OK;

    while (count == AHEAD && !fr_lookup_complete(&read->lookup)) {
        for (count = 0; count < AHEAD; count++) {
            tables[count] = fr_sources_next(sources);
            if (tables[count] == NULL) break;
            fr_table_prefetch(tables[count]->table, read->hash);
        }
        FR_TRY(read_planned(read, tables, count));
    }
out:
    return st;
}

static fr_status read_version(struct fr_read *read)
{
    struct fr_sources sources = {.version = read->view->version, .key = read->lookup.key};

    return fr_read_sources(read, &sources);
}

fr_status fr_engine_get_in(struct fr_engine *engine, struct fr_view *view, fr_slice key, fr_seq at,
        struct fr_engine_value *ret_value)
{
    struct fr_read_place place = {0};
    struct fr_read read;
    fr_status st;

    fr_read_begin(&read, engine, view, key, fr_hash64(key), at);
    FR_TRY(fr_read_memtables(&read));
    if (!fr_lookup_complete(&read.lookup)) FR_TRY(read_version(&read));
    FR_TRY(fr_read_place(&read, &place));
    if (st == FR_OK) FR_TRY(fr_read_record(&read, &place));
    st = fr_read_finish(&read, ret_value);
out:
    fr_read_end(&read);
    return st;
}

fr_status fr_engine_get(struct fr_engine *engine, fr_slice key, fr_seq at,
        struct fr_engine_value *ret_value)
{
    struct fr_view *view = fr_engine_view_take(engine, &at);
    fr_status st = fr_engine_get_in(engine, view, key, at, ret_value);

    fr_engine_view_release(engine, view);
    return st;
}
