/*
 * tree_divide.c - groups of rows that are divided until each is a posting's.
 *
 * Open groups are on a stack; threads take one each, and open what they have divided it into. A
 * large one is divided by what k-means makes of a sample, one that is hardly more than a posting by
 * all of its rows.
 */
#include <math.h>

#include "base/alloc.h"
#include "base/status.h"
#include "spfresh/kmeans.h"
#include "spfresh/tree_bulk_priv.h"
#include "spfresh/tree_priv.h"

/* How full a posting is meant to be, in parts of eight. */
#define FILL_EIGHTHS 7

/* Rows that are fetched ahead, and so much of each: the rest comes by itself. */
#define FETCH_AHEAD 8
#define FETCH_MOST  256

fr_status fr_group_list_add(struct fr_group_list *list, struct fr_group group)
{
    if (list->count == list->capacity) {
        size_t capacity = FR_MAX((size_t)64, 2 * list->capacity);
        struct fr_group *grown = fr_realloc(list->items, capacity * sizeof(*grown));

        if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the groups of an index");
        list->items = grown;
        list->capacity = capacity;
    }
    list->items[list->count++] = group;
    return FR_OK;
}

void fr_bulk_fetch(const struct fr_bulk *bulk, size_t at, size_t end)
{
    const struct fr_rows *rows = &bulk->tree->tiers[0];

    if (at + FETCH_AHEAD >= end) return;
    fr_slot slot = bulk->slots[at + FETCH_AHEAD];
    const int8_t *high = fr_rows_high(rows, slot);
    const uint8_t *low = fr_rows_low(rows, slot);
    __builtin_prefetch(fr_rows_row(rows, slot));
    for (size_t i = 0; i < bulk->dims && i < FETCH_MOST; i += 64)
        __builtin_prefetch(high + i);
    for (size_t i = 0; i < fr_row_low_size(bulk->dims) && i < FETCH_MOST / 2; i += 64)
        __builtin_prefetch(low + i);
}

void fr_bulk_decode(const struct fr_bulk *bulk, size_t from, size_t count, float *ret_vectors)
{
    for (size_t i = 0; i < count; i++) {
        fr_bulk_fetch(bulk, from + i, from + count);
        fr_rows_decode(&bulk->tree->tiers[0], bulk->slots[from + i], ret_vectors + i * bulk->dims);
    }
}

void fr_bulk_sort(struct fr_bulk *bulk, size_t from, size_t count, size_t *starts, size_t k)
{
    size_t at = from;

    for (size_t i = 0; i < k; i++) {
        size_t size = starts[i];

        starts[i] = at;
        at += size;
    }
    for (size_t i = from; i < from + count; i++)
        bulk->spare[starts[bulk->to[i]]++] = bulk->slots[i];
    memcpy(bulk->slots + from, bulk->spare + from, count * sizeof(bulk->slots[0]));
}

/* ---- Open groups ---- */

static fr_status open_group(struct fr_bulk *b, size_t from, size_t count)
{
    fr_mutex_lock(&b->mu);
    fr_status st = fr_group_list_add(&b->open,
            (struct fr_group){.from = from, .count = count, .number = FR_SLOT_NONE});
    fr_cond_signal(&b->work);
    fr_mutex_unlock(&b->mu);
    return st;
}

/* false: there is none, and none will come. */
static bool take_group(struct fr_bulk *b, struct fr_group *ret_group)
{
    fr_mutex_lock(&b->mu);
    while (b->open.count == 0 && b->busy > 0)
        fr_cond_wait(&b->work, &b->mu);
    bool any = b->open.count > 0;
    if (any) {
        *ret_group = b->open.items[--b->open.count];
        b->busy++;
    }
    fr_mutex_unlock(&b->mu);
    return any;
}

static void leave_group(struct fr_bulk *b)
{
    fr_mutex_lock(&b->mu);
    if (--b->busy == 0) fr_cond_broadcast(&b->work);
    fr_mutex_unlock(&b->mu);
}

/* ---- A group that is not divided ---- */

static void find_mean(const struct fr_bulk_worker *w, const struct fr_group *group, float *ret_mean)
{
    const struct fr_bulk *b = w->bulk;
    size_t end = group->from + group->count;

    memset(ret_mean, 0, b->dims * sizeof(float));
    for (size_t at = group->from; at < end; at++) {
        fr_bulk_fetch(b, at, end);
        fr_bulk_decode(b, at, 1, w->vectors);
        for (size_t i = 0; i < b->dims; i++)
            ret_mean[i] += w->vectors[i];
    }
    for (size_t i = 0; i < b->dims; i++)
        ret_mean[i] /= (float)group->count;
}

static fr_status add_centroid(struct fr_bulk_worker *w, struct fr_group *group)
{
    struct fr_tree *tree = w->bulk->centroids;

    find_mean(w, group, w->centroids);
    fr_mutex_lock(&tree->mu);
    fr_status st = fr_tree_take_row_locked(tree, 1, w->centroids, &group->number);
    fr_mutex_unlock(&tree->mu);
    return st;
}

/* The rows of a small one go elsewhere. */
static fr_status end_group(struct fr_bulk_worker *w, struct fr_group group)
{
    struct fr_bulk *b = w->bulk;
    fr_status st = FR_OK;

    if (group.count >= b->least) FR_TRY(add_centroid(w, &group));
    fr_mutex_lock(&b->mu);
    st = fr_group_list_add(&b->done, group);
    fr_mutex_unlock(&b->mu);
out:
    return st;
}

/* ---- One that is ---- */

/* Evenly from all of it. */
static size_t draw_sample(const struct fr_bulk_worker *w, const struct fr_group *group)
{
    const struct fr_bulk *b = w->bulk;
    size_t count = FR_MIN(group->count, (size_t)FR_BULK_SAMPLE_MOST);

    for (size_t i = 0; i < count; i++)
        fr_bulk_decode(b, group->from + i * group->count / count, 1, w->vectors + i * b->dims);
    return count;
}

static uint32_t nearest_centroid(const struct fr_bulk_worker *w, fr_slot slot, size_t k)
{
    const struct fr_bulk *b = w->bulk;
    const struct fr_rows *rows = &b->tree->tiers[0];
    const int8_t *high = fr_rows_high(rows, slot);
    float scale = fr_rows_row(rows, slot)->scale, least = INFINITY;
    uint32_t best = 0;

    for (uint32_t i = 0; i < k; i++) {
        float distance = b->kernels->l2_row8(w->centroids + i * b->dims, high, scale, b->dims);

        if (distance >= least) continue;
        least = distance;
        best = i;
    }
    return best;
}

/* Which of the k each row goes to; k-means has said it if it saw them all. */
static void assign(const struct fr_bulk_worker *w, const struct fr_group *group, size_t k,
        size_t sample)
{
    const struct fr_bulk *b = w->bulk;
    size_t end = group->from + group->count;

    if (sample == group->count) {
        memcpy(b->to + group->from, w->groups, sample * sizeof(b->to[0]));
        return;
    }
    for (size_t at = group->from; at < end; at++) {
        fr_bulk_fetch(b, at, end);
        b->to[at] = nearest_centroid(w, b->slots[at], k);
    }
}

/* FR_END: all would be in one. */
static fr_status open_parts(struct fr_bulk *b, const struct fr_group *group, size_t k)
{
    size_t counts[FR_BULK_GROUPS_MOST] = {0}, starts[FR_BULK_GROUPS_MOST], from = group->from;
    fr_status st = FR_OK;

    for (size_t i = group->from; i < group->from + group->count; i++)
        counts[b->to[i]]++;
    for (size_t i = 0; i < k; i++)
        if (counts[i] == group->count) return FR_END;
    memcpy(starts, counts, sizeof(starts));
    fr_bulk_sort(b, group->from, group->count, starts, k);
    for (size_t i = 0; i < k; i++) {
        if (counts[i] > 0) FR_TRY(open_group(b, from, counts[i]));
        from += counts[i];
    }
out:
    return st;
}

static fr_status divide(struct fr_bulk_worker *w, const struct fr_group *group)
{
    struct fr_bulk *b = w->bulk;
    size_t k = FR_MAX(group->count * 8 / (b->limit * FILL_EIGHTHS), (size_t)2);
    fr_status st;

    if (group->count <= b->limit) return end_group(w, *group);
    k = FR_MIN(k, (size_t)FR_BULK_GROUPS_MOST);
    size_t sample = draw_sample(w, group);
    k = fr_kmeans(b->kernels, w->vectors, sample, b->dims, k, group->from, w->scratch, w->centroids,
            w->groups);
    assign(w, group, k, sample);
    FR_TRY(open_parts(b, group, k));
    if (st == FR_END) st = end_group(w, *group);
out:
    return st;
}

/* fr_crew_fn */
static fr_status divide_next(void *ctx, size_t member, size_t piece)
{
    struct fr_bulk *b = ctx;
    struct fr_group group;

    (void)piece;
    if (!take_group(b, &group)) return FR_END;
    fr_status st = divide(&b->workers[member], &group);
    leave_group(b);
    return st;
}

fr_status fr_bulk_divide(struct fr_bulk *bulk)
{
    return fr_crew_run(&bulk->crew, SIZE_MAX, divide_next, bulk);
}
