/*
 * index_text.c - ids that are text.
 *
 * Inside an index a vector has a number. Where ids are text, the index gives the numbers: the entry
 * t/TEXT says which one a text has, the row has its text in front of its payload, and both change
 * in one batch (spfresh/stored.h). So a text is looked up in the store before a write, and a number
 * is turned into text by the row, which is read anyway for whoever wants payloads.
 *
 * A text belongs to one write at a time, from before it is looked up until the write has ended;
 * otherwise two could give it different numbers. The set of texts that are taken goes by their
 * hashes: two that share one wait for each other in vain, now and then.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/hash.h"
#include "spfresh/index_priv.h"

/* So many rows are not in the blocks that a store can lose and be opened still. */
#define NUMBERS_LOST_MAX (UINT64_C(1) << 40)

/* One of a call's, and where it stands among them. */
struct text {
    fr_slice bytes;
    size_t at;
};

/* The texts of one call. */
struct texts {
    struct fr_spfresh *index;
    size_t count;
    const struct fr_text_id *ids;
    struct text *sorted; /* equal ones side by side, the first to come first */
    uint64_t *hashes;
    uint64_t *numbers; /* as ids; 0 and !found: it has none */
    bool *are_new;     /* as ids: the entry is to be written with this one */
    struct fr_text_id *known;
    bool taken;
};

/* ---- One call ---- */

static fr_status check_kind(const struct fr_spfresh *index)
{
    if (index->options.id_kind == FR_ID_TEXT) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "the ids of this index are numbers, not text");
}

static fr_status check_text(const struct fr_text_id *id, size_t at)
{
    if (id->data != NULL && id->size >= 1 && id->size <= FR_TEXT_ID_MAX) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "id %zu has %zu bytes; 1 to %d can be", at, id->size,
            FR_TEXT_ID_MAX);
}

static void end_texts(struct texts *t)
{
    struct fr_spfresh *index = t->index;

    if (t->taken) {
        fr_mutex_lock(&index->mu);
        for (size_t i = 0; i < t->count; i++)
            fr_id_set_remove(&index->texts, t->hashes[i]);
        fr_cond_broadcast(&index->turn);
        fr_mutex_unlock(&index->mu);
    }
    fr_free(t->sorted);
    fr_free(t->hashes);
    fr_free(t->numbers);
    fr_free(t->are_new);
    fr_free(t->known);
}

static int compare_texts(const void *a, const void *b)
{
    const struct text *x = a, *y = b;
    int order = fr_slice_compare(x->bytes, y->bytes);

    return order != 0 ? order : (x->at > y->at) - (x->at < y->at);
}

static fr_status begin_texts(struct texts *t)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < t->count; i++)
        FR_TRY(check_text(&t->ids[i], i));
    t->sorted = fr_alloc(t->count * sizeof(*t->sorted));
    t->hashes = fr_alloc(t->count * sizeof(*t->hashes));
    t->numbers = fr_alloc(t->count * sizeof(*t->numbers));
    t->are_new = fr_alloc_zeroed(t->count, sizeof(*t->are_new));
    t->known = fr_alloc(t->count * sizeof(*t->known));
    if (t->sorted == NULL || t->hashes == NULL || t->numbers == NULL || t->are_new == NULL ||
            t->known == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu ids", t->count);
    for (size_t i = 0; i < t->count; i++) {
        t->sorted[i] = (struct text){.bytes = fr_slice_of(t->ids[i].data, t->ids[i].size), .at = i};
        FR_ASSERT(t->ids[i].data != NULL); /* it was checked */
        t->hashes[i] = fr_hash64(t->sorted[i].bytes);
    }
    qsort(t->sorted, t->count, sizeof(*t->sorted), compare_texts);
out:
    return st;
}

static bool any_taken(const struct fr_spfresh *index, const struct texts *t) FR_REQUIRES(index->mu)
{
    if (index->texts.count == 0) return false;
    for (size_t i = 0; i < t->count; i++)
        if (fr_id_set_find(&index->texts, t->hashes[i]) != NULL) return true;
    return false;
}

/* All of them, or it waits and holds none. */
static fr_status take_texts(struct texts *t)
{
    struct fr_spfresh *index = t->index;
    fr_status st;

    fr_mutex_lock(&index->mu);
    while (any_taken(index, t))
        fr_cond_wait(&index->turn, &index->mu);
    st = fr_id_set_reserve(&index->texts, t->count);
    for (size_t i = 0; st == FR_OK && i < t->count; i++)
        fr_id_set_put(&index->texts, t->hashes[i], t);
    t->taken = st == FR_OK;
    fr_mutex_unlock(&index->mu);
    return st;
}

/* ---- Numbers ---- */

/* How many of the sorted are equal to the first of them. */
static size_t count_equal(const struct text *texts, size_t count)
{
    size_t equal = 1;

    while (equal < count && fr_slice_compare(texts[equal].bytes, texts[0].bytes) == 0)
        equal++;
    return equal;
}

/* As many different ones as are read at once; the answer is how many of the sorted these are. */
static size_t choose_texts(const struct texts *t, size_t from, struct fr_index_key *keys,
        fr_slice *slices, size_t *ret_count)
{
    size_t at = from, count = 0;

    while (at < t->count && count < FR_ENGINE_MULTI_MAX) {
        keys[count] = fr_key_text(&t->index->prefix, t->sorted[at].bytes);
        slices[count] = fr_index_key_slice(&keys[count]);
        count++;
        at += count_equal(t->sorted + at, t->count - at);
    }
    *ret_count = count;
    return at - from;
}

static fr_status read_keys(struct fr_engine *engine, size_t count, const fr_slice *keys,
        struct fr_engine_value *values, fr_status *statuses)
{
    fr_seq at = FR_SEQ_MAX;
    struct fr_view *view = fr_engine_view_take(engine, &at);
    fr_status st =
            fr_engine_multi_get(engine, view, at, &(uint64_t){0}, count, keys, values, statuses);

    fr_engine_view_release(engine, view);
    return st;
}

static void set_number(struct texts *t, size_t from, size_t equal, uint64_t number, bool is_new)
{
    for (size_t i = from; i < from + equal; i++)
        t->numbers[t->sorted[i].at] = number;
    t->are_new[t->sorted[from].at] = is_new;
}

static fr_status read_numbers(struct texts *t, size_t from, size_t *ret_done)
{
    struct fr_engine_value values[FR_ENGINE_MULTI_MAX];
    struct fr_index_key keys[FR_ENGINE_MULTI_MAX];
    fr_slice slices[FR_ENGINE_MULTI_MAX];
    fr_status statuses[FR_ENGINE_MULTI_MAX] = {0};
    size_t count, at = from;

    *ret_done = choose_texts(t, from, keys, slices, &count);
    fr_status st = read_keys(t->index->engine, count, slices, values, statuses);
    for (size_t i = 0; st == FR_OK && i < count; i++) {
        size_t equal = count_equal(t->sorted + at, t->count - at);
        uint64_t number = FR_NUMBER_NONE;

        if (statuses[i] == FR_OK) {
            statuses[i] = fr_stored_read_text(values[i].bytes, &number);
            fr_engine_value_release(&values[i]);
        }
        set_number(t, at, equal, number, number == FR_NUMBER_NONE);
        at += equal;
    }
    for (size_t i = 0; st == FR_OK && i < count; i++)
        if (statuses[i] < 0) st = statuses[i];
    return st;
}

/* The numbers of all texts; FR_NUMBER_NONE: it has none. */
static fr_status find_numbers(struct texts *t)
{
    size_t done;
    fr_status st = FR_OK;

    for (size_t from = 0; from < t->count; from += done)
        FR_TRY(read_numbers(t, from, &done));
out:
    return st;
}

static void give_numbers(struct texts *t)
{
    size_t equal;

    for (size_t from = 0; from < t->count; from += equal) {
        equal = count_equal(t->sorted + from, t->count - from);
        if (!t->are_new[t->sorted[from].at]) continue;
        set_number(t, from, equal,
                atomic_fetch_add_explicit(&t->index->next_number, 1, memory_order_relaxed), true);
    }
}

/* The last one in use, or 0. */
static fr_status find_last_number(struct fr_spfresh *index, uint64_t *ret_last)
{
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    struct fr_iter *it = NULL;
    fr_status st;

    *ret_last = 0;
    FR_TRY(fr_spfresh_scan(index, &kind, &it));
    fr_iter_seek_last(it);
    FR_TRY(fr_iter_prev(it));
    if (st == FR_OK) FR_TRY(fr_key_read_vector(&kind, it->entry.key, ret_last));
    st = FR_OK;
out:
    fr_iter_close(it);
    return st;
}

/* Where the last rows are damaged: one that is behind whatever they may have been. */
static fr_status guess_last_number(struct fr_spfresh *index, uint64_t *ret_last)
{
    struct fr_row_walk rows = {0};
    uint64_t id = 0;
    fr_status st;

    FR_COVER("index: the last number is lost");
    FR_TRY(fr_row_walk_open(&rows, index));
    while ((st = fr_row_walk_next(&rows, &id, NULL)) == FR_OK)
        *ret_last = id;
    *ret_last += NUMBERS_LOST_MAX;
out:
    fr_row_walk_close(&rows);
    return st < 0 ? st : FR_OK;
}

fr_status fr_spfresh_find_next_number(struct fr_spfresh *index)
{
    uint64_t last;
    fr_status st = find_last_number(index, &last);

    if (st == FR_ERR_CORRUPT) st = guess_last_number(index, &last);
    if (st == FR_OK) atomic_store_explicit(&index->next_number, last + 1, memory_order_relaxed);
    return st;
}

/* ---- Writing and reading ---- */

fr_status fr_spfresh_upsert_text(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const struct fr_text_id *ids, const float *vectors,
        const struct fr_payload *payloads)
{
    struct texts t = {.index = index, .count = count, .ids = ids};
    fr_status st;

    FR_TRY(check_kind(index));
    if (count == 0) return FR_OK;
    FR_TRY(begin_texts(&t));
    FR_TRY(take_texts(&t));
    FR_TRY(find_numbers(&t));
    give_numbers(&t);
    struct fr_naming naming = {.texts = ids, .are_new = t.are_new};
    st = fr_spfresh_upsert_named(index, durability, count, t.numbers, &naming, vectors, payloads);
out:
    end_texts(&t);
    return st;
}

/* Only those that have a number, to the front. Of nothing, a number that nothing has. */
static size_t keep_known(struct texts *t)
{
    size_t kept = 0;

    for (size_t i = 0; i < t->count; i++) {
        if (t->numbers[i] == FR_NUMBER_NONE) continue;
        t->known[kept] = t->ids[i];
        t->numbers[kept++] = t->numbers[i];
    }
    if (kept > 0) return kept;
    t->known[0] = t->ids[0];
    return 1;
}

fr_status fr_spfresh_delete_text(struct fr_spfresh *index, enum fr_durability durability,
        size_t count, const struct fr_text_id *ids, size_t *ret_count)
{
    struct texts t = {.index = index, .count = count, .ids = ids};
    fr_status st;

    *ret_count = 0;
    FR_TRY(check_kind(index));
    if (count == 0) return FR_OK;
    FR_TRY(begin_texts(&t));
    FR_TRY(take_texts(&t));
    FR_TRY(find_numbers(&t));
    size_t known = keep_known(&t);
    struct fr_naming naming = {.texts = t.known};
    st = fr_spfresh_delete_named(index, durability, known, t.numbers, &naming, ret_count);
out:
    end_texts(&t);
    return st;
}

fr_status fr_spfresh_find_text(struct fr_spfresh *index, struct fr_text_id id, uint64_t *ret_number)
{
    struct fr_engine_value value;
    fr_status st;

    FR_TRY(check_kind(index));
    FR_TRY(check_text(&id, 0));
    struct fr_index_key key = fr_key_text(&index->prefix, fr_slice_of(id.data, id.size));
    st = fr_engine_get(index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value);
    if (st != FR_OK) return st;
    st = fr_stored_read_text(value.bytes, ret_number);
    fr_engine_value_release(&value);
out:
    return st;
}
