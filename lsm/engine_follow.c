/*
 * engine_follow.c - a store that is open for reading only, beside whoever writes it.
 *
 * It shows a version that the manifest has told, and above it, in memtables, what the log has
 * behind the place that the same manifest names. To go on is to read what has been added to both
 * since. Nothing is locked, written or asked for: the writer does not know that anybody is there.
 *
 * So everything may change under our eyes. What keeps us right:
 *
 *     SUPER      its copies are checksummed; the newest whole one counts
 *     manifest   its groups are chained by checksums; one that a new manifest has replaced is given
 *                up for that one
 *     files      they never change. The ones of a version are opened at once; one that is gone by
 *                then was dropped by a later edit, so we read on in the manifest and try again. An
 *                open file stays readable when its name is removed: that is our pin
 *     log        its groups are chained, too, by position, epoch and checksum. A segment that is
 *                used again breaks its chain, and what was read before that is right
 *
 * That leaves one danger: a manifest and a log that are right in themselves, and never were the
 * store's at one time. Reading the manifest first, the log may only be ahead of it, by
 *
 *     flushes      the log is shorter at its front: groups are missing, the chain tells
 *     compactions  change nothing that can be seen
 *     ingests      something is missing between two batches: their numbers do not follow each other
 *                  (lsm/engine_ingest.c), and the manifest is read on before the log
 *
 * and reaching the log's end may mean that its last segment went away. So the manifest is asked
 * once more after the log, and if recovery would start elsewhere by now, it begins anew. Each time
 * all that was written before the call has been seen, or something has changed since; a writer
 * would have to flush faster than we read a memtable's worth of log to escape for long.
 *
 * Who reads. A reader takes a view and then the last sequence number. Batches that follow go into
 * the memtable that is there, and become visible by the number, as with a writer. A new version
 * comes with a new memtable, the number first and then the view: the view before has no entry of
 * the new memtable, so whatever number it is read with, it shows what it did. The view after is
 * never read with an older number, for which the writer's compactions may have left nothing: it
 * knows nothing of our snapshots either, which hold a view instead.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "wal/wal_reader.h"

/* Tries in a row that have seen no change in the manifest: then the failure is not the writer's. */
#define STILL_TRIES 8

/* Tries in all. */
#define TRIES_MAX 200

/* Between two tries, growing. */
#define PAUSE_FIRST_US 500
#define PAUSE_MAX_US   20000

struct fr_follow {
    struct fr_super super; /* of manifest */
    struct fr_manifest_reader *manifest;
    struct fr_wal_reader *log;   /* stands behind the last batch of the memtables; NULL: none */
    fr_lsn log_start;            /* where it was begun */
    uint64_t log_number;         /* and in which segment */
    struct fr_memtable *pending; /* a new one, which is not published yet; NULL: none */
    bool rebuild;                /* pending has all of the log */
    uint64_t edits;              /* of manifest, read so far */
    fr_seq last;                 /* of the last batch read, or of the tables */

    /* Of what is shown. */
    uint64_t shown_manifest;
    uint64_t shown_edits;
    fr_lsn shown_log_start;
};

static const struct fr_manifest_state *state_of(const struct fr_follow *f)
{
    return fr_manifest_reader_state(f->manifest);
}

/* ---- the manifest */

static void forget_manifest(struct fr_follow *f)
{
    fr_manifest_reader_close(FR_TAKE(f->manifest));
}

/* A directory without SUPER: tell a store that has lost it from what never was one. */
static fr_status fail_without_super(struct fr_engine *engine)
{
    const char *path = fr_dir_path(engine->dir);
    enum fr_file_kind kind;
    struct fr_dir_names names;
    uint64_t number;
    bool any = false;

    if (fr_dir_list(engine->dir, &names) == FR_OK) {
        for (size_t i = 0; i < names.count; i++)
            any |= fr_file_name_parse(names.names[i], &kind, &number) && kind != FR_FILE_LOCK;
        fr_dir_names_deinit(&names);
    }
    return FR_FAIL(FR_ERR_MISSING, any ? "%s: a store without its SUPER" : "%s: there is no store",
            path);
}

static fr_status read_super(struct fr_engine *engine, struct fr_super *ret_super)
{
    bool first = engine->super.manifest == 0;
    fr_status st = fr_super_read(engine->dir, ret_super);

    if (st == FR_ERR_MISSING && first) return fail_without_super(engine);
    if (st < 0) return st;
    if (!first && memcmp(ret_super->store, engine->store, FR_STORE_ID_SIZE) != 0)
        return FR_FAIL(FR_ERR_FOREIGN, "%s: is another store now", fr_dir_path(engine->dir));
    engine->super = *ret_super;
    memcpy(engine->store, ret_super->store, FR_STORE_ID_SIZE);
    return FR_OK;
}

/* All edits of the manifest that is current. */
static fr_status read_manifest(struct fr_engine *engine, struct fr_follow *f)
{
    struct fr_super super;
    fr_status st;

    FR_TRY(read_super(engine, &super));
    if (f->manifest != NULL && f->super.manifest != super.manifest) forget_manifest(f);
    if (f->manifest == NULL) {
        FR_TRY(fr_manifest_reader_open(engine->dir, &super, &engine->obsolete, &f->manifest));
        f->super = super;
        f->edits = 0;
    }
    st = fr_manifest_reader_advance(f->manifest);
    if (st < 0) {
        forget_manifest(f);
        return st;
    }
    f->edits = state_of(f)->edit_count;
out:
    return st;
}

/* ---- the log */

static void forget_log(struct fr_follow *f)
{
    fr_wal_reader_close(FR_TAKE(f->log));
}

static fr_seq largest_seq(const struct fr_version *version)
{
    fr_seq seq = 0;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            seq = FR_MAX(seq, version->levels[level].tables[i]->meta.largest_seq);
    return seq;
}

/* Where the batches of the log's rest go: into the published memtable, or into a new one. */
static fr_status begin_log(struct fr_engine *engine, struct fr_follow *f)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .flags = engine->view == NULL ? 0 : FR_WAL_READ_FOLLOW,
            .start = state_of(f)->log.start,
            .durable = state_of(f)->log.durable,
            .number = state_of(f)->log.number};
    fr_status st;

    forget_log(f);
    memcpy(options.store, engine->store, FR_STORE_ID_SIZE);
    f->rebuild = true;
    f->log_start = options.start;
    f->log_number = options.number;
    f->last = largest_seq(state_of(f)->version);
    FR_TRY(fr_memtable_new(SIZE_MAX / 4, NULL, &f->pending));
    FR_TRY(fr_wal_reader_open(engine->dir, &options, &f->log));
out:
    return st;
}

static bool starts_here(const struct fr_follow *f, const struct fr_edit_log *log)
{
    return f->log_start == log->start && f->log_number == log->number;
}

/* A new version needs a new memtable, while there is room for more of them. */
static fr_status go_on_with_log(struct fr_engine *engine, struct fr_follow *f, bool new_version)
{
    if (f->log == NULL || !starts_here(f, &state_of(f)->log)) return begin_log(engine, f);
    if (new_version && engine->sealed_count == FR_SEALED_MAX) return begin_log(engine, f);
    f->last = FR_MAX(f->last, largest_seq(state_of(f)->version));
    if (new_version) {
        fr_status st = fr_memtable_new(SIZE_MAX / 4, NULL, &f->pending);
        if (st < 0) return st;
    }
    return fr_wal_reader_resume(f->log);
}

/*
 * The rest of the log. A batch whose number is not the next one stands behind an ingest: if the
 * manifest that we have does not know of that one, it is too old for this log.
 */
static fr_status read_log(struct fr_engine *engine, struct fr_follow *f)
{
    fr_seq known = FR_MAX(f->last, state_of(f)->last_seq);
    struct fr_memtable *to = f->pending != NULL ? f->pending : engine->active;
    fr_slice batch;
    uint64_t first;
    fr_lsn lsn;
    fr_status st;

    while ((st = fr_wal_reader_next(f->log, &batch, &first, &lsn)) == FR_OK) {
        if (first > known + 1) {
            FR_COVER("follow: a log that is ahead of the manifest");
            return FR_FAIL(FR_ERR_BUSY,
                    "%s: the log has %" PRIu64 " at lsn %" PRIu64 ", the manifest ends at %" PRIu64,
                    fr_dir_path(engine->dir), first, lsn, known);
        }
        FR_TRY(fr_engine_replay_batch(to, batch, first, &f->last));
        known = FR_MAX(known, f->last);
    }
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

/* ---- publishing */

static void drop_memtables_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    for (size_t i = 0; i < engine->sealed_count; i++)
        fr_memtable_unref(engine->sealed[i].memtable);
    engine->sealed_count = 0;
    if (engine->active != NULL) fr_memtable_unref(FR_TAKE(engine->active));
}

/* The pending memtable goes on top of the others, or takes their place. */
static void take_pending_locked(struct fr_engine *engine, struct fr_follow *f)
        FR_REQUIRES(engine->mu)
{
    struct fr_memtable_stats stats;

    if (f->rebuild) {
        drop_memtables_locked(engine);
    } else {
        fr_memtable_stats_get(engine->active, &stats);
        if (stats.entry_count + stats.range_count == 0)
            fr_memtable_unref(engine->active);
        else
            engine->sealed[engine->sealed_count++] = (struct fr_sealed){.memtable = engine->active};
    }
    engine->active = FR_TAKE(f->pending);
    f->rebuild = false;
}

/*
 * version NULL: the one that is shown. The views keep what they have, so it does no harm that
 * memtables go before the next view is there. Should that fail for want of memory, the next refresh
 * begins anew.
 */
static fr_status publish(struct fr_engine *engine, struct fr_follow *f, struct fr_version *version)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&engine->mu);
    fr_seq last = FR_MAX(f->last, fr_engine_last_seq(engine));
    bool new_view = f->pending != NULL;
    if (new_view) take_pending_locked(engine, f);
    atomic_store_explicit(&engine->last_seq, last, memory_order_release);
    if (new_view)
        st = fr_engine_publish_view_locked(engine,
                version != NULL ? version : engine->view->version);
    fr_mutex_unlock(&engine->mu);
    return st;
}

/* ---- one try */

static fr_status open_version(struct fr_engine *engine, struct fr_follow *f,
        struct fr_version **ret_version)
{
    struct fr_view *view = engine->view == NULL ? NULL : fr_engine_view(engine);

    fr_status st = fr_engine_open_version(engine, state_of(f)->version,
            view == NULL ? NULL : view->version, ret_version);
    fr_view_unref(view);
    return st;
}

/*
 * What was read last time must be seen again. That it is not is what a log looks like whose newest
 * segment has gone away, or what a machine has left that lost power while we were elsewhere.
 */
static fr_status check_forward(struct fr_engine *engine, const struct fr_follow *f)
{
    fr_seq shown = fr_engine_last_seq(engine);

    bool flushed = f->log_start != f->shown_log_start && state_of(f)->last_seq >= shown;

    if (f->last >= shown || flushed) return FR_OK;
    return FR_FAIL(FR_ERR_BUSY, "%s: ends at number %" PRIu64 ", and %" PRIu64 " has been seen",
            fr_dir_path(engine->dir), f->last, shown);
}

/* Where recovery starts must still be where the log was read from. */
static fr_status check_start(struct fr_engine *engine, struct fr_follow *f)
{
    fr_status st = read_manifest(engine, f);

    if (st < 0 || starts_here(f, &state_of(f)->log)) return st;
    FR_COVER("follow: a flush while the log was read");
    return FR_FAIL(FR_ERR_BUSY, "%s: was flushed while its log was read", fr_dir_path(engine->dir));
}

static fr_status follow_once(struct fr_engine *engine, struct fr_follow *f)
{
    struct fr_version *version = NULL;
    fr_status st;

    FR_TRY(read_manifest(engine, f));
    uint64_t manifest = f->super.manifest, edits = f->edits;
    bool new_version = manifest != f->shown_manifest || edits != f->shown_edits;
    if (new_version) FR_TRY(open_version(engine, f, &version));
    FR_TRY(go_on_with_log(engine, f, new_version));
    FR_TRY(read_log(engine, f));
    FR_TRY(check_forward(engine, f));
    FR_TRY(check_start(engine, f)); /* what it has read besides is for the next time */
    FR_TRY(publish(engine, f, version));
    f->shown_manifest = manifest;
    f->shown_edits = edits;
    f->shown_log_start = f->log_start;
out:
    fr_version_unref(version);
    if (f->pending != NULL) fr_memtable_unref(FR_TAKE(f->pending));
    /* Batches that went nowhere are read again. */
    if (st < 0) forget_log(f);
    f->rebuild = false;
    return st;
}

/* What a writer can cause by going on. */
static bool may_pass(fr_status st)
{
    return st == FR_ERR_MISSING || st == FR_ERR_CORRUPT || st == FR_ERR_FOREIGN ||
           st == FR_ERR_BUSY;
}

static fr_status follow(struct fr_engine *engine, struct fr_follow *f)
{
    uint64_t pause_us = PAUSE_FIRST_US;
    unsigned still = 0;
    fr_status st = FR_OK;

    for (unsigned i = 0; i < TRIES_MAX && still < STILL_TRIES; i++) {
        uint64_t manifest = f->super.manifest, edits = f->edits;
        st = follow_once(engine, f);
        if (!may_pass(st)) return st;
        if (st == FR_ERR_MISSING && engine->super.manifest == 0) return st; /* no store at all */
        still = manifest == f->super.manifest && edits == f->edits ? still + 1 : 0;
        if (still < STILL_TRIES) fr_env_sleep_us(engine->env, pause_us);
        pause_us = FR_MIN(pause_us * 2, (uint64_t)PAUSE_MAX_US);
    }
    return st;
}

fr_status fr_engine_follow_open(struct fr_engine *engine)
{
    struct fr_follow *f = FR_NEW(struct fr_follow);
    fr_status st;

    if (f == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to open it", fr_dir_path(engine->dir));
    fr_mutex_lock(&engine->manifest_mu);
    engine->follow = f;
    st = follow(engine, f);
    fr_mutex_unlock(&engine->manifest_mu);
    if (st == FR_OK && engine->options.must_be_new)
        st = FR_FAIL(FR_ERR_EXISTS, "%s: there is a store", fr_dir_path(engine->dir));
    return st;
}

fr_status fr_engine_refresh(struct fr_engine *engine)
{
    if (engine->follow == NULL) return FR_OK;
    fr_mutex_lock(&engine->manifest_mu);
    fr_status st = follow(engine, engine->follow);
    fr_mutex_unlock(&engine->manifest_mu);
    return st;
}

void fr_follow_free(struct fr_follow *f)
{
    if (f == NULL) return;
    forget_manifest(f);
    forget_log(f);
    if (f->pending != NULL) fr_memtable_unref(f->pending);
    fr_free(f);
}
