/*
 * env.h - the only way to a file, a clock, or a sleep.
 *
 * An environment is one of three worlds behind one interface: `uring` and `posix` are this machine,
 * `sim` is a machine in memory which can fail and lose power on purpose (io/sim.h). All three pass
 * one test suite (tests/unit/io/env_suite.c), so a layer above never asks which one it has.
 *
 *     fr_env       the world; clocks                      io/env.h
 *     fr_dir       a directory: names, durability of names    io/dir.h
 *     fr_file      bytes, one blocking call at a time     io/file.h
 *     fr_map       memory that stands for a file's bytes  io/map.h
 *     fr_io_queue  many transfers at once, one submission     io/io_queue.h
 *
 * What holds in each of them:
 *
 * - Short transfers are resumed and interruptions retried in here; nobody above sees either. A read
 *   is short at the end of the file only.
 * - Only a completed sync orders anything. Syncing a file does not make its name durable; syncing
 *   the directory does not make the file's bytes durable.
 * - After a failed sync (or a failed synchronous write) the file takes no more writes and no more
 *   syncs: FR_ERR_POISONED. What is on the device is then known only after a reopening.
 * - Errors carry the path, and the offset where there is one.
 * - A child of fork() must leave alone what it inherits of an environment, closing included: a ring
 *   is shared with the parent, and the pool's threads are not there.
 */
#ifndef FR_IO_ENV_H
#define FR_IO_ENV_H

#include <stdint.h>

#include "base/status.h"

struct fr_env;

enum fr_env_kind {
    FR_ENV_AUTO = 0, /* uring if the system lets us, else posix */
    FR_ENV_URING,
    FR_ENV_POSIX,
    FR_ENV_SIM, /* opened by fr_sim_open() only */
};

struct fr_env_options {
    enum fr_env_kind kind;

    /* posix: the most worker threads that serve queues; 0 for FR_ENV_POOL_THREADS_DEFAULT. */
    unsigned pool_threads_max;
};

/* Enough to keep a fast device busy from blocking calls; they sleep unless there is a batch. */
#define FR_ENV_POOL_THREADS_DEFAULT 16
#define FR_ENV_POOL_THREADS_MAX     256

/*
 * Open this machine. NULL options are all zeros. With FR_ENV_AUTO the environment variable
 * FR_IO_BACKEND (uring, posix) overrides the choice, as a help for finding faults. FR_ENV_URING:
 * FR_ERR_UNSUPPORTED if io_uring cannot be had, with the reason in words.
 */
FR_NODISCARD fr_status fr_env_open(const struct fr_env_options *options, struct fr_env **ret_env);

/* All directories, files and queues of it must be closed before. NULL is fine. */
void fr_env_close(struct fr_env *env);

/* Which world this is; never FR_ENV_AUTO. */
enum fr_env_kind fr_env_kind(const struct fr_env *env);

/* "uring", "posix" or "sim"; static. */
const char *fr_env_kind_name(enum fr_env_kind kind);

/* One sentence on why it is that world, and how it is set up. Valid as long as the environment. */
const char *fr_env_reason(const struct fr_env *env);

/* A clock that never goes back, for intervals; its zero means nothing. Any thread. */
uint64_t fr_env_now_us(struct fr_env *env);

/* The same clock, as fine as it is. Any thread. */
uint64_t fr_env_now_ns(struct fr_env *env);

/* The time of day since 1970. It may jump: for people and for TTL, never for order. Any thread. */
uint64_t fr_env_wall_us(struct fr_env *env);

void fr_env_sleep_us(struct fr_env *env, uint64_t duration_us);

/* Counted since the environment was opened. A transfer counts once, however often it is resumed. */
struct fr_env_stats {
    uint64_t read_count;
    uint64_t read_bytes;
    uint64_t write_count;
    uint64_t write_bytes;
    uint64_t sync_count;   /* of files and directories; synchronous writes count as both */
    uint64_t submit_count; /* hand-overs of a batch by a queue */
    uint64_t resume_count; /* attempts made again after a short transfer or an interruption */
};

void fr_env_stats_get(const struct fr_env *env, struct fr_env_stats *ret_stats);

#endif
