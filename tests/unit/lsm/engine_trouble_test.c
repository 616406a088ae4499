/*
 * engine_trouble_test.c - rows of failures of two threads at a time, as the engine counts them.
 *
 * That jobs fail and are tried again is the matter of lsm/pressure_test.c and of the crash suite.
 * Here the failures are told in an order that those meet by chance.
 */
#include "freshet/log.h"
#include "io/sim.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"

static struct fr_sim *sim;
static struct fr_engine *engine;

/* How often it was told that all goes on. */
static unsigned recoveries;

static void count_recoveries(void *ctx, fr_log_level level, const char *component, const char *text)
{
    (void)ctx;
    (void)level;
    (void)component;
    recoveries += strstr(text, "goes on") != NULL;
}

static void open_store(void)
{
    static const struct fr_event_hooks hooks = {.size = sizeof(hooks)};
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_sim_options how = {.seed = 1};

    options.hooks = &hooks;
    options.memtable_size = 64 << 10;
    options.log_segment_size = 32 << 10;
    options.disk_reserve = 0;
    fr_set_log(count_recoveries, NULL, FR_LOG_INFO);
    must(fr_sim_open(&how, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
}

static void close_store(void)
{
    fr_sim_close(sim);
}

TestSuite(engine_trouble, .init = open_store, .fini = close_store, .timeout = 60);

static void fail(fr_status status, struct fr_trouble *trouble)
{
    (void)FR_FAIL(status, "for a test");
    fr_mutex_lock(&engine->mu);
    fr_engine_job_failed_locked(engine, trouble);
    fr_mutex_unlock(&engine->mu);
}

static void succeed(struct fr_trouble *trouble)
{
    fr_mutex_lock(&engine->mu);
    fr_engine_job_done_locked(engine, trouble);
    fr_mutex_unlock(&engine->mu);
}

static fr_status writable(void)
{
    fr_mutex_lock(&engine->mu);
    fr_status st = fr_engine_check_writable_locked(engine);
    fr_mutex_unlock(&engine->mu);
    return st;
}

Test(engine_trouble, is_over_when_the_last_of_the_jobs_has_succeeded)
{
    fail(FR_ERR_NOSPACE, &engine->flush_trouble);
    fail(FR_ERR_NOSPACE, &engine->flush_trouble);
    fail(FR_ERR_NOMEM, &engine->compact_trouble);
    cr_assert_eq(engine->flush_trouble.failures, 2);
    must(writable());
    succeed(&engine->flush_trouble);
    succeed(&engine->flush_trouble);
    cr_assert_eq(recoveries, 0);
    succeed(&engine->compact_trouble);
    cr_assert_eq(recoveries, 1);
    fail(FR_ERR_IO, &engine->flush_trouble);
    fail(FR_ERR_IO, &engine->compact_trouble);
    succeed(&engine->compact_trouble);
    cr_assert_eq(recoveries, 1);
    succeed(&engine->flush_trouble);
    cr_assert_eq(recoveries, 2);
    must(fr_engine_close(engine));
}

Test(engine_trouble, of_final_failures_the_first_is_told_and_none_is_over)
{
    fail(FR_ERR_NOSPACE, &engine->flush_trouble);
    fail(FR_ERR_CORRUPT, &engine->compact_trouble);
    fail(FR_ERR_MISSING, &engine->compact_trouble);
    cr_assert_eq(engine->background_error.status, FR_ERR_CORRUPT);
    succeed(&engine->flush_trouble);
    cr_assert_eq(recoveries, 0);
    must_be(FR_ERR_POISONED, writable());
    must_be(FR_ERR_CORRUPT, fr_engine_close(engine));
}

/* Of a checkpoint, say: what it could not write is no matter of the store's, unless it was a sync.
 */
Test(engine_trouble, what_fails_besides_ends_writing_only_if_it_was_a_sync)
{
    (void)FR_FAIL(FR_ERR_NOSPACE, "for a test");
    fr_engine_note_failure(engine);
    must(writable());
    (void)FR_FAIL(FR_ERR_IO, "for a test");
    fr_error_mark_sync();
    fr_engine_note_failure(engine);
    must_be(FR_ERR_POISONED, writable());
    must_be(FR_ERR_IO, fr_engine_close(engine));
}
