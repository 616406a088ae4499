/* kernels_avx2.c - with AVX2, FMA and F16C: eight registers of eight lanes. */
#include <immintrin.h>
#include <string.h>

#include "base/cpu.h"
#include "spfresh/kernels_priv.h"

#define REGISTERS 8
static_assert(REGISTERS * 8 == FR_LANES, "a register has eight lanes");

struct lanes {
    __m256 v[REGISTERS];
};

/* See the definition for the order. */
FR_INLINE float fold(const struct lanes *lanes)
{
    const __m256 *v = lanes->v;
    __m256 low = _mm256_add_ps(_mm256_add_ps(v[0], v[2]), _mm256_add_ps(v[4], v[6]));
    __m256 high = _mm256_add_ps(_mm256_add_ps(v[1], v[3]), _mm256_add_ps(v[5], v[7]));
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

FR_INLINE void add_l2(struct lanes *lanes, const float *a, const float *b)
{
    for (size_t i = 0; i < REGISTERS; i++) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + 8 * i), _mm256_loadu_ps(b + 8 * i));
        lanes->v[i] = _mm256_fmadd_ps(d, d, lanes->v[i]);
    }
}

FR_INLINE void add_dot(struct lanes *lanes, const float *a, const float *b)
{
    for (size_t i = 0; i < REGISTERS; i++)
        lanes->v[i] = _mm256_fmadd_ps(_mm256_loadu_ps(a + 8 * i), _mm256_loadu_ps(b + 8 * i),
                lanes->v[i]);
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
    __m256i sum = _mm256_setzero_si256();

    for (size_t i = 0; i < dims; i += 16) {
        __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(a + i)));
        __m256i y = _mm256_cvtepi8_epi16(_mm_loadu_si128((const void *)(b + i)));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(x, y));
    }
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    four = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
    return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 1)));
}

/* Eight codes as numbers. */
FR_INLINE __m256i load_codes(const int8_t *codes)
{
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const void *)codes));
}

/* The values of FR_CODE_DIMS codes. They fill half of the lanes: the registers from first on. */
#define VALUE_REGISTERS (FR_CODE_DIMS / 8)

struct values {
    __m256 v[VALUE_REGISTERS];
};

FR_INLINE struct values load_row8(const int8_t *high)
{
    struct values values;

    for (size_t i = 0; i < VALUE_REGISTERS; i++)
        values.v[i] = _mm256_cvtepi32_ps(_mm256_slli_epi32(load_codes(high + 8 * i), 4));
    return values;
}

FR_INLINE struct values load_row12(const int8_t *high, const uint8_t *low)
{
    const __m128i nibbles = _mm_set1_epi8(15);
    const __m256i bias = _mm256_set1_epi32(FR_ROW_LOW_BIAS);
    __m128i both = _mm_loadu_si128((const void *)low);
    __m128i halves[2] = {
            _mm_and_si128(both, nibbles), _mm_and_si128(_mm_srli_epi16(both, 4), nibbles)};
    struct values values;

    for (size_t i = 0; i < VALUE_REGISTERS; i++) {
        __m128i half =
                i % 2 == 0 ? halves[i / 2] : _mm_unpackhi_epi64(halves[i / 2], halves[i / 2]);
        __m256i value = _mm256_slli_epi32(load_codes(high + 8 * i), 4);

        value = _mm256_sub_epi32(_mm256_add_epi32(value, _mm256_cvtepu8_epi32(half)), bias);
        values.v[i] = _mm256_cvtepi32_ps(value);
    }
    return values;
}

FR_INLINE void add_values_l2(struct lanes *lanes, size_t first, const float *query,
        struct values values, __m256 scale)
{
    for (size_t i = 0; i < VALUE_REGISTERS; i++) {
        __m256 difference = _mm256_fnmadd_ps(scale, values.v[i], _mm256_loadu_ps(query + 8 * i));
        lanes->v[first + i] = _mm256_fmadd_ps(difference, difference, lanes->v[first + i]);
    }
}

FR_INLINE void add_values_dot(struct lanes *lanes, size_t first, const float *query,
        struct values values)
{
    for (size_t i = 0; i < VALUE_REGISTERS; i++)
        lanes->v[first + i] =
                _mm256_fmadd_ps(_mm256_loadu_ps(query + 8 * i), values.v[i], lanes->v[first + i]);
}

FR_INLINE __m256 broadcast(float value)
{
    return _mm256_set1_ps(value);
}

#include "spfresh/kernels_rows.h"

/* Byte i of each of sixteen vectors; columns[0] has bytes 0 and 1, columns[1] has 2 and 3. */
struct columns {
    __m256i v[2];
};

/*
 * A row has four bytes of each vector side by side, but a table of sixteen bytes serves one of the
 * four. So transpose: first within four vectors, then among the quarters of the row.
 */
FR_INLINE struct columns transpose(const uint8_t *row)
{
    const __m256i within = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6,
            10, 14, 3, 7, 11, 15));
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a = _mm256_shuffle_epi8(_mm256_loadu_si256((const void *)row), within);
    __m256i b = _mm256_shuffle_epi8(_mm256_loadu_si256((const void *)(row + 32)), within);
    /* a: quarters 0 and 1, each of four columns; b: quarters 2 and 3. */
    __m256i low = _mm256_unpacklo_epi32(a, b);  /* columns 0, 1 of quarters 0, 2 | 1, 3 */
    __m256i high = _mm256_unpackhi_epi32(a, b); /* columns 2, 3 of the same */

    return (struct columns){
            {_mm256_permutevar8x32_epi32(low, order), _mm256_permutevar8x32_epi32(high, order)}};
}

/* Sixteen sums of 16 bits each, in the order in which the vectors come out of transpose. */
FR_INLINE __m256i add_bytes(__m256i sums, __m256i bytes)
{
    sums = _mm256_add_epi16(sums, _mm256_cvtepu8_epi16(_mm256_castsi256_si128(bytes)));
    return _mm256_add_epi16(sums, _mm256_cvtepu8_epi16(_mm256_extracti128_si256(bytes, 1)));
}

/* One row adds eight bytes to a sum. */
FR_INLINE __m256i add_row(__m256i sums, const uint8_t *row, const uint8_t *table)
{
    const __m256i nibbles = _mm256_set1_epi8(15);
    struct columns columns = transpose(row);

    for (size_t i = 0; i < 2; i++) {
        __m256i low = _mm256_loadu_si256((const void *)(table + 32 * i));
        __m256i high = _mm256_loadu_si256((const void *)(table + 64 + 32 * i));
        __m256i signs = columns.v[i];

        sums = add_bytes(sums, _mm256_shuffle_epi8(low, _mm256_and_si256(signs, nibbles)));
        sums = add_bytes(sums,
                _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16(signs, 4), nibbles)));
    }
    return sums;
}

/* So many rows fit in 16 bits: 8 * 255 for each. */
#define ROWS_AT_ONCE 32
static_assert(ROWS_AT_ONCE * 8 * 255 <= UINT16_MAX, "sums of 16 bits do not overflow");

struct sums {
    __m256i v[2];
};

FR_INLINE struct sums sum_block(const uint8_t *block, const struct fr_scan *scan)
{
    struct sums sums = {{_mm256_setzero_si256(), _mm256_setzero_si256()}};

    for (size_t row = 0; row < scan->row_count;) {
        size_t end = row + ROWS_AT_ONCE < scan->row_count ? row + ROWS_AT_ONCE : scan->row_count;
        __m256i part = _mm256_setzero_si256();

        for (; row < end; row++)
            part = add_row(part, block + row * FR_BLOCK_ROW_SIZE,
                    scan->table + row * FR_TABLE_ROW_SIZE);
        sums.v[0] =
                _mm256_add_epi32(sums.v[0], _mm256_cvtepu16_epi32(_mm256_castsi256_si128(part)));
        sums.v[1] = _mm256_add_epi32(sums.v[1],
                _mm256_cvtepu16_epi32(_mm256_extracti128_si256(part, 1)));
    }
    return sums;
}

/* The bounds of a block's vectors, and a bit for each that is wanted. */
FR_INLINE uint32_t scan_block(const uint8_t *block, const struct fr_scan *scan,
        float ret_bounds[FR_BLOCK_VECTORS])
{
    struct sums sums = sum_block(block, scan);
    const uint8_t *adds = block + scan->row_count * FR_BLOCK_ROW_SIZE;
    const uint8_t *factors = adds + 2 * FR_BLOCK_VECTORS;
    __m256 step = _mm256_set1_ps(scan->step), base = _mm256_set1_ps(scan->base + scan->slack);
    uint32_t wanted = 0;

    for (size_t i = 0; i < 2; i++) {
        __m256 add = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(adds + 16 * i)));
        __m256 factor = _mm256_cvtph_ps(_mm_loadu_si128((const void *)(factors + 16 * i)));
        __m256 product = _mm256_fmadd_ps(step, _mm256_cvtepi32_ps(sums.v[i]), base);
        __m256 bounds =
                _mm256_fmadd_ps(factor, product, _mm256_add_ps(add, _mm256_set1_ps(scan->offset)));

        _mm256_storeu_ps(ret_bounds + 8 * i, bounds);
        __m256 fits = _mm256_cmp_ps(bounds, _mm256_set1_ps(scan->limit), _CMP_LE_OQ);
        wanted |= (uint32_t)_mm256_movemask_ps(fits) << (8 * i);
    }
    return wanted;
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
    __m256 limits = _mm256_set1_ps(limit);
    size_t count = 0, i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 fits = _mm256_cmp_ps(_mm256_loadu_ps(values + i), limits, _CMP_LE_OQ);
        count += (size_t)__builtin_popcount((unsigned)_mm256_movemask_ps(fits));
    }
    for (; i < n; i++)
        count += values[i] <= limit;
    return count;
}

/* Sums and differences of floats half apart, where half is less than a register's eight. */
FR_INLINE __m256 mix_within(__m256 x)
{
    const __m256 odd1 = _mm256_castsi256_ps(_mm256_setr_epi32(0, INT32_MIN, 0, INT32_MIN, 0,
            INT32_MIN, 0, INT32_MIN));
    const __m256 odd2 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, INT32_MIN, INT32_MIN, 0, 0,
            INT32_MIN, INT32_MIN));
    const __m256 odd4 = _mm256_castsi256_ps(_mm256_setr_epi32(0, 0, 0, 0, INT32_MIN, INT32_MIN,
            INT32_MIN, INT32_MIN));

    x = _mm256_add_ps(_mm256_permute_ps(x, 0xb1), _mm256_xor_ps(x, odd1));
    x = _mm256_add_ps(_mm256_permute_ps(x, 0x4e), _mm256_xor_ps(x, odd2));
    return _mm256_add_ps(_mm256_permute2f128_ps(x, x, 1), _mm256_xor_ps(x, odd4));
}

struct residual_lanes {
    struct lanes square, magnitude, signed_c;
};

/* Eight dimensions; answers their signs. */
FR_INLINE uint32_t add_residual(struct residual_lanes *lanes, size_t i, const float *x,
        const float *c)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 centroid = _mm256_loadu_ps(c);
    __m256 r = _mm256_sub_ps(_mm256_loadu_ps(x), centroid);
    __m256 plus = _mm256_cmp_ps(r, _mm256_setzero_ps(), _CMP_GE_OQ);

    lanes->square.v[i] = _mm256_fmadd_ps(r, r, lanes->square.v[i]);
    lanes->magnitude.v[i] = _mm256_add_ps(lanes->magnitude.v[i], _mm256_andnot_ps(sign, r));
    lanes->signed_c.v[i] = _mm256_add_ps(lanes->signed_c.v[i],
            _mm256_xor_ps(centroid, _mm256_andnot_ps(plus, sign)));
    return (uint32_t)_mm256_movemask_ps(plus);
}

static struct fr_residual residual(const float *x, const float *c, size_t dims, uint32_t *ret_signs)
{
    struct residual_lanes lanes = {0};

    for (size_t i = 0; i < dims; i += FR_CODE_DIMS) {
        size_t at = i % FR_LANES / 8;
        uint32_t signs = 0;

        for (size_t eight = 0; eight < 4; eight++)
            signs |= add_residual(&lanes, at + eight, x + i + 8 * eight, c + i + 8 * eight)
                     << (8 * eight);
        *ret_signs++ = signs;
    }
    return (struct fr_residual){.square = fold(&lanes.square),
            .magnitude = fold(&lanes.magnitude),
            .signed_c = fold(&lanes.signed_c)};
}

static void hadamard(float *x, size_t n)
{
    if (n < 8) {
        fr_kernels_scalar.hadamard(x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 8)
        _mm256_storeu_ps(x + i, mix_within(_mm256_loadu_ps(x + i)));
    for (size_t half = 8; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half)
            for (size_t i = start; i < start + half; i += 8) {
                __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);

                _mm256_storeu_ps(x + i, _mm256_add_ps(a, b));
                _mm256_storeu_ps(x + i + half, _mm256_sub_ps(a, b));
            }
}

const struct fr_kernels fr_kernels_avx2 = {
        .name = "avx2",
        .needs = FR_CPU_AVX2 | FR_CPU_FMA | FR_CPU_F16C,
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
