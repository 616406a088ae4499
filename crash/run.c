#include "crash/run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "crash/changes.h"
#include "crash/enumerate.h"
#include "io/dir.h"
#include "io/sim_schedule.h"

fr_status fr_crash_schedule_begin(uint64_t seed)
{
    struct fr_sim_schedule_options options = {
            .seed = seed, .kind = seed % 2 ? FR_SIM_SCHEDULE_UNIFORM : FR_SIM_SCHEDULE_PRIORITIES};

    return fr_sim_schedule_begin(&options);
}

struct fr_crash_run *fr_crash_run_new(const struct fr_crash_subject *subject,
        struct fr_crash_report *report, uint64_t seed)
{
    struct fr_crash_run *run = FR_NEW(struct fr_crash_run);

    if (run == NULL) return NULL;
    fr_rng_init(&run->rng, seed);
    fr_mutex_init(&run->mu, FR_RANK_SIM);
    run->subject = subject;
    run->report = report;
    run->seed = seed;
    run->config = (unsigned)(seed % (subject->configs / 2));
    run->path = "store";
    run->doing = "opening";
    run->next_id = FR_CRASH_ID_NUMBER(seed * 100000 + 1);
    return run;
}

static struct fr_env *env_of(const struct fr_crash_run *run)
{
    return run->env != NULL ? run->env : fr_sim_env(run->sim);
}

static void tell_witness(struct fr_crash_run *run)
{
    if (run->witness != NULL) run->witness(run);
}

static void drop_held(struct fr_crash_run *run, struct fr_crash_held *held)
{
    if (held->held != NULL) run->subject->release(run->store, FR_TAKE(held->held));
    fr_crash_model_deinit(&held->model);
}

void fr_crash_run_drop_held(struct fr_crash_run *run)
{
    for (size_t i = 0; i < FR_CRASH_HOLDS; i++)
        drop_held(run, &run->held[i]);
}

void fr_crash_run_free(struct fr_crash_run *run)
{
    if (run == NULL) return;
    atomic_store(&run->no_images, true);
    fr_crash_run_drop_held(run);
    if (run->store != NULL) (void)run->subject->close(run->store);
    fr_sim_close(run->sim);
    for (size_t i = 0; i < run->pending_count; i++)
        fr_sim_image_free(run->pending[i].image);
    fr_crash_model_deinit(&run->model);
    fr_mutex_deinit(&run->mu);
    fr_free(run);
}

fr_status fr_crash_run_find(struct fr_crash_run *run, const char *format, ...)
{
    char words[FR_CRASH_FINDING_MAX];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(words, sizeof(words), format, args);
    va_end(args);
    return fr_crash_find(run->report, "seed %" PRIu64 ", config %u, step %" PRIu64 " (%s)%s%s: %s",
            run->seed, run->config, run->step, run->doing, run->depth == 0 ? "" : ", after a crash",
            run->lied ? ", syncs lie" : "", words);
}

fr_status fr_crash_run_settle(struct fr_crash_run *run, fr_status st)
{
    if (st >= 0) return FR_OK;
    if (st == FR_ERR_CANCELLED) return st;
    if (run->explains == NULL || !run->explains(run, st))
        return fr_crash_run_find(run, "%s: %s", fr_status_name(st), fr_last_error());
    fr_crash_count(run->report, st == FR_ERR_POISONED ? FR_CRASH_POISONED : FR_CRASH_FAILURES, 1);
    return st;
}

void fr_crash_run_all_acked(struct fr_crash_run *run)
{
    run->published = run->history.count;
    atomic_store(&run->acked, run->history.count);
    tell_witness(run);
}

/* ---- opening and closing */

fr_status fr_crash_run_open(struct fr_crash_run *run)
{
    fr_status st =
            run->subject->open(env_of(run), run->path, run->config, FR_CRASH_MAKE, &run->store);

    if (st < 0) {
        run->store = NULL;
        fr_crash_count(run->report, FR_CRASH_OPENS_FAILED, 1);
    }
    return fr_crash_run_settle(run, st);
}

fr_status fr_crash_run_close(struct fr_crash_run *run)
{
    fr_crash_run_drop_held(run);
    fr_status st = run->subject->close(FR_TAKE(run->store));
    if (st == FR_OK) fr_crash_run_all_acked(run);
    return fr_crash_run_settle(run, st);
}

fr_status fr_crash_run_reopen(struct fr_crash_run *run)
{
    size_t n = run->history.count;
    fr_status st;

    run->doing = "reopening";
    FR_TRY(fr_crash_run_close(run));
    FR_TRY(fr_crash_run_open(run));
    FR_TRY(fr_crash_run_find_prefix(run, n, n, &n));
    fr_crash_count(run->report, FR_CRASH_REOPENINGS, 1);
out:
    return st;
}

/* ---- writing */

/* The model before the batch that has failed. */
static fr_status rebuild(struct fr_crash_run *run, size_t n)
{
    struct fr_crash_changes changes;
    fr_status st = FR_OK;

    fr_crash_model_deinit(&run->model);
    for (size_t i = 0; i < n; i++) {
        fr_crash_changes_make(run->subject, run->history.ids[i], &changes);
        FR_TRY(fr_crash_model_apply(&run->model, changes.list, changes.count));
    }
    if (fr_crash_model_hash(&run->model) != run->history.hashes[n])
        st = fr_crash_run_find(run, "the harness lost its own model after %zu batches", n);
out:
    return st;
}

fr_status fr_crash_run_rewind(struct fr_crash_run *run, size_t n)
{
    run->history.count = n;
    run->history.doubt_count = 0;
    atomic_store(&run->issued, n);
    fr_crash_run_all_acked(run);
    return rebuild(run, n);
}

static uint64_t progress_of(const struct fr_crash_run *run)
{
    return run->subject->progress == NULL ? 0 : run->subject->progress(run->store);
}

/* A batch that is being tried behind n others. */
struct attempt {
    size_t n;
    uint32_t id;
    uint64_t hash;
};

static fr_status begin_attempt(struct fr_crash_run *run, const struct fr_crash_changes *changes,
        struct attempt *ret_attempt)
{
    struct fr_crash_history *h = &run->history;
    size_t n = h->count;
    fr_status st;

    FR_TRY(fr_crash_model_apply(&run->model, changes->list, changes->count));
    h->ids[n] = changes->id;
    h->hashes[n + 1] = fr_crash_model_hash(&run->model);
    h->progress[n + 1] = progress_of(run) + (run->subject->progress != NULL);
    *ret_attempt = (struct attempt){.n = n, .id = changes->id, .hash = h->hashes[n + 1]};
    atomic_store(&run->issued, n + 1);
    tell_witness(run);
out:
    return st;
}

/*
 * Whether a failure says that nothing was changed: writing has been refused, or there was no memory
 * or no space, and not for a sync, after which nothing is known.
 */
static bool is_refusal(fr_status st)
{
    struct fr_error error = {.size = sizeof(error)};

    if (st == FR_ERR_POISONED) return true;
    return (st == FR_ERR_NOMEM || st == FR_ERR_NOSPACE) && fr_last_error_get(&error) == FR_OK &&
           !error.of_sync;
}

/* What comes behind a batch in doubt ends the doubt: it is not there, or this could not be. */
static fr_status end_attempt(struct fr_crash_run *run, const struct attempt *attempt, fr_status st,
        bool refused)
{
    struct fr_crash_history *h = &run->history;
    size_t n = attempt->n;

    if (st == FR_OK) {
        h->progress[n + 1] = progress_of(run);
        h->count = n + 1;
        h->doubt_count = 0;
        return FR_OK;
    }
    st = fr_crash_run_settle(run, st);
    if (!refused && h->doubt_count < FR_CRASH_DOUBTS_MAX) {
        h->doubt_ids[h->doubt_count] = attempt->id;
        h->doubt_hashes[h->doubt_count++] = attempt->hash;
    }
    atomic_store(&run->issued, n);
    tell_witness(run);
    fr_status rebuilt = rebuild(run, n);
    return rebuilt < 0 ? rebuilt : st;
}

fr_status fr_crash_run_write(struct fr_crash_run *run, uint32_t id, fr_sync sync)
{
    struct fr_crash_changes changes;
    struct attempt attempt;
    fr_status st;

    if (run->history.count == FR_CRASH_HISTORY_MAX) return FR_OK;
    run->doing = "writing";
    fr_crash_changes_make(run->subject, id == 0 ? run->next_id++ : id, &changes);
    FR_TRY(begin_attempt(run, &changes, &attempt));
    st = run->subject->write(run->store, changes.list, changes.count, sync);
    FR_TRY(end_attempt(run, &attempt, st, is_refusal(st)));
    if (sync != FR_SYNC_NONE) run->published = run->history.count;
    if (sync == FR_SYNC_DEVICE) fr_crash_run_all_acked(run);
    tell_witness(run);
out:
    return st;
}

fr_status fr_crash_run_act(struct fr_crash_run *run, enum fr_crash_act act, size_t slot, size_t end)
{
    static const char *const names[] = {"flushing", "syncing", "compacting", "waiting"};

    run->doing = names[act];
    fr_status st = run->subject->act(run->store, act, slot, end);
    if (st == FR_OK && act != FR_CRASH_IDLE) fr_crash_run_all_acked(run);
    return fr_crash_run_settle(run, st);
}

fr_status fr_crash_run_tend(struct fr_crash_run *run)
{
    if (run->subject->tend == NULL) return FR_OK;
    run->doing = "tending";
    atomic_store(&run->tending, true);
    fr_status st = run->subject->tend(run->store);
    if (!atomic_load(&run->no_images) && fr_crash_enumerate_now(run) < 0)
        (void)fr_crash_run_find(run, "no memory for a crash");
    atomic_store(&run->tending, false);
    return fr_crash_run_settle(run, st);
}

/* ---- ingests */

#define PATH_ROOM 40

static void ingest_path(uint32_t id, unsigned part, char *path)
{
    (void)snprintf(path, PATH_ROOM, "in-%u-%u", id, part);
}

static fr_status prebuild(struct fr_crash_run *run, const struct fr_crash_changes *changes)
{
    size_t half = changes->count / 2;
    char path[PATH_ROOM];
    fr_status st;

    ingest_path(changes->id, 0, path);
    FR_TRY(run->subject->prebuild(env_of(run), path, changes->list, half));
    ingest_path(changes->id, 1, path);
    FR_TRY(run->subject->prebuild(env_of(run), path, changes->list + half, changes->count - half));
out:
    return st;
}

/* FR_NOT_FOUND: it is not there. */
static fr_status look_for(struct fr_crash_run *run, const char *path)
{
    struct fr_file_info info;
    struct fr_dir *dir = NULL;
    fr_status st;

    FR_TRY(fr_dir_open(env_of(run), ".", 0, &dir));
    st = fr_dir_stat(dir, path, &info);
out:
    fr_dir_close(dir);
    return st < 0 ? fr_crash_run_settle(run, st) : st;
}

fr_status fr_crash_run_check_ingest(struct fr_crash_run *run, const struct fr_crash_pending *p,
        size_t n)
{
    char path[PATH_ROOM];
    fr_status st = FR_OK;

    if (p->ingest == 0 || p->ingest <= n || run->lied) return FR_OK;
    if (p->ingest > p->most) return FR_OK; /* it was about to begin, and has no number yet */
    for (unsigned part = 0; part < 2; part++) {
        ingest_path(run->history.ids[p->ingest - 1], part, path);
        FR_TRY(look_for(run, path));
        if (st == FR_NOT_FOUND)
            return fr_crash_run_find(run, "%s is gone, and not part of the store either", path);
    }
out:
    return st;
}

fr_status fr_crash_run_ingest(struct fr_crash_run *run, bool move)
{
    struct fr_crash_changes changes;
    char paths[2][PATH_ROOM];
    const char *given[2] = {paths[1], paths[0]};
    struct attempt attempt;
    fr_status st;

    if (run->subject->ingest == NULL || run->history.count == FR_CRASH_HISTORY_MAX) return FR_OK;
    fr_crash_changes_make(run->subject, FR_CRASH_ID_INGEST | run->next_id++, &changes);
    run->doing = "making files to ingest";
    for (unsigned part = 0; part < 2; part++)
        ingest_path(changes.id, part, paths[part]);
    FR_TRY(fr_crash_run_settle(run, prebuild(run, &changes)));
    run->doing = move ? "ingesting with move" : "ingesting";
    atomic_store(&run->ingest, run->history.count + 1);
    FR_TRY(begin_attempt(run, &changes, &attempt));
    st = run->subject->ingest(run->store, given, 2, move);
    FR_TRY(end_attempt(run, &attempt, st, st == FR_ERR_POISONED));
    fr_crash_run_all_acked(run);
    fr_crash_count(run->report, FR_CRASH_INGESTS, 1);
out:
    if (st < 0) atomic_store(&run->ingest, 0);
    return st;
}

/* ---- checkpoints */

static void checkpoint_path(const struct fr_crash_checkpoint *checkpoint, char *path)
{
    (void)snprintf(path, PATH_ROOM, "copy-%u", checkpoint->name);
}

fr_status fr_crash_run_checkpoint(struct fr_crash_run *run)
{
    unsigned count = run->checkpoint_count;
    char path[PATH_ROOM];

    if (run->subject->checkpoint == NULL || count == FR_CRASH_CHECKPOINTS_MAX) return FR_OK;
    run->doing = "making a checkpoint";
    run->checkpoints[count] = (struct fr_crash_checkpoint){
            .name = count == 0 ? 0 : run->checkpoints[count - 1].name + 1, .n = run->history.count};
    checkpoint_path(&run->checkpoints[count], path);
    run->checkpoint_count = count + 1;
    atomic_fetch_or(&run->checkpoints_issued, 1u << count);
    tell_witness(run);
    fr_status st = run->subject->checkpoint(run->store, path);
    if (st == FR_OK) {
        atomic_fetch_or(&run->checkpoints_acked, 1u << count);
        tell_witness(run);
        fr_crash_count(run->report, FR_CRASH_CHECKPOINTS, 1);
    }
    return fr_crash_run_settle(run, st);
}

static fr_status fail_checkpoint(struct fr_crash_run *run, const char *path, fr_status st)
{
    if (run->explains != NULL && run->explains(run, st)) return st;
    return fr_crash_run_find(run, "%s: %s", path, fr_last_error());
}

/* It is opened as any store; what it does to its files must not be seen in the one it came from. */
static fr_status read_checkpoint(struct fr_crash_run *run, const struct fr_crash_checkpoint *c,
        const char *path)
{
    struct fr_crash_reading reading = {0};
    void *store;
    fr_status st;

    st = run->subject->open(env_of(run), path, run->config, FR_CRASH_EXISTING, &store);
    if (st < 0) return fail_checkpoint(run, path, st);
    st = run->subject->read(store, FR_CRASH_FORWARDS, &reading);
    uint64_t wanted = run->history.hashes[c->n], found = fr_crash_reading_hash(&reading);
    if (st < 0)
        st = fail_checkpoint(run, path, st);
    else if (found != wanted)
        st = fr_crash_run_find(run, "%s does not hold the %zu batches of its moment", path, c->n);
    else if ((st = run->subject->act(store, FR_CRASH_COMPACT, 0, 0)) < 0)
        st = fail_checkpoint(run, path, st);
    fr_status closed = run->subject->close(store);
    if (st == FR_OK && closed < 0) st = fail_checkpoint(run, path, closed);
    fr_crash_count(run->report, FR_CRASH_CHECKPOINTS_READ, 1);
    return st;
}

/* Those that are not there are forgotten, so that their names are tried again. */
static fr_status check_checkpoint(struct fr_crash_run *run, const struct fr_crash_checkpoint *c,
        bool must_be, size_t n)
{
    char path[PATH_ROOM];
    fr_status st = FR_OK;

    checkpoint_path(c, path);
    FR_TRY(look_for(run, path));
    if (st == FR_NOT_FOUND) {
        if (must_be && !run->lied) return fr_crash_run_find(run, "%s is gone", path);
        return FR_OK;
    }
    if (run->lied) return FR_OK;
    if (c->n > n) return fr_crash_run_find(run, "%s is ahead of what it was made from", path);
    st = read_checkpoint(run, c, path);
    run->checkpoints[run->checkpoint_count++] = *c;
out:
    return st;
}

fr_status fr_crash_run_check_checkpoints(struct fr_crash_run *run,
        const struct fr_crash_checkpoint *checkpoints, const struct fr_crash_pending *p, size_t n)
{
    fr_status st = FR_OK;

    run->doing = "reading a checkpoint";
    for (unsigned i = 0; i < FR_CRASH_CHECKPOINTS_MAX; i++)
        if (p->checkpoints_issued >> i & 1)
            FR_TRY(check_checkpoint(run, &checkpoints[i], p->checkpoints_acked >> i & 1, n));
    unsigned all = (1u << run->checkpoint_count) - 1;
    atomic_store(&run->checkpoints_issued, all);
    atomic_store(&run->checkpoints_acked, all);
out:
    return st;
}

/* ---- reading */

/* One way of reading, with what is wrong whatever was written. */
static fr_status read_once(struct fr_crash_run *run, enum fr_crash_way way, void *held,
        struct fr_crash_reading *reading)
{
    fr_status st = held == NULL ? run->subject->read(run->store, way, reading)
                                : run->subject->read_held(run->store, held, way, reading);
    const char *fault = fr_crash_reading_fault(reading);

    fr_crash_count(run->report, FR_CRASH_READS, 1);
    if (fault != NULL) return fr_crash_run_find(run, "%s", fault);
    return st;
}

/* What was read before a failure must be right as well. */
static fr_status check_against(struct fr_crash_run *run, enum fr_crash_way way, void *held,
        const struct fr_crash_model *model)
{
    struct fr_crash_reading reading = {0};

    fr_status st = read_once(run, way, held, &reading);
    if (st == FR_ERR_CANCELLED) return st;
    size_t slot = fr_crash_reading_differs(&reading, model);
    if (slot < FR_CRASH_SLOTS)
        return fr_crash_run_find(run, "slot %zu holds %s, way %d", slot,
                reading.seen[slot] == 0    ? "nothing"
                : model->hashes[slot] == 0 ? "something, and should not"
                                           : "something else",
                way);
    run->trace = fr_mix64(run->trace + fr_crash_reading_hash(&reading));
    return fr_crash_run_settle(run, st);
}

static fr_status verify(struct fr_crash_run *run)
{
    if (run->subject->verify == NULL) return FR_OK;
    fr_status st = run->subject->verify(run->store, run->hurt);
    return run->lied ? st : fr_crash_run_settle(run, st);
}

fr_status fr_crash_run_check(struct fr_crash_run *run, enum fr_crash_way way)
{
    fr_status st;

    run->doing = "reading";
    FR_TRY(check_against(run, way, NULL, &run->model));
    st = verify(run);
out:
    return st;
}

fr_status fr_crash_run_hold(struct fr_crash_run *run, enum fr_crash_hold kind)
{
    struct fr_crash_held *held = &run->held[kind];
    fr_status st;

    if (run->subject->hold == NULL) return FR_OK;
    run->doing = kind == FR_CRASH_SNAPSHOT ? "a snapshot" : "an iterator";
    if (held->held == NULL) {
        st = run->subject->hold(run->store, kind, &held->held);
        if (st < 0) held->held = NULL;
        memcpy(held->model.hashes, run->model.hashes, sizeof(run->model.hashes));
        return fr_crash_run_settle(run, st);
    }
    st = check_against(run, FR_CRASH_FORWARDS, held->held, &held->model);
    if (st == FR_OK)
        st = check_against(run, (enum fr_crash_way)fr_rng_below(&run->rng, FR_CRASH_WAYS),
                held->held, &held->model);
    drop_held(run, held);
    fr_crash_count(run->report, FR_CRASH_HELD, 1);
    return st;
}

/* ---- prefixes */

/* All ways must say the same. */
static fr_status read_all(struct fr_crash_run *run, struct fr_crash_reading *first)
{
    struct fr_crash_reading other = {0};
    fr_status st;

    FR_TRY(read_once(run, FR_CRASH_FORWARDS, NULL, first));
    for (int way = 1; way < FR_CRASH_WAYS; way++) {
        FR_TRY(read_once(run, (enum fr_crash_way)way, NULL, &other));
        for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
            if (first->seen[i] != other.seen[i])
                return fr_crash_run_find(run, "slot %zu reads otherwise in way %d", i, way);
    }
out:
    return st;
}

/* Which slots differ from the state that differs in the fewest, as a help to those who look. */
static fr_status describe_nearest(struct fr_crash_run *run, const struct fr_crash_reading *reading,
        size_t most, char *words, size_t room)
{
    struct fr_crash_model model = {0};
    size_t fewest = FR_CRASH_SLOTS + 1, size = 0;
    fr_status st = FR_OK;

    for (size_t n = 0; n <= most; n++) {
        struct fr_crash_changes changes = {0};
        if (n > 0) fr_crash_changes_make(run->subject, run->history.ids[n - 1], &changes);
        FR_TRY(fr_crash_model_apply(&model, changes.list, changes.count));
        size_t differ = 0;
        for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
            differ += reading->seen[i] != model.hashes[i];
        if (differ >= fewest) continue;
        fewest = differ;
        size = (size_t)snprintf(words, room, "nearest are %zu batches, without slots", n);
        for (size_t i = 0; i < FR_CRASH_SLOTS && size < room; i++)
            if (reading->seen[i] != model.hashes[i])
                size += (size_t)snprintf(words + size, room - size, " %zu%s", i,
                        reading->seen[i] == 0  ? " (gone)"
                        : model.hashes[i] == 0 ? " (too many)"
                                               : "");
    }
out:
    fr_crash_model_deinit(&model);
    return st;
}

static fr_status no_such_prefix(struct fr_crash_run *run, const struct fr_crash_reading *reading,
        size_t least, size_t most)
{
    uint64_t hash = fr_crash_reading_hash(reading);
    char words[400] = "";

    for (size_t n = 0; n < least; n++)
        if (run->history.hashes[n] == hash)
            return fr_crash_run_find(run, "only %zu batches of %zu that were acknowledged", n,
                    least);
    (void)!describe_nearest(run, reading, most, words, sizeof(words));
    return fr_crash_run_find(run, "no state after %zu to %zu batches is what is there; %s", least,
            most, words);
}

/* All that is known to have been tried, and one whose call has failed. */
static bool is_in_doubt(struct fr_crash_run *run, uint64_t hash, size_t most)
{
    struct fr_crash_history *h = &run->history;

    for (size_t i = 0; most == h->count && i < h->doubt_count; i++) {
        if (h->doubt_hashes[i] != hash) continue;
        h->ids[most] = h->doubt_ids[i];
        h->hashes[most + 1] = hash;
        h->progress[most + 1] = 0;
        return true;
    }
    return false;
}

/*
 * The longest prefix with that hash; of several, as batches may do nothing, one that the progress
 * allows. most + 1: none.
 */
static size_t last_match(const struct fr_crash_history *h, uint64_t hash, uint64_t progress,
        size_t least, size_t most)
{
    size_t match = most + 1;

    for (size_t n = most + 1; n-- > least;) {
        if (h->hashes[n] != hash) continue;
        if (progress >= h->progress[n]) return n;
        if (match > most) match = n;
    }
    return match;
}

fr_status fr_crash_run_find_prefix(struct fr_crash_run *run, size_t least, size_t most,
        size_t *ret_n)
{
    const struct fr_crash_history *h = &run->history;
    uint64_t progress = progress_of(run);
    struct fr_crash_reading reading = {0};

    fr_status st = read_all(run, &reading);
    if (st < 0) return run->lied ? st : fr_crash_run_settle(run, st);
    uint64_t hash = fr_crash_reading_hash(&reading);
    size_t n = last_match(h, hash, progress, least, most);
    if (n > most && is_in_doubt(run, hash, most))
        n = most + 1;
    else if (n > most)
        return no_such_prefix(run, &reading, least, most);
    if (progress < h->progress[n])
        return fr_crash_run_find(run, "progress %" PRIu64 " after %zu batches, was %" PRIu64,
                progress, n, h->progress[n]);
    *ret_n = n;
    return verify(run);
}
