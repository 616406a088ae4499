/*
 * salvage_value.h - reading a value at its place, whatever else is wrong with the file.
 *
 * A record proves by its own checksum that it is the value of that key at that place of that file:
 * so neither header nor footer is asked. One thread.
 */
#ifndef FR_RECOVERY_SALVAGE_VALUE_H
#define FR_RECOVERY_SALVAGE_VALUE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/frame.h"
#include "lsm/place.h"
#include "wal/wal_format.h"

struct fr_dir;
struct fr_file;

struct fr_salvage_values {
    struct fr_dir *dir;
    uint8_t store[FR_STORE_ID_SIZE];
    struct fr_file *file; /* the one that was asked last, or NULL */
    uint64_t number;
    struct fr_unpacker unpacker;
    struct fr_buf record;
};

void fr_salvage_values_deinit(struct fr_salvage_values *values);

/* Append the value to a buffer. FR_ERR_CORRUPT, FR_ERR_MISSING, FR_ERR_IO: it is lost.
 * FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_salvage_value(struct fr_salvage_values *values,
        const struct fr_place *place, fr_slice key, fr_seq seq, struct fr_buf *to);

#endif
