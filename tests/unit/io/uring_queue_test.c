/* uring_queue_test.c - what only a ring can meet: a kernel that takes nothing, and a denied set-up.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "io/env_priv.h"
#include "tests/unit/io/killed_writer.h"
#include "tests/unit/io/test_world.h"

enum { COUNT = 50, SIZE = 1000 };

static struct fr_io_request requests[COUNT];
static uint8_t data[COUNT][SIZE];

/* Read with a queue whose kernel refuses the first hand-overs. */
static void read_all_with(int os_error, unsigned refusals, unsigned depth)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);
    struct fr_io_queue_options options = {.depth = depth};
    struct fr_io_request *request;
    struct fr_io_queue *queue;
    unsigned popped = 0;

    must(fr_io_queue_open(world.env, &options, &queue));
    cr_assert_str_eq(fr_io_queue_kind_name(queue), "uring");
    fr_uring_fail_submits(os_error, refusals);
    for (unsigned i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){
                .op = FR_IO_READ, .file = file, .data = data[i], .size = SIZE, .offset = i * SIZE};
        fr_io_queue_push(queue, &requests[i]);
        if (i % 10 == 0) fr_io_queue_submit(queue);
    }
    fr_io_queue_wait(queue, COUNT);
    for (; (request = fr_io_queue_pop(queue)) != NULL; popped++)
        must(fr_io_request_check_exact(request));
    cr_assert_eq(popped, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert(test_matches(data[i], i * SIZE, SIZE));
    fr_uring_fail_submits(0, 0);
    fr_io_queue_close(queue);
    fr_file_close(file);
    test_world_close(&world);
}

Test(uring_queue, goes_on_without_the_kernel_when_it_takes_nothing)
{
    for (unsigned depth = 1; depth <= 64; depth *= 4) {
        read_all_with(EAGAIN, UINT32_MAX, depth);
        read_all_with(ENOMEM, UINT32_MAX, depth);
    }
}

Test(uring_queue, comes_back_to_the_kernel_when_it_takes_something_again)
{
    for (unsigned refusals = 1; refusals < 40; refusals++) {
        read_all_with(EBUSY, refusals, 8);
        read_all_with(EAGAIN, refusals, 64);
    }
}

Test(uring_queue, an_interrupted_hand_over_is_made_again)
{
    read_all_with(EINTR, 20, 8);
}

static void count_info(void *ctx, fr_log_level level, const char *component, const char *text)
{
    (void)level, (void)component;
    if (strstr(text, "is not registered") != NULL) ++*(unsigned *)ctx;
}

Test(uring_queue, memory_that_cannot_be_registered_serves_all_the_same)
{
    static FR_ALIGNED(4096) uint8_t region[8192];
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", 8192);
    struct fr_io_queue_options options = {.buffer = region};
    struct fr_io_request request = {
            .op = FR_IO_READ, .file = file, .data = region, .size = sizeof(region)};
    struct fr_io_queue *queue;
    unsigned lines = 0;

    /* The first is refused by the kernel, because not all of it is there; the second is too large
     * to be offered. */
    const size_t sizes[] = {(size_t)1 << 29, ((size_t)1 << 30) + 1};
    for (size_t i = 0; i < FR_ARRAY_COUNT(sizes); i++) {
        options.buffer_size = sizes[i];
        fr_set_log(count_info, &lines, FR_LOG_INFO);
        must(fr_io_queue_open(world.env, &options, &queue));
        fr_set_log(NULL, NULL, FR_LOG_WARN);
        cr_assert_str_eq(fr_io_queue_kind_name(queue), "uring");
        memset(region, 0, sizeof(region));
        fr_io_queue_push(queue, &request);
        fr_io_queue_wait(queue, 1);
        must(fr_io_request_check_exact(fr_io_queue_pop(queue)));
        cr_assert(test_matches(region, 0, sizeof(region)));
        fr_io_queue_close(queue);
    }
    cr_assert_eq(lines, 1);
    fr_file_close(file);
    test_world_close(&world);
}

Test(uring_queue, completions_are_collected_while_the_kernel_takes_nothing_new, .timeout = 20)
{
    enum { BLOCK = 64 * 1024 };
    struct test_world world = test_world_open();
    struct fr_io_queue_options options = {.depth = COUNT};
    uint8_t *blocks = fr_alloc_aligned(COUNT * BLOCK, 4096);
    struct fr_io_request *request;
    struct fr_io_queue *queue;
    struct fr_file *file;

    fr_file_close(test_file_with(&world, "a", COUNT * BLOCK));
    must(fr_file_open(world.dir, "a", FR_OPEN_DIRECT, &file));
    must(fr_io_queue_open(world.env, &options, &queue));
    for (unsigned i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){.op = FR_IO_READ,
                .file = file,
                .data = blocks + i * BLOCK,
                .size = BLOCK,
                .offset = i * BLOCK};
        fr_io_queue_push(queue, &requests[i]);
        /* The first half is in flight when the kernel closes its doors. */
        if (i == COUNT / 2) fr_io_queue_submit(queue);
    }
    fr_uring_fail_submits(EAGAIN, UINT32_MAX);
    fr_io_queue_wait(queue, COUNT);
    while ((request = fr_io_queue_pop(queue)) != NULL)
        must(fr_io_request_check_exact(request));
    cr_assert(test_matches(blocks, 0, COUNT * BLOCK));
    fr_uring_fail_submits(0, 0);
    fr_io_queue_close(queue);
    fr_file_close(file);
    fr_free(blocks);
    test_world_close(&world);
}

/* From now on io_uring_setup answers this errno, as in a container. */
static void deny_io_uring(int os_error)
{
    struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)os_error),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = FR_ARRAY_COUNT(code), .filter = code};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        cr_skip_test("this kernel has no system call filters");
}

static void falls_back_with(int os_error, const char *words)
{
    struct fr_env_options wish = {.kind = FR_ENV_URING};
    struct fr_env *env;

    unsetenv("FR_IO_BACKEND");
    deny_io_uring(os_error);
    must(fr_env_open(NULL, &env));
    cr_assert_eq(fr_env_kind(env), FR_ENV_POSIX);
    cr_assert(strstr(fr_env_reason(env), words) != NULL, "%s", fr_env_reason(env));
    fr_env_close(env);
    must_be(FR_ERR_UNSUPPORTED, fr_env_open(&wish, &env));
    must_say(words);
}

Test(uring_queue, a_denied_ring_makes_the_environment_posix_and_says_why)
{
    falls_back_with(EPERM, "Operation not permitted (denied: see the sysctl");
}

Test(uring_queue, a_kernel_without_rings_makes_the_environment_posix_and_says_why)
{
    falls_back_with(ENOSYS, "this kernel has none");
}

Test(uring_queue, no_locked_memory_makes_the_environment_posix_and_says_why)
{
    falls_back_with(ENOMEM, "ulimit -l");
}

static unsigned log_lines;

static void count_line(void *ctx, fr_log_level level, const char *component, const char *text)
{
    (void)ctx;
    cr_assert_eq(level, FR_LOG_WARN);
    cr_assert_str_eq(component, "io");
    cr_assert(strstr(text, "ulimit -n") != NULL, "%s", text);
    log_lines++;
}

Test(uring_queue, a_single_ring_that_cannot_be_had_is_replaced_by_threads)
{
    struct test_world world = test_world_open();
    struct rlimit limit, none;
    struct fr_io_queue *queue;

    fr_set_log(count_line, NULL, FR_LOG_WARN);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    must(fr_io_queue_open(world.env, NULL, &queue));
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_str_eq(fr_io_queue_kind_name(queue), "pool");
    cr_assert_eq(log_lines, 1);
    fr_io_queue_close(queue);
    fr_set_log(NULL, NULL, FR_LOG_WARN);
    test_world_close(&world);
}

Test(uring_queue, a_lock_outlives_the_writes_of_a_killed_process, .timeout = 100)
{
    struct test_world world = test_world_open();

    test_killed_writers(&world, 10);
    test_world_close(&world);
}

/* A process that dies loses its descriptors; its ring may end later. */
Test(uring_queue, the_ring_holds_the_lock_without_its_descriptor)
{
    struct test_world world = test_world_open();
    struct fr_io_queue_options options = {.depth = 8};
    struct fr_dir_lock *lock, *second;
    struct fr_io_queue *queue;
    fr_status st;

    must(fr_dir_lock(world.dir, "LOCK", &lock));
    options.lock = lock;
    must(fr_io_queue_open(world.env, &options, &queue));
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert_geq(dup2(nothing, (int)lock->file->handle), 0);
    close(nothing);
    cr_assert_eq(fr_dir_lock(world.dir, "LOCK", &second), FR_ERR_BUSY,
            "free while there may be writes in flight");
    fr_io_queue_close(queue);
    for (int i = 0; (st = fr_dir_lock(world.dir, "LOCK", &second)) == FR_ERR_BUSY && i < 10000; i++)
        fr_env_sleep_us(world.env, 1000);
    cr_assert_eq(st, FR_OK, "the lock outlives the ring");
    fr_dir_unlock(second);
    fr_dir_unlock(lock);
    test_world_close(&world);
}
