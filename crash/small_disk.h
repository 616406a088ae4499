/*
 * small_disk.h - a file system of our own, of a few MiB, to be filled up or to lose power.
 *
 * An ext4 in a file, mounted through a loop device; or a tmpfs, where that cannot be had and will
 * do. Both are for root alone.
 */
#ifndef FR_CRASH_SMALL_DISK_H
#define FR_CRASH_SMALL_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

#define FR_SMALL_DISK_PATH_MAX 1088

struct fr_small_disk {
    char image[FR_SMALL_DISK_PATH_MAX];
    char after[FR_SMALL_DISK_PATH_MAX]; /* what a loss of power has left of it */
    char mount[FR_SMALL_DISK_PATH_MAX]; /* the directory where it is */
    const char *type;                   /* "ext4" or "tmpfs"; static */
    bool mounted;
    bool cut; /* and not booted since */
};

/*
 * Make one in a directory and mount it below. FR_ERR_UNSUPPORTED: this process or this machine
 * cannot, and the words say which step it was.
 */
FR_NODISCARD fr_status fr_small_disk_make(struct fr_small_disk *disk, const char *dir,
        uint64_t size);
FR_NODISCARD fr_status fr_small_disk_make_tmpfs(struct fr_small_disk *disk, const char *dir,
        uint64_t size);

/*
 * From now on nothing reaches the disk any more, neither data nor journal, and every call on it
 * fails. What is on it is what a loss of power would leave, and is put aside at once: a kernel that
 * unmounts such a file system still writes some of what it had in memory. FR_ERR_UNSUPPORTED. ext4
 * only.
 */
FR_NODISCARD fr_status fr_small_disk_cut(struct fr_small_disk *disk);

/* What was left is mounted in its place, which replays its journal. Nobody may be on it. */
FR_NODISCARD fr_status fr_small_disk_boot(struct fr_small_disk *disk);

/* Whether an unmounted one is sound, as far as e2fsck can be asked. */
bool fr_small_disk_is_sound(const struct fr_small_disk *disk);

/* Unmounted; its image stays. A zeroed one is fine. */
void fr_small_disk_end(struct fr_small_disk *disk);

#endif
