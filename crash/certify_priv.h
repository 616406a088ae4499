/* certify_priv.h - private to crash/: what the parts of a certification share. */
#ifndef FR_CRASH_CERTIFY_PRIV_H
#define FR_CRASH_CERTIFY_PRIV_H

#include <sys/types.h>

#include "base/rng.h"
#include "crash/certify.h"
#include "crash/life.h"

#define FR_CERTIFY_PATH_MAX  1000
#define FR_CERTIFY_PLACE_MAX (FR_CERTIFY_PATH_MAX + 88)

/* One certification, and the part that it is at. */
struct fr_certify_work {
    /* Constant. */
    const struct fr_certify *how;
    struct fr_certificate *certificate;
    struct fr_ledger *ledger;
    char base[FR_CERTIFY_PATH_MAX]; /* a directory of its own in the user's */

    /* Of the part. */
    struct fr_certify_result *result;
    char place[FR_CERTIFY_PLACE_MAX]; /* where its processes live */
    struct fr_rng rng;
    uint64_t deadline_us; /* 0: none */
    unsigned rounds;
    unsigned config; /* of the store */
    unsigned deaths; /* of the store, in a row */
    unsigned lives;  /* of the store */
    bool shut_down;  /* the file system: who has memory of it mapped may die of that */
};

/* How a process has ended. */
struct fr_certify_end {
    bool killed; /* by us */
    int code;    /* its exit code; -1: it has none */
    int signal;  /* what killed it otherwise; 0 */
    bool hung;
    uint64_t spent_us;
    uint64_t stops; /* of a traced one: before and behind system calls */
};

#define FR_CERTIFY_NEVER UINT64_MAX

/* A life is a matter of milliseconds, of seconds under a sanitizer on a slow disk. */
#define FR_CERTIFY_HUNG_SECONDS 180

uint64_t fr_certify_now_us(void);
void fr_certify_sleep_us(uint64_t us);

/* Whether the part has to end; begins a round otherwise. The first one has no deadline. */
bool fr_certify_is_over(struct fr_certify_work *w);

/* An empty place, a ledger without promises, and a configuration by chance; small: one that does
 * much with few bytes. */
void fr_certify_begin_store(struct fr_certify_work *w, bool small);

/* Whether the history of the store has become too long for another life of so many steps. */
bool fr_certify_is_old(const struct fr_certify_work *w, unsigned steps);

/* A life of the part's subject at its place, with steps by chance. */
struct fr_life fr_certify_life(struct fr_certify_work *w, unsigned steps);

/* Remove all that is in a directory, but not what is mounted there; and the directory. */
void fr_certify_empty(const char *path);
void fr_certify_remove(const char *path);

/* ---- processes (certify_process.c) */

/* -1: there is none to be had. */
pid_t fr_certify_start(struct fr_certify_work *w, const struct fr_life *life);

/* Until it ends, or is killed after so long; a process that has not ended in minutes is hung. */
struct fr_certify_end fr_certify_wait(struct fr_certify_work *w, pid_t pid, uint64_t kill_after_us);

/*
 * A traced one, killed at its kill_at-th stop, each before or behind a system call of whichever
 * thread. FR_ERR_UNSUPPORTED: it may not be traced.
 */
FR_NODISCARD fr_status fr_certify_trace(struct fr_certify_work *w, const struct fr_life *life,
        uint64_t kill_at, struct fr_certify_end *ret_end);

/* Count a life and its end; what is wrong with it is a finding, FR_ERR_CANCELLED. */
FR_NODISCARD fr_status fr_certify_judge(struct fr_certify_work *w,
        const struct fr_certify_end *end);

/* All three; FR_OK for a life that has ended well or was killed. */
FR_NODISCARD fr_status fr_certify_live(struct fr_certify_work *w, const struct fr_life *life,
        uint64_t kill_after_us, struct fr_certify_end *ret_end);

/* One that only compares what is there. */
FR_NODISCARD fr_status fr_certify_compare(struct fr_certify_work *w, bool power);

/* Something was wrong: its words become the part's. Always FR_ERR_CANCELLED. */
fr_status fr_certify_find(struct fr_certify_work *w, const char *format, ...) FR_PRINTF(2, 3);

/* The part cannot be had here. Always FR_ERR_UNSUPPORTED. */
fr_status fr_certify_skip(struct fr_certify_work *w, const char *format, ...) FR_PRINTF(2, 3);

void fr_certify_count(struct fr_certify_work *w, enum fr_certify_counter counter, uint64_t by);

/* ---- parts: FR_OK, what fr_certify_find and fr_certify_skip answer, or a failure */

FR_NODISCARD fr_status fr_certify_run_openers(struct fr_certify_work *w);
FR_NODISCARD fr_status fr_certify_run_limits(struct fr_certify_work *w);
FR_NODISCARD fr_status fr_certify_run_kill(struct fr_certify_work *w);
FR_NODISCARD fr_status fr_certify_run_syscall(struct fr_certify_work *w);
FR_NODISCARD fr_status fr_certify_run_powercut(struct fr_certify_work *w);
FR_NODISCARD fr_status fr_certify_run_full(struct fr_certify_work *w);

/* Parts of the scripts of such processes (certify_limits.c). Write until enough was refused;
 * tighten, which may be NULL, is called now and then, so that it comes to that. */
FR_NODISCARD fr_status fr_certify_push(struct fr_crash_run *run, const struct fr_life *life,
        void (*tighten)(void), const char *what);

/* What was refused is taken again, soon, without an opening. */
FR_NODISCARD fr_status fr_certify_get_well(struct fr_crash_run *run, const struct fr_life *life,
        const char *what);

#endif
