/* backup_format_test.c - what a list says, and what is not taken for one. */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

#include "lsm/edit_format.h"
#include "recovery/backup_format.h"

static struct fr_buf bytes;
static const struct fr_backup_file files[] = {
        {.kind = FR_BACKUP_TABLE, .footer_crc = 5, .number = 7, .size = 4000, .hash = {1, 2}},
        {.kind = FR_BACKUP_VALUES, .footer_crc = 6, .number = 4, .size = 9000, .hash = {3, 4}},
};

static void put_edit(struct fr_buf *edit, uint64_t table_size)
{
    struct fr_value_ref ref = {.file = 4, .bytes = 1000, .count = 3};
    struct fr_edit_values values = {
            .number = 4, .size = 9000, .value_bytes = 1000, .value_count = 3};
    struct fr_edit_table table = {.number = 7,
            .size = table_size,
            .smallest = fr_slice_of_text("a"),
            .largest = fr_slice_of_text("z"),
            .smallest_seq = 1,
            .largest_seq = 90,
            .entry_count = 10,
            .refs = &ref,
            .ref_count = 1};

    fr_put_u64(table.hash, 1), fr_put_u64(table.hash + 8, 2);
    fr_put_u64(values.hash, 3), fr_put_u64(values.hash + 8, 4);
    fr_edit_put_reset(edit);
    fr_edit_put_add_values(edit, &values);
    fr_edit_put_add_table(edit, 1, &table);
}

static void make(uint64_t table_size, uint64_t file_count)
{
    struct fr_backup_list list = {.store = "0123456789abcde",
            .generation = 3,
            .created_us = 11,
            .last_seq = 90,
            .next_number = 8,
            .file_count = file_count};
    struct fr_buf edit = FR_BUF_EMPTY;

    fr_buf_clear(&bytes);
    put_edit(&edit, table_size);
    fr_backup_list_put(&list, files, fr_buf_slice(&edit), &bytes);
    cr_assert_eq(fr_buf_status(&bytes), FR_OK);
    fr_buf_deinit(&edit);
}

static fr_status get(struct fr_backup_list *list)
{
    return fr_backup_list_get(fr_buf_slice(&bytes), "list", list);
}

static void tear_down(void)
{
    fr_buf_deinit(&bytes);
}

TestSuite(backup_format, .fini = tear_down);

Test(backup_format, a_list_comes_back_as_it_was)
{
    struct fr_backup_list list;

    make(4000, 2);
    cr_assert_eq(get(&list), FR_OK, "%s", fr_last_error());
    cr_assert_eq(list.generation, 3);
    cr_assert_eq(list.last_seq, 90);
    cr_assert_eq(list.next_number, 8);
    cr_assert_eq(list.file_count, 2);
    cr_assert_eq(list.file_bytes, 13000);
    for (unsigned i = 0; i < 2; i++) {
        struct fr_backup_file file = fr_backup_list_file(&list, i);
        cr_assert_eq(file.kind, files[i].kind);
        cr_assert_eq(file.footer_crc, files[i].footer_crc);
        cr_assert_eq(file.number, files[i].number);
        cr_assert_eq(file.size, files[i].size);
        cr_assert(fr_hash128_equal(file.hash, files[i].hash));
    }
}

Test(backup_format, a_list_with_any_byte_changed_or_cut_off_is_refused)
{
    struct fr_backup_list list;

    make(4000, 2);
    for (size_t i = 0; i < bytes.size; i++)
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            bytes.data[i] ^= (uint8_t)bit;
            cr_assert_lt(get(&list), 0, "byte %zu", i);
            bytes.data[i] ^= (uint8_t)bit;
        }
    cr_assert_eq(get(&list), FR_OK);
    while (bytes.size > 0) {
        bytes.size--;
        cr_assert_lt(get(&list), 0, "%zu bytes", bytes.size);
    }
}

Test(backup_format, a_version_with_other_files_than_the_list_is_refused)
{
    struct fr_backup_list list;

    make(4001, 2);
    cr_assert_eq(get(&list), FR_ERR_CORRUPT);
    make(4000, 1);
    cr_assert_eq(get(&list), FR_ERR_CORRUPT);
}

Test(backup_format, names_are_read_as_they_are_written)
{
    static const char *const wrong[] = {"", "1.backup", "0000001.backup", "000000.backup",
            "000001.backup.tmp", "000001.Backup", "x00001.backup",
            "99999999999999999999999.backup"};
    char name[FR_BACKUP_NAME_SIZE];
    uint64_t generation;

    for (uint64_t n = 1; n < UINT64_MAX / 10; n *= 10) {
        fr_backup_list_name(n, name);
        cr_assert(fr_backup_list_name_parse(name, &generation) && generation == n, "%s", name);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_not(fr_backup_list_name_parse(wrong[i], &generation), "%s", wrong[i]);
    fr_backup_file_name(&files[1], name);
    cr_assert_str_eq(name, "00000000000000040000000000000003.values");
}
