/*
 * file_writer.h - a new file written from front to back, in large pieces, hashed on the way.
 *
 * What has been written is pushed towards the device piece by piece, so that the sync at the end
 * does not find the whole file waiting. Failure sticks: append what you like and ask once, at the
 * latest in finish. One thread.
 */
#ifndef FR_LSM_FILE_WRITER_H
#define FR_LSM_FILE_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/slice.h"
#include "base/status.h"

struct fr_dir;
struct fr_file;
struct fr_rate_limiter;

struct fr_file_writer {
    struct fr_dir *dir;
    struct fr_file *file;
    uint8_t *buffer;
    size_t buffer_size;
    size_t held;      /* bytes in the buffer */
    uint64_t written; /* bytes in the file */
    fr_status status;
    struct fr_hash128_state hash;
    struct fr_rate_limiter *limiter; /* set by the owner after open; NULL: none */
    bool urgent;                     /* goes first there */
    char name[32];
};

#define FR_FILE_WRITER_BUFFER_DEFAULT ((size_t)512 << 10)
#define FR_FILE_WRITER_BUFFER_MIN     ((size_t)4 << 10)

/* FR_ERR_EXISTS: the name is taken. buffer_size 0 for the default. */
FR_NODISCARD fr_status fr_file_writer_open(struct fr_dir *dir, const char *name, size_t buffer_size,
        struct fr_file_writer *ret_writer);

/* Where the next byte goes. */
static inline uint64_t fr_file_writer_offset(const struct fr_file_writer *writer)
{
    return writer->written + writer->held;
}

/* Copied, or written through if it is large. The answer is that of the first failure. */
fr_status fr_file_writer_append(struct fr_file_writer *writer, fr_slice bytes);

/* The hash of all that was appended so far. */
struct fr_hash128 fr_file_writer_hash(const struct fr_file_writer *writer);

/* Write the rest and sync the file (not its directory). It stays open until close. */
FR_NODISCARD fr_status fr_file_writer_finish(struct fr_file_writer *writer);

/* Close; unlink removes the name as well. A zeroed writer is fine. */
void fr_file_writer_close(struct fr_file_writer *writer, bool unlink);

#endif
