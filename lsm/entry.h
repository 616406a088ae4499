/*
 * entry.h - what the engine stores: entries, and the one order in which they stand everywhere.
 *
 * An entry says that something happened to a key at a sequence number. Each operation of a batch
 * has a sequence number of its own, so no two entries are equal. Entries are ordered by key, byte
 * by byte, and within a key from the newest to the oldest:
 *
 *     ("a", 9)  ("a", 4)  ("ab", 7)  ("b", 8)
 *
 * A reader at sequence number s sees of a key what the entries with sequence numbers up to s say:
 *
 *     PUT           the value is this
 *     APPEND        this goes behind what the older entries make of the value; behind nothing it
 *                   stands alone
 *     DELETE        there is no value
 *     DELETE_RANGE  there is no value for any key from `key` up to, but without, `value`
 *
 * So reading a key means to walk from the newest entry that is visible down to the first PUT or
 * DELETE, or to the newest range that covers the key, and to put the fragments met on the way
 * behind it, the oldest first. Folding does the same for good, in flush and compaction, and never
 * across a DELETE, a range, or a sequence number that a snapshot may still ask for.
 */
#ifndef FR_LSM_ENTRY_H
#define FR_LSM_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Keys hold at least one byte. */
#define FR_KEY_SIZE_MAX   65535
#define FR_VALUE_SIZE_MAX ((size_t)256 << 20)

/* Sequence numbers start at 1; 0 means none. 56 bits: a kind fits beside one in a u64. */
typedef uint64_t fr_seq;
#define FR_SEQ_MAX (((fr_seq)1 << 56) - 1)

/* Stored: never renumbered. 0 is no kind, so that zeros are no entry. */
enum fr_kind {
    FR_KIND_PUT = 1,
    FR_KIND_DELETE = 2,
    FR_KIND_DELETE_RANGE = 3,
    FR_KIND_APPEND = 4,
};

/* Stored, too, beside the kind. Unknown bits are corruption. */
enum fr_entry_flags {
    FR_ENTRY_PLACED = 1 << 0,  /* value is a place (lsm/place.h): the bytes are in a value file */
    FR_ENTRY_EXPIRES = 1 << 1, /* a PUT that is a DELETE from expires_us on */
};
#define FR_ENTRY_FLAGS_KNOWN (FR_ENTRY_PLACED | FR_ENTRY_EXPIRES)

struct fr_entry {
    fr_slice key;
    fr_slice value; /* of a DELETE_RANGE: the first key that is not covered */
    fr_seq seq;
    uint64_t expires_us; /* time of day; with FR_ENTRY_EXPIRES only, else 0 */
    uint8_t kind;        /* enum fr_kind */
    uint8_t flags;
};

/* Negative, zero or positive: where (key a, seq a) stands to (key b, seq b). */
static inline int fr_entry_compare(fr_slice key_a, fr_seq seq_a, fr_slice key_b, fr_seq seq_b)
{
    int order = fr_slice_compare(key_a, key_b);

    if (order != 0) return order;
    return (seq_a < seq_b) - (seq_a > seq_b);
}

static inline bool fr_entry_kind_known(uint8_t kind)
{
    return kind >= FR_KIND_PUT && kind <= FR_KIND_APPEND;
}

#endif
