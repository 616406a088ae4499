/*
 * io_request.c - the life of one transfer, from its checks to its outcome.
 *
 * Blocking calls and queues go through the same steps, so what happens to a short transfer, an
 * interruption, a refused synchronous write or a failed sync is decided here and nowhere else.
 *
 * Reads of direct files that do not fit the device's blocks go through a bounce buffer which covers
 * the blocks around them:
 *
 *     blocks      |        |        |        |
 *     wanted          [==========]                offset, size, data
 *     bounce      [========================]      what is read
 *
 * A read ends early only at the end of the file. There, a direct read answers a count that is no
 * multiple of the block, and trying again behind it would be refused or would never end. But such a
 * count alone does not make an end: where the system does not say what it asks of direct transfers
 * we take 4096, and the device may stop after any of its smaller blocks. So the file is asked how
 * long it is, and before its end the block is read again as a whole.
 *
 * A synchronous write which the file system refuses as such (EOPNOTSUPP) becomes a write, and after
 * that a sync: two attempts one after the other, never linked, since a short write breaks a link.
 */
#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/museum.h"
#include "io/env_priv.h"

/*
 * Attempts in a row that were interrupted, put off, or did nothing. A storm of a thousand signals a
 * second stays far below it; a device that never answers otherwise must not hang us for ever.
 */
#define RETRIES_MAX 1000

/* Pause between attempts that the system put off: short at first, 1 ms at most, 1 s in all. */
#define PAUSE_US_MAX 1000u

static bool is_write(enum fr_io_op op)
{
    return op == FR_IO_WRITE || op == FR_IO_WRITE_DSYNC;
}

static bool is_aligned(const struct fr_io_request *request)
{
    uintptr_t mask = request->file->alignment - 1;
    uintptr_t bits = (uintptr_t)request->data | request->size | (uintptr_t)request->offset;
    return (bits & mask) == 0;
}

/* Free the bounce buffer, count the transfer, set the outcome. */
static bool finish(struct fr_io_request *request, fr_status status, int os_error)
{
    struct fr_env *env = request->file->env;

    fr_free(request->bounce);
    request->bounce = NULL;
    request->status = status;
    request->os_error = os_error;
    if (status < 0) return true;
    if (request->op == FR_IO_READ) {
        fr_env_count(&env->read_count, 1);
        fr_env_count(&env->read_bytes, request->done_size);
    }
    if (is_write(request->op)) {
        fr_env_count(&env->write_count, 1);
        fr_env_count(&env->write_bytes, request->done_size);
    }
    if (request->op == FR_IO_WRITE_DSYNC || request->op == FR_IO_SYNC)
        fr_env_count(&env->sync_count, 1);
    return true;
}

/* A failure; one of a sync is the last thing that ever happens to the file. */
static bool fail(struct fr_io_request *request, int os_error)
{
    int none = 0;

    if ((request->op == FR_IO_WRITE_DSYNC || request->op == FR_IO_SYNC) && !FR_MUSEUM(13))
        atomic_compare_exchange_strong_explicit(&request->file->poison, &none, os_error,
                memory_order_release, memory_order_relaxed);
    return finish(request, fr_status_of_errno(os_error), os_error);
}

static bool needs_bounce(const struct fr_io_request *request)
{
    return request->op == FR_IO_READ && request->file->direct && !is_aligned(request);
}

static bool set_up_bounce(struct fr_io_request *request)
{
    uint64_t mask = request->file->alignment - 1;
    uint64_t start = request->offset & ~mask;
    uint64_t end = (request->offset + request->size + mask) & ~mask;

    request->bounce_size = (size_t)(end - start);
    request->bounce = fr_alloc_aligned(request->bounce_size, request->file->alignment);
    return request->bounce != NULL;
}

bool fr_io_request_refused(struct fr_io_request *request)
{
    int poison = atomic_load_explicit(&request->file->poison, memory_order_acquire);

    if (FR_LIKELY(poison == 0) || request->op == FR_IO_READ) return false;
    return finish(request, FR_ERR_POISONED, poison);
}

bool fr_io_request_begin(struct fr_io_request *request)
{
    struct fr_file *file = request->file;

    request->status = FR_OK;
    request->os_error = 0;
    request->done_size = 0;
    request->moved = 0;
    request->retries = 0;
    request->bounce = NULL;
    request->attempt_op = request->op;
    if (fr_io_request_refused(request)) return false;
    if (request->op == FR_IO_SYNC) return true;

    /* The kernel counts in signed 64 bits; leave it room for the blocks around. */
    if (request->size > INT32_MAX || request->offset > INT64_MAX / 2)
        return !finish(request, FR_ERR_LIMIT, 0);
    if (is_write(request->op) && (!file->writable || !is_aligned(request)))
        return !finish(request, FR_ERR_MISUSE, 0);
    if (request->size == 0) return !finish(request, FR_OK, 0);
    if (needs_bounce(request) && !set_up_bounce(request))
        return !finish(request, FR_ERR_NOMEM, ENOMEM);
    if (request->op == FR_IO_WRITE_DSYNC &&
            atomic_load_explicit(&file->no_dsync, memory_order_relaxed))
        request->attempt_op = FR_IO_WRITE;
    return true;
}

struct fr_io_span fr_io_attempt_span(const struct fr_io_request *request)
{
    char *data = request->data;
    size_t size = request->size;
    uint64_t offset = request->offset;

    if (request->bounce != NULL) {
        data = request->bounce;
        size = request->bounce_size;
        offset &= ~(uint64_t)(request->file->alignment - 1);
    }
    return (struct fr_io_span){
            .data = data == NULL ? NULL : data + request->moved,
            .size = size - request->moved,
            .offset = offset + request->moved,
    };
}

int64_t fr_io_request_attempt(const struct fr_io_request *request)
{
    const struct fr_file *file = request->file;
    const struct fr_backend_ops *ops = file->env->ops;
    void *ctx = file->env->ctx;
    struct fr_io_span span = fr_io_attempt_span(request);

    switch (request->attempt_op) {
    case FR_IO_READ:
        return ops->file_read(ctx, file->handle, span.offset, span.data, span.size);
    case FR_IO_WRITE:
        return ops->file_write(ctx, file->handle, span.offset, span.data, span.size, false);
    case FR_IO_WRITE_DSYNC:
        return ops->file_write(ctx, file->handle, span.offset, span.data, span.size, true);
    case FR_IO_SYNC:
        return ops->file_sync(ctx, file->handle);
    }
    return -EINVAL;
}

/* Once more, unless it has been too often. */
static bool try_again(struct fr_io_request *request, int os_error, bool pause)
{
    struct fr_env *env = request->file->env;

    if (++request->retries > RETRIES_MAX) return fail(request, os_error);
    fr_env_count(&env->resume_count, 1);
    if (pause) env->ops->sleep_us(env->ctx, FR_MIN(request->retries * 10u, PAUSE_US_MAX));
    return false;
}

static bool advance_after_error(struct fr_io_request *request, int os_error)
{
    if (FR_MUSEUM(11) && request->op == FR_IO_SYNC && request->retries == 0)
        /* museum 11: a failed sync tried again */
        return try_again(request, os_error, false);
    if (FR_MUSEUM(18) && request->op == FR_IO_SYNC && os_error == ECANCELED)
        /* museum 18: a cancelled sync taken for a good one */
        return finish(request, FR_OK, 0);
    /* museum 22: an interrupted call that ends the process */
    FR_ASSERT(!FR_MUSEUM(22) || os_error != EINTR);
    switch (os_error) {
    case EINTR:
        return try_again(request, os_error, false);
    case EAGAIN:
        return try_again(request, EAGAIN, true);
    case ECANCELED: /* by the ring, before it ran: nobody has asked for that, nor is he told so */
        return try_again(request, EIO, true);
    case EOPNOTSUPP:
        if (request->attempt_op != FR_IO_WRITE_DSYNC) return fail(request, os_error);
        atomic_store_explicit(&request->file->no_dsync, true, memory_order_relaxed);
        request->attempt_op = FR_IO_WRITE;
        return false;
    default:
        return fail(request, os_error);
    }
}

/* Give the caller his part of what was read. */
static bool finish_read(struct fr_io_request *request)
{
    if (request->bounce == NULL) {
        request->done_size = request->moved;
        return finish(request, FR_OK, 0);
    }
    size_t lead = (size_t)(request->offset & (request->file->alignment - 1));
    size_t there = request->moved > lead ? request->moved - lead : 0;
    request->done_size = FR_MIN(there, request->size);
    if (request->done_size > 0)
        memcpy(request->data, (char *)request->bounce + lead, request->done_size);
    return finish(request, FR_OK, 0);
}

/* A direct read has stopped inside a block, whose first part bytes it has got. */
static bool advance_inside_block(struct fr_io_request *request, size_t part, bool moved)
{
    const struct fr_file *file = request->file;
    struct fr_file_info info;

    int rc = file->env->ops->file_info(file->env->ctx, file->handle, &info);
    if (rc < 0) return fail(request, -rc);
    if (fr_io_attempt_span(request).offset >= info.size) return finish_read(request);
    request->moved -= part;
    if (!moved) return try_again(request, EIO, true);
    request->retries = 0;
    fr_env_count(&file->env->resume_count, 1);
    return false;
}

static bool advance_read(struct fr_io_request *request, size_t count)
{
    size_t wanted = request->bounce != NULL ? request->bounce_size : request->size;
    size_t part = request->file->direct ? count & (request->file->alignment - 1) : 0;

    /* museum 21: reading for ever at the end of a file */
    if (FR_MUSEUM(21) && count == 0) return false;
    request->moved += count;
    /* museum 20: a short read taken for a full one */
    if (FR_MUSEUM(20) && count > 0) request->moved = wanted;
    if (count == 0 || request->moved >= wanted) return finish_read(request);
    if (part != 0) return advance_inside_block(request, part, count > part);
    request->retries = 0;
    fr_env_count(&request->file->env->resume_count, 1);
    return false;
}

/*
 * What this request made durable, it did; unless somebody else's sync of the file has failed
 * meanwhile: the system tells each lost page to one of them only, and it may have been ours.
 */
static bool finish_durable(struct fr_io_request *request)
{
    if (fr_io_request_refused(request)) return true;
    return finish(request, FR_OK, 0);
}

static bool advance_write(struct fr_io_request *request, size_t count)
{
    /* Part of a block does not count for a direct file: it is written again as a whole. */
    if (request->file->direct && count < request->size - request->moved)
        count &= ~((size_t)request->file->alignment - 1);
    if (count == 0) return try_again(request, EIO, true);

    request->moved += count;
    request->retries = 0;
    if (request->moved < request->size) {
        fr_env_count(&request->file->env->resume_count, 1);
        return false;
    }
    request->done_size = request->moved;
    if (request->op == FR_IO_WRITE) return finish(request, FR_OK, 0);
    if (request->attempt_op == FR_IO_WRITE_DSYNC) return finish_durable(request);
    request->attempt_op = FR_IO_SYNC;
    return false;
}

bool fr_io_request_advance(struct fr_io_request *request, int64_t result)
{
    if (result < 0) return advance_after_error(request, (int)-result);
    if (request->attempt_op == FR_IO_SYNC) return finish_durable(request);

    /* More than was asked for cannot be; it would be somebody else's completion. */
    FR_ASSERT((uint64_t)result <= fr_io_attempt_span(request).size);
    if (request->attempt_op == FR_IO_READ) return advance_read(request, (size_t)result);
    return advance_write(request, (size_t)result);
}

static const char *op_text(enum fr_io_op op)
{
    switch (op) {
    case FR_IO_READ:
        return "read";
    case FR_IO_WRITE:
        return "write";
    case FR_IO_WRITE_DSYNC:
        return "synchronous write";
    case FR_IO_SYNC:
        return "sync";
    }
    return "transfer";
}

/* The words for a request that was refused before the system saw it. */
static fr_status fail_in_words(const struct fr_io_request *r)
{
    const char *path = r->file->path;
    const char *op = op_text(r->op);

    if (r->status == FR_ERR_LIMIT)
        return FR_FAIL(r->status, "%s: %s of %zu bytes at %" PRIu64 " is beyond the limit", path,
                op, r->size, r->offset);
    if (r->status == FR_ERR_MISUSE && !r->file->writable)
        return FR_FAIL(r->status, "%s: %s of a file that is open for reading only", path, op);
    return FR_FAIL(r->status,
            "%s: direct %s of %zu bytes at %" PRIu64 " from %p is not aligned to %" PRIu32, path,
            op, r->size, r->offset, r->data, r->file->alignment);
}

fr_status fr_io_request_check(const struct fr_io_request *request)
{
    const char *path = request->file->path;
    const char *op = op_text(request->op);

    if (FR_LIKELY(request->status == FR_OK)) return FR_OK;
    if (request->status == FR_ERR_POISONED)
        return fr_error_set(FR_ERR_POISONED, request->os_error, __FILE__, __LINE__,
                "%s: no %s after a sync of this file has failed", path, op);
    if (request->os_error == 0) return fail_in_words(request);
    if (request->op == FR_IO_SYNC) {
        fr_status st = FR_FAIL_OS(request->os_error, "%s: sync", path);
        fr_error_mark_sync();
        return st;
    }
    return FR_FAIL_OS(request->os_error, "%s: %s of %zu bytes at %" PRIu64, path, op, request->size,
            request->offset);
}

fr_status fr_io_request_check_exact(const struct fr_io_request *request)
{
    fr_status st = fr_io_request_check(request);

    if (st < 0 || request->done_size == request->size) return st;
    return FR_FAIL(FR_ERR_CORRUPT, "%s: ends at %" PRIu64 ", inside the %zu bytes at %" PRIu64,
            request->file->path, request->offset + request->done_size, request->size,
            request->offset);
}
