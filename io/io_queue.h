/*
 * io_queue.h - many transfers at once: push, submit, wait, pop.
 *
 *     for (i = 0; i < n; i++)
 *         fr_io_queue_push(queue, &requests[i]);
 *     fr_io_queue_wait(queue, n);                      one system call for all of them
 *     while ((request = fr_io_queue_pop(queue)) != NULL)
 *         FR_TRY(fr_io_request_check(request));
 *
 * A queue belongs to the thread that opened it (unless it `wanders`), and to one purpose: the
 * requests of two users never meet. A request belongs to the caller, who must leave it and its
 * buffer alone from push to pop. Pushing and submitting never complete anything: outcomes are
 * collected in wait and handed out by pop, and nowhere else, so no caller is re-entered. Requests
 * of one queue are not ordered among each other; a sync request covers the writes that had
 * completed when it was pushed, no others.
 */
#ifndef FR_IO_IO_QUEUE_H
#define FR_IO_IO_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct fr_dir_lock;
struct fr_env;
struct fr_file;
struct fr_io_queue;

enum fr_io_op {
    FR_IO_READ,
    FR_IO_WRITE,
    FR_IO_WRITE_DSYNC, /* durable at completion, as FR_WRITE_DSYNC */
    FR_IO_SYNC,        /* as fr_file_sync(); data, size and offset are ignored */
};

/* One transfer. Zero it, fill the first part, push it. */
struct fr_io_request {
    /* Set by the caller. */
    enum fr_io_op op;
    struct fr_file *file;
    void *data; /* read from by writes only */
    size_t size;
    uint64_t offset;
    void *owner; /* the queue does not look at it */

    /* Set at completion, valid once popped. */
    fr_status status;
    int os_error;     /* with a failure that came from the system */
    size_t done_size; /* a successful read short of size has met the end of the file */

    /* The queue's own. */
    struct fr_io_request *next;
    void *bounce; /* aligned stand-in for data, or NULL */
    size_t bounce_size;
    size_t moved;             /* bytes done so far, of data or of bounce */
    int64_t result;           /* of the latest attempt: bytes, or a negative errno */
    enum fr_io_op attempt_op; /* what to try next */
    unsigned retries;         /* in a row, without progress */
    void *backend;            /* the backend's */
};

struct fr_io_queue_options {
    /* Attempts in flight at once; more than that wait their turn. 0 for FR_IO_DEPTH_DEFAULT. */
    unsigned depth;

    /*
     * Memory from which most buffers will come, or NULL: registered with the kernel where that
     * pays. Must stay as long as the queue.
     */
    void *buffer;
    size_t buffer_size;

    /*
     * The lock that protects the files, or NULL. Given, it cannot be released before the last write
     * of this queue has left the kernel, not even by the death of the process.
     */
    const struct fr_dir_lock *lock;

    /*
     * Used by one thread after the other: whoever hands it on has popped all that was pushed. Else
     * it belongs to the thread that opened it, which is a little faster.
     */
    bool wanders;
};

#define FR_IO_DEPTH_DEFAULT 64
#define FR_IO_DEPTH_MAX     4096

/* NULL options are all zeros. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_io_queue_open(struct fr_env *env,
        const struct fr_io_queue_options *options, struct fr_io_queue **ret_queue);

/* Waits for what is in flight; requests that were not popped may be reused after this. */
void fr_io_queue_close(struct fr_io_queue *queue);

/* "uring" or "pool" or "sim": a ring that cannot be had is replaced by the pool, with a log line.
 */
const char *fr_io_queue_kind_name(const struct fr_io_queue *queue);

/* Line up a request. Makes no system call and cannot fail. */
void fr_io_queue_push(struct fr_io_queue *queue, struct fr_io_request *request);

/* Hand what was pushed to the system, up to the depth. Does not wait and completes nothing. */
void fr_io_queue_submit(struct fr_io_queue *queue);

/* Submit, and return once `least` requests (or all that there are) can be popped. */
void fr_io_queue_wait(struct fr_io_queue *queue, size_t least);

/* The next completed request, in the order of completion, or NULL. */
struct fr_io_request *fr_io_queue_pop(struct fr_io_queue *queue);

/* Requests pushed and not yet popped. */
size_t fr_io_queue_count(const struct fr_io_queue *queue);

/* The outcome of a popped request; a failure is born here, with path and offset. */
FR_NODISCARD fr_status fr_io_request_check(const struct fr_io_request *request);

/* The same, and a read must have got all its bytes: FR_ERR_CORRUPT if the file ended before. */
FR_NODISCARD fr_status fr_io_request_check_exact(const struct fr_io_request *request);

#endif
