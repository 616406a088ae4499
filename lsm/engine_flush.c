/*
 * engine_flush.c - the thread that writes sealed memtables to tables, the oldest first.
 *
 * execute has the memtable and a list of snapshots and touches nothing shared; complete is the
 * installation of its output. Between two jobs the thread removes files that nobody needs any more,
 * and has the log prepare its next segment.
 */
#include "base/alloc.h"
#include "base/log.h"
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

static fr_status flush_one(struct fr_engine *engine, struct fr_sealed sealed, fr_seq *snapshots,
        size_t snapshot_count)
{
    struct fr_output output = {0};
    fr_status st;

    FR_TRY(execute(engine, sealed.memtable, snapshots, snapshot_count, &output));
    uint64_t bytes = output.bytes;
    st = fr_engine_install(engine, &output.change, &sealed.log_end);
    fr_output_deinit(&output, true);
    FR_TRY(st);
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

/* Housekeeping between jobs, and before waiting. */
static void tidy(struct fr_engine *engine)
{
    fr_engine_remove_obsolete(engine);
    if (fr_wal_writer_prepare(engine->log) < 0) fr_log(FR_LOG_INFO, "lsm", "%s", fr_last_error());
}

static void flush_loop_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    fr_seq *snapshots;
    size_t count;

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
        engine->flushing = true;
        struct fr_sealed sealed = engine->sealed[0];
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
        if (st < 0) fr_engine_fail_locked(engine);
        fr_cond_broadcast(&engine->progress);
        fr_cond_broadcast(&engine->work);
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

fr_status fr_engine_flush(struct fr_engine *engine)
{
    struct fr_memtable_stats stats;
    fr_status st = FR_OK;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    fr_mutex_lock(&engine->mu);
    fr_memtable_stats_get(engine->active, &stats);
    fr_mutex_unlock(&engine->mu);
    if (stats.entry_count + stats.range_count > 0) st = fr_engine_seal(engine);
    if (st < 0) return st;
    fr_mutex_lock(&engine->mu);
    while ((engine->sealed_count > 0 || engine->flushing) &&
            engine->background_error.status == FR_OK)
        fr_cond_wait(&engine->progress, &engine->mu);
    if (engine->background_error.status != FR_OK) st = fr_error_restore(&engine->background_error);
    fr_mutex_unlock(&engine->mu);
    return st;
}
