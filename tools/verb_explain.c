/* verb_explain.c - what a search did, and why an id is not among its hits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/human.h"
#include "freshet/index.h"
#include "tools/index_rows.h"
#include "tools/json.h"
#include "tools/query.h"
#include "tools/store.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

/* More hits than these are no search but an export. */
#define K_MAX 1000000

/* Postings that are listed, if not all are asked for. */
#define POSTINGS_LISTED 8

struct explain {
    const char *path, *query, *index_name, *options, *recall, *id, *why_id;
    bool exhaustive, all, as_json;
    uint64_t k, postings;

    struct fr_search_options how;
    struct fr_search_record record;
    struct fr_search_why why;
    struct fr_db *db;
    struct fr_index *index;
    struct fr_index_rows rows;
    struct fr_buf vector;
    struct fr_hit *hits;   /* k */
    struct fr_text *texts; /* as many, or NULL: ids are numbers */
    size_t count;
};

/* Of a hit, if ids are text. */
static fr_slice text_of(const struct explain *e, size_t hit)
{
    if (e->texts == NULL) return fr_slice_of(NULL, 0);
    return fr_slice_of(e->texts[hit].data, e->texts[hit].size);
}

static void add_id(struct fr_json *json, uint64_t id, fr_slice text)
{
    if (text.size > 0)
        fr_text_json(json, "id", &(struct fr_text_form){.hex = false}, text);
    else
        fr_json_u64(json, "id", id);
}

/* --- In words --- */

static void tell_count(uint64_t count, bool applies)
{
    printf(" %10s", applies ? fr_human_count(count).text : "");
}

static void tell_step(const char *name, const struct fr_search_step *step, bool is_first)
{
    printf("%-22s", name);
    tell_count(step->postings, !is_first);
    tell_count(step->scanned, !is_first);
    tell_count(step->measured, true);
    printf(" %10.1f\n", step->us);
}

static void tell_time(const char *name, double us)
{
    printf("%-22s %10s %10s %10s %10.1f\n", name, "", "", "", us);
}

static void tell_steps(const struct fr_search_record *record)
{
    printf("%-22s %10s %10s %10s %10s\n", "step", "postings", "scanned", "measured", "us");
    tell_time("prepare", record->prepare_us);
    for (uint32_t tier = record->tiers; tier-- > 0;) {
        char name[32];
        snprintf(name, sizeof(name), "centroids, tier %" PRIu32, tier + 1);
        tell_step(name, &record->steps[tier + 1], tier + 1 == record->tiers);
    }
    tell_step("vectors", &record->steps[0], false);
    printf("%-22s %10s %10s %10s %10.1f\n", "by all bits", "", "",
            fr_human_count(record->finished).text, record->finish_us);
}

static void tell_rows(const struct fr_search_record *record)
{
    char what[128];

    snprintf(what, sizeof(what), "%s rows, %s", fr_human_count(record->rows_read).text,
            fr_human_size(record->bytes_read).text);
    printf("%-22s %32s %10.1f\n", "read", what, record->read_us);
    tell_time("total", record->total_us);
}

static void tell_postings(const struct explain *e, size_t listed)
{
    const struct fr_search_record *record = &e->record;

    if (record->tiers == 0) return;
    printf("\n%8s %10s %14s %10s\n", "nearest", "posting", "distance", "codes");
    for (size_t i = 0; i < listed; i++)
        printf("%8zu %10" PRIu64 " %14.7g %10" PRIu32 "\n", i + 1, record->postings[i].number,
                (double)record->postings[i].distance, record->postings[i].count);
    if (listed < record->steps[0].postings)
        printf("%8s, and %" PRIu64 " more\n", "...",
                (uint64_t)(record->steps[0].postings - listed));
}

/* How far it came. */
static void tell_probe(const struct fr_search_why *why)
{
    if (!why->probed) {
        printf("  that posting was not looked at\n");
        return;
    }
    printf("  its code says %.7g at least, when ", (double)why->estimate);
    if (isfinite(why->limit))
        printf("the limit was %.7g\n", (double)why->limit);
    else
        printf("there was no limit yet\n");
}

/* What the verdict means, with its figures. */
static void tell_why(const struct explain *e, bool by_postings)
{
    const struct fr_search_why *why = &e->why;

    printf("\nid %s: %s\n", e->why_id, fr_why_name(why->verdict));
    if (why->verdict == FR_WHY_MISSING) {
        printf("  there is no such vector\n");
        return;
    }
    printf("  it is %.7g away", (double)why->distance);
    if (by_postings)
        printf(", in posting %" PRIu64 ", whose centroid is %.7g away: number %" PRIu64
               " of the nearest",
                why->posting, (double)why->posting_distance, why->posting_rank);
    putchar('\n');
    if (by_postings) tell_probe(why);
}

static void tell_words(const struct explain *e, size_t listed)
{
    const struct fr_search_record *record = &e->record;

    if (record->tiers == 0) {
        printf("compared with every vector\n\n");
        printf("%-22s %10s %10s %10s %10s\n", "step", "", "", "", "us");
    } else {
        printf("effort: %" PRIu64 " postings, %" PRIu64
               " of centroids; codes may err by %.2f deviations\n\n",
                record->effort_postings, record->effort_width, record->effort_slack);
        tell_steps(record);
    }
    tell_rows(record);
    tell_postings(e, listed);
    printf("\n%8s %20s %14s\n", "hit", "id", "distance");
    for (size_t i = 0; i < e->count; i++)
        printf("%8zu %20s %14.7g\n", i + 1, fr_id_words(e->hits[i].id, text_of(e, i)).text,
                (double)e->hits[i].distance);
    if (e->why_id != NULL) tell_why(e, record->tiers > 0);
}

/* --- In JSON --- */

static void add_step(struct fr_json *json, const char *key, const struct fr_search_step *step)
{
    fr_json_begin_object(json, key);
    fr_json_u64(json, "postings", step->postings);
    fr_json_u64(json, "scanned", step->scanned);
    fr_json_u64(json, "measured", step->measured);
    fr_json_double(json, "us", step->us);
    fr_json_end_object(json);
}

static void add_record(struct fr_json *json, const struct fr_search_record *record)
{
    fr_json_u64(json, "effort_postings", record->effort_postings);
    fr_json_u64(json, "effort_width", record->effort_width);
    fr_json_double(json, "effort_slack", record->effort_slack);
    fr_json_begin_array(json, "centroids");
    for (uint32_t tier = record->tiers; tier > 0; tier--)
        add_step(json, NULL, &record->steps[tier]);
    fr_json_end_array(json);
    add_step(json, "vectors", &record->steps[0]);
    fr_json_u64(json, "finished", record->finished);
    fr_json_u64(json, "rows_read", record->rows_read);
    fr_json_u64(json, "bytes_read", record->bytes_read);
    fr_json_double(json, "prepare_us", record->prepare_us);
    fr_json_double(json, "finish_us", record->finish_us);
    fr_json_double(json, "read_us", record->read_us);
    fr_json_double(json, "total_us", record->total_us);
}

static void add_lists(struct fr_json *json, const struct explain *e, size_t listed)
{
    fr_json_begin_array(json, "postings");
    for (size_t i = 0; i < listed; i++) {
        fr_json_begin_object(json, NULL);
        fr_json_u64(json, "posting", e->record.postings[i].number);
        fr_json_float(json, "distance", e->record.postings[i].distance);
        fr_json_u64(json, "codes", e->record.postings[i].count);
        fr_json_end_object(json);
    }
    fr_json_end_array(json);
    fr_json_begin_array(json, "hits");
    for (size_t i = 0; i < e->count; i++) {
        fr_json_begin_object(json, NULL);
        add_id(json, e->hits[i].id, text_of(e, i));
        fr_json_float(json, "distance", e->hits[i].distance);
        fr_json_end_object(json);
    }
    fr_json_end_array(json);
}

static void add_why(struct fr_json *json, const struct explain *e)
{
    const struct fr_search_why *why = &e->why;
    bool is_text = e->rows.options.id_kind == FR_ID_TEXT;

    fr_json_begin_object(json, "why");
    add_id(json, why->id, is_text ? fr_slice_of_text(e->why_id) : fr_slice_of(NULL, 0));
    fr_json_text(json, "verdict", fr_why_name(why->verdict));
    if (why->verdict != FR_WHY_MISSING) {
        fr_json_float(json, "distance", why->distance);
        fr_json_u64(json, "posting", why->posting);
        fr_json_float(json, "posting_distance", why->posting_distance);
        fr_json_u64(json, "posting_rank", why->posting_rank);
        fr_json_bool(json, "probed", why->probed);
    }
    if (why->probed) {
        fr_json_float(json, "estimate", why->estimate);
        if (isfinite(why->limit)) fr_json_float(json, "limit", why->limit);
    }
    fr_json_end_object(json);
}

static fr_status tell_json(const struct explain *e, size_t listed)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    add_record(&json, &e->record);
    add_lists(&json, e, listed);
    if (e->why_id != NULL) add_why(&json, e);
    fr_json_end_object(&json);
    fr_status st = fr_json_print(&json);
    fr_buf_deinit(&json.text);
    return st;
}

/* --- The verb --- */

static fr_status make_room(struct explain *e)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    bool is_text = e->rows.options.id_kind == FR_ID_TEXT;
    fr_status st = fr_index_stats_get(e->index, &stats);

    if (st < 0) return st;
    e->hits = fr_alloc((size_t)e->k * sizeof(*e->hits));
    if (is_text) e->texts = fr_alloc_zeroed((size_t)e->k, sizeof(*e->texts));
    e->record.postings_room = (size_t)stats.postings + 1;
    e->record.postings = fr_alloc(e->record.postings_room * sizeof(*e->record.postings));
    if (e->hits == NULL || e->record.postings == NULL || (is_text && e->texts == NULL))
        return FR_FAIL(FR_ERR_NOMEM, "no memory for %" PRIu64 " hits", e->k);
    return FR_OK;
}

/* The number of a text that is not there is 0, which no text ever has. */
static fr_status choose_why(struct explain *e)
{
    const struct fr_text_id text = {.data = e->why_id, .size = strlen(e->why_id)};
    fr_status st;

    e->why.size = sizeof(e->why);
    e->record.why = &e->why;
    if (e->rows.options.id_kind != FR_ID_TEXT) return fr_id_read(e->why_id, &e->why.id);
    st = fr_index_get_text(e->index, text, &e->why.id, NULL, NULL);
    return st < 0 ? st : FR_OK;
}

static fr_status prepare(struct explain *e)
{
    fr_status st;

    FR_TRY(make_room(e));
    e->record.size = sizeof(e->record);
    if (e->why_id != NULL) FR_TRY(choose_why(e));
    e->how = (struct fr_search_options){.size = sizeof(e->how),
            .recall = e->how.recall,
            .postings = (uint32_t)e->postings,
            .exhaustive = e->exhaustive,
            .exact_distances = true,
            .ret_texts = e->texts};
out:
    return st;
}

/* Twice: the first time everything comes from far away, and what is told is what lasts. */
static fr_status search(struct explain *e)
{
    const float *query = (const float *)(const void *)e->vector.data;
    fr_status st;

    FR_TRY(fr_index_search(e->index, &e->how, query, (size_t)e->k, e->hits, &e->count));
    e->how.ret_records = &e->record;
    FR_TRY(fr_index_search(e->index, &e->how, query, (size_t)e->k, e->hits, &e->count));
out:
    return st;
}

static fr_status run_explain(struct explain *e)
{
    fr_status st;

    if (e->recall != NULL) FR_TRY(fr_recall_read(e->recall, &e->how.recall));
    FR_TRY(fr_query_open(e->path, e->options, e->index_name, &e->db, &e->rows, &e->index));
    FR_TRY(e->id != NULL ? fr_query_of_id(&e->rows, e->id, &e->vector)
                         : fr_query_of_text(&e->rows, e->query, &e->vector));
    FR_TRY(prepare(e));
    FR_TRY(search(e));
    size_t listed = (size_t)FR_MIN(e->record.steps[0].postings,
            e->all || e->as_json ? (uint64_t)e->record.postings_room : POSTINGS_LISTED);
    if (e->as_json)
        st = tell_json(e, listed);
    else
        tell_words(e, listed);
out:
    return st;
}

static void close_explain(struct explain *e)
{
    fr_index_rows_close(&e->rows);
    fr_index_close(e->index);
    fr_free(e->hits);
    fr_free(e->texts);
    fr_free(e->record.postings);
    fr_buf_deinit(&e->vector);
}

int fr_verb_explain(int argc, char **argv)
{
    static struct explain e = {.index_name = "", .k = 10};
    const struct fr_option options[] = {
            {"k", 'k', FR_OPTION_COUNT, "N", "how many of the nearest (10)", &e.k},
            {"id", 0, FR_OPTION_TEXT, "ID", "search for the vector that has this id", &e.id},
            {"why", 'w', FR_OPTION_TEXT, "ID", "what became of this one", &e.why_id},
            {"recall", 'r', FR_OPTION_TEXT, "R",
                    "so much of the k nearest shall be found, on average (0.95)", &e.recall},
            {"postings", 'p', FR_OPTION_COUNT, "N", "look at so many, whatever the recall",
                    &e.postings},
            {"exhaustive", 'e', FR_OPTION_FLAG, NULL, "compare with every vector", &e.exhaustive},
            {"all", 'a', FR_OPTION_FLAG, NULL, "list all postings that were looked at", &e.all},
            FR_OPTION_INDEX(&e.index_name, "of that name (the one without)"),
            FR_OPTION_STORE(&e.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "as one JSON object", &e.as_json},
    };
    struct fr_args args = {.verb = "explain",
            .summary =
                    "Search for a QUERY, as \"[0.5, 1, 2]\", and say what was done for it: how "
                    "many\n"
                    "postings and codes were looked at, what was measured and read, how long each\n"
                    "step took, and why an id is, or is not, among the hits.",
            .operand_names = "DIR [QUERY]",
            .operands_least = 1,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    e.path = args.operands[0];
    e.query = args.operand_count > 1 ? args.operands[1] : NULL;
    if ((e.query != NULL) + (e.id != NULL) != 1)
        return fr_args_misuse("explain", "needs a QUERY, or --id; one of them");
    if (e.k == 0 || e.k > K_MAX) return fr_args_misuse("explain", "-k is from 1 to 1000000");
    if (e.postings > UINT32_MAX) return fr_args_misuse("explain", "--postings is too large");
    fr_status st = run_explain(&e);
    if (st < 0) code = fr_exit_failed("explain");
    close_explain(&e);
    return fr_store_done("explain", FR_OK, code, e.db);
}
