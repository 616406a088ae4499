/*
 * damage.h - a store whose files were damaged: every read is right, or an error that says where.
 *
 * A reference store with files of every kind is made on a simulated machine. Then, each time on a
 * copy of that disk: every byte is flipped, sectors are zeroed or filled with garbage, files are
 * cut, made longer, taken away, given blocks of elsewhere, or taken from an earlier generation of
 * the store or from another store. Each copy is opened and read in every way.
 *
 * There are three outcomes: the damage is told, by an error that names the file; it has no effect;
 * or it looks like the torn end of a log. The last is right only for the log of a store that was
 * not closed: for its last batches, where nothing on the disk says that they had been acknowledged;
 * and, where a run of bytes is gone that said so of others, for what was written since the last
 * flush.
 */
#ifndef FR_CRASH_DAMAGE_H
#define FR_CRASH_DAMAGE_H

#include "crash/run.h"

struct fr_crash_damage {
    const struct fr_crash_subject *subject;
    uint64_t seed;           /* of the reference store */
    bool closed;             /* whether it was closed, or its process died */
    unsigned bits;           /* of each byte that are flipped, one after the other: 1 to 8 */
    unsigned cut_step;       /* bytes between the lengths that files are cut to */
    unsigned part, parts;    /* this part of so many of all damages; 0 parts: all of them */
    bool (*over)(void *ctx); /* whether to end early; NULL: never */
    void *over_ctx;
};

/* *ret_bytes is the size of all that is in use of the reference store; it may be NULL. */
FR_NODISCARD fr_status fr_crash_damage_run(const struct fr_crash_damage *damage,
        struct fr_crash_report *report, uint64_t *ret_bytes);

#endif
