/*
 * engine_crash_test.c - the storage engine under the harnesses of crash/, in figures.
 *
 * What is done and what must hold is said there; here it is said how much of it is enough.
 */
#include "base/cover.h"
#include "crash/damage.h"
#include "crash/engine_subject.h"
#include "crash/faults.h"
#include "crash/memory.h"
#include "crash/metamorphic.h"
#include "crash/sequences.h"
#include "crash/workload.h"
#include "tests/crash/figures.h"

/*
 * Together these are, without a sanitizer, more than 2,000 crash points, 50,000 distinct images and
 * 5,000 fault cases, and every byte of a store: what is wanted of every change. A sanitizer looks
 * for other things, and takes ten times as long for each of them.
 */
#ifdef FR_SANITIZED
#define SEEDS_USUAL     2
#define FIRST_ONE_IN    8
#define ONE_IN_USUAL    8
#define PARTS_USUAL     101
#define DAMAGE_USUAL    101
#define HISTORIES_USUAL 10
#define FINER_USUAL     1
#define FAULT_PARTS     5
#define DISTINCT_LEAST  500
#else
#define SEEDS_USUAL     6
#define FIRST_ONE_IN    1
#define ONE_IN_USUAL    3
#define PARTS_USUAL     17
#define DAMAGE_USUAL    1
#define HISTORIES_USUAL 200
#define FINER_USUAL     14
#define FAULT_PARTS     1
#define DISTINCT_LEAST  15000
#endif

Test(engine_crash, what_survives_is_a_prefix_with_all_that_was_acknowledged, .timeout = 600)
{
    unsigned long first = from_environment("FR_TEST_SEED", 1);
    unsigned long count = from_environment("FR_TEST_SEEDS", SEEDS_USUAL);
    unsigned one_in = (unsigned)from_environment("FR_TEST_POINTS_ONE_IN", ONE_IN_USUAL);
    struct fr_crash_workload workload = {
            .subject = &fr_crash_engine, .steps = (unsigned)from_environment("FR_TEST_STEPS", 150)};
    struct fr_crash_report report;
    fr_status st = FR_OK;

    fr_crash_report_init(&report);
    for (unsigned long i = 0; i < count && st == FR_OK; i++) {
        workload.plan = fr_crash_plan_usual(i == 0 ? FIRST_ONE_IN : one_in);
        st = fr_crash_workload_run(&workload, &report, first + i);
    }
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_DEPTH_2), 50);
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_CHECKPOINTS_READ), 20);
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_INGESTS), 2);
    if (count >= SEEDS_USUAL)
        cr_assert_gt(fr_crash_counted(&report, FR_CRASH_DISTINCT), DISTINCT_LEAST);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("output: a value leaves a file that is to be emptied"), 0);
#endif
    fr_crash_report_deinit(&report);
}

Test(engine_crash, after_any_fault_the_store_is_a_prefix_with_all_that_was_acknowledged,
        .timeout = 600)
{
    struct fr_crash_faults faults = {.subject = &fr_crash_engine,
            .seed = from_environment("FR_TEST_SEED", 1),
            .finer = (unsigned)from_environment("FR_TEST_FAULTS", FINER_USUAL),
            .parts = FAULT_PARTS,
            .part = part_of_today(FAULT_PARTS)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_faults_run(&faults, &report);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_FAILURES), 50);
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_POISONED), 50);
    fr_crash_report_deinit(&report);
}

Test(engine_crash, without_memory_the_store_is_a_prefix_with_all_that_was_acknowledged,
        .timeout = 600)
{
    struct fr_crash_faults faults = {.subject = &fr_crash_engine,
            .seed = from_environment("FR_TEST_SEED", 1),
            .finer = (unsigned)from_environment("FR_TEST_FAULTS", FINER_USUAL) * 8};
    struct fr_crash_report report;

    cr_assert_eq(fr_crash_memory_install(), FR_OK, "%s", fr_last_error());
    fr_crash_report_init(&report);
    fr_status st = fr_crash_faults_run_memory(&faults, &report);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_FAULT_MEMORY), 50);
    fr_crash_report_deinit(&report);
}

/* All of them take minutes: the default is a part, FR_TEST_SEQUENCE_PARTS=1 is all. */
Test(engine_crash, three_operations_in_any_order_survive_a_crash_anywhere, .timeout = 3600)
{
    unsigned long parts = from_environment("FR_TEST_SEQUENCE_PARTS", PARTS_USUAL);
    unsigned long seed = from_environment("FR_TEST_SEED", 1);
    struct fr_crash_sequences sequences = {.subject = &fr_crash_engine,
            .seed = seed,
            .length = 3,
            .parts = (unsigned)parts,
            .part = (unsigned)(seed % parts)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_sequences_run(&sequences, &report);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_SEQUENCES), 1728 / parts);
    fr_crash_report_deinit(&report);
}

static void damage_all(bool closed, unsigned long parts)
{
    struct fr_crash_damage damage = {.subject = &fr_crash_engine,
            .seed = from_environment("FR_TEST_SEED", 4),
            .closed = closed,
            .bits = (unsigned)from_environment("FR_TEST_BITS", 1),
            .cut_step = 512,
            .parts = (unsigned)parts,
            .part = part_of_today(parts)};
    struct fr_crash_report report;
    uint64_t bytes = 0;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_damage_run(&damage, &report, &bytes);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_gt(bytes, 64 << 10);
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_DAMAGES), bytes / parts);
    cr_assert_gt(fr_crash_counted(&report, FR_CRASH_DAMAGES_TOLD), bytes / parts / 4);
    fr_crash_report_deinit(&report);
}

Test(engine_crash, damage_of_a_closed_store_is_told_or_has_no_effect, .timeout = 3600)
{
    damage_all(true, from_environment("FR_TEST_DAMAGE_PARTS", DAMAGE_USUAL));
}

/* What differs from the former is the log alone, which most of the store is not. */
Test(engine_crash, damage_of_a_store_whose_process_died_is_told_or_has_no_effect, .timeout = 3600)
{
    damage_all(false, from_environment("FR_TEST_DAMAGE_PARTS", 4 * DAMAGE_USUAL));
}

Test(engine_crash, no_configuration_is_seen_in_what_is_read, .timeout = 3600)
{
    struct fr_crash_metamorphic metamorphic = {.subject = &fr_crash_engine,
            .seed = from_environment("FR_TEST_SEED", 1),
            .histories = (unsigned)from_environment("FR_TEST_HISTORIES", HISTORIES_USUAL),
            .configs = 32,
            .steps = (unsigned)from_environment("FR_TEST_CONFIG_STEPS", 40)};
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = fr_crash_metamorphic_run(&metamorphic, &report);
    tell(&report);
    cr_assert_eq(st, FR_OK, "%s", fr_last_error());
    cr_assert_geq(fr_crash_counted(&report, FR_CRASH_CONFIG_RUNS), 32 * metamorphic.histories);
    fr_crash_report_deinit(&report);
}
