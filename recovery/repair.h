/* repair.h - a store out of what can be read of a damaged one. */
#ifndef FR_RECOVERY_REPAIR_H
#define FR_RECOVERY_REPAIR_H

#include "base/status.h"
#include "freshet/repair.h"

struct fr_env;

/* As fr_repair(); how is not NULL, to may be. */
FR_NODISCARD fr_status fr_repair_run(struct fr_env *env, const char *path, const char *to,
        const struct fr_repair_options *how, struct fr_repair_stats *ret_stats);

#endif
