/* Queues: order by seed, faults per transfer, and what is under way when the world ends. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/alloc.h"
#include "io/sim_priv.h"
#include "tests/unit/io/sim_world.h"

#define OPS   (&fr_sim_backend_ops)
#define COUNT 8

/* Eight writes of a sector each to one file, by a queue. */
struct bench {
    struct world w;
    struct fr_queue_backend *queue;
    struct fr_file file; /* as far as a backend looks at it */
    struct fr_io_request requests[COUNT];
    char data[COUNT][FR_SIM_SECTOR_SIZE];
    unsigned order[COUNT];
    unsigned done;
};

static struct bench *bench_open(const struct fr_sim_options *options)
{
    struct fr_io_queue_options queue_options = {.depth = COUNT};
    struct bench *b = FR_NEW(struct bench);

    b->w = world_open(options);
    b->file.handle = world_create(&b->w, "a");
    b->file.alignment = 1;
    cr_assert_eq(world_sync_dir(&b->w), 0);
    cr_assert_eq(OPS->queue_open(b->w.sim, &queue_options, &b->queue), FR_OK);
    for (unsigned i = 0; i < COUNT; i++) {
        memset(b->data[i], 'A' + (int)i, FR_SIM_SECTOR_SIZE);
        b->requests[i] = (struct fr_io_request){.op = FR_IO_WRITE,
                .attempt_op = FR_IO_WRITE,
                .file = &b->file,
                .data = b->data[i],
                .size = FR_SIM_SECTOR_SIZE,
                .offset = (uint64_t)i * FR_SIM_SECTOR_SIZE};
    }
    return b;
}

static void bench_close(struct bench *b)
{
    b->queue->ops->close(b->queue);
    world_close_file(&b->w, b->file.handle);
    world_close(&b->w);
    fr_free(b);
}

static unsigned stage_all(struct bench *b)
{
    unsigned staged = 0;

    while (staged < COUNT && b->queue->ops->stage(b->queue, &b->requests[staged]))
        staged++;
    return staged;
}

static void reap_once(struct bench *b, unsigned least)
{
    struct fr_io_request *request = b->queue->ops->reap(b->queue, least);

    for (; request != NULL; request = request->next)
        b->order[b->done++] = (unsigned)(request - b->requests);
}

static void reap(struct bench *b, unsigned count)
{
    while (b->done < count)
        reap_once(b, 1);
}

Test(sim_queue, a_calm_machine_completes_in_order)
{
    struct bench *b = bench_open(NULL);

    cr_assert_eq(stage_all(b), COUNT);
    b->queue->ops->start(b->queue);
    b->queue->ops->start(b->queue);
    cr_assert_eq(fr_sim_op_count(b->w.sim, FR_SIM_QUEUE_START), 1, "there was nothing more");
    reap_once(b, 1);
    cr_assert_eq(b->done, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(b->order[i], i);
        cr_assert_eq(b->requests[i].result, FR_SIM_SECTOR_SIZE);
    }
    reap_once(b, 0);
    cr_assert_eq(b->done, COUNT);
    bench_close(b);
}

static void order_of(uint64_t seed, unsigned *order, uint64_t *ret_trace)
{
    struct fr_sim_options options = {.seed = seed, .reorder = true};
    struct bench *b = bench_open(&options);

    stage_all(b);
    reap(b, COUNT);
    memcpy(order, b->order, sizeof(b->order));
    *ret_trace = fr_sim_trace_hash(b->w.sim);
    bench_close(b);
}

Test(sim_queue, the_seed_decides_the_order_of_completion)
{
    unsigned first[COUNT], again[COUNT], other[COUNT];
    uint64_t first_trace, again_trace, other_trace;

    order_of(1, first, &first_trace);
    order_of(1, again, &again_trace);
    order_of(2, other, &other_trace);
    cr_assert_eq(memcmp(first, again, sizeof(first)), 0);
    cr_assert_eq(first_trace, again_trace);
    cr_assert_neq(memcmp(first, other, sizeof(first)), 0);
    cr_assert_neq(first_trace, other_trace);
}

Test(sim_queue, a_transfer_takes_effect_when_it_is_reaped)
{
    struct bench *b = bench_open(NULL);
    char byte;

    stage_all(b);
    b->queue->ops->start(b->queue);
    cr_assert_eq(world_read(&b->w, b->file.handle, 0, &byte, 1), 0);
    reap(b, COUNT);
    cr_assert_eq(world_read(&b->w, b->file.handle, 0, &byte, 1), 1);
    cr_assert_eq(byte, 'A');
    bench_close(b);
}

static bool is_not_empty(const struct fr_sim_image *image, void *ctx)
{
    size_t size;

    (void)ctx;
    return image_text(image, "a", &size) != NULL && size > 0;
}

Test(sim_queue, a_started_write_may_be_on_the_disk_before_it_is_reaped)
{
    struct bench *b = bench_open(NULL);
    struct fr_sim_crash_options without = {.no_queue = true};

    cr_assert(b->queue->ops->stage(b->queue, &b->requests[0]));
    cr_assert_eq(crash_count(&b->w, NULL, is_not_empty, NULL), 0, "staged is not started");
    b->queue->ops->start(b->queue);
    cr_assert_gt(crash_count(&b->w, NULL, is_not_empty, NULL), 0);
    cr_assert_eq(crash_total(&b->w, &without), 1);
    cr_assert_eq(world_sync(&b->w, b->file.handle), 0);
    cr_assert_gt(crash_total(&b->w, NULL), 1, "a sync does not cover what is under way");
    reap(b, 1);
    cr_assert_eq(world_sync(&b->w, b->file.handle), 0);
    cr_assert_eq(crash_total(&b->w, NULL), 1);
    bench_close(b);
}

Test(sim_queue, a_sync_covers_what_had_completed_when_it_started)
{
    struct fr_sim_options options = {.seed = 3};
    struct bench *b = bench_open(&options);

    b->requests[1].op = b->requests[1].attempt_op = FR_IO_SYNC;
    cr_assert(b->queue->ops->stage(b->queue, &b->requests[0]));
    cr_assert(b->queue->ops->stage(b->queue, &b->requests[1]));
    reap(b, 2);
    cr_assert_gt(crash_total(&b->w, NULL), 1, "they were under way at the same time");
    b->done = 0;
    cr_assert(b->queue->ops->stage(b->queue, &b->requests[1]));
    reap(b, 1);
    cr_assert_eq(crash_total(&b->w, NULL), 1);
    bench_close(b);
}

Test(sim_queue, each_transfer_can_fail_by_itself)
{
    struct bench *b = bench_open(NULL);
    struct fr_sim_fault third = {.ops = FR_SIM_MASK(FR_SIM_WRITE), .nth = 3, .os_error = ECANCELED};
    struct fr_sim_fault fifth = {.ops = FR_SIM_MASK(FR_SIM_WRITE),
            .nth = 5,
            .kind = FR_SIM_FAULT_SHORT,
            .short_by = 500};

    world_fault(&b->w, &third);
    world_fault(&b->w, &fifth);
    stage_all(b);
    reap(b, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        int64_t wanted = i == 2 ? -ECANCELED : i == 4 ? 12 : FR_SIM_SECTOR_SIZE;
        cr_assert_eq(b->requests[i].result, wanted, "%u", i);
    }
    bench_close(b);
}

Test(sim_queue, it_can_be_busy_and_start_less_than_it_was_given)
{
    struct bench *b = bench_open(NULL);
    struct fr_sim_fault busy = {.ops = FR_SIM_MASK(FR_SIM_QUEUE_STAGE), .nth = 3};
    struct fr_sim_fault slow = {.ops = FR_SIM_MASK(FR_SIM_QUEUE_START)};

    world_fault(&b->w, &busy);
    world_fault(&b->w, &slow);
    cr_assert_eq(stage_all(b), 2);
    reap_once(b, 1);
    cr_assert_eq(b->done, 1, "the other one was not started");
    reap_once(b, 1);
    cr_assert_eq(b->done, 2);
    bench_close(b);
}

Test(sim_queue, as_many_are_reaped_as_were_asked_for)
{
    struct fr_sim_options options = {.seed = 9, .reorder = true};
    struct bench *b = bench_open(&options);
    struct fr_sim_fault slow = {.ops = FR_SIM_MASK(FR_SIM_QUEUE_START), .forever = true};

    world_fault(&b->w, &slow);
    stage_all(b);
    reap_once(b, COUNT - 1);
    cr_assert_geq(b->done, COUNT - 1);
    reap_once(b, COUNT);
    cr_assert_eq(b->done, COUNT);
    bench_close(b);
}

Test(sim_queue, a_full_queue_takes_no_more)
{
    struct bench *b = bench_open(NULL);
    struct fr_io_request more = b->requests[0];

    cr_assert_eq(stage_all(b), COUNT);
    cr_assert_not(b->queue->ops->stage(b->queue, &more));
    reap(b, COUNT);
    bench_close(b);
}

Test(sim_queue, chaos_always_makes_progress)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct fr_sim_options options = {.seed = seed,
                .reorder = true,
                .busy_one_in = 2,
                .short_one_in = 2,
                .interrupt_one_in = 2};
        struct bench *b = bench_open(&options);
        unsigned at = 0;

        while (at < COUNT) {
            if (b->queue->ops->stage(b->queue, &b->requests[at]))
                at++;
            else
                reap_once(b, 1);
        }
        reap(b, COUNT);
        for (unsigned i = 0; i < COUNT; i++) {
            int64_t result = b->requests[i].result;
            cr_assert(result == -EINTR || (result > 0 && result <= FR_SIM_SECTOR_SIZE));
        }
        bench_close(b);
    }
}

struct hook_log {
    struct fr_sim *sim;
    unsigned before, after;
    uint64_t last_number;
    size_t units[2 * COUNT];
};

static void log_point(void *ctx, const struct fr_sim_point *point)
{
    struct hook_log *log = ctx;
    struct fr_sim_crash *crash;

    if (!point->queued) return;
    cr_assert_eq(fr_sim_crash_open(log->sim, NULL, &crash), FR_OK);
    log->units[log->before + log->after] = fr_sim_crash_unit_count(crash);
    fr_sim_crash_close(crash);
    cr_assert_eq(point->op, FR_SIM_WRITE_DSYNC);
    cr_assert_str_eq(point->name, "a");
    if (point->after)
        cr_assert_eq(point->number, log->last_number);
    else
        cr_assert_gt(point->number, log->last_number);
    log->last_number = point->number;
    log->before += !point->after;
    log->after += point->after;
}

Test(sim_queue, the_hook_sees_each_completion)
{
    struct bench *b = bench_open(NULL);
    struct hook_log log = {.sim = b->w.sim};

    for (unsigned i = 0; i < COUNT; i++)
        b->requests[i].op = b->requests[i].attempt_op = FR_IO_WRITE_DSYNC;
    fr_sim_set_hook(b->w.sim, log_point, &log);
    stage_all(b);
    reap(b, COUNT);
    cr_assert_eq(log.before, COUNT);
    cr_assert_eq(log.after, COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        cr_assert_eq(log.units[2 * i], 2 * (COUNT - i), "sector and length, under way");
        cr_assert_eq(log.units[2 * i + 1], 2 * (COUNT - i - 1), "durable");
    }
    bench_close(b);
}

/* --- Kill ------------------------------------------------------------------------------------ */

/* What became of the first byte of the file after so many operations on the next machine. */
static bool landed(struct world *w)
{
    fr_handle file = world_open_file(w, "a");
    char byte = 0;

    int64_t size = world_read(w, file, 0, &byte, 1);
    world_close_file(w, file);
    return size == 1 && byte == 'A';
}

Test(sim_queue, after_a_kill_a_started_write_lands_now_or_later_or_never)
{
    unsigned now = 0, later = 0, never = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fr_sim_options options = {.seed = seed};
        struct bench *b = bench_open(&options);
        struct fr_sim *sim;

        cr_assert(b->queue->ops->stage(b->queue, &b->requests[0]));
        b->queue->ops->start(b->queue);
        cr_assert_eq(fr_sim_kill(b->w.sim, &sim), FR_OK);
        struct world next = world_of(sim);
        bool at_once = landed(&next);
        for (int i = 0; i < 40; i++)
            (void)landed(&next);
        bool at_last = landed(&next);
        now += at_once;
        later += !at_once && at_last;
        never += !at_last;
        world_close(&next);
        reap(b, 1);
        bench_close(b);
    }
    cr_assert_gt(now, 0);
    cr_assert_gt(later, 0);
    cr_assert_gt(never, 0);
}

Test(sim_queue, a_dead_process_holds_its_lock_until_its_last_write_has_landed)
{
    unsigned held = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fr_sim_options options = {.seed = seed};
        struct bench *b = bench_open(&options);
        struct fr_dir_lock lock = {.file = &b->file};
        struct fr_io_queue_options queue_options = {.depth = COUNT, .lock = &lock};
        struct fr_queue_backend *queue = b->queue;
        struct fr_sim *sim;

        cr_assert_eq(OPS->file_lock(b->w.sim, b->file.handle), 0);
        cr_assert_eq(OPS->queue_open(b->w.sim, &queue_options, &b->queue), FR_OK);
        cr_assert(b->queue->ops->stage(b->queue, &b->requests[0]));
        b->queue->ops->start(b->queue);
        cr_assert_eq(fr_sim_kill(b->w.sim, &sim), FR_OK);
        struct world next = world_of(sim);
        fr_handle file = world_open_file(&next, "a");
        bool free_at_once = OPS->file_lock(sim, file) == 0;
        bool landed_at_once = landed(&next);
        for (int i = 0; i < 100 && OPS->file_lock(sim, file) != 0; i++)
            cr_assert_not(i == 99, "for ever");
        if (!free_at_once) cr_assert(landed(&next));
        held += !free_at_once && !landed_at_once;
        world_close_file(&next, file);
        world_close(&next);
        reap(b, 1);
        b->queue->ops->close(b->queue);
        b->queue = queue;
        bench_close(b);
    }
    cr_assert_gt(held, 0);
}
