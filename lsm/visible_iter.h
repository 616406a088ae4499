/*
 * visible_iter.h - what a user sees of a moment: each key once, with its value.
 *
 * Over a merge of all sources: of each key the versions up to the snapshot, newest down to the
 * first PUT, DELETE or covering range; fragments behind their base; what is deleted or expired is
 * not there. It is an fr_iter whose entries are all PUTs with inline values; seq is that of the
 * newest part. seek looks at the key only (give FR_SEQ_MAX).
 *
 * A key under a range delete is hidden, and where a whole source is older than the range, that
 * source seeks past all that the ranges cover. A hidden key never leads beyond the bounds.
 */
#ifndef FR_LSM_VISIBLE_ITER_H
#define FR_LSM_VISIBLE_ITER_H

#include "lsm/lookup.h"
#include "lsm/merge_iter.h"
#include "lsm/range_set.h"

struct fr_visible_options {
    fr_seq at;       /* the snapshot */
    uint64_t now_us; /* what has expired by now is hidden */
    struct fr_bounds bounds;
    fr_slice prefix; /* only keys that begin so; within the bounds */
    /* For placed values: where the bytes lie, until it is called again; or, if that is NULL, copy.
     */
    fr_status (*look)(void *fetch_ctx, const struct fr_entry *entry, fr_slice *ret_value);
    fr_fetch_fn fetch;
    void *fetch_ctx;
    /* Told of a key whose value is damaged, which is passed over forwards; NULL: it is an error. */
    fr_iter_damage_fn *damage;
    void *damage_ctx;
    /* Asked of a placed value, unless fragments go behind it. NULL: all are read. */
    fr_iter_known_fn *known;
    void *known_ctx;
    /* The range deletes of all sources, each a reference that the iterator takes for itself. */
    struct fr_range_set *const *ranges;
    size_t range_count;
};

/*
 * Show sources, which belong to the new iterator from here on, also if this fails. Whatever the
 * sources read from must stay until it is closed. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_visible_iter_new(const struct fr_merge_source *sources, size_t count,
        const struct fr_visible_options *options, struct fr_iter **ret_it);

#endif
