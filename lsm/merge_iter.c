#include "lsm/merge_iter.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/cover.h"

enum direction {
    IN_GAP,    /* every source stands in a gap at our position; the heap is empty */
    FORWARDS,  /* heap[0] is the present entry, the others' come behind it */
    BACKWARDS, /* heap[0] is the present entry, the others' come before it */
};

struct source {
    struct fr_iter *it;
    fr_seq seq_max;
};

struct merge_iter {
    struct fr_iter it;
    struct fr_buf bound_bytes;
    struct fr_bounds bounds; /* into bound_bytes */
    struct fr_buf key;       /* where we turn around */
    enum direction direction;
    fr_status status; /* a failure that sticks */
    size_t count;
    size_t heap_count;
    struct source **heap; /* those that have an entry within bounds */
    struct source sources[];
};

static struct merge_iter *iter_of(const struct fr_iter *it)
{
    return FR_CONTAINER_OF(fr_unconst(it), struct merge_iter, it);
}

static void iter_close(struct fr_iter *it)
{
    struct merge_iter *m = iter_of(it);

    for (size_t i = 0; i < m->count; i++)
        fr_iter_close(m->sources[i].it);
    fr_buf_deinit(&m->bound_bytes);
    fr_buf_deinit(&m->key);
    fr_free(m->heap);
    fr_free(m);
}

static int compare(const struct source *a, const struct source *b)
{
    const struct fr_entry *x = &a->it->entry, *y = &b->it->entry;
    return fr_entry_compare(x->key, x->seq, y->key, y->seq);
}

static fr_status fail(struct merge_iter *m, fr_status st)
{
    m->status = st;
    m->heap_count = 0;
    return st;
}

/* Does a come out before b? Equal ones are found here, as they meet in the heap. */
static bool before(struct merge_iter *m, const struct source *a, const struct source *b)
{
    int order = compare(a, b);

    if (FR_UNLIKELY(order == 0))
        m->status = FR_FAIL(FR_ERR_CORRUPT, "merge: two sources have the same entry");
    return m->direction == FORWARDS ? order < 0 : order > 0;
}

static void sift_down(struct merge_iter *m, size_t at)
{
    struct source *moved = m->heap[at];

    for (size_t child; (child = 2 * at + 1) < m->heap_count; at = child) {
        if (child + 1 < m->heap_count && before(m, m->heap[child + 1], m->heap[child])) child++;
        if (!before(m, m->heap[child], moved)) break;
        m->heap[at] = m->heap[child];
    }
    m->heap[at] = moved;
}

static bool in_bounds(const struct merge_iter *m, fr_slice key)
{
    if (m->direction == FORWARDS)
        return m->bounds.upper.size == 0 || fr_slice_compare(key, m->bounds.upper) < 0;
    return fr_slice_compare(key, m->bounds.lower) >= 0;
}

/* Move one source in our direction. FR_END: it has no more within bounds. */
static fr_status advance(struct merge_iter *m, struct source *source)
{
    fr_status st = m->direction == FORWARDS ? fr_iter_next(source->it) : fr_iter_prev(source->it);

    if (st == FR_OK && !in_bounds(m, source->it->entry.key)) return FR_END;
    return st;
}

/* Set out from a gap: take every source's first entry in this direction. */
static fr_status set_out(struct merge_iter *m, enum direction direction)
{
    m->direction = direction;
    m->heap_count = 0;
    for (size_t i = 0; i < m->count; i++) {
        fr_status st = advance(m, &m->sources[i]);
        if (st < 0) return fail(m, st);
        if (st == FR_OK) m->heap[m->heap_count++] = &m->sources[i];
    }
    for (size_t i = m->heap_count / 2; i-- > 0;)
        sift_down(m, i);
    return FR_OK;
}

static void seek_all(struct merge_iter *m, fr_slice key, fr_seq seq)
{
    for (size_t i = 0; i < m->count; i++)
        fr_iter_seek(m->sources[i].it, key, seq);
    m->direction = IN_GAP;
    m->heap_count = 0;
}

static void to_first(struct merge_iter *m)
{
    if (m->bounds.lower.size > 0) {
        seek_all(m, m->bounds.lower, FR_SEQ_MAX);
        return;
    }
    for (size_t i = 0; i < m->count; i++)
        fr_iter_seek_first(m->sources[i].it);
    m->direction = IN_GAP;
    m->heap_count = 0;
}

static void to_last(struct merge_iter *m)
{
    if (m->bounds.upper.size > 0) {
        seek_all(m, m->bounds.upper, FR_SEQ_MAX);
        return;
    }
    for (size_t i = 0; i < m->count; i++)
        fr_iter_seek_last(m->sources[i].it);
    m->direction = IN_GAP;
    m->heap_count = 0;
}

/* What the top of the heap says; an empty heap is an end, from where the way back is open. */
static fr_status answer(struct merge_iter *m)
{
    if (m->status != FR_OK) return fail(m, m->status);
    if (m->heap_count == 0) {
        if (m->direction == FORWARDS)
            to_last(m);
        else
            to_first(m);
        return FR_END;
    }
    m->it.entry = m->heap[0]->it->entry;
    return FR_OK;
}

/* The top of the heap has gone on, with this outcome. */
static fr_status replace_top(struct merge_iter *m, fr_status st)
{
    if (st < 0) return fail(m, st);
    if (st == FR_END) m->heap[0] = m->heap[--m->heap_count];
    if (m->heap_count > 0) sift_down(m, 0);
    return answer(m);
}

/*
 * Into the gap behind (or before) the present entry. Behind (key, seq) is before (key, seq - 1):
 * the order of sequence numbers is falling, and 0 is none.
 */
static fr_status turn_around(struct merge_iter *m)
{
    const struct fr_entry *at = &m->heap[0]->it->entry;
    fr_seq seq = m->direction == FORWARDS ? at->seq : at->seq - 1;

    FR_COVER("merge: turned around");
    fr_buf_clear(&m->key);
    fr_buf_append(&m->key, at->key.data, at->key.size);
    fr_status st = fr_buf_status(&m->key);
    if (st != FR_OK) return fail(m, st);
    seek_all(m, fr_buf_slice(&m->key), seq);
    return FR_OK;
}

static fr_status move(struct merge_iter *m, enum direction direction)
{
    fr_status st;

    if (m->status != FR_OK) return m->status;
    if (m->direction == direction) return replace_top(m, advance(m, m->heap[0]));
    if (m->direction != IN_GAP) FR_TRY(turn_around(m));
    FR_TRY(set_out(m, direction));
    return answer(m);
out:
    return st;
}

static fr_status iter_next(struct fr_iter *it)
{
    return move(iter_of(it), FORWARDS);
}

static fr_status iter_prev(struct fr_iter *it)
{
    return move(iter_of(it), BACKWARDS);
}

static void iter_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    struct merge_iter *m = iter_of(it);

    m->status = FR_OK;
    if (fr_slice_compare(key, m->bounds.lower) < 0)
        to_first(m);
    else if (m->bounds.upper.size > 0 && fr_slice_compare(key, m->bounds.upper) >= 0)
        to_last(m);
    else
        seek_all(m, key, seq);
}

static void iter_seek_first(struct fr_iter *it)
{
    iter_of(it)->status = FR_OK;
    to_first(iter_of(it));
}

static void iter_seek_last(struct fr_iter *it)
{
    iter_of(it)->status = FR_OK;
    to_last(iter_of(it));
}

fr_seq fr_merge_iter_seq_max(const struct fr_iter *it)
{
    const struct merge_iter *m = iter_of(it);

    FR_ASSERT(m->heap_count > 0);
    return m->heap[0]->seq_max;
}

static fr_status skip(struct merge_iter *m, fr_slice to, enum direction direction)
{
    if (m->status != FR_OK) return m->status;
    FR_ASSERT(m->direction == direction && m->heap_count > 0);
    fr_iter_seek(m->heap[0]->it, to, FR_SEQ_MAX);
    return replace_top(m, advance(m, m->heap[0]));
}

fr_status fr_merge_iter_skip_next(struct fr_iter *it, fr_slice to)
{
    return skip(iter_of(it), to, FORWARDS);
}

fr_status fr_merge_iter_skip_prev(struct fr_iter *it, fr_slice to)
{
    return skip(iter_of(it), to, BACKWARDS);
}

static const struct fr_iter_ops iter_ops = {
        .close = iter_close,
        .seek = iter_seek,
        .seek_first = iter_seek_first,
        .seek_last = iter_seek_last,
        .next = iter_next,
        .prev = iter_prev,
};

static fr_status copy_bounds(struct merge_iter *m, struct fr_bounds bounds)
{
    fr_buf_append(&m->bound_bytes, bounds.lower.data, bounds.lower.size);
    fr_buf_append(&m->bound_bytes, bounds.upper.data, bounds.upper.size);
    fr_status st = fr_buf_status(&m->bound_bytes);
    if (st != FR_OK) return st;
    m->bounds.lower = fr_slice_of(m->bound_bytes.data, bounds.lower.size);
    m->bounds.upper = fr_slice_of(m->bound_bytes.data + bounds.lower.size, bounds.upper.size);
    return FR_OK;
}

fr_status fr_merge_iter_new(const struct fr_merge_source *sources, size_t count,
        struct fr_bounds bounds, struct fr_iter **ret_it)
{
    struct merge_iter *m = fr_alloc_zeroed(1, sizeof(*m) + count * sizeof(m->sources[0]));
    if (m == NULL) {
        for (size_t i = 0; i < count; i++)
            fr_iter_close(sources[i].it);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to merge %zu iterators", count);
    }
    m->it.ops = &iter_ops;
    m->count = count;
    for (size_t i = 0; i < count; i++)
        m->sources[i] = (struct source){.it = sources[i].it, .seq_max = sources[i].seq_max};
    m->heap = fr_alloc_zeroed(count, sizeof(void *));
    if (m->heap == NULL || copy_bounds(m, bounds) != FR_OK) {
        iter_close(&m->it);
        return FR_FAIL(FR_ERR_NOMEM, "no memory to merge %zu iterators", count);
    }
    to_first(m);
    *ret_it = &m->it;
    return FR_OK;
}
