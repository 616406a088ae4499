/*
 * event.h - being told what a store does.
 *
 * Set the functions of interest in a struct fr_event_hooks and give it to fr_db_open in the
 * options. All but `open` are called by one thread of the store's own, one after the other, in the
 * order in which things happened, and without any lock of the library held. So a hook may call
 * anything of the store that it belongs to, even what waits for the job that it is told about,
 * except fr_db_close. It may take its time: nothing of the store waits for it. If it stays behind
 * by FR_EVENTS_WAITING_MAX events, further ones are dropped, and the next one tells how many were
 * (`dropped`; also the property "events.dropped"). fr_db_close delivers what is waiting, and
 * returns when the last hook has.
 *
 * A job is a flush or a compaction, and has a number. What is told of one job keeps its order:
 * begin, the files that it creates, end. Files that nobody needs any more are removed some time
 * after the job that replaced them.
 *
 *     static void on_flush_end(void *ctx, const struct fr_event_job *job)
 *     {
 *         printf("flushed %llu bytes\n", (unsigned long long)job->output_bytes);
 *     }
 *     ...
 *     struct fr_event_hooks hooks = {.size = sizeof(hooks), .flush_end = on_flush_end};
 *     options.hooks = &hooks;
 *
 * Later versions add members at the ends of these structs.
 */
#ifndef FRESHET_EVENT_H
#define FRESHET_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

/* What all of them begin with. Text and arrays are valid until the hook returns. */
struct fr_event {
    uint64_t time_us; /* of day, when it happened */
    uint64_t dropped; /* events that were lost since the one before */
};

/* A flush or a compaction. At begin, what the end alone can know is 0. */
struct fr_event_job {
    struct fr_event event;
    uint64_t job;
    const char *reason; /* "flush"; "level0", "size", "density", "range", "garbage", or "covered":
                           range deletes cover the inputs, which are dropped unread */
    unsigned level;     /* compactions: that it takes tables from, and puts them in */
    unsigned output_level;
    size_t input_count;     /* tables, or memtables */
    const uint64_t *inputs; /* numbers of tables; NULL for a flush */
    uint64_t input_bytes;
    size_t output_count; /* tables and value files */
    uint64_t output_bytes;
    uint64_t duration_us;
    bool moved;       /* the tables went down as they are, nothing was written */
    fr_status status; /* at the end */
};

enum fr_event_file_kind { FR_EVENT_FILE_TABLE = 0, FR_EVENT_FILE_VALUES = 1 };

struct fr_event_file {
    struct fr_event event;
    enum fr_event_file_kind kind;
    uint64_t number; /* in its name */
    uint64_t job;    /* that created it; 0 when it is removed */
    uint64_t bytes;  /* 0 when it is removed */
    unsigned level;  /* tables that are created */
};

/* Why writers wait. */
enum fr_event_stall_reason {
    FR_STALL_NONE = 0,      /* they do not */
    FR_STALL_MEMTABLES = 1, /* as many memtables as may be are waiting for their flush */
    FR_STALL_PACE = 2,      /* flush or compaction falls behind: writes go at its speed */
    FR_STALL_REASONS = 3    /* how many there are */
};

/* The state changed. It ends when a writer finds that it need not wait any more. */
struct fr_event_stall {
    struct fr_event event;
    enum fr_event_stall_reason before;
    enum fr_event_stall_reason now;
    uint64_t duration_us; /* of the state before */
};

/* A job or the log has failed; writing has stopped until the store is opened again. Once. */
struct fr_event_error {
    struct fr_event event;
    fr_status status;
    int os_error;
    const char *text;
};

/* What does not go on for a reason that may pass. Nothing is lost by it, and reads go on. */
enum fr_event_trouble_kind {
    FR_TROUBLE_FLUSH = 0, /* it is tried again until it succeeds; so is the next one */
    FR_TROUBLE_COMPACTION = 1,
    FR_TROUBLE_SPACE = 2 /* free space is down to the reserve: only deletes are taken */
};

/*
 * It begins, or it has passed: an attempt has succeeded, nothing is left to be tried, or a write
 * has found space again. What does not pass ends with background_error instead.
 */
struct fr_event_trouble {
    struct fr_event event;
    enum fr_event_trouble_kind kind;
    bool over;
    fr_status status; /* of the failure, the latest one if it is over */
    int os_error;
    const char *text;
    uint64_t failures;    /* attempts that have failed since it began; 0 for space */
    uint64_t duration_us; /* since it began */
};

/* A copy of the store is being made (done is false), or has been. */
struct fr_event_checkpoint {
    struct fr_event event;
    const char *path;
    bool done;
    fr_status status;
    uint64_t duration_us;
};

/* Making the log durable has taken slow_sync_us or more. */
struct fr_event_slow_sync {
    struct fr_event event;
    uint64_t duration_us;
};

/* How far fr_db_open has come. */
enum fr_event_open_phase {
    FR_OPEN_MANIFEST = 0, /* which files there must be */
    FR_OPEN_FILES = 1,    /* done of total are open */
    FR_OPEN_LOG = 2,      /* done bytes of it are replayed; how many there are is not known: 0 */
    FR_OPEN_DONE = 3
};

struct fr_event_open {
    struct fr_event event;
    enum fr_event_open_phase phase;
    uint64_t done;
    uint64_t total;
};

/* The store is being read and checked in the background (scrub_interval): it begins, or has ended.
 */
struct fr_event_scrub {
    struct fr_event event;
    bool done;
    fr_status status;  /* if it is done; FR_ERR_CANCELLED: the store is being closed */
    uint64_t findings; /* 0: all is well */
    uint64_t bytes;    /* that were read */
    uint64_t duration_us;
};

/* Something that it has found. The library goes on as if it had not: see docs/operations.md. */
struct fr_event_finding {
    struct fr_event event;
    fr_status status;
    const char *file; /* its name in the store; "" if it is about several */
    uint64_t offset;
    const char *text;
};

/* Events that may wait for a slow hook. */
#define FR_EVENTS_WAITING_MAX 4096

/* Any of the functions may be NULL. The struct is copied by fr_db_open; ctx must stay. */
struct fr_event_hooks {
    size_t size; /* sizeof(struct fr_event_hooks) */
    void *ctx;   /* handed to each */

    void (*flush_begin)(void *ctx, const struct fr_event_job *job);
    void (*flush_end)(void *ctx, const struct fr_event_job *job);
    void (*compaction_begin)(void *ctx, const struct fr_event_job *job);
    void (*compaction_end)(void *ctx, const struct fr_event_job *job);
    void (*file_created)(void *ctx, const struct fr_event_file *file);
    void (*file_removed)(void *ctx, const struct fr_event_file *file);
    void (*stall)(void *ctx, const struct fr_event_stall *stall);
    void (*background_error)(void *ctx, const struct fr_event_error *error);
    void (*checkpoint)(void *ctx, const struct fr_event_checkpoint *checkpoint);
    void (*slow_sync)(void *ctx, const struct fr_event_slow_sync *sync);

    /* By the thread that is inside fr_db_open, before there is a store to call. Many times. */
    void (*open)(void *ctx, const struct fr_event_open *open);

    uint64_t slow_sync_us; /* from when a sync is slow; 0: 100 ms */

    void (*trouble)(void *ctx, const struct fr_event_trouble *trouble);
    void (*scrub)(void *ctx, const struct fr_event_scrub *scrub);
    void (*finding)(void *ctx, const struct fr_event_finding *finding);
};

FR_END_DECLS

#endif
