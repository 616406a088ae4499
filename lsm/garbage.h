/*
 * garbage.h - which value files are to be emptied: a function of the version, without any I/O.
 *
 * Compaction moves places, not values, so a value file keeps the bytes of what was overwritten
 * until somebody writes the rest of it anew. What that costs is the rest; what it gains is the
 * garbage. A file whose last place goes costs nothing, and under uniform load a file gets there by
 * itself if only one waits. So nothing is done as long as the bound on space holds:
 *
 *     bytes of all value files  <=  bound * bytes that tables point to
 *
 * If it does not, the files with the largest share of garbage are emptied, and of those as few as
 * bring it back under the bound. This way each byte that is written anew sets free as many as can
 * be. There are two bounds. The one that is wanted holds whenever writers rest; while they are at
 * work, who need the processor and are about to make more garbage of what would be copied, twice
 * the excess is allowed.
 *
 * Garbage is known only once a compaction has met the newer entry. What the tables of level 0 hide
 * is estimated when they are written (struct fr_version_table, shadowed_bytes).
 */
#ifndef FR_LSM_GARBAGE_H
#define FR_LSM_GARBAGE_H

#include "lsm/picker.h"
#include "lsm/version.h"

/* As many as can be read side by side in windows. */
#define FR_VICTIMS_MAX 16

/* Value files that are to be emptied, the worst first. */
struct fr_victims {
    uint64_t files[FR_VICTIMS_MAX];
    size_t count;
};

static inline bool fr_victims_have(const struct fr_victims *victims, uint64_t file)
{
    for (size_t i = 0; i < victims->count; i++)
        if (victims->files[i] == file) return true;
    return false;
}

/* How many percent of the live bytes all value files may take up. */
static inline uint32_t fr_garbage_bound(const struct fr_picker_options *options, bool quiet)
{
    return quiet ? options->space_percent : 2 * options->space_percent - 100;
}

/* None while the bound holds. */
void fr_garbage_choose(const struct fr_version *version, const struct fr_picker_options *options,
        bool quiet, struct fr_victims *ret_victims);

/* The same out of the files with numbers below `end` alone. */
void fr_garbage_choose_before(const struct fr_version *version,
        const struct fr_picker_options *options, bool quiet, uint64_t end,
        struct fr_victims *ret_victims);

/*
 * The table that points to the most bytes of the victims and is not busy, to be written anew where
 * it is. FR_NOT_FOUND: there is none. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_garbage_pick(const struct fr_version *version,
        const struct fr_victims *victims, struct fr_pick *ret_pick);

/* Whether a table that points to them is busy: that job may leave them as they are. */
bool fr_garbage_is_held(const struct fr_version *version, const struct fr_victims *victims);

/*
 * Whether the bound would not hold if it were known what level 0 hides, and that is much: then
 * level 0 is worth compacting although it has few tables.
 */
bool fr_garbage_is_hidden(const struct fr_version *version, const struct fr_picker_options *options,
        bool quiet);

#endif
