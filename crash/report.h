/*
 * report.h - what a harness has tried, in figures, and the first thing that was wrong.
 *
 * Counters are named once, for the text, for JSON and for the tests that demand a least figure. A
 * finding says from which seed and step it came, so that it can be repeated; it ends the history
 * in which it was made by a status that climbs like any other.
 */
#ifndef FR_CRASH_REPORT_H
#define FR_CRASH_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mutex.h"
#include "base/status.h"

enum fr_crash_counter {
    FR_CRASH_HISTORIES = 0,
    FR_CRASH_STEPS,
    FR_CRASH_POINTS,        /* moments at which the plug was pulled */
    FR_CRASH_POINTS_TENDED, /* of them: in, or right behind, a little of background work */
    FR_CRASH_IMAGES,        /* disks that could be left then */
    FR_CRASH_DISTINCT,      /* of them, no two alike */
    FR_CRASH_LEFT_OUT,      /* of them, not looked at: too many at once */
    FR_CRASH_RECOVERIES,    /* openings of such a disk */
    FR_CRASH_DEPTH_1,       /* of them: after one crash, */
    FR_CRASH_DEPTH_2,       /* after a crash of that recovery, */
    FR_CRASH_DEPTH_3,       /* and after a crash of the recovery from that */
    FR_CRASH_KILLS,
    FR_CRASH_REOPENINGS,
    FR_CRASH_INGESTS,
    FR_CRASH_CHECKPOINTS,
    FR_CRASH_CHECKPOINTS_READ, /* found after a crash, and opened */
    FR_CRASH_HELD,             /* snapshots and iterators read again later */
    FR_CRASH_FAULT_CASES,      /* one operation or allocation was made to fail, and came to it */
    FR_CRASH_FAULT_MEMORY,     /* of them: allocations */
    FR_CRASH_FAILURES,         /* calls that failed in consequence */
    FR_CRASH_POISONED,         /* and those refused since */
    FR_CRASH_OPENS_FAILED,
    FR_CRASH_LIES_TOLD, /* openings that refuse what a lying sync has left */
    FR_CRASH_SEQUENCES,
    FR_CRASH_DAMAGES,
    FR_CRASH_DAMAGES_TOLD,     /* answered with an error */
    FR_CRASH_DAMAGES_HARMLESS, /* every read was right all the same */
    FR_CRASH_DAMAGES_TORN,     /* taken for the torn end of a log */
    FR_CRASH_CONFIG_RUNS,      /* histories run under one configuration each */
    FR_CRASH_READS,            /* by ways of reading */
    FR_CRASH_FINDINGS,
    FR_CRASH_COUNTERS
};

/* As "crash_points", for keys, and as "crash points", for people; static. */
const char *fr_crash_counter_key(enum fr_crash_counter counter);
const char *fr_crash_counter_text(enum fr_crash_counter counter);

#define FR_CRASH_FINDING_MAX 1024

struct fr_crash_report {
    _Atomic(uint64_t) counters[FR_CRASH_COUNTERS]; /* relaxed: figures only */
    struct fr_mutex mu;                            /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    char finding[FR_CRASH_FINDING_MAX]; /* the first one; "" if there is none */
    uint64_t *seen;                     /* hashes of images, an open table; 0 is empty */
    size_t seen_count;
    size_t seen_room; /* a power of two, or 0 */
};

void fr_crash_report_init(struct fr_crash_report *report);
void fr_crash_report_deinit(struct fr_crash_report *report);

void fr_crash_count(struct fr_crash_report *report, enum fr_crash_counter counter, uint64_t by);
uint64_t fr_crash_counted(const struct fr_crash_report *report, enum fr_crash_counter counter);

/* A hash is seen; true: for the first time, or there is no memory to remember it. Any thread. */
bool fr_crash_report_is_new(struct fr_crash_report *report, uint64_t hash);

/* Forget what was seen; the counts stay. */
void fr_crash_report_forget(struct fr_crash_report *report);

/*
 * Something was wrong: keep the words, count it. Always FR_ERR_CANCELLED, which the caller hands up
 * so that the history ends. Any thread.
 */
fr_status fr_crash_find(struct fr_crash_report *report, const char *format, ...) FR_PRINTF(2, 3);

/* Put in front of the finding what it was found by. */
void fr_crash_report_explain(struct fr_crash_report *report, const char *words);

#endif
