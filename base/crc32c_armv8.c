/*
 * crc32c_armv8.c - CRC-32C by the instruction of ARMv8, in three lanes, for processors that have no
 * carry-less product. It is then computed bit by bit, so only long lanes are worth it.
 */
#include "base/crc32c_priv.h"

#include "base/crc32c_arm.h"

static uint64_t carryless(uint32_t a, uint32_t b)
{
    uint64_t product = 0;

    for (unsigned bit = 0; bit < 32; bit++)
        product ^= (uint64_t)b << bit & -(uint64_t)(a >> bit & 1);
    return product;
}

#define LANES_SIZE_MIN 1024

#include "base/crc32c_lanes.h"

uint32_t fr_crc32c_armv8(uint32_t crc, const uint8_t *data, size_t size)
{
    return ~(uint32_t)lanes_crc((uint32_t)~crc, data, size);
}
