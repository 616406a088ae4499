/*
 * verb_repair.c - what can be saved of a damaged store: said, or done into a new one.
 *
 * Rows that are not certain go to a file beside the new store, a JSON object a line, with what
 * could be read of them.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/human.h"
#include "freshet/repair.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/text_code.h"
#include "tools/verbs.h"

struct repair {
    const char *path, *to, *quarantine;
    bool keep_stale, rows, as_json;
    char quarantine_path[PATH_MAX];
    FILE *file;
    fr_status failed; /* of writing to it */
    struct fr_json json;
    struct fr_progress progress;
    struct fr_repair_stats stats;
};

static bool is_row(const struct fr_loss *loss)
{
    return loss->kind == FR_LOSS_VALUE || loss->kind == FR_LOSS_STALE;
}

static void put_loss(struct fr_json *json, const struct fr_loss *loss)
{
    const struct fr_text_form plain = {0};

    fr_json_begin_object(json, NULL);
    fr_json_text(json, "kind", fr_loss_kind_name(loss->kind));
    if (loss->key != NULL)
        fr_text_json(json, "key", &plain, fr_slice_of(loss->key, loss->key_size));
    if (loss->end != NULL)
        fr_text_json(json, "end", &plain, fr_slice_of(loss->end, loss->end_size));
    if (loss->seq != 0) fr_json_u64(json, "seq", loss->seq);
    if (loss->value != NULL)
        fr_text_json(json, "value", &plain, fr_slice_of(loss->value, loss->value_size));
    fr_json_text(json, "words", loss->words);
    fr_json_end_object(json);
}

/* --- The file of rows --- */

static fr_status open_quarantine(struct repair *r)
{
    if (r->file != NULL) return FR_OK;
    r->file = fopen(r->quarantine_path, "wx");
    return r->file == NULL ? FR_FAIL_OS(errno, "%s: cannot be made", r->quarantine_path) : FR_OK;
}

static fr_status write_row(struct repair *r, const struct fr_loss *loss)
{
    struct fr_json line = FR_JSON_EMPTY;
    fr_status st;

    FR_TRY(open_quarantine(r));
    put_loss(&line, loss);
    FR_TRY(fr_buf_status(&line.text));
    if (fwrite(line.text.data, 1, line.text.size, r->file) != line.text.size ||
            fputc('\n', r->file) == EOF)
        st = FR_FAIL_OS(errno, "%s: cannot be written", r->quarantine_path);
out:
    fr_buf_deinit(&line.text);
    return st;
}

/* On stable storage, as the new store is. */
static fr_status close_quarantine(struct repair *r)
{
    fr_status st = FR_OK;

    if (r->file == NULL) return FR_OK;
    if (fflush(r->file) != 0 || fsync(fileno(r->file)) != 0)
        st = FR_FAIL_OS(errno, "%s: cannot be written", r->quarantine_path);
    (void)fclose(r->file);
    return st;
}

/* --- What is told --- */

static void print_key(const char *before, const void *key, size_t size)
{
    const struct fr_text_form plain = {0};
    struct fr_buf text = FR_BUF_EMPTY;

    fr_text_append(&plain, fr_slice_of(key, size), &text);
    printf("%s\"%.*s\"", before, (int)FR_MIN(text.size, (size_t)100), (const char *)text.data);
    fr_buf_deinit(&text);
}

static void print_loss(const struct fr_loss *loss)
{
    printf("%-8s ", loss->kind == FR_LOSS_DERIVED ? "note" : "LOST");
    if (loss->kind == FR_LOSS_KEYS) {
        printf("what may have been");
        if (loss->key != NULL) print_key(" from ", loss->key, loss->key_size);
        if (loss->end != NULL) print_key(" to ", loss->end, loss->end_size);
        printf(": ");
    } else if (is_row(loss)) {
        print_key("", loss->key, loss->key_size);
        printf(": ");
    } else if (loss->kind == FR_LOSS_LOG) {
        printf("writes from sequence number %" PRIu64 " on: ", loss->seq);
    } else if (loss->kind == FR_LOSS_HISTORY) {
        printf("which files count, so what was deleted may be back: ");
    }
    printf("%s\n", loss->words);
}

static bool on_loss(void *ctx, const struct fr_loss *loss)
{
    struct repair *r = ctx;

    if (is_row(loss) && r->to != NULL) r->failed = write_row(r, loss);
    if (!is_row(loss) || r->rows) {
        fr_progress_end(&r->progress);
        if (r->as_json)
            put_loss(&r->json, loss);
        else
            print_loss(loss);
    }
    return r->failed == FR_OK && !fr_interrupted();
}

static void tell_words(const struct repair *r)
{
    const struct fr_repair_stats *s = &r->stats;
    const char *done = r->to != NULL ? "" : "would be ";

    printf("files    %s asked, %s damaged or missing\n", fr_human_count(s->files).text,
            fr_human_count(s->damaged_files).text);
    printf("kept     %s keys with values of %s %sin the new store\n", fr_human_count(s->keys).text,
            fr_human_size(s->value_bytes).text, done);
    if (s->stale_kept > 0)
        printf("stale    %s of them may have had a newer value\n",
                fr_human_count(s->stale_kept).text);
    if (s->quarantined > 0)
        printf("rows     %s %sleft out%s%s\n", fr_human_count(s->quarantined).text, done,
                r->to != NULL ? ", in " : "", r->to != NULL ? r->quarantine_path : "");
    if (s->derived_dropped > 0)
        printf("indexes  %s keys %sleft out, to be made anew from rows\n",
                fr_human_count(s->derived_dropped).text, done);
}

static fr_status tell_json(struct repair *r)
{
    const struct fr_repair_stats *s = &r->stats;

    fr_json_end_array(&r->json);
    fr_json_bool(&r->json, "done", r->to != NULL);
    fr_json_u64(&r->json, "files", s->files);
    fr_json_u64(&r->json, "damaged_files", s->damaged_files);
    fr_json_u64(&r->json, "keys", s->keys);
    fr_json_u64(&r->json, "value_bytes", s->value_bytes);
    fr_json_u64(&r->json, "lost_spans", s->lost_spans);
    fr_json_u64(&r->json, "quarantined", s->quarantined);
    fr_json_u64(&r->json, "stale_kept", s->stale_kept);
    fr_json_u64(&r->json, "derived_dropped", s->derived_dropped);
    fr_json_bool(&r->json, "log_cut", s->log_cut);
    fr_json_bool(&r->json, "history_lost", s->history_lost);
    fr_json_end_object(&r->json);
    return fr_json_print(&r->json);
}

static bool is_whole(const struct fr_repair_stats *s)
{
    return s->lost_spans + s->quarantined + s->stale_kept + s->damaged_files == 0;
}

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct repair *r = ctx;

    return fr_progress_hook(&r->progress, done, total);
}

static fr_status run(struct repair *r)
{
    const struct fr_repair_options how = {.size = sizeof(how),
            .keep_stale = r->keep_stale,
            .loss = on_loss,
            .progress = on_progress,
            .ctx = r};
    fr_status st;

    if (r->quarantine != NULL)
        (void)snprintf(r->quarantine_path, sizeof(r->quarantine_path), "%s", r->quarantine);
    else if (r->to != NULL)
        (void)snprintf(r->quarantine_path, sizeof(r->quarantine_path), "%s.quarantine", r->to);
    if (r->as_json) {
        fr_json_begin_object(&r->json, NULL);
        fr_json_begin_array(&r->json, "losses");
    }
    r->stats.size = sizeof(r->stats);
    fr_progress_begin(&r->progress);
    st = fr_repair(r->path, r->to, &how, &r->stats);
    fr_progress_end(&r->progress);
    if (r->failed < 0) st = r->failed;
    fr_status closed = close_quarantine(r);
    if (st >= 0) st = closed;
    if (st < 0) return st;
    if (r->as_json) return tell_json(r);
    tell_words(r);
    return FR_OK;
}

int fr_verb_repair(int argc, char **argv)
{
    static struct repair r = {
            .progress = {.verb = "repair", .unit = "entries", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"to", 't', FR_OPTION_TEXT, "NEW",
                    "make a store there; without it, only say what would be", &r.to},
            {"quarantine", 0, FR_OPTION_TEXT, "FILE",
                    "for rows that are left out, a JSON object a line (NEW.quarantine)",
                    &r.quarantine},
            {"keep-stale", 0, FR_OPTION_FLAG, NULL,
                    "keep rows that something lost may have changed since", &r.keep_stale},
            {"rows", 0, FR_OPTION_FLAG, NULL, "name each row that is lost or stale", &r.rows},
            FR_OPTION_QUIET(&r.progress),
            FR_OPTION_PROGRESS(&r.progress),
            {"json", 0, FR_OPTION_FLAG, NULL, "losses and figures as one JSON object", &r.as_json},
    };
    struct fr_args args = {.verb = "repair",
            .summary =
                    "Say what can be saved of a damaged store, and what is lost; with --to, "
                    "make a new\n"
                    "store of it. A row is kept if its value is certain; others are put aside "
                    "with\n"
                    "what could be read. Never writes to DIR, which must not be open for writing.\n"
                    "Exits with 1 if anything is damaged or lost.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    r.path = args.operands[0];
    r.progress.quiet |= r.as_json;
    fr_interrupt_watch();
    fr_status st = run(&r);
    return fr_store_done("repair", st, is_whole(&r.stats) ? FR_EXIT_FINE : FR_EXIT_FINDINGS, NULL);
}
