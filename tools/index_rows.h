/*
 * index_rows.h - the vectors of an index straight from their rows in the store (spfresh/stored.h),
 * without the index in memory: opening costs nothing, and a store that is damaged elsewhere will
 * do.
 */
#ifndef FR_TOOLS_INDEX_ROWS_H
#define FR_TOOLS_INDEX_ROWS_H

#include "freshet/db.h"
#include "spfresh/stored.h"
#include "tools/vector_file.h"

struct fr_text_form;

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

/* The name must stay. FR_ERR_MISSING: there is no such index. FR_ERR_MISUSE: nor can there be. */
FR_NODISCARD fr_status fr_index_rows_open(struct fr_db *db, const char *name,
        struct fr_index_rows *ret_rows);
void fr_index_rows_close(struct fr_index_rows *rows);

/*
 * FR_NOT_FOUND. The row is valid until the next call, and has a text if the ids of the index are;
 * its id is the number of that then. The second one is for these only.
 */
FR_NODISCARD fr_status fr_index_rows_get(struct fr_index_rows *rows, uint64_t id,
        struct fr_vector_row *ret_row);
FR_NODISCARD fr_status fr_index_rows_get_text(struct fr_index_rows *rows, fr_slice text,
        struct fr_vector_row *ret_row);

/*
 * By a word of the command line: a number, or a text in that form (tools/store.h). FR_NOT_FOUND.
 * FR_ERR_MISUSE: it is no id of the index's kind.
 */
FR_NODISCARD fr_status fr_index_rows_find(struct fr_index_rows *rows,
        const struct fr_text_form *form, const char *word, struct fr_vector_row *ret_row);

/* Rows by id, as of the first call; of texts, these are in the order in which they came. FR_END. */
FR_NODISCARD fr_status fr_index_rows_next(struct fr_index_rows *rows,
        struct fr_vector_row *ret_row);

#endif
