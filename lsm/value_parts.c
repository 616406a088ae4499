#include "lsm/value_parts.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/frame.h"

fr_status fr_value_header_decode(const uint8_t bytes[static FR_VALUE_HEADER_USED], const char *path,
        struct fr_file_id *ret_id)
{
    if (fr_get_u64(bytes) != FR_VALUE_MAGIC || fr_get_u32(bytes + 8) != FR_VALUE_VERSION ||
            fr_get_u32(bytes + 12) != 0 ||
            fr_get_u32(bytes + 40) != fr_crc32c_mask(fr_crc32c(0, bytes, 40)))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 is damaged", path);
    fr_file_id_get(bytes + 16, ret_id);
    return FR_OK;
}

fr_status fr_value_footer_decode(const uint8_t bytes[static FR_VALUE_FOOTER_SIZE], const char *path,
        uint64_t offset, struct fr_value_footer *ret_footer)
{
    if (fr_get_u64(bytes + 72) != FR_VALUE_MAGIC)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: does not end as a value file does, at %" PRIu64, path,
                offset);
    if (fr_get_u32(bytes + 68) != fr_crc32c_mask(fr_crc32c(0, bytes, 68)))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the footer at %" PRIu64 " has a wrong checksum", path,
                offset);
    if (fr_get_u32(bytes + 64) != FR_VALUE_VERSION)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s: version %" PRIu32, path, fr_get_u32(bytes + 64));
    ret_footer->hash = (struct fr_hash128){.low = fr_get_u64(bytes), .high = fr_get_u64(bytes + 8)};
    ret_footer->count = fr_get_u64(bytes + 16);
    ret_footer->bytes = fr_get_u64(bytes + 24);
    fr_file_id_get(bytes + 32, &ret_footer->id);
    ret_footer->file_size = fr_get_u64(bytes + 56);
    return FR_OK;
}

/* The fields, believed as far as the bytes reach. NULL or what is wrong. */
static const char *take_apart(fr_slice bytes, struct fr_value_stored *record, uint32_t *ret_crc,
        uint8_t *ret_zero)
{
    struct fr_bytes in = fr_bytes_of(bytes);

    *ret_crc = fr_bytes_u32(&in);
    uint32_t stored = fr_bytes_u32(&in);
    record->size = fr_bytes_u32(&in);
    uint16_t key_size = fr_bytes_u16(&in);
    record->compression = fr_bytes_u8(&in);
    *ret_zero = fr_bytes_u8(&in);
    record->seq = fr_bytes_u64(&in);
    record->key = fr_bytes_take(&in, key_size);
    record->stored = fr_bytes_take(&in, stored);
    record->whole = fr_bytes_offset(&in);
    return fr_bytes_ok(&in) ? NULL : "runs over its end";
}

static const char *check_fields(const struct fr_value_stored *record, uint8_t zero)
{
    if (record->key.size == 0 || zero != 0 || record->seq == 0 || record->seq > FR_SEQ_MAX ||
            record->size > FR_VALUE_SIZE_MAX ||
            !fr_frame_ratio_fair(record->stored.size, record->size))
        return "has a bad field";
    if (record->compression != FR_CODEC_NONE && record->compression != FR_CODEC_ZSTD)
        return "is compressed in an unknown way";
    if (record->compression == FR_CODEC_NONE && record->stored.size != record->size)
        return "has two sizes";
    return NULL;
}

static const char *check_crc(uint32_t seed, uint64_t offset, const uint8_t *bytes, size_t whole,
        uint32_t crc)
{
    uint32_t found = fr_crc32c(fr_file_id_seed_at(seed, offset), bytes + 4, whole - 4);

    return crc == fr_crc32c_mask(found) ? NULL : "has a wrong checksum";
}

const char *fr_value_stored_read(uint32_t seed, uint64_t offset, fr_slice bytes,
        struct fr_value_stored *ret_record)
{
    struct fr_value_stored record = {.size = 0};
    uint32_t crc;
    uint8_t zero;
    const char *why = take_apart(bytes, &record, &crc, &zero);

    if (why == NULL) why = check_crc(seed, offset, bytes.data, record.whole, crc);
    if (why == NULL) why = check_fields(&record, zero);
    if (why == NULL) *ret_record = record;
    return why;
}

/* The fields are asked first: bytes at random hardly ever pass, and few checksums are computed. */
bool fr_value_stored_find(uint32_t seed, uint64_t offset, fr_slice bytes, size_t *at,
        struct fr_value_stored *ret_record)
{
    for (size_t i = *at; i + FR_VALUE_RECORD_SIZE < bytes.size; i++) {
        struct fr_value_stored record = {.size = 0};
        fr_slice rest = fr_slice_of(bytes.data + i, bytes.size - i);
        uint32_t crc;
        uint8_t zero;

        if (take_apart(rest, &record, &crc, &zero) != NULL) continue;
        if (check_fields(&record, zero) != NULL) continue;
        if (check_crc(seed, offset + i, rest.data, record.whole, crc) != NULL) continue;
        *at = i;
        *ret_record = record;
        return true;
    }
    return false;
}
