/*
 * half.h - IEEE's 16-bit floats, in which factors are stored: to and fro without the processor's
 * help.
 *
 * To a half rounds to nearest, ties to even; beyond 65,504 it is infinite, and tiny ones are
 * denormal or zero. As the processors' own conversions do, so kernels may use those.
 */
#ifndef FR_SPFRESH_HALF_H
#define FR_SPFRESH_HALF_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define FR_HALF_MAX 65504.0f

static inline float fr_half_to_float(uint16_t half)
{
    uint32_t exponent = half >> 10 & 31, fraction = half & 1023u, bits;
    float value;

    if (exponent == 31) {
        bits = 0x7f800000u | fraction << 13;
        if (fraction != 0) bits |= 0x400000u; /* a quiet one */
    } else if (exponent != 0) {
        bits = (exponent + 112) << 23 | fraction << 13;
    } else {
        value = (float)fraction * 0x1p-24f;
        memcpy(&bits, &value, sizeof(bits));
    }
    bits |= (uint32_t)(half & 0x8000u) << 16;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

static inline uint16_t fr_half_from_float(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;

    if (rest > 0x7f800000u) return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds beyond the largest */
    if (rest < 0x38800000u) /* denormal: in units of 2^-24, which a float's rounding finds */
        return (uint16_t)(sign | (uint32_t)rintf(fabsf(value) * 0x1p24f));
    rest += 0xfffu + (rest >> 13 & 1u);
    return (uint16_t)(sign | (rest - 0x38000000u) >> 13);
}

#endif
