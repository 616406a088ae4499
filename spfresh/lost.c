#include "spfresh/lost.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "spfresh/index_priv.h"

/* Of rows, and of ranges, so many are told one by one. */
#define TOLD_MAX 100

void fr_lost_init(struct fr_lost *lost)
{
    fr_mutex_init(&lost->mu, FR_RANK_LEAF);
}

void fr_lost_deinit(struct fr_lost *lost)
{
    fr_id_set_deinit(&lost->ids);
    fr_free(lost->ranges);
    fr_mutex_deinit(&lost->mu);
}

bool fr_lost_any(const struct fr_spfresh *index)
{
    return atomic_load_explicit(&index->lost.any, memory_order_relaxed);
}

void fr_lost_count(struct fr_spfresh *index, struct fr_index_stats *stats)
{
    struct fr_lost *lost = &index->lost;

    fr_mutex_lock(&lost->mu);
    stats->rows_lost = lost->ids.count;
    stats->ranges_lost = lost->range_count;
    memcpy(stats->lost_why, lost->why.text, sizeof(stats->lost_why));
    fr_mutex_unlock(&lost->mu);
}

fr_status fr_lost_fail(struct fr_spfresh *index)
{
    fr_mutex_lock(&index->lost.mu);
    fr_status st = fr_error_restore(&index->lost.why);
    fr_mutex_unlock(&index->lost.mu);
    return st;
}

/* ---- What is noted ---- */

static void keep_reason_locked(struct fr_lost *lost) FR_REQUIRES(lost->mu)
{
    if (lost->why.status == FR_OK) fr_error_save(&lost->why);
    atomic_store_explicit(&lost->any, true, memory_order_relaxed);
}

/* *ret_told: how many there were before; SIZE_MAX: it was known. */
static fr_status add_id(struct fr_lost *lost, uint64_t id, size_t *ret_before)
{
    fr_status st = FR_OK;

    *ret_before = SIZE_MAX;
    fr_mutex_lock(&lost->mu);
    if (fr_id_set_find(&lost->ids, id) != NULL) goto out;
    keep_reason_locked(lost);
    FR_TRY(fr_id_set_reserve(&lost->ids, 1));
    *ret_before = lost->ids.count;
    fr_id_set_put(&lost->ids, id, lost);
out:
    fr_mutex_unlock(&lost->mu);
    return st;
}

/* The thread's last error says what is wrong with it. */
static fr_status note_row(struct fr_spfresh *index, uint64_t id)
{
    char words[FR_ERROR_TEXT_MAX];
    size_t before;
    fr_status st;

    (void)snprintf(words, sizeof(words), "%s", fr_last_error());
    (void)!FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 ": %s", id, words);
    FR_TRY(add_id(&index->lost, id, &before));
    if (before < TOLD_MAX)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": the row of vector %" PRIu64 " is lost: %s",
                index->name, id, words);
out:
    return st;
}

static void copy_key(struct fr_index_key *to, fr_slice key)
{
    to->size = FR_MIN(key.size, sizeof(to->bytes));
    memcpy(to->bytes, key.data, to->size);
}

/* What of it may be rows of this index. */
static struct fr_lost_range cut_range(const struct fr_index_key *kind, fr_slice low, fr_slice high)
{
    struct fr_lost_range range = {.low = *kind, .high = fr_key_behind(kind)};

    if (fr_slice_compare(low, fr_index_key_slice(&range.low)) > 0) copy_key(&range.low, low);
    if (fr_slice_compare(high, fr_index_key_slice(&range.high)) < 0 &&
            high.size <= sizeof(range.high.bytes))
        copy_key(&range.high, high);
    return range;
}

static bool is_same(const struct fr_lost_range *a, const struct fr_lost_range *b)
{
    return fr_slice_equal(fr_index_key_slice(&a->low), fr_index_key_slice(&b->low)) &&
           fr_slice_equal(fr_index_key_slice(&a->high), fr_index_key_slice(&b->high));
}

static fr_status grow_ranges_locked(struct fr_lost *lost) FR_REQUIRES(lost->mu)
{
    size_t capacity = FR_MAX((size_t)8, 2 * lost->range_capacity);
    struct fr_lost_range *ranges;

    if (lost->range_count < lost->range_capacity) return FR_OK;
    ranges = fr_realloc(lost->ranges, capacity * sizeof(*ranges));
    if (ranges == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for what rows are lost");
    lost->ranges = ranges;
    lost->range_capacity = capacity;
    return FR_OK;
}

static fr_status add_range(struct fr_lost *lost, const struct fr_lost_range *range,
        size_t *ret_before)
{
    fr_status st = FR_OK;

    *ret_before = SIZE_MAX;
    fr_mutex_lock(&lost->mu);
    for (size_t i = 0; i < lost->range_count; i++)
        if (is_same(&lost->ranges[i], range)) goto out;
    keep_reason_locked(lost);
    FR_TRY(grow_ranges_locked(lost));
    *ret_before = lost->range_count;
    lost->ranges[lost->range_count++] = *range;
out:
    fr_mutex_unlock(&lost->mu);
    return st;
}

/* The end of a range in words: a separator need not be a row's key. */
static const char *name_end(const struct fr_index_key *kind, const struct fr_index_key *key,
        const char *otherwise, char *to, size_t size)
{
    uint64_t id;

    if (fr_key_read_vector(kind, fr_index_key_slice(key), &id) < 0) return otherwise;
    (void)snprintf(to, size, "%" PRIu64, id);
    return to;
}

/* fr_iter_damage_fn of a walk. */
static fr_status note_damage(void *ctx, fr_slice low, fr_slice high)
{
    struct fr_row_walk *walk = ctx;
    struct fr_lost_range range = cut_range(&walk->kind, low, high);
    char words[FR_ERROR_TEXT_MAX], from[24], to[24];
    uint64_t id;
    size_t before;
    fr_status st;

    (void)snprintf(words, sizeof(words), "%s", fr_last_error());
    if (fr_slice_equal(low, high) && fr_key_read_vector(&walk->kind, low, &id) == FR_OK) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s", words);
        return note_row(walk->index, id);
    }
    FR_COVER("index: a block of rows is lost");
    (void)!FR_FAIL(FR_ERR_CORRUPT, "%s", words);
    FR_TRY(add_range(&walk->index->lost, &range, &before));
    if (before < TOLD_MAX)
        fr_log(FR_LOG_WARN, "spfresh",
                "index \"%s\": rows from vector %s on, up to %s, may be lost: %s",
                walk->index->name,
                name_end(&walk->kind, &range.low, "the first", from, sizeof(from)),
                name_end(&walk->kind, &range.high, "the next that there is", to, sizeof(to)),
                words);
out:
    return st;
}

static bool in_range(const struct fr_lost_range *range, fr_slice key)
{
    return fr_slice_compare(fr_index_key_slice(&range->low), key) <= 0 &&
           fr_slice_compare(key, fr_index_key_slice(&range->high)) <= 0;
}

static bool in_ranges(struct fr_lost *lost, fr_slice key)
{
    bool found = false;

    fr_mutex_lock(&lost->mu);
    for (size_t i = 0; i < lost->range_count && !found; i++)
        found = in_range(&lost->ranges[i], key);
    fr_mutex_unlock(&lost->mu);
    return found;
}

bool fr_lost_may_have(struct fr_spfresh *index, uint64_t id)
{
    struct fr_index_key key;

    if (FR_LIKELY(!fr_lost_any(index))) return false;
    key = fr_key_vector(&index->prefix, id);
    fr_mutex_lock(&index->lost.mu);
    bool known = fr_id_set_find(&index->lost.ids, id) != NULL;
    fr_mutex_unlock(&index->lost.mu);
    return known || in_ranges(&index->lost, fr_index_key_slice(&key));
}

void fr_lost_forget(struct fr_spfresh *index, uint64_t id)
{
    if (FR_LIKELY(!fr_lost_any(index))) return;
    fr_mutex_lock(&index->lost.mu);
    fr_id_set_remove(&index->lost.ids, id);
    fr_mutex_unlock(&index->lost.mu);
}

/* ---- Reading ---- */

/* Whatever cannot be read of it is noted. */
static fr_status read_value(struct fr_spfresh *index, uint64_t id, fr_slice value,
        float *ret_vector)
{
    fr_slice payload;
    fr_status st = fr_stored_read_vector(value, index->options.dimension, ret_vector, &payload);

    if (st != FR_ERR_CORRUPT) return st;
    FR_COVER("index: a row is lost");
    FR_TRY(note_row(index, id));
    st = FR_ERR_CORRUPT;
out:
    return st;
}

/* By a lookup, which meets damage where that matters. */
static fr_status look_up(struct fr_spfresh *index, uint64_t id, float *ret_vector)
{
    struct fr_index_key key = fr_key_vector(&index->prefix, id);
    struct fr_engine_value value;
    fr_status st = fr_engine_get_in(index->engine, index->loading.view, fr_index_key_slice(&key),
            index->loading.at, &value);

    if (st == FR_OK) {
        st = read_value(index, id, value.bytes, ret_vector);
        fr_engine_value_release(&value);
        return st;
    }
    if (st != FR_ERR_CORRUPT) return st;
    FR_TRY(note_row(index, id));
    st = FR_ERR_CORRUPT;
out:
    return st;
}

fr_status fr_lost_check(struct fr_spfresh *index, uint64_t id)
{
    return look_up(index, id, NULL);
}

static fr_status open_walk(struct fr_row_walk *walk, struct fr_view *view, fr_seq at)
{
    struct fr_engine_scan_options options = {.at = at,
            .view = view,
            .prefix = fr_index_key_slice(&walk->kind),
            .readahead_max = FR_SPFRESH_READAHEAD,
            .no_cache = true,
            .damage = walk->is_strict ? NULL : note_damage,
            .damage_ctx = walk};

    return fr_engine_scan(walk->index->engine, &options, &walk->it);
}

fr_status fr_row_walk_open(struct fr_row_walk *walk, struct fr_spfresh *index)
{
    *walk = (struct fr_row_walk){.index = index, .kind = fr_key_kind(&index->prefix, 'v')};
    return open_walk(walk, index->loading.view, index->loading.at);
}

fr_status fr_row_walk_open_at(struct fr_row_walk *walk, struct fr_spfresh *index,
        struct fr_view *view, fr_seq at)
{
    *walk = (struct fr_row_walk){
            .index = index, .kind = fr_key_kind(&index->prefix, 'v'), .is_strict = true};
    return open_walk(walk, view, at);
}

void fr_row_walk_close(struct fr_row_walk *walk)
{
    fr_iter_close(FR_TAKE(walk->it));
}

/* FR_NOT_FOUND: it is lost, or not there, as it turns out. */
static fr_status read_row(struct fr_row_walk *walk, uint64_t *ret_id, float *ret_vector)
{
    const struct fr_entry *entry = &walk->it->entry;
    struct fr_spfresh *index = walk->index;
    fr_status st;

    if (walk->is_strict) return fr_spfresh_read_row(index, walk->it, ret_id, ret_vector);
    FR_TRY(fr_key_read_vector(&walk->kind, entry->key, ret_id));
    if (FR_UNLIKELY(fr_lost_any(index)) && in_ranges(&index->lost, entry->key))
        st = look_up(index, *ret_id, ret_vector);
    else
        st = read_value(index, *ret_id, entry->value, ret_vector);
    if (st == FR_ERR_CORRUPT) st = FR_NOT_FOUND; /* it was noted */
out:
    return st;
}

fr_status fr_row_walk_next(struct fr_row_walk *walk, uint64_t *ret_id, float *ret_vector)
{
    fr_status st;

    do {
        FR_TRY(fr_iter_next(walk->it));
        if (st == FR_END) return FR_END;
        st = read_row(walk, ret_id, ret_vector);
    } while (st == FR_NOT_FOUND);
out:
    return st;
}
