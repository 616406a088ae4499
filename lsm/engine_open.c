/*
 * engine_open.c - the opening sequence, and closing.
 *
 *     lock        nobody else has the store
 *     SUPER       whose store this is, and where its manifest begins; a new store has none yet
 *     manifest    the version: which tables and value files there must be
 *     files       each one is there and of this store; what no version has is removed
 *     log         what had not reached a table, into a memtable
 *     log         a first segment of our own, durable
 *     manifest    one of our own, with all of that version
 *     threads
 *
 * A new store has its manifest and SUPER before its log, so that no log is ever without a SUPER; an
 * edit says then which segment is the first, so that its loss is noticed.
 * In an old one the log comes first: the manifest can only name a start that is there.
 *
 * Nothing is changed before everything was found to be whole, but that orphans are removed. What
 * was read of manifest and log has been made durable first, so nobody is shown what a power loss
 * could still take away.
 *
 * All of this is for a store that is written. One that is only read is opened by
 * lsm/engine_follow.c, which changes nothing, and shows what a power loss could take away.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "base/museum.h"
#include "base/rng.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "lsm/events.h"
#include "lsm/table.h"
#include "lsm/value_file.h"
#include "wal/file_name.h"
#include "wal/wal_reader.h"

#define MIB ((size_t)1 << 20)

/* A sleep takes 60 at least, and often twice that. */
#define SPIN_US_MAX 150

/* Of a memtable: so the last one is at most that part of it too much. */
#define POOL_CHUNKS 8

/* Of the log that are replayed between two calls of the hook. */
#define PROGRESS_BYTES MIB

struct fr_engine_options fr_engine_options_default(void)
{
    return (struct fr_engine_options){
            .create = true,
            .memtable_size = 64 * MIB,
            .sealed_max = 3,
            .cache_size = 64 * MIB,
            .log_segment_size = 16 * MIB,
            .table_size = 64 * MIB,
            .value_file_size = 64 * MIB,
            .block_size = 8192,
            .filter_bits = 10,
            .value_threshold = 256,
            .dictionary_size = 16 << 10,
            .compress = true,
            .verify_tables = true,
            .disk_reserve = 64 * MIB,
            .picker = fr_picker_options_default(),
    };
}

uint64_t fr_engine_next_number(void *arg)
{
    struct fr_engine *engine = arg;

    return atomic_fetch_add_explicit(&engine->next_number, 1, memory_order_relaxed);
}

/* It has the name of an orphan until it has none: an opening after a crash in between removes it.
 */
fr_status fr_engine_scratch(struct fr_engine *engine, struct fr_file **ret_file)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file = NULL;
    fr_status st;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    fr_file_name_format(FR_FILE_VALUES, fr_engine_next_number(engine), name);
    FR_TRY(fr_file_open(engine->dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    FR_TRY(fr_dir_unlink(engine->dir, name));
    fr_file_advise(file, 0, 0, FR_ADVICE_RANDOM);
    *ret_file = FR_TAKE(file);
out:
    fr_file_close(file);
    return st < 0 ? st : FR_OK;
}

struct fr_file_id fr_engine_file_id(const struct fr_engine *engine, uint64_t number)
{
    return (struct fr_file_id){
            .store = {fr_get_u64(engine->store), fr_get_u64(engine->store + 8)}, .number = number};
}

static unsigned open_flags(const struct fr_engine *engine)
{
    return engine->options.direct_reads ? FR_OPEN_DIRECT : 0;
}

/* Told once: reads go on through the page cache, which nobody should find out by its size. */
static void note_direct(struct fr_engine *engine, bool is_direct)
{
    if (!engine->options.direct_reads || is_direct) return;
    FR_COVER("open: the file system refuses direct reads");
    if (atomic_exchange_explicit(&engine->direct_refused, true, memory_order_relaxed)) return;
    fr_log(FR_LOG_WARN, "lsm",
            "%s: the file system refuses direct reads: they go through the page cache",
            fr_dir_path(engine->dir));
}

static fr_status open_table(struct fr_engine *engine, const struct fr_edit_table *meta,
        struct fr_version_table **ret_table)
{
    struct fr_file_id id = fr_engine_file_id(engine, meta->number);
    struct fr_range_set *ranges = NULL;
    struct fr_table *table = NULL;
    char name[FR_FILE_NAME_SIZE];
    fr_status st;

    fr_file_name_format(FR_FILE_TABLE, id.number, name);
    FR_TRY(fr_table_open_with(engine->dir, name, &id, engine->cache, open_flags(engine), &table));
    note_direct(engine, fr_table_is_direct(table));
    struct fr_hash128 hash = fr_table_hash(table);
    if (fr_table_file_size(table) != meta->size || hash.low != fr_get_u64(meta->hash) ||
            hash.high != fr_get_u64(meta->hash + 8)) {
        st = FR_FAIL(FR_ERR_CORRUPT, "%s: is whole, but not the one that the manifest knows",
                fr_table_path(table));
        goto out;
    }
    size_t count;
    const struct fr_range *fragments = fr_table_ranges(table, &count);
    if (count > 0) FR_TRY(fr_range_set_build(fragments, count, &ranges));
    FR_TRY(fr_version_table_new(&engine->obsolete, meta, table, fr_table_unref, ranges, ret_table));
    (*ret_table)->shadowed_bytes = fr_table_properties(table)->shadowed_bytes;
    table = NULL;
    ranges = NULL;
out:
    fr_range_set_unref(ranges);
    fr_table_unref(table);
    return st;
}

fr_status fr_engine_open_table(struct fr_engine *engine, const struct fr_edit_table *meta,
        struct fr_version_table **ret_table)
{
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_TABLES);
    fr_status st = open_table(engine, meta, ret_table);

    fr_engine_work_done(before);
    fr_engine_balance(engine);
    return st;
}

fr_status fr_engine_open_values(struct fr_engine *engine, const struct fr_edit_values *meta,
        struct fr_version_values **ret_values)
{
    struct fr_file_id id = fr_engine_file_id(engine, meta->number);
    struct fr_value_file *file = NULL;
    fr_status st;

    FR_TRY(fr_value_file_open_with(engine->dir, &id, open_flags(engine), &file));
    note_direct(engine, fr_value_file_is_direct(file));
    const struct fr_value_meta *found = fr_value_file_meta(file);
    if (found->file_size != meta->size || found->hash.low != fr_get_u64(meta->hash) ||
            found->hash.high != fr_get_u64(meta->hash + 8)) {
        st = FR_FAIL(FR_ERR_CORRUPT,
                "%s: value file %" PRIu64 " is whole, but not the one that the manifest knows",
                fr_dir_path(engine->dir), meta->number);
        goto out;
    }
    FR_TRY(fr_version_values_new(&engine->obsolete, meta, file, fr_value_file_unref, ret_values));
    file = NULL;
out:
    fr_value_file_unref(file);
    return st;
}

/* What the directory holds by name. */
struct census {
    uint64_t highest;
    size_t ours[FR_FILE_KIND_COUNT];
    size_t foreign;
};

static fr_status take_census(struct fr_engine *engine, struct census *ret_census)
{
    struct fr_dir_names names;
    enum fr_file_kind kind;
    uint64_t number;

    fr_status st = fr_dir_list(engine->dir, &names);
    if (st < 0) return st;
    *ret_census = (struct census){0};
    for (size_t i = 0; i < names.count; i++) {
        if (!fr_file_name_parse(names.names[i], &kind, &number)) {
            if (strcmp(names.names[i], "SUPER.tmp") != 0) ret_census->foreign++;
            continue;
        }
        ret_census->ours[kind]++;
        ret_census->highest = FR_MAX(ret_census->highest, number);
    }
    fr_dir_names_deinit(&names);
    return FR_OK;
}

/* A directory without SUPER: is it one in which a store may be made? */
static fr_status check_empty(struct fr_engine *engine, const struct census *census)
{
    const char *path = fr_dir_path(engine->dir);

    if (census->ours[FR_FILE_TABLE] + census->ours[FR_FILE_VALUES] + census->ours[FR_FILE_WAL] > 0)
        return FR_FAIL(FR_ERR_MISSING, "%s: a store without its SUPER", path);
    if (!engine->options.create) return FR_FAIL(FR_ERR_MISSING, "%s: there is no store", path);
    if (census->foreign > 0)
        return FR_FAIL(FR_ERR_FOREIGN, "%s: holds files that are not of a store", path);
    /* A manifest alone is what a crash leaves while a store is made. */
    return fr_wal_remove_before(engine->dir, FR_WAL_KIND_MANIFEST, UINT64_MAX);
}

static fr_status start_new(struct fr_engine *engine, struct fr_manifest_state *state)
{
    fr_put_u64(engine->super.store, fr_rng_entropy());
    fr_put_u64(engine->super.store + 8, fr_rng_entropy());
    engine->super.created_us = fr_env_wall_us(engine->env);
    *state = (struct fr_manifest_state){.next_file = 1};
    return fr_version_new(&state->version);
}

static fr_status find_store(struct fr_engine *engine, const struct census *census,
        struct fr_manifest_state *state)
{
    fr_status st = fr_super_read(engine->dir, &engine->super);

    if (st == FR_ERR_MISSING) {
        FR_TRY(check_empty(engine, census));
        FR_TRY(start_new(engine, state));
    } else {
        FR_TRY(st);
        if (engine->options.must_be_new) {
            st = FR_FAIL(FR_ERR_EXISTS, "%s: there is a store", fr_dir_path(engine->dir));
            goto out;
        }
        FR_TRY(fr_manifest_replay(engine->dir, &engine->super, &engine->obsolete, true, state));
    }
    memcpy(engine->store, engine->super.store, FR_STORE_ID_SIZE);
out:
    return st;
}

static struct fr_version_table *find_open_table(const struct fr_version *version, uint64_t number)
{
    for (unsigned level = 0; version != NULL && level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            if (version->levels[level].tables[i]->meta.number == number)
                return version->levels[level].tables[i];
    return NULL;
}

static fr_status add_open_table(struct fr_engine *engine, struct fr_version_change *change,
        unsigned level, const struct fr_edit_table *meta, const struct fr_version *reuse)
{
    struct fr_version_table *table = find_open_table(reuse, meta->number);
    fr_status st = FR_OK;

    if (table != NULL)
        fr_version_table_ref(table);
    else
        st = fr_engine_open_table(engine, meta, &table);
    if (st < 0) return st;
    st = fr_version_change_add_table(change, level, table);
    if (st < 0) fr_version_table_unref(table);
    return st;
}

static fr_status add_open_values(struct fr_engine *engine, struct fr_version_change *change,
        const struct fr_edit_values *meta, const struct fr_version *reuse)
{
    size_t at = reuse == NULL ? 0 : fr_version_find_values(reuse, meta->number);
    struct fr_version_values *values = NULL;
    fr_status st = FR_OK;

    if (reuse != NULL && at < reuse->values_count)
        values = fr_version_values_ref(reuse->values[at]);
    else
        st = fr_engine_open_values(engine, meta, &values);
    if (st < 0) return st;
    st = fr_version_change_add_values(change, values);
    if (st < 0) fr_version_values_unref(values);
    return st;
}

fr_status fr_engine_open_version(struct fr_engine *engine, const struct fr_version *closed,
        const struct fr_version *reuse, struct fr_version **ret_version)
{
    struct fr_version_change change = {0};
    struct fr_version *empty = NULL;
    fr_status st;

    size_t done = 0, total = closed->values_count;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        total += closed->levels[level].count;
    FR_TRY(fr_version_new(&empty));
    for (size_t i = 0; i < closed->values_count; i++) {
        fr_events_open_progress(engine->events, FR_OPEN_FILES, done++, total);
        FR_TRY(add_open_values(engine, &change, &closed->values[i]->meta, reuse));
    }
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < closed->levels[level].count; i++) {
            fr_events_open_progress(engine->events, FR_OPEN_FILES, done++, total);
            FR_TRY(add_open_table(engine, &change, level, &closed->levels[level].tables[i]->meta,
                    reuse));
        }
    FR_TRY(fr_version_apply(empty, &change, ret_version));
out:
    fr_version_change_unref_added(&change);
    fr_version_change_deinit(&change);
    fr_version_unref(empty);
    return st;
}

static fr_status open_files(struct fr_engine *engine, struct fr_manifest_state *state)
{
    struct fr_version *open;

    fr_status st = fr_engine_open_version(engine, state->version, NULL, &open);
    if (st < 0) return st;
    fr_version_unref(state->version);
    state->version = open;
    return FR_OK;
}

static bool has_file(const struct fr_version *version, enum fr_file_kind kind, uint64_t number)
{
    for (unsigned level = 0; kind == FR_FILE_TABLE && level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++)
            if (version->levels[level].tables[i]->meta.number == number) return true;
    for (size_t i = 0; kind == FR_FILE_VALUES && i < version->values_count; i++)
        if (version->values[i]->meta.number == number) return true;
    return false;
}

/* Tables and value files that no version has: of jobs that a crash has ended. */
static fr_status remove_orphans(struct fr_engine *engine, const struct fr_version *version)
{
    struct fr_dir_names names;
    enum fr_file_kind kind;
    uint64_t number;

    fr_status st = fr_dir_list(engine->dir, &names);
    if (st < 0) return st;
    for (size_t i = 0; i < names.count && st >= 0; i++) {
        if (!fr_file_name_parse(names.names[i], &kind, &number)) continue;
        if (kind != FR_FILE_TABLE && kind != FR_FILE_VALUES) continue;
        if (has_file(version, kind, number)) continue;
        fr_log(FR_LOG_INFO, "lsm", "%s: removing the orphan %s", fr_dir_path(engine->dir),
                names.names[i]);
        st = fr_dir_unlink(engine->dir, names.names[i]);
    }
    fr_dir_names_deinit(&names);
    return st < 0 ? st : FR_OK;
}

fr_status fr_engine_replay_batch(struct fr_memtable *memtable, fr_slice batch, fr_seq first,
        fr_seq *last_seq)
{
    struct fr_batch_reader reader;
    fr_status st;

    FR_TRY(fr_batch_verify(batch));
    FR_TRY(fr_batch_read(batch, first, false, &reader));
    if (first == 0 || first > FR_SEQ_MAX - reader.count)
        return FR_FAIL(FR_ERR_CORRUPT, "the log has a batch of sequence number %" PRIu64, first);
    FR_TRY(fr_memtable_reserve(memtable, batch.size, reader.count));
    FR_TRY(fr_memtable_insert_batch(memtable, batch, first));
    *last_seq = FR_MAX(*last_seq, first + reader.count - 1);
out:
    return st;
}

/*
 * Numbers leap at an ingest alone, and the manifest is durable before anything is written behind
 * it. So a leap that the manifest does not know means that it has lost its end.
 */
static fr_status check_goes_on(const struct fr_engine *engine, fr_seq first, fr_seq last,
        fr_lsn lsn)
{
    if (first <= last + 1) return FR_OK;
    FR_COVER("open: a log that is ahead of the manifest");
    return FR_FAIL(FR_ERR_CORRUPT,
            "%s: the log goes on with sequence number %" PRIu64 " at lsn %" PRIu64
            ", all that is known before it ends at %" PRIu64 ": the manifest has lost its end",
            fr_dir_path(engine->dir), first, lsn, last);
}

static fr_status replay_log(struct fr_engine *engine, const struct fr_manifest_state *state,
        struct fr_memtable *memtable, fr_seq *last_seq, struct fr_wal_end *ret_end)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .flags = FR_MUSEUM(16) ? 0 : FR_WAL_READ_SETTLE, /* museum 16: recovered data served
                                                                before it is durable */
            .start = state->log.start,
            .durable = state->log.durable,
            .number = state->log.number};
    struct fr_wal_reader *reader = NULL;
    uint64_t first, done = 0, told = 0;
    fr_slice batch;
    fr_lsn lsn;
    fr_status st;

    memcpy(options.store, engine->store, FR_STORE_ID_SIZE);
    FR_TRY(fr_wal_reader_open(engine->dir, &options, &reader));
    while ((st = fr_wal_reader_next(reader, &batch, &first, &lsn)) == FR_OK) {
        FR_TRY(check_goes_on(engine, first, *last_seq, lsn));
        FR_TRY(fr_engine_replay_batch(memtable, batch, first, last_seq));
        done += batch.size;
        if (done < told + PROGRESS_BYTES) continue;
        fr_events_open_progress(engine->events, FR_OPEN_LOG, done, 0);
        told = done;
    }
    if (st < 0) goto out;
    fr_wal_reader_end(reader, ret_end);
    if (ret_end->verdict == FR_WAL_END_TORN)
        fr_log(FR_LOG_INFO, "lsm",
                "%s: the log ends torn at lsn %" PRIu64 ", %" PRIu64 " bytes dropped",
                fr_dir_path(engine->dir), ret_end->link.lsn, ret_end->dropped_bytes);
    st = FR_OK;
out:
    fr_wal_reader_close(reader);
    return st;
}

static fr_status open_log(struct fr_engine *engine, const struct fr_wal_end *end)
{
    struct fr_wal_writer_options options = {.kind = FR_WAL_KIND_LOG,
            .epoch = fr_rng_entropy() | 1,
            .next_number = fr_engine_next_number,
            .next_number_ctx = engine,
            .previous = end->link,
            .start = engine->log_from.start,
            .segment_size = engine->options.log_segment_size,
            .first_size = engine->options.log_segment_size > FR_WAL_FIRST_SIZE_MIN
                                  ? FR_WAL_FIRST_SIZE_MIN
                                  : 0,
            .spares_max = 8};

    memcpy(options.store, engine->store, FR_STORE_ID_SIZE);
    return fr_wal_writer_open(engine->dir, &options, &engine->log);
}

void fr_engine_release_old_log(struct fr_engine *engine, fr_lsn lsn)
{
    if (engine->old_log_removed || lsn < engine->old_log_end) return;
    if (fr_wal_remove_before(engine->dir, FR_WAL_KIND_LOG,
                fr_wal_writer_first_number(engine->log)) < 0)
        fr_log(FR_LOG_WARN, "lsm", "%s", fr_last_error());
    engine->old_log_removed = true;
}

/* What was replayed goes ahead of all that is written now; it is flushed first. */
static fr_status set_up_memtables(struct fr_engine *engine, struct fr_memtable *replayed)
{
    struct fr_memtable_stats stats;
    fr_status st;

    fr_memtable_stats_get(replayed, &stats);
    FR_TRY(fr_memtable_new(engine->options.memtable_size, engine->pool, &engine->active));
    if (stats.entry_count + stats.range_count > 0)
        engine->sealed[engine->sealed_count++] =
                (struct fr_sealed){.memtable = fr_memtable_ref(replayed)};
out:
    return st;
}

static fr_status publish_first_view(struct fr_engine *engine, struct fr_version *version)
{
    fr_mutex_lock(&engine->mu);
    fr_status st = fr_engine_publish_view_locked(engine, version);
    fr_mutex_unlock(&engine->mu);
    return st;
}

static fr_status begin_manifest(struct fr_engine *engine, const struct fr_version *version)
{
    fr_mutex_lock(&engine->manifest_mu);
    fr_status st = fr_engine_begin_manifest(engine, version);
    fr_mutex_unlock(&engine->manifest_mu);
    return st;
}

static fr_status tell_log(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->manifest_mu);
    fr_status st = fr_engine_tell_log(engine);
    fr_mutex_unlock(&engine->manifest_mu);
    return st;
}

/*
 * A log that follows an older one, which may be removed as soon as a manifest says that the start
 * is ours: so ours is made durable before. It starts at a block, the older one may end before that.
 */
static fr_status take_over_log(struct fr_engine *engine, const struct fr_wal_end *end)
{
    fr_lsn durable;
    fr_status st;

    FR_TRY(open_log(engine, end));
    FR_TRY(fr_wal_writer_sync(engine->log, &durable));
    engine->old_log_end = fr_wal_writer_start(engine->log);
    if (engine->sealed_count > 0)
        engine->sealed[0].log_end = engine->old_log_end;
    else
        engine->log_from = (struct fr_edit_log){
                .start = engine->old_log_end, .number = fr_wal_writer_first_number(engine->log)};
out:
    return st;
}

static fr_status begin_writing(struct fr_engine *engine, const struct fr_version *version,
        const struct fr_wal_end *end)
{
    bool is_new = engine->super.manifest == 0;
    fr_status st;

    if (is_new) FR_TRY(begin_manifest(engine, version));
    FR_TRY(take_over_log(engine, end));
    FR_TRY(is_new ? tell_log(engine) : begin_manifest(engine, version));
    if (engine->sealed_count == 0) fr_engine_release_old_log(engine, engine->old_log_end);
    FR_TRY(fr_thread_start(&engine->flush_thread, "freshet-flush", fr_engine_flush_main, engine));
    FR_TRY(fr_thread_start(&engine->compact_thread, "freshet-compact", fr_engine_compact_main,
            engine));
out:
    return st;
}

static fr_status recover(struct fr_engine *engine)
{
    struct fr_manifest_state state = {0};
    struct fr_memtable *replayed = NULL;
    struct fr_wal_end end = {0};
    struct census census;
    fr_seq last_seq;
    fr_status st;

    FR_TRY(take_census(engine, &census));
    if (FR_MUSEUM(32)) census.highest = 0; /* the directory would tell, too */
    fr_events_open_progress(engine->events, FR_OPEN_MANIFEST, 0, 0);
    FR_TRY(find_store(engine, &census, &state));
    FR_TRY(open_files(engine, &state));
    atomic_store_explicit(&engine->next_number, FR_MAX(state.next_file, census.highest + 1),
            memory_order_relaxed);
    last_seq = state.last_seq;
    /* One memtable, however large: the log is no longer than the memtables that it stands for. */
    (void)fr_engine_work_for(engine, FR_MEMORY_MEMTABLES);
    FR_TRY(fr_memtable_new(SIZE_MAX / 4, NULL, &replayed));
    fr_events_open_progress(engine->events, FR_OPEN_LOG, 0, 0);
    FR_TRY(replay_log(engine, &state, replayed, &last_seq, &end));
    /* museum 17: sequence numbers that go back */
    if (FR_MUSEUM(17)) last_seq = state.last_seq;
    atomic_store_explicit(&engine->last_seq, last_seq, memory_order_release);
    FR_TRY(set_up_memtables(engine, replayed));
    (void)fr_engine_work_for(engine, FR_MEMORY_OTHER);
    engine->log_from = state.log;
    FR_TRY(publish_first_view(engine, state.version));
    FR_TRY(remove_orphans(engine, state.version));
    FR_TRY(begin_writing(engine, state.version, &end));
out:
    if (replayed != NULL) fr_memtable_unref(replayed);
    fr_version_unref(state.version);
    return st;
}

/* A memtable's memory waits for the next one, if it is large enough to be worth it. */
static fr_status new_pool(struct fr_engine *engine)
{
    size_t size = engine->options.memtable_size;

    if (engine->options.read_only || size < POOL_CHUNKS * MIB) return FR_OK;
    return fr_memtable_pool_new(size / POOL_CHUNKS, size, &engine->pool);
}

static struct fr_engine *engine_new(struct fr_env *env, const struct fr_engine_options *options)
{
    struct fr_engine *engine = FR_NEW(struct fr_engine);

    if (engine == NULL) return NULL;
    engine->env = env;
    engine->options = *options;
    engine->options.sealed_max = FR_MIN(options->sealed_max, FR_SEALED_MAX - 1u);
    engine->options.hooks = NULL; /* theirs are copied */
    engine->live = engine->options;
    atomic_init(&engine->memory_budget, options->memory_budget);
    atomic_init(&engine->memtable_size, options->memtable_size);
    atomic_init(&engine->disk_reserve, options->disk_reserve);
    engine->account = fr_account_open();
    engine->spin_us_max = fr_thread_cpu_count() > 1 ? SPIN_US_MAX : 0;
    engine->writers_end = &engine->writers_first;
    fr_mutex_init(&engine->removal_mu, FR_RANK_LSM_REMOVAL);
    fr_mutex_init(&engine->manifest_mu, FR_RANK_LSM_MANIFEST);
    fr_mutex_init(&engine->mu, FR_RANK_LSM_ENGINE);
    fr_cond_init(&engine->work);
    fr_cond_init(&engine->retry);
    fr_cond_init(&engine->progress);
    fr_obsolete_init(&engine->obsolete);
    fr_rate_limiter_init(&engine->limiter, env, options->background_rate);
    return engine;
}

static void engine_free(struct fr_engine *engine)
{
    fr_engine_unpark_views(engine);
    fr_view_unref(engine->view);
    if (engine->active != NULL) fr_memtable_unref(engine->active);
    for (size_t i = 0; i < engine->sealed_count; i++)
        fr_memtable_unref(engine->sealed[i].memtable);
    fr_follow_free(engine->follow);
    if (engine->dir != NULL && engine->lock != NULL) fr_engine_remove_obsolete(engine);
    fr_version_change_unref_added(&engine->doubtful);
    fr_version_change_deinit(&engine->doubtful);
    fr_manifest_close(engine->manifest);
    fr_wal_writer_close(engine->log);
    fr_cache_free(engine->cache);
    fr_memtable_pool_free(engine->pool);
    fr_multi_pool_free(engine->multis);
    fr_dir_unlock(engine->lock);
    fr_dir_close(engine->dir);
    fr_obsolete_deinit(&engine->obsolete);
    fr_rate_limiter_deinit(&engine->limiter);
    fr_cond_deinit(&engine->work);
    fr_cond_deinit(&engine->retry);
    fr_cond_deinit(&engine->progress);
    fr_mutex_deinit(&engine->mu);
    fr_mutex_deinit(&engine->manifest_mu);
    fr_mutex_deinit(&engine->removal_mu);
    fr_events_close(engine->events);
    if (engine->latencies != NULL) fr_mutex_deinit(&engine->latency_mu);
    fr_free(engine->latencies);
    fr_free(engine->snapshots);
    fr_account_close(engine->account);
    fr_free(engine);
}

static void stop_threads(struct fr_engine *engine)
{
    fr_rate_limiter_set(&engine->limiter, 0); /* what is under way is to end soon */
    fr_mutex_lock(&engine->mu);
    engine->closing = true;
    fr_cond_broadcast(&engine->work);
    fr_cond_broadcast(&engine->retry);
    fr_mutex_unlock(&engine->mu);
    fr_thread_join(&engine->flush_thread);
    fr_thread_join(&engine->compact_thread);
}

static fr_status open_engine(struct fr_env *env, const char *path,
        const struct fr_engine_options *options, struct fr_engine **ret_engine)
{
    struct fr_engine *engine = engine_new(env, options);
    bool writes = !options->read_only;
    char lock_name[FR_FILE_NAME_SIZE];
    fr_status st;

    if (engine == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to open it", path);
    FR_TRY(fr_engine_open_memory(engine));
    FR_TRY(new_pool(engine));
    FR_TRY(fr_multi_pool_new(&engine->multis));
    FR_TRY(fr_engine_open_latencies(engine));
    FR_TRY(fr_events_open(env, options->hooks, &engine->events));
    FR_TRY(fr_dir_open(env, path, writes && options->create ? FR_DIR_CREATE : 0, &engine->dir));
    fr_file_name_format(FR_FILE_LOCK, 0, lock_name);
    if (writes) FR_TRY(fr_dir_lock(engine->dir, lock_name, &engine->lock));
    FR_TRY(writes ? recover(engine) : fr_engine_follow_open(engine));
    fr_events_open_progress(engine->events, FR_OPEN_DONE, 0, 0);
    *ret_engine = FR_TAKE(engine);
out:
    if (engine != NULL) {
        stop_threads(engine);
        engine_free(engine);
    }
    return st;
}

fr_status fr_engine_open(struct fr_env *env, const char *path,
        const struct fr_engine_options *options, struct fr_engine **ret_engine)
{
    fr_charge before = fr_account_current();
    fr_status st = open_engine(env, path, options, ret_engine);

    fr_engine_work_done(before);
    return st;
}

void fr_engine_start_events(struct fr_engine *engine)
{
    fr_events_start(engine->events);
}

/* The last hooks may wait for jobs that will never run any more: they are sent home. */
static void finish_events(struct fr_engine *engine)
{
    if (engine->events == NULL) return;
    fr_mutex_lock(&engine->mu);
    if (engine->background_error.status == FR_OK) {
        (void)FR_FAIL(FR_ERR_CANCELLED, "%s: is being closed", fr_dir_path(engine->dir));
        fr_error_save(&engine->background_error);
    }
    fr_cond_broadcast(&engine->progress);
    fr_mutex_unlock(&engine->mu);
    fr_events_close(FR_TAKE(engine->events));
}

fr_status fr_engine_close(struct fr_engine *engine)
{
    fr_status st = FR_OK;

    if (engine == NULL) return FR_OK;
    stop_threads(engine);
    struct fr_error failed = engine->background_error;
    finish_events(engine);
    if (engine->log != NULL) st = fr_wal_writer_seal(engine->log);
    if (st == FR_OK && failed.status != FR_OK) st = fr_error_restore(&failed);
    engine_free(engine);
    return st;
}
