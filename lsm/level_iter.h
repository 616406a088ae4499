/*
 * level_iter.h - the tables of a level above 0 as one iterator: one table is open at a time.
 */
#ifndef FR_LSM_LEVEL_ITER_H
#define FR_LSM_LEVEL_ITER_H

#include "lsm/iter.h"
#include "lsm/table.h"
#include "lsm/version.h"

/* Borrows the level, which must stay as long as the iterator. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_level_iter_new(const struct fr_version_level *level,
        const struct fr_table_iter_options *options, struct fr_iter **ret_iter);

#endif
