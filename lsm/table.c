#include "lsm/table.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "io/dir.h"
#include "io/file.h"
#include "io/io_queue.h"
#include "lsm/search.h"
#include "lsm/table_parts.h"
#include "lsm/table_priv.h"
#include "wal/file_name.h"

/* ---- Footer ---- */

static fr_status check_identity(const struct fr_table *t, const struct fr_table_footer *footer)
{
    if (fr_file_id_equal(&footer->id, &t->id)) return FR_OK;
    return FR_FAIL(FR_ERR_FOREIGN, "%s: is table %" PRIu64 " of store %016" PRIx64 "%016" PRIx64,
            fr_table_path(t), footer->id.number, footer->id.store[0], footer->id.store[1]);
}

static fr_status read_footer(struct fr_table *t)
{
    uint8_t bytes[FR_TABLE_FOOTER_SIZE];
    struct fr_table_footer footer;
    struct fr_file_info info;
    fr_status st;

    FR_TRY(fr_file_info_get(t->file, &info));
    t->file_size = info.size;
    if (info.size < FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: %" PRIu64 " bytes are too few for a table",
                fr_table_path(t), info.size);
    FR_TRY(fr_file_read_exact(t->file, info.size - sizeof(bytes), bytes, sizeof(bytes)));
    FR_TRY(fr_table_footer_decode(bytes, fr_table_path(t), info.size, &footer));
    FR_TRY(check_identity(t, &footer));
    FR_TRY(fr_table_footer_check(&footer, fr_table_path(t), info.size));
    t->hash = footer.hash;
    t->data_end = footer.data_end;
    memcpy(t->handles, footer.handles, sizeof(t->handles));
out:
    return st;
}

/* ---- What stands between data and footer ---- */

static fr_status read_meta(struct fr_table *t)
{
    uint64_t size = t->file_size - FR_TABLE_FOOTER_SIZE - t->data_end;
    uint8_t *to = size <= SIZE_MAX ? fr_buf_extend(&t->meta, (size_t)size) : NULL;

    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for %" PRIu64 " bytes of index and filter",
                fr_table_path(t), size);
    return fr_file_read_exact(t->file, t->data_end, to, (size_t)size);
}

/* Check a frame in meta. The handle must lie there. */
static fr_status meta_frame(struct fr_table *t, const struct fr_block_handle *handle,
        enum fr_frame_type type, struct fr_frame *ret_frame)
{
    const uint8_t *at = t->meta.data + (handle->offset - t->data_end);

    return fr_frame_check(fr_slice_of(at, handle->size), t->seed, handle, type, fr_table_path(t),
            ret_frame);
}

/* The same, unpacked into memory of its own, which the caller frees. */
static fr_status meta_unpack(struct fr_table *t, enum fr_table_handle which,
        enum fr_frame_type type, uint8_t **ret_bytes, size_t *ret_size)
{
    const struct fr_block_handle *handle = &t->handles[which];
    struct fr_frame frame;
    uint8_t *bytes = NULL;
    fr_status st;

    FR_TRY(meta_frame(t, handle, type, &frame));
    bytes = fr_alloc_aligned((size_t)frame.raw_size + 1, 64);
    if (bytes == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory for %" PRIu32 " bytes", fr_table_path(t),
                frame.raw_size));
    FR_TRY(fr_frame_unpack(&t->unpacker, &frame, bytes, fr_table_path(t), handle->offset));
    *ret_bytes = FR_TAKE(bytes);
    *ret_size = frame.raw_size;
out:
    fr_free(bytes);
    return st;
}

static fr_status load_properties(struct fr_table *t)
{
    const struct fr_block_handle *handle = &t->handles[FR_TABLE_HANDLE_PROPERTIES];
    struct fr_frame frame;
    fr_status st;

    FR_TRY(meta_frame(t, handle, FR_FRAME_PROPERTIES, &frame));
    if (frame.compression != FR_CODEC_NONE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the properties at %" PRIu64 " are compressed",
                fr_table_path(t), handle->offset);
    FR_TRY(fr_table_properties_get(frame.stored, fr_table_path(t), handle->offset, &t->properties));
out:
    return st;
}

static fr_status load_dictionary(struct fr_table *t)
{
    const struct fr_block_handle *handle = &t->handles[FR_TABLE_HANDLE_DICTIONARY];
    struct fr_frame frame = {.raw_size = 0};
    fr_status st = FR_OK;

    if (handle->size > 0) FR_TRY(meta_frame(t, handle, FR_FRAME_DICTIONARY, &frame));
    if (frame.raw_size != t->properties.dictionary_bytes ||
            frame.raw_size > FR_DICTIONARY_SIZE_MAX || frame.raw_size != frame.stored.size)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the dictionary at %" PRIu64 " has a wrong size",
                fr_table_path(t), handle->offset);
    if (handle->size == 0) return FR_OK;
    FR_TRY(fr_unpacker_set_dictionary(&t->unpacker, frame.stored, fr_table_path(t),
            handle->offset));
out:
    return st;
}

static fr_status load_filter(struct fr_table *t)
{
    size_t size;
    fr_status st;

    if (t->handles[FR_TABLE_HANDLE_FILTER].size == 0) return FR_OK;
    FR_TRY(meta_unpack(t, FR_TABLE_HANDLE_FILTER, FR_FRAME_FILTER, &t->filter_bytes, &size));
    FR_TRY(fr_filter_open(fr_slice_of(t->filter_bytes, size), fr_table_path(t),
            t->handles[FR_TABLE_HANDLE_FILTER].offset, &t->filter));
out:
    return st;
}

/* Fragments are disjoint or equal, and all say DELETE_RANGE. */
static fr_status take_range(struct fr_table *t, const struct fr_entry *entry)
{
    struct fr_range range = {.end = entry->value, .seq = entry->seq};
    size_t count = t->range_list.size / sizeof(range);
    const struct fr_range *list = (const struct fr_range *)(const void *)t->range_list.data;
    const struct fr_range *last = count > 0 ? list + (count - 1) : NULL;

    if (entry->kind != FR_KIND_DELETE_RANGE || entry->flags != 0 || entry->seq == 0 ||
            fr_slice_compare(entry->key, entry->value) >= 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the ranges at %" PRIu64 " hold something else",
                fr_table_path(t), t->handles[FR_TABLE_HANDLE_RANGES].offset);
    if (last != NULL && fr_slice_equal(last->start, entry->key)) {
        range.start = last->start;
        if (!fr_slice_equal(last->end, range.end))
            return FR_FAIL(FR_ERR_CORRUPT, "%s: the ranges at %" PRIu64 " overlap",
                    fr_table_path(t), t->handles[FR_TABLE_HANDLE_RANGES].offset);
    } else {
        if (last != NULL && fr_slice_compare(last->end, entry->key) > 0)
            return FR_FAIL(FR_ERR_CORRUPT, "%s: the ranges at %" PRIu64 " overlap",
                    fr_table_path(t), t->handles[FR_TABLE_HANDLE_RANGES].offset);
        range.start = fr_arena_copy(&t->range_keys, entry->key);
        if (range.start.data == NULL)
            return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for ranges", fr_table_path(t));
    }
    fr_buf_append(&t->range_list, &range, sizeof(range));
    return fr_buf_status(&t->range_list);
}

static fr_status load_ranges(struct fr_table *t)
{
    struct fr_block_iter it;
    struct fr_block block;
    size_t size;
    fr_status st;

    fr_block_iter_init(&it);
    if (t->handles[FR_TABLE_HANDLE_RANGES].size == 0) return FR_OK;
    FR_TRY(meta_unpack(t, FR_TABLE_HANDLE_RANGES, FR_FRAME_RANGES, &t->range_bytes, &size));
    FR_TRY(fr_block_open(fr_slice_of(t->range_bytes, size), fr_table_path(t),
            t->handles[FR_TABLE_HANDLE_RANGES].offset, &block));
    FR_TRY(fr_block_iter_set(&it, &block));
    while ((st = fr_iter_next(&it.iter)) == FR_OK)
        FR_TRY(take_range(t, &it.iter.entry));
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(&it.iter);
    return st;
}

/* ---- The index ---- */

typedef fr_status (*index_fn)(struct fr_table *t, const struct fr_entry *entry,
        const struct fr_block_handle *handle);

/* Call fn for each entry of a top or index block; their frames follow each other from *at on. */
static fr_status walk_index(struct fr_table *t, const struct fr_block_handle *handle,
        enum fr_frame_type type, uint64_t *at, index_fn fn)
{
    struct fr_block_iter it;
    struct fr_frame frame;
    struct fr_block block;
    fr_status st;

    fr_block_iter_init(&it);
    FR_TRY(meta_frame(t, handle, type, &frame));
    if (frame.compression != FR_CODEC_NONE)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: the index at %" PRIu64 " is compressed",
                fr_table_path(t), handle->offset));
    FR_TRY(fr_block_open(frame.stored, fr_table_path(t), handle->offset, &block));
    FR_TRY(fr_block_iter_set(&it, &block));
    while ((st = fr_iter_next(&it.iter)) == FR_OK) {
        struct fr_block_handle child;

        if (!fr_block_handle_get(it.iter.entry.value, &child) || it.iter.entry.seq == 0 ||
                child.offset != *at)
            FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: the index at %" PRIu64 " leads elsewhere",
                    fr_table_path(t), handle->offset));
        *at += child.size;
        FR_TRY(fn(t, &it.iter.entry, &child));
    }
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(&it.iter);
    return st;
}

static fr_slice separator(const struct fr_table_index *index, size_t i)
{
    uint64_t end = fr_get_u64(index->ends.data + 8 * i);
    uint64_t start = i == 0 ? 0 : fr_get_u64(index->ends.data + 8 * (i - 1));

    return fr_slice_of(index->keys.data + start, (size_t)(end - start));
}

static fr_seq separator_seq(const struct fr_table_index *index, size_t i)
{
    return fr_get_u64(index->seqs.data + 8 * i);
}

static fr_status take_data_handle(struct fr_table *t, const struct fr_entry *entry,
        const struct fr_block_handle *handle)
{
    struct fr_table_index *index = &t->index;
    size_t last = index->count - 1;

    if (index->count > 0 && fr_entry_compare(separator(index, last), separator_seq(index, last),
                                    entry->key, entry->seq) >= 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the index is out of order where it leads to %" PRIu64,
                fr_table_path(t), handle->offset);
    fr_buf_append(&index->handles, handle, sizeof(*handle));
    fr_buf_append(&index->keys, entry->key.data, entry->key.size);
    fr_buf_u64(&index->ends, index->keys.size);
    fr_buf_u64(&index->seqs, entry->seq);
    if (index->handles.failed || index->keys.failed || index->ends.failed)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for the index", fr_table_path(t));
    index->count++;
    return fr_buf_status(&index->seqs);
}

/* Data handles start behind the header or where the last one ended. */
static uint64_t data_covered(const struct fr_table *t)
{
    const struct fr_block_handle *handles = (const void *)t->index.handles.data;

    if (t->index.count == 0) return FR_TABLE_HEADER_SIZE;
    return handles[t->index.count - 1].offset + handles[t->index.count - 1].size;
}

static fr_status take_index_handle(struct fr_table *t, const struct fr_entry *entry,
        const struct fr_block_handle *handle)
{
    uint64_t at = data_covered(t);
    fr_status st;

    if (!fr_table_handle_good(handle, t->data_end, t->file_size))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: an index block would be at %" PRIu64, fr_table_path(t),
                handle->offset);
    FR_TRY(walk_index(t, handle, FR_FRAME_INDEX, &at, take_data_handle));
    if (!fr_slice_equal(separator(&t->index, t->index.count - 1), entry->key) ||
            separator_seq(&t->index, t->index.count - 1) != entry->seq)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the index block at %" PRIu64 " ends elsewhere",
                fr_table_path(t), handle->offset);
out:
    return st;
}

/* The separators' first bytes, for the search. */
static fr_status digest_index(struct fr_table *t)
{
    struct fr_table_index *index = &t->index;

    if (index->count == 0) return FR_OK;
    index->common = fr_shared_size(separator(index, 0), separator(index, index->count - 1));
    for (size_t i = 0; i < index->count; i++) {
        fr_slice key = separator(index, i);

        fr_buf_u64(&index->prefixes,
                fr_key_prefix(fr_slice_of(key.data + index->common, key.size - index->common)));
    }
    return fr_buf_status(&index->prefixes);
}

static fr_status load_index(struct fr_table *t)
{
    uint64_t at = t->data_end;
    fr_status st = FR_OK;

    if (t->handles[FR_TABLE_HANDLE_TOP].size > 0)
        FR_TRY(walk_index(t, &t->handles[FR_TABLE_HANDLE_TOP], FR_FRAME_TOP, &at,
                take_index_handle));
    if (data_covered(t) != t->data_end)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the index covers data up to %" PRIu64 ", which end at %" PRIu64,
                fr_table_path(t), data_covered(t), t->data_end);
    FR_TRY(digest_index(t));
out:
    return st;
}

/* ---- Life ---- */

static void table_free(struct fr_table *t)
{
    fr_file_close(t->file);
    fr_buf_deinit(&t->meta);
    fr_free(t->filter_bytes);
    fr_buf_deinit(&t->index.prefixes);
    fr_buf_deinit(&t->index.handles);
    fr_buf_deinit(&t->index.seqs);
    fr_buf_deinit(&t->index.ends);
    fr_buf_deinit(&t->index.keys);
    fr_table_properties_deinit(&t->properties);
    fr_free(t->range_bytes);
    fr_buf_deinit(&t->range_list);
    fr_arena_deinit(&t->range_keys);
    fr_unpacker_deinit(&t->unpacker);
    fr_free(t);
}

static fr_status load_parts(struct fr_table *t)
{
    fr_status st;

    FR_TRY(read_footer(t));
    FR_TRY(read_meta(t));
    FR_TRY(load_properties(t));
    FR_TRY(load_dictionary(t));
    FR_TRY(load_index(t));
    FR_TRY(load_filter(t));
    FR_TRY(load_ranges(t));
    fr_buf_deinit(&t->meta);
out:
    return st;
}

fr_status fr_table_open(struct fr_dir *dir, const struct fr_file_id *id, struct fr_cache *cache,
        struct fr_table **ret_table)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, id->number, name);
    return fr_table_open_as(dir, name, id, cache, ret_table);
}

fr_status fr_table_open_as(struct fr_dir *dir, const char *name, const struct fr_file_id *id,
        struct fr_cache *cache, struct fr_table **ret_table)
{
    return fr_table_open_with(dir, name, id, cache, 0, ret_table);
}

fr_status fr_table_open_with(struct fr_dir *dir, const char *name, const struct fr_file_id *id,
        struct fr_cache *cache, unsigned flags, struct fr_table **ret_table)
{
    struct fr_table *t = FR_NEW(struct fr_table);
    fr_status st;

    if (t == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to open table %s", name);
    t->id = *id;
    t->cache = cache;
    t->seed = fr_file_id_seed(id);
    fr_arena_init(&t->range_keys, 256);
    atomic_init(&t->refs, 1);
    FR_TRY(fr_file_open(dir, name, flags, &t->file));
    if (fr_file_is_direct(t->file)) fr_file_advise(t->file, 0, 0, FR_ADVICE_DONT_NEED);
    FR_TRY(load_parts(t));
    *ret_table = FR_TAKE(t);
out:
    fr_table_unref(t);
    return st;
}

struct fr_table *fr_table_ref(struct fr_table *t)
{
    atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void fr_table_unref(struct fr_table *t)
{
    if (t == NULL) return;
    if (atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) table_free(t);
}

const struct fr_file_id *fr_table_id(const struct fr_table *t)
{
    return &t->id;
}

const char *fr_table_path(const struct fr_table *t)
{
    return fr_file_path(t->file);
}

bool fr_table_is_direct(const struct fr_table *t)
{
    return fr_file_is_direct(t->file);
}

uint64_t fr_table_file_size(const struct fr_table *t)
{
    return t->file_size;
}

struct fr_hash128 fr_table_hash(const struct fr_table *t)
{
    return t->hash;
}

const struct fr_table_properties *fr_table_properties(const struct fr_table *t)
{
    return &t->properties;
}

const struct fr_range *fr_table_ranges(const struct fr_table *t, size_t *ret_count)
{
    *ret_count = t->range_list.size / sizeof(struct fr_range);
    return (const struct fr_range *)(const void *)t->range_list.data;
}

size_t fr_table_memory(const struct fr_table *t)
{
    const struct fr_table_index *index = &t->index;

    return sizeof(*t) + index->prefixes.capacity + index->handles.capacity + index->seqs.capacity +
           index->ends.capacity + index->keys.capacity + t->range_list.capacity +
           t->range_keys.held_bytes + (size_t)t->filter.line_count * FR_FILTER_LINE_SIZE +
           t->unpacker.dictionary_bytes;
}

/* ---- The planner's building blocks ---- */

bool fr_table_has_filter(const struct fr_table *t)
{
    return t->filter.lines != NULL;
}

bool fr_table_may_contain(const struct fr_table *t, uint64_t hash)
{
    if (t->filter.lines == NULL) return t->index.count > 0;
    return fr_filter_may_contain(&t->filter, hash);
}

void fr_table_prefetch(const struct fr_table *t, uint64_t hash)
{
    if (t->filter.lines != NULL) fr_filter_prefetch(&t->filter, hash);
}

/* Among separators whose first bytes tell nothing: the first that is not before (key, seq). */
static size_t search_equal(const struct fr_table_index *index, size_t low, size_t high,
        fr_slice key, fr_seq seq)
{
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (fr_entry_compare(separator(index, middle), separator_seq(index, middle), key, seq) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The first separator that is not before (key, seq); count if there is none. */
static size_t locate(const struct fr_table_index *index, fr_slice key, fr_seq seq)
{
    size_t common = FR_MIN(index->common, key.size);
    int order = common == 0 ? 0 : memcmp(key.data, index->keys.data, common);

    if (index->count == 0 || order > 0) return index->count;
    if (order < 0 || key.size < index->common || key.size == 0) return 0;
    fr_slice rest = fr_slice_of(key.data + index->common, key.size - index->common);
    uint64_t prefix = fr_key_prefix(rest);
    size_t low = fr_count_below(index->prefixes.data, index->count, prefix);
    size_t high = index->count;

    if (low == high || fr_get_u64(index->prefixes.data + 8 * low) != prefix) return low;
    if (prefix < UINT64_MAX)
        high = low + fr_count_below(index->prefixes.data + 8 * low, high - low, prefix + 1);
    return search_equal(index, low, high, key, seq);
}

size_t fr_table_block_count(const struct fr_table *t)
{
    return t->index.count;
}

struct fr_table_spot fr_table_spot_at(const struct fr_table *t, size_t index)
{
    const struct fr_block_handle *handles = (const void *)t->index.handles.data;

    FR_ASSERT(index < t->index.count);
    return (struct fr_table_spot){.handle = handles[index],
            .index = (uint32_t)index,
            .goes_on = separator_seq(&t->index, index) > 1};
}

void fr_table_block_span(const struct fr_table *t, size_t index, fr_slice *ret_low,
        fr_slice *ret_high)
{
    *ret_low = index == 0 ? fr_buf_slice(&t->properties.smallest) : separator(&t->index, index - 1);
    *ret_high = separator(&t->index, index);
}

fr_status fr_table_locate(const struct fr_table *t, fr_slice key, fr_seq seq,
        struct fr_table_spot *ret_spot)
{
    size_t index = locate(&t->index, key, seq);

    if (index == t->index.count) return FR_NOT_FOUND;
    *ret_spot = fr_table_spot_at(t, index);
    return FR_OK;
}

bool fr_table_block_cached(const struct fr_table *t, const struct fr_block_handle *handle,
        struct fr_table_block **ret_block)
{
    struct fr_cache_item *item = fr_cache_lookup(t->cache, t->id.number, handle->offset);

    if (item == NULL) return false;
    *ret_block = FR_CONTAINER_OF(item, struct fr_table_block, item);
    /* Who asks will look into the block next, at once in all of its first lines. */
    for (size_t i = 0; i < 10; i++)
        __builtin_prefetch((const char *)*ret_block + 64 * i);
    return true;
}

void fr_table_block_prefetch(const struct fr_table *t, const struct fr_block_handle *handle,
        size_t lines)
{
    if (lines == 0)
        fr_cache_prefetch(t->cache, t->id.number, handle->offset);
    else
        fr_cache_prefetch_item(t->cache, t->id.number, handle->offset, lines);
}

void fr_table_block_request(const struct fr_table *t, const struct fr_block_handle *handle,
        void *buffer, struct fr_io_request *ret_request)
{
    *ret_request = (struct fr_io_request){.op = FR_IO_READ,
            .file = t->file,
            .data = buffer,
            .size = handle->size,
            .offset = handle->offset};
}

static void destroy_block(struct fr_cache_item *item)
{
    fr_free(FR_CONTAINER_OF(item, struct fr_table_block, item));
}

static fr_status unpack_block(struct fr_table *t, const struct fr_block_handle *handle,
        fr_slice bytes, struct fr_table_block **ret_block)
{
    struct fr_table_block *block = NULL;
    struct fr_frame frame;
    fr_status st;

    FR_TRY(fr_frame_check(bytes, t->seed, handle, FR_FRAME_DATA, fr_table_path(t), &frame));
    block = fr_alloc(sizeof(*block) + frame.raw_size);
    if (block == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a block of %" PRIu32 " bytes",
                fr_table_path(t), frame.raw_size));
    block->item = (struct fr_cache_item){.destroy = destroy_block,
            .file = t->id.number,
            .offset = handle->offset,
            .charge = sizeof(*block) + frame.raw_size};
    FR_TRY(fr_frame_unpack(&t->unpacker, &frame, block->bytes, fr_table_path(t), handle->offset));
    FR_TRY(fr_block_open(fr_slice_of(block->bytes, frame.raw_size), fr_table_path(t),
            handle->offset, &block->block));
    *ret_block = FR_TAKE(block);
out:
    fr_free(block);
    return st;
}

fr_status fr_table_block_unpack(struct fr_table *t, const struct fr_block_handle *handle,
        fr_slice bytes, struct fr_table_block **ret_block)
{
    /* Whoever asks for it, and whether the cache will keep it or not. */
    fr_charge before = fr_account_work_for(fr_cache_charge(t->cache));
    fr_status st = unpack_block(t, handle, bytes, ret_block);

    (void)fr_account_work_for(before);
    return st;
}

struct fr_table_block *fr_table_block_keep(struct fr_table *t, struct fr_table_block *block,
        bool cold)
{
    struct fr_cache_item *item = fr_cache_insert(t->cache, &block->item, cold);

    return FR_CONTAINER_OF(item, struct fr_table_block, item);
}

fr_status fr_table_block_accept(struct fr_table *t, const struct fr_block_handle *handle,
        const struct fr_io_request *request, struct fr_table_block **ret_block)
{
    struct fr_table_block *block;
    fr_status st;

    FR_ASSERT(request->offset == handle->offset && request->size == handle->size);
    FR_TRY(fr_io_request_check_exact(request));
    FR_TRY(fr_table_block_unpack(t, handle, fr_slice_of(request->data, request->size), &block));
    *ret_block = fr_table_block_keep(t, block, false);
out:
    return st;
}

static fr_status fetch_block(struct fr_table *t, const struct fr_block_handle *handle, bool cold,
        struct fr_table_block **ret_block)
{
    struct fr_table_block *block;
    uint8_t *buffer;
    fr_status st;

    buffer = fr_alloc(handle->size);
    if (buffer == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read a block", fr_table_path(t));
    FR_TRY(fr_file_read_exact(t->file, handle->offset, buffer, handle->size));
    FR_TRY(fr_table_block_unpack(t, handle, fr_slice_of(buffer, handle->size), &block));
    *ret_block = fr_table_block_keep(t, block, cold);
out:
    fr_free(buffer);
    return st;
}

fr_status fr_table_block_fetch(struct fr_table *t, const struct fr_block_handle *handle,
        struct fr_table_block **ret_block)
{
    return fetch_block(t, handle, false, ret_block);
}

fr_status fr_table_block_read(struct fr_table *t, const struct fr_block_handle *handle, bool cold,
        struct fr_table_block **ret_block)
{
    if (fr_table_block_cached(t, handle, ret_block)) return FR_OK;
    return fetch_block(t, handle, cold, ret_block);
}

void fr_table_block_release(const struct fr_table *t, struct fr_table_block *block)
{
    if (block != NULL) fr_cache_release(t->cache, &block->item);
}
