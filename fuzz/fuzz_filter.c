/*
 * fuzz_filter.c - filters from anywhere, their checksum made right: refused, or asked safely.
 */
#include "base/alloc.h"
#include "base/crc32c.h"
#include "fuzz/fuzz.h"
#include "lsm/filter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_filter filter;
    uint8_t *copy;

    if (size < FR_FILTER_HEADER_SIZE) {
        FUZZ_CHECK(fr_filter_open(fr_slice_of(data, size), "fuzz", 0, &filter) < 0);
        return 0;
    }
    copy = fr_alloc(size);
    FUZZ_CHECK(copy != NULL);
    memcpy(copy, data, size);
    fr_put_u32(copy, FR_FILTER_MAGIC);
    uint32_t crc = fr_crc32c(0, copy, 12);
    fr_put_u32(copy + 12, fr_crc32c_mask(fr_crc32c(crc, copy + 16, size - 16)));
    if (fr_filter_open(fr_slice_of(copy, size), "fuzz", 0, &filter) == FR_OK) {
        unsigned yes = 0;

        for (uint64_t i = 0; i < 64; i++)
            yes += fr_filter_may_contain(&filter, i * 0x9e3779b97f4a7c15u);
        yes += fr_filter_may_contain(&filter, UINT64_MAX);
        FUZZ_CHECK(yes <= 65);
    }
    fr_free(copy);
    return 0;
}
