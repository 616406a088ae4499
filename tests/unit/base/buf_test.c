#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"

static void append_one_of_each(struct fr_buf *buf)
{
    fr_buf_u8(buf, 0x12);
    fr_buf_u16(buf, 0x3456);
    fr_buf_u32(buf, 0x789abcde);
    fr_buf_u64(buf, 0x1122334455667788);
    fr_buf_varint(buf, 300);
    fr_buf_append_zeros(buf, 3);
    fr_buf_block(buf, fr_slice_of_text("block"));
    fr_buf_append(buf, "raw", 3);
    fr_buf_printf(buf, "%d-%s", 7, "x");
}

Test(buf, what_is_appended_is_read_back)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    append_one_of_each(&buf);
    cr_assert_eq(fr_buf_status(&buf), FR_OK);

    struct fr_bytes in = fr_bytes_of(fr_buf_slice(&buf));
    cr_assert_eq(fr_bytes_u8(&in), 0x12);
    cr_assert_eq(fr_bytes_u16(&in), 0x3456);
    cr_assert_eq(fr_bytes_u32(&in), 0x789abcde);
    cr_assert_eq(fr_bytes_u64(&in), 0x1122334455667788);
    cr_assert_eq(fr_bytes_varint(&in), 300);
    cr_assert_arr_eq(fr_bytes_take(&in, 3).data, "\0\0\0", 3);
    cr_assert(fr_slice_equal(fr_bytes_block(&in), fr_slice_of_text("block")));
    cr_assert(fr_slice_equal(fr_bytes_take(&in, 6), fr_slice_of_text("raw7-x")));
    cr_assert(fr_bytes_done(&in));
    fr_buf_deinit(&buf);
}

Test(buf, numbers_are_little_endian)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    fr_buf_u16(&buf, 0x0201);
    fr_buf_u32(&buf, 0x06050403);
    fr_buf_u64(&buf, 0x0e0d0c0b0a090807);
    cr_assert_eq(buf.size, 14);
    for (uint8_t i = 0; i < 14; i++)
        cr_assert_eq(buf.data[i], i + 1);
    fr_buf_deinit(&buf);
}

Test(buf, grows_to_any_size_and_keeps_its_bytes)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    for (uint32_t i = 0; i < 20000; i++)
        fr_buf_u32(&buf, i);
    cr_assert_eq(buf.size, 80000);
    for (uint32_t i = 0; i < 20000; i++)
        cr_assert_eq(fr_get_u32(buf.data + (size_t)4 * i), i);
    fr_buf_deinit(&buf);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.size, 0);
}

Test(buf, after_a_reserve_appending_takes_no_memory)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    cr_assert_eq(fr_buf_reserve(&buf, 1000), FR_OK);
    fr_alloc_fail_at(1, true);
    for (int i = 0; i < 125; i++)
        fr_buf_u64(&buf, 1);
    cr_assert_eq(fr_buf_status(&buf), FR_OK);
    cr_assert_eq(fr_buf_reserve(&buf, buf.capacity + 1), FR_ERR_NOMEM);
    cr_assert_eq(fr_buf_status(&buf), FR_OK, "a refused reserve is no failed append");
    fr_buf_deinit(&buf);
}

Test(buf, failure_sticks_and_keeps_what_was_there)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    fr_buf_append(&buf, "before", 6);
    fr_alloc_fail_at(1, false);
    fr_buf_append_zeros(&buf, 1000);
    fr_buf_append(&buf, "after", 5);
    cr_assert_null(fr_buf_extend(&buf, 1));
    cr_assert_eq(fr_buf_status(&buf), FR_ERR_NOMEM);
    cr_assert(fr_slice_equal(fr_buf_slice(&buf), fr_slice_of_text("before")));

    fr_buf_clear(&buf);
    fr_buf_append(&buf, "again", 5);
    cr_assert_eq(fr_buf_status(&buf), FR_OK);
    cr_assert(fr_slice_equal(fr_buf_slice(&buf), fr_slice_of_text("again")));
    fr_buf_deinit(&buf);
}

Test(buf, any_failing_allocation_is_reported)
{
    bool hit = true;

    for (uint64_t n = 1; hit; n++) {
        struct fr_buf buf = FR_BUF_EMPTY;
        fr_alloc_fail_at(n, false);
        append_one_of_each(&buf);
        fr_buf_append_zeros(&buf, 500);
        append_one_of_each(&buf);
        hit = fr_alloc_fault_hit();
        cr_assert_eq(fr_buf_status(&buf), hit ? FR_ERR_NOMEM : FR_OK);
        fr_buf_deinit(&buf);
    }
}

Test(buf, a_size_that_overflows_is_no_memory)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    fr_buf_u8(&buf, 1);
    cr_assert_null(fr_buf_extend(&buf, SIZE_MAX));
    cr_assert_eq(fr_buf_status(&buf), FR_ERR_NOMEM);
    cr_assert_eq(fr_buf_reserve(&buf, SIZE_MAX - 1), FR_ERR_NOMEM);
    fr_buf_deinit(&buf);
}

Test(buf, extending_by_nothing_is_no_failure)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    cr_assert_not_null(fr_buf_extend(&buf, 0));
    cr_assert_eq(buf.size, 0);
    cr_assert_eq(fr_buf_status(&buf), FR_OK);
    fr_buf_append(&buf, NULL, 0);
    fr_buf_append_zeros(&buf, 0);
    fr_buf_printf(&buf, "%s", "");
    cr_assert_eq(buf.size, 0);
    cr_assert_eq(fr_buf_status(&buf), FR_OK);
    fr_buf_deinit(&buf);
}

Test(buf, text_of_any_length_comes_without_its_zero)
{
    static char text[2000];

    for (size_t length = 0; length < sizeof(text); length += length < 300 ? 1 : 97) {
        struct fr_buf buf = FR_BUF_EMPTY;
        memset(text, 'x', length);
        text[length] = '\0';
        fr_buf_printf(&buf, "<%s>", text);
        cr_assert_eq(buf.size, length + 2);
        cr_assert_eq(buf.data[0], '<');
        cr_assert_arr_eq(buf.data + 1, text, length);
        cr_assert_eq(buf.data[length + 1], '>');
        fr_buf_deinit(&buf);
    }
}
