/*
 * fuzz_value_file.c - value files from anywhere: refused, or scanned and read, safely.
 *
 * The checksums of the footer and of all records that follow each other from the header page on are
 * made right before.
 */
#include "base/crc32c.h"
#include "fuzz/fuzz_files.h"
#include "lsm/value_file.h"
#include "lsm/value_format.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{1, 2}, 3};

static void fix(uint8_t *file, size_t size)
{
    uint8_t *footer = file + size - FR_VALUE_FOOTER_SIZE;
    uint64_t at = FR_VALUE_HEADER_SIZE, end = size - FR_VALUE_FOOTER_SIZE;

    while (at < end && end - at >= FR_VALUE_RECORD_SIZE) {
        uint64_t whole = FR_VALUE_RECORD_SIZE + (uint64_t)fr_get_u32(file + at + 4) +
                         fr_get_u16(file + at + 12);
        uint32_t crc = fr_file_id_seed_at(fr_file_id_seed(&id), at);

        if (whole > end - at) break;
        fr_put_u32(file + at, fr_crc32c_mask(fr_crc32c(crc, file + at + 4, (size_t)whole - 4)));
        at += whole;
    }
    fr_file_id_put(footer + 32, &id);
    fr_put_u64(footer + 56, size);
    fr_put_u32(footer + 64, FR_VALUE_VERSION);
    fr_put_u32(footer + 68, fr_crc32c_mask(fr_crc32c(0, footer, 68)));
    fr_put_u64(footer + 72, FR_VALUE_MAGIC);
}

static void use(struct fr_value_file *f)
{
    struct fr_buf value = FR_BUF_EMPTY;
    struct fr_value_scan *scan;
    struct fr_value_item item;
    unsigned count = 0;

    FUZZ_CHECK(fr_value_scan_open(f, &scan) == FR_OK);
    while (fr_value_scan_next(scan, &item) == FR_OK && count++ < 100) {
        FUZZ_CHECK(fr_value_read(f, &item.place, item.key, item.seq, &value) == FR_OK);
        FUZZ_CHECK(fr_slice_equal(fr_buf_slice(&value), item.value));
        item.place.offset++;
        FUZZ_CHECK(fr_value_read(f, &item.place, item.key, item.seq, &value) < 0);
    }
    fr_value_scan_close(scan);
    fr_buf_deinit(&value);
    FUZZ_CHECK(fr_value_verify(f) <= 0);
}

/* The input is what follows the header page, which only a verification looks at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_value_file *f = NULL;
    struct fuzz_disk disk;
    uint8_t *copy;

    if (size < FR_VALUE_FOOTER_SIZE || size > 65536) return 0;
    copy = fr_alloc_zeroed(1, FR_VALUE_HEADER_SIZE + size);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy + FR_VALUE_HEADER_SIZE, data, size);
    fix(copy, FR_VALUE_HEADER_SIZE + size);
    fr_file_name_format(FR_FILE_VALUES, id.number, name);
    fuzz_disk_open(&disk, name, copy, FR_VALUE_HEADER_SIZE + size);
    if (fr_value_file_open(disk.dir, &id, &f) == FR_OK) use(f);
    fr_value_file_unref(f);
    fuzz_disk_close(&disk);
    fr_free(copy);
    return 0;
}
