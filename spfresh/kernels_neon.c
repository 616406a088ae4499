/*
 * kernels_neon.c - with NEON, which every 64-bit ARM has: sixteen registers of four lanes.
 *
 * They are half of the registers, so what a step works on has the other half.
 *
 * In a scan LD4 takes a row of a block apart as it loads it: of the four bytes that each of the 16
 * vectors has in it, the first go into one register, the second into another, and so on. TBL then
 * looks sixteen nibbles up at once in the table of sixteen bytes that is theirs.
 *
 * Loops over registers are unrolled by order. GCC would do so by itself, but not before it has
 * decided that what is indexed stays in memory.
 */
#include <arm_neon.h>
#include <string.h>

#include "base/cpu.h"
#include "spfresh/kernels_priv.h"

#define REGISTERS 16
static_assert(REGISTERS * 4 == FR_LANES, "a register has four lanes");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "halves are loaded as they lie");

struct lanes {
    float32x4_t v[REGISTERS];
};

/* See the definition for the order. */
FR_INLINE float fold(const struct lanes *lanes)
{
    const float32x4_t *v = lanes->v;
    float32x4_t sums[4];

#pragma GCC unroll 16
    for (size_t i = 0; i < 4; i++)
        sums[i] = vaddq_f32(vaddq_f32(v[i], v[i + 4]), vaddq_f32(v[i + 8], v[i + 12]));
    float32x4_t four = vaddq_f32(vaddq_f32(sums[0], sums[2]), vaddq_f32(sums[1], sums[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));

    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

FR_INLINE void add_l2(struct lanes *lanes, const float *a, const float *b)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < REGISTERS; i++) {
        float32x4_t difference = vsubq_f32(vld1q_f32(a + 4 * i), vld1q_f32(b + 4 * i));
        lanes->v[i] = vfmaq_f32(lanes->v[i], difference, difference);
    }
}

FR_INLINE void add_dot(struct lanes *lanes, const float *a, const float *b)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < REGISTERS; i++)
        lanes->v[i] = vfmaq_f32(lanes->v[i], vld1q_f32(a + 4 * i), vld1q_f32(b + 4 * i));
}

/* What is left when the lanes are no longer all filled, followed by zeros, which change no sum. */
struct tail {
    float a[FR_LANES], b[FR_LANES];
};

FR_INLINE void fill_tail(struct tail *tail, const float *a, const float *b, size_t n)
{
    memset(tail, 0, sizeof(*tail));
    memcpy(tail->a, a, n * sizeof(float));
    memcpy(tail->b, b, n * sizeof(float));
}

static float l2(const float *a, const float *b, size_t n)
{
    struct lanes lanes = {0};
    struct tail tail;

    for (; n >= FR_LANES; n -= FR_LANES, a += FR_LANES, b += FR_LANES)
        add_l2(&lanes, a, b);
    if (n > 0) {
        fill_tail(&tail, a, b, n);
        add_l2(&lanes, tail.a, tail.b);
    }
    return fold(&lanes);
}

static float dot(const float *a, const float *b, size_t n)
{
    struct lanes lanes = {0};
    struct tail tail;

    for (; n >= FR_LANES; n -= FR_LANES, a += FR_LANES, b += FR_LANES)
        add_dot(&lanes, a, b);
    if (n > 0) {
        fill_tail(&tail, a, b, n);
        add_dot(&lanes, tail.a, tail.b);
    }
    return fold(&lanes);
}

static struct fr_dots dots(const float *a, const float *b, size_t n)
{
    return (struct fr_dots){.ab = dot(a, b, n), .aa = dot(a, a, n), .bb = dot(b, b, n)};
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t dims)
{
    int32x4_t low = vdupq_n_s32(0), high = vdupq_n_s32(0);

    for (size_t i = 0; i < dims; i += 16) {
        int8x16_t x = vld1q_s8(a + i), y = vld1q_s8(b + i);

        low = vpadalq_s16(low, vmull_s8(vget_low_s8(x), vget_low_s8(y)));
        high = vpadalq_s16(high, vmull_high_s8(x, y));
    }
    return vaddvq_s32(vaddq_s32(low, high));
}

/* The values of FR_CODE_DIMS codes. They fill half of the lanes: the registers from first on. */
#define VALUE_REGISTERS (FR_CODE_DIMS / 4)

struct values {
    float32x4_t v[VALUE_REGISTERS];
};

/* Eight codes, with nothing in their low four bits. */
FR_INLINE int16x8_t load_codes(const int8_t *codes)
{
    return vshll_n_s8(vld1_s8(codes), 4);
}

FR_INLINE void put_values(struct values *values, size_t eight, int16x8_t codes)
{
    values->v[2 * eight] = vcvtq_f32_s32(vmovl_s16(vget_low_s16(codes)));
    values->v[2 * eight + 1] = vcvtq_f32_s32(vmovl_high_s16(codes));
}

FR_INLINE struct values load_row8(const int8_t *high)
{
    struct values values;

#pragma GCC unroll 16
    for (size_t i = 0; i < FR_CODE_DIMS / 8; i++)
        put_values(&values, i, load_codes(high + 8 * i));
    return values;
}

/* Four bits of each of sixteen codes as what they add. */
FR_INLINE int8x16_t without_bias(uint8x16_t nibbles)
{
    return vsubq_s8(vreinterpretq_s8_u8(nibbles), vdupq_n_s8(FR_ROW_LOW_BIAS));
}

FR_INLINE struct values load_row12(const int8_t *high, const uint8_t *low)
{
    uint8x16_t both = vld1q_u8(low);
    int8x16_t first = without_bias(vandq_u8(both, vdupq_n_u8(15)));
    int8x16_t second = without_bias(vshrq_n_u8(both, 4));
    struct values values;

    put_values(&values, 0, vaddw_s8(load_codes(high), vget_low_s8(first)));
    put_values(&values, 1, vaddw_high_s8(load_codes(high + 8), first));
    put_values(&values, 2, vaddw_s8(load_codes(high + 16), vget_low_s8(second)));
    put_values(&values, 3, vaddw_high_s8(load_codes(high + 24), second));
    return values;
}

FR_INLINE void add_values_l2(struct lanes *lanes, size_t first, const float *query,
        struct values values, float32x4_t scale)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < VALUE_REGISTERS; i++) {
        float32x4_t difference = vfmsq_f32(vld1q_f32(query + 4 * i), scale, values.v[i]);
        lanes->v[first + i] = vfmaq_f32(lanes->v[first + i], difference, difference);
    }
}

FR_INLINE void add_values_dot(struct lanes *lanes, size_t first, const float *query,
        struct values values)
{
#pragma GCC unroll 16
    for (size_t i = 0; i < VALUE_REGISTERS; i++)
        lanes->v[first + i] = vfmaq_f32(lanes->v[first + i], vld1q_f32(query + 4 * i), values.v[i]);
}

FR_INLINE float32x4_t broadcast(float value)
{
    return vdupq_n_f32(value);
}

#include "spfresh/kernels_rows.h"

/* Sixteen comparisons; a register of bytes has one in each. */
struct comparisons {
    uint32x4_t v[4];
};

/* A bit for each that holds. */
FR_INLINE uint32_t bits_of(const struct comparisons *holds)
{
    const uint8x16_t weights = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    uint16x8_t low =
            vuzp1q_u16(vreinterpretq_u16_u32(holds->v[0]), vreinterpretq_u16_u32(holds->v[1]));
    uint16x8_t high =
            vuzp1q_u16(vreinterpretq_u16_u32(holds->v[2]), vreinterpretq_u16_u32(holds->v[3]));
    uint8x16_t bytes = vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));

    bytes = vandq_u8(bytes, weights);
    for (int i = 0; i < 3; i++)
        bytes = vpaddq_u8(bytes, bytes);
    return vgetq_lane_u16(vreinterpretq_u16_u8(bytes), 0);
}

/* Of a block's vectors, in 16 bits each. */
struct part_sums {
    uint16x8_t low, high;
};

/* One row adds eight bytes to a sum, in pairs: so an addition waits for half as many others. */
FR_INLINE void add_row(struct part_sums *sums, const uint8_t *row, const uint8_t *table)
{
    uint8x16x4_t signs = vld4q_u8(row);

#pragma GCC unroll 16
    for (size_t i = 0; i < 4; i++) {
        uint8x16_t low =
                vqtbl1q_u8(vld1q_u8(table + 16 * i), vandq_u8(signs.val[i], vdupq_n_u8(15)));
        uint8x16_t high = vqtbl1q_u8(vld1q_u8(table + 64 + 16 * i), vshrq_n_u8(signs.val[i], 4));

        sums->low = vaddq_u16(sums->low, vaddl_u8(vget_low_u8(low), vget_low_u8(high)));
        sums->high = vaddq_u16(sums->high, vaddl_high_u8(low, high));
    }
}

/* So many rows fit in 16 bits: 8 * 255 for each. */
#define ROWS_AT_ONCE 32
static_assert(ROWS_AT_ONCE * 8 * 255 <= UINT16_MAX, "sums of 16 bits do not overflow");

struct sums {
    uint32x4_t v[FR_BLOCK_VECTORS / 4];
};

FR_INLINE void add_part(struct sums *sums, const struct part_sums *part)
{
    sums->v[0] = vaddw_u16(sums->v[0], vget_low_u16(part->low));
    sums->v[1] = vaddw_high_u16(sums->v[1], part->low);
    sums->v[2] = vaddw_u16(sums->v[2], vget_low_u16(part->high));
    sums->v[3] = vaddw_high_u16(sums->v[3], part->high);
}

FR_INLINE struct sums sum_block(const uint8_t *block, const struct fr_scan *scan)
{
    struct sums sums = {0};

    for (size_t row = 0; row < scan->row_count;) {
        size_t end = row + ROWS_AT_ONCE < scan->row_count ? row + ROWS_AT_ONCE : scan->row_count;
        struct part_sums part = {vdupq_n_u16(0), vdupq_n_u16(0)};

        for (; row < end; row++)
            add_row(&part, block + row * FR_BLOCK_ROW_SIZE, scan->table + row * FR_TABLE_ROW_SIZE);
        add_part(&sums, &part);
    }
    return sums;
}

FR_INLINE float32x4_t load_halves(const uint8_t *halves)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(halves)));
}

/* The bounds of a block's vectors, and a bit for each that is wanted. */
FR_INLINE uint32_t scan_block(const uint8_t *block, const struct fr_scan *scan,
        float ret_bounds[FR_BLOCK_VECTORS])
{
    struct sums sums = sum_block(block, scan);
    const uint8_t *adds = block + scan->row_count * FR_BLOCK_ROW_SIZE;
    const uint8_t *factors = adds + 2 * FR_BLOCK_VECTORS;
    float32x4_t step = vdupq_n_f32(scan->step), base = vdupq_n_f32(scan->base + scan->slack);
    struct comparisons fits;

#pragma GCC unroll 16
    for (size_t i = 0; i < FR_BLOCK_VECTORS / 4; i++) {
        float32x4_t add = vaddq_f32(load_halves(adds + 8 * i), vdupq_n_f32(scan->offset));
        float32x4_t product = vfmaq_f32(base, step, vcvtq_f32_u32(sums.v[i]));
        float32x4_t bounds = vfmaq_f32(add, load_halves(factors + 8 * i), product);

        vst1q_f32(ret_bounds + 4 * i, bounds);
        fits.v[i] = vcleq_f32(bounds, vdupq_n_f32(scan->limit));
    }
    return bits_of(&fits);
}

FR_RACES static uint32_t scan(const uint8_t *block, const struct fr_scan *scan,
        float ret_bounds[FR_BLOCK_VECTORS])
{
    return scan_block(block, scan, ret_bounds);
}

FR_RACES static size_t scan_run(const uint8_t *blocks, size_t count, const struct fr_scan *scan,
        float *ret_bounds, uint32_t *ret_places)
{
    size_t block_size = scan->row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
    size_t found = 0;

    for (size_t place = 0; place < count; place += FR_BLOCK_VECTORS, blocks += block_size) {
        float bounds[FR_BLOCK_VECTORS];
        uint32_t wanted = scan_block(blocks, scan, bounds);

        if (count - place < FR_BLOCK_VECTORS) wanted &= (1u << (count - place)) - 1;
        for (; wanted != 0; wanted &= wanted - 1) {
            unsigned lane = (unsigned)__builtin_ctz(wanted);

            ret_bounds[found] = bounds[lane];
            ret_places[found++] = (uint32_t)(place + lane);
        }
    }
    return found;
}

static size_t count_within(const float *values, size_t n, float limit)
{
    size_t count = 0, i = 0;

    for (; i + 4 <= n; i += 4) {
        uint32x4_t fits = vcleq_f32(vld1q_f32(values + i), vdupq_n_f32(limit));
        count += vaddvq_u32(vshrq_n_u32(fits, 31));
    }
    for (; i < n; i++)
        count += values[i] <= limit;
    return count;
}

/* With the sign turned of those that have a bit in signs. */
FR_INLINE float32x4_t turn(float32x4_t x, uint32x4_t signs)
{
    return vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(x), signs));
}

/* Sums and differences of floats half apart, where half is less than a register's four. */
FR_INLINE float32x4_t mix_within(float32x4_t x)
{
    const uint32x4_t odd1 = vreinterpretq_u32_u64(vdupq_n_u64((uint64_t)1 << 63));
    const uint32x4_t odd2 = vcombine_u32(vdup_n_u32(0), vdup_n_u32((uint32_t)1 << 31));

    x = vaddq_f32(vrev64q_f32(x), turn(x, odd1));
    return vaddq_f32(vextq_f32(x, x, 2), turn(x, odd2));
}

struct residual_lanes {
    struct lanes square, magnitude, signed_c;
};

/* Four dimensions; answers which of them are plus. */
FR_INLINE uint32x4_t add_residual(struct residual_lanes *lanes, size_t i, const float *x,
        const float *c)
{
    float32x4_t centroid = vld1q_f32(c);
    float32x4_t r = vsubq_f32(vld1q_f32(x), centroid);
    uint32x4_t plus = vcgezq_f32(r);

    lanes->square.v[i] = vfmaq_f32(lanes->square.v[i], r, r);
    lanes->magnitude.v[i] = vaddq_f32(lanes->magnitude.v[i], vabsq_f32(r));
    lanes->signed_c.v[i] =
            vaddq_f32(lanes->signed_c.v[i], vbslq_f32(plus, centroid, vnegq_f32(centroid)));
    return plus;
}

/* Sixteen dimensions; answers their signs. */
FR_INLINE uint32_t add_residuals(struct residual_lanes *lanes, size_t first, const float *x,
        const float *c)
{
    struct comparisons plus;

#pragma GCC unroll 16
    for (size_t i = 0; i < 4; i++)
        plus.v[i] = add_residual(lanes, first + i, x + 4 * i, c + 4 * i);
    return bits_of(&plus);
}

static struct fr_residual residual(const float *x, const float *c, size_t dims, uint32_t *ret_signs)
{
    struct residual_lanes lanes = {0};

    for (size_t i = 0; i < dims; i += FR_CODE_DIMS) {
        size_t at = i % FR_LANES / 4;
        uint32_t low = add_residuals(&lanes, at, x + i, c + i);

        *ret_signs++ = low | add_residuals(&lanes, at + 4, x + i + 16, c + i + 16) << 16;
    }
    return (struct fr_residual){.square = fold(&lanes.square),
            .magnitude = fold(&lanes.magnitude),
            .signed_c = fold(&lanes.signed_c)};
}

static void hadamard(float *x, size_t n)
{
    if (n < 4) {
        fr_kernels_scalar.hadamard(x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 4)
        vst1q_f32(x + i, mix_within(vld1q_f32(x + i)));
    for (size_t half = 4; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half)
            for (size_t i = start; i < start + half; i += 4) {
                float32x4_t a = vld1q_f32(x + i), b = vld1q_f32(x + i + half);

                vst1q_f32(x + i, vaddq_f32(a, b));
                vst1q_f32(x + i + half, vsubq_f32(a, b));
            }
}

const struct fr_kernels fr_kernels_neon = {
        .name = "neon",
        .needs = FR_CPU_NEON,
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
