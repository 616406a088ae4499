/*
 * schedule.h - who decides which thread goes on: the system, or a test.
 *
 * Threads meet at a few places only: mutexes, conditions, starting and joining, and pauses of loops
 * that wait. All of them are functions of this folder. While a schedule is set they ask it first,
 * so that it can run the threads one at a time, in an order of its own; what the order is for, and
 * how it is drawn, is the business of whoever sets it (io/sim_schedule.h). In use there is none,
 * and asking costs a load and a branch.
 *
 * A schedule may know only some of the threads. For the others its functions answer false, and the
 * system's own thing is done. What is shared by threads of both kinds it cannot order.
 */
#ifndef FR_BASE_SCHEDULE_H
#define FR_BASE_SCHEDULE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fr_cond;
struct fr_mutex;
struct fr_thread;

#define FR_SCHEDULE_FOREVER UINT64_MAX

/* `where` is the code that called, for reports. */
struct fr_schedule {
    /* Of the calling thread; false if it is not known. */
    bool (*lock)(struct fr_mutex *mutex, const void *where);
    bool (*unlock)(struct fr_mutex *mutex);
    bool (*wait)(struct fr_cond *cond, struct fr_mutex *mutex, uint64_t timeout_us,
            const void *where, bool *ret_woken); /* not woken: the time ran out */
    bool (*wake)(struct fr_cond *cond, bool all);
    bool (*pause)(void);
    bool (*number)(unsigned *ret_number); /* small, and the same in each run */

    /* What differs from run to run otherwise; false likewise. */
    bool (*entropy)(uint64_t *ret_value);

    /*
     * The life of a thread. Before the system starts it: takes it in by setting thread->scheduled,
     * or leaves it alone. After that, whether it was started. On the thread itself: first and last.
     * Then whoever joins it, before the system's join, which does not wait any more.
     */
    void (*starting)(struct fr_thread *thread);
    void (*started)(struct fr_thread *thread, bool ok);
    void (*begin)(struct fr_thread *thread);
    void (*end)(struct fr_thread *thread);
    void (*join)(struct fr_thread *thread, const void *where);
};

/* Relaxed: it is set and unset while no thread runs that it is to know, but the one that sets it.
 */
extern _Atomic(const struct fr_schedule *) fr_schedule_set;

/* The one that is set, or NULL. */
static inline const struct fr_schedule *fr_schedule(void)
{
    return atomic_load_explicit(&fr_schedule_set, memory_order_relaxed);
}

#endif
