/*
 * fuzz_vectors.c - the binary files of vectors without text in them. The first byte chooses the
 * format, all others are the file.
 */
#include "fuzz/fuzz_vectors.h"

static const enum fr_vector_format formats[] = {
        FR_VECTORS_FVECS, FR_VECTORS_BVECS, FR_VECTORS_FBIN, FR_VECTORS_U8BIN, FR_VECTORS_I8BIN};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    fuzz_check_file(formats[data[0] % FR_ARRAY_COUNT(formats)], data + 1, size - 1, NULL);
    return 0;
}
