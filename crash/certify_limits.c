/*
 * certify_limits.c - what the system refuses a process: a second store, files, room in files.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crash/certify_priv.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/map.h"

/* Writes until the system has refused so many, and the most without. */
#define REFUSALS_LEAST 6
#define WRITES_MOST    400

/* How long a store may take to get well after there is room again. */
#define WELL_TRIES 3000
#define WELL_US    10000

/* ---- two openers */

/* Holds the store, and wants it once more itself; then waits for its end. */
static fr_status hold_store(struct fr_crash_run *run, const struct fr_life *life)
{
    void *second;
    fr_status st;

    FR_TRY(fr_life_steps(run, 12));
    st = life->subject->open(run->env, run->path, run->config, FR_CRASH_MAKE, &second);
    if (st != FR_ERR_BUSY)
        return fr_crash_run_find(run, "opening it twice answers %s", fr_status_name(st));
    atomic_fetch_add(&life->ledger->refused, 1);
    atomic_store(&life->ledger->stage, FR_LEDGER_DONE);
    for (;;)
        (void)pause();
out:
    return st;
}

static fr_status want_store(struct fr_crash_run *run, const struct fr_life *life)
{
    void *second;

    run->doing = "opening it beside another process";
    fr_status st = life->subject->open(run->env, run->path, run->config, FR_CRASH_MAKE, &second);
    if (st != FR_ERR_BUSY) return fr_crash_run_find(run, "it answers %s", fr_status_name(st));
    atomic_fetch_add(&life->ledger->refused, 1);
    run->doing = "reading it beside another process";
    return fr_life_look(run, life);
}

/* Until it holds the store; false: it has ended before that, or is hung. */
static bool await_holder(struct fr_certify_work *w, pid_t holder)
{
    uint64_t begin_us = fr_certify_now_us();
    siginfo_t info = {0};

    while (atomic_load(&w->ledger->stage) != FR_LEDGER_DONE) {
        if (waitid(P_PID, (id_t)holder, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return false;
        if (info.si_pid != 0) return false;
        if (fr_certify_now_us() - begin_us > (uint64_t)FR_CERTIFY_HUNG_SECONDS * 1000000)
            return false;
        fr_certify_sleep_us(500);
    }
    return true;
}

static fr_status try_openers(struct fr_certify_work *w)
{
    struct fr_life holder = fr_certify_life(w, 0), other = fr_certify_life(w, 0);
    struct fr_certify_end held = {0}, end = {0};
    fr_status st = FR_OK;

    holder.script = hold_store;
    other.visit = want_store;
    pid_t pid = fr_certify_start(w, &holder);
    if (pid < 0) return FR_FAIL(FR_ERR_IO, "a process cannot be started");
    bool holds = await_holder(w, pid);
    if (holds) {
        st = fr_certify_live(w, &other, FR_CERTIFY_NEVER, &end);
        atomic_store(&w->ledger->stage, FR_LEDGER_DONE);
    }
    held = fr_certify_wait(w, pid, 0);
    held.hung = held.killed && !holds;
    FR_TRY(st);
    FR_TRY(fr_certify_judge(w, &held));
    FR_TRY(fr_certify_compare(w, false));
out:
    return st;
}

fr_status fr_certify_run_openers(struct fr_certify_work *w)
{
    fr_status st = FR_OK;

    fr_certify_begin_store(w, true);
    while (!fr_certify_is_over(w)) {
        if (fr_certify_is_old(w, 12)) fr_certify_begin_store(w, true);
        FR_TRY(try_openers(w));
    }
out:
    return st;
}

/* ---- a disk that refuses, whatever the reason is */

/* A failure that is explained ends nothing here. */
static fr_status go_on(fr_status st)
{
    return st == FR_ERR_CANCELLED ? st : FR_OK;
}

/*
 * Nothing but writes, followed now and then by a look at all that is there, which stays
 * readable as far as the system lets it be read.
 */
fr_status fr_certify_push(struct fr_crash_run *run, const struct fr_life *life,
        void (*tighten)(void), const char *what)
{
    uint64_t begin = atomic_load(&life->ledger->refused);
    fr_status st = FR_OK;

    fr_life_set_trouble(life, true);
    for (unsigned i = 0; i < WRITES_MOST; i++) {
        if (atomic_load(&life->ledger->refused) - begin >= REFUSALS_LEAST) return FR_OK;
        if (tighten != NULL && i % 16 == 0) tighten(); /* what the store has freed */
        run->step++;
        FR_TRY(go_on(fr_crash_run_write(run, 0, (fr_sync)(i % 3))));
        if (i % 16 == 15)
            FR_TRY(go_on(fr_crash_run_check(run, (enum fr_crash_way)(i / 16 % FR_CRASH_WAYS))));
        if (i % 50 == 49) FR_TRY(go_on(fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0)));
    }
    if (atomic_load(&life->ledger->refused) == begin)
        st = fr_crash_run_find(run, "%u writes and nothing was refused, %s", WRITES_MOST, what);
out:
    return st;
}

/* Without an opening, and without anybody's help but that it is asked. */
fr_status fr_certify_get_well(struct fr_crash_run *run, const struct fr_life *life,
        const char *what)
{
    fr_status st = FR_ERR_IO;

    for (unsigned i = 0; i < WELL_TRIES && st < 0; i++) {
        if (i > 0) fr_env_sleep_us(run->env, WELL_US);
        st = fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0);
        if (st == FR_OK) st = fr_crash_run_act(run, FR_CRASH_IDLE, 0, 0);
        if (st == FR_OK) st = fr_crash_run_write(run, 0, FR_SYNC_OS);
        if (st == FR_ERR_CANCELLED) return st;
    }
    if (st < 0) return fr_crash_run_find(run, "writing does not go on after %s", what);
    fr_life_set_trouble(life, false);
    FR_TRY(fr_crash_run_check(run, FR_CRASH_FORWARDS));
    FR_TRY(fr_life_steps(run, 12));
out:
    return st;
}

/* ---- limits of a process */

/* No file descriptor but those that it has; or no byte of a file behind the first ones. */
static const struct {
    int resource;
    rlim_t most;
    bool ends_log; /* unless that is memory, which no limit is about */
    const char *what;
} limits[] = {
        {RLIMIT_NOFILE, 3, false, "no file descriptors"},
        {RLIMIT_FSIZE, 4096, true, "files of 4 KiB at most"},
};

/* Whether a log is a shared mapping here: found out as the log does it. */
static fr_status ask_mapping(struct fr_env *env, bool *ret_shared)
{
    static const uint8_t bytes[FR_MAP_ALIGNMENT];
    struct fr_dir *dir = NULL;
    struct fr_file *file = NULL;
    struct fr_map *map = NULL;
    fr_status st;

    FR_TRY(fr_dir_open(env, ".", 0, &dir));
    FR_TRY(fr_file_open(dir, "probe", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    FR_TRY(fr_file_write(file, 0, bytes, sizeof(bytes), 0));
    FR_TRY(fr_map_open(file, 0, sizeof(bytes), 0, &map));
    *ret_shared = fr_map_is_shared(map);
out:
    fr_map_close(map);
    fr_file_close(file);
    fr_dir_close(dir);
    return st;
}

static fr_status push_below(struct fr_crash_run *run, const struct fr_life *life, size_t i)
{
    struct rlimit before, lowered;
    fr_status st;

    (void)getrlimit((__rlimit_resource_t)limits[i].resource, &before);
    lowered = (struct rlimit){.rlim_cur = limits[i].most, .rlim_max = before.rlim_max};
    (void)setrlimit((__rlimit_resource_t)limits[i].resource, &lowered);
    st = fr_certify_push(run, life, NULL, limits[i].what);
    (void)setrlimit((__rlimit_resource_t)limits[i].resource, &before);
    return st;
}

/* Where the log has ended the process does, too: the next one finds all that was acknowledged. */
static fr_status bear_limits(struct fr_crash_run *run, const struct fr_life *life)
{
    bool mapped = false;
    fr_status st;

    FR_TRY(ask_mapping(run->env, &mapped));
    FR_TRY(fr_life_steps(run, 12));
    for (size_t i = 0; i < FR_ARRAY_COUNT(limits); i++) {
        FR_TRY(push_below(run, life, i));
        if (fr_life_is_poisoned() && limits[i].ends_log && !mapped) return FR_OK;
        if (fr_life_is_poisoned())
            return fr_crash_run_find(run, "%s: writing has ended", limits[i].what);
        FR_TRY(fr_certify_get_well(run, life, limits[i].what));
    }
out:
    return st;
}

fr_status fr_certify_run_limits(struct fr_certify_work *w)
{
    fr_status st = FR_OK;

    while (!fr_certify_is_over(w)) {
        struct fr_certify_end end;
        fr_certify_begin_store(w, true);
        struct fr_life life = fr_certify_life(w, 0);
        life.script = bear_limits;
        life.troubles[0] = FR_ERR_IO;
        life.troubles[1] = FR_ERR_POISONED;
        FR_TRY(fr_certify_live(w, &life, FR_CERTIFY_NEVER, &end));
        atomic_store(&w->ledger->trouble, false);
        FR_TRY(fr_certify_compare(w, false));
    }
out:
    return st;
}
