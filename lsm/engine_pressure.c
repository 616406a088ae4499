/*
 * engine_pressure.c - what holds writers: their pace, and the space on the disk.
 *
 * The pace is lsm/pace.h's; here it gets its figures, and its waiting is done. The leading writer
 * waits for its whole group, after it has gathered it and without the lock. Those that come
 * meanwhile line up behind it and go together next time, so each waits in proportion to what the
 * group writes, and nobody twice. Most waits are a few microseconds; they are spun away where
 * there is more than one processor, because the shortest sleep takes ten times as long. Longer ones
 * are slept in pieces, and the rate is looked at anew after each.
 *
 * Space: a store must not take what it cannot put into tables later, and a full one must be able to
 * delete. So writes that need room are refused with FR_ERR_NOSPACE while
 *
 *     free on the disk < what memtables hold, and an eighth + the next segments + the reserve
 *
 * and batches of nothing but deletes are taken until the disk itself refuses: the reserve is for
 * them, for the flush behind them, and for the compaction that makes them count. The alternative is
 * a file of that size that is given up in need. That would be a promise also against other users of
 * the disk, but it takes the space from everybody at all times, is one more file for every tool to
 * know, has to be got again just when space is short, and on file systems that copy on write or
 * count by quota it promises nothing. What is asked of the file system costs a microsecond for some
 * megabytes of writes, more often when space is short; and where others fill the disk all the
 * same, a refused flush is a passing failure (lsm/engine_trouble.c) that loses nothing.
 *
 * The reserve is cut to a sixteenth of the file system, so that small disks can be used.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/log.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/events.h"

/* A wait is cut into such pieces. */
#define SLEEP_US_MAX 1000

/* While writes are refused the file system is asked so often. */
#define SPACE_LOOK_US 5000

/* Accepted bytes between two looks. */
#define SPACE_STEP_MIN ((uint64_t)16 << 10)
#define SPACE_STEP_MAX ((uint64_t)8 << 20)

/* The manifest's next segment, and small things. */
#define SPACE_MARGIN ((uint64_t)2 << 20)

/* --- Pace --------------------------------------------------------------------------------------
 */

static void add_values_debt(const struct fr_engine *engine, const struct fr_version *version,
        struct fr_pace_debt *debt)
{
    uint64_t live = 0;

    for (size_t i = 0; i < version->values_count; i++) {
        uint64_t all = version->values[i]->meta.value_bytes;
        live += version->values_live[i];
        debt->garbage_bytes += all - FR_MIN(all, version->values_live[i]);
    }
    debt->garbage_soft = live + 16 * engine->options.picker.base_bytes;
}

void fr_engine_assess_locked(struct fr_engine *engine)
{
    const struct fr_version *version = engine->view->version;
    struct fr_pace_debt debt = {.memtable_size = engine->live.memtable_size,
            .memtables_max = engine->options.sealed_max + 1,
            .sealed_count = (unsigned)engine->sealed_count,
            .flushing_bytes = engine->debt.flushing_bytes,
            .flush_start_us = engine->debt.flush_start_us,
            .level0_tables = version->levels[0].count,
            .level0_trigger = engine->options.picker.level0_trigger,
            .compaction_bytes = fr_picker_debt(version, &engine->options.picker)};

    debt.compaction_soft = 8 * engine->options.picker.base_bytes;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        debt.compaction_soft += version->levels[level].file_bytes / 2;
    add_values_debt(engine, version, &debt);
    engine->debt = debt;
    /* Not at once when pressure is gone for a moment, or the state would flicker. */
    if (4 * debt.sealed_count <= debt.memtables_max && !fr_pace_is_due(&debt))
        fr_engine_stall_locked(engine, FR_STALL_NONE);
}

double fr_engine_rate_locked(struct fr_engine *engine, uint64_t now_us)
{
    struct fr_memtable_stats active;

    if (!fr_pace_is_due(&engine->debt)) return FR_PACE_FREE;
    fr_memtable_stats_get(engine->active, &active);
    return fr_pace_rate(&engine->speeds, &engine->debt, active.used_bytes, now_us);
}

static void pause_us(struct fr_engine *engine, uint64_t now_us, uint64_t wait_us)
{
    if (wait_us > engine->spin_us_max) {
        fr_env_sleep_us(engine->env, FR_MIN(wait_us, (uint64_t)SLEEP_US_MAX));
        return;
    }
    while (fr_env_now_us(engine->env) < now_us + wait_us)
        fr_thread_pause();
}

/* One look at the bucket: 0 to go on, or how long to wait before the next. */
static uint64_t look_locked(struct fr_engine *engine, size_t bytes, uint64_t now_us)
        FR_REQUIRES(engine->mu)
{
    double rate = fr_engine_rate_locked(engine, now_us);

    fr_pace_fill(&engine->bucket, rate, now_us);
    engine->bucket.bytes -= (double)bytes;
    return fr_pace_wait_us(&engine->bucket, rate);
}

void fr_engine_pace_locked(struct fr_engine *engine, size_t bytes)
{
    if (FR_LIKELY(!fr_pace_is_due(&engine->debt))) {
        engine->bucket = (struct fr_pace_bucket){0};
        return;
    }
    uint64_t start_us = fr_env_now_us(engine->env), now_us = start_us;
    uint64_t wait_us = look_locked(engine, bytes, now_us);
    while (wait_us > 0 && !engine->closing && engine->background_error.status == FR_OK) {
        fr_engine_stall_locked(engine, FR_STALL_PACE);
        fr_mutex_unlock(&engine->mu);
        pause_us(engine, now_us, wait_us);
        now_us = fr_env_now_us(engine->env);
        fr_mutex_lock(&engine->mu);
        wait_us = look_locked(engine, 0, now_us);
    }
    if (now_us > start_us) engine->stats.stall_us += now_us - start_us;
}

/* Why nothing can be taken although writers might wait: nobody makes room any more. */
static fr_status no_room_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    const struct fr_error *why = &engine->flush_trouble.error;

    engine->stats.refused_count++;
    return fr_error_set(why->status, why->os_error, __FILE__, __LINE__,
            "%s: no room for more: %zu memtables of %zu bytes wait for a flush that fails: %.300s",
            fr_dir_path(engine->dir), engine->sealed_count, engine->live.memtable_size, why->text);
}

fr_status fr_engine_make_room_locked(struct fr_engine *engine)
{
    uint64_t start_us = 0;
    fr_status st;

    while ((st = fr_engine_check_writable_locked(engine)) == FR_OK &&
            engine->sealed_count >= engine->options.sealed_max) {
        if (engine->flush_trouble.error.status != FR_OK) {
            st = no_room_locked(engine);
            break;
        }
        if (start_us == 0) start_us = fr_env_now_us(engine->env);
        fr_engine_stall_locked(engine, FR_STALL_MEMTABLES);
        fr_cond_wait(&engine->progress, &engine->mu);
    }
    if (start_us == 0) return st;
    uint64_t stopped_us = fr_env_now_us(engine->env) - start_us;
    engine->stats.stall_us += stopped_us;
    engine->stats.stop_us += stopped_us;
    engine->stats.stop_count++;
    if (st == FR_OK) fr_engine_stall_locked(engine, FR_STALL_PACE);
    return st;
}

void fr_engine_set_background_rate(struct fr_engine *engine, uint64_t bytes_per_second)
{
    fr_rate_limiter_set(&engine->limiter, bytes_per_second);
}

/* --- Space -------------------------------------------------------------------------------------
 */

/* Deletes alone make no claim that outlasts them. */
static bool is_delete_only(fr_slice batch)
{
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st = fr_batch_read(batch, 1, false, &reader);

    while (st == FR_OK && (st = fr_batch_read_next(&reader, &entry)) == FR_OK)
        if (entry.kind != FR_KIND_DELETE && entry.kind != FR_KIND_DELETE_RANGE) return false;
    return st == FR_END;
}

static uint64_t pending_bytes_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    struct fr_memtable_stats stats;
    uint64_t bytes;

    fr_memtable_stats_get(engine->active, &stats);
    bytes = stats.entry_count + stats.range_count > 0 ? stats.used_bytes : 0;
    for (size_t i = 0; i < engine->sealed_count; i++) {
        fr_memtable_stats_get(engine->sealed[i].memtable, &stats);
        bytes += stats.used_bytes;
    }
    return bytes;
}

/* Ask the file system. An answer that cannot be had is no reason to refuse anything. */
static void measure_space(struct fr_engine *engine, uint64_t reserve)
{
    struct fr_space *space = &engine->space;
    uint64_t free_bytes, total_bytes;

    *space = (struct fr_space){.step = SPACE_STEP_MAX, .reserve = reserve};
    if (fr_dir_space(engine->dir, &free_bytes, &total_bytes) < 0) return;
    fr_mutex_lock(&engine->mu);
    uint64_t pending = pending_bytes_locked(engine);
    fr_mutex_unlock(&engine->mu);
    space->free_bytes = free_bytes;
    space->wanted_bytes =
            pending + pending / 8 +
            FR_MIN(engine->options.log_segment_size + SPACE_MARGIN, total_bytes / 16) +
            FR_MIN(reserve, total_bytes / 16);
    space->is_short = free_bytes < space->wanted_bytes;
    if (space->is_short) {
        space->next_look_us = fr_env_now_us(engine->env) + SPACE_LOOK_US;
    } else {
        uint64_t step = (free_bytes - space->wanted_bytes) / 4;
        step = FR_MAX(step, SPACE_STEP_MIN);
        space->step = FR_MIN(step, SPACE_STEP_MAX);
    }
}

/* That writes are refused, or not any more. Who writes finds out; nobody else is to ask. */
static void tell_space(struct fr_engine *engine, bool over)
{
    struct fr_space *space = &engine->space;
    struct fr_event_trouble event = {.kind = FR_TROUBLE_SPACE, .over = over};
    char text[200];

    event.status = FR_ERR_NOSPACE;
    event.text = space->wanted_bytes > 0 ? text : "how much is free cannot be told";
    event.duration_us = fr_env_now_us(engine->env) - space->since_us;
    (void)snprintf(text, sizeof(text),
            "%" PRIu64 " bytes are free, %" PRIu64 " are kept for flush, compaction and deletes",
            space->free_bytes, space->wanted_bytes);
    fr_events_trouble(engine->events, &event);
}

/* Without a reserve nothing is refused, so nothing has to be asked. */
static void look_at_space(struct fr_engine *engine, uint64_t reserve)
{
    struct fr_space *space = &engine->space;
    bool was_short = space->is_short;
    uint64_t since_us = was_short ? space->since_us : fr_env_now_us(engine->env);

    if (reserve > 0)
        measure_space(engine, reserve);
    else
        *space = (struct fr_space){.free_bytes = space->free_bytes};
    space->since_us = since_us;
    if (space->is_short != was_short) tell_space(engine, was_short);
}

bool fr_engine_has_space(struct fr_engine *engine, size_t bytes)
{
    uint64_t reserve = atomic_load_explicit(&engine->disk_reserve, memory_order_relaxed);
    struct fr_space *space = &engine->space;
    bool same = space->reserve == reserve;

    if (reserve == 0 && !space->is_short) return true;
    if (FR_LIKELY(same && !space->is_short && bytes < space->step)) {
        space->step -= bytes;
        return true;
    }
    if (!same || !space->is_short || fr_env_now_us(engine->env) >= space->next_look_us)
        look_at_space(engine, reserve);
    if (reserve == 0) return true;
    /* One write that is larger than a step is taken if there is room for all of it. */
    if (!space->is_short && bytes > space->step)
        return space->free_bytes - space->wanted_bytes > 2 * (uint64_t)bytes;
    space->step -= FR_MIN(space->step, (uint64_t)bytes);
    return !space->is_short;
}

fr_status fr_engine_admit(struct fr_engine *engine, fr_slice batch)
{
    const struct fr_space *space = &engine->space;

    if (is_delete_only(batch)) return FR_OK;
    fr_mutex_lock(&engine->mu);
    engine->stats.refused_count++;
    fr_mutex_unlock(&engine->mu);
    return FR_FAIL(FR_ERR_NOSPACE,
            "%s: the disk is full but for the reserve: %" PRIu64 " bytes are free, %" PRIu64
            " are kept for flush, compaction and deletes",
            fr_dir_path(engine->dir), space->free_bytes, space->wanted_bytes);
}
