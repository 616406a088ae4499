/* verb_stat.c - what a store holds: a screen of it, or all its properties. */
#include <inttypes.h>
#include <stdio.h>

#include "base/human.h"
#include "freshet/index.h"
#include "tools/index_rows.h"
#include "tools/metric.h"
#include "tools/store.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

struct stat_verb {
    const char *options;
    const char *index_name; /* NULL: of the store */
    bool all, as_json, prometheus;
    struct fr_db *db;
    struct fr_buf text;
};

/* Of a row of the screen: how many files, and their size. */
static void tell_files(const char *what, uint64_t count, uint64_t bytes)
{
    printf("%-14s %10s  %12s\n", what, fr_human_count(count).text, fr_human_size(bytes).text);
}

static fr_status tell_index_line(struct stat_verb *s, const char *name)
{
    struct fr_index_rows rows;
    fr_status st = fr_index_rows_open(s->db, name, &rows);

    if (st == FR_ERR_CORRUPT || st == FR_ERR_MISSING) {
        printf("index          \"%s\", options damaged or lost\n", name);
        return FR_OK;
    }
    if (st < 0) return st;
    printf("index          \"%s\", dimension %" PRIu32 ", %s%s\n", name, rows.options.dimension,
            fr_metric_name(rows.options.metric),
            rows.options.id_kind == FR_ID_TEXT ? ", ids of text" : "");
    fr_index_rows_close(&rows);
    return FR_OK;
}

static fr_status tell_indexes(struct stat_verb *s)
{
    char name[FR_INDEX_NAME_MAX + 1];
    fr_status st = fr_index_next_name(s->db, NULL, name);

    for (; st == FR_OK; st = fr_index_next_name(s->db, name, name))
        FR_TRY(tell_index_line(s, name));
out:
    return st < 0 ? st : FR_OK;
}

static fr_status tell_screen(struct stat_verb *s, const char *path)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};
    fr_status st;

    FR_TRY(fr_db_stats_get(s->db, &stats));
    printf("store          %s\n", path);
    printf("last write     number %s\n", fr_human_count(stats.last_seq).text);
    printf("in memory      %s, still in the log only\n", fr_human_size(stats.memtable_bytes).text);
    printf("\n%-14s %10s  %12s\n", "files", "count", "size");
    for (size_t i = 0; i < FR_ARRAY_COUNT(stats.level_tables); i++) {
        char what[16];
        if (stats.level_tables[i] == 0) continue;
        snprintf(what, sizeof(what), "level %zu", i);
        tell_files(what, stats.level_tables[i], stats.level_bytes[i]);
    }
    tell_files("tables", stats.table_count, stats.table_bytes);
    tell_files("value files", stats.value_file_count, stats.value_file_bytes);
    printf("%-14s %10s  %12s\n\n", "  of garbage", "",
            fr_human_size(stats.value_garbage_bytes).text);
    printf("to compact     %s\n", fr_human_size(stats.compaction_debt_bytes).text);
    FR_TRY(tell_indexes(s));
out:
    return st;
}

/* All properties in that format, whose text grows while it is asked for. */
static fr_status tell_all(struct stat_verb *s, fr_dump_format format)
{
    size_t size = 16384;
    fr_status st;

    do {
        fr_buf_clear(&s->text);
        size_t room = size + 1024;
        char *to = (char *)fr_buf_extend(&s->text, room);
        if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the properties");
        FR_TRY(fr_db_dump(s->db, format, to, room, &size));
    } while (size >= s->text.size);
    fwrite(s->text.data, 1, size, stdout);
    if (size > 0 && s->text.data[size - 1] != '\n') putchar('\n');
out:
    return st;
}

static fr_status tell_some(struct stat_verb *s, char *const *names, size_t count)
{
    struct fr_json json = FR_JSON_EMPTY;
    char value[256];
    fr_status st = FR_OK;

    if (s->as_json) fr_json_begin_object(&json, NULL);
    for (size_t i = 0; i < count; i++) {
        uint64_t number;
        size_t size;
        FR_TRY(fr_db_property(s->db, names[i], value, sizeof(value), &size));
        if (!s->as_json)
            printf("%s\n", value);
        else if (fr_db_property_u64(s->db, names[i], &number) == FR_OK)
            fr_json_u64(&json, names[i], number);
        else
            fr_json_text(&json, names[i], value);
    }
    if (!s->as_json) return FR_OK;
    fr_json_end_object(&json);
    FR_TRY(fr_json_print(&json));
out:
    fr_buf_deinit(&json.text);
    return st;
}

/* --- Of an index --- */

static void tell_index_words(const char *name, const struct fr_index_stats *stats)
{
    printf("index          \"%s\"\n", name);
    printf("vectors        %s of dimension %" PRIu32 ", %s%s\n", fr_human_count(stats->count).text,
            stats->dimension, fr_metric_name(stats->metric),
            stats->id_kind == FR_ID_TEXT ? ", ids of text" : "");
    printf("postings       %s in %" PRIu64 " tiers\n", fr_human_count(stats->postings).text,
            stats->tiers);
    printf("waiting        %s postings, for maintenance\n", fr_human_count(stats->pending).text);
    printf("in memory      %s\n", fr_human_size(stats->bytes).text);
    if (stats->rows_lost + stats->ranges_lost > 0)
        printf("lost           %s rows, and what was in %s ranges of ids: %s\n",
                fr_human_count(stats->rows_lost).text, fr_human_count(stats->ranges_lost).text,
                stats->lost_why);
}

static fr_status tell_index_json(const char *name, const struct fr_index_stats *stats)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "index", name);
    fr_json_u64(&json, "vectors", stats->count);
    fr_json_u64(&json, "dimension", stats->dimension);
    fr_json_text(&json, "metric", fr_metric_name(stats->metric));
    fr_json_text(&json, "ids", fr_id_kind_name(stats->id_kind));
    fr_json_u64(&json, "postings", stats->postings);
    fr_json_u64(&json, "tiers", stats->tiers);
    fr_json_u64(&json, "pending", stats->pending);
    fr_json_u64(&json, "bytes", stats->bytes);
    fr_json_u64(&json, "rebuilt", stats->rebuilt);
    fr_json_u64(&json, "generation", stats->generation);
    fr_json_u64(&json, "rows_lost", stats->rows_lost);
    fr_json_u64(&json, "ranges_lost", stats->ranges_lost);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

static fr_status tell_index(struct stat_verb *s)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_index_options options;
    struct fr_index *index = NULL;
    fr_status st;

    fr_index_options_init(&options);
    options.create = false;
    FR_TRY(fr_index_open(s->db, s->index_name, &options, &index));
    FR_TRY(fr_index_wait_loaded(index)); /* the figures are of all of it */
    FR_TRY(fr_index_stats_get(index, &stats));
    if (s->as_json)
        FR_TRY(tell_index_json(s->index_name, &stats));
    else
        tell_index_words(s->index_name, &stats);
out:
    fr_index_close(index);
    return st;
}

static fr_status run_stat(struct stat_verb *s, const struct fr_args *args)
{
    fr_status st;

    FR_TRY(fr_store_open(args->operands[0], FR_STORE_READ, s->options, &s->db));
    if (s->index_name != NULL)
        FR_TRY(tell_index(s));
    else if (args->operand_count > 1)
        FR_TRY(tell_some(s, args->operands + 1, args->operand_count - 1));
    else if (s->prometheus || s->as_json)
        FR_TRY(tell_all(s, s->as_json ? FR_DUMP_JSON : FR_DUMP_PROMETHEUS));
    else
        FR_TRY(s->all ? tell_all(s, FR_DUMP_TEXT) : tell_screen(s, args->operands[0]));
out:
    return st;
}

int fr_verb_stat(int argc, char **argv)
{
    static struct stat_verb s;
    const struct fr_option options[] = {
            FR_OPTION_INDEX(&s.index_name, "that index, \"\" for the one without name"),
            {"all", 'a', FR_OPTION_FLAG, NULL, "all properties, a line each", &s.all},
            {"json", 0, FR_OPTION_FLAG, NULL, "the properties as one JSON object", &s.as_json},
            {"prometheus", 0, FR_OPTION_FLAG, NULL, "the same for Prometheus", &s.prometheus},
            FR_OPTION_STORE(&s.options),
    };
    struct fr_args args = {.verb = "stat",
            .summary = "Say what a store holds: a screen of it, one of its indexes, or the "
                       "properties\n"
                       "that are named, as of this moment in this process: counters begin with 0 "
                       "at opening.",
            .operand_names = "DIR [PROPERTY...]",
            .operands_least = 1,
            .operands_most = SIZE_MAX,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    fr_status st = run_stat(&s, &args);
    code = fr_store_done("stat", st, FR_EXIT_FINE, s.db);
    fr_buf_deinit(&s.text);
    return code;
}
