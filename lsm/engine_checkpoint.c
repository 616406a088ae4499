/*
 * engine_checkpoint.c - a second store with what this one holds at a moment.
 *
 *     flush               what is in memory, so that a version is all of a moment
 *     version             held, so that its files stay
 *     links, or copies    of its tables and value files, into a new store (lsm/new_store.h)
 *     manifest, SUPER     with all of that version, and no log
 *
 * Writers do not wait: they go on in a fresh memtable while the last one is flushed.
 *
 * The files carry the store's identity in their checksums, so the copy has the same. What tells the
 * two apart from there on is their manifests, which know each file by its content's hash, and their
 * logs: the copy begins one of its own, and each opening for writing draws a new epoch. Files of
 * the two must not be mixed all the same. That linked files are shared does no harm: tables and
 * value files are never written again once they are finished, and removing a name leaves the other.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/new_store.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"

#define COPY_BYTES ((size_t)1 << 20)

struct checkpoint {
    struct fr_engine *engine;
    bool copy;
    struct fr_new_store to;
    struct fr_engine_moment moment;
    uint8_t *chunk;
};

/* ---- the moment */

static bool is_sealed_locked(const struct fr_engine *engine, const struct fr_memtable *memtable)
{
    for (size_t i = 0; i < engine->sealed_count; i++)
        if (engine->sealed[i].memtable == memtable) return true;
    return false;
}

fr_status fr_engine_await_flush_locked(struct fr_engine *engine)
{
    if (engine->sealed_count == 0) return FR_OK;
    struct fr_memtable *last = fr_memtable_ref(engine->sealed[engine->sealed_count - 1].memtable);
    uint64_t enough = fr_engine_kick_locked(engine, &engine->flush_trouble, engine->flushing);
    fr_status st = FR_OK;
    while (is_sealed_locked(engine, last) &&
            (st = fr_engine_trouble_locked(engine, &engine->flush_trouble, enough)) == FR_OK)
        fr_cond_wait(&engine->progress, &engine->mu);
    fr_memtable_unref(last);
    return st;
}

fr_status fr_engine_flush_so_far(struct fr_engine *engine)
{
    struct fr_memtable_stats stats;
    fr_status st = FR_OK;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    fr_mutex_lock(&engine->mu);
    fr_memtable_stats_get(engine->active, &stats);
    fr_mutex_unlock(&engine->mu);
    if (stats.entry_count + stats.range_count > 0) st = fr_engine_seal(engine);
    if (st < 0) return st;
    fr_mutex_lock(&engine->mu);
    st = fr_engine_await_flush_locked(engine);
    fr_mutex_unlock(&engine->mu);
    return st;
}

void fr_engine_begin_settling(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    while (engine->settling)
        fr_cond_wait(&engine->progress, &engine->mu);
    engine->settling = true;
    fr_mutex_unlock(&engine->mu);
}

void fr_engine_end_settling(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    engine->settling = false;
    fr_cond_broadcast(&engine->progress);
    fr_mutex_unlock(&engine->mu);
}

/*
 * A version that is a moment: all that was written up to some point has been flushed. No ingest may
 * be published meanwhile, or the version had that, and not what was written just before it.
 */
fr_status fr_engine_moment_take(struct fr_engine *engine, struct fr_engine_moment *ret_moment)
{
    fr_engine_begin_settling(engine);
    fr_status st = fr_engine_flush_so_far(engine);
    if (st == FR_OK) {
        struct fr_view *view = fr_engine_view(engine);
        ret_moment->version = fr_version_ref(view->version);
        ret_moment->last_seq = fr_engine_last_seq(engine);
        ret_moment->next_number = fr_engine_next_number(engine);
        memcpy(ret_moment->store, engine->store, FR_STORE_ID_SIZE);
        fr_view_unref(view);
    }
    fr_engine_end_settling(engine);
    return st;
}

void fr_engine_moment_release(struct fr_engine_moment *moment)
{
    fr_version_unref(moment->version);
    moment->version = NULL;
}

struct fr_version *fr_engine_version(struct fr_engine *engine)
{
    struct fr_view *view = fr_engine_view(engine);
    struct fr_version *version = fr_version_ref(view->version);

    fr_view_unref(view);
    return version;
}

struct fr_dir *fr_engine_dir(const struct fr_engine *engine)
{
    return engine->dir;
}

struct fr_env *fr_engine_env(const struct fr_engine *engine)
{
    return engine->env;
}

uint64_t fr_engine_log_durable(const struct fr_engine *engine)
{
    return engine->log != NULL ? fr_wal_writer_durable(engine->log) : 0;
}

struct fr_events *fr_engine_events(const struct fr_engine *engine)
{
    return engine->events;
}

/* ---- the files */

/* Everything up to the footer is what the content's hash is over, in both kinds of file. */
static fr_status copy_bytes(struct checkpoint *c, struct fr_file *from, struct fr_file *to,
        uint64_t size, uint64_t hashed, const uint8_t *hash)
{
    struct fr_hash128_state state;
    fr_status st = FR_OK;

    fr_hash128_init(&state);
    for (uint64_t at = 0; at < size; at += COPY_BYTES) {
        size_t step = (size_t)FR_MIN((uint64_t)COPY_BYTES, size - at);
        FR_TRY(fr_file_read_exact(from, at, c->chunk, step));
        if (at < hashed)
            fr_hash128_add(&state, c->chunk, (size_t)FR_MIN((uint64_t)step, hashed - at));
        FR_TRY(fr_file_write(to, at, c->chunk, step, 0));
    }
    struct fr_hash128 found = fr_hash128_get(&state);
    if (found.low != fr_get_u64(hash) || found.high != fr_get_u64(hash + 8))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the content does not match its hash",
                fr_file_path(from));
    st = fr_file_sync(to);
out:
    return st;
}

static fr_status copy_file(struct checkpoint *c, const char *name, uint64_t size, uint64_t footer,
        const uint8_t *hash)
{
    struct fr_file *from = NULL, *to = NULL;
    fr_status st;

    if (c->chunk == NULL) c->chunk = fr_alloc_aligned(COPY_BYTES, 4096);
    if (c->chunk == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to copy it", name);
    FR_TRY(fr_file_open(c->engine->dir, name, 0, &from));
    FR_TRY(fr_file_open(c->to.dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &to));
    st = copy_bytes(c, from, to, size, size - footer, hash);
out:
    fr_file_close(from);
    fr_file_close(to);
    return st;
}

/* Where links cannot be had, for whatever reason, a copy is as good. */
static fr_status take_file(struct checkpoint *c, enum fr_file_kind kind, uint64_t number,
        uint64_t size, const uint8_t *hash)
{
    uint64_t footer = kind == FR_FILE_TABLE ? FR_TABLE_FOOTER_SIZE : FR_VALUE_FOOTER_SIZE;
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(kind, number, name);
    if (!c->copy) {
        fr_status st = fr_dir_link(c->engine->dir, name, c->to.dir, name);
        if (st == FR_OK || st == FR_ERR_MISSING || st == FR_ERR_EXISTS) return st;
        (void)!fr_dir_unlink(c->to.dir, name); /* it may have been made all the same */
    }
    return copy_file(c, name, size, footer, hash);
}

static fr_status take_files(struct checkpoint *c)
{
    const struct fr_version *version = c->moment.version;
    fr_status st = FR_OK;

    for (size_t i = 0; i < version->values_count; i++) {
        const struct fr_edit_values *meta = &version->values[i]->meta;
        FR_TRY(take_file(c, FR_FILE_VALUES, meta->number, meta->size, meta->hash));
    }
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_edit_table *meta = &version->levels[level].tables[i]->meta;
            FR_TRY(take_file(c, FR_FILE_TABLE, meta->number, meta->size, meta->hash));
        }
out:
    return st;
}

static fr_status describe(struct checkpoint *c)
{
    struct fr_new_store_content content = {
            .last_seq = c->moment.last_seq, .next_number = c->moment.next_number};
    struct fr_buf edit = FR_BUF_EMPTY;
    fr_status st;

    memcpy(content.store, c->moment.store, FR_STORE_ID_SIZE);
    fr_version_encode(c->moment.version, &edit);
    FR_TRY(fr_buf_status(&edit));
    content.edit = fr_buf_slice(&edit);
    FR_TRY(fr_new_store_describe(&c->to, &content));
out:
    fr_buf_deinit(&edit);
    return st;
}

fr_status fr_engine_checkpoint(struct fr_engine *engine, const char *path, bool copy)
{
    struct checkpoint c = {.engine = engine, .copy = copy};
    fr_status st;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    FR_TRY(fr_new_store_begin(&c.to, engine->env, path));
    FR_TRY(fr_engine_moment_take(engine, &c.moment));
    FR_TRY(take_files(&c));
    FR_TRY(describe(&c));
    FR_TRY(fr_new_store_commit(&c.to));
out:
    fr_new_store_end(&c.to);
    fr_engine_moment_release(&c.moment);
    fr_free(c.chunk);
    return st;
}
