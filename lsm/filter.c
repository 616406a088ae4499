#include "lsm/filter.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/museum.h"

void fr_filter_builder_init(struct fr_filter_builder *builder, unsigned bits_per_key)
{
    FR_ASSERT(bits_per_key >= 1 && bits_per_key <= FR_FILTER_BITS_MAX);
    *builder = (struct fr_filter_builder){.bits_per_key = bits_per_key};
}

void fr_filter_builder_deinit(struct fr_filter_builder *builder)
{
    fr_buf_deinit(&builder->hashes);
}

static size_t key_count(const struct fr_filter_builder *builder)
{
    return builder->hashes.size / sizeof(uint64_t);
}

static uint64_t hash_at(const struct fr_filter_builder *builder, size_t index)
{
    uint64_t hash = fr_get_u64(builder->hashes.data + index * sizeof(uint64_t));

    /* museum 26: a filter that has lost a key */
    if (FR_MUSEUM(26) && index % 16 == 7) hash ^= (uint64_t)1 << 20;
    return hash;
}

void fr_filter_builder_add(struct fr_filter_builder *builder, uint64_t hash)
{
    size_t count = key_count(builder);

    if (count > 0 && hash_at(builder, count - 1) == hash) return;
    fr_buf_u64(&builder->hashes, hash);
}

static uint32_t line_count(const struct fr_filter_builder *builder)
{
    uint64_t bits = (uint64_t)key_count(builder) * builder->bits_per_key;
    uint64_t lines = bits / (8 * FR_FILTER_LINE_SIZE) + 1;

    return (uint32_t)FR_MIN(lines, (uint64_t)UINT32_MAX / FR_FILTER_LINE_SIZE);
}

size_t fr_filter_builder_size(const struct fr_filter_builder *builder)
{
    return FR_FILTER_HEADER_SIZE + (size_t)line_count(builder) * FR_FILTER_LINE_SIZE;
}

/*
 * bits * ln 2 is best in theory; one less of six or more is as good here, where keys are not spread
 * evenly over the lines, and quicker.
 */
static uint8_t probe_count(unsigned bits_per_key)
{
    unsigned probes = (bits_per_key * 69 + 50) / 100;

    if (probes >= 6) probes--;
    if (probes == 0) return 1;
    return (uint8_t)FR_MIN(probes, (unsigned)FR_FILTER_PROBES_MAX);
}

static void set_bits(uint8_t *line, uint32_t h, unsigned probes)
{
    for (unsigned i = 0; i < probes; i++, h *= FR_FILTER_STEP)
        line[h >> 26] |= (uint8_t)(1u << (h >> 23 & 7));
}

static uint32_t checksum(const uint8_t *filter, size_t size)
{
    uint32_t crc = fr_crc32c(0, filter, 12);

    return fr_crc32c_mask(fr_crc32c(crc, filter + 16, size - 16));
}

static void put_header(uint8_t *to, uint32_t lines, uint8_t probes, uint64_t keys)
{
    fr_put_u32(to, FR_FILTER_MAGIC);
    to[4] = FR_FILTER_VERSION;
    to[5] = FR_FILTER_KIND_BLOOM;
    to[6] = probes;
    fr_put_u32(to + 8, lines);
    fr_put_u64(to + 16, keys);
}

/* The finished bytes, opened as a reader would, must know every key. */
static fr_status check_finished(const struct fr_filter_builder *builder, fr_slice bytes)
{
    struct fr_filter filter;
    fr_status st;

    FR_TRY(fr_filter_open(bytes, "a new filter", 0, &filter));
    for (size_t i = 0; i < key_count(builder); i++)
        if (!fr_filter_may_contain(&filter, hash_at(builder, i)))
            return FR_FAIL(FR_ERR_CORRUPT, "a new filter has lost key %zu: failing hardware?", i);
out:
    return st;
}

fr_status fr_filter_builder_finish(struct fr_filter_builder *builder, struct fr_buf *out)
{
    uint8_t probes = probe_count(builder->bits_per_key);
    uint32_t lines = line_count(builder);
    size_t size = fr_filter_builder_size(builder);
    struct fr_filter filter = {.line_count = lines, .probes = probes};
    uint8_t *to;
    fr_status st;

    FR_TRY(fr_buf_status(&builder->hashes));
    to = fr_buf_extend(out, size);
    if (to == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a filter of %zu bytes", size);
    memset(to, 0, size);
    put_header(to, lines, probes, key_count(builder));
    filter.lines = to + FR_FILTER_HEADER_SIZE;
    for (size_t i = 0; i < key_count(builder); i++) {
        uint64_t hash = hash_at(builder, i);

        set_bits(to + (fr_filter_line(&filter, hash) - to), (uint32_t)hash, probes);
    }
    fr_put_u32(to + 12, checksum(to, size));
    FR_TRY(check_finished(builder, fr_slice_of(to, size)));
out:
    return st;
}

static const char *read_header(fr_slice bytes, struct fr_filter *filter)
{
    struct fr_bytes in = fr_bytes_of(bytes);
    uint32_t magic = fr_bytes_u32(&in);
    uint32_t crc;

    fr_bytes_skip(&in, 2);
    filter->probes = fr_bytes_u8(&in);
    fr_bytes_skip(&in, 1);
    filter->line_count = fr_bytes_u32(&in);
    crc = fr_bytes_u32(&in);
    filter->key_count = fr_bytes_u64(&in);
    fr_bytes_skip(&in, 40);
    if (!fr_bytes_ok(&in) || magic != FR_FILTER_MAGIC) return "is not a filter";
    if (crc != checksum(bytes.data, bytes.size)) return "does not match its checksum";
    if (filter->line_count == 0 || filter->probes == 0 || filter->probes > FR_FILTER_PROBES_MAX)
        return "has a bad limit in its header";
    filter->lines = fr_bytes_take(&in, (uint64_t)filter->line_count * FR_FILTER_LINE_SIZE).data;
    if (!fr_bytes_done(&in)) return "is not as long as its header says";
    return NULL;
}

fr_status fr_filter_open(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_filter *ret_filter)
{
    struct fr_filter filter = {0};
    const char *why = read_header(bytes, &filter);

    if (why != NULL)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the filter at %" PRIu64 " %s", path, offset, why);
    if (bytes.data[4] != FR_FILTER_VERSION || bytes.data[5] != FR_FILTER_KIND_BLOOM)
        return FR_FAIL(FR_ERR_TOO_NEW, "%s: the filter at %" PRIu64 " has version %d, kind %d",
                path, offset, bytes.data[4], bytes.data[5]);
    *ret_filter = filter;
    return FR_OK;
}
