/*
 * index_batch.c - one query, or many of them by several threads.
 *
 * A query is answered as if it were alone: which postings are looked at, in which order, and what
 * limit an entry meets, depends on nothing but the query. What queries of a batch share is the
 * processor's caches: they are put in the order of the centroids of the last tier that they lie
 * nearest to, so that one finds the postings and rows that it needs where the one before it has
 * left them. Threads take runs of that order, one after the other. (docs/index.md has the figures,
 * also of a finer order, and says why no posting is scanned for several queries at once.)
 *
 * Rows are read for some queries at once (index_rows.c), and an exhaustive search compares all the
 * queries of a thread in one walk.
 */
#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "spfresh/index_search.h"

#define RECALL_DEFAULT 0.95

/* More threads would not find the work. */
#define THREADS_MAX 64

/* A thread of its own is worth its start for so many queries. */
#define QUERIES_PER_THREAD 16

/* Queries that a thread takes at once: neighbours, and rows are read for all of them together. */
#define RUN_MAX 16

/* ---- One call ---- */

static struct fr_effort choose_effort(const struct fr_spfresh *index,
        const struct fr_search_options *how, size_t k)
{
    double recall = how->recall == 0 ? RECALL_DEFAULT : how->recall;

    if (how->postings > 0) return fr_effort_of(how->postings);
    struct fr_effort effort = fr_effort_for(&index->efforts, recall);
    /* More than ten come from more postings; one of 40 to 50 vectors is nearly all hits then. */
    effort.postings += k / 16;
    effort.width = FR_MAX(effort.width, effort.postings / 24);
    return effort;
}

static fr_status check_how(const struct fr_spfresh *index, const struct fr_search_options *how)
{
    if (how->ret_texts != NULL && index->options.id_kind != FR_ID_TEXT)
        return FR_FAIL(FR_ERR_MISUSE, "the ids of this index are numbers, not text");
    if (how->recall != 0 && !(how->recall >= 0.5 && how->recall <= 0.999))
        return FR_FAIL(FR_ERR_MISUSE, "a recall of %g; 0.5 to 0.999 can be asked for", how->recall);
    return FR_OK;
}

static fr_status check_query(const struct fr_spfresh *index, size_t number, const float *query)
{
    float length = 0;

    for (uint32_t i = 0; i < index->options.dimension; i++) {
        if (!isfinite(query[i]))
            return FR_FAIL(FR_ERR_MISUSE, "query %zu: its value %" PRIu32 " is not finite", number,
                    i);
        length += query[i] * query[i];
    }
    if (!isfinite(length))
        return FR_FAIL(FR_ERR_MISUSE, "query %zu: its length is not finite", number);
    if (length == 0 && index->options.metric == FR_METRIC_COSINE)
        return FR_FAIL(FR_ERR_MISUSE, "query %zu has no direction for the cosine", number);
    return FR_OK;
}

/* ---- A batch ---- */

/* A query's place in the order: by where it lies. */
struct place {
    fr_slot region[FR_PROBE_REGION];
    uint32_t query;
};

struct batch {
    struct fr_asking asking;
    size_t count;
    const float *queries;
    struct fr_hit *hits;
    size_t *counts;
    struct place *places; /* NULL: in the order in which they came */
    size_t run;           /* queries that are taken at once */

    _Atomic(size_t) next_place,
            next;       /* relaxed: what nobody has taken yet, to place and to answer */
    _Atomic(bool) over; /* relaxed: somebody has failed */

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    size_t placed;
    bool in_order;           /* all are placed, and sorted; or somebody has failed */
    struct fr_cond ordered;  /* in_order has changed */
    struct fr_error failure; /* the first */
};

static void aim_answer(const struct batch *b, const struct fr_work *work, size_t at,
        struct fr_answer *ret_answer)
{
    const struct fr_space *space = work->generation->tree->space;
    const struct fr_search_options *how = b->asking.how;
    size_t query = b->places == NULL ? at : b->places[at].query;
    size_t first = query * b->asking.k;
    const float *vector = b->queries + query * b->asking.index->options.dimension;

    *ret_answer = (struct fr_answer){.query = vector,
            .number = query,
            .length = sqrtf(space->kernels->dot(vector, vector, space->dimension)),
            .space = space,
            .hits = b->hits + first,
            .payloads = how->ret_payloads == NULL ? NULL : how->ret_payloads + first,
            .texts = how->ret_texts == NULL ? NULL : how->ret_texts + first,
            .record = how->ret_records == NULL ? NULL : how->ret_records + query};
}

/* Hits of some queries, and what belongs to them. */
static fr_status answer_run(struct batch *b, struct fr_work *work, struct fr_answer *answers,
        size_t count)
{
    const struct fr_search_options *how = b->asking.how;
    bool exact = how->exact_distances && !how->exhaustive && !how->limited;
    bool extras = how->ret_payloads != NULL || how->ret_texts != NULL;
    fr_status st = FR_OK;

    if (how->exhaustive) FR_TRY(fr_search_all_rows(&b->asking, work, answers, count));
    for (size_t i = 0; !how->exhaustive && i < count; i++)
        FR_TRY(fr_search_by_tree(&b->asking, work, &answers[i]));
    if (exact || extras)
        FR_TRY(fr_search_read_rows(&b->asking, work, answers, count, exact, extras));
    for (size_t i = 0; i < count; i++)
        b->counts[answers[i].number] = answers[i].count;
out:
    return st;
}

/* ---- The order ---- */

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = memcmp(x->region, y->region, sizeof(x->region)); /* any order will do */

    return order != 0 ? order : (x->query > y->query) - (x->query < y->query);
}

static fr_status place_query(struct batch *b, struct fr_work *work, size_t query)
{
    struct fr_spfresh *index = b->asking.index;
    struct fr_tree *tree = work->generation->tree;
    struct place *place = &b->places[query];
    fr_status st;

    *place = (struct place){.query = (uint32_t)query};
    fr_space_map_query(tree->space, b->queries + query * index->options.dimension, work->query);
    unsigned reader = fr_epoch_enter(&tree->epoch);
    st = fr_probe_locate(work->probe, work->query, place->region);
    fr_epoch_leave(&tree->epoch, reader);
    return st;
}

static void count_placed(struct batch *b, size_t count)
{
    fr_mutex_lock(&b->mu);
    b->placed += count;
    bool is_last = b->placed == b->count;
    fr_mutex_unlock(&b->mu);
    if (!is_last) return;
    qsort(b->places, b->count, sizeof(*b->places), compare_places);
    fr_mutex_lock(&b->mu);
    b->in_order = true;
    fr_cond_broadcast(&b->ordered);
    fr_mutex_unlock(&b->mu);
}

static fr_status place_some(struct batch *b, struct fr_work *work)
{
    fr_status st = FR_OK;

    while (!atomic_load_explicit(&b->over, memory_order_relaxed)) {
        size_t first = atomic_fetch_add_explicit(&b->next_place, RUN_MAX, memory_order_relaxed);
        if (first >= b->count) break;
        size_t end = FR_MIN(first + RUN_MAX, b->count);
        for (size_t i = first; i < end; i++)
            FR_TRY(place_query(b, work, i));
        count_placed(b, end - first);
    }
out:
    return st;
}

/* All queries are placed by all threads before the first is answered. */
static fr_status place_all(struct batch *b, struct fr_work *work)
{
    fr_status st = place_some(b, work);

    if (st < 0) return st;
    fr_mutex_lock(&b->mu);
    while (!b->in_order)
        fr_cond_wait(&b->ordered, &b->mu);
    fr_mutex_unlock(&b->mu);
    return FR_OK;
}

/* ---- Threads ---- */

static fr_status answer_runs(struct batch *b, struct fr_work *work, struct fr_answer *answers)
{
    fr_status st = FR_OK;

    while (!atomic_load_explicit(&b->over, memory_order_relaxed)) {
        size_t first = atomic_fetch_add_explicit(&b->next, b->run, memory_order_relaxed);
        if (first >= b->count) break;
        size_t count = FR_MIN(b->run, b->count - first);
        for (size_t i = 0; i < count; i++)
            aim_answer(b, work, first + i, &answers[i]);
        FR_TRY(answer_run(b, work, answers, count));
    }
out:
    return st;
}

static fr_status take_part(struct batch *b)
{
    struct fr_answer few[RUN_MAX], *answers = few;
    struct fr_work *work = NULL;
    fr_status st;

    FR_TRY(fr_spfresh_take_work(b->asking.index, &work));
    if (b->run > RUN_MAX) answers = fr_alloc(b->run * sizeof(*answers));
    if (answers == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for %zu queries", b->run));
    if (b->places != NULL) FR_TRY(place_all(b, work));
    st = answer_runs(b, work, answers);
out:
    if (answers != few) fr_free(answers);
    fr_spfresh_give_work(b->asking.index, work);
    return st;
}

/* The first failure ends the batch, for those who wait, too. */
static void searcher_main(void *arg)
{
    struct batch *b = arg;

    if (take_part(b) >= 0) return;
    fr_mutex_lock(&b->mu);
    if (b->failure.status == FR_OK) fr_error_save(&b->failure);
    atomic_store_explicit(&b->over, true, memory_order_relaxed);
    b->in_order = true;
    fr_cond_broadcast(&b->ordered);
    fr_mutex_unlock(&b->mu);
}

/* As many as can be had; the caller is one of them. */
static fr_status run_threads(struct batch *b, size_t count)
{
    struct fr_thread threads[THREADS_MAX] = {0};
    size_t started = 1;

    while (started < count &&
            fr_thread_start(&threads[started], "fr-search", searcher_main, b) == FR_OK)
        started++;
    searcher_main(b);
    for (size_t i = 1; i < started; i++)
        fr_thread_join(&threads[i]);
    return b->failure.status < 0 ? fr_error_restore(&b->failure) : FR_OK;
}

static size_t choose_threads(const struct batch *b)
{
    uint32_t wanted = b->asking.how->threads;
    size_t useful = b->asking.how->exhaustive ? b->count : b->count / QUERIES_PER_THREAD;
    size_t most = FR_MIN(useful, (size_t)THREADS_MAX);

    most = FR_MIN(most, (size_t)(wanted == 0 ? fr_thread_cpu_count() : wanted));
    return FR_MAX(most, (size_t)1);
}

static fr_status run_batch(struct batch *b)
{
    size_t threads = choose_threads(b);
    fr_status st;

    b->run = RUN_MAX;
    if (b->count == 1) return take_part(b);
    if (b->asking.how->exhaustive)
        b->run = (b->count + threads - 1) / threads;
    else if (b->count > RUN_MAX) {
        b->places = fr_alloc(b->count * sizeof(*b->places));
        if (b->places == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu queries", b->count);
    }
    fr_mutex_init(&b->mu, FR_RANK_LEAF);
    fr_cond_init(&b->ordered);
    st = run_threads(b, threads);
    fr_cond_deinit(&b->ordered);
    fr_mutex_deinit(&b->mu);
    fr_free(b->places);
    return st;
}

/* Where an id is, is known when all is loaded. */
static bool asks_why(const struct fr_search_options *how, size_t count)
{
    for (size_t i = 0; how->ret_records != NULL && i < count; i++)
        if (how->ret_records[i].why != NULL) return true;
    return false;
}

fr_status fr_spfresh_search_batch(struct fr_spfresh *index, const struct fr_search_options *how,
        size_t count, const float *queries, size_t k, struct fr_hit *ret_hits, size_t *ret_counts)
{
    struct batch batch = {.asking = {.index = index, .how = how, .k = k},
            .count = count,
            .queries = queries,
            .hits = ret_hits,
            .counts = ret_counts,
            .failure = {.size = sizeof(struct fr_error)}};
    fr_status st;

    memset(ret_counts, 0, count * sizeof(*ret_counts));
    for (size_t i = 0; how->ret_records != NULL && i < count; i++)
        fr_search_record_clear(&how->ret_records[i]);
    FR_TRY(check_how(index, how));
    for (size_t i = 0; i < count; i++)
        FR_TRY(check_query(index, i, queries + i * index->options.dimension));
    if (k == 0 || count == 0 || fr_spfresh_tree(index) == NULL) return FR_OK;
    if (asks_why(how, count)) FR_TRY(fr_spfresh_wait_loaded(index));
    batch.asking.effort = choose_effort(index, how, k);
    st = run_batch(&batch);
    if (st < 0) memset(ret_counts, 0, count * sizeof(*ret_counts));
out:
    return st;
}

fr_status fr_spfresh_search(struct fr_spfresh *index, const struct fr_search_options *how,
        const float *query, size_t k, struct fr_hit *ret_hits, size_t *ret_count)
{
    return fr_spfresh_search_batch(index, how, 1, query, k, ret_hits, ret_count);
}
