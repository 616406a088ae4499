/*
 * rows.h - the store of coded vectors, by slot.
 *
 * A slot keeps its place in memory for as long as it is in use, whatever happens to the postings
 * that list it, so splits and moves touch no code. Rows lie in chunks that are allocated as needed
 * and never moved, each part of a row in an array of its own, since a search reads the high bytes
 * of many rows and the rest of few.
 *
 * A slot that is given back is used again, and each use has a version of its own: an
 * entry of a posting names slot and version, so an entry that was left behind is never taken for
 * the slot's next vector. A slot whose versions are used up is not used again.
 *
 * Writers take turns (spfresh/tree.h); searches read beside them, in an epoch. A row that is dead
 * can be read until its slot is reused, which the tree does only when nobody can be looking at it
 * as that row. Who follows an entry that was left behind may read a slot while it is filled anew:
 * the version, looked at afterwards, says so, and what was read is thrown away. For that a writer
 * raises it before the first byte, with a fence between, and a search has its fence between the
 * last byte and the version.
 *
 * Where there is not the memory for all codes, those of some chunks lie in a file instead
 * (spfresh/rows_cold.h); then whoever looks at a code must be ready to read it.
 *
 * Instead of that the rows of a store that come and go by whole postings (spfresh/index_tiers.c)
 * lie in pieces: chunks as large as what they were taken for, each of which is freed as one when
 * nobody can be looking at it any more. Such a store does not hold what is not in use.
 */
#ifndef FR_SPFRESH_ROWS_H
#define FR_SPFRESH_ROWS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/account.h"
#include "freshet/status.h"
#include "spfresh/code.h"

typedef uint32_t fr_slot;
#define FR_SLOT_NONE UINT32_MAX

/* What a row is besides its vector. */
struct fr_row {
    _Atomic(uint64_t) stamp;   /* when it was born; FR_ROW_DEAD | when it died */
    uint64_t id;               /* the user's, or nothing */
    _Atomic(uint32_t) version; /* odd: the slot is in use */
    fr_slot node;              /* the posting whose entry is the row's; the writers' */
    uint32_t place;            /* where in it, and FR_ROW_COPIED */
    float scale;
};

#define FR_ROW_DEAD ((uint64_t)1 << 63)

/* In place: it is listed in another posting, too (spfresh/copies.h). */
#define FR_ROW_COPIED ((uint32_t)1 << 31)

static inline uint32_t fr_row_place(const struct fr_row *row)
{
    return row->place & ~FR_ROW_COPIED;
}

static inline void fr_row_set_place(struct fr_row *row, uint32_t place)
{
    row->place = (row->place & FR_ROW_COPIED) | place;
}

static inline bool fr_row_is_copied(const struct fr_row *row)
{
    return (row->place & FR_ROW_COPIED) != 0;
}

static inline void fr_row_set_copied(struct fr_row *row, bool is_copied)
{
    row->place = fr_row_place(row) | (is_copied ? FR_ROW_COPIED : 0);
}

/*
 * The stamp of a dead row says for how many steps it was alive, too, at the most so many: who began
 * to search before it was born sees neither its birth nor its death.
 */
#define FR_ROW_STEP_BITS 46
#define FR_ROW_AGE_MAX   ((UINT64_C(1) << (63 - FR_ROW_STEP_BITS)) - 1)

/* The stamp of a row that is listed, and alive to writers, but not born yet. */
#define FR_ROW_UNBORN ((uint64_t)1 << 62)

/* Of a row with that stamp, as it dies in a step. One that was not born was alive for none. */
static inline uint64_t fr_row_die(uint64_t stamp, uint64_t step)
{
    uint64_t age = (stamp & FR_ROW_UNBORN) != 0 ? 0 : step - stamp;

    return FR_ROW_DEAD | (age < FR_ROW_AGE_MAX ? age : FR_ROW_AGE_MAX) << FR_ROW_STEP_BITS | step;
}

/* Whether the row was alive at that time. */
static inline bool fr_row_lived(uint64_t stamp, uint64_t clock)
{
    uint64_t died = stamp & ((UINT64_C(1) << FR_ROW_STEP_BITS) - 1);
    uint64_t age = (stamp & ~FR_ROW_DEAD) >> FR_ROW_STEP_BITS;

    if ((stamp & FR_ROW_DEAD) == 0) return stamp <= clock;
    return died > clock && (age == FR_ROW_AGE_MAX || died - age <= clock);
}

struct fr_node;
struct fr_file;

/* A code's parts, in the order in which they leave memory: few rows are measured by low bits. */
enum fr_code_part { FR_CODE_LOW, FR_CODE_HIGH, FR_CODE_PARTS };

struct fr_row_chunk {
    void *memory; /* of the three that follow; NULL: it lies in front of them */
    int8_t *high;
    uint8_t *low;
    struct fr_row *rows;
    _Atomic(struct fr_node *) *nodes; /* of centroids: their postings. Release and acquire. */
    size_t count, bytes;              /* of a piece: its rows, and its memory */
    size_t dropped[FR_CODE_PARTS];    /* of cold parts: memory that has gone back to the system */
};

#define FR_ROW_CHUNKS_MAX 65536

/* The most rows of a piece: few postings have more. */
#define FR_ROW_PIECE_BITS 8
#define FR_ROW_PIECE_MAX  ((size_t)1 << FR_ROW_PIECE_BITS)

struct fr_rows {
    size_t dims;
    fr_charge charge; /* whose memory it is (base/account.h) */
    bool are_centroids;
    unsigned usual_bits; /* chunk_bits, but of pieces */
    unsigned chunk_bits; /* a chunk has two to that many rows, or a piece up to so many */
    bool in_pieces;
    size_t chunk_max; /* so many chunks there can be */

    /* Release when a chunk is added, acquire when one is looked at. */
    _Atomic(struct fr_row_chunk *) *chunks;

    /*
     * The first so many chunks have that part of their codes in the file. Release once it has all
     * of them, or before the first byte of memory is a code's again; acquire before a code is
     * looked at.
     */
    _Atomic(uint32_t) cold[FR_CODE_PARTS];
    struct fr_file *file; /* set before anything is cold; theirs to close */

    /* Ever used. Release after the row's chunk is there, acquire by who looks at all of them. */
    _Atomic(fr_slot) slot_count;

    /* The writers'. */
    fr_slot *free_slots; /* the first ones of pieces that are gone, if there are pieces */
    size_t free_count, free_capacity;
    size_t live_count;
    size_t piece_bytes;
    size_t dropped_bytes; /* of all chunks */
};

/* chunk_bits: 0 for the default. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_rows_init(struct fr_rows *rows, size_t dims, bool are_centroids,
        unsigned chunk_bits, fr_charge charge);
void fr_rows_deinit(struct fr_rows *rows);

/* A slot for a new vector, whose parts the caller fills. FR_ERR_NOMEM, FR_ERR_FULL. */
FR_NODISCARD fr_status fr_rows_take(struct fr_rows *rows, fr_slot *ret_slot);

/*
 * Take this very slot, which is not below the count of those ever used: what is skipped is free.
 * FR_ERR_NOMEM, FR_ERR_FULL.
 */
FR_NODISCARD fr_status fr_rows_take_at(struct fr_rows *rows, fr_slot slot);

/* Give the slot of a dead row back: nobody looks at it any more. */
void fr_rows_give(struct fr_rows *rows, fr_slot slot);

/*
 * Begin anew, in pieces of which there will be so many, or, with 0, in chunks. No row is in use,
 * and nobody has a slot. FR_ERR_NOMEM: it is as it was.
 */
FR_NODISCARD fr_status fr_rows_begin(struct fr_rows *rows, size_t piece_count);

/*
 * So many slots in a row for new vectors, FR_ROW_PIECE_MAX at the most: a piece. FR_ERR_NOMEM,
 * FR_ERR_FULL.
 */
FR_NODISCARD fr_status fr_rows_take_piece(struct fr_rows *rows, size_t count, fr_slot *ret_first);

/* Free it. Nobody looks at its rows any more. */
void fr_rows_give_piece(struct fr_rows *rows, fr_slot first);

/* Memory in use. */
size_t fr_rows_bytes(const struct fr_rows *rows);

static inline struct fr_row_chunk *fr_rows_chunk(const struct fr_rows *rows, fr_slot slot)
{
    return atomic_load_explicit(&rows->chunks[slot >> rows->chunk_bits], memory_order_acquire);
}

static inline size_t fr_rows_offset(const struct fr_rows *rows, fr_slot slot)
{
    return slot & (((size_t)1 << rows->chunk_bits) - 1);
}

/* Of a slot that was taken once. */
static inline struct fr_row *fr_rows_row(const struct fr_rows *rows, fr_slot slot)
{
    return fr_rows_chunk(rows, slot)->rows + fr_rows_offset(rows, slot);
}

/* What follows is of rows whose codes are in memory. */

static inline int8_t *fr_rows_high(const struct fr_rows *rows, fr_slot slot)
{
    return fr_rows_chunk(rows, slot)->high + fr_rows_offset(rows, slot) * rows->dims;
}

static inline uint8_t *fr_rows_low(const struct fr_rows *rows, fr_slot slot)
{
    return fr_rows_chunk(rows, slot)->low +
           fr_rows_offset(rows, slot) * fr_row_low_size(rows->dims);
}

/* The place of a centroid's posting. */
static inline _Atomic(struct fr_node *) *fr_rows_node(const struct fr_rows *rows, fr_slot slot)
{
    return fr_rows_chunk(rows, slot)->nodes + fr_rows_offset(rows, slot);
}

static inline void fr_rows_decode(const struct fr_rows *rows, fr_slot slot, float *ret_x)
{
    fr_row_decode(fr_rows_high(rows, slot), fr_rows_low(rows, slot), fr_rows_row(rows, slot)->scale,
            rows->dims, ret_x);
}

#endif
