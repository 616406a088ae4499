/*
 * verb_verify.c - whether all that a store says of itself holds.
 *
 *     files     every byte of every file, pointers into value files, what is missing or of nobody
 *     engine    what the files say together
 *     index     reading it as its users do: every key and value; each index's rows, what is derived
 *               from them, and the tree made of that
 *
 * What is wrong is a finding: it is told, and what can still be looked at is.
 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/human.h"
#include "base/status.h"
#include "db/deep.h"
#include "freshet/index.h"
#include "freshet/verify.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/verbs.h"

/* What has become of an index. */
struct checked {
    char name[FR_INDEX_NAME_MAX + 1];
    struct fr_error failure; /* status not 0: what is wrong with it */
    struct fr_index_stats stats;
};

struct verify {
    const char *path, *options, *depth;
    uint64_t rate;
    bool as_json;
    struct fr_db *db;
    struct fr_json json;
    struct fr_progress progress;
    struct fr_verify_stats stats;
    struct fr_deep *deep;    /* NULL: nothing is */
    struct fr_error opening; /* status not 0: why the store is not open */
    struct fr_deep_counts counts;
    struct checked *checked; /* so many as there are indexes */
    uint64_t indexes, findings;
};

/* Where no SUPER is there was never a store. */
static bool is_store(const struct verify *v)
{
    char super[PATH_MAX];
    int size = snprintf(super, sizeof(super), "%s/SUPER", v->path);

    return size > 0 && (size_t)size < sizeof(super) && access(super, F_OK) == 0;
}

static bool is_finding(const struct verify *v, fr_status st)
{
    bool is_one = st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW || st == FR_ERR_MISSING;

    return is_one && is_store(v);
}

static void tell(struct verify *v, const char *kind, const char *where, uint64_t offset,
        fr_status st, const char *words)
{
    fr_progress_end(&v->progress);
    if (!v->as_json) {
        printf("FINDING  %s: %s\n", where, words);
        return;
    }
    fr_json_begin_object(&v->json, NULL);
    fr_json_text(&v->json, "kind", kind);
    fr_json_text(&v->json, "where", where);
    fr_json_u64(&v->json, "offset", offset);
    fr_json_text(&v->json, "status", fr_status_name(st));
    fr_json_text(&v->json, "words", words);
    fr_json_end_object(&v->json);
}

/* A failure that is no finding is one of the verb. */
static fr_status tell_finding(struct verify *v, const char *where, fr_status st, const char *words)
{
    if (!is_finding(v, st)) return st;
    v->findings++;
    tell(v, "reading", where, 0, st, words);
    return FR_OK;
}

/* --- Files --- */

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    struct verify *v = ctx;
    const char *where = finding->file[0] != '\0' ? finding->file : "store";

    fr_progress_end(&v->progress);
    if (finding->kind >= FR_FINDING_ORPHAN && !v->as_json)
        printf("note     %s\n", finding->words);
    else
        tell(v, fr_finding_kind_name(finding->kind), where, finding->offset, finding->status,
                finding->words);
    return !fr_interrupted();
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct verify *v = ctx;

    return fr_progress_hook(&v->progress, done, total);
}

static void tell_files(const struct verify *v)
{
    const struct fr_verify_stats *stats = &v->stats;

    if (v->as_json) return;
    if (stats->untold > 0) printf("FINDING  %" PRIu64 " more of these files\n", stats->untold);
    if (stats->findings > 0) return;
    printf("files    %s of %s: every byte is as it was written\n",
            fr_human_count(stats->files).text, fr_human_size(stats->bytes).text);
    printf("entries  %s in tables, %s values in value files, %s batches in the log\n",
            fr_human_count(stats->entries).text, fr_human_count(stats->values).text,
            fr_human_count(stats->batches).text);
}

static fr_status verify_files(struct verify *v)
{
    struct fr_verify_options how = {.size = sizeof(how),
            .depth = strcmp(v->depth, "files") == 0 ? FR_VERIFY_FILES : FR_VERIFY_ENGINE,
            .rate = v->rate,
            .finding = on_finding,
            .progress = on_progress,
            .ctx = v};

    v->stats.size = sizeof(v->stats);
    fr_progress_begin(&v->progress);
    fr_status st = v->deep != NULL ? fr_deep_verify(v->deep, v->path, &how, &v->stats)
                                   : fr_verify(v->path, &how, &v->stats);
    fr_progress_end(&v->progress);
    if (st < 0) return st;
    v->findings += v->stats.findings;
    tell_files(v);
    return FR_OK;
}

/* --- As its users read it --- */

static bool on_keys(void *ctx, const struct fr_deep_counts *counts)
{
    struct verify *v = ctx;

    fr_progress_tell(&v->progress, counts->keys, counts->keys, v->stats.entries);
    return !fr_interrupted();
}

static fr_status read_keys(struct verify *v)
{
    v->progress.unit = "keys";
    fr_progress_begin(&v->progress);
    fr_status st = fr_deep_read_keys(v->deep, v->db, on_keys, v, &v->counts);
    fr_progress_end(&v->progress);
    return st;
}

static fr_status verify_index(struct verify *v, struct checked *checked)
{
    struct fr_index *index = NULL;
    fr_status st;

    FR_TRY(fr_index_open(v->db, checked->name, NULL, &index));
    FR_TRY(fr_deep_verify_index(v->deep, index));
    FR_TRY(fr_index_stats_get(index, &checked->stats));
    if (checked->stats.rebuilt == 2)
        st = FR_FAIL(FR_ERR_CORRUPT,
                "what is derived from the rows is damaged; opening it for writing mends that");
out:
    fr_index_close(index);
    return st;
}

static fr_status add_checked(struct verify *v, struct checked **ret_checked)
{
    struct checked *checked = fr_realloc(v->checked, (v->indexes + 1) * sizeof(*checked));

    if (checked == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the names of indexes");
    v->checked = checked;
    *ret_checked = &checked[v->indexes];
    **ret_checked = (struct checked){.stats = {.size = sizeof(checked->stats)}};
    return FR_OK;
}

/* What each comes to is kept: it is told after what was found in keys. */
static fr_status verify_indexes(struct verify *v)
{
    struct checked *checked = NULL;
    const char *last = NULL;
    fr_status st;

    for (;;) {
        FR_TRY(add_checked(v, &checked));
        if (v->indexes > 0) last = v->checked[v->indexes - 1].name;
        FR_TRY(fr_index_next_name(v->db, last, checked->name));
        if (st != FR_OK) break;
        v->indexes++;
        if (verify_index(v, checked) < 0) fr_error_save(&checked->failure);
    }
    return FR_OK;
out:
    return st;
}

static fr_status tell_index(struct verify *v, const struct checked *checked)
{
    char where[FR_INDEX_NAME_MAX + 16];

    if (checked->failure.status < 0) {
        (void)snprintf(where, sizeof(where), "index \"%s\"", checked->name);
        return tell_finding(v, where, fr_error_restore(&checked->failure), fr_last_error());
    }
    if (v->as_json) return FR_OK;
    printf("index    \"%s\": %s vectors in %s postings, each where it belongs\n", checked->name,
            fr_human_count(checked->stats.count).text,
            fr_human_count(checked->stats.postings).text);
    return FR_OK;
}

static void tell_keys(const struct verify *v)
{
    if (v->as_json) return;
    printf("keys     %s of %s, values of %s: every checksum holds\n",
            fr_human_count(v->counts.keys).text, fr_human_size(v->counts.key_bytes).text,
            fr_human_size(v->counts.value_bytes).text);
}

static fr_status read_all(struct verify *v)
{
    struct fr_error indexes = {0};
    fr_status st = v->opening.status;

    if (st < 0) return tell_finding(v, "opening", fr_error_restore(&v->opening), fr_last_error());
    if (verify_indexes(v) < 0) fr_error_save(&indexes);
    st = read_keys(v);
    if (st < 0)
        FR_TRY(tell_finding(v, "keys", st, fr_last_error()));
    else
        tell_keys(v);
    for (size_t i = 0; i < v->indexes; i++)
        FR_TRY(tell_index(v, &v->checked[i]));
    if (indexes.status < 0)
        st = tell_finding(v, "indexes", fr_error_restore(&indexes), fr_last_error());
out:
    return st < 0 ? st : FR_OK;
}

/* Before its files are read: so each value is unpacked once. If it cannot be opened, that is told
 * after what is wrong with its files. */
static fr_status open_store(struct verify *v)
{
    fr_status st = fr_store_open(v->path, FR_STORE_READ, v->options, &v->db);

    if (st < 0) {
        fr_error_save(&v->opening);
        return FR_OK;
    }
    return fr_deep_new(v->db, &v->deep);
}

static fr_status look_at_all(struct verify *v)
{
    bool deep = strcmp(v->depth, "index") == 0;
    fr_status st;

    if (deep) FR_TRY(open_store(v));
    FR_TRY(verify_files(v));
    if (deep) FR_TRY(read_all(v));
out:
    return st;
}

static void tell_stats(struct verify *v)
{
    fr_json_u64(&v->json, "count", v->findings);
    fr_json_u64(&v->json, "files", v->stats.files);
    fr_json_u64(&v->json, "bytes", v->stats.bytes);
    fr_json_u64(&v->json, "entries", v->stats.entries);
    fr_json_u64(&v->json, "values", v->stats.values);
    fr_json_u64(&v->json, "batches", v->stats.batches);
    if (strcmp(v->depth, "index") != 0) return;
    fr_json_u64(&v->json, "keys", v->counts.keys);
    fr_json_u64(&v->json, "key_bytes", v->counts.key_bytes);
    fr_json_u64(&v->json, "value_bytes", v->counts.value_bytes);
    fr_json_u64(&v->json, "indexes", v->indexes);
}

static fr_status run_verify(struct verify *v)
{
    fr_status st;

    if (v->as_json) {
        fr_json_begin_object(&v->json, NULL);
        fr_json_begin_array(&v->json, "findings");
    }
    FR_TRY(look_at_all(v));
    if (!v->as_json) {
        printf("%s\n",
                v->findings == 0 ? "nothing found" : "do not write to it before you have a copy");
        return FR_OK;
    }
    fr_json_end_array(&v->json);
    tell_stats(v);
    fr_json_end_object(&v->json);
    st = fr_json_print(&v->json);
out:
    return st;
}

static bool is_depth(const char *word)
{
    return strcmp(word, "files") == 0 || strcmp(word, "engine") == 0 || strcmp(word, "index") == 0;
}

int fr_verb_verify(int argc, char **argv)
{
    static struct verify v = {
            .depth = "index", .progress = {.verb = "verify", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"depth", 'd', FR_OPTION_TEXT, "WORD",
                    "files: every byte; engine: and their order; index: and by reading it (index)",
                    &v.depth},
            {"rate", 0, FR_OPTION_SIZE, "SIZE", "bytes a second to read of files at most", &v.rate},
            FR_OPTION_QUIET(&v.progress),
            FR_OPTION_PROGRESS(&v.progress),
            FR_OPTION_STORE(&v.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "findings and figures as one JSON object",
                    &v.as_json},
    };
    struct fr_args args = {.verb = "verify",
            .summary = "Read all that a store holds and see whether it says the same everywhere: "
                       "every\n"
                       "byte of every file, pointers to values, what is missing; keys and values "
                       "as\n"
                       "they are read; indexes with what is derived from their rows. Changes "
                       "nothing;\n"
                       "also beside a running writer. Exits with 1 if anything was found.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (!is_depth(v.depth)) return fr_args_misuse("verify", "--depth is files, engine or index");
    v.path = args.operands[0];
    v.progress.quiet |= v.as_json;
    fr_interrupt_watch();
    fr_status st = run_verify(&v);
    fr_deep_free(v.deep);
    fr_free(v.checked);
    return fr_store_done("verify", st, v.findings > 0 ? FR_EXIT_FINDINGS : FR_EXIT_FINE, v.db);
}
