/*
 * backup.h - incremental backups of a store, and stores made from them.
 *
 *     struct fr_backup_info info = {.size = sizeof(info)};
 *     fr_status st = fr_db_backup(db, "backups", NULL, &info);
 *     ...
 *     st = fr_backup_restore("backups", 0, "store-again", NULL, &info);
 *
 * A backup is a directory, best on another disk. Each call adds a generation: the store as of a
 * moment in the call, whole by itself. Tables and value files lie there once each, by their
 * content's hash, however many generations have them; so a generation costs what is new since the
 * one before. A crash at any point leaves the older generations as they were.
 *
 * docs/recovery.md tells more. Paths are the host's.
 */
#ifndef FRESHET_BACKUP_H
#define FRESHET_BACKUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/db.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

/* NULL where it is asked for means all zeros. */
struct fr_backup_options {
    size_t size;   /* sizeof(struct fr_backup_options) */
    uint64_t rate; /* bytes a second that are read at most (0: no limit) */
    /*
     * Read what the backup already has and needs again, and copy anew what is damaged there. Else a
     * file of the right name and size is taken to be what it was (false).
     */
    bool reread;
    /*
     * Called now and then by the calling thread; what has been read and what there is to read, in
     * bytes. false: give up, FR_ERR_CANCELLED (NULL).
     */
    bool (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

/* One generation. The caller sets size. */
struct fr_backup_info {
    size_t size; /* sizeof(struct fr_backup_info) */
    uint64_t generation;
    uint64_t created_us; /* time of day */
    uint64_t last_seq;   /* of the store at that moment */
    uint64_t file_count;
    uint64_t file_bytes;
    uint64_t copied_count; /* of the files: what this call has copied, or read again */
    uint64_t copied_bytes;
    fr_status status; /* FR_OK, or why its list cannot be read; then the rest is zeros */
};

/*
 * Add a generation to the backup in a directory, which is made if it is not there; durable on
 * return. What is in memory is flushed first; writers do not wait, and files that the store drops
 * meanwhile are kept until the end. One at a time: FR_ERR_BUSY. FR_ERR_FOREIGN: the directory holds
 * something else, or another store's backup. FR_ERR_READONLY: the store is open for reading only.
 */
FR_API FR_NODISCARD fr_status fr_db_backup(struct fr_db *db, const char *path,
        const struct fr_backup_options *how, struct fr_backup_info *ret_info);

/* The first generation above that one; 0 to begin. FR_END: there are no more. FR_ERR_MISSING: there
 * is no such directory. */
FR_API FR_NODISCARD fr_status fr_backup_next(const char *path, uint64_t after,
        struct fr_backup_info *ret_info);

/*
 * Read all files of a generation (0: of all) and compare them with their hashes. FR_ERR_CORRUPT,
 * FR_ERR_MISSING: the words say which file is the first that is not as it was.
 */
FR_API FR_NODISCARD fr_status fr_backup_check(const char *path, uint64_t generation,
        const struct fr_backup_options *how);

/*
 * Remove a generation, and the files that no other one needs; *ret_freed_bytes, which may be NULL,
 * is what they took. FR_ERR_MISUSE: it is the newest, which stays. FR_NOT_FOUND: there is none of
 * that number. FR_ERR_CORRUPT: the list of another one cannot be read, so nobody knows what it
 * needs; nothing was removed.
 */
FR_API FR_NODISCARD fr_status fr_backup_drop(const char *path, uint64_t generation,
        uint64_t *ret_freed_bytes);

/*
 * Make a store of a generation (0: the newest) at a path that is free. All files are compared with
 * their hashes, as they are read and again as they lie in the store; it is durable, and only then
 * has its name. reread is not looked at. FR_ERR_EXISTS; FR_ERR_MISSING: no such generation, or a
 * file of it is not there; FR_ERR_CORRUPT.
 */
FR_API FR_NODISCARD fr_status fr_backup_restore(const char *path, uint64_t generation,
        const char *store, const struct fr_backup_options *how, struct fr_backup_info *ret_info);

FR_END_DECLS

#endif
