/* verify.h - checking all of a store: its files from the path, or an open engine's. */
#ifndef FR_RECOVERY_VERIFY_H
#define FR_RECOVERY_VERIFY_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/status.h"
#include "freshet/verify.h"

struct fr_engine;
struct fr_env;
struct fr_known;
struct fr_rate_limiter;
struct fr_row_digests;

/* For who checks in the background: in place of the rate, and when to give up. */
struct fr_verify_watch {
    struct fr_rate_limiter *limiter;
    const _Atomic(bool) *stop; /* relaxed; then FR_ERR_CANCELLED */
};

/* For who reads the store afterwards: what is known of its values then (lsm/known.h), with
 * digests of rows of indexes. */
struct fr_verify_keep {
    struct fr_known *known;
    const struct fr_row_digests *digests;
};

/* As fr_verify() and fr_db_verify(); how is not NULL, watch and keep may be. */
FR_NODISCARD fr_status fr_verify_path(struct fr_env *env, const char *path,
        const struct fr_verify_options *how, const struct fr_verify_keep *keep,
        struct fr_verify_stats *ret_stats);
FR_NODISCARD fr_status fr_verify_engine(struct fr_engine *engine,
        const struct fr_verify_options *how, const struct fr_verify_watch *watch,
        struct fr_verify_stats *ret_stats);

#endif
