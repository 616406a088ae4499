#include "lsm/rate_limit.h"

#include "base/compiler.h"
#include "io/env.h"

/* A piece is what comes in so many microseconds, and no less than a page. */
#define PIECE_US    4000
#define PIECE_LEAST ((uint64_t)4096)

/* What nobody took is kept for so long. */
#define KEEP_US 10000

/* Nobody sleeps longer without looking whether the rate has changed. */
#define LOOK_US 5000

#define OTHERS_ONE_IN 8

void fr_rate_limiter_init(struct fr_rate_limiter *limiter, struct fr_env *env, uint64_t rate)
{
    *limiter = (struct fr_rate_limiter){.env = env};
    atomic_init(&limiter->rate, rate);
    fr_mutex_init(&limiter->mu, FR_RANK_LEAF);
}

void fr_rate_limiter_deinit(struct fr_rate_limiter *limiter)
{
    fr_mutex_deinit(&limiter->mu);
}

void fr_rate_limiter_set(struct fr_rate_limiter *limiter, uint64_t rate)
{
    atomic_store_explicit(&limiter->rate, rate, memory_order_relaxed);
}

static void fill_locked(struct fr_rate_limiter *l, double rate_us, uint64_t now_us)
        FR_REQUIRES(l->mu)
{
    if (now_us <= l->filled_us) return;
    if (l->filled_us != 0) l->bytes += rate_us * (double)(now_us - l->filled_us);
    l->bytes = FR_MIN(l->bytes, rate_us * KEEP_US);
    l->filled_us = now_us;
}

/* Whether it is somebody else's turn. */
static bool must_yield_locked(const struct fr_rate_limiter *l, bool urgent) FR_REQUIRES(l->mu)
{
    bool others_due = l->others_waiting > 0 && l->urgent_run >= OTHERS_ONE_IN - 1;

    return urgent ? others_due : l->urgent_waiting > 0 && !others_due;
}

static void count_piece_locked(struct fr_rate_limiter *l, bool urgent) FR_REQUIRES(l->mu)
{
    if (!urgent || l->others_waiting == 0)
        l->urgent_run = 0;
    else
        l->urgent_run++;
}

/* 0 if the piece is granted, else how long to wait before the next try. */
static uint64_t try_locked(struct fr_rate_limiter *l, size_t piece, bool urgent, double rate_us,
        uint64_t now_us) FR_REQUIRES(l->mu)
{
    fill_locked(l, rate_us, now_us);
    if (l->bytes < 0) {
        uint64_t wait_us = (uint64_t)(-l->bytes / rate_us) + 1;
        return FR_MIN(wait_us, (uint64_t)LOOK_US);
    }
    if (must_yield_locked(l, urgent)) return PIECE_US / 4;
    l->bytes -= (double)piece;
    count_piece_locked(l, urgent);
    return 0;
}

static void count_waiting(struct fr_rate_limiter *l, bool urgent, int by, uint64_t waited_us)
{
    unsigned *waiting = urgent ? &l->urgent_waiting : &l->others_waiting;

    fr_mutex_lock(&l->mu);
    *waiting += (unsigned)by;
    l->waited_us += waited_us;
    fr_mutex_unlock(&l->mu);
}

static size_t piece_of(uint64_t rate, size_t size)
{
    uint64_t piece = rate * PIECE_US / 1000000;

    piece = FR_MAX(piece, PIECE_LEAST);
    return piece < size ? (size_t)piece : size;
}

size_t fr_rate_limiter_take(struct fr_rate_limiter *l, size_t size, bool urgent)
{
    uint64_t rate, start_us, now_us;
    size_t piece = size;

    if (l == NULL || atomic_load_explicit(&l->rate, memory_order_relaxed) == 0) return size;
    start_us = now_us = fr_env_now_us(l->env);
    count_waiting(l, urgent, 1, 0);
    while ((rate = atomic_load_explicit(&l->rate, memory_order_relaxed)) > 0) {
        piece = piece_of(rate, size);
        fr_mutex_lock(&l->mu);
        uint64_t wait_us = try_locked(l, piece, urgent, (double)rate / 1e6, now_us);
        fr_mutex_unlock(&l->mu);
        if (wait_us == 0) break;
        fr_env_sleep_us(l->env, wait_us);
        now_us = fr_env_now_us(l->env);
    }
    count_waiting(l, urgent, -1, now_us - start_us);
    return rate == 0 ? size : piece;
}

uint64_t fr_rate_limiter_waited_us(struct fr_rate_limiter *l)
{
    fr_mutex_lock(&l->mu);
    uint64_t waited_us = l->waited_us;
    fr_mutex_unlock(&l->mu);
    return waited_us;
}
