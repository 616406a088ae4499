/*
 * pool_queue.c - queues served by threads, where no ring can be had.
 *
 * One pool serves all queues of an environment. Workers start when there is more to do than idle
 * workers, up to a limit, and then stay. Each makes blocking attempts:
 *
 *     stage --> staged --start--> pool's line --worker--> queue's done list --reap--> the front
 *     (the queue's thread alone)    (pool's lock)            (queue's lock)
 *
 * If not a single thread can be started, reap makes the attempts itself: slower, but it goes on.
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "io/env_priv.h"

struct pool_queue;

/* A line of requests. */
struct line {
    struct fr_io_request *first;
    struct fr_io_request **end; /* where the next one is hooked on */
};

struct fr_io_pool {
    /* Constant after new. */
    unsigned threads_max;

    struct fr_mutex mu; /* rank FR_RANK_IO_POOL */
    struct fr_cond work;

    /* Guarded by mu. */
    struct line waiting;
    unsigned waiting_count;
    unsigned busy_count; /* workers that make an attempt */
    unsigned thread_count;
    bool stopping;
    struct fr_thread threads[]; /* threads_max */
};

struct pool_queue {
    struct fr_queue_backend base;

    /* Constant after open. */
    struct fr_io_pool *pool;
    unsigned depth;

    /* The queue's own thread alone. */
    struct line staged;
    unsigned staged_count;
    unsigned out_count; /* staged or handed over, and not yet reaped */

    struct fr_mutex mu; /* rank FR_RANK_IO_QUEUE */
    struct fr_cond progress;

    /* Guarded by mu. */
    struct line done;
    unsigned done_count;
    unsigned wanted_count; /* done_count at which the waiting thread is to be woken */
};

/* A worker finds the way back by this: `owner` is the caller's. */
static struct pool_queue *queue_of(struct fr_io_request *request)
{
    return request->backend;
}

static void line_init(struct line *line)
{
    line->first = NULL;
    line->end = &line->first;
}

static void line_append(struct line *line, struct fr_io_request *request)
{
    request->next = NULL;
    *line->end = request;
    line->end = &request->next;
}

static struct fr_io_request *line_take_all(struct line *line)
{
    struct fr_io_request *first = line->first;

    line_init(line);
    return first;
}

static struct fr_io_request *line_take_first(struct line *line)
{
    struct fr_io_request *request = line->first;

    line->first = request->next;
    if (line->first == NULL) line->end = &line->first;
    return request;
}

static void complete(struct fr_io_request *request)
{
    struct pool_queue *queue = queue_of(request);

    fr_mutex_lock(&queue->mu);
    line_append(&queue->done, request);
    /* Signal under the lock: once it is gone, the waiting thread may close the queue. */
    if (++queue->done_count == queue->wanted_count) fr_cond_signal(&queue->progress);
    fr_mutex_unlock(&queue->mu);
}

/* The next request from the line; waits for one; NULL when the pool ends. */
static struct fr_io_request *next_request(struct fr_io_pool *pool)
{
    struct fr_io_request *request = NULL;

    fr_mutex_lock(&pool->mu);
    while (pool->waiting_count == 0 && !pool->stopping)
        fr_cond_wait(&pool->work, &pool->mu);
    if (pool->waiting_count > 0) {
        request = line_take_first(&pool->waiting);
        pool->waiting_count--;
        pool->busy_count++;
    }
    fr_mutex_unlock(&pool->mu);
    return request;
}

static void note_idle(struct fr_io_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    pool->busy_count--;
    fr_mutex_unlock(&pool->mu);
}

static void worker_main(void *arg)
{
    struct fr_io_pool *pool = arg;
    struct fr_io_request *request;

    while ((request = next_request(pool)) != NULL) {
        request->result = fr_io_request_attempt(request);
        /* Idle first: once the request is complete, its queue and the pool may be closed. */
        note_idle(pool);
        complete(request);
    }
}

fr_status fr_io_pool_new(unsigned threads_max, struct fr_io_pool **ret_pool)
{
    struct fr_io_pool *pool =
            fr_alloc_zeroed(1, sizeof(*pool) + threads_max * sizeof(pool->threads[0]));

    if (pool == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a pool of %u", threads_max);
    pool->threads_max = threads_max;
    fr_mutex_init(&pool->mu, FR_RANK_IO_POOL);
    fr_cond_init(&pool->work);
    line_init(&pool->waiting);
    *ret_pool = pool;
    return FR_OK;
}

void fr_io_pool_free(struct fr_io_pool *pool)
{
    if (pool == NULL) return;
    fr_mutex_lock(&pool->mu);
    pool->stopping = true;
    fr_cond_broadcast(&pool->work);
    fr_mutex_unlock(&pool->mu);
    for (unsigned i = 0; i < pool->thread_count; i++)
        fr_thread_join(&pool->threads[i]);
    fr_cond_deinit(&pool->work);
    fr_mutex_deinit(&pool->mu);
    fr_free(pool);
}

/* As many workers as there is work for, up to the limit. */
static void grow_locked(struct fr_io_pool *pool) FR_REQUIRES(pool->mu)
{
    while (pool->thread_count < pool->threads_max &&
            pool->thread_count < pool->waiting_count + pool->busy_count) {
        struct fr_thread *thread = &pool->threads[pool->thread_count];
        if (fr_thread_start(thread, "freshet-io", worker_main, pool) < 0) return;
        pool->thread_count++;
    }
}

static bool pool_stage(struct fr_queue_backend *base, struct fr_io_request *request)
{
    struct pool_queue *queue = (struct pool_queue *)base;

    if (queue->out_count == queue->depth) return false;
    request->backend = queue;
    line_append(&queue->staged, request);
    queue->staged_count++;
    queue->out_count++;
    return true;
}

/* Without a single worker: make the staged attempts right here. */
static void run_staged(struct pool_queue *queue)
{
    for (struct fr_io_request *r = line_take_all(&queue->staged), *next; r != NULL; r = next) {
        next = r->next;
        r->result = fr_io_request_attempt(r);
        complete(r);
    }
    queue->staged_count = 0;
}

static void pool_start(struct fr_queue_backend *base)
{
    struct pool_queue *queue = (struct pool_queue *)base;
    struct fr_io_pool *pool = queue->pool;

    if (queue->staged_count == 0) return;
    fr_mutex_lock(&pool->mu);
    pool->waiting_count += queue->staged_count;
    grow_locked(pool);
    if (pool->thread_count == 0) {
        pool->waiting_count -= queue->staged_count;
        fr_mutex_unlock(&pool->mu);
        return; /* they stay staged: reap makes the attempts */
    }
    *pool->waiting.end = queue->staged.first;
    pool->waiting.end = queue->staged.end;
    fr_cond_broadcast(&pool->work);
    fr_mutex_unlock(&pool->mu);
    line_init(&queue->staged);
    queue->staged_count = 0;
}

static struct fr_io_request *pool_reap(struct fr_queue_backend *base, unsigned least)
{
    struct pool_queue *queue = (struct pool_queue *)base;

    pool_start(base);
    if (queue->staged_count > 0) run_staged(queue);

    fr_mutex_lock(&queue->mu);
    queue->wanted_count = least;
    while (queue->done_count < least)
        fr_cond_wait(&queue->progress, &queue->mu);
    queue->wanted_count = 0;
    struct fr_io_request *finished = line_take_all(&queue->done);
    queue->out_count -= queue->done_count;
    queue->done_count = 0;
    fr_mutex_unlock(&queue->mu);
    return finished;
}

static void pool_queue_close(struct fr_queue_backend *base)
{
    struct pool_queue *queue = (struct pool_queue *)base;

    FR_ASSERT(queue->out_count == 0);
    fr_cond_deinit(&queue->progress);
    fr_mutex_deinit(&queue->mu);
    fr_free(queue);
}

static const struct fr_queue_backend_ops pool_queue_ops = {
        .name = "pool",
        .close = pool_queue_close,
        .stage = pool_stage,
        .start = pool_start,
        .reap = pool_reap,
};

fr_status fr_pool_queue_open(struct fr_io_pool *pool, const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue)
{
    struct pool_queue *queue = FR_NEW(struct pool_queue);

    if (queue == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an I/O queue");
    queue->base.ops = &pool_queue_ops;
    queue->pool = pool;
    queue->depth = options->depth;
    line_init(&queue->staged);
    line_init(&queue->done);
    fr_mutex_init(&queue->mu, FR_RANK_IO_QUEUE);
    fr_cond_init(&queue->progress);
    *ret_queue = &queue->base;
    return FR_OK;
}
