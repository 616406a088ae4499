/*
 * db_verify_test.c - checking a store through the public headers, on a real file system, while
 * others write. What it finds is the matter of tests/unit/recovery.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/db/test_store.h"

static char path[64];
static struct fr_db *db;
static struct fr_verify_stats stats = {.size = sizeof(stats)};
static char words[600];

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    (void)ctx;
    if (finding->kind < FR_FINDING_ORPHAN)
        snprintf(words, sizeof(words), "%s %s", fr_finding_kind_name(finding->kind),
                finding->words);
    return true;
}

static struct fr_verify_options how = {
        .size = sizeof(how), .depth = FR_VERIFY_ENGINE, .finding = on_finding};

static void set_up(void)
{
    struct fr_db_options options;

    test_store_name(path);
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "memory_budget=8MiB, memtable_size=256K, sync=os, "
                                       "table_size=256K, log_segment_size=256K"));
    must(fr_db_open(path, &options, &db));
}

static void tear_down(void)
{
    must(fr_db_close(db));
    test_store_remove(path);
}

TestSuite(db_verify, .init = set_up, .fini = tear_down, .timeout = 100);

static _Atomic(bool) stop;

/* The same keys over and over, so that files come and go. */
static void *write_on(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        test_store_fill(db, 0, 500, 600);
    return NULL;
}

Test(db_verify, finds_nothing_in_a_store_that_is_written_meanwhile)
{
    pthread_t writer;

    test_store_fill(db, 0, 500, 600);
    cr_assert_eq(pthread_create(&writer, NULL, write_on, NULL), 0);
    for (int i = 0; i < 20; i++) {
        must(fr_db_verify(db, &how, &stats));
        cr_assert_eq(stats.findings, 0, "%s", words);
        fr_status st = fr_verify(path, &how, &stats); /* as another process would */
        cr_assert(st == FR_OK || st == FR_ERR_BUSY, "%s: %s", fr_status_name(st), fr_last_error());
        cr_assert_eq(stats.findings, 0, "%s", words);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    cr_assert_eq(pthread_join(writer, NULL), 0);
    must(fr_db_flush(db));
    must(fr_db_verify(db, &how, &stats));
    cr_assert(stats.findings == 0 && stats.values >= 500, "%s", words);
}

Test(db_verify, what_makes_no_sense_is_misuse)
{
    struct fr_verify_options wrong = {.size = sizeof(wrong), .depth = (fr_verify_depth)9};
    struct fr_verify_stats none = {0};

    must_fail(fr_db_verify(db, &how, &none), FR_ERR_MISUSE, "fr_verify_stats");
    must_fail(fr_db_verify(db, &wrong, &stats), FR_ERR_MISUSE, "depth");
    wrong.size = 3;
    must_fail(fr_verify(path, &wrong, &stats), FR_ERR_MISUSE, "fr_verify_options");
    must_fail(fr_verify(NULL, NULL, &stats), FR_ERR_MISUSE, "path");
    must_fail(fr_verify("nowhere", NULL, &stats), FR_ERR_MISSING, "nowhere");
    cr_assert_str_eq(fr_finding_kind_name(FR_FINDING_ORPHAN), "orphan");
    cr_assert_str_eq(fr_finding_kind_name((fr_finding_kind)99), "unknown");
}
