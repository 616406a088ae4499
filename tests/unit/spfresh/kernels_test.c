#include "spfresh/kernels.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/coding.h"
#include "base/cpu.h"
#include "base/rng.h"
#include "spfresh/half.h"
#include "spfresh/kernels_priv.h"
#include "tests/unit/spfresh/kernels_agree.h"

/* All sets that this machine has; the definition, too, as its runs are made of scans. */
static void check_all(bool (*agree)(const struct fr_kernels *kernels))
{
    const struct fr_kernels *kernels;

    for (size_t i = 0; (kernels = fr_kernels_variants(i)) != NULL; i++)
        cr_assert(agree(kernels), "%s: %s", kernels->name, kernels_agree_text());
}

Test(kernels, plain_vectors_agree_with_the_definition_bit_by_bit)
{
    check_all(kernels_agree_on_vectors);
}

Test(kernels, extremes_overflow_and_vanish_alike)
{
    check_all(kernels_agree_on_extremes);
}

Test(kernels, codes_agree_with_the_definition_bit_by_bit)
{
    check_all(kernels_agree_on_codes);
}

Test(kernels, scans_agree_with_the_definition_bit_by_bit)
{
    check_all(kernels_agree_on_scans);
}

Test(kernels, factors_of_all_kinds_make_the_same_bounds)
{
    check_all(kernels_agree_on_halves);
}

Test(kernels, a_scan_of_a_run_says_what_scans_of_its_blocks_say)
{
    check_all(kernels_agree_on_runs);
}

Test(kernels, values_within_a_limit_are_counted)
{
    check_all(kernels_agree_on_counts);
}

Test(kernels, residuals_and_signs_are_the_same_bit_by_bit)
{
    check_all(kernels_agree_on_residuals);
}

Test(kernels, transforms_agree_with_the_definition_bit_by_bit)
{
    check_all(kernels_agree_on_transforms);
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

/* By the formula of the header, bit by bit, with tables that hold the sums of the query itself. */
Test(kernels, a_scan_sums_the_query_by_the_signs_of_each_vector)
{
    uint8_t block[FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE] = {0};
    uint8_t table[FR_TABLE_ROW_SIZE];
    float bounds[FR_BLOCK_VECTORS];
    uint8_t weights[32];
    struct fr_rng rng;

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
