/*
 * backup_set.h - a backup's directory: which generations are there, and what each one needs.
 *
 * The bytes are in recovery/backup_format.h. One thread at a time.
 */
#ifndef FR_RECOVERY_BACKUP_SET_H
#define FR_RECOVERY_BACKUP_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "freshet/backup.h"
#include "recovery/backup_format.h"

struct fr_dir;
struct fr_dir_lock;
struct fr_env;

struct fr_backup_set {
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_dir *files; /* NULL: there are none yet, and nobody writes */
    struct fr_dir_lock *lock;
    uint64_t *generations; /* ascending */
    size_t count;
};

/* A generation's list and the bytes that it borrows from. */
struct fr_backup_loaded {
    struct fr_backup_list list;
    struct fr_buf bytes;
};

/*
 * For reading only: nothing is changed and no lock is taken. FR_ERR_MISSING: there is no such
 * directory. FR_ERR_FOREIGN: it holds something else. All zeros before; close in any case.
 */
FR_NODISCARD fr_status fr_backup_set_open(struct fr_backup_set *set, struct fr_env *env,
        const char *path);

/* To write: made if it is not there, and locked. FR_ERR_BUSY. */
FR_NODISCARD fr_status fr_backup_set_create(struct fr_backup_set *set, struct fr_env *env,
        const char *path);

void fr_backup_set_close(struct fr_backup_set *set);

/* Whether there is a list of that number. */
bool fr_backup_set_has(const struct fr_backup_set *set, uint64_t generation);

/* Read one; the caller unloads it, also after a failure. FR_ERR_MISSING. */
FR_NODISCARD fr_status fr_backup_set_load(struct fr_backup_set *set, uint64_t generation,
        struct fr_backup_loaded *loaded);
void fr_backup_loaded_deinit(struct fr_backup_loaded *loaded);

/* As the public interface tells it. */
void fr_backup_list_tell(const struct fr_backup_list *list, struct fr_backup_info *ret_info);
FR_NODISCARD fr_status fr_backup_set_next(struct fr_backup_set *set, uint64_t after,
        struct fr_backup_info *ret_info);

/* fr_backup_drop(), fr_backup_check(). The set is locked for the first. */
FR_NODISCARD fr_status fr_backup_set_drop(struct fr_backup_set *set, uint64_t generation,
        uint64_t *ret_freed_bytes);
FR_NODISCARD fr_status fr_backup_set_check(struct fr_backup_set *set, uint64_t generation,
        const struct fr_backup_options *how);

/*
 * Remove what a crash has left: files that no list has, parts, and lists that were being written.
 * FR_ERR_CORRUPT: a list cannot be read; nothing was removed.
 */
FR_NODISCARD fr_status fr_backup_set_sweep(struct fr_backup_set *set, uint64_t *ret_freed_bytes);

#endif
