#include "io/env.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "io/env_priv.h"

fr_status fr_env_new(const struct fr_backend_ops *ops, void *ctx, enum fr_env_kind kind,
        struct fr_env **ret_env)
{
    struct fr_env *env = FR_NEW(struct fr_env);

    if (env == NULL) {
        ops->close(ctx);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for an environment");
    }
    env->ops = ops;
    env->ctx = ctx;
    env->kind = kind;
    *ret_env = env;
    return FR_OK;
}

/* FR_IO_BACKEND, for finding faults. Anything unknown in it is worth a complaint, not a guess. */
static fr_status kind_from_environment(enum fr_env_kind *ret_kind)
{
    const char *wish = getenv("FR_IO_BACKEND");

    *ret_kind = FR_ENV_AUTO;
    if (wish == NULL || wish[0] == '\0' || strcmp(wish, "auto") == 0) return FR_OK;
    if (strcmp(wish, "uring") == 0) {
        *ret_kind = FR_ENV_URING;
        return FR_OK;
    }
    if (strcmp(wish, "posix") == 0) {
        *ret_kind = FR_ENV_POSIX;
        return FR_OK;
    }
    return FR_FAIL(FR_ERR_MISUSE, "FR_IO_BACKEND=%.40s: know uring, posix and auto", wish);
}

fr_status fr_env_open(const struct fr_env_options *options, struct fr_env **ret_env)
{
    enum fr_env_kind kind = options == NULL ? FR_ENV_AUTO : options->kind;
    unsigned threads = options == NULL ? 0 : options->pool_threads_max;
    char reason[200] = "asked for";
    fr_status st;

    if (kind > FR_ENV_POSIX || threads > FR_ENV_POOL_THREADS_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "fr_env_open: kind %d with %u threads", kind, threads);
    if (kind == FR_ENV_AUTO && (st = kind_from_environment(&kind)) < 0) return st;
    if (kind == FR_ENV_POSIX) return fr_posix_env_open(false, threads, reason, ret_env);

    int rc = fr_uring_probe(reason, sizeof(reason));
    if (rc < 0 && kind == FR_ENV_URING)
        return fr_error_set(FR_ERR_UNSUPPORTED, -rc, __FILE__, __LINE__, "%s", reason);
    if (rc < 0) fr_log(FR_LOG_INFO, "io", "posix instead of io_uring: %s", reason);
    return fr_posix_env_open(rc == 0, threads, reason, ret_env);
}

void fr_env_close(struct fr_env *env)
{
    if (env == NULL) return;
    env->ops->close(env->ctx);
    fr_free(env);
}

enum fr_env_kind fr_env_kind(const struct fr_env *env)
{
    return env->kind;
}

const char *fr_env_kind_name(enum fr_env_kind kind)
{
    switch (kind) {
    case FR_ENV_AUTO:
        return "auto";
    case FR_ENV_URING:
        return "uring";
    case FR_ENV_POSIX:
        return "posix";
    case FR_ENV_SIM:
        return "sim";
    }
    return "unknown";
}

const char *fr_env_reason(const struct fr_env *env)
{
    return env->reason;
}

uint64_t fr_env_now_us(struct fr_env *env)
{
    return env->ops->now_us(env->ctx);
}

uint64_t fr_env_now_ns(struct fr_env *env)
{
    return env->ops->now_ns == NULL ? env->ops->now_us(env->ctx) * 1000
                                    : env->ops->now_ns(env->ctx);
}

uint64_t fr_env_wall_us(struct fr_env *env)
{
    return env->ops->wall_us(env->ctx);
}

void fr_env_sleep_us(struct fr_env *env, uint64_t duration_us)
{
    env->ops->sleep_us(env->ctx, duration_us);
}

static uint64_t counted(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void fr_env_stats_get(const struct fr_env *env, struct fr_env_stats *ret_stats)
{
    *ret_stats = (struct fr_env_stats){
            .read_count = counted(&env->read_count),
            .read_bytes = counted(&env->read_bytes),
            .write_count = counted(&env->write_count),
            .write_bytes = counted(&env->write_bytes),
            .sync_count = counted(&env->sync_count),
            .submit_count = counted(&env->submit_count),
            .resume_count = counted(&env->resume_count),
    };
}
