#include "lsm/super.h"

#include "base/coding.h"
#include "base/crc32c.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_crash.h"

static struct fr_super first_super(void)
{
    return (struct fr_super){.store = "sixteen letters",
            .manifest = 7,
            .manifest_lsn = 4096,
            .created_us = UINT64_MAX};
}

static void change(struct test_world *world, struct fr_super *super)
{
    super->manifest++;
    super->manifest_lsn += 100;
    must(fr_super_change(world->dir, super));
}

/* A store whose SUPER has been changed so often. */
static struct fr_super create(struct test_world *world, unsigned changes)
{
    struct fr_super super = first_super();

    must(fr_super_create(world->dir, &super));
    for (unsigned i = 0; i < changes; i++)
        change(world, &super);
    return super;
}

static void expect(struct fr_dir *dir, const struct fr_super *super)
{
    struct fr_super found;

    must(fr_super_read(dir, &found));
    cr_assert_arr_eq(found.store, super->store, FR_STORE_ID_SIZE);
    cr_assert_eq(found.generation, super->generation);
    cr_assert_eq(found.manifest, super->manifest);
    cr_assert_eq(found.manifest_lsn, super->manifest_lsn);
    cr_assert_eq(found.created_us, super->created_us);
}

static void put(struct test_world *world, uint64_t offset, const void *bytes, size_t size)
{
    struct fr_file *file;

    must(fr_file_open(world->dir, "SUPER", FR_OPEN_WRITE, &file));
    must(fr_file_write(file, offset, bytes, size, 0));
    fr_file_close(file);
}

static void get(struct test_world *world, uint64_t offset, void *bytes, size_t size)
{
    struct fr_file *file;

    must(fr_file_open(world->dir, "SUPER", 0, &file));
    must(fr_file_read_exact(file, offset, bytes, size));
    fr_file_close(file);
}

static void flip(struct test_world *world, uint64_t offset)
{
    uint8_t byte;

    get(world, offset, &byte, 1);
    byte ^= 0x10;
    put(world, offset, &byte, 1);
}

Test(super, gives_back_what_was_written_last)
{
    struct test_world world = test_world_open();
    struct fr_super super = create(&world, 0), none;
    struct fr_file_info info;

    for (uint64_t generation = 0; generation < 5; generation++) {
        cr_assert_eq(super.generation, generation);
        expect(world.dir, &super);
        change(&world, &super);
    }
    must(fr_dir_stat(world.dir, "SUPER", &info));
    cr_assert_eq(info.size, FR_SUPER_FILE_SIZE);
    must_be(FR_ERR_EXISTS, fr_super_create(world.dir, &super));
    expect(world.dir, &super);
    must(fr_dir_unlink(world.dir, "SUPER"));
    must_be(FR_ERR_MISSING, fr_super_read(world.dir, &none));
    test_world_close(&world);
}

Test(super, survives_the_loss_of_any_one_copy)
{
    for (unsigned changes = 0; changes < 3; changes++) {
        struct test_world world = test_world_open();
        struct fr_super super = create(&world, changes);

        for (uint64_t generation = 0; generation < 2; generation++)
            for (unsigned copy = 0; copy < FR_SUPER_COPIES; copy++) {
                uint64_t offset = fr_super_offset(generation, copy);
                for (uint64_t at = 0; at < FR_SUPER_COPY_SIZE; at += at < 80 ? 1 : 61) {
                    flip(&world, offset + at);
                    expect(world.dir, &super);
                    flip(&world, offset + at);
                }
            }
        test_world_close(&world);
    }
}

Test(super, without_the_newest_there_is_the_one_before)
{
    struct test_world world = test_world_open();
    struct fr_super before = create(&world, 3), super = before, none;

    change(&world, &super);
    flip(&world, fr_super_offset(super.generation, 0) + 40);
    flip(&world, fr_super_offset(super.generation, 1) + 4095);
    expect(world.dir, &before);
    flip(&world, fr_super_offset(before.generation, 0));
    flip(&world, fr_super_offset(before.generation, 1));
    must_be(FR_ERR_CORRUPT, fr_super_read(world.dir, &none));
    must_say("SUPER");
    test_world_close(&world);
}

Test(super, a_copy_in_the_wrong_place_is_none)
{
    static const uint64_t places[] = {0, 4096, 65536, 69632};
    uint8_t bytes[FR_SUPER_COPY_SIZE];
    struct fr_super super = first_super(), found;

    for (super.generation = 0; super.generation < 2; super.generation++)
        for (size_t from = 0; from < 4; from++)
            for (size_t to = 0; to < 4; to++) {
                bool right = from == to && from / 2 == super.generation;
                fr_super_encode(&super, places[from], bytes);
                must_be(right ? FR_OK : FR_ERR_CORRUPT, fr_super_decode(bytes, places[to], &found));
            }
}

static void fix_crc(uint8_t *bytes, uint64_t offset)
{
    uint8_t place[8];

    fr_put_u64(place, offset);
    fr_put_u32(bytes + 4092, fr_crc32c(fr_crc32c(0, place, 8), bytes, 4092));
}

Test(super, what_is_too_new_is_refused_and_what_may_be_there_is_not)
{
    struct test_world world = test_world_open();
    struct fr_super super = create(&world, 0), found;
    uint8_t bytes[FR_SUPER_COPY_SIZE];

    for (int i = 0; i < 4; i++) {
        fr_super_encode(&super, 0, bytes);
        if (i == 0) fr_put_u32(bytes + 8, 2);
        if (i == 1) fr_put_u32(bytes + 12, 0x80000000);
        if (i == 2) fr_put_u32(bytes + 16, UINT32_MAX);
        if (i == 3) fr_put_u64(bytes + 48, 0);
        must_be(FR_ERR_CORRUPT, fr_super_decode(bytes, 0, &found));
        fix_crc(bytes, 0);
        fr_status wanted = i < 2 ? FR_ERR_TOO_NEW : i == 2 ? FR_OK : FR_ERR_CORRUPT;
        must_be(wanted, fr_super_decode(bytes, 0, &found));
        put(&world, 0, bytes, sizeof(bytes));
        must_be(i < 2 ? FR_ERR_TOO_NEW : FR_OK, fr_super_read(world.dir, &found));
    }
    test_world_close(&world);
}

Test(super, a_file_of_any_other_size_is_refused_or_read)
{
    struct test_world world = test_world_open();
    struct fr_super super = create(&world, 2), found;
    struct fr_file *file;

    must(fr_file_open(world.dir, "SUPER", FR_OPEN_WRITE, &file));
    for (uint64_t size = FR_SUPER_FILE_SIZE; size > 0; size -= 2048) {
        must(fr_file_truncate(file, size));
        if (size >= FR_SUPER_COPY_SIZE)
            expect(world.dir, &super);
        else
            must_be(FR_ERR_CORRUPT, fr_super_read(world.dir, &found));
    }
    fr_file_close(file);
    test_world_close(&world);
}

Test(super, a_copy_that_cannot_be_read_is_a_lost_one)
{
    struct test_world world = test_world_open();
    struct fr_super super = create(&world, 1), found;

    for (uint64_t nth = 1; nth <= 4; nth++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ), .nth = nth};
        must(fr_sim_fault_add(world.sim, &fault));
        expect(world.dir, &super);
        fr_sim_fault_clear(world.sim);
    }
    struct fr_sim_fault all = {.ops = FR_SIM_MASK(FR_SIM_READ), .forever = true};
    must(fr_sim_fault_add(world.sim, &all));
    must_be(FR_ERR_IO, fr_super_read(world.dir, &found));
    test_world_close(&world);
}

/* acked: the generation that has been answered, plus one. */
static void check_generation(void *ctx, struct fr_dir *dir, const struct test_crash_point *point)
{
    struct fr_super found, super = first_super();
    fr_status st = fr_super_read(dir, &found);

    (void)ctx;
    if (point->acked == 0 && st == FR_ERR_MISSING) return;
    must(st);
    cr_assert_geq(found.generation + 1, point->acked);
    cr_assert_lt(found.generation, point->issued);
    super.generation = found.generation;
    super.manifest += found.generation;
    super.manifest_lsn += 100 * found.generation;
    expect(dir, &super);
}

Test(super, a_crash_leaves_none_or_a_whole_one)
{
    static struct test_crash crash;
    struct test_world world = test_world_open();
    struct fr_super super = first_super();

    test_crash_watch(&crash, world.sim);
    crash.issued = 1;
    must(fr_super_create(world.dir, &super));
    crash.acked = 1;
    for (int i = 0; i < 4; i++) {
        crash.issued++;
        change(&world, &super);
        crash.acked++;
    }
    cr_assert_gt(test_crash_check(&crash, world.path, check_generation, NULL), 200);
    test_world_close(&world);
}

Test(super, making_one_may_be_tried_again_after_any_failure)
{
    for (uint64_t nth = 1;; nth++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK_ALL, .nth = nth};
        struct test_world world = test_world_open();
        struct fr_super super = first_super();

        must(fr_sim_fault_add(world.sim, &fault));
        fr_status st = fr_super_create(world.dir, &super);
        bool hit = fr_sim_fault_hits(world.sim) > 0;
        fr_sim_fault_clear(world.sim);
        cr_assert(st == FR_OK || (hit && st < 0));
        if (st < 0) st = fr_super_create(world.dir, &super);
        cr_assert(st == FR_OK || st == FR_ERR_EXISTS, "%s", fr_last_error());
        expect(world.dir, &super);
        test_world_close(&world);
        if (!hit) break;
    }
}
