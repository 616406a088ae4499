/* vector_file_priv.h - for tools/ and its unit tests: what the formats of vector_file.h share. */
#ifndef FR_TOOLS_VECTOR_FILE_PRIV_H
#define FR_TOOLS_VECTOR_FILE_PRIV_H

#include "base/buf.h"
#include "tools/vector_file.h"

#define FR_NPY_MAGIC "\x93NUMPY"

/* The largest header of a .npy; NumPy itself writes some hundred bytes. */
#define FR_NPY_HEADER_MAX 65536

enum fr_element {
    FR_ELEMENT_F32,
    FR_ELEMENT_U8,
    FR_ELEMENT_I8,
    FR_ELEMENT_F16,
    FR_ELEMENT_F64,
};

/* What the rows of a file are called by. */
enum fr_row_ids { FR_IDS_UNKNOWN, FR_IDS_NUMBERS, FR_IDS_TEXT, FR_IDS_COUNTED };

struct fr_vector_reader {
    struct fr_input *input;
    enum fr_vector_format format;
    enum fr_element element;
    bool big_endian;
    uint32_t dimension; /* 0: not known yet */
    uint64_t row_count; /* UINT64_MAX: the header says none */
    uint64_t number;    /* of the next row */
    bool broken;        /* nothing can be read behind the last failure */
    struct fr_buf vector;
    char place[48];

    /* Of jsonl. */
    uint64_t line;
    fr_slice line_text;
    struct fr_buf text;    /* a string without its escapes */
    struct fr_buf id_text; /* the same, of an id */
    struct fr_buf payload; /* the same, of the payload */
    enum fr_row_ids ids;
};

/* Bytes of one. */
size_t fr_element_size(enum fr_element element);

/* size / fr_element_size elements, as floats, to reader->vector. */
FR_NODISCARD fr_status fr_vector_decode(struct fr_vector_reader *reader, fr_slice bytes);

/* Is that a dimension that can be? The words name the place before the header's field. */
FR_NODISCARD fr_status fr_vector_check_dimension(const struct fr_vector_reader *reader,
        uint64_t dimension, uint64_t offset);

FR_NODISCARD fr_status fr_npy_read_header(struct fr_vector_reader *reader);
FR_NODISCARD fr_status fr_jsonl_next(struct fr_vector_reader *reader,
        struct fr_vector_row *ret_row);

/* The header of a .npy of f32, always of the same size: FR_NPY_HEADER_SIZE. */
#define FR_NPY_HEADER_SIZE 128
void fr_npy_append_header(struct fr_buf *to, uint64_t count, uint32_t dimension);

#endif
