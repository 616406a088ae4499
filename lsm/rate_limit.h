/*
 * rate_limit.h - so many bytes a second, for what is written in the background.
 *
 * A bucket that fills evenly and is asked for small pieces, of a few milliseconds' worth each: so
 * the device sees a steady trickle, and a reader never waits behind a burst. A piece is granted
 * when nothing is owed any more, and owed from then on. Urgent takers (flushes, for which writers
 * wait) go first; while both wait, every eighth piece goes to the others, or compaction would never
 * come to its end and level 0 would grow without bound.
 *
 * The rate may be changed at any time; those who wait notice within some milliseconds. Any thread.
 */
#ifndef FR_LSM_RATE_LIMIT_H
#define FR_LSM_RATE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"

struct fr_env;

struct fr_rate_limiter {
    struct fr_env *env;
    _Atomic(uint64_t) rate; /* bytes a second, 0 for no limit; relaxed */

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    double bytes; /* to spend; below 0: owed */
    uint64_t filled_us;
    unsigned urgent_waiting;
    unsigned others_waiting;
    unsigned urgent_run; /* pieces since the others had one, while they wait */
    uint64_t waited_us;
};

void fr_rate_limiter_init(struct fr_rate_limiter *limiter, struct fr_env *env, uint64_t rate);
void fr_rate_limiter_deinit(struct fr_rate_limiter *limiter);

void fr_rate_limiter_set(struct fr_rate_limiter *limiter, uint64_t rate);

/*
 * Wait until something of size may be written, and answer how much: a piece, or all of it if there
 * is no limit. The caller writes it and asks again. NULL limits nothing.
 */
size_t fr_rate_limiter_take(struct fr_rate_limiter *limiter, size_t size, bool urgent);

/* Microseconds that takers have waited, all together. */
uint64_t fr_rate_limiter_waited_us(struct fr_rate_limiter *limiter);

#endif
