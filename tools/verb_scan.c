/* verb_scan.c - keys and values in order. */
#include <inttypes.h>
#include <stdio.h>

#include "tools/key_range.h"
#include "tools/verbs.h"

struct scan {
    struct fr_text_form form;
    const char *options;
    struct fr_key_range range;
    uint64_t limit;
    bool reverse, keys_only, count_only, as_json;
    struct fr_db *db;
    struct fr_iterator *it;
    struct fr_buf line;
    struct fr_json json;
    uint64_t count, key_bytes, value_bytes;
};

static fr_status tell_entry(struct scan *s, fr_slice key, fr_slice value)
{
    if (s->as_json) {
        fr_json_begin_object(&s->json, NULL);
        fr_text_json(&s->json, "key", &s->form, key);
        if (!s->keys_only) fr_text_json(&s->json, "value", &s->form, value);
        fr_json_end_object(&s->json);
        return fr_json_print(&s->json);
    }
    fr_buf_clear(&s->line);
    fr_text_append(&s->form, key, &s->line);
    if (!s->keys_only) {
        fr_buf_u8(&s->line, '\t');
        fr_text_append(&s->form, value, &s->line);
    }
    fr_buf_u8(&s->line, '\n');
    if (fr_buf_status(&s->line) < 0) return FR_FAIL(FR_ERR_NOMEM, "no memory for a line");
    fwrite(s->line.data, 1, s->line.size, stdout);
    return FR_OK;
}

static fr_status take_entry(struct scan *s)
{
    fr_slice key, value;

    key.data = fr_iterator_key(s->it, &key.size);
    value.data = fr_iterator_value(s->it, &value.size);
    s->count++;
    s->key_bytes += key.size;
    s->value_bytes += value.size;
    return s->count_only ? FR_OK : tell_entry(s, key, value);
}

/* A reader that has gone, like head, ends it. */
static fr_status take_entries(struct scan *s)
{
    fr_status st = FR_OK;

    while (s->count < s->limit && !ferror(stdout)) {
        FR_TRY(s->reverse ? fr_iterator_prev(s->it) : fr_iterator_next(s->it));
        if (st == FR_END) return FR_OK;
        FR_TRY(take_entry(s));
    }
out:
    return st;
}

static fr_status tell_counts(struct scan *s)
{
    if (!s->as_json) {
        printf("%" PRIu64 " keys of %" PRIu64 " bytes, values of %" PRIu64 " bytes\n", s->count,
                s->key_bytes, s->value_bytes);
        return FR_OK;
    }
    fr_json_begin_object(&s->json, NULL);
    fr_json_u64(&s->json, "keys", s->count);
    fr_json_u64(&s->json, "key_bytes", s->key_bytes);
    fr_json_u64(&s->json, "value_bytes", s->value_bytes);
    fr_json_end_object(&s->json);
    return fr_json_print(&s->json);
}

static fr_status run_scan(struct scan *s, const char *path)
{
    struct fr_read_options how = {.size = sizeof(how), .no_cache = true};
    fr_status st;

    FR_TRY(fr_key_range_read(&s->range, &s->form));
    FR_TRY(fr_store_open(path, FR_STORE_READ, s->options, &s->db));
    if (s->range.from.size > 0) how.lower = s->range.from.data;
    how.lower_size = s->range.from.size;
    if (s->range.to.size > 0) how.upper = s->range.to.data;
    how.upper_size = s->range.to.size;
    FR_TRY(fr_iterator_new(s->db, &how, &s->it));
    if (s->reverse) fr_iterator_seek_last(s->it);
    FR_TRY(take_entries(s));
    if (s->count_only) FR_TRY(tell_counts(s));
out:
    return st;
}

int fr_verb_scan(int argc, char **argv)
{
    static struct scan s = {.limit = UINT64_MAX};
    const struct fr_option options[] = {
            FR_OPTION_FROM(&s.range),
            FR_OPTION_TO(&s.range),
            FR_OPTION_PREFIX(&s.range),
            {"limit", 'n', FR_OPTION_COUNT, "N", "end after so many keys (all)", &s.limit},
            {"reverse", 'r', FR_OPTION_FLAG, NULL, "from the last to the first", &s.reverse},
            {"keys", 'k', FR_OPTION_FLAG, NULL, "keys only", &s.keys_only},
            {"count", 'c', FR_OPTION_FLAG, NULL, "only how many, and how large", &s.count_only},
            FR_OPTION_HEX(&s.form),
            FR_OPTION_BASE64(&s.form),
            FR_OPTION_STORE(&s.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "each key as a JSON object on a line", &s.as_json},
    };
    struct fr_args args = {.verb = "scan",
            .summary =
                    "Print keys and values in order, as of one moment: key, tab, value on a line.\n"
                    "What a line cannot take is escaped: \\n, \\t, \\\\, \\xHH.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    fr_status st = run_scan(&s, args.operands[0]);
    fr_iterator_free(s.it);
    code = fr_store_done("scan", st, FR_EXIT_FINE, s.db);
    fr_buf_deinit(&s.line);
    fr_key_range_deinit(&s.range);
    return code;
}
