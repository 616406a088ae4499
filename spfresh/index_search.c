/*
 * index_search.c - from a query to hits.
 *
 * Searches take no lock but for the list of memory for calls. What the tree says of distances is
 * exact to about a thousandth; whoever wants more has them from the rows themselves, read in one
 * submission.
 */
#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "spfresh/index_priv.h"

#define RECALL_DEFAULT 0.95

/* With a limit to the distance: so many are looked for first, then so many times as many. */
#define NEAR_FIRST  32
#define NEAR_GROWTH 4

/* Rows that are read together. */
#define ROWS_AT_ONCE FR_ENGINE_MULTI_MAX

/* What is read ahead when all rows are. */
#define READAHEAD ((size_t)2 << 20)

/* ---- Memory of one call ---- */

void fr_spfresh_free_work(struct fr_work *work)
{
    if (work == NULL) return;
    fr_probe_free(work->probe);
    fr_free(work->query);
    fr_free(work->found);
    fr_free(work->entrants);
    fr_free(work->vectors);
    fr_free(work->high);
    fr_free(work->low);
    fr_free(work->dead);
    fr_batch_deinit(&work->batch);
    fr_buf_deinit(&work->value);
    fr_free(work);
}

static fr_status new_work(struct fr_spfresh *index, struct fr_work **ret_work)
{
    struct fr_work *work = FR_NEW(struct fr_work);
    fr_status st = FR_OK;

    if (work == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a call of an index");
    FR_TRY(fr_probe_new(fr_spfresh_tree(index), &work->probe));
    work->query = fr_alloc_aligned(index->space.dims * sizeof(float), 64);
    if (work->query == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "no memory for a call of an index");
        goto out;
    }
    *ret_work = FR_TAKE(work);
out:
    fr_spfresh_free_work(work);
    return st;
}

fr_status fr_spfresh_take_work(struct fr_spfresh *index, struct fr_work **ret_work)
{
    fr_mutex_lock(&index->works_mu);
    struct fr_work *work = index->works;
    if (work != NULL) index->works = work->next;
    fr_mutex_unlock(&index->works_mu);
    *ret_work = work;
    return work != NULL ? FR_OK : new_work(index, ret_work);
}

void fr_spfresh_give_work(struct fr_spfresh *index, struct fr_work *work)
{
    if (work == NULL) return;
    fr_mutex_lock(&index->works_mu);
    work->next = index->works;
    index->works = work;
    fr_mutex_unlock(&index->works_mu);
}

static fr_status reserve_found(struct fr_work *work, size_t count)
{
    if (count <= work->found_capacity) return FR_OK;
    struct fr_found *grown = fr_realloc(work->found, count * sizeof(*grown));
    if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu hits", count);
    work->found = grown;
    work->found_capacity = count;
    return FR_OK;
}

/* ---- Effort ---- */

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

/* ---- Distances ---- */

/* What the caller calls the distance, of a mapped one. */
static float tell(const struct fr_space *space, float mapped, float query_length)
{
    float square = mapped / (space->scale * space->scale);

    switch (space->metric) {
    case FR_METRIC_COSINE:
        return square / 2;
    case FR_METRIC_INNER_PRODUCT:
        return (square / (2 * space->reach) - space->reach) * query_length;
    case FR_METRIC_L2:
        break;
    }
    return square;
}

static float length_of(const struct fr_space *space, const float *x)
{
    return sqrtf(space->kernels->dot(x, x, space->dimension));
}

/* Between a query and a row's own vector. */
static float measure(const struct fr_space *space, const float *query, float query_length,
        const float *vector)
{
    if (space->metric == FR_METRIC_L2) return space->kernels->l2(query, vector, space->dimension);
    float product = space->kernels->dot(query, vector, space->dimension);
    if (space->metric == FR_METRIC_INNER_PRODUCT) return -product;
    float lengths = query_length * length_of(space, vector);
    return lengths > 0 ? 1 - product / lengths : 1;
}

static int compare_hits(const void *a, const void *b)
{
    const struct fr_hit *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* ---- All rows ---- */

/* The k least so far, the largest on top. */
static void sift_down(struct fr_hit *hits, size_t count, size_t at)
{
    for (;;) {
        size_t largest = at;

        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (compare_hits(&hits[child], &hits[largest]) > 0) largest = child;
        if (largest == at) return;
        struct fr_hit hit = hits[at];
        hits[at] = hits[largest];
        hits[largest] = hit;
        at = largest;
    }
}

static void keep_hit(struct fr_hit *hits, size_t *count, size_t k, struct fr_hit hit)
{
    if (*count < k) {
        hits[(*count)++] = hit;
        for (size_t at = *count / 2; *count == k && at-- > 0;)
            sift_down(hits, k, at);
    } else if (compare_hits(&hit, &hits[0]) < 0) {
        hits[0] = hit;
        sift_down(hits, k, 0);
    }
}

static fr_status search_rows(struct fr_spfresh *index, const float *query, size_t k,
        struct fr_hit *ret_hits, size_t *ret_count)
{
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX,
            .prefix = fr_index_key_slice(&kind),
            .readahead_max = READAHEAD,
            .no_cache = true};
    float *vector = fr_alloc(index->options.dimension * sizeof(float));
    float query_length = length_of(&index->space, query);
    struct fr_iter *it = NULL;
    fr_slice payload;
    fr_status st;

    if (vector == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    FR_TRY(fr_engine_scan(index->engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        struct fr_hit hit = {0};

        FR_TRY(fr_key_read_vector(&kind, it->entry.key, &hit.id));
        FR_TRY(fr_stored_read_vector(it->entry.value, index->options.dimension, vector, &payload));
        hit.distance = measure(&index->space, query, query_length, vector);
        keep_hit(ret_hits, ret_count, k, hit);
    }
    if (st == FR_END) st = FR_OK;
    qsort(ret_hits, *ret_count, sizeof(*ret_hits), compare_hits);
out:
    fr_iter_close(it);
    fr_free(vector);
    return st;
}

/* ---- By the tree ---- */

/* One that was deleted since it was found keeps the distance by which it was. */
static fr_status measure_hits(struct fr_spfresh *index, const float *query, struct fr_hit *hits,
        size_t count)
{
    struct fr_engine_value values[ROWS_AT_ONCE];
    struct fr_index_key keys[ROWS_AT_ONCE];
    fr_slice slices[ROWS_AT_ONCE], payload;
    fr_status statuses[ROWS_AT_ONCE] = {0};
    float query_length = length_of(&index->space, query);
    float *vector = fr_alloc(index->options.dimension * sizeof(float));
    fr_seq at = FR_SEQ_MAX;
    fr_status st;

    if (vector == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    for (size_t i = 0; i < count; i++) {
        keys[i] = fr_key_vector(&index->prefix, hits[i].id);
        slices[i] = fr_index_key_slice(&keys[i]);
    }
    struct fr_view *view = fr_engine_view_take(index->engine, &at);
    st = fr_engine_multi_get(index->engine, view, at, &(uint64_t){0}, count, slices, values,
            statuses);
    fr_engine_view_release(index->engine, view);
    for (size_t i = 0; st == FR_OK && i < count; i++) {
        fr_status of_one = statuses[i];

        if (of_one == FR_NOT_FOUND) continue;
        if (of_one == FR_OK)
            of_one = fr_stored_read_vector(values[i].bytes, index->options.dimension, vector,
                    &payload);
        if (of_one == FR_OK) hits[i].distance = measure(&index->space, query, query_length, vector);
        if (statuses[i] == FR_OK) fr_engine_value_release(&values[i]);
        if (of_one < 0) st = of_one;
    }
    fr_free(vector);
    return st;
}

static fr_status make_exact(struct fr_spfresh *index, const float *query, struct fr_hit *hits,
        size_t count)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i += ROWS_AT_ONCE)
        FR_TRY(measure_hits(index, query, hits + i, FR_MIN(count - i, ROWS_AT_ONCE)));
    qsort(hits, count, sizeof(*hits), compare_hits);
out:
    return st;
}

static fr_status search_tree(struct fr_spfresh *index, struct fr_work *work,
        const struct fr_effort *effort, const float *query, size_t k, struct fr_hit *ret_hits,
        size_t *ret_count)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    float query_length =
            index->space.metric == FR_METRIC_INNER_PRODUCT ? length_of(&index->space, query) : 0;
    struct fr_probe_stats before = work->probe->stats;
    size_t count = 0;
    fr_status st;

    FR_TRY(reserve_found(work, k));
    fr_space_map_query(&index->space, query, work->query);
    unsigned reader = fr_epoch_enter(&tree->epoch);
    fr_probe_aim(work->probe, work->query);
    st = fr_probe_search(work->probe, effort, k, work->found, &count);
    for (size_t i = 0; st == FR_OK && i < count; i++)
        ret_hits[i] = (struct fr_hit){.id = fr_rows_row(&tree->tiers[0], work->found[i].slot)->id,
                .distance = tell(&index->space, work->found[i].distance, query_length)};
    fr_epoch_leave(&tree->epoch, reader);
    *ret_count = count;
    atomic_fetch_add_explicit(&index->searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&index->scanned, work->probe->stats.scanned - before.scanned,
            memory_order_relaxed);
    atomic_fetch_add_explicit(&index->measured, work->probe->stats.measured - before.measured,
            memory_order_relaxed);
out:
    return st;
}

static fr_status check_query(const struct fr_spfresh *index, const struct fr_search_options *how,
        const float *query)
{
    float length = 0;

    for (uint32_t i = 0; i < index->options.dimension; i++) {
        if (!isfinite(query[i]))
            return FR_FAIL(FR_ERR_MISUSE, "a query whose value %" PRIu32 " is not finite", i);
        length += query[i] * query[i];
    }
    if (!isfinite(length)) return FR_FAIL(FR_ERR_MISUSE, "a query whose length is not finite");
    if (length == 0 && index->options.metric == FR_METRIC_COSINE)
        return FR_FAIL(FR_ERR_MISUSE, "a query that has no direction for the cosine");
    if (how->recall != 0 && !(how->recall >= 0.5 && how->recall <= 0.999))
        return FR_FAIL(FR_ERR_MISUSE, "a recall of %g; 0.5 to 0.999 can be asked for", how->recall);
    return FR_OK;
}

static fr_status search_nearest(struct fr_spfresh *index, struct fr_work *work,
        const struct fr_search_options *how, const float *query, size_t k, struct fr_hit *ret_hits,
        size_t *ret_count)
{
    struct fr_effort effort = choose_effort(index, how, k);
    fr_status st;

    FR_TRY(search_tree(index, work, &effort, query, k, ret_hits, ret_count));
    if (how->exact_distances) st = make_exact(index, query, ret_hits, *ret_count);
out:
    return st;
}

/* Without a limit to the distance all at once; with one, more and more until some are beyond. */
static fr_status search_near(struct fr_spfresh *index, const struct fr_search_options *how,
        const float *query, size_t k, struct fr_hit *ret_hits, size_t *ret_count)
{
    size_t some = how->limited ? FR_MIN(k, (size_t)NEAR_FIRST) : k;
    struct fr_work *work = NULL;
    fr_status st;

    FR_TRY(fr_spfresh_take_work(index, &work));
    for (;; some = FR_MIN(k, NEAR_GROWTH * some)) {
        FR_TRY(search_nearest(index, work, how, query, some, ret_hits, ret_count));
        if (some == k || *ret_count < some || ret_hits[some - 1].distance > how->max_distance)
            break;
    }
out:
    fr_spfresh_give_work(index, work);
    return st;
}

fr_status fr_spfresh_search(struct fr_spfresh *index, const struct fr_search_options *how,
        const float *query, size_t k, struct fr_hit *ret_hits, size_t *ret_count)
{
    fr_status st;

    *ret_count = 0;
    FR_TRY(check_query(index, how, query));
    if (k == 0 || fr_spfresh_tree(index) == NULL) return FR_OK;
    if (how->exhaustive)
        st = search_rows(index, query, k, ret_hits, ret_count);
    else
        st = search_near(index, how, query, k, ret_hits, ret_count);
    while (how->limited && *ret_count > 0 && ret_hits[*ret_count - 1].distance > how->max_distance)
        --*ret_count;
out:
    return st;
}

/* ---- One row ---- */

fr_status fr_spfresh_get(struct fr_spfresh *index, uint64_t id, float *ret_vector,
        struct fr_engine_value *ret_value, fr_slice *ret_payload)
{
    struct fr_index_key key = fr_key_vector(&index->prefix, id);

    fr_status st = fr_engine_get(index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, ret_value);
    if (st != FR_OK) return st;
    st = fr_stored_read_vector(ret_value->bytes, index->options.dimension, ret_vector, ret_payload);
    if (st < 0) fr_engine_value_release(ret_value);
    return st;
}

/* ---- Figures ---- */

void fr_spfresh_stats(struct fr_spfresh *index, struct fr_index_stats *ret_stats)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    size_t size = ret_stats->size;

    *ret_stats = (struct fr_index_stats){.size = size,
            .dimension = index->options.dimension,
            .metric = index->options.metric,
            .upserts = atomic_load_explicit(&index->upserts, memory_order_relaxed),
            .deletes = atomic_load_explicit(&index->deletes, memory_order_relaxed),
            .searches = atomic_load_explicit(&index->searches, memory_order_relaxed),
            .scanned = atomic_load_explicit(&index->scanned, memory_order_relaxed),
            .measured = atomic_load_explicit(&index->measured, memory_order_relaxed),
            .rebuilt = index->rebuilt};
    if (tree == NULL) return;
    fr_mutex_lock(&index->mu);
    ret_stats->count = index->map.count;
    ret_stats->bytes = fr_tree_bytes(tree) + fr_id_map_bytes(&index->map);
    ret_stats->pending = fr_tree_pending(tree);
    fr_tree_count(tree, ret_stats);
    fr_mutex_unlock(&index->mu);
}
