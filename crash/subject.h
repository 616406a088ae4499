/*
 * subject.h - what a thing must offer to be crashed, starved, lied to and damaged.
 *
 * Whatever is under test is, to the harness, a row of slots, each of which holds bytes or nothing.
 * What stands for a slot is the subject's business: a key of the engine, a vector of the index. The
 * harness writes batches of changes to slots, makes the subject do what it does besides, and asks
 * for all slots again, in every way in which it can be asked. So the oracle is one for all of them.
 *
 * A subject's functions answer as the library does: negative is a failure, whose words
 * fr_last_error() has. They may start threads, and are called by one thread at a time.
 */
#ifndef FR_CRASH_SUBJECT_H
#define FR_CRASH_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"
#include "base/status.h"
#include "freshet/db.h"

struct fr_crash_reading;
struct fr_env;

/* Slots in all. The last one is in every batch, and holds the number of the batch; or, where a
 * batch is of deletes alone, it is deleted. */
#define FR_CRASH_SLOTS   41
#define FR_CRASH_SLOT_ID (FR_CRASH_SLOTS - 1)

enum fr_crash_change_kind {
    FR_CRASH_PUT = 0,
    FR_CRASH_DELETE,
    FR_CRASH_APPEND,
    FR_CRASH_DELETE_RANGE, /* from slot up to, but without, end */
};

struct fr_crash_change {
    enum fr_crash_change_kind kind;
    size_t slot;
    size_t end;
    fr_slice bytes;
};

/* How a store is opened. */
enum fr_crash_mode {
    FR_CRASH_MAKE = 0,  /* for writing; it is made if it is not there */
    FR_CRASH_EXISTING,  /* for writing; it must be there */
    FR_CRASH_READ_ONLY, /* nothing on the disk changes */
};

/* What a subject does besides writing. */
enum fr_crash_act {
    FR_CRASH_FLUSH = 0, /* durable: all that was written */
    FR_CRASH_SYNC,      /* the same */
    FR_CRASH_COMPACT,   /* the same; from slot up to, but without, end, or all if end is 0 */
    FR_CRASH_IDLE,      /* wait until nothing is left to be done */
};

/* Ways to read. All must say the same. */
enum fr_crash_way {
    FR_CRASH_FORWARDS = 0,
    FR_CRASH_BACKWARDS,
    FR_CRASH_BY_SLOT,
    FR_CRASH_AT_ONCE, /* all slots in one call */
    FR_CRASH_WAYS
};

/* What stays as it is while others write. */
enum fr_crash_hold { FR_CRASH_SNAPSHOT = 0, FR_CRASH_ITERATOR, FR_CRASH_HOLDS };

struct fr_crash_subject {
    const char *name;
    uint32_t change_kinds; /* mask of 1 << enum fr_crash_change_kind */
    unsigned configs;      /* numbered from 0; the lower half does much with few bytes; and as many
                              again, which use the disk to its last byte */
    bool unmixed;          /* a batch is of puts or of deletes, never both */

    /* Closing ends it in any case. */
    fr_status (*open)(struct fr_env *env, const char *path, unsigned config,
            enum fr_crash_mode mode, void **ret_store);
    fr_status (*close)(void *store);

    /* All changes or none. */
    fr_status (*write)(void *store, const struct fr_crash_change *changes, size_t count,
            fr_sync sync);
    fr_status (*act)(void *store, enum fr_crash_act act, size_t slot, size_t end);

    /* NULL: nothing of the kind. A little of what it does in the background, here and now. */
    fr_status (*tend)(void *store);

    /* NULL: there is none. A number that grows with every batch, and must not fall behind what was
     * acknowledged. */
    uint64_t (*progress)(void *store);

    /* Tell each slot that holds something to fr_crash_saw(), in the way's order. */
    fr_status (*read)(void *store, enum fr_crash_way way, struct fr_crash_reading *reading);

    /*
     * NULL: reading is all there is to ask. Whether its parts agree with each other in what no
     * reading shows. With hurt, a fault has been at work, and what can be made anew may have been.
     */
    fr_status (*verify)(void *store, bool hurt);

    /* NULL, all three. Something that stays; read it as often as wanted, then let it go. */
    fr_status (*hold)(void *store, enum fr_crash_hold kind, void **ret_held);
    fr_status (*read_held)(void *store, void *held, enum fr_crash_way way,
            struct fr_crash_reading *reading);
    void (*release)(void *store, void *held);

    /* NULL: it has no such thing. A store of its own with all that is there, at a free path. */
    fr_status (*checkpoint)(void *store, const char *path);

    /*
     * NULL: it has no such thing. Puts and deletes, sorted by slot and each slot once, are brought
     * to a file at a free path; files are taken over all or none, and removed if move says so.
     */
    fr_status (*prebuild)(struct fr_env *env, const char *path,
            const struct fr_crash_change *changes, size_t count);
    fr_status (*ingest)(void *store, const char *const *paths, size_t count, bool move);
};

#endif
