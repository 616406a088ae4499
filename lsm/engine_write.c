/*
 * engine_write.c - the commit queue.
 *
 * Writers line up. The first one leads: it takes those behind it along, up to a bound, gives them
 * sequence numbers in their order, appends their batches to the log, syncs once if one of them
 * asked for that, inserts all into the memtable, publishes the last sequence number, and wakes
 * them. Without company a writer leads itself and waits for nobody.
 *
 *     reserve in the memtable -> append to the log -> sync -> insert -> publish
 *
 * Memory is reserved before the log is touched: what is in the log must get into the memtable. A
 * failed append that the log has survived fails that writer alone; a failed sync ends all writing.
 *
 * Before all that the group is held until the pace allows its bytes, and what the disk has no space
 * for is refused (lsm/engine_pressure.c).
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/museum.h"
#include "io/env.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"

/* The most that a leader takes along: latency for company. */
#define GROUP_BYTES_MAX ((size_t)1 << 20)
#define GROUP_COUNT_MAX 64

fr_status fr_engine_seal_locked(struct fr_engine *engine)
{
    struct fr_memtable *fresh, *full = engine->active;
    fr_status st;

    FR_ASSERT(engine->sealed_count < FR_SEALED_MAX);
    FR_TRY(fr_memtable_new(engine->live.memtable_size, engine->pool, &fresh));
    engine->sealed[engine->sealed_count++] =
            (struct fr_sealed){.memtable = full, .log_end = fr_wal_writer_end(engine->log)};
    engine->active = fresh;
    engine->sealed_us = fr_env_now_us(engine->env);
    engine->arrivals++;
    st = fr_engine_publish_view_locked(engine, engine->view->version);
    if (st < 0) {
        engine->active = full;
        engine->sealed_count--;
        fr_memtable_unref(fresh);
    }
    fr_cond_broadcast(&engine->work);
out:
    return st;
}

/* Those at the head of the line that go together; answers what they need in the memtable. */
static struct fr_writer *gather_locked(struct fr_engine *engine, size_t *ret_bytes,
        size_t *ret_count) FR_REQUIRES(engine->mu)
{
    struct fr_writer *last = NULL;
    size_t bytes = 0, count = 0, writers = 0;

    for (struct fr_writer *w = engine->writers_first; w != NULL && !w->seal; w = w->next) {
        if (last != NULL && (bytes + w->batch.size > GROUP_BYTES_MAX || writers == GROUP_COUNT_MAX))
            break;
        bytes += w->batch.size;
        count += w->count;
        writers++;
        last = w;
    }
    *ret_bytes = bytes;
    *ret_count = count;
    return last;
}

/* Reserve in the active memtable, or in a new one. */
static fr_status reserve(struct fr_engine *engine, size_t bytes, size_t count,
        struct fr_memtable **ret_memtable)
{
    struct fr_memtable *memtable = engine->active;
    fr_status st = fr_memtable_reserve(memtable, bytes, count);

    if (st == FR_OK && fr_engine_seals_early(engine, memtable)) st = FR_ERR_FULL;
    if (st == FR_ERR_FULL) {
        fr_mutex_lock(&engine->mu);
        st = fr_engine_make_room_locked(engine);
        if (st == FR_OK) st = fr_engine_seal_locked(engine);
        fr_mutex_unlock(&engine->mu);
        if (st < 0) return st;
        memtable = engine->active;
        st = fr_memtable_reserve(memtable, bytes, count);
    }
    if (st == FR_OK) *ret_memtable = memtable;
    return st;
}

static void set_status(struct fr_writer *w, fr_status status)
{
    w->status = status;
    if (status < 0) fr_error_save(&w->error);
}

/* Refuse those for which there is no space on the disk; whether any is left. */
static bool admit_group(struct fr_engine *engine, struct fr_writer *last, size_t *bytes,
        size_t *count)
{
    if (FR_LIKELY(fr_engine_has_space(engine, *bytes))) return true;
    *bytes = *count = 0;
    for (struct fr_writer *w = engine->writers_first;; w = w->next) {
        set_status(w, fr_engine_admit(engine, w->batch));
        if (w->status == FR_OK) {
            *bytes += w->batch.size;
            *count += w->count;
        }
        if (w == last) return *count > 0;
    }
}

/* Append each batch that was admitted; the sequence numbers of one that fails are not given to
 * another. */
static fr_seq append_group(struct fr_engine *engine, struct fr_writer *last, fr_seq seq,
        bool *ret_sync, uint64_t *ret_log_bytes)
{
    for (struct fr_writer *w = engine->writers_first;; w = w->next) {
        enum fr_wal_class class = w->durability == FR_DURABLE_NONE ? FR_WAL_NONE : FR_WAL_OS;
        fr_lsn end;

        if (w->status == FR_OK) {
            set_status(w, fr_wal_writer_append(engine->log, &w->batch, 1, seq, class, &end));
            if (w->status < 0) fr_engine_note_failure(engine);
        }
        if (w->status == FR_OK) {
            seq += w->count;
            *ret_log_bytes += w->batch.size;
            *ret_sync |= w->durability == FR_DURABLE_DEVICE;
        }
        if (w == last) return seq;
    }
}

static void insert_group(struct fr_engine *engine, struct fr_writer *last,
        struct fr_memtable *memtable, fr_seq seq)
{
    for (struct fr_writer *w = engine->writers_first;; w = w->next) {
        if (w->status == FR_OK) {
            fr_status st = fr_memtable_insert_batch(memtable, w->batch, seq);
            FR_ASSERT(st == FR_OK); /* reserved, and made by our own builder */
            seq += w->count;
        }
        if (w == last) return;
    }
}

static void fail_group(struct fr_engine *engine, struct fr_writer *last, fr_status status)
{
    for (struct fr_writer *w = engine->writers_first;; w = w->next) {
        if (w->status == FR_OK) set_status(w, status);
        if (w == last) return;
    }
}

/* Everything between taking the lead and waking the others; without the lock. */
static void commit_group(struct fr_engine *engine, struct fr_writer *last, size_t bytes,
        size_t count)
{
    fr_seq first = atomic_load_explicit(&engine->last_seq, memory_order_relaxed) + 1, end;
    struct fr_memtable *memtable = NULL;
    uint64_t log_bytes = 0;
    bool sync = false;
    fr_lsn durable;
    fr_status st;

    if (!admit_group(engine, last, &bytes, &count)) return;
    st = reserve(engine, bytes, count, &memtable);
    if (st < 0) {
        fail_group(engine, last, st);
        return;
    }
    end = append_group(engine, last, first, &sync, &log_bytes);
    if (sync) st = fr_engine_sync_log(engine, &durable);
    if (st < 0) {
        fail_group(engine, last, st);
        fr_mutex_lock(&engine->mu);
        fr_engine_fail_locked(engine);
        fr_mutex_unlock(&engine->mu);
        return;
    }
    insert_group(engine, last, memtable, first);
    atomic_store_explicit(&engine->last_seq, end - 1, memory_order_release);
}

/* Take the group off the line, wake its members and the next leader. */
static void finish_group_locked(struct fr_engine *engine, struct fr_writer *last)
        FR_REQUIRES(engine->mu)
{
    struct fr_writer *w = engine->writers_first, *after = last->next;

    engine->writers_first = after;
    if (after == NULL) engine->writers_end = &engine->writers_first;
    while (w != after) {
        struct fr_writer *next = w->next;
        if (w->status == FR_OK) engine->stats.batch_bytes += w->batch.size;
        w->done = true;
        if (w->waiting) fr_cond_signal(&w->cond);
        w = next;
    }
    if (after != NULL && after->waiting) fr_cond_signal(&after->cond);
}

/* Until this writer, who is neither, is done or the first in line. */
static void wait_turn_locked(struct fr_engine *engine, struct fr_writer *me) FR_REQUIRES(engine->mu)
{
    fr_cond_init(&me->cond);
    me->waiting = true;
    while (!me->done && engine->writers_first != me)
        fr_cond_wait(&me->cond, &engine->mu);
    me->waiting = false;
}

static fr_status take_turn_locked(struct fr_engine *engine, struct fr_writer *me)
        FR_REQUIRES(engine->mu)
{
    if (me->turn == NULL) return fr_engine_seal_locked(engine);
    fr_mutex_unlock(&engine->mu);
    fr_status st = me->turn(me->turn_ctx);
    fr_mutex_lock(&engine->mu);
    return st;
}

static fr_status line_up_locked(struct fr_engine *engine, struct fr_writer *me)
        FR_REQUIRES(engine->mu)
{
    fr_status st = fr_engine_check_writable_locked(engine);

    if (st < 0) return st;
    *engine->writers_end = me;
    engine->writers_end = &me->next;
    return FR_OK;
}

/* Do what is to be done when it is this writer's turn, if nobody took it along. */
static void commit_locked(struct fr_engine *engine, struct fr_writer *me) FR_REQUIRES(engine->mu)
{
    bool waited = !me->done && engine->writers_first != me;
    size_t bytes, operations;

    if (waited) wait_turn_locked(engine, me);
    if (!me->done && me->seal) {
        fr_status st = fr_engine_make_room_locked(engine);
        if (st == FR_OK) st = take_turn_locked(engine, me);
        set_status(me, st);
        finish_group_locked(engine, me);
    } else if (!me->done) {
        struct fr_writer *last = gather_locked(engine, &bytes, &operations);
        fr_engine_pace_locked(engine, bytes);
        fr_mutex_unlock(&engine->mu);
        commit_group(engine, last, bytes, operations);
        fr_mutex_lock(&engine->mu);
        finish_group_locked(engine, last);
    }
    if (waited) fr_cond_deinit(&me->cond);
}

static fr_status answer(const struct fr_writer *me)
{
    return me->status < 0 ? fr_error_restore(&me->error) : FR_OK;
}

fr_status fr_engine_line_up(struct fr_engine *engine, struct fr_writer *writer)
{
    fr_mutex_lock(&engine->mu);
    fr_status st = line_up_locked(engine, writer);
    fr_mutex_unlock(&engine->mu);
    return st;
}

fr_status fr_engine_commit(struct fr_engine *engine, struct fr_writer *writer)
{
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_MEMTABLES);

    fr_mutex_lock(&engine->mu);
    commit_locked(engine, writer);
    fr_mutex_unlock(&engine->mu);
    fr_engine_work_done(before);
    return answer(writer);
}

static fr_status run_writer(struct fr_engine *engine, struct fr_writer *me)
{
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_MEMTABLES);

    fr_mutex_lock(&engine->mu);
    fr_status st = line_up_locked(engine, me);
    if (st == FR_OK) commit_locked(engine, me);
    fr_mutex_unlock(&engine->mu);
    fr_engine_work_done(before);
    return st < 0 ? st : answer(me);
}

static fr_status write_part(struct fr_engine *engine, struct fr_batch_reader *reader,
        uint32_t count, enum fr_durability durability)
{
    struct fr_batch part = FR_BATCH_EMPTY;
    struct fr_writer me = {.count = count, .durability = durability};
    struct fr_entry entry;
    fr_status st;

    for (uint32_t i = 0; i < count; i++) {
        FR_TRY(fr_batch_read_next(reader, &entry));
        FR_TRY(entry.kind == FR_KIND_DELETE ? fr_batch_add_delete(&part, entry.key)
                : entry.kind == FR_KIND_DELETE_RANGE
                        ? fr_batch_add_delete_range(&part, entry.key, entry.value)
                : entry.kind == FR_KIND_APPEND ? fr_batch_add_append(&part, entry.key, entry.value)
                                               : fr_batch_add_put(&part, entry.key, entry.value));
    }
    FR_TRY(fr_batch_finish(&part, &me.batch));
    st = run_writer(engine, &me);
out:
    fr_batch_deinit(&part);
    return st;
}

/* museum 35: a batch split in two */
static fr_status write_in_two(struct fr_engine *engine, fr_slice batch, uint32_t count,
        enum fr_durability durability)
{
    struct fr_batch_reader reader;
    fr_status st;

    FR_TRY(fr_batch_read(batch, 1, false, &reader));
    FR_TRY(write_part(engine, &reader, count / 2, durability));
    st = write_part(engine, &reader, count - count / 2, durability);
out:
    return st;
}

fr_status fr_engine_write(struct fr_engine *engine, fr_slice batch, uint32_t count,
        enum fr_durability durability)
{
    struct fr_writer me = {.batch = batch, .count = count, .durability = durability};

    if (FR_MUSEUM(35) && count > 1) return write_in_two(engine, batch, count, durability);
    return count == 0 ? FR_OK : run_writer(engine, &me);
}

fr_status fr_engine_seal(struct fr_engine *engine)
{
    struct fr_writer me = {.seal = true};

    return run_writer(engine, &me);
}

fr_status fr_engine_take_turn(struct fr_engine *engine, fr_status (*turn)(void *ctx), void *ctx)
{
    struct fr_writer me = {.seal = true, .turn = turn, .turn_ctx = ctx};

    return run_writer(engine, &me);
}

fr_status fr_engine_sync(struct fr_engine *engine)
{
    fr_lsn durable;

    fr_mutex_lock(&engine->mu);
    fr_status st = fr_engine_check_writable_locked(engine);
    fr_mutex_unlock(&engine->mu);
    if (st < 0) return st;
    st = fr_engine_sync_log(engine, &durable);
    if (st < 0) {
        fr_mutex_lock(&engine->mu);
        fr_engine_fail_locked(engine);
        fr_mutex_unlock(&engine->mu);
    }
    return st;
}

uint64_t fr_engine_now_us(const struct fr_engine *engine)
{
    return fr_env_now_us(engine->env);
}

uint64_t fr_engine_now_ns(const struct fr_engine *engine)
{
    return fr_env_now_ns(engine->env);
}

fr_seq fr_engine_last_seq(const struct fr_engine *engine)
{
    return atomic_load_explicit(&engine->last_seq, memory_order_acquire);
}

fr_status fr_engine_snapshot_take(struct fr_engine *engine, fr_seq *ret_seq)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&engine->mu);
    fr_seq seq = fr_engine_last_seq(engine);
    size_t count = engine->snapshot_count;
    if (count > 0 && engine->snapshots[count - 1].seq == seq) {
        engine->snapshots[count - 1].count++;
    } else {
        struct fr_snapshot_entry *moved =
                fr_realloc(engine->snapshots, (count + 1) * sizeof(*moved));
        if (moved == NULL) {
            st = FR_FAIL(FR_ERR_NOMEM, "no memory for a snapshot");
        } else {
            moved[count] = (struct fr_snapshot_entry){.seq = seq, .count = 1};
            engine->snapshots = moved;
            engine->snapshot_count++;
        }
    }
    fr_mutex_unlock(&engine->mu);
    if (st == FR_OK) *ret_seq = seq;
    return st;
}

void fr_engine_snapshot_release(struct fr_engine *engine, fr_seq seq)
{
    size_t i = 0;

    fr_mutex_lock(&engine->mu);
    while (i < engine->snapshot_count && engine->snapshots[i].seq != seq)
        i++;
    FR_ASSERT(i < engine->snapshot_count);
    if (--engine->snapshots[i].count == 0) {
        engine->snapshot_count--;
        memmove(&engine->snapshots[i], &engine->snapshots[i + 1],
                (engine->snapshot_count - i) * sizeof(engine->snapshots[0]));
        if (engine->snapshots_keep) fr_cond_broadcast(&engine->work);
    }
    fr_mutex_unlock(&engine->mu);
}

fr_status fr_engine_copy_snapshots_locked(struct fr_engine *engine, fr_seq **ret_snapshots,
        size_t *ret_count)
{
    fr_seq *snapshots = fr_alloc_zeroed(engine->snapshot_count + 1, sizeof(*snapshots));

    if (snapshots == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the list of snapshots");
    for (size_t i = 0; i < engine->snapshot_count; i++)
        snapshots[i] = engine->snapshots[i].seq;
    *ret_snapshots = snapshots;
    *ret_count = engine->snapshot_count;
    return FR_OK;
}
