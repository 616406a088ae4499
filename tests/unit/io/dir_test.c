/* dir_test.c - over a backend in which everything fails: each call says what it could not do. */
#include "io/dir.h"

#include <errno.h>

#include "io/env_priv.h"
#include "tests/unit/io/test_world.h"

static int fail_name(void *ctx, fr_handle dir, const char *name)
{
    (void)ctx, (void)dir, (void)name;
    return -EIO;
}

static int fail_handle(void *ctx, fr_handle handle)
{
    (void)ctx, (void)handle;
    return -EIO;
}

static int fail_rename(void *ctx, fr_handle dir, const char *from, const char *to)
{
    (void)ctx, (void)dir, (void)from, (void)to;
    return -EIO;
}

static int fail_stat(void *ctx, fr_handle dir, const char *name, struct fr_file_info *ret_info)
{
    (void)ctx, (void)dir, (void)name, (void)ret_info;
    return -EIO;
}

static int fail_list(void *ctx, fr_handle dir, fr_name_fn fn, void *fn_ctx)
{
    (void)ctx, (void)dir;
    fn(fn_ctx, "one name, and then no more");
    return -EIO;
}

static int fail_space(void *ctx, fr_handle dir, uint64_t *ret_free, uint64_t *ret_total)
{
    (void)ctx, (void)dir, (void)ret_free, (void)ret_total;
    return -EIO;
}

static int fail_info(void *ctx, fr_handle file, struct fr_file_info *ret_info)
{
    (void)ctx, (void)file, (void)ret_info;
    return -EIO;
}

static int give_file(void *ctx, fr_handle dir, const char *name, unsigned flags,
        struct fr_open_result *ret_result)
{
    (void)ctx, (void)dir, (void)name, (void)flags;
    *ret_result = (struct fr_open_result){.alignment = 1};
    return 0;
}

static void close_handle(void *ctx, fr_handle handle)
{
    (void)ctx, (void)handle;
}

static const struct fr_backend_ops failing_ops = {
        .dir_make = fail_name,
        .dir_remove = fail_name,
        .dir_unlink = fail_name,
        .dir_sync = fail_handle,
        .dir_rename = fail_rename,
        .dir_stat = fail_stat,
        .dir_list = fail_list,
        .dir_space = fail_space,
        .file_open = give_file,
        .file_close = close_handle,
        .file_lock = fail_handle,
        .file_info = fail_info,
};

static struct fr_env env = {.ops = &failing_ops};
static char path[] = "store";
static struct fr_dir dir = {.env = &env, .path = path, .syncing = {.rank = FR_RANK_IO_DIR}};

#define fails_with(words, call)                                                                    \
    do {                                                                                           \
        must_be(FR_ERR_IO, call);                                                                  \
        cr_assert_str_eq(fr_last_error(), words ": Input/output error");                           \
    } while (0)

Test(dir, every_failure_says_what_and_where)
{
    struct fr_dir_names names;
    struct fr_file_info info;
    uint64_t a, b;

    fails_with("store/d: cannot make the directory", fr_dir_make(&dir, "d"));
    fails_with("store/d: cannot remove the directory", fr_dir_remove(&dir, "d"));
    fails_with("store/f: cannot remove it", fr_dir_unlink(&dir, "f"));
    fails_with("store: sync of the directory", fr_dir_sync(&dir));
    fails_with("store/f: cannot rename it to g", fr_dir_rename(&dir, "f", "g"));
    fails_with("store/f: cannot be looked at", fr_dir_stat(&dir, "f", &info));
    fails_with("store: cannot list the directory", fr_dir_list(&dir, &names));
    fails_with("store: cannot ask for its free space", fr_dir_space(&dir, &a, &b));
    cr_assert_eq(env.sync_count, 0, "a sync that failed is none");
}

Test(dir, a_lock_that_cannot_be_taken_is_given_back_whole)
{
    struct fr_alloc_stats before, after;
    struct fr_dir_lock *lock;

    fr_alloc_stats_get(&before);
    fails_with("store/LOCK: cannot lock it", fr_dir_lock(&dir, "LOCK", &lock));
    fr_alloc_stats_get(&after);
    cr_assert_eq(after.live_count, before.live_count);
}

Test(dir, a_replacement_tells_its_first_failure)
{
    /* Removing what a crash may have left fails, and so does tidying up after that. */
    fails_with("store/f.tmp: cannot remove it", fr_dir_replace(&dir, "f", fr_slice_of_text("x")));
}

Test(dir, a_file_that_cannot_be_looked_at_is_named)
{
    struct fr_file_info info;
    struct fr_file *file;

    must(fr_file_open(&dir, "f", 0, &file));
    fails_with("store/f: cannot be looked at", fr_file_info_get(file, &info));
    fr_file_close(file);
}
