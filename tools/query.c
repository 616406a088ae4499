#include "tools/query.h"

#include <inttypes.h>
#include <stdlib.h>

#include "tools/input.h"
#include "tools/json_read.h"
#include "tools/store.h"
#include "tools/vector_file.h"

fr_status fr_query_check(const struct fr_index_rows *rows, uint64_t number, uint32_t dimension)
{
    uint32_t wanted = rows->options.dimension;

    if (dimension == wanted) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE,
            "query %" PRIu64 " has the dimension %" PRIu32 ", the index %" PRIu32, number,
            dimension, wanted);
}

static fr_status append_vector(const struct fr_index_rows *rows, const float *vector,
        struct fr_buf *to)
{
    fr_buf_append(to, vector, rows->options.dimension * sizeof(float));
    return fr_buf_status(to) < 0 ? FR_FAIL(FR_ERR_NOMEM, "no memory for the query") : FR_OK;
}

/* As a line of jsonl. */
static fr_status open_text(const char *text, struct fr_buf *keeps,
        struct fr_vector_reader **ret_reader)
{
    bool brackets = text[0] == '[';
    struct fr_input *input;
    fr_status st;

    fr_buf_printf(keeps, "{\"vector\":%s%s%s}", brackets ? "" : "[", text, brackets ? "" : "]");
    if (fr_buf_status(keeps) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for the query");
    FR_TRY(fr_input_of_memory("the query", fr_buf_slice(keeps), 0, &input));
    st = fr_vector_reader_new(input, FR_VECTORS_JSONL, ret_reader);
out:
    return st;
}

fr_status fr_query_of_text(const struct fr_index_rows *rows, const char *text, struct fr_buf *to)
{
    struct fr_vector_reader *reader = NULL;
    struct fr_buf line = FR_BUF_EMPTY;
    struct fr_vector_row row;
    fr_status st;

    FR_TRY(open_text(text, &line, &reader));
    st = fr_vector_reader_next(reader, &row);
    if (st == FR_ERR_CORRUPT || st == FR_END)
        FR_TRY(FR_FAIL(FR_ERR_MISUSE, "\"%.60s\" is no vector, as \"[0.5, 1, 2]\" is", text));
    FR_TRY(st);
    FR_TRY(fr_query_check(rows, 0, row.dimension));
    st = append_vector(rows, row.vector, to);
out:
    fr_vector_reader_free(reader);
    fr_buf_deinit(&line);
    return st;
}

fr_status fr_query_of_id(struct fr_index_rows *rows, const char *word, struct fr_buf *to)
{
    struct fr_vector_row row;
    fr_status st;

    FR_TRY(fr_index_rows_find(rows, &(struct fr_text_form){.hex = false}, word, &row));
    if (st == FR_NOT_FOUND) return FR_FAIL(FR_ERR_MISSING, "there is no vector %s", word);
    st = append_vector(rows, row.vector, to);
out:
    return st;
}

fr_status fr_recall_read(const char *word, double *ret_recall)
{
    struct fr_json_in in = fr_json_in_of(fr_slice_of_text(word));
    (void)fr_json_read_number(&in);
    bool is_number = fr_json_whole(&in);
    double recall = is_number ? strtod(word, NULL) : 0; /* a float of 0.999 is more than that */

    if (!is_number || recall < 0.5 || recall > 0.999)
        return FR_FAIL(FR_ERR_MISUSE, "--recall: \"%.20s\" is no number from 0.5 to 0.999", word);
    *ret_recall = recall;
    return FR_OK;
}

fr_status fr_query_open(const char *path, const char *options, const char *index_name,
        struct fr_db **ret_db, struct fr_index_rows *ret_rows, struct fr_index **ret_index)
{
    struct fr_index_options how;
    fr_status st;

    fr_index_options_init(&how);
    how.create = false;
    FR_TRY(fr_store_open(path, FR_STORE_READ, options, ret_db));
    FR_TRY(fr_index_rows_open(*ret_db, index_name, ret_rows));
    FR_TRY(fr_index_open(*ret_db, index_name, &how, ret_index));
out:
    return st;
}
