#include "wal/wal_format.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

#include "base/coding.h"
#include "base/crc32c.h"

static struct fr_wal_header sample_header(void)
{
    return (struct fr_wal_header){.kind = FR_WAL_KIND_LOG,
            .store = "sixteen letters",
            .number = 9,
            .epoch = 77,
            .first = 40960,
            .size = 65536,
            .previous = {.number = 8, .lsn = 40000, .crc = 5}};
}

static void reseal(uint8_t *page)
{
    fr_put_u32(page + 4092, fr_crc32c(0, page, 4092));
}

Test(wal_format, a_header_comes_back_as_it_was)
{
    struct fr_wal_header header = sample_header(), again;
    uint8_t page[FR_WAL_HEADER_SIZE];

    fr_wal_header_encode(&header, page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_OK);
    cr_assert_eq(again.kind, header.kind);
    cr_assert_arr_eq(again.store, header.store, FR_STORE_ID_SIZE);
    cr_assert_eq(again.number, 9);
    cr_assert_eq(again.epoch, 77);
    cr_assert_eq(again.first, 40960);
    cr_assert_eq(again.size, 65536);
    cr_assert_eq(again.previous.number, 8);
    cr_assert_eq(again.previous.lsn, 40000);
    cr_assert_eq(again.previous.crc, 5);
    cr_assert_eq(again.crc, header.crc);
}

Test(wal_format, each_flipped_bit_of_a_header_is_noticed)
{
    struct fr_wal_header header = sample_header(), again;
    uint8_t page[FR_WAL_HEADER_SIZE];

    fr_wal_header_encode(&header, page);
    for (size_t bit = 0; bit < FR_WAL_HEADER_SIZE * 8; bit++) {
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(fr_wal_header_decode(page, &again), FR_ERR_CORRUPT, "bit %zu", bit);
        page[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

Test(wal_format, a_later_version_and_unknown_features_are_refused)
{
    struct fr_wal_header header = sample_header(), again;
    uint8_t page[FR_WAL_HEADER_SIZE];

    fr_wal_header_encode(&header, page);
    fr_put_u32(page + 8, 2);
    reseal(page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_ERR_TOO_NEW);
    fr_put_u32(page + 8, 1);
    fr_put_u32(page + 16, 1);
    reseal(page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_ERR_TOO_NEW);
    fr_put_u32(page + 16, 0);
    fr_put_u32(page + 20, 1); /* need not be known */
    reseal(page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_OK);
}

/* Each change is one that a writer cannot make, under a right crc. */
Test(wal_format, a_header_that_contradicts_itself_is_refused)
{
    static const struct {
        size_t offset;
        uint64_t value;
    } changes[] = {{12, 3}, {40, 0}, {40, 8}, {48, 0}, {56, 40961}, {56, 45056}, {56, 0},
            {56, UINT64_MAX - 4095}, {64, 0}, {64, 65537}, {64, 12288}, {64, (uint64_t)1 << 40},
            {72, 0}, {72, 9}, {72, UINT64_MAX}, {80, 50000}, {80, 0}, {92, UINT64_MAX}, {100, 1},
            {4080, 1}};
    struct fr_wal_header header = sample_header(), again;
    uint8_t page[FR_WAL_HEADER_SIZE];

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        fr_wal_header_encode(&header, page);
        fr_put_u64(page + changes[i].offset, changes[i].value);
        reseal(page);
        cr_assert_eq(fr_wal_header_decode(page, &again), FR_ERR_CORRUPT, "change %zu", i);
    }
    /* No segment before it, but a crc of that. */
    header.previous = (struct fr_wal_link){.crc = 5};
    fr_wal_header_encode(&header, page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_ERR_CORRUPT);
    header.previous.crc = 0;
    fr_wal_header_encode(&header, page);
    cr_assert_eq(fr_wal_header_decode(page, &again), FR_OK);
}

Test(wal_format, a_group_header_comes_back_and_each_flipped_bit_is_noticed)
{
    struct fr_wal_group group = {.lsn = 4096,
                                .durable = 4000,
                                .epoch = 3,
                                .tag = 99,
                                .size = 100,
                                .type = FR_WAL_DATA,
                                .flags = FR_WAL_FIRST},
                        again;
    uint32_t seed = fr_wal_check_seed((const uint8_t *)"sixteen letters", 5);
    uint8_t bytes[FR_WAL_GROUP_HEADER_SIZE] = {0};

    fr_wal_group_encode(&group, seed, bytes);
    fr_wal_group_seal(bytes, 0xabcd);
    cr_assert(fr_wal_group_decode(bytes, seed, &again));
    cr_assert_eq(again.crc, 0xabcd);
    cr_assert_eq(again.lsn, 4096);
    cr_assert_eq(again.durable, 4000);
    cr_assert_eq(again.epoch, 3);
    cr_assert_eq(again.tag, 99);
    cr_assert_eq(again.size, 100);
    cr_assert_eq(again.type, FR_WAL_DATA);
    cr_assert_eq(again.flags, FR_WAL_FIRST);
    for (size_t bit = 32; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_not(fr_wal_group_decode(bytes, seed, &again), "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    uint32_t other = fr_wal_check_seed((const uint8_t *)"sixteen letters", 6);
    cr_assert_not(fr_wal_group_decode(bytes, other, &again));
}

Test(wal_format, zeros_and_ones_are_no_group)
{
    uint8_t bytes[FR_WAL_GROUP_HEADER_SIZE] = {0};
    struct fr_wal_group group;

    cr_assert_not(fr_wal_group_decode(bytes, 0, &group));
    memset(bytes, 0xff, sizeof(bytes));
    cr_assert_not(fr_wal_group_decode(bytes, 0, &group));
}

Test(wal_format, a_group_that_finds_no_room_for_its_header_stands_on_the_next_block)
{
    cr_assert_eq(fr_wal_next_place(4096), 4096);
    cr_assert_eq(fr_wal_next_place(8192 - 48), 8192 - 48);
    cr_assert_eq(fr_wal_next_place(8192 - 40), 8192);
    cr_assert_eq(fr_wal_next_place(8192 - 8), 8192);
    cr_assert_eq(fr_wal_group_extent(0), 48);
    cr_assert_eq(fr_wal_group_extent(1), 56);
    cr_assert_eq(fr_wal_group_extent(8), 56);
    cr_assert_eq(fr_wal_group_extent(9), 64);
}
