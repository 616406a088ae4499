#include "spfresh/half.h"

#include <criterion/criterion.h>

#include "base/rng.h"

Test(half, every_half_comes_back_from_a_float)
{
    for (uint32_t half = 0; half <= UINT16_MAX; half++) {
        float value = fr_half_to_float((uint16_t)half);

        if (isnan(value))
            cr_assert(isnan(fr_half_to_float(fr_half_from_float(value))));
        else
            cr_assert_eq(fr_half_from_float(value), half, "%u: %a", half, (double)value);
    }
}

Test(half, known_values)
{
    cr_assert_eq(fr_half_from_float(1.0f), 0x3c00);
    cr_assert_eq(fr_half_from_float(-2.0f), 0xc000);
    cr_assert_eq(fr_half_from_float(FR_HALF_MAX), 0x7bff);
    cr_assert_eq(fr_half_from_float(65519.996f), 0x7bff);
    cr_assert_eq(fr_half_from_float(65520.0f), 0x7c00);
    cr_assert_eq(fr_half_from_float(-1e30f), 0xfc00);
    cr_assert_eq(fr_half_from_float(0x1p-24f), 1);
    cr_assert_eq(fr_half_from_float(0x1p-25f), 0, "a tie goes to even");
    cr_assert_eq(fr_half_from_float(1.0f + 0x1p-11f), 0x3c00, "a tie goes to even");
    cr_assert_eq(fr_half_from_float(1.0f + 3 * 0x1p-11f), 0x3c02, "a tie goes to even");
    cr_assert_eq(fr_half_to_float(0x3555), 0.333251953125f);
}

/* Halves of one sign are ordered as their bits are, so the neighbours are one off. */
Test(half, a_float_becomes_the_nearest_half)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 7);
    for (int i = 0; i < 1000000; i++) {
        float value = ldexpf(1.0f + (float)fr_rng_double(&rng), (int)fr_rng_below(&rng, 40) - 25);
        uint16_t half = fr_half_from_float(value);

        if (half >= 0x7bff) continue;
        float error = fabsf(fr_half_to_float(half) - value);
        cr_assert(error <= fabsf(fr_half_to_float((uint16_t)(half + 1)) - value));
        if (half > 0) cr_assert(error <= fabsf(fr_half_to_float((uint16_t)(half - 1)) - value));
    }
}
