/*
 * value_parts.h - the parts of a value file, by themselves: header, footer, and records, also those
 * behind a damaged one.
 *
 * seed is fr_file_id_seed of the file, offset the place of the first of some bytes in it.
 */
#ifndef FR_LSM_VALUE_PARTS_H
#define FR_LSM_VALUE_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/file_id.h"
#include "lsm/value_format.h"

/* The bytes of the header page that mean something. */
#define FR_VALUE_HEADER_USED 44

/* FR_ERR_CORRUPT. Whether it is the header of this file is for the caller to see. */
FR_NODISCARD fr_status fr_value_header_decode(const uint8_t bytes[static FR_VALUE_HEADER_USED],
        const char *path, struct fr_file_id *ret_id);

struct fr_value_footer {
    struct fr_hash128 hash;
    uint64_t count;
    uint64_t bytes;
    struct fr_file_id id;
    uint64_t file_size; /* as it says */
};

/* offset is for words. FR_ERR_CORRUPT, FR_ERR_TOO_NEW. */
FR_NODISCARD fr_status fr_value_footer_decode(const uint8_t bytes[static FR_VALUE_FOOTER_SIZE],
        const char *path, uint64_t offset, struct fr_value_footer *ret_footer);

/* A record as it is stored; slices borrow. */
struct fr_value_stored {
    fr_slice key;
    fr_slice stored;
    uint32_t size; /* of the value */
    fr_seq seq;
    uint8_t compression; /* enum fr_codec */
    size_t whole;        /* bytes of the record */
};

/* The record at the front of the bytes; what is behind it does not matter. Else what is wrong. */
const char *fr_value_stored_read(uint32_t seed, uint64_t offset, fr_slice bytes,
        struct fr_value_stored *ret_record);

/* Where a whole record begins in these bytes, at *at or behind. false: nowhere. */
bool fr_value_stored_find(uint32_t seed, uint64_t offset, fr_slice bytes, size_t *at,
        struct fr_value_stored *ret_record);

#endif
