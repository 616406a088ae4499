/*
 * crc32c.h - CRC-32C (Castagnoli), the checksum of everything that goes to disk.
 *
 * The polynomial is 0x1edc6f41; bits are reflected, the register starts with ones and is inverted
 * at the end, as in RFC 3720: the CRC of "123456789" is 0xe3069283. The fastest variant that this
 * machine has is chosen at the first call.
 */
#ifndef FR_BASE_CRC32C_H
#define FR_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what crc is of, followed by data; start with 0. Any thread. */
uint32_t fr_crc32c(uint32_t crc, const void *data, size_t size);

/* The CRC of A followed by B, from the CRC of each and the size of B in bytes. Any thread. */
uint32_t fr_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b);

/*
 * A CRC that lies inside of data which is itself checked is stored masked: the CRC of a string
 * that ends in its own CRC is the same for all strings, so it would check nothing.
 */
#define FR_CRC32C_MASK_ADD 0x7d3c9a15u

static inline uint32_t fr_crc32c_mask(uint32_t crc)
{
    return ((crc >> 13) | (crc << 19)) + FR_CRC32C_MASK_ADD;
}

static inline uint32_t fr_crc32c_unmask(uint32_t masked)
{
    uint32_t rotated = masked - FR_CRC32C_MASK_ADD;
    return (rotated << 13) | (rotated >> 19);
}

typedef uint32_t (*fr_crc32c_fn)(uint32_t crc, const uint8_t *data, size_t size);

/* One way to compute it, for the checker and the benchmark. */
struct fr_crc32c_variant {
    const char *name;
    uint64_t needs; /* features, see base/cpu.h */
    fr_crc32c_fn fn;
};

/*
 * The ways that the features in use allow, best last; the first is the definition. index counts
 * from 0, and the answer is NULL when there are no more. Any thread.
 */
const struct fr_crc32c_variant *fr_crc32c_variants(size_t index);

#endif
