#include "lsm/garbage.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_version.h"

static const struct fr_picker_options half_more = {.space_percent = 150};

struct victim_case {
    const char *about;
    const char *words; /* test_version.h */
    bool quiet;
    const char *expect; /* numbers, the worst first */
};

static const struct victim_case cases[] = {
        {"nothing", "", true, ""},
        {"no garbage", "+v1:1000 +6:2:a-z:10:v1=1000", true, ""},
        {"within the bound", "+v1:1400 +6:2:a-z:10:v1=1000", true, ""},
        {"over it", "+v1:1600 +6:2:a-z:10:v1=1000", true, "1"},
        {"twice as much while writers work", "+v1:1600 +6:2:a-z:10:v1=1000", false, ""},
        {"and not more", "+v1:2100 +6:2:a-z:10:v1=1000", false, "1"},
        {"one bad file is fine if all are within", "+v1:1000 +v2:100 +6:3:a-z:10:v1=1000:v2=1",
                true, ""},
        {"the worst share, not the most garbage",
                "+v1:3000 +v2:1000 +v3:1000 +6:4:a-z:10:v1=2000:v2=200:v3=1000", true, "2"},
        {"as many as it takes",
                "+v1:1000 +v2:1000 +v3:1000 +v4:1000 +6:5:a-z:10:v1=300:v2=350:v3=400:v4=1000",
                true, "1 2"},
        {"what is nearly all garbage comes along",
                "+v1:1000 +v2:1000 +v3:1000 +v4:1000 +6:5:a-z:10:v1=10:v2=20:v3=100:v4=1000", true,
                "1 2 3"},
};

Test(garbage, chooses_what_the_cases_say)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        struct fr_victims victims;
        struct test_version t;
        char found[64] = "";

        test_version_open(&t);
        must(test_version_change(&t, cases[i].words, NULL));
        fr_garbage_choose(t.version, &half_more, cases[i].quiet, &victims);
        for (size_t v = 0; v < victims.count; v++)
            snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%" PRIu64,
                    v == 0 ? "" : " ", victims.files[v]);
        cr_assert_str_eq(found, cases[i].expect, "%s: \"%s\", not \"%s\"", cases[i].about, found,
                cases[i].expect);
        test_version_close(&t);
    }
}

Test(garbage, a_little_is_left_where_it_is)
{
    struct fr_picker_options options = {.space_percent = 150, .space_slack = 100};
    struct fr_victims victims;
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v1:1600 +6:2:a-z:10:v1=1000", NULL));
    fr_garbage_choose(t.version, &options, true, &victims);
    cr_assert_eq(victims.count, 0);
    options.space_slack = 99;
    fr_garbage_choose(t.version, &options, true, &victims);
    cr_assert_eq(victims.count, 1);
    test_version_close(&t);
}

Test(garbage, no_more_victims_than_can_be_read_side_by_side)
{
    struct fr_victims victims;
    struct test_version t;
    char words[64];

    test_version_open(&t);
    for (unsigned i = 1; i <= FR_VICTIMS_MAX + 4; i++) {
        snprintf(words, sizeof(words), "+v%u:1000 +6:%u:%c-%c:10:v%u=1", 100 + i, i, 'a' + (int)i,
                'a' + (int)i, 100 + i);
        must(test_version_change(&t, words, NULL));
    }
    fr_garbage_choose(t.version, &half_more, true, &victims);
    cr_assert_eq(victims.count, FR_VICTIMS_MAX);
    test_version_close(&t);
}

static uint64_t pick(struct test_version *t, const struct fr_victims *victims)
{
    struct fr_pick pick = {0};
    fr_status st = fr_garbage_pick(t->version, victims, &pick);

    if (st == FR_NOT_FOUND) return 0;
    must(st);
    cr_assert_eq(pick.reason, FR_PICK_GARBAGE);
    cr_assert_eq(pick.level, pick.output_level);
    cr_assert_eq(pick.input_count, 1);
    uint64_t number = pick.inputs[0]->meta.number;
    fr_pick_deinit(&pick);
    return number;
}

Test(garbage, the_table_with_the_most_of_it_goes_first)
{
    struct fr_victims victims = {.files = {1, 2}, .count = 2}, none = {0};
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t,
            "+v1:1000 +v2:1000 +v3:1000 +0:4:a-z:10:v3=1000 +5:5:a-b:10:v1=90 "
            "+6:6:a-b:10:v1=50:v2=50 +6:7:c-d:10:v2=99",
            NULL));
    cr_assert_eq(pick(&t, &victims), 6);
    cr_assert_not(fr_garbage_is_held(t.version, &victims));
    t.version->levels[0].tables[0]->busy = true;
    cr_assert_not(fr_garbage_is_held(t.version, &victims));
    t.version->levels[6].tables[0]->busy = true;
    cr_assert(fr_garbage_is_held(t.version, &victims));
    cr_assert_eq(pick(&t, &victims), 7);
    t.version->levels[6].tables[1]->busy = true;
    cr_assert_eq(pick(&t, &victims), 5);
    t.version->levels[5].tables[0]->busy = true;
    cr_assert_eq(pick(&t, &victims), 0);
    cr_assert_eq(pick(&t, &none), 0);
    test_version_close(&t);
}

Test(garbage, what_level_0_hides_counts_once_it_is_much)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v1:1000 +v2:500 +6:3:a-z:10:v1=1000 +0:4:a-z:10:v2=500", NULL));
    struct fr_version_table *above = t.version->levels[0].tables[0];
    cr_assert(!fr_garbage_is_hidden(t.version, &half_more, true));
    above->shadowed_bytes = 100;
    cr_assert(!fr_garbage_is_hidden(t.version, &half_more, true), "1500 of 1400 live");
    above->shadowed_bytes = 500;
    cr_assert(!fr_garbage_is_hidden(t.version, &half_more, true), "1500 of 1000 live");
    above->shadowed_bytes = 510;
    cr_assert(fr_garbage_is_hidden(t.version, &half_more, true));
    cr_assert(!fr_garbage_is_hidden(t.version, &half_more, false), "writers are at work");
    above->shadowed_bytes = 5000;
    cr_assert(fr_garbage_is_hidden(t.version, &half_more, false), "an estimate may be anything");
    test_version_close(&t);
}

Test(garbage, memory_may_run_out)
{
    struct fr_victims victims = {.files = {1}, .count = 1};
    struct fr_pick pick = {0};
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+v1:1000 +6:3:a-z:10:v1=100", NULL));
    fr_alloc_fail_at(1, true);
    fr_status st = fr_garbage_pick(t.version, &victims, &pick);
    fr_alloc_fail_at(0, false);
    must_be(FR_ERR_NOMEM, st);
    test_version_close(&t);
}
