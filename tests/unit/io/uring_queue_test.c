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
#include "base/rng.h"
#include "io/env_priv.h"
#include "io/uring_faults.h"
#include "tests/unit/io/killed_writer.h"
#include "tests/unit/io/test_world.h"

enum { COUNT = 50, SIZE = 1000 };

static uint64_t test_live_blocks(void)
{
    struct fr_alloc_stats stats;

    fr_alloc_stats_get(&stats);
    return stats.live_count;
}

static struct fr_io_request requests[COUNT];
static uint8_t data[COUNT][SIZE];

/* The next hand-overs to the kernel are refused. */
static struct refusals {
    int os_error;
    unsigned count;
} refusals;

static int refuse(void *ctx)
{
    struct refusals *r = ctx;

    if (r->count == 0) return 0;
    r->count--;
    return r->os_error;
}

static void fail_submits(int os_error, unsigned count)
{
    static const struct fr_uring_faults faults = {.ctx = &refusals, .enter = refuse};

    refusals = (struct refusals){.os_error = os_error, .count = count};
    fr_uring_faults_set(count > 0 ? &faults : NULL);
}

/* Read with a queue whose kernel refuses the first hand-overs. */
static void read_all_with(int os_error, unsigned count, unsigned depth)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);
    struct fr_io_queue_options options = {.depth = depth};
    struct fr_io_request *request;
    struct fr_io_queue *queue;
    unsigned popped = 0;

    must(fr_io_queue_open(world.env, &options, &queue));
    cr_assert_str_eq(fr_io_queue_kind_name(queue), "uring");
    fail_submits(os_error, count);
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
    fail_submits(0, 0);
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
    for (unsigned count = 1; count < 40; count++) {
        read_all_with(EBUSY, count, 8);
        read_all_with(EAGAIN, count, 64);
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
    fail_submits(EAGAIN, UINT32_MAX);
    fr_io_queue_wait(queue, COUNT);
    while ((request = fr_io_queue_pop(queue)) != NULL)
        must(fr_io_request_check_exact(request));
    cr_assert(test_matches(blocks, 0, COUNT * BLOCK));
    fail_submits(0, 0);
    fr_io_queue_close(queue);
    fr_file_close(file);
    fr_free(blocks);
    test_world_close(&world);
}

/* ---- answers that a kernel may give, and hardly ever does */

/* Chance decides about each attempt and each entry; both are counted. */
struct mischief {
    struct fr_rng rng;
    const int *errors;     /* one of these, */
    unsigned error_count;  /* if there are any, */
    unsigned error_one_in; /* so often */
    bool done;             /* though it was carried out */
    unsigned short_one_in, late_one_in, floods_max;
    unsigned attempts, spoilt, floods;
};

static void spoil(void *ctx, const struct fr_io_request *request, struct fr_uring_verdict *verdict)
{
    struct mischief *m = ctx;

    m->attempts++;
    if (m->error_one_in != 0 && fr_rng_one_in(&m->rng, m->error_one_in))
        verdict->os_error = m->errors[fr_rng_below(&m->rng, m->error_count)];
    verdict->done = m->done;
    if (m->short_one_in != 0 && fr_rng_one_in(&m->rng, m->short_one_in))
        verdict->short_by = 1 + fr_rng_below(&m->rng, request->size + 1);
    verdict->late = m->late_one_in != 0 && fr_rng_one_in(&m->rng, m->late_one_in);
    m->spoilt += verdict->os_error != 0 || verdict->short_by > 0 || verdict->late;
}

static unsigned flood(void *ctx)
{
    struct mischief *m = ctx;

    /* Each is worked off by as many entries as it overflows the queue: more would never end. */
    if (m->floods == m->floods_max || !fr_rng_one_in(&m->rng, 3)) return 0;
    m->floods++;
    return 500;
}

static void set_mischief(struct mischief *m, uint64_t seed)
{
    static struct fr_uring_faults faults = {.attempt = spoil, .flood = flood};

    fr_rng_init(&m->rng, seed);
    faults.ctx = m;
    fr_uring_faults_set(&faults);
}

/* Write all, sync, and read all back by one queue; each request has its outcome afterwards. */
static void write_and_read_with(struct mischief *m, uint64_t seed, unsigned depth)
{
    struct test_world world = test_world_open();
    struct fr_io_queue_options options = {.depth = depth};
    struct fr_io_queue *queue;
    struct fr_file *file;

    must(fr_file_open(world.dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    set_mischief(m, seed);
    must(fr_io_queue_open(world.env, &options, &queue));
    for (enum fr_io_op op = FR_IO_READ; op <= FR_IO_SYNC; op++) {
        enum fr_io_op turn[] = {FR_IO_WRITE, FR_IO_SYNC, FR_IO_WRITE_DSYNC, FR_IO_READ};
        for (unsigned i = 0; i < COUNT; i++) {
            requests[i] = (struct fr_io_request){.op = turn[op],
                    .file = file,
                    .data = data[i],
                    .size = turn[op] == FR_IO_SYNC ? 0 : SIZE,
                    .offset = i * SIZE};
            if (turn[op] == FR_IO_READ)
                memset(data[i], 0, SIZE);
            else
                test_fill(data[i], i * SIZE, SIZE);
            fr_io_queue_push(queue, &requests[i]);
            if (fr_rng_one_in(&m->rng, 10)) fr_io_queue_submit(queue);
        }
        fr_io_queue_wait(queue, COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            struct fr_io_request *request = fr_io_queue_pop(queue);
            cr_assert_not_null(request);
            must(fr_io_request_check_exact(request));
        }
        cr_assert_null(fr_io_queue_pop(queue));
    }
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert(test_matches(data[i], i * SIZE, SIZE));
    fr_io_queue_close(queue);
    fr_uring_faults_set(NULL);
    fr_file_close(file);
    test_world_close(&world);
}

Test(uring_queue, short_late_and_put_off_transfers_are_not_noticed, .timeout = 60)
{
    static const int passing[] = {EINTR, EAGAIN, ECANCELED};
    uint64_t live = test_live_blocks();

    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct mischief m = {.errors = passing,
                .error_count = 3,
                .error_one_in = 5,
                .done = seed % 2,
                .short_one_in = 3,
                .late_one_in = 3};
        write_and_read_with(&m, seed, seed % 3 == 0 ? 1 : 16);
        cr_assert_gt(m.spoilt, 50);
    }
    cr_assert_eq(test_live_blocks(), live);
}

Test(uring_queue, every_transfer_may_come_back_behind_the_others)
{
    struct mischief m = {.late_one_in = 1};

    for (unsigned depth = 1; depth <= 64; depth *= 4)
        write_and_read_with(&m, depth, depth);
}

Test(uring_queue, more_completions_than_there_is_room_for_lose_none)
{
    for (unsigned depth = 1; depth <= 64; depth *= 4) {
        struct mischief m = {.floods_max = 12, .late_one_in = 5};
        write_and_read_with(&m, depth, depth);
        cr_assert_eq(m.floods, m.floods_max);
    }
}

/* The nth attempt is answered so. */
struct one_answer {
    unsigned nth;
    int os_error;
};

static void answer_nth(void *ctx, const struct fr_io_request *request,
        struct fr_uring_verdict *verdict)
{
    struct one_answer *answer = ctx;

    (void)request;
    if (answer->nth > 0 && --answer->nth == 0) verdict->os_error = answer->os_error;
}

/* Requests of one kind, of which one is answered so; how many were told it. */
static unsigned told_of(struct fr_file *file, enum fr_io_op op, struct one_answer answer,
        fr_status status)
{
    struct fr_uring_faults faults = {.ctx = &answer, .attempt = answer_nth};
    struct fr_io_queue *queue;
    unsigned told = 0;

    fr_uring_faults_set(&faults);
    must(fr_io_queue_open(file->env, NULL, &queue));
    for (unsigned i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){.op = op,
                .file = file,
                .data = data[i],
                .size = op == FR_IO_SYNC ? 0 : SIZE,
                .offset = i * SIZE};
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_io_queue_wait(queue, COUNT);
    while (fr_io_queue_pop(queue) != NULL)
        continue;
    for (unsigned i = 0; i < COUNT; i++) {
        told += requests[i].status == status && requests[i].os_error == answer.os_error;
        if (requests[i].status == FR_OK && op == FR_IO_READ)
            cr_assert(test_matches(data[i], i * SIZE, SIZE));
    }
    fr_io_queue_close(queue);
    fr_uring_faults_set(NULL);
    return told;
}

Test(uring_queue, a_failed_transfer_is_told_to_its_request_and_to_no_other)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);

    for (unsigned nth = 1; nth <= COUNT; nth += 7) {
        cr_assert_eq(told_of(file, FR_IO_READ, (struct one_answer){nth, EIO}, FR_ERR_IO), 1);
        cr_assert_eq(told_of(file, FR_IO_WRITE, (struct one_answer){nth, ENOSPC}, FR_ERR_NOSPACE),
                1);
        cr_assert_eq(told_of(file, FR_IO_READ, (struct one_answer){nth, ENOMEM}, FR_ERR_NOMEM), 1);
    }
    fr_file_close(file);
    test_world_close(&world);
}

Test(uring_queue, after_a_failed_sync_nobody_is_told_that_the_file_is_durable)
{
    struct test_world world = test_world_open();
    struct fr_file *file = test_file_with(&world, "a", COUNT * SIZE);
    unsigned failed = told_of(file, FR_IO_SYNC, (struct one_answer){5, EIO}, FR_ERR_IO);

    cr_assert_eq(failed, 1);
    for (unsigned i = 5; i < COUNT; i++)
        cr_assert_lt(requests[i].status, 0);
    must_be(FR_ERR_POISONED, fr_file_sync(file));
    cr_assert_eq(told_of(file, FR_IO_READ, (struct one_answer){0}, FR_OK), COUNT);
    fr_file_close(file);
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
