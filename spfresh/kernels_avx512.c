/*
 * kernels_avx512.c - with AVX-512, VBMI and VNNI: four registers of sixteen lanes.
 *
 * The scan is what a search spends its time in. A row of a block is one register: 16 vectors with
 * four bytes each, two groups of four signs in a byte. Four tables of sixteen bytes fill a register
 * too, and VPERMB looks 64 bytes up in it by six bits: the group's four signs, and which of the
 * four tables. The byte's place in its vector says the latter. VPDPBUSD then adds the four answers
 * of each vector to its sum of 32 bits. So a row costs a load, a shift, and twice three
 * instructions.
 */
#include <immintrin.h>

#include "base/cpu.h"
#include "spfresh/kernels_priv.h"

#define REGISTERS 4
static_assert(REGISTERS * 16 == FR_LANES, "a register has sixteen lanes");

struct lanes {
    __m512 v[REGISTERS];
};

/* See the definition for the order. */
FR_INLINE float fold(const struct lanes *lanes)
{
    const __m512 *v = lanes->v;
    __m512 sixteen = _mm512_add_ps(_mm512_add_ps(v[0], v[1]), _mm512_add_ps(v[2], v[3]));
    __m256 eight =
            _mm256_add_ps(_mm512_castps512_ps256(sixteen), _mm512_extractf32x8_ps(sixteen, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));

    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* The mask of those of a register's lanes that are among the n left, at place i of them. */
FR_INLINE __mmask16 left(size_t n, size_t i)
{
    if (n <= i) return 0;
    return (__mmask16)(n >= i + 16 ? 0xffffu : ((1u << (n - i)) - 1) & 0xffffu);
}

FR_INLINE __m512 add_l2(__m512 sum, __m512 a, __m512 b)
{
    __m512 difference = _mm512_sub_ps(a, b);

    return _mm512_fmadd_ps(difference, difference, sum);
}

static float l2(const float *a, const float *b, size_t n)
{
    struct lanes lanes = {0};

    for (; n >= FR_LANES; n -= FR_LANES, a += FR_LANES, b += FR_LANES)
        for (size_t i = 0; i < REGISTERS; i++)
            lanes.v[i] =
                    add_l2(lanes.v[i], _mm512_loadu_ps(a + 16 * i), _mm512_loadu_ps(b + 16 * i));
    for (size_t i = 0; i < REGISTERS && n > 16 * i; i++)
        lanes.v[i] = add_l2(lanes.v[i], _mm512_maskz_loadu_ps(left(n, 16 * i), a + 16 * i),
                _mm512_maskz_loadu_ps(left(n, 16 * i), b + 16 * i));
    return fold(&lanes);
}

static float dot(const float *a, const float *b, size_t n)
{
    struct lanes lanes = {0};

    for (; n >= FR_LANES; n -= FR_LANES, a += FR_LANES, b += FR_LANES)
        for (size_t i = 0; i < REGISTERS; i++)
            lanes.v[i] = _mm512_fmadd_ps(_mm512_loadu_ps(a + 16 * i), _mm512_loadu_ps(b + 16 * i),
                    lanes.v[i]);
    for (size_t i = 0; i < REGISTERS && n > 16 * i; i++)
        lanes.v[i] = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(left(n, 16 * i), a + 16 * i),
                _mm512_maskz_loadu_ps(left(n, 16 * i), b + 16 * i), lanes.v[i]);
    return fold(&lanes);
}

static struct fr_dots dots(const float *a, const float *b, size_t n)
{
    return (struct fr_dots){.ab = dot(a, b, n), .aa = dot(a, a, n), .bb = dot(b, b, n)};
}

/* The first factor must be unsigned: it is 128 more than it should be, so 128 b are taken off. */
FR_INLINE __m512i add_dot_i8(__m512i sum, __m512i a, __m512i b)
{
    const __m512i sign = _mm512_set1_epi8((char)-128);

    return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(a, sign), b);
}

FR_INLINE __m512i add_128_times(__m512i sum, __m512i b)
{
    return _mm512_dpbusd_epi32(sum, _mm512_set1_epi8((char)-128), b);
}

static int32_t dot_i8(const int8_t *a, const int8_t *b, size_t dims)
{
    __m512i sum = _mm512_setzero_si512(), excess = _mm512_setzero_si512();
    size_t i = 0;

    for (; i + 64 <= dims; i += 64) {
        __m512i y = _mm512_loadu_si512((const void *)(b + i));

        sum = add_dot_i8(sum, _mm512_loadu_si512((const void *)(a + i)), y);
        excess = add_128_times(excess, y);
    }
    if (i < dims) {
        __mmask64 half = 0xffffffff;
        __m512i y = _mm512_maskz_loadu_epi8(half, b + i);

        sum = add_dot_i8(sum, _mm512_maskz_loadu_epi8(half, a + i), y);
        excess = add_128_times(excess, y);
    }
    return _mm512_reduce_add_epi32(_mm512_sub_epi32(sum, excess));
}

/* Sixteen codes as numbers. */
FR_INLINE __m512i load_codes(const int8_t *codes)
{
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const void *)codes));
}

/* The values of FR_CODE_DIMS codes. They fill half of the lanes: the registers from first on. */
#define VALUE_REGISTERS (FR_CODE_DIMS / 16)

struct values {
    __m512 v[VALUE_REGISTERS];
};

FR_INLINE struct values load_row8(const int8_t *high)
{
    struct values values;

    for (size_t i = 0; i < VALUE_REGISTERS; i++)
        values.v[i] = _mm512_cvtepi32_ps(_mm512_slli_epi32(load_codes(high + 16 * i), 4));
    return values;
}

FR_INLINE struct values load_row12(const int8_t *high, const uint8_t *low)
{
    const __m128i nibbles = _mm_set1_epi8(15);
    const __m512i bias = _mm512_set1_epi32(FR_ROW_LOW_BIAS);
    __m128i both = _mm_loadu_si128((const void *)low);
    __m128i halves[2] = {
            _mm_and_si128(both, nibbles), _mm_and_si128(_mm_srli_epi16(both, 4), nibbles)};
    struct values values;

    for (size_t i = 0; i < VALUE_REGISTERS; i++) {
        __m512i value = _mm512_add_epi32(_mm512_slli_epi32(load_codes(high + 16 * i), 4),
                _mm512_cvtepu8_epi32(halves[i]));

        values.v[i] = _mm512_cvtepi32_ps(_mm512_sub_epi32(value, bias));
    }
    return values;
}

FR_INLINE void add_values_l2(struct lanes *lanes, size_t first, const float *query,
        struct values values, __m512 scale)
{
    for (size_t i = 0; i < VALUE_REGISTERS; i++) {
        __m512 difference = _mm512_fnmadd_ps(scale, values.v[i], _mm512_loadu_ps(query + 16 * i));
        lanes->v[first + i] = _mm512_fmadd_ps(difference, difference, lanes->v[first + i]);
    }
}

FR_INLINE void add_values_dot(struct lanes *lanes, size_t first, const float *query,
        struct values values)
{
    for (size_t i = 0; i < VALUE_REGISTERS; i++)
        lanes->v[first + i] =
                _mm512_fmadd_ps(_mm512_loadu_ps(query + 16 * i), values.v[i], lanes->v[first + i]);
}

FR_INLINE __m512 broadcast(float value)
{
    return _mm512_set1_ps(value);
}

#include "spfresh/kernels_rows.h"

FR_INLINE __m512i load_table(const uint8_t *table)
{
    return _mm512_loadu_si512((const void *)table);
}

FR_INLINE __m512i add_row(__m512i sums, const uint8_t *row, __m512i low_table, __m512i high_table)
{
    const __m512i nibbles = _mm512_set1_epi8(15), ones = _mm512_set1_epi8(1);
    const __m512i which = _mm512_set1_epi32(0x30201000);
    __m512i signs = _mm512_loadu_si512((const void *)row);
    /* signs & nibbles | which, in one. */
    __m512i low = _mm512_ternarylogic_epi32(signs, nibbles, which, 0xea);
    __m512i high = _mm512_ternarylogic_epi32(_mm512_srli_epi16(signs, 4), nibbles, which, 0xea);

    low = _mm512_permutexvar_epi8(low, low_table);
    high = _mm512_permutexvar_epi8(high, high_table);
    return _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(sums, low, ones), high, ones);
}

FR_INLINE __m512i add_row_by(__m512i sums, const uint8_t *row, const uint8_t *table)
{
    return add_row(sums, row, load_table(table), load_table(table + FR_TABLE_ROW_SIZE / 2));
}

/* Two chains of additions, since one of them would wait for itself. */
FR_INLINE __m512i sum_block(const uint8_t *block, const uint8_t *table, size_t row_count)
{
    __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
    size_t row = 0;

    for (; row + 2 <= row_count; row += 2) {
        even = add_row_by(even, block, table);
        odd = add_row_by(odd, block + FR_BLOCK_ROW_SIZE, table + FR_TABLE_ROW_SIZE);
        block += 2 * FR_BLOCK_ROW_SIZE;
        table += 2 * FR_TABLE_ROW_SIZE;
    }
    if (row < row_count) even = add_row_by(even, block, table);
    return _mm512_add_epi32(even, odd);
}

/* What turns sums into bounds, all lanes alike. */
struct bounding {
    __m512 step, base, offset, limit;
};

FR_INLINE struct bounding make_bounding(const struct fr_scan *scan)
{
    return (struct bounding){.step = _mm512_set1_ps(scan->step),
            .base = _mm512_set1_ps(scan->base + scan->slack),
            .offset = _mm512_set1_ps(scan->offset),
            .limit = _mm512_set1_ps(scan->limit)};
}

FR_INLINE __m512 bounds_of(__m512i sums, const uint8_t *tail, const struct bounding *by)
{
    __m512 add = _mm512_cvtph_ps(_mm256_loadu_si256((const void *)tail));
    __m512 factor =
            _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(tail + 2 * FR_BLOCK_VECTORS)));
    __m512 product = _mm512_fmadd_ps(by->step, _mm512_cvtepi32_ps(sums), by->base);

    return _mm512_fmadd_ps(factor, product, _mm512_add_ps(add, by->offset));
}

FR_RACES static uint32_t scan(const uint8_t *block, const struct fr_scan *scan,
        float ret_bounds[FR_BLOCK_VECTORS])
{
    struct bounding by = make_bounding(scan);
    __m512 bounds = bounds_of(sum_block(block, scan->table, scan->row_count),
            block + scan->row_count * FR_BLOCK_ROW_SIZE, &by);

    _mm512_storeu_ps(ret_bounds, bounds);
    return _mm512_cmp_ps_mask(bounds, by.limit, _CMP_LE_OQ);
}

/* What a scan of a run has found so far. */
struct harvest {
    float *bounds;
    uint32_t *places;
    size_t count;
    __m512i next; /* places of a block's vectors */
};

FR_INLINE struct harvest make_harvest(float *bounds, uint32_t *places)
{
    return (struct harvest){.bounds = bounds,
            .places = places,
            .next = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
}

/*
 * What is wanted goes to the front of a register and is stored whether there is any or not: that is
 * less than a branch which nobody can foresee.
 */
FR_INLINE void reap(struct harvest *harvest, __m512 bounds, __mmask16 lanes, __m512 limit)
{
    __mmask16 wanted = _mm512_mask_cmp_ps_mask(lanes, bounds, limit, _CMP_LE_OQ);

    _mm512_storeu_ps(harvest->bounds + harvest->count, _mm512_maskz_compress_ps(wanted, bounds));
    _mm512_storeu_si512(harvest->places + harvest->count,
            _mm512_maskz_compress_epi32(wanted, harvest->next));
    harvest->count += (size_t)__builtin_popcount(wanted);
    harvest->next = _mm512_add_epi32(harvest->next, _mm512_set1_epi32(FR_BLOCK_VECTORS));
}

/* 128 dimensions are common, and the tables for four rows stay in eight registers. */
#define ROWS_HELD 4

struct tables {
    __m512i low[ROWS_HELD], high[ROWS_HELD];
};

FR_INLINE __m512i sum_held(const uint8_t *block, const struct tables *held)
{
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};

    for (size_t i = 0; i < ROWS_HELD; i++)
        sums[i % 2] =
                add_row(sums[i % 2], block + i * FR_BLOCK_ROW_SIZE, held->low[i], held->high[i]);
    return _mm512_add_epi32(sums[0], sums[1]);
}

FR_INLINE size_t scan_run_held(const uint8_t *blocks, size_t count, const struct fr_scan *scan,
        float *ret_bounds, uint32_t *ret_places)
{
    struct bounding by = make_bounding(scan);
    struct harvest harvest = make_harvest(ret_bounds, ret_places);
    struct tables held;

    for (size_t i = 0; i < ROWS_HELD; i++) {
        held.low[i] = load_table(scan->table + i * FR_TABLE_ROW_SIZE);
        held.high[i] = load_table(scan->table + i * FR_TABLE_ROW_SIZE + FR_TABLE_ROW_SIZE / 2);
    }
    for (size_t place = 0; place < count; place += FR_BLOCK_VECTORS) {
        const uint8_t *tail = blocks + ROWS_HELD * FR_BLOCK_ROW_SIZE;

        reap(&harvest, bounds_of(sum_held(blocks, &held), tail, &by), left(count, place), by.limit);
        blocks = tail + FR_BLOCK_TAIL_SIZE;
    }
    return harvest.count;
}

FR_RACES static size_t scan_run(const uint8_t *blocks, size_t count, const struct fr_scan *scan,
        float *ret_bounds, uint32_t *ret_places)
{
    if (scan->row_count == ROWS_HELD)
        return scan_run_held(blocks, count, scan, ret_bounds, ret_places);

    struct bounding by = make_bounding(scan);
    struct harvest harvest = make_harvest(ret_bounds, ret_places);
    for (size_t place = 0; place < count; place += FR_BLOCK_VECTORS) {
        const uint8_t *tail = blocks + scan->row_count * FR_BLOCK_ROW_SIZE;
        __m512i sums = sum_block(blocks, scan->table, scan->row_count);

        reap(&harvest, bounds_of(sums, tail, &by), left(count, place), by.limit);
        blocks = tail + FR_BLOCK_TAIL_SIZE;
    }
    return harvest.count;
}

static size_t count_within(const float *values, size_t n, float limit)
{
    __m512 limits = _mm512_set1_ps(limit);
    size_t count = 0;

    for (size_t i = 0; i < n; i += 16) {
        __mmask16 there = left(n, i);
        __m512 value = _mm512_maskz_loadu_ps(there, values + i);
        __mmask16 fits = _mm512_mask_cmp_ps_mask(there, value, limits, _CMP_LE_OQ);

        count += (size_t)__builtin_popcount(fits);
    }
    return count;
}

/* Sums and differences of floats half apart, where half is less than a register's sixteen. */
FR_INLINE __m512 mix_within(__m512 x)
{
    const __m512 sign = _mm512_set1_ps(-0.0f);

    x = _mm512_add_ps(_mm512_permute_ps(x, 0xb1), _mm512_mask_xor_ps(x, 0xaaaa, x, sign));
    x = _mm512_add_ps(_mm512_permute_ps(x, 0x4e), _mm512_mask_xor_ps(x, 0xcccc, x, sign));
    x = _mm512_add_ps(_mm512_shuffle_f32x4(x, x, 0xb1), _mm512_mask_xor_ps(x, 0xf0f0, x, sign));
    return _mm512_add_ps(_mm512_shuffle_f32x4(x, x, 0x4e), _mm512_mask_xor_ps(x, 0xff00, x, sign));
}

struct residual_lanes {
    struct lanes square, magnitude, signed_c;
};

/* Sixteen dimensions; answers their signs. */
FR_INLINE uint32_t add_residual(struct residual_lanes *lanes, size_t i, const float *x,
        const float *c)
{
    __m512 centroid = _mm512_loadu_ps(c), sum = lanes->signed_c.v[i];
    __m512 r = _mm512_sub_ps(_mm512_loadu_ps(x), centroid);
    __mmask16 plus = _mm512_cmp_ps_mask(r, _mm512_setzero_ps(), _CMP_GE_OQ);

    lanes->square.v[i] = _mm512_fmadd_ps(r, r, lanes->square.v[i]);
    lanes->magnitude.v[i] = _mm512_add_ps(lanes->magnitude.v[i], _mm512_abs_ps(r));
    lanes->signed_c.v[i] = _mm512_mask_add_ps(_mm512_sub_ps(sum, centroid), plus, sum, centroid);
    return plus;
}

static struct fr_residual residual(const float *x, const float *c, size_t dims, uint32_t *ret_signs)
{
    struct residual_lanes lanes = {0};

    for (size_t i = 0; i < dims; i += FR_CODE_DIMS) {
        size_t at = i % FR_LANES / 16;
        uint32_t low = add_residual(&lanes, at, x + i, c + i);

        *ret_signs++ = low | add_residual(&lanes, at + 1, x + i + 16, c + i + 16) << 16;
    }
    return (struct fr_residual){.square = fold(&lanes.square),
            .magnitude = fold(&lanes.magnitude),
            .signed_c = fold(&lanes.signed_c)};
}

static void hadamard(float *x, size_t n)
{
    if (n < 16) {
        fr_kernels_scalar.hadamard(x, n);
        return;
    }
    for (size_t i = 0; i < n; i += 16)
        _mm512_storeu_ps(x + i, mix_within(_mm512_loadu_ps(x + i)));
    for (size_t half = 16; half < n; half *= 2)
        for (size_t start = 0; start < n; start += 2 * half)
            for (size_t i = start; i < start + half; i += 16) {
                __m512 a = _mm512_loadu_ps(x + i), b = _mm512_loadu_ps(x + i + half);

                _mm512_storeu_ps(x + i, _mm512_add_ps(a, b));
                _mm512_storeu_ps(x + i + half, _mm512_sub_ps(a, b));
            }
}

const struct fr_kernels fr_kernels_avx512 = {
        .name = "avx512",
        .needs = FR_CPU_AVX2 | FR_CPU_FMA | FR_CPU_F16C | FR_CPU_AVX512F | FR_CPU_AVX512BW |
                 FR_CPU_AVX512VL | FR_CPU_AVX512DQ | FR_CPU_VBMI | FR_CPU_VNNI,
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
