/* log.h - how the library's own code speaks to the host's log function (freshet/log.h). */
#ifndef FR_BASE_LOG_H
#define FR_BASE_LOG_H

#include <stdbool.h>

#include "base/compiler.h"
#include "freshet/log.h"

/* Whether anybody listens at this level: ask before computing something only to log it. */
bool fr_log_wanted(fr_log_level level);

/* One line, without a newline; cut at 1 KiB. component is the folder's name. Any thread. */
void fr_log(fr_log_level level, const char *component, const char *format, ...) FR_PRINTF(3, 4);

#endif
