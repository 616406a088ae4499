#include "lsm/version.h"

#include "base/alloc.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_version.h"

#define is(found, wanted)                                                                          \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_str_eq(found_, (wanted), "\"%s\", not \"%s\"", found_, (wanted));                \
    } while (0)

Test(version, adds_drops_and_moves_tables)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+0:1:a-z:10 +0:2:a-z:10 +1:4:m-p:10 +1:3:a-c:10", NULL));
    is(test_version_print(t.version), "0:2 0:1 1:3 1:4");
    must(test_version_change(&t, "-0:1 +1:5:d-l:10 >1:3", NULL));
    is(test_version_print(t.version), "0:2 1:5 1:4 2:3");
    is(test_version_obsolete(&t), "t1");
    test_version_close(&t);
}

Test(version, one_change_may_put_a_new_table_where_an_old_one_was)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+1:3:a-c:10 +1:4:d-f:20", NULL));
    must(test_version_change(&t, "-1:3 -1:4 +1:5:a-f:25", NULL));
    is(test_version_print(t.version), "1:5");
    is(test_version_obsolete(&t), "t3 t4");
    test_version_close(&t);
}

Test(version, refuses_changes_that_cannot_be)
{
    static const struct {
        const char *words;
        const char *says;
    } cases[] = {
            {"+1:7:c-d:10", "overlap"},
            {"+1:7:a-z:10", "overlap"},
            {"+1:7:b-b:10", "overlap"},
            {"+1:7:0-a:10", "overlap"},
            {"+1:7:x-y:10 +1:8:y-z:10", "overlap"},
            {"+0:1:k-l:10", "table 1 is added twice"},
            {"+2:3:k-l:10", "table 3 is added twice"},
            {"+5:7:k-l:10 +6:7:k-l:10", "table 7 is added twice"},
            {"+0:7:k-l:10 +0:7:m-n:10", "table 7 is added twice"},
            {"-1:7", "not there"},
            {"-2:3", "not there"},
            {"-1:3 -1:3", "not there"},
            {"-v8", "not there"},
            {"-v9 -v9", "not there"},
            {"+v9:10", "twice"},
            {"+v8:10 +v8:10", "twice"},
            {"+2:7:a-c:10:v8=1", "value file 8"},
            {"-v9", "value file 9"},
    };
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v9:100 +0:1:a-b:10 +0:2:a-b:10 +1:3:a-c:10:v9=50 +1:4:d-f:10",
            NULL));
    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        fr_status st = test_version_change(&t, cases[i].words, NULL);
        cr_assert_eq(st, FR_ERR_CORRUPT, "%s: %s", cases[i].words, fr_status_name(st));
        must_say(cases[i].says);
        is(test_version_print(t.version), "0:2 0:1 1:3 1:4");
    }
    is(test_version_obsolete(&t), "");
    test_version_close(&t);
}

Test(version, tables_may_touch_where_an_open_end_is)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+1:1:a-m:10:open +1:2:m-p:10", NULL));
    must_be(FR_ERR_CORRUPT, test_version_change(&t, "+1:3:p-q:10", NULL));
    cr_assert_eq(fr_version_find(&t.version->levels[1], fr_slice_of_text("l")), 0);
    cr_assert_eq(fr_version_find(&t.version->levels[1], fr_slice_of_text("m")), 1);
    cr_assert_eq(fr_version_find(&t.version->levels[1], fr_slice_of_text("p")), 1);
    cr_assert_eq(fr_version_find(&t.version->levels[1], fr_slice_of_text("q")), 2);
    test_version_close(&t);
}

Test(version, counts_bytes_of_levels_and_live_bytes_of_value_files)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t,
            "+v9:100 +v8:100 +1:3:a-c:10:v8=7:v9=50 +1:4:d-f:20:v9=11 +0:5:a-z:40", NULL));
    cr_assert_eq(t.version->levels[1].file_bytes, 30);
    cr_assert_eq(t.version->levels[1].bytes, 98);
    cr_assert_eq(t.version->levels[0].bytes, 40);
    cr_assert_eq(t.version->values[0]->meta.number, 8);
    cr_assert_eq(t.version->values_live[0], 7);
    cr_assert_eq(t.version->values_live[1], 61);
    must(test_version_change(&t, "-1:3 >1:4", NULL));
    cr_assert_eq(t.version->values_live[0], 0);
    cr_assert_eq(t.version->values_live[1], 11);
    cr_assert_eq(t.version->levels[1].bytes, 0);
    cr_assert_eq(t.version->levels[2].bytes, 31);
    test_version_close(&t);
}

/* A manifest from anywhere: sums of what is left in a file must not run below zero. */
Test(version, refuses_tables_that_point_to_more_than_there_is_in_a_value_file)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v9:100 +1:3:a-c:10:v9=60", NULL));
    must_be(FR_ERR_CORRUPT, test_version_change(&t, "+1:4:d-f:10:v9=41", NULL));
    must_be(FR_ERR_CORRUPT, test_version_change(&t, "+1:4:d-f:10:v9=18446744073709551615", NULL));
    must(test_version_change(&t, "+1:4:d-f:10:v9=40", NULL));
    cr_assert_eq(t.version->values_live[0], 100);
    test_version_close(&t);
}

Test(version, names_an_obsolete_file_once_and_after_its_last_reader)
{
    struct fr_version *reader, *later;
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v9:100 +1:3:a-c:10:v9=50 +1:4:d-f:10", NULL));
    reader = fr_version_ref(t.version);
    must(test_version_change(&t, "+0:6:a-b:10", NULL));
    later = fr_version_ref(t.version);
    must(test_version_change(&t, "-1:3 -v9 >1:4", NULL));
    is(test_version_obsolete(&t), "");
    fr_version_unref(later);
    is(test_version_obsolete(&t), "");
    fr_version_unref(reader);
    is(test_version_obsolete(&t), "t3 v9");
    is(test_version_obsolete(&t), "");
    test_version_close(&t);
}

Test(version, nothing_can_be_given_back)
{
    fr_version_unref(NULL);
    fr_version_table_unref(NULL);
    fr_version_values_unref(NULL);
}

Test(version, what_no_edit_dropped_is_never_obsolete)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v9:100 +1:3:a-c:10:v9=50", NULL));
    fr_version_unref(FR_TAKE(t.version));
    is(test_version_obsolete(&t), "");
    test_version_close(&t);
}

Test(version, an_edit_of_all_leads_to_the_same_version)
{
    struct fr_buf edit = FR_BUF_EMPTY, change = FR_BUF_EMPTY;
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v9:100 +1:3:a-c:10:v9=50 +0:4:d-f:10:open", &change));
    fr_version_encode(t.version, &edit);
    must(fr_buf_status(&edit));
    must(fr_buf_status(&change));
    cr_assert_eq(edit.data[0], FR_EDIT_RESET);
    cr_assert_eq(edit.size, change.size + 2);
    fr_buf_deinit(&edit);
    fr_buf_deinit(&change);
    test_version_close(&t);
}

Test(version, any_allocation_may_fail)
{
    struct fr_alloc_stats before, after;
    unsigned n = 0;

    fr_alloc_stats_get(&before);
    for (bool hit = true; hit; n++) {
        struct test_version t;

        test_version_open(&t);
        must(test_version_change(&t, "+v9:100 +1:3:a-c:10:v9=50 +1:4:d-f:10", NULL));
        fr_alloc_fail_at(n + 1, false);
        fr_status st = test_version_change(&t, "-1:3 -v9 >1:4 +v8:9 +0:5:a-c:9:v8=9", NULL);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        /* The list of obsolete files forgets for want of memory; all else fails. */
        cr_assert(st == FR_OK || (hit && st == FR_ERR_NOMEM));
        is(test_version_print(t.version), st == FR_OK ? "0:5 2:4" : "1:3 1:4");
        if (st != FR_OK) is(test_version_obsolete(&t), "");
        if (st == FR_OK && hit) cr_assert_gt(t.obsolete.forgotten_count, 0);
        test_version_close(&t);
    }
    cr_assert_gt(n, 15);
    fr_alloc_stats_get(&after);
    cr_assert_eq(before.live_count, after.live_count);
}
