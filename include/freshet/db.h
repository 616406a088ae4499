/*
 * db.h - the storage engine: a durable, ordered map from keys to values.
 *
 * Keys are 1 to 65,535 bytes, ordered byte by byte; values are 0 bytes to 256 MiB. Everything is
 * safe to call from any number of threads, unless a function says otherwise; iterators and batches
 * belong to one thread at a time. Statuses are those of status.h: negative is a failure, whose
 * words fr_last_error() has; FR_NOT_FOUND and FR_END are answers.
 *
 *     struct fr_db *db;
 *     fr_status st = fr_db_open("store", NULL, &db);
 *     if (st == FR_OK) st = fr_db_put(db, NULL, "key", 3, "value", 5);
 *     ...
 *     fr_db_close(db);
 *
 * A write returns when it is durable in the class that was asked for, and is seen by every read
 * that begins after that. A batch is all or nothing, also across a crash. What survives a crash is
 * what was written up to some moment, with no holes before it.
 */
#ifndef FRESHET_DB_H
#define FRESHET_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/event.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

struct fr_db;
struct fr_batch;
struct fr_snapshot;
struct fr_iterator;

/* How durable a write is when its call returns. */
typedef enum fr_sync {
    FR_SYNC_DEVICE = 0, /* on stable storage: survives a loss of power */
    FR_SYNC_OS = 1,     /* with the operating system: survives the death of the process */
    FR_SYNC_NONE = 2    /* in this process: may be lost with it; never leaves a hole */
} fr_sync;

typedef enum fr_compression {
    FR_COMPRESSION_ZSTD = 0, /* where it pays: blocks that hardly shrink are stored as they are */
    FR_COMPRESSION_NONE = 1
} fr_compression;

/* --- Options -----------------------------------------------------------------------------------
 */

/*
 * What a store is opened with. fr_db_options_init() fills in the defaults and the size; later
 * versions add fields at the end, and take the shorter struct of an earlier one. Every field but
 * the hooks can also be set by name from text (fr_db_options_set).
 */
struct fr_db_options {
    size_t size; /* sizeof(struct fr_db_options) */

    bool create;      /* make the store if there is none (true) */
    bool must_be_new; /* FR_ERR_EXISTS if there is one (false) */
    bool read_only;   /* take no lock and write nothing; also beside a running writer, as of the
                         moment of opening or of the last fr_db_refresh() (false) */
    fr_sync sync;     /* of writes that do not say otherwise (FR_SYNC_DEVICE) */

    /*
     * For all that the store holds in memory: memtables, block cache, indexes and filters of open
     * tables, iterators, the buffers of background jobs (256 MiB; 1 MiB at least, and kept from
     * 8 MiB on). What others take, the cache gives up; when there is no cache left, memtables are
     * flushed before they are full. Values that were handed out and batches are their owners' own.
     */
    uint64_t memory_budget;

    uint32_t block_size;        /* of tables, before compression (8 KiB; 4 to 64 KiB) */
    uint32_t value_threshold;   /* values from this size lie in value files (256; 0: never) */
    fr_compression compression; /* of tables and values (FR_COMPRESSION_ZSTD) */
    uint32_t filter_bits;       /* per key (10; 0: no filters) */
    uint64_t memtable_size;     /* 0 for a share of the budget (0) */
    uint64_t log_segment_size;  /* (16 MiB) */
    uint64_t table_size;        /* of one table below level 0 (64 MiB) */
    bool verify_tables;         /* read every new table back before it is used (true) */

    uint64_t memory_budget_max; /* what it may be raised to with full effect (0: as it is) */
    const struct fr_event_hooks *hooks; /* see event.h; copied (NULL) */

    /*
     * Free space of the disk that writes leave alone, so that deletes, and the compaction that
     * makes them count, have room on a full one (64 MiB, and at most a sixteenth of the disk; 0:
     * none).
     */
    uint64_t disk_reserve;

    /* Bytes a second that flush and compaction write; flush goes first (0: no limit). */
    uint64_t background_rate;

    /*
     * With FR_COMPRESSION_ZSTD, a table whose data have come to rest, below all others, gets a
     * dictionary of up to this size which its blocks share, if that saves a twentieth or more
     * (16 KiB; 1 to 64 KiB; 0: none).
     */
    uint32_t dictionary_size;

    /*
     * Read tables and value files past the page cache, so that memory_budget is all the memory that
     * reading takes. Where the file system refuses it, reads go through the page cache, a warning
     * is logged, and the property reads.direct is 0 (false).
     */
    bool direct_reads;

    /*
     * Read and check all files in the background, as fr_db_verify() does, so many seconds after
     * opening and after the end of the check before (0: not at all), and read so many bytes a
     * second then (8 MiB; 0: no limit). The hooks scrub and finding and the properties scrub.*
     * tell of it.
     */
    uint32_t scrub_interval;
    uint64_t scrub_rate;
};

/* Fill in the defaults. */
FR_API void fr_db_options_init(struct fr_db_options *options);

/*
 * Set one option from text: "memory_budget", "1 GiB"; "compression", "none"; "read_only", "true".
 * FR_ERR_MISUSE: no such option, or no such value; the words name option, value and range. Nothing
 * was changed then.
 */
FR_API FR_NODISCARD fr_status fr_db_options_set(struct fr_db_options *options, const char *name,
        const char *value);

/*
 * Set many: "name = value", each on a line or before a comma or semicolon; a # begins a comment.
 * All or none are set.
 */
FR_API FR_NODISCARD fr_status fr_db_options_parse(struct fr_db_options *options, const char *text);

/*
 * One option as text, or all of them as fr_db_options_parse reads them. The text is cut at room,
 * and ends with a zero if there is any room; *ret_size, which may be NULL, is its whole length
 * without that. FR_ERR_MISUSE: no such option. FR_ERR_NOMEM.
 */
FR_API FR_NODISCARD fr_status fr_db_options_get(const struct fr_db_options *options,
        const char *name, char *to, size_t room, size_t *ret_size);
FR_API FR_NODISCARD fr_status fr_db_options_print(const struct fr_db_options *options, char *to,
        size_t room, size_t *ret_size);

/* The index-th option's name, and in *ret_help a line about it; NULL when there are no more.
 * Static. */
FR_API const char *fr_db_options_name(size_t index, const char **ret_help);

/* All about one option, for lists and for bindings. */
struct fr_db_option_info {
    size_t size;      /* sizeof(struct fr_db_option_info) */
    const char *name; /* static, as the texts below */
    const char *type; /* "bool"; "size", in bytes; "count"; "word" */
    const char *help; /* a line */
    char preset[32];  /* what it is if nobody says otherwise */
    char range[96];   /* in words: "4 KiB to 64 KiB" */
    bool changeable;  /* by fr_db_set_option, while the store is open */
};

/* Of the index-th option. The caller sets size; false: there are no more, or the size is wrong. */
FR_API bool fr_db_option_info_get(size_t index, struct fr_db_option_info *ret_info);

/* How one write is made. NULL where it is asked for means the store's default. */
struct fr_write_options {
    size_t size; /* sizeof(struct fr_write_options) */
    fr_sync sync;
    /*
     * Of fr_db_put: the time of day from which it is gone, with all that it replaced; 0 for never.
     * fr_db_write and fr_db_append answer FR_ERR_MISUSE to anything else: fr_batch_put_until says
     * it for each put, and what is appended does not expire. A read asks the clock once, an
     * iterator when it is made. If the clock is set back, a put that has expired may be seen again
     * until flush or compaction has met it; what it replaced is not.
     */
    uint64_t expires_us;
};

/* How reads are made. NULL where it is asked for means all zeros. */
struct fr_read_options {
    size_t size;                        /* sizeof(struct fr_read_options) */
    const struct fr_snapshot *snapshot; /* NULL: the newest */
    bool no_cache;                      /* do not keep the blocks that this reads */

    /* For iterators only: what they will ever show. NULL: no bound. Copied. */
    const void *lower; /* the first key */
    size_t lower_size;
    const void *upper; /* the first key that is not shown */
    size_t upper_size;
    const void *prefix; /* only keys that begin so; may be combined with bounds */
    size_t prefix_size;
    size_t readahead; /* bytes; 0 to start small and grow */
};

/* --- Opening -----------------------------------------------------------------------------------
 */

/*
 * Open the store in a directory. The last writer's log is replayed; a torn end of it is normal,
 * damage to what had been acknowledged is FR_ERR_CORRUPT. Only one process may have a store open
 * for writing: FR_ERR_BUSY. NULL options are the defaults. FR_ERR_MISSING: there is none and create
 * is false. FR_ERR_FOREIGN: the directory holds something else. FR_ERR_TOO_NEW: made by a later
 * version.
 */
FR_API FR_NODISCARD fr_status fr_db_open(const char *path, const struct fr_db_options *options,
        struct fr_db **ret_db);

/*
 * Make everything durable and close. Snapshots, iterators and pinned values of it must be gone
 * before; no other call may be under way. NULL is fine. A failure says that the last weak writes
 * may be lost; the store is closed all the same.
 */
FR_API fr_status fr_db_close(struct fr_db *db);

/* --- Writing -----------------------------------------------------------------------------------
 */

/*
 * All of these: FR_ERR_LIMIT for a key, value or batch beyond the limits, FR_ERR_NOSPACE,
 * FR_ERR_IO, FR_ERR_READONLY, FR_ERR_NOMEM: nothing was changed. FR_ERR_NOSPACE and FR_ERR_NOMEM
 * end by themselves when there is space or memory again; deletes are taken on a disk that is full
 * but for the reserve. FR_ERR_POISONED: an earlier failure of the disk has stopped all writing; the
 * words say which. After FR_ERR_IO of the log or of its sync it is unknown whether the write
 * survives; reopening tells.
 */
FR_API FR_NODISCARD fr_status fr_db_put(struct fr_db *db, const struct fr_write_options *how,
        const void *key, size_t key_size, const void *value, size_t value_size);

/* Deleting what is not there is fine. */
FR_API FR_NODISCARD fr_status fr_db_delete(struct fr_db *db, const struct fr_write_options *how,
        const void *key, size_t key_size);

/* Delete every key from start up to, but without, end. FR_ERR_MISUSE: end is not above start. */
FR_API FR_NODISCARD fr_status fr_db_delete_range(struct fr_db *db,
        const struct fr_write_options *how, const void *start, size_t start_size, const void *end,
        size_t end_size);

/*
 * Put a fragment behind the value, or behind nothing if there is none. Costs what the fragment
 * costs: the value is not read. So its size is not known either, and fragments can take it beyond
 * 256 MiB: it is kept in parts then, and every read puts it together.
 */
FR_API FR_NODISCARD fr_status fr_db_append(struct fr_db *db, const struct fr_write_options *how,
        const void *key, size_t key_size, const void *fragment, size_t fragment_size);

/* A batch collects writes, copying what it is given. Up to 1 GiB. */
FR_API FR_NODISCARD fr_status fr_batch_new(struct fr_batch **ret_batch);
FR_API void fr_batch_free(struct fr_batch *batch);
FR_API void fr_batch_clear(struct fr_batch *batch);
FR_API size_t fr_batch_count(const struct fr_batch *batch);
FR_API size_t fr_batch_bytes(const struct fr_batch *batch);
FR_API FR_NODISCARD fr_status fr_batch_put(struct fr_batch *batch, const void *key, size_t key_size,
        const void *value, size_t value_size);
FR_API FR_NODISCARD fr_status fr_batch_put_until(struct fr_batch *batch, const void *key,
        size_t key_size, const void *value, size_t value_size, uint64_t expires_us);
FR_API FR_NODISCARD fr_status fr_batch_delete(struct fr_batch *batch, const void *key,
        size_t key_size);
FR_API FR_NODISCARD fr_status fr_batch_delete_range(struct fr_batch *batch, const void *start,
        size_t start_size, const void *end, size_t end_size);
FR_API FR_NODISCARD fr_status fr_batch_append(struct fr_batch *batch, const void *key,
        size_t key_size, const void *fragment, size_t fragment_size);

/* Apply the batch in its order, all or nothing. The batch is unchanged and may be used again. */
FR_API FR_NODISCARD fr_status fr_db_write(struct fr_db *db, const struct fr_write_options *how,
        const struct fr_batch *batch);

/* --- Reading -----------------------------------------------------------------------------------
 */

/*
 * A value that stays where it is until it is released, without a copy where that can be. data is
 * valid until then.
 */
struct fr_pinned {
    const void *data;
    size_t size;
    void *owner[4]; /* the library's own */
};

/* The key's value. FR_NOT_FOUND: it has none; *ret_value is untouched. */
FR_API FR_NODISCARD fr_status fr_db_get(struct fr_db *db, const struct fr_read_options *how,
        const void *key, size_t key_size, struct fr_pinned *ret_value);

/* The same, copied to the caller's memory: *ret_size is the value's, also if it is more than room.
 */
FR_API FR_NODISCARD fr_status fr_db_get_copy(struct fr_db *db, const struct fr_read_options *how,
        const void *key, size_t key_size, void *to, size_t room, size_t *ret_size);

/* Release what get or multi_get gave. A zeroed struct is fine, and is what this leaves. */
FR_API void fr_pinned_release(struct fr_pinned *value);

/*
 * Many keys at once, as of one moment. statuses[i] is FR_OK, FR_NOT_FOUND or that key's failure;
 * values[i] is set if it is FR_OK and must be released. The call itself fails only if nothing could
 * be done.
 */
FR_API FR_NODISCARD fr_status fr_db_multi_get(struct fr_db *db, const struct fr_read_options *how,
        size_t count, const void *const *keys, const size_t *key_sizes, struct fr_pinned *values,
        fr_status *statuses);

/* The store as it is now, for as long as it is wanted: reads and iterators can be given it. */
FR_API FR_NODISCARD fr_status fr_snapshot_new(struct fr_db *db, struct fr_snapshot **ret_snapshot);
FR_API void fr_snapshot_free(struct fr_snapshot *snapshot);

/*
 * An iterator over the store as of one moment: the snapshot's, or that of its making. A new one
 * stands before the first key. next moves to the key behind, prev to the one before, from wherever
 * it stands; seek stands before the first key that is not below the given one, so that next yields
 * that key and prev the one before it. FR_END: there are no more that way.
 */
FR_API FR_NODISCARD fr_status fr_iterator_new(struct fr_db *db, const struct fr_read_options *how,
        struct fr_iterator **ret_iterator);
FR_API void fr_iterator_free(struct fr_iterator *iterator);
FR_API void fr_iterator_seek(struct fr_iterator *iterator, const void *key, size_t key_size);
FR_API void fr_iterator_seek_first(struct fr_iterator *iterator);
FR_API void fr_iterator_seek_last(struct fr_iterator *iterator);
FR_API FR_NODISCARD fr_status fr_iterator_next(struct fr_iterator *iterator);
FR_API FR_NODISCARD fr_status fr_iterator_prev(struct fr_iterator *iterator);

/* The key and the value it stands on, after an FR_OK; valid until its next call. */
FR_API const void *fr_iterator_key(const struct fr_iterator *iterator, size_t *ret_size);
FR_API const void *fr_iterator_value(const struct fr_iterator *iterator, size_t *ret_size);

/* --- Maintenance -------------------------------------------------------------------------------
 */

/* Write what is in memory to tables, and return when that is durable. */
FR_API FR_NODISCARD fr_status fr_db_flush(struct fr_db *db);

/*
 * Rewrite the tables of a range of keys into the last level; NULL: no bound. What was written
 * before the call is in it; what is written meanwhile need not be, so this returns beside writers
 * that never stop. If nobody writes, it returns when nothing is left to do, as fr_db_wait_idle.
 */
FR_API FR_NODISCARD fr_status fr_db_compact_range(struct fr_db *db, const void *start,
        size_t start_size, const void *end, size_t end_size);

/* Return when flush and compaction have nothing left to do: not while others go on writing. */
FR_API FR_NODISCARD fr_status fr_db_wait_idle(struct fr_db *db);

/* Make every write so far durable, whatever its class was. */
FR_API FR_NODISCARD fr_status fr_db_sync(struct fr_db *db);

/* NULL where it is asked for means all zeros. */
struct fr_checkpoint_options {
    size_t size; /* sizeof(struct fr_checkpoint_options) */
    bool copy;   /* copy the files, even where links can be had: shares no space and no fate */
};

/*
 * Make a store of its own in a directory that is not there yet, with everything that was written
 * before this call; while it runs, writes go on. Tables and value files are linked where the file
 * system can do that, else copied; both stores can be opened and written from then on, and nothing
 * that is done to one is seen in the other. Durable on return; a crash leaves the whole or nothing
 * under that name, and perhaps a directory "NAME.unfinished", which the next attempt empties.
 * FR_ERR_EXISTS: the path is taken. FR_ERR_BUSY: somebody else is making it.
 */
FR_API FR_NODISCARD fr_status fr_db_checkpoint(struct fr_db *db, const char *path,
        const struct fr_checkpoint_options *how);

/* NULL where it is asked for means all zeros. */
struct fr_ingest_options {
    size_t size; /* sizeof(struct fr_ingest_options) */
    bool move;   /* remove the files once what is in them is durable in the store */
};

/*
 * Take over all that is in these files, which a table writer has made (freshet/table_writer.h), as
 * one write: above everything before it, seen wholly or not at all, durable on return. Every byte
 * is checked first: FR_ERR_CORRUPT, FR_ERR_FOREIGN (no file of a table writer), FR_ERR_TOO_NEW.
 * FR_ERR_MISUSE: the keys of two of the files overlap. The data is written into the store's own
 * tables and value files while other writes go on; they wait only while it is published. The disk
 * must have room for it.
 */
FR_API FR_NODISCARD fr_status fr_db_ingest(struct fr_db *db, const char *const *paths, size_t count,
        const struct fr_ingest_options *how);

/*
 * For a store that was opened with read_only: show the newest state that a writer, in this or
 * another process, has published; everything that it had been told to be written (in the classes
 * DEVICE and OS) before this call began is in it. Iterators, snapshots and pinned values keep what
 * they show. What is shown may not be durable yet: a loss of power can take it away, the death of
 * the writer cannot. After a failure the state is what it was. FR_ERR_BUSY: the writer was faster
 * than this, try again. On a store that is open for writing there is nothing to do.
 */
FR_API FR_NODISCARD fr_status fr_db_refresh(struct fr_db *db);

/*
 * Bytes a second that flush and compaction may write from now on, in place of the option
 * background_rate; 0 for no limit. Too low a rate slows writers down in the end.
 */
FR_API FR_NODISCARD fr_status fr_db_set_background_rate(struct fr_db *db,
        uint64_t bytes_per_second);

/* Counters and sizes, for people and for monitoring. The caller sets size. */
struct fr_db_stats {
    size_t size;
    uint64_t last_seq;
    uint64_t memtable_bytes;
    uint64_t sealed_count; /* memtables that wait for their flush */
    uint64_t table_count;
    uint64_t table_bytes;
    uint64_t value_file_count;
    uint64_t value_file_bytes;
    uint64_t value_garbage_bytes;
    uint64_t level_tables[8];
    uint64_t level_bytes[8];
    uint64_t compaction_debt_bytes;
    uint64_t put_bytes; /* keys and values that callers wrote */
    uint64_t log_bytes;
    uint64_t flush_bytes;
    uint64_t compaction_read_bytes;
    uint64_t compaction_write_bytes;
    uint64_t flush_count;
    uint64_t compaction_count;
    uint64_t stall_us; /* that writers were slowed down, all in all */
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_bytes;
    uint64_t filter_useful; /* reads of a block that a filter saved */
    uint64_t stop_us;       /* of stall_us: that they stood still, for want of memory */
    uint64_t stop_count;    /* how often */
    uint64_t write_rate;    /* bytes a second to which writers are slowed now; 0: they are not */
    uint64_t refused_count; /* writes for which the disk had no space */
    uint64_t retry_count;   /* flushes and compactions that failed and were tried again */
    uint64_t limited_us;    /* that they waited for background_rate */
};

FR_API FR_NODISCARD fr_status fr_db_stats_get(struct fr_db *db, struct fr_db_stats *ret_stats);

/* --- Options of an open store ------------------------------------------------------------------
 */

/*
 * Change one option of an open store; which ones can be is in fr_db_option_info. A smaller memory
 * budget is kept when this returns, as far as nobody has blocks pinned; what is for tables goes for
 * those that are made from now on. FR_ERR_MISUSE: as fr_db_options_set, or it cannot be changed.
 */
FR_API FR_NODISCARD fr_status fr_db_set_option(struct fr_db *db, const char *name,
        const char *value);

/* What it is now. As fr_db_options_get. */
FR_API FR_NODISCARD fr_status fr_db_get_option(struct fr_db *db, const char *name, char *to,
        size_t room, size_t *ret_size);

/* fr_db_set_option of "memory_budget", in bytes. */
FR_API FR_NODISCARD fr_status fr_db_set_memory_budget(struct fr_db *db, uint64_t bytes);

/* --- Properties --------------------------------------------------------------------------------
 */

/*
 * Everything that can be known of an open store by number has a name. Names stay; docs/
 * observability.md lists them.
 */
typedef enum fr_property_type {
    FR_PROPERTY_GAUGE = 0,   /* a number that goes up and down */
    FR_PROPERTY_COUNTER = 1, /* one that only grows, from 0 at opening */
    FR_PROPERTY_RATIO = 2,   /* as a number: in thousandths */
    FR_PROPERTY_TEXT = 3     /* has no number */
} fr_property_type;

struct fr_db_property_info {
    const char *name;
    fr_property_type type;
    const char *unit; /* "bytes", "us", "ns", or "" */
    const char *help; /* a line */
};

/* The index-th property; NULL: there are no more. Static. */
FR_API const struct fr_db_property_info *fr_db_property_list(size_t index);

/* A property as text, cut at room as in fr_db_options_get. FR_ERR_MISUSE: there is none of that
 * name. FR_ERR_NOMEM. */
FR_API FR_NODISCARD fr_status fr_db_property(struct fr_db *db, const char *name, char *to,
        size_t room, size_t *ret_size);

/* The same as a number. FR_ERR_MISUSE also: it has none. */
FR_API FR_NODISCARD fr_status fr_db_property_u64(struct fr_db *db, const char *name,
        uint64_t *ret_value);

typedef enum fr_dump_format {
    FR_DUMP_TEXT = 0,      /* a line each: name, value, unit */
    FR_DUMP_JSON = 1,      /* one object */
    FR_DUMP_PROMETHEUS = 2 /* the text exposition format, version 0.0.4 */
} fr_dump_format;

/* All properties as of one moment, cut at room as in fr_db_options_get. */
FR_API FR_NODISCARD fr_status fr_db_dump(struct fr_db *db, fr_dump_format format, char *to,
        size_t room, size_t *ret_size);

FR_END_DECLS

#endif
