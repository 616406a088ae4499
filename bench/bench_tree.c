/* bench of internals: the index in memory, without its store.
 *
 * bench_tree.c - fill a tree by streaming, and see what searches find and how fast.
 *
 * Vectors go in one by one in the file's order, maintained as they come, so the tree has grown as a
 * user's does. Then each effort of a ladder is run over all queries by one thread: the recall of
 * the ten nearest against the file of neighbours, or against an exact scan if there is none, and
 * queries per second, the median of the repeats.
 *
 *   bench_tree BASE.u8bin QUERY.u8bin [GT.ibin]
 *     --limit N     so many vectors of the base
 *     --repeats N   of each effort (3)
 *     --refine N    look at each posting so many times after the fill (0)
 *     --slow        maintain after each insertion, not after each hundred
 *     --json FILE   the figures of the last pass over the ladder as one JSON object, too
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/status.h"
#include "bench/measure.h"
#include "spfresh/probe.h"

#define K         10
#define SAMPLE    1000
#define REPEATS_M 15

struct set {
    uint32_t count, dimension;
    float *vectors;
};

struct run {
    const char *base, *query, *truth, *json;
    size_t limit;
    int repeats, refine;
    bool slow;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_tree: %s\n", what);
    exit(1);
}

static void must(fr_status st)
{
    if (st < 0) die(fr_last_error());
}

static FILE *open_set(const char *path, uint32_t head[2])
{
    FILE *file = fopen(path, "rb");

    if (file == NULL || fread(head, sizeof(uint32_t), 2, file) != 2) die(path);
    return file;
}

static struct set read_u8(const char *path, size_t limit)
{
    uint32_t head[2];
    FILE *file = open_set(path, head);
    struct set set = {.count = head[0], .dimension = head[1]};

    if (limit > 0 && limit < set.count) set.count = (uint32_t)limit;
    uint8_t *row = fr_alloc(set.dimension);
    set.vectors = fr_alloc((size_t)set.count * set.dimension * sizeof(float));
    if (row == NULL || set.vectors == NULL) die("no memory");
    for (size_t n = 0; n < set.count; n++) {
        if (fread(row, 1, set.dimension, file) != set.dimension) die(path);
        for (size_t i = 0; i < set.dimension; i++)
            set.vectors[n * set.dimension + i] = row[i];
    }
    fr_free(row);
    fclose(file);
    return set;
}

/* The K nearest of each query, from the file or by looking at all. */
static uint32_t *read_truth(const char *path, const struct set *base, const struct set *queries)
{
    uint32_t *truth = fr_alloc((size_t)queries->count * K * sizeof(uint32_t));
    uint32_t head[2];

    if (truth == NULL) die("no memory");
    if (path != NULL) {
        FILE *file = open_set(path, head);
        for (size_t q = 0; q < queries->count; q++) {
            if (fread(truth + q * K, sizeof(uint32_t), K, file) != K) die(path);
            if (fseek(file, (long)((head[1] - K) * sizeof(uint32_t)), SEEK_CUR) != 0) die(path);
        }
        fclose(file);
        return truth;
    }
    for (size_t q = 0; q < queries->count; q++) {
        float nearest[K];
        size_t count = 0;
        for (uint32_t n = 0; n < base->count; n++) {
            float distance = fr_kernels_get()->l2(queries->vectors + q * base->dimension,
                    base->vectors + (size_t)n * base->dimension, base->dimension);
            size_t at = count;
            if (count == K && distance >= nearest[K - 1]) continue;
            if (count < K)
                count++;
            else
                at = K - 1;
            for (; at > 0 && nearest[at - 1] > distance; at--) {
                nearest[at] = nearest[at - 1];
                truth[q * K + at] = truth[q * K + at - 1];
            }
            nearest[at] = distance;
            truth[q * K + at] = n;
        }
    }
    return truth;
}

/* Entries in postings of vectors, those that rows have left behind included. */
static size_t count_entries(const struct fr_tree *tree)
{
    const struct fr_rows *rows = &tree->tiers[1];
    size_t count = 0;

    for (fr_slot slot = 0; slot < rows->slot_count; slot++) {
        const struct fr_node *node = *fr_rows_node(rows, slot);

        if (node != NULL) count += node->count;
    }
    return count;
}

static void fill(struct fr_tree *tree, const struct set *base, bool slow)
{
    uint64_t start = measure_now_ns();
    double maintaining = 0;
    size_t left;
    fr_slot slot;

    for (size_t n = 0; n < base->count; n++) {
        must(fr_tree_add(tree, n, base->vectors + n * base->dimension, FR_SLOT_NONE, &slot));
        if (slow || n % 100 == 99) {
            uint64_t before = measure_now_ns();
            must(fr_tree_maintain(tree, SIZE_MAX, &left));
            maintaining += measure_seconds_since(before);
        }
    }
    must(fr_tree_maintain(tree, SIZE_MAX, &left));
    must(fr_tree_tidy(tree, SIZE_MAX, &left));
    double s = measure_seconds_since(start);
    printf("filled %u in %.1f s: %.0f/s, %.2f us each, of that %.2f us maintenance\n", base->count,
            s, base->count / s, s / base->count * 1e6, maintaining / base->count * 1e6);
}

static void refine(struct fr_tree *tree)
{
    uint64_t start = measure_now_ns();
    size_t left;

    for (size_t done = 0; done < tree->tiers[1].live_count; done += 64) {
        must(fr_tree_refresh(tree, 64));
        must(fr_tree_maintain(tree, SIZE_MAX, &left));
    }
    must(fr_tree_tidy(tree, SIZE_MAX, &left));
    printf("refined in %.1f s\n", measure_seconds_since(start));
}

static void print_tree(struct fr_tree *tree)
{
    const struct fr_tree_stats *s = &tree->stats;

    printf("splits %lu, dissolved %lu, refreshed %lu, compacted %lu, failed %lu; examined %lu, "
           "moved "
           "%lu\n",
            s->splits, s->dissolved, s->refreshed, s->compacted, s->split_failures, s->examined,
            s->moved);
    for (uint32_t tier = 0; tier < tree->tier_count; tier++)
        printf("tier %u: %zu rows\n", tier, tree->tiers[tier].live_count);
    printf("%.0f bytes and %.3f entries a vector\n",
            (double)fr_tree_bytes(tree) / (double)tree->tiers[0].live_count,
            (double)count_entries(tree) / (double)tree->tiers[0].live_count);
    must(fr_tree_check(tree));
}

struct level {
    double recall, per_s, scanned, measured, finished;
};

#define LEVELS 9

static void write_json(const char *path, struct fr_tree *tree, const struct set *queries,
        const struct fr_effort *ladder, const struct level *levels)
{
    const struct fr_tree_stats *s = &tree->stats;
    size_t count = tree->tiers[0].live_count;
    FILE *file = fopen(path, "w");

    if (file == NULL) die(path);
    fprintf(file,
            "{\"count\": %zu, \"dimension\": %u, \"queries\": %u, \"k\": %d, \"splits\": %lu, "
            "\"dissolved\": %lu, \"examined\": %lu, \"moved\": %lu, \"bytes_per_vector\": %.1f, "
            "\"levels\": [",
            count, queries->dimension, queries->count, K, s->splits, s->dissolved, s->examined,
            s->moved, (double)fr_tree_bytes(tree) / (double)count);
    for (size_t i = 0; i < LEVELS; i++)
        fprintf(file,
                "%s{\"postings\": %zu, \"recall\": %g, \"queries_per_s\": %.1f, \"scanned\": %.1f, "
                "\"measured\": %.1f, \"finished\": %.1f}",
                i > 0 ? ", " : "", ladder[i].postings, levels[i].recall, levels[i].per_s,
                levels[i].scanned, levels[i].measured, levels[i].finished);
    fprintf(file, "]}\n");
    if (ferror(file) != 0 || fclose(file) != 0) die(path);
}

/* One pass over all queries; the answer is the recall. */
static double pass(struct fr_probe *probe, const struct fr_space *space, const struct set *queries,
        const uint32_t *truth, const struct fr_effort *effort, double *ret_s)
{
    float *query = fr_alloc(space->dims * sizeof(float));
    struct fr_found found[K];
    size_t count, hits = 0;
    uint64_t start = measure_now_ns();

    for (size_t q = 0; q < queries->count; q++) {
        fr_space_map_query(space, queries->vectors + q * queries->dimension, query);
        fr_probe_aim(probe, query);
        must(fr_probe_search(probe, effort, K, found, &count));
        for (size_t i = 0; i < count; i++) {
            uint64_t id = fr_rows_row(&probe->tree->tiers[0], found[i].slot)->id;
            for (size_t j = 0; j < K; j++)
                hits += truth[q * K + j] == id;
        }
    }
    *ret_s = measure_seconds_since(start);
    fr_free(query);
    return (double)hits / ((double)queries->count * K);
}

static void search(struct fr_tree *tree, const struct set *queries, const uint32_t *truth,
        int repeats, const char *json)
{
    static const struct fr_effort ladder[LEVELS] = {{64, 16, 1.5f}, {84, 16, 1.5f}, {128, 20, 1.5f},
            {180, 24, 1.5f}, {280, 30, 1.7f}, {360, 36, 1.9f}, {440, 40, 2.0f}, {560, 48, 2.2f},
            {700, 60, 2.3f}};
    struct level levels[LEVELS];
    struct fr_probe *probe;

    must(fr_probe_new(tree, &probe));
    for (size_t i = 0; i < FR_ARRAY_COUNT(ladder); i++) {
        double seconds[REPEATS_M], recall = 0;

        memset(&probe->stats, 0, sizeof(probe->stats));
        for (int r = 0; r < repeats; r++)
            recall = pass(probe, tree->space, queries, truth, &ladder[i], &seconds[r]);
        double median = measure_median(seconds, (size_t)repeats);
        double n = (double)queries->count * repeats;
        levels[i] = (struct level){.recall = recall,
                .per_s = queries->count / median,
                .scanned = (double)probe->stats.scanned / n,
                .measured = (double)probe->stats.measured / n,
                .finished = (double)probe->stats.finished / n};
        printf("%4zu:%2zu:%.1f  recall %.4f  %7.0f/s  %6.1f us  scanned %.0f, measured %.0f, "
               "finished "
               "%.1f\n",
                ladder[i].postings, ladder[i].width, (double)ladder[i].slack, recall,
                levels[i].per_s, median / queries->count * 1e6, levels[i].scanned,
                levels[i].measured, levels[i].finished);
    }
    fr_probe_free(probe);
    if (json != NULL) write_json(json, tree, queries, ladder, levels);
}

static struct run parse(int argc, char **argv)
{
    struct run run = {.repeats = 3};
    const char **paths[] = {&run.base, &run.query, &run.truth};
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--slow") == 0)
            run.slow = true;
        else if (i + 1 < argc && strcmp(argv[i], "--limit") == 0)
            run.limit = strtoul(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--repeats") == 0)
            run.repeats = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--refine") == 0)
            run.refine = (int)strtol(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--json") == 0)
            run.json = argv[++i];
        else if (count < 3)
            *paths[count++] = argv[i];
    }
    if (count < 2 || run.repeats < 1 || run.repeats > REPEATS_M)
        die("usage: bench_tree BASE.u8bin QUERY.u8bin [GT.ibin] [--limit N] [--repeats N] "
            "[--refine N] "
            "[--slow] [--json FILE]");
    return run;
}

int main(int argc, char **argv)
{
    struct run run = parse(argc, argv);
    struct set base = read_u8(run.base, run.limit), queries = read_u8(run.query, 0);
    uint32_t *truth = read_truth(run.truth, &base, &queries);
    struct fr_space space;
    struct fr_tree *tree;

    must(fr_space_init(&space, FR_METRIC_L2, base.dimension, 1));
    must(fr_space_calibrate(&space, base.vectors, base.count < SAMPLE ? base.count : SAMPLE, 0));
    must(fr_tree_new(&space, NULL, &tree));
    fill(tree, &base, run.slow);
    print_tree(tree);
    search(tree, &queries, truth, run.repeats, run.json);
    for (int i = 0; i < run.refine; i++) {
        refine(tree);
        print_tree(tree);
        search(tree, &queries, truth, run.repeats, run.json);
    }
    fr_tree_free(tree);
    fr_space_deinit(&space);
    fr_free(truth);
    fr_free(base.vectors);
    fr_free(queries.vectors);
    return 0;
}
