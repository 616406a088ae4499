/*
 * crc32c_check.c - a small checker for machines on which the unit tests cannot run, as under an
 * emulator: every variant of CRC-32C against the definition. Prints what it tried; exits 1 on the
 * first difference.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/crc32c.h"
#include "base/rng.h"

#define DATA_SIZE 9000

static uint8_t data[DATA_SIZE + 16];

static bool check_size(const struct fr_crc32c_variant *variant, size_t size)
{
    for (size_t offset = 0; offset < 16; offset++) {
        uint32_t start = (uint32_t)(size * 0x9e3779b9u);
        uint32_t expected = fr_crc32c_variants(0)->fn(start, data + offset, size);
        uint32_t actual = variant->fn(start, data + offset, size);

        if (actual == expected) continue;
        printf("%s: size %zu, offset %zu: %08" PRIx32 " instead of %08" PRIx32 "\n", variant->name,
                size, offset, actual, expected);
        return false;
    }
    return true;
}

static bool check(const struct fr_crc32c_variant *variant)
{
    if (variant->fn(0, (const uint8_t *)"123456789", 9) != 0xe3069283) {
        printf("%s: wrong on the usual check value\n", variant->name);
        return false;
    }
    for (size_t size = 0; size <= DATA_SIZE; size += size < 1100 ? 1 : 37)
        if (!check_size(variant, size)) return false;
    printf("%s: ok\n", variant->name);
    return true;
}

static void print_features(void)
{
    struct fr_buf names = FR_BUF_EMPTY;

    fr_cpu_feature_names(fr_cpu_features(), &names);
    printf("features: %.*s\n", (int)names.size, (const char *)names.data);
    fr_buf_deinit(&names);
}

int main(void)
{
    const struct fr_crc32c_variant *variant;
    struct fr_rng rng;

    fr_rng_init(&rng, 1);
    fr_rng_fill(&rng, data, sizeof(data));
    print_features();
    for (size_t i = 0; (variant = fr_crc32c_variants(i)) != NULL; i++)
        if (!check(variant)) return 1;
    return 0;
}
