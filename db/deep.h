/*
 * deep.h - verifying a store as its users read it, after all of its files were read. For tools.
 *
 *     open for reading      it says what its indexes code their vectors in
 *     all files             of each value there is kept that it was whole, and a row's digest
 *     each index            its rows are compared by digests; which keys were read is kept
 *     all other keys        values that were whole are not unpacked again
 *
 * What is found is the same as if each of these had read everything by itself (lsm/known.h,
 * spfresh/row_digest.h). If an index has a finding, all keys are read: so what is told of the keys
 * does not depend on how far the check of an index came.
 */
#ifndef FR_DB_DEEP_H
#define FR_DB_DEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/db.h"
#include "freshet/index.h"
#include "freshet/verify.h"

struct fr_deep;

/* One thread at a time. FR_ERR_NOMEM. The store is used only as long as the functions last. */
FR_NODISCARD fr_status fr_deep_new(struct fr_db *db, struct fr_deep **ret_deep);
void fr_deep_free(struct fr_deep *deep);

/* As fr_verify(), once. */
FR_NODISCARD fr_status fr_deep_verify(struct fr_deep *deep, const char *path,
        const struct fr_verify_options *how, struct fr_verify_stats *ret_stats);

/* As fr_index_verify(), each index once. */
FR_NODISCARD fr_status fr_deep_verify_index(struct fr_deep *deep, struct fr_index *index);

struct fr_deep_counts {
    uint64_t keys, key_bytes, value_bytes;
};

/*
 * Read all keys and values that a user sees now, and that no check of an index has read. looked_at
 * is called when there are those of checks, and after every so many keys; false: FR_ERR_CANCELLED.
 * counts is of all of them.
 */
FR_NODISCARD fr_status fr_deep_read_keys(struct fr_deep *deep, struct fr_db *db,
        bool (*looked_at)(void *ctx, const struct fr_deep_counts *counts), void *ctx,
        struct fr_deep_counts *counts);

#endif
