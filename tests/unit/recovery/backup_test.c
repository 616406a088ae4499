/*
 * backup_test.c - backups and restores on the simulated machine: every disk that a crash may leave,
 * and every operation that may fail. What the public interface adds is in tests/unit/db.
 */
#include <errno.h>

#include "io/sim.h"
#include "recovery/backup.h"
#include "recovery/backup_set.h"
#include "recovery/restore.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/recovery/test_store.h"

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_engine *engine;
static struct fr_backup_info info = {.size = sizeof(info)};

static void set_up(void)
{
    struct fr_sim_options machine = {.seed = 1};

    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    engine = test_store_open(env, "/store");
}

static void tear_down(void)
{
    must(fr_engine_close(engine));
    fr_sim_close(sim);
}

TestSuite(backup, .init = set_up, .fini = tear_down, .timeout = 300);

/* State n, on disk and at rest, so that what follows is the backup's alone. */
static void advance(unsigned n)
{
    test_store_advance(engine, n);
    must(fr_engine_flush(engine));
    must(fr_engine_wait_idle(engine));
}

static void backup(void)
{
    must(fr_backup_make(engine, "/backup", NULL, &info));
}

static void remove_store(struct fr_env *from, const char *path)
{
    struct fr_dir_names names;
    struct fr_dir *dir, *root;

    must(fr_dir_open(from, path, 0, &dir));
    must(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count; i++)
        must(fr_dir_unlink(dir, names.names[i]));
    fr_dir_names_deinit(&names);
    fr_dir_close(dir);
    must(fr_dir_open(from, "/", 0, &root));
    must(fr_dir_remove(root, path + 1));
    fr_dir_close(root);
}

static void check_restored(struct fr_env *from, uint64_t generation, unsigned n)
{
    struct fr_backup_info restored = {.size = sizeof(restored)};

    must(fr_restore(from, "/backup", generation, "/again", NULL, &restored));
    cr_assert_eq(restored.generation, generation);
    test_store_check_at(from, "/again", n);
    remove_store(from, "/again");
}

static size_t count_files(void)
{
    struct fr_dir_names names;
    struct fr_dir *dir;

    must(fr_dir_open(env, "/backup/files", 0, &dir));
    must(fr_dir_list(dir, &names));
    size_t count = names.count;
    fr_dir_names_deinit(&names);
    fr_dir_close(dir);
    return count;
}

/* --- In good weather --------------------------------------------------------------------------
 */

Test(backup, each_generation_restores_its_own_state)
{
    for (unsigned n = 1; n <= 4; n++) {
        test_store_advance(engine, n);
        backup();
        cr_assert_eq(info.generation, n);
    }
    must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
    for (unsigned n = 1; n <= 4; n++)
        check_restored(env, n, n);
    must(fr_engine_close(engine));
    remove_store(env, "/store");
    check_restored(env, 4, 4);
    engine = test_store_open(env, "/store");
}

Test(backup, of_an_empty_store_restores_an_empty_store)
{
    backup();
    check_restored(env, 1, 0);
}

Test(backup, copies_only_what_is_new)
{
    advance(1);
    backup();
    uint64_t first = info.copied_bytes;
    cr_assert_eq(info.copied_bytes, info.file_bytes);
    backup();
    cr_assert_eq(info.generation, 2);
    cr_assert_eq(info.copied_count, 0);
    cr_assert_eq(info.file_bytes, first);
    advance(2);
    backup();
    cr_assert_eq(info.copied_bytes, info.file_bytes - first);
}

Test(backup, dropping_a_generation_keeps_what_others_need)
{
    uint64_t freed;

    for (unsigned n = 1; n <= 3; n++) {
        advance(n);
        must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
        backup();
    }
    struct fr_backup_set set = {0};
    must(fr_backup_set_create(&set, env, "/backup"));
    must_be(FR_NOT_FOUND, fr_backup_set_drop(&set, 9, &freed));
    must_be(FR_ERR_MISUSE, fr_backup_set_drop(&set, 3, &freed));
    must(fr_backup_set_drop(&set, 1, &freed));
    cr_assert_gt(freed, 0);
    fr_backup_set_close(&set);
    check_restored(env, 2, 2);
    check_restored(env, 3, 3);
    must_be(FR_ERR_MISSING, fr_restore(env, "/backup", 1, "/again", NULL, &info));
}

Test(backup, goes_into_no_directory_of_something_else)
{
    must_be(FR_ERR_FOREIGN, fr_backup_make(engine, "/store", NULL, &info));
    struct fr_engine *other = test_store_open(env, "/other");
    backup();
    must_be(FR_ERR_FOREIGN, fr_backup_make(other, "/backup", NULL, &info));
    must(fr_engine_close(other));
}

Test(backup, a_restore_does_not_touch_what_is_there)
{
    backup();
    must_be(FR_ERR_EXISTS, fr_restore(env, "/backup", 1, "/store", NULL, &info));
    must_be(FR_ERR_MISSING, fr_restore(env, "/nowhere", 1, "/again", NULL, &info));
}

/* --- Damage -----------------------------------------------------------------------------------
 */

/* Change the byte in the middle of the i-th of the backup's files; false: there are not so many. */
static bool damage(size_t i, char *name, size_t room)
{
    struct fr_dir_names names;
    struct fr_file_info found;
    struct fr_file *file;
    struct fr_dir *dir;
    uint8_t byte;

    must(fr_dir_open(env, "/backup/files", 0, &dir));
    must(fr_dir_list(dir, &names));
    bool there = i < names.count;
    if (there) {
        snprintf(name, room, "%s", names.names[i]);
        must(fr_file_open(dir, name, FR_OPEN_WRITE, &file));
        must(fr_file_info_get(file, &found));
        must(fr_file_read_exact(file, found.size / 2, &byte, 1));
        byte ^= 0x10;
        must(fr_file_write(file, found.size / 2, &byte, 1, 0));
        fr_file_close(file);
    }
    fr_dir_names_deinit(&names);
    fr_dir_close(dir);
    return there;
}

Test(backup, a_damaged_file_is_named_by_check_and_restore_and_mended_by_rereading)
{
    struct fr_backup_options reread = {.size = sizeof(reread), .reread = true};
    char name[64];
    size_t count = 0;

    advance(1);
    backup();
    for (; damage(count, name, sizeof(name)); count++) {
        struct fr_backup_set set = {0};
        must(fr_backup_set_open(&set, env, "/backup"));
        must_be(FR_ERR_CORRUPT, fr_backup_set_check(&set, 0, NULL));
        must_say(name);
        must_be(FR_ERR_CORRUPT, fr_restore(env, "/backup", 0, "/again", NULL, &info));
        must_say(name);
        must(fr_backup_make(engine, "/backup", &reread, &info));
        cr_assert_eq(info.copied_count, 1);
        must(fr_backup_set_check(&set, 1, NULL));
        fr_backup_set_close(&set);
        check_restored(env, info.generation, 1);
    }
    cr_assert_geq(count, 2); /* a table and a value file at least */
}

Test(backup, a_damaged_list_is_told_and_takes_nothing_with_it)
{
    struct fr_backup_set set = {0};
    struct fr_file *file;
    struct fr_dir *dir;
    uint64_t freed;

    for (unsigned n = 1; n <= 3; n++) {
        advance(n);
        must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
        backup();
    }
    must(fr_dir_open(env, "/backup", 0, &dir));
    must(fr_file_open(dir, "000002.backup", FR_OPEN_WRITE, &file));
    must(fr_file_write(file, 50, "junk", 4, 0));
    fr_file_close(file);
    fr_dir_close(dir);
    must(fr_backup_set_create(&set, env, "/backup"));
    must(fr_backup_set_next(&set, 1, &info));
    cr_assert_eq(info.generation, 2);
    cr_assert_eq(info.status, FR_ERR_CORRUPT);
    must_be(FR_ERR_CORRUPT, fr_backup_set_drop(&set, 1, &freed));
    size_t before = count_files();
    fr_backup_set_close(&set);
    check_restored(env, 1, 1);
    check_restored(env, 3, 3);
    backup(); /* goes on behind it, and does not remove what the damaged one may need */
    cr_assert_eq(info.generation, 4);
    cr_assert_geq(count_files(), before);
    must(fr_backup_set_create(&set, env, "/backup"));
    must(fr_backup_set_drop(&set, 2, &freed));
    cr_assert_gt(freed, 0);
    fr_backup_set_close(&set);
    check_restored(env, 1, 1);
    check_restored(env, 3, 3);
}

/* --- Crashes ----------------------------------------------------------------------------------
 */

#define POINTS_MAX 512

/* The plug is pulled around each change; the disks that may be left are looked at later. */
static struct point {
    struct fr_sim_crash *crash;
    unsigned acked; /* generations that must be there */
} points[POINTS_MAX];
static size_t point_count;
static unsigned acked, images_max;

static void on_point(void *ctx, const struct fr_sim_point *at)
{
    struct fr_sim_crash_options options = {.images_max = images_max};

    (void)ctx;
    (void)at;
    cr_assert_lt(point_count, POINTS_MAX);
    must(fr_sim_crash_open(sim, &options, &points[point_count].crash));
    points[point_count++].acked = acked;
}

static void watch(unsigned acked_before, unsigned images)
{
    acked = acked_before;
    images_max = images;
    point_count = 0;
    fr_sim_set_hook(sim, on_point, NULL);
}

/* One more, of the moment after it all. */
static void unwatch(unsigned acked_after)
{
    fr_sim_set_hook(sim, NULL, NULL);
    acked = acked_after;
    on_point(NULL, NULL);
}

static size_t check_disks(void (*check)(void *ctx, struct fr_env *there, unsigned acked), void *ctx)
{
    struct fr_sim_image *image;
    struct fr_sim *booted;
    size_t images = 0;

    for (size_t i = 0; i < point_count; i++) {
        while (fr_sim_crash_next(points[i].crash, &image) == FR_OK) {
            must(fr_sim_image_boot(image, 1, &booted));
            check(ctx, fr_sim_env(booted), points[i].acked);
            fr_sim_close(booted);
            fr_sim_image_free(image);
            images++;
        }
        fr_sim_crash_close(points[i].crash);
    }
    return images;
}

/* What every disk must have: generation g is state g, for all from first to acked, perhaps one
 * more.
 */
struct expected {
    unsigned first; /* that must be there */
    unsigned dropping;
    size_t again; /* disks on which a further backup was made */
};

static void check_disk(void *ctx, struct fr_env *there, unsigned must_have)
{
    struct expected *expected = ctx;
    struct fr_backup_set set = {0};
    unsigned found = 0;

    must(fr_backup_set_open(&set, there, "/backup"));
    must(fr_backup_set_check(&set, 0, NULL)); /* a list that is there is whole */
    for (size_t i = 0; i < set.count; i++) {
        if (set.generations[i] == expected->dropping) continue;
        cr_assert_eq(set.generations[i], expected->first + found);
        found++;
    }
    unsigned newest = (unsigned)set.generations[set.count - 1];
    cr_assert(newest >= must_have && newest <= 3);
    fr_backup_set_close(&set);
    check_restored(there, newest, newest);
    if (newest != expected->first) check_restored(there, expected->first, expected->first);
}

/* The next attempt goes well on whatever the last one has left, and leaves nothing over. */
static void check_next_attempt(struct fr_env *there, unsigned n)
{
    struct fr_backup_info made = {.size = sizeof(made)};
    struct fr_engine *store = test_store_open(there, "/store");
    struct fr_backup_set set = {0};
    uint64_t freed;

    must(fr_backup_make(store, "/backup", NULL, &made));
    must(fr_engine_close(store));
    check_restored(there, made.generation, n);
    must(fr_backup_set_create(&set, there, "/backup"));
    must(fr_backup_set_sweep(&set, &freed));
    cr_assert_eq(freed, 0);
    fr_backup_set_close(&set);
}

static void check_disk_and_go_on(void *ctx, struct fr_env *there, unsigned must_have)
{
    struct expected *expected = ctx;

    check_disk(ctx, there, must_have);
    if (expected->again++ % 7 == 0) check_next_attempt(there, 3);
}

Test(backup, a_crash_anywhere_in_a_backup_leaves_the_older_ones_and_the_new_one_whole_or_not_there)
{
    struct expected expected = {.first = 1};

    for (unsigned n = 1; n <= 2; n++) {
        advance(n);
        backup();
    }
    advance(3);
    watch(2, 10);
    backup();
    unwatch(3);
    size_t images = check_disks(check_disk_and_go_on, &expected);
    cr_assert_geq(images, 100, "%zu", images);
}

Test(backup, a_crash_anywhere_in_a_removal_leaves_the_other_generations)
{
    struct expected expected = {.first = 2, .dropping = 1};
    struct fr_backup_set set = {0};
    uint64_t freed;

    for (unsigned n = 1; n <= 3; n++) {
        advance(n);
        must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
        backup();
    }
    must(fr_backup_set_create(&set, env, "/backup"));
    watch(3, 24);
    must(fr_backup_set_drop(&set, 1, &freed));
    unwatch(3);
    fr_backup_set_close(&set);
    cr_assert_gt(freed, 0);
    size_t images = check_disks(check_disk, &expected);
    cr_assert_geq(images, 6, "%zu", images);
}

/* The store has its name only if it is whole and there to stay. */
static void check_restoring(void *ctx, struct fr_env *there, unsigned must_have)
{
    struct fr_file_info found;
    struct fr_dir *root;

    must(fr_dir_open(there, "/", 0, &root));
    fr_status st = fr_dir_stat(root, "again", &found);
    fr_dir_close(root);
    cr_assert(st == FR_OK || (st == FR_NOT_FOUND && must_have == 0));
    if (st == FR_OK) {
        test_store_check_at(there, "/again", 2);
        ++*(size_t *)ctx;
    } else {
        check_restored(there, 1, 2); /* what has been left does not stand in the way */
    }
}

Test(backup, a_crash_anywhere_in_a_restore_leaves_a_whole_store_or_none)
{
    size_t whole = 0;

    advance(1);
    advance(2);
    backup();
    watch(0, 10);
    must(fr_restore(env, "/backup", 1, "/again", NULL, &info));
    unwatch(1);
    size_t images = check_disks(check_restoring, &whole);
    cr_assert_geq(images, 100, "%zu", images);
    cr_assert_gt(whole, 0);
}

/* --- Failures ---------------------------------------------------------------------------------
 */

static fr_status backup_at(struct fr_env *there, struct fr_engine *store)
{
    (void)there;
    return fr_backup_make(store, "/backup", NULL, &info);
}

static fr_status restore_at(struct fr_env *there, struct fr_engine *store)
{
    (void)store;
    return fr_restore(there, "/backup", 1, "/again", NULL, &info);
}

/* Let the nth operation fail on a machine of its own. false: there are not so many. */
static bool try(const struct fr_sim_image *image, uint64_t nth, int os_error,
        fr_status (*call)(struct fr_env *there, struct fr_engine *store), unsigned *failed)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK_ALL, .nth = nth, .os_error = os_error};
    struct fr_file_info found;
    struct fr_sim *booted;
    struct fr_dir *dir;

    must(fr_sim_image_boot(image, 1, &booted));
    struct fr_env *there = fr_sim_env(booted);
    struct fr_engine *store = test_store_open(there, "/store");
    must(fr_sim_fault_add(booted, &fault));
    fr_status st = call(there, store);
    bool hit = fr_sim_fault_hits(booted) > 0;
    fr_sim_fault_clear(booted);
    *failed += st < 0;
    must(fr_dir_open(there, "/", 0, &dir));
    if (fr_dir_stat(dir, "again", &found) == FR_OK) {
        test_store_check_at(there, "/again", 1);
        remove_store(there, "/again");
    }
    fr_dir_close(dir);
    check_restored(there, 1, 1);
    /* The store's own threads may be who was hit. */
    cr_assert(fr_engine_close(store) == FR_OK || hit, "%s", fr_last_error());
    check_next_attempt(there, 2);
    fr_sim_close(booted);
    return hit;
}

static unsigned sweep(fr_status (*call)(struct fr_env *there, struct fr_engine *store),
        int os_error)
{
    struct fr_sim_image *image;
    unsigned failed = 0;
    uint64_t nth = 1;

    advance(1);
    backup();
    advance(2);
    must(fr_sim_image_take(sim, &image));
    while (try(image, nth, os_error, call, &failed))
        nth++;
    fr_sim_image_free(image);
    return failed;
}

Test(backup, an_operation_that_fails_fails_the_backup_and_harms_no_other)
{
    unsigned failed = sweep(backup_at, ENOSPC);
    cr_assert_geq(failed, 30, "%u", failed);
}

Test(backup, an_operation_that_fails_fails_the_restore_and_leaves_a_whole_store_or_none)
{
    unsigned failed = sweep(restore_at, EIO);
    cr_assert_geq(failed, 30, "%u", failed);
}
