/* verb_search.c - the nearest vectors to one query, or to each of a file. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "freshet/index.h"
#include "tools/index_rows.h"
#include "tools/input.h"
#include "tools/json_read.h"
#include "tools/store.h"
#include "tools/vector_file.h"
#include "tools/verbs.h"

/* More hits than these are no search but an export. */
#define K_MAX 1000000

struct search {
    const char *path, *query, *file, *format_name, *index_name, *options, *recall, *id;
    bool exhaustive, payloads, as_json;
    uint64_t k, limit;

    struct fr_search_options how;
    struct fr_db *db;
    struct fr_index *index;
    struct fr_index_rows rows;
    struct fr_buf literal;
    struct fr_vector_reader *reader;
    struct fr_hit *hits; /* k */
    struct fr_buf line;
};

/* --- Queries --- */

/* "[1, 2]" or "1, 2", as a line of jsonl. */
static fr_status open_literal(struct search *s, struct fr_input **ret_input)
{
    const char *text = s->query;
    bool brackets = text[0] == '[';

    fr_buf_printf(&s->literal, "{\"vector\":%s%s%s}", brackets ? "" : "[", text,
            brackets ? "" : "]");
    if (fr_buf_status(&s->literal) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for the query");
    return fr_input_of_memory("the query", fr_buf_slice(&s->literal), 0, ret_input);
}

static fr_status open_queries(struct search *s)
{
    struct fr_input *input;
    fr_status st;

    if (s->file != NULL) return fr_vector_reader_open(s->file, s->format_name, NULL, &s->reader);
    FR_TRY(open_literal(s, &input));
    FR_TRY(fr_vector_reader_new(input, FR_VECTORS_JSONL, &s->reader));
out:
    return st;
}

/* --- Answers --- */

static fr_status payload_of(struct search *s, uint64_t id, fr_slice *ret_payload)
{
    struct fr_index_row row = {.payload = {NULL, 0}};
    fr_status st = fr_index_rows_get(&s->rows, id, &row);

    if (st >= 0) *ret_payload = row.payload;
    return st;
}

static fr_status tell_hit_json(struct search *s, struct fr_json *json, const struct fr_hit *hit)
{
    fr_slice payload = {NULL, 0};
    fr_status st = FR_OK;

    if (s->payloads) FR_TRY(payload_of(s, hit->id, &payload));
    fr_json_begin_object(json, NULL);
    fr_json_u64(json, "id", hit->id);
    fr_json_float(json, "distance", hit->distance);
    fr_vector_payload_json(json, payload);
    fr_json_end_object(json);
out:
    return st;
}

static fr_status tell_json(struct search *s, uint64_t number, size_t count)
{
    struct fr_json json = FR_JSON_EMPTY;
    fr_status st = FR_OK;

    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "query", number);
    fr_json_begin_array(&json, "hits");
    for (size_t i = 0; i < count; i++)
        FR_TRY(tell_hit_json(s, &json, &s->hits[i]));
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    FR_TRY(fr_json_print(&json));
out:
    fr_buf_deinit(&json.text);
    return st;
}

/* The query's number stands in front where there may be several. */
static fr_status tell_hit(struct search *s, uint64_t number, const struct fr_hit *hit)
{
    fr_slice payload = {NULL, 0};
    fr_status st = FR_OK;

    if (s->payloads) FR_TRY(payload_of(s, hit->id, &payload));
    fr_buf_clear(&s->line);
    if (s->file != NULL) fr_buf_printf(&s->line, "%" PRIu64 "\t", number);
    fr_buf_printf(&s->line, "%" PRIu64 "\t%.7g", hit->id, (double)hit->distance);
    if (s->payloads) {
        fr_buf_u8(&s->line, '\t');
        fr_text_append(&(struct fr_text_form){.hex = false}, payload, &s->line);
    }
    fr_buf_u8(&s->line, '\n');
    FR_TRY(fr_buf_status(&s->line) < 0 ? FR_FAIL(FR_ERR_NOMEM, "no memory for a line") : FR_OK);
    fwrite(s->line.data, 1, s->line.size, stdout);
out:
    return st;
}

static fr_status answer(struct search *s, uint64_t number, const float *query, uint32_t dimension)
{
    uint32_t wanted = s->rows.options.dimension;
    size_t count;
    fr_status st;

    if (dimension != wanted)
        return FR_FAIL(FR_ERR_MISUSE,
                "query %" PRIu64 " has the dimension %" PRIu32 ", the index %" PRIu32, number,
                dimension, wanted);
    FR_TRY(fr_index_search(s->index, &s->how, query, (size_t)s->k, s->hits, &count));
    if (s->as_json) return tell_json(s, number, count);
    for (size_t i = 0; i < count; i++)
        FR_TRY(tell_hit(s, number, &s->hits[i]));
out:
    return st;
}

static fr_status answer_file(struct search *s)
{
    struct fr_vector_row row;
    fr_status st;

    for (uint64_t i = 0; i < s->limit && !ferror(stdout); i++) {
        st = fr_vector_reader_next(s->reader, &row);
        if (st == FR_ERR_CORRUPT && s->query != NULL)
            return FR_FAIL(FR_ERR_MISUSE, "\"%.60s\" is no vector, as \"[0.5, 1, 2]\" is",
                    s->query);
        if (st != FR_OK) return st < 0 ? st : FR_OK;
        FR_TRY(answer(s, row.number, row.vector, row.dimension));
    }
    return FR_OK;
out:
    return st;
}

/* The neighbours of a vector that is there, itself among them. */
static fr_status answer_id(struct search *s)
{
    struct fr_index_row row;
    struct fr_buf query = FR_BUF_EMPTY;
    uint64_t id = 0;
    fr_status st;

    FR_TRY(fr_id_read(s->id, &id));
    FR_TRY(fr_index_rows_get(&s->rows, id, &row));
    if (st == FR_NOT_FOUND) return FR_FAIL(FR_ERR_MISSING, "there is no vector %" PRIu64, id);
    size_t size = s->rows.options.dimension * sizeof(float);
    fr_buf_append(&query, row.vector, size); /* the row's place is needed for payloads */
    FR_TRY(fr_buf_status(&query));
    FR_TRY(answer(s, 0, (const float *)(const void *)query.data, s->rows.options.dimension));
out:
    fr_buf_deinit(&query);
    return st;
}

/* --- The verb --- */

static fr_status read_recall(struct search *s)
{
    struct fr_json_in in = fr_json_in_of(fr_slice_of_text(s->recall));
    fr_slice number = fr_json_read_number(&in);
    float recall = 0;

    if (!fr_json_whole(&in) || !fr_json_to_float(number, &recall) || recall < 0.5f ||
            recall > 0.999f)
        return FR_FAIL(FR_ERR_MISUSE, "--recall: \"%.20s\" is no number from 0.5 to 0.999",
                s->recall);
    s->how.recall = (double)recall;
    return FR_OK;
}

static fr_status open_index(struct search *s)
{
    struct fr_index_options options;
    fr_status st;

    fr_index_options_init(&options);
    options.create = false;
    FR_TRY(fr_store_open(s->path, FR_STORE_READ, s->options, &s->db));
    FR_TRY(fr_index_rows_open(s->db, s->index_name, &s->rows));
    FR_TRY(fr_index_open(s->db, s->index_name, &options, &s->index));
out:
    return st;
}

static fr_status run_search(struct search *s)
{
    fr_status st;

    if (s->recall != NULL) FR_TRY(read_recall(s));
    s->how.size = sizeof(s->how);
    s->how.exhaustive = s->exhaustive;
    s->how.exact_distances = true;
    s->hits = fr_alloc((size_t)s->k * sizeof(*s->hits));
    if (s->hits == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for the hits"));
    if (s->id == NULL) FR_TRY(open_queries(s));
    FR_TRY(open_index(s));
    FR_TRY(s->id == NULL ? answer_file(s) : answer_id(s));
out:
    return st;
}

static void close_search(struct search *s)
{
    fr_vector_reader_free(s->reader);
    fr_index_rows_close(&s->rows);
    fr_index_close(s->index);
    fr_free(s->hits);
    fr_buf_deinit(&s->literal);
    fr_buf_deinit(&s->line);
}

int fr_verb_search(int argc, char **argv)
{
    static struct search s = {.index_name = "", .k = 10, .limit = UINT64_MAX};
    const struct fr_option options[] = {
            {"k", 'k', FR_OPTION_COUNT, "N", "how many of the nearest (10)", &s.k},
            {"queries", 'q', FR_OPTION_TEXT, "FILE", "each vector of a file; - is standard input",
                    &s.file},
            {"format", 'f', FR_OPTION_TEXT, "FORMAT",
                    "of that file (by its name, or how it begins)", &s.format_name},
            {"limit", 'n', FR_OPTION_COUNT, "N", "only the first queries of it", &s.limit},
            {"id", 0, FR_OPTION_TEXT, "ID", "the vector that has this id", &s.id},
            {"recall", 'r', FR_OPTION_TEXT, "R",
                    "so much of the k nearest shall be found, on average (0.95)", &s.recall},
            {"exhaustive", 'e', FR_OPTION_FLAG, NULL, "compare with every vector", &s.exhaustive},
            {"payload", 'p', FR_OPTION_FLAG, NULL, "with the payloads of the hits", &s.payloads},
            FR_OPTION_INDEX(&s.index_name, "of that name (the one without)"),
            FR_OPTION_STORE(&s.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "each query as a JSON object on a line", &s.as_json},
    };
    struct fr_args args = {.verb = "search",
            .summary =
                    "Print the vectors nearest to a QUERY, as \"[0.5, 1, 2]\", to each vector of "
                    "a\n"
                    "file, or to one that is there: id, tab, distance on a line, nearest first.\n"
                    "Of a file, the number of the query stands in front.",
            .operand_names = "DIR [QUERY]",
            .operands_least = 1,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    s.path = args.operands[0];
    s.query = args.operand_count > 1 ? args.operands[1] : NULL;
    if ((s.query != NULL) + (s.file != NULL) + (s.id != NULL) != 1)
        return fr_args_misuse("search", "needs a QUERY, or --queries, or --id; one of them");
    if (s.k == 0 || s.k > K_MAX) return fr_args_misuse("search", "-k is from 1 to 1000000");
    fr_status st = run_search(&s);
    if (st < 0) code = fr_exit_failed("search");
    close_search(&s);
    return fr_store_done("search", FR_OK, code, s.db);
}
