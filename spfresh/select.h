/*
 * select.h - the least of many, without sorting them all.
 */
#ifndef FR_SPFRESH_SELECT_H
#define FR_SPFRESH_SELECT_H

#include "spfresh/probe.h"

/*
 * Bring the nearest, count at the most, to the front and sort them, ties by slot; the answer is how
 * many there are. The others follow in no order. There is room for as many behind the scratch.
 */
size_t fr_select_found(struct fr_found *found, size_t size, size_t count, struct fr_found *scratch);

/*
 * A limit that at least count of the values do not exceed, and not more than most unless many are
 * alike. 0 < count <= most; count <= size.
 */
float fr_select_limit(const struct fr_kernels *kernels, const float *values, size_t size,
        size_t count, size_t most);

/* Of a heap of the k least values, the largest on top: add one, and drop the largest if it's one
 * too many. */
void fr_heap_push(float *heap, size_t *count, size_t k, float value);

#endif
