/* Faults: each kind fires at exactly the wanted operation, and each sync mode behaves as said. */
#include <criterion/criterion.h>
#include <errno.h>

#include "base/alloc.h"
#include "io/sim_priv.h"
#include "tests/unit/io/sim_world.h"

#define OPS (&fr_sim_backend_ops)

/* --- Every operation ------------------------------------------------------------------------- */

/* A machine on which each operation can be done as often as one likes. */
struct bench {
    struct world w;
    fr_handle file;
    unsigned round;
};

static struct bench bench_open(void)
{
    struct bench b = {.w = world_open(NULL)};

    b.file = world_create(&b.w, "file");
    world_fill(&b.w, b.file, 0, 'x', 8192);
    return b;
}

static void bench_close(struct bench *b)
{
    world_close_file(&b->w, b->file);
    world_close(&b->w);
}

static int close_if(struct bench *b, int rc, fr_handle handle)
{
    if (rc == 0) OPS->file_close(b->w.sim, handle);
    return rc;
}

static int open_queue(struct bench *b)
{
    struct fr_io_queue_options options = {0};
    struct fr_queue_backend *queue = NULL;
    struct fr_error error = {.size = sizeof(error)};

    if (OPS->queue_open(b->w.sim, &options, &queue) == FR_OK) {
        queue->ops->close(queue);
        return 0;
    }
    cr_assert_eq(fr_last_error_get(&error), FR_OK);
    return -error.os_error;
}

static void ignore_name(void *ctx, const char *name)
{
    (void)ctx;
    (void)name;
}

/* Make room for one more of an operation, by others that no fault is armed for. */
static void prepare(struct bench *b, enum fr_sim_op op)
{
    fr_handle file;

    (void)OPS->dir_unlink(b->w.sim, b->w.root, "new");
    (void)OPS->dir_remove(b->w.sim, b->w.root, "dir");
    if (op == FR_SIM_REMOVE) (void)OPS->dir_make(b->w.sim, b->w.root, "dir");
    if (op == FR_SIM_UNLINK || op == FR_SIM_RENAME) {
        (void)OPS->dir_unlink(b->w.sim, b->w.root, "old");
        if (world_try_create(&b->w, "old", &file) == 0) world_close_file(&b->w, file);
    }
}

static int do_op(struct bench *b, enum fr_sim_op op)
{
    struct fr_sim *sim = b->w.sim;
    fr_handle root = b->w.root, handle = 0;
    struct fr_file_info info;
    struct fr_open_result result = {0};
    uint64_t space, total;
    char data[512] = {0};
    int rc;

    switch (op) {
    case FR_SIM_DIR_OPEN:
        rc = OPS->dir_open(sim, "/", &handle);
        return close_if(b, rc, handle);
    case FR_SIM_MAKE:
        return OPS->dir_make(sim, root, "dir");
    case FR_SIM_REMOVE:
        return OPS->dir_remove(sim, root, "dir");
    case FR_SIM_SYNC_DIR:
        return OPS->dir_sync(sim, root);
    case FR_SIM_RENAME:
        return OPS->dir_rename(sim, root, "old", "new");
    case FR_SIM_LINK:
        return OPS->dir_link(sim, root, "file", root, "new");
    case FR_SIM_UNLINK:
        return OPS->dir_unlink(sim, root, "old");
    case FR_SIM_STAT:
        return OPS->dir_stat(sim, root, "file", &info);
    case FR_SIM_LIST:
        return OPS->dir_list(sim, root, ignore_name, NULL);
    case FR_SIM_SPACE:
        return OPS->dir_space(sim, root, &space, &total);
    case FR_SIM_LOCK:
        return OPS->file_lock(sim, b->file);
    case FR_SIM_OPEN:
        rc = OPS->file_open(sim, root, "file", FR_OPEN_WRITE, &result);
        return close_if(b, rc, result.handle);
    case FR_SIM_CREATE:
        rc = OPS->file_open(sim, root, "new", FR_OPEN_WRITE | FR_OPEN_CREATE, &result);
        return close_if(b, rc, result.handle);
    case FR_SIM_READ:
        rc = (int)OPS->file_read(sim, b->file, 0, data, sizeof(data));
        return FR_MIN(rc, 0);
    case FR_SIM_WRITE:
    case FR_SIM_WRITE_DSYNC:
        rc = (int)OPS->file_write(sim, b->file, 0, data, sizeof(data), op == FR_SIM_WRITE_DSYNC);
        return FR_MIN(rc, 0);
    case FR_SIM_SYNC:
        return OPS->file_sync(sim, b->file);
    case FR_SIM_TRUNCATE:
        return OPS->file_truncate(sim, b->file, 8192 + b->round++);
    case FR_SIM_PUNCH_HOLE:
        return OPS->file_punch_hole(sim, b->file, 0, 512);
    case FR_SIM_INFO:
        return OPS->file_info(sim, b->file, &info);
    case FR_SIM_QUEUE_OPEN:
        return open_queue(b);
    default:
        return 0;
    }
}

/* Answers of five operations in a row, as bits: 1 where the fault fired. */
static unsigned fired(enum fr_sim_op op, const struct fr_sim_fault *fault)
{
    struct bench b = bench_open();
    unsigned bits = 0;

    for (unsigned i = 0; i < 5; i++) {
        prepare(&b, op);
        if (i == 0) world_fault(&b.w, fault);
        int rc = do_op(&b, op);
        cr_assert(rc == 0 || rc == -EDQUOT, "%s: %d", fr_sim_op_name(op), rc);
        bits |= (unsigned)(rc != 0) << i;
    }
    bench_close(&b);
    return bits;
}

Test(sim_fault, each_operation_fails_at_the_nth_and_only_there)
{
    for (int op = 0; op < FR_SIM_QUEUE_STAGE; op++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(op), .nth = 3, .os_error = EDQUOT};

        /* These two are used in the preparation as well, and have a test of their own. */
        if (op == FR_SIM_UNLINK || op == FR_SIM_REMOVE) continue;
        cr_assert_eq(fired(op, &fault), 0x04, "%s once", fr_sim_op_name(op));
        fault.forever = true;
        cr_assert_eq(fired(op, &fault), 0x1c, "%s forever", fr_sim_op_name(op));
    }
}

Test(sim_fault, removals_fail_at_the_nth_and_only_there)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_UNLINK) | FR_SIM_MASK(FR_SIM_REMOVE),
            .nth = 2,
            .os_error = EACCES};

    prepare(&b, FR_SIM_UNLINK);
    prepare(&b, FR_SIM_REMOVE);
    world_fault(&b.w, &fault);
    cr_assert_eq(do_op(&b, FR_SIM_UNLINK), 0);
    cr_assert_eq(do_op(&b, FR_SIM_REMOVE), -EACCES);
    cr_assert_eq(do_op(&b, FR_SIM_REMOVE), 0);
    cr_assert_eq(do_op(&b, FR_SIM_REMOVE), -ENOENT);
    fault.forever = true;
    world_fault(&b.w, &fault);
    cr_assert_eq(do_op(&b, FR_SIM_UNLINK), -ENOENT);
    cr_assert_eq(do_op(&b, FR_SIM_UNLINK), -EACCES);
    cr_assert_eq(do_op(&b, FR_SIM_REMOVE), -EACCES);
    cr_assert_eq(fr_sim_fault_hits(b.w.sim), 3);
    bench_close(&b);
}

Test(sim_fault, a_failed_operation_has_not_happened)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK_ALL, .forever = true, .os_error = EROFS};
    struct fr_sim_image *before, *after;

    prepare(&b, FR_SIM_RENAME);
    cr_assert_eq(fr_sim_image_take(b.w.sim, &before), FR_OK);
    world_fault(&b.w, &fault);
    for (int op = 0; op < FR_SIM_QUEUE_STAGE; op++)
        cr_assert_eq(do_op(&b, op), -EROFS, "%s", fr_sim_op_name(op));
    cr_assert_eq(fr_sim_image_take(b.w.sim, &after), FR_OK);
    cr_assert_eq(fr_sim_image_hash(before), fr_sim_image_hash(after));
    fr_sim_image_free(before);
    fr_sim_image_free(after);
    bench_close(&b);
}

Test(sim_fault, an_operation_may_happen_and_fail_all_the_same)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_RENAME) | FR_SIM_MASK(FR_SIM_WRITE),
            .kind = FR_SIM_FAULT_ERROR_AFTER,
            .forever = true};
    char data[3];

    prepare(&b, FR_SIM_RENAME);
    world_fault(&b.w, &fault);
    cr_assert_eq(do_op(&b, FR_SIM_RENAME), -EIO);
    cr_assert_eq(do_op(&b, FR_SIM_RENAME), -ENOENT, "it was renamed");
    cr_assert_eq(world_write(&b.w, b.file, 0, "abc", 3), -EIO);
    cr_assert_eq(world_read(&b.w, b.file, 0, data, 3), 3);
    cr_assert_eq(memcmp(data, "abc", 3), 0);
    bench_close(&b);
}

Test(sim_fault, a_name_chooses_the_file)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_WRITE), .forever = true, .name = "*.wal"};
    fr_handle wal = world_create(&b.w, "1.wal");

    world_fault(&b.w, &fault);
    cr_assert_eq(do_op(&b, FR_SIM_WRITE), 0);
    cr_assert_eq(world_write(&b.w, wal, 0, "x", 1), -EIO);
    cr_assert_eq(do_op(&b, FR_SIM_WRITE), 0);
    fr_sim_fault_clear(b.w.sim);
    cr_assert_eq(world_write(&b.w, wal, 0, "x", 1), 1);
    world_close_file(&b.w, wal);
    bench_close(&b);
}

Test(sim_fault, several_count_side_by_side)
{
    struct bench b = bench_open();
    struct fr_sim_fault second = {.ops = FR_SIM_MASK(FR_SIM_STAT), .nth = 2, .os_error = EINTR};
    struct fr_sim_fault third = {.ops = FR_SIM_MASK(FR_SIM_STAT), .nth = 3, .os_error = EMFILE};

    world_fault(&b.w, &second);
    world_fault(&b.w, &third);
    cr_assert_eq(do_op(&b, FR_SIM_STAT), 0);
    cr_assert_eq(do_op(&b, FR_SIM_STAT), -EINTR);
    cr_assert_eq(do_op(&b, FR_SIM_STAT), -EMFILE);
    cr_assert_eq(do_op(&b, FR_SIM_STAT), 0);
    bench_close(&b);
}

Test(sim_fault, transfers_are_short_by_so_many_bytes)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ) | FR_SIM_MASK(FR_SIM_WRITE),
            .kind = FR_SIM_FAULT_SHORT,
            .short_by = 3,
            .forever = true};
    char data[10] = "abcdefghi";

    world_fault(&b.w, &fault);
    cr_assert_eq(world_write(&b.w, b.file, 0, data, 10), 7);
    cr_assert_eq(world_write(&b.w, b.file, 0, data, 3), 0);
    cr_assert_eq(world_read(&b.w, b.file, 5, data, 10), 7);
    cr_assert_eq(memcmp(data, "fgxxx", 5), 0, "what was cut off is not there");
    bench_close(&b);
}

Test(sim_fault, nonsense_is_refused)
{
    struct bench b = bench_open();
    struct fr_sim_fault fault = {0};

    cr_assert_eq(fr_sim_fault_add(b.w.sim, &fault), FR_ERR_MISUSE);
    fault = (struct fr_sim_fault){.ops = FR_SIM_MASK(FR_SIM_WRITE), .kind = FR_SIM_FAULT_SYNC_LIE};
    cr_assert_eq(fr_sim_fault_add(b.w.sim, &fault), FR_ERR_MISUSE);
    fault = (struct fr_sim_fault){.ops = FR_SIM_MASK(FR_SIM_SYNC), .kind = FR_SIM_FAULT_SHORT};
    cr_assert_eq(fr_sim_fault_add(b.w.sim, &fault), FR_ERR_MISUSE);
    bench_close(&b);
}

/* --- Syncs ----------------------------------------------------------------------------------- */

static bool holds(const struct fr_sim_image *image, void *ctx)
{
    const char *text = image_text(image, "a", NULL);

    return text != NULL && strcmp(text, ctx) == 0;
}

static unsigned images_holding(struct world *w, const char *text)
{
    char copy[16];

    memcpy(copy, text, strlen(text) + 1);
    return crash_count(w, NULL, holds, copy);
}

/* "old" is durable, "new" is about to be synced. */
static struct world sync_world(enum fr_sim_fault_kind kind, fr_handle *ret_file)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC), .kind = kind};

    *ret_file = world_create(&w, "a");
    cr_assert_eq(world_write(&w, *ret_file, 0, "old", 3), 3);
    cr_assert_eq(world_sync(&w, *ret_file), 0);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(world_write(&w, *ret_file, 0, "new", 3), 3);
    world_fault(&w, &fault);
    return w;
}

static void cr_reads(struct world *w, fr_handle file, const char *text)
{
    char data[4] = "";

    cr_assert_eq(world_read(w, file, 0, data, 3), 3);
    cr_assert_str_eq(data, text);
}

Test(sim_fault, pages_lost_by_a_failed_sync_stay_readable_and_are_never_durable)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_NOW, &file);

    cr_assert_eq(world_sync(&w, file), -EIO);
    cr_assert_eq(world_sync(&w, file), 0, "the retry that has fooled many");
    cr_reads(&w, file, "new");
    cr_assert_eq(images_holding(&w, "old"), 1);
    cr_assert_eq(images_holding(&w, "new"), 1);

    /* What is written afterwards is durable, on top of whatever was there. */
    cr_assert_eq(world_write(&w, file, 0, "N", 1), 1);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(images_holding(&w, "Nld"), 1);
    cr_assert_eq(images_holding(&w, "New"), 1);
    world_close(&w);
}

Test(sim_fault, a_late_error_comes_with_the_next_sync)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_LATE, &file);

    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_gt(images_holding(&w, "old"), 0);
    fr_handle other = world_open_file(&w, "a");
    cr_assert_eq(world_sync(&w, other), -EIO);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_gt(images_holding(&w, "old"), 0);
    world_close(&w);
}

Test(sim_fault, each_handle_hears_of_the_error_once)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_HANDLES, &file);
    fr_handle other = world_open_file(&w, "a");

    cr_assert_eq(world_sync(&w, file), -EIO);
    fr_handle late = world_open_file(&w, "a");
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(world_sync(&w, other), -EIO);
    cr_assert_eq(world_sync(&w, other), 0);
    cr_assert_eq(world_sync(&w, late), 0);
    cr_assert_gt(images_holding(&w, "old"), 0);
    world_close(&w);
}

Test(sim_fault, a_lie_makes_nothing_durable_until_an_honest_sync)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_LIE, &file);

    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_gt(images_holding(&w, "old"), 0);
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(images_holding(&w, "old"), 0);
    world_close(&w);
}

Test(sim_fault, a_lie_may_last_forever)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC) |
                                        FR_SIM_MASK(FR_SIM_SYNC_DIR),
            .kind = FR_SIM_FAULT_SYNC_LIE,
            .forever = true};
    struct fr_sim_image *image;
    struct fr_sim_crash *crash;

    world_fault(&w, &fault);
    fr_handle file = world_create(&w, "a");
    cr_assert_eq(world_write_dsync(&w, file, 0, "new", 3), 3);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(world_sync(&w, file), 0);
        cr_assert_eq(world_sync_dir(&w), 0);
    }
    cr_assert_eq(fr_sim_crash_open(w.sim, NULL, &crash), FR_OK);
    cr_assert_eq(fr_sim_crash_next(crash, &image), FR_OK);
    cr_assert_null(image_text(image, "a", NULL), "the first image has nothing at all");
    fr_sim_image_free(image);
    fr_sim_crash_close(crash);
    world_close(&w);
}

Test(sim_fault, a_failed_synchronous_write_is_readable_and_not_durable)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_NOW, &file);
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_WRITE_DSYNC), .kind = FR_SIM_FAULT_SYNC_NOW};

    fr_sim_fault_clear(w.sim);
    cr_assert_eq(world_sync(&w, file), 0);
    world_fault(&w, &fault);
    cr_assert_eq(world_write_dsync(&w, file, 0, "sss", 3), -EIO);
    cr_reads(&w, file, "sss");
    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_gt(images_holding(&w, "new"), 0);
    world_close(&w);
}

Test(sim_fault, a_failed_sync_of_a_directory_loses_names)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_SYNC_DIR), .kind = FR_SIM_FAULT_SYNC_NOW};

    world_fault(&w, &fault);
    world_create(&w, "a");
    cr_assert_eq(world_sync_dir(&w), -EIO);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(crash_total(&w, NULL), 2, "still there or not");
    world_close(&w);
}

Test(sim_fault, a_durable_rename_needs_what_a_failed_sync_has_lost)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_SYNC_DIR), .kind = FR_SIM_FAULT_SYNC_NOW};
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;

    world_create(&w, "a");
    cr_assert_eq(world_sync_dir(&w), 0);
    world_fault(&w, &fault);
    cr_assert_eq(world_rename(&w, "a", "b"), 0);
    cr_assert_eq(world_sync_dir(&w), -EIO);
    cr_assert_eq(crash_total(&w, NULL), 2);
    cr_assert_eq(world_rename(&w, "b", "c"), 0);
    cr_assert_eq(world_sync_dir(&w), 0);
    cr_assert_eq(crash_total(&w, NULL), 1);
    cr_assert_eq(fr_sim_crash_open(w.sim, NULL, &crash), FR_OK);
    cr_assert_eq(fr_sim_crash_next(crash, &image), FR_OK);
    cr_assert_null(image_text(image, "a", NULL));
    cr_assert_not_null(image_text(image, "c", NULL));
    fr_sim_image_free(image);
    fr_sim_crash_close(crash);
    world_close(&w);
}

Test(sim_fault, a_late_error_does_not_outlive_the_machine)
{
    fr_handle file;
    struct world w = sync_world(FR_SIM_FAULT_SYNC_LATE, &file);
    struct fr_sim_image *image;
    struct fr_sim *sim;

    cr_assert_eq(world_sync(&w, file), 0);
    cr_assert_eq(fr_sim_image_take(w.sim, &image), FR_OK);
    cr_assert_eq(fr_sim_image_boot(image, 1, &sim), FR_OK);
    struct world next = world_of(sim);
    fr_sim_image_free(image);
    world_close(&w);
    file = world_open_file(&next, "a");
    cr_assert_eq(world_sync(&next, file), 0);
    world_close_file(&next, file);
    world_close(&next);
}

Test(sim_fault, a_directory_whose_sync_has_failed_says_so_until_it_is_opened_anew)
{
    struct world w = world_open(NULL);
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_SYNC_DIR), .kind = FR_SIM_FAULT_SYNC_NOW};
    struct fr_dir *dir, *anew;

    cr_assert_eq(fr_dir_open(fr_sim_env(w.sim), "/", 0, &dir), FR_OK);
    world_create(&w, "a");
    world_fault(&w, &fault);
    cr_assert_eq(fr_dir_sync(dir), FR_ERR_IO);
    cr_assert_eq(crash_total(&w, NULL), 2);
    cr_assert_eq(fr_dir_sync(dir), FR_ERR_IO, "another thread's names were lost as well");
    cr_assert_eq(fr_dir_open(fr_sim_env(w.sim), "/", 0, &anew), FR_OK);
    cr_assert_eq(fr_dir_sync(anew), FR_OK);
    fr_dir_close(dir);
    fr_dir_close(anew);
    world_close(&w);
}
