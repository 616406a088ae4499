#include "tools/vector_file.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "spfresh/half.h"
#include "tools/input.h"
#include "tools/vector_file_priv.h"

static const struct {
    const char *name;
    enum fr_element element;
    bool has_count; /* in front; else each row has its dimension */
} formats[] = {
        [FR_VECTORS_FVECS] = {"fvecs", FR_ELEMENT_F32, false},
        [FR_VECTORS_BVECS] = {"bvecs", FR_ELEMENT_U8, false},
        [FR_VECTORS_FBIN] = {"fbin", FR_ELEMENT_F32, true},
        [FR_VECTORS_U8BIN] = {"u8bin", FR_ELEMENT_U8, true},
        [FR_VECTORS_I8BIN] = {"i8bin", FR_ELEMENT_I8, true},
        [FR_VECTORS_NPY] = {"npy", FR_ELEMENT_F32, true},
        [FR_VECTORS_JSONL] = {"jsonl", FR_ELEMENT_F32, false},
};
static_assert(FR_ARRAY_COUNT(formats) == FR_VECTOR_FORMAT_COUNT, "a row for each format");

const char *fr_vector_format_name(enum fr_vector_format format)
{
    return formats[format].name;
}

const char *fr_vector_format_names(void)
{
    return "fvecs, bvecs, fbin, u8bin, i8bin, npy, jsonl";
}

/* What stands behind the last dot of the last component. */
static const char *extension(const char *path)
{
    const char *slash = strrchr(path, '/'), *dot = strrchr(slash == NULL ? path : slash, '.');

    return dot == NULL ? "" : dot + 1;
}

fr_status fr_vector_format_choose(const char *name, const char *path,
        enum fr_vector_format *ret_format)
{
    const char *wanted = name != NULL ? name : extension(path);

    for (size_t i = 0; i < FR_VECTOR_FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, wanted) != 0) continue;
        *ret_format = (enum fr_vector_format)i;
        return FR_OK;
    }
    if (name != NULL)
        return FR_FAIL(FR_ERR_MISUSE, "no format is called \"%.40s\": know %s", name,
                fr_vector_format_names());
    return FR_FAIL(FR_ERR_MISUSE, "%s: its name tells no format; say --format: %s", path,
            fr_vector_format_names());
}

/* --- Elements --- */

size_t fr_element_size(enum fr_element element)
{
    static const size_t sizes[] = {[FR_ELEMENT_F32] = 4,
            [FR_ELEMENT_U8] = 1,
            [FR_ELEMENT_I8] = 1,
            [FR_ELEMENT_F16] = 2,
            [FR_ELEMENT_F64] = 8};
    return sizes[element];
}

static float f32_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* What is beyond a float becomes infinite, which the index refuses with words of its own. */
static float f64_of(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    if (value > (double)FLT_MAX) return INFINITY;
    if (value < (double)-FLT_MAX) return -INFINITY;
    return (float)value;
}

static float element_at(const struct fr_vector_reader *reader, const uint8_t *at)
{
    bool swap = reader->big_endian;

    switch (reader->element) {
    case FR_ELEMENT_U8:
        return (float)at[0];
    case FR_ELEMENT_I8:
        return (float)(int8_t)at[0];
    case FR_ELEMENT_F16:
        return fr_half_to_float(swap ? __builtin_bswap16(fr_get_u16(at)) : fr_get_u16(at));
    case FR_ELEMENT_F64:
        return f64_of(swap ? __builtin_bswap64(fr_get_u64(at)) : fr_get_u64(at));
    case FR_ELEMENT_F32:
        break;
    }
    return f32_of(swap ? __builtin_bswap32(fr_get_u32(at)) : fr_get_u32(at));
}

fr_status fr_vector_decode(struct fr_vector_reader *reader, fr_slice bytes)
{
    size_t size = fr_element_size(reader->element), count = bytes.size / size;

    fr_buf_clear(&reader->vector);
    uint8_t *to = fr_buf_extend(&reader->vector, count * sizeof(float));
    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a vector", fr_input_name(reader->input));
    for (size_t i = 0; i < count; i++) {
        float value = element_at(reader, bytes.data + i * size);
        memcpy(to + i * sizeof(value), &value, sizeof(value));
    }
    return FR_OK;
}

fr_status fr_vector_check_dimension(const struct fr_vector_reader *reader, uint64_t dimension,
        uint64_t offset)
{
    if (dimension > 0 && dimension <= FR_VECTOR_DIMENSION_MAX) return FR_OK;
    return FR_FAIL(FR_ERR_CORRUPT,
            "%s: a dimension of %" PRIu64 " at offset %" PRIu64 ": it is from 1 to %d",
            fr_input_name(reader->input), dimension, offset, FR_VECTOR_DIMENSION_MAX);
}

/* --- Rows --- */

static fr_status read_count_header(struct fr_vector_reader *reader)
{
    fr_slice header;
    fr_status st;

    FR_TRY(fr_input_take(reader->input, 8, "the header", &header));
    if (st == FR_END)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: is empty: %s has a header of 8 bytes",
                fr_input_name(reader->input), fr_vector_format_name(reader->format)));
    uint32_t dimension = fr_get_u32(header.data + 4);
    FR_TRY(fr_vector_check_dimension(reader, dimension, 4));
    reader->row_count = fr_get_u32(header.data);
    reader->dimension = dimension;
out:
    return st;
}

static fr_status read_header(struct fr_vector_reader *reader)
{
    if (reader->format == FR_VECTORS_NPY) return fr_npy_read_header(reader);
    return formats[reader->format].has_count ? read_count_header(reader) : FR_OK;
}

fr_status fr_vector_reader_new(struct fr_input *input, enum fr_vector_format format,
        struct fr_vector_reader **ret_reader)
{
    struct fr_vector_reader *reader = FR_NEW(struct fr_vector_reader);
    fr_status st;

    if (reader == NULL) {
        st = FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read it", fr_input_name(input));
        fr_input_close(input);
        return st;
    }
    reader->input = input;
    reader->format = format;
    reader->element = formats[format].element;
    reader->row_count = UINT64_MAX;
    FR_TRY(read_header(reader));
    *ret_reader = FR_TAKE(reader);
out:
    fr_vector_reader_free(reader);
    return st;
}

/* What begins as one of the two formats that can be told by their beginning. */
static bool sniff(fr_slice bytes, enum fr_vector_format *ret_format)
{
    size_t i = 0;

    while (i < bytes.size && (bytes.data[i] == ' ' || bytes.data[i] == '\n'))
        i++;
    *ret_format = i < bytes.size && bytes.data[i] == '{' ? FR_VECTORS_JSONL : FR_VECTORS_NPY;
    return *ret_format == FR_VECTORS_JSONL ||
           fr_slice_starts_with(bytes, fr_slice_of_text(FR_NPY_MAGIC));
}

#define SNIFF_SIZE 64

fr_status fr_vector_reader_open(const char *path, const char *format_name, bool (*should_end)(void),
        struct fr_vector_reader **ret_reader)
{
    enum fr_vector_format format;
    struct fr_input *input = NULL;
    fr_slice front;
    fr_status st;

    /* A name that is none is told before the file is waited for. */
    if (format_name != NULL) FR_TRY(fr_vector_format_choose(format_name, path, &format));
    FR_TRY(fr_input_open(path, &input));
    fr_input_end_if(input, should_end);
    st = fr_vector_format_choose(format_name, path, &format);
    if (st < 0) {
        FR_TRY(fr_input_peek(input, SNIFF_SIZE, &front));
        if (!sniff(front, &format)) FR_TRY(fr_vector_format_choose(format_name, path, &format));
    }
    st = fr_vector_reader_new(FR_TAKE(input), format, ret_reader);
out:
    fr_input_close(input);
    return st;
}

void fr_vector_reader_free(struct fr_vector_reader *reader)
{
    if (reader == NULL) return;
    fr_input_close(reader->input);
    fr_buf_deinit(&reader->vector);
    fr_buf_deinit(&reader->text);
    fr_buf_deinit(&reader->id_text);
    fr_buf_deinit(&reader->payload);
    fr_free(reader);
}

/* The dimension in front of each row may be its only one. */
static fr_status read_row_dimension(struct fr_vector_reader *reader)
{
    uint64_t offset = fr_input_offset(reader->input);
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_input_take(reader->input, 4, "a row's dimension", &bytes));
    if (st == FR_END) return st;
    uint32_t dimension = fr_get_u32(bytes.data);
    FR_TRY(fr_vector_check_dimension(reader, dimension, offset));
    if (reader->dimension == 0) reader->dimension = dimension;
    if (dimension != reader->dimension)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT,
                "%s: row %" PRIu64 " at offset %" PRIu64 " has the dimension %" PRIu32
                ", those before it %" PRIu32,
                fr_input_name(reader->input), reader->number, offset, dimension,
                reader->dimension));
out:
    return st;
}

/* Behind the last row that the header promises nothing may stand. */
static fr_status check_end(struct fr_vector_reader *reader)
{
    fr_slice over;
    fr_status st = fr_input_take(reader->input, 1, "", &over);

    if (st != FR_OK) return st;
    return FR_FAIL(FR_ERR_CORRUPT,
            "%s: its header promises %" PRIu64 " rows, but there is more behind them, at offset "
            "%" PRIu64,
            fr_input_name(reader->input), reader->row_count, fr_input_offset(reader->input) - 1);
}

static fr_status binary_next(struct fr_vector_reader *reader, struct fr_vector_row *ret_row)
{
    uint64_t offset = fr_input_offset(reader->input);
    fr_slice bytes;
    fr_status st;

    if (reader->number == reader->row_count) return check_end(reader);
    snprintf(reader->place, sizeof(reader->place), "offset %" PRIu64, offset);
    if (!formats[reader->format].has_count) {
        FR_TRY(read_row_dimension(reader));
        if (st == FR_END) return st;
    }
    FR_TRY(fr_input_take(reader->input, reader->dimension * fr_element_size(reader->element),
            "a row", &bytes));
    if (st == FR_END)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT,
                "%s: ends at offset %" PRIu64 ", where row %" PRIu64 " should be",
                fr_input_name(reader->input), fr_input_offset(reader->input), reader->number));
    FR_TRY(fr_vector_decode(reader, bytes));
    ret_row->id = reader->number;
    ret_row->vector = (const float *)(const void *)reader->vector.data;
    ret_row->dimension = reader->dimension;
    ret_row->payload = fr_slice_of(NULL, 0);
    reader->number++;
out:
    return st;
}

fr_status fr_vector_reader_next(struct fr_vector_reader *reader, struct fr_vector_row *ret_row)
{
    struct fr_vector_row row = {.number = reader->number};
    fr_status st;

    if (reader->broken)
        return FR_FAIL(FR_ERR_MISUSE, "%s: cannot be read any further",
                fr_input_name(reader->input));
    if (reader->format == FR_VECTORS_JSONL) {
        st = fr_jsonl_next(reader, &row);
    } else {
        st = binary_next(reader, &row);
        reader->broken = st < 0;
    }
    if (st == FR_OK) *ret_row = row;
    return st;
}

bool fr_vector_reader_can_go_on(const struct fr_vector_reader *reader)
{
    return !reader->broken;
}

fr_slice fr_vector_reader_line(const struct fr_vector_reader *reader)
{
    return reader->line_text;
}

const char *fr_vector_reader_place(const struct fr_vector_reader *reader)
{
    return reader->place;
}

uint64_t fr_vector_reader_count(const struct fr_vector_reader *reader)
{
    return reader->row_count;
}

uint64_t fr_vector_reader_bytes(const struct fr_vector_reader *reader)
{
    return fr_input_offset(reader->input);
}
