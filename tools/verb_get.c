/* verb_get.c - the values of keys, or the vectors of ids. */
#include <stdio.h>

#include "tools/index_rows.h"
#include "tools/store.h"
#include "tools/vector_file.h"
#include "tools/verbs.h"

struct get {
    struct fr_text_form form;
    const char *options;
    const char *index_name; /* NULL: keys and values */
    bool as_json, raw;
    struct fr_db *db;
    struct fr_buf key;
    struct fr_buf line;
    struct fr_json json;
    bool missed; /* a key or an id that is not there */
};

static fr_status tell_value(struct get *g, fr_slice value)
{
    if (g->as_json) {
        fr_json_begin_object(&g->json, NULL);
        fr_text_json(&g->json, "key", &g->form, fr_buf_slice(&g->key));
        fr_text_json(&g->json, "value", &g->form, value);
        fr_json_end_object(&g->json);
        return fr_json_print(&g->json);
    }
    fr_buf_clear(&g->line);
    if (g->form.hex || g->form.base64) {
        fr_text_append(&g->form, value, &g->line);
        if (fr_buf_status(&g->line) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for a value");
        value = fr_buf_slice(&g->line);
    }
    fwrite(value.data, 1, value.size, stdout);
    if (!g->raw) putchar('\n');
    return FR_OK;
}

static fr_status get_key(struct get *g, const char *word)
{
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    fr_buf_clear(&g->key);
    FR_TRY(fr_text_read(&g->form, word, &g->key));
    FR_TRY(fr_db_get(g->db, NULL, g->key.data, g->key.size, &value));
    if (st == FR_NOT_FOUND) {
        fprintf(stderr, "freshet get: there is no key %s\n", word);
        g->missed = true;
    } else {
        FR_TRY(tell_value(g, fr_slice_of(value.data, value.size)));
    }
out:
    fr_pinned_release(&value);
    return st;
}

static fr_status get_keys(struct get *g, char *const *words, size_t count)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count && st >= 0; i++)
        st = get_key(g, words[i]);
    return st;
}

static fr_status get_id(struct get *g, struct fr_index_rows *rows, const char *word)
{
    struct fr_vector_row row;
    fr_status st;

    FR_TRY(fr_index_rows_find(rows, &g->form, word, &row));
    if (st == FR_NOT_FOUND) {
        fprintf(stderr, "freshet get: there is no vector %s\n", word);
        g->missed = true;
        return FR_OK;
    }
    fr_buf_clear(&g->line);
    fr_vector_line(&g->line, &row);
    if (fr_buf_status(&g->line) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for a vector");
    fwrite(g->line.data, 1, g->line.size, stdout);
out:
    return st;
}

static fr_status get_ids(struct get *g, char *const *words, size_t count)
{
    struct fr_index_rows rows = {.db = NULL};
    fr_status st;

    FR_TRY(fr_index_rows_open(g->db, g->index_name, &rows));
    for (size_t i = 0; i < count; i++)
        FR_TRY(get_id(g, &rows, words[i]));
out:
    fr_index_rows_close(&rows);
    return st;
}

static fr_status run_get(struct get *g, const struct fr_args *args)
{
    fr_status st;

    FR_TRY(fr_store_open(args->operands[0], FR_STORE_READ, g->options, &g->db));
    if (g->index_name != NULL) return get_ids(g, args->operands + 1, args->operand_count - 1);
    return get_keys(g, args->operands + 1, args->operand_count - 1);
out:
    return st;
}

int fr_verb_get(int argc, char **argv)
{
    static struct get g;
    const struct fr_option options[] = {
            FR_OPTION_INDEX(&g.index_name, "vectors of that index, \"\" for the one without name"),
            FR_OPTION_HEX(&g.form),
            FR_OPTION_BASE64(&g.form),
            {"raw", 'r', FR_OPTION_FLAG, NULL, "no line feed behind the value", &g.raw},
            FR_OPTION_STORE(&g.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "each key as a JSON object on a line", &g.as_json},
    };
    struct fr_args args = {.verb = "get",
            .summary = "Print the values of keys, or, with --index, the vectors of ids as lines of "
                       "jsonl.\n"
                       "Exits with 1 if one of them is not there.",
            .operand_names = "DIR KEY...",
            .operands_least = 2,
            .operands_most = SIZE_MAX,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    fr_status st = run_get(&g, &args);
    code = fr_store_done("get", st, g.missed ? FR_EXIT_FINDINGS : FR_EXIT_FINE, g.db);
    fr_buf_deinit(&g.key);
    fr_buf_deinit(&g.line);
    return code;
}
