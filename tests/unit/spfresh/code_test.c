#include "spfresh/code.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"

static struct fr_rng rng;

/* Roughly normal, as the parts of a rotated vector are. */
static float normal(void)
{
    double sum = -6;

    for (int i = 0; i < 12; i++)
        sum += fr_rng_double(&rng);
    return (float)sum;
}

static void fill(float *x, size_t n, float deviation)
{
    for (size_t i = 0; i < n; i++)
        x[i] = deviation * normal();
}

Test(code, a_row_keeps_twelve_bits_and_its_high_half_eight)
{
    float x[256], full[256], coarse[256];
    int8_t high[256];
    uint8_t low[128], none[128];

    fr_rng_init(&rng, 1);
    memset(none, 0x88, sizeof(none));
    for (int round = 0; round < 200; round++) {
        fill(x, 256, ldexpf(1, round % 40 - 20));
        float scale = fr_row_encode(x, 256, high, low);
        fr_row_decode(high, low, scale, 256, full);
        fr_row_decode(high, none, scale, 256, coarse);
        for (size_t i = 0; i < 256; i++) {
            cr_assert_float_eq(full[i], x[i], 0.501f * scale);
            cr_assert_float_eq(coarse[i], x[i], 8.501f * scale);
        }
    }
}

/* The definition, a value at a time. */
static int twelve_bits(float x, float scale)
{
    long nearest = lrintf(scale > 0 ? x * (1 / scale) : 0);

    return (int)(nearest > 2039 ? 2039 : nearest < -2039 ? -2039 : nearest);
}

static void check_bits(const float *x, size_t dims)
{
    int8_t high[256];
    uint8_t low[128];
    float most = 0, scale = fr_row_encode(x, dims, high, low);

    for (size_t i = 0; i < dims; i++)
        most = fmaxf(most, fabsf(x[i]));
    cr_assert_eq(scale, most / 2039);
    for (size_t i = 0; i < dims; i++) {
        uint8_t byte = low[i / 32 * 16 + i % 16];
        int bits = i % 32 < 16 ? byte & 15 : byte >> 4;
        cr_assert_eq(16 * high[i] + bits - 8, twelve_bits(x[i], scale));
    }
}

Test(code, a_row_is_rounded_to_the_nearest_and_halves_to_even)
{
    float x[256];

    fr_rng_init(&rng, 9);
    for (size_t round = 0; round < 1000; round++) {
        size_t dims = 32 * (1 + round % 8);
        fill(x, dims, ldexpf(1, (int)(round % 200) - 100));
        check_bits(x, dims);
        for (size_t i = 0; i < dims; i++)
            x[i] = (float)(int)(2039 * normal()) / 2; /* halves, once the largest is 2039 */
        for (size_t i = 0; i < dims; i++)
            x[i] = fminf(fmaxf(x[i], -2039), 2039);
        x[round % dims] = 2039;
        check_bits(x, dims);
    }
}

Test(code, a_coarse_row_is_what_its_high_half_says)
{
    float x[64], back[64];
    int8_t high[64], again_high[64];
    uint8_t low[32], again_low[32];

    fr_rng_init(&rng, 2);
    fill(x, 64, 1);
    float scale = fr_row_encode_coarse(x, 64, high, low);
    fr_row_decode(high, low, scale, 64, back);
    for (size_t i = 0; i < 64; i++) {
        cr_assert_float_eq(back[i], x[i], 8.001f * scale);
        cr_assert_eq(back[i], scale * 16 * (float)high[i]);
    }
    float again = fr_row_encode_coarse(back, 64, again_high, again_low);
    cr_assert_float_eq(again, scale, 1e-6f * scale);
    cr_assert_arr_eq(high, again_high, sizeof(high));
}

Test(code, zeros_and_denormals_are_zeros)
{
    float x[32] = {0}, back[32];
    int8_t high[32];
    uint8_t low[16];

    cr_assert_eq(fr_row_encode(x, 32, high, low), 0);
    x[3] = 1e-44f;
    float scale = fr_row_encode(x, 32, high, low);
    fr_row_decode(high, low, scale, 32, back);
    for (size_t i = 0; i < 32; i++)
        cr_assert_float_eq(back[i], 0, 1e-40f);
}

/* Bounds without slack are estimates: right on average, with the deviation that the slack is for.
 */
Test(code, signs_estimate_square_distances)
{
    const struct fr_kernels *kernels = fr_kernels_get();
    uint8_t *block = fr_alloc_zeroed(1, fr_block_size(128));
    uint8_t *table = fr_alloc(fr_query_table_size(128));
    float x[FR_BLOCK_VECTORS][128], c[128], q[128], bounds[FR_BLOCK_VECTORS];
    double bias = 0, square = 0, expected = 0;
    fr_rng_init(&rng, 3);
    size_t rounds = 300, count = rounds * FR_BLOCK_VECTORS;

    for (size_t round = 0; round < rounds; round++) {
        struct fr_scan scan = {.table = table, .row_count = 4, .limit = 1e30f};
        fill(c, 128, 0.7f);
        fill(q, 128, 0.3f);
        for (size_t i = 0; i < 128; i++)
            q[i] += c[i];
        for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++) {
            fill(x[lane], 128, 0.4f);
            for (size_t i = 0; i < 128; i++)
                x[lane][i] += c[i];
            float r2 = fr_block_put(block, lane, x[lane], c, 128);
            cr_assert_float_eq(r2, kernels->l2(x[lane], c, 128), 1e-3f * r2);
        }
        fr_query_table_fill(q, 128, table, &scan.step, &scan.base);
        scan.offset = kernels->l2(c, q, 128);
        cr_assert_eq(kernels->scan(block, &scan, bounds), 0xffff);
        float qc = sqrtf(kernels->l2(q, c, 128));
        for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++) {
            double error = (double)(bounds[lane] - kernels->l2(x[lane], q, 128));
            double a = (double)(0.4f * 1.2533f); /* |r|^2 / sum |r_i| of a normal r */

            bias += error / (double)count;
            square += error * error / (double)count;
            expected += 2 * a * (double)FR_CODE_DEVIATION * (double)qc / (double)count;
        }
    }
    cr_assert(fabs(bias) < 0.1 * expected, "bias %f, deviation %f", bias, sqrt(square));
    cr_assert(sqrt(square) < 1.3 * expected, "%f, expected %f", sqrt(square), expected);
    cr_assert(sqrt(square) > 0.7 * expected, "%f, expected %f", sqrt(square), expected);
    fr_free(block);
    fr_free(table);
}

Test(code, a_vector_whose_factors_do_not_fit_is_always_looked_at)
{
    const struct fr_kernels *kernels = fr_kernels_get();
    uint8_t block[64 + 64] = {0}, table[128];
    float x[32], c[32] = {0}, q[32] = {0}, bounds[FR_BLOCK_VECTORS];
    struct fr_scan scan = {.table = table, .row_count = 1, .limit = 0};

    for (size_t i = 0; i < 32; i++)
        x[i] = 1e4f;
    (void)fr_block_put(block, 5, x, c, 32);
    fr_query_table_fill(q, 32, table, &scan.step, &scan.base);
    cr_assert((kernels->scan(block, &scan, bounds) & 1u << 5) != 0);
    x[0] = INFINITY;
    (void)fr_block_put(block, 6, x, c, 32);
    cr_assert((kernels->scan(block, &scan, bounds) & 1u << 6) != 0);
}

Test(code, a_lane_that_is_copied_is_as_if_it_had_been_put_there)
{
    static uint8_t from[2 * (256 / 32 * 64 + 64)], to[sizeof(from)], expected[sizeof(from)];
    size_t size = fr_block_size(256);
    float x[256], c[256];

    fr_rng_init(&rng, 6);
    cr_assert_leq(size, sizeof(from));
    fill(c, 256, 1);
    for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++) {
        size_t other = (5 * lane + 3) % FR_BLOCK_VECTORS;

        fill(x, 256, lane == 7 ? 1e4f : 1);
        (void)fr_block_put(from, lane, x, c, 256);
        (void)fr_block_put(expected, other, x, c, 256);
        fr_block_copy(to, other, from, lane, size);
    }
    cr_assert_arr_eq(to, expected, size);
    fr_block_hide(from, size, 0);
    fr_block_hide(expected, size, 3);
    fr_block_copy(to, 3, from, 0, size);
    cr_assert_arr_eq(to, expected, size);
}

/* The table's sums are those of the query, to the precision of a byte. */
Test(code, a_querys_table_has_its_sums)
{
    float q[64], step, base;
    uint8_t table[256];

    fr_rng_init(&rng, 5);
    fill(q, 64, 3);
    fr_query_table_fill(q, 64, table, &step, &base);
    for (int round = 0; round < 1000; round++) {
        float exact = 0, sum = 0;

        for (size_t group = 0; group < 16; group++) {
            unsigned signs = (unsigned)fr_rng_below(&rng, 16);

            sum += (float)table[group * 16 + signs];
            for (size_t i = 0; i < 4; i++)
                exact += signs >> i & 1 ? q[group * 4 + i] : -q[group * 4 + i];
        }
        cr_assert_float_eq(step * sum + base, exact, 8.1f * step);
    }
}
