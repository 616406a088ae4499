/*
 * env_priv.h - for this folder and its tests only: the front and the backends.
 *
 * The front (env.c, dir.c, file.c, map.c, io_queue.c) checks arguments, resumes short transfers,
 * retries interruptions, bounces unaligned direct reads, remembers failed syncs, counts, and finds
 * the words for errors. A backend does single attempts and answers as the kernel does: bytes or
 * zero, or a negative errno. So the simulator injects faults below the very code that must cope
 * with them.
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

#include "base/mutex.h"
#include "base/status.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/io_queue.h"

/* What a backend knows a directory, a file or a lock by: a descriptor, or a pointer of the sim's.
 */
typedef intptr_t fr_handle;
#define FR_HANDLE_NONE ((fr_handle)-1)

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
    uint64_t (*now_ns)(void *ctx); /* NULL: now_us is as fine as it gets */
    uint64_t (*wall_us)(void *ctx);
    void (*sleep_us)(void *ctx, uint64_t duration_us);

    /* Who we are, for the text of a lock file: "process 4711 (name)". */
    void (*holder_text)(void *ctx, char *ret_text, size_t size);

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

    /*
     * An exclusive lock on an open file, tied to the handle; -EAGAIN if another handle has it. The
     * death of the process releases it, though not before the last write of a ring that holds it.
     */
    int (*file_lock)(void *ctx, fr_handle file);
    void (*file_unlock)(void *ctx, fr_handle file);

    /* The same on an open directory. Any other failure: this file system has no such locks. */
    int (*dir_lock)(void *ctx, fr_handle dir);
    void (*dir_unlock)(void *ctx, fr_handle dir);

    /* Files. */
    int (*file_open)(void *ctx, fr_handle dir, const char *name, unsigned flags,
            struct fr_open_result *ret_result);
    void (*file_close)(void *ctx, fr_handle file);
    int64_t (*file_read)(void *ctx, fr_handle file, uint64_t offset, void *data, size_t size);
    /* The same, without waiting: -EAGAIN, or less than there is. NULL: there is no such thing. */
    int64_t (*file_read_cached)(void *ctx, fr_handle file, uint64_t offset, void *data,
            size_t size);
    int64_t (*file_write)(void *ctx, fr_handle file, uint64_t offset, const void *data, size_t size,
            bool dsync);
    int (*file_sync)(void *ctx, fr_handle file);
    int (*file_truncate)(void *ctx, fr_handle file, uint64_t size);
    int (*file_punch_hole)(void *ctx, fr_handle file, uint64_t offset, uint64_t size);
    void (*file_advise)(void *ctx, fr_handle file, uint64_t offset, uint64_t size,
            enum fr_file_advice advice);
    int (*file_info)(void *ctx, fr_handle file, struct fr_file_info *ret_info);

    /*
     * A shared mapping of a range inside the file, refused (-EOPNOTSUPP) where a store into it
     * could find no room; and letting go of the page tables of a part. All are NULL where there is
     * no such thing.
     */
    int (*file_map)(void *ctx, fr_handle file, uint64_t offset, uint64_t size, void **ret_data);
    void (*file_unmap)(void *ctx, void *data, uint64_t size);
    void (*file_relax)(void *ctx, void *data, uint64_t size);

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
     * Start what is staged, without waiting for any of it. What cannot be started now is started,
     * or answered with a negative errno, by reap.
     */
    void (*start)(struct fr_queue_backend *queue);

    /*
     * Collect finished attempts into a list linked by `next`, in their order of completion, each
     * with its result set. Starts what is staged first, and blocks until at least `least` attempts
     * (no more than are staged or in flight) can be given; more come along if they are there.
     */
    struct fr_io_request *(*reap)(struct fr_queue_backend *queue, unsigned least);
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
    struct fr_mutex syncing;
    int lost; /* what a sync has failed with, for good */
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
    struct fr_dir *dir; /* borrowed */
    struct fr_file *file;
    bool held;
    bool dir_held;
};

/*
 * io_request.c: the life of one transfer, the same for blocking calls and for queues.
 *
 *     begin --> attempt --> advance --+--> finished
 *                  ^                  |
 *                  +--- not yet: -----+  short, interrupted, or the sync of a two-step DSYNC
 *
 * begin checks and sets up the bounce buffer; false: it is finished already, mostly with an error.
 * refused asks again before an attempt whether the file was poisoned; true: finished so. A sync
 * that went well asks it, too: what it was to make durable may be what another sync has lost.
 * advance takes the outcome of an attempt; true: finished, and status, os_error, done_size are set.
 * fr_io_request_attempt makes one blocking attempt through the environment's own calls.
 */
bool fr_io_request_begin(struct fr_io_request *request);
bool fr_io_request_refused(struct fr_io_request *request);
bool fr_io_request_advance(struct fr_io_request *request, int64_t result);
int64_t fr_io_request_attempt(const struct fr_io_request *request);

/* Where the request's next attempt reads or writes: what is left of it, or of its bounce buffer. */
struct fr_io_span {
    void *data;
    size_t size;
    uint64_t offset;
};

struct fr_io_span fr_io_attempt_span(const struct fr_io_request *request);

/* dir.c: whether a name is a single component, and a path for messages (fr_free it). */
FR_NODISCARD fr_status fr_name_check(const char *name);
FR_NODISCARD fr_status fr_path_join(const char *dir, const char *name, char **ret_path);

/* An environment over a backend. Takes over ctx, which is closed with it, and also if this fails.
 */
FR_NODISCARD fr_status fr_env_new(const struct fr_backend_ops *ops, void *ctx,
        enum fr_env_kind kind, struct fr_env **ret_env);

/*
 * posix_backend.c: this machine by blocking calls; its queues are rings if use_uring is set, with
 * the pool to fall back on. The reason is shown to people.
 */
FR_NODISCARD fr_status fr_posix_env_open(bool use_uring, unsigned pool_threads_max,
        const char *reason, struct fr_env **ret_env);

/* pool_queue.c: a queue served by a few threads that the environment's queues share. */
struct fr_io_pool;
FR_NODISCARD fr_status fr_io_pool_new(unsigned threads_max, struct fr_io_pool **ret_pool);
void fr_io_pool_free(struct fr_io_pool *pool);
FR_NODISCARD fr_status fr_pool_queue_open(struct fr_io_pool *pool,
        const struct fr_io_queue_options *options, struct fr_queue_backend **ret_queue);

/*
 * uring_queue.c. The probe opens and closes a small ring: 0 or a negative errno, and a sentence
 * about it for people in either case. Without liburing it answers -ENOSYS.
 */
int fr_uring_probe(char *ret_reason, size_t size);
FR_NODISCARD fr_status fr_uring_queue_open(const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue);

static inline void fr_env_count(_Atomic(uint64_t) *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

#endif
