/* fuzz_files.h - a file of the fuzzer's bytes in a machine in memory. */
#ifndef FR_FUZZ_FUZZ_FILES_H
#define FR_FUZZ_FUZZ_FILES_H

#include "base/alloc.h"
#include "fuzz/fuzz.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "io/sim.h"

struct fuzz_disk {
    struct fr_sim *sim;
    struct fr_dir *dir;
};

static inline void fuzz_disk_open(struct fuzz_disk *disk, const char *name, const uint8_t *bytes,
        size_t size)
{
    struct fr_sim_options options = {.seed = 1};
    struct fr_file *file;

    FUZZ_CHECK(fr_sim_open(&options, &disk->sim) == FR_OK);
    FUZZ_CHECK(fr_dir_open(fr_sim_env(disk->sim), "/f", FR_DIR_CREATE, &disk->dir) == FR_OK);
    FUZZ_CHECK(fr_file_open(disk->dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file) == FR_OK);
    if (size > 0) FUZZ_CHECK(fr_file_write(file, 0, bytes, size, 0) == FR_OK);
    fr_file_close(file);
}

static inline void fuzz_disk_close(struct fuzz_disk *disk)
{
    fr_dir_close(disk->dir);
    fr_sim_close(disk->sim);
}

#endif
