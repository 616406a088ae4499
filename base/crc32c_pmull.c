/* crc32c_pmull.c - CRC-32C by the instruction of ARMv8, in three lanes joined by PMULL. */
#include "base/crc32c_priv.h"

#include <arm_neon.h>

#include "base/crc32c_arm.h"

FR_INLINE uint64_t carryless(uint32_t a, uint32_t b)
{
    poly128_t product = vmull_p64((poly64_t)a, (poly64_t)b);
    return vgetq_lane_u64(vreinterpretq_u64_p128(product), 0);
}

#define LANES_SIZE_MIN 192

#include "base/crc32c_lanes.h"

uint32_t fr_crc32c_pmull(uint32_t crc, const uint8_t *data, size_t size)
{
    return ~(uint32_t)lanes_crc((uint32_t)~crc, data, size);
}
