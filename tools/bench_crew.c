#include "tools/bench_crew.h"

#include <stdatomic.h>
#include <time.h>

#include "base/alloc.h"
#include "base/thread.h"
#include "tools/interrupt.h"

struct crew;

struct worker {
    struct crew *crew;
    unsigned number;
    fr_status status;
    struct fr_error error;
    struct fr_histogram latency;
    struct fr_thread thread;
};

struct crew {
    fr_bench_step step;
    void *context;
    uint64_t end_ns;    /* UINT64_MAX: until there is nothing more to do */
    _Atomic(bool) over; /* relaxed: a hint to stop */
};

uint64_t fr_bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The end of a step is the beginning of the next one. */
static void run_worker(void *arg)
{
    struct worker *w = arg;
    struct crew *crew = w->crew;
    uint64_t before = fr_bench_now_ns();

    for (uint64_t turn = 0; before < crew->end_ns; turn++) {
        if (atomic_load_explicit(&crew->over, memory_order_relaxed) || fr_interrupted()) return;
        w->status = crew->step(crew->context, w->number, turn);
        if (w->status != FR_OK) break;
        uint64_t now = fr_bench_now_ns();
        fr_histogram_record(&w->latency, now - before);
        before = now;
    }
    if (w->status < 0) fr_error_save(&w->error);
    if (w->status != FR_OK) atomic_store_explicit(&crew->over, true, memory_order_relaxed);
}

static fr_status start(struct crew *crew, struct worker *workers, unsigned count)
{
    fr_status st = FR_OK;

    for (unsigned i = 0; i < count && st == FR_OK; i++) {
        struct worker *w = &workers[i];
        w->crew = crew;
        w->number = i;
        w->error.size = sizeof(w->error);
        fr_histogram_init(&w->latency);
        st = fr_thread_start(&w->thread, "bench", run_worker, w);
    }
    if (st < 0) atomic_store_explicit(&crew->over, true, memory_order_relaxed);
    return st;
}

static fr_status sum_up(const struct worker *workers, unsigned count,
        struct fr_bench_result *ret_result)
{
    fr_histogram_init(&ret_result->latency);
    for (unsigned i = 0; i < count; i++) {
        if (workers[i].status < 0) return fr_error_restore(&workers[i].error);
        fr_histogram_merge(&ret_result->latency, &workers[i].latency);
    }
    ret_result->count = ret_result->latency.count;
    return fr_interrupted() ? FR_FAIL(FR_ERR_CANCELLED, "interrupted") : FR_OK;
}

fr_status fr_bench_run(unsigned threads, uint64_t duration_ns, fr_bench_step step, void *context,
        struct fr_bench_result *ret_result)
{
    struct crew crew = {.step = step, .context = context, .end_ns = UINT64_MAX};
    struct worker *workers = fr_alloc_zeroed(threads, sizeof(*workers));
    uint64_t begin = fr_bench_now_ns();

    if (workers == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %u threads", threads);
    if (duration_ns > 0) crew.end_ns = begin + duration_ns;
    fr_status st = start(&crew, workers, threads);
    for (unsigned i = 0; i < threads; i++)
        fr_thread_join(&workers[i].thread);
    ret_result->elapsed_ns = fr_bench_now_ns() - begin;
    if (st == FR_OK) st = sum_up(workers, threads, ret_result);
    fr_free(workers);
    return st;
}
