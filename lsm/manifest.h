/*
 * manifest.h - the store's memory of its versions: replaying it, and adding to it.
 *
 * The manifest is a log of edits (lsm/edit_format.h); SUPER names the one that is current. Each
 * opening for writing begins a manifest of its own with all of the version that it has found, so
 * nothing is ever written behind a tail that a crash has left, and the manifest of a store does not
 * grow with its age. The same is done when a manifest has become long.
 *
 *     replay ----> version, counters            what an earlier opening has left
 *     begin  ----> new log, first edit synced, SUPER changed, old logs removed
 *     append ----> one edit, durable on return
 *
 * After a failure nothing is added to this manifest any more: its tail is unknowable.
 */
#ifndef FR_LSM_MANIFEST_H
#define FR_LSM_MANIFEST_H

#include "base/status.h"
#include "lsm/edit_format.h"
#include "lsm/super.h"
#include "lsm/version.h"

struct fr_dir;
struct fr_manifest;

/* What the edits of a manifest add up to. */
struct fr_manifest_state {
    struct fr_version *version; /* one reference; its tables and value files are not open */
    uint64_t next_file;
    fr_seq last_seq;
    struct fr_edit_log log;
    uint64_t edit_count;
};

/*
 * Read the manifest that SUPER names. With settle, what is read is made durable before. The caller
 * unrefs the version. FR_ERR_CORRUPT and the like, with file and place.
 */
FR_NODISCARD fr_status fr_manifest_replay(struct fr_dir *dir, const struct fr_super *super,
        struct fr_obsolete *obsolete, bool settle, struct fr_manifest_state *ret_state);

/* The same step by step, for who follows a manifest that is being written. */
struct fr_manifest_reader;

FR_NODISCARD fr_status fr_manifest_reader_open(struct fr_dir *dir, const struct fr_super *super,
        struct fr_obsolete *obsolete, struct fr_manifest_reader **ret_reader);

/*
 * Read all the edits that there are. A failure can mean that the manifest is no longer the current
 * one; then there is nothing left but closing.
 */
FR_NODISCARD fr_status fr_manifest_reader_advance(struct fr_manifest_reader *reader);

/* What the edits add up to; valid until the next call. The version is the reader's. */
const struct fr_manifest_state *fr_manifest_reader_state(const struct fr_manifest_reader *reader);

/* NULL is fine. */
void fr_manifest_reader_close(struct fr_manifest_reader *reader);

/*
 * Begin a manifest with an edit that holds everything, and make it the current one. With a NULL
 * super->manifest (0) there is no SUPER yet, and it is created. next_number as in wal/wal_writer.h.
 */
FR_NODISCARD fr_status fr_manifest_begin(struct fr_dir *dir, struct fr_super *super, fr_slice edit,
        uint64_t (*next_number)(void *ctx), void *ctx, struct fr_manifest **ret_manifest);

/* Add an edit; durable on return. One thread at a time. */
FR_NODISCARD fr_status fr_manifest_append(struct fr_manifest *manifest, fr_slice edit);

/* Whether it has become so long that a new one should be begun. */
bool fr_manifest_is_long(const struct fr_manifest *manifest);

/* Bytes appended to it. */
uint64_t fr_manifest_bytes(const struct fr_manifest *manifest);

void fr_manifest_close(struct fr_manifest *manifest);

#endif
