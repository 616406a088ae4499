/*
 * events.h - handing what happens to the host's hooks (freshet/event.h), on a thread of its own.
 *
 * Whoever has something to tell copies it to the end of a queue, also while he holds the engine's
 * lock; the thread takes it from there and calls the hook with no lock at all. So a hook can call
 * whatever it likes, and nobody waits for a slow one: the queue has an end, and what does not fit
 * is counted.
 *
 * All functions accept NULL for events, which is a store without hooks.
 */
#ifndef FR_LSM_EVENTS_H
#define FR_LSM_EVENTS_H

#include "base/status.h"
#include "freshet/event.h"

struct fr_env;
struct fr_events;

/*
 * NULL hooks: *ret_events is NULL. The hooks are copied. Nothing is delivered before
 * fr_events_start. FR_ERR_MISUSE: the size of the hooks is not theirs. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_events_open(struct fr_env *env, const struct fr_event_hooks *hooks,
        struct fr_events **ret_events);

/* Deliver from now on, what is waiting first. What the caller wrote before is seen by the hooks. */
void fr_events_start(struct fr_events *events);

/* Deliver what is waiting if it was started, and free it all. Not from inside a hook. */
void fr_events_close(struct fr_events *events);

/* Events that did not fit. */
uint64_t fr_events_dropped(struct fr_events *events);

/*
 * Queue an event; the caller leaves its `event` zeroed. Arrays and text are copied. Any thread,
 * under any lock of a lower rank.
 */
enum fr_events_job_kind {
    FR_EVENTS_FLUSH_BEGIN,
    FR_EVENTS_FLUSH_END,
    FR_EVENTS_COMPACTION_BEGIN,
    FR_EVENTS_COMPACTION_END
};
void fr_events_job(struct fr_events *events, enum fr_events_job_kind kind,
        const struct fr_event_job *job);
void fr_events_file(struct fr_events *events, bool created, const struct fr_event_file *file);
void fr_events_stall(struct fr_events *events, const struct fr_event_stall *stall);
void fr_events_error(struct fr_events *events, const struct fr_event_error *error);
void fr_events_trouble(struct fr_events *events, const struct fr_event_trouble *trouble);
void fr_events_checkpoint(struct fr_events *events, const struct fr_event_checkpoint *checkpoint);

void fr_events_scrub(struct fr_events *events, const struct fr_event_scrub *scrub);
void fr_events_finding(struct fr_events *events, const struct fr_event_finding *finding);

/* Queued if it has taken that long. */
void fr_events_sync(struct fr_events *events, uint64_t duration_us);

/* Not queued: the hook is called at once, by the thread that opens the store and holds no lock. */
void fr_events_open_progress(struct fr_events *events, enum fr_event_open_phase phase,
        uint64_t done, uint64_t total);

#endif
