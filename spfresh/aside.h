/*
 * aside.h - rows that a search reads from the store, since they are not in memory.
 *
 * Of a lean posting (spfresh/node.h) signs are in memory, and where the posting is stored. What a
 * scan wants of it is set aside: a row with an entry like those of other postings, but of no slot
 * of the tree. When it is to be measured it is read, and with it all that is between it and the
 * other rows of the posting that are wanted as yet: to read some kilobytes more costs less than to
 * read again. All postings that a step wants are read in one submission.
 *
 * Each row is checked before it is looked at, by the checksum of its record (spfresh/stored.h). A
 * posting that cannot be read so, for its file is gone, or it is damaged, has failed: it is to be
 * loaded as a whole, by which it is found out what is wrong.
 *
 * The memory is a search's, and is kept for the next one. One thread.
 */
#ifndef FR_SPFRESH_ASIDE_H
#define FR_SPFRESH_ASIDE_H

#include "spfresh/node.h"

struct fr_engine;
struct fr_engine_part;
struct fr_file;
struct fr_found;
struct fr_view;

/* The version of what was found aside: no slot has it that is in use. */
#define FR_ASIDE_VERSION 0

/* The file of a spot that is in the index's own file, and in no value file. */
#define FR_ASIDE_SCRATCH UINT64_MAX

struct fr_aside_row {
    struct fr_node_entry entry; /* of no slot; the scale is there once the row is */
    uint32_t number;
    uint32_t posting, place; /* the number of its posting here, and where it is in that */
    const int8_t *high;      /* NULL: not read yet */
    const uint8_t *low;
    uint64_t id;
};

enum fr_aside_state { FR_ASIDE_WANTED, FR_ASIDE_READING, FR_ASIDE_READ, FR_ASIDE_FAILED };

struct fr_aside_posting {
    const struct fr_node *node; /* as long as the search lasts; what follows for longer */
    uint32_t number, count;
    enum fr_aside_state state;
    uint32_t first, end; /* that were read */
    uint8_t *bytes;
};

struct fr_aside_memory;

struct fr_asides {
    /* Set by who searches, with what it reads. view NULL: it cannot read. */
    struct fr_engine *engine;
    struct fr_view *view;
    struct fr_file *scratch;
    fr_charge charge;
    size_t keep_max; /* bytes that are kept for the next search */

    struct fr_aside_posting *postings;
    size_t posting_count, posting_capacity, failed_count;
    struct fr_aside_row **rows; /* in runs, which stay where they are */
    size_t row_count, run_count, run_capacity;
    struct fr_engine_part *parts;
    struct fr_aside_memory *used, *unused;
};

/* All zeros is a good beginning. */
void fr_asides_deinit(struct fr_asides *asides);

/* A search begins: nothing is set aside. And it has ended: what was set aside is not there any
 * more, and no more memory is kept than may be; but it is known yet of which postings it was. */
void fr_asides_clear(struct fr_asides *asides);
void fr_asides_end(struct fr_asides *asides);

static inline bool fr_asides_can(const struct fr_asides *asides, const struct fr_node *node)
{
    return asides->view != NULL && node->spot.file != 0;
}

/* Set rows of a lean node aside, by their places in it. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_asides_add(struct fr_asides *asides, const struct fr_node *node,
        const uint32_t *places, size_t count, const struct fr_node_entry **ret_entries);

/*
 * Of the entries that are wanted, and were set aside: have postings read for the first so many, and
 * the rows of the chosen ones of these there. If failed_count is not 0 now, that many postings have
 * failed, and their rows are not there. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_asides_read(struct fr_asides *asides, size_t dims,
        const struct fr_node_entry *const *wanted, size_t count, size_t first, size_t chosen);

static inline bool fr_entry_is_aside(const struct fr_node_entry *entry)
{
    return entry->slot == FR_SLOT_NONE;
}

static inline struct fr_aside_row *fr_aside_of(const struct fr_node_entry *entry)
{
    return FR_CONTAINER_OF(fr_unconst(entry), struct fr_aside_row, entry);
}

#define FR_ASIDE_RUN_BITS 8

static inline struct fr_aside_row *fr_asides_row(const struct fr_asides *asides, uint32_t number)
{
    return &asides->rows[number >> FR_ASIDE_RUN_BITS][number & ((1U << FR_ASIDE_RUN_BITS) - 1)];
}

#endif
