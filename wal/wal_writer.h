/*
 * wal_writer.h - writing a log: batches in, one after the other; durable when asked.
 *
 * Appends are made by one thread at a time, the caller's committer, and so are mark and seal. Along
 * with an append, and with each other, any threads may call sync, prepare, release and the getters.
 * Open and close are alone.
 *
 * An append makes its groups in the memory that stands for the current segment, and where that is a
 * mapping of the file (io/map.h) it makes no system call. A sync closes the block that is written
 * to, and makes the segment durable outside of the lock; appends go on meanwhile. There is one sync
 * at a time: whoever comes while one is running waits for it, and then finds itself covered or
 * makes the next one, which serves all who came meanwhile.
 *
 * When a segment is full it is sealed and its successor begun, without any I/O: a sync, when one is
 * asked for, goes over all segments that need it, the oldest first. Segments that are released
 * before anybody asked for a sync are never written to the device by us, and their pages serve the
 * next life of the file. Blank successors are made by prepare, in time if a background thread calls
 * it now and then, else in the append that needs one.
 *
 * The first failure of a write or a sync ends it all: it answers FR_ERR_IO, also for want of space
 * or memory, there is no second try, and all that comes later answers FR_ERR_POISONED with the
 * words of the first. A successor that cannot be made (FR_ERR_NOSPACE above all) does no harm yet:
 * the append has failed, nothing of it is in the log, and it may be tried again. A batch that goes
 * over several segments has them all made before its first byte is written.
 */
#ifndef FR_WAL_WAL_WRITER_H
#define FR_WAL_WAL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "wal/wal_format.h"

struct fr_dir;
struct fr_wal_writer;

struct fr_wal_writer_options {
    enum fr_wal_kind kind;
    uint8_t store[FR_STORE_ID_SIZE];

    /* By chance, and not 0: fr_rng_entropy(). Two openings with one epoch would be confused. */
    uint64_t epoch;

    /*
     * The next number for a file of this store, above all that its directory has ever held. Called
     * by threads that append or prepare, one at a time, and never with a lock held.
     */
    uint64_t (*next_number)(void *ctx);
    void *next_number_ctx;

    /* Where the log goes on: the link of fr_wal_reader_end(). number 0: it begins here. */
    struct fr_wal_link previous;
    fr_lsn start; /* of a log that begins: rounded up to a block */

    /*
     * Of this opening's first segment, if it is to be shorter than the others: writing one in
     * advance is most of what opening costs. FR_WAL_FIRST_SIZE_MIN at least, a multiple of 4096; 0
     * for all alike.
     */
    uint64_t first_size;

    uint64_t segment_size;  /* 0 for FR_WAL_SEGMENT_SIZE_DEFAULT; a multiple of 4096 */
    unsigned spares_max;    /* segments kept for another life */
    bool no_shared_mapping; /* see io/map.h */
};

#define FR_WAL_SPARES_MAX 64

/* The largest group and what goes around it. */
#define FR_WAL_FIRST_SIZE_MIN ((uint64_t)2 << 20)

/*
 * Begin the log's next opening with a segment of its own: an earlier one's file is never written.
 * The directory must stay open as long as the writer. With `previous`, what was read up to there
 * must be durable: FR_WAL_READ_SETTLE. FR_ERR_MISUSE; FR_ERR_NOSPACE; FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_wal_writer_open(struct fr_dir *dir,
        const struct fr_wal_writer_options *options, struct fr_wal_writer **ret_writer);

/*
 * Leave the log as it is, without a seal, as a crash would: for a clean end call
 * fr_wal_writer_seal() before. Blank files and spares are removed. NULL is fine.
 */
void fr_wal_writer_close(struct fr_wal_writer *w);

/* What an append survives when it returns. */
enum fr_wal_class {
    FR_WAL_NONE, /* nothing in particular, until the next append of another class, or sync */
    FR_WAL_OS,   /* the death of the process */
};

/*
 * Append one batch: the parts, in their order, are its payload, up to FR_WAL_BATCH_MAX bytes
 * (FR_ERR_LIMIT). It is read back whole or not at all, with its tag. It is durable once a sync has
 * answered *ret_end or beyond.
 */
FR_NODISCARD fr_status fr_wal_writer_append(struct fr_wal_writer *w, const fr_slice *parts,
        size_t part_count, uint64_t tag, enum fr_wal_class durability, fr_lsn *ret_end);

/*
 * All that was appended before the call is durable, up to *ret_durable; and so is the segment that
 * the log has reached, even if nothing is in it yet: what is before it may be released.
 */
FR_NODISCARD fr_status fr_wal_writer_sync(struct fr_wal_writer *w, fr_lsn *ret_durable);

/*
 * Leave a note of how far the log is durable, if there is none yet: then damage of the last sync's
 * groups is known from a torn end. Worth it when the log has been idle for some milliseconds. The
 * note needs no sync of its own; it counts once the system has written it.
 */
FR_NODISCARD fr_status fr_wal_writer_mark(struct fr_wal_writer *w);

/* Have a blank successor ready. The long part of it holds up nobody. */
FR_NODISCARD fr_status fr_wal_writer_prepare(struct fr_wal_writer *w);

/*
 * Nobody will ask for what is before lsn: that must be a durable fact by now. Segments that are
 * wholly before it become spares or are removed; the current one stays. Waits for a sync of them
 * that is under way. FR_ERR_IO and the like: a file was left behind, the log is unharmed.
 */
FR_NODISCARD fr_status fr_wal_writer_release(struct fr_wal_writer *w, fr_lsn lsn);

/* End the log properly and durably. Afterwards appends are FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_wal_writer_seal(struct fr_wal_writer *w);

/* Whether it takes anything at all: FR_ERR_POISONED after it has failed. */
FR_NODISCARD fr_status fr_wal_writer_check(struct fr_wal_writer *w);

/* Where the next group goes, or the next but a gap. */
fr_lsn fr_wal_writer_end(const struct fr_wal_writer *w);

/* Up to here the log is durable. */
fr_lsn fr_wal_writer_durable(const struct fr_wal_writer *w);

/* Where this opening's first segment starts, and its number: what a manifest has to remember. */
fr_lsn fr_wal_writer_start(const struct fr_wal_writer *w);
uint64_t fr_wal_writer_first_number(const struct fr_wal_writer *w);

/*
 * The number of the segment that has what is behind lsn, which must be one that an append answered,
 * or the start, and not released.
 */
uint64_t fr_wal_writer_number_at(struct fr_wal_writer *w, fr_lsn lsn);

/* Segments in use, and the size of all files, spares and the blank one included. */
size_t fr_wal_writer_segment_count(struct fr_wal_writer *w);
uint64_t fr_wal_writer_bytes(struct fr_wal_writer *w);

#endif
