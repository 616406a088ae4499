/* bench of internals: it reads vectors as bench_ann does.
 *
 * churn_plan.c - the modes, each a few lines over the same lists.
 */
#include "bench/churn_plan.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"

/* A day moves about so many clusters, so that its share is met without cutting one. */
#define CLUSTERS_A_DAY 3
#define CLUSTERS_MAX   1000

const char *const churn_mode_names[CHURN_MODES] = {"random", "cluster", "drift", "refill"};

static void *room_for(size_t count, size_t size)
{
    void *room = fr_alloc_zeroed(count + 1, size);

    if (room == NULL) ann_die("no memory for %zu of %zu bytes", count, size);
    return room;
}

/* How many will ever come. */
static size_t pool_size(const struct churn_source *source)
{
    switch (source->mode) {
    case CHURN_CLUSTER:
        return source->count + source->count / 2;
    case CHURN_REFILL:
        return source->count + source->count * 9 / 10;
    default:
        return source->count + source->days * source->per_day;
    }
}

static void load_stream(const struct churn_source *source, size_t count, struct ann_set *ret_stream)
{
    struct ann_set none;

    if (source->path == NULL) {
        ann_make(source->mode == CHURN_DRIFT ? ANN_DRIFT : source->kind, count, 1,
                source->dimension, source->seed, ret_stream, &none);
        fr_free(none.vectors);
    } else {
        ann_read(source->path, count, ret_stream);
        if (ret_stream->count < count)
            ann_die("%s: has %zu vectors, and %zu are wanted", source->path, ret_stream->count,
                    count);
    }
    if (source->metric == ANN_COSINE) ann_normalise(ret_stream);
}

static void swap_rows(struct ann_set *set, size_t a, size_t b, float *spare)
{
    size_t size = set->dimension * sizeof(float);
    float *x = set->vectors + a * set->dimension, *y = set->vectors + b * set->dimension;

    if (a == b) return;
    memcpy(spare, x, size);
    memcpy(x, y, size);
    memcpy(y, spare, size);
}

/* What comes late shall be as what came early; a file's order may mean something. */
static void shuffle(struct churn_plan *plan, struct ann_set *stream)
{
    float *spare = room_for(stream->dimension, sizeof(float));

    for (size_t n = stream->count; n > 1; n--)
        swap_rows(stream, n - 1, fr_rng_below(&plan->rng, n), spare);
    fr_free(spare);
}

/* Every so many-th row of the stream becomes a query. */
static void hold_back(struct churn_plan *plan, const struct ann_set *stream)
{
    size_t step = plan->query_step, dimension = stream->dimension, size = dimension * sizeof(float);

    plan->pool = (struct ann_set){room_for(stream->count, size), 0, dimension};
    plan->held_back = (struct ann_set){room_for(stream->count / step + 1, size), 0, dimension};
    for (size_t n = 0; n < stream->count; n++) {
        struct ann_set *to = n % (step + 1) == step ? &plan->held_back : &plan->pool;

        memcpy(to->vectors + to->count++ * dimension, stream->vectors + n * dimension, size);
    }
}

static uint32_t nearest_centre(const struct churn_plan *plan, size_t row, const uint32_t *centres)
{
    const float *x = churn_row(plan, (uint32_t)row);
    float least = INFINITY;
    uint32_t nearest = 0;

    for (size_t c = 0; c < plan->cluster_count; c++) {
        float distance = ann_distance(plan->source.metric, x, churn_row(plan, centres[c]),
                plan->pool.dimension);

        if (!(distance < least)) continue;
        least = distance;
        nearest = (uint32_t)c;
    }
    return nearest;
}

/* Around vectors of the pool that were drawn. */
static void make_clusters(struct churn_plan *plan)
{
    size_t wanted = 2 + plan->pool.count * CLUSTERS_A_DAY / plan->source.per_day;
    uint32_t *centres;

    plan->cluster_count = FR_MIN(wanted, (size_t)CLUSTERS_MAX);
    centres = room_for(plan->cluster_count, sizeof(*centres));
    for (size_t c = 0; c < plan->cluster_count; c++)
        centres[c] = (uint32_t)fr_rng_below(&plan->rng, plan->pool.count);
    plan->cluster_of = room_for(plan->pool.count, sizeof(*plan->cluster_of));
    plan->is_away = room_for(plan->cluster_count, sizeof(*plan->is_away));
    for (size_t row = 0; row < plan->pool.count; row++)
        plan->cluster_of[row] = nearest_centre(plan, row, centres);
    fr_free(centres);
}

void churn_plan_init(struct churn_plan *plan, const struct churn_source *source)
{
    size_t size = pool_size(source), step = FR_MAX(source->count / source->query_count, (size_t)1);
    struct ann_set stream;

    *plan = (struct churn_plan){.source = *source, .query_step = step};
    fr_rng_init(&plan->rng, source->seed + 1);
    load_stream(source, size + size / step + 1, &stream);
    if (source->mode != CHURN_DRIFT) shuffle(plan, &stream);
    hold_back(plan, &stream);
    fr_free(stream.vectors);
    if (plan->pool.count < size || plan->pool.count >= CHURN_NONE) ann_die("too many vectors");
    plan->pool.count = size;
    plan->ids = room_for(size, sizeof(*plan->ids));
    plan->place_of = room_for(size, sizeof(*plan->place_of));
    plan->row_of = room_for(size, sizeof(*plan->row_of));
    plan->gone_at = room_for(size, sizeof(*plan->gone_at));
    for (size_t id = 0; id < size; id++)
        plan->place_of[id] = plan->row_of[id] = CHURN_NONE;
    for (size_t id = 0; id < size; id++)
        atomic_store_explicit(&plan->gone_at[id], 1, memory_order_relaxed);
    if (source->mode == CHURN_CLUSTER) make_clusters(plan);
}

void churn_plan_deinit(struct churn_plan *plan)
{
    fr_free(plan->pool.vectors);
    fr_free(plan->held_back.vectors);
    fr_free(plan->ids);
    fr_free(plan->place_of);
    fr_free(plan->row_of);
    fr_free(plan->gone_at);
    fr_free(plan->cluster_of);
    fr_free(plan->is_away);
}

static void day_init(const struct churn_plan *plan, struct churn_day *ret_day)
{
    *ret_day = (struct churn_day){.leaving = room_for(plan->pool.count, sizeof(uint64_t)),
            .coming = room_for(plan->pool.count, sizeof(uint64_t)),
            .rows = room_for(plan->pool.count, sizeof(uint32_t))};
}

void churn_day_deinit(struct churn_day *day)
{
    fr_free(day->leaving);
    fr_free(day->coming);
    fr_free(day->rows);
}

static void swap_places(struct churn_plan *plan, size_t a, size_t b)
{
    uint64_t id = plan->ids[a];

    plan->ids[a] = plan->ids[b];
    plan->ids[b] = id;
    plan->place_of[plan->ids[a]] = (uint32_t)a;
    plan->place_of[plan->ids[b]] = (uint32_t)b;
}

static void let_leave(struct churn_plan *plan, struct churn_day *day, uint64_t id)
{
    swap_places(plan, plan->place_of[id], plan->count - 1);
    plan->count--;
    plan->place_of[id] = plan->row_of[id] = CHURN_NONE;
    day->leaving[day->leaving_count++] = id;
}

static void let_come(struct churn_plan *plan, struct churn_day *day, uint64_t id, size_t row)
{
    if (plan->place_of[id] == CHURN_NONE) {
        plan->place_of[id] = (uint32_t)plan->count;
        plan->ids[plan->count++] = id;
    }
    plan->row_of[id] = (uint32_t)row;
    day->coming[day->coming_count] = id;
    day->rows[day->coming_count++] = (uint32_t)row;
}

/* The next of the pool, under the number of its row: no id has been that yet. */
static void let_new_come(struct churn_plan *plan, struct churn_day *day, size_t count)
{
    for (size_t i = 0; i < count && plan->next < plan->pool.count; i++, plan->next++)
        let_come(plan, day, plan->next, plan->next);
}

/* None is drawn twice: each draw is put behind those that were not. */
static void replace_random(struct churn_plan *plan, struct churn_day *day, size_t count)
{
    size_t from = plan->count;

    for (size_t i = 0; i < count / 2; i++, plan->next++) {
        from--;
        swap_places(plan, fr_rng_below(&plan->rng, from + 1), from);
        let_come(plan, day, plan->ids[from], plan->next);
    }
    for (size_t i = count / 2; i < count; i++) {
        size_t at = fr_rng_below(&plan->rng, from--);

        swap_places(plan, at, from);
        let_leave(plan, day, plan->ids[from]);
    }
    let_new_come(plan, day, count - count / 2);
}

static void remove_random(struct churn_plan *plan, struct churn_day *day, size_t count)
{
    for (size_t i = 0; i < count && plan->count > 0; i++)
        let_leave(plan, day, plan->ids[fr_rng_below(&plan->rng, plan->count)]);
}

/* Ids are rows here, and rows have come in their order. */
static void replace_oldest(struct churn_plan *plan, struct churn_day *day, size_t count)
{
    size_t oldest = plan->next - plan->count;

    for (size_t i = 0; i < count; i++)
        let_leave(plan, day, oldest + i);
    let_new_come(plan, day, count);
}

/* The part of all that a half's day has to do, without a rest at its end. */
static size_t part_of(size_t all, size_t day, size_t days)
{
    return all * (day + 1) / days - all * day / days;
}

static void empty_or_refill(struct churn_plan *plan, struct churn_day *day, size_t number)
{
    size_t all = plan->source.count * 9 / 10, first = (plan->source.days + 1) / 2;

    if (number < first)
        remove_random(plan, day, part_of(all, number, first));
    else
        let_new_come(plan, day, part_of(all, number - first, plan->source.days - first));
}

/* A cluster that is or isn't away, and not of those that changed today; any but one if none is. */
static size_t draw_cluster(struct churn_plan *plan, bool is_away, const bool *is_done)
{
    size_t start = fr_rng_below(&plan->rng, plan->cluster_count);

    for (size_t i = 0; i < plan->cluster_count; i++) {
        size_t cluster = (start + i) % plan->cluster_count;
        if (plan->is_away[cluster] == is_away && !is_done[cluster]) return cluster;
    }
    return plan->cluster_count;
}

static void move_cluster(struct churn_plan *plan, struct churn_day *day, size_t cluster, bool *done)
{
    bool was_away = plan->is_away[cluster];

    plan->is_away[cluster] = !was_away;
    done[cluster] = true;
    for (size_t row = 0; row < plan->pool.count; row++) {
        if (plan->cluster_of[row] != cluster) continue;
        if (was_away)
            let_come(plan, day, row, row);
        else
            let_leave(plan, day, row);
    }
}

/* Clusters move until so many vectors are there that it is enough, but never the last. */
static void move_clusters(struct churn_plan *plan, struct churn_day *day, bool *done, bool away,
        size_t count)
{
    while (away ? plan->count < count : plan->count > count) {
        size_t cluster = draw_cluster(plan, away, done);

        if (cluster == plan->cluster_count) return;
        move_cluster(plan, day, cluster, done);
    }
}

static void replace_clusters(struct churn_plan *plan, struct churn_day *day, size_t count)
{
    bool *done = room_for(plan->cluster_count, sizeof(*done));

    move_clusters(plan, day, done, false, plan->count > count ? plan->count - count : 1);
    move_clusters(plan, day, done, true, plan->source.count);
    fr_free(done);
}

void churn_plan_begin(struct churn_plan *plan, struct churn_day *ret_day)
{
    day_init(plan, ret_day);
    if (plan->source.mode != CHURN_CLUSTER) {
        let_new_come(plan, ret_day, plan->source.count);
        return;
    }
    for (size_t c = 0; c < plan->cluster_count; c++)
        plan->is_away[c] = true;
    bool *done = room_for(plan->cluster_count, sizeof(*done));
    move_clusters(plan, ret_day, done, true, plan->source.count);
    fr_free(done);
}

void churn_plan_next(struct churn_plan *plan, size_t day, struct churn_day *ret_day)
{
    size_t count = plan->source.per_day;

    day_init(plan, ret_day);
    switch (plan->source.mode) {
    case CHURN_CLUSTER:
        replace_clusters(plan, ret_day, count);
        break;
    case CHURN_DRIFT:
        replace_oldest(plan, ret_day, count);
        break;
    case CHURN_REFILL:
        empty_or_refill(plan, ret_day, day);
        break;
    default:
        replace_random(plan, ret_day, count);
        break;
    }
}

void churn_plan_repeat(const struct churn_plan *plan, struct churn_day *ret_day)
{
    day_init(plan, ret_day);
    for (size_t i = 0; i < plan->count; i++) {
        ret_day->coming[i] = plan->ids[i];
        ret_day->rows[i] = plan->row_of[plan->ids[i]];
    }
    ret_day->coming_count = plan->count;
}

/* The same all days, unless what is there wanders; then those that came with what is there. */
struct ann_set churn_queries(const struct churn_plan *plan)
{
    struct ann_set queries = plan->held_back;
    size_t first = 0, end = plan->source.count / plan->query_step;

    if (plan->source.mode == CHURN_DRIFT) {
        first = (plan->next - plan->count) / plan->query_step;
        end = plan->next / plan->query_step;
    }
    queries.count = FR_MIN(end, plan->held_back.count) - first;
    queries.vectors += first * queries.dimension;
    return queries;
}

void churn_copy_present(const struct churn_plan *plan, struct ann_set *present)
{
    present->count = plan->count;
    present->dimension = plan->pool.dimension;
    for (size_t i = 0; i < plan->count; i++)
        memcpy(present->vectors + i * present->dimension,
                churn_row(plan, plan->row_of[plan->ids[i]]), present->dimension * sizeof(float));
}
