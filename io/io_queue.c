/*
 * io_queue.c - where each request of a queue is, and what moves it on.
 *
 *     push --> pending --submit--> in flight --wait--> ready --pop--> the caller's again
 *                 ^                    |
 *                 +-- resumed, wait ---+
 *
 * A request that begin() finishes at once, for a misuse or for size zero, goes from push to ready.
 * Resumed requests go to the front of the line: they are the oldest.
 */
#include "io/io_queue.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "io/env_priv.h"

struct request_list {
    struct fr_io_request *first;
    struct fr_io_request *last;
    size_t count;
};

struct fr_io_queue {
    struct fr_env *env;
    struct fr_queue_backend *backend;
    struct request_list pending;
    struct request_list ready;
    size_t in_flight_count;
};

static void append(struct request_list *list, struct fr_io_request *request)
{
    request->next = NULL;
    if (list->last != NULL)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
    list->count++;
}

static void prepend(struct request_list *list, struct fr_io_request *request)
{
    request->next = list->first;
    list->first = request;
    if (list->last == NULL) list->last = request;
    list->count++;
}

static struct fr_io_request *take_first(struct request_list *list)
{
    struct fr_io_request *request = list->first;

    list->first = request->next;
    if (list->first == NULL) list->last = NULL;
    list->count--;
    request->next = NULL;
    return request;
}

fr_status fr_io_queue_open(struct fr_env *env, const struct fr_io_queue_options *options,
        struct fr_io_queue **ret_queue)
{
    struct fr_io_queue_options filled = {0};
    struct fr_io_queue *queue = NULL;
    fr_status st;

    if (options != NULL) filled = *options;
    if (filled.depth == 0) filled.depth = FR_IO_DEPTH_DEFAULT;
    if (filled.depth > FR_IO_DEPTH_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a queue of depth %u; %u is the most", filled.depth,
                FR_IO_DEPTH_MAX);
    queue = FR_NEW(struct fr_io_queue);
    if (queue == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an I/O queue");
    queue->env = env;
    FR_TRY(env->ops->queue_open(env->ctx, &filled, &queue->backend));
    *ret_queue = FR_TAKE(queue);
out:
    fr_io_queue_close(queue);
    return st;
}

void fr_io_queue_close(struct fr_io_queue *queue)
{
    if (queue == NULL) return;
    if (queue->backend != NULL) {
        fr_io_queue_wait(queue, SIZE_MAX);
        FR_ASSERT(queue->in_flight_count == 0);
        queue->backend->ops->close(queue->backend);
    }
    fr_free(queue);
}

const char *fr_io_queue_kind_name(const struct fr_io_queue *queue)
{
    return queue->backend->ops->name;
}

void fr_io_queue_push(struct fr_io_queue *queue, struct fr_io_request *request)
{
    FR_ASSERT(request->file->env == queue->env);
    append(fr_io_request_begin(request) ? &queue->pending : &queue->ready, request);
}

/* Stage as much of the line as there is room for. A file may have been poisoned meanwhile. */
static void stage_pending(struct fr_io_queue *queue)
{
    while (queue->pending.count > 0) {
        struct fr_io_request *request = take_first(&queue->pending);

        if (fr_io_request_refused(request)) {
            append(&queue->ready, request);
            continue;
        }
        if (!queue->backend->ops->stage(queue->backend, request)) {
            prepend(&queue->pending, request);
            return;
        }
        queue->in_flight_count++;
    }
}

void fr_io_queue_submit(struct fr_io_queue *queue)
{
    if (queue->pending.count == 0) return;
    stage_pending(queue);
    queue->backend->ops->start(queue->backend);
    fr_env_count(&queue->env->submit_count, 1);
}

/* Sort what the backend gave back: finished, or once more. */
static void take_back(struct fr_io_queue *queue, struct fr_io_request *finished)
{
    for (struct fr_io_request *request = finished, *next; request != NULL; request = next) {
        next = request->next;
        FR_ASSERT(queue->in_flight_count > 0);
        queue->in_flight_count--;
        if (fr_io_request_advance(request, request->result))
            append(&queue->ready, request);
        else
            prepend(&queue->pending, request);
    }
}

void fr_io_queue_wait(struct fr_io_queue *queue, size_t least)
{
    least = FR_MIN(least, fr_io_queue_count(queue));
    do {
        if (queue->pending.count > 0) {
            stage_pending(queue);
            fr_env_count(&queue->env->submit_count, 1);
        }
        size_t wanted = least > queue->ready.count ? least - queue->ready.count : 0;
        size_t most = FR_MIN(wanted, queue->in_flight_count);
        /* Reap starts what is staged: one system call to submit and to wait. */
        take_back(queue, queue->backend->ops->reap(queue->backend, (unsigned)most));
    } while (queue->ready.count < least);
}

struct fr_io_request *fr_io_queue_pop(struct fr_io_queue *queue)
{
    return queue->ready.count == 0 ? NULL : take_first(&queue->ready);
}

size_t fr_io_queue_count(const struct fr_io_queue *queue)
{
    return queue->pending.count + queue->in_flight_count + queue->ready.count;
}
