#include "wal/file_name.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <string.h>

#include "base/compiler.h"

Test(file_name, there_is_one_name_for_each_kind_and_number)
{
    static const struct {
        const char *name;
        enum fr_file_kind kind;
        uint64_t number;
    } cases[] = {
            {"000001.wal", FR_FILE_WAL, 1},
            {"000002.manifest", FR_FILE_MANIFEST, 2},
            {"000003.table", FR_FILE_TABLE, 3},
            {"000004.values", FR_FILE_VALUES, 4},
            {"999999.table", FR_FILE_TABLE, 999999},
            {"1000000.table", FR_FILE_TABLE, 1000000},
            {"18446744073709551615.manifest", FR_FILE_MANIFEST, UINT64_MAX},
            {"SUPER", FR_FILE_SUPER, 0},
            {"LOCK", FR_FILE_LOCK, 0},
    };
    char name[FR_FILE_NAME_SIZE];
    enum fr_file_kind kind;
    uint64_t number;

    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        fr_file_name_format(cases[i].kind, cases[i].number, name);
        cr_assert_str_eq(name, cases[i].name);
        cr_assert(fr_file_name_parse(name, &kind, &number));
        cr_assert_eq(kind, cases[i].kind);
        cr_assert_eq(number, cases[i].number);
    }
}

Test(file_name, what_is_not_written_that_way_is_not_ours)
{
    static const char *const names[] = {"", ".", "1.wal", "00001.wal", "0000001.wal", "000000.wal",
            "000001.WAL", "000001.wal ", " 000001.wal", "000001.wal.tmp", "000001", "000001.",
            ".wal", "+00001.wal", "-00001.wal", "00000a.wal", "0x0001.wal", "000001wal",
            "000001.log", "18446744073709551616.wal", "99999999999999999999.wal",
            "100000000000000000000.wal", "super", "SUPER1", "000001SUPER", "0SUPER", "000001LOCK",
            "LOCK.", "lock"};
    enum fr_file_kind kind;
    uint64_t number;

    for (size_t i = 0; i < FR_ARRAY_COUNT(names); i++)
        cr_assert_not(fr_file_name_parse(names[i], &kind, &number), "%s", names[i]);
}
