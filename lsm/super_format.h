/*
 * super_format.h - the bytes of SUPER: whose store this is, and where its manifest begins.
 *
 * SUPER is written in advance, 128 KiB, and holds two slots 64 KiB apart. A slot holds two copies
 * of one record, in blocks of 4096 bytes that follow each other; the rest is zeros. Each change
 * writes the next generation to the slot that the generation's parity names, both copies, and
 * syncs; so the slot of the generation before stays untouched until the new one is durable.
 *
 *     0         slot 0, generations 0, 2, 4, ...     copy, copy
 *     65536     slot 1, generations 1, 3, 5, ...     copy, copy
 *
 * A copy, little-endian:
 *
 *   offset  size  field
 *        0     8  magic        "FRESHSUP"
 *        8     4  version      1
 *       12     4  must         features that a reader has to know; unknown: FR_ERR_TOO_NEW
 *       16     4  may          features that it need not know
 *       20     4  zero
 *       24    16  store        the identity of the store, by chance, never changed
 *       40     8  generation
 *       48     8  manifest     number of the segment in which the current manifest begins
 *       56     8  manifest_lsn where in that log it begins
 *       64     8  created_us   time of day when the store was made
 *       72  4020  zeros
 *     4092     4  crc          CRC-32C of the 4092 bytes before, continued from the copy's offset
 * in the file as eight bytes: a copy in the wrong place is no copy
 *
 * The valid copy of the highest generation counts. A generation of which one copy is torn is as
 * good as a whole one: the manifest that it names was durable before it was written, and the
 * manifest of the generation before is removed only after.
 */
#ifndef FR_LSM_SUPER_FORMAT_H
#define FR_LSM_SUPER_FORMAT_H

#include <stdint.h>

#include "base/status.h"
#include "wal/wal_format.h"

#define FR_SUPER_MAGIC       "FRESHSUP"
#define FR_SUPER_VERSION     1
#define FR_SUPER_COPY_SIZE   4096
#define FR_SUPER_SLOT_STRIDE 65536
#define FR_SUPER_COPIES      2
#define FR_SUPER_FILE_SIZE   (2 * FR_SUPER_SLOT_STRIDE)

struct fr_super {
    uint8_t store[FR_STORE_ID_SIZE];
    uint64_t generation;
    uint64_t manifest;
    fr_lsn manifest_lsn;
    uint64_t created_us;
};

/* Where a copy of a generation stands. */
static inline uint64_t fr_super_offset(uint64_t generation, unsigned copy)
{
    return generation % 2 * FR_SUPER_SLOT_STRIDE + (uint64_t)copy * FR_SUPER_COPY_SIZE;
}

void fr_super_encode(const struct fr_super *super, uint64_t offset,
        uint8_t ret_bytes[static FR_SUPER_COPY_SIZE]);

/* FR_ERR_CORRUPT: no copy that belongs there. FR_ERR_TOO_NEW. The words do not name the file. */
FR_NODISCARD fr_status fr_super_decode(const uint8_t bytes[static FR_SUPER_COPY_SIZE],
        uint64_t offset, struct fr_super *ret_super);

#endif
