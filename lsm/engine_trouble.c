/*
 * engine_trouble.c - which failures of flush and compaction pass, and what is done about each kind.
 *
 * A job that fails has written files that no manifest names, and has removed them; if it failed
 * while it changed the manifest, nobody knows what that holds, and a new one is begun from the
 * version in memory before anything else is done (lsm/engine_install.c). So after most failures all
 * is as before the job, and it can be tried again. Such a failure is passing:
 *
 *     the table below    the job is tried again, after 10 ms, then 20, up to a second
 *                        meanwhile reads go on, and writes as long as memtables have room; then
 *                        they are answered with the failure
 *                        the first job that succeeds ends it, without anybody's help
 *
 * That holds for a read or a write that the device refused, too: a job reads again, and writes to
 * new files, so nothing rests on what became of the attempt. Every other failure is final: a failed
 * sync, because nobody knows any more what is on the disk; damaged bytes. Writing has ended, each
 * write is answered with FR_ERR_POISONED and the reason, reads go on, and reopening the store finds
 * out what there is.
 *
 * What fails in the log is final, whatever the status is, once it may have touched the log: a
 * failed sync above all. A successor of a segment that cannot be made is not; the log stays whole,
 * that write is refused and the next may succeed.
 */
#include "base/alloc.h"
#include "base/log.h"
#include "base/museum.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/events.h"

#define BACKOFF_FIRST_US 10000
#define BACKOFF_LAST_US  1000000

/* What passes, unless it was a sync. */
static const fr_status passing[] = {
        FR_ERR_NOSPACE, /* ENOSPC, EDQUOT: until somebody makes room */
        FR_ERR_NOMEM,   /* until there is memory */
        FR_ERR_IO,   /* EMFILE, ENFILE, EFBIG: limits; EIO: a path to the device that comes back */
        FR_ERR_BUSY, /* nothing was done */
};

bool fr_failure_is_passing(const struct fr_error *error)
{
    if (error->of_sync && !FR_MUSEUM(13)) return false;
    for (size_t i = 0; i < FR_ARRAY_COUNT(passing); i++)
        if (passing[i] == error->status) return true;
    return false;
}

/* --- Events ------------------------------------------------------------------------------------
 */

static void on_failure_locked(struct fr_engine *engine, const struct fr_error *error, bool final)
        FR_REQUIRES(engine->mu)
{
    fr_log(final ? FR_LOG_ERROR : FR_LOG_WARN, "lsm", "%s: %s: %s", fr_dir_path(engine->dir),
            final ? "writing has ended" : "work in the background fails and is tried again",
            error->text);
}

/* A row of failures begins, or is over. */
static void tell_trouble_locked(struct fr_engine *engine, const struct fr_trouble *trouble,
        bool over) FR_REQUIRES(engine->mu)
{
    struct fr_event_trouble event = {
            .kind = trouble == &engine->flush_trouble ? FR_TROUBLE_FLUSH : FR_TROUBLE_COMPACTION,
            .over = over,
            .status = trouble->error.status,
            .os_error = trouble->error.os_error,
            .text = trouble->error.text,
            .failures = trouble->failures - trouble->failures_before,
            .duration_us = fr_env_now_us(engine->env) - trouble->since_us};

    fr_events_trouble(engine->events, &event);
}

static void on_recovery_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    fr_log(FR_LOG_INFO, "lsm", "%s: work in the background goes on", fr_dir_path(engine->dir));
}

/* --- Failing -----------------------------------------------------------------------------------
 */

void fr_engine_fail_locked(struct fr_engine *engine)
{
    if (engine->background_error.status == FR_OK) {
        fr_error_save(&engine->background_error);
        fr_engine_tell_failure(engine, &engine->background_error);
        on_failure_locked(engine, &engine->background_error, true);
    }
    fr_cond_broadcast(&engine->work);
    fr_cond_broadcast(&engine->progress);
    fr_cond_broadcast(&engine->retry);
}

void fr_engine_job_failed_locked(struct fr_engine *engine, struct fr_trouble *trouble)
{
    struct fr_error error;

    fr_error_save(&error);
    if (!fr_failure_is_passing(&error)) {
        fr_engine_fail_locked(engine);
        return;
    }
    bool first = trouble->error.status == FR_OK;
    if (first) {
        trouble->backoff_us = BACKOFF_FIRST_US;
        trouble->failures_before = trouble->failures;
        trouble->since_us = fr_env_now_us(engine->env);
        on_failure_locked(engine, &error, false);
    } else {
        trouble->backoff_us = FR_MIN(2 * trouble->backoff_us, (uint64_t)BACKOFF_LAST_US);
    }
    trouble->error = error;
    trouble->failures++;
    engine->stats.retry_count++;
    if (first) tell_trouble_locked(engine, trouble, false);
    fr_cond_broadcast(&engine->progress);
}

void fr_engine_job_done_locked(struct fr_engine *engine, struct fr_trouble *trouble)
{
    if (trouble->error.status == FR_OK) return;
    if (engine->background_error.status == FR_OK) tell_trouble_locked(engine, trouble, true);
    trouble->error.status = FR_OK;
    trouble->backoff_us = 0;
    if (engine->flush_trouble.error.status == FR_OK &&
            engine->compact_trouble.error.status == FR_OK &&
            engine->background_error.status == FR_OK)
        on_recovery_locked(engine);
    fr_cond_broadcast(&engine->progress);
}

fr_status fr_engine_check_writable_locked(struct fr_engine *engine)
{
    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    /* museum 12: writing resumed after the log has failed */
    if (FR_MUSEUM(12)) engine->background_error.status = FR_OK;
    if (engine->background_error.status == FR_OK) return FR_OK;
    return fr_error_set(FR_ERR_POISONED, engine->background_error.os_error, __FILE__, __LINE__,
            "writing has stopped: %.400s", engine->background_error.text);
}

fr_status fr_engine_check_writable(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    fr_status st = fr_engine_check_writable_locked(engine);
    fr_mutex_unlock(&engine->mu);
    return st < 0 ? st : fr_wal_writer_check(engine->log);
}

void fr_engine_note_failure(struct fr_engine *engine)
{
    struct fr_error error;

    fr_error_save(&error);
    if (!error.of_sync) return;
    fr_mutex_lock(&engine->mu);
    fr_engine_fail_locked(engine);
    fr_mutex_unlock(&engine->mu);
}

/* --- Trying again ------------------------------------------------------------------------------
 */

void fr_engine_await_retry_locked(struct fr_engine *engine, struct fr_trouble *trouble)
{
    if (trouble->error.status == FR_OK) return;
    while (!engine->closing && !trouble->kicked && engine->background_error.status == FR_OK &&
            fr_cond_wait_for(&engine->retry, &engine->mu, trouble->backoff_us))
        continue;
    trouble->kicked = false;
}

uint64_t fr_engine_kick_locked(struct fr_engine *engine, struct fr_trouble *trouble, bool running)
{
    if (trouble->error.status != FR_OK) {
        trouble->kicked = true;
        fr_cond_broadcast(&engine->retry);
    }
    /* What is under way has begun before the question. */
    return trouble->failures + (running ? 2 : 1);
}

fr_status fr_engine_trouble_locked(struct fr_engine *engine, struct fr_trouble *trouble,
        uint64_t enough)
{
    if (engine->background_error.status != FR_OK)
        return fr_error_restore(&engine->background_error);
    if (trouble->error.status == FR_OK) return FR_OK;
    if (trouble->failures >= enough) return fr_error_restore(&trouble->error);
    (void)fr_engine_kick_locked(engine, trouble, false);
    return FR_OK;
}
