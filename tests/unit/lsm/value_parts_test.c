#include "lsm/value_parts.h"

#include "lsm/value_file.h"
#include "tests/unit/io/test_world.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{3, 4}, 9};
#define COUNT 20

/* A value file as bytes, and where its records are. */
static struct fr_buf make_file(struct fr_place *places)
{
    struct test_world world = test_world_open();
    struct fr_buf bytes = FR_BUF_EMPTY;
    char key[32], name[FR_FILE_NAME_SIZE];
    struct fr_value_builder *b;
    struct fr_value_meta meta;
    uint8_t value[300];
    struct fr_file *file;

    must(fr_value_builder_open(world.dir, &id, NULL, &b));
    for (unsigned i = 0; i < COUNT; i++) {
        test_fill(value, i, sizeof(value));
        size_t size = (size_t)snprintf(key, sizeof(key), "key/%04u", i);
        must(fr_value_builder_add(b, fr_slice_of(key, size), 100 + i,
                fr_slice_of(value, 10 * (size_t)i), &places[i]));
    }
    must(fr_value_builder_finish(b, &meta));
    fr_value_builder_close(b);
    fr_file_name_format(FR_FILE_VALUES, id.number, name);
    must(fr_file_open(world.dir, name, 0, &file));
    must(fr_file_read_exact(file, 0, fr_buf_extend(&bytes, meta.file_size), meta.file_size));
    fr_file_close(file);
    test_world_close(&world);
    return bytes;
}

Test(value_parts, header_and_footer_say_whose_file_it_is)
{
    struct fr_place places[COUNT];
    struct fr_buf file = make_file(places);
    uint64_t at = file.size - FR_VALUE_FOOTER_SIZE;
    struct fr_value_footer footer;
    struct fr_file_id found;

    must(fr_value_header_decode(file.data, "v", &found));
    cr_assert(fr_file_id_equal(&found, &id));
    must(fr_value_footer_decode(file.data + at, "v", at, &footer));
    cr_assert(fr_file_id_equal(&footer.id, &id));
    cr_assert_eq(footer.count, COUNT);
    cr_assert_eq(footer.file_size, file.size);
    file.data[20] ^= 1;
    file.data[at + 20] ^= 1;
    must_be(FR_ERR_CORRUPT, fr_value_header_decode(file.data, "v", &found));
    must_be(FR_ERR_CORRUPT, fr_value_footer_decode(file.data + at, "v", at, &footer));
    fr_buf_deinit(&file);
}

Test(value_parts, the_record_behind_a_damaged_one_is_found)
{
    struct fr_place places[COUNT];
    struct fr_buf file = make_file(places);
    uint64_t end = file.size - FR_VALUE_FOOTER_SIZE, offset = places[7].offset;
    fr_slice rest = fr_slice_of(file.data + offset, end - offset);
    uint32_t seed = fr_file_id_seed(&id);
    struct fr_value_stored record;
    size_t at = 0;

    cr_assert_null(fr_value_stored_read(seed, offset, rest, &record));
    cr_assert_eq(record.seq, 107);
    file.data[offset + 4] ^= 1; /* its size: where it ends is not known any more */
    cr_assert_not_null(fr_value_stored_read(seed, offset, rest, &record));
    cr_assert(fr_value_stored_find(seed, offset, rest, &at, &record));
    cr_assert_eq(offset + at, places[8].offset);
    cr_assert_eq(record.seq, 108);
    cr_assert_eq(record.size, 80);
    fr_buf_deinit(&file);
}

Test(value_parts, nothing_is_found_in_another_file)
{
    struct fr_place places[COUNT];
    struct fr_buf file = make_file(places);
    struct fr_file_id other = id;
    struct fr_value_stored record;
    size_t at = FR_VALUE_HEADER_SIZE;

    other.number++;
    cr_assert_not(fr_value_stored_find(fr_file_id_seed(&other), 0, fr_buf_slice(&file), &at,
            &record));
    cr_assert_eq(at, FR_VALUE_HEADER_SIZE);
    fr_buf_deinit(&file);
}
