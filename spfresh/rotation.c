#include "spfresh/rotation.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/compiler.h"
#include "base/rng.h"
#include "base/status.h"
#include "spfresh/kernels.h"

/* Three are as good as a dense matrix where all is transformed at once; parts take one more to mix.
 */
#define ROUNDS_WHOLE 3
#define ROUNDS_PARTS 4

struct fr_rotation {
    const struct fr_kernels *kernels;
    size_t dimension; /* of what goes in */
    size_t dims;      /* of what comes out */
    size_t window;    /* how many are transformed at once: a power of two */
    size_t round_count;
    float signs[]; /* round_count times dims; scaled, so that lengths are kept */
};

static void draw_signs(struct fr_rotation *rotation, uint64_t seed)
{
    struct fr_rng rng;
    float scale = 1.0f / sqrtf((float)rotation->window);

    fr_rng_init(&rng, seed);
    for (size_t round = 0; round < rotation->round_count; round++) {
        float *signs = rotation->signs + round * rotation->dims;
        size_t start = round % 2 == 0 ? 0 : rotation->dims - rotation->window;

        for (size_t i = 0; i < rotation->dims; i++) {
            bool inside = i >= start && i < start + rotation->window;
            float length = inside ? scale : 1.0f;

            signs[i] = fr_rng_one_in(&rng, 2) ? length : -length;
        }
    }
}

fr_status fr_rotation_new(size_t dimension, uint64_t seed, struct fr_rotation **ret_rotation)
{
    FR_ASSERT(dimension >= 1);
    FR_ASSERT(dimension <= FR_DIMENSION_MAX + 1); /* an inner product adds one */
    size_t dims = (dimension + FR_CODE_DIMS - 1) / FR_CODE_DIMS * FR_CODE_DIMS;
    size_t window = FR_CODE_DIMS;

    while (2 * window <= dims)
        window *= 2;
    size_t round_count = window == dims ? ROUNDS_WHOLE : ROUNDS_PARTS;
    struct fr_rotation *rotation =
            fr_alloc(sizeof(*rotation) + round_count * dims * sizeof(rotation->signs[0]));
    if (rotation == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a rotation");
    rotation->kernels = fr_kernels_get();
    rotation->dimension = dimension;
    rotation->dims = dims;
    rotation->window = window;
    rotation->round_count = round_count;
    draw_signs(rotation, seed);
    *ret_rotation = rotation;
    return FR_OK;
}

void fr_rotation_free(struct fr_rotation *rotation)
{
    fr_free(rotation);
}

size_t fr_rotation_dims(const struct fr_rotation *rotation)
{
    return rotation->dims;
}

void fr_rotation_apply(const struct fr_rotation *rotation, const float *from, float *ret_to)
{
    size_t dims = rotation->dims;

    if (ret_to != from) memmove(ret_to, from, rotation->dimension * sizeof(*from));
    memset(ret_to + rotation->dimension, 0, (dims - rotation->dimension) * sizeof(*ret_to));
    for (size_t round = 0; round < rotation->round_count; round++) {
        const float *signs = rotation->signs + round * dims;
        size_t start = round % 2 == 0 ? 0 : dims - rotation->window;

        for (size_t i = 0; i < dims; i++)
            ret_to[i] *= signs[i];
        rotation->kernels->hadamard(ret_to + start, rotation->window);
    }
}
