#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "lsm/filter.h"

static uint64_t hash_of(uint64_t n)
{
    return fr_hash64(fr_slice_of(&n, sizeof(n)));
}

static void build(struct fr_buf *out, uint64_t count, unsigned bits)
{
    struct fr_filter_builder builder;

    fr_filter_builder_init(&builder, bits);
    for (uint64_t i = 0; i < count; i++)
        fr_filter_builder_add(&builder, hash_of(i));
    cr_assert_eq(fr_filter_builder_finish(&builder, out), FR_OK);
    fr_filter_builder_deinit(&builder);
}

Test(filter, knows_every_key_and_few_others)
{
    for (uint64_t count = 0; count <= 100000; count = count * 10 + 1) {
        struct fr_buf bytes = FR_BUF_EMPTY;
        struct fr_filter filter;
        uint64_t wrong = 0;

        build(&bytes, count, 10);
        cr_assert_eq(fr_filter_open(fr_buf_slice(&bytes), "test", 0, &filter), FR_OK);
        cr_assert_eq(filter.key_count, count);
        for (uint64_t i = 0; i < count; i++)
            cr_assert(fr_filter_may_contain(&filter, hash_of(i)));
        for (uint64_t i = 0; i < 100000; i++)
            wrong += fr_filter_may_contain(&filter, hash_of(i + 1000000000));
        cr_assert_leq(wrong, 1500, "%lu of 100000 at %lu keys", wrong, count);
        fr_buf_deinit(&bytes);
    }
}

Test(filter, takes_any_number_of_bits)
{
    for (unsigned bits = 1; bits <= FR_FILTER_BITS_MAX; bits++) {
        struct fr_buf bytes = FR_BUF_EMPTY;
        struct fr_filter filter;

        build(&bytes, 1000, bits);
        cr_assert_eq(fr_filter_open(fr_buf_slice(&bytes), "test", 0, &filter), FR_OK);
        fr_buf_deinit(&bytes);
    }
}

Test(filter, notices_each_flipped_bit_and_each_truncation)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_filter filter;

    build(&bytes, 100, 10);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_lt(fr_filter_open(fr_buf_slice(&bytes), "test", 0, &filter), 0, "bit %zu", bit);
        bytes.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++) {
        uint8_t *copy = fr_alloc(size + 1);

        memcpy(copy, bytes.data, size);
        cr_assert_lt(fr_filter_open(fr_slice_of(copy, size), "test", 0, &filter), 0);
        fr_free(copy);
    }
    fr_buf_deinit(&bytes);
}
