/*
 * select.h - the least of many, without sorting them all.
 */
#ifndef FR_SPFRESH_SELECT_H
#define FR_SPFRESH_SELECT_H

#include "spfresh/probe.h"

/*
 * Bring the nearest, count at the most, to the front and sort them, ties by slot; the answer is how
 * many there are.
 */
size_t fr_select_found(struct fr_found *found, size_t size, size_t count);

/* Bring those with the least bounds to the front, in no order; the answer is how many. */
size_t fr_select_wanted(struct fr_wanted *wanted, size_t size, size_t count);

/* The least bound first. */
void fr_sort_wanted(struct fr_wanted *wanted, size_t size);

/* Of a heap of the k least values, the largest on top: add one, and drop the largest if it's one
 * too many. */
void fr_heap_push(float *heap, size_t *count, size_t k, float value);

#endif
