/* verb_rebuild.c - build what finds the vectors of an index anew, from these. */
#include <inttypes.h>
#include <stdio.h>

#include "base/human.h"
#include "spfresh/stored.h"
#include "tools/index_rows.h"
#include "tools/metric.h"
#include "tools/store.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

struct rebuild {
    const char *index_name, *options, *metric_name, *ids_name;
    uint64_t dimension;
    struct fr_rebuild_options how;
    uint64_t threads;
    bool as_json;
    struct fr_db *db;
    struct fr_index *index;
};

static void tell_words(const struct rebuild *r, const struct fr_index_stats *stats)
{
    printf("index \"%s\": %s vectors in %s postings, generation %" PRIu32 "\n", r->index_name,
            fr_human_count(stats->count).text, fr_human_count(stats->postings).text,
            stats->generation);
}

static fr_status tell_json(const struct rebuild *r, const struct fr_index_stats *stats)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "index", r->index_name);
    fr_json_u64(&json, "vectors", stats->count);
    fr_json_u64(&json, "postings", stats->postings);
    fr_json_u64(&json, "generation", stats->generation);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

/* What the index has, or what it is to have where nobody knows any more. */
static fr_status read_lost(const struct rebuild *r, struct fr_index_options *ret_options)
{
    fr_status st = FR_OK;

    fr_index_options_init(ret_options);
    ret_options->create = false;
    if (r->metric_name != NULL) FR_TRY(fr_metric_read(r->metric_name, &ret_options->metric));
    if (r->ids_name != NULL) FR_TRY(fr_id_kind_read(r->ids_name, &ret_options->id_kind));
    if (r->dimension > FR_DIMENSION_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "--dimension: it is from 1 to %d", FR_DIMENSION_MAX);
    ret_options->dimension = (uint32_t)r->dimension;
out:
    return st;
}

static fr_status run_rebuild(struct rebuild *r, const char *path)
{
    struct fr_index_options options;
    struct fr_index_stats stats = {.size = sizeof(stats)};
    fr_status st;

    FR_TRY(read_lost(r, &options));
    FR_TRY(fr_store_open(path, FR_STORE_WRITE, r->options, &r->db));
    FR_TRY(fr_index_open(r->db, r->index_name, &options, &r->index));
    FR_TRY(fr_index_rebuild(r->index, &r->how));
    FR_TRY(fr_index_stats_get(r->index, &stats));
    if (r->as_json)
        st = tell_json(r, &stats);
    else
        tell_words(r, &stats);
out:
    return st;
}

int fr_verb_rebuild(int argc, char **argv)
{
    static struct rebuild r = {.index_name = "", .how = {.size = sizeof(r.how)}};
    const struct fr_option options[] = {
            FR_OPTION_INDEX(&r.index_name, "of that name (the one without)"),
            {"metric", 'm', FR_OPTION_TEXT, "METRIC",
                    "of one whose options are lost: l2, cosine or ip", &r.metric_name},
            {"dimension", 'd', FR_OPTION_COUNT, "N", "the same, if no row says it", &r.dimension},
            FR_OPTION_IDS(&r.ids_name, "the same, if that cannot be read: number or text"),
            {"threads", 0, FR_OPTION_COUNT, "N", "that build (half of the processors)", &r.threads},
            FR_OPTION_STORE(&r.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "as one JSON object", &r.as_json},
    };
    struct fr_args args = {.verb = "rebuild",
            .summary =
                    "Build what finds the vectors of an index anew, from all that it has now: for\n"
                    "one whose vectors have become quite other ones than the first were. Writes "
                    "to the\n"
                    "store; until the end what there was stays in use.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (r.threads > 1024) return fr_args_misuse("rebuild", "--threads is from 1 to 1024");
    r.how.threads = (uint32_t)r.threads;
    fr_status st = run_rebuild(&r, args.operands[0]);
    if (st < 0) code = fr_exit_failed("rebuild");
    fr_index_close(r.index);
    return fr_store_done("rebuild", FR_OK, code, r.db);
}
