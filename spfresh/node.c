#include "spfresh/node.h"

#include <math.h>

#include <string.h>

#include "base/assert.h"
#include "base/status.h"

static size_t blocks_bytes(size_t block_size, size_t capacity)
{
    return capacity / FR_BLOCK_VECTORS * block_size;
}

fr_status fr_node_new(struct fr_node_pool *pool, size_t dims, fr_slot number, size_t capacity,
        struct fr_node **ret_node)
{
    size_t block_size = fr_block_size(dims);

    capacity = (capacity + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS * FR_BLOCK_VECTORS;
    size_t blocks = blocks_bytes(block_size, capacity);
    size_t size = sizeof(struct fr_node) + blocks + capacity * sizeof(struct fr_node_entry);
    struct fr_node *node = fr_node_pool_take(pool, size);
    if (node == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a posting of %zu", capacity);
    memset(node, 0, sizeof(*node) + blocks);
    node->pool = pool;
    node->size = size;
    node->number = number;
    node->dissolve_below = UINT32_MAX;
    node->capacity = (uint32_t)capacity;
    node->block_size = block_size;
    node->entries = (struct fr_node_entry *)(void *)(node->blocks + blocks);
    *ret_node = node;
    return FR_OK;
}

fr_status fr_node_new_lean(struct fr_node_pool *pool, const struct fr_node *from,
        struct fr_node **ret_node)
{
    uint32_t count = atomic_load_explicit(&from->count, memory_order_relaxed);
    size_t capacity = (count + FR_BLOCK_VECTORS - 1) / FR_BLOCK_VECTORS * FR_BLOCK_VECTORS;
    size_t blocks = blocks_bytes(from->block_size, capacity);
    struct fr_node *node = fr_node_pool_take(pool, sizeof(*node) + blocks);

    if (node == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the signs of %zu", capacity);
    memset(node, 0, sizeof(*node));
    memcpy(node->blocks, from->blocks, blocks);
    node->pool = pool;
    node->size = sizeof(*node) + blocks;
    node->number = from->number;
    node->dissolve_below = UINT32_MAX;
    node->capacity = (uint32_t)capacity;
    node->block_size = from->block_size;
    node->radius = from->radius;
    node->spot = from->spot;
    node->is_lean = true;
    atomic_init(&node->count, count);
    *ret_node = node;
    return FR_OK;
}

void fr_node_free(struct fr_node *node)
{
    if (node != NULL) fr_node_pool_give(node->pool, node, node->size);
}

uint32_t fr_node_append(struct fr_node *node, struct fr_node_entry entry, const float *x,
        const float *centroid, size_t dims)
{
    uint32_t place = atomic_load_explicit(&node->count, memory_order_relaxed);
    uint8_t *block = node->blocks + place / FR_BLOCK_VECTORS * node->block_size;

    FR_ASSERT(place < node->capacity);
    node->radius =
            fmaxf(node->radius, fr_block_put(block, place % FR_BLOCK_VECTORS, x, centroid, dims));
    node->entries[place] = entry;
    node->live++;
    atomic_store_explicit(&node->count, place + 1, memory_order_release);
    return place;
}

void fr_node_append_copy(struct fr_node *node, struct fr_node_entry entry, const float *x,
        const float *centroid, size_t dims)
{
    float radius = node->radius;

    entry.version--;
    FR_ASSERT(fr_entry_is_copy(&entry));
    (void)fr_node_append(node, entry, x, centroid, dims);
    node->live--;
    node->copies++;
    node->radius = radius; /* of those that belong here */
}

uint32_t fr_node_append_from(struct fr_node *node, const struct fr_node *from, uint32_t place)
{
    uint32_t to = atomic_load_explicit(&node->count, memory_order_relaxed);

    FR_ASSERT(to < node->capacity);
    fr_block_copy(node->blocks + to / FR_BLOCK_VECTORS * node->block_size, to % FR_BLOCK_VECTORS,
            from->blocks + place / FR_BLOCK_VECTORS * from->block_size, place % FR_BLOCK_VECTORS,
            node->block_size);
    node->radius = from->radius;
    node->entries[to] = from->entries[place];
    if (fr_entry_is_copy(&from->entries[place]))
        node->copies++;
    else
        node->live++;
    /* Release: the entry is complete. Acquire by whoever scans the node. */
    atomic_store_explicit(&node->count, to + 1, memory_order_release);
    return to;
}

void fr_node_take_signs(struct fr_node *node, const struct fr_node *lean)
{
    uint32_t count = atomic_load_explicit(&lean->count, memory_order_relaxed);

    FR_ASSERT(node->capacity >= lean->capacity);
    memcpy(node->blocks, lean->blocks, blocks_bytes(lean->block_size, lean->capacity));
    node->radius = lean->radius;
    node->live = count;
    /* Release: it is complete. Acquire by whoever scans it. */
    atomic_store_explicit(&node->count, count, memory_order_release);
}

void fr_node_hide(struct fr_node *node, uint32_t place)
{
    fr_block_hide(node->blocks + place / FR_BLOCK_VECTORS * node->block_size, node->block_size,
            place % FR_BLOCK_VECTORS);
}

void fr_node_copy(struct fr_node *to, const struct fr_node *from)
{
    uint32_t count = atomic_load_explicit(&from->count, memory_order_relaxed);

    FR_ASSERT(to->capacity >= count);
    memcpy(to->blocks, from->blocks, blocks_bytes(from->block_size, from->capacity));
    memcpy(to->entries, from->entries, count * sizeof(from->entries[0]));
    to->live = from->live;
    to->copies = from->copies;
    to->split_after = from->split_after;
    to->dissolve_below = from->dissolve_below;
    to->stale = from->stale;
    to->is_queued = from->is_queued;
    to->is_partial = from->is_partial;
    to->radius = from->radius;
    /* Release: the copy is complete. Acquire by whoever scans it. */
    atomic_store_explicit(&to->count, count, memory_order_release);
}
