/*
 * Small programs under a schedule: what repeats, what differs, and what is found. Ranks make a
 * deadlock of two mutexes an assertion in debug builds, before there is one; so the locks of that
 * test are made of a condition each, which ranks do not see.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "base/schedule.h"
#include "base/thread.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/sim.h"
#include "io/sim_schedule.h"

#define must(call) cr_assert_eq((call), FR_OK, "%s: %s", #call, fr_last_error())

static void begin(uint64_t seed, enum fr_sim_schedule_kind kind)
{
    struct fr_sim_schedule_options options = {.seed = seed, .kind = kind, .steps_max = 1000000};

    must(fr_sim_schedule_begin(&options));
}

/* --- Writers on one machine ------------------------------------------------------------------ */

struct writers {
    struct fr_sim *sim;
    struct fr_dir *dir;
    struct fr_mutex mu;  /* rank FR_RANK_SIM, which is no place to hand over at */
    struct fr_buf trace; /* guarded by mu */
};

static void note_call(void *ctx, const char *thread, const char *op, const char *name)
{
    struct writers *w = ctx;
    char line[100];
    int size = snprintf(line, sizeof(line), "%s %s %s\n", thread, op, name);

    fr_mutex_lock(&w->mu);
    fr_buf_append(&w->trace, line, (size_t)size);
    fr_mutex_unlock(&w->mu);
}

struct writer {
    struct writers *all;
    struct fr_thread thread;
    char name[8];
};

static void write_some(void *arg)
{
    struct writer *me = arg;
    struct fr_file *file;

    must(fr_file_open(me->all->dir, me->name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    for (unsigned i = 0; i < 8; i++) {
        must(fr_file_write(file, i * 3, me->name, 3, 0));
        if (i % 3 == 0) must(fr_file_sync(file));
    }
    fr_file_close(file);
}

struct outcome {
    struct fr_buf trace;
    uint64_t machine_hash, schedule_hash;
};

static struct outcome run_writers(uint64_t seed, enum fr_sim_schedule_kind kind)
{
    struct writers all = {.trace = FR_BUF_EMPTY};
    struct fr_sim_schedule_options options = {
            .seed = seed, .kind = kind, .on_call = note_call, .ctx = &all};
    struct writer writers[3];
    struct outcome outcome;

    fr_mutex_init(&all.mu, FR_RANK_SIM);
    must(fr_sim_schedule_begin(&options));
    must(fr_sim_open(NULL, &all.sim));
    must(fr_dir_open(fr_sim_env(all.sim), "/", 0, &all.dir));
    for (unsigned i = 0; i < 3; i++) {
        writers[i].all = &all;
        snprintf(writers[i].name, sizeof(writers[i].name), "f%u", i);
        must(fr_thread_start(&writers[i].thread, "writer", write_some, &writers[i]));
    }
    for (unsigned i = 0; i < 3; i++)
        fr_thread_join(&writers[i].thread);
    fr_dir_close(all.dir);
    outcome.machine_hash = fr_sim_trace_hash(all.sim);
    outcome.schedule_hash = fr_sim_schedule_hash();
    outcome.trace = all.trace;
    fr_sim_close(all.sim);
    fr_sim_schedule_end();
    fr_mutex_deinit(&all.mu);
    return outcome;
}

static bool same_trace(const struct outcome *a, const struct outcome *b)
{
    return a->trace.size == b->trace.size &&
           memcmp(a->trace.data, b->trace.data, a->trace.size) == 0;
}

static void repeats(enum fr_sim_schedule_kind kind)
{
    unsigned different = 0;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct outcome a = run_writers(seed, kind), b = run_writers(seed, kind),
                       other = run_writers(seed + 100, kind);

        cr_assert(same_trace(&a, &b), "seed %llu", (unsigned long long)seed);
        cr_assert_eq(a.machine_hash, b.machine_hash);
        cr_assert_eq(a.schedule_hash, b.schedule_hash);
        if (!same_trace(&a, &other)) different++;
        fr_buf_deinit(&a.trace);
        fr_buf_deinit(&b.trace);
        fr_buf_deinit(&other.trace);
    }
    cr_assert_gt(different, 15);
}

Test(sim_schedule, the_same_seed_gives_the_same_calls_by_the_same_threads)
{
    repeats(FR_SIM_SCHEDULE_UNIFORM);
}

Test(sim_schedule, priorities_repeat_from_their_seed_too)
{
    repeats(FR_SIM_SCHEDULE_PRIORITIES);
}

Test(sim_schedule, names_in_the_trace_are_those_of_the_threads)
{
    struct outcome outcome = run_writers(1, FR_SIM_SCHEDULE_UNIFORM);
    const char *text;

    fr_buf_append(&outcome.trace, "", 1); /* it becomes a string */
    text = (const char *)outcome.trace.data;
    cr_assert_not_null(text);
    cr_assert_not_null(strstr(text, "main.0 dir_open /"));
    cr_assert_not_null(strstr(text, "writer.1 create f0"));
    cr_assert_not_null(strstr(text, "writer.2 create f1"));
    cr_assert_not_null(strstr(text, "writer.3 write f2"));
    fr_buf_deinit(&outcome.trace);
}

/* --- A race ---------------------------------------------------------------------------------- */

struct counter {
    struct fr_mutex mu;
    unsigned value;
};

/* Reads and writes under the lock, but gives it up in between: an update may be lost. */
static void count_carelessly(void *arg)
{
    struct counter *c = arg;

    for (unsigned i = 0; i < 3; i++) {
        fr_mutex_lock(&c->mu);
        unsigned value = c->value;
        fr_mutex_unlock(&c->mu);
        fr_mutex_lock(&c->mu);
        c->value = value + 1;
        fr_mutex_unlock(&c->mu);
    }
}

static void count_well(void *arg)
{
    struct counter *c = arg;

    for (unsigned i = 0; i < 3; i++) {
        fr_mutex_lock(&c->mu);
        c->value++;
        fr_mutex_unlock(&c->mu);
    }
}

static unsigned count_with(uint64_t seed, enum fr_sim_schedule_kind kind, void (*run)(void *arg))
{
    struct counter c = {.value = 0};
    struct fr_thread threads[2];

    begin(seed, kind);
    fr_mutex_init(&c.mu, FR_RANK_LEAF);
    for (unsigned i = 0; i < 2; i++)
        must(fr_thread_start(&threads[i], "counter", run, &c));
    for (unsigned i = 0; i < 2; i++)
        fr_thread_join(&threads[i]);
    fr_mutex_deinit(&c.mu);
    fr_sim_schedule_end();
    return c.value;
}

static void finds_a_lost_update(enum fr_sim_schedule_kind kind)
{
    uint64_t seed = 1;

    while (seed <= 50 && count_with(seed, kind, count_carelessly) == 6)
        seed++;
    cr_assert_leq(seed, 50, "no seed has lost an update");
    cr_log_info("found by seed %llu", (unsigned long long)seed);
    unsigned found = count_with(seed, kind, count_carelessly);
    cr_assert_lt(found, 6);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(count_with(seed, kind, count_carelessly), found);
    for (seed = 1; seed <= 50; seed++)
        cr_assert_eq(count_with(seed, kind, count_well), 6);
}

Test(sim_schedule, a_lost_update_is_found_in_few_seeds_and_repeats)
{
    finds_a_lost_update(FR_SIM_SCHEDULE_UNIFORM);
}

/* A span of so few places has its changes within the program. */
Test(sim_schedule, a_lost_update_is_found_by_priorities_as_well)
{
    struct fr_sim_schedule_options options = {
            .kind = FR_SIM_SCHEDULE_PRIORITIES, .change_span = 30, .change_count = 2};
    unsigned lost = 0;

    for (options.seed = 1; options.seed <= 50; options.seed++) {
        struct counter c = {.value = 0};
        struct fr_thread threads[2];
        must(fr_sim_schedule_begin(&options));
        fr_mutex_init(&c.mu, FR_RANK_LEAF);
        for (unsigned i = 0; i < 2; i++)
            must(fr_thread_start(&threads[i], "counter", count_carelessly, &c));
        for (unsigned i = 0; i < 2; i++)
            fr_thread_join(&threads[i]);
        fr_mutex_deinit(&c.mu);
        fr_sim_schedule_end();
        if (c.value != 6) lost++;
    }
    cr_assert_gt(lost, 0);
    cr_log_info("%u of 50 seeds", lost);
}

/* --- Conditions ------------------------------------------------------------------------------ */

struct gate {
    struct fr_mutex mu;
    struct fr_cond cond;
    bool taken;
};

static void gate_init(struct gate *g)
{
    fr_mutex_init(&g->mu, FR_RANK_LEAF);
    fr_cond_init(&g->cond);
    g->taken = false;
}

static void gate_deinit(struct gate *g)
{
    fr_cond_deinit(&g->cond);
    fr_mutex_deinit(&g->mu);
}

static void gate_take(struct gate *g)
{
    fr_mutex_lock(&g->mu);
    while (g->taken)
        fr_cond_wait(&g->cond, &g->mu);
    g->taken = true;
    fr_mutex_unlock(&g->mu);
}

static void gate_give(struct gate *g)
{
    fr_mutex_lock(&g->mu);
    g->taken = false;
    fr_cond_signal(&g->cond);
    fr_mutex_unlock(&g->mu);
}

struct pair {
    struct gate *first, *second;
};

static void take_both(void *arg)
{
    struct pair *pair = arg;

    for (unsigned i = 0; i < 20; i++) {
        gate_take(pair->first);
        gate_take(pair->second);
        gate_give(pair->second);
        gate_give(pair->first);
    }
}

static void run_pairs(const struct fr_sim_schedule_options *options, bool crossed)
{
    struct gate a, b;
    struct pair pairs[2] = {{&a, &b}, {&a, &b}};
    struct fr_thread threads[2];

    if (crossed) pairs[1] = (struct pair){&b, &a};
    must(fr_sim_schedule_begin(options));
    gate_init(&a);
    gate_init(&b);
    must(fr_thread_start(&threads[0], "left", take_both, &pairs[0]));
    must(fr_thread_start(&threads[1], "right", take_both, &pairs[1]));
    fr_thread_join(&threads[0]);
    fr_thread_join(&threads[1]);
    gate_deinit(&a);
    gate_deinit(&b);
    fr_sim_schedule_end();
}

/* The report ends the process, so the process tells by its exit what was in it. */
static void exit_with_report(void *ctx, const char *report)
{
    const char *const *wanted = ctx;

    for (; *wanted != NULL; wanted++) {
        if (strstr(report, *wanted) != NULL) continue;
        fprintf(stderr, "no \"%s\" in the report:\n%s", *wanted, report);
        _exit(1);
    }
    _exit(42);
}

Test(sim_schedule, a_deadlock_of_two_locks_is_reported_with_the_threads_and_what_they_wait_for,
        .exit_code = 42)
{
    static const char *const wanted[] = {"deadlock", "seed 1", "main.0 waits for the end of left.1",
            "left.1 waits for the condition", "right.2 waits for the condition",
            "io_sim_schedule_test+0x", NULL};
    struct fr_sim_schedule_options options = {
            .seed = 1, .on_stuck = exit_with_report, .ctx = fr_unconst(wanted)};

    run_pairs(&options, true);
}

struct held {
    struct fr_mutex mu;
    struct fr_thread thread;
};

static void want(void *arg)
{
    struct held *held = arg;

    fr_mutex_lock(&held->mu);
    fr_mutex_unlock(&held->mu);
}

Test(sim_schedule, who_holds_the_mutex_that_is_waited_for_is_reported, .exit_code = 42)
{
    static const char *const wanted[] = {"deadlock", "main.0 waits for the end of wants.1",
            "wants.1 waits for the mutex", "of rank 1000, which main.0 has", NULL};
    struct fr_sim_schedule_options options = {
            .seed = 3, .on_stuck = exit_with_report, .ctx = fr_unconst(wanted)};
    struct held held;

    must(fr_sim_schedule_begin(&options));
    fr_mutex_init(&held.mu, FR_RANK_LEAF);
    fr_mutex_lock(&held.mu);
    must(fr_thread_start(&held.thread, "wants", want, &held));
    fr_thread_join(&held.thread);
    fr_mutex_unlock(&held.mu);
}

static void pause_for_ever(void *arg)
{
    (void)arg;
    for (;;)
        fr_thread_pause();
}

Test(sim_schedule, a_run_without_an_end_is_reported_too, .exit_code = 42)
{
    static const char *const wanted[] = {"still going on", "pauses.1", NULL};
    struct fr_sim_schedule_options options = {
            .seed = 3, .steps_max = 1000, .on_stuck = exit_with_report, .ctx = fr_unconst(wanted)};
    struct fr_thread thread;

    must(fr_sim_schedule_begin(&options));
    must(fr_thread_start(&thread, "pauses", pause_for_ever, NULL));
    fr_thread_join(&thread);
}

/* Waits that end for no reason are allowed, and looped over. */
Test(sim_schedule, locks_in_one_order_end_under_every_schedule)
{
    for (unsigned i = 0; i < 60; i++) {
        struct fr_sim_schedule_options options = {.seed = i,
                .kind = i % 2 ? FR_SIM_SCHEDULE_PRIORITIES : FR_SIM_SCHEDULE_UNIFORM,
                .spurious_one_in = i % 3 ? 0 : 5,
                .steps_max = 100000};
        run_pairs(&options, false);
    }
}

/* --- Time ------------------------------------------------------------------------------------ */

#define SLEEPERS 6

struct sleepers {
    struct fr_env *env;
    struct fr_mutex mu;
    struct fr_cond never;
    uint64_t durations_us[SLEEPERS];
    unsigned order[SLEEPERS];
    unsigned count;
};

struct sleeper {
    struct sleepers *all;
    unsigned index;
    struct fr_thread thread;
};

/* Half of them sleep, and half of them wait for what does not come. */
static void oversleep(void *arg)
{
    struct sleeper *me = arg;
    struct sleepers *all = me->all;
    uint64_t duration_us = all->durations_us[me->index];

    if (me->index % 2) fr_env_sleep_us(all->env, duration_us);
    fr_mutex_lock(&all->mu);
    if (me->index % 2 == 0)
        while (fr_cond_wait_for(&all->never, &all->mu, duration_us))
            continue;
    all->order[all->count++] = me->index;
    fr_mutex_unlock(&all->mu);
}

Test(sim_schedule, what_is_due_first_runs_first_and_hours_take_no_time, .timeout = 20)
{
    struct sleepers all = {
            .durations_us = {50000000, 30000000, 3600000000, 10000000, 40000000, 7200000000}};
    static const unsigned expected[SLEEPERS] = {3, 1, 4, 0, 2, 5};
    struct sleeper sleepers[SLEEPERS];
    struct fr_sim *sim;

    for (uint64_t seed = 1; seed <= 20; seed++) {
        begin(seed, seed % 2 ? FR_SIM_SCHEDULE_UNIFORM : FR_SIM_SCHEDULE_PRIORITIES);
        must(fr_sim_open(NULL, &sim));
        all.env = fr_sim_env(sim);
        all.count = 0;
        fr_mutex_init(&all.mu, FR_RANK_LEAF);
        fr_cond_init(&all.never);
        uint64_t start_us = fr_env_now_us(all.env);
        for (unsigned i = 0; i < SLEEPERS; i++) {
            sleepers[i].all = &all;
            sleepers[i].index = i;
            must(fr_thread_start(&sleepers[i].thread, "sleeper", oversleep, &sleepers[i]));
        }
        for (unsigned i = 0; i < SLEEPERS; i++)
            fr_thread_join(&sleepers[i].thread);
        cr_assert_eq(memcmp(all.order, expected, sizeof(expected)), 0);
        uint64_t took_us = fr_env_now_us(all.env) - start_us;
        cr_assert(took_us >= 7200000000 && took_us < 7200001000, "%llu us",
                (unsigned long long)took_us);
        fr_cond_deinit(&all.never);
        fr_mutex_deinit(&all.mu);
        fr_sim_close(sim);
        fr_sim_schedule_end();
    }
}

struct flag {
    _Atomic(bool) up;
};

static void raise_late(void *arg)
{
    struct flag *flag = arg;

    for (unsigned i = 0; i < 100; i++)
        fr_sim_schedule_point();
    atomic_store(&flag->up, true);
}

/* Under priorities, too, where the loop may be that of the highest. */
Test(sim_schedule, a_loop_that_pauses_lets_the_others_go_on)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct flag flag = {false};
        struct fr_thread thread;
        begin(seed, seed % 2 ? FR_SIM_SCHEDULE_UNIFORM : FR_SIM_SCHEDULE_PRIORITIES);
        must(fr_thread_start(&thread, "raises", raise_late, &flag));
        while (!atomic_load(&flag.up))
            fr_thread_pause();
        fr_thread_join(&thread);
        fr_sim_schedule_end();
    }
}

/* --- Races that a schedule does not show by itself ------------------------------------------- */

#ifdef FR_SANITIZED_THREAD
static unsigned races_seen;
static unsigned unguarded;
static bool race_wanted;

/* What ThreadSanitizer's runtime asks before it prints a report: true, keep it quiet. */
bool on_race(const void *report,
        bool is_suppressed) __asm__("_ZN6__tsan8OnReportEPKNS_10ReportDescEb");

bool on_race(const void *report, bool is_suppressed)
{
    (void)report;
    if (!race_wanted) return is_suppressed;
    races_seen++;
    return true;
}

static void count_unguarded(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 3; i++) {
        unguarded++;
        fr_sim_schedule_point();
    }
}

/* Handing over must not look like a lock, or the other tests under a schedule would be blind. */
Test(sim_schedule, hides_no_race_from_the_race_checker)
{
    struct fr_thread threads[2];

    race_wanted = true;
    begin(1, FR_SIM_SCHEDULE_UNIFORM);
    for (unsigned i = 0; i < 2; i++)
        must(fr_thread_start(&threads[i], "racer", count_unguarded, NULL));
    for (unsigned i = 0; i < 2; i++)
        fr_thread_join(&threads[i]);
    fr_sim_schedule_end();
    race_wanted = false;
    cr_assert_eq(unguarded, 6);
    cr_assert_gt(races_seen, 0);
}
#endif

/* --- Besides --------------------------------------------------------------------------------- */

Test(sim_schedule, what_is_unique_comes_from_the_seed)
{
    uint64_t seen[2][3];

    for (unsigned i = 0; i < 2; i++) {
        begin(5, FR_SIM_SCHEDULE_UNIFORM);
        for (unsigned k = 0; k < 3; k++)
            seen[i][k] = fr_rng_entropy();
        fr_sim_schedule_end();
    }
    cr_assert_eq(memcmp(seen[0], seen[1], sizeof(seen[0])), 0);
    cr_assert_neq(seen[0][0], seen[0][1]);
    cr_assert_neq(fr_rng_entropy(), seen[0][0]);
}

Test(sim_schedule, there_is_one_at_a_time)
{
    struct fr_sim_schedule_options odd = {.kind = (enum fr_sim_schedule_kind)7};

    cr_assert_eq(fr_sim_schedule_begin(&odd), FR_ERR_MISUSE);
    cr_assert_null(fr_sim_schedule_thread());
    begin(1, FR_SIM_SCHEDULE_UNIFORM);
    cr_assert_eq(fr_sim_schedule_begin(NULL), FR_ERR_MISUSE);
    cr_assert_str_eq(fr_sim_schedule_thread(), "main.0");
    fr_sim_schedule_end();
    fr_sim_schedule_end();
    cr_assert_null(fr_schedule());
}
