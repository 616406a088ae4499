#include "lsm/covered.h"

#include "lsm/range_set.h"

struct search {
    const struct fr_version *version;
    const fr_seq *snapshots;
    size_t snapshot_count;
    struct fr_pick pick;
    bool kept;
    fr_status status; /* FR_ERR_NOMEM sticks */
};

/* Who sees anything from that number on: the oldest of the snapshots. Or the latest readers. */
static fr_seq oldest_reader(const struct search *s, fr_seq from)
{
    size_t low = 0, high = s->snapshot_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->snapshots[middle] < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->snapshot_count ? s->snapshots[low] : FR_SEQ_MAX;
}

static bool reaches_behind(fr_slice end, const struct fr_edit_table *meta)
{
    int order = fr_slice_compare(end, meta->largest);

    return order > 0 || (order == 0 && meta->largest_open);
}

/* Whether the ranges of that table, and of the next ones of a level above 0, cover all of it. */
static bool covers(const struct fr_version_level *level, size_t at, bool alone,
        const struct fr_edit_table *meta, fr_seq newest)
{
    fr_slice key = meta->smallest, start, end;

    if (newest <= meta->largest_seq) return false;
    for (; at < level->count; at++) {
        struct fr_range_cursor cursor = {.set = level->tables[at]->ranges};
        if (!fr_range_cursor_span(&cursor, key, meta->largest_seq, newest, &start, &end))
            return false;
        if (reaches_behind(end, meta)) return true;
        if (alone) return false;
        key = end;
    }
    return false;
}

static bool has(const struct fr_pick *pick, const struct fr_version_table *table)
{
    for (size_t i = 0; i < pick->input_count; i++)
        if (pick->inputs[i] == table) return true;
    return false;
}

static void look_at(struct search *s, unsigned from, size_t at, struct fr_version_table *table)
{
    const struct fr_version_level *level = &s->version->levels[from];
    fr_seq reader = oldest_reader(s, table->meta.smallest_seq);

    if (table->busy || !covers(level, at, from == 0, &table->meta, FR_SEQ_MAX)) return;
    if (reader != FR_SEQ_MAX && !covers(level, at, from == 0, &table->meta, reader))
        s->kept = true;
    else if (!has(&s->pick, table))
        s->status = fr_pick_add(&s->pick, table);
}

/* What the ranges of one table cover in the pick's level. */
static void search_under(struct search *s, unsigned from, size_t at)
{
    const struct fr_version_table *above = s->version->levels[from].tables[at];
    const struct fr_version_level *level = &s->version->levels[s->pick.level];
    size_t first = 0, count = level->count;

    if (s->pick.level > 0)
        count = fr_version_find_run(level, above->meta.smallest, above->meta.largest, &first);
    for (size_t i = first; i < first + count && s->status == FR_OK; i++)
        if (s->pick.input_count < FR_COVERED_MOST) look_at(s, from, at, level->tables[i]);
}

/* What covers a table is above it, or beside it in level 0. */
static void search_level(struct search *s)
{
    for (unsigned from = 0; from == 0 || from < s->pick.level; from++)
        for (size_t i = 0; i < s->version->levels[from].count; i++)
            if (s->version->levels[from].tables[i]->ranges != NULL) search_under(s, from, i);
}

fr_status fr_covered_pick(const struct fr_version *version, const fr_seq *snapshots,
        size_t snapshot_count, struct fr_pick *ret_pick, bool *ret_kept)
{
    struct search s = {
            .version = version, .snapshots = snapshots, .snapshot_count = snapshot_count};

    s.pick.reason = FR_PICK_COVERED;
    for (unsigned level = 0; level < FR_LEVEL_COUNT && s.pick.input_count == 0; level++) {
        s.pick.level = s.pick.output_level = level;
        search_level(&s);
    }
    *ret_kept = s.kept;
    if (s.status == FR_OK && s.pick.input_count > 0) {
        *ret_pick = s.pick;
        return FR_OK;
    }
    fr_pick_deinit(&s.pick);
    return s.status < 0 ? s.status : FR_NOT_FOUND;
}
