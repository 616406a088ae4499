/*
 * workload.h - a seeded history on a simulated machine, crashed wherever its plan says.
 *
 * Everything that a subject can do comes up: batches of all kinds and sync classes, flushes,
 * compactions, ingests, checkpoints, snapshots, iterators, reopenings, and the death of the
 * process.
 */
#ifndef FR_CRASH_WORKLOAD_H
#define FR_CRASH_WORKLOAD_H

#include "crash/run.h"

struct fr_crash_workload {
    const struct fr_crash_subject *subject;
    unsigned steps;
    struct fr_crash_plan plan; /* step is filled in */
    bool (*over)(void *ctx);   /* whether to end early; NULL: never */
    void *over_ctx;
};

/* The plan of the crash tests: a crash at each change, and a few images of each. */
struct fr_crash_plan fr_crash_plan_usual(unsigned points_one_in);

/* One seeded step of a run. */
FR_NODISCARD fr_status fr_crash_workload_step(struct fr_crash_run *run);

/* One history of a seed. A finding is in the report; otherwise a failure is of the machine. */
FR_NODISCARD fr_status fr_crash_workload_run(const struct fr_crash_workload *workload,
        struct fr_crash_report *report, uint64_t seed);

#endif
