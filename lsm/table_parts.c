#include "lsm/table_parts.h"

#include <inttypes.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/filter_format.h"
#include "lsm/frame.h"

fr_status fr_table_header_decode(const uint8_t bytes[static FR_TABLE_HEADER_SIZE], const char *path,
        struct fr_file_id *ret_id)
{
    if (fr_get_u64(bytes) != FR_TABLE_MAGIC ||
            fr_get_u32(bytes + 60) != fr_crc32c_mask(fr_crc32c(0, bytes, 60)))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 is damaged", path);
    if (fr_get_u32(bytes + 8) != FR_TABLE_VERSION || fr_get_u32(bytes + 12) != 0)
        return FR_FAIL(FR_ERR_TOO_NEW,
                "%s: the header at 0 says version %" PRIu32 ", features %" PRIx32, path,
                fr_get_u32(bytes + 8), fr_get_u32(bytes + 12));
    fr_file_id_get(bytes + 16, ret_id);
    return FR_OK;
}

fr_status fr_table_footer_decode(const uint8_t bytes[static FR_TABLE_FOOTER_SIZE], const char *path,
        uint64_t file_size, struct fr_table_footer *ret_footer)
{
    uint64_t offset = file_size - FR_TABLE_FOOTER_SIZE;
    struct fr_table_footer footer = {.data_end = fr_get_u64(bytes + 96)};

    if (fr_get_u64(bytes + 184) != FR_TABLE_MAGIC)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: does not end as a table does, at %" PRIu64, path,
                offset);
    if (fr_get_u32(bytes + 180) != fr_crc32c_mask(fr_crc32c(0, bytes, 180)))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the footer at %" PRIu64 " has a wrong checksum", path,
                offset);
    if (fr_get_u32(bytes + 176) != FR_TABLE_VERSION || fr_get_u32(bytes + 136) != 0)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s: version %" PRIu32 ", features %" PRIx32, path,
                fr_get_u32(bytes + 176), fr_get_u32(bytes + 136));
    footer.hash.low = fr_get_u64(bytes);
    footer.hash.high = fr_get_u64(bytes + 8);
    for (int i = 0; i < FR_TABLE_HANDLES; i++)
        footer.handles[i] = (struct fr_block_handle){.offset = fr_get_u64(bytes + 16 + 16 * i),
                .size = fr_get_u32(bytes + 24 + 16 * i),
                .crc = fr_get_u32(bytes + 28 + 16 * i)};
    footer.file_size = fr_get_u64(bytes + 104);
    fr_file_id_get(bytes + 112, &footer.id);
    *ret_footer = footer;
    return FR_OK;
}

bool fr_table_handle_good(const struct fr_block_handle *handle, uint64_t data_end,
        uint64_t file_size)
{
    uint64_t end = file_size - FR_TABLE_FOOTER_SIZE;

    if (handle->size == 0) return handle->offset == 0 && handle->crc == 0;
    return handle->offset >= data_end && handle->offset < end &&
           handle->size <= end - handle->offset;
}

fr_status fr_table_footer_check(const struct fr_table_footer *footer, const char *path,
        uint64_t file_size)
{
    if (footer->file_size != file_size)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: is of %" PRIu64 " bytes, its footer says %" PRIu64,
                path, file_size, footer->file_size);
    if (footer->data_end < FR_TABLE_HEADER_SIZE ||
            footer->data_end > file_size - FR_TABLE_FOOTER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: data would end at %" PRIu64, path, footer->data_end);
    for (int i = 0; i < FR_TABLE_HANDLES; i++)
        if (!fr_table_handle_good(&footer->handles[i], footer->data_end, file_size) ||
                (i == FR_TABLE_HANDLE_PROPERTIES && footer->handles[i].size == 0))
            return FR_FAIL(FR_ERR_CORRUPT, "%s: part %d would be at %" PRIu64, path, i,
                    footer->handles[i].offset);
    return FR_OK;
}

bool fr_block_handle_get(fr_slice value, struct fr_block_handle *ret_handle)
{
    struct fr_bytes in = fr_bytes_of(value);

    ret_handle->offset = fr_bytes_varint(&in);
    ret_handle->size = fr_bytes_varint32(&in);
    ret_handle->crc = fr_bytes_u32(&in);
    return fr_bytes_done(&in) && ret_handle->size > FR_FRAME_TRAILER_SIZE;
}

/* Whether these may be a trailer's fields, of a payload of that size. */
static bool may_be_trailer(const uint8_t *at, size_t stored)
{
    uint32_t raw = fr_get_u32(at + 4);

    if (at[0] < FR_CODEC_NONE || at[0] > FR_CODEC_ZSTD_DICT) return false;
    if (at[1] < FR_FRAME_DATA || at[1] > FR_FRAME_PROPERTIES) return false;
    if (fr_get_u16(at + 2) != 0 || raw > FR_BLOCK_SIZE_MAX) return false;
    return at[0] == FR_CODEC_NONE ? raw == stored : fr_frame_ratio_fair(stored, raw);
}

bool fr_frame_find(fr_slice bytes, uint32_t seed, uint64_t offset,
        struct fr_block_handle *ret_handle, enum fr_frame_type *ret_type)
{
    uint32_t crc = fr_file_id_seed_at(seed, offset);
    size_t from = 0;

    for (size_t stored = 0; stored + FR_FRAME_TRAILER_SIZE <= bytes.size; stored++) {
        const uint8_t *trailer = bytes.data + stored;

        if (!may_be_trailer(trailer, stored)) continue;
        crc = fr_crc32c(crc, bytes.data + from, stored - from);
        from = stored;
        uint32_t found = fr_crc32c_mask(fr_crc32c(crc, trailer, 8));
        if (found != fr_get_u32(trailer + 8)) continue;
        *ret_handle = (struct fr_block_handle){
                .offset = offset, .size = (uint32_t)stored + FR_FRAME_TRAILER_SIZE, .crc = found};
        *ret_type = (enum fr_frame_type)trailer[1];
        return true;
    }
    return false;
}

/* A block, as it is unpacked: the few rules of its header leave hardly anything else. */
static bool may_be_block(fr_slice bytes)
{
    struct fr_bytes in = fr_bytes_of(bytes);
    uint32_t count = fr_bytes_u32(&in), restarts = fr_bytes_u32(&in);

    fr_bytes_skip(&in, 14);
    uint8_t interval = fr_bytes_u8(&in), version = fr_bytes_u8(&in);
    fr_bytes_skip(&in, 10);
    uint32_t zero = fr_bytes_u32(&in);
    return fr_bytes_ok(&in) && version == FR_BLOCK_VERSION && zero == 0 && count > 0 &&
           interval > 0 && interval <= FR_BLOCK_INTERVAL_MAX &&
           restarts == (count - 1) / interval + 1;
}

bool fr_frame_may_begin(fr_slice bytes)
{
    if (bytes.size < 4) return false;
    uint32_t word = fr_get_u32(bytes.data);

    return word == ZSTD_MAGICNUMBER || word == ZSTD_MAGIC_DICTIONARY || word == FR_FILTER_MAGIC ||
           may_be_block(bytes);
}
