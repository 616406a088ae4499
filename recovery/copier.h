/*
 * copier.h - reading tables and value files from end to end: copying them, comparing their hashes.
 *
 * At a rate, with progress, and a way to be stopped. What has been read is not kept in the page
 * cache: it would push out what the store needs. One thread.
 */
#ifndef FR_RECOVERY_COPIER_H
#define FR_RECOVERY_COPIER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "freshet/backup.h"
#include "lsm/rate_limit.h"
#include "recovery/backup_format.h"

struct fr_dir;
struct fr_env;

struct fr_copier {
    struct fr_backup_options how;
    struct fr_rate_limiter limiter;
    uint8_t *chunk;
    uint64_t done_bytes;
    uint64_t total_bytes; /* what will be read in all: set by the owner */
};

/* how NULL: all zeros. FR_ERR_NOMEM; deinit is fine then. */
FR_NODISCARD fr_status fr_copier_init(struct fr_copier *copier, struct fr_env *env,
        const struct fr_backup_options *how);
void fr_copier_deinit(struct fr_copier *copier);

/* Read a file's footer, and set file->footer_crc. FR_ERR_CORRUPT: the file has another size. */
FR_NODISCARD fr_status fr_copier_read_footer(struct fr_dir *dir, const char *name,
        struct fr_backup_file *file);

/*
 * Compare a file with all that is said of it. FR_ERR_CORRUPT, FR_ERR_MISSING. FR_ERR_CANCELLED, as
 * for all of these: the progress hook says so.
 */
FR_NODISCARD fr_status fr_copier_compare(struct fr_copier *copier, struct fr_dir *dir,
        const char *name, const struct fr_backup_file *file);

/*
 * Make a copy under a name that is free, and sync it. What is read is compared. After a failure
 * there may be a part of it.
 */
FR_NODISCARD fr_status fr_copier_copy(struct fr_copier *copier, struct fr_dir *from_dir,
        const char *from_name, struct fr_dir *to_dir, const char *to_name,
        const struct fr_backup_file *file);

/* Count a file as read without reading it. */
FR_NODISCARD fr_status fr_copier_skip(struct fr_copier *copier, const struct fr_backup_file *file);

#endif
