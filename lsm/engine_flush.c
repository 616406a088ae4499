/*
 * engine_flush.c - the thread that writes sealed memtables to tables, the oldest first.
 *
 * execute has the memtable and a list of snapshots and touches nothing shared; complete is the
 * installation of its output; abort removes what was written. The thread also has the log prepare
 * its next segment, and between two jobs it removes files that nobody needs any more. A job that
 * fails in a way that passes is tried again (lsm/engine_trouble.c).
 */
#include "base/alloc.h"
#include "base/log.h"
#include "base/museum.h"
#include "io/env.h"
#include "lsm/engine_priv.h"

/* The memtable's iterator, checked as it is read, and its range deletes. */
static fr_status open_fold(struct fr_engine *engine, const struct fr_memtable *memtable,
        struct fr_fold_options *options, struct fr_range_set **ret_ranges,
        struct fr_fold **ret_fold)
{
    struct fr_iter *it;
    fr_status st;

    FR_TRY(fr_memtable_verify_ranges(memtable));
    FR_TRY(fr_memtable_ranges(memtable, ret_ranges));
    options->ranges = *ret_ranges;
    options->now_us = fr_env_wall_us(engine->env);
    FR_TRY(fr_memtable_iter_new(memtable, true, &it));
    FR_TRY(fr_fold_new(it, options, ret_fold));
out:
    return st;
}

static fr_status execute(struct fr_engine *engine, const struct fr_memtable *memtable,
        const fr_seq *snapshots, size_t snapshot_count, struct fr_output *ret_output)
{
    struct fr_fold_options fold_options = {
            .snapshots = snapshots, .snapshot_count = snapshot_count};
    struct fr_view *view = fr_engine_view(engine);
    struct fr_output_options output_options = {.level = 0,
            .origin = FR_TABLE_ORIGIN_FLUSH,
            .older = engine->options.filter_bits > 0 ? view->version : NULL};
    struct fr_range_set *ranges = NULL;
    struct fr_fold *fold = NULL;
    fr_status st;

    FR_TRY(open_fold(engine, memtable, &fold_options, &ranges, &fold));
    FR_TRY(fr_output_write(engine, fold, &fold_options, &output_options, ret_output));
out:
    fr_fold_close(fold);
    fr_range_set_unref(ranges);
    fr_view_unref(view);
    return st;
}

/* So that no writer has to make the log's next segment, which takes as long as many writes. */
static void prepare_log(struct fr_engine *engine)
{
    if (fr_wal_writer_prepare(engine->log) >= 0) return;
    fr_log(FR_LOG_INFO, "lsm", "%s", fr_last_error());
    fr_engine_note_failure(engine);
}

/* Housekeeping before waiting; the log's part of it before and in each job besides. */
static void tidy(struct fr_engine *engine)
{
    fr_engine_remove_obsolete(engine);
    prepare_log(engine);
}

static fr_status flush_one(struct fr_engine *engine, struct fr_sealed sealed, fr_seq *snapshots,
        size_t snapshot_count)
{
    struct fr_output output = {0};
    fr_status st;

    prepare_log(engine);
    FR_TRY(fr_engine_repair_manifest(engine));
    FR_TRY(execute(engine, sealed.memtable, snapshots, snapshot_count, &output));
    uint64_t bytes = output.bytes;
    prepare_log(engine);
    /* museum 14: the log released before the manifest has the flush */
    if (FR_MUSEUM(14)) fr_engine_release_old_log(engine, sealed.log_end);
    st = fr_engine_install(engine, &output.change, &sealed.log_end);
    if (st < 0) fr_engine_abandon(engine, &output);
    FR_TRY(st);
    fr_output_deinit(&output, true);
    fr_mutex_lock(&engine->mu);
    engine->stats.flush_bytes += bytes;
    engine->stats.flush_count++;
    fr_mutex_unlock(&engine->mu);
    /* What cannot be released now is released with the next flush. */
    if (fr_wal_writer_release(engine->log, sealed.log_end) < 0)
        fr_log(FR_LOG_WARN, "lsm", "%s", fr_last_error());
    fr_engine_release_old_log(engine, sealed.log_end);
out:
    fr_output_deinit(&output, false);
    return st;
}

/* One attempt, and what it tells about the speed of flushes; the lock is given up meanwhile. */
static void flush_oldest_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    struct fr_sealed sealed = engine->sealed[0];
    uint64_t start_us = fr_env_now_us(engine->env);
    struct fr_memtable_stats size;
    fr_seq *snapshots;
    size_t count;

    fr_memtable_stats_get(sealed.memtable, &size);
    engine->flushing = true;
    engine->debt.flushing_bytes = size.used_bytes;
    engine->debt.flush_start_us = start_us;
    fr_status st = fr_engine_copy_snapshots_locked(engine, &snapshots, &count);
    fr_mutex_unlock(&engine->mu);
    if (st == FR_OK) {
        fr_engine_begin_flush(engine, sealed.memtable);
        st = flush_one(engine, sealed, snapshots, count);
        fr_engine_end_job(engine, false, st);
        fr_free(snapshots);
    }
    fr_mutex_lock(&engine->mu);
    engine->flushing = false;
    engine->flushes_done++;
    engine->debt.flushing_bytes = 0;
    if (st < 0) {
        fr_engine_job_failed_locked(engine, &engine->flush_trouble);
        return;
    }
    fr_pace_add_flush(&engine->speeds, size.used_bytes, fr_env_now_us(engine->env) - start_us);
    fr_engine_job_done_locked(engine, &engine->flush_trouble);
}

static void flush_loop_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    while (!engine->closing) {
        bool stopped = engine->background_error.status != FR_OK;
        if (stopped || engine->sealed_count == 0) {
            fr_mutex_unlock(&engine->mu);
            tidy(engine);
            fr_mutex_lock(&engine->mu);
            if (!engine->closing && (stopped || engine->sealed_count == 0))
                fr_cond_wait(&engine->work, &engine->mu);
            continue;
        }
        flush_oldest_locked(engine);
        fr_cond_broadcast(&engine->progress);
        fr_cond_broadcast(&engine->work);
        fr_engine_await_retry_locked(engine, &engine->flush_trouble);
    }
}

void fr_engine_flush_main(void *arg)
{
    struct fr_engine *engine = arg;

    (void)fr_engine_work_for(engine, FR_MEMORY_JOBS);
    fr_mutex_lock(&engine->mu);
    flush_loop_locked(engine);
    fr_mutex_unlock(&engine->mu);
}

/*
 * Until all that is sealed now is flushed, or an attempt from now on has failed. What is sealed
 * meanwhile is not waited for, or this would never return beside writers that are fast enough.
 */
static fr_status await_flush(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    uint64_t enough = fr_engine_kick_locked(engine, &engine->flush_trouble, engine->flushing);
    fr_status st = fr_engine_await_flush_locked(engine);
    uint64_t before = engine->flushes_done;
    /* The job's last steps come after its tables are in the version. */
    while (st == FR_OK && engine->flushing && engine->flushes_done == before &&
            (st = fr_engine_trouble_locked(engine, &engine->flush_trouble, enough)) == FR_OK)
        fr_cond_wait(&engine->progress, &engine->mu);
    fr_mutex_unlock(&engine->mu);
    return st;
}

fr_status fr_engine_flush(struct fr_engine *engine)
{
    struct fr_memtable_stats stats;
    fr_status st = FR_OK;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    fr_mutex_lock(&engine->mu);
    fr_memtable_stats_get(engine->active, &stats);
    bool full = engine->sealed_count >= engine->options.sealed_max;
    fr_mutex_unlock(&engine->mu);
    if (full) st = await_flush(engine); /* there may be room since the last attempt */
    if (st == FR_OK && stats.entry_count + stats.range_count > 0) st = fr_engine_seal(engine);
    return st < 0 ? st : await_flush(engine);
}
