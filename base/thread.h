/* thread.h - threads of our own: named, with signals blocked, joined by whoever started them. */
#ifndef FR_BASE_THREAD_H
#define FR_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "base/status.h"

struct fr_thread {
    pthread_t os;
    void (*run)(void *arg);
    void *arg;
    char name[16];
    bool started;
    void *scheduled; /* what a schedule knows it by, or NULL (base/schedule.h) */
};

/*
 * Run a function on a thread of its own until it returns. The struct must stay where it is until
 * fr_thread_join(). Signals are blocked there, as they belong to the host; only those that a fault
 * raises in the thread itself are not. The name is cut at 15 bytes. FR_ERR_NOMEM: the system
 * refuses another thread, nothing was started.
 */
FR_NODISCARD fr_status fr_thread_start(struct fr_thread *thread, const char *name,
        void (*run)(void *arg), void *arg);

/* Wait until the function has returned. A thread that was never started is fine. */
void fr_thread_join(struct fr_thread *thread);

/* One turn of a loop that waits for a moment: the processor may rest a little. */
void fr_thread_pause(void);

/* A small number of this thread's, to spread threads over stripes; others may have the same. */
unsigned fr_thread_number(void);

/* How many processors this process may use; at least 1. */
unsigned fr_thread_cpu_count(void);

#endif
