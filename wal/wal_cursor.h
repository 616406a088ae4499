/*
 * wal_cursor.h - the groups of one segment, one after the other.
 *
 * A cursor stands at an offset of a file and says what is there: a group, a gap before one, or
 * nothing that a writer has put there. What that means - an end, a crash, damage - is for others to
 * see: the reader (wal/wal_reader.h), which knows the rest of the log, and who dumps a file past
 * its damage. Bytes are taken for hostile: no group leads out of the file. One thread at a time.
 */
#ifndef FR_WAL_WAL_CURSOR_H
#define FR_WAL_WAL_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "wal/wal_format.h"

struct fr_file;

struct fr_wal_cursor {
    /* Of the segment. */
    struct fr_file *file; /* borrowed */
    uint64_t file_size;
    bool has_header; /* else nothing is known but store and number, which the check needs */
    struct fr_wal_header header;
    uint32_t check_seed;

    /* Where it stands. */
    uint64_t offset; /* in the file, of the next group */
    uint32_t crc;    /* of the group before it, or of the header page */
    uint64_t group_count;

    /* A part of the file. */
    uint8_t *window;
    size_t window_capacity;
    uint64_t window_offset;
    size_t window_size;
};

#define FR_WAL_CURSOR_EMPTY ((struct fr_wal_cursor){0})

/* Frees the window. */
void fr_wal_cursor_deinit(struct fr_wal_cursor *c);

/*
 * Turn to a file, which stays the caller's, without moving. The size of a header is not above that
 * of its file. NULL: there is no valid one; then only fr_wal_cursor_find() is of use.
 */
void fr_wal_cursor_use(struct fr_wal_cursor *c, struct fr_file *file, uint64_t file_size,
        const struct fr_wal_header *header, const uint8_t store[static FR_STORE_ID_SIZE],
        uint64_t number);

/* Go to the front of its segment, whose header it has. */
void fr_wal_cursor_rewind(struct fr_wal_cursor *c);

/* Bytes [offset, offset + size), which must be in the file. Valid until the next call. */
FR_NODISCARD fr_status fr_wal_cursor_fetch(struct fr_wal_cursor *c, uint64_t offset, size_t size,
        const uint8_t **ret_bytes);

static inline fr_lsn fr_wal_cursor_lsn_at(const struct fr_wal_cursor *c, uint64_t offset)
{
    return c->header.first + offset - FR_WAL_HEADER_SIZE;
}

/* Step over the zeros that may be before the next group. FR_NOT_FOUND: they are not zeros. */
FR_NODISCARD fr_status fr_wal_cursor_skip_gap(struct fr_wal_cursor *c);

/*
 * The header of the group at the cursor, which stays there. FR_NOT_FOUND: there is none that is
 * credible. The rest of the group is in the file, but not compared with anything.
 */
FR_NODISCARD fr_status fr_wal_cursor_peek(struct fr_wal_cursor *c, struct fr_wal_group *ret_group);

/*
 * The group at the cursor and its payload, and step over it; valid until the next call.
 * FR_NOT_FOUND: there is no valid one, and the cursor stays.
 */
FR_NODISCARD fr_status fr_wal_cursor_next(struct fr_wal_cursor *c, struct fr_wal_group *ret_group,
        fr_slice *ret_payload);

/*
 * The same, not compared with its crc: for who goes on behind damage, where there is nothing to
 * compare it with, or wants what is left of it.
 */
FR_NODISCARD fr_status fr_wal_cursor_take(struct fr_wal_cursor *c, struct fr_wal_group *ret_group,
        fr_slice *ret_payload);

/*
 * The first credible group header at *offset or behind, whatever is in between, and its place. It
 * is at a place of its own, as far as that is known: without a header of the segment, at an LSN
 * below reach. FR_END: there is none. The cursor stays.
 */
FR_NODISCARD fr_status fr_wal_cursor_find(struct fr_wal_cursor *c, fr_lsn reach, uint64_t *offset,
        struct fr_wal_group *ret_group);

#endif
