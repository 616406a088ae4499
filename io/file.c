#include "io/file.h"

#include <errno.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/env_priv.h"

/* One write of zeros when a file is pre-written: large enough for full speed, small enough for L2.
 */
#define ZERO_CHUNK ((size_t)256 << 10)

static fr_status check_flags(const char *name, unsigned flags)
{
    unsigned known = FR_OPEN_WRITE | FR_OPEN_CREATE | FR_OPEN_DIRECT;

    if ((flags & ~known) != 0)
        return FR_FAIL(FR_ERR_MISUSE, "%s: unknown open flags %#x", name, flags & ~known);
    if ((flags & FR_OPEN_CREATE) && !(flags & FR_OPEN_WRITE))
        return FR_FAIL(FR_ERR_MISUSE, "%s: FR_OPEN_CREATE needs FR_OPEN_WRITE", name);
    return FR_OK;
}

fr_status fr_file_open(struct fr_dir *dir, const char *name, unsigned flags,
        struct fr_file **ret_file)
{
    struct fr_env *env = dir->env;
    struct fr_open_result opened;
    struct fr_file *file = NULL;
    fr_status st;

    FR_TRY(fr_name_check(name));
    FR_TRY(check_flags(name, flags));
    file = FR_NEW(struct fr_file);
    if (file == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to open it", name);
    FR_TRY(fr_path_join(dir->path, name, &file->path));

    int rc;
    do
        rc = env->ops->file_open(env->ctx, dir->handle, name, flags, &opened);
    while (rc == -EINTR);
    if (rc < 0) {
        st = FR_FAIL_OS(-rc, "%s: cannot %s", file->path,
                flags & FR_OPEN_CREATE ? "create" : "open");
        goto out;
    }
    FR_ASSERT(opened.alignment > 0 && (opened.alignment & (opened.alignment - 1)) == 0);
    file->env = env;
    file->handle = opened.handle;
    file->alignment = opened.alignment;
    file->direct = opened.direct;
    file->writable = (flags & FR_OPEN_WRITE) != 0;
    *ret_file = FR_TAKE(file);
out:
    fr_file_close(file);
    return st;
}

void fr_file_close(struct fr_file *file)
{
    if (file == NULL) return;
    if (file->env != NULL) file->env->ops->file_close(file->env->ctx, file->handle);
    fr_free(file->path);
    fr_free(file);
}

const char *fr_file_path(const struct fr_file *file)
{
    return file->path;
}

bool fr_file_is_direct(const struct fr_file *file)
{
    return file->direct;
}

uint32_t fr_file_alignment(const struct fr_file *file)
{
    return file->alignment;
}

/* Attempt until it is finished, or until another thread's sync of the file has failed. */
static void run(struct fr_io_request *request)
{
    if (!fr_io_request_begin(request)) return;
    while (!fr_io_request_refused(request) &&
            !fr_io_request_advance(request, fr_io_request_attempt(request)))
        continue;
}

fr_status fr_file_read(struct fr_file *file, uint64_t offset, void *data, size_t size,
        size_t *ret_size)
{
    struct fr_io_request request = {
            .op = FR_IO_READ, .file = file, .data = data, .size = size, .offset = offset};

    run(&request);
    fr_status st = fr_io_request_check(&request);
    if (st == FR_OK) *ret_size = request.done_size;
    return st;
}

bool fr_file_read_cached(struct fr_file *file, uint64_t offset, void *data, size_t size)
{
    const struct fr_env *env = file->env;

    if (env->ops->file_read_cached == NULL || file->direct) return false;
    return env->ops->file_read_cached(env->ctx, file->handle, offset, data, size) == (int64_t)size;
}

fr_status fr_file_read_exact(struct fr_file *file, uint64_t offset, void *data, size_t size)
{
    struct fr_io_request request = {
            .op = FR_IO_READ, .file = file, .data = data, .size = size, .offset = offset};

    run(&request);
    return fr_io_request_check_exact(&request);
}

fr_status fr_file_write(struct fr_file *file, uint64_t offset, const void *data, size_t size,
        unsigned flags)
{
    if ((flags & ~(unsigned)FR_WRITE_DSYNC) != 0)
        return FR_FAIL(FR_ERR_MISUSE, "%s: unknown write flags %#x", file->path, flags);

    struct fr_io_request request = {
            .op = flags & FR_WRITE_DSYNC ? FR_IO_WRITE_DSYNC : FR_IO_WRITE,
            .file = file,
            .data = fr_unconst(data), /* a write only reads from it */
            .size = size,
            .offset = offset,
    };

    run(&request);
    return fr_io_request_check(&request);
}

fr_status fr_file_sync(struct fr_file *file)
{
    struct fr_io_request request = {.op = FR_IO_SYNC, .file = file};

    run(&request);
    return fr_io_request_check(&request);
}

fr_status fr_file_truncate(struct fr_file *file, uint64_t size)
{
    if (!file->writable)
        return FR_FAIL(FR_ERR_MISUSE, "%s: truncate of a file open for reading only", file->path);

    int rc;
    do
        rc = file->env->ops->file_truncate(file->env->ctx, file->handle, size);
    while (rc == -EINTR);
    if (rc < 0) return FR_FAIL_OS(-rc, "%s: truncate to %" PRIu64 " bytes", file->path, size);
    return FR_OK;
}

fr_status fr_file_prewrite(struct fr_file *file, uint64_t from, uint64_t to)
{
    fr_status st;

    void *zeros = fr_alloc_aligned(ZERO_CHUNK, FR_MAX(file->alignment, 64u));
    if (zeros == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to pre-write", file->path);
    memset(zeros, 0, ZERO_CHUNK);
    for (uint64_t at = from; at < to; at += ZERO_CHUNK)
        FR_TRY(fr_file_write(file, at, zeros, (size_t)FR_MIN(to - at, (uint64_t)ZERO_CHUNK), 0));
    FR_TRY(fr_file_sync(file));
out:
    fr_free(zeros);
    return st;
}

fr_status fr_file_punch_hole(struct fr_file *file, uint64_t offset, uint64_t size)
{
    if (!file->writable)
        return FR_FAIL(FR_ERR_MISUSE, "%s: a hole in a file open for reading only", file->path);
    if (size == 0) return FR_OK;

    int rc;
    do
        rc = file->env->ops->file_punch_hole(file->env->ctx, file->handle, offset, size);
    while (rc == -EINTR);
    if (rc == 0) return FR_OK;
    return FR_FAIL_OS(-rc, "%s: hole of %" PRIu64 " bytes at %" PRIu64, file->path, size, offset);
}

void fr_file_advise(struct fr_file *file, uint64_t offset, uint64_t size,
        enum fr_file_advice advice)
{
    file->env->ops->file_advise(file->env->ctx, file->handle, offset, size, advice);
}

fr_status fr_file_info_get(struct fr_file *file, struct fr_file_info *ret_info)
{
    int rc = file->env->ops->file_info(file->env->ctx, file->handle, ret_info);
    if (rc < 0) return FR_FAIL_OS(-rc, "%s: cannot be looked at", file->path);
    return FR_OK;
}
