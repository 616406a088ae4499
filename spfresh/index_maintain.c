/*
 * index_maintain.c - what keeps an index in shape, and the store informed of it.
 *
 * A round waits until no write is in flight, works off a few postings, and writes what has become
 * of them in one batch before any other write begins: so rounds are short. Postings that are new or
 * shorter are written whole, others get a fragment for what came and left.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "base/museum.h"
#include "io/env.h"
#include "lsm/engine.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/*
 * Postings of a round: more cost writers more time at once, fewer more rounds. For each of these
 * all writes in flight come to their end first, so the thread waits a little until there are as
 * many.
 */
#define ROUND_TASKS 8
#define LINGER_US   5000

/* A posting is refreshed for so many vectors that came: as many as it has, about. */
#define REFRESH_EVERY 64
#define REFRESH_ROUND 8

/* Postings of a round that are looked at for what rows have left behind in them. */
#define TIDY_ROUND 16

/* An index is built anew for so many vectors that its space does not reach, and this part of all.
 */
#define OUTGROWN_FEW  16
#define OUTGROWN_PART 1024

/* What is derived is written anew in batches of this size. */
#define BATCH_BYTES ((size_t)1 << 20)

/* Between two attempts to write what was given up. */
#define RETRY_US 200000

/* Between two looks at the budget, while nothing is to do. */
#define LOOK_US 200000

void fr_spfresh_quiesce_locked(struct fr_spfresh *index)
{
    while (index->maintaining)
        fr_cond_wait(&index->turn, &index->mu);
    index->maintaining = true;
    while (index->writes_in_flight > 0)
        fr_cond_wait(&index->turn, &index->mu);
}

void fr_spfresh_resume_locked(struct fr_spfresh *index)
{
    index->maintaining = false;
    fr_cond_broadcast(&index->turn);
}

/* ---- Into batches ---- */

fr_status fr_spfresh_give_up(struct fr_spfresh *index, struct fr_batch *batch)
{
    struct fr_index_key key = fr_key_space(&index->prefix);

    return fr_batch_add_delete(batch, fr_index_key_slice(&key));
}

fr_status fr_spfresh_add_space(struct fr_spfresh *index, uint32_t generation,
        const struct fr_space *space, struct fr_batch *batch, struct fr_buf *value)
{
    struct fr_index_key key = fr_key_space(&index->prefix);
    fr_status st;

    fr_buf_clear(value);
    fr_stored_put_space(value, space, generation);
    FR_TRY(fr_buf_status(value));
    st = fr_batch_add_put(batch, fr_index_key_slice(&key), fr_buf_slice(value));
out:
    return st;
}

/* No write is in flight: rows stay what they are, but codes may become cold. */
static fr_status put_came(const struct fr_tree *tree, fr_slot number, fr_slot slot,
        const struct fr_code_room *room, struct fr_buf *value)
{
    struct fr_epoch *epoch = fr_unconst(&tree->epoch);
    const struct fr_rows *rows = &tree->tiers[0];
    const struct fr_row *row = fr_rows_row(rows, slot);
    const int8_t *high;
    const uint8_t *low;

    unsigned reader = fr_epoch_enter(epoch);
    fr_status st = fr_rows_code(rows, slot, room, &high, &low);
    FR_ASSERT(st != FR_NOT_FOUND);
    if (st == FR_OK) fr_stored_put_came(value, rows->dims, number, row->id, row->scale, high, low);
    fr_epoch_leave(epoch, reader);
    return st;
}

/* All rows that are a posting's own. */
static fr_status put_rows(const struct fr_tree *tree, const struct fr_node *node,
        struct fr_buf *value)
{
    const struct fr_rows *rows = &tree->tiers[0];
    struct fr_code_room room;
    fr_status st;

    FR_TRY(fr_code_room_init(&room, rows->dims));
    for (uint32_t place = 0; place < node->count; place++)
        if (fr_entry_is_own(rows, node, place)) fr_rows_expect(rows, node->entries[place].slot);
    for (uint32_t place = 0; place < node->count && st == FR_OK; place++)
        if (fr_entry_is_own(rows, node, place))
            st = put_came(tree, node->number, node->entries[place].slot, &room, value);
    fr_code_room_deinit(&room);
out:
    return st;
}

static fr_status add_centroid(struct fr_spfresh *index, uint32_t generation,
        const struct fr_tree *tree, const struct fr_node *node, struct fr_batch *batch,
        struct fr_buf *value)
{
    struct fr_index_key key = fr_key_centroid(&index->prefix, generation, 1, node->number);
    const struct fr_rows *rows = &tree->tiers[1];
    struct fr_stored_centroid centroid = {.scale = fr_rows_row(rows, node->number)->scale,
            .radius = node->radius,
            .count = node->live,
            .high = fr_rows_high(rows, node->number),
            .low = fr_rows_low(rows, node->number)};
    fr_status st;

    fr_buf_clear(value);
    fr_stored_put_centroid(value, rows->dims, &centroid);
    FR_TRY(fr_buf_status(value));
    st = fr_batch_add_put(batch, fr_index_key_slice(&key), fr_buf_slice(value));
out:
    return st;
}

static fr_status delete_at_once(struct fr_spfresh *index, fr_slice key)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_status st;

    FR_TRY(fr_batch_add_delete(&batch, key));
    st = fr_spfresh_write_batch(index, &batch);
out:
    fr_batch_deinit(&batch);
    return st;
}

static fr_status delete_posting(struct fr_spfresh *index, uint32_t generation, fr_slot number,
        struct fr_batch *batch)
{
    struct fr_index_key centroid = fr_key_centroid(&index->prefix, generation, 1, number);
    struct fr_index_key posting = fr_key_posting(&index->prefix, generation, number);
    fr_status st;

    /* museum 45: centroids that are newer than their postings */
    if (FR_MUSEUM(45)) FR_TRY(delete_at_once(index, fr_index_key_slice(&centroid)));
    FR_TRY(fr_batch_add_delete(batch, fr_index_key_slice(&centroid)));
    st = fr_batch_add_delete(batch, fr_index_key_slice(&posting));
out:
    return st;
}

fr_status fr_spfresh_add_posting(struct fr_spfresh *index, uint32_t generation,
        const struct fr_tree *tree, fr_slot number, struct fr_batch *batch, struct fr_buf *value)
{
    struct fr_index_key key = fr_key_posting(&index->prefix, generation, number);
    const struct fr_node *node = fr_tree_node(tree, 1, number);
    fr_status st;

    if (node == NULL || !fr_row_is_live(fr_rows_row(&tree->tiers[1], number)))
        return delete_posting(index, generation, number, batch);
    FR_TRY(add_centroid(index, generation, tree, node, batch, value));
    fr_buf_clear(value);
    FR_TRY(put_rows(tree, node, value));
    FR_TRY(fr_buf_status(value));
    st = fr_batch_add_put(batch, fr_index_key_slice(&key), fr_buf_slice(value));
out:
    return st;
}

/* ---- Everything ---- */

fr_status fr_spfresh_write_batch(struct fr_spfresh *index, struct fr_batch *batch)
{
    fr_slice bytes;
    fr_status st;

    if (batch->count == 0) return FR_OK;
    FR_TRY(fr_batch_finish(batch, &bytes));
    st = fr_engine_write(index->engine, bytes, batch->count, FR_DURABLE_OS);
    fr_batch_reset(batch);
out:
    return st;
}

fr_status fr_spfresh_add_no_loss(struct fr_spfresh *index, struct fr_batch *batch)
{
    struct fr_index_key key = fr_key_lost(&index->prefix);

    return fr_batch_add_delete(batch, fr_index_key_slice(&key));
}

fr_status fr_spfresh_add_clearing(struct fr_spfresh *index, uint32_t generation,
        struct fr_batch *batch)
{
    static const char kinds[2] = {'c', 'p'};
    fr_status st = FR_OK;

    for (int i = 0; i < 2; i++) {
        struct fr_index_key kind = fr_key_generation(&index->prefix, kinds[i], generation);
        struct fr_index_key behind = fr_key_behind(&kind);

        FR_TRY(fr_batch_add_delete_range(batch, fr_index_key_slice(&kind),
                fr_index_key_slice(&behind)));
    }
out:
    return st;
}

fr_status fr_spfresh_write_postings(struct fr_spfresh *index, uint32_t generation,
        struct fr_tree *tree, const _Atomic(bool) *stop, struct fr_batch *batch,
        struct fr_buf *value)
{
    const struct fr_rows *rows = &tree->tiers[1];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);
    fr_status st;

    FR_TRY(fr_spfresh_add_clearing(index, generation, batch));
    FR_TRY(fr_spfresh_write_batch(index, batch));
    for (fr_slot number = 0; number < count; number++) {
        if (!fr_row_is_live(fr_rows_row(rows, number))) continue;
        FR_TRY(fr_spfresh_add_posting(index, generation, tree, number, batch, value));
        if (batch->bytes.size < BATCH_BYTES) continue;
        /* Relaxed: it only has to be seen soon. */
        if (stop != NULL && atomic_load_explicit(stop, memory_order_relaxed))
            return FR_FAIL(FR_ERR_CANCELLED, "the index is being closed");
        FR_TRY(fr_spfresh_write_batch(index, batch));
    }
    tree->changes.count = 0;
    tree->changes.lost = false;
out:
    return st;
}

/* With the space: whoever opens it next is to look for rows once more. */
static fr_status add_lost(struct fr_spfresh *index, struct fr_batch *batch)
{
    struct fr_index_key key = fr_key_lost(&index->prefix);

    if (!fr_lost_any(index)) return FR_OK;
    return fr_batch_add_put(batch, fr_index_key_slice(&key), fr_slice_of(NULL, 0));
}

fr_status fr_spfresh_write_derived(struct fr_spfresh *index, struct fr_tree *tree)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_buf value = FR_BUF_EMPTY;
    fr_status st;

    FR_TRY(fr_spfresh_give_up(index, &batch));
    FR_TRY(fr_spfresh_add_no_loss(index, &batch));
    FR_TRY(fr_spfresh_write_postings(index, index->generation, tree, NULL, &batch, &value));
    FR_TRY(add_lost(index, &batch));
    FR_TRY(fr_spfresh_add_space(index, index->generation, tree->space, &batch, &value));
    FR_TRY(fr_spfresh_write_batch(index, &batch));
    index->derived = FR_DERIVED_GOOD;
out:
    fr_batch_deinit(&batch);
    fr_buf_deinit(&value);
    return st;
}

/* ---- What a round has changed ---- */

static int compare_changes(const void *a, const void *b)
{
    const struct fr_change *x = *(const struct fr_change *const *)a;
    const struct fr_change *y = *(const struct fr_change *const *)b;

    if (x->number != y->number) return x->number < y->number ? -1 : 1;
    return x < y ? -1 : 1;
}

/* What has come to one posting and left it, in its order. */
static fr_status put_changes(const struct fr_tree *tree, struct fr_change **changes, size_t count,
        struct fr_buf *value)
{
    struct fr_code_room room;
    fr_status st;

    FR_TRY(fr_code_room_init(&room, tree->space->dims));
    for (size_t i = 0; i < count && st == FR_OK; i++) {
        if (changes[i]->kind == FR_CHANGE_LEFT)
            fr_stored_put_left(value, changes[i]->id);
        else if (!FR_MUSEUM(38)) /* museum 38: a move that is written at its source only */
            st = put_came(tree, changes[i]->number, changes[i]->slot, &room, value);
    }
    fr_code_room_deinit(&room);
out:
    return st;
}

/* All changes of one posting. */
static fr_status add_changes(struct fr_spfresh *index, uint32_t generation,
        const struct fr_tree *tree, struct fr_change **changes, size_t count,
        struct fr_batch *batch, struct fr_buf *value)
{
    struct fr_index_key key = fr_key_posting(&index->prefix, generation, changes[0]->number);
    fr_status st;

    for (size_t i = 0; i < count; i++)
        if (changes[i]->kind == FR_CHANGE_WRITTEN || changes[i]->kind == FR_CHANGE_GONE)
            return fr_spfresh_add_posting(index, generation, tree, changes[0]->number, batch,
                    value);
    fr_buf_clear(value);
    FR_TRY(put_changes(tree, changes, count, value));
    FR_TRY(fr_buf_status(value));
    st = fr_batch_add_append(batch, fr_index_key_slice(&key), fr_buf_slice(value));
out:
    return st;
}

fr_status fr_spfresh_add_changes(struct fr_spfresh *index, uint32_t generation,
        struct fr_tree *tree, struct fr_batch *batch)
{
    struct fr_changes *changes = &tree->changes;
    struct fr_change **sorted = fr_alloc((changes->count + 1) * sizeof(struct fr_change *));
    struct fr_buf value = FR_BUF_EMPTY;
    fr_status st = FR_OK;

    if (sorted == NULL || changes->lost) {
        fr_free(sorted);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to write down what maintenance has changed");
    }
    for (size_t i = 0; i < changes->count; i++)
        sorted[i] = &changes->items[i];
    qsort(sorted, changes->count, sizeof(struct fr_change *), compare_changes);
    for (size_t from = 0, to; from < changes->count && st == FR_OK; from = to) {
        for (to = from + 1; to < changes->count && sorted[to]->number == sorted[from]->number; to++)
            continue;
        st = add_changes(index, generation, tree, sorted + from, to - from, batch, &value);
    }
    changes->count = 0;
    fr_free(sorted);
    fr_buf_deinit(&value);
    return st;
}

/* Memory has changed and the store does not know how: then it must know that. */
static void give_up_locked(struct fr_spfresh *index, struct fr_batch *batch) FR_REQUIRES(index->mu)
{
    struct fr_error why = {.size = sizeof(why)};

    FR_COVER("index: what is derived is given up by maintenance");
    fr_error_save(&why);
    fr_batch_reset(batch);
    fr_status st = fr_spfresh_give_up(index, batch);
    if (st == FR_OK) st = fr_spfresh_write_batch(index, batch);
    if (st < 0)
        fr_spfresh_fail_locked(index);
    else
        index->derived = FR_DERIVED_GIVEN;
    (void)fr_error_restore(&why);
}

/* No write is in flight. */
fr_status fr_spfresh_store_changes_locked(struct fr_spfresh *index)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_status st = FR_OK;

    if (index->derived != FR_DERIVED_GOOD) {
        tree->changes.count = 0;
        return FR_OK;
    }
    st = fr_spfresh_add_changes(index, index->generation, tree, &batch);
    if (st == FR_OK) st = fr_spfresh_write_batch(index, &batch);
    tree->changes.count = 0;
    if (st < 0) give_up_locked(index, &batch);
    fr_batch_deinit(&batch);
    return st;
}

/* ---- Rounds ---- */

/* Refreshing is for when nothing else is to do, and tidying for when there is not even that. */
static fr_status work_locked(struct fr_spfresh *index, struct fr_tree *tree, bool tidies,
        uint64_t *ret_left) FR_REQUIRES(index->mu)
{
    size_t left = 0, untidy = 0;
    fr_status st = fr_tree_maintain(tree, ROUND_TASKS, &left);

    if (st == FR_OK && left == 0 && index->refresh_owed >= REFRESH_EVERY) {
        uint64_t count = FR_MIN(index->refresh_owed / REFRESH_EVERY, (uint64_t)REFRESH_ROUND);

        index->refresh_owed -= count * REFRESH_EVERY;
        st = fr_tree_refresh(tree, count);
        left = fr_tree_pending(tree);
    }
    if (st == FR_OK && tidies && left == 0 && index->refresh_owed < REFRESH_EVERY)
        st = fr_tree_tidy(tree, TIDY_ROUND, &untidy);
    *ret_left = left + index->refresh_owed / REFRESH_EVERY + untidy;
    atomic_store_explicit(&index->pending, left, memory_order_relaxed);
    return st;
}

static fr_status round_locked(struct fr_spfresh *index, bool tidies, uint64_t *ret_left)
        FR_REQUIRES(index->mu)
{
    fr_status st = FR_OK, stored;

    *ret_left = 0;
    if (fr_spfresh_tree(index) == NULL) return FR_OK;
    fr_spfresh_quiesce_locked(index);
    struct fr_tree *tree = fr_spfresh_tree(index); /* it may have been another one before */
    if (index->failure.status < 0)
        st = fr_error_restore(&index->failure);
    else if (index->derived == FR_DERIVED_GIVEN)
        st = fr_spfresh_write_derived(index, tree);
    if (st == FR_OK) {
        st = work_locked(index, tree, tidies, ret_left);
        stored = fr_spfresh_store_changes_locked(index);
        if (st == FR_OK) st = stored;
    }
    fr_spfresh_resume_locked(index);
    return st;
}

static fr_status one_round(struct fr_spfresh *index, uint64_t *ret_left)
{
    fr_mutex_lock(&index->mu);
    fr_status st = round_locked(index, true, ret_left);
    fr_mutex_unlock(&index->mu);
    fr_spfresh_fit(index);
    return st;
}

/* Those beyond reach are found too seldom, and the longest are what an inner product looks for. */
static bool is_outgrown_locked(const struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    return index->outgrown >= OUTGROWN_FEW && index->outgrown >= index->map.count / OUTGROWN_PART;
}

/* Until the thread has done so, if it has to. */
static void await_outgrown(struct fr_spfresh *index)
{
    fr_mutex_lock(&index->mu);
    while (index->has_thread && !index->closing && index->failure.status == FR_OK &&
            (index->outgrows || is_outgrown_locked(index)))
        fr_cond_wait(&index->turn, &index->mu);
    fr_mutex_unlock(&index->mu);
}

fr_status fr_spfresh_maintain(struct fr_spfresh *index, uint64_t limit_us, uint64_t *ret_left)
{
    uint64_t start_us = fr_engine_now_us(index->engine);
    fr_status st = FR_OK;

    if (index->read_only)
        return FR_FAIL(FR_ERR_READONLY, "the store of this index is open for reading only");
    FR_TRY(fr_spfresh_wait_loaded(index));
    do
        st = one_round(index, ret_left);
    while (st == FR_OK && *ret_left > 0 &&
            (limit_us == 0 || fr_engine_now_us(index->engine) - start_us < limit_us));
    if (st == FR_OK && limit_us == 0) await_outgrown(index);
    if (st == FR_OK && *ret_left == 0) st = fr_spfresh_measure_efforts(index);
out:
    return st;
}

static fr_status forget_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_spfresh_give_up(index, &batch));
    FR_TRY(fr_batch_finish(&batch, &bytes));
    FR_TRY(fr_engine_write(index->engine, bytes, batch.count, FR_DURABLE_NONE));
    if (fr_spfresh_tree(index) != NULL) index->derived = FR_DERIVED_GIVEN;
out:
    fr_batch_deinit(&batch);
    return st;
}

fr_status fr_spfresh_forget_derived(struct fr_spfresh *index)
{
    fr_status st;

    FR_TRY(fr_spfresh_wait_loaded(index));
    fr_mutex_lock(&index->mu);
    fr_spfresh_quiesce_locked(index);
    st = index->failure.status < 0 ? fr_error_restore(&index->failure) : forget_locked(index);
    fr_spfresh_resume_locked(index);
    fr_cond_signal(&index->work);
    fr_mutex_unlock(&index->mu);
out:
    return st;
}

/* Something else than to tidy. */
static bool has_duty_locked(const struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    return atomic_load_explicit(&index->pending, memory_order_relaxed) > 0 ||
           index->refresh_owed >= REFRESH_EVERY || index->derived == FR_DERIVED_GIVEN ||
           is_outgrown_locked(index);
}

static bool has_work_locked(const struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    const struct fr_tree *tree = fr_spfresh_tree(index);

    return index->failure.status == FR_OK &&
           (has_duty_locked(index) || (tree != NULL && fr_tree_is_untidy(tree)));
}

/* As much as a round takes. */
static bool is_due_locked(const struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    return atomic_load_explicit(&index->pending, memory_order_relaxed) >= ROUND_TASKS ||
           index->refresh_owed >= (uint64_t)REFRESH_EVERY * REFRESH_ROUND ||
           index->derived == FR_DERIVED_GIVEN || is_outgrown_locked(index);
}

/* Beside writes, which wait for each round, tidying gets one part in so many of the time at the
 * most, and this is between two rounds at least. */
#define TIDY_SHARE 10
#define TIDY_US    50000

/* Of the thread: what has been written when it last tidied, and how long that took. */
struct tidying {
    uint64_t written, took_us;
};

/* It is woken by what is due alone, or else after so long. */
static void linger_locked(struct fr_spfresh *index, uint64_t limit_us) FR_REQUIRES(index->mu)
{
    if (index->closing || is_due_locked(index)) return;
    index->lingers = true;
    (void)fr_cond_wait_for(&index->work, &index->mu, limit_us);
    index->lingers = false;
}

/* A round that tidies and does nothing else waits, if there were writes since the last one. */
static void give_way_locked(struct fr_spfresh *index, struct tidying *t) FR_REQUIRES(index->mu)
{
    uint64_t written = fr_spfresh_written(index), others_us = (TIDY_SHARE - 1) * t->took_us;

    if (written != t->written) linger_locked(index, FR_MAX(others_us, (uint64_t)TIDY_US));
    t->written = written;
}

/* If it fails, and it has said so, then not again before as many more have come. */
static void outgrow_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    fr_log(FR_LOG_INFO, "spfresh",
            "index \"%s\": %llu vectors are longer than was to be expected of the first",
            index->name, (unsigned long long)index->outgrown);
    index->outgrown = 0;
    index->outgrows = true;
    fr_mutex_unlock(&index->mu);
    (void)!fr_spfresh_rebuild(index, 0); /* it tells the log why not */
    fr_mutex_lock(&index->mu);
    index->outgrows = false;
    fr_cond_broadcast(&index->turn);
}

void fr_spfresh_wake_locked(struct fr_spfresh *index)
{
    if (index->lingers ? is_due_locked(index) : has_work_locked(index))
        fr_cond_signal(&index->work);
}

/* What is damaged for good stays unmaintained; all else is tried again. */
static bool wait_loaded(struct fr_spfresh *index)
{
    fr_spfresh_wait_unbounded(index); /* maintenance alone is no reason to need more memory */
    fr_status st = fr_spfresh_wait_loaded(index);

    while (st < 0 && st != FR_ERR_CANCELLED && !fr_spfresh_is_damage(st)) {
        fr_mutex_lock(&index->mu);
        if (!index->closing) (void)fr_cond_wait_for(&index->work, &index->mu, RETRY_US);
        fr_mutex_unlock(&index->mu);
        st = fr_spfresh_wait_loaded(index);
    }
    return st == FR_OK;
}

/* Where there is a budget, it may be changed while nothing is to do. */
static void await_work_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu)
{
    if (fr_engine_indexes_most(index->engine) == SIZE_MAX)
        fr_cond_wait(&index->work, &index->mu);
    else
        (void)fr_cond_wait_for(&index->work, &index->mu, LOOK_US);
}

void fr_spfresh_thread_main(void *arg)
{
    struct fr_spfresh *index = arg;
    struct tidying tidying = {0};
    uint64_t left;

    if (!wait_loaded(index)) return;
    fr_mutex_lock(&index->mu);
    while (!index->closing) {
        if (!has_work_locked(index)) {
            fr_mutex_unlock(&index->mu);
            if (fr_spfresh_measure_efforts(index) < 0)
                fr_log(FR_LOG_WARN, "spfresh", "measuring efforts: %s", fr_last_error());
            fr_spfresh_fit(index);
            fr_mutex_lock(&index->mu);
            if (!has_work_locked(index) && !index->closing) await_work_locked(index);
            continue;
        }
        linger_locked(index, LINGER_US);
        if (index->closing) break;
        if (is_outgrown_locked(index)) {
            outgrow_locked(index);
            continue;
        }
        if (!has_duty_locked(index)) give_way_locked(index, &tidying);
        if (index->closing) break;
        bool only_tidies = !has_duty_locked(index);
        uint64_t start_us = fr_engine_now_us(index->engine);
        fr_status st = round_locked(index, only_tidies, &left);
        if (only_tidies) tidying.took_us = fr_engine_now_us(index->engine) - start_us;
        fr_mutex_unlock(&index->mu);
        fr_spfresh_fit(index);
        fr_mutex_lock(&index->mu);
        /* Whoever waits goes first. */
        index->yields = true;
        while (index->writers_waiting > 0 && !index->closing)
            fr_cond_wait(&index->work, &index->mu);
        index->yields = false;
        if (st == FR_OK) continue;
        fr_log(FR_LOG_WARN, "spfresh", "maintenance: %s", fr_last_error());
        if (!index->closing) (void)fr_cond_wait_for(&index->work, &index->mu, RETRY_US);
    }
    fr_mutex_unlock(&index->mu);
}
