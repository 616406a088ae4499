/*
 * sim_priv.h - for this folder and its tests only: how a simulated machine is put together.
 *
 *     sim_env      lifecycle, clocks, the table of operations
 *     sim_call     what every operation goes through: hook, fault, chaos, count, trace
 *     sim_queue    transfers that are under way
 *     sim_crash    which effects a power loss keeps    sim_image   the disk that is left
 *     sim_disk     inodes, pending effects, copies     sim_dir     names, pending operations
 *     sim_bytes    pages shared until they are written
 *
 * One mutex guards a machine. Disks, crashes and images are plain values that share pages and blobs
 * by atomic reference counts, so each may be used by a thread of its own.
 */
#ifndef FR_IO_SIM_PRIV_H
#define FR_IO_SIM_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"
#include "base/rng.h"
#include "base/status.h"
#include "io/env_priv.h"
#include "io/sim.h"

/* --- sim_bytes: pages ------------------------------------------------------------------------ */

/* Who finds a count of one owns the thing alone and may change it; else a copy is made first. */
struct fr_sim_page {
    _Atomic(uint32_t) refs; /* relaxed up, acquire-release down and when asked */
    _Atomic(uint64_t) hash; /* of the bytes, 0 if not known; relaxed: all compute the same */
    uint8_t bytes[FR_SIM_PAGE_SIZE];
};

struct fr_sim_map {
    _Atomic(uint32_t) refs; /* as a page's */
    _Atomic(uint64_t) hash; /* as a page's */
    size_t count;           /* slots */
    size_t held;            /* slots with a page */
    struct fr_sim_page *pages[];
};

/* What a file holds. Bytes without a page are zeros. */
struct fr_sim_bytes {
    uint64_t size;
    struct fr_sim_map *map; /* NULL: no page at all */
};

/* Bytes that never change: the data of a write, or a name with its terminating zero. */
struct fr_sim_blob {
    _Atomic(uint32_t) refs; /* as a page's */
    size_t size;
    uint8_t bytes[];
};

struct fr_sim_blob *fr_sim_blob_new(const void *data, size_t size);
struct fr_sim_blob *fr_sim_blob_of_text(const char *text);
struct fr_sim_blob *fr_sim_blob_ref(struct fr_sim_blob *blob);
void fr_sim_blob_unref(struct fr_sim_blob *blob);

/* Another owner of the same pages. */
struct fr_sim_bytes fr_sim_bytes_share(const struct fr_sim_bytes *bytes);
void fr_sim_bytes_deinit(struct fr_sim_bytes *bytes);

/* Whatever the size says; beyond the last page there are zeros. */
void fr_sim_bytes_read(const struct fr_sim_bytes *bytes, uint64_t offset, void *to, size_t size);

/* Own every page of the range, so that a write there cannot fail. 0 or -ENOMEM. */
int fr_sim_bytes_reserve(struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size);

/* Reserve and copy; the size stays. 0 or -ENOMEM, with nothing changed. */
int fr_sim_bytes_write(struct fr_sim_bytes *bytes, uint64_t offset, const void *data, size_t size);

/* Zeros in the range, whole pages given up. 0 or -ENOMEM, with nothing changed. */
int fr_sim_bytes_zero(struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size);

/* Set the size, and zero what lies beyond. 0 or -ENOMEM, with nothing changed. */
int fr_sim_bytes_cut(struct fr_sim_bytes *bytes, uint64_t size);

/* Make the pages that hold the range those of another file. 0 or -ENOMEM, with nothing changed. */
int fr_sim_bytes_adopt(struct fr_sim_bytes *bytes, const struct fr_sim_bytes *from, uint64_t offset,
        uint64_t size);

uint64_t fr_sim_bytes_held(const struct fr_sim_bytes *bytes);

/* Pages that a write to the range would add. */
uint64_t fr_sim_bytes_missing(const struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size);

/* Of size and content. There must be nothing beyond the size. */
uint64_t fr_sim_bytes_hash(const struct fr_sim_bytes *bytes);

uint64_t fr_sim_hash(uint64_t hash, const void *data, size_t size);

/* --- sim_disk: inodes and pending effects ---------------------------------------------------- */

enum fr_sim_effect_kind { FR_SIM_EFFECT_WRITE, FR_SIM_EFFECT_TRUNCATE, FR_SIM_EFFECT_PUNCH };

/*
 * A change of an inode that a power loss may undo. Effects stay in the order of issue. One that is
 * durable has to wait in the list behind one that is not: the order decides who covers whom.
 */
struct fr_sim_effect {
    struct fr_sim_effect *next;
    uint64_t seq; /* of the disk, over all inodes and directories */
    enum fr_sim_effect_kind kind;
    uint64_t offset;
    uint64_t size;            /* of the range, or the new length for a truncation */
    bool grows;               /* a write that made the file longer */
    bool durable;             /* always kept */
    bool stuck;               /* lost by a failed sync: no later one makes it durable */
    size_t piece;             /* sim_crash's number for it */
    struct fr_sim_blob *blob; /* a write's data */
};

struct fr_sim_inode;

/* Names in byte order, each with a reference on its inode. */
struct fr_sim_names {
    struct fr_sim_entry *entries;
    size_t count;
    size_t capacity;
};

struct fr_sim_entry {
    struct fr_sim_blob *name;
    struct fr_sim_inode *inode;
};

enum fr_sim_name_kind { FR_SIM_NAME_SET, FR_SIM_NAME_DROP, FR_SIM_NAME_MOVE };

/* A change of a directory that a power loss may undo. The same rules as for effects. */
struct fr_sim_name_op {
    struct fr_sim_name_op *next;
    uint64_t seq;
    enum fr_sim_name_kind kind;
    bool durable;
    bool stuck;
    size_t piece;
    struct fr_sim_blob *name;
    struct fr_sim_blob *to; /* of a move */
    struct fr_sim_inode *inode;
};

struct fr_sim_handle;

struct fr_sim_inode {
    struct fr_sim_inode *next; /* all of the disk */
    struct fr_sim_inode *prev;
    uint64_t id;
    bool is_dir;
    unsigned refs;       /* entries, operations, handles, transfers under way */
    unsigned link_count; /* names that can be seen */
    unsigned open_count; /* handles and transfers */
    uint64_t modified_us;

    struct fr_sim_bytes live; /* what a reader sees */
    struct fr_sim_bytes durable;
    struct fr_sim_effect *effects;
    struct fr_sim_effect **effects_end;

    struct fr_sim_names live_names;
    struct fr_sim_names durable_names;
    struct fr_sim_name_op *ops;
    struct fr_sim_name_op **ops_end;

    struct fr_sim_handle *lock;
    unsigned ghost_locks; /* of a dead process whose transfers are under way */
    int late_error;       /* what the next sync will answer, as errno */

    struct fr_sim_inode *copy; /* while the disk is copied */
    uint64_t mark;             /* while it is walked */
};

struct fr_sim_disk {
    struct fr_sim_inode *inodes; /* newest first */
    struct fr_sim_inode *root;
    uint64_t next_inode;
    uint64_t next_seq;
    uint64_t capacity_pages; /* 0 for unlimited */
};

/* An empty root. 0 or -ENOMEM. */
int fr_sim_disk_init(struct fr_sim_disk *disk, uint64_t capacity_pages);
void fr_sim_disk_deinit(struct fr_sim_disk *disk);

/* A copy without handles, with pages and blobs shared; each inode's `copy` leads to its own. */
int fr_sim_disk_copy(const struct fr_sim_disk *disk, struct fr_sim_disk *ret_disk);

/* Free what neither a name nor a pending operation leads to. */
void fr_sim_disk_sweep(struct fr_sim_disk *disk);

/* Forget what is pending: what is durable is all there is. 0 or -ENOMEM; deinit it then. */
int fr_sim_disk_settle(struct fr_sim_disk *disk);

uint64_t fr_sim_disk_used_pages(const struct fr_sim_disk *disk);

struct fr_sim_inode *fr_sim_inode_new(struct fr_sim_disk *disk, bool is_dir);
struct fr_sim_inode *fr_sim_inode_ref(struct fr_sim_inode *inode);
void fr_sim_inode_unref(struct fr_sim_disk *disk, struct fr_sim_inode *inode);

/* A handle or a transfer has come or gone. */
void fr_sim_inode_open(struct fr_sim_inode *inode);
void fr_sim_inode_close(struct fr_sim_disk *disk, struct fr_sim_inode *inode);

/* Bytes written, as far as the disk has room, or -ENOSPC, -EFBIG, -ENOMEM. Pending afterwards. */
int64_t fr_sim_inode_write(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        const void *data, size_t size);
int fr_sim_inode_truncate(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t size);
int fr_sim_inode_punch(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        uint64_t size);

/* A pending write on a disk that only a crash looks at: what is visible stays. */
int fr_sim_inode_add_write(struct fr_sim_disk *disk, struct fr_sim_inode *inode, uint64_t offset,
        struct fr_sim_blob *blob, size_t size);

/* A file's youngest effect is durable, or all that were there before. Cannot fail. */
void fr_sim_inode_sync_last(struct fr_sim_inode *inode);
void fr_sim_inode_sync(struct fr_sim_inode *inode, uint64_t before_seq);

/* No later sync will make durable what is pending now. Files and directories. */
void fr_sim_inode_lose(struct fr_sim_inode *inode);

/* The n-th sector that a write touches, as a part of the write's own range. */
struct fr_sim_span {
    uint64_t offset; /* in the file */
    size_t at;       /* in the data */
    size_t size;
};

/* All of it. 0 or -ENOMEM, with nothing changed. */
int fr_sim_effect_apply(const struct fr_sim_effect *effect, struct fr_sim_bytes *bytes);

size_t fr_sim_effect_sectors(const struct fr_sim_effect *effect);
struct fr_sim_span fr_sim_effect_sector(const struct fr_sim_effect *effect, size_t index);

/* --- sim_dir: names -------------------------------------------------------------------------- */

struct fr_sim_inode *fr_sim_names_find(const struct fr_sim_names *names, const char *name);
int fr_sim_names_reserve(struct fr_sim_names *names, size_t count);
void fr_sim_names_deinit(struct fr_sim_names *names); /* leaves the inodes' counts alone */

/* A copy whose inodes are the copies of the old ones. */
int fr_sim_names_copy(const struct fr_sim_names *names, struct fr_sim_names *ret_names);

/* Apply one operation. There must be room for one more. Counts references. */
void fr_sim_names_apply(struct fr_sim_disk *disk, struct fr_sim_names *names,
        const struct fr_sim_name_op *op);

/* Each answers 0 or a negative errno, and is pending afterwards. */
int fr_sim_dir_set(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *name,
        struct fr_sim_inode *inode);
int fr_sim_dir_drop(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *name,
        bool want_dir);
int fr_sim_dir_move(struct fr_sim_disk *disk, struct fr_sim_inode *dir, const char *from,
        const char *to);

/* Make durable what is pending, and settle it as far as memory allows. */
void fr_sim_dir_sync(struct fr_sim_disk *disk, struct fr_sim_inode *dir);

void fr_sim_name_op_free(struct fr_sim_name_op *op);

/* Whether a later operation of the same directory cannot be kept without an earlier one. */
bool fr_sim_name_op_needs(const struct fr_sim_name_op *later, const struct fr_sim_name_op *earlier);

/* Follow a path from a directory. NULL if there is nothing, with the errno in *ret_error. */
struct fr_sim_inode *fr_sim_dir_walk(struct fr_sim_inode *dir, const char *path, int *ret_error);

/* --- The machine ----------------------------------------------------------------------------- */

struct fr_sim_handle {
    struct fr_sim_handle *next; /* all of the machine */
    struct fr_sim_handle *prev;
    struct fr_sim_inode *inode;
    struct fr_sim_blob *name;
    uint64_t serial; /* from 1, for the trace */
    uint32_t alignment;
    bool writable;
    bool direct;
    int sync_error; /* what its next sync will answer, as errno */
};

struct fr_sim_armed {
    struct fr_sim_armed *next;
    struct fr_sim_fault fault;
    struct fr_sim_blob *name; /* the pattern, or NULL */
    uint64_t seen;
};

/* A transfer of a process that is dead, which will land when the countdown is over. */
struct fr_sim_ghost {
    struct fr_sim_ghost *next;
    struct fr_sim_inode *inode;
    struct fr_sim_inode *lock; /* held until then, or NULL */
    struct fr_sim_blob *blob;
    uint64_t offset;
    uint64_t countdown; /* in operations */
};

struct fr_sim_queue;

struct fr_sim {
    /* Constant after open. */
    struct fr_sim_options options;
    struct fr_env *env;

    /* Set while nobody else uses the machine. */
    fr_sim_hook_fn hook;
    void *hook_ctx;

    struct fr_mutex mu; /* rank FR_RANK_SIM */

    /* Guarded by mu. */
    struct fr_sim_disk disk;
    struct fr_sim_handle *handles;
    struct fr_sim_queue *queues;
    struct fr_sim_armed *faults; /* oldest first */
    struct fr_sim_ghost *ghosts;
    struct fr_rng chaos;
    struct fr_rng latency;
    uint64_t now_us;      /* as of schedule_us */
    uint64_t schedule_us; /* how far the schedules' clock has been followed */
    int64_t wall_offset_us;
    uint64_t next_serial;
    uint64_t op_counts[FR_SIM_OP_COUNT];
    uint64_t op_number;
    uint64_t fault_hits;
    uint64_t trace;
    bool interrupted; /* the latest transfer was; the next one is not */
};

/* The operations for fr_env_new() and for tests that drive the machine without a front. */
extern const struct fr_backend_ops fr_sim_backend_ops;

/* A machine over this disk, which it takes, also on failure. */
FR_NODISCARD fr_status fr_sim_new(const struct fr_sim_options *options, struct fr_sim_disk *disk,
        struct fr_sim **ret_sim);

struct fr_sim_handle *fr_sim_handle_of(fr_handle handle);

/* --- sim_schedule: for threads that take part in a schedule; the others get false, or nothing - */

/* A clock that only schedules move. */
uint64_t fr_sim_schedule_now_us(void);
bool fr_sim_schedule_pass_us(uint64_t duration_us);
bool fr_sim_schedule_sleep_us(uint64_t duration_us);

/* A call is about to be made. */
void fr_sim_schedule_call(const char *op, const char *name);

/* Who calls, for the trace; 0 if nobody that is known. */
uint64_t fr_sim_schedule_caller(void);

/* --- sim_env: the machine's clock ------------------------------------------------------------ */

/* Locked. Under a schedule the clock is moved by all machines, and by whoever waits. */
uint64_t fr_sim_now_locked(struct fr_sim *sim);
void fr_sim_pass_locked(struct fr_sim *sim, uint64_t duration_us);

/* --- sim_call: the way of each operation ----------------------------------------------------- */

/* Begun with the hook called, locked; ended with the result traced, unlocked and the hook called.
 */
struct fr_sim_call {
    struct fr_sim *sim;
    enum fr_sim_op op;
    bool queued;
    uint64_t number;
    const char *name;
    uint64_t sync_before;             /* a queue's sync covers what was there when it started */
    const struct fr_sim_fault *fault; /* the one that fires, or NULL; valid while locked */
};

/* 0: go on. Negative: the errno to end the call with. */
int fr_sim_call_begin(struct fr_sim_call *call);
int64_t fr_sim_call_end(struct fr_sim_call *call, int64_t result);

/* Add an argument to the trace. */
void fr_sim_trace(struct fr_sim *sim, uint64_t value);
void fr_sim_trace_bytes(struct fr_sim *sim, const void *data, size_t size);

/* How much of a transfer is done, by fault and chaos; or -EINTR. */
int64_t fr_sim_call_share(struct fr_sim_call *call, size_t size, uint32_t alignment);

/* What a sync does by itself or by its fault, on the inode of a file or directory. */
int fr_sim_call_sync(struct fr_sim_call *call, struct fr_sim_handle *handle);

/* Transfers, also for queues; locked. The fault in call decides with them. */
int64_t fr_sim_transfer_read(struct fr_sim_call *call, struct fr_sim_handle *handle,
        uint64_t offset, void *data, size_t size);
int64_t fr_sim_transfer_write(struct fr_sim_call *call, struct fr_sim_handle *handle,
        uint64_t offset, const void *data, size_t size);

/* --- sim_queue ------------------------------------------------------------------------------- */

fr_status fr_sim_queue_open(void *ctx, const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue);

/* Add the writes under way to a copy of the disk, as pending effects. 0 or -ENOMEM; locked. */
int fr_sim_queues_add_pending(struct fr_sim *sim, struct fr_sim_disk *copy);

/* Let the writes under way meet their fate on the next machine. 0 or -ENOMEM; locked. */
int fr_sim_queues_haunt(struct fr_sim *sim, struct fr_sim *heir);

/* Land what is due; all frees the rest. Locked. */
void fr_sim_ghosts_step(struct fr_sim *sim);
void fr_sim_ghosts_free(struct fr_sim *sim);

/* --- sim_image ------------------------------------------------------------------------------- */

struct fr_sim_image {
    struct fr_sim_disk disk; /* what is live is durable, and nothing is pending */
    struct fr_sim_options options;
    uint64_t now_us;
    int64_t wall_offset_us;
    uint64_t hash;
    char origin[64];
};

/* An image without a disk, which knows its machine; locked. NULL: no memory. */
struct fr_sim_image *fr_sim_image_new(struct fr_sim *sim);

/* Settle the disk and hash it. 0 or -ENOMEM. */
int fr_sim_image_seal(struct fr_sim_image *image);

#endif
