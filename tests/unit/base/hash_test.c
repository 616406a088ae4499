#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"

Test(hash, each_bit_of_the_input_moves_half_of_the_output)
{
    struct fr_rng rng;
    uint8_t key[80];

    fr_rng_init(&rng, 1);
    for (size_t size = 1; size <= sizeof(key); size++) {
        for (size_t bit = 0; bit < 8 * size; bit++) {
            uint64_t moved = 0, rounds = 64;

            for (uint64_t i = 0; i < rounds; i++) {
                fr_rng_fill(&rng, key, size);
                uint64_t before = fr_hash64(fr_slice_of(key, size));
                key[bit / 8] ^= (uint8_t)(1 << bit % 8);
                moved += (uint64_t)__builtin_popcountll(before ^ fr_hash64(fr_slice_of(key, size)));
            }
            cr_assert(moved > 26 * rounds && moved < 38 * rounds, "size %zu bit %zu: %lu", size,
                    bit, moved / rounds);
        }
    }
}

Test(hash, spreads_numbers_evenly_by_either_half)
{
    uint32_t low[256] = {0}, high[256] = {0};

    for (uint64_t i = 0; i < 256000; i++) {
        uint64_t big = __builtin_bswap64(i), hash = fr_hash64(fr_slice_of(&big, 8));
        low[hash & 255]++;
        high[hash >> 56]++;
    }
    for (int i = 0; i < 256; i++) {
        cr_assert(low[i] > 800 && low[i] < 1200, "%u", low[i]);
        cr_assert(high[i] > 800 && high[i] < 1200, "%u", high[i]);
    }
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

Test(hash, has_no_collisions_among_a_million_similar_keys)
{
    size_t count = 1000000;
    uint64_t *hashes = fr_alloc_zeroed(count, sizeof(*hashes));
    char key[32];

    for (size_t i = 0; i < count; i++)
        hashes[i] = fr_hash64(fr_slice_of(key,
                (size_t)snprintf(key, sizeof(key), "user/%08zu/row", i)));
    qsort(hashes, count, sizeof(*hashes), by_value);
    for (size_t i = 1; i < count; i++)
        cr_assert_neq(hashes[i], hashes[i - 1]);
    fr_free(hashes);
}

Test(hash, zeros_of_different_lengths_differ)
{
    uint8_t zeros[300] = {0};

    for (size_t i = 0; i < sizeof(zeros); i++)
        for (size_t k = 0; k < i; k++)
            cr_assert_neq(fr_hash64(fr_slice_of(zeros, i)), fr_hash64(fr_slice_of(zeros, k)));
}

/* These numbers are in files: they never change. */
Test(hash, answers_what_it_always_did)
{
    struct fr_hash128_state state;

    cr_assert_eq(fr_hash64(fr_slice_of_text("")), 0xd20094cfcac99944u);
    cr_assert_eq(fr_hash64(fr_slice_of_text("abc")), 0xfb51f6c93df42709u);
    cr_assert_eq(fr_hash64(fr_slice_of_text("freshets")), 0xdbd56eca56789889u);
    cr_assert_eq(fr_hash64(fr_slice_of_text("a key of more than sixteen bytes")),
            0xdbaff005efb375e0u);
    fr_hash128_init(&state);
    fr_hash128_add(&state, "abc", 3);
    cr_assert_eq(fr_hash128_get(&state).low, 0x8507ea198132f87u);
    cr_assert_eq(fr_hash128_get(&state).high, 0xdaac40e94b110df9u);
}

Test(hash, a_file_may_be_cut_anywhere)
{
    uint8_t bytes[400];
    struct fr_hash128_state whole, parts;
    struct fr_rng rng;

    fr_rng_init(&rng, 2);
    fr_rng_fill(&rng, bytes, sizeof(bytes));
    for (size_t size = 0; size <= sizeof(bytes); size += 7) {
        fr_hash128_init(&whole);
        fr_hash128_add(&whole, bytes, size);
        for (size_t cut = 0; cut <= size; cut += 13) {
            fr_hash128_init(&parts);
            fr_hash128_add(&parts, bytes, cut);
            fr_hash128_add(&parts, bytes + cut, size - cut);
            cr_assert(fr_hash128_equal(fr_hash128_get(&whole), fr_hash128_get(&parts)));
        }
    }
}

Test(hash, of_a_file_notices_each_bit)
{
    uint8_t bytes[200] = {0};
    struct fr_hash128_state state;
    struct fr_hash128 first;

    fr_hash128_init(&state);
    fr_hash128_add(&state, bytes, sizeof(bytes));
    first = fr_hash128_get(&state);
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        fr_hash128_init(&state);
        fr_hash128_add(&state, bytes, sizeof(bytes));
        struct fr_hash128 hash = fr_hash128_get(&state);
        int moved = __builtin_popcountll(hash.low ^ first.low) +
                    __builtin_popcountll(hash.high ^ first.high);
        cr_assert(moved > 25 && moved < 103, "bit %zu moves %d", bit, moved);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}
