/* crew.h - work in pieces, done by several threads, one of them the caller's. */
#ifndef FR_BASE_CREW_H
#define FR_BASE_CREW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct fr_crew {
    const char *name;          /* of its threads */
    size_t threads;            /* 1 at least; more than FR_CREW_MAX are as many */
    const _Atomic(bool) *stop; /* relaxed: no further piece is begun; or NULL */
};

#define FR_CREW_MAX ((size_t)16)

/*
 * One piece, by the thread of that number, below fr_crew_size(). FR_END: that thread takes no more.
 */
typedef fr_status fr_crew_fn(void *ctx, size_t member, size_t piece);

static inline size_t fr_crew_size(const struct fr_crew *crew)
{
    return crew->threads < FR_CREW_MAX ? crew->threads : FR_CREW_MAX;
}

/*
 * Do the pieces from 0 on, below count; each thread takes the next one when it is done with its
 * last. The answer is the first failure, after which no further piece is begun; FR_ERR_CANCELLED.
 * FR_ERR_NOMEM: a thread cannot be had.
 */
FR_NODISCARD fr_status fr_crew_run(const struct fr_crew *crew, size_t count, fr_crew_fn *work,
        void *ctx);

#endif
