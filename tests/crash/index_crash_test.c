/*
 * index_crash_test.c - the vector index under the harnesses of crash/, in figures.
 *
 * As the engine's tests, and besides: whatever becomes of the rows from which nothing but speed is
 * derived, the vectors are found.
 */
#include "base/cover.h"
#include "crash/damage.h"
#include "crash/enumerate.h"
#include "crash/faults.h"
#include "crash/index_subject.h"
#include "crash/memory.h"
#include "crash/metamorphic.h"
#include "crash/sequences.h"
#include "crash/workload.h"
#include "tests/crash/figures.h"

#ifdef FR_SANITIZED
#define SEEDS_USUAL     2
#define ONE_IN_USUAL    18
#define PARTS_USUAL     211
#define DAMAGE_USUAL    499
#define HISTORIES_USUAL 3
#define FINER_USUAL     1
#define FAULT_PARTS     11
#define POINTS_LEAST    100
#define WORK_LEAST      3
#else
#define SEEDS_USUAL     6
#define ONE_IN_USUAL    16
#define PARTS_USUAL     41
#define DAMAGE_USUAL    29
#define HISTORIES_USUAL 20
#define FINER_USUAL     5
#define FAULT_PARTS     3
#define POINTS_LEAST    1000
#define WORK_LEAST      20
#endif

static uint64_t done(const _Atomic(uint64_t) *what)
{
    return atomic_load_explicit(what, memory_order_relaxed);
}

static void tell_work(void)
{
    const struct fr_crash_index_work *work = &fr_crash_index_work;

    fprintf(stderr,
            "%10llu splits, %llu merges, %llu vectors moved, %llu times from rows, %llu rebuilds\n",
            (unsigned long long)done(&work->splits), (unsigned long long)done(&work->merges),
            (unsigned long long)done(&work->moved), (unsigned long long)done(&work->rebuilt),
            (unsigned long long)done(&work->renewed));
}

/* Three configurations in a row: one of them maintains on a thread of its own. */
Test(index_crash, what_survives_is_a_prefix_and_what_is_derived_from_it, .timeout = 600)
{
    unsigned long first = from_environment("FR_TEST_SEED", 1);
    unsigned long count = from_environment("FR_TEST_SEEDS", SEEDS_USUAL);
    struct fr_crash_workload workload = {.subject = &fr_crash_index,
            .steps = (unsigned)from_environment("FR_TEST_STEPS", 110),
            .plan = fr_crash_plan_usual((unsigned)from_environment("FR_TEST_POINTS_ONE_IN",
                    ONE_IN_USUAL))};
    struct fr_crash_report report;
    fr_status st = FR_OK;

    fr_crash_report_init(&report);
    for (unsigned long i = 0; i < count && st == FR_OK; i++)
        st = fr_crash_workload_run(&workload, &report, first + i);
    tell_work();
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    if (count >= SEEDS_USUAL) {
        cr_assert_gt(fr_crash_counted(&report, FR_CRASH_POINTS), POINTS_LEAST);
        cr_assert_gt(fr_crash_counted(&report, FR_CRASH_POINTS_TENDED), POINTS_LEAST / 10);
        cr_assert_gt(fr_crash_counted(&report, FR_CRASH_DEPTH_2), 50);
        cr_assert_gt(done(&fr_crash_index_work.splits), WORK_LEAST);
        /* Fewer: an index that is made from its rows has hardly a posting that is too small. */
        cr_assert_gt(done(&fr_crash_index_work.merges), WORK_LEAST / 4);
        cr_assert_gt(done(&fr_crash_index_work.moved), WORK_LEAST);
        cr_assert_gt(done(&fr_crash_index_work.renewed), 0);
#ifndef FR_SANITIZED
        cr_assert_gt(done(&fr_crash_index_work.rebuilt), 50);
#endif
    }
    fr_crash_report_deinit(&report);
}

Test(index_crash, after_any_fault_the_index_is_a_prefix_and_what_is_derived_from_it, .timeout = 600)
{
    struct fr_crash_faults faults = {.subject = &fr_crash_index,
            .seed = from_environment("FR_TEST_SEED", 1),
            .finer = (unsigned)from_environment("FR_TEST_FAULTS", FINER_USUAL),
            .parts = FAULT_PARTS,
            .part = part_of_today(FAULT_PARTS)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_faults_run(&faults, &report);
    tell_work();
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_FAILURES), 50);
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_POISONED), 50);
    fr_crash_report_deinit(&report);
}

#ifndef FR_SANITIZED
/*
 * Sweeps, of eight parts each, that have found something once: a delete on a full disk and
 * maintenance that waited for each other; an index that said of a poisoned store that there was
 * nothing to delete.
 */
Test(index_crash, faults_that_were_told_once_are_mended, .timeout = 600)
{
    static const uint64_t seeds[] = {251750002, 251750014, 251751000};
    struct fr_crash_report report;

    for (size_t i = 0; i < FR_ARRAY_COUNT(seeds); i++) {
        struct fr_crash_faults faults = {.subject = &fr_crash_index,
                .seed = seeds[i],
                .parts = 8,
                .part = (unsigned)(seeds[i] % 8)};

        fr_crash_report_init(&report);
        cr_assert_eq(fr_crash_faults_run(&faults, &report), FR_OK, "%s", fr_last_error());
        fr_crash_report_deinit(&report);
    }
}
#endif

Test(index_crash, without_memory_the_index_is_a_prefix_and_what_is_derived_from_it, .timeout = 600)
{
    struct fr_crash_faults faults = {.subject = &fr_crash_index,
            .seed = from_environment("FR_TEST_SEED", 1),
            .finer = (unsigned)from_environment("FR_TEST_FAULTS", FINER_USUAL) * 8};
    struct fr_crash_report report;

    cr_assert_eq(fr_crash_memory_install(), FR_OK, "%s", fr_last_error());
    fr_crash_report_init(&report);
    fr_status st = fr_crash_faults_run_memory(&faults, &report);
    tell_work();
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_FAULT_MEMORY), 50);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("index: what is derived is given up by maintenance"), 0);
#endif
    fr_crash_report_deinit(&report);
}

/* All of them take minutes: the default is a part, FR_TEST_SEQUENCE_PARTS=1 is all. */
Test(index_crash, three_operations_in_any_order_survive_a_crash_anywhere, .timeout = 3600)
{
    unsigned long parts = from_environment("FR_TEST_SEQUENCE_PARTS", PARTS_USUAL);
    struct fr_crash_sequences sequences = {.subject = &fr_crash_index,
            .seed = from_environment("FR_TEST_SEED", 1),
            .length = 3,
            .parts = (unsigned)parts,
            .part = part_of_today(parts)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_sequences_run(&sequences, &report);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_SEQUENCES), 1728 / parts);
    fr_crash_report_deinit(&report);
}

/*
 * Of a store that was closed, and of one whose process has died. Under this seed's configuration
 * tables are not looked through at opening, so that damage is first met by the index.
 */
Test(index_crash, damage_of_files_is_told_or_has_no_effect, .timeout = 3600)
{
    unsigned long parts = from_environment("FR_TEST_DAMAGE_PARTS", DAMAGE_USUAL);
    struct fr_crash_damage damage = {.subject = &fr_crash_index,
            .seed = from_environment("FR_TEST_SEED", 7),
            .bits = (unsigned)from_environment("FR_TEST_BITS", 1),
            .cut_step = 512,
            .parts = (unsigned)parts,
            .part = part_of_today(parts)};
    struct fr_crash_report report;
    uint64_t bytes = 0;
    fr_status st = FR_OK;

    fr_crash_report_init(&report);
    for (int i = 0; i < 2 && st == FR_OK; i++) {
        damage.closed = i == 1;
        st = fr_crash_damage_run(&damage, &report, &bytes);
    }
    tell_work();
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(bytes, 64 << 10);
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_DAMAGES), bytes / parts);
    cr_assert_gt(done(&fr_crash_index_work.rebuilt), 1);
    fr_crash_report_deinit(&report);
}

Test(index_crash, no_configuration_is_seen_in_what_is_read, .timeout = 3600)
{
    struct fr_crash_metamorphic metamorphic = {.subject = &fr_crash_index,
            .seed = from_environment("FR_TEST_SEED", 1),
            .histories = (unsigned)from_environment("FR_TEST_HISTORIES", HISTORIES_USUAL),
            .configs = 24,
            .steps = (unsigned)from_environment("FR_TEST_CONFIG_STEPS", 80)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_metamorphic_run(&metamorphic, &report);
    tell_work();
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_CONFIG_RUNS), 24 * metamorphic.histories);
    fr_crash_report_deinit(&report);
}
