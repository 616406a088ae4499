#include "db/deep.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "db/db_priv.h"
#include "io/env.h"
#include "lsm/known.h"
#include "recovery/verify.h"
#include "spfresh/index.h"
#include "spfresh/row_digest.h"

#define MEMORY_DEFAULT ((uint64_t)256 << 20)
#define KEYS_PER_LOOK  1024
#define READAHEAD      ((size_t)1 << 20)

struct fr_deep {
    struct fr_row_digests *digests;
    struct fr_known values;

    /* Of each index that was checked, and in the order of their keys. */
    struct fr_index_checked *checked;
    size_t checked_count, checked_capacity;
    bool index_failed; /* all keys are to be read, then */
};

fr_status fr_deep_new(struct fr_db *db, struct fr_deep **ret_deep)
{
    struct fr_deep *deep = NULL;
    fr_status st;

    FR_TRY(fr_db_check(db));
    deep = FR_NEW(struct fr_deep);
    if (deep == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to verify a store");
    FR_TRY(fr_row_digests_open(db->engine, &deep->digests));
    *ret_deep = FR_TAKE(deep);
out:
    fr_deep_free(deep);
    return st;
}

void fr_deep_free(struct fr_deep *deep)
{
    if (deep == NULL) return;
    fr_row_digests_close(deep->digests);
    fr_known_deinit(&deep->values);
    fr_free(deep->checked);
    fr_free(deep);
}

fr_status fr_deep_verify(struct fr_deep *deep, const char *path,
        const struct fr_verify_options *how, struct fr_verify_stats *ret_stats)
{
    struct fr_env *env = NULL;
    fr_status st;

    struct fr_verify_keep keep = {.known = &deep->values, .digests = deep->digests};
    fr_known_init(&deep->values, how->memory != 0 ? how->memory : MEMORY_DEFAULT);
    FR_TRY(fr_env_open(NULL, &env));
    *ret_stats = (struct fr_verify_stats){.size = sizeof(*ret_stats)};
    st = fr_verify_path(env, path, how, &keep, ret_stats);
out:
    fr_env_close(env);
    return st;
}

/* --- Indexes --- */

static fr_status room_for_checked(struct fr_deep *deep)
{
    if (deep->checked_count < deep->checked_capacity) return FR_OK;
    size_t capacity = 4 + 2 * deep->checked_capacity;
    struct fr_index_checked *checked = fr_realloc(deep->checked, capacity * sizeof(*checked));

    if (checked == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to verify an index");
    deep->checked = checked;
    deep->checked_capacity = capacity;
    return FR_OK;
}

fr_status fr_deep_verify_index(struct fr_deep *deep, struct fr_index *index)
{
    fr_status st;

    FR_TRY(room_for_checked(deep));
    FR_TRY(fr_index_verify_with(index, &deep->values, &deep->checked[deep->checked_count]));
    deep->checked_count++;
out:
    deep->index_failed |= st < 0;
    return st;
}

/* --- Keys --- */

/* Keys that were read: from lower up to upper. */
struct range {
    fr_slice lower, upper;
};

static int compare_ranges(const void *a, const void *b)
{
    const struct range *left = a, *right = b;

    return fr_slice_compare(left->lower, right->lower);
}

static fr_status gather_ranges(const struct fr_deep *deep, struct range **ret_ranges,
        size_t *ret_count)
{
    size_t most = 0, count = 0;

    for (size_t i = 0; i < deep->checked_count; i++)
        most += deep->checked[i].range_count;
    struct range *ranges = fr_alloc((most + 1) * sizeof(*ranges));
    if (ranges == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to verify all keys");
    for (size_t i = 0; i < deep->checked_count; i++)
        for (size_t k = 0; k < deep->checked[i].range_count; k++)
            ranges[count++] =
                    (struct range){.lower = fr_index_key_slice(&deep->checked[i].lower[k]),
                            .upper = fr_index_key_slice(&deep->checked[i].upper[k])};
    qsort(ranges, count, sizeof(*ranges), compare_ranges);
    *ret_ranges = ranges;
    *ret_count = count;
    return FR_OK;
}

struct reading {
    struct fr_engine *engine;
    struct fr_known_reader reader;
    bool (*looked_at)(void *ctx, const struct fr_deep_counts *counts);
    void *ctx;
    struct fr_deep_counts *counts;
};

static bool is_known(void *ctx, const struct fr_entry *entry, fr_slice *ret_value)
{
    uint64_t size = 0, digest;
    bool known = fr_known_find(ctx, entry, &size, &digest);

    if (known) *ret_value = fr_slice_of(NULL, size); /* only how long it is matters */
    return known;
}

static fr_status cancelled(void)
{
    return FR_FAIL(FR_ERR_CANCELLED, "interrupted while keys were read");
}

static fr_status read_iter(struct reading *r, struct fr_iter *it)
{
    fr_status st;

    while ((st = fr_iter_next(it)) == FR_OK) {
        r->counts->keys++;
        r->counts->key_bytes += it->entry.key.size;
        r->counts->value_bytes += it->entry.value.size;
        if (r->counts->keys % KEYS_PER_LOOK == 0 && !r->looked_at(r->ctx, r->counts))
            return cancelled();
    }
    return st == FR_END ? FR_OK : st;
}

/* Empty: from the first, to the last one. */
static fr_status read_between(struct reading *r, fr_slice lower, fr_slice upper)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX,
            .lower = lower,
            .upper = upper,
            .readahead_max = READAHEAD,
            .no_cache = true,
            .known = is_known,
            .known_ctx = &r->reader};
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_engine_scan(r->engine, &options, &it));
    st = read_iter(r, it);
out:
    fr_iter_close(it);
    return st;
}

static fr_status read_others(struct reading *r, const struct range *ranges, size_t count)
{
    fr_slice lower = fr_slice_of(NULL, 0);
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        if (fr_slice_compare(lower, ranges[i].lower) < 0)
            FR_TRY(read_between(r, lower, ranges[i].lower));
        lower = ranges[i].upper;
    }
    st = read_between(r, lower, fr_slice_of(NULL, 0));
out:
    return st;
}

static void add_checked(const struct fr_deep *deep, struct fr_deep_counts *counts)
{
    for (size_t i = 0; i < deep->checked_count; i++) {
        counts->keys += deep->checked[i].keys;
        counts->key_bytes += deep->checked[i].key_bytes;
        counts->value_bytes += deep->checked[i].value_bytes;
    }
}

fr_status fr_deep_read_keys(struct fr_deep *deep, struct fr_db *db,
        bool (*looked_at)(void *ctx, const struct fr_deep_counts *counts), void *ctx,
        struct fr_deep_counts *counts)
{
    struct reading r = {.looked_at = looked_at, .ctx = ctx, .counts = counts};
    struct range *ranges = NULL;
    size_t count = 0;
    fr_status st;

    *counts = (struct fr_deep_counts){0};
    FR_TRY(fr_db_check(db));
    r.engine = db->engine;
    if (deep->index_failed) deep->checked_count = 0;
    add_checked(deep, counts);
    if (counts->keys > 0 && !looked_at(ctx, counts)) return cancelled();
    FR_TRY(gather_ranges(deep, &ranges, &count));
    FR_TRY(fr_known_reader_init(&r.reader, &deep->values));
    st = read_others(&r, ranges, count);
out:
    fr_known_reader_deinit(&r.reader);
    fr_free(ranges);
    return st;
}
