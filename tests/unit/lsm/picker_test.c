#include "lsm/picker.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_version.h"

/* Small numbers, so that cases can be read: a level is to hold 100 at least. */
static const struct fr_picker_options small = {
        .level0_trigger = 2, .level0_most = 2, .ratio = 10, .base_bytes = 100};

static const char *const reasons[] = {"level0", "size", "density", "range", "garbage", "covered"};

static void print_tables(struct fr_buf *to, struct fr_version_table **tables, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fr_buf_printf(to, " %" PRIu64, tables[i]->meta.number);
}

/* "size 5>6: 3 + 7 8 [a c]", "none", or "busy". */
static void print_pick(struct fr_buf *to, fr_status st, struct fr_pick *pick)
{
    if (st == FR_OK) {
        fr_buf_printf(to, "%s %u>%u:", reasons[pick->reason], pick->level, pick->output_level);
        print_tables(to, pick->inputs, pick->input_count);
        if (pick->overlap_count > 0) fr_buf_printf(to, " +");
        print_tables(to, pick->overlaps, pick->overlap_count);
        fr_buf_printf(to, " [%.*s %.*s]", (int)pick->smallest.size,
                (const char *)pick->smallest.data, (int)pick->largest.size,
                (const char *)pick->largest.data);
        fr_pick_deinit(pick);
    } else {
        cr_assert(st == FR_NOT_FOUND || st == FR_ERR_BUSY, "%s", fr_status_name(st));
        fr_buf_printf(to, st == FR_NOT_FOUND ? "none" : "busy");
    }
    fr_buf_u8(to, 0);
    must(fr_buf_status(to));
}

struct pick_case {
    const char *about;
    const char *words; /* test_version.h */
    const char *expect;
};

static const struct pick_case cases[] = {
        {"nothing", "", "none"},
        {"one flush is not enough", "+0:1:a-c:10", "none"},
        {"two are", "+0:1:a-c:10 +0:2:b-d:10", "level0 0>6: 2 1 [a d]"},
        {"all of level 0, and what is below it",
                "+0:1:a-c:10 +0:2:p-q:10 +6:3:a-b:9 +6:4:k-l:9 +6:5:q-z:9 +6:6:zz-zzz:9",
                "level0 0>6: 2 1 + 3 4 5 [a z]"},
        {"level 0 goes to the base level", "+0:1:a-c:10 +0:2:b-d:10 +6:3:a-z:1001",
                "level0 0>5: 2 1 [a d]"},
        {"and two above the last one", "+0:1:a-c:10 +0:2:b-d:10 +6:3:a-z:10010",
                "level0 0>4: 2 1 [a d]"},
        {"the last level is never over", "+6:1:a-z:1000000", "none"},
        {"a level over its target", "+5:1:a-m:90 +5:2:n-z:90 +6:3:a-z:1010",
                "size 5>6: 1 + 3 [a z]"},
        {"a level at its target", "+5:1:a-m:50 +5:2:n-z:51 +6:3:a-z:1010", "size 5>6: 2 + 3 [a z]"},
        {"a level under it", "+5:1:a-m:50 +5:2:n-z:50 +6:3:a-z:1010", "none"},
        {"the table that drags the least",
                "+5:1:a-f:90 +5:2:g-m:90 +5:3:n-z:90 +6:4:a-e:900 +6:5:g-g:10 +6:6:h-h:20 "
                "+6:7:o-p:900",
                "size 5>6: 2 + 5 6 [g m]"},
        {"one that overlaps nothing moves", "+5:1:a-f:90 +5:2:g-m:90 +6:4:a-e:1000",
                "size 5>6: 2 [g m]"},
        {"the worse of two levels", "+4:1:a-c:110 +5:2:a-b:1100 +5:3:c-d:1100 +6:4:a-z:10100",
                "size 5>6: 2 + 4 [a z]"},
        {"level 0 when it is worse",
                "+0:8:a-a:1 +0:9:a-a:1 +0:10:a-a:1 +0:11:a-a:1 +4:1:b-c:110 +6:4:a-z:10000",
                "level0 0>4: 11 10 9 8 [a a]"},
        {"an open end reaches up to its key", "+5:1:a-f:190:open +6:2:f-g:500 +6:3:h-z:510",
                "size 5>6: 1 + 2 [a g]"},
        {"busy tables of level 0", "+0:1:a-c:10:busy +0:2:b-d:10", "none"},
        {"busy below level 0", "+0:1:a-c:10 +0:2:b-d:10 +6:3:c-c:5:busy", "none"},
        {"a busy table is passed over", "+5:1:a-m:90:busy +5:2:n-z:90 +6:3:a-z:1010",
                "size 5>6: 2 + 3 [a z]"},
        {"busy below it as well", "+5:1:a-m:90 +5:2:n-z:90 +6:3:a-b:10:busy +6:4:n-z:1010",
                "size 5>6: 2 + 4 [n z]"},
        {"all busy", "+5:1:a-m:90:busy +5:2:n-z:90 +6:3:n-z:1010:busy", "none"},
        {"never past a level that has tables", "+0:1:a-c:10 +0:2:b-d:10 +4:4:a-b:20 +6:3:a-z:90",
                "level0 0>4: 2 1 + 4 [a d]"},
        {"a level that should be empty", "+4:4:a-b:120 +4:5:c-d:20 +6:3:a-z:90",
                "size 4>5: 4 [a b]"},
        {"if the worst is busy, the next",
                "+0:1:a-c:10:busy +0:2:b-d:10 +5:4:e-f:120 +6:3:a-z:1000", "size 5>6: 4 + 3 [a z]"},
        {"if all that is over is busy, the dense",
                "+0:1:a-c:10:busy +0:2:b-d:10 +5:4:e-f:50:d80 +6:3:e-z:1000",
                "density 5>6: 4 + 3 [e z]"},
        {"the deepest level was emptied: it is used again", "+5:1:a-m:90 +5:2:n-z:90",
                "size 5>6: 1 [a m]"},
        {"also from far above", "+2:1:a-m:90 +2:2:n-z:90", "size 2>3: 1 [a m]"},
        {"and level 0 goes where there are tables", "+0:1:a-c:10 +0:2:b-d:10 +5:3:a-z:40",
                "level0 0>5: 2 1 + 3 [a z]"},
        {"dense deletes", "+5:1:a-m:10:d70 +6:3:a-z:1010", "density 5>6: 1 + 3 [a z]"},
        {"dense fragments", "+5:1:a-m:10:a70 +6:3:a-z:1010", "density 5>6: 1 + 3 [a z]"},
        {"not so dense", "+5:1:a-m:10:a40:d40 +6:3:a-z:1010", "none"},
        {"dense but busy", "+5:1:a-m:10:d70:busy +6:3:a-z:1010", "none"},
        {"dense in the last level", "+6:3:a-z:1010:d100", "none"},
        {"a level over its target before dense tables", "+5:1:a-m:20:d70 +5:2:n-o:90 +6:3:a-z:1010",
                "size 5>6: 2 + 3 [a z]"},
};

static void check_pick(const struct pick_case *c, const struct fr_picker_options *options)
{
    struct fr_buf found = FR_BUF_EMPTY;
    struct test_version t;
    struct fr_pick pick;

    test_version_open(&t);
    must(test_version_change(&t, c->words, NULL));
    fr_status st = fr_picker_pick(t.version, options, &pick);
    print_pick(&found, st, &pick);
    cr_assert_str_eq((const char *)found.data, c->expect, "%s: \"%s\", not \"%s\"", c->about,
            (const char *)found.data, c->expect);
    fr_buf_deinit(&found);
    test_version_close(&t);
}

Test(picker, picks_what_the_cases_say)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++)
        check_pick(&cases[i], &small);
}

Test(picker, small_tables_may_gather_in_level_0)
{
    static const struct fr_picker_options options = {
            .level0_trigger = 2, .level0_most = 4, .ratio = 10, .base_bytes = 100};
    static const struct pick_case gather[] = {
            {"large ones go", "+0:1:a-c:50 +0:2:b-d:50", "level0 0>6: 2 1 [a d]"},
            {"small ones wait", "+0:1:a-c:40 +0:2:b-d:40", "none"},
            {"one large one waits", "+0:1:a-c:1000", "none"},
            {"but not for ever", "+0:1:a-c:4 +0:2:b-d:4 +0:3:b-d:4 +0:4:b-d:4",
                    "level0 0>6: 4 3 2 1 [a d]"},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(gather); i++)
        check_pick(&gather[i], &options);
}

Test(picker, takes_level_0_whenever_asked)
{
    struct fr_buf found = FR_BUF_EMPTY;
    struct fr_pick pick = {0};
    struct test_version t;

    test_version_open(&t);
    must_be(FR_NOT_FOUND, fr_picker_pick_level0(t.version, &small, &pick));
    must(test_version_change(&t, "+0:1:a-c:10 +6:2:b-d:10", NULL));
    fr_status st = fr_picker_pick_level0(t.version, &small, &pick);
    print_pick(&found, st, &pick);
    cr_assert_str_eq((const char *)found.data, "level0 0>6: 1 + 2 [a d]");
    fr_buf_deinit(&found);
    t.version->levels[0].tables[0]->busy = true;
    must_be(FR_NOT_FOUND, fr_picker_pick_level0(t.version, &small, &pick));
    test_version_close(&t);
}

struct target_case {
    const char *words;
    unsigned base;
    uint64_t targets[FR_LEVEL_COUNT]; /* 0: no limit */
};

static const struct target_case target_cases[] = {
        {"", 6, {0}},
        {"+6:1:a-z:99", 6, {0}},
        {"+6:1:a-z:100", 6, {0}},
        {"+6:1:a-z:101", 5, {[5] = 100}},
        {"+6:1:a-z:1000", 5, {[5] = 100}},
        {"+6:1:a-z:1010", 4, {[4] = 100, [5] = 101}},
        {"+6:1:a-z:20000", 3, {[3] = 100, [4] = 200, [5] = 2000}},
        {"+6:1:a-z:1000000000000", 1,
                {[1] = 10000000,
                        [2] = 100000000,
                        [3] = 1000000000,
                        [4] = 10000000000,
                        [5] = 100000000000}},
        {"+5:1:a-z:2000", 5, {[5] = 100}}, /* the last one was emptied */
        {"+0:1:a-z:2000", 6, {0}},
        {"+3:2:a-z:10 +6:1:a-z:1000", 3, {[3] = 100, [4] = 100, [5] = 100}},
        {"+2:3:a-z:10 +4:2:a-z:10 +6:1:a-z:10", 2, {[2] = 100, [3] = 100, [4] = 100, [5] = 100}},
};

Test(picker, levels_are_measured_by_the_last_one)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(target_cases); i++) {
        const struct target_case *c = &target_cases[i];
        uint64_t targets[FR_LEVEL_COUNT];
        struct test_version t;
        unsigned base;

        test_version_open(&t);
        must(test_version_change(&t, c->words, NULL));
        fr_picker_targets(t.version, &small, targets, &base);
        cr_assert_eq(base, c->base, "%s: base %u", c->words, base);
        for (unsigned l = 1; l < FR_LEVEL_COUNT; l++)
            cr_assert_eq(targets[l], c->targets[l] == 0 ? UINT64_MAX : c->targets[l],
                    "%s: level %u: %" PRIu64, c->words, l, targets[l]);
        test_version_close(&t);
    }
}

struct range_case {
    const char *words;
    unsigned level;
    const char *start, *end;
    const char *expect;
};

static const struct range_case range_cases[] = {
        {"+0:1:a-c:10 +0:2:x-z:10 +6:3:d-e:5", 0, "a", "b", "range 0>6: 2 1 + 3 [a z]"},
        {"+0:1:a-c:10 +0:2:x-z:10 +3:4:b-y:7 +6:3:d-e:5", 0, "a", "b", "range 0>3: 2 1 + 4 [a z]"},
        {"+0:1:a-c:10 +0:2:x-z:10:busy", 0, "a", "b", "busy"},
        {"+5:1:a-c:10 +5:2:e-g:10 +5:3:p-q:10 +6:4:b-f:10", 5, "", "",
                "range 5>6: 1 2 3 + 4 [a q]"},
        {"+5:1:a-c:10 +5:2:e-g:10 +5:3:p-q:10 +6:4:b-d:10", 5, "f", "p", "range 5>6: 2 [e g]"},
        {"+5:1:a-c:10 +5:2:e-g:10 +6:4:b-d:10", 5, "c", "d", "range 5>6: 1 + 4 [a d]"},
        {"+5:1:a-c:10:open +5:2:e-g:10", 5, "c", "d", "none"},
        {"+5:1:a-c:10 +6:4:b-d:10:busy", 5, "", "", "busy"},
        {"+5:1:a-c:10:busy +5:2:e-g:10", 5, "a", "d", "busy"},
        {"+5:1:a-c:10:busy +5:2:e-g:10", 5, "d", "g", "range 5>6: 2 [e g]"},
        {"+5:1:a-c:10:busy +5:2:e-g:10", 5, "h", "", "none"},
        {"+6:4:b-d:10", 5, "", "", "none"},
};

Test(picker, picks_ranges_that_are_asked_for)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(range_cases); i++) {
        const struct range_case *c = &range_cases[i];
        struct fr_buf found = FR_BUF_EMPTY;
        struct test_version t;
        struct fr_pick pick;

        test_version_open(&t);
        must(test_version_change(&t, c->words, NULL));
        fr_status st = fr_picker_pick_range(t.version, &small, c->level, fr_slice_of_text(c->start),
                fr_slice_of_text(c->end), &pick);
        print_pick(&found, st, &pick);
        cr_assert_str_eq((const char *)found.data, c->expect, "%s: \"%s\", not \"%s\"", c->words,
                (const char *)found.data, c->expect);
        fr_buf_deinit(&found);
        test_version_close(&t);
    }
}

static bool is_bottom(struct test_version *t, unsigned level, const char *from, const char *to)
{
    return fr_picker_is_bottom(t->version, level, fr_slice_of_text(from), fr_slice_of_text(to));
}

Test(picker, the_bottom_is_where_nothing_is_below)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+0:9:a-z:1 +4:1:a-c:1 +5:2:e-g:1:open +6:3:p-q:1", NULL));
    cr_assert(is_bottom(&t, 6, "a", "z"));
    cr_assert(!is_bottom(&t, 5, "a", "z"));
    cr_assert(is_bottom(&t, 5, "a", "o"));
    cr_assert(is_bottom(&t, 5, "r", "z"));
    cr_assert(!is_bottom(&t, 5, "q", "z"));
    cr_assert(!is_bottom(&t, 4, "a", "e"));
    cr_assert(is_bottom(&t, 4, "g", "o"));
    cr_assert(!is_bottom(&t, 1, "c", "d"));
    cr_assert(is_bottom(&t, 1, "d", "d"));
    test_version_close(&t);
}

Test(picker, debt_is_what_is_over_the_targets)
{
    struct test_version t;

    test_version_open(&t);
    cr_assert_eq(fr_picker_debt(t.version, &small), 0);
    must(test_version_change(&t, "+0:9:a-z:30 +5:1:a-c:90 +6:3:a-z:1000", NULL));
    cr_assert_eq(fr_picker_debt(t.version, &small), 0);
    must(test_version_change(&t, "+0:8:a-z:30 +5:2:d-e:90", NULL));
    cr_assert_eq(fr_picker_debt(t.version, &small), 60 + 80);
    test_version_close(&t);
}

Test(picker, any_allocation_may_fail)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+0:1:a-c:10 +0:2:b-d:10 +6:3:c-d:5", NULL));
    for (unsigned n = 1;; n++) {
        struct fr_pick pick = {0};

        fr_alloc_fail_at(n, false);
        fr_status st = fr_picker_pick(t.version, &small, &pick);
        bool hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        fr_pick_deinit(&pick);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        if (!hit) break;
    }
    test_version_close(&t);
}
