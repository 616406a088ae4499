#include "tests/unit/io/sim_world.h"

#include <criterion/criterion.h>

#include "base/alloc.h"
#include "io/sim_priv.h"

#define OPS (&fr_sim_backend_ops)

struct world world_of(struct fr_sim *sim)
{
    struct world w = {.sim = sim};

    cr_assert_eq(OPS->dir_open(sim, "/", &w.root), 0);
    return w;
}

struct world world_open(const struct fr_sim_options *options)
{
    struct fr_sim *sim;

    cr_assert_eq(fr_sim_open(options, &sim), FR_OK);
    return world_of(sim);
}

void world_close(struct world *w)
{
    OPS->dir_close(w->sim, w->root);
    fr_sim_close(w->sim);
}

int world_try_create(struct world *w, const char *name, fr_handle *ret_file)
{
    struct fr_open_result result;
    int rc = OPS->file_open(w->sim, w->root, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &result);

    if (rc == 0) *ret_file = result.handle;
    return rc;
}

fr_handle world_create(struct world *w, const char *name)
{
    fr_handle file = 0;

    cr_assert_eq(world_try_create(w, name, &file), 0);
    return file;
}

fr_handle world_open_file(struct world *w, const char *name)
{
    struct fr_open_result result;

    cr_assert_eq(OPS->file_open(w->sim, w->root, name, FR_OPEN_WRITE, &result), 0);
    return result.handle;
}

void world_close_file(struct world *w, fr_handle file)
{
    OPS->file_close(w->sim, file);
}

int64_t world_write(struct world *w, fr_handle file, uint64_t offset, const void *data, size_t size)
{
    return OPS->file_write(w->sim, file, offset, data, size, false);
}

int64_t world_write_dsync(struct world *w, fr_handle file, uint64_t offset, const void *data,
        size_t size)
{
    return OPS->file_write(w->sim, file, offset, data, size, true);
}

int64_t world_read(struct world *w, fr_handle file, uint64_t offset, void *data, size_t size)
{
    return OPS->file_read(w->sim, file, offset, data, size);
}

int world_sync(struct world *w, fr_handle file)
{
    return OPS->file_sync(w->sim, file);
}

int world_sync_dir(struct world *w)
{
    return OPS->dir_sync(w->sim, w->root);
}

int world_rename(struct world *w, const char *from, const char *to)
{
    return OPS->dir_rename(w->sim, w->root, from, to);
}

int world_unlink(struct world *w, const char *name)
{
    return OPS->dir_unlink(w->sim, w->root, name);
}

void world_fill(struct world *w, fr_handle file, uint64_t offset, char value, size_t size)
{
    char *data = fr_alloc(size);

    memset(data, value, size);
    cr_assert_eq(world_write(w, file, offset, data, size), (int64_t)size);
    fr_free(data);
}

void world_fault(struct world *w, const struct fr_sim_fault *fault)
{
    cr_assert_eq(fr_sim_fault_add(w->sim, fault), FR_OK);
}

const char *image_text(const struct fr_sim_image *image, const char *name, size_t *ret_size)
{
    static char text[1 << 16];
    struct fr_buf buf = FR_BUF_EMPTY;
    fr_status st = fr_sim_image_read(image, name, &buf);

    cr_assert_geq(st, FR_OK);
    cr_assert_lt(buf.size, sizeof(text));
    if (buf.size > 0) memcpy(text, buf.data, buf.size);
    text[buf.size] = '\0';
    if (ret_size != NULL) *ret_size = buf.size;
    fr_buf_deinit(&buf);
    return st == FR_OK ? text : NULL;
}

unsigned crash_count(struct world *w, const struct fr_sim_crash_options *options, image_fn check,
        void *ctx)
{
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;
    unsigned count = 0;
    fr_status st;

    cr_assert_eq(fr_sim_crash_open(w->sim, options, &crash), FR_OK);
    while ((st = fr_sim_crash_next(crash, &image)) == FR_OK) {
        count += check(image, ctx);
        fr_sim_image_free(image);
    }
    cr_assert_eq(st, FR_END);
    fr_sim_crash_close(crash);
    return count;
}

static bool yes(const struct fr_sim_image *image, void *ctx)
{
    (void)image;
    (void)ctx;
    return true;
}

unsigned crash_total(struct world *w, const struct fr_sim_crash_options *options)
{
    return crash_count(w, options, yes, NULL);
}

static bool add_hash(const struct fr_sim_image *image, void *ctx)
{
    uint64_t *hash = ctx;

    *hash = fr_mix64(*hash ^ fr_sim_image_hash(image));
    return true;
}

uint64_t crash_hash(struct world *w, const struct fr_sim_crash_options *options)
{
    uint64_t hash = 0;

    crash_count(w, options, add_hash, &hash);
    return hash;
}
