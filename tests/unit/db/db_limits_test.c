/* db_limits_test.c - what is just allowed, what is just not, and paths that are no stores. */
#define FR_ALLOW_MALLOC
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>

#include "tests/unit/db/test_store.h"

#define KEY_MAX   65535
#define VALUE_MAX ((size_t)256 << 20)

static char path[64];
static struct fr_db *db;
static char bytes[KEY_MAX + 1];

static void set_up(void)
{
    struct fr_db_options options;

    test_store_name(path);
    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, "memory_budget=8MiB,log_segment_size=256KiB,sync=none"));
    must(fr_db_open(path, &options, &db));
}

static void tear_down(void)
{
    must(fr_db_close(db));
    test_store_remove(path);
}

TestSuite(db_limits, .init = set_up, .fini = tear_down, .timeout = 60);

/* Sizes that are refused are refused before a byte is read, so the bytes need not be there. */
Test(db_limits, of_keys_and_values)
{
    static const struct {
        size_t key, value;
        fr_status status;
    } cases[] = {
            {0, 1, FR_ERR_MISUSE},
            {1, 0, FR_OK},
            {1, 1, FR_OK},
            {KEY_MAX, 1, FR_OK},
            {KEY_MAX, 0, FR_OK},
            {KEY_MAX + 1, 1, FR_ERR_LIMIT},
            {SIZE_MAX, 1, FR_ERR_LIMIT},
            {1, VALUE_MAX + 1, FR_ERR_LIMIT},
            {1, (size_t)1 << 30, FR_ERR_LIMIT},
            {1, SIZE_MAX, FR_ERR_LIMIT},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t seq = test_store_number(db, "seq.last");
        fr_status st = fr_db_put(db, NULL, bytes, cases[i].key, bytes, cases[i].value);
        cr_assert_eq(st, cases[i].status, "case %zu: %s", i, fr_status_name(st));
        cr_assert_eq(test_store_number(db, "seq.last") - seq, st == FR_OK ? 1 : 0);
        seq = test_store_number(db, "seq.last");
        st = fr_db_append(db, NULL, bytes, cases[i].key, bytes, cases[i].value);
        cr_assert_eq(st, cases[i].status, "append %zu: %s", i, fr_status_name(st));
        cr_assert_eq(test_store_number(db, "seq.last") - seq, st == FR_OK ? 1 : 0);
    }
}

/* The same keys to read, to delete, and as bounds; a refused one leaves a batch what it was. */
Test(db_limits, of_keys_in_all_other_calls)
{
    static const struct {
        size_t key;
        fr_status status;
    } cases[] = {{0, FR_ERR_MISUSE}, {KEY_MAX, FR_OK}, {KEY_MAX + 1, FR_ERR_LIMIT}};
    struct fr_pinned value;
    struct fr_batch *batch;

    must(fr_batch_new(&batch));
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = cases[i].key, count = fr_batch_count(batch), held = fr_batch_bytes(batch);
        fr_status status = cases[i].status;
        must(fr_db_put(db, NULL, bytes, KEY_MAX, "v", 1));
        fr_status st = fr_db_get(db, NULL, bytes, size, &value);
        cr_assert_eq(st, status, "%zu: %s", size, fr_status_name(st));
        if (st == FR_OK) fr_pinned_release(&value);
        cr_assert_eq(fr_batch_put(batch, bytes, size, "v", 1), status);
        cr_assert_eq(fr_batch_append(batch, bytes, size, "v", 1), status);
        cr_assert_eq(fr_batch_delete(batch, bytes, size), status);
        cr_assert_eq(fr_batch_count(batch) - count, status == FR_OK ? 3 : 0);
        cr_assert(status == FR_OK || fr_batch_bytes(batch) == held);
        uint64_t seq = test_store_number(db, "seq.last");
        cr_assert_eq(fr_db_delete(db, NULL, bytes, size), status);
        cr_assert_eq(test_store_number(db, "seq.last") - seq, status == FR_OK ? 1 : 0);
    }
    fr_batch_free(batch);
}

Test(db_limits, of_addresses)
{
    struct fr_pinned value;

    cr_assert_eq(fr_db_put(db, NULL, NULL, 1, "v", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_put(db, NULL, "k", 1, NULL, 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_put(NULL, NULL, "k", 1, "v", 1), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_get(db, NULL, NULL, 1, &value), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_get(db, NULL, "k", 1, NULL), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_write(db, NULL, NULL), FR_ERR_MISUSE);
    cr_assert_eq(fr_db_flush(NULL), FR_ERR_MISUSE);
}

static void must_not_open(const char *name, const char *text, fr_status status)
{
    struct fr_db_options options;
    struct fr_db *other = NULL;

    fr_db_options_init(&options);
    must(fr_db_options_parse(&options, text));
    fr_status st = fr_db_open(name, &options, &other);
    cr_assert_eq(st, status, "%s, %s: %s: %s", name, text, fr_status_name(st), fr_last_error());
    cr_assert_not_null(strstr(fr_last_error(), name), "%s", fr_last_error());
    cr_assert_null(other);
}

Test(db_limits, of_openers)
{
    must_not_open(path, "", FR_ERR_BUSY);
    must_not_open(path, "must_be_new=yes", FR_ERR_BUSY);
}

Test(db_limits, of_paths)
{
    char name[128];

    snprintf(name, sizeof(name), "%s/file", path);
    int fd = open(name, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    close(fd);
    struct fr_db_options options;
    struct fr_db *other = NULL;
    fr_db_options_init(&options);
    cr_assert_lt(fr_db_open(name, &options, &other), 0); /* not a directory */
    cr_assert_not_null(strstr(fr_last_error(), name));
    snprintf(name, sizeof(name), "%s/none", path);
    must_not_open(name, "create=no", FR_ERR_MISSING);
    cr_assert_neq(access(name, F_OK), 0);
    cr_assert_eq(fr_db_open("", &options, &other), FR_ERR_MISUSE);
}

/* The same directory, mounted once more so that it takes no writes. */
static void mount_read_only(const char *at)
{
    unsigned long again = MS_REMOUNT | MS_BIND | MS_RDONLY;

    if (geteuid() != 0) cr_skip_test("only root can mount");
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount(path, at, NULL, MS_BIND, NULL) == 0 && mount("none", at, NULL, again, NULL) == 0)
        return;
    int os_error = errno;
    rmdir(at);
    cr_skip_test("nothing can be mounted here: %s", strerror(os_error));
}

Test(db_limits, of_a_file_system_that_takes_no_writes)
{
    char at[64], words[80];
    struct fr_db_options options;
    struct fr_pinned value;
    struct fr_db *other;

    must(fr_db_put(db, NULL, "k", 1, "v", 1));
    must(fr_db_close(db));
    db = NULL;
    test_store_name(at);
    mount_read_only(at);
    snprintf(words, sizeof(words), "%s/LOCK", at);
    must_fail(fr_db_open(at, NULL, &other), FR_ERR_READONLY, words);
    fr_db_options_init(&options);
    options.read_only = true;
    must(fr_db_open(at, &options, &other));
    must(fr_db_get(other, NULL, "k", 1, &value));
    cr_assert_eq(value.size, 1);
    fr_pinned_release(&value);
    cr_assert_eq(fr_db_put(other, NULL, "k", 1, "w", 1), FR_ERR_READONLY);
    must(fr_db_refresh(other));
    must(fr_db_close(other));
    umount(at);
    rmdir(at);
}
