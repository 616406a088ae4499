#include "tools/mount_info.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/compiler.h"

/* Longer lines are cut: only overlays with many layers have them, and their rest is layers. */
#define LINE_BYTES_MAX 4096

/*
 * 36 35 98:0 /inner /where rw,noatime shared:1 - ext4 /dev/sda1 rw,errors=continue
 *
 * Behind the mount's options stand any number of fields, up to a lone "-" (man 5 proc).
 */
bool fr_mount_info_parse(const char *line, unsigned *ret_major, unsigned *ret_minor,
        struct fr_mount_info *ret_info)
{
    char device[32], mount_options[128], fs_options[128];
    char *colon, *end;

    if (sscanf(line, "%*s %*s %31s %*s %*s %127s", device, mount_options) != 2) return false;
    unsigned long major_number = strtoul(device, &colon, 10);
    if (*colon != ':') return false;
    unsigned long minor_number = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || major_number > UINT_MAX || minor_number > UINT_MAX) return false;
    const char *rest = strstr(line, " - ");
    if (rest == NULL) return false;
    if (sscanf(rest, " - %31s %127s %127s", ret_info->type, ret_info->source, fs_options) != 3)
        return false;
    snprintf(ret_info->options, sizeof(ret_info->options), "%s,%s", mount_options, fs_options);
    *ret_major = (unsigned)major_number;
    *ret_minor = (unsigned)minor_number;
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
        while (fgets(line, sizeof(line), table) != NULL) {
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
