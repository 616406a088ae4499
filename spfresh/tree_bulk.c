/*
 * tree_bulk.c - a tree of many vectors at once.
 *
 * Who knows all vectors beforehand need not put them into postings one by one, under the tree's
 * lock, and split these again and again as they grow. Once all rows are in their slots, they are
 * grouped:
 *
 *     divide    all rows into a few groups, each of these again, until one is no larger than a
 *               posting should be: its mean is a centroid (spfresh/tree_divide.c)
 *     route     each row to the nearest of the centroids around its group
 *     regroup   by where rows go now
 *     list      each group's posting
 *
 * Rows near a border that was drawn by a sample are on the wrong side of it, and centroids are not
 * yet the means of what is nearest to them. So the first three are done twice, the first time with
 * centroids of a tree that is made for that alone. The second time groups that have become too
 * large are divided again. Those that are too small have no centroid, either time, and their rows
 * go elsewhere: else there would be more postings, and less would be found in as many.
 *
 * All but regrouping is done by several threads, which share hardly anything.
 */
#include <math.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "spfresh/kmeans.h"
#include "spfresh/probe.h"
#include "spfresh/tree_bulk_priv.h"
#include "spfresh/tree_priv.h"

/* Rows that are routed together, and centroids around them that are tried. */
#define ROWS_TOGETHER 128
#define AROUND        64

/* Of dividing and routing. A third finds a few more in a thousand for as much work again. */
#define ROUNDS 2

/* Groups with less than that are too small, in parts of eight of the largest that a posting should
 * be. One that is divided leaves one at least that is not. */
#define LEAST_EIGHTHS 4

/* ---- Slots for rows ---- */

fr_status fr_tree_bulk_take(struct fr_tree *tree, size_t count, fr_slot *ret_slots)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    for (size_t i = 0; i < count && st == FR_OK; i++)
        st = fr_rows_take(&tree->tiers[0], &ret_slots[i]);
    fr_mutex_unlock(&tree->mu);
    return st;
}

void fr_tree_bulk_fill(struct fr_tree *tree, fr_slot slot, uint64_t id, const float *x)
{
    struct fr_rows *rows = &tree->tiers[0];
    struct fr_row *row = fr_rows_row(rows, slot);

    row->scale = fr_row_encode(x, rows->dims, fr_rows_high(rows, slot), fr_rows_low(rows, slot));
    row->id = id;
    /* Always there. Release, as everywhere: acquire in is_alive. */
    atomic_store_explicit(&row->stamp, 0, memory_order_release);
}

/* ---- Route, and regroup ---- */

static fr_slot nearest_around(const struct fr_bulk *b, const struct fr_probe *probe, const float *x)
{
    const struct fr_rows *rows = &b->centroids->tiers[1];
    fr_slot best = FR_SLOT_NONE;
    float least = INFINITY;

    for (size_t i = 0; i < probe->found_count; i++) {
        fr_slot number = probe->found[i].slot;
        float distance = b->kernels->l2_row8(x, fr_rows_high(rows, number),
                fr_rows_row(rows, number)->scale, b->dims);

        if (distance >= least) continue;
        least = distance;
        best = number;
    }
    FR_ASSERT(best != FR_SLOT_NONE);
    return best;
}

/* Rows of a group, each to the nearest of the centroids around their mean. */
static fr_status route_some(struct fr_bulk_worker *w, size_t from, size_t count)
{
    struct fr_bulk *b = w->bulk;
    fr_status st;

    fr_bulk_decode(b, from, count, w->vectors);
    fr_mean(w->vectors, count, b->dims, w->centroids);
    fr_probe_aim(w->probe, w->centroids);
    FR_TRY(fr_probe_descend(w->probe, 1, AROUND, b->tree->options.insert_width));
    for (size_t n = 0; n < count; n++)
        b->to[from + n] = nearest_around(b, w->probe, w->vectors + n * b->dims);
out:
    return st;
}

/* fr_crew_fn */
static fr_status route(void *ctx, size_t member, size_t piece)
{
    struct fr_bulk *b = ctx;
    const struct fr_group *group = &b->done.items[piece];
    fr_status st = FR_OK;

    for (size_t at = 0; at < group->count; at += ROWS_TOGETHER)
        FR_TRY(route_some(&b->workers[member], group->from + at,
                FR_MIN(group->count - at, (size_t)ROWS_TOGETHER)));
out:
    return st;
}

/* By the centroid that rows go to; one without rows has an empty group. */
static fr_status regroup(struct fr_bulk *b)
{
    const struct fr_rows *rows = &b->centroids->tiers[1];
    size_t k = atomic_load_explicit(&rows->slot_count, memory_order_relaxed), from = 0;
    size_t *starts = fr_alloc_zeroed(k, sizeof(*starts));
    fr_status st = FR_OK;

    if (starts == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the groups of an index");
    for (size_t i = 0; i < b->count; i++)
        starts[b->to[i]]++;
    fr_bulk_sort(b, 0, b->count, starts, k);
    b->done.count = 0;
    for (fr_slot number = 0; number < k && st == FR_OK; number++) {
        struct fr_group group = {.from = from, .count = starts[number] - from, .number = number};

        from += group.count;
        if (fr_row_is_live(fr_rows_row(rows, number))) st = fr_group_list_add(&b->done, group);
    }
    fr_free(starts);
    return st;
}

/* ---- A round ---- */

/* The groups that there are are to be divided. The largest has a centroid in any case. */
static fr_status reopen(struct fr_bulk *b)
{
    size_t largest = 0;
    fr_status st = FR_OK;

    b->open.count = 0;
    for (size_t i = 0; i < b->done.count; i++) {
        largest = FR_MAX(largest, b->done.items[i].count);
        if (b->done.items[i].count > 0) FR_TRY(fr_group_list_add(&b->open, b->done.items[i]));
    }
    b->least = FR_MIN(largest, b->limit * LEAST_EIGHTHS / 8);
    b->done.count = 0;
out:
    return st;
}

static fr_status end_centroids(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    fr_tree_step_locked(tree);
    fr_mutex_unlock(&tree->mu);
    return fr_tree_restore_end(tree);
}

static fr_status new_probes(struct fr_bulk *b)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < fr_crew_size(&b->crew); i++) {
        fr_probe_free(FR_TAKE(b->workers[i].probe));
        FR_TRY(fr_probe_new(b->centroids, &b->workers[i].probe));
    }
out:
    return st;
}

/* From groups to those of the centroids that these have then. */
static fr_status run_round(struct fr_bulk *b)
{
    fr_status st;

    FR_TRY(reopen(b));
    FR_TRY(fr_bulk_divide(b));
    FR_TRY(end_centroids(b->centroids));
    FR_TRY(new_probes(b));
    FR_TRY(fr_crew_run(&b->crew, b->done.count, route, b));
    st = regroup(b);
out:
    return st;
}

/* With centroids that are not those of the tree, but of another without a posting of its own. */
static fr_status run_passing_round(struct fr_bulk *b)
{
    struct fr_tree_options options = b->tree->options;
    fr_status st;

    options.restored = true;
    fr_tree_free(FR_TAKE(b->centroids));
    FR_TRY(fr_tree_new(b->tree->space, &options, &b->centroids));
    st = run_round(b);
out:
    return st;
}

/* The posting that a tree without vectors has. */
static fr_status drop_first(struct fr_tree *tree)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    FR_TRY(fr_tree_reserve_locked(tree, 1));
    fr_tree_kill_locked(tree, 1, 0);
    fr_tree_step_locked(tree);
    fr_tree_bury_locked(tree);
out:
    fr_mutex_unlock(&tree->mu);
    return st;
}

static fr_status run_last_round(struct fr_bulk *b)
{
    fr_status st;

    fr_tree_free(FR_TAKE(b->centroids));
    b->centroids = b->tree;
    FR_TRY(drop_first(b->tree));
    st = run_round(b);
out:
    return st;
}

/* ---- List ---- */

static void list_row(struct fr_tree *tree, struct fr_node *node, fr_slot slot, const float *x,
        const float *centroid)
{
    struct fr_row *row = fr_rows_row(&tree->tiers[0], slot);
    struct fr_node_entry entry = {.slot = slot,
            .scale = row->scale,
            .version = atomic_load_explicit(&row->version, memory_order_relaxed)};

    row->place = fr_node_append(node, entry, x, centroid, tree->space->dims);
    row->node = node->number;
}

/* One that is larger or smaller than it should be is looked at later. */
static void queue(struct fr_tree *tree, struct fr_node *node)
{
    if (node->live <= fr_node_most(&tree->options, 1) &&
            node->live >= fr_node_least(&tree->options, 1))
        return;
    fr_mutex_lock(&tree->mu);
    fr_tree_queue_locked(tree, 1, node);
    fr_mutex_unlock(&tree->mu);
}

/* fr_crew_fn */
static fr_status list(void *ctx, size_t member, size_t piece)
{
    struct fr_bulk *b = ctx;
    struct fr_bulk_worker *w = &b->workers[member];
    const struct fr_group *group = &b->done.items[piece];
    struct fr_tree *tree = b->tree;
    size_t end = group->from + group->count;
    struct fr_node *node;
    fr_status st;

    FR_TRY(fr_node_new(&tree->pool, b->dims, group->number,
            fr_tree_room_for(tree, 1, group->count) + FR_BLOCK_VECTORS / 2, &node));
    fr_rows_decode(&tree->tiers[1], group->number, w->centroids);
    for (size_t at = group->from; at < end; at++) {
        fr_bulk_fetch(b, at, end);
        fr_bulk_decode(b, at, 1, w->vectors);
        list_row(tree, node, b->slots[at], w->vectors, w->centroids);
    }
    /* Release: it is complete. Acquire in fr_tree_node. */
    atomic_store_explicit(fr_rows_node(&tree->tiers[1], group->number), node, memory_order_release);
    queue(tree, node);
out:
    return st;
}

/* Rows that are to be listed twice are so later. */
static void want_copies(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    fr_tree_note_untidy_locked(tree, 0, tree->tiers[0].live_count);
    fr_mutex_unlock(&tree->mu);
}

/* ---- All of it ---- */

static fr_status init_worker(struct fr_bulk_worker *w, struct fr_bulk *b)
{
    size_t vector = b->dims * sizeof(float);

    w->bulk = b;
    w->vectors = fr_alloc_aligned(FR_BULK_SAMPLE_MOST * vector, 64);
    w->scratch = fr_alloc(FR_BULK_SAMPLE_MOST * sizeof(float));
    w->groups = fr_alloc(FR_BULK_SAMPLE_MOST * sizeof(*w->groups));
    w->centroids = fr_alloc_aligned(FR_BULK_GROUPS_MOST * vector, 64);
    if (w->vectors != NULL && w->scratch != NULL && w->groups != NULL && w->centroids != NULL)
        return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory to build an index");
}

static fr_status init_bulk(struct fr_bulk *b)
{
    struct fr_group all = {.count = b->count, .number = FR_SLOT_NONE};
    fr_status st = FR_OK;

    b->dims = b->tree->space->dims;
    b->kernels = b->tree->space->kernels;
    b->limit = b->tree->options.split_limit;
    b->slots = fr_alloc(b->count * sizeof(*b->slots));
    b->spare = fr_alloc(b->count * sizeof(*b->spare));
    b->to = fr_alloc(b->count * sizeof(*b->to));
    if (b->slots == NULL || b->spare == NULL || b->to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to build an index of %zu vectors", b->count);
    for (size_t i = 0; i < b->count; i++)
        b->slots[i] = (fr_slot)i;
    for (size_t i = 0; i < fr_crew_size(&b->crew) && st == FR_OK; i++)
        st = init_worker(&b->workers[i], b);
    return st < 0 ? st : fr_group_list_add(&b->done, all);
}

static void deinit_bulk(struct fr_bulk *b)
{
    for (size_t i = 0; i < FR_CREW_MAX; i++) {
        fr_probe_free(b->workers[i].probe);
        fr_free(b->workers[i].vectors);
        fr_free(b->workers[i].scratch);
        fr_free(b->workers[i].groups);
        fr_free(b->workers[i].centroids);
    }
    if (b->centroids != b->tree) fr_tree_free(b->centroids);
    fr_free(b->slots);
    fr_free(b->spare);
    fr_free(b->to);
    fr_free(b->open.items);
    fr_free(b->done.items);
    fr_cond_deinit(&b->work);
    fr_mutex_deinit(&b->mu);
}

fr_status fr_tree_bulk_end(struct fr_tree *tree, size_t threads, const _Atomic(bool) *stop)
{
    struct fr_bulk b = {.tree = tree,
            .crew = {.name = "fr-build", .threads = threads, .stop = stop},
            .count = tree->tiers[0].live_count};
    size_t left;
    fr_status st;

    if (b.count == 0) return FR_OK;
    FR_ASSERT(b.count == tree->tiers[0].slot_count);
    fr_mutex_init(&b.mu, FR_RANK_LEAF);
    fr_cond_init(&b.work);
    FR_TRY(init_bulk(&b));
    for (int i = 1; i < ROUNDS; i++)
        FR_TRY(run_passing_round(&b));
    FR_TRY(run_last_round(&b));
    FR_TRY(fr_crew_run(&b.crew, b.done.count, list, &b));
    want_copies(tree);
    st = fr_tree_maintain(tree, SIZE_MAX, &left);
out:
    deinit_bulk(&b);
    return st;
}
