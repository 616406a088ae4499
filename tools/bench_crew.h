/*
 * bench_crew.h - some threads that do the same again and again, and how long each time took.
 */
#ifndef FR_TOOLS_BENCH_CREW_H
#define FR_TOOLS_BENCH_CREW_H

#include <stdint.h>

#include "base/histogram.h"
#include "base/status.h"

#define FR_BENCH_THREADS_MAX 64

struct fr_bench_result {
    uint64_t count; /* of steps */
    uint64_t elapsed_ns;
    struct fr_histogram latency; /* of steps, ns */
};

/*
 * What a thread does once: turn counts from 0 in each. FR_END: there is nothing more to do for
 * anybody. A failure ends it all.
 */
typedef fr_status (*fr_bench_step)(void *context, unsigned thread, uint64_t turn);

/*
 * Go on for so long (0: until FR_END). FR_ERR_CANCELLED: the user has had enough
 * (tools/interrupt.h); or the failure that came first.
 */
FR_NODISCARD fr_status fr_bench_run(unsigned threads, uint64_t duration_ns, fr_bench_step step,
        void *context, struct fr_bench_result *ret_result);

uint64_t fr_bench_now_ns(void);

static inline double fr_bench_rate(const struct fr_bench_result *result, uint64_t per_step)
{
    if (result->elapsed_ns == 0) return 0;
    return (double)(result->count * per_step) * 1e9 / (double)result->elapsed_ns;
}

#endif
