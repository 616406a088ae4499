/*
 * batch.h - operations that become durable and visible together or not at all.
 *
 * The builder keeps the batch as the bytes that the log will carry (lsm/batch_format.h); nothing is
 * encoded twice. The reader takes such bytes apart, and believes nothing they say.
 */
#ifndef FR_LSM_BATCH_H
#define FR_LSM_BATCH_H

#include "base/buf.h"
#include "base/bytes.h"
#include "lsm/batch_format.h"

/* One thread at a time. */
struct fr_batch {
    struct fr_buf bytes; /* a header to be filled in, then records; empty while count is 0 */
    uint32_t count;
};

#define FR_BATCH_EMPTY ((struct fr_batch){0})

/* Frees the memory and leaves an empty batch. */
void fr_batch_deinit(struct fr_batch *batch);

/* Forget the operations, keep the memory. */
void fr_batch_reset(struct fr_batch *batch);

/*
 * Add one operation; key and value are copied. FR_ERR_LIMIT: the key, the value or the batch would
 * be too large. FR_ERR_MISUSE: an empty key, or a range that ends where it starts or before.
 * FR_ERR_NOMEM. After a failure the batch is as it was.
 */
FR_NODISCARD fr_status fr_batch_add_put(struct fr_batch *batch, fr_slice key, fr_slice value);
FR_NODISCARD fr_status fr_batch_add_put_until(struct fr_batch *batch, fr_slice key, fr_slice value,
        uint64_t expires_us);
FR_NODISCARD fr_status fr_batch_add_delete(struct fr_batch *batch, fr_slice key);
FR_NODISCARD fr_status fr_batch_add_delete_range(struct fr_batch *batch, fr_slice start,
        fr_slice end);
FR_NODISCARD fr_status fr_batch_add_append(struct fr_batch *batch, fr_slice key, fr_slice fragment);

/* A moment to come back to. It is good until the batch is rolled back to an earlier one. */
struct fr_batch_mark {
    size_t size;
    uint32_t count;
};

struct fr_batch_mark fr_batch_mark(const struct fr_batch *batch);

/* Forget the operations since the mark. */
void fr_batch_rollback(struct fr_batch *batch, struct fr_batch_mark mark);

/*
 * The batch as bytes; valid until the batch next changes. FR_ERR_NOMEM is possible for an empty
 * batch only.
 */
FR_NODISCARD fr_status fr_batch_finish(struct fr_batch *batch, fr_slice *ret_bytes);

struct fr_batch_reader {
    struct fr_bytes in;
    fr_seq first_seq;
    uint32_t count; /* operations in all */
    uint32_t index; /* of the operation that comes next */
    bool verify;
    uint32_t check; /* of the record that was read last */
};

/*
 * Begin to read a batch from bytes that stay valid meanwhile. With verify, each record's check is
 * compared; without, only that nothing leaves its bounds or its rules, which is for bytes that have
 * been verified. FR_ERR_CORRUPT: no batch, or not all of it. FR_ERR_TOO_NEW: a later version.
 */
FR_NODISCARD fr_status fr_batch_read(fr_slice bytes, fr_seq first_seq, bool verify,
        struct fr_batch_reader *ret_reader);

/*
 * The next operation as an entry, which borrows from the batch's bytes. FR_END: there is none, and
 * nothing is left over. FR_ERR_CORRUPT: this record is damaged; the reader is of no further use.
 */
FR_NODISCARD fr_status fr_batch_read_next(struct fr_batch_reader *reader,
        struct fr_entry *ret_entry);

/*
 * After an FR_ERR_CORRUPT of next: go on behind the damaged record, where its sizes say that it
 * ends, for who wants what can still be had. false: nobody knows where that is.
 */
bool fr_batch_read_past(struct fr_batch_reader *reader);

/* Read it all. FR_OK: every record is whole. */
FR_NODISCARD fr_status fr_batch_verify(fr_slice bytes);

#endif
