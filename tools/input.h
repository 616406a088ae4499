/*
 * input.h - a stream of bytes from a file, a pipe or memory, read once from front to end.
 *
 * Memory is bounded by what is asked for at once, and grows only as bytes arrive: a header that
 * promises gigabytes costs nothing. Slices are valid until the next call. Words of failures have
 * the name and the offset.
 */
#ifndef FR_TOOLS_INPUT_H
#define FR_TOOLS_INPUT_H

#include <stdbool.h>

#include "base/buf.h"

struct fr_input;

/* "-" is standard input. FR_ERR_MISSING, FR_ERR_PERM, FR_ERR_IO. */
FR_NODISCARD fr_status fr_input_open(const char *path, struct fr_input **ret_input);

/* Bytes in memory, which stay there; for tests they arrive in pieces of so many, 0 for at once. */
FR_NODISCARD fr_status fr_input_of_memory(const char *name, fr_slice content, size_t piece,
        struct fr_input **ret_input);

/* When a signal ends a wait for bytes, ask this; if it says yes, the answer is FR_ERR_CANCELLED. */
void fr_input_end_if(struct fr_input *input, bool (*should_end)(void));

void fr_input_close(struct fr_input *input);

/* As it is called in messages. */
const char *fr_input_name(const struct fr_input *input);

/* Of the next byte. */
uint64_t fr_input_offset(const struct fr_input *input);

/*
 * The next size bytes. FR_END: there are none left. FR_ERR_CORRUPT: there are fewer; `what` says in
 * words in the middle of what the input ends.
 */
FR_NODISCARD fr_status fr_input_take(struct fr_input *input, size_t size, const char *what,
        fr_slice *ret_bytes);

/* The next bytes, size at the most, which stay where they are: fewer at the end. */
FR_NODISCARD fr_status fr_input_peek(struct fr_input *input, size_t size, fr_slice *ret_bytes);

/* Some of the next bytes, as they come: one at least and most at the most. FR_END. */
FR_NODISCARD fr_status fr_input_take_some(struct fr_input *input, size_t most, fr_slice *ret_bytes);

/*
 * The next line, without its line feed, which the last one need not have. FR_END. FR_ERR_LIMIT: it
 * has more than most bytes.
 */
FR_NODISCARD fr_status fr_input_line(struct fr_input *input, size_t most, fr_slice *ret_line);

#endif
