/*
 * merge_iter.h - many iterators as one, in the one order of entries.
 *
 * The iterators stay on the same side of the position: on a way forwards each stands on its first
 * entry behind it, on a way backwards on its last before it, and a heap knows whose is the nearest.
 * Turning around costs a seek in each.
 *
 * Bounds hold for all of them: none is moved further than to its first entry beyond. Two sources
 * never have the same entry; if two do, FR_ERR_CORRUPT.
 */
#ifndef FR_LSM_MERGE_ITER_H
#define FR_LSM_MERGE_ITER_H

#include "lsm/iter.h"

struct fr_merge_source {
    struct fr_iter *it;
    fr_seq seq_max; /* no entry that the reader may see is newer; FR_SEQ_MAX if not known */
};

/* Keys from lower up to, but without, upper; an empty one is no bound. */
struct fr_bounds {
    fr_slice lower;
    fr_slice upper;
};

/*
 * Merge sources, which belong to the new iterator from here on, also if this fails: they are closed
 * with it. The bounds are copied. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_merge_iter_new(const struct fr_merge_source *sources, size_t count,
        struct fr_bounds bounds, struct fr_iter **ret_it);

/* Of the source that the present entry comes from. Only after an FR_OK. */
fr_seq fr_merge_iter_seq_max(const struct fr_iter *it);

/*
 * Like next (or prev), but the source of the present entry first seeks to the gap before `to` and
 * all its versions: so it leaves out what lies between, while the others leave out nothing. Only
 * after an FR_OK of a move in the same direction, and with a key that lies in that direction.
 */
FR_NODISCARD fr_status fr_merge_iter_skip_next(struct fr_iter *it, fr_slice to);
FR_NODISCARD fr_status fr_merge_iter_skip_prev(struct fr_iter *it, fr_slice to);

#endif
