/*
 * fuzz_prebuilt.c - files that somebody gives to an ingest: refused, or whole in every respect.
 *
 * The first byte of the input says what is made right before the rest is opened, so that the fuzzer
 * need not guess it: bit 0 header and footer, bit 1 all checksums down to the data's. What is
 * accepted must then be what a table writer writes: keys that ascend, of the sizes allowed, each
 * put or deleted once.
 */
#include "fuzz/fuzz_files.h"
#include "fuzz/fuzz_reseal.h"
#include "lsm/prebuilt.h"
#include "lsm/table.h"

#define NAME "given"

static void fix_ends(uint8_t *file, size_t size)
{
    uint8_t *footer = file + size - FR_TABLE_FOOTER_SIZE;

    fr_put_u64(file, FR_TABLE_MAGIC);
    fr_put_u32(file + 8, FR_TABLE_VERSION);
    fr_put_u32(file + 12, 0);
    fr_file_id_put(file + 16, &fr_prebuilt_id);
    fr_put_u64(footer + 104, size);
    fr_file_id_put(footer + 112, &fr_prebuilt_id);
    fr_put_u32(footer + 136, 0);
    fr_put_u32(footer + 176, FR_TABLE_VERSION);
    fr_put_u64(footer + 184, FR_TABLE_MAGIC);
}

static void check_entry(const struct fr_entry *entry, struct fr_buf *last)
{
    FUZZ_CHECK(entry->key.size > 0 && entry->key.size <= FR_KEY_SIZE_MAX);
    FUZZ_CHECK(entry->value.size <= FR_VALUE_SIZE_MAX);
    FUZZ_CHECK(entry->kind == FR_KIND_PUT || entry->kind == FR_KIND_DELETE);
    FUZZ_CHECK((entry->flags & FR_ENTRY_PLACED) == 0 && entry->seq == 1);
    FUZZ_CHECK(last->size == 0 || fr_slice_compare(fr_buf_slice(last), entry->key) < 0);
    fr_buf_clear(last);
    fr_buf_append(last, entry->key.data, entry->key.size);
    FUZZ_CHECK(fr_buf_status(last) == FR_OK);
}

static void use(struct fr_table *table)
{
    struct fr_buf last = FR_BUF_EMPTY;
    struct fr_iter *it;
    fr_status st;

    FUZZ_CHECK(fr_table_iter_new(table, NULL, &it) == FR_OK);
    while ((st = fr_iter_next(it)) == FR_OK)
        check_entry(&it->entry, &last);
    FUZZ_CHECK(st == FR_END); /* it was read wholly before it was accepted */
    fr_iter_close(it);
    fr_buf_deinit(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_table *table = NULL;
    struct fuzz_disk disk;
    uint8_t *copy;

    if (size == 0 || size > 65536) return 0;
    copy = fr_alloc(size);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data + 1, --size);
    bool whole = size >= FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE;
    if (whole && (data[0] & 1)) fix_ends(copy, size);
    if (whole && (data[0] & 2)) reseal_table(copy, size, &fr_prebuilt_id);
    fuzz_disk_open(&disk, NAME, copy, size);
    fr_status st = fr_prebuilt_open(fr_sim_env(disk.sim), "/f/" NAME, &table);
    FUZZ_CHECK((st == FR_OK) == (table != NULL));
    if (st == FR_OK)
        use(table);
    else
        FUZZ_CHECK(strstr(fr_last_error(), NAME) != NULL || st == FR_ERR_NOMEM);
    fr_table_unref(table);
    fuzz_disk_close(&disk);
    fr_free(copy);
    return 0;
}
