/* dump_filter.c - what a filter says of itself, in a table or alone. */
#include "lsm/filter.h"

#include <inttypes.h>

#include "io/file.h"
#include "tools/dump.h"

static uint64_t count_bits(const struct fr_filter *filter)
{
    uint64_t count = 0;

    for (size_t i = 0; i < (size_t)filter->line_count * FR_FILTER_LINE_SIZE; i++)
        count += (uint64_t)__builtin_popcount(filter->lines[i]);
    return count;
}

bool fr_dump_filter_at(struct fr_dump *d, const char *path, uint64_t offset, fr_slice bytes)
{
    struct fr_filter filter;
    fr_status st = fr_filter_open(bytes, path, offset, &filter);

    if (st < 0) {
        fr_dump_damage(d, offset);
        return false;
    }
    fr_dump_u64(d, "keys", filter.key_count);
    fr_dump_u64(d, "lines", filter.line_count);
    fr_dump_u64(d, "probes", filter.probes);
    fr_dump_u64(d, "bits_set", count_bits(&filter));
    return true;
}

void fr_dump_filter(struct fr_dump *d, struct fr_file *file, uint64_t size)
{
    struct fr_buf bytes = FR_BUF_EMPTY;

    if (fr_dump_read(d, file, 0, size, &bytes)) {
        fr_dump_begin(d, 0, "filter");
        if (fr_dump_filter_at(d, fr_file_path(file), 0, fr_buf_slice(&bytes)))
            fr_dump_end(d, 0, fr_slice_of(bytes.data, FR_FILTER_HEADER_SIZE));
    }
    fr_buf_deinit(&bytes);
}
