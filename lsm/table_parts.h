/*
 * table_parts.h - the fixed parts of a table file, by themselves: header, footer, handles, and
 * frames that nothing leads to.
 *
 * Who opens a table believes all of it or nothing (lsm/table.h). Who wants what is left of a
 * damaged one takes it apart with these.
 */
#ifndef FR_LSM_TABLE_PARTS_H
#define FR_LSM_TABLE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/table_format.h"

struct fr_table_footer {
    struct fr_hash128 hash;
    struct fr_block_handle handles[FR_TABLE_HANDLES];
    uint64_t data_end;
    uint64_t file_size; /* as it says */
    struct fr_file_id id;
};

/*
 * From the bytes of a header. FR_ERR_CORRUPT, FR_ERR_TOO_NEW. Whether it is the one of this file is
 * for the caller to see.
 */
FR_NODISCARD fr_status fr_table_header_decode(const uint8_t bytes[static FR_TABLE_HEADER_SIZE],
        const char *path, struct fr_file_id *ret_id);

/*
 * From the bytes at the end of a file of that size, which is FR_TABLE_HEADER_SIZE more at least.
 * FR_ERR_CORRUPT, FR_ERR_TOO_NEW. What is answered is in itself right; whose it is, and whether
 * its places are any, are the questions of fr_table_footer_check().
 */
FR_NODISCARD fr_status fr_table_footer_decode(const uint8_t bytes[static FR_TABLE_FOOTER_SIZE],
        const char *path, uint64_t file_size, struct fr_table_footer *ret_footer);

/* Whether all that it names lies in a file of that size, and that is the file's. FR_ERR_CORRUPT. */
FR_NODISCARD fr_status fr_table_footer_check(const struct fr_table_footer *footer, const char *path,
        uint64_t file_size);

/* Whether a frame lies between the data and the footer, or there is none (all zeros). */
bool fr_table_handle_good(const struct fr_block_handle *handle, uint64_t data_end,
        uint64_t file_size);

/* The value of an entry of the index. false: it is no handle. */
bool fr_block_handle_get(fr_slice value, struct fr_block_handle *ret_handle);

/*
 * The frame that begins where these bytes of a file do, though nothing says how long it is: the one
 * whose trailer has the right checksum. seed is fr_file_id_seed of the file, offset where the bytes
 * are in it. false: none ends in them.
 */
bool fr_frame_find(fr_slice bytes, uint32_t seed, uint64_t offset,
        struct fr_block_handle *ret_handle, enum fr_frame_type *ret_type);

/*
 * Whether a frame may begin with these bytes, by what blocks, filters, dictionaries and compressed
 * ones begin with: for who looks for the next one behind damage. Properties have nothing like it.
 */
bool fr_frame_may_begin(fr_slice bytes);

#endif
