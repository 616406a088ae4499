#include "tools/mount_info.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/compiler.h"

static struct fr_mount_info info;
static unsigned major_number, minor_number;

static bool parses(const char *line)
{
    return fr_mount_info_parse(line, &major_number, &minor_number, &info);
}

static void is(const char *type, const char *source, const char *options)
{
    cr_assert_str_eq(info.type, type);
    cr_assert_str_eq(info.source, source);
    cr_assert_str_eq(info.options, options);
}

Test(mount_info, reads_the_example_of_the_manual)
{
    cr_assert(parses(
            "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"));
    cr_assert_eq(major_number, 98);
    cr_assert_eq(minor_number, 0);
    is("ext3", "/dev/root", "rw,noatime,rw,errors=continue");
}

Test(mount_info, reads_lines_with_any_number_of_optional_fields)
{
    cr_assert(parses("24 1 259:2 / / rw,relatime - ext4 /dev/nvme0n1p2 rw\n"));
    is("ext4", "/dev/nvme0n1p2", "rw,relatime,rw");
    cr_assert(parses(
            "25 24 0:22 / /sys rw shared:7 master:2 propagate_from:3 unbindable - sysfs sysfs rw"));
    is("sysfs", "sysfs", "rw,rw");
    cr_assert_eq(minor_number, 22);
}

Test(mount_info, leaves_escaped_blanks_as_the_kernel_wrote_them)
{
    cr_assert(parses(
            "40 24 8:1 / /media/my\\040disk\\0401 rw - vfat /dev/my\\040stick rw,fmask=0022\n"));
    is("vfat", "/dev/my\\040stick", "rw,rw,fmask=0022");
}

Test(mount_info, a_dash_as_a_part_of_a_field_is_no_separator)
{
    cr_assert(parses("40 24 8:1 /a-b /-/- rw shared:1 - xfs /dev/mapper/vg-lv rw\n"));
    is("xfs", "/dev/mapper/vg-lv", "rw,rw");
}

Test(mount_info, refuses_what_is_no_line_of_the_table)
{
    static const char *const bad[] = {"", "\n", " - ", "36 35 98:0 /mnt1 /mnt2",
            "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 ext3 /dev/root rw", /* no separator */
            "36 35 98:0 /mnt1 /mnt2 rw,noatime -",                          /* cut off */
            "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3",
            "36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root",
            "36 35 98 /mnt1 /mnt2 rw - ext3 /dev/root rw", "36 35 :0 /a /b rw - ext3 /dev/root rw",
            "36 35 98: /a /b rw - ext3 /dev/root rw", "36 35 98:0x /a /b rw - ext3 /dev/root rw",
            "36 35 +98:0 /a /b rw - ext3 /dev/root rw", "36 35 98:-1 /a /b rw - ext3 /dev/root rw",
            "36 35 a:b /a /b rw - ext3 /dev/root rw"};

    info = (struct fr_mount_info){.type = "before"};
    for (size_t i = 0; i < FR_ARRAY_COUNT(bad); i++) {
        cr_assert_not(parses(bad[i]), "%s", bad[i]);
        cr_assert_str_eq(info.type, "before", "%s", bad[i]);
    }
}

Test(mount_info, numbers_fit_or_are_refused)
{
    cr_assert(parses("1 1 4294967295:4294967295 / / rw - ext4 /dev/a rw"));
    cr_assert_eq(major_number, 4294967295u);
    cr_assert_eq(minor_number, 4294967295u);
    cr_assert_not(parses("1 1 4294967296:0 / / rw - ext4 /dev/a rw"));
    cr_assert_not(parses("1 1 0:4294967296 / / rw - ext4 /dev/a rw"));
    cr_assert_not(parses("1 1 99999999999999999999:0 / / rw - ext4 /dev/a rw"));
    cr_assert_not(parses("1 1 0:18446744073709551616 / / rw - ext4 /dev/a rw"));
}

/* A line whose field at the place is of that many bytes. */
static void read_with_long_field(const char *format, size_t size)
{
    char *field = fr_alloc(size + 1), *line = fr_alloc(size + 200);

    memset(field, 'x', size);
    field[size] = '\0';
    snprintf(line, size + 200, format, field);
    (void)parses(line);
    cr_assert_lt(strlen(info.type), sizeof(info.type));
    cr_assert_lt(strlen(info.source), sizeof(info.source));
    cr_assert_lt(strlen(info.options), sizeof(info.options));
    fr_free(field);
    fr_free(line);
}

Test(mount_info, hostile_lengths_are_cut)
{
    static const char *const formats[] = {"%s 1 0:1 / / rw - ext4 /dev/a rw",
            "1 1 %s:1 / / rw - ext4 /dev/a rw", "1 1 0:1 %s / rw - ext4 /dev/a rw",
            "1 1 0:1 / / %s - ext4 /dev/a rw", "1 1 0:1 / / rw %s - ext4 /dev/a rw",
            "1 1 0:1 / / rw - %s /dev/a rw", "1 1 0:1 / / rw - ext4 %s rw",
            "1 1 0:1 / / rw - ext4 /dev/a %s"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(formats); i++)
        for (size_t size = 1; size < 100000; size = size * 3 + 1)
            read_with_long_field(formats[i], size);
}

Test(mount_info, a_long_field_does_not_push_its_rest_into_the_next_one)
{
    char line[1024], source[400];

    memset(source, 's', sizeof(source));
    source[sizeof(source) - 1] = '\0';
    snprintf(line, sizeof(line), "1 1 0:1 / / rw - ext4 %s ro,data=writeback", source);
    cr_assert(parses(line));
    cr_assert_str_eq(info.options, "rw,ro,data=writeback");
    snprintf(line, sizeof(line), "1 1 0:1 / / %s - ext4 /dev/a rw,nobarrier", source);
    cr_assert(parses(line));
    cr_assert_str_eq(info.source, "/dev/a");
    cr_assert_not_null(fr_mount_info_warning(&info), "the file system's options come through");
}

static const char *warning(const char *type, const char *options)
{
    info = (struct fr_mount_info){0};
    snprintf(info.type, sizeof(info.type), "%s", type);
    snprintf(info.options, sizeof(info.options), "%s", options);
    const char *text = fr_mount_info_warning(&info);
    return text == NULL ? "" : text;
}

Test(mount_info, warns_of_file_systems_in_memory)
{
    cr_assert(strstr(warning("tmpfs", "rw"), "memory") != NULL);
    cr_assert(strstr(warning("ramfs", ""), "memory") != NULL);
    cr_assert(strstr(warning("devtmpfs", "rw,size=4k"), "memory") != NULL);
}

Test(mount_info, warns_of_missing_barriers_wherever_the_word_stands)
{
    cr_assert(strstr(warning("ext4", "nobarrier"), "barriers") != NULL);
    cr_assert(strstr(warning("ext4", "nobarrier,rw"), "barriers") != NULL);
    cr_assert(strstr(warning("xfs", "rw,nobarrier"), "barriers") != NULL);
    cr_assert(strstr(warning("ext4", "rw,barrier=0,x"), "barriers") != NULL);
}

Test(mount_info, warns_of_unordered_data)
{
    cr_assert(strstr(warning("ext4", "rw,data=writeback"), "data=writeback") != NULL);
}

Test(mount_info, does_not_warn_of_words_that_merely_look_alike)
{
    cr_assert_str_eq(warning("ext4", "rw,relatime,rw,data=ordered"), "");
    cr_assert_str_eq(warning("ext4", ""), "");
    cr_assert_str_eq(warning("ext4", "barrier=01,xnobarrier,nobarriers,data=writebacks"), "");
    cr_assert_str_eq(warning("tmpfs2", ",,"), "");
}

Test(mount_info, finds_the_mount_of_a_directory_or_says_that_there_is_none)
{
    cr_assert_eq(fr_mount_info_get("no/such/place", &info), FR_NOT_FOUND);
    fr_status st = fr_mount_info_get("/proc", &info);
    if (st == FR_NOT_FOUND) cr_skip_test("the kernel's table is not to be had here");
    cr_assert_str_eq(info.type, "proc");
    cr_assert_null(fr_mount_info_warning(&info));
}
