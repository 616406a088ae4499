/*
 * sequences.h - every sequence of a few operations, with a crash after each change of the disk.
 *
 * Most bugs of recovery need no more than three operations on a small store, so all of these are
 * tried, instead of some that are longer: put, append, delete, range delete, batch, sync, flush,
 * compaction, snapshot, reopening, ingest, checkpoint. Each begins on a store that holds a little.
 */
#ifndef FR_CRASH_SEQUENCES_H
#define FR_CRASH_SEQUENCES_H

#include "crash/run.h"

#define FR_CRASH_SEQUENCE_KINDS 12

struct fr_crash_sequences {
    const struct fr_crash_subject *subject;
    uint64_t seed;
    unsigned length;         /* 3 */
    unsigned part, parts;    /* this part of so many of all sequences; 0 parts: all of them */
    bool (*over)(void *ctx); /* whether to end early; NULL: never */
    void *over_ctx;
};

FR_NODISCARD fr_status fr_crash_sequences_run(const struct fr_crash_sequences *sequences,
        struct fr_crash_report *report);

#endif
