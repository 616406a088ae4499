#include "lsm/new_store.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "io/env.h"
#include "lsm/edit_format.h"
#include "lsm/manifest.h"
#include "wal/file_name.h"

/* What an attempt before has left; anything else is not ours to remove. */
static fr_status check_names(struct fr_dir *dir, const struct fr_dir_names *names)
{
    enum fr_file_kind kind;
    uint64_t number;

    for (size_t i = 0; i < names->count; i++) {
        bool super = strcmp(names->names[i], "SUPER.tmp") == 0;
        if (!super && !fr_file_name_parse(names->names[i], &kind, &number))
            return FR_FAIL(FR_ERR_FOREIGN, "%s/%s: is no part of a store", fr_dir_path(dir),
                    names->names[i]);
    }
    return FR_OK;
}

static fr_status remove_leftovers(struct fr_dir *dir, bool and_lock)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st;

    FR_TRY(fr_dir_list(dir, &names));
    FR_TRY(check_names(dir, &names));
    for (size_t i = 0; i < names.count; i++) {
        bool lock = fr_file_name_parse(names.names[i], &kind, &number) && kind == FR_FILE_LOCK;
        if (lock && !and_lock) continue;
        if (!and_lock)
            fr_log(FR_LOG_INFO, "lsm", "%s: removing %s of a store that was not finished",
                    fr_dir_path(dir), names.names[i]);
        FR_TRY(fr_dir_unlink(dir, names.names[i]));
    }
out:
    fr_dir_names_deinit(&names);
    return st < 0 ? st : FR_OK;
}

static fr_status check_free(struct fr_new_store *s)
{
    struct fr_file_info info;
    fr_status st = fr_dir_stat(s->parent, s->name, &info);

    if (st == FR_OK)
        return FR_FAIL(FR_ERR_EXISTS, "%s/%s: is there already", fr_dir_path(s->parent), s->name);
    return st == FR_NOT_FOUND ? FR_OK : st;
}

/* Looked at again under the lock: whoever had it before may have finished. */
fr_status fr_new_store_begin(struct fr_new_store *store, struct fr_env *env, const char *path)
{
    char lock_name[FR_FILE_NAME_SIZE];
    fr_status st;

    store->env = env;
    FR_TRY(fr_dir_open_parent(env, path, &store->parent, store->name));
    (void)snprintf(store->unfinished, sizeof(store->unfinished), "%s" FR_NEW_STORE_SUFFIX,
            store->name);
    FR_TRY(check_free(store));
    FR_TRY(fr_dir_make(store->parent, store->unfinished));
    FR_TRY(fr_dir_open_in(store->parent, store->unfinished, 0, &store->dir));
    fr_file_name_format(FR_FILE_LOCK, 0, lock_name);
    FR_TRY(fr_dir_lock(store->dir, lock_name, &store->lock));
    FR_TRY(check_free(store));
    store->begun = true;
    FR_TRY(remove_leftovers(store->dir, false));
out:
    return st;
}

void fr_new_store_lend(struct fr_new_store *store, char *ret_path, size_t room)
{
    (void)snprintf(ret_path, room, "%s/%s", fr_dir_path(store->parent), store->unfinished);
    fr_dir_unlock(FR_TAKE(store->lock));
}

static uint64_t next_number(void *ctx)
{
    return (*(uint64_t *)ctx)++;
}

/* The log begins at 0. */
fr_status fr_new_store_describe(struct fr_new_store *store,
        const struct fr_new_store_content *content)
{
    struct fr_super super = {.created_us = fr_env_wall_us(store->env)};
    uint64_t number = content->next_number;
    struct fr_manifest *manifest = NULL;
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_edit_log log = {0};
    fr_status st;

    memcpy(super.store, content->store, FR_STORE_ID_SIZE);
    fr_buf_append(&edit, content->edit.data, content->edit.size);
    fr_edit_put_next_file(&edit, number + 1); /* the manifest's own, which is the next */
    fr_edit_put_last_seq(&edit, content->last_seq);
    fr_edit_put_log(&edit, &log);
    FR_TRY(fr_buf_status(&edit));
    FR_TRY(fr_manifest_begin(store->dir, &super, fr_buf_slice(&edit), next_number, &number,
            &manifest));
out:
    fr_manifest_close(manifest);
    fr_buf_deinit(&edit);
    return st;
}

fr_status fr_new_store_commit(struct fr_new_store *store)
{
    fr_status st;

    FR_TRY(fr_dir_sync(store->dir));
    FR_TRY(fr_dir_rename(store->parent, store->unfinished, store->name));
    store->renamed = true;
    FR_TRY(fr_dir_sync(store->parent));
out:
    return st;
}

/*
 * Nothing is left of an attempt that has failed, as far as that goes; the words stay. A rename that
 * has failed may have happened all the same: what is known by the target's name is whole, and stays
 * so.
 */
static void undo(struct fr_new_store *s)
{
    struct fr_error error = {.size = sizeof(error)};
    struct fr_file_info info;

    fr_error_save(&error);
    if (fr_dir_stat(s->parent, s->name, &info) == FR_NOT_FOUND &&
            remove_leftovers(s->dir, true) == FR_OK)
        (void)!fr_dir_remove(s->parent, s->unfinished);
    (void)!fr_error_restore(&error);
}

void fr_new_store_end(struct fr_new_store *store)
{
    if (store->begun && !store->renamed) undo(store);
    fr_dir_unlock(store->lock);
    fr_dir_close(store->dir);
    fr_dir_close(store->parent);
    *store = (struct fr_new_store){0};
}
