/*
 * fuzz_jsonl.c - lines of JSON with vectors. A row that was accepted is written and read back: its
 * id, its vector and its payload are the same, byte by byte.
 */
#include <math.h>

#include "fuzz/fuzz_vectors.h"

static void check_back(const struct fr_vector_row *row, const struct fr_vector_row *back)
{
    FUZZ_CHECK(row->text.size > 0 || back->id == row->id);
    FUZZ_CHECK(back->dimension == row->dimension && fr_slice_equal(back->text, row->text));
    FUZZ_CHECK(memcmp(back->vector, row->vector, row->dimension * sizeof(float)) == 0);
    FUZZ_CHECK(fr_slice_equal(back->payload, row->payload));
}

/* A vector in base64 may hold what an array cannot say. */
static bool is_finite(const struct fr_vector_row *row)
{
    for (uint32_t i = 0; i < row->dimension; i++)
        if (!isfinite(row->vector[i])) return false;
    return true;
}

static void write_and_read(const struct fr_vector_row *row)
{
    struct fr_buf text = FR_BUF_EMPTY;
    struct fr_vector_reader *reader;
    struct fr_vector_row back;
    struct fr_input *input;

    if (is_finite(row))
        fr_vector_line(&text, row);
    else
        fr_vector_line_coded(&text, row);
    FUZZ_CHECK(fr_buf_status(&text) == FR_OK);
    FUZZ_CHECK(fr_input_of_memory("back", fr_buf_slice(&text), 0, &input) == FR_OK);
    FUZZ_CHECK(fr_vector_reader_new(input, FR_VECTORS_JSONL, &reader) == FR_OK);
    FUZZ_CHECK(fr_vector_reader_next(reader, &back) == FR_OK);
    check_back(row, &back);
    FUZZ_CHECK(fr_vector_reader_next(reader, &back) == FR_END);
    fr_vector_reader_free(reader);
    fr_buf_deinit(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_check_file(FR_VECTORS_JSONL, data, size, write_and_read);
    return 0;
}
