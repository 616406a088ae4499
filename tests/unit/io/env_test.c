/* env_test.c - opening this machine: which world it becomes, and what is refused. */
#include "io/env.h"

#include <stdlib.h>
#include <unistd.h>

#include "tests/unit/io/test_world.h"

static void opens_as(const char *wish, enum fr_env_kind kind)
{
    struct fr_env *env;

    setenv("FR_IO_BACKEND", wish, 1);
    must(fr_env_open(NULL, &env));
    cr_assert_eq(fr_env_kind(env), kind);
    cr_assert_gt(strlen(fr_env_reason(env)), 0);
    fr_env_close(env);
}

Test(env, an_empty_wish_and_auto_leave_the_choice_to_the_system)
{
    struct fr_env_options uring = {.kind = FR_ENV_URING};
    struct fr_env *env;

    fr_status st = fr_env_open(&uring, &env);
    if (st == FR_OK) fr_env_close(env);
    enum fr_env_kind best = st == FR_OK ? FR_ENV_URING : FR_ENV_POSIX;
    opens_as("", best);
    opens_as("auto", best);
    opens_as("posix", FR_ENV_POSIX);
    if (st == FR_OK) opens_as("uring", FR_ENV_URING);
}

Test(env, the_wish_does_not_overrule_what_the_program_asks_for)
{
    struct fr_env_options options = {.kind = FR_ENV_POSIX};
    struct fr_env *env;

    setenv("FR_IO_BACKEND", "floppy", 1);
    must(fr_env_open(&options, &env));
    cr_assert_str_eq(fr_env_reason(env), "asked for");
    fr_env_close(env);
}

Test(env, kinds_that_cannot_be_opened_so_are_refused)
{
    struct fr_env_options options = {.kind = FR_ENV_SIM};
    struct fr_env *env;

    must_be(FR_ERR_MISUSE, fr_env_open(&options, &env));
    options.kind = (enum fr_env_kind)17;
    must_be(FR_ERR_MISUSE, fr_env_open(&options, &env));
    options = (struct fr_env_options){.pool_threads_max = FR_ENV_POOL_THREADS_MAX + 1};
    must_be(FR_ERR_MISUSE, fr_env_open(&options, &env));
    must_say("257 threads");
}

Test(env, every_kind_has_a_name)
{
    cr_assert_str_eq(fr_env_kind_name(FR_ENV_AUTO), "auto");
    cr_assert_str_eq(fr_env_kind_name(FR_ENV_URING), "uring");
    cr_assert_str_eq(fr_env_kind_name(FR_ENV_POSIX), "posix");
    cr_assert_str_eq(fr_env_kind_name(FR_ENV_SIM), "sim");
    cr_assert_str_eq(fr_env_kind_name((enum fr_env_kind)17), "unknown");
}

Test(env, closing_nothing_is_fine)
{
    fr_env_close(NULL);
    fr_dir_close(NULL);
    fr_dir_unlock(NULL);
    fr_file_close(NULL);
    fr_io_queue_close(NULL);
}

Test(env, a_failed_allocation_fails_the_opening_and_leaks_nothing)
{
    struct fr_alloc_stats before, after;
    bool hit = true;

    fr_alloc_stats_get(&before);
    for (uint64_t n = 1; hit; n++) {
        struct fr_io_queue *queue = NULL;
        struct fr_env *env = NULL;
        struct fr_dir *dir = NULL;

        fr_alloc_fail_at(n, true);
        fr_status st = fr_env_open(NULL, &env);
        if (st == FR_OK) st = fr_io_queue_open(env, NULL, &queue);
        if (st == FR_OK) st = fr_dir_open(env, "env-test-made", FR_DIR_CREATE, &dir);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        fr_dir_close(dir);
        fr_io_queue_close(queue);
        fr_env_close(env);
        rmdir("env-test-made");
        fr_alloc_stats_get(&after);
        cr_assert_eq(after.live_count, before.live_count);
    }
}

Test(env, paths_of_every_form_can_be_made)
{
    struct test_world world = test_world_open();
    char absolute[4200], cwd[4096];
    struct fr_dir *dir;

    cr_assert_eq(chdir(world.path), 0);
    cr_assert_not_null(getcwd(cwd, sizeof(cwd)));
    snprintf(absolute, sizeof(absolute), "%s//c///", cwd);
    const char *const paths[] = {"a", "a/b", "./d//", absolute};
    for (size_t i = 0; i < FR_ARRAY_COUNT(paths); i++) {
        must(fr_dir_open(world.env, paths[i], FR_DIR_CREATE, &dir));
        fr_dir_close(dir);
        cr_assert_eq(access(paths[i], F_OK), 0);
    }
    must(fr_dir_open(world.env, "/", FR_DIR_CREATE, &dir));
    fr_dir_close(dir);
    must_be(FR_ERR_MISUSE, fr_dir_open(world.env, "", FR_DIR_CREATE, &dir));
    must_be(FR_ERR_MISSING, fr_dir_open(world.env, "", 0, &dir));
    cr_assert_lt(fr_dir_make(world.dir, "a"), 1, "it is there, and that is fine");
    cr_assert_eq(rmdir("a/b"), 0);
    cr_assert_eq(chdir(".."), 0);
    test_world_close(&world);
}

Test(env, a_name_too_long_to_have_a_neighbour_cannot_be_replaced)
{
    struct test_world world = test_world_open();
    char name[FR_NAME_MAX + 1];

    memset(name, 'n', FR_NAME_MAX);
    name[FR_NAME_MAX] = '\0';
    must_be(FR_ERR_MISUSE, fr_dir_replace(world.dir, name, fr_slice_of_text("x")));
    test_world_close(&world);
}
