#include <criterion/criterion.h>
#include <signal.h>
#include <time.h>

#include "base/alloc.h"
#include "base/mutex.h"
#include "base/thread.h"

static struct fr_mutex outer, inner;

static void init_both(void)
{
    fr_mutex_init(&outer, FR_RANK_IO_POOL);
    fr_mutex_init(&inner, FR_RANK_LEAF);
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct counter {
    struct fr_mutex mu;
    uint64_t value; /* guarded by mu */
};

static void count_up(void *arg)
{
    struct counter *counter = arg;

    for (int i = 0; i < 20000; i++) {
        fr_mutex_lock(&counter->mu);
        counter->value++;
        fr_mutex_unlock(&counter->mu);
    }
}

Test(mutex, excludes)
{
    struct counter counter = {0};
    struct fr_thread threads[4];

    fr_mutex_init(&counter.mu, FR_RANK_LEAF);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(fr_thread_start(&threads[i], "counter", count_up, &counter), FR_OK);
    for (int i = 0; i < 4; i++)
        fr_thread_join(&threads[i]);
    cr_assert_eq(counter.value, 80000);
    fr_mutex_deinit(&counter.mu);
}

Test(mutex, ranks_may_rise_and_locks_may_be_released_in_any_order)
{
    init_both();
    for (int i = 0; i < 3; i++) {
        fr_mutex_lock(&outer);
        fr_mutex_lock(&inner);
        fr_mutex_assert_held(&outer);
        fr_mutex_assert_held(&inner);
        fr_mutex_unlock(&outer);
        fr_mutex_assert_held(&inner);
        fr_mutex_unlock(&inner);
    }
    fr_mutex_deinit(&outer);
    fr_mutex_deinit(&inner);
}

#ifndef NDEBUG

/* Past the compiler's analysis, which sees these mistakes as well. */
static void lock_wrongly(struct fr_mutex *mutex) FR_NO_LOCK_ANALYSIS
{
    fr_mutex_lock(mutex);
}

static void unlock_wrongly(struct fr_mutex *mutex) FR_NO_LOCK_ANALYSIS
{
    fr_mutex_unlock(mutex);
}

#ifndef FR_SANITIZED
static void wait_wrongly(struct fr_cond *cond, struct fr_mutex *mutex) FR_NO_LOCK_ANALYSIS
{
    (void)fr_cond_wait_for(cond, mutex, 1000);
}
#endif

Test(mutex, a_falling_rank_aborts, .signal = SIGABRT)
{
    init_both();
    lock_wrongly(&inner);
    lock_wrongly(&outer);
}

Test(mutex, an_equal_rank_aborts, .signal = SIGABRT)
{
    struct fr_mutex twin;

    init_both();
    fr_mutex_init(&twin, FR_RANK_LEAF);
    lock_wrongly(&inner);
    lock_wrongly(&twin);
}

Test(mutex, locking_twice_aborts, .signal = SIGABRT)
{
    init_both();
    lock_wrongly(&inner);
    lock_wrongly(&inner);
}

Test(mutex, unlocking_what_is_not_held_aborts, .signal = SIGABRT)
{
    init_both();
    unlock_wrongly(&inner);
}

Test(mutex, asserting_a_lock_that_is_not_held_aborts, .signal = SIGABRT)
{
    init_both();
    lock_wrongly(&outer);
    fr_mutex_assert_held(&inner);
}

static void assert_held_elsewhere(void *arg)
{
    fr_mutex_assert_held(arg);
}

Test(mutex, a_lock_of_another_thread_is_not_held_here, .signal = SIGABRT)
{
    struct fr_thread thread;

    init_both();
    lock_wrongly(&inner);
    if (fr_thread_start(&thread, "other", assert_held_elsewhere, &inner) != FR_OK) return;
    fr_thread_join(&thread);
}

/* ThreadSanitizer has an eye for this order of its own, and speaks first. */
#ifndef FR_SANITIZED
Test(mutex, ranks_are_checked_after_waiting_too, .signal = SIGABRT)
{
    struct fr_cond cond;

    init_both();
    fr_cond_init(&cond);
    lock_wrongly(&outer);
    lock_wrongly(&inner);
    wait_wrongly(&cond, &outer);
}
#endif
#endif

struct table_tennis {
    struct fr_mutex mu;
    struct fr_cond turned;
    int turn; /* guarded by mu */
};

static void play(struct table_tennis *game, int me)
{
    for (int i = 0; i < 1000; i++) {
        fr_mutex_lock(&game->mu);
        while (game->turn != me)
            fr_cond_wait(&game->turned, &game->mu);
        game->turn = !me;
        fr_cond_signal(&game->turned);
        fr_mutex_unlock(&game->mu);
    }
}

static void play_second(void *arg)
{
    play(arg, 1);
}

Test(mutex, waiting_releases_and_takes_back)
{
    struct table_tennis game = {0};
    struct fr_thread thread;

    fr_mutex_init(&game.mu, FR_RANK_LEAF);
    fr_cond_init(&game.turned);
    cr_assert_eq(fr_thread_start(&thread, "second", play_second, &game), FR_OK);
    play(&game, 0);
    fr_thread_join(&thread);
    cr_assert_eq(game.turn, 0);
    fr_cond_deinit(&game.turned);
    fr_mutex_deinit(&game.mu);
}

Test(mutex, waiting_ends_when_the_time_runs_out)
{
    struct fr_cond cond;

    init_both();
    fr_cond_init(&cond);
    fr_mutex_lock(&inner);
    uint64_t before = now_us();
    while (fr_cond_wait_for(&cond, &inner, 20000)) /* again after a spurious wake-up */
        ;
    cr_assert_geq(now_us() - before, 20000);
    fr_mutex_assert_held(&inner);
    cr_assert(!fr_cond_wait_for(&cond, &inner, 0));
    fr_mutex_unlock(&inner);
    fr_cond_deinit(&cond);
}

struct gate {
    struct fr_mutex mu;
    struct fr_cond opened;
    bool open;  /* guarded by mu */
    int passed; /* guarded by mu */
};

static void pass(void *arg)
{
    struct gate *gate = arg;

    fr_mutex_lock(&gate->mu);
    while (!gate->open)
        (void)fr_cond_wait_for(&gate->opened, &gate->mu, UINT64_MAX);
    gate->passed++;
    fr_mutex_unlock(&gate->mu);
}

Test(mutex, a_broadcast_wakes_everybody_even_from_an_endless_wait)
{
    struct gate gate = {0};
    struct fr_thread threads[4];

    fr_mutex_init(&gate.mu, FR_RANK_LEAF);
    fr_cond_init(&gate.opened);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(fr_thread_start(&threads[i], "guest", pass, &gate), FR_OK);
    fr_mutex_lock(&gate.mu);
    gate.open = true;
    fr_cond_broadcast(&gate.opened);
    fr_mutex_unlock(&gate.mu);
    for (int i = 0; i < 4; i++)
        fr_thread_join(&threads[i]);
    cr_assert_eq(gate.passed, 4);
}
