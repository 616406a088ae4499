/*
 * prebuilt.h - tables that are made outside of any store, to be ingested by one.
 *
 * A prebuilt table is a table file (lsm/table_format.h) of an identity that no store has, so a
 * store's own file is not taken for one, nor the other way round. Each key is in it once, as a PUT
 * or a DELETE of sequence number 1; values are inline whatever their size, and there are no range
 * deletes. The store that takes it writes it anew, with its own options, numbers and value files.
 */
#ifndef FR_LSM_PREBUILT_H
#define FR_LSM_PREBUILT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct fr_env;
struct fr_file_id;
struct fr_prebuilt;
struct fr_table;

struct fr_prebuilt_options {
    bool compress;
    bool verify; /* read it back before it gets its name */
};

/*
 * Begin the table that will be called path: until it is finished, it has a name of its own beside
 * it. The environment must stay open. FR_ERR_EXISTS: the path is taken.
 */
FR_NODISCARD fr_status fr_prebuilt_new(struct fr_env *env, const char *path,
        const struct fr_prebuilt_options *options, struct fr_prebuilt **ret_prebuilt);

/*
 * Add a key, which must be above the one before (FR_ERR_MISUSE). expires_us 0: never. FR_ERR_LIMIT.
 * Another failure sticks.
 */
FR_NODISCARD fr_status fr_prebuilt_put(struct fr_prebuilt *prebuilt, fr_slice key, fr_slice value,
        uint64_t expires_us);
FR_NODISCARD fr_status fr_prebuilt_delete(struct fr_prebuilt *prebuilt, fr_slice key);

/* Entries so far, and about the size that the file would have now. */
uint64_t fr_prebuilt_count(const struct fr_prebuilt *prebuilt);
uint64_t fr_prebuilt_bytes(const struct fr_prebuilt *prebuilt);

/* Write the rest, and give the file its name, durably. */
FR_NODISCARD fr_status fr_prebuilt_finish(struct fr_prebuilt *prebuilt);

/* Free it; what was not finished is removed. NULL is fine. */
void fr_prebuilt_free(struct fr_prebuilt *prebuilt);

/* The identity that all of them have. */
extern const struct fr_file_id fr_prebuilt_id;

/*
 * Open a prebuilt table and check every byte and entry of it. FR_ERR_CORRUPT, FR_ERR_TOO_NEW,
 * FR_ERR_MISSING; FR_ERR_FOREIGN: a table, but no prebuilt one, or no table at all, as neither its
 * first bytes nor its last are a table's. One reference.
 */
FR_NODISCARD fr_status fr_prebuilt_open(struct fr_env *env, const char *path,
        struct fr_table **ret_table);

/* Remove the file; after a crash it may be there again. */
FR_NODISCARD fr_status fr_prebuilt_remove(struct fr_env *env, const char *path);

#endif
