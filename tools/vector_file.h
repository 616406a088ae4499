/*
 * vector_file.h - vectors from and to the files that people have.
 *
 *     fvecs    each row: dimension u32, so many f32
 *     bvecs    each row: dimension u32, so many u8
 *     fbin     count u32, dimension u32, then the rows: f32
 *     u8bin    the same of u8
 *     i8bin    the same of i8
 *     npy      NumPy's: a header of text with type and shape, then the rows. Two dimensions, in C
 *              order; f2, f4, f8, u1 and i1, of either order of bytes
 *     jsonl    each line an object: "id" a whole number, or text of 1 to 64 bytes, or "id_base64"
 *              for a text that is no UTF-8; "vector" an array, or base64 of little-endian f32;
 *              "payload" a string, whose bytes are the payload, or any other JSON, which is kept
 *              as its text; or "payload_base64". All but the vector may be left out
 *
 * Integers are little-endian where nothing says otherwise. A format without ids counts its rows
 * from 0, and so does jsonl if its first row has none. What the first row's id is, number or text,
 * all are.
 *
 * A reader goes from front to end, through pipes as well, in memory that is bounded by one row.
 * Every byte may be hostile. What is wrong comes as FR_ERR_CORRUPT (FR_ERR_LIMIT,
 * FR_ERR_UNSUPPORTED) with the file and the offset, for jsonl the line.
 */
#ifndef FR_TOOLS_VECTOR_FILE_H
#define FR_TOOLS_VECTOR_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct fr_input;
struct fr_json;

enum fr_vector_format {
    FR_VECTORS_FVECS,
    FR_VECTORS_BVECS,
    FR_VECTORS_FBIN,
    FR_VECTORS_U8BIN,
    FR_VECTORS_I8BIN,
    FR_VECTORS_NPY,
    FR_VECTORS_JSONL,
};

#define FR_VECTOR_FORMAT_COUNT 7

/* As index.h has it. */
#define FR_VECTOR_DIMENSION_MAX 16384

/* Room for the largest payload as a string of escapes, and for the longest vector. */
#define FR_VECTOR_LINE_MAX ((size_t)128 << 20)

/* "fvecs"; static. */
const char *fr_vector_format_name(enum fr_vector_format format);

/* All names, as the help lists them; static. */
const char *fr_vector_format_names(void);

/*
 * The format that has this name, or, if the name is NULL, that the path ends in. FR_ERR_MISUSE:
 * there is none such.
 */
FR_NODISCARD fr_status fr_vector_format_choose(const char *name, const char *path,
        enum fr_vector_format *ret_format);

/* --- Reading --- */

/* Valid until the next call on the reader. */
struct fr_vector_row {
    uint64_t number; /* from 0, rows that were refused included */
    uint64_t id;
    fr_slice text; /* the id, if it is text; empty: it is a number */
    const float *vector;
    uint32_t dimension;
    fr_slice payload; /* empty: none */
};

struct fr_vector_reader;

/* The input is the reader's, also if this fails. FR_ERR_CORRUPT: the header cannot be. */
FR_NODISCARD fr_status fr_vector_reader_new(struct fr_input *input, enum fr_vector_format format,
        struct fr_vector_reader **ret_reader);

/*
 * Open a file, or "-", in the format of that name; if it is NULL, in the one that the path ends in,
 * or, if that is none, as jsonl or npy where it begins as one. should_end as of fr_input_end_if(),
 * or NULL. FR_ERR_MISUSE: the format cannot be told.
 */
FR_NODISCARD fr_status fr_vector_reader_open(const char *path, const char *format_name,
        bool (*should_end)(void), struct fr_vector_reader **ret_reader);

/* NULL is fine. */
void fr_vector_reader_free(struct fr_vector_reader *reader);

/*
 * The next row. FR_END. A failure may be this row's only, in jsonl; then reading can go on
 * (fr_vector_reader_can_go_on). The dimension is that of the row before, but in jsonl.
 */
FR_NODISCARD fr_status fr_vector_reader_next(struct fr_vector_reader *reader,
        struct fr_vector_row *ret_row);

/* After a failure: it was of one row, and the next one may be fine. */
bool fr_vector_reader_can_go_on(const struct fr_vector_reader *reader);

/* The line of a jsonl that was read last, also if it was refused; empty elsewhere. */
fr_slice fr_vector_reader_line(const struct fr_vector_reader *reader);

/* Where the row that was read last is, for messages: "line 7", "offset 4096". Valid until the next
 * call. */
const char *fr_vector_reader_place(const struct fr_vector_reader *reader);

/* Rows that the header promises; UINT64_MAX: it has none. And bytes read so far. */
uint64_t fr_vector_reader_count(const struct fr_vector_reader *reader);
uint64_t fr_vector_reader_bytes(const struct fr_vector_reader *reader);

/* --- Writing --- */

/* A row as a line of jsonl with its line feed, appended; the second one with the vector in base64,
 * which can also say what is not finite. */
void fr_vector_line(struct fr_buf *to, const struct fr_vector_row *row);
void fr_vector_line_coded(struct fr_buf *to, const struct fr_vector_row *row);

/* A payload as a member of an object of JSON: as it is, as a string, or in base64 under
 * "payload_base64". An empty one is left out. */
void fr_vector_payload_json(struct fr_json *json, fr_slice payload);

struct fr_vector_writer;

/*
 * Begin a file, under a name of its own until fr_vector_writer_finish; "-" is standard output.
 * FR_ERR_UNSUPPORTED: the format has the count in front, and standard output is a pipe.
 */
FR_NODISCARD fr_status fr_vector_writer_open(const char *path, enum fr_vector_format format,
        uint32_t dimension, struct fr_vector_writer **ret_writer);

/*
 * A row of the writer's dimension. FR_END: standard output's reader has gone, and has what it
 * wanted. FR_ERR_LIMIT: a value that is no whole number, or beyond the format's range; or more rows
 * than its count can say. Only jsonl has ids and payloads.
 */
FR_NODISCARD fr_status fr_vector_writer_add(struct fr_vector_writer *writer,
        const struct fr_vector_row *row);

/* Put the count in front, make it durable and give it its name. */
FR_NODISCARD fr_status fr_vector_writer_finish(struct fr_vector_writer *writer);

/* Without finish before, there is no file. NULL is fine. */
void fr_vector_writer_close(struct fr_vector_writer *writer);

#endif
