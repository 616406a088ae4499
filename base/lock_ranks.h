/*
 * lock_ranks.h - every lock of the library, outermost first.
 *
 * A thread may take a lock only if its rank is above those of all the locks that it holds; debug
 * builds assert it. A new lock gets a line here, and docs/locking.md says what it guards.
 */
#ifndef FR_BASE_LOCK_RANKS_H
#define FR_BASE_LOCK_RANKS_H

enum fr_lock_rank {
    FR_RANK_NONE = 0, /* holds nothing */

    /* Room is left between the folders: db and spfresh and lsm and wal come before io. */
    FR_RANK_DB_OPTIONS = 100,    /* db: the options of a store as they are now */
    FR_RANK_SPFRESH_INDEX = 290, /* spfresh/index: writers and maintenance of one index */
    FR_RANK_SPFRESH_TREE = 300,  /* spfresh/tree: one tree, for its writers */
    FR_RANK_LSM_REMOVAL = 490,   /* lsm/engine: files while they are removed; held across I/O */
    FR_RANK_LSM_MANIFEST = 500,  /* lsm/engine: the manifest while it is written; held across I/O */
    FR_RANK_LSM_ENGINE = 510,    /* lsm/engine: view, sealed memtables, writers, jobs, counters */
    FR_RANK_LSM_OBSOLETE = 520,  /* lsm/version: the files that nobody needs any more */
    FR_RANK_LSM_EVENTS = 530,    /* lsm/events: what waits to be told to the host's hooks */
    FR_RANK_WAL = 600,           /* wal/wal_writer: one log that is written */

    FR_RANK_IO_DIR = 690,   /* io/dir: the syncs of one directory; held across them */
    FR_RANK_IO_POOL = 700,  /* io/io_pool: the queue of requests waiting for a worker */
    FR_RANK_IO_QUEUE = 710, /* io/posix_queue: requests that workers have completed */
    FR_RANK_SIM = 720,      /* io/sim: the whole simulated machine */

    FR_RANK_LEAF = 1000, /* takes no other lock while it is held */
};

#endif
