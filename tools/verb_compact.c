/* verb_compact.c - rewrite the tables of a range of keys into the last level. */
#include <inttypes.h>
#include <stdio.h>

#include "base/human.h"
#include "tools/key_range.h"
#include "tools/verbs.h"

struct compact {
    struct fr_text_form form;
    const char *options;
    struct fr_key_range range;
    bool as_json;
    struct fr_db *db;
    struct fr_db_stats before, after;
};

static const void *bound(const struct fr_buf *key)
{
    return key->size == 0 ? NULL : key->data;
}

static void tell_words(const char *when, const struct fr_db_stats *stats)
{
    printf("%-7s %6s tables of %10s, %6s value files of %10s\n", when,
            fr_human_count(stats->table_count).text, fr_human_size(stats->table_bytes).text,
            fr_human_count(stats->value_file_count).text,
            fr_human_size(stats->value_file_bytes).text);
}

static void tell_json(struct fr_json *json, const char *when, const struct fr_db_stats *stats)
{
    fr_json_begin_object(json, when);
    fr_json_u64(json, "tables", stats->table_count);
    fr_json_u64(json, "table_bytes", stats->table_bytes);
    fr_json_u64(json, "value_files", stats->value_file_count);
    fr_json_u64(json, "value_file_bytes", stats->value_file_bytes);
    fr_json_end_object(json);
}

static fr_status tell(struct compact *c)
{
    struct fr_json json = FR_JSON_EMPTY;

    if (!c->as_json) {
        tell_words("before", &c->before);
        tell_words("after", &c->after);
        return FR_OK;
    }
    fr_json_begin_object(&json, NULL);
    tell_json(&json, "before", &c->before);
    tell_json(&json, "after", &c->after);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

static fr_status run_compact(struct compact *c, const char *path)
{
    const struct fr_key_range *range = &c->range;
    fr_status st;

    FR_TRY(fr_key_range_read(&c->range, &c->form));
    FR_TRY(fr_store_open(path, FR_STORE_WRITE, c->options, &c->db));
    FR_TRY(fr_db_flush(c->db)); /* so that the figures before have all of it */
    FR_TRY(fr_db_stats_get(c->db, &c->before));
    FR_TRY(fr_db_compact_range(c->db, bound(&range->from), range->from.size, bound(&range->to),
            range->to.size));
    FR_TRY(fr_db_stats_get(c->db, &c->after));
    FR_TRY(tell(c));
out:
    return st;
}

int fr_verb_compact(int argc, char **argv)
{
    static struct compact c = {
            .before = {.size = sizeof(c.before)}, .after = {.size = sizeof(c.after)}};
    const struct fr_option options[] = {
            FR_OPTION_FROM(&c.range),
            FR_OPTION_TO(&c.range),
            FR_OPTION_PREFIX(&c.range),
            FR_OPTION_HEX(&c.form),
            FR_OPTION_BASE64(&c.form),
            FR_OPTION_STORE(&c.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "before and after as one JSON object", &c.as_json},
    };
    struct fr_args args = {.verb = "compact",
            .summary = "Rewrite the tables of a range of keys, or of all, into the last level: "
                       "deletes\n"
                       "and old values in it are gone then. Never necessary. Writes to the store.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    fr_status st = run_compact(&c, args.operands[0]);
    code = fr_store_done("compact", st, FR_EXIT_FINE, c.db);
    fr_key_range_deinit(&c.range);
    return code;
}
