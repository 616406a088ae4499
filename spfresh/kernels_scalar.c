/* kernels_scalar.c - the definition of each kernel: short, obvious, and what others are held to. */
#include <math.h>

#include "base/coding.h"
#include "spfresh/half.h"
#include "spfresh/kernels_priv.h"

/* The order in which lanes are added: four groups of sixteen, then one half to the other. */
static float fold(const float lanes[FR_LANES])
{
    float sums[16];

    for (size_t i = 0; i < 16; i++)
        sums[i] = (lanes[i] + lanes[i + 16]) + (lanes[i + 32] + lanes[i + 48]);
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

static float l2(const float *a, const float *b, size_t n)
{
    float lanes[FR_LANES] = {0};

    for (size_t i = 0; i < n; i++) {
        float difference = a[i] - b[i];
        lanes[i % FR_LANES] = fmaf(difference, difference, lanes[i % FR_LANES]);
    }
    return fold(lanes);
}

static float dot(const float *a, const float *b, size_t n)
{
    float lanes[FR_LANES] = {0};

    for (size_t i = 0; i < n; i++)
        lanes[i % FR_LANES] = fmaf(a[i], b[i], lanes[i % FR_LANES]);
    return fold(lanes);
}

static struct fr_dots dots(const float *a, const float *b, size_t n)
{
    return (struct fr_dots){.ab = dot(a, b, n), .aa = dot(a, a, n), .bb = dot(b, b, n)};
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t dims)
{
    int32_t sum = 0;

    for (size_t i = 0; i < dims; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Of 32 dimensions the first half is in the low nibbles of 16 bytes, the second in the high ones.
 */
static int low_bits(const uint8_t *low, size_t i)
{
    uint8_t both = low[i / 32 * 16 + i % 16];

    return i % 32 < 16 ? both & 15 : both >> 4;
}

/* Without low bits a code stands for the middle of what it may have been. */
static float code_value(const int8_t *high, const uint8_t *low, size_t i)
{
    int bits = low == NULL ? FR_ROW_LOW_BIAS : low_bits(low, i);

    return (float)(high[i] * 16 + bits - FR_ROW_LOW_BIAS);
}

static float l2_row12(const float *query, const int8_t *high, const uint8_t *low, float scale,
        size_t dims)
{
    float lanes[FR_LANES] = {0};

    for (size_t i = 0; i < dims; i++) {
        float difference = fmaf(-scale, code_value(high, low, i), query[i]);
        lanes[i % FR_LANES] = fmaf(difference, difference, lanes[i % FR_LANES]);
    }
    return fold(lanes);
}

static float dot_row12(const float *query, const int8_t *high, const uint8_t *low, float scale,
        size_t dims)
{
    float lanes[FR_LANES] = {0};

    for (size_t i = 0; i < dims; i++)
        lanes[i % FR_LANES] = fmaf(query[i], code_value(high, low, i), lanes[i % FR_LANES]);
    return scale * fold(lanes);
}

FR_RACES static float l2_row8(const float *query, const int8_t *high, float scale, size_t dims)
{
    return l2_row12(query, high, NULL, scale, dims);
}

static float dot_row8(const float *query, const int8_t *high, float scale, size_t dims)
{
    return dot_row12(query, high, NULL, scale, dims);
}

/* What the tables give for one vector's signs; a byte has two groups of four. */
FR_INLINE uint32_t sum_of_lane(const uint8_t *block, const struct fr_scan *scan, size_t lane)
{
    uint32_t sum = 0;

    for (size_t row = 0; row < scan->row_count; row++) {
        const uint8_t *bytes = block + row * FR_BLOCK_ROW_SIZE + lane * 4;
        const uint8_t *table = scan->table + row * FR_TABLE_ROW_SIZE;

        for (size_t i = 0; i < 4; i++)
            sum += table[i * 16 + (bytes[i] & 15u)] + table[64 + i * 16 + (bytes[i] >> 4)];
    }
    return sum;
}

FR_INLINE float bound_of_lane(const uint8_t *block, const struct fr_scan *scan, size_t lane)
{
    const uint8_t *adds = block + scan->row_count * FR_BLOCK_ROW_SIZE;
    const uint8_t *factors = adds + sizeof(uint16_t) * FR_BLOCK_VECTORS;
    float add = fr_half_to_float(fr_get_u16(adds + 2 * lane));
    float factor = fr_half_to_float(fr_get_u16(factors + 2 * lane));
    float product =
            fmaf(scan->step, (float)sum_of_lane(block, scan, lane), scan->base + scan->slack);

    return fmaf(factor, product, add + scan->offset);
}

FR_RACES static uint32_t scan(const uint8_t *block, const struct fr_scan *scan,
        float ret_bounds[FR_BLOCK_VECTORS])
{
    uint32_t wanted = 0;

    for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++) {
        ret_bounds[lane] = bound_of_lane(block, scan, lane);
        if (ret_bounds[lane] <= scan->limit) wanted |= 1u << lane;
    }
    return wanted;
}

FR_RACES static size_t scan_run(const uint8_t *blocks, size_t count, const struct fr_scan *scan,
        float *ret_bounds, uint32_t *ret_places)
{
    size_t block_size = scan->row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
    size_t wanted = 0;

    for (size_t place = 0; place < count; place++) {
        const uint8_t *block = blocks + place / FR_BLOCK_VECTORS * block_size;
        float bound = bound_of_lane(block, scan, place % FR_BLOCK_VECTORS);

        if (!(bound <= scan->limit)) continue;
        ret_bounds[wanted] = bound;
        ret_places[wanted++] = (uint32_t)place;
    }
    return wanted;
}

static size_t count_within(const float *values, size_t n, float limit)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += values[i] <= limit;
    return count;
}

static struct fr_residual residual(const float *x, const float *c, size_t dims, uint32_t *ret_signs)
{
    float squares[FR_LANES] = {0}, magnitudes[FR_LANES] = {0}, signed_cs[FR_LANES] = {0};

    for (size_t i = 0; i < dims; i++) {
        float r = x[i] - c[i];
        size_t lane = i % FR_LANES, bit = i % FR_CODE_DIMS;

        squares[lane] = fmaf(r, r, squares[lane]);
        magnitudes[lane] += fabsf(r);
        signed_cs[lane] += r >= 0 ? c[i] : -c[i];
        if (bit == 0) ret_signs[i / FR_CODE_DIMS] = 0;
        ret_signs[i / FR_CODE_DIMS] |= (uint32_t)(r >= 0) << bit;
    }
    return (struct fr_residual){
            .square = fold(squares), .magnitude = fold(magnitudes), .signed_c = fold(signed_cs)};
}

static void hadamard(float *x, size_t n)
{
    for (size_t half = 1; half < n; half *= 2)
        for (size_t i = 0; i < n; i++) {
            if (i & half) continue;
            float a = x[i], b = x[i + half];

            x[i] = a + b;
            x[i + half] = a - b;
        }
}

const struct fr_kernels fr_kernels_scalar = {
        .name = "scalar",
        .l2 = l2,
        .dot = dot,
        .dots = dots,
        .dot_i8 = dot_i8,
        .l2_row8 = l2_row8,
        .dot_row8 = dot_row8,
        .l2_row12 = l2_row12,
        .dot_row12 = dot_row12,
        .scan = scan,
        .scan_run = scan_run,
        .count_within = count_within,
        .residual = residual,
        .hadamard = hadamard,
};
