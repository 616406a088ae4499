/*
 * index_rebuild.c - an index is built anew while it is used.
 *
 *     moment       from here on ids that change are remembered
 *     calibrate    a space by a sample of all rows, and a tree in it
 *     fill         the rows as they were at the moment, by several threads
 *     catch up     with ids that writes have changed since, round by round, until few are left
 *     store        all postings of the new tree, as the next generation
 *     catch up     again; what changes in the new tree is stored, too
 *     swap         writes are held off: the last ids, and m/space with the new generation's number
 *                  in one batch; then calls begin in the new tree
 *     clear        calls that began in the old tree end, it is freed, its generation is removed
 *
 * Writes change the old tree and its generation until the swap, so nothing of them rests on the
 * rebuild: if it fails, or the process ends, the old generation is what there is. Each write tells
 * its ids to the rebuild once it is over (fr_spfresh_remember_locked), and catching up reads what
 * the rows of these ids are then. So it does not matter in which order they came, nor whether a
 * row was seen before: an id whose row has changed since it was read last is in the set. The set
 * begins with a moment at which no write is in flight, and that moment's rows are those that the
 * tree is filled with. The moment comes before the space: whatever may be longer than all that the
 * space was made for is in the set, and is counted when it is caught up with.
 *
 * A row that cannot be read ends it: what the old tree still has of that row would be gone.
 *
 * The new tree is nobody else's until the swap, so nothing here takes a lock for its sake.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/log.h"
#include "base/museum.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/* So few ids are left for the time in which writes wait. */
#define LEFT_FEW 64

/* Writers are slowed down while it lags; if that does not help, they wait for what is left. */
#define ROUNDS_MAX 64

/* Rows between two looks at whether it is to stop. */
#define ROWS_AT_ONCE 1024

struct rebuild {
    struct fr_spfresh *index;
    struct fr_rebuild shared;
    size_t threads;
    uint32_t number; /* of the new generation */
    struct fr_generation *next;
    uint64_t beyond; /* rows that came meanwhile, and that the new space does not reach either */
    bool is_stored;  /* it is, as far as it goes: what changes in it is stored as well */

    struct fr_view *view; /* of the moment */
    fr_seq at;

    /* Of who catches up. */
    struct fr_probe *probe;
    float *vector, *x;
    int8_t *high;
    uint8_t *low;
    struct fr_batch batch;
    struct fr_buf value;
};

static fr_status check_stop(struct rebuild *r)
{
    if (!atomic_load_explicit(&r->shared.stop, memory_order_relaxed)) return FR_OK;
    return FR_FAIL(FR_ERR_CANCELLED, "the index is being closed");
}

/* ---- What writes tell ---- */

void fr_spfresh_remember_locked(struct fr_spfresh *index, size_t count, const uint64_t *ids)
{
    struct fr_rebuild *rebuild = index->rebuild;
    struct fr_error why = {.size = sizeof(why)};

    if (FR_LIKELY(rebuild == NULL) || !rebuild->remembers || rebuild->refused < 0) return;
    fr_error_save(&why); /* the write's own */
    if (fr_id_set_reserve(&rebuild->changed, count) < 0) {
        FR_COVER("index: a rebuild cannot remember what has changed");
        rebuild->refused = FR_ERR_NOMEM;
        if (why.status < 0) (void)fr_error_restore(&why);
        return;
    }
    for (size_t i = 0; i < count; i++)
        fr_id_set_put(&rebuild->changed, ids[i], rebuild);
}

static fr_status refuse_space(void)
{
    return FR_FAIL(FR_ERR_NOSPACE, "the disk is full: a rebuild gives way to deletes");
}

static fr_status check_refused_locked(const struct rebuild *r) FR_REQUIRES(r->index->mu)
{
    if (r->index->failure.status < 0) return fr_error_restore(&r->index->failure);
    if (r->shared.refused == FR_ERR_NOMEM)
        return FR_FAIL(FR_ERR_NOMEM,
                "no memory to remember what changes while an index is rebuilt");
    return r->shared.refused == FR_ERR_NOSPACE ? refuse_space() : FR_OK;
}

/* What has changed so far; the set begins anew. */
static fr_status take_changed(struct rebuild *r, struct fr_id_set *ret_changed)
{
    fr_mutex_lock(&r->index->mu);
    fr_status st = check_refused_locked(r);
    if (st == FR_OK) {
        *ret_changed = r->shared.changed;
        r->shared.changed = (struct fr_id_set){0};
    }
    fr_mutex_unlock(&r->index->mu);
    return st;
}

static size_t count_changed(struct rebuild *r)
{
    fr_mutex_lock(&r->index->mu);
    size_t count = r->shared.changed.count;
    fr_mutex_unlock(&r->index->mu);
    return count;
}

/* ---- A space and a tree ---- */

/* What comes later may be longer again, and not be a reason for the next rebuild. */
#define LONGER 1.5f

/* Postings between two looks at whether it is to stop. */
#define TIDIED_AT_ONCE 64

/* Evenly from all rows; and how long the longest of these is, where that matters. */
static fr_status read_sample(struct rebuild *r, float *sample, size_t most, size_t *ret_count,
        float *ret_longest)
{
    struct fr_spfresh *index = r->index;
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    size_t dimension = index->options.dimension, count = 0, seen = 0;
    bool has_length = index->options.metric == FR_METRIC_INNER_PRODUCT;
    struct fr_iter *it = NULL;
    uint64_t id;
    fr_status st;

    FR_TRY(fr_spfresh_scan(index, &kind, &it));
    while ((count < most || has_length) && (st = fr_iter_next(it)) == FR_OK) {
        float *to = sample + count * dimension;

        if (seen % ROWS_AT_ONCE == 0) FR_TRY(check_stop(r));
        bool is_wanted = seen++ * most / r->shared.of >= count && count < most;
        if (!is_wanted && !has_length) continue;
        FR_TRY(fr_spfresh_read_row(index, it, &id, to));
        *ret_longest = FR_MAX(*ret_longest, fr_space_length(&r->next->space, to));
        count += is_wanted;
    }
    *ret_count = count;
out:
    fr_iter_close(it);
    return st < 0 ? st : FR_OK;
}

/* *ret_any: there is something to build from. */
static fr_status calibrate(struct rebuild *r, bool *ret_any)
{
    const struct fr_stored_options *options = &r->index->options;
    size_t most = FR_MIN((size_t)r->shared.of, FR_SPFRESH_SAMPLE), count = 0;
    float *sample = fr_alloc((most + 1) * options->dimension * sizeof(float));
    struct fr_space *space = &r->next->space;
    float longest = 0;
    fr_status st;

    if (sample == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to rebuild an index");
    FR_TRY(fr_space_init(space, options->metric, options->dimension, options->seed));
    FR_TRY(read_sample(r, sample, most, &count, &longest));
    *ret_any = count > 0;
    if (count == 0) goto out;
    FR_TRY(fr_space_calibrate(space, sample, count, LONGER * longest));
    FR_TRY(fr_spfresh_new_tree(r->index, space, false, &r->next->tree));
    r->next->tree->changes.on = false; /* all of it will be stored */
    fr_id_map_init(&r->next->map, &r->next->tree->tiers[0]);
out:
    fr_free(sample);
    return st;
}

/* From here on ids that change are remembered. No write is in flight at the moment. */
static void take_moment(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;

    fr_mutex_lock(&index->mu);
    fr_spfresh_quiesce_locked(index);
    r->shared.remembers = true;
    r->at = FR_SEQ_MAX;
    r->view = fr_engine_view_take(index->engine, &r->at);
    fr_spfresh_resume_locked(index);
    fr_mutex_unlock(&index->mu);
}

static void drop_moment(struct rebuild *r)
{
    if (r->view != NULL) fr_engine_view_release(r->index->engine, FR_TAKE(r->view));
}

static fr_status fill(struct rebuild *r)
{
    struct fr_filling how = {.tree = r->next->tree,
            .map = &r->next->map,
            .at = r->at,
            .view = r->view,
            .threads = r->shared.of < FR_SPFRESH_SAMPLE ? 1 : r->threads,
            .stop = &r->shared.stop,
            .done = &r->shared.done};
    fr_status st = fr_spfresh_fill(r->index, &how);

    drop_moment(r);
    /* So that it finds at once what the one before it found. */
    for (size_t left = 1; st == FR_OK && left > 0;) {
        st = check_stop(r);
        if (st == FR_OK) st = fr_tree_tidy(how.tree, TIDIED_AT_ONCE, &left);
    }
    return st;
}

/* ---- Catching up ---- */

static fr_status add_fragment(struct rebuild *r, fr_slot number)
{
    struct fr_index_key key = fr_key_posting(&r->index->prefix, r->number, number);
    fr_status st;

    FR_TRY(fr_buf_status(&r->value));
    st = fr_batch_add_append(&r->batch, fr_index_key_slice(&key), fr_buf_slice(&r->value));
out:
    return st;
}

/* The row in the slot is to leave its posting. */
static fr_status tell_left(struct rebuild *r, fr_slot slot)
{
    const struct fr_row *row = fr_rows_row(&r->next->tree->tiers[0], slot);

    if (!r->is_stored) return FR_OK;
    fr_buf_clear(&r->value);
    fr_stored_put_left(&r->value, row->id);
    return add_fragment(r, row->node);
}

static fr_status tell_came(struct rebuild *r, const struct fr_entrant *entrant)
{
    if (!r->is_stored) return FR_OK;
    fr_buf_clear(&r->value);
    fr_stored_put_came(&r->value, r->next->tree->space->dims, entrant->number, entrant->id,
            entrant->scale, entrant->high, entrant->low);
    return add_fragment(r, entrant->number);
}

/* An id that has no row. */
static fr_status remove_id(struct rebuild *r, uint64_t id)
{
    fr_slot slot = fr_id_map_find(&r->next->map, id);
    fr_status st;

    if (slot == FR_SLOT_NONE) return FR_OK;
    FR_TRY(tell_left(r, slot));
    fr_id_map_remove(&r->next->map, id);
    st = fr_tree_remove(r->next->tree, slot);
out:
    return st;
}

/* An id with a row, whose vector was read. */
static fr_status enter_id(struct rebuild *r, uint64_t id)
{
    struct fr_tree *tree = r->next->tree;
    struct fr_entrant entrant = {
            .id = id, .x = r->x, .high = r->high, .low = r->low, .slot = FR_SLOT_NONE};
    fr_slot before = fr_id_map_find(&r->next->map, id);
    fr_status st;

    r->beyond += fr_space_is_beyond(tree->space, r->vector);
    fr_space_map_row(tree->space, r->vector, r->x);
    FR_TRY(fr_tree_locate_one(r->probe, &entrant));
    FR_TRY(fr_id_map_reserve(&r->next->map, 1));
    FR_TRY(fr_tree_reserve(tree, 1));
    if (before != FR_SLOT_NONE) FR_TRY(tell_left(r, before));
    FR_TRY(fr_tree_enter(tree, &entrant));
    FR_TRY(tell_came(r, &entrant));
    fr_id_map_set(&r->next->map, entrant.slot);
    fr_tree_publish(tree, &entrant, 1, &before, before != FR_SLOT_NONE, 1);
out:
    return st;
}

static fr_status apply(struct rebuild *r, uint64_t id, fr_status found, fr_slice value)
{
    fr_slice payload;
    fr_status st;

    if (found == FR_NOT_FOUND) return remove_id(r, id);
    FR_TRY(fr_stored_read_vector(value, r->index->options.dimension, r->vector, &payload));
    st = enter_id(r, id);
out:
    return st;
}

/* Their rows are read as they are now. */
static fr_status apply_some(struct rebuild *r, const uint64_t *ids, size_t count)
{
    struct fr_engine *engine = r->index->engine;
    struct fr_engine_value values[FR_ENGINE_MULTI_MAX];
    struct fr_index_key keys[FR_ENGINE_MULTI_MAX];
    fr_slice slices[FR_ENGINE_MULTI_MAX] = {{0}};
    fr_status found[FR_ENGINE_MULTI_MAX] = {0}, st;
    fr_seq at = FR_SEQ_MAX;

    for (size_t i = 0; i < count; i++) {
        keys[i] = fr_key_vector(&r->index->prefix, ids[i]);
        slices[i] = fr_index_key_slice(&keys[i]);
    }
    struct fr_view *view = fr_engine_view_take(engine, &at);
    st = fr_engine_multi_get(engine, view, at, &(uint64_t){0}, count, slices, values, found);
    fr_engine_view_release(engine, view);
    if (st < 0) return st;
    for (size_t i = 0; i < count; i++) {
        if (st == FR_OK) st = found[i] < 0 ? found[i] : apply(r, ids[i], found[i], values[i].bytes);
        if (found[i] == FR_OK) fr_engine_value_release(&values[i]);
    }
    return st;
}

/* What has come of it in the tree, and into the batch if the generation is stored. */
static fr_status settle(struct rebuild *r)
{
    struct fr_tree *tree = r->next->tree;
    size_t left;
    fr_status st;

    FR_TRY(fr_tree_maintain(tree, SIZE_MAX, &left));
    if (r->is_stored) st = fr_spfresh_add_changes(r->index, r->number, tree, &r->batch);
out:
    return st;
}

static fr_status apply_all(struct rebuild *r, const struct fr_id_set *changed)
{
    uint64_t ids[FR_ENGINE_MULTI_MAX];
    size_t count = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; changed->count > 0 && i <= changed->mask; i++) {
        if (changed->items[i].owner != NULL) ids[count++] = changed->items[i].id;
        if (count < FR_ENGINE_MULTI_MAX && i < changed->mask) continue;
        FR_TRY(check_stop(r));
        FR_TRY(fr_spfresh_write_batch(r->index, &r->batch));
        FR_TRY(apply_some(r, ids, count));
        FR_TRY(settle(r));
        count = 0;
    }
out:
    return st;
}

/* With all that has changed so far. The last of what is to be stored stays in the batch. */
static fr_status catch_up(struct rebuild *r)
{
    struct fr_id_set changed = {0};
    fr_status st;

    FR_TRY(take_changed(r, &changed));
    st = apply_all(r, &changed);
out:
    fr_id_set_deinit(&changed);
    return st;
}

static fr_status catch_up_until_few(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;
    size_t count = count_changed(r);
    fr_status st = FR_OK;

    for (int round = 0; st == FR_OK && count > LEFT_FEW && round < ROUNDS_MAX; round++) {
        atomic_store_explicit(&index->behind, count, memory_order_relaxed);
        st = catch_up(r);
        count = count_changed(r);
    }
    atomic_store_explicit(&index->behind, 0, memory_order_relaxed);
    return st;
}

/* ---- What is stored ---- */

static fr_status add_space(struct rebuild *r)
{
    return fr_spfresh_add_space(r->index, r->number, r->next->tree->space, &r->batch, &r->value);
}

static fr_status store(struct rebuild *r)
{
    struct fr_tree *tree = r->next->tree;
    fr_status st;

    /* museum 44: the new generation is current before its postings are written */
    if (FR_MUSEUM(44)) FR_TRY(add_space(r));
    r->is_stored = true;
    FR_TRY(fr_spfresh_write_postings(r->index, r->number, tree, &r->shared.stop, &r->batch,
            &r->value));
    FR_TRY(fr_spfresh_write_batch(r->index, &r->batch));
    tree->changes.on = true;
out:
    return st;
}

/* Rows of a generation that nothing depends on. If they stay, the next opening removes them. */
static void clear(struct rebuild *r, uint32_t number)
{
    struct fr_error why = {.size = sizeof(why)};

    fr_error_save(&why);
    fr_batch_reset(&r->batch);
    fr_status st = fr_spfresh_add_clearing(r->index, number, &r->batch);
    if (st == FR_OK) st = fr_spfresh_write_batch(r->index, &r->batch);
    if (st < 0)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": rows of generation %" PRIu32 " stay: %s",
                r->index->name, number, fr_last_error());
    if (why.status < 0) (void)fr_error_restore(&why);
}

/* ---- The swap ---- */

static fr_status check_refused(struct rebuild *r)
{
    fr_mutex_lock(&r->index->mu);
    fr_status st = check_refused_locked(r);
    fr_mutex_unlock(&r->index->mu);
    return st;
}

/* No write is in flight. After a failure the old generation is current, in memory and stored: what
 * fails here either has not reached the log, or ends all writing. */
static fr_status make_current(struct rebuild *r)
{
    fr_status st;

    FR_TRY(check_refused(r));
    /* museum 43: a rebuild that loses what was written meanwhile */
    if (!FR_MUSEUM(43)) FR_TRY(catch_up(r));
    FR_TRY(fr_spfresh_add_no_loss(r->index, &r->batch)); /* or it would not have come so far */
    FR_TRY(add_space(r));
    st = fr_spfresh_write_batch(r->index, &r->batch);
out:
    return st;
}

/* What was done since the index was opened goes on being counted. Nobody changes either tree. */
static void add_stats(struct fr_tree *tree, const struct fr_tree_stats *before)
{
    fr_mutex_lock(&tree->mu);
    tree->stats.splits += before->splits;
    tree->stats.dissolved += before->dissolved;
    tree->stats.refreshed += before->refreshed;
    tree->stats.compacted += before->compacted;
    tree->stats.split_failures += before->split_failures;
    tree->stats.examined += before->examined;
    tree->stats.moved += before->moved;
    fr_mutex_unlock(&tree->mu);
}

static struct fr_generation *show_locked(struct fr_spfresh *index, struct rebuild *r)
        FR_REQUIRES(index->mu)
{
    uint32_t before = index->generation;

    add_stats(r->next->tree, &fr_spfresh_tree(index)->stats);
    index->generation = r->number;
    index->derived = FR_DERIVED_GOOD;
    index->refresh_owed = 0;
    index->outgrown = r->beyond;
    r->number = before; /* that one is to be cleared now */
    r->shared.remembers = false;
    /* Relaxed, both: for whoever looks next. */
    atomic_store_explicit(&index->pending, fr_tree_pending(r->next->tree), memory_order_relaxed);
    atomic_store_explicit(&index->efforts_due, 0, memory_order_relaxed);
    return fr_spfresh_show_locked(index, FR_TAKE(r->next));
}

/* Writers wait from the first line to the last but one; searches do not. */
static fr_status swap(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;
    struct fr_generation *before = NULL;

    fr_mutex_lock(&index->mu);
    fr_spfresh_quiesce_locked(index);
    fr_mutex_unlock(&index->mu);
    fr_status st = make_current(r);
    fr_mutex_lock(&index->mu);
    if (st == FR_OK) before = show_locked(index, r);
    fr_spfresh_resume_locked(index);
    fr_mutex_unlock(&index->mu);
    if (st < 0) return st;
    fr_spfresh_wait_abandoned(index, before);
    fr_spfresh_free_generation(index, before);
    return FR_OK;
}

/* ---- The whole ---- */

static fr_status init_rebuild(struct rebuild *r)
{
    size_t dimension = r->index->options.dimension, dims = r->index->space.dims;

    r->next = FR_NEW(struct fr_generation);
    r->vector = fr_alloc(dimension * sizeof(float));
    r->x = fr_alloc_aligned(dims * sizeof(float), 64);
    r->high = fr_alloc(dims);
    r->low = fr_alloc(fr_row_low_size(dims));
    if (r->next == NULL || r->vector == NULL || r->x == NULL || r->high == NULL || r->low == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to rebuild an index");
    return FR_OK;
}

static void deinit_rebuild(struct rebuild *r)
{
    drop_moment(r);
    if (r->is_stored) clear(r, r->number);
    fr_probe_free(r->probe);
    fr_spfresh_free_generation(r->index, r->next);
    fr_free(r->vector);
    fr_free(r->x);
    fr_free(r->high);
    fr_free(r->low);
    fr_batch_deinit(&r->batch);
    fr_buf_deinit(&r->value);
}

static fr_status run(struct rebuild *r)
{
    bool any = false;
    fr_status st;

    FR_TRY(init_rebuild(r));
    take_moment(r);
    FR_TRY(calibrate(r, &any));
    if (!any) goto out;
    FR_TRY(fill(r));
    FR_TRY(fr_probe_new(r->next->tree, &r->probe));
    FR_TRY(catch_up_until_few(r));
    FR_TRY(store(r));
    FR_TRY(catch_up_until_few(r));
    FR_TRY(swap(r));
    atomic_fetch_add_explicit(&r->index->rebuilds, 1, memory_order_relaxed);
out:
    deinit_rebuild(r);
    return st;
}

static fr_status begin(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;
    fr_status st = FR_OK;

    fr_mutex_lock(&index->mu);
    if (index->closing)
        st = FR_FAIL(FR_ERR_CANCELLED, "the index is being closed");
    else if (index->full_disk_deletes > 0)
        st = refuse_space();
    else if (index->rebuild != NULL)
        st = FR_FAIL(FR_ERR_BUSY, "index \"%s\" is being rebuilt", index->name);
    else
        index->rebuild = &r->shared;
    fr_mutex_unlock(&index->mu);
    return st;
}

/* Closing may go on from here: nothing of the index is looked at behind this. */
static void end(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;

    fr_mutex_lock(&index->mu);
    fr_id_set_deinit(&r->shared.changed);
    index->rebuild = NULL;
    fr_cond_broadcast(&index->turn);
    fr_mutex_unlock(&index->mu);
}

static fr_status run_loaded(struct rebuild *r)
{
    struct fr_spfresh *index = r->index;
    fr_status st;

    FR_TRY(fr_spfresh_wait_loaded(index));
    fr_mutex_lock(&index->mu);
    r->shared.of = index->map.count;
    r->number = index->generation + 1;
    fr_mutex_unlock(&index->mu);
    uint64_t start_us = fr_engine_now_us(index->engine);
    fr_log(FR_LOG_INFO, "spfresh", "index \"%s\": %" PRIu64 " vectors are built anew", index->name,
            r->shared.of);
    FR_TRY(run(r));
    fr_log(FR_LOG_INFO, "spfresh", "index \"%s\": was built anew in %" PRIu64 " ms", index->name,
            (fr_engine_now_us(index->engine) - start_us) / 1000);
    if (fr_spfresh_measure_efforts(index) < 0)
        fr_log(FR_LOG_WARN, "spfresh", "measuring efforts: %s", fr_last_error());
out:
    return st;
}

fr_status fr_spfresh_rebuild(struct fr_spfresh *index, uint32_t threads)
{
    struct rebuild r = {.index = index, .threads = threads};
    fr_status st;

    if (index->read_only)
        return FR_FAIL(FR_ERR_READONLY, "the store of this index is open for reading only");
    if (fr_spfresh_tree(index) == NULL) return FR_OK;
    FR_TRY(begin(&r));
    st = run_loaded(&r);
    if (st < 0)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\" stays as it is: %s", index->name,
                fr_last_error());
    end(&r);
out:
    return st;
}
