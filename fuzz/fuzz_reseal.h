/*
 * fuzz_reseal.h - make the checksums of a table file right again after its bytes were changed.
 *
 * From the leaves up: the frames of data and index blocks, the handles that lead to them, the other
 * frames, the hash of all, the footer. What is left wrong is what the checks behind the checksums
 * have to find. Parts that cannot be followed are left as they are.
 */
#ifndef FR_FUZZ_FUZZ_RESEAL_H
#define FR_FUZZ_FUZZ_RESEAL_H

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/hash.h"
#include "lsm/block.h"
#include "lsm/table_format.h"

struct reseal {
    uint8_t *file;
    size_t size;
    uint32_t seed;
};

/* Give a frame its checksum, and answer that; 0 if there is no frame there. */
static inline uint32_t reseal_frame(const struct reseal *r, uint64_t offset, uint32_t size)
{
    uint64_t end = r->size - FR_TABLE_FOOTER_SIZE;

    if (size < FR_FRAME_TRAILER_SIZE || offset > end || size > end - offset) return 0;
    uint32_t crc = fr_crc32c(fr_file_id_seed_at(r->seed, offset), r->file + offset, size - 4);

    crc = fr_crc32c_mask(crc);
    fr_put_u32(r->file + offset + size - 4, crc);
    return crc;
}

/*
 * The same for a block of the index and for what it leads to: depth 2 for the top, 1 for the level
 * below, 0 for a frame that leads nowhere. Each must end before its parent begins.
 */
// NOLINTNEXTLINE(misc-no-recursion): two levels
static inline uint32_t reseal_tree(const struct reseal *r, uint64_t offset, uint32_t size,
        unsigned depth)
{
    uint64_t end = r->size - FR_TABLE_FOOTER_SIZE;
    struct fr_block_iter it;
    struct fr_block block;

    if (depth == 0 || size <= FR_FRAME_TRAILER_SIZE || offset > end || size > end - offset)
        return reseal_frame(r, offset, size);
    fr_slice payload = fr_slice_of(r->file + offset, size - FR_FRAME_TRAILER_SIZE);
    fr_block_iter_init(&it);
    if (fr_block_open(payload, "", offset, &block) == FR_OK &&
            fr_block_iter_set(&it, &block) == FR_OK) {
        while (fr_iter_next(&it.iter) == FR_OK) {
            struct fr_bytes in = fr_bytes_of(it.iter.entry.value);
            uint64_t at = fr_bytes_varint(&in);
            uint32_t child = fr_bytes_varint32(&in);
            (void)fr_bytes_u32(&in);
            if (!fr_bytes_done(&in) || at > offset || child > offset - at) continue;
            /* The value lies in the file itself. */
            size_t place = (size_t)(it.iter.entry.value.data - r->file);
            fr_put_u32(r->file + place + it.iter.entry.value.size - 4,
                    reseal_tree(r, at, child, depth - 1));
        }
    }
    fr_iter_close(&it.iter);
    return reseal_frame(r, offset, size);
}

/* All of a file of that identity. Too small a file is left as it is. */
static inline void reseal_table(uint8_t *file, size_t size, const struct fr_file_id *id)
{
    struct reseal r = {.file = file, .size = size, .seed = fr_file_id_seed(id)};
    struct fr_hash128_state state;

    if (size < FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE) return;
    uint8_t *footer = file + size - FR_TABLE_FOOTER_SIZE;
    fr_put_u32(file + 60, fr_crc32c_mask(fr_crc32c(0, file, 60)));
    for (int i = 0; i < FR_TABLE_HANDLES; i++) {
        uint8_t *handle = footer + 16 + 16 * i;
        if (fr_get_u32(handle + 8) == 0) continue;
        fr_put_u32(handle + 12,
                reseal_tree(&r, fr_get_u64(handle), fr_get_u32(handle + 8), i == 1 ? 2 : 0));
    }
    fr_hash128_init(&state);
    fr_hash128_add(&state, file, size - FR_TABLE_FOOTER_SIZE);
    struct fr_hash128 hash = fr_hash128_get(&state);
    fr_put_u64(footer, hash.low);
    fr_put_u64(footer + 8, hash.high);
    fr_put_u32(footer + 180, fr_crc32c_mask(fr_crc32c(0, footer, 180)));
}

#endif
