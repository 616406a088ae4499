#include "recovery/copier.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/crc32c.h"
#include "io/dir.h"
#include "io/env.h"

#define CHUNK ((size_t)1 << 20)

#define FOOTER_MAX 256

fr_status fr_copier_init(struct fr_copier *copier, struct fr_env *env,
        const struct fr_backup_options *how)
{
    *copier = (struct fr_copier){0};
    if (how != NULL) copier->how = *how;
    fr_rate_limiter_init(&copier->limiter, env, copier->how.rate);
    copier->chunk = fr_alloc_aligned(CHUNK, 4096);
    return copier->chunk == NULL ? FR_FAIL(FR_ERR_NOMEM, "no memory to copy files") : FR_OK;
}

void fr_copier_deinit(struct fr_copier *copier)
{
    fr_free(copier->chunk);
    fr_rate_limiter_deinit(&copier->limiter);
    copier->chunk = NULL;
}

static fr_status tell(struct fr_copier *copier, uint64_t bytes)
{
    copier->done_bytes += bytes;
    if (copier->how.progress == NULL ||
            copier->how.progress(copier->how.ctx, copier->done_bytes, copier->total_bytes))
        return FR_OK;
    return FR_FAIL(FR_ERR_CANCELLED, "given up after %" PRIu64 " bytes", copier->done_bytes);
}

fr_status fr_copier_skip(struct fr_copier *copier, const struct fr_backup_file *file)
{
    return tell(copier, file->size);
}

static fr_status open_of_size(struct fr_dir *dir, const char *name,
        const struct fr_backup_file *file, struct fr_file **ret_file)
{
    struct fr_file_info info;
    struct fr_file *opened = NULL;
    fr_status st;

    FR_TRY(fr_file_open(dir, name, 0, &opened));
    FR_TRY(fr_file_info_get(opened, &info));
    if (info.size != file->size) {
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: is %" PRIu64 " bytes, not %" PRIu64, fr_file_path(opened),
                info.size, file->size);
        goto out;
    }
    *ret_file = FR_TAKE(opened);
out:
    fr_file_close(opened);
    return st;
}

fr_status fr_copier_read_footer(struct fr_dir *dir, const char *name, struct fr_backup_file *file)
{
    size_t size = fr_backup_footer_size(file->kind);
    struct fr_file *opened = NULL;
    uint8_t footer[FOOTER_MAX];
    fr_status st;

    FR_ASSERT(size <= sizeof(footer));
    FR_TRY(open_of_size(dir, name, file, &opened));
    FR_TRY(fr_file_read_exact(opened, file->size - size, footer, size));
    file->footer_crc = fr_crc32c_mask(fr_crc32c(0, footer, size));
out:
    fr_file_close(opened);
    return st;
}

/* A file on its way through the chunk. */
struct pass {
    const struct fr_backup_file *file;
    struct fr_hash128_state hash; /* of what is before the footer */
    uint32_t footer_crc;
};

static void take_in(struct pass *pass, uint64_t at, const uint8_t *bytes, size_t size)
{
    uint64_t footer = pass->file->size - fr_backup_footer_size(pass->file->kind);
    size_t before = at >= footer ? 0 : (size_t)FR_MIN((uint64_t)size, footer - at);

    fr_hash128_add(&pass->hash, bytes, before);
    pass->footer_crc = fr_crc32c(pass->footer_crc, bytes + before, size - before);
}

static fr_status judge(const struct pass *pass, const char *path)
{
    const struct fr_backup_file *file = pass->file;

    if (!fr_hash128_equal(fr_hash128_get(&pass->hash), file->hash))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the content does not match its hash", path);
    if (fr_crc32c_mask(pass->footer_crc) != file->footer_crc)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the footer at %" PRIu64 " does not match its checksum",
                path, file->size - fr_backup_footer_size(file->kind));
    return FR_OK;
}

/* All of a file, to another one unless that is NULL. */
static fr_status run(struct fr_copier *copier, struct fr_file *from, struct fr_file *to,
        const struct fr_backup_file *file)
{
    struct pass pass = {.file = file};
    uint64_t at = 0;
    fr_status st = FR_OK;

    fr_hash128_init(&pass.hash);
    while (at < file->size) {
        size_t wanted = (size_t)FR_MIN((uint64_t)CHUNK, file->size - at);
        size_t size = fr_rate_limiter_take(&copier->limiter, wanted, false);
        FR_TRY(fr_file_read_exact(from, at, copier->chunk, size));
        take_in(&pass, at, copier->chunk, size);
        if (to != NULL) FR_TRY(fr_file_write(to, at, copier->chunk, size, 0));
        at += size;
        FR_TRY(tell(copier, size));
    }
    FR_TRY(judge(&pass, fr_file_path(from)));
    if (to != NULL) FR_TRY(fr_file_sync(to));
    fr_file_advise(from, 0, 0, FR_ADVICE_DONT_NEED);
    if (to != NULL) fr_file_advise(to, 0, 0, FR_ADVICE_DONT_NEED);
out:
    return st;
}

fr_status fr_copier_compare(struct fr_copier *copier, struct fr_dir *dir, const char *name,
        const struct fr_backup_file *file)
{
    struct fr_file *opened = NULL;
    fr_status st;

    FR_TRY(open_of_size(dir, name, file, &opened));
    FR_TRY(run(copier, opened, NULL, file));
out:
    fr_file_close(opened);
    return st;
}

fr_status fr_copier_copy(struct fr_copier *copier, struct fr_dir *from_dir, const char *from_name,
        struct fr_dir *to_dir, const char *to_name, const struct fr_backup_file *file)
{
    struct fr_file *from = NULL, *to = NULL;
    fr_status st;

    FR_TRY(open_of_size(from_dir, from_name, file, &from));
    FR_TRY(fr_file_open(to_dir, to_name, FR_OPEN_WRITE | FR_OPEN_CREATE, &to));
    FR_TRY(run(copier, from, to, file));
out:
    fr_file_close(from);
    fr_file_close(to);
    return st;
}
