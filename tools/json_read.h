/*
 * json_read.h - reading JSON (RFC 8259) out of memory, one value after the other, without a tree.
 *
 * A cursor that cannot leave its text and whose first failure sticks, as that of base/bytes.h: what
 * is read from a bad one is empty, `why` says what was wrong there and `at` where. Text must be
 * UTF-8. Values may be nested FR_JSON_DEPTH_MAX deep.
 *
 *     fr_json_begin(&in, '{');
 *     while (fr_json_more(&in, '}')) {
 *         fr_json_read_key(&in, &key);
 *         fr_json_read_any(&in, &value);
 *     }
 *     if (!fr_json_whole(&in)) ...
 */
#ifndef FR_TOOLS_JSON_READ_H
#define FR_TOOLS_JSON_READ_H

#include <stdbool.h>

#include "base/buf.h"

#define FR_JSON_DEPTH_MAX 64

/* A number of more characters is no measurement but an attack. */
#define FR_JSON_NUMBER_MAX 127

struct fr_json_in {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *start;
    const char *why; /* NULL as long as it is good; static */
    bool first;      /* no value stands before this place in its array or object */
};

struct fr_json_in fr_json_in_of(fr_slice text);

/* Make it bad, unless it is. */
void fr_json_in_fail(struct fr_json_in *in, const char *why);

/* The first byte of the value that comes: '{', '[', '"', '-' or a digit, 't', 'f', 'n'; 0 if none
 * does. */
char fr_json_peek(struct fr_json_in *in);

/* Go inside: '{' or '['. */
void fr_json_begin(struct fr_json_in *in, char bracket);

/* Is there another value before the closing bracket? Takes the comma, or the bracket. */
bool fr_json_more(struct fr_json_in *in, char closing);

/* A string, without its quotes and escapes, appended. */
void fr_json_read_string(struct fr_json_in *in, struct fr_buf *to);

/* A string and the colon behind it, appended. */
void fr_json_read_key(struct fr_json_in *in, struct fr_buf *to);

/* The text of a number: a part of the input. */
fr_slice fr_json_read_number(struct fr_json_in *in);

/* The text of a value of any kind, checked: a part of the input. */
fr_slice fr_json_read_any(struct fr_json_in *in);

/* Good, and nothing but blanks is left. */
bool fr_json_whole(struct fr_json_in *in);

/* The value of a number's text, rounded to the nearest. false: beyond the largest float. */
bool fr_json_to_float(fr_slice number, float *ret_value);

/* false: not a whole number from 0 to 2^64 - 1, or written with a point or exponent. */
bool fr_json_to_u64(fr_slice number, uint64_t *ret_value);

#endif
