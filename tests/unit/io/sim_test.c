/* The machine as such: it repeats, it keeps time and locks, it runs out of space and memory. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/sim_priv.h"
#include "tests/unit/io/sim_world.h"

#define OPS (&fr_sim_backend_ops)

/* --- Repeatability --------------------------------------------------------------------------- */

/* A history that uses everything, with chaos on; it asks the machine for nothing random. */
static void live_a_little(struct world *w)
{
    static char data[5000];
    fr_handle a = world_create(w, "a");
    fr_handle b = world_create(w, "b");

    for (unsigned i = 0; i < 20; i++) {
        memset(data, 'a' + (int)i, sizeof(data));
        (void)world_write(w, a, i * 700, data, 1000 + i);
        (void)world_write_dsync(w, b, i * 512, data, 512);
        if (i % 5 == 4) (void)world_sync(w, a);
        (void)world_read(w, a, 0, data, sizeof(data));
        (void)OPS->wall_us(w->sim);
    }
    (void)OPS->file_truncate(w->sim, b, 100);
    (void)OPS->file_punch_hole(w->sim, a, 100, 5000);
    (void)world_rename(w, "a", "c");
    (void)world_sync_dir(w);
    (void)world_unlink(w, "b");
    (void)world_write(w, a, 0, data, sizeof(data));
    world_close_file(w, a);
    world_close_file(w, b);
}

struct history {
    uint64_t trace;
    uint64_t images;
    uint64_t now_us;
};

static struct history history_of(uint64_t seed)
{
    struct fr_sim_options options = {
            .seed = seed, .latency = true, .short_one_in = 4, .interrupt_one_in = 8};
    struct world w = world_open(&options);

    live_a_little(&w);
    struct history history = {.trace = fr_sim_trace_hash(w.sim), .images = crash_hash(&w, NULL)};
    history.now_us = OPS->now_us(w.sim);
    world_close(&w);
    return history;
}

Test(sim, the_same_seed_repeats_bit_for_bit)
{
    struct history first = history_of(42), again = history_of(42);

    cr_assert_eq(first.trace, again.trace);
    cr_assert_eq(first.images, again.images);
    cr_assert_eq(first.now_us, again.now_us);
}

Test(sim, another_seed_is_another_history)
{
    struct history first = history_of(42), other = history_of(43);

    cr_assert_neq(first.trace, other.trace);
    cr_assert_neq(first.images, other.images);
    cr_assert_neq(first.now_us, other.now_us);
}

Test(sim, the_trace_tells_different_calls_apart)
{
    uint64_t traces[3];

    for (unsigned i = 0; i < 3; i++) {
        struct world w = world_open(NULL);
        fr_handle file = world_create(&w, "a");
        (void)world_write(&w, file, i == 1, i == 2 ? "x" : "y", 1);
        traces[i] = fr_sim_trace_hash(w.sim);
        world_close_file(&w, file);
        world_close(&w);
    }
    cr_assert_neq(traces[0], traces[1]);
    cr_assert_neq(traces[0], traces[2]);
}

Test(sim, operations_are_counted)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    uint64_t all = fr_sim_op_count(w.sim, FR_SIM_OP_COUNT);
    (void)world_write(&w, file, 0, "x", 1);
    (void)world_write(&w, file, 0, "x", 1);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(fr_sim_op_count(w.sim, FR_SIM_WRITE), 2);
    cr_assert_eq(fr_sim_op_count(w.sim, FR_SIM_SYNC), 1);
    cr_assert_eq(fr_sim_op_count(w.sim, FR_SIM_OP_COUNT), all + 3);
    for (int op = 0; op < FR_SIM_OP_COUNT; op++)
        cr_assert_str_neq(fr_sim_op_name(op), "unknown");
    world_close(&w);
}

/* --- Clocks ---------------------------------------------------------------------------------- */

Test(sim, the_steady_clock_moves_with_operations_and_sleeps)
{
    struct world w = world_open(NULL);

    uint64_t before = OPS->now_us(w.sim);
    OPS->sleep_us(w.sim, 5000);
    uint64_t after = OPS->now_us(w.sim);
    cr_assert_geq(after, before + 5000);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_gt(OPS->now_us(w.sim), after + 1);
    world_close(&w);
}

Test(sim, the_time_of_day_jumps_alone)
{
    struct world w = world_open(NULL);

    uint64_t now = OPS->now_us(w.sim), wall = OPS->wall_us(w.sim);
    fr_sim_wall_jump(w.sim, -3600000000);
    cr_assert_lt(OPS->wall_us(w.sim), wall - 3599000000u);
    cr_assert_lt(OPS->now_us(w.sim), now + 1000);
    cr_assert_gt(OPS->now_us(w.sim), now);
    world_close(&w);
}

/* --- Files and names ------------------------------------------------------------------------- */

Test(sim, reads_and_writes_are_those_of_a_file)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");
    char data[10];

    cr_assert_eq(world_write(&w, file, 5000, "abc", 3), 3);
    cr_assert_eq(world_read(&w, file, 4998, data, 10), 5);
    cr_assert_eq(memcmp(data, "\0\0abc", 5), 0);
    cr_assert_eq(world_read(&w, file, 5003, data, 10), 0);
    cr_assert_eq(world_write(&w, file, UINT64_C(1) << 60, "x", 1), -EFBIG);
    world_close(&w);
}

/* Random writes, cuts and holes against a plain array. */
Test(sim, contents_agree_with_an_array)
{
    static uint8_t model[40000], data[9000], got[sizeof(model)];
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");
    struct fr_rng rng;
    size_t size = 0;

    fr_rng_init(&rng, 5);
    for (unsigned i = 0; i < 2000; i++) {
        size_t n = (size_t)fr_rng_below(&rng, sizeof(data)) + 1;
        size_t at = (size_t)fr_rng_below(&rng, sizeof(model) - n);

        switch (fr_rng_below(&rng, 8)) {
        case 0:
            cr_assert_eq(OPS->file_truncate(w.sim, file, at), 0);
            memset(model + at, 0, sizeof(model) - at);
            size = at;
            break;
        case 1:
            cr_assert_eq(OPS->file_punch_hole(w.sim, file, at, n), 0);
            if (at < size) memset(model + at, 0, FR_MIN(n, size - at));
            break;
        case 2:
            cr_assert_eq(world_sync(&w, file), 0);
            break;
        default:
            fr_rng_fill(&rng, data, n);
            cr_assert_eq(world_write(&w, file, at, data, n), (int64_t)n);
            memcpy(model + at, data, n);
            size = FR_MAX(size, at + n);
            break;
        }
        cr_assert_eq(world_read(&w, file, 0, got, sizeof(got)), (int64_t)size);
        cr_assert_eq(memcmp(got, model, size), 0);
    }
    world_close(&w);
}

Test(sim, names_answer_as_the_kernel_does)
{
    struct world w = world_open(NULL);
    struct fr_open_result result;
    fr_handle file, dir;

    cr_assert_eq(OPS->file_open(w.sim, w.root, "a", 0, &result), -ENOENT);
    world_close_file(&w, world_create(&w, "a"));
    cr_assert_eq(world_try_create(&w, "a", &file), -EEXIST);
    cr_assert_eq(OPS->dir_make(w.sim, w.root, "a"), -EEXIST);
    cr_assert_eq(OPS->dir_make(w.sim, w.root, "d"), 0);
    cr_assert_eq(OPS->file_open(w.sim, w.root, "d", 0, &result), -EISDIR);
    cr_assert_eq(OPS->dir_open(w.sim, "a", &dir), -ENOTDIR);
    cr_assert_eq(OPS->dir_open(w.sim, "./d/", &dir), 0);
    cr_assert_eq(OPS->dir_open(w.sim, "/d/e", &file), -ENOENT);
    cr_assert_eq(OPS->dir_unlink(w.sim, w.root, "d"), -EISDIR);
    cr_assert_eq(OPS->dir_remove(w.sim, w.root, "a"), -ENOTDIR);
    cr_assert_eq(OPS->dir_link(w.sim, w.root, "a", dir, "b"), 0);
    cr_assert_eq(OPS->dir_link(w.sim, w.root, "a", dir, "b"), -EEXIST);
    cr_assert_eq(OPS->dir_link(w.sim, w.root, "d", dir, "c"), -EPERM);
    cr_assert_eq(OPS->dir_remove(w.sim, w.root, "d"), -ENOTEMPTY);
    cr_assert_eq(world_rename(&w, "a", "d"), -EISDIR);
    cr_assert_eq(world_rename(&w, "d", "a"), -ENOTDIR);
    cr_assert_eq(world_rename(&w, "x", "y"), -ENOENT);
    cr_assert_eq(OPS->dir_unlink(w.sim, dir, "b"), 0);
    cr_assert_eq(OPS->dir_remove(w.sim, w.root, "d"), 0);
    cr_assert_eq(OPS->dir_make(w.sim, dir, "late"), -ENOENT);
    world_close(&w);
}

Test(sim, a_file_without_a_name_works_until_it_is_closed)
{
    struct fr_sim_options options = {.capacity_bytes = 4 * FR_SIM_PAGE_SIZE};
    struct world w = world_open(&options);
    fr_handle file = world_create(&w, "a");
    struct fr_file_info info;
    uint64_t space, total;
    char byte;

    world_fill(&w, file, 0, 'x', 2 * FR_SIM_PAGE_SIZE);
    cr_assert_eq(world_unlink(&w, "a"), 0);
    cr_assert_eq(world_read(&w, file, 8000, &byte, 1), 1);
    cr_assert_eq(byte, 'x');
    cr_assert_eq(OPS->file_info(w.sim, file, &info), 0);
    cr_assert_eq(info.link_count, 0);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(OPS->dir_space(w.sim, w.root, &space, &total), 0);
    cr_assert_eq(space, 2 * FR_SIM_PAGE_SIZE);
    world_close_file(&w, file);
    cr_assert_eq(OPS->dir_space(w.sim, w.root, &space, &total), 0);
    cr_assert_eq(space, 4 * FR_SIM_PAGE_SIZE);
    world_close(&w);
}

Test(sim, a_full_disk_writes_what_fits)
{
    struct fr_sim_options options = {.capacity_bytes = 2 * FR_SIM_PAGE_SIZE};
    struct world w = world_open(&options);
    fr_handle file = world_create(&w, "a");
    static char data[3 * FR_SIM_PAGE_SIZE];

    cr_assert_eq(world_write(&w, file, 100, data, sizeof(data)), 2 * FR_SIM_PAGE_SIZE - 100);
    cr_assert_eq(world_write(&w, file, 2 * FR_SIM_PAGE_SIZE, data, 1), -ENOSPC);
    cr_assert_eq(world_write(&w, file, 5, data, 10), 10, "overwriting needs no room");
    cr_assert_eq(OPS->file_punch_hole(w.sim, file, 0, FR_SIM_PAGE_SIZE), 0);
    cr_assert_eq(world_write(&w, file, 2 * FR_SIM_PAGE_SIZE, data, 1), 1);
    cr_assert_eq(world_write(&w, file, 0, data, 1), -ENOSPC);
    world_close(&w);
}

Test(sim, direct_io_must_be_aligned)
{
    struct fr_sim_options options = {.direct_alignment = 512, .short_one_in = 1};
    struct world w = world_open(&options);
    struct fr_open_result result;
    FR_ALIGNED(512) static char data[4096];

    world_close_file(&w, world_create(&w, "a"));
    cr_assert_eq(OPS->file_open(w.sim, w.root, "a", FR_OPEN_WRITE | FR_OPEN_DIRECT, &result), 0);
    cr_assert(result.direct);
    cr_assert_eq(result.alignment, 512);
    cr_assert_eq(world_write(&w, result.handle, 1, data, 512), -EINVAL);
    cr_assert_eq(world_write(&w, result.handle, 0, data + 1, 512), -EINVAL);
    cr_assert_eq(world_write(&w, result.handle, 0, data, 511), -EINVAL);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(world_write(&w, result.handle, 0, data, sizeof(data)) % 512, 0);
    world_close(&w);

    w = world_open(NULL);
    world_close_file(&w, world_create(&w, "a"));
    cr_assert_eq(OPS->file_open(w.sim, w.root, "a", FR_OPEN_WRITE | FR_OPEN_DIRECT, &result), 0);
    cr_assert_not(result.direct);
    cr_assert_eq(result.alignment, 1);
    world_close(&w);
}

/* --- Locks and death ------------------------------------------------------------------------- */

Test(sim, a_lock_belongs_to_its_handle)
{
    struct world w = world_open(NULL);
    fr_handle first = world_create(&w, "lock");
    fr_handle second = world_open_file(&w, "lock");

    cr_assert_eq(OPS->file_lock(w.sim, first), 0);
    cr_assert_eq(OPS->file_lock(w.sim, first), 0);
    cr_assert_eq(OPS->file_lock(w.sim, second), -EAGAIN);
    world_close_file(&w, first);
    cr_assert_eq(OPS->file_lock(w.sim, second), 0);
    world_close(&w);
}

Test(sim, a_kill_keeps_all_that_was_written_and_drops_locks)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");
    struct fr_sim *sim;
    char data[3];

    cr_assert_eq(world_write(&w, file, 0, "abc", 3), 3);
    cr_assert_eq(OPS->file_lock(w.sim, file), 0);
    cr_assert_eq(fr_sim_kill(w.sim, &sim), FR_OK);
    struct world next = world_of(sim);
    fr_handle again = world_open_file(&next, "a");
    cr_assert_eq(OPS->file_lock(sim, again), 0);
    cr_assert_eq(world_read(&next, again, 0, data, 3), 3);
    cr_assert_eq(memcmp(data, "abc", 3), 0);
    cr_assert_eq(crash_total(&next, NULL), crash_total(&w, NULL), "what is pending stays pending");

    /* The old machine goes its own way. */
    cr_assert_eq(world_write(&w, file, 0, "xyz", 3), 3);
    cr_assert_eq(world_read(&next, again, 0, data, 3), 3);
    cr_assert_eq(memcmp(data, "abc", 3), 0);
    world_close(&next);
    world_close(&w);
}

Test(sim, an_image_boots_as_often_as_one_likes)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");
    struct fr_sim_image *image;
    struct fr_sim *sims[2];
    struct fr_file_info before, after;

    cr_assert_eq(world_write(&w, file, 0, "abc", 3), 3);
    cr_assert_eq(OPS->file_info(w.sim, file, &before), 0);
    cr_assert_eq(fr_sim_image_take(w.sim, &image), FR_OK);
    cr_assert_str_eq(fr_sim_image_origin(image), "shut down");
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(fr_sim_image_boot(image, i, &sims[i]), FR_OK);
    uint64_t hash = fr_sim_image_hash(image);
    fr_sim_image_free(image);
    struct world first = world_of(sims[0]), second = world_of(sims[1]);
    cr_assert_gt(OPS->now_us(sims[0]), OPS->now_us(w.sim));
    world_fill(&first, world_open_file(&first, "a"), 0, 'x', 5000);
    cr_assert_eq(OPS->file_info(sims[1], world_open_file(&second, "a"), &after), 0);
    cr_assert_eq(after.size, 3);
    cr_assert_eq(after.inode, before.inode);
    cr_assert_eq(fr_sim_image_take(sims[1], &image), FR_OK);
    cr_assert_eq(fr_sim_image_hash(image), hash);
    fr_sim_image_free(image);
    world_close(&first);
    world_close(&second);
    world_close(&w);
}

struct hook_log {
    unsigned before, after;
    enum fr_sim_op last;
};

static void log_point(void *ctx, const struct fr_sim_point *point)
{
    struct hook_log *log = ctx;

    log->before += !point->after;
    log->after += point->after;
    log->last = point->op;
    cr_assert_eq(point->queued, false);
}

Test(sim, the_hook_is_called_around_changes_only)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");
    struct hook_log log = {0};
    char byte;

    fr_sim_set_hook(w.sim, log_point, &log);
    cr_assert_eq(world_write(&w, file, 0, "x", 1), 1);
    cr_assert_eq(world_read(&w, file, 0, &byte, 1), 1);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(log.before, 2);
    cr_assert_eq(log.after, 2);
    cr_assert_eq(log.last, FR_SIM_SYNC);
    world_close(&w);
}

/* --- Under the front ------------------------------------------------------------------------- */

#define TRANSFERS 40

/* Write by a queue and read back by blocking calls, on a machine where nothing goes smoothly. */
static void write_and_read(struct fr_env *env)
{
    FR_ALIGNED(4096) static uint8_t data[TRANSFERS][1024], got[TRANSFERS][1024];
    struct fr_io_request requests[TRANSFERS] = {0};
    struct fr_io_queue *queue;
    struct fr_file *file;
    struct fr_dir *dir;

    cr_assert_eq(fr_dir_open(env, "/store", FR_DIR_CREATE, &dir), FR_OK);
    cr_assert_eq(fr_file_open(dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT, &file),
            FR_OK);
    cr_assert_eq(fr_io_queue_open(env, NULL, &queue), FR_OK);
    for (unsigned i = 0; i < TRANSFERS; i++) {
        memset(data[i], 'A' + (int)i, sizeof(data[i]));
        requests[i] = (struct fr_io_request){.op = i % 2 ? FR_IO_WRITE : FR_IO_WRITE_DSYNC,
                .file = file,
                .data = data[i],
                .size = sizeof(data[i]),
                .offset = i * sizeof(data[i])};
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_io_queue_wait(queue, TRANSFERS);
    for (unsigned i = 0; i < TRANSFERS; i++)
        cr_assert_eq(fr_io_request_check(fr_io_queue_pop(queue)), FR_OK);
    cr_assert_eq(fr_file_sync(file), FR_OK);
    cr_assert_eq(fr_dir_sync(dir), FR_OK);
    cr_assert_eq(fr_file_read_exact(file, 0, got, sizeof(got)), FR_OK);
    cr_assert_eq(memcmp(got, data, sizeof(data)), 0);
    fr_io_queue_close(queue);
    fr_file_close(file);
    fr_dir_close(dir);
}

Test(sim, the_front_hides_all_chaos)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fr_sim_options options = {.seed = seed,
                .direct_alignment = 512,
                .latency = true,
                .short_one_in = 2,
                .interrupt_one_in = 3,
                .busy_one_in = 3,
                .reorder = true};
        struct fr_sim *sim;

        cr_assert_eq(fr_sim_open(&options, &sim), FR_OK);
        write_and_read(fr_sim_env(sim));
        struct world w = world_of(sim);
        cr_assert_eq(crash_total(&w, NULL), 1, "all of it is durable");
        world_close(&w);
    }
}

Test(sim, the_front_gives_up_after_a_failed_sync)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC), .kind = FR_SIM_FAULT_SYNC_NOW};
    struct fr_file *file;
    struct fr_dir *dir;

    cr_assert_eq(fr_dir_open(fr_sim_env(w.sim), "/", 0, &dir), FR_OK);
    cr_assert_eq(fr_file_open(dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE, &file), FR_OK);
    cr_assert_eq(fr_file_write(file, 0, "new", 3, 0), FR_OK);
    world_fault(&w, &fault);
    cr_assert_eq(fr_file_sync(file), FR_ERR_IO);
    cr_assert_eq(fr_file_sync(file), FR_ERR_POISONED);
    fr_file_close(file);
    fr_dir_close(dir);
    world_close(&w);
}

/* --- Threads --------------------------------------------------------------------------------- */

struct worker {
    struct fr_thread thread;
    struct world *w;
    char name[8];
    bool intact;
};

/* Nothing here may use the test framework: it is no other thread's. */
static void work(void *arg)
{
    struct worker *worker = arg;
    struct fr_sim_crash *crash;
    fr_handle file;
    char data[700], got[sizeof(data)];

    worker->intact = world_try_create(worker->w, worker->name, &file) == 0;
    for (unsigned i = 0; worker->intact && i < 50; i++) {
        memset(data, worker->name[0] + (int)i, sizeof(data));
        worker->intact = world_write(worker->w, file, i * 600, data, sizeof(data)) > 0 &&
                         world_sync(worker->w, file) == 0 &&
                         world_read(worker->w, file, i * 600, got, sizeof(got)) > 0 &&
                         memcmp(data, got, sizeof(data)) == 0 &&
                         fr_sim_crash_open(worker->w->sim, NULL, &crash) == FR_OK;
        if (worker->intact) fr_sim_crash_close(crash);
    }
}

Test(sim, threads_may_use_one_machine)
{
    struct world w = world_open(NULL);
    struct worker workers[4] = {0};

    for (unsigned i = 0; i < 4; i++) {
        workers[i].w = &w;
        workers[i].name[0] = (char)('a' + i);
        cr_assert_eq(fr_thread_start(&workers[i].thread, "worker", work, &workers[i]), FR_OK);
    }
    for (unsigned i = 0; i < 4; i++) {
        fr_thread_join(&workers[i].thread);
        cr_assert(workers[i].intact);
    }
    world_close(&w);
}

/* --- Memory ---------------------------------------------------------------------------------- */

/* Everything that takes memory, ending cleanly wherever there is none. */
static void use_memory(void)
{
    struct fr_sim_crash_options options = {.images_max = 6};
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_STAT), .name = "x"};
    struct fr_sim *sim = NULL, *next = NULL;
    struct fr_sim_crash *crash = NULL;
    struct fr_sim_image *image = NULL;
    struct fr_open_result file = {0};
    fr_handle root = 0;
    char data[1000] = "data";

    if (fr_sim_open(NULL, &sim) < 0) return;
    (void)!fr_sim_fault_add(sim, &fault);
    if (OPS->dir_open(sim, "/", &root) == 0) {
        for (unsigned i = 0; i < 3; i++) {
            (void)OPS->dir_make(sim, root, "d");
            int rc = OPS->file_open(sim, root, "a", FR_OPEN_WRITE | FR_OPEN_CREATE, &file);
            if (rc == 0) {
                (void)OPS->file_write(sim, file.handle, i * 100, data, sizeof(data), false);
                (void)OPS->file_write(sim, file.handle, 9000, data, sizeof(data), true);
                (void)OPS->file_sync(sim, file.handle);
                (void)OPS->file_truncate(sim, file.handle, 300);
                (void)OPS->file_punch_hole(sim, file.handle, 10, 100);
                OPS->file_close(sim, file.handle);
            }
            (void)OPS->dir_link(sim, root, "a", root, "l");
            (void)OPS->dir_rename(sim, root, "a", "b");
            (void)OPS->dir_sync(sim, root);
            (void)OPS->dir_unlink(sim, root, "l");
        }
    }
    if (fr_sim_crash_open(sim, &options, &crash) == FR_OK)
        while (fr_sim_crash_next(crash, &image) == FR_OK)
            fr_sim_image_free(image);
    fr_sim_crash_close(crash);
    if (fr_sim_kill(sim, &next) == FR_OK) fr_sim_close(next);
    if (fr_sim_image_take(sim, &image) == FR_OK) {
        if (fr_sim_image_boot(image, 1, &next) == FR_OK) fr_sim_close(next);
        fr_sim_image_free(image);
    }
    fr_sim_close(sim);
}

static uint64_t live_count(void)
{
    struct fr_alloc_stats stats;

    fr_alloc_stats_get(&stats);
    return stats.live_count;
}

static unsigned sweep_memory(bool forever)
{
    unsigned n = 0;

    do {
        uint64_t before = live_count();
        fr_alloc_fail_at(++n, forever);
        use_memory();
        bool hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(live_count(), before, "allocation %u", n);
        if (!hit) break;
    } while (n < 100000);
    return n;
}

Test(sim, nothing_leaks_whichever_allocation_fails)
{
    cr_assert_gt(sweep_memory(false), 200);
    cr_assert_gt(sweep_memory(true), 200);
}

/* A failed operation changes nothing, a sync does not fail, and what it made durable stays so. */
Test(sim, a_sync_needs_no_memory)
{
    struct world w = world_open(NULL);
    fr_handle file = world_create(&w, "a");

    for (unsigned i = 0; i < 4; i++) {
        world_fill(&w, file, i * 3000, (char)('a' + i), 5000);
        if (i == 2) cr_assert_eq(OPS->file_truncate(w.sim, file, 1000), 0);
        fr_alloc_fail_at(1, true);
        int synced = world_sync(&w, file), named = world_sync_dir(&w);
        fr_alloc_fail_at(0, false);
        cr_assert_eq(synced, 0);
        cr_assert_eq(named, 0);
        cr_assert_eq(crash_total(&w, NULL), 1);
    }
    world_close(&w);
}

Test(sim, odd_options_are_refused)
{
    struct fr_sim_options options = {.direct_alignment = 3};
    struct fr_sim *sim;

    cr_assert_eq(fr_sim_open(&options, &sim), FR_ERR_MISUSE);
    options = (struct fr_sim_options){.capacity_bytes = 100};
    cr_assert_eq(fr_sim_open(&options, &sim), FR_ERR_MISUSE);
}
