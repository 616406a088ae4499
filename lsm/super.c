#include "lsm/super.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "io/file.h"
#include "wal/file_name.h"

/* Both copies of the generation in one write: they stand side by side. */
static fr_status write_slot(struct fr_file *file, const struct fr_super *super)
{
    size_t size = FR_SUPER_COPIES * FR_SUPER_COPY_SIZE;
    uint8_t *slot = fr_alloc_aligned(size, FR_SUPER_COPY_SIZE);
    fr_status st;

    if (slot == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a superblock");
    for (unsigned copy = 0; copy < FR_SUPER_COPIES; copy++)
        fr_super_encode(super, fr_super_offset(super->generation, copy),
                slot + (size_t)copy * FR_SUPER_COPY_SIZE);
    FR_TRY(fr_file_write(file, fr_super_offset(super->generation, 0), slot, size, 0));
    FR_TRY(fr_file_sync(file));
out:
    fr_free(slot);
    return st;
}

fr_status fr_super_create(struct fr_dir *dir, const struct fr_super *super)
{
    char name[FR_FILE_NAME_SIZE], beside[FR_FILE_NAME_SIZE + 4];
    struct fr_file *file = NULL;
    struct fr_file_info info;
    fr_status st;

    fr_file_name_format(FR_FILE_SUPER, 0, name);
    snprintf(beside, sizeof(beside), "%s.tmp", name);
    FR_TRY(fr_dir_stat(dir, name, &info));
    if (st == FR_OK) return FR_FAIL(FR_ERR_EXISTS, "%s: there is a store", fr_dir_path(dir));
    FR_TRY(fr_dir_unlink(dir, beside));
    FR_TRY(fr_file_open(dir, beside, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    FR_TRY(fr_file_prewrite(file, 0, FR_SUPER_FILE_SIZE));
    FR_TRY(write_slot(file, super));
    FR_TRY(fr_dir_rename(dir, beside, name));
    FR_TRY(fr_dir_sync(dir));
out:
    fr_file_close(file);
    return st;
}

/*
 * One copy, if it is whole and newer than the best so far. One that cannot be read is as good as a
 * damaged one: that is what there are copies for. *unread has the last such failure.
 */
static fr_status consider(struct fr_file *file, uint64_t offset, struct fr_super *best,
        bool *ret_found, struct fr_error *unread)
{
    uint8_t *bytes = fr_alloc(FR_SUPER_COPY_SIZE);
    struct fr_super super = {0};
    fr_status st;

    if (bytes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a superblock");
    st = fr_file_read_exact(file, offset, bytes, FR_SUPER_COPY_SIZE);
    if (st == FR_ERR_IO) fr_error_save(unread);
    if (st == FR_OK) st = fr_super_decode(bytes, offset, &super);
    fr_free(bytes);
    if (st == FR_ERR_IO) return FR_OK;
    if (st == FR_ERR_CORRUPT) return FR_OK; /* the other copies decide */
    if (st == FR_ERR_TOO_NEW)
        return FR_FAIL(st, "%s: the superblock at %" PRIu64 " is of a later version",
                fr_file_path(file), offset);
    if (st < 0) return st;
    if (*ret_found && best->generation >= super.generation) return FR_OK;
    *best = super;
    *ret_found = true;
    return FR_OK;
}

fr_status fr_super_read(struct fr_dir *dir, struct fr_super *ret_super)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file = NULL;
    struct fr_error unread = {.size = sizeof(unread)};
    struct fr_super best = {0};
    bool found = false;
    fr_status st;

    fr_file_name_format(FR_FILE_SUPER, 0, name);
    FR_TRY(fr_file_open(dir, name, 0, &file));
    for (uint64_t generation = 0; generation < 2; generation++)
        for (unsigned copy = 0; copy < FR_SUPER_COPIES; copy++)
            FR_TRY(consider(file, fr_super_offset(generation, copy), &best, &found, &unread));
    if (!found && unread.status != FR_OK) {
        st = fr_error_restore(&unread);
        goto out;
    }
    if (!found) {
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: no whole superblock at 0, 4096, 65536 or 69632",
                fr_file_path(file));
        goto out;
    }
    *ret_super = best;
out:
    fr_file_close(file);
    return st;
}

fr_status fr_super_change(struct fr_dir *dir, struct fr_super *super)
{
    struct fr_super next = *super;
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file = NULL;
    fr_status st;

    next.generation++;
    fr_file_name_format(FR_FILE_SUPER, 0, name);
    FR_TRY(fr_file_open(dir, name, FR_OPEN_WRITE, &file));
    FR_TRY(write_slot(file, &next));
    *super = next;
out:
    fr_file_close(file);
    return st;
}
