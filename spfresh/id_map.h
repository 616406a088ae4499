/*
 * id_map.h - which slot has the row of an id.
 *
 * A hash table of slots, open addressing, five to ten bytes for each id: ids themselves are in the
 * rows. One thread at a time.
 */
#ifndef FR_SPFRESH_ID_MAP_H
#define FR_SPFRESH_ID_MAP_H

#include "spfresh/rows.h"

struct fr_id_map {
    const struct fr_rows *rows;
    fr_slot *slots; /* FR_SLOT_NONE: free */
    size_t mask;    /* their number, a power of two, less one; 0: none yet */
    size_t count;
};

void fr_id_map_init(struct fr_id_map *map, const struct fr_rows *rows);
void fr_id_map_deinit(struct fr_id_map *map);

/* FR_SLOT_NONE: there is none. */
fr_slot fr_id_map_find(const struct fr_id_map *map, uint64_t id);

/* Let come what fr_id_map_find will look at first. */
void fr_id_map_fetch(const struct fr_id_map *map, uint64_t id);

/* The same of the row that is looked at first, once that has come. */
void fr_id_map_fetch_row(const struct fr_id_map *map, uint64_t id);

/* Room for so many more, so that fr_id_map_set does not fail. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_id_map_reserve(struct fr_id_map *map, size_t more);

/* The id of the slot's row is there from now on, in place of where it was. Room was reserved. */
void fr_id_map_set(struct fr_id_map *map, fr_slot slot);

/* Forget an id; it may not be there. */
void fr_id_map_remove(struct fr_id_map *map, uint64_t id);

size_t fr_id_map_bytes(const struct fr_id_map *map);

/* Ids, and for each a pointer that is not NULL. One thread at a time. */
struct fr_id_set {
    struct fr_id_item {
        uint64_t id;
        const void *owner; /* NULL: free */
    } * items;
    size_t mask; /* as above */
    size_t count;
};

void fr_id_set_deinit(struct fr_id_set *set);
void fr_id_set_clear(struct fr_id_set *set);

/* NULL: it is not in. */
const void *fr_id_set_find(const struct fr_id_set *set, uint64_t id);
FR_NODISCARD fr_status fr_id_set_reserve(struct fr_id_set *set, size_t more);

/* Room was reserved. */
void fr_id_set_put(struct fr_id_set *set, uint64_t id, const void *owner);
void fr_id_set_remove(struct fr_id_set *set, uint64_t id);

#endif
