/*
 * place.h - where a value lies that is not in its table.
 *
 * Values from a threshold on are written to value files at flush, and the table keeps the place.
 * The place may be asked for and read directly; a value that has been moved meanwhile is noticed,
 * because its record says whose it is (lsm/value_format.h), and file numbers are never used again.
 */
#ifndef FR_LSM_PLACE_H
#define FR_LSM_PLACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/coding.h"

struct fr_place {
    uint64_t file;   /* number of the value file */
    uint64_t offset; /* of the record in it */
    uint64_t size;   /* of the value */
};

/* Where bytes of a value lie as they are: neither compressed nor put together. file 0: nowhere. */
struct fr_spot {
    uint64_t file; /* number of the value file */
    uint64_t offset;
};

/* As bytes: three varints. */
#define FR_PLACE_SIZE_MAX (3 * FR_VARINT64_MAX)

static inline size_t fr_place_put(uint8_t *to, const struct fr_place *place)
{
    uint8_t *end = fr_put_varint(to, place->file);

    end = fr_put_varint(end, place->offset);
    end = fr_put_varint(end, place->size);
    return (size_t)(end - to);
}

/* false: these bytes are no place. */
static inline bool fr_place_get(fr_slice bytes, struct fr_place *ret_place)
{
    struct fr_bytes in = fr_bytes_of(bytes);
    struct fr_place place;

    place.file = fr_bytes_varint(&in);
    place.offset = fr_bytes_varint(&in);
    place.size = fr_bytes_varint(&in);
    if (!fr_bytes_done(&in)) return false;
    *ret_place = place;
    return true;
}

#endif
