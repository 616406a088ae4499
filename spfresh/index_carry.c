/*
 * index_carry.c - codes of rows that are lost, carried into an index that is built anew.
 *
 * What a posting has of a row is enough for searches that estimate. So where a row is lost, and the
 * posting and the space in which its codes were made are whole, the code is entered instead.
 */
#include "base/alloc.h"
#include "spfresh/code.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

fr_status fr_spfresh_read_space(struct fr_spfresh *index)
{
    struct fr_index_key key = fr_key_space(&index->prefix);
    struct fr_space stored = index->space;
    struct fr_engine_value value;
    uint32_t generation;
    fr_status st;

    if (index->options_lost) return FR_NOT_FOUND; /* of another seed */
    stored.center = fr_alloc(stored.dims * sizeof(float));
    if (stored.center == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a space");
    st = fr_engine_get_in(index->engine, index->loading.view, fr_index_key_slice(&key),
            index->loading.at, &value);
    if (st == FR_OK) {
        st = fr_stored_read_space(value.bytes, &stored, &generation);
        fr_engine_value_release(&value);
    }
    if (st == FR_OK) {
        memcpy(index->space.center, stored.center, stored.dims * sizeof(float));
        index->space.scale = stored.scale;
        index->space.reach = stored.reach;
        index->generation = generation;
    }
    fr_free(stored.center);
    return fr_spfresh_is_damage(st) ? FR_NOT_FOUND : st;
}

struct carrier {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    struct fr_probe *probe;
    struct fr_id_set latest; /* of a posting: where the record is by which an id is in it */
    float *x;
    int8_t *high;
    uint8_t *low;
};

static fr_status enter_code(struct carrier *c, const struct fr_stored_record *record)
{
    struct fr_entrant entrant = {
            .id = record->id, .x = c->x, .high = c->high, .low = c->low, .slot = FR_SLOT_NONE};
    struct fr_id_map *map = &c->index->map;
    fr_status st;

    fr_row_decode(record->high, record->low, record->scale, c->tree->space->dims, c->x);
    FR_TRY(fr_tree_locate_one(c->probe, &entrant));
    FR_TRY(fr_id_map_reserve(map, 1));
    FR_TRY(fr_tree_enter(c->tree, &entrant));
    fr_tree_publish(c->tree, &entrant, 1, NULL, 0, 0);
    fr_id_map_set(map, entrant.slot);
out:
    return st;
}

static fr_status carry_record(struct carrier *c, const struct fr_stored_record *record)
{
    if (!record->came || fr_id_set_find(&c->latest, record->id) != record->high) return FR_OK;
    if (fr_id_map_find(&c->index->map, record->id) != FR_SLOT_NONE) return FR_OK;
    fr_status st = fr_lost_check(c->index, record->id);

    return st == FR_ERR_CORRUPT ? enter_code(c, record) : st < 0 ? st : FR_OK;
}

/* Which records of a posting count in the end. */
static fr_status settle(struct carrier *c, uint32_t number, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st;

    fr_id_set_clear(&c->latest);
    while ((st = fr_stored_read_record(&in, c->tree->space->dims, number, &record)) == FR_OK) {
        FR_TRY(fr_id_set_reserve(&c->latest, 1));
        if (record.came)
            fr_id_set_put(&c->latest, record.id, record.high);
        else
            fr_id_set_remove(&c->latest, record.id);
    }
out:
    return st;
}

/* One that is damaged says nothing: what left may have been in the part that is. */
static fr_status carry_posting(struct carrier *c, uint32_t number, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st = settle(c, number, value);

    if (fr_spfresh_is_damage(st)) return FR_OK;
    if (st < 0) return st;
    while ((st = fr_stored_read_record(&in, c->tree->space->dims, number, &record)) == FR_OK)
        FR_TRY(carry_record(c, &record));
out:
    return st < 0 ? st : FR_OK;
}

/* By a lookup: a walk that passes over damage may have only a part of it. */
static fr_status carry_key(struct carrier *c, const struct fr_index_key *kind, fr_slice key)
{
    struct fr_engine_value value;
    uint32_t number;
    fr_status st;

    if (fr_key_read_number(kind, key, &number) < 0) return FR_OK;
    st = fr_engine_get_in(c->index->engine, c->index->loading.view, key, c->index->loading.at,
            &value);

    if (st == FR_NOT_FOUND || fr_spfresh_is_damage(st)) return FR_OK;
    if (st < 0) return st;
    st = carry_posting(c, number, value.bytes);
    fr_engine_value_release(&value);
    return st;
}

static fr_status pass_over(void *ctx, fr_slice low, fr_slice high)
{
    (void)ctx, (void)low, (void)high;
    return FR_OK;
}

static fr_status carry_all(struct carrier *c)
{
    struct fr_index_key kind = fr_key_generation(&c->index->prefix, 'p', c->index->generation);
    struct fr_engine_scan_options options = {.at = c->index->loading.at,
            .view = c->index->loading.view,
            .prefix = fr_index_key_slice(&kind),
            .readahead_max = FR_SPFRESH_READAHEAD,
            .no_cache = true,
            .damage = pass_over};
    struct fr_iter *it = NULL;
    size_t left;
    fr_status st;

    FR_TRY(fr_engine_scan(c->index->engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        FR_TRY(carry_key(c, &kind, it->entry.key));
    if (st == FR_END) st = fr_tree_maintain(c->tree, SIZE_MAX, &left);
out:
    fr_iter_close(it);
    return st;
}

fr_status fr_spfresh_carry_codes(struct fr_spfresh *index, struct fr_tree *tree)
{
    size_t dims = index->space.dims;
    struct carrier c = {.index = index, .tree = tree};
    fr_status st;

    FR_TRY(fr_probe_new(tree, &c.probe));
    c.x = fr_alloc_aligned(dims * sizeof(float), 64);
    c.high = fr_alloc(dims);
    c.low = fr_alloc(fr_row_low_size(dims));
    if (c.x == NULL || c.high == NULL || c.low == NULL)
        st = FR_FAIL(FR_ERR_NOMEM, "no memory to build an index");
    if (st == FR_OK) st = carry_all(&c);
out:
    fr_probe_free(c.probe);
    fr_id_set_deinit(&c.latest);
    fr_free(c.x);
    fr_free(c.high);
    fr_free(c.low);
    return st;
}
