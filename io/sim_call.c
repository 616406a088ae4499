/*
 * sim_call.c - what every operation of a simulated machine goes through.
 *
 *     begin   count, hook, lock, let time pass, land ghosts, look for a fault
 *     ...     the operation itself, locked
 *     end     trace the result, unlock, hook
 *
 * So the hook sees the machine unlocked and between two operations, and no operation can forget to
 * be counted.
 */
#include <errno.h>
#include <fnmatch.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/sim_priv.h"
#include "io/sim_schedule.h"

/* A device is busy for about this long; what matters is only that the clock moves. */
#define LATENCY_MAX_US 200

static const char *const op_names[FR_SIM_OP_COUNT] = {
        [FR_SIM_DIR_OPEN] = "dir_open",
        [FR_SIM_MAKE] = "make",
        [FR_SIM_REMOVE] = "remove",
        [FR_SIM_SYNC_DIR] = "sync_dir",
        [FR_SIM_RENAME] = "rename",
        [FR_SIM_LINK] = "link",
        [FR_SIM_UNLINK] = "unlink",
        [FR_SIM_STAT] = "stat",
        [FR_SIM_LIST] = "list",
        [FR_SIM_SPACE] = "space",
        [FR_SIM_LOCK] = "lock",
        [FR_SIM_OPEN] = "open",
        [FR_SIM_CREATE] = "create",
        [FR_SIM_READ] = "read",
        [FR_SIM_WRITE] = "write",
        [FR_SIM_WRITE_DSYNC] = "write_dsync",
        [FR_SIM_SYNC] = "sync",
        [FR_SIM_TRUNCATE] = "truncate",
        [FR_SIM_PUNCH_HOLE] = "punch_hole",
        [FR_SIM_INFO] = "info",
        [FR_SIM_QUEUE_OPEN] = "queue_open",
        [FR_SIM_QUEUE_STAGE] = "queue_stage",
        [FR_SIM_QUEUE_START] = "queue_start",
};

const char *fr_sim_op_name(enum fr_sim_op op)
{
    return op >= 0 && op < FR_SIM_OP_COUNT ? op_names[op] : "unknown";
}

/* --- Trace ----------------------------------------------------------------------------------- */

void fr_sim_trace(struct fr_sim *sim, uint64_t value)
{
    sim->trace = fr_mix64(sim->trace ^ fr_mix64(value));
}

void fr_sim_trace_bytes(struct fr_sim *sim, const void *data, size_t size)
{
    if (!sim->options.trace_calls_only) sim->trace = fr_sim_hash(sim->trace, data, size);
}

uint64_t fr_sim_trace_hash(struct fr_sim *sim)
{
    fr_mutex_lock(&sim->mu);
    uint64_t hash = sim->trace;
    fr_mutex_unlock(&sim->mu);
    return hash;
}

uint64_t fr_sim_op_count(struct fr_sim *sim, enum fr_sim_op op)
{
    FR_ASSERT(op >= 0 && op <= FR_SIM_OP_COUNT);
    fr_mutex_lock(&sim->mu);
    uint64_t count = op == FR_SIM_OP_COUNT ? sim->op_number : sim->op_counts[op];
    fr_mutex_unlock(&sim->mu);
    return count;
}

/* --- Faults ---------------------------------------------------------------------------------- */

/* Where an error afterwards would leave a handle behind that nobody knows. */
#define MASK_ANSWERS                                                                               \
    (FR_SIM_MASK(FR_SIM_DIR_OPEN) | FR_SIM_MASK(FR_SIM_STAT) | FR_SIM_MASK(FR_SIM_LIST) |          \
            FR_SIM_MASK(FR_SIM_SPACE) | FR_SIM_MASK(FR_SIM_LOCK) | FR_SIM_MASK(FR_SIM_OPEN) |      \
            FR_SIM_MASK(FR_SIM_CREATE) | FR_SIM_MASK(FR_SIM_READ) | FR_SIM_MASK(FR_SIM_INFO) |     \
            FR_SIM_MASK(FR_SIM_QUEUE_OPEN) | FR_SIM_MASK(FR_SIM_QUEUE_STAGE) |                     \
            FR_SIM_MASK(FR_SIM_QUEUE_START))

#define MASK_TRANSFERS                                                                             \
    (FR_SIM_MASK(FR_SIM_READ) | FR_SIM_MASK(FR_SIM_WRITE) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC))

#define MASK_SYNCS                                                                                 \
    (FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_SYNC_DIR) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC))

static fr_status check_fault(const struct fr_sim_fault *fault)
{
    uint32_t allowed = FR_SIM_MASK_ALL;

    if (fault->kind == FR_SIM_FAULT_SHORT) allowed = MASK_TRANSFERS;
    if (fault->kind >= FR_SIM_FAULT_SYNC_NOW) allowed = MASK_SYNCS;
    if (fault->kind > FR_SIM_FAULT_SYNC_LIE || fault->ops == 0 || (fault->ops & ~allowed) != 0)
        return FR_FAIL(FR_ERR_MISUSE, "simulated fault: kind %d cannot happen to operations 0x%x",
                (int)fault->kind, (unsigned)fault->ops);
    if (fault->os_error < 0)
        return FR_FAIL(FR_ERR_MISUSE, "simulated fault: errno %d is negative", fault->os_error);
    return FR_OK;
}

static void free_armed(struct fr_sim_armed *armed)
{
    if (armed == NULL) return;
    fr_sim_blob_unref(armed->name);
    fr_free(armed);
}

fr_status fr_sim_fault_add(struct fr_sim *sim, const struct fr_sim_fault *fault)
{
    struct fr_sim_armed *armed = NULL;
    fr_status st;

    FR_TRY(check_fault(fault));
    armed = FR_NEW(struct fr_sim_armed);
    if (armed == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated fault");
    armed->fault = *fault;
    if (fault->nth == 0) armed->fault.nth = 1;
    if (fault->os_error == 0) armed->fault.os_error = EIO;
    if (fault->name != NULL) armed->name = fr_sim_blob_of_text(fault->name);
    if (fault->name != NULL && armed->name == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a simulated fault"));

    fr_mutex_lock(&sim->mu);
    struct fr_sim_armed **end = &sim->faults;
    while (*end != NULL)
        end = &(*end)->next;
    *end = FR_TAKE(armed);
    fr_mutex_unlock(&sim->mu);
out:
    free_armed(armed);
    return st;
}

void fr_sim_fault_clear(struct fr_sim *sim)
{
    fr_mutex_lock(&sim->mu);
    while (sim->faults != NULL) {
        struct fr_sim_armed *armed = sim->faults;

        sim->faults = armed->next;
        free_armed(armed);
    }
    fr_mutex_unlock(&sim->mu);
}

uint64_t fr_sim_fault_hits(struct fr_sim *sim)
{
    fr_mutex_lock(&sim->mu);
    uint64_t hits = sim->fault_hits;
    fr_mutex_unlock(&sim->mu);
    return hits;
}

static bool fires(struct fr_sim_armed *armed, const struct fr_sim_call *call)
{
    const struct fr_sim_fault *fault = &armed->fault;

    if ((fault->ops & FR_SIM_MASK(call->op)) == 0) return false;
    if (armed->name != NULL && fnmatch((const char *)armed->name->bytes, call->name, 0) != 0)
        return false;
    armed->seen++;
    return fault->forever ? armed->seen >= fault->nth : armed->seen == fault->nth;
}

/* All that match count, also behind the one that fires. */
static const struct fr_sim_fault *find_fault(struct fr_sim *sim, const struct fr_sim_call *call)
{
    const struct fr_sim_fault *found = NULL;

    for (struct fr_sim_armed *armed = sim->faults; armed != NULL; armed = armed->next)
        if (fires(armed, call) && found == NULL) found = &armed->fault;
    if (found != NULL) sim->fault_hits++;
    return found;
}

/* --- Calls ----------------------------------------------------------------------------------- */

static void call_hook(const struct fr_sim_call *call, bool after, int64_t result)
{
    const struct fr_sim *sim = call->sim;

    if (sim->hook == NULL) return;
    if (!call->queued && (FR_SIM_MASK_CHANGES & FR_SIM_MASK(call->op)) == 0) return;
    struct fr_sim_point point = {.op = call->op,
            .after = after,
            .queued = call->queued,
            .number = call->number,
            .result = result,
            .name = call->name};
    sim->hook(sim->hook_ctx, &point);
}

static void pass_time(struct fr_sim *sim)
{
    fr_sim_pass_locked(sim,
            sim->options.latency ? fr_rng_between(&sim->latency, 1, LATENCY_MAX_US) : 1);
}

int fr_sim_call_begin(struct fr_sim_call *call) FR_NO_LOCK_ANALYSIS
{
    struct fr_sim *sim = call->sim;

    fr_sim_schedule_call(op_names[call->op], call->name);
    fr_mutex_lock(&sim->mu);
    call->number = ++sim->op_number;
    sim->op_counts[call->op]++;
    fr_mutex_unlock(&sim->mu);
    call_hook(call, false, 0);

    fr_mutex_lock(&sim->mu);
    pass_time(sim);
    fr_sim_ghosts_step(sim);
    fr_sim_trace(sim, (uint64_t)call->op);
    fr_sim_trace(sim, fr_sim_schedule_caller());
    fr_sim_trace_bytes(sim, call->name, strlen(call->name));
    call->fault = find_fault(sim, call);
    if (call->fault == NULL) return 0;
    if (call->fault->kind == FR_SIM_FAULT_ERROR) return -call->fault->os_error;
    if (call->fault->kind != FR_SIM_FAULT_ERROR_AFTER) return 0;
    return (MASK_ANSWERS & FR_SIM_MASK(call->op)) != 0 ? -call->fault->os_error : 0;
}

int64_t fr_sim_call_end(struct fr_sim_call *call, int64_t result) FR_NO_LOCK_ANALYSIS
{
    struct fr_sim *sim = call->sim;

    if (call->fault != NULL && call->fault->kind == FR_SIM_FAULT_ERROR_AFTER && result >= 0)
        result = -call->fault->os_error;
    fr_sim_trace(sim, (uint64_t)result);
    call->fault = NULL;
    fr_mutex_unlock(&sim->mu);
    call_hook(call, true, result);
    fr_sim_schedule_point();
    return result;
}

/* --- Transfers and syncs --------------------------------------------------------------------- */

static int64_t chaos_share(struct fr_sim *sim, size_t size, uint32_t alignment)
{
    const struct fr_sim_options *options = &sim->options;
    bool may_interrupt = options->interrupt_one_in > 0 && !sim->interrupted;

    sim->interrupted = may_interrupt && fr_rng_one_in(&sim->chaos, options->interrupt_one_in);
    if (sim->interrupted) return -EINTR;
    if (options->short_one_in == 0 || size < 2) return (int64_t)size;
    if (!fr_rng_one_in(&sim->chaos, options->short_one_in)) return (int64_t)size;
    size_t part = (size_t)fr_rng_between(&sim->chaos, 1, size - 1);
    part -= part % alignment;
    return (int64_t)(part == 0 ? size : part);
}

int64_t fr_sim_call_share(struct fr_sim_call *call, size_t size, uint32_t alignment)
{
    const struct fr_sim_fault *fault = call->fault;

    if (fault == NULL) return chaos_share(call->sim, size, alignment);
    if (fault->kind != FR_SIM_FAULT_SHORT) return (int64_t)size;
    uint64_t left = size - FR_MIN(size, fault->short_by);
    return (int64_t)(left - left % alignment);
}

static bool is_misaligned(const struct fr_sim_handle *handle, uint64_t offset, const void *data,
        size_t size)
{
    uint64_t bits = offset | size | (uint64_t)(uintptr_t)data;

    return handle->direct && bits % handle->alignment != 0;
}

int64_t fr_sim_transfer_read(struct fr_sim_call *call, struct fr_sim_handle *handle,
        uint64_t offset, void *data, size_t size)
{
    const struct fr_sim_bytes *bytes = &handle->inode->live;

    if (is_misaligned(handle, offset, data, size)) return -EINVAL;
    if (offset >= bytes->size) return 0;
    int64_t share =
            fr_sim_call_share(call, (size_t)FR_MIN(size, bytes->size - offset), handle->alignment);
    if (share <= 0) return share;
    fr_sim_bytes_read(bytes, offset, data, (size_t)share);
    fr_sim_trace_bytes(call->sim, data, (size_t)share);
    return share;
}

/* Each handle that is open now will hear of the failure once, and this one hears of it first. */
static void spread_error(struct fr_sim *sim, struct fr_sim_handle *handle, int os_error)
{
    for (struct fr_sim_handle *other = sim->handles; other != NULL; other = other->next)
        if (other->inode == handle->inode && other != handle) other->sync_error = os_error;
}

/* What a sync fault does and answers. */
static int misbehave(struct fr_sim_call *call, struct fr_sim_handle *handle)
{
    const struct fr_sim_fault *fault = call->fault;

    if (fault->kind == FR_SIM_FAULT_SYNC_LIE) return 0;
    fr_sim_inode_lose(handle->inode);
    if (fault->kind == FR_SIM_FAULT_SYNC_LATE) {
        handle->inode->late_error = fault->os_error;
        return 0;
    }
    if (fault->kind == FR_SIM_FAULT_SYNC_HANDLES) spread_error(call->sim, handle, fault->os_error);
    return -fault->os_error;
}

static bool is_sync_fault(const struct fr_sim_call *call)
{
    return call->fault != NULL && call->fault->kind >= FR_SIM_FAULT_SYNC_NOW;
}

int fr_sim_call_sync(struct fr_sim_call *call, struct fr_sim_handle *handle)
{
    struct fr_sim_inode *inode = handle->inode;
    int *owed = handle->sync_error != 0 ? &handle->sync_error : &inode->late_error;

    if (*owed != 0) {
        int os_error = *owed;
        *owed = 0;
        return -os_error;
    }
    if (is_sync_fault(call)) return misbehave(call, handle);
    if (inode->is_dir)
        fr_sim_dir_sync(&call->sim->disk, inode);
    else
        fr_sim_inode_sync(inode, call->sync_before);
    return 0;
}

int64_t fr_sim_transfer_write(struct fr_sim_call *call, struct fr_sim_handle *handle,
        uint64_t offset, const void *data, size_t size)
{
    struct fr_sim *sim = call->sim;
    struct fr_sim_inode *inode = handle->inode;

    if (!handle->writable) return -EBADF;
    if (is_misaligned(handle, offset, data, size)) return -EINVAL;
    fr_sim_trace_bytes(sim, data, size);
    int64_t result = fr_sim_call_share(call, size, handle->alignment);
    if (result > 0) result = fr_sim_inode_write(&sim->disk, inode, offset, data, (size_t)result);
    if (result <= 0) return result;

    inode->modified_us = fr_sim_now_locked(sim) + (uint64_t)sim->wall_offset_us;
    if (call->op != FR_SIM_WRITE_DSYNC) return result;
    if (is_sync_fault(call)) {
        int rc = misbehave(call, handle);
        return rc != 0 ? rc : result;
    }
    fr_sim_inode_sync_last(inode);
    return result;
}
