/*
 * coding.h - integers as bytes: fixed width little-endian, and varints.
 *
 * A varint is seven bits a byte, least significant first, the top bit set on all but the last byte.
 * Only the shortest form is valid, so equal values have equal bytes. A u64 takes up to ten bytes,
 * of which the tenth may only be 1. Signed values are zigzagged first: 0, -1, 1, -2 become 0, 1,
 * 2, 3.
 *
 * The functions here work on memory whose bounds the caller has checked. Bytes from outside are
 * read through fr_bytes (base/bytes.h), which checks.
 */
#ifndef FR_BASE_CODING_H
#define FR_BASE_CODING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FR_VARINT32_MAX 5
#define FR_VARINT64_MAX 10

static inline uint16_t fr_to_le16(uint16_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap16(value);
#else
    return value;
#endif
}

static inline uint32_t fr_to_le32(uint32_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap32(value);
#else
    return value;
#endif
}

static inline uint64_t fr_to_le64(uint64_t value)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(value);
#else
    return value;
#endif
}

static inline uint16_t fr_get_u16(const void *from)
{
    uint16_t value;
    memcpy(&value, from, sizeof(value));
    return fr_to_le16(value);
}

static inline uint32_t fr_get_u32(const void *from)
{
    uint32_t value;
    memcpy(&value, from, sizeof(value));
    return fr_to_le32(value);
}

static inline uint64_t fr_get_u64(const void *from)
{
    uint64_t value;
    memcpy(&value, from, sizeof(value));
    return fr_to_le64(value);
}

static inline void fr_put_u16(void *to, uint16_t value)
{
    value = fr_to_le16(value);
    memcpy(to, &value, sizeof(value));
}

static inline void fr_put_u32(void *to, uint32_t value)
{
    value = fr_to_le32(value);
    memcpy(to, &value, sizeof(value));
}

static inline void fr_put_u64(void *to, uint64_t value)
{
    value = fr_to_le64(value);
    memcpy(to, &value, sizeof(value));
}

/* Bytes that fr_put_varint will write. */
static inline size_t fr_varint_size(uint64_t value)
{
    return (size_t)(63 - __builtin_clzll(value | 1)) / 7 + 1;
}

/* Write a varint to memory with room for it; yields the byte after. */
static inline uint8_t *fr_put_varint(uint8_t *to, uint64_t value)
{
    while (value >= 0x80) {
        *to++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *to++ = (uint8_t)value;
    return to;
}

/*
 * Read a varint from [from, end). Yields the byte after it, or NULL if it runs over the end, is
 * longer than need be, or does not fit in 64 bits; *ret_value is untouched then.
 */
static inline const uint8_t *fr_get_varint(const uint8_t *from, const uint8_t *end,
        uint64_t *ret_value)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 7 * FR_VARINT64_MAX && from < end; shift += 7) {
        uint8_t byte = *from++;

        if (shift == 63 && byte > 1) return NULL;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80) continue;
        if (byte == 0 && shift > 0) return NULL;
        *ret_value = value;
        return from;
    }
    return NULL;
}

static inline uint64_t fr_zigzag(int64_t value)
{
    return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t fr_unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

#endif
