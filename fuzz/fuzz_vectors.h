/* fuzz_vectors.h - what must hold of every file of vectors, whole or not. */
#ifndef FR_FUZZ_FUZZ_VECTORS_H
#define FR_FUZZ_FUZZ_VECTORS_H

#include <string.h>

#include "base/crc32c.h"
#include "base/status.h"
#include "fuzz/fuzz.h"
#include "tools/input.h"
#include "tools/vector_file.h"

/* What came out of a file: enough to tell two readings apart. */
struct fuzz_reading {
    uint64_t rows;
    uint64_t refused;
    uint32_t crc;
    fr_status end;
};

/* Called for each row; NULL for nothing. */
typedef void (*fuzz_row_fn)(const struct fr_vector_row *row);

static inline void fuzz_take_row(struct fuzz_reading *reading, const struct fr_vector_row *row)
{
    FUZZ_CHECK(row->dimension > 0 && row->dimension <= FR_VECTOR_DIMENSION_MAX);
    reading->rows++;
    reading->crc = fr_crc32c(reading->crc, row->vector, row->dimension * sizeof(float));
    reading->crc = fr_crc32c(reading->crc, &row->id, sizeof(row->id));
    if (row->text.size > 0) reading->crc = fr_crc32c(reading->crc, row->text.data, row->text.size);
    if (row->payload.size > 0)
        reading->crc = fr_crc32c(reading->crc, row->payload.data, row->payload.size);
}

/* Reads to the end, or to where nothing can be read any more. */
static inline struct fuzz_reading fuzz_read_rows(struct fr_vector_reader *reader, fuzz_row_fn each)
{
    struct fuzz_reading reading = {.rows = 0};
    struct fr_vector_row row;

    for (;;) {
        uint64_t bytes = fr_vector_reader_bytes(reader);
        fr_status st = fr_vector_reader_next(reader, &row);
        if (st == FR_OK) {
            fuzz_take_row(&reading, &row);
            if (each != NULL) each(&row);
        } else if (st == FR_END || !fr_vector_reader_can_go_on(reader)) {
            reading.end = st;
            return reading;
        } else {
            reading.refused++;
        }
        /* It goes on, or it would never end. */
        FUZZ_CHECK(fr_vector_reader_bytes(reader) > bytes);
    }
}

static inline struct fuzz_reading fuzz_read_file(enum fr_vector_format format, const uint8_t *data,
        size_t size, size_t piece, fuzz_row_fn each)
{
    struct fr_vector_reader *reader;
    struct fr_input *input;

    FUZZ_CHECK(fr_input_of_memory("fuzz", fr_slice_of(data, size), piece, &input) == FR_OK);
    fr_status st = fr_vector_reader_new(input, format, &reader);
    if (st < 0) {
        FUZZ_CHECK(strncmp(fr_last_error(), "fuzz: ", 6) == 0);
        return (struct fuzz_reading){.end = st};
    }
    struct fuzz_reading reading = fuzz_read_rows(reader, each);
    fr_vector_reader_free(reader);
    return reading;
}

/* However the bytes arrive, what is read is the same. */
static inline void fuzz_check_file(enum fr_vector_format format, const uint8_t *data, size_t size,
        fuzz_row_fn each)
{
    struct fuzz_reading at_once = fuzz_read_file(format, data, size, 0, each);
    struct fuzz_reading in_pieces = fuzz_read_file(format, data, size, size % 7 + 1, NULL);

    FUZZ_CHECK(at_once.rows == in_pieces.rows && at_once.refused == in_pieces.refused);
    FUZZ_CHECK(at_once.crc == in_pieces.crc && at_once.end == in_pieces.end);
}

#endif
