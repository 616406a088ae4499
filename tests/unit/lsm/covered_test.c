#include "lsm/covered.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/lsm/test_version.h"

struct covered_case {
    const char *about;
    const char *words; /* test_version.h */
    fr_seq snapshots[4];
    const char *expect; /* level: numbers; or "none", or "kept" by snapshots */
};

static const struct covered_case cases[] = {
        {"nothing", "", {0}, "none"},
        {"no range deletes", "+0:9:a-z:10 +6:2:a-z:10", {0}, "none"},
        {"all of a level", "+0:9:a-z:10:open:ra-z +6:2:a-c:10 +6:3:d-f:10", {0}, "6: 2 3"},
        {"the upper level first", "+0:9:a-z:10:open:ra-z +5:3:d-f:10 +6:2:a-c:10", {0}, "5: 3"},
        {"what is older in level 0", "+0:9:a-z:10:open:ra-z +0:3:d-f:10 +0:4:f-x:1", {0}, "0: 4 3"},
        {"what is newer stays", "+0:9:a-z:10:open:ra-z +0:10:d-f:10", {0}, "none"},
        {"a table that is newer in part stays", "+0:9:a-z:10:open:ra-z +0:10:d-f:10:s3", {0},
                "none"},
        {"one that is cut stays", "+0:9:c-f:10:open:rc-f +6:2:a-d:1 +6:3:e-g:1", {0}, "none"},
        {"from its first key on", "+0:9:c-f:10:open:rc-f +6:2:c-e:1", {0}, "6: 2"},
        {"the end is not covered", "+0:9:c-f:10:open:rc-f +6:2:d-f:1", {0}, "none"},
        {"nor by an open end", "+0:9:c-f:10:open:rc-f +6:2:d-f:1:open", {0}, "6: 2"},
        {"the key before the start", "+0:9:c-f:10:open:rc-f +6:2:bzz-d:1", {0}, "none"},
        {"busy tables", "+0:9:a-z:10:open:ra-z +6:2:a-c:10:busy +6:3:d-f:10", {0}, "6: 3"},
        {"ranges that touch", "+0:9:a-z:10:open:ra-m:rm-z +6:2:k-o:10", {0}, "6: 2"},
        {"ranges with a gap", "+0:9:a-z:10:open:ra-m:rn-z +6:2:k-o:10", {0}, "none"},
        {"neighbours in a level", "+5:9:a-m:10:open:ra-m +5:8:m-z:10:open:rm-z +6:2:k-o:10", {0},
                "6: 2"},
        {"neighbours with a gap", "+5:9:a-m:10:open:ra-m +5:8:n-z:10:open:rn-z +6:2:k-o:10", {0},
                "none"},
        {"an older neighbour", "+5:9:a-m:10:open:ra-m +5:2:m-z:10:open:rm-z +6:3:k-o:10", {0},
                "none"},
        {"not put together from tables of level 0",
                "+0:9:a-m:10:open:ra-m +0:8:m-z:10:open:rm-z +6:2:k-o:10", {0}, "none"},
        {"its own range deletes go with it",
                "+0:9:a-z:10:open:ra-z +5:4:c-h:1:open:rc-h +6:2:d-e:1", {0}, "5: 4"},
        {"a snapshot that sees the table", "+0:9:a-z:10:open:ra-z +6:2:a-c:10", {5}, "kept"},
        {"one that sees the range delete, too", "+0:9:a-z:10:open:ra-z +6:2:a-c:10", {9}, "6: 2"},
        {"one that sees neither", "+0:9:a-z:10:open:ra-z +6:4:a-c:10", {3}, "6: 4"},
        {"one that sees a part of the table", "+0:9:a-z:10:open:ra-z +6:4:a-c:10:s2", {3}, "kept"},
        {"one that sees just the table", "+0:9:a-z:10:open:ra-z +6:4:a-c:10:s2", {4}, "kept"},
        {"one just before it", "+0:9:a-z:10:open:ra-z +6:4:a-c:10:s2", {1}, "6: 4"},
        {"one just before the range delete", "+0:9:a-z:10:open:ra-z +6:4:a-c:10:s2", {8}, "kept"},
        {"several", "+0:9:a-z:10:open:ra-z +6:2:a-c:10 +6:5:d-f:10", {1, 3, 9, 20}, "6: 5"},
        {"an older range delete that a snapshot sees",
                "+0:9:a-z:10:open:ra-z +0:4:a-z:10:open:ra-z "
                "+6:2:a-c:10",
                {6}, "6: 2"},
};

static void print_pick(struct fr_buf *to, const struct fr_pick *pick)
{
    cr_assert_eq(pick->reason, FR_PICK_COVERED);
    cr_assert_eq(pick->output_level, pick->level);
    cr_assert_eq(pick->overlap_count, 0);
    fr_buf_printf(to, "%u:", pick->level);
    for (size_t i = 0; i < pick->input_count; i++)
        fr_buf_printf(to, " %" PRIu64, pick->inputs[i]->meta.number);
}

Test(covered, picks_what_the_cases_say)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        const struct covered_case *c = &cases[i];
        struct fr_buf found = FR_BUF_EMPTY;
        struct fr_pick pick = {0};
        struct test_version t;
        size_t snapshots = 0;
        bool kept = false;

        while (snapshots < FR_ARRAY_COUNT(c->snapshots) && c->snapshots[snapshots] > 0)
            snapshots++;
        test_version_open(&t);
        must(test_version_change(&t, c->words, NULL));
        fr_status st = fr_covered_pick(t.version, c->snapshots, snapshots, &pick, &kept);
        if (st == FR_OK)
            print_pick(&found, &pick);
        else
            fr_buf_printf(&found, kept ? "kept" : "none");
        fr_buf_u8(&found, 0);
        must(fr_buf_status(&found));
        cr_assert(st == FR_OK || st == FR_NOT_FOUND);
        cr_assert_str_eq((const char *)found.data, c->expect, "%s: \"%s\", not \"%s\"", c->about,
                (const char *)found.data, c->expect);
        fr_pick_deinit(&pick);
        fr_buf_deinit(&found);
        test_version_close(&t);
    }
}

Test(covered, takes_no_more_at_once_than_is_good)
{
    struct fr_pick pick = {0};
    struct test_version t;
    char word[64];
    bool kept;

    test_version_open(&t);
    for (int i = 0; i < FR_COVERED_MOST + 10; i++) {
        snprintf(word, sizeof(word), "+6:%d:k%05d-k%05dx:10", i + 1, i, i);
        must(test_version_change(&t, word, NULL));
    }
    must(test_version_change(&t, "+0:9999:a-z:1:open:ra-z", NULL));
    must(fr_covered_pick(t.version, NULL, 0, &pick, &kept));
    cr_assert_eq(pick.input_count, FR_COVERED_MOST);
    fr_pick_deinit(&pick);
    test_version_close(&t);
}

Test(covered, any_allocation_may_fail)
{
    struct test_version t;

    test_version_open(&t);
    must(test_version_change(&t, "+0:9:a-z:10:open:ra-z +6:2:a-c:10 +6:3:d-f:10", NULL));
    for (unsigned n = 1;; n++) {
        struct fr_pick pick = {0};
        bool kept;

        fr_alloc_fail_at(n, false);
        fr_status st = fr_covered_pick(t.version, NULL, 0, &pick, &kept);
        bool hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        fr_pick_deinit(&pick);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        if (!hit) break;
    }
    test_version_close(&t);
}
