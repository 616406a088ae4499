#include "tools/json_read.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tools/text_code.h"

struct fr_json_in fr_json_in_of(fr_slice text)
{
    const uint8_t *start = text.size == 0 ? (const uint8_t *)"" : text.data;

    return (struct fr_json_in){.at = start, .end = start + text.size, .start = start};
}

void fr_json_in_fail(struct fr_json_in *in, const char *why)
{
    if (in->why == NULL) in->why = why;
}

static void skip_blanks(struct fr_json_in *in)
{
    while (in->at < in->end &&
            (*in->at == ' ' || *in->at == '\t' || *in->at == '\n' || *in->at == '\r'))
        in->at++;
}

char fr_json_peek(struct fr_json_in *in)
{
    skip_blanks(in);
    return in->why != NULL || in->at == in->end ? '\0' : (char)*in->at;
}

static bool take(struct fr_json_in *in, char wanted)
{
    if (wanted == '\0' || fr_json_peek(in) != wanted) return false;
    in->at++;
    return true;
}

void fr_json_begin(struct fr_json_in *in, char bracket)
{
    if (!take(in, bracket))
        fr_json_in_fail(in, bracket == '{' ? "expected an object" : "expected an array");
    in->first = true;
}

bool fr_json_more(struct fr_json_in *in, char closing)
{
    bool first = in->first;

    in->first = false;
    if (in->why != NULL || take(in, closing)) return false;
    if (!first && !take(in, ','))
        fr_json_in_fail(in, in->at == in->end
                                    ? "ends in the middle of a value"
                                    : "expected a comma or the end of an array or object");
    return in->why == NULL;
}

/* Four hex digits; -1 if they are none. */
static int32_t read_unit(struct fr_json_in *in)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    int32_t unit = -1;

    if (in->end - in->at >= 4 && fr_hex_read(fr_slice_of(in->at, 4), &bytes) && bytes.size == 2) {
        unit = bytes.data[0] << 8 | bytes.data[1];
        in->at += 4;
    }
    fr_buf_deinit(&bytes);
    return unit;
}

/* What stands behind \u, with the second half of a pair. */
static void read_code_point(struct fr_json_in *in, struct fr_buf *to)
{
    int32_t unit = read_unit(in);
    uint32_t code_point = (uint32_t)unit;

    if (unit >= 0xd800 && unit < 0xdc00) {
        bool more = in->end - in->at >= 2 && in->at[0] == '\\' && in->at[1] == 'u';
        in->at += more ? 2 : 0;
        int32_t low = more ? read_unit(in) : -1;
        unit = low >= 0xdc00 && low < 0xe000 ? low : -1;
        code_point = 0x10000 + ((code_point - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    } else if (unit >= 0xdc00 && unit < 0xe000) {
        unit = -1;
    }
    if (unit < 0)
        fr_json_in_fail(in, "a \\u that is no character");
    else
        fr_utf8_append(to, code_point);
}

static void read_escape(struct fr_json_in *in, struct fr_buf *to)
{
    static const char letters[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    char letter = in->at < in->end ? (char)*in->at : '\0';
    const char *known = letter == '\0' ? NULL : strchr(letters, letter);

    if (letter == 'u') {
        in->at++;
        read_code_point(in, to);
    } else if (known != NULL) {
        in->at++;
        fr_buf_u8(to, (uint8_t)bytes[known - letters]);
    } else {
        fr_json_in_fail(in, "an unknown escape");
    }
}

/* Up to the next byte that is no plain character of a string. */
static fr_slice take_plain(struct fr_json_in *in)
{
    const uint8_t *from = in->at;

    while (in->at < in->end && *in->at != '"' && *in->at != '\\' && *in->at >= ' ') {
        size_t length = fr_utf8_length(in->at, in->end);
        if (length == 0) {
            fr_json_in_fail(in, "not UTF-8");
            break;
        }
        in->at += length;
    }
    return fr_slice_of(from, (size_t)(in->at - from));
}

void fr_json_read_string(struct fr_json_in *in, struct fr_buf *to)
{
    if (!take(in, '"')) fr_json_in_fail(in, "expected a string");
    while (in->why == NULL) {
        fr_slice plain = take_plain(in);
        fr_buf_append(to, plain.data, plain.size);
        if (in->why != NULL) return;
        if (in->at == in->end) {
            fr_json_in_fail(in, "ends in the middle of a string");
        } else if (*in->at == '"') {
            in->at++;
            return;
        } else if (*in->at == '\\') {
            in->at++;
            read_escape(in, to);
        } else {
            fr_json_in_fail(in, "a control character in a string");
        }
    }
}

void fr_json_read_key(struct fr_json_in *in, struct fr_buf *to)
{
    fr_json_read_string(in, to);
    if (in->why == NULL && !take(in, ':')) fr_json_in_fail(in, "expected a colon behind the key");
}

static bool is_digit(const uint8_t *at, const uint8_t *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

/* One digit at least; NULL if there is none, which sticks. */
static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    if (at == NULL || !is_digit(at, end)) return NULL;
    while (is_digit(at, end))
        at++;
    return at;
}

static const uint8_t *skip_number(const uint8_t *at, const uint8_t *end)
{
    if (at < end && *at == '-') at++;
    at = at < end && *at == '0' ? at + 1 : skip_digits(at, end);
    if (at != NULL && at < end && *at == '.') at = skip_digits(at + 1, end);
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-')) at++;
        at = skip_digits(at, end);
    }
    return at;
}

fr_slice fr_json_read_number(struct fr_json_in *in)
{
    skip_blanks(in);
    const uint8_t *from = in->at, *to = in->why != NULL ? NULL : skip_number(from, in->end);

    if (to == NULL)
        fr_json_in_fail(in, "expected a number");
    else if (to - from > FR_JSON_NUMBER_MAX)
        fr_json_in_fail(in, "a number of more than 127 characters");
    if (in->why != NULL) return fr_slice_of(NULL, 0);
    in->at = to;
    return fr_slice_of(from, (size_t)(to - from));
}

static void read_word(struct fr_json_in *in)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(words); i++) {
        fr_slice word = fr_slice_of_text(words[i]);
        if (!fr_slice_starts_with(fr_slice_of(in->at, (size_t)(in->end - in->at)), word)) continue;
        in->at += word.size;
        return;
    }
    fr_json_in_fail(in, in->at == in->end ? "ends where a value should be" : "expected a value");
}

static void skip_value(struct fr_json_in *in, struct fr_buf *scratch, unsigned depth);

/* Bounded by FR_JSON_DEPTH_MAX. */
static void skip_inside(struct fr_json_in *in, struct fr_buf *scratch, char opening, unsigned depth)
{
    char closing = opening == '{' ? '}' : ']';

    if (depth == FR_JSON_DEPTH_MAX) {
        fr_json_in_fail(in, "nested too deep");
        return;
    }
    fr_json_begin(in, opening);
    while (fr_json_more(in, closing)) {
        fr_buf_clear(scratch);
        if (opening == '{') fr_json_read_key(in, scratch);
        skip_value(in, scratch, depth + 1);
    }
}

static void skip_value(struct fr_json_in *in, struct fr_buf *scratch, unsigned depth)
{
    char first = fr_json_peek(in);

    if (first == '{' || first == '[') {
        skip_inside(in, scratch, first, depth);
    } else if (first == '"') {
        fr_buf_clear(scratch);
        fr_json_read_string(in, scratch);
    } else if (first == '-' || (first >= '0' && first <= '9')) {
        (void)fr_json_read_number(in);
    } else if (in->why == NULL) {
        read_word(in);
    }
}

fr_slice fr_json_read_any(struct fr_json_in *in)
{
    struct fr_buf scratch = FR_BUF_EMPTY;

    skip_blanks(in);
    const uint8_t *from = in->at;
    skip_value(in, &scratch, 0);
    fr_buf_deinit(&scratch);
    in->first = false;
    if (in->why != NULL) return fr_slice_of(NULL, 0);
    return fr_slice_of(from, (size_t)(in->at - from));
}

bool fr_json_whole(struct fr_json_in *in)
{
    skip_blanks(in);
    if (in->at != in->end) fr_json_in_fail(in, "something stands behind the value");
    return in->why == NULL;
}

bool fr_json_to_float(fr_slice number, float *ret_value)
{
    char text[FR_JSON_NUMBER_MAX + 1];

    if (number.size == 0 || number.size > FR_JSON_NUMBER_MAX) return false;
    memcpy(text, number.data, number.size);
    text[number.size] = '\0';
    float value = strtof(text, NULL);
    if (!isfinite(value)) return false;
    *ret_value = value;
    return true;
}

bool fr_json_to_u64(fr_slice number, uint64_t *ret_value)
{
    uint64_t value = 0;

    if (number.size == 0) return false;
    for (size_t i = 0; i < number.size; i++) {
        unsigned digit = (unsigned)number.data[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}
