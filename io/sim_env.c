/*
 * sim_env.c - a machine's lifecycle and clocks, and the table of its operations.
 *
 * Each operation of the table is the same three lines: begin the call, do the thing, end the call.
 * What the thing is stands in sim_dir.c and sim_disk.c.
 */
#include <errno.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"

/* Where the clocks start: the first is small, so that a difference taken wrongly shows; the second
 * is a day in 2024. */
#define NOW_START_US  UINT64_C(1000000)
#define WALL_START_US INT64_C(1704067200000000)

/* What an unlimited disk claims to be. */
#define UNLIMITED_BYTES (UINT64_C(1) << 40)

#define DEVICE_ID 1

uint64_t fr_sim_now_locked(struct fr_sim *sim)
{
    uint64_t schedule_us = fr_sim_schedule_now_us();

    sim->now_us += schedule_us - sim->schedule_us;
    sim->schedule_us = schedule_us;
    return sim->now_us;
}

void fr_sim_pass_locked(struct fr_sim *sim, uint64_t duration_us)
{
    if (!fr_sim_schedule_pass_us(duration_us)) sim->now_us += duration_us;
}

static uint64_t wall_us_locked(struct fr_sim *sim)
{
    return fr_sim_now_locked(sim) + (uint64_t)sim->wall_offset_us;
}

/* --- Clocks ---------------------------------------------------------------------------------- */

/* Looking at the clock takes time too, or a loop that waits for it would never end. */
static uint64_t sim_now_us(void *ctx)
{
    struct fr_sim *sim = ctx;

    fr_mutex_lock(&sim->mu);
    fr_sim_pass_locked(sim, 1);
    uint64_t now_us = fr_sim_now_locked(sim);
    fr_mutex_unlock(&sim->mu);
    return now_us;
}

static uint64_t sim_wall_us(void *ctx)
{
    struct fr_sim *sim = ctx;

    fr_mutex_lock(&sim->mu);
    fr_sim_pass_locked(sim, 1);
    uint64_t wall_us = wall_us_locked(sim);
    fr_mutex_unlock(&sim->mu);
    return wall_us;
}

static void sim_sleep_us(void *ctx, uint64_t duration_us)
{
    struct fr_sim *sim = ctx;

    fr_mutex_lock(&sim->mu);
    if (sim->options.latency) duration_us += fr_rng_below(&sim->latency, duration_us / 8 + 1);
    fr_mutex_unlock(&sim->mu);
    if (fr_sim_schedule_sleep_us(duration_us)) return;
    fr_mutex_lock(&sim->mu);
    fr_sim_pass_locked(sim, duration_us);
    fr_mutex_unlock(&sim->mu);
}

void fr_sim_wall_jump(struct fr_sim *sim, int64_t by_us)
{
    fr_mutex_lock(&sim->mu);
    sim->wall_offset_us += by_us;
    fr_mutex_unlock(&sim->mu);
}

/* --- Handles --------------------------------------------------------------------------------- */

struct fr_sim_handle *fr_sim_handle_of(fr_handle handle)
{
    return (struct fr_sim_handle *)handle; /* NOLINT: a handle is a pointer of ours */
}

static void handle_free(struct fr_sim_handle *handle)
{
    if (handle == NULL) return;
    fr_sim_blob_unref(handle->name);
    fr_free(handle);
}

static struct fr_sim_handle *handle_new(const char *name)
{
    struct fr_sim_handle *handle = FR_NEW(struct fr_sim_handle);

    if (handle == NULL) return NULL;
    handle->alignment = 1;
    handle->name = fr_sim_blob_of_text(name);
    if (handle->name != NULL) return handle;
    fr_free(handle);
    return NULL;
}

static fr_handle handle_attach(struct fr_sim *sim, struct fr_sim_handle *handle,
        struct fr_sim_inode *inode)
{
    handle->inode = inode;
    fr_sim_inode_open(inode);
    handle->serial = sim->next_serial++;
    handle->next = sim->handles;
    if (sim->handles != NULL) sim->handles->prev = handle;
    sim->handles = handle;
    return (fr_handle)handle;
}

static void handle_close(struct fr_sim *sim, struct fr_sim_handle *handle)
{
    if (handle->inode->lock == handle) handle->inode->lock = NULL;
    if (handle->prev != NULL)
        handle->prev->next = handle->next;
    else
        sim->handles = handle->next;
    if (handle->next != NULL) handle->next->prev = handle->prev;
    fr_sim_inode_close(&sim->disk, handle->inode);
    handle_free(handle);
}

static void sim_handle_close(void *ctx, fr_handle handle)
{
    struct fr_sim *sim = ctx;

    fr_mutex_lock(&sim->mu);
    fr_sim_trace(sim, fr_sim_handle_of(handle)->serial);
    handle_close(sim, fr_sim_handle_of(handle));
    fr_mutex_unlock(&sim->mu);
}

/* A call on an open handle, whose name is that of the operation unless there is a better one. */
static struct fr_sim_call call_on(void *ctx, enum fr_sim_op op, fr_handle handle, const char *name)
{
    if (name == NULL) name = (const char *)fr_sim_handle_of(handle)->name->bytes;
    return (struct fr_sim_call){.sim = ctx, .op = op, .name = name, .sync_before = UINT64_MAX};
}

/* Begin a call and say on which handle it is. */
static int begin_on(struct fr_sim_call *call, fr_handle handle)
{
    int rc = fr_sim_call_begin(call);

    fr_sim_trace(call->sim, fr_sim_handle_of(handle)->serial);
    return rc;
}

/* The same in each run, for lock files are a part of the image. */
static void sim_holder_text(void *ctx, char *ret_text, size_t size)
{
    (void)ctx;
    snprintf(ret_text, size, "process 1 (sim)");
}

/* --- Directories ----------------------------------------------------------------------------- */

static int open_dir_locked(struct fr_sim *sim, struct fr_sim_inode *from, const char *path,
        fr_handle *ret_dir)
{
    int rc;

    struct fr_sim_inode *inode = fr_sim_dir_walk(from, path, &rc);
    if (inode == NULL) return rc;
    if (!inode->is_dir) return -ENOTDIR;
    struct fr_sim_handle *handle = handle_new(path);
    if (handle == NULL) return -ENOMEM;
    *ret_dir = handle_attach(sim, handle, inode);
    return 0;
}

static int sim_dir_open(void *ctx, const char *path, fr_handle *ret_dir)
{
    struct fr_sim *sim = ctx;
    struct fr_sim_call call = {.sim = sim, .op = FR_SIM_DIR_OPEN, .name = path};
    int rc = fr_sim_call_begin(&call);

    if (rc == 0) rc = open_dir_locked(sim, sim->disk.root, path, ret_dir);
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_open_in(void *ctx, fr_handle parent, const char *name, fr_handle *ret_dir)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_DIR_OPEN, parent, name);
    int rc = begin_on(&call, parent);

    if (rc == 0) rc = open_dir_locked(call.sim, fr_sim_handle_of(parent)->inode, name, ret_dir);
    return (int)fr_sim_call_end(&call, rc);
}

/* A new inode under a name. A directory that lost its own name takes no more. */
static int make_locked(struct fr_sim *sim, struct fr_sim_inode *dir, const char *name, bool is_dir)
{
    if (dir->link_count == 0) return -ENOENT;
    if (fr_sim_names_find(&dir->live_names, name) != NULL) return -EEXIST;

    struct fr_sim_inode *inode = fr_sim_inode_new(&sim->disk, is_dir);
    if (inode == NULL) return -ENOMEM;
    inode->modified_us = wall_us_locked(sim);
    int rc = fr_sim_dir_set(&sim->disk, dir, name, inode);
    fr_sim_inode_unref(&sim->disk, inode);
    return rc;
}

static int sim_dir_make(void *ctx, fr_handle parent, const char *name)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_MAKE, parent, name);
    int rc = begin_on(&call, parent);

    if (rc == 0) rc = make_locked(call.sim, fr_sim_handle_of(parent)->inode, name, true);
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_remove(void *ctx, fr_handle parent, const char *name)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_REMOVE, parent, name);
    int rc = begin_on(&call, parent);

    if (rc == 0) rc = fr_sim_dir_drop(&call.sim->disk, fr_sim_handle_of(parent)->inode, name, true);
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_sync(void *ctx, fr_handle dir)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_SYNC_DIR, dir, NULL);
    int rc = begin_on(&call, dir);

    if (rc == 0) rc = fr_sim_call_sync(&call, fr_sim_handle_of(dir));
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_rename(void *ctx, fr_handle dir, const char *from, const char *to)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_RENAME, dir, to);
    int rc = begin_on(&call, dir);

    fr_sim_trace_bytes(call.sim, from, strlen(from));
    if (rc == 0) rc = fr_sim_dir_move(&call.sim->disk, fr_sim_handle_of(dir)->inode, from, to);
    return (int)fr_sim_call_end(&call, rc);
}

static int link_locked(struct fr_sim *sim, struct fr_sim_inode *from_dir, const char *from,
        struct fr_sim_inode *to_dir, const char *to)
{
    struct fr_sim_inode *inode = fr_sim_names_find(&from_dir->live_names, from);

    if (inode == NULL || to_dir->link_count == 0) return -ENOENT;
    if (inode->is_dir) return -EPERM;
    return fr_sim_dir_set(&sim->disk, to_dir, to, inode);
}

static int sim_dir_link(void *ctx, fr_handle from_dir, const char *from, fr_handle to_dir,
        const char *to)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_LINK, to_dir, to);
    int rc = begin_on(&call, to_dir);

    fr_sim_trace(call.sim, fr_sim_handle_of(from_dir)->serial);
    fr_sim_trace_bytes(call.sim, from, strlen(from));
    if (rc == 0)
        rc = link_locked(call.sim, fr_sim_handle_of(from_dir)->inode, from,
                fr_sim_handle_of(to_dir)->inode, to);
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_unlink(void *ctx, fr_handle dir, const char *name)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_UNLINK, dir, name);
    int rc = begin_on(&call, dir);

    if (rc == 0) rc = fr_sim_dir_drop(&call.sim->disk, fr_sim_handle_of(dir)->inode, name, false);
    return (int)fr_sim_call_end(&call, rc);
}

static void fill_info(const struct fr_sim_inode *inode, struct fr_file_info *ret_info)
{
    *ret_info = (struct fr_file_info){.size = inode->live.size,
            .allocated_bytes = fr_sim_bytes_held(&inode->live) * FR_SIM_PAGE_SIZE,
            .device = DEVICE_ID,
            .inode = inode->id,
            .link_count = inode->link_count,
            .modified_us = inode->modified_us,
            .is_dir = inode->is_dir};
}

static int sim_dir_stat(void *ctx, fr_handle dir, const char *name, struct fr_file_info *ret_info)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_STAT, dir, name);
    int rc = begin_on(&call, dir);

    if (rc == 0) {
        const struct fr_sim_inode *inode =
                fr_sim_names_find(&fr_sim_handle_of(dir)->inode->live_names, name);
        if (inode != NULL)
            fill_info(inode, ret_info);
        else
            rc = -ENOENT;
    }
    return (int)fr_sim_call_end(&call, rc);
}

/* Real directories are in no order that anybody may rely on: this one starts in the middle. */
static int sim_dir_list(void *ctx, fr_handle dir, fr_name_fn fn, void *fn_ctx)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_LIST, dir, NULL);
    int rc = begin_on(&call, dir);
    const struct fr_sim_names *names = &fr_sim_handle_of(dir)->inode->live_names;

    for (size_t i = 0; rc == 0 && i < names->count; i++) {
        size_t at = (i + names->count / 2) % names->count;
        fn(fn_ctx, (const char *)names->entries[at].name->bytes);
    }
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_dir_space(void *ctx, fr_handle dir, uint64_t *ret_free, uint64_t *ret_total)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_SPACE, dir, NULL);
    int rc = begin_on(&call, dir);

    if (rc == 0) {
        const struct fr_sim_disk *disk = &call.sim->disk;
        uint64_t used = fr_sim_disk_used_pages(disk) * FR_SIM_PAGE_SIZE;
        uint64_t total = disk->capacity_pages * FR_SIM_PAGE_SIZE;

        if (total == 0) total = UNLIMITED_BYTES;
        *ret_total = total;
        *ret_free = total - FR_MIN(used, total);
    }
    return (int)fr_sim_call_end(&call, rc);
}

/* --- Files ----------------------------------------------------------------------------------- */

static int sim_file_lock(void *ctx, fr_handle file)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_LOCK, file, NULL);
    int rc = begin_on(&call, file);
    struct fr_sim_handle *handle = fr_sim_handle_of(file);
    struct fr_sim_inode *inode = handle->inode;

    if (rc == 0 && inode->ghost_locks > 0) rc = -EAGAIN;
    if (rc == 0 && inode->lock != NULL && inode->lock != handle) rc = -EAGAIN;
    if (rc == 0) inode->lock = handle;
    return (int)fr_sim_call_end(&call, rc);
}

static void sim_file_unlock(void *ctx, fr_handle file)
{
    struct fr_sim *sim = ctx;
    struct fr_sim_handle *handle = fr_sim_handle_of(file);

    fr_mutex_lock(&sim->mu);
    fr_sim_trace(sim, handle->serial);
    if (handle->inode->lock == handle) handle->inode->lock = NULL;
    fr_mutex_unlock(&sim->mu);
}

static int find_file_locked(struct fr_sim_inode *dir, const char *name,
        struct fr_sim_inode **ret_inode)
{
    struct fr_sim_inode *inode = fr_sim_names_find(&dir->live_names, name);

    if (inode == NULL) return -ENOENT;
    if (inode->is_dir) return -EISDIR;
    *ret_inode = inode;
    return 0;
}

/* The handle comes first: an open that fails must not have made a file. */
static int open_file_locked(struct fr_sim *sim, struct fr_sim_inode *dir, const char *name,
        unsigned flags, struct fr_sim_handle **ret_handle)
{
    struct fr_sim_inode *inode = NULL;
    struct fr_sim_handle *handle = handle_new(name);
    int rc = handle == NULL ? -ENOMEM : 0;

    if (rc == 0 && (flags & FR_OPEN_CREATE) != 0) rc = make_locked(sim, dir, name, false);
    if (rc == 0) rc = find_file_locked(dir, name, &inode);
    if (rc != 0) {
        handle_free(handle);
        return rc;
    }
    handle->writable = (flags & FR_OPEN_WRITE) != 0;
    handle->direct = (flags & FR_OPEN_DIRECT) != 0 && sim->options.direct_alignment > 0;
    if (handle->direct) handle->alignment = sim->options.direct_alignment;
    handle_attach(sim, handle, inode);
    *ret_handle = handle;
    return 0;
}

static int sim_file_open(void *ctx, fr_handle dir, const char *name, unsigned flags,
        struct fr_open_result *ret_result)
{
    enum fr_sim_op op = (flags & FR_OPEN_CREATE) != 0 ? FR_SIM_CREATE : FR_SIM_OPEN;
    struct fr_sim_call call = call_on(ctx, op, dir, name);
    struct fr_sim_handle *handle = NULL;
    int rc = begin_on(&call, dir);

    fr_sim_trace(call.sim, flags);
    if (rc == 0)
        rc = open_file_locked(call.sim, fr_sim_handle_of(dir)->inode, name, flags, &handle);
    if (rc == 0)
        *ret_result = (struct fr_open_result){.handle = (fr_handle)handle,
                .alignment = handle->alignment,
                .direct = handle->direct};
    return (int)fr_sim_call_end(&call, rc);
}

static int64_t sim_file_read(void *ctx, fr_handle file, uint64_t offset, void *data, size_t size)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_READ, file, NULL);
    int64_t rc = begin_on(&call, file);

    fr_sim_trace(call.sim, offset);
    fr_sim_trace(call.sim, size);
    if (rc == 0) rc = fr_sim_transfer_read(&call, fr_sim_handle_of(file), offset, data, size);
    return fr_sim_call_end(&call, rc);
}

static int64_t sim_file_write(void *ctx, fr_handle file, uint64_t offset, const void *data,
        size_t size, bool dsync)
{
    struct fr_sim_call call = call_on(ctx, dsync ? FR_SIM_WRITE_DSYNC : FR_SIM_WRITE, file, NULL);
    int64_t rc = begin_on(&call, file);

    fr_sim_trace(call.sim, offset);
    if (rc == 0) rc = fr_sim_transfer_write(&call, fr_sim_handle_of(file), offset, data, size);
    return fr_sim_call_end(&call, rc);
}

static int sim_file_sync(void *ctx, fr_handle file)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_SYNC, file, NULL);
    int rc = begin_on(&call, file);

    if (rc == 0) rc = fr_sim_call_sync(&call, fr_sim_handle_of(file));
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_file_truncate(void *ctx, fr_handle file, uint64_t size)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_TRUNCATE, file, NULL);
    int rc = begin_on(&call, file);
    struct fr_sim_handle *handle = fr_sim_handle_of(file);

    fr_sim_trace(call.sim, size);
    if (rc == 0 && !handle->writable) rc = -EINVAL;
    if (rc == 0) rc = fr_sim_inode_truncate(&call.sim->disk, handle->inode, size);
    return (int)fr_sim_call_end(&call, rc);
}

static int sim_file_punch_hole(void *ctx, fr_handle file, uint64_t offset, uint64_t size)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_PUNCH_HOLE, file, NULL);
    int rc = begin_on(&call, file);
    struct fr_sim_handle *handle = fr_sim_handle_of(file);

    fr_sim_trace(call.sim, offset);
    fr_sim_trace(call.sim, size);
    if (rc == 0 && !handle->writable) rc = -EBADF;
    if (rc == 0) rc = fr_sim_inode_punch(&call.sim->disk, handle->inode, offset, size);
    return (int)fr_sim_call_end(&call, rc);
}

/* There is no page cache to advise. */
static void sim_file_advise(void *ctx, fr_handle file, uint64_t offset, uint64_t size,
        enum fr_file_advice advice)
{
    (void)ctx;
    (void)file;
    (void)offset;
    (void)size;
    (void)advice;
}

static int sim_file_info(void *ctx, fr_handle file, struct fr_file_info *ret_info)
{
    struct fr_sim_call call = call_on(ctx, FR_SIM_INFO, file, NULL);
    int rc = begin_on(&call, file);

    if (rc == 0) fill_info(fr_sim_handle_of(file)->inode, ret_info);
    return (int)fr_sim_call_end(&call, rc);
}

/* The machine outlives its environment, which it closes itself. */
static void sim_close(void *ctx)
{
    (void)ctx;
}

const struct fr_backend_ops fr_sim_backend_ops = {
        .close = sim_close,
        .now_us = sim_now_us,
        .wall_us = sim_wall_us,
        .sleep_us = sim_sleep_us,
        .dir_open = sim_dir_open,
        .dir_open_in = sim_dir_open_in,
        .dir_close = sim_handle_close,
        .dir_make = sim_dir_make,
        .dir_remove = sim_dir_remove,
        .dir_sync = sim_dir_sync,
        .dir_rename = sim_dir_rename,
        .dir_link = sim_dir_link,
        .dir_unlink = sim_dir_unlink,
        .dir_stat = sim_dir_stat,
        .dir_list = sim_dir_list,
        .dir_space = sim_dir_space,
        .holder_text = sim_holder_text,
        .file_lock = sim_file_lock,
        .file_unlock = sim_file_unlock,
        .dir_lock = sim_file_lock,
        .dir_unlock = sim_file_unlock,
        .file_open = sim_file_open,
        .file_close = sim_handle_close,
        .file_read = sim_file_read,
        .file_write = sim_file_write,
        .file_sync = sim_file_sync,
        .file_truncate = sim_file_truncate,
        .file_punch_hole = sim_file_punch_hole,
        .file_advise = sim_file_advise,
        .file_info = sim_file_info,
        .queue_open = fr_sim_queue_open,
};

/* --- Machines -------------------------------------------------------------------------------- */

static void seed_machine(struct fr_sim *sim)
{
    uint64_t seed = sim->options.seed;

    fr_rng_init(&sim->chaos, fr_mix64(seed ^ 1));
    fr_rng_init(&sim->latency, fr_mix64(seed ^ 2));
    sim->trace = fr_mix64(seed);
}

fr_status fr_sim_new(const struct fr_sim_options *options, struct fr_sim_disk *disk,
        struct fr_sim **ret_sim)
{
    struct fr_sim *sim = FR_NEW(struct fr_sim);
    fr_status st;

    if (sim == NULL) {
        fr_sim_disk_deinit(disk);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated machine");
    }
    sim->options = *options;
    sim->disk = *disk;
    *disk = (struct fr_sim_disk){0};
    sim->now_us = NOW_START_US;
    sim->schedule_us = fr_sim_schedule_now_us();
    sim->wall_offset_us = WALL_START_US;
    sim->next_serial = 1;
    seed_machine(sim);
    fr_mutex_init(&sim->mu, FR_RANK_SIM);
    FR_TRY(fr_env_new(&fr_sim_backend_ops, sim, FR_ENV_SIM, &sim->env));
    *ret_sim = FR_TAKE(sim);
out:
    fr_sim_close(sim);
    return st;
}

static fr_status check_options(const struct fr_sim_options *options)
{
    uint32_t alignment = options->direct_alignment;

    if ((alignment & (alignment - 1)) != 0 || alignment > FR_SIM_PAGE_SIZE)
        return FR_FAIL(FR_ERR_MISUSE, "simulated machine: direct_alignment %u", alignment);
    if (options->capacity_bytes > 0 && options->capacity_bytes < FR_SIM_PAGE_SIZE)
        return FR_FAIL(FR_ERR_MISUSE, "simulated machine: a disk of less than a page");
    return FR_OK;
}

fr_status fr_sim_open(const struct fr_sim_options *options, struct fr_sim **ret_sim)
{
    static const struct fr_sim_options calm = {0};
    struct fr_sim_disk disk;
    fr_status st;

    if (options == NULL) options = &calm;
    FR_TRY(check_options(options));
    if (fr_sim_disk_init(&disk, options->capacity_bytes / FR_SIM_PAGE_SIZE) != 0)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated machine");
    FR_TRY(fr_sim_new(options, &disk, ret_sim));
out:
    return st;
}

void fr_sim_close(struct fr_sim *sim)
{
    if (sim == NULL) return;
    FR_ASSERT(sim->queues == NULL);
    fr_env_close(sim->env);
    fr_sim_fault_clear(sim);
    while (sim->handles != NULL)
        handle_close(sim, sim->handles);
    fr_sim_ghosts_free(sim);
    fr_sim_disk_deinit(&sim->disk);
    fr_mutex_deinit(&sim->mu);
    fr_free(sim);
}

struct fr_env *fr_sim_env(struct fr_sim *sim)
{
    return sim->env;
}

void fr_sim_set_hook(struct fr_sim *sim, fr_sim_hook_fn fn, void *ctx)
{
    sim->hook = fn;
    sim->hook_ctx = ctx;
}

/* The next life starts from what the old one has done, so that two deaths differ. */
static int inherit_locked(struct fr_sim *sim, struct fr_sim *heir)
{
    struct fr_sim_disk disk;
    int rc = fr_sim_disk_copy(&sim->disk, &disk);

    if (rc != 0) return rc;
    fr_sim_disk_deinit(&heir->disk);
    heir->disk = disk;
    heir->now_us = fr_sim_now_locked(sim);
    heir->schedule_us = sim->schedule_us;
    heir->wall_offset_us = sim->wall_offset_us;
    heir->options.seed = fr_mix64(sim->options.seed ^ fr_mix64(sim->op_number));
    seed_machine(heir);
    return fr_sim_queues_haunt(sim, heir);
}

fr_status fr_sim_kill(struct fr_sim *sim, struct fr_sim **ret_sim)
{
    struct fr_sim *heir = NULL;
    fr_status st;

    FR_TRY(fr_sim_open(&sim->options, &heir));
    fr_mutex_lock(&sim->mu);
    int rc = inherit_locked(sim, heir);
    fr_mutex_unlock(&sim->mu);
    if (rc != 0) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a copy of a simulated machine"));
    fr_sim_disk_sweep(&heir->disk);
    *ret_sim = FR_TAKE(heir);
out:
    fr_sim_close(heir);
    return st;
}
