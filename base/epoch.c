#include "base/epoch.h"

#include <sched.h>
#include <stddef.h>

#include "base/assert.h"
#include "base/thread.h"

void fr_epoch_init(struct fr_epoch *epoch)
{
    atomic_init(&epoch->now, 1);
    for (unsigned i = 0; i < FR_EPOCH_READERS; i++)
        atomic_init(&epoch->readers[i].entered, 0);
    fr_mutex_init(&epoch->mu, FR_RANK_LEAF);
    epoch->items = NULL;
    epoch->last = &epoch->items;
}

/* The system may do it, or a schedule: whoever is waited for may be waiting for its turn. */
static void let_others_run(void)
{
    fr_thread_pause();
    (void)sched_yield();
}

/*
 * All orders here are sequentially consistent, for one argument carries it all: a reader stores its
 * epoch and then loads a pointer, a writer swaps the pointer and then looks at the epochs. Either
 * the writer sees the reader, or the reader sees the new pointer.
 */
unsigned fr_epoch_enter(struct fr_epoch *epoch)
{
    static _Atomic(unsigned) counter;
    static _Thread_local unsigned start = FR_EPOCH_READERS;

    /* Relaxed: only so that threads begin to look at different places. */
    if (start == FR_EPOCH_READERS)
        start = atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed) % FR_EPOCH_READERS;
    for (unsigned i = 0;; i++) {
        unsigned reader = (start + i) % FR_EPOCH_READERS;
        uint64_t none = 0;

        if (i > 0 && i % FR_EPOCH_READERS == 0) let_others_run();
        if (atomic_load_explicit(&epoch->readers[reader].entered, memory_order_relaxed) != 0)
            continue;
        if (atomic_compare_exchange_strong(&epoch->readers[reader].entered, &none,
                    atomic_load(&epoch->now)))
            return reader;
    }
}

void fr_epoch_leave(struct fr_epoch *epoch, unsigned reader)
{
    FR_DEBUG_ASSERT(atomic_load(&epoch->readers[reader].entered) != 0);
    /* Release: what was read is not looked at any more. Acquire in oldest_reader. */
    atomic_store_explicit(&epoch->readers[reader].entered, 0, memory_order_release);
}

/* The epoch of the reader that has been in for longest, or one beyond all. */
static uint64_t oldest_reader(struct fr_epoch *epoch)
{
    uint64_t oldest = UINT64_MAX;

    for (unsigned i = 0; i < FR_EPOCH_READERS; i++) {
        uint64_t entered = atomic_load(&epoch->readers[i].entered);

        if (entered != 0 && entered < oldest) oldest = entered;
    }
    return oldest;
}

static void free_items(struct fr_epoch_item *items)
{
    while (items != NULL) {
        struct fr_epoch_item *next = items->next;

        items->free(items);
        items = next;
    }
}

void fr_epoch_reclaim(struct fr_epoch *epoch)
{
    fr_mutex_lock(&epoch->mu);
    uint64_t oldest = oldest_reader(epoch);
    struct fr_epoch_item *items = epoch->items, **end = &epoch->items;
    while (*end != NULL && (*end)->retired <= oldest)
        end = &(*end)->next;
    bool any = end != &epoch->items;
    if (any) {
        epoch->items = *end;
        if (*end == NULL) epoch->last = &epoch->items;
        *end = NULL;
    }
    fr_mutex_unlock(&epoch->mu);
    if (any) free_items(items);
}

void fr_epoch_retire(struct fr_epoch *epoch, struct fr_epoch_item *item,
        void (*free)(struct fr_epoch_item *item))
{
    item->next = NULL;
    item->free = free;
    fr_mutex_lock(&epoch->mu);
    /* Who enters from now on has at least this epoch, and cannot find the object. */
    item->retired = atomic_fetch_add(&epoch->now, 1) + 1;
    *epoch->last = item;
    epoch->last = &item->next;
    fr_mutex_unlock(&epoch->mu);
    fr_epoch_reclaim(epoch);
}

void fr_epoch_wait(struct fr_epoch *epoch)
{
    uint64_t began = atomic_fetch_add(&epoch->now, 1) + 1;

    while (oldest_reader(epoch) < began)
        let_others_run();
}

void fr_epoch_deinit(struct fr_epoch *epoch)
{
    FR_ASSERT(oldest_reader(epoch) == UINT64_MAX);
    free_items(epoch->items);
    epoch->items = NULL;
    fr_mutex_deinit(&epoch->mu);
}
