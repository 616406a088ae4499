/*
 * kernels_agree.h - one set of kernels held against the definition, for the unit test and for a
 * machine where that cannot run (tests/cross/kernels_check.c).
 *
 * Each function tries what it is about on odd lengths, offsets, extremes and random data, always
 * the same. What a kernel reads ends before memory that nobody may touch, so one that reads too far
 * ends the process, with a sanitizer or without. One thread.
 */
#ifndef FR_TESTS_UNIT_SPFRESH_KERNELS_AGREE_H
#define FR_TESTS_UNIT_SPFRESH_KERNELS_AGREE_H

#include <stdbool.h>

#include "spfresh/kernels.h"

/* False at the first difference; kernels_agree_text then says which. */
bool kernels_agree_on_vectors(const struct fr_kernels *kernels);
bool kernels_agree_on_extremes(const struct fr_kernels *kernels);
bool kernels_agree_on_codes(const struct fr_kernels *kernels);
bool kernels_agree_on_scans(const struct fr_kernels *kernels);
bool kernels_agree_on_halves(const struct fr_kernels *kernels);
bool kernels_agree_on_runs(const struct fr_kernels *kernels);
bool kernels_agree_on_counts(const struct fr_kernels *kernels);
bool kernels_agree_on_residuals(const struct fr_kernels *kernels);
bool kernels_agree_on_transforms(const struct fr_kernels *kernels);

/* The latest difference, in words. */
const char *kernels_agree_text(void);

#endif
