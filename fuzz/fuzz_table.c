/*
 * fuzz_table.c - tables from anywhere: refused, or walked in order and verified, safely.
 *
 * The input is a table file. Before it is opened, the checksums of its footer and of the frames
 * that the footer leads to are made right, so that the fuzzer need not guess them. Those of index
 * blocks and data the mutator makes right, mostly, after it has changed something.
 */
#include "base/crc32c.h"
#include "base/rng.h"
#include "fuzz/fuzz_files.h"
#include "fuzz/fuzz_reseal.h"
#include "lsm/table.h"
#include "wal/file_name.h"

static const struct fr_file_id id = {{1, 2}, 3};

/* Give the frame that a handle in the footer leads to the checksum that it should have. */
static void fix_frame(uint8_t *file, size_t size, uint8_t *handle)
{
    uint64_t offset = fr_get_u64(handle);
    uint32_t frame = fr_get_u32(handle + 8);

    if (frame < FR_FRAME_TRAILER_SIZE || offset > size || frame > size - offset) return;
    uint32_t crc = fr_file_id_seed_at(fr_file_id_seed(&id), offset);

    crc = fr_crc32c_mask(fr_crc32c(crc, file + offset, frame - 4));
    fr_put_u32(file + offset + frame - 4, crc);
    fr_put_u32(handle + 12, crc);
}

static void fix(uint8_t *file, size_t size)
{
    uint8_t *footer = file + size - FR_TABLE_FOOTER_SIZE;

    for (int i = 0; i < FR_TABLE_HANDLES; i++)
        fix_frame(file, size, footer + 16 + 16 * i);
    fr_put_u64(footer + 104, size);
    fr_file_id_put(footer + 112, &id);
    fr_put_u32(footer + 136, 0);
    fr_put_u32(footer + 176, FR_TABLE_VERSION);
    fr_put_u32(footer + 180, fr_crc32c_mask(fr_crc32c(0, footer, 180)));
    fr_put_u64(footer + 184, FR_TABLE_MAGIC);
}

static bool count_findings(void *ctx, uint64_t offset, fr_status st)
{
    (void)offset;
    FUZZ_CHECK(st < 0);
    return ++*(unsigned *)ctx < 100;
}

static void use(struct fr_table *t)
{
    unsigned findings = 0;
    struct fr_iter *it;
    size_t ranges;
    uint64_t sum = 0;

    (void)fr_table_ranges(t, &ranges);
    FUZZ_CHECK(fr_table_iter_new(t, NULL, &it) == FR_OK);
    while (fr_iter_next(it) == FR_OK)
        sum += it->entry.value.size;
    fr_iter_seek(it, fr_slice_of_text("key5"), sum);
    while (fr_iter_prev(it) == FR_OK)
        sum += it->entry.key.size;
    fr_iter_close(it);
    fr_status st = fr_table_verify(t, count_findings, &findings);
    FUZZ_CHECK((st < 0) == (findings > 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_table *t = NULL;
    struct fuzz_disk disk;
    uint8_t *copy;

    if (size > 65536) return 0;
    copy = fr_alloc(size);
    FUZZ_CHECK(copy != NULL);
    if (size > 0) memcpy(copy, data, size);
    if (size >= FR_TABLE_FOOTER_SIZE) fix(copy, size);
    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    fuzz_disk_open(&disk, name, copy, size);
    if (fr_table_open(disk.dir, &id, NULL, &t) == FR_OK) use(t);
    fr_table_unref(t);
    fuzz_disk_close(&disk);
    fr_free(copy);
    return 0;
}

/* ---- mutating */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

/* A change of a few bytes leaves the places of the others right. */
static void change_bytes(uint8_t *data, size_t size, struct fr_rng *rng)
{
    for (uint64_t i = fr_rng_between(rng, 1, 4); i > 0; i--) {
        size_t at = (size_t)fr_rng_below(rng, size);
        if (fr_rng_one_in(rng, 2))
            data[at] ^= (uint8_t)(1u << fr_rng_below(rng, 8));
        else
            data[at] = (uint8_t)fr_rng_next(rng);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    if (size == 0 || fr_rng_one_in(&rng, 4))
        size = LLVMFuzzerMutate == NULL ? size : LLVMFuzzerMutate(data, size, max_size);
    else
        change_bytes(data, size, &rng);
    if (!fr_rng_one_in(&rng, 4)) reseal_table(data, size, &id);
    return size;
}
