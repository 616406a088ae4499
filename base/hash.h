/*
 * hash.h - hashes of byte strings: 64 bits for tables in memory and filters, 128 for whole files.
 *
 * Neither is for secrets, and neither withstands somebody who looks for collisions. Both are part
 * of stored formats: what they answer for given bytes never changes.
 *
 * The building block is the product of two 64-bit words, 128 bits wide, folded by xor: on the
 * processors we care about one multiplication that takes in sixteen bytes and lets every bit of
 * them reach every bit of the result. fr_hash64 is one to three of these for keys up to 32 bytes. A
 * string is read in words from both of its ends, so that no length needs a loop over bytes.
 *
 * fr_hash128 goes over a file in stripes of 64 bytes, four lanes side by side. A lane takes its
 * words in twice, multiplied and added, so that a factor of zero loses nothing.
 */
#ifndef FR_BASE_HASH_H
#define FR_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/coding.h"
#include "base/compiler.h"
#include "base/slice.h"

/* Digits of pi past the point, with an odd number of bits set: nothing up the sleeve. */
#define FR_HASH_K0 0x243f6a8885a308d3u
#define FR_HASH_K1 0x13198a2e03707345u
#define FR_HASH_K2 0xa4093822299f31d1u
#define FR_HASH_K3 0x082efa98ec4e6c89u

static inline uint64_t fr_hash_fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The hash of strings longer than 16 bytes; fr_hash64 asks for it. */
uint64_t fr_hash64_long(const uint8_t *data, size_t size);

/* Any thread. */
static inline uint64_t fr_hash64(fr_slice bytes)
{
    const uint8_t *data = bytes.data;
    size_t size = bytes.size;
    uint64_t a, b;

    if (FR_UNLIKELY(size > 16)) return fr_hash64_long(data, size);
    if (size >= 8) {
        a = fr_get_u64(data);
        b = fr_get_u64(data + size - 8);
    } else if (size >= 4) {
        a = fr_get_u32(data);
        b = fr_get_u32(data + size - 4);
    } else if (size > 0) {
        a = (uint64_t)data[0] << 16 | (uint64_t)data[size >> 1] << 8 | data[size - 1];
        b = 0;
    } else {
        a = b = 0;
    }
    return fr_hash_fold(FR_HASH_K0 ^ size, fr_hash_fold(a ^ FR_HASH_K1, b ^ FR_HASH_K2));
}

/* 128 bits. As bytes: low, then high, little-endian. */
struct fr_hash128 {
    uint64_t low;
    uint64_t high;
};

static inline bool fr_hash128_equal(struct fr_hash128 a, struct fr_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

#define FR_HASH_STRIPE 64

/* A hash under way. Cut the bytes as you like, the answer is the same. */
struct fr_hash128_state {
    uint64_t lanes[4];
    uint64_t size;
    uint8_t tail[FR_HASH_STRIPE]; /* size % FR_HASH_STRIPE bytes that fill no stripe yet */
};

void fr_hash128_init(struct fr_hash128_state *state);
void fr_hash128_add(struct fr_hash128_state *state, const void *data, size_t size);

/* The hash of all that was added; more may be added after it. */
struct fr_hash128 fr_hash128_get(const struct fr_hash128_state *state);

#endif
