/*
 * known.h - values that somebody has read and found whole, so that they need not be read
 * again.
 *
 * Checking a store goes over each value file from the front to the end; reading it as its users do
 * comes by the same values once more, in the order of keys, and twice more where they are rows of
 * an index. Unpacking them is what costs. So of each record that was whole there is kept where it
 * stands, a print of whose it is, and perhaps a digest of what it says. A value that is asked for
 * later is known if a record of that key, sequence number and size stands at its place: then
 * reading it would find the same bytes, for files with numbers never change.
 *
 * What is not known is read. One thread gathers; then any number of threads may look, each with a
 * reader of its own, which knows where it found the last one: values are asked for in the order in
 * which they lie, nearly always.
 */
#ifndef FR_LSM_KNOWN_H
#define FR_LSM_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "lsm/entry.h"

struct fr_known_value {
    uint64_t offset; /* of the record in its file */
    uint64_t print;
};

/* Of a record, or of an entry that points to one. */
uint64_t fr_known_print(fr_slice key, fr_seq seq, uint64_t size);

/* Where that offset is among values in the order of their offsets. NULL: nowhere. */
const struct fr_known_value *fr_known_search(const struct fr_known_value *values, size_t count,
        uint64_t offset);

struct fr_known_file {
    uint64_t number;
    struct fr_known_value *values;
    uint64_t *digests; /* one for each; 0: there is none. NULL: of none of them */
    size_t count;
};

struct fr_known {
    struct fr_known_file *files; /* ascending by number */
    size_t file_count, file_capacity;
    uint64_t room; /* bytes that may be kept yet */
};

void fr_known_init(struct fr_known *known, uint64_t bytes_max);
void fr_known_deinit(struct fr_known *known);

/*
 * The values of one more file, whose number is the highest, from the front on. The arrays, of
 * fr_alloc(), are taken, or freed if there is no room.
 */
void fr_known_keep(struct fr_known *known, uint64_t number, struct fr_known_value *values,
        uint64_t *digests, size_t count);

struct fr_known_reader {
    const struct fr_known *known;
    size_t *next; /* by file */
};

/* known may be NULL: nothing is. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_known_reader_init(struct fr_known_reader *reader,
        const struct fr_known *known);
void fr_known_reader_deinit(struct fr_known_reader *reader);

/* Whether the value of a placed entry is known; and its digest, or 0. */
bool fr_known_find(struct fr_known_reader *reader, const struct fr_entry *entry, uint64_t *ret_size,
        uint64_t *ret_digest);

#endif
