/* backup.c - the public interface of backups: arguments are checked here, the rest is recovery/. */
#include "freshet/backup.h"

#include "db/db_priv.h"
#include "io/env.h"
#include "recovery/backup.h"
#include "recovery/backup_set.h"
#include "recovery/restore.h"

static fr_status check(const char *path, const struct fr_backup_options *how)
{
    if (path == NULL) return FR_FAIL(FR_ERR_MISUSE, "a backup has no path");
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_backup_options: size %zu, not %zu", how->size,
                sizeof(*how));
    return FR_OK;
}

static fr_status check_info(const struct fr_backup_info *info)
{
    if (info != NULL && info->size == sizeof(*info)) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "fr_backup_info: size %zu, not %zu",
            info == NULL ? 0 : info->size, sizeof(*info));
}

fr_status fr_db_backup(struct fr_db *db, const char *path, const struct fr_backup_options *how,
        struct fr_backup_info *ret_info)
{
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(check(path, how));
    FR_TRY(check_info(ret_info));
    st = fr_backup_make(db->engine, path, how, ret_info);
out:
    return st;
}

/* A set in an environment of its own. */
static fr_status open_set(const char *path, bool writes, struct fr_env **ret_env,
        struct fr_backup_set *set)
{
    fr_status st;

    FR_TRY(fr_env_open(NULL, ret_env));
    /* Writing makes the directory; who wants to change a backup does not want a new one. */
    FR_TRY(fr_backup_set_open(set, *ret_env, path));
    if (writes) {
        fr_backup_set_close(set);
        FR_TRY(fr_backup_set_create(set, *ret_env, path));
    }
out:
    return st;
}

fr_status fr_backup_next(const char *path, uint64_t after, struct fr_backup_info *ret_info)
{
    struct fr_backup_set set = {0};
    struct fr_env *env = NULL;
    fr_status st;

    FR_TRY(check(path, NULL));
    FR_TRY(check_info(ret_info));
    FR_TRY(open_set(path, false, &env, &set));
    st = fr_backup_set_next(&set, after, ret_info);
out:
    fr_backup_set_close(&set);
    fr_env_close(env);
    return st;
}

fr_status fr_backup_check(const char *path, uint64_t generation,
        const struct fr_backup_options *how)
{
    struct fr_backup_set set = {0};
    struct fr_env *env = NULL;
    fr_status st;

    FR_TRY(check(path, how));
    FR_TRY(open_set(path, false, &env, &set));
    st = fr_backup_set_check(&set, generation, how);
out:
    fr_backup_set_close(&set);
    fr_env_close(env);
    return st;
}

fr_status fr_backup_drop(const char *path, uint64_t generation, uint64_t *ret_freed_bytes)
{
    struct fr_backup_set set = {0};
    struct fr_env *env = NULL;
    uint64_t freed = 0;
    fr_status st;

    FR_TRY(check(path, NULL));
    FR_TRY(open_set(path, true, &env, &set));
    FR_TRY(fr_backup_set_drop(&set, generation, &freed));
    if (ret_freed_bytes != NULL) *ret_freed_bytes = freed;
out:
    fr_backup_set_close(&set);
    fr_env_close(env);
    return st;
}

fr_status fr_backup_restore(const char *path, uint64_t generation, const char *store,
        const struct fr_backup_options *how, struct fr_backup_info *ret_info)
{
    struct fr_env *env = NULL;
    fr_status st;

    FR_TRY(check(path, how));
    FR_TRY(check(store, NULL));
    FR_TRY(check_info(ret_info));
    FR_TRY(fr_env_open(NULL, &env));
    st = fr_restore(env, path, generation, store, how, ret_info);
out:
    fr_env_close(env);
    return st;
}
