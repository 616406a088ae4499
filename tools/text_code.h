/*
 * text_code.h - bytes as text and back: hex digits, base64, escapes; and what is UTF-8.
 *
 * Readers append to a buffer and are strict: every byte sequence has one text in base64, and two in
 * hex, as digits may be of either case. What they refuse leaves the buffer as it was, but for room.
 */
#ifndef FR_TOOLS_TEXT_CODE_H
#define FR_TOOLS_TEXT_CODE_H

#include <stdbool.h>

#include "base/buf.h"

void fr_hex_append(struct fr_buf *to, fr_slice bytes);
bool fr_hex_read(fr_slice text, struct fr_buf *to);

/* The alphabet of RFC 4648 with '+' and '/', padded with '='. */
void fr_base64_append(struct fr_buf *to, fr_slice bytes);
bool fr_base64_read(fr_slice text, struct fr_buf *to);

/* As a terminal and a line can take it: \n, \t, \r, \\, and \xHH for all else that is neither
 * printable nor UTF-8. */
void fr_escape_append(struct fr_buf *to, fr_slice bytes);

/* Bytes of the well-formed UTF-8 sequence at the front (RFC 3629), or 0. */
size_t fr_utf8_length(const uint8_t *at, const uint8_t *end);
bool fr_utf8_valid(fr_slice text);

/* The sequence of a code point below 0x110000 that is no surrogate. */
void fr_utf8_append(struct fr_buf *to, uint32_t code_point);

#endif
