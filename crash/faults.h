/*
 * faults.h - every operation of the disk and every allocation that fails, once or from then on.
 *
 * A short history is run again and again, each time with another operation that fails. Whatever is
 * answered must be right, or be the fault's own status, or that writing has stopped since. Then
 * power is lost, and the process dies; each time a prefix must be there that reaches as far as was
 * acknowledged. Nothing may be left of the memory.
 */
#ifndef FR_CRASH_FAULTS_H
#define FR_CRASH_FAULTS_H

#include "crash/workload.h"

struct fr_crash_faults {
    const struct fr_crash_subject *subject;
    uint64_t seed;
    unsigned finer;          /* sites: of the n-th operations, n grows by 1 and its finer-th part */
    unsigned part, parts;    /* this part of so many of the sweep; 0 parts: all of it */
    bool (*over)(void *ctx); /* as a workload's */
    void *over_ctx;
};

/* All kinds of operation, each with all that can become of it. */
FR_NODISCARD fr_status fr_crash_faults_run(const struct fr_crash_faults *faults,
        struct fr_crash_report *report);

/* The n-th allocation fails, in whatever thread of the subject. Needs fr_crash_memory_install(). */
FR_NODISCARD fr_status fr_crash_faults_run_memory(const struct fr_crash_faults *faults,
        struct fr_crash_report *report);

/*
 * One fault, in the history of a seed; without operations, it is an allocation's. *ret_hit says
 * whether it came to that.
 */
FR_NODISCARD fr_status fr_crash_faults_try(const struct fr_crash_subject *subject,
        struct fr_crash_report *report, const struct fr_sim_fault *fault, uint64_t seed,
        bool *ret_hit);

#endif
