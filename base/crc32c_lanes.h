/*
 * crc32c_lanes.h - for the files of base/ that have a CRC instruction: three of them at once.
 *
 * The instruction takes three cycles, but a processor starts one in each. So a string is cut in
 * three lanes of n words, whose registers a, b and c advance side by side, and what is left over
 * (less than three words) follows at the end. A register that is 0 stays 0 over zeros, and all is
 * linear; therefore the register after all three lanes is
 *
 *     a * x^(2 * 64n) + b * x^(64n) + c        modulo P,
 *
 * where a has started from the CRC so far and b and c from 0. The two products are left unreduced
 * (64 bits), added, and reduced by one more CRC instruction, which contributes x^32; hence the -33
 * in fr_crc32c_tables.powers. n may be anything up to FR_CRC32C_LANE_WORDS_MAX: no size has a slow
 * tail. The idea of combining by one carry-less product is in V. Gopal et al., "Fast CRC
 * Computation for iSCSI Polynomial Using CRC32 Instruction".
 *
 * The including file defines step_u64, step_u32, step_u16, step_u8 (the instruction), carryless
 * (32 times 32 bits) and LANES_SIZE_MIN, from where on three lanes are worth their products.
 *
 * Not alone: it is a piece of the files that define these.
 */
#ifndef FR_BASE_CRC32C_LANES_H
#define FR_BASE_CRC32C_LANES_H

#include "base/coding.h"
#include "base/crc32c_priv.h"

FR_INLINE uint64_t lanes_join(uint64_t a, uint64_t b, uint64_t c, size_t words)
{
    const uint32_t *powers = fr_crc32c_tables.powers;
    uint64_t product =
            carryless((uint32_t)a, powers[2 * words]) ^ carryless((uint32_t)b, powers[words]);

    return step_u64(0, product) ^ c;
}

/* Three lanes of so many words each. */
FR_INLINE uint64_t lanes_run(uint64_t crc, const uint8_t *data, size_t words)
{
    const uint8_t *at_b = data + 8 * words;
    const uint8_t *at_c = at_b + 8 * words;
    const uint8_t *end = at_b;
    uint64_t a = crc, b = 0, c = 0;

    for (; data < end; data += 8, at_b += 8, at_c += 8) {
        a = step_u64(a, fr_get_u64(data));
        b = step_u64(b, fr_get_u64(at_b));
        c = step_u64(c, fr_get_u64(at_c));
    }
    return lanes_join(a, b, c, words);
}

/* The last bytes: one chain. */
FR_INLINE uint64_t lanes_finish(uint64_t crc, const uint8_t *data, size_t size)
{
    for (; size >= 8; size -= 8, data += 8)
        crc = step_u64(crc, fr_get_u64(data));
    if (size & 4) {
        crc = step_u32(crc, fr_get_u32(data));
        data += 4;
    }
    if (size & 2) {
        crc = step_u16(crc, fr_get_u16(data));
        data += 2;
    }
    if (size & 1) crc = step_u8(crc, *data);
    return crc;
}

/* The register (not inverted) after data. */
FR_INLINE uint64_t lanes_crc(uint64_t crc, const uint8_t *data, size_t size)
{
    while (size >= LANES_SIZE_MIN) {
        size_t words = FR_MIN(size / 24, (size_t)FR_CRC32C_LANE_WORDS_MAX);

        crc = lanes_run(crc, data, words);
        data += 24 * words;
        size -= 24 * words;
    }
    return lanes_finish(crc, data, size);
}

#endif
