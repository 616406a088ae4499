/*
 * mount_info.h - on which file system a directory lies, as the kernel tells it in
 * /proc/self/mountinfo, and what of it matters to durability.
 */
#ifndef FR_TOOLS_MOUNT_INFO_H
#define FR_TOOLS_MOUNT_INFO_H

#include <stdbool.h>

#include "base/status.h"

struct fr_mount_info {
    char type[32];     /* "ext4" */
    char source[128];  /* "/dev/sda1" */
    char options[256]; /* of the mount and of the file system, "rw,relatime,data=ordered" */
};

/* FR_NOT_FOUND: the kernel's table has no such mount, or cannot be read. */
fr_status fr_mount_info_get(const char *path, struct fr_mount_info *ret_info);

/* A sentence on what a power loss would do there that a user may not expect, or NULL. Static. */
const char *fr_mount_info_warning(const struct fr_mount_info *info);

/* Parse one line of the table: false if it is malformed. For fr_mount_info_get and its test. */
bool fr_mount_info_parse(const char *line, unsigned *ret_major, unsigned *ret_minor,
        struct fr_mount_info *ret_info);

#endif
