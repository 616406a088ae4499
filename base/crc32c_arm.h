/*
 * crc32c_arm.h - for crc32c_armv8.c and crc32c_pmull.c: the CRC instructions of ARMv8.
 *
 * Not alone: it needs the instruction set of the file that includes it.
 */
#ifndef FR_BASE_CRC32C_ARM_H
#define FR_BASE_CRC32C_ARM_H

#include <arm_acle.h>

#include "base/compiler.h"

FR_INLINE uint64_t step_u64(uint64_t crc, uint64_t word)
{
    return __crc32cd((uint32_t)crc, word);
}

FR_INLINE uint64_t step_u32(uint64_t crc, uint32_t word)
{
    return __crc32cw((uint32_t)crc, word);
}

FR_INLINE uint64_t step_u16(uint64_t crc, uint16_t word)
{
    return __crc32ch((uint32_t)crc, word);
}

FR_INLINE uint64_t step_u8(uint64_t crc, uint8_t byte)
{
    return __crc32cb((uint32_t)crc, byte);
}

#endif
