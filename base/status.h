/*
 * status.h - where an error is born, how it travels, and who may drop it.
 *
 * FR_FAIL is the only birthplace: it fills this thread's record and answers the status. From there
 * the status climbs by FR_TRY; the record stays where it is. A job that fails on another thread
 * carries its record along: fr_error_save() there, fr_error_restore() where somebody waits.
 */
#ifndef FR_BASE_STATUS_H
#define FR_BASE_STATUS_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/compiler.h"
#include "freshet/status.h"

/* Fail with words for the person who will read them. Yields the status. */
#define FR_FAIL(status, ...) fr_error_set((status), 0, __FILE__, __LINE__, __VA_ARGS__)

/* Fail because of an errno: the status is chosen from it, and its text is appended to the words. */
#define FR_FAIL_OS(os_error, ...)                                                                  \
    fr_error_set(fr_status_of_errno(os_error), (os_error), __FILE__, __LINE__, __VA_ARGS__)

/* Run one step; on failure leave for `out` with the status in `st`. The only macro that jumps. */
#define FR_TRY(call)                                                                               \
    do {                                                                                           \
        st = (call);                                                                               \
        if (FR_UNLIKELY(st < 0)) goto out;                                                         \
    } while (0)

FR_COLD fr_status fr_error_set(fr_status status, int os_error, const char *file, int line,
        const char *format, ...) FR_PRINTF(5, 6);

/* The status for an errno (positive). FR_ERR_IO for all that has no better one. */
fr_status fr_status_of_errno(int os_error);

/* Copy this thread's record, or make it the given one. A restored record yields its status. */
void fr_error_save(struct fr_error *ret_error);
fr_status fr_error_restore(const struct fr_error *error);

/* This thread's latest failure was a sync's: no repetition can make good what it may have lost. */
void fr_error_mark_sync(void);

/* Forget this thread's record. */
void fr_error_clear(void);

#endif
