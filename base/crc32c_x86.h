/*
 * crc32c_x86.h - for crc32c_sse42.c and crc32c_vpclmul.c: the instructions, and lanes of them.
 *
 * Not alone: it needs the instruction set of the file that includes it.
 */
#ifndef FR_BASE_CRC32C_X86_H
#define FR_BASE_CRC32C_X86_H

#include <immintrin.h>

#include "base/compiler.h"

FR_INLINE uint64_t step_u64(uint64_t crc, uint64_t word)
{
    return _mm_crc32_u64(crc, word);
}

FR_INLINE uint64_t step_u32(uint64_t crc, uint32_t word)
{
    return _mm_crc32_u32((uint32_t)crc, word);
}

FR_INLINE uint64_t step_u16(uint64_t crc, uint16_t word)
{
    return _mm_crc32_u16((uint32_t)crc, word);
}

FR_INLINE uint64_t step_u8(uint64_t crc, uint8_t byte)
{
    return _mm_crc32_u8((uint32_t)crc, byte);
}

FR_INLINE uint64_t carryless(uint32_t a, uint32_t b)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi32_si128((int)a), _mm_cvtsi32_si128((int)b), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Below, the products cost more than two chains less save. */
#define LANES_SIZE_MIN 144

#include "base/crc32c_lanes.h"

#endif
