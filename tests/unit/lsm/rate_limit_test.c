/*
 * rate_limit_test.c - the limit of background writes, by the simulated machine's clock: whoever
 * sleeps there moves it on, and nobody really waits.
 */
#include "lsm/rate_limit.h"

#include "base/thread.h"
#include "io/sim.h"
#include "tests/unit/io/test_world.h"

#define MIB ((uint64_t)1 << 20)

struct bed {
    struct test_world world;
    struct fr_rate_limiter limiter;
};

static void open_bed(struct bed *bed, uint64_t rate)
{
    bed->world = test_world_open();
    fr_rate_limiter_init(&bed->limiter, bed->world.env, rate);
}

static void close_bed(struct bed *bed)
{
    fr_rate_limiter_deinit(&bed->limiter);
    test_world_close(&bed->world);
}

/* Write so much, by its pieces; the longest of them. */
static size_t take_all(struct bed *bed, uint64_t size, bool urgent)
{
    size_t longest = 0;

    while (size > 0) {
        size_t piece = fr_rate_limiter_take(&bed->limiter, (size_t)size, urgent);
        cr_assert(piece > 0 && piece <= size);
        longest = FR_MAX(longest, piece);
        size -= piece;
    }
    return longest;
}

static double seconds(struct bed *bed, uint64_t size)
{
    uint64_t start_us = fr_env_now_us(bed->world.env);

    take_all(bed, size, true);
    return (double)(fr_env_now_us(bed->world.env) - start_us) / 1e6;
}

Test(rate_limit, without_a_rate_all_is_granted_at_once)
{
    struct bed bed;

    open_bed(&bed, 0);
    cr_assert_eq(fr_rate_limiter_take(&bed.limiter, 123456789, false), 123456789);
    cr_assert_eq(fr_rate_limiter_take(NULL, 123456789, false), 123456789);
    cr_assert_eq(fr_rate_limiter_waited_us(&bed.limiter), 0);
    close_bed(&bed);
}

Test(rate_limit, bytes_take_their_time_in_small_pieces)
{
    static const uint64_t rates[] = {64 << 10, MIB, 50 * MIB, 1000 * MIB};

    for (size_t i = 0; i < FR_ARRAY_COUNT(rates); i++) {
        struct bed bed;
        open_bed(&bed, rates[i]);
        take_all(&bed, rates[i] / 10, true);
        double took = seconds(&bed, 5 * rates[i]);
        cr_assert(took > 4.8 && took < 5.3, "%f s at %llu", took, (unsigned long long)rates[i]);
        cr_assert_leq(take_all(&bed, rates[i], true), FR_MAX(rates[i] / 200, (uint64_t)4096),
                "pieces of some milliseconds");
        close_bed(&bed);
    }
}

Test(rate_limit, what_was_not_used_is_not_saved_up)
{
    struct bed bed;

    open_bed(&bed, MIB);
    take_all(&bed, MIB, true);
    fr_env_sleep_us(bed.world.env, 60 * 1000000);
    cr_assert_gt(seconds(&bed, MIB), 0.95);
    close_bed(&bed);
}

Test(rate_limit, a_new_rate_counts_from_then_on)
{
    struct bed bed;

    open_bed(&bed, MIB);
    double slow = seconds(&bed, MIB);
    fr_rate_limiter_set(&bed.limiter, 10 * MIB);
    double fast = seconds(&bed, 10 * MIB);
    cr_assert(slow > 0.9 && slow < 1.1 && fast > 0.9 && fast < 1.1, "%f, %f", slow, fast);
    fr_rate_limiter_set(&bed.limiter, 0);
    cr_assert_lt(seconds(&bed, 1000 * MIB), 0.001);
    close_bed(&bed);
}

/* Both kinds wait: told apart by hand, because threads would make it a matter of luck. */
Test(rate_limit, urgent_pieces_go_first_but_for_one_in_eight)
{
    struct bed bed;
    unsigned urgent = 0, others = 0;

    open_bed(&bed, MIB);
    for (int i = 0; i < 160; i++) {
        /* The one that does not get its turn would sleep for ever: so ask who may. */
        bool others_due = bed.limiter.urgent_run >= 7;
        bed.limiter.urgent_waiting = others_due;
        bed.limiter.others_waiting = !others_due;
        (void)fr_rate_limiter_take(&bed.limiter, 4096, !others_due);
        urgent += !others_due;
        others += others_due;
    }
    cr_assert_eq(others, 20);
    cr_assert_eq(urgent, 140);
    bed.limiter.urgent_waiting = bed.limiter.others_waiting = 0;
    close_bed(&bed);
}

struct taker {
    struct bed *bed;
    bool urgent;
    uint64_t done_us;
};

static void run_taker(void *arg)
{
    struct taker *taker = arg;

    take_all(taker->bed, MIB, taker->urgent);
    taker->done_us = fr_env_now_us(taker->bed->world.env);
}

Test(rate_limit, two_threads_share_one_rate)
{
    struct bed bed;
    struct fr_thread threads[2] = {0};
    struct taker takers[2] = {{&bed, true, 0}, {&bed, false, 0}};

    open_bed(&bed, 4 * MIB);
    uint64_t start_us = fr_env_now_us(bed.world.env);
    for (int i = 0; i < 2; i++)
        must(fr_thread_start(&threads[i], "taker", run_taker, &takers[i]));
    for (int i = 0; i < 2; i++)
        fr_thread_join(&threads[i]);
    uint64_t end_us = FR_MAX(takers[0].done_us, takers[1].done_us);
    cr_assert_gt(end_us - start_us, 480000);
    close_bed(&bed);
}
