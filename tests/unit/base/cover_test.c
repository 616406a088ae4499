#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/thread.h"

static void branch(bool taken)
{
    if (taken) FR_COVER("cover_test: taken");
}

Test(cover, a_branch_counts_each_time_it_is_taken)
{
#ifndef NDEBUG
    cr_assert_eq(fr_cover_count("cover_test: taken"), 0);
    branch(false);
    cr_assert_eq(fr_cover_count("cover_test: taken"), 0);
    branch(true);
    branch(true);
    cr_assert_eq(fr_cover_count("cover_test: taken"), 2);
    fr_cover_clear();
    cr_assert_eq(fr_cover_count("cover_test: taken"), 0);
    branch(true);
    cr_assert_eq(fr_cover_count("cover_test: taken"), 1);
#else
    branch(true);
    cr_assert_eq(fr_cover_count("cover_test: taken"), 0, "release builds do not count");
#endif
}

Test(cover, a_name_that_was_never_reached_counts_zero)
{
    cr_assert_eq(fr_cover_count("cover_test: no such branch"), 0);
}

#ifndef NDEBUG
Test(cover, two_places_of_one_name_count_together)
{
    FR_COVER("cover_test: shared");
    FR_COVER("cover_test: shared");
    cr_assert_eq(fr_cover_count("cover_test: shared"), 2);
}

static void hit_often(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10000; i++) {
        FR_COVER("cover_test: threads");
        FR_COVER("cover_test: threads too");
    }
}

Test(cover, threads_count_together)
{
    struct fr_thread threads[4];

    for (int i = 0; i < 4; i++)
        cr_assert_eq(fr_thread_start(&threads[i], "cover", hit_often, NULL), FR_OK);
    for (int i = 0; i < 4; i++)
        fr_thread_join(&threads[i]);
    cr_assert_eq(fr_cover_count("cover_test: threads"), 40000);
    cr_assert_eq(fr_cover_count("cover_test: threads too"), 40000);
}
#endif
