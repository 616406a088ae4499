#include "crash/life.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <unistd.h>

#include "crash/workload.h"
#include "io/env.h"

/* The lock of a process that was killed stays until the kernel has done with its transfers. */
#define PATIENCE_US 20000000
#define PATIENT_US  1000

/* Batches that a history must have room for at the end of a life. */
#define ROOM_LEAST 8

/* This process's. */
static const struct fr_life *living;
static bool poisoned;

/* ---- a subject that waits for its predecessor to be gone */

static fr_status patient_open(struct fr_env *env, const char *path, unsigned config,
        enum fr_crash_mode mode, void **ret_store)
{
    fr_status st;

    for (unsigned waited_us = 0;; waited_us += PATIENT_US) {
        st = living->subject->open(env, path, config, mode, ret_store);
        if (st != FR_ERR_BUSY || waited_us >= PATIENCE_US) break;
        if (waited_us == 0) atomic_fetch_add(&living->ledger->waited, 1);
        fr_env_sleep_us(env, PATIENT_US);
    }
    return st;
}

/* ---- what is explained */

static bool explains(const struct fr_crash_run *run, fr_status st)
{
    (void)run;
    if (!atomic_load(&living->ledger->trouble)) return false;
    for (size_t i = 0; i < FR_ARRAY_COUNT(living->troubles) && living->troubles[i] != FR_OK; i++)
        if (living->troubles[i] == st) {
            poisoned |= st == FR_ERR_POISONED;
            atomic_fetch_add(&living->ledger->refused, 1);
            return true;
        }
    return false;
}

bool fr_life_is_poisoned(void)
{
    return poisoned;
}

void fr_life_set_trouble(const struct fr_life *life, bool trouble)
{
    atomic_store(&life->ledger->trouble, trouble);
}

/* ---- comparing */

/* Always when one was being made, else now and then: each of them is opened. */
static fr_status compare_checkpoints(struct fr_crash_run *run, const struct fr_crash_pending *p,
        const struct fr_crash_checkpoint *list, size_t n)
{
    unsigned count = 0;

    if (p->checkpoints_acked != p->checkpoints_issued || fr_rng_one_in(&run->rng, 8))
        return fr_crash_run_check_checkpoints(run, list, p, n);
    while (p->checkpoints_issued >> count & 1)
        count++;
    run->checkpoint_count = count;
    atomic_store(&run->checkpoints_acked, p->checkpoints_acked);
    atomic_store(&run->checkpoints_issued, p->checkpoints_issued);
    return FR_OK;
}

/* From here on what is there is what must stay there. */
static fr_status compare(struct fr_crash_run *run, const struct fr_life *life)
{
    struct fr_crash_checkpoint list[FR_CRASH_CHECKPOINTS_MAX];
    struct fr_crash_pending p;
    fr_status st;
    size_t n;

    fr_ledger_take(life->ledger, run, life->power, &p);
    memcpy(list, run->checkpoints, sizeof(list));
    FR_TRY(fr_crash_run_open(run));
    run->doing = life->power ? "comparing after a loss of power" : "comparing after a death";
    FR_TRY(fr_crash_run_find_prefix(run, p.least, p.most, &n));
    FR_TRY(fr_crash_run_check_ingest(run, &p, n));
    FR_TRY(compare_checkpoints(run, &p, list, n));
    fr_ledger_keep(life->ledger, run);
    FR_TRY(fr_crash_run_rewind(run, n));
    atomic_fetch_add(&life->ledger->compared, 1);
    atomic_fetch_add(&life->ledger->held, p.least);
    atomic_fetch_add(&life->ledger->extra, n - p.least);
    atomic_store(&life->ledger->stage, FR_LEDGER_COMPARED);
out:
    return st;
}

fr_status fr_life_look(struct fr_crash_run *run, const struct fr_life *life)
{
    struct fr_crash_pending p;
    fr_status st;
    size_t n;

    fr_ledger_take(life->ledger, run, life->power, &p);
    st = life->subject->open(run->env, run->path, run->config, FR_CRASH_READ_ONLY, &run->store);
    if (st < 0) run->store = NULL;
    FR_TRY(fr_crash_run_settle(run, st));
    FR_TRY(fr_crash_run_find_prefix(run, p.least, p.most, &n));
    st = fr_crash_run_settle(run, run->subject->close(FR_TAKE(run->store)));
out:
    return st;
}

/* ---- living */

fr_status fr_life_steps(struct fr_crash_run *run, unsigned steps)
{
    fr_status st = FR_OK;

    for (unsigned i = 0; i < steps; i++) {
        if (run->history.count + ROOM_LEAST > FR_CRASH_HISTORY_MAX) break;
        FR_TRY(fr_crash_workload_step(run));
    }
out:
    return st;
}

static fr_status live(struct fr_crash_run *run, const struct fr_life *life)
{
    fr_status st;

    if (life->visit != NULL) return life->visit(run, life);
    FR_TRY(compare(run, life));
    FR_TRY(life->script != NULL ? life->script(run, life) : fr_life_steps(run, life->steps));
    if (life->closes) FR_TRY(fr_crash_run_close(run));
    atomic_store(&life->ledger->stage, FR_LEDGER_DONE);
out:
    return st;
}

static fr_status begin(const struct fr_life *life, const struct fr_crash_subject *patient,
        struct fr_crash_run **ret_run)
{
    struct fr_ledger *ledger = life->ledger;
    struct fr_env *env;
    fr_status st;

    fr_mutex_init(&ledger->report.mu, FR_RANK_LEAF); /* a killed process may have held it */
    if (chdir(life->dir) != 0) return FR_FAIL(FR_ERR_IO, "%s: cannot be entered", life->dir);
    FR_TRY(fr_env_open(NULL, &env));
    (void)snprintf(ledger->io, sizeof(ledger->io), "%s (%s)", fr_env_kind_name(fr_env_kind(env)),
            fr_env_reason(env));
    struct fr_crash_run *run = fr_crash_run_new(patient, &ledger->report, life->seed);
    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    fr_rng_init(&run->rng, life->chance);
    run->env = env;
    run->config = life->config;
    run->explains = explains;
    *ret_run = run;
out:
    return st;
}

/* A host ignores SIGXFSZ, or no file system could tell it of its limit. */
static void prepare_process(const struct fr_life *life)
{
    struct rlimit no_core = {0, 0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGBUS, SIG_DFL);
    if (!life->traced) return;
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(FR_LIFE_REFUSED);
    (void)raise(SIGSTOP);
}

/* Nothing is tidied up: what a store leaves open, its successor must cope with. */
void fr_life_live(const struct fr_life *life)
{
    struct fr_crash_subject patient = *life->subject;
    struct fr_crash_run *run = NULL;

    living = life;
    patient.open = patient_open;
    prepare_process(life);
    fr_status st = begin(life, &patient, &run);
    if (st == FR_OK) st = live(run, life);
    if (fr_crash_counted(&life->ledger->report, FR_CRASH_FINDINGS) > 0) _exit(FR_LIFE_FOUND);
    if (st >= 0 || (life->power && atomic_load(&life->ledger->trouble))) _exit(FR_LIFE_FINE);
    (void)snprintf(life->ledger->failure, FR_LEDGER_WORDS_MAX, "%s", fr_last_error());
    _exit(FR_LIFE_FAILED);
}
