/*
 * human.h - sizes, durations and counts as people write and read them.
 *
 * Sizes are powers of 1024 however they are spelled: "64 MiB", "64MB", "64m" and "67108864" are
 * one size. Durations need a unit, and may have several, falling: "2 h 5 min". A fraction
 * is taken to 18 digits and rounded down to a whole byte or nanosecond.
 */
#ifndef FR_BASE_HUMAN_H
#define FR_BASE_HUMAN_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "freshet/status.h"

/* Short text by value, so that a line can hold several. A returned one lives to the end of the
 * expression that called: enough for printf, not for keeping a pointer. */
struct fr_human {
    char text[48];
};

/* "340 B", "1.5 MiB": one digit after the point, none if it is 0. fr_human_parse_size reads it. */
struct fr_human fr_human_size(uint64_t bytes);

/* "12.3 us", "1.2 s", "2 h 5 min": two units from a minute on. fr_human_parse_duration reads it. */
struct fr_human fr_human_duration(uint64_t ns);

/* "1,234,567" */
struct fr_human fr_human_count(uint64_t count);

/* "999", "1.23 M": three digits that count. */
struct fr_human fr_human_count_short(uint64_t count);

/* The longest text that is looked at. Everything that makes sense is far shorter. */
#define FR_HUMAN_PARSE_MAX 64

/*
 * Read a size: a number, which may have a fraction if a unit follows, and a unit (B, K, M, G, T, P
 * or E, also as KB or KiB, in any case; none means bytes). Blanks may stand around either.
 * FR_ERR_MISUSE: it is something else, or does not fit in 64 bits; the error's text quotes it.
 */
FR_NODISCARD fr_status fr_human_parse_size(fr_slice text, uint64_t *ret_bytes);

/*
 * Read a duration: numbers with units (ns, us, ms, s, m or min, h, d), each unit shorter than the
 * one before. 0 needs no unit. FR_ERR_MISUSE as above.
 */
FR_NODISCARD fr_status fr_human_parse_duration(fr_slice text, uint64_t *ret_ns);

#endif
