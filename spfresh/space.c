#include "spfresh/space.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"

fr_status fr_space_init(struct fr_space *space, enum fr_metric metric, size_t dimension,
        uint64_t seed)
{
    struct fr_space made = {.metric = metric, .dimension = dimension, .scale = 1, .reach = 1};
    fr_status st;

    made.inner = dimension + (metric == FR_METRIC_INNER_PRODUCT);
    FR_TRY(fr_rotation_new(made.inner, seed, &made.rotation));
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

static float length(const struct fr_space *space, const float *x)
{
    return sqrtf(space->kernels->dot(x, x, space->dimension));
}

/* By itself, and with plain arguments, so that it is done many at a time. */
static void scale_all(const float *from, float factor, size_t count, float *to)
{
    for (size_t i = 0; i < count; i++)
        to[i] = factor * from[i];
}

/* A row before it is rotated; the buffer is not shorter than what it becomes. */
static void prepare_row(const struct fr_space *space, const float *from, float *to)
{
    float long_is = space->metric == FR_METRIC_L2 ? 0 : length(space, from);
    float factor = 1;

    if (space->metric == FR_METRIC_COSINE && long_is > 0) factor = 1 / long_is;
    if (space->metric == FR_METRIC_INNER_PRODUCT && long_is > space->reach)
        factor = space->reach / long_is;
    scale_all(from, factor, space->dimension, to);
    if (space->metric != FR_METRIC_INNER_PRODUCT) return;
    float rest = (space->reach - long_is) * (space->reach + long_is);
    to[space->dimension] = rest > 0 ? sqrtf(rest) : 0;
}

static void prepare_query(const struct fr_space *space, const float *from, float *to)
{
    if (space->metric != FR_METRIC_INNER_PRODUCT) {
        prepare_row(space, from, to);
        return;
    }
    float long_is = length(space, from);
    float factor = long_is > 0 ? space->reach / long_is : 0;
    scale_all(from, factor, space->dimension, to);
    to[space->dimension] = 0;
}

static void move_and_scale(const float *center, float scale, size_t count, float *x)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (x[i] - center[i]) * scale;
}

static void place(const struct fr_space *space, float *x)
{
    fr_rotation_apply(space->rotation, x, x);
    move_and_scale(space->center, space->scale, space->dims, x);
}

void fr_space_map_row(const struct fr_space *space, const float *from, float *ret_to)
{
    prepare_row(space, from, ret_to);
    place(space, ret_to);
}

float fr_space_length(const struct fr_space *space, const float *from)
{
    return space->metric == FR_METRIC_INNER_PRODUCT ? length(space, from) : 0;
}

bool fr_space_is_beyond(const struct fr_space *space, const float *from)
{
    return fr_space_length(space, from) > space->reach;
}

void fr_space_map_query(const struct fr_space *space, const float *from, float *ret_to)
{
    prepare_query(space, from, ret_to);
    place(space, ret_to);
}

/* Fewer vectors say little of how far others may be: then these may be as far as the origin. */
#define SAMPLE_FEW 64

/* A tenth more than the longest of the sample; only an inner product asks. */
static float find_reach(const struct fr_space *space, const float *sample, size_t count,
        float longest)
{

    for (size_t n = 0; n < count; n++)
        longest = fmaxf(longest, length(space, sample + n * space->dimension));
    return longest > 0 ? (count < SAMPLE_FEW ? 2.0f : 1.1f) * longest : 1;
}

fr_status fr_space_calibrate(struct fr_space *space, const float *sample, size_t count,
        float longest)
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
    space->reach = find_reach(space, sample, count, longest);
    for (size_t n = 0; n < count; n++) {
        prepare_row(space, sample + n * space->dimension, rotated);
        fr_rotation_apply(space->rotation, rotated, rotated);
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
    double floor = center_square * (count < SAMPLE_FEW ? 0.1 : 1e-6);
    if (!(rest > floor)) rest = floor;
    space->scale = rest > 0 ? (float)sqrt((double)FR_SPACE_SQUARE / rest) : 1;
    fr_free(rotated);
    fr_free(sums);
    return FR_OK;
}
