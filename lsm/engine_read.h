/*
 * engine_read.h - for this folder only: a point read under way, as get and multi_get share it.
 *
 *     fr_read_begin
 *     fr_read_memtables       then, while it is not complete, for each table that holds the key,
 *                             from the newest on (fr_sources_next):
 *         fr_read_ranges
 *         fr_read_block       for each block that has entries of the key
 *         fr_lookup_source_done
 *     fr_read_place           does the value lie in a value file? then
 *     fr_read_record          get its record, or set read->record to what was read otherwise
 *     fr_read_finish
 *     fr_read_end             in any case
 */
#ifndef FR_LSM_ENGINE_READ_H
#define FR_LSM_ENGINE_READ_H

#include "base/hash.h"
#include "lsm/engine_priv.h"
#include "lsm/lookup.h"
#include "lsm/place.h"
#include "lsm/table.h"
#include "lsm/version.h"

/* Blocks that a lookup may have to keep: one for each fragment's home, mostly one. */
#define FR_READ_BLOCKS 8

struct fr_read {
    struct fr_engine *engine;
    const struct fr_view *view;
    uint64_t hash; /* of the key, which the lookup has */
    struct fr_table_block *blocks[FR_READ_BLOCKS];
    size_t block_count;
    struct fr_value_record *record; /* of the base, pinned, or NULL */
    struct fr_filter_counts filters;
    bool seen; /* the table that is being read has an entry of the key */
    struct fr_lookup lookup;
};

/* The tables of a version that may have a key or cover it, the newest first. */
struct fr_sources {
    const struct fr_version *version;
    fr_slice key;
    size_t next; /* of level 0 */
    unsigned level;
};

/* Where the value of a lookup's base lies. */
struct fr_read_place {
    struct fr_value_file *file;
    struct fr_place place;
    fr_seq seq;
};

/* NULL behind the last. */
const struct fr_version_table *fr_sources_next(struct fr_sources *sources);

void fr_read_begin(struct fr_read *read, struct fr_engine *engine, const struct fr_view *view,
        fr_slice key, uint64_t hash, fr_seq at);
void fr_read_end(struct fr_read *read);

FR_NODISCARD fr_status fr_read_memtables(struct fr_read *read);
/* Does the table's filter let the key pass? It is counted. */
bool fr_read_passes(struct fr_read *read, const struct fr_table *table);

void fr_read_ranges(struct fr_read *read, const struct fr_version_table *source);

/*
 * Hand the entries of the key in a pinned block to the lookup; the pin is taken over. *ret_end: the
 * key ended in this block.
 */
FR_NODISCARD fr_status fr_read_block(struct fr_read *read, struct fr_table_block *block,
        bool *ret_end);

/* The same for a table from a spot on; block, if it is not NULL, is there and pinned: taken over.
 */
FR_NODISCARD fr_status fr_read_table(struct fr_read *read, struct fr_table *table,
        struct fr_table_spot spot, struct fr_table_block *block);

/* And for all tables that are left, until the lookup is complete. */
FR_NODISCARD fr_status fr_read_sources(struct fr_read *read, struct fr_sources *sources);

/* FR_NOT_FOUND: the value, if any, is in no value file. FR_ERR_CORRUPT: in one that is not there.
 */
FR_NODISCARD fr_status fr_read_place(const struct fr_read *read, struct fr_read_place *ret_place);

/* The record at that place: cached, or read now. */
FR_NODISCARD fr_status fr_read_record(struct fr_read *read, const struct fr_read_place *place);

/* The value, with what keeps it; FR_NOT_FOUND. */
FR_NODISCARD fr_status fr_read_finish(struct fr_read *read, struct fr_engine_value *ret_value);

#endif
