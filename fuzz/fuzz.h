/* fuzz.h - what the fuzz targets share. */
#ifndef FR_FUZZ_FUZZ_H
#define FR_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"

/* The name and the type are libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input; stays on in release. */
#define FUZZ_CHECK(condition) FR_ASSERT(condition)

#endif
