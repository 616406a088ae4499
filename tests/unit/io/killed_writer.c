#include "tests/unit/io/killed_writer.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/rng.h"

enum { WRITE_COUNT = 64, WRITE_SIZE = 512 << 10 };

#define FILE_SIZE    ((uint64_t)WRITE_COUNT * WRITE_SIZE)
#define KILL_US_MAX  3000
#define LOCK_US_MAX  20000000
#define STILL_FOR_US 200000

/* The child: everything up to the point where the kernel has the writes. Its own environment, since
 * neither a ring nor threads live on in a child. */
static fr_status start_writes(const struct test_world *world, unsigned round)
{
    struct fr_env_options env_options = {.kind = fr_env_kind(world->env)};
    static struct fr_io_request requests[WRITE_COUNT];
    struct fr_io_queue_options options = {.depth = WRITE_COUNT};
    struct fr_dir_lock *lock;
    struct fr_io_queue *queue;
    struct fr_file *file;
    struct fr_env *env;
    struct fr_dir *dir;
    fr_status st;

    uint8_t *data = fr_alloc_aligned(WRITE_SIZE, 4096);
    if (data == NULL) return FR_ERR_NOMEM;
    memset(data, (int)(round + 1), WRITE_SIZE);
    FR_TRY(fr_env_open(&env_options, &env));
    FR_TRY(fr_dir_open(env, world->path, 0, &dir));
    FR_TRY(fr_dir_lock(dir, "LOCK", &lock));
    options.lock = lock;
    FR_TRY(fr_io_queue_open(env, &options, &queue));
    FR_TRY(fr_file_open(dir, "data", FR_OPEN_WRITE | FR_OPEN_DIRECT, &file));
    for (unsigned i = 0; i < WRITE_COUNT; i++) {
        requests[i] = (struct fr_io_request){.op = FR_IO_WRITE,
                .file = file,
                .data = data,
                .size = WRITE_SIZE,
                .offset = (uint64_t)i * WRITE_SIZE};
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_io_queue_submit(queue);
out:
    return st; /* nothing is closed: the child is about to be killed */
}

static void be_the_writer(const struct test_world *world, unsigned round, int ready)
{
    char answer = start_writes(world, round) == FR_OK ? 'y' : 'n';

    (void)!write(ready, &answer, 1);
    for (;;)
        pause();
}

/* Start a writer and kill it so long after its writes were handed over. */
static pid_t start_and_kill(const struct test_world *world, unsigned round, uint64_t delay_us)
{
    char answer = 'n';
    int ready[2];

    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) be_the_writer(world, round, ready[1]);
    close(ready[1]);
    cr_assert_eq(read(ready[0], &answer, 1), 1);
    close(ready[0]);
    if (delay_us > 0) fr_env_sleep_us(world->env, delay_us);
    kill(child, SIGKILL);
    cr_assert_eq(answer, 'y', "the writer could not even start");
    return child;
}

static struct fr_dir_lock *lock_when_free(const struct test_world *world)
{
    uint64_t start_us = fr_env_now_us(world->env);
    struct fr_dir_lock *lock;
    fr_status st;

    while ((st = fr_dir_lock(world->dir, "LOCK", &lock)) == FR_ERR_BUSY)
        cr_assert_lt(fr_env_now_us(world->env) - start_us, LOCK_US_MAX,
                "the lock outlives too much");
    must(st);
    return lock;
}

/* A checksum of the whole file, past the page cache, in few large reads: the faster, the more
 * chance has a late write to show. */
static uint32_t checksum_of(struct fr_file *file, uint8_t *data)
{
    must(fr_file_read_exact(file, 0, data, FILE_SIZE));
    return fr_crc32c(0, data, FILE_SIZE);
}

void test_killed_writers(struct test_world *world, unsigned rounds)
{
    uint8_t *data = fr_alloc_aligned(FILE_SIZE, 4096);
    uint64_t seed = fr_env_now_us(world->env);
    struct fr_file *file;
    struct fr_rng rng;

    cr_assert_not_null(data);
    fr_rng_init(&rng, seed);
    must(fr_file_open(world->dir, "data", FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT, &file));
    must(fr_file_prewrite(file, 0, FILE_SIZE));
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t delay_us = round % 2 == 0 ? 0 : fr_rng_below(&rng, KILL_US_MAX);
        pid_t child = start_and_kill(world, round, delay_us);
        struct fr_dir_lock *lock = lock_when_free(world);

        uint32_t first = checksum_of(file, data);
        fr_env_sleep_us(world->env, STILL_FOR_US);
        cr_assert_eq(checksum_of(file, data), first,
                "round %u, killed after %d us: a write landed after the lock was free", round,
                (int)delay_us);
        fr_dir_unlock(lock);
        cr_assert_eq(waitpid(child, NULL, 0), child);
    }
    fr_file_close(file);
    fr_free(data);
}
