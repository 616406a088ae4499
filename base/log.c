#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

#define LINE_MAX_BYTES 1024

/* Set by fr_set_log while no other thread is inside the library; constant otherwise. */
static fr_log_fn log_fn;
static void *log_ctx;
static fr_log_level log_least;

void fr_set_log(fr_log_fn fn, void *ctx, fr_log_level least)
{
    log_fn = fn;
    log_ctx = ctx;
    log_least = least;
}

bool fr_log_wanted(fr_log_level level)
{
    return log_fn != NULL && level >= log_least;
}

void fr_log(fr_log_level level, const char *component, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;

    if (!fr_log_wanted(level)) return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    log_fn(log_ctx, level, component, line);
}

const char *fr_log_level_name(fr_log_level level)
{
    switch (level) {
    case FR_LOG_DEBUG:
        return "debug";
    case FR_LOG_INFO:
        return "info";
    case FR_LOG_WARN:
        return "warn";
    case FR_LOG_ERROR:
        return "error";
    }
    return "unknown";
}
