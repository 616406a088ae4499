/* verify.c - the public interface of checking: arguments are looked at here, the rest is recovery/.
 */
#include "freshet/verify.h"

#include "db/db_priv.h"
#include "io/env.h"
#include "recovery/verify.h"

static fr_status take_arguments(const struct fr_verify_options *how,
        const struct fr_verify_stats *stats, struct fr_verify_options *ret_how)
{
    *ret_how = (struct fr_verify_options){.size = sizeof(*ret_how)};
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_verify_options: size %zu, not %zu", how->size,
                sizeof(*how));
    if (stats == NULL || stats->size != sizeof(*stats))
        return FR_FAIL(FR_ERR_MISUSE, "fr_verify_stats: size %zu, not %zu",
                stats == NULL ? 0 : stats->size, sizeof(*stats));
    if (how == NULL) return FR_OK;
    *ret_how = *how;
    if (how->depth != FR_VERIFY_FILES && how->depth != FR_VERIFY_ENGINE)
        return FR_FAIL(FR_ERR_MISUSE, "fr_verify_options: there is no depth %d", (int)how->depth);
    return FR_OK;
}

fr_status fr_verify(const char *path, const struct fr_verify_options *how,
        struct fr_verify_stats *ret_stats)
{
    struct fr_verify_options taken;
    struct fr_env *env = NULL;
    fr_status st;

    if (path == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_verify: no path");
    FR_TRY(take_arguments(how, ret_stats, &taken));
    FR_TRY(fr_env_open(NULL, &env));
    *ret_stats = (struct fr_verify_stats){.size = sizeof(*ret_stats)};
    st = fr_verify_path(env, path, &taken, NULL, ret_stats);
out:
    fr_env_close(env);
    return st;
}

fr_status fr_db_verify(struct fr_db *db, const struct fr_verify_options *how,
        struct fr_verify_stats *ret_stats)
{
    struct fr_verify_options taken;
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(take_arguments(how, ret_stats, &taken));
    *ret_stats = (struct fr_verify_stats){.size = sizeof(*ret_stats)};
    st = fr_verify_engine(db->engine, &taken, NULL, ret_stats);
out:
    return st;
}

const char *fr_finding_kind_name(fr_finding_kind kind)
{
    static const char *const names[] = {[FR_FINDING_DAMAGE] = "damage",
            [FR_FINDING_MISSING] = "missing",
            [FR_FINDING_DISAGREE] = "disagree",
            [FR_FINDING_POINTER] = "pointer",
            [FR_FINDING_UNREADABLE] = "unreadable",
            [FR_FINDING_TOO_NEW] = "too_new",
            [FR_FINDING_ORPHAN] = "orphan",
            [FR_FINDING_STRANGER] = "stranger"};

    if ((size_t)kind >= FR_ARRAY_COUNT(names) || names[kind] == NULL) return "unknown";
    return names[kind];
}
