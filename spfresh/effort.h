/*
 * effort.h - how hard to look, for how much of what is nearest.
 *
 * A ladder of efforts, each with the recall that it reaches. What it reaches depends on the data;
 * until an index has measured that (index_effort.c) the ladder says what it is for SIFT descriptors
 * (docs/index.md).
 */
#ifndef FR_SPFRESH_EFFORT_H
#define FR_SPFRESH_EFFORT_H

#include <stdatomic.h>

#include "spfresh/probe.h"

#define FR_EFFORT_STEPS 9

/* Any thread. */
struct fr_efforts {
    _Atomic(float) recalls[FR_EFFORT_STEPS]; /* relaxed; ascending, below one */
};

void fr_efforts_init(struct fr_efforts *efforts);

/* The effort of one step of the ladder. */
struct fr_effort fr_effort_step(size_t step);

/* What was measured, step by step; the last step is what the others were compared with. */
void fr_efforts_set(struct fr_efforts *efforts, const double *recalls);

/* The effort for a recall, between two steps if need be; the most there is for one out of reach. */
struct fr_effort fr_effort_for(const struct fr_efforts *efforts, double recall);

/* What goes with so many postings. */
struct fr_effort fr_effort_of(size_t postings);

#endif
