/*
 * mutex.h - mutexes with ranks, and condition variables.
 *
 * Every mutex has a rank from base/lock_ranks.h. Debug builds assert that a thread takes locks in
 * rising order only, which makes a deadlock by lock order impossible rather than rare.
 */
#ifndef FR_BASE_MUTEX_H
#define FR_BASE_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/lock_ranks.h"

struct FR_CAPABILITY fr_mutex {
    pthread_mutex_t os;
    enum fr_lock_rank rank;
};

struct fr_cond {
    pthread_cond_t os;
};

void fr_mutex_init(struct fr_mutex *mutex, enum fr_lock_rank rank);
void fr_mutex_deinit(struct fr_mutex *mutex);
void fr_mutex_lock(struct fr_mutex *mutex) FR_ACQUIRES(*mutex);
void fr_mutex_unlock(struct fr_mutex *mutex) FR_RELEASES(*mutex);

/* Assert that this thread holds the mutex; debug builds only. */
void fr_mutex_assert_held(const struct fr_mutex *mutex);

/* Waiting uses the monotonic clock. Wake-ups may be spurious: wait in a loop over the condition. */
void fr_cond_init(struct fr_cond *cond);
void fr_cond_deinit(struct fr_cond *cond);
void fr_cond_wait(struct fr_cond *cond, struct fr_mutex *mutex) FR_REQUIRES(*mutex);

/* The same for at most timeout_us; false if the time ran out. */
bool fr_cond_wait_for(struct fr_cond *cond, struct fr_mutex *mutex, uint64_t timeout_us)
        FR_REQUIRES(*mutex);
void fr_cond_signal(struct fr_cond *cond);
void fr_cond_broadcast(struct fr_cond *cond);

#endif
