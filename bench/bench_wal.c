/* bench of internals: the log, below the public interface.
 *
 * bench_wal.c - what the log costs: appends by class and size, durable commits by group.
 *
 *   bench_wal DIR
 *
 * Appends go to a segment that is there already, which is what most of them meet; "by write" is the
 * same log without a shared mapping, one system call each. Commits append a group of records and
 * sync; beside them stand the bare ways to make as many bytes durable in a file that is written in
 * advance. Figures are medians over the rounds, and all lines take turns within a round.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "bench/measure.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "tools/args.h"
#include "tools/json.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

#define ROUNDS_MAX   21
#define RAW_NAME     "bench_wal.raw"
#define RAW_SIZE     ((uint64_t)64 << 20)
#define APPEND_BYTES ((uint64_t)40 << 20)
#define RECORD_SIZE  512

struct bench {
    uint64_t rounds;
    uint64_t duration_ns;
    bool as_json;
    struct fr_env *env;
    struct fr_dir *dir;
    uint64_t next_number;
    struct fr_json json;
};

/* One line of a table: a way, a size, and what was measured in each round. */
struct line {
    const char *name;
    size_t size; /* of a record, or records in a group */
    fr_status (*measure)(struct bench *b, struct line *line, double *ret_figure);
    enum fr_wal_class durability;
    bool by_write;
    bool rotate;
    unsigned write_flags;
    unsigned open_flags;
    double figures[ROUNDS_MAX];
};

static uint8_t bytes_[1 << 16] FR_ALIGNED(4096);

static uint64_t take_number(void *ctx)
{
    struct bench *b = ctx;
    return b->next_number++;
}

static fr_status open_log(struct bench *b, bool by_write, struct fr_wal_writer **ret_writer)
{
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_LOG,
            .epoch = fr_rng_entropy() | 1,
            .next_number = take_number,
            .next_number_ctx = b,
            .spares_max = 2,
            .no_shared_mapping = by_write};
    return fr_wal_writer_open(b->dir, &options, ret_writer);
}

static void close_log(struct bench *b, struct fr_wal_writer *w)
{
    fr_wal_writer_close(w);
    (void)!fr_wal_remove_before(b->dir, FR_WAL_KIND_LOG, b->next_number);
}

static fr_status append(struct fr_wal_writer *w, const struct line *line, size_t size)
{
    fr_slice part = fr_slice_of(bytes_, size);
    fr_lsn end;
    return fr_wal_writer_append(w, &part, 1, 1, line->durability, &end);
}

/* Nanoseconds per append. With rotate over four segments, the way between them included. */
static fr_status measure_appends(struct bench *b, struct line *line, double *ret_figure)
{
    uint64_t count = (line->rotate ? 6 : 1) * APPEND_BYTES / (line->size + 48);
    struct fr_wal_writer *w = NULL;
    fr_status st;

    FR_TRY(open_log(b, line->by_write, &w));
    uint64_t start = fr_env_now_us(b->env);
    for (uint64_t i = 0; i < count; i++) {
        FR_TRY(append(w, line, line->size));
        if (line->rotate && i % 4096 == 0) FR_TRY(fr_wal_writer_release(w, fr_wal_writer_end(w)));
    }
    *ret_figure = (double)(fr_env_now_us(b->env) - start) * 1000 / (double)count;
out:
    close_log(b, w);
    return st;
}

/* Commits per second of groups of line->size records. */
static fr_status measure_commits(struct bench *b, struct line *line, double *ret_figure)
{
    struct fr_wal_writer *w = NULL;
    fr_lsn durable;
    fr_status st;

    FR_TRY(open_log(b, line->by_write, &w));
    uint64_t start = fr_env_now_us(b->env), now = start, count = 0;
    while (now - start < b->duration_ns / 1000) {
        for (size_t i = 0; i < line->size; i++)
            FR_TRY(append(w, line, RECORD_SIZE));
        FR_TRY(fr_wal_writer_sync(w, &durable));
        FR_TRY(fr_wal_writer_release(w, durable));
        count++;
        now = fr_env_now_us(b->env);
    }
    *ret_figure = (double)count * 1e6 / (double)(now - start);
out:
    close_log(b, w);
    return st;
}

/* The same bytes, rounded up to blocks, in a bare file. */
static fr_status measure_raw(struct bench *b, struct line *line, double *ret_figure)
{
    size_t size = (line->size * (RECORD_SIZE + 48) + 48 + 4095) / 4096 * 4096;
    struct fr_file *file = NULL;
    uint64_t count = 0, offset = 0;
    fr_status st;

    FR_TRY(fr_file_open(b->dir, RAW_NAME, FR_OPEN_WRITE | line->open_flags, &file));
    uint64_t start = fr_env_now_us(b->env), now = start;
    while (now - start < b->duration_ns / 1000) {
        if (offset + size > RAW_SIZE) offset = 0;
        FR_TRY(fr_file_write(file, offset, bytes_, size, line->write_flags));
        if (line->write_flags == 0) FR_TRY(fr_file_sync(file));
        offset += size;
        count++;
        now = fr_env_now_us(b->env);
    }
    *ret_figure = (double)count * 1e6 / (double)(now - start);
out:
    fr_file_close(file);
    return st;
}

static void print_line(struct bench *b, struct line *line, bool commits)
{
    double figure = measure_median(line->figures, (size_t)b->rounds);
    double records = commits ? figure * (double)line->size : 1e9 / figure;
    double mb = records * (double)(commits ? RECORD_SIZE : line->size) / 1e6;

    if (!b->as_json) {
        printf("  %-26s %6zu %12.1f %12.0f %9.1f\n", line->name, line->size, figure, records, mb);
        return;
    }
    fr_json_begin_object(&b->json, NULL);
    fr_json_text(&b->json, "way", line->name);
    fr_json_u64(&b->json, "size", line->size);
    fr_json_double(&b->json, commits ? "commits_per_s" : "ns_per_append", figure);
    fr_json_double(&b->json, "records_per_s", records);
    fr_json_double(&b->json, "mb_per_s", mb);
    fr_json_end_object(&b->json);
}

static fr_status run_table(struct bench *b, const char *name, const char *title, struct line *lines,
        size_t count)
{
    bool commits = strcmp(name, "commits") == 0;

    for (uint64_t round = 0; round < b->rounds; round++)
        for (size_t i = 0; i < count; i++) {
            fr_status st = lines[i].measure(b, &lines[i], &lines[i].figures[round]);
            if (st < 0) return st;
        }
    if (b->as_json)
        fr_json_begin_array(&b->json, name);
    else
        printf("\n%s\n", title);
    for (size_t i = 0; i < count; i++)
        print_line(b, &lines[i], commits);
    if (b->as_json) fr_json_end_array(&b->json);
    fflush(stdout);
    return FR_OK;
}

static fr_status run_appends(struct bench *b)
{
    static const size_t sizes[] = {100, 512};
    struct line lines[8] = {0};
    size_t count = 0;

    for (size_t i = 0; i < FR_ARRAY_COUNT(sizes); i++) {
        struct line line = {.size = sizes[i], .measure = measure_appends};
        line.name = "NONE";
        lines[count++] = line;
        line.name = "OS, mapped";
        line.durability = FR_WAL_OS;
        lines[count++] = line;
        line.name = "OS, mapped, 4 segments";
        line.rotate = true;
        lines[count++] = line;
        line.name = "OS, by write";
        line.rotate = false;
        line.by_write = true;
        lines[count++] = line;
    }
    return run_table(b, "appends",
            "appends                        bytes    ns/append    appends/s      MB/s", lines,
            count);
}

static fr_status run_commits(struct bench *b)
{
    static const size_t groups[] = {1, 4, 16, 64};
    struct line lines[20] = {0};
    size_t count = 0;

    for (size_t i = 0; i < FR_ARRAY_COUNT(groups); i++) {
        size_t n = groups[i];
        lines[count++] = (struct line){
                .name = "log, mapped + fdatasync", .size = n, .measure = measure_commits};
        lines[count++] = (struct line){.name = "log, write + fdatasync",
                .size = n,
                .measure = measure_commits,
                .by_write = true};
        lines[count++] =
                (struct line){.name = "bare write + fdatasync", .size = n, .measure = measure_raw};
        lines[count++] = (struct line){.name = "bare DSYNC, buffered",
                .size = n,
                .measure = measure_raw,
                .write_flags = FR_WRITE_DSYNC};
        lines[count++] = (struct line){.name = "bare DSYNC, direct",
                .size = n,
                .measure = measure_raw,
                .write_flags = FR_WRITE_DSYNC,
                .open_flags = FR_OPEN_DIRECT};
    }
    return run_table(b, "commits",
            "durable commits            records/group  commits/s    records/s      MB/s", lines,
            count);
}

static fr_status run(struct bench *b, const char *path)
{
    struct fr_file *file = NULL;
    fr_status st;

    FR_TRY(fr_env_open(NULL, &b->env));
    FR_TRY(fr_dir_open(b->env, path, FR_DIR_CREATE, &b->dir));
    FR_TRY(fr_file_open(b->dir, RAW_NAME, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    FR_TRY(fr_file_prewrite(file, 0, RAW_SIZE));
    if (b->as_json) fr_json_begin_object(&b->json, NULL);
    FR_TRY(run_appends(b));
    FR_TRY(run_commits(b));
    if (b->as_json) {
        fr_json_end_object(&b->json);
        FR_TRY(fr_json_print(&b->json));
    }
out:
    fr_file_close(file);
    return st;
}

int main(int argc, char **argv)
{
    static struct bench b = {.rounds = 3, .duration_ns = 300000000, .next_number = 1};
    const struct fr_option options[] = {
            {"rounds", 0, FR_OPTION_COUNT, "N", "medians are over so many (3)", &b.rounds},
            {"time", 't', FR_OPTION_DURATION, "TIME", "of each line of commits (300 ms)",
                    &b.duration_ns},
            {"json", 0, FR_OPTION_FLAG, NULL, "the figures as one JSON object", &b.as_json},
    };
    struct fr_args args = {.verb = "bench_wal",
            .summary = "What the log costs: appends by class and size, durable commits by group.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    b.rounds = FR_MAX(b.rounds, (uint64_t)1);
    b.rounds = FR_MIN(b.rounds, (uint64_t)ROUNDS_MAX);
    if (run(&b, args.operands[0]) < 0) code = fr_exit_failed("bench_wal");
    if (b.dir != NULL) (void)!fr_dir_unlink(b.dir, RAW_NAME);
    fr_dir_close(b.dir);
    fr_env_close(b.env);
    fr_buf_deinit(&b.json.text);
    return code;
}
