/*
 * index_load.c - postings come into memory after the index has been opened.
 *
 * Opening reads what searches begin with: the space, the centroids and the tiers above them. A
 * posting is loaded by whoever comes first:
 *
 *     a thread   all of them, in the order of their numbers, by two walks side by side if there are
 *                many
 *     a search   those that it wants to scan, in one submission; it waits for those that somebody
 *                else is at
 *
 *     WAITING ----> CLAIMED ----> LOADED      by whoever claimed it; back to WAITING if that failed
 *                      |             ^
 *                      +--> LOST ----+        damaged; mended from the rows
 *
 * In an index that has too little memory for all of them they also leave again (index_tiers.c).
 *
 * Everything is read in one view, that of opening. Whoever needs the map of ids (upserts, deletes,
 * maintenance, verification) waits until all is loaded, so until then nothing changes but by
 * loading. Where the thread has failed, whoever waits does its work.
 *
 * A posting that is damaged, or contradicts another one, loses nothing but time: see index_mend.c.
 * Searches go on meanwhile; one that wants to scan a lost posting waits, since it could miss what
 * was in it.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/log.h"
#include "base/museum.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/* Fewer postings are walked over by one thread. */
#define POSTINGS_MANY 256

/* Postings between two looks at whether it is to stop. */
#define TIDIED_AT_ONCE 16

/* ---- One posting ---- */

/* The memory of whoever loads. */
struct loader {
    struct fr_spfresh *index;
    struct fr_id_set latest; /* of one posting: the record by which an id is in it */
    struct fr_stored_record *records;
    size_t record_count, record_capacity;
    struct fr_entrant *rows; /* as many */
    size_t row_count;
    float *scratch;
    struct fr_buf value;

    /* Of a walk. */
    uint32_t from, to;
    bool until_full, is_full; /* it ends where memory does; it has */
    struct fr_thread thread;
    struct fr_error failure;
};

static fr_status init_loader(struct loader *l, struct fr_spfresh *index)
{
    *l = (struct loader){.index = index,
            .to = index->loading.slot_count,
            .until_full = fr_spfresh_is_bounded(index)};
    l->scratch = fr_alloc_aligned(2 * index->space.dims * sizeof(float), 64);
    return l->scratch != NULL ? FR_OK : FR_FAIL(FR_ERR_NOMEM, "no memory to load an index");
}

static void deinit_loader(struct loader *l)
{
    fr_id_set_deinit(&l->latest);
    fr_free(l->records);
    fr_free(l->rows);
    fr_free(l->scratch);
    fr_buf_deinit(&l->value);
}

static fr_status grow_loader(struct loader *l)
{
    size_t capacity = FR_MAX((size_t)256, 2 * l->record_capacity);
    struct fr_stored_record *records = fr_realloc(l->records, capacity * sizeof(*records));

    if (records == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a posting");
    l->records = records;
    struct fr_entrant *rows = fr_realloc(l->rows, capacity * sizeof(*rows));
    if (rows == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a posting");
    l->rows = rows;
    l->record_capacity = capacity;
    return FR_OK;
}

static fr_status read_records(struct loader *l, uint32_t number, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st;

    l->record_count = 0;
    while ((st = fr_stored_read_record(&in, l->index->space.dims, number, &record)) == FR_OK) {
        if (l->record_count == l->record_capacity) FR_TRY(grow_loader(l));
        l->records[l->record_count++] = record;
    }
out:
    return st < 0 ? st : FR_OK;
}

/* museum 46: an id that is used again comes back with the code of its former life */
static void revive(struct fr_stored_record *at, const struct fr_stored_record *before)
{
    at->scale = before->scale;
    at->high = before->high;
    at->low = before->low;
}

/* What is in a posting in the end. Records of ids that left have came false then. */
static fr_status settle_records(struct loader *l)
{
    fr_status st;

    fr_id_set_clear(&l->latest);
    FR_TRY(fr_id_set_reserve(&l->latest, l->record_count));
    for (size_t i = 0; i < l->record_count; i++) {
        struct fr_stored_record *at = &l->records[i];
        struct fr_stored_record *before = fr_unconst(fr_id_set_find(&l->latest, at->id));

        if (before != NULL) before->came = false;
        if (FR_MUSEUM(46) && before != NULL && at->came) revive(at, before);
        if (at->came)
            fr_id_set_put(&l->latest, at->id, at);
        else if (!FR_MUSEUM(46))
            fr_id_set_remove(&l->latest, at->id);
    }
out:
    return st;
}

static fr_status read_posting(struct loader *l, uint32_t number, fr_slice value)
{
    fr_status st;

    FR_TRY(read_records(l, number, value));
    FR_TRY(settle_records(l));
    l->row_count = 0;
    for (size_t i = 0; i < l->record_count; i++) {
        const struct fr_stored_record *record = &l->records[i];

        if (record->came)
            l->rows[l->row_count++] = (struct fr_entrant){.id = record->id,
                    .scale = record->scale,
                    .high = fr_unconst(record->high),
                    .low = fr_unconst(record->low)};
    }
out:
    return st;
}

/* All of them or none. */
static fr_status map_rows_locked(struct loader *l) FR_REQUIRES(l->index->mu)
{
    struct fr_id_map *map = &l->index->map;
    size_t done = 0;
    fr_status st;

    FR_TRY(fr_id_map_reserve(map, l->row_count));
    for (size_t i = 0; i < l->row_count; i++)
        fr_id_map_fetch(map, l->rows[i].id);
    for (size_t i = 0; i < l->row_count; i++)
        fr_id_map_fetch_row(map, l->rows[i].id);
    for (; done < l->row_count; done++) {
        if (fr_id_map_find(map, l->rows[done].id) != FR_SLOT_NONE) {
            st = FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " is in two postings", l->rows[done].id);
            goto out;
        }
        fr_id_map_set(map, l->rows[done].slot);
    }
    return FR_OK;
out:
    while (done-- > 0)
        fr_id_map_remove(map, l->rows[done].id);
    return st;
}

static fr_status map_rows(struct loader *l)
{
    fr_mutex_lock(&l->index->mu);
    fr_status st = map_rows_locked(l);
    fr_mutex_unlock(&l->index->mu);
    return st;
}

/* It was claimed. spot: where the value lies. */
static fr_status load_value(struct loader *l, uint32_t number, fr_slice value, struct fr_spot spot)
{
    struct fr_tree *tree = fr_spfresh_tree(l->index);
    struct fr_node *node;
    fr_status st;

    FR_TRY(read_posting(l, number, value));
    FR_TRY(fr_tree_load_rows(tree, number, l->rows, l->row_count, l->scratch, &node));
    /* Record by record is row by row only if nothing has left, or has come again. */
    if (l->row_count < l->record_count) spot = (struct fr_spot){0};
    node->spot = fr_spfresh_spot(l->index, number, spot, l->rows, l->row_count, &l->value);
    st = fr_spfresh_is_bounded(l->index) ? FR_OK : map_rows(l);
    if (st == FR_OK)
        fr_tree_load_show(tree, node);
    else
        fr_tree_load_undo(tree, node, l->rows, l->row_count);
    fr_spfresh_fit_tree(l->index, tree);
out:
    return st;
}

/* ---- States ---- */

/* The first damage; its words are the last error's. */
static void tell_damage(struct fr_spfresh *index)
{
    FR_COVER("index: a posting is damaged");
    /* Relaxed: for people. */
    atomic_store_explicit(&index->rebuilt, 2, memory_order_relaxed);
    fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": %s; what is missing is made from the rows",
            index->name, fr_last_error());
}

/* Of no posting in particular. */
static void note_damage(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    bool first = !l->is_damaged;
    l->is_damaged = true;
    fr_mutex_unlock(&l->mu);
    if (first) tell_damage(index);
}

fr_status fr_spfresh_found_twice(struct fr_spfresh *index, uint64_t id)
{
    (void)FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " is in two postings", id);
    note_damage(index);
    return fr_spfresh_wait_loaded(index);
}

static bool claim(struct fr_loading *l, uint32_t number)
{
    fr_mutex_lock(&l->mu);
    bool was_lean = l->states[number] == FR_POSTING_LEAN;
    bool mine = !l->is_switching &&
                (l->states[number] == FR_POSTING_WAITING || l->states[number] == FR_POSTING_LEAN);
    if (mine) {
        l->states[number] = FR_POSTING_CLAIMED;
        l->lean -= was_lean;
    }
    fr_mutex_unlock(&l->mu);
    return mine;
}

/* Of one that could not be loaded: as it was. */
static enum fr_posting_state state_of_rest(const struct fr_spfresh *index, uint32_t number)
{
    bool has_signs = fr_tree_node(fr_spfresh_tree(index), 1, number) != NULL;

    return has_signs ? FR_POSTING_LEAN : FR_POSTING_WAITING;
}

/* What has become of one that was claimed. Damage is no failure: it is dealt with later. */
static fr_status settle(struct fr_spfresh *index, uint32_t number, fr_status st)
{
    struct fr_loading *l = &index->loading;
    enum fr_posting_state state = st == FR_OK                ? FR_POSTING_LOADED
                                  : fr_spfresh_is_damage(st) ? FR_POSTING_LOST
                                                             : state_of_rest(index, number);

    fr_mutex_lock(&l->mu);
    FR_ASSERT(l->states[number] == FR_POSTING_CLAIMED);
    l->states[number] = (uint8_t)state;
    bool first = state == FR_POSTING_LOST && !l->is_damaged;
    /* At once: when none is claimed any more, all is known. */
    l->is_damaged |= state == FR_POSTING_LOST;
    l->lean += state == FR_POSTING_LEAN;
    if (state == FR_POSTING_LOADED) {
        l->left--;
        l->loads++;
    }
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
    if (first) tell_damage(index);
    return state == FR_POSTING_LOST ? FR_OK : st;
}

bool fr_spfresh_is_posting(const struct fr_spfresh *index, uint32_t number)
{
    return number < index->loading.slot_count &&
           fr_row_is_live(fr_rows_row(&fr_spfresh_tree(index)->tiers[1], number));
}

/* ---- One after the other ---- */

static bool must_stop(struct fr_spfresh *index)
{
    /* Relaxed: it only has to be seen soon. */
    return atomic_load_explicit(&index->loading.stop, memory_order_relaxed);
}

static fr_status stopped(void)
{
    return FR_FAIL(FR_ERR_CANCELLED, "the index is being closed");
}

fr_status fr_spfresh_check_stop(struct fr_spfresh *index)
{
    return must_stop(index) ? stopped() : FR_OK;
}

/* A posting that nothing is stored of is empty. */
static fr_status load_empty(struct loader *l, uint32_t from, uint32_t to)
{
    fr_status st = FR_OK;

    for (uint32_t number = from; number < to; number++) {
        if (!fr_spfresh_is_posting(l->index, number) || !claim(&l->index->loading, number))
            continue;
        st = load_value(l, number, fr_slice_of(NULL, 0), (struct fr_spot){0});
        FR_TRY(settle(l->index, number, st));
    }
out:
    return st;
}

/* Memory of a posting that is stored as so many bytes, about. */
static size_t bytes_in_memory(size_t stored)
{
    return stored + stored / 4 + 1024;
}

/* Of an index that has too little memory for all, even of their signs; or somebody wants it all. */
static bool is_full(const struct loader *l, size_t stored)
{
    return l->until_full &&
           (!fr_spfresh_make_lean(l->index, bytes_in_memory(stored)) ||
                   atomic_load_explicit(&l->index->loading.all_wanted, memory_order_relaxed));
}

/* FR_END: it was not loaded, and nothing is any more. */
static fr_status load_entry(struct loader *l, const struct fr_index_key *kind,
        const struct fr_iter *it)
{
    uint32_t number = 0;
    fr_status st;

    FR_TRY(fr_spfresh_check_stop(l->index));
    FR_TRY(fr_key_read_number(kind, it->entry.key, &number));
    if (!fr_spfresh_is_posting(l->index, number))
        return FR_FAIL(FR_ERR_CORRUPT, "posting %" PRIu32 " has no centroid", number);
    if (is_full(l, it->entry.value.size)) return FR_END;
    FR_TRY(load_empty(l, l->from, number));
    l->from = number + 1;
    if (!claim(&l->index->loading, number)) return FR_OK;
    st = load_value(l, number, it->entry.value, fr_engine_scan_spot(it));
    st = settle(l->index, number, st);
out:
    return st;
}

/* All postings from l->from on. */
static fr_status walk(struct loader *l, bool to_end)
{
    struct fr_spfresh *index = l->index;
    struct fr_index_key kind = fr_key_generation(&index->prefix, 'p', index->generation);
    struct fr_index_key lower = fr_key_posting(&index->prefix, index->generation, l->from);
    struct fr_index_key upper = to_end ? fr_key_behind(&kind)
                                       : fr_key_posting(&index->prefix, index->generation, l->to);
    struct fr_engine_scan_options options = {.at = index->loading.at,
            .view = index->loading.view,
            .lower = fr_index_key_slice(&lower),
            .upper = fr_index_key_slice(&upper),
            .readahead_max = FR_SPFRESH_READAHEAD,
            .no_cache = true};
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_engine_scan(index->engine, &options, &it));
    while (!l->is_full && (st = fr_iter_next(it)) == FR_OK) {
        FR_TRY(load_entry(l, &kind, it));
        l->is_full = st == FR_END;
    }
    if (st == FR_END) st = l->is_full ? FR_OK : load_empty(l, l->from, l->to);
out:
    fr_iter_close(it);
    if (!fr_spfresh_is_damage(st)) return st;
    note_damage(index); /* those behind are read one by one */
    return FR_OK;
}

static void walk_main(void *arg)
{
    struct loader *l = arg;

    if (walk(l, l->to == l->index->loading.slot_count) < 0) fr_error_save(&l->failure);
}

/* Two halves at once, the second one by a thread of its own if there can be one. */
static fr_status walk_halves(struct fr_spfresh *index)
{
    struct loader first, second;
    fr_status st, joined = FR_OK;

    FR_TRY(init_loader(&first, index));
    st = init_loader(&second, index);
    first.to = second.from = index->loading.slot_count / 2;
    if (st == FR_OK) {
        FR_COVER("index: two walks load");
        bool side_by_side =
                fr_thread_start(&second.thread, "fr-load-2", walk_main, &second) == FR_OK;
        st = walk(&first, false);
        if (side_by_side)
            fr_thread_join(&second.thread);
        else
            walk_main(&second);
        if (second.failure.status < 0) joined = fr_error_restore(&second.failure);
    }
    deinit_loader(&first);
    deinit_loader(&second);
out:
    return st < 0 ? st : joined;
}

static fr_status walk_all(struct fr_spfresh *index)
{
    struct loader l;
    fr_status st;

    if (index->loading.total >= POSTINGS_MANY && fr_thread_cpu_count() > 1)
        return walk_halves(index);
    FR_TRY(init_loader(&l, index));
    st = walk(&l, true);
    deinit_loader(&l);
out:
    return st;
}

/* ---- Some of them ---- */

static fr_status load_claimed(struct loader *l, const uint32_t *numbers, size_t count)
{
    struct fr_spfresh *index = l->index;
    struct fr_engine_value values[FR_ENGINE_MULTI_MAX];
    struct fr_index_key keys[FR_ENGINE_MULTI_MAX];
    fr_slice slices[FR_ENGINE_MULTI_MAX] = {{0}};
    fr_status statuses[FR_ENGINE_MULTI_MAX] = {0}, first = FR_OK;
    struct fr_view *view = index->loading.view, *now = NULL;
    fr_seq at = index->loading.at;

    if (view == NULL) view = now = fr_engine_view_take(index->engine, &at);
    for (size_t i = 0; i < count; i++) {
        keys[i] = fr_key_posting(&index->prefix, index->generation, numbers[i]);
        slices[i] = fr_index_key_slice(&keys[i]);
    }
    fr_status all = fr_engine_multi_get(index->engine, view, at, &(uint64_t){0}, count, slices,
            values, statuses);
    for (size_t i = 0; i < count; i++) {
        fr_status st = all < 0 ? all : statuses[i];

        if (st == FR_OK) {
            fr_spfresh_make_room(index, bytes_in_memory(values[i].bytes.size));
            st = load_value(l, numbers[i], values[i].bytes, values[i].spot);
            fr_engine_value_release(&values[i]);
        } else if (st == FR_NOT_FOUND) {
            st = load_value(l, numbers[i], fr_slice_of(NULL, 0), (struct fr_spot){0});
        }
        st = settle(index, numbers[i], st);
        if (st < 0) first = st;
    }
    if (now != NULL) fr_engine_view_release(index->engine, now);
    return first;
}

/* One submission for all that nobody else is at. */
static fr_status load_some(struct loader *l, const uint32_t *numbers, size_t count)
{
    uint32_t mine[FR_ENGINE_MULTI_MAX];
    size_t mine_count = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        if (claim(&l->index->loading, numbers[i])) mine[mine_count++] = numbers[i];
        if (mine_count < FR_ENGINE_MULTI_MAX && i + 1 < count) continue;
        if (mine_count > 0) FR_TRY(load_claimed(l, mine, mine_count));
        mine_count = 0;
    }
out:
    return st;
}

static bool is_unsettled(struct fr_loading *l, uint32_t number)
{
    fr_mutex_lock(&l->mu);
    bool unsettled =
            l->states[number] == FR_POSTING_WAITING || l->states[number] == FR_POSTING_CLAIMED;
    fr_mutex_unlock(&l->mu);
    return unsettled;
}

/* Whether it was claimed by somebody who has failed. */
static bool waits_again(struct fr_loading *l, uint32_t number)
{
    fr_mutex_lock(&l->mu);
    while (l->states[number] == FR_POSTING_CLAIMED)
        fr_cond_wait(&l->changed, &l->mu);
    bool waits = l->states[number] == FR_POSTING_WAITING;
    fr_mutex_unlock(&l->mu);
    return waits;
}

static fr_status load_until_settled(struct loader *l, const uint32_t *numbers, size_t count)
{
    bool all_settled;
    fr_status st;

    do {
        FR_TRY(fr_spfresh_check_stop(l->index));
        FR_TRY(load_some(l, numbers, count));
        all_settled = true;
        for (size_t i = 0; i < count; i++)
            if (waits_again(&l->index->loading, numbers[i])) all_settled = false;
    } while (!all_settled);
out:
    return st;
}

/* Whatever the walks have left. */
static fr_status load_rest(struct fr_spfresh *index)
{
    uint32_t numbers[FR_ENGINE_MULTI_MAX];
    size_t count = 0;
    struct loader l;
    fr_status st;

    FR_TRY(init_loader(&l, index));
    for (uint32_t number = 0; number < index->loading.slot_count && st == FR_OK; number++) {
        if (!fr_spfresh_is_posting(index, number) || !is_unsettled(&index->loading, number))
            continue;
        numbers[count++] = number;
        if (count < FR_ENGINE_MULTI_MAX) continue;
        st = load_until_settled(&l, numbers, count);
        count = 0;
    }
    if (st == FR_OK) st = load_until_settled(&l, numbers, count);
    deinit_loader(&l);
out:
    return st;
}

/* ---- All of it ---- */

/* Searches need not wait any more. */
static void complete(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_tree_set_partial(fr_spfresh_tree(index), false);
    fr_mutex_lock(&l->mu);
    memset(l->states, FR_POSTING_LOADED, l->slot_count);
    l->left = 0;
    l->is_complete = true;
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
}

static void drop_view(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    if (l->view != NULL) fr_engine_view_release(index->engine, FR_TAKE(l->view));
    l->at = FR_SEQ_MAX;
}

/* All that can be read, by walks at first. */
static fr_status load_readable(struct fr_spfresh *index)
{
    fr_status st;

    fr_mutex_lock(&index->mu);
    st = fr_id_map_reserve(&index->map, index->loading.vectors_hint);
    fr_mutex_unlock(&index->mu);
    if (st < 0) FR_COVER("index: room for the ids comes little by little");
    FR_TRY(walk_all(index));
    st = load_rest(index);
out:
    return st;
}

static fr_status mend_if_damaged(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    bool damaged = l->is_damaged;
    fr_mutex_unlock(&l->mu);
    return damaged || l->lacks_rows ? fr_spfresh_mend(index) : FR_OK;
}

/* After it was mended. */
static fr_status write_anew(struct fr_spfresh *index)
{
    fr_status st = FR_OK;

    if (index->read_only) return FR_OK;
    FR_TRY(fr_spfresh_check_stop(index));
    fr_mutex_lock(&index->mu);
    index->derived = FR_DERIVED_GIVEN;
    st = fr_spfresh_write_if_space(index, fr_spfresh_tree(index));
    fr_mutex_unlock(&index->mu);
out:
    return st;
}

/* Nobody else is at it, but searches. What was done before by one who failed is not done again. */
static fr_status load_all(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;
    fr_status st = FR_OK;

    if (!l->is_complete) {
        FR_TRY(fr_spfresh_unbound(index));
        FR_TRY(load_readable(index));
        FR_TRY(mend_if_damaged(index));
        complete(index);
    }
    if (l->is_damaged || l->has_changed || (l->lacks_rows && !fr_lost_any(index)))
        FR_TRY(write_anew(index));
    atomic_store_explicit(&index->pending, fr_tree_pending(fr_spfresh_tree(index)),
            memory_order_relaxed);
    drop_view(index);
    /* Release: who sees that all is loaded sees all that was. */
    atomic_store_explicit(&l->on, false, memory_order_release);
out:
    return st;
}

static void end_turn(struct fr_spfresh *index, fr_status st)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    /* Damage will be there the next time, too; all else is tried again. */
    if (fr_spfresh_is_damage(st)) fr_error_save(&l->failure);
    l->has_worker = false;
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
}

/* Damage is mended at once, for which all is loaded. */
static fr_status load_until_full(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;
    fr_status st;

    FR_TRY(walk_all(index));
    fr_mutex_lock(&l->mu);
    bool damaged = l->is_damaged || l->lacks_rows;
    fr_mutex_unlock(&l->mu);
    if (damaged) st = load_all(index);
out:
    return st;
}

static void set_copies_rows(struct fr_spfresh *index, bool copies)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    while (copies && l->copies_held > 0 && !must_stop(index))
        fr_cond_wait(&l->changed, &l->mu);
    l->copies_rows = copies;
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
}

void fr_spfresh_hold_copies(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    l->copies_held++;
    while (l->copies_rows)
        fr_cond_wait(&l->changed, &l->mu);
    fr_mutex_unlock(&l->mu);
}

void fr_spfresh_let_copies(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    l->copies_held--;
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
}

/* Nobody maintains what is open for reading only. */
static fr_status copy_rows(struct fr_spfresh *index)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    fr_status st = FR_OK;

    if (!index->read_only || fr_spfresh_is_loading(index)) return FR_OK;
    tree->changes.on = false;
    for (size_t left = 1; left > 0;) {
        FR_TRY(fr_spfresh_check_stop(index));
        set_copies_rows(index, true);
        st = fr_tree_tidy(tree, TIDIED_AT_ONCE, &left);
        set_copies_rows(index, false);
        if (st < 0) return st;
    }
out:
    return st;
}

static void loader_main(void *arg)
{
    struct fr_spfresh *index = arg;
    fr_status st = fr_spfresh_is_bounded(index) ? load_until_full(index) : load_all(index);

    if (st == FR_OK) st = copy_rows(index);
    if (st < 0 && st != FR_ERR_CANCELLED)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": loading: %s", index->name, fr_last_error());
    end_turn(index, st);
}

/* FR_OK: it is the caller's turn to load, or there is nothing to load any more. */
static fr_status take_turn_locked(struct fr_spfresh *index) FR_REQUIRES(index->loading.mu)
{
    struct fr_loading *l = &index->loading;

    while (fr_spfresh_is_loading(index) && l->has_worker && !must_stop(index))
        fr_cond_wait(&l->changed, &index->loading.mu);
    if (!fr_spfresh_is_loading(index)) return FR_OK;
    if (must_stop(index)) return FR_ERR_CANCELLED;
    if (l->failure.status < 0) return l->failure.status;
    l->has_worker = true;
    return FR_OK;
}

fr_status fr_spfresh_wait_loaded(struct fr_spfresh *index)
{
    fr_status st;

    if (FR_LIKELY(!fr_spfresh_is_loading(index))) return FR_OK;
    atomic_store_explicit(&index->loading.all_wanted, true, memory_order_relaxed);
    fr_mutex_lock(&index->loading.mu);
    st = take_turn_locked(index);
    fr_mutex_unlock(&index->loading.mu);
    if (st == FR_ERR_CANCELLED) return stopped();
    if (st < 0) return fr_error_restore(&index->loading.failure);
    if (!fr_spfresh_is_loading(index)) return FR_OK;
    st = load_all(index);
    end_turn(index, st);
    return st;
}

/* Until it is loaded by whoever has claimed it, or mended; it may have to be loaded yet. */
static fr_status wait_for(struct fr_spfresh *index, uint32_t number)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    while (l->is_switching || l->states[number] == FR_POSTING_CLAIMED ||
            (l->states[number] == FR_POSTING_LOST && l->has_worker))
        fr_cond_wait(&l->changed, &l->mu);
    bool lost = l->states[number] == FR_POSTING_LOST;
    fr_mutex_unlock(&l->mu);
    return lost ? fr_spfresh_wait_loaded(index) : FR_OK;
}

fr_status fr_spfresh_load_found(struct fr_spfresh *index, const struct fr_found *found,
        size_t count, struct fr_pins *pins)
{
    uint32_t *numbers = fr_alloc(count * sizeof(*numbers));
    struct loader l = {0};
    fr_status st;

    if (numbers == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to load %zu postings", count);
    for (size_t i = 0; i < count; i++)
        numbers[i] = found[i].slot;
    FR_TRY(init_loader(&l, index));
    FR_TRY(fr_spfresh_pin_found(index, found, count, pins));
    FR_TRY(load_some(&l, numbers, count));
    for (size_t i = 0; i < count; i++)
        FR_TRY(wait_for(index, numbers[i]));
out:
    deinit_loader(&l);
    fr_free(numbers);
    return st;
}

/* ---- Beginning and end ---- */

void fr_spfresh_loading_init(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_init(&l->mu, FR_RANK_LEAF);
    fr_cond_init(&l->changed);
}

fr_status fr_spfresh_loading_begin(struct fr_spfresh *index, struct fr_tree *tree,
        size_t vectors_hint)
{
    struct fr_loading *l = &index->loading;

    l->slot_count = atomic_load_explicit(&tree->tiers[1].slot_count, memory_order_relaxed);
    l->states = fr_alloc_zeroed(l->slot_count, sizeof(*l->states));
    if (l->states == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to load an index");
    l->total = l->left = tree->tiers[1].live_count;
    l->vectors_hint = vectors_hint;
    fr_status st = fr_spfresh_bound(index, tree, vectors_hint);
    if (st < 0) return st;
    fr_tree_set_partial(tree, true);
    atomic_store_explicit(&l->on, true, memory_order_release);
    return FR_OK;
}

void fr_spfresh_loading_start(struct fr_spfresh *index, bool by_thread)
{
    struct fr_loading *l = &index->loading;

    /* What is not written is now as it was then, and a view that is kept keeps files. But whoever
     * follows a writer may be told more than that, and keeps his. */
    if (!fr_spfresh_is_loading(index) || (fr_spfresh_is_bounded(index) && !index->read_only))
        drop_view(index);
    if (!fr_spfresh_is_loading(index) || !by_thread) return;
    l->has_worker = true;
    if (fr_thread_start(&l->thread, "fr-load", loader_main, index) == FR_OK) return;
    FR_COVER("index: no thread that loads");
    l->has_worker = false; /* whoever waits does it */
}

void fr_spfresh_loading_stop(struct fr_spfresh *index)
{
    atomic_store_explicit(&index->loading.stop, true, memory_order_relaxed);
    fr_mutex_lock(&index->loading.mu);
    fr_cond_broadcast(&index->loading.changed);
    fr_mutex_unlock(&index->loading.mu);
    fr_thread_join(&index->loading.thread);
}

void fr_spfresh_loading_deinit(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    drop_view(index);
    fr_spfresh_asides_close(index);
    fr_free(l->states);
    fr_free(l->pins);
    fr_cond_deinit(&l->changed);
    fr_mutex_deinit(&l->mu);
}

void fr_spfresh_loading_count(struct fr_spfresh *index, uint64_t *ret_loaded, uint64_t *ret_left)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    *ret_loaded = l->total - l->left;
    *ret_left = l->left;
    fr_mutex_unlock(&l->mu);
}
