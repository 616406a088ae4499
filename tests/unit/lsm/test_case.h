/*
 * test_case.h - cases in text files: sources go in, entries come out.
 *
 *     # a comment
 *     case its name, to the end of the line
 *     at 5             the snapshot of a reader; else the latest
 *     now 100          microseconds; else 0
 *     snapshots 3 7    live ones, ascending
 *     bounds b d       from, and up to but without; `-` is none
 *     prefix b
 *     bottommost
 *     nofetch          placed values cannot be fetched; else 17 placed at key a is "v17a"
 *     ranges
 *       a..c@7         range deletes, in any order
 *     source max=3     entries in order (test_entries.h); max is what the merge is told
 *       a@9 put x
 *     expect
 *       a@9 put x      or the name of the status in which it ends
 *     keep
 *       a..c@7         range deletes that a fold keeps, as they are cut
 */
#ifndef FR_TESTS_UNIT_LSM_TEST_CASE_H
#define FR_TESTS_UNIT_LSM_TEST_CASE_H

#include "lsm/merge_iter.h"
#include "lsm/range_set.h"
#include "tests/unit/lsm/test_entries.h"

#define TEST_SOURCES_MAX 4

struct test_case {
    char name[256];
    fr_seq at;
    uint64_t now_us;
    fr_seq snapshots[8];
    size_t snapshot_count;
    char lower[16], upper[16], prefix[16];
    bool bottommost, nofetch;
    struct fr_range ranges[16];
    size_t range_count;
    struct fr_range_set *set; /* of those */
    struct test_entries sources[TEST_SOURCES_MAX];
    fr_seq seq_max[TEST_SOURCES_MAX];
    size_t source_count;
    struct fr_buf expect;
    struct fr_buf keep;
};

/* Run one function over all cases of a file; the function asserts. */
void test_cases_run(const char *file, void (*run)(const struct test_case *c));

/* Iterators over all sources. */
void test_case_open(const struct test_case *c, struct fr_merge_source *ret_sources);

fr_status test_case_fetch(void *ctx, const struct fr_entry *entry, struct fr_buf *to);

/* Asserts that the text is what is expected, and shows both if not. */
void test_case_check(const struct test_case *c, const struct fr_buf *expect, struct fr_buf *found);

#endif
