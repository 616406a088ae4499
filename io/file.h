/*
 * file.h - a file's bytes, by blocking calls with explicit offsets.
 *
 * Each call may come from any thread, several at a time, but close. Nothing here takes a lock for
 * longer than the system call below it. For many transfers at once see io/io_queue.h.
 */
#ifndef FR_IO_FILE_H
#define FR_IO_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct fr_dir;
struct fr_file;

/* Without FR_OPEN_WRITE a file is open for reading only. */
enum fr_open_flags {
    FR_OPEN_WRITE = 1 << 0,  /* for reading and writing */
    FR_OPEN_CREATE = 1 << 1, /* with FR_OPEN_WRITE: the name must be free, FR_ERR_EXISTS if not */

    /*
     * Past the page cache. Reads may have any place, size and buffer: what the device cannot take
     * goes through an aligned buffer in here. Writes must be aligned by themselves
     * (fr_file_alignment()), because rounding one out would rewrite its neighbours. Where the file
     * system refuses direct I/O the file is opened without; fr_file_is_direct() tells.
     */
    FR_OPEN_DIRECT = 1 << 2,
};

/*
 * Open name in dir; the directory may be closed before the file. A symbolic link is never followed
 * (FR_ERR_PERM). FR_ERR_MISSING: no such file.
 */
FR_NODISCARD fr_status fr_file_open(struct fr_dir *dir, const char *name, unsigned flags,
        struct fr_file **ret_file);

/* No request on the file may be in flight. Does not sync. NULL is fine. */
void fr_file_close(struct fr_file *file);

/* For messages; valid as long as the file. */
const char *fr_file_path(const struct fr_file *file);

bool fr_file_is_direct(const struct fr_file *file);

/* What offset, size and buffer of a direct write must be multiples of; 1 if the file is not direct.
 */
uint32_t fr_file_alignment(const struct fr_file *file);

/* Up to size bytes from offset. *ret_size is less than size at the end of the file only. */
FR_NODISCARD fr_status fr_file_read(struct fr_file *file, uint64_t offset, void *data, size_t size,
        size_t *ret_size);

/*
 * All of it, if the system can give it at once, from memory of its own. false: it cannot, or nobody
 * knows; data is garbage then, and one of the ordinary reads has the answer. Never a failure.
 */
bool fr_file_read_cached(struct fr_file *file, uint64_t offset, void *data, size_t size);

/* All of it, or FR_ERR_CORRUPT which says where the file ends. */
FR_NODISCARD fr_status fr_file_read_exact(struct fr_file *file, uint64_t offset, void *data,
        size_t size);

enum fr_write_flags {
    FR_WRITE_DSYNC = 1 << 0, /* on stable storage when the call returns, and its length with it */
};

/*
 * All of it or an error, after which any part may have been written. FR_ERR_MISUSE: a direct file
 * and something is not aligned. FR_ERR_NOSPACE; FR_ERR_POISONED.
 */
FR_NODISCARD fr_status fr_file_write(struct fr_file *file, uint64_t offset, const void *data,
        size_t size, unsigned flags);

/*
 * Put on stable storage what was written and completed before this call, and what is needed to read
 * it again (the length). Fails at most once: from then on FR_ERR_POISONED.
 */
FR_NODISCARD fr_status fr_file_sync(struct fr_file *file);

/* Cut or extend (by zeros) to size. Durable after the next sync. */
FR_NODISCARD fr_status fr_file_truncate(struct fr_file *file, uint64_t size);

/*
 * Write zeros over [from, to) and sync, so that later writes in there change no metadata and cost
 * one device write and one flush. Merely reserved space does not have that property.
 */
FR_NODISCARD fr_status fr_file_prewrite(struct fr_file *file, uint64_t from, uint64_t to);

/*
 * Give the space of [offset, offset + size) back; it reads as zeros, the length stays.
 * FR_ERR_UNSUPPORTED where the file system cannot.
 */
FR_NODISCARD fr_status fr_file_punch_hole(struct fr_file *file, uint64_t offset, uint64_t size);

enum fr_file_advice {
    FR_ADVICE_RANDOM,    /* do not read ahead */
    FR_ADVICE_WILL_NEED, /* start to read it now */
    FR_ADVICE_DONT_NEED, /* drop it from the page cache, as far as it is clean */
    FR_ADVICE_WRITE_NOW, /* start to write what is dirty; it stays in the page cache */
};

/* A hint about [offset, offset + size), size 0 for the rest; whether it was taken does not matter.
 */
void fr_file_advise(struct fr_file *file, uint64_t offset, uint64_t size,
        enum fr_file_advice advice);

/* What the file system says of a file. device and inode together are its identity. */
struct fr_file_info {
    uint64_t size;
    uint64_t allocated_bytes; /* on the device; less than size where there are holes */
    uint64_t device;
    uint64_t inode;
    uint64_t link_count; /* 0: it has no name any more */
    uint64_t modified_us;
    bool is_dir;
};

FR_NODISCARD fr_status fr_file_info_get(struct fr_file *file, struct fr_file_info *ret_info);

#endif
