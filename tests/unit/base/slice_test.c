#include <criterion/criterion.h>

#include "base/slice.h"

static fr_slice text(const char *s)
{
    return fr_slice_of_text(s);
}

Test(slice, equal_slices_have_equal_bytes)
{
    cr_assert(fr_slice_equal(text("ab"), text("ab")));
    cr_assert(!fr_slice_equal(text("ab"), text("ac")));
    cr_assert(!fr_slice_equal(text("ab"), text("abc")));
    cr_assert(fr_slice_equal(fr_slice_of("a\0b", 3), fr_slice_of("a\0b", 3)));
    cr_assert(!fr_slice_equal(fr_slice_of("a\0b", 3), fr_slice_of("a\0c", 3)));
}

Test(slice, nothing_equals_nothing_whatever_it_points_to)
{
    cr_assert(fr_slice_equal(fr_slice_of(NULL, 0), text("")));
    cr_assert(fr_slice_equal(fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    cr_assert_eq(fr_slice_compare(fr_slice_of(NULL, 0), text("")), 0);
    cr_assert(!fr_slice_equal(fr_slice_of(NULL, 0), text("a")));
}

/* In ascending order; bytes compare as unsigned, and a prefix comes first. */
static const char *const ordered[] = {
        "", "A", "a", "aa", "ab", "b", "b\x01", "b\x7f", "b\x80", "b\xff", "b\xff\x01", "\xff"};
#define ORDERED_COUNT (sizeof(ordered) / sizeof(ordered[0]))

Test(slice, order_is_by_unsigned_bytes_and_prefixes_come_first)
{
    for (size_t i = 0; i < ORDERED_COUNT; i++) {
        for (size_t j = 0; j < ORDERED_COUNT; j++) {
            int order = fr_slice_compare(text(ordered[i]), text(ordered[j]));
            int sign = (order > 0) - (order < 0);
            cr_assert_eq(sign, (i > j) - (i < j), "%zu and %zu", i, j);
        }
    }
}

Test(slice, starts_with_its_own_beginnings_only)
{
    cr_assert(fr_slice_starts_with(text("abc"), text("ab")));
    cr_assert(fr_slice_starts_with(text("abc"), text("abc")));
    cr_assert(fr_slice_starts_with(text("abc"), fr_slice_of(NULL, 0)));
    cr_assert(fr_slice_starts_with(fr_slice_of(NULL, 0), text("")));
    cr_assert(!fr_slice_starts_with(text("abc"), text("abcd")));
    cr_assert(!fr_slice_starts_with(text("abc"), text("b")));
    cr_assert(!fr_slice_starts_with(fr_slice_of(NULL, 0), text("a")));
}
