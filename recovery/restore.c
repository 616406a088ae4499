/*
 * restore.c - a store out of a backup: made under another name, read back, and renamed at last.
 *
 * Each file is compared with its hash twice: as it comes out of the backup, so that the words name
 * the file that is damaged, and as it lies in the new store, from the device as far as the system
 * lets go of what it has in memory. The version is put together by the manifest's own reader. Only
 * then does the store get its name; so a crash leaves a whole store or none.
 */
#include "recovery/restore.h"

#include <inttypes.h>

#include "io/dir.h"
#include "io/env.h"
#include "lsm/manifest.h"
#include "lsm/new_store.h"
#include "recovery/backup_set.h"
#include "recovery/copier.h"

struct restore {
    struct fr_env *env;
    struct fr_backup_set set;
    struct fr_backup_loaded from;
    struct fr_new_store to;
    struct fr_copier copier;
};

static fr_status load(struct restore *r, uint64_t generation)
{
    struct fr_backup_set *set = &r->set;

    if (set->count == 0)
        return FR_FAIL(FR_ERR_MISSING, "%s: holds no backup", fr_dir_path(set->dir));
    if (generation == 0) generation = set->generations[set->count - 1];
    if (!fr_backup_set_has(set, generation))
        return FR_FAIL(FR_ERR_MISSING, "%s: there is no generation %" PRIu64, fr_dir_path(set->dir),
                generation);
    fr_status st = fr_backup_set_load(set, generation, &r->from);
    if (st == FR_OK && r->from.list.file_count > 0 && set->files == NULL)
        st = FR_FAIL(FR_ERR_MISSING, "%s/files: is not there", fr_dir_path(set->dir));
    return st;
}

static fr_status copy_files(struct restore *r)
{
    char store_name[FR_FILE_NAME_SIZE], name[FR_BACKUP_NAME_SIZE];
    fr_status st = FR_OK;

    for (uint64_t i = 0; i < r->from.list.file_count; i++) {
        struct fr_backup_file file = fr_backup_list_file(&r->from.list, i);
        fr_backup_file_name(&file, name);
        fr_file_name_format(fr_backup_file_kind(file.kind), file.number, store_name);
        FR_TRY(fr_copier_copy(&r->copier, r->set.files, name, r->to.dir, store_name, &file));
    }
out:
    return st;
}

static fr_status read_back(struct restore *r)
{
    char store_name[FR_FILE_NAME_SIZE];
    fr_status st = FR_OK;

    for (uint64_t i = 0; i < r->from.list.file_count; i++) {
        struct fr_backup_file file = fr_backup_list_file(&r->from.list, i);
        fr_file_name_format(fr_backup_file_kind(file.kind), file.number, store_name);
        FR_TRY(fr_copier_compare(&r->copier, r->to.dir, store_name, &file));
    }
out:
    return st;
}

static fr_status describe(struct restore *r)
{
    const struct fr_backup_list *list = &r->from.list;
    struct fr_new_store_content content = {
            .edit = list->edit, .last_seq = list->last_seq, .next_number = list->next_number};

    memcpy(content.store, list->store, FR_STORE_ID_SIZE);
    return fr_new_store_describe(&r->to, &content);
}

/* What was written is a version: levels in order, nothing pointing to what is not there. */
static fr_status read_version(struct restore *r)
{
    struct fr_manifest_state state = {0};
    struct fr_obsolete obsolete;
    struct fr_super super;
    fr_status st;

    fr_obsolete_init(&obsolete);
    FR_TRY(fr_super_read(r->to.dir, &super));
    FR_TRY(fr_manifest_replay(r->to.dir, &super, &obsolete, false, &state));
out:
    fr_version_unref(state.version);
    fr_obsolete_deinit(&obsolete);
    return st;
}

static fr_status run(struct restore *r, const char *store)
{
    fr_status st;

    r->copier.total_bytes = 2 * r->from.list.file_bytes;
    FR_TRY(fr_new_store_begin(&r->to, r->env, store));
    FR_TRY(copy_files(r));
    FR_TRY(describe(r));
    FR_TRY(read_version(r));
    FR_TRY(read_back(r));
    FR_TRY(fr_new_store_commit(&r->to));
out:
    return st;
}

fr_status fr_restore(struct fr_env *env, const char *path, uint64_t generation, const char *store,
        const struct fr_backup_options *how, struct fr_backup_info *ret_info)
{
    struct restore r = {.env = env};
    fr_status st;

    FR_TRY(fr_copier_init(&r.copier, env, how));
    FR_TRY(fr_backup_set_open(&r.set, env, path));
    FR_TRY(load(&r, generation));
    FR_TRY(run(&r, store));
    fr_backup_list_tell(&r.from.list, ret_info);
    ret_info->copied_count = r.from.list.file_count;
    ret_info->copied_bytes = r.from.list.file_bytes;
out:
    fr_new_store_end(&r.to);
    fr_backup_set_close(&r.set);
    fr_backup_loaded_deinit(&r.from);
    fr_copier_deinit(&r.copier);
    return st;
}
