#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/rng.h"

/* Round trip in exact memory, so that a sanitizer sees a byte too many, and fail when cut short. */
static void check_varint(uint64_t value)
{
    size_t size = fr_varint_size(value);
    uint8_t *memory = fr_alloc(size);
    uint64_t back = ~value;

    cr_assert_eq(fr_put_varint(memory, value), memory + size);
    cr_assert_eq(fr_get_varint(memory, memory + size, &back), memory + size);
    cr_assert_eq(back, value);
    for (size_t cut = 0; cut < size; cut++) {
        back = 42;
        cr_assert_null(fr_get_varint(memory, memory + cut, &back));
        cr_assert_eq(back, 42, "untouched on failure");
    }
    fr_free(memory);
}

Test(coding, varints_round_trip_around_every_power_of_two)
{
    for (unsigned bit = 0; bit < 64; bit++) {
        uint64_t power = (uint64_t)1 << bit;
        for (uint64_t delta = 0; delta < 3; delta++) {
            check_varint(power + delta);
            check_varint(power - delta);
        }
    }
    check_varint(0);
    check_varint(UINT64_MAX);
}

Test(coding, varints_round_trip_at_random)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 3);
    for (int i = 0; i < 20000; i++)
        check_varint(fr_rng_next(&rng) >> fr_rng_below(&rng, 64));
}

Test(coding, a_varint_grows_by_a_byte_every_seven_bits)
{
    for (unsigned bytes = 1; bytes < 10; bytes++) {
        cr_assert_eq(fr_varint_size(((uint64_t)1 << 7 * bytes) - 1), bytes);
        cr_assert_eq(fr_varint_size((uint64_t)1 << 7 * bytes), bytes + 1);
    }
    cr_assert_eq(fr_varint_size(UINT32_MAX), FR_VARINT32_MAX);
    cr_assert_eq(fr_varint_size(UINT64_MAX), FR_VARINT64_MAX);
}

/* The value in more bytes than it needs: the surplus is zeros with the top bit, then a zero. */
Test(coding, every_longer_form_of_a_value_is_refused)
{
    for (unsigned bit = 0; bit <= 63; bit++) {
        uint64_t value = (uint64_t)1 << bit, back;
        uint8_t bytes[32];
        size_t size = fr_varint_size(value);

        for (size_t longer = size + 1; longer <= 12; longer++) {
            fr_put_varint(bytes, value);
            bytes[size - 1] |= 0x80;
            memset(bytes + size, 0x80, longer - size);
            bytes[longer - 1] = 0;
            cr_assert_null(fr_get_varint(bytes, bytes + longer, &back));
        }
    }
    static const uint8_t long_zero[] = {0x80, 0};
    uint64_t back;
    cr_assert_null(fr_get_varint(long_zero, long_zero + 2, &back));
}

Test(coding, more_than_64_bits_are_refused)
{
    uint8_t bytes[11];
    uint64_t back;

    memset(bytes, 0xff, sizeof(bytes));
    for (unsigned last = 0; last < 256; last++) {
        bytes[9] = (uint8_t)last;
        bool fits = fr_get_varint(bytes, bytes + 10, &back) != NULL;
        cr_assert_eq(fits, last == 1, "tenth byte %u", last);
    }
    bytes[9] = 0x81;
    bytes[10] = 0;
    cr_assert_null(fr_get_varint(bytes, bytes + 11, &back));
}

Test(coding, two_bytes_decode_in_one_way_only)
{
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            uint8_t bytes[2] = {(uint8_t)first, (uint8_t)second}, again[10];
            uint64_t value;
            const uint8_t *after = fr_get_varint(bytes, bytes + 2, &value);

            if (after == NULL) continue;
            size_t size = (size_t)(after - bytes);
            cr_assert_eq(fr_put_varint(again, value), again + size);
            cr_assert_arr_eq(again, bytes, size);
        }
    }
}

Test(coding, fixed_numbers_are_little_endian_at_any_offset)
{
    uint8_t bytes[16];

    for (size_t offset = 0; offset < 8; offset++) {
        fr_put_u64(bytes + offset, 0x0807060504030201);
        for (uint8_t i = 0; i < 8; i++)
            cr_assert_eq(bytes[offset + i], i + 1);
        cr_assert_eq(fr_get_u64(bytes + offset), 0x0807060504030201);
        cr_assert_eq(fr_get_u32(bytes + offset), 0x04030201);
        cr_assert_eq(fr_get_u16(bytes + offset), 0x0201);
        fr_put_u32(bytes + offset, 0xddccbbaa);
        fr_put_u16(bytes + offset + 4, 0xffee);
        cr_assert_eq(fr_get_u64(bytes + offset), 0x0807ffeeddccbbaa);
    }
}

Test(coding, zigzag_keeps_small_numbers_small)
{
    const int64_t values[] = {0, -1, 1, -2, 2, -3};

    for (uint64_t i = 0; i < 6; i++)
        cr_assert_eq(fr_zigzag(values[i]), i);
    cr_assert_eq(fr_zigzag(INT64_MAX), UINT64_MAX - 1);
    cr_assert_eq(fr_zigzag(INT64_MIN), UINT64_MAX);
}

Test(coding, zigzag_round_trips)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 4);
    for (int i = 0; i < 100000; i++) {
        uint64_t bits = fr_rng_next(&rng) >> fr_rng_below(&rng, 64);
        cr_assert_eq(fr_zigzag(fr_unzigzag(bits)), bits);
        cr_assert_eq(fr_unzigzag(fr_zigzag((int64_t)bits)), (int64_t)bits);
    }
}
