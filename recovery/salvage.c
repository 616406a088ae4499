#include "recovery/salvage.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/crc32c.h"
#include "io/dir.h"
#include "lsm/block.h"
#include "lsm/frame.h"
#include "lsm/table.h"
#include "wal/file_name.h"

/* A frame behind damage is looked for so far from each place where it may begin. */
#define SEARCH_BYTES ((uint64_t)256 << 10)

struct fr_salvage {
    struct fr_file_id id;
    const struct fr_edit_table *meta;
    struct fr_table *table; /* NULL: it does not open */
    char path[512];
    char words[FR_ERROR_TEXT_MAX]; /* what is wrong first */

    /* Of one that does not open: all of its bytes, and what makes sense of them. */
    uint8_t *bytes;
    size_t size;
    struct fr_unpacker unpacker;
    struct fr_table_properties properties;
    uint32_t seed;
    bool has_properties;
    bool ends_well; /* the last data block is followed by what should follow it */
    bool ranges_seen;
    bool other; /* whole, but not the one that the manifest knows */

    bool surveyed; /* the first walk is over: gaps are all there */
    bool gap;      /* between the last entry and the next one */
    bool inside;   /* of a block */

    struct fr_buf blocks; /* struct fr_block_handle, of data */
    struct fr_buf lost;   /* for each of them a byte: 1 if it could not be read the first time */
    struct fr_buf ranges; /* struct fr_range */
    struct fr_arena keys; /* of gaps and ranges */
    struct fr_buf gaps;   /* struct fr_gap */

    /* The walk. */
    size_t next_block;
    uint64_t end; /* of the last block: there is a gap, if the next one stands elsewhere */
    struct fr_table_block *held; /* of an open table */
    struct fr_buf raw;           /* of one that is not */
    struct fr_block block;
    struct fr_block_iter in;
    struct fr_buf last_key;
    fr_seq last_seq;
    uint64_t entry_count;
};

static size_t block_count(const struct fr_salvage *s)
{
    return s->blocks.size / sizeof(struct fr_block_handle);
}

static struct fr_block_handle handle_at(const struct fr_salvage *s, size_t index)
{
    return ((const struct fr_block_handle *)(const void *)s->blocks.data)[index];
}

static void note(struct fr_salvage *s)
{
    if (s->words[0] == '\0') (void)snprintf(s->words, sizeof(s->words), "%s", fr_last_error());
}

const char *fr_salvage_words(const struct fr_salvage *salvage)
{
    return salvage->words;
}

/* --- Gaps --- */

static fr_seq newest_of(const struct fr_salvage *s)
{
    if (s->meta != NULL) return s->meta->largest_seq;
    if (s->table != NULL) return fr_table_properties(s->table)->seq_most;
    return s->has_properties ? s->properties.seq_most : FR_SEQ_MAX;
}

static fr_status copy_key(struct fr_salvage *s, fr_slice key, fr_slice *ret_copy)
{
    uint8_t *to = fr_arena_alloc(&s->keys, key.size + 1, 1);

    if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to salvage it", s->path);
    memcpy(to, key.data == NULL ? (const void *)"" : key.data, key.size);
    *ret_copy = fr_slice_of(to, key.size);
    return FR_OK;
}

/* From the last entry that was read up to this one; NULL: to the end of the table. */
static fr_status add_gap(struct fr_salvage *s, const struct fr_entry *until)
{
    struct fr_gap gap = {.newest = newest_of(s)};
    fr_slice low = fr_buf_slice(&s->last_key), high = {0};
    fr_status st;

    gap.low_seq = s->last_seq;
    if (low.size == 0 && s->meta != NULL) {
        low = s->meta->smallest;
        gap.low_seq = FR_SEQ_MAX;
    }
    if (until != NULL) {
        high = until->key;
        gap.high_seq = until->seq;
    } else if (s->meta != NULL) {
        high = s->meta->largest;
    }
    FR_TRY(copy_key(s, low, &gap.low));
    FR_TRY(copy_key(s, high, &gap.high));
    fr_buf_append(&s->gaps, &gap, sizeof(gap));
    st = fr_buf_status(&s->gaps);
out:
    return st;
}

/* All of the table, as for range deletes, which stand for keys anywhere in it. */
static fr_status add_whole_gap(struct fr_salvage *s)
{
    fr_buf_clear(&s->last_key);
    s->last_seq = FR_SEQ_MAX;
    return add_gap(s, NULL);
}

/* --- A table that opens --- */

static fr_status take_ranges(struct fr_salvage *s)
{
    size_t count;
    const struct fr_range *ranges = fr_table_ranges(s->table, &count);

    for (size_t i = 0; i < count; i++)
        fr_buf_append(&s->ranges, &ranges[i], sizeof(ranges[i]));
    return fr_buf_status(&s->ranges);
}

static void check_identity(struct fr_salvage *s)
{
    struct fr_hash128 hash = fr_table_hash(s->table);

    if (s->meta == NULL ||
            (hash.low == fr_get_u64(s->meta->hash) && hash.high == fr_get_u64(s->meta->hash + 8)))
        return;
    s->other = true;
    (void)FR_FAIL(FR_ERR_FOREIGN, "%s: is whole, but not the one that the manifest knows", s->path);
    note(s);
}

static fr_status take_index(struct fr_salvage *s)
{
    for (size_t i = 0; i < fr_table_block_count(s->table); i++) {
        struct fr_table_spot spot = fr_table_spot_at(s->table, i);
        fr_buf_append(&s->blocks, &spot.handle, sizeof(spot.handle));
    }
    s->ends_well = true;
    s->ranges_seen = true;
    check_identity(s);
    fr_status st = fr_buf_status(&s->blocks);
    return st < 0 ? st : take_ranges(s);
}

/* --- A table that does not --- */

static bool is_trailer(const uint8_t *at)
{
    return at[0] >= FR_CODEC_NONE && at[0] <= FR_CODEC_ZSTD_DICT && at[1] >= FR_FRAME_DATA &&
           at[1] <= FR_FRAME_PROPERTIES && at[2] == 0 && at[3] == 0;
}

/* The frame that begins at start, if its trailer stands before limit. */
static bool find_end(const struct fr_salvage *s, uint64_t start, uint64_t limit,
        struct fr_block_handle *ret_handle)
{
    uint32_t crc = fr_file_id_seed_at(s->seed, start);
    uint64_t done = start;

    for (uint64_t at = start; at + FR_FRAME_TRAILER_SIZE <= limit; at++) {
        if (!is_trailer(s->bytes + at)) continue;
        crc = fr_crc32c(crc, s->bytes + done, at - done);
        done = at;
        uint32_t stored = fr_get_u32(s->bytes + at + 8);
        if (fr_crc32c_mask(fr_crc32c(crc, s->bytes + at, 8)) != stored) continue;
        *ret_handle = (struct fr_block_handle){.offset = start,
                .size = (uint32_t)(at + FR_FRAME_TRAILER_SIZE - start),
                .crc = stored};
        return true;
    }
    return false;
}

/* The next frame from a place on. It begins there, or behind something that looks like a trailer.
 */
static bool find_frame(const struct fr_salvage *s, uint64_t from,
        struct fr_block_handle *ret_handle)
{
    if (find_end(s, from, s->size, ret_handle)) return true;
    for (uint64_t at = from; at + FR_FRAME_TRAILER_SIZE <= s->size; at++) {
        uint64_t start = at + FR_FRAME_TRAILER_SIZE;
        if (!is_trailer(s->bytes + at)) continue;
        if (find_end(s, start, FR_MIN((uint64_t)s->size, start + SEARCH_BYTES), ret_handle))
            return true;
    }
    return false;
}

/* The payload as it was given. The type is the trailer's own, whose checksum is right. */
static fr_status unpack(struct fr_salvage *s, const struct fr_block_handle *handle,
        struct fr_buf *to)
{
    fr_slice bytes = fr_slice_of(s->bytes + handle->offset, handle->size);
    enum fr_frame_type type = bytes.data[bytes.size - FR_FRAME_TRAILER_SIZE + 1];
    struct fr_frame frame;
    fr_status st;

    FR_TRY(fr_frame_check(bytes, s->seed, handle, type, s->path, &frame));
    fr_buf_clear(to);
    uint8_t *raw = fr_buf_extend(to, frame.raw_size);
    if (raw == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to salvage it", s->path);
    FR_TRY(fr_frame_unpack(&s->unpacker, &frame, raw, s->path, handle->offset));
out:
    return st;
}

static fr_status read_ranges(struct fr_salvage *s)
{
    struct fr_block block;
    struct fr_block_iter it;
    fr_status st;

    fr_block_iter_init(&it);
    FR_TRY(fr_block_open(fr_buf_slice(&s->raw), s->path, 0, &block));
    FR_TRY(fr_block_iter_set(&it, &block));
    while (fr_iter_next(&it.iter) == FR_OK) {
        struct fr_range range = {.seq = it.iter.entry.seq};
        FR_TRY(copy_key(s, it.iter.entry.key, &range.start));
        FR_TRY(copy_key(s, it.iter.entry.value, &range.end));
        fr_buf_append(&s->ranges, &range, sizeof(range));
    }
    s->ranges_seen = true;
    st = fr_buf_status(&s->ranges);
out:
    fr_iter_close(&it.iter);
    return st;
}

/* What a frame that is no data says of the rest. */
static fr_status take_other(struct fr_salvage *s, const struct fr_block_handle *handle,
        enum fr_frame_type type)
{
    fr_status st = FR_OK;

    if (type != FR_FRAME_RANGES && type != FR_FRAME_DICTIONARY && type != FR_FRAME_PROPERTIES)
        return FR_OK;
    FR_TRY(unpack(s, handle, &s->raw));
    if (type == FR_FRAME_RANGES) FR_TRY(read_ranges(s));
    if (type == FR_FRAME_DICTIONARY)
        FR_TRY(fr_unpacker_set_dictionary(&s->unpacker, fr_buf_slice(&s->raw), s->path,
                handle->offset));
    if (type == FR_FRAME_PROPERTIES && !s->has_properties) {
        FR_TRY(fr_table_properties_get(fr_buf_slice(&s->raw), s->path, handle->offset,
                &s->properties));
        s->has_properties = true;
    }
out:
    return st == FR_ERR_NOMEM ? st : FR_OK;
}

static fr_status search(struct fr_salvage *s)
{
    struct fr_block_handle handle;
    uint64_t at = FR_TABLE_HEADER_SIZE, data_end = at;
    fr_status st = FR_OK;

    while (at + FR_FRAME_TRAILER_SIZE <= s->size && find_frame(s, at, &handle)) {
        uint64_t end = handle.offset + handle.size;
        enum fr_frame_type type = s->bytes[end - FR_FRAME_TRAILER_SIZE + 1];
        if (type == FR_FRAME_DATA) {
            fr_buf_append(&s->blocks, &handle, sizeof(handle));
            data_end = end;
            s->ends_well = false;
        } else if (handle.offset == data_end) {
            s->ends_well = true;
        }
        FR_TRY(take_other(s, &handle, type));
        at = end;
    }
    st = fr_buf_status(&s->blocks);
out:
    return st;
}

static fr_status load_file(struct fr_salvage *s, struct fr_dir *dir, const char *name)
{
    struct fr_file *file = NULL;
    struct fr_file_info info;
    fr_status st;

    FR_TRY(fr_file_open(dir, name, 0, &file));
    FR_TRY(fr_file_info_get(file, &info));
    s->bytes = info.size > SIZE_MAX / 2 ? NULL : fr_alloc((size_t)info.size + 1);
    if (s->bytes == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory to search it", s->path);
        goto out;
    }
    FR_TRY(fr_file_read_exact(file, 0, s->bytes, (size_t)info.size));
    s->size = (size_t)info.size;
out:
    fr_file_close(file);
    return st;
}

/* --- Opening --- */

static fr_status open_anyhow(struct fr_salvage *s, struct fr_dir *dir)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, s->id.number, name);
    (void)snprintf(s->path, sizeof(s->path), "%s/%s", fr_dir_path(dir), name);
    fr_status st = fr_table_open(dir, &s->id, NULL, &s->table);
    if (st == FR_ERR_NOMEM) return st;
    if (st == FR_OK) return take_index(s);
    note(s);
    st = load_file(s, dir, name);
    if (st == FR_ERR_NOMEM) return st;
    return st < 0 ? FR_OK : search(s);
}

fr_status fr_salvage_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_edit_table *meta, struct fr_salvage **ret_salvage)
{
    struct fr_salvage *s = FR_NEW(struct fr_salvage);
    fr_status st;

    if (s == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to salvage a table");
    s->id = *id;
    s->meta = meta;
    s->seed = fr_file_id_seed(id);
    fr_arena_init(&s->keys, 4096);
    fr_block_iter_init(&s->in);
    FR_TRY(open_anyhow(s, dir));
    fr_salvage_rewind(s);
    *ret_salvage = FR_TAKE(s);
out:
    fr_salvage_close(s);
    return st;
}

static void leave_block(struct fr_salvage *s)
{
    if (s->held != NULL) fr_table_block_release(s->table, FR_TAKE(s->held));
    s->inside = false;
}

void fr_salvage_close(struct fr_salvage *s)
{
    if (s == NULL) return;
    leave_block(s);
    fr_iter_close(&s->in.iter);
    fr_unpacker_deinit(&s->unpacker);
    if (s->has_properties) fr_table_properties_deinit(&s->properties);
    fr_table_unref(s->table);
    fr_free(s->bytes);
    fr_buf_deinit(&s->raw);
    fr_buf_deinit(&s->last_key);
    fr_buf_deinit(&s->blocks);
    fr_buf_deinit(&s->lost);
    fr_buf_deinit(&s->ranges);
    fr_buf_deinit(&s->gaps);
    fr_arena_deinit(&s->keys);
    fr_free(s);
}

/* --- The walk --- */

void fr_salvage_rewind(struct fr_salvage *s)
{
    leave_block(s);
    s->next_block = 0;
    s->end = FR_TABLE_HEADER_SIZE;
    s->gap = false;
    s->last_seq = FR_SEQ_MAX;
    s->entry_count = 0;
    fr_buf_clear(&s->last_key);
}

static fr_status load_block(struct fr_salvage *s, const struct fr_block_handle *handle)
{
    fr_status st;

    if (s->table != NULL) {
        FR_TRY(fr_table_block_read(s->table, handle, true, &s->held));
        return fr_block_iter_set(&s->in, &s->held->block);
    }
    FR_TRY(unpack(s, handle, &s->raw));
    FR_TRY(fr_block_open(fr_buf_slice(&s->raw), s->path, handle->offset, &s->block));
    FR_TRY(fr_block_iter_set(&s->in, &s->block));
out:
    return st;
}

/* The first time it turns out which blocks can be read. */
static fr_status try_block(struct fr_salvage *s, const struct fr_block_handle *handle)
{
    fr_status st = load_block(s, handle);
    uint8_t lost = st < 0;

    if (st == FR_ERR_NOMEM) return st;
    fr_buf_append(&s->lost, &lost, 1);
    if (st == FR_OK) return fr_buf_status(&s->lost);
    note(s);
    s->gap = true;
    return fr_buf_status(&s->lost) < 0 ? fr_buf_status(&s->lost) : FR_NOT_FOUND;
}

/*
 * Into the next block that can be read. Later walks have the same entries as the first, or fail:
 * what is known to be missing was decided on those.
 */
static fr_status enter_block(struct fr_salvage *s)
{
    while (s->next_block < block_count(s)) {
        size_t index = s->next_block++;
        struct fr_block_handle handle = handle_at(s, index);
        if (handle.offset != s->end) s->gap = true;
        s->end = handle.offset + handle.size;
        if (s->surveyed && s->lost.data[index]) continue;
        fr_status st = s->surveyed ? load_block(s, &handle) : try_block(s, &handle);
        s->inside = st == FR_OK;
        if (st <= FR_OK) return st;
        leave_block(s);
    }
    return FR_END;
}

static uint64_t expected_count(const struct fr_salvage *s)
{
    if (s->meta != NULL) return s->meta->entry_count;
    return s->has_properties ? fr_table_entry_count(&s->properties) : UINT64_MAX;
}

static uint64_t expected_ranges(const struct fr_salvage *s)
{
    if (s->meta != NULL) return s->meta->range_count;
    return s->has_properties ? s->properties.range_count : UINT64_MAX;
}

/* What may be missing behind the last entry, and of range deletes. If as many entries were found as
 * there were, nothing is. */
static fr_status finish(struct fr_salvage *s)
{
    fr_status st = FR_OK;

    if (s->surveyed) return FR_END;
    if (s->entry_count == expected_count(s))
        fr_buf_clear(&s->gaps);
    else if (s->gap || !s->ends_well)
        FR_TRY(add_gap(s, NULL));
    bool ranges_lost = !s->ranges_seen && expected_ranges(s) != 0;
    if (s->other || (ranges_lost && s->entry_count > 0)) FR_TRY(add_whole_gap(s));
    s->surveyed = true;
    st = FR_END;
out:
    return st;
}

static fr_status step(struct fr_salvage *s, struct fr_entry *ret_entry)
{
    fr_status st = FR_OK;

    *ret_entry = s->in.iter.entry;
    s->entry_count++;
    if (s->gap && !s->surveyed) FR_TRY(add_gap(s, ret_entry));
    s->gap = false;
    s->last_seq = ret_entry->seq;
    if (s->surveyed) return FR_OK;
    fr_buf_clear(&s->last_key);
    fr_buf_append(&s->last_key, ret_entry->key.data, ret_entry->key.size);
    st = fr_buf_status(&s->last_key);
out:
    return st;
}

fr_status fr_salvage_next(struct fr_salvage *s, struct fr_entry *ret_entry)
{
    for (;;) {
        if (s->inside && fr_iter_next(&s->in.iter) == FR_OK) return step(s, ret_entry);
        leave_block(s);
        fr_status st = enter_block(s);
        if (st < 0) return st;
        if (st == FR_END) return finish(s);
    }
}

const struct fr_gap *fr_salvage_gaps(const struct fr_salvage *s, size_t *ret_count)
{
    *ret_count = s->gaps.size / sizeof(struct fr_gap);
    return (const struct fr_gap *)(const void *)s->gaps.data;
}

const struct fr_range *fr_salvage_ranges(const struct fr_salvage *s, size_t *ret_count)
{
    *ret_count = s->ranges.size / sizeof(struct fr_range);
    return (const struct fr_range *)(const void *)s->ranges.data;
}
