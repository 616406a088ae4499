/* repair_priv.h - for this folder only: a repair under way. */
#ifndef FR_RECOVERY_REPAIR_PRIV_H
#define FR_RECOVERY_REPAIR_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/index.h"
#include "freshet/repair.h"
#include "lsm/batch.h"
#include "lsm/manifest.h"
#include "recovery/salvage.h"
#include "recovery/salvage_value.h"
#include "spfresh/stored.h"

struct fr_engine;
struct fr_env;
struct fr_iter;
struct fr_dir_lock;
struct fr_memtable;
struct fr_range_set;

/* A table, or what was replayed of the log. */
struct fr_repair_source {
    struct fr_salvage *salvage;
    struct fr_iter *log;
    struct fr_entry entry; /* the next one */
    bool done;
};

struct fr_repair {
    struct fr_env *env;
    const struct fr_repair_options *how;
    struct fr_repair_stats *stats;
    struct fr_dir *dir;
    struct fr_dir_lock *lock;

    /* What the survey has found. */
    struct fr_super super;
    struct fr_manifest_state state;
    struct fr_obsolete obsolete;
    struct fr_memtable *log;
    struct fr_range_set *ranges; /* of all sources; NULL: there are none */
    struct fr_gap *gaps;
    size_t gap_count;
    struct fr_repair_source *sources;
    size_t source_count;

    unsigned walks; /* over all entries: the survey's, and one or two over keys */
    uint64_t done_entries, total_entries; /* of all walks; total 0: it is not known */

    /* Those that are not done, the one with the first entry on top. */
    struct fr_repair_source **heap;
    size_t heap_count;

    /* The walk over keys. */
    struct fr_salvage_values values;
    struct fr_buf key;
    struct fr_buf held;  /* struct held, of the key, from the newest on */
    struct fr_buf bytes; /* their values */

    /* The index whose keys are being walked over, and those that have lost something. */
    char index[FR_INDEX_NAME_MAX + 1];
    struct fr_index_key index_prefix;
    bool in_index;
    bool index_hurt;
    bool index_has_options; /* that are kept; and rows */
    bool index_has_rows;
    uint64_t derived_count; /* of its keys that are derived, and could be kept */
    uint64_t derived_bytes;
    uint64_t derived_print;
    struct fr_buf hurt; /* char[FR_INDEX_NAME_MAX + 1] */

    /* The second walk, which writes; NULL in the first. */
    struct fr_engine *engine;
    struct fr_batch batch;

    /* Of the keys that the first walk would keep, and that the second has kept: sums of hashes. */
    uint64_t planned;
    uint64_t written;
};

/* repair_survey.c: which sources there are, and what is not in them. */
FR_NODISCARD fr_status fr_repair_survey(struct fr_repair *r);

/* A row or a span that is lost; words are the thread's last error. FR_ERR_CANCELLED. */
FR_NODISCARD fr_status fr_repair_tell(struct fr_repair *r, const struct fr_loss *loss);

/* One more entry was read. FR_ERR_CANCELLED. */
FR_NODISCARD fr_status fr_repair_count(struct fr_repair *r);

/* repair_rows.c: walk over all keys; what is certain goes to the engine, if there is one. */
FR_NODISCARD fr_status fr_repair_rows(struct fr_repair *r);

#endif
