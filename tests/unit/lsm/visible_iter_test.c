#include <criterion/criterion.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "lsm/visible_iter.h"
#include "tests/unit/lsm/test_case.h"

static fr_status open_visible(const struct test_case *c, struct fr_iter **ret_it)
{
    struct fr_merge_source sources[TEST_SOURCES_MAX];
    struct fr_range_set *set = c->set;
    struct fr_visible_options options = {.at = c->at,
            .now_us = c->now_us,
            .bounds = {fr_slice_of_text(c->lower), fr_slice_of_text(c->upper)},
            .prefix = fr_slice_of_text(c->prefix),
            .fetch = test_case_fetch,
            .ranges = &set,
            .range_count = 1};

    test_case_open(c, sources);
    return fr_visible_iter_new(sources, c->source_count, &options, ret_it);
}

static void print(struct fr_buf *to, const struct fr_entry *entry)
{
    test_entry_print(to, entry);
}

static void prepend(struct fr_buf *all, const struct fr_entry *entry)
{
    struct fr_buf line = FR_BUF_EMPTY;

    print(&line, entry);
    fr_buf_append(&line, all->data, all->size);
    fr_buf_clear(all);
    fr_buf_append(all, line.data, line.size);
    fr_buf_deinit(&line);
}

static void run_case(const struct test_case *c)
{
    struct fr_buf found = FR_BUF_EMPTY;
    struct fr_iter *it;

    cr_assert_eq(open_visible(c, &it), FR_OK);
    for (int round = 0; round < 2; round++) {
        while (fr_iter_next(it) == FR_OK)
            print(&found, &it->entry);
        test_case_check(c, &c->expect, &found);
        while (fr_iter_prev(it) == FR_OK)
            prepend(&found, &it->entry);
        test_case_check(c, &c->expect, &found);
    }
    fr_iter_close(it);
    fr_buf_deinit(&found);
}

Test(visible_iter, does_what_the_cases_say)
{
    fr_cover_clear();
    test_cases_run("visible.txt", run_case);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("visible: sought past a range delete"), 0);
#endif
}

static void run_case_without_memory(const struct test_case *c)
{
    bool hit = true;

    for (uint64_t n = 1 + 2 * c->source_count; hit; n++) {
        struct fr_iter *it;
        fr_alloc_fail_at(n, false);
        fr_status st = open_visible(c, &it);
        if (st == FR_OK) {
            while ((st = fr_iter_next(it)) == FR_OK) {
            }
            fr_status back = FR_OK;
            while ((back = fr_iter_prev(it)) == FR_OK) {
            }
            st = FR_MIN(st, back);
            fr_iter_close(it);
        }
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        if (hit) cr_assert_eq(st, FR_ERR_NOMEM, "%s: %s", c->name, fr_status_name(st));
    }
}

Test(visible_iter, any_failing_allocation_is_reported)
{
    test_cases_run("visible.txt", run_case_without_memory);
}

Test(visible_iter, a_run_of_tombstones_does_not_carry_it_past_its_bound)
{
    struct test_entries list = TEST_ENTRIES_EMPTY;
    struct fr_iter *it;
    char line[32];

    for (unsigned i = 0; i < 100; i++) {
        snprintf(line, sizeof(line), "k%02u@%u del", i, i + 1);
        test_entries_parse(&list, line);
    }
    struct fr_merge_source source = {.it = test_iter_new(&list), .seq_max = 100};
    struct fr_visible_options options = {
            .at = 100, .bounds = {fr_slice_of_text("k10"), fr_slice_of_text("k15")}};
    cr_assert_eq(fr_visible_iter_new(&source, 1, &options, &it), FR_OK);
    cr_assert_eq(fr_iter_next(it), FR_END);
    cr_assert_eq(test_iter_moves(source.it), 6);
    fr_iter_close(it);
    test_entries_deinit(&list);
}
