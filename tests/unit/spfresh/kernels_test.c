#include "spfresh/kernels.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "spfresh/half.h"
#include "spfresh/kernels_priv.h"

#define DIMS_MAX ((size_t)16384)

static struct fr_rng rng;

static float random_float(void)
{
    return (float)(fr_rng_double(&rng) * 2 - 1) * ldexpf(1, (int)fr_rng_below(&rng, 12));
}

/* In memory that ends where they do, so that a sanitizer sees one read too many. */
static float *random_floats(size_t count)
{
    float *floats = fr_alloc((count + 1) * sizeof(float));

    cr_assert_not_null(floats);
    for (size_t i = 0; i < count; i++)
        floats[i] = random_float();
    return floats;
}

static void *random_bytes(size_t size)
{
    uint8_t *bytes = fr_alloc(size);

    cr_assert_not_null(bytes);
    fr_rng_fill(&rng, bytes, size);
    return bytes;
}

static void check_vectors(const struct fr_kernels *kernels, const float *a, const float *b,
        size_t n)
{
    struct fr_dots dots = kernels->dots(a, b, n), expected = fr_kernels_scalar.dots(a, b, n);

    cr_assert_eq(kernels->l2(a, b, n), fr_kernels_scalar.l2(a, b, n), "%s, %zu", kernels->name, n);
    cr_assert_eq(kernels->dot(a, b, n), fr_kernels_scalar.dot(a, b, n), "%s, %zu", kernels->name,
            n);
    cr_assert_eq(dots.ab, expected.ab, "%s, %zu", kernels->name, n);
    cr_assert_eq(dots.aa, expected.aa, "%s, %zu", kernels->name, n);
    cr_assert_eq(dots.bb, expected.bb, "%s, %zu", kernels->name, n);
}

Test(kernels, plain_vectors_agree_with_the_definition_bit_by_bit)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 1);
    for (size_t v = 1; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t n = 0; n <= DIMS_MAX; n += n < 300 ? 1 : 2677) {
            float *a = random_floats(n + 3), *b = random_floats(n + 3);

            for (size_t offset = 0; offset <= 3; offset++)
                check_vectors(kernels, a + offset, b + 3 - offset, n);
            fr_free(a);
            fr_free(b);
        }
}

Test(kernels, extremes_overflow_and_vanish_alike)
{
    static const float values[] = {0.0f, -0.0f, 3e38f, -3e38f, 1e-45f, -1e-38f, 1.0f, 16777217.0f};
    const struct fr_kernels *kernels;
    float a[130], b[130];

    fr_rng_init(&rng, 2);
    for (size_t v = 1; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (int round = 0; round < 2000; round++) {
            size_t n = fr_rng_below(&rng, FR_ARRAY_COUNT(a) + 1);

            for (size_t i = 0; i < n; i++) {
                /* Of one sign, or infinities of both would meet. */
                a[i] = values[fr_rng_below(&rng, FR_ARRAY_COUNT(values))];
                b[i] = fabsf(values[fr_rng_below(&rng, FR_ARRAY_COUNT(values))]);
                if (a[i] < 0) a[i] = -a[i];
            }
            check_vectors(kernels, a, b, n);
        }
}

Test(kernels, the_definition_is_what_one_expects)
{
    static const float a[] = {1, 2, 3}, b[] = {4, -5, 6};
    static const float one[] = {1};
    struct fr_dots dots = fr_kernels_scalar.dots(a, b, 3);

    cr_assert_eq(fr_kernels_scalar.l2(a, b, 3), 67);
    cr_assert_eq(fr_kernels_scalar.dot(a, b, 3), 12);
    cr_assert_eq(dots.ab, 12);
    cr_assert_eq(dots.aa, 14);
    cr_assert_eq(dots.bb, 77);
    cr_assert_eq(fr_kernels_scalar.l2(one, one, 0), 0);
    int8_t high[32] = {[0] = 1, [31] = -128};
    uint8_t low[16] = {0};
    float query[32] = {[0] = 2, [16] = 3, [31] = 1};
    memset(low, 0x88, sizeof(low)); /* adds nothing */
    cr_assert_eq(fr_kernels_scalar.dot_i8(high, high, 32), 1 + 128 * 128);
    cr_assert_eq(fr_kernels_scalar.dot_row8(query, high, 0.5f, 32), 8 * (2 - 128));
    cr_assert_eq(fr_kernels_scalar.dot_row12(query, high, low, 0.5f, 32), 8 * (2 - 128));
    cr_assert_eq(fr_kernels_scalar.l2_row8(query, high, 0.125f, 32), 0 + 9 + 257 * 257);
    low[0] = 0xf0; /* -8 for the first, 7 for the seventeenth dimension */
    cr_assert_eq(fr_kernels_scalar.dot_row12(query, high, low, 1, 32),
            16 * (2 - 128) - 2 * 8 + 3 * 7);
    cr_assert_eq(fr_kernels_scalar.l2_row12(query, high, low, 0.125f, 32),
            1 + (3 - 0.875f) * (3 - 0.875f) + 257 * 257);
}

static void check_codes(const struct fr_kernels *kernels, size_t dims)
{
    float *query = random_floats(dims + 1);
    int8_t *a = random_bytes(dims + 1), *b = random_bytes(dims + 1);
    uint8_t *low = random_bytes(dims / 2 + 1);

    if (fr_rng_one_in(&rng, 4)) {
        memset(a, -128, dims + 1);
        memset(b, fr_rng_one_in(&rng, 2) ? -128 : 127, dims + 1);
    }
    for (size_t offset = 0; offset <= 1; offset++) {
        const struct fr_kernels *scalar = &fr_kernels_scalar;
        const float *q = query + offset;
        const int8_t *high = a + offset;
        const uint8_t *bits = low + offset;

        cr_assert_eq(kernels->dot_i8(high, b + 1 - offset, dims),
                scalar->dot_i8(high, b + 1 - offset, dims), "%s, %zu", kernels->name, dims);
        cr_assert_eq(kernels->l2_row8(q, high, 0.3f, dims), scalar->l2_row8(q, high, 0.3f, dims));
        cr_assert_eq(kernels->dot_row8(q, high, 0.3f, dims), scalar->dot_row8(q, high, 0.3f, dims));
        cr_assert_eq(kernels->l2_row12(q, high, bits, 0.3f, dims),
                scalar->l2_row12(q, high, bits, 0.3f, dims), "%s, %zu", kernels->name, dims);
        cr_assert_eq(kernels->dot_row12(q, high, bits, 0.3f, dims),
                scalar->dot_row12(q, high, bits, 0.3f, dims), "%s, %zu", kernels->name, dims);
    }
    fr_free(query);
    fr_free(a);
    fr_free(b);
    fr_free(low);
}

Test(kernels, codes_agree_with_the_definition_bit_by_bit)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 3);
    for (size_t v = 1; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t dims = 32; dims <= DIMS_MAX; dims += dims < 1024 ? 32 : 3072)
            for (int round = 0; round < 8; round++)
                check_codes(kernels, dims);
}

/* Factors as an encoder writes them: finite. */
static uint8_t *random_block(size_t row_count)
{
    uint8_t *block = random_bytes(row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE);
    uint8_t *tail = block + row_count * FR_BLOCK_ROW_SIZE;

    for (size_t i = 0; i < 2 * FR_BLOCK_VECTORS; i++)
        fr_put_u16(tail + 2 * i, fr_half_from_float(random_float()));
    return block;
}

static void check_scan(const struct fr_kernels *kernels, size_t row_count, int table_byte)
{
    uint8_t *block = random_block(row_count);
    uint8_t *table = random_bytes(row_count * FR_TABLE_ROW_SIZE);
    float bounds[FR_BLOCK_VECTORS], expected[FR_BLOCK_VECTORS];
    struct fr_scan scan = {.table = table,
            .row_count = row_count,
            .step = fabsf(random_float()),
            .base = random_float(),
            .offset = random_float(),
            .slack = random_float(),
            .limit = random_float()};

    if (table_byte >= 0) memset(table, table_byte, row_count * FR_TABLE_ROW_SIZE);
    uint32_t wanted = kernels->scan(block, &scan, bounds);
    cr_assert_eq(wanted, fr_kernels_scalar.scan(block, &scan, expected), "%s, %zu", kernels->name,
            row_count);
    cr_assert_arr_eq(bounds, expected, sizeof(bounds));
    fr_free(block);
    fr_free(table);
}

Test(kernels, scans_agree_with_the_definition_bit_by_bit)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 4);
    for (size_t v = 1; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t row_count = 1; row_count <= DIMS_MAX / 32; row_count += row_count < 70 ? 1 : 63)
            for (int round = 0; round < 8; round++)
                check_scan(kernels, row_count, round == 0 ? 255 : round == 1 ? 0 : -1);
}

/* Blocks one after the other in memory that ends where the last does. */
static uint8_t *random_run(size_t row_count, size_t block_count)
{
    size_t block_size = row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
    uint8_t *run = random_bytes(block_count * block_size);

    for (size_t i = 0; i < block_count; i++) {
        uint8_t *block = random_block(row_count);
        memcpy(run + i * block_size, block, block_size);
        fr_free(block);
    }
    return run;
}

/* What a scan of each block says, one after the other. */
static void check_run(const struct fr_kernels *kernels, size_t row_count, size_t count)
{
    size_t block_count = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS, wanted = 0;
    size_t block_size = row_count * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
    uint8_t *run = random_run(row_count, block_count);
    uint8_t *table = random_bytes(row_count * FR_TABLE_ROW_SIZE);
    float *bounds = random_floats(block_count * FR_BLOCK_VECTORS);
    uint32_t *places = random_bytes(block_count * FR_BLOCK_VECTORS * sizeof(uint32_t));
    struct fr_scan scan = {.table = table, .row_count = row_count, .step = 1, .limit = 0};
    float expected[FR_BLOCK_VECTORS];

    size_t found = kernels->scan_run(run, count, &scan, bounds, places);
    for (size_t i = 0; i < count; i++) {
        size_t lane = i % FR_BLOCK_VECTORS;

        if (lane == 0) kernels->scan(run + i / FR_BLOCK_VECTORS * block_size, &scan, expected);
        if (!(expected[lane] <= scan.limit)) continue;
        cr_assert_lt(wanted, found, "%s, %zu", kernels->name, row_count);
        cr_assert_eq(places[wanted], i, "%s, %zu", kernels->name, row_count);
        cr_assert_eq(bounds[wanted++], expected[lane], "%s, %zu", kernels->name, row_count);
    }
    cr_assert_eq(wanted, found, "%s, %zu", kernels->name, row_count);
    fr_free(run);
    fr_free(table);
    fr_free(bounds);
    fr_free(places);
}

Test(kernels, a_scan_of_a_run_says_what_scans_of_its_blocks_say)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 5);
    for (size_t v = 0; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t row_count = 1; row_count < 8; row_count++)
            for (size_t count = 0; count < 70; count++)
                check_run(kernels, row_count, count);
}

Test(kernels, values_within_a_limit_are_counted)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 6);
    for (size_t v = 0; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t n = 0; n < 100; n++) {
            float *values = random_floats(n), limit = n > 2 ? values[n / 2] : 0;
            size_t expected = 0;

            for (size_t i = 0; i < n; i++)
                expected += values[i] <= limit;
            cr_assert_eq(kernels->count_within(values, n, limit), expected, "%s", kernels->name);
            fr_free(values);
        }
}

Test(kernels, residuals_and_signs_are_the_same_bit_by_bit)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 12);
    for (size_t dims = FR_CODE_DIMS; dims <= 9 * FR_CODE_DIMS; dims += FR_CODE_DIMS) {
        float x[9 * FR_CODE_DIMS], c[9 * FR_CODE_DIMS];
        uint32_t expected[9], signs[9];

        for (size_t i = 0; i < dims; i++) {
            c[i] = (float)(fr_rng_double(&rng) - 0.5) * 100;
            x[i] = i % 7 == 0 ? c[i] : (float)(fr_rng_double(&rng) - 0.5) * 100;
        }
        struct fr_residual right = fr_kernels_scalar.residual(x, c, dims, expected);
        cr_assert_eq(expected[0] & 1, 1); /* nothing is left: plus */
        for (size_t n = 0; (kernels = fr_kernels_variants(n)) != NULL; n++) {
            struct fr_residual got = kernels->residual(x, c, dims, signs);

            cr_assert_eq(memcmp(&got, &right, sizeof(got)), 0, "%s, %zu", kernels->name, dims);
            cr_assert_eq(memcmp(signs, expected, dims / 8), 0, "%s, %zu", kernels->name, dims);
        }
    }
}

/* By the formula of the header, bit by bit, with tables that hold the sums of the query itself. */
Test(kernels, a_scan_sums_the_query_by_the_signs_of_each_vector)
{
    uint8_t block[FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE] = {0};
    uint8_t table[FR_TABLE_ROW_SIZE];
    float bounds[FR_BLOCK_VECTORS];
    uint8_t weights[32];

    fr_rng_init(&rng, 5);
    fr_rng_fill(&rng, weights, sizeof(weights));
    for (size_t i = 0; i < sizeof(table); i++) {
        unsigned sum = 0;

        for (size_t bit = 0; bit < 4; bit++)
            if (i % 16 >> bit & 1) sum += weights[i / 16 * 4 + bit] / 4;
        table[i] = (uint8_t)sum;
    }
    fr_rng_fill(&rng, block, FR_BLOCK_ROW_SIZE);
    for (size_t i = 0; i < FR_BLOCK_VECTORS; i++)
        fr_put_u16(block + FR_BLOCK_ROW_SIZE + 32 + 2 * i, fr_half_from_float(1));
    struct fr_scan scan = {.table = table, .row_count = 1, .step = 1, .limit = 1e9f};
    cr_assert_eq(fr_kernels_scalar.scan(block, &scan, bounds), 0xffff);
    for (size_t lane = 0; lane < FR_BLOCK_VECTORS; lane++) {
        unsigned sum = 0;

        for (size_t dim = 0; dim < 32; dim++) {
            size_t group = dim / 4; /* the first four are the low nibbles */
            unsigned byte = block[lane * 4 + group % 4];
            unsigned nibble = group < 4 ? byte & 15 : byte >> 4;
            if (nibble >> dim % 4 & 1) sum += weights[dim] / 4;
        }
        cr_assert_eq(bounds[lane], (float)sum);
    }
}

Test(kernels, transforms_agree_with_the_definition_bit_by_bit)
{
    const struct fr_kernels *kernels;

    fr_rng_init(&rng, 6);
    for (size_t v = 1; (kernels = fr_kernels_variants(v)) != NULL; v++)
        for (size_t n = 1; n <= DIMS_MAX; n *= 2) {
            float *x = random_floats(n), *expected = fr_alloc(n * sizeof(float));

            memcpy(expected, x, n * sizeof(float));
            kernels->hadamard(x, n);
            fr_kernels_scalar.hadamard(expected, n);
            for (size_t i = 0; i < n; i++)
                cr_assert_eq(x[i], expected[i], "%s, %zu of %zu", kernels->name, i, n);
            fr_free(x);
            fr_free(expected);
        }
}

Test(kernels, the_transform_is_its_own_inverse)
{
    float x[64] = {0};

    for (size_t i = 0; i < 64; i++)
        x[i] = (float)i;
    fr_kernels_scalar.hadamard(x, 64);
    cr_assert_eq(x[0], 63 * 32);
    fr_kernels_scalar.hadamard(x, 64);
    for (size_t i = 0; i < 64; i++)
        cr_assert_eq(x[i], (float)i * 64);
}

Test(kernels, a_lesser_machine_has_fewer)
{
    size_t count = 0;

    fr_cpu_set_mask_for_test(0);
    while (fr_kernels_variants(count) != NULL)
        count++;
    cr_assert_eq(count, 1);
    cr_assert_str_eq(fr_kernels_get()->name, "scalar");
}
