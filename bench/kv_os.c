/* bench of internals: it shares kv_engine.h.
 *
 * kv_os.c - the system calls.
 */
#include "bench/kv_os.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/kv_engine.h"

void kv_die(const char *format, ...)
{
    va_list args;
    char text[1024];

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "bench_kv: %s\n", text);
    fflush(stderr);
    _exit(3);
}

void *kv_alloc(size_t size)
{
    void *memory = calloc(1, size);

    if (memory == NULL) kv_die("no memory for %zu bytes", size);
    return memory;
}

void kv_free(void *memory)
{
    free(memory);
}

uint64_t kv_cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

struct kv_io kv_io_get(void)
{
    struct kv_io io = {0};
    char line[128];
    FILE *file = fopen("/proc/self/io", "re");

    if (file == NULL) return io;
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "wchar: ", 7) == 0) io.passed = strtoull(line + 7, NULL, 10);
        if (strncmp(line, "write_bytes: ", 13) == 0) io.stored = strtoull(line + 13, NULL, 10);
    }
    fclose(file);
    return io;
}

uint64_t kv_memory_available(void)
{
    uint64_t kib = 0;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re");

    if (file == NULL) return 0;
    while (fgets(line, sizeof(line), file) != NULL)
        if (strncmp(line, "MemAvailable:", 13) == 0) kib = strtoull(line + 13, NULL, 10);
    fclose(file);
    return kib * 1024;
}

void kv_memory_touch(uint64_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (map == MAP_FAILED) kv_die("no memory to touch: %s", strerror(errno));
    for (size_t at = 0; at < bytes; at += page)
        *(volatile char *)(map + at) = 1;
    munmap(map, bytes);
}

void kv_wait_quiet(unsigned quiet_ms)
{
    uint64_t last = kv_io_get().passed;

    for (unsigned calm = 0; calm < quiet_ms; calm += 50) {
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        uint64_t now = kv_io_get().passed;
        if (now != last) calm = 0;
        last = now;
    }
}

/* --- Folders -----------------------------------------------------------------------------------
 */

/* nftw() gives its callback no argument of the caller's; one thread walks at a time. */
static uint64_t walked_bytes, walked_resident, walked_logs;

static int count_file(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    const char *name = path + where->base;
    uint64_t bytes = (uint64_t)stat->st_blocks * 512;

    if (type != FTW_F) return 0;
    walked_bytes += bytes;
    if (strcasestr(name, "log") != NULL || strcasestr(name, "wal") != NULL) walked_logs += bytes;
    return 0;
}

struct kv_space kv_dir_space(const char *dir)
{
    walked_bytes = walked_logs = 0;
    nftw(dir, count_file, 16, FTW_PHYS);
    return (struct kv_space){.all = walked_bytes, .logs = walked_logs};
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat, (void)type, (void)where;
    return remove(path);
}

void kv_dir_remove(const char *dir)
{
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        kv_die("cannot remove %s: %s", dir, strerror(errno));
}

void kv_dir_make(const char *dir)
{
    if (mkdir(dir, 0755) != 0) kv_die("cannot make %s: %s", dir, strerror(errno));
}

/* Bytes of the file that are in the page cache. */
static uint64_t resident_bytes(int fd, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page;
    uint64_t resident = 0;
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (map == MAP_FAILED) return 0;
    unsigned char *there = kv_alloc(pages);
    if (mincore(map, size, there) == 0)
        for (size_t i = 0; i < pages; i++)
            resident += there[i] & 1u ? page : 0;
    kv_free(there);
    munmap(map, size);
    return resident;
}

static int look_at_file(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || stat->st_size == 0) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) kv_die("cannot open %s: %s", path, strerror(errno));
    walked_bytes += (uint64_t)stat->st_blocks * 512;
    walked_resident += resident_bytes(fd, (size_t)stat->st_size);
    close(fd);
    return 0;
}

static int drop_file(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)where;
    if (type != FTW_F || stat->st_size == 0) return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) kv_die("cannot open %s: %s", path, strerror(errno));
    if (fsync(fd) != 0) kv_die("cannot sync %s: %s", path, strerror(errno));
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return 0;
}

static void drop_all(void)
{
    int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

    if (fd < 0) kv_die("cannot drop the machine's page cache: %s", strerror(errno));
    sync();
    if (write(fd, "1", 1) != 1) kv_die("cannot drop the machine's page cache");
    close(fd);
}

double kv_dir_resident(const char *dir)
{
    walked_bytes = 0;
    walked_resident = 0;
    nftw(dir, look_at_file, 16, FTW_PHYS);
    return walked_bytes == 0 ? 0 : (double)walked_resident / (double)walked_bytes;
}

double kv_dir_make_cold(const char *dir, bool whole_machine)
{
    nftw(dir, drop_file, 16, FTW_PHYS);
    if (whole_machine) drop_all();
    return kv_dir_resident(dir);
}
