/*
 * vector_id.h - what an index calls its vectors, as words: of the command line, and in messages.
 */
#ifndef FR_TOOLS_VECTOR_ID_H
#define FR_TOOLS_VECTOR_ID_H

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "freshet/index.h"

/* The row of a verb's option table that says what ids a new index has. */
#define FR_OPTION_IDS(target, help)                                                                \
    {                                                                                              \
        "ids", 0, FR_OPTION_TEXT, "KIND", (help), (target)                                         \
    }

/* A word of the command line as an id that is a number. FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_id_read(const char *word, uint64_t *ret_id);

/* "number" or "text". FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_id_kind_read(const char *word, enum fr_id_kind *ret_kind);
const char *fr_id_kind_name(enum fr_id_kind kind);

/* An id in a message: 7, or "seven" in quotes, with escapes. An empty text is none. */
struct fr_id_words {
    char text[4 * FR_TEXT_ID_MAX + 3];
};
struct fr_id_words fr_id_words(uint64_t id, fr_slice text);

#endif
