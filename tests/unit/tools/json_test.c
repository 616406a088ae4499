#include "tools/json.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "tests/unit/tools/capture.h"

static struct fr_json json; /* all zeros: empty */
static struct capture out;

/* What was built so far is this, and then forgotten. */
static void builds(const char *expected)
{
    cr_assert_eq(fr_buf_status(&json.text), FR_OK);
    fr_buf_u8(&json.text, 0);
    cr_assert_str_eq((const char *)json.text.data, expected);
    fr_buf_deinit(&json.text);
    json = FR_JSON_EMPTY;
}

static void text_becomes(const char *text, const char *expected)
{
    fr_json_text(&json, NULL, text);
    builds(expected);
}

Test(json, empty_objects_and_arrays)
{
    fr_json_begin_object(&json, NULL);
    fr_json_end_object(&json);
    builds("{}");
    fr_json_begin_array(&json, NULL);
    fr_json_end_array(&json);
    builds("[]");
}

Test(json, commas_stand_between_values_and_nowhere_else)
{
    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "a", 1);
    fr_json_bool(&json, "b", true);
    fr_json_bool(&json, "c", false);
    fr_json_text(&json, "d", "");
    fr_json_end_object(&json);
    builds("{\"a\":1,\"b\":true,\"c\":false,\"d\":\"\"}");
}

Test(json, nests)
{
    fr_json_begin_array(&json, NULL);
    fr_json_begin_object(&json, NULL);
    fr_json_begin_array(&json, "x");
    fr_json_end_array(&json);
    fr_json_begin_array(&json, "y");
    fr_json_u64(&json, NULL, 1);
    fr_json_begin_array(&json, NULL);
    fr_json_end_array(&json);
    fr_json_u64(&json, NULL, 2);
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    fr_json_begin_object(&json, NULL);
    fr_json_end_object(&json);
    fr_json_end_array(&json);
    builds("[{\"x\":[],\"y\":[1,[],2]},{}]");
}

Test(json, keys_are_escaped_like_text)
{
    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "a\"\n", 0);
    fr_json_end_object(&json);
    builds("{\"a\\\"\\u000a\":0}");
}

Test(json, escapes_quotes_backslashes_and_control_bytes)
{
    text_becomes("\"\\/", "\"\\\"\\\\/\"");
    text_becomes("\x01\t\n\r\x1b[31m\x1f\x7f",
            "\"\\u0001\\u0009\\u000a\\u000d\\u001b[31m\\u001f\\u007f\"");
}

Test(json, keeps_well_formed_utf8)
{
    text_becomes("\xc2\x80 \xdf\xbf", "\"\xc2\x80 \xdf\xbf\"");
    text_becomes("\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf",
            "\"\xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\"");
    text_becomes("\xf0\x90\x80\x80 \xf1\x80\x80\x80 \xf4\x8f\xbf\xbf",
            "\"\xf0\x90\x80\x80 \xf1\x80\x80\x80 \xf4\x8f\xbf\xbf\"");
}

Test(json, replaces_stray_and_impossible_bytes)
{
    text_becomes("a\x80z", "\"a\\ufffdz\"");
    text_becomes("\xff\xfe", "\"\\ufffd\\ufffd\"");
    text_becomes("\xf5\x80\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

Test(json, replaces_overlong_sequences)
{
    text_becomes("\xc0\xaf", "\"\\ufffd\\ufffd\"");
    text_becomes("\xc1\xbf", "\"\\ufffd\\ufffd\"");
    text_becomes("\xe0\x80\xaf", "\"\\ufffd\\ufffd\\ufffd\"");
    text_becomes("\xe0\x9f\xbf", "\"\\ufffd\\ufffd\\ufffd\"");
    text_becomes("\xf0\x8f\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

Test(json, replaces_surrogates_and_what_is_beyond_unicode)
{
    text_becomes("\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\"");
    text_becomes("\xed\xbf\xbf", "\"\\ufffd\\ufffd\\ufffd\"");
    text_becomes("\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

Test(json, replaces_a_sequence_cut_off_by_the_end_and_reads_no_further)
{
    static const char *const cut[] = {
            "\xc3", "\xe2\x82", "\xe2", "\xf0\x9f\x98", "\xf0\x9f", "\xf0"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(cut); i++) {
        /* From the heap, so that a sanitizer sees a byte too many. */
        size_t size = strlen(cut[i]) + 1;
        char *copy = fr_alloc(size);
        memcpy(copy, cut[i], size);
        fr_json_text(&json, NULL, copy);
        fr_free(copy);
        cr_assert_eq(json.text.size, 2 + 6 * (size - 1));
        fr_buf_deinit(&json.text);
        json = FR_JSON_EMPTY;
    }
    text_becomes("\xe2\x82z", "\"\\ufffd\\ufffdz\"");
}

Test(json, numbers_are_whole)
{
    fr_json_begin_array(&json, NULL);
    fr_json_u64(&json, NULL, 0);
    fr_json_u64(&json, NULL, UINT64_MAX);
    fr_json_double(&json, NULL, 0);
    fr_json_double(&json, NULL, -1.5);
    fr_json_double(&json, NULL, 1e300);
    fr_json_end_array(&json);
    builds("[0,18446744073709551615,0,-1.5,1e+300]");
}

Test(json, what_is_no_number_is_null)
{
    fr_json_begin_array(&json, NULL);
    fr_json_double(&json, NULL, (double)NAN);
    fr_json_double(&json, NULL, (double)INFINITY);
    fr_json_double(&json, NULL, -(double)INFINITY);
    fr_json_end_array(&json);
    builds("[null,null,null]");
}

Test(json, is_printed_once_with_a_newline)
{
    fr_json_begin_object(&json, NULL);
    fr_json_end_object(&json);
    capture_begin(&out, stdout);
    fr_status st = fr_json_print(&json);
    cr_assert_str_eq(capture_end(&out), "{}\n");
    cr_assert_eq(st, FR_OK);
    cr_assert_eq(json.text.size, 0);
    fr_json_begin_array(&json, NULL);
    builds("[");
}

Test(json, nothing_is_printed_if_memory_ran_out)
{
    fr_alloc_fail_at(1, true);
    fr_json_begin_object(&json, NULL);
    fr_json_end_object(&json);
    fr_alloc_fail_at(0, false);
    capture_begin(&out, stdout);
    fr_status st = fr_json_print(&json);
    cr_assert_str_eq(capture_end(&out), "");
    cr_assert_eq(st, FR_ERR_NOMEM);
}
