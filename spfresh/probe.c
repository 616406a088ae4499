#include "spfresh/probe.h"

#include <math.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "spfresh/select.h"
#include "spfresh/tree_priv.h"

/* Centroids are measured for so many times as many as are wanted: estimates of signs err. */
#define OVERSAMPLING 2

/* High bytes err by so much of a square distance at the most, as far as it matters. */
#define NEAR_MARGIN 1.02f

/* Rows that are fetched ahead while one is measured. */
#define FETCH_AHEAD 12

/* Survivors of the scan are measured after so many postings: soon at first, to get a good limit. */
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
    if (probe == NULL || probe->query == NULL || probe->table == NULL) {
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
    fr_free(probe->wanted);
    fr_free(probe->near);
    fr_free(probe->pool);
    fr_free(probe);
}

void fr_probe_aim(struct fr_probe *probe, const float *query)
{
    memcpy(probe->query, query, probe->dims * sizeof(float));
    fr_query_table_fill(query, probe->dims, probe->table, &probe->step, &probe->base);
    /* Acquire: what was done by this step is seen; release at the end of each. */
    probe->clock = atomic_load_explicit(&probe->tree->clock, memory_order_acquire);
    probe->found_count = 0;
}

/* Room for so many of the items behind a pointer; what they are is kept. */
static fr_status reserve(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count <= *capacity) return FR_OK;
    size_t grown = count > 2 * *capacity ? count : 2 * *capacity;
    void *memory = fr_realloc(*items, grown * size);
    if (memory == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    *items = memory;
    *capacity = grown;
    return FR_OK;
}

static fr_status reserve_wanted(struct fr_probe *probe, size_t more)
{
    void *wanted = probe->wanted;
    fr_status st = reserve(&wanted, &probe->wanted_capacity, probe->wanted_count + more,
            sizeof(*probe->wanted));

    probe->wanted = wanted;
    return st;
}

static fr_status reserve_found(struct fr_probe *probe, size_t count)
{
    void *found = probe->found;
    fr_status st = reserve(&found, &probe->found_capacity, count, sizeof(*probe->found));

    probe->found = found;
    return st;
}

/* Whether a slot still has the version, and its row was alive when the query was aimed. */
static bool is_alive(const struct fr_probe *probe, const struct fr_row *row, uint32_t version)
{
    uint64_t stamp = atomic_load_explicit(&row->stamp, memory_order_acquire);

    if (atomic_load_explicit(&row->version, memory_order_acquire) != version) return false;
    if ((stamp & FR_ROW_DEAD) != 0) return (stamp & ~FR_ROW_DEAD) > probe->clock;
    return stamp <= probe->clock;
}

/* All centroids of the last tier. */
static fr_status find_in_last(struct fr_probe *probe, uint32_t tier, size_t count)
{
    const struct fr_rows *rows = &probe->tree->tiers[tier];
    const struct fr_kernels *kernels = probe->tree->space->kernels;
    fr_slot slot_count = atomic_load_explicit(&rows->slot_count, memory_order_acquire);
    fr_status st;

    FR_TRY(reserve_found(probe, slot_count));
    probe->found_count = 0;
    for (fr_slot slot = 0; slot < slot_count; slot++) {
        const struct fr_row *row = fr_rows_row(rows, slot);
        uint32_t version = atomic_load_explicit(&row->version, memory_order_acquire);

        if (version % 2 == 0 || !is_alive(probe, row, version)) continue;
        float distance =
                kernels->l2_row8(probe->query, fr_rows_high(rows, slot), row->scale, probe->dims);
        probe->found[probe->found_count++] =
                (struct fr_found){.distance = distance, .slot = slot, .version = version};
    }
    probe->stats.centroids += probe->found_count;
    probe->found_count = fr_select_found(probe->found, probe->found_count, count);
out:
    return st;
}

/* The lanes of a block that have an entry. */
static uint32_t lanes_in_use(uint32_t count, uint32_t place)
{
    return count - place >= FR_BLOCK_VECTORS ? 0xffffu : (1u << (count - place)) - 1;
}

/* Scan a node, and keep the entries whose bound is within the limit. */
static fr_status scan_node(struct fr_probe *probe, const struct fr_node *node, struct fr_scan *scan)
{
    const struct fr_kernels *kernels = probe->tree->space->kernels;
    uint32_t count = atomic_load_explicit(&node->count, memory_order_acquire);
    const uint8_t *block = node->blocks;
    fr_status st;

    if (count == 0) return FR_OK;
    FR_TRY(reserve_wanted(probe, count));
    struct fr_wanted *end = probe->wanted + probe->wanted_count;
    for (uint32_t place = 0; place < count; place += FR_BLOCK_VECTORS, block += node->block_size) {
        float bounds[FR_BLOCK_VECTORS];
        uint32_t wanted = kernels->scan(block, scan, bounds) & lanes_in_use(count, place);

        for (; wanted != 0; wanted &= wanted - 1) {
            unsigned lane = (unsigned)__builtin_ctz(wanted);
            *end++ = (struct fr_wanted){
                    .bound = bounds[lane], .entry = &node->entries[place + lane]};
        }
    }
    probe->wanted_count = (size_t)(end - probe->wanted);
    probe->stats.scanned += count;
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

static void fetch_row(const struct fr_rows *rows, const struct fr_node_entry *entry)
{
    const int8_t *high = fr_rows_high(rows, entry->slot);

    __builtin_prefetch(fr_rows_row(rows, entry->slot));
    for (size_t i = 0; i < rows->dims && i < 256; i += 64)
        __builtin_prefetch(high + i);
}

/* Measure all that is wanted and may be seen, into found. */
static fr_status measure_centroids(struct fr_probe *probe, const struct fr_rows *rows)
{
    const struct fr_kernels *kernels = probe->tree->space->kernels;
    size_t count = 0;
    fr_status st;

    FR_TRY(reserve_found(probe, probe->wanted_count));
    for (size_t i = 0; i < probe->wanted_count; i++) {
        const struct fr_node_entry *entry = probe->wanted[i].entry;

        if (i + FETCH_AHEAD < probe->wanted_count)
            fetch_row(rows, probe->wanted[i + FETCH_AHEAD].entry);
        if (!is_alive(probe, fr_rows_row(rows, entry->slot), entry->version)) continue;
        probe->found[count++] = (struct fr_found){.slot = entry->slot,
                .version = entry->version,
                .distance = kernels->l2_row8(probe->query, fr_rows_high(rows, entry->slot),
                        entry->scale, probe->dims)};
    }
    probe->found_count = count;
    probe->stats.measured += probe->wanted_count;
out:
    return st;
}

/* A row that is moving may be found twice, side by side since the distance is the same. */
static void drop_double(struct fr_probe *probe)
{
    size_t kept = 0;

    for (size_t i = 0; i < probe->found_count; i++)
        if (kept == 0 || probe->found[kept - 1].slot != probe->found[i].slot)
            probe->found[kept++] = probe->found[i];
    probe->found_count = kept;
}

/* Drop all but the best so many of what is wanted, and answer the bound of the worst of these. */
static float keep_best(struct fr_probe *probe, size_t count)
{
    float worst = -INFINITY;

    probe->wanted_count = fr_select_wanted(probe->wanted, probe->wanted_count, count);
    for (size_t i = 0; i < probe->wanted_count; i++)
        worst = fmaxf(worst, probe->wanted[i].bound);
    return worst;
}

/*
 * From the centroids found in a tier to those listed in their nodes, one tier below. The nearest
 * nodes come first, so after a few of them there is a limit that most of the rest do not keep.
 */
static fr_status step_down(struct fr_probe *probe, uint32_t tier, size_t count)
{
    const struct fr_rows *below = &probe->tree->tiers[tier - 1];
    size_t needed = OVERSAMPLING * count + FR_BLOCK_VECTORS;
    struct fr_scan scan = make_scan(probe);
    fr_status st;

    probe->wanted_count = 0;
    for (size_t i = 0; i < probe->found_count; i++) {
        const struct fr_node *node = fr_tree_node(probe->tree, tier, probe->found[i].slot);

        scan.offset = probe->found[i].distance;
        if (node != NULL) FR_TRY(scan_node(probe, node, &scan));
        if (probe->wanted_count >= 2 * needed) scan.limit = keep_best(probe, needed);
    }
    (void)keep_best(probe, needed);
    FR_TRY(measure_centroids(probe, below));
    probe->found_count = fr_select_found(probe->found, probe->found_count, count);
    drop_double(probe);
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
    for (uint32_t at = last; at > tier; at--)
        FR_TRY(step_down(probe, at, at - 1 == tier ? count : width));
out:
    return st;
}

/* A farther one leaves if there are k. The same row may come twice: then it has the same distance.
 */
static void keep_near(struct fr_probe *probe, float distance, size_t k)
{
    for (size_t i = 0; i < probe->near_count; i++)
        if (probe->near[i] == distance) return;
    fr_heap_push(probe->near, &probe->near_count, k, distance);
}

static float limit_now(const struct fr_probe *probe, size_t k)
{
    return probe->near_count < k ? INFINITY : probe->near[0];
}

static fr_status keep_in_pool(struct fr_probe *probe, struct fr_found found)
{
    void *pool = probe->pool;
    fr_status st =
            reserve(&pool, &probe->pool_capacity, probe->pool_count + 1, sizeof(*probe->pool));

    probe->pool = pool;
    if (st == FR_OK) probe->pool[probe->pool_count++] = found;
    return st;
}

/*
 * By its high bytes; those that may be among the k nearest go to the pool. An entry may have been
 * left behind by a row whose slot is being filled anew, so first see whether it is alive: then it
 * stays.
 */
static fr_status measure_row(struct fr_probe *probe, const struct fr_node_entry *entry, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    fr_status st = FR_OK;

    if (!is_alive(probe, fr_rows_row(rows, entry->slot), entry->version)) return FR_OK;
    float distance = probe->tree->space->kernels->l2_row8(probe->query,
            fr_rows_high(rows, entry->slot), entry->scale, probe->dims);
    if (!(distance <= NEAR_MARGIN * limit_now(probe, k))) return FR_OK;
    FR_TRY(keep_in_pool(probe,
            (struct fr_found){
                    .distance = distance, .slot = entry->slot, .version = entry->version}));
    keep_near(probe, distance, k);
out:
    return st;
}

/* The nearest by estimate first, since they lower the limit for the others. */
static fr_status measure_wanted(struct fr_probe *probe, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    float limit = limit_now(probe, k);
    size_t count = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; i < probe->wanted_count; i++)
        if (probe->wanted[i].bound <= limit) probe->wanted[count++] = probe->wanted[i];
    fr_sort_wanted(probe->wanted, count);
    for (size_t i = 0; i < count && i < FETCH_AHEAD; i++)
        fetch_row(rows, probe->wanted[i].entry);
    for (size_t i = 0; i < count && probe->wanted[i].bound <= limit_now(probe, k); i++) {
        if (i + FETCH_AHEAD < count) fetch_row(rows, probe->wanted[i + FETCH_AHEAD].entry);
        FR_TRY(measure_row(probe, probe->wanted[i].entry, k));
        probe->stats.measured++;
    }
    probe->wanted_count = 0;
out:
    return st;
}

static fr_status scan_postings(struct fr_probe *probe, const struct fr_effort *effort, size_t k)
{
    struct fr_scan scan = make_scan(probe);
    fr_status st = FR_OK;

    probe->wanted_count = probe->pool_count = probe->near_count = 0;
    for (size_t i = 0; i < probe->found_count; i++) {
        const struct fr_node *node = fr_tree_node(probe->tree, 1, probe->found[i].slot);

        if (i + 1 < probe->found_count)
            __builtin_prefetch(fr_tree_node(probe->tree, 1, probe->found[i + 1].slot));
        scan.offset = probe->found[i].distance;
        scan.slack = effort->slack * FR_CODE_DEVIATION * sqrtf(scan.offset);
        scan.limit = limit_now(probe, k);
        if (node != NULL) FR_TRY(scan_node(probe, node, &scan));
        if (is_time_to_measure(i + 1)) FR_TRY(measure_wanted(probe, k));
    }
    st = measure_wanted(probe, k);
out:
    return st;
}

/* By all their bits. */
static void finish_pool(struct fr_probe *probe, size_t k)
{
    const struct fr_rows *rows = &probe->tree->tiers[0];
    float limit = NEAR_MARGIN * limit_now(probe, k);
    size_t count = 0;

    for (size_t i = 0; i < probe->pool_count; i++)
        if (probe->pool[i].distance <= limit) probe->pool[count++] = probe->pool[i];
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(fr_rows_low(rows, probe->pool[i].slot));
    for (size_t i = 0; i < count; i++) {
        fr_slot slot = probe->pool[i].slot;

        probe->pool[i].distance =
                probe->tree->space->kernels->l2_row12(probe->query, fr_rows_high(rows, slot),
                        fr_rows_low(rows, slot), fr_rows_row(rows, slot)->scale, probe->dims);
    }
    probe->stats.finished += count;
    probe->pool_count = count;
}

fr_status fr_probe_search(struct fr_probe *probe, const struct fr_effort *effort, size_t k,
        struct fr_found *ret_found, size_t *ret_count)
{
    void *near = probe->near;
    size_t count = 0;
    fr_status st;

    FR_TRY(reserve(&near, &probe->near_capacity, k, sizeof(*probe->near)));
    probe->near = near;
    FR_TRY(fr_probe_descend(probe, 1, effort->postings, effort->width));
    FR_TRY(scan_postings(probe, effort, k));
    finish_pool(probe, k);
    probe->pool_count = fr_select_found(probe->pool, probe->pool_count, probe->pool_count);
    for (size_t i = 0; i < probe->pool_count && count < k; i++) {
        if (count > 0 && ret_found[count - 1].slot == probe->pool[i].slot) continue;
        ret_found[count++] = probe->pool[i];
    }
    *ret_count = count;
out:
    return st;
}
