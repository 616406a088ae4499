/* db_events_test.c - what a store tells its host, and that it waits for nobody meanwhile. */
#define FR_ALLOW_MALLOC
#include <stdatomic.h>

#include "tests/unit/db/test_store.h"

static char path[64];
static struct fr_db *db;

/* What the hooks have seen; relaxed, and read after the store is closed unless said otherwise. */
static atomic_uint flush_begins, flush_ends, compactions, created, removed, phases, dropped;
static atomic_bool held_up;

static void on_flush_begin(void *ctx, const struct fr_event_job *job)
{
    cr_assert_eq(ctx, path);
    cr_assert_gt(job->input_bytes, 0);
    cr_assert_eq(atomic_load(&flush_begins), atomic_load(&flush_ends));
    atomic_fetch_add(&flush_begins, 1);
}

static void on_flush_end(void *ctx, const struct fr_event_job *job)
{
    (void)ctx;
    cr_assert_eq(job->status, FR_OK);
    atomic_fetch_add(&dropped, (unsigned)job->event.dropped);
    atomic_fetch_add(&flush_ends, 1);
    while (atomic_load(&held_up))
        usleep(1000);
}

static void on_compaction_end(void *ctx, const struct fr_event_job *job)
{
    (void)ctx;
    cr_assert(job->input_count > 0 && job->inputs != NULL && job->inputs[0] > 0);
    atomic_fetch_add(&compactions, 1);
}

static void on_file_created(void *ctx, const struct fr_event_file *file)
{
    (void)ctx;
    cr_assert(file->bytes > 0 && file->job > 0);
    atomic_fetch_add(&created, 1);
}

static void on_file_removed(void *ctx, const struct fr_event_file *file)
{
    (void)ctx;
    cr_assert_gt(file->number, 0);
    atomic_fetch_add(&removed, 1);
}

static void on_open(void *ctx, const struct fr_event_open *open)
{
    (void)ctx;
    atomic_fetch_or(&phases, 1u << open->phase);
}

static void open_with(struct fr_event_hooks *hooks)
{
    struct fr_db_options options;

    fr_db_options_init(&options);
    must(fr_db_options_parse(&options,
            "memory_budget=8MiB,memtable_size=64KiB,log_segment_size=256KiB,sync=none"));
    hooks->size = sizeof(*hooks);
    hooks->ctx = path;
    options.hooks = hooks;
    must(fr_db_open(path, &options, &db));
}

static void set_up(void)
{
    test_store_name(path);
}

static void tear_down(void)
{
    test_store_remove(path);
}

TestSuite(db_events, .init = set_up, .fini = tear_down, .timeout = 60);

Test(db_events, tell_of_jobs_and_files)
{
    struct fr_event_hooks hooks = {.flush_begin = on_flush_begin,
            .flush_end = on_flush_end,
            .compaction_end = on_compaction_end,
            .file_created = on_file_created,
            .file_removed = on_file_removed,
            .open = on_open};

    open_with(&hooks);
    for (unsigned round = 0; round < 8; round++) {
        test_store_fill(db, 0, 500, 100);
        must(fr_db_flush(db));
    }
    must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    must(fr_db_close(db));
    cr_assert_geq(atomic_load(&flush_ends), 8);
    cr_assert_eq(atomic_load(&flush_begins), atomic_load(&flush_ends));
    cr_assert_geq(atomic_load(&compactions), 1);
    cr_assert_geq(atomic_load(&created), 8);
    cr_assert_geq(atomic_load(&removed), 1);
    cr_assert_eq(atomic_load(&phases), (1u << (FR_OPEN_DONE + 1)) - 1 - (1u << FR_OPEN_FILES));
}

Test(db_events, do_not_hold_up_a_writer_when_a_hook_does_not_return)
{
    struct fr_event_hooks hooks = {.flush_end = on_flush_end};

    atomic_store(&held_up, true);
    open_with(&hooks);
    for (unsigned round = 0; round < 5; round++) {
        test_store_fill(db, 0, 100, 100);
        must(fr_db_flush(db));
    }
    /* The first hook may have begun, and has not returned. */
    cr_assert_leq(atomic_load(&flush_ends), 1);
    atomic_store(&held_up, false);
    must(fr_db_close(db));
    cr_assert_eq(atomic_load(&flush_ends), 5);
    cr_assert_eq(atomic_load(&dropped), 0);
}

static void flush_again(void *ctx, const struct fr_event_job *job)
{
    (void)ctx;
    (void)job;
    if (atomic_fetch_add(&flush_ends, 1) > 0) return;
    must(fr_db_put(db, NULL, "from a hook", 11, "x", 1));
    must(fr_db_flush(db));
    must(fr_db_wait_idle(db));
}

Test(db_events, may_call_the_store)
{
    struct fr_event_hooks hooks = {.flush_end = flush_again};

    open_with(&hooks);
    test_store_fill(db, 0, 10, 100);
    must(fr_db_flush(db));
    while (atomic_load(&flush_ends) < 2)
        usleep(1000);
    must(fr_db_close(db));
}

Test(db_events, need_hooks_of_the_right_size)
{
    struct fr_event_hooks hooks = {.size = 3};
    struct fr_db_options options;

    fr_db_options_init(&options);
    options.hooks = &hooks;
    must_fail(fr_db_open(path, &options, &db), FR_ERR_MISUSE, "fr_event_hooks");
}
