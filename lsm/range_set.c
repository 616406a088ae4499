#include "lsm/range_set.h"

#include <stdatomic.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/assert.h"

struct fr_range_set {
    _Atomic(uint32_t) refs; /* relaxed up; release down, acquire by the last */

    /* Constant once built. */
    struct fr_arena arena; /* keys and sequence numbers */
    struct fr_range_fragment *fragments;
    size_t count;
};

struct fr_range_set *fr_range_set_ref(struct fr_range_set *set)
{
    if (set != NULL) atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void fr_range_set_unref(struct fr_range_set *set)
{
    if (set == NULL) return;
    if (atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) > 1) return;
    fr_arena_deinit(&set->arena);
    fr_free(set->fragments);
    fr_free(set);
}

size_t fr_range_set_count(const struct fr_range_set *set)
{
    return set == NULL ? 0 : set->count;
}

const struct fr_range_fragment *fr_range_set_at(const struct fr_range_set *set, size_t index)
{
    FR_ASSERT(index < fr_range_set_count(set));
    return &set->fragments[index];
}

size_t fr_range_set_bytes(const struct fr_range_set *set)
{
    if (set == NULL) return 0;
    return sizeof(*set) + set->count * sizeof(set->fragments[0]) + set->arena.held_bytes;
}

/*
 * Cutting: walk along all the places where a range starts or ends, in order, with the ranges that
 * cover the present place at hand, newest first. Between two places there is one fragment.
 */
struct sweep {
    struct fr_range *ranges; /* by start */
    size_t count;
    size_t begun; /* ranges[0..begun) start at or before this place */
    fr_slice *places;
    size_t place_count;
    struct fr_range *active; /* newest first; of equal ones the one that ends last */
    size_t active_count;
};

static int by_start(const void *a, const void *b)
{
    const struct fr_range *x = a, *y = b;
    return fr_slice_compare(x->start, y->start);
}

static int by_key(const void *a, const void *b)
{
    const fr_slice *x = a, *y = b;
    return fr_slice_compare(*x, *y);
}

static void sweep_deinit(struct sweep *sweep)
{
    fr_free(sweep->ranges);
    fr_free(sweep->places);
    fr_free(sweep->active);
}

static fr_status sweep_init(struct sweep *sweep, size_t count)
{
    *sweep = (struct sweep){.count = count};
    sweep->ranges = fr_alloc_zeroed(count, sizeof(sweep->ranges[0]));
    sweep->places = fr_alloc_zeroed(2 * count, sizeof(sweep->places[0]));
    sweep->active = fr_alloc_zeroed(count, sizeof(sweep->active[0]));
    if (sweep->ranges != NULL && sweep->places != NULL && sweep->active != NULL) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory to cut %zu ranges", count);
}

static void sweep_sort(struct sweep *sweep)
{
    size_t kept = 0;

    for (size_t i = 0; i < sweep->count; i++) {
        FR_ASSERT(fr_slice_compare(sweep->ranges[i].start, sweep->ranges[i].end) < 0);
        sweep->places[2 * i] = sweep->ranges[i].start;
        sweep->places[2 * i + 1] = sweep->ranges[i].end;
    }
    qsort(sweep->ranges, sweep->count, sizeof(sweep->ranges[0]), by_start);
    qsort(sweep->places, 2 * sweep->count, sizeof(sweep->places[0]), by_key);
    for (size_t i = 0; i < 2 * sweep->count; i++)
        if (kept == 0 || !fr_slice_equal(sweep->places[kept - 1], sweep->places[i]))
            sweep->places[kept++] = sweep->places[i];
    sweep->place_count = kept;
}

static void sweep_add_active(struct sweep *sweep, const struct fr_range *range)
{
    size_t at = sweep->active_count++;

    for (; at > 0 && sweep->active[at - 1].seq < range->seq; at--)
        sweep->active[at] = sweep->active[at - 1];
    sweep->active[at] = *range;
}

/* Go on to a place: drop what ends there, take up what starts there. */
static void sweep_to(struct sweep *sweep, fr_slice place)
{
    size_t kept = 0;

    for (size_t i = 0; i < sweep->active_count; i++)
        if (fr_slice_compare(sweep->active[i].end, place) > 0)
            sweep->active[kept++] = sweep->active[i];
    sweep->active_count = kept;
    while (sweep->begun < sweep->count &&
            fr_slice_compare(sweep->ranges[sweep->begun].start, place) <= 0)
        sweep_add_active(sweep, &sweep->ranges[sweep->begun++]);
}

/* The last fragment goes on if this one starts where it ends and has the same numbers. */
static bool extends_last(const struct fr_range_set *set, fr_slice start, const fr_seq *seqs,
        size_t seq_count)
{
    if (set->count == 0) return false;
    const struct fr_range_fragment *last = &set->fragments[set->count - 1];
    return last->seq_count == seq_count && fr_slice_equal(last->end, start) &&
           memcmp(last->seqs, seqs, seq_count * sizeof(seqs[0])) == 0;
}

static bool add_fragment(struct fr_range_set *set, const struct sweep *sweep, fr_slice start,
        fr_slice end)
{
    fr_seq *seqs = fr_arena_alloc(&set->arena, sweep->active_count * sizeof(fr_seq), 8);
    size_t seq_count = 0;

    if (seqs == NULL) return false;
    for (size_t i = 0; i < sweep->active_count; i++)
        if (seq_count == 0 || seqs[seq_count - 1] != sweep->active[i].seq)
            seqs[seq_count++] = sweep->active[i].seq;
    end = fr_arena_copy(&set->arena, end);
    if (end.data == NULL) return false;
    if (extends_last(set, start, seqs, seq_count)) {
        set->fragments[set->count - 1].end = end;
        return true;
    }
    start = fr_arena_copy(&set->arena, start);
    if (start.data == NULL) return false;
    set->fragments[set->count++] = (struct fr_range_fragment){
            .start = start, .end = end, .seqs = seqs, .seq_count = seq_count};
    return true;
}

static bool cut(struct fr_range_set *set, struct sweep *sweep)
{
    set->fragments = fr_alloc_zeroed(sweep->place_count, sizeof(set->fragments[0]));
    if (set->fragments == NULL) return false;
    for (size_t i = 0; i + 1 < sweep->place_count; i++) {
        sweep_to(sweep, sweep->places[i]);
        if (sweep->active_count == 0) continue;
        if (!add_fragment(set, sweep, sweep->places[i], sweep->places[i + 1])) return false;
    }
    return true;
}

static fr_status build_from(struct sweep *sweep, struct fr_range_set **ret_set)
{
    struct fr_range_set *set = FR_NEW(struct fr_range_set);
    if (set == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a set of ranges");

    atomic_init(&set->refs, 1);
    fr_arena_init(&set->arena, 512);
    sweep_sort(sweep);
    if (!cut(set, sweep)) {
        fr_range_set_unref(set);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a set of %zu ranges", sweep->count);
    }
    *ret_set = set;
    return FR_OK;
}

fr_status fr_range_set_build(const struct fr_range *ranges, size_t count,
        struct fr_range_set **ret_set)
{
    return fr_range_set_merge(NULL, 0, ranges, count, ret_set);
}

static size_t count_ranges(const struct fr_range_set *set)
{
    size_t count = 0;

    for (size_t i = 0; i < fr_range_set_count(set); i++)
        count += set->fragments[i].seq_count;
    return count;
}

static size_t copy_ranges(const struct fr_range_set *set, struct fr_range *to)
{
    size_t count = 0;

    for (size_t i = 0; i < fr_range_set_count(set); i++) {
        const struct fr_range_fragment *f = &set->fragments[i];
        for (size_t k = 0; k < f->seq_count; k++)
            to[count++] = (struct fr_range){.start = f->start, .end = f->end, .seq = f->seqs[k]};
    }
    return count;
}

fr_status fr_range_set_merge(const struct fr_range_set *const *sets, size_t set_count,
        const struct fr_range *more, size_t more_count, struct fr_range_set **ret_set)
{
    struct sweep sweep;
    size_t count = more_count, filled = more_count;
    fr_status st;

    for (size_t i = 0; i < set_count; i++)
        count += count_ranges(sets[i]);
    FR_TRY(sweep_init(&sweep, count));
    if (more_count > 0) memcpy(sweep.ranges, more, more_count * sizeof(more[0]));
    for (size_t i = 0; i < set_count; i++)
        filled += copy_ranges(sets[i], sweep.ranges + filled);
    FR_ASSERT(filled == count);
    FR_TRY(build_from(&sweep, ret_set));
out:
    sweep_deinit(&sweep);
    return st;
}

/* The first fragment that ends behind the key: the only one that may hold it. */
static size_t find(const struct fr_range_set *set, fr_slice key)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fr_slice_compare(set->fragments[middle].end, key) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static bool holds(const struct fr_range_set *set, size_t index, fr_slice key)
{
    return index < set->count && fr_slice_compare(set->fragments[index].start, key) <= 0;
}

/* The newest up to at, or 0. */
static fr_seq newest_up_to(const struct fr_range_fragment *fragment, fr_seq at)
{
    size_t low = 0, high = fragment->seq_count;

    if (fragment->seqs[0] <= at) return fragment->seqs[0];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (fragment->seqs[middle] <= at)
            high = middle;
        else
            low = middle + 1;
    }
    return low < fragment->seq_count ? fragment->seqs[low] : 0;
}

fr_seq fr_range_set_covering(const struct fr_range_set *set, fr_slice key, fr_seq at)
{
    if (fr_range_set_count(set) == 0) return 0;
    size_t index = find(set, key);
    return holds(set, index, key) ? newest_up_to(&set->fragments[index], at) : 0;
}

/* Is this still the first fragment that ends behind the key? */
static bool is_place_of(const struct fr_range_set *set, size_t index, fr_slice key)
{
    if (index < set->count && fr_slice_compare(set->fragments[index].end, key) <= 0) return false;
    return index == 0 || fr_slice_compare(set->fragments[index - 1].end, key) <= 0;
}

static void move_cursor(struct fr_range_cursor *cursor, fr_slice key)
{
    if (is_place_of(cursor->set, cursor->index, key)) return;
    cursor->index = find(cursor->set, key);
}

fr_seq fr_range_cursor_covering(struct fr_range_cursor *cursor, fr_slice key, fr_seq at)
{
    if (fr_range_set_count(cursor->set) == 0) return 0;
    move_cursor(cursor, key);
    if (!holds(cursor->set, cursor->index, key)) return 0;
    return newest_up_to(&cursor->set->fragments[cursor->index], at);
}

bool fr_range_cursor_span(struct fr_range_cursor *cursor, fr_slice key, fr_seq above, fr_seq at,
        fr_slice *ret_start, fr_slice *ret_end)
{
    if (fr_range_cursor_covering(cursor, key, at) <= above) return false;

    const struct fr_range_fragment *all = cursor->set->fragments;
    size_t first = cursor->index, last = cursor->index;
    while (first > 0 && fr_slice_equal(all[first - 1].end, all[first].start) &&
            newest_up_to(&all[first - 1], at) > above)
        first--;
    while (last + 1 < cursor->set->count && fr_slice_equal(all[last].end, all[last + 1].start) &&
            newest_up_to(&all[last + 1], at) > above)
        last++;
    *ret_start = all[first].start;
    *ret_end = all[last].end;
    return true;
}
