/*
 * engine.h - the storage engine inside the library: what db/ and the vector index build on.
 *
 *     write   commit queue -> log -> memtable -> published          lsm/engine_write.c
 *     read    a view: memtable, sealed memtables, version           lsm/engine_read.c,
 * engine_scan.c flush   sealed memtable -> table and value file -> edit         lsm/engine_flush.c
 *     compact tables -> fewer tables one level down -> edit           lsm/engine_compact.c
 *     open    SUPER -> manifest -> files -> log -> memtables           lsm/engine_open.c
 *
 * Any thread may call anything, but open and close.
 */
#ifndef FR_LSM_ENGINE_H
#define FR_LSM_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/buf.h"
#include "base/mutex.h"
#include "base/slice.h"
#include "base/status.h"
#include "freshet/event.h"
#include "lsm/entry.h"
#include "lsm/iter.h"
#include "lsm/picker.h"
#include "lsm/place.h"

struct fr_cache;
struct fr_cache_item;
struct fr_dir;
struct fr_engine;
struct fr_env;
struct fr_events;
struct fr_file;
struct fr_version;
struct fr_view;

/* What a write survives when it returns; as fr_sync of the public interface. */
enum fr_durability {
    FR_DURABLE_DEVICE = 0,
    FR_DURABLE_OS = 1,
    FR_DURABLE_NONE = 2,
};

struct fr_engine_options {
    bool create;
    bool must_be_new;
    bool read_only;
    uint64_t memory_budget; /* of all that it holds; 0: cache_size is for the cache alone */
    size_t memtable_size;
    unsigned sealed_max;   /* memtables that may wait for their flush before writers wait */
    size_t cache_size;     /* at a budget: the same */
    size_t cache_size_max; /* what it may be set to later; 0: no more than now */
    uint64_t log_segment_size;
    uint64_t table_size;      /* of a table that compaction makes, its values not counted */
    uint64_t value_file_size; /* of a value file that compaction makes */
    uint32_t block_size;
    uint32_t filter_bits;
    uint32_t value_threshold; /* 0: values stay in their tables */
    uint32_t dictionary_size; /* of tables at the bottom, with compress; 0: none */
    bool compress;
    bool verify_tables;
    bool direct_reads;        /* of tables and value files: past the page cache */
    uint64_t ingest_lead;     /* of an ingest's sequence number (lsm/engine_ingest.c); 0: enough */
    uint64_t disk_reserve;    /* free space that only deletes may use; 0: none is kept */
    uint64_t background_rate; /* bytes a second that jobs may write; 0: no limit */
    struct fr_picker_options picker;
    const struct fr_event_hooks *hooks; /* copied; NULL: none */
};

struct fr_engine_options fr_engine_options_default(void);

/*
 * Open the store in a directory of the environment, which must stay open as long as the engine. See
 * fr_db_open() for the statuses.
 */
FR_NODISCARD fr_status fr_engine_open(struct fr_env *env, const char *path,
        const struct fr_engine_options *options, struct fr_engine **ret_engine);

/* The hooks are called from now on, and see what the caller wrote before. */
void fr_engine_start_events(struct fr_engine *engine);

/* Everything is durable after FR_OK. The engine is gone in any case. NULL is fine. */
fr_status fr_engine_close(struct fr_engine *engine);

/* --- Writing --- */

/* Apply a batch's bytes (lsm/batch.h). */
FR_NODISCARD fr_status fr_engine_write(struct fr_engine *engine, fr_slice batch, uint32_t count,
        enum fr_durability durability);

/*
 * The same in two steps, for those who must know the order of their writes: what lines up first is
 * first in the log, so if one survives a crash, all that lined up before it do. Whoever has lined
 * up commits, and soon: those behind wait for him. The batch's bytes stay as they are until then.
 */
struct fr_writer {
    fr_slice batch;
    uint32_t count;
    enum fr_durability durability;

    /* The engine's. */
    fr_status status;
    struct fr_error error; /* of status */
    bool seal;             /* no batch: the active memtable is to be sealed, or turn to be run */
    fr_status (*turn)(void *ctx);
    void *turn_ctx;
    bool done;
    bool waiting; /* on cond */
    struct fr_cond cond;
    struct fr_writer *next;
};

/* The caller sets the first three; the batch has an operation at least. A failure: not in line. */
FR_NODISCARD fr_status fr_engine_line_up(struct fr_engine *engine, struct fr_writer *writer);

/* As fr_engine_write() then answers. */
FR_NODISCARD fr_status fr_engine_commit(struct fr_engine *engine, struct fr_writer *writer);

/* The clock of the engine's environment; it only goes forward. */
uint64_t fr_engine_now_us(const struct fr_engine *engine);
uint64_t fr_engine_now_ns(const struct fr_engine *engine);

/* Make durable all that was written before. */
FR_NODISCARD fr_status fr_engine_sync(struct fr_engine *engine);

/* Bytes a second that flush and compaction may write from now on; 0: no limit. */
void fr_engine_set_background_rate(struct fr_engine *engine, uint64_t bytes_per_second);

/* Whether a write would be tried: FR_ERR_POISONED where a failure has ended all writing. */
FR_NODISCARD fr_status fr_engine_check_writable(struct fr_engine *engine);

/* --- Reading --- */

/* The newest sequence number that a read may see. */
fr_seq fr_engine_last_seq(const struct fr_engine *engine);

/* Bytes of a value and whatever keeps them where they are. Zeroed: nothing. */
struct fr_engine_value {
    fr_slice bytes;
    struct fr_view *view;       /* with a reference, or NULL */
    struct fr_cache_item *item; /* pinned, or NULL */
    struct fr_cache *cache;     /* that the item is given back to */
    struct fr_spot spot;        /* where they lie in a value file, or nowhere */
    struct fr_buf buf;
};

void fr_engine_value_release(struct fr_engine_value *value);

/* The value of a key at a moment; FR_SEQ_MAX: now. FR_NOT_FOUND. The caller releases it. */
FR_NODISCARD fr_status fr_engine_get(struct fr_engine *engine, fr_slice key, fr_seq at,
        struct fr_engine_value *ret_value);

/*
 * A view for several reads of one moment: *at is FR_SEQ_MAX for now, which becomes that moment's
 * number, or a snapshot's. Give it back; values that were read in it keep it alive themselves.
 */
struct fr_view *fr_engine_view_take(struct fr_engine *engine, fr_seq *at);
void fr_engine_view_release(struct fr_engine *engine, struct fr_view *view);
FR_NODISCARD fr_status fr_engine_get_in(struct fr_engine *engine, struct fr_view *view,
        fr_slice key, fr_seq at, struct fr_engine_value *ret_value);

/* As many keys as are planned together: more than a device serves at a time. */
#define FR_ENGINE_MULTI_MAX ((size_t)128)

/*
 * Up to that many keys in one view: what is missing in memory is read in one submission for all
 * keys and levels, and one more for all values that lie apart. statuses[i] is as fr_engine_get()
 * would answer, values[i] the caller's to release if it is FR_OK. A key whose status is a failure
 * at the call is left alone. *moment_us is 0 at the first call for a moment, and for further ones
 * what it has become: what has expired by then has expired for all of them. Fails as a whole only
 * for want of memory: FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_engine_multi_get(struct fr_engine *engine, struct fr_view *view,
        fr_seq at, uint64_t *moment_us, size_t count, const fr_slice *keys,
        struct fr_engine_value *values, fr_status *statuses);

/*
 * Parts of values, from spots that other reads have told. What is read is not checked: whoever
 * wants a part of a value knows how to. But a spot of a file that is part of the store leads to
 * what was there when it was told; where the file is not, for it was garbage and all that was of
 * use in it has moved, the status is FR_NOT_FOUND, and the key is to be read anew.
 */
struct fr_engine_part {
    struct fr_spot spot;
    struct fr_file *file; /* NULL: the spot says which; else it is not the store's */
    size_t size;
    void *to;
    fr_status status; /* FR_ERR_CORRUPT: the file ends before it does */
};

/* All of them in one view: what the system has in memory at once, the rest in one submission. */
FR_NODISCARD fr_status fr_engine_read_parts(struct fr_engine *engine, struct fr_view *view,
        size_t count, struct fr_engine_part *parts);

/* --- Snapshots and iterators --- */

/* A moment to come back to; give it back by its number. */
FR_NODISCARD fr_status fr_engine_snapshot_take(struct fr_engine *engine, fr_seq *ret_seq);
void fr_engine_snapshot_release(struct fr_engine *engine, fr_seq seq);

struct fr_engine_scan_options {
    fr_seq at; /* FR_SEQ_MAX: now */
    fr_slice lower, upper, prefix;
    size_t readahead_max;
    bool no_cache;
    struct fr_view *view; /* NULL: the current one */

    /*
     * Told of what the walk passes over, going forwards: a damaged block, or a single key whose
     * value is damaged. What another table has of keys in a damaged block may be older than what
     * was in it: fr_engine_get_in() knows that. NULL: damage ends the walk.
     */
    fr_iter_damage_fn *damage;
    void *damage_ctx;

    /* Asked of a value in a value file before it is read, unless it is part of a longer one. NULL:
     * all are read. */
    fr_iter_known_fn *known;
    void *known_ctx;
};

/* Visible keys and values (lsm/visible_iter.h). Holds what it needs. */
FR_NODISCARD fr_status fr_engine_scan(struct fr_engine *engine,
        const struct fr_engine_scan_options *options, struct fr_iter **ret_iter);

/* Where the value lies that a scan stands on. */
struct fr_spot fr_engine_scan_spot(const struct fr_iter *it);

/* --- Maintenance --- */

FR_NODISCARD fr_status fr_engine_flush(struct fr_engine *engine);
FR_NODISCARD fr_status fr_engine_compact_range(struct fr_engine *engine, fr_slice start,
        fr_slice end);
FR_NODISCARD fr_status fr_engine_wait_idle(struct fr_engine *engine);

/* What is timed. Reads and writes are sampled by who calls them; the rest is timed each time. */
enum fr_timed {
    FR_TIMED_GET,
    FR_TIMED_PUT,
    FR_TIMED_SYNC,
    FR_TIMED_FLUSH,
    FR_TIMED_COMPACTION,
    FR_TIMED_KINDS
};
const char *fr_timed_name(enum fr_timed kind);
void fr_engine_record(struct fr_engine *engine, enum fr_timed kind, uint64_t ns);

struct fr_latency {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t p50_ns;
    uint64_t p99_ns;
    uint64_t p999_ns;
    uint64_t max_ns;
};

/*
 * Parts of an engine's account (base/account.h). All of them together have the budget, but that
 * indexes count for three quarters of it at the most: the engine has the rest in any case.
 */
enum fr_memory_part {
    FR_MEMORY_MEMTABLES = 1,
    FR_MEMORY_BLOCKS, /* in the cache, and outside of it while somebody has them pinned */
    FR_MEMORY_CACHE,  /* its slots */
    FR_MEMORY_TABLES, /* indexes, filters and range deletes of open tables */
    FR_MEMORY_ITERATORS,
    FR_MEMORY_JOBS,
    FR_MEMORY_INDEXES, /* of whoever builds on the engine: what finds vectors */
    FR_MEMORY_OTHER,
    FR_MEMORY_PARTS
};

/* What is charged to that part; see fr_account_work_for. */
fr_charge fr_engine_charge(const struct fr_engine *engine, enum fr_memory_part part);

/* Bytes that all indexes may have now; SIZE_MAX: nobody counts. And what they have. Any thread. */
size_t fr_engine_indexes_most(const struct fr_engine *engine);
size_t fr_engine_indexes_bytes(const struct fr_engine *engine);

struct fr_level_stats {
    uint64_t tables;
    uint64_t bytes;
    uint64_t entries;
    uint64_t deletes; /* of the entries */
    uint64_t ranges;
    uint64_t fragments; /* of the entries */
    uint64_t value_refs;
    uint64_t value_bytes; /* that these refer to */
};

/*
 * Make a store at a path, which must be free, with all that was written before the call; durable on
 * return. With copy, there are no links even where they can be had. FR_ERR_EXISTS; FR_ERR_BUSY:
 * another one is being made there.
 */
FR_NODISCARD fr_status fr_engine_checkpoint(struct fr_engine *engine, const char *path, bool copy);

/*
 * All that was written up to a moment, as a version whose files stay while it is held. Made by a
 * flush, for which writers do not wait. All zeros are fine to release.
 */
struct fr_engine_moment {
    struct fr_version *version;
    fr_seq last_seq;
    uint64_t next_number; /* no file of the version has that number or one above */
    uint8_t store[FR_STORE_ID_SIZE];
};

FR_NODISCARD fr_status fr_engine_moment_take(struct fr_engine *engine,
        struct fr_engine_moment *ret_moment);
void fr_engine_moment_release(struct fr_engine_moment *moment);

/* The version that a read sees now, with a reference for the caller. */
struct fr_version *fr_engine_version(struct fr_engine *engine);

/* Where its files are, and in which world. As long as the engine. */
struct fr_dir *fr_engine_dir(const struct fr_engine *engine);
struct fr_env *fr_engine_env(const struct fr_engine *engine);

/*
 * A file for what its owner may lose: it has no name, so nothing is left of it once it is closed or
 * the process has ended, and it is no part of the store. FR_ERR_READONLY: there is no writing here.
 */
FR_NODISCARD fr_status fr_engine_scratch(struct fr_engine *engine, struct fr_file **ret_file);

/* Up to where in it the log is durable, a fr_lsn; 0: it is open for reading only. */
uint64_t fr_engine_log_durable(const struct fr_engine *engine);

/* What tells the host's hooks; NULL: it has none. As long as the engine. */
struct fr_events *fr_engine_events(const struct fr_engine *engine);

/*
 * Make prebuilt tables (lsm/prebuilt.h) part of the store: above all that was written before, all
 * or none, durable on return. With move, the files are removed then. FR_ERR_MISUSE: two of them
 * overlap.
 */
FR_NODISCARD fr_status fr_engine_ingest(struct fr_engine *engine, const char *const *paths,
        size_t count, bool move);

/*
 * For an engine that is open for reading only: go to the newest state that the writer has
 * published. FR_ERR_BUSY: it is faster than this. Else nothing is done. Any thread.
 */
FR_NODISCARD fr_status fr_engine_refresh(struct fr_engine *engine);

struct fr_engine_stats {
    fr_seq last_seq;
    uint64_t memtable_bytes;
    uint64_t memtable_entries;
    uint64_t sealed_count;
    uint64_t sealed_bytes;
    uint64_t table_count;
    uint64_t table_bytes;
    uint64_t value_file_count;
    uint64_t value_file_bytes;
    uint64_t value_live_bytes;
    uint64_t value_garbage_bytes;
    struct fr_level_stats levels[FR_LEVEL_COUNT];
    uint64_t debt_bytes;
    uint64_t batch_bytes;
    uint64_t log_bytes;
    uint64_t flush_bytes;
    uint64_t flush_count;
    uint64_t flushing; /* jobs that are running */
    uint64_t compaction_read_bytes;
    uint64_t compaction_write_bytes;
    uint64_t compaction_count;
    uint64_t compacting;
    uint64_t move_count;         /* tables that went down as they are; not counted above */
    uint64_t covered_count;      /* tables that were dropped unread: a range delete covers them */
    uint64_t garbage_count;      /* compactions that were for value files, counted above too */
    uint64_t garbage_read_bytes; /* of tables; values are only written */
    uint64_t garbage_write_bytes;
    uint64_t stall; /* enum fr_event_stall_reason */
    uint64_t stall_us;
    uint64_t stall_count_by[FR_STALL_REASONS];
    uint64_t stall_us_by[FR_STALL_REASONS];
    uint64_t stop_us;       /* of stall_us, standing still for want of memory */
    uint64_t stop_count;    /* how often */
    uint64_t rate_now;      /* bytes a second that writers may go at now; 0: no limit */
    uint64_t refused_count; /* writes without room on the disk */
    uint64_t retry_count;   /* background jobs that failed and were tried again */
    uint64_t limited_us;    /* that background jobs waited for the rate limit */
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint64_t cache_bytes;
    uint64_t cache_pinned_bytes;
    uint64_t cache_inserts;
    uint64_t cache_evictions;
    uint64_t cache_unplaced;
    uint64_t filter_checked;
    uint64_t filter_useful; /* said no */
    uint64_t filter_wrong;  /* said yes, and the key was not there */
    uint64_t memory_budget;
    uint64_t memory_total;
    uint64_t reads_direct; /* 1: direct_reads, and the file system does it for all files so far */
    uint64_t memory[FR_MEMORY_PARTS];
    uint64_t snapshot_count;
    uint64_t snapshot_oldest; /* 0: there is none */
    uint64_t events_dropped;
    struct fr_latency latencies[FR_TIMED_KINDS];
    /* Whoever checks the store fills these in: the engine leaves them 0. */
    uint64_t scrub_running, scrub_count, scrub_bytes, scrub_findings, scrub_last_findings;

    struct fr_error background_error; /* status 0: none */
};

/*
 * Take over from wanted what can be changed while it runs: memory_budget, memtable_size,
 * table_size, block_size, filter_bits, value_threshold, dictionary_size, compress, verify_tables,
 * disk_reserve, background_rate. The cache shrinks before this returns, the next write is judged by
 * the reserve; the rest goes for the memtables and tables that begin after it.
 */
void fr_engine_retune(struct fr_engine *engine, const struct fr_engine_options *wanted);

void fr_engine_stats_get(struct fr_engine *engine, struct fr_engine_stats *ret_stats);

/* What is gathered one by one. The rest, which is copied under a lock, is always there. */
enum fr_stats_part {
    FR_STATS_VERSION = 1 << 0, /* from table_count to debt_bytes: a walk over all tables */
    FR_STATS_CACHE = 1 << 1,   /* a walk over all slots */
    FR_STATS_FILTERS = 1 << 2,
    FR_STATS_MEMORY = 1 << 3,
    FR_STATS_LATENCIES = 1 << 4, /* percentiles */
    FR_STATS_ALL = (1 << 5) - 1
};

/* The same, but only these parts are gathered; the others are zeros. */
void fr_engine_stats_read(struct fr_engine *engine, unsigned parts,
        struct fr_engine_stats *ret_stats);

/* The part that has the field at that offset of struct fr_engine_stats; 0: it is always there. */
unsigned fr_engine_stats_part_of(size_t offset);

#endif
