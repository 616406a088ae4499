/* search.h - finding a place among sorted keys by their first eight bytes, held side by side. */
#ifndef FR_LSM_SEARCH_H
#define FR_LSM_SEARCH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/coding.h"
#include "base/compiler.h"
#include "base/slice.h"

/* The first eight bytes, zeros where there are fewer, as a number that compares as they do. */
static inline uint64_t fr_key_prefix(fr_slice key)
{
    uint8_t bytes[8] = {0};

    if (FR_LIKELY(key.size >= 8)) {
        memcpy(bytes, key.data, 8);
    } else {
        for (size_t i = 0; i < key.size; i++)
            bytes[i] = key.data[i];
    }
    return __builtin_bswap64(fr_get_u64(bytes));
}

/* How many of the sorted numbers are below the bound; no branch depends on them. */
static inline size_t fr_count_below(const uint8_t *numbers, size_t count, uint64_t bound)
{
    const uint8_t *base = numbers;

    if (count == 0) return 0;
    while (count > 1) {
        size_t half = count / 2;

        base += fr_get_u64(base + 8 * (half - 1)) < bound ? 8 * half : 0;
        count -= half;
    }
    return (size_t)(base - numbers) / 8 + (fr_get_u64(base) < bound);
}

/* How many bytes the two have in common at the front. */
static inline size_t fr_shared_size(fr_slice a, fr_slice b)
{
    size_t most = FR_MIN(a.size, b.size), n = 0;

    while (most - n >= 8) {
        uint64_t differ = fr_get_u64(a.data + n) ^ fr_get_u64(b.data + n);

        if (differ != 0) return n + (unsigned)__builtin_ctzll(differ) / 8;
        n += 8;
    }
    while (n < most && a.data[n] == b.data[n])
        n++;
    return n;
}

#endif
