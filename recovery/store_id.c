#include "recovery/store_id.h"

#include <string.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "io/dir.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"
#include "wal/file_name.h"

/* Both kinds have magic and file id at the same places, and their checksums at different ones. */
static bool take_header(enum fr_file_kind kind, const uint8_t *header, uint8_t *store)
{
    bool table = kind == FR_FILE_TABLE;
    size_t crc_at = table ? FR_TABLE_HEADER_SIZE - 4 : 40;

    if (fr_get_u64(header) != (table ? FR_TABLE_MAGIC : FR_VALUE_MAGIC)) return false;
    if (fr_get_u32(header + crc_at) != fr_crc32c_mask(fr_crc32c(0, header, crc_at))) return false;
    memcpy(store, header + 16, FR_STORE_ID_SIZE);
    return true;
}

static bool ask_file(struct fr_dir *dir, const char *name, uint8_t *store)
{
    uint8_t header[FR_TABLE_HEADER_SIZE];
    struct fr_file *file;
    enum fr_file_kind kind;
    uint64_t number;

    if (!fr_file_name_parse(name, &kind, &number)) return false;
    if (kind != FR_FILE_TABLE && kind != FR_FILE_VALUES) return false;
    if (fr_file_open(dir, name, 0, &file) < 0) return false;
    bool found = fr_file_read_exact(file, 0, header, sizeof(header)) == FR_OK &&
                 take_header(kind, header, store);
    fr_file_close(file);
    return found;
}

fr_status fr_store_id_guess(struct fr_dir *dir, uint8_t ret_store[FR_STORE_ID_SIZE])
{
    struct fr_dir_names names = {0};
    bool found = false;

    fr_status st = fr_dir_list(dir, &names);
    if (st < 0) return st;
    memset(ret_store, 0, FR_STORE_ID_SIZE);
    for (size_t i = 0; i < names.count && !found; i++)
        found = ask_file(dir, names.names[i], ret_store);
    fr_dir_names_deinit(&names);
    return FR_OK;
}

fr_status fr_store_check(struct fr_dir *dir)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    bool ours = false;
    fr_status st;

    FR_TRY(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count; i++)
        ours |= fr_file_name_parse(names.names[i], &kind, &number) && kind != FR_FILE_LOCK;
    if (!ours) st = FR_FAIL(FR_ERR_MISSING, "%s: there is no store", fr_dir_path(dir));
out:
    fr_dir_names_deinit(&names);
    return st;
}
