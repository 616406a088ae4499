#include "spfresh/probe.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "spfresh/select.h"
#include "spfresh/tree_priv.h"

/* So many centroids are measured to find count of them: estimates of signs err. */
static size_t oversample(size_t count)
{
    return count + count / 2 + FR_BLOCK_VECTORS;
}

/* High bytes err by so much of a square distance at the most, as far as it matters. */
#define NEAR_MARGIN 1.02f

/* Rows that are fetched ahead while one is measured. */
#define FETCH_AHEAD 24

/* Nodes are fetched ahead while one is scanned: first what says how many blocks there are. */
#define NODES_AHEAD  16
#define BLOCKS_AHEAD 8

/*
 * The best by estimate are measured after so many postings: soon at first, to get a good limit for
 * what follows.
 */
static bool is_time_to_measure(size_t postings)
{
    return postings == 1 || postings == 4 || postings % 16 == 0;
}

fr_status fr_probe_new(const struct fr_tree *tree, struct fr_probe **ret_probe)
{
    struct fr_probe *probe = FR_NEW(struct fr_probe);
    size_t dims = tree->space->dims;

    if (probe != NULL) {
        probe->tree = tree;
        probe->dims = dims;
        probe->query = fr_alloc_aligned(dims * sizeof(float), 64);
        probe->table = fr_alloc_aligned(fr_query_table_size(dims), 64);
    }
    if (probe == NULL || probe->query == NULL || probe->table == NULL ||
            fr_code_room_init(&probe->room, dims) < 0) {
        fr_probe_free(probe);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    }
    *ret_probe = probe;
    return FR_OK;
}

void fr_probe_free(struct fr_probe *probe)
{
    if (probe == NULL) return;
    fr_free(probe->query);
    fr_free(probe->table);
    fr_free(probe->found);
    fr_free(probe->scratch);
    fr_free(probe->nodes);
    fr_free(probe->bounds);
    fr_free(probe->wanted);
    fr_free(probe->places);
    fr_free(probe->near);
    fr_free(probe->pool);
    fr_free(probe->pool_scratch);
    fr_asides_deinit(&probe->asides);
    fr_probe_cold_deinit(&probe->cold);
    fr_code_room_deinit(&probe->room);
    fr_free(probe);
}

static void set_query(struct fr_probe *probe, const float *query)
{
    memcpy(probe->query, query, probe->dims * sizeof(float));
    /* First: who sees that nothing is missing sees the step by which it came, too. */
    probe->is_partial = fr_tree_is_partial(probe->tree);
    /* Acquire: what was done by this step is seen; release at the end of each. */
    probe->clock = atomic_load_explicit(&probe->tree->clock, memory_order_acquire);
    probe->found_count = 0;
}

void fr_probe_aim(struct fr_probe *probe, const float *query)
{
    fr_query_table_fill(query, probe->dims, probe->table, &probe->step, &probe->base);
    set_query(probe, query);
}

/* Move the items behind a pointer, whatever they are, to where there is room for so many. */
static fr_status grow(void *pointer, size_t count, size_t size)
{
    void *items;

    memcpy(&items, pointer, sizeof(items));
    items = fr_realloc(items, count * size);
    if (items == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    memcpy(pointer, &items, sizeof(items));
    return FR_OK;
}

static size_t more_than(size_t capacity, size_t count)
{
    return FR_MAX(count, 2 * capacity);
}

static fr_status reserve_found(struct fr_probe *probe, size_t count)
{
    size_t capacity = more_than(probe->found_capacity, count);
    fr_status st = FR_OK;

    if (count <= probe->found_capacity) return FR_OK;
    FR_TRY(grow(&probe->found, capacity, sizeof(*probe->found)));
    FR_TRY(grow(&probe->scratch, capacity, sizeof(*probe->scratch)));
    FR_TRY(grow(&probe->nodes, capacity, sizeof(struct fr_node *)));
    probe->found_capacity = capacity;
out:
    return st;
}

static fr_status reserve_wanted(struct fr_probe *probe, size_t count)
{
    size_t capacity = more_than(probe->wanted_capacity, count);
    fr_status st = FR_OK;

    if (count <= probe->wanted_capacity) return FR_OK;
    FR_TRY(grow(&probe->bounds, capacity, sizeof(*probe->bounds)));
    FR_TRY(grow(&probe->wanted, capacity, sizeof(struct fr_node_entry *)));
    FR_TRY(grow(&probe->places, capacity, sizeof(*probe->places)));
    probe->wanted_capacity = capacity;
out:
    return st;
}

static fr_status reserve_pool(struct fr_probe *probe, size_t count)
{
    size_t capacity = more_than(probe->pool_capacity, count);
    fr_status st = FR_OK;

    if (count <= probe->pool_capacity) return FR_OK;
    FR_TRY(grow(&probe->pool, capacity, sizeof(*probe->pool)));
    FR_TRY(grow(&probe->pool_scratch, capacity, sizeof(*probe->pool_scratch)));
    probe->pool_capacity = capacity;
out:
    return st;
}

static fr_status reserve_near(struct fr_probe *probe, size_t k)
{
    fr_status st = FR_OK;

    if (k <= probe->near_capacity) return FR_OK;
    FR_TRY(grow(&probe->near, k, sizeof(*probe->near)));
    probe->near_capacity = k;
out:
    return st;
}

/*
 * Whether a slot still has the version, and its row was alive when the query was aimed. What was
 * read of the row before this is asked was the row's, if the answer is yes: a writer says that a
 * slot is used anew before it writes a byte of the next row there.
 */
static bool is_alive(const struct fr_probe *probe, const struct fr_row *row, uint32_t version)
{
    /* Pairs with the release fence in fr_rows_take. */
    atomic_thread_fence(memory_order_acquire);
    uint64_t stamp = atomic_load_explicit(&row->stamp, memory_order_acquire);

    if (atomic_load_explicit(&row->version, memory_order_acquire) != version) return false;
    return fr_row_lived(stamp, probe->clock);
}

/* Into the second cache: fewer lines can be on their way to the first one at once. */
FR_INLINE void fetch(const void *line)
{
    __builtin_prefetch(line, 0, 2);
}

/*
 * Keep the nearest so many that are alive, in order, of all that was measured. A row that is moving
 * may have been found twice: side by side then, since the distance is the same.
 */
static void keep_nearest(struct fr_probe *probe, const struct fr_rows *rows, size_t size,
        size_t count)
{
    struct fr_found *found = probe->found;
    size_t kept = 0, at = 0;

    while (at < size && kept < count) {
        size_t end = at + fr_select_found(found + at, size - at, count - kept, probe->scratch);

        for (size_t i = at; i < end; i++)
            fetch(fr_rows_row(rows, found[i].slot));
        for (; at < end; at++) {
            if (kept > 0 && found[kept - 1].slot == found[at].slot) continue;
            if (is_alive(probe, fr_rows_row(rows, found[at].slot), found[at].version))
                found[kept++] = found[at];
        }
    }
    probe->found_count = kept;
}

/* All centroids of the last tier. */
static fr_status find_in_last(struct fr_probe *probe, uint32_t tier, size_t count)
{
    const struct fr_rows *rows = &probe->tree->tiers[tier];
    const struct fr_kernels *kernels = probe->tree->space->kernels;
    fr_slot slot_count = atomic_load_explicit(&rows->slot_count, memory_order_acquire);
    size_t size = 0;
    fr_status st;

    FR_TRY(reserve_found(probe, slot_count));
    for (fr_slot slot = 0; slot < slot_count; slot++) {
        const struct fr_row *row = fr_rows_row(rows, slot);
        uint32_t version = atomic_load_explicit(&row->version, memory_order_acquire);

        if (version % 2 == 0 || !is_alive(probe, row, version)) continue;
        float distance =
                kernels->l2_row8(probe->query, fr_rows_high(rows, slot), row->scale, probe->dims);
        probe->found[size++] =
                (struct fr_found){.distance = distance, .slot = slot, .version = version};
    }
    probe->stats.centroids += size;
    keep_nearest(probe, rows, size, count);
out:
    return st;
}

static void fetch_blocks(const struct fr_node *node)
{
    size_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    size_t size = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS * node->block_size;

    for (size_t i = 0; i < size; i += 64)
        fetch(node->blocks + i);
}

/* The nodes of all that was found, the first of them on their way. */
static void find_nodes(struct fr_probe *probe, uint32_t tier)
{
    const struct fr_node **nodes = probe->nodes;

    for (size_t i = 0; i < probe->found_count; i++) {
        nodes[i] = fr_tree_node(probe->tree, tier, probe->found[i].slot);
        if (i < NODES_AHEAD) fetch(nodes[i]);
    }
    for (size_t i = 0; i < probe->found_count && i < BLOCKS_AHEAD; i++)
        if (nodes[i] != NULL) fetch_blocks(nodes[i]);
}

/* While one is scanned those that follow are on their way. */
static void fetch_nodes(const struct fr_probe *probe, size_t at)
{
    if (at + NODES_AHEAD < probe->found_count) fetch(probe->nodes[at + NODES_AHEAD]);
    if (at + BLOCKS_AHEAD < probe->found_count && probe->nodes[at + BLOCKS_AHEAD] != NULL)
        fetch_blocks(probe->nodes[at + BLOCKS_AHEAD]);
}

/* Scan a node, and keep the entries whose bound is within the limit. */
static fr_status scan_node(struct fr_probe *probe, const struct fr_node *node,
        const struct fr_scan *scan)
{
    size_t count = atomic_load_explicit(&node->count, memory_order_acquire);
    size_t before = probe->wanted_count;
    fr_status st;

    /* The kernel fills whole blocks. */
    FR_TRY(reserve_wanted(probe, before + count + FR_BLOCK_VECTORS));
    size_t wanted = probe->tree->space->kernels->scan_run(node->blocks, count, scan,
            probe->bounds + before, probe->places);
    const struct fr_node_entry **to = probe->wanted + before;
    for (size_t i = 0; i < wanted; i++) {
        to[i] = &node->entries[probe->places[i]];
        fetch(to[i]);
    }
    probe->wanted_count = before + wanted;
    probe->stats.scanned += count;
out:
    return st;
}

/* So that it stays, if others do not. */
static void note_wanted(const struct fr_node *node)
{
    struct fr_node *noted = fr_unconst(node);

    if (!atomic_load_explicit(&noted->was_wanted, memory_order_relaxed))
        atomic_store_explicit(&noted->was_wanted, true, memory_order_relaxed);
}

/*
 * Of a node that has signs alone. What is wanted is set aside, to be read; or, if it cannot be, the
 * whole node is wanted: it goes to those that are missing, whose place is before it and where
 * nobody looks any more.
 */
static fr_status scan_lean_node(struct fr_probe *probe, size_t at, const struct fr_scan *scan)
{
    const struct fr_node *node = probe->nodes[at];
    size_t count = atomic_load_explicit(&node->count, memory_order_acquire);
    size_t before = probe->wanted_count;
    fr_status st;

    note_wanted(node);
    FR_TRY(reserve_wanted(probe, before + count + FR_BLOCK_VECTORS));
    size_t wanted = probe->tree->space->kernels->scan_run(node->blocks, count, scan,
            probe->bounds + before, probe->places);
    probe->stats.scanned += count;
    if (wanted == 0) goto out;
    if (!fr_asides_can(&probe->asides, node)) {
        probe->found[probe->missing_count++] = probe->found[at];
        goto out;
    }
    FR_TRY(fr_asides_add(&probe->asides, node, probe->places, wanted, probe->wanted + before));
    probe->wanted_count = before + wanted;
out:
    return st;
}

static struct fr_scan make_scan(const struct fr_probe *probe)
{
    return (struct fr_scan){.table = probe->table,
            .row_count = probe->dims / FR_CODE_DIMS,
            .step = probe->step,
            .base = probe->base,
            .limit = INFINITY};
}

/* Drop what is wanted but beyond a limit. */
static void drop_beyond(struct fr_probe *probe, float limit)
{
    const struct fr_node_entry **wanted = probe->wanted;
    float *bounds = probe->bounds;
    size_t count = probe->wanted_count, kept = 0;

    for (size_t i = 0; i < count; i++) {
        float bound = bounds[i];

        bounds[kept] = bound;
        wanted[kept] = wanted[i];
        kept += bound <= limit;
    }
    probe->wanted_count = kept;
}

/* Drop all but the best so many, and some more, of what is wanted; answer the worst bound left. */
static float keep_best(struct fr_probe *probe, size_t count)
{
    if (probe->wanted_count <= count) return INFINITY;
    float limit = fr_select_limit(probe->tree->space->kernels, probe->bounds, probe->wanted_count,
            count, count + count / 16);
    drop_beyond(probe, limit);
    return limit;
}

/* The high bytes of a row of the tree, or of one that was set aside and has been read. */
FR_INLINE const int8_t *high_of(const struct fr_rows *rows, const struct fr_node_entry *entry)
{
    return FR_UNLIKELY(fr_entry_is_aside(entry)) ? fr_aside_of(entry)->high
                                                 : fr_rows_high(rows, entry->slot);
}

static void fetch_row(const struct fr_rows *rows, const struct fr_node_entry *entry)
{
    const int8_t *high = high_of(rows, entry);

    if (FR_UNLIKELY(high == NULL)) return;
    for (size_t i = 0; i < rows->dims && i < 256; i += 64)
        fetch(high + i);
}

FR_INLINE float measure(const struct fr_probe *probe, const int8_t *high, float scale)
{
    return probe->tree->space->kernels->l2_row8(probe->query, high, scale, probe->dims);
}

/* Measure all that is wanted, dead or alive, into found. */
static fr_status measure_centroids(struct fr_probe *probe, const struct fr_rows *rows)
{
    size_t count = probe->wanted_count;
    fr_status st;

    FR_TRY(reserve_found(probe, count));
    for (size_t i = 0; i < count; i++) {
        const struct fr_node_entry *entry = probe->wanted[i];

        if (i + FETCH_AHEAD < count) fetch_row(rows, probe->wanted[i + FETCH_AHEAD]);
        probe->found[i] = (struct fr_found){.slot = entry->slot,
                .version = entry->version,
                .distance = measure(probe, fr_rows_high(rows, entry->slot), entry->scale)};
    }
    probe->stats.measured += count;
out:
    return st;
}

/*
 * From the centroids found in a tier to those listed in their nodes, one tier below. The nearest
 * nodes come first, so after a few of them there is a limit that most of the rest do not keep.
 */
static fr_status step_down(struct fr_probe *probe, uint32_t tier, size_t count)
{
    const struct fr_rows *below = &probe->tree->tiers[tier - 1];
    size_t needed = oversample(count);
    struct fr_scan scan = make_scan(probe);
    fr_status st;

    probe->wanted_count = 0;
    find_nodes(probe, tier);
    for (size_t i = 0; i < probe->found_count; i++) {
        fetch_nodes(probe, i);
        scan.offset = probe->found[i].distance;
        if (probe->nodes[i] != NULL) FR_TRY(scan_node(probe, probe->nodes[i], &scan));
        if (probe->wanted_count >= 2 * needed) scan.limit = keep_best(probe, needed);
    }
    (void)keep_best(probe, needed);
    FR_TRY(measure_centroids(probe, below));
    keep_nearest(probe, below, probe->wanted_count, count);
out:
    return st;
}

fr_status fr_probe_descend(struct fr_probe *probe, uint32_t tier, size_t count, size_t width)
{
    uint32_t last = atomic_load_explicit(&probe->tree->tier_count, memory_order_acquire) - 1;
    fr_status st;

    FR_ASSERT(tier >= 1);
    FR_ASSERT(tier <= last);
    FR_TRY(find_in_last(probe, last, last == tier ? count : width));
    if (probe->trace != NULL) fr_probe_trace_step(probe, last, 0);
    for (uint32_t at = last; at > tier; at--) {
        size_t nodes = probe->found_count;
        FR_TRY(step_down(probe, at, at - 1 == tier ? count : width));
        if (probe->trace != NULL) fr_probe_trace_step(probe, at - 1, nodes);
    }
out:
    return st;
}

fr_status fr_probe_locate(struct fr_probe *probe, const float *query,
        fr_slot ret_region[FR_PROBE_REGION])
{
    uint32_t last = atomic_load_explicit(&probe->tree->tier_count, memory_order_acquire) - 1;
    fr_status st;

    set_query(probe, query);
    FR_TRY(find_in_last(probe, last, FR_PROBE_REGION));
    for (size_t i = 0; i < FR_PROBE_REGION; i++)
        ret_region[i] = i < probe->found_count ? probe->found[i].slot : 0;
out:
    return st;
}

static float limit_now(const struct fr_probe *probe, size_t k)
{
    return probe->near_count < k ? INFINITY : probe->near[0];
}

/* Whether a row that has this distance is in the pool already: it was moving when it was found. */
static bool is_in_pool(const struct fr_probe *probe, const struct fr_found *row)
{
    for (size_t i = 0; i < probe->pool_count; i++)
        if (probe->pool[i].slot == row->slot && probe->pool[i].version == row->version) return true;
    return false;
}

static bool is_near(const struct fr_probe *probe, float distance)
{
    for (size_t i = 0; i < probe->near_count; i++)
        if (probe->near[i] == distance) return true;
    return false;
}

/*
 * Rows wait for so many others behind the end of the pool, by when it is known whether they are
 * alive: what tells lies in another place than what was measured, and takes its time to come.
 */
#define WAITING_MAX 16

static void let_in(struct fr_probe *probe, size_t waiting, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];

    if (waiting == 0) return;
    const struct fr_found *found = probe->pool + probe->pool_count;
    for (size_t i = 0; i < waiting; i++) {
        struct fr_found next = found[i];
        bool is_aside = next.version == FR_ASIDE_VERSION; /* alive, and does not move */

        if (!is_aside && !is_alive(probe, fr_rows_row(rows, next.slot), next.version)) continue;
        if (is_near(probe, next.distance) && is_in_pool(probe, &next)) continue;
        probe->pool[probe->pool_count++] = next;
        fr_heap_push(probe->near, &probe->near_count, k, next.distance);
        if (!is_aside) fetch(fr_rows_low(rows, next.slot));
    }
}

static void drop_chosen(struct fr_probe *probe)
{
    size_t chosen = probe->chosen_count, left = probe->wanted_count - chosen;

    if (left > 0) {
        memmove(probe->bounds, probe->bounds + chosen, left * sizeof(*probe->bounds));
        memmove(probe->wanted, probe->wanted + chosen, left * sizeof(struct fr_node_entry *));
    }
    probe->wanted_count = left;
    probe->chosen_count = 0;
}

/* High bytes of what was chosen, where some are cold. */
static fr_status bring_chosen(struct fr_probe *probe, const struct fr_rows *rows)
{
    fr_status st;

    FR_TRY(fr_probe_cold_begin(&probe->cold, probe->dims, probe->chosen_count));
    for (size_t i = 0; i < probe->chosen_count; i++)
        fr_probe_cold_name(&probe->cold, probe->wanted[i]->slot,
                fr_entry_version(probe->wanted[i]));
    st = fr_probe_cold_bring(&probe->cold, rows, FR_CODE_HIGH);
out:
    return st;
}

/* Have what was chosen in memory; in the end, when limits hardly fall any more, at once with all
 * that is still wanted, so that there is one wait for these. What cannot be read so is missing, and
 * ends the search. */
static fr_status read_chosen(struct fr_probe *probe)
{
    struct fr_asides *asides = &probe->asides;
    fr_status st;

    size_t first = probe->is_at_end ? probe->wanted_count : probe->chosen_count;
    FR_TRY(fr_asides_read(asides, probe->dims, probe->wanted, probe->wanted_count, first,
            probe->chosen_count));
    if (FR_LIKELY(asides->failed_count == 0)) goto out;
    for (size_t i = 0; i < asides->posting_count; i++)
        if (asides->postings[i].state == FR_ASIDE_FAILED)
            probe->found[probe->missing_count++] =
                    (struct fr_found){.slot = asides->postings[i].number};
    probe->wanted_count = probe->chosen_count = 0;
out:
    return st;
}

static struct fr_found found_of(const struct fr_node_entry *entry, float distance)
{
    if (FR_UNLIKELY(fr_entry_is_aside(entry)))
        return (struct fr_found){.distance = distance,
                .slot = fr_aside_of(entry)->number,
                .version = FR_ASIDE_VERSION};
    return (struct fr_found){
            .distance = distance, .slot = entry->slot, .version = fr_entry_version(entry)};
}

/*
 * What was chosen, by high bytes. An entry may have been left behind by a row whose slot is being
 * filled anew: whether it's alive is asked last, see is_alive.
 */
static fr_status measure_chosen(struct fr_probe *probe, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    const struct fr_node_entry **wanted = probe->wanted;
    size_t waiting = 0;
    bool is_cold = fr_rows_any_cold(rows);
    fr_status st = FR_OK;

    if (FR_UNLIKELY(probe->asides.posting_count > 0)) FR_TRY(read_chosen(probe));
    size_t chosen = probe->chosen_count;
    FR_TRY(reserve_pool(probe, probe->pool_count + chosen));
    if (probe->trace != NULL) fr_probe_trace_chosen(probe);
    if (FR_UNLIKELY(is_cold)) FR_TRY(bring_chosen(probe, rows));
    for (size_t i = 0; i < chosen; i++) {
        const int8_t *high = FR_UNLIKELY(is_cold) ? (const int8_t *)probe->cold.at[FR_CODE_HIGH][i]
                                                  : high_of(rows, wanted[i]);

        if (FR_UNLIKELY(high == NULL)) continue; /* of a row that is no more */
        if (i + FETCH_AHEAD < chosen) fetch_row(rows, wanted[i + FETCH_AHEAD]);
        float distance = measure(probe, high, wanted[i]->scale);
        if (!(distance <= NEAR_MARGIN * limit_now(probe, k))) continue;
        if (!fr_entry_is_aside(wanted[i])) fetch(fr_rows_row(rows, wanted[i]->slot));
        probe->pool[probe->pool_count + waiting++] = found_of(wanted[i], distance);
        if (waiting < WAITING_MAX) continue;
        let_in(probe, waiting, k);
        waiting = 0;
    }
    let_in(probe, waiting, k);
    probe->stats.measured += chosen;
    drop_chosen(probe);
out:
    return st;
}

/* Bring what is within a limit to the front; the answer is how many these are. */
static size_t part_wanted(struct fr_probe *probe, float limit)
{
    const struct fr_node_entry **wanted = probe->wanted;
    float *bounds = probe->bounds;
    size_t count = probe->wanted_count, within = 0;

    for (size_t i = 0; i < count; i++) {
        float bound = bounds[i];
        const struct fr_node_entry *entry = wanted[i];

        if (bound > limit) continue;
        bounds[i] = bounds[within];
        wanted[i] = wanted[within];
        bounds[within] = bound;
        wanted[within++] = entry;
    }
    return within;
}

/*
 * Choose the best so many, or some more, to be measured next, and let their rows come. They will
 * lower the limit, and some of the others will drop out.
 */
static void choose_best(struct fr_probe *probe, size_t count, size_t k)
{
    drop_beyond(probe, limit_now(probe, k));
    if (probe->trace != NULL) fr_probe_trace_drop(probe, limit_now(probe, k));
    probe->chosen_count = probe->wanted_count;
    if (probe->wanted_count > count + count / 2)
        probe->chosen_count =
                part_wanted(probe, fr_select_limit(probe->tree->space->kernels, probe->bounds,
                                           probe->wanted_count, count, count + count / 2));
    for (size_t i = 0; i < probe->chosen_count && i < FETCH_AHEAD; i++)
        fetch_row(&probe->tree->tiers[0], probe->wanted[i]);
}

/* The best first, since they lower the limit for the others. */
static fr_status measure_rest(struct fr_probe *probe, size_t count, size_t k)
{
    fr_status st;

    FR_TRY(measure_chosen(probe, k));
    while (probe->wanted_count > 0) {
        choose_best(probe, count, k);
        probe->is_at_end = true;
        FR_TRY(measure_chosen(probe, k));
        count *= 2;
    }
out:
    return st;
}

/* At 768 dimensions one more: measured on clustered vectors, see docs/index.md. */
float fr_effort_slack(const struct fr_effort *effort, size_t dims)
{
    return effort->slack + (dims > 128 ? 0.4f * log2f((float)dims / 128) : 0);
}

static fr_status scan_postings(struct fr_probe *probe, const struct fr_effort *effort, size_t k)
{
    size_t at_once = k + FR_BLOCK_VECTORS / 2;
    float slack = fr_effort_slack(effort, probe->dims) * FR_CODE_DEVIATION;
    struct fr_scan scan = make_scan(probe);
    fr_status st = FR_OK;

    probe->wanted_count = probe->chosen_count = probe->pool_count = probe->near_count = 0;
    probe->is_at_end = false;
    for (size_t i = 0; i < probe->found_count; i++) {
        fetch_nodes(probe, i);
        scan.offset = probe->found[i].distance;
        scan.slack = slack * sqrtf(scan.offset);
        scan.limit = limit_now(probe, k);
        if (probe->nodes[i] != NULL && probe->nodes[i]->is_lean) {
            FR_TRY(scan_lean_node(probe, i, &scan));
        } else if (probe->nodes[i] != NULL) {
            size_t before = probe->wanted_count;

            if (probe->trace != NULL) fr_probe_trace_node(probe, probe->nodes[i], &scan);
            FR_TRY(scan_node(probe, probe->nodes[i], &scan));
            if (probe->is_partial && probe->wanted_count > before) note_wanted(probe->nodes[i]);
        }
        /* What was chosen after the last posting has come while this one was scanned. */
        if (probe->chosen_count > 0) FR_TRY(measure_chosen(probe, k));
        if (FR_UNLIKELY(probe->asides.failed_count > 0)) break;
        if (is_time_to_measure(i + 1)) choose_best(probe, at_once, k);
    }
    if (probe->missing_count == 0) st = measure_rest(probe, at_once, k);
out:
    return st;
}

/* Of the nearest postings of vectors something is measured in any case: that is where limits come
 * from. If it cannot be read, they are to be loaded first. */
#define NEVER_LEAN 4

/*
 * Of a tree that was not all in memory: what was found but is not, to the front. Nodes that are
 * there are there until the search has ended, even if they leave meanwhile.
 */
static void find_missing(struct fr_probe *probe)
{
    size_t missing = 0;

    probe->missing_count = 0;
    if (FR_LIKELY(!probe->is_partial)) return;
    for (size_t i = 0; i < probe->found_count; i++) {
        const struct fr_node *node = probe->nodes[i];

        if (node == NULL || node->is_partial ||
                (node->is_lean && i < NEVER_LEAN && !fr_asides_can(&probe->asides, node)))
            probe->found[missing++] = probe->found[i];
    }
    probe->missing_count = missing;
}

FR_INLINE float finish(const struct fr_probe *probe, fr_slot slot, const int8_t *high,
        const uint8_t *low)
{
    const struct fr_row *row = fr_rows_row(&probe->tree->tiers[0], slot);

    return probe->tree->space->kernels->l2_row12(probe->query, high, low, row->scale, probe->dims);
}

/* What is in the pool was alive when the search began, so its slots are its own until it ends. */
static fr_status finish_cold(struct fr_probe *probe)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    struct fr_probe_cold *cold = &probe->cold;
    fr_status st;

    FR_TRY(fr_probe_cold_begin(cold, probe->dims, probe->pool_count));
    for (size_t i = 0; i < probe->pool_count; i++)
        fr_probe_cold_name(cold, probe->pool[i].slot, probe->pool[i].version);
    FR_TRY(fr_probe_cold_bring(cold, rows, FR_CODE_HIGH));
    FR_TRY(fr_probe_cold_bring(cold, rows, FR_CODE_LOW));
    for (size_t i = 0; i < probe->pool_count; i++)
        probe->pool[i].distance = finish(probe, probe->pool[i].slot,
                (const int8_t *)cold->at[FR_CODE_HIGH][i], cold->at[FR_CODE_LOW][i]);
out:
    return st;
}

static void finish_aside(const struct fr_probe *probe, struct fr_found *found)
{
    const struct fr_aside_row *row = fr_asides_row(&probe->asides, found->slot);

    found->distance = probe->tree->space->kernels->l2_row12(probe->query, row->high, row->low,
            row->entry.scale, probe->dims);
}

/* By all their bits. */
static fr_status finish_pool(struct fr_probe *probe, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    float limit = NEAR_MARGIN * limit_now(probe, k);
    size_t count = 0;

    for (size_t i = 0; i < probe->pool_count; i++)
        if (probe->pool[i].distance <= limit) probe->pool[count++] = probe->pool[i];
    probe->stats.finished += count;
    probe->pool_count = count;
    if (FR_UNLIKELY(fr_rows_any_cold(rows))) return finish_cold(probe);
    for (size_t i = 0; i < count; i++) {
        fr_slot slot = probe->pool[i].slot;

        if (FR_UNLIKELY(probe->pool[i].version == FR_ASIDE_VERSION)) {
            finish_aside(probe, &probe->pool[i]);
            continue;
        }
        probe->pool[i].distance =
                finish(probe, slot, fr_rows_high(rows, slot), fr_rows_low(rows, slot));
    }
    return FR_OK;
}

/* It was found twice: then as far away as before, and so may others be. */
static bool is_among_last(const struct fr_found *found, size_t count, const struct fr_found *next)
{
    while (count-- > 0 && found[count].distance == next->distance)
        if (found[count].slot == next->slot && found[count].version == next->version) return true;
    return false;
}

fr_status fr_probe_search(struct fr_probe *probe, const struct fr_effort *effort, size_t k,
        struct fr_found *ret_found, size_t *ret_count)
{
    size_t count = 0;
    fr_status st;

    FR_TRY(reserve_near(probe, k));
    *ret_count = 0;
    fr_asides_clear(&probe->asides);
    if (probe->trace != NULL) fr_probe_trace_begin(probe);
    FR_TRY(fr_probe_descend(probe, 1, effort->postings, effort->width));
    find_nodes(probe, 1);
    find_missing(probe);
    if (FR_UNLIKELY(probe->missing_count > 0)) return FR_OK;
    FR_TRY(scan_postings(probe, effort, k));
    if (FR_UNLIKELY(probe->missing_count > 0)) return FR_OK;
    if (probe->trace != NULL) fr_probe_trace_step(probe, 0, probe->found_count);
    FR_TRY(finish_pool(probe, k));
    size_t size =
            fr_select_found(probe->pool, probe->pool_count, probe->pool_count, probe->pool_scratch);
    for (size_t i = 0; i < size && count < k; i++)
        if (!is_among_last(ret_found, count, &probe->pool[i])) ret_found[count++] = probe->pool[i];
    *ret_count = count;
    if (probe->trace != NULL) fr_probe_trace_finish(probe);
out:
    return st;
}

uint64_t fr_probe_id(const struct fr_probe *probe, const struct fr_found *found)
{
    if (FR_UNLIKELY(found->version == FR_ASIDE_VERSION))
        return fr_asides_row(&probe->asides, found->slot)->id;
    return fr_rows_row(&probe->tree->tiers[0], found->slot)->id;
}
