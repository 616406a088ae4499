#include "tools/import_pool.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/hash.h"
#include "base/mutex.h"
#include "base/thread.h"

/* A batch is handed over when it has so many bytes, too: its size is bounded however large rows
 * are. */
#define BATCH_BYTES ((size_t)8 << 20)

#define THREADS_MAX 64

/* Sixteen marks for each row of a batch: one id in sixteen that is not in it looks as if it were.
 */
#define MARK_BITS_LEAST 6

enum batch_state { BATCH_FREE, BATCH_FILLING, BATCH_QUEUED, BATCH_RUNNING };

struct batch {
    enum batch_state state; /* guarded by the pool's mu */
    uint64_t turn;          /* of those in the queue the lowest is next */
    size_t count;
    struct fr_buf ids;     /* u64 each, in the order of the rows: ids, or hashes of their texts */
    struct fr_buf numbers; /* u64 each, of the rows in their file */
    struct fr_buf texts;   /* their bytes, one after the other */
    struct fr_buf text_sizes; /* of each, u64 */
    struct fr_text_id *names; /* where ids are text, else NULL */
    struct fr_buf sorted;     /* the ids in order */
    struct fr_buf vectors;
    struct fr_buf payloads; /* their bytes, one after the other */
    struct fr_buf sizes;    /* of each, u64 */
    struct fr_payload *list;
    uint64_t *marks; /* a bit for each id that is in it, and for others with its hash */
};

struct fr_import_pool {
    /* Constant. */
    struct fr_import_plan plan;
    size_t batch_count;
    size_t thread_count;
    unsigned mark_bits; /* each batch has two to this power marks */

    struct batch *filling; /* of the thread that adds; NULL: none yet */
    uint64_t next_turn;

    struct fr_mutex mu; /* rank FR_RANK_LEAF */
    struct fr_cond work, done;

    /* Guarded by mu. */
    struct batch batches[THREADS_MAX + 2];
    bool stop;
    bool failed;
    struct fr_error error; /* of the first failure */
    uint64_t written;

    struct fr_thread threads[THREADS_MAX];
};

static const uint64_t *u64s(const struct fr_buf *buf)
{
    return (const uint64_t *)(const void *)buf->data;
}

static const float *vector_of(const struct fr_import_pool *pool, const struct batch *batch,
        size_t i)
{
    return (const float *)(const void *)batch->vectors.data + i * pool->plan.dimension;
}

/* --- A worker --- */

static void tell_refusal(struct fr_import_pool *pool, const struct batch *batch, size_t i)
{
    struct fr_vector_row row = {.number = u64s(&batch->numbers)[i],
            .vector = vector_of(pool, batch, i),
            .dimension = pool->plan.dimension,
            .payload = fr_slice_of(batch->list[i].data, batch->list[i].size)};

    if (batch->names != NULL)
        row.text = fr_slice_of(batch->names[i].data, batch->names[i].size);
    else
        row.id = u64s(&batch->ids)[i];
    pool->plan.refused(pool->plan.context, &row);
}

static bool is_of_a_row(fr_status st)
{
    return st == FR_ERR_MISUSE || st == FR_ERR_LIMIT;
}

/* Some rows of a batch, from that one on. */
static fr_status upsert(struct fr_import_pool *pool, const struct batch *batch, size_t from,
        size_t count)
{
    struct fr_index *index = pool->plan.index;
    const float *vectors = vector_of(pool, batch, from);
    const struct fr_payload *payloads = batch->list + from;

    if (batch->names != NULL)
        return fr_index_upsert_text(index, NULL, count, batch->names + from, vectors, payloads);
    return fr_index_upsert(index, NULL, count, u64s(&batch->ids) + from, vectors, payloads);
}

static fr_status write_one_by_one(struct fr_import_pool *pool, const struct batch *batch,
        size_t *ret_written)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < batch->count; i++) {
        st = upsert(pool, batch, i, 1);
        if (is_of_a_row(st))
            tell_refusal(pool, batch, i);
        else if (st < 0)
            return st;
        else
            ++*ret_written;
    }
    return FR_OK;
}

static fr_status write_batch(struct fr_import_pool *pool, const struct batch *batch,
        size_t *ret_written)
{
    fr_status st = upsert(pool, batch, 0, batch->count);

    if (is_of_a_row(st)) return write_one_by_one(pool, batch, ret_written);
    if (st >= 0) *ret_written = batch->count;
    return st;
}

static struct batch *first_queued_locked(struct fr_import_pool *pool) FR_REQUIRES(pool->mu)
{
    struct batch *first = NULL;

    for (size_t i = 0; i < pool->batch_count; i++) {
        struct batch *batch = &pool->batches[i];
        if (batch->state == BATCH_QUEUED && (first == NULL || batch->turn < first->turn))
            first = batch;
    }
    return first;
}

static void note_result_locked(struct fr_import_pool *pool, fr_status st, size_t written)
        FR_REQUIRES(pool->mu)
{
    pool->written += written;
    if (st >= 0 || pool->failed) return;
    pool->failed = true;
    fr_error_save(&pool->error);
}

static void run_worker(void *arg)
{
    struct fr_import_pool *pool = arg;

    fr_mutex_lock(&pool->mu);
    while (!pool->stop) {
        struct batch *batch = first_queued_locked(pool);
        if (batch == NULL) {
            fr_cond_wait(&pool->work, &pool->mu);
            continue;
        }
        batch->state = BATCH_RUNNING;
        bool failed = pool->failed;
        fr_mutex_unlock(&pool->mu);
        size_t written = 0;
        fr_status st = failed ? FR_OK : write_batch(pool, batch, &written);
        fr_mutex_lock(&pool->mu);
        note_result_locked(pool, st, written);
        batch->state = BATCH_FREE;
        fr_cond_broadcast(&pool->done);
    }
    fr_mutex_unlock(&pool->mu);
}

/* --- The thread that adds --- */

static bool is_under_way(const struct batch *batch)
{
    return batch->state == BATCH_QUEUED || batch->state == BATCH_RUNNING;
}

/* Both in order. Two texts may have one hash: then one batch waits in vain. */
static bool share_an_id(const struct batch *a, const struct batch *b)
{
    const uint64_t *x = u64s(&a->sorted), *y = u64s(&b->sorted);
    size_t i = 0, j = 0;

    while (i < a->count && j < b->count) {
        if (x[i] == y[j]) return true;
        if (x[i] < y[j])
            i++;
        else
            j++;
    }
    return false;
}

static bool must_wait_locked(struct fr_import_pool *pool, const struct batch *batch)
        FR_REQUIRES(pool->mu)
{
    for (size_t i = 0; i < pool->batch_count; i++)
        if (is_under_way(&pool->batches[i]) && share_an_id(&pool->batches[i], batch)) return true;
    return false;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* What was gathered one behind the other, piece by piece. */
static fr_slice piece_of(const uint8_t **at, const struct fr_buf *sizes, size_t i)
{
    size_t size = (size_t)u64s(sizes)[i];
    fr_slice piece = fr_slice_of(size == 0 ? NULL : *at, size);

    if (size > 0) *at += size;
    return piece;
}

static void list_pieces(struct batch *batch)
{
    const uint8_t *payload = batch->payloads.data, *text = batch->texts.data;

    for (size_t i = 0; i < batch->count; i++) {
        fr_slice piece = piece_of(&payload, &batch->sizes, i);
        batch->list[i] = (struct fr_payload){.data = piece.data, .size = piece.size};
        if (batch->names == NULL) continue;
        piece = piece_of(&text, &batch->text_sizes, i);
        batch->names[i] = (struct fr_text_id){.data = (const char *)piece.data, .size = piece.size};
    }
}

/* Everything the workers need of it, made from what was gathered. */
static fr_status complete_batch(struct batch *batch)
{
    const struct fr_buf *const gathered[] = {&batch->ids, &batch->sorted, &batch->numbers,
            &batch->texts, &batch->text_sizes, &batch->vectors, &batch->payloads, &batch->sizes};

    fr_buf_clear(&batch->sorted);
    fr_buf_append(&batch->sorted, batch->ids.data, batch->ids.size);
    for (size_t i = 0; i < FR_ARRAY_COUNT(gathered); i++)
        if (fr_buf_status(gathered[i]) < 0)
            return FR_FAIL(FR_ERR_NOMEM, "no memory for a batch of rows");
    qsort(batch->sorted.data, batch->count, sizeof(uint64_t), compare_u64);
    list_pieces(batch);
    return FR_OK;
}

static fr_status failure_locked(struct fr_import_pool *pool) FR_REQUIRES(pool->mu)
{
    return pool->failed ? fr_error_restore(&pool->error) : FR_OK;
}

static fr_status hand_over(struct fr_import_pool *pool)
{
    struct batch *batch = pool->filling;
    fr_status st;

    if (batch == NULL || batch->count == 0) return FR_OK;
    st = complete_batch(batch);
    if (st < 0) return st;
    fr_mutex_lock(&pool->mu);
    while (must_wait_locked(pool, batch))
        fr_cond_wait(&pool->done, &pool->mu);
    batch->turn = pool->next_turn++;
    batch->state = BATCH_QUEUED;
    fr_cond_signal(&pool->work);
    st = failure_locked(pool);
    fr_mutex_unlock(&pool->mu);
    pool->filling = NULL;
    return st;
}

static size_t marks_size(const struct fr_import_pool *pool)
{
    return ((size_t)1 << pool->mark_bits) / 8;
}

/* What tells rows apart that may be of one vector. */
static uint64_t id_of(const struct fr_vector_row *row)
{
    return row->text.size > 0 ? fr_hash64(row->text) : row->id;
}

static size_t mark_of(const struct fr_import_pool *pool, uint64_t id)
{
    return (size_t)(id * 0x9e3779b97f4a7c15u >> (64 - pool->mark_bits));
}

bool fr_import_pool_may_hold(struct fr_import_pool *pool, const struct fr_vector_row *row)
{
    size_t mark = mark_of(pool, id_of(row));
    bool may = false;

    fr_mutex_lock(&pool->mu);
    for (size_t i = 0; i < pool->batch_count; i++) {
        const struct batch *batch = &pool->batches[i];
        may |= batch->state != BATCH_FREE && (batch->marks[mark / 64] >> mark % 64 & 1) != 0;
    }
    fr_mutex_unlock(&pool->mu);
    return may;
}

static void clear_batch(const struct fr_import_pool *pool, struct batch *batch)
{
    batch->count = 0;
    memset(batch->marks, 0, marks_size(pool));
    fr_buf_clear(&batch->ids);
    fr_buf_clear(&batch->numbers);
    fr_buf_clear(&batch->texts);
    fr_buf_clear(&batch->text_sizes);
    fr_buf_clear(&batch->vectors);
    fr_buf_clear(&batch->payloads);
    fr_buf_clear(&batch->sizes);
}

/* There are more batches than workers, so one comes free as long as they run. */
static void take_free_batch(struct fr_import_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    while (pool->filling == NULL) {
        for (size_t i = 0; i < pool->batch_count && pool->filling == NULL; i++)
            if (pool->batches[i].state == BATCH_FREE) pool->filling = &pool->batches[i];
        if (pool->filling == NULL) fr_cond_wait(&pool->done, &pool->mu);
    }
    clear_batch(pool, pool->filling);
    pool->filling->state = BATCH_FILLING;
    fr_mutex_unlock(&pool->mu);
}

static void append_u64(struct fr_buf *to, uint64_t value)
{
    fr_buf_append(to, &value, sizeof(value));
}

fr_status fr_import_pool_add(struct fr_import_pool *pool, const struct fr_vector_row *row)
{
    if (pool->filling == NULL) take_free_batch(pool);
    struct batch *batch = pool->filling;
    uint64_t id = id_of(row);
    size_t mark = mark_of(pool, id);
    batch->marks[mark / 64] |= (uint64_t)1 << mark % 64;
    append_u64(&batch->ids, id);
    append_u64(&batch->numbers, row->number);
    append_u64(&batch->text_sizes, row->text.size);
    fr_buf_append(&batch->texts, row->text.data, row->text.size);
    append_u64(&batch->sizes, row->payload.size);
    fr_buf_append(&batch->vectors, row->vector, row->dimension * sizeof(float));
    fr_buf_append(&batch->payloads, row->payload.data, row->payload.size);
    batch->count++;
    if (batch->count < pool->plan.batch_rows &&
            batch->vectors.size + batch->payloads.size < BATCH_BYTES)
        return FR_OK;
    return hand_over(pool);
}

static bool any_under_way_locked(struct fr_import_pool *pool) FR_REQUIRES(pool->mu)
{
    for (size_t i = 0; i < pool->batch_count; i++)
        if (is_under_way(&pool->batches[i])) return true;
    return false;
}

fr_status fr_import_pool_drain(struct fr_import_pool *pool)
{
    fr_status st = hand_over(pool);

    fr_mutex_lock(&pool->mu);
    while (any_under_way_locked(pool))
        fr_cond_wait(&pool->done, &pool->mu);
    if (st >= 0) st = failure_locked(pool);
    fr_mutex_unlock(&pool->mu);
    return st;
}

uint64_t fr_import_pool_written(struct fr_import_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    uint64_t written = pool->written;
    fr_mutex_unlock(&pool->mu);
    return written;
}

/* --- Beginning and end --- */

static fr_status start(struct fr_import_pool *pool)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < pool->batch_count; i++) {
        struct batch *batch = &pool->batches[i];
        batch->list = fr_alloc((size_t)pool->plan.batch_rows * sizeof(struct fr_payload));
        batch->marks = fr_alloc_zeroed(marks_size(pool), 1);
        if (pool->plan.text_ids)
            batch->names = fr_alloc((size_t)pool->plan.batch_rows * sizeof(struct fr_text_id));
        if (batch->list == NULL || batch->marks == NULL ||
                (pool->plan.text_ids && batch->names == NULL))
            FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a batch of rows"));
    }
    for (size_t i = 0; i < pool->thread_count; i++)
        FR_TRY(fr_thread_start(&pool->threads[i], "import", run_worker, pool));
out:
    return st;
}

fr_status fr_import_pool_new(const struct fr_import_plan *plan, struct fr_import_pool **ret_pool)
{
    struct fr_import_pool *pool = FR_NEW(struct fr_import_pool);
    fr_status st;

    if (pool == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an import");
    pool->plan = *plan;
    pool->thread_count = (size_t)FR_MIN(plan->threads, (uint64_t)THREADS_MAX);
    pool->batch_count = pool->thread_count + 2;
    pool->mark_bits = MARK_BITS_LEAST;
    while ((uint64_t)1 << pool->mark_bits < 16 * plan->batch_rows)
        pool->mark_bits++;
    fr_mutex_init(&pool->mu, FR_RANK_LEAF);
    fr_cond_init(&pool->work);
    fr_cond_init(&pool->done);
    st = start(pool);
    if (st < 0) {
        fr_import_pool_free(pool);
        return st;
    }
    *ret_pool = pool;
    return FR_OK;
}

static void free_batch(struct batch *batch)
{
    fr_buf_deinit(&batch->ids);
    fr_buf_deinit(&batch->numbers);
    fr_buf_deinit(&batch->texts);
    fr_buf_deinit(&batch->text_sizes);
    fr_buf_deinit(&batch->sorted);
    fr_buf_deinit(&batch->vectors);
    fr_buf_deinit(&batch->payloads);
    fr_buf_deinit(&batch->sizes);
    fr_free(batch->list);
    fr_free(batch->names);
    fr_free(batch->marks);
}

void fr_import_pool_free(struct fr_import_pool *pool)
{
    if (pool == NULL) return;
    fr_mutex_lock(&pool->mu);
    pool->stop = true;
    fr_cond_broadcast(&pool->work);
    fr_mutex_unlock(&pool->mu);
    for (size_t i = 0; i < pool->thread_count; i++)
        fr_thread_join(&pool->threads[i]);
    for (size_t i = 0; i < pool->batch_count; i++)
        free_batch(&pool->batches[i]);
    fr_cond_deinit(&pool->work);
    fr_cond_deinit(&pool->done);
    fr_mutex_deinit(&pool->mu);
    fr_free(pool);
}
