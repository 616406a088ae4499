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

#include "base/human.h"
#include "freshet/index.h"
#include "freshet/verify.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/verbs.h"

/* Between two looks at the time, and at whether the user has had enough. */
#define KEYS_PER_LOOK 1024

struct verify {
    const char *path, *options, *depth;
    uint64_t rate;
    bool as_json;
    struct fr_db *db;
    struct fr_json json;
    struct fr_progress progress;
    struct fr_verify_stats stats;
    uint64_t keys, key_bytes, value_bytes, indexes, findings;
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
    fr_status st = fr_verify(v->path, &how, &v->stats);
    fr_progress_end(&v->progress);
    if (st < 0) return st;
    v->findings += v->stats.findings;
    tell_files(v);
    return FR_OK;
}

/* --- As its users read it --- */

static fr_status read_keys(struct verify *v)
{
    struct fr_read_options how = {.size = sizeof(how), .no_cache = true};
    struct fr_iterator *it = NULL;
    size_t size;
    fr_status st;

    v->progress.unit = "keys";
    fr_progress_begin(&v->progress);
    FR_TRY(fr_iterator_new(v->db, &how, &it));
    while ((st = fr_iterator_next(it)) == FR_OK) {
        v->keys++;
        (void)fr_iterator_key(it, &size);
        v->key_bytes += size;
        (void)fr_iterator_value(it, &size);
        v->value_bytes += size;
        if (v->keys % KEYS_PER_LOOK != 0) continue;
        fr_progress_tell(&v->progress, v->keys, v->keys, v->stats.entries);
        if (fr_interrupted()) FR_TRY(FR_FAIL(FR_ERR_CANCELLED, "%s: interrupted", v->path));
    }
out:
    fr_progress_end(&v->progress);
    fr_iterator_free(it);
    return st == FR_END ? FR_OK : st;
}

static fr_status verify_index(struct verify *v, const char *name, struct fr_index_stats *ret_stats)
{
    struct fr_index *index = NULL;
    fr_status st;

    FR_TRY(fr_index_open(v->db, name, NULL, &index));
    FR_TRY(fr_index_verify(index));
    FR_TRY(fr_index_stats_get(index, ret_stats));
    if (ret_stats->rebuilt == 2)
        st = FR_FAIL(FR_ERR_CORRUPT,
                "what is derived from the rows is damaged; opening it for writing mends that");
out:
    fr_index_close(index);
    return st;
}

static fr_status verify_indexes(struct verify *v)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    char name[FR_INDEX_NAME_MAX + 1], where[FR_INDEX_NAME_MAX + 16];
    fr_status st = fr_index_next_name(v->db, NULL, name);

    for (; st == FR_OK; st = fr_index_next_name(v->db, name, name)) {
        fr_status found = verify_index(v, name, &stats);

        v->indexes++;
        (void)snprintf(where, sizeof(where), "index \"%s\"", name);
        if (found < 0) FR_TRY(tell_finding(v, where, found, fr_last_error()));
        if (found < 0 || v->as_json) continue;
        printf("index    \"%s\": %s vectors in %s postings, each where it belongs\n", name,
                fr_human_count(stats.count).text, fr_human_count(stats.postings).text);
    }
out:
    return st == FR_END ? FR_OK : st;
}

static void tell_keys(const struct verify *v)
{
    if (v->as_json) return;
    printf("keys     %s of %s, values of %s: every checksum holds\n", fr_human_count(v->keys).text,
            fr_human_size(v->key_bytes).text, fr_human_size(v->value_bytes).text);
}

static fr_status read_all(struct verify *v)
{
    fr_status st = fr_store_open(v->path, FR_STORE_READ, v->options, &v->db);

    if (st < 0) return tell_finding(v, "opening", st, fr_last_error());
    st = read_keys(v);
    if (st < 0)
        FR_TRY(tell_finding(v, "keys", st, fr_last_error()));
    else
        tell_keys(v);
    st = verify_indexes(v);
    if (st < 0) st = tell_finding(v, "indexes", st, fr_last_error());
out:
    return st;
}

static fr_status look_at_all(struct verify *v)
{
    fr_status st;

    FR_TRY(verify_files(v));
    if (strcmp(v->depth, "index") == 0) FR_TRY(read_all(v));
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
    fr_json_u64(&v->json, "keys", v->keys);
    fr_json_u64(&v->json, "key_bytes", v->key_bytes);
    fr_json_u64(&v->json, "value_bytes", v->value_bytes);
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
    return fr_store_done("verify", st, v.findings > 0 ? FR_EXIT_FINDINGS : FR_EXIT_FINE, v.db);
}
