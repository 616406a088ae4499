/*
 * fuzz_edit.c - edits from anywhere: refused, or applied to a version, one after the other.
 *
 * The input is a row of edits: for each a 16 bit size and its bytes. An edit has no checksum of its
 * own, so a plain fuzzer gets in. A version that comes of them must be in order; all of it as one
 * edit must lead to the same again; and what the picker chooses from it must be in it.
 */
#include "base/alloc.h"
#include "base/coding.h"
#include "fuzz/fuzz.h"
#include "lsm/picker.h"
#include "lsm/version.h"

#define ADDED_MAX 256

struct reading {
    struct fr_obsolete *obsolete;
    struct fr_version_change change;
    bool reset;
    struct fr_version_table *tables[ADDED_MAX]; /* one reference each */
    size_t table_count;
    struct fr_version_values *values[ADDED_MAX];
    size_t values_count;
};

static fr_status on_reset(void *ctx)
{
    ((struct reading *)ctx)->reset = true;
    return FR_OK;
}

static fr_status on_add_table(void *ctx, unsigned level, const struct fr_edit_table *meta)
{
    struct reading *r = ctx;

    FUZZ_CHECK(level < FR_LEVEL_COUNT && meta->smallest.size > 0);
    FUZZ_CHECK(fr_slice_compare(meta->smallest, meta->largest) <= 0);
    if (r->table_count == ADDED_MAX) return FR_ERR_LIMIT;
    FUZZ_CHECK(fr_version_table_new(r->obsolete, meta, NULL, NULL, NULL,
                       &r->tables[r->table_count]) == FR_OK);
    return fr_version_change_add_table(&r->change, level, r->tables[r->table_count++]);
}

static fr_status on_drop_table(void *ctx, unsigned level, uint64_t number)
{
    return fr_version_change_drop_table(&((struct reading *)ctx)->change, level, number);
}

static fr_status on_add_values(void *ctx, const struct fr_edit_values *meta)
{
    struct reading *r = ctx;

    if (r->values_count == ADDED_MAX) return FR_ERR_LIMIT;
    FUZZ_CHECK(fr_version_values_new(r->obsolete, meta, NULL, NULL, &r->values[r->values_count]) ==
               FR_OK);
    return fr_version_change_add_values(&r->change, r->values[r->values_count++]);
}

static fr_status on_drop_values(void *ctx, uint64_t number)
{
    return fr_version_change_drop_values(&((struct reading *)ctx)->change, number);
}

static const struct fr_edit_visitor visitor = {
        .reset = on_reset,
        .add_table = on_add_table,
        .drop_table = on_drop_table,
        .add_values = on_add_values,
        .drop_values = on_drop_values,
};

/* Takes the place of *version, if it may. */
static fr_status apply(struct fr_obsolete *obsolete, fr_slice edit, struct fr_version **version)
{
    struct reading r = {.obsolete = obsolete};
    struct fr_version *base = fr_version_ref(*version), *next;
    fr_status st = fr_edit_read(edit, &visitor, &r);

    if (st == FR_OK && r.reset) {
        fr_version_unref(base);
        FUZZ_CHECK(fr_version_new(&base) == FR_OK);
    }
    if (st == FR_OK) st = fr_version_apply(base, &r.change, &next);
    if (st == FR_OK) {
        fr_version_mark_dropped(base, &r.change);
        fr_version_unref(*version);
        *version = next;
    }
    fr_version_unref(base);
    for (size_t i = 0; i < r.table_count; i++)
        fr_version_table_unref(r.tables[i]);
    for (size_t i = 0; i < r.values_count; i++)
        fr_version_values_unref(r.values[i]);
    fr_version_change_deinit(&r.change);
    return st;
}

static void check_same_again(struct fr_obsolete *obsolete, const struct fr_version *version)
{
    struct fr_buf once = FR_BUF_EMPTY, twice = FR_BUF_EMPTY;
    struct fr_version *again;

    FUZZ_CHECK(fr_version_new(&again) == FR_OK);
    fr_version_encode(version, &once);
    FUZZ_CHECK(fr_buf_status(&once) == FR_OK);
    FUZZ_CHECK(apply(obsolete, fr_buf_slice(&once), &again) == FR_OK);
    fr_version_encode(again, &twice);
    FUZZ_CHECK(fr_slice_equal(fr_buf_slice(&once), fr_buf_slice(&twice)));
    fr_version_unref(again);
    fr_buf_deinit(&once);
    fr_buf_deinit(&twice);
}

static bool has(const struct fr_version_level *level, const struct fr_version_table *table)
{
    for (size_t i = 0; i < level->count; i++)
        if (level->tables[i] == table) return true;
    return false;
}

static void check_pick(const struct fr_version *version)
{
    struct fr_picker_options options = {
            .level0_trigger = 2, .level0_most = 2, .ratio = 10, .base_bytes = 100};
    struct fr_pick pick;

    (void)fr_picker_debt(version, &options);
    if (fr_picker_pick(version, &options, &pick) != FR_OK) return;
    FUZZ_CHECK(pick.input_count > 0 && pick.output_level > pick.level);
    for (size_t i = 0; i < pick.input_count; i++)
        FUZZ_CHECK(has(&version->levels[pick.level], pick.inputs[i]));
    for (size_t i = 0; i < pick.overlap_count; i++)
        FUZZ_CHECK(has(&version->levels[pick.output_level], pick.overlaps[i]));
    for (unsigned l = 1; l < pick.output_level; l++)
        FUZZ_CHECK(l == pick.level || pick.level > 0 || version->levels[l].count == 0);
    fr_pick_deinit(&pick);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_obsolete obsolete;
    struct fr_version *version;

    fr_obsolete_init(&obsolete);
    FUZZ_CHECK(fr_version_new(&version) == FR_OK);
    while (size >= 2) {
        size_t count = FR_MIN((size_t)fr_get_u16(data), size - 2);
        fr_status st = apply(&obsolete, fr_slice_of(data + 2, count), &version);
        FUZZ_CHECK(st == FR_OK || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW ||
                   st == FR_ERR_LIMIT);
        if (st == FR_OK) {
            fr_version_check(version);
            check_same_again(&obsolete, version);
            check_pick(version);
        }
        data += 2 + count;
        size -= 2 + count;
    }
    fr_version_unref(version);
    fr_obsolete_deinit(&obsolete);
    return 0;
}
