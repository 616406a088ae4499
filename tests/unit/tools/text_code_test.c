#include "tools/text_code.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

static struct fr_buf out; /* all zeros: empty */

static void is(const char *expected)
{
    fr_buf_u8(&out, 0);
    cr_assert_eq(fr_buf_status(&out), FR_OK);
    cr_assert_str_eq((const char *)out.data, expected);
    fr_buf_deinit(&out);
}

static void escaped(const char *text, const char *expected)
{
    fr_escape_append(&out, fr_slice_of_text(text));
    is(expected);
}

Test(text_code, hex_goes_to_and_fro)
{
    fr_hex_append(&out, fr_slice_of("\x00\x7f\xff", 3));
    is("007fff");
    cr_assert(fr_hex_read(fr_slice_of_text("6A6b"), &out));
    is("jk");
    cr_assert(fr_hex_read(fr_slice_of(NULL, 0), &out));
    is("");
}

Test(text_code, hex_of_half_a_byte_or_other_digits_is_refused)
{
    cr_assert(!fr_hex_read(fr_slice_of_text("6"), &out));
    cr_assert(!fr_hex_read(fr_slice_of_text("6g"), &out));
    cr_assert(!fr_hex_read(fr_slice_of_text("6a 0"), &out));
    is("");
}

Test(text_code, base64_has_the_texts_of_the_standard)
{
    static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"},
            {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};

    for (size_t i = 0; i < FR_ARRAY_COUNT(pairs); i++) {
        fr_base64_append(&out, fr_slice_of_text(pairs[i][0]));
        is(pairs[i][1]);
        cr_assert(fr_base64_read(fr_slice_of_text(pairs[i][1]), &out));
        is(pairs[i][0]);
    }
}

Test(text_code, base64_goes_to_and_fro_for_all_bytes)
{
    struct fr_buf text = FR_BUF_EMPTY;
    uint8_t bytes[256];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(255 - i);
    fr_base64_append(&text, fr_slice_of(bytes, sizeof(bytes)));
    cr_assert(fr_base64_read(fr_buf_slice(&text), &out));
    cr_assert_eq(out.size, sizeof(bytes));
    cr_assert_arr_eq(out.data, bytes, sizeof(bytes));
    fr_buf_deinit(&text);
    fr_buf_deinit(&out);
}

Test(text_code, base64_that_has_another_form_is_refused_and_leaves_nothing)
{
    static const char *const texts[] = {"Zg",
            "Zg=", "Zg==Zg==", "=Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zm_9", "Zm9v\n"};

    fr_buf_u8(&out, 'x');
    for (size_t i = 0; i < FR_ARRAY_COUNT(texts); i++)
        cr_assert(!fr_base64_read(fr_slice_of_text(texts[i]), &out), "%s", texts[i]);
    is("x");
}

Test(text_code, escapes_what_a_line_or_a_terminal_cannot_take)
{
    escaped("plain, and gr\xc3\xbc\xc3\x9f"
            "e",
            "plain, and gr\xc3\xbc\xc3\x9f"
            "e");
    escaped("a\tb\nc\rd\\", "a\\tb\\nc\\rd\\\\");
    escaped("\x1b[31m\x7f", "\\x1b[31m\\x7f");
    escaped("\xff\xc3", "\\xff\\xc3");
    escaped("\xc2\x9b"
            "1m",
            "\\xc2\\x9b1m"); /* a control of its own in UTF-8 */
}

Test(text_code, knows_utf8_from_what_only_looks_like_it)
{
    cr_assert(fr_utf8_valid(fr_slice_of(NULL, 0)));
    cr_assert(fr_utf8_valid(fr_slice_of_text("\xf4\x8f\xbf\xbf\xe2\x82\xac")));
    cr_assert(!fr_utf8_valid(fr_slice_of_text("\xc0\xaf")), "longer than need be");
    cr_assert(!fr_utf8_valid(fr_slice_of_text("\xed\xa0\x80")), "half of a pair");
    cr_assert(!fr_utf8_valid(fr_slice_of_text("\xf4\x90\x80\x80")), "beyond the last");
    cr_assert(!fr_utf8_valid(fr_slice_of("\xe2\x82\xac", 2)), "torn");
}

Test(text_code, writes_code_points_of_every_length)
{
    fr_utf8_append(&out, 'a');
    fr_utf8_append(&out, 0xfc);
    fr_utf8_append(&out, 0x20ac);
    fr_utf8_append(&out, 0x1f600);
    is("a\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80");
}
