/*
 * env_suite.c - what every environment promises. Built once for each: env_uring, env_posix,
 * env_sim.
 */
#include "tests/unit/io/test_world.h"

#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "base/rng.h"
#include "io/map.h"

#define KIB ((size_t)1024)

static struct test_world world;

static void open_world(void)
{
    world = test_world_open();
}

static void close_world(void)
{
    test_world_close(&world);
}

TestSuite(TEST_SUITE, .init = open_world, .fini = close_world, .timeout = 60);

/* ---- files ------------------------------------------------------------------------------------
 */

Test(TEST_SUITE, reads_back_what_was_written_at_any_place)
{
    struct fr_file *file = test_file_with(&world, "a", 300 * KIB);
    struct fr_rng rng;
    uint8_t data[9000];

    fr_rng_init(&rng, 7);
    for (int i = 0; i < 300; i++) {
        size_t size = fr_rng_below(&rng, sizeof(data));
        uint64_t offset = fr_rng_below(&rng, 300 * KIB - size);
        test_fill(data, offset, size);
        must(fr_file_write(file, offset, data, size, i % 7 == 0 ? FR_WRITE_DSYNC : 0));
        memset(data, 0, sizeof(data));
        must(fr_file_read_exact(file, offset, data, size));
        cr_assert(test_matches(data, offset, size));
    }
    fr_file_close(file);
}

Test(TEST_SUITE, a_read_is_short_at_the_end_of_the_file_only)
{
    struct fr_file *file = test_file_with(&world, "a", 10000);
    uint8_t data[4096];
    size_t size;

    must(fr_file_read(file, 0, data, sizeof(data), &size));
    cr_assert_eq(size, sizeof(data));
    must(fr_file_read(file, 9000, data, sizeof(data), &size));
    cr_assert_eq(size, 1000);
    cr_assert(test_matches(data, 9000, 1000));
    must(fr_file_read(file, 10000, data, sizeof(data), &size));
    cr_assert_eq(size, 0);
    must(fr_file_read(file, 1 << 30, data, sizeof(data), &size));
    cr_assert_eq(size, 0);
    fr_file_close(file);
}

Test(TEST_SUITE, an_exact_read_over_the_end_says_where_the_file_ends)
{
    struct fr_file *file = test_file_with(&world, "a", 10000);
    uint8_t data[4096];

    must_be(FR_ERR_CORRUPT, fr_file_read_exact(file, 9000, data, sizeof(data)));
    must_say("/a: ends at 10000");
    fr_file_close(file);
}

Test(TEST_SUITE, a_write_behind_the_end_leaves_zeros_between)
{
    struct fr_file *file = test_file_with(&world, "a", 100);
    uint8_t data[5000], zeros[4900] = {0};

    must(fr_file_write(file, 5000, "x", 1, 0));
    must(fr_file_read_exact(file, 0, data, sizeof(data)));
    cr_assert(test_matches(data, 0, 100));
    cr_assert_arr_eq(data + 100, zeros, sizeof(zeros));
    fr_file_close(file);
}

Test(TEST_SUITE, nothing_is_read_or_written_for_size_zero)
{
    struct fr_file *file = test_file_with(&world, "a", 10);
    struct fr_file_info info;
    size_t size = 9;

    must(fr_file_read(file, 5, NULL, 0, &size));
    cr_assert_eq(size, 0);
    must(fr_file_write(file, 500, NULL, 0, 0));
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.size, 10);
    fr_file_close(file);
}

Test(TEST_SUITE, a_transfer_beyond_the_limit_is_refused_and_changes_nothing)
{
    struct fr_file *file = test_file_with(&world, "a", 10);
    uint8_t byte;
    size_t size;

    must_be(FR_ERR_LIMIT, fr_file_write(file, 0, &byte, (size_t)INT32_MAX + 1, 0));
    must_be(FR_ERR_LIMIT, fr_file_read(file, UINT64_MAX - 5, &byte, 1, &size));
    must_say("beyond the limit");
    fr_file_close(file);
}

Test(TEST_SUITE, creating_a_taken_name_and_opening_a_free_one_fail)
{
    struct fr_file *file = test_file_with(&world, "a", 10), *other;

    must_be(FR_ERR_EXISTS, fr_file_open(world.dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE, &other));
    must_be(FR_ERR_MISSING, fr_file_open(world.dir, "b", 0, &other));
    must_say("/b: cannot open");
    must_be(FR_ERR_MISUSE, fr_file_open(world.dir, "b", FR_OPEN_CREATE, &other));
    must_be(FR_ERR_MISUSE, fr_file_open(world.dir, "b", 1 << 20, &other));
    fr_file_close(file);
}

Test(TEST_SUITE, a_directory_cannot_be_opened_as_a_file)
{
    struct fr_file *file;

    must(fr_dir_make(world.dir, "d"));
    cr_assert_lt(fr_file_open(world.dir, "d", 0, &file), 0);
    cr_assert_lt(fr_file_open(world.dir, "d", FR_OPEN_WRITE, &file), 0);
}

Test(TEST_SUITE, a_file_open_for_reading_takes_no_writes)
{
    struct fr_file *file;

    fr_file_close(test_file_with(&world, "a", 10));
    must(fr_file_open(world.dir, "a", 0, &file));
    must_be(FR_ERR_MISUSE, fr_file_write(file, 0, "x", 1, 0));
    must_say("reading only");
    must_be(FR_ERR_MISUSE, fr_file_truncate(file, 0));
    must_be(FR_ERR_MISUSE, fr_file_punch_hole(file, 0, 1));
    fr_file_close(file);
}

Test(TEST_SUITE, truncate_cuts_and_extends_with_zeros)
{
    struct fr_file *file = test_file_with(&world, "a", 10000);
    uint8_t data[10000], zeros[9000] = {0};
    struct fr_file_info info;

    must(fr_file_truncate(file, 1000));
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.size, 1000);
    must(fr_file_truncate(file, 10000));
    must(fr_file_read_exact(file, 0, data, sizeof(data)));
    cr_assert(test_matches(data, 0, 1000));
    cr_assert_arr_eq(data + 1000, zeros, sizeof(zeros));
    fr_file_close(file);
}

Test(TEST_SUITE, a_hole_reads_as_zeros_and_keeps_the_length)
{
    struct fr_file *file = test_file_with(&world, "a", 64 * KIB);
    uint8_t data[64 * 1024], zeros[8192] = {0};
    struct fr_file_info info;

    fr_status st = fr_file_punch_hole(file, 16 * KIB, 8 * KIB);
    if (st == FR_ERR_UNSUPPORTED) cr_skip_test("%s", fr_last_error());
    must(st);
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.size, 64 * KIB);
    must(fr_file_read_exact(file, 0, data, sizeof(data)));
    cr_assert(test_matches(data, 0, 16 * KIB));
    cr_assert_arr_eq(data + 16 * KIB, zeros, sizeof(zeros));
    cr_assert(test_matches(data + 24 * KIB, 24 * KIB, 40 * KIB));
    fr_file_close(file);
}

Test(TEST_SUITE, a_pre_written_file_has_its_space_and_reads_as_zeros)
{
    struct fr_file *file;
    struct fr_file_info info;
    uint8_t data[4096], zeros[4096] = {0};

    must(fr_file_open(world.dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT, &file));
    must(fr_file_prewrite(file, 0, 600 * KIB));
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.size, 600 * KIB);
    cr_assert_geq(info.allocated_bytes, 600 * KIB);
    must(fr_file_read_exact(file, 500 * KIB, data, sizeof(data)));
    cr_assert_arr_eq(data, zeros, sizeof(data));
    fr_file_close(file);
}

Test(TEST_SUITE, a_direct_file_is_read_at_any_place)
{
    struct fr_file *file;
    uint8_t data[9000];
    size_t size;

    fr_file_close(test_file_with(&world, "a", 40000));
    must(fr_file_open(world.dir, "a", FR_OPEN_DIRECT, &file));
    for (uint64_t offset = 0; offset < 41000; offset += 511)
        for (size_t want = 1; want < sizeof(data) - 16; want += 1777) {
            uint8_t *to = data + offset % 16;
            size_t there = offset >= 40000 ? 0 : FR_MIN(want, (size_t)(40000 - offset));
            memset(data, 0, sizeof(data));
            must(fr_file_read(file, offset, to, want, &size));
            cr_assert_eq(size, there, "%zu bytes at %d", size, (int)offset);
            cr_assert(test_matches(to, offset, size));
            cr_assert_eq(to[size], 0, "nothing may be written behind what was read");
        }
    fr_file_close(file);
}

Test(TEST_SUITE, a_direct_write_must_be_aligned_by_itself)
{
    struct fr_file *file;

    must(fr_file_open(world.dir, "a", FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT, &file));
    if (!fr_file_is_direct(file)) {
        fr_file_close(file);
        cr_skip_test("this file system has no direct I/O");
    }
    size_t block = fr_file_alignment(file);
    cr_assert_gt(block, 1);
    uint8_t *data = fr_alloc_aligned(4 * block, block);
    test_fill(data, 0, 4 * block);
    must(fr_file_write(file, 0, data, 4 * block, 0));
    must(fr_file_write(file, 0, data, 4 * block, FR_WRITE_DSYNC));
    must_be(FR_ERR_MISUSE, fr_file_write(file, 1, data, block, 0));
    must_say("not aligned");
    must_be(FR_ERR_MISUSE, fr_file_write(file, 0, data, block - 1, 0));
    must_be(FR_ERR_MISUSE, fr_file_write(file, 0, data + 1, block, FR_WRITE_DSYNC));
    memset(data, 0, 4 * block);
    must(fr_file_read_exact(file, 0, data, 4 * block));
    cr_assert(test_matches(data, 0, 4 * block));
    fr_free(data);
    fr_file_close(file);
}

Test(TEST_SUITE, a_file_keeps_its_identity_and_differs_from_others)
{
    struct fr_file *a = test_file_with(&world, "a", 10);
    struct fr_file *b = test_file_with(&world, "b", 10);
    struct fr_file_info before, after, other;

    must(fr_file_info_get(a, &before));
    must(fr_file_info_get(b, &other));
    cr_assert_eq(before.device, other.device);
    cr_assert_neq(before.inode, other.inode);
    cr_assert_eq(before.link_count, 1);
    cr_assert_not(before.is_dir);
    must(fr_dir_rename(world.dir, "a", "c"));
    must(fr_dir_stat(world.dir, "c", &after));
    cr_assert_eq(after.inode, before.inode);
    cr_assert_eq(after.size, 10);
    fr_file_close(a);
    fr_file_close(b);
}

Test(TEST_SUITE, advice_does_no_harm)
{
    struct fr_file *file = test_file_with(&world, "a", 10000);
    uint8_t data[10000];

    must(fr_file_sync(file));
    fr_file_advise(file, 0, 0, FR_ADVICE_RANDOM);
    fr_file_advise(file, 0, 0, FR_ADVICE_DONT_NEED);
    fr_file_advise(file, 0, 4096, FR_ADVICE_WRITE_NOW);
    fr_file_advise(file, 4096, 4096, FR_ADVICE_WILL_NEED);
    must(fr_file_read_exact(file, 0, data, sizeof(data)));
    cr_assert(test_matches(data, 0, sizeof(data)));
    fr_file_close(file);
}

/* ---- maps -------------------------------------------------------------------------------------
 */

Test(TEST_SUITE, published_bytes_of_a_map_are_the_files)
{
    struct fr_file *file = test_file_with(&world, "a", 200 * KIB);
    struct fr_map *map;
    uint8_t data[3000];

    must(fr_map_open(file, 64 * KIB, 100 * KIB, 0, &map));
    memset(fr_map_data(map) + 5000, 7, 1000);
    must(fr_map_publish(map, 5000, 1000));
    must(fr_file_sync(file));
    must(fr_file_read_exact(file, 64 * KIB + 4000, data, sizeof(data)));
    cr_assert(test_matches(data, 64 * KIB + 4000, 1000));
    for (int i = 1000; i < 2000; i++)
        cr_assert_eq(data[i], 7);
    cr_assert(test_matches(data + 2000, 64 * KIB + 6000, 1000));
    fr_map_close(map);
    fr_file_close(file);
}

Test(TEST_SUITE, a_private_map_is_never_shared)
{
    struct fr_file *file = test_file_with(&world, "a", 70 * KIB);
    struct fr_map *map;
    uint8_t byte;

    must(fr_map_open(file, 0, 70 * KIB, FR_MAP_PRIVATE, &map));
    cr_assert_not(fr_map_is_shared(map));
    fr_map_data(map)[69 * KIB] = 99;
    must(fr_file_read_exact(file, 69 * KIB, &byte, 1));
    cr_assert(test_matches(&byte, 69 * KIB, 1));
    must(fr_map_publish(map, 69 * KIB, 1));
    must(fr_file_read_exact(file, 69 * KIB, &byte, 1));
    cr_assert_eq(byte, 99);
    fr_map_close(map);
    fr_file_close(file);
}

Test(TEST_SUITE, a_map_outside_of_its_file_is_misuse)
{
    struct fr_file *file = test_file_with(&world, "a", 70 * KIB);
    struct fr_map *map;

    must_be(FR_ERR_MISUSE, fr_map_open(file, 0, 70 * KIB + 1, 0, &map));
    must_be(FR_ERR_MISUSE, fr_map_open(file, 128 * KIB, 1, 0, &map));
    must_be(FR_ERR_MISUSE, fr_map_open(file, 4096, 1, 0, &map));
    must_be(FR_ERR_MISUSE, fr_map_open(file, 0, 0, 0, &map));
    fr_file_close(file);
    must(fr_file_open(world.dir, "a", 0, &file));
    must_be(FR_ERR_MISUSE, fr_map_open(file, 0, 1, 0, &map));
    must_say("open for reading only");
    fr_file_close(file);
}

/* ---- directories ------------------------------------------------------------------------------
 */

Test(TEST_SUITE, a_name_never_leads_out_of_its_directory)
{
    static const char *const bad[] = {"", ".", "..", "a/b", "/a", "../a", "a/"};
    char long_name[FR_NAME_MAX + 2];
    struct fr_file_info info;
    struct fr_file *file;

    for (size_t i = 0; i < FR_ARRAY_COUNT(bad); i++) {
        must_be(FR_ERR_MISUSE, fr_file_open(world.dir, bad[i], 0, &file));
        must_be(FR_ERR_MISUSE, fr_dir_unlink(world.dir, bad[i]));
        must_be(FR_ERR_MISUSE, fr_dir_rename(world.dir, "a", bad[i]));
        must_be(FR_ERR_MISUSE, fr_dir_rename(world.dir, bad[i], "a"));
        must_be(FR_ERR_MISUSE, fr_dir_link(world.dir, bad[i], world.dir, "a"));
        must_be(FR_ERR_MISUSE, fr_dir_make(world.dir, bad[i]));
        must_be(FR_ERR_MISUSE, fr_dir_remove(world.dir, bad[i]));
        must_be(FR_ERR_MISUSE, fr_dir_stat(world.dir, bad[i], &info));
    }
    memset(long_name, 'n', sizeof(long_name) - 1);
    long_name[FR_NAME_MAX + 1] = '\0';
    must_be(FR_ERR_MISUSE, fr_file_open(world.dir, long_name, 0, &file));
    long_name[FR_NAME_MAX] = '\0';
    must(fr_file_open(world.dir, long_name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    fr_file_close(file);
}

Test(TEST_SUITE, lists_names_in_byte_order)
{
    static const char *const names[] = {"b", "a", "B", "a0", "\x7f"};
    struct fr_dir_names list;

    for (size_t i = 0; i < FR_ARRAY_COUNT(names); i++)
        fr_file_close(test_file_with(&world, names[i], 1));
    must(fr_dir_list(world.dir, &list));
    cr_assert_eq(list.count, 5);
    cr_assert_str_eq(list.names[0], "B");
    cr_assert_str_eq(list.names[1], "a");
    cr_assert_str_eq(list.names[2], "a0");
    cr_assert_str_eq(list.names[3], "b");
    cr_assert_str_eq(list.names[4], "\x7f");
    fr_dir_names_deinit(&list);
}

Test(TEST_SUITE, an_empty_directory_lists_nothing)
{
    struct fr_dir_names list;

    must(fr_dir_list(world.dir, &list));
    cr_assert_eq(list.count, 0);
    fr_dir_names_deinit(&list);
}

Test(TEST_SUITE, a_rename_replaces_in_one_step)
{
    struct fr_file *a = test_file_with(&world, "a", 100);
    struct fr_file *b = test_file_with(&world, "b", 200);
    struct fr_file_info info;

    must(fr_dir_rename(world.dir, "a", "b"));
    must(fr_dir_stat(world.dir, "b", &info));
    cr_assert_eq(info.size, 100);
    must_be(FR_NOT_FOUND, fr_dir_stat(world.dir, "a", &info));
    must(fr_file_info_get(b, &info));
    cr_assert_eq(info.link_count, 0);
    must_be(FR_ERR_MISSING, fr_dir_rename(world.dir, "a", "c"));
    fr_file_close(a);
    fr_file_close(b);
}

Test(TEST_SUITE, an_unlinked_file_stays_usable_while_open)
{
    struct fr_file *file = test_file_with(&world, "a", 100);
    struct fr_file_info info;
    uint8_t data[100];

    must(fr_dir_unlink(world.dir, "a"));
    must_be(FR_NOT_FOUND, fr_dir_unlink(world.dir, "a"));
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.link_count, 0);
    must(fr_file_write(file, 100, "x", 1, 0));
    must(fr_file_read_exact(file, 0, data, sizeof(data)));
    cr_assert(test_matches(data, 0, sizeof(data)));
    fr_file_close(file);
}

Test(TEST_SUITE, a_link_is_a_second_name_for_the_same_file)
{
    struct fr_file *file = test_file_with(&world, "a", 100);
    struct fr_file_info info, other;
    struct fr_dir *inner;

    must(fr_dir_open_in(world.dir, "d", FR_DIR_CREATE, &inner));
    must(fr_dir_link(world.dir, "a", inner, "b"));
    must_be(FR_ERR_EXISTS, fr_dir_link(world.dir, "a", inner, "b"));
    must_be(FR_ERR_MISSING, fr_dir_link(world.dir, "x", inner, "c"));
    must(fr_file_info_get(file, &info));
    cr_assert_eq(info.link_count, 2);
    must(fr_dir_stat(inner, "b", &other));
    cr_assert_eq(other.inode, info.inode);
    must(fr_dir_unlink(world.dir, "a"));
    must(fr_dir_stat(inner, "b", &other));
    cr_assert_eq(other.link_count, 1);
    fr_dir_close(inner);
    fr_file_close(file);
}

Test(TEST_SUITE, directories_are_made_opened_and_removed)
{
    struct fr_dir *inner, *again;
    struct fr_file_info info;
    char path[100];

    must_be(FR_ERR_MISSING, fr_dir_open_in(world.dir, "d", 0, &inner));
    must(fr_dir_open_in(world.dir, "d", FR_DIR_CREATE, &inner));
    must(fr_dir_open_in(world.dir, "d", FR_DIR_CREATE, &again));
    fr_dir_close(again);
    must(fr_dir_stat(world.dir, "d", &info));
    cr_assert(info.is_dir);
    must(fr_dir_replace(inner, "f", fr_slice_of_text("content")));
    cr_assert_lt(fr_dir_remove(world.dir, "d"), 0, "it is not empty");
    must(fr_dir_unlink(inner, "f"));
    fr_dir_close(inner);
    snprintf(path, sizeof(path), "%s/d/", fr_dir_path(world.dir));
    must(fr_dir_open(world.env, path, 0, &inner));
    fr_dir_close(inner);
    must(fr_dir_remove(world.dir, "d"));
    must_be(FR_NOT_FOUND, fr_dir_remove(world.dir, "d"));
    must_be(FR_ERR_MISSING, fr_dir_open(world.env, path, 0, &inner));
    must(fr_dir_open(world.env, path, FR_DIR_CREATE, &inner));
    fr_dir_close(inner);
    must(fr_dir_stat(world.dir, "d", &info));
}

Test(TEST_SUITE, a_directory_is_not_made_without_its_parent)
{
    struct fr_dir *dir;
    char path[100];

    snprintf(path, sizeof(path), "%s/no/such", fr_dir_path(world.dir));
    must_be(FR_ERR_MISSING, fr_dir_open(world.env, path, FR_DIR_CREATE, &dir));
}

Test(TEST_SUITE, a_lock_keeps_every_other_handle_out_until_it_is_released)
{
    struct fr_dir_lock *lock, *second;

    must(fr_dir_lock(world.dir, "LOCK", &lock));
    must_be(FR_ERR_BUSY, fr_dir_lock(world.dir, "LOCK", &second));
    must_say("/LOCK: held by ");
    must_be(FR_ERR_BUSY, fr_dir_lock(world.dir, "LOCK", &second));
    fr_dir_unlock(lock);
    must(fr_dir_lock(world.dir, "LOCK", &second));
    fr_dir_unlock(second);
}

Test(TEST_SUITE, a_lock_whose_file_was_removed_keeps_every_other_handle_out_all_the_same)
{
    struct fr_dir_lock *lock, *second;
    struct fr_dir *other;

    must(fr_dir_open(world.env, fr_dir_path(world.dir), 0, &other));
    must(fr_dir_lock(world.dir, "LOCK", &lock));
    for (int i = 0; i < 3; i++) {
        if (i < 2) must(fr_dir_unlink(world.dir, "LOCK"));
        must_be(FR_ERR_BUSY, fr_dir_lock(other, "LOCK", &second));
        must_say("/LOCK was taken away");
    }
    fr_dir_unlock(lock);
    must(fr_dir_lock(other, "LOCK", &second));
    must_be(FR_ERR_BUSY, fr_dir_lock(world.dir, "LOCK", &lock));
    must_say("/LOCK: held by ");
    fr_dir_unlock(second);
    fr_dir_close(other);
}

Test(TEST_SUITE, a_lock_as_is_changes_nothing_and_keeps_others_out)
{
    struct fr_dir_lock *lock, *second;
    struct fr_file_info info;
    struct fr_dir *other;

    must(fr_dir_open(world.env, fr_dir_path(world.dir), 0, &other));
    for (int i = 0; i < 2; i++) {
        must(fr_dir_lock_as_is(world.dir, "LOCK", &lock));
        must_be(i == 0 ? FR_NOT_FOUND : FR_OK, fr_dir_stat(world.dir, "LOCK", &info));
        must_be(FR_ERR_BUSY, fr_dir_lock_as_is(other, "LOCK", &second));
        must_be(FR_ERR_BUSY, fr_dir_lock(other, "LOCK", &second));
        fr_dir_unlock(lock);
        must(fr_dir_lock(other, "LOCK", &second));
        must_be(FR_ERR_BUSY, fr_dir_lock_as_is(world.dir, "LOCK", &lock));
        must_say("held by ");
        fr_dir_unlock(second);
        if (i == 0) must(fr_dir_unlink(world.dir, "LOCK"));
        if (i == 0) must(fr_dir_lock(world.dir, "LOCK", &lock));
        if (i == 0) fr_dir_unlock(lock);
    }
    fr_dir_close(other);
}

Test(TEST_SUITE, replace_gives_a_name_new_bytes)
{
    struct fr_file *file;
    char data[16];
    size_t size;

    must(fr_dir_replace(world.dir, "a", fr_slice_of_text("first")));
    must(fr_dir_replace(world.dir, "a", fr_slice_of_text("2nd")));
    must(fr_dir_replace(world.dir, "empty", fr_slice_of(NULL, 0)));
    /* What a crash in the middle of a replacement leaves is no obstacle to the next one. */
    fr_file_close(test_file_with(&world, "a.tmp", 1000));
    must(fr_dir_replace(world.dir, "a", fr_slice_of_text("third")));
    must(fr_file_open(world.dir, "a", 0, &file));
    must(fr_file_read(file, 0, data, sizeof(data), &size));
    cr_assert_eq(size, 5);
    cr_assert_arr_eq(data, "third", 5);
    fr_file_close(file);
}

Test(TEST_SUITE, space_is_told)
{
    uint64_t free_bytes = 0, total_bytes = 0;

    must(fr_dir_space(world.dir, &free_bytes, &total_bytes));
    cr_assert_gt(total_bytes, 0);
    cr_assert_leq(free_bytes, total_bytes);
}

Test(TEST_SUITE, clocks_go_on)
{
    uint64_t before = fr_env_now_us(world.env);

    fr_env_sleep_us(world.env, 2000);
    cr_assert_geq(fr_env_now_us(world.env), before + 2000);
    cr_assert_gt(fr_env_wall_us(world.env), 1000000000000000u, "later than 2001");
}

Test(TEST_SUITE, a_failed_allocation_fails_the_call_and_leaks_nothing)
{
    struct fr_alloc_stats before, after;
    struct fr_dir_names names;
    struct fr_dir_lock *lock;
    struct fr_file *file;
    struct fr_dir *dir;
    bool hit = true;

    fr_alloc_stats_get(&before);
    for (uint64_t n = 1; hit; n++) {
        fr_alloc_fail_at(n, true);
        names = (struct fr_dir_names){0};
        lock = NULL, file = NULL, dir = NULL;
        (void)!fr_dir_open_in(world.dir, "d", FR_DIR_CREATE, &dir);
        (void)!fr_dir_replace(world.dir, "a", fr_slice_of_text("text"));
        (void)!fr_dir_list(world.dir, &names);
        (void)!fr_dir_lock(world.dir, "LOCK", &lock);
        (void)!fr_file_open(world.dir, "a", FR_OPEN_WRITE, &file);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        fr_dir_close(dir);
        fr_dir_names_deinit(&names);
        fr_dir_unlock(lock);
        fr_file_close(file);
        (void)!fr_dir_unlink(world.dir, "a");
        (void)!fr_dir_unlink(world.dir, "a.tmp");
        (void)!fr_dir_unlink(world.dir, "LOCK");
        (void)!fr_dir_remove(world.dir, "d");
        fr_alloc_stats_get(&after);
        /* The simulated disk itself is memory; what it holds is its own business. */
        if (world.sim == NULL) cr_assert_eq(after.live_count, before.live_count);
    }
}

/* ---- queues -----------------------------------------------------------------------------------
 */

static struct fr_io_queue *open_queue(unsigned depth)
{
    struct fr_io_queue_options options = {.depth = depth};
    struct fr_io_queue *queue;

    must(fr_io_queue_open(world.env, &options, &queue));
    return queue;
}

/* Wait for everything; every request must come back exactly once, and have gone well. */
static void finish_all(struct fr_io_queue *queue, size_t count)
{
    struct fr_io_request *request;
    size_t popped = 0;

    fr_io_queue_wait(queue, count);
    for (; (request = fr_io_queue_pop(queue)) != NULL; popped++)
        must(fr_io_request_check_exact(request));
    cr_assert_eq(popped, count);
    cr_assert_eq(fr_io_queue_count(queue), 0);
}

Test(TEST_SUITE, a_batch_larger_than_the_depth_is_read)
{
    enum { COUNT = 300, SIZE = 3000 };
    struct fr_file *file = test_file_with(&world, "a", 256 * KIB);
    struct fr_io_request *requests = fr_alloc_zeroed(COUNT, sizeof(*requests));
    uint8_t *data = fr_alloc(COUNT * SIZE);
    struct fr_io_queue *queue = open_queue(7);
    struct fr_rng rng;

    fr_rng_init(&rng, 3);
    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){
                .op = FR_IO_READ,
                .file = file,
                .data = data + i * SIZE,
                .size = SIZE,
                .offset = fr_rng_below(&rng, 256 * KIB - SIZE),
        };
        fr_io_queue_push(queue, &requests[i]);
    }
    cr_assert_eq(fr_io_queue_count(queue), COUNT);
    finish_all(queue, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert(test_matches(data + i * SIZE, requests[i].offset, SIZE));
    fr_io_queue_close(queue);
    fr_file_close(file);
    fr_free(data);
    fr_free(requests);
}

Test(TEST_SUITE, pushing_and_submitting_complete_nothing)
{
    struct fr_file *file = test_file_with(&world, "a", 4096);
    struct fr_io_queue *queue = open_queue(4);
    uint8_t data[4096];
    int owner;
    struct fr_io_request request = {
            .op = FR_IO_READ, .file = file, .data = data, .size = 4096, .owner = &owner};

    cr_assert_null(fr_io_queue_pop(queue));
    fr_io_queue_push(queue, &request);
    cr_assert_null(fr_io_queue_pop(queue));
    fr_io_queue_submit(queue);
    cr_assert_null(fr_io_queue_pop(queue));
    fr_io_queue_wait(queue, 1);
    cr_assert_eq(fr_io_queue_pop(queue), &request);
    cr_assert_null(fr_io_queue_pop(queue));
    cr_assert_eq(request.owner, &owner);
    cr_assert_eq(request.done_size, 4096);
    fr_io_queue_wait(queue, 5); /* nothing there: comes back at once */
    fr_io_queue_close(queue);
    fr_file_close(file);
}

Test(TEST_SUITE, wait_returns_once_enough_are_ready)
{
    enum { COUNT = 20 };
    struct fr_file *file = test_file_with(&world, "a", 64 * KIB);
    struct fr_io_request requests[COUNT] = {0};
    struct fr_io_queue *queue = open_queue(COUNT);
    uint8_t data[COUNT][512];
    size_t popped = 0;

    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){
                .op = FR_IO_READ, .file = file, .data = data[i], .size = 512, .offset = i * 512};
        fr_io_queue_push(queue, &requests[i]);
    }
    while (popped < COUNT) {
        size_t before = popped;
        fr_io_queue_wait(queue, 3);
        while (fr_io_queue_pop(queue) != NULL)
            popped++;
        cr_assert_geq(popped - before, FR_MIN((size_t)3, COUNT - before));
    }
    fr_io_queue_close(queue);
    fr_file_close(file);
}

Test(TEST_SUITE, a_batch_takes_one_submission)
{
    enum { COUNT = 32 };
    struct fr_file *file = test_file_with(&world, "a", 64 * KIB);
    struct fr_io_request requests[COUNT] = {0};
    struct fr_io_queue *queue = open_queue(COUNT);
    struct fr_env_stats before, after;
    uint8_t data[COUNT][512];

    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){
                .op = FR_IO_READ, .file = file, .data = data[i], .size = 512, .offset = i * 512};
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_env_stats_get(world.env, &before);
    finish_all(queue, COUNT);
    fr_env_stats_get(world.env, &after);
    cr_assert_eq(after.read_count - before.read_count, COUNT);
    cr_assert_eq(after.read_bytes - before.read_bytes, COUNT * 512);
    cr_assert_eq(after.submit_count - before.submit_count,
            1 + after.resume_count - before.resume_count);
    fr_io_queue_close(queue);
    fr_file_close(file);
}

Test(TEST_SUITE, a_queue_mixes_files_directions_and_alignments)
{
    enum { COUNT = 60 };
    struct fr_file *plain = test_file_with(&world, "a", 128 * KIB), *direct;
    struct fr_io_request requests[COUNT] = {0};
    struct fr_io_queue *queue = open_queue(16);
    uint8_t *data = fr_alloc_aligned(COUNT * 8192, 4096);

    fr_file_close(test_file_with(&world, "b", 128 * KIB));
    must(fr_file_open(world.dir, "b", FR_OPEN_WRITE | FR_OPEN_DIRECT, &direct));
    for (size_t i = 0; i < COUNT; i++) {
        bool write = i % 3 == 0;
        requests[i] = (struct fr_io_request){
                .op = !write       ? FR_IO_READ
                      : i % 2 == 0 ? FR_IO_WRITE
                                   : FR_IO_WRITE_DSYNC,
                .file = i % 4 < 2 ? plain : direct,
                .data = data + i * 8192,
                .size = write ? 8192 : 1000 + i * 100,
                .offset = write ? i % 16 * 8192 : i * 777,
        };
        if (write) test_fill(requests[i].data, requests[i].offset, requests[i].size);
        fr_io_queue_push(queue, &requests[i]);
    }
    finish_all(queue, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert(test_matches(requests[i].data, requests[i].offset, requests[i].size));
    fr_io_queue_close(queue);
    fr_file_close(plain);
    fr_file_close(direct);
    fr_free(data);
}

Test(TEST_SUITE, each_request_has_its_own_outcome)
{
    struct fr_file *file = test_file_with(&world, "a", 1000), *reader;
    struct fr_io_queue *queue = open_queue(0);
    uint8_t data[4][1000];
    struct fr_io_request *request;
    unsigned count = 0;

    must(fr_file_open(world.dir, "a", 0, &reader));
    struct fr_io_request requests[] = {
            {.op = FR_IO_READ, .file = reader, .data = data[0], .size = 1000},
            {.op = FR_IO_WRITE, .file = reader, .data = data[1], .size = 1000},
            {.op = FR_IO_READ, .file = reader, .data = data[2], .size = 1000, .offset = 600},
            {.op = FR_IO_READ, .file = reader, .data = data[3], .size = 1000, .offset = 5000},
            {.op = FR_IO_READ, .file = reader, .data = NULL, .size = 0, .offset = 10},
            {.op = FR_IO_SYNC, .file = file},
    };
    for (size_t i = 0; i < FR_ARRAY_COUNT(requests); i++)
        fr_io_queue_push(queue, &requests[i]);
    fr_io_queue_wait(queue, FR_ARRAY_COUNT(requests));
    while ((request = fr_io_queue_pop(queue)) != NULL)
        count++;
    cr_assert_eq(count, FR_ARRAY_COUNT(requests));
    must(fr_io_request_check_exact(&requests[0]));
    cr_assert(test_matches(data[0], 0, 1000));
    must_be(FR_ERR_MISUSE, fr_io_request_check(&requests[1]));
    must(fr_io_request_check(&requests[2]));
    cr_assert_eq(requests[2].done_size, 400);
    must_be(FR_ERR_CORRUPT, fr_io_request_check_exact(&requests[2]));
    must_say("ends at 1000");
    must(fr_io_request_check(&requests[3]));
    cr_assert_eq(requests[3].done_size, 0);
    must(fr_io_request_check_exact(&requests[4]));
    must(fr_io_request_check(&requests[5]));
    fr_io_queue_close(queue);
    fr_file_close(reader);
    fr_file_close(file);
}

Test(TEST_SUITE, closing_a_queue_waits_for_what_is_in_flight)
{
    enum { COUNT = 40 };
    struct fr_file *file = test_file_with(&world, "a", 256 * KIB);
    struct fr_io_request requests[COUNT] = {0};
    struct fr_io_queue *queue = open_queue(8);
    uint8_t *data = fr_alloc(COUNT * 4096);

    for (size_t i = 0; i < COUNT; i++) {
        requests[i] = (struct fr_io_request){.op = FR_IO_READ,
                .file = file,
                .data = data + i * 4096,
                .size = 4096,
                .offset = i * 4096};
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_io_queue_submit(queue);
    fr_io_queue_close(queue);
    for (size_t i = 0; i < COUNT; i++)
        cr_assert(test_matches(data + i * 4096, i * 4096, 4096));
    fr_file_close(file);
    fr_free(data);
}

Test(TEST_SUITE, several_queues_are_served_side_by_side)
{
    struct fr_file *file = test_file_with(&world, "a", 64 * KIB);
    struct fr_io_queue *queues[3];
    struct fr_io_request requests[3][10] = {0};
    uint8_t data[3][10][512];

    for (size_t q = 0; q < 3; q++) {
        queues[q] = open_queue(4);
        for (size_t i = 0; i < 10; i++) {
            requests[q][i] = (struct fr_io_request){.op = FR_IO_READ,
                    .file = file,
                    .data = data[q][i],
                    .size = 512,
                    .offset = (q * 10 + i) * 512};
            fr_io_queue_push(queues[q], &requests[q][i]);
        }
        fr_io_queue_submit(queues[q]);
    }
    for (size_t q = 3; q-- > 0;) {
        finish_all(queues[q], 10);
        for (size_t i = 0; i < 10; i++)
            cr_assert(test_matches(data[q][i], requests[q][i].offset, 512));
        fr_io_queue_close(queues[q]);
    }
    fr_file_close(file);
}

Test(TEST_SUITE, a_queue_may_register_its_memory_and_hold_the_lock)
{
    enum { COUNT = 16 };
    uint8_t *region = fr_alloc_aligned(COUNT * 4096, 4096), outside[4096];
    struct fr_file *file = test_file_with(&world, "a", 64 * KIB);
    struct fr_io_request requests[COUNT + 1] = {0};
    struct fr_dir_lock *lock, *second;
    struct fr_io_queue *queue;

    must(fr_dir_lock(world.dir, "LOCK", &lock));
    struct fr_io_queue_options options = {
            .depth = 8, .buffer = region, .buffer_size = COUNT * 4096, .lock = lock};
    must(fr_io_queue_open(world.env, &options, &queue));
    for (size_t i = 0; i <= COUNT; i++) {
        requests[i] = (struct fr_io_request){.op = FR_IO_READ,
                .file = file,
                .data = i < COUNT ? region + i * 4096 : outside,
                .size = 4096 - i,
                .offset = i % 8 * 4096 + i};
        fr_io_queue_push(queue, &requests[i]);
    }
    finish_all(queue, COUNT + 1);
    for (size_t i = 0; i <= COUNT; i++)
        cr_assert(test_matches(requests[i].data, requests[i].offset, requests[i].size));
    fr_io_queue_close(queue);
    fr_dir_unlock(lock);
    must(fr_dir_lock(world.dir, "LOCK", &second));
    fr_dir_unlock(second);
    fr_file_close(file);
    fr_free(region);
}

/* ---- interruptions ----------------------------------------------------------------------------
 */

static volatile sig_atomic_t alarm_count;

static void count_alarm(int signal_number)
{
    (void)signal_number;
    alarm_count++;
}

/* A signal so often, from now on; 0: no more of them. Calls that it interrupts are not restarted.
 */
static void alarm_every_us(suseconds_t interval_us)
{
    struct itimerval timer = {.it_interval.tv_usec = interval_us, .it_value.tv_usec = interval_us};
    struct sigaction action = {.sa_handler = count_alarm};

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

enum { STORM_BATCH = 24, STORM_SIZE = 8192 };

/* Some of everything that blocks; place-dependent bytes, so that a misplaced one is seen. */
static void block_in_the_storm(struct fr_file *plain, struct fr_file *direct, uint64_t round)
{
    static FR_ALIGNED(4096) uint8_t data[128 * 1024];
    uint64_t offset = round % 4 * sizeof(data);
    struct fr_dir_names names;
    struct fr_dir_lock *lock;
    struct fr_dir *inner;

    test_fill(data, offset, sizeof(data));
    must(fr_file_write(plain, offset, data, sizeof(data), round % 2 ? FR_WRITE_DSYNC : 0));
    must(fr_file_write(direct, offset, data, sizeof(data), round % 3 ? 0 : FR_WRITE_DSYNC));
    must(fr_file_sync(plain));
    must(fr_file_sync(direct));
    memset(data, 0, sizeof(data));
    must(fr_file_read_exact(direct, offset + 1, data, sizeof(data) - 1));
    cr_assert(test_matches(data, offset + 1, sizeof(data) - 1));
    must(fr_file_read_exact(plain, offset, data, sizeof(data)));
    cr_assert(test_matches(data, offset, sizeof(data)));
    must(fr_dir_replace(world.dir, "small", fr_slice_of(data, 100)));
    must(fr_dir_lock(world.dir, "LOCK", &lock));
    fr_dir_unlock(lock);
    must(fr_dir_open_in(world.dir, "d", FR_DIR_CREATE, &inner));
    fr_dir_close(inner);
    must(fr_dir_list(world.dir, &names));
    cr_assert_eq(names.count, 5);
    fr_dir_names_deinit(&names);
}

/* A batch of writes, or of the reads of what they wrote. */
static void queue_in_the_storm(struct fr_io_queue *queue, struct fr_file *plain,
        struct fr_file *direct, bool write)
{
    static FR_ALIGNED(4096) uint8_t data[STORM_BATCH][STORM_SIZE];
    struct fr_io_request requests[STORM_BATCH];

    for (size_t i = 0; i < STORM_BATCH; i++) {
        requests[i] = (struct fr_io_request){
                .op = !write       ? FR_IO_READ
                      : i % 8 == 0 ? FR_IO_WRITE_DSYNC
                                   : FR_IO_WRITE,
                .file = i % 2 ? plain : direct,
                .data = data[i],
                .size = STORM_SIZE,
                .offset = i * STORM_SIZE,
        };
        if (write)
            test_fill(data[i], i * STORM_SIZE, STORM_SIZE);
        else
            memset(data[i], 0, STORM_SIZE);
        fr_io_queue_push(queue, &requests[i]);
        if (i % 7 == 0) fr_io_queue_submit(queue);
    }
    finish_all(queue, STORM_BATCH);
    for (size_t i = 0; i < STORM_BATCH; i++)
        cr_assert(test_matches(data[i], i * STORM_SIZE, STORM_SIZE));
}

Test(TEST_SUITE, a_storm_of_signals_is_not_seen_by_callers)
{
    struct fr_file *plain = test_file_with(&world, "a", 512 * KIB), *direct;
    struct fr_io_queue *queue = open_queue(8);
    struct timespec now;
    uint64_t round = 0;

    fr_file_close(test_file_with(&world, "b", 512 * KIB));
    must(fr_file_open(world.dir, "b", FR_OPEN_WRITE | FR_OPEN_DIRECT, &direct));
    must(fr_dir_make(world.dir, "d"));
    must(fr_dir_replace(world.dir, "small", fr_slice_of_text("")));
    fr_file_close(test_file_with(&world, "LOCK", 0));
    /* The process's own clock: the simulator's stands still unless somebody sleeps. */
    cr_assert_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    time_t start_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
    alarm_every_us(1000);
    do {
        block_in_the_storm(plain, direct, round++);
        queue_in_the_storm(queue, plain, direct, true);
        queue_in_the_storm(queue, plain, direct, false);
        fr_env_sleep_us(world.env, 1500);
        cr_assert_eq(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 - start_ms < 1000);
    alarm_every_us(0);
    cr_assert_gt(alarm_count, 50, "that was no storm: %d signals", (int)alarm_count);
    fr_io_queue_close(queue);
    fr_file_close(direct);
    fr_file_close(plain);
}

Test(TEST_SUITE, a_depth_beyond_the_limit_is_refused)
{
    struct fr_io_queue_options options = {.depth = FR_IO_DEPTH_MAX + 1};
    struct fr_io_queue *queue;

    must_be(FR_ERR_LIMIT, fr_io_queue_open(world.env, &options, &queue));
}
