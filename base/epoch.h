/*
 * epoch.h - when memory that readers may still look at can be given back.
 *
 * Readers take no lock: they enter, follow pointers that writers swap, and leave. A writer that has
 * swapped a pointer retires the old object; it is freed once all readers who were in at that time
 * have left. Reading costs one store to a line of the reader's own, and a fence.
 *
 *     unsigned reader = fr_epoch_enter(epoch);
 *     ... load pointers, use what they point to ...
 *     fr_epoch_leave(epoch, reader);
 */
#ifndef FR_BASE_EPOCH_H
#define FR_BASE_EPOCH_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/mutex.h"

/* As many are in at the same time; one more waits until another leaves. */
#define FR_EPOCH_READERS 128

/* Part of what is to be freed. */
struct fr_epoch_item {
    struct fr_epoch_item *next;
    uint64_t retired; /* the epoch that began then */
    void (*free)(struct fr_epoch_item *item);
};

struct fr_epoch_reader {
    FR_ALIGNED(64) _Atomic(uint64_t) entered; /* the epoch, or 0: nobody is in */
};

struct fr_epoch {
    _Atomic(uint64_t) now;
    struct fr_epoch_reader readers[FR_EPOCH_READERS];

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct fr_epoch_item *items, **last; /* oldest first */
};

void fr_epoch_init(struct fr_epoch *epoch);

/* Nobody is in any more: frees all that was retired. */
void fr_epoch_deinit(struct fr_epoch *epoch);

/* Any thread. The answer goes to fr_epoch_leave. A reader may not wait for a writer meanwhile. */
unsigned fr_epoch_enter(struct fr_epoch *epoch);
void fr_epoch_leave(struct fr_epoch *epoch, unsigned reader);

/* Free the item's object later: it was made unreachable before this call. Any thread. */
void fr_epoch_retire(struct fr_epoch *epoch, struct fr_epoch_item *item,
        void (*free)(struct fr_epoch_item *item));

/* Free what nobody can look at any more. Any thread; retiring does it too now and then. */
void fr_epoch_reclaim(struct fr_epoch *epoch);

/* Return once all who are in now have left: whoever is in then saw all that was done before. */
void fr_epoch_wait(struct fr_epoch *epoch);

#endif
