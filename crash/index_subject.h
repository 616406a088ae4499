/* index_subject.h - the vector index as a subject, with splits and merges all the time. */
#ifndef FR_CRASH_INDEX_SUBJECT_H
#define FR_CRASH_INDEX_SUBJECT_H

#include <stdatomic.h>

#include "crash/subject.h"

/* What the indexes of all stores have done until they were closed. Relaxed: figures only. */
struct fr_crash_index_work {
    _Atomic(uint64_t) splits, merges, moved, rebuilt, renewed;
};

extern struct fr_crash_index_work fr_crash_index_work;

extern const struct fr_crash_subject fr_crash_index;

#endif
