/*
 * uring_queue.c - a queue that is an io_uring.
 *
 * One ring per queue, and a queue has one thread and one purpose, so completions of two users
 * cannot meet. The flags follow from that: SINGLE_ISSUER, and DEFER_TASKRUN, which lets completions
 * be worked off only when we ask for them instead of in the middle of whatever the thread does.
 * Older kernels get COOP_TASKRUN, or none. There is no polling thread (it would take one of few
 * cores) and nothing is linked (a short write would break the link, and a sync must not run without
 * its write).
 *
 * Submitting and waiting are one system call: reap enters the kernel with what is staged and comes
 * back with what was finished.
 *
 * user_data of an entry is its slot, and the slot's generation above it. A completion that matches
 * no request in flight would mean that memory is being written behind somebody's back; that is an
 * assertion, and never "corruption of the disk".
 *
 * Registered buffers save the pinning of pages at each transfer. They are used if the options name
 * a region, and changed the rate by less than the noise on the disks that we have measured (the
 * column "registered" of bench_io): for faster ones. Registered files save some 2 % of processor
 * time (fio, registerfiles=1) and would need a protocol for closed files: not worth it. Only the
 * store's lock is registered, because the kernel drops registered files after the last request has
 * ended. A process that dies with writes in flight thus keeps its lock until they have landed.
 *
 * If the kernel takes no entry although nothing is in flight (no memory, mostly), the staged
 * attempts are made by blocking calls, and their entries become no-operations.
 */
#include <errno.h>
#include <stdio.h>

#include "base/museum.h"
#include "io/env_priv.h"
#include "io/uring_faults.h"

#ifndef FR_HAVE_LIBURING

int fr_uring_probe(char *ret_reason, size_t size)
{
    snprintf(ret_reason, size, "this build is without liburing");
    return -ENOSYS;
}

void fr_uring_faults_set(const struct fr_uring_faults *faults)
{
    (void)faults;
}

fr_status fr_uring_queue_open(const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue)
{
    (void)options;
    (void)ret_queue;
    return FR_FAIL(FR_ERR_UNSUPPORTED, "this build is without liburing");
}

#else

#include <liburing.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"

/* Of an entry that became a no-operation; no slot has this number. */
#define USER_DATA_NOTHING     UINT64_MAX

/* One registered buffer may not be larger; the kernel's limit. */
#define REGISTERED_BUFFER_MAX ((size_t)1 << 30)

struct slot {
    struct fr_io_request *request; /* NULL: free */
    struct io_uring_sqe *sqe;      /* while staged */
    uint32_t generation;
    unsigned next; /* in the list of free or of staged slots */
    struct fr_uring_verdict verdict;
};

#define SLOT_NONE UINT32_MAX

struct uring_queue {
    struct fr_queue_backend base;
    struct io_uring ring;
    bool ring_open;

    /* Registered memory, or NULL. */
    char *buffer;
    size_t buffer_size;

    unsigned depth;
    unsigned free_first;
    unsigned staged_first; /* not yet consumed by the kernel */
    unsigned staged_last;
    unsigned staged_count;
    unsigned in_flight_count; /* consumed by the kernel, not reaped */
    unsigned nothing_count;   /* entries turned into no-operations; older than all staged ones */

    /* Finished attempts, collected for the front in their order. */
    struct fr_io_request *finished_first;
    struct fr_io_request **finished_end;
    unsigned finished_count;

    /* Finished, but to be handed over behind what comes after them: by a verdict only. */
    struct fr_io_request *late_first;

    struct slot slots[]; /* depth */
};

/* Sets of flags to try, best first. */
static const unsigned setup_flags[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
};

static int open_ring(struct io_uring *ring, unsigned depth, bool wanders,
        struct io_uring_params *ret_params)
{
    int rc = -EINVAL;

    /* The first set is for a ring that one thread has for good. */
    for (size_t i = wanders ? 1 : 0; i < FR_ARRAY_COUNT(setup_flags) && rc == -EINVAL; i++) {
        *ret_params = (struct io_uring_params){
                .flags = setup_flags[i] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
                .cq_entries = 2 * depth,
        };
        rc = io_uring_queue_init_params(depth, ring, ret_params);
    }
    if (rc < 0) return rc;
    io_uring_ring_dontfork(ring);
    /* Without this a full completion queue would lose completions; all since Linux 5.5 have it. */
    if (ret_params->features & IORING_FEAT_NODROP) return 0;
    io_uring_queue_exit(ring);
    return -ENOSYS;
}

static bool has_operations(struct io_uring *ring)
{
    static const int needed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_FSYNC,
            IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED, IORING_OP_NOP};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool all = probe != NULL;

    for (size_t i = 0; all && i < FR_ARRAY_COUNT(needed); i++)
        all = io_uring_opcode_supported(probe, needed[i]);
    io_uring_free_probe(probe);
    return all;
}

static const char *hint(int os_error)
{
    switch (os_error) {
    case EPERM:
        return " (denied: see the sysctl kernel.io_uring_disabled, or the container's filter)";
    case ENOSYS:
        return " (this kernel has none)";
    case ENOMEM:
        return " (see the limit of locked memory, ulimit -l)";
    case EMFILE:
        return " (see the limit of open files, ulimit -n)";
    default:
        return "";
    }
}

int fr_uring_probe(char *ret_reason, size_t size)
{
    struct io_uring_params params;
    struct io_uring ring;

    int rc = open_ring(&ring, 8, false, &params);
    if (rc < 0) {
        snprintf(ret_reason, size, "io_uring_setup: %s%s", strerrordesc_np(-rc), hint(-rc));
        return rc;
    }
    bool usable = has_operations(&ring);
    io_uring_queue_exit(&ring);
    if (!usable) {
        snprintf(ret_reason, size, "io_uring lacks an operation that is needed");
        return -ENOSYS;
    }
    snprintf(ret_reason, size, "io_uring, %s",
            params.flags & IORING_SETUP_DEFER_TASKRUN  ? "one issuer, deferred completions"
            : params.flags & IORING_SETUP_COOP_TASKRUN ? "cooperative completions"
                                                       : "plain (an older kernel)");
    return 0;
}

static void push_free(struct uring_queue *queue, unsigned index)
{
    queue->slots[index].request = NULL;
    queue->slots[index].generation++;
    queue->slots[index].next = queue->free_first;
    queue->free_first = index;
}

static void push_staged(struct uring_queue *queue, unsigned index)
{
    queue->slots[index].next = SLOT_NONE;
    if (queue->staged_count++ == 0)
        queue->staged_first = index;
    else
        queue->slots[queue->staged_last].next = index;
    queue->staged_last = index;
}

static bool in_registered_buffer(const struct uring_queue *queue, struct fr_io_span span)
{
    const char *data = span.data;

    return queue->buffer != NULL && data >= queue->buffer && span.size <= queue->buffer_size &&
           (size_t)(data - queue->buffer) <= queue->buffer_size - span.size;
}

/* Say in a submission entry what the request's next attempt is. */
static void prepare_entry(const struct uring_queue *queue, const struct fr_io_request *request,
        struct fr_io_span span, struct io_uring_sqe *sqe)
{
    bool fixed = in_registered_buffer(queue, span);
    int fd = (int)request->file->handle;
    unsigned size = (unsigned)span.size; /* begin() limits it to 31 bits */

    switch (request->attempt_op) {
    case FR_IO_READ:
        if (fixed)
            io_uring_prep_read_fixed(sqe, fd, span.data, size, span.offset, 0);
        else
            io_uring_prep_read(sqe, fd, span.data, size, span.offset);
        return;
    case FR_IO_WRITE:
    case FR_IO_WRITE_DSYNC:
        if (fixed)
            io_uring_prep_write_fixed(sqe, fd, span.data, size, span.offset, 0);
        else
            io_uring_prep_write(sqe, fd, span.data, size, span.offset);
        if (request->attempt_op == FR_IO_WRITE_DSYNC) sqe->rw_flags = RWF_DSYNC;
        return;
    case FR_IO_SYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        return;
    }
}

static void add_finished(struct uring_queue *queue, struct fr_io_request *request, int64_t result)
{
    request->result = result;
    request->next = NULL;
    *queue->finished_end = request;
    queue->finished_end = &request->next;
    queue->finished_count++;
}

/* ---- faults, in tests only; set before the rings are opened that are to have them: relaxed */

static const struct fr_uring_faults *_Atomic all_faults;

void fr_uring_faults_set(const struct fr_uring_faults *faults)
{
    atomic_store_explicit(&all_faults, faults, memory_order_relaxed);
}

static const struct fr_uring_faults *faults_now(void)
{
    return atomic_load_explicit(&all_faults, memory_order_relaxed);
}

/* At least a byte is left; of direct transfers whole blocks, as devices do it. */
static size_t shortened(const struct fr_file *file, size_t size, size_t by)
{
    size_t block = file->direct ? file->alignment : 1;

    if (by == 0 || size <= block) return size;
    size = by < size ? (size - by) / block * block : 0;
    return FR_MAX(size, block);
}

/* Ask for a verdict, and prepare the entry as it says. */
FR_COLD static void prepare_spoilt(const struct uring_queue *queue, struct slot *slot,
        const struct fr_uring_faults *faults)
{
    struct fr_io_span span = fr_io_attempt_span(slot->request);
    struct fr_uring_verdict *verdict = &slot->verdict;

    *verdict = (struct fr_uring_verdict){0};
    if (faults->attempt != NULL) faults->attempt(faults->ctx, slot->request, verdict);
    span.size = shortened(slot->request->file, span.size, verdict->short_by);
    if (verdict->os_error != 0 && !verdict->done)
        io_uring_prep_nop(slot->sqe);
    else
        prepare_entry(queue, slot->request, span, slot->sqe);
}

FR_COLD static void add_spoilt(struct uring_queue *queue, struct slot *slot, int result)
{
    struct fr_io_request *request = slot->request;

    if (slot->verdict.os_error != 0) result = -slot->verdict.os_error;
    if (!slot->verdict.late) {
        add_finished(queue, request, result);
        return;
    }
    request->result = result;
    request->next = queue->late_first;
    queue->late_first = request;
}

/* What was held back comes behind what has come since. */
static void hand_over_late(struct uring_queue *queue, struct fr_io_request *late)
{
    for (struct fr_io_request *next; late != NULL; late = next) {
        next = late->next;
        add_finished(queue, late, late->result);
    }
}

/* ---- staging */

static bool uring_stage(struct fr_queue_backend *base, struct fr_io_request *request)
{
    struct uring_queue *queue = (struct uring_queue *)base;
    const struct fr_uring_faults *faults = faults_now();

    if (queue->free_first == SLOT_NONE) return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(&queue->ring);
    if (sqe == NULL) {
        if (queue->in_flight_count > 0) return false;
        /* The kernel does not even take the no-operations away: do without it. */
        add_finished(queue, request, fr_io_request_attempt(request));
        return true;
    }
    unsigned index = queue->free_first;
    struct slot *slot = &queue->slots[index];
    queue->free_first = slot->next;
    slot->request = request;
    slot->sqe = sqe;
    if (FR_LIKELY(faults == NULL))
        prepare_entry(queue, request, fr_io_attempt_span(request), sqe);
    else
        prepare_spoilt(queue, slot, faults);
    io_uring_sqe_set_data64(sqe, (uint64_t)slot->generation << 32 | index);
    push_staged(queue, index);
    return true;
}

/* The kernel has consumed this many entries: the oldest staged ones are in flight now. */
static void note_consumed(struct uring_queue *queue, unsigned count)
{
    unsigned nothing = FR_MIN(count, queue->nothing_count);

    queue->nothing_count -= nothing;
    count -= nothing;
    FR_ASSERT(count <= queue->staged_count);
    queue->staged_count -= count;
    queue->in_flight_count += count;
    while (count-- > 0)
        queue->staged_first = queue->slots[queue->staged_first].next;
}

/* What the kernel is made to answer, or 0. */
static int refusal(void)
{
    const struct fr_uring_faults *faults = faults_now();

    return FR_LIKELY(faults == NULL || faults->enter == NULL) ? 0 : -faults->enter(faults->ctx);
}

/* Completions that nobody waits for, behind all that is staged. */
FR_COLD static void flood(struct uring_queue *queue, unsigned count)
{
    struct io_uring_sqe *sqe;
    int rc = 0;

    while (count > 0 && rc >= 0 && queue->staged_count == 0) {
        for (; count > 0 && (sqe = io_uring_get_sqe(&queue->ring)) != NULL; count--) {
            io_uring_prep_nop(sqe);
            io_uring_sqe_set_data64(sqe, USER_DATA_NOTHING);
            queue->nothing_count++;
        }
        rc = io_uring_submit(&queue->ring);
        if (rc >= 0) note_consumed(queue, (unsigned)rc);
    }
}

/*
 * Enter the kernel with what is staged and, if least is not 0, wait for that many completions.
 * False: it took nothing for now (busy, or no memory). What can be wrong else would be our own
 * mistake.
 */
static bool enter(struct uring_queue *queue, unsigned least)
{
    int rc;

    do {
        rc = refusal();
        if (rc == 0 && least > 0)
            rc = io_uring_submit_and_wait(&queue->ring, least);
        else if (rc == 0)
            rc = io_uring_submit_and_get_events(&queue->ring);
    } while (rc == -EINTR);
    if (rc >= 0) {
        note_consumed(queue, (unsigned)rc);
        const struct fr_uring_faults *faults = faults_now();
        if (faults != NULL && faults->flood != NULL) flood(queue, faults->flood(faults->ctx));
        return true;
    }
    FR_ASSERT(rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM);
    return false;
}

static void uring_start(struct fr_queue_backend *base)
{
    struct uring_queue *queue = (struct uring_queue *)base;

    if (queue->staged_count > 0) (void)enter(queue, 0);
}

/* Make the staged attempts by blocking calls and leave nothing of them to the kernel. */
static void run_staged(struct uring_queue *queue)
{
    for (; queue->staged_count > 0; queue->staged_count--) {
        unsigned index = queue->staged_first;
        struct slot *slot = &queue->slots[index];

        queue->staged_first = slot->next;
        io_uring_prep_nop(slot->sqe);
        io_uring_sqe_set_data64(slot->sqe, USER_DATA_NOTHING);
        queue->nothing_count++;
        add_finished(queue, slot->request, fr_io_request_attempt(slot->request));
        push_free(queue, index);
    }
}

/* museum 23: completions crossed between two requests */
static void cross(struct uring_queue *queue, unsigned index)
{
    struct slot *mine = &queue->slots[index], *other = &queue->slots[index ^ 1];
    struct fr_io_request *request = mine->request;

    if ((index ^ 1) >= queue->depth || request == NULL || other->request == NULL) return;
    mine->request = other->request;
    other->request = request;
}

static void take_completion(struct uring_queue *queue, const struct io_uring_cqe *cqe)
{
    unsigned index = (uint32_t)cqe->user_data;

    if (cqe->user_data == USER_DATA_NOTHING) return;
    FR_ASSERT(index < queue->depth);
    if (FR_MUSEUM(23)) cross(queue, index);
    struct slot *slot = &queue->slots[index];
    FR_ASSERT(slot->request != NULL && slot->generation == (uint32_t)(cqe->user_data >> 32));
    FR_ASSERT(queue->in_flight_count > 0);
    queue->in_flight_count--;
    if (FR_LIKELY(faults_now() == NULL))
        add_finished(queue, slot->request, cqe->res);
    else
        add_spoilt(queue, slot, cqe->res);
    push_free(queue, index);
}

static void take_completions(struct uring_queue *queue)
{
    struct fr_io_request *late = FR_TAKE(queue->late_first);
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;

    io_uring_for_each_cqe(&queue->ring, head, cqe)
    {
        take_completion(queue, cqe);
        count++;
    }
    io_uring_cq_advance(&queue->ring, count);
    if (FR_UNLIKELY(late != NULL)) hand_over_late(queue, late);
}

/* Without handing anything over. At least one is in flight, or finished already. */
static void wait_for_one(struct uring_queue *queue)
{
    struct io_uring_cqe *cqe;
    int rc;

    do
        rc = io_uring_wait_cqe(&queue->ring, &cqe);
    while (rc == -EINTR);
    FR_ASSERT(rc == 0);
}

static struct fr_io_request *uring_reap(struct fr_queue_backend *base, unsigned least)
{
    struct uring_queue *queue = (struct uring_queue *)base;

    take_completions(queue);
    while (queue->staged_count > 0 || queue->finished_count < least) {
        unsigned missing = queue->finished_count < least ? least - queue->finished_count : 0;
        bool entered = enter(queue, FR_MIN(missing, queue->staged_count + queue->in_flight_count));

        /* Deferred completions come only to who asks, and a refused hand-over has not asked. */
        if (!entered && missing > 0 && queue->in_flight_count > 0) wait_for_one(queue);
        take_completions(queue);
        if (!entered && queue->in_flight_count == 0) run_staged(queue);
        if (missing == 0) break;
    }
    struct fr_io_request *finished = queue->finished_first;
    queue->finished_first = NULL;
    queue->finished_end = &queue->finished_first;
    queue->finished_count = 0;
    return finished;
}

static void uring_close(struct fr_queue_backend *base)
{
    struct uring_queue *queue = (struct uring_queue *)base;

    FR_ASSERT(queue->in_flight_count == 0 && queue->staged_count == 0);
    if (queue->ring_open) io_uring_queue_exit(&queue->ring);
    fr_free(queue);
}

static const struct fr_queue_backend_ops uring_queue_ops = {
        .name = "uring",
        .close = uring_close,
        .stage = uring_stage,
        .start = uring_start,
        .reap = uring_reap,
};

/* The kernel may refuse for want of locked memory. Then transfers from there are ordinary ones. */
static void register_buffer(struct uring_queue *queue, const struct fr_io_queue_options *options)
{
    struct iovec region = {.iov_base = options->buffer, .iov_len = options->buffer_size};

    if (options->buffer == NULL || options->buffer_size > REGISTERED_BUFFER_MAX) return;
    int rc = io_uring_register_buffers(&queue->ring, &region, 1);
    if (rc < 0) {
        fr_log(FR_LOG_INFO, "io", "a buffer of %zu bytes is not registered: %s",
                options->buffer_size, strerrordesc_np(-rc));
        return;
    }
    queue->buffer = options->buffer;
    queue->buffer_size = options->buffer_size;
}

static fr_status set_up_ring(struct uring_queue *queue, const struct fr_io_queue_options *options)
{
    struct io_uring_params params;

    int rc = open_ring(&queue->ring, queue->depth, options->wanders, &params);
    if (rc < 0) return FR_FAIL_OS(-rc, "io_uring of depth %u%s", queue->depth, hint(-rc));
    queue->ring_open = true;
    register_buffer(queue, options);
    /* museum 34: the lock let go with writes in flight */
    if (options->lock == NULL || FR_MUSEUM(34)) return FR_OK;

    int fd = (int)options->lock->file->handle;
    rc = io_uring_register_files(&queue->ring, &fd, 1);
    /* Without it the promise of options->lock would not hold. */
    if (rc < 0)
        return FR_FAIL_OS(-rc, "%s: cannot be tied to an io_uring", options->lock->file->path);
    return FR_OK;
}

fr_status fr_uring_queue_open(const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue)
{
    struct uring_queue *queue =
            fr_alloc_zeroed(1, sizeof(*queue) + options->depth * sizeof(queue->slots[0]));

    if (queue == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an I/O queue");
    queue->base.ops = &uring_queue_ops;
    queue->depth = options->depth;
    queue->finished_end = &queue->finished_first;
    queue->free_first = SLOT_NONE;
    for (unsigned i = queue->depth; i-- > 0;)
        push_free(queue, i);

    fr_status st = set_up_ring(queue, options);
    if (st < 0) {
        uring_close(&queue->base);
        return st;
    }
    *ret_queue = &queue->base;
    return FR_OK;
}

#endif
