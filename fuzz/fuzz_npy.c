/* fuzz_npy.c - files of NumPy's: header and rows. */
#include "fuzz/fuzz_vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_check_file(FR_VECTORS_NPY, data, size, NULL);
    return 0;
}
