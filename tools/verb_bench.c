/*
 * verb_bench.c - what a store does on this machine, in this directory, with the user's vectors or
 * with such as are made from a seed. By what any program can call.
 *
 *     keys       put durably; put with the operating system; get
 *     vectors    upserted durably, in batches; until nothing waits for maintenance
 *     searches   for recalls that are asked for: what was found of what a search that compares with
 *                every vector finds, and how fast; by one thread, and by all
 *
 * The store is made for it, under a name of its own, and goes at the end, also after Ctrl-C and
 * after failures. Of a store that is there, only its index can be searched in, read-only.
 */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/human.h"
#include "base/rng.h"
#include "base/thread.h"
#include "freshet/index.h"
#include "tools/bench_crew.h"
#include "tools/bench_data.h"
#include "tools/index_rows.h"
#include "tools/interrupt.h"
#include "tools/metric.h"
#include "tools/mount_info.h"
#include "tools/query.h"
#include "tools/store.h"
#include "tools/verbs.h"

/* More threads than that wait for each other on any machine of today. */
#define THREADS_USUAL 8u

#define K_MAX       1000
#define BATCH_MAX   100000
#define QUERIES_MAX 100000
#define VALUE_MAX   ((size_t)1 << 24)

/* Values are cut out of so many random bytes, so that they do not compress. */
#define NOISE_SIZE ((size_t)1 << 20)

/* Exact answers take at most so many times what a measurement takes: recall is of those that came.
 */
#define EXACT_TIMES 2

static const double recalls[] = {0.9, 0.95, 0.99};

struct bench {
    const char *dir, *index_name, *file, *format, *queries_file, *metric_name, *options;
    uint64_t duration_ns, threads, seed, vectors, dimension, queries, batch, k, value_size;
    bool of_store, as_json;

    char path[PATH_MAX]; /* of the store that is made; empty: none is there */
    struct fr_db *db;
    struct fr_index *index;
    struct fr_index_rows rows;
    struct fr_bench_data data;
    struct fr_json json;
    struct fr_bench_result result; /* scratch: too large for the stack of a helper */

    /* Of keys. */
    struct fr_write_options how;
    uint8_t *noise;
    uint64_t keys[FR_BENCH_THREADS_MAX]; /* each thread's, that were put */

    /* Of upserts. */
    _Atomic(uint64_t) next_batch; /* relaxed: batches are handed out in any order */

    /* Of searches. */
    struct fr_search_options search;
    struct fr_hit *hits; /* k for each thread */
    float *farthest;     /* of the k nearest, for each query that has its exact answer */
    size_t *exact_counts;
    size_t exact; /* queries that have */
};

/* --- Telling --- */

static void tell_head(struct bench *b, const char *json_key, const char *words, const char *what)
{
    if (b->as_json) {
        fr_json_begin_array(&b->json, json_key);
        return;
    }
    printf("\n%-43s %12s %10s %10s %10s\n", words, what, "p50", "p99", "p99.9");
    fflush(stdout);
}

static void tell_foot(struct bench *b)
{
    if (b->as_json) fr_json_end_array(&b->json);
}

static double us_of(const struct bench *b, uint32_t millionths)
{
    return (double)fr_histogram_percentile(&b->result.latency, millionths) / 1000;
}

static struct fr_human words_of(const struct bench *b, uint32_t millionths)
{
    return fr_human_duration(fr_histogram_percentile(&b->result.latency, millionths));
}

/* What was measured last; per_step: what counts of a step. */
static void tell_result(struct bench *b, const char *name, const char *words, uint64_t per_step)
{
    double rate = fr_bench_rate(&b->result, per_step);

    if (b->as_json) {
        fr_json_text(&b->json, "name", name);
        fr_json_double(&b->json, "per_second", rate);
        fr_json_double(&b->json, "p50_us", us_of(b, FR_P50));
        fr_json_double(&b->json, "p99_us", us_of(b, FR_P99));
        fr_json_double(&b->json, "p999_us", us_of(b, FR_P999));
        return;
    }
    printf("  %-41s %12s %10s %10s %10s\n", words, fr_human_count((uint64_t)rate).text,
            words_of(b, FR_P50).text, words_of(b, FR_P99).text, words_of(b, FR_P999).text);
    fflush(stdout);
}

static void tell_row(struct bench *b, const char *name, const char *words, uint64_t per_step)
{
    if (b->as_json) fr_json_begin_object(&b->json, NULL);
    tell_result(b, name, words, per_step);
    if (b->as_json) fr_json_end_object(&b->json);
}

static void tell_data(struct bench *b)
{
    const struct fr_bench_data *data = &b->data;

    if (b->as_json) {
        fr_json_u64(&b->json, "vectors", data->count);
        fr_json_u64(&b->json, "dimension", data->dimension);
        fr_json_u64(&b->json, "queries", data->query_count);
        return;
    }
    printf("vectors      %s of dimension %" PRIu32 ", %s\n", fr_human_count(data->count).text,
            data->dimension,
            b->of_store       ? "which are there"
            : b->file != NULL ? b->file
                              : "made");
    printf("queries      %s\n", fr_human_count(data->query_count).text);
}

static void tell_where(struct bench *b)
{
    struct fr_mount_info mount;
    bool known = fr_mount_info_get(b->dir, &mount) == FR_OK;
    const char *warning = known ? fr_mount_info_warning(&mount) : NULL;

    if (b->as_json) {
        fr_json_text(&b->json, "directory", b->dir);
        fr_json_text(&b->json, "file_system", known ? mount.type : "unknown");
        if (warning != NULL) fr_json_text(&b->json, "warning", warning);
        fr_json_u64(&b->json, "threads", b->threads);
        return;
    }
    printf("directory    %s\n", b->dir);
    if (known) printf("file system  %s on %s\n", mount.type, mount.source);
    if (warning != NULL) printf("careful      %s\n", warning);
}

/* --- Keys --- */

/* Those of a thread, in an order that is none. */
static void make_key(const struct bench *b, unsigned thread, uint64_t turn, uint64_t to[2])
{
    to[0] = fr_mix64(b->seed ^ (turn * b->threads + thread));
    to[1] = turn;
}

static fr_status put_step(void *context, unsigned thread, uint64_t turn)
{
    struct bench *b = context;
    uint64_t key[2];
    (void)turn;

    make_key(b, thread, b->keys[thread], key);
    size_t at = (size_t)(fr_mix64(key[0]) % (NOISE_SIZE + 1));
    fr_status st = fr_db_put(b->db, &b->how, key, sizeof(key), b->noise + at, b->value_size);
    b->keys[thread] += st == FR_OK;
    return st;
}

/* One that this thread has put. */
static fr_status get_step(void *context, unsigned thread, uint64_t turn)
{
    struct bench *b = context;
    struct fr_pinned value = {.data = NULL};
    uint64_t key[2], count = b->keys[thread];

    if (count == 0) return FR_END;
    make_key(b, thread, fr_mix64(turn * b->threads + thread) % count, key);
    fr_status st = fr_db_get(b->db, NULL, key, sizeof(key), &value);
    fr_pinned_release(&value);
    if (st != FR_NOT_FOUND) return st;
    return FR_FAIL(FR_ERR_CORRUPT, "%s: a key that was put is not there", b->path);
}

static fr_status run_step(struct bench *b, unsigned threads, uint64_t duration_ns,
        fr_bench_step step)
{
    return fr_bench_run(threads, duration_ns, step, b, &b->result);
}

static fr_status measure_keys(struct bench *b)
{
    unsigned threads = (unsigned)b->threads;
    char words[128];
    fr_status st;

    b->noise = fr_alloc(NOISE_SIZE + b->value_size);
    if (b->noise == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for values");
    struct fr_rng rng;
    fr_rng_init(&rng, b->seed);
    fr_rng_fill(&rng, b->noise, NOISE_SIZE + b->value_size);
    snprintf(words, sizeof(words), "keys, values of %s, threads: %u",
            fr_human_size(b->value_size).text, threads);
    tell_head(b, "keys", words, "per second");
    b->how = (struct fr_write_options){.size = sizeof(b->how), .sync = FR_SYNC_DEVICE};
    FR_TRY(run_step(b, threads, b->duration_ns, put_step));
    tell_row(b, "put_durable", "put, durable", 1);
    b->how.sync = FR_SYNC_OS;
    FR_TRY(run_step(b, threads, b->duration_ns, put_step));
    tell_row(b, "put_os", "put, with the operating system", 1);
    FR_TRY(run_step(b, threads, b->duration_ns, get_step));
    tell_row(b, "get", "get", 1);
    tell_foot(b);
out:
    return st;
}

/* --- Vectors --- */

/* The last batch may be a smaller one. */
static fr_status upsert_step(void *context, unsigned thread, uint64_t turn)
{
    struct bench *b = context;
    uint64_t batch = atomic_fetch_add_explicit(&b->next_batch, 1, memory_order_relaxed);
    uint64_t from = batch * b->batch;
    (void)thread;
    (void)turn;

    if (from >= b->data.count) return FR_END;
    size_t count = (size_t)FR_MIN(b->batch, b->data.count - from);
    uint64_t *ids = fr_alloc(count * sizeof(*ids));
    if (ids == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for ids");
    for (size_t i = 0; i < count; i++)
        ids[i] = from + i;
    fr_status st = fr_index_upsert(b->index, &b->how, count, ids,
            fr_bench_vector(&b->data, (size_t)from), NULL);
    fr_free(ids);
    return st;
}

static fr_status settle(struct bench *b, double *ret_seconds)
{
    uint64_t left = 1, begin = fr_bench_now_ns();
    fr_status st = FR_OK;

    while (left > 0) {
        if (fr_interrupted()) FR_TRY(FR_FAIL(FR_ERR_CANCELLED, "interrupted"));
        FR_TRY(fr_index_maintain(b->index, 100000, &left));
    }
    *ret_seconds = (double)(fr_bench_now_ns() - begin) / 1e9;
out:
    return st;
}

static fr_status measure_upserts(struct bench *b)
{
    unsigned threads = (unsigned)b->threads;
    double seconds = 0;
    char words[128];
    fr_status st;

    snprintf(words, sizeof(words), "vectors, in batches of %" PRIu64 ", threads: %u", b->batch,
            threads);
    tell_head(b, "upserts", words, "per second");
    b->how = (struct fr_write_options){.size = sizeof(b->how), .sync = FR_SYNC_DEVICE};
    FR_TRY(run_step(b, threads, 0, upsert_step));
    /* The last batch is counted as it is. */
    b->result.elapsed_ns = b->result.elapsed_ns * (b->result.count * b->batch) / b->data.count;
    FR_TRY(settle(b, &seconds));
    tell_row(b, "upsert_durable", "upsert, durable (times of a batch)", b->batch);
    tell_foot(b);
    if (b->as_json)
        fr_json_double(&b->json, "settle_seconds", seconds);
    else
        printf("  and %.1f s until nothing was left to split\n", seconds);
out:
    return st;
}

/* --- Searches --- */

static fr_status search_step(void *context, unsigned thread, uint64_t turn)
{
    struct bench *b = context;
    size_t count, query = (size_t)((turn * b->threads + thread) % b->data.query_count);

    return fr_index_search(b->index, &b->search, fr_bench_query(&b->data, query), (size_t)b->k,
            b->hits + thread * (size_t)b->k, &count);
}

/* What an exact search finds, of as many queries as there is time for; one at least. */
static fr_status find_exact(struct bench *b)
{
    struct fr_search_options how = {
            .size = sizeof(how), .exhaustive = true, .exact_distances = true};
    uint64_t end = fr_bench_now_ns() + EXACT_TIMES * b->duration_ns;
    size_t count = 0;
    fr_status st = FR_OK;

    for (b->exact = 0; b->exact < b->data.query_count; b->exact++) {
        if (fr_interrupted()) return FR_FAIL(FR_ERR_CANCELLED, "interrupted");
        if (b->exact > 0 && fr_bench_now_ns() > end) break;
        FR_TRY(fr_index_search(b->index, &how, fr_bench_query(&b->data, b->exact), (size_t)b->k,
                b->hits, &count));
        b->exact_counts[b->exact] = count;
        b->farthest[b->exact] = count == 0 ? 0 : b->hits[count - 1].distance;
    }
out:
    return st;
}

/* Of all that are as near as the exact answers: of two that are equally far one is as good. */
static fr_status measure_recall(struct bench *b, double *ret_recall)
{
    struct fr_search_options how = b->search;
    size_t found = 0, wanted = 0, count = 0;
    fr_status st = FR_OK;

    how.exact_distances = true;
    for (size_t i = 0; i < b->exact; i++) {
        FR_TRY(fr_index_search(b->index, &how, fr_bench_query(&b->data, i), (size_t)b->k, b->hits,
                &count));
        for (size_t j = 0; j < count; j++)
            found += b->hits[j].distance <= b->farthest[i];
        wanted += b->exact_counts[i];
    }
    *ret_recall = wanted == 0 ? 1 : (double)found / (double)wanted;
out:
    return st;
}

/* The search before it has read what searches need first. */
static fr_status measure_search(struct bench *b, double wanted, unsigned threads)
{
    double recall = 0;
    char words[128];
    fr_status st;

    b->search = (struct fr_search_options){.size = sizeof(b->search), .recall = wanted};
    FR_TRY(measure_recall(b, &recall));
    FR_TRY(run_step(b, threads, b->duration_ns, search_step));
    snprintf(words, sizeof(words), "asked for %.2f, found %.4f%s", wanted, recall,
            threads > 1 ? ", all threads" : "");
    if (!b->as_json) {
        tell_result(b, "search", words, 1);
        return FR_OK;
    }
    fr_json_begin_object(&b->json, NULL);
    tell_result(b, threads > 1 ? "search_all_threads" : "search", words, 1);
    fr_json_double(&b->json, "recall_wanted", wanted);
    fr_json_double(&b->json, "recall", recall);
    fr_json_end_object(&b->json);
out:
    return st;
}

static fr_status make_room(struct bench *b)
{
    b->hits = fr_alloc((size_t)(b->threads * b->k) * sizeof(*b->hits));
    b->farthest = fr_alloc(b->data.query_count * sizeof(*b->farthest));
    b->exact_counts = fr_alloc(b->data.query_count * sizeof(*b->exact_counts));
    if (b->hits != NULL && b->farthest != NULL && b->exact_counts != NULL) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for the hits");
}

static fr_status measure_searches(struct bench *b)
{
    char words[128];
    fr_status st;

    FR_TRY(make_room(b));
    FR_TRY(find_exact(b));
    snprintf(words, sizeof(words), "recall of the %" PRIu64 " nearest, %zu exact", b->k, b->exact);
    tell_head(b, "searches", words, "searches a s");
    for (size_t i = 0; i < FR_ARRAY_COUNT(recalls); i++)
        FR_TRY(measure_search(b, recalls[i], 1));
    if (b->threads > 1) FR_TRY(measure_search(b, 0.95, (unsigned)b->threads));
    tell_foot(b);
    if (b->as_json) fr_json_u64(&b->json, "exact_queries", b->exact);
out:
    return st;
}

/* --- Memory --- */

/* Of this process, as the kernel tells it; 0: it does not. */
static uint64_t status_bytes(const char *field)
{
    FILE *file = fopen("/proc/self/status", "re");
    size_t size = strlen(field);
    char line[256];
    uint64_t kib = 0;

    if (file == NULL) return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, field, size) == 0 && line[size] == ':')
            kib = strtoull(line + size + 1, NULL, 10);
    fclose(file);
    return kib * 1024;
}

static fr_status measure_memory(struct bench *b)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_db_stats db = {.size = sizeof(db)};
    uint64_t data = b->data.vectors.size + b->data.queries.size;
    fr_status st;

    FR_TRY(fr_index_stats_get(b->index, &stats));
    FR_TRY(fr_db_stats_get(b->db, &db));
    uint64_t disk = db.table_bytes + db.value_file_bytes;
    if (b->as_json) {
        fr_json_u64(&b->json, "index_bytes", stats.bytes);
        fr_json_u64(&b->json, "resident_bytes", status_bytes("VmRSS"));
        fr_json_u64(&b->json, "resident_most_bytes", status_bytes("VmHWM"));
        fr_json_u64(&b->json, "data_bytes", data);
        fr_json_u64(&b->json, "disk_bytes", disk);
        return FR_OK;
    }
    printf("\nmemory       %s of the index; %s of the process, %s at most, with %s of vectors to "
           "put\n",
            fr_human_size(stats.bytes).text, fr_human_size(status_bytes("VmRSS")).text,
            fr_human_size(status_bytes("VmHWM")).text, fr_human_size(data).text);
    printf("disk         %s of tables and value files\n", fr_human_size(disk).text);
out:
    return st;
}

/* --- Its own store --- */

static fr_status make_store(struct bench *b)
{
    struct fr_index_options options;
    fr_status st;

    fr_index_options_init(&options);
    options.dimension = b->data.dimension;
    options.seed = b->seed;
    if (b->metric_name != NULL) FR_TRY(fr_metric_read(b->metric_name, &options.metric));
    int size = snprintf(b->path, sizeof(b->path), "%s/freshet-bench.XXXXXX", b->dir);
    if (size < 0 || (size_t)size >= sizeof(b->path) || mkdtemp(b->path) == NULL) {
        b->path[0] = '\0';
        return FR_FAIL_OS(errno, "%s: cannot make a directory in it", b->dir);
    }
    FR_TRY(fr_store_open(b->path, FR_STORE_CREATE, b->options, &b->db));
    FR_TRY(fr_index_open(b->db, "", &options, &b->index));
out:
    return st;
}

/* A store has files only, and no folders. */
static fr_status remove_store(struct bench *b)
{
    DIR *dir = b->path[0] != '\0' ? opendir(b->path) : NULL;
    struct dirent *entry;

    if (b->path[0] == '\0') return FR_OK;
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL) closedir(dir);
    if (rmdir(b->path) != 0) return FR_FAIL_OS(errno, "%s: cannot be removed", b->path);
    return FR_OK;
}

static fr_status get_data(struct bench *b)
{
    fr_status st;

    b->data.dimension = (uint32_t)b->dimension;
    b->data.count = (size_t)b->vectors;
    b->data.query_count = (size_t)b->queries;
    FR_TRY(b->file != NULL ? fr_bench_data_read(&b->data, b->file, b->format, b->queries_file)
                           : fr_bench_data_make(&b->data, b->seed));
    if (fr_interrupted()) st = FR_FAIL(FR_ERR_CANCELLED, "interrupted");
out:
    return st;
}

static fr_status run_own(struct bench *b)
{
    fr_status st;

    FR_TRY(get_data(b));
    FR_TRY(make_store(b));
    tell_where(b);
    tell_data(b);
    FR_TRY(measure_keys(b));
    FR_TRY(measure_upserts(b));
    FR_TRY(measure_searches(b));
    FR_TRY(measure_memory(b));
out:
    return st;
}

/* --- An index that is there --- */

static fr_status get_queries(struct bench *b)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    fr_status st;

    FR_TRY(fr_index_stats_get(b->index, &stats));
    b->data.dimension = stats.dimension;
    b->data.query_count = (size_t)b->queries;
    FR_TRY(b->queries_file != NULL
                    ? fr_bench_data_read_queries(&b->data, b->queries_file, b->format)
                    : fr_bench_data_sample(&b->data, &b->rows, stats.count));
    b->data.count = (size_t)stats.count;
    if (fr_interrupted()) st = FR_FAIL(FR_ERR_CANCELLED, "interrupted");
out:
    return st;
}

static fr_status run_store(struct bench *b)
{
    fr_status st;

    FR_TRY(fr_query_open(b->dir, b->options, b->index_name, &b->db, &b->rows, &b->index));
    FR_TRY(fr_index_wait_loaded(b->index));
    FR_TRY(get_queries(b));
    tell_where(b);
    tell_data(b);
    FR_TRY(measure_searches(b));
    FR_TRY(measure_memory(b));
out:
    return st;
}

/* --- The verb --- */

static fr_status run_bench(struct bench *b)
{
    fr_status st;

    if (b->as_json) fr_json_begin_object(&b->json, NULL);
    FR_TRY(b->of_store ? run_store(b) : run_own(b));
    if (!b->as_json) return FR_OK;
    fr_json_end_object(&b->json);
    st = fr_json_print(&b->json);
out:
    return st;
}

/* The store goes after it was closed. */
static int end_bench(struct bench *b, fr_status st)
{
    int code = FR_EXIT_FINE;

    if (st < 0) code = fr_exit_failed("bench");
    fr_index_rows_close(&b->rows);
    fr_index_close(b->index);
    code = fr_store_done("bench", FR_OK, code, b->db);
    if (remove_store(b) < 0) code = fr_exit_failed("bench");
    fr_bench_data_deinit(&b->data);
    fr_buf_deinit(&b->json.text);
    fr_free(b->noise);
    fr_free(b->hits);
    fr_free(b->farthest);
    fr_free(b->exact_counts);
    return code;
}

/* Words for what cannot be, or NULL. */
static const char *find_misuse(const struct bench *b)
{
    if (b->threads == 0 || b->threads > FR_BENCH_THREADS_MAX) return "--threads is from 1 to 64";
    if (b->k == 0 || b->k > K_MAX) return "-k is from 1 to 1000";
    if (b->batch == 0 || b->batch > BATCH_MAX) return "--batch is from 1 to 100000";
    if (b->queries == 0 || b->queries > QUERIES_MAX) return "--searches is from 1 to 100000";
    if (b->vectors == 0 || b->vectors > UINT32_MAX) return "--vectors is from 1 to 4294967295";
    if (b->dimension == 0 || b->dimension > FR_DIMENSION_MAX)
        return "--dimension is from 1 to 16384";
    if (b->value_size > VALUE_MAX) return "--value-size is 16 MiB at most";
    if (b->duration_ns == 0) return "--time is more than nothing";
    if (b->of_store && b->file != NULL) return "--data and --read-only: one of them";
    if (b->queries_file != NULL && !b->of_store && b->file == NULL)
        return "--queries goes with --data or --read-only";
    if (!b->of_store && b->index_name[0] != '\0') return "--index goes with --read-only";
    return NULL;
}

int fr_verb_bench(int argc, char **argv)
{
    static struct bench b = {.dir = ".",
            .index_name = "",
            .duration_ns = 2000000000u,
            .seed = 1,
            .vectors = 50000,
            .dimension = 128,
            .queries = 200,
            .batch = 100,
            .k = 10,
            .value_size = 100};
    const struct fr_option options[] = {
            {"read-only", 0, FR_OPTION_FLAG, NULL,
                    "DIR is a store that is there: only search in it; writes nothing", &b.of_store},
            FR_OPTION_INDEX(&b.index_name, "with --read-only: of that name (the one without)"),
            {"vectors", 'n', FR_OPTION_COUNT, "N", "at the most (50000)", &b.vectors},
            {"dimension", 'd', FR_OPTION_COUNT, "N", "of vectors that are made (128)",
                    &b.dimension},
            {"data", 0, FR_OPTION_TEXT, "FILE", "vectors of a file; the last ones are the queries",
                    &b.file},
            {"format", 'f', FR_OPTION_TEXT, "FORMAT",
                    "of that file (by its name, or how it begins)", &b.format},
            {"queries", 'q', FR_OPTION_TEXT, "FILE", "search for the vectors of that one",
                    &b.queries_file},
            {"searches", 0, FR_OPTION_COUNT, "N", "different queries (200)", &b.queries},
            {"metric", 'm', FR_OPTION_TEXT, "METRIC", "of the index: l2, cosine or ip (l2)",
                    &b.metric_name},
            {"k", 'k', FR_OPTION_COUNT, "N", "how many of the nearest (10)", &b.k},
            {"batch", 'b', FR_OPTION_COUNT, "N", "vectors that are one write (100)", &b.batch},
            {"value-size", 0, FR_OPTION_SIZE, "SIZE", "of keys' values (100 B)", &b.value_size},
            {"threads", 't', FR_OPTION_COUNT, "N", "(one for each processor, up to 8)", &b.threads},
            {"time", 0, FR_OPTION_DURATION, "TIME", "of each measurement (2 s)", &b.duration_ns},
            {"seed", 0, FR_OPTION_COUNT, "N", "of what is made (1)", &b.seed},
            FR_OPTION_STORE(&b.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "the figures as one JSON object", &b.as_json},
    };
    struct fr_args args = {.verb = "bench",
            .summary = "Measure what a store does on this machine: puts, gets, upserts, searches "
                       "with the\n"
                       "recall that they have, memory. Makes a store for that in DIR (here), "
                       "under a name\n"
                       "of its own, and removes it in the end, also after Ctrl-C. Takes some 20 s.",
            .operand_names = "[DIR]",
            .operands_least = 0,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (args.operand_count > 0) b.dir = args.operands[0];
    if (b.threads == 0) b.threads = FR_MIN(fr_thread_cpu_count(), THREADS_USUAL);
    const char *misuse = find_misuse(&b);
    if (misuse != NULL) return fr_args_misuse("bench", misuse);
    fr_interrupt_watch();
    return end_bench(&b, run_bench(&b));
}
