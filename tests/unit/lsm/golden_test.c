/* What is written today is what was written when the golden files were made, byte for byte. */
#include "tests/unit/io/test_world.h"

#include "base/hash.h"
#include "lsm/block_builder.h"
#include "lsm/filter.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"

static const struct fr_file_id id = {{1, 2}, 3};

struct maker {
    char key[64];
    char value[64];
};

static struct fr_entry make(int i, struct maker *m)
{
    int key_size = snprintf(m->key, sizeof(m->key), "key5/%04d", i / 2);
    int size = snprintf(m->value, sizeof(m->value), "value %d", i * i);
    struct fr_entry entry = {.seq = 1000 - (fr_seq)i, .kind = FR_KIND_PUT};

    if (i % 5 == 2) entry.kind = FR_KIND_APPEND;
    if (i % 5 == 3) entry.kind = FR_KIND_DELETE;
    entry.key = fr_slice_of(m->key, (size_t)key_size);
    entry.value = fr_slice_of(m->value, i % 7 == 3 ? 0 : (size_t)size);
    if (entry.kind == FR_KIND_DELETE) entry.value.size = 0;
    if (entry.kind == FR_KIND_PUT && i % 4 == 0) {
        entry.flags = FR_ENTRY_EXPIRES;
        entry.expires_us = 1000000u * (unsigned)i;
    }
    return entry;
}

static void check_golden(const char *name, fr_slice bytes)
{
    static uint8_t golden[65536];
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", TEST_GOLDEN, name);
    FILE *file = fopen(path, "rb");
    cr_assert_not_null(file, "%s", path);
    size_t size = fread(golden, 1, sizeof(golden), file);
    fclose(file);
    cr_assert(fr_slice_equal(bytes, fr_slice_of(golden, size)), "%s is written otherwise", name);
}

static void check_file(struct test_world *world, const char *name)
{
    static uint8_t bytes[65536];
    struct fr_file *file;
    size_t size;

    must(fr_file_open(world->dir, name, 0, &file));
    must(fr_file_read(file, 0, bytes, sizeof(bytes), &size));
    fr_file_close(file);
    check_golden(name, fr_slice_of(bytes, size));
}

Test(golden, block)
{
    struct fr_block_builder builder;
    struct maker maker;
    fr_slice bytes;

    fr_block_builder_init(&builder, 8, true);
    for (int i = 0; i < 40; i++) {
        struct fr_entry entry = make(i, &maker);

        must(fr_block_builder_add(&builder, &entry));
    }
    must(fr_block_builder_finish(&builder, &bytes));
    check_golden("block", bytes);
    fr_block_builder_deinit(&builder);
}

Test(golden, filter)
{
    struct fr_filter_builder builder;
    struct fr_buf bytes = FR_BUF_EMPTY;

    fr_filter_builder_init(&builder, 10);
    for (uint64_t i = 0; i < 100; i++) {
        uint8_t key[8];

        fr_put_u64(key, i);
        fr_filter_builder_add(&builder, fr_hash64(fr_slice_of(key, 8)));
    }
    must(fr_filter_builder_finish(&builder, &bytes));
    check_golden("filter", fr_buf_slice(&bytes));
    fr_filter_builder_deinit(&builder);
    fr_buf_deinit(&bytes);
}

Test(golden, table)
{
    struct fr_table_options options = fr_table_options_default();
    struct test_world world = test_world_open();
    struct fr_table_builder *b;
    struct fr_table_meta meta;
    struct maker maker;

    options.created_us = 1;
    options.index_block_size = 100;
    options.block_size = 4096;
    must(fr_table_builder_open(world.dir, &id, &options, &b));
    for (int i = 0; i < 60; i++) {
        struct fr_entry entry = make(i, &maker);

        must(fr_table_builder_add(b, &entry));
    }
    must(fr_table_builder_add_range(b, fr_slice_of_text("a"), fr_slice_of_text("key3"), 7));
    must(fr_table_builder_add_range(b, fr_slice_of_text("b"), fr_slice_of_text("c"), 9));
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    fr_table_meta_deinit(&meta);
    check_file(&world, "000003.table");
    test_world_close(&world);
}
