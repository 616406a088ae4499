#include "base/mutex.h"

#include <errno.h>
#include <time.h>

#include "base/assert.h"
#include "base/schedule.h"

/* The code that has called this function. */
#define CALLER __builtin_return_address(0)

/* Locks held at once by one thread. More than this would be a design to reconsider. */
#define HELD_MAX 16

#ifndef NDEBUG
static _Thread_local const struct fr_mutex *held[HELD_MAX];
static _Thread_local unsigned held_count;

static void note_lock(const struct fr_mutex *mutex)
{
    FR_ASSERT(held_count < HELD_MAX);
    for (unsigned i = 0; i < held_count; i++)
        FR_ASSERT(held[i]->rank < mutex->rank);
    held[held_count++] = mutex;
}

static void note_unlock(const struct fr_mutex *mutex)
{
    unsigned i = held_count;

    while (i > 0 && held[i - 1] != mutex)
        i--;
    FR_ASSERT(i > 0);
    for (; i < held_count; i++)
        held[i - 1] = held[i];
    held_count--;
}

void fr_mutex_assert_held(const struct fr_mutex *mutex)
{
    bool found = false;

    for (unsigned i = 0; i < held_count; i++)
        found |= held[i] == mutex;
    FR_ASSERT(found);
}
#else
static void note_lock(const struct fr_mutex *mutex)
{
    (void)mutex;
}

static void note_unlock(const struct fr_mutex *mutex)
{
    (void)mutex;
}

void fr_mutex_assert_held(const struct fr_mutex *mutex)
{
    (void)mutex;
}
#endif

void fr_mutex_init(struct fr_mutex *mutex, enum fr_lock_rank rank)
{
    FR_ASSERT(rank > FR_RANK_NONE && rank <= FR_RANK_LEAF);
    mutex->rank = rank;
    FR_ASSERT(pthread_mutex_init(&mutex->os, NULL) == 0);
}

void fr_mutex_deinit(struct fr_mutex *mutex)
{
    FR_ASSERT(pthread_mutex_destroy(&mutex->os) == 0);
}

void fr_mutex_lock(struct fr_mutex *mutex) FR_NO_LOCK_ANALYSIS
{
    const struct fr_schedule *schedule = fr_schedule();

    note_lock(mutex);
    if (FR_UNLIKELY(schedule != NULL) && schedule->lock(mutex, CALLER)) return;
    FR_ASSERT(pthread_mutex_lock(&mutex->os) == 0);
}

void fr_mutex_unlock(struct fr_mutex *mutex) FR_NO_LOCK_ANALYSIS
{
    const struct fr_schedule *schedule = fr_schedule();

    note_unlock(mutex);
    if (FR_UNLIKELY(schedule != NULL) && schedule->unlock(mutex)) return;
    FR_ASSERT(pthread_mutex_unlock(&mutex->os) == 0);
}

void fr_cond_init(struct fr_cond *cond)
{
    pthread_condattr_t attr;

    FR_ASSERT(pthread_condattr_init(&attr) == 0);
    FR_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    FR_ASSERT(pthread_cond_init(&cond->os, &attr) == 0);
    pthread_condattr_destroy(&attr);
}

void fr_cond_deinit(struct fr_cond *cond)
{
    FR_ASSERT(pthread_cond_destroy(&cond->os) == 0);
}

static void wait_system(struct fr_cond *cond, struct fr_mutex *mutex)
{
    FR_ASSERT(pthread_cond_wait(&cond->os, &mutex->os) == 0);
}

static bool wait_system_for(struct fr_cond *cond, struct fr_mutex *mutex, uint64_t timeout_us)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    uint64_t ns = (uint64_t)until.tv_nsec + timeout_us % 1000000 * 1000;
    until.tv_sec += (time_t)(timeout_us / 1000000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    int rc = pthread_cond_timedwait(&cond->os, &mutex->os, &until);
    FR_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

void fr_cond_wait(struct fr_cond *cond, struct fr_mutex *mutex)
{
    const struct fr_schedule *schedule = fr_schedule();
    bool woken;

    note_unlock(mutex);
    if (schedule == NULL || !schedule->wait(cond, mutex, FR_SCHEDULE_FOREVER, CALLER, &woken))
        wait_system(cond, mutex);
    note_lock(mutex);
}

bool fr_cond_wait_for(struct fr_cond *cond, struct fr_mutex *mutex, uint64_t timeout_us)
{
    const struct fr_schedule *schedule = fr_schedule();
    bool woken;

    note_unlock(mutex);
    if (schedule == NULL || !schedule->wait(cond, mutex, timeout_us, CALLER, &woken))
        woken = wait_system_for(cond, mutex, timeout_us);
    note_lock(mutex);
    return woken;
}

void fr_cond_signal(struct fr_cond *cond)
{
    const struct fr_schedule *schedule = fr_schedule();

    if (FR_UNLIKELY(schedule != NULL) && schedule->wake(cond, false)) return;
    FR_ASSERT(pthread_cond_signal(&cond->os) == 0);
}

void fr_cond_broadcast(struct fr_cond *cond)
{
    const struct fr_schedule *schedule = fr_schedule();

    if (FR_UNLIKELY(schedule != NULL) && schedule->wake(cond, true)) return;
    FR_ASSERT(pthread_cond_broadcast(&cond->os) == 0);
}
