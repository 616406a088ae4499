#include "tools/json_read.h"

#include <float.h>
#include <string.h>

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

/* NULL: the text is one good value; else why not. */
static const char *wrong(const char *text)
{
    struct fr_json_in in = fr_json_in_of(fr_slice_of_text(text));

    (void)fr_json_read_any(&in);
    (void)fr_json_whole(&in);
    return in.why;
}

static void good(const char *text)
{
    cr_assert_null(wrong(text), "%s: %s", text, wrong(text));
}

static void bad(const char *text, const char *why)
{
    cr_assert_not_null(wrong(text), "%s", text);
    cr_assert_not_null(strstr(wrong(text), why), "%s: %s", text, wrong(text));
}

static void string_is(const char *text, const char *expected, size_t size)
{
    struct fr_json_in in = fr_json_in_of(fr_slice_of_text(text));
    struct fr_buf to = FR_BUF_EMPTY;

    fr_json_read_string(&in, &to);
    cr_assert_null(in.why, "%s: %s", text, in.why);
    cr_assert_eq(to.size, size);
    if (size > 0) cr_assert_arr_eq(to.data, expected, size);
    fr_buf_deinit(&to);
}

static float float_of(const char *text)
{
    float value = -1;

    cr_assert(fr_json_to_float(fr_slice_of_text(text), &value), "%s", text);
    return value;
}

Test(json_read, takes_what_the_grammar_has)
{
    good("{}");
    good(" [ ] ");
    good("{\"a\":[1,-2.5e+3,0,true,false,null,\"x\"],\"b\":{\"c\":{}}}");
    good("\"\\u00e9 \xc3\xa9\"");
    good("0.0E-0");
}

Test(json_read, refuses_what_it_does_not_have)
{
    bad("", "ends where a value should be");
    bad("[1,]", "expected a value");
    bad("[1 2]", "expected a comma");
    bad("[1", "ends in the middle");
    bad("{\"a\" 1}", "expected a colon");
    bad("{a:1}", "expected a string");
    bad("{\"a\":1,}", "expected a string");
    bad("[1}", "expected a comma");
    bad("01", "something stands behind");
    bad("1.", "expected a number");
    bad("-", "expected a number");
    bad("1e", "expected a number");
    bad(".5", "expected a value");
    bad("nul", "expected a value");
    bad("NaN", "expected a value");
    bad("\"a", "ends in the middle of a string");
    bad("\"\\x\"", "an unknown escape");
    bad("\"\\ud800\"", "no character");
    bad("\"\\ud800\\u0041\"", "no character");
    bad("\"\\udc00\"", "no character");
    bad("\"\\u12g4\"", "no character");
    bad("\"a\nb\"", "a control character");
    bad("\"\xff\"", "not UTF-8");
    bad("{} {}", "something stands behind");
}

Test(json_read, depth_has_a_limit)
{
    char text[2 * FR_JSON_DEPTH_MAX + 3] = "";

    memset(text, '[', FR_JSON_DEPTH_MAX);
    memset(text + FR_JSON_DEPTH_MAX, ']', FR_JSON_DEPTH_MAX);
    good(text);
    memset(text, '[', FR_JSON_DEPTH_MAX + 1);
    memset(text + FR_JSON_DEPTH_MAX + 1, ']', FR_JSON_DEPTH_MAX + 1);
    bad(text, "nested too deep");
}

Test(json_read, strings_lose_their_escapes)
{
    string_is("\"\"", "", 0);
    string_is("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    string_is("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"", "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80",
            10);
    string_is("\"a\\u0000b\"", "a\0b", 3);
}

Test(json_read, numbers_become_the_nearest_float)
{
    cr_assert_eq(float_of("0.1"), 0.1f);
    cr_assert_eq(float_of("-2.5e3"), -2500.0f);
    cr_assert_eq(float_of("3.4028235e38"), FLT_MAX);
    cr_assert_eq(float_of("1e-60"), 0.0f);
    /* Between two floats by less than a double can tell: rounded once, not twice. */
    cr_assert_eq(float_of("1.00000017881393432617187499"), 1.00000011920928955078125f);
}

Test(json_read, numbers_beyond_a_float_are_told)
{
    float value;

    cr_assert(!fr_json_to_float(fr_slice_of_text("1e39"), &value));
    cr_assert(!fr_json_to_float(fr_slice_of_text("-1e400"), &value));
}

Test(json_read, whole_numbers_are_whole_and_fit)
{
    uint64_t value;

    cr_assert(fr_json_to_u64(fr_slice_of_text("18446744073709551615"), &value));
    cr_assert_eq(value, UINT64_MAX);
    cr_assert(!fr_json_to_u64(fr_slice_of_text("18446744073709551616"), &value));
    cr_assert(!fr_json_to_u64(fr_slice_of_text("1.0"), &value));
    cr_assert(!fr_json_to_u64(fr_slice_of_text("1e3"), &value));
    cr_assert(!fr_json_to_u64(fr_slice_of_text("-1"), &value));
}

Test(json_read, a_failure_says_where)
{
    struct fr_json_in in = fr_json_in_of(fr_slice_of_text("[1, 2, x]"));

    (void)fr_json_read_any(&in);
    cr_assert_eq(in.at - in.start, 7);
    cr_assert_eq(fr_json_read_any(&in).size, 0, "and sticks");
}
