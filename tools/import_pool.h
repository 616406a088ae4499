/*
 * import_pool.h - rows into an index by several threads, batch by batch: each batch is one write,
 * and those that wait for the disk at the same time share its syncs.
 *
 * One thread adds rows. Of rows with the same id the last one counts, as if they came one after the
 * other: a batch waits until no other with one of its ids is under way. A batch that is refused
 * for one of its rows is done again row by row, and only what is refused then is told.
 */
#ifndef FR_TOOLS_IMPORT_POOL_H
#define FR_TOOLS_IMPORT_POOL_H

#include "freshet/index.h"
#include "tools/vector_file.h"

struct fr_import_pool;

struct fr_import_plan {
    struct fr_index *index;
    uint32_t dimension;
    bool text_ids;       /* rows have a text, else a number */
    uint64_t batch_rows; /* 1 at least */
    uint64_t threads;    /* 1 at least */

    /* A row is refused, with the reason as this thread's last error. Any thread. */
    void (*refused)(void *context, const struct fr_vector_row *row);
    void *context;
};

FR_NODISCARD fr_status fr_import_pool_new(const struct fr_import_plan *plan,
        struct fr_import_pool **ret_pool);

/* Copies the row. Fails with the failure of whichever batch failed first. */
FR_NODISCARD fr_status fr_import_pool_add(struct fr_import_pool *pool,
        const struct fr_vector_row *row);

/* May a row of this one's id have been added that is not written yet? If not, the store has the
 * last one. */
bool fr_import_pool_may_hold(struct fr_import_pool *pool, const struct fr_vector_row *row);

/* Returns when all that was added is written. */
FR_NODISCARD fr_status fr_import_pool_drain(struct fr_import_pool *pool);

/* Rows that are written by now. Any thread. */
uint64_t fr_import_pool_written(struct fr_import_pool *pool);

/* What is under way is waited for; what was added, and is not, is dropped. NULL is fine. */
void fr_import_pool_free(struct fr_import_pool *pool);

#endif
