/*
 * memtable.h - the latest writes in memory, in order.
 *
 * One thread at a time writes; any number reads meanwhile, without locks. A reader brings the
 * sequence number up to which it sees, and everything up to it must have been inserted before it
 * got that number; what is newer it may meet, and passes over.
 *
 * Keys are found in two ways, both of which lead to the same nodes: a hash table leads to one key,
 * and an ordered list with an index beside it to the keys around it. The versions of a key hang
 * below its node, newest first. So a point lookup, and another version of a known key - an APPEND
 * above all - search no order, and only a new key pays for its place in it (memtable_index.c).
 *
 * The check that each entry got when it was added to its batch is kept beside it.
 */
#ifndef FR_LSM_MEMTABLE_H
#define FR_LSM_MEMTABLE_H

#include "lsm/iter.h"
#include "lsm/lookup.h"
#include "lsm/range_set.h"

struct fr_memtable;
struct fr_memtable_pool;

/* Fits the least budget that makes sense: small stores in small machines, and tests. */
#define FR_MEMTABLE_BUDGET_MIN ((size_t)16 << 10)

/*
 * A memtable that is full when it holds budget bytes of memory; it then ends with the batch that
 * it has. One reference. Its memory comes from the pool, which must outlive it; without one (NULL)
 * from the allocator. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_memtable_new(size_t budget, struct fr_memtable_pool *pool,
        struct fr_memtable **ret_memtable);

/* Any thread. The last one frees it. */
struct fr_memtable *fr_memtable_ref(struct fr_memtable *memtable);
void fr_memtable_unref(struct fr_memtable *memtable);

/*
 * Make sure that inserting so many operations, whose batches have so many bytes in all, cannot
 * fail. The writer does this before it writes to the log: what is in the log must get in here.
 * A second reservation before an insertion replaces the first. FR_ERR_FULL: there are entries
 * already, and no room for these within the budget; start the next one. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_memtable_reserve(struct fr_memtable *memtable, size_t bytes,
        size_t count);

/*
 * Insert all operations of a batch, the i-th with first_seq + i, all of which must be above what is
 * there of the same key. The bytes come from a builder, or have been verified (fr_batch_verify).
 * They are copied. After a reservation this cannot fail for want of memory. FR_ERR_CORRUPT: the
 * bytes are no batch; the operations before the damage are in.
 */
FR_NODISCARD fr_status fr_memtable_insert_batch(struct fr_memtable *memtable, fr_slice batch,
        fr_seq first_seq);

/* Insert one entry. FR_ERR_NOMEM: nothing was inserted. For tests, and for who has no batch. */
FR_NODISCARD fr_status fr_memtable_insert(struct fr_memtable *memtable,
        const struct fr_entry *entry);

/*
 * Hand what there is of a key to a lookup; the values stay valid as long as the memtable. Any
 * thread. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_memtable_get(const struct fr_memtable *memtable, fr_slice key,
        struct fr_lookup *lookup);

/*
 * Walk over all entries but range deletes, newer ones than any snapshot included. With verify, each
 * entry's check is compared before it is handed out, and FR_ERR_CORRUPT tells of a difference: for
 * flush. Borrows the memtable. Any thread. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_memtable_iter_new(const struct fr_memtable *memtable, bool verify,
        struct fr_iter **ret_it);

/* All its range deletes of this moment: one reference, NULL if there are none. Any thread. */
FR_NODISCARD fr_status fr_memtable_ranges(const struct fr_memtable *memtable,
        struct fr_range_set **ret_set);

/* The checks of its range deletes still hold: for flush. FR_ERR_CORRUPT. */
FR_NODISCARD fr_status fr_memtable_verify_ranges(const struct fr_memtable *memtable);

struct fr_memtable_stats {
    size_t used_bytes;    /* handed out: what the budget is compared with */
    size_t held_bytes;    /* taken from the allocator */
    uint64_t entry_count; /* range deletes not counted */
    uint64_t key_count;   /* distinct keys of those */
    uint64_t range_count; /* range deletes */
    fr_seq seq_min;       /* of all, ranges too; 0 if empty */
    fr_seq seq_max;
};

/* As far as the writer has come; the numbers may be of different moments. Any thread. */
void fr_memtable_stats_get(const struct fr_memtable *memtable, struct fr_memtable_stats *ret_stats);

/* For tests and debug builds: assert that order, index, hash table and version chains agree. */
void fr_memtable_check(const struct fr_memtable *memtable);

#endif
