/*
 * fold.h - what flush and compaction keep: entries in order go in, fewer that mean the same come
 * out.
 *
 * "The same" is for those who may still ask: the readers of the live snapshots, and those who read
 * the latest. The snapshots cut the sequence numbers into stripes:
 *
 *     snapshots            3        7
 *     seq        1  2  3 | 4  5 6 7 | 8  9 ...
 *     stripe         0   |     1    |    2
 *
 * Each of these readers sees all of a stripe or nothing of it. So within a stripe, and only there,
 *
 *   - what is older than a PUT, a DELETE or a covering range delete of the same stripe is dropped;
 *   - a run of APPENDs becomes one APPEND; with the PUT beneath it, one PUT; over a DELETE of the
 *     same stripe, a PUT, for it is known that there is nothing beneath;
 *   - a PUT that has expired is a DELETE. One that will expire takes no fragments: behind nothing
 *     they would outlive it, in it they would not.
 *
 * At the bottom, where no older data of these keys is elsewhere, a DELETE with nothing left beneath
 * it is dropped, an APPEND with nothing beneath it becomes a PUT, and a range delete is dropped
 * when it is in the lowest stripe: then all that it covers has been dropped, too. In a higher
 * stripe it may cover an entry that a snapshot keeps, and hides it from later readers.
 *
 * The sequence number of what is folded is that of the newest part. For the readers any number of
 * the stripe would do, as they see all of the parts or none. The newest is the one that is right
 * for all others, too. Whatever is older than the oldest part stays older, and whatever lies in
 * newer places is newer than all parts, so order against entries and range deletes outside is kept;
 * a range delete of the input that lies between two parts of one stripe would have dropped the
 * older part, so there is none. With an older part's number, a table's largest sequence number
 * would be too small, and iterators would skip the entry under a range delete that its newest part
 * survived (fr_merge_iter_skip_next); "has this key changed since s?" would be answered wrongly;
 * and a replay of the log could not tell that the newest part is in. The number is one of this
 * key's own, so nothing else has it.
 *
 * The list of snapshots must have been taken when the inputs were fixed: later snapshots are above
 * all inputs, and are served by what serves the latest readers.
 */
#ifndef FR_LSM_FOLD_H
#define FR_LSM_FOLD_H

#include "lsm/iter.h"
#include "lsm/lookup.h"
#include "lsm/range_set.h"

struct fr_fold_options {
    const fr_seq *snapshots; /* ascending; borrowed until the fold is closed */
    size_t snapshot_count;
    bool bottommost; /* these keys have no older data outside of the input */
    uint64_t now_us; /* what has expired by now is dropped */
    /* Range deletes of the input; borrowed. NULL is none. */
    const struct fr_range_set *ranges;
    /* For PLACED bases. Without it fragments over one are folded among themselves only. */
    fr_fetch_fn fetch;
    void *fetch_ctx;
};

struct fr_fold_stats {
    uint64_t in;
    uint64_t out;
    uint64_t shadowed; /* under a newer PUT or DELETE */
    uint64_t covered;  /* by a range delete */
    uint64_t expired;  /* PUTs that were taken for a DELETE */
    uint64_t deletes;  /* DELETEs dropped at the bottom */
    uint64_t folded;   /* entries that are part of another now */
};

struct fr_fold;

/*
 * Fold what an iterator has from where it stands; the iterator belongs to the fold from here on,
 * also if this fails. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_fold_new(struct fr_iter *in, const struct fr_fold_options *options,
        struct fr_fold **ret_fold);

/* NULL is fine. */
void fr_fold_close(struct fr_fold *fold);

/*
 * The next entry of the output, valid until the next call. FR_END. FR_ERR_CORRUPT: the input is out
 * of order, or has an entry twice - then nothing is applied twice. Failures stick.
 */
FR_NODISCARD fr_status fr_fold_next(struct fr_fold *fold, struct fr_entry *ret_entry);

/*
 * After an FR_OK: is this the first entry of its key? Only there may an output file end and another
 * begin, or the versions of a key would lie in two files of a level.
 */
bool fr_fold_at_key_start(const struct fr_fold *fold);

void fr_fold_stats_get(const struct fr_fold *fold, struct fr_fold_stats *ret_stats);

/*
 * The range deletes that the output must keep: of each fragment the newest in each stripe, and at
 * the bottom none of the lowest stripe. One reference, NULL if none are left. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_fold_ranges(const struct fr_fold_options *options,
        struct fr_range_set **ret_set);

#endif
