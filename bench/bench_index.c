/*
 * bench_index.c - the vector index as its users have it: durable, from several threads, maintained
 * meanwhile.
 *
 * Threads upsert batches of a file's vectors in its order, in the durability class that was asked
 * for, each batch searchable when its call returns. Then the index comes to rest, queries are run
 * by one thread, then in a batch and one by one in turns, the store is closed and opened again, and
 * once more after its writer was killed.
 *
 *   bench_index BASE.u8bin QUERY.u8bin GT.ibin DIR
 *     --limit N      so many vectors of the base; with it there is no recall
 *     --threads N    (2)
 *     --batch N      vectors of one upsert (100)
 *     --sync CLASS   device, os or none (device)
 *     --budget N     MiB of the store's memory (256)
 *     --json FILE    the figures as one JSON object, too
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/measure.h"
#include "freshet/freshet.h"

#define K 10

struct set {
    uint32_t count, dimension;
    float *vectors;
};

struct search {
    double wanted, recall, per_s, p50_ms, p99_ms, p999_ms;
};

struct opening {
    const char *after;
    double open_s, search_s;
    uint64_t count, rebuilt;
};

/* What is told as JSON. */
struct figures {
    double upserts_per_s, rested_per_s, rest_s, p50_ms, p99_ms, p999_ms;
    struct fr_index_stats index;
    struct fr_db_stats store;
    struct search searches[4];
    struct opening openings[2];
    size_t search_count, opening_count;
};

struct run {
    const char *base, *query, *truth, *dir, *json, *sync_name;
    struct figures figures;
    uint32_t limit, threads, batch;
    uint64_t budget_mib;
    fr_sync sync;
    struct set set, queries;
    uint32_t *nearest;
    struct fr_db *db;
    struct fr_index *index;
    _Atomic(uint32_t) next;
    double *latencies;
    _Atomic(uint32_t) latency_count;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_index: %s\n", what);
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

static void read_set(const char *path, uint32_t limit, struct set *ret_set)
{
    uint32_t head[2];
    FILE *file = open_set(path, head);
    uint32_t count = limit > 0 && limit < head[0] ? limit : head[0];
    size_t size = (size_t)count * head[1];
    uint8_t *bytes = malloc(size);

    *ret_set = (struct set){.count = count, .dimension = head[1]};
    ret_set->vectors = malloc(size * sizeof(float));
    if (bytes == NULL || ret_set->vectors == NULL) die("no memory");
    if (fread(bytes, 1, size, file) != size) die(path);
    for (size_t i = 0; i < size; i++)
        ret_set->vectors[i] = bytes[i];
    free(bytes);
    fclose(file);
}

static void read_nearest(struct run *run)
{
    uint32_t head[2];
    FILE *file = open_set(run->truth, head);

    run->nearest = malloc((size_t)run->queries.count * K * sizeof(uint32_t));
    for (size_t q = 0; q < run->queries.count; q++) {
        if (fread(run->nearest + q * K, sizeof(uint32_t), K, file) != K) die(run->truth);
        if (fseek(file, (long)((head[1] - K) * sizeof(uint32_t)), SEEK_CUR) != 0) die(run->truth);
    }
    fclose(file);
}

static void open_index(struct run *run)
{
    struct fr_index_options options;
    struct fr_db_options store;

    fr_db_options_init(&store);
    store.memory_budget = run->budget_mib << 20;
    fr_index_options_init(&options);
    options.dimension = run->set.dimension;
    must(fr_db_open(run->dir, &store, &run->db));
    must(fr_index_open(run->db, "", &options, &run->index));
}

static void close_index(struct run *run)
{
    fr_index_close(run->index);
    must(fr_db_close(run->db));
}

static void *upsert_all(void *arg)
{
    struct run *run = arg;
    struct fr_write_options how = {.size = sizeof(how), .sync = run->sync};
    uint64_t *ids = malloc(run->batch * sizeof(*ids));

    for (;;) {
        uint32_t first = atomic_fetch_add(&run->next, run->batch);
        if (first >= run->set.count) break;
        uint32_t count = run->set.count - first;
        if (count > run->batch) count = run->batch;
        for (uint32_t i = 0; i < count; i++)
            ids[i] = first + i;
        uint64_t start = measure_now_ns();
        must(fr_index_upsert(run->index, &how, count, ids,
                run->set.vectors + (size_t)first * run->set.dimension, NULL));
        run->latencies[atomic_fetch_add(&run->latency_count, 1)] =
                measure_seconds_since(start) * 1e3;
    }
    free(ids);
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_percentiles(const char *what, double *times, size_t count, double *ret_p50,
        double *ret_p99, double *ret_p999)
{
    qsort(times, count, sizeof(*times), compare);
    *ret_p50 = times[count / 2];
    *ret_p99 = times[count * 99 / 100];
    *ret_p999 = times[count * 999 / 1000];
    printf("  %s: p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, most %.3f ms\n", what, *ret_p50,
            *ret_p99, *ret_p999, times[count - 1]);
}

static void print_figures(struct run *run)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    must(fr_index_stats_get(run->index, &stats));
    run->figures.index = stats;
    printf("  %llu vectors in %llu postings, %llu tiers; %.1f MB in memory, %.0f bytes a vector; "
           "%llu splits, %llu merges, %llu refreshes, %llu moved\n",
            (unsigned long long)stats.count, (unsigned long long)stats.postings,
            (unsigned long long)stats.tiers, (double)stats.bytes / 1e6,
            (double)stats.bytes / (double)stats.count, (unsigned long long)stats.splits,
            (unsigned long long)stats.merges, (unsigned long long)stats.refreshes,
            (unsigned long long)stats.moved);
}

static void print_writes(struct run *run)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};

    must(fr_db_stats_get(run->db, &stats));
    run->figures.store = stats;
    printf("  written: put %.0f MB, log %.0f MB, flushed %.0f MB, compacted %.0f MB; stalls %.2f "
           "s\n",
            (double)stats.put_bytes / 1e6, (double)stats.log_bytes / 1e6,
            (double)stats.flush_bytes / 1e6, (double)stats.compaction_write_bytes / 1e6,
            (double)stats.stall_us / 1e6);
}

static void fill(struct run *run)
{
    struct figures *figures = &run->figures;
    pthread_t threads[64];
    uint64_t left, start = measure_now_ns();

    run->latencies = malloc((run->set.count / run->batch + 64) * sizeof(double));
    for (uint32_t i = 0; i < run->threads; i++)
        if (pthread_create(&threads[i], NULL, upsert_all, run) != 0) die("no thread");
    for (uint32_t i = 0; i < run->threads; i++)
        pthread_join(threads[i], NULL);
    double s = measure_seconds_since(start);
    figures->upserts_per_s = run->set.count / s;
    printf("upserts: %.0f/s, %u threads, batches of %u\n", figures->upserts_per_s, run->threads,
            run->batch);
    print_percentiles("a batch", run->latencies, run->latency_count, &figures->p50_ms,
            &figures->p99_ms, &figures->p999_ms);
    start = measure_now_ns();
    must(fr_index_maintain(run->index, 0, &left));
    figures->rest_s = measure_seconds_since(start);
    figures->rested_per_s = run->set.count / (s + figures->rest_s);
    printf("  at rest %.2f s later: %.0f/s with it\n", figures->rest_s, figures->rested_per_s);
    print_figures(run);
    print_writes(run);
}

static void search(struct run *run, double recall)
{
    struct fr_search_options how = {.size = sizeof(how), .recall = recall};
    struct search *told = &run->figures.searches[run->figures.search_count++];
    double *times = malloc(run->queries.count * sizeof(double));
    size_t right = 0, count;
    struct fr_hit hits[K];
    uint64_t start = measure_now_ns();

    for (size_t q = 0; q < run->queries.count; q++) {
        uint64_t one = measure_now_ns();
        must(fr_index_search(run->index, &how, run->queries.vectors + q * run->queries.dimension, K,
                hits, &count));
        times[q] = measure_seconds_since(one) * 1e3;
        for (size_t i = 0; i < count && run->nearest != NULL; i++)
            for (size_t j = 0; j < K; j++)
                right += hits[i].id == run->nearest[q * K + j];
    }
    double s = measure_seconds_since(start);
    told->wanted = recall;
    told->recall = (double)right / (double)(run->queries.count * K);
    told->per_s = run->queries.count / s;
    printf("search for %.3f: recall %.4f, %.0f/s by one thread\n", recall, told->recall,
            told->per_s);
    print_percentiles("a query", times, run->queries.count, &told->p50_ms, &told->p99_ms,
            &told->p999_ms);
    free(times);
}

/* ---- Many queries at once ---- */

#define ROUNDS 5

struct batch {
    struct run *run;
    struct fr_search_options how;
    _Atomic(uint32_t) next;
    struct fr_hit *hits;
    size_t *counts;
};

/* What a program would do without batches: threads that ask one query after the other. */
static void *ask_alone(void *arg)
{
    struct batch *b = arg;
    uint32_t q;

    while ((q = atomic_fetch_add(&b->next, 1)) < b->run->queries.count)
        must(fr_index_search(b->run->index, &b->how,
                b->run->queries.vectors + (size_t)q * b->run->queries.dimension, K,
                b->hits + (size_t)q * K, &b->counts[q]));
    return NULL;
}

/* Of the processor, whatever else the machine does meanwhile. */
static double processor_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double time_alone(struct batch *b)
{
    double start = processor_seconds();
    uint32_t count = b->how.threads;
    pthread_t threads[64] = {0};

    atomic_store(&b->next, 0);
    for (uint32_t i = 1; i < count; i++)
        if (pthread_create(&threads[i], NULL, ask_alone, b) != 0) die("no thread");
    (void)ask_alone(b);
    for (uint32_t i = 1; i < count; i++)
        pthread_join(threads[i], NULL);
    return processor_seconds() - start;
}

static double time_together(struct batch *b)
{
    double start = processor_seconds();

    must(fr_index_search_batch(b->run->index, &b->how, b->run->queries.count,
            b->run->queries.vectors, K, b->hits, b->counts));
    return processor_seconds() - start;
}

static void compare_batch(struct batch *b)
{
    double alone[ROUNDS], together[ROUNDS], n = b->run->queries.count;

    for (int round = 0; round < ROUNDS; round++) {
        alone[round] = time_alone(b);
        together[round] = time_together(b);
    }
    double one = measure_median(alone, ROUNDS), all = measure_median(together, ROUNDS);
    printf("batch for %.3f%s, %u threads: %.1f us of processor each one by one, %.1f us together: "
           "%.2f\n",
            b->how.recall, b->how.exact_distances ? ", exact distances" : "", b->how.threads,
            one / n * 1e6, all / n * 1e6, one / all);
}

/* Batches and single queries take turns; medians. */
static void search_batches(struct run *run)
{
    struct batch b = {.run = run, .how = {.size = sizeof(b.how)}};

    b.hits = malloc((size_t)run->queries.count * K * sizeof(*b.hits));
    b.counts = malloc(run->queries.count * sizeof(*b.counts));
    if (b.hits == NULL || b.counts == NULL) die("no memory");
    for (int way = 0; way < 6; way++) {
        b.how.threads = way % 2 == 0 ? 1 : run->threads;
        b.how.recall = way / 2 == 1 ? 0.99 : 0.95;
        b.how.exact_distances = way / 2 == 2;
        compare_batch(&b);
    }
    free(b.hits);
    free(b.counts);
}

static void time_opening(struct run *run, const char *after)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_hit hits[K];
    size_t count;
    uint64_t start = measure_now_ns();

    open_index(run);
    double open_s = measure_seconds_since(start);
    must(fr_index_search(run->index, NULL, run->queries.vectors, K, hits, &count));
    double search_s = measure_seconds_since(start);
    must(fr_index_wait_loaded(run->index));
    must(fr_index_stats_get(run->index, &stats));
    run->figures.openings[run->figures.opening_count++] = (struct opening){.after = after,
            .open_s = open_s,
            .search_s = search_s,
            .count = stats.count,
            .rebuilt = stats.rebuilt};
    printf("first search %.3f s after opening began (%s); open after %.3f s; %llu vectors%s\n",
            search_s, after, open_s, (unsigned long long)stats.count,
            stats.rebuilt != 0 ? ", built anew from rows" : "");
}

/* A child writes some more and dies without closing. */
static void die_writing(struct run *run)
{
    pid_t child = fork();

    if (child == 0) {
        open_index(run);
        atomic_store(&run->next, 0);
        atomic_store(&run->latency_count, 0);
        if (run->set.count > 60000) run->set.count = 60000;
        (void)upsert_all(run);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
}

/* ---- JSON ---- */

static void write_searches(const struct run *run, FILE *file)
{
    for (size_t i = 0; i < run->figures.search_count; i++) {
        const struct search *s = &run->figures.searches[i];

        fprintf(file, "%s{\"wanted\": %g, ", i > 0 ? ", " : "", s->wanted);
        if (run->nearest != NULL) fprintf(file, "\"recall\": %g, ", s->recall);
        fprintf(file, "\"queries_per_s\": %.1f, \"p50_ms\": %g, \"p99_ms\": %g, \"p999_ms\": %g}",
                s->per_s, s->p50_ms, s->p99_ms, s->p999_ms);
    }
}

static void write_openings(const struct run *run, FILE *file)
{
    for (size_t i = 0; i < run->figures.opening_count; i++) {
        const struct opening *o = &run->figures.openings[i];

        fprintf(file,
                "%s{\"after\": \"%s\", \"open_s\": %g, \"first_search_s\": %g, \"vectors\": "
                "%llu, \"rebuilt\": %llu}",
                i > 0 ? ", " : "", o->after, o->open_s, o->search_s, (unsigned long long)o->count,
                (unsigned long long)o->rebuilt);
    }
}

static void write_filling(const struct run *run, FILE *file)
{
    const struct figures *f = &run->figures;
    const struct fr_index_stats *index = &f->index;
    const struct fr_db_stats *store = &f->store;

    fprintf(file,
            "\"upserts_per_s\": %.1f, \"upserts_per_s_with_rest\": %.1f, \"rest_s\": %g, "
            "\"batch_p50_ms\": %g, \"batch_p99_ms\": %g, \"batch_p999_ms\": %g",
            f->upserts_per_s, f->rested_per_s, f->rest_s, f->p50_ms, f->p99_ms, f->p999_ms);
    fprintf(file,
            ", \"postings\": %llu, \"memory_bytes\": %llu, \"splits\": %llu, \"merges\": %llu, "
            "\"moved\": %llu",
            (unsigned long long)index->postings, (unsigned long long)index->bytes,
            (unsigned long long)index->splits, (unsigned long long)index->merges,
            (unsigned long long)index->moved);
    fprintf(file,
            ", \"put_bytes\": %llu, \"log_bytes\": %llu, \"flush_bytes\": %llu, "
            "\"compaction_bytes\": %llu, \"stall_s\": %g",
            (unsigned long long)store->put_bytes, (unsigned long long)store->log_bytes,
            (unsigned long long)store->flush_bytes,
            (unsigned long long)store->compaction_write_bytes, (double)store->stall_us / 1e6);
}

static void write_json(const struct run *run, uint32_t count)
{
    FILE *file = fopen(run->json, "w");

    if (file == NULL) die(run->json);
    fprintf(file,
            "{\"count\": %u, \"dimension\": %u, \"queries\": %u, \"threads\": %u, \"batch\": %u, "
            "\"sync\": \"%s\", \"budget_bytes\": %llu, ",
            count, run->set.dimension, run->queries.count, run->threads, run->batch, run->sync_name,
            (unsigned long long)run->budget_mib << 20);
    write_filling(run, file);
    fprintf(file, ", \"searches\": [");
    write_searches(run, file);
    fprintf(file, "], \"openings\": [");
    write_openings(run, file);
    fprintf(file, "]}\n");
    if (ferror(file) != 0 || fclose(file) != 0) die(run->json);
}

/* ---- The command line ---- */

static const char *value_of(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc) die("an option without its value");
    return argv[++*at];
}

static fr_sync sync_of(const char *name)
{
    if (strcmp(name, "device") == 0) return FR_SYNC_DEVICE;
    if (strcmp(name, "os") == 0) return FR_SYNC_OS;
    if (strcmp(name, "none") != 0) die("--sync device, os or none");
    return FR_SYNC_NONE;
}

static void read_arguments(int argc, char **argv, struct run *run)
{
    const char **paths[] = {&run->base, &run->query, &run->truth, &run->dir};
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--limit") == 0)
            run->limit = (uint32_t)strtoul(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0)
            run->threads = (uint32_t)strtoul(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--batch") == 0)
            run->batch = (uint32_t)strtoul(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--budget") == 0)
            run->budget_mib = (uint64_t)strtoul(value_of(argc, argv, &i), NULL, 10);
        else if (strcmp(argv[i], "--sync") == 0)
            run->sync = sync_of(run->sync_name = value_of(argc, argv, &i));
        else if (strcmp(argv[i], "--json") == 0)
            run->json = value_of(argc, argv, &i);
        else if (count < 4)
            *paths[count++] = argv[i];
    }
    if (count < 4 || run->threads < 1 || run->threads > 64 || run->batch < 1)
        die("bench_index BASE.u8bin QUERY.u8bin GT.ibin DIR [--limit N] [--threads N] [--batch N] "
            "[--sync CLASS] [--budget MIB] [--json FILE]");
}

int main(int argc, char **argv)
{
    struct run run = {.threads = 2, .batch = 100, .sync_name = "device", .budget_mib = 256};
    static const double recalls[] = {0.95, 0.98, 0.99, 0.995};

    read_arguments(argc, argv, &run);
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_set(run.base, run.limit, &run.set);
    uint32_t filled = run.set.count;
    read_set(run.query, 0, &run.queries);
    if (run.limit == 0) read_nearest(&run);
    open_index(&run);
    fill(&run);
    for (size_t i = 0; i < sizeof(recalls) / sizeof(recalls[0]); i++)
        search(&run, recalls[i]);
    search_batches(&run);
    close_index(&run);
    time_opening(&run, "closed before");
    close_index(&run);
    die_writing(&run);
    time_opening(&run, "killed before");
    close_index(&run);
    if (run.json != NULL) write_json(&run, filled);
    return 0;
}
