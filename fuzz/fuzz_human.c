/*
 * fuzz_human.c - the parsers of option text, and the writers with whatever numbers come out.
 *
 * The input is the text. What is accepted is compared with a second reading of it, by long doubles,
 * which has no overflow; what is refused leaves the answer untouched and has words.
 */
#include <math.h>
#include <string.h>

#include "base/coding.h"
#include "base/human.h"
#include "base/status.h"
#include "fuzz/fuzz.h"

#define UNTOUCHED 0x5a5a5a5a5a5a5a5au

/* How many bytes or nanoseconds the unit has. */
typedef long double (*unit_fn)(const char *name);

static long double size_unit(const char *name)
{
    static const char letters[] = "kmgtpe";
    const char *letter = name[0] == '\0' ? NULL : strchr(letters, name[0]);

    if (letter == NULL) return 1;
    return ldexpl(1, 10 * (int)(letter - letters + 1));
}

static long double duration_unit(const char *name)
{
    if (strcmp(name, "us") == 0) return 1e3L;
    if (strcmp(name, "ms") == 0) return 1e6L;
    if (strcmp(name, "s") == 0) return 1e9L;
    if (strcmp(name, "m") == 0 || strcmp(name, "min") == 0) return 60e9L;
    if (strcmp(name, "h") == 0) return 3600e9L;
    if (strcmp(name, "d") == 0) return 86400e9L;
    return 1;
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static const uint8_t *skip_blanks(const uint8_t *at, const uint8_t *end)
{
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* One number at at, which the parser under test has found well-formed. */
static const uint8_t *read_number(const uint8_t *at, const uint8_t *end, long double *ret_value)
{
    long double value = 0, place = 1;

    for (; at < end && is_digit(*at); at++)
        value = 10 * value + (*at - '0');
    if (at < end && *at == '.')
        for (at++; at < end && is_digit(*at); at++)
            value += (*at - '0') * (place /= 10);
    *ret_value = value;
    return at;
}

static const uint8_t *read_name(const uint8_t *at, const uint8_t *end, char name[4])
{
    size_t size = 0;

    for (; at < end && *at != ' ' && *at != '\t' && !is_digit(*at); at++) {
        FUZZ_CHECK(size < 3);
        name[size++] = (char)(*at | 0x20);
    }
    name[size] = '\0';
    return at;
}

static long double sum_of_terms(const uint8_t *at, const uint8_t *end, unit_fn unit)
{
    long double sum = 0, value;
    char name[4];

    for (at = skip_blanks(at, end); at < end; at = skip_blanks(at, end)) {
        FUZZ_CHECK(is_digit(*at));
        at = skip_blanks(read_number(at, end, &value), end);
        at = read_name(at, end, name);
        sum += value * unit(name);
    }
    return sum;
}

static void check_value(fr_slice text, uint64_t value, unit_fn unit)
{
    long double sum = sum_of_terms(text.data, text.data + text.size, unit);

    /* Each of at most eight terms may lose one by rounding down and a little to long doubles. */
    FUZZ_CHECK(sum < 0x1p64L + 16);
    FUZZ_CHECK(fabsl(sum - (long double)value) <= 16 + sum * 0x1p-58L);
}

static void check_refusal(uint64_t value)
{
    const char *words = fr_last_error();

    FUZZ_CHECK(value == UNTOUCHED);
    FUZZ_CHECK(words[0] != '\0');
    for (; *words != '\0'; words++)
        FUZZ_CHECK(*words >= ' ' && *words <= '~');
}

/* Writing rounds to three digits or so; reading that back and writing again changes nothing. */
static void check_written_size(uint64_t bytes)
{
    struct fr_human text = fr_human_size(bytes), again;
    uint64_t back;

    FUZZ_CHECK(strlen(text.text) < 12);
    if (fr_human_parse_size(fr_slice_of_text(text.text), &back) != FR_OK) {
        FUZZ_CHECK(bytes > UINT64_MAX / 100 * 95); /* rounded up to 2^64 */
        return;
    }
    again = fr_human_size(back);
    FUZZ_CHECK(strcmp(text.text, again.text) == 0);
}

static void check_written_duration(uint64_t ns)
{
    struct fr_human text = fr_human_duration(ns), again;
    uint64_t back;

    if (fr_human_parse_duration(fr_slice_of_text(text.text), &back) != FR_OK) {
        FUZZ_CHECK(ns > UINT64_MAX / 100 * 95);
        return;
    }
    again = fr_human_duration(back);
    FUZZ_CHECK(strcmp(text.text, again.text) == 0);
}

static void check_counts(uint64_t count)
{
    struct fr_human full = fr_human_count(count), few = fr_human_count_short(count);

    FUZZ_CHECK(strlen(full.text) <= 26);
    FUZZ_CHECK(strlen(few.text) <= 6);
}

static void check_written(uint64_t value)
{
    check_written_size(value);
    check_written_duration(value);
    check_counts(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fr_slice text = fr_slice_of(data, size);
    uint64_t bytes = UNTOUCHED, ns = UNTOUCHED;

    fr_error_clear();
    if (fr_human_parse_size(text, &bytes) == FR_OK)
        check_value(text, bytes, size_unit);
    else
        check_refusal(bytes);
    fr_error_clear();
    if (fr_human_parse_duration(text, &ns) == FR_OK)
        check_value(text, ns, duration_unit);
    else
        check_refusal(ns);
    check_written(bytes);
    check_written(ns);
    if (size >= 8) check_written(fr_get_u64(data));
    return 0;
}
