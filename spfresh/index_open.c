/*
 * index_open.c - how an index comes to be, and comes back.
 *
 *     m/options    what it is; a new one has its own written first           index_options.c
 *     m/space      stands if all that is derived is complete
 *     c/           centroids, in the order of their numbers, into the tree
 *     tiers        the centroids' own, which are not stored
 *     p/           later: see index_load.c. The index is open without them
 *
 * If one of the first is not there, damaged, of a later version or in contradiction to another, the
 * tree is made from the rows of v/ before the index is open, and then all of it is written anew.
 * Rows are the truth: one that is damaged is lost (spfresh/lost.h), and the others serve.
 *
 * All is read in one view, for a reader's store may move on meanwhile.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/log.h"
#include "base/rng.h"
#include "spfresh/index_priv.h"

/* ---- Walking over one kind of rows ---- */

fr_status fr_spfresh_scan(struct fr_spfresh *index, const struct fr_index_key *kind,
        struct fr_iter **ret_iter)
{
    struct fr_engine_scan_options options = {.at = index->loading.at,
            .view = index->loading.view,
            .prefix = fr_index_key_slice(kind),
            .readahead_max = FR_SPFRESH_READAHEAD,
            .no_cache = true};

    return fr_engine_scan(index->engine, &options, ret_iter);
}

/* ---- The space and the tree ---- */

fr_status fr_spfresh_new_tree(struct fr_spfresh *index, const struct fr_space *space, bool restored,
        struct fr_tree **ret_tree)
{
    struct fr_tree_options options = {.split_limit = index->split_limit,
            .copies = index->copies,
            .chunk_bits = index->chunk_bits,
            .merge_limit = index->merge_limit,
            .charge = fr_engine_charge(index->engine, FR_MEMORY_INDEXES),
            .restored = restored};
    fr_status st;

    FR_TRY(fr_tree_new(space, &options, ret_tree));
    (*ret_tree)->changes.on = true;
out:
    return st;
}

fr_status fr_spfresh_make_tree(struct fr_spfresh *index, const float *sample, size_t count,
        bool restored, struct fr_tree **ret_tree)
{
    struct fr_tree *tree;
    fr_status st = FR_OK;

    if (count > 0) FR_TRY(fr_space_calibrate(&index->space, sample, count, 0));
    FR_TRY(fr_spfresh_new_tree(index, &index->space, restored, &tree));
    fr_id_map_deinit(&index->map);
    fr_id_map_init(&index->map, &tree->tiers[0]);
    *ret_tree = tree;
out:
    return st;
}

/* ---- From centroids ---- */

struct restoring {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    size_t vectors; /* in all postings, when these were last written as a whole */
};

static fr_status restore_centroid(struct restoring *r, fr_slice key, fr_slice value)
{
    struct fr_index_key kind = fr_key_generation(&r->index->prefix, 'c', r->index->generation);
    struct fr_stored_centroid centroid;
    uint32_t number, limit;
    fr_status st;

    FR_TRY(fr_key_read_number(&kind, key, &number));
    FR_TRY(fr_stored_read_centroid(value, r->index->space.dims, &centroid));
    /* Slots are used again, so there are never many more than there were postings. */
    limit = atomic_load(&r->tree->tiers[1].slot_count);
    if (number > limit + (1u << 20))
        return FR_FAIL(FR_ERR_CORRUPT, "posting %u comes behind %u", number, limit);
    FR_TRY(fr_tree_restore_posting(r->tree, number, centroid.scale, centroid.high, centroid.low));
    r->vectors += FR_MIN(centroid.count, 4096u);
out:
    return st;
}

static fr_status restore_all(struct restoring *r)
{
    struct fr_index_key centroids = fr_key_generation(&r->index->prefix, 'c', r->index->generation);
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_spfresh_scan(r->index, &centroids, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        FR_TRY(restore_centroid(r, it->entry.key, it->entry.value));
    if (st < 0) goto out;
    FR_TRY(fr_tree_restore_end(r->tree));
    st = fr_spfresh_loading_begin(r->index, r->tree, r->vectors);
out:
    fr_iter_close(it);
    return st;
}

/* The space was read. */
static fr_status restore(struct fr_spfresh *index, struct fr_tree **ret_tree)
{
    struct restoring r = {.index = index};
    fr_status st;

    FR_TRY(fr_spfresh_make_tree(index, NULL, 0, true, &r.tree));
    FR_TRY(restore_all(&r));
    *ret_tree = FR_TAKE(r.tree);
out:
    fr_tree_free(r.tree);
    return st;
}

/* ---- Opening ---- */

static fr_status get(struct fr_spfresh *index, struct fr_index_key key,
        struct fr_engine_value *ret_value)
{
    return fr_engine_get_in(index->engine, index->loading.view, fr_index_key_slice(&key),
            index->loading.at, ret_value);
}

/* Whether rows were missing when it was made. */
static fr_status find_lost(struct fr_spfresh *index)
{
    struct fr_engine_value value;
    fr_status st = get(index, fr_key_lost(&index->prefix), &value);

    index->loading.lacks_rows = st == FR_OK;
    if (st == FR_OK) fr_engine_value_release(&value);
    return st < 0 ? st : FR_OK;
}

/* FR_NOT_FOUND: what is derived is not complete. */
static fr_status open_derived(struct fr_spfresh *index, struct fr_tree **ret_tree)
{
    struct fr_engine_value value;

    if (index->options_lost)
        return FR_FAIL(FR_ERR_CORRUPT, "what is derived goes by options that are lost");
    fr_status st = get(index, fr_key_space(&index->prefix), &value);
    if (st != FR_OK) return st;
    st = fr_stored_read_space(value.bytes, &index->space, &index->generation);
    fr_engine_value_release(&value);
    if (st == FR_OK) st = find_lost(index);
    return st < 0 ? st : restore(index, ret_tree);
}

static fr_status has_any(struct fr_spfresh *index, fr_slice from, fr_slice to, bool *ret_any)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX, .lower = from, .upper = to};
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_engine_scan(index->engine, &options, &it));
    FR_TRY(fr_iter_next(it));
    *ret_any = st == FR_OK;
    st = FR_OK;
out:
    fr_iter_close(it);
    return st;
}

/* Into the batch, if there is anything. */
static fr_status add_removal(struct fr_spfresh *index, const struct fr_index_key *from,
        const struct fr_index_key *to, struct fr_batch *batch)
{
    fr_slice start = fr_index_key_slice(from), end = fr_index_key_slice(to);
    bool any = false;
    fr_status st = FR_OK;

    if (fr_slice_compare(start, end) >= 0) return FR_OK;
    FR_TRY(has_any(index, start, end, &any));
    if (any) st = fr_batch_add_delete_range(batch, start, end);
out:
    return st;
}

static fr_status remove_other_generations(struct fr_spfresh *index, struct fr_batch *batch)
{
    static const char kinds[2] = {'c', 'p'};
    fr_status st = FR_OK;

    for (int i = 0; i < 2; i++) {
        struct fr_index_key all = fr_key_kind(&index->prefix, kinds[i]), end = fr_key_behind(&all);
        struct fr_index_key own = fr_key_generation(&index->prefix, kinds[i], index->generation);
        struct fr_index_key behind = fr_key_behind(&own);

        FR_TRY(add_removal(index, &all, &own, batch));
        FR_TRY(add_removal(index, &behind, &end, batch));
    }
    if (batch->count == 0) return FR_OK;
    FR_COVER("index: another generation is left over");
    st = fr_spfresh_write_batch(index, batch);
out:
    return st;
}

/* What a rebuild has left behind whose end it was not to see. It costs nothing but space. */
static void sweep_generations(struct fr_spfresh *index)
{
    struct fr_batch batch = FR_BATCH_EMPTY;

    if (remove_other_generations(index, &batch) < 0)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": rows of another generation stay: %s",
                index->name, fr_last_error());
    fr_batch_deinit(&batch);
}

/* On a full disk an index opens all the same: what is deleted in it makes room. */
fr_status fr_spfresh_write_if_space(struct fr_spfresh *index, struct fr_tree *tree)
{
    fr_status st = fr_spfresh_write_derived(index, tree);

    if (st != FR_ERR_NOSPACE) return st;
    FR_COVER("index: opened on a full disk");
    return FR_OK;
}

static fr_status open_tree(struct fr_spfresh *index)
{
    struct fr_tree *tree = NULL;
    fr_status st = open_derived(index, &tree);

    if (st == FR_OK) index->derived = FR_DERIVED_GOOD;
    if (st != FR_NOT_FOUND && !fr_spfresh_is_damage(st)) goto out;
    atomic_store_explicit(&index->rebuilt, fr_spfresh_is_damage(st) ? 2 : 1, memory_order_relaxed);
    if (fr_spfresh_is_damage(st)) {
        FR_COVER("index: what is derived is damaged");
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": %s; it is built anew from its rows",
                index->name, fr_last_error());
    }
    FR_TRY(fr_spfresh_build(index, &tree));
    if (tree == NULL) {
        atomic_store_explicit(&index->rebuilt, 0, memory_order_relaxed);
        goto out;
    }
    index->derived = FR_DERIVED_GIVEN;
    if (!index->read_only) FR_TRY(fr_spfresh_write_if_space(index, tree));
out:
    if (st < 0) fr_tree_free(FR_TAKE(tree));
    if (tree != NULL) fr_spfresh_show_first(index, tree);
    return st;
}

static struct fr_spfresh *new_index(struct fr_engine *engine, const char *name)
{
    struct fr_spfresh *index = FR_NEW(struct fr_spfresh);

    if (index == NULL) return NULL;
    index->engine = engine;
    index->generation = FR_GENERATION_FIRST;
    fr_key_prefix(name, &index->prefix);
    memcpy(index->name, name, strlen(name) + 1);
    fr_spfresh_loading_init(index);
    fr_mutex_init(&index->mu, FR_RANK_SPFRESH_INDEX);
    fr_mutex_init(&index->works_mu, FR_RANK_LEAF);
    fr_cond_init(&index->turn);
    fr_cond_init(&index->work);
    fr_cond_init(&index->abandoned);
    fr_efforts_init(&index->efforts);
    fr_lost_init(&index->lost);
    return index;
}

fr_status fr_spfresh_open(struct fr_engine *engine, const char *name,
        const struct fr_spfresh_setup *setup, struct fr_spfresh **ret_index)
{
    struct fr_spfresh *index = new_index(engine, name);
    fr_status st;

    if (index == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an index");
    index->read_only = setup->read_only;
    index->pin = setup->pin;
    index->split_limit = setup->split_limit;
    static_assert(FR_SPFRESH_NO_COPIES == FR_COPIES_NONE, "a setup says it as a tree's options do");
    index->copies = setup->copies;
    index->chunk_bits = setup->chunk_bits;
    index->merge_limit = setup->merge_limit;
    index->loading.at = FR_SEQ_MAX;
    index->loading.view = fr_engine_view_take(engine, &index->loading.at);
    FR_TRY(fr_spfresh_find_options(index, setup));
    FR_TRY(fr_space_init(&index->space, index->options.metric, index->options.dimension,
            index->options.seed));
    if (index->options.id_kind == FR_ID_TEXT) FR_TRY(fr_spfresh_find_next_number(index));
    FR_TRY(open_tree(index));
    if (!index->read_only) sweep_generations(index);
    fr_spfresh_loading_start(index, !setup->unhurried);
    if (!setup->manual && !setup->read_only) {
        FR_TRY(fr_thread_start(&index->thread, "fr-rebuilder", fr_spfresh_thread_main, index));
        index->has_thread = true;
    }
    *ret_index = FR_TAKE(index);
out:
    fr_spfresh_close(index);
    return st;
}

void fr_spfresh_close(struct fr_spfresh *index)
{
    struct fr_work *next;

    if (index == NULL) return;
    fr_mutex_lock(&index->mu);
    index->closing = true;
    fr_cond_broadcast(&index->work);
    if (index->rebuild != NULL)
        atomic_store_explicit(&index->rebuild->stop, true, memory_order_relaxed);
    fr_mutex_unlock(&index->mu);
    fr_spfresh_loading_stop(index);
    fr_mutex_lock(&index->mu);
    while (index->rebuild != NULL)
        fr_cond_wait(&index->turn, &index->mu);
    fr_mutex_unlock(&index->mu);
    if (index->has_thread) fr_thread_join(&index->thread);
    for (struct fr_work *work = index->works; work != NULL; work = next) {
        next = work->next;
        fr_spfresh_free_work(work);
    }
    fr_spfresh_loading_deinit(index);
    fr_lost_deinit(&index->lost);
    fr_id_map_deinit(&index->map);
    fr_id_set_deinit(&index->in_flight);
    fr_id_set_deinit(&index->texts);
    fr_spfresh_free_generation(index, index->current);
    fr_space_deinit(&index->space);
    fr_cond_deinit(&index->turn);
    fr_cond_deinit(&index->work);
    fr_cond_deinit(&index->abandoned);
    fr_mutex_deinit(&index->mu);
    fr_mutex_deinit(&index->works_mu);
    fr_free(index);
}

uint32_t fr_spfresh_dimension(const struct fr_spfresh *index)
{
    return index->options.dimension;
}
