#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "lsm/merge_iter.h"
#include "tests/unit/lsm/test_case.h"

static struct fr_iter *open_merge(const struct test_case *c)
{
    struct fr_merge_source sources[TEST_SOURCES_MAX];
    struct fr_bounds bounds = {fr_slice_of_text(c->lower), fr_slice_of_text(c->upper)};
    struct fr_iter *merge;

    test_case_open(c, sources);
    cr_assert_eq(fr_merge_iter_new(sources, c->source_count, bounds, &merge), FR_OK);
    return merge;
}

static fr_status print_forwards(struct fr_iter *it, struct fr_buf *found)
{
    fr_status st;

    while ((st = fr_iter_next(it)) == FR_OK)
        test_entry_print(found, &it->entry);
    return st;
}

/* From the end to the start, and the lines turned around. */
static void print_backwards(struct fr_iter *it, struct fr_buf *found)
{
    struct fr_buf line = FR_BUF_EMPTY, all = FR_BUF_EMPTY;

    while (fr_iter_prev(it) == FR_OK) {
        test_entry_print(&line, &it->entry);
        fr_buf_append(&line, all.data, all.size);
        fr_buf_clear(&all);
        fr_buf_append(&all, line.data, line.size);
        fr_buf_clear(&line);
    }
    fr_buf_append(found, all.data, all.size);
    fr_buf_deinit(&line);
    fr_buf_deinit(&all);
}

static void run_case(const struct test_case *c)
{
    struct fr_iter *merge = open_merge(c);
    struct fr_buf found = FR_BUF_EMPTY;
    fr_status st = print_forwards(merge, &found);

    if (st < 0) {
        fr_buf_clear(&found);
        fr_buf_printf(&found, "%s\n", fr_status_name(st));
        cr_assert_eq(fr_iter_prev(merge), st, "a failure sticks");
        test_case_check(c, &c->expect, &found);
    } else {
        test_case_check(c, &c->expect, &found);
        print_backwards(merge, &found);
        test_case_check(c, &c->expect, &found);
        (void)print_forwards(merge, &found);
        test_case_check(c, &c->expect, &found);
    }
    fr_iter_close(merge);
    fr_buf_deinit(&found);
}

Test(merge_iter, does_what_the_cases_say)
{
    test_cases_run("merge.txt", run_case);
}

Test(merge_iter, an_error_sticks_until_a_seek)
{
    struct test_entries list = TEST_ENTRIES_EMPTY;
    struct fr_iter *merge;

    test_entries_parse(&list, "a@5 put x");
    test_entries_parse(&list, "b@4 put y");
    struct fr_merge_source source = {.it = test_iter_new(&list), .seq_max = 5};
    cr_assert_eq(fr_merge_iter_new(&source, 1, (struct fr_bounds){0}, &merge), FR_OK);
    test_iter_fail_at(source.it, 2);
    cr_assert_eq(fr_iter_next(merge), FR_OK);
    cr_assert_eq(fr_iter_next(merge), FR_ERR_IO);
    test_iter_fail_at(source.it, 0);
    cr_assert_eq(fr_iter_next(merge), FR_ERR_IO);
    fr_iter_seek(merge, fr_slice_of_text("b"), FR_SEQ_MAX);
    cr_assert_eq(fr_iter_next(merge), FR_OK);
    cr_assert_eq(merge->entry.seq, 4);
    fr_iter_close(merge);
    test_entries_deinit(&list);
}

Test(merge_iter, no_source_goes_further_than_one_entry_past_the_bound)
{
    struct test_entries list = TEST_ENTRIES_EMPTY;
    struct fr_iter *merge;
    char line[32];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(line, sizeof(line), "k%02u@%u del", i, i + 1);
        test_entries_parse(&list, line);
    }
    struct fr_merge_source source = {.it = test_iter_new(&list), .seq_max = 100};
    struct fr_bounds bounds = {fr_slice_of_text("k10"), fr_slice_of_text("k13")};
    cr_assert_eq(fr_merge_iter_new(&source, 1, bounds, &merge), FR_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(fr_iter_next(merge), FR_OK);
    cr_assert_eq(fr_iter_next(merge), FR_END);
    cr_assert_eq(test_iter_moves(source.it), 4);
    fr_iter_close(merge);
    test_entries_deinit(&list);
}

Test(merge_iter, without_memory_it_closes_its_sources)
{
    struct test_entries list = TEST_ENTRIES_EMPTY;
    struct fr_bounds bounds = {fr_slice_of_text("a"), fr_slice_of_text("b")};

    for (uint64_t n = 1; n <= 3; n++) {
        struct fr_merge_source source = {.it = test_iter_new(&list)};
        struct fr_iter *merge;
        fr_alloc_fail_at(n, false);
        cr_assert_eq(fr_merge_iter_new(&source, 1, bounds, &merge), FR_ERR_NOMEM);
    }
}
