#include "tools/mount_info.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/compiler.h"

/* Longer lines are cut: only overlays with many layers have them, and their rest is layers. */
#define LINE_BYTES_MAX 4096

/* A number that starts at *at, which moves behind it: digits only, of 32 bits. */
static bool take_number(const char **at, unsigned *ret_number)
{
    const char *digit = *at;
    uint64_t number = 0;

    for (; *digit >= '0' && *digit <= '9'; digit++) {
        number = number * 10 + (unsigned)(*digit - '0');
        if (number > UINT_MAX) return false;
    }
    if (digit == *at) return false;
    *at = digit;
    *ret_number = (unsigned)number;
    return true;
}

/* The next field, copied as far as there is room; *at moves behind all of it. */
static bool take_field(const char **at, char *ret_text, size_t size)
{
    const char *start = *at + strspn(*at, " ");
    size_t length = strcspn(start, " \n");

    if (length == 0) return false;
    if (size > 0) snprintf(ret_text, size, "%.*s", (int)FR_MIN(length, size), start);
    *at = start + length;
    return true;
}

static bool skip_fields(const char **at, unsigned count)
{
    while (count > 0 && take_field(at, NULL, 0))
        count--;
    return count == 0;
}

/*
 * 36 35 98:0 /inner /where rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue
 *
 * Behind the mount's options stand any number of fields, up to a lone "-" (man 5 proc).
 */
bool fr_mount_info_parse(const char *line, unsigned *ret_major, unsigned *ret_minor,
        struct fr_mount_info *ret_info)
{
    char device[32], mount_options[128], fs_options[128];
    unsigned major_number, minor_number;
    struct fr_mount_info info;
    const char *at = line, *number = device;

    if (!skip_fields(&at, 2) || !take_field(&at, device, sizeof(device))) return false;
    if (!take_number(&number, &major_number) || *number++ != ':') return false;
    if (!take_number(&number, &minor_number) || *number != '\0') return false;
    if (!skip_fields(&at, 2) || !take_field(&at, mount_options, sizeof(mount_options)))
        return false;
    at = strstr(at, " - ");
    if (at == NULL) return false;
    at += 3;
    if (!take_field(&at, info.type, sizeof(info.type))) return false;
    if (!take_field(&at, info.source, sizeof(info.source))) return false;
    if (!take_field(&at, fs_options, sizeof(fs_options))) return false;
    snprintf(info.options, sizeof(info.options), "%s,%s", mount_options, fs_options);
    *ret_major = major_number;
    *ret_minor = minor_number;
    *ret_info = info;
    return true;
}

/* The next line, cut to size; the rest of a longer one is not taken for a line of its own. */
static bool read_line(FILE *table, char *ret_line, int size)
{
    int c = '\n';

    if (fgets(ret_line, size, table) == NULL) return false;
    if (strchr(ret_line, '\n') == NULL) c = getc(table);
    while (c != '\n' && c != EOF)
        c = getc(table);
    return true;
}

fr_status fr_mount_info_get(const char *path, struct fr_mount_info *ret_info)
{
    char line[LINE_BYTES_MAX];
    unsigned major_number, minor_number;
    fr_status st = FR_NOT_FOUND;
    struct fr_mount_info found;
    struct stat where;

    FILE *table = fopen("/proc/self/mountinfo", "re");
    if (table == NULL) return FR_NOT_FOUND;
    if (stat(path, &where) == 0) {
        /* The last one that fits: a later mount lies over an earlier one. */
        while (read_line(table, line, sizeof(line))) {
            if (!fr_mount_info_parse(line, &major_number, &minor_number, &found)) continue;
            if (makedev(major_number, minor_number) != where.st_dev) continue;
            *ret_info = found;
            st = FR_OK;
        }
    }
    fclose(table);
    return st;
}

/* Whether one of the words between commas is this one. */
static bool has_option(const struct fr_mount_info *info, const char *wanted)
{
    size_t length = strlen(wanted);

    for (const char *at = info->options; at != NULL && *at != '\0';) {
        const char *comma = strchr(at, ',');
        size_t size = comma == NULL ? strlen(at) : (size_t)(comma - at);
        if (size == length && memcmp(at, wanted, length) == 0) return true;
        at = comma == NULL ? NULL : comma + 1;
    }
    return false;
}

const char *fr_mount_info_warning(const struct fr_mount_info *info)
{
    static const char *const in_memory[] = {"tmpfs", "ramfs", "devtmpfs"};

    for (size_t i = 0; i < FR_ARRAY_COUNT(in_memory); i++)
        if (strcmp(info->type, in_memory[i]) == 0)
            return "this file system is memory: nothing on it survives a power loss";
    if (has_option(info, "nobarrier") || has_option(info, "barrier=0"))
        return "mounted without barriers: what is synced may still be lost in the drive's cache";
    if (has_option(info, "data=writeback"))
        return "mounted with data=writeback: after a power loss, files may hold stale bytes";
    return NULL;
}
