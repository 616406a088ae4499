/*
 * table_properties.h - what is known about a table without reading its entries.
 */
#ifndef FR_LSM_TABLE_PROPERTIES_H
#define FR_LSM_TABLE_PROPERTIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

/* Stored: never renumbered. */
enum fr_table_origin {
    FR_TABLE_ORIGIN_UNKNOWN = 0,
    FR_TABLE_ORIGIN_FLUSH = 1,
    FR_TABLE_ORIGIN_COMPACTION = 2,
    FR_TABLE_ORIGIN_INGEST = 3,
};

/* How much of a value file a table refers to. */
struct fr_value_ref {
    uint64_t file;
    uint64_t bytes; /* of values */
    uint64_t count;
};

struct fr_table_properties {
    uint64_t put_count;
    uint64_t delete_count;
    uint64_t append_count;
    uint64_t range_count;  /* fragments of ranges */
    uint64_t key_count;    /* distinct keys of entries; ranges are not counted */
    uint64_t placed_count; /* values in value files */
    uint64_t expires_count;
    uint64_t expires_least_us; /* the first to expire; 0 if none does */
    uint64_t raw_key_bytes;
    uint64_t raw_value_bytes;
    uint64_t block_count;
    uint64_t block_raw_bytes;
    uint64_t block_stored_bytes; /* with trailers */
    uint64_t index_bytes;
    uint64_t filter_bytes;
    uint64_t dictionary_bytes;
    uint64_t seq_least; /* 0 if there is nothing in the table */
    uint64_t seq_most;
    uint64_t created_us; /* time of day */
    uint64_t level;      /* for which it was made */
    uint64_t origin;     /* enum fr_table_origin */
    uint64_t compression;
    uint64_t largest_open;    /* 1: largest comes from the end of a range and is not covered */
    uint64_t shadowed_bytes;  /* about so many of values elsewhere are garbage because of it */
    struct fr_buf smallest;   /* of keys and starts of ranges; empty if the table is */
    struct fr_buf largest;    /* of keys and ends of ranges */
    struct fr_buf value_refs; /* struct fr_value_ref, by file */
};

void fr_table_properties_deinit(struct fr_table_properties *properties);

static inline size_t fr_table_value_ref_count(const struct fr_table_properties *properties)
{
    return properties->value_refs.size / sizeof(struct fr_value_ref);
}

static inline const struct fr_value_ref *
fr_table_value_refs(const struct fr_table_properties *properties)
{
    return (const struct fr_value_ref *)(const void *)properties->value_refs.data;
}

/* Entries in data blocks. */
static inline uint64_t fr_table_entry_count(const struct fr_table_properties *properties)
{
    return properties->put_count + properties->delete_count + properties->append_count;
}

/* A value of that size lies in that file. A failure for want of memory sticks to value_refs. */
void fr_table_properties_add_ref(struct fr_table_properties *properties, uint64_t file,
        uint64_t bytes, uint64_t count);

/* As stored (lsm/table_format.h). Failure sticks to out. */
void fr_table_properties_put(const struct fr_table_properties *properties, struct fr_buf *out);

/* The caller deinits what it gets. path and offset are for words. */
FR_NODISCARD fr_status fr_table_properties_get(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_table_properties *ret_properties);

/* An equal one with memory of its own. */
FR_NODISCARD fr_status fr_table_properties_copy(const struct fr_table_properties *from,
        struct fr_table_properties *ret_to);

#endif
