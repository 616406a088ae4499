/*
 * model_test.c - random histories against a model that is nothing but the list of operations.
 *
 * The store here is what the engine will be without files: an active memtable, frozen ones, and
 * arrays of entries that came out of a fold. At random points memtables are frozen, neighbours are
 * folded, snapshots taken and released; whatever was done, point reads and iterators of every live
 * snapshot must say what the list of operations says.
 */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lsm/batch.h"
#include "lsm/fold.h"
#include "lsm/memtable.h"
#include "lsm/place.h"
#include "lsm/visible_iter.h"
#include "tests/unit/lsm/test_entries.h"

#define KEYS        24
#define SNAPSHOTS   4
#define SOURCES_MAX 8

struct source {
    struct fr_memtable *memtable; /* or */
    struct test_entries table;
    struct fr_range_set *ranges;
    fr_seq seq_max;
};

struct world {
    struct fr_rng rng;
    struct test_entries history;        /* all operations ever, by sequence number */
    struct test_entries placed;         /* values in the value file */
    struct source sources[SOURCES_MAX]; /* newest first; sources[0] is the active memtable */
    size_t source_count;
    fr_seq snapshots[SNAPSHOTS]; /* ascending */
    size_t snapshot_count;
    fr_seq last;
    uint64_t now;
};

static fr_slice key_text(unsigned number, char *to)
{
    /* Some share their first bytes with others, and some are the beginning of others. */
    int size = sprintf(to, "%s%c", number % 3 == 0 ? "shared-prefix/" : "k", 'a' + (int)number / 3);
    if (number % 3 == 2) to[size++] = '0';
    return fr_slice_of(to, (size_t)size);
}

static fr_status fetch(void *ctx, const struct fr_entry *entry, struct fr_buf *to)
{
    const struct world *w = ctx;
    struct fr_place place;

    cr_assert(fr_place_get(entry->value, &place));
    const struct fr_entry *value = &w->placed.entries[place.offset];
    cr_assert(fr_slice_equal(value->key, entry->key), "a value of another key");
    fr_buf_append(to, value->value.data, value->value.size);
    return fr_buf_status(to);
}

/* What the operations up to `at` make of a key. */
static bool model_get(const struct world *w, fr_slice key, fr_seq at, struct fr_buf *value)
{
    const struct fr_entry *base = NULL;
    bool there = false;
    size_t fragments_from = 0;

    fr_buf_clear(value);
    for (size_t i = 0; i < w->history.count && w->history.entries[i].seq <= at; i++) {
        const struct fr_entry *e = &w->history.entries[i];
        bool meant = e->kind == FR_KIND_DELETE_RANGE ? fr_slice_compare(e->key, key) <= 0 &&
                                                               fr_slice_compare(key, e->value) < 0
                                                     : fr_slice_equal(e->key, key);
        if (!meant) continue;
        if (e->kind == FR_KIND_APPEND) {
            there = true;
            continue;
        }
        base = e->kind == FR_KIND_PUT ? e : NULL;
        if (base != NULL && base->flags && base->expires_us <= w->now) base = NULL;
        there = base != NULL;
        fragments_from = i + 1;
    }
    if (base != NULL) fr_buf_append(value, base->value.data, base->value.size);
    for (size_t i = fragments_from; i < w->history.count && w->history.entries[i].seq <= at; i++) {
        const struct fr_entry *e = &w->history.entries[i];
        if (e->kind == FR_KIND_APPEND && fr_slice_equal(e->key, key))
            fr_buf_append(value, e->value.data, e->value.size);
    }
    return there;
}

static void random_entry(struct world *w, struct fr_entry *entry, char *key, char *value)
{
    static const uint8_t kinds[] = {FR_KIND_PUT, FR_KIND_PUT, FR_KIND_PUT, FR_KIND_APPEND,
            FR_KIND_APPEND, FR_KIND_APPEND, FR_KIND_DELETE, FR_KIND_DELETE_RANGE};
    unsigned number = (unsigned)fr_rng_below(&w->rng, KEYS);

    *entry = (struct fr_entry){.seq = ++w->last, .key = key_text(number, key)};
    entry->kind = kinds[fr_rng_below(&w->rng, FR_ARRAY_COUNT(kinds))];
    if (entry->kind == FR_KIND_DELETE_RANGE) {
        entry->value = key_text((unsigned)fr_rng_below(&w->rng, KEYS), value);
        if (fr_slice_compare(entry->key, entry->value) < 0) return;
        entry->kind = FR_KIND_APPEND;
    }
    if (entry->kind != FR_KIND_DELETE)
        entry->value = fr_slice_of(value, (size_t)sprintf(value, "<%" PRIu64 ">", w->last));
    if (entry->kind == FR_KIND_PUT && fr_rng_one_in(&w->rng, 4)) {
        entry->flags = FR_ENTRY_EXPIRES;
        entry->expires_us = w->now + fr_rng_below(&w->rng, 60);
    }
}

static fr_status add_to_batch(struct fr_batch *batch, const struct fr_entry *e)
{
    switch (e->kind) {
    case FR_KIND_PUT:
        if (e->flags) return fr_batch_add_put_until(batch, e->key, e->value, e->expires_us);
        return fr_batch_add_put(batch, e->key, e->value);
    case FR_KIND_DELETE:
        return fr_batch_add_delete(batch, e->key);
    case FR_KIND_APPEND:
        return fr_batch_add_append(batch, e->key, e->value);
    default:
        return fr_batch_add_delete_range(batch, e->key, e->value);
    }
}

static void write_batch(struct world *w)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_entry entry;
    char key[64], value[64];
    fr_seq first = w->last + 1;
    fr_slice bytes;

    for (uint64_t n = fr_rng_between(&w->rng, 1, 5); n > 0; n--) {
        random_entry(w, &entry, key, value);
        test_entries_add(&w->history, &entry);
        cr_assert_eq(add_to_batch(&batch, &entry), FR_OK);
    }
    cr_assert_eq(fr_batch_finish(&batch, &bytes), FR_OK);
    cr_assert_eq(fr_batch_verify(bytes), FR_OK);
    cr_assert_eq(fr_memtable_reserve(w->sources[0].memtable, bytes.size, batch.count), FR_OK);
    fr_alloc_fail_at(1, true);
    cr_assert_eq(fr_memtable_insert_batch(w->sources[0].memtable, bytes, first), FR_OK);
    fr_alloc_fail_at(0, false);
    w->sources[0].seq_max = w->last;
    fr_batch_deinit(&batch);
}

static void source_deinit(struct source *source)
{
    fr_memtable_unref(source->memtable);
    test_entries_deinit(&source->table);
    fr_range_set_unref(source->ranges);
}

static void new_memtable(struct world *w)
{
    memmove(w->sources + 1, w->sources, w->source_count * sizeof(w->sources[0]));
    w->sources[0] = (struct source){0};
    w->source_count++;
    cr_assert_eq(fr_memtable_new((size_t)4 << 20, NULL, &w->sources[0].memtable), FR_OK);
}

static struct fr_range_set *ranges_of(const struct source *source)
{
    struct fr_range_set *set = NULL;

    if (source->memtable == NULL) return fr_range_set_ref(source->ranges);
    cr_assert_eq(fr_memtable_ranges(source->memtable, &set), FR_OK);
    return set;
}

static struct fr_merge_source open_source(const struct source *source, bool verify)
{
    struct fr_merge_source opened = {.seq_max = source->seq_max};

    if (source->memtable == NULL)
        opened.it = test_iter_new(&source->table);
    else
        cr_assert_eq(fr_memtable_iter_new(source->memtable, verify, &opened.it), FR_OK);
    return opened;
}

/* Some of the values go to the value file, as flush will have it. */
static void add_output(struct world *w, struct test_entries *table, struct fr_entry *entry)
{
    uint8_t bytes[FR_PLACE_SIZE_MAX];

    if (entry->kind == FR_KIND_PUT && !(entry->flags & FR_ENTRY_PLACED) &&
            fr_rng_one_in(&w->rng, 2)) {
        struct fr_place place = {.file = 1, .offset = w->placed.count, .size = entry->value.size};
        test_entries_add(&w->placed, entry);
        entry->flags |= FR_ENTRY_PLACED;
        entry->value = fr_slice_of(bytes, fr_place_put(bytes, &place));
    }
    test_entries_add(table, entry);
}

static void run_fold(struct world *w, struct fr_iter *in, struct fr_fold_options *options,
        struct source *out)
{
    struct fr_fold *fold;
    struct fr_entry entry;
    fr_status st;

    cr_assert_eq(fr_fold_new(in, options, &fold), FR_OK);
    while ((st = fr_fold_next(fold, &entry)) == FR_OK) {
        const struct fr_entry *last =
                out->table.count == 0 ? NULL : &out->table.entries[out->table.count - 1];
        bool same = last != NULL && fr_slice_equal(last->key, entry.key);
        cr_assert_eq(fr_fold_at_key_start(fold), !same);
        if (same) cr_assert_gt(last->seq, entry.seq);
        add_output(w, &out->table, &entry);
    }
    cr_assert_eq(st, FR_END, "%s", fr_last_error());
    fr_fold_close(fold);
    cr_assert_eq(fr_fold_ranges(options, &out->ranges), FR_OK);
}

/* Fold sources[from..from+count) into one; at the bottom if they are the last. */
static void fold_sources(struct world *w, size_t from, size_t count)
{
    struct fr_merge_source opened[SOURCES_MAX];
    struct fr_range_set *sets[SOURCES_MAX], *all = NULL;
    struct source out = {0};
    struct fr_iter *merge;

    for (size_t i = 0; i < count; i++) {
        opened[i] = open_source(&w->sources[from + i], true);
        sets[i] = ranges_of(&w->sources[from + i]);
        out.seq_max = FR_MAX(out.seq_max, w->sources[from + i].seq_max);
    }
    cr_assert_eq(fr_range_set_merge((const struct fr_range_set *const *)sets, count, NULL, 0, &all),
            FR_OK);
    cr_assert_eq(fr_merge_iter_new(opened, count, (struct fr_bounds){0}, &merge), FR_OK);
    struct fr_fold_options options = {.snapshots = w->snapshots,
            .snapshot_count = w->snapshot_count,
            .bottommost = from + count == w->source_count,
            .now_us = w->now,
            .ranges = all,
            .fetch = fr_rng_one_in(&w->rng, 4) ? NULL : fetch,
            .fetch_ctx = w};
    run_fold(w, merge, &options, &out);
    fr_range_set_unref(all);
    for (size_t i = 0; i < count; i++) {
        fr_range_set_unref(sets[i]);
        source_deinit(&w->sources[from + i]);
    }
    w->sources[from] = out;
    memmove(w->sources + from + 1, w->sources + from + count,
            (w->source_count - from - count) * sizeof(out));
    w->source_count -= count - 1;
}

static void get_from_table(const struct source *source, fr_slice key, struct fr_lookup *lookup)
{
    fr_lookup_cover(lookup, fr_range_set_covering(source->ranges, key, lookup->at));
    for (size_t i = 0; i < source->table.count && !fr_lookup_complete(lookup); i++) {
        const struct fr_entry *e = &source->table.entries[i];
        if (fr_slice_equal(e->key, key) && e->seq <= lookup->at)
            cr_assert_eq(fr_lookup_add(lookup, e, i % 2 == 0), FR_OK);
    }
}

static void check_get(struct world *w, fr_slice key, fr_seq at, struct fr_buf *wanted)
{
    struct fr_lookup lookup;
    struct fr_buf buf = FR_BUF_EMPTY;
    fr_slice found;
    bool there = model_get(w, key, at, wanted);

    fr_lookup_init(&lookup, key, at, w->now);
    for (size_t i = 0; i < w->source_count && !fr_lookup_complete(&lookup); i++) {
        if (w->sources[i].memtable != NULL)
            cr_assert_eq(fr_memtable_get(w->sources[i].memtable, key, &lookup), FR_OK);
        else
            get_from_table(&w->sources[i], key, &lookup);
        fr_lookup_source_done(&lookup);
    }
    fr_status st = fr_lookup_value(&lookup, fetch, w, &buf, &found, NULL);
    cr_assert_eq(st, there ? FR_OK : FR_NOT_FOUND, "%.*s@%" PRIu64 " of %" PRIu64, (int)key.size,
            (const char *)key.data, at, w->last);
    if (there) cr_assert(fr_slice_equal(found, fr_buf_slice(wanted)));
    fr_lookup_deinit(&lookup);
    fr_buf_deinit(&buf);
}

static struct fr_iter *open_visible(struct world *w, fr_seq at, struct fr_bounds bounds,
        fr_slice prefix)
{
    struct fr_merge_source opened[SOURCES_MAX];
    struct fr_range_set *sets[SOURCES_MAX];
    struct fr_iter *it;

    for (size_t i = 0; i < w->source_count; i++) {
        opened[i] = open_source(&w->sources[i], false);
        sets[i] = ranges_of(&w->sources[i]);
    }
    struct fr_visible_options options = {.at = at,
            .now_us = w->now,
            .bounds = bounds,
            .prefix = prefix,
            .fetch = fetch,
            .fetch_ctx = w,
            .ranges = sets,
            .range_count = w->source_count};
    cr_assert_eq(fr_visible_iter_new(opened, w->source_count, &options, &it), FR_OK);
    for (size_t i = 0; i < w->source_count; i++)
        fr_range_set_unref(sets[i]);
    return it;
}

static int by_key(const void *a, const void *b)
{
    const struct fr_entry *x = a, *y = b;
    return fr_slice_compare(x->key, y->key);
}

/* All that a reader with these bounds sees, in order. */
static void model_scan(struct world *w, fr_seq at, struct fr_bounds bounds, fr_slice prefix,
        struct test_entries *seen)
{
    struct fr_buf value = FR_BUF_EMPTY;
    char text[64];

    for (unsigned k = 0; k < KEYS; k++) {
        fr_slice key = key_text(k, text);
        if (fr_slice_compare(key, bounds.lower) < 0 || !fr_slice_starts_with(key, prefix)) continue;
        if (bounds.upper.size > 0 && fr_slice_compare(key, bounds.upper) >= 0) continue;
        if (!model_get(w, key, at, &value)) continue;
        test_entries_add(seen,
                &(struct fr_entry){.key = key, .value = fr_buf_slice(&value), .kind = FR_KIND_PUT});
    }
    if (seen->count > 0) qsort(seen->entries, seen->count, sizeof(seen->entries[0]), by_key);
    fr_buf_deinit(&value);
}

/* Walk at random; `at` is the number of entries before the gap that we are in or, on, before us. */
static void walk(struct world *w, struct fr_iter *it, const struct test_entries *seen)
{
    size_t at = 0;
    bool on = false;
    bool forwards = true;

    for (unsigned step = 0; step < 4 * KEYS; step++) {
        char text[64];
        if (fr_rng_one_in(&w->rng, 8)) forwards = !forwards;
        if (fr_rng_one_in(&w->rng, 12)) {
            fr_slice key = key_text((unsigned)fr_rng_below(&w->rng, KEYS), text);
            fr_iter_seek(it, key, FR_SEQ_MAX);
            for (at = 0; at < seen->count && fr_slice_compare(seen->entries[at].key, key) < 0;)
                at++;
            on = false;
        }
        fr_status st = forwards ? fr_iter_next(it) : fr_iter_prev(it);
        bool more = forwards ? at + on < seen->count : at > 0;
        cr_assert_eq(st, more ? FR_OK : FR_END, "%s at %zu", fr_status_name(st), at);
        if (more)
            at = forwards ? at + on : at - 1;
        else
            at = forwards ? seen->count : 0;
        on = more;
        if (!more) continue;
        cr_assert(fr_slice_equal(it->entry.key, seen->entries[at].key));
        cr_assert(fr_slice_equal(it->entry.value, seen->entries[at].value));
    }
}

static void check_scan(struct world *w, fr_seq at)
{
    static const char *const prefixes[] = {"", "", "k", "shared", "kb", "x"};
    struct test_entries seen = TEST_ENTRIES_EMPTY;
    struct fr_bounds bounds = {0};
    char lower[64], upper[64];

    if (fr_rng_one_in(&w->rng, 2))
        bounds.lower = key_text((unsigned)fr_rng_below(&w->rng, KEYS), lower);
    if (fr_rng_one_in(&w->rng, 2))
        bounds.upper = key_text((unsigned)fr_rng_below(&w->rng, KEYS), upper);
    fr_slice prefix = fr_slice_of_text(prefixes[fr_rng_below(&w->rng, FR_ARRAY_COUNT(prefixes))]);
    model_scan(w, at, bounds, prefix, &seen);
    struct fr_iter *it = open_visible(w, at, bounds, prefix);
    walk(w, it, &seen);
    fr_iter_close(it);
    test_entries_deinit(&seen);
}

static void check_all(struct world *w)
{
    struct fr_buf wanted = FR_BUF_EMPTY;
    char text[64];

    for (size_t s = 0; s <= w->snapshot_count; s++) {
        fr_seq at = s < w->snapshot_count ? w->snapshots[s] : w->last;
        for (unsigned k = 0; k < KEYS; k++)
            check_get(w, key_text(k, text), at, &wanted);
        check_scan(w, at);
        check_scan(w, at);
    }
    for (size_t i = 0; i < w->source_count; i++)
        if (w->sources[i].memtable != NULL) fr_memtable_check(w->sources[i].memtable);
    fr_buf_deinit(&wanted);
}

static void change_snapshots(struct world *w)
{
    if (w->snapshot_count == SNAPSHOTS || (w->snapshot_count > 0 && fr_rng_one_in(&w->rng, 2))) {
        size_t gone = fr_rng_below(&w->rng, w->snapshot_count);
        w->snapshot_count--;
        memmove(w->snapshots + gone, w->snapshots + gone + 1,
                (w->snapshot_count - gone) * sizeof(fr_seq));
    } else if (w->snapshot_count == 0 || w->snapshots[w->snapshot_count - 1] < w->last) {
        w->snapshots[w->snapshot_count++] = w->last;
    }
}

static void step(struct world *w)
{
    w->now += fr_rng_below(&w->rng, 4);
    switch (fr_rng_below(&w->rng, 10)) {
    case 0:
        if (w->source_count < SOURCES_MAX) new_memtable(w);
        break;
    case 1:
        if (w->source_count > 1) {
            size_t from = fr_rng_between(&w->rng, 1, w->source_count - 1);
            fold_sources(w, from, fr_rng_between(&w->rng, 1, w->source_count - from));
        }
        break;
    case 2:
        change_snapshots(w);
        break;
    default:
        write_batch(w);
    }
}

static void run_history(uint64_t seed, unsigned steps)
{
    struct world w = {.now = 1000};

    fr_rng_init(&w.rng, seed);
    new_memtable(&w);
    for (unsigned i = 0; i < steps; i++) {
        step(&w);
        if (i % 7 == 0) check_all(&w);
    }
    for (size_t i = 0; i < w.source_count; i++)
        source_deinit(&w.sources[i]);
    test_entries_deinit(&w.history);
    test_entries_deinit(&w.placed);
}

/* FR_TEST_SEED runs one history, as the message of a failure names it. */
Test(model, reads_and_walks_say_what_the_history_says)
{
    const char *seed = getenv("FR_TEST_SEED");

    if (seed != NULL) {
        run_history(strtoull(seed, NULL, 10), 300);
        return;
    }
    for (uint64_t s = 1; s <= 60; s++) {
        fprintf(stderr, "seed %" PRIu64 "\n", s);
        run_history(s, 300);
    }
}
