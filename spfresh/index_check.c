/*
 * index_check.c - whether memory, what is derived and the rows say the same.
 *
 *     tree       what must hold in it (tree_check.c)
 *     rows       each row of v/ has an id in the map, and the code of its vector; no id has none;
 *                where ids are text, each row has one, whose entry in t/ has its number
 *     postings   each centroid of c/ and posting of p/ is as in memory; there are no others;
 *                not of an index that has given up what is derived, or writing altogether
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

struct check {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    size_t rows, texts, centroids, postings;
    float *vector, *x;
    int8_t *high;
    uint8_t *low;
    struct fr_id_set ids;
};

typedef fr_status visit_fn(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value);

static fr_status for_each(struct check *check, struct fr_index_key kind, visit_fn *visit)
{
    struct fr_engine_scan_options options = {
            .at = FR_SEQ_MAX, .prefix = fr_index_key_slice(&kind), .no_cache = true};
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_engine_scan(check->index->engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        FR_TRY(visit(check, &kind, it->entry.key, it->entry.value));
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(it);
    return st;
}

/* The row's text has an entry, which says that it is this one. */
static fr_status check_text_of(struct check *check, uint64_t id, fr_slice payload)
{
    struct fr_engine_value entry;
    uint64_t other = 0;
    fr_slice text;
    fr_status st;

    FR_TRY(fr_stored_split_text(&payload, &text));
    struct fr_index_key key = fr_key_text(&check->index->prefix, text);
    FR_TRY(fr_engine_get(check->index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, &entry));
    if (st == FR_OK) {
        st = fr_stored_read_text(entry.bytes, &other);
        fr_engine_value_release(&entry);
    }
    if (st == FR_NOT_FOUND || (st == FR_OK && other != id))
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " has the id of another one, or none", id);
out:
    return st;
}

static fr_status check_text(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    uint64_t id;
    fr_slice text;
    fr_status st;

    FR_TRY(fr_key_read_text(kind, key, &text));
    FR_TRY(fr_stored_read_text(value, &id));
    check->texts++;
out:
    return st;
}

static fr_status check_row(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[0];
    size_t dims = rows->dims;
    fr_slice payload;
    uint64_t id = 0;
    fr_status st;

    FR_TRY(fr_key_read_vector(kind, key, &id));
    FR_TRY(fr_stored_read_vector(value, check->index->options.dimension, check->vector, &payload));
    if (check->index->options.id_kind == FR_ID_TEXT) FR_TRY(check_text_of(check, id, payload));
    fr_slot slot = fr_id_map_find(&check->index->map, id);
    if (slot == FR_SLOT_NONE || !fr_row_is_live(fr_rows_row(rows, slot)))
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " is a row and not in the index", id);
    fr_space_map_row(check->tree->space, check->vector, check->x);
    float scale = fr_row_encode(check->x, dims, check->high, check->low);
    if (scale != fr_rows_row(rows, slot)->scale ||
            memcmp(check->high, fr_rows_high(rows, slot), dims) != 0 ||
            memcmp(check->low, fr_rows_low(rows, slot), fr_row_low_size(dims)) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " has the code of another one", id);
    check->rows++;
out:
    return st;
}

static fr_status check_centroid(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[1];
    struct fr_stored_centroid centroid;
    uint32_t number = 0;
    fr_status st;

    FR_TRY(fr_key_read_number(kind, key, &number));
    FR_TRY(fr_stored_read_centroid(value, rows->dims, &centroid));
    if (number >= rows->slot_count || !fr_row_is_live(fr_rows_row(rows, number)) ||
            memcmp(centroid.high, fr_rows_high(rows, number), rows->dims) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "centroid %" PRIu32 " is stored, but not in memory", number);
    check->centroids++;
out:
    return st;
}

static fr_status read_ids(struct check *check, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st;

    fr_id_set_clear(&check->ids);
    while ((st = fr_stored_read_record(&in, check->tree->space->dims, &record)) == FR_OK) {
        FR_TRY(fr_id_set_reserve(&check->ids, 1));
        if (record.came)
            fr_id_set_put(&check->ids, record.id, check);
        else
            fr_id_set_remove(&check->ids, record.id);
    }
out:
    return st < 0 ? st : FR_OK;
}

static fr_status check_posting(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[0];
    uint32_t number = 0;
    fr_status st;

    FR_TRY(fr_key_read_number(kind, key, &number));
    FR_TRY(read_ids(check, value));
    const struct fr_node *node =
            number < check->tree->tiers[1].slot_count ? fr_tree_node(check->tree, 1, number) : NULL;
    for (uint32_t place = 0; node != NULL && place < node->count; place++) {
        if (!fr_entry_is_own(rows, node, place)) continue;
        uint64_t id = fr_rows_row(rows, node->entries[place].slot)->id;
        if (fr_id_set_find(&check->ids, id) == NULL)
            return FR_FAIL(FR_ERR_CORRUPT, "posting %" PRIu32 " is stored without %" PRIu64, number,
                    id);
        fr_id_set_remove(&check->ids, id);
        check->postings++;
    }
    if (check->ids.count > 0)
        return FR_FAIL(FR_ERR_CORRUPT, "posting %" PRIu32 " is stored with %zu too many", number,
                check->ids.count);
out:
    return st;
}

static fr_status check_all(struct check *check)
{
    struct fr_spfresh *index = check->index;
    fr_status st;

    FR_TRY(fr_tree_check(check->tree));
    FR_TRY(for_each(check, fr_key_kind(&index->prefix, 'v'), check_row));
    if (check->rows != index->map.count || check->rows != check->tree->tiers[0].live_count)
        return FR_FAIL(FR_ERR_CORRUPT, "%zu rows, %zu ids, %zu vectors in the tree", check->rows,
                index->map.count, check->tree->tiers[0].live_count);
    if (index->options.id_kind == FR_ID_TEXT) {
        FR_TRY(for_each(check, fr_key_kind(&index->prefix, 't'), check_text));
        if (check->texts != check->rows)
            return FR_FAIL(FR_ERR_CORRUPT, "%zu ids of text for %zu rows", check->texts,
                    check->rows);
    }
    if (index->derived != FR_DERIVED_GOOD || index->failure.status < 0) return FR_OK;
    FR_TRY(for_each(check, fr_key_generation(&index->prefix, 'c', index->generation),
            check_centroid));
    FR_TRY(for_each(check, fr_key_generation(&index->prefix, 'p', index->generation),
            check_posting));
    if (check->centroids != check->tree->tiers[1].live_count || check->postings != check->rows)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%zu centroids are stored of %zu, their postings have %zu vectors of %zu",
                check->centroids, check->tree->tiers[1].live_count, check->postings, check->rows);
out:
    return st;
}

fr_status fr_spfresh_check(struct fr_spfresh *index)
{
    struct check check = {.index = index};
    size_t dims = index->space.dims;
    fr_status st;

    if (fr_spfresh_tree(index) == NULL) return FR_OK;
    FR_TRY(fr_spfresh_wait_loaded(index));
    check.vector = fr_alloc(index->options.dimension * sizeof(float));
    check.x = fr_alloc_aligned(dims * sizeof(float), 64);
    check.high = fr_alloc(dims);
    check.low = fr_alloc(fr_row_low_size(dims));
    if (check.vector == NULL || check.x == NULL || check.high == NULL || check.low == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "no memory to check an index");
    } else {
        fr_mutex_lock(&index->mu);
        fr_spfresh_quiesce_locked(index);
        check.tree = fr_spfresh_tree(index);
        fr_tree_bury(check.tree); /* the dead are not counted */
        st = check_all(&check);
        fr_spfresh_resume_locked(index);
        fr_mutex_unlock(&index->mu);
    }
    fr_free(check.vector);
    fr_free(check.x);
    fr_free(check.high);
    fr_free(check.low);
    fr_id_set_deinit(&check.ids);
out:
    return st;
}
