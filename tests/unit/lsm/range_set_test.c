#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lsm/range_set.h"

static fr_slice text(const char *s)
{
    return fr_slice_of_text(s);
}

Test(range_set, cuts_where_ranges_start_and_end)
{
    struct fr_range ranges[] = {{text("f"), text("t"), 9}, {text("a"), text("m"), 5}};
    struct fr_range_set *set;

    cr_assert_eq(fr_range_set_build(ranges, 2, &set), FR_OK);
    cr_assert_eq(fr_range_set_count(set), 3);
    cr_assert(fr_slice_equal(fr_range_set_at(set, 1)->end, text("m")));
    cr_assert_eq(fr_range_set_at(set, 1)->seq_count, 2);
    cr_assert_eq(fr_range_set_covering(set, text("g"), 99), 9);
    cr_assert_eq(fr_range_set_covering(set, text("g"), 8), 5);
    cr_assert_eq(fr_range_set_covering(set, text("g"), 4), 0);
    cr_assert_eq(fr_range_set_covering(set, text("t"), 99), 0);
    cr_assert_eq(fr_range_set_covering(NULL, text("t"), 99), 0);
    fr_range_set_unref(set);
}

Test(range_set, neighbours_that_say_the_same_are_one)
{
    struct fr_range ranges[] = {
            {text("a"), text("c"), 5}, {text("c"), text("e"), 5}, {text("b"), text("d"), 5}};
    struct fr_range_set *set;

    cr_assert_eq(fr_range_set_build(ranges, 3, &set), FR_OK);
    cr_assert_eq(fr_range_set_count(set), 1);
    cr_assert(fr_slice_equal(fr_range_set_at(set, 0)->end, text("e")));
    fr_range_set_unref(set);
}

#define RANGES 40

static const uint8_t letters[] = "abcdefghijklmnopqrstuvwxyz";

static void random_ranges(struct fr_rng *rng, struct fr_range *ranges)
{
    for (size_t i = 0; i < RANGES; i++) {
        size_t start = fr_rng_below(rng, 24), end = fr_rng_between(rng, start + 1, 25);
        ranges[i] = (struct fr_range){fr_slice_of(letters + start, 1),
                fr_slice_of(letters + end, 1), 1 + fr_rng_below(rng, 100)};
    }
}

static fr_seq covering(const struct fr_range *ranges, fr_slice key, fr_seq at)
{
    fr_seq newest = 0;

    for (size_t i = 0; i < RANGES; i++)
        if (ranges[i].seq <= at && fr_slice_compare(ranges[i].start, key) <= 0 &&
                fr_slice_compare(key, ranges[i].end) < 0)
            newest = FR_MAX(newest, ranges[i].seq);
    return newest;
}

static void check_span(struct fr_range_cursor *cursor, const struct fr_range *ranges, size_t key,
        fr_seq above, fr_seq at)
{
    fr_slice start, end;
    size_t first = key, last = key;

    if (!fr_range_cursor_span(cursor, fr_slice_of(letters + key, 1), above, at, &start, &end)) {
        cr_assert_leq(covering(ranges, fr_slice_of(letters + key, 1), at), above);
        return;
    }
    while (first > 0 && covering(ranges, fr_slice_of(letters + first - 1, 1), at) > above)
        first--;
    while (covering(ranges, fr_slice_of(letters + last, 1), at) > above)
        last++;
    cr_assert(fr_slice_equal(start, fr_slice_of(letters + first, 1)));
    cr_assert(fr_slice_equal(end, fr_slice_of(letters + last, 1)));
}

Test(range_set, says_what_the_ranges_say)
{
    struct fr_rng rng;

    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct fr_range ranges[RANGES];
        struct fr_range_set *half, *set;
        fr_rng_init(&rng, seed);
        random_ranges(&rng, ranges);
        cr_assert_eq(fr_range_set_build(ranges, RANGES / 2, &half), FR_OK);
        const struct fr_range_set *sets[] = {half, NULL};
        cr_assert_eq(fr_range_set_merge(sets, 2, ranges + RANGES / 2, RANGES - RANGES / 2, &set),
                FR_OK);
        struct fr_range_cursor cursor = {.set = set};
        for (int i = 0; i < 500; i++) {
            size_t key = fr_rng_below(&rng, 26);
            fr_seq at = fr_rng_below(&rng, 110), above = fr_rng_below(&rng, 100);
            fr_seq wanted = covering(ranges, fr_slice_of(letters + key, 1), at);
            cr_assert_eq(fr_range_set_covering(set, fr_slice_of(letters + key, 1), at), wanted);
            cr_assert_eq(fr_range_cursor_covering(&cursor, fr_slice_of(letters + key, 1), at),
                    wanted);
            check_span(&cursor, ranges, key, above, at);
        }
        fr_range_set_unref(half);
        fr_range_set_unref(set);
    }
}

Test(range_set, any_failing_allocation_is_reported)
{
    struct fr_range ranges[RANGES];
    struct fr_rng rng;
    bool hit = true;

    fr_rng_init(&rng, 3);
    random_ranges(&rng, ranges);
    for (uint64_t n = 1; hit; n++) {
        struct fr_range_set *set = NULL;
        fr_alloc_fail_at(n, false);
        fr_status st = fr_range_set_build(ranges, RANGES, &set);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        fr_range_set_unref(set);
    }
}
