/* dump_backup.c - a list of a backup: whose it is, its files, and the version that they make up. */
#include <inttypes.h>

#include "io/file.h"
#include "recovery/backup_format.h"
#include "tools/dump.h"

static void tell_header(struct fr_dump *d, const struct fr_backup_list *list, fr_slice bytes)
{
    fr_dump_begin(d, 0, "list");
    fr_dump_id(d, "store", list->store, FR_STORE_ID_SIZE);
    fr_dump_u64(d, "generation", list->generation);
    fr_dump_u64(d, "created_us", list->created_us);
    fr_dump_u64(d, "last_seq", list->last_seq);
    fr_dump_u64(d, "next_number", list->next_number);
    fr_dump_u64(d, "files", list->file_count);
    fr_dump_end(d, 0, fr_slice_of(bytes.data, FR_BACKUP_HEADER_SIZE));
}

static void tell_file(struct fr_dump *d, const struct fr_backup_list *list, uint64_t index)
{
    uint64_t offset = FR_BACKUP_HEADER_SIZE + index * FR_BACKUP_FILE_SIZE;
    struct fr_backup_file file = fr_backup_list_file(list, index);
    char name[FR_BACKUP_NAME_SIZE];

    fr_backup_file_name(&file, name);
    fr_dump_begin(d, offset, "saved");
    fr_dump_words(d, "kind",
            file.kind == FR_BACKUP_TABLE    ? "table"
            : file.kind == FR_BACKUP_VALUES ? "values"
                                            : "unknown");
    fr_dump_u64(d, "number", file.number);
    fr_dump_u64(d, "size", file.size);
    fr_dump_words(d, "name", name);
    fr_dump_crc(d, "footer_crc", file.footer_crc);
    fr_dump_end(d, offset,
            fr_slice_of(list->files + index * FR_BACKUP_FILE_SIZE, FR_BACKUP_FILE_SIZE));
}

static uint64_t place_in_edit(const void *ctx, size_t at)
{
    const struct fr_backup_list *list = ctx;

    return FR_BACKUP_HEADER_SIZE + list->file_count * FR_BACKUP_FILE_SIZE + at;
}

static void tell_list(struct fr_dump *d, const char *path, const struct fr_backup_list *list,
        fr_slice bytes)
{
    size_t end = bytes.size - FR_BACKUP_HASH_SIZE;

    tell_header(d, list, bytes);
    for (uint64_t i = 0; i < list->file_count && !fr_dump_full(d); i++)
        tell_file(d, list, i);
    fr_dump_edit(d, path, list->edit, place_in_edit, list);
    fr_dump_begin(d, end, "hash");
    fr_dump_id(d, "of_all_before", bytes.data + end, FR_BACKUP_HASH_SIZE);
    fr_dump_end(d, end, fr_slice_of(bytes.data + end, FR_BACKUP_HASH_SIZE));
}

/* What is told is what the list says of itself; whether all of that holds is told before. */
void fr_dump_backup(struct fr_dump *d, struct fr_file *file, uint64_t size)
{
    const char *path = fr_file_path(file);
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_backup_list list;

    if (size > FR_BACKUP_LIST_SIZE_MAX) {
        (void)!FR_FAIL(FR_ERR_LIMIT, "%s: %" PRIu64 " bytes are too many for a list", path, size);
        fr_dump_damage(d, 0);
        return;
    }
    if (fr_dump_read(d, file, 0, size, &bytes)) {
        fr_slice all = fr_buf_slice(&bytes);
        if (fr_backup_list_get(all, path, &list) < 0) fr_dump_damage(d, 0);
        if (fr_backup_list_open(all, path, &list) == FR_OK) tell_list(d, path, &list, all);
    }
    fr_buf_deinit(&bytes);
}
