/*
 * db_backup_test.c - backups through the public headers, on a real file system, while others write.
 * Crashes and failures are the matter of tests/unit/recovery.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/unit/db/test_store.h"

static char root[64], store[96], backups[96], again[96];
static struct fr_db *db;
static struct fr_backup_info info = {.size = sizeof(info)};

static struct fr_db *open_at(const char *path)
{
    struct fr_db_options options;
    struct fr_db *opened;

    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "memory_budget=8MiB, memtable_size=256K, sync=os"));
    must(fr_db_open(path, &options, &opened));
    return opened;
}

static void set_up(void)
{
    test_store_name(root);
    snprintf(store, sizeof(store), "%s/store", root);
    snprintf(backups, sizeof(backups), "%s/backups", root);
    snprintf(again, sizeof(again), "%s/again", root);
    db = open_at(store);
}

static void tear_down(void)
{
    char files[128];

    must(fr_db_close(db));
    snprintf(files, sizeof(files), "%s/files", backups);
    test_store_remove(files);
    test_store_remove(backups);
    test_store_remove(store);
    test_store_remove(again);
    test_store_remove(root);
}

TestSuite(db_backup, .init = set_up, .fini = tear_down, .timeout = 100);

/* --- One moment, though others write ------------------------------------------------------------
 */

#define WIDTH 40

static _Atomic(bool) stop;

/* Round n puts n under every one of the keys, in one batch, with something to flush besides. */
static void *write_rounds(void *arg)
{
    struct fr_batch *batch;
    char key[16], value[400];

    (void)arg;
    must(fr_batch_new(&batch));
    for (unsigned n = 1; !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
        memset(value, 'a' + (int)(n % 26), sizeof(value));
        int size = snprintf(value, sizeof(value), "%08u", n);
        value[size] = '-';
        fr_batch_clear(batch);
        for (unsigned i = 0; i < WIDTH; i++) {
            int key_size = snprintf(key, sizeof(key), "key%03u", i);
            must(fr_batch_put(batch, key, (size_t)key_size, value, i % 2 == 0 ? 400 : 50));
        }
        must(fr_db_write(db, NULL, batch));
    }
    fr_batch_free(batch);
    return NULL;
}

static uint64_t last_seq(void)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};

    must(fr_db_stats_get(db, &stats));
    return stats.last_seq;
}

/* The round that a store has stopped at: all of it, or it was never one. */
static unsigned round_of(struct fr_db *of)
{
    char key[16], first[9] = "", found[9] = "";
    struct fr_pinned value;

    for (unsigned i = 0; i < WIDTH; i++) {
        int key_size = snprintf(key, sizeof(key), "key%03u", i);
        must(fr_db_get(of, NULL, key, (size_t)key_size, &value));
        memcpy(found, value.data, 8);
        if (i == 0) memcpy(first, value.data, 8);
        cr_assert_str_eq(found, first);
        fr_pinned_release(&value);
    }
    return (unsigned)strtoul(first, NULL, 10);
}

static unsigned restored_round(uint64_t generation)
{
    struct fr_backup_info restored = {.size = sizeof(restored)};

    must(fr_backup_restore(backups, generation, again, NULL, &restored));
    struct fr_db *copy = open_at(again);
    unsigned round = round_of(copy);
    must(fr_db_close(copy));
    test_store_remove(again);
    return round;
}

Test(db_backup, a_generation_is_one_moment_while_others_write)
{
    unsigned before = 0, last;
    pthread_t writer;

    cr_assert_eq(pthread_create(&writer, NULL, write_rounds, NULL), 0);
    do
        usleep(1000);
    while (last_seq() < WIDTH);
    for (unsigned n = 1; n <= 5; n++)
        must(fr_db_backup(db, backups, NULL, &info));
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    cr_assert_eq(pthread_join(writer, NULL), 0);
    last = round_of(db);
    for (unsigned n = 1; n <= 5; n++) {
        unsigned round = restored_round(n);
        cr_assert(round >= before && round > 0 && round <= last, "%u after %u", round, before);
        before = round;
    }
}

/* --- The interface ------------------------------------------------------------------------------
 */

Test(db_backup, generations_are_listed_checked_and_dropped)
{
    uint64_t freed = 0;

    for (unsigned n = 0; n < 3; n++) {
        test_store_fill(db, n * 300, n * 300 + 300, 500);
        must(fr_db_backup(db, backups, NULL, &info));
        cr_assert_eq(info.generation, n + 1);
        cr_assert_gt(info.copied_bytes, 0);
        must(fr_db_compact_range(db, NULL, 0, NULL, 0));
    }
    info.generation = 0;
    for (unsigned n = 1; n <= 3; n++) {
        must(fr_backup_next(backups, info.generation, &info));
        cr_assert(info.generation == n && info.file_bytes > 0 && info.created_us > 0);
        cr_assert_eq(info.status, FR_OK);
    }
    cr_assert_eq(fr_backup_next(backups, 3, &info), FR_END);
    must(fr_backup_check(backups, 0, NULL));
    must(fr_backup_drop(backups, 1, &freed));
    cr_assert_gt(freed, 0);
    cr_assert_eq(fr_backup_drop(backups, 1, &freed), FR_NOT_FOUND);
    must_fail(fr_backup_drop(backups, 3, &freed), FR_ERR_MISUSE, "newest");
    must(fr_backup_check(backups, 0, NULL));
}

static bool give_up(void *ctx, uint64_t done, uint64_t total)
{
    cr_assert_leq(done, total);
    ++*(unsigned *)ctx;
    return false;
}

Test(db_backup, can_be_given_up_and_taken_up_again)
{
    unsigned calls = 0;
    struct fr_backup_options how = {.size = sizeof(how), .progress = give_up, .ctx = &calls};

    test_store_fill(db, 0, 2000, 1000);
    must_fail(fr_db_backup(db, backups, &how, &info), FR_ERR_CANCELLED, "given up");
    cr_assert_eq(calls, 1);
    cr_assert_eq(fr_backup_next(backups, 0, &info), FR_END);
    must(fr_db_backup(db, backups, NULL, &info));
    must_fail(fr_backup_restore(backups, 0, again, &how, &info), FR_ERR_CANCELLED, "given up");
    cr_assert_neq(access(again, F_OK), 0);
    must(fr_backup_restore(backups, 0, again, NULL, &info));
}

Test(db_backup, what_makes_no_sense_is_misuse)
{
    struct fr_backup_info none = {0};
    struct fr_backup_options how = {.size = 1};

    must_fail(fr_db_backup(db, NULL, NULL, &info), FR_ERR_MISUSE, "path");
    must_fail(fr_db_backup(db, backups, NULL, &none), FR_ERR_MISUSE, "fr_backup_info");
    must_fail(fr_db_backup(db, backups, &how, &info), FR_ERR_MISUSE, "fr_backup_options");
    must_fail(fr_backup_restore(backups, 0, NULL, NULL, &info), FR_ERR_MISUSE, "path");
    must_fail(fr_backup_next(backups, 0, &info), FR_ERR_MISSING, backups);
    must_fail(fr_db_backup(db, store, NULL, &info), FR_ERR_FOREIGN, store);
    must_fail(fr_backup_drop(store, 1, NULL), FR_ERR_FOREIGN, store);
}

Test(db_backup, of_a_store_that_is_open_for_reading_only_is_refused)
{
    struct fr_db_options options;
    struct fr_db *reader;

    fr_db_options_init(&options);
    options.read_only = true;
    must(fr_db_open(store, &options, &reader));
    must_fail(fr_db_backup(reader, backups, NULL, &info), FR_ERR_READONLY, "reading only");
    must(fr_db_close(reader));
}
