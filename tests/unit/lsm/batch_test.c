#include <criterion/criterion.h>

#include "base/alloc.h"
#include "lsm/batch.h"

static fr_slice text(const char *s)
{
    return fr_slice_of_text(s);
}

static fr_slice fill(struct fr_batch *batch)
{
    fr_slice bytes;

    cr_assert_eq(fr_batch_add_put(batch, text("a"), text("1")), FR_OK);
    cr_assert_eq(fr_batch_add_put_until(batch, text("b"), text("2"), 77), FR_OK);
    cr_assert_eq(fr_batch_add_delete(batch, text("c")), FR_OK);
    cr_assert_eq(fr_batch_add_delete_range(batch, text("d"), text("e")), FR_OK);
    cr_assert_eq(fr_batch_add_append(batch, text("e"), text("")), FR_OK);
    cr_assert_eq(fr_batch_finish(batch, &bytes), FR_OK);
    return bytes;
}

Test(batch, what_was_added_is_read_back_with_rising_sequence_numbers)
{
    static const struct fr_entry wanted[] = {
            {.kind = FR_KIND_PUT},
            {.kind = FR_KIND_PUT, .flags = FR_ENTRY_EXPIRES, .expires_us = 77},
            {.kind = FR_KIND_DELETE},
            {.kind = FR_KIND_DELETE_RANGE},
            {.kind = FR_KIND_APPEND},
    };
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_batch_reader reader;
    struct fr_entry entry;

    cr_assert_eq(fr_batch_read(fill(&batch), 40, true, &reader), FR_OK);
    for (size_t i = 0; i < FR_ARRAY_COUNT(wanted); i++) {
        cr_assert_eq(fr_batch_read_next(&reader, &entry), FR_OK);
        cr_assert_eq(entry.seq, 40 + i);
        cr_assert_eq(entry.kind, wanted[i].kind);
        cr_assert_eq(entry.flags, wanted[i].flags);
        cr_assert_eq(entry.expires_us, wanted[i].expires_us);
        cr_assert_eq(entry.key.data[0], 'a' + i);
        cr_assert_eq(reader.check, fr_batch_record_check(&entry));
    }
    cr_assert_eq(fr_batch_read_next(&reader, &entry), FR_END);
    fr_batch_deinit(&batch);
}

Test(batch, beyond_a_limit_nothing_is_changed)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    static uint8_t large[FR_KEY_SIZE_MAX + 1];
    fr_slice huge = fr_slice_of(large, FR_VALUE_SIZE_MAX + 1); /* never looked at */

    fr_slice before = fill(&batch);
    cr_assert_eq(fr_batch_add_put(&batch, text(""), text("v")), FR_ERR_MISUSE);
    cr_assert_eq(fr_batch_add_put(&batch, fr_slice_of(large, sizeof(large)), text("v")),
            FR_ERR_LIMIT);
    cr_assert_eq(fr_batch_add_append(&batch, text("k"), huge), FR_ERR_LIMIT);
    cr_assert_eq(fr_batch_add_delete_range(&batch, text("b"), text("b")), FR_ERR_MISUSE);
    cr_assert_eq(fr_batch_add_delete_range(&batch, text("b"), text("a")), FR_ERR_MISUSE);
    cr_assert_eq(fr_batch_add_delete_range(&batch, text("a"), text("")), FR_ERR_MISUSE);
    cr_assert_eq(fr_batch_add_put(&batch, fr_slice_of(large, FR_KEY_SIZE_MAX), text("")), FR_OK);
    cr_assert_eq(batch.bytes.size, before.size + FR_BATCH_RECORD_SIZE + FR_KEY_SIZE_MAX);
    fr_batch_deinit(&batch);
}

Test(batch, a_full_one_takes_no_more)
{
    struct fr_batch batch = FR_BATCH_EMPTY;

    fill(&batch);
    size_t size = batch.bytes.size;
    batch.bytes.size = FR_BATCH_SIZE_MAX - 20; /* as if it were so full */
    cr_assert_eq(fr_batch_add_put(&batch, text("key"), text("value of some size")), FR_ERR_LIMIT);
    cr_assert_eq(batch.count, 5);
    batch.bytes.size = size;
    fr_batch_deinit(&batch);
}

Test(batch, rolls_back_to_a_mark)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_batch_mark empty = fr_batch_mark(&batch);
    fr_slice bytes;

    fill(&batch);
    struct fr_batch_mark mark = fr_batch_mark(&batch);
    cr_assert_eq(fr_batch_add_put(&batch, text("x"), text("y")), FR_OK);
    fr_batch_rollback(&batch, mark);
    cr_assert_eq(batch.count, 5);
    cr_assert_eq(fr_batch_finish(&batch, &bytes), FR_OK);
    cr_assert_eq(fr_batch_verify(bytes), FR_OK);
    fr_batch_rollback(&batch, empty);
    cr_assert_eq(fr_batch_finish(&batch, &bytes), FR_OK);
    cr_assert_eq(bytes.size, FR_BATCH_HEADER_SIZE);
    cr_assert_eq(fr_batch_verify(bytes), FR_OK);
    fr_batch_deinit(&batch);
}

Test(batch, any_flipped_bit_and_any_cut_is_found)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes = fill(&batch);
    uint8_t *copy = fr_alloc(bytes.size);

    memcpy(copy, bytes.data, bytes.size);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_lt(fr_batch_verify(fr_slice_of(copy, bytes.size)), 0, "bit %zu", bit);
        copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < bytes.size; size++)
        cr_assert_eq(fr_batch_verify(fr_slice_of(copy, size)), FR_ERR_CORRUPT);
    cr_assert_eq(fr_batch_verify(fr_slice_of(copy, bytes.size)), FR_OK);
    fr_free(copy);
    fr_batch_deinit(&batch);
}

Test(batch, a_later_version_is_told_from_damage)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes = fill(&batch);

    fr_put_u16(batch.bytes.data + 4, 2);
    fr_put_u32(batch.bytes.data, fr_crc32c_mask(fr_crc32c(0, batch.bytes.data + 4, 12)));
    cr_assert_eq(fr_batch_verify(bytes), FR_ERR_TOO_NEW);
    fr_batch_deinit(&batch);
}

Test(batch, any_failing_allocation_leaves_it_as_it_was)
{
    bool hit = true;

    for (uint64_t n = 1; hit; n++) {
        struct fr_batch batch = FR_BATCH_EMPTY;
        uint32_t added = 0;
        fr_alloc_fail_at(n, false);
        for (int i = 0; i < 40; i++)
            added += fr_batch_add_put(&batch, text("some key"), text("some value")) == FR_OK;
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(batch.count, added);
        cr_assert_eq(added, hit ? 39 : 40);
        fr_slice bytes;
        cr_assert_eq(fr_batch_finish(&batch, &bytes), FR_OK);
        cr_assert_eq(fr_batch_verify(bytes), FR_OK);
        fr_batch_deinit(&batch);
    }
}

Test(batch, records_behind_a_damaged_one_can_still_be_read)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_slice bytes;

    cr_assert_eq(fr_batch_add_put(&batch, fr_slice_of_text("a"), fr_slice_of_text("1")), FR_OK);
    cr_assert_eq(fr_batch_add_put(&batch, fr_slice_of_text("b"), fr_slice_of_text("2")), FR_OK);
    cr_assert_eq(fr_batch_finish(&batch, &bytes), FR_OK);
    batch.bytes.data[FR_BATCH_HEADER_SIZE + FR_BATCH_RECORD_SIZE] ^= 1; /* the first key */
    cr_assert_eq(fr_batch_read(bytes, 7, true, &reader), FR_OK);
    cr_assert_eq(fr_batch_read_next(&reader, &entry), FR_ERR_CORRUPT);
    cr_assert(fr_batch_read_past(&reader));
    cr_assert_eq(fr_batch_read_next(&reader, &entry), FR_OK);
    cr_assert(fr_slice_equal(entry.key, fr_slice_of_text("b")));
    cr_assert_eq(entry.seq, 8);
    cr_assert_eq(fr_batch_read_next(&reader, &entry), FR_END);
    cr_assert_not(fr_batch_read_past(&reader));
    fr_batch_deinit(&batch);
}
