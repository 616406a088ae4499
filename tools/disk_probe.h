/*
 * disk_probe.h - what a directory's disk does: reads by depth, and what each way to make bytes
 * durable costs. For `freshet iotest` and for bench_io.
 *
 * The files it makes are named iotest.* and are gone when it returns, also after a failure.
 */
#ifndef FR_TOOLS_DISK_PROBE_H
#define FR_TOOLS_DISK_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/histogram.h"
#include "base/status.h"

struct fr_dir;
struct fr_env;
struct fr_file;

/* Make name a file of size bytes that no file system can shorten, durable, and open it for direct
 * reads. */
FR_NODISCARD fr_status fr_disk_probe_file(struct fr_dir *dir, const char *name, uint64_t size,
        struct fr_file **ret_file);

struct fr_disk_reads {
    size_t block_size;    /* of each read; offsets are multiples of it */
    unsigned depth;       /* in flight */
    unsigned batch;       /* completions to wait for before going on; 0 for a steady stream */
    bool registered;      /* from one region of memory, offered to the kernel */
    uint64_t duration_us; /* of the measurement */
    uint64_t seed;
};

struct fr_disk_rate {
    uint64_t count;
    uint64_t elapsed_us;
    struct fr_histogram latency; /* us */
};

/* Random reads of the file with so many in flight. */
FR_NODISCARD fr_status fr_disk_probe_reads(struct fr_env *env, struct fr_file *file,
        const struct fr_disk_reads *plan, struct fr_disk_rate *ret_rate);

/* Ways to make bytes durable, one of which each engine is built on. */
enum fr_sync_way {
    FR_SYNC_WAY_APPEND,           /* write behind the end, fdatasync */
    FR_SYNC_WAY_APPEND_DSYNC,     /* synchronous write behind the end */
    FR_SYNC_WAY_PREWRITTEN,       /* write into pre-written space, fdatasync */
    FR_SYNC_WAY_PREWRITTEN_DSYNC, /* synchronous write into pre-written space */
    FR_SYNC_WAY_DIRECT_SYNC,      /* the same, past the page cache, fdatasync */
    FR_SYNC_WAY_DIRECT_DSYNC,     /* the same, past the page cache, synchronous write */
    FR_SYNC_WAY_QUEUE_DSYNC,      /* the same through a queue */
    FR_SYNC_WAY_REPLACE,          /* a new file, fdatasync, rename, fsync of the directory */
    FR_SYNC_WAY_COUNT
};

/* Words for it; static. */
const char *fr_sync_way_text(enum fr_sync_way way);

/* A short name for scripts; static. */
const char *fr_sync_way_name(enum fr_sync_way way);

struct fr_disk_syncs {
    enum fr_sync_way way;
    size_t size; /* bytes made durable at a time; a multiple of 4096 */
    uint64_t duration_us;
};

/* Make bytes durable, one commit after the other, and tell how long each took. */
FR_NODISCARD fr_status fr_disk_probe_syncs(struct fr_env *env, struct fr_dir *dir,
        const struct fr_disk_syncs *plan, struct fr_disk_rate *ret_rate);

static inline double fr_disk_rate_per_second(const struct fr_disk_rate *rate)
{
    return rate->elapsed_us == 0 ? 0 : (double)rate->count * 1e6 / (double)rate->elapsed_us;
}

#endif
