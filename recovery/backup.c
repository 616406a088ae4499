/*
 * backup.c - one more generation.
 *
 *     moment              a version of the store, held, so that its files stay
 *     each of its files   FILE.part, synced, renamed to its hash; unless that is there already
 *     names               the directory of files is synced: now all of it is there to stay
 *     list                written beside, synced, renamed, synced (fr_dir_replace)
 *     sweep               what no list needs: of attempts that a crash has ended
 *
 * Nothing that an older generation needs is written or removed, so a crash at any point leaves
 * those as they were. What an attempt has copied is found by the next one, under its hash.
 */
#include "recovery/backup.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine.h"
#include "recovery/backup_set.h"
#include "recovery/copier.h"

struct backup {
    struct fr_engine *engine;
    struct fr_backup_set set;
    struct fr_engine_moment moment;
    struct fr_copier copier;
    struct fr_backup_file *files;
    uint64_t file_count;
    uint64_t copied_count;
    uint64_t copied_bytes;
};

/* --- Which files --- */

static void add_file(struct backup *b, enum fr_backup_kind kind, uint64_t number, uint64_t size,
        const uint8_t *hash)
{
    b->files[b->file_count++] = (struct fr_backup_file){
            .kind = kind,
            .number = number,
            .size = size,
            .hash = {.low = fr_get_u64(hash), .high = fr_get_u64(hash + 8)},
    };
    b->copier.total_bytes += size;
}

static int compare_files(const void *a, const void *b)
{
    const struct fr_backup_file *left = a, *right = b;

    if (left->kind != right->kind) return left->kind < right->kind ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

static fr_status choose_files(struct backup *b)
{
    const struct fr_version *version = b->moment.version;
    size_t count = version->values_count;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        count += version->levels[level].count;
    b->files = fr_alloc_zeroed(count + 1, sizeof(*b->files));
    if (b->files == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a list of %zu files", count);
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &version->levels[level].tables[i]->meta;
            add_file(b, FR_BACKUP_TABLE, meta->number, meta->size, meta->hash);
        }
    for (size_t i = 0; i < version->values_count; i++) {
        const struct fr_edit_values *meta = &version->values[i]->meta;
        add_file(b, FR_BACKUP_VALUES, meta->number, meta->size, meta->hash);
    }
    qsort(b->files, b->file_count, sizeof(*b->files), compare_files);
    return FR_OK;
}

/* --- Taking them --- */

/* Whether the backup has it already. What is damaged there is as good as not there. */
static fr_status look(struct backup *b, const char *name, const struct fr_backup_file *file,
        bool *ret_there)
{
    struct fr_file_info info;
    fr_status st;

    *ret_there = false;
    FR_TRY(fr_dir_stat(b->set.files, name, &info));
    if (st == FR_NOT_FOUND || info.size != file->size) return FR_OK;
    if (!b->copier.how.reread) {
        *ret_there = true;
        return fr_copier_skip(&b->copier, file);
    }
    uint64_t done = b->copier.done_bytes;
    st = fr_copier_compare(&b->copier, b->set.files, name, file);
    *ret_there = st == FR_OK;
    if (st != FR_ERR_CORRUPT) return st;
    FR_COVER("backup: a damaged file is copied anew");
    fr_log(FR_LOG_WARN, "recovery", "%s; it is copied anew", fr_last_error());
    b->copier.done_bytes = done;
    st = FR_OK;
out:
    return st;
}

static fr_status copy(struct backup *b, const char *store_name, const char *name,
        const struct fr_backup_file *file)
{
    char part[FR_BACKUP_NAME_SIZE + 8];
    fr_status st;

    (void)snprintf(part, sizeof(part), "%s.part", name);
    FR_TRY(fr_dir_unlink(b->set.files, part));
    st = fr_copier_copy(&b->copier, fr_engine_dir(b->engine), store_name, b->set.files, part, file);
    if (st >= 0) st = fr_dir_rename(b->set.files, part, name);
    if (st >= 0) {
        b->copied_count++;
        b->copied_bytes += file->size;
        return FR_OK;
    }
    /* A full disk is no place for leftovers. The first error is the one to tell. */
    struct fr_error error = {.size = sizeof(error)};
    fr_error_save(&error);
    (void)!fr_dir_unlink(b->set.files, part);
    return fr_error_restore(&error);
out:
    return st;
}

static fr_status take_file(struct backup *b, struct fr_backup_file *file)
{
    char store_name[FR_FILE_NAME_SIZE], name[FR_BACKUP_NAME_SIZE];
    bool there;
    fr_status st;

    fr_file_name_format(fr_backup_file_kind(file->kind), file->number, store_name);
    fr_backup_file_name(file, name);
    FR_TRY(fr_copier_read_footer(fr_engine_dir(b->engine), store_name, file));
    FR_TRY(look(b, name, file, &there));
    if (!there) FR_TRY(copy(b, store_name, name, file));
out:
    return st;
}

static fr_status take_files(struct backup *b)
{
    fr_status st;

    for (uint64_t i = 0; i < b->file_count; i++)
        FR_TRY(take_file(b, &b->files[i]));
    FR_TRY(fr_dir_sync(b->set.files)); /* also what an earlier attempt has left unsynced */
out:
    return st;
}

/* --- The list --- */

/* The generation is above all that are there; their store is this one. */
static fr_status choose_generation(struct backup *b, uint64_t *ret_generation)
{
    struct fr_backup_loaded loaded = {0};
    fr_status st = FR_OK;

    *ret_generation = b->set.count == 0 ? 1 : b->set.generations[b->set.count - 1] + 1;
    for (size_t i = b->set.count; i-- > 0;) {
        st = fr_backup_set_load(&b->set, b->set.generations[i], &loaded);
        if (st == FR_OK && memcmp(loaded.list.store, b->moment.store, FR_STORE_ID_SIZE) != 0)
            st = FR_FAIL(FR_ERR_FOREIGN, "%s: is the backup of another store",
                    fr_dir_path(b->set.dir));
        else if (st == FR_ERR_CORRUPT) /* the one before may tell */
            fr_log(FR_LOG_WARN, "recovery", "%s", fr_last_error());
        fr_backup_loaded_deinit(&loaded);
        if (st != FR_ERR_CORRUPT) return st;
    }
    return FR_OK;
}

static fr_status write_list(struct backup *b, struct fr_backup_list *list)
{
    struct fr_buf edit = FR_BUF_EMPTY, bytes = FR_BUF_EMPTY;
    char name[FR_BACKUP_NAME_SIZE];
    fr_status st;

    fr_version_encode(b->moment.version, &edit);
    FR_TRY(fr_buf_status(&edit));
    memcpy(list->store, b->moment.store, FR_STORE_ID_SIZE);
    list->created_us = fr_env_wall_us(b->set.env);
    list->last_seq = b->moment.last_seq;
    list->next_number = b->moment.next_number;
    list->file_count = b->file_count;
    list->file_bytes = b->copier.total_bytes;
    fr_backup_list_put(list, b->files, fr_buf_slice(&edit), &bytes);
    FR_TRY(fr_buf_status(&bytes));
    /* What cannot be read back must not be called a backup. */
    struct fr_backup_list again;
    FR_TRY(fr_backup_list_get(fr_buf_slice(&bytes), fr_dir_path(b->set.dir), &again));
    fr_backup_list_name(list->generation, name);
    FR_TRY(fr_dir_replace(b->set.dir, name, fr_buf_slice(&bytes)));
out:
    fr_buf_deinit(&edit);
    fr_buf_deinit(&bytes);
    return st;
}

/* The generation is there, so what fails now is no failure of it. */
static void sweep(struct backup *b, uint64_t generation)
{
    uint64_t freed;

    b->set.generations[b->set.count++] = generation; /* there is room for one more */
    if (fr_backup_set_sweep(&b->set, &freed) < 0)
        fr_log(FR_LOG_WARN, "recovery", "%s; nothing is removed", fr_last_error());
}

static fr_status run(struct backup *b, struct fr_backup_info *ret_info)
{
    struct fr_backup_list list = {0};
    fr_status st;

    FR_TRY(choose_generation(b, &list.generation));
    FR_TRY(choose_files(b));
    FR_TRY(take_files(b));
    FR_TRY(write_list(b, &list));
    sweep(b, list.generation);
    fr_backup_list_tell(&list, ret_info);
    ret_info->copied_count = b->copied_count;
    ret_info->copied_bytes = b->copied_bytes;
out:
    return st;
}

fr_status fr_backup_make(struct fr_engine *engine, const char *path,
        const struct fr_backup_options *how, struct fr_backup_info *ret_info)
{
    struct backup b = {.engine = engine};
    struct fr_env *env = fr_engine_env(engine);
    fr_status st;

    FR_TRY(fr_copier_init(&b.copier, env, how));
    FR_TRY(fr_backup_set_create(&b.set, env, path));
    FR_TRY(fr_engine_moment_take(engine, &b.moment));
    FR_TRY(run(&b, ret_info));
out:
    fr_engine_moment_release(&b.moment);
    fr_backup_set_close(&b.set);
    fr_copier_deinit(&b.copier);
    fr_free(b.files);
    return st;
}
