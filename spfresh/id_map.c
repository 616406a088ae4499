#include "spfresh/id_map.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

#define CAPACITY_MIN 64

void fr_id_map_init(struct fr_id_map *map, const struct fr_rows *rows)
{
    *map = (struct fr_id_map){.rows = rows};
}

void fr_id_map_deinit(struct fr_id_map *map)
{
    fr_free(map->slots);
    *map = (struct fr_id_map){0};
}

/* Ids often count up: all their bits must matter. (Finalizer of MurmurHash3, A. Appleby.) */
static size_t hash(uint64_t id)
{
    id = (id ^ id >> 33) * 0xff51afd7ed558ccdULL;
    id = (id ^ id >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return (size_t)(id ^ id >> 33);
}

static uint64_t id_at(const struct fr_id_map *map, size_t at)
{
    return fr_rows_row(map->rows, map->slots[at])->id;
}

/* Where the id is, or the free place where it would be. There is a free one. */
static size_t find(const struct fr_id_map *map, uint64_t id)
{
    size_t at = hash(id) & map->mask;

    while (map->slots[at] != FR_SLOT_NONE && id_at(map, at) != id)
        at = (at + 1) & map->mask;
    return at;
}

fr_slot fr_id_map_find(const struct fr_id_map *map, uint64_t id)
{
    return map->mask == 0 ? FR_SLOT_NONE : map->slots[find(map, id)];
}

void fr_id_map_fetch(const struct fr_id_map *map, uint64_t id)
{
    if (map->mask > 0) __builtin_prefetch(&map->slots[hash(id) & map->mask], 1);
}

void fr_id_map_fetch_row(const struct fr_id_map *map, uint64_t id)
{
    fr_slot slot = map->mask > 0 ? map->slots[hash(id) & map->mask] : FR_SLOT_NONE;

    if (slot != FR_SLOT_NONE) __builtin_prefetch(fr_rows_row(map->rows, slot));
}

static fr_status grow(struct fr_id_map *map, size_t capacity)
{
    struct fr_id_map grown = {.rows = map->rows, .mask = capacity - 1, .count = map->count};

    fr_charge before = fr_account_work_for(map->rows->charge);
    grown.slots = fr_alloc(capacity * sizeof(*grown.slots));
    (void)fr_account_work_for(before);
    if (grown.slots == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for the ids of an index: %zu", map->count);
    for (size_t i = 0; i < capacity; i++)
        grown.slots[i] = FR_SLOT_NONE;
    for (size_t i = 0; map->mask > 0 && i <= map->mask; i++)
        if (map->slots[i] != FR_SLOT_NONE) grown.slots[find(&grown, id_at(map, i))] = map->slots[i];
    fr_free(map->slots);
    *map = grown;
    return FR_OK;
}

/* Full to four fifths at the most. */
fr_status fr_id_map_reserve(struct fr_id_map *map, size_t more)
{
    size_t needed = (map->count + more) * 5 / 4 + 1, capacity = CAPACITY_MIN;

    if (map->mask > 0 && needed <= map->mask) return FR_OK;
    while (capacity <= needed)
        capacity *= 2;
    return grow(map, capacity);
}

void fr_id_map_set(struct fr_id_map *map, fr_slot slot)
{
    size_t at = find(map, fr_rows_row(map->rows, slot)->id);

    FR_ASSERT(map->count < map->mask);
    map->count += map->slots[at] == FR_SLOT_NONE;
    map->slots[at] = slot;
}

/* Those behind come nearer to where they belong, so that no gap hides them. */
void fr_id_map_remove(struct fr_id_map *map, uint64_t id)
{
    if (map->mask == 0) return;
    size_t gap = find(map, id);
    if (map->slots[gap] == FR_SLOT_NONE) return;
    map->count--;
    for (size_t at = (gap + 1) & map->mask; map->slots[at] != FR_SLOT_NONE;
            at = (at + 1) & map->mask) {
        size_t home = hash(id_at(map, at)) & map->mask;

        if (((at - home) & map->mask) < ((at - gap) & map->mask)) continue;
        map->slots[gap] = map->slots[at];
        gap = at;
    }
    map->slots[gap] = FR_SLOT_NONE;
}

size_t fr_id_map_bytes(const struct fr_id_map *map)
{
    return map->mask == 0 ? 0 : (map->mask + 1) * sizeof(*map->slots);
}

/* ---- The set ---- */

void fr_id_set_deinit(struct fr_id_set *set)
{
    fr_free(set->items);
    *set = (struct fr_id_set){0};
}

void fr_id_set_clear(struct fr_id_set *set)
{
    for (size_t i = 0; set->count > 0 && i <= set->mask; i++)
        set->items[i].owner = NULL;
    set->count = 0;
}

static size_t find_item(const struct fr_id_set *set, uint64_t id)
{
    size_t at = hash(id) & set->mask;

    while (set->items[at].owner != NULL && set->items[at].id != id)
        at = (at + 1) & set->mask;
    return at;
}

const void *fr_id_set_find(const struct fr_id_set *set, uint64_t id)
{
    return set->mask == 0 ? NULL : set->items[find_item(set, id)].owner;
}

fr_status fr_id_set_reserve(struct fr_id_set *set, size_t more)
{
    size_t needed = (set->count + more) * 2, capacity = CAPACITY_MIN;

    if (set->mask > 0 && needed <= set->mask) return FR_OK;
    while (capacity <= needed)
        capacity *= 2;
    struct fr_id_set grown = {.mask = capacity - 1, .count = set->count};
    grown.items = fr_alloc_zeroed(capacity, sizeof(*grown.items));
    if (grown.items == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a set of ids");
    for (size_t i = 0; set->mask > 0 && i <= set->mask; i++)
        if (set->items[i].owner != NULL)
            grown.items[find_item(&grown, set->items[i].id)] = set->items[i];
    fr_free(set->items);
    *set = grown;
    return FR_OK;
}

void fr_id_set_put(struct fr_id_set *set, uint64_t id, const void *owner)
{
    struct fr_id_item *item = &set->items[find_item(set, id)];

    set->count += item->owner == NULL;
    *item = (struct fr_id_item){.id = id, .owner = owner};
}

void fr_id_set_remove(struct fr_id_set *set, uint64_t id)
{
    if (set->mask == 0) return;
    size_t gap = find_item(set, id);
    if (set->items[gap].owner == NULL) return;
    set->count--;
    for (size_t at = (gap + 1) & set->mask; set->items[at].owner != NULL;
            at = (at + 1) & set->mask) {
        size_t home = hash(set->items[at].id) & set->mask;

        if (((at - home) & set->mask) < ((at - gap) & set->mask)) continue;
        set->items[gap] = set->items[at];
        gap = at;
    }
    set->items[gap].owner = NULL;
}
