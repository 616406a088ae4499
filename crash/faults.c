#include "crash/faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "crash/enumerate.h"
#include "crash/memory.h"
#include "io/sim_schedule.h"

#define STEPS        40
#define DIR_FINER    100
#define FAILURES_MAX 10

static bool loses_pages(const struct fr_sim_fault *fault)
{
    return fault->kind >= FR_SIM_FAULT_SYNC_NOW;
}

static bool is_lie(const struct fr_sim_fault *fault)
{
    return fault->kind == FR_SIM_FAULT_SYNC_LATE || fault->kind == FR_SIM_FAULT_SYNC_LIE;
}

/* An answer that a fault may have: its own, or that writing has stopped since. */
static bool explains(const struct fr_crash_run *run, fr_status st)
{
    int os_error = run->fault->os_error == 0 ? EIO : run->fault->os_error;

    if (run->fault->ops == 0) return st == FR_ERR_NOMEM || st == FR_ERR_POISONED || st == FR_ERR_IO;
    /* The rest of a short transfer is asked for again: nobody notices. */
    if (run->fault->kind == FR_SIM_FAULT_SHORT) return false;
    /* For a lock, "denied" is what systems say of one that is held. */
    if (st == FR_ERR_BUSY) return run->fault->ops & FR_SIM_MASK(FR_SIM_LOCK) && os_error == EACCES;
    return st == FR_ERR_POISONED || st == fr_status_of_errno(os_error) || st == FR_ERR_IO;
}

/* One step; a failure that the fault explains is no finding. */
static fr_status fault_step(struct fr_crash_run *run)
{
    if (run->subject->tend != NULL && fr_rng_one_in(&run->rng, 3)) return fr_crash_run_tend(run);
    uint64_t dice = fr_rng_below(&run->rng, 32);

    run->step++;
    fr_crash_count(run->report, FR_CRASH_STEPS, 1);
    if (dice < 21) return fr_crash_run_write(run, 0, (fr_sync)(dice % 3));
    if (dice < 23) return fr_crash_run_hold(run, (enum fr_crash_hold)(dice % 2));
    if (dice < 26)
        return fr_crash_run_check(run, (enum fr_crash_way)fr_rng_below(&run->rng, FR_CRASH_WAYS));
    if (dice < 27) return fr_crash_run_act(run, FR_CRASH_COMPACT, 0, 0);
    if (dice < 29) return fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0);
    if (dice < 30) return fr_crash_run_act(run, FR_CRASH_SYNC, 0, 0);
    if (dice < 31) return fr_crash_run_ingest(run, fr_rng_one_in(&run->rng, 2));
    return fr_crash_run_checkpoint(run);
}

/* Steps, with the store closed and opened in the middle; ends early where nothing works any more.
 */
static fr_status fault_steps(struct fr_crash_run *run)
{
    unsigned failures = 0;
    fr_status st = FR_OK;

    for (unsigned i = 0; i < STEPS && failures < FAILURES_MAX; i++) {
        st = fault_step(run);
        if (st == FR_ERR_CANCELLED) return st;
        failures += st < 0;
        if (i != STEPS / 2) continue;
        run->doing = "reopening";
        if ((st = fr_crash_run_close(run)) < 0) return st;
        if ((st = fr_crash_run_open(run)) < 0) return st;
    }
    return FR_OK;
}

/* ---- afterwards */

/* On the machine that goes on. A late sync owes each file an error, which an opening may get. */
static fr_status open_after(struct fr_crash_run *run)
{
    fr_status st = FR_ERR_IO;

    run->explains = NULL;
    if (!run->lied) return fr_crash_run_open(run);
    for (unsigned i = 0; st == FR_ERR_IO && i < 8; i++)
        st = run->subject->open(fr_sim_env(run->sim), run->path, run->config, FR_CRASH_MAKE,
                &run->store);
    if (st < 0) run->store = NULL;
    if (st != FR_ERR_CORRUPT && st != FR_ERR_MISSING && st != FR_ERR_FOREIGN)
        return fr_crash_run_settle(run, st);
    fr_crash_count(run->report, FR_CRASH_LIES_TOLD, 1);
    return FR_OK;
}

/* Pages that a failed sync has lost are no matter of the process alone. */
static fr_status check_heir(struct fr_crash_run *run, bool lost)
{
    size_t n, least = run->lied ? 0 : lost ? atomic_load(&run->acked) : run->published;
    fr_status st;

    FR_TRY(open_after(run));
    if (run->store == NULL) return FR_OK;
    st = fr_crash_run_find_prefix(run, least, atomic_load(&run->issued), &n);
    if (run->lied && st != FR_ERR_CANCELLED) return FR_OK;
    FR_TRY(st);
    FR_TRY(fr_crash_run_rewind(run, n));
    for (unsigned i = 0; i < 6; i++)
        FR_TRY(fr_crash_run_write(run, 0, FR_SYNC_OS));
    FR_TRY(fr_crash_run_reopen(run));
out:
    return st;
}

static fr_status aftermath(struct fr_crash_run *run, bool hit)
{
    struct fr_sim *heir;
    fr_status st;

    run->doing = "after the fault";
    run->lied = hit && is_lie(run->fault);
    FR_TRY(fr_crash_enumerate_now(run));
    FR_TRY(fr_crash_enumerate_check(run));
    fr_crash_run_drop_held(run);
    FR_TRY(fr_sim_kill(run->sim, &heir));
    if (run->store != NULL) (void)run->subject->close(FR_TAKE(run->store));
    fr_sim_close(FR_TAKE(run->sim));
    fr_crash_enumerate_take(run, heir);
    st = check_heir(run, hit && loses_pages(run->fault));
out:
    return st;
}

/* An allocation's, if there are no operations. */
static fr_status arm(struct fr_crash_run *run)
{
    if (run->fault->ops != 0) return fr_sim_fault_add(run->sim, run->fault);
    fr_crash_memory_fail_at(run->fault->nth, run->fault->forever);
    return FR_OK;
}

static bool disarm(struct fr_crash_run *run)
{
    if (run->fault->ops == 0) return fr_crash_memory_stop();
    bool hit = fr_sim_fault_hits(run->sim) > 0;
    fr_sim_fault_clear(run->sim);
    return hit;
}

static fr_status run_fault(struct fr_crash_run *run, uint64_t seed, bool *ret_hit)
{
    struct fr_sim_options options = {.seed = seed};
    struct fr_sim *sim;
    fr_status st;

    FR_TRY(fr_sim_open(&options, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(arm(run));
    st = fr_crash_run_open(run);
    if (st == FR_OK) st = fault_steps(run);
    *ret_hit = disarm(run);
    if (st != FR_ERR_CANCELLED) st = aftermath(run, *ret_hit);
out:
    return st;
}

/* Which fault it was, for the words of a finding. */
static void tell_fault(struct fr_crash_report *report, const struct fr_sim_fault *fault)
{
    char words[200];

    (void)snprintf(words, sizeof(words), "%s %s %" PRIu64 " (kind %d, error %d, %s)",
            fault->forever ? "from" : "at",
            fault->ops == 0 ? "allocation"
                            : fr_sim_op_name((enum fr_sim_op)__builtin_ctz(fault->ops)),
            fault->nth, fault->kind, fault->os_error, fault->name == NULL ? "*" : fault->name);
    fr_crash_report_explain(report, words);
}

static uint64_t live_blocks(void)
{
    struct fr_alloc_stats stats;

    fr_alloc_stats_get(&stats);
    return stats.live_count;
}

/* One store from the first call to the last, and whether all its memory was given back. */
static fr_status try_fault(const struct fr_crash_subject *subject, struct fr_crash_report *report,
        const struct fr_sim_fault *fault, uint64_t seed, bool *ret_hit)
{
    uint64_t live = live_blocks();
    struct fr_crash_run *run = fr_crash_run_new(subject, report, seed);

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    run->plan = (struct fr_crash_plan){.points_one_in = 1, .images_per_point = 6};
    run->plan.step = fr_crash_workload_step;
    run->explains = explains;
    run->fault = fault;
    run->hurt = true;
    atomic_store(&run->no_images, true);
    fr_status st = run_fault(run, seed, ret_hit);
    fr_crash_run_free(run);
    if (st >= 0 && live_blocks() != live)
        st = fr_crash_find(report, "seed %" PRIu64 ": %" PRId64 " blocks of memory are left", seed,
                (int64_t)(live_blocks() - live));
    return st;
}

/* All threads take turns, in an order that the seed decides: a fault hits the same call again. */
fr_status fr_crash_faults_try(const struct fr_crash_subject *subject,
        struct fr_crash_report *report, const struct fr_sim_fault *fault, uint64_t seed,
        bool *ret_hit)
{
    fr_status st;

    *ret_hit = false;
    (void)fr_crash_report_is_new(report, seed); /* what it remembers is in one block from here on */
    FR_TRY(fr_crash_schedule_begin(seed));
    st = try_fault(subject, report, fault, seed, ret_hit);
    fr_sim_schedule_end();
    fr_crash_count(report, FR_CRASH_FAULT_CASES, *ret_hit);
    if (fault->ops == 0) fr_crash_count(report, FR_CRASH_FAULT_MEMORY, *ret_hit);
    if (st == FR_ERR_CANCELLED) tell_fault(report, fault);
out:
    return st;
}

/* ---- the sweep */

static fr_status sweep(const struct fr_crash_faults *faults, struct fr_crash_report *report,
        struct fr_sim_fault *fault)
{
    unsigned finer = faults->finer == 0 ? 1 : faults->finer;
    fr_status st = FR_OK;
    bool hit = true;

    /* Directories are synced seldom, and each time may be somebody else's. */
    if (fault->ops == FR_SIM_MASK(FR_SIM_SYNC_DIR) && loses_pages(fault)) finer *= DIR_FINER;
    for (fault->nth = 1; fault->nth < 100000 && hit; fault->nth += 1 + fault->nth / finer) {
        if (faults->over != NULL && faults->over(faults->over_ctx)) break;
        uint64_t seed =
                faults->seed + fault->nth * 8 + fault->forever * 4 + (uint64_t)fault->os_error % 3;
        FR_TRY(fr_crash_faults_try(faults->subject, report, fault, seed, &hit));
    }
out:
    return st;
}

/* Which errors an operation is given, for each kind of fault. */
static const int errors[] = {EIO, ENOSPC, EMFILE, EACCES, EROFS, ENOMEM};

static const uint32_t transfers =
        FR_SIM_MASK(FR_SIM_READ) | FR_SIM_MASK(FR_SIM_WRITE) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC);
static const uint32_t syncs =
        FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_SYNC_DIR) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC);

static bool makes_sense(uint32_t op, const struct fr_sim_fault *fault)
{
    uint32_t queue = FR_SIM_MASK(FR_SIM_QUEUE_STAGE) | FR_SIM_MASK(FR_SIM_QUEUE_START);

    /* A queue that never takes anything would be waited for in vain, and no system has one. */
    if (op & queue && (fault->forever || fault->kind != FR_SIM_FAULT_ERROR)) return false;
    if (op & queue) return fault->os_error == EIO;
    if (fault->kind == FR_SIM_FAULT_SHORT)
        return op & transfers && fault->os_error == EIO && !fault->forever;
    if (fault->kind >= FR_SIM_FAULT_SYNC_NOW) return op & syncs && fault->os_error == EIO;
    if (fault->kind == FR_SIM_FAULT_ERROR_AFTER)
        return fault->os_error == EIO || fault->os_error == ENOSPC;
    return true;
}

/* By names of files, so that rare ones come up, too. */
static const char *const names[] = {NULL, "*.table", "*.manifest", "*.wal", "*.values", "SUPER*"};

static bool is_mine(const struct fr_crash_faults *faults, unsigned number)
{
    return faults->parts == 0 || number % faults->parts == faults->part;
}

fr_status fr_crash_faults_run(const struct fr_crash_faults *faults, struct fr_crash_report *report)
{
    unsigned number = 0;
    fr_status st = FR_OK;

    for (unsigned op = 0; op < FR_SIM_OP_COUNT; op++)
        for (unsigned kind = FR_SIM_FAULT_ERROR; kind <= FR_SIM_FAULT_SYNC_LIE; kind++)
            for (unsigned i = 0; i < 2 * FR_ARRAY_COUNT(errors); i++) {
                struct fr_sim_fault fault = {.ops = FR_SIM_MASK(op),
                        .kind = (enum fr_sim_fault_kind)kind,
                        .forever = i % 2,
                        .short_by = 1 + i,
                        .os_error = errors[i / 2]};
                if (!makes_sense(fault.ops, &fault) || !is_mine(faults, number++)) continue;
                FR_TRY(sweep(faults, report, &fault));
                fault.name = names[(op + kind * 2 + i) % FR_ARRAY_COUNT(names)];
                if (fault.name != NULL && op != FR_SIM_SYNC_DIR)
                    FR_TRY(sweep(faults, report, &fault));
            }
out:
    return st;
}

fr_status fr_crash_faults_run_memory(const struct fr_crash_faults *faults,
        struct fr_crash_report *report)
{
    struct fr_crash_faults starved = *faults;
    fr_status st = FR_OK;

    starved.subject = fr_crash_memory_starve(faults->subject);
    for (unsigned i = 0; i < 2; i++) {
        struct fr_sim_fault fault = {.forever = i == 1};
        FR_TRY(sweep(&starved, report, &fault));
    }
out:
    return st;
}
