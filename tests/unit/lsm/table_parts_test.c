#include "lsm/table_parts.h"

#include "lsm/frame.h"
#include "lsm/table.h"
#include "lsm/table_builder.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/model.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{0x1111, 0x2222}, 7};

/* A table of several blocks, as bytes. */
static struct fr_buf make_table(enum fr_codec compression)
{
    struct fr_table_options options = fr_table_options_default();
    struct test_world world = test_world_open();
    struct fr_buf bytes = FR_BUF_EMPTY;
    char name[FR_FILE_NAME_SIZE];
    struct fr_table_builder *b;
    struct fr_table_meta meta;
    struct model model = {0};
    struct fr_file *file;

    model_fill(&model, MODEL_PREFIXED, 800, 60, 5);
    options.block_size = 4096;
    options.compression = compression;
    must(fr_table_builder_open(world.dir, &id, &options, &b));
    for (size_t i = 0; i < model.count; i++)
        must(fr_table_builder_add(b, &model.entries[i]));
    must(fr_table_builder_finish(b, &meta));
    fr_table_builder_close(b);
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    must(fr_file_open(world.dir, name, 0, &file));
    must(fr_file_read_exact(file, 0, fr_buf_extend(&bytes, meta.file_size), meta.file_size));
    fr_file_close(file);
    fr_table_meta_deinit(&meta);
    model_free(&model);
    test_world_close(&world);
    return bytes;
}

static struct fr_table_footer footer_of(const struct fr_buf *table)
{
    struct fr_table_footer footer;

    must(fr_table_footer_decode(table->data + table->size - FR_TABLE_FOOTER_SIZE, "t", table->size,
            &footer));
    must(fr_table_footer_check(&footer, "t", table->size));
    return footer;
}

static void check_walk(enum fr_codec compression)
{
    struct fr_buf table = make_table(compression);
    struct fr_table_footer footer = footer_of(&table);
    uint64_t at = FR_TABLE_HEADER_SIZE, end = table.size - FR_TABLE_FOOTER_SIZE, blocks = 0;
    uint32_t seed = fr_file_id_seed(&id);

    while (at < end) {
        fr_slice rest = fr_slice_of(table.data + at, end - at);
        struct fr_block_handle handle;
        enum fr_frame_type type;
        struct fr_frame frame;

        cr_assert(fr_frame_find(rest, seed, at, &handle, &type), "at %zu", (size_t)at);
        rest.size = handle.size;
        must(fr_frame_check(rest, seed, &handle, type, "t", &frame));
        cr_assert_eq(type == FR_FRAME_DATA, at < footer.data_end);
        cr_assert(fr_frame_may_begin(rest) || type == FR_FRAME_PROPERTIES);
        blocks += type == FR_FRAME_DATA;
        at += handle.size;
    }
    cr_assert_gt(blocks, 3);
    fr_buf_deinit(&table);
}

Test(table_parts, frames_are_found_one_behind_the_other_without_an_index)
{
    check_walk(FR_CODEC_NONE);
    check_walk(FR_CODEC_ZSTD);
}

Test(table_parts, a_frame_is_not_found_at_another_place_or_in_another_file)
{
    struct fr_buf table = make_table(FR_CODEC_ZSTD);
    fr_slice rest = fr_slice_of(table.data + FR_TABLE_HEADER_SIZE, 8192);
    uint32_t seed = fr_file_id_seed(&id);
    struct fr_block_handle handle;
    enum fr_frame_type type;

    cr_assert(fr_frame_find(rest, seed, FR_TABLE_HEADER_SIZE, &handle, &type));
    cr_assert_not(fr_frame_find(rest, seed, FR_TABLE_HEADER_SIZE + 1, &handle, &type));
    cr_assert_not(fr_frame_find(rest, seed + 1, FR_TABLE_HEADER_SIZE, &handle, &type));
    rest.size = handle.size - 1;
    cr_assert_not(fr_frame_find(rest, seed, FR_TABLE_HEADER_SIZE, &handle, &type));
    fr_buf_deinit(&table);
}

Test(table_parts, a_footer_that_leads_out_of_the_file_is_refused)
{
    struct fr_buf table = make_table(FR_CODEC_NONE);
    struct fr_table_footer footer = footer_of(&table), bad = footer;

    bad.data_end = table.size;
    must_be(FR_ERR_CORRUPT, fr_table_footer_check(&bad, "t", table.size));
    bad = footer;
    bad.handles[FR_TABLE_HANDLE_FILTER].size = UINT32_MAX;
    must_be(FR_ERR_CORRUPT, fr_table_footer_check(&bad, "t", table.size));
    bad = footer;
    bad.handles[FR_TABLE_HANDLE_PROPERTIES] = (struct fr_block_handle){.size = 0};
    must_be(FR_ERR_CORRUPT, fr_table_footer_check(&bad, "t", table.size));
    must_be(FR_ERR_CORRUPT, fr_table_footer_check(&footer, "t", table.size + 1));
    table.data[table.size - 20] ^= 1;
    must_be(FR_ERR_CORRUPT, fr_table_footer_decode(table.data + table.size - FR_TABLE_FOOTER_SIZE,
                                    "t", table.size, &bad));
    fr_buf_deinit(&table);
}
