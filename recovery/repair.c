/*
 * repair.c - from a damaged store to what can be saved of it, and to a new store.
 *
 *     survey      tables, the log, and what is known to be missing       repair_survey.c
 *     first walk  over all keys: what is certain, what is lost           repair_rows.c
 *     second walk the same, and what is certain is written to an engine
 *     verify      the new store, from its bytes
 *     rename      to its name, once all of it is durable
 */
#include "recovery/repair.h"

#include <limits.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine.h"
#include "lsm/memtable.h"
#include "lsm/new_store.h"
#include "lsm/range_set.h"
#include "lsm/version.h"
#include "recovery/repair_priv.h"
#include "recovery/store_id.h"
#include "recovery/verify.h"
#include "wal/file_name.h"

fr_status fr_repair_tell(struct fr_repair *r, const struct fr_loss *loss)
{
    struct fr_loss told = *loss;
    char words[FR_ERROR_TEXT_MAX];

    if (r->how->loss == NULL) return FR_OK;
    memcpy(words, fr_last_error(), strlen(fr_last_error()) + 1);
    told.size = sizeof(told);
    told.words = words;
    if (r->how->loss(r->how->ctx, &told)) return FR_OK;
    return FR_FAIL(FR_ERR_CANCELLED, "given up by who is told of losses");
}

/* Asking for each would cost more than reading it. */
#define ENTRIES_PER_CALL 512

fr_status fr_repair_count(struct fr_repair *r)
{
    if (++r->done_entries % ENTRIES_PER_CALL != 0 || r->how->progress == NULL) return FR_OK;
    uint64_t total = r->total_entries == 0 ? 0 : FR_MAX(r->total_entries, r->done_entries);
    if (r->how->progress(r->how->ctx, r->done_entries, total)) return FR_OK;
    return FR_FAIL(FR_ERR_CANCELLED, "given up by who is told of progress");
}

static void repair_deinit(struct fr_repair *r)
{
    for (size_t i = 0; i < r->source_count; i++) {
        fr_salvage_close(r->sources[i].salvage);
        fr_iter_close(r->sources[i].log);
    }
    fr_free(r->sources);
    fr_free(r->heap);
    fr_free(r->gaps);
    fr_range_set_unref(r->ranges);
    if (r->log != NULL) fr_memtable_unref(r->log);
    fr_version_unref(r->state.version);
    fr_obsolete_deinit(&r->obsolete);
    fr_salvage_values_deinit(&r->values);
    fr_buf_deinit(&r->key);
    fr_buf_deinit(&r->held);
    fr_buf_deinit(&r->bytes);
    fr_buf_deinit(&r->hurt);
    fr_batch_deinit(&r->batch);
}

/* --- The new store --- */

static fr_status fill(struct fr_repair *r, const char *path)
{
    struct fr_engine_options options = fr_engine_options_default();
    fr_status st;

    options.create = true;
    options.must_be_new = true;
    FR_TRY(fr_engine_open(r->env, path, &options, &r->engine));
    FR_TRY(fr_repair_rows(r));
    if (r->written != r->planned)
        FR_TRY(FR_FAIL(FR_ERR_IO, "%s: what can be read of it is not the same each time",
                fr_dir_path(r->dir)));
    FR_TRY(fr_engine_flush(r->engine));
    FR_TRY(fr_engine_close(FR_TAKE(r->engine)));
out:
    if (r->engine != NULL) (void)fr_engine_close(FR_TAKE(r->engine));
    return st;
}

static fr_status verify(struct fr_repair *r, const char *path)
{
    const struct fr_verify_options how = {.size = sizeof(how), .depth = FR_VERIFY_ENGINE};
    struct fr_verify_stats stats = {.size = sizeof(stats)};

    fr_status st = fr_verify_path(r->env, path, &how, NULL, &stats);
    if (st < 0 || stats.findings == 0) return st;
    return FR_FAIL(FR_ERR_CORRUPT, "%s: the new store is damaged, too; it is removed", path);
}

static fr_status make_store(struct fr_repair *r, const char *to)
{
    struct fr_new_store made = {0};
    char path[PATH_MAX];
    fr_status st;

    FR_TRY(fr_new_store_begin(&made, r->env, to));
    fr_new_store_lend(&made, path, sizeof(path));
    FR_TRY(fill(r, path));
    FR_TRY(verify(r, path));
    FR_TRY(fr_new_store_commit(&made));
out:
    fr_new_store_end(&made);
    return st;
}

/* Asked before the work, and again by who makes it. */
static fr_status check_free(struct fr_env *env, const char *to)
{
    char name[FR_NAME_MAX + 1];
    struct fr_dir *parent = NULL;
    struct fr_file_info info;
    fr_status st;

    FR_TRY(fr_dir_open_parent(env, to, &parent, name));
    FR_TRY(fr_dir_stat(parent, name, &info));
    st = st == FR_OK ? FR_FAIL(FR_ERR_EXISTS, "%s: is there already", to) : FR_OK;
out:
    fr_dir_close(parent);
    return st;
}

/* Who writes meanwhile removes what is being read, and would not be heard of in what is made. */
static fr_status lock(struct fr_repair *r)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_LOCK, 0, name);
    return fr_dir_lock_as_is(r->dir, name, &r->lock);
}

static fr_status run(struct fr_repair *r, const char *to)
{
    fr_status st;

    if (to != NULL) FR_TRY(check_free(r->env, to));
    FR_TRY(fr_store_check(r->dir));
    FR_TRY(lock(r));
    r->walks = to != NULL ? 3 : 2;
    FR_TRY(fr_repair_survey(r));
    r->values.dir = r->dir;
    memcpy(r->values.store, r->super.store, FR_STORE_ID_SIZE);
    FR_TRY(fr_repair_rows(r));
    if (to != NULL) FR_TRY(make_store(r, to));
out:
    return st;
}

fr_status fr_repair_run(struct fr_env *env, const char *path, const char *to,
        const struct fr_repair_options *how, struct fr_repair_stats *ret_stats)
{
    struct fr_repair r = {.env = env, .how = how, .stats = ret_stats};
    fr_status st;

    fr_obsolete_init(&r.obsolete);
    FR_TRY(fr_dir_open(env, path, 0, &r.dir));
    st = run(&r, to);
out:
    repair_deinit(&r);
    fr_dir_unlock(r.lock);
    fr_dir_close(r.dir);
    return st;
}
