#include "base/cover.h"

#include <stddef.h>
#include <string.h>

/* A push-only list: release in fr_cover_hit, acquire in the readers. */
static _Atomic(struct fr_cover_mark *) marks;

void fr_cover_hit(struct fr_cover_mark *mark)
{
    atomic_fetch_add_explicit(&mark->count, 1, memory_order_relaxed);
    if (atomic_flag_test_and_set_explicit(&mark->listed, memory_order_relaxed)) return;

    struct fr_cover_mark *head = atomic_load_explicit(&marks, memory_order_relaxed);
    do {
        mark->next = head;
    } while (!atomic_compare_exchange_weak_explicit(&marks, &head, mark, memory_order_release,
            memory_order_relaxed));
}

uint64_t fr_cover_count(const char *name)
{
    uint64_t count = 0;

    for (struct fr_cover_mark *m = atomic_load_explicit(&marks, memory_order_acquire); m != NULL;
            m = m->next)
        if (strcmp(m->name, name) == 0)
            count += atomic_load_explicit(&m->count, memory_order_relaxed);
    return count;
}

void fr_cover_clear(void)
{
    for (struct fr_cover_mark *m = atomic_load_explicit(&marks, memory_order_acquire); m != NULL;
            m = m->next)
        atomic_store_explicit(&m->count, 0, memory_order_relaxed);
}
