/* For spfresh/ and its tests: the tables of kernels, and what they share. */
#ifndef FR_SPFRESH_KERNELS_PRIV_H
#define FR_SPFRESH_KERNELS_PRIV_H

#include "base/assert.h"
#include "base/compiler.h"
#include "spfresh/kernels.h"

extern const struct fr_kernels fr_kernels_scalar;
#if defined(__x86_64__)
extern const struct fr_kernels fr_kernels_avx2;
extern const struct fr_kernels fr_kernels_avx512;
#elif defined(__aarch64__)
extern const struct fr_kernels fr_kernels_neon;
#endif

/* The low four bits of 12 count from -8, so that the high eight alone are rounded to nearest. */
#define FR_ROW_LOW_BIAS 8

static_assert(FR_LANES % FR_CODE_DIMS == 0, "codes fill half of the lanes, or all");

#endif
