/*
 * lost.h - rows that cannot be read, and a walk over those that can.
 *
 * Rows are the truth: what is derived is made from them, and a damaged one from nothing. So it
 * costs itself alone. A walk passes over what is damaged, whether that is a row that makes no
 * sense, its value in a value file, or a block of a table with all rows that were in it; each is
 * noted here, and told in the log. What a failed read says is no damage and ends the walk: the next
 * time it may go well, and until then nobody may conclude that a row is not there.
 *
 * A damaged block may have had newer versions of rows that another table has, or their deletes. So
 * each row between its first and its last key is asked for by itself: a lookup, which goes from new
 * to old, finds the damage if it matters.
 *
 * That a row is lost is never taken for its not being there. Its code stays in the index if that is
 * whole. As long as rows are missing in what is derived, m/lost stands beside it, and each opening
 * tries again (index_mend.c).
 */
#ifndef FR_SPFRESH_LOST_H
#define FR_SPFRESH_LOST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/mutex.h"
#include "lsm/engine.h"
#include "lsm/iter.h"
#include "spfresh/id_map.h"
#include "spfresh/stored.h"

struct fr_index_stats;
struct fr_spfresh;

/* Rows that were in a damaged block lie there, both ends included. */
struct fr_lost_range {
    struct fr_index_key low, high;
};

struct fr_lost {
    _Atomic(bool) any;  /* relaxed: for those who need not know it at once */
    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct fr_id_set ids; /* that are known to be lost */
    struct fr_lost_range *ranges;
    size_t range_count, range_capacity;
    struct fr_error why; /* the first reason; status 0: nothing is lost */
};

void fr_lost_init(struct fr_lost *lost);
void fr_lost_deinit(struct fr_lost *lost);

bool fr_lost_any(const struct fr_spfresh *index);

/* The first reason, for those who have nothing without these rows. */
FR_NODISCARD fr_status fr_lost_fail(struct fr_spfresh *index);

/* The figures of it. */
void fr_lost_count(struct fr_spfresh *index, struct fr_index_stats *stats);

/* Whether there may be a row of that id, though nothing else is known of it. */
bool fr_lost_may_have(struct fr_spfresh *index, uint64_t id);

/* It was written, or deleted: whatever it was. */
void fr_lost_forget(struct fr_spfresh *index, uint64_t id);

/* FR_OK: it can be read, or FR_NOT_FOUND; FR_ERR_CORRUPT: it is lost, and has been noted. */
FR_NODISCARD fr_status fr_lost_check(struct fr_spfresh *index, uint64_t id);

struct fr_row_walk {
    struct fr_spfresh *index;
    struct fr_index_key kind;
    struct fr_iter *it;
    bool is_strict; /* damage ends it */
};

/* Over all rows of the moment of opening, but for what is damaged. */
FR_NODISCARD fr_status fr_row_walk_open(struct fr_row_walk *walk, struct fr_spfresh *index);

/* Over all rows of another moment: of an index that is whole, and will not be made from less. */
FR_NODISCARD fr_status fr_row_walk_open_at(struct fr_row_walk *walk, struct fr_spfresh *index,
        struct fr_view *view, fr_seq at);

void fr_row_walk_close(struct fr_row_walk *walk);

/* The next row; dimension floats. FR_END. FR_ERR_CORRUPT where the walk does not pass over it. */
FR_NODISCARD fr_status fr_row_walk_next(struct fr_row_walk *walk, uint64_t *ret_id,
        float *ret_vector);

#endif
