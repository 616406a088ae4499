/*
 * space.h - from a user's vectors to those that are coded, so that one metric serves all.
 *
 * A vector is normalised if angles are measured, rotated, moved so that the data's centre is the
 * origin, and scaled so that the mean of its square length is FR_SPACE_SQUARE, whatever the
 * data's unit: factors of 16 bits then fit. Behind this everything is ordered by the square
 * distance:
 *
 *   l2       as it is
 *   cosine   between vectors of length one the square distance is 2 - 2 cos
 *   inner    a row x gets one more dimension, sqrt(M^2 - |x|^2), and so the length M; a query q
 *   product  gets a zero there, and the length M. Then |x - q|^2 = 2 M^2 - 2 <x,q> M / |q|.
 *            M is the longest of the sample and some more. Longer ones are taken as if they were
 * of length M: they are found by their direction, and too far away.
 *
 * (S. Bachrach et al., "Speeding up the Xbox recommender system using a Euclidean transformation
 * for inner-product spaces".) What a user is told comes from the vectors themselves.
 */
#ifndef FR_SPFRESH_SPACE_H
#define FR_SPFRESH_SPACE_H

#include "freshet/index.h"
#include "freshet/status.h"
#include "spfresh/kernels.h"
#include "spfresh/rotation.h"

/* Far from both ends of what 16 bits hold: a vector may be 25 times as long as most. */
#define FR_SPACE_SQUARE 100.0f

struct fr_space {
    enum fr_metric metric;
    size_t dimension; /* of the user's vectors */
    size_t inner;     /* with the one more that an inner product takes */
    size_t dims;      /* of what they become */
    const struct fr_kernels *kernels;
    struct fr_rotation *rotation;
    float scale;
    float reach;   /* M above */
    float *center; /* rotated, not scaled; dims of them */
};

/* FR_ERR_NOMEM. Until it is calibrated the centre is the origin and the scale 1. */
FR_NODISCARD fr_status fr_space_init(struct fr_space *space, enum fr_metric metric,
        size_t dimension, uint64_t seed);

/* Accepts what was zeroed and never initialised. */
void fr_space_deinit(struct fr_space *space);

/*
 * Choose the centre and the scale by a sample of count vectors, one after the other. What was
 * mapped before is to be mapped again. longest: a length that the space has to reach as well; 0
 * where there is none. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_space_calibrate(struct fr_space *space, const float *sample, size_t count,
        float longest);

/* Its length, if the space has to reach that; else 0. */
float fr_space_length(const struct fr_space *space, const float *from);

/*
 * A row's vector, or a query, into dims floats. Any thread, but not beside a calibration; the
 * buffer takes part in between.
 */
void fr_space_map_row(const struct fr_space *space, const float *from, float *ret_to);
void fr_space_map_query(const struct fr_space *space, const float *from, float *ret_to);

/* Whether it is longer than the space reaches. */
bool fr_space_is_beyond(const struct fr_space *space, const float *from);

/* Between two mapped vectors. */
static inline float fr_space_distance(const struct fr_space *space, const float *a, const float *b)
{
    return space->kernels->l2(a, b, space->dims);
}

#endif
