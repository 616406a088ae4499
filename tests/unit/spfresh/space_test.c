#include "spfresh/space.h"

#include <criterion/criterion.h>
#include <math.h>

#include "base/alloc.h"
#include "base/rng.h"

#define COUNT 500
#define DIM   48

static float data[COUNT][DIM];

/* Around a point that is not the origin, in a unit of its own. */
static void fill(float unit)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 1);
    for (size_t n = 0; n < COUNT; n++)
        for (size_t i = 0; i < DIM; i++)
            data[n][i] = unit * (3 + (float)i / DIM + (float)fr_rng_double(&rng));
}

static struct fr_space calibrated(enum fr_metric metric)
{
    struct fr_space space;

    cr_assert_eq(fr_space_init(&space, metric, DIM, 7), FR_OK);
    cr_assert_eq(fr_space_calibrate(&space, &data[0][0], COUNT, 0), FR_OK);
    return space;
}

Test(space, rows_lie_around_the_origin_at_the_agreed_distance)
{
    static const enum fr_metric metrics[] = {
            FR_METRIC_L2, FR_METRIC_COSINE, FR_METRIC_INNER_PRODUCT};

    for (size_t m = 0; m < 3; m++) {
        fill(m == 0 ? 1e-6f : 1e6f);
        struct fr_space space = calibrated(metrics[m]);
        float x[64], sum[64] = {0};
        double square = 0;

        for (size_t n = 0; n < COUNT; n++) {
            fr_space_map_row(&space, data[n], x);
            square += (double)space.kernels->dot(x, x, space.dims) / COUNT;
            for (size_t i = 0; i < space.dims; i++)
                sum[i] += x[i] / COUNT;
        }
        cr_assert_float_eq(square, (double)FR_SPACE_SQUARE, 1);
        for (size_t i = 0; i < space.dims; i++)
            cr_assert_float_eq(sum[i], 0, 0.05f);
        fr_space_deinit(&space);
    }
}

/* What is nearer to the user is nearer here. */
Test(space, keeps_the_order_of_distances)
{
    fill(10);
    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        struct fr_space space = calibrated(metric);
        float q[64], x[64], y[64];

        fr_space_map_query(&space, data[0], q);
        for (size_t n = 1; n + 1 < COUNT; n++) {
            struct fr_dots a = space.kernels->dots(data[0], data[n], DIM);
            struct fr_dots b = space.kernels->dots(data[0], data[n + 1], DIM);
            float first = space.kernels->l2(data[0], data[n], DIM);
            float second = space.kernels->l2(data[0], data[n + 1], DIM);

            if (metric == FR_METRIC_COSINE) {
                first = -a.ab / sqrtf(a.aa * a.bb);
                second = -b.ab / sqrtf(b.aa * b.bb);
            } else if (metric == FR_METRIC_INNER_PRODUCT) {
                first = -a.ab;
                second = -b.ab;
            }
            if (fabsf(first - second) < 1e-3f * fabsf(first)) continue;
            fr_space_map_row(&space, data[n], x);
            fr_space_map_row(&space, data[n + 1], y);
            cr_assert_eq(fr_space_distance(&space, q, x) < fr_space_distance(&space, q, y),
                    first < second, "metric %d, %zu", (int)metric, n);
        }
        fr_space_deinit(&space);
    }
}

Test(space, vectors_that_are_all_alike_or_zero_do_no_harm)
{
    struct fr_space space;
    float x[64];

    for (size_t n = 0; n < COUNT; n++)
        for (size_t i = 0; i < DIM; i++)
            data[n][i] = 5;
    space = calibrated(FR_METRIC_L2);
    fr_space_map_row(&space, data[3], x);
    for (size_t i = 0; i < 64; i++)
        cr_assert(fabsf(x[i]) < 1);
    fr_space_deinit(&space);
    memset(data, 0, sizeof(data));
    space = calibrated(FR_METRIC_COSINE);
    fr_space_map_row(&space, data[3], x);
    for (size_t i = 0; i < 64; i++)
        cr_assert_eq(x[i], 0);
    fr_space_deinit(&space);
}
