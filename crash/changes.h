/*
 * changes.h - batches that follow from a number, so that a history is a list of numbers.
 */
#ifndef FR_CRASH_CHANGES_H
#define FR_CRASH_CHANGES_H

#include "crash/subject.h"

#define FR_CRASH_CHANGES_MAX 8
#define FR_CRASH_BYTES_MAX   1200 /* of one value */

/* A number with this bit is an ingest: sorted puts and deletes, each slot once. */
#define FR_CRASH_ID_INGEST (UINT32_C(1) << 31)

/* A number with this bit is one change besides the id; with it, the bits below say its kind. */
#define FR_CRASH_ID_SINGLE    (UINT32_C(1) << 30)
#define FR_CRASH_ID_KIND(id)  ((enum fr_crash_change_kind)((id) >> 28 & 3))
#define FR_CRASH_ID_OF(kind)  (FR_CRASH_ID_SINGLE | (uint32_t)(kind) << 28)
#define FR_CRASH_ID_NUMBER(n) ((uint32_t)(n) & ((UINT32_C(1) << 28) - 1))

struct fr_crash_changes {
    uint32_t id;
    size_t count;
    struct fr_crash_change list[FR_CRASH_CHANGES_MAX]; /* borrow from bytes */
    uint8_t bytes[FR_CRASH_CHANGES_MAX][FR_CRASH_BYTES_MAX];
};

/* What batch id does to a subject; always the same. */
void fr_crash_changes_make(const struct fr_crash_subject *subject, uint32_t id,
        struct fr_crash_changes *ret_changes);

#endif
