/*
 * sim_schedule.h - threads one at a time, in an order drawn from a seed.
 *
 * A simulated machine repeats a history only as far as the threads on it do. Under a schedule they
 * do: of the threads that take part exactly one runs, and it hands over at known places only:
 *
 *     always     a mutex that is taken, a condition, a sleep, a join, a pause of a waiting loop,
 * the thread's end by lot     any other lock or unlock, a signal, the start of a thread, and before
 * and after each call to a simulated machine
 *
 * Who goes on is drawn, so the same seed gives the same interleaving, down to the last byte on the
 * disk, and the next seed another one. What happens between two such places is not interrupted:
 * races of plain memory are ThreadSanitizer's business, and it finds them under a schedule too, as
 * handing over is nothing that it sees or takes for an order (sim_schedule.c).
 *
 * Time stands still while anybody can run, but for what calls and pauses take. When all wait, the
 * clock jumps to the earliest moment that one of them waits for; a sleep of an hour takes no time,
 * and what is due first runs first. When all wait and none of them for a moment, nobody can ever
 * run: the schedule says who waits where and for what, and ends the process. The clock is that of
 * every machine at once.
 *
 * Two ways to draw:
 *
 *     FR_SIM_SCHEDULE_UNIFORM     any that can run is as likely; and "by lot" is one in so many
 *     FR_SIM_SCHEDULE_PRIORITIES  the one of highest priority, always; priorities are drawn at the
 *                                 start, and at a few moments, drawn as well, who runs falls below
 *                                 all others
 *
 * The second (after Burckhardt and others, "A randomized scheduler with probabilistic guarantees of
 * finding bugs") lets one thread fall far behind, which even odds never do. A bug that needs d
 * threads' steps in one order needs d - 1 such moments, however long the run is before and after.
 *
 *     fr_sim_schedule_begin(&options)   this thread is the first one, "main"
 *     ...                               every fr_thread that is started from one takes part
 *     fr_sim_schedule_end()             when all of them are joined
 *
 * There is one schedule in a process. Threads that take no part must not share a lock with those
 * that do: they would not be waited for, and are shown in the report as "another thread".
 */
#ifndef FR_IO_SIM_SCHEDULE_H
#define FR_IO_SIM_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Threads at once, those of machines within machines included. */
#define FR_SIM_SCHEDULE_THREADS_MAX 64

#define FR_SIM_SCHEDULE_CHANGES_MAX 32

enum fr_sim_schedule_kind {
    FR_SIM_SCHEDULE_UNIFORM = 0,
    FR_SIM_SCHEDULE_PRIORITIES,
};

/* All zeros are the defaults. */
struct fr_sim_schedule_options {
    uint64_t seed;
    enum fr_sim_schedule_kind kind;

    /* Uniform: at a place where it need not, a thread hands over one time in so many. */
    uint32_t switch_one_in; /* 0 for FR_SIM_SCHEDULE_SWITCH_DEFAULT */

    /* Priorities: so many changes in each span of so many places. */
    uint32_t change_count; /* 0 for FR_SIM_SCHEDULE_CHANGES_DEFAULT */
    uint64_t change_span;  /* 0 for FR_SIM_SCHEDULE_SPAN_DEFAULT */

    /* At one place in so many somebody's wait for a condition ends for no reason; 0 for never. */
    uint32_t spurious_one_in;

    /* A run that is still going on after so many places is reported like a deadlock; 0 for never.
     */
    uint64_t steps_max;

    /* Each call to a machine before it is made, with the thread that makes it; on that thread. */
    void (*on_call)(void *ctx, const char *thread, const char *op, const char *name);

    /* Gets the report instead of standard error. The process is aborted when this returns. */
    void (*on_stuck)(void *ctx, const char *report);
    void *ctx;
};

#define FR_SIM_SCHEDULE_SWITCH_DEFAULT  8
#define FR_SIM_SCHEDULE_CHANGES_DEFAULT 3
#define FR_SIM_SCHEDULE_SPAN_DEFAULT    2000

/* FR_ERR_MISUSE: there is one already, or the options are odd. */
FR_NODISCARD fr_status fr_sim_schedule_begin(const struct fr_sim_schedule_options *options);

/* By the thread that began it; asserts that all others are joined. Without a schedule: nothing. */
void fr_sim_schedule_end(void);

/* A place more, where this thread may hand over; nothing if it takes no part. */
void fr_sim_schedule_point(void);

/* A running hash over who went on at which place. Equal hashes: the same schedule. */
uint64_t fr_sim_schedule_hash(void);

/* Places passed so far. */
uint64_t fr_sim_schedule_steps(void);

/* "freshet-flush.3": this thread's name and its number here; static. NULL if it takes no part. */
const char *fr_sim_schedule_thread(void);

#endif
