/*
 * covered.h - which tables are dropped unread, because range deletes say all that is left to say
 * about them: a function of the version and the snapshots, without any I/O.
 *
 *     newer     [b ......................... x) @9      a range delete in some table
 *     older         c--f @1..4     g---p @2..7          tables of any level
 *
 * A table goes if each key between its bounds is covered by a range delete that is newer than all
 * that the table holds, and that every snapshot sees that sees anything of the table. Its own range
 * deletes go with it: whoever sees them sees the newer ones, which reach as far. What covers it may
 * be put together of several ranges of one table, and of its neighbours in a level, because a
 * compaction cuts a range where it cuts its tables.
 *
 * The range delete stays where it is until it has met everything older (lsm/fold.h), so what it
 * still covers in part stays hidden. It must be in a table, not in memory: the edit that drops
 * what it covers must not be durable before the range delete is.
 */
#ifndef FR_LSM_COVERED_H
#define FR_LSM_COVERED_H

#include "lsm/picker.h"

/* The most that one job drops, so that edits stay small, and the lock is not held for long. */
#define FR_COVERED_MOST 512

/*
 * Covered tables of one level that are not busy, as inputs and nothing else; the snapshots are
 * ascending. FR_NOT_FOUND: there are none, or snapshots keep them: then *ret_kept is true.
 * FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_covered_pick(const struct fr_version *version, const fr_seq *snapshots,
        size_t snapshot_count, struct fr_pick *ret_pick, bool *ret_kept);

#endif
