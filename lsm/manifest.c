#include "lsm/manifest.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/museum.h"
#include "base/rng.h"
#include "io/dir.h"
#include "wal/wal_reader.h"
#include "wal/wal_writer.h"

/*
 * A thousand edits. A version of many tables makes a new segment by itself. Each opening writes one
 * in advance, which is a good part of what opening a small store costs.
 */
#define SEGMENT_SIZE ((uint64_t)256 << 10)

/* Beyond this a new manifest is begun: replaying stays short. */
#define LONG_BYTES ((uint64_t)4 << 20)

struct fr_manifest {
    struct fr_wal_writer *log;
    uint64_t bytes;
};

/* The edit that is being read, and where it leads to. */
struct replay {
    struct fr_obsolete *obsolete;
    struct fr_manifest_state *state;
    struct fr_version_change change; /* what it adds is ours: a reference each */
};

static fr_status on_reset(void *ctx)
{
    struct replay *replay = ctx;
    struct fr_version *empty;

    fr_status st = fr_version_new(&empty);
    if (st < 0) return st;
    fr_version_unref(replay->state->version);
    replay->state->version = empty;
    return FR_OK;
}

static fr_status on_next_file(void *ctx, uint64_t next_file)
{
    struct replay *replay = ctx;

    replay->state->next_file = FR_MAX(replay->state->next_file, next_file);
    return FR_OK;
}

static fr_status on_last_seq(void *ctx, fr_seq last_seq)
{
    struct replay *replay = ctx;

    if (last_seq > FR_SEQ_MAX)
        return FR_FAIL(FR_ERR_CORRUPT, "sequence number %" PRIu64 " is too large", last_seq);
    replay->state->last_seq = FR_MAX(replay->state->last_seq, last_seq);
    return FR_OK;
}

static fr_status on_log(void *ctx, const struct fr_edit_log *log)
{
    struct replay *replay = ctx;

    replay->state->log = *log;
    return FR_OK;
}

/* A table that the same edit drops from another level: it is moved, not made again. */
static fr_status on_add_table(void *ctx, unsigned level, const struct fr_edit_table *meta)
{
    struct replay *replay = ctx;
    struct fr_version_table *table;

    fr_status st = fr_version_table_new(replay->obsolete, meta, NULL, NULL, NULL, &table);
    if (st < 0) return st;
    st = fr_version_change_add_table(&replay->change, level, table);
    if (st < 0) fr_version_table_unref(table);
    return st;
}

static fr_status on_drop_table(void *ctx, unsigned level, uint64_t number)
{
    struct replay *replay = ctx;

    return fr_version_change_drop_table(&replay->change, level, number);
}

static fr_status on_add_values(void *ctx, const struct fr_edit_values *meta)
{
    struct replay *replay = ctx;
    struct fr_version_values *values;

    fr_status st = fr_version_values_new(replay->obsolete, meta, NULL, NULL, &values);
    if (st < 0) return st;
    st = fr_version_change_add_values(&replay->change, values);
    if (st < 0) fr_version_values_unref(values);
    return st;
}

static fr_status on_drop_values(void *ctx, uint64_t number)
{
    struct replay *replay = ctx;

    return fr_version_change_drop_values(&replay->change, number);
}

static const struct fr_edit_visitor replay_visitor = {
        .reset = on_reset,
        .next_file = on_next_file,
        .last_seq = on_last_seq,
        .log = on_log,
        .add_table = on_add_table,
        .drop_table = on_drop_table,
        .add_values = on_add_values,
        .drop_values = on_drop_values,
};

static void forget_edit(struct replay *replay)
{
    fr_version_change_unref_added(&replay->change);
    fr_version_change_deinit(&replay->change);
}

static fr_status replay_edit(struct replay *replay, fr_slice edit)
{
    struct fr_version *next = NULL;
    fr_status st;

    FR_TRY(fr_edit_read(edit, &replay_visitor, replay));
    FR_TRY(fr_version_apply(replay->state->version, &replay->change, &next));
    fr_version_unref(replay->state->version);
    replay->state->version = FR_TAKE(next);
    replay->state->edit_count++;
out:
    forget_edit(replay);
    return st;
}

/* Put the place in front of words that do not have it. */
static fr_status fail_at(const struct fr_dir *dir, fr_lsn lsn, fr_status status)
{
    struct fr_error error;

    fr_error_save(&error);
    return FR_FAIL(status, "%s: the manifest's edit at lsn %" PRIu64 ": %.300s", fr_dir_path(dir),
            lsn, error.text);
}

struct fr_manifest_reader {
    struct fr_dir *dir;
    struct fr_obsolete *obsolete;
    struct fr_super super;
    struct fr_manifest_state state;
    struct fr_wal_reader *log;
    bool begun; /* the log has been read to its end once */
};

static fr_status open_reader(struct fr_dir *dir, const struct fr_super *super,
        struct fr_obsolete *obsolete, unsigned flags, struct fr_manifest_reader **ret_reader)
{
    struct fr_manifest_reader *r = FR_NEW(struct fr_manifest_reader);
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_MANIFEST,
            .flags = flags,
            .start = super->manifest_lsn,
            .durable =
                    super->manifest_lsn + 1, /* the first edit, at least, before SUPER named it */
            .number = super->manifest};
    fr_status st;

    if (r == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read a manifest");
    r->dir = dir;
    r->obsolete = obsolete;
    r->super = *super;
    r->state.next_file = super->manifest + 1;
    memcpy(options.store, super->store, FR_STORE_ID_SIZE);
    FR_TRY(fr_version_new(&r->state.version));
    FR_TRY(fr_wal_reader_open(dir, &options, &r->log));
    *ret_reader = FR_TAKE(r);
out:
    fr_manifest_reader_close(r);
    return st;
}

fr_status fr_manifest_reader_open(struct fr_dir *dir, const struct fr_super *super,
        struct fr_obsolete *obsolete, struct fr_manifest_reader **ret_reader)
{
    return open_reader(dir, super, obsolete, 0, ret_reader);
}

fr_status fr_manifest_reader_advance(struct fr_manifest_reader *r)
{
    struct replay replay = {.obsolete = r->obsolete, .state = &r->state};
    fr_slice edit;
    uint64_t tag;
    fr_lsn lsn;
    fr_status st;

    if (r->begun) FR_TRY(fr_wal_reader_resume(r->log));
    while ((st = fr_wal_reader_next(r->log, &edit, &tag, &lsn)) == FR_OK) {
        st = replay_edit(&replay, edit);
        if (st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW) st = fail_at(r->dir, lsn, st);
        if (st < 0) goto out;
    }
    if (st < 0) goto out;
    r->begun = true;
    if (r->state.edit_count == 0) {
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: the manifest at lsn %" PRIu64 " is empty",
                fr_dir_path(r->dir), r->super.manifest_lsn);
        goto out;
    }
    st = FR_OK;
out:
    return st;
}

const struct fr_manifest_state *fr_manifest_reader_state(const struct fr_manifest_reader *r)
{
    return &r->state;
}

void fr_manifest_reader_close(struct fr_manifest_reader *r)
{
    if (r == NULL) return;
    fr_wal_reader_close(r->log);
    fr_version_unref(r->state.version);
    fr_free(r);
}

fr_status fr_manifest_replay(struct fr_dir *dir, const struct fr_super *super,
        struct fr_obsolete *obsolete, bool settle, struct fr_manifest_state *ret_state)
{
    struct fr_manifest_reader *reader = NULL;
    fr_status st;

    FR_TRY(open_reader(dir, super, obsolete, settle ? FR_WAL_READ_SETTLE : 0, &reader));
    FR_ASSERT(reader != NULL);
    FR_TRY(fr_manifest_reader_advance(reader));
    *ret_state = reader->state;
    reader->state.version = NULL;
out:
    fr_manifest_reader_close(reader);
    return st;
}

fr_status fr_manifest_append(struct fr_manifest *manifest, fr_slice edit)
{
    fr_lsn end, durable;
    fr_status st;

    FR_TRY(fr_wal_writer_append(manifest->log, &edit, 1, 0, FR_WAL_OS, &end));
    /* museum 1: the first manifest without a sync */
    if (!FR_MUSEUM(1) || manifest->bytes > 0) FR_TRY(fr_wal_writer_sync(manifest->log, &durable));
    manifest->bytes += edit.size;
out:
    return st;
}

fr_status fr_manifest_begin(struct fr_dir *dir, struct fr_super *super, fr_slice edit,
        uint64_t (*next_number)(void *ctx), void *ctx, struct fr_manifest **ret_manifest)
{
    struct fr_manifest *manifest = FR_NEW(struct fr_manifest);
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_MANIFEST,
            .epoch = fr_rng_entropy() | 1,
            .next_number = next_number,
            .next_number_ctx = ctx,
            .segment_size = SEGMENT_SIZE,
            .no_shared_mapping = true};
    struct fr_super next = *super;
    fr_status st;

    if (manifest == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a manifest");
    memcpy(options.store, super->store, FR_STORE_ID_SIZE);
    /* Behind all that earlier manifests can have had, so that their segments are no part of this.
     */
    options.start = super->manifest_lsn + ((fr_lsn)1 << 40);
    FR_TRY(fr_wal_writer_open(dir, &options, &manifest->log));
    next.manifest = fr_wal_writer_first_number(manifest->log);
    next.manifest_lsn = fr_wal_writer_start(manifest->log);
    FR_TRY(fr_manifest_append(manifest, edit));
    /* museum 3: the old manifest removed before the superblock names the new one */
    if (FR_MUSEUM(3)) (void)!fr_wal_remove_before(dir, FR_WAL_KIND_MANIFEST, next.manifest);
    FR_TRY(super->manifest == 0 ? fr_super_create(dir, &next) : fr_super_change(dir, &next));
    *super = next;
    /* One that stays behind is passed over, and removed with the next. */
    if (fr_wal_remove_before(dir, FR_WAL_KIND_MANIFEST, next.manifest) < 0)
        fr_log(FR_LOG_WARN, "lsm", "%s", fr_last_error());
    st = FR_OK;
    *ret_manifest = FR_TAKE(manifest);
out:
    /* museum 25: a full disk that costs the current manifest */
    if (FR_MUSEUM(25) && st == FR_ERR_NOSPACE)
        (void)!fr_wal_remove_before(dir, FR_WAL_KIND_MANIFEST, UINT64_MAX);
    fr_manifest_close(manifest);
    return st;
}

bool fr_manifest_is_long(const struct fr_manifest *manifest)
{
    return manifest->bytes > LONG_BYTES;
}

uint64_t fr_manifest_bytes(const struct fr_manifest *manifest)
{
    return manifest->bytes;
}

void fr_manifest_close(struct fr_manifest *manifest)
{
    if (manifest == NULL) return;
    fr_wal_writer_close(manifest->log);
    fr_free(manifest);
}
