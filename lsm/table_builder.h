/*
 * table_builder.h - writes a table file (lsm/table_format.h) in one pass, from sorted entries.
 *
 *     fr_table_builder_open(dir, &id, &options, &b)
 *     fr_table_builder_add(b, &entry) ...     in their order
 *     fr_table_builder_add_range(b, ...) ...  at any time, in any order
 *     fr_table_builder_finish(b, &meta)       synced and read back
 *     fr_table_builder_close(b)
 *
 * Memory: a block or two, the write buffer, eight bytes a key for the filter, the index, the
 * ranges, and with a dictionary the sample that it learns from. One thread.
 *
 * A dictionary learns from the first blocks, which wait in memory until there are
 * fr_table_sample_size() bytes of them. It stays if it makes those that it has not learnt from
 * smaller by a twentieth, and saves more than its own size. A table that ends before gets none: it
 * would hold more memory once the table is open than it saves on the disk.
 */
#ifndef FR_LSM_TABLE_BUILDER_H
#define FR_LSM_TABLE_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/file_id.h"
#include "lsm/table_format.h"
#include "lsm/table_properties.h"

struct fr_dir;
struct fr_rate_limiter;
struct fr_table_builder;

struct fr_table_options {
    size_t block_size;         /* about, before compression: 4 to 64 KiB */
    size_t index_block_size;   /* the same for the index */
    size_t write_buffer_size;  /* 256 KiB to 1 MiB is good */
    size_t dictionary_size;    /* with ZSTD: train one of up to this size, if it pays; 0: none */
    unsigned restart_interval; /* entries */
    unsigned filter_bits;      /* per key; 0: no filter */
    enum fr_codec compression; /* NONE or ZSTD; each block for which it pays */
    int compression_level;
    bool verify; /* read the file back and check all of it before saying that it is there */
    bool direct; /* and that past the page cache, where the file system does it */
    enum fr_table_origin origin;
    uint64_t level;
    uint64_t created_us;
    struct fr_rate_limiter *limiter; /* NULL: none */
    bool urgent;                     /* goes first there */
};

/* The bytes that a dictionary learns from, at these options; 1 MiB at most. */
size_t fr_table_sample_size(const struct fr_table_options *options);

#define FR_TABLE_BLOCK_SIZE_MIN 4096
#define FR_TABLE_BLOCK_SIZE_MAX 65536

/* 8 KiB blocks, 10 filter bits, no compression, verify. */
struct fr_table_options fr_table_options_default(void);

/* What the manifest keeps of a table, and more. */
struct fr_table_meta {
    struct fr_file_id id;
    uint64_t file_size;
    struct fr_hash128 hash; /* as in the footer */
    struct fr_table_properties properties;
};

void fr_table_meta_deinit(struct fr_table_meta *meta);

/* options NULL: the default. FR_ERR_EXISTS: the file is there. */
FR_NODISCARD fr_status fr_table_builder_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_table_options *options, struct fr_table_builder **ret_builder);

/* The same under another name, of up to 31 bytes. */
FR_NODISCARD fr_status fr_table_builder_open_as(struct fr_dir *dir, const char *name,
        const struct fr_file_id *id, const struct fr_table_options *options,
        struct fr_table_builder **ret_builder);

/*
 * The next entry, of any kind but DELETE_RANGE, which stands behind the one before (asserted).
 * Copied. A failure sticks: what follows answers it again, finish included.
 */
FR_NODISCARD fr_status fr_table_builder_add(struct fr_table_builder *builder,
        const struct fr_entry *entry);

/* No key from start up to end, without end, has a value at seq. Copied. */
FR_NODISCARD fr_status fr_table_builder_add_range(struct fr_table_builder *builder, fr_slice start,
        fr_slice end, fr_seq seq);

/* About so many bytes of values that lie elsewhere are garbage because of this table: kept in it.
 */
void fr_table_builder_set_shadowed(struct fr_table_builder *builder, uint64_t bytes);

/* About the size of the file if it were finished now. */
uint64_t fr_table_builder_size_estimate(const struct fr_table_builder *builder);

/* Entries and ranges so far. */
uint64_t fr_table_builder_count(const struct fr_table_builder *builder);

/*
 * Write the rest and sync the file, but not its directory; then, with verify, read it back and
 * compare. On FR_OK the caller deinits *ret_meta. A table may be empty.
 */
FR_NODISCARD fr_status fr_table_builder_finish(struct fr_table_builder *builder,
        struct fr_table_meta *ret_meta);

/* Free it; if it was not finished well, the file is removed. NULL is fine. */
void fr_table_builder_close(struct fr_table_builder *builder);

#endif
