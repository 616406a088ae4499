/*
 * bench_open.c - how soon an index can be searched: after it was closed, after its writer was
 * killed, and with nothing but its rows.
 *
 * An index is filled durably, unless it is there, and comes to rest. Then it is opened in each of
 * the three states; each time the first search is made at once, and it is told when all that
 * searches use was in memory. Recall is measured before and after it was made from the rows.
 *
 *   bench_open BASE.u8bin QUERY.u8bin DIR
 *     --count N      so many vectors (1000000): the file's, then these again, each value that is
 * not 0 moved by up to 32
 *     --queries N    so many queries (200)
 *     --last N       vectors that are written anew before the writer is killed (60000)
 *     --rounds N     openings after closing, and after kills (3)
 *     --no-rows      do not make it from the rows
 *     --budget N     MiB of the store's memory (256)
 *     --within N     instead of all that: open it with so many MiB, and search by one thread with
 * ever more postings, in rounds over all queries: recall, speed, waiting, what was read, memory
 */
#include <fcntl.h>
#include <math.h>
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

struct run {
    const char *base, *query, *dir;
    uint32_t count, query_count, last, rounds;
    bool no_rows;
    uint64_t budget_mib, within_mib;
    struct set set, queries;
    uint32_t *nearest;
    struct fr_db *db;
    struct fr_index *index;
    _Atomic(uint32_t) next;
};

#define THREADS 2
#define BATCH   100

static void die(const char *what)
{
    fprintf(stderr, "bench_open: %s\n", what);
    exit(1);
}

static void must(fr_status st)
{
    if (st < 0) die(fr_last_error());
}

/* ---- Vectors ---- */

/* With more than there are they come again, each a little different each time. */
static void grow_set(struct set *set, size_t from)
{
    uint64_t random = 1;

    for (size_t i = from; i < (size_t)set->count * set->dimension; i++) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        float moved = set->vectors[i - from] + (float)(random >> 33 & 63) - 31.5F;

        if (set->vectors[i - from] == 0) moved = 0;
        set->vectors[i] = roundf(fminf(fmaxf(moved, 0), 255));
    }
}

static void read_set(const char *path, uint32_t count, bool grow, struct set *ret_set)
{
    uint32_t head[2];
    FILE *file = fopen(path, "rb");

    if (file == NULL || fread(head, sizeof(uint32_t), 2, file) != 2) die(path);
    uint32_t there = count < head[0] ? count : head[0];
    size_t size = (size_t)there * head[1];
    uint8_t *bytes = malloc(size);
    *ret_set = (struct set){.count = grow ? count : there, .dimension = head[1]};
    ret_set->vectors = calloc((size_t)ret_set->count * head[1], sizeof(float));
    if (bytes == NULL || ret_set->vectors == NULL) die("no memory");
    if (fread(bytes, 1, size, file) != size) die(path);
    for (size_t i = 0; i < size; i++)
        ret_set->vectors[i] = bytes[i];
    grow_set(ret_set, size);
    free(bytes);
    fclose(file);
}

/* The K nearest of one query, by looking at all. */
static void find_nearest(const struct run *run, const float *query, uint32_t *ret_nearest)
{
    uint32_t dimension = run->set.dimension, count = 0;
    float nearest[K];

    for (uint32_t i = 0; i < run->set.count; i++) {
        const float *x = run->set.vectors + (size_t)i * dimension;
        float lanes[16] = {0}, square = 0;

        for (uint32_t d = 0; d < dimension; d++)
            lanes[d % 16] += (x[d] - query[d]) * (x[d] - query[d]);
        for (int lane = 0; lane < 16; lane++)
            square += lanes[lane];
        if (count == K && square >= nearest[K - 1]) continue;
        uint32_t at = count < K ? count++ : K - 1;
        for (; at > 0 && nearest[at - 1] > square; at--) {
            nearest[at] = nearest[at - 1];
            ret_nearest[at] = ret_nearest[at - 1];
        }
        nearest[at] = square;
        ret_nearest[at] = i;
    }
}

static void find_all_nearest(struct run *run)
{
    run->nearest = malloc((size_t)run->queries.count * K * sizeof(uint32_t));
    for (size_t q = 0; q < run->queries.count; q++)
        find_nearest(run, run->queries.vectors + q * run->queries.dimension, run->nearest + q * K);
}

/* ---- The store ---- */

static void open_store(struct run *run)
{
    struct fr_db_options options;

    fr_db_options_init(&options);
    options.memory_budget = run->budget_mib << 20;
    must(fr_db_open(run->dir, &options, &run->db));
}

static void open_index(struct run *run)
{
    struct fr_index_options options;

    fr_index_options_init(&options);
    options.dimension = run->set.dimension;
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
    struct fr_write_options how = {.size = sizeof(how), .sync = FR_SYNC_OS};
    uint64_t ids[BATCH];

    for (;;) {
        uint32_t first = atomic_fetch_add(&run->next, BATCH);
        if (first >= run->set.count) break;
        uint32_t count = run->set.count - first < BATCH ? run->set.count - first : BATCH;
        for (uint32_t i = 0; i < count; i++)
            ids[i] = first + i;
        must(fr_index_upsert(run->index, &how, count, ids,
                run->set.vectors + (size_t)first * run->set.dimension, NULL));
    }
    return NULL;
}

static void fill(struct run *run)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    pthread_t threads[THREADS];
    uint64_t start = measure_now_ns();

    open_store(run);
    open_index(run);
    must(fr_index_wait_loaded(run->index));
    must(fr_index_stats_get(run->index, &stats));
    if (stats.count < run->set.count) {
        for (int i = 0; i < THREADS; i++)
            if (pthread_create(&threads[i], NULL, upsert_all, run) != 0) die("no thread");
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        must(fr_index_maintain(run->index, 0, NULL));
        printf("filled and at rest after %.1f s\n", measure_seconds_since(start));
    }
}

static void search_all(struct run *run)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    must(fr_index_maintain(run->index, 0, NULL));
    must(fr_index_stats_get(run->index, &stats));
    printf("  at rest: %llu postings, %.3f of the vectors are listed twice; recall",
            (unsigned long long)stats.postings, (double)stats.copied / (double)stats.count);
    for (uint32_t postings = 32; postings <= 512; postings *= 2) {
        struct fr_search_options how = {.size = sizeof(how), .postings = postings};
        struct fr_hit hits[K];
        size_t right = 0, count;

        for (size_t q = 0; q < run->queries.count; q++) {
            const float *query = run->queries.vectors + q * run->queries.dimension;
            must(fr_index_search(run->index, &how, query, K, hits, &count));
            for (size_t i = 0; i < count * K; i++)
                right += hits[i / K].id == run->nearest[q * K + i % K];
        }
        printf(" %.4f (%u postings)", (double)right / (run->queries.count * K), postings);
    }
    printf("\n");
}

static double processor_seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The page cache is the system's; what it has of a store that was just closed is most of it. */
static void time_opening(struct run *run, const char *after)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_hit hits[K];
    size_t count;
    double thread_s = processor_seconds(CLOCK_THREAD_CPUTIME_ID);
    double process_s = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t start = measure_now_ns();

    open_store(run);
    double store_s = measure_seconds_since(start);
    open_index(run);
    double open_s = measure_seconds_since(start);
    must(fr_index_search(run->index, NULL, run->queries.vectors, K, hits, &count));
    double search_s = measure_seconds_since(start);
    thread_s = processor_seconds(CLOCK_THREAD_CPUTIME_ID) - thread_s;
    must(fr_index_wait_loaded(run->index));
    double loaded_s = measure_seconds_since(start);
    process_s = processor_seconds(CLOCK_PROCESS_CPUTIME_ID) - process_s;
    must(fr_index_stats_get(run->index, &stats));
    printf("%s: first search %.3f s after opening began (%.3f s of processor time), the store was "
           "open after %.3f s, the index after %.3f s; all in memory after %.3f s (%.3f s of all "
           "processors); %llu vectors%s\n",
            after, search_s, thread_s, store_s, open_s, loaded_s, process_s,
            (unsigned long long)stats.count, stats.rebuilt != 0 ? ", made from the rows" : "");
}

/* A child writes some more and dies without closing. */
static void die_writing(struct run *run)
{
    pid_t child = fork();

    if (child == 0) {
        open_store(run);
        open_index(run);
        if (run->set.count > run->last) run->set.count = run->last;
        atomic_store(&run->next, 0);
        (void)upsert_all(run);
        raise(SIGKILL);
    }
    waitpid(child, NULL, 0);
}

/* Without the mark that what is derived is complete, opening goes by the rows. */
static void forget_derived(struct run *run)
{
    static const char mark[] = "spfresh/m/space";

    open_store(run);
    must(fr_db_delete(run->db, NULL, mark, sizeof(mark) - 1));
    must(fr_db_close(run->db));
}

/* ---- Within a budget ---- */

static int compare_ns(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static uint64_t property(struct run *run, const char *name)
{
    uint64_t value;

    must(fr_db_property_u64(run->db, name, &value));
    return value;
}

/* One round over all queries. */
static void serve_round(struct run *run, uint32_t postings, const char *label)
{
    struct fr_search_options how = {.size = sizeof(how), .postings = postings};
    struct fr_index_stats before = {.size = sizeof(before)}, after = before;
    uint64_t *ns = malloc(run->queries.count * sizeof(*ns)), most = 0;
    size_t right = 0, count;

    must(fr_index_stats_get(run->index, &before));
    double thread_s = processor_seconds(CLOCK_THREAD_CPUTIME_ID);
    uint64_t start = measure_now_ns();
    for (size_t q = 0; q < run->queries.count; q++) {
        struct fr_hit hits[K];
        uint64_t began = measure_now_ns();

        must(fr_index_search(run->index, &how, run->queries.vectors + q * run->queries.dimension, K,
                hits, &count));
        ns[q] = measure_now_ns() - began;
        for (size_t i = 0; i < count * K; i++)
            right += hits[i / K].id == run->nearest[q * K + i % K];
        uint64_t bytes = property(run, "memory.total");
        if (bytes > most) most = bytes;
    }
    double all_s = measure_seconds_since(start);
    thread_s = processor_seconds(CLOCK_THREAD_CPUTIME_ID) - thread_s;
    must(fr_index_stats_get(run->index, &after));
    qsort(ns, run->queries.count, sizeof(*ns), compare_ns);
    size_t n = run->queries.count, middle = n / 2, late = n * 99 / 100, last = n * 999 / 1000;
    printf("%4u postings, %s: recall %.4f, %.0f queries/s (%.0f by processor time), p50 %.2f ms, "
           "p99 %.2f ms, p99.9 %.2f ms; %.1f postings loaded a query; %.1f MiB in memory, %.1f of "
           "them for the index, %.1f at the most\n",
            postings, label, (double)right / (double)(n * K), (double)n / all_s,
            (double)n / thread_s, (double)ns[middle] / 1e6, (double)ns[late] / 1e6,
            (double)ns[last] / 1e6, (double)(after.loads - before.loads) / (double)n,
            (double)property(run, "memory.total") / 1048576,
            (double)property(run, "memory.indexes") / 1048576, (double)most / 1048576);
    free(ns);
}

/* Until a second has passed in which nothing was loaded: the thread that loads has ended. */
static void settle(struct run *run)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    double process_s = processor_seconds(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t start = measure_now_ns(), loads = UINT64_MAX, there, missing;

    must(fr_index_stats_get(run->index, &stats));
    while (stats.loads != loads) {
        loads = stats.loads;
        sleep(1);
        must(fr_index_stats_get(run->index, &stats));
    }
    there = stats.loaded + stats.lean;
    missing = stats.loaded + stats.to_load - there;
    printf("%llu postings in memory, %llu of them by their signs, %llu not, after %.1f s "
           "(%.1f s of all processors)\n",
            (unsigned long long)there, (unsigned long long)stats.lean, (unsigned long long)missing,
            measure_seconds_since(start) - 1,
            processor_seconds(CLOCK_PROCESS_CPUTIME_ID) - process_s);
}

static void serve(struct run *run)
{
    uint64_t raw = (uint64_t)run->set.count * run->set.dimension * sizeof(float);

    run->budget_mib = run->within_mib;
    open_store(run);
    open_index(run);
    printf("%u vectors, %.1f MiB of floats; a budget of %llu MiB\n", run->set.count,
            (double)raw / 1048576, (unsigned long long)run->within_mib);
    settle(run);
    for (uint32_t postings = 32; postings <= 1024; postings *= 2) {
        serve_round(run, postings, "first ");
        for (uint32_t i = 0; i < run->rounds; i++)
            serve_round(run, postings, "again");
    }
    close_index(run);
}

static const char *value_of(int argc, char **argv, int *at)
{
    if (*at + 1 >= argc) die("an option without its value");
    return argv[++*at];
}

static uint32_t number_of(int argc, char **argv, int *at)
{
    return (uint32_t)strtoul(value_of(argc, argv, at), NULL, 10);
}

static void read_arguments(int argc, char **argv, struct run *run)
{
    const char **paths[] = {&run->base, &run->query, &run->dir};
    size_t count = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--count") == 0)
            run->count = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--queries") == 0)
            run->query_count = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--last") == 0)
            run->last = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--rounds") == 0)
            run->rounds = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--budget") == 0)
            run->budget_mib = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--within") == 0)
            run->within_mib = number_of(argc, argv, &i);
        else if (strcmp(argv[i], "--no-rows") == 0)
            run->no_rows = true;
        else if (count < 3)
            *paths[count++] = argv[i];
    }
    if (count < 3)
        die("bench_open BASE.u8bin QUERY.u8bin DIR [--count N] [--queries N] [--last N] "
            "[--rounds N] [--no-rows] [--budget MIB] [--within MIB]");
}

static void time_all(struct run *run)
{
    for (uint32_t i = 0; i < run->rounds; i++) {
        time_opening(run, "closed before");
        close_index(run);
    }
    for (uint32_t i = 0; i < run->rounds; i++) {
        die_writing(run);
        time_opening(run, "killed before");
        close_index(run);
    }
    if (run->no_rows) return;
    forget_derived(run);
    time_opening(run, "nothing but rows");
    search_all(run);
    close_index(run);
}

int main(int argc, char **argv)
{
    struct run run = {
            .count = 1000000, .query_count = 200, .last = 60000, .rounds = 3, .budget_mib = 256};

    read_arguments(argc, argv, &run);
    setvbuf(stdout, NULL, _IOLBF, 0);
    read_set(run.base, run.count, true, &run.set);
    read_set(run.query, run.query_count, false, &run.queries);
    if (!run.no_rows) find_all_nearest(&run);
    fill(&run);
    if (!run.no_rows && run.within_mib == 0) search_all(&run);
    close_index(&run);
    if (run.within_mib > 0)
        serve(&run);
    else
        time_all(&run);
    return 0;
}
