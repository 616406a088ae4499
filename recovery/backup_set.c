#include "recovery/backup_set.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "io/env.h"
#include "recovery/copier.h"

#define FILES "files"
#define LOCK  "LOCK"

/* --- Opening --- */

static bool ends_with(const char *name, const char *ending)
{
    size_t size = strlen(name), wanted = strlen(ending);

    return size > wanted && strcmp(name + size - wanted, ending) == 0;
}

/* A list, or one that was being written. */
static bool is_list(const char *name, uint64_t *ret_generation)
{
    char stem[FR_BACKUP_NAME_SIZE];
    size_t size = strlen(name);

    if (!ends_with(name, ".tmp")) return fr_backup_list_name_parse(name, ret_generation);
    if (size - 4 >= sizeof(stem)) return false;
    memcpy(stem, name, size - 4);
    stem[size - 4] = '\0';
    return fr_backup_list_name_parse(stem, ret_generation);
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

/* A directory in which there is anything else, and no list, is not ours to write in. */
static fr_status find_generations(struct fr_backup_set *set)
{
    struct fr_dir_names names = {0};
    const char *stranger = NULL;
    uint64_t generation;
    fr_status st;

    FR_TRY(fr_dir_list(set->dir, &names));
    set->generations = fr_alloc((names.count + 1) * sizeof(*set->generations));
    if (set->generations == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory to list it", fr_dir_path(set->dir));
        goto out;
    }
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.names[i];
        if (strcmp(name, FILES) == 0 || strcmp(name, LOCK) == 0) continue;
        if (!is_list(name, &generation))
            stranger = name;
        else if (!ends_with(name, ".tmp"))
            set->generations[set->count++] = generation;
    }
    qsort(set->generations, set->count, sizeof(*set->generations), compare_numbers);
    if (set->count == 0 && stranger != NULL)
        st = FR_FAIL(FR_ERR_FOREIGN, "%s/%s: is no part of a backup", fr_dir_path(set->dir),
                stranger);
out:
    fr_dir_names_deinit(&names);
    return st;
}

fr_status fr_backup_set_open(struct fr_backup_set *set, struct fr_env *env, const char *path)
{
    struct fr_file_info info;
    fr_status st;

    set->env = env;
    FR_TRY(fr_dir_open(env, path, 0, &set->dir));
    FR_TRY(find_generations(set));
    FR_TRY(fr_dir_stat(set->dir, FILES, &info));
    if (st == FR_OK) FR_TRY(fr_dir_open_in(set->dir, FILES, 0, &set->files));
    st = FR_OK;
out:
    return st;
}

fr_status fr_backup_set_create(struct fr_backup_set *set, struct fr_env *env, const char *path)
{
    fr_status st;

    set->env = env;
    FR_TRY(fr_dir_open(env, path, FR_DIR_CREATE, &set->dir));
    FR_TRY(find_generations(set));
    FR_TRY(fr_dir_lock(set->dir, LOCK, &set->lock));
    fr_free(FR_TAKE(set->generations));
    set->count = 0;
    FR_TRY(find_generations(set)); /* whoever had the lock before may have changed them */
    FR_TRY(fr_dir_make(set->dir, FILES));
    FR_TRY(fr_dir_open_in(set->dir, FILES, 0, &set->files));
out:
    return st;
}

void fr_backup_set_close(struct fr_backup_set *set)
{
    fr_free(set->generations);
    fr_dir_unlock(set->lock);
    fr_dir_close(set->files);
    fr_dir_close(set->dir);
    *set = (struct fr_backup_set){0};
}

bool fr_backup_set_has(const struct fr_backup_set *set, uint64_t generation)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->generations[i] == generation) return true;
    return false;
}

/* --- Lists --- */

static fr_status read_list(struct fr_file *file, struct fr_buf *to)
{
    struct fr_file_info info;
    uint8_t *data = NULL;
    fr_status st;

    FR_TRY(fr_file_info_get(file, &info));
    if (info.size > FR_BACKUP_LIST_SIZE_MAX)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: is %" PRIu64 " bytes, too long for a list",
                fr_file_path(file), info.size);
    data = fr_buf_extend(to, (size_t)info.size);
    if (data == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", fr_file_path(file));
    FR_TRY(fr_file_read_exact(file, 0, data, (size_t)info.size));
out:
    return st;
}

fr_status fr_backup_set_load(struct fr_backup_set *set, uint64_t generation,
        struct fr_backup_loaded *loaded)
{
    char name[FR_BACKUP_NAME_SIZE];
    struct fr_file *file = NULL;
    fr_status st;

    fr_backup_list_name(generation, name);
    FR_TRY(fr_file_open(set->dir, name, 0, &file));
    FR_TRY(read_list(file, &loaded->bytes));
    FR_TRY(fr_backup_list_get(fr_buf_slice(&loaded->bytes), fr_file_path(file), &loaded->list));
    if (loaded->list.generation != generation)
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: is the list of generation %" PRIu64, fr_file_path(file),
                loaded->list.generation);
out:
    fr_file_close(file);
    return st;
}

void fr_backup_loaded_deinit(struct fr_backup_loaded *loaded)
{
    fr_buf_deinit(&loaded->bytes);
    *loaded = (struct fr_backup_loaded){0};
}

void fr_backup_list_tell(const struct fr_backup_list *list, struct fr_backup_info *ret_info)
{
    *ret_info = (struct fr_backup_info){.size = sizeof(*ret_info),
            .generation = list->generation,
            .created_us = list->created_us,
            .last_seq = list->last_seq,
            .file_count = list->file_count,
            .file_bytes = list->file_bytes};
}

/* A list that cannot be read is told like any other; what fails for another reason fails. */
fr_status fr_backup_set_next(struct fr_backup_set *set, uint64_t after,
        struct fr_backup_info *ret_info)
{
    struct fr_backup_loaded loaded = {0};
    size_t i = 0;

    while (i < set->count && set->generations[i] <= after)
        i++;
    if (i == set->count) return FR_END;
    fr_status st = fr_backup_set_load(set, set->generations[i], &loaded);
    if (st == FR_OK) {
        fr_backup_list_tell(&loaded.list, ret_info);
    } else if (st == FR_ERR_CORRUPT || st == FR_ERR_FOREIGN || st == FR_ERR_TOO_NEW) {
        *ret_info = (struct fr_backup_info){
                .size = sizeof(*ret_info), .generation = set->generations[i], .status = st};
        st = FR_OK;
    }
    fr_backup_loaded_deinit(&loaded);
    return st;
}

/* --- Checking --- */

static fr_status check_files(struct fr_backup_set *set, const struct fr_backup_list *list,
        struct fr_copier *copier)
{
    char name[FR_BACKUP_NAME_SIZE];
    fr_status st = FR_OK;

    if (set->files == NULL && list->file_count > 0)
        return FR_FAIL(FR_ERR_MISSING, "%s/" FILES ": is not there", fr_dir_path(set->dir));
    for (uint64_t i = 0; i < list->file_count; i++) {
        struct fr_backup_file file = fr_backup_list_file(list, i);
        fr_backup_file_name(&file, name);
        FR_TRY(fr_copier_compare(copier, set->files, name, &file));
    }
out:
    return st;
}

static fr_status check_one(struct fr_backup_set *set, uint64_t generation, struct fr_copier *copier)
{
    struct fr_backup_loaded loaded = {0};
    fr_status st;

    FR_TRY(fr_backup_set_load(set, generation, &loaded));
    copier->total_bytes += loaded.list.file_bytes;
    FR_TRY(check_files(set, &loaded.list, copier));
out:
    fr_backup_loaded_deinit(&loaded);
    return st;
}

fr_status fr_backup_set_check(struct fr_backup_set *set, uint64_t generation,
        const struct fr_backup_options *how)
{
    struct fr_copier copier;
    fr_status st;

    FR_TRY(fr_copier_init(&copier, set->env, how));
    if (generation != 0)
        FR_TRY(check_one(set, generation, &copier));
    else
        for (size_t i = 0; i < set->count; i++)
            FR_TRY(check_one(set, set->generations[i], &copier));
out:
    fr_copier_deinit(&copier);
    return st;
}

/* --- Removing --- */

/* The names of files that are needed, in order. */
struct needed {
    char (*names)[FR_BACKUP_NAME_SIZE];
    size_t count;
    size_t capacity;
};

static fr_status need(struct needed *needed, const struct fr_backup_file *file)
{
    if (needed->count == needed->capacity) {
        size_t capacity = FR_MAX(needed->capacity * 2, (size_t)64);
        void *grown = fr_realloc(needed->names, capacity * sizeof(*needed->names));
        if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the names of files");
        needed->names = grown;
        needed->capacity = capacity;
    }
    fr_backup_file_name(file, needed->names[needed->count++]);
    return FR_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static bool is_needed(const struct needed *needed, const char *name)
{
    char key[FR_BACKUP_NAME_SIZE];

    if (strlen(name) >= sizeof(key)) return false;
    (void)snprintf(key, sizeof(key), "%s", name);
    return needed->count > 0 &&
           bsearch(key, needed->names, needed->count, sizeof(key), compare_names) != NULL;
}

/* All that the generations need but one; 0 for none. */
static fr_status gather(struct fr_backup_set *set, uint64_t without, struct needed *needed)
{
    struct fr_backup_loaded loaded = {0};
    fr_status st = FR_OK;

    for (size_t i = 0; i < set->count; i++) {
        if (set->generations[i] == without) continue;
        FR_TRY(fr_backup_set_load(set, set->generations[i], &loaded));
        for (uint64_t k = 0; k < loaded.list.file_count; k++) {
            struct fr_backup_file file = fr_backup_list_file(&loaded.list, k);
            FR_TRY(need(needed, &file));
        }
        fr_backup_loaded_deinit(&loaded);
    }
    if (needed->count > 0)
        qsort(needed->names, needed->count, sizeof(*needed->names), compare_names);
out:
    fr_backup_loaded_deinit(&loaded);
    return st;
}

/* What has a name of ours; strangers are left alone. */
static bool is_file(const char *name)
{
    size_t size = strlen(name), digits = strspn(name, "0123456789abcdef");

    if (digits != (size_t)2 * FR_BACKUP_HASH_SIZE || size >= FR_BACKUP_NAME_SIZE + 5) return false;
    name += digits;
    return strcmp(name, ".table") == 0 || strcmp(name, ".values") == 0 ||
           strcmp(name, ".table.part") == 0 || strcmp(name, ".values.part") == 0;
}

static fr_status remove_unneeded(struct fr_backup_set *set, const struct needed *needed,
        uint64_t *ret_freed_bytes)
{
    struct fr_dir_names names = {0};
    struct fr_file_info info;
    fr_status st;

    FR_TRY(fr_dir_list(set->files, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (!is_file(names.names[i]) || is_needed(needed, names.names[i])) continue;
        FR_TRY(fr_dir_stat(set->files, names.names[i], &info));
        if (st == FR_OK) *ret_freed_bytes += info.size;
        FR_TRY(fr_dir_unlink(set->files, names.names[i]));
    }
    FR_TRY(fr_dir_sync(set->files));
out:
    fr_dir_names_deinit(&names);
    return st;
}

/* Lists that a crash has left half written: none of them has its name. */
static fr_status remove_half_lists(struct fr_backup_set *set)
{
    struct fr_dir_names names = {0};
    uint64_t generation;
    fr_status st;

    FR_TRY(fr_dir_list(set->dir, &names));
    for (size_t i = 0; i < names.count; i++)
        if (ends_with(names.names[i], ".tmp") && is_list(names.names[i], &generation))
            FR_TRY(fr_dir_unlink(set->dir, names.names[i]));
    st = FR_OK;
out:
    fr_dir_names_deinit(&names);
    return st;
}

fr_status fr_backup_set_sweep(struct fr_backup_set *set, uint64_t *ret_freed_bytes)
{
    struct needed needed = {0};
    fr_status st;

    *ret_freed_bytes = 0;
    FR_TRY(gather(set, 0, &needed));
    FR_TRY(remove_half_lists(set));
    FR_TRY(remove_unneeded(set, &needed, ret_freed_bytes));
out:
    fr_free(needed.names);
    return st;
}

/* The list goes first, and durably so: a list that is there never lacks a file. */
static fr_status drop_list(struct fr_backup_set *set, uint64_t generation)
{
    char name[FR_BACKUP_NAME_SIZE];
    fr_status st;

    fr_backup_list_name(generation, name);
    FR_TRY(fr_dir_unlink(set->dir, name));
    FR_TRY(fr_dir_sync(set->dir));
out:
    return st;
}

fr_status fr_backup_set_drop(struct fr_backup_set *set, uint64_t generation,
        uint64_t *ret_freed_bytes)
{
    struct needed needed = {0};
    fr_status st;

    *ret_freed_bytes = 0;
    if (!fr_backup_set_has(set, generation)) return FR_NOT_FOUND;
    if (set->generations[set->count - 1] == generation)
        return FR_FAIL(FR_ERR_MISUSE, "%s: generation %" PRIu64 " is the newest, and stays",
                fr_dir_path(set->dir), generation);
    FR_TRY(gather(set, generation, &needed));
    FR_TRY(drop_list(set, generation));
    FR_TRY(remove_unneeded(set, &needed, ret_freed_bytes));
out:
    fr_free(needed.names);
    return st;
}
