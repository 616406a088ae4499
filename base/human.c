#include "base/human.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/status.h"

#define NS_PER_SECOND ((uint64_t)1000000000)
#define NS_PER_MINUTE (60 * NS_PER_SECOND)
#define NS_PER_HOUR   (60 * NS_PER_MINUTE)
#define NS_PER_DAY    (24 * NS_PER_HOUR)

/* What more digits stand for is below two of the smallest unit, and with these every product stays
 * below 2^128. */
#define FRACTION_DIGITS_MAX 18

__extension__ typedef unsigned __int128 wide;

struct unit {
    const char *name;
    uint64_t value;
};

/*
 * Writing.
 */

/* value in so many parts of the unit (10: in tenths), rounded to the nearest. */
static wide parts_of(uint64_t value, uint64_t unit, unsigned parts)
{
    return ((wide)value * parts + unit / 2) / unit;
}

static struct fr_human text_of_tenths(uint64_t tenths, const char *unit)
{
    struct fr_human human;

    if (tenths % 10 == 0)
        snprintf(human.text, sizeof(human.text), "%" PRIu64 " %s", tenths / 10, unit);
    else
        snprintf(human.text, sizeof(human.text), "%" PRIu64 ".%" PRIu64 " %s", tenths / 10,
                tenths % 10, unit);
    return human;
}

/* In the first unit where the number, once rounded, stays below what the next one is. */
static struct fr_human text_in_units(uint64_t value, const struct unit *units, size_t count)
{
    size_t i = 0;

    while (i + 1 < count &&
            parts_of(value, units[i].value, 10) >= 10 * (units[i + 1].value / units[i].value))
        i++;
    return text_of_tenths((uint64_t)parts_of(value, units[i].value, 10), units[i].name);
}

struct fr_human fr_human_size(uint64_t bytes)
{
    static const struct unit units[] = {{"B", 1}, {"KiB", (uint64_t)1 << 10},
            {"MiB", (uint64_t)1 << 20}, {"GiB", (uint64_t)1 << 30}, {"TiB", (uint64_t)1 << 40},
            {"PiB", (uint64_t)1 << 50}, {"EiB", (uint64_t)1 << 60}};

    return text_in_units(bytes, units, FR_ARRAY_COUNT(units));
}

static struct fr_human text_of_pair(uint64_t ns, struct unit large, struct unit small)
{
    struct fr_human human;
    uint64_t smalls = ns / small.value + (ns % small.value >= small.value / 2);
    uint64_t per_large = large.value / small.value;

    if (smalls % per_large == 0)
        snprintf(human.text, sizeof(human.text), "%" PRIu64 " %s", smalls / per_large, large.name);
    else
        snprintf(human.text, sizeof(human.text), "%" PRIu64 " %s %" PRIu64 " %s",
                smalls / per_large, large.name, smalls % per_large, small.name);
    return human;
}

struct fr_human fr_human_duration(uint64_t ns)
{
    static const struct unit units[] = {
            {"ns", 1}, {"us", 1000}, {"ms", 1000000}, {"s", NS_PER_SECOND}};
    static const struct unit s = {"s", NS_PER_SECOND}, min = {"min", NS_PER_MINUTE},
                             h = {"h", NS_PER_HOUR}, d = {"d", NS_PER_DAY};

    /* Each bound is where rounding to the smaller unit reaches the next larger one. */
    if (ns < NS_PER_MINUTE - NS_PER_SECOND / 20)
        return text_in_units(ns, units, FR_ARRAY_COUNT(units));
    if (ns < NS_PER_HOUR - NS_PER_SECOND / 2) return text_of_pair(ns, min, s);
    if (ns < NS_PER_DAY - NS_PER_MINUTE / 2) return text_of_pair(ns, h, min);
    return text_of_pair(ns, d, h);
}

struct fr_human fr_human_count(uint64_t count)
{
    struct fr_human human;
    char digits[24];
    char *to = human.text;
    int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);

    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0) *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return human;
}

struct fr_human fr_human_count_short(uint64_t count)
{
    static const char names[] = " kMGTPE";
    struct fr_human human;
    uint64_t unit = 1;
    unsigned index = 0;

    /* From 999.5 on it would round to 1000, which is 1.00 of the next. */
    for (; index + 2 < sizeof(names) && 2 * (wide)count >= 1999 * (wide)unit; index++)
        unit *= 1000;
    if (index == 0) return fr_human_count(count);

    /* By integers: a double would be printed with the point of the host's locale. */
    uint64_t hundredths = (uint64_t)parts_of(count, unit, 100);
    uint64_t tenths = (uint64_t)parts_of(count, unit, 10);
    if (hundredths < 1000)
        snprintf(human.text, sizeof(human.text), "%" PRIu64 ".%02" PRIu64 " %c", hundredths / 100,
                hundredths % 100, names[index]);
    else if (tenths < 1000)
        snprintf(human.text, sizeof(human.text), "%" PRIu64 ".%" PRIu64 " %c", tenths / 10,
                tenths % 10, names[index]);
    else
        snprintf(human.text, sizeof(human.text), "%" PRIu64 " %c",
                (uint64_t)parts_of(count, unit, 1), names[index]);
    return human;
}

/*
 * Reading.
 */

struct reader {
    fr_slice whole; /* to quote */
    size_t at;
};

/* A number and the word after it. */
struct term {
    uint64_t whole;
    uint64_t fraction; /* over scale */
    uint64_t scale;
    char unit[4]; /* in small letters; "" if there is none */
};

static int peek(const struct reader *in)
{
    return in->at < in->whole.size ? in->whole.data[in->at] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static void skip_blanks(struct reader *in)
{
    while (peek(in) == ' ' || peek(in) == '\t')
        in->at++;
}

/* What the user wrote may be long and hold anything: quote a harmless beginning of it. */
static fr_status refuse(const struct reader *in, const char *why)
{
    char quoted[40 + 1];
    size_t size = FR_MIN(in->whole.size, sizeof(quoted) - 1);

    for (size_t i = 0; i < size; i++) {
        uint8_t c = in->whole.data[i];
        quoted[i] = c >= ' ' && c <= '~' ? (char)c : '?';
    }
    quoted[size] = '\0';
    return FR_FAIL(FR_ERR_MISUSE, "\"%s\"%s: %s", quoted, size < in->whole.size ? "..." : "", why);
}

static fr_status read_digits(struct reader *in, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (; is_digit(peek(in)); in->at++) {
        uint64_t digit = (uint64_t)(peek(in) - '0');

        if (__builtin_mul_overflow(value, 10, &value) ||
                __builtin_add_overflow(value, digit, &value))
            return refuse(in, "the number is too large");
    }
    *ret_value = value;
    return FR_OK;
}

static void read_fraction(struct reader *in, struct term *term)
{
    term->fraction = 0;
    term->scale = 1;
    for (unsigned digits = 0; is_digit(peek(in)); in->at++, digits++) {
        if (digits >= FRACTION_DIGITS_MAX) continue;
        term->fraction = 10 * term->fraction + (uint64_t)(peek(in) - '0');
        term->scale *= 10;
    }
}

static fr_status read_unit(struct reader *in, struct term *term)
{
    size_t size = 0;

    for (; is_letter(peek(in)); in->at++) {
        if (size == sizeof(term->unit) - 1) return refuse(in, "no such unit");
        term->unit[size++] = (char)(peek(in) | 0x20);
    }
    term->unit[size] = '\0';
    return FR_OK;
}

static fr_status read_term(struct reader *in, struct term *ret_term)
{
    struct term term = {.scale = 1};
    bool has_point = false;
    fr_status st;

    skip_blanks(in);
    if (!is_digit(peek(in))) return refuse(in, "a number was expected");
    FR_TRY(read_digits(in, &term.whole));
    if (peek(in) == '.') {
        in->at++;
        has_point = true;
        if (!is_digit(peek(in))) return refuse(in, "digits were expected after the point");
        read_fraction(in, &term);
    }
    skip_blanks(in);
    FR_TRY(read_unit(in, &term));
    if (has_point && term.unit[0] == '\0') return refuse(in, "a fraction needs a unit");
    skip_blanks(in);
    *ret_term = term;
out:
    return st;
}

static const struct unit *find_unit(const struct unit *units, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(units[i].name, name) == 0) return &units[i];
    return NULL;
}

/* Add the term, in its unit, to *total. */
static fr_status add_term(const struct reader *in, const struct term *term, uint64_t unit,
        uint64_t *total)
{
    wide value = (wide)term->whole * unit + (wide)term->fraction * unit / term->scale;

    if (value > UINT64_MAX - *total) return refuse(in, "too large");
    *total += (uint64_t)value;
    return FR_OK;
}

/* KB and KiB mean K; a B that stands alone, or after another, has no such meaning. */
static const char *size_unit(char *unit)
{
    if (unit[0] == '\0' || unit[0] == 'b') return unit;
    if (strcmp(unit + 1, "b") == 0 || strcmp(unit + 1, "ib") == 0) unit[1] = '\0';
    return unit;
}

fr_status fr_human_parse_size(fr_slice text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1}, {"b", 1}, {"k", (uint64_t)1 << 10},
            {"m", (uint64_t)1 << 20}, {"g", (uint64_t)1 << 30}, {"t", (uint64_t)1 << 40},
            {"p", (uint64_t)1 << 50}, {"e", (uint64_t)1 << 60}};
    struct reader in = {.whole = text};
    struct term term;
    uint64_t bytes = 0;
    fr_status st;

    if (text.size > FR_HUMAN_PARSE_MAX) return refuse(&in, "too long for a size");
    FR_TRY(read_term(&in, &term));
    if (in.at != text.size) return refuse(&in, "a size is one number and one unit");
    const struct unit *unit = find_unit(units, FR_ARRAY_COUNT(units), size_unit(term.unit));
    if (unit == NULL) return refuse(&in, "no such unit of size (B, K, M, G, T, P, E)");
    FR_TRY(add_term(&in, &term, unit->value, &bytes));
    *ret_bytes = bytes;
out:
    return st;
}

fr_status fr_human_parse_duration(fr_slice text, uint64_t *ret_ns)
{
    static const struct unit units[] = {{"ns", 1}, {"us", 1000}, {"ms", 1000000},
            {"s", NS_PER_SECOND}, {"m", NS_PER_MINUTE}, {"min", NS_PER_MINUTE}, {"h", NS_PER_HOUR},
            {"d", NS_PER_DAY}};
    struct reader in = {.whole = text};
    uint64_t ns = 0, unit_before = UINT64_MAX;
    fr_status st;

    if (text.size > FR_HUMAN_PARSE_MAX) return refuse(&in, "too long for a duration");
    do {
        struct term term = {.scale = 1};

        FR_TRY(read_term(&in, &term));
        bool bare_zero = term.unit[0] == '\0' && term.whole == 0 && unit_before == UINT64_MAX &&
                         in.at == text.size;
        const struct unit *unit = find_unit(units, FR_ARRAY_COUNT(units), term.unit);
        if (bare_zero) unit = &units[0];
        if (unit == NULL) return refuse(&in, "a duration needs units (ns, us, ms, s, min, h, d)");
        if (unit->value >= unit_before) return refuse(&in, "units must fall, as in \"1 h 5 min\"");
        unit_before = unit->value;
        FR_TRY(add_term(&in, &term, unit->value, &ns));
    } while (in.at < text.size);
    *ret_ns = ns;
out:
    return st;
}
