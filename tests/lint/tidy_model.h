/*
 * tidy_model.h - what clang-tidy's analyzer is told about functions whose bodies it does not see.
 *
 * Included before each file that tests/lint/check-tidy looks at. FR_FAIL answers a failure, always:
 * without that knowledge the analyzer follows paths on which a failed call has answered FR_OK and
 * left its out-parameter NULL.
 */
#ifndef FR_TESTS_LINT_TIDY_MODEL_H
#define FR_TESTS_LINT_TIDY_MODEL_H

#include "base/status.h"

#undef FR_FAIL
#define FR_FAIL(status, ...) (fr_error_set((status), 0, __FILE__, __LINE__, __VA_ARGS__), (status))

#undef FR_FAIL_OS
#define FR_FAIL_OS(os_error, ...)                                                                  \
    (fr_error_set(FR_ERR_IO, (os_error), __FILE__, __LINE__, __VA_ARGS__), FR_ERR_IO)

#endif
