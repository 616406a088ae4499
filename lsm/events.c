#include "lsm/events.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/mutex.h"
#include "base/thread.h"
#include "io/env.h"

#define SLOW_SYNC_US 100000

enum kind {
    KIND_JOB,
    KIND_FILE,
    KIND_STALL,
    KIND_ERROR,
    KIND_CHECKPOINT,
    KIND_SYNC,
    KIND_TROUBLE,
    KIND_SCRUB,
    KIND_FINDING,
};

struct node {
    struct node *next;
    enum kind kind;
    union {
        void (*job)(void *ctx, const struct fr_event_job *job);
        void (*file)(void *ctx, const struct fr_event_file *file);
    } hook; /* of the kinds that have several */
    union {
        struct fr_event event; /* what all of them begin with */
        struct fr_event_job job;
        struct fr_event_file file;
        struct fr_event_stall stall;
        struct fr_event_error error;
        struct fr_event_checkpoint checkpoint;
        struct fr_event_slow_sync sync;
        struct fr_event_trouble trouble;
        struct fr_event_scrub scrub;
        struct fr_event_finding finding;
    };
    uint64_t more[]; /* an array or text */
};

struct fr_events {
    /* Constant. */
    struct fr_env *env;
    struct fr_event_hooks hooks;

    struct fr_mutex mu; /* rank FR_RANK_LSM_EVENTS */

    /* Guarded by mu. */
    struct node *first;
    struct node **end;
    size_t count;
    uint64_t dropped_since; /* the last one that was queued */
    uint64_t dropped;
    bool started;
    bool closing;
    struct fr_cond work;

    struct fr_thread thread;
};

static void deliver(struct fr_events *e, const struct node *n)
{
    void *ctx = e->hooks.ctx;

    switch (n->kind) {
    case KIND_JOB:
        n->hook.job(ctx, &n->job);
        break;
    case KIND_FILE:
        n->hook.file(ctx, &n->file);
        break;
    case KIND_STALL:
        e->hooks.stall(ctx, &n->stall);
        break;
    case KIND_ERROR:
        e->hooks.background_error(ctx, &n->error);
        break;
    case KIND_CHECKPOINT:
        e->hooks.checkpoint(ctx, &n->checkpoint);
        break;
    case KIND_SYNC:
        e->hooks.slow_sync(ctx, &n->sync);
        break;
    case KIND_TROUBLE:
        e->hooks.trouble(ctx, &n->trouble);
        break;
    case KIND_SCRUB:
        e->hooks.scrub(ctx, &n->scrub);
        break;
    case KIND_FINDING:
        e->hooks.finding(ctx, &n->finding);
        break;
    }
}

static struct node *take_first_locked(struct fr_events *e) FR_REQUIRES(e->mu)
{
    struct node *n = e->first;

    if (n == NULL || !e->started) return NULL;
    e->first = n->next;
    if (e->first == NULL) e->end = &e->first;
    e->count--;
    return n;
}

static void run(void *arg)
{
    struct fr_events *e = arg;
    struct node *n;

    fr_mutex_lock(&e->mu);
    while ((n = take_first_locked(e)) != NULL || !e->closing) {
        if (n == NULL) {
            fr_cond_wait(&e->work, &e->mu);
            continue;
        }
        fr_mutex_unlock(&e->mu);
        deliver(e, n);
        fr_free(n);
        fr_mutex_lock(&e->mu);
    }
    fr_mutex_unlock(&e->mu);
}

fr_status fr_events_open(struct fr_env *env, const struct fr_event_hooks *hooks,
        struct fr_events **ret_events)
{
    struct fr_events *e;
    fr_status st;

    *ret_events = NULL;
    if (hooks == NULL) return FR_OK;
    if (hooks->size != sizeof(*hooks))
        return FR_FAIL(FR_ERR_MISUSE, "fr_event_hooks: size %zu, not %zu", hooks->size,
                sizeof(*hooks));
    e = FR_NEW(struct fr_events);
    if (e == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for event hooks");
    e->env = env;
    e->hooks = *hooks;
    if (e->hooks.slow_sync_us == 0) e->hooks.slow_sync_us = SLOW_SYNC_US;
    e->end = &e->first;
    fr_mutex_init(&e->mu, FR_RANK_LSM_EVENTS);
    fr_cond_init(&e->work);
    FR_TRY(fr_thread_start(&e->thread, "freshet-events", run, e));
    *ret_events = FR_TAKE(e);
out:
    fr_events_close(e);
    return st;
}

void fr_events_start(struct fr_events *e)
{
    if (e == NULL) return;
    fr_mutex_lock(&e->mu);
    e->started = true;
    fr_cond_signal(&e->work);
    fr_mutex_unlock(&e->mu);
}

void fr_events_close(struct fr_events *e)
{
    if (e == NULL) return;
    fr_mutex_lock(&e->mu);
    e->closing = true;
    fr_cond_signal(&e->work);
    fr_mutex_unlock(&e->mu);
    fr_thread_join(&e->thread);
    for (struct node *n = e->first, *next; n != NULL; n = next) {
        next = n->next;
        fr_free(n);
    }
    fr_cond_deinit(&e->work);
    fr_mutex_deinit(&e->mu);
    fr_free(e);
}

uint64_t fr_events_dropped(struct fr_events *e)
{
    if (e == NULL) return 0;
    fr_mutex_lock(&e->mu);
    uint64_t dropped = e->dropped;
    fr_mutex_unlock(&e->mu);
    return dropped;
}

static struct node *node_new(enum kind kind, size_t more)
{
    struct node *n = fr_alloc_zeroed(1, sizeof(struct node) + more);

    if (n != NULL) n->kind = kind;
    return n;
}

/* n may be NULL: there was no memory for it. */
static void queue(struct fr_events *e, struct node *n)
{
    uint64_t now_us = fr_env_wall_us(e->env);

    fr_mutex_lock(&e->mu);
    if (n == NULL || e->count == FR_EVENTS_WAITING_MAX) {
        FR_COVER("events: dropped");
        e->dropped++;
        e->dropped_since++;
        fr_mutex_unlock(&e->mu);
        fr_free(n);
        return;
    }
    n->event = (struct fr_event){.time_us = now_us, .dropped = e->dropped_since};
    e->dropped_since = 0;
    *e->end = n;
    e->end = &n->next;
    e->count++;
    fr_cond_signal(&e->work);
    fr_mutex_unlock(&e->mu);
}

void fr_events_job(struct fr_events *e, enum fr_events_job_kind kind,
        const struct fr_event_job *job)
{
    if (e == NULL) return;
    void (*const hooks[])(void *, const struct fr_event_job *) = {
            [FR_EVENTS_FLUSH_BEGIN] = e->hooks.flush_begin,
            [FR_EVENTS_FLUSH_END] = e->hooks.flush_end,
            [FR_EVENTS_COMPACTION_BEGIN] = e->hooks.compaction_begin,
            [FR_EVENTS_COMPACTION_END] = e->hooks.compaction_end};
    size_t more = job->inputs == NULL ? 0 : job->input_count * sizeof(uint64_t);

    if (hooks[kind] == NULL) return;
    struct node *n = node_new(KIND_JOB, more);
    if (n != NULL) {
        n->hook.job = hooks[kind];
        n->job = *job;
        if (more > 0) n->job.inputs = memcpy(n->more, job->inputs, more);
    }
    queue(e, n);
}

void fr_events_file(struct fr_events *e, bool created, const struct fr_event_file *file)
{
    if (e == NULL || (created ? e->hooks.file_created : e->hooks.file_removed) == NULL) return;
    struct node *n = node_new(KIND_FILE, 0);
    if (n != NULL) {
        n->hook.file = created ? e->hooks.file_created : e->hooks.file_removed;
        n->file = *file;
    }
    queue(e, n);
}

void fr_events_stall(struct fr_events *e, const struct fr_event_stall *stall)
{
    if (e == NULL || e->hooks.stall == NULL) return;
    struct node *n = node_new(KIND_STALL, 0);
    if (n != NULL) n->stall = *stall;
    queue(e, n);
}

void fr_events_error(struct fr_events *e, const struct fr_event_error *error)
{
    if (e == NULL || e->hooks.background_error == NULL) return;
    size_t size = strlen(error->text) + 1;
    struct node *n = node_new(KIND_ERROR, size);
    if (n != NULL) {
        n->error = *error;
        n->error.text = memcpy(n->more, error->text, size);
    }
    queue(e, n);
}

void fr_events_trouble(struct fr_events *e, const struct fr_event_trouble *trouble)
{
    if (e == NULL || e->hooks.trouble == NULL) return;
    size_t size = strlen(trouble->text) + 1;
    struct node *n = node_new(KIND_TROUBLE, size);
    if (n != NULL) {
        n->trouble = *trouble;
        n->trouble.text = memcpy(n->more, trouble->text, size);
    }
    queue(e, n);
}

void fr_events_checkpoint(struct fr_events *e, const struct fr_event_checkpoint *checkpoint)
{
    if (e == NULL || e->hooks.checkpoint == NULL) return;
    size_t size = strlen(checkpoint->path) + 1;
    struct node *n = node_new(KIND_CHECKPOINT, size);
    if (n != NULL) {
        n->checkpoint = *checkpoint;
        n->checkpoint.path = memcpy(n->more, checkpoint->path, size);
    }
    queue(e, n);
}

void fr_events_scrub(struct fr_events *e, const struct fr_event_scrub *scrub)
{
    if (e == NULL || e->hooks.scrub == NULL) return;
    struct node *n = node_new(KIND_SCRUB, 0);
    if (n != NULL) n->scrub = *scrub;
    queue(e, n);
}

void fr_events_finding(struct fr_events *e, const struct fr_event_finding *finding)
{
    if (e == NULL || e->hooks.finding == NULL) return;
    size_t file_size = strlen(finding->file) + 1, text_size = strlen(finding->text) + 1;
    struct node *n = node_new(KIND_FINDING, file_size + text_size);
    if (n != NULL) {
        char *more = (char *)n->more;
        n->finding = *finding;
        n->finding.file = memcpy(more, finding->file, file_size);
        n->finding.text = memcpy(more + file_size, finding->text, text_size);
    }
    queue(e, n);
}

void fr_events_sync(struct fr_events *e, uint64_t duration_us)
{
    if (e == NULL || e->hooks.slow_sync == NULL || duration_us < e->hooks.slow_sync_us) return;
    struct node *n = node_new(KIND_SYNC, 0);
    if (n != NULL) n->sync.duration_us = duration_us;
    queue(e, n);
}

void fr_events_open_progress(struct fr_events *e, enum fr_event_open_phase phase, uint64_t done,
        uint64_t total)
{
    if (e == NULL || e->hooks.open == NULL) return;
    struct fr_event_open open = {.event = {.time_us = fr_env_wall_us(e->env)},
            .phase = phase,
            .done = done,
            .total = total};
    e->hooks.open(e->hooks.ctx, &open);
}
