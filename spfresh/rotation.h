/*
 * rotation.h - the one rotation that all vectors of an index go through before they are coded.
 *
 * Rounds of sign flips, drawn from the index's seed, and of Hadamard's transform. It keeps lengths
 * and angles, and spreads what a vector has in few dimensions over all of them, so that one code
 * fits every set of data. Vectors come out with FR_CODE_DIMS dividing their dimensions, the missing
 * ones being zeros that are rotated in. If no power of two has that many, the rounds transform the
 * first and the last so many by turns. See A. Ailon and B. Chazelle, "The fast
 * Johnson-Lindenstrauss transform", and the RaBitQ papers.
 */
#ifndef FR_SPFRESH_ROTATION_H
#define FR_SPFRESH_ROTATION_H

#include <stddef.h>
#include <stdint.h>

#include "freshet/status.h"

#define FR_DIMENSION_MAX 16384

struct fr_rotation;

/* dimension is 1 to FR_DIMENSION_MAX. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_rotation_new(size_t dimension, uint64_t seed,
        struct fr_rotation **ret_rotation);

/* Accepts NULL. */
void fr_rotation_free(struct fr_rotation *rotation);

/* The dimensions of what comes out. */
size_t fr_rotation_dims(const struct fr_rotation *rotation);

/* From so many floats as the dimension says to fr_rotation_dims of them, in place or not. Any
 * thread. */
void fr_rotation_apply(const struct fr_rotation *rotation, const float *from, float *ret_to);

#endif
