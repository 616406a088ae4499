/* table_priv.h - for this folder and its tests only: what an open table holds. */
#ifndef FR_LSM_TABLE_PRIV_H
#define FR_LSM_TABLE_PRIV_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/buf.h"
#include "lsm/filter.h"
#include "lsm/frame.h"
#include "lsm/table.h"

/* Index entries, taken apart for a quick search. */
struct fr_table_index {
    struct fr_buf prefixes; /* u64: of the separators behind the common prefix */
    struct fr_buf handles;  /* struct fr_block_handle */
    struct fr_buf seqs;     /* u64 */
    struct fr_buf ends;     /* u64: of the separators in keys */
    struct fr_buf keys;     /* the separators */
    size_t count;
    size_t common;
};

struct fr_table {
    /* Constant after open, but for unpacker.spare. */
    struct fr_file_id id;
    struct fr_file *file;
    struct fr_cache *cache;
    uint32_t seed;
    uint64_t file_size;
    uint64_t data_end;
    struct fr_hash128 hash;
    struct fr_block_handle handles[FR_TABLE_HANDLES];
    struct fr_buf meta; /* the file from data_end to the footer */
    uint8_t *filter_bytes;
    struct fr_filter filter; /* lines is NULL if there is none */
    struct fr_table_index index;
    struct fr_table_properties properties;
    uint8_t *range_bytes;     /* unpacked block */
    struct fr_buf range_list; /* struct fr_range */
    struct fr_arena range_keys;
    struct fr_unpacker unpacker;

    /* relaxed to take one, release and acquire to give the last one back. */
    _Atomic(uint32_t) refs;
};

/* No key of a data block is below the one or above the other. Valid as long as the table. */
void fr_table_block_span(const struct fr_table *table, size_t index, fr_slice *ret_low,
        fr_slice *ret_high);

/* Check and unpack a frame into a new block; bytes as read. */
FR_NODISCARD fr_status fr_table_block_unpack(struct fr_table *table,
        const struct fr_block_handle *handle, fr_slice bytes, struct fr_table_block **ret_block);

/* Put into the cache and pin. */
struct fr_table_block *fr_table_block_keep(struct fr_table *table, struct fr_table_block *block,
        bool cold);

#endif
