/*
 * verb_import.c - vectors from a file or a pipe into an index.
 *
 *     read -> known already? -> fit for the index? -> batch -> threads write     import_pool.h
 *                 skip              refuse
 *
 * What is written is written for good, batch by batch, and an upsert of the same row changes
 * nothing. So an import that ended early, for whatever reason, goes on with --resume: rows that are
 * there already, with the same vector and payload, are passed over, and all others are written.
 *
 * A row that cannot be taken is refused. It goes to the file of rejects, as a line of JSON that can
 * be mended and imported, and its reason to standard error.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/human.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "tools/import_pool.h"
#include "tools/index_rows.h"
#include "tools/interrupt.h"
#include "tools/metric.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/vector_file.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

/* Reasons that are told; the others are only counted. */
#define REASONS_TOLD 10

/* Threads that are of use, if nobody says otherwise: beyond, the log is what they wait for. */
#define THREADS_USUAL 8u

/* What maintenance does between two looks at whether the user has had enough. */
#define MAINTAIN_US 200000

struct import {
    /* What was asked for. */
    const char *path, *file, *format_name, *index_name, *metric_name, *ids_name;
    const char *options, *rejects_path;
    bool create, resume, as_json, no_settling;
    uint64_t batch_rows, threads, max_errors, limit, skip;

    struct fr_db *db;
    struct fr_index *index;
    struct fr_index_rows rows; /* for --resume */
    bool rows_open;
    struct fr_vector_reader *reader;
    struct fr_import_pool *pool;
    uint32_t dimension;
    enum fr_metric metric;
    enum fr_id_kind ids; /* 0: nothing said so far what they are */
    char text[24];       /* of a number, where ids are text */
    uint64_t file_size;  /* 0: unknown */
    struct fr_progress progress;

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu: refusals come from several threads. */
    FILE *rejects;
    struct fr_buf line;
    uint64_t refused;

    uint64_t read, known;
    double seconds; /* until the last row was written */
    bool interrupted, settled;
};

/* --- Refusals --- */

/* A vector that JSON cannot say, as it is not finite, goes as base64. */
static void append_reject(struct fr_buf *to, const struct fr_vector_row *row)
{
    for (uint32_t i = 0; i < row->dimension; i++) {
        if (isfinite(row->vector[i])) continue;
        fr_vector_line_coded(to, row);
        return;
    }
    fr_vector_line(to, row);
}

static void refuse_locked(struct import *im, fr_slice line) FR_REQUIRES(im->mu)
{
    if (im->refused < REASONS_TOLD) {
        fr_progress_end(&im->progress);
        fprintf(stderr, "freshet import: %s\n", fr_last_error());
    } else if (im->refused == REASONS_TOLD) {
        fr_progress_end(&im->progress);
        fprintf(stderr, "freshet import: more rows are refused; their reasons are not told\n");
    }
    im->refused++;
    if (im->rejects == NULL) return;
    fwrite(line.data, 1, line.size, im->rejects);
    fputc('\n', im->rejects);
}

/* A line that is no row. */
static void refuse_line(struct import *im, fr_slice line)
{
    fr_mutex_lock(&im->mu);
    refuse_locked(im, line);
    fr_mutex_unlock(&im->mu);
}

/* A row that is none for this index, for the reason of this thread's last error. */
static void refuse_row(void *context, const struct fr_vector_row *row)
{
    struct import *im = context;

    fr_mutex_lock(&im->mu);
    fr_buf_clear(&im->line);
    append_reject(&im->line, row);
    if (im->line.size > 0) im->line.size--; /* its line feed comes with it */
    refuse_locked(im, fr_buf_slice(&im->line));
    fr_mutex_unlock(&im->mu);
}

static fr_status check_refused(struct import *im)
{
    fr_mutex_lock(&im->mu);
    uint64_t refused = im->refused;
    fr_mutex_unlock(&im->mu);
    if (refused <= im->max_errors) return FR_OK;
    if (im->max_errors == 0) return FR_FAIL(FR_ERR_CANCELLED, "ended by a row that was refused");
    return FR_FAIL(FR_ERR_CANCELLED, "ended, as more than %" PRIu64 " rows were refused",
            im->max_errors);
}

/* --- One row --- */

static fr_status find_row(struct import *im, const struct fr_vector_row *row,
        struct fr_vector_row *ret_there)
{
    if (im->ids == FR_ID_TEXT) return fr_index_rows_get_text(&im->rows, row->text, ret_there);
    return fr_index_rows_get(&im->rows, row->id, ret_there);
}

/* What waits to be written is not in the store yet, and may be about to replace what is there. */
static bool is_known(struct import *im, const struct fr_vector_row *row, fr_status *st)
{
    struct fr_vector_row there;

    if (!im->resume || fr_import_pool_may_hold(im->pool, row)) return false;
    *st = find_row(im, row, &there);
    return *st == FR_OK && row->dimension == im->dimension &&
           memcmp(there.vector, row->vector, im->dimension * sizeof(float)) == 0 &&
           fr_slice_equal(there.payload, row->payload);
}

/* What the index would refuse a whole batch for; all else it says itself. */
static fr_status check_row(const struct import *im, const struct fr_vector_row *row)
{
    const char *file = im->file, *place = fr_vector_reader_place(im->reader);
    struct fr_id_words id;
    float length = 0;

    if (row->dimension != im->dimension) {
        id = fr_id_words(row->id, row->text);
        return FR_FAIL(FR_ERR_MISUSE,
                "%s: %s: id %s has the dimension %" PRIu32 ", the index %" PRIu32, file, place,
                id.text, row->dimension, im->dimension);
    }
    for (uint32_t i = 0; i < row->dimension; i++)
        length += row->vector[i] * row->vector[i];
    if (isfinite(length) && (length != 0 || im->metric != FR_METRIC_COSINE)) return FR_OK;
    id = fr_id_words(row->id, row->text);
    if (isfinite(length))
        return FR_FAIL(FR_ERR_MISUSE, "%s: %s: id %s has no direction for the cosine", file, place,
                id.text);
    return FR_FAIL(FR_ERR_MISUSE, "%s: %s: id %s has values or a length that are not finite", file,
            place, id.text);
}

/* A number is called by its digits where ids are text. */
static void name_row(struct import *im, struct fr_vector_row *row)
{
    if (im->ids != FR_ID_TEXT || row->text.size > 0) return;
    snprintf(im->text, sizeof(im->text), "%" PRIu64, row->id);
    row->text = fr_slice_of_text(im->text);
}

static fr_status take_row(struct import *im, struct fr_vector_row *row)
{
    fr_status st = FR_OK;

    name_row(im, row);
    if (check_row(im, row) < 0) {
        refuse_row(im, row);
        return check_refused(im);
    }
    if (is_known(im, row, &st)) {
        im->known++;
        return FR_OK;
    }
    return st < 0 ? st : fr_import_pool_add(im->pool, row);
}

/* --- All rows --- */

static void tell_progress(struct import *im)
{
    uint64_t count = fr_vector_reader_count(im->reader);
    bool by_count = count != UINT64_MAX;

    fr_progress_tell(&im->progress, im->read,
            by_count ? im->read : fr_vector_reader_bytes(im->reader),
            by_count ? count : im->file_size);
}

/* FR_END: there are no more, or no more are wanted. */
static fr_status next_row(struct import *im, struct fr_vector_row *ret_row)
{
    fr_status st;

    for (;;) {
        if (im->read >= im->limit || fr_interrupted()) return FR_END;
        st = fr_vector_reader_next(im->reader, ret_row);
        if (st == FR_ERR_CANCELLED) return FR_END; /* the interruption ended a wait for input */
        if (st == FR_OK || st == FR_END || !fr_vector_reader_can_go_on(im->reader)) break;
        im->read++;
        refuse_line(im, fr_vector_reader_line(im->reader));
        st = check_refused(im);
        if (st < 0) return st;
    }
    im->read += st == FR_OK;
    return st;
}

static fr_status import_rows(struct import *im, struct fr_vector_row *row, bool has_row)
{
    fr_status st = FR_OK;

    while (has_row) {
        if (row->number >= im->skip) FR_TRY(take_row(im, row));
        if (im->read % 64 == 0) {
            tell_progress(im);
            FR_TRY(check_refused(im));
        }
        FR_TRY(next_row(im, row));
        has_row = st == FR_OK;
    }
out:
    return st;
}

/* What could be read before a failure is written all the same. */
static fr_status finish_rows(struct import *im, fr_status st)
{
    struct fr_error error = {.size = sizeof(error)};

    if (st < 0) fr_error_save(&error);
    fr_status drained = fr_import_pool_drain(im->pool);
    fr_progress_end(&im->progress);
    im->seconds = (double)fr_progress_elapsed_ns(&im->progress) / 1e9;
    if (st < 0) return fr_error_restore(&error);
    if (drained < 0) return drained;
    return check_refused(im);
}

/* --- Opening and closing --- */

/* What an index that is made gets; one that is there has them already. */
static fr_status choose_options(struct import *im, struct fr_index_options *ret_options)
{
    fr_status st = FR_OK;

    fr_index_options_init(ret_options);
    ret_options->create = im->create;
    if (!im->create) return FR_OK;
    ret_options->dimension = im->dimension;
    if (im->metric_name != NULL) FR_TRY(fr_metric_read(im->metric_name, &ret_options->metric));
    st = fr_index_rows_open(im->db, im->index_name, &im->rows);
    im->rows_open = st == FR_OK;
    if (st == FR_ERR_MISSING) {
        ret_options->id_kind = im->ids;
        st = FR_OK;
    }
out:
    return st;
}

/* Numbers can be text, so the kind of those is not wanted; but not the other way round. */
static fr_status check_ids(struct import *im, enum fr_id_kind there)
{
    enum fr_id_kind wanted = im->ids;

    im->ids = there;
    if (wanted == 0 || wanted == there) return FR_OK;
    if (im->ids_name != NULL)
        return FR_FAIL(FR_ERR_MISUSE, "--ids: the index \"%s\" is there, and its ids are %s",
                im->index_name, there == FR_ID_TEXT ? "text" : "numbers");
    return FR_FAIL(FR_ERR_MISUSE,
            "%s: its ids are text, those of the index \"%s\" numbers; --create and --index make "
            "one for them",
            im->file, im->index_name);
}

static fr_status open_index(struct import *im)
{
    struct fr_index_options options;
    struct fr_index_stats stats = {.size = sizeof(stats)};
    fr_status st;

    FR_TRY(choose_options(im, &options));
    FR_TRY(fr_index_open(im->db, im->index_name, &options, &im->index));
    FR_TRY(fr_index_stats_get(im->index, &stats));
    FR_TRY(check_ids(im, stats.id_kind));
    im->dimension = stats.dimension;
    im->metric = stats.metric;
    if (im->resume && !im->rows_open) {
        FR_TRY(fr_index_rows_open(im->db, im->index_name, &im->rows));
        im->rows_open = true;
    }
out:
    return st;
}

/* The first row says what the ids of a new index are, unless the caller does. */
static fr_status choose_ids(struct import *im, bool first_is_text)
{
    fr_status st = FR_OK;

    if (im->ids_name != NULL) FR_TRY(fr_id_kind_read(im->ids_name, &im->ids));
    if (first_is_text && im->ids == FR_ID_U64)
        return FR_FAIL(FR_ERR_MISUSE, "--ids: those of %s are text", im->file);
    if (first_is_text) im->ids = FR_ID_TEXT;
out:
    return st;
}

static fr_status open_input(struct import *im)
{
    struct stat info;

    if (stat(im->file, &info) == 0 && S_ISREG(info.st_mode)) im->file_size = (uint64_t)info.st_size;
    return fr_vector_reader_open(im->file, im->format_name, fr_interrupted, &im->reader);
}

static fr_status open_rejects(struct import *im)
{
    if (im->rejects_path == NULL) return FR_OK;
    im->rejects = fopen(im->rejects_path, im->resume ? "ae" : "we");
    if (im->rejects == NULL) return FR_FAIL_OS(errno, "%s: cannot make it", im->rejects_path);
    return FR_OK;
}

static fr_status close_rejects(struct import *im)
{
    FILE *file = im->rejects;

    im->rejects = NULL;
    if (file == NULL) return FR_OK;
    bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return FR_FAIL_OS(errno, "%s: not all rejects could be written", im->rejects_path);
    return FR_OK;
}

/* Postings that grew too large are split before the store is closed, so that searches find it in
 * shape. Nothing is lost if this ends early. */
static fr_status settle(struct import *im)
{
    uint64_t left = 1;
    fr_status st = FR_OK;

    while (!im->no_settling && left > 0 && !fr_interrupted())
        FR_TRY(fr_index_maintain(im->index, MAINTAIN_US, &left));
    im->settled = left == 0;
out:
    return st;
}

/* --- The end --- */

static void tell_words(const struct import *im, uint64_t written)
{
    double seconds = im->seconds;

    printf("%s rows written in %.1f s", fr_human_count(written).text, seconds);
    if (written > 0 && seconds > 0)
        printf(", %s a second", fr_human_count((uint64_t)((double)written / seconds)).text);
    if (im->known > 0) printf("; %s were there already", fr_human_count(im->known).text);
    if (im->refused > 0) printf("; %s were refused", fr_human_count(im->refused).text);
    putchar('\n');
}

static fr_status tell_json(const struct import *im, uint64_t written)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "read", im->read);
    fr_json_u64(&json, "written", written);
    fr_json_u64(&json, "known", im->known);
    fr_json_u64(&json, "refused", im->refused);
    fr_json_bool(&json, "interrupted", im->interrupted);
    fr_json_bool(&json, "settled", im->settled);
    fr_json_double(&json, "seconds", im->seconds);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

static fr_status tell_end(struct import *im)
{
    uint64_t written = im->pool == NULL ? 0 : fr_import_pool_written(im->pool);
    fr_status st = FR_OK;

    if (im->as_json)
        st = tell_json(im, written);
    else
        tell_words(im, written);
    if (im->interrupted)
        fprintf(stderr, "freshet import: interrupted; the same with --resume goes on from here\n");
    return st;
}

static fr_status new_pool(struct import *im)
{
    struct fr_import_plan plan = {.index = im->index,
            .dimension = im->dimension,
            .text_ids = im->ids == FR_ID_TEXT,
            .batch_rows = im->batch_rows,
            .threads = im->threads,
            .refused = refuse_row,
            .context = im};

    return fr_import_pool_new(&plan, &im->pool);
}

/* The first row tells the dimension and the ids of an index that is to be made. */
static fr_status run_import(struct import *im)
{
    struct fr_vector_row row;
    fr_status st;

    FR_TRY(open_input(im));
    FR_TRY(open_rejects(im));
    FR_TRY(next_row(im, &row));
    bool has_row = st == FR_OK;
    im->dimension = has_row ? row.dimension : 0;
    FR_TRY(choose_ids(im, has_row && row.text.size > 0));
    FR_TRY(fr_store_open(im->path, im->create ? FR_STORE_CREATE : FR_STORE_WRITE, im->options,
            &im->db));
    if (has_row || !im->create) FR_TRY(open_index(im));
    fr_progress_begin(&im->progress);
    if (has_row) {
        FR_TRY(new_pool(im));
        FR_TRY(finish_rows(im, import_rows(im, &row, has_row)));
    }
    if (im->index != NULL) FR_TRY(settle(im));
    im->interrupted = fr_interrupted();
    FR_TRY(close_rejects(im));
    FR_TRY(tell_end(im));
out:
    return st;
}

static void close_import(struct import *im)
{
    fr_import_pool_free(im->pool);
    fr_vector_reader_free(im->reader);
    if (im->rows_open) fr_index_rows_close(&im->rows);
    fr_index_close(im->index);
    if (im->rejects != NULL) fclose(im->rejects);
    fr_buf_deinit(&im->line);
    fr_mutex_deinit(&im->mu);
}

/* What came before a failure is told, too: it is there. */
static int tell_failure(struct import *im, fr_status st)
{
    int code = fr_exit_failed("import");

    if (st == FR_ERR_CANCELLED) code = FR_EXIT_FINDINGS; /* by refused rows */
    if (im->pool != NULL && tell_end(im) < 0) code = fr_exit_failed("import");
    return code;
}

static int end_import(struct import *im, fr_status st)
{
    int code = im->refused > 0 || im->interrupted ? FR_EXIT_FINDINGS : FR_EXIT_FINE;

    fr_progress_end(&im->progress);
    if (st < 0) code = tell_failure(im, st);
    close_import(im);
    if (fr_db_close(im->db) < 0 && st >= 0) code = fr_exit_failed("import");
    return code;
}

int fr_verb_import(int argc, char **argv)
{
    static struct import im = {.index_name = "",
            .batch_rows = 1024,
            .limit = UINT64_MAX,
            .max_errors = UINT64_MAX,
            .progress = {.verb = "import", .unit = "rows", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"format", 'f', FR_OPTION_TEXT, "FORMAT", "of the file (by its name, or how it begins)",
                    &im.format_name},
            FR_OPTION_INDEX(&im.index_name, "of that name (the one without)"),
            {"create", 0, FR_OPTION_FLAG, NULL, "make store and index if they are not there",
                    &im.create},
            {"metric", 'm', FR_OPTION_TEXT, "METRIC",
                    "of an index that is made: l2, cosine, ip (l2)", &im.metric_name},
            FR_OPTION_IDS(&im.ids_name,
                    "of an index that is made: number or text (as in the file)"),
            {"resume", 'r', FR_OPTION_FLAG, NULL, "pass over rows that are there already",
                    &im.resume},
            {"rejects", 0, FR_OPTION_TEXT, "FILE", "where rows go that are refused, as jsonl",
                    &im.rejects_path},
            {"max-errors", 0, FR_OPTION_COUNT, "N",
                    "end after more refused rows (0; with --rejects: no limit)", &im.max_errors},
            {"skip", 0, FR_OPTION_COUNT, "N", "pass over the first rows", &im.skip},
            {"limit", 'n', FR_OPTION_COUNT, "N", "end behind so many rows of the file (all)",
                    &im.limit},
            {"batch", 'b', FR_OPTION_COUNT, "N", "rows that are one write (1024)", &im.batch_rows},
            {"threads", 't', FR_OPTION_COUNT, "N", "that write (one for each processor, up to 8)",
                    &im.threads},
            {"no-settling", 0, FR_OPTION_FLAG, NULL, "leave the splitting of postings for later",
                    &im.no_settling},
            FR_OPTION_QUIET(&im.progress),
            FR_OPTION_PROGRESS(&im.progress),
            FR_OPTION_STORE(&im.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "what it came to as one JSON object", &im.as_json},
    };
    struct fr_args args = {.verb = "import",
            .summary = "Put the vectors of a file into an index, by several threads and batch by "
                       "batch;\n"
                       "FILE - is standard input. Formats: fvecs, bvecs, fbin, u8bin, i8bin, npy, "
                       "jsonl.\n"
                       "What ended early goes on with --resume. Exits with 1 if rows were refused, "
                       "or\n"
                       "if it was interrupted. Writes to the store.",
            .operand_names = "DIR FILE",
            .operands_least = 2,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (im.batch_rows == 0 || im.batch_rows > 1000000)
        return fr_args_misuse("import", "--batch is from 1 to 1000000");
    im.path = args.operands[0];
    im.file = args.operands[1];
    im.progress.quiet |= im.as_json;
    if (im.threads == 0) im.threads = FR_MIN(fr_thread_cpu_count(), THREADS_USUAL);
    if (im.max_errors == UINT64_MAX && im.rejects_path == NULL) im.max_errors = 0;
    fr_mutex_init(&im.mu, FR_RANK_LEAF);
    fr_interrupt_watch();
    return end_import(&im, run_import(&im));
}
