/* repair.c - the public interface of repairs: arguments are looked at here, the rest is recovery/.
 */
#include "freshet/repair.h"

#include "base/compiler.h"
#include "io/env.h"
#include "recovery/repair.h"

fr_status fr_repair(const char *path, const char *to, const struct fr_repair_options *how,
        struct fr_repair_stats *ret_stats)
{
    const struct fr_repair_options plain = {.size = sizeof(plain)};
    struct fr_env *env = NULL;
    fr_status st;

    if (path == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_repair: no path");
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_repair_options: size %zu, not %zu", how->size,
                sizeof(*how));
    if (ret_stats == NULL || ret_stats->size != sizeof(*ret_stats))
        return FR_FAIL(FR_ERR_MISUSE, "fr_repair_stats: size %zu, not %zu",
                ret_stats == NULL ? 0 : ret_stats->size, sizeof(*ret_stats));
    FR_TRY(fr_env_open(NULL, &env));
    *ret_stats = (struct fr_repair_stats){.size = sizeof(*ret_stats)};
    st = fr_repair_run(env, path, to, how != NULL ? how : &plain, ret_stats);
out:
    fr_env_close(env);
    return st;
}

const char *fr_loss_kind_name(fr_loss_kind kind)
{
    static const char *const names[] = {[FR_LOSS_KEYS] = "keys",
            [FR_LOSS_VALUE] = "value",
            [FR_LOSS_STALE] = "stale",
            [FR_LOSS_LOG] = "log",
            [FR_LOSS_HISTORY] = "history",
            [FR_LOSS_DERIVED] = "derived",
            [FR_LOSS_OPTIONS] = "options"};

    if ((size_t)kind >= FR_ARRAY_COUNT(names) || names[kind] == NULL) return "unknown";
    return names[kind];
}
