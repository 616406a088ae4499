/*
 * posix_backend.c - this machine, by blocking system calls.
 *
 * Descriptors are close-on-exec, never below 3 (a host that has closed its standard streams must
 * not have its messages written into our files), and positions are always explicit. Everything
 * inside a store is opened relative to its directory and without following links. Files are private
 * to the user: 0600, directories 0700.
 *
 * A file is opened without blocking first, because a pipe that somebody put in the place of a file
 * would otherwise hang the opening for ever; what is no regular file is refused.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "io/env_priv.h"
#include "io/posix_align.h"

struct posix {
    /* Constant after open. */
    struct fr_io_pool *pool;
    bool use_uring;
};

static void posix_close(void *ctx)
{
    struct posix *posix = ctx;

    fr_io_pool_free(posix->pool);
    fr_free(posix);
}

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;

    FR_ASSERT(clock_gettime(clock, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t posix_now_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_MONOTONIC);
}

static uint64_t posix_now_ns(void *ctx)
{
    struct timespec now;

    (void)ctx;
    FR_ASSERT(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static uint64_t posix_wall_us(void *ctx)
{
    (void)ctx;
    return clock_us(CLOCK_REALTIME);
}

static void posix_sleep_us(void *ctx, uint64_t duration_us)
{
    struct timespec left = {.tv_sec = (time_t)(duration_us / 1000000),
            .tv_nsec = (long)(duration_us % 1000000 * 1000)};

    (void)ctx;
    while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
        continue;
}

static void posix_holder_text(void *ctx, char *ret_text, size_t size)
{
    (void)ctx;
    snprintf(ret_text, size, "process %ld (%s)\n", (long)getpid(), program_invocation_short_name);
}

/* The result of a call that answers -1 and errno. */
static int answer(int rc)
{
    return rc < 0 ? -errno : rc;
}

/* Move a new descriptor out of the way of the standard streams. */
static int keep_off_standard(int fd)
{
    if (fd < 0) return -errno;
    if (fd > STDERR_FILENO) return fd;

    int moved = answer(fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1));
    close(fd);
    return moved;
}

static int open_dir_at(int at, const char *path, int extra, fr_handle *ret_dir)
{
    int fd = keep_off_standard(openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | extra));

    if (fd < 0) return fd;
    *ret_dir = fd;
    return 0;
}

static int posix_dir_open(void *ctx, const char *path, fr_handle *ret_dir)
{
    (void)ctx;
    return open_dir_at(AT_FDCWD, path, 0, ret_dir);
}

static int posix_dir_open_in(void *ctx, fr_handle parent, const char *name, fr_handle *ret_dir)
{
    (void)ctx;
    return open_dir_at((int)parent, name, O_NOFOLLOW, ret_dir);
}

static void posix_dir_close(void *ctx, fr_handle dir)
{
    (void)ctx;
    close((int)dir);
}

static int posix_dir_make(void *ctx, fr_handle parent, const char *name)
{
    (void)ctx;
    return answer(mkdirat((int)parent, name, S_IRWXU));
}

static int posix_dir_remove(void *ctx, fr_handle parent, const char *name)
{
    (void)ctx;
    return answer(unlinkat((int)parent, name, AT_REMOVEDIR));
}

static int posix_dir_sync(void *ctx, fr_handle dir)
{
    (void)ctx;
    return answer(fsync((int)dir));
}

static int posix_dir_rename(void *ctx, fr_handle dir, const char *from, const char *to)
{
    (void)ctx;
    return answer(renameat((int)dir, from, (int)dir, to));
}

static int posix_dir_link(void *ctx, fr_handle from_dir, const char *from, fr_handle to_dir,
        const char *to)
{
    (void)ctx;
    return answer(linkat((int)from_dir, from, (int)to_dir, to, 0));
}

static int posix_dir_unlink(void *ctx, fr_handle dir, const char *name)
{
    (void)ctx;
    return answer(unlinkat((int)dir, name, 0));
}

static void fill_info(const struct stat *st, struct fr_file_info *ret_info)
{
    *ret_info = (struct fr_file_info){
            .size = (uint64_t)st->st_size,
            .allocated_bytes = (uint64_t)st->st_blocks * 512,
            .device = st->st_dev,
            .inode = st->st_ino,
            .link_count = st->st_nlink,
            .modified_us =
                    (uint64_t)st->st_mtim.tv_sec * 1000000 + (uint64_t)st->st_mtim.tv_nsec / 1000,
            .is_dir = S_ISDIR(st->st_mode),
    };
}

static int posix_dir_stat(void *ctx, fr_handle dir, const char *name, struct fr_file_info *ret_info)
{
    struct stat st;

    (void)ctx;
    if (fstatat((int)dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    fill_info(&st, ret_info);
    return 0;
}

static int posix_dir_list(void *ctx, fr_handle dir, fr_name_fn fn, void *fn_ctx)
{
    struct dirent *entry;
    fr_handle again; /* a stream of its own, or two listings would share one position */

    (void)ctx;
    int rc = open_dir_at((int)dir, ".", 0, &again);
    if (rc < 0) return rc;
    DIR *stream = fdopendir((int)again);
    if (stream == NULL) {
        rc = -errno;
        close((int)again);
        return rc;
    }
    while (errno = 0, (entry = readdir(stream)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fn(fn_ctx, entry->d_name);
    rc = -errno;
    closedir(stream);
    return rc;
}

static int posix_dir_space(void *ctx, fr_handle dir, uint64_t *ret_free, uint64_t *ret_total)
{
    struct statvfs fs;

    (void)ctx;
    if (fstatvfs((int)dir, &fs) < 0) return -errno;
    *ret_free = (uint64_t)fs.f_bavail * fs.f_frsize;
    *ret_total = (uint64_t)fs.f_blocks * fs.f_frsize;
    return 0;
}

/*
 * A lock of the open file description: it knows two handles of one process apart, does not fall
 * when some other descriptor of the file is closed, and ends when the last reference to this one
 * ends.
 */
static int posix_file_lock(void *ctx, fr_handle file)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    (void)ctx;
    return answer(fcntl((int)file, F_OFD_SETLK, &lock));
}

/* By word, not by closing: a ring may hold the file for a while after it was itself closed. */
static void posix_file_unlock(void *ctx, fr_handle file)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    (void)ctx;
    (void)fcntl((int)file, F_OFD_SETLK, &lock);
}

/*
 * Of another kind, because those of a range of bytes are for files that are open for writing, which
 * a directory never is. Tied to the open file description just so. Where it is made of one of the
 * former after all (NFS), it fails.
 */
static int posix_dir_lock(void *ctx, fr_handle dir)
{
    (void)ctx;
    return answer(flock((int)dir, LOCK_EX | LOCK_NB));
}

static void posix_dir_unlock(void *ctx, fr_handle dir)
{
    (void)ctx;
    (void)flock((int)dir, LOCK_UN);
}

static int open_regular(int dir, const char *name, int os_flags)
{
    struct stat st = {0};

    int fd = keep_off_standard(openat(dir, name, os_flags, S_IRUSR | S_IWUSR));
    if (fd == -ELOOP) return -EPERM; /* a link, which we never follow */
    if (fd < 0) return fd;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
            fcntl(fd, F_SETFL, os_flags & (O_DIRECT | O_RDWR)) == 0)
        return fd;
    int rc = S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    close(fd);
    return rc;
}

static int posix_file_open(void *ctx, fr_handle dir, const char *name, unsigned flags,
        struct fr_open_result *ret_result)
{
    int os_flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;

    (void)ctx;
    os_flags |= flags & FR_OPEN_WRITE ? O_RDWR : O_RDONLY;
    if (flags & FR_OPEN_CREATE) os_flags |= O_CREAT | O_EXCL;
    bool direct = (flags & FR_OPEN_DIRECT) != 0;
    int fd = open_regular((int)dir, name, os_flags | (direct ? O_DIRECT : 0));
    if (fd == -EINVAL && direct) {
        /* Refused because it is direct; the first try may have created the name all the same. */
        direct = false;
        fd = open_regular((int)dir, name, os_flags & ~O_EXCL);
    }
    if (fd < 0) return fd;
    uint32_t alignment = direct ? fr_posix_direct_alignment(fd) : 1;
    if (alignment == 0 && fcntl(fd, F_SETFL, os_flags & O_RDWR) == 0) {
        direct = false;
        alignment = 1;
    }
    *ret_result = (struct fr_open_result){.handle = fd, .alignment = alignment, .direct = direct};
    return 0;
}

static void posix_file_close(void *ctx, fr_handle file)
{
    (void)ctx;
    close((int)file);
}

static int64_t posix_file_read(void *ctx, fr_handle file, uint64_t offset, void *data, size_t size)
{
    (void)ctx;
    ssize_t count = pread((int)file, data, size, (off_t)offset);
    return count < 0 ? -errno : count;
}

static int64_t posix_file_read_cached(void *ctx, fr_handle file, uint64_t offset, void *data,
        size_t size)
{
    struct iovec part = {.iov_base = data, .iov_len = size};

    (void)ctx;
    ssize_t count = preadv2((int)file, &part, 1, (off_t)offset, RWF_NOWAIT);
    return count < 0 ? -errno : count;
}

static int64_t posix_file_write(void *ctx, fr_handle file, uint64_t offset, const void *data,
        size_t size, bool dsync)
{
    struct iovec part = {.iov_base = fr_unconst(data), .iov_len = size};

    (void)ctx;
    ssize_t count = pwritev2((int)file, &part, 1, (off_t)offset, dsync ? RWF_DSYNC : 0);
    return count < 0 ? -errno : count;
}

static int posix_file_sync(void *ctx, fr_handle file)
{
    (void)ctx;
    return answer(fdatasync((int)file));
}

static int posix_file_truncate(void *ctx, fr_handle file, uint64_t size)
{
    (void)ctx;
    return answer(ftruncate((int)file, (off_t)size));
}

static int posix_file_punch_hole(void *ctx, fr_handle file, uint64_t offset, uint64_t size)
{
    (void)ctx;
    return answer(fallocate((int)file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
            (off_t)size));
}

static void posix_file_advise(void *ctx, fr_handle file, uint64_t offset, uint64_t size,
        enum fr_file_advice advice)
{
    static const int os_advice[] = {
            [FR_ADVICE_RANDOM] = POSIX_FADV_RANDOM,
            [FR_ADVICE_WILL_NEED] = POSIX_FADV_WILLNEED,
            [FR_ADVICE_DONT_NEED] = POSIX_FADV_DONTNEED,
    };

    (void)ctx;
    if (advice == FR_ADVICE_WRITE_NOW)
        (void)sync_file_range((int)file, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    else
        (void)posix_fadvise((int)file, (off_t)offset, (off_t)size, os_advice[advice]);
}

static int posix_file_info(void *ctx, fr_handle file, struct fr_file_info *ret_info)
{
    struct stat st;

    (void)ctx;
    if (fstat((int)file, &st) < 0) return -errno;
    fill_info(&st, ret_info);
    return 0;
}

/* Every block is there, and a write goes to the block that is there. */
static bool is_overwritten_in_place(int fd)
{
    struct statfs fs;
    struct stat st;

    if (fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0) return false;
    return fs.f_type == EXT4_SUPER_MAGIC && (uint64_t)st.st_blocks * 512 >= (uint64_t)st.st_size;
}

/* Populated, so that the blocks are read here and not at the first store. */
static int posix_file_map(void *ctx, fr_handle file, uint64_t offset, uint64_t size,
        void **ret_data)
{
    (void)ctx;
    if (!is_overwritten_in_place((int)file)) return -EOPNOTSUPP;
    void *data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
            (int)file, (off_t)offset);
    if (data == MAP_FAILED) return -errno;
    (void)madvise(data, (size_t)size, MADV_DONTFORK);
    *ret_data = data;
    return 0;
}

static void posix_file_unmap(void *ctx, void *data, uint64_t size)
{
    (void)ctx;
    munmap(data, (size_t)size);
}

/* Of a shared mapping of a file only the page tables' entries go, all with one interrupt. */
static void posix_file_relax(void *ctx, void *data, uint64_t size)
{
    (void)ctx;
    (void)madvise(data, (size_t)size, MADV_DONTNEED);
}

static fr_status posix_queue_open(void *ctx, const struct fr_io_queue_options *options,
        struct fr_queue_backend **ret_queue)
{
    struct posix *posix = ctx;

    if (posix->use_uring) {
        fr_status st = fr_uring_queue_open(options, ret_queue);
        if (st == FR_OK) return FR_OK;
        /* The limit of locked memory or of descriptors: this queue does without, others may not. */
        fr_log(FR_LOG_WARN, "io", "a queue by threads instead of io_uring: %s", fr_last_error());
    }
    return fr_pool_queue_open(posix->pool, options, ret_queue);
}

static const struct fr_backend_ops posix_ops = {
        .close = posix_close,
        .now_us = posix_now_us,
        .now_ns = posix_now_ns,
        .wall_us = posix_wall_us,
        .sleep_us = posix_sleep_us,
        .holder_text = posix_holder_text,
        .dir_open = posix_dir_open,
        .dir_open_in = posix_dir_open_in,
        .dir_close = posix_dir_close,
        .dir_make = posix_dir_make,
        .dir_remove = posix_dir_remove,
        .dir_sync = posix_dir_sync,
        .dir_rename = posix_dir_rename,
        .dir_link = posix_dir_link,
        .dir_unlink = posix_dir_unlink,
        .dir_stat = posix_dir_stat,
        .dir_list = posix_dir_list,
        .dir_space = posix_dir_space,
        .file_lock = posix_file_lock,
        .file_unlock = posix_file_unlock,
        .dir_lock = posix_dir_lock,
        .dir_unlock = posix_dir_unlock,
        .file_open = posix_file_open,
        .file_close = posix_file_close,
        .file_read = posix_file_read,
        .file_read_cached = posix_file_read_cached,
        .file_write = posix_file_write,
        .file_sync = posix_file_sync,
        .file_truncate = posix_file_truncate,
        .file_punch_hole = posix_file_punch_hole,
        .file_advise = posix_file_advise,
        .file_info = posix_file_info,
        .file_map = posix_file_map,
        .file_unmap = posix_file_unmap,
        .file_relax = posix_file_relax,
        .queue_open = posix_queue_open,
};

fr_status fr_posix_env_open(bool use_uring, unsigned pool_threads_max, const char *reason,
        struct fr_env **ret_env)
{
    struct posix *posix = FR_NEW(struct posix);
    struct fr_env *env;
    fr_status st;

    if (posix == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an environment");
    posix->use_uring = use_uring;
    if (pool_threads_max == 0) pool_threads_max = FR_ENV_POOL_THREADS_DEFAULT;
    FR_TRY(fr_io_pool_new(pool_threads_max, &posix->pool));
    FR_TRY(fr_env_new(&posix_ops, FR_TAKE(posix), use_uring ? FR_ENV_URING : FR_ENV_POSIX, &env));
    snprintf(env->reason, sizeof(env->reason), "%s", reason);
    *ret_env = env;
out:
    fr_free(posix);
    return st;
}
