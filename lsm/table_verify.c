/* table_verify.c - reading a whole table and comparing all that it says twice. */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/file.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/table_priv.h"

#define CHUNK ((size_t)1 << 20)

struct verify {
    struct fr_table *table;
    fr_table_finding_fn fn;
    void *ctx;
    fr_status first; /* what was found first */
    bool stop;
    bool damaged_data; /* counts cannot be compared then */
    uint8_t *chunk;
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
    if (v->fn == NULL || st == FR_ERR_NOMEM || !v->fn(v->ctx, offset, st)) v->stop = true;
}

static fr_status verify_header(struct verify *v)
{
    const char *path = fr_table_path(v->table);
    uint8_t header[FR_TABLE_HEADER_SIZE], id[FR_FILE_ID_SIZE];
    fr_status st;

    FR_TRY(fr_file_read_exact(v->table->file, 0, header, sizeof(header)));
    fr_file_id_put(id, &v->table->id);
    if (fr_get_u64(header) != FR_TABLE_MAGIC ||
            fr_get_u32(header + 60) != fr_crc32c_mask(fr_crc32c(0, header, 60)) ||
            fr_get_u32(header + 8) != FR_TABLE_VERSION || fr_get_u32(header + 12) != 0 ||
            memcmp(header + 16, id, sizeof(id)) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header is damaged", path);
out:
    return st;
}

static fr_status verify_hash(struct verify *v)
{
    uint64_t end = v->table->file_size - FR_TABLE_FOOTER_SIZE;
    struct fr_hash128_state hash;
    fr_status st = FR_OK;

    fr_hash128_init(&hash);
    for (uint64_t at = 0; at < end; at += CHUNK) {
        size_t size = (size_t)FR_MIN((uint64_t)CHUNK, end - at);

        FR_TRY(fr_file_read_exact(v->table->file, at, v->chunk, size));
        fr_hash128_add(&hash, v->chunk, size);
    }
    if (!fr_hash128_equal(fr_hash128_get(&hash), v->table->hash))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the content does not match its hash",
                fr_table_path(v->table));
out:
    return st;
}

static fr_status verify_filter(const struct verify *v, const struct fr_entry *entry,
        uint64_t offset)
{
    if (fr_table_may_contain(v->table, fr_hash64(entry->key))) return FR_OK;
    return FR_FAIL(FR_ERR_CORRUPT, "%s: the filter hides a key of the block at %" PRIu64,
            fr_table_path(v->table), offset);
}

static fr_status count_entry(struct verify *v, const struct fr_entry *entry, uint64_t offset)
{
    struct fr_table_properties *seen = &v->seen;
    bool same = fr_slice_equal(entry->key, fr_buf_slice(&v->last_key));
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
static fr_status verify_entries(struct verify *v, const struct fr_table_spot *spot)
{
    const struct fr_entry *entry = &v->in.iter.entry;
    struct fr_table_spot there;
    bool first = v->last_key.size == 0;
    fr_status st;

    while (fr_iter_next(&v->in.iter) == FR_OK) {
        if (entry->kind == FR_KIND_DELETE_RANGE || entry->seq == 0 ||
                (!first && fr_entry_compare(fr_buf_slice(&v->last_key), v->last_seq, entry->key,
                                   entry->seq) >= 0))
            return FR_FAIL(FR_ERR_CORRUPT, "%s: the block at %" PRIu64 " does not belong there",
                    fr_table_path(v->table), spot->handle.offset);
        if (fr_table_locate(v->table, entry->key, entry->seq, &there) != FR_OK ||
                there.index != spot->index)
            return FR_FAIL(FR_ERR_CORRUPT, "%s: the index does not lead to the block at %" PRIu64,
                    fr_table_path(v->table), spot->handle.offset);
        FR_TRY(verify_filter(v, entry, spot->handle.offset));
        FR_TRY(count_entry(v, entry, spot->handle.offset));
        first = false;
    }
    return FR_OK;
out:
    return st;
}

static fr_status verify_block(struct verify *v, const struct fr_table_spot *spot)
{
    struct fr_table_block *block = NULL;
    uint8_t *bytes = NULL;
    fr_status st;

    bytes = spot->handle.size <= CHUNK ? v->chunk : fr_alloc(spot->handle.size);
    if (bytes == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a block", fr_table_path(v->table));
    FR_TRY(fr_file_read_exact(v->table->file, spot->handle.offset, bytes, spot->handle.size));
    FR_TRY(fr_table_block_unpack(v->table, &spot->handle, fr_slice_of(bytes, spot->handle.size),
            &block));
    FR_TRY(fr_block_verify(&block->block, fr_table_path(v->table), spot->handle.offset));
    FR_TRY(fr_block_iter_set(&v->in, &block->block));
    FR_TRY(verify_entries(v, spot));
out:
    if (bytes != v->chunk) fr_free(bytes);
    fr_free(block);
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
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the properties count other entries than there are",
                fr_table_path(v->table));
    return FR_OK;
}

static void run(struct verify *v)
{
    struct fr_table *t = v->table;

    found(v, 0, verify_header(v));
    if (!v->stop) found(v, t->file_size - FR_TABLE_FOOTER_SIZE, verify_hash(v));
    for (size_t i = 0; i < fr_table_block_count(t) && !v->stop; i++) {
        struct fr_table_spot spot = fr_table_spot_at(t, i);
        fr_status st = verify_block(v, &spot);

        if (st < 0) v->damaged_data = true;
        found(v, spot.handle.offset, st);
    }
    if (!v->stop && !v->damaged_data) found(v, t->data_end, verify_counts(v));
}

fr_status fr_table_verify(struct fr_table *table, fr_table_finding_fn fn, void *ctx)
{
    struct verify v = {.table = table, .fn = fn, .ctx = ctx};

    v.chunk = fr_alloc(CHUNK);
    if (v.chunk == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to verify it", fr_table_path(table));
    fr_block_iter_init(&v.in);
    run(&v);
    fr_iter_close(&v.in.iter);
    fr_buf_deinit(&v.last_key);
    fr_free(v.chunk);
    return v.first;
}
