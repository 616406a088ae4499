/* bench of internals: it holds an index against churn_plan.h. */
#include "bench/churn_index.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "bench/measure.h"

#define FAULTS_TOLD 10

/* By so much may a distance differ from the real one: of it and of the query's square together. */
#define DISTANCE_ERROR 0.01

static void must(fr_status st)
{
    if (st < 0) ann_die("%s", fr_last_error());
}

static void *room_for(size_t count, size_t size)
{
    void *room = fr_alloc_zeroed(count + 1, size);

    if (room == NULL) ann_die("no memory for %zu of %zu bytes", count, size);
    return room;
}

static void fault(struct churn_index *index, const char *format, ...)
        __attribute__((format(printf, 2, 3)));

static void fault(struct churn_index *index, const char *format, ...)
{
    va_list args;

    if (index->faults++ >= FAULTS_TOLD) return;
    printf("WRONG: ");
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
}

static fr_metric metric_of(enum ann_metric metric)
{
    switch (metric) {
    case ANN_COSINE:
        return FR_METRIC_COSINE;
    case ANN_INNER_PRODUCT:
        return FR_METRIC_INNER_PRODUCT;
    default:
        return FR_METRIC_L2;
    }
}

void churn_index_open(struct churn_index *index, const struct churn_setup *setup)
{
    struct fr_index_options options;
    struct fr_db_options store;

    fr_db_options_init(&store);
    store.memory_budget = setup->budget;
    store.sync = setup->sync;
    fr_index_options_init(&options);
    options.dimension = (uint32_t)setup->dimension;
    options.metric = metric_of(setup->metric);
    options.manual_maintenance = setup->is_manual;
    index->dir = setup->dir;
    must(fr_db_open(setup->dir, &store, &index->db));
    must(fr_index_open(index->db, "", &options, &index->index));
}

void churn_index_close(struct churn_index *index)
{
    fr_index_close(index->index);
    must(fr_db_close(index->db));
}

void churn_index_stats(const struct churn_index *index, struct fr_index_stats *ret_stats)
{
    *ret_stats = (struct fr_index_stats){.size = sizeof(*ret_stats)};
    must(fr_index_wait_loaded(index->index)); /* or it would count what has been loaded so far */
    must(fr_index_stats_get(index->index, ret_stats));
}

double churn_rest(struct churn_index *index)
{
    uint64_t start = measure_now_ns();

    must(fr_index_maintain(index->index, 0, NULL));
    return measure_seconds_since(start);
}

static void delete_batch(struct churn_index *index, struct churn_plan *plan, const uint64_t *ids,
        size_t count)
{
    size_t were_there;

    must(fr_index_delete(index->index, NULL, count, ids, &were_there));
    if (were_there != count)
        fault(index, "of %zu vectors that are deleted, %zu were there", count, were_there);
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&plan->gone_at[ids[i]], measure_now_ns(), memory_order_relaxed);
}

static void upsert_batch(struct churn_index *index, struct churn_plan *plan, const uint64_t *ids,
        const uint32_t *rows, size_t count)
{
    size_t dimension = plan->pool.dimension;
    float *vectors = room_for(count * dimension, sizeof(float));

    for (size_t i = 0; i < count; i++) {
        memcpy(vectors + i * dimension, churn_row(plan, rows[i]), dimension * sizeof(float));
        atomic_store_explicit(&plan->gone_at[ids[i]], 0, memory_order_relaxed);
    }
    must(fr_index_upsert(index->index, NULL, count, ids, vectors, NULL));
    fr_free(vectors);
}

static void sleep_until(uint64_t due_ns)
{
    uint64_t now = measure_now_ns();

    if (now >= due_ns) return;
    nanosleep(&(struct timespec){.tv_sec = (time_t)((due_ns - now) / 1000000000u),
                      .tv_nsec = (long)((due_ns - now) % 1000000000u)},
            NULL);
}

/* Deletes and upserts take turns, so that about as many are there all day. */
static void apply_batch(struct churn_index *index, struct churn_plan *plan,
        const struct churn_day *day, const struct churn_pace *pace, size_t first,
        struct churn_spent *spent)
{
    uint64_t start = measure_now_ns();

    if (first < day->leaving_count)
        delete_batch(index, plan, day->leaving + first,
                FR_MIN(pace->batch, day->leaving_count - first));
    spent->deletes += measure_seconds_since(start);
    start = measure_now_ns();
    if (first < day->coming_count)
        upsert_batch(index, plan, day->coming + first, day->rows + first,
                FR_MIN(pace->batch, day->coming_count - first));
    spent->upserts += measure_seconds_since(start);
    if (pace->is_careful) spent->maintenance += churn_rest(index);
}

void churn_apply(struct churn_index *index, struct churn_plan *plan, const struct churn_day *day,
        const struct churn_pace *pace, struct churn_spent *ret_spent)
{
    size_t most = FR_MAX(day->leaving_count, day->coming_count);
    uint64_t start = measure_now_ns();

    *ret_spent = (struct churn_spent){0};
    for (size_t first = 0; first < most; first += pace->batch) {
        sleep_until(start + pace->day_ns / most * first);
        apply_batch(index, plan, day, pace, first, ret_spent);
    }
    sleep_until(start + pace->day_ns);
}

static void check_alive(struct churn_searcher *s, const struct fr_hit *hits, size_t count,
        uint64_t start_ns)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t gone =
                hits[i].id < s->plan->pool.count
                        ? atomic_load_explicit(&s->plan->gone_at[hits[i].id], memory_order_relaxed)
                        : 1;
        s->faults += gone > 0 && gone < start_ns;
    }
}

static void *search_on(void *given)
{
    struct churn_searcher *s = given;
    struct fr_search_options how = {.size = sizeof(how), .recall = s->recall};
    struct fr_hit hits[CHURN_K];
    size_t count;

    for (size_t q = 0; !atomic_load_explicit(&s->is_stopped, memory_order_relaxed); q++) {
        const float *query = s->queries.vectors + q % s->queries.count * s->queries.dimension;
        uint64_t start = measure_now_ns();

        must(fr_index_search(s->index->index, &how, query, CHURN_K, hits, &count));
        fr_histogram_record(&s->times, measure_now_ns() - start);
        check_alive(s, hits, count, start);
    }
    return NULL;
}

void churn_searcher_start(struct churn_searcher *searcher, struct churn_index *index,
        const struct churn_plan *plan, double recall)
{
    searcher->index = index;
    searcher->plan = plan;
    searcher->queries = churn_queries(plan);
    searcher->recall = recall;
    searcher->faults = 0;
    atomic_init(&searcher->is_stopped, false);
    fr_histogram_init(&searcher->times);
    if (pthread_create(&searcher->thread, NULL, search_on, searcher) != 0)
        ann_die("cannot start a thread");
}

void churn_searcher_stop(struct churn_searcher *searcher)
{
    atomic_store_explicit(&searcher->is_stopped, true, memory_order_relaxed);
    pthread_join(searcher->thread, NULL);
    if (searcher->faults > 0)
        fault(searcher->index, "%" PRIu64 " hits had been deleted before the search began",
                searcher->faults);
}

static bool is_there(const struct churn_plan *plan, uint64_t id)
{
    return id < plan->pool.count && plan->row_of[id] != CHURN_NONE;
}

static float distance_of(const struct churn_plan *plan, const float *query, uint64_t id)
{
    return ann_distance(plan->source.metric, query, churn_row(plan, plan->row_of[id]),
            plan->pool.dimension);
}

static size_t count_right(struct churn_index *index, const struct churn_plan *plan,
        const float *query, float farthest, const struct fr_hit *hits, size_t count)
{
    size_t right = 0;

    for (size_t i = 0; i < count; i++) {
        bool is_twice = false;

        for (size_t j = 0; j < i; j++)
            is_twice = is_twice || hits[i].id == hits[j].id;
        if (is_twice)
            fault(index, "a search found %" PRIu64 " twice", hits[i].id);
        else if (!is_there(plan, hits[i].id))
            fault(index, "a search found %" PRIu64 ", which is not there", hits[i].id);
        else
            right += distance_of(plan, query, hits[i].id) <= farthest;
    }
    return right;
}

void churn_search(struct churn_index *index, const struct churn_plan *plan,
        const struct fr_search_options *how, const float *farthest, struct churn_found *ret_found)
{
    struct ann_set queries = churn_queries(plan);
    struct fr_index_stats before, after;
    struct fr_hit hits[CHURN_K];
    size_t right = 0, count;

    churn_index_stats(index, &before);
    for (size_t q = 0; q < queries.count; q++) {
        const float *query = queries.vectors + q * queries.dimension;

        must(fr_index_search(index->index, how, query, CHURN_K, hits, &count));
        right += count_right(index, plan, query, farthest[q], hits, count);
    }
    churn_index_stats(index, &after);
    size_t most = FR_MIN(plan->count, (size_t)CHURN_K) * queries.count;
    *ret_found = (struct churn_found){.recall = (double)right / (double)FR_MAX(most, (size_t)1),
            .scanned = (double)(after.scanned - before.scanned) / (double)queries.count};
}

/* The distance as an index tells it. */
static double told_distance(enum ann_metric metric, double distance)
{
    return metric == ANN_COSINE ? distance / 2 : distance;
}

/* A vector of before under an id that has got another one since is found out by its distance. */
static void check_distance(struct churn_index *index, const struct churn_plan *plan,
        const float *query, const struct fr_hit *hit)
{
    enum ann_metric metric = plan->source.metric;
    double real = told_distance(metric, (double)distance_of(plan, query, hit->id)), square = 0;

    for (size_t i = 0; i < plan->pool.dimension; i++)
        square += (double)query[i] * (double)query[i];
    if (!(fabs(real - (double)hit->distance) <= DISTANCE_ERROR * (fabs(real) + square)))
        fault(index, "%" PRIu64 " was found at %g and is at %g", hit->id, (double)hit->distance,
                real);
}

static void check_all_found(struct churn_index *index, const struct churn_plan *plan,
        const struct fr_search_options *how, const char *name)
{
    const float *query = churn_queries(plan).vectors;
    struct fr_hit *hits = room_for(plan->count + CHURN_K, sizeof(*hits));
    uint8_t *found = room_for(plan->pool.count, 1);
    size_t count;

    must(fr_index_search(index->index, how, query, plan->count + CHURN_K, hits, &count));
    for (size_t i = 0; i < count; i++) {
        if (!is_there(plan, hits[i].id)) {
            fault(index, "%s found %" PRIu64 ", which is not there", name, hits[i].id);
        } else {
            if (found[hits[i].id]++ > 0)
                fault(index, "%s found %" PRIu64 " twice", name, hits[i].id);
            check_distance(index, plan, query, &hits[i]);
        }
    }
    for (size_t i = 0; i < plan->count; i++)
        if (found[plan->ids[i]] == 0) fault(index, "%s did not find %" PRIu64, name, plan->ids[i]);
    fr_free(found);
    fr_free(hits);
}

static void check_rows(struct churn_index *index, const struct churn_plan *plan)
{
    size_t size = plan->pool.dimension * sizeof(float);
    float *vector = room_for(plan->pool.dimension, sizeof(float));

    for (uint64_t id = 0; id < plan->pool.count; id++) {
        fr_status st = fr_index_get(index->index, id, vector, NULL);

        must(st);
        if ((st == FR_OK) != is_there(plan, id))
            fault(index, "%" PRIu64 " is %s", id, st == FR_OK ? "still there" : "lost");
        else if (st == FR_OK && memcmp(vector, churn_row(plan, plan->row_of[id]), size) != 0)
            fault(index, "%" PRIu64 " has another vector than it was given", id);
    }
    fr_free(vector);
}

void churn_audit(struct churn_index *index, const struct churn_plan *plan)
{
    /* An estimate is off by more for a vector that is longer than the sample's (space.h). */
    bool is_exact = plan->source.metric == ANN_INNER_PRODUCT;
    struct fr_search_options all = {
            .size = sizeof(all), .exhaustive = true, .exact_distances = is_exact};
    struct fr_search_options wide = {
            .size = sizeof(wide), .postings = UINT32_MAX, .exact_distances = is_exact};
    struct fr_index_stats stats;

    churn_index_stats(index, &stats);
    if (stats.count != plan->count)
        fault(index, "the index counts %" PRIu64 " vectors, and %zu are there", stats.count,
                plan->count);
    check_all_found(index, plan, &all, "an exhaustive search");
    check_all_found(index, plan, &wide, "a search of all postings");
    check_rows(index, plan);
}
