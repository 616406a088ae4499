/* bench of internals: its vectors are bench_ann's; the index is a stranger's.
 *
 * bench_churn.c - whether a durable index keeps its quality while vectors come and go.
 *
 * Day after day a share of the vectors is replaced while one thread searches without a pause. Each
 * evening, with the work undone that maintenance has not got to, recall is measured against an
 * exact scan of what is there: with an effort that is fixed, and with the one that the index
 * chooses for the recall that is wanted. Queries are vectors that were kept back (churn_plan.h), so
 * they stay as hard as the set is.
 *
 * In the end everything that was acknowledged and not deleted is looked for, and nothing else may
 * be there; also after closing and opening again. An index made anew of the same vectors tells what
 * of a change in recall is the index's doing and what the vectors'.
 *
 *   bench_churn --mode drift DIR                       makes its own vectors
 *   bench_churn --mode random --base FILE.u8bin DIR
 *   bench_churn --mode fast-slow DIR                   as fast as possible; and with care
 *
 * With --peer, hnswlib goes through the same days, without being searched meanwhile.
 *
 * Exit status 1: a vector is missing, or one too many is found, or recall is less than --least.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "bench/churn_index.h"
#include "bench/churn_peer.h"
#include "bench/kv_os.h"
#include "bench/measure.h"
#include "tools/args.h"
#include "tools/json.h"

#define PATH_ROOM 512

/* So many days at each end are compared, if there are twice as many. */
#define DAYS_COMPARED 10

/* What the index is asked to find of the nearest. */
#define RECALL_WANTED 0.95

struct day {
    double fixed, wanted; /* recall */
    double fixed_scanned, wanted_scanned;
    double peer, peer_puts_per_s; /* recall of the other index */
    double p50_us, p99_us, p999_us;
    double upserts_per_s, deletes_per_s;
    uint64_t changed, searches, count, pending, bytes, rss, disk;
};

struct bench {
    const char *mode_name, *base, *kind, *metric_name, *sync_name, *json, *least_text, *dir;
    uint64_t count, dimension, days, share, query_count, seed, batch, postings, budget;
    uint64_t day_ns, every, effort;
    double least;
    bool has_peer;

    struct churn_source source;
    struct churn_plan plan;
    struct churn_setup setup;
    struct churn_index index;
    void *peer;
    char path[PATH_ROOM], anew_path[PATH_ROOM];
    struct ann_set present;
    float *farthest;
    uint64_t rss_before; /* of the benchmark itself */

    struct day *results;
    struct day rested, opened, anew;
    struct fr_histogram idle, churning;
};

#ifdef CHURN_HAVE_HNSWLIB
static const struct churn_peer *const peer = &churn_hnswlib;
#else
static const struct churn_peer *const peer = NULL;
#endif

void ann_die(const char *format, ...)
{
    va_list args;

    fputs("bench_churn: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(FR_EXIT_FINDINGS);
}

/* ---- Evenings ---- */

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    char line[128] = "", *end = line;

    if (file == NULL) return 0;
    if (fgets(line, sizeof(line), file) != NULL) (void)strtoull(line, &end, 10); /* all */
    fclose(file);
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The distance of the k-th nearest among those that are there, of each query. */
static void find_truth(struct bench *b)
{
    struct ann_set queries = churn_queries(&b->plan);

    churn_copy_present(&b->plan, &b->present);
    ann_truth(NULL, &b->present, &queries, b->source.metric, CHURN_K, 1, b->farthest);
}

static void measure_recall(struct bench *b, struct churn_index *index, struct day *day)
{
    struct fr_search_options fixed = {.size = sizeof(fixed), .postings = (uint32_t)b->postings};
    struct fr_search_options wanted = {.size = sizeof(wanted), .recall = RECALL_WANTED};
    struct churn_found found;

    churn_search(index, &b->plan, &fixed, b->farthest, &found);
    day->fixed = found.recall;
    day->fixed_scanned = found.scanned;
    churn_search(index, &b->plan, &wanted, b->farthest, &found);
    day->wanted = found.recall;
    day->wanted_scanned = found.scanned;
}

static void take_sizes(struct bench *b, const struct churn_index *index, struct day *day)
{
    struct fr_index_stats stats;
    uint64_t rss = resident_bytes();

    churn_index_stats(index, &stats);
    day->count = stats.count;
    day->pending = stats.pending;
    day->bytes = stats.bytes;
    day->rss = rss > b->rss_before ? rss - b->rss_before : 0;
    day->disk = kv_dir_space(index->dir).all;
}

static double percentile_us(const struct fr_histogram *times, uint32_t millionths)
{
    return (double)fr_histogram_percentile(times, millionths) / 1e3;
}

static void take_times(const struct fr_histogram *times, struct day *day)
{
    day->searches = times->count;
    day->p50_us = percentile_us(times, FR_P50);
    day->p99_us = percentile_us(times, FR_P99);
    day->p999_us = percentile_us(times, FR_P999);
}

/* ---- The index beside it ---- */

/* A day's changes at once, one after the other. */
static void apply_to_peer(struct bench *b, void *index, const struct churn_day *changes,
        struct day *day)
{
    for (size_t i = 0; i < changes->leaving_count; i++)
        peer->remove(index, changes->leaving[i]);
    uint64_t start = measure_now_ns();
    for (size_t i = 0; i < changes->coming_count; i++)
        peer->put(index, changes->coming[i], churn_row(&b->plan, changes->rows[i]));
    if (changes->coming_count > 0)
        day->peer_puts_per_s = (double)changes->coming_count / measure_seconds_since(start);
}

static double recall_of_peer(const struct bench *b, void *index)
{
    struct ann_set queries = churn_queries(&b->plan);
    uint64_t ids[CHURN_K];
    size_t right = 0;

    for (size_t q = 0; q < queries.count; q++) {
        const float *query = queries.vectors + q * queries.dimension;
        size_t count = peer->search(index, b->effort, query, CHURN_K, ids);

        for (size_t i = 0; i < count; i++)
            right += ann_distance(b->source.metric, query,
                             churn_row(&b->plan, b->plan.row_of[ids[i]]),
                             queries.dimension) <= b->farthest[q];
    }
    return (double)right / (double)(queries.count * CHURN_K);
}

static void run_peer(struct bench *b, void *index, const struct churn_day *changes, struct day *day)
{
    if (index == NULL) return;
    apply_to_peer(b, index, changes, day);
    day->peer = recall_of_peer(b, index);
}

static void *open_peer(const struct bench *b)
{
    if (!b->has_peer) return NULL;
    return peer->open(b->source.metric, b->plan.pool.dimension, b->plan.pool.count);
}

static void close_peer(void *index)
{
    if (index != NULL) peer->close(index);
}

/* ---- Days ---- */

static double rate(size_t count, double seconds)
{
    return count > 0 && seconds > 0 ? (double)count / seconds : 0;
}

static void run_day(struct bench *b, size_t number, struct day *day)
{
    struct churn_pace pace = {.batch = b->batch, .day_ns = b->day_ns};
    static struct churn_searcher searcher;
    struct churn_spent spent;
    struct churn_day changes;

    churn_plan_next(&b->plan, number, &changes);
    churn_searcher_start(&searcher, &b->index, &b->plan, RECALL_WANTED);
    churn_apply(&b->index, &b->plan, &changes, &pace, &spent);
    churn_searcher_stop(&searcher);
    fr_histogram_merge(&b->churning, &searcher.times);
    take_times(&searcher.times, day);
    take_sizes(b, &b->index, day);
    day->changed = FR_MAX(changes.leaving_count, changes.coming_count);
    day->upserts_per_s = rate(changes.coming_count, spent.upserts);
    day->deletes_per_s = rate(changes.leaving_count, spent.deletes);
    find_truth(b);
    measure_recall(b, &b->index, day);
    run_peer(b, b->peer, &changes, day);
    churn_day_deinit(&changes);
}

static void print_head(void)
{
    printf("%4s %9s %8s %8s %8s %8s %8s %9s %9s %9s %9s %8s %7s %7s %7s %8s\n", "day", "vectors",
            "changed", "fixed", "wanted", "scanned", "searches", "p50 us", "p99 us", "p99.9 us",
            "upserts/s", "pending", "MB", "rss MB", "disk MB", "peer");
}

/* A figure that was measured, or a dash. */
static void print_figure(int width, int digits, double figure, bool is_measured)
{
    if (is_measured)
        printf(" %*.*f", width, digits, figure);
    else
        printf(" %*s", width, "-");
}

static void print_day(const char *name, const struct day *day)
{
    bool has_times = day->searches > 0;

    printf("%4s %9" PRIu64 " %8" PRIu64 " %8.4f %8.4f %8.0f", name, day->count, day->changed,
            day->fixed, day->wanted, day->wanted_scanned);
    print_figure(8, 0, (double)day->searches, has_times);
    print_figure(9, 1, day->p50_us, has_times);
    print_figure(9, 1, day->p99_us, has_times);
    print_figure(9, 1, day->p999_us, has_times);
    print_figure(9, 0, day->upserts_per_s, day->upserts_per_s > 0);
    printf(" %8" PRIu64 " %7.1f %7.1f %7.1f", day->pending, (double)day->bytes / 1e6,
            (double)day->rss / 1e6, (double)day->disk / 1e6);
    print_figure(8, 4, day->peer, day->peer > 0);
    printf("\n");
}

static void run_days(struct bench *b)
{
    print_head();
    for (size_t d = 0; d < b->days; d++) {
        char name[24];

        run_day(b, d, &b->results[d]);
        snprintf(name, sizeof(name), "%zu", d + 1);
        if (d == 0 || (d + 1) % b->every == 0 || d + 1 == b->days) print_day(name, &b->results[d]);
    }
}

/* ---- Before and after ---- */

/* What searches take when nothing else is done: for as long as a day, or a second. */
static void search_idly(struct bench *b)
{
    static struct churn_searcher searcher;
    uint64_t us = FR_MAX(b->day_ns / 1000, (uint64_t)(b->count < 10000 ? 100000 : 1000000));

    churn_searcher_start(&searcher, &b->index, &b->plan, RECALL_WANTED);
    for (; us > 0; us -= FR_MIN(us, (uint64_t)100000))
        usleep((useconds_t)FR_MIN(us, (uint64_t)100000));
    churn_searcher_stop(&searcher);
    fr_histogram_merge(&b->idle, &searcher.times);
}

static void start(struct bench *b)
{
    struct churn_pace pace = {.batch = b->batch};
    struct churn_spent spent;
    struct churn_day day;

    churn_plan_begin(&b->plan, &day);
    churn_index_open(&b->index, &b->setup);
    churn_apply(&b->index, &b->plan, &day, &pace, &spent);
    printf("%zu vectors put at %.0f/s, at rest %.1f s later\n\n", day.coming_count,
            rate(day.coming_count, spent.upserts), churn_rest(&b->index));
    b->peer = open_peer(b);
    if (b->peer != NULL) apply_to_peer(b, b->peer, &day, &b->rested);
    churn_day_deinit(&day);
    search_idly(b);
}

static void measure_resting(struct bench *b, struct churn_index *index, const char *name,
        struct day *day)
{
    take_sizes(b, index, day);
    measure_recall(b, index, day);
    print_day(name, day);
}

/* What is there is there after the next opening too, and needs not be made from rows again. */
static void open_again(struct bench *b, struct churn_index *index, const struct churn_setup *setup)
{
    struct fr_index_stats stats;

    churn_index_close(index);
    churn_index_open(index, setup);
    churn_index_stats(index, &stats);
    if (stats.rebuilt != 0) {
        printf("WRONG: the index was made anew at opening, reason %" PRIu64 "\n", stats.rebuilt);
        index->faults++;
    }
    churn_audit(index, &b->plan);
}

/* An index that has seen nothing but what is there now. */
static void make_anew(struct bench *b)
{
    struct churn_pace pace = {.batch = b->batch};
    struct churn_setup setup = b->setup;
    struct churn_index index = {0};
    struct churn_spent spent;
    struct churn_day day;

    setup.dir = b->anew_path;
    kv_dir_remove(setup.dir);
    churn_plan_repeat(&b->plan, &day);
    churn_index_open(&index, &setup);
    churn_apply(&index, &b->plan, &day, &pace, &spent);
    b->anew.upserts_per_s = rate(day.coming_count, spent.upserts);
    (void)churn_rest(&index);
    void *other = open_peer(b);
    run_peer(b, other, &day, &b->anew);
    close_peer(other);
    measure_resting(b, &index, "anew", &b->anew);
    churn_day_deinit(&day);
    churn_index_close(&index);
    kv_dir_remove(setup.dir);
    b->index.faults += index.faults;
}

static void finish(struct bench *b)
{
    (void)churn_rest(&b->index);
    measure_resting(b, &b->index, "rest", &b->rested);
    search_idly(b);
    churn_audit(&b->index, &b->plan);
    open_again(b, &b->index, &b->setup);
    (void)churn_rest(&b->index); /* it also learns which effort is needed */
    measure_resting(b, &b->index, "open", &b->opened);
    churn_index_close(&b->index);
    close_peer(b->peer);
    make_anew(b);
}

/* ---- What came of it ---- */

/* Of one figure of so many days. */
static double mean(const struct day *days, size_t count, size_t offset)
{
    double sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += *(const double *)(const void *)((const char *)&days[i] + offset);
    return sum / (double)count;
}

struct drift {
    double first, last, anew;
};

static struct drift drift_of(const struct bench *b, size_t offset)
{
    size_t half = FR_MAX(b->days / 2, (uint64_t)1), count = FR_MIN(half, (size_t)DAYS_COMPARED);

    return (struct drift){.first = mean(b->results, count, offset),
            .last = mean(b->results + b->days - count, count, offset),
            .anew = mean(&b->anew, 1, offset)};
}

#define DRIFT_OF(b, field) drift_of(b, offsetof(struct day, field))

static void print_drift(const char *name, struct drift drift, int digits)
{
    printf("%-28s %10.*f %10.*f %+10.*f %10.*f\n", name, digits, drift.first, digits, drift.last,
            digits, drift.last - drift.first, digits, drift.anew);
}

static double bytes_each(const struct day *day)
{
    return (double)day->bytes / (double)FR_MAX(day->count, (uint64_t)1);
}

static void print_summary(const struct bench *b)
{
    double idle = percentile_us(&b->idle, FR_P999), busy = percentile_us(&b->churning, FR_P999);
    char name[48];

    printf("\n%-28s %10s %10s %10s %10s\n", "means of days", "first", "last", "change", "anew");
    snprintf(name, sizeof(name), "recall, %" PRIu64 " postings", b->postings);
    print_drift(name, DRIFT_OF(b, fixed), 4);
    print_drift("  vectors scanned a query", DRIFT_OF(b, fixed_scanned), 0);
    print_drift("recall, 0.95 wanted", DRIFT_OF(b, wanted), 4);
    print_drift("  vectors scanned a query", DRIFT_OF(b, wanted_scanned), 0);
    print_drift("bytes a vector in memory",
            (struct drift){bytes_each(&b->results[0]), bytes_each(&b->results[b->days - 1]),
                    bytes_each(&b->anew)},
            0);
    if (b->has_peer) {
        snprintf(name, sizeof(name), "%s's recall, effort %" PRIu64, peer->name, b->effort);
        print_drift(name, DRIFT_OF(b, peer), 4);
        print_drift("  vectors put a second", DRIFT_OF(b, peer_puts_per_s), 0);
        print_drift("  ours", DRIFT_OF(b, upserts_per_s), 0);
    }
    printf("\nsearches, us: idle p50 %.1f, p99.9 %.1f; under churn p50 %.1f, p99.9 %.1f; p99.9's "
           "ratio %.2f\n",
            percentile_us(&b->idle, FR_P50), idle, percentile_us(&b->churning, FR_P50), busy,
            idle > 0 ? busy / idle : 0);
}

static void put_day(struct fr_json *json, const char *key, const struct day *day)
{
    fr_json_begin_object(json, key);
    fr_json_u64(json, "count", day->count);
    fr_json_u64(json, "changed", day->changed);
    fr_json_double(json, "recall_fixed", day->fixed);
    fr_json_double(json, "recall_wanted", day->wanted);
    fr_json_double(json, "scanned_fixed", day->fixed_scanned);
    fr_json_double(json, "scanned_wanted", day->wanted_scanned);
    fr_json_u64(json, "searches", day->searches);
    fr_json_double(json, "p50_us", day->p50_us);
    fr_json_double(json, "p99_us", day->p99_us);
    fr_json_double(json, "p999_us", day->p999_us);
    fr_json_double(json, "upserts_per_s", day->upserts_per_s);
    fr_json_double(json, "deletes_per_s", day->deletes_per_s);
    fr_json_u64(json, "pending", day->pending);
    fr_json_u64(json, "bytes", day->bytes);
    fr_json_u64(json, "rss_bytes", day->rss);
    fr_json_u64(json, "disk_bytes", day->disk);
    fr_json_double(json, "peer_recall", day->peer);
    fr_json_double(json, "peer_puts_per_s", day->peer_puts_per_s);
    fr_json_end_object(json);
}

static void put_drift(struct fr_json *json, const char *key, struct drift drift)
{
    fr_json_begin_object(json, key);
    fr_json_double(json, "first", drift.first);
    fr_json_double(json, "last", drift.last);
    fr_json_double(json, "anew", drift.anew);
    fr_json_end_object(json);
}

static void put_setting(struct fr_json *json, const struct bench *b)
{
    fr_json_text(json, "mode", b->mode_name);
    fr_json_text(json, "base", b->base != NULL ? b->base : ann_kind_names[b->source.kind]);
    fr_json_text(json, "metric", b->metric_name);
    fr_json_text(json, "sync", b->sync_name);
    fr_json_u64(json, "count", b->count);
    fr_json_u64(json, "dimension", b->plan.pool.dimension);
    fr_json_u64(json, "days", b->days);
    fr_json_u64(json, "replaced_a_day", b->source.per_day);
    fr_json_u64(json, "postings", b->postings);
    fr_json_u64(json, "seed", b->seed);
}

static void put_days(struct fr_json *json, const struct bench *b)
{
    fr_json_begin_array(json, "days");
    for (size_t d = 0; d < b->days; d++)
        put_day(json, NULL, &b->results[d]);
    fr_json_end_array(json);
    put_day(json, "rested", &b->rested);
    put_day(json, "opened", &b->opened);
    put_day(json, "anew", &b->anew);
    put_drift(json, "recall_fixed", DRIFT_OF(b, fixed));
    put_drift(json, "recall_wanted", DRIFT_OF(b, wanted));
    fr_json_double(json, "idle_p999_us", percentile_us(&b->idle, FR_P999));
    fr_json_double(json, "churn_p999_us", percentile_us(&b->churning, FR_P999));
}

static bool write_json(const struct bench *b, struct fr_json *json)
{
    FILE *file = fopen(b->json, "w");
    bool is_good = file != NULL && !json->text.failed &&
                   fwrite(json->text.data, 1, json->text.size, file) == json->text.size;

    fr_buf_deinit(&json->text);
    if (file != NULL && fclose(file) != 0) is_good = false;
    if (!is_good) fprintf(stderr, "bench_churn: cannot write %s\n", b->json);
    return is_good;
}

/* ---- A run ---- */

static int end(const struct bench *b, double recall)
{
    bool is_enough = recall >= b->least;

    printf("%" PRIu64 " faults\n", b->index.faults);
    if (!is_enough) printf("recall is %.4f, and %.4f is the least\n", recall, b->least);
    return b->index.faults == 0 && is_enough ? FR_EXIT_FINE : FR_EXIT_FINDINGS;
}

static int run_mode(struct bench *b)
{
    fr_histogram_init(&b->idle);
    fr_histogram_init(&b->churning);
    start(b);
    run_days(b);
    finish(b);
    print_summary(b);
    if (b->json != NULL) {
        struct fr_json json = FR_JSON_EMPTY;

        fr_json_begin_object(&json, NULL);
        put_setting(&json, b);
        put_days(&json, b);
        fr_json_u64(&json, "faults", b->index.faults);
        fr_json_end_object(&json);
        if (!write_json(b, &json)) return FR_EXIT_IO;
    }
    return end(b, DRIFT_OF(b, wanted).last);
}

/* The same vectors, with the maintenance behind the writes or in step with them. */
static double fill_and_measure(struct bench *b, const struct churn_day *day, bool is_careful,
        struct fr_json *json)
{
    struct churn_pace pace = {.batch = b->batch, .is_careful = is_careful};
    const char *name = is_careful ? "slow" : "fast";
    struct day at_once = {0}, rested = {0};
    struct churn_spent spent;

    kv_dir_remove(b->setup.dir);
    churn_index_open(&b->index, &b->setup);
    churn_apply(&b->index, &b->plan, day, &pace, &spent);
    at_once.upserts_per_s = rate(day->coming_count, spent.upserts + spent.maintenance);
    measure_resting(b, &b->index, name, &at_once);
    double rest_s = churn_rest(&b->index);
    measure_resting(b, &b->index, "rest", &rested);
    printf("     at rest %.2f s later\n", rest_s);
    churn_audit(&b->index, &b->plan);
    open_again(b, &b->index, &b->setup);
    churn_index_close(&b->index);
    fr_json_begin_object(json, name);
    put_day(json, "at_once", &at_once);
    put_day(json, "rested", &rested);
    fr_json_double(json, "rest_s", rest_s);
    fr_json_end_object(json);
    return rested.wanted;
}

static int run_fast_and_slow(struct bench *b)
{
    struct fr_json json = FR_JSON_EMPTY;
    struct churn_day day;

    churn_plan_begin(&b->plan, &day);
    find_truth(b);
    print_head();
    fr_json_begin_object(&json, NULL);
    put_setting(&json, b);
    double fast = fill_and_measure(b, &day, false, &json);
    double slow = fill_and_measure(b, &day, true, &json);
    churn_day_deinit(&day);
    fr_json_u64(&json, "faults", b->index.faults);
    fr_json_end_object(&json);
    if (b->json == NULL)
        fr_buf_deinit(&json.text);
    else if (!write_json(b, &json))
        return FR_EXIT_IO;
    return end(b, fmin(fast, slow));
}

/* ---- The command line ---- */

static enum churn_mode parse_mode(const char *name)
{
    for (int mode = 0; mode < CHURN_MODES; mode++)
        if (strcmp(name, churn_mode_names[mode]) == 0) return (enum churn_mode)mode;
    if (strcmp(name, "fast-slow") == 0) return CHURN_RANDOM;
    ann_die("%s: no mode; there are random, cluster, drift, refill and fast-slow", name);
}

static enum ann_kind parse_kind(const char *name)
{
    for (int kind = 0; kind < ANN_KINDS; kind++)
        if (strcmp(name, ann_kind_names[kind]) == 0) return (enum ann_kind)kind;
    ann_die("%s: no kind; there are clustered, flat, sphere, drift and duplicates", name);
}

static enum ann_metric parse_metric(const char *name)
{
    if (strcmp(name, "l2") == 0) return ANN_L2;
    if (strcmp(name, "cosine") == 0) return ANN_COSINE;
    if (strcmp(name, "ip") == 0) return ANN_INNER_PRODUCT;
    ann_die("%s: no metric; there are l2, cosine and ip", name);
}

static fr_sync parse_sync(const char *name)
{
    if (strcmp(name, "device") == 0) return FR_SYNC_DEVICE;
    if (strcmp(name, "os") == 0) return FR_SYNC_OS;
    if (strcmp(name, "none") == 0) return FR_SYNC_NONE;
    ann_die("%s: no sync class; there are device, os and none", name);
}

static void check_options(struct bench *b)
{
    if (b->share == 0) b->share = FR_MAX(b->count / 100, (uint64_t)1);
    if (b->count < CHURN_K || b->share > b->count) ann_die("too few vectors, or too many a day");
    if (b->days == 0 || b->batch == 0 || b->every == 0) ann_die("days, batch and every are not 0");
    if (b->postings == 0 || b->postings > UINT32_MAX) ann_die("postings are out of range");
    if (b->query_count == 0 || b->query_count > b->count) ann_die("queries are out of range");
    if (b->has_peer && peer == NULL) ann_die("hnswlib was not there when this was built");
    if (b->effort < CHURN_K) ann_die("the effort is less than %d", CHURN_K);
    if (b->least_text != NULL) b->least = strtod(b->least_text, NULL);
}

static void prepare(struct bench *b)
{
    bool has_days = strcmp(b->mode_name, "fast-slow") != 0;

    b->source = (struct churn_source){.mode = parse_mode(b->mode_name),
            .metric = parse_metric(b->metric_name),
            .path = b->base,
            .kind = parse_kind(b->kind),
            .count = b->count,
            .dimension = b->dimension,
            .days = has_days ? b->days : 0,
            .per_day = b->share,
            .query_count = b->query_count,
            .seed = b->seed};
    snprintf(b->path, sizeof(b->path), "%s/churn-%s", b->dir, b->mode_name);
    snprintf(b->anew_path, sizeof(b->anew_path), "%s/churn-%s-anew", b->dir, b->mode_name);
    churn_plan_init(&b->plan, &b->source);
    b->setup = (struct churn_setup){.dir = b->path,
            .dimension = b->plan.pool.dimension,
            .metric = b->source.metric,
            .sync = parse_sync(b->sync_name),
            .budget = b->budget};
    b->present.vectors =
            fr_alloc_zeroed(b->plan.pool.count, b->plan.pool.dimension * sizeof(float));
    b->farthest = fr_alloc_zeroed(b->plan.held_back.count + 1, sizeof(float));
    b->results = fr_alloc_zeroed(b->days, sizeof(*b->results));
    if (b->present.vectors == NULL || b->farthest == NULL || b->results == NULL)
        ann_die("no memory");
    memset(b->present.vectors, 1, b->plan.pool.count * b->plan.pool.dimension * sizeof(float));
    b->rss_before = resident_bytes();
}

static int run(struct bench *b)
{
    check_options(b);
    prepare(b);
    printf("%s: %" PRIu64 " vectors of %zu dimensions, %s, %s; %" PRIu64 " replaced on each of "
           "%" PRIu64 " days; queries for the %d nearest, with %" PRIu64
           " postings and at recall %.2f\n",
            b->mode_name, b->count, b->plan.pool.dimension, b->metric_name, b->sync_name, b->share,
            b->source.days, CHURN_K, b->postings, RECALL_WANTED);
    kv_dir_remove(b->path);
    if (b->dir == NULL) ann_die("no directory");
    (void)mkdir(b->dir, 0755); /* it may be there; if it can't be, opening says so */
    int code = strcmp(b->mode_name, "fast-slow") == 0 ? run_fast_and_slow(b) : run_mode(b);
    kv_dir_remove(b->path);
    churn_plan_deinit(&b->plan);
    fr_free(b->present.vectors);
    fr_free(b->farthest);
    fr_free(b->results);
    return code;
}

int main(int argc, char **argv)
{
    static struct bench b = {.mode_name = "random",
            .kind = "clustered",
            .metric_name = "l2",
            .sync_name = "os",
            .count = 50000,
            .dimension = 128,
            .days = 100,
            .query_count = 200,
            .seed = 1,
            .batch = 100,
            .postings = 64,
            .effort = 80,
            .budget = (uint64_t)256 << 20,
            .day_ns = 500000000,
            .every = 10};
    const struct fr_option options[] = {
            {"mode", 'm', FR_OPTION_TEXT, "NAME",
                    "random, cluster, drift, refill or fast-slow (random)", &b.mode_name},
            {"base", 'b', FR_OPTION_TEXT, "FILE", "of vectors, instead of made ones", &b.base},
            {"kind", 0, FR_OPTION_TEXT, "KIND", "of made ones, as bench_ann has them (clustered)",
                    &b.kind},
            {"metric", 0, FR_OPTION_TEXT, "NAME", "l2, cosine or ip (l2)", &b.metric_name},
            {"count", 'n', FR_OPTION_COUNT, "N", "vectors that are there (50000)", &b.count},
            {"dimension", 'd', FR_OPTION_COUNT, "N", "of made vectors (128)", &b.dimension},
            {"days", 0, FR_OPTION_COUNT, "N", "(100)", &b.days},
            {"replace", 'r', FR_OPTION_COUNT, "N", "vectors a day (a hundredth)", &b.share},
            {"day", 0, FR_OPTION_DURATION, "TIME", "how long a day is at least (500 ms)",
                    &b.day_ns},
            {"batch", 0, FR_OPTION_COUNT, "N", "vectors of one call (100)", &b.batch},
            {"sync", 's', FR_OPTION_TEXT, "CLASS", "device, os or none (os)", &b.sync_name},
            {"queries", 'q', FR_OPTION_COUNT, "N", "about so many (200)", &b.query_count},
            {"postings", 'p', FR_OPTION_COUNT, "N", "the effort that is fixed (64)", &b.postings},
            {"budget", 0, FR_OPTION_SIZE, "SIZE", "memory of the store (256 MiB)", &b.budget},
            {"seed", 0, FR_OPTION_COUNT, "N", "of vectors and choices (1)", &b.seed},
            {"every", 'e', FR_OPTION_COUNT, "N", "print every so many-th day (10)", &b.every},
            {"least", 0, FR_OPTION_TEXT, "RECALL", "below it, where 0.95 is wanted, we fail (0)",
                    &b.least_text},
            {"peer", 0, FR_OPTION_FLAG, NULL, "hnswlib beside it, which reuses what was removed",
                    &b.has_peer},
            {"effort", 0, FR_OPTION_COUNT, "N", "of the peer: ef (80)", &b.effort},
            {"json", 0, FR_OPTION_TEXT, "FILE", "the figures as one JSON object", &b.json},
    };
    struct fr_args args = {.verb = "bench_churn",
            .summary = "Whether a vector index keeps its quality while vectors come and go.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!fr_args_parse(&args, argc - 1, argv + 1, &code)) return code;
    b.dir = args.operands[0];
    return run(&b);
}
