/*
 * super.h - reading and changing SUPER (lsm/super_format.h).
 */
#ifndef FR_LSM_SUPER_H
#define FR_LSM_SUPER_H

#include "base/status.h"
#include "lsm/super_format.h"

struct fr_dir;

/*
 * The store's identity and its current manifest. FR_ERR_MISSING: the directory has no SUPER.
 * FR_ERR_CORRUPT: no copy of it is whole. FR_ERR_IO: none, and one could not be read.
 * FR_ERR_TOO_NEW. The words name the file.
 */
FR_NODISCARD fr_status fr_super_read(struct fr_dir *dir, struct fr_super *ret_super);

/*
 * Make SUPER for a new store, by a name of its own first, so that a crash leaves none or a whole
 * one. FR_ERR_EXISTS.
 */
FR_NODISCARD fr_status fr_super_create(struct fr_dir *dir, const struct fr_super *super);

/* Write the next generation durably; super->generation is raised when that has gone well. */
FR_NODISCARD fr_status fr_super_change(struct fr_dir *dir, struct fr_super *super);

#endif
