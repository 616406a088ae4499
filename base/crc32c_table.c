/*
 * crc32c_table.c - the definition of CRC-32C, and the numbers that the faster variants use.
 *
 * A byte string is a polynomial over GF(2), its first bit the highest coefficient. The CRC is the
 * remainder of that polynomial times x^32, divided by P = 0x1edc6f41. In the reflected form used
 * here a 32-bit word holds the coefficient of x^31 in bit 0, so that bytes enter from below.
 *
 * One table entry per byte value moves the register on by one byte. Eight tables do eight bytes at
 * once: the remainder is linear, so each byte's share can be looked up for itself, moved on by as
 * many zero bytes as follow it within the eight.
 */
#include "base/coding.h"
#include "base/crc32c_priv.h"

/* P reflected, without the x^32. */
#define POLYNOMIAL 0x82f63b78u

/* x^0 and x^31, reflected. */
#define X_0  0x80000000u
#define X_31 0x00000001u

struct fr_crc32c_tables fr_crc32c_tables;

static uint32_t times_x(uint32_t value)
{
    return (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
}

/* P has a constant term, so x has an inverse. */
static uint32_t divided_by_x(uint32_t value)
{
    return value & X_0 ? (value ^ POLYNOMIAL) << 1 | 1 : value << 1;
}

uint32_t fr_crc32c_multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;

    for (; a != 0; a <<= 1) {
        if (a & X_0) product ^= b;
        b = times_x(b);
    }
    return product;
}

static void init_slices(struct fr_crc32c_tables *t)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;

        for (unsigned slice = 0; slice < 8; slice++) {
            for (int bit = 0; bit < 8; bit++)
                value = times_x(value);
            t->slices[slice][byte] = value;
        }
    }
}

static void init_powers(struct fr_crc32c_tables *t)
{
    uint32_t value = X_31;

    for (int i = 0; i < 64; i++)
        value = divided_by_x(value);
    for (unsigned n = 0; n < FR_CRC32C_POWER_COUNT; n++) {
        t->powers[n] = value;
        for (int i = 0; i < 64; i++)
            value = times_x(value);
    }
    for (unsigned i = 0; i < 32; i++)
        t->folds[i] = t->powers[31 - i];
    t->folds[32] = t->powers[33];
    t->folds[33] = t->powers[32];
}

static void init_steps(struct fr_crc32c_tables *t)
{
    uint32_t value = X_0;

    for (int i = 0; i < 8; i++)
        value = times_x(value);
    for (unsigned n = 0; n < 64; n++) {
        t->steps[n] = value;
        value = fr_crc32c_multiply(value, value);
    }
}

void fr_crc32c_tables_init(void)
{
    init_slices(&fr_crc32c_tables);
    init_powers(&fr_crc32c_tables);
    init_steps(&fr_crc32c_tables);
}

uint32_t fr_crc32c_table(uint32_t crc, const uint8_t *data, size_t size)
{
    const uint32_t(*t)[256] = (const uint32_t(*)[256])fr_crc32c_tables.slices;

    crc = ~crc;
    for (; size >= 8; size -= 8, data += 8) {
        uint64_t word = fr_get_u64(data) ^ crc;

        crc = t[7][word & 0xff] ^ t[6][word >> 8 & 0xff] ^ t[5][word >> 16 & 0xff] ^
              t[4][word >> 24 & 0xff] ^ t[3][word >> 32 & 0xff] ^ t[2][word >> 40 & 0xff] ^
              t[1][word >> 48 & 0xff] ^ t[0][word >> 56];
    }
    for (; size > 0; size--, data++)
        crc = (crc >> 8) ^ t[0][(crc ^ *data) & 0xff];
    return ~crc;
}
