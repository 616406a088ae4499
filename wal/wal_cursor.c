#include "wal/wal_cursor.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/museum.h"
#include "io/file.h"

/* Read at once: enough for full speed; a group that is larger is read as a whole. */
#define CHUNK_SIZE ((uint64_t)256 << 10)

void fr_wal_cursor_deinit(struct fr_wal_cursor *c)
{
    fr_free(c->window);
    *c = FR_WAL_CURSOR_EMPTY;
}

void fr_wal_cursor_use(struct fr_wal_cursor *c, struct fr_file *file, uint64_t file_size,
        const struct fr_wal_header *header, const uint8_t store[static FR_STORE_ID_SIZE],
        uint64_t number)
{
    FR_ASSERT(header == NULL || header->size <= file_size);
    c->file = file;
    c->file_size = file_size;
    c->has_header = header != NULL;
    c->header = header != NULL ? *header : (struct fr_wal_header){.crc = 0};
    c->check_seed = fr_wal_check_seed(store, number);
    c->window_size = 0;
}

void fr_wal_cursor_rewind(struct fr_wal_cursor *c)
{
    FR_ASSERT(c->has_header);
    c->offset = FR_WAL_HEADER_SIZE;
    c->crc = c->header.crc;
    c->group_count = 0;
}

/* ---- bytes ------------------------------------------------------------------------------------
 */

static fr_status grow_window(struct fr_wal_cursor *c, size_t capacity)
{
    if (capacity <= c->window_capacity) return FR_OK;
    fr_free(c->window);
    c->window_capacity = 0;
    c->window_size = 0;
    c->window = fr_alloc_aligned(capacity, FR_WAL_BLOCK_SIZE);
    if (c->window == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", fr_file_path(c->file));
    c->window_capacity = capacity;
    return FR_OK;
}

fr_status fr_wal_cursor_fetch(struct fr_wal_cursor *c, uint64_t offset, size_t size,
        const uint8_t **ret_bytes)
{
    uint64_t limit = c->file_size;
    fr_status st;

    FR_ASSERT(offset <= limit && size <= limit - offset);
    if (offset < c->window_offset || offset + size > c->window_offset + c->window_size) {
        uint64_t from = offset & ~(uint64_t)(FR_WAL_BLOCK_SIZE - 1);
        uint64_t wanted = FR_MAX(fr_wal_round_up(offset + size) - from, CHUNK_SIZE);
        size_t span = (size_t)FR_MIN(wanted, limit - from);
        FR_TRY(grow_window(c, span));
        c->window_size = 0;
        FR_TRY(fr_file_read_exact(c->file, from, c->window, span));
        c->window_offset = from;
        c->window_size = span;
    }
    *ret_bytes = c->window + (offset - c->window_offset);
    st = FR_OK;
out:
    return st;
}

static bool all_zeros(const uint8_t *bytes, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (bytes[i] != 0) return false;
    return true;
}

fr_status fr_wal_cursor_skip_gap(struct fr_wal_cursor *c)
{
    uint64_t place = fr_wal_next_place(c->offset);
    const uint8_t *bytes;

    if (place == c->offset) return FR_OK;
    fr_status st = fr_wal_cursor_fetch(c, c->offset, (size_t)(place - c->offset), &bytes);
    if (st < 0) return st;
    if (!all_zeros(bytes, place - c->offset)) return FR_NOT_FOUND;
    c->offset = place;
    return FR_OK;
}

/* ---- groups -----------------------------------------------------------------------------------
 */

fr_status fr_wal_cursor_peek(struct fr_wal_cursor *c, struct fr_wal_group *ret_group)
{
    uint64_t left = c->header.size - c->offset;
    struct fr_wal_group g;
    const uint8_t *bytes;

    if (left < FR_WAL_GROUP_HEADER_SIZE) return FR_NOT_FOUND;
    fr_status st = fr_wal_cursor_fetch(c, c->offset, FR_WAL_GROUP_HEADER_SIZE, &bytes);
    if (st < 0) return st;
    if (!fr_wal_group_decode(bytes, c->check_seed, &g)) return FR_NOT_FOUND;
    if (FR_MUSEUM(9)) { /* museum 9: nor does the place matter */
        g.lsn = fr_wal_cursor_lsn_at(c, c->offset);
        g.epoch = c->header.epoch;
    }
    if (g.lsn != fr_wal_cursor_lsn_at(c, c->offset) || g.epoch != c->header.epoch)
        return FR_NOT_FOUND;
    if (fr_wal_group_extent(g.size) > left) return FR_NOT_FOUND;
    *ret_group = g;
    return FR_OK;
}

/* museum 10: zeros read as a record */
static fr_status take_zeros(struct fr_wal_cursor *c, struct fr_wal_group *ret_group,
        fr_slice *ret_payload)
{
    const uint8_t *bytes;

    if (c->header.size - c->offset < FR_WAL_GROUP_HEADER_SIZE) return FR_NOT_FOUND;
    fr_status st = fr_wal_cursor_fetch(c, c->offset, FR_WAL_GROUP_HEADER_SIZE, &bytes);
    if (st < 0) return st;
    if (!all_zeros(bytes, FR_WAL_GROUP_HEADER_SIZE)) return FR_NOT_FOUND;
    *ret_group = (struct fr_wal_group){.lsn = fr_wal_cursor_lsn_at(c, c->offset),
            .type = FR_WAL_DATA,
            .flags = FR_WAL_FIRST | FR_WAL_LAST};
    *ret_payload = fr_slice_of(bytes, 0);
    c->offset += FR_WAL_GROUP_HEADER_SIZE;
    return FR_OK;
}

fr_status fr_wal_cursor_next(struct fr_wal_cursor *c, struct fr_wal_group *ret_group,
        fr_slice *ret_payload)
{
    struct fr_wal_group g = {.size = 0};
    const uint8_t *bytes;
    fr_status st = fr_wal_cursor_peek(c, &g);

    if (FR_MUSEUM(10) && st == FR_NOT_FOUND) return take_zeros(c, ret_group, ret_payload);
    if (st != FR_OK) return st;
    size_t extent = (size_t)fr_wal_group_extent(g.size);
    st = fr_wal_cursor_fetch(c, c->offset, extent, &bytes);
    if (st < 0) return st;
    uint32_t crc = fr_wal_group_crc(c->crc, bytes);
    crc = fr_crc32c(crc, bytes + FR_WAL_GROUP_HEADER_SIZE, extent - FR_WAL_GROUP_HEADER_SIZE);
    size_t used = FR_WAL_GROUP_HEADER_SIZE + g.size;
    if (crc != g.crc || !all_zeros(bytes + used, extent - used)) return FR_NOT_FOUND;
    c->crc = crc;
    c->offset += extent;
    c->group_count++;
    *ret_group = g;
    *ret_payload = fr_slice_of(bytes + FR_WAL_GROUP_HEADER_SIZE, g.size);
    return FR_OK;
}

fr_status fr_wal_cursor_take(struct fr_wal_cursor *c, struct fr_wal_group *ret_group,
        fr_slice *ret_payload)
{
    const uint8_t *bytes;
    fr_status st = fr_wal_cursor_peek(c, ret_group);

    if (st != FR_OK) return st;
    size_t extent = (size_t)fr_wal_group_extent(ret_group->size);
    st = fr_wal_cursor_fetch(c, c->offset, extent, &bytes);
    if (st < 0) return st;
    c->crc = ret_group->crc;
    c->offset += extent;
    c->group_count++;
    *ret_payload = fr_slice_of(bytes + FR_WAL_GROUP_HEADER_SIZE, ret_group->size);
    return FR_OK;
}

/* ---- looking for one --------------------------------------------------------------------------
 */

/*
 * Whether a group's place is its own: so stale ones are passed over by one comparison. Without a
 * header that much is known: segments start on a block, and less than `reach`.
 */
static bool place_fits(const struct fr_wal_cursor *c, uint64_t offset, fr_lsn lsn, fr_lsn reach)
{
    if (c->has_header) return lsn == fr_wal_cursor_lsn_at(c, offset);
    return lsn % FR_WAL_BLOCK_SIZE == offset % FR_WAL_BLOCK_SIZE && lsn < reach;
}

/*
 * Whether no header begins in the block at an offset, because there are zeros as far as one could
 * reach: most of a preallocated file, which would be looked through in steps of eight bytes.
 */
static fr_status is_blank(struct fr_wal_cursor *c, uint64_t offset, bool *ret_blank)
{
    size_t size = FR_WAL_BLOCK_SIZE + FR_WAL_GROUP_HEADER_SIZE;
    const uint8_t *bytes;

    *ret_blank = false;
    if (offset % FR_WAL_BLOCK_SIZE != 0 || size > c->file_size - offset) return FR_OK;
    fr_status st = fr_wal_cursor_fetch(c, offset, size, &bytes);
    if (st == FR_OK) *ret_blank = bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
    return st;
}

fr_status fr_wal_cursor_find(struct fr_wal_cursor *c, fr_lsn reach, uint64_t *offset,
        struct fr_wal_group *ret_group)
{
    const uint8_t *bytes;
    bool blank;

    for (uint64_t at = *offset; at + FR_WAL_GROUP_HEADER_SIZE <= c->file_size; at += 8) {
        fr_status st = is_blank(c, at, &blank);
        if (st < 0) return st;
        if (blank) {
            at += FR_WAL_BLOCK_SIZE - 8;
            continue;
        }
        st = fr_wal_cursor_fetch(c, at, FR_WAL_GROUP_HEADER_SIZE, &bytes);
        if (st < 0) return st;
        if (!place_fits(c, at, fr_get_u64(bytes + 8), reach)) continue;
        if (!fr_wal_group_decode(bytes, c->check_seed, ret_group)) continue;
        if (c->has_header && ret_group->epoch != c->header.epoch) continue;
        *offset = at;
        return FR_OK;
    }
    return FR_END;
}
