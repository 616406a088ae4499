/*
 * options.h - for this folder only: what else the table of options is good for.
 */
#ifndef FR_DB_OPTIONS_H
#define FR_DB_OPTIONS_H

#include <stdbool.h>

#include "base/buf.h"
#include "freshet/db.h"

/* Whether every option lies in its range and they go together. FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_db_options_check(const struct fr_db_options *options);

/* FR_ERR_MISUSE: there is no such option, or it cannot be changed while a store is open. */
FR_NODISCARD fr_status fr_db_option_check_changeable(const char *name);

/*
 * Hand text to a caller's memory: cut at room, and closed by a zero if there is any room at all.
 * *ret_size, which may be NULL, is what it would take, the zero not counted. Empties the buffer.
 * FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_db_give_text(struct fr_buf *text, char *to, size_t room,
        size_t *ret_size);

#endif
