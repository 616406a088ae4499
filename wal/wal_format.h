/*
 * wal_format.h - the bytes of a log, and when to believe them.
 *
 * A log is a sequence of segments, files of one size that are written in advance and used again. A
 * place in the log is an LSN: the count of bytes before it, over all segments. A segment is a
 * header page of 4096 bytes, then groups. The group at LSN n stands at offset 4096 + n - first of
 * its segment. All integers are little-endian. The manifest is a log of the same form.
 *
 * The header page:
 *
 *   offset  size  field
 *        0     8  magic           "FRESHWAL"
 *        8     4  version         1
 *       12     4  kind            1 a log, 2 a manifest
 *       16     4  must            features that a reader has to know; unknown: FR_ERR_TOO_NEW
 *       20     4  may             features that it need not know
 *       24    16  store           the identity of the store
 *       40     8  number          of the segment, as in the name of its file
 *       48     8  epoch           by chance, new each time that the log is opened for writing
 *       56     8  first           the LSN of the first group, a multiple of 4096
 *       64     8  size            of the file, header page included, a multiple of 4096
 *       72     8  previous.number of the segment before this one; 0 if the log begins here
 *       80     8  previous.lsn    where the log ends in that segment
 *       88     4  previous.crc    of the last group before that place
 *       92     8  durable         the log was known to be durable up to here when this was begun
 *      100  3992  zeros
 *     4092     4  crc             CRC-32C of the 4092 bytes before
 *
 * A group:
 *
 *        0     4  crc       CRC-32C of the rest of the group, continued from the crc of the group
 *                           before it; from the header page's for the first group of a segment
 *        4     4  check     masked CRC-32C of the fields below, continued from that of the store's
 *                           identity and the segment's number
 *        8     8  lsn       where this group is
 *       16     8  durable   the log was known to be durable up to here when this was written
 *       24     8  epoch     as in the header page
 *       32     8  tag       the caller's; of a SEAL: groups in the segment before it
 *       40     4  size      of the payload, at most 1 MiB
 *       44     1  type      1 DATA, 2 PAD, 3 SEAL
 *       45     1  flags     DATA: 1 FIRST, 2 LAST; SEAL: 4 CLOSED
 *       46     2  zero
 *       48     n  payload, then zeros to a multiple of 8, which the crc covers
 *
 * A group follows the one before it at once. If there are less than 48 bytes to the next multiple
 * of 4096, these are zero, and the group stands behind them. A batch is one group that is FIRST and
 * LAST, or a chain of DATA groups from FIRST to LAST, which may go on in the next segment; it
 * counts only as a whole. A PAD says nothing; it takes up a place. Whoever wants the log durable
 * pads it to a multiple of 4096 first, so that no block holds both bytes that were acknowledged and
 * bytes that are still to be written: a torn write cannot reach back. A SEAL ends a segment, and is
 * padded in itself. CLOSED says that the log was shut properly; otherwise there will be a next
 * segment.
 *
 * What makes a group credible:
 *
 *   size, type   A torn header holds any number: bounded before a byte is read on its word. Zeros
 *                are no group, by type as by check.
 *   lsn          Segments are used again. Groups of their former life are intact, and only their
 *                place gives them away.
 *   epoch        Whoever recovers may stop before groups that are intact behind a gap. What is
 *                written over the gap later cannot lead to these.
 *   check        A header is believable by itself, without the chain before it. It is what a reader
 *                looks for behind a flaw.
 *   crc          All the rest. Chained, so that a group is not accepted after the loss of the one
 *                before; and by the header page it is bound to store, segment and epoch.
 *
 * Where a segment ends is said by the header of its successor, in `previous`. This cuts off a torn
 * tail for good: once the next opening's first segment is durable, the groups behind the cut are no
 * part of the log, intact or not. The chain of segments is followed backwards from the newest that
 * has a valid header.
 *
 * A segment's successor is begun when the segment is full, durable or not; nobody has to wait for a
 * sync that nobody has asked for. A sync makes all segments durable, the oldest first, before any
 * of it is acknowledged. So a crash may leave a later segment whole and an earlier one torn, or
 * without a header page. Where the chain is broken like that it is followed back from the newest
 * valid header before the break, and what is behind the break is part of the torn tail.
 *
 * A segment's file has its full size, durably, before a header page is put in it, and before its
 * predecessor is sealed. So a segment that is shorter than its header says, and a seal that
 * promises a next segment of which there is no file, are damage as well. A file that had a former
 * life keeps its bytes until they are written over. Under its new name its header has a smaller
 * number than the name, and starts before the place from which on the log is asked for: that is as
 * good as blank. Its groups fail their check, which the number is part of.
 *
 * A flaw at x may be a torn tail, which is what a crash looks like, or damage of something that was
 * acknowledged. It is damage if anything knows that the log was durable beyond x: `durable` of any
 * credible group header behind x, in this file or in a newer one, `durable` of a newer header page,
 * or what the caller knows. What is before the place that the log is asked for from is of no
 * interest, damaged or not. One doubt remains. What was made durable by the last sync before the
 * crash is vouched for by nobody, because no group was written after it. So damage in there is
 * taken for a torn tail. Writing a PAD when there is nothing else to do removes the doubt, and so
 * does a clean end: its SEAL is written after the sync of all that is before.
 */
#ifndef FR_WAL_WAL_FORMAT_H
#define FR_WAL_WAL_FORMAT_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

/* A place in a log: bytes before it, over all segments. */
typedef uint64_t fr_lsn;

#define FR_WAL_VERSION 1

/* Torn writes end at multiples of it: no device of interest has larger blocks. */
#define FR_WAL_BLOCK_SIZE 4096

#define FR_WAL_HEADER_SIZE       4096
#define FR_WAL_GROUP_HEADER_SIZE 48

/* A reader has to hold one in memory before it can know that it is damaged. */
#define FR_WAL_PAYLOAD_MAX ((uint32_t)1 << 20)

/* What a reader puts together in memory, too, but only from groups that are valid. */
#define FR_WAL_BATCH_MAX ((uint64_t)1 << 30)

/* Room for a header, some groups and a seal; and what an offset in a message can still be read as.
 */
#define FR_WAL_SEGMENT_SIZE_MIN     ((uint64_t)16 << 10)
#define FR_WAL_SEGMENT_SIZE_MAX     ((uint64_t)4 << 30)
#define FR_WAL_SEGMENT_SIZE_DEFAULT ((uint64_t)64 << 20)
static_assert(FR_WAL_SEGMENT_SIZE_MIN >= FR_WAL_HEADER_SIZE + 2 * FR_WAL_BLOCK_SIZE, "");

/* Stored: never renumbered. */
enum fr_wal_kind { FR_WAL_KIND_LOG = 1, FR_WAL_KIND_MANIFEST = 2 };
enum fr_wal_type { FR_WAL_DATA = 1, FR_WAL_PAD = 2, FR_WAL_SEAL = 3 };
enum fr_wal_flags { FR_WAL_FIRST = 1, FR_WAL_LAST = 2, FR_WAL_CLOSED = 4 };

#define FR_STORE_ID_SIZE 16

/* A place between two groups, with all that a successor must say about it. number 0: none. */
struct fr_wal_link {
    uint64_t number; /* of the segment */
    fr_lsn lsn;
    uint32_t crc; /* of the group before it, or of the header page */
};

struct fr_wal_header {
    enum fr_wal_kind kind;
    uint8_t store[FR_STORE_ID_SIZE];
    uint64_t number;
    uint64_t epoch;
    fr_lsn first;
    uint64_t size;
    struct fr_wal_link previous;
    fr_lsn durable;
    uint32_t crc; /* set by encode and decode */
};

/* A group without its payload. */
struct fr_wal_group {
    uint32_t crc;
    fr_lsn lsn;
    fr_lsn durable;
    uint64_t epoch;
    uint64_t tag;
    uint32_t size;
    uint8_t type;
    uint8_t flags;
};

/* Fills the page and sets the crc. */
void fr_wal_header_encode(struct fr_wal_header *header,
        uint8_t ret_page[static FR_WAL_HEADER_SIZE]);

/*
 * FR_ERR_CORRUPT, FR_ERR_TOO_NEW. What is answered is consistent in itself; whether it is the
 * header of this store and this file is for the caller to see. The words name what is wrong, not
 * the file.
 */
FR_NODISCARD fr_status fr_wal_header_decode(const uint8_t page[static FR_WAL_HEADER_SIZE],
        struct fr_wal_header *ret_header);

/* What the check of each group header of a segment starts from. */
uint32_t fr_wal_check_seed(const uint8_t store[static FR_STORE_ID_SIZE], uint64_t number);

/* Fills the header, all but its crc, which fr_wal_group_seal() adds once the rest is known. */
void fr_wal_group_encode(const struct fr_wal_group *group, uint32_t check_seed,
        uint8_t ret_bytes[static FR_WAL_GROUP_HEADER_SIZE]);

/* The crc of a group header so far, to be continued with payload and zeros and handed to seal. */
uint32_t fr_wal_group_crc(uint32_t previous_crc,
        const uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE]);
void fr_wal_group_seal(uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE], uint32_t crc);

/* false: no group header of this segment. The payload is another matter. */
bool fr_wal_group_decode(const uint8_t bytes[static FR_WAL_GROUP_HEADER_SIZE], uint32_t check_seed,
        struct fr_wal_group *ret_group);

/* Bytes from the start of a group to the next, without a gap before that. */
static inline uint64_t fr_wal_group_extent(uint32_t payload_size)
{
    return FR_WAL_GROUP_HEADER_SIZE + (((uint64_t)payload_size + 7) & ~(uint64_t)7);
}

static inline uint64_t fr_wal_round_up(uint64_t place)
{
    return (place + FR_WAL_BLOCK_SIZE - 1) & ~(uint64_t)(FR_WAL_BLOCK_SIZE - 1);
}

/* Where a group stands that follows what ends here: here, or behind a gap. */
static inline uint64_t fr_wal_next_place(uint64_t place)
{
    uint64_t boundary = fr_wal_round_up(place);
    return boundary - place < FR_WAL_GROUP_HEADER_SIZE ? boundary : place;
}

#endif
