#include "crash/metamorphic.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crash/changes.h"
#include "crash/enumerate.h"

/* One seeded step; what it does follows from the history's seed and its number alone. */
static fr_status run_step(struct fr_crash_run *run, uint64_t number)
{
    fr_rng_init(&run->rng, fr_mix64(run->seed) + number);
    uint64_t dice = fr_rng_below(&run->rng, 64);
    uint32_t id = FR_CRASH_ID_NUMBER(run->seed * 1000 + number + 1);
    size_t slot = fr_rng_below(&run->rng, FR_CRASH_SLOT_ID);

    run->step = number;
    run->next_id = id;
    fr_crash_count(run->report, FR_CRASH_STEPS, 1);
    if (run->subject->tend != NULL && number % 3 == 2) return fr_crash_run_tend(run);
    if (dice < 30) return fr_crash_run_write(run, 0, FR_SYNC_NONE);
    if (dice < 34) return fr_crash_run_write(run, 0, FR_SYNC_DEVICE);
    if (dice < 38) return fr_crash_run_hold(run, FR_CRASH_SNAPSHOT);
    if (dice < 42) return fr_crash_run_hold(run, FR_CRASH_ITERATOR);
    if (dice < 52) return fr_crash_run_check(run, (enum fr_crash_way)(dice % FR_CRASH_WAYS));
    if (dice < 55) return fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0);
    if (dice < 57) return fr_crash_run_act(run, FR_CRASH_COMPACT, 0, 0);
    if (dice < 58)
        return fr_crash_run_act(run, FR_CRASH_COMPACT, slot,
                FR_MIN(slot + 10, (size_t)FR_CRASH_SLOT_ID));
    if (dice < 60) return fr_crash_run_ingest(run, false);
    if (dice < 61) return fr_crash_run_checkpoint(run);
    if (dice < 62) return fr_crash_run_act(run, FR_CRASH_IDLE, 0, 0);
    return fr_crash_run_reopen(run);
}

/* Machines differ as well: what a correct caller must not notice. */
static struct fr_sim_options machine_of(uint64_t seed, unsigned config)
{
    return (struct fr_sim_options){.seed = seed + config,
            .direct_alignment = config % 2 ? 512 : 0,
            .short_one_in = config % 3 == 1 ? 5 : 0,
            .interrupt_one_in = config % 3 == 1 ? 5 : 0,
            .busy_one_in = config % 4 == 2 ? 5 : 0,
            .reorder = config % 5 == 3};
}

/* The steps of a history that are run, and what came of it. */
struct trial {
    uint64_t seed;
    unsigned config, steps;
    const bool *left_out; /* of each step; NULL: none */
    uint64_t trace;
};

static fr_status run_steps(struct fr_crash_run *run, struct trial *trial)
{
    struct fr_sim_options options = machine_of(trial->seed, trial->config);
    struct fr_sim *sim;
    fr_status st;

    FR_TRY(fr_sim_open(&options, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fr_crash_run_open(run));
    for (unsigned i = 0; i < trial->steps; i++)
        if (trial->left_out == NULL || !trial->left_out[i]) FR_TRY(run_step(run, i));
    for (int way = 0; way < FR_CRASH_WAYS; way++)
        FR_TRY(fr_crash_run_check(run, (enum fr_crash_way)way));
    FR_TRY(fr_crash_run_reopen(run));
    FR_TRY(fr_crash_run_check(run, FR_CRASH_FORWARDS));
    trial->trace = run->trace;
out:
    return st;
}

static fr_status try_history(const struct fr_crash_subject *subject, struct fr_crash_report *report,
        struct trial *trial)
{
    struct fr_crash_run *run = fr_crash_run_new(subject, report, trial->seed);

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    run->config = trial->config;
    atomic_store(&run->no_images, true);
    fr_status st = run_steps(run, trial);
    fr_crash_run_free(run);
    return st;
}

/* ---- making it shorter */

/* Whether it still fails without these steps as well; a report of its own, as this is no finding.
 */
static bool fails_without(const struct fr_crash_subject *subject, struct trial *trial)
{
    struct fr_crash_report report;

    fr_crash_report_init(&report);
    fr_status st = try_history(subject, &report, trial);
    fr_crash_report_deinit(&report);
    return st == FR_ERR_CANCELLED;
}

/* Leave out runs of steps, half as long each time, as long as it fails without them. */
static void reduce(const struct fr_crash_subject *subject, struct trial *trial, bool *left_out)
{
    trial->left_out = left_out;
    for (unsigned length = trial->steps / 2; length > 0; length /= 2)
        for (unsigned from = 0; from < trial->steps; from += length) {
            unsigned to = FR_MIN(from + length, trial->steps);
            bool *before = fr_alloc_zeroed(trial->steps, sizeof(*before));
            if (before == NULL) return;
            memcpy(before, left_out, trial->steps * sizeof(*before));
            for (unsigned i = from; i < to; i++)
                left_out[i] = true;
            if (!fails_without(subject, trial))
                memcpy(left_out, before, trial->steps * sizeof(*before));
            fr_free(before);
        }
}

static void tell_reduced(const struct fr_crash_subject *subject, struct fr_crash_report *report,
        struct trial *trial)
{
    bool *left_out = fr_alloc_zeroed(trial->steps, sizeof(*left_out));
    char words[200];
    size_t size = 0;

    if (left_out == NULL) return;
    reduce(subject, trial, left_out);
    for (unsigned i = 0; i < trial->steps && size < sizeof(words) - 20; i++)
        if (!left_out[i])
            size += (size_t)snprintf(words + size, sizeof(words) - size, "%s%u",
                    size == 0 ? "steps " : " ", i);
    if (size > 0) fr_crash_report_explain(report, words);
    fr_free(left_out);
}

/* ---- histories */

static fr_status run_history(const struct fr_crash_metamorphic *m, struct fr_crash_report *report,
        uint64_t seed)
{
    struct trial trial = {.seed = seed, .steps = m->steps};
    uint64_t first = 0;
    fr_status st = FR_OK;

    for (trial.config = 0; trial.config < m->configs; trial.config++) {
        if (m->over != NULL && m->over(m->over_ctx)) return FR_OK;
        st = try_history(m->subject, report, &trial);
        if (st == FR_ERR_CANCELLED) tell_reduced(m->subject, report, &trial);
        FR_TRY(st);
        fr_crash_count(report, FR_CRASH_CONFIG_RUNS, 1);
        if (trial.config == 0) first = trial.trace;
        if (trial.trace != first)
            return fr_crash_find(report,
                    "seed %" PRIu64 ": configuration %u reads otherwise than configuration 0", seed,
                    trial.config);
    }
    fr_crash_count(report, FR_CRASH_HISTORIES, 1);
out:
    return st;
}

fr_status fr_crash_metamorphic_run(const struct fr_crash_metamorphic *metamorphic,
        struct fr_crash_report *report)
{
    fr_status st = FR_OK;

    FR_ASSERT(metamorphic->configs <= metamorphic->subject->configs);
    for (unsigned i = 0; i < metamorphic->histories; i++)
        FR_TRY(run_history(metamorphic, report, metamorphic->seed + i));
out:
    return st;
}
