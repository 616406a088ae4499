/*
 * engine_compact.c - the thread that keeps the levels in shape (lsm/picker.h says how).
 *
 * A job takes its tables under the lock and marks them busy, so no other job takes them; merges
 * them without it; and installs the output. A table that overlaps nothing below and needs no change
 * is only moved: an edit and no I/O besides. A job streams: its memory does not depend on the
 * sizes.
 *
 * Values are not rewritten, only the pointers to them, unless most of a value file is garbage: then
 * the tables that point to it are rewritten where they are, and the values that are left with them.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/merge_iter.h"
#include "lsm/table.h"

/* From this share of garbage, in percent, a value file is rewritten. */
#define GARBAGE_PERCENT 50

/* Small files are not worth a job of their own. */
#define GARBAGE_BYTES_LEAST ((uint64_t)1 << 20)

struct job {
    struct fr_pick pick;
    struct fr_version *version; /* one reference: keeps the tables */
    fr_seq *snapshots;
    size_t snapshot_count;
    uint64_t rewrite; /* a value file, or 0 */
    bool bottom;
};

static void mark_busy_locked(struct fr_engine *engine, struct job *job, bool busy)
        FR_REQUIRES(engine->mu)
{
    (void)engine;
    for (size_t i = 0; i < job->pick.input_count; i++)
        job->pick.inputs[i]->busy = busy;
    for (size_t i = 0; i < job->pick.overlap_count; i++)
        job->pick.overlaps[i]->busy = busy;
}

static void deinit_job(struct job *job)
{
    fr_pick_deinit(&job->pick);
    fr_version_unref(job->version);
    fr_free(job->snapshots);
    *job = (struct job){0};
}

static bool points_to(const struct fr_version_table *table, uint64_t values)
{
    for (size_t i = 0; i < table->meta.ref_count; i++)
        if (table->meta.refs[i].file == values) return true;
    return false;
}

/* The value file with the most garbage, if that is enough; 0 if none has. */
static uint64_t worst_values(const struct fr_version *version)
{
    uint64_t worst = 0, most = GARBAGE_BYTES_LEAST;

    for (size_t i = 0; i < version->values_count; i++) {
        uint64_t all = version->values[i]->meta.value_bytes;
        uint64_t garbage = all - FR_MIN(all, version->values_live[i]);
        if (garbage * 100 < all * GARBAGE_PERCENT || garbage < most) continue;
        worst = version->values[i]->meta.number;
        most = garbage;
    }
    return worst;
}

/* One table that points to the worst value file, to be written again in its level. */
static fr_status pick_garbage(const struct fr_version *version, struct job *job)
{
    uint64_t values = worst_values(version);

    if (values == 0) return FR_NOT_FOUND;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            struct fr_version_table *table = version->levels[level].tables[i];
            if (table->busy || !points_to(table, values)) continue;
            job->pick.inputs = fr_alloc_zeroed(1, sizeof(void *));
            if (job->pick.inputs == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a job");
            job->pick.inputs[job->pick.input_count++] = table;
            job->pick.reason = FR_PICK_GARBAGE;
            job->pick.level = job->pick.output_level = level;
            job->pick.smallest = table->meta.smallest;
            job->pick.largest = table->meta.largest;
            job->rewrite = values;
            return FR_OK;
        }
    return FR_NOT_FOUND;
}

/* Complete a job whose tables are chosen: hold them, and see the snapshots. */
static fr_status take_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    const struct fr_pick *pick = &job->pick;
    fr_status st;

    FR_TRY(fr_engine_copy_snapshots_locked(engine, &job->snapshots, &job->snapshot_count));
    job->version = fr_version_ref(engine->view->version);
    job->bottom =
            pick->reason != FR_PICK_GARBAGE &&
            fr_picker_is_bottom(job->version, pick->output_level, pick->smallest, pick->largest);
    mark_busy_locked(engine, job, true);
out:
    return st;
}

static fr_status pick_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    const struct fr_version *version = engine->view->version;
    fr_status st = fr_picker_pick(version, &engine->options.picker, &job->pick);

    if (st == FR_NOT_FOUND) st = pick_garbage(version, job);
    if (st == FR_OK) st = take_job_locked(engine, job);
    if (st != FR_OK) deinit_job(job);
    return st;
}

static fr_status drop_inputs(const struct job *job, struct fr_version_change *change)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < job->pick.input_count; i++)
        FR_TRY(fr_version_change_drop_table(change, job->pick.level,
                job->pick.inputs[i]->meta.number));
    for (size_t i = 0; i < job->pick.overlap_count; i++)
        FR_TRY(fr_version_change_drop_table(change, job->pick.output_level,
                job->pick.overlaps[i]->meta.number));
out:
    return st;
}

/* The table goes down as it is. */
static fr_status move_table(struct fr_engine *engine, const struct job *job)
{
    struct fr_version_change change = {0};
    fr_status st;

    FR_TRY(drop_inputs(job, &change));
    FR_TRY(fr_version_change_add_table(&change, job->pick.output_level, job->pick.inputs[0]));
    FR_TRY(fr_engine_install(engine, &change, NULL));
out:
    fr_version_change_deinit(&change);
    return st;
}

static bool is_move(const struct job *job)
{
    return job->pick.reason == FR_PICK_SIZE && job->pick.input_count == 1 &&
           job->pick.overlap_count == 0;
}

struct inputs {
    struct fr_merge_source *sources;
    const struct fr_range_set **ranges;
    size_t count;
    uint64_t bytes;
};

static fr_status add_input(struct inputs *in, struct fr_version_table *table)
{
    struct fr_table_iter_options options = {.fill_cache = false};
    struct fr_iter *it;

    fr_status st = fr_table_iter_new(table->table, &options, &it);
    if (st < 0) return st;
    in->sources[in->count] = (struct fr_merge_source){.it = it, .seq_max = table->meta.largest_seq};
    in->ranges[in->count] = table->ranges;
    in->count++;
    in->bytes += table->meta.size;
    return FR_OK;
}

/* All tables of the job as one iterator, and their range deletes as one set. */
static fr_status open_inputs(const struct job *job, struct inputs *in, struct fr_iter **ret_it,
        struct fr_range_set **ret_ranges)
{
    size_t most = job->pick.input_count + job->pick.overlap_count;
    struct fr_bounds all = {0};
    fr_status st = FR_OK;

    in->sources = fr_alloc_zeroed(most, sizeof(*in->sources));
    in->ranges = fr_alloc_zeroed(most, sizeof(void *));
    if (in->sources == NULL || in->ranges == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a compaction");
    for (size_t i = 0; i < job->pick.input_count; i++)
        FR_TRY(add_input(in, job->pick.inputs[i]));
    for (size_t i = 0; i < job->pick.overlap_count; i++)
        FR_TRY(add_input(in, job->pick.overlaps[i]));
    FR_TRY(fr_range_set_merge(in->ranges, in->count, NULL, 0, ret_ranges));
    size_t count = in->count;
    in->count = 0; /* theirs from here on, whatever happens */
    st = fr_merge_iter_new(in->sources, count, all, ret_it);
out:
    return st;
}

static void close_inputs(struct inputs *in)
{
    for (size_t i = 0; i < in->count; i++)
        fr_iter_close(in->sources[i].it);
    fr_free(in->sources);
    fr_free(in->ranges);
}

static fr_status execute(struct fr_engine *engine, const struct job *job,
        struct fr_output *ret_output, uint64_t *ret_read)
{
    struct fr_fetch_ctx fetch_ctx = {.version = job->version};
    struct fr_fold_options fold_options = {.snapshots = job->snapshots,
            .snapshot_count = job->snapshot_count,
            .bottommost = job->bottom,
            .now_us = fr_env_wall_us(engine->env),
            .fetch = fr_engine_fetch,
            .fetch_ctx = &fetch_ctx};
    struct fr_output_options output_options = {.level = job->pick.output_level,
            .origin = FR_TABLE_ORIGIN_COMPACTION,
            .table_size = job->pick.output_level == 0 ? 0 : engine->options.table_size,
            .rewrite = &job->rewrite,
            .rewrite_count = job->rewrite != 0,
            .fetch = fr_engine_fetch,
            .fetch_ctx = &fetch_ctx};
    struct fr_range_set *ranges = NULL;
    struct fr_fold *fold = NULL;
    struct fr_iter *it = NULL;
    struct inputs in = {0};
    fr_status st;

    FR_TRY(open_inputs(job, &in, &it, &ranges));
    fold_options.ranges = ranges;
    FR_TRY(fr_fold_new(it, &fold_options, &fold));
    FR_TRY(fr_output_write(engine, fold, &fold_options, &output_options, ret_output));
    *ret_read = in.bytes;
out:
    fr_fold_close(fold);
    fr_range_set_unref(ranges);
    close_inputs(&in);
    return st;
}

static fr_status merge_tables(struct fr_engine *engine, const struct job *job)
{
    struct fr_output output = {0};
    uint64_t read_bytes = 0;
    fr_status st;

    FR_TRY(execute(engine, job, &output, &read_bytes));
    FR_TRY(drop_inputs(job, &output.change));
    uint64_t written = output.bytes;
    st = fr_engine_install(engine, &output.change, NULL);
    /* Also if it failed: the edit may be durable all the same, and then it names these files. */
    fr_output_deinit(&output, true);
    FR_TRY(st);
    fr_mutex_lock(&engine->mu);
    engine->stats.compaction_count++;
    engine->stats.compaction_read_bytes += read_bytes;
    engine->stats.compaction_write_bytes += written;
    fr_mutex_unlock(&engine->mu);
out:
    fr_output_deinit(&output, false);
    return st;
}

/* Run a job that was taken; the lock is given up meanwhile. */
static fr_status run_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    engine->compacting++;
    fr_mutex_unlock(&engine->mu);
    fr_status st = is_move(job) ? move_table(engine, job) : merge_tables(engine, job);
    fr_mutex_lock(&engine->mu);
    engine->compacting--;
    mark_busy_locked(engine, job, false);
    if (st < 0) fr_engine_fail_locked(engine);
    fr_cond_broadcast(&engine->progress);
    fr_mutex_unlock(&engine->mu);
    deinit_job(job);
    fr_mutex_lock(&engine->mu);
    fr_cond_broadcast(&engine->work);
    return st;
}

void fr_engine_compact_main(void *arg)
{
    struct fr_engine *engine = arg;

    fr_mutex_lock(&engine->mu);
    while (!engine->closing) {
        struct job job = {0};
        fr_status st = FR_NOT_FOUND;

        if (engine->background_error.status == FR_OK) st = pick_job_locked(engine, &job);
        if (st == FR_OK) {
            (void)run_job_locked(engine, &job);
            continue;
        }
        if (st < 0) fr_engine_fail_locked(engine);
        engine->compaction_rests = true;
        fr_cond_broadcast(&engine->progress);
        fr_cond_wait(&engine->work, &engine->mu);
        engine->compaction_rests = false;
    }
    fr_mutex_unlock(&engine->mu);
}

fr_status fr_engine_wait_idle(struct fr_engine *engine)
{
    fr_status st = FR_OK;

    if (engine->log == NULL) return FR_OK; /* open for reading only: nobody works */
    fr_mutex_lock(&engine->mu);
    fr_cond_broadcast(&engine->work);
    engine->compaction_rests = false;
    while (engine->background_error.status == FR_OK &&
            (engine->sealed_count > 0 || engine->flushing || engine->compacting ||
                    !engine->compaction_rests))
        fr_cond_wait(&engine->progress, &engine->mu);
    if (engine->background_error.status != FR_OK) st = fr_error_restore(&engine->background_error);
    fr_mutex_unlock(&engine->mu);
    return st;
}

/* The tables of one level in the range, into the next; once no other job has them. */
static fr_status compact_level(struct fr_engine *engine, unsigned level, fr_slice start,
        fr_slice end, bool *ret_any)
{
    struct job job = {0};
    fr_status st;

    fr_mutex_lock(&engine->mu);
    while (engine->compacting > 0 && engine->background_error.status == FR_OK)
        fr_cond_wait(&engine->progress, &engine->mu);
    st = engine->background_error.status != FR_OK ? fr_error_restore(&engine->background_error)
                                                  : FR_OK;
    if (st == FR_OK)
        st = fr_picker_pick_range(engine->view->version, &engine->options.picker, level, start, end,
                &job.pick);
    if (st == FR_OK) st = take_job_locked(engine, &job);
    if (st == FR_OK) {
        st = run_job_locked(engine, &job);
        *ret_any = true;
    } else {
        deinit_job(&job);
    }
    fr_mutex_unlock(&engine->mu);
    return st == FR_NOT_FOUND ? FR_OK : st;
}

fr_status fr_engine_compact_range(struct fr_engine *engine, fr_slice start, fr_slice end)
{
    bool any = false;
    fr_status st;

    FR_TRY(fr_engine_flush(engine));
    for (unsigned level = 0; level < FR_LEVEL_COUNT - 1; level++)
        FR_TRY(compact_level(engine, level, start, end, &any));
    st = fr_engine_wait_idle(engine);
out:
    return st;
}
