#include "tools/index_rows.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "tools/store.h"
#include "tools/vector_id.h"

static fr_status read_options(struct fr_index_rows *rows)
{
    struct fr_index_key key = fr_key_options(&rows->prefix);
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    FR_TRY(fr_db_get(rows->db, NULL, key.bytes, key.size, &value));
    if (st == FR_NOT_FOUND)
        FR_TRY(FR_FAIL(FR_ERR_MISSING, "the store has no index \"%s\"", rows->name));
    FR_TRY(fr_stored_read_options(fr_slice_of(value.data, value.size), &rows->options));
out:
    fr_pinned_release(&value);
    return st;
}

fr_status fr_index_rows_open(struct fr_db *db, const char *name, struct fr_index_rows *ret_rows)
{
    struct fr_index_rows rows = {.db = db, .name = name};
    fr_status st;

    FR_TRY(fr_index_name_check(name));
    fr_key_prefix(name, &rows.prefix);
    rows.kind = fr_key_kind(&rows.prefix, 'v');
    FR_TRY(read_options(&rows));
    rows.vector = fr_alloc(rows.options.dimension * sizeof(float));
    if (rows.vector == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a vector"));
    *ret_rows = rows;
out:
    return st;
}

void fr_index_rows_close(struct fr_index_rows *rows)
{
    fr_pinned_release(&rows->value);
    fr_iterator_free(rows->it);
    fr_free(rows->vector);
    *rows = (struct fr_index_rows){.db = NULL};
}

/* The decoder's words do not say whose row it is. */
static fr_status read_row(struct fr_index_rows *rows, uint64_t id, fr_slice value,
        struct fr_vector_row *ret_row)
{
    char why[FR_ERROR_TEXT_MAX];
    fr_slice payload, text = {NULL, 0};
    fr_status st = fr_stored_read_vector(value, rows->options.dimension, rows->vector, &payload);

    if (st == FR_OK && rows->options.id_kind == FR_ID_TEXT)
        st = fr_stored_split_text(&payload, &text);
    if (st < 0) {
        snprintf(why, sizeof(why), "%s", fr_last_error());
        return FR_FAIL(st, "index \"%s\", id %" PRIu64 ": %s", rows->name, id, why);
    }
    *ret_row = (struct fr_vector_row){.id = id,
            .text = text,
            .vector = rows->vector,
            .dimension = rows->options.dimension,
            .payload = payload};
    return FR_OK;
}

fr_status fr_index_rows_get(struct fr_index_rows *rows, uint64_t id, struct fr_vector_row *ret_row)
{
    struct fr_index_key key = fr_key_vector(&rows->prefix, id);

    fr_pinned_release(&rows->value);
    fr_status st = fr_db_get(rows->db, NULL, key.bytes, key.size, &rows->value);
    if (st != FR_OK) return st;
    return read_row(rows, id, fr_slice_of(rows->value.data, rows->value.size), ret_row);
}

fr_status fr_index_rows_get_text(struct fr_index_rows *rows, fr_slice text,
        struct fr_vector_row *ret_row)
{
    struct fr_pinned value = {.data = NULL};
    uint64_t id = 0;
    fr_status st;

    if (text.size == 0 || text.size > FR_TEXT_ID_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "an id of %zu bytes: texts have 1 to %d", text.size,
                FR_TEXT_ID_MAX);
    struct fr_index_key key = fr_key_text(&rows->prefix, text);
    st = fr_db_get(rows->db, NULL, key.bytes, key.size, &value);
    if (st == FR_OK) st = fr_stored_read_text(fr_slice_of(value.data, value.size), &id);
    fr_pinned_release(&value);
    return st != FR_OK ? st : fr_index_rows_get(rows, id, ret_row);
}

fr_status fr_index_rows_find(struct fr_index_rows *rows, const struct fr_text_form *form,
        const char *word, struct fr_vector_row *ret_row)
{
    struct fr_buf text = FR_BUF_EMPTY;
    uint64_t id = 0;
    fr_status st;

    if (rows->options.id_kind == FR_ID_TEXT) {
        FR_TRY(fr_text_read(form, word, &text));
        st = fr_index_rows_get_text(rows, fr_buf_slice(&text), ret_row);
    } else {
        FR_TRY(fr_id_read(word, &id));
        st = fr_index_rows_get(rows, id, ret_row);
    }
out:
    fr_buf_deinit(&text);
    return st;
}

fr_status fr_index_rows_next(struct fr_index_rows *rows, struct fr_vector_row *ret_row)
{
    struct fr_read_options how = {.size = sizeof(how),
            .no_cache = true,
            .prefix = rows->kind.bytes,
            .prefix_size = rows->kind.size};
    fr_slice key, value;
    uint64_t id;
    fr_status st;

    if (rows->it == NULL) FR_TRY(fr_iterator_new(rows->db, &how, &rows->it));
    FR_TRY(fr_iterator_next(rows->it));
    if (st == FR_END) return st;
    key.data = fr_iterator_key(rows->it, &key.size);
    value.data = fr_iterator_value(rows->it, &value.size);
    FR_TRY(fr_key_read_vector(&rows->kind, key, &id));
    FR_TRY(read_row(rows, id, value, ret_row));
out:
    return st;
}
