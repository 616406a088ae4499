/*
 * sim_schedule.c - a baton that goes from thread to thread.
 *
 * Each thread has a slot, and sleeps on a word of it until somebody sets that. Only the thread that
 * runs looks at the slots or changes them, so there is no lock. It keeps running until it comes to
 * a place where it hands over: it chooses the next, sets its word, and sleeps on its own.
 *
 *             starting              drawn
 *     FREE -------------> READY <------------> (runs)
 *                           ^                     |  taken mutex, condition, sleep, join
 *                           |  unlock, signal,    v
 *                           +--- time, end --- MUTEX, COND, SLEEP, JOIN
 *
 * A mutex is the system's all the same: it is tried, and if another slot has it the thread waits
 * until that one gives it up. So what a race checker knows about mutexes stays true. Of the baton
 * it knows nothing: this file is not instrumented, and the word is waited for by a bare system
 * call. Were it otherwise, each hand-over would order all that came before, and no race would ever
 * show. For the same reason nothing here may touch the slots through functions of libc or of other
 * files.
 */
#include "io/sim_schedule.h"

#include <dlfcn.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "base/schedule.h"
#include "base/thread.h"
#include "io/sim_priv.h"

/* no_sanitize would not do: atomics are instrumented all the same. */
#if defined(FR_SANITIZED_THREAD)
#pragma clang attribute push(__attribute__((disable_sanitizer_instrumentation)),                   \
        apply_to = function)
#endif

#define HELD_MAX    16
#define NAME_SIZE   24
#define REPORT_SIZE 8192

enum state { FREE, READY, MUTEX, COND, SLEEP, JOIN, DONE };

struct slot {
    _Atomic(uint32_t) go; /* 1: runs, or is about to. Release in let_go, acquire in await_turn. */

    /* Of whoever runs. */
    enum state state;
    const void *object; /* what is waited for */
    const void *where;  /* the code that waits */
    bool timed;
    bool woken; /* the wait has ended, and not because of the time */
    uint64_t deadline_us;
    int64_t priority;
    const struct fr_mutex *held[HELD_MAX];
    unsigned held_count;
    char name[NAME_SIZE];
};

/* Of whoever runs, all of it. */
static struct {
    struct fr_sim_schedule_options options;
    struct slot slots[FR_SIM_SCHEDULE_THREADS_MAX];
    size_t slot_count; /* that have been in use */
    unsigned last_number;
    uint64_t random;  /* what is drawn for the order of threads */
    uint64_t entropy; /* and for whoever wants to be unique */
    uint64_t hash;
    uint64_t steps;
    uint64_t changes[FR_SIM_SCHEDULE_CHANGES_MAX];
    int64_t lowest; /* priority given so far */
} s;

/* Never goes back, also from one schedule to the next: machines that outlive one look at it. */
static uint64_t clock_us;

static _Thread_local struct slot *me; /* NULL: takes no part */

/* --- Chance ---------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t bound)
{
    __extension__ typedef unsigned __int128 u128;

    s.random += UINT64_C(0x9e3779b97f4a7c15);
    return (uint64_t)(((u128)fr_mix64(s.random) * bound) >> 64);
}

static bool is_uniform(void)
{
    return s.options.kind == FR_SIM_SCHEDULE_UNIFORM;
}

/* Of those slots that fulfil the condition, any. */
static struct slot *draw_slot(enum state state, const void *object)
{
    struct slot *found = NULL;
    uint64_t seen = 0;

    for (size_t i = 0; i < s.slot_count; i++) {
        struct slot *slot = &s.slots[i];
        if (slot->state != state || (object != NULL && slot->object != object)) continue;
        seen++;
    }
    if (seen == 0) return NULL;
    uint64_t at = draw(seen);
    for (size_t i = 0; found == NULL; i++) {
        struct slot *slot = &s.slots[i];
        if (slot->state != state || (object != NULL && slot->object != object)) continue;
        if (at-- == 0) found = slot;
    }
    return found;
}

static struct slot *highest_ready(void)
{
    struct slot *found = NULL;

    for (size_t i = 0; i < s.slot_count; i++) {
        struct slot *slot = &s.slots[i];
        if (slot->state == READY && (found == NULL || slot->priority > found->priority))
            found = slot;
    }
    return found;
}

/* --- The report ------------------------------------------------------------------------------ */

struct report {
    char text[REPORT_SIZE];
    size_t size;
};

static void say(struct report *report, const char *format, ...) FR_PRINTF(2, 3);

static void say(struct report *report, const char *format, ...)
{
    size_t room = sizeof(report->text) - report->size;
    va_list args;

    va_start(args, format);
    int size = vsnprintf(report->text + report->size, room, format, args);
    va_end(args);
    report->size += FR_MIN((size_t)size, room - 1);
}

/* As addr2line wants it: our functions are static, mostly, and have no names here. A program may
 * call itself what it likes, so its file is asked for. */
static void say_where(struct report *report, const void *where)
{
    char program[PATH_MAX] = "";
    Dl_info info, own;

    if (where == NULL || dladdr(where, &info) == 0 || info.dli_fname == NULL) return;
    const char *file = info.dli_fname;
    if (dladdr(&clock_us, &own) != 0 && own.dli_fbase == info.dli_fbase &&
            readlink("/proc/self/exe", program, sizeof(program) - 1) > 0)
        file = program;
    const char *slash = strrchr(file, '/');
    say(report, " at %s+0x%zx", slash == NULL ? file : slash + 1,
            (size_t)((const char *)where - (const char *)info.dli_fbase));
    if (info.dli_sname != NULL) say(report, " (%s)", info.dli_sname);
}

static const char *holder_of(const struct fr_mutex *mutex)
{
    for (size_t i = 0; i < s.slot_count; i++)
        for (unsigned h = 0; h < s.slots[i].held_count; h++)
            if (s.slots[i].held[h] == mutex) return s.slots[i].name;
    return "another thread";
}

static void say_slot(struct report *report, const struct slot *slot)
{
    say(report, "  %s", slot->name);
    switch (slot->state) {
    case MUTEX: {
        const struct fr_mutex *mutex = slot->object;
        say(report, " waits for the mutex %p of rank %d, which %s has", slot->object,
                (int)mutex->rank, holder_of(mutex));
        break;
    }
    case COND:
        say(report, " waits for the condition %p", slot->object);
        break;
    case SLEEP:
        say(report, " sleeps");
        break;
    case JOIN:
        say(report, " waits for the end of %s", ((const struct slot *)slot->object)->name);
        break;
    default:
        say(report, slot == me ? " runs" : " can run");
        break;
    }
    say_where(report, slot->where);
    if (slot->timed)
        say(report, ", for %llu us more", (unsigned long long)(slot->deadline_us - clock_us));
    for (unsigned i = 0; i < slot->held_count; i++)
        say(report, "%s %p (%d)", i == 0 ? "; has" : ",", (const void *)slot->held[i],
                (int)slot->held[i]->rank);
    say(report, "\n");
}

FR_NORETURN static void give_up(const char *what)
{
    static struct report report;

    say(&report, "schedule: %s; seed %llu, place %llu\n", what, (unsigned long long)s.options.seed,
            (unsigned long long)s.steps);
    for (size_t i = 0; i < s.slot_count; i++)
        if (s.slots[i].state != FREE && s.slots[i].state != DONE) say_slot(&report, &s.slots[i]);
    if (s.options.on_stuck != NULL)
        s.options.on_stuck(s.options.ctx, report.text);
    else
        fputs(report.text, stderr);
    abort();
}

/* --- The baton ------------------------------------------------------------------------------- */

static void await_turn(struct slot *slot)
{
    while (atomic_exchange_explicit(&slot->go, 0, memory_order_acquire) == 0)
        (void)syscall(SYS_futex, &slot->go, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void let_go(struct slot *slot)
{
    atomic_store_explicit(&slot->go, 1, memory_order_release);
    (void)syscall(SYS_futex, &slot->go, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void make_ready(struct slot *slot, bool woken)
{
    slot->state = READY;
    slot->woken = woken;
    slot->timed = false;
    slot->object = NULL;
    slot->where = NULL;
}

/* Whose time has come; answers the earliest moment that is left, or UINT64_MAX. */
static uint64_t end_waits_that_are_due(void)
{
    uint64_t earliest_us = UINT64_MAX;

    for (size_t i = 0; i < s.slot_count; i++) {
        struct slot *slot = &s.slots[i];
        if (!slot->timed) continue;
        if (slot->deadline_us <= clock_us)
            make_ready(slot, false);
        else
            earliest_us = FR_MIN(earliest_us, slot->deadline_us);
    }
    return earliest_us;
}

static struct slot *choose(void)
{
    for (;;) {
        uint64_t earliest_us = end_waits_that_are_due();
        struct slot *next = is_uniform() ? draw_slot(READY, NULL) : highest_ready();
        if (next != NULL) return next;
        if (earliest_us == UINT64_MAX) give_up("deadlock, all threads wait");
        clock_us = earliest_us;
    }
}

static void hand_over(void)
{
    struct slot *next = choose();

    s.hash = fr_mix64(s.hash ^ fr_mix64(s.steps) ^ (uint64_t)(next - s.slots));
    if (next == me) return;
    let_go(next);
    await_turn(me);
}

static void draw_changes(void)
{
    for (uint32_t i = 0; i < s.options.change_count; i++)
        s.changes[i] = s.steps + draw(s.options.change_span);
}

/* What is due at each place. */
static void step(void)
{
    if (s.options.steps_max > 0 && s.steps >= s.options.steps_max)
        give_up("still going on after as many places as were allowed");
    if (!is_uniform()) {
        if (s.steps % s.options.change_span == 0) draw_changes();
        for (uint32_t i = 0; i < s.options.change_count; i++)
            if (s.changes[i] == s.steps) me->priority = --s.lowest;
    }
    s.steps++;
    if (s.options.spurious_one_in == 0 || draw(s.options.spurious_one_in) != 0) return;
    struct slot *waiting = draw_slot(COND, NULL);
    if (waiting != NULL) make_ready(waiting, true);
}

/* A place where this thread may hand over. */
static void point(void)
{
    step();
    if (is_uniform() && draw(s.options.switch_one_in) != 0) return;
    hand_over();
}

/* A place where it must; answers whether it was woken by somebody. */
static bool wait_for(enum state state, const void *object, uint64_t timeout_us, const void *where)
{
    step();
    me->state = state;
    me->object = object;
    me->where = where;
    me->timed = timeout_us < FR_SCHEDULE_FOREVER - clock_us;
    me->deadline_us = clock_us + timeout_us;
    hand_over();
    return me->woken;
}

static void wake_all(enum state state, const void *object)
{
    for (size_t i = 0; i < s.slot_count; i++)
        if (s.slots[i].state == state && s.slots[i].object == object) make_ready(&s.slots[i], true);
}

/* --- Mutexes and conditions ------------------------------------------------------------------ */

/* A machine's own lock is held for its calls alone, which hand over before and after. */
static bool is_place(const struct fr_mutex *mutex)
{
    return mutex->rank != FR_RANK_SIM;
}

static void take(struct fr_mutex *mutex, const void *where)
{
    while (pthread_mutex_trylock(&mutex->os) != 0)
        (void)wait_for(MUTEX, mutex, FR_SCHEDULE_FOREVER, where);
    FR_ASSERT(me->held_count < HELD_MAX);
    me->held[me->held_count++] = mutex;
}

static void give(struct fr_mutex *mutex)
{
    unsigned at = me->held_count;

    while (at > 0 && me->held[at - 1] != mutex)
        at--;
    FR_ASSERT(at > 0);
    for (; at < me->held_count; at++)
        me->held[at - 1] = me->held[at];
    me->held_count--;
    FR_ASSERT(pthread_mutex_unlock(&mutex->os) == 0);
    wake_all(MUTEX, mutex);
}

static bool schedule_lock(struct fr_mutex *mutex, const void *where)
{
    if (me == NULL) return false;
    if (is_place(mutex)) point();
    take(mutex, where);
    return true;
}

static bool schedule_unlock(struct fr_mutex *mutex)
{
    if (me == NULL) return false;
    bool may_hand_over = is_place(mutex); /* once it is given up, it may be gone */
    give(mutex);
    if (may_hand_over) point();
    return true;
}

static bool schedule_wait(struct fr_cond *cond, struct fr_mutex *mutex, uint64_t timeout_us,
        const void *where, bool *ret_woken)
{
    if (me == NULL) return false;
    give(mutex);
    *ret_woken = wait_for(COND, cond, timeout_us, where);
    take(mutex, where);
    return true;
}

static bool schedule_wake(struct fr_cond *cond, bool all)
{
    if (me == NULL) return false;
    if (all) {
        wake_all(COND, cond);
    } else {
        struct slot *slot = draw_slot(COND, cond);
        if (slot != NULL) make_ready(slot, true);
    }
    point();
    return true;
}

/* A loop that waits for somebody else: time passes, and who has waited so falls behind. */
static bool schedule_pause(void)
{
    if (me == NULL) return false;
    clock_us++;
    step();
    me->priority = --s.lowest;
    hand_over();
    return true;
}

static bool schedule_number(unsigned *ret_number)
{
    if (me == NULL) return false;
    *ret_number = (unsigned)(me - s.slots);
    return true;
}

static bool schedule_entropy(uint64_t *ret_value)
{
    if (me == NULL) return false;
    s.entropy = fr_mix64(s.entropy);
    *ret_value = s.entropy;
    return true;
}

/* --- Threads --------------------------------------------------------------------------------- */

/* By hand, as all that touches a slot. */
static void set_name(struct slot *slot, const char *name, unsigned number)
{
    char digits[16];
    size_t size = 0, count = 0;

    for (; name[size] != '\0' && size < NAME_SIZE - sizeof(digits) / 2; size++)
        slot->name[size] = name[size];
    slot->name[size++] = '.';
    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0 && size < NAME_SIZE - 1)
        slot->name[size++] = digits[--count];
    slot->name[size] = '\0';
}

static void schedule_starting(struct fr_thread *thread)
{
    struct slot *slot = s.slots;

    if (me == NULL) return;
    while (slot->state != FREE)
        FR_ASSERT(++slot < s.slots + FR_SIM_SCHEDULE_THREADS_MAX);
    s.slot_count = FR_MAX(s.slot_count, (size_t)(slot - s.slots + 1));
    set_name(slot, thread->name, ++s.last_number);
    slot->priority = 1 + (int64_t)draw(UINT32_MAX);
    slot->held_count = 0;
    make_ready(slot, false);
    thread->scheduled = slot;
}

static void schedule_started(struct fr_thread *thread, bool ok)
{
    struct slot *slot = thread->scheduled;

    if (ok) {
        point();
        return;
    }
    slot->state = FREE;
    thread->scheduled = NULL;
}

static void schedule_begin(struct fr_thread *thread)
{
    me = thread->scheduled;
    await_turn(me);
}

/* Once another thread goes on, nothing here is this one's any more. */
static void schedule_end(struct fr_thread *thread)
{
    struct slot *slot = FR_TAKE(me);

    FR_ASSERT(slot == thread->scheduled && slot->held_count == 0);
    slot->state = DONE;
    wake_all(JOIN, slot);
    s.steps++;
    struct slot *next = choose();
    s.hash = fr_mix64(s.hash ^ fr_mix64(s.steps) ^ (uint64_t)(next - s.slots));
    let_go(next);
}

static void schedule_join(struct fr_thread *thread, const void *where)
{
    struct slot *slot = thread->scheduled;

    FR_ASSERT(me != NULL);
    while (slot->state != DONE)
        (void)wait_for(JOIN, slot, FR_SCHEDULE_FOREVER, where);
    slot->state = FREE;
    thread->scheduled = NULL;
}

/* --- For machines ---------------------------------------------------------------------------- */

uint64_t fr_sim_schedule_now_us(void)
{
    return clock_us;
}

bool fr_sim_schedule_pass_us(uint64_t duration_us)
{
    if (me == NULL) return false;
    clock_us += duration_us;
    return true;
}

bool fr_sim_schedule_sleep_us(uint64_t duration_us)
{
    if (me == NULL) return false;
    (void)wait_for(SLEEP, NULL, duration_us, __builtin_return_address(0));
    return true;
}

void fr_sim_schedule_call(const char *op, const char *name)
{
    if (me == NULL) return;
    point();
    if (s.options.on_call != NULL) s.options.on_call(s.options.ctx, me->name, op, name);
}

uint64_t fr_sim_schedule_caller(void)
{
    return me == NULL ? 0 : (uint64_t)(me - s.slots) + 1;
}

/* --- Lifecycle ------------------------------------------------------------------------------- */

static const struct fr_schedule schedule = {
        .lock = schedule_lock,
        .unlock = schedule_unlock,
        .wait = schedule_wait,
        .wake = schedule_wake,
        .pause = schedule_pause,
        .number = schedule_number,
        .entropy = schedule_entropy,
        .starting = schedule_starting,
        .started = schedule_started,
        .begin = schedule_begin,
        .end = schedule_end,
        .join = schedule_join,
};

static void set_defaults(struct fr_sim_schedule_options *options)
{
    if (options->switch_one_in == 0) options->switch_one_in = FR_SIM_SCHEDULE_SWITCH_DEFAULT;
    if (options->change_count == 0) options->change_count = FR_SIM_SCHEDULE_CHANGES_DEFAULT;
    if (options->change_span == 0) options->change_span = FR_SIM_SCHEDULE_SPAN_DEFAULT;
}

fr_status fr_sim_schedule_begin(const struct fr_sim_schedule_options *options)
{
    static const struct fr_sim_schedule_options plain = {0};

    if (options == NULL) options = &plain;
    if (fr_schedule() != NULL)
        return FR_FAIL(FR_ERR_MISUSE, "schedule: there is one in this process already");
    if (options->kind > FR_SIM_SCHEDULE_PRIORITIES ||
            options->change_count > FR_SIM_SCHEDULE_CHANGES_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "schedule: kind %d with %u changes", (int)options->kind,
                (unsigned)options->change_count);
    memset(&s, 0, sizeof(s)); /* nobody else is here yet */
    s.options = *options;
    set_defaults(&s.options);
    s.random = fr_mix64(options->seed ^ 3);
    s.entropy = fr_mix64(options->seed ^ 4);
    s.slot_count = 1;
    me = &s.slots[0];
    set_name(me, "main", 0);
    me->priority = 1 + (int64_t)draw(UINT32_MAX);
    make_ready(me, false);
    atomic_store_explicit(&fr_schedule_set, &schedule, memory_order_relaxed);
    return FR_OK;
}

void fr_sim_schedule_end(void)
{
    if (fr_schedule() == NULL) return;
    FR_ASSERT(me == &s.slots[0] && me->held_count == 0);
    for (size_t i = 1; i < s.slot_count; i++)
        FR_ASSERT(s.slots[i].state == FREE);
    me = NULL;
    atomic_store_explicit(&fr_schedule_set, NULL, memory_order_relaxed);
}

void fr_sim_schedule_point(void)
{
    if (me != NULL) point();
}

uint64_t fr_sim_schedule_hash(void)
{
    return s.hash;
}

uint64_t fr_sim_schedule_steps(void)
{
    return s.steps;
}

const char *fr_sim_schedule_thread(void)
{
    return me == NULL ? NULL : me->name;
}

#if defined(FR_SANITIZED_THREAD)
#pragma clang attribute pop
#endif
