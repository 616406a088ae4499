#include "spfresh/space.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

fr_status fr_space_init(struct fr_space *space, enum fr_metric metric, size_t dimension,
        uint64_t seed)
{
    struct fr_space made = {.metric = metric, .dimension = dimension, .scale = 1};
    fr_status st;

    FR_TRY(fr_rotation_new(dimension, seed, &made.rotation));
    made.kernels = fr_kernels_get();
    made.dims = fr_rotation_dims(made.rotation);
    made.center = fr_alloc_zeroed(made.dims, sizeof(float));
    if (made.center == NULL) {
        fr_rotation_free(made.rotation);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a space of %zu dimensions", dimension);
    }
    *space = made;
out:
    return st;
}

void fr_space_deinit(struct fr_space *space)
{
    fr_rotation_free(space->rotation);
    fr_free(space->center);
    *space = (struct fr_space){0};
}

/* Rotated, and of length one if only angles count. A vector of length zero stays what it is. */
static void rotate(const struct fr_space *space, const float *from, float *ret_to)
{
    fr_rotation_apply(space->rotation, from, ret_to);
    if (space->metric != FR_METRIC_COSINE) return;
    float square = space->kernels->dot(ret_to, ret_to, space->dims);
    float factor = square > 0 ? 1.0f / sqrtf(square) : 0;
    for (size_t i = 0; i < space->dims; i++)
        ret_to[i] *= factor;
}

void fr_space_map_row(const struct fr_space *space, const float *from, float *ret_to)
{
    rotate(space, from, ret_to);
    for (size_t i = 0; i < space->dims; i++)
        ret_to[i] = (ret_to[i] - space->center[i]) * space->scale;
}

void fr_space_map_query(const struct fr_space *space, const float *from, float *ret_to)
{
    if (!fr_space_is_product(space)) {
        fr_space_map_row(space, from, ret_to);
        return;
    }
    rotate(space, from, ret_to);
    for (size_t i = 0; i < space->dims; i++)
        ret_to[i] *= space->scale;
}

fr_status fr_space_calibrate(struct fr_space *space, const float *sample, size_t count)
{
    size_t dims = space->dims;
    float *rotated = fr_alloc(dims * sizeof(float));
    double *sums = fr_alloc_zeroed(dims, sizeof(double));
    double squares = 0, center_square = 0;

    if (rotated == NULL || sums == NULL) {
        fr_free(rotated);
        fr_free(sums);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to calibrate a space");
    }
    for (size_t n = 0; n < count; n++) {
        rotate(space, sample + n * space->dimension, rotated);
        squares += (double)space->kernels->dot(rotated, rotated, dims);
        for (size_t i = 0; i < dims; i++)
            sums[i] += (double)rotated[i];
    }
    for (size_t i = 0; i < dims; i++) {
        space->center[i] = count == 0 ? 0 : (float)(sums[i] / (double)count);
        center_square += (double)space->center[i] * (double)space->center[i];
    }
    /* The mean square of what is left once the centre is taken off; all alike leave nothing. */
    double rest = count == 0 ? 0 : squares / (double)count - center_square;
    double floor = center_square * 1e-6;
    if (!(rest > floor)) rest = floor;
    space->scale = rest > 0 ? (float)sqrt((double)FR_SPACE_SQUARE / rest) : 1;
    fr_free(rotated);
    fr_free(sums);
    return FR_OK;
}
