/*
 * run.h - one store on one machine, beside the model of what it must hold.
 *
 *     fr_crash_run_new        with a subject, a report, a seed and a plan
 *     fr_crash_enumerate_take a machine; from here on its changes are watched (enumerate.h)
 *     fr_crash_run_open       the store
 *     fr_crash_run_write ...  what is done, to the store and to the model
 *     fr_crash_run_free
 *
 * Each call that does something answers FR_OK; a failure of the subject that the fault at work
 * explains; or FR_ERR_CANCELLED, once something was wrong, which the report then has in words.
 *
 * A history is the same from the same seed. What background threads of a subject do meanwhile is
 * too, where it runs under a schedule, as workloads and faults do; elsewhere a seed repeats the
 * operations.
 */
#ifndef FR_CRASH_RUN_H
#define FR_CRASH_RUN_H

#include <stdatomic.h>

#include "base/mutex.h"
#include "base/rng.h"
#include "crash/model.h"
#include "crash/report.h"
#include "io/sim.h"

#define FR_CRASH_PENDING_MAX     512
#define FR_CRASH_CHECKPOINTS_MAX 6
#define FR_CRASH_DEPTH_MAX       3

struct fr_crash_run;

/* How thorough a run is. Odds are "one in n"; 0 is never. */
struct fr_crash_plan {
    unsigned points_one_in;    /* the plug is pulled at each n-th change of the disk */
    unsigned images_per_point; /* of what may be left then */
    unsigned deeper_one_in;    /* recoveries that are crashed themselves */
    unsigned goes_on_one_in;   /* recoveries after which it is written on */
    unsigned again_one_in;     /* images that are recovered twice */
    fr_status (*step)(struct fr_crash_run *run); /* how it is written on after a recovery */
};

/* A store of its own that was made at a moment. */
struct fr_crash_checkpoint {
    unsigned name; /* of the directory, as a number */
    size_t n;      /* batches that it holds */
};

/* One disk that is to be recovered, and what it may hold. */
struct fr_crash_pending {
    struct fr_sim_image *image;
    size_t least, most;                             /* batches */
    unsigned checkpoints_acked, checkpoints_issued; /* masks */
    size_t ingest; /* the batch count behind the last ingest, whose files are there before it */
};

struct fr_crash_held {
    void *held;                  /* NULL: there is none */
    struct fr_crash_model model; /* hashes only */
};

struct fr_crash_run {
    /* Constant. */
    const struct fr_crash_subject *subject;
    struct fr_crash_report *report;
    struct fr_crash_plan plan;
    uint64_t seed;
    unsigned config;
    unsigned depth; /* how many crashes lie behind */
    const char *path;
    struct fr_env *env; /* NULL: the simulated machine's */

    /* Called whenever what is promised has changed, by the thread that runs it; NULL: nobody is. */
    void (*witness)(struct fr_crash_run *run);
    void *witness_ctx;

    /* Whether a fault that is at work explains a failure; NULL: there is none. */
    bool (*explains)(const struct fr_crash_run *run, fr_status st);
    const struct fr_sim_fault *fault;
    bool lied; /* syncs did not do what they said */
    bool hurt; /* a fault has been at work, here or before the crash */

    /* The thread that runs it. */
    struct fr_sim *sim; /* NULL: the machine is a real one */
    void *store;        /* NULL: closed */
    uint64_t step;
    const char *doing;
    struct fr_crash_history history;
    struct fr_crash_model model;
    struct fr_rng rng;
    uint32_t next_id;
    size_t published; /* batches that outlive the process */
    struct fr_crash_held held[FR_CRASH_HOLDS];
    struct fr_crash_checkpoint checkpoints[FR_CRASH_CHECKPOINTS_MAX];
    unsigned checkpoint_count;
    uint64_t trace; /* of all that was read */

    /* Written by that thread, read by the hook on any: relaxed, it was called by what they tell. */
    _Atomic(size_t) acked, issued; /* batches */
    _Atomic(size_t) ingest;
    _Atomic(unsigned) checkpoints_acked, checkpoints_issued; /* masks */
    _Atomic(bool) no_images;
    _Atomic(bool) tending;

    struct fr_mutex mu; /* rank FR_RANK_SIM: the hook is called without the machine's lock */

    /* Guarded by mu. */
    struct fr_crash_pending pending[FR_CRASH_PENDING_MAX];
    size_t pending_count;
    uint64_t changes;
};

/* All threads take turns from here to fr_sim_schedule_end, in an order that the seed decides. */
FR_NODISCARD fr_status fr_crash_schedule_begin(uint64_t seed);

/* NULL: no memory. The config is the seed's. */
struct fr_crash_run *fr_crash_run_new(const struct fr_crash_subject *subject,
        struct fr_crash_report *report, uint64_t seed);

/* Closes what is open. NULL is fine. */
void fr_crash_run_free(struct fr_crash_run *run);

FR_NODISCARD fr_status fr_crash_run_open(struct fr_crash_run *run);

/* Closing makes everything durable. What was held is let go. */
FR_NODISCARD fr_status fr_crash_run_close(struct fr_crash_run *run);

/* Something is wrong: words in the report, with seed, step, depth and what was being done. */
fr_status fr_crash_run_find(struct fr_crash_run *run, const char *format, ...) FR_PRINTF(2, 3);

/* FR_OK; st if a fault explains it, which is counted; else a finding. */
FR_NODISCARD fr_status fr_crash_run_settle(struct fr_crash_run *run, fr_status st);

/* Let go of what is held. */
void fr_crash_run_drop_held(struct fr_crash_run *run);

/* ---- what is done */

/* The batch of that number; 0: of the next one. */
FR_NODISCARD fr_status fr_crash_run_write(struct fr_crash_run *run, uint32_t id, fr_sync sync);
FR_NODISCARD fr_status fr_crash_run_act(struct fr_crash_run *run, enum fr_crash_act act,
        size_t slot, size_t end);
/* What a subject does in the background, if it can be asked for; and a crash right behind it. */
FR_NODISCARD fr_status fr_crash_run_tend(struct fr_crash_run *run);
FR_NODISCARD fr_status fr_crash_run_ingest(struct fr_crash_run *run, bool move);
FR_NODISCARD fr_status fr_crash_run_checkpoint(struct fr_crash_run *run);

/* Hold what is there now; or read again what is held, and let it go. */
FR_NODISCARD fr_status fr_crash_run_hold(struct fr_crash_run *run, enum fr_crash_hold kind);

/* Read all in some way, and compare. */
FR_NODISCARD fr_status fr_crash_run_check(struct fr_crash_run *run, enum fr_crash_way way);
FR_NODISCARD fr_status fr_crash_run_reopen(struct fr_crash_run *run);

/* ---- what the oracle says */

/*
 * Which prefix of the history the store holds: one of [least, most], or with a batch in doubt
 * behind it, or it is a finding. Every way of reading must say the same.
 */
FR_NODISCARD fr_status fr_crash_run_find_prefix(struct fr_crash_run *run, size_t least, size_t most,
        size_t *ret_n);

/* The history ends after n batches, all of which are durable, and the model is what it was then. */
FR_NODISCARD fr_status fr_crash_run_rewind(struct fr_crash_run *run, size_t n);

/* Everything so far is durable. */
void fr_crash_run_all_acked(struct fr_crash_run *run);

/*
 * Compare the checkpoints of a disk that a crash has left with what they must hold, and take over
 * those that are there.
 */
FR_NODISCARD fr_status fr_crash_run_check_checkpoints(struct fr_crash_run *run,
        const struct fr_crash_checkpoint *checkpoints, const struct fr_crash_pending *p, size_t n);

/* The files of an ingest that is not part of the store are there. */
FR_NODISCARD fr_status fr_crash_run_check_ingest(struct fr_crash_run *run,
        const struct fr_crash_pending *p, size_t n);

#endif
