#include "crash/workload.h"

#include "crash/enumerate.h"
#include "io/sim_schedule.h"

struct fr_crash_plan fr_crash_plan_usual(unsigned points_one_in)
{
    return (struct fr_crash_plan){.points_one_in = points_one_in,
            .images_per_point = 4,
            .deeper_one_in = 40,
            .goes_on_one_in = 32,
            .again_one_in = 8};
}

static fr_status compact(struct fr_crash_run *run)
{
    size_t slot = fr_rng_below(&run->rng, FR_CRASH_SLOT_ID);

    if (fr_rng_one_in(&run->rng, 2)) return fr_crash_run_act(run, FR_CRASH_COMPACT, 0, 0);
    return fr_crash_run_act(run, FR_CRASH_COMPACT, slot,
            FR_MIN(slot + 10, (size_t)FR_CRASH_SLOT_ID));
}

/* What is rare, and costs more. */
static fr_status rare_step(struct fr_crash_run *run)
{
    switch (fr_rng_below(&run->rng, 12)) {
    case 0:
        return compact(run);
    case 1:
    case 2:
        return fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0);
    case 3:
    case 4:
        return fr_crash_run_act(run, FR_CRASH_SYNC, 0, 0);
    case 5:
        return fr_crash_run_act(run, FR_CRASH_IDLE, 0, 0);
    case 6:
    case 7:
        return fr_crash_run_ingest(run, fr_rng_one_in(&run->rng, 2));
    case 8:
    case 9:
        return fr_crash_run_checkpoint(run);
    case 10:
        return fr_crash_run_reopen(run);
    default: /* a real process is killed by another one */
        return run->sim == NULL ? FR_OK : fr_crash_enumerate_kill(run);
    }
}

fr_status fr_crash_workload_step(struct fr_crash_run *run)
{
    if (run->subject->tend != NULL && fr_rng_one_in(&run->rng, 3)) return fr_crash_run_tend(run);
    uint64_t dice = fr_rng_below(&run->rng, 64);

    run->step++;
    fr_crash_count(run->report, FR_CRASH_STEPS, 1);
    if (dice < 16) return fr_crash_run_write(run, 0, FR_SYNC_DEVICE);
    if (dice < 32) return fr_crash_run_write(run, 0, FR_SYNC_OS);
    if (dice < 47) return fr_crash_run_write(run, 0, FR_SYNC_NONE);
    if (dice < 49) return fr_crash_run_hold(run, FR_CRASH_SNAPSHOT);
    if (dice < 51) return fr_crash_run_hold(run, FR_CRASH_ITERATOR);
    if (dice < 54)
        return fr_crash_run_check(run, (enum fr_crash_way)fr_rng_below(&run->rng, FR_CRASH_WAYS));
    return rare_step(run);
}

static struct fr_sim_options machine_of(uint64_t seed)
{
    struct fr_sim_options options = {.seed = seed};

    if (seed % 4 == 0) options.short_one_in = options.interrupt_one_in = 7;
    if (seed % 2) options.direct_alignment = 512;
    return options;
}

static bool is_over(const struct fr_crash_workload *workload)
{
    return workload->over != NULL && workload->over(workload->over_ctx);
}

static fr_status run_history(const struct fr_crash_workload *workload,
        struct fr_crash_report *report, uint64_t seed)
{
    struct fr_crash_run *run = fr_crash_run_new(workload->subject, report, seed);
    struct fr_sim_options options = machine_of(seed);
    struct fr_sim *sim;
    fr_status st;

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    run->plan = workload->plan;
    run->plan.step = fr_crash_workload_step;
    FR_TRY(fr_sim_open(&options, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fr_crash_run_open(run));
    FR_TRY(fr_crash_enumerate_check(run));
    for (unsigned i = 0; i < workload->steps && !is_over(workload); i++) {
        FR_TRY(fr_crash_workload_step(run));
        FR_TRY(fr_crash_enumerate_check(run));
    }
    fr_crash_count(report, FR_CRASH_HISTORIES, 1);
out:
    fr_crash_run_free(run);
    return st;
}

/* All threads take turns, in an order that the seed decides: what fails once fails again. */
fr_status fr_crash_workload_run(const struct fr_crash_workload *workload,
        struct fr_crash_report *report, uint64_t seed)
{
    fr_status st;

    FR_TRY(fr_crash_schedule_begin(seed));
    st = run_history(workload, report, seed);
    fr_sim_schedule_end();
out:
    return st;
}
