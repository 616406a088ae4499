#include "lsm/value_file.h"

#include "lsm/value_format.h"
#include "tests/unit/io/test_world.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{3, 4}, 9};
#define COUNT 60

static fr_slice key_of(unsigned i, char *to)
{
    return fr_slice_of(to, (size_t)snprintf(to, 32, "key/%04u", i));
}

static size_t value_of(unsigned i, uint8_t *to)
{
    size_t size = i == 0 ? 0 : (i * 37) % 900;

    memset(to, (int)i, size);
    if (i % 3 == 0) test_fill(to, i, size);
    return size;
}

static void build(struct test_world *world, bool compress, struct fr_place *places)
{
    struct fr_value_options options = {.compress = compress, .compression_level = 3};
    struct fr_value_builder *b;
    struct fr_value_meta meta;
    uint8_t value[900];
    char key[32];

    must(fr_value_builder_open(world->dir, &id, &options, &b));
    for (unsigned i = 0; i < COUNT; i++)
        must(fr_value_builder_add(b, key_of(i, key), 100 + i,
                fr_slice_of(value, value_of(i, value)), &places[i]));
    must(fr_value_builder_finish(b, &meta));
    cr_assert_eq(meta.count, COUNT);
    fr_value_builder_close(b);
}

static void check_reads(struct fr_value_file *f, const struct fr_place *places)
{
    struct fr_buf got = FR_BUF_EMPTY;
    uint8_t value[900];
    char key[32];

    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = value_of(i, value);

        must(fr_value_read(f, &places[i], key_of(i, key), 100 + i, &got));
        cr_assert(fr_slice_equal(fr_buf_slice(&got), fr_slice_of(value, size)));
        must(fr_value_read(f, &places[i], key_of(i, key), 0, &got));
        must_be(FR_ERR_CORRUPT, fr_value_read(f, &places[i], key_of(i, key), 99 + i, &got));
        must_be(FR_ERR_CORRUPT, fr_value_read(f, &places[i], key_of(i + 1, key), 0, &got));
    }
    fr_buf_deinit(&got);
}

static void check_scan(struct fr_value_file *f, const struct fr_place *places)
{
    struct fr_value_scan *scan;
    struct fr_value_item item;
    uint8_t value[900];
    char key[32];

    must(fr_value_scan_open(f, &scan));
    for (unsigned i = 0; i < COUNT; i++) {
        must(fr_value_scan_next(scan, &item));
        cr_assert(fr_slice_equal(item.key, key_of(i, key)));
        cr_assert(fr_slice_equal(item.value, fr_slice_of(value, value_of(i, value))));
        cr_assert(item.seq == 100 + i && item.place.offset == places[i].offset &&
                  item.place.size == places[i].size && item.place.file == 9);
    }
    must_be(FR_END, fr_value_scan_next(scan, &item));
    fr_value_scan_close(scan);
}

Test(value_file, gives_values_back_by_place_and_in_order)
{
    for (int compress = 0; compress < 2; compress++) {
        struct test_world world = test_world_open();
        struct fr_place places[COUNT];
        struct fr_value_file *f;

        build(&world, compress, places);
        must(fr_value_file_open(world.dir, &id, &f));
        check_reads(f, places);
        check_scan(f, places);
        must(fr_value_verify(f));
        fr_value_file_unref(f);
        test_world_close(&world);
    }
}

Test(value_file, a_queue_reads_many_at_once)
{
    struct test_world world = test_world_open();
    struct fr_io_request requests[COUNT];
    struct fr_buf memory = FR_BUF_EMPTY;
    struct fr_place places[COUNT];
    struct fr_io_request *done;
    struct fr_io_queue *queue;
    struct fr_value_file *f;
    uint8_t value[900];
    char key[32];

    build(&world, true, places);
    must(fr_value_file_open(world.dir, &id, &f));
    must(fr_io_queue_open(world.env, NULL, &queue));
    for (unsigned i = 0; i < COUNT; i++) {
        size_t size = fr_value_request_size(f, &places[i], key_of(i, key));

        fr_value_request(f, &places[i], size, fr_alloc(size), &requests[i]);
        fr_io_queue_push(queue, &requests[i]);
    }
    fr_io_queue_wait(queue, COUNT);
    while ((done = fr_io_queue_pop(queue)) != NULL) {
        unsigned i = (unsigned)(done - requests);
        fr_slice got;

        must(fr_value_accept(f, &places[i], key_of(i, key), 0, done, &memory, &got));
        cr_assert(fr_slice_equal(got, fr_slice_of(value, value_of(i, value))));
        fr_free(done->data);
    }
    fr_io_queue_close(queue);
    fr_buf_deinit(&memory);
    fr_value_file_unref(f);
    test_world_close(&world);
}

Test(value_file, refuses_places_that_are_none)
{
    struct test_world world = test_world_open();
    struct fr_buf got = FR_BUF_EMPTY;
    struct fr_place places[COUNT];
    struct fr_value_file *f;
    char key[32];

    build(&world, false, places);
    must(fr_value_file_open(world.dir, &id, &f));
    for (int i = 0; i < 6; i++) {
        struct fr_place bad = places[5];

        if (i == 0) bad.offset++;
        if (i == 1) bad.offset = 0;
        if (i == 2) bad.offset = UINT64_MAX;
        if (i == 3) bad.size = UINT64_MAX;
        if (i == 4) bad.size--;
        if (i == 5) bad.file++;
        must_be(FR_ERR_CORRUPT, fr_value_read(f, &bad, key_of(5, key), 0, &got));
    }
    fr_value_file_unref(f);
    fr_buf_deinit(&got);
    test_world_close(&world);
}

Test(value_file, notices_each_flipped_byte)
{
    struct test_world world = test_world_open();
    struct fr_place places[COUNT];
    char name[FR_FILE_NAME_SIZE];
    struct fr_file_info info;
    struct fr_file *file;

    build(&world, true, places);
    fr_file_name_format(FR_FILE_VALUES, id.number, name);
    must(fr_file_open(world.dir, name, FR_OPEN_WRITE, &file));
    must(fr_file_info_get(file, &info));
    for (uint64_t at = 0; at<info.size; at += at> 44 && at < 4096 ? 101 : 3) {
        struct fr_value_file *f = NULL;
        uint8_t byte;

        must(fr_file_read_exact(file, at, &byte, 1));
        byte ^= 0x20;
        must(fr_file_write(file, at, &byte, 1, 0));
        fr_status st = fr_value_file_open(world.dir, &id, &f);
        if (st == FR_OK) st = fr_value_verify(f);
        cr_assert_lt(st, 0, "byte %lu", at);
        fr_value_file_unref(f);
        byte ^= 0x20;
        must(fr_file_write(file, at, &byte, 1, 0));
    }
    for (uint64_t size = info.size - 1; size > 4000; size -= 37) {
        struct fr_value_file *f;

        must(fr_file_truncate(file, size));
        cr_assert_lt(fr_value_file_open(world.dir, &id, &f), 0);
    }
    fr_file_close(file);
    test_world_close(&world);
}

Test(value_file, refuses_foreign_files)
{
    struct test_world world = test_world_open();
    struct fr_file_id other = {{3, 5}, 9};
    struct fr_place places[COUNT];
    struct fr_value_file *f;

    build(&world, false, places);
    must_be(FR_ERR_FOREIGN, fr_value_file_open(world.dir, &other, &f));
    test_world_close(&world);
}
