/*
 * file_id.h - which file this is: of which store, and its number there.
 *
 * Numbers are never used twice in a store. The id is mixed into every checksum of the file, so
 * intact bytes of another file, or of this name's file in another store, do not pass.
 */
#ifndef FR_LSM_FILE_ID_H
#define FR_LSM_FILE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "base/coding.h"
#include "base/crc32c.h"

struct fr_file_id {
    uint64_t store[2]; /* drawn when the store was created */
    uint64_t number;
};

#define FR_FILE_ID_SIZE 24

static inline void fr_file_id_put(uint8_t *to, const struct fr_file_id *id)
{
    fr_put_u64(to, id->store[0]);
    fr_put_u64(to + 8, id->store[1]);
    fr_put_u64(to + 16, id->number);
}

static inline void fr_file_id_get(const uint8_t *from, struct fr_file_id *ret_id)
{
    ret_id->store[0] = fr_get_u64(from);
    ret_id->store[1] = fr_get_u64(from + 8);
    ret_id->number = fr_get_u64(from + 16);
}

static inline bool fr_file_id_equal(const struct fr_file_id *a, const struct fr_file_id *b)
{
    return a->store[0] == b->store[0] && a->store[1] == b->store[1] && a->number == b->number;
}

/* What checksums in this file begin from. */
static inline uint32_t fr_file_id_seed(const struct fr_file_id *id)
{
    uint8_t bytes[FR_FILE_ID_SIZE];

    fr_file_id_put(bytes, id);
    return fr_crc32c(0, bytes, sizeof(bytes));
}

/* And what those of the piece that stands at offset begin from. */
static inline uint32_t fr_file_id_seed_at(uint32_t seed, uint64_t offset)
{
    uint8_t bytes[8];

    fr_put_u64(bytes, offset);
    return fr_crc32c(seed, bytes, sizeof(bytes));
}

#endif
