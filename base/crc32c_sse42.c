/* crc32c_sse42.c - CRC-32C by the instruction that SSE4.2 has for it, in three lanes. */
#include "base/crc32c_priv.h"

#include "base/crc32c_x86.h"

uint32_t fr_crc32c_sse42(uint32_t crc, const uint8_t *data, size_t size)
{
    return ~(uint32_t)lanes_crc((uint32_t)~crc, data, size);
}
