#include <criterion/criterion.h>

#include "base/alloc.h"
#include "lsm/lookup.h"

static struct fr_entry entry_of(uint8_t kind, fr_seq seq, const char *value)
{
    return (struct fr_entry){.key = fr_slice_of_text("k"),
            .value = fr_slice_of_text(value),
            .seq = seq,
            .kind = kind};
}

static void add(struct fr_lookup *lookup, uint8_t kind, fr_seq seq, const char *value)
{
    struct fr_entry entry = entry_of(kind, seq, value);
    cr_assert_eq(fr_lookup_add(lookup, &entry, false), FR_OK);
}

static void check_value(struct fr_lookup *lookup, const char *wanted, fr_seq newest)
{
    struct fr_buf buf = FR_BUF_EMPTY;
    fr_slice value;
    fr_seq seq = 0;
    fr_status st = fr_lookup_value(lookup, NULL, NULL, &buf, &value, &seq);

    cr_assert_eq(st, wanted == NULL ? FR_NOT_FOUND : FR_OK);
    if (wanted != NULL) cr_assert(fr_slice_equal(value, fr_slice_of_text(wanted)));
    cr_assert_eq(seq, newest);
    fr_buf_deinit(&buf);
    fr_lookup_deinit(lookup);
}

static void begin(struct fr_lookup *lookup)
{
    fr_lookup_init(lookup, fr_slice_of_text("k"), 99, 50);
}

Test(lookup, fragments_of_several_sources_stand_behind_the_base)
{
    struct fr_lookup lookup;

    begin(&lookup);
    add(&lookup, FR_KIND_APPEND, 9, "-3");
    fr_lookup_source_done(&lookup);
    add(&lookup, FR_KIND_APPEND, 8, "-2");
    cr_assert(!fr_lookup_complete(&lookup));
    add(&lookup, FR_KIND_PUT, 5, "1");
    cr_assert(fr_lookup_complete(&lookup));
    check_value(&lookup, "1-2-3", 9);
}

Test(lookup, a_delete_ends_it)
{
    struct fr_lookup lookup;

    begin(&lookup);
    add(&lookup, FR_KIND_DELETE, 9, "");
    cr_assert(fr_lookup_complete(&lookup));
    check_value(&lookup, NULL, 0);
}

Test(lookup, a_range_hides_what_is_older_and_ends_it_with_its_source)
{
    struct fr_lookup lookup;

    begin(&lookup);
    fr_lookup_cover(&lookup, 7);
    add(&lookup, FR_KIND_APPEND, 9, "-3");
    cr_assert(!fr_lookup_complete(&lookup));
    add(&lookup, FR_KIND_PUT, 5, "1");
    cr_assert(fr_lookup_complete(&lookup));
    check_value(&lookup, "-3", 9);

    begin(&lookup);
    fr_lookup_cover(&lookup, 7);
    fr_lookup_source_done(&lookup);
    cr_assert(fr_lookup_complete(&lookup));
    check_value(&lookup, NULL, 0);
}

Test(lookup, an_expired_base_is_a_delete)
{
    struct fr_entry put = entry_of(FR_KIND_PUT, 5, "1");
    struct fr_lookup lookup;

    put.flags = FR_ENTRY_EXPIRES;
    put.expires_us = 50;
    begin(&lookup);
    add(&lookup, FR_KIND_APPEND, 9, "-3");
    cr_assert_eq(fr_lookup_add(&lookup, &put, false), FR_OK);
    cr_assert(fr_lookup_complete(&lookup));
    check_value(&lookup, "-3", 9);
}

Test(lookup, a_base_counts_until_it_expires)
{
    struct fr_entry put = entry_of(FR_KIND_PUT, 5, "1");
    struct fr_lookup lookup;

    put.flags = FR_ENTRY_EXPIRES;
    put.expires_us = 51;
    begin(&lookup);
    add(&lookup, FR_KIND_APPEND, 9, "-3");
    cr_assert_eq(fr_lookup_add(&lookup, &put, false), FR_OK);
    check_value(&lookup, "1-3", 9);
}

Test(lookup, a_lone_value_that_stays_is_not_copied)
{
    struct fr_entry put = entry_of(FR_KIND_PUT, 5, "value");
    struct fr_buf buf = FR_BUF_EMPTY;
    struct fr_lookup lookup;
    fr_slice value;

    begin(&lookup);
    fr_alloc_fail_at(1, true);
    cr_assert_eq(fr_lookup_add(&lookup, &put, true), FR_OK);
    cr_assert_eq(fr_lookup_value(&lookup, NULL, NULL, &buf, &value, NULL), FR_OK);
    cr_assert_eq(value.data, put.value.data);
    fr_lookup_deinit(&lookup);
}

static fr_status get_many(struct fr_buf *buf)
{
    struct fr_lookup lookup;
    fr_slice value;
    fr_status st = FR_OK;

    begin(&lookup);
    for (fr_seq seq = 60; seq > 10 && st == FR_OK; seq--) {
        struct fr_entry entry = entry_of(FR_KIND_APPEND, seq, "ab");
        st = fr_lookup_add(&lookup, &entry, seq % 2 == 0);
    }
    if (st == FR_OK) st = fr_lookup_value(&lookup, NULL, NULL, buf, &value, NULL);
    if (st == FR_OK) cr_assert_eq(value.size, 100);
    fr_lookup_deinit(&lookup);
    return st;
}

Test(lookup, any_failing_allocation_is_reported_and_leaves_the_buffer)
{
    bool hit = true;

    for (uint64_t n = 1; hit; n++) {
        struct fr_buf buf = FR_BUF_EMPTY;
        fr_alloc_fail_at(n, false);
        fr_status st = get_many(&buf);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        if (hit) cr_assert_eq(buf.size, 0);
        fr_buf_deinit(&buf);
    }
}
