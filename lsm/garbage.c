#include "lsm/garbage.h"

#include "base/alloc.h"

/* From this share of garbage on, in percent, a file is emptied along with others: it is cheap. */
#define NEARLY_ALL_PERCENT 90

struct sums {
    uint64_t all;
    uint64_t live;
};

static struct sums sum_up(const struct fr_version *version)
{
    struct sums sums = {0};

    for (size_t i = 0; i < version->values_count; i++) {
        sums.all += version->values[i]->meta.value_bytes;
        sums.live += version->values_live[i];
    }
    return sums;
}

/* Bytes over the bound. */
static uint64_t excess(struct sums sums, const struct fr_picker_options *options, bool quiet)
{
    uint64_t allowed = sums.live / 100 * fr_garbage_bound(options, quiet) + options->space_slack;

    return sums.all > allowed ? sums.all - allowed : 0;
}

static uint64_t garbage_of(const struct fr_version *version, size_t at)
{
    uint64_t all = version->values[at]->meta.value_bytes;

    return all - FR_MIN(all, version->values_live[at]);
}

static double share_of(const struct fr_version *version, size_t at)
{
    uint64_t all = version->values[at]->meta.value_bytes;

    return (double)garbage_of(version, at) / (double)FR_MAX(all, (uint64_t)1);
}

/*
 * The file below `end` with the largest share of garbage that is not chosen yet; SIZE_MAX: there is
 * none.
 */
static size_t worst(const struct fr_version *version, uint64_t end,
        const struct fr_victims *victims)
{
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < version->values_count && version->values[i]->meta.number < end; i++) {
        if (garbage_of(version, i) == 0) continue;
        if (fr_victims_have(victims, version->values[i]->meta.number)) continue;
        if (found == SIZE_MAX || share_of(version, i) > share_of(version, found)) found = i;
    }
    return found;
}

void fr_garbage_choose(const struct fr_version *version, const struct fr_picker_options *options,
        bool quiet, struct fr_victims *ret_victims)
{
    fr_garbage_choose_before(version, options, quiet, UINT64_MAX, ret_victims);
}

void fr_garbage_choose_before(const struct fr_version *version,
        const struct fr_picker_options *options, bool quiet, uint64_t end,
        struct fr_victims *ret_victims)
{
    uint64_t over = excess(sum_up(version), options, quiet), freed = 0;
    size_t at;

    *ret_victims = (struct fr_victims){0};
    if (over == 0) return;
    while (ret_victims->count < FR_VICTIMS_MAX &&
            (at = worst(version, end, ret_victims)) != SIZE_MAX) {
        if (freed >= over && share_of(version, at) * 100 < NEARLY_ALL_PERCENT) break;
        freed += garbage_of(version, at);
        ret_victims->files[ret_victims->count++] = version->values[at]->meta.number;
    }
}

static uint64_t bytes_in(const struct fr_version_table *table, const struct fr_victims *victims)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < table->meta.ref_count; i++)
        if (fr_victims_have(victims, table->meta.refs[i].file)) bytes += table->meta.refs[i].bytes;
    return bytes;
}

fr_status fr_garbage_pick(const struct fr_version *version, const struct fr_victims *victims,
        struct fr_pick *ret_pick)
{
    struct fr_pick pick = {.reason = FR_PICK_GARBAGE};
    struct fr_version_table *best = NULL;
    uint64_t most = 0;

    for (unsigned level = 0; level < FR_LEVEL_COUNT && victims->count > 0; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            struct fr_version_table *table = version->levels[level].tables[i];
            uint64_t bytes = bytes_in(table, victims);
            if (table->busy || bytes <= most) continue;
            pick.level = pick.output_level = level;
            most = bytes;
            best = table;
        }
    if (best == NULL) return FR_NOT_FOUND;
    pick.inputs = fr_alloc_zeroed(1, sizeof(void *));
    if (pick.inputs == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to choose a compaction");
    pick.inputs[pick.input_count++] = best;
    pick.smallest = best->meta.smallest;
    pick.largest = best->meta.largest;
    *ret_pick = pick;
    return FR_OK;
}

bool fr_garbage_is_held(const struct fr_version *version, const struct fr_victims *victims)
{
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_version_table *table = version->levels[level].tables[i];
            if (table->busy && bytes_in(table, victims) > 0) return true;
        }
    return false;
}

bool fr_garbage_is_hidden(const struct fr_version *version, const struct fr_picker_options *options,
        bool quiet)
{
    uint32_t bound = fr_garbage_bound(options, quiet);
    struct sums sums = sum_up(version);
    uint64_t hidden = 0;

    for (size_t i = 0; i < version->levels[0].count; i++)
        hidden += version->levels[0].tables[i]->shadowed_bytes;
    hidden = FR_MIN(hidden, sums.live);
    /* A compaction for little would be due again soon. */
    if (hidden <= options->space_slack || hidden < sums.live / 400 * (bound - 100)) return false;
    sums.live -= hidden;
    return excess(sums, options, quiet) > 0;
}
