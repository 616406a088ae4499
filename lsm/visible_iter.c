#include "lsm/visible_iter.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/cover.h"

/* So many versions are passed over one by one before a seek goes past the rest of the key. */
#define STEPS_BEFORE_SEEK 8

struct fragment {
    struct fragment *next;
    fr_slice bytes;
};

enum place {
    IN_GAP,    /* as is the merge, at the same place */
    FORWARDS,  /* on a key; the merge is on one of its versions or on the next entry behind */
    BACKWARDS, /* on a key; the merge is on the next entry before */
};

struct visible_iter {
    struct fr_iter it;
    struct fr_visible_options options;
    struct fr_iter *merge;
    enum place place;
    fr_status status; /* a failure that sticks */

    struct fr_buf key; /* that we stand on, or that is being looked at */
    bool pending;      /* the merge is on an entry that has not been looked at */
    bool merge_ended;

    /* The value of the present key so far. */
    struct fr_arena arena; /* fragments */
    struct fr_buf value;
    struct fragment *first; /* in the order in which they go behind the base */
    struct fragment *last;
    struct fr_entry base; /* kind 0: none; value in base_bytes on the way back */
    struct fr_buf base_bytes;
    fr_seq newest; /* 0: there is no value */

    size_t cursor_count;
    struct fr_range_cursor cursors[];
};

static struct visible_iter *iter_of(struct fr_iter *it)
{
    return FR_CONTAINER_OF(it, struct visible_iter, it);
}

static void iter_close(struct fr_iter *it)
{
    struct visible_iter *v = iter_of(it);

    fr_iter_close(v->merge);
    for (size_t i = 0; i < v->cursor_count; i++)
        fr_range_set_unref(fr_unconst(v->cursors[i].set));
    fr_buf_deinit(&v->key);
    fr_buf_deinit(&v->value);
    fr_buf_deinit(&v->base_bytes);
    fr_arena_deinit(&v->arena);
    fr_free(v);
}

static fr_status fail(struct visible_iter *v, fr_status st)
{
    v->status = st;
    return st;
}

static fr_status set_key(struct visible_iter *v, fr_slice key)
{
    fr_buf_clear(&v->key);
    fr_buf_append(&v->key, key.data, key.size);
    return fr_buf_status(&v->key);
}

static bool same_key(const struct visible_iter *v)
{
    return fr_slice_equal(v->merge->entry.key, fr_buf_slice(&v->key));
}

/* The newest range that covers the key for this reader, or 0. */
static fr_seq covering(struct visible_iter *v, fr_slice key)
{
    fr_seq newest = 0;

    for (size_t i = 0; i < v->cursor_count; i++)
        newest = FR_MAX(newest, fr_range_cursor_covering(&v->cursors[i], key, v->options.at));
    return newest;
}

/* How far the merge's present source, all of which is older, is covered in our direction. */
static bool covered_until(struct visible_iter *v, fr_seq seq_max, fr_slice *ret_to)
{
    bool covered = false, forwards = v->place == FORWARDS;
    fr_slice start, end;

    for (size_t i = 0; i < v->cursor_count; i++) {
        if (!fr_range_cursor_span(&v->cursors[i], v->merge->entry.key, seq_max, v->options.at,
                    &start, &end))
            continue;
        fr_slice to = forwards ? end : start;
        int order = covered ? fr_slice_compare(to, *ret_to) : 0;
        if (!covered || (forwards ? order > 0 : order < 0)) *ret_to = to;
        covered = true;
    }
    return covered;
}

/* The merge's next entry in our direction. FR_END also if it had ended before. */
static fr_status advance(struct visible_iter *v)
{
    fr_status st;

    if (v->merge_ended) return FR_END;
    st = v->place == FORWARDS ? fr_iter_next(v->merge) : fr_iter_prev(v->merge);
    v->merge_ended = st == FR_END;
    return st;
}

/* Go on from an entry under a range: past the span if its source has nothing else there. */
static fr_status advance_covered(struct visible_iter *v)
{
    fr_slice to;

    if (!covered_until(v, FR_MIN(fr_merge_iter_seq_max(v->merge), v->options.at), &to))
        return advance(v);
    FR_COVER("visible: sought past a range delete");
    fr_status st = v->place == FORWARDS ? fr_merge_iter_skip_next(v->merge, to)
                                        : fr_merge_iter_skip_prev(v->merge, to);
    v->merge_ended = st == FR_END;
    return st;
}

/* FR_OK: the merge is on an entry that is to be looked at. */
static fr_status ensure_pending(struct visible_iter *v)
{
    if (v->pending) return FR_OK;
    fr_status st = advance(v);
    v->pending = st == FR_OK;
    return st;
}

/* Go past the rest of the key's versions, forwards; the next key's first entry is pending then. */
static fr_status pass_key(struct visible_iter *v)
{
    fr_status st = FR_OK;

    for (unsigned steps = 0;; steps++) {
        st = ensure_pending(v);
        if (st != FR_OK || !same_key(v)) return st;
        v->pending = false;
        if (steps != STEPS_BEFORE_SEEK) continue;
        FR_COVER("visible: sought past old versions");
        fr_iter_seek(v->merge, fr_buf_slice(&v->key), 0);
    }
}

/* Go past versions that are too new, forwards. FR_NOT_FOUND: there is no other of this key. */
static fr_status pass_newer(struct visible_iter *v)
{
    for (unsigned steps = 0;; steps++) {
        fr_status st = ensure_pending(v);
        if (st < 0) return st;
        if (st == FR_END || !same_key(v)) return FR_NOT_FOUND;
        if (v->merge->entry.seq <= v->options.at) return FR_OK;
        v->pending = false;
        if (steps == STEPS_BEFORE_SEEK)
            fr_iter_seek(v->merge, fr_buf_slice(&v->key), v->options.at);
    }
}

static void clear_value(struct visible_iter *v)
{
    if (v->first != NULL) fr_arena_reset(&v->arena);
    v->first = v->last = NULL;
    v->base = (struct fr_entry){0};
    v->newest = 0;
}

static bool is_live_put(const struct visible_iter *v, const struct fr_entry *entry)
{
    if (entry->kind != FR_KIND_PUT) return false;
    return !(entry->flags & FR_ENTRY_EXPIRES) || entry->expires_us > v->options.now_us;
}

static fr_status add_fragment(struct visible_iter *v, fr_slice bytes, bool in_front)
{
    struct fragment *piece = fr_arena_alloc(&v->arena, sizeof(*piece), 8);

    if (piece != NULL) piece->bytes = fr_arena_copy(&v->arena, bytes);
    if (piece == NULL || piece->bytes.data == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for fragments");
    piece->next = in_front ? v->first : NULL;
    if (!in_front && v->last != NULL) v->last->next = piece;
    if (in_front || v->first == NULL) v->first = piece;
    if (!in_front || v->last == NULL) v->last = piece;
    return FR_OK;
}

/* The base's bytes: where they lie, or copied into the value. */
static fr_status find_base(struct visible_iter *v, fr_slice *ret_bytes)
{
    fr_buf_clear(&v->value);
    if (!(v->base.flags & FR_ENTRY_PLACED)) {
        *ret_bytes = v->base.value;
        return FR_OK;
    }
    v->base.key = fr_buf_slice(&v->key); /* on the way back, the merge's is gone */
    if (FR_LIKELY(v->options.look != NULL))
        return v->options.look(v->options.fetch_ctx, &v->base, ret_bytes);
    fr_status st = v->options.fetch(v->options.fetch_ctx, &v->base, &v->value);
    *ret_bytes = fr_buf_slice(&v->value);
    return st;
}

/* The fragments behind the base. */
static fr_status put_together(struct visible_iter *v, fr_slice base)
{
    if (base.data != v->value.data) fr_buf_append(&v->value, base.data, base.size);
    for (const struct fragment *piece = v->first; piece != NULL; piece = piece->next)
        fr_buf_append(&v->value, piece->bytes.data, piece->bytes.size);
    return fr_buf_status(&v->value);
}

/* What whoever walks has in place of the base's bytes. */
static bool is_known(struct visible_iter *v, fr_slice *ret_bytes)
{
    if (FR_LIKELY(v->options.known == NULL)) return false;
    if (!(v->base.flags & FR_ENTRY_PLACED) || v->first != NULL) return false;
    v->base.key = fr_buf_slice(&v->key);
    return v->options.known(v->options.known_ctx, &v->base, ret_bytes);
}

/* Show the key with what has been gathered. A lone value is shown where it lies. */
static fr_status show(struct visible_iter *v)
{
    struct fr_entry *entry = &v->it.entry;
    fr_slice base = {0};
    fr_status st = FR_OK;

    if (!is_known(v, &base)) FR_TRY(find_base(v, &base));
    if (v->first != NULL) {
        FR_TRY(put_together(v, base));
        base = fr_buf_slice(&v->value);
    }
    *entry = (struct fr_entry){
            .key = fr_buf_slice(&v->key), .value = base, .seq = v->newest, .kind = FR_KIND_PUT};
out:
    return st;
}

/* FR_NOT_FOUND: its value is damaged, and is passed over. */
static fr_status show_or_pass(struct visible_iter *v)
{
    fr_status st = show(v);

    if (FR_LIKELY(st != FR_ERR_CORRUPT) || v->options.damage == NULL) return st;
    FR_COVER("visible: passes over a damaged value");
    st = v->options.damage(v->options.damage_ctx, fr_buf_slice(&v->key), fr_buf_slice(&v->key));
    return st < 0 ? st : FR_NOT_FOUND;
}

/*
 * The merge is on the newest version of the key that we may see. Gather it and what is beneath it.
 * After a lone PUT the merge still is on it, so that the value need not be copied.
 */
static fr_status gather_forwards(struct visible_iter *v, fr_seq covered)
{
    fr_status st = FR_OK;

    while (st == FR_OK && same_key(v) && v->merge->entry.seq > covered) {
        const struct fr_entry *entry = &v->merge->entry;
        v->pending = false;
        if (entry->kind != FR_KIND_APPEND) {
            if (!is_live_put(v, entry)) return FR_OK;
            v->base = *entry;
            if (v->newest == 0) v->newest = entry->seq;
            return FR_OK;
        }
        if (v->newest == 0) v->newest = entry->seq;
        FR_TRY(add_fragment(v, entry->value, true));
        FR_TRY(ensure_pending(v));
    }
out:
    return st < 0 ? st : FR_OK;
}

/* One key, forwards. FR_NOT_FOUND: it is not to be seen, and the merge has gone on. */
static fr_status try_forwards(struct visible_iter *v)
{
    fr_status st = ensure_pending(v);

    if (st != FR_OK) return st;
    clear_value(v);
    fr_seq covered = covering(v, v->merge->entry.key);
    if (v->merge->entry.seq < covered) {
        st = advance_covered(v);
        v->pending = st == FR_OK;
        return st == FR_OK ? FR_NOT_FOUND : st;
    }
    FR_TRY(set_key(v, v->merge->entry.key));
    FR_TRY(pass_newer(v));
    if (st == FR_OK) FR_TRY(gather_forwards(v, covered));
    if (v->newest > 0 && (st = show_or_pass(v)) != FR_NOT_FOUND) return st;
    FR_TRY(pass_key(v));
    return st == FR_END ? FR_END : FR_NOT_FOUND;
out:
    return st;
}

/* Take one version on the way back, from older to newer: each says what becomes of the older. */
static fr_status gather_one_backwards(struct visible_iter *v)
{
    const struct fr_entry *entry = &v->merge->entry;

    if (entry->kind == FR_KIND_APPEND) {
        v->newest = entry->seq;
        return add_fragment(v, entry->value, false);
    }
    clear_value(v);
    if (!is_live_put(v, entry)) return FR_OK;
    v->newest = entry->seq;
    v->base = *entry;
    fr_buf_clear(&v->base_bytes);
    fr_buf_append(&v->base_bytes, entry->value.data, entry->value.size);
    v->base.value = fr_buf_slice(&v->base_bytes);
    return fr_buf_status(&v->base_bytes);
}

/* One key, backwards: all its versions, of which the oldest is pending. */
static fr_status try_backwards(struct visible_iter *v)
{
    fr_status st = ensure_pending(v);

    if (st != FR_OK) return st;
    clear_value(v);
    FR_TRY(set_key(v, v->merge->entry.key));
    fr_seq covered = covering(v, v->merge->entry.key);
    while (st == FR_OK && same_key(v)) {
        const struct fr_entry *entry = &v->merge->entry;
        bool hidden = entry->seq < covered;
        if (!hidden && entry->seq <= v->options.at) FR_TRY(gather_one_backwards(v));
        FR_TRY(hidden ? advance_covered(v) : advance(v));
        v->pending = st == FR_OK;
    }
    if (v->newest > 0) return show(v);
    return st == FR_END ? FR_END : FR_NOT_FOUND;
out:
    return st;
}

/* The merge is at an end of the bounds, in a gap; so are we, and the way back is open. */
static fr_status end(struct visible_iter *v)
{
    v->place = IN_GAP;
    v->pending = false;
    v->merge_ended = false;
    return FR_END;
}

/* Leave the key that we stand on, in this direction. */
static fr_status leave_key(struct visible_iter *v, enum place direction)
{
    enum place was = v->place;

    v->place = direction;
    if (was == IN_GAP) return FR_OK;
    if (was == direction) return direction == FORWARDS ? pass_key(v) : FR_OK;
    fr_iter_seek(v->merge, fr_buf_slice(&v->key), direction == FORWARDS ? 0 : FR_SEQ_MAX);
    v->pending = false;
    v->merge_ended = false;
    return FR_OK;
}

static fr_status move(struct visible_iter *v, enum place direction)
{
    if (v->status != FR_OK) return v->status;
    fr_status st = leave_key(v, direction);
    if (st == FR_OK) {
        do
            st = direction == FORWARDS ? try_forwards(v) : try_backwards(v);
        while (st == FR_NOT_FOUND);
    }
    if (st < 0) return fail(v, st);
    return st == FR_END ? end(v) : st;
}

static fr_status iter_next(struct fr_iter *it)
{
    return move(iter_of(it), FORWARDS);
}

static fr_status iter_prev(struct fr_iter *it)
{
    return move(iter_of(it), BACKWARDS);
}

static void start_anew(struct visible_iter *v)
{
    v->status = FR_OK;
    (void)end(v);
}

static void iter_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    (void)seq;
    fr_iter_seek(iter_of(it)->merge, key, FR_SEQ_MAX);
    start_anew(iter_of(it));
}

static void iter_seek_first(struct fr_iter *it)
{
    fr_iter_seek_first(iter_of(it)->merge);
    start_anew(iter_of(it));
}

static void iter_seek_last(struct fr_iter *it)
{
    fr_iter_seek_last(iter_of(it)->merge);
    start_anew(iter_of(it));
}

static const struct fr_iter_ops iter_ops = {
        .close = iter_close,
        .seek = iter_seek,
        .seek_first = iter_seek_first,
        .seek_last = iter_seek_last,
        .next = iter_next,
        .prev = iter_prev,
};

/* The least key above all that begin so, in a buffer; empty if there is none. */
static fr_slice behind_prefix(fr_slice prefix, struct fr_buf *to)
{
    while (prefix.size > 0 && prefix.data[prefix.size - 1] == 0xff)
        prefix.size--;
    fr_buf_append(to, prefix.data, prefix.size);
    if (to->size > 0) to->data[to->size - 1]++;
    return fr_buf_slice(to);
}

static struct fr_bounds narrow(struct fr_bounds bounds, fr_slice prefix, fr_slice behind)
{
    if (fr_slice_compare(prefix, bounds.lower) > 0) bounds.lower = prefix;
    if (behind.size == 0) return bounds;
    if (bounds.upper.size == 0 || fr_slice_compare(behind, bounds.upper) < 0) bounds.upper = behind;
    return bounds;
}

static fr_status open_merge(const struct fr_merge_source *sources, size_t count,
        const struct fr_visible_options *options, struct fr_iter **ret_merge)
{
    struct fr_buf behind = FR_BUF_EMPTY;
    fr_slice end_of_prefix = behind_prefix(options->prefix, &behind);
    struct fr_bounds bounds = narrow(options->bounds, options->prefix, end_of_prefix);
    bool failed = fr_buf_status(&behind) != FR_OK;

    /* Without the end of the prefix the merge is opened all the same, so that it closes all. */
    fr_status st = fr_merge_iter_new(sources, count, bounds, ret_merge);
    fr_buf_deinit(&behind);
    if (st != FR_OK || !failed) return st;
    fr_iter_close(*ret_merge);
    *ret_merge = NULL;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for the bounds of an iterator");
}

fr_status fr_visible_iter_new(const struct fr_merge_source *sources, size_t count,
        const struct fr_visible_options *options, struct fr_iter **ret_it)
{
    struct fr_iter *merge = NULL;
    struct visible_iter *v;
    fr_status st = open_merge(sources, count, options, &merge);

    if (st != FR_OK) return st;
    v = fr_alloc_zeroed(1, sizeof(*v) + options->range_count * sizeof(v->cursors[0]));
    if (v == NULL) {
        fr_iter_close(merge);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator");
    }
    v->it.ops = &iter_ops;
    v->options = *options;
    v->merge = merge;
    fr_arena_init(&v->arena, 1024);
    for (size_t i = 0; i < options->range_count; i++)
        if (options->ranges[i] != NULL)
            v->cursors[v->cursor_count++].set = fr_range_set_ref(options->ranges[i]);
    start_anew(v);
    *ret_it = &v->it;
    return FR_OK;
}
