#include "base/crew.h"

#include "base/mutex.h"
#include "base/thread.h"

/* What all share. */
struct shift {
    const struct fr_crew *crew;
    size_t count;
    fr_crew_fn *work;
    void *ctx;
    _Atomic(size_t) next; /* relaxed: the piece that is taken next */
    _Atomic(bool) over;   /* relaxed: it only has to be seen soon */
    struct fr_mutex mu;   /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct fr_error failure; /* the first; status 0: none */
};

/* And what each has of its own. */
struct member {
    struct shift *shift;
    size_t number;
    struct fr_thread thread;
};

static void fail(struct shift *shift)
{
    fr_mutex_lock(&shift->mu);
    if (shift->failure.status == FR_OK) fr_error_save(&shift->failure);
    fr_mutex_unlock(&shift->mu);
    atomic_store_explicit(&shift->over, true, memory_order_relaxed);
}

static fr_status work_on(struct member *m)
{
    struct shift *shift = m->shift;
    const _Atomic(bool) *stop = shift->crew->stop;
    fr_status st = FR_OK;

    while (st == FR_OK && !atomic_load_explicit(&shift->over, memory_order_relaxed)) {
        if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
            return FR_FAIL(FR_ERR_CANCELLED, "what was under way is not wanted any more");
        size_t piece = atomic_fetch_add_explicit(&shift->next, 1, memory_order_relaxed);
        if (piece >= shift->count) break;
        st = shift->work(shift->ctx, m->number, piece);
    }
    return st;
}

static void member_main(void *arg)
{
    struct member *m = arg;

    if (work_on(m) < 0) fail(m->shift);
}

fr_status fr_crew_run(const struct fr_crew *crew, size_t count, fr_crew_fn *work, void *ctx)
{
    struct shift shift = {.crew = crew, .count = count, .work = work, .ctx = ctx};
    struct member members[FR_CREW_MAX] = {0};
    size_t size = count < fr_crew_size(crew) ? count : fr_crew_size(crew);
    fr_status st = FR_OK;

    fr_mutex_init(&shift.mu, FR_RANK_LEAF);
    for (size_t i = 0; i < size && st == FR_OK; i++) {
        members[i] = (struct member){.shift = &shift, .number = i};
        if (i > 0) st = fr_thread_start(&members[i].thread, crew->name, member_main, &members[i]);
    }
    if (st < 0)
        fail(&shift);
    else if (size > 0)
        member_main(&members[0]);
    for (size_t i = 1; i < size; i++)
        fr_thread_join(&members[i].thread);
    if (shift.failure.status < 0) st = fr_error_restore(&shift.failure);
    fr_mutex_deinit(&shift.mu);
    return st;
}
