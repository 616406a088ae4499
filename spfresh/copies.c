#include "spfresh/copies.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/status.h"
#include "spfresh/probe.h"
#include "spfresh/tree_priv.h"

/* Centroids around a posting's own among which each of its rows finds the one for its copy. */
#define CANDIDATES 256

/* A row, and the copy that it might have. */
struct plan {
    float cost; /* as a part of what its own centroid leaves of it */
    fr_slot slot, number;
};

struct fr_copier {
    size_t dims;
    float *own, *x, *rest; /* the posting's centroid; a row; what is left of it */
    float *candidates;
    fr_slot numbers[CANDIDATES];
    float apart[CANDIDATES]; /* from the posting's own, nearest first */
    size_t count;
    struct plan *plans;
    size_t plan_count, plan_capacity;
};

fr_status fr_copier_new(const struct fr_space *space, struct fr_copier **ret_copier)
{
    struct fr_copier *c = FR_NEW(struct fr_copier);
    size_t bytes = space->dims * sizeof(float);

    if (c != NULL) {
        c->dims = space->dims;
        c->own = fr_alloc((3 + CANDIDATES) * bytes);
    }
    if (c == NULL || c->own == NULL) {
        fr_copier_free(c);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to maintain an index");
    }
    c->x = c->own + space->dims;
    c->rest = c->x + space->dims;
    c->candidates = c->rest + space->dims;
    *ret_copier = c;
    return FR_OK;
}

void fr_copier_free(struct fr_copier *c)
{
    if (c == NULL) return;
    fr_free(c->own);
    fr_free(c->plans);
    fr_free(c);
}

/* ---- What there is ---- */

/* Whether it is a copy of a row that lives, wherever that is listed. */
static bool leads_to_row(const struct fr_rows *rows, const struct fr_node_entry *entry)
{
    if (!fr_entry_is_copy(entry)) return false;
    const struct fr_row *row = fr_rows_row(rows, entry->slot);
    return atomic_load_explicit(&row->version, memory_order_relaxed) == fr_entry_version(entry) &&
           fr_row_is_live(row);
}

bool fr_copy_is_good(const struct fr_rows *rows, const struct fr_node *node, uint32_t place)
{
    const struct fr_node_entry *entry = &node->entries[place];

    return leads_to_row(rows, entry) && fr_rows_row(rows, entry->slot)->node != node->number;
}

uint32_t fr_copies_count(const struct fr_rows *rows, const struct fr_node *node)
{
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed), good = 0;

    for (uint32_t place = 0; place < count; place++)
        good += fr_copy_is_good(rows, node, place);
    return good;
}

uint32_t fr_copies_there(const struct fr_rows *rows, const struct fr_node *node)
{
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed), there = 0;

    for (uint32_t place = 0; place < count; place++)
        there += leads_to_row(rows, &node->entries[place]);
    return there;
}

void fr_copies_forget_locked(struct fr_tree *tree, struct fr_row *row)
{
    fr_row_set_copied(row, false);
    tree->copies--;
}

void fr_copies_drop_locked(struct fr_tree *tree, const struct fr_node *node)
{
    const struct fr_rows *rows = &tree->tiers[0];
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);

    for (uint32_t place = 0; place < count && node->copies > 0; place++) {
        if (!leads_to_row(rows, &node->entries[place])) continue;
        fr_copies_forget_locked(tree, fr_rows_row(rows, node->entries[place].slot));
        fr_tree_note_untidy_locked(tree, 0, 1); /* it waits for another one */
    }
}

/* ---- What there should be ---- */

static fr_status find_candidates(struct fr_tree *tree, fr_slot number) FR_REQUIRES(tree->mu)
{
    struct fr_copier *c = tree->copier;
    const struct fr_rows *centroids = &tree->tiers[1];
    struct fr_probe *probe = tree->probe;
    fr_status st;

    fr_rows_decode(centroids, number, c->own);
    fr_tree_aim_locked(tree, c->own);
    FR_TRY(fr_probe_descend(probe, 1, CANDIDATES + 1, 2 * tree->options.insert_width));
    c->count = 0;
    for (size_t i = 0; i < probe->found_count && c->count < CANDIDATES; i++) {
        if (probe->found[i].slot == number) continue;
        fr_rows_decode(centroids, probe->found[i].slot, c->candidates + c->count * c->dims);
        c->apart[c->count] = sqrtf(probe->found[i].distance);
        c->numbers[c->count++] = probe->found[i].slot;
    }
out:
    return st;
}

/* false: the row lies where its centroid does, and no search misses it that should not. */
static bool plan_copy(struct fr_copier *c, const struct fr_kernels *kernels, struct plan *plan)
{
    size_t dims = c->dims;

    for (size_t i = 0; i < dims; i++)
        c->rest[i] = c->x[i] - c->own[i];
    float square = kernels->dot(c->rest, c->rest, dims), along = kernels->dot(c->x, c->rest, dims);
    if (!(square > 0)) return false;
    float length = sqrtf(square), least = INFINITY;
    /* What is farther from the row's own centroid than both of these cannot be it. */
    for (size_t i = 0; i < c->count && c->apart[i] < length + sqrtf(least); i++) {
        const float *candidate = c->candidates + i * dims;
        float cost = kernels->l2(c->x, candidate, dims);

        if (!(cost < least)) continue;
        float part = along - kernels->dot(candidate, c->rest, dims);
        cost += part * part / square;
        if (!(cost < least)) continue;
        least = cost;
        plan->number = c->numbers[i];
    }
    plan->cost = least / square;
    return plan->cost < INFINITY;
}

static fr_status reserve_plans(struct fr_copier *c, size_t count)
{
    if (count <= c->plan_capacity) return FR_OK;
    struct plan *grown = fr_realloc(c->plans, count * sizeof(*grown));
    if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to maintain an index");
    c->plans = grown;
    c->plan_capacity = count;
    return FR_OK;
}

/* For all of the posting's own rows that have none. */
static fr_status plan_copies(struct fr_tree *tree, const struct fr_node *node) FR_REQUIRES(tree->mu)
{
    struct fr_copier *c = tree->copier;
    const struct fr_rows *rows = &tree->tiers[0];
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    fr_status st;

    FR_TRY(reserve_plans(c, count));
    FR_TRY(find_candidates(tree, node->number));
    c->plan_count = 0;
    for (uint32_t place = 0; place < count; place++) {
        struct plan plan = {.slot = node->entries[place].slot};

        if (!fr_entry_is_own(rows, node, place) || fr_row_is_copied(fr_rows_row(rows, plan.slot)))
            continue;
        FR_TRY(fr_rows_read_vector(rows, plan.slot, &tree->room, c->x));
        if (plan_copy(c, tree->space->kernels, &plan)) c->plans[c->plan_count++] = plan;
    }
out:
    return st;
}

static int compare_plans(const void *a, const void *b)
{
    const struct plan *x = a, *y = b;

    if (x->cost != y->cost) return x->cost < y->cost ? -1 : 1;
    return x->slot < y->slot ? -1 : 1;
}

static fr_status carry_out(struct fr_tree *tree, const struct plan *plan) FR_REQUIRES(tree->mu)
{
    struct fr_copier *c = tree->copier;
    const struct fr_rows *rows = &tree->tiers[0];
    struct fr_row *row = fr_rows_row(rows, plan->slot);
    struct fr_node_entry entry = {.slot = plan->slot,
            .scale = row->scale,
            .version = atomic_load_explicit(&row->version, memory_order_relaxed)};
    struct fr_node *node;
    fr_status st;

    FR_TRY(fr_tree_node_with_room_locked(tree, 1, plan->number, &node));
    FR_TRY(fr_rows_read_vector(rows, plan->slot, &tree->room, c->x));
    fr_rows_decode(&tree->tiers[1], plan->number, c->own);
    fr_node_append_copy(node, entry, c->x, c->own, c->dims);
    fr_row_set_copied(row, true);
    tree->copies++;
out:
    return st;
}

/* Of the posting's own rows so many are to have a copy, and have none. */
static size_t count_lacking(const struct fr_tree *tree, const struct fr_node *node)
        FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[0];
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    size_t have = 0, want = (size_t)node->live * tree->options.copies / 100;

    for (uint32_t place = 0; place < count && want > 0; place++)
        have += fr_entry_is_own(rows, node, place) &&
                fr_row_is_copied(fr_rows_row(rows, node->entries[place].slot));
    return want > have ? want - have : 0;
}

fr_status fr_copies_add_locked(struct fr_tree *tree, const struct fr_node *node)
{
    struct fr_copier *c = tree->copier;
    size_t lacking = count_lacking(tree, node);
    fr_status st;

    if (lacking == 0 || tree->tiers[1].live_count < 2) return FR_OK;
    FR_TRY(plan_copies(tree, node));
    qsort(c->plans, c->plan_count, sizeof(c->plans[0]), compare_plans);
    for (size_t i = 0; i < c->plan_count && i < lacking; i++)
        FR_TRY(carry_out(tree, &c->plans[i]));
out:
    return st;
}
