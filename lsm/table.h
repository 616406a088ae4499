/*
 * table.h - reading a table (lsm/table_format.h).
 *
 * Opening reads footer, index, filter, ranges, dictionary and properties in two transfers, and
 * keeps them. From then on data blocks are all that is left to read, and nothing here reads one
 * unless its name says so. A planner that wants many keys goes
 *
 *     fr_table_may_contain      the filter
 *     fr_table_locate           the block in which the key would be
 *     fr_table_block_cached     or, if it is not:
 *     fr_table_block_request    what to read, for a queue
 *     fr_table_block_accept     check and unpack what was read
 *     fr_block_get_first        look into the block (lsm/block.h)
 *     fr_table_block_release
 *
 * and while (spot.goes_on), if it wants older entries, to the next spot. Tables are constant: any
 * thread, but for iterators, which have one each.
 */
#ifndef FR_LSM_TABLE_H
#define FR_LSM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "lsm/block.h"
#include "lsm/cache.h"
#include "lsm/iter.h"
#include "lsm/ranges.h"
#include "lsm/table_format.h"
#include "lsm/table_properties.h"

struct fr_dir;
struct fr_io_request;
struct fr_table;

/*
 * Open the table of that id. cache may be NULL: blocks live while they are used. The dir is not
 * needed after this. FR_ERR_MISSING; FR_ERR_FOREIGN: of another store or another number;
 * FR_ERR_TOO_NEW; FR_ERR_CORRUPT. The reference is the caller's.
 */
FR_NODISCARD fr_status fr_table_open(struct fr_dir *dir, const struct fr_file_id *id,
        struct fr_cache *cache, struct fr_table **ret_table);

/* The same under another name. */
FR_NODISCARD fr_status fr_table_open_as(struct fr_dir *dir, const char *name,
        const struct fr_file_id *id, struct fr_cache *cache, struct fr_table **ret_table);

/*
 * The same with flags: 0, or FR_OPEN_DIRECT to read past the page cache. Then what the cache holds
 * of the file already is let go, too; fr_table_is_direct() tells whether the file system does it.
 */
FR_NODISCARD fr_status fr_table_open_with(struct fr_dir *dir, const char *name,
        const struct fr_file_id *id, struct fr_cache *cache, unsigned flags,
        struct fr_table **ret_table);

struct fr_table *fr_table_ref(struct fr_table *table);

/* NULL is fine. The last one closes the file; its blocks stay in the cache until they grow cold. */
void fr_table_unref(struct fr_table *table);

/* All valid as long as the table. */
const struct fr_file_id *fr_table_id(const struct fr_table *table);
const char *fr_table_path(const struct fr_table *table);
bool fr_table_is_direct(const struct fr_table *table);
uint64_t fr_table_file_size(const struct fr_table *table);
struct fr_hash128 fr_table_hash(const struct fr_table *table);
const struct fr_table_properties *fr_table_properties(const struct fr_table *table);

/* The range deletes, cut in fragments, by start and from the newest (lsm/ranges.h). */
const struct fr_range *fr_table_ranges(const struct fr_table *table, size_t *ret_count);

/* Memory that the open table holds, blocks in the cache aside. */
size_t fr_table_memory(const struct fr_table *table);

/* ---- The planner's building blocks ---- */

bool fr_table_has_filter(const struct fr_table *table);

/* hash: fr_hash64 of the key. false: no entry has that key (a range may cover it). */
bool fr_table_may_contain(const struct fr_table *table, uint64_t hash);
void fr_table_prefetch(const struct fr_table *table, uint64_t hash);

/* A data block's place in the table. */
struct fr_table_spot {
    struct fr_block_handle handle;
    uint32_t index;
    bool goes_on; /* the next block begins with the key that ends this one */
};

/* The block with the first entry not before (key, seq), if the key is in the table at all.
 * FR_NOT_FOUND: all entries are before. Never reads. */
FR_NODISCARD fr_status fr_table_locate(const struct fr_table *table, fr_slice key, fr_seq seq,
        struct fr_table_spot *ret_spot);

size_t fr_table_block_count(const struct fr_table *table);

/* The spot of that number. */
struct fr_table_spot fr_table_spot_at(const struct fr_table *table, size_t index);

/* A data block, pinned. */
struct fr_table_block {
    struct fr_cache_item item;
    struct fr_block block;
    uint8_t bytes[];
};

/* Pinned and true, if it is in the cache. */
bool fr_table_block_cached(const struct fr_table *table, const struct fr_block_handle *handle,
        struct fr_table_block **ret_block);

/*
 * Get what fr_table_block_cached() will look at on its way; with lines, once that has arrived, so
 * many lines of the block.
 */
void fr_table_block_prefetch(const struct fr_table *table, const struct fr_block_handle *handle,
        size_t lines);

/* Fill a request that reads the block. buffer has room for handle->size bytes. */
void fr_table_block_request(const struct fr_table *table, const struct fr_block_handle *handle,
        void *buffer, struct fr_io_request *ret_request);

/* What became of it: check, unpack, put into the cache, pin. The buffer is free again after it. */
FR_NODISCARD fr_status fr_table_block_accept(struct fr_table *table,
        const struct fr_block_handle *handle, const struct fr_io_request *request,
        struct fr_table_block **ret_block);

/* Read a block that is not cached, and put it into the cache, pinned. */
FR_NODISCARD fr_status fr_table_block_fetch(struct fr_table *table,
        const struct fr_block_handle *handle, struct fr_table_block **ret_block);

/* All of these in one, blocking. cold: a scan asks. */
FR_NODISCARD fr_status fr_table_block_read(struct fr_table *table,
        const struct fr_block_handle *handle, bool cold, struct fr_table_block **ret_block);

/* NULL is fine. */
void fr_table_block_release(const struct fr_table *table, struct fr_table_block *block);

/* ---- Walking ---- */

struct fr_table_iter_options {
    size_t readahead_max; /* bytes; 0 for FR_TABLE_READAHEAD_DEFAULT */
    bool fill_cache;      /* keep what is read, as cold; else what is not cached is not kept */

    /* Told of each damaged block that seek and next pass over; NULL: it ends the walk. */
    fr_iter_damage_fn *damage;
    void *damage_ctx;
};

#define FR_TABLE_READAHEAD_DEFAULT ((size_t)256 << 10)
#define FR_TABLE_READAHEAD_FIRST   ((size_t)16 << 10)

/*
 * All entries but ranges, as lsm/iter.h says. Blocks are read as needed; from the third in a row
 * on, in either direction, more at once: 16 KiB, doubled each time. NULL options are all zeros.
 * Holds a reference.
 */
FR_NODISCARD fr_status fr_table_iter_new(struct fr_table *table,
        const struct fr_table_iter_options *options, struct fr_iter **ret_iter);

/* ---- Checking ---- */

/* Called for each thing that is wrong; the words are fr_last_error(). false: stop. */
typedef bool (*fr_table_finding_fn)(void *ctx, uint64_t offset, fr_status st);

/*
 * Read every byte and compare all that can be compared: header, content hash, each frame, the order
 * of all entries, index, filter, hashes in blocks, counts in the properties. Bypasses the cache.
 * FR_OK: all is well. The first failure is answered; with fn, the walk goes on behind it.
 */
FR_NODISCARD fr_status fr_table_verify(struct fr_table *table, fr_table_finding_fn fn, void *ctx);

struct fr_rate_limiter;

/* The same at a rate, and for somebody who wants to see each entry of an intact block on the way.
 */
struct fr_table_check {
    fr_table_finding_fn finding; /* NULL: stop at the first */
    bool (*entry)(void *ctx, uint64_t offset,
            const struct fr_entry *entry); /* or NULL; false: stop */
    void *ctx;
    struct fr_rate_limiter *limiter; /* NULL: none */
};

FR_NODISCARD fr_status fr_table_check(struct fr_table *table, const struct fr_table_check *check);

#endif
