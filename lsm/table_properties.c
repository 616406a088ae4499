#include "lsm/table_properties.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/bytes.h"

/*
 * The tags. Stored: never renumbered, never used again for something else. A number that is 0 is
 * left out.
 */
enum tag {
    TAG_SMALLEST = 64,
    TAG_LARGEST = 65,
    TAG_VALUE_REF = 66, /* three varints: file, bytes, count; once for each file */
};

static const struct {
    uint8_t tag;
    size_t at;
} numbers[] = {
        {1, offsetof(struct fr_table_properties, put_count)},
        {2, offsetof(struct fr_table_properties, delete_count)},
        {3, offsetof(struct fr_table_properties, append_count)},
        {4, offsetof(struct fr_table_properties, range_count)},
        {5, offsetof(struct fr_table_properties, key_count)},
        {6, offsetof(struct fr_table_properties, placed_count)},
        {7, offsetof(struct fr_table_properties, expires_count)},
        {8, offsetof(struct fr_table_properties, expires_least_us)},
        {9, offsetof(struct fr_table_properties, raw_key_bytes)},
        {10, offsetof(struct fr_table_properties, raw_value_bytes)},
        {11, offsetof(struct fr_table_properties, block_count)},
        {12, offsetof(struct fr_table_properties, block_raw_bytes)},
        {13, offsetof(struct fr_table_properties, block_stored_bytes)},
        {14, offsetof(struct fr_table_properties, index_bytes)},
        {15, offsetof(struct fr_table_properties, filter_bytes)},
        {16, offsetof(struct fr_table_properties, dictionary_bytes)},
        {17, offsetof(struct fr_table_properties, seq_least)},
        {18, offsetof(struct fr_table_properties, seq_most)},
        {19, offsetof(struct fr_table_properties, created_us)},
        {20, offsetof(struct fr_table_properties, level)},
        {21, offsetof(struct fr_table_properties, origin)},
        {22, offsetof(struct fr_table_properties, compression)},
        {23, offsetof(struct fr_table_properties, largest_open)},
        {24, offsetof(struct fr_table_properties, shadowed_bytes)},
};

static uint64_t number_get(const struct fr_table_properties *properties, size_t at)
{
    uint64_t value;

    memcpy(&value, (const char *)properties + at, sizeof(value));
    return value;
}

void fr_table_properties_deinit(struct fr_table_properties *properties)
{
    fr_buf_deinit(&properties->smallest);
    fr_buf_deinit(&properties->largest);
    fr_buf_deinit(&properties->value_refs);
}

/* The number of refs with a smaller file. */
static size_t refs_below(const struct fr_table_properties *properties, uint64_t file)
{
    const struct fr_value_ref *refs = fr_table_value_refs(properties);
    size_t low = 0, high = fr_table_value_ref_count(properties);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (refs[middle].file < file)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void fr_table_properties_add_ref(struct fr_table_properties *properties, uint64_t file,
        uint64_t bytes, uint64_t count)
{
    size_t at = refs_below(properties, file), total = fr_table_value_ref_count(properties);
    struct fr_value_ref *refs = (struct fr_value_ref *)(void *)properties->value_refs.data;

    if (refs == NULL || at == total || refs[at].file != file) {
        if (fr_buf_extend(&properties->value_refs, sizeof(struct fr_value_ref)) == NULL) return;
        refs = (struct fr_value_ref *)(void *)properties->value_refs.data;
        memmove(refs + at + 1, refs + at, (total - at) * sizeof(*refs));
        refs[at] = (struct fr_value_ref){.file = file};
    }
    refs[at].bytes += bytes;
    refs[at].count += count;
}

static void put_tag(struct fr_buf *out, unsigned tag, fr_slice bytes)
{
    fr_buf_varint(out, tag);
    fr_buf_block(out, bytes);
}

static void put_number(struct fr_buf *out, unsigned tag, uint64_t value)
{
    uint8_t bytes[FR_VARINT64_MAX];

    put_tag(out, tag, fr_slice_of(bytes, (size_t)(fr_put_varint(bytes, value) - bytes)));
}

static void put_ref(struct fr_buf *out, const struct fr_value_ref *ref)
{
    uint8_t bytes[3 * FR_VARINT64_MAX];
    uint8_t *end = fr_put_varint(bytes, ref->file);

    end = fr_put_varint(end, ref->bytes);
    end = fr_put_varint(end, ref->count);
    put_tag(out, TAG_VALUE_REF, fr_slice_of(bytes, (size_t)(end - bytes)));
}

void fr_table_properties_put(const struct fr_table_properties *properties, struct fr_buf *out)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(numbers); i++) {
        uint64_t value = number_get(properties, numbers[i].at);

        if (value != 0) put_number(out, numbers[i].tag, value);
    }
    if (properties->smallest.size > 0)
        put_tag(out, TAG_SMALLEST, fr_buf_slice(&properties->smallest));
    if (properties->largest.size > 0) put_tag(out, TAG_LARGEST, fr_buf_slice(&properties->largest));
    for (size_t i = 0; i < fr_table_value_ref_count(properties); i++)
        put_ref(out, &fr_table_value_refs(properties)[i]);
}

static bool get_number(struct fr_table_properties *properties, uint64_t tag, fr_slice bytes)
{
    struct fr_bytes in = fr_bytes_of(bytes);

    for (size_t i = 0; i < FR_ARRAY_COUNT(numbers); i++) {
        if (numbers[i].tag != tag) continue;
        uint64_t value = fr_bytes_varint(&in);

        memcpy((char *)properties + numbers[i].at, &value, sizeof(value));
        return fr_bytes_done(&in);
    }
    return true;
}

static bool get_ref(struct fr_table_properties *properties, fr_slice bytes)
{
    struct fr_bytes in = fr_bytes_of(bytes);
    uint64_t file = fr_bytes_varint(&in), size = fr_bytes_varint(&in);
    uint64_t count = fr_bytes_varint(&in), refs = fr_table_value_ref_count(properties);

    if (!fr_bytes_done(&in)) return false;
    /* By file, or hostile bytes could make the insertion below quadratic. */
    if (refs > 0 && fr_table_value_refs(properties)[refs - 1].file >= file) return false;
    fr_table_properties_add_ref(properties, file, size, count);
    return true;
}

static bool get_one(struct fr_table_properties *properties, uint64_t tag, fr_slice bytes)
{
    switch (tag) {
    case TAG_SMALLEST:
        fr_buf_append(&properties->smallest, bytes.data, bytes.size);
        return true;
    case TAG_LARGEST:
        fr_buf_append(&properties->largest, bytes.data, bytes.size);
        return true;
    case TAG_VALUE_REF:
        return get_ref(properties, bytes);
    default:
        return get_number(properties, tag, bytes);
    }
}

fr_status fr_table_properties_get(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_table_properties *ret_properties)
{
    struct fr_table_properties properties = {0};
    struct fr_bytes in = fr_bytes_of(bytes);
    bool good = true;

    while (good && fr_bytes_ok(&in) && fr_bytes_left(&in) > 0) {
        uint64_t tag = fr_bytes_varint(&in);
        fr_slice value = fr_bytes_block(&in);

        good = fr_bytes_ok(&in) && get_one(&properties, tag, value);
    }
    good = good && fr_bytes_ok(&in) && properties.smallest.size <= UINT16_MAX &&
           properties.largest.size <= UINT16_MAX;
    if (properties.smallest.failed || properties.largest.failed || properties.value_refs.failed) {
        fr_table_properties_deinit(&properties);
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for properties", path);
    }
    if (!good) {
        fr_table_properties_deinit(&properties);
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the properties at %" PRIu64 " cannot be read", path,
                offset);
    }
    *ret_properties = properties;
    return FR_OK;
}

fr_status fr_table_properties_copy(const struct fr_table_properties *from,
        struct fr_table_properties *ret_to)
{
    struct fr_table_properties to = *from;

    to.smallest = to.largest = to.value_refs = FR_BUF_EMPTY;
    fr_buf_append(&to.smallest, from->smallest.data, from->smallest.size);
    fr_buf_append(&to.largest, from->largest.data, from->largest.size);
    fr_buf_append(&to.value_refs, from->value_refs.data, from->value_refs.size);
    if (to.smallest.failed || to.largest.failed || to.value_refs.failed) {
        fr_table_properties_deinit(&to);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a table's properties");
    }
    *ret_to = to;
    return FR_OK;
}
