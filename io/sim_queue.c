/*
 * sim_queue.c - transfers under way, and the order in which they come back.
 *
 * There are no threads: a transfer that was started is carried out while it is reaped, and with
 * `reorder` the next one to be reaped is drawn by lot. In between, its data may already be on the
 * disk, so a crash finds it among the pending effects, and so does the machine after a kill: what
 * the dead process had started may still land, even long after the new one has begun.
 *
 *     stage          start             reap: draw one, carry it out, hand it back
 *     staged ------> under way ------> done
 */
#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"

struct attempt {
    struct fr_io_request *request;
    struct fr_sim_handle *handle;
    struct fr_io_span span;
    struct fr_sim_blob *blob; /* a started write's data, as it was at the start */
    uint64_t sync_before;     /* a started sync covers the effects up to here */
    int error;                /* it could not be started */
};

struct fr_sim_queue {
    struct fr_queue_backend backend;

    /* Constant after open. */
    struct fr_sim *sim;
    struct fr_sim_inode *lock; /* held until the last transfer has landed, or NULL */
    size_t depth;

    /* Guarded by the machine's mutex. */
    struct fr_sim_queue *next;
    struct fr_sim_queue *prev;
    size_t count;
    size_t started_count; /* the first ones */
    struct attempt attempts[];
};

/* How long a dead process's transfer stays under way, in operations of the next one. */
#define GHOST_OPS_MAX 64

static struct fr_sim_queue *queue_of(struct fr_queue_backend *backend)
{
    return FR_CONTAINER_OF(backend, struct fr_sim_queue, backend);
}

static enum fr_sim_op op_of(const struct attempt *attempt)
{
    switch (attempt->request->attempt_op) {
    case FR_IO_READ:
        return FR_SIM_READ;
    case FR_IO_WRITE:
        return FR_SIM_WRITE;
    case FR_IO_WRITE_DSYNC:
        return FR_SIM_WRITE_DSYNC;
    default:
        return FR_SIM_SYNC;
    }
}

static bool is_write(const struct attempt *attempt)
{
    enum fr_sim_op op = op_of(attempt);

    return op == FR_SIM_WRITE || op == FR_SIM_WRITE_DSYNC;
}

static struct fr_sim_call call_of(struct fr_sim_queue *queue, enum fr_sim_op op)
{
    return (struct fr_sim_call){.sim = queue->sim, .op = op, .name = "", .sync_before = UINT64_MAX};
}

/* --- Stage and start ------------------------------------------------------------------------- */

static bool is_busy(struct fr_sim_queue *queue, bool fault)
{
    struct fr_sim *sim = queue->sim;

    if (queue->count == queue->depth) return true;
    if (queue->count == 0) return false; /* there would be nothing to reap first */
    if (fault) return true;
    return sim->options.busy_one_in > 0 && fr_rng_one_in(&sim->chaos, sim->options.busy_one_in);
}

static bool sim_stage(struct fr_queue_backend *backend, struct fr_io_request *request)
{
    struct fr_sim_queue *queue = queue_of(backend);
    struct fr_sim_call call = call_of(queue, FR_SIM_QUEUE_STAGE);
    bool fault = fr_sim_call_begin(&call) != 0;
    bool busy = is_busy(queue, fault);

    if (!busy)
        queue->attempts[queue->count++] = (struct attempt){.request = request,
                .handle = fr_sim_handle_of(request->file->handle),
                .span = fr_io_attempt_span(request)};
    fr_sim_call_end(&call, busy ? -EBUSY : 0);
    return !busy;
}

/* The kernel has read the request; whether it has read the data is its secret, so keep a copy. */
static void start_attempt(struct fr_sim *sim, struct attempt *attempt)
{
    attempt->sync_before = sim->disk.next_seq;
    if (!is_write(attempt)) return;
    attempt->blob = fr_sim_blob_new(attempt->span.data, attempt->span.size);
    if (attempt->blob == NULL) attempt->error = -ENOMEM;
}

static size_t start_count(struct fr_sim_queue *queue, bool fault)
{
    struct fr_sim *sim = queue->sim;
    size_t staged = queue->count - queue->started_count;

    if (fault) return 1;
    if (sim->options.busy_one_in == 0) return staged;
    if (!fr_rng_one_in(&sim->chaos, sim->options.busy_one_in)) return staged;
    return (size_t)fr_rng_between(&sim->chaos, 1, staged);
}

static void sim_start(struct fr_queue_backend *backend)
{
    struct fr_sim_queue *queue = queue_of(backend);

    if (queue->started_count == queue->count) return;
    struct fr_sim_call call = call_of(queue, FR_SIM_QUEUE_START);
    bool fault = fr_sim_call_begin(&call) != 0;
    size_t count = start_count(queue, fault);
    for (size_t i = 0; i < count; i++)
        start_attempt(queue->sim, &queue->attempts[queue->started_count++]);
    fr_sim_call_end(&call, (int64_t)count);
}

/* --- Reap ------------------------------------------------------------------------------------ */

static int64_t carry_out(struct fr_sim_call *call, const struct attempt *attempt)
{
    const struct fr_io_span *span = &attempt->span;

    fr_sim_trace(call->sim, attempt->handle->serial);
    fr_sim_trace(call->sim, span->offset);
    fr_sim_trace(call->sim, span->size);
    if (attempt->error != 0) return attempt->error;
    if (call->op == FR_SIM_READ)
        return fr_sim_transfer_read(call, attempt->handle, span->offset, span->data, span->size);
    if (is_write(attempt))
        return fr_sim_transfer_write(call, attempt->handle, span->offset, span->data, span->size);
    return fr_sim_call_sync(call, attempt->handle);
}

static void remove_attempt(struct fr_sim_queue *queue, size_t index)
{
    fr_sim_blob_unref(queue->attempts[index].blob);
    queue->count--;
    queue->started_count--;
    memmove(&queue->attempts[index], &queue->attempts[index + 1],
            (queue->count - index) * sizeof(queue->attempts[0]));
}

/* Until the call is locked the transfer is under way; the hook before it sees it so. */
static struct fr_io_request *complete(struct fr_sim_queue *queue, size_t index)
{
    struct attempt *attempt = &queue->attempts[index];
    struct fr_io_request *request = attempt->request;
    struct fr_sim_call call = call_of(queue, op_of(attempt));

    call.queued = true;
    call.name = (const char *)attempt->handle->name->bytes;
    call.sync_before = attempt->sync_before;
    int64_t rc = fr_sim_call_begin(&call);
    if (rc == 0) rc = carry_out(&call, attempt);
    remove_attempt(queue, index);
    request->result = fr_sim_call_end(&call, rc);
    request->next = NULL;
    return request;
}

static size_t draw(struct fr_sim *sim, size_t least, size_t most)
{
    fr_mutex_lock(&sim->mu);
    size_t drawn = (size_t)fr_rng_between(&sim->chaos, least, most);
    fr_mutex_unlock(&sim->mu);
    return drawn;
}

/* How many to hand back now. There is nothing to wait for: what is under way is as good as done. */
static size_t reap_count(struct fr_sim_queue *queue, size_t least)
{
    size_t most = queue->started_count;

    if (!queue->sim->options.reorder) return most;
    return draw(queue->sim, FR_MIN(least, most), most);
}

static struct fr_io_request *sim_reap(struct fr_queue_backend *backend, unsigned least)
{
    struct fr_sim_queue *queue = queue_of(backend);
    struct fr_io_request *list = NULL;
    struct fr_io_request **end = &list;
    bool reorder = queue->sim->options.reorder;
    size_t done = 0;

    do {
        sim_start(backend);
        for (size_t n = reap_count(queue, least - FR_MIN(done, least)); n > 0; n--, done++) {
            size_t index = reorder ? draw(queue->sim, 0, queue->started_count - 1) : 0;

            *end = complete(queue, index);
            end = &(*end)->next;
        }
    } while (done < least && queue->count > 0);
    return list;
}

/* --- Lifecycle ------------------------------------------------------------------------------- */

static void sim_queue_close(struct fr_queue_backend *backend)
{
    struct fr_sim_queue *queue = queue_of(backend);
    struct fr_sim *sim = queue->sim;

    FR_ASSERT(queue->count == 0);
    fr_mutex_lock(&sim->mu);
    if (queue->prev != NULL)
        queue->prev->next = queue->next;
    else
        sim->queues = queue->next;
    if (queue->next != NULL) queue->next->prev = queue->prev;
    if (queue->lock != NULL) fr_sim_inode_unref(&sim->disk, queue->lock);
    fr_mutex_unlock(&sim->mu);
    fr_free(queue);
}

static const struct fr_queue_backend_ops queue_ops = {
        .name = "sim",
        .close = sim_queue_close,
        .stage = sim_stage,
        .start = sim_start,
        .reap = sim_reap,
};

static struct fr_sim_queue *queue_new(struct fr_sim *sim, unsigned depth)
{
    struct fr_sim_queue *queue =
            fr_alloc_zeroed(1, sizeof(*queue) + depth * sizeof(queue->attempts[0]));

    if (queue == NULL) return NULL;
    queue->backend.ops = &queue_ops;
    queue->sim = sim;
    queue->depth = depth;
    queue->next = sim->queues;
    if (sim->queues != NULL) sim->queues->prev = queue;
    sim->queues = queue;
    return queue;
}

fr_status fr_sim_queue_open(void *ctx, const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue)
{
    struct fr_sim_call call = {.sim = ctx, .op = FR_SIM_QUEUE_OPEN, .name = ""};
    unsigned depth = options->depth == 0 ? FR_IO_DEPTH_DEFAULT : options->depth;
    struct fr_sim_queue *queue = NULL;
    int rc = fr_sim_call_begin(&call);

    if (rc == 0) {
        queue = queue_new(call.sim, depth);
        rc = queue == NULL ? -ENOMEM : 0;
    }
    if (queue != NULL && options->lock != NULL)
        queue->lock = fr_sim_inode_ref(fr_sim_handle_of(options->lock->file->handle)->inode);
    rc = (int)fr_sim_call_end(&call, rc);
    if (rc != 0) return FR_FAIL_OS(-rc, "simulated queue of depth %u", depth);
    *ret_queue = &queue->backend;
    return FR_OK;
}

/* --- What a death leaves under way ----------------------------------------------------------- */

static bool is_under_way(const struct attempt *attempt)
{
    uint64_t offset = attempt->span.offset;

    if (attempt->blob == NULL || attempt->blob->size == 0 || !attempt->handle->writable)
        return false;
    return offset <= FR_SIM_FILE_MAX && attempt->blob->size <= FR_SIM_FILE_MAX - offset;
}

static int add_pending(struct fr_sim_queue *queue, struct fr_sim_disk *copy)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < queue->started_count; i++) {
        const struct attempt *attempt = &queue->attempts[i];
        if (!is_under_way(attempt)) continue;
        rc = fr_sim_inode_add_write(copy, attempt->handle->inode->copy, attempt->span.offset,
                attempt->blob, attempt->blob->size);
    }
    return rc;
}

int fr_sim_queues_add_pending(struct fr_sim *sim, struct fr_sim_disk *copy)
{
    int rc = 0;

    for (struct fr_sim_queue *queue = sim->queues; rc == 0 && queue != NULL; queue = queue->next)
        rc = add_pending(queue, copy);
    for (struct fr_sim_ghost *ghost = sim->ghosts; rc == 0 && ghost != NULL; ghost = ghost->next)
        rc = fr_sim_inode_add_write(copy, ghost->inode->copy, ghost->offset, ghost->blob,
                ghost->blob->size);
    return rc;
}

static int add_ghost(struct fr_sim *heir, struct fr_sim_inode *inode, struct fr_sim_inode *lock,
        struct fr_sim_blob *blob, uint64_t offset, uint64_t countdown)
{
    struct fr_sim_ghost *ghost = FR_NEW(struct fr_sim_ghost);

    if (ghost == NULL) return -ENOMEM;
    ghost->inode = inode;
    fr_sim_inode_open(inode);
    ghost->lock = lock;
    if (lock != NULL) fr_sim_inode_ref(lock)->ghost_locks++;
    ghost->blob = fr_sim_blob_ref(blob);
    ghost->offset = offset;
    ghost->countdown = countdown;
    ghost->next = heir->ghosts;
    heir->ghosts = ghost;
    return 0;
}

/* A prefix that ends with a sector, of at least one and not all. */
static size_t torn_size(struct fr_sim *heir, uint64_t offset, size_t size)
{
    uint64_t first = FR_SIM_SECTOR_SIZE - offset % FR_SIM_SECTOR_SIZE;

    if (size <= first) return size;
    uint64_t sectors = (size - first + FR_SIM_SECTOR_SIZE - 1) / FR_SIM_SECTOR_SIZE;
    return (size_t)(first + fr_rng_below(&heir->chaos, sectors) * FR_SIM_SECTOR_SIZE);
}

/* The lock's inode on the next machine; a lock file without a name can hold nobody off. */
static struct fr_sim_inode *lock_of_heir(const struct fr_sim_inode *lock)
{
    return lock == NULL || lock->link_count == 0 ? NULL : lock->copy;
}

/* One of four fates: never, later, now, now in part. A full disk or no memory is "never". */
static int meet_fate(struct fr_sim_queue *queue, const struct attempt *attempt, struct fr_sim *heir)
{
    struct fr_sim_inode *inode = attempt->handle->inode->copy;
    struct fr_sim_blob *blob = attempt->blob;
    uint64_t offset = attempt->span.offset;
    uint64_t fate = fr_rng_below(&heir->chaos, 4);
    size_t size = blob->size;

    if (fate == 0) return 0;
    if (fate == 1)
        return add_ghost(heir, inode, lock_of_heir(queue->lock), blob, offset,
                fr_rng_between(&heir->chaos, 1, GHOST_OPS_MAX));
    if (fate == 2) size = torn_size(heir, offset, size);
    (void)fr_sim_inode_write(&heir->disk, inode, offset, blob->bytes, size);
    return 0;
}

static int haunt(struct fr_sim_queue *queue, struct fr_sim *heir)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < queue->started_count; i++) {
        const struct attempt *attempt = &queue->attempts[i];
        /* What nobody can open any more nobody will miss. */
        if (is_under_way(attempt) && attempt->handle->inode->link_count > 0)
            rc = meet_fate(queue, attempt, heir);
    }
    return rc;
}

int fr_sim_queues_haunt(struct fr_sim *sim, struct fr_sim *heir)
{
    int rc = 0;

    for (struct fr_sim_ghost *ghost = sim->ghosts; rc == 0 && ghost != NULL; ghost = ghost->next)
        if (ghost->inode->link_count > 0)
            rc = add_ghost(heir, ghost->inode->copy, lock_of_heir(ghost->lock), ghost->blob,
                    ghost->offset, ghost->countdown);
    for (struct fr_sim_queue *queue = sim->queues; rc == 0 && queue != NULL; queue = queue->next)
        rc = haunt(queue, heir);
    return rc;
}

static void free_ghost(struct fr_sim *sim, struct fr_sim_ghost *ghost)
{
    if (ghost->lock != NULL) {
        ghost->lock->ghost_locks--;
        fr_sim_inode_unref(&sim->disk, ghost->lock);
    }
    fr_sim_inode_close(&sim->disk, ghost->inode);
    fr_sim_blob_unref(ghost->blob);
    fr_free(ghost);
}

void fr_sim_ghosts_step(struct fr_sim *sim)
{
    struct fr_sim_ghost **at = &sim->ghosts;

    while (*at != NULL) {
        struct fr_sim_ghost *ghost = *at;

        if (--ghost->countdown > 0) {
            at = &ghost->next;
            continue;
        }
        *at = ghost->next;
        (void)fr_sim_inode_write(&sim->disk, ghost->inode, ghost->offset, ghost->blob->bytes,
                ghost->blob->size);
        free_ghost(sim, ghost);
    }
}

void fr_sim_ghosts_free(struct fr_sim *sim)
{
    while (sim->ghosts != NULL) {
        struct fr_sim_ghost *ghost = sim->ghosts;

        sim->ghosts = ghost->next;
        free_ghost(sim, ghost);
    }
}
