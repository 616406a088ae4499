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
        fr_status st = fr_db_verify(db, &how, &stats);
        cr_assert(st == FR_OK || st == FR_ERR_BUSY, "%s: %s", fr_status_name(st), fr_last_error());
        cr_assert_eq(stats.findings, 0, "%s", words);
        st = fr_verify(path, &how, &stats); /* as another process would */
        cr_assert(st == FR_OK || st == FR_ERR_BUSY, "%s: %s", fr_status_name(st), fr_last_error());
        cr_assert_eq(stats.findings, 0, "%s", words);
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    cr_assert_eq(pthread_join(writer, NULL), 0);
    must(fr_db_flush(db));
    must(fr_db_verify(db, &how, &stats));
    cr_assert(stats.findings == 0 && stats.values >= 500, "%s", words);
}

/* ---- In the background ---- */

struct told {
    _Atomic(unsigned) begun, done, findings;
    char file[64]; /* of the first; written before it is counted */
};

static void on_scrub(void *ctx, const struct fr_event_scrub *scrub)
{
    struct told *told = ctx;

    atomic_fetch_add(scrub->done ? &told->done : &told->begun, 1);
}

static void on_scrub_finding(void *ctx, const struct fr_event_finding *finding)
{
    struct told *told = ctx;

    cr_assert_eq(finding->status, FR_ERR_CORRUPT);
    cr_assert_not_null(strstr(finding->text, finding->file));
    if (atomic_load(&told->findings) == 0)
        snprintf(told->file, sizeof(told->file), "%s", finding->file);
    atomic_fetch_add(&told->findings, 1);
}

static void wait_for(const char *property, uint64_t value)
{
    while (test_store_number(db, property) < value)
        usleep(1000);
}

static void reopen_with(const struct fr_event_hooks *hooks, const char *text)
{
    struct fr_db_options options;

    must(fr_db_close(db));
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, text));
    options.hooks = hooks;
    must(fr_db_open(path, &options, &db));
}

/* The first table, or any that there is. */
static void table_name(char to[400])
{
    DIR *stream = opendir(path);
    struct dirent *entry;

    to[0] = '\0';
    while (to[0] == '\0' && (entry = readdir(stream)) != NULL)
        if (strstr(entry->d_name, ".table") != NULL)
            snprintf(to, 400, "%s/%s", path, entry->d_name);
    closedir(stream);
    cr_assert_neq(to[0], '\0');
}

/* A byte in the middle of it. */
static void flip(const char *name)
{
    FILE *file = fopen(name, "r+b");
    long size;
    int byte;

    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    cr_assert_eq(fseek(file, size / 2, SEEK_SET), 0);
    byte = fgetc(file);
    cr_assert_eq(fseek(file, size / 2, SEEK_SET), 0);
    cr_assert_neq(fputc(byte ^ 1, file), EOF);
    cr_assert_eq(fclose(file), 0);
}

Test(db_verify, an_open_store_is_checked_in_the_background_if_asked)
{
    struct told told = {0};
    struct fr_event_hooks hooks = {
            .size = sizeof(hooks), .ctx = &told, .scrub = on_scrub, .finding = on_scrub_finding};
    char name[400];

    test_store_fill(db, 0, 500, 600);
    must(fr_db_flush(db));
    reopen_with(&hooks, "memory_budget=8MiB, value_threshold=0, scrub_interval=1, scrub_rate=0");
    wait_for("scrub.count", 2);
    cr_assert_eq(test_store_number(db, "scrub.findings"), 0);
    cr_assert_gt(test_store_number(db, "scrub.bytes"), 100000);
    test_store_fill(db, 0, 500, 600); /* beside it */
    table_name(name);
    flip(name);
    wait_for("scrub.findings", 1);
    while (atomic_load(&told.findings) == 0)
        usleep(1000);
    cr_assert_not_null(strstr(name, told.file), "%s is not %s", told.file, name);
    flip(name);
    must(fr_db_set_option(db, "scrub_interval", "0"));
    while (test_store_number(db, "scrub.running") != 0)
        usleep(1000);
    uint64_t count = test_store_number(db, "scrub.count");
    must(fr_db_set_option(db, "scrub_interval", "1"));
    wait_for("scrub.count", count + 1);
    while (test_store_number(db, "scrub.last_findings") != 0)
        usleep(1000);
    must(fr_db_close(db));
    cr_assert_geq(atomic_load(&told.begun), atomic_load(&told.done));
    cr_assert_gt(atomic_load(&told.done), 3);
    must(fr_db_open(path, NULL, &db));
}

/* It would take minutes at this rate. */
Test(db_verify, closing_does_not_wait_for_a_check_in_the_background)
{
    test_store_fill(db, 0, 20000, 600);
    must(fr_db_flush(db));
    must(fr_db_set_option(db, "scrub_rate", "64 KiB"));
    must(fr_db_set_option(db, "scrub_interval", "1"));
    while (test_store_number(db, "scrub.running") == 0)
        usleep(1000);
    must_fail(fr_db_set_option(db, "scrub_rate", "1 KiB"), FR_ERR_MISUSE, "scrub_rate");
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
