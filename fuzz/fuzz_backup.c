/*
 * fuzz_backup.c - a backup's list of anything: refused, or read, and written again as it was.
 *
 * The input is a byte of flags and a list. The flags ask for a right hash at its end (1), for magic
 * and version (2), and for sizes that fit (4): how many files are said decides where the edit is.
 */
#include "base/alloc.h"
#include "base/coding.h"
#include "fuzz/fuzz.h"
#include "recovery/backup_format.h"

#define FILES_MAX 4096

static void mend(uint8_t *list, size_t size, unsigned flags)
{
    struct fr_hash128_state state;

    if (size < FR_BACKUP_HEADER_SIZE + FR_BACKUP_HASH_SIZE) return;
    if (flags & 2) {
        fr_put_u64(list, FR_BACKUP_MAGIC);
        fr_put_u32(list + 8, FR_BACKUP_VERSION);
        fr_put_u32(list + 12, 0);
    }
    if (flags & 4) {
        uint64_t room = size - FR_BACKUP_HEADER_SIZE - FR_BACKUP_HASH_SIZE;
        uint64_t count = fr_get_u64(list + 64) % (room / FR_BACKUP_FILE_SIZE + 1);
        fr_put_u64(list + 64, count);
        fr_put_u64(list + 72, room - count * FR_BACKUP_FILE_SIZE);
        fr_put_u64(list + 80, size);
    }
    if ((flags & 1) == 0) return;
    fr_hash128_init(&state);
    fr_hash128_add(&state, list, size - FR_BACKUP_HASH_SIZE);
    struct fr_hash128 hash = fr_hash128_get(&state);
    fr_put_u64(list + size - 16, hash.low);
    fr_put_u64(list + size - 8, hash.high);
}

/* There is one way to write a list. */
static void check_again(const struct fr_backup_list *list, fr_slice bytes)
{
    static struct fr_backup_file files[FILES_MAX];
    struct fr_buf again = FR_BUF_EMPTY;
    uint64_t sum = 0;

    if (list->file_count > FILES_MAX) return;
    for (uint64_t i = 0; i < list->file_count; i++) {
        files[i] = fr_backup_list_file(list, i);
        FUZZ_CHECK(files[i].number < list->next_number);
        sum += files[i].size;
    }
    FUZZ_CHECK(sum == list->file_bytes);
    fr_backup_list_put(list, files, list->edit, &again);
    FUZZ_CHECK(fr_buf_status(&again) == FR_OK);
    FUZZ_CHECK(fr_slice_equal(fr_buf_slice(&again), bytes));
    fr_buf_deinit(&again);
}

/* What is taken for the name of a list is the name that it gets. */
static void check_name(const uint8_t *data, size_t size)
{
    char name[FR_BACKUP_NAME_SIZE] = "", again[FR_BACKUP_NAME_SIZE];
    uint64_t generation;

    memcpy(name, data, FR_MIN(size, sizeof(name) - 1));
    if (!fr_backup_list_name_parse(name, &generation)) return;
    fr_backup_list_name(generation, again);
    FUZZ_CHECK(strcmp(name, again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_backup_list list;

    check_name(data, size);
    if (size == 0) return 0;
    fr_buf_append(&bytes, data + 1, size - 1);
    FUZZ_CHECK(fr_buf_status(&bytes) == FR_OK);
    if (size > 1) mend(bytes.data, bytes.size, data[0]);
    fr_status st = fr_backup_list_get(fr_buf_slice(&bytes), "list", &list);
    FUZZ_CHECK(st == FR_OK || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW || st == FR_ERR_FOREIGN);
    if (st == FR_OK) check_again(&list, fr_buf_slice(&bytes));
    fr_buf_deinit(&bytes);
    return 0;
}
