/*
 * status.h - how a call ended, and the words that go with it.
 *
 * The sign is the message: negative failed, zero is done, positive is an answer that is no failure
 * ("no more", "not there"). Codes are part of the ABI: they are never renumbered.
 */
#ifndef FRESHET_STATUS_H
#define FRESHET_STATUS_H

#include <stddef.h>

#include "freshet/api.h"

FR_BEGIN_DECLS

typedef enum fr_status {
    FR_OK = 0,

    /* Answers. */
    FR_END = 1,       /* an iterator or a stream has no more */
    FR_NOT_FOUND = 2, /* nothing is stored under that name */

    /* Failures. */
    FR_ERR_MISUSE = -1,       /* an argument or the order of calls broke the contract */
    FR_ERR_NOMEM = -2,        /* memory could not be had; nothing was changed */
    FR_ERR_IO = -3,           /* the operating system refused a transfer; see os_error */
    FR_ERR_CORRUPT = -4,      /* bytes are not what was written; the text names file and offset */
    FR_ERR_NOSPACE = -5,      /* the disk, or its quota, or the reserve is full */
    FR_ERR_BUSY = -6,         /* somebody else holds the store */
    FR_ERR_READONLY = -7,     /* the file system or the handle takes no writes */
    FR_ERR_POISONED = -8,     /* an earlier failed sync or write ended all writing; reopen */
    FR_ERR_PERM = -9,         /* the operating system denies it */
    FR_ERR_MISSING = -10,     /* a file that must be there is not */
    FR_ERR_TOO_NEW = -11,     /* written by a later version, in a way this one must not guess at */
    FR_ERR_LIMIT = -12,       /* beyond a documented limit; nothing was changed */
    FR_ERR_UNSUPPORTED = -13, /* this system or build cannot do it */
    FR_ERR_EXISTS = -14,      /* the name is taken */
    FR_ERR_FULL = -15,        /* this container takes no more; start the next one */
    FR_ERR_CANCELLED = -16,   /* given up because it was asked to */
    FR_ERR_FOREIGN = -17      /* a file of something else, or of another store */
} fr_status;

/* Room for the text of one failure, its terminating zero included. */
#define FR_ERROR_TEXT_MAX 512

/*
 * The record of one failure. The caller sets size to sizeof(struct fr_error) before it asks for a
 * copy; fields are only ever added at the end, and no more than size bytes are written.
 */
struct fr_error {
    size_t size;
    fr_status status;
    int os_error;       /* errno at the place of birth, or 0 */
    const char *source; /* file of the library where it was born, static */
    int line;
    int of_sync;                  /* not 0: a sync failed, so it is unknown what is on the device */
    char text[FR_ERROR_TEXT_MAX]; /* a sentence for the person who will read it */
};

/* The code's name, as "FR_ERR_CORRUPT"; static, never NULL. Any thread. */
FR_API const char *fr_status_name(fr_status status);

/* What the code means in a few words, as "damaged data"; static, never NULL. Any thread. */
FR_API const char *fr_status_text(fr_status status);

/*
 * The text of this thread's latest failure, or "" if it had none. Valid until the thread's next
 * call into the library. A call that succeeds does not clear it.
 */
FR_API const char *fr_last_error(void);

/*
 * Copy the record of this thread's latest failure to *ret_error, whose size the caller has set.
 * FR_NOT_FOUND: there was none, *ret_error is untouched. FR_ERR_MISUSE: size is too small for the
 * first four fields.
 */
FR_API fr_status fr_last_error_get(struct fr_error *ret_error);

FR_END_DECLS

#endif
