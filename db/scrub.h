/*
 * scrub.h - for this folder only: an open store is read and checked over and over, slowly, by a
 * thread of its own.
 *
 * A byte that has rotted is told while there are other copies of it, and not when it is needed.
 * One walk is what fr_db_verify() does, with a limit for what is read in a second; the next begins
 * scrub_interval after the end of the one before, and the first as long after opening. Writers are
 * asked for nothing: the walk holds files as a reader does.
 */
#ifndef FR_DB_SCRUB_H
#define FR_DB_SCRUB_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "lsm/engine.h"
#include "lsm/rate_limit.h"

struct fr_scrub {
    struct fr_engine *engine; /* constant once it was opened */
    struct fr_rate_limiter limiter;
    _Atomic(bool) stop; /* relaxed */

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    uint64_t interval_us; /* 0: none begins */
    uint64_t from_us;     /* the interval is counted from here */
    bool has_thread;
    uint64_t running, count, bytes, findings, last_findings; /* as of the properties */
    struct fr_cond changed;

    struct fr_thread thread;
};

/* Nothing happens until there is an interval. */
void fr_scrub_open(struct fr_scrub *scrub, struct fr_engine *engine);

/* From now on so often, in seconds (0: not again), and so many bytes a second (0: no limit). */
FR_NODISCARD fr_status fr_scrub_set(struct fr_scrub *scrub, uint32_t interval_s, uint64_t rate);

/* What is under way is given up. Accepts what was zeroed and never opened. */
void fr_scrub_close(struct fr_scrub *scrub);

/* The figures of it, into those of the store. */
void fr_scrub_count(struct fr_scrub *scrub, struct fr_engine_stats *stats);

#endif
