#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/cpu.h"
#include "base/crc32c.h"
#include "base/crc32c_priv.h"
#include "base/rng.h"

#define DATA_SIZE (70 * 1024)
static uint8_t data[DATA_SIZE];

static void fill(uint64_t seed)
{
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    fr_rng_fill(&rng, data, sizeof(data));
}

/* Bit by bit, straight from the definition in RFC 3720. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *at, size_t size)
{
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0x82f63b78u : crc >> 1;
    }
    return ~crc;
}

/* The examples of RFC 3720, B.4, and the usual check value. */
Test(crc32c, every_variant_knows_the_published_values)
{
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
    static const uint8_t read10[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14,
            0, 0, 0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02};
    const struct fr_crc32c_variant *v;

    for (uint8_t i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = i;
        down[i] = (uint8_t)(31 - i);
    }
    for (size_t i = 0; (v = fr_crc32c_variants(i)) != NULL; i++) {
        cr_assert_eq(v->fn(0, zeros, 32), 0x8a9136aa, "%s", v->name);
        cr_assert_eq(v->fn(0, ones, 32), 0x62a8ab43, "%s", v->name);
        cr_assert_eq(v->fn(0, up, 32), 0x46dd794e, "%s", v->name);
        cr_assert_eq(v->fn(0, down, 32), 0x113fdb5c, "%s", v->name);
        cr_assert_eq(v->fn(0, read10, 48), 0xd9963a56, "%s", v->name);
        cr_assert_eq(v->fn(0, (const uint8_t *)"123456789", 9), 0xe3069283, "%s", v->name);
        cr_assert_eq(v->fn(0, NULL, 0), 0, "%s", v->name);
        cr_assert_eq(v->fn(77, NULL, 0), 77, "%s", v->name);
    }
}

Test(crc32c, the_table_agrees_with_the_definition_bit_by_bit)
{
    fill(1);
    (void)fr_crc32c_variants(0);
    for (size_t size = 0; size < 300; size++)
        cr_assert_eq(fr_crc32c_table(7, data + size, size), crc_by_bits(7, data + size, size));
}

/* In memory that ends where the data does, so that a sanitizer sees a byte read too many. */
Test(crc32c, every_variant_agrees_with_the_table_at_all_short_lengths_and_offsets)
{
    const struct fr_crc32c_variant *v;

    fill(2);
    for (size_t i = 1; (v = fr_crc32c_variants(i)) != NULL; i++) {
        for (size_t size = 0; size <= 1100; size++) {
            uint8_t *copy = fr_alloc(size + 15);
            memcpy(copy, data, size + 15);
            for (size_t offset = 0; offset < 16; offset++) {
                uint32_t start = (uint32_t)(size * 0x9e3779b9u);
                uint32_t crc = v->fn(start, copy + offset, size);
                if (crc != fr_crc32c_table(start, copy + offset, size))
                    cr_assert(false, "%s: size %zu, offset %zu", v->name, size, offset);
            }
            if (v->fn(0, copy + 15, size) != fr_crc32c_table(0, copy + 15, size))
                cr_assert(false, "%s: size %zu at the end", v->name, size);
            fr_free(copy);
        }
    }
}

Test(crc32c, every_variant_agrees_with_the_table_around_block_sizes)
{
    const struct fr_crc32c_variant *v;

    fill(3);
    for (size_t i = 1; (v = fr_crc32c_variants(i)) != NULL; i++) {
        for (size_t block = 2048; block <= 65536; block *= 2) {
            for (size_t size = block - 70; size <= block + 70; size++) {
                uint32_t crc = v->fn(0, data + size % 64, size);
                cr_assert_eq(crc, fr_crc32c_table(0, data + size % 64, size), "%s: size %zu",
                        v->name, size);
            }
        }
    }
}

Test(crc32c, every_variant_extends_across_random_splits)
{
    const struct fr_crc32c_variant *v;
    struct fr_rng rng;

    fill(4);
    fr_rng_init(&rng, 4);
    for (size_t i = 0; (v = fr_crc32c_variants(i)) != NULL; i++) {
        for (int round = 0; round < 300; round++) {
            size_t size = (size_t)fr_rng_below(&rng, 20000), at = 0;
            uint32_t crc = 0;

            while (at < size) {
                size_t part = (size_t)fr_rng_between(&rng, 0, size - at);
                if (fr_rng_one_in(&rng, 2)) part = FR_MIN(part, (size_t)20);
                crc = v->fn(crc, data + at, part);
                at += part;
            }
            cr_assert_eq(crc, fr_crc32c_table(0, data, size), "%s", v->name);
        }
    }
}

Test(crc32c, combining_equals_reading_on)
{
    struct fr_rng rng;

    fill(5);
    fr_rng_init(&rng, 5);
    for (int round = 0; round < 1000; round++) {
        size_t size = (size_t)fr_rng_below(&rng, sizeof(data));
        size_t cut = (size_t)fr_rng_between(&rng, 0, size);
        uint32_t a = fr_crc32c(0, data, cut), b = fr_crc32c(0, data + cut, size - cut);
        cr_assert_eq(fr_crc32c_combine(a, b, size - cut), fr_crc32c(0, data, size));
    }
}

Test(crc32c, combining_with_nothing_changes_nothing)
{
    cr_assert_eq(fr_crc32c_combine(0x12345678, 0, 0), 0x12345678);
    cr_assert_eq(fr_crc32c_combine(0, 0x12345678, 1000), 0x12345678);
}

/* No buffer is that large, but (A + B) + C and A + (B + C) can be compared. */
Test(crc32c, combining_is_associative_at_any_size)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 6);
    for (int round = 0; round < 1000; round++) {
        uint32_t a = (uint32_t)fr_rng_next(&rng), b = (uint32_t)fr_rng_next(&rng),
                 c = (uint32_t)fr_rng_next(&rng);
        uint64_t size_b = fr_rng_next(&rng) >> 1, size_c = fr_rng_next(&rng) >> 1;
        uint32_t left = fr_crc32c_combine(fr_crc32c_combine(a, b, size_b), c, size_c);
        uint32_t right = fr_crc32c_combine(a, fr_crc32c_combine(b, c, size_c), size_b + size_c);
        cr_assert_eq(left, right);
    }
}

Test(crc32c, masking_round_trips_and_changes_every_value)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 7);
    for (int i = 0; i < 100000; i++) {
        uint32_t crc = (uint32_t)fr_rng_next(&rng);
        cr_assert_eq(fr_crc32c_unmask(fr_crc32c_mask(crc)), crc);
        cr_assert_neq(fr_crc32c_mask(crc), crc);
    }
    cr_assert_neq(fr_crc32c_mask(0), 0);
}

/* What masking is for: a string that ends in its own CRC always has the same CRC. */
Test(crc32c, a_masked_crc_inside_its_data_is_not_degenerate)
{
    uint32_t plain[2], masked[2];

    for (int i = 0; i < 2; i++) {
        uint8_t record[12] = {(uint8_t)(i + 1), 2, 3, 4, 5, 6, 7, 8};
        uint32_t crc = fr_crc32c(0, record, 8);
        memcpy(record + 8, &crc, 4);
        plain[i] = fr_crc32c(0, record, 12);
        crc = fr_crc32c_mask(crc);
        memcpy(record + 8, &crc, 4);
        masked[i] = fr_crc32c(0, record, 12);
    }
    cr_assert_eq(plain[0], plain[1]);
    cr_assert_neq(masked[0], masked[1]);
}

Test(crc32c, every_flipped_bit_of_a_block_is_seen)
{
    fill(8);
    uint32_t crc = fr_crc32c(0, data, 4096);
    for (size_t bit = 0; bit < 8 * 4096; bit += 7) {
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(fr_crc32c(0, data, 4096), crc);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

Test(crc32c, a_lesser_machine_computes_the_same)
{
    fill(9);
    fr_cpu_set_mask_for_test(0);
    cr_assert_null(fr_crc32c_variants(1), "nothing but the table is left");
    uint32_t crc = fr_crc32c(0, data, sizeof(data));
    fr_cpu_set_mask_for_test(UINT64_MAX);
    cr_assert_eq(crc, fr_crc32c_table(0, data, sizeof(data)));
}

Test(crc32c, the_definition_comes_first)
{
    cr_assert_str_eq(fr_crc32c_variants(0)->name, "table");
    cr_assert_eq(fr_crc32c_variants(0)->needs, 0);
    cr_assert_null(fr_crc32c_variants(100));
}
