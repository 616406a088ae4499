/* crc32c_priv.h - for base/ and its tests: what the variants of CRC-32C share. */
#ifndef FR_BASE_CRC32C_PRIV_H
#define FR_BASE_CRC32C_PRIV_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

/*
 * A lane of this many words, three lanes side by side: 3 * 170 * 8 = 4080, so that a block of 4 KiB
 * is one pass and two words more. Longer lanes would gain little, and need a longer table.
 */
#define FR_CRC32C_LANE_WORDS_MAX 170
#define FR_CRC32C_POWER_COUNT    (2 * FR_CRC32C_LANE_WORDS_MAX + 1)

/* Multipliers that fold sixteen 16-byte pieces into one, and one pair that folds by 256 bytes. */
#define FR_CRC32C_FOLD_COUNT 34

/*
 * Polynomials are kept as the CRC is, with the coefficient of x^31 in bit 0. All is computed once,
 * from the polynomial alone, before any variant is called, and constant from then on.
 */
struct fr_crc32c_tables {
    /* powers[31] down to powers[0], see below; then powers[33] and powers[32]. As 64 bits: x^32
     * times more. */
    FR_ALIGNED(64) uint64_t folds[FR_CRC32C_FOLD_COUNT];

    /* slices[k][b]: the CRC register after byte b and k zero bytes, from a register of 0. */
    uint32_t slices[8][256];

    /* powers[n] = x^(64n - 33): what a register is multiplied by to move it n words on. The -33 is
     * the 32 that the CRC instruction adds, and the 1 by which a reflected product is off. */
    uint32_t powers[FR_CRC32C_POWER_COUNT];

    /* steps[n] = x^(8 * 2^n): moving on by 2^n bytes. */
    uint32_t steps[64];
};
extern struct fr_crc32c_tables fr_crc32c_tables;

/* Fill the tables. Once, from one thread. */
void fr_crc32c_tables_init(void);

/* The product of two polynomials, modulo the CRC's. */
uint32_t fr_crc32c_multiply(uint32_t a, uint32_t b);

/* The variants; their names say what the processor must have. */
uint32_t fr_crc32c_table(uint32_t crc, const uint8_t *data, size_t size);
uint32_t fr_crc32c_sse42(uint32_t crc, const uint8_t *data, size_t size);
uint32_t fr_crc32c_vpclmul(uint32_t crc, const uint8_t *data, size_t size);
uint32_t fr_crc32c_armv8(uint32_t crc, const uint8_t *data, size_t size);
uint32_t fr_crc32c_pmull(uint32_t crc, const uint8_t *data, size_t size);

#endif
