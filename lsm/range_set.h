/*
 * range_set.h - which keys are deleted by range, and as of which sequence number.
 *
 * DELETE_RANGE entries overlap as they like. A set cuts them where any of them starts or ends:
 *
 *     [a ........ m) @5                    [a, f) @5
 *          [f ........ t) @9       ->      [f, m) @9 @5
 *                                          [m, t) @9
 *
 * The fragments do not overlap, stand in order, and each has the sequence numbers of all ranges
 * above it, newest first; so "the newest range that covers this key, for a reader at s" is two
 * binary searches. Neighbours with the same numbers are one fragment. A set never changes.
 *
 * Where a set is taken, NULL is the empty one.
 */
#ifndef FR_LSM_RANGE_SET_H
#define FR_LSM_RANGE_SET_H

#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/range.h"

struct fr_range_set;

struct fr_range_fragment {
    fr_slice start;
    fr_slice end; /* the first key that is not covered */
    const fr_seq *seqs;
    size_t seq_count; /* at least 1 */
};

/* Cut ranges that are given in any order; keys are copied. One reference. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_range_set_build(const struct fr_range *ranges, size_t count,
        struct fr_range_set **ret_set);

/* One set that says what several say, and some more ranges. One reference. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_range_set_merge(const struct fr_range_set *const *sets, size_t set_count,
        const struct fr_range *more, size_t more_count, struct fr_range_set **ret_set);

/* Any thread. */
struct fr_range_set *fr_range_set_ref(struct fr_range_set *set);
void fr_range_set_unref(struct fr_range_set *set);

/* Fragments in order, for the builder of tables; valid as long as the set. */
size_t fr_range_set_count(const struct fr_range_set *set);
const struct fr_range_fragment *fr_range_set_at(const struct fr_range_set *set, size_t index);

/* Bytes held. */
size_t fr_range_set_bytes(const struct fr_range_set *set);

/* The newest sequence number up to `at` that covers the key, or 0. Any thread. */
fr_seq fr_range_set_covering(const struct fr_range_set *set, fr_slice key, fr_seq at);

/*
 * The same for somebody who asks about keys in order, either way: remembers where the last key was.
 * Borrows the set. One thread.
 */
struct fr_range_cursor {
    const struct fr_range_set *set;
    size_t index; /* of the first fragment that ends behind the last key */
};

fr_seq fr_range_cursor_covering(struct fr_range_cursor *cursor, fr_slice key, fr_seq at);

/*
 * How far the keys around this one are covered without a gap by ranges with sequence numbers above
 * `above` and up to `at`: from the key on the first key that is not, and the first key that is.
 * false: the key itself is not covered so. The slices are valid as long as the set.
 */
bool fr_range_cursor_span(struct fr_range_cursor *cursor, fr_slice key, fr_seq above, fr_seq at,
        fr_slice *ret_start, fr_slice *ret_end);

#endif
