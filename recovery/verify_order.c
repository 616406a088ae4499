/*
 * verify_order.c - what the tables of a version say together.
 *
 * That levels do not overlap is proven when the version is put together, and that the entries of a
 * table ascend when it is read. What is left is what only a walk over all of them side by side
 * shows: of a key, an entry in a higher level is newer than those below; and no entry is there
 * twice. Values that lie apart are not read for it.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "lsm/level_iter.h"
#include "lsm/merge_iter.h"
#include "lsm/table.h"
#include "lsm/version.h"
#include "recovery/verify_priv.h"

#define READAHEAD ((size_t)1 << 20)

/* The last entry, to compare the next one with. */
struct order {
    struct fr_verify *v;
    struct fr_buf key;
    fr_seq seq;
    uint64_t source;
    unsigned told;
};

/* Tables of level 0 from the newest on, then the levels. The rank stands in for a sequence number.
 */
static fr_status open_sources(struct fr_verify *v, struct fr_merge_source *sources,
        size_t *ret_count)
{
    const struct fr_table_iter_options how = {.readahead_max = READAHEAD};
    const struct fr_version *version = v->version;
    size_t count = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; i < version->levels[0].count; i++) {
        FR_TRY(fr_table_iter_new(version->levels[0].tables[i]->table, &how, &sources[count].it));
        sources[count].seq_max = count;
        count++;
    }
    for (unsigned level = 1; level < FR_LEVEL_COUNT; level++) {
        if (version->levels[level].count == 0) continue;
        FR_TRY(fr_level_iter_new(&version->levels[level], &how, &sources[count].it));
        sources[count].seq_max = count;
        count++;
    }
out:
    *ret_count = count;
    return st;
}

static fr_status open_merge(struct fr_verify *v, struct fr_iter **ret_it)
{
    size_t count = v->version->levels[0].count + FR_LEVEL_COUNT;
    struct fr_merge_source *sources = fr_alloc_zeroed(count, sizeof(*sources));
    fr_status st;

    if (sources == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to walk over all tables");
    FR_TRY(open_sources(v, sources, &count));
    st = fr_merge_iter_new(sources, count, (struct fr_bounds){0}, ret_it);
    count = 0; /* the iterator's, also if that has failed */
out:
    for (size_t i = 0; i < count; i++)
        fr_iter_close(sources[i].it);
    fr_free(sources);
    return st;
}

/* Entries of a key come from the newest on: so they come from above to below. */
static fr_status compare(struct order *o, const struct fr_entry *entry, uint64_t source)
{
    bool same = o->key.size > 0 && fr_slice_equal(fr_buf_slice(&o->key), entry->key);

    if (same && source < o->source)
        fr_findings_add(&o->v->findings, FR_FINDING_DISAGREE,
                FR_FAIL(FR_ERR_CORRUPT,
                        "an entry of sequence number %" PRIu64
                        " lies above one of its key of number %" PRIu64 ", which is newer",
                        entry->seq, o->seq),
                "", 0, &o->told);
    o->seq = entry->seq;
    o->source = source;
    if (same) return FR_OK;
    fr_buf_clear(&o->key);
    fr_buf_append(&o->key, entry->key.data, entry->key.size);
    return fr_buf_status(&o->key);
}

static fr_status walk(struct order *o, struct fr_iter *it)
{
    fr_status st;

    while ((st = fr_iter_next(it)) == FR_OK)
        FR_TRY(compare(o, &it->entry, fr_merge_iter_seq_max(it)));
    if (st == FR_END) st = FR_OK;
    /* A block that is damaged was told when it was read by itself; two entries alike were not. */
    if (st == FR_ERR_CORRUPT && o->v->findings.counted == 0) {
        fr_findings_add(&o->v->findings, FR_FINDING_DISAGREE, st, NULL, 0, NULL);
        st = FR_OK;
    }
out:
    return st;
}

fr_status fr_verify_order(struct fr_verify *v)
{
    struct order order = {.v = v};
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(open_merge(v, &it));
    st = walk(&order, it);
    if (st == FR_ERR_CORRUPT || st == FR_ERR_IO) st = FR_OK;
    FR_TRY(st);
    FR_TRY(fr_findings_tell(&v->findings, v->how));
out:
    fr_iter_close(it);
    fr_buf_deinit(&order.key);
    return st;
}
