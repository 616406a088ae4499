/*
 * engine_job.c - what is told and counted of jobs, files, stalls and failures: for the hooks and
 * for the statistics.
 *
 * A job stays on its thread from begin to end, so its record is the thread's, and whoever makes a
 * file on the way needs not be told for which job.
 */
#include "base/alloc.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/events.h"

static _Thread_local struct {
    struct fr_event_job record;
    uint64_t start_us;
    bool is_flush;
    uint64_t *inputs;
} job;

static void begin(struct fr_engine *engine, struct fr_event_job record, bool is_flush,
        uint64_t *inputs)
{
    job.record = record;
    job.record.job = atomic_fetch_add_explicit(&engine->next_job, 1, memory_order_relaxed) + 1;
    job.record.inputs = job.inputs = inputs;
    job.start_us = fr_env_now_us(engine->env);
    job.is_flush = is_flush;
    fr_events_job(engine->events, is_flush ? FR_EVENTS_FLUSH_BEGIN : FR_EVENTS_COMPACTION_BEGIN,
            &job.record);
}

void fr_engine_begin_flush(struct fr_engine *engine, const struct fr_memtable *memtable)
{
    struct fr_memtable_stats stats;

    fr_memtable_stats_get(memtable, &stats);
    begin(engine,
            (struct fr_event_job){
                    .reason = "flush", .input_count = 1, .input_bytes = stats.used_bytes},
            true, NULL);
}

static const char *reason_name(enum fr_pick_reason reason)
{
    switch (reason) {
    case FR_PICK_LEVEL0:
        return "level0";
    case FR_PICK_SIZE:
        return "size";
    case FR_PICK_DENSITY:
        return "density";
    case FR_PICK_RANGE:
        return "range";
    case FR_PICK_GARBAGE:
        return "garbage";
    case FR_PICK_COVERED:
        return "covered";
    }
    return "other";
}

static void add_inputs(struct fr_event_job *record, uint64_t *numbers,
        struct fr_version_table *const *tables, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (numbers != NULL) numbers[record->input_count] = tables[i]->meta.number;
        record->input_count++;
        record->input_bytes += tables[i]->meta.size;
    }
}

void fr_engine_begin_compaction(struct fr_engine *engine, const struct fr_pick *pick)
{
    struct fr_event_job record = {.reason = reason_name(pick->reason),
            .level = pick->level,
            .output_level = pick->output_level};
    uint64_t *numbers = NULL;

    /* Without memory for them the hook gets no numbers, but all the rest. */
    if (engine->events != NULL)
        numbers = fr_alloc_zeroed(pick->input_count + pick->overlap_count, sizeof(*numbers));
    add_inputs(&record, numbers, pick->inputs, pick->input_count);
    add_inputs(&record, numbers, pick->overlaps, pick->overlap_count);
    begin(engine, record, false, numbers);
}

void fr_engine_file_written(struct fr_engine *engine, enum fr_file_kind kind, uint64_t number,
        uint64_t bytes, unsigned level)
{
    struct fr_event_file file = {
            .kind = kind == FR_FILE_TABLE ? FR_EVENT_FILE_TABLE : FR_EVENT_FILE_VALUES,
            .number = number,
            .job = job.record.job,
            .bytes = bytes,
            .level = level};

    job.record.output_count++;
    job.record.output_bytes += bytes;
    fr_events_file(engine->events, true, &file);
}

void fr_engine_file_removed(struct fr_engine *engine, enum fr_file_kind kind, uint64_t number)
{
    struct fr_event_file file = {
            .kind = kind == FR_FILE_TABLE ? FR_EVENT_FILE_TABLE : FR_EVENT_FILE_VALUES,
            .number = number};

    fr_events_file(engine->events, false, &file);
}

static void count_job(struct fr_engine *engine)
{
    const struct fr_event_job *record = &job.record;

    fr_mutex_lock(&engine->mu);
    struct fr_engine_stats *stats = &engine->stats;
    if (record->moved) stats->move_count++;
    if (record->status == FR_OK && !record->moved && strcmp(record->reason, "garbage") == 0) {
        stats->garbage_count++;
        stats->garbage_read_bytes += record->input_bytes;
        stats->garbage_write_bytes += record->output_bytes;
    }
    fr_mutex_unlock(&engine->mu);
    fr_engine_record(engine, job.is_flush ? FR_TIMED_FLUSH : FR_TIMED_COMPACTION,
            record->duration_us * 1000);
}

void fr_engine_end_job(struct fr_engine *engine, bool moved, fr_status st)
{
    job.record.moved = moved;
    job.record.status = st;
    job.record.duration_us = fr_env_now_us(engine->env) - job.start_us;
    count_job(engine);
    fr_events_job(engine->events, job.is_flush ? FR_EVENTS_FLUSH_END : FR_EVENTS_COMPACTION_END,
            &job.record);
    fr_free(job.inputs);
    job.inputs = NULL;
    job.record = (struct fr_event_job){0};
}

void fr_engine_stall_locked(struct fr_engine *engine, enum fr_event_stall_reason reason)
{
    uint64_t now_us = fr_env_now_us(engine->env);
    struct fr_event_stall stall = {.before = engine->stall, .now = reason};

    if (reason == engine->stall) return;
    if (engine->stall != FR_STALL_NONE) {
        stall.duration_us = now_us - engine->stall_start_us;
        engine->stats.stall_us_by[engine->stall] += stall.duration_us;
    }
    if (reason != FR_STALL_NONE) engine->stats.stall_count_by[reason]++;
    engine->stall = reason;
    engine->stall_start_us = now_us;
    fr_events_stall(engine->events, &stall);
}

void fr_engine_tell_failure(struct fr_engine *engine, const struct fr_error *error)
{
    struct fr_event_error event = {
            .status = error->status, .os_error = error->os_error, .text = error->text};

    fr_events_error(engine->events, &event);
}

fr_status fr_engine_sync_log(struct fr_engine *engine, fr_lsn *ret_durable)
{
    uint64_t start_us = fr_env_now_us(engine->env);
    fr_status st = fr_wal_writer_sync(engine->log, ret_durable);
    uint64_t duration_us = fr_env_now_us(engine->env) - start_us;

    fr_engine_record(engine, FR_TIMED_SYNC, duration_us * 1000);
    fr_events_sync(engine->events, duration_us);
    return st;
}
