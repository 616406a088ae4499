/*
 * index_write.c - how vectors get into an index, and out of it.
 *
 *     check      every vector and payload                            nothing held
 *     prepare    the rows into a batch; map, encode and locate       the tree's epoch
 *     line up    the ids are ours; enter the rows, unborn; what      the index's lock
 *                becomes of their postings into the batch
 *     commit     the batch, in the class that was asked for          nothing held
 *     publish    the new are born and the old die, in one step       the index's lock
 *
 * Nothing of this begins before all postings are in memory (index_load.c): until then nobody knows
 * which ids there are.
 *
 * An id belongs to one write at a time: the next one that wants it waits before it has lined up,
 * and holds nothing meanwhile.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/museum.h"
#include "spfresh/index_priv.h"

/* Vectors that are located in one stay in the epoch: maintenance waits for whoever is in. */
#define LOCATE_STEP 8

/* Postings that may wait for maintenance before writers are slowed, and what each of these costs
 * a vector. */
#define PENDING_FREE 64
#define SLOW_NS      400

/* The same of ids that a rebuild has to catch up with. */
#define BEHIND_FREE 1024

#define SLOW_MAX_US 100000

/* ---- Checking ---- */

/* What a vector is called in words: its number, or its text without what cannot be printed. */
struct name {
    char text[FR_TEXT_ID_MAX + 3];
};

static struct name name_of(uint64_t id, const struct fr_text_id *text)
{
    struct name name;
    size_t size = 0;

    if (text == NULL) {
        snprintf(name.text, sizeof(name.text), "%" PRIu64, id);
        return name;
    }
    name.text[size++] = '"';
    for (size_t i = 0; i < text->size; i++)
        name.text[size++] =
                (char)(text->data[i] < ' ' || text->data[i] > '~' ? '?' : text->data[i]);
    name.text[size++] = '"';
    name.text[size] = '\0';
    return name;
}

static const struct fr_text_id *text_at(const struct fr_naming *naming, size_t at)
{
    return naming == NULL ? NULL : &naming->texts[at];
}

static fr_status check_vector(const struct fr_spfresh *index, uint64_t id,
        const struct fr_text_id *text, const float *vector)
{
    float length = 0;

    for (uint32_t i = 0; i < index->options.dimension; i++) {
        if (!isfinite(vector[i]))
            return FR_FAIL(FR_ERR_MISUSE, "vector %s: value %u is not finite",
                    name_of(id, text).text, i);
        length += vector[i] * vector[i];
    }
    if (!isfinite(length))
        return FR_FAIL(FR_ERR_MISUSE, "vector %s: its length is not finite",
                name_of(id, text).text);
    if (length == 0 && index->options.metric == FR_METRIC_COSINE)
        return FR_FAIL(FR_ERR_MISUSE, "vector %s: it has no direction for the cosine",
                name_of(id, text).text);
    return FR_OK;
}

static fr_status check_all(const struct fr_spfresh *index, size_t count, const uint64_t *ids,
        const struct fr_naming *naming, const float *vectors, const struct fr_payload *payloads)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        const struct fr_text_id *text = text_at(naming, i);

        FR_TRY(check_vector(index, ids[i], text, vectors + i * index->options.dimension));
        if (payloads != NULL && payloads[i].size > FR_PAYLOAD_SIZE_MAX)
            return FR_FAIL(FR_ERR_LIMIT, "vector %s: a payload of %zu bytes; %zu are the most",
                    name_of(ids[i], text).text, payloads[i].size, FR_PAYLOAD_SIZE_MAX);
    }
out:
    return st;
}

static fr_status check_kind(const struct fr_spfresh *index)
{
    if (index->options.id_kind == FR_ID_U64) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "the ids of this index are text, not numbers");
}

/* ---- Memory of one write ---- */

static fr_status reserve(struct fr_spfresh *index, struct fr_work *work, size_t count)
{
    size_t dims = index->space.dims;

    if (count <= work->entrant_capacity) return FR_OK;
    work->entrant_capacity = 0;
    fr_free(work->entrants);
    fr_free(work->vectors);
    fr_free(work->high);
    fr_free(work->low);
    fr_free(work->dead);
    work->entrants = fr_alloc(count * sizeof(*work->entrants));
    work->vectors = fr_alloc_aligned(count * dims * sizeof(float), 64);
    work->high = fr_alloc(count * dims);
    work->low = fr_alloc(count * fr_row_low_size(dims));
    work->dead = fr_alloc(count * sizeof(*work->dead));
    if (work->entrants == NULL || work->vectors == NULL || work->high == NULL ||
            work->low == NULL || work->dead == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to write %zu vectors", count);
    work->entrant_capacity = count;
    return FR_OK;
}

static fr_status put_text(struct fr_spfresh *index, struct fr_work *work,
        const struct fr_text_id *text, uint64_t id)
{
    struct fr_index_key key = fr_key_text(&index->prefix, fr_slice_of(text->data, text->size));
    fr_status st;

    fr_buf_clear(&work->value);
    fr_stored_put_text(&work->value, id);
    FR_TRY(fr_buf_status(&work->value));
    st = fr_batch_add_put(&work->batch, fr_index_key_slice(&key), fr_buf_slice(&work->value));
out:
    return st;
}

static fr_status put_rows(struct fr_spfresh *index, struct fr_work *work, size_t count,
        const uint64_t *ids, const struct fr_naming *naming, const float *vectors,
        const struct fr_payload *payloads)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        struct fr_index_key key = fr_key_vector(&index->prefix, ids[i]);
        const struct fr_payload none = {0}, *payload = payloads == NULL ? &none : &payloads[i];

        fr_buf_clear(&work->value);
        fr_stored_put_vector(&work->value, vectors + i * index->options.dimension,
                index->options.dimension, text_at(naming, i), payload->data, payload->size);
        FR_TRY(fr_buf_status(&work->value));
        FR_TRY(fr_batch_add_put(&work->batch, fr_index_key_slice(&key),
                fr_buf_slice(&work->value)));
        if (naming != NULL && naming->are_new[i])
            FR_TRY(put_text(index, work, text_at(naming, i), ids[i]));
    }
out:
    return st;
}

/* Of an id that comes several times the last is entered: it stands behind all that are alike. */
static void fill_entrants(struct fr_spfresh *index, struct fr_work *work, size_t count,
        const uint64_t *ids)
{
    size_t dims = index->space.dims;

    for (size_t i = 0; i < count; i++)
        work->entrants[i] = (struct fr_entrant){.id = ids[i],
                .x = work->vectors + i * dims,
                .high = work->high + i * dims,
                .low = work->low + i * fr_row_low_size(dims),
                .number = FR_SLOT_NONE,
                .slot = FR_SLOT_NONE};
}

/* *ret_beyond: how many the space does not reach. */
static fr_status locate(struct fr_spfresh *index, struct fr_work *work, size_t count,
        const float *vectors, size_t *ret_beyond)
{
    struct fr_tree *tree = work->generation->tree;
    fr_status st = FR_OK;

    *ret_beyond = 0;
    for (size_t i = 0; i < count && st == FR_OK;) {
        unsigned reader = fr_epoch_enter(&tree->epoch);

        for (size_t n = 0; n < LOCATE_STEP && i < count && st == FR_OK; n++, i++) {
            const float *vector = vectors + i * index->options.dimension;

            *ret_beyond += fr_space_is_beyond(tree->space, vector);
            fr_space_map_row(tree->space, vector, work->entrants[i].x);
            st = fr_tree_locate(work->probe, &work->entrants[i]);
        }
        fr_epoch_leave(&tree->epoch, reader);
    }
    return st;
}

/* ---- Lining up ---- */

void fr_spfresh_fail_locked(struct fr_spfresh *index)
{
    if (index->failure.status == FR_OK) fr_error_save(&index->failure);
}

static bool any_in_flight(const struct fr_spfresh *index, size_t count, const uint64_t *ids)
        FR_REQUIRES(index->mu)
{
    if (index->in_flight.count == 0) return false;
    for (size_t i = 0; i < count; i++)
        if (fr_id_set_find(&index->in_flight, ids[i]) != NULL) return true;
    return false;
}

/* The ids are the write's own from now on. */
static fr_status claim_locked(struct fr_spfresh *index, const void *me, size_t count,
        const uint64_t *ids) FR_REQUIRES(index->mu)
{
    fr_status st;

    index->writers_waiting++;
    while (index->maintaining || any_in_flight(index, count, ids))
        fr_cond_wait(&index->turn, &index->mu);
    if (--index->writers_waiting == 0 && index->yields) fr_cond_broadcast(&index->work);
    if (index->failure.status < 0) return fr_error_restore(&index->failure);
    FR_TRY(fr_id_set_reserve(&index->in_flight, count));
    for (size_t i = 0; i < count; i++)
        fr_id_set_put(&index->in_flight, ids[i], me);
    index->writes_in_flight++;
out:
    return st;
}

static void disclaim_locked(struct fr_spfresh *index, size_t count, const uint64_t *ids)
        FR_REQUIRES(index->mu)
{
    for (size_t i = 0; i < count; i++)
        fr_id_set_remove(&index->in_flight, ids[i]);
    index->writes_in_flight--;
    fr_cond_broadcast(&index->turn);
}

static fr_status add_fragment(struct fr_spfresh *index, struct fr_work *work, fr_slot number)
{
    struct fr_index_key key = fr_key_posting(&index->prefix, index->generation, number);
    fr_status st;

    FR_TRY(fr_buf_status(&work->value));
    st = fr_batch_add_append(&work->batch, fr_index_key_slice(&key), fr_buf_slice(&work->value));
out:
    return st;
}

/* The posting of a row that will die hears of it. */
static fr_status tell_left(struct fr_spfresh *index, struct fr_work *work, fr_slot slot)
        FR_REQUIRES(index->mu)
{
    const struct fr_row *row = fr_rows_row(&fr_spfresh_tree(index)->tiers[0], slot);

    if (index->derived != FR_DERIVED_GOOD) return FR_OK;
    if (FR_MUSEUM(37)) return FR_OK; /* museum 37: a posting that does not hear who has left */
    fr_buf_clear(&work->value);
    fr_stored_put_left(&work->value, row->id);
    return add_fragment(index, work, row->node);
}

static fr_status append_at_once(struct fr_spfresh *index, const struct fr_work *work,
        fr_slot number)
{
    struct fr_index_key key = fr_key_posting(&index->prefix, index->generation, number);
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_status st;

    FR_TRY(fr_batch_add_append(&batch, fr_index_key_slice(&key), fr_buf_slice(&work->value)));
    st = fr_spfresh_write_batch(index, &batch);
out:
    fr_batch_deinit(&batch);
    return st;
}

static fr_status tell_came(struct fr_spfresh *index, struct fr_work *work,
        const struct fr_entrant *entrant) FR_REQUIRES(index->mu)
{
    if (index->derived != FR_DERIVED_GOOD) return FR_OK;
    fr_buf_clear(&work->value);
    fr_stored_put_came(&work->value, index->space.dims, entrant->number, entrant->id,
            entrant->scale, entrant->high, entrant->low);
    /* museum 47: a posting that has a vector before there is its row */
    if (FR_MUSEUM(47)) return append_at_once(index, work, entrant->number);
    return add_fragment(index, work, entrant->number);
}

struct write {
    struct fr_work *work;
    size_t count;
    const uint64_t *ids;
    const struct fr_naming *naming; /* or NULL */
    size_t entered, dead_count;
    size_t reserved; /* deaths */
    size_t map_promised;
    size_t beyond; /* vectors that the space does not reach */
    struct fr_writer writer;
};

/* Whether the id comes again further on. Marks it in the set of those in flight. */
static bool comes_again(struct fr_spfresh *index, const struct write *w, size_t at)
        FR_REQUIRES(index->mu)
{
    /* The set has w as the owner of ids that are still to come, and its work of those that came. */
    if (fr_id_set_find(&index->in_flight, w->ids[at]) == w->work) return true;
    fr_id_set_put(&index->in_flight, w->ids[at], w->work);
    return false;
}

static fr_status enter_one(struct fr_spfresh *index, struct write *w, struct fr_entrant *entrant)
        FR_REQUIRES(index->mu)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    fr_slot before = fr_id_map_find(&index->map, entrant->id);
    fr_status st;

    if (before != FR_SLOT_NONE) {
        if (!FR_MUSEUM(40)) FR_TRY(tell_left(index, w->work, before));
        w->work->dead[w->dead_count++] = before;
    }
    FR_TRY(fr_tree_enter(tree, entrant));
    w->work->entrants[w->entered++] = *entrant;
    FR_TRY(tell_came(index, w->work, entrant));
    /* museum 40: who came back to its posting leaves it */
    if (FR_MUSEUM(40) && before != FR_SLOT_NONE) FR_TRY(tell_left(index, w->work, before));
out:
    return st;
}

/* From the last to the first, so that the last of equal ids is the one; those go to the front. */
static fr_status enter_all(struct fr_spfresh *index, struct write *w) FR_REQUIRES(index->mu)
{
    struct fr_entrant *entrants = w->work->entrants;
    fr_status st = FR_OK;

    for (size_t i = 0; i < w->count / 2; i++) {
        struct fr_entrant first = entrants[i];

        entrants[i] = entrants[w->count - 1 - i];
        entrants[w->count - 1 - i] = first;
    }
    for (size_t i = 0; i < w->count; i++) {
        struct fr_entrant entrant = entrants[i];

        if (comes_again(index, w, w->count - 1 - i)) continue;
        FR_TRY(enter_one(index, w, &entrant));
    }
out:
    return st;
}

static fr_status line_up(struct fr_spfresh *index, struct write *w) FR_REQUIRES(index->mu)
{
    fr_status st;

    w->writer.count = w->work->batch.count;
    FR_TRY(fr_batch_finish(&w->work->batch, &w->writer.batch));
    st = fr_engine_line_up(index->engine, &w->writer);
out:
    return st;
}

/* Room for whatever success or failure will bring. */
static fr_status reserve_locked(struct fr_spfresh *index, struct write *w) FR_REQUIRES(index->mu)
{
    fr_status st;

    FR_TRY(fr_id_map_reserve(&index->map, index->map_promised + w->count));
    FR_TRY(fr_tree_reserve(fr_spfresh_tree(index), w->count));
    w->reserved = w->count;
    w->map_promised = w->count;
    index->map_promised += w->count;
out:
    return st;
}

/* ---- The first vectors ---- */

/* They make the space and the tree; what is derived begins with them, if it can be stored. */
static fr_status begin_tree_locked(struct fr_spfresh *index, size_t count, const float *vectors)
        FR_REQUIRES(index->mu)
{
    struct fr_tree *tree = NULL;
    fr_status st = FR_OK;

    fr_spfresh_quiesce_locked(index);
    if (fr_spfresh_tree(index) != NULL) goto out;
    FR_TRY(fr_spfresh_make_tree(index, vectors, count, false, &tree));
    st = fr_spfresh_write_derived(index, tree);
    if (st < 0) {
        fr_tree_free(tree);
        goto out;
    }
    fr_spfresh_show_first(index, tree);
out:
    fr_spfresh_resume_locked(index);
    return st;
}

static fr_status ensure_tree(struct fr_spfresh *index, size_t count, const float *vectors)
{
    fr_status st;

    if (FR_LIKELY(fr_spfresh_tree(index) != NULL)) return FR_OK;
    fr_mutex_lock(&index->mu);
    st = begin_tree_locked(index, count, vectors);
    fr_mutex_unlock(&index->mu);
    return st;
}

/* ---- The whole of it ---- */

static void settle_locked(struct fr_spfresh *index, struct write *w, bool written)
        FR_REQUIRES(index->mu)
{
    struct fr_tree *tree = fr_spfresh_tree(index);

    index->map_promised -= w->map_promised;
    if (w->reserved > 0 && written) {
        /* Ids first: a row that has died may be another one soon. */
        for (size_t i = 0; i < w->entered; i++)
            fr_id_map_set(&index->map, w->work->entrants[i].slot);
        fr_tree_publish(tree, w->work->entrants, w->entered, w->work->dead, w->dead_count,
                w->reserved);
        index->refresh_owed += w->entered;
        index->outgrown += w->beyond;
        for (size_t i = 0; i < w->count; i++)
            fr_lost_forget(index, w->ids[i]);
    } else if (w->reserved > 0) {
        fr_tree_withdraw(tree, w->work->entrants, w->entered, w->reserved);
    }
    atomic_store_explicit(&index->pending, fr_tree_pending(tree), memory_order_relaxed);
    /* Also where it has failed: what is read then is what there is. */
    fr_spfresh_remember_locked(index, w->count, w->ids);
    disclaim_locked(index, w->count, w->ids);
    fr_spfresh_wake_locked(index);
}

/* Rows are in the batch, entrants are located. FR_END: in a tree that is not the current one. */
static fr_status write_entrants(struct fr_spfresh *index, struct write *w)
{
    bool lined_up = false;
    fr_status st;

    fr_mutex_lock(&index->mu);
    st = claim_locked(index, w, w->count, w->ids);
    if (st < 0) {
        fr_mutex_unlock(&index->mu);
        return st;
    }
    st = fr_spfresh_is_current_locked(index, w->work->generation) ? reserve_locked(index, w)
                                                                  : FR_END;
    if (st == FR_OK) st = enter_all(index, w);
    if (st == FR_OK) st = line_up(index, w);
    lined_up = st == FR_OK;
    if (!lined_up) settle_locked(index, w, false);
    fr_mutex_unlock(&index->mu);
    if (!lined_up) return st;
    st = fr_engine_commit(index->engine, &w->writer);
    fr_mutex_lock(&index->mu);
    settle_locked(index, w, st == FR_OK);
    fr_mutex_unlock(&index->mu);
    return st;
}

/* Postings that wait for maintenance, and ids that do for a rebuild, beyond what is usual. */
static uint64_t lag_of(struct fr_spfresh *index)
{
    uint64_t pending = atomic_load_explicit(&index->pending, memory_order_relaxed);
    uint64_t behind = atomic_load_explicit(&index->behind, memory_order_relaxed);

    if (!index->has_thread) pending = 0;
    return (pending > PENDING_FREE ? pending - PENDING_FREE : 0) +
           (behind > BEHIND_FREE ? behind - BEHIND_FREE : 0);
}

/* The farther these lag, the longer a writer waits. */
static void slow_down(struct fr_spfresh *index, size_t count)
{
    uint64_t lag = lag_of(index);

    if (lag == 0) return;
    FR_COVER("index: writers are slowed down");
    uint64_t wait_us = lag * count * SLOW_NS / 1000;
    fr_mutex_lock(&index->mu);
    if (!index->closing && wait_us > 0)
        (void)fr_cond_wait_for(&index->turn, &index->mu, FR_MIN(wait_us, (uint64_t)SLOW_MAX_US));
    fr_mutex_unlock(&index->mu);
}

static fr_status upsert(struct fr_spfresh *index, struct fr_work *work,
        enum fr_durability durability, size_t count, const uint64_t *ids,
        const struct fr_naming *naming, const float *vectors, const struct fr_payload *payloads)
{
    struct write w = {
            .work = work, .count = count, .ids = ids, .writer = {.durability = durability}};
    fr_status st;

    fr_batch_reset(&work->batch);
    FR_TRY(reserve(index, work, count));
    FR_TRY(put_rows(index, work, count, ids, naming, vectors, payloads));
    fill_entrants(index, work, count, ids);
    FR_TRY(locate(index, work, count, vectors, &w.beyond));
    st = write_entrants(index, &w);
out:
    return st;
}

static fr_status refuse_read_only(const struct fr_spfresh *index)
{
    if (!index->read_only) return FR_OK;
    return FR_FAIL(FR_ERR_READONLY, "the store of this index is open for reading only");
}

fr_status fr_spfresh_upsert_named(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const uint64_t *ids, const struct fr_naming *naming, const float *vectors,
        const struct fr_payload *payloads)
{
    struct fr_work *work = NULL;
    fr_status st;

    FR_TRY(refuse_read_only(index));
    FR_TRY(check_all(index, count, ids, naming, vectors, payloads));
    if (count == 0) return FR_OK;
    FR_TRY(fr_spfresh_wait_loaded(index));
    FR_TRY(ensure_tree(index, count, vectors));
    slow_down(index, count);
    do {
        fr_spfresh_give_work(index, FR_TAKE(work));
        FR_TRY(fr_spfresh_take_work(index, &work));
        FR_TRY(upsert(index, work, durability, count, ids, naming, vectors, payloads));
        if (st == FR_END) FR_COVER("index: a write is located again in a tree that was rebuilt");
    } while (st == FR_END);
    atomic_fetch_add_explicit(&index->upserts, count, memory_order_relaxed);
    if (!index->has_thread) fr_spfresh_fit_tree(index, work->generation->tree);
out:
    fr_spfresh_give_work(index, work);
    return st;
}

fr_status fr_spfresh_upsert(struct fr_spfresh *index, enum fr_durability durability, size_t count,
        const uint64_t *ids, const float *vectors, const struct fr_payload *payloads)
{
    fr_status st;

    FR_TRY(check_kind(index));
    st = fr_spfresh_upsert_named(index, durability, count, ids, NULL, vectors, payloads);
out:
    return st;
}

/* ---- Deleting ---- */

/* The row of a write's id, and its text's entry. */
static fr_status add_deletes(struct fr_spfresh *index, struct write *w, size_t at)
{
    struct fr_index_key key = fr_key_vector(&index->prefix, w->ids[at]);
    const struct fr_text_id *text = text_at(w->naming, at);
    fr_status st;

    FR_TRY(fr_batch_add_delete(&w->work->batch, fr_index_key_slice(&key)));
    if (text == NULL) return FR_OK;
    key = fr_key_text(&index->prefix, fr_slice_of(text->data, text->size));
    st = fr_batch_add_delete(&w->work->batch, fr_index_key_slice(&key));
out:
    return st;
}

static fr_status delete_row(struct fr_spfresh *index, struct write *w, size_t at)
        FR_REQUIRES(index->mu)
{
    fr_slot slot = fr_id_map_find(&index->map, w->ids[at]);
    fr_status st;

    if (slot == FR_SLOT_NONE)
        return fr_lost_may_have(index, w->ids[at]) ? add_deletes(index, w, at) : FR_OK;
    FR_TRY(add_deletes(index, w, at));
    FR_TRY(tell_left(index, w->work, slot));
    w->work->dead[w->dead_count++] = slot;
out:
    return st;
}

/*
 * None of the ids is there, perhaps because of a delete that is less durable than this one is to
 * be. What is durable carries along what was written before, so something is written.
 */
static fr_status delete_nothing(struct fr_spfresh *index, struct write *w)
{
    struct fr_index_key key = fr_key_vector(&index->prefix, w->ids[0]);

    /* Not to be relied upon either, where what came before may be there after all. */
    if (w->writer.durability == FR_DURABLE_NONE) return fr_engine_check_writable(index->engine);
    /* museum 39: a durable delete that finds nothing and says so */
    if (FR_MUSEUM(39)) return FR_OK;
    return fr_batch_add_delete(&w->work->batch, fr_index_key_slice(&key));
}

static fr_status delete_rows(struct fr_spfresh *index, struct write *w) FR_REQUIRES(index->mu)
{
    fr_status st;

    FR_TRY(fr_tree_reserve(fr_spfresh_tree(index), w->count));
    w->reserved = w->count;
    for (size_t i = 0; i < w->count; i++)
        if (!comes_again(index, w, i)) FR_TRY(delete_row(index, w, i));
    if (w->dead_count == 0) st = delete_nothing(index, w);
out:
    return st;
}

/* A full disk takes deletes alone: what is derived is given up for them. */
static fr_status delete_derived_less(struct fr_spfresh *index, struct write *w)
        FR_REQUIRES(index->mu)
{
    const struct fr_rows *rows = &fr_spfresh_tree(index)->tiers[0];
    struct fr_batch *batch = &w->work->batch;
    fr_status st;

    FR_COVER("index: what is derived is given up for a delete");
    fr_batch_reset(batch);
    FR_TRY(fr_spfresh_give_up(index, batch));
    /* The dead are in the order of their ids' first coming. */
    for (size_t i = 0, died = 0; i < w->count && died < w->dead_count; i++) {
        if (fr_rows_row(rows, w->work->dead[died])->id != w->ids[i]) continue;
        FR_TRY(add_deletes(index, w, i));
        died++;
    }
    w->writer = (struct fr_writer){.count = batch->count, .durability = w->writer.durability};
    FR_TRY(fr_batch_finish(batch, &w->writer.batch));
    st = fr_engine_write(index->engine, w->writer.batch, batch->count, w->writer.durability);
    if (st == FR_OK) index->derived = FR_DERIVED_GIVEN;
out:
    return st;
}

static void forget_dead(struct fr_spfresh *index, const struct write *w) FR_REQUIRES(index->mu)
{
    const struct fr_rows *rows = &fr_spfresh_tree(index)->tiers[0];

    for (size_t i = 0; i < w->dead_count; i++)
        fr_id_map_remove(&index->map, fr_rows_row(rows, w->work->dead[i])->id);
}

/*
 * Others must not have lined up with what is derived meanwhile. Nor may a rebuild put another tree
 * in its place, for the dead are known by their slots: it needs more space anyway, and gives way,
 * or does not begin. Maintenance may be waiting for this very write to end: it goes first.
 */
static fr_status delete_on_full_disk(struct fr_spfresh *index, struct write *w)
        FR_REQUIRES(index->mu)
{
    if (index->rebuild != NULL) index->rebuild->refused = FR_ERR_NOSPACE;
    index->full_disk_deletes++;
    index->writes_in_flight--; /* it waits for all others */
    fr_cond_broadcast(&index->turn);
    fr_spfresh_quiesce_locked(index);
    fr_status st = delete_derived_less(index, w);
    fr_spfresh_resume_locked(index);
    index->writes_in_flight++;
    index->full_disk_deletes--;
    return st;
}

static fr_status remove_ids(struct fr_spfresh *index, struct write *w)
{
    fr_status st;

    fr_mutex_lock(&index->mu);
    st = claim_locked(index, w, w->count, w->ids);
    if (st < 0) {
        fr_mutex_unlock(&index->mu);
        return st;
    }
    st = delete_rows(index, w);
    bool lined_up = st == FR_OK && w->work->batch.count > 0 && (st = line_up(index, w)) == FR_OK;
    if (lined_up) {
        fr_mutex_unlock(&index->mu);
        st = fr_engine_commit(index->engine, &w->writer);
        fr_mutex_lock(&index->mu);
    }
    if (st == FR_ERR_NOSPACE && lined_up && w->dead_count > 0) st = delete_on_full_disk(index, w);
    if (lined_up && st == FR_OK) forget_dead(index, w);
    settle_locked(index, w, lined_up && st == FR_OK);
    fr_mutex_unlock(&index->mu);
    return st;
}

static fr_status delete_with(struct fr_spfresh *index, struct fr_work *work, struct write *w)
{
    fr_status st;

    fr_batch_reset(&work->batch);
    w->work = work;
    FR_TRY(reserve(index, work, w->count));
    st = remove_ids(index, w);
out:
    return st;
}

fr_status fr_spfresh_delete_named(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const uint64_t *ids, const struct fr_naming *naming, size_t *ret_count)
{
    struct write w = {
            .count = count, .ids = ids, .naming = naming, .writer = {.durability = durability}};
    struct fr_work *work = NULL;
    fr_status st;

    *ret_count = 0;
    FR_TRY(refuse_read_only(index));
    if (count == 0 || fr_spfresh_tree(index) == NULL) return FR_OK;
    FR_TRY(fr_spfresh_wait_loaded(index));
    FR_TRY(fr_spfresh_take_work(index, &work));
    FR_TRY(delete_with(index, work, &w));
    *ret_count = w.dead_count;
    atomic_fetch_add_explicit(&index->deletes, w.dead_count, memory_order_relaxed);
out:
    fr_spfresh_give_work(index, work);
    return st;
}

fr_status fr_spfresh_delete(struct fr_spfresh *index, enum fr_durability durability, size_t count,
        const uint64_t *ids, size_t *ret_count)
{
    fr_status st;

    *ret_count = 0;
    FR_TRY(check_kind(index));
    st = fr_spfresh_delete_named(index, durability, count, ids, NULL, ret_count);
out:
    return st;
}
