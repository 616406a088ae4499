/*
 * engine_compact.c - the thread that keeps the levels in shape (lsm/picker.h says how).
 *
 * A job takes its tables under the lock and marks them busy, so no other job takes them; merges
 * them without it; and installs the output. A table that overlaps nothing below and needs no change
 * is only moved: an edit and no I/O besides. Tables that a range delete covers whole are dropped
 * before anything else is done (lsm/covered.h), which takes an edit, too. A job streams: its memory
 * does not depend on the sizes.
 *
 * Values are not rewritten, only the pointers to them, unless there is too much garbage in value
 * files (lsm/garbage.h): then the tables that point to the worst of them are rewritten where they
 * are, and the values that are left with them. Whatever other job meets such values does the same.
 *
 * Who asks for a range of keys runs the jobs for it on his own thread, one level after the other.
 * He waits for the tables that he wants, in line with others who ask, and the compaction thread
 * begins nothing while anybody waits. All that he does is bounded by what there was when he came,
 * so he returns however much is written meanwhile.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "io/env.h"
#include "lsm/covered.h"
#include "lsm/engine_priv.h"
#include "lsm/level_iter.h"
#include "lsm/merge_iter.h"
#include "lsm/table.h"

/* Writers that have filled no memtable for so long are at rest. */
#define QUIET_US ((uint64_t)1000000)

/* What the iterators over level 0 may read ahead, all together. */
#define READAHEAD_BYTES ((size_t)4 << 20)

struct job {
    struct fr_pick pick;
    struct fr_version *version; /* one reference: keeps the tables */
    fr_seq *snapshots;
    size_t snapshot_count;
    struct fr_victims victims; /* value files that it takes the values out of */
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

/* Complete a job whose tables are chosen: hold them, and see the snapshots. */
static fr_status take_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    const struct fr_pick *pick = &job->pick;
    fr_status st = FR_OK;

    if (job->snapshots == NULL)
        FR_TRY(fr_engine_copy_snapshots_locked(engine, &job->snapshots, &job->snapshot_count));
    job->version = fr_version_ref(engine->view->version);
    /* Of level 0 one table alone: others there may be older. */
    job->bottom = pick->output_level > 0 && fr_picker_is_bottom(job->version, pick->output_level,
                                                    pick->smallest, pick->largest);
    mark_busy_locked(engine, job, true);
out:
    return st;
}

/* Whether writers rest, or somebody waits for all that is deferred until they do. */
static bool is_quiet_locked(const struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    if (engine->idle_waiters > 0) return true;
    return engine->sealed_count == 0 && !engine->flushing &&
           fr_env_now_us(engine->env) - engine->sealed_us >= QUIET_US;
}

/* What is hidden first: it may be all garbage that is left of a file. */
static fr_status pick_garbage(const struct fr_version *version,
        const struct fr_picker_options *options, bool quiet, struct job *job)
{
    fr_status st = FR_NOT_FOUND;

    if (fr_garbage_is_hidden(version, options, quiet))
        st = fr_picker_pick_level0(version, options, &job->pick);
    return st == FR_NOT_FOUND ? fr_garbage_pick(version, &job->victims, &job->pick) : st;
}

/* What costs nothing: tables of which nothing is left. */
static fr_status choose_covered_locked(struct fr_engine *engine, struct job *job)
        FR_REQUIRES(engine->mu)
{
    fr_status st = fr_engine_copy_snapshots_locked(engine, &job->snapshots, &job->snapshot_count);

    if (st < 0) return st;
    return fr_covered_pick(engine->view->version, job->snapshots, job->snapshot_count, &job->pick,
            &engine->snapshots_keep);
}

/*
 * The levels go first, but if they are never done and there is too much garbage, then it is every
 * other job's. A job of the levels empties the victims as far as it meets them.
 */
static fr_status pick_merge_locked(struct fr_engine *engine, struct job *job)
        FR_REQUIRES(engine->mu)
{
    const struct fr_version *version = engine->view->version;
    const struct fr_picker_options *options = &engine->options.picker;
    bool quiet = is_quiet_locked(engine);
    fr_status st = FR_NOT_FOUND;

    fr_garbage_choose(version, options, quiet, &job->victims);
    if (engine->levels_had_turn && job->victims.count > 0)
        st = fr_garbage_pick(version, &job->victims, &job->pick);
    engine->levels_had_turn = st == FR_NOT_FOUND;
    if (st == FR_NOT_FOUND) st = fr_picker_pick(version, options, &job->pick);
    return st == FR_NOT_FOUND ? pick_garbage(version, options, quiet, job) : st;
}

/* What is dropped need not be merged first. */
static fr_status pick_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    fr_status st = choose_covered_locked(engine, job);

    if (st == FR_NOT_FOUND) st = pick_merge_locked(engine, job);
    if (st == FR_OK) st = take_job_locked(engine, job);
    if (st != FR_OK) deinit_job(job);
    return st;
}

/* Whether there will be something to do once writers rest. */
static bool is_deferring_locked(const struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    const struct fr_version *version = engine->view->version;
    struct fr_victims victims;

    fr_garbage_choose(version, &engine->options.picker, true, &victims);
    return victims.count > 0 || fr_garbage_is_hidden(version, &engine->options.picker, true);
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

/* An edit alone, and space that is free. */
static fr_status drop_covered(struct fr_engine *engine, const struct job *job)
{
    struct fr_version_change change = {0};
    fr_status st;

    FR_COVER("compaction: covered tables are dropped");
    FR_TRY(drop_inputs(job, &change));
    FR_TRY(fr_engine_install(engine, &change, NULL));
    fr_mutex_lock(&engine->mu);
    engine->stats.covered_count += job->pick.input_count;
    fr_mutex_unlock(&engine->mu);
out:
    fr_version_change_deinit(&change);
    return st;
}

/* A table that overlaps much of the level below the next is cut up on its way, not moved. */
static bool is_move(const struct fr_engine *engine, const struct job *job)
{
    const struct fr_pick *pick = &job->pick;

    return pick->reason == FR_PICK_SIZE && pick->input_count == 1 && pick->overlap_count == 0 &&
           fr_picker_overlap(job->version, pick->output_level + 1, pick->smallest, pick->largest) <=
                   FR_OVERLAP_TABLES * engine->options.table_size;
}

struct inputs {
    struct fr_merge_source *sources;
    const struct fr_range_set **ranges;
    size_t count;
    size_t range_count;
    uint64_t bytes;
    struct fr_version_level upper, lower; /* the job's tables of levels above 0; borrowed */
    size_t readahead;
};

static void note_input(struct inputs *in, const struct fr_version_table *table)
{
    in->ranges[in->range_count++] = table->ranges;
    in->bytes += table->meta.size;
}

/* The tables of level 0 side by side; together they may read so far ahead and no further. */
static fr_status add_level0(struct inputs *in, const struct fr_pick *pick)
{
    struct fr_table_iter_options options = {
            .fill_cache = false, .readahead_max = READAHEAD_BYTES / pick->input_count};
    fr_status st = FR_OK;

    options.readahead_max = FR_MIN(options.readahead_max, in->readahead);
    options.readahead_max = FR_MAX(options.readahead_max, FR_TABLE_READAHEAD_FIRST);
    for (size_t i = 0; i < pick->input_count; i++) {
        struct fr_version_table *table = pick->inputs[i];
        struct fr_iter *it;

        FR_TRY(fr_table_iter_new(table->table, &options, &it));
        in->sources[in->count++] =
                (struct fr_merge_source){.it = it, .seq_max = table->meta.largest_seq};
        note_input(in, table);
    }
out:
    return st;
}

/* Tables of one level above 0, one after the other. */
static fr_status add_run(struct inputs *in, const struct fr_version_level *run)
{
    struct fr_table_iter_options options = {.readahead_max = in->readahead, .fill_cache = false};
    struct fr_merge_source source = {0};

    if (run->count == 0) return FR_OK;
    fr_status st = fr_level_iter_new(run, &options, &source.it);
    if (st < 0) return st;
    for (size_t i = 0; i < run->count; i++) {
        source.seq_max = FR_MAX(source.seq_max, run->tables[i]->meta.largest_seq);
        note_input(in, run->tables[i]);
    }
    in->sources[in->count++] = source;
    return FR_OK;
}

/* All tables of the job as one iterator, and their range deletes as one set. */
static fr_status open_inputs(const struct job *job, struct inputs *in, struct fr_iter **ret_it,
        struct fr_range_set **ret_ranges)
{
    const struct fr_pick *pick = &job->pick;
    size_t most = pick->input_count + pick->overlap_count;
    struct fr_bounds all = {0};
    fr_status st = FR_OK;

    in->sources = fr_alloc_zeroed(most, sizeof(*in->sources));
    in->ranges = fr_alloc_zeroed(most, sizeof(void *));
    if (in->sources == NULL || in->ranges == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a compaction");
    in->upper = (struct fr_version_level){.tables = pick->inputs, .count = pick->input_count};
    in->lower = (struct fr_version_level){.tables = pick->overlaps, .count = pick->overlap_count};
    FR_TRY(pick->level == 0 ? add_level0(in, pick) : add_run(in, &in->upper));
    FR_TRY(add_run(in, &in->lower));
    FR_TRY(fr_range_set_merge(in->ranges, in->range_count, NULL, 0, ret_ranges));
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

/* A table of level 0 that stays there shadows what it did. */
static uint64_t shadowed_bytes(const struct job *job)
{
    return job->pick.output_level == 0 ? job->pick.inputs[0]->shadowed_bytes : 0;
}

static fr_status execute(struct fr_engine *engine, const struct job *job,
        struct fr_output *ret_output, uint64_t *ret_read)
{
    struct fr_engine_options now = fr_engine_options_now(engine);
    struct fr_value_windows windows = {.find = fr_engine_find_values, .find_ctx = job->version};
    struct fr_fetch_ctx fetch_ctx = {.version = job->version, .windows = &windows};
    struct fr_fold_options fold_options = {.snapshots = job->snapshots,
            .snapshot_count = job->snapshot_count,
            .bottommost = job->bottom,
            .now_us = fr_env_wall_us(engine->env),
            .fetch = fr_engine_fetch,
            .fetch_ctx = &fetch_ctx};
    struct fr_output_options output_options = {.level = job->pick.output_level,
            .bottommost = job->bottom,
            .origin = FR_TABLE_ORIGIN_COMPACTION,
            .table_size = job->pick.output_level == 0 ? 0 : now.table_size,
            .grandparents =
                    job->pick.output_level == 0 || job->pick.output_level + 1 == FR_LEVEL_COUNT
                            ? NULL
                            : &job->version->levels[job->pick.output_level + 1],
            .shadowed_bytes = shadowed_bytes(job),
            .victims = &job->victims,
            .fetch = fr_engine_fetch,
            .fetch_ctx = &fetch_ctx};
    struct fr_range_set *ranges = NULL;
    struct fr_fold *fold = NULL;
    struct fr_iter *it = NULL;
    struct inputs in = {.readahead = fr_engine_readahead(&now)};
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
    fr_value_windows_deinit(&windows);
    return st;
}

static fr_status merge_tables(struct fr_engine *engine, const struct job *job)
{
    struct fr_output output = {0};
    uint64_t read_bytes = 0;
    fr_status st;

    FR_TRY(fr_engine_repair_manifest(engine));
    FR_TRY(execute(engine, job, &output, &read_bytes));
    FR_TRY(drop_inputs(job, &output.change));
    uint64_t written = output.bytes;
    st = fr_engine_install(engine, &output.change, NULL);
    if (st < 0) fr_engine_abandon(engine, &output);
    FR_TRY(st);
    fr_output_deinit(&output, true);
    fr_mutex_lock(&engine->mu);
    engine->stats.compaction_count++;
    engine->stats.compaction_read_bytes += read_bytes;
    engine->stats.compaction_write_bytes += written;
    fr_mutex_unlock(&engine->mu);
out:
    fr_output_deinit(&output, false);
    return st;
}

static fr_status carry_out(struct fr_engine *engine, const struct job *job)
{
    if (job->pick.reason == FR_PICK_COVERED) return drop_covered(engine, job);
    return is_move(engine, job) ? move_table(engine, job) : merge_tables(engine, job);
}

/* What the job tells about the speed of compaction: nothing, if it had nothing to merge. */
static void note_speed_locked(struct fr_engine *engine, const struct fr_pick *pick,
        uint64_t start_us) FR_REQUIRES(engine->mu)
{
    if (pick->reason == FR_PICK_COVERED) return;
    fr_pace_add_compaction(&engine->speeds, pick->level == 0 ? pick->input_count : 0,
            fr_env_now_us(engine->env) - start_us);
}

/* Run a job that was taken; the lock is given up meanwhile. */
static fr_status run_job_locked(struct fr_engine *engine, struct job *job) FR_REQUIRES(engine->mu)
{
    engine->compacting++;
    fr_mutex_unlock(&engine->mu);
    uint64_t start_us = fr_env_now_us(engine->env);
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_JOBS);
    if (job->pick.reason == FR_PICK_GARBAGE) FR_COVER("compaction: a value file is emptied");
    fr_engine_begin_compaction(engine, &job->pick);
    fr_status st = carry_out(engine, job);
    fr_engine_end_job(engine, is_move(engine, job), st);
    fr_engine_work_done(before);
    fr_mutex_lock(&engine->mu);
    engine->compacting--;
    mark_busy_locked(engine, job, false);
    if (st < 0) {
        fr_engine_job_failed_locked(engine, &engine->compact_trouble);
    } else {
        note_speed_locked(engine, &job->pick, start_us);
        fr_engine_job_done_locked(engine, &engine->compact_trouble);
    }
    fr_cond_broadcast(&engine->progress);
    fr_mutex_unlock(&engine->mu);
    deinit_job(job);
    fr_engine_remove_obsolete(engine); /* the flush thread may have no time for that */
    fr_mutex_lock(&engine->mu);
    fr_cond_broadcast(&engine->work);
    return st;
}

/*
 * Whether the thread begins no job: an ingest chooses levels, or somebody who compacts a range
 * waits for tables, and would wait for ever if there were always another job that has them.
 */
static bool is_held_locked(const struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    if (engine->background_error.status != FR_OK) return false;
    return engine->placing || engine->turns_given < engine->turns_asked;
}

void fr_engine_compact_main(void *arg)
{
    struct fr_engine *engine = arg;

    (void)fr_engine_work_for(engine, FR_MEMORY_OTHER);
    fr_mutex_lock(&engine->mu);
    while (!engine->closing) {
        struct job job = {0};
        fr_status st = FR_NOT_FOUND;

        if (is_held_locked(engine)) {
            fr_cond_wait(&engine->work, &engine->mu);
            continue;
        }
        if (engine->background_error.status == FR_OK) st = pick_job_locked(engine, &job);
        if (st == FR_OK)
            st = run_job_locked(engine, &job);
        else if (st < 0)
            fr_engine_job_failed_locked(engine, &engine->compact_trouble);
        if (st < 0) fr_engine_await_retry_locked(engine, &engine->compact_trouble);
        if (st != FR_NOT_FOUND) continue;
        fr_engine_job_done_locked(engine, &engine->compact_trouble);
        engine->compaction_rests = true;
        fr_cond_broadcast(&engine->progress);
        if (st == FR_NOT_FOUND && is_deferring_locked(engine))
            (void)fr_cond_wait_for(&engine->work, &engine->mu, QUIET_US);
        else
            fr_cond_wait(&engine->work, &engine->mu);
        engine->compaction_rests = false;
    }
    fr_mutex_unlock(&engine->mu);
}

static bool is_idle_locked(const struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    return engine->sealed_count == 0 && !engine->flushing && engine->compacting == 0 &&
           engine->compaction_rests;
}

/*
 * Until nothing is left to do, or more than so many arrivals have brought more of it: as long as
 * nothing arrives, the work comes to an end. What is deferred is due meanwhile.
 */
static fr_status await_rest(struct fr_engine *engine, uint64_t arrivals)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&engine->mu);
    engine->idle_waiters++;
    fr_cond_broadcast(&engine->work);
    engine->compaction_rests = false;
    uint64_t flushes = fr_engine_kick_locked(engine, &engine->flush_trouble, engine->flushing);
    uint64_t compactions =
            fr_engine_kick_locked(engine, &engine->compact_trouble, engine->compacting > 0);
    for (;;) {
        st = fr_engine_trouble_locked(engine, &engine->flush_trouble, flushes);
        if (st == FR_OK)
            st = fr_engine_trouble_locked(engine, &engine->compact_trouble, compactions);
        if (st < 0 || is_idle_locked(engine) || engine->arrivals > arrivals) break;
        fr_cond_wait(&engine->progress, &engine->mu);
    }
    engine->idle_waiters--;
    fr_mutex_unlock(&engine->mu);
    /* The flush thread may sleep, and who waited wants to see the space that is free now. */
    fr_engine_remove_obsolete(engine);
    return st;
}

fr_status fr_engine_wait_idle(struct fr_engine *engine)
{
    if (engine->log == NULL) return FR_OK; /* open for reading only: nobody works */
    return await_rest(engine, UINT64_MAX);
}

/* ---- Ranges that somebody asks for ---- */

/* What is asked for: one level's tables in a range, or what lies about. */
struct wish {
    enum { WISH_COVERED, WISH_LEVEL, WISH_GARBAGE } kind;
    unsigned level;
    fr_slice start, end;
    uint64_t files_end; /* garbage: in value files with numbers below */
};

/* As when writers rest; but newer files may be garbage as fast as they are emptied. */
static fr_status choose_garbage_locked(struct fr_engine *engine, const struct wish *wish,
        struct job *job) FR_REQUIRES(engine->mu)
{
    const struct fr_version *version = engine->view->version;

    fr_garbage_choose_before(version, &engine->options.picker, true, wish->files_end,
            &job->victims);
    fr_status st = fr_garbage_pick(version, &job->victims, &job->pick);
    if (st != FR_NOT_FOUND || !fr_garbage_is_held(version, &job->victims)) return st;
    return FR_ERR_BUSY; /* whoever has the table moves places, and may leave the values */
}

static fr_status choose_locked(struct fr_engine *engine, const struct wish *wish, struct job *job)
        FR_REQUIRES(engine->mu)
{
    if (engine->background_error.status != FR_OK)
        return fr_error_restore(&engine->background_error);
    if (engine->placing) return FR_ERR_BUSY;
    if (wish->kind == WISH_COVERED) return choose_covered_locked(engine, job);
    if (wish->kind == WISH_GARBAGE) return choose_garbage_locked(engine, wish, job);
    return fr_picker_pick_range(engine->view->version, &engine->options.picker, wish->level,
            wish->start, wish->end, &job->pick);
}

/*
 * Wait until nobody has the tables of the job, then take it. Those who ask are served in the order
 * in which they came; the compaction thread comes after all of them.
 */
static fr_status take_turn_locked(struct fr_engine *engine, const struct wish *wish,
        struct job *job) FR_REQUIRES(engine->mu)
{
    uint64_t mine = engine->turns_asked++;
    fr_status st = FR_ERR_BUSY;

    while (st == FR_ERR_BUSY) {
        if (engine->turns_given == mine) st = choose_locked(engine, wish, job);
        if (st == FR_ERR_BUSY) fr_cond_wait(&engine->progress, &engine->mu);
    }
    if (st == FR_OK) st = take_job_locked(engine, job);
    engine->turns_given++;
    fr_cond_broadcast(&engine->progress);
    fr_cond_broadcast(&engine->work);
    return st;
}

/* FR_NOT_FOUND: there is nothing of that kind to do. */
static fr_status fulfil(struct fr_engine *engine, const struct wish *wish)
{
    struct job job = {0};

    fr_mutex_lock(&engine->mu);
    fr_status st = take_turn_locked(engine, wish, &job);
    if (st == FR_OK)
        st = run_job_locked(engine, &job);
    else
        deinit_job(&job);
    fr_mutex_unlock(&engine->mu);
    return st;
}

/* All that there is of a kind, but no more rounds than that: there may always be something new. */
static fr_status fulfil_while(struct fr_engine *engine, const struct wish *wish, size_t rounds)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < rounds && st == FR_OK; i++)
        st = fulfil(engine, wish);
    return st < 0 ? st : FR_OK;
}

/* A job for each level, and more for what does not fit into one. */
static size_t covered_rounds(struct fr_engine *engine)
{
    struct fr_view *view = fr_engine_view(engine);
    size_t rounds = FR_LEVEL_COUNT;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        rounds += view->version->levels[level].count / FR_COVERED_MOST;
    fr_view_unref(view);
    return rounds;
}

/* What need not be read, then tables level by level, then the value files that there were. */
static fr_status fulfil_all(struct fr_engine *engine, fr_slice start, fr_slice end)
{
    struct wish wish = {.kind = WISH_COVERED, .start = start, .end = end};
    fr_status st;

    wish.files_end = fr_engine_next_number(engine);
    FR_TRY(fulfil_while(engine, &wish, covered_rounds(engine)));
    wish.kind = WISH_LEVEL;
    for (wish.level = 0; wish.level < FR_LEVEL_COUNT - 1; wish.level++)
        FR_TRY(fulfil(engine, &wish));
    wish.kind = WISH_GARBAGE;
    /* Each makes fewer tables point to these files. */
    st = fulfil_while(engine, &wish, SIZE_MAX);
out:
    return st < 0 ? st : FR_OK;
}

fr_status fr_engine_compact_range(struct fr_engine *engine, fr_slice start, fr_slice end)
{
    fr_status st;

    FR_TRY(fr_engine_flush(engine));
    fr_mutex_lock(&engine->mu);
    uint64_t arrivals = engine->arrivals;
    fr_mutex_unlock(&engine->mu);
    FR_TRY(fulfil_all(engine, start, end));
    st = await_rest(engine, arrivals);
out:
    return st;
}
