#include "base/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/schedule.h"

/*
 * All signals are the host's business, but those that a fault in this very thread raises: blocked,
 * they would kill the process past the host's crash reporter, or a debugger's breakpoint.
 */
static void fill_blocked(sigset_t *blocked)
{
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT};

    sigfillset(blocked);
    for (size_t i = 0; i < FR_ARRAY_COUNT(own); i++)
        sigdelset(blocked, own[i]);
}

static void *thread_main(void *arg)
{
    struct fr_thread *thread = arg;

    pthread_setname_np(pthread_self(), thread->name);
    if (thread->scheduled != NULL) fr_schedule()->begin(thread);
    thread->run(thread->arg);
    if (thread->scheduled != NULL) fr_schedule()->end(thread);
    return NULL;
}

fr_status fr_thread_start(struct fr_thread *thread, const char *name, void (*run)(void *arg),
        void *arg)
{
    const struct fr_schedule *schedule = fr_schedule();
    sigset_t blocked, before;

    thread->scheduled = NULL;
    thread->run = run;
    thread->arg = arg;
    snprintf(thread->name, sizeof(thread->name), "%s", name);
    /* The mask is inherited: set it here, so that no signal can slip in at the thread's start. */
    fill_blocked(&blocked);
    if (schedule != NULL) schedule->starting(thread);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int rc = pthread_create(&thread->os, NULL, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    thread->started = rc == 0;
    if (schedule != NULL && thread->scheduled != NULL) schedule->started(thread, rc == 0);
    if (rc == 0) return FR_OK;
    return fr_error_set(FR_ERR_NOMEM, rc, __FILE__, __LINE__, "cannot start the thread %s", name);
}

void fr_thread_join(struct fr_thread *thread)
{
    if (!thread->started) return;
    if (thread->scheduled != NULL) fr_schedule()->join(thread, __builtin_return_address(0));
    FR_ASSERT(pthread_join(thread->os, NULL) == 0);
    thread->started = false;
}

unsigned fr_thread_number(void)
{
    static _Atomic(unsigned) next; /* relaxed: any spread is good */
    const struct fr_schedule *schedule = fr_schedule();
    unsigned number;

    if (schedule != NULL && schedule->number(&number)) return number;
    return atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
}

unsigned fr_thread_cpu_count(void)
{
    unsigned number;
    cpu_set_t set;

    /* One decides by this how to wait; that must not differ from machine to machine there. */
    if (fr_schedule() != NULL && fr_schedule()->number(&number)) return 2;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
    int count = CPU_COUNT(&set);
    return count < 1 ? 1 : (unsigned)count;
}

void fr_thread_pause(void)
{
    const struct fr_schedule *schedule = fr_schedule();

    if (FR_UNLIKELY(schedule != NULL) && schedule->pause()) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
