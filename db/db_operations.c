/*
 * db_operations.c - what is done with a store as a whole: checkpoint, ingest, following.
 */
#include "db/db_priv.h"
#include "freshet/db.h"

fr_status fr_db_checkpoint(struct fr_db *db, const char *path,
        const struct fr_checkpoint_options *how)
{
    if (path == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_db_checkpoint: no path");
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_checkpoint_options: size %zu, not %zu", how->size,
                sizeof(*how));
    return fr_engine_checkpoint(db->engine, path, how != NULL && how->copy);
}

fr_status fr_db_ingest(struct fr_db *db, const char *const *paths, size_t count,
        const struct fr_ingest_options *how)
{
    for (size_t i = 0; i < count; i++)
        if (paths == NULL || paths[i] == NULL)
            return FR_FAIL(FR_ERR_MISUSE, "fr_db_ingest: no path %zu", i);
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_ingest_options: size %zu, not %zu", how->size,
                sizeof(*how));
    return fr_engine_ingest(db->engine, paths, count, how != NULL && how->move);
}

fr_status fr_db_refresh(struct fr_db *db)
{
    return fr_engine_refresh(db->engine);
}
