/*
 * metamorphic.h - the same history under many configurations: all reads are the same.
 *
 * How large memtables, tables and blocks are, whether there are filters, compression or value
 * files, what the machine's transfers are like: nothing of this may be seen in an answer. A history
 * is seeded operations, with reads of all kinds between them, each of which is compared with the
 * model; at the end the hashes of all that was read are compared with each other besides. A history
 * that fails is made shorter, as long as it fails, before it is told.
 */
#ifndef FR_CRASH_METAMORPHIC_H
#define FR_CRASH_METAMORPHIC_H

#include "crash/run.h"

struct fr_crash_metamorphic {
    const struct fr_crash_subject *subject;
    uint64_t seed;      /* of the first history */
    unsigned histories; /* each has the next seed */
    unsigned configs;   /* of the subject's */
    unsigned steps;
    bool (*over)(void *ctx); /* whether to end early; NULL: never */
    void *over_ctx;
};

FR_NODISCARD fr_status fr_crash_metamorphic_run(const struct fr_crash_metamorphic *metamorphic,
        struct fr_crash_report *report);

#endif
