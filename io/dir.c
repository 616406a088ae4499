#include "io/dir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/museum.h"
#include "io/env_priv.h"

/* The longest line that a lock file may hold; more is not ours. */
#define HOLDER_TEXT_MAX 128

fr_status fr_name_check(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > FR_NAME_MAX || strchr(name, '/') != NULL ||
            strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is no name for a file in a directory", name);
    return FR_OK;
}

fr_status fr_path_join(const char *dir, const char *name, char **ret_path)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    const char *slash = dir[0] != '\0' && dir[strlen(dir) - 1] == '/' ? "" : "/";
    char *path = fr_alloc(size);

    if (path == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a path of %zu bytes", size);
    snprintf(path, size, "%s%s%s", dir, slash, name);
    *ret_path = path;
    return FR_OK;
}

static fr_status dir_new(struct fr_env *env, const char *path, struct fr_dir **ret_dir)
{
    struct fr_dir *dir = FR_NEW(struct fr_dir);
    char *copy = fr_alloc(strlen(path) + 1);

    if (dir == NULL || copy == NULL) {
        fr_free(dir);
        fr_free(copy);
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to open it", path);
    }
    memcpy(copy, path, strlen(path) + 1);
    dir->path = copy;
    dir->env = env;
    dir->handle = FR_HANDLE_NONE;
    fr_mutex_init(&dir->syncing, FR_RANK_IO_DIR);
    *ret_dir = dir;
    return FR_OK;
}

fr_status fr_dir_open_parent(struct fr_env *env, const char *path, struct fr_dir **ret_parent,
        char ret_name[static FR_NAME_MAX + 1])
{
    char *copy = NULL;
    fr_status st;

    FR_TRY(fr_path_join("", path, &copy)); /* one '/' in front, so that there always is one */
    size_t length = strlen(copy);
    while (length > 1 && copy[length - 1] == '/')
        copy[--length] = '\0';
    char *slash = strrchr(copy, '/');
    *slash = '\0';
    const char *parent_path = copy + 1;
    if (slash <= copy + 1) parent_path = path[0] == '/' ? "/" : ".";
    FR_TRY(fr_name_check(slash + 1));
    FR_TRY(fr_dir_open(env, parent_path, 0, ret_parent));
    memcpy(ret_name, slash + 1, strlen(slash + 1) + 1);
out:
    fr_free(copy);
    return st;
}

/* Make the last component of a path in its parent, and the name durable. */
static fr_status make_path(struct fr_env *env, const char *path)
{
    struct fr_dir *parent = NULL;
    char name[FR_NAME_MAX + 1];
    fr_status st;

    FR_TRY(fr_dir_open_parent(env, path, &parent, name));
    FR_TRY(fr_dir_make(parent, name));
out:
    fr_dir_close(parent);
    return st;
}

fr_status fr_dir_make(struct fr_dir *parent, const char *name)
{
    struct fr_env *env = parent->env;
    fr_status st = fr_name_check(name);
    if (st < 0) return st;

    int rc = env->ops->dir_make(env->ctx, parent->handle, name);
    if (rc < 0 && rc != -EEXIST)
        return FR_FAIL_OS(-rc, "%s/%s: cannot make the directory", parent->path, name);
    /* Also if it was there: whoever made it may have lost power before it was durable. */
    return fr_dir_sync(parent);
}

/*
 * The name of a directory that was there already: whoever made it may have lost power before it was
 * durable. Where we may not open the parent, or the path has no name ("."), nobody can ask more of
 * us.
 */
static fr_status settle_path(struct fr_env *env, const char *path)
{
    fr_status st = make_path(env, path);

    if (st != FR_ERR_PERM && st != FR_ERR_MISUSE && st != FR_ERR_READONLY) return st;
    fr_error_clear();
    return FR_OK;
}

fr_status fr_dir_open(struct fr_env *env, const char *path, unsigned flags, struct fr_dir **ret_dir)
{
    struct fr_dir *dir = NULL;
    fr_status st;

    FR_TRY(dir_new(env, path, &dir));
    int rc = env->ops->dir_open(env->ctx, path, &dir->handle);
    bool was_there = rc == 0;
    if (rc == -ENOENT && (flags & FR_DIR_CREATE)) {
        FR_TRY(make_path(env, path));
        rc = env->ops->dir_open(env->ctx, path, &dir->handle);
    }
    if (rc < 0) {
        dir->handle = FR_HANDLE_NONE;
        st = FR_FAIL_OS(-rc, "%s: cannot open the directory", path);
        goto out;
    }
    if (was_there && (flags & FR_DIR_CREATE)) FR_TRY(settle_path(env, path));
    *ret_dir = FR_TAKE(dir);
out:
    fr_dir_close(dir);
    return st;
}

fr_status fr_dir_open_in(struct fr_dir *parent, const char *name, unsigned flags,
        struct fr_dir **ret_dir)
{
    struct fr_env *env = parent->env;
    struct fr_dir *dir = NULL;
    char *path = NULL;
    fr_status st;

    FR_TRY(fr_name_check(name));
    FR_TRY(fr_path_join(parent->path, name, &path));
    FR_TRY(dir_new(env, path, &dir));
    if (flags & FR_DIR_CREATE) FR_TRY(fr_dir_make(parent, name));
    int rc = env->ops->dir_open_in(env->ctx, parent->handle, name, &dir->handle);
    if (rc < 0) {
        dir->handle = FR_HANDLE_NONE;
        st = FR_FAIL_OS(-rc, "%s: cannot open the directory", path);
        goto out;
    }
    *ret_dir = FR_TAKE(dir);
out:
    fr_dir_close(dir);
    fr_free(path);
    return st;
}

void fr_dir_close(struct fr_dir *dir)
{
    if (dir == NULL) return;
    if (dir->handle != FR_HANDLE_NONE) dir->env->ops->dir_close(dir->env->ctx, dir->handle);
    fr_mutex_deinit(&dir->syncing);
    fr_free(dir->path);
    fr_free(dir);
}

const char *fr_dir_path(const struct fr_dir *dir)
{
    return dir->path;
}

static int try_sync(struct fr_dir *dir)
{
    int rc;

    do
        rc = dir->env->ops->dir_sync(dir->env->ctx, dir->handle);
    while (rc == -EINTR);
    return rc;
}

static int sync_in_turn(struct fr_dir *dir)
{
    /* museum 41: a directory believed again after a failed sync */
    if (FR_MUSEUM(41)) return try_sync(dir);
    fr_mutex_lock(&dir->syncing);
    int rc = dir->lost != 0 ? -dir->lost : try_sync(dir);
    dir->lost = -rc;
    fr_mutex_unlock(&dir->syncing);
    return rc;
}

fr_status fr_dir_sync(struct fr_dir *dir)
{
    int rc = sync_in_turn(dir);

    if (rc < 0) {
        fr_status st = FR_FAIL_OS(-rc, "%s: sync of the directory", dir->path);
        fr_error_mark_sync();
        return st;
    }
    fr_env_count(&dir->env->sync_count, 1);
    return FR_OK;
}

fr_status fr_dir_rename(struct fr_dir *dir, const char *from, const char *to)
{
    fr_status st;

    FR_TRY(fr_name_check(from));
    FR_TRY(fr_name_check(to));
    int rc = dir->env->ops->dir_rename(dir->env->ctx, dir->handle, from, to);
    if (rc < 0) st = FR_FAIL_OS(-rc, "%s/%s: cannot rename it to %s", dir->path, from, to);
out:
    return st;
}

fr_status fr_dir_link(struct fr_dir *dir, const char *from, struct fr_dir *to_dir, const char *to)
{
    fr_status st;

    FR_TRY(fr_name_check(from));
    FR_TRY(fr_name_check(to));
    int rc = dir->env->ops->dir_link(dir->env->ctx, dir->handle, from, to_dir->handle, to);
    if (rc < 0)
        st = FR_FAIL_OS(-rc, "%s/%s: cannot link it as %s/%s", dir->path, from, to_dir->path, to);
out:
    return st;
}

fr_status fr_dir_unlink(struct fr_dir *dir, const char *name)
{
    fr_status st;

    FR_TRY(fr_name_check(name));
    int rc = dir->env->ops->dir_unlink(dir->env->ctx, dir->handle, name);
    if (rc == -ENOENT) return FR_NOT_FOUND;
    if (rc < 0) st = FR_FAIL_OS(-rc, "%s/%s: cannot remove it", dir->path, name);
out:
    return st;
}

fr_status fr_dir_remove(struct fr_dir *dir, const char *name)
{
    fr_status st;

    FR_TRY(fr_name_check(name));
    int rc = dir->env->ops->dir_remove(dir->env->ctx, dir->handle, name);
    if (rc == -ENOENT) return FR_NOT_FOUND;
    if (rc < 0) st = FR_FAIL_OS(-rc, "%s/%s: cannot remove the directory", dir->path, name);
out:
    return st;
}

fr_status fr_dir_stat(struct fr_dir *dir, const char *name, struct fr_file_info *ret_info)
{
    fr_status st;

    FR_TRY(fr_name_check(name));
    int rc = dir->env->ops->dir_stat(dir->env->ctx, dir->handle, name, ret_info);
    if (rc == -ENOENT) return FR_NOT_FOUND;
    if (rc < 0) st = FR_FAIL_OS(-rc, "%s/%s: cannot be looked at", dir->path, name);
out:
    return st;
}

fr_status fr_dir_space(struct fr_dir *dir, uint64_t *ret_free_bytes, uint64_t *ret_total_bytes)
{
    int rc = dir->env->ops->dir_space(dir->env->ctx, dir->handle, ret_free_bytes, ret_total_bytes);
    if (rc < 0) return FR_FAIL_OS(-rc, "%s: cannot ask for its free space", dir->path);
    return FR_OK;
}

/* Collects names back to back, each with its terminating zero. */
struct name_collector {
    struct fr_buf text;
    size_t count;
};

static void collect_name(void *ctx, const char *name)
{
    struct name_collector *collector = ctx;

    fr_buf_append(&collector->text, name, strlen(name) + 1);
    collector->count++;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

fr_status fr_dir_list(struct fr_dir *dir, struct fr_dir_names *ret_names)
{
    struct name_collector collector = {.text = FR_BUF_EMPTY};
    const char **names = NULL;
    fr_status st;

    int rc = dir->env->ops->dir_list(dir->env->ctx, dir->handle, collect_name, &collector);
    if (rc < 0) {
        st = FR_FAIL_OS(-rc, "%s: cannot list the directory", dir->path);
        goto out;
    }
    FR_TRY(fr_buf_status(&collector.text));
    names = fr_alloc_zeroed(collector.count + 1, sizeof(*names));
    if (names == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory for %zu names", dir->path, collector.count);
        goto out;
    }
    const char *at = (const char *)collector.text.data;
    for (size_t i = 0; i < collector.count; i++, at += strlen(at) + 1)
        names[i] = at;
    qsort(names, collector.count, sizeof(*names), compare_names);
    *ret_names = (struct fr_dir_names){
            .count = collector.count, .names = FR_TAKE(names), .text = collector.text};
    collector.text = FR_BUF_EMPTY;
out:
    fr_free(names);
    fr_buf_deinit(&collector.text);
    return st;
}

void fr_dir_names_deinit(struct fr_dir_names *names)
{
    fr_free(names->names);
    fr_buf_deinit(&names->text);
    *names = (struct fr_dir_names){0};
}

/* Open the lock file, or make it; two that make it at once end up with the same one. */
static fr_status open_lock_file(struct fr_dir *dir, const char *name, struct fr_file **ret_file)
{
    fr_status st = fr_file_open(dir, name, FR_OPEN_WRITE, ret_file);

    if (st == FR_ERR_MISSING)
        st = fr_file_open(dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, ret_file);
    if (st == FR_ERR_EXISTS) st = fr_file_open(dir, name, FR_OPEN_WRITE, ret_file);
    return st;
}

/* Say who has it, as far as the lock file's text is one of ours. */
static fr_status fail_busy(struct fr_file *file)
{
    char holder[HOLDER_TEXT_MAX] = "";
    size_t size = 0;

    if (fr_file_read(file, 0, holder, sizeof(holder) - 1, &size) < 0) size = 0;
    holder[size] = '\0';
    for (size_t i = 0; i < size; i++)
        if (holder[i] < ' ' || holder[i] > '~') holder[i] = '\0';
    return FR_FAIL(FR_ERR_BUSY, "%s: held by %s", file->path,
            holder[0] == '\0' ? "somebody else" : holder);
}

/* For people only: nothing depends on it, so a full disk is no reason not to open. */
static void write_holder(struct fr_file *file)
{
    struct fr_env *env = file->env;
    char text[HOLDER_TEXT_MAX] = "";

    if (env->ops->holder_text == NULL) return;
    env->ops->holder_text(env->ctx, text, sizeof(text));
    if (fr_file_truncate(file, 0) == FR_OK &&
            fr_file_write(file, 0, text, strlen(text), 0) == FR_OK)
        return;
    fr_error_clear();
}

/*
 * The file is ours. Its name may have been removed while somebody else had it, who then has another
 * file; the directory is the same one for all.
 */
static fr_status lock_itself(struct fr_dir_lock *lock, const char *name)
{
    const struct fr_dir *dir = lock->dir;
    int rc;

    if (dir->env->ops->dir_lock == NULL) return FR_OK;
    do
        rc = dir->env->ops->dir_lock(dir->env->ctx, dir->handle);
    while (rc == -EINTR);
    if (rc == -EAGAIN)
        return FR_FAIL(FR_ERR_BUSY,
                "%s: held by somebody else, from whom the lock file %s/%s was taken away",
                dir->path, dir->path, name);
    lock->dir_held = rc == 0;
    return FR_OK;
}

static fr_status lock_file(struct fr_dir_lock *lock)
{
    const struct fr_dir *dir = lock->dir;
    int rc;

    do
        rc = dir->env->ops->file_lock(dir->env->ctx, lock->file->handle);
    while (rc == -EINTR);
    if (rc == -EAGAIN || rc == -EACCES) return fail_busy(lock->file);
    if (rc < 0) return FR_FAIL_OS(-rc, "%s: cannot lock it", lock->file->path);
    lock->held = true;
    return FR_OK;
}

fr_status fr_dir_lock(struct fr_dir *dir, const char *name, struct fr_dir_lock **ret_lock)
{
    struct fr_dir_lock *lock = FR_NEW(struct fr_dir_lock);
    fr_status st;

    if (lock == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for its lock", dir->path);
    lock->dir = dir;
    FR_TRY(open_lock_file(dir, name, &lock->file));
    FR_TRY(lock_file(lock));
    FR_TRY(lock_itself(lock, name));
    write_holder(lock->file);
    *ret_lock = FR_TAKE(lock);
out:
    fr_dir_unlock(lock);
    return st;
}

/* FR_NOT_FOUND: there is no file that could be locked. */
static fr_status open_lock_file_as_is(struct fr_dir *dir, const char *name,
        struct fr_file **ret_file)
{
    struct fr_error error = {.size = sizeof(error)};
    fr_status st = fr_file_open(dir, name, FR_OPEN_WRITE, ret_file);

    if (st == FR_OK) return FR_OK;
    bool is_refused = fr_last_error_get(&error) == FR_OK &&
                      (error.os_error == EROFS || error.os_error == EACCES);
    return st == FR_ERR_MISSING || is_refused ? FR_NOT_FOUND : st;
}

fr_status fr_dir_lock_as_is(struct fr_dir *dir, const char *name, struct fr_dir_lock **ret_lock)
{
    struct fr_dir_lock *lock = FR_NEW(struct fr_dir_lock);
    fr_status st;

    if (lock == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for its lock", dir->path);
    lock->dir = dir;
    FR_TRY(open_lock_file_as_is(dir, name, &lock->file));
    if (st == FR_OK) FR_TRY(lock_file(lock));
    FR_TRY(lock_itself(lock, name));
    *ret_lock = FR_TAKE(lock);
out:
    fr_dir_unlock(lock);
    return st;
}

void fr_dir_unlock(struct fr_dir_lock *lock)
{
    if (lock == NULL) return;
    if (lock->dir_held) lock->dir->env->ops->dir_unlock(lock->dir->env->ctx, lock->dir->handle);
    if (lock->held) lock->file->env->ops->file_unlock(lock->file->env->ctx, lock->file->handle);
    fr_file_close(lock->file);
    fr_free(lock);
}

static fr_status write_new_file(struct fr_dir *dir, const char *name, fr_slice content)
{
    struct fr_file *file = NULL;
    fr_status st;

    FR_TRY(fr_dir_unlink(dir, name)); /* what a crash may have left */
    FR_TRY(fr_file_open(dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    FR_TRY(fr_file_write(file, 0, content.data, content.size, 0));
    FR_TRY(fr_file_sync(file));
out:
    fr_file_close(file);
    return st;
}

fr_status fr_dir_replace(struct fr_dir *dir, const char *name, fr_slice content)
{
    char beside[FR_NAME_MAX + 1] = "";
    struct fr_error error;
    fr_status st;

    FR_TRY(fr_name_check(name));
    int length = snprintf(beside, sizeof(beside), "%s.tmp", name);
    if (length < 0 || length >= (int)sizeof(beside))
        return FR_FAIL(FR_ERR_MISUSE, "\"%.40s\" is too long to be replaced", name);
    st = write_new_file(dir, beside, content);
    if (st >= 0) st = fr_dir_rename(dir, beside, name);
    if (st < 0) {
        /* A full disk is no place for leftovers. The first error is the one to tell. */
        fr_error_save(&error);
        if (fr_dir_unlink(dir, beside) < 0) fr_error_clear();
        return fr_error_restore(&error);
    }
    FR_TRY(fr_dir_sync(dir));
out:
    return st;
}
