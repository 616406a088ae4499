/*
 * table_verify.c - reading a whole table and comparing all that it says twice.
 *
 * A new table goes this way before the manifest may name it, so what it costs is paid for every
 * entry that is flushed or compacted. The bytes are read once, by a window that moves over the
 * file; the content hash and the blocks are made of the same bytes.
 *
 * Reading back, and not checking the blocks in memory before they are written, is on purpose. The
 * pages mostly come from the page cache, so it is not the disk that is tested - the checksums do
 * that whenever a block is read - but all between the entries and the file: a builder that is
 * wrong, memory that flips after a checksum was computed or before, a buffer written twice or to
 * the wrong place, a short write taken for a whole one. From here on the bytes are the only copy.
 *
 * For each key: the filter and the hash in its block must lead to it, at the cost of a hash and two
 * probes. That the index leads to a block is asked for its first and its last entry only: the
 * separators ascend, which opening has proven, and so do the entries, so what is between two that
 * lead here leads here.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/file.h"
#include "lsm/place.h"
#include "lsm/rate_limit.h"
#include "lsm/table.h"
#include "lsm/table_parts.h"
#include "lsm/table_priv.h"

#define CHUNK ((size_t)256 << 10)

struct verify {
    struct fr_table *table;
    const struct fr_table_check *check;
    fr_status first; /* what was found first */
    bool stop;
    bool damaged_data; /* counts cannot be compared then */

    /* What has been read and hashed, from offset on; the hash is of all up to its end. */
    struct fr_buf window;
    uint64_t offset;
    bool broken; /* a read has failed: the rest has no hash */
    struct fr_hash128_state hash;

    struct fr_block_iter in;
    struct fr_buf last_key;
    fr_seq last_seq;
    struct fr_table_properties seen;
};

/* Tell of a failure; want of memory and failed reads end the walk. */
static void found(struct verify *v, uint64_t offset, fr_status st)
{
    if (st >= 0) return;
    if (v->first >= 0) v->first = st;
    if (v->check->finding == NULL || st == FR_ERR_NOMEM ||
            !v->check->finding(v->check->ctx, offset, st))
        v->stop = true;
}

static fr_status verify_header(struct verify *v)
{
    const char *path = fr_table_path(v->table);
    uint8_t header[FR_TABLE_HEADER_SIZE];
    struct fr_file_id id;
    fr_status st;

    FR_TRY(fr_file_read_exact(v->table->file, 0, header, sizeof(header)));
    FR_TRY(fr_table_header_decode(header, path, &id));
    if (!fr_file_id_equal(&id, &v->table->id))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 is another file's", path);
out:
    return st;
}

/* Read and hash the next piece, and forget what is before `from`. */
static fr_status move_window(struct verify *v, uint64_t from)
{
    uint64_t end = v->table->file_size - FR_TABLE_FOOTER_SIZE, at = v->offset + v->window.size;
    size_t keep = from >= at ? 0 : (size_t)(at - from);
    size_t size = fr_rate_limiter_take(v->check->limiter, (size_t)FR_MIN(CHUNK, end - at), false);
    uint8_t *to;
    fr_status st;

    if (keep > 0) memmove(v->window.data, v->window.data + v->window.size - keep, keep);
    v->window.size = keep;
    v->offset = at - keep;
    to = fr_buf_extend(&v->window, size);
    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to verify it", fr_table_path(v->table));
    FR_TRY(fr_file_read_exact(v->table->file, at, to, size));
    fr_hash128_add(&v->hash, to, size);
out:
    v->broken = st < 0;
    return st;
}

/* After a read has failed there is nothing to be hashed, and each block is read for itself. */
static fr_status read_block(struct verify *v, const struct fr_block_handle *handle)
{
    uint8_t *to;

    fr_buf_clear(&v->window);
    to = fr_buf_extend(&v->window, handle->size);
    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to verify it", fr_table_path(v->table));
    v->offset = handle->offset;
    return fr_file_read_exact(v->table->file, handle->offset, to, handle->size);
}

/* The bytes of a block. Opening has seen that blocks are back to back, and all before the end. */
static fr_status take_block(struct verify *v, const struct fr_block_handle *handle,
        fr_slice *ret_bytes)
{
    uint64_t end = handle->offset + handle->size;
    fr_status st = FR_OK;

    if (v->broken) FR_TRY(read_block(v, handle));
    while (v->offset + v->window.size < end)
        FR_TRY(move_window(v, handle->offset));
    FR_ASSERT(handle->offset >= v->offset);
    *ret_bytes = fr_slice_of(v->window.data + (handle->offset - v->offset), handle->size);
out:
    return st;
}

/* Read what is behind the blocks, and compare the hash of all. */
static fr_status verify_hash(struct verify *v)
{
    uint64_t end = v->table->file_size - FR_TABLE_FOOTER_SIZE;
    fr_status st = FR_OK;

    if (v->broken) return FR_OK; /* it has been told */
    while (v->offset + v->window.size < end)
        FR_TRY(move_window(v, end));
    if (!fr_hash128_equal(fr_hash128_get(&v->hash), v->table->hash))
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: what is before the footer at %" PRIu64 " does not match its hash",
                fr_table_path(v->table), end);
out:
    return st;
}

/* The newest entry of a key in a block: what point reads go by must lead to it. */
static fr_status verify_key(const struct verify *v, uint64_t offset)
{
    const struct fr_entry *entry = &v->in.iter.entry;
    uint64_t hash = fr_hash64(entry->key);

    if (!fr_table_may_contain(v->table, hash))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the filter hides a key of the block at %" PRIu64,
                fr_table_path(v->table), offset);
    if (!fr_block_hash_leads(&v->in, hash))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the hash of the block at %" PRIu64 " misses a key",
                fr_table_path(v->table), offset);
    return FR_OK;
}

static fr_status count_entry(struct verify *v, const struct fr_entry *entry, bool same,
        uint64_t offset)
{
    struct fr_table_properties *seen = &v->seen;
    struct fr_place place;

    seen->put_count += entry->kind == FR_KIND_PUT;
    seen->delete_count += entry->kind == FR_KIND_DELETE;
    seen->append_count += entry->kind == FR_KIND_APPEND;
    seen->key_count += !same;
    seen->raw_value_bytes += entry->value.size;
    v->last_seq = entry->seq;
    if ((entry->flags & FR_ENTRY_PLACED) && !fr_place_get(entry->value, &place))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the block at %" PRIu64 " has a bad place",
                fr_table_path(v->table), offset);
    if (same) return FR_OK;
    fr_buf_clear(&v->last_key);
    fr_buf_append(&v->last_key, entry->key.data, entry->key.size);
    return fr_buf_status(&v->last_key);
}

/* The order within a block is proven by opening it; what is left is the order between blocks. */
static fr_status verify_place(const struct verify *v, const struct fr_table_spot *spot, bool first)
{
    const struct fr_entry *entry = &v->in.iter.entry;
    struct fr_table_spot there;

    if (first && v->last_key.size > 0 &&
            fr_entry_compare(fr_buf_slice(&v->last_key), v->last_seq, entry->key, entry->seq) >= 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the block at %" PRIu64 " does not belong there",
                fr_table_path(v->table), spot->handle.offset);
    if (fr_table_locate(v->table, entry->key, entry->seq, &there) != FR_OK ||
            there.index != spot->index)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the index does not lead to the block at %" PRIu64,
                fr_table_path(v->table), spot->handle.offset);
    return FR_OK;
}

static fr_status verify_entries(struct verify *v, const struct fr_table_spot *spot)
{
    const struct fr_entry *entry = &v->in.iter.entry;
    uint32_t last = v->in.block->count - 1;
    bool first = true;
    fr_status st;

    for (; fr_iter_next(&v->in.iter) == FR_OK; first = false) {
        bool same = fr_slice_equal(entry->key, fr_buf_slice(&v->last_key));

        if (entry->kind == FR_KIND_DELETE_RANGE || entry->seq == 0)
            return FR_FAIL(FR_ERR_CORRUPT, "%s: the block at %" PRIu64 " has an entry of no use",
                    fr_table_path(v->table), spot->handle.offset);
        if (first || v->in.index == last) FR_TRY(verify_place(v, spot, first));
        if (first || !same) FR_TRY(verify_key(v, spot->handle.offset));
        FR_TRY(count_entry(v, entry, same, spot->handle.offset));
        if (v->check->entry != NULL &&
                !v->check->entry(v->check->ctx, spot->handle.offset, entry)) {
            v->stop = true;
            break;
        }
    }
    return FR_OK;
out:
    return st;
}

static fr_status verify_block(struct verify *v, const struct fr_table_spot *spot)
{
    struct fr_table_block *block = NULL;
    fr_slice bytes;
    fr_status st;

    FR_TRY(take_block(v, &spot->handle, &bytes));
    FR_TRY(fr_table_block_unpack(v->table, &spot->handle, bytes, &block));
    FR_TRY(fr_block_iter_set(&v->in, &block->block));
    FR_TRY(verify_entries(v, spot));
out:
    fr_free(block);
    return st;
}

/* Opening has checked the dictionary; this asks whether it still stands there. */
static fr_status verify_dictionary(struct verify *v, const struct fr_block_handle *handle)
{
    struct fr_table *t = v->table;
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_frame frame;
    uint8_t *to;
    fr_status st = FR_OK;

    if (handle->size == 0) return FR_OK;
    to = fr_buf_extend(&bytes, handle->size);
    if (to == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory to verify it", fr_table_path(t)));
    FR_TRY(fr_file_read_exact(t->file, handle->offset, to, handle->size));
    FR_TRY(fr_frame_check(fr_buf_slice(&bytes), t->seed, handle, FR_FRAME_DICTIONARY,
            fr_table_path(t), &frame));
out:
    fr_buf_deinit(&bytes);
    return st;
}

static fr_status verify_counts(const struct verify *v)
{
    const struct fr_table_properties *said = &v->table->properties, *seen = &v->seen;
    size_t ranges;

    (void)fr_table_ranges(v->table, &ranges);
    if (said->put_count != seen->put_count || said->delete_count != seen->delete_count ||
            said->append_count != seen->append_count || said->key_count != seen->key_count ||
            said->raw_value_bytes != seen->raw_value_bytes || said->range_count != ranges ||
            said->block_count != fr_table_block_count(v->table))
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: the properties, at %" PRIu64 " or behind, count other entries than there are",
                fr_table_path(v->table), v->table->data_end);
    return FR_OK;
}

static void run(struct verify *v)
{
    struct fr_table *t = v->table;

    found(v, 0, verify_header(v));
    for (size_t i = 0; i < fr_table_block_count(t) && !v->stop; i++) {
        struct fr_table_spot spot = fr_table_spot_at(t, i);
        fr_status st = verify_block(v, &spot);

        if (st < 0) v->damaged_data = true;
        found(v, spot.handle.offset, st);
    }
    const struct fr_block_handle *dictionary = &t->handles[FR_TABLE_HANDLE_DICTIONARY];
    if (!v->stop) found(v, dictionary->offset, verify_dictionary(v, dictionary));
    if (!v->stop) found(v, t->file_size - FR_TABLE_FOOTER_SIZE, verify_hash(v));
    if (!v->stop && !v->damaged_data) found(v, t->data_end, verify_counts(v));
}

fr_status fr_table_verify(struct fr_table *table, fr_table_finding_fn fn, void *ctx)
{
    const struct fr_table_check check = {.finding = fn, .ctx = ctx};

    return fr_table_check(table, &check);
}

fr_status fr_table_check(struct fr_table *table, const struct fr_table_check *check)
{
    struct verify v = {.table = table, .check = check};

    fr_hash128_init(&v.hash);
    fr_block_iter_init(&v.in);
    run(&v);
    fr_iter_close(&v.in.iter);
    fr_buf_deinit(&v.last_key);
    fr_buf_deinit(&v.window);
    return v.first;
}
