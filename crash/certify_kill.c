/*
 * certify_kill.c - processes killed at random, and around each of their system calls.
 *
 * At random means at any instruction, the copies into the log's memory included, which no system
 * call is near; around each system call means that no step towards the disk is left out. One store
 * goes through many deaths. Each process first compares what it finds. Some do nothing else and
 * live; the others are killed as well, perhaps before they have, and then it is for the next one.
 */
#include <inttypes.h>
#include <stdio.h>

#include "crash/certify_priv.h"

/* Steps of a process that is killed at random, and of one that is killed around its calls. */
#define STEPS_LEAST  10
#define STEPS_MOST   90
#define STEPS_TRACED 10

/* Processes that one store has, so that its next one has another configuration. */
#define LIVES_MOST 40

static bool is_due(const struct fr_certify_work *w, unsigned steps)
{
    return w->lives == 0 || w->lives >= LIVES_MOST || fr_certify_is_old(w, steps);
}

/* A store that is left has been compared, whatever its last process was. */
static fr_status renew(struct fr_certify_work *w)
{
    fr_status st = FR_OK;

    if (w->lives > 0) FR_TRY(fr_certify_compare(w, false));
    fr_certify_begin_store(w, false);
out:
    return st;
}

/* How long a process takes that is not killed: the moments are chosen below that. */
static fr_status measure(struct fr_certify_work *w, uint64_t *ret_us)
{
    struct fr_life life = fr_certify_life(w, STEPS_MOST);
    struct fr_certify_end end;
    fr_status st;

    life.closes = true;
    FR_TRY(fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end));
    *ret_us = end.spent_us;
out:
    return st;
}

fr_status fr_certify_run_kill(struct fr_certify_work *w)
{
    uint64_t most_us = 0;
    fr_status st = FR_OK;

    w->lives = 0;
    while (!fr_certify_is_over(w)) {
        unsigned steps = (unsigned)fr_rng_between(&w->rng, STEPS_LEAST, STEPS_MOST);
        struct fr_certify_end end;
        if (is_due(w, STEPS_MOST)) {
            FR_TRY(renew(w));
            FR_TRY(measure(w, &most_us));
        }
        struct fr_life life = fr_certify_life(w, steps);
        life.closes = fr_rng_one_in(&w->rng, 2);
        uint64_t usual_us = most_us * (steps + STEPS_LEAST) / STEPS_MOST;
        FR_TRY(fr_certify_live(w, &life, fr_rng_below(&w->rng, usual_us + 1), &end));
        if (fr_rng_one_in(&w->rng, 3)) FR_TRY(fr_certify_compare(w, false));
    }
    if (w->lives > 0) FR_TRY(fr_certify_compare(w, false));
out:
    return st;
}

/* ---- around each system call */

/*
 * The stops of one process, counted on one that lives, in an order that is spread evenly however
 * soon it ends, and has each of them once if it does not: steps of the golden ratio around a ring
 * of them.
 */
struct sweep {
    uint64_t stops;
    uint64_t stride; /* no divisor in common with stops */
    uint64_t at;     /* below stops */
    uint64_t done;
};

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void begin_sweep(struct sweep *sweep, uint64_t stops, uint64_t begin)
{
    *sweep = (struct sweep){.stops = stops, .at = begin % stops};
    sweep->stride = FR_MAX((uint64_t)((double)stops * 0.6180339887), (uint64_t)1);
    while (common_divisor(sweep->stride, stops) != 1)
        sweep->stride++;
}

static uint64_t next_stop(struct sweep *sweep)
{
    sweep->at = (sweep->at + sweep->stride) % sweep->stops;
    sweep->done++;
    return sweep->at + 1;
}

static fr_status trace(struct fr_certify_work *w, uint64_t kill_at, struct fr_certify_end *ret_end)
{
    struct fr_life life = fr_certify_life(w, STEPS_TRACED);
    fr_status st;

    life.traced = true;
    life.closes = true;
    st = fr_certify_trace(w, &life, kill_at, ret_end);
    if (st == FR_ERR_UNSUPPORTED) return fr_certify_skip(w, "%s", fr_last_error());
    FR_TRY(st);
    st = fr_certify_judge(w, ret_end);
out:
    return st;
}

/* The second process of a store is counted: it has something to recover. */
static fr_status count_stops(struct fr_certify_work *w, struct sweep *sweep)
{
    struct fr_certify_end end;
    fr_status st;

    FR_TRY(trace(w, 0, &end));
    FR_TRY(trace(w, 0, &end));
    if (end.stops == 0) return FR_FAIL(FR_ERR_IO, "a traced process has made no system call");
    begin_sweep(sweep, end.stops, fr_rng_next(&w->rng));
    w->result->counters[FR_CERTIFY_CALLS] = end.stops / 2;
out:
    return st;
}

fr_status fr_certify_run_syscall(struct fr_certify_work *w)
{
    struct sweep sweep = {0};
    fr_status st = FR_OK;

    w->lives = 0;
    while (!fr_certify_is_over(w)) {
        struct fr_certify_end end;
        if (is_due(w, STEPS_TRACED)) FR_TRY(renew(w));
        if (sweep.done == sweep.stops) FR_TRY(count_stops(w, &sweep));
        FR_TRY(trace(w, next_stop(&sweep), &end));
        fr_certify_count(w, FR_CERTIFY_POINTS, end.killed);
        if (fr_rng_one_in(&w->rng, 3)) FR_TRY(fr_certify_compare(w, false));
    }
    if (w->lives > 0) FR_TRY(fr_certify_compare(w, false));
out:
    return st;
}
