/*
 * engine_install.c - how a change becomes the store: an edit, durable; then a version, published.
 *
 * The order is the promise: files and their names are durable before the edit names them; the edit
 * is durable before a reader can see the version; the log is released, and files are removed, only
 * after.
 *
 * A value file to which nothing points any more is dropped by the very edit that took its last
 * pointer.
 *
 * A change that fails on its way may be durable all the same, whole or torn. The manifest is closed
 * then, and nothing is ever added behind that end. Before any other change a new manifest is begun
 * with the version in memory, as an opening does, unless it was a sync that failed; once SUPER
 * names it, what the old one holds is of no importance, and the files of the failed change go.
 * Until then they stay, and so does the log.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/log.h"
#include "base/museum.h"
#include "io/dir.h"
#include "lsm/engine_priv.h"

/*
 * Numbers that may be handed out between two edits: a job's tables and value files, and the
 * segments of the log that fill meanwhile, many times over. An opening takes the highest number
 * that it finds in the directory into account besides.
 */
#define NUMBERS_AHEAD 256

/* A value file that the same change adds: it cannot be dropped by it, only by the next one. */
static bool adds_values(const struct fr_version_change *change, uint64_t number)
{
    for (size_t i = 0; i < change->add_values_count; i++)
        if (change->add_values[i]->meta.number == number) return true;
    return false;
}

static fr_status drop_dead_values(const struct fr_version *version,
        struct fr_version_change *change, bool *ret_any)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < version->values_count; i++) {
        uint64_t number = version->values[i]->meta.number;
        if (version->values_live[i] > 0 || adds_values(change, number)) continue;
        FR_TRY(fr_version_change_drop_values(change, number));
        *ret_any = true;
    }
out:
    return st;
}

static fr_status next_version(const struct fr_version *base, struct fr_version_change *change,
        struct fr_version **ret_version)
{
    struct fr_version *version = NULL;
    bool any = false;
    fr_status st;

    FR_TRY(fr_version_apply(base, change, &version));
    FR_TRY(drop_dead_values(version, change, &any));
    if (any) {
        fr_version_unref(FR_TAKE(version));
        FR_TRY(fr_version_apply(base, change, &version));
    }
    *ret_version = FR_TAKE(version);
out:
    fr_version_unref(version);
    return st;
}

/* No entry is above: an ingest's tables are ahead of what is published until it has its version. */
static fr_seq seq_bound(const struct fr_engine *engine, const struct fr_version *version)
{
    fr_seq seq = fr_engine_last_seq(engine);

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            seq = FR_MAX(seq, version->levels[level].tables[i]->meta.largest_seq);
    return seq;
}

static void put_counters(struct fr_engine *engine, const struct fr_version *version,
        struct fr_buf *edit, const struct fr_edit_log *log_from)
{
    fr_edit_put_next_file(edit,
            atomic_load_explicit(&engine->next_number, memory_order_relaxed) +
                    (FR_MUSEUM(32) ? 0 : NUMBERS_AHEAD)); /* museum 32: file numbers used again
                                                             after a crash */
    fr_edit_put_last_seq(edit, seq_bound(engine, version));
    if (log_from == NULL) return;
    struct fr_edit_log log = *log_from;
    if (engine->log != NULL) log.durable = fr_wal_writer_durable(engine->log);
    fr_edit_put_log(edit, &log);
}

/* After this thread's failure: what the manifest holds, or which one is current, is unknown. */
static void lose_manifest(struct fr_engine *engine) FR_REQUIRES(engine->manifest_mu)
{
    struct fr_error error;

    /* museum 13: a manifest appended to after its sync has failed */
    if (FR_MUSEUM(13)) return;
    fr_error_save(&error);
    if (!fr_failure_is_passing(&error)) engine->manifest_failed = true;
    fr_manifest_close(FR_TAKE(engine->manifest));
}

fr_status fr_engine_begin_manifest(struct fr_engine *engine, const struct fr_version *version)
{
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_manifest *next;
    fr_status st;

    fr_version_encode(version, &edit);
    put_counters(engine, version, &edit, &engine->log_from);
    FR_TRY(fr_buf_status(&edit));
    FR_TRY(fr_manifest_begin(engine->dir, &engine->super, fr_buf_slice(&edit),
            fr_engine_next_number, engine, &next));
    fr_manifest_close(engine->manifest);
    engine->manifest = next;
out:
    /* SUPER may name the new one all the same; an edit in the old one could be lost with it. */
    if (st < 0) lose_manifest(engine);
    fr_buf_deinit(&edit);
    return st;
}

/* The sealed memtable that a flush has written. */
static struct fr_memtable *take_flushed_locked(struct fr_engine *engine) FR_REQUIRES(engine->mu)
{
    struct fr_memtable *flushed = engine->sealed[0].memtable;

    FR_ASSERT(engine->sealed_count > 0);
    engine->sealed_count--;
    memmove(&engine->sealed[0], &engine->sealed[1],
            engine->sealed_count * sizeof(engine->sealed[0]));
    engine->debt.flushing_bytes = 0;
    return flushed;
}

/* The active memtable makes room for a fresh one; answers it if it was empty and is nobody's now.
 */
static struct fr_memtable *swap_active_locked(struct fr_engine *engine, struct fr_memtable **fresh)
        FR_REQUIRES(engine->mu)
{
    struct fr_memtable *before = engine->active;
    struct fr_memtable_stats stats;

    engine->active = FR_TAKE(*fresh);
    engine->arrivals++;
    fr_memtable_stats_get(before, &stats);
    if (stats.entry_count + stats.range_count == 0) return before;
    FR_ASSERT(engine->sealed_count < FR_SEALED_MAX);
    engine->sealed[engine->sealed_count++] =
            (struct fr_sealed){.memtable = before, .log_end = fr_wal_writer_end(engine->log)};
    return NULL;
}

/* The edit is durable: nothing here can fail. */
static void publish(struct fr_engine *engine, const struct fr_version *base,
        const struct fr_version_change *change, struct fr_version *version, bool flush,
        struct fr_memtable **fresh, struct fr_view *view)
{
    struct fr_memtable *flushed = NULL, *empty = NULL;

    fr_mutex_lock(&engine->mu);
    if (fresh != NULL) empty = swap_active_locked(engine, fresh);
    if (flush) flushed = take_flushed_locked(engine);
    fr_engine_fill_view_locked(engine, version, view);
    fr_version_mark_dropped(base, change);
    engine->compaction_rests = false; /* it has not looked at this version */
    fr_cond_broadcast(&engine->progress);
    fr_cond_broadcast(&engine->work);
    fr_mutex_unlock(&engine->mu);
    if (flushed != NULL) fr_memtable_unref(flushed);
    if (empty != NULL) fr_memtable_unref(empty);
}

/* Only who holds the lock changes the version; so it is the one to build on. */
static struct fr_version *current_version(struct fr_engine *engine)
{
    struct fr_view *view = fr_engine_view(engine);
    struct fr_version *version = fr_version_ref(view->version);

    fr_view_unref(view);
    return version;
}

/* What the old manifest may have named is garbage. */
static void drop_doubtful(struct fr_engine *engine) FR_REQUIRES(engine->manifest_mu)
{
    struct fr_output doubtful = {.change = engine->doubtful};

    engine->doubtful = (struct fr_version_change){0};
    fr_output_deinit(&doubtful, false);
}

static fr_status repair_locked(struct fr_engine *engine) FR_REQUIRES(engine->manifest_mu)
{
    if (FR_LIKELY(engine->manifest != NULL)) return FR_OK;
    if (engine->manifest_failed)
        return FR_FAIL(FR_ERR_POISONED, "%s: a change of the manifest has failed before",
                fr_dir_path(engine->dir));
    struct fr_version *version = current_version(engine);
    fr_status st = fr_engine_begin_manifest(engine, version);
    fr_version_unref(version);
    if (st == FR_OK) drop_doubtful(engine);
    return st;
}

/* Into the manifest, or into a new one. After a failure there is none. */
static fr_status put_edit(struct fr_engine *engine, struct fr_version *version, fr_slice edit)
        FR_REQUIRES(engine->manifest_mu)
{
    if (fr_manifest_is_long(engine->manifest)) return fr_engine_begin_manifest(engine, version);
    fr_status st = fr_manifest_append(engine->manifest, edit);
    if (st < 0) lose_manifest(engine);
    return st;
}

fr_status fr_engine_install_locked(struct fr_engine *engine, struct fr_version_change *change,
        const fr_lsn *log_end, struct fr_memtable **fresh)
{
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_version *base = current_version(engine), *version = NULL;
    struct fr_edit_log log_from = engine->log_from;
    struct fr_view *view = NULL;
    fr_status st;

    FR_TRY(repair_locked(engine));
    FR_TRY(next_version(base, change, &version));
    FR_TRY(fr_view_new(&view));
    fr_version_change_encode(change, &edit);
    if (log_end != NULL)
        engine->log_from = (struct fr_edit_log){
                .start = *log_end, .number = fr_wal_writer_number_at(engine->log, *log_end)};
    /* museum 36: a summary newer than what it sums up */
    if (log_end != NULL && FR_MUSEUM(36)) engine->log_from.start = fr_wal_writer_end(engine->log);
    put_counters(engine, version, &edit, log_end == NULL ? NULL : &engine->log_from);
    FR_TRY(fr_buf_status(&edit));
    FR_TRY(put_edit(engine, version, fr_buf_slice(&edit)));
    publish(engine, base, change, version, log_end != NULL, fresh, FR_TAKE(view));
out:
    fr_free(view);
    if (st < 0) engine->log_from = log_from;
    fr_version_unref(version);
    fr_version_unref(base);
    fr_buf_deinit(&edit);
    return st;
}

fr_status fr_engine_tell_log(struct fr_engine *engine)
{
    struct fr_version *version = current_version(engine);
    struct fr_buf edit = FR_BUF_EMPTY;
    fr_status st;

    FR_TRY(repair_locked(engine));
    put_counters(engine, version, &edit, &engine->log_from);
    FR_TRY(fr_buf_status(&edit));
    st = fr_manifest_append(engine->manifest, fr_buf_slice(&edit));
    if (st < 0) lose_manifest(engine);
out:
    fr_version_unref(version);
    fr_buf_deinit(&edit);
    return st;
}

fr_status fr_engine_install(struct fr_engine *engine, struct fr_version_change *change,
        const fr_lsn *log_end)
{
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_OTHER);

    fr_mutex_lock(&engine->manifest_mu);
    fr_status st = fr_engine_install_locked(engine, change, log_end, NULL);
    fr_mutex_unlock(&engine->manifest_mu);
    fr_engine_work_done(before);
    return st;
}

fr_status fr_engine_repair_manifest(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->manifest_mu);
    fr_status st = repair_locked(engine);
    fr_mutex_unlock(&engine->manifest_mu);
    return st;
}

/* Keep what it adds for the next manifest to drop. For want of memory the next opening does. */
static void add_doubtful(struct fr_engine *engine, const struct fr_version_change *change)
        FR_REQUIRES(engine->manifest_mu)
{
    for (size_t i = 0; i < change->add_table_count; i++) {
        struct fr_version_table *table = change->add_tables[i].table;
        if (fr_version_change_add_table(&engine->doubtful, 0, table) == FR_OK)
            fr_version_table_ref(table);
    }
    for (size_t i = 0; i < change->add_values_count; i++)
        if (fr_version_change_add_values(&engine->doubtful, change->add_values[i]) == FR_OK)
            fr_version_values_ref(change->add_values[i]);
}

void fr_engine_abandon(struct fr_engine *engine, struct fr_output *output)
{
    fr_mutex_lock(&engine->manifest_mu);
    bool named = engine->manifest == NULL;
    if (named) add_doubtful(engine, &output->change);
    fr_output_deinit(output, named);
    fr_mutex_unlock(&engine->manifest_mu);
}

void fr_engine_remove_obsolete(struct fr_engine *engine)
{
    struct fr_obsolete_file file;
    char name[FR_FILE_NAME_SIZE];

    /* Who comes second goes on when they are gone: he may be here to see the space that is free. */
    fr_mutex_lock(&engine->removal_mu);
    while (fr_obsolete_take(&engine->obsolete, &file)) {
        fr_cache_erase_file(engine->cache, file.number);
        fr_file_name_format(file.kind, file.number, name);
        /* What stays behind is an orphan, which the next opening removes. */
        if (fr_dir_unlink(engine->dir, name) < 0)
            fr_log(FR_LOG_WARN, "lsm", "%s", fr_last_error());
        else
            fr_engine_file_removed(engine, file.kind, file.number);
    }
    fr_mutex_unlock(&engine->removal_mu);
}
