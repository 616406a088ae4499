/*
 * assert.h - assertions, which check our own mistakes and never what came from outside.
 *
 * FR_ASSERT stays on in release: a cheap fact whose violation would destroy data. FR_DEBUG_ASSERT
 * is for expensive ones and is gone in release builds (-Db_ndebug=true). Layouts and relations
 * between limits are static_assert. Bytes from disk are none of these: they lead to FR_ERR_CORRUPT.
 */
#ifndef FR_BASE_ASSERT_H
#define FR_BASE_ASSERT_H

#include <assert.h>

#include "base/compiler.h"

/* Says which assertion failed on standard error and aborts the process. */
FR_NORETURN FR_COLD void fr_assert_failed(const char *condition, const char *file, int line);

#define FR_ASSERT(condition)                                                                       \
    ((void)(FR_LIKELY(condition) || (fr_assert_failed(#condition, __FILE__, __LINE__), 0)))

#ifdef NDEBUG
#define FR_DEBUG_ASSERT(condition) ((void)sizeof(!(condition)))
#else
#define FR_DEBUG_ASSERT(condition) FR_ASSERT(condition)
#endif

#endif
