/*
 * life.h - one process: it opens what its predecessor has left, compares it, and writes on.
 *
 * It runs in a child of a process that has no threads and has never opened an environment. It ends
 * by _exit, or is ended; what it was promised and what it has found stands in the ledger.
 */
#ifndef FR_CRASH_LIFE_H
#define FR_CRASH_LIFE_H

#include "crash/ledger.h"

/* Exit codes. */
enum fr_life_end {
    FR_LIFE_FINE = 0,
    FR_LIFE_FOUND,   /* the report has words */
    FR_LIFE_FAILED,  /* the ledger has words: not the store's fault */
    FR_LIFE_REFUSED, /* it may not be traced */
};

struct fr_life {
    const struct fr_crash_subject *subject;
    struct fr_ledger *ledger;
    const char *dir; /* where it lives; its store is "store" there */
    uint64_t seed;   /* of the certification, for words */
    uint64_t chance; /* what its steps follow from */
    unsigned config;
    unsigned steps;
    bool power;  /* before it power was lost: what is on the device must be there, nothing else */
    bool closes; /* the store, at its end; else it dies with it open */
    bool traced; /* by its parent, which waits for it to stop */

    /* What it does once it has compared; NULL: so many steps of a workload. */
    fr_status (*script)(struct fr_crash_run *run, const struct fr_life *life);

    /* Instead of all that: the run has taken over the ledger, and nothing is open. */
    fr_status (*visit)(struct fr_crash_run *run, const struct fr_life *life);

    /* The failures of a disk in trouble, as its ledger says it is; FR_OK ends the list. */
    fr_status troubles[4];
};

/* The disk is in trouble, or no more, from here on. For scripts. */
void fr_life_set_trouble(const struct fr_life *life, bool trouble);

/* Whether the trouble has ended writing, for this process. */
bool fr_life_is_poisoned(void);

/* Open the store for reading only, beside the process that has it, and compare it. For visits. */
FR_NODISCARD fr_status fr_life_look(struct fr_crash_run *run, const struct fr_life *life);

/* Steps of a workload; fewer if the ledger is full. */
FR_NODISCARD fr_status fr_life_steps(struct fr_crash_run *run, unsigned steps);

/* All of it, to the end of the process. */
_Noreturn void fr_life_live(const struct fr_life *life);

#endif
