#include "lsm/super_format.h"

#include <inttypes.h>

#include "base/bytes.h"
#include "base/coding.h"
#include "base/crc32c.h"

#define CRC_OFFSET (FR_SUPER_COPY_SIZE - 4)

static uint32_t copy_crc(const uint8_t *bytes, uint64_t offset)
{
    uint8_t place[8];

    fr_put_u64(place, offset);
    return fr_crc32c(fr_crc32c(0, place, sizeof(place)), bytes, CRC_OFFSET);
}

void fr_super_encode(const struct fr_super *super, uint64_t offset,
        uint8_t ret_bytes[static FR_SUPER_COPY_SIZE])
{
    uint8_t *b = ret_bytes;

    memset(b, 0, FR_SUPER_COPY_SIZE);
    for (int i = 0; i < 8; i++)
        b[i] = (uint8_t)FR_SUPER_MAGIC[i];
    fr_put_u32(b + 8, FR_SUPER_VERSION);
    memcpy(b + 24, super->store, FR_STORE_ID_SIZE);
    fr_put_u64(b + 40, super->generation);
    fr_put_u64(b + 48, super->manifest);
    fr_put_u64(b + 56, super->manifest_lsn);
    fr_put_u64(b + 64, super->created_us);
    fr_put_u32(b + CRC_OFFSET, copy_crc(b, offset));
}

fr_status fr_super_decode(const uint8_t bytes[static FR_SUPER_COPY_SIZE], uint64_t offset,
        struct fr_super *ret_super)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of(bytes, FR_SUPER_COPY_SIZE));
    struct fr_super super;

    fr_bytes_skip(&in, 8);
    if (memcmp(bytes, FR_SUPER_MAGIC, 8) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "no superblock at %" PRIu64, offset);
    if (fr_get_u32(bytes + CRC_OFFSET) != copy_crc(bytes, offset))
        return FR_FAIL(FR_ERR_CORRUPT, "the superblock at %" PRIu64 " is damaged", offset);
    uint32_t version = fr_bytes_u32(&in);
    uint32_t must = fr_bytes_u32(&in);
    if (version != FR_SUPER_VERSION || must != 0)
        return FR_FAIL(FR_ERR_TOO_NEW, "format %" PRIu32 " with features %#" PRIx32, version, must);
    fr_bytes_skip(&in, 8);
    memcpy(super.store, bytes + fr_bytes_offset(&in), FR_STORE_ID_SIZE);
    fr_bytes_skip(&in, FR_STORE_ID_SIZE);
    super.generation = fr_bytes_u64(&in);
    super.manifest = fr_bytes_u64(&in);
    super.manifest_lsn = fr_bytes_u64(&in);
    super.created_us = fr_bytes_u64(&in);
    /* Whole by its crc, yet in a slot that it does not belong to: a mistake of ours, or a trick. */
    if (super.generation % 2 * FR_SUPER_SLOT_STRIDE !=
            offset / FR_SUPER_SLOT_STRIDE * FR_SUPER_SLOT_STRIDE)
        return FR_FAIL(FR_ERR_CORRUPT, "generation %" PRIu64 " stands in the other's slot",
                super.generation);
    if (super.manifest == 0) return FR_FAIL(FR_ERR_CORRUPT, "the superblock names no manifest");
    *ret_super = super;
    return FR_OK;
}
