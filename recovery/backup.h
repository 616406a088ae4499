/* backup.h - adding a generation to a backup, from an engine that is written meanwhile. */
#ifndef FR_RECOVERY_BACKUP_H
#define FR_RECOVERY_BACKUP_H

#include "base/status.h"
#include "freshet/backup.h"

struct fr_engine;

/* As fr_db_backup(). how may be NULL. */
FR_NODISCARD fr_status fr_backup_make(struct fr_engine *engine, const char *path,
        const struct fr_backup_options *how, struct fr_backup_info *ret_info);

#endif
