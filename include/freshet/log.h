/* log.h - what the library has to say while it works. It prints nothing by itself. */
#ifndef FRESHET_LOG_H
#define FRESHET_LOG_H

#include "freshet/api.h"

FR_BEGIN_DECLS

typedef enum fr_log_level {
    FR_LOG_DEBUG = 0,
    FR_LOG_INFO = 1, /* a normal event that a person may want to see: opened, recovered */
    FR_LOG_WARN = 2, /* handled, but somebody should know: a fallback, damaged derived data */
    FR_LOG_ERROR = 3 /* something will not be done: a background job failed */
} fr_log_level;

/*
 * Receives one line, without a newline; component is the folder it came from, as "io". Both strings
 * are valid during the call only. May be called from any thread, several at a time, and must not
 * call back into the library.
 */
typedef void (*fr_log_fn)(void *ctx, fr_log_level level, const char *component, const char *text);

/*
 * Send lines of at least this level to fn; NULL for silence, which is where the library starts.
 * One thread, while no other is inside the library: a line under way may still use the former one.
 */
FR_API void fr_set_log(fr_log_fn fn, void *ctx, fr_log_level least);

/* The level's name, as "warn"; static. Any thread. */
FR_API const char *fr_log_level_name(fr_log_level level);

FR_END_DECLS

#endif
