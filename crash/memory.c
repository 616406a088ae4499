#define FR_ALLOW_MALLOC
#include "crash/memory.h"

#include <stdatomic.h>

#include "base/alloc.h"

/* Allocations until the one that fails; below 1: it is now, or has been; INT64_MAX: none. */
static _Atomic(int64_t) countdown = INT64_MAX;
static _Atomic(bool) for_ever, was_hit;
static _Thread_local bool let_off;

static bool must_fail(void)
{
    if (let_off || atomic_load(&countdown) == INT64_MAX) return false;
    int64_t left = atomic_fetch_sub(&countdown, 1) - 1;
    if (left > 0 || (left < 0 && !atomic_load(&for_ever))) return false;
    atomic_store(&was_hit, true);
    return true;
}

static void *allocate(void *ctx, size_t size, size_t alignment)
{
    (void)ctx;
    if (must_fail()) return NULL;
    return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void release(void *ctx, void *memory, size_t size, size_t alignment)
{
    (void)ctx;
    (void)size;
    (void)alignment;
    free(memory);
}

fr_status fr_crash_memory_install(void)
{
    static const struct fr_allocator counting = {
            .size = sizeof(counting), .allocate = allocate, .release = release};

    return fr_set_allocator(&counting);
}

void fr_crash_memory_fail_at(uint64_t n, bool forever)
{
    atomic_store(&for_ever, forever);
    atomic_store(&was_hit, false);
    atomic_store(&countdown, (int64_t)n);
}

bool fr_crash_memory_stop(void)
{
    atomic_store(&countdown, INT64_MAX);
    return atomic_load(&was_hit);
}

/* ---- a subject that is not let off */

static const struct fr_crash_subject *inner;

static fr_status done(fr_status st)
{
    let_off = true;
    return st;
}

static fr_status starved_open(struct fr_env *env, const char *path, unsigned config,
        enum fr_crash_mode mode, void **ret_store)
{
    let_off = false;
    return done(inner->open(env, path, config, mode, ret_store));
}

static fr_status starved_close(void *store)
{
    let_off = false;
    return done(inner->close(store));
}

static fr_status starved_write(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    let_off = false;
    return done(inner->write(store, changes, count, sync));
}

static fr_status starved_act(void *store, enum fr_crash_act act, size_t slot, size_t end)
{
    let_off = false;
    return done(inner->act(store, act, slot, end));
}

static fr_status starved_tend(void *store)
{
    let_off = false;
    return done(inner->tend(store));
}

static fr_status starved_read(void *store, enum fr_crash_way way, struct fr_crash_reading *reading)
{
    let_off = false;
    return done(inner->read(store, way, reading));
}

static fr_status starved_hold(void *store, enum fr_crash_hold kind, void **ret_held)
{
    let_off = false;
    return done(inner->hold(store, kind, ret_held));
}

static fr_status starved_read_held(void *store, void *held, enum fr_crash_way way,
        struct fr_crash_reading *reading)
{
    let_off = false;
    return done(inner->read_held(store, held, way, reading));
}

static fr_status starved_checkpoint(void *store, const char *path)
{
    let_off = false;
    return done(inner->checkpoint(store, path));
}

static fr_status starved_prebuild(struct fr_env *env, const char *path,
        const struct fr_crash_change *changes, size_t count)
{
    let_off = false;
    return done(inner->prebuild(env, path, changes, count));
}

static fr_status starved_ingest(void *store, const char *const *paths, size_t count, bool move)
{
    let_off = false;
    return done(inner->ingest(store, paths, count, move));
}

const struct fr_crash_subject *fr_crash_memory_starve(const struct fr_crash_subject *subject)
{
    static struct fr_crash_subject starved;

    inner = subject;
    let_off = true;
    starved = *subject;
    starved.open = starved_open;
    starved.close = starved_close;
    starved.write = starved_write;
    starved.act = starved_act;
    starved.read = starved_read;
    if (subject->tend != NULL) starved.tend = starved_tend;
    if (subject->hold != NULL) starved.hold = starved_hold;
    if (subject->hold != NULL) starved.read_held = starved_read_held;
    if (subject->checkpoint != NULL) starved.checkpoint = starved_checkpoint;
    if (subject->prebuild != NULL) starved.prebuild = starved_prebuild;
    if (subject->ingest != NULL) starved.ingest = starved_ingest;
    return &starved;
}
