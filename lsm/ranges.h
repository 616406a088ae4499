/*
 * ranges.h - range deletes, cut in fragments that cover the same keys or none in common.
 *
 *     [a, e) at 9        [a, c) at 9    [c, e) at 9    [e, g) at 4
 *     [c, g) at 4                       [c, e) at 4
 *
 * Sorted by start and then from the newest, as entries are; so what covers a key is found by one
 * search, and a walk over the table can skip to a fragment's end.
 */
#ifndef FR_LSM_RANGES_H
#define FR_LSM_RANGES_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/range.h"

/* Ranges in any order, overlapping or not. */
struct fr_ranges {
    struct fr_buf given;     /* struct fr_range */
    struct fr_buf fragments; /* struct fr_range, once fragmented */
    struct fr_arena keys;
};

void fr_ranges_init(struct fr_ranges *ranges);
void fr_ranges_deinit(struct fr_ranges *ranges);

/* Copies the keys. A range that covers nothing is left out. */
FR_NODISCARD fr_status fr_ranges_add(struct fr_ranges *ranges, fr_slice start, fr_slice end,
        fr_seq seq);

/*
 * Cut. The fragments are valid until deinit. Their number may be the square of that of the ranges
 * given, if all overlap at different places, because a snapshot may ask for each: FR_ERR_LIMIT
 * beyond FR_RANGES_FRAGMENTS_MAX.
 */
FR_NODISCARD fr_status fr_ranges_fragment(struct fr_ranges *ranges,
        const struct fr_range **ret_fragments, size_t *ret_count);

/* 4096 ranges that all overlap at different places: 400 MB of blocks, more than any table. */
#define FR_RANGES_FRAGMENTS_MAX ((size_t)8 << 20)

/* The first fragment of those that cover the key, or the number of fragments. */
size_t fr_ranges_find(const struct fr_range *fragments, size_t count, fr_slice key);

/* The newest sequence number, up to seq, at which the key is deleted by a fragment; 0: none. */
fr_seq fr_ranges_covering(const struct fr_range *fragments, size_t count, fr_slice key, fr_seq seq);

#endif
