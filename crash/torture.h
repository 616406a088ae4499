/*
 * torture.h - every harness in turn, in rounds: each seed is one round, and a slice of each sweep.
 *
 * Rounds with seeds side by side make whole sweeps of all the slices. How long a round takes is a
 * matter of seconds to tens of seconds; the budget can end it between two cases.
 */
#ifndef FR_CRASH_TORTURE_H
#define FR_CRASH_TORTURE_H

#include "crash/report.h"
#include "crash/subject.h"

struct fr_crash_torture {
    const struct fr_crash_subject *subject;
    unsigned steps;          /* of a history */
    unsigned points_one_in;  /* changes of the disk at which one is crashed */
    const char *only;        /* one part's name; NULL: all parts */
    bool (*over)(void *ctx); /* whether to end early; NULL: never */
    void *over_ctx;
};

/* The index-th part's name, and in *ret_help a line about it; NULL: there are no more. Static. */
const char *fr_crash_torture_part(unsigned index, const char **ret_help);

/* One round. A finding is in the report; FR_ERR_CANCELLED then. */
FR_NODISCARD fr_status fr_crash_torture_round(const struct fr_crash_torture *torture,
        struct fr_crash_report *report, uint64_t seed);

#endif
