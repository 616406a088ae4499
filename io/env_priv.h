/*
 * env_priv.h - for this folder and its tests only: the front and the backends.
 *
 * The front (env.c, dir.c, file.c, io_queue.c) checks arguments, resumes short transfers, retries
 * interruptions, bounces unaligned direct reads, remembers failed syncs, counts, and finds the
 * words for errors. A backend does single attempts and answers as the kernel does: bytes or zero,
 * or a negative errno. So the simulator injects faults below the very code that must cope with
 * them.
 *
 *      fr_file_read, fr_io_queue_push, ...          one front
 *                    |
 *      struct fr_backend, fr_queue_backend          one attempt, result >= 0 or -errno
 *            |               |            |
 *      posix_backend    uring_queue    sim_backend
 *      pool_queue       (files: posix) sim_queue
 */
#ifndef FR_IO_ENV_PRIV_H
#define FR_IO_ENV_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/io_queue.h"

/* What a backend knows a directory, a file or a lock by: a descriptor, or a pointer of the sim's.
 */
typedef intptr_t fr_handle;

/* What open has found out besides. alignment is 1 for a file that is not direct. */
struct fr_open_result {
    fr_handle handle;
    uint32_t alignment;
    bool direct;
};

struct fr_queue_backend;

typedef void (*fr_name_fn)(void *ctx, const char *name);

/* Single attempts. All answer a negative errno on failure; ctx is the backend's own. Any thread. */
struct fr_backend_ops {
    void (*close)(void *ctx);
    uint64_t (*now_us)(void *ctx);
    uint64_t (*wall_us)(void *ctx);
    void (*sleep_us)(void *ctx, uint64_t duration_us);

    /* Directories. path is the host's; name is a checked single component. */
    int (*dir_open)(void *ctx, const char *path, fr_handle *ret_dir);
    int (*dir_open_in)(void *ctx, fr_handle parent, const char *name, fr_handle *ret_dir);
    void (*dir_close)(void *ctx, fr_handle dir);
    int (*dir_make)(void *ctx, fr_handle parent, const char *name);
    int (*dir_remove)(void *ctx, fr_handle parent, const char *name);
    int (*dir_sync)(void *ctx, fr_handle dir);
    int (*dir_rename)(void *ctx, fr_handle dir, const char *from, const char *to);
    int (*dir_link)(void *ctx, fr_handle from_dir, const char *from, fr_handle to_dir,
            const char *to);
    int (*dir_unlink)(void *ctx, fr_handle dir, const char *name);
    int (*dir_stat)(void *ctx, fr_handle dir, const char *name, struct fr_file_info *ret_info);
    int (*dir_list)(void *ctx, fr_handle dir, fr_name_fn fn, void *fn_ctx);
    int (*dir_space)(void *ctx, fr_handle dir, uint64_t *ret_free, uint64_t *ret_total);

    /* An exclusive lock on an open file, tied to the handle; -EAGAIN if another handle has it. */
    int (*file_lock)(void *ctx, fr_handle file);

    /* Files. */
    int (*file_open)(void *ctx, fr_handle dir, const char *name, unsigned flags,
            struct fr_open_result *ret_result);
    void (*file_close)(void *ctx, fr_handle file);
    int64_t (*file_read)(void *ctx, fr_handle file, uint64_t offset, void *data, size_t size);
    int64_t (*file_write)(void *ctx, fr_handle file, uint64_t offset, const void *data, size_t size,
            bool dsync);
    int (*file_sync)(void *ctx, fr_handle file);
    int (*file_truncate)(void *ctx, fr_handle file, uint64_t size);
    int (*file_punch_hole)(void *ctx, fr_handle file, uint64_t offset, uint64_t size);
    void (*file_advise)(void *ctx, fr_handle file, uint64_t offset, uint64_t size,
            enum fr_file_advice advice);
    int (*file_info)(void *ctx, fr_handle file, struct fr_file_info *ret_info);

    /* Queues. */
    fr_status (*queue_open)(void *ctx, const struct fr_io_queue_options *options,
            struct fr_queue_backend **ret);
};

/*
 * The lower half of a queue. An attempt is a request whose attempt_op, and the span that
 * fr_io_attempt_span() tells, are to be tried once; its result goes to request->result. All calls
 * come from the queue's own thread.
 */
struct fr_queue_backend_ops {
    const char *name;
    void (*close)(struct fr_queue_backend *queue); /* nothing is in flight any more */

    /* Take an attempt in hand. false: no room, reap first. */
    bool (*stage)(struct fr_queue_backend *queue, struct fr_io_request *request);

    /*
     * Start what is staged. Answers how many hand-overs it took (system calls, for the statistics).
     * An attempt that cannot be started comes back from reap with a negative errno.
     */
    unsigned (*start)(struct fr_queue_backend *queue);

    /*
     * Collect finished attempts into a list linked by `next`, in their order of completion; block
     * until there is at least one if wait is set. Starts what is staged on the way.
     */
    struct fr_io_request *(*reap)(struct fr_queue_backend *queue, bool wait);
};

/* The first member of each backend's own struct. */
struct fr_queue_backend {
    const struct fr_queue_backend_ops *ops;
};

struct fr_env {
    /* Constant after open. */
    const struct fr_backend_ops *ops;
    void *ctx;
    enum fr_env_kind kind;
    char reason[256];

    /* Statistics: relaxed, nothing is ordered by them. */
    _Atomic(uint64_t) read_count;
    _Atomic(uint64_t) read_bytes;
    _Atomic(uint64_t) write_count;
    _Atomic(uint64_t) write_bytes;
    _Atomic(uint64_t) sync_count;
    _Atomic(uint64_t) submit_count;
    _Atomic(uint64_t) resume_count;
};

struct fr_dir {
    struct fr_env *env;
    fr_handle handle;
    char *path;
};

struct fr_file {
    struct fr_env *env;
    fr_handle handle;
    char *path;
    uint32_t alignment;
    bool direct;
    bool writable;

    /*
     * The errno of the sync that failed, or 0. Set once, release; acquire before each write and
     * sync, so that who sees it knows that it came first.
     */
    _Atomic(int) poison;

    /* Set where synchronous writes are refused: then a write and a sync. Relaxed: a hint. */
    _Atomic(bool) no_dsync;
};

struct fr_dir_lock {
    struct fr_file *file;
};

/* Where the request's next attempt reads or writes: what is left of it, or of its bounce buffer. */
struct fr_io_span {
    void *data;
    size_t size;
    uint64_t offset;
};

struct fr_io_span fr_io_attempt_span(const struct fr_io_request *request);

/* An environment over a backend, which it closes at its end, also if this fails. */
FR_NODISCARD fr_status fr_env_new(const struct fr_backend_ops *ops, void *ctx,
        enum fr_env_kind kind, struct fr_env **ret_env);

static inline void fr_env_count(_Atomic(uint64_t) *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

#endif
