#include "tools/vector_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "tools/input.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

static struct fr_buf file; /* all zeros: empty */
static struct fr_vector_reader *reader;
static struct fr_vector_row row;

static void add_floats(size_t count, const float *values)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof(bits));
        fr_buf_u32(&file, bits);
    }
}

#define FLOATS(...)                                                                                \
    add_floats(sizeof((const float[]){__VA_ARGS__}) / sizeof(float), (const float[]){__VA_ARGS__})

static void add_text(const char *text)
{
    fr_buf_append(&file, text, strlen(text));
}

static fr_status open_as(enum fr_vector_format format)
{
    struct fr_input *input;

    cr_assert_eq(fr_input_of_memory("file", fr_buf_slice(&file), 3, &input), FR_OK);
    return fr_vector_reader_new(input, format, &reader);
}

static void opens_as(enum fr_vector_format format)
{
    cr_assert_eq(open_as(format), FR_OK, "%s", fr_last_error());
}

static void says(const char *words)
{
    cr_assert_not_null(strstr(fr_last_error(), words), "\"%s\" is not in: %s", words,
            fr_last_error());
}

static void does_not_open(enum fr_vector_format format, fr_status status, const char *words)
{
    cr_assert_eq(open_as(format), status, "%s", fr_last_error());
    says(words);
    fr_buf_deinit(&file);
}

static void next_is(uint64_t id, uint32_t dimension, const float *values)
{
    cr_assert_eq(fr_vector_reader_next(reader, &row), FR_OK, "%s", fr_last_error());
    cr_assert_eq(row.id, id);
    cr_assert_eq(row.dimension, dimension);
    for (uint32_t i = 0; i < dimension; i++)
        cr_assert_eq(row.vector[i], values[i], "value %" PRIu32 ": %g", i, (double)row.vector[i]);
}

#define NEXT(id, ...)                                                                              \
    next_is((id), sizeof((const float[]){__VA_ARGS__}) / sizeof(float),                            \
            (const float[]){__VA_ARGS__})

static void payload_is(const char *text)
{
    cr_assert(fr_slice_equal(row.payload, fr_slice_of_text(text)), "%.*s", (int)row.payload.size,
            (const char *)row.payload.data);
}

static void close_it(void)
{
    fr_vector_reader_free(reader);
    reader = NULL;
    fr_buf_deinit(&file);
}

static void ends(void)
{
    cr_assert_eq(fr_vector_reader_next(reader, &row), FR_END);
    close_it();
}

/* The whole file is refused from here on. */
static void breaks(const char *words)
{
    cr_assert_eq(fr_vector_reader_next(reader, &row), FR_ERR_CORRUPT);
    says(words);
    cr_assert(!fr_vector_reader_can_go_on(reader));
    cr_assert_eq(fr_vector_reader_next(reader, &row), FR_ERR_MISUSE, "and stays refused");
    close_it();
}

/* Only this row is. */
static void refuses(const char *words)
{
    cr_assert_eq(fr_vector_reader_next(reader, &row), FR_ERR_CORRUPT);
    says(words);
    cr_assert(fr_vector_reader_can_go_on(reader));
}

Test(vector_file, the_extension_tells_the_format)
{
    enum fr_vector_format format;

    cr_assert_eq(fr_vector_format_choose(NULL, "a.b/sift.fvecs", &format), FR_OK);
    cr_assert_eq(format, FR_VECTORS_FVECS);
    cr_assert_eq(fr_vector_format_choose("npy", "whatever.fbin", &format), FR_OK);
    cr_assert_eq(format, FR_VECTORS_NPY);
    cr_assert_eq(fr_vector_format_choose(NULL, "a.fbin/file", &format), FR_ERR_MISUSE);
    says("say --format");
    cr_assert_eq(fr_vector_format_choose("png", "a.fbin", &format), FR_ERR_MISUSE);
    says("\"png\"");
}

Test(vector_file, reads_rows_with_their_dimension_in_front)
{
    fr_buf_u32(&file, 3);
    FLOATS(1, -2.5f, 1e-30f);
    fr_buf_u32(&file, 3);
    FLOATS(4, 5, 6);
    opens_as(FR_VECTORS_FVECS);
    NEXT(0, 1, -2.5f, 1e-30f);
    NEXT(1, 4, 5, 6);
    cr_assert_str_eq(fr_vector_reader_place(reader), "offset 16");
    ends();
}

Test(vector_file, reads_bytes_with_and_without_a_sign)
{
    fr_buf_u32(&file, 2);
    fr_buf_append(&file, "\x80\x7f", 2);
    opens_as(FR_VECTORS_BVECS);
    NEXT(0, 128, 127);
    ends();
    fr_buf_u32(&file, 1);
    fr_buf_u32(&file, 2);
    fr_buf_append(&file, "\x80\x7f", 2);
    opens_as(FR_VECTORS_I8BIN);
    cr_assert_eq(fr_vector_reader_count(reader), 1);
    NEXT(0, -128, 127);
    ends();
}

Test(vector_file, an_empty_file_of_rows_has_none_and_one_with_a_header_is_torn)
{
    opens_as(FR_VECTORS_FVECS);
    ends();
    opens_as(FR_VECTORS_JSONL);
    ends();
    does_not_open(FR_VECTORS_FBIN, FR_ERR_CORRUPT, "file: is empty");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "file: is no .npy");
}

Test(vector_file, a_torn_row_is_named_with_its_offset)
{
    fr_buf_u32(&file, 2);
    FLOATS(1, 2);
    fr_buf_u32(&file, 2);
    FLOATS(3);
    opens_as(FR_VECTORS_FVECS);
    NEXT(0, 1, 2);
    breaks("file: ends in the middle of a row: 4 of 8 bytes at offset 16");
}

Test(vector_file, a_row_that_is_missing_altogether_is_named)
{
    fr_buf_u32(&file, 3);
    fr_buf_u32(&file, 2);
    FLOATS(1, 2, 3, 4);
    opens_as(FR_VECTORS_FBIN);
    NEXT(0, 1, 2);
    NEXT(1, 3, 4);
    breaks("file: ends at offset 24, where row 2 should be");
}

Test(vector_file, bytes_behind_the_last_row_are_told)
{
    fr_buf_u32(&file, 1);
    fr_buf_u32(&file, 1);
    FLOATS(1, 2);
    opens_as(FR_VECTORS_FBIN);
    NEXT(0, 1);
    breaks("promises 1 rows, but there is more behind them, at offset 12");
}

Test(vector_file, a_dimension_that_changes_or_cannot_be_is_refused)
{
    fr_buf_u32(&file, 1);
    FLOATS(1);
    fr_buf_u32(&file, 2);
    opens_as(FR_VECTORS_FVECS);
    NEXT(0, 1);
    breaks("file: row 1 at offset 8 has the dimension 2, those before it 1");
    fr_buf_u32(&file, 0xffffffff);
    opens_as(FR_VECTORS_FVECS);
    breaks("a dimension of 4294967295 at offset 0");
    fr_buf_u32(&file, 1);
    fr_buf_u32(&file, 0);
    does_not_open(FR_VECTORS_U8BIN, FR_ERR_CORRUPT, "a dimension of 0 at offset 4");
}

/* --- npy --- */

static void add_npy(const char *type, const char *order, const char *shape)
{
    char text[256];
    int size = snprintf(text, sizeof(text), "{'descr': %s, 'fortran_order': %s, 'shape': %s, }\n",
            type, order, shape);

    fr_buf_append(&file, "\x93NUMPY\x01\x00", 8);
    fr_buf_u16(&file, (uint16_t)size);
    fr_buf_append(&file, text, (size_t)size);
}

Test(vector_file, reads_an_array_of_numpy)
{
    add_npy("'<f4'", "False", "(2, 2)");
    FLOATS(1, 2, 3, 4);
    opens_as(FR_VECTORS_NPY);
    cr_assert_eq(fr_vector_reader_count(reader), 2);
    NEXT(0, 1, 2);
    NEXT(1, 3, 4);
    ends();
}

Test(vector_file, reads_numpys_other_types)
{
    add_npy("'|i1'", "False", "(1, 2)");
    fr_buf_append(&file, "\xff\x01", 2);
    opens_as(FR_VECTORS_NPY);
    NEXT(0, -1, 1);
    ends();
    add_npy("\">f8\"", "False", "(1,2)");
    fr_buf_append(&file, "\x3f\xf8\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0", 16);
    opens_as(FR_VECTORS_NPY);
    NEXT(0, 1.5f, -2);
    ends();
    add_npy("'<f2'", "False", "(1, 1)");
    fr_buf_append(&file, "\x00\xbe", 2);
    opens_as(FR_VECTORS_NPY);
    NEXT(0, -1.5f);
    ends();
}

Test(vector_file, a_double_beyond_a_float_becomes_infinite)
{
    add_npy("'<f8'", "False", "(1, 1)");
    fr_buf_append(&file, "\0\0\0\0\0\0\xf0\xff", 8);
    opens_as(FR_VECTORS_NPY);
    NEXT(0, -INFINITY);
    ends();
}

Test(vector_file, arrays_that_are_no_rows_of_vectors_are_refused_with_words)
{
    add_npy("'<f4'", "True", "(2, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_UNSUPPORTED,
            "Fortran order; save numpy.ascontiguousarray");
    add_npy("'<f4'", "False", "(4,)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_UNSUPPORTED, "has one dimension");
    add_npy("'<f4'", "False", "(4, 2, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_UNSUPPORTED, "more than two dimensions");
    add_npy("'<c8'", "False", "(2, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_UNSUPPORTED, "its elements are \"<c8\"");
    add_npy("[('a', '<f4')]", "False", "(2, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "types with fields are not supported");
    add_npy("'<f4'", "False", "(2, 99999)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "a dimension of 99999");
    add_npy("'<f4'", "Perhaps", "(2, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "expected True or False");
    add_npy("'<f4'", "False", "(99999999999999999999, 2)");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "a number that is too large");
}

Test(vector_file, a_torn_or_foreign_header_of_numpy_is_refused)
{
    add_npy("'<f4'", "False", "(2, 2)");
    file.size = 30;
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "ends in the middle of the header");
    add_text("GIF89a, to say the truth");
    does_not_open(FR_VECTORS_NPY, FR_ERR_CORRUPT, "is no .npy");
    fr_buf_append(&file, "\x93NUMPY\x09\x00\x10\x00", 10);
    does_not_open(FR_VECTORS_NPY, FR_ERR_UNSUPPORTED, "version 9");
}

/* --- jsonl --- */

Test(vector_file, reads_lines_of_json)
{
    add_text("{\"id\": 7, \"vector\": [1, -2.5], \"payload\": \"t\\u00e4xt\"}\n"
             "\n"
             "{\"payload\":{\"a\": [1, "
             "2]},\"vector\":\"AACAPwAAAEA=\",\"id\":18446744073709551615}\r\n"
             "{\"id\":3,\"vector\":[0],\"payload_base64\":\"AP8=\"}");
    opens_as(FR_VECTORS_JSONL);
    NEXT(7, 1, -2.5f);
    payload_is("t\xc3\xa4xt");
    NEXT(UINT64_MAX, 1, 2);
    payload_is("{\"a\": [1, 2]}");
    cr_assert_str_eq(fr_vector_reader_place(reader), "line 3");
    NEXT(3, 0);
    cr_assert(fr_slice_equal(row.payload, fr_slice_of("\0\xff", 2)));
    ends();
}

Test(vector_file, lines_without_ids_are_counted)
{
    add_text("{\"vector\":[1]}\n{\"vector\":[2]}\n");
    opens_as(FR_VECTORS_JSONL);
    NEXT(0, 1);
    payload_is("");
    NEXT(1, 2);
    ends();
}

Test(vector_file, a_line_that_is_refused_does_not_end_the_reading_and_is_counted)
{
    add_text("{\"vector\":[1]}\n{\"vector\":[2}\n{\"vector\":[3]}\n");
    opens_as(FR_VECTORS_JSONL);
    NEXT(0, 1);
    refuses("file: line 2, column 13: expected a comma");
    cr_assert(fr_slice_equal(fr_vector_reader_line(reader), fr_slice_of_text("{\"vector\":[2}")));
    NEXT(2, 3);
    ends();
}

Test(vector_file, lines_are_refused_with_words)
{
    add_text("{\"vector\":[1e39]}\n"
             "{\"vector\":[]}\n"
             "{\"id\":1}\n"
             "{\"id\":-1,\"vector\":[1]}\n"
             "{\"id\":true,\"vector\":[1]}\n"
             "{\"id\":1,\"id\":2,\"vector\":[1]}\n"
             "{\"id\":1,\"vektor\":[1]}\n"
             "{\"id\":1,\"vector\":\"AAA=\"}\n"
             "{\"id\":1,\"vector\":[1],\"payload\":1,\"payload_base64\":\"\"}\n"
             "[1]\n"
             "{\"id\":1,\"vector\":[1]} more\n");
    opens_as(FR_VECTORS_JSONL);
    refuses("line 1, column 16: \"vector\" has a number beyond the largest float");
    refuses("\"vector\" is empty");
    refuses("there is no \"vector\"");
    refuses("\"id\" is no text and no whole number");
    refuses("expected a number");
    refuses("a key that comes twice");
    refuses("an unknown key: know id, id_base64, vector");
    refuses("is no base64 of 1 to 16,384 floats");
    refuses("one of them is enough");
    refuses("expected an object");
    refuses("line 11, column 23: something stands behind the value");
    ends();
}

Test(vector_file, ids_are_for_all_lines_or_for_none)
{
    add_text("{\"id\":5,\"vector\":[1]}\n{\"vector\":[2]}\n{\"id\":6,\"vector\":[3]}\n");
    opens_as(FR_VECTORS_JSONL);
    NEXT(5, 1);
    refuses("it has no id, but rows before it had one");
    NEXT(6, 3);
    ends();
}

/* --- Writing --- */

static char path[64];
static uint32_t written_dimension;

static struct fr_vector_writer *writer_of(const char *suffix, uint32_t dimension)
{
    written_dimension = dimension;
    struct fr_vector_writer *writer;
    enum fr_vector_format format;

    snprintf(path, sizeof(path), "vector_file_test.%ld.%s", (long)getpid(), suffix);
    cr_assert_eq(fr_vector_format_choose(NULL, path, &format), FR_OK);
    cr_assert_eq(fr_vector_writer_open(path, format, dimension, &writer), FR_OK, "%s",
            fr_last_error());
    return writer;
}

static fr_status put(struct fr_vector_writer *writer, uint64_t id, const float *vector,
        const char *payload)
{
    return fr_vector_writer_add(writer, &(struct fr_vector_row){.id = id,
                                                .vector = vector,
                                                .dimension = written_dimension,
                                                .payload = fr_slice_of_text(payload)});
}

static void finish(struct fr_vector_writer *writer)
{
    cr_assert_eq(fr_vector_writer_finish(writer), FR_OK, "%s", fr_last_error());
    fr_vector_writer_close(writer);
}

static void open_written(void)
{
    enum fr_vector_format format;
    struct fr_input *input;

    cr_assert_eq(fr_vector_format_choose(NULL, path, &format), FR_OK);
    cr_assert_eq(fr_input_open(path, &input), FR_OK, "%s", fr_last_error());
    cr_assert_eq(fr_vector_reader_new(input, format, &reader), FR_OK, "%s", fr_last_error());
    unlink(path);
}

Test(vector_file, every_format_reads_what_it_has_written)
{
    static const char *const names[] = {"fvecs", "bvecs", "fbin", "u8bin", "i8bin", "npy", "jsonl"};
    static const float a[] = {1, 0, 127}, b[] = {3, 2, 100};

    for (size_t i = 0; i < FR_VECTOR_FORMAT_COUNT; i++) {
        struct fr_vector_writer *writer = writer_of(names[i], 3);
        cr_assert_eq(put(writer, 0, a, ""), FR_OK);
        cr_assert_eq(put(writer, 1, b, ""), FR_OK);
        finish(writer);
        open_written();
        next_is(0, 3, a);
        next_is(1, 3, b);
        ends();
    }
}

Test(vector_file, payloads_come_back_byte_by_byte)
{
    static const char *const payloads[] = {"", "text", "\"quoted\"", "{\"a\":1}", "{\"a\": 1} ",
            " 1", "[1,\n2]", "1", "null", "nul", "\xff\xfe", "gr\xc3\xbc\xc3\x9f", "\\", "\x01",
            "{\"a\":\"\\ud800\"}"};
    static const float vector[] = {0.1f, -1e-40f, 3.4028235e38f};
    struct fr_vector_writer *writer = writer_of("jsonl", 3);

    for (size_t i = 0; i < FR_ARRAY_COUNT(payloads); i++)
        cr_assert_eq(put(writer, i + 100, vector, payloads[i]), FR_OK);
    finish(writer);
    open_written();
    for (size_t i = 0; i < FR_ARRAY_COUNT(payloads); i++) {
        next_is(i + 100, 3, vector);
        payload_is(payloads[i]);
    }
    ends();
}

Test(vector_file, ids_of_text_come_back_byte_by_byte)
{
    static const char *const texts[] = {"a", "7", "\"quoted\"", "gr\xc3\xbc\xc3\x9f", "\xff\xfe",
            "\x01\\/", "sixty-four bytes are the most: 0123456789 0123456789 0123456789."};
    static const float vector[] = {1};
    struct fr_vector_writer *writer = writer_of("jsonl", 1);

    for (size_t i = 0; i < FR_ARRAY_COUNT(texts); i++) {
        struct fr_vector_row written = {
                .text = fr_slice_of_text(texts[i]), .vector = vector, .dimension = 1};
        cr_assert_eq(fr_vector_writer_add(writer, &written), FR_OK);
    }
    finish(writer);
    open_written();
    for (size_t i = 0; i < FR_ARRAY_COUNT(texts); i++) {
        next_is(i, 1, vector);
        cr_assert(fr_slice_equal(row.text, fr_slice_of_text(texts[i])), "%s", texts[i]);
    }
    ends();
}

Test(vector_file, ids_are_all_numbers_or_all_text)
{
    add_text("{\"id\":\"a\",\"vector\":[1]}\n{\"id\":2,\"vector\":[2]}\n{\"vector\":[3]}\n"
             "{\"id_base64\":\"/w==\",\"vector\":[4]}\n");
    opens_as(FR_VECTORS_JSONL);
    NEXT(0, 1);
    refuses("its id is a number, but those before it were text");
    refuses("it has no id, but rows before it had one");
    NEXT(3, 4);
    cr_assert(fr_slice_equal(row.text, fr_slice_of_text("\xff")));
    ends();
    add_text("{\"id\":1,\"vector\":[1]}\n{\"id\":\"b\",\"vector\":[2]}\n");
    opens_as(FR_VECTORS_JSONL);
    NEXT(1, 1);
    cr_assert_eq(row.text.size, 0);
    refuses("its id is text, but those before it were numbers");
    ends();
}

Test(vector_file, ids_of_text_that_cannot_be_are_refused)
{
    add_text("{\"id\":\"\",\"vector\":[1]}\n");
    add_text("{\"id\":\"sixty-five bytes are too many: 0123456789 0123456789 0123456789 1\","
             "\"vector\":[1]}\n");
    add_text("{\"id\":\"a\",\"id_base64\":\"YQ==\",\"vector\":[1]}\n");
    add_text("{\"id_base64\":\"Y\",\"vector\":[1]}\n");
    opens_as(FR_VECTORS_JSONL);
    refuses("an id that is text has 1 to 64 bytes");
    refuses("an id that is text has 1 to 64 bytes");
    refuses("one of them is enough");
    refuses("\"id_base64\" is no base64");
    ends();
}

Test(vector_file, values_that_a_format_cannot_hold_are_refused)
{
    static const float values[] = {0.5f, -1, 256, NAN};

    for (size_t i = 0; i < FR_ARRAY_COUNT(values); i++) {
        struct fr_vector_writer *writer = writer_of("u8bin", 1);
        cr_assert_eq(put(writer, 9, &values[i], ""), FR_ERR_LIMIT);
        says("vector 9 has the value");
        fr_vector_writer_close(writer);
        cr_assert_neq(access(path, F_OK), 0, "nothing is left");
    }
}

Test(vector_file, a_file_that_was_not_finished_leaves_the_old_one_alone)
{
    static const float a[] = {1}, b[] = {2};
    struct fr_vector_writer *writer = writer_of("fvecs", 1);

    cr_assert_eq(put(writer, 0, a, ""), FR_OK);
    finish(writer);
    writer = writer_of("fvecs", 1);
    cr_assert_eq(put(writer, 0, b, ""), FR_OK);
    fr_vector_writer_close(writer);
    open_written();
    next_is(0, 1, a);
    ends();
}

Test(vector_file, a_line_beyond_the_limit_is_refused)
{
    struct fr_input *input;
    fr_slice line;

    add_text("short\nthis one is too long\n");
    cr_assert_eq(fr_input_of_memory("file", fr_buf_slice(&file), 2, &input), FR_OK);
    cr_assert_eq(fr_input_line(input, 10, &line), FR_OK);
    cr_assert(fr_slice_equal(line, fr_slice_of_text("short")));
    cr_assert_eq(fr_input_line(input, 10, &line), FR_ERR_LIMIT);
    says("file: the line at offset 6 has more than 10 bytes");
    fr_input_close(input);
    fr_buf_deinit(&file);
}

Test(vector_file, bytes_that_were_looked_at_are_still_to_come)
{
    struct fr_input *input;
    fr_slice bytes;

    add_text("abc");
    cr_assert_eq(fr_input_of_memory("file", fr_buf_slice(&file), 1, &input), FR_OK);
    cr_assert_eq(fr_input_peek(input, 2, &bytes), FR_OK);
    cr_assert(fr_slice_equal(bytes, fr_slice_of_text("ab")));
    cr_assert_eq(fr_input_peek(input, 9, &bytes), FR_OK);
    cr_assert(fr_slice_equal(bytes, fr_slice_of_text("abc")));
    cr_assert_eq(fr_input_offset(input), 0);
    cr_assert_eq(fr_input_take(input, 3, "it", &bytes), FR_OK);
    cr_assert(fr_slice_equal(bytes, fr_slice_of_text("abc")));
    cr_assert_eq(fr_input_peek(input, 1, &bytes), FR_OK);
    cr_assert_eq(bytes.size, 0);
    fr_input_close(input);
    fr_buf_deinit(&file);
}

Test(vector_file, a_missing_file_is_named)
{
    struct fr_input *input;

    cr_assert_eq(fr_input_open("no/such/file", &input), FR_ERR_MISSING);
    says("no/such/file: cannot open it");
}
