#include "crash/small_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/assert.h"
#include "crash/certify_priv.h"

/* FS_IOC_SHUTDOWN and its flag, which older headers do not have. */
#define SHUTDOWN          _IOR('X', 125, uint32_t)
#define SHUTDOWN_NO_FLUSH 2u

/* Files that a killed process still has open in the kernel keep a file system for a moment. */
#define UNMOUNT_TRIES 2000
#define UNMOUNT_US    5000

/* Somebody else may be as quick to take a free loop device. */
#define LOOP_TRIES 8

static fr_status refuse(const char *step, const char *about)
{
    return FR_FAIL(FR_ERR_UNSUPPORTED, "%s %s: %s", step, about, strerror(errno));
}

static_assert(FR_SMALL_DISK_PATH_MAX >= FR_CERTIFY_PLACE_MAX, "an image lies in a part's place");

static fr_status make_places(struct fr_small_disk *disk, const char *dir)
{
    int size = snprintf(disk->image, sizeof(disk->image), "%s/image", dir);

    if ((size_t)size + sizeof("mount") > sizeof(disk->image))
        return FR_FAIL(FR_ERR_LIMIT, "%s: too long a path", dir);
    (void)snprintf(disk->after, sizeof(disk->after), "%s/after", dir);
    (void)snprintf(disk->mount, sizeof(disk->mount), "%s/mount", dir);
    if (mkdir(disk->mount, 0755) != 0) return refuse("making", disk->mount);
    return FR_OK;
}

/* All of its space is taken at once: a full disk below it is found out here. */
static fr_status make_image(const char *path, uint64_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) return refuse("making", path);
    errno = posix_fallocate(fd, 0, (off_t)size);
    fr_status st = errno == 0 ? FR_OK : refuse("making", path);
    (void)close(fd);
    return st;
}

static void be_tool(char *const *words)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)dup2(null, STDIN_FILENO);
    (void)dup2(null, STDOUT_FILENO);
    (void)dup2(null, STDERR_FILENO);
    (void)setenv("PATH", "/usr/sbin:/sbin:/usr/bin:/bin", 1);
    (void)execvp(words[0], words);
    _exit(127);
}

/* Its exit code; 127: there is no such tool; -1: it could not be run to its end. */
static int run_tool(char *const *words)
{
    int status = 0;
    pid_t ended;

    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) be_tool(words);
    do
        ended = pid < 0 ? -1 : waitpid(pid, &status, 0);
    while (ended < 0 && pid > 0 && errno == EINTR);
    return ended == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* -m 0: all of it is for the store, whoever runs it. */
static fr_status make_file_system(char *image)
{
    char name[] = "mkfs.ext4", quiet[] = "-q", force[] = "-F", reserve[] = "-m", none[] = "0";
    int code = run_tool((char *[]){name, quiet, force, reserve, none, image, NULL});

    if (code == 127) return FR_FAIL(FR_ERR_UNSUPPORTED, "there is no mkfs.ext4");
    if (code != 0) return FR_FAIL(FR_ERR_UNSUPPORTED, "mkfs.ext4 has failed");
    return FR_OK;
}

/* Bit 2 of e2fsck's code: there are errors, which it was told to leave. */
bool fr_small_disk_is_sound(const struct fr_small_disk *disk)
{
    char name[] = "e2fsck", force[] = "-f", only_look[] = "-n", image[FR_SMALL_DISK_PATH_MAX];

    memcpy(image, disk->image, sizeof(image));
    int code = run_tool((char *[]){name, force, only_look, image, NULL});
    return code < 0 || code >= 8 || (code & 4) == 0;
}

/* ---- loop devices */

/* The device frees itself when nobody has it any more. */
static fr_status bind_loop(int loop, int image, const char *path)
{
    struct loop_info64 info = {.lo_flags = LO_FLAGS_AUTOCLEAR};

    if (ioctl(loop, LOOP_SET_FD, image) != 0)
        return errno == EBUSY ? FR_ERR_BUSY : refuse("using", path);
    if (ioctl(loop, LOOP_SET_STATUS64, &info) == 0) return FR_OK;
    fr_status st = refuse("setting up", path);
    (void)ioctl(loop, LOOP_CLR_FD, 0);
    return st;
}

static fr_status take_loop(int control, int image, char *path, size_t room, int *ret_loop)
{
    fr_status st = FR_ERR_BUSY;

    for (int i = 0; i < LOOP_TRIES && st == FR_ERR_BUSY; i++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0) return refuse("asking for", "a loop device");
        (void)snprintf(path, room, "/dev/loop%d", number);
        int loop = open(path, O_RDWR | O_CLOEXEC);
        if (loop < 0) return refuse("opening", path);
        st = bind_loop(loop, image, path);
        if (st == FR_OK)
            *ret_loop = loop;
        else
            (void)close(loop);
    }
    return st == FR_ERR_BUSY ? FR_FAIL(FR_ERR_UNSUPPORTED, "no loop device is free") : st;
}

static fr_status mount_image(struct fr_small_disk *disk)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), image = -1, loop = -1;
    fr_status st = FR_OK;
    char path[32];

    if (control < 0) return refuse("opening", "/dev/loop-control");
    image = open(disk->image, O_RDWR | O_CLOEXEC);
    if (image < 0) st = refuse("opening", disk->image);
    if (st == FR_OK) st = take_loop(control, image, path, sizeof(path), &loop);
    if (st == FR_OK && mount(path, disk->mount, "ext4", MS_NOSUID | MS_NODEV, NULL) != 0)
        st = refuse("mounting", path);
    disk->mounted = st == FR_OK;
    if (loop >= 0) (void)close(loop);
    if (image >= 0) (void)close(image);
    (void)close(control);
    return st;
}

/* ---- disks */

fr_status fr_small_disk_make(struct fr_small_disk *disk, const char *dir, uint64_t size)
{
    fr_status st;

    *disk = (struct fr_small_disk){.type = "ext4"};
    FR_TRY(make_places(disk, dir));
    FR_TRY(make_image(disk->image, size));
    FR_TRY(make_file_system(disk->image));
    st = mount_image(disk);
out:
    if (st < 0) {
        (void)unlink(disk->image);
        (void)rmdir(disk->mount);
    }
    return st;
}

fr_status fr_small_disk_make_tmpfs(struct fr_small_disk *disk, const char *dir, uint64_t size)
{
    char options[48];
    fr_status st;

    *disk = (struct fr_small_disk){.type = "tmpfs"};
    FR_TRY(make_places(disk, dir));
    (void)snprintf(options, sizeof(options), "size=%llu,mode=0755", (unsigned long long)size);
    if (mount("freshet", disk->mount, "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
        st = refuse("mounting", "a tmpfs");
        (void)rmdir(disk->mount);
        return st;
    }
    disk->mounted = true;
out:
    return st;
}

static fr_status copy_all(int from, int to)
{
    ssize_t copied;

    do
        copied = copy_file_range(from, NULL, to, NULL, (size_t)1 << 26, 0);
    while (copied > 0 || (copied < 0 && errno == EINTR));
    return copied == 0 ? FR_OK : FR_FAIL(FR_ERR_IO, "copying a disk: %s", strerror(errno));
}

static fr_status put_aside(struct fr_small_disk *disk)
{
    int from = open(disk->image, O_RDONLY | O_CLOEXEC);
    int to = open(disk->after, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fr_status st = from < 0 || to < 0 ? FR_FAIL(FR_ERR_IO, "%s: %s", disk->after, strerror(errno))
                                      : copy_all(from, to);

    if (from >= 0) (void)close(from);
    if (to >= 0) (void)close(to);
    return st;
}

fr_status fr_small_disk_cut(struct fr_small_disk *disk)
{
    uint32_t flags = SHUTDOWN_NO_FLUSH;
    fr_status st = FR_OK;

    int fd = open(disk->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return refuse("opening", disk->mount);
    if (ioctl(fd, SHUTDOWN, &flags) != 0) st = refuse("shutting down", disk->type);
    (void)close(fd);
    disk->cut = st == FR_OK;
    return st == FR_OK ? put_aside(disk) : st;
}

static bool unmount(struct fr_small_disk *disk)
{
    for (int i = 0; disk->mounted && i < UNMOUNT_TRIES; i++) {
        if (umount2(disk->mount, 0) == 0)
            disk->mounted = false;
        else if (errno == EBUSY)
            fr_certify_sleep_us(UNMOUNT_US);
        else
            break;
    }
    return !disk->mounted;
}

fr_status fr_small_disk_boot(struct fr_small_disk *disk)
{
    if (!unmount(disk)) return FR_FAIL(FR_ERR_IO, "%s: cannot be unmounted", disk->mount);
    if (rename(disk->after, disk->image) != 0)
        return FR_FAIL(FR_ERR_IO, "%s: %s", disk->after, strerror(errno));
    disk->cut = false;
    fr_status st = mount_image(disk);
    if (st < 0)
        return FR_FAIL(FR_ERR_IO, "%s: cannot be mounted again: %s", disk->image, fr_last_error());
    return FR_OK;
}

void fr_small_disk_end(struct fr_small_disk *disk)
{
    if (!disk->mounted) return;
    if (!unmount(disk)) (void)umount2(disk->mount, MNT_DETACH);
    disk->mounted = false;
}
