/*
 * wal_segment.h - one file of a log, while it is written.
 *
 *              create                 begin                   seal
 *     (nothing) ----> blank file ------------> takes groups -------> sealed
 *                         ^                                            |
 *                         +--------------------------------------------+
 *                                    rename to the next number
 *
 * A blank file has its full size, durable with its name. A new one is all zeros; one that had a
 * former life keeps the bytes of it, which nobody takes for those of the segment it is now: see
 * wal/wal_format.h. So nothing is written and nothing is synced between two lives, and where no
 * sync is asked for the same pages of memory serve again and again.
 *
 * Groups are made in place, in a map of the file (io/map.h), and published up to here or there. All
 * calls on one segment are made by one thread at a time, but sync.
 */
#ifndef FR_WAL_WAL_SEGMENT_H
#define FR_WAL_WAL_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "wal/file_name.h"
#include "wal/wal_format.h"

struct fr_dir;
struct fr_file;
struct fr_map;

struct fr_wal_segment {
    struct fr_wal_segment *next; /* the owner's */

    struct fr_dir *dir;
    struct fr_file *file;
    struct fr_map *map;
    uint64_t size;
    char name[FR_FILE_NAME_SIZE];

    /* Set by begin. */
    struct fr_wal_header header;
    uint32_t check_seed;

    /* Offsets in the file. */
    uint64_t at;        /* where the last group ends */
    uint64_t published; /* up to here the system has it */
    uint32_t crc;       /* of the last group, or of the header page */
    uint64_t group_count;

    uint64_t synced; /* the owner's: up to here it was, when a sync last began */
};

/* Which kind of file a kind of log is made of. */
enum fr_file_kind fr_wal_file_kind(enum fr_wal_kind kind);

/*
 * A new blank file, written in advance; durable, and its name, too. On failure the file is removed
 * as far as that goes. map_flags as of fr_map_open().
 */
FR_NODISCARD fr_status fr_wal_segment_create(struct fr_dir *dir, enum fr_wal_kind kind,
        uint64_t number, uint64_t size, unsigned map_flags, struct fr_wal_segment **ret_segment);

/* Make a segment that nobody asks for any more the blank file of a new number; durable on return.
 */
FR_NODISCARD fr_status fr_wal_segment_rename(struct fr_wal_segment *segment, enum fr_wal_kind kind,
        uint64_t number);

/* Leaves the file. NULL is fine. */
void fr_wal_segment_close(struct fr_wal_segment *segment);

/* Put the header page in place. The header's size is set in here. */
void fr_wal_segment_begin(struct fr_wal_segment *segment, const struct fr_wal_header *header);

/* The LSN where the last group ends. */
fr_lsn fr_wal_segment_end(const struct fr_wal_segment *segment);

/* That place, as a successor's header has to tell it. */
struct fr_wal_link fr_wal_segment_link(const struct fr_wal_segment *segment);

/* The largest payload that finds room in an empty segment of that size, and so in a new one. */
uint32_t fr_wal_segment_payload_max(uint64_t segment_size);

/* Whether a group finds room; a seal does so always. */
bool fr_wal_segment_fits(const struct fr_wal_segment *segment, uint32_t payload_size);

/*
 * How many more segments, of that size, a batch of so many bytes goes on in, as a chain of groups
 * of the largest size.
 */
unsigned fr_wal_segment_successors(const struct fr_wal_segment *segment, uint64_t batch_size,
        uint64_t segment_size);

/* A place in a list of slices, from which payloads are taken one after the other. */
struct fr_wal_parts {
    const fr_slice *part;
    size_t at; /* in *part */
};

/*
 * Add a group, whose payload of group->size bytes is taken from the parts; with NULL it is zeros.
 * The group's tag, size, type, flags and durable are given, the rest is set. It must fit.
 */
void fr_wal_segment_add(struct fr_wal_segment *segment, struct fr_wal_group *group,
        struct fr_wal_parts *parts);

/* Add a PAD or SEAL that ends on a block's end, unless (PAD) the last group does. */
void fr_wal_segment_fill(struct fr_wal_segment *segment, enum fr_wal_type type, uint8_t flags,
        fr_lsn durable);

/* Hand all groups to the system: they survive the process. */
FR_NODISCARD fr_status fr_wal_segment_publish(struct fr_wal_segment *segment);

/*
 * Make durable what was published before, of which [from, to) has changed since the last time. Any
 * thread, along with the other calls.
 */
FR_NODISCARD fr_status fr_wal_segment_sync(struct fr_wal_segment *segment, uint64_t from,
        uint64_t to);

#endif
