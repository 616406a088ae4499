/* verb_export.c - the vectors of an index to a file or a pipe, by id, as of one moment. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/human.h"
#include "tools/index_rows.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/vector_file.h"
#include "tools/verbs.h"

struct export
{
    const char *path, *file, *format_name, *index_name, *options;
    bool as_json;
    uint64_t limit;

    enum fr_vector_format format;
    struct fr_db *db;
    struct fr_index_rows rows;
    struct fr_vector_writer *writer;
    struct fr_progress progress;
    uint64_t count;
    uint64_t other_ids; /* rows whose id is text, or not their number */
    uint64_t payloads;
};

static fr_status take_row(struct export *ex, const struct fr_vector_row *row)
{
    ex->other_ids += row->text.size > 0 || row->id != ex->count;
    ex->payloads += row->payload.size > 0;
    ex->count++;
    fr_progress_tell(&ex->progress, ex->count, 0, 0);
    return fr_vector_writer_add(ex->writer, row);
}

static fr_status take_rows(struct export *ex)
{
    struct fr_vector_row row;
    fr_status st = FR_OK;

    while (ex->count < ex->limit) {
        if (fr_interrupted()) FR_TRY(FR_FAIL(FR_ERR_CANCELLED, "%s: interrupted", ex->file));
        FR_TRY(fr_index_rows_next(&ex->rows, &row));
        if (st == FR_OK) FR_TRY(take_row(ex, &row));
        if (st == FR_END) return FR_OK; /* no more rows, or nobody who wants them */
    }
out:
    return st;
}

/* What the format could not say is told, as whoever imports the file must know. */
static void tell_losses(const struct export *ex)
{
    if (ex->format == FR_VECTORS_JSONL) return;
    if (ex->other_ids > 0)
        fprintf(stderr,
                "freshet export: %s has no ids: an import will count from 0 (jsonl has them)\n",
                fr_vector_format_name(ex->format));
    if (ex->payloads > 0)
        fprintf(stderr, "freshet export: %s has no payloads: %s rows had one (jsonl has them)\n",
                fr_vector_format_name(ex->format), fr_human_count(ex->payloads).text);
}

static fr_status tell_end(struct export *ex)
{
    struct fr_json json = FR_JSON_EMPTY;

    tell_losses(ex);
    if (strcmp(ex->file, "-") == 0) return FR_OK; /* standard output has the rows */
    if (!ex->as_json) {
        printf("%s rows of dimension %" PRIu32 " written\n", fr_human_count(ex->count).text,
                ex->rows.options.dimension);
        return FR_OK;
    }
    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "rows", ex->count);
    fr_json_u64(&json, "dimension", ex->rows.options.dimension);
    fr_json_text(&json, "format", fr_vector_format_name(ex->format));
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

static fr_status run_export(struct export *ex)
{
    fr_status st;

    FR_TRY(fr_vector_format_choose(ex->format_name, ex->file, &ex->format));
    FR_TRY(fr_store_open(ex->path, FR_STORE_READ, ex->options, &ex->db));
    FR_TRY(fr_index_rows_open(ex->db, ex->index_name, &ex->rows));
    FR_TRY(fr_vector_writer_open(ex->file, ex->format, ex->rows.options.dimension, &ex->writer));
    fr_progress_begin(&ex->progress);
    FR_TRY(take_rows(ex));
    FR_TRY(fr_vector_writer_finish(ex->writer));
    fr_progress_end(&ex->progress);
    FR_TRY(tell_end(ex));
out:
    fr_progress_end(&ex->progress);
    return st;
}

int fr_verb_export(int argc, char **argv)
{
    static struct export ex = {.index_name = "",
            .limit = UINT64_MAX,
            .progress = {.verb = "export", .unit = "rows", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"format", 'f', FR_OPTION_TEXT, "FORMAT", "of the file (by the end of its name)",
                    &ex.format_name},
            FR_OPTION_INDEX(&ex.index_name, "of that name (the one without)"),
            {"limit", 'n', FR_OPTION_COUNT, "N", "end after so many rows (all)", &ex.limit},
            FR_OPTION_QUIET(&ex.progress),
            FR_OPTION_PROGRESS(&ex.progress),
            FR_OPTION_STORE(&ex.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "what it came to as one JSON object", &ex.as_json},
    };
    struct fr_args args = {.verb = "export",
            .summary =
                    "Write the vectors of an index to a file, by id, as of one moment; FILE - is\n"
                    "standard output. Formats: fvecs, bvecs, fbin, u8bin, i8bin, npy, jsonl. Only\n"
                    "jsonl has ids and payloads; import reads back what was written, bit by bit.",
            .operand_names = "DIR FILE",
            .operands_least = 2,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    ex.path = args.operands[0];
    ex.file = args.operands[1];
    ex.progress.quiet |= ex.as_json;
    fr_interrupt_watch();
    fr_status st = run_export(&ex);
    if (st < 0) code = fr_exit_failed("export");
    fr_vector_writer_close(ex.writer);
    fr_index_rows_close(&ex.rows);
    return fr_store_done("export", FR_OK, code, ex.db);
}
