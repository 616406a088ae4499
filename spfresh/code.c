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

static float largest(const float *x, size_t dims)
{
    float most = 0;

    for (size_t i = 0; i < dims; i++)
        most = fmaxf(most, fabsf(x[i]));
    return most;
}

static void put_low(uint8_t *low, size_t i, unsigned bits)
{
    uint8_t *byte = low + i / 32 * 16 + i % 16;

    *byte = (uint8_t)(i % 32 < 16 ? (*byte & 0xf0u) | bits : (*byte & 15u) | bits << 4);
}

static int rounded(float value, int limit)
{
    long nearest = lrintf(value);

    return nearest > limit ? limit : nearest < -limit ? -limit : (int)nearest;
}

float fr_row_encode(const float *x, size_t dims, int8_t *ret_high, uint8_t *ret_low)
{
    float scale = largest(x, dims) / VALUE_MAX;
    float inverse = scale > 0 ? 1 / scale : 0;

    if (!isfinite(inverse)) inverse = scale = 0; /* denormal: as good as nothing */
    memset(ret_low, 0, fr_row_low_size(dims));
    for (size_t i = 0; i < dims; i++) {
        int biased = rounded(x[i] * inverse, VALUE_MAX) + FR_ROW_LOW_BIAS;
        int high = biased >= 0 ? biased / 16 : -((15 - biased) / 16);

        ret_high[i] = (int8_t)high;
        put_low(ret_low, i, (unsigned)(biased - 16 * high));
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
