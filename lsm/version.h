/*
 * version.h - which tables and value files make up the store at one moment.
 *
 * A version never changes. Flush and compaction make the next one from the current one and an edit;
 * readers keep the one that they started with. Tables and value files are shared between versions
 * and counted; when the last version that has one is gone, and an edit has dropped it durably, its
 * number goes to the list of files to remove (struct fr_obsolete), which a background thread works
 * off. So nobody does file operations because he happened to be the last reader.
 *
 *     level 0        tables as they were flushed, newest first; their keys overlap
 *     level 1..6     tables in the order of their keys, which do not overlap
 *
 * Of each value file a version knows how many bytes its tables still point to. The rest is garbage.
 */
#ifndef FR_LSM_VERSION_H
#define FR_LSM_VERSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/edit_format.h"
#include "wal/file_name.h"

struct fr_range_set;
struct fr_table;
struct fr_value_file;

/* Files that nobody needs any more. */
struct fr_obsolete_file {
    enum fr_file_kind kind;
    uint64_t number;
};

struct fr_obsolete {
    struct fr_mutex mu; /* rank FR_RANK_LSM_OBSOLETE */

    /* Guarded by mu. */
    struct fr_obsolete_file *files;
    size_t count;
    size_t capacity;
    uint64_t forgotten_count; /* for want of memory: the next opening finds them */
};

void fr_obsolete_init(struct fr_obsolete *obsolete);
void fr_obsolete_deinit(struct fr_obsolete *obsolete);

/* Take one off the list; false if there is none. Any thread. */
bool fr_obsolete_take(struct fr_obsolete *obsolete, struct fr_obsolete_file *ret_file);

/* A table as versions share it. */
struct fr_version_table {
    _Atomic(uint32_t) refs; /* taken relaxed; given back with release and acquire */

    /* Constant. */
    struct fr_obsolete *obsolete;
    struct fr_edit_table meta; /* its slices and refs lie behind the struct */
    uint64_t value_bytes;      /* that it points to, in all value files together */
    struct fr_table *table;    /* open; NULL where nobody reads: dumps, tests of the picker */
    void (*close)(struct fr_table *table);
    struct fr_range_set *ranges; /* its range deletes: one reference, or NULL */

    /* Set before it is part of a version. An estimate, from the table's properties: bytes of values
     * of other tables that are garbage because of newer entries here. */
    uint64_t shadowed_bytes;

    /* Guarded by the engine's lock. */
    bool busy; /* a running compaction has it */

    /* Set under the engine's lock once the edit that drops it is durable; read by the last unref.
     */
    _Atomic(bool) dropped;
};

/* A value file as versions share it. */
struct fr_version_values {
    _Atomic(uint32_t) refs;
    struct fr_obsolete *obsolete;
    struct fr_edit_values meta;
    struct fr_value_file *file; /* open, or NULL as above */
    void (*close)(struct fr_value_file *file);
    _Atomic(bool) dropped;
};

/*
 * Both copy what they are given; one reference. table, file and close may be NULL; close is called,
 * and ranges is unreferenced, with the last reference. FR_ERR_NOMEM: nothing was taken over.
 */
FR_NODISCARD fr_status fr_version_table_new(struct fr_obsolete *obsolete,
        const struct fr_edit_table *meta, struct fr_table *table,
        void (*close)(struct fr_table *table), struct fr_range_set *ranges,
        struct fr_version_table **ret_table);
FR_NODISCARD fr_status fr_version_values_new(struct fr_obsolete *obsolete,
        const struct fr_edit_values *meta, struct fr_value_file *file,
        void (*close)(struct fr_value_file *file), struct fr_version_values **ret_values);

struct fr_version_table *fr_version_table_ref(struct fr_version_table *table);
void fr_version_table_unref(struct fr_version_table *table);
struct fr_version_values *fr_version_values_ref(struct fr_version_values *values);
void fr_version_values_unref(struct fr_version_values *values);

struct fr_version_level {
    struct fr_version_table **tables; /* one reference each */
    size_t count;
    uint64_t bytes;      /* of the tables' files and of the values that they point to */
    uint64_t file_bytes; /* of the tables' files alone */
};

struct fr_version {
    _Atomic(uint32_t) refs;
    struct fr_version_level levels[FR_LEVEL_COUNT];
    struct fr_version_values **values; /* ascending by number; one reference each */
    uint64_t *values_live;             /* bytes of each that tables point to */
    size_t values_count;
};

/* A version without anything in it. One reference. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_version_new(struct fr_version **ret_version);

struct fr_version *fr_version_ref(struct fr_version *version);
void fr_version_unref(struct fr_version *version);

/* What changes between two versions. Tables and values to add are borrowed: apply takes its own. */
struct fr_version_change {
    struct {
        unsigned level;
        struct fr_version_table *table;
    } * add_tables;
    size_t add_table_count;
    struct {
        unsigned level;
        uint64_t number;
    } * drop_tables;
    size_t drop_table_count;
    struct fr_version_values **add_values;
    size_t add_values_count;
    uint64_t *drop_values;
    size_t drop_values_count;
};

void fr_version_change_deinit(struct fr_version_change *change);

/* For who made what the change adds: drop the makers' references to all of it. Before deinit. */
void fr_version_change_unref_added(const struct fr_version_change *change);
FR_NODISCARD fr_status fr_version_change_add_table(struct fr_version_change *change, unsigned level,
        struct fr_version_table *table);
FR_NODISCARD fr_status fr_version_change_drop_table(struct fr_version_change *change,
        unsigned level, uint64_t number);
FR_NODISCARD fr_status fr_version_change_add_values(struct fr_version_change *change,
        struct fr_version_values *values);
FR_NODISCARD fr_status fr_version_change_drop_values(struct fr_version_change *change,
        uint64_t number);

/* The change as an edit's fields, appended. Failure sticks in the buffer. */
void fr_version_change_encode(const struct fr_version_change *change, struct fr_buf *edit);

/* All of a version as an edit's fields, RESET first. */
void fr_version_encode(const struct fr_version *version, struct fr_buf *edit);

/*
 * The version that a change makes of another. FR_ERR_CORRUPT: it drops what is not there, adds what
 * is, makes tables of a level overlap, or leaves a table pointing to a value file that is not
 * there; the words say which. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_version_apply(const struct fr_version *base,
        const struct fr_version_change *change, struct fr_version **ret_version);

/* Mark what the change dropped as ready for removal, once the edit is durable. */
void fr_version_mark_dropped(const struct fr_version *base, const struct fr_version_change *change);

/* Assert that levels are in order and sums are right; for tests and debug builds. */
void fr_version_check(const struct fr_version *version);

/* The place of a value file in values; values_count if it is not there. */
size_t fr_version_find_values(const struct fr_version *version, uint64_t number);

/* Whether all that a table holds or covers is before the key. */
bool fr_version_is_before(const struct fr_edit_table *table, fr_slice key);

/* The first table of a level above 0 that does not end before the key; count if there is none. */
size_t fr_version_find(const struct fr_version_level *level, fr_slice key);

/* How many tables of a level above 0 overlap [smallest, largest]: a run from *ret_first on. */
size_t fr_version_find_run(const struct fr_version_level *level, fr_slice smallest,
        fr_slice largest, size_t *ret_first);

#endif
