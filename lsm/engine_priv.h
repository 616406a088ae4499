/*
 * engine_priv.h - for this folder and its tests only: the engine's own parts, and what guards them.
 */
#ifndef FR_LSM_ENGINE_PRIV_H
#define FR_LSM_ENGINE_PRIV_H

#include <stdatomic.h>

#include "base/account.h"
#include "base/histogram.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "lsm/cache.h"
#include "lsm/engine.h"
#include "lsm/fold.h"
#include "lsm/garbage.h"
#include "lsm/manifest.h"
#include "lsm/memtable.h"
#include "lsm/memtable_pool.h"
#include "lsm/pace.h"
#include "lsm/rate_limit.h"
#include "lsm/table_builder.h"
#include "lsm/value_file.h"
#include "lsm/value_window.h"
#include "wal/wal_writer.h"

struct fr_dir;
struct fr_dir_lock;
struct fr_events;
struct fr_follow;

/* A memtable that takes no more. */
struct fr_sealed {
    struct fr_memtable *memtable; /* one reference */
    fr_lsn log_end;               /* all of it is in the log before this */
};

#define FR_SEALED_MAX 16

/* What a read looks at: never changes, counted, shared by all reads of the same moment. */
struct fr_view {
    _Atomic(uint32_t) refs;
    struct fr_memtable *active;
    struct fr_memtable *sealed[FR_SEALED_MAX]; /* newest first */
    size_t sealed_count;
    struct fr_version *version;
};

/*
 * A reference to the current view that reads of the same thread, mostly, pass on to each other.
 * engine_view.c says how.
 */
struct fr_view_stripe {
    _Atomic(struct fr_view *) parked; /* NULL: a read has it, or nobody has parked one */
    uint8_t apart[56];                /* a line of the processor's cache for each */
};

#define FR_VIEW_STRIPES 16

/* A snapshot, as often as it was taken. */
struct fr_snapshot_entry {
    fr_seq seq;
    uint32_t count;
};

static_assert(FR_MEMORY_PARTS <= FR_ACCOUNT_PARTS, "");

/* Filters that one read has asked. */
struct fr_filter_counts {
    uint64_t checked;
    uint64_t useful;
    uint64_t wrong;
};

/* The same, summed by the threads that count here: few each, so that they rarely meet. */
struct fr_filter_line {
    _Atomic(uint64_t) checked; /* relaxed; without locked operations, may lose a few */
    _Atomic(uint64_t) useful;
    _Atomic(uint64_t) wrong;
    uint64_t pad[5]; /* to a line of the processor's cache */
};
#define FR_FILTER_LINES 16

/* How a background thread's jobs fail, as long as they may be tried again. */
struct fr_trouble {
    struct fr_error error;    /* of the latest attempt; status 0: it has succeeded */
    uint64_t failures;        /* ever */
    uint64_t failures_before; /* those of rows that are over */
    uint64_t since_us;        /* the latest row's first */
    uint64_t backoff_us;
    bool kicked; /* somebody wants the next attempt now */
};

/* What the disk has left; see lsm/engine_pressure.c. */
struct fr_space {
    bool is_short;
    uint64_t step; /* bytes that are accepted before the next look */
    uint64_t free_bytes;
    uint64_t wanted_bytes;
    uint64_t next_look_us; /* if short */
    uint64_t reserve;      /* at the last look: another one is another question */
    uint64_t since_us;     /* that it is short, or was last */
};

struct fr_engine {
    /* Constant after open. */
    struct fr_env *env;
    struct fr_engine_options options; /* as it was opened; see live */
    unsigned account;
    _Atomic(bool) direct_refused; /* set once, relaxed: by the file system, of direct reads */
    struct fr_events *events;     /* NULL without hooks */
    struct fr_dir *dir;
    struct fr_dir_lock *lock; /* NULL if read-only */
    uint8_t store[FR_STORE_ID_SIZE];
    struct fr_cache *cache;
    struct fr_memtable_pool *pool; /* NULL: memtables are small, or there are none */
    struct fr_multi_pool *multis;  /* what reads of many keys work with */
    struct fr_wal_writer *log;     /* NULL if read-only */
    uint64_t spin_us_max;          /* shorter waits are spun; 0: there is one processor only */

    /* Held while the manifest is written, which is I/O: the one lock that may be. */
    struct fr_mutex removal_mu;  /* rank FR_RANK_LSM_REMOVAL */
    struct fr_mutex manifest_mu; /* rank FR_RANK_LSM_MANIFEST */

    /* Guarded by manifest_mu. */
    struct fr_manifest *manifest; /* NULL while it is unknown what it holds, or which is current */
    bool manifest_failed;         /* and for good: a sync has failed */
    struct fr_super super;
    struct fr_edit_log log_from; /* recovery starts here; what is durable is asked anew each time */
    struct fr_version_change doubtful; /* what the lost manifest may name: a reference each */

    /* The flush thread's alone, after open. */
    fr_lsn old_log_end; /* of what earlier openings have written */
    bool old_log_removed;

    struct fr_mutex mu; /* rank FR_RANK_LSM_ENGINE */

    /* Guarded by mu. */
    struct fr_view *view;       /* current; one reference */
    struct fr_memtable *active; /* one reference; changed by the leading writer alone, who may read
                                   it without the lock */
    struct fr_sealed sealed[FR_SEALED_MAX]; /* oldest first */
    size_t sealed_count;
    struct fr_writer *writers_first;
    struct fr_writer **writers_end;
    struct fr_snapshot_entry *snapshots; /* ascending */
    size_t snapshot_count;
    uint64_t turns_asked;  /* by callers of compact_range who want to run a job, each in turn */
    uint64_t turns_given;  /* while these are fewer, the compaction thread begins no job */
    uint64_t flushes_done; /* or failed */
    uint64_t arrivals;     /* memtables that were sealed, and ingests: new work */
    uint64_t sealed_us;    /* when a memtable was last full */
    unsigned compacting;   /* jobs */
    unsigned idle_waiters; /* who wait for an end of all work: deferred work is due */
    bool closing;
    bool flushing;
    bool snapshots_keep;  /* tables that are covered by range deletes; see lsm/covered.h */
    bool levels_had_turn; /* the last job was of the levels: garbage goes first if it is too much */
    bool compaction_rests; /* the compaction thread has looked since, and found nothing to do */
    bool ingesting;        /* one at a time: from its first look at the files to its end */
    bool settling;         /* an ingest publishes, or a checkpoint chooses its moment */
    bool placing;          /* an ingest chooses levels: no compaction begins */
    struct fr_error background_error; /* the first final failure; sticks. status 0: none */
    struct fr_trouble flush_trouble;
    struct fr_trouble compact_trouble;
    struct fr_cond work;     /* for the background threads */
    struct fr_cond retry;    /* for those of them that wait before another attempt */
    struct fr_cond progress; /* for those who wait for them */

    /* How fast writers may go; guarded by mu. */
    struct fr_pace_debt debt;
    struct fr_pace_speeds speeds;

    /* The leading writer's alone. */
    struct fr_pace_bucket bucket;
    struct fr_space space;

    struct fr_engine_options live; /* as options, but for what has been changed since */

    enum fr_event_stall_reason stall; /* why a writer is waiting, since when */
    uint64_t stall_start_us;

    /* Counters, guarded by mu. */
    struct fr_engine_stats stats;

    /* Written under mu by the committing writer, read without: release there, acquire in reads. */
    _Atomic(fr_seq) last_seq;

    /* Copies of live's, relaxed: a writer may be one late. */
    _Atomic(uint64_t) memory_budget;
    _Atomic(size_t) memtable_size;
    _Atomic(uint64_t) disk_reserve;

    /* Handed out by fetch-add; relaxed. */
    _Atomic(uint64_t) next_number;
    _Atomic(uint64_t) next_job;

    /* Written under mu, read without: see engine_view.c. */
    _Atomic(struct fr_view *) current_view; /* is `view` */
    struct fr_view_stripe stripes[FR_VIEW_STRIPES];

    struct fr_filter_line filter_lines[FR_FILTER_LINES];

    struct fr_mutex latency_mu; /* rank FR_RANK_LEAF */

    /* Guarded by latency_mu. */
    struct fr_histogram *latencies; /* one for each kind */

    struct fr_follow *follow; /* guarded by manifest_mu; NULL unless read-only */

    struct fr_rate_limiter limiter; /* of what jobs write */
    struct fr_obsolete obsolete;
    struct fr_thread flush_thread;
    struct fr_thread compact_thread;
};

/* engine_view.c: the current view with a reference; publishing the next one. */
struct fr_view *fr_engine_view(struct fr_engine *engine);
struct fr_view *fr_view_ref(struct fr_view *view);
struct fr_view *fr_engine_view_or(struct fr_engine *engine, struct fr_view *view); /* unless NULL */
void fr_view_unref(struct fr_view *view);

/* engine_multi.c: what a read of many keys works with, kept for the next one. */
struct fr_multi_pool;
FR_NODISCARD fr_status fr_multi_pool_new(struct fr_multi_pool **ret_pool);
void fr_multi_pool_free(struct fr_multi_pool *pool);

/* At closing, when no read is under way: drop the references that reads have parked. */
void fr_engine_unpark_views(struct fr_engine *engine);

FR_NODISCARD fr_status fr_engine_publish_view_locked(struct fr_engine *engine,
        struct fr_version *version) FR_REQUIRES(engine->mu);

/*
 * The same in two steps, for who may not fail in the second: memory for a view, to be freed with
 * fr_free() if it is not used; and the view, which is published.
 */
FR_NODISCARD fr_status fr_view_new(struct fr_view **ret_view);
void fr_engine_fill_view_locked(struct fr_engine *engine, struct fr_version *version,
        struct fr_view *view) FR_REQUIRES(engine->mu);

/* engine_open.c: a number that no file of the store has had. For fr_wal_writer_options too. */
uint64_t fr_engine_next_number(void *arg);
struct fr_file_id fr_engine_file_id(const struct fr_engine *engine, uint64_t number);

/* Open a finished file, so that a version can have it. */
FR_NODISCARD fr_status fr_engine_open_table(struct fr_engine *engine,
        const struct fr_edit_table *meta, struct fr_version_table **ret_table);
FR_NODISCARD fr_status fr_engine_open_values(struct fr_engine *engine,
        const struct fr_edit_values *meta, struct fr_version_values **ret_values);

/*
 * The same version with its files open; those that another version of the store has open already
 * are shared with it. reuse may be NULL. FR_ERR_MISSING and the like.
 */
FR_NODISCARD fr_status fr_engine_open_version(struct fr_engine *engine,
        const struct fr_version *closed, const struct fr_version *reuse,
        struct fr_version **ret_version);

/* One batch of the log, into a memtable; *last_seq is raised to its last number. */
FR_NODISCARD fr_status fr_engine_replay_batch(struct fr_memtable *memtable, fr_slice batch,
        fr_seq first, fr_seq *last_seq);

/* engine_follow.c: opening for reading only. */
FR_NODISCARD fr_status fr_engine_follow_open(struct fr_engine *engine);
void fr_follow_free(struct fr_follow *follow);

/*
 * engine_install.c: begin a manifest with all of a version, in place of the one there is, if any;
 * make a change durable in the manifest and then the current version. With log_end, what is before
 * it in the log is in tables from now on, and the oldest sealed memtable goes.
 */
FR_NODISCARD fr_status fr_engine_begin_manifest(struct fr_engine *engine,
        const struct fr_version *version) FR_REQUIRES(engine->manifest_mu);
/* Have the manifest know where the log begins. */
FR_NODISCARD fr_status fr_engine_tell_log(struct fr_engine *engine)
        FR_REQUIRES(engine->manifest_mu);

FR_NODISCARD fr_status fr_engine_install(struct fr_engine *engine, struct fr_version_change *change,
        const fr_lsn *log_end);

/*
 * The same for who has the lock. With fresh, in a writer's turn: the active memtable is sealed (or
 * dropped, if it is empty) by the same step that publishes the version, and *fresh, which is taken,
 * becomes the active one. So no view has both the version before and what is written after.
 */
FR_NODISCARD fr_status fr_engine_install_locked(struct fr_engine *engine,
        struct fr_version_change *change, const fr_lsn *log_end, struct fr_memtable **fresh)
        FR_REQUIRES(engine->manifest_mu);

/*
 * After an installation that has failed it is unknown what the manifest holds. Begin a new one with
 * the current version; nothing if the present one is whole. Each job does so first.
 */
FR_NODISCARD fr_status fr_engine_repair_manifest(struct fr_engine *engine);

/* engine_open.c: remove the log of earlier openings, once nothing before lsn is asked for. */
void fr_engine_release_old_log(struct fr_engine *engine, fr_lsn lsn);

/* Remove the files that nobody needs any more. */
void fr_engine_remove_obsolete(struct fr_engine *engine);

/* engine_output.c: what flush and compaction write. */
struct fr_output_options {
    unsigned level;
    bool bottommost; /* these keys have no older data elsewhere: what is written stays long */
    enum fr_table_origin origin;
    uint64_t table_size;                         /* cut after so many bytes; 0: one table */
    const struct fr_version_level *grandparents; /* below the level, or NULL: cut at their bounds */
    const struct fr_version *older;   /* of a flush: to estimate what it shadows; or NULL */
    uint64_t shadowed_bytes;          /* of the inputs */
    const struct fr_victims *victims; /* value files whose values are written anew, or NULL */
    fr_fetch_fn fetch;
    void *fetch_ctx;
};

struct fr_output {
    struct fr_version_change change; /* what was written, open: a reference to each is ours */
    uint64_t bytes;
};

FR_NODISCARD fr_status fr_output_write(struct fr_engine *engine, struct fr_fold *fold,
        const struct fr_fold_options *fold_options, const struct fr_output_options *options,
        struct fr_output *ret_output);

/*
 * Drop the references, and remove the files unless a manifest may name them: if the installation
 * was not tried. If it has failed: fr_engine_abandon().
 */
void fr_output_deinit(struct fr_output *output, bool named);

/*
 * engine_checkpoint.c: flush all that was written before, and nothing more, however much is written
 * meanwhile; wait for the flush of what is sealed.
 */
FR_NODISCARD fr_status fr_engine_flush_so_far(struct fr_engine *engine);
FR_NODISCARD fr_status fr_engine_await_flush_locked(struct fr_engine *engine)
        FR_REQUIRES(engine->mu);

/* One at a time: a checkpoint chooses its moment, or an ingest is published. */
void fr_engine_begin_settling(struct fr_engine *engine);
void fr_engine_end_settling(struct fr_engine *engine);

/*
 * engine_install.c: the same after an installation that has failed. The edit can be on the disk all
 * the same: then the files are removed once another manifest is current.
 */
void fr_engine_abandon(struct fr_engine *engine, struct fr_output *output);

/* engine_read.c: the bytes of a placed value, from the version that the context names. */
struct fr_fetch_ctx {
    const struct fr_version *version;
    struct fr_value_windows *windows; /* for values in the order of their keys, or NULL */
};
fr_status fr_engine_fetch(void *fetch_ctx, const struct fr_entry *entry, struct fr_buf *to);

/* For windows: the version's file of that number, or NULL. */
struct fr_value_file *fr_engine_find_values(const void *version, uint64_t number);

/* engine_memory.c: names of the parts of the account, static. */
extern const char *const fr_memory_part_names[FR_MEMORY_PARTS];

/* The cache, under the budget. */
FR_NODISCARD fr_status fr_engine_open_memory(struct fr_engine *engine);

/* What this thread allocates is for that part, until what this answers is given to work_done. */
fr_charge fr_engine_work_for(const struct fr_engine *engine, enum fr_memory_part part);
void fr_engine_work_done(fr_charge before);

/* The cache gives up what others have taken. For who has just taken much. */
void fr_engine_balance(struct fr_engine *engine);

/* Whether the memtable should end now, because memory is short. The leading writer's; balances. */
bool fr_engine_seals_early(struct fr_engine *engine, const struct fr_memtable *active);

/* The options as they are now. Takes mu. */
struct fr_engine_options fr_engine_options_now(struct fr_engine *engine);

/* Buffers of a job: of each file that it writes, and of each table that it reads. */
size_t fr_engine_write_buffer(const struct fr_engine_options *options);
size_t fr_engine_readahead(const struct fr_engine_options *options);

/*
 * Of a table at the bottom, 0 for none: less than is wanted if the sample that it learns from would
 * be much for the budget, or much of a table.
 */
size_t fr_engine_dictionary_size(const struct fr_engine_options *options);

/* engine_stats.c */
FR_NODISCARD fr_status fr_engine_open_latencies(struct fr_engine *engine);
void fr_engine_count_filters(struct fr_engine *engine, const struct fr_filter_counts *counts);

/*
 * engine_job.c: what there is to tell and to count of a job, from begin to end on one thread. Any
 * lock may be held but the leaves; end takes mu, so not that one.
 */
void fr_engine_begin_flush(struct fr_engine *engine, const struct fr_memtable *memtable);
void fr_engine_begin_compaction(struct fr_engine *engine, const struct fr_pick *pick);
void fr_engine_file_written(struct fr_engine *engine, enum fr_file_kind kind, uint64_t number,
        uint64_t bytes, unsigned level);
void fr_engine_end_job(struct fr_engine *engine, bool moved, fr_status st);

/* A file is gone; the failure that has stopped all writing. */
void fr_engine_file_removed(struct fr_engine *engine, enum fr_file_kind kind, uint64_t number);
void fr_engine_tell_failure(struct fr_engine *engine, const struct fr_error *error);

/* A writer begins to wait, or goes on (FR_STALL_NONE). */
void fr_engine_stall_locked(struct fr_engine *engine, enum fr_event_stall_reason reason)
        FR_REQUIRES(engine->mu);

/* fr_wal_writer_sync, timed. */
FR_NODISCARD fr_status fr_engine_sync_log(struct fr_engine *engine, fr_lsn *ret_durable);

/* engine_flush.c and engine_compact.c: what the threads run. */
void fr_engine_flush_main(void *arg);
void fr_engine_compact_main(void *arg);

/*
 * engine_trouble.c. Whether a failure leaves all as it was before; this thread's failure ends all
 * writing; it was a job's, which may pass; a job has succeeded; why no write can be taken, or
 * FR_OK.
 */
bool fr_failure_is_passing(const struct fr_error *error);
void fr_engine_fail_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu);

/* What has failed was no job; but if it was a sync, that ends all writing, too. Takes mu. */
void fr_engine_note_failure(struct fr_engine *engine);

void fr_engine_job_failed_locked(struct fr_engine *engine, struct fr_trouble *trouble)
        FR_REQUIRES(engine->mu);
void fr_engine_job_done_locked(struct fr_engine *engine, struct fr_trouble *trouble)
        FR_REQUIRES(engine->mu);
FR_NODISCARD fr_status fr_engine_check_writable_locked(struct fr_engine *engine)
        FR_REQUIRES(engine->mu);

/* The background thread's own: wait until it is time for another attempt. */
void fr_engine_await_retry_locked(struct fr_engine *engine, struct fr_trouble *trouble)
        FR_REQUIRES(engine->mu);

/*
 * For those who wait for a job: have it tried now, and answer how many failures it takes to say
 * that an attempt has failed which began after this call; and, for each time they wake up, FR_OK to
 * go on waiting, or the failure.
 */
uint64_t fr_engine_kick_locked(struct fr_engine *engine, struct fr_trouble *trouble, bool running)
        FR_REQUIRES(engine->mu);
FR_NODISCARD fr_status fr_engine_trouble_locked(struct fr_engine *engine,
        struct fr_trouble *trouble, uint64_t enough) FR_REQUIRES(engine->mu);

/* engine_write.c: the active memtable takes no more; in the line of writers, or as their leader. */
FR_NODISCARD fr_status fr_engine_seal(struct fr_engine *engine);
FR_NODISCARD fr_status fr_engine_seal_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu);

/*
 * engine_write.c: run something in the line of writers, without the lock: nobody writes meanwhile,
 * so last_seq and the active memtable stay what they are. There is room for one more sealed
 * memtable. Writers wait for it, so it must be short.
 */
FR_NODISCARD fr_status fr_engine_take_turn(struct fr_engine *engine, fr_status (*turn)(void *ctx),
        void *ctx);

/*
 * engine_pressure.c: what is owed has changed with the view; the rate of writers; hold the leading
 * writer, and so the line behind it, until its bytes may go on, without the lock while it waits;
 * wait until a memtable may be sealed, or say why none will.
 */
void fr_engine_assess_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu);
double fr_engine_rate_locked(struct fr_engine *engine, uint64_t now_us) FR_REQUIRES(engine->mu);
void fr_engine_pace_locked(struct fr_engine *engine, size_t bytes) FR_REQUIRES(engine->mu);
FR_NODISCARD fr_status fr_engine_make_room_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu);

/*
 * The leading writer asks before its group touches anything: whether the disk has space for so many
 * bytes; and if not, for each batch, whether it may go on all the same, or FR_ERR_NOSPACE.
 */
bool fr_engine_has_space(struct fr_engine *engine, size_t bytes);
FR_NODISCARD fr_status fr_engine_admit(struct fr_engine *engine, fr_slice batch);

/* The live snapshots, ascending, with the newest moment last; the caller frees them. */
FR_NODISCARD fr_status fr_engine_copy_snapshots_locked(struct fr_engine *engine,
        fr_seq **ret_snapshots, size_t *ret_count) FR_REQUIRES(engine->mu);

#endif
