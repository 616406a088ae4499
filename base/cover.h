/*
 * cover.h - branches that a test must prove it reached.
 *
 * FR_COVER("compaction: trivial move") stands in the branch. A test clears the counts, does its
 * work, and asserts fr_cover_count("compaction: trivial move") > 0. In release builds it is
 * nothing.
 */
#ifndef FR_BASE_COVER_H
#define FR_BASE_COVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct fr_cover_mark {
    const char *name;
    _Atomic(uint64_t) count; /* relaxed: read by a test that has joined the counting threads */
    atomic_flag listed;
    struct fr_cover_mark *next; /* written once, before the mark is published on the list */
};

void fr_cover_hit(struct fr_cover_mark *mark);

/* How often the branch of that name was taken since the last clear. */
uint64_t fr_cover_count(const char *name);
void fr_cover_clear(void);

#ifdef NDEBUG
#define FR_COVER(text) ((void)0)
#else
#define FR_COVER(text)                                                                             \
    do {                                                                                           \
        static struct fr_cover_mark fr_mark_ = {.name = (text), .listed = ATOMIC_FLAG_INIT};       \
        fr_cover_hit(&fr_mark_);                                                                   \
    } while (0)
#endif

#endif
