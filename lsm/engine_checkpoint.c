/*
 * engine_checkpoint.c - a second store with what this one holds at a moment.
 *
 *     NAME.unfinished     is made beside the target, locked, and emptied of an earlier attempt
 *     flush               what is in memory, so that a version is all of a moment
 *     version             held, so that its files stay
 *     links, or copies    of its tables and value files
 *     manifest, SUPER     with all of that version, and no log
 *     rename              to NAME, once files and names are durable
 *
 * So a crash leaves nothing under the target's name, or the whole. Writers do not wait: they go on
 * in a fresh memtable while the last one is flushed.
 *
 * The files carry the store's identity in their checksums, so the copy has the same. What tells the
 * two apart from there on is their manifests, which know each file by its content's hash, and their
 * logs: the copy begins one of its own, and each opening for writing draws a new epoch. Files of
 * the two must not be mixed all the same. That linked files are shared does no harm: tables and
 * value files are never written again once they are finished, and removing a name leaves the other.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/log.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"

#define COPY_BYTES ((size_t)1 << 20)

#define UNFINISHED ".unfinished"

struct checkpoint {
    struct fr_engine *engine;
    bool copy;
    struct fr_dir *parent;
    struct fr_dir *dir; /* under its unfinished name */
    struct fr_dir_lock *lock;
    char name[FR_NAME_MAX + 1];
    char unfinished[FR_NAME_MAX + sizeof(UNFINISHED)];
    struct fr_version *version;
    fr_seq last_seq;
    uint64_t next_number;
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
static fr_status choose_moment(struct checkpoint *c)
{
    struct fr_engine *engine = c->engine;

    fr_engine_begin_settling(engine);
    fr_status st = fr_engine_flush_so_far(engine);
    if (st == FR_OK) {
        struct fr_view *view = fr_engine_view(engine);
        c->version = fr_version_ref(view->version);
        c->last_seq = fr_engine_last_seq(engine);
        c->next_number = fr_engine_next_number(engine);
        fr_view_unref(view);
    }
    fr_engine_end_settling(engine);
    return st;
}

/* ---- the directory */

/* What an attempt before has left; anything else is not ours to remove. */
static fr_status remove_leftovers(struct fr_dir *dir, bool and_lock)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st;

    FR_TRY(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count; i++) {
        bool super = strcmp(names.names[i], "SUPER.tmp") == 0;
        if (!super && !fr_file_name_parse(names.names[i], &kind, &number)) {
            st = FR_FAIL(FR_ERR_FOREIGN, "%s/%s: is no part of a checkpoint", fr_dir_path(dir),
                    names.names[i]);
            goto out;
        }
    }
    for (size_t i = 0; i < names.count; i++) {
        bool lock = fr_file_name_parse(names.names[i], &kind, &number) && kind == FR_FILE_LOCK;
        if (lock && !and_lock) continue;
        if (!and_lock)
            fr_log(FR_LOG_INFO, "lsm", "%s: removing %s of a checkpoint that was not finished",
                    fr_dir_path(dir), names.names[i]);
        FR_TRY(fr_dir_unlink(dir, names.names[i]));
    }
out:
    fr_dir_names_deinit(&names);
    return st < 0 ? st : FR_OK;
}

static fr_status check_free(struct checkpoint *c)
{
    struct fr_file_info info;
    fr_status st = fr_dir_stat(c->parent, c->name, &info);

    if (st == FR_OK)
        return FR_FAIL(FR_ERR_EXISTS, "%s/%s: is there already", fr_dir_path(c->parent), c->name);
    return st == FR_NOT_FOUND ? FR_OK : st;
}

/* Looked at again under the lock: whoever had it before may have finished. */
static fr_status make_room(struct checkpoint *c, const char *path)
{
    char lock_name[FR_FILE_NAME_SIZE];
    fr_status st;

    FR_TRY(fr_dir_open_parent(c->engine->env, path, &c->parent, c->name));
    (void)snprintf(c->unfinished, sizeof(c->unfinished), "%s" UNFINISHED, c->name);
    FR_TRY(check_free(c));
    FR_TRY(fr_dir_make(c->parent, c->unfinished));
    FR_TRY(fr_dir_open_in(c->parent, c->unfinished, 0, &c->dir));
    fr_file_name_format(FR_FILE_LOCK, 0, lock_name);
    FR_TRY(fr_dir_lock(c->dir, lock_name, &c->lock));
    FR_TRY(check_free(c));
    FR_TRY(remove_leftovers(c->dir, false));
out:
    return st;
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
    FR_TRY(fr_file_open(c->dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &to));
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
        fr_status st = fr_dir_link(c->engine->dir, name, c->dir, name);
        if (st == FR_OK || st == FR_ERR_MISSING || st == FR_ERR_EXISTS) return st;
        (void)!fr_dir_unlink(c->dir, name); /* it may have been made all the same */
    }
    return copy_file(c, name, size, footer, hash);
}

static fr_status take_files(struct checkpoint *c)
{
    const struct fr_version *version = c->version;
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

static uint64_t next_number(void *ctx)
{
    return (*(uint64_t *)ctx)++;
}

/* A manifest with the whole version, and a SUPER that names it. The log begins at 0. */
static fr_status write_manifest(struct checkpoint *c)
{
    struct fr_super super = {.created_us = fr_env_wall_us(c->engine->env)};
    struct fr_manifest *manifest = NULL;
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_edit_log log = {0};
    fr_status st;

    memcpy(super.store, c->engine->store, FR_STORE_ID_SIZE);
    fr_version_encode(c->version, &edit);
    fr_edit_put_next_file(&edit, c->next_number + 1); /* the manifest's own, which is the next */
    fr_edit_put_last_seq(&edit, c->last_seq);
    fr_edit_put_log(&edit, &log);
    FR_TRY(fr_buf_status(&edit));
    FR_TRY(fr_manifest_begin(c->dir, &super, fr_buf_slice(&edit), next_number, &c->next_number,
            &manifest));
out:
    fr_manifest_close(manifest);
    fr_buf_deinit(&edit);
    return st;
}

static fr_status build(struct checkpoint *c, const char *path)
{
    fr_status st;

    FR_TRY(make_room(c, path));
    FR_TRY(choose_moment(c));
    FR_TRY(take_files(c));
    FR_TRY(write_manifest(c));
    FR_TRY(fr_dir_sync(c->dir));
out:
    return st;
}

/*
 * Nothing is left of an attempt that has failed, as far as that goes; the words stay. A rename that
 * has failed may have happened all the same: what is known by the target's name is whole, and stays
 * so.
 */
static void undo(struct checkpoint *c)
{
    struct fr_error error = {.size = sizeof(error)};
    struct fr_file_info info;

    if (c->lock == NULL) return;
    fr_error_save(&error);
    if (fr_dir_stat(c->parent, c->name, &info) == FR_NOT_FOUND &&
            remove_leftovers(c->dir, true) == FR_OK)
        (void)!fr_dir_remove(c->parent, c->unfinished);
    (void)!fr_error_restore(&error);
}

fr_status fr_engine_checkpoint(struct fr_engine *engine, const char *path, bool copy)
{
    struct checkpoint c = {.engine = engine, .copy = copy};
    fr_status st;

    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    st = build(&c, path);
    if (st == FR_OK) st = fr_dir_rename(c.parent, c.unfinished, c.name);
    if (st == FR_OK)
        st = fr_dir_sync(c.parent);
    else
        undo(&c);
    fr_version_unref(c.version);
    fr_free(c.chunk);
    fr_dir_unlock(c.lock);
    fr_dir_close(c.dir);
    fr_dir_close(c.parent);
    return st;
}
