/* verify.h - checking all of a store: its files from the path, or an open engine's. */
#ifndef FR_RECOVERY_VERIFY_H
#define FR_RECOVERY_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"
#include "freshet/verify.h"

struct fr_engine;
struct fr_env;
struct fr_rate_limiter;

/* For who checks in the background: in place of the rate, and when to give up. */
struct fr_verify_watch {
    struct fr_rate_limiter *limiter;
    const _Atomic(bool) *stop; /* relaxed; then FR_ERR_CANCELLED */
};

/* As fr_verify() and fr_db_verify(); how is not NULL, watch may be. */
FR_NODISCARD fr_status fr_verify_path(struct fr_env *env, const char *path,
        const struct fr_verify_options *how, struct fr_verify_stats *ret_stats);
FR_NODISCARD fr_status fr_verify_engine(struct fr_engine *engine,
        const struct fr_verify_options *how, const struct fr_verify_watch *watch,
        struct fr_verify_stats *ret_stats);

#endif
