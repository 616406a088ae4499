/* bench of internals: the environments, below the public interface.
 *
 * bench_io.c - what the environments make of a disk, uring and posix side by side.
 *
 *   bench_io DIR                    all tables
 *   bench_io --tables fio DIR       against fio's io_uring engine on the same file, in turn
 *
 * Tables: reads (rate by depth and size, registered memory or not), batches (reads handed over and
 * awaited so many at a time), syncs (every way to make 4 KiB durable), groups (throughput of
 * durable writes by their size), fio. All of it is direct I/O. Figures are medians over the rounds,
 * and what is compared takes turns within a round, because the machine's speed drifts.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/alloc.h"
#include "base/human.h"
#include "bench/measure.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "tools/args.h"
#include "tools/disk_probe.h"
#include "tools/json.h"

#define READ_NAME  "iotest.read"
#define ROUNDS_MAX 21
#define WORLDS     2

static const size_t read_sizes[] = {4096, 16384, 32768, 131072};
static const unsigned read_depths[] = {1, 4, 16, 64, 128};
static const unsigned batch_sizes[] = {1, 2, 4, 8, 16, 32, 64};
static const size_t group_sizes[] = {4096, 16384, 65536, 262144, 1048576};
static const size_t fio_sizes[] = {4096, 32768};

struct bench {
    const char *path;
    const char *tables; /* separated by commas; NULL for all but fio */
    uint64_t rounds;
    uint64_t duration_ns;
    uint64_t file_size;
    bool as_json;
    struct fr_env *envs[WORLDS];
    struct fr_dir *dirs[WORLDS];
    struct fr_file *files[WORLDS];
    struct fr_json json;
    struct fr_disk_rate rate;
};

/* One figure per round. */
struct series {
    double figures[ROUNDS_MAX];
    uint64_t count;
};

static double median(const struct series *series)
{
    double sorted[ROUNDS_MAX];

    memcpy(sorted, series->figures, series->count * sizeof(double));
    return measure_median(sorted, (size_t)series->count);
}

static double smallest(const struct series *series)
{
    double least = series->count == 0 ? 0 : series->figures[0];

    for (uint64_t i = 1; i < series->count; i++)
        least = FR_MIN(least, series->figures[i]);
    return least;
}

static void add(struct series *series, double figure)
{
    series->figures[series->count++] = figure;
}

/* The ratio round by round: what the drift of the machine cancels out of. */
static struct series ratios(const struct series *a, const struct series *b)
{
    struct series out = {0};

    for (uint64_t i = 0; i < FR_MIN(a->count, b->count); i++)
        add(&out, b->figures[i] > 0 ? a->figures[i] / b->figures[i] : 0);
    return out;
}

static bool wanted(const struct bench *b, const char *table)
{
    if (b->tables == NULL) return strcmp(table, "fio") != 0;
    const char *at = strstr(b->tables, table);
    if (at == NULL || (at != b->tables && at[-1] != ',')) return false;
    char after = at[strlen(table)];
    return after == '\0' || after == ',';
}

static const char *world_name(const struct bench *b, size_t world)
{
    return fr_env_kind_name(fr_env_kind(b->envs[world]));
}

static void begin_table(struct bench *b, const char *name, const char *title)
{
    if (b->as_json)
        fr_json_begin_array(&b->json, name);
    else
        printf("\n%s\n", title);
}

static void end_table(struct bench *b)
{
    if (b->as_json) fr_json_end_array(&b->json);
    fflush(stdout);
}

static fr_status measure_reads(struct bench *b, size_t world, struct fr_disk_reads *plan,
        uint64_t round, struct series *series)
{
    fr_status st;

    plan->duration_us = b->duration_ns / 1000;
    plan->seed = round;
    FR_TRY(fr_disk_probe_reads(b->envs[world], b->files[world], plan, &b->rate));
    add(series, fr_disk_rate_per_second(&b->rate));
out:
    return st;
}

/* One line: posix, uring, uring with registered memory, reads per second. */
static fr_status read_line(struct bench *b, size_t size, unsigned depth)
{
    struct series plain[WORLDS] = {0}, registered = {0};
    fr_status st = FR_OK;

    for (uint64_t round = 0; round < b->rounds; round++) {
        struct fr_disk_reads plan = {.block_size = size, .depth = depth};
        for (size_t world = 0; world < WORLDS; world++)
            FR_TRY(measure_reads(b, world, &plan, round, &plain[world]));
        plan.registered = true;
        FR_TRY(measure_reads(b, 1, &plan, round, &registered));
    }
    if (b->as_json) {
        fr_json_begin_object(&b->json, NULL);
        fr_json_u64(&b->json, "size", size);
        fr_json_u64(&b->json, "depth", depth);
        for (size_t world = 0; world < WORLDS; world++)
            fr_json_double(&b->json, world_name(b, world), median(&plain[world]));
        fr_json_double(&b->json, "registered", median(&registered));
        fr_json_end_object(&b->json);
        return FR_OK;
    }
    struct series ratio = ratios(&plain[1], &plain[0]);
    printf("%10s %6u %12.0f %12.0f %8.2f %12.0f %10.0f\n", fr_human_size(size).text, depth,
            median(&plain[0]), median(&plain[1]), median(&ratio), median(&registered),
            median(&plain[1]) * (double)size / 1e6);
out:
    return st;
}

static fr_status table_reads(struct bench *b)
{
    fr_status st = FR_OK;

    begin_table(b, "reads", "random direct reads per second");
    if (!b->as_json)
        printf("%10s %6s %12s %12s %8s %12s %10s\n", "size", "depth", "posix", "uring", "ratio",
                "registered", "MB/s");
    for (size_t i = 0; i < FR_ARRAY_COUNT(read_sizes); i++)
        for (size_t j = 0; j < FR_ARRAY_COUNT(read_depths); j++)
            FR_TRY(read_line(b, read_sizes[i], read_depths[j]));
    end_table(b);
out:
    return st;
}

/* A batch is handed over, awaited as a whole, and followed by the next one. */
static fr_status table_batches(struct bench *b)
{
    fr_status st = FR_OK;

    begin_table(b, "batches", "batches of 4 KiB reads, one after the other: reads per second");
    if (!b->as_json) printf("%10s %12s %12s %8s\n", "batch", "posix", "uring", "ratio");
    for (size_t i = 0; i < FR_ARRAY_COUNT(batch_sizes); i++) {
        struct fr_disk_reads plan = {
                .block_size = 4096, .depth = batch_sizes[i], .batch = batch_sizes[i]};
        struct series series[WORLDS] = {0};

        for (uint64_t round = 0; round < b->rounds; round++)
            for (size_t world = 0; world < WORLDS; world++)
                FR_TRY(measure_reads(b, world, &plan, round, &series[world]));
        struct series ratio = ratios(&series[1], &series[0]);
        if (b->as_json) {
            fr_json_begin_object(&b->json, NULL);
            fr_json_u64(&b->json, "batch", batch_sizes[i]);
            fr_json_double(&b->json, "posix", median(&series[0]));
            fr_json_double(&b->json, "uring", median(&series[1]));
            fr_json_end_object(&b->json);
        } else {
            printf("%10u %12.0f %12.0f %8.2f\n", batch_sizes[i], median(&series[0]),
                    median(&series[1]), median(&ratio));
        }
    }
    end_table(b);
out:
    return st;
}

struct sync_figures {
    struct series rate, p50, p99;
};

static fr_status measure_syncs(struct bench *b, size_t world, enum fr_sync_way way, size_t size,
        struct sync_figures *figures)
{
    struct fr_disk_syncs plan = {.way = way, .size = size, .duration_us = b->duration_ns / 1000};
    fr_status st;

    FR_TRY(fr_disk_probe_syncs(b->envs[world], b->dirs[world], &plan, &b->rate));
    add(&figures->rate, fr_disk_rate_per_second(&b->rate));
    add(&figures->p50, (double)fr_histogram_percentile(&b->rate.latency, FR_P50));
    add(&figures->p99, (double)fr_histogram_percentile(&b->rate.latency, FR_P99));
out:
    return st;
}

static void print_sync_line(struct bench *b, const char *name, const char *text, size_t size,
        const struct sync_figures figures[WORLDS])
{
    if (!b->as_json) {
        printf("%-44s %10.0f %10.0f %8.0f %8.0f %8.0f %8.0f %8.1f\n", text,
                median(&figures[0].rate), median(&figures[1].rate), median(&figures[0].p50),
                median(&figures[1].p50), median(&figures[0].p99), median(&figures[1].p99),
                median(&figures[1].rate) * (double)size / 1e6);
        return;
    }
    fr_json_begin_object(&b->json, NULL);
    fr_json_text(&b->json, "way", name);
    fr_json_u64(&b->json, "size", size);
    for (size_t world = 0; world < WORLDS; world++) {
        fr_json_begin_object(&b->json, world_name(b, world));
        fr_json_double(&b->json, "per_second", median(&figures[world].rate));
        fr_json_double(&b->json, "p50_us", median(&figures[world].p50));
        fr_json_double(&b->json, "p99_us", median(&figures[world].p99));
        fr_json_end_object(&b->json);
    }
    fr_json_end_object(&b->json);
}

static void print_sync_head(struct bench *b)
{
    if (b->as_json) return;
    printf("%-44s %10s %10s %8s %8s %8s %8s %8s\n", "", "posix/s", "uring/s", "p50 us", "p50 us",
            "p99 us", "p99 us", "MB/s");
}

static fr_status table_syncs(struct bench *b)
{
    fr_status st = FR_OK;

    begin_table(b, "syncs", "4 KiB made durable, one commit after the other (posix, uring)");
    print_sync_head(b);
    for (int way = 0; way < FR_SYNC_WAY_COUNT; way++) {
        struct sync_figures figures[WORLDS] = {0};
        for (uint64_t round = 0; round < b->rounds; round++)
            for (size_t world = 0; world < WORLDS; world++)
                FR_TRY(measure_syncs(b, world, (enum fr_sync_way)way, 4096, &figures[world]));
        print_sync_line(b, fr_sync_way_name((enum fr_sync_way)way),
                fr_sync_way_text((enum fr_sync_way)way), 4096, figures);
    }
    end_table(b);
out:
    return st;
}

static fr_status table_groups(struct bench *b)
{
    fr_status st = FR_OK;

    begin_table(b, "groups", "durable direct writes through a queue, by the size of the group");
    print_sync_head(b);
    for (size_t i = 0; i < FR_ARRAY_COUNT(group_sizes); i++) {
        struct sync_figures figures[WORLDS] = {0};
        for (uint64_t round = 0; round < b->rounds; round++)
            for (size_t world = 0; world < WORLDS; world++)
                FR_TRY(measure_syncs(b, world, FR_SYNC_WAY_QUEUE_DSYNC, group_sizes[i],
                        &figures[world]));
        print_sync_line(b, "queue_dsync", fr_human_size(group_sizes[i]).text, group_sizes[i],
                figures);
    }
    end_table(b);
out:
    return st;
}

/* Processor time of this process, or of its children that have ended, in us. */
static double cpu_us(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

/* fio's rate on the same file, from its terse report: the eighth field is reads per second. */
static fr_status measure_fio(struct bench *b, size_t size, unsigned depth, struct series *series)
{
    char command[1024], line[8192];
    double rate = -1;

    snprintf(command, sizeof(command),
            "fio --name=r --filename='%s/" READ_NAME
            "' --readonly --direct=1 --rw=randread --bs=%zu"
            " --ioengine=io_uring --iodepth=%u --time_based --runtime=%" PRIu64 "ms"
            " --output-format=terse --terse-version=3",
            b->path, size, depth, b->duration_ns / 1000000);
    fflush(stdout);
    /* NOLINTNEXTLINE(cert-env33-c): a benchmark runs what is on its user's path */
    FILE *report = popen(command, "re");
    if (report == NULL) return FR_FAIL(FR_ERR_UNSUPPORTED, "fio cannot be started");
    while (fgets(line, sizeof(line), report) != NULL) {
        char *at = line;
        for (int field = 0; field < 7 && at != NULL; field++)
            at = strchr(at, ';') != NULL ? strchr(at, ';') + 1 : NULL;
        if (at != NULL && rate < 0) rate = strtod(at, NULL);
    }
    int status = pclose(report);
    if (status != 0 || rate <= 0)
        return FR_FAIL(FR_ERR_UNSUPPORTED, "fio failed (%d): is it installed?", status);
    add(series, rate);
    return FR_OK;
}

static fr_status table_fio(struct bench *b)
{
    fr_status st = FR_OK;

    begin_table(b, "fio",
            "random direct reads per second at depth 64, against fio's io_uring engine");
    if (!b->as_json)
        printf("%10s %12s %12s %8s %8s %12s %12s\n", "size", "fio", "uring", "ratio", "least",
                "fio cpu us", "uring cpu us");
    for (size_t i = 0; i < FR_ARRAY_COUNT(fio_sizes); i++) {
        struct series ours = {0}, theirs = {0}, our_cpu = {0}, their_cpu = {0};
        for (uint64_t round = 0; round < b->rounds; round++) {
            double seconds = (double)b->duration_ns / 1e9;
            struct fr_disk_reads plan = {.block_size = fio_sizes[i], .depth = 64};
            double before = cpu_us(RUSAGE_CHILDREN);
            FR_TRY(measure_fio(b, fio_sizes[i], 64, &theirs));
            add(&their_cpu, (cpu_us(RUSAGE_CHILDREN) - before) / theirs.figures[round] / seconds);
            before = cpu_us(RUSAGE_SELF);
            FR_TRY(measure_reads(b, 1, &plan, round, &ours));
            add(&our_cpu, (cpu_us(RUSAGE_SELF) - before) / ours.figures[round] / seconds);
        }
        struct series ratio = ratios(&ours, &theirs);
        if (b->as_json) {
            fr_json_begin_object(&b->json, NULL);
            fr_json_u64(&b->json, "size", fio_sizes[i]);
            fr_json_double(&b->json, "fio", median(&theirs));
            fr_json_double(&b->json, "uring", median(&ours));
            fr_json_double(&b->json, "ratio", median(&ratio));
            fr_json_double(&b->json, "fio_cpu_us_per_read", median(&their_cpu));
            fr_json_double(&b->json, "uring_cpu_us_per_read", median(&our_cpu));
            fr_json_end_object(&b->json);
        } else {
            printf("%10s %12.0f %12.0f %8.3f %8.3f %12.2f %12.2f\n",
                    fr_human_size(fio_sizes[i]).text, median(&theirs), median(&ours),
                    median(&ratio), smallest(&ratio), median(&their_cpu), median(&our_cpu));
        }
    }
    end_table(b);
out:
    return st;
}

static fr_status open_worlds(struct bench *b)
{
    static const enum fr_env_kind kinds[WORLDS] = {FR_ENV_POSIX, FR_ENV_URING};
    fr_status st = FR_OK;

    for (size_t i = 0; i < WORLDS; i++) {
        /* As many threads as the deepest queue: posix shall not lose for want of them. */
        struct fr_env_options options = {.kind = kinds[i], .pool_threads_max = 64};
        FR_TRY(fr_env_open(&options, &b->envs[i]));
        FR_TRY(fr_dir_open(b->envs[i], b->path, 0, &b->dirs[i]));
    }
    FR_TRY(fr_disk_probe_file(b->dirs[0], READ_NAME, b->file_size, &b->files[0]));
    FR_TRY(fr_file_open(b->dirs[1], READ_NAME, FR_OPEN_DIRECT, &b->files[1]));
out:
    return st;
}

static void close_worlds(struct bench *b)
{
    for (size_t i = 0; i < WORLDS; i++)
        fr_file_close(b->files[i]);
    if (b->dirs[0] != NULL) (void)!fr_dir_unlink(b->dirs[0], READ_NAME);
    for (size_t i = 0; i < WORLDS; i++) {
        fr_dir_close(b->dirs[i]);
        fr_env_close(b->envs[i]);
    }
    fr_buf_deinit(&b->json.text);
}

static fr_status run(struct bench *b)
{
    static const struct {
        const char *name;
        fr_status (*run)(struct bench *);
    } tables[] = {
            {"reads", table_reads},
            {"batches", table_batches},
            {"syncs", table_syncs},
            {"groups", table_groups},
            {"fio", table_fio},
    };
    fr_status st;

    FR_TRY(open_worlds(b));
    if (b->as_json)
        fr_json_begin_object(&b->json, NULL);
    else
        printf("%s, a file of %s, medians of %" PRIu64 " rounds of %s; %s\n", b->path,
                fr_human_size(b->file_size).text, b->rounds, fr_human_duration(b->duration_ns).text,
                fr_env_reason(b->envs[1]));
    for (size_t i = 0; i < FR_ARRAY_COUNT(tables); i++)
        if (wanted(b, tables[i].name)) FR_TRY(tables[i].run(b));
    if (b->as_json) {
        fr_json_end_object(&b->json);
        FR_TRY(fr_json_print(&b->json));
    }
out:
    return st;
}

int main(int argc, char **argv)
{
    static struct bench b = {.rounds = 3, .duration_ns = 500000000, .file_size = (uint64_t)1 << 30};
    const struct fr_option options[] = {
            {"tables", 0, FR_OPTION_TEXT, "LIST",
                    "of reads, batches, syncs, groups, fio (all but fio)", &b.tables},
            {"rounds", 0, FR_OPTION_COUNT, "N", "medians are over so many (3)", &b.rounds},
            {"time", 't', FR_OPTION_DURATION, "TIME", "of each measurement (500 ms)",
                    &b.duration_ns},
            {"size", 's', FR_OPTION_SIZE, "SIZE", "of the file that is read (1 GiB)", &b.file_size},
            {"json", 0, FR_OPTION_FLAG, NULL, "the figures as one JSON object", &b.as_json},
    };
    struct fr_args args = {.verb = "bench_io",
            .summary = "What the environments make of a disk, uring and posix side by side.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    b.path = args.operands[0];
    b.rounds = FR_MAX(b.rounds, (uint64_t)1);
    b.rounds = FR_MIN(b.rounds, (uint64_t)ROUNDS_MAX);
    if (run(&b) < 0) code = fr_exit_failed("bench_io");
    close_worlds(&b);
    return code;
}
