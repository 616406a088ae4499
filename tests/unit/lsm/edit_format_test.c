#include "lsm/edit_format.h"

#include "base/coding.h"
#include "tests/unit/io/test_world.h"

static const struct fr_value_ref refs[] = {{3, 10, 1}, {UINT64_MAX, UINT64_MAX, UINT64_MAX}};

static struct fr_edit_table table_of(int i)
{
    struct fr_edit_table table = {.number = 7,
            .size = 200,
            .hash = "sixteen letters",
            .smallest = fr_slice_of_text("a"),
            .largest = fr_slice_of_text("b")};

    if (i == 0) return table;
    table.number = table.size = table.entry_count = table.delete_count = UINT64_MAX;
    table.range_count = table.append_count = table.largest_seq = UINT64_MAX;
    table.largest_open = true;
    table.refs = refs;
    table.ref_count = 2;
    return table;
}

/* One field of each kind, and of some more than one. */
#define FIELDS 10

static void put_field(struct fr_buf *edit, int i)
{
    struct fr_edit_table table = table_of(i % 2);
    struct fr_edit_values values = {5, 6, "letters, sixteen", 7, UINT64_MAX};
    struct fr_edit_log log = {4096, UINT64_MAX, 17};

    switch (i) {
    case 0:
        fr_edit_put_reset(edit);
        break;
    case 1:
        fr_edit_put_next_file(edit, 0);
        break;
    case 2:
        fr_edit_put_next_file(edit, UINT64_MAX);
        break;
    case 3:
        fr_edit_put_last_seq(edit, 300);
        break;
    case 4:
        fr_edit_put_log(edit, &log);
        break;
    case 5:
    case 6:
        fr_edit_put_add_table(edit, i == 5 ? 0 : FR_LEVEL_COUNT - 1, &table);
        break;
    case 7:
        fr_edit_put_drop_table(edit, 6, 99);
        break;
    case 8:
        fr_edit_put_add_values(edit, &values);
        break;
    default:
        fr_edit_put_drop_values(edit, 128);
    }
}

static fr_status on_reset(void *to)
{
    fr_edit_put_reset(to);
    return FR_OK;
}

static fr_status on_next_file(void *to, uint64_t next_file)
{
    fr_edit_put_next_file(to, next_file);
    return FR_OK;
}

static fr_status on_last_seq(void *to, fr_seq last_seq)
{
    fr_edit_put_last_seq(to, last_seq);
    return FR_OK;
}

static fr_status on_log(void *to, const struct fr_edit_log *log)
{
    fr_edit_put_log(to, log);
    return FR_OK;
}

static fr_status on_add_table(void *to, unsigned level, const struct fr_edit_table *table)
{
    fr_edit_put_add_table(to, level, table);
    return FR_OK;
}

static fr_status on_drop_table(void *to, unsigned level, uint64_t number)
{
    fr_edit_put_drop_table(to, level, number);
    return FR_OK;
}

static fr_status on_add_values(void *to, const struct fr_edit_values *values)
{
    fr_edit_put_add_values(to, values);
    return FR_OK;
}

static fr_status on_drop_values(void *to, uint64_t number)
{
    fr_edit_put_drop_values(to, number);
    return FR_OK;
}

/* Puts each field again. */
static const struct fr_edit_visitor again = {
        .reset = on_reset,
        .next_file = on_next_file,
        .last_seq = on_last_seq,
        .log = on_log,
        .add_table = on_add_table,
        .drop_table = on_drop_table,
        .add_values = on_add_values,
        .drop_values = on_drop_values,
};

static const struct fr_edit_visitor nobody;

/* Of the exact size, so that a sanitizer sees a byte read too many. */
static fr_status read_exact(const uint8_t *bytes, size_t size, struct fr_buf *to)
{
    uint8_t *copy = fr_alloc(size);

    cr_assert_not_null(copy);
    memcpy(copy, bytes, size);
    fr_status st = fr_edit_read(fr_slice_of(copy, size), to == NULL ? &nobody : &again, to);
    fr_free(copy);
    return st;
}

Test(edit_format, gives_all_fields_back)
{
    struct fr_buf edit = FR_BUF_EMPTY, back = FR_BUF_EMPTY;

    for (int i = 0; i < FIELDS; i++)
        put_field(&edit, i);
    must(fr_buf_status(&edit));
    must(read_exact(edit.data, edit.size, &back));
    must(fr_buf_status(&back));
    cr_assert(fr_slice_equal(fr_buf_slice(&edit), fr_buf_slice(&back)));
    must(fr_edit_read(fr_buf_slice(&edit), &nobody, NULL));
    fr_buf_deinit(&edit);
    fr_buf_deinit(&back);
}

Test(edit_format, gives_values_back_as_they_were)
{
    struct fr_edit_table table = table_of(1);
    struct fr_buf edit = FR_BUF_EMPTY;

    fr_edit_put_add_table(&edit, 3, &table);
    must(fr_buf_status(&edit));
    /* tag, size, level, number in ten bytes, size in ten, then the hash */
    cr_assert_eq(edit.data[0], FR_EDIT_ADD_TABLE);
    cr_assert_eq(edit.data[1], edit.size - 2);
    cr_assert_eq(edit.data[2], 3);
    cr_assert_arr_eq(edit.data + 23, table.hash, FR_CONTENT_HASH_SIZE);
    fr_buf_deinit(&edit);
}

Test(edit_format, a_field_cut_short_is_damage)
{
    for (int i = 0; i < FIELDS; i++) {
        struct fr_buf edit = FR_BUF_EMPTY;

        put_field(&edit, i);
        must(fr_buf_status(&edit));
        for (size_t size = 1; size < edit.size; size++) {
            must_be(FR_ERR_CORRUPT, read_exact(edit.data, size, NULL));
            must_say("edit");
        }
        fr_buf_deinit(&edit);
    }
}

/* As above, with the size of the body put right. */
Test(edit_format, a_body_cut_short_or_with_more_is_damage)
{
    for (int i = 0; i < FIELDS; i++) {
        struct fr_buf edit = FR_BUF_EMPTY;

        put_field(&edit, i);
        must(fr_buf_status(&edit));
        size_t prefix = 2; /* no field is above 127 bytes */
        size_t body = edit.size - prefix;
        for (size_t size = 0; size <= body + 1; size++) {
            uint8_t copy[512] = {edit.data[0]};
            uint8_t *end = fr_put_varint(copy + 1, size);

            memcpy(end, edit.data + prefix, FR_MIN(size, body));
            fr_status st = read_exact(copy, (size_t)(end - copy) + size, NULL);
            cr_assert_eq(st, size == body ? FR_OK : FR_ERR_CORRUPT, "field %d, %zu of %zu: %s", i,
                    size, body, fr_status_name(st));
        }
        fr_buf_deinit(&edit);
    }
}

Test(edit_format, no_byte_changed_at_random_does_harm)
{
    struct fr_buf edit = FR_BUF_EMPTY;

    for (int i = 0; i < FIELDS; i++)
        put_field(&edit, i);
    must(fr_buf_status(&edit));
    for (size_t at = 0; at < edit.size; at++)
        for (unsigned value = 0; value < 256; value++) {
            struct fr_buf back = FR_BUF_EMPTY;
            uint8_t was = edit.data[at];

            edit.data[at] = (uint8_t)value;
            fr_status st = read_exact(edit.data, edit.size, &back);
            cr_assert(st == FR_OK || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW);
            edit.data[at] = was;
            fr_buf_deinit(&back);
        }
    fr_buf_deinit(&edit);
}

Test(edit_format, unknown_fields_are_refused_below_64_and_skipped_from_there)
{
    for (unsigned tag = 0; tag < 200; tag++) {
        struct fr_buf edit = FR_BUF_EMPTY, back = FR_BUF_EMPTY;
        bool known = tag >= FR_EDIT_RESET && tag <= FR_EDIT_DROP_VALUES;

        fr_buf_varint(&edit, tag);
        fr_buf_block(&edit, fr_slice_of_text("whatever this means"));
        put_field(&edit, 9);
        must(fr_buf_status(&edit));
        fr_status st = fr_edit_read(fr_buf_slice(&edit), &again, &back);
        cr_assert_eq(st,
                known      ? FR_ERR_CORRUPT
                : tag < 64 ? FR_ERR_TOO_NEW
                           : FR_OK,
                "tag %u: %s", tag, fr_status_name(st));
        if (tag >= 64) cr_assert_eq(back.size, 4);
        fr_buf_deinit(&edit);
        fr_buf_deinit(&back);
    }
}

Test(edit_format, refuses_what_makes_no_sense)
{
    static uint8_t long_key[FR_KEY_SIZE_MAX + 1] = {'a'};

    for (int i = 0; i < 9; i++) {
        struct fr_value_ref bad[] = {{3, 1, 1}, {3, 1, 1}};
        struct fr_edit_table table = table_of(0);
        struct fr_buf edit = FR_BUF_EMPTY;
        unsigned level = 0;

        if (i == 0) level = FR_LEVEL_COUNT;
        if (i == 1) table.number = 0;
        if (i == 2) table.smallest = fr_slice_of_text("c");
        if (i == 3) table.smallest = fr_slice_of_text("");
        if (i == 4) table.smallest_seq = 1;
        if (i == 8) table.smallest = fr_slice_of(long_key, sizeof(long_key));
        if (i >= 5 && i < 8) {
            table.refs = bad;
            table.ref_count = 2;
        }
        if (i == 6) bad[1].file = 2;
        if (i == 7) bad[0].file = 0, bad[1].file = 1;
        fr_edit_put_add_table(&edit, level, &table);
        must(fr_buf_status(&edit));
        must_be(FR_ERR_CORRUPT, fr_edit_read(fr_buf_slice(&edit), &nobody, NULL));
        must_say("field 5");
        fr_buf_deinit(&edit);
    }
}

static fr_status no(void *to)
{
    (void)to;
    return FR_ERR_LIMIT;
}

Test(edit_format, a_visitor_may_end_the_reading)
{
    static const struct fr_edit_visitor visitor = {.reset = no, .next_file = on_next_file};
    struct fr_buf edit = FR_BUF_EMPTY, back = FR_BUF_EMPTY;

    fr_edit_put_reset(&edit);
    fr_edit_put_next_file(&edit, 7);
    must(fr_buf_status(&edit));
    must_be(FR_ERR_LIMIT, fr_edit_read(fr_buf_slice(&edit), &visitor, &back));
    cr_assert_eq(back.size, 0);
    fr_buf_deinit(&edit);
    fr_buf_deinit(&back);
}

Test(edit_format, for_want_of_memory_the_buffer_fails)
{
    struct fr_buf edit = FR_BUF_EMPTY;
    unsigned n = 0;

    for (bool hit = true; hit; n++) {
        fr_alloc_fail_at(n + 1, false);
        for (int i = 0; i < FIELDS; i++)
            put_field(&edit, i);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(fr_buf_status(&edit), hit ? FR_ERR_NOMEM : FR_OK);
        if (hit) fr_buf_deinit(&edit);
    }
    fr_alloc_fail_at(1, false);
    must_be(FR_ERR_NOMEM, fr_edit_read(fr_buf_slice(&edit), &nobody, NULL));
    fr_alloc_fail_at(0, false);
    fr_buf_deinit(&edit);
}

/* Whichever byte it is that finds no room: one of the field, or of its size in front. */
Test(edit_format, for_want_of_memory_a_field_of_any_size_fails)
{
    static uint8_t key[300] = {'a'};

    for (size_t i = 0; i < 6 * sizeof(key); i++) {
        struct fr_edit_table table = table_of(0);
        struct fr_buf edit = FR_BUF_EMPTY;

        table.smallest = table.largest = fr_slice_of(key, 1 + i / 6);
        fr_alloc_fail_at(1 + i % 6, true);
        fr_edit_put_add_table(&edit, 0, &table);
        bool hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        must_be(hit ? FR_ERR_NOMEM : FR_OK, fr_buf_status(&edit));
        fr_buf_deinit(&edit);
    }
}

static fr_status count_field(void *ctx, uint64_t number)
{
    cr_assert_eq(number, 300);
    ++*(int *)ctx;
    return FR_OK;
}

Test(edit_format, fields_behind_a_bad_one_can_still_be_read)
{
    struct fr_edit_visitor visitor = {.last_seq = count_field};
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_bytes in;
    int count = 0;

    fr_buf_append(&edit, "\x06\x01\x09", 3); /* DROP_TABLE, cut short */
    fr_edit_put_last_seq(&edit, 300);
    must(fr_buf_status(&edit));
    in = fr_bytes_of(fr_buf_slice(&edit));
    must_be(FR_ERR_CORRUPT, fr_edit_read_field(&in, &visitor, &count));
    must(fr_edit_read_field(&in, &visitor, &count));
    cr_assert_eq(count, 1);
    cr_assert(fr_bytes_done(&in));
    fr_buf_deinit(&edit);
}
