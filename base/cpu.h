/*
 * cpu.h - what this processor can do, and what we let it do.
 *
 * A feature counts only if the processor has it and the operating system keeps the registers that
 * it needs. The environment variable FR_CPU_MASK (decimal, or hexadecimal after 0x) makes any
 * machine a lesser one: what may be used is what is there and in the mask. A mask that is no number
 * is ignored. The bits are stable, so that a mask in somebody's script keeps its meaning.
 */
#ifndef FR_BASE_CPU_H
#define FR_BASE_CPU_H

#include <stdint.h>

#include "base/buf.h"

/* x86-64 */
#define FR_CPU_SSE42      ((uint64_t)1 << 0)
#define FR_CPU_PCLMUL     ((uint64_t)1 << 1)
#define FR_CPU_AVX2       ((uint64_t)1 << 2)
#define FR_CPU_FMA        ((uint64_t)1 << 3)
#define FR_CPU_F16C       ((uint64_t)1 << 4)
#define FR_CPU_AVX512F    ((uint64_t)1 << 5)
#define FR_CPU_AVX512BW   ((uint64_t)1 << 6)
#define FR_CPU_AVX512VL   ((uint64_t)1 << 7)
#define FR_CPU_AVX512DQ   ((uint64_t)1 << 8)
#define FR_CPU_VBMI       ((uint64_t)1 << 9)
#define FR_CPU_VNNI       ((uint64_t)1 << 10)
#define FR_CPU_VPOPCNTDQ  ((uint64_t)1 << 11)
#define FR_CPU_BITALG     ((uint64_t)1 << 12)
#define FR_CPU_VPCLMULQDQ ((uint64_t)1 << 13)

/* ARMv8, 64 bits */
#define FR_CPU_NEON    ((uint64_t)1 << 32)
#define FR_CPU_CRC     ((uint64_t)1 << 33)
#define FR_CPU_PMULL   ((uint64_t)1 << 34)
#define FR_CPU_DOTPROD ((uint64_t)1 << 35)
#define FR_CPU_SVE     ((uint64_t)1 << 36)

/* The features that may be used: detected once, then a load. Any thread. */
uint64_t fr_cpu_features(void);

/*
 * From now on allow only these of the detected features, whatever FR_CPU_MASK says. What has
 * already chosen its kernels keeps them: call it before the first use.
 */
void fr_cpu_set_mask_for_test(uint64_t mask);

/* Append the names of these features, as "sse4.2 pclmul avx2"; "none" if there is none. */
void fr_cpu_feature_names(uint64_t features, struct fr_buf *buf);

#endif
