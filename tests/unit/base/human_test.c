#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/human.h"
#include "base/rng.h"
#include "base/status.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define EIB ((uint64_t)1 << 60)

#define US ((uint64_t)1000)
#define MS (1000 * US)
#define S  (1000 * MS)
#define M  (60 * S)
#define H  (60 * M)
#define D  (24 * H)

/* A copy of each side: the assertion keeps pointers for longer than a returned struct lives. */
#define EXPECT_TEXT(human, expected)                                                               \
    do {                                                                                           \
        struct fr_human actual_ = (human), expected_;                                              \
        snprintf(expected_.text, sizeof(expected_.text), "%s", expected);                          \
        cr_assert_str_eq(actual_.text, expected_.text);                                            \
    } while (0)

static uint64_t size_of(const char *text)
{
    uint64_t bytes = 0;
    fr_status st = fr_human_parse_size(fr_slice_of_text(text), &bytes);
    cr_assert_eq(st, FR_OK, "\"%s\": %s", text, fr_last_error());
    return bytes;
}

static uint64_t duration_of(const char *text)
{
    uint64_t ns = 0;
    fr_status st = fr_human_parse_duration(fr_slice_of_text(text), &ns);
    cr_assert_eq(st, FR_OK, "\"%s\": %s", text, fr_last_error());
    return ns;
}

Test(human, sizes_are_short)
{
    EXPECT_TEXT(fr_human_size(0), "0 B");
    EXPECT_TEXT(fr_human_size(340), "340 B");
    EXPECT_TEXT(fr_human_size(1023), "1023 B");
    EXPECT_TEXT(fr_human_size(1024), "1 KiB");
    EXPECT_TEXT(fr_human_size(3 * MIB / 2), "1.5 MiB");
    EXPECT_TEXT(fr_human_size(64 * MIB), "64 MiB");
    EXPECT_TEXT(fr_human_size(MIB - 1), "1 MiB");
    EXPECT_TEXT(fr_human_size(MIB - 60), "1023.9 KiB");
    EXPECT_TEXT(fr_human_size(8 * EIB), "8 EiB");
    EXPECT_TEXT(fr_human_size(UINT64_MAX), "16 EiB");
}

Test(human, durations_are_short)
{
    EXPECT_TEXT(fr_human_duration(0), "0 ns");
    EXPECT_TEXT(fr_human_duration(340), "340 ns");
    EXPECT_TEXT(fr_human_duration(12345), "12.3 us");
    EXPECT_TEXT(fr_human_duration(999999), "1 ms");
    EXPECT_TEXT(fr_human_duration(1200 * MS), "1.2 s");
    EXPECT_TEXT(fr_human_duration(M - 60 * MS), "59.9 s");
    EXPECT_TEXT(fr_human_duration(M - 40 * MS), "1 min");
    EXPECT_TEXT(fr_human_duration(M + 5 * S), "1 min 5 s");
    EXPECT_TEXT(fr_human_duration(2 * H + 5 * M), "2 h 5 min");
    EXPECT_TEXT(fr_human_duration(H - 1), "1 h");
    EXPECT_TEXT(fr_human_duration(D - 1), "1 d");
    EXPECT_TEXT(fr_human_duration(3 * D + 4 * H), "3 d 4 h");
    EXPECT_TEXT(fr_human_duration(UINT64_MAX), "213504 d");
}

Test(human, counts_have_commas)
{
    EXPECT_TEXT(fr_human_count(0), "0");
    EXPECT_TEXT(fr_human_count(999), "999");
    EXPECT_TEXT(fr_human_count(1000), "1,000");
    EXPECT_TEXT(fr_human_count(1234567), "1,234,567");
    EXPECT_TEXT(fr_human_count(UINT64_MAX), "18,446,744,073,709,551,615");
}

Test(human, short_counts_have_three_digits)
{
    EXPECT_TEXT(fr_human_count_short(999), "999");
    EXPECT_TEXT(fr_human_count_short(1000), "1.00 k");
    EXPECT_TEXT(fr_human_count_short(1234567), "1.23 M");
    EXPECT_TEXT(fr_human_count_short(9995), "10.0 k");
    EXPECT_TEXT(fr_human_count_short(12345), "12.3 k");
    EXPECT_TEXT(fr_human_count_short(99950), "100 k");
    EXPECT_TEXT(fr_human_count_short(999499), "999 k");
    EXPECT_TEXT(fr_human_count_short(999500), "1.00 M");
    EXPECT_TEXT(fr_human_count_short(UINT64_MAX), "18.4 E");
}

Test(human, sizes_are_read_in_every_spelling)
{
    cr_assert_eq(size_of("4096"), 4096);
    cr_assert_eq(size_of("0"), 0);
    cr_assert_eq(size_of("12b"), 12);
    cr_assert_eq(size_of("64 MiB"), 64 * MIB);
    cr_assert_eq(size_of("64M"), 64 * MIB);
    cr_assert_eq(size_of("64mb"), 64 * MIB);
    cr_assert_eq(size_of("  64\tMIB "), 64 * MIB);
    cr_assert_eq(size_of("1.5g"), 3 * GIB / 2);
    cr_assert_eq(size_of("0.5k"), 512);
    cr_assert_eq(size_of("0.1k"), 102, "102.4 rounds down");
    cr_assert_eq(size_of("15E"), 15 * EIB);
    cr_assert_eq(size_of("15.75E"), 15 * EIB + EIB / 4 * 3);
    cr_assert_eq(size_of("0.00000000000000000000000000000001E"), 0);
    cr_assert_eq(size_of("0.50000000000000000000000000000000000000000007E"), EIB / 2);
    cr_assert_eq(size_of("18446744073709551615"), UINT64_MAX);
    cr_assert_eq(size_of("0000000000000000000000000000000000000000000000000000000000000001"), 1);
}

Test(human, durations_are_read_in_every_spelling)
{
    cr_assert_eq(duration_of("0"), 0);
    cr_assert_eq(duration_of("10ms"), 10 * MS);
    cr_assert_eq(duration_of("2s"), 2 * S);
    cr_assert_eq(duration_of("1h"), H);
    cr_assert_eq(duration_of("1.5 us"), 1500);
    cr_assert_eq(duration_of("5m"), 5 * M);
    cr_assert_eq(duration_of("5 MIN"), 5 * M);
    cr_assert_eq(duration_of("2 h 5 min"), 2 * H + 5 * M);
    cr_assert_eq(duration_of("1d2h3m4s5ms6us7ns"), D + 2 * H + 3 * M + 4 * S + 5 * MS + 6 * US + 7);
    cr_assert_eq(duration_of("1.9ns"), 1, "rounds down");
    cr_assert_eq(duration_of("18446744073709551615ns"), UINT64_MAX);
}

static void check_refused(const char *text, bool as_size, bool as_duration)
{
    uint64_t value = 42;

    if (as_size) {
        fr_error_clear();
        cr_assert_eq(fr_human_parse_size(fr_slice_of_text(text), &value), FR_ERR_MISUSE, "%s",
                text);
        cr_assert_str_not_empty(fr_last_error());
    }
    if (as_duration) {
        fr_error_clear();
        cr_assert_eq(fr_human_parse_duration(fr_slice_of_text(text), &value), FR_ERR_MISUSE, "%s",
                text);
        cr_assert_str_not_empty(fr_last_error());
    }
    cr_assert_eq(value, 42, "untouched");
}

Test(human, what_is_no_number_with_a_unit_is_refused)
{
    static const char *const neither[] = {"", " ", "-1", "+1", "-1s", ".5k", ".5s", "1.", "1.k",
            "1.s", "1..5s", "1,5k", "1e3", "0x10", "k", "s", "1 x", "1kk", "1kibi", "1kib s",
            "1 k b", "1bb", "1bib", "1ib", "12 34", "1k;", "1s;", "inf", "nan", "1.5", "1\n"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(neither); i++)
        check_refused(neither[i], true, true);
    check_refused("1s", true, false);
    check_refused("1k 5b", true, false);
    check_refused("10", false, true);
    check_refused("1h 5", false, true);
    check_refused("1h 0", false, true);
    check_refused("0 0", false, true);
    check_refused("5min 1h", false, true);
    check_refused("1s 1s", false, true);
    check_refused("1m 1min", false, true);
}

Test(human, what_does_not_fit_is_refused)
{
    check_refused("18446744073709551616", true, true);
    check_refused("99999999999999999999999999999999999999999999", true, true);
    check_refused("16E", true, false);
    check_refused("15.9999999999999999999999e1", true, false);
    check_refused("18446744073709551615k", true, false);
    check_refused("18446744073709551616ns", false, true);
    check_refused("18446744073709551615h", false, true);
    check_refused("213504d", false, true);
    check_refused("213503d 23h 34min 33s 710ms", false, true);
}

Test(human, text_beyond_reason_is_refused_unread)
{
    char text[FR_HUMAN_PARSE_MAX + 2];

    memset(text, '0', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    check_refused(text, true, true);
    text[FR_HUMAN_PARSE_MAX] = '\0';
    cr_assert_eq(size_of(text), 0);
}

Test(human, a_refusal_quotes_hostile_text_harmlessly)
{
    uint64_t value;

    cr_assert_eq(fr_human_parse_size(fr_slice_of("1\0\x1b[31m%s", 9), &value), FR_ERR_MISUSE);
    cr_assert_str_eq(fr_last_error(), "\"1??[31m%s\": a size is one number and one unit");
    cr_assert_eq(fr_human_parse_size(fr_slice_of_text("12 potatoes"), &value), FR_ERR_MISUSE);
    cr_assert_str_eq(fr_last_error(), "\"12 potatoes\": no such unit");
}

/* Writing loses digits, at most half of the last one written; reading loses nothing. */
Test(human, what_is_written_is_read_back_nearly)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 1);
    for (int i = 0; i < 20000; i++) {
        uint64_t value = fr_rng_next(&rng) >> fr_rng_between(&rng, 1, 63);
        uint64_t bytes = size_of(fr_human_size(value).text);
        uint64_t ns = duration_of(fr_human_duration(value).text);

        cr_assert(FR_MAX(bytes, value) - FR_MIN(bytes, value) <= value / 20, "%lu", value);
        cr_assert(FR_MAX(ns, value) - FR_MIN(ns, value) <= value / 20, "%lu", value);
        /* What was read is written the same again. */
        EXPECT_TEXT(fr_human_duration(ns), fr_human_duration(value).text);
        EXPECT_TEXT(fr_human_size(bytes), fr_human_size(value).text);
    }
}
