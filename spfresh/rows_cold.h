/*
 * rows_cold.h - codes that have no room in memory.
 *
 * Of what an index keeps in memory codes are two thirds, and a search looks at a few hundred of
 * them. So where the budget is too small, codes of whole chunks of rows (spfresh/rows.h) go to a
 * file: first the low bits of all chunks, then the high bytes. All else of a row stays: when it was
 * born, its id, where it is listed; and so do the signs that searches scan. So an index is written,
 * maintained and searched as before, and reads a code where it finds that it is cold.
 *
 * The file has a record for each slot, at a place that follows from the slot:
 *
 *     chunk 0     low bits of its rows, then high bytes of its rows
 *     chunk 1     the same
 *     ...
 *     a record    the bytes, and a checksum of four: crc32c of the slot u32, the version of the
 *                 slot u32, and the bytes; little-endian
 *
 * The file has no name, and ends with the process: it is never synced, and never read by another
 * one. Memory would not be checked for what a disk may do to it; the file is. As the version is in
 * the checksum, what was meant for another slot, or for an earlier vector of this one, does not
 * count either.
 *
 * Which chunks are cold is a number for each part: the first so many. They become cold in the turn
 * of writers (spfresh/tree.h):
 *
 *     fr_rows_cool    the part is written to the file; from then on nobody looks at it in memory
 *                     but searches that have begun before
 *     fr_rows_drop    when these have ended: its memory goes back
 *     fr_rows_warm    the other way round
 *
 * A row whose slot is used again is written where its chunk is: a search that reads it meanwhile
 * finds another version, or no good checksum, and then another version.
 */
#ifndef FR_SPFRESH_ROWS_COLD_H
#define FR_SPFRESH_ROWS_COLD_H

#include "spfresh/rows.h"

/* A record is longer than what it holds by so much. */
#define FR_COLD_TAIL 4

/* Room for one row's code, in memory of the caller. */
struct fr_code_room {
    uint8_t *high, *low; /* as long as a record each */
};

/* FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_code_room_init(struct fr_code_room *room, size_t dims);
void fr_code_room_deinit(struct fr_code_room *room);

static inline bool fr_rows_is_cold(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot)
{
    return slot >> rows->chunk_bits < atomic_load_explicit(&rows->cold[part], memory_order_acquire);
}

/* Whether any chunk is: low bits go first. */
static inline bool fr_rows_any_cold(const struct fr_rows *rows)
{
    return atomic_load_explicit(&rows->cold[FR_CODE_LOW], memory_order_acquire) > 0;
}

/* ---- Reading ---- */

/* Part of a row's code that is wanted, if the slot still has this version. */
struct fr_cold_wish {
    fr_slot slot;
    uint32_t version;
    uint8_t *to; /* as long as a record */
    bool is_good;
};

/*
 * Read that part of them, which is cold, all at once as far as the system does not have them in its
 * memory. Of those whose slot has another version now is_good is false. FR_ERR_CORRUPT: the file is
 * damaged.
 */
FR_NODISCARD fr_status fr_rows_read(const struct fr_rows *rows, enum fr_code_part part,
        struct fr_cold_wish *wishes, size_t count);

/*
 * The code of a row that is in use, from memory or into the room. FR_NOT_FOUND: its slot has become
 * another row's. The caller is in the tree's epoch, or has the turn of writers.
 */
FR_NODISCARD fr_status fr_rows_code(const struct fr_rows *rows, fr_slot slot,
        const struct fr_code_room *room, const int8_t **ret_high, const uint8_t **ret_low);

/* The same, decoded. */
FR_NODISCARD fr_status fr_rows_read_vector(const struct fr_rows *rows, fr_slot slot,
        const struct fr_code_room *room, float *ret_x);

/* A hint that the code will be read soon. */
void fr_rows_expect(const struct fr_rows *rows, fr_slot slot);

/* ---- Writing: who has the turn of writers ---- */

/* The code of a row, wherever its chunk has it. */
FR_NODISCARD fr_status fr_rows_put_code(struct fr_rows *rows, fr_slot slot, const int8_t *high,
        const uint8_t *low);

/*
 * That part of one more chunk becomes cold; which, goes to ret_chunk. A chunk is left alone as long
 * as it has slots that were never used. FR_END: there is none left.
 */
FR_NODISCARD fr_status fr_rows_cool(struct fr_rows *rows, enum fr_code_part part,
        uint32_t *ret_chunk);

/* Nobody looks at it any more. Answers how much memory that was. */
size_t fr_rows_drop(struct fr_rows *rows, enum fr_code_part part, uint32_t chunk);

/* That part of the last cold chunk comes back into memory. FR_END: none is cold. */
FR_NODISCARD fr_status fr_rows_warm(struct fr_rows *rows, enum fr_code_part part);

/* Memory of that part of a chunk. */
size_t fr_rows_part_bytes(const struct fr_rows *rows, enum fr_code_part part);

#endif
