/*
 * edit_format.h - the records of the manifest: how one version of the store becomes the next.
 *
 * The manifest is a log (wal/wal_format.h) whose payloads are edits. The first edit of a manifest
 * begins with RESET and holds all of a version; each later one holds what changed. An edit is all
 * or nothing.
 *
 * An edit is a sequence of fields: tag (varint), size of the body (varint), body. Tags below 64
 * have to be understood, FR_ERR_TOO_NEW otherwise; others may be skipped. Numbers in bodies are
 * varints, keys are varint size and bytes.
 *
 *   - 1 RESET: nothing. Forget everything before.
 *   - 2 NEXT_FILE: number. No file of that number or above has been named yet.
 *   - 3 LAST_SEQ: sequence number. No entry in a table is above.
 *   - 4 LOG: lsn, durable lsn, number. What is before the first is in tables, recovery starts
 * there; the log was known to be durable up to the second; the segment of that number has the
 * start. 0: it does not matter, there is no log yet. The log need not be durable up to the start:
 * then nothing behind it has ever been acknowledged as durable.
 *   - 5 ADD_TABLE: level, number, size, content hash (16 bytes), smallest key, largest key, 1 if
 * the largest is the end of a range and not covered itself, else 0, smallest seq, largest seq,
 *     entries, deletes, range deletes, appends, n, then n times: value file, bytes and count of the
 *     values in it that this table points to
 *   - 6 DROP_TABLE: level, number
 *   - 7 ADD_VALUES: number, size, content hash (16 bytes), bytes of values, count of values
 *   - 8 DROP_VALUES: number
 *
 * A file is durable, with its name, before an edit adds it; it is removed only after the edit that
 * drops it is durable. A file number is never used twice: NEXT_FILE runs ahead of what is in use.
 */
#ifndef FR_LSM_EDIT_FORMAT_H
#define FR_LSM_EDIT_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/entry.h"
#include "lsm/table_properties.h"
#include "wal/wal_format.h"

#define FR_LEVEL_COUNT       7
#define FR_CONTENT_HASH_SIZE 16

enum fr_edit_tag {
    FR_EDIT_RESET = 1,
    FR_EDIT_NEXT_FILE = 2,
    FR_EDIT_LAST_SEQ = 3,
    FR_EDIT_LOG = 4,
    FR_EDIT_ADD_TABLE = 5,
    FR_EDIT_DROP_TABLE = 6,
    FR_EDIT_ADD_VALUES = 7,
    FR_EDIT_DROP_VALUES = 8,
    FR_EDIT_SKIPPABLE = 64, /* from here on */
};

/* A table as the manifest knows it. Slices are borrowed. */
struct fr_edit_table {
    uint64_t number;
    uint64_t size;
    uint8_t hash[FR_CONTENT_HASH_SIZE];
    fr_slice smallest;
    fr_slice largest;
    bool largest_open; /* the end of a range, which it does not cover */
    fr_seq smallest_seq;
    fr_seq largest_seq;
    uint64_t entry_count;
    uint64_t delete_count;
    uint64_t range_count;
    uint64_t append_count;
    const struct fr_value_ref *refs; /* ascending by file */
    size_t ref_count;
};

struct fr_edit_values {
    uint64_t number;
    uint64_t size;
    uint8_t hash[FR_CONTENT_HASH_SIZE];
    uint64_t value_bytes;
    uint64_t value_count;
};

struct fr_edit_log {
    fr_lsn start;
    fr_lsn durable;
    uint64_t number;
};

/* Append one field to an edit. Failure sticks in the buffer. */
void fr_edit_put_reset(struct fr_buf *edit);
void fr_edit_put_next_file(struct fr_buf *edit, uint64_t next_file);
void fr_edit_put_last_seq(struct fr_buf *edit, fr_seq last_seq);
void fr_edit_put_log(struct fr_buf *edit, const struct fr_edit_log *log);
void fr_edit_put_add_table(struct fr_buf *edit, unsigned level, const struct fr_edit_table *table);
void fr_edit_put_drop_table(struct fr_buf *edit, unsigned level, uint64_t number);
void fr_edit_put_add_values(struct fr_buf *edit, const struct fr_edit_values *values);
void fr_edit_put_drop_values(struct fr_buf *edit, uint64_t number);

/*
 * What a reader of edits does with each field. A member that is NULL is not called. An answer other
 * than FR_OK ends the reading with it. The slices and refs of a table are valid in the call.
 */
struct fr_edit_visitor {
    fr_status (*reset)(void *ctx);
    fr_status (*next_file)(void *ctx, uint64_t next_file);
    fr_status (*last_seq)(void *ctx, fr_seq last_seq);
    fr_status (*log)(void *ctx, const struct fr_edit_log *log);
    fr_status (*add_table)(void *ctx, unsigned level, const struct fr_edit_table *table);
    fr_status (*drop_table)(void *ctx, unsigned level, uint64_t number);
    fr_status (*add_values)(void *ctx, const struct fr_edit_values *values);
    fr_status (*drop_values)(void *ctx, uint64_t number);
};

/*
 * Read the next field of an edit, as long as there are bytes left. FR_ERR_CORRUPT, FR_ERR_TOO_NEW
 * as below; the next field may be read all the same, unless the cursor is bad.
 */
FR_NODISCARD fr_status fr_edit_read_field(struct fr_bytes *in,
        const struct fr_edit_visitor *visitor, void *ctx);

/*
 * Read an edit field by field. FR_ERR_CORRUPT, FR_ERR_TOO_NEW: the words say where in the edit, but
 * not which file.
 */
FR_NODISCARD fr_status fr_edit_read(fr_slice edit, const struct fr_edit_visitor *visitor,
        void *ctx);

#endif
