/*
 * ledger.h - what was promised about one store by processes that die, in memory that outlives them.
 *
 * Whoever starts the processes makes the ledger before, and they inherit it. A process keeps it by
 * being the witness of its run (run.h): each entry is there before the store is asked for what it
 * says, and each promise once it was made. So wherever the process is killed, what its successor
 * must find, and what it may find, stands in the ledger. One process at a time writes to it.
 */
#ifndef FR_CRASH_LEDGER_H
#define FR_CRASH_LEDGER_H

#include <stdatomic.h>

#include "crash/run.h"

/* How far a process has come. */
enum fr_ledger_stage {
    FR_LEDGER_BORN = 0,
    FR_LEDGER_COMPARED, /* what its predecessor has left was as it must be */
    FR_LEDGER_DONE,     /* all its steps */
};

struct fr_ledger_copies {
    struct fr_crash_checkpoint list[FR_CRASH_CHECKPOINTS_MAX];
    unsigned count;
    unsigned acked, issued; /* masks */
};

#define FR_LEDGER_WORDS_MAX 512

struct fr_ledger {
    /* Written before what says how much of it counts. */
    struct fr_crash_history history;
    struct fr_ledger_copies copies[2];

    /* Written last, released by the process and acquired by its successor. */
    _Atomic(size_t) issued, published, acked; /* batches: tried; with the system; on the device */
    _Atomic(size_t) ingest;
    _Atomic(unsigned) copies_now; /* index */
    _Atomic(uint32_t) next_id;

    /* Between those who live at the same time; relaxed but for the figures of the report. */
    _Atomic(int) stage;                /* enum fr_ledger_stage */
    _Atomic(bool) trouble;             /* the disk refuses: some failures are no findings */
    _Atomic(uint64_t) refused;         /* answers of a disk that refused */
    _Atomic(uint64_t) waited;          /* openings that had to wait for the one before to be gone */
    _Atomic(uint64_t) compared;        /* stores that were compared, */
    _Atomic(uint64_t) held;            /* with so many batches that had to be there, all in all, */
    _Atomic(uint64_t) extra;           /* and so many that were there besides */
    struct fr_crash_report report;     /* its mutex is begun anew in every process */
    char failure[FR_LEDGER_WORDS_MAX]; /* why a process could not go on; "" */
    char io[FR_LEDGER_WORDS_MAX];      /* how files are read and written, in words */
};

/* NULL: no memory. Shared with all processes that are forked from here on. */
struct fr_ledger *fr_ledger_new(void);
void fr_ledger_free(struct fr_ledger *ledger);

/* A new store: nothing was promised of it. The figures stay. */
void fr_ledger_begin(struct fr_ledger *ledger, uint32_t first_id);

/*
 * A run takes over what its predecessors were promised: its history is theirs, and what its store
 * must hold comes in *ret_pending: after the death of a process, or after a loss of power. Nothing
 * is written to the ledger.
 */
void fr_ledger_take(struct fr_ledger *ledger, struct fr_crash_run *run, bool power,
        struct fr_crash_pending *ret_pending);

/* From here on the run's promises are entered. */
void fr_ledger_keep(struct fr_ledger *ledger, struct fr_crash_run *run);

#endif
