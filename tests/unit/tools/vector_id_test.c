#include "tools/vector_id.h"

#include <string.h>

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

Test(vector_id, a_kind_has_one_name)
{
    enum fr_id_kind kind = 0;

    cr_assert_eq(fr_id_kind_read("number", &kind), FR_OK);
    cr_assert_eq(kind, FR_ID_U64);
    cr_assert_eq(fr_id_kind_read("text", &kind), FR_OK);
    cr_assert_eq(kind, FR_ID_TEXT);
    cr_assert_str_eq(fr_id_kind_name(FR_ID_U64), "number");
    cr_assert_eq(fr_id_kind_read("Text", &kind), FR_ERR_MISUSE);
    cr_assert_eq(kind, FR_ID_TEXT, "untouched");
}

Test(vector_id, a_number_is_whole_and_not_negative)
{
    uint64_t id = 1;

    cr_assert_eq(fr_id_read("18446744073709551615", &id), FR_OK);
    cr_assert_eq(id, UINT64_MAX);
    cr_assert_eq(fr_id_read("18446744073709551616", &id), FR_ERR_MISUSE);
    cr_assert_eq(fr_id_read("-1", &id), FR_ERR_MISUSE);
    cr_assert_eq(fr_id_read("1.0", &id), FR_ERR_MISUSE);
    cr_assert_eq(fr_id_read("", &id), FR_ERR_MISUSE);
}

Test(vector_id, words_fit_on_a_line_whatever_the_bytes)
{
    uint8_t bytes[FR_TEXT_ID_MAX];

    cr_assert_str_eq(fr_id_words(7, fr_slice_of(NULL, 0)).text, "7");
    cr_assert_str_eq(fr_id_words(7, fr_slice_of_text("a\nb")).text, "\"a\\nb\"");
    memset(bytes, 0xff, sizeof(bytes));
    struct fr_id_words words = fr_id_words(0, fr_slice_of(bytes, sizeof(bytes)));
    cr_assert_eq(strlen(words.text), 4 * FR_TEXT_ID_MAX + 2);
    cr_assert_eq(words.text[4 * FR_TEXT_ID_MAX + 1], '"');
}
