/* restore.h - a store made of one generation of a backup. */
#ifndef FR_RECOVERY_RESTORE_H
#define FR_RECOVERY_RESTORE_H

#include "base/status.h"
#include "freshet/backup.h"

struct fr_env;

/* As fr_backup_restore(). how may be NULL. */
FR_NODISCARD fr_status fr_restore(struct fr_env *env, const char *path, uint64_t generation,
        const char *store, const struct fr_backup_options *how, struct fr_backup_info *ret_info);

#endif
