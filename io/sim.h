/*
 * sim.h - a simulated machine: its disk, its clock, and its misfortunes, all from one seed.
 *
 * A machine has a file system in memory behind an ordinary fr_env. The layers above run on it
 * unchanged, and a test can then do what no real machine does on request: fail the third write of
 * one file, complete transfers in another order, or lose power between any two calls and look at
 * every disk that this could leave behind.
 *
 * What the disk promises is the weakest reading of POSIX, because what holds there holds on any
 * file system:
 *
 * - An inode is its durable bytes and a list of pending effects, in the order they were issued. A
 *   write is as many effects as it touches sectors of 512 bytes, and one more if the file grows:
 *   its new length. A truncation and a punched hole are one effect each.
 * - A directory is its durable names and a list of pending operations: create, mkdir, link, rename,
 *   unlink, rmdir. Each happens wholly or not at all.
 * - Syncing a file makes durable what had completed on its inode, by whatever handle, and nothing
 *   else: not its name, not another file. Syncing a directory makes durable the names in it, not
 *   its own name, and no bytes. A synchronous write makes durable its own bytes and the length
 *   that is needed to read them.
 *
 * A power loss keeps any subset of what is pending. Kept effects land in the order of issue, so a
 * later write may be there and an earlier one not, a length may be there and its bytes not (zeros
 * then), a new name may lead to a file that is still empty. Operations on one name are kept from
 * the first on, because a rename cannot happen to a file that was never there. Of a write that is
 * torn, the last sector may hold zeros or garbage, but only in those bytes that the write covered.
 * An inode without a durable name is gone, and a directory takes along what is in it. A transfer of
 * a queue that has been started and not been reaped may be on the disk, wholly or in part.
 *
 * A power loss never touches what was synced, unless an unsynced write covers the same bytes or an
 * injected fault made the sync fail or lie. Nothing appears that nobody has written, but zeros
 * where a file grew, and the garbage above.
 *
 * Everything is decided by the seed and by the calls made, not by addresses, time or threads: a
 * history repeats bit for bit, as long as one thread at a time uses the machine, or the threads
 * that use it take part in a schedule (io/sim_schedule.h).
 *
 *     fr_sim_open(&options, &sim)          a new machine with an empty disk
 *     fr_sim_env(sim)                      what the code under test gets
 *     fr_sim_fault_add(sim, &fault)        let something go wrong
 *     fr_sim_set_hook(sim, fn, ctx)        be called around each change
 *     fr_sim_crash_open(sim, ...)          pull the plug; the machine itself goes on
 *     fr_sim_crash_next(crash, &image)     one disk that may be left
 *     fr_sim_image_boot(image, seed, &sim) a machine with that disk
 */
#ifndef FR_IO_SIM_H
#define FR_IO_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct fr_buf;
struct fr_env;
struct fr_sim;
struct fr_sim_crash;
struct fr_sim_image;

/* What a device writes in one piece. */
#define FR_SIM_SECTOR_SIZE 512

/* The disk is counted in pages of this size. */
#define FR_SIM_PAGE_SIZE 4096

/* Beyond this offset a write answers EFBIG: the simulator keeps an array with a slot per page. */
#define FR_SIM_FILE_MAX ((uint64_t)1 << 34)

/* All zeros is a calm machine: no limit, no chaos, no direct I/O. Odds are "one in n", 0 for never.
 */
struct fr_sim_options {
    uint64_t seed;
    uint64_t capacity_bytes; /* whole pages count; 0 for unlimited */

    /* What direct I/O must be aligned to; 0 if the file system refuses it. A power of two. */
    uint32_t direct_alignment;

    /* The bytes that are read and written are not part of the trace, which costs a quarter less. */
    bool trace_calls_only;

    /* Blocking calls take a seeded time instead of one microsecond. */
    bool latency;

    /* Chaos: what a correct caller must not even notice. */
    uint32_t short_one_in;     /* a transfer moves only a part, but a byte at least */
    uint32_t interrupt_one_in; /* a transfer answers EINTR, never twice in a row */
    uint32_t busy_one_in;      /* a queue that has something in flight takes no more for now */
    bool reorder;              /* queues complete in any order, some now and some later */
};

/* A machine with an empty root directory. FR_ERR_NOMEM; FR_ERR_MISUSE for odd options. */
FR_NODISCARD fr_status fr_sim_open(const struct fr_sim_options *options, struct fr_sim **ret_sim);

/*
 * Ends the machine and its environment, whose queues must be closed. Crashes and images that came
 * from it stay valid. NULL is fine.
 */
void fr_sim_close(struct fr_sim *sim);

/*
 * The machine's world, which it owns. Paths start at its root, with or without a leading '/'; they
 * may hold "." but not "..".
 */
struct fr_env *fr_sim_env(struct fr_sim *sim);

/* Move the time of day, forward or back, without touching the steady clock. Any thread. */
void fr_sim_wall_jump(struct fr_sim *sim, int64_t by_us);

/* --- Operations, counted and hooked ---------------------------------------------------------- */

/* The kinds of operation. Each attempt of the environment's front is one, retries included. */
enum fr_sim_op {
    FR_SIM_DIR_OPEN = 0,
    FR_SIM_MAKE,
    FR_SIM_REMOVE,
    FR_SIM_SYNC_DIR,
    FR_SIM_RENAME,
    FR_SIM_LINK,
    FR_SIM_UNLINK,
    FR_SIM_STAT,
    FR_SIM_LIST,
    FR_SIM_SPACE,
    FR_SIM_LOCK,
    FR_SIM_OPEN,
    FR_SIM_CREATE,
    FR_SIM_READ,
    FR_SIM_WRITE,
    FR_SIM_WRITE_DSYNC,
    FR_SIM_SYNC,
    FR_SIM_TRUNCATE,
    FR_SIM_PUNCH_HOLE,
    FR_SIM_INFO,
    FR_SIM_QUEUE_OPEN,
    FR_SIM_QUEUE_STAGE, /* a fault here means busy: the queue takes no more until one is reaped */
    FR_SIM_QUEUE_START, /* a fault here means that only the first of what is staged is started */
    FR_SIM_OP_COUNT
};

#define FR_SIM_MASK(op) (UINT32_C(1) << (op))
#define FR_SIM_MASK_ALL (FR_SIM_MASK(FR_SIM_OP_COUNT) - 1)

/* What changes the disk, or what a power loss may leave of it: the hook is called around these. */
#define FR_SIM_MASK_CHANGES                                                                        \
    (FR_SIM_MASK(FR_SIM_MAKE) | FR_SIM_MASK(FR_SIM_REMOVE) | FR_SIM_MASK(FR_SIM_SYNC_DIR) |        \
            FR_SIM_MASK(FR_SIM_RENAME) | FR_SIM_MASK(FR_SIM_LINK) | FR_SIM_MASK(FR_SIM_UNLINK) |   \
            FR_SIM_MASK(FR_SIM_CREATE) | FR_SIM_MASK(FR_SIM_WRITE) |                               \
            FR_SIM_MASK(FR_SIM_WRITE_DSYNC) | FR_SIM_MASK(FR_SIM_SYNC) |                           \
            FR_SIM_MASK(FR_SIM_TRUNCATE) | FR_SIM_MASK(FR_SIM_PUNCH_HOLE) |                        \
            FR_SIM_MASK(FR_SIM_QUEUE_START))

/* The kind's name, as "write_dsync"; static. */
const char *fr_sim_op_name(enum fr_sim_op op);

/* Operations so far, of one kind or (FR_SIM_OP_COUNT) of all: the sites of a sweep. Any thread. */
uint64_t fr_sim_op_count(struct fr_sim *sim, enum fr_sim_op op);

/* One moment of the machine. The name is that of the file or entry, or "", valid in the call. */
struct fr_sim_point {
    enum fr_sim_op op;
    bool after;      /* false: nothing has happened yet */
    bool queued;     /* a transfer of a queue, which takes effect while it is reaped */
    uint64_t number; /* of the operation, from 1; the same before and after */
    int64_t result;  /* after: what the caller will see */
    const char *name;
};

/*
 * Called before and after each operation that changes something, and around each read that a queue
 * completes, on the thread that asked for it. The machine is not locked: the hook may take crashes
 * and images. It should boot and recover them later, or on another thread, because the code under
 * test may hold its own locks here.
 */
typedef void (*fr_sim_hook_fn)(void *ctx, const struct fr_sim_point *point);

/* NULL for none. Not while another thread uses the machine. */
void fr_sim_set_hook(struct fr_sim *sim, fr_sim_hook_fn fn, void *ctx);

/*
 * A running hash over every call with its arguments and its result: equal hashes prove that a
 * history was repeated, but for the bytes if trace_calls_only says so. Any thread.
 */
uint64_t fr_sim_trace_hash(struct fr_sim *sim);

/* --- Faults ---------------------------------------------------------------------------------- */

enum fr_sim_fault_kind {
    FR_SIM_FAULT_ERROR = 0,   /* nothing happens, os_error is answered */
    FR_SIM_FAULT_ERROR_AFTER, /* it happens, and os_error is answered all the same; where a handle
                                 would be lost by that, as FR_SIM_FAULT_ERROR */
    FR_SIM_FAULT_SHORT,       /* a transfer moves short_by bytes less, none if it is shorter; whole
                                 blocks with direct I/O, as devices do */

    /*
     * The rest is for syncs of files and directories, and for synchronous writes. Where pages are
     * lost they stay readable and count as clean: no later sync makes them durable, but a power
     * loss may find any of them on the disk.
     */
    FR_SIM_FAULT_SYNC_NOW,     /* pages lost, os_error is answered */
    FR_SIM_FAULT_SYNC_LATE,    /* pages lost, this sync is fine; the file's next answers os_error */
    FR_SIM_FAULT_SYNC_HANDLES, /* pages lost, each handle open now gets os_error once */
    FR_SIM_FAULT_SYNC_LIE,     /* all seems fine, nothing is durable; a later sync can make it so */
};

struct fr_sim_fault {
    uint32_t ops;     /* FR_SIM_MASK of one or more kinds */
    uint64_t nth;     /* counted from 1 among operations that match from now on; 0 is 1 */
    bool forever;     /* also each one after that */
    const char *name; /* a shell pattern for the file's or entry's name; NULL for any; copied */
    enum fr_sim_fault_kind kind;
    int os_error; /* positive; 0 is EIO */
    uint64_t short_by;
};

/* Several may be active; of those that fire at once the oldest wins. Any thread. */
FR_NODISCARD fr_status fr_sim_fault_add(struct fr_sim *sim, const struct fr_sim_fault *fault);

void fr_sim_fault_clear(struct fr_sim *sim);

/* How often any fault has fired since the machine was opened. */
uint64_t fr_sim_fault_hits(struct fr_sim *sim);

/* --- Death ----------------------------------------------------------------------------------- */

/*
 * The process dies, the machine does not: a new one which has all that was written, synced or not,
 * without handles and locks. What is not durable stays so. Started transfers of queues land, or do
 * not, or land in part, or do so later while the new machine is in use; a lock that was given to
 * such a queue is held until its last transfer has landed. The old machine stays as it is, for the
 * tear-down of the code that ran on it. Faults and hook are not inherited, the clocks go on.
 */
FR_NODISCARD fr_status fr_sim_kill(struct fr_sim *sim, struct fr_sim **ret_sim);

/* All zeros are the defaults. */
struct fr_sim_crash_options {
    /* Every subset is tried up to this many sectors, lengths and names pending. */
    unsigned exhaustive_max; /* 0 for FR_SIM_EXHAUSTIVE_DEFAULT */

    /* Beyond that, so many subsets by chance besides the systematic ones. */
    unsigned samples_max; /* 0 for FR_SIM_SAMPLES_DEFAULT */

    /*
     * So many images in all, 0 for no limit. If there would be more: none kept, all kept, and a
     * seeded choice from the others.
     */
    unsigned images_max;

    bool no_garbage; /* torn sectors are old or new, never anything else */
    bool no_queue;   /* transfers under way have not reached the disk */
};

#define FR_SIM_EXHAUSTIVE_DEFAULT 10
#define FR_SIM_EXHAUSTIVE_MAX     20
#define FR_SIM_SAMPLES_DEFAULT    64

/*
 * Pull the plug now. The enumeration works on a copy: the machine goes on and does not notice, and
 * may be closed before. NULL options are all zeros. FR_ERR_NOMEM; FR_ERR_MISUSE.
 */
FR_NODISCARD fr_status fr_sim_crash_open(struct fr_sim *sim,
        const struct fr_sim_crash_options *options, struct fr_sim_crash **ret_crash);

void fr_sim_crash_close(struct fr_sim_crash *crash);

/*
 * The next disk that may be left, none twice, always the same ones in the same order. The caller
 * frees it. FR_END: that was all. FR_ERR_NOMEM: may be tried again.
 */
FR_NODISCARD fr_status fr_sim_crash_next(struct fr_sim_crash *crash,
        struct fr_sim_image **ret_image);

/* How much was pending: sectors, lengths and names. */
size_t fr_sim_crash_unit_count(const struct fr_sim_crash *crash);

/* --- Images ---------------------------------------------------------------------------------- */

/* The disk as a machine that was shut down properly would leave it: all that was written. */
FR_NODISCARD fr_status fr_sim_image_take(struct fr_sim *sim, struct fr_sim_image **ret_image);

void fr_sim_image_free(struct fr_sim_image *image);

/* Of all names, lengths and bytes; equal for equal disks. */
uint64_t fr_sim_image_hash(const struct fr_sim_image *image);

/* What was kept, in words: "subset 0x5", "prefix 3", as a help to read a failure. */
const char *fr_sim_image_origin(const struct fr_sim_image *image);

/*
 * A machine that was switched on with this disk; all on it is durable. The options are those of
 * the machine it came from, with another seed; the clocks have gone on. The image stays the
 * caller's, and any number may be booted from it, by one thread at a time.
 */
FR_NODISCARD fr_status fr_sim_image_boot(const struct fr_sim_image *image, uint64_t seed,
        struct fr_sim **ret_sim);

/* A file's whole content, appended to buf. FR_NOT_FOUND: no file has that path. */
FR_NODISCARD fr_status fr_sim_image_read(const struct fr_sim_image *image, const char *path,
        struct fr_buf *buf);

/* One line for each name: path, size and a hash of the bytes; a directory's path ends in '/'. */
FR_NODISCARD fr_status fr_sim_image_list(const struct fr_sim_image *image, struct fr_buf *buf);

#endif
