/*
 * dump_values.c - a value file, record by record.
 *
 * Records stand back to back, so a damaged one hides where the next one begins. If its sizes are
 * right it begins behind them; otherwise the next place is looked for at which the bytes are a
 * record with a right checksum.
 */
#include <inttypes.h>

#include "base/assert.h"
#include "base/coding.h"
#include "io/file.h"
#include "lsm/frame.h"
#include "lsm/value_parts.h"
#include "tools/dump.h"

#define CHUNK ((uint64_t)256 << 10)

struct values_dump {
    struct fr_dump *d;
    struct fr_file *file;
    const char *path;
    uint64_t size;
    uint64_t data_end;
    uint32_t seed;
    struct fr_unpacker unpacker;
    struct fr_buf window; /* of the file, from at on */
    uint64_t at;
    struct fr_buf value;
};

/* All that the window has from offset on; at least so many bytes, which the file must have. */
static bool have(struct values_dump *v, uint64_t offset, uint64_t size, fr_slice *ret_bytes)
{
    bool there = offset >= v->at && offset + size <= v->at + v->window.size;

    if (!there) {
        uint64_t wanted = FR_MAX(size, CHUNK);

        if (wanted > v->data_end - offset) wanted = v->data_end - offset;
        v->at = offset;
        if (!fr_dump_read(v->d, v->file, offset, wanted, &v->window)) return false;
    }
    size_t skip = (size_t)(offset - v->at);
    *ret_bytes = fr_slice_of(v->window.data + skip, v->window.size - skip);
    return true;
}

/* The value as it was given. false: it cannot be unpacked, which has been told. */
static bool unpack(struct values_dump *v, uint64_t offset, const struct fr_value_stored *record,
        fr_slice *ret_value)
{
    fr_status st;

    *ret_value = record->stored;
    if (record->compression == FR_CODEC_NONE) return true;
    fr_buf_clear(&v->value);
    uint8_t *to = fr_buf_extend(&v->value, (size_t)record->size + 1);
    if (to == NULL)
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a value", v->path);
    else
        st = fr_unpack(&v->unpacker, record->stored, false, to, record->size, v->path, offset);
    if (st < 0) fr_dump_damage(v->d, offset);
    *ret_value = fr_slice_of(to, record->size);
    return st == FR_OK;
}

static void tell_record(struct values_dump *v, uint64_t offset,
        const struct fr_value_stored *record, fr_slice bytes)
{
    struct fr_dump *d = v->d;
    fr_slice value;

    if (!fr_dump_wants(d, "value") || !unpack(v, offset, record, &value)) return;
    fr_dump_begin(d, offset, "value");
    fr_dump_u64(d, "size", record->whole);
    fr_dump_u64(d, "seq", record->seq);
    fr_dump_key(d, "key", record->key);
    if (record->compression != FR_CODEC_NONE) fr_dump_u64(d, "stored", record->stored.size);
    fr_dump_value(d, "value", value);
    /* Of a compressed one the head: what is behind it is nothing to look at. */
    fr_dump_end(d, offset,
            fr_slice_of(bytes.data, record->compression == FR_CODEC_NONE
                                            ? record->whole
                                            : record->whole - record->stored.size));
}

/* The record at offset, if it is whole there. */
static const char *read_record(struct values_dump *v, uint64_t offset, fr_slice *ret_bytes,
        struct fr_value_stored *ret_record)
{
    uint64_t left = v->data_end - offset, whole = FR_VALUE_RECORD_SIZE;

    if (left < whole) return "runs over its end";
    if (!have(v, offset, whole, ret_bytes)) return "cannot be read";
    whole += (uint64_t)fr_get_u32(ret_bytes->data + 4) + fr_get_u16(ret_bytes->data + 12);
    if (whole > left) return "runs over its end";
    if (!have(v, offset, whole, ret_bytes)) return "cannot be read";
    return fr_value_stored_read(v->seed, offset, fr_slice_of(ret_bytes->data, (size_t)whole),
            ret_record);
}

/*
 * The next place with a whole record, looked for in a window which then moves on; a record that is
 * cut by its end is found by the one that overlaps it.
 */
static uint64_t find_record(struct values_dump *v, uint64_t offset)
{
    struct fr_value_stored record;
    fr_slice bytes;

    while (offset < v->data_end) {
        size_t at = 0;
        uint64_t left = v->data_end - offset, span = FR_MIN(left, 4 * CHUNK);

        if (!have(v, offset, span, &bytes)) return v->data_end;
        if (fr_value_stored_find(v->seed, offset, bytes, &at, &record)) return offset + at;
        offset += bytes.size == left ? left : FR_MAX((uint64_t)bytes.size / 2, (uint64_t)1);
    }
    return v->data_end;
}

/* Where to go on behind a damaged record: at its end, if a record is there, or wherever. */
static uint64_t next_place(struct values_dump *v, uint64_t offset)
{
    struct fr_value_stored record;
    fr_slice bytes;

    if (v->data_end - offset >= FR_VALUE_RECORD_SIZE &&
            have(v, offset, FR_VALUE_RECORD_SIZE, &bytes)) {
        uint64_t end = offset + FR_VALUE_RECORD_SIZE + fr_get_u32(bytes.data + 4) +
                       fr_get_u16(bytes.data + 12);
        if (end == v->data_end) return end;
        if (end < v->data_end && read_record(v, end, &bytes, &record) == NULL) return end;
    }
    return find_record(v, offset + 1);
}

static void damage_at(struct values_dump *v, uint64_t offset, const char *why)
{
    (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: the record at %" PRIu64 " %s", v->path, offset, why);
    fr_dump_damage(v->d, offset);
}

static void dump_records(struct values_dump *v)
{
    uint64_t offset = FR_VALUE_HEADER_SIZE;
    struct fr_value_stored record;
    fr_slice bytes;

    while (offset < v->data_end && !fr_dump_full(v->d)) {
        const char *why = read_record(v, offset, &bytes, &record);

        if (why == NULL) {
            tell_record(v, offset, &record, bytes);
            offset += record.whole;
        } else {
            damage_at(v, offset, why);
            offset = next_place(v, offset);
        }
    }
}

static bool read_header(struct values_dump *v, struct fr_file_id *ret_id)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    fr_status st = FR_ERR_CORRUPT;

    if (fr_dump_read(v->d, v->file, 0, FR_VALUE_HEADER_USED, &bytes)) {
        st = fr_value_header_decode(bytes.data, v->path, ret_id);
        if (st < 0) fr_dump_damage(v->d, 0);
    }
    if (st == FR_OK) {
        fr_dump_begin(v->d, 0, "header");
        fr_dump_file_id(v->d, ret_id);
        fr_dump_end(v->d, 0, fr_buf_slice(&bytes));
    }
    fr_buf_deinit(&bytes);
    return st == FR_OK;
}

/* false: there is none, which has been told. */
static bool read_footer(struct values_dump *v, struct fr_value_footer *ret_footer,
        struct fr_buf *bytes)
{
    uint64_t at = v->size - FR_VALUE_FOOTER_SIZE;
    fr_status st;

    if (v->size < FR_VALUE_HEADER_SIZE + FR_VALUE_FOOTER_SIZE) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: %" PRIu64 " bytes are too few for a value file",
                v->path, v->size);
        fr_dump_damage(v->d, v->size);
        return false;
    }
    if (!fr_dump_read(v->d, v->file, at, FR_VALUE_FOOTER_SIZE, bytes)) return false;
    st = fr_value_footer_decode(bytes->data, v->path, at, ret_footer);
    if (st == FR_OK && ret_footer->file_size != v->size)
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: is of %" PRIu64 " bytes, its footer says %" PRIu64,
                v->path, v->size, ret_footer->file_size);
    if (st < 0) fr_dump_damage(v->d, at);
    return st == FR_OK;
}

static void tell_footer(struct values_dump *v, const struct fr_value_footer *footer, fr_slice bytes)
{
    fr_dump_begin(v->d, v->data_end, "footer");
    fr_dump_id(v->d, "hash", bytes.data, 16);
    fr_dump_u64(v->d, "count", footer->count);
    fr_dump_u64(v->d, "bytes", footer->bytes);
    fr_dump_u64(v->d, "file_size", footer->file_size);
    fr_dump_file_id(v->d, &footer->id);
    fr_dump_end(v->d, v->data_end, bytes);
}

static void close_values(struct values_dump *v)
{
    fr_unpacker_deinit(&v->unpacker);
    fr_buf_deinit(&v->window);
    fr_buf_deinit(&v->value);
}

void fr_dump_values(struct fr_dump *d, struct fr_file *file, uint64_t size)
{
    struct values_dump v = {.d = d, .file = file, .path = fr_file_path(file), .size = size};
    struct fr_value_footer footer = {.count = 0};
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_file_id id = {.number = 0};
    bool has_header = size >= FR_VALUE_HEADER_SIZE && read_header(&v, &id);
    bool has_footer = read_footer(&v, &footer, &bytes);

    v.data_end = has_footer ? size - FR_VALUE_FOOTER_SIZE : size;
    v.seed = fr_file_id_seed(has_footer ? &footer.id : &id);
    if (has_header || has_footer) dump_records(&v);
    if (has_footer) tell_footer(&v, &footer, fr_buf_slice(&bytes));
    close_values(&v);
    fr_buf_deinit(&bytes);
}

void fr_dump_value_at(struct fr_dump *d, struct fr_file *file, uint64_t size, uint64_t offset)
{
    struct values_dump v = {.d = d, .file = file, .path = fr_file_path(file), .size = size};
    struct fr_value_footer footer = {.count = 0};
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_value_stored record;
    const char *why = "is not in the file";

    if (read_footer(&v, &footer, &bytes)) {
        fr_slice at;
        v.data_end = size - FR_VALUE_FOOTER_SIZE;
        v.seed = fr_file_id_seed(&footer.id);
        if (offset < v.data_end) why = read_record(&v, offset, &at, &record);
        if (why == NULL) tell_record(&v, offset, &record, at);
        if (why != NULL) damage_at(&v, offset, why);
    }
    close_values(&v);
    fr_buf_deinit(&bytes);
}
