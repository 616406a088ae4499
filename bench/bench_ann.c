/* bench of internals: the index in memory, without its store.
 *
 * bench_ann.c - recall against speed: Freshet's index beside hnswlib and faiss.
 *
 * Every engine makes its index of the same vectors in a process of its own. Then all of them answer
 * the same queries, level by level from little effort to much, taking turns at each level, so that
 * the machine's moods are shared. What is printed are medians over the rounds, and how many
 * queries per second each would answer at given recalls, interpolated between levels. An answer is
 * right if it is not farther than the k-th nearest is.
 *
 *   bench_ann base.u8bin query.u8bin neighbours.ibin --peer-cache /var/tmp
 *   bench_ann --synthetic drift --count 200000 --dimension 256 --metric cosine
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/crc32c.h"
#include "bench/ann_child.h"
#include "bench/ann_data.h"
#include "bench/measure.h"
#include "tools/args.h"
#include "tools/json.h"

#define ROUNDS_MAX  15
#define LEVELS_MAX  16
#define ENGINES_MAX 6
#define PATH_ROOM   512

/* Levels beyond this recall are of no interest. */
#define RECALL_ENOUGH 0.9985

static const double recalls[] = {0.90, 0.95, 0.98, 0.99, 0.995};

/* Figures of a level, a round each; without rounds it was not measured. */
struct cell {
    struct ann_pass one[ROUNDS_MAX], all[ROUNDS_MAX];
};

struct column {
    struct ann_child child;
    struct cell cells[LEVELS_MAX];
    size_t level_count; /* that were measured */
};

struct bench {
    const char *engines, *synthetic, *metric_name, *cache, *lock, *json;
    uint64_t limit, count, dimension, query_count, k, rounds, threads, seed;
    bool huge;
    const char *operands[3];

    enum ann_metric metric;
    struct ann_set base, queries;
    struct ann_task task;
    struct column columns[ENGINES_MAX];
    size_t column_count;
};

static const struct ann_engine *const engines[] = {
        &ann_freshet,
#ifdef ANN_HAVE_HNSWLIB
        &ann_hnswlib,
        &ann_hnswlib_huge,
#endif
#ifdef ANN_HAVE_FAISS
        &ann_faiss_ivfpq,
        &ann_faiss_hnsw,
#endif
};

void ann_die(const char *format, ...)
{
    va_list args;

    fputs("bench_ann: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(FR_EXIT_FINDINGS);
}

static enum ann_metric parse_metric(const char *name)
{
    if (strcmp(name, "l2") == 0) return ANN_L2;
    if (strcmp(name, "cosine") == 0) return ANN_COSINE;
    if (strcmp(name, "ip") == 0) return ANN_INNER_PRODUCT;
    ann_die("%s: no metric; there are l2, cosine and ip", name);
}

static enum ann_kind parse_kind(const char *name)
{
    for (int kind = 0; kind < ANN_KINDS; kind++)
        if (strcmp(name, ann_kind_names[kind]) == 0) return (enum ann_kind)kind;
    ann_die("%s: no kind of vectors; there are clustered, flat, sphere, drift and duplicates",
            name);
}

static void load_data(struct bench *b)
{
    float *farthest;

    b->metric = parse_metric(b->metric_name);
    if (b->synthetic != NULL) {
        ann_make(parse_kind(b->synthetic), b->count, b->query_count, b->dimension, b->seed,
                &b->base, &b->queries);
    } else {
        if (b->operands[1] == NULL) ann_die("wants BASE and QUERIES, or --synthetic");
        ann_read(b->operands[0], b->limit, &b->base);
        ann_read(b->operands[1], b->query_count, &b->queries);
    }
    if (b->base.dimension != b->queries.dimension) ann_die("base and queries differ in dimension");
    if (b->k == 0 || b->k > 100 || b->k > b->base.count) ann_die("k is out of range");
    if (b->metric == ANN_COSINE) {
        ann_normalise(&b->base);
        ann_normalise(&b->queries);
    }
    farthest = fr_alloc(b->queries.count * sizeof(float));
    if (farthest == NULL) ann_die("no memory");
    ann_truth(b->limit > 0 ? NULL : b->operands[2], &b->base, &b->queries, b->metric, b->k,
            (unsigned)b->threads, farthest);
    b->task = (struct ann_task){.base = &b->base,
            .queries = &b->queries,
            .metric = b->metric,
            .k = b->k,
            .farthest = farthest};
}

/* Whether a name is in a list with commas. */
static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);

    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == 0 || at[length] == ',')) return true;
    }
    return list == NULL;
}

/* A file for what an engine has made of this base: two engines of a kind share it. */
static const char *cache_path(const struct bench *b, const char *engine, char ret_path[PATH_ROOM])
{
    if (b->cache == NULL) return NULL;
    size_t bytes = b->base.count * b->base.dimension * sizeof(float);
    snprintf(ret_path, PATH_ROOM, "%s/%.*s-%s-%zux%zu-%08x.index", b->cache,
            (int)strcspn(engine, "-"), engine, b->metric_name, b->base.count, b->base.dimension,
            fr_crc32c(0, b->base.vectors, bytes));
    return ret_path;
}

static void make_indexes(struct bench *b)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(engines); i++) {
        char path[PATH_ROOM];
        struct ann_job job = {.base = &b->base,
                .metric = b->metric,
                .threads = (unsigned)b->threads,
                .cache = cache_path(b, engines[i]->name, path)};
        struct column *column = &b->columns[b->column_count];

        if (!is_listed(b->engines, engines[i]->name)) continue;
        if (engines[i]->level_count > LEVELS_MAX) ann_die("too many levels");
        ann_child_start(&column->child, engines[i], &b->task, &job);
        b->column_count++;
    }
    if (b->column_count == 0) ann_die("there is no engine to measure");
}

/* All engines' turns at all levels; which one is first changes from round to round. */
static void run_round(struct bench *b, size_t round, bool is_alone)
{
    for (size_t level = 0; level < LEVELS_MAX; level++)
        for (size_t i = 0; i < b->column_count; i++) {
            struct column *column = &b->columns[(i + round) % b->column_count];
            struct cell *cell = &column->cells[level];
            bool is_first = round == 0 && is_alone;

            if (level >= column->child.engine->level_count) continue;
            if (is_first && level > 0 &&
                    (column->level_count < level ||
                            column->cells[level - 1].one[0].recall >= RECALL_ENOUGH))
                continue;
            if (!is_first && level >= column->level_count) continue;
            ann_child_pass(&column->child, level, is_alone ? 1 : (unsigned)b->threads,
                    is_alone ? &cell->one[round] : &cell->all[round]);
            if (is_first) column->level_count = level + 1;
        }
}

/* Where several share the machine, the figures are taken when nobody else works. */
static void run_rounds(struct bench *b)
{
    int lock = b->lock == NULL ? -1 : open(b->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (b->lock != NULL && (lock < 0 || flock(lock, LOCK_EX) != 0))
        ann_die("%s: cannot be locked: %s", b->lock, strerror(errno));
    for (size_t round = 0; round < b->rounds; round++) {
        run_round(b, round, true);
        if (b->threads > 1) run_round(b, round, false);
    }
    if (lock >= 0) close(lock);
}

/* Of one figure of a level's passes. */
static double median(const struct ann_pass *passes, size_t rounds, size_t offset)
{
    double values[ROUNDS_MAX];

    for (size_t i = 0; i < rounds; i++)
        memcpy(&values[i], (const char *)&passes[i] + offset, sizeof(double));
    return measure_median(values, rounds);
}

#define MEDIAN(b, passes, field) median(passes, (b)->rounds, offsetof(struct ann_pass, field))

/* Seconds for a query, in one round, or the median of all. */
static double cost(const struct bench *b, const struct ann_pass *passes, size_t round)
{
    double seconds = round < b->rounds ? passes[round].seconds : MEDIAN(b, passes, seconds);

    return seconds / (double)b->queries.count;
}

static const struct ann_pass *passes_of(const struct column *column, size_t level, bool is_alone)
{
    return is_alone ? column->cells[level].one : column->cells[level].all;
}

/*
 * Queries per second at a recall: between two levels the time is interpolated. Zero if it was not
 * reached. One round, or the medians of all if round is their number.
 */
static double speed_at(const struct bench *b, const struct column *column, double recall,
        bool is_alone, size_t round)
{
    double best = INFINITY;

    for (size_t level = 0; level < column->level_count; level++) {
        const struct ann_pass *passes = passes_of(column, level, is_alone);
        double high = passes[0].recall, here = cost(b, passes, round);

        if (high < recall) continue;
        if (level > 0) {
            const struct ann_pass *before = passes_of(column, level - 1, is_alone);
            double low = before[0].recall, there = cost(b, before, round);

            if (low < recall) here = there + (here - there) * (recall - low) / (high - low);
        }
        best = fmin(best, here);
    }
    return isfinite(best) ? 1 / best : 0;
}

static double bytes_each(const struct bench *b, uint64_t bytes)
{
    return (double)bytes / (double)b->base.count;
}

static void print_makes(const struct bench *b)
{
    printf("\n%-13s %9s %9s %11s %12s %12s\n", "made", "s", "cpu s", "vectors/s", "bytes each",
            "accounted");
    for (size_t i = 0; i < b->column_count; i++) {
        const struct ann_made *made = &b->columns[i].child.made;

        printf("%-13s ", b->columns[i].child.engine->name);
        if (made->built.was_cached)
            printf("%9s %9s %11s ", "cached", "-", "-");
        else
            printf("%9.1f %9.1f %11.0f ", made->seconds, made->cpu_seconds,
                    (double)b->base.count / made->seconds);
        printf("%12.0f ", bytes_each(b, made->private_bytes));
        if (made->built.accounted > 0)
            printf("%12.0f\n", bytes_each(b, made->built.accounted));
        else
            printf("%12s\n", "-");
    }
}

static void print_levels(const struct bench *b, const struct column *column)
{
    printf("\n%-13s %9s %9s %8s %8s %8s %9s\n", column->child.engine->name, "recall", "1 thread",
            "p50 us", "p95 us", "p99 us", b->threads > 1 ? "all" : "");
    for (size_t level = 0; level < column->level_count; level++) {
        const struct cell *cell = &column->cells[level];
        char name[32];

        column->child.engine->level_name(level, name, sizeof(name));
        printf("%-13s %9.4f %9.0f %8.1f %8.1f %8.1f", name, cell->one[0].recall,
                1 / cost(b, cell->one, b->rounds), MEDIAN(b, cell->one, p50_us),
                MEDIAN(b, cell->one, p95_us), MEDIAN(b, cell->one, p99_us));
        if (b->threads > 1) printf(" %9.0f", 1 / cost(b, cell->all, b->rounds));
        printf("\n");
    }
}

/* How often as fast the first engine is, and in which rounds least and most. */
static void print_ratio(const struct bench *b, const struct column *column, double recall,
        bool is_alone)
{
    double ours = speed_at(b, &b->columns[0], recall, is_alone, b->rounds);
    double theirs = speed_at(b, column, recall, is_alone, b->rounds);
    double least = INFINITY, most = 0;

    if (ours == 0 || theirs == 0) {
        printf(" %9s %-17s", theirs > 0 ? "reached" : "-", "");
        return;
    }
    for (size_t round = 0; round < b->rounds; round++) {
        double ratio = speed_at(b, &b->columns[0], recall, is_alone, round) /
                       speed_at(b, column, recall, is_alone, round);
        least = fmin(least, ratio);
        most = fmax(most, ratio);
    }
    printf(" %9.0f %4.2f (%4.2f-%4.2f)", theirs, ours / theirs, least, most);
}

static void print_speeds(const struct bench *b, bool is_alone)
{
    printf("\nqueries per second at a recall, by %s; %s's multiple of it, least and most\n",
            is_alone ? "one thread" : "all threads", b->columns[0].child.engine->name);
    printf("%-7s %9s", "recall", b->columns[0].child.engine->name);
    for (size_t i = 1; i < b->column_count; i++)
        printf(" %9s %-17s", b->columns[i].child.engine->name, "");
    printf("\n");
    for (size_t r = 0; r < FR_ARRAY_COUNT(recalls); r++) {
        printf("%-7.3f %9.0f", recalls[r],
                speed_at(b, &b->columns[0], recalls[r], is_alone, b->rounds));
        for (size_t i = 1; i < b->column_count; i++)
            print_ratio(b, &b->columns[i], recalls[r], is_alone);
        printf("\n");
    }
}

static void print_tables(const struct bench *b)
{
    print_makes(b);
    for (size_t i = 0; i < b->column_count; i++)
        print_levels(b, &b->columns[i]);
    print_speeds(b, true);
    if (b->threads > 1) print_speeds(b, false);
}

static void put_levels(struct fr_json *json, const struct bench *b, const struct column *column)
{
    fr_json_begin_array(json, "levels");
    for (size_t level = 0; level < column->level_count; level++) {
        const struct cell *cell = &column->cells[level];
        char name[32];

        column->child.engine->level_name(level, name, sizeof(name));
        fr_json_begin_object(json, NULL);
        fr_json_text(json, "level", name);
        fr_json_double(json, "recall", cell->one[0].recall);
        fr_json_double(json, "queries_per_s", 1 / cost(b, cell->one, b->rounds));
        fr_json_double(json, "p50_us", MEDIAN(b, cell->one, p50_us));
        fr_json_double(json, "p95_us", MEDIAN(b, cell->one, p95_us));
        fr_json_double(json, "p99_us", MEDIAN(b, cell->one, p99_us));
        if (b->threads > 1)
            fr_json_double(json, "queries_per_s_all", 1 / cost(b, cell->all, b->rounds));
        fr_json_end_object(json);
    }
    fr_json_end_array(json);
}

static void put_speeds(struct fr_json *json, const struct bench *b, const struct column *column)
{
    fr_json_begin_array(json, "at_recall");
    for (size_t r = 0; r < FR_ARRAY_COUNT(recalls); r++) {
        fr_json_begin_object(json, NULL);
        fr_json_double(json, "recall", recalls[r]);
        fr_json_double(json, "queries_per_s", speed_at(b, column, recalls[r], true, b->rounds));
        if (b->threads > 1)
            fr_json_double(json, "queries_per_s_all",
                    speed_at(b, column, recalls[r], false, b->rounds));
        fr_json_end_object(json);
    }
    fr_json_end_array(json);
}

static void put_engine(struct fr_json *json, const struct bench *b, const struct column *column)
{
    const struct ann_made *made = &column->child.made;

    fr_json_begin_object(json, NULL);
    fr_json_text(json, "engine", column->child.engine->name);
    fr_json_bool(json, "cached", made->built.was_cached);
    fr_json_double(json, "build_s", made->seconds);
    fr_json_double(json, "build_cpu_s", made->cpu_seconds);
    fr_json_u64(json, "private_bytes", made->private_bytes);
    fr_json_u64(json, "accounted_bytes", made->built.accounted);
    put_levels(json, b, column);
    put_speeds(json, b, column);
    fr_json_end_object(json);
}

static int write_json(const struct bench *b)
{
    struct fr_json json = FR_JSON_EMPTY;
    FILE *file = fopen(b->json, "w");

    fr_json_begin_object(&json, NULL);
    fr_json_text(&json, "base", b->synthetic != NULL ? b->synthetic : b->operands[0]);
    fr_json_text(&json, "metric", b->metric_name);
    fr_json_u64(&json, "count", b->base.count);
    fr_json_u64(&json, "dimension", b->base.dimension);
    fr_json_u64(&json, "queries", b->queries.count);
    fr_json_u64(&json, "k", b->k);
    fr_json_u64(&json, "rounds", b->rounds);
    fr_json_u64(&json, "threads", b->threads);
    fr_json_begin_array(&json, "engines");
    for (size_t i = 0; i < b->column_count; i++)
        put_engine(&json, b, &b->columns[i]);
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    bool good = file != NULL && json.text.failed == false &&
                fwrite(json.text.data, 1, json.text.size, file) == json.text.size;
    fr_buf_deinit(&json.text);
    if (file != NULL && fclose(file) != 0) good = false;
    if (!good) fprintf(stderr, "bench_ann: cannot write %s\n", b->json);
    return good ? FR_EXIT_FINE : FR_EXIT_IO;
}

static void print_preamble(const struct bench *b)
{
    printf("%zu vectors of %zu dimensions, %zu queries for the %zu nearest by %s, %zu rounds, %zu "
           "threads\n",
            b->base.count, b->base.dimension, b->queries.count, (size_t)b->k, b->metric_name,
            (size_t)b->rounds, (size_t)b->threads);
    for (size_t i = 0; i < FR_ARRAY_COUNT(engines); i++)
        if (is_listed(b->engines, engines[i]->name))
            printf("%-13s %s\n", engines[i]->name, engines[i]->about);
}

static int run(struct bench *b)
{
    b->rounds = FR_MAX(b->rounds, (uint64_t)1);
    b->rounds = FR_MIN(b->rounds, (uint64_t)ROUNDS_MAX);
    b->threads = FR_MAX(b->threads, (uint64_t)1);
    load_data(b);
    print_preamble(b);
    make_indexes(b);
    run_rounds(b);
    for (size_t i = 0; i < b->column_count; i++)
        ann_child_stop(&b->columns[i].child);
    print_tables(b);
    return b->json != NULL ? write_json(b) : FR_EXIT_FINE;
}

/* Only when a process starts can malloc be told to use huge pages. */
static void start_with_huge_pages(char **argv)
{
    static const char name[] = "GLIBC_TUNABLES", value[] = "glibc.malloc.hugetlb=1";
    const char *now = getenv(name);

    if (now != NULL && strcmp(now, value) == 0) return;
    if (setenv(name, value, 1) == 0) execv("/proc/self/exe", argv);
    ann_die("cannot start again: %s", strerror(errno));
}

int main(int argc, char **argv)
{
    static struct bench b = {.metric_name = "l2",
            .count = 100000,
            .dimension = 128,
            .query_count = 1000,
            .k = 10,
            .rounds = 3,
            .seed = 1};
    const struct fr_option options[] = {
            {"engines", 'e', FR_OPTION_TEXT, "LIST", "separated by commas (all)", &b.engines},
            {"metric", 'm', FR_OPTION_TEXT, "NAME", "l2, cosine or ip (l2)", &b.metric_name},
            {"synthetic", 's', FR_OPTION_TEXT, "KIND",
                    "clustered, flat, sphere, drift or duplicates, instead of files", &b.synthetic},
            {"count", 'n', FR_OPTION_COUNT, "N", "synthetic vectors (100000)", &b.count},
            {"dimension", 'd', FR_OPTION_COUNT, "N", "of synthetic vectors (128)", &b.dimension},
            {"seed", 0, FR_OPTION_COUNT, "N", "of synthetic vectors (1)", &b.seed},
            {"queries", 'q', FR_OPTION_COUNT, "N", "how many at the most (1000)", &b.query_count},
            {"limit", 0, FR_OPTION_COUNT, "N", "vectors of the base at the most (all)", &b.limit},
            {"neighbours", 'k', FR_OPTION_COUNT, "K", "how many are searched for (10)", &b.k},
            {"rounds", 'r', FR_OPTION_COUNT, "N", "medians are over so many (3)", &b.rounds},
            {"threads", 't', FR_OPTION_COUNT, "N", "that search together (all processors)",
                    &b.threads},
            {"peer-cache", 0, FR_OPTION_TEXT, "DIR", "where the peers' indexes are kept", &b.cache},
            {"huge", 0, FR_OPTION_FLAG, NULL, "let malloc use huge pages, for all engines",
                    &b.huge},
            {"lock", 0, FR_OPTION_TEXT, "FILE", "locked while queries are timed", &b.lock},
            {"json", 0, FR_OPTION_TEXT, "FILE", "the figures as one JSON object", &b.json},
    };
    struct fr_args args = {.verb = "bench_ann",
            .summary = "Freshet's index beside others: recall and speed.",
            .operand_names = "[BASE QUERIES [NEIGHBOURS]]",
            .operands_most = 3,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    b.threads = (uint64_t)sysconf(_SC_NPROCESSORS_ONLN);
    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    if (b.huge) start_with_huge_pages(argv);
    for (size_t i = 0; i < args.operand_count; i++)
        b.operands[i] = args.operands[i];
    return run(&b);
}
