/*
 * fuzz_super.c - a SUPER of anything: refused, or read, and then changed.
 *
 * The input is up to four copies, in the order of their places: for each a byte of flags and up to
 * 80 of the copy's own. What follows those is zeros; the flags ask for a right checksum (1), and
 * for magic and version (2).
 */
#include "base/coding.h"
#include "base/crc32c.h"
#include "fuzz/fuzz_files.h"
#include "lsm/super.h"

#define GIVEN 80

static void make_copy(uint8_t *file, uint64_t offset, unsigned flags, const uint8_t *data,
        size_t size)
{
    uint8_t *copy = file + offset, place[8];

    memcpy(copy, data, size);
    if (flags & 2) {
        for (int i = 0; i < 8; i++)
            copy[i] = (uint8_t)FR_SUPER_MAGIC[i];
        fr_put_u32(copy + 8, FR_SUPER_VERSION);
    }
    fr_put_u64(place, offset);
    uint32_t crc = fr_crc32c(fr_crc32c(0, place, 8), copy, FR_SUPER_COPY_SIZE - 4);
    if (flags & 1) fr_put_u32(copy + FR_SUPER_COPY_SIZE - 4, crc);
}

static void make_file(uint8_t *file, const uint8_t *data, size_t size)
{
    memset(file, 0, FR_SUPER_FILE_SIZE);
    for (unsigned i = 0; i < 2 * FR_SUPER_COPIES && size > 0; i++) {
        size_t count = FR_MIN((size_t)GIVEN, size - 1);
        make_copy(file, fr_super_offset(i / FR_SUPER_COPIES, i % FR_SUPER_COPIES), data[0],
                data + 1, count);
        data += 1 + count;
        size -= 1 + count;
    }
}

/* What is written next is what is read next, and nothing else has changed. */
static void check_change(struct fr_dir *dir, struct fr_super super)
{
    struct fr_super found;

    super.manifest = 9;
    FUZZ_CHECK(fr_super_change(dir, &super) == FR_OK);
    FUZZ_CHECK(fr_super_read(dir, &found) == FR_OK);
    FUZZ_CHECK(found.generation == super.generation && found.manifest == 9);
    FUZZ_CHECK(found.manifest_lsn == super.manifest_lsn && found.created_us == super.created_us);
    FUZZ_CHECK(memcmp(found.store, super.store, FR_STORE_ID_SIZE) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FR_SUPER_FILE_SIZE];
    struct fuzz_disk disk;
    struct fr_super super;

    make_file(file, data, size);
    fuzz_disk_open(&disk, "SUPER", file, sizeof(file));
    fr_status st = fr_super_read(disk.dir, &super);
    FUZZ_CHECK(st == FR_OK || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW);
    if (st == FR_OK) {
        FUZZ_CHECK(super.manifest > 0);
        if (super.generation < UINT64_MAX) check_change(disk.dir, super);
    }
    fuzz_disk_close(&disk);
    return 0;
}
