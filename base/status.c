#include "base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static _Thread_local struct fr_error last_error;

struct status_row {
    fr_status status;
    const char *name;
    const char *text;
};

static const struct status_row status_rows[] = {
        {FR_OK, "FR_OK", "done"},
        {FR_END, "FR_END", "no more"},
        {FR_NOT_FOUND, "FR_NOT_FOUND", "not found"},
        {FR_ERR_MISUSE, "FR_ERR_MISUSE", "wrong use of the library"},
        {FR_ERR_NOMEM, "FR_ERR_NOMEM", "out of memory"},
        {FR_ERR_IO, "FR_ERR_IO", "input or output failed"},
        {FR_ERR_CORRUPT, "FR_ERR_CORRUPT", "damaged data"},
        {FR_ERR_NOSPACE, "FR_ERR_NOSPACE", "no space left"},
        {FR_ERR_BUSY, "FR_ERR_BUSY", "in use by another"},
        {FR_ERR_READONLY, "FR_ERR_READONLY", "read-only"},
        {FR_ERR_POISONED, "FR_ERR_POISONED", "stopped by an earlier write failure"},
        {FR_ERR_PERM, "FR_ERR_PERM", "permission denied"},
        {FR_ERR_MISSING, "FR_ERR_MISSING", "a needed file is missing"},
        {FR_ERR_TOO_NEW, "FR_ERR_TOO_NEW", "written by a later version"},
        {FR_ERR_LIMIT, "FR_ERR_LIMIT", "beyond a limit"},
        {FR_ERR_UNSUPPORTED, "FR_ERR_UNSUPPORTED", "not supported here"},
        {FR_ERR_EXISTS, "FR_ERR_EXISTS", "already exists"},
        {FR_ERR_FULL, "FR_ERR_FULL", "full"},
        {FR_ERR_CANCELLED, "FR_ERR_CANCELLED", "cancelled"},
        {FR_ERR_FOREIGN, "FR_ERR_FOREIGN", "a file of something else"},
};

static const struct status_row *find_row(fr_status status)
{
    static const struct status_row unknown = {FR_OK, "unknown", "unknown status"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(status_rows); i++)
        if (status_rows[i].status == status) return &status_rows[i];
    return &unknown;
}

const char *fr_status_name(fr_status status)
{
    return find_row(status)->name;
}

const char *fr_status_text(fr_status status)
{
    return find_row(status)->text;
}

fr_status fr_status_of_errno(int os_error)
{
    switch (os_error) {
    case ENOMEM:
        return FR_ERR_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return FR_ERR_NOSPACE;
    case EACCES:
    case EPERM:
        return FR_ERR_PERM;
    case EROFS:
        return FR_ERR_READONLY;
    case ENOENT:
        return FR_ERR_MISSING;
    case EEXIST:
        return FR_ERR_EXISTS;
    case EBUSY:
        return FR_ERR_BUSY;
    case EOPNOTSUPP:
    case ENOSYS:
        return FR_ERR_UNSUPPORTED;
    case ECANCELED:
        return FR_ERR_CANCELLED;
    default:
        return FR_ERR_IO;
    }
}

/* A path from the project's root, whatever the build directory put in front of it. */
static const char *source_path(const char *file)
{
    while (strncmp(file, "../", 3) == 0)
        file += 3;
    return file;
}

/* Add ": No space left on device" as far as it fits. */
static void append_os_text(struct fr_error *error)
{
    char scratch[128];
    size_t used = strlen(error->text);

    /* The GNU strerror_r: it may answer a static string instead of filling the buffer. */
    const char *text = strerror_r(error->os_error, scratch, sizeof(scratch));
    snprintf(error->text + used, sizeof(error->text) - used, ": %s", text);
}

fr_status fr_error_set(fr_status status, int os_error, const char *file, int line,
        const char *format, ...)
{
    va_list args;
    char text[FR_ERROR_TEXT_MAX];
    int saved_errno = errno;

    FR_ASSERT(status < 0);
    /* Aside first: the words may quote those of the failure that led to this one. */
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    last_error.size = sizeof(last_error);
    last_error.status = status;
    last_error.os_error = os_error;
    last_error.source = source_path(file);
    last_error.line = line;
    last_error.of_sync = 0;
    memcpy(last_error.text, text, strlen(text) + 1);
    if (os_error != 0) append_os_text(&last_error);
    errno = saved_errno;
    return status;
}

void fr_error_mark_sync(void)
{
    last_error.of_sync = 1;
}

const char *fr_last_error(void)
{
    return last_error.text;
}

fr_status fr_last_error_get(struct fr_error *ret_error)
{
    size_t size = ret_error->size;

    if (size < offsetof(struct fr_error, line))
        return FR_FAIL(FR_ERR_MISUSE, "struct fr_error: size %zu is not set or too small", size);
    if (last_error.status == FR_OK) return FR_NOT_FOUND;
    memcpy(ret_error, &last_error, FR_MIN(size, sizeof(last_error)));
    ret_error->size = size;
    if (size > offsetof(struct fr_error, text) && size < sizeof(last_error))
        ((char *)ret_error)[size - 1] = '\0';
    return FR_OK;
}

void fr_error_save(struct fr_error *ret_error)
{
    *ret_error = last_error;
}

fr_status fr_error_restore(const struct fr_error *error)
{
    last_error = *error;
    return last_error.status;
}

void fr_error_clear(void)
{
    last_error.status = FR_OK;
    last_error.text[0] = '\0';
}

void fr_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "freshet: %s:%d: assertion failed: %s\n", source_path(file), line, condition);
    abort();
}
