/* verb_search.c - the nearest vectors to one query, or to each of a file. */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "freshet/index.h"
#include "tools/index_rows.h"
#include "tools/query.h"
#include "tools/store.h"
#include "tools/vector_file.h"
#include "tools/verbs.h"

/* More hits than these are no search but an export. */
#define K_MAX 1000000

/* Queries of a file that are searched for at once, and the hits of them all. */
#define BLOCK_QUERIES 512
#define BLOCK_HITS    65536

struct search {
    const char *path, *query, *file, *format_name, *index_name, *options, *recall, *id;
    bool exhaustive, payloads, as_json;
    uint64_t k, limit;

    struct fr_search_options how;
    struct fr_db *db;
    struct fr_index *index;
    struct fr_index_rows rows;
    struct fr_vector_reader *reader;

    /* What is searched for at once. */
    size_t count, room;
    struct fr_buf queries;
    uint64_t numbers[BLOCK_QUERIES];
    size_t counts[BLOCK_QUERIES];
    struct fr_hit *hits;      /* k of each */
    struct fr_pinned *pinned; /* as many, or NULL */
    struct fr_text *texts;    /* as many, or NULL: ids are numbers */
    struct fr_buf line;
};

/* --- Answers --- */

static fr_slice text_of(const struct search *s, size_t at)
{
    return fr_slice_of(s->texts[at].data, s->texts[at].size);
}

static fr_slice payload_of(const struct search *s, size_t at)
{
    if (s->pinned == NULL) return (fr_slice){NULL, 0};
    return fr_slice_of(s->pinned[at].data, s->pinned[at].size);
}

static fr_status tell_json(struct search *s, size_t query)
{
    struct fr_json json = FR_JSON_EMPTY;
    fr_status st;

    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "query", s->numbers[query]);
    fr_json_begin_array(&json, "hits");
    for (size_t i = 0; i < s->counts[query]; i++) {
        size_t at = query * (size_t)s->k + i;
        fr_json_begin_object(&json, NULL);
        if (s->texts == NULL)
            fr_json_u64(&json, "id", s->hits[at].id);
        else
            fr_text_json(&json, "id", &(struct fr_text_form){.hex = false}, text_of(s, at));
        fr_json_float(&json, "distance", s->hits[at].distance);
        fr_vector_payload_json(&json, payload_of(s, at));
        fr_json_end_object(&json);
    }
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    st = fr_json_print(&json);
    fr_buf_deinit(&json.text);
    return st;
}

/* The query's number stands in front where there may be several. */
static fr_status tell_hit(struct search *s, uint64_t number, size_t at)
{
    fr_status st;

    fr_buf_clear(&s->line);
    if (s->file != NULL) fr_buf_printf(&s->line, "%" PRIu64 "\t", number);
    if (s->texts == NULL)
        fr_buf_printf(&s->line, "%" PRIu64, s->hits[at].id);
    else
        fr_text_append(&(struct fr_text_form){.hex = false}, text_of(s, at), &s->line);
    fr_buf_printf(&s->line, "\t%.7g", (double)s->hits[at].distance);
    if (s->payloads) {
        fr_buf_u8(&s->line, '\t');
        fr_text_append(&(struct fr_text_form){.hex = false}, payload_of(s, at), &s->line);
    }
    fr_buf_u8(&s->line, '\n');
    FR_TRY(fr_buf_status(&s->line) < 0 ? FR_FAIL(FR_ERR_NOMEM, "no memory for a line") : FR_OK);
    fwrite(s->line.data, 1, s->line.size, stdout);
out:
    return st;
}

static fr_status tell(struct search *s, size_t query)
{
    fr_status st = FR_OK;

    if (s->as_json) return tell_json(s, query);
    for (size_t i = 0; i < s->counts[query]; i++)
        FR_TRY(tell_hit(s, s->numbers[query], query * (size_t)s->k + i));
out:
    return st;
}

static void release_payloads(struct search *s)
{
    for (size_t i = 0; s->pinned != NULL && i < s->count * (size_t)s->k; i++)
        fr_pinned_release(&s->pinned[i]);
}

/* Search for all that has been read, and forget it. */
static fr_status answer(struct search *s)
{
    fr_status st;

    FR_TRY(fr_index_search_batch(s->index, &s->how, s->count,
            (const float *)(const void *)s->queries.data, (size_t)s->k, s->hits, s->counts));
    for (size_t i = 0; i < s->count; i++)
        FR_TRY(tell(s, i));
out:
    release_payloads(s);
    s->count = 0;
    fr_buf_clear(&s->queries);
    return st;
}

/* --- Queries --- */

static fr_status read_block(struct search *s, uint64_t most)
{
    struct fr_vector_row row;
    fr_status st = FR_OK;

    while (s->count < s->room && s->count < most) {
        FR_TRY(fr_vector_reader_next(s->reader, &row));
        if (st == FR_END) break;
        FR_TRY(fr_query_check(&s->rows, row.number, row.dimension));
        fr_buf_append(&s->queries, row.vector, row.dimension * sizeof(float));
        s->numbers[s->count++] = row.number;
    }
    if (fr_buf_status(&s->queries) < 0) st = FR_FAIL(FR_ERR_NOMEM, "no memory for queries");
out:
    return st;
}

/* What came before a failure is answered all the same. */
static fr_status answer_file(struct search *s)
{
    struct fr_error failure = {.size = sizeof(failure)};
    uint64_t left = s->limit;
    fr_status st = FR_OK, of_reading = FR_OK;

    while (of_reading == FR_OK && left > 0 && !ferror(stdout)) {
        of_reading = read_block(s, left);
        if (of_reading < 0) fr_error_save(&failure);
        left -= s->count;
        FR_TRY(answer(s));
    }
    if (of_reading < 0) st = fr_error_restore(&failure);
out:
    return st;
}

static fr_status answer_one(struct search *s)
{
    fr_status st;

    FR_TRY(s->id != NULL ? fr_query_of_id(&s->rows, s->id, &s->queries)
                         : fr_query_of_text(&s->rows, s->query, &s->queries));
    s->count = 1;
    st = answer(s);
out:
    return st;
}

/* --- The verb --- */

static fr_status make_room(struct search *s)
{
    size_t most = FR_MAX(BLOCK_HITS / (size_t)s->k, (size_t)1);

    s->room = s->file == NULL ? 1 : FR_MIN(most, (size_t)BLOCK_QUERIES);
    size_t hits = s->room * (size_t)s->k;
    s->hits = fr_alloc(hits * sizeof(*s->hits));
    if (s->payloads) s->pinned = fr_alloc_zeroed(hits, sizeof(*s->pinned));
    if (s->rows.options.id_kind == FR_ID_TEXT) {
        s->texts = fr_alloc_zeroed(hits, sizeof(*s->texts));
        if (s->texts == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the hits");
    }
    s->how.ret_texts = s->texts;
    if (s->hits == NULL || (s->payloads && s->pinned == NULL))
        return FR_FAIL(FR_ERR_NOMEM, "no memory for the hits");
    s->how.ret_payloads = s->pinned;
    return FR_OK;
}

static fr_status run_search(struct search *s)
{
    fr_status st;

    if (s->recall != NULL) FR_TRY(fr_recall_read(s->recall, &s->how.recall));
    s->how.size = sizeof(s->how);
    s->how.exhaustive = s->exhaustive;
    s->how.exact_distances = true;
    if (s->file != NULL) FR_TRY(fr_vector_reader_open(s->file, s->format_name, NULL, &s->reader));
    FR_TRY(fr_query_open(s->path, s->options, s->index_name, &s->db, &s->rows, &s->index));
    FR_TRY(make_room(s));
    FR_TRY(s->file != NULL ? answer_file(s) : answer_one(s));
out:
    return st;
}

static void close_search(struct search *s)
{
    fr_vector_reader_free(s->reader);
    fr_index_rows_close(&s->rows);
    fr_index_close(s->index);
    fr_free(s->hits);
    fr_free(s->pinned);
    fr_free(s->texts);
    fr_buf_deinit(&s->queries);
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
