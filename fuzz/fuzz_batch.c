/*
 * fuzz_batch.c - reads a batch from hostile bytes.
 *
 * Nothing read leaves the bytes, what is read keeps the rules of a batch, and a batch that verifies
 * is the only way to write what it says: built again from its operations it has the same bytes. If
 * the first byte is odd, the header and the checks of all records are made right first, as far as
 * the sizes lead, so that the fuzzer gets past them.
 */
#include <string.h>

#include "base/alloc.h"
#include "fuzz/fuzz.h"
#include "lsm/batch.h"

static void mend_records(uint8_t *bytes, size_t size)
{
    size_t at = FR_BATCH_HEADER_SIZE;
    uint32_t count = 0;

    while (size - at >= FR_BATCH_RECORD_SIZE) {
        size_t record = (size_t)FR_BATCH_RECORD_SIZE +
                        (bytes[at + 5] & FR_ENTRY_EXPIRES ? 8u : 0u) + fr_get_u16(bytes + at + 6) +
                        fr_get_u32(bytes + at + 8);
        if (record > size - at) break;
        fr_put_u32(bytes + at, fr_crc32c_mask(fr_crc32c(0, bytes + at + 4, record - 4)));
        at += record;
        count++;
    }
    fr_batch_header_put(bytes, &(struct fr_batch_header){.count = count, .size = (uint32_t)size});
}

static fr_status add_again(struct fr_batch *batch, const struct fr_entry *entry)
{
    switch (entry->kind) {
    case FR_KIND_PUT:
        if (entry->flags != 0)
            return fr_batch_add_put_until(batch, entry->key, entry->value, entry->expires_us);
        return fr_batch_add_put(batch, entry->key, entry->value);
    case FR_KIND_DELETE:
        return fr_batch_add_delete(batch, entry->key);
    case FR_KIND_DELETE_RANGE:
        return fr_batch_add_delete_range(batch, entry->key, entry->value);
    default:
        return fr_batch_add_append(batch, entry->key, entry->value);
    }
}

static void check_inside(fr_slice part, fr_slice whole)
{
    if (part.size == 0) return;
    FUZZ_CHECK(part.data >= whole.data && part.size <= whole.size);
    FUZZ_CHECK(part.data + part.size <= whole.data + whole.size);
}

static void read_batch(fr_slice bytes, bool verify)
{
    struct fr_batch again = FR_BATCH_EMPTY;
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st = fr_batch_read(bytes, 1, verify, &reader);
    fr_slice built;

    while (st == FR_OK && (st = fr_batch_read_next(&reader, &entry)) == FR_OK) {
        check_inside(entry.key, bytes);
        check_inside(entry.value, bytes);
        FUZZ_CHECK(add_again(&again, &entry) == FR_OK);
    }
    if (st == FR_END && verify) {
        FUZZ_CHECK(fr_batch_finish(&again, &built) == FR_OK);
        FUZZ_CHECK(fr_slice_equal(built, bytes));
    }
    FUZZ_CHECK(st == FR_END || st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW);
    fr_batch_deinit(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;

    uint8_t *bytes = fr_alloc(size - 1);
    if (bytes == NULL) return 0;
    memcpy(bytes, data + 1, size - 1);
    if (data[0] % 2 == 1 && size - 1 >= FR_BATCH_HEADER_SIZE) mend_records(bytes, size - 1);
    read_batch(fr_slice_of(bytes, size - 1), true);
    read_batch(fr_slice_of(bytes, size - 1), false);
    fr_free(bytes);
    return 0;
}
