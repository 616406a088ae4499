/*
 * wal_reader.h - reading a log from some place to its end, and judging that end.
 *
 *     FR_TRY(fr_wal_reader_open(dir, &options, &reader));
 *     while ((st = fr_wal_reader_next(reader, &payload, &tag, &lsn)) == FR_OK)
 *         FR_TRY(replay(payload, tag));
 *     if (st == FR_END) fr_wal_reader_end(reader, &end);
 *
 * Opening reads the header pages and finds the chain of segments; next follows it. What is believed
 * and what is damage is defined in wal/wal_format.h. Every byte is taken for hostile: memory is
 * bounded by the largest group and by the batches that are really there, and each step gets nearer
 * to the end. One thread at a time.
 */
#ifndef FR_WAL_WAL_READER_H
#define FR_WAL_WAL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "wal/wal_format.h"

struct fr_dir;
struct fr_wal_reader;

enum fr_wal_read_flags {
    /*
     * Make durable what is read, before it is read, and read it from the device where that can be
     * had: what is found may have been written by a process that died, and still be pending. To be
     * set by whoever goes on writing, or shows to others what was found.
     */
    FR_WAL_READ_SETTLE = 1 << 0,

    /*
     * Somebody writes to the log meanwhile: what is torn now is whole in a moment. So the end is
     * not judged, and FR_END means no more than that this was all for now. What is answered is
     * right nevertheless; but segments may vanish or be used again under the reader's eyes, and
     * then it fails in any way: try again from the start, with what the manifest says by then.
     */
    FR_WAL_READ_FOLLOW = 1 << 1,
};

struct fr_wal_reader_options {
    enum fr_wal_kind kind;
    uint8_t store[FR_STORE_ID_SIZE];
    unsigned flags;

    /*
     * Where to start: what is before is no longer asked for, and need not be there. Nor need what
     * is behind, if nothing says that it was ever durable: a log that ends before is empty.
     */
    fr_lsn start;

    /* Known from elsewhere: the log was durable up to here. 0 if nothing is known. */
    fr_lsn durable;

    /*
     * The number of the segment that has the start, where that is known, else 0. Segments that do
     * not lead back to it are passed over: others may have begun a log of the kind and not come
     * far; and the torn end of an earlier opening, cut off long ago, would be the newest that is
     * left if what came after it was released or lost. It may be without a valid header if nothing
     * in it was acknowledged, but its file must be there.
     */
    uint64_t number;
};

/*
 * Of files of the kind in dir. FR_ERR_MISSING: a segment between start and end is not there.
 * FR_ERR_CORRUPT; FR_ERR_FOREIGN: a segment of another store; FR_ERR_TOO_NEW. The directory must
 * stay open as long as the reader.
 */
FR_NODISCARD fr_status fr_wal_reader_open(struct fr_dir *dir,
        const struct fr_wal_reader_options *options, struct fr_wal_reader **ret_reader);

/* NULL is fine. */
void fr_wal_reader_close(struct fr_wal_reader *r);

/*
 * The next batch: its payload, valid until the next call; its tag; and where it starts. FR_END:
 * that was all, see fr_wal_reader_end(). FR_ERR_CORRUPT: something that was acknowledged is
 * damaged; the words name file and offset. FR_END and failures stick.
 */
FR_NODISCARD fr_status fr_wal_reader_next(struct fr_wal_reader *r, fr_slice *ret_payload,
        uint64_t *ret_tag, fr_lsn *ret_lsn);

enum fr_wal_verdict {
    FR_WAL_END_CLOSED, /* shut properly */
    FR_WAL_END_OPEN,   /* not shut, and nothing is seen behind the last batch; also an empty log */
    FR_WAL_END_TORN,   /* something was being written when the crash came */
};

struct fr_wal_end {
    enum fr_wal_verdict verdict;

    /*
     * Where the next opening goes on (fr_wal_writer_options); number 0 if no log was found, or none
     * that reaches the start: then the next opening begins one, there or behind.
     */
    struct fr_wal_link link;

    uint64_t dropped_bytes; /* of groups that could be recognised behind link.lsn */
    uint64_t last_number;   /* the highest among the files found, in use or not; 0: none */
};

/*
 * After an FR_END: look again, behind the last batch, for what has been written since. Implies
 * FR_WAL_READ_FOLLOW. Failures are as of opening, and leave nothing but closing.
 */
FR_NODISCARD fr_status fr_wal_reader_resume(struct fr_wal_reader *r);

/* The verdict; only after next has answered FR_END. */
void fr_wal_reader_end(const struct fr_wal_reader *r, struct fr_wal_end *ret_end);

/*
 * Remove the files of a kind with numbers below this one: the segments of earlier openings, once it
 * is a durable fact that nobody will ask for them. All are tried; the first failure is answered.
 */
FR_NODISCARD fr_status fr_wal_remove_before(struct fr_dir *dir, enum fr_wal_kind kind,
        uint64_t number);

#endif
