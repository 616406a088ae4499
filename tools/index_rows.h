/*
 * index_rows.h - the vectors of an index straight from their rows in the store (spfresh/stored.h),
 * without the index in memory: opening costs nothing, and a store that is damaged elsewhere will
 * do.
 */
#ifndef FR_TOOLS_INDEX_ROWS_H
#define FR_TOOLS_INDEX_ROWS_H

#include "freshet/db.h"
#include "spfresh/stored.h"

/* Every row of a verb's option table that names an index. */
#define FR_OPTION_INDEX(target, help)                                                              \
    {                                                                                              \
        "index", 'i', FR_OPTION_TEXT, "NAME", (help), (target)                                     \
    }

struct fr_index_rows {
    struct fr_db *db;
    const char *name;
    struct fr_index_key prefix, kind; /* of all keys, and of those of vectors */
    struct fr_stored_options options;
    float *vector; /* of the row that was read last */

    /* Of the row that was read last, until the next one. */
    struct fr_pinned value;
    struct fr_iterator *it;
};

struct fr_index_row {
    uint64_t id;
    const float *vector;
    fr_slice payload;
};

/* The name must stay. FR_ERR_MISSING: there is no such index. FR_ERR_MISUSE: nor can there be. */
FR_NODISCARD fr_status fr_index_rows_open(struct fr_db *db, const char *name,
        struct fr_index_rows *ret_rows);
void fr_index_rows_close(struct fr_index_rows *rows);

/* A word of the command line as an id. FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_id_read(const char *word, uint64_t *ret_id);

/* FR_NOT_FOUND. The row is valid until the next call. */
FR_NODISCARD fr_status fr_index_rows_get(struct fr_index_rows *rows, uint64_t id,
        struct fr_index_row *ret_row);

/* Rows by id, as of the first call. FR_END. */
FR_NODISCARD fr_status fr_index_rows_next(struct fr_index_rows *rows, struct fr_index_row *ret_row);

#endif
