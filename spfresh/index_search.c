/*
 * index_search.c - from a query to hits.
 *
 * Searches take no lock but for the list of memory for calls. What the tree says of distances is
 * exact to about a thousandth; whoever wants more has them from the rows themselves
 * (index_rows.c). Many queries are searched for by index_batch.c.
 */
#include "spfresh/index_search.h"

#include <math.h>

#include "base/alloc.h"
#include "base/cover.h"

/* With a limit to the distance: so many are looked for first, then so many times as many. */
#define NEAR_FIRST  32
#define NEAR_GROWTH 4

/* ---- Memory of one call ---- */

void fr_spfresh_free_work(struct fr_work *work)
{
    if (work == NULL) return;
    fr_probe_free(work->probe);
    fr_free(work->query);
    fr_free(work->found);
    fr_free(work->pins.numbers);
    fr_id_set_deinit(&work->seen);
    fr_free(work->wishes);
    fr_free(work->ranked);
    fr_free(work->row);
    fr_free(work->rows);
    fr_free(work->entrants);
    fr_free(work->vectors);
    fr_free(work->high);
    fr_free(work->low);
    fr_free(work->dead);
    fr_batch_deinit(&work->batch);
    fr_buf_deinit(&work->value);
    fr_free(work);
}

static fr_status new_work(struct fr_generation *generation, struct fr_work **ret_work)
{
    struct fr_work *work = FR_NEW(struct fr_work);
    fr_status st = FR_OK;

    if (work == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a call of an index");
    work->generation = generation;
    FR_TRY(fr_probe_new(generation->tree, &work->probe));
    work->query = fr_alloc_aligned(generation->tree->space->dims * sizeof(float), 64);
    if (work->query == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "no memory for a call of an index");
        goto out;
    }
    *ret_work = FR_TAKE(work);
out:
    fr_spfresh_free_work(work);
    return st;
}

/* One call less. Answers whether its memory, which may be NULL, has been kept for another one. */
static bool let_go(struct fr_spfresh *index, struct fr_generation *generation, struct fr_work *work)
{
    fr_mutex_lock(&index->works_mu);
    bool is_current = generation == index->current;
    if (--generation->works == 0 && !is_current) fr_cond_broadcast(&index->abandoned);
    if (is_current && work != NULL) {
        work->next = index->works;
        index->works = work;
    }
    fr_mutex_unlock(&index->works_mu);
    return is_current;
}

fr_status fr_spfresh_take_work(struct fr_spfresh *index, struct fr_work **ret_work)
{
    fr_mutex_lock(&index->works_mu);
    struct fr_generation *generation = index->current;
    struct fr_work *work = index->works;
    if (work != NULL) index->works = work->next;
    generation->works++;
    fr_mutex_unlock(&index->works_mu);
    *ret_work = work;
    if (work != NULL) return FR_OK;
    fr_status st = new_work(generation, ret_work);
    if (st < 0) (void)let_go(index, generation, NULL);
    return st;
}

void fr_spfresh_give_work(struct fr_spfresh *index, struct fr_work *work)
{
    if (work == NULL) return;
    /* Its generation may be gone from here on; nothing of that is looked at any more. */
    if (!let_go(index, work->generation, work)) fr_spfresh_free_work(work);
}

/* ---- Generations ---- */

static struct fr_generation *show(struct fr_spfresh *index, struct fr_generation *generation,
        struct fr_work **ret_works)
{
    fr_mutex_lock(&index->works_mu);
    struct fr_generation *before = index->current;
    *ret_works = index->works;
    index->works = NULL;
    index->current = generation;
    fr_mutex_unlock(&index->works_mu);
    /* Acquire in fr_spfresh_tree. */
    atomic_store_explicit(&index->tree, generation->tree, memory_order_release);
    return before;
}

static void free_works(struct fr_work *works)
{
    for (struct fr_work *work = works, *next; work != NULL; work = next) {
        next = work->next;
        fr_spfresh_free_work(work);
    }
}

void fr_spfresh_show_first(struct fr_spfresh *index, struct fr_tree *tree)
{
    struct fr_work *none;

    index->first.tree = tree;
    (void)show(index, &index->first, &none);
}

struct fr_generation *fr_spfresh_show_locked(struct fr_spfresh *index,
        struct fr_generation *generation)
{
    struct fr_work *works;
    struct fr_id_map map = index->map;

    index->map = generation->map;
    generation->map = (struct fr_id_map){0};
    struct fr_generation *before = show(index, generation, &works);
    before->map = map;
    free_works(works);
    return before;
}

void fr_spfresh_wait_abandoned(struct fr_spfresh *index, struct fr_generation *generation)
{
    fr_mutex_lock(&index->works_mu);
    while (generation->works > 0)
        fr_cond_wait(&index->abandoned, &index->works_mu);
    fr_mutex_unlock(&index->works_mu);
}

void fr_spfresh_free_generation(struct fr_spfresh *index, struct fr_generation *generation)
{
    if (generation == NULL) return;
    fr_id_map_deinit(&generation->map);
    fr_tree_free(FR_TAKE(generation->tree));
    fr_space_deinit(&generation->space);
    if (generation != &index->first) fr_free(generation);
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

/* ---- Distances ---- */

float fr_search_tell(const struct fr_answer *answer, float mapped)
{
    const struct fr_space *space = answer->space;
    float square = mapped / (space->scale * space->scale);

    switch (space->metric) {
    case FR_METRIC_COSINE:
        return square / 2;
    case FR_METRIC_INNER_PRODUCT:
        return (square / (2 * space->reach) - space->reach) * answer->length;
    case FR_METRIC_L2:
        break;
    }
    return square;
}

void fr_search_keep_limit(const struct fr_asking *asking, struct fr_answer *answer)
{
    if (!asking->how->limited) return;
    while (answer->count > 0 &&
            answer->hits[answer->count - 1].distance > asking->how->max_distance)
        answer->count--;
}

/* ---- By the tree ---- */

static fr_status search_tree_once(const struct fr_asking *asking, struct fr_work *work, size_t k,
        struct fr_answer *answer)
{
    struct fr_spfresh *index = asking->index;
    struct fr_tree *tree = work->generation->tree;
    struct fr_probe_stats before = work->probe->stats;
    size_t count = 0;
    fr_status st;

    FR_TRY(reserve_found(work, k));
    if (answer->record != NULL) fr_search_record_round_begin(work);
    fr_space_map_query(tree->space, answer->query, work->query);
    fr_spfresh_asides_begin(index, work);
    unsigned reader = fr_epoch_enter(&tree->epoch);
    fr_probe_aim(work->probe, work->query);
    st = fr_probe_search(work->probe, &asking->effort, k, work->found, &count);
    for (size_t i = 0; st == FR_OK && i < count; i++)
        answer->hits[i] = (struct fr_hit){.id = fr_probe_id(work->probe, &work->found[i]),
                .distance = fr_search_tell(answer, work->found[i].distance)};
    bool is_over = work->probe->missing_count == 0;
    if (is_over && answer->record != NULL) fr_search_record_round_end(work, answer);
    fr_epoch_leave(&tree->epoch, reader);
    fr_spfresh_asides_end(index, work);
    if (!is_over) return st;
    answer->count = count;
    atomic_fetch_add_explicit(&index->searches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&index->scanned, work->probe->stats.scanned - before.scanned,
            memory_order_relaxed);
    atomic_fetch_add_explicit(&index->measured, work->probe->stats.measured - before.measured,
            memory_order_relaxed);
out:
    return st;
}

/* What it finds to be missing is loaded, and it is searched again. */
static fr_status search_until_there(const struct fr_asking *asking, struct fr_work *work, size_t k,
        struct fr_answer *answer)
{
    const struct fr_probe *probe = work->probe;
    fr_status st;

    FR_TRY(search_tree_once(asking, work, k, answer));
    while (FR_UNLIKELY(probe->missing_count > 0)) {
        FR_TRY(fr_spfresh_load_found(asking->index, probe->found, probe->missing_count,
                &work->pins));
        FR_TRY(search_tree_once(asking, work, k, answer));
    }
out:
    return st;
}

/*
 * Of an index whose postings come and go nobody has a map of its ids, which would tell when two
 * postings have the same one. FR_NOT_FOUND: that is not so in this answer.
 */
static fr_status find_twice(struct fr_work *work, const struct fr_answer *answer, uint64_t *ret_id)
{
    fr_status st;

    fr_id_set_clear(&work->seen);
    FR_TRY(fr_id_set_reserve(&work->seen, answer->count));
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t id = answer->hits[i].id;

        if (fr_id_set_find(&work->seen, id) != NULL) {
            *ret_id = id;
            return FR_OK;
        }
        fr_id_set_put(&work->seen, id, work);
    }
    st = FR_NOT_FOUND;
out:
    return st;
}

static fr_status search_tree(const struct fr_asking *asking, struct fr_work *work, size_t k,
        struct fr_answer *answer)
{
    uint64_t id = 0;
    fr_status st;

    FR_TRY(search_until_there(asking, work, k, answer));
    if (FR_LIKELY(!fr_spfresh_is_bounded(asking->index))) goto out;
    FR_TRY(find_twice(work, answer, &id));
    if (st == FR_OK) {
        FR_TRY(fr_spfresh_found_twice(asking->index, id));
        FR_TRY(search_until_there(asking, work, k, answer));
    }
    st = FR_OK;
out:
    if (FR_UNLIKELY(fr_spfresh_is_bounded(asking->index)))
        fr_spfresh_bring_some(asking->index, work);
    if (FR_UNLIKELY(fr_spfresh_is_bounded(asking->index) || work->pins.count > 0))
        fr_spfresh_search_over(asking->index, &work->pins);
    return st;
}

/* More and more, until some are beyond the limit. */
static fr_status search_near(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answer)
{
    float limit = asking->how->max_distance;
    size_t k = asking->k;
    fr_status st;

    for (size_t some = FR_MIN(k, (size_t)NEAR_FIRST);; some = FR_MIN(k, NEAR_GROWTH * some)) {
        FR_TRY(search_tree(asking, work, some, answer));
        if (asking->how->exact_distances)
            FR_TRY(fr_search_read_rows(asking, work, answer, 1, true, false));
        if (some == k || answer->count < some || answer->hits[some - 1].distance > limit) break;
    }
    fr_search_keep_limit(asking, answer);
out:
    return st;
}

fr_status fr_search_by_tree(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answer)
{
    fr_status st;

    if (answer->record != NULL) fr_search_record_begin(asking, work, answer);
    if (asking->how->limited)
        st = search_near(asking, work, answer);
    else
        st = search_tree(asking, work, asking->k, answer);
    if (answer->record != NULL) fr_search_record_end(asking, work, answer);
    return st;
}

/* ---- One row ---- */

fr_status fr_spfresh_get(struct fr_spfresh *index, uint64_t id, float *ret_vector,
        struct fr_engine_value *ret_value, fr_slice *ret_payload)
{
    struct fr_index_key key = fr_key_vector(&index->prefix, id);
    fr_slice text;

    fr_status st = fr_engine_get(index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, ret_value);
    if (st != FR_OK) return st;
    st = fr_stored_read_vector(ret_value->bytes, index->options.dimension, ret_vector, ret_payload);
    if (st == FR_OK && index->options.id_kind == FR_ID_TEXT)
        st = fr_stored_split_text(ret_payload, &text);
    if (st < 0) fr_engine_value_release(ret_value);
    return st;
}

/* ---- Figures ---- */

void fr_spfresh_stats(struct fr_spfresh *index, struct fr_index_stats *ret_stats)
{
    size_t size = ret_stats->size;

    *ret_stats = (struct fr_index_stats){.size = size,
            .dimension = index->options.dimension,
            .metric = index->options.metric,
            .id_kind = index->options.id_kind,
            .upserts = atomic_load_explicit(&index->upserts, memory_order_relaxed),
            .deletes = atomic_load_explicit(&index->deletes, memory_order_relaxed),
            .searches = atomic_load_explicit(&index->searches, memory_order_relaxed),
            .scanned = atomic_load_explicit(&index->scanned, memory_order_relaxed),
            .measured = atomic_load_explicit(&index->measured, memory_order_relaxed),
            .rebuilt = atomic_load_explicit(&index->rebuilt, memory_order_relaxed),
            .rebuilds = atomic_load_explicit(&index->rebuilds, memory_order_relaxed)};
    fr_lost_count(index, ret_stats);
    if (fr_spfresh_tree(index) == NULL) return;
    fr_spfresh_loading_count(index, &ret_stats->loaded, &ret_stats->to_load);
    fr_spfresh_tiers_count(index, ret_stats);
    fr_mutex_lock(&index->mu);
    struct fr_tree *tree = fr_spfresh_tree(index); /* it stays while nobody else can have this */
    ret_stats->count = index->map.count;
    ret_stats->bytes = fr_tree_bytes(tree) + fr_id_map_bytes(&index->map);
    ret_stats->pending = fr_tree_pending(tree);
    ret_stats->generation = index->generation;
    if (index->rebuild != NULL) {
        ret_stats->rebuild_of = index->rebuild->of;
        ret_stats->rebuild_done = atomic_load_explicit(&index->rebuild->done, memory_order_relaxed);
    }
    fr_tree_count(tree, ret_stats);
    ret_stats->copied = fr_tree_copied(tree);
    fr_tree_count_cold(tree, &ret_stats->cool, &ret_stats->cold);
    if (fr_spfresh_is_bounded(index)) ret_stats->count = fr_tree_vectors(tree);
    fr_mutex_unlock(&index->mu);
}
