#include "tests/unit/io/test_world.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORLD_IS(name) (strcmp(TEST_WORLD, name) == 0)

#ifdef TEST_SIM
#include "io/sim.h"

static void open_env(struct test_world *world)
{
    struct fr_sim_options options = {.seed = 1};

    must(fr_sim_open(&options, &world->sim));
    world->env = fr_sim_env(world->sim);
    snprintf(world->path, sizeof(world->path), "/store");
}

static void close_env(struct test_world *world)
{
    fr_sim_close(world->sim);
}
#else
static void open_env(struct test_world *world)
{
    struct fr_env_options options = {
            .kind = WORLD_IS("uring") ? FR_ENV_URING : FR_ENV_POSIX, .pool_threads_max = 4};

    fr_status st = fr_env_open(&options, &world->env);
    if (st == FR_ERR_UNSUPPORTED) cr_skip_test("%s", fr_last_error());
    must(st);
    snprintf(world->path, sizeof(world->path), "io-test-XXXXXX");
    cr_assert_not_null(mkdtemp(world->path));
}

/* Remove a directory of files, and directories of files. */
static void remove_tree(const char *path)
{
    struct dirent *entry;
    char inner[512];

    DIR *stream = opendir(path);
    if (stream == NULL) return;
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, entry->d_name);
        if (unlink(inner) < 0) remove_tree(inner);
    }
    closedir(stream);
    rmdir(path);
}

static void close_env(struct test_world *world)
{
    fr_env_close(world->env);
    remove_tree(world->path);
}
#endif

struct test_world test_world_open(void)
{
    struct test_world world = {0};

    open_env(&world);
    must(fr_dir_open(world.env, world.path, FR_DIR_CREATE, &world.dir));
    return world;
}

void test_world_close(struct test_world *world)
{
    fr_dir_close(world->dir);
    close_env(world);
}

struct fr_file *test_file_with(struct test_world *world, const char *name, size_t size)
{
    uint8_t *data = fr_alloc(size);
    struct fr_file *file;

    test_fill(data, 0, size);
    must(fr_file_open(world->dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    must(fr_file_write(file, 0, data, size, 0));
    fr_free(data);
    return file;
}
