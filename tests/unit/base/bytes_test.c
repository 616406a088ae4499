#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/rng.h"

Test(bytes, reads_fields_in_a_row)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of("\x01\x02\x03\x04\x05\x06\x07\x80\x01", 9));

    cr_assert_eq(fr_bytes_u8(&in), 1);
    cr_assert_eq(fr_bytes_u16(&in), 0x0302);
    cr_assert_eq(fr_bytes_u32(&in), 0x07060504);
    cr_assert_eq(fr_bytes_left(&in), 2);
    cr_assert_eq(fr_bytes_varint(&in), 128);
    cr_assert(fr_bytes_done(&in));
    cr_assert_eq(fr_bytes_offset(&in), 9);
}

Test(bytes, reads_to_the_very_end_and_no_further)
{
    static const uint8_t data[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    for (size_t size = 0; size <= 8; size++) {
        struct fr_bytes u8 = fr_bytes_of(fr_slice_of(data, size)), u16 = u8, u32 = u8, u64 = u8;
        (void)fr_bytes_u8(&u8);
        (void)fr_bytes_u16(&u16);
        (void)fr_bytes_u32(&u32);
        (void)fr_bytes_u64(&u64);
        cr_assert_eq(fr_bytes_ok(&u8), size >= 1);
        cr_assert_eq(fr_bytes_ok(&u16), size >= 2);
        cr_assert_eq(fr_bytes_ok(&u32), size >= 4);
        cr_assert_eq(fr_bytes_ok(&u64), size >= 8);
    }
}

Test(bytes, stays_bad_after_running_over_the_end)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of("\x01\x02\x03", 3));

    cr_assert_eq(fr_bytes_u8(&in), 1);
    cr_assert_eq(fr_bytes_u32(&in), 0);
    cr_assert(!fr_bytes_ok(&in));
    cr_assert_eq(fr_bytes_offset(&in), 1, "the place where it went wrong");
    cr_assert_eq(fr_bytes_u8(&in), 0, "although there is a byte left");
    cr_assert_eq(fr_bytes_varint(&in), 0);
    cr_assert_eq(fr_bytes_block(&in).size, 0);
    cr_assert_eq(fr_bytes_take(&in, 0).size, 0);
    cr_assert(!fr_bytes_ok(&in));
    cr_assert(!fr_bytes_done(&in));
}

Test(bytes, a_size_beyond_all_memory_is_only_bad)
{
    const uint64_t sizes[] = {2, UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, UINT64_MAX};

    for (size_t i = 0; i < FR_ARRAY_COUNT(sizes); i++) {
        struct fr_bytes in = fr_bytes_of(fr_slice_of("x", 1));
        fr_bytes_skip(&in, sizes[i]);
        cr_assert(!fr_bytes_ok(&in));
        cr_assert_eq(fr_bytes_left(&in), 1);
    }
}

Test(bytes, nothing_is_read_whole)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of(NULL, 0));

    cr_assert(fr_bytes_done(&in));
    cr_assert_eq(fr_bytes_take(&in, 0).size, 0);
    cr_assert(fr_bytes_done(&in));
    cr_assert_eq(fr_bytes_u8(&in), 0);
    cr_assert(!fr_bytes_ok(&in));
}

Test(bytes, bytes_left_over_are_ok_but_not_done)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of("ab", 2));

    (void)fr_bytes_u8(&in);
    cr_assert(fr_bytes_ok(&in));
    cr_assert(!fr_bytes_done(&in));
}

Test(bytes, a_varint32_has_32_bits)
{
    const uint64_t values[] = {0, UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX};

    for (size_t i = 0; i < FR_ARRAY_COUNT(values); i++) {
        uint8_t data[FR_VARINT64_MAX];
        size_t size = (size_t)(fr_put_varint(data, values[i]) - data);
        struct fr_bytes in = fr_bytes_of(fr_slice_of(data, size));
        bool fits = values[i] <= UINT32_MAX;

        cr_assert_eq(fr_bytes_varint32(&in), fits ? values[i] : 0);
        cr_assert_eq(fr_bytes_ok(&in), fits);
    }
}

Test(bytes, a_block_longer_than_the_rest_is_bad)
{
    struct fr_bytes in = fr_bytes_of(fr_slice_of("\x03"
                                                 "ab",
            3));

    cr_assert_eq(fr_bytes_block(&in).size, 0);
    cr_assert(!fr_bytes_ok(&in));
}

/* One random read; whatever it answers must lie inside. */
static void read_something(struct fr_bytes *in, struct fr_rng *rng)
{
    bool bad = !fr_bytes_ok(in);
    size_t before = fr_bytes_offset(in);
    fr_slice taken = {0};
    uint64_t number = 0;

    switch (fr_rng_below(rng, 8)) {
    case 0:
        number = fr_bytes_u8(in);
        break;
    case 1:
        number = fr_bytes_u16(in);
        break;
    case 2:
        number = fr_bytes_u32(in);
        break;
    case 3:
        number = fr_bytes_u64(in);
        break;
    case 4:
        number = fr_bytes_varint(in);
        break;
    case 5:
        number = fr_bytes_varint32(in);
        break;
    case 6:
        taken = fr_bytes_take(in, fr_rng_next(rng) >> (fr_rng_one_in(rng, 8) ? 0 : 60));
        break;
    default:
        taken = fr_bytes_block(in);
        break;
    }
    cr_assert(in->start <= in->at && in->at <= in->end);
    if (taken.size > 0) cr_assert(taken.data >= in->start && taken.data + taken.size == in->at);
    if (!fr_bytes_ok(in)) cr_assert(number == 0 && taken.size == 0);
    if (bad) cr_assert(!fr_bytes_ok(in) && fr_bytes_offset(in) == before);
}

/* In heap memory of the exact size, where a sanitizer sees a step over either end. */
Test(bytes, never_leaves_its_buffer)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 5);
    for (int round = 0; round < 20000; round++) {
        size_t size = (size_t)fr_rng_below(&rng, 64);
        uint8_t *data = fr_alloc(size);
        fr_rng_fill(&rng, data, size);
        if (fr_rng_one_in(&rng, 2))
            for (size_t i = 0; i < size; i++)
                data[i] |= 0x80;
        struct fr_bytes in = fr_bytes_of(fr_slice_of(data, size));
        for (int reads = 0; reads < 16; reads++)
            read_something(&in, &rng);
        fr_free(data);
    }
}
