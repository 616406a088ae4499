/*
 * batch_format.h - a batch of operations as bytes: what the log carries, and the memtable takes.
 *
 * A header, then one record for each operation, back to back. Integers are little-endian.
 *
 *   offset  size  field
 *        0     4  check    masked CRC-32C of bytes 4..15
 *        4     2  version  FR_BATCH_VERSION
 *        6     2  zero
 *        8     4  count    operations
 *       12     4  size     of the whole batch, this header included: 16..FR_BATCH_SIZE_MAX
 *
 * and a record:
 *
 *        0     4  check       masked CRC-32C of all that follows, to the end of the record
 *        4     1  kind        enum fr_kind
 *        5     1  flags       FR_ENTRY_EXPIRES with a PUT, else 0
 *        6     2  key size    1..FR_KEY_SIZE_MAX
 *        8     4  value size  0..FR_VALUE_SIZE_MAX; 0 of a DELETE
 *       12     8  expires_us  only with FR_ENTRY_EXPIRES
 *              n  key
 *              n  value       of a DELETE_RANGE: the first key not covered, itself a key
 *
 * There are no sequence numbers inside: a batch gets its first one when it is committed, and its
 * i-th operation, counted from 0, has first + i.
 *
 * The check of a record is made when the operation is added, before anything else is done with it.
 * It depends on nothing but the entry, so it goes along into the memtable and is compared once
 * more when the entry leaves it for a table: a bit that flips in between, in memory that is ours
 * for minutes, is found before it becomes durable for good. The header's check protects the count,
 * without which a lost last record would be missed. The checks are masked because the log puts a
 * CRC around the batch.
 */
#ifndef FR_LSM_BATCH_FORMAT_H
#define FR_LSM_BATCH_FORMAT_H

#include <stdbool.h>

#include "base/assert.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "lsm/entry.h"

#define FR_BATCH_VERSION     1
#define FR_BATCH_HEADER_SIZE 16
#define FR_BATCH_RECORD_SIZE 12 /* without expiry, key and value */

/* One record of the log must hold it, and a memtable take it in one go. */
#define FR_BATCH_SIZE_MAX ((size_t)1 << 30)
static_assert(FR_VALUE_SIZE_MAX + FR_KEY_SIZE_MAX + 1024 < FR_BATCH_SIZE_MAX, "");
static_assert(FR_KEY_SIZE_MAX <= UINT16_MAX && FR_BATCH_SIZE_MAX <= UINT32_MAX, "");

struct fr_batch_header {
    uint32_t count;
    uint32_t size;
};

static inline void fr_batch_header_put(uint8_t *to, const struct fr_batch_header *header)
{
    fr_put_u16(to + 4, FR_BATCH_VERSION);
    fr_put_u16(to + 6, 0);
    fr_put_u32(to + 8, header->count);
    fr_put_u32(to + 12, header->size);
    fr_put_u32(to, fr_crc32c_mask(fr_crc32c(0, to + 4, FR_BATCH_HEADER_SIZE - 4)));
}

static inline size_t fr_batch_record_size(const struct fr_entry *entry)
{
    size_t expiry = entry->flags & FR_ENTRY_EXPIRES ? 8 : 0;

    return FR_BATCH_RECORD_SIZE + expiry + entry->key.size + entry->value.size;
}

/* Bytes 4..11 of the record. */
static inline void fr_batch_record_put_fixed(uint8_t *to, const struct fr_entry *entry)
{
    to[0] = entry->kind;
    to[1] = entry->flags;
    fr_put_u16(to + 2, (uint16_t)entry->key.size);
    fr_put_u32(to + 4, (uint32_t)entry->value.size);
}

/* Write all of a record to memory with room for fr_batch_record_size. */
static inline void fr_batch_record_put(uint8_t *to, const struct fr_entry *entry)
{
    uint8_t *at = to + FR_BATCH_RECORD_SIZE;

    fr_batch_record_put_fixed(to + 4, entry);
    if (entry->flags & FR_ENTRY_EXPIRES) {
        fr_put_u64(at, entry->expires_us);
        at += 8;
    }
    memcpy(at, entry->key.data, entry->key.size);
    at += entry->key.size;
    if (entry->value.size > 0) memcpy(at, entry->value.data, entry->value.size);
    at += entry->value.size;
    fr_put_u32(to, fr_crc32c_mask(fr_crc32c(0, to + 4, (size_t)(at - to) - 4)));
}

/* The check that the record of this entry carries, whatever its sequence number. */
static inline uint32_t fr_batch_record_check(const struct fr_entry *entry)
{
    uint8_t fixed[16];
    size_t size = 8;

    fr_batch_record_put_fixed(fixed, entry);
    if (entry->flags & FR_ENTRY_EXPIRES) {
        fr_put_u64(fixed + 8, entry->expires_us);
        size = 16;
    }
    uint32_t crc = fr_crc32c(0, fixed, size);
    crc = fr_crc32c(crc, entry->key.data, entry->key.size);
    return fr_crc32c_mask(fr_crc32c(crc, entry->value.data, entry->value.size));
}

#endif
