/*
 * index_mend.c - what is derived, made right by the rows, when a part of it is damaged.
 *
 * All postings that can be read are in memory. The rows are walked over: one that is in the index
 * by its very code stays where it is, any other is entered as if it came just now, and what has no
 * row leaves. Searches go on meanwhile. Then all that is derived is written anew by who asked.
 *
 * A row that is lost (spfresh/lost.h) may have its code in a posting that is whole. That stays.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/log.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/* Rows between two looks at whether it is to stop. */
#define ROWS_AT_ONCE 64

struct mender {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    struct fr_work *work;
    struct fr_row_walk rows;
    float *vector, *x;
    int8_t *high;
    uint8_t *low;
    struct fr_code_room room;
    uint8_t *seen; /* a bit of each slot */
    size_t seen_capacity;
    uint64_t entered, removed;
};

static fr_status see(struct mender *m, fr_slot slot)
{
    if (slot / 8 >= m->seen_capacity) {
        size_t capacity = FR_MAX((size_t)slot / 4, (size_t)1024);
        uint8_t *grown = fr_realloc(m->seen, capacity);

        if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to mend an index");
        memset(grown + m->seen_capacity, 0, capacity - m->seen_capacity);
        m->seen = grown;
        m->seen_capacity = capacity;
    }
    m->seen[slot / 8] |= (uint8_t)(1u << slot % 8);
    return FR_OK;
}

static bool was_seen(const struct mender *m, fr_slot slot)
{
    return slot / 8 < m->seen_capacity && (m->seen[slot / 8] >> slot % 8 & 1) != 0;
}

/* Lost ones are there again, for whatever is entered there; searches know that rows are missing. */
static fr_status make_lost(struct fr_spfresh *index)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    fr_status st = FR_OK;

    for (uint32_t number = 0; number < index->loading.slot_count; number++) {
        struct fr_node *node;

        if (!fr_spfresh_is_posting(index, number) || fr_tree_node(tree, 1, number) != NULL)
            continue;
        FR_TRY(fr_node_new(&tree->pool, index->space.dims, number, 1, &node));
        node->is_partial = true;
        fr_tree_load_show(tree, node);
    }
out:
    return st;
}

/* The row is entered as it is, and what the index had of it before leaves. */
static fr_status enter_row(struct mender *m, uint64_t id, fr_slot before, fr_slot *ret_slot)
{
    struct fr_entrant entrant = {.id = id, .x = m->x, .high = m->high, .low = m->low};
    struct fr_id_map *map = &m->index->map;
    fr_status st;

    FR_TRY(fr_tree_locate_one(m->work->probe, &entrant));
    FR_TRY(fr_tree_reserve(m->tree, 1));
    fr_mutex_lock(&m->index->mu);
    st = fr_id_map_reserve(map, 1);
    if (st == FR_OK) st = fr_tree_enter(m->tree, &entrant);
    if (st == FR_OK) fr_id_map_set(map, entrant.slot);
    fr_tree_publish(m->tree, &entrant, st == FR_OK, &before, st == FR_OK && before != FR_SLOT_NONE,
            1);
    fr_mutex_unlock(&m->index->mu);
    *ret_slot = entrant.slot;
    m->entered++;
out:
    return st;
}

static fr_status mend_row(struct mender *m, uint64_t id)
{
    struct fr_code code = {.high = m->high, .low = m->low};
    bool is_good = false;
    fr_status st = FR_OK;

    fr_space_map_row(&m->index->space, m->vector, m->x);
    code.scale = fr_row_encode(m->x, m->index->space.dims, m->high, m->low);
    fr_mutex_lock(&m->index->mu);
    fr_slot slot = fr_id_map_find(&m->index->map, id);
    fr_mutex_unlock(&m->index->mu);
    if (slot != FR_SLOT_NONE) FR_TRY(fr_tree_has_code(m->tree, slot, &code, &m->room, &is_good));
    if (!is_good) FR_TRY(enter_row(m, id, slot, &slot));
    st = see(m, slot);
out:
    return st;
}

static fr_status mend_rows(struct mender *m)
{
    size_t count = 0;
    uint64_t id;
    fr_status st;

    FR_TRY(fr_row_walk_open(&m->rows, m->index));
    while ((st = fr_row_walk_next(&m->rows, &id, m->vector)) == FR_OK) {
        if (++count % ROWS_AT_ONCE == 0) FR_TRY(fr_spfresh_check_stop(m->index));
        FR_TRY(mend_row(m, id));
    }
out:
    return st < 0 ? st : FR_OK;
}

/* Where rows are lost, not to have been seen is not yet to have none. */
static fr_status has_row(const struct mender *m, uint64_t id, bool *ret_has)
{
    fr_status st = fr_lost_any(m->index) ? fr_lost_check(m->index, id) : FR_NOT_FOUND;

    *ret_has = st != FR_NOT_FOUND;
    return st == FR_NOT_FOUND || st == FR_ERR_CORRUPT ? FR_OK : st;
}

/* What has no row. */
static fr_status remove_rest(struct mender *m)
{
    const struct fr_rows *rows = &m->tree->tiers[0];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);
    fr_status st = FR_OK;
    bool has;

    for (fr_slot slot = 0; slot < count; slot++) {
        const struct fr_row *row = fr_rows_row(rows, slot);

        if (!fr_row_is_live(row) || was_seen(m, slot)) continue;
        FR_TRY(has_row(m, row->id, &has));
        if (has) continue;
        fr_mutex_lock(&m->index->mu);
        fr_id_map_remove(&m->index->map, row->id);
        fr_mutex_unlock(&m->index->mu);
        FR_TRY(fr_tree_remove(m->tree, slot));
        m->removed++;
    }
out:
    return st;
}

static fr_status init_mender(struct mender *m, struct fr_spfresh *index)
{
    size_t dims = index->space.dims;
    fr_status st;

    *m = (struct mender){.index = index, .tree = fr_spfresh_tree(index)};
    FR_TRY(fr_spfresh_take_work(index, &m->work));
    m->vector = fr_alloc(index->options.dimension * sizeof(float));
    m->x = fr_alloc_aligned(dims * sizeof(float), 64);
    m->high = fr_alloc(dims);
    m->low = fr_alloc(fr_row_low_size(dims));
    if (m->vector == NULL || m->x == NULL || m->high == NULL || m->low == NULL)
        st = FR_FAIL(FR_ERR_NOMEM, "no memory to mend an index");
    else
        st = fr_code_room_init(&m->room, dims);
out:
    return st;
}

static void deinit_mender(struct mender *m)
{
    fr_row_walk_close(&m->rows);
    fr_spfresh_give_work(m->index, m->work);
    fr_free(m->vector);
    fr_free(m->x);
    fr_free(m->high);
    fr_free(m->low);
    fr_code_room_deinit(&m->room);
    fr_free(m->seen);
}

fr_status fr_spfresh_mend(struct fr_spfresh *index)
{
    struct mender m;
    fr_status st;

    st = init_mender(&m, index);
    if (st == FR_OK) st = make_lost(index);
    if (st == FR_OK) st = mend_rows(&m);
    if (st == FR_OK) st = remove_rest(&m);
    index->loading.has_changed = m.entered + m.removed > 0;
    if (index->loading.has_changed) atomic_store_explicit(&index->rebuilt, 2, memory_order_relaxed);
    if (st == FR_OK)
        fr_log(FR_LOG_WARN, "spfresh",
                "index \"%s\": %" PRIu64 " vectors were entered by their rows, %" PRIu64
                " had none and were removed",
                index->name, m.entered, m.removed);
    deinit_mender(&m);
    return st;
}
