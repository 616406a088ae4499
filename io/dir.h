/*
 * dir.h - a directory: its names, and when a name is there to stay.
 *
 * Everything is relative to the open directory, so a store that is moved while open goes on where
 * it is, and a name never leads out of it: names are single components, without '/', not "." or
 * "..", at most FR_NAME_MAX bytes (FR_ERR_MISUSE). Creations, renames, links and unlinks are
 * durable, in no particular order, once a later fr_dir_sync() has returned. Any thread, but close.
 */
#ifndef FR_IO_DIR_H
#define FR_IO_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "io/file.h"

struct fr_env;
struct fr_dir;
struct fr_dir_lock;

#define FR_NAME_MAX 255

enum fr_dir_flags {
    FR_DIR_CREATE = 1 << 0, /* make it if it is not there, and make its name durable */
};

/* Open by a path of the host. FR_ERR_MISSING; FR_ERR_IO if it is no directory. */
FR_NODISCARD fr_status fr_dir_open(struct fr_env *env, const char *path, unsigned flags,
        struct fr_dir **ret_dir);

/*
 * Open the directory that a path's last component is in, and say what that is called; whether it is
 * there does not matter. FR_ERR_MISUSE: the path ends in no name.
 */
FR_NODISCARD fr_status fr_dir_open_parent(struct fr_env *env, const char *path,
        struct fr_dir **ret_parent, char ret_name[static FR_NAME_MAX + 1]);

/* Open a directory inside another one. */
FR_NODISCARD fr_status fr_dir_open_in(struct fr_dir *parent, const char *name, unsigned flags,
        struct fr_dir **ret_dir);

void fr_dir_close(struct fr_dir *dir);

/* Make a directory, unless it is there, and make its name durable. */
FR_NODISCARD fr_status fr_dir_make(struct fr_dir *parent, const char *name);

/* As it was opened, for messages; valid as long as the directory. */
const char *fr_dir_path(const struct fr_dir *dir);

/*
 * Once it has failed it fails for good: the failed sync may have lost the names of other threads,
 * too, and theirs would seem to succeed. Only who opens the directory anew, and has looked at what
 * is there, can go on.
 */
FR_NODISCARD fr_status fr_dir_sync(struct fr_dir *dir);

/* Replaces `to` if there is one, in one step. FR_ERR_MISSING: there is no `from`. */
FR_NODISCARD fr_status fr_dir_rename(struct fr_dir *dir, const char *from, const char *to);

/* A second name for the file, in this or another directory of the same file system. FR_ERR_EXISTS.
 */
FR_NODISCARD fr_status fr_dir_link(struct fr_dir *dir, const char *from, struct fr_dir *to_dir,
        const char *to);

/* FR_NOT_FOUND: there was no such file. Open files stay usable. */
FR_NODISCARD fr_status fr_dir_unlink(struct fr_dir *dir, const char *name);

/* Remove an empty directory. FR_NOT_FOUND: there was none. */
FR_NODISCARD fr_status fr_dir_remove(struct fr_dir *dir, const char *name);

/* FR_NOT_FOUND: nothing has that name. */
FR_NODISCARD fr_status fr_dir_stat(struct fr_dir *dir, const char *name,
        struct fr_file_info *ret_info);

/* Bytes that this process may still write on the file system, and all there are. */
FR_NODISCARD fr_status fr_dir_space(struct fr_dir *dir, uint64_t *ret_free_bytes,
        uint64_t *ret_total_bytes);

/* The names in a directory in byte order, "." and ".." left out. */
struct fr_dir_names {
    size_t count;
    const char **names; /* into text */
    struct fr_buf text;
};

FR_NODISCARD fr_status fr_dir_list(struct fr_dir *dir, struct fr_dir_names *ret_names);
void fr_dir_names_deinit(struct fr_dir_names *names);

/*
 * Hold the directory against every other process, and every other handle of this one, until
 * fr_dir_unlock(), which comes before the directory is closed. The lock is on a file which is
 * created if it is not there and stays, and whose text says who held it last; and on the directory
 * itself, where the file system can do that, so that it stays a lock when somebody removes the
 * file. It dies with the process. FR_ERR_BUSY: somebody has it, with who in words.
 */
FR_NODISCARD fr_status fr_dir_lock(struct fr_dir *dir, const char *name,
        struct fr_dir_lock **ret_lock);
void fr_dir_unlock(struct fr_dir_lock *lock);

/*
 * The same for those who must not change anything there: the file is neither made nor written. If
 * it is missing, or on a disk that cannot be written to, the lock is on the directory alone.
 */
FR_NODISCARD fr_status fr_dir_lock_as_is(struct fr_dir *dir, const char *name,
        struct fr_dir_lock **ret_lock);

/*
 * Give name these bytes in one step which a crash cannot split: a new file beside it, synced,
 * renamed, the directory synced. On failure the old file is as it was and the new one is gone;
 * except if the last step failed: then name has the new bytes, and a crash may bring back the old.
 */
FR_NODISCARD fr_status fr_dir_replace(struct fr_dir *dir, const char *name, fr_slice content);

#endif
