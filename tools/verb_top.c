/*
 * verb_top.c - where a store has most to do: what its tables carry that is dead, how far compaction
 * lags, and which postings of an index are large or have changed much.
 *
 * It goes by the manifest and by what tables say of themselves, so it opens no store, and its time
 * does not depend on how much the store holds, but for the postings: their entries are read, and no
 * rows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/human.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/manifest.h"
#include "lsm/picker.h"
#include "spfresh/tree.h"
#include "tools/index_rows.h"
#include "tools/metric.h"
#include "tools/store.h"
#include "tools/top_postings.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

/* While a writer begins a new manifest the old one may vanish under our eyes. */
#define RETRIES 50

struct top_verb {
    const char *path;
    const char *index_name; /* NULL: the one without name, if there is one */
    uint64_t count;         /* of each list */
    bool as_json;
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_obsolete obsolete;
    struct fr_super super;
    struct fr_manifest_state manifest;
    struct fr_top_index index;
    struct fr_json json;
};

/* Of what there is, in percent. */
static double percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

/* ---- Levels ---- */

struct level {
    uint64_t tables, bytes, entries, deletes, ranges, appends;
};

static void add_table(struct level *sum, const struct fr_edit_table *meta)
{
    sum->tables++;
    sum->bytes += meta->size;
    sum->entries += meta->entry_count;
    sum->deletes += meta->delete_count;
    sum->ranges += meta->range_count;
    sum->appends += meta->append_count;
}

static void tell_level(struct top_verb *v, unsigned number, const struct level *level)
{
    if (!v->as_json) {
        printf("level %u %8" PRIu64 " %12s %14s %12s %8s %12s %6.1f %%\n", number, level->tables,
                fr_human_size(level->bytes).text, fr_human_count(level->entries).text,
                fr_human_count(level->deletes).text, fr_human_count(level->ranges).text,
                fr_human_count(level->appends).text, percent(level->deletes, level->entries));
        return;
    }
    fr_json_begin_object(&v->json, NULL);
    fr_json_u64(&v->json, "level", number);
    fr_json_u64(&v->json, "tables", level->tables);
    fr_json_u64(&v->json, "bytes", level->bytes);
    fr_json_u64(&v->json, "entries", level->entries);
    fr_json_u64(&v->json, "deletes", level->deletes);
    fr_json_u64(&v->json, "ranges", level->ranges);
    fr_json_u64(&v->json, "appends", level->appends);
    fr_json_double(&v->json, "deletes_percent", percent(level->deletes, level->entries));
    fr_json_end_object(&v->json);
}

static void tell_levels(struct top_verb *v)
{
    const struct fr_version *version = v->manifest.version;

    if (v->as_json)
        fr_json_begin_array(&v->json, "levels");
    else
        printf("%-7s %8s %12s %14s %12s %8s %12s %8s\n", "", "tables", "size", "entries", "deletes",
                "ranges", "appends", "deletes");
    for (unsigned i = 0; i < FR_LEVEL_COUNT; i++) {
        struct level sum = {.tables = 0};

        for (size_t j = 0; j < version->levels[i].count; j++)
            add_table(&sum, &version->levels[i].tables[j]->meta);
        if (sum.tables > 0) tell_level(v, i, &sum);
    }
    if (v->as_json) fr_json_end_array(&v->json);
}

/* ---- Tables with the most that is dead ---- */

struct dense {
    const struct fr_edit_table *meta;
    unsigned level;
};

/* Ranges count as one delete each: how much they hide is not known here. */
static double density(const struct fr_edit_table *meta)
{
    return percent(meta->delete_count + meta->range_count, meta->entry_count + meta->range_count);
}

static int compare_dense(const void *a, const void *b)
{
    const struct fr_edit_table *x = ((const struct dense *)a)->meta;
    const struct fr_edit_table *y = ((const struct dense *)b)->meta;
    double dx = density(x), dy = density(y);

    if (dx != dy) return dx < dy ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static void tell_table(struct top_verb *v, const struct dense *table)
{
    const struct fr_edit_table *meta = table->meta;

    if (!v->as_json) {
        printf("table %06" PRIu64 "  level %u  %12s  %s deletes and %s ranges among %s entries, "
               "%.1f %%\n",
                meta->number, table->level, fr_human_size(meta->size).text,
                fr_human_count(meta->delete_count).text, fr_human_count(meta->range_count).text,
                fr_human_count(meta->entry_count).text, density(meta));
        return;
    }
    fr_json_begin_object(&v->json, NULL);
    fr_json_u64(&v->json, "number", meta->number);
    fr_json_u64(&v->json, "level", table->level);
    fr_json_u64(&v->json, "bytes", meta->size);
    fr_json_u64(&v->json, "entries", meta->entry_count);
    fr_json_u64(&v->json, "deletes", meta->delete_count);
    fr_json_u64(&v->json, "ranges", meta->range_count);
    fr_json_double(&v->json, "percent", density(meta));
    fr_json_end_object(&v->json);
}

static fr_status tell_tables(struct top_verb *v)
{
    const struct fr_version *version = v->manifest.version;
    struct fr_buf list = FR_BUF_EMPTY;
    fr_status st;

    for (unsigned i = 0; i < FR_LEVEL_COUNT; i++)
        for (size_t j = 0; j < version->levels[i].count; j++) {
            struct dense table = {.meta = &version->levels[i].tables[j]->meta, .level = i};
            if (table.meta->delete_count + table.meta->range_count > 0)
                fr_buf_append(&list, &table, sizeof(table));
        }
    FR_TRY(fr_buf_status(&list));
    struct dense *tables = (struct dense *)(void *)list.data;
    size_t count = list.size / sizeof(*tables);
    if (count > 0) qsort(tables, count, sizeof(*tables), compare_dense);
    if (v->as_json) fr_json_begin_array(&v->json, "tables");
    for (size_t i = 0; i < count && i < v->count; i++)
        tell_table(v, &tables[i]);
    if (v->as_json) fr_json_end_array(&v->json);
out:
    fr_buf_deinit(&list);
    return st;
}

/* ---- Debt ---- */

static void tell_debt(struct top_verb *v)
{
    const struct fr_picker_options options = fr_picker_options_default();
    const struct fr_version *version = v->manifest.version;
    uint64_t debt = fr_picker_debt(version, &options), live = 0, values = 0;

    for (size_t i = 0; i < version->values_count; i++) {
        live += version->values_live[i];
        values += version->values[i]->meta.value_bytes;
    }
    if (v->as_json) {
        fr_json_u64(&v->json, "compaction_debt_bytes", debt);
        fr_json_u64(&v->json, "value_bytes", values);
        fr_json_u64(&v->json, "value_garbage_bytes", values - FR_MIN(values, live));
    } else {
        printf("to compact  %s\n", fr_human_size(debt).text);
        printf("garbage     %s of %s in value files\n",
                fr_human_size(values - FR_MIN(values, live)).text, fr_human_size(values).text);
    }
}

/* ---- Postings ---- */

static int compare_rows(const void *a, const void *b)
{
    const struct fr_top_posting *x = a, *y = b;

    if (x->rows != y->rows) return x->rows < y->rows ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static int compare_changed(const void *a, const void *b)
{
    const struct fr_top_posting *x = a, *y = b;

    if (x->changed != y->changed) return x->changed < y->changed ? 1 : -1;
    return compare_rows(a, b);
}

static void tell_posting(struct top_verb *v, const struct fr_top_posting *p)
{
    if (!v->as_json) {
        printf("%10" PRIu32 " %8" PRIu32 " %12s %8" PRIu32 " %12.6g\n", p->number, p->rows,
                fr_human_size(p->bytes).text, p->changed, (double)p->radius);
        return;
    }
    fr_json_begin_object(&v->json, NULL);
    fr_json_u64(&v->json, "posting", p->number);
    fr_json_u64(&v->json, "rows", p->rows);
    fr_json_u64(&v->json, "bytes", p->bytes);
    fr_json_u64(&v->json, "changed", p->changed);
    fr_json_float(&v->json, "radius", p->radius);
    fr_json_end_object(&v->json);
}

static void tell_list(struct top_verb *v, const char *name, const char *words,
        int (*compare)(const void *a, const void *b))
{
    size_t count;
    struct fr_top_posting *postings = fr_top_postings(&v->index, &count);

    if (v->as_json)
        fr_json_begin_array(&v->json, name);
    else
        printf("\n%s\n%10s %8s %12s %8s %12s\n", words, "posting", "rows", "size", "changed",
                "radius");
    if (count > 0) qsort(postings, count, sizeof(*postings), compare);
    for (size_t i = 0; i < count && i < v->count; i++)
        if (compare != compare_changed || postings[i].changed > 0) tell_posting(v, &postings[i]);
    if (v->as_json) fr_json_end_array(&v->json);
}

/* Postings that maintenance would look at if the index were open. */
static void count_debt(const struct top_verb *v, uint64_t *ret_large, uint64_t *ret_small)
{
    struct fr_tree_options options = fr_tree_options_default();
    size_t count;
    const struct fr_top_posting *postings = fr_top_postings(&v->index, &count);

    *ret_large = *ret_small = 0;
    for (size_t i = 0; i < count; i++) {
        *ret_large += postings[i].rows > options.split_limit;
        *ret_small += count > 1 && postings[i].rows < options.merge_limit;
    }
}

static void tell_index(struct top_verb *v, const char *name)
{
    const struct fr_top_index *index = &v->index;
    uint64_t large, small;
    size_t count;

    (void)fr_top_postings(index, &count);
    count_debt(v, &large, &small);
    if (v->as_json) {
        fr_json_begin_object(&v->json, "index");
        fr_json_text(&v->json, "name", name);
        fr_json_u64(&v->json, "dimension", index->options.dimension);
        fr_json_text(&v->json, "ids", fr_id_kind_name(index->options.id_kind));
        fr_json_u64(&v->json, "postings", count);
        fr_json_u64(&v->json, "rows", index->rows);
        fr_json_u64(&v->json, "changed", index->changed);
        fr_json_u64(&v->json, "bytes", index->bytes);
        fr_json_u64(&v->json, "to_split", large);
        fr_json_u64(&v->json, "to_merge", small);
    } else {
        printf("\nindex \"%s\" of dimension %" PRIu32 ": %s postings of %s, %s rows in them\n",
                name, index->options.dimension, fr_human_count(count).text,
                fr_human_size(index->bytes).text, fr_human_count(index->rows).text);
        printf("%s rows have come or left since their posting was last written as a whole\n",
                fr_human_count(index->changed).text);
        printf("to maintain %s postings to split, %s to merge\n", fr_human_count(large).text,
                fr_human_count(small).text);
    }
    tell_list(v, "largest", "largest", compare_rows);
    tell_list(v, "most_changed", "most changed", compare_changed);
    if (v->as_json) fr_json_end_object(&v->json);
}

/* ---- The whole ---- */

static fr_status read_store(struct top_verb *v, const char *name)
{
    fr_status st;

    FR_TRY(fr_super_read(v->dir, &v->super));
    FR_TRY(fr_manifest_replay(v->dir, &v->super, &v->obsolete, false, &v->manifest));
    FR_TRY(fr_top_index_read(v->dir, &v->super, &v->manifest, name, &v->index));
out:
    return st;
}

static void forget_store(struct top_verb *v)
{
    fr_top_index_deinit(&v->index);
    v->index = (struct fr_top_index){.exists = false};
    fr_version_unref(v->manifest.version);
    v->manifest = (struct fr_manifest_state){.version = NULL};
}

/* Beside a writer anything may be gone at the next look, and there again at the one after that. */
static fr_status read_some_moment(struct top_verb *v, const char *name)
{
    fr_status st = read_store(v, name);
    struct fr_super before = v->super, now = before;

    for (int i = 0; i < RETRIES && st < 0; i++) {
        struct fr_error error = {.size = sizeof(error)};

        fr_error_save(&error);
        if (fr_super_read(v->dir, &now) < 0 || now.generation == before.generation)
            return fr_error_restore(&error);
        before = now;
        forget_store(v);
        st = read_store(v, name);
    }
    return st;
}

static fr_status run_top(struct top_verb *v)
{
    const char *name = v->index_name != NULL ? v->index_name : "";
    fr_status st;

    FR_TRY(fr_env_open(NULL, &v->env));
    FR_TRY(fr_dir_open(v->env, v->path, 0, &v->dir));
    FR_TRY(read_some_moment(v, name));
    if (!v->index.exists && v->index_name != NULL)
        return FR_FAIL(FR_ERR_MISSING, "%s: has no index \"%s\"", v->path, name);
    if (v->as_json) fr_json_begin_object(&v->json, NULL);
    tell_levels(v);
    FR_TRY(tell_tables(v));
    tell_debt(v);
    if (v->index.exists) tell_index(v, name);
    if (v->as_json) {
        fr_json_end_object(&v->json);
        FR_TRY(fr_json_print(&v->json));
    }
    st = FR_OK;
out:
    return st;
}

int fr_verb_top(int argc, char **argv)
{
    static struct top_verb v = {.count = 10};
    const struct fr_option options[] = {
            FR_OPTION_INDEX(&v.index_name, "that index (the one without name, if there is one)"),
            {"limit", 'n', FR_OPTION_COUNT, "COUNT", "tables and postings in each list (10)",
                    &v.count},
            {"json", 0, FR_OPTION_FLAG, NULL, "all of it as one JSON object", &v.as_json},
    };
    struct fr_args args = {.verb = "top",
            .summary =
                    "Say where a store has most to do: deletes in its levels and tables, how far\n"
                    "compaction and maintenance lag, and an index's largest and most changed "
                    "postings.\n"
                    "Opens and locks nothing, and reads no rows.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    v.path = args.operands[0];
    fr_obsolete_init(&v.obsolete);
    if (run_top(&v) < 0) code = fr_exit_failed("top");
    forget_store(&v);
    fr_obsolete_deinit(&v.obsolete);
    fr_buf_deinit(&v.json.text);
    fr_dir_close(v.dir);
    fr_env_close(v.env);
    return code;
}
