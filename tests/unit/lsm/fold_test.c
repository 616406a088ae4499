#include <criterion/criterion.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "lsm/fold.h"
#include "tests/unit/lsm/test_case.h"

static struct fr_fold_options options_of(const struct test_case *c)
{
    return (struct fr_fold_options){.snapshots = c->snapshots,
            .snapshot_count = c->snapshot_count,
            .bottommost = c->bottommost,
            .now_us = c->now_us,
            .ranges = c->set,
            .fetch = c->nofetch ? NULL : test_case_fetch};
}

static fr_status fold_all(const struct test_case *c, struct fr_buf *found)
{
    struct fr_merge_source sources[TEST_SOURCES_MAX];
    struct fr_fold_options options = options_of(c);
    struct fr_fold *fold = NULL;
    struct fr_entry entry;
    struct fr_iter *merge;
    fr_status st;

    test_case_open(c, sources);
    FR_TRY(fr_merge_iter_new(sources, c->source_count, (struct fr_bounds){0}, &merge));
    FR_TRY(fr_fold_new(merge, &options, &fold));
    while ((st = fr_fold_next(fold, &entry)) == FR_OK)
        test_entry_print(found, &entry);
    cr_assert_eq(fr_fold_next(fold, &entry), st, "an end and a failure stick");
out:
    fr_fold_close(fold);
    return st;
}

static void print_ranges(const struct fr_range_set *set, struct fr_buf *found)
{
    for (size_t i = 0; i < fr_range_set_count(set); i++)
        for (size_t k = 0; k < fr_range_set_at(set, i)->seq_count; k++)
            fr_buf_printf(found, "%.*s..%.*s@%" PRIu64 "\n", 1,
                    (const char *)fr_range_set_at(set, i)->start.data, 1,
                    (const char *)fr_range_set_at(set, i)->end.data,
                    fr_range_set_at(set, i)->seqs[k]);
}

static void run_case(const struct test_case *c)
{
    struct fr_fold_options options = options_of(c);
    struct fr_range_set *kept;
    struct fr_buf found = FR_BUF_EMPTY;
    fr_status st = fold_all(c, &found);

    if (st < 0) {
        fr_buf_clear(&found);
        fr_buf_printf(&found, "%s\n", fr_status_name(st));
    }
    test_case_check(c, &c->expect, &found);
    if (c->range_count > 0) {
        cr_assert_eq(fr_fold_ranges(&options, &kept), FR_OK);
        print_ranges(kept, &found);
        test_case_check(c, &c->keep, &found);
        fr_range_set_unref(kept);
    }
    fr_buf_deinit(&found);
}

Test(fold, does_what_the_cases_say)
{
    test_cases_run("fold.txt", run_case);
}

/* The sources' own memory comes first, and is not what is tested. */
static void run_case_without_memory(const struct test_case *c)
{
    struct fr_buf found = FR_BUF_EMPTY;
    bool hit = true;

    cr_assert_eq(fr_buf_reserve(&found, 4096), FR_OK);
    for (uint64_t n = 1 + 2 * c->source_count; hit; n++) {
        fr_buf_clear(&found);
        fr_alloc_fail_at(n, false);
        fr_status st = fold_all(c, &found);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        if (hit) cr_assert_eq(st, FR_ERR_NOMEM, "%s: %s", c->name, fr_status_name(st));
    }
    fr_buf_deinit(&found);
}

Test(fold, any_failing_allocation_is_reported)
{
    test_cases_run("fold.txt", run_case_without_memory);
}

Test(fold, an_error_of_the_input_sticks)
{
    struct test_entries list = TEST_ENTRIES_EMPTY;
    struct fr_fold *fold;
    struct fr_entry entry;

    test_entries_parse(&list, "a@5 app x");
    test_entries_parse(&list, "a@4 app y");
    struct fr_iter *in = test_iter_new(&list);
    test_iter_fail_at(in, 2);
    cr_assert_eq(fr_fold_new(in, &(struct fr_fold_options){0}, &fold), FR_OK);
    cr_assert_eq(fr_fold_next(fold, &entry), FR_ERR_IO);
    cr_assert_eq(fr_fold_next(fold, &entry), FR_ERR_IO);
    fr_fold_close(fold);
    test_entries_deinit(&list);
}
