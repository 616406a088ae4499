#include "lsm/picker.h"

#include "base/alloc.h"
#include "base/museum.h"

/* Small enough that level 0 and the base level are one modest compaction. */
#define BASE_BYTES ((uint64_t)32 << 20)

/* Less garbage is not worth a job. */
#define SPACE_SLACK ((uint64_t)1 << 20)

/* From this share of deletes, or fragments for each other entry, a table is worth moving down. */
#define DENSE_DELETES_ONE_IN   2
#define DENSE_FRAGMENTS_ONE_IN 2
#define DENSE_LEAST            64

struct fr_picker_options fr_picker_options_default(void)
{
    return (struct fr_picker_options){.level0_trigger = 4,
            .level0_most = 8,
            .ratio = 10,
            .space_percent = 150,
            .base_bytes = BASE_BYTES,
            .space_slack = SPACE_SLACK};
}

void fr_pick_deinit(struct fr_pick *pick)
{
    fr_free(pick->inputs);
    fr_free(pick->overlaps);
    *pick = (struct fr_pick){0};
}

/*
 * The last level is the last one there is, with tables or without. Were it the last one that has
 * some, a store whose deepest level was once emptied would never use that again, and with each such
 * time have one level less to spread its data over. Into an empty one tables move as they are.
 */
#define LAST (FR_LEVEL_COUNT - 1)

void fr_picker_targets(const struct fr_version *version, const struct fr_picker_options *options,
        uint64_t ret_targets[FR_LEVEL_COUNT], unsigned *ret_base)
{
    uint64_t target = FR_MAX(version->levels[LAST].file_bytes, options->base_bytes);

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        ret_targets[level] = UINT64_MAX;
    *ret_base = LAST;
    for (unsigned level = LAST; level > 0; level--) {
        ret_targets[level] = target;
        *ret_base = level;
        if (target <= options->base_bytes) break;
        target = FR_MAX(target / options->ratio, options->base_bytes);
    }
    /*
     * A last level that has shrunk may want fewer levels above it than there still are. Nothing may
     * be compacted past their tables: it is newer than they are.
     */
    for (unsigned level = 1; level < *ret_base; level++) {
        if (version->levels[level].count == 0) continue;
        for (unsigned l = level; l < *ret_base; l++)
            ret_targets[l] = options->base_bytes;
        *ret_base = level;
    }
    ret_targets[LAST] = UINT64_MAX; /* it is never over */
}

static fr_status no_memory(void)
{
    return FR_FAIL(FR_ERR_NOMEM, "no memory to choose a compaction");
}

static void widen(struct fr_pick *pick, const struct fr_version_table *table)
{
    if (pick->smallest.size == 0 || fr_slice_compare(table->meta.smallest, pick->smallest) < 0)
        pick->smallest = table->meta.smallest;
    if (pick->largest.size == 0 || fr_slice_compare(table->meta.largest, pick->largest) > 0)
        pick->largest = table->meta.largest;
}

fr_status fr_pick_add(struct fr_pick *pick, struct fr_version_table *table)
{
    struct fr_version_table **moved =
            fr_realloc(pick->inputs, (pick->input_count + 1) * sizeof(void *));

    if (moved == NULL) return no_memory();
    moved[pick->input_count++] = table;
    pick->inputs = moved;
    widen(pick, table);
    return FR_OK;
}

/* Take along what overlaps in the output level. FR_NOT_FOUND: one of them is busy. */
static fr_status add_overlaps(const struct fr_version *version, struct fr_pick *pick)
{
    const struct fr_version_level *below = &version->levels[pick->output_level];
    size_t first, count = fr_version_find_run(below, pick->smallest, pick->largest, &first);

    pick->overlaps = fr_alloc_zeroed(count, sizeof(void *));
    if (pick->overlaps == NULL) return no_memory();
    for (size_t i = 0; i < count; i++) {
        struct fr_version_table *table = below->tables[first + i];
        if (table->busy) return FR_NOT_FOUND;
        pick->overlaps[pick->overlap_count++] = table;
        widen(pick, table);
    }
    return FR_OK;
}

static fr_status pick_level0(const struct fr_version *version, unsigned base, struct fr_pick *pick)
{
    const struct fr_version_level *level = &version->levels[0];
    fr_status st = FR_OK;

    pick->reason = FR_PICK_LEVEL0;
    pick->output_level = base;
    for (size_t i = 0; i < level->count; i++) {
        if (level->tables[i]->busy) return FR_NOT_FOUND;
        FR_TRY(fr_pick_add(pick, level->tables[i]));
        /* museum 28: a range delete on the wrong level */
        if (FR_MUSEUM(28) && level->tables[i]->meta.range_count > 0) break;
    }
    st = add_overlaps(version, pick);
out:
    return st;
}

/* Bytes of the level below that a table would drag along; UINT64_MAX if it cannot be taken. */
static uint64_t drag(const struct fr_version_level *below, const struct fr_version_table *table)
{
    size_t first, count;
    uint64_t bytes = 0;

    if (table->busy) return UINT64_MAX;
    count = fr_version_find_run(below, table->meta.smallest, table->meta.largest, &first);
    for (size_t i = first; i < first + count; i++) {
        if (below->tables[i]->busy) return UINT64_MAX;
        bytes += below->tables[i]->meta.size;
    }
    return bytes;
}

static fr_status pick_from(const struct fr_version *version, unsigned level,
        struct fr_version_table *table, enum fr_pick_reason reason, struct fr_pick *pick)
{
    fr_status st;

    pick->reason = reason;
    pick->level = level;
    pick->output_level = level + 1;
    FR_TRY(fr_pick_add(pick, table));
    st = add_overlaps(version, pick);
out:
    return st;
}

/* The table that drags along the least for its own size. */
static fr_status pick_least_drag(const struct fr_version *version, unsigned level,
        struct fr_pick *pick)
{
    const struct fr_version_level *tables = &version->levels[level];
    struct fr_version_table *best = NULL;
    double best_ratio = 0;

    for (size_t i = 0; i < tables->count; i++) {
        uint64_t bytes = drag(&version->levels[level + 1], tables->tables[i]);
        if (bytes == UINT64_MAX) continue;
        double ratio = (double)bytes / (double)FR_MAX(tables->tables[i]->meta.size, (uint64_t)1);
        if (best != NULL && ratio >= best_ratio) continue;
        best = tables->tables[i];
        best_ratio = ratio;
    }
    if (best == NULL) return FR_NOT_FOUND;
    return pick_from(version, level, best, FR_PICK_SIZE, pick);
}

static bool is_dense(const struct fr_edit_table *meta)
{
    uint64_t deletes = meta->delete_count + meta->range_count;

    return (deletes >= DENSE_LEAST && deletes >= meta->entry_count / DENSE_DELETES_ONE_IN) ||
           (meta->append_count >= DENSE_LEAST &&
                   meta->append_count >= meta->entry_count / DENSE_FRAGMENTS_ONE_IN);
}

static fr_status pick_dense(const struct fr_version *version, struct fr_pick *pick)
{

    for (unsigned level = 1; level < LAST; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            struct fr_version_table *table = version->levels[level].tables[i];
            if (!is_dense(&table->meta)) continue;
            if (drag(&version->levels[level + 1], table) == UINT64_MAX) continue;
            return pick_from(version, level, table, FR_PICK_DENSITY, pick);
        }
    return FR_NOT_FOUND;
}

static double score_of_level0(const struct fr_version_level *level,
        const struct fr_picker_options *options)
{
    double by_count = (double)level->count / options->level0_most;
    double by_bytes = (double)level->file_bytes / (double)options->base_bytes;

    if (level->count < options->level0_trigger) return 0;
    return by_bytes >= 1 ? (double)level->count / options->level0_trigger : by_count;
}

/* How urgent a level is; from 1 on it is due. */
static double score_of(const struct fr_version *version, const struct fr_picker_options *options,
        const uint64_t targets[FR_LEVEL_COUNT], unsigned level)
{
    if (level == 0) return score_of_level0(&version->levels[0], options);
    return (double)version->levels[level].file_bytes / (double)targets[level];
}

/* The most urgent level that is due and not yet tried; FR_LEVEL_COUNT if there is none. */
static unsigned worst_level(const double scores[FR_LEVEL_COUNT - 1])
{
    unsigned worst = FR_LEVEL_COUNT;

    for (unsigned level = 0; level < FR_LEVEL_COUNT - 1; level++)
        if (scores[level] >= 1 && (worst == FR_LEVEL_COUNT || scores[level] > scores[worst]))
            worst = level;
    return worst;
}

fr_status fr_picker_pick(const struct fr_version *version, const struct fr_picker_options *options,
        struct fr_pick *ret_pick)
{
    double scores[FR_LEVEL_COUNT - 1] = {0};
    uint64_t targets[FR_LEVEL_COUNT];
    struct fr_pick pick = {0};
    fr_status st = FR_NOT_FOUND;
    unsigned base, worst;

    fr_picker_targets(version, options, targets, &base);
    for (unsigned level = 0; level < FR_LEVEL_COUNT - 1; level++)
        if (level == 0 || level >= base) scores[level] = score_of(version, options, targets, level);
    while (st == FR_NOT_FOUND && (worst = worst_level(scores)) < FR_LEVEL_COUNT) {
        scores[worst] = 0; /* if its tables are busy, the next one has its turn */
        fr_pick_deinit(&pick);
        st = worst == 0 ? pick_level0(version, base, &pick)
                        : pick_least_drag(version, worst, &pick);
    }
    if (st == FR_NOT_FOUND) {
        fr_pick_deinit(&pick);
        st = pick_dense(version, &pick);
    }
    if (st == FR_OK)
        *ret_pick = pick;
    else
        fr_pick_deinit(&pick);
    return st;
}

fr_status fr_picker_pick_level0(const struct fr_version *version,
        const struct fr_picker_options *options, struct fr_pick *ret_pick)
{
    uint64_t targets[FR_LEVEL_COUNT];
    struct fr_pick pick = {0};
    unsigned base;
    fr_status st;

    if (version->levels[0].count == 0) return FR_NOT_FOUND;
    fr_picker_targets(version, options, targets, &base);
    st = pick_level0(version, base, &pick);
    if (st == FR_OK)
        *ret_pick = pick;
    else
        fr_pick_deinit(&pick);
    return st;
}

static bool touches(const struct fr_version_table *table, fr_slice start, fr_slice end)
{
    return (start.size == 0 || !fr_version_is_before(&table->meta, start)) &&
           (end.size == 0 || fr_slice_compare(table->meta.smallest, end) < 0);
}

fr_status fr_picker_pick_range(const struct fr_version *version,
        const struct fr_picker_options *options, unsigned level, fr_slice start, fr_slice end,
        struct fr_pick *ret_pick)
{
    const struct fr_version_level *tables = &version->levels[level];
    uint64_t targets[FR_LEVEL_COUNT];
    struct fr_pick pick = {.reason = FR_PICK_RANGE, .level = level, .output_level = level + 1};
    unsigned base;
    fr_status st = FR_OK;

    fr_picker_targets(version, options, targets, &base);
    if (level == 0) pick.output_level = base;
    for (size_t i = 0; i < tables->count && st == FR_OK; i++) {
        /* Of level 0 all or none: a newer table must not sink below an older one. */
        if (level > 0 && !touches(tables->tables[i], start, end)) continue;
        st = tables->tables[i]->busy ? FR_NOT_FOUND : fr_pick_add(&pick, tables->tables[i]);
    }
    bool none = st == FR_OK && pick.input_count == 0;
    if (st == FR_OK && !none) st = add_overlaps(version, &pick);
    if (st == FR_OK && !none)
        *ret_pick = pick;
    else
        fr_pick_deinit(&pick);
    if (none) return FR_NOT_FOUND;
    if (st == FR_NOT_FOUND)
        return FR_FAIL(FR_ERR_BUSY, "a compaction has tables of level %u", level);
    return st;
}

uint64_t fr_picker_debt(const struct fr_version *version, const struct fr_picker_options *options)
{
    uint64_t targets[FR_LEVEL_COUNT], debt = 0;
    unsigned base;

    fr_picker_targets(version, options, targets, &base);
    if (score_of_level0(&version->levels[0], options) >= 1) debt += version->levels[0].file_bytes;
    for (unsigned level = base; level < FR_LEVEL_COUNT - 1; level++)
        if (version->levels[level].file_bytes > targets[level])
            debt += version->levels[level].file_bytes - targets[level];
    return debt;
}

uint64_t fr_picker_overlap(const struct fr_version *version, unsigned level, fr_slice smallest,
        fr_slice largest)
{
    uint64_t bytes = 0;
    size_t first, count;

    if (level >= FR_LEVEL_COUNT) return 0;
    count = fr_version_find_run(&version->levels[level], smallest, largest, &first);
    for (size_t i = first; i < first + count; i++)
        bytes += version->levels[level].tables[i]->meta.size;
    return bytes;
}

bool fr_picker_is_bottom(const struct fr_version *version, unsigned output_level, fr_slice smallest,
        fr_slice largest)
{
    for (unsigned level = output_level + 1; level < FR_LEVEL_COUNT; level++) {
        size_t first;
        if (fr_version_find_run(&version->levels[level], smallest, largest, &first) > 0)
            return false;
    }
    return true;
}
