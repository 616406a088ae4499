/*
 * picker.h - which compaction is due: a function of the version, without any I/O.
 *
 * Sizes of levels are dynamic: the last level that holds anything is the measure, and each level
 * above is to hold a tenth of the one below, down to the least size; the first level that this
 * reaches is the base level, into which level 0 is compacted. Levels between are empty; as long as
 * they are not, because the last level has shrunk, the first one with tables is the base level.
 *
 *     last   = the deepest level with tables, or the deepest there is
 *     target = bytes of last, then /10, /10, ... while above base_bytes
 *
 * A level's score is its bytes over its target; the highest score of 1 or more is worked on. Level
 * 0 is due from the trigger on if its tables are large, but when values lie in value files a table
 * of a whole memtable is small: such tables may gather, as what they cost is a filter for each
 * read, while each compaction of them writes much of the base level anew. Within a level the table
 * goes first that drags along the least of the level below. If no level is over its target, or the
 * tables of those are busy, a table goes whose deletes or fragments are dense, as long as there is
 * a level below which they burden.
 */
#ifndef FR_LSM_PICKER_H
#define FR_LSM_PICKER_H

#include "base/status.h"
#include "lsm/version.h"

struct fr_picker_options {
    uint32_t level0_trigger; /* tables, if together they have base_bytes */
    uint32_t level0_most;    /* tables, however small */
    uint32_t ratio;          /* of neighbouring levels */
    uint32_t space_percent;  /* value files may take up, of live bytes (lsm/garbage.h) */
    uint64_t base_bytes;     /* least target of a level */
    uint64_t space_slack;    /* bytes that value files may take up besides */
};

struct fr_picker_options fr_picker_options_default(void);

enum fr_pick_reason {
    FR_PICK_LEVEL0,  /* too many tables in level 0 */
    FR_PICK_SIZE,    /* a level is over its target */
    FR_PICK_DENSITY, /* deletes or fragments */
    FR_PICK_RANGE,   /* somebody asked */
    FR_PICK_GARBAGE, /* value files are to be emptied (lsm/garbage.h) */
    FR_PICK_COVERED, /* nothing is left of them: they are dropped unread (lsm/covered.h) */
};

struct fr_pick {
    enum fr_pick_reason reason;
    unsigned level;
    unsigned output_level;
    struct fr_version_table **inputs; /* of level, borrowed from the version */
    size_t input_count;
    struct fr_version_table **overlaps; /* of output_level; if that is the same level: none */
    size_t overlap_count;
    fr_slice smallest; /* of all of them, borrowed */
    fr_slice largest;
};

void fr_pick_deinit(struct fr_pick *pick);

/* Another input, and the bounds with it. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_pick_add(struct fr_pick *pick, struct fr_version_table *table);

/* The targets of all levels, and the base level. Index 0 is unused. */
void fr_picker_targets(const struct fr_version *version, const struct fr_picker_options *options,
        uint64_t ret_targets[FR_LEVEL_COUNT], unsigned *ret_base);

/*
 * The most urgent compaction whose tables are not busy. FR_NOT_FOUND: none is due. FR_ERR_NOMEM.
 * The caller deinits *ret_pick and marks the tables busy, under the lock that guards `busy`.
 */
FR_NODISCARD fr_status fr_picker_pick(const struct fr_version *version,
        const struct fr_picker_options *options, struct fr_pick *ret_pick);

/* All of level 0, however little it is. FR_NOT_FOUND: it is empty, or something is busy. */
FR_NODISCARD fr_status fr_picker_pick_level0(const struct fr_version *version,
        const struct fr_picker_options *options, struct fr_pick *ret_pick);

/*
 * A compaction of one level's tables that a range of keys touches, into the next; empty slices are
 * no bound. FR_NOT_FOUND: no table of the level does. FR_ERR_BUSY: one of them is busy, or one that
 * they overlap.
 */
FR_NODISCARD fr_status fr_picker_pick_range(const struct fr_version *version,
        const struct fr_picker_options *options, unsigned level, fr_slice start, fr_slice end,
        struct fr_pick *ret_pick);

/* Bytes that are over the targets: how far compaction lags. */
uint64_t fr_picker_debt(const struct fr_version *version, const struct fr_picker_options *options);

/* A table may overlap so many times the size of a table in the level below its own. */
#define FR_OVERLAP_TABLES 10

/* Bytes of a level's tables that overlap [smallest, largest]; there may be no such level. */
uint64_t fr_picker_overlap(const struct fr_version *version, unsigned level, fr_slice smallest,
        fr_slice largest);

/* Whether no level below has a table that overlaps [smallest, largest]. */
bool fr_picker_is_bottom(const struct fr_version *version, unsigned output_level, fr_slice smallest,
        fr_slice largest);

#endif
