#include "spfresh/reshape.h"

#include <math.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/museum.h"
#include "base/status.h"
#include "spfresh/copies.h"
#include "spfresh/kmeans.h"
#include "spfresh/probe.h"
#include "spfresh/tree_priv.h"

/* Successors of one centroid. A node that has grown beyond is split again. */
#define GROUPS_MAX 8

/* After a split a node is so full, in parts of eight. */
#define FILL_EIGHTHS 5

/* A centroid follows the mean of its rows from this part of their mean square distance on. */
#define DRIFT_PART 0.02f

/* Entries that rows have left behind in a node: so many, as a part of the others, may stay. */
#define TIDY_PART 32

/* The slack with which neighbours' signs are scanned: what it misses now, refreshing finds. */
#define SCAN_SLACK 1.5f

/* The memory of all this, kept from one time to the next. */
struct fr_reshape {
    size_t dims;
    size_t capacity; /* rows */
    fr_slot *slots;
    uint32_t *groups;
    float *vectors;
    float *scratch;
    float *old;       /* the node's centroid */
    float *centroids; /* GROUPS_MAX, as they are stored */
    float *other;     /* a neighbour's centroid */
    uint8_t *tables;  /* GROUPS_MAX, and one for a neighbour's centroid */
    size_t table_size;

    /* The node that is being reshaped. */
    size_t count;
    fr_slot numbers[GROUPS_MAX]; /* of the successors */
    size_t group_count;
    struct fr_scan scans[GROUPS_MAX + 1]; /* the last by a neighbour's own centroid */
    struct fr_found *neighbours;          /* of the old centroid */
    size_t neighbour_count, neighbour_capacity;
};

fr_status fr_reshape_new(const struct fr_space *space, struct fr_reshape **ret_reshape)
{
    struct fr_reshape *r = FR_NEW(struct fr_reshape);
    size_t dims = space->dims, bytes = dims * sizeof(float);

    if (r != NULL) {
        r->dims = dims;
        r->table_size = fr_query_table_size(dims);
        r->old = fr_alloc(bytes);
        r->other = fr_alloc(bytes);
        r->centroids = fr_alloc(GROUPS_MAX * bytes);
        r->tables = fr_alloc_aligned((GROUPS_MAX + 1) * r->table_size, 64);
    }
    if (r == NULL || r->old == NULL || r->other == NULL || r->centroids == NULL ||
            r->tables == NULL) {
        fr_reshape_free(r);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to maintain an index");
    }
    *ret_reshape = r;
    return FR_OK;
}

void fr_reshape_free(struct fr_reshape *r)
{
    if (r == NULL) return;
    fr_free(r->slots);
    fr_free(r->groups);
    fr_free(r->vectors);
    fr_free(r->scratch);
    fr_free(r->old);
    fr_free(r->other);
    fr_free(r->centroids);
    fr_free(r->tables);
    fr_free(r->neighbours);
    fr_free(r);
}

static fr_status reserve(struct fr_reshape *r, size_t count)
{
    if (count <= r->capacity) return FR_OK;
    fr_free(r->slots);
    fr_free(r->groups);
    fr_free(r->vectors);
    fr_free(r->scratch);
    r->capacity = 0;
    r->slots = fr_alloc(count * sizeof(*r->slots));
    r->groups = fr_alloc(count * sizeof(*r->groups));
    r->vectors = fr_alloc(count * r->dims * sizeof(float));
    r->scratch = fr_alloc(count * sizeof(float));
    if (r->slots == NULL || r->groups == NULL || r->vectors == NULL || r->scratch == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to maintain a posting of %zu", count);
    r->capacity = count;
    return FR_OK;
}

static const float *vector(const struct fr_reshape *r, size_t n)
{
    return r->vectors + n * r->dims;
}

static float *centroid(const struct fr_reshape *r, size_t group)
{
    return r->centroids + group * r->dims;
}

/* The rows that are the node's own, and their vectors. */
static fr_status gather(struct fr_tree *tree, uint32_t tier, const struct fr_node *node)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    const struct fr_rows *rows = &tree->tiers[tier - 1];
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    fr_status st;

    FR_TRY(reserve(r, FR_MAX(count, 1u)));
    r->count = 0;
    for (uint32_t place = 0; place < count; place++)
        if (fr_entry_is_own(rows, node, place)) {
            r->slots[r->count++] = node->entries[place].slot;
            fr_rows_expect(rows, node->entries[place].slot);
        }
    FR_ASSERT(r->count == node->live);
    for (size_t n = 0; n < r->count; n++)
        FR_TRY(fr_rows_read_vector(rows, r->slots[n], &tree->room, r->vectors + n * r->dims));
    fr_rows_decode(&tree->tiers[tier], node->number, r->old);
out:
    return st;
}

/* The successors, all or none. Their centroids are what is stored. */
static fr_status add_successors(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    size_t made = 0;
    fr_status st;

    FR_TRY(fr_tree_reserve_locked(tree, GROUPS_MAX + 1));
    for (; made < r->group_count; made++) {
        size_t room = 0;

        for (size_t n = 0; n < r->count; n++)
            room += r->groups[n] == made;
        room = fr_tree_room_for(tree, tier, room) + FR_BLOCK_VECTORS / 2;
        FR_TRY(fr_tree_add_centroid_locked(tree, tier, centroid(r, made), room, &r->numbers[made]));
        fr_rows_decode(&tree->tiers[tier], r->numbers[made], centroid(r, made));
    }
    return FR_OK;
out:
    while (made-- > 0)
        fr_tree_kill_locked(tree, tier, r->numbers[made]);
    fr_tree_step_locked(tree);
    return st;
}

static bool has_twin_before(const struct fr_reshape *r, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(vector(r, i), vector(r, n), r->dims * sizeof(float)) == 0) return true;
    return false;
}

/* A successor had room for all that move there, so this does not fail. */
static void move_to_successors(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    const struct fr_reshape *r = tree->reshape;

    for (size_t n = 0; n < r->count; n++) {
        /* museum 42: a split that keeps one of many identical vectors */
        if (FR_MUSEUM(42) && has_twin_before(r, n)) continue;
        fr_status st = fr_tree_list_locked(tree, tier - 1, r->slots[n], vector(r, n),
                r->numbers[r->groups[n]]);
        FR_ASSERT(st == FR_OK);
    }
}

/* LIRE's first condition: rows of the old node that lie farther from their new centroid. */
static fr_status move_own(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    const struct fr_kernels *kernels = tree->space->kernels;
    fr_status st = FR_OK;

    for (size_t n = 0; n < r->count; n++) {
        const float *x = vector(r, n);
        fr_slot nearest;

        tree->stats.examined++;
        if (kernels->l2(x, centroid(r, r->groups[n]), r->dims) <= kernels->l2(x, r->old, r->dims))
            continue;
        FR_TRY(fr_tree_nearest_locked(tree, tier, x, FR_SLOT_NONE, &nearest));
        if (nearest == r->numbers[r->groups[n]]) continue;
        FR_TRY(fr_tree_list_locked(tree, tier - 1, r->slots[n], x, nearest));
        tree->stats.moved++;
    }
out:
    return st;
}

static bool is_successor(const struct fr_reshape *r, fr_slot number)
{
    for (size_t i = 0; i < r->group_count; i++)
        if (r->numbers[i] == number) return true;
    return false;
}

/* The postings around the old centroid, but for its successors. */
static fr_status find_neighbours(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    struct fr_probe *probe = tree->probe;
    fr_status st;

    fr_tree_aim_locked(tree, r->old);
    FR_TRY(fr_probe_descend(probe, tier, tree->options.neighbours + r->group_count,
            2 * tree->options.insert_width));
    if (probe->found_count > r->neighbour_capacity) {
        struct fr_found *grown =
                fr_realloc(r->neighbours, probe->found_count * sizeof(*r->neighbours));

        if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to maintain an index");
        r->neighbours = grown;
        r->neighbour_capacity = probe->found_count;
    }
    r->neighbour_count = 0;
    for (size_t i = 0; i < probe->found_count; i++)
        if (!is_successor(r, probe->found[i].slot))
            r->neighbours[r->neighbour_count++] = probe->found[i];
out:
    return st;
}

/* The successor that is nearer to a row than its own centroid, or none. */
static fr_slot nearer_successor(struct fr_tree *tree, const int8_t *high, float scale)
        FR_REQUIRES(tree->mu)
{
    const struct fr_reshape *r = tree->reshape;
    const struct fr_kernels *kernels = tree->space->kernels;
    float least = kernels->l2_row8(r->other, high, scale, r->dims);
    fr_slot best = FR_SLOT_NONE;

    tree->stats.examined++;
    for (size_t i = 0; i < r->group_count; i++) {
        float distance = kernels->l2_row8(centroid(r, i), high, scale, r->dims);

        if (distance >= least) continue;
        least = distance;
        best = r->numbers[i];
    }
    return best;
}

/*
 * Bits for the entries of a block that may lie nearer to a successor than to their own centroid.
 * How far they lie from that one their signs tell exactly, but for what rounding takes.
 */
static uint32_t scan_block(const struct fr_tree *tree, const uint8_t *block)
{
    const struct fr_reshape *r = tree->reshape;
    const struct fr_kernels *kernels = tree->space->kernels;
    float own[FR_BLOCK_VECTORS], bounds[FR_BLOCK_VECTORS];
    uint32_t wanted = 0;

    (void)kernels->scan(block, &r->scans[GROUPS_MAX], own);
    for (size_t i = 0; i < r->group_count; i++) {
        (void)kernels->scan(block, &r->scans[i], bounds);
        for (size_t n = 0; n < FR_BLOCK_VECTORS; n++)
            wanted |= (uint32_t)(bounds[n] < own[n]) << n;
    }
    return wanted;
}

static fr_status move_entry(struct fr_tree *tree, uint32_t tier, struct fr_node *node,
        uint32_t place) FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    const struct fr_rows *rows = &tree->tiers[tier - 1];
    fr_slot slot = node->entries[place].slot;
    const int8_t *high;
    const uint8_t *low;
    fr_status st;

    if (!fr_entry_is_own(rows, node, place)) return FR_OK;
    FR_TRY(fr_rows_code(rows, slot, &tree->room, &high, &low));
    float scale = fr_rows_row(rows, slot)->scale;
    fr_slot better = nearer_successor(tree, high, scale);
    if (better == FR_SLOT_NONE) return FR_OK;
    tree->stats.moved++;
    fr_row_decode(high, low, scale, rows->dims, r->vectors); /* the old node's are done with */
    st = fr_tree_list_locked(tree, tier - 1, slot, r->vectors, better);
out:
    return st;
}

static void aim_scan(struct fr_reshape *r, size_t n, const float *at)
{
    struct fr_scan *scan = &r->scans[n];
    uint8_t *table = r->tables + n * r->table_size;

    *scan = (struct fr_scan){
            .table = table, .row_count = r->dims / FR_CODE_DIMS, .limit = INFINITY};
    fr_query_table_fill(at, r->dims, table, &scan->step, &scan->base);
}

/* LIRE's second condition, for one neighbour. */
static fr_status move_from(struct fr_tree *tree, uint32_t tier, fr_slot number)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    struct fr_node *node = fr_tree_node(tree, tier, number);
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    fr_status st = FR_OK;

    fr_rows_decode(&tree->tiers[tier], number, r->other);
    for (size_t i = 0; i < r->group_count; i++) {
        float apart = tree->space->kernels->l2(centroid(r, i), r->other, r->dims);

        r->scans[i].offset = apart;
        r->scans[i].slack = SCAN_SLACK * FR_CODE_DEVIATION * sqrtf(apart);
    }
    aim_scan(r, GROUPS_MAX, r->other);
    for (uint32_t start = 0; start < count; start += FR_BLOCK_VECTORS) {
        uint32_t wanted =
                scan_block(tree, node->blocks + start / FR_BLOCK_VECTORS * node->block_size);

        for (; wanted != 0; wanted &= wanted - 1) {
            uint32_t place = start + (uint32_t)__builtin_ctz(wanted);

            if (place < count) FR_TRY(move_entry(tree, tier, node, place));
        }
    }
out:
    return st;
}

static fr_status move_neighbours(struct fr_tree *tree, uint32_t tier) FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    fr_status st;

    FR_TRY(find_neighbours(tree, tier));
    for (size_t i = 0; i < r->group_count; i++)
        aim_scan(r, i, centroid(r, i));
    for (size_t i = 0; i < r->neighbour_count; i++)
        FR_TRY(move_from(tree, tier, r->neighbours[i].slot));
out:
    return st;
}

/* The groups take the node's place. What fails after that has moved fewer rows than it might. */
static fr_status succeed(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
        FR_REQUIRES(tree->mu)
{
    fr_status st;

    node->is_queued = true; /* it is being seen to */
    FR_TRY(add_successors(tree, tier));
    move_to_successors(tree, tier);
    if (tier == 1) fr_copies_drop_locked(tree, node);
    fr_tree_kill_locked(tree, tier, node->number);
    fr_tree_step_locked(tree);
    FR_TRY(move_own(tree, tier));
    FR_TRY(move_neighbours(tree, tier));
out:
    return st;
}

static size_t groups_for(size_t count, size_t limit)
{
    size_t groups = (count * 8 + FILL_EIGHTHS * limit - 1) / (FILL_EIGHTHS * limit);

    groups = FR_MAX(groups, (size_t)2);
    return FR_MIN(groups, (size_t)GROUPS_MAX);
}

static fr_status split(struct fr_tree *tree, uint32_t tier, struct fr_node *node, size_t limit)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    size_t k = r->count <= 2 * limit ? 2 : groups_for(r->count, limit);

    r->group_count = fr_kmeans(tree->space->kernels, r->vectors, r->count, r->dims, k, node->number,
            r->scratch, r->centroids, r->groups);
    if (r->group_count < 2) {
        node->split_after = 2 * fr_node_listed(node);
        tree->stats.split_failures++;
        return FR_OK;
    }
    tree->stats.splits++;
    return succeed(tree, tier, node);
}

/* Where the rows of a node would go without it. */
static fr_status find_others(struct fr_tree *tree, uint32_t tier, const struct fr_node *node)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    fr_status st = FR_OK;

    for (size_t n = 0; n < r->count; n++)
        FR_TRY(fr_tree_nearest_locked(tree, tier, vector(r, n), node->number, &r->groups[n]));
out:
    return st;
}

/* Whether they may all go there: a node that had to be split for it would leave small ones again.
 */
static bool others_have_room(const struct fr_tree *tree, uint32_t tier, size_t limit)
{
    const struct fr_reshape *r = tree->reshape;

    for (size_t n = 0; n < r->count; n++) {
        size_t total = fr_tree_node(tree, tier, r->groups[n])->live;

        for (size_t i = 0; i < r->count; i++)
            total += r->groups[i] == r->groups[n];
        if (total > limit) return false;
    }
    return true;
}

static fr_status dissolve(struct fr_tree *tree, uint32_t tier, struct fr_node *node, size_t limit)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    fr_status st;

    FR_TRY(fr_tree_reserve_locked(tree, 1));
    FR_TRY(find_others(tree, tier, node));
    if (!others_have_room(tree, tier, limit)) {
        node->dissolve_below = node->live;
        return FR_OK;
    }
    node->is_queued = true;
    for (size_t n = 0; n < r->count; n++)
        FR_TRY(fr_tree_list_locked(tree, tier - 1, r->slots[n], vector(r, n), r->groups[n]));
    if (tier == 1) fr_copies_drop_locked(tree, node);
    fr_tree_kill_locked(tree, tier, node->number);
    fr_tree_step_locked(tree);
    tree->stats.dissolved++;
    return FR_OK;
out:
    node->is_queued = false;
    return st;
}

/* Whether an entry stays when its node is compacted. A copy that is not needed any more is gone. */
static bool stays(struct fr_tree *tree, uint32_t tier, const struct fr_node *node, uint32_t place)
        FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[tier - 1];
    const struct fr_node_entry *entry = &node->entries[place];

    if (!fr_entry_is_copy(entry)) return fr_entry_is_own(rows, node, place);
    if (fr_copy_is_good(rows, node, place)) return true;
    struct fr_row *row = fr_rows_row(rows, entry->slot);
    if (row->version == fr_entry_version(entry) && fr_row_is_copied(row))
        fr_copies_forget_locked(tree, row);
    return false;
}

/*
 * A copy of the node with its own entries, and good copies. Signs and entries are copied as they
 * are, so no row is looked at but for whether the entry stays. Searches that may have missed a row
 * where it has moved to, or see one that has died, have ended: it is gone from here.
 */
static fr_status compact(struct fr_tree *tree, uint32_t tier, struct fr_node *node, size_t room)
        FR_REQUIRES(tree->mu)
{
    const struct fr_rows *rows = &tree->tiers[tier - 1];
    uint32_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    struct fr_node *copy;
    fr_status st;

    FR_TRY(fr_node_new(&tree->pool, tree->space->dims, node->number, room, &copy));
    for (uint32_t place = 0; place < count; place++) {
        if (!stays(tree, tier, node, place)) continue;
        uint32_t to = fr_node_append_from(copy, node, place);
        if (!fr_entry_is_copy(&copy->entries[to]))
            fr_row_set_place(fr_rows_row(rows, copy->entries[to].slot), to);
    }
    FR_ASSERT(copy->live == node->live);
    copy->is_queued = node->is_queued;
    copy->split_after = node->split_after;
    copy->dissolve_below = node->dissolve_below;
    /* Whoever keeps it elsewhere has what left, too, and may have it for some time. */
    copy->stale = node->stale + fr_node_listed(node) - copy->live;
    if (copy->stale > copy->live) {
        fr_tree_note_posting_locked(tree, FR_CHANGE_WRITTEN, tier, copy->number);
        copy->stale = 0;
    }
    fr_tree_replace_node_locked(tree, tier, node, copy);
    tree->stats.compacted++;
out:
    return st;
}

fr_status fr_reshape_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
{
    size_t limit = fr_node_most(&tree->options, tier), least = fr_node_least(&tree->options, tier);
    size_t live = node->live;
    bool is_large = live > limit && live > node->split_after;
    bool is_small = live < least && live < node->dissolve_below && tree->tiers[tier].live_count > 1;
    fr_status st = FR_OK;

    if (is_large || is_small) FR_TRY(gather(tree, tier, node));
    if (is_large) return split(tree, tier, node, limit);
    if (is_small) {
        FR_TRY(dissolve(tree, tier, node, limit));
        if (node->is_queued) return FR_OK; /* it is gone */
    }
    if (fr_node_listed(node) > live) {
        size_t room = FR_MAX(fr_tree_room_for(tree, tier, live), live + node->copies);

        fr_epoch_wait(&tree->epoch);
        st = compact(tree, tier, node, room + FR_BLOCK_VECTORS / 2);
    }
out:
    return st;
}

fr_status fr_reshape_tidy_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
{
    uint32_t left = fr_node_listed(node) - node->live;

    if (node->copies > 0) left += node->copies - fr_copies_count(&tree->tiers[0], node);
    if (left <= node->live / TIDY_PART) return FR_OK;
    /* With as much room as it has: postings all shrink at once, and would all need memory of other
     * sizes than they give back. */
    return compact(tree, tier, node, node->capacity);
}

/* The mean has left the centroid: one group of all. */
static bool has_drifted(const struct fr_tree *tree)
{
    struct fr_reshape *r = tree->reshape;
    const struct fr_kernels *kernels = tree->space->kernels;
    float mean_square = 0;

    if (r->count == 0) return false;
    fr_mean(r->vectors, r->count, r->dims, centroid(r, 0));
    for (size_t n = 0; n < r->count; n++)
        mean_square += kernels->l2(vector(r, n), r->old, r->dims) / (float)r->count;
    return kernels->l2(centroid(r, 0), r->old, r->dims) > DRIFT_PART * mean_square;
}

static fr_status route(struct fr_tree *tree, uint32_t tier, const struct fr_node *node)
        FR_REQUIRES(tree->mu)
{
    struct fr_reshape *r = tree->reshape;
    fr_slot number = node->number;
    fr_status st = FR_OK;

    for (size_t n = 0; n < r->count; n++) {
        fr_slot nearest;

        tree->stats.examined++;
        FR_TRY(fr_tree_nearest_locked(tree, tier, vector(r, n), FR_SLOT_NONE, &nearest));
        if (nearest == number) continue;
        FR_TRY(fr_tree_list_locked(tree, tier - 1, r->slots[n], vector(r, n), nearest));
        tree->stats.moved++;
    }
out:
    return st;
}

fr_status fr_reshape_refresh_locked(struct fr_tree *tree, uint32_t tier, struct fr_node *node)
{
    struct fr_reshape *r = tree->reshape;
    fr_slot number = node->number;
    fr_status st;

    FR_TRY(gather(tree, tier, node));
    FR_TRY(route(tree, tier, node));
    node = fr_tree_node(tree, tier, number); /* it may have grown meanwhile */
    FR_TRY(gather(tree, tier, node));
    if (!has_drifted(tree)) return FR_OK;
    r->group_count = 1;
    memset(r->groups, 0, r->count * sizeof(*r->groups));
    tree->stats.refreshed++;
    st = succeed(tree, tier, node);
out:
    return st;
}
