#include "lsm/fold.h"

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/cover.h"
#include "base/museum.h"
#include "lsm/place.h"

/* A run of fragments is put together in reverse, so its pieces are listed first. */
struct fragment {
    struct fragment *newer;
    fr_slice bytes;
};

struct fr_fold {
    struct fr_fold_options options;
    struct fr_iter *in;
    struct fr_range_cursor cursor;
    struct fr_fold_stats stats;
    fr_status status; /* a failure or an end that sticks */

    /* The input: in->entry is the next entry that survives, if there is one. */
    struct fr_buf key; /* of the entry read last */
    fr_seq seq;        /* of the entry read last */
    bool has_key;
    bool ahead;         /* in->entry has been read and not been used */
    bool ahead_new_key; /* and is the first of its key that survives or not */
    bool expired;       /* and is a PUT that counts as a DELETE */
    size_t stripe;      /* of it */
    bool closed;        /* the rest of closed_stripe of this key is dropped */
    size_t closed_stripe;

    /* The output. */
    struct fr_buf out_key; /* of what was put together */
    bool key_start;
    bool new_key; /* no output of the present key yet */
    struct fr_arena arena;
    struct fr_buf value;
};

fr_status fr_fold_new(struct fr_iter *in, const struct fr_fold_options *options,
        struct fr_fold **ret_fold)
{
    struct fr_fold *fold = FR_NEW(struct fr_fold);
    if (fold == NULL) {
        fr_iter_close(in);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a fold");
    }
    fold->options = *options;
    fold->in = in;
    fold->cursor.set = options->ranges;
    fr_arena_init(&fold->arena, 4096);
    for (size_t i = 1; i < options->snapshot_count; i++)
        FR_ASSERT(options->snapshots[i - 1] < options->snapshots[i]);
    *ret_fold = fold;
    return FR_OK;
}

void fr_fold_close(struct fr_fold *fold)
{
    if (fold == NULL) return;
    fr_iter_close(fold->in);
    fr_buf_deinit(&fold->key);
    fr_buf_deinit(&fold->out_key);
    fr_buf_deinit(&fold->value);
    fr_arena_deinit(&fold->arena);
    fr_free(fold);
}

bool fr_fold_at_key_start(const struct fr_fold *fold)
{
    return fold->key_start;
}

void fr_fold_stats_get(const struct fr_fold *fold, struct fr_fold_stats *ret_stats)
{
    *ret_stats = fold->stats;
}

/* How many snapshots are below, and so do not see it. */
static size_t stripe_of(const struct fr_fold_options *options, fr_seq seq)
{
    size_t low = 0, high = options->snapshot_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (options->snapshots[middle] < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static fr_seq stripe_end(const struct fr_fold_options *options, size_t stripe)
{
    return stripe < options->snapshot_count ? options->snapshots[stripe] : FR_SEQ_MAX;
}

/* Take note of an entry of the input: is it of a new key, and does it come in order? */
static fr_status note_entry(struct fr_fold *fold, const struct fr_entry *entry)
{
    int order = fold->has_key ? fr_slice_compare(fr_buf_slice(&fold->key), entry->key) : -1;

    fold->stats.in++;
    if (order > 0 || (order == 0 && fold->seq <= entry->seq))
        return FR_FAIL(FR_ERR_CORRUPT, order == 0 && fold->seq == entry->seq
                                               ? "fold: the input has an entry twice"
                                               : "fold: the input is out of order");
    if (order < 0) {
        fr_buf_clear(&fold->key);
        fr_buf_append(&fold->key, entry->key.data, entry->key.size);
        fold->has_key = true;
        fold->closed = false;
        fold->new_key = true;
        fold->ahead_new_key = true;
    }
    fold->seq = entry->seq;
    return fr_buf_status(&fold->key);
}

/* Can nobody who sees the entry's stripe see the entry? */
static bool is_dropped(struct fr_fold *fold, const struct fr_entry *entry)
{
    fr_seq end = stripe_end(&fold->options, fold->stripe);

    if (fold->closed && fold->closed_stripe == fold->stripe) {
        fold->stats.shadowed++;
        return true;
    }
    if (fr_range_cursor_covering(&fold->cursor, entry->key, end) <= entry->seq) return false;
    FR_COVER("fold: covered by a range delete");
    fold->closed = true;
    fold->closed_stripe = fold->stripe;
    fold->stats.covered++;
    return true;
}

static fr_status look_at(struct fr_fold *fold, bool *ret_survives)
{
    const struct fr_entry *entry = &fold->in->entry;
    fr_status st = note_entry(fold, entry);

    if (st != FR_OK) return st;
    fold->stripe = stripe_of(&fold->options, entry->seq);
    *ret_survives = !is_dropped(fold, entry);
    fold->expired = entry->kind == FR_KIND_PUT && entry->flags & FR_ENTRY_EXPIRES &&
                    entry->expires_us <= fold->options.now_us;
    if (!*ret_survives || entry->kind == FR_KIND_APPEND) return FR_OK;
    FR_ASSERT(entry->kind == FR_KIND_PUT || entry->kind == FR_KIND_DELETE);
    if (fold->expired) fold->stats.expired++;
    fold->closed = true;
    fold->closed_stripe = fold->stripe;
    return FR_OK;
}

/*
 * Read on to the next entry that survives, unless one is ahead already. FR_END: none. Sets
 * ahead_new_key if a new key was met since it was last cleared.
 */
static fr_status look_ahead(struct fr_fold *fold)
{
    fr_status st = FR_OK;

    while (!fold->ahead) {
        FR_TRY(fr_iter_next(fold->in));
        if (st == FR_END) return FR_END;
        FR_TRY(look_at(fold, &fold->ahead));
    }
out:
    return st;
}

/* Use the entry that is ahead, and say whether another of the same key survives. */
static fr_status look_beneath(struct fr_fold *fold, bool *ret_beneath)
{
    fold->ahead = false;
    fold->ahead_new_key = false;
    fr_status st = look_ahead(fold);
    if (st < 0) return st;
    *ret_beneath = st == FR_OK && !fold->ahead_new_key;
    return FR_OK;
}

static bool ahead_is_delete(const struct fr_fold *fold)
{
    return fold->in->entry.kind == FR_KIND_DELETE || fold->expired;
}

static fr_status hand_out(struct fr_fold *fold, const struct fr_entry *entry, bool first,
        struct fr_entry *ret_entry)
{
    fold->key_start = first;
    fold->stats.out++;
    *ret_entry = *entry;
    return FR_OK;
}

static fr_status save_key(struct fr_fold *fold)
{
    fr_buf_clear(&fold->out_key);
    fr_buf_append(&fold->out_key, fold->key.data, fold->key.size);
    return fr_buf_status(&fold->out_key);
}

static bool take_new_key(struct fr_fold *fold)
{
    bool first = fold->new_key;

    fold->new_key = false;
    return first;
}

/*
 * A DELETE is ahead. At the bottom it goes unless something beneath it stays. Of several in a row
 * the oldest says it all.
 */
static fr_status fold_delete(struct fr_fold *fold, struct fr_entry *ret_entry)
{
    bool first = fold->new_key, beneath = true;
    struct fr_entry out = {.kind = FR_KIND_DELETE};
    fr_status st;

    FR_TRY(save_key(fold));
    out.key = fr_buf_slice(&fold->out_key);
    out.seq = fold->in->entry.seq;
    if (!fold->options.bottommost) {
        fold->ahead = false;
        (void)take_new_key(fold);
        return hand_out(fold, &out, first, ret_entry);
    }
    while (beneath && ahead_is_delete(fold)) {
        out.seq = fold->in->entry.seq;
        fold->stats.deletes++;
        FR_TRY(look_beneath(fold, &beneath));
    }
    if (!beneath) return FR_NOT_FOUND;
    fold->stats.deletes--;
    (void)take_new_key(fold);
    return hand_out(fold, &out, first, ret_entry);
out:
    return st;
}

/* Copy the run of fragments that is ahead, newest first; what is ahead then may be its base. */
static fr_status collect(struct fr_fold *fold, size_t stripe, size_t *ret_size, bool *ret_beneath,
        struct fragment **ret_oldest)
{
    struct fragment *oldest = NULL;
    size_t size = 0;
    bool beneath = true;

    do {
        struct fragment *piece = fr_arena_alloc(&fold->arena, sizeof(*piece), 8);
        if (piece == NULL) goto no_memory;
        piece->bytes = fr_arena_copy(&fold->arena, fold->in->entry.value);
        if (piece->bytes.data == NULL) goto no_memory;
        piece->newer = oldest;
        oldest = piece;
        size += piece->bytes.size;
        fr_status st = look_beneath(fold, &beneath);
        if (st < 0) return st;
    } while (beneath && fold->stripe == stripe && fold->in->entry.kind == FR_KIND_APPEND &&
             size + fold->in->entry.value.size <= FR_VALUE_SIZE_MAX);
    *ret_size = size;
    *ret_beneath = beneath;
    *ret_oldest = oldest;
    return FR_OK;
no_memory:
    return FR_FAIL(FR_ERR_NOMEM, "no memory to fold fragments");
}

/* Of a value that is placed, its size is known from the place. */
static size_t ahead_size(const struct fr_entry *entry)
{
    struct fr_place place;

    if (!(entry->flags & FR_ENTRY_PLACED)) return entry->value.size;
    return fr_place_get(entry->value, &place) ? (size_t)place.size : SIZE_MAX / 2;
}

/* May the PUT that is ahead become one with fragments of so many bytes? */
static bool is_base(const struct fr_fold *fold, size_t stripe, size_t size)
{
    const struct fr_entry *entry = &fold->in->entry;

    if (fold->stripe != stripe || entry->kind != FR_KIND_PUT) return false;
    if (entry->flags & FR_ENTRY_EXPIRES) return false;
    if (entry->flags & FR_ENTRY_PLACED && fold->options.fetch == NULL) return false;
    return size + ahead_size(entry) <= FR_VALUE_SIZE_MAX;
}

static fr_status append_base(struct fr_fold *fold)
{
    const struct fr_entry *entry = &fold->in->entry;

    if (entry->flags & FR_ENTRY_PLACED)
        return fold->options.fetch(fold->options.fetch_ctx, entry, &fold->value);
    fr_buf_append(&fold->value, entry->value.data, entry->value.size);
    return FR_OK;
}

/* What the run has become, by what lies beneath it. The base goes to the value's front. */
static fr_status find_base(struct fr_fold *fold, size_t stripe, size_t size, bool beneath,
        struct fr_entry *out)
{
    if (!beneath) {
        if (fold->options.bottommost) out->kind = FR_KIND_PUT;
        return FR_OK;
    }
    bool is_delete = fold->stripe == stripe && ahead_is_delete(fold);
    if (!is_delete && !is_base(fold, stripe, size)) return FR_OK;
    /* museum 29: fragments folded across a delete */
    if (FR_MUSEUM(29) && is_delete) {
        fold->ahead = false;
        return FR_OK;
    }
    fr_status st = is_delete ? FR_OK : append_base(fold);
    out->kind = FR_KIND_PUT;
    fold->ahead = false;
    fold->stats.folded++;
    return st;
}

static fr_status fold_append(struct fr_fold *fold, struct fr_entry *ret_entry)
{
    bool first = take_new_key(fold), beneath = false;
    struct fr_entry out = {.seq = fold->in->entry.seq, .kind = FR_KIND_APPEND};
    size_t stripe = fold->stripe, size = 0;
    struct fragment *piece = NULL;
    fr_status st;

    fr_arena_reset(&fold->arena);
    fr_buf_clear(&fold->value);
    FR_TRY(save_key(fold));
    FR_TRY(collect(fold, stripe, &size, &beneath, &piece));
    FR_TRY(find_base(fold, stripe, size, beneath, &out));
    for (; piece != NULL; piece = piece->newer) {
        fr_buf_append(&fold->value, piece->bytes.data, piece->bytes.size);
        fold->stats.folded += piece->newer != NULL;
    }
    FR_TRY(fr_buf_status(&fold->value));
    out.key = fr_buf_slice(&fold->out_key);
    out.value = fr_buf_slice(&fold->value);
    return hand_out(fold, &out, first, ret_entry);
out:
    return st;
}

/* FR_NOT_FOUND: what was ahead has come to nothing. */
static fr_status fold_one(struct fr_fold *fold, struct fr_entry *ret_entry)
{
    fr_status st = look_ahead(fold);

    if (st != FR_OK) return st;
    if (ahead_is_delete(fold)) return fold_delete(fold, ret_entry);
    if (fold->in->entry.kind == FR_KIND_APPEND) return fold_append(fold, ret_entry);
    fold->ahead = false;
    return hand_out(fold, &fold->in->entry, take_new_key(fold), ret_entry);
}

fr_status fr_fold_next(struct fr_fold *fold, struct fr_entry *ret_entry)
{
    fr_status st = fold->status;

    if (st != FR_OK) return st;
    do
        st = fold_one(fold, ret_entry);
    while (st == FR_NOT_FOUND);
    if (st != FR_OK) fold->status = st;
    return st;
}

static size_t keep_ranges(const struct fr_fold_options *options,
        const struct fr_range_fragment *fragment, struct fr_range *to)
{
    size_t count = 0, last = SIZE_MAX;

    for (size_t i = 0; i < fragment->seq_count; i++) {
        size_t stripe = stripe_of(options, fragment->seqs[i]);
        if (stripe == last) continue;
        last = stripe;
        /* museum 27: a range delete dropped while a snapshot needs it */
        if (options->bottommost && (stripe == 0 || FR_MUSEUM(27))) continue;
        to[count++] = (struct fr_range){
                .start = fragment->start, .end = fragment->end, .seq = fragment->seqs[i]};
    }
    return count;
}

fr_status fr_fold_ranges(const struct fr_fold_options *options, struct fr_range_set **ret_set)
{
    const struct fr_range_set *set = options->ranges;
    size_t most = 0, count = 0;

    for (size_t i = 0; i < fr_range_set_count(set); i++)
        most += fr_range_set_at(set, i)->seq_count;
    struct fr_range *kept = fr_alloc_zeroed(most, sizeof(*kept));
    if (kept == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu ranges", most);
    for (size_t i = 0; i < fr_range_set_count(set); i++)
        count += keep_ranges(options, fr_range_set_at(set, i), kept + count);
    struct fr_range_set *left = NULL;
    fr_status st = count == 0 ? FR_OK : fr_range_set_build(kept, count, &left);
    fr_free(kept);
    if (st == FR_OK) *ret_set = left;
    return st;
}
