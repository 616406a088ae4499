#include "spfresh/code.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/coding.h"
#include "spfresh/half.h"
#include "spfresh/kernels_priv.h"

/* So that rounding the high byte to nearest stays inside of it. */
#define VALUE_MAX 2039
static_assert((VALUE_MAX + FR_ROW_LOW_BIAS) / 16 == INT8_MAX,
        "the largest code is the largest byte");

/* What follows is done in lanes, and with the bits of floats as whole numbers, which are in the
 * same order: so that compilers find instructions for many at once. Dimensions are a multiple. */
#define LANES 16
static_assert(FR_CODE_DIMS % LANES == 0, "");

static inline int32_t bits_of(float value)
{
    int32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static inline float float_of(int32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

#define INFINITE_BITS 0x7f800000

/* What is no number does not count. */
static float largest(const float *x, size_t dims)
{
    int32_t most[LANES] = {0};

    for (size_t start = 0; start < dims; start += LANES)
        for (size_t i = 0; i < LANES; i++) {
            int32_t bits = bits_of(x[start + i]) & INT32_MAX;
            bits = bits > INFINITE_BITS ? 0 : bits;
            most[i] = bits > most[i] ? bits : most[i];
        }
    for (size_t i = 1; i < LANES; i++)
        most[0] = most[i] > most[0] ? most[i] : most[0];
    return float_of(most[0]);
}

/* As lrintf() would: a sum as large as this has no place for a fraction, and is rounded to even. */
#define ROUNDING 12582912.0f

static inline int rounded(float value, int limit)
{
    int nearest = bits_of(value + ROUNDING) - bits_of(ROUNDING);

    nearest = nearest < limit ? nearest : limit;
    return nearest > -limit ? nearest : -limit;
}

/* Half of a row's FR_CODE_DIMS, in sixteenths. */
static inline void round_half(const float *x, float inverse, int16_t *ret_biased)
{
    for (size_t i = 0; i < LANES; i++)
        ret_biased[i] = (int16_t)(rounded(x[i] * inverse, VALUE_MAX) + FR_ROW_LOW_BIAS);
}

/* 16 * high + low, of which low is never negative: so high is rounded down. */
static inline void put_half(const int16_t *biased, int8_t *high)
{
    for (size_t i = 0; i < LANES; i++)
        high[i] = (int8_t)((uint16_t)(biased[i] + 2048) / 16 - 128);
}

float fr_row_encode(const float *x, size_t dims, int8_t *ret_high, uint8_t *ret_low)
{
    float scale = largest(x, dims) / VALUE_MAX;
    float inverse = scale > 0 ? 1 / scale : 0;
    int16_t first[LANES], second[LANES];

    if (!isfinite(inverse)) inverse = scale = 0; /* denormal: as good as nothing */
    for (size_t start = 0; start < dims; start += FR_CODE_DIMS) {
        round_half(x + start, inverse, first);
        round_half(x + start + LANES, inverse, second);
        put_half(first, ret_high + start);
        put_half(second, ret_high + start + LANES);
        for (size_t i = 0; i < LANES; i++)
            ret_low[start / 2 + i] = (uint8_t)((first[i] & 15) | (second[i] & 15) << 4);
    }
    return scale;
}

float fr_row_encode_coarse(const float *x, size_t dims, int8_t *ret_high, uint8_t *ret_low)
{
    float scale = largest(x, dims) / (16 * INT8_MAX);
    float inverse = scale > 0 ? 1 / (16 * scale) : 0;

    if (!isfinite(inverse)) inverse = scale = 0;
    memset(ret_low, FR_ROW_LOW_BIAS << 4 | FR_ROW_LOW_BIAS, fr_row_low_size(dims));
    for (size_t i = 0; i < dims; i++)
        ret_high[i] = (int8_t)rounded(x[i] * inverse, INT8_MAX);
    return scale;
}

void fr_row_decode(const int8_t *high, const uint8_t *low, float scale, size_t dims, float *ret_x)
{
    for (size_t start = 0; start < dims; start += FR_CODE_DIMS)
        for (size_t i = 0; i < 16; i++) {
            const int8_t *first = high + start + i;
            int bits = low[start / 2 + i];

            ret_x[start + i] = scale * (float)(first[0] * 16 + (bits & 15) - FR_ROW_LOW_BIAS);
            ret_x[start + 16 + i] = scale * (float)(first[16] * 16 + (bits >> 4) - FR_ROW_LOW_BIAS);
        }
}

/* Bytes in which group t has the low nibble and group 4 + t the high one. */
static void put_signs(uint8_t *bytes, uint32_t signs)
{
    for (size_t t = 0; t < 4; t++)
        bytes[t] = (uint8_t)((signs >> (4 * t) & 15u) | (signs >> (16 + 4 * t) & 15u) << 4);
}

static void put_factors(uint8_t *tail, size_t lane, float add, float factor)
{
    if (!(fabsf(add) <= FR_HALF_MAX) || !(fabsf(factor) <= FR_HALF_MAX)) {
        add = -FR_HALF_MAX;
        factor = 0;
    }
    fr_put_u16(tail + 2 * lane, fr_half_from_float(add));
    fr_put_u16(tail + 2 * (FR_BLOCK_VECTORS + lane), fr_half_from_float(factor));
}

/* Signs that are taken at once; longer vectors take them in parts. */
#define SIGNS_MAX 64

float fr_block_put(uint8_t *block, size_t lane, const float *x, const float *centroid, size_t dims)
{
    size_t row_count = dims / FR_CODE_DIMS;
    struct fr_residual sum = {0};
    uint32_t signs[SIGNS_MAX];

    for (size_t row = 0; row < row_count; row += SIGNS_MAX) {
        size_t rows = FR_MIN(row_count - row, (size_t)SIGNS_MAX), start = row * FR_CODE_DIMS;
        struct fr_residual part =
                fr_kernels_get()->residual(x + start, centroid + start, rows * FR_CODE_DIMS, signs);

        for (size_t i = 0; i < rows; i++)
            put_signs(block + (row + i) * FR_BLOCK_ROW_SIZE + 4 * lane, signs[i]);
        sum.square += part.square;
        sum.magnitude += part.magnitude;
        sum.signed_c += part.signed_c;
    }
    float a = sum.magnitude > 0 ? sum.square / sum.magnitude : 0;
    put_factors(block + row_count * FR_BLOCK_ROW_SIZE, lane, sum.square + 2 * a * sum.signed_c,
            -2 * a);
    return sum.square;
}

void fr_block_copy(uint8_t *block, size_t lane, const uint8_t *from, size_t from_lane,
        size_t block_size)
{
    size_t tail = block_size - FR_BLOCK_TAIL_SIZE, factor = tail + 2 * FR_BLOCK_VECTORS;

    for (size_t row = 0; row < tail; row += FR_BLOCK_ROW_SIZE)
        memcpy(block + row + 4 * lane, from + row + 4 * from_lane, 4);
    memcpy(block + tail + 2 * lane, from + tail + 2 * from_lane, 2);
    memcpy(block + factor + 2 * lane, from + factor + 2 * from_lane, 2);
}

void fr_block_hide(uint8_t *block, size_t block_size, size_t lane)
{
    put_factors(block + block_size - FR_BLOCK_TAIL_SIZE, lane, FR_HALF_MAX, 0);
}

/* The sums of four values with signs, bit i of the index saying plus for value i. */
static void sign_sums(const float *values, float ret_sums[16])
{
    float a = values[0], b = values[1], c = values[2], d = values[3];
    float low[4] = {-a - b, a - b, b - a, a + b};
    float high[4] = {-c - d, c - d, d - c, c + d};

    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            ret_sums[4 * i + j] = low[j] + high[i];
}

/* Four values' sums lie between minus and plus this. */
static float group_span(const float *values)
{
    return fabsf(values[0]) + fabsf(values[1]) + fabsf(values[2]) + fabsf(values[3]);
}

void fr_query_table_fill(const float *query, size_t dims, uint8_t *ret_table, float *ret_step,
        float *ret_base)
{
    float widest = 0, base = 0;

    for (size_t i = 0; i < dims; i += 4) {
        float span = group_span(query + i);

        widest = span > widest ? span : widest;
        base -= span;
    }
    float step = 2 * widest / UINT8_MAX;
    float inverse = step > 0 ? 1 / step : 0;
    if (!isfinite(inverse)) inverse = step = 0;
    for (size_t i = 0; i < dims; i += 4) {
        float span = group_span(query + i), sums[16];

        sign_sums(query + i, sums);
        /* Not below zero, so that to add a half and cut off rounds to the nearest. */
        for (size_t j = 0; j < 16; j++) {
            float value = (sums[j] + span) * inverse + 0.5f;
            ret_table[i * 4 + j] = (uint8_t)(int)(value < UINT8_MAX ? value : UINT8_MAX);
        }
    }
    *ret_step = step;
    *ret_base = base;
}
