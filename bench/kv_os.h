/* bench of internals: it shares kv_engine.h.
 *
 * kv_os.h - what bench_kv asks of the operating system: processor time, bytes written, folders, the
 * page cache.
 */
#ifndef FR_BENCH_KV_OS_H
#define FR_BENCH_KV_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Processor time of this process so far, all threads together. */
uint64_t kv_cpu_ns(void);

/*
 * This process's counters, all threads together. stored counts pages as they are made dirty, and
 * direct writes; passed counts what went through write(2) and its like. What a queue of io_uring
 * writes is in stored only.
 */
struct kv_io {
    uint64_t passed; /* wchar */
    uint64_t stored; /* write_bytes */
};

/* Zeros where the kernel does not tell. */
struct kv_io kv_io_get(void);

/* Memory that the system could give without swapping; 0 where it does not tell. */
uint64_t kv_memory_available(void);

/* Write to each page of so much memory and give it back. */
void kv_memory_touch(uint64_t bytes);

/* Bytes that a folder's files take up on disk. */
struct kv_space {
    uint64_t all;
    uint64_t logs; /* of files with "log" or "wal" in their name, as all engines have it */
};

struct kv_space kv_dir_space(const char *dir);

/* Remove what is there, if anything. */
void kv_dir_remove(const char *dir);

/* Make an empty folder. */
void kv_dir_make(const char *dir);

/*
 * Make the folder's files durable and drop their pages from the page cache; all pages of the
 * machine, if so asked and permitted. Yields the share of their bytes that stayed, 0 to 1.
 */
double kv_dir_make_cold(const char *dir, bool whole_machine);

/* The share of the bytes of the folder's files that are in the page cache. */
double kv_dir_resident(const char *dir);

#endif
