/* query.h - a query as the command line has it: a vector in words, or the id of one that is there.
 */
#ifndef FR_TOOLS_QUERY_H
#define FR_TOOLS_QUERY_H

#include "base/buf.h"
#include "tools/index_rows.h"

/*
 * Append the floats of a query to a buffer: "[1, 2]" or "1, 2", which has the dimension of the
 * index, or the vector of an id. FR_ERR_MISUSE: it is none. FR_ERR_MISSING: there is no such id.
 */
FR_NODISCARD fr_status fr_query_of_text(const struct fr_index_rows *rows, const char *text,
        struct fr_buf *to);
FR_NODISCARD fr_status fr_query_of_id(struct fr_index_rows *rows, const char *word,
        struct fr_buf *to);

/* FR_ERR_MISUSE: a query has another dimension than the index. */
FR_NODISCARD fr_status fr_query_check(const struct fr_index_rows *rows, uint64_t number,
        uint32_t dimension);

/* To search in a store's index that is there; what was opened is the caller's, also on failure. */
FR_NODISCARD fr_status fr_query_open(const char *path, const char *options, const char *index_name,
        struct fr_db **ret_db, struct fr_index_rows *ret_rows, struct fr_index **ret_index);

/* The word behind --recall. FR_ERR_MISUSE. */
FR_NODISCARD fr_status fr_recall_read(const char *word, double *ret_recall);

#endif
