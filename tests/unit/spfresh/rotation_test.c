#include "spfresh/rotation.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "spfresh/kernels.h"

static float *vector(size_t dimension, uint64_t seed)
{
    float *x = fr_alloc(dimension * sizeof(float));
    struct fr_rng rng;

    cr_assert_not_null(x);
    fr_rng_init(&rng, seed);
    for (size_t i = 0; i < dimension; i++)
        x[i] = (float)(fr_rng_double(&rng) * 2 - 1);
    return x;
}

static float *rotated(const struct fr_rotation *rotation, const float *x)
{
    float *to = fr_alloc(fr_rotation_dims(rotation) * sizeof(float));

    cr_assert_not_null(to);
    fr_rotation_apply(rotation, x, to);
    return to;
}

static const size_t dimensions[] = {1, 2, 3, 31, 32, 33, 96, 100, 128, 200, 256, 300, 768, 960,
        1000, 1024, 1536, 3072, 16383, 16384};

Test(rotation, keeps_lengths_and_angles)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(dimensions); i++) {
        size_t n = dimensions[i];
        struct fr_rotation *rotation;
        cr_assert_eq(fr_rotation_new(n, 5, &rotation), FR_OK);
        size_t dims = fr_rotation_dims(rotation);
        cr_assert(dims >= n && dims < n + FR_CODE_DIMS && dims % FR_CODE_DIMS == 0);
        float *a = vector(n, 1), *b = vector(n, 2);
        float *ra = rotated(rotation, a), *rb = rotated(rotation, b);
        const struct fr_kernels *kernels = fr_kernels_get();
        struct fr_dots before = kernels->dots(a, b, n), after = kernels->dots(ra, rb, dims);
        float tolerance = 1e-4f * sqrtf(before.aa * before.bb);

        cr_assert_float_eq(after.ab, before.ab, tolerance, "%zu", n);
        cr_assert_float_eq(after.aa, before.aa, 1e-4f * before.aa, "%zu", n);
        fr_free(a);
        fr_free(b);
        fr_free(ra);
        fr_free(rb);
        fr_rotation_free(rotation);
    }
}

/* A vector along an axis becomes one that no axis has much of. */
Test(rotation, spreads_what_is_in_one_dimension_over_all)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(dimensions); i++) {
        struct fr_rotation *rotation;
        size_t n = dimensions[i];
        float *axis = fr_alloc_zeroed(n, sizeof(float));

        cr_assert_eq(fr_rotation_new(n, 9, &rotation), FR_OK);
        size_t dims = fr_rotation_dims(rotation);
        for (size_t at = 0; at < n; at += n / 3 + 1) {
            float most = 0;
            axis[at] = 1;
            float *to = rotated(rotation, axis);
            for (size_t j = 0; j < dims; j++)
                most = fmaxf(most, fabsf(to[j]));
            cr_assert(most < 8 / sqrtf((float)dims), "%zu at %zu: %f", n, at, (double)most);
            fr_free(to);
            axis[at] = 0;
        }
        fr_free(axis);
        fr_rotation_free(rotation);
    }
}

Test(rotation, is_the_seeds)
{
    struct fr_rotation *one, *again, *other;
    float *x = vector(100, 3);

    cr_assert_eq(fr_rotation_new(100, 1, &one), FR_OK);
    cr_assert_eq(fr_rotation_new(100, 1, &again), FR_OK);
    cr_assert_eq(fr_rotation_new(100, 2, &other), FR_OK);
    float *a = rotated(one, x), *b = rotated(again, x), *c = rotated(other, x);
    cr_assert_arr_eq(a, b, 128 * sizeof(float));
    cr_assert(memcmp(a, c, 128 * sizeof(float)) != 0);
    fr_free(a);
    fr_free(b);
    fr_free(c);
    fr_free(x);
    fr_rotation_free(one);
    fr_rotation_free(again);
    fr_rotation_free(other);
}
