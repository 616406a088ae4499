/* posix_backend_test.c - what only a real file system can have in store. */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "io/env_priv.h"
#include "io/map.h"
#include "tests/unit/io/killed_writer.h"
#include "tests/unit/io/test_world.h"

static int real_dir(const struct test_world *world)
{
    return (int)world->dir->handle;
}

Test(posix_backend, never_follows_a_link)
{
    struct test_world world = test_world_open();
    struct fr_file *file;
    struct fr_dir *dir;

    fr_file_close(test_file_with(&world, "real", 10));
    cr_assert_eq(symlinkat("real", real_dir(&world), "link"), 0);
    cr_assert_eq(symlinkat(".", real_dir(&world), "dir"), 0);
    must_be(FR_ERR_PERM, fr_file_open(world.dir, "link", 0, &file));
    must_be(FR_ERR_PERM, fr_file_open(world.dir, "link", FR_OPEN_WRITE, &file));
    cr_assert_lt(fr_dir_open_in(world.dir, "dir", 0, &dir), 0);
    test_world_close(&world);
}

Test(posix_backend, a_pipe_in_the_place_of_a_file_is_refused_and_does_not_hang, .timeout = 10)
{
    struct test_world world = test_world_open();
    struct fr_file *file;

    cr_assert_eq(mkfifoat(real_dir(&world), "pipe", 0600), 0);
    cr_assert_lt(fr_file_open(world.dir, "pipe", 0, &file), 0);
    cr_assert_lt(fr_file_open(world.dir, "pipe", FR_OPEN_WRITE, &file), 0);
    test_world_close(&world);
}

Test(posix_backend, files_and_directories_are_private)
{
    struct test_world world = test_world_open();
    struct stat st;

    umask(0);
    fr_file_close(test_file_with(&world, "a", 10));
    must(fr_dir_make(world.dir, "d"));
    cr_assert_eq(fstatat(real_dir(&world), "a", &st, 0), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(fstatat(real_dir(&world), "d", &st, 0), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    test_world_close(&world);
}

Test(posix_backend, descriptors_stay_off_the_standard_streams_and_close_on_exec)
{
    struct test_world world = test_world_open();

    close(STDIN_FILENO);
    struct fr_file *file = test_file_with(&world, "a", 10);
    int fd = (int)file->handle;
    cr_assert_gt(fd, STDERR_FILENO);
    cr_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    cr_assert_not(fcntl(fd, F_GETFL) & O_NONBLOCK);
    fr_file_close(file);
    test_world_close(&world);
}

Test(posix_backend, a_moved_directory_is_still_the_same_store)
{
    struct test_world world = test_world_open();
    struct fr_file_info info;
    char moved[80];

    fr_file_close(test_file_with(&world, "a", 10));
    snprintf(moved, sizeof(moved), "%s-moved", world.path);
    cr_assert_eq(rename(world.path, moved), 0);
    must(fr_dir_stat(world.dir, "a", &info));
    fr_file_close(test_file_with(&world, "b", 10));
    cr_assert_eq(rename(moved, world.path), 0);
    must(fr_dir_stat(world.dir, "b", &info));
    test_world_close(&world);
}

Test(posix_backend, a_file_beyond_the_size_limit_is_an_error_and_no_death)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", 10);
    struct rlimit limit = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};
    uint8_t data[4096] = {0};

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    must(fr_file_write(file, 0, data, sizeof(data), 0));
    must_be(FR_ERR_IO, fr_file_write(file, 4096, data, sizeof(data), 0));
    must_say("File too large");
    fr_file_close(file);
    test_world_close(&world);
}

Test(posix_backend, a_replacement_that_fails_leaves_the_old_file_and_nothing_beside_it)
{
    struct test_world world = test_world_open();
    struct rlimit limit = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    static const uint8_t content[200];
    struct fr_file_info info;

    must(fr_dir_replace(world.dir, "a", fr_slice_of_text("old")));
    must(fr_dir_make(world.dir, "d"));
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    must_be(FR_ERR_IO, fr_dir_replace(world.dir, "a", fr_slice_of(content, sizeof(content))));
    must_say("File too large");
    must(fr_dir_stat(world.dir, "a", &info));
    cr_assert_eq(info.size, 3);
    must_be(FR_NOT_FOUND, fr_dir_stat(world.dir, "a.tmp", &info));
    cr_assert_lt(fr_dir_replace(world.dir, "d", fr_slice_of_text("x")), 0);
    must_say("cannot rename it to d");
    must_be(FR_NOT_FOUND, fr_dir_stat(world.dir, "d.tmp", &info));
    must_be(FR_ERR_MISUSE, fr_dir_replace(world.dir, ".", fr_slice_of_text("x")));
    must_be(FR_NOT_FOUND, fr_dir_stat(world.dir, "..tmp", &info));
    test_world_close(&world);
}

/* Run in a child of its own: answers what the function answers. */
static int in_child(int (*run)(struct test_world *), struct test_world *world)
{
    int status;
    pid_t child = fork();

    if (child == 0) _exit(run(world));
    cr_assert_gt(child, 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int try_lock(struct test_world *world)
{
    struct fr_dir_lock *lock;
    struct fr_env *env;
    struct fr_dir *dir;

    if (fr_env_open(NULL, &env) != FR_OK || fr_dir_open(env, world->path, 0, &dir) != FR_OK)
        return 99;
    fr_status st = fr_dir_lock(dir, "LOCK", &lock);
    return st == FR_ERR_BUSY ? 1 : st == FR_OK ? 0 : 98;
}

Test(posix_backend, a_lock_keeps_other_processes_out)
{
    struct test_world world = test_world_open();
    struct fr_dir_lock *lock;

    must(fr_dir_lock(world.dir, "LOCK", &lock));
    cr_assert_eq(in_child(try_lock, &world), 1);
    fr_dir_unlock(lock);
    cr_assert_eq(in_child(try_lock, &world), 0);
    test_world_close(&world);
}

Test(posix_backend, a_lock_names_its_holder_and_dies_with_it)
{
    struct test_world world = test_world_open();
    struct fr_dir_lock *lock;
    char words[40];
    int ready[2];

    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        bool locked = try_lock(&world) == 0;
        (void)!write(ready[1], &locked, 1);
        pause();
    }
    bool locked = false;
    cr_assert_eq(read(ready[0], &locked, 1), 1);
    cr_assert(locked);
    must_be(FR_ERR_BUSY, fr_dir_lock(world.dir, "LOCK", &lock));
    snprintf(words, sizeof(words), "held by process %ld (", (long)child);
    must_say(words);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    must(fr_dir_lock(world.dir, "LOCK", &lock));
    fr_dir_unlock(lock);
    test_world_close(&world);
}

Test(posix_backend, a_hostile_lock_file_cannot_speak_to_the_terminal)
{
    struct test_world world = test_world_open();
    struct fr_dir_lock *lock, *second;

    must(fr_dir_lock(world.dir, "LOCK", &lock));
    must(fr_file_write(lock->file, 0, "\033[31mred", 8, 0));
    must_be(FR_ERR_BUSY, fr_dir_lock(world.dir, "LOCK", &second));
    cr_assert_null(strchr(fr_last_error(), '\033'));
    fr_dir_unlock(lock);
    test_world_close(&world);
}

Test(posix_backend, the_environment_variable_chooses_and_complains)
{
    struct fr_env *env;

    setenv("FR_IO_BACKEND", "posix", 1);
    must(fr_env_open(NULL, &env));
    cr_assert_eq(fr_env_kind(env), FR_ENV_POSIX);
    cr_assert_str_eq(fr_env_kind_name(fr_env_kind(env)), "posix");
    fr_env_close(env);
    setenv("FR_IO_BACKEND", "floppy", 1);
    must_be(FR_ERR_MISUSE, fr_env_open(NULL, &env));
    must_say("FR_IO_BACKEND=floppy");
}

Test(posix_backend, a_lock_outlives_the_writes_of_a_killed_process, .timeout = 100)
{
    struct test_world world = test_world_open();

    test_killed_writers(&world, 10);
    test_world_close(&world);
}

/* A process that stores without end, and says after each publishing how far it is. */
static void publish_until_killed(struct test_world *world, int report)
{
    struct fr_file *file;
    struct fr_map *map;

    if (fr_file_open(world->dir, "a", FR_OPEN_WRITE, &file) < 0) _exit(1);
    if (fr_map_open(file, 0, 1 << 20, 0, &map) < 0) _exit(1);
    for (uint32_t i = 0;; i++) {
        memcpy(fr_map_data(map) + i % (1 << 18) * 4, &i, 4);
        if (fr_map_publish(map, i % (1 << 18) * 4, 4) < 0) _exit(1);
        if (write(report, &i, 4) != 4) _exit(1);
    }
}

Test(posix_backend, what_was_published_survives_the_kill, .timeout = 60)
{
    struct test_world world = test_world_open();

    fr_file_close(test_file_with(&world, "a", 1 << 20));
    for (unsigned round = 0; round < 20; round++) {
        struct fr_file *file;
        uint32_t last = 0, i = 0, found;
        int report[2];

        cr_assert_eq(pipe(report), 0);
        pid_t child = fork();
        if (child == 0) publish_until_killed(&world, report[1]);
        close(report[1]);
        while (last < 100 + round * 77 && read(report[0], &last, 4) == 4)
            continue;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(report[0], &i, 4) == 4)
            last = i;
        close(report[0]);
        cr_assert_geq(last, 100);
        must(fr_file_open(world.dir, "a", 0, &file));
        for (i = 0; i <= last && i < 1 << 18; i++) {
            must(fr_file_read_exact(file, i * 4, &found, 4));
            cr_assert_eq(found, i);
        }
        fr_file_close(file);
    }
    test_world_close(&world);
}

Test(posix_backend, a_file_with_holes_is_not_mapped)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", 10);
    struct fr_map *map;

    must(fr_file_truncate(file, 1 << 20));
    must(fr_map_open(file, 0, 1 << 20, 0, &map));
    cr_assert_not(fr_map_is_shared(map));
    fr_map_close(map);
    fr_file_close(file);
    test_world_close(&world);
}
