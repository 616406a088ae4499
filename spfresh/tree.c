#include "spfresh/tree.h"

#include <math.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "spfresh/copies.h"
#include "spfresh/kmeans.h"
#include "spfresh/probe.h"
#include "spfresh/reshape.h"
#include "spfresh/tree_priv.h"

/* See docs/index.md for how these were found. */
static const struct fr_tree_options defaults = {.split_limit = 96,
        .merge_limit = 16,
        .inner_limit = 192,
        .neighbours = 64,
        .insert_width = 8,
        .copies = 50};

/* More centroids than this in the last tier get one above. */
#define LAST_TIER_MAX 256

/* A node is made with room for some more, and grows by some. */
#define ROOM_MIN FR_BLOCK_VECTORS

/* All postings are tidied for so many entries that were left behind, and this part of all rows. */
#define UNTIDY_MIN  32
#define UNTIDY_PART 32

/* And for so many rows that may be without a copy: to look for these costs more. */
#define UNCOPIED_PART 8

struct fr_tree_options fr_tree_options_default(void)
{
    return defaults;
}

static void set_options(struct fr_tree_options *to, const struct fr_tree_options *from)
{
    *to = defaults;
    if (from == NULL) return;
    if (from->split_limit > 0) to->split_limit = from->split_limit;
    if (from->merge_limit > 0) to->merge_limit = from->merge_limit;
    if (from->inner_limit > 0) to->inner_limit = from->inner_limit;
    if (from->neighbours > 0) to->neighbours = from->neighbours;
    if (from->insert_width > 0) to->insert_width = from->insert_width;
    if (from->copies > 0) to->copies = from->copies == FR_COPIES_NONE ? 0 : from->copies;
    to->chunk_bits = from->chunk_bits;
    to->charge = from->charge;
    to->restored = from->restored;
}

static fr_status init_tiers(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    float *origin = fr_alloc_zeroed(tree->space->dims, sizeof(float));
    fr_slot slot;
    fr_status st;

    if (origin == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an index");
    FR_TRY(fr_rows_init(&tree->tiers[0], tree->space->dims, false, tree->options.chunk_bits,
            tree->options.charge));
    FR_TRY(fr_rows_init(&tree->tiers[1], tree->space->dims, true, 0, tree->options.charge));
    if (!tree->options.restored)
        FR_TRY(fr_tree_add_centroid_locked(tree, 1, origin, ROOM_MIN, &slot));
    atomic_store_explicit(&tree->tier_count, 2, memory_order_release);
out:
    fr_free(origin);
    return st;
}

fr_status fr_tree_new(const struct fr_space *space, const struct fr_tree_options *options,
        struct fr_tree **ret_tree)
{
    struct fr_tree *tree = fr_alloc_aligned(sizeof(*tree), 64);
    fr_status st;

    if (tree == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an index");
    memset(tree, 0, sizeof(*tree));
    tree->space = space;
    set_options(&tree->options, options);
    fr_epoch_init(&tree->epoch);
    fr_mutex_init(&tree->mu, FR_RANK_SPFRESH_TREE);
    fr_node_pool_init(&tree->pool, tree->options.charge);
    fr_node_pool_init(&tree->pieces, tree->options.charge);
    tree->pieces.is_loose = true;
    FR_TRY(fr_probe_new(tree, &tree->probe));
    FR_TRY(fr_reshape_new(space, &tree->reshape));
    FR_TRY(fr_copier_new(space, &tree->copier));
    tree->vector = fr_alloc(space->dims * sizeof(float));
    tree->centroid = fr_alloc(space->dims * sizeof(float));
    tree->high = fr_alloc(space->dims);
    tree->low = fr_alloc(fr_row_low_size(space->dims));
    FR_TRY(fr_code_room_init(&tree->room, space->dims));
    if (tree->vector == NULL || tree->centroid == NULL || tree->high == NULL || tree->low == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "no memory for an index");
        goto out;
    }
    fr_mutex_lock(&tree->mu);
    st = init_tiers(tree);
    fr_mutex_unlock(&tree->mu);
    FR_TRY(st);
    *ret_tree = FR_TAKE(tree);
out:
    fr_tree_free(tree);
    return st;
}

static void free_nodes(const struct fr_rows *rows)
{
    fr_slot count = rows->chunks == NULL ? 0 : atomic_load(&rows->slot_count);

    for (fr_slot slot = 0; rows->are_centroids && slot < count; slot++)
        fr_node_free(atomic_load(fr_rows_node(rows, slot)));
}

void fr_tree_free(struct fr_tree *tree)
{
    if (tree == NULL) return;
    fr_epoch_deinit(&tree->epoch);
    for (uint32_t tier = 0; tier < FR_TIERS_MAX; tier++) {
        free_nodes(&tree->tiers[tier]);
        fr_rows_deinit(&tree->tiers[tier]);
    }
    fr_probe_free(tree->probe);
    fr_reshape_free(tree->reshape);
    fr_copier_free(tree->copier);
    fr_free(tree->vector);
    fr_free(tree->centroid);
    fr_free(tree->high);
    fr_free(tree->low);
    fr_code_room_deinit(&tree->room);
    fr_free(tree->tasks);
    fr_free(tree->corpses);
    fr_free(tree->changes.items);
    fr_node_pool_deinit(&tree->pool);
    fr_node_pool_deinit(&tree->pieces);
    fr_mutex_deinit(&tree->mu);
    fr_free(tree);
}

fr_status fr_tree_take_row_locked(struct fr_tree *tree, uint32_t tier, const float *x,
        fr_slot *ret_slot)
{
    struct fr_rows *rows = &tree->tiers[tier];
    fr_slot slot;
    fr_status st;

    FR_TRY(fr_rows_take(rows, &slot));
    struct fr_row *row = fr_rows_row(rows, slot);
    int8_t *high = fr_rows_high(rows, slot);
    uint8_t *low = fr_rows_low(rows, slot);
    row->scale = tier == 0 ? fr_row_encode(x, rows->dims, high, low)
                           : fr_row_encode_coarse(x, rows->dims, high, low);
    /* Born with the next step, which is the one that this is part of. Acquire in is_alive. */
    atomic_store_explicit(&row->stamp, atomic_load_explicit(&tree->clock, memory_order_relaxed) + 1,
            memory_order_release);
    *ret_slot = slot;
out:
    return st;
}

static void free_item(struct fr_epoch_item *item)
{
    fr_node_free(FR_CONTAINER_OF(item, struct fr_node, item));
}

void fr_tree_replace_node_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *old,
        struct fr_node *node)
{
    atomic_store_explicit(fr_rows_node(&tree->tiers[tier], old->number), node,
            memory_order_release);
    fr_epoch_retire(&tree->epoch, &old->item, free_item);
}

/* A copy with more room takes the node's place. */
static fr_status grow(struct fr_tree *tree, uint32_t tier, struct fr_node **node)
        FR_REQUIRES(tree->mu)
{
    struct fr_node *old = *node, *grown;
    size_t room = FR_MAX((size_t)old->capacity / 8, (size_t)ROOM_MIN);
    fr_status st;

    FR_TRY(fr_node_new(&tree->pool, tree->space->dims, old->number, old->capacity + room, &grown));
    fr_node_copy(grown, old);
    fr_tree_replace_node_locked(tree, tier, old, grown);
    *node = grown;
out:
    return st;
}

fr_status fr_tree_node_with_room_locked(struct fr_tree *tree, uint32_t tier, fr_slot number,
        struct fr_node **ret_node)
{
    struct fr_node *node = fr_tree_node(tree, tier, number);
    fr_status st = FR_OK;

    FR_ASSERT(node != NULL);
    if (fr_node_is_full(node)) FR_TRY(grow(tree, tier, &node));
    *ret_node = node;
out:
    return st;
}

/*
 * For one more row of its own. The room for copies grows with their number, long before there are
 * any: else all postings would grow at once when they come, and leave memory of other sizes behind.
 */
static fr_status make_room(struct fr_tree *tree, uint32_t tier, fr_slot number,
        struct fr_node **ret_node) FR_REQUIRES(tree->mu)
{
    struct fr_node *node = fr_tree_node(tree, tier, number);
    size_t room = fr_tree_room_for(tree, tier, (size_t)fr_node_listed(node) + 1);
    fr_status st;

    if (node->capacity < room) FR_TRY(grow(tree, tier, &node));
    st = fr_tree_node_with_room_locked(tree, tier, number, ret_node);
out:
    return st;
}

static void note(struct fr_tree *tree, struct fr_change change) FR_REQUIRES(tree->mu)
{
    struct fr_changes *changes = &tree->changes;

    if (!changes->on) return;
    if (changes->count == changes->capacity) {
        size_t capacity = changes->capacity == 0 ? 256 : 2 * changes->capacity;
        struct fr_change *grown = fr_realloc(changes->items, capacity * sizeof(*grown));

        changes->lost |= grown == NULL;
        if (grown == NULL) return;
        changes->items = grown;
        changes->capacity = capacity;
    }
    changes->items[changes->count++] = change;
}

/* Of a row that is a vector; centroids' postings are nobody's concern. */
static void note_row(struct fr_tree *tree, enum fr_change_kind kind, uint32_t tier, fr_slot number,
        fr_slot slot) FR_REQUIRES(tree->mu)
{
    if (tier > 0 || !tree->changes.on) return;
    note(tree, (struct fr_change){.kind = kind,
                       .number = number,
                       .slot = slot,
                       .id = fr_rows_row(&tree->tiers[0], slot)->id});
}

void fr_tree_note_posting_locked(struct fr_tree *tree, enum fr_change_kind kind, uint32_t tier,
        fr_slot number)
{
    if (tier == 1) note(tree, (struct fr_change){.kind = kind, .number = number});
}

fr_status fr_tree_list_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot, const float *x,
        fr_slot number)
{
    struct fr_row *row = fr_rows_row(&tree->tiers[tier], slot);
    float *centroid = tree->centroid;
    struct fr_node *node;
    fr_status st;

    FR_TRY(make_room(tree, tier + 1, number, &node));
    fr_rows_decode(&tree->tiers[tier + 1], number, centroid);
    struct fr_node_entry entry = {.slot = slot,
            .scale = row->scale,
            .version = atomic_load_explicit(&row->version, memory_order_relaxed)};
    fr_slot before = row->node;
    if (before != FR_SLOT_NONE) {
        fr_tree_unlist_locked(tree, tier, row);
        note_row(tree, FR_CHANGE_LEFT, tier, before, slot);
        note_row(tree, FR_CHANGE_CAME, tier, number, slot);
    }
    fr_row_set_place(row, fr_node_append(node, entry, x, centroid, tree->space->dims));
    row->node = number;
    uint32_t limit = fr_node_most(&tree->options, tier + 1);
    if (fr_node_listed(node) > FR_MAX(limit, node->split_after))
        fr_tree_queue_locked(tree, tier + 1, node);
out:
    return st;
}

void fr_tree_aim_locked(struct fr_tree *tree, const float *x)
{
    fr_probe_aim(tree->probe, x);
    tree->probe->clock =
            UINT64_MAX >> 1; /* all that is not dead, though its step is not complete */
}

fr_status fr_tree_nearest_locked(struct fr_tree *tree, uint32_t tier, const float *x,
        fr_slot except, fr_slot *ret_number)
{
    struct fr_probe *probe = tree->probe;
    fr_status st;

    fr_tree_aim_locked(tree, x);
    FR_TRY(fr_probe_descend(probe, tier, 4, tree->options.insert_width));
    size_t which = 0;
    while (which < probe->found_count && probe->found[which].slot == except)
        which++;
    FR_ASSERT(which < probe->found_count);
    *ret_number = probe->found[which].slot;
out:
    return st;
}

fr_status fr_tree_place_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot, const float *x)
{
    fr_slot number;
    fr_status st;

    FR_TRY(fr_tree_nearest_locked(tree, tier + 1, x, FR_SLOT_NONE, &number));
    FR_TRY(fr_tree_list_locked(tree, tier, slot, x, number));
out:
    return st;
}

fr_status fr_tree_add_centroid_locked(struct fr_tree *tree, uint32_t tier, const float *x,
        size_t room, fr_slot *ret_number)
{
    struct fr_rows *rows = &tree->tiers[tier];
    uint32_t tier_count = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);
    struct fr_node *node = NULL;
    fr_slot number;
    fr_status st;

    FR_TRY(fr_tree_take_row_locked(tree, tier, x, &number));
    st = fr_node_new(&tree->pool, tree->space->dims, number, room, &node);
    if (st == FR_OK && tier + 1 < tier_count) st = fr_tree_place_locked(tree, tier, number, x);
    if (st < 0) {
        fr_node_free(node);
        fr_rows_give(rows, number);
        return st;
    }
    atomic_store_explicit(fr_rows_node(rows, number), node, memory_order_release);
    fr_tree_note_posting_locked(tree, FR_CHANGE_WRITTEN, tier, number);
    *ret_number = number;
out:
    return st;
}

static bool is_worth_tidying(const struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    size_t count = tree->tiers[0].live_count;

    return tree->left_behind > UNTIDY_MIN + count / UNTIDY_PART ||
           tree->uncopied > UNTIDY_MIN + count / UNCOPIED_PART;
}

void fr_tree_note_untidy_locked(struct fr_tree *tree, size_t left_behind, size_t uncopied)
{
    tree->left_behind += left_behind;
    if (tree->options.copies > 0) tree->uncopied += uncopied;
    if (is_worth_tidying(tree)) atomic_store_explicit(&tree->is_untidy, true, memory_order_relaxed);
}

void fr_tree_unlist_locked(struct fr_tree *tree, uint32_t tier, const struct fr_row *row)
{
    struct fr_node *node = fr_tree_node(tree, tier + 1, row->node);

    FR_ASSERT(node != NULL);
    FR_ASSERT(node->live > 0);
    node->live--;
    uint32_t least = fr_node_least(&tree->options, tier + 1);
    if ((node->live < least && node->live < node->dissolve_below) ||
            fr_node_listed(node) > node->live + node->live / 8 + 2)
        fr_tree_queue_locked(tree, tier + 1, node);
    /* Which stays where it is, since its posting is not worth a task. */
    if (!node->is_queued) fr_tree_note_untidy_locked(tree, 1, 0);
}

fr_status fr_tree_reserve_locked(struct fr_tree *tree, size_t count)
{
    size_t needed = tree->corpse_count + tree->corpses_promised + count;

    if (needed <= tree->corpse_capacity) return FR_OK;
    size_t capacity = FR_MAX(needed, 2 * tree->corpse_capacity);
    struct fr_corpse *grown = fr_realloc(tree->corpses, capacity * sizeof(*grown));
    if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for what dies in an index");
    tree->corpses = grown;
    tree->corpse_capacity = capacity;
    return FR_OK;
}

void fr_tree_queue_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
{
    const struct fr_row *row = fr_rows_row(&tree->tiers[tier], node->number);

    if (node->is_queued) return;
    if (tree->task_count == tree->task_capacity) {
        size_t capacity = tree->task_capacity == 0 ? 64 : 2 * tree->task_capacity;
        struct fr_task *grown = fr_realloc(tree->tasks, capacity * sizeof(*grown));

        if (grown == NULL) return;
        tree->tasks = grown;
        tree->task_capacity = capacity;
    }
    node->is_queued = true;
    tree->tasks[tree->task_count++] = (struct fr_task){.tier = tier,
            .number = node->number,
            .version = atomic_load_explicit(&row->version, memory_order_relaxed)};
}

/* Let a row die in the step that is under way. Room for a corpse was reserved. */
void fr_tree_kill_locked(struct fr_tree *tree, uint32_t tier, fr_slot slot)
{
    struct fr_row *row = fr_rows_row(&tree->tiers[tier], slot);
    uint64_t step = atomic_load_explicit(&tree->clock, memory_order_relaxed) + 1;

    FR_ASSERT(tree->corpse_count < tree->corpse_capacity);
    tree->corpses[tree->corpse_count++] = (struct fr_corpse){
            .tier = tier, .slot = slot, .node = row->node, .place = fr_row_place(row)};
    if (row->node != FR_SLOT_NONE) fr_tree_unlist_locked(tree, tier, row);
    if (fr_row_is_copied(row)) {
        fr_copies_forget_locked(tree, row);
        fr_tree_note_untidy_locked(tree, 1, 0);
    }
    row->node = FR_SLOT_NONE;
    fr_tree_note_posting_locked(tree, FR_CHANGE_GONE, tier, slot);
    /* Acquire in is_alive. */
    atomic_store_explicit(&row->stamp,
            fr_row_die(atomic_load_explicit(&row->stamp, memory_order_relaxed), step),
            memory_order_release);
}

void fr_tree_step_locked(struct fr_tree *tree)
{
    /* Acquire in fr_probe_aim: who sees the step sees all that is part of it. */
    atomic_fetch_add_explicit(&tree->clock, 1, memory_order_release);
}

/* So that no search wants a dead row's entry any more. The node may have been copied without it. */
static void hide_entry(struct fr_tree *tree, const struct fr_corpse *corpse) FR_REQUIRES(tree->mu)
{
    if (corpse->node == FR_SLOT_NONE) return;
    struct fr_node *node = fr_tree_node(tree, corpse->tier + 1, corpse->node);
    const struct fr_row *row = fr_rows_row(&tree->tiers[corpse->tier], corpse->slot);
    if (node == NULL || corpse->place >= atomic_load_explicit(&node->count, memory_order_relaxed))
        return;
    const struct fr_node_entry *entry = &node->entries[corpse->place];
    if (entry->slot == corpse->slot &&
            entry->version == atomic_load_explicit(&row->version, memory_order_relaxed))
        fr_node_hide(node, corpse->place);
}

static void free_node_of(struct fr_tree *tree, const struct fr_corpse *corpse) FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[corpse->tier];

    if (!rows->are_centroids) return;
    struct fr_node *node = atomic_exchange(fr_rows_node(rows, corpse->slot), NULL);
    fr_node_free(node);
}

void fr_tree_bury_locked(struct fr_tree *tree)
{
    if (tree->corpse_count == 0) return;
    fr_epoch_wait(&tree->epoch);
    for (size_t i = 0; i < tree->corpse_count; i++) {
        const struct fr_corpse *corpse = &tree->corpses[i];

        hide_entry(tree, corpse);
        free_node_of(tree, corpse);
        fr_rows_give(&tree->tiers[corpse->tier], corpse->slot);
    }
    tree->corpse_count = 0;
}

/* All rows of the last tier into the node of the only centroid above it. */
static fr_status list_all(struct fr_tree *tree, uint32_t last, fr_slot number) FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[last];
    fr_status st = FR_OK;

    for (fr_slot slot = 0; slot < rows->slot_count; slot++) {
        if (!fr_row_is_live(fr_rows_row(rows, slot))) continue;
        fr_rows_decode(rows, slot, tree->vector);
        FR_TRY(fr_tree_list_locked(tree, last, slot, tree->vector, number));
    }
out:
    return st;
}

/* As if it had never been. No search has seen it. */
static void drop_tier(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    struct fr_rows *rows = &tree->tiers[tier - 1];

    for (fr_slot slot = 0; slot < rows->slot_count; slot++)
        fr_rows_row(rows, slot)->node = FR_SLOT_NONE;
    while (tree->task_count > 0 && tree->tasks[tree->task_count - 1].tier == tier)
        tree->task_count--;
    free_nodes(&tree->tiers[tier]);
    fr_rows_deinit(&tree->tiers[tier]);
}

/* One more tier above the last: a single centroid with all of them in its node, to be split. */
static fr_status add_tier(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    uint32_t last = atomic_load_explicit(&tree->tier_count, memory_order_relaxed) - 1;
    fr_slot number;
    fr_status st;

    FR_TRY(fr_rows_init(&tree->tiers[last + 1], tree->space->dims, true, 0, tree->options.charge));
    memset(tree->vector, 0, tree->space->dims * sizeof(float));
    FR_TRY(fr_tree_add_centroid_locked(tree, last + 1, tree->vector, ROOM_MIN, &number));
    FR_TRY(list_all(tree, last, number));
    fr_tree_step_locked(tree);
    atomic_store_explicit(&tree->tier_count, last + 2, memory_order_release);
    return FR_OK;
out:
    if (tree->tiers[last + 1].chunks != NULL) drop_tier(tree, last + 1);
    return st;
}

static bool wants_tier(const struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    uint32_t count = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);

    return count < FR_TIERS_MAX && tree->tiers[count - 1].live_count > LAST_TIER_MAX;
}

/* One task. What it is about may have changed, or be gone, since it was queued. */
static fr_status work(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    struct fr_task task = tree->tasks[--tree->task_count];
    const struct fr_row *row = fr_rows_row(&tree->tiers[task.tier], task.number);
    struct fr_node *node = fr_tree_node(tree, task.tier, task.number);

    if (row->version != task.version || !fr_row_is_live(row) || node == NULL) return FR_OK;
    node->is_queued = false;
    fr_status st = fr_reshape_locked(tree, task.tier, node);
    if (st < 0) return st;
    fr_tree_bury_locked(tree);
    return wants_tier(tree) ? add_tier(tree) : FR_OK;
}

/* ---- A tier above many at once ---- */

/* A centroid above for so many, as after splits; at the most so many centroids, to be split then;
 * and so many of a sample for each. */
#define GROUP_EIGHTHS 5
#define GROUPS_MOST   256
#define GROUP_SAMPLE  10

struct tier_sample {
    size_t count, group_count;
    float *vectors, *scratch, *centroids;
    uint32_t *groups;
    fr_slot *numbers;
};

static fr_status init_sample(struct tier_sample *s, const struct fr_tree *tree, size_t live)
{
    size_t dims = tree->space->dims, each = tree->options.inner_limit * GROUP_EIGHTHS / 8;

    *s = (struct tier_sample){.group_count = FR_MIN(live / each + 1, (size_t)GROUPS_MOST)};
    size_t most = GROUP_SAMPLE * s->group_count;
    s->vectors = fr_alloc(most * dims * sizeof(float));
    s->scratch = fr_alloc(most * sizeof(float));
    s->groups = fr_alloc(most * sizeof(*s->groups));
    s->centroids = fr_alloc(s->group_count * dims * sizeof(float));
    s->numbers = fr_alloc(s->group_count * sizeof(*s->numbers));
    if (s->vectors == NULL || s->scratch == NULL || s->groups == NULL || s->centroids == NULL ||
            s->numbers == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a tier of an index");
    return FR_OK;
}

static void deinit_sample(struct tier_sample *s)
{
    fr_free(s->vectors);
    fr_free(s->scratch);
    fr_free(s->groups);
    fr_free(s->centroids);
    fr_free(s->numbers);
}

/* Evenly from all slots. */
static void draw_sample(struct tier_sample *s, const struct fr_rows *rows, size_t dims)
{
    size_t most = GROUP_SAMPLE * s->group_count, seen = 0;
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);

    for (fr_slot slot = 0; slot < count && s->count < most; slot++) {
        if (!fr_row_is_live(fr_rows_row(rows, slot))) continue;
        if (seen++ * most / rows->live_count < s->count) continue;
        fr_rows_decode(rows, slot, s->vectors + s->count++ * dims);
    }
}

static fr_status add_groups(struct fr_tree *tree, uint32_t tier, struct tier_sample *s)
        FR_REQUIRES(tree->mu)
{
    size_t dims = tree->space->dims;
    fr_status st = FR_OK;

    s->group_count = fr_kmeans(tree->space->kernels, s->vectors, s->count, dims, s->group_count,
            tier, s->scratch, s->centroids, s->groups);
    for (size_t i = 0; i < s->group_count; i++) {
        float *centroid = s->centroids + i * dims;

        FR_TRY(fr_tree_add_centroid_locked(tree, tier, centroid, tree->options.inner_limit,
                &s->numbers[i]));
        fr_rows_decode(&tree->tiers[tier], s->numbers[i], centroid);
    }
out:
    return st;
}

static fr_slot nearest_group(const struct fr_tree *tree, const struct tier_sample *s,
        const float *x)
{
    size_t dims = tree->space->dims, best = 0;
    float least = INFINITY;

    for (size_t i = 0; i < s->group_count; i++) {
        float distance = tree->space->kernels->l2(x, s->centroids + i * dims, dims);

        if (distance >= least) continue;
        least = distance;
        best = i;
    }
    return s->numbers[best];
}

static fr_status list_in_groups(struct fr_tree *tree, uint32_t last, const struct tier_sample *s)
        FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[last];
    fr_status st = FR_OK;

    for (fr_slot slot = 0; slot < rows->slot_count; slot++) {
        if (!fr_row_is_live(fr_rows_row(rows, slot))) continue;
        fr_rows_decode(rows, slot, tree->vector);
        FR_TRY(fr_tree_list_locked(tree, last, slot, tree->vector,
                nearest_group(tree, s, tree->vector)));
    }
out:
    return st;
}

/*
 * As splits would have made it, one after the other, but with each row listed once: groups of a
 * sample, and all rows with the nearest of these.
 */
static fr_status add_tier_of_groups(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    uint32_t last = atomic_load_explicit(&tree->tier_count, memory_order_relaxed) - 1;
    struct tier_sample s;
    fr_status st = init_sample(&s, tree, tree->tiers[last].live_count);

    if (st < 0) goto out;
    draw_sample(&s, &tree->tiers[last], tree->space->dims);
    FR_TRY(fr_rows_init(&tree->tiers[last + 1], tree->space->dims, true, 0, tree->options.charge));
    FR_TRY(add_groups(tree, last + 1, &s));
    FR_TRY(list_in_groups(tree, last, &s));
    fr_tree_step_locked(tree);
    atomic_store_explicit(&tree->tier_count, last + 2, memory_order_release);
out:
    if (st < 0 && tree->tiers[last + 1].chunks != NULL) drop_tier(tree, last + 1);
    deinit_sample(&s);
    return st;
}

fr_status fr_tree_restore_end(struct fr_tree *tree)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    if (tree->tiers[1].live_count == 0) st = FR_FAIL(FR_ERR_CORRUPT, "an index without a centroid");
    while (st == FR_OK && wants_tier(tree)) {
        st = add_tier_of_groups(tree);
        /* Of the tiers of centroids: no posting of vectors is there yet. */
        while (st == FR_OK && tree->task_count > 0)
            st = work(tree);
    }
    fr_mutex_unlock(&tree->mu);
    return st;
}

fr_status fr_tree_maintain(struct fr_tree *tree, size_t tasks_max, size_t *ret_left)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < tasks_max; i++) {
        fr_mutex_lock(&tree->mu);
        bool any = tree->task_count > 0;
        if (any) st = work(tree);
        fr_mutex_unlock(&tree->mu);
        FR_TRY(st);
        if (!any) break;
    }
    fr_mutex_lock(&tree->mu);
    *ret_left = tree->task_count;
    fr_mutex_unlock(&tree->mu);
out:
    return st;
}

/* The next posting in the order of slots, round and round; FR_SLOT_NONE if there is none. */
static fr_slot next_posting(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[1];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);

    for (fr_slot i = 0; i < count; i++) {
        fr_slot slot = tree->refreshed >= count ? 0 : tree->refreshed;

        tree->refreshed = slot + 1;
        if (fr_row_is_live(fr_rows_row(rows, slot))) return slot;
    }
    return FR_SLOT_NONE;
}

fr_status fr_tree_refresh(struct fr_tree *tree, size_t postings)
{
    fr_status st = FR_OK;

    for (size_t i = 0; st == FR_OK && i < postings; i++) {
        fr_mutex_lock(&tree->mu);
        fr_slot slot = next_posting(tree);
        if (slot != FR_SLOT_NONE)
            st = fr_reshape_refresh_locked(tree, 1, fr_tree_node(tree, 1, slot));
        fr_tree_bury_locked(tree);
        fr_mutex_unlock(&tree->mu);
    }
    return st;
}

/* ---- Tidying ---- */

/* From the next posting on which it has not seen; false: it has seen all. */
static bool next_to_tidy(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    uint32_t tiers = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);

    if (tree->tidied_tier == 0) {
        tree->tidied_tier = 1;
        tree->tidied = 0;
        tree->left_behind = tree->uncopied = 0;
    }
    for (; tree->tidied_tier < tiers; tree->tidied_tier++, tree->tidied = 0)
        for (; tree->tidied < tree->tiers[tree->tidied_tier].slot_count; tree->tidied++)
            if (fr_row_is_live(fr_rows_row(&tree->tiers[tree->tidied_tier], tree->tidied)))
                return true;
    return false;
}

static void end_tidying(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    tree->tidied_tier = 0;
    atomic_store_explicit(&tree->is_untidy, is_worth_tidying(tree), memory_order_relaxed);
}

static fr_status tidy_next(struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    struct fr_node *node = fr_tree_node(tree, tree->tidied_tier, tree->tidied);
    fr_status st = FR_OK;

    if (node != NULL && !node->is_queued)
        st = fr_reshape_tidy_locked(tree, tree->tidied_tier, node);
    if (st == FR_OK && tree->tidied_tier == 1)
        st = fr_copies_add_locked(tree, fr_tree_node(tree, 1, tree->tidied));
    if (st == FR_OK) tree->tidied++;
    return st;
}

/* As far as can be told without looking: slots, some of which nobody has. */
static size_t left_to_tidy(const struct fr_tree *tree) FR_REQUIRES(tree->mu)
{
    uint32_t tiers = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);
    uint32_t tier = FR_MAX(tree->tidied_tier, 1u);
    size_t left = 0;

    if (!fr_tree_is_untidy(tree)) return 0;
    for (uint32_t at = tier; at < tiers; at++)
        left += tree->tiers[at].slot_count;
    return FR_MAX(left - (tree->tidied_tier == 0 ? 0 : tree->tidied), (size_t)1);
}

fr_status fr_tree_tidy(struct fr_tree *tree, size_t postings, size_t *ret_left)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&tree->mu);
    /* Once for all: nothing moves or dies before the lock is given back. */
    if (fr_tree_is_untidy(tree)) fr_epoch_wait(&tree->epoch);
    for (size_t i = 0; st == FR_OK && i < postings && fr_tree_is_untidy(tree); i++) {
        if (next_to_tidy(tree))
            st = tidy_next(tree);
        else
            end_tidying(tree);
    }
    *ret_left = left_to_tidy(tree);
    fr_mutex_unlock(&tree->mu);
    return st;
}

void fr_tree_bury(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    fr_tree_bury_locked(tree);
    fr_mutex_unlock(&tree->mu);
}

size_t fr_tree_pending(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    size_t count = tree->task_count;
    fr_mutex_unlock(&tree->mu);
    return count;
}

void fr_tree_count(struct fr_tree *tree, struct fr_index_stats *ret_stats)
{
    fr_mutex_lock(&tree->mu);
    ret_stats->tiers = atomic_load_explicit(&tree->tier_count, memory_order_relaxed);
    for (uint32_t tier = 1; tier < ret_stats->tiers; tier++)
        ret_stats->postings += tree->tiers[tier].live_count;
    ret_stats->splits = tree->stats.splits;
    ret_stats->merges = tree->stats.dissolved;
    ret_stats->refreshes = tree->stats.refreshed;
    ret_stats->moved = tree->stats.moved;
    fr_mutex_unlock(&tree->mu);
}

size_t fr_tree_copied(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    size_t count = tree->copies;
    fr_mutex_unlock(&tree->mu);
    return count;
}

size_t fr_tree_vectors(struct fr_tree *tree)
{
    fr_mutex_lock(&tree->mu);
    size_t count = tree->tiers[0].live_count;
    fr_mutex_unlock(&tree->mu);
    return count;
}

size_t fr_tree_bytes(struct fr_tree *tree)
{
    size_t bytes;

    fr_mutex_lock(&tree->mu);
    bytes = sizeof(*tree) + fr_node_pool_bytes(&tree->pool) + fr_node_pool_bytes(&tree->pieces);
    for (uint32_t tier = 0; tier < tree->tier_count; tier++)
        bytes += fr_rows_bytes(&tree->tiers[tier]);
    fr_mutex_unlock(&tree->mu);
    return bytes;
}
