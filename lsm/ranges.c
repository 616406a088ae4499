#include "lsm/ranges.h"

#include <stdlib.h>

#include "base/alloc.h"

void fr_ranges_init(struct fr_ranges *ranges)
{
    *ranges = (struct fr_ranges){0};
    fr_arena_init(&ranges->keys, 256);
}

void fr_ranges_deinit(struct fr_ranges *ranges)
{
    fr_buf_deinit(&ranges->given);
    fr_buf_deinit(&ranges->fragments);
    fr_arena_deinit(&ranges->keys);
}

fr_status fr_ranges_add(struct fr_ranges *ranges, fr_slice start, fr_slice end, fr_seq seq)
{
    struct fr_range range = {.seq = seq};

    if (fr_slice_compare(start, end) >= 0) return FR_OK;
    range.start = fr_arena_copy(&ranges->keys, start);
    range.end = fr_arena_copy(&ranges->keys, end);
    fr_buf_append(&ranges->given, &range, sizeof(range));
    if ((range.start.data == NULL && start.size > 0) || range.end.data == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a range");
    return fr_buf_status(&ranges->given);
}

static int by_start(const void *a, const void *b)
{
    const struct fr_range *x = a, *y = b;

    return fr_entry_compare(x->start, x->seq, y->start, y->seq);
}

static int by_key(const void *a, const void *b)
{
    return fr_slice_compare(*(const fr_slice *)a, *(const fr_slice *)b);
}

static int newest_first(const void *a, const void *b)
{
    const struct fr_range *x = *(const struct fr_range *const *)a;
    const struct fr_range *y = *(const struct fr_range *const *)b;

    return (x->seq < y->seq) - (x->seq > y->seq);
}

/* All starts and ends, each once, in order. */
static size_t gather_cuts(const struct fr_range *given, size_t count, fr_slice *cuts)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++) {
        cuts[2 * i] = given[i].start;
        cuts[2 * i + 1] = given[i].end;
    }
    qsort(cuts, 2 * count, sizeof(*cuts), by_key);
    for (size_t i = 0; i < 2 * count; i++)
        if (i == 0 || !fr_slice_equal(cuts[i], cuts[kept - 1])) cuts[kept++] = cuts[i];
    return kept;
}

/* A sweep over the cuts: which of the ranges, sorted by start, go over the span to the next one. */
struct sweep {
    const struct fr_range *given;
    size_t count;
    size_t next;                   /* the first that has not started yet */
    const struct fr_range **alive; /* newest first */
    size_t alive_count;
    struct fr_buf *out;
};

static void enter_span(struct sweep *sweep, fr_slice start)
{
    size_t kept = 0;

    for (size_t i = 0; i < sweep->alive_count; i++)
        if (fr_slice_compare(sweep->alive[i]->end, start) > 0)
            sweep->alive[kept++] = sweep->alive[i];
    sweep->alive_count = kept;
    while (sweep->next < sweep->count &&
            fr_slice_compare(sweep->given[sweep->next].start, start) <= 0)
        sweep->alive[sweep->alive_count++] = &sweep->given[sweep->next++];
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers is what is sorted */
    qsort((void *)sweep->alive, sweep->alive_count, sizeof(*sweep->alive), newest_first);
}

static fr_status put_span(struct sweep *sweep, fr_slice start, fr_slice end)
{
    enter_span(sweep, start);
    if (sweep->out->size / sizeof(struct fr_range) + sweep->alive_count > FR_RANGES_FRAGMENTS_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "too many overlapping range deletes for one table");
    for (size_t i = 0; i < sweep->alive_count; i++) {
        struct fr_range fragment = {.start = start, .end = end, .seq = sweep->alive[i]->seq};

        /* The same range deleted twice at one number is one range. */
        if (i > 0 && sweep->alive[i - 1]->seq == fragment.seq) continue;
        fr_buf_append(sweep->out, &fragment, sizeof(fragment));
    }
    return fr_buf_status(sweep->out);
}

fr_status fr_ranges_fragment(struct fr_ranges *ranges, const struct fr_range **ret_fragments,
        size_t *ret_count)
{
    struct fr_range *given = (struct fr_range *)(void *)ranges->given.data;
    size_t count = ranges->given.size / sizeof(*given), cut_count;
    fr_slice *cuts = fr_alloc_zeroed(2 * count + 1, sizeof(*cuts));
    struct sweep sweep = {.given = given, .count = count, .out = &ranges->fragments};
    fr_status st = FR_OK;

    fr_buf_clear(&ranges->fragments);
    sweep.alive = fr_alloc_zeroed(count + 1, sizeof(const struct fr_range *));
    if (cuts == NULL || sweep.alive == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for %zu ranges", count));
    if (count > 0) qsort(given, count, sizeof(*given), by_start);
    cut_count = count > 0 ? gather_cuts(given, count, cuts) : 0;
    for (size_t i = 0; i + 1 < cut_count; i++)
        FR_TRY(put_span(&sweep, cuts[i], cuts[i + 1]));
    *ret_fragments = (const struct fr_range *)(const void *)ranges->fragments.data;
    *ret_count = ranges->fragments.size / sizeof(struct fr_range);
out:
    fr_free(cuts);
    fr_free((void *)sweep.alive);
    return st;
}

size_t fr_ranges_find(const struct fr_range *fragments, size_t count, fr_slice key)
{
    size_t low = 0, high = count;

    /* The first that ends behind the key; ends are in order as starts are. */
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (fr_slice_compare(fragments[middle].end, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < count && fr_slice_compare(fragments[low].start, key) > 0) return count;
    return low;
}

fr_seq fr_ranges_covering(const struct fr_range *fragments, size_t count, fr_slice key, fr_seq seq)
{
    for (size_t i = fr_ranges_find(fragments, count, key); i < count; i++) {
        if (fr_slice_compare(fragments[i].start, key) > 0) break;
        if (fragments[i].seq <= seq) return fragments[i].seq;
    }
    return 0;
}
