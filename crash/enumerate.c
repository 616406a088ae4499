#include "crash/enumerate.h"

#include "base/alloc.h"
#include "crash/changes.h"

/* ---- pulling the plug */

/* The same disk is recovered again where other things must be on it. */
static void keep_image(struct fr_crash_run *run, struct fr_crash_pending *p)
{
    uint64_t key = fr_mix64(fr_sim_image_hash(p->image) ^
                            fr_mix64(run->history.hashes[p->least] + run->config));
    bool is_new = fr_crash_report_is_new(run->report, key);

    fr_crash_count(run->report, FR_CRASH_IMAGES, 1);
    if (is_new && fr_crash_report_is_new(run->report, fr_sim_image_hash(p->image)))
        fr_crash_count(run->report, FR_CRASH_DISTINCT, 1);
    fr_mutex_lock(&run->mu);
    if (is_new && run->pending_count < FR_CRASH_PENDING_MAX) {
        run->pending[run->pending_count++] = *p;
        p->image = NULL;
    }
    fr_mutex_unlock(&run->mu);
    if (is_new && p->image != NULL) fr_crash_count(run->report, FR_CRASH_LEFT_OUT, 1);
    fr_sim_image_free(p->image);
}

/*
 * What must be there is asked before the plug is pulled, what may be there after it: the other
 * threads go on meanwhile.
 */
fr_status fr_crash_enumerate_now(struct fr_crash_run *run)
{
    struct fr_sim_crash_options options = {
            .exhaustive_max = 4, .samples_max = 8, .images_max = run->plan.images_per_point};
    struct fr_crash_pending p = {.least = atomic_load(&run->acked),
            .checkpoints_acked = atomic_load(&run->checkpoints_acked),
            .ingest = atomic_load(&run->ingest)}; /* its files were there before that */
    struct fr_sim_crash *crash;
    fr_status st;

    fr_crash_count(run->report, FR_CRASH_POINTS, 1);
    fr_crash_count(run->report, FR_CRASH_POINTS_TENDED, atomic_load(&run->tending));
    FR_TRY(fr_sim_crash_open(run->sim, &options, &crash));
    p.most = atomic_load(&run->issued);
    p.checkpoints_issued = atomic_load(&run->checkpoints_issued);
    while ((st = fr_sim_crash_next(crash, &p.image)) == FR_OK)
        keep_image(run, &p);
    fr_sim_crash_close(crash);
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

static void on_change(void *ctx, const struct fr_sim_point *point)
{
    struct fr_crash_run *run = ctx;

    if (!point->after || atomic_load(&run->no_images)) return;
    fr_mutex_lock(&run->mu);
    bool due = run->changes++ % run->plan.points_one_in == 0;
    fr_mutex_unlock(&run->mu);
    if (due && fr_crash_enumerate_now(run) < 0)
        (void)fr_crash_find(run->report, "seed %llu: no memory for a crash",
                (unsigned long long)run->seed);
}

void fr_crash_enumerate_take(struct fr_crash_run *run, struct fr_sim *sim)
{
    run->sim = sim;
    fr_sim_set_hook(sim, on_change, run);
}

static bool take_pending(struct fr_crash_run *run, struct fr_crash_pending *ret_pending)
{
    fr_mutex_lock(&run->mu);
    bool any = run->pending_count > 0;
    if (any) *ret_pending = run->pending[--run->pending_count];
    fr_mutex_unlock(&run->mu);
    return any;
}

/* ---- recovering */

/* What is to be done with one image, by chance. */
struct course {
    bool deeper;  /* the recovery is crashed itself */
    bool goes_on; /* afterwards it is written on */
    bool again;   /* the image is recovered once more */
};

static bool by_chance(struct fr_rng *rng, unsigned one_in)
{
    return one_in != 0 && fr_rng_one_in(rng, one_in);
}

static struct course choose_course(struct fr_crash_run *from)
{
    const struct fr_crash_plan *plan = &from->plan;
    unsigned rarer = from->depth == 0 ? 1 : 2;
    struct course course = {0};

    if (from->lied) return course;
    course.deeper = from->depth + 1 < FR_CRASH_DEPTH_MAX &&
                    by_chance(&from->rng, plan->deeper_one_in * rarer);
    course.goes_on = by_chance(&from->rng, plan->goes_on_one_in * rarer);
    course.again = by_chance(&from->rng, plan->again_one_in);
    return course;
}

/* The machine after the crash, as a run of its own. */
static struct fr_crash_run *successor(struct fr_crash_run *from, const struct fr_crash_pending *p,
        bool watched)
{
    struct fr_crash_run *run = fr_crash_run_new(from->subject, from->report, from->seed);

    if (run == NULL) return NULL;
    fr_rng_init(&run->rng, fr_rng_next(&from->rng));
    fr_crash_history_copy(&run->history, &from->history, p->most);
    run->config = from->config;
    run->path = from->path;
    run->step = from->step;
    run->doing = fr_sim_image_origin(p->image);
    run->depth = from->depth + 1;
    run->next_id = FR_CRASH_ID_NUMBER(from->next_id + 1000000 * run->depth);
    run->plan = from->plan;
    run->plan.images_per_point = 3;
    run->plan.points_one_in = run->depth == 1 ? 3 : 5;
    run->lied = from->lied;
    run->hurt = from->hurt;
    atomic_store(&run->no_images, !watched);
    atomic_store(&run->acked, p->least);
    atomic_store(&run->issued, p->most);
    memcpy(run->checkpoints, from->checkpoints, sizeof(run->checkpoints));
    atomic_store(&run->checkpoints_acked, p->checkpoints_acked);
    atomic_store(&run->checkpoints_issued, p->checkpoints_issued);
    return run;
}

/* How an opening refuses what a lying sync has left. A segment of the log may be an earlier one. */
static bool is_told(fr_status st)
{
    return st == FR_ERR_CORRUPT || st == FR_ERR_MISSING || st == FR_ERR_FOREIGN;
}

/* Open it and find the prefix; FR_END: there was a lie, and the opening or the reading tells it. */
static fr_status recover(struct fr_crash_run *run, const struct fr_crash_pending *p, size_t *ret_n)
{
    fr_status st = run->subject->open(fr_sim_env(run->sim), run->path, run->config, FR_CRASH_MAKE,
            &run->store);

    fr_crash_count(run->report, FR_CRASH_RECOVERIES, 1);
    if (st < 0) run->store = NULL;
    if (st == FR_OK) st = fr_crash_run_find_prefix(run, run->lied ? 0 : p->least, p->most, ret_n);
    if (st >= 0 || st == FR_ERR_CANCELLED) return st;
    if (!run->lied || !is_told(st))
        return fr_crash_run_find(run, "depth %u: %s: %s", run->depth, fr_status_name(st),
                fr_last_error());
    fr_crash_count(run->report, FR_CRASH_LIES_TOLD, 1);
    return FR_END;
}

/* What the first recovery has shown the second one must show. */
static void bind_pending(struct fr_crash_run *run, size_t n)
{
    fr_mutex_lock(&run->mu);
    for (size_t i = 0; i < run->pending_count; i++)
        run->pending[i].least = run->pending[i].most = n;
    fr_mutex_unlock(&run->mu);
}

static fr_status go_on(struct fr_crash_run *run)
{
    fr_status st = FR_OK;

    for (int i = 0; i < 8; i++) {
        FR_TRY(run->plan.step(run));
        FR_TRY(fr_crash_enumerate_check(run));
    }
out:
    return st;
}

/* Always where one was being made, and where there will be more of them; else now and then. */
static fr_status check_checkpoints(struct fr_crash_run *run, struct fr_crash_run *from,
        const struct fr_crash_pending *p, size_t n, bool writes)
{
    bool no_images = atomic_load(&run->no_images);
    bool in_flight = p->checkpoints_acked != p->checkpoints_issued;

    if (!writes && !in_flight && !fr_rng_one_in(&from->rng, 8)) return FR_OK;
    atomic_store(&run->no_images, true);
    fr_status st = fr_crash_run_check_checkpoints(run, from->checkpoints, p, n);
    atomic_store(&run->no_images, no_images);
    return st;
}

/* The disk is recovered, and what the plan says is done on it. */
static fr_status check_machine(struct fr_crash_run *run, struct fr_crash_run *from,
        const struct fr_crash_pending *p, struct course course, size_t *ret_n)
{
    size_t n = 0;
    fr_status st;

    FR_TRY(recover(run, p, &n));
    if (st == FR_END) return st;
    *ret_n = n;
    if (course.deeper) bind_pending(run, n);
    FR_TRY(fr_crash_run_check_ingest(run, p, n));
    bool writes = course.deeper || course.goes_on || course.again;
    if (writes) FR_TRY(fr_crash_run_rewind(run, n));
    if (course.deeper) FR_TRY(fr_crash_enumerate_check(run));
    FR_TRY(check_checkpoints(run, from, p, n, writes));
    if (course.goes_on) FR_TRY(go_on(run));
    if (writes) FR_TRY(fr_crash_run_reopen(run));
out:
    return st;
}

/* The same disk once more, without a crash: it holds the same. */
static fr_status check_again(struct fr_crash_run *from, const struct fr_crash_pending *p, size_t n)
{
    struct fr_crash_run *run = successor(from, p, false);
    struct fr_sim *sim;
    fr_status st;

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    FR_TRY(fr_sim_image_boot(p->image, 7, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fr_crash_run_open(run));
    run->doing = "recovering it once more";
    FR_TRY(fr_crash_run_find_prefix(run, n, n, &n));
    fr_crash_count(run->report, FR_CRASH_RECOVERIES, 1);
out:
    fr_crash_run_free(run);
    return st;
}

static fr_status check_image(struct fr_crash_run *from, const struct fr_crash_pending *p)
{
    struct course course = choose_course(from);
    struct fr_crash_run *run = successor(from, p, course.deeper);
    struct fr_sim *sim;
    fr_status st;
    size_t n = 0;

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    FR_TRY(fr_sim_image_boot(p->image, fr_rng_next(&from->rng), &sim));
    fr_crash_enumerate_take(run, sim);
    fr_crash_count(run->report, FR_CRASH_DEPTH_1 + from->depth, 1);
    FR_TRY(check_machine(run, from, p, course, &n));
    if (course.again) FR_TRY(check_again(from, p, n));
out:
    fr_crash_run_free(run);
    return st < 0 ? st : FR_OK;
}

fr_status fr_crash_enumerate_check(struct fr_crash_run *run)
{
    struct fr_crash_pending pending;
    fr_status st = FR_OK;

    while (st == FR_OK && take_pending(run, &pending)) {
        st = check_image(run, &pending);
        fr_sim_image_free(pending.image);
    }
    return st;
}

fr_status fr_crash_enumerate_kill(struct fr_crash_run *run)
{
    bool no_images = atomic_load(&run->no_images);
    struct fr_sim *heir;
    size_t n;
    fr_status st;

    run->doing = "killed";
    fr_crash_run_drop_held(run);
    atomic_store(&run->no_images, true);
    FR_TRY(fr_sim_kill(run->sim, &heir));
    if (run->store != NULL) (void)run->subject->close(FR_TAKE(run->store));
    fr_sim_close(FR_TAKE(run->sim));
    fr_crash_enumerate_take(run, heir);
    FR_TRY(fr_crash_enumerate_check(run));
    FR_TRY(fr_crash_run_open(run));
    FR_TRY(fr_crash_run_find_prefix(run, run->published, atomic_load(&run->issued), &n));
    FR_TRY(fr_crash_run_rewind(run, n));
    fr_crash_count(run->report, FR_CRASH_KILLS, 1);
out:
    atomic_store(&run->no_images, no_images);
    return st;
}
