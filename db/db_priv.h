/*
 * db_priv.h - for this folder only: what a store is to the public interface.
 */
#ifndef FR_DB_DB_PRIV_H
#define FR_DB_DB_PRIV_H

#include <stdatomic.h>

#include "base/mutex.h"
#include "db/scrub.h"
#include "freshet/db.h"
#include "lsm/engine.h"

struct fr_env;
struct fr_index_checked;
struct fr_known;

struct fr_db {
    /* Constant after open. */
    struct fr_env *env;
    struct fr_engine *engine;
    bool follows; /* open for reading only: the writer knows no snapshot of ours */

    _Atomic(fr_sync) sync; /* relaxed: of writes that do not say */

    struct fr_mutex options_mu; /* rank FR_RANK_DB_OPTIONS */

    /* Guarded by options_mu. */
    struct fr_db_options options; /* as they are now */

    struct fr_scrub scrub;

    struct fr_mutex indexes_mu; /* rank FR_RANK_LEAF */
    struct fr_index *indexes;   /* those that are open; guarded by indexes_mu */
};

/* What the engine is to be given; every option lies in its range. */
struct fr_engine_options fr_db_engine_options(const struct fr_db_options *options);

/* A store is asked for something: FR_ERR_MISUSE if there is none. */
FR_NODISCARD fr_status fr_db_check(const struct fr_db *db);

/* What a write asks for. FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_db_write_options(const struct fr_db *db,
        const struct fr_write_options *how, enum fr_durability *ret_durability,
        uint64_t *ret_expires_us);

/* As fr_index_verify(), with values that are known; or NULL. */
FR_NODISCARD fr_status fr_index_verify_with(struct fr_index *index, const struct fr_known *known,
        struct fr_index_checked *ret_checked);

/* A part of a value, which is the caller's to release as if it were all of it. */
void fr_db_pin_part(const struct fr_engine_value *value, fr_slice part,
        struct fr_pinned *ret_value);

#endif
