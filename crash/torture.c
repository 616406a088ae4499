#include "crash/torture.h"

#include <string.h>

#include "crash/damage.h"
#include "crash/faults.h"
#include "crash/metamorphic.h"
#include "crash/sequences.h"
#include "crash/workload.h"

/* So many rounds make a sweep of the faults. */
#define FAULT_PARTS 8

/* And so many all sequences: a prime, so that each part has all operations at all places. */
#define SEQUENCE_PARTS 17

/* And so many the damages of one store; but each round has another store. */
#define DAMAGE_PARTS 17

/* Histories of a round, each of which is run under all configurations. */
#define CONFIG_HISTORIES 10

static fr_status run_histories(const struct fr_crash_torture *torture,
        struct fr_crash_report *report, uint64_t seed)
{
    struct fr_crash_workload workload = {.subject = torture->subject,
            .steps = torture->steps,
            .plan = fr_crash_plan_usual(torture->points_one_in),
            .over = torture->over,
            .over_ctx = torture->over_ctx};

    return fr_crash_workload_run(&workload, report, seed);
}

static struct fr_crash_faults faults_of(const struct fr_crash_torture *torture, uint64_t seed)
{
    return (struct fr_crash_faults){.subject = torture->subject,
            .seed = seed,
            .parts = FAULT_PARTS,
            .part = (unsigned)(seed % FAULT_PARTS),
            .over = torture->over,
            .over_ctx = torture->over_ctx};
}

static fr_status run_faults(const struct fr_crash_torture *torture, struct fr_crash_report *report,
        uint64_t seed)
{
    struct fr_crash_faults faults = faults_of(torture, seed);

    return fr_crash_faults_run(&faults, report);
}

static fr_status run_memory(const struct fr_crash_torture *torture, struct fr_crash_report *report,
        uint64_t seed)
{
    struct fr_crash_faults faults = faults_of(torture, seed);

    faults.finer = 8;
    return fr_crash_faults_run_memory(&faults, report);
}

static fr_status run_sequences(const struct fr_crash_torture *torture,
        struct fr_crash_report *report, uint64_t seed)
{
    struct fr_crash_sequences sequences = {.subject = torture->subject,
            .seed = 1 + seed / SEQUENCE_PARTS,
            .length = 3,
            .parts = SEQUENCE_PARTS,
            .part = (unsigned)(seed % SEQUENCE_PARTS),
            .over = torture->over,
            .over_ctx = torture->over_ctx};

    return fr_crash_sequences_run(&sequences, report);
}

static fr_status run_damage(const struct fr_crash_torture *torture, struct fr_crash_report *report,
        uint64_t seed)
{
    struct fr_crash_damage damage = {.subject = torture->subject,
            .seed = seed,
            .closed = seed % 2,
            .bits = 1,
            .cut_step = 512,
            .parts = DAMAGE_PARTS,
            .part = (unsigned)(seed % DAMAGE_PARTS),
            .over = torture->over,
            .over_ctx = torture->over_ctx};

    return fr_crash_damage_run(&damage, report, NULL);
}

static fr_status run_configs(const struct fr_crash_torture *torture, struct fr_crash_report *report,
        uint64_t seed)
{
    struct fr_crash_metamorphic metamorphic = {.subject = torture->subject,
            .seed = seed * CONFIG_HISTORIES,
            .histories = CONFIG_HISTORIES,
            .configs = torture->subject->configs,
            .steps = 60,
            .over = torture->over,
            .over_ctx = torture->over_ctx};

    return fr_crash_metamorphic_run(&metamorphic, report);
}

static const struct part {
    const char *name;
    const char *help;
    fr_status (*run)(const struct fr_crash_torture *torture, struct fr_crash_report *report,
            uint64_t seed);
} parts[] = {
        {"histories", "power lost around every change of the disk", run_histories},
        {"faults", "every operation of the disk fails", run_faults},
        {"memory", "every allocation fails", run_memory},
        {"sequences", "all sequences of three operations, crashed everywhere", run_sequences},
        {"damage", "every byte of a store flipped, files cut, mixed up and gone", run_damage},
        {"configs", "the same history under many configurations", run_configs},
};

const char *fr_crash_torture_part(unsigned index, const char **ret_help)
{
    if (index >= FR_ARRAY_COUNT(parts)) return NULL;
    *ret_help = parts[index].help;
    return parts[index].name;
}

fr_status fr_crash_torture_round(const struct fr_crash_torture *torture,
        struct fr_crash_report *report, uint64_t seed)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < FR_ARRAY_COUNT(parts); i++) {
        if (torture->only != NULL && strcmp(torture->only, parts[i].name) != 0) continue;
        if (torture->over != NULL && torture->over(torture->over_ctx)) break;
        FR_TRY(parts[i].run(torture, report, seed));
    }
out:
    return st;
}
