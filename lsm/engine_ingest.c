/*
 * engine_ingest.c - tables that somebody else has made become part of the store, all or none.
 *
 *     check      every byte and entry of every file (lsm/prebuilt.h)
 *     rewrite    into tables and value files of our own, with the sequence number of the ingest
 *     turn       in the line of writers: nobody writes meanwhile
 *         flush      what is in memory of the same keys
 *         sync       the log: what was written before is as durable as the ingest
 *         edit       each table on the lowest level above which nothing overlaps
 *         publish    the version, with a fresh memtable; then the sequence number
 *
 * Rewriting instead of linking costs a pass over the data, which checking costs anyway. It keeps
 * bytes from outside out of the store, and the store's options, value files, checksums and sequence
 * numbers are what they are everywhere else: no reader has to know that there is ingest.
 *
 * The number. It must be above all that was written before, by the time that it is published, but
 * has to be written into the tables long before that. So it is drawn ahead of the store, by more
 * than can be written meanwhile, and the store leaps there. Should it be overtaken all the same,
 * the tables are written once more, with a larger lead. The leap is seen in the log, too: there, a
 * batch's first number is the one behind the last batch's, or the one behind an ingest's that the
 * manifest knows. Who reads both while they are written can tell by that whether the manifest that
 * he has belongs to the log that he reads (lsm/engine_follow.c).
 *
 * The order. Readers ask newer sources first and stop at the first answer: memtables, then levels
 * from the top. So no memtable below the ingest may have its keys, and it goes no deeper than its
 * first overlap. Its tables must not get in between the inputs of a compaction that is running,
 * whose output may span the gap; none begins while levels are chosen.
 *
 * A view with the version before must never see a write after. Such a view has the memtable that
 * was active then; so the ingest begins a fresh one by the same step.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "lsm/engine_priv.h"
#include "lsm/prebuilt.h"
#include "lsm/table.h"

/* The lead of the sequence number: so much, and this for each byte. 56 bits are plenty. */
#define LEAD          ((uint64_t)1 << 24)
#define LEAD_PER_BYTE 4
#define LEAD_GROWTH   16
#define ATTEMPTS      4

struct source {
    struct fr_table *table; /* one reference */
    const char *path;
    struct fr_buf first, last; /* keys */
};

struct ingest {
    struct fr_engine *engine;
    struct source *sources; /* in the order of their keys */
    size_t count;
    uint64_t bytes;
    fr_seq seq;
    struct fr_output output;
    bool overtaken;
    bool named; /* an edit may name the output */
};

/* ---- the files */

static fr_status copy_key(struct fr_buf *to, fr_slice key)
{
    fr_buf_append(to, key.data, key.size);
    return fr_buf_status(to);
}

static fr_status find_bounds(struct source *source)
{
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_table_iter_new(source->table, NULL, &it));
    FR_TRY(fr_iter_next(it));
    if (st == FR_OK) FR_TRY(copy_key(&source->first, it->entry.key));
    fr_iter_seek_last(it);
    FR_TRY(fr_iter_prev(it));
    if (st == FR_OK) FR_TRY(copy_key(&source->last, it->entry.key));
out:
    fr_iter_close(it);
    return st < 0 ? st : FR_OK;
}

static int compare_sources(const void *a, const void *b)
{
    const struct source *x = a, *y = b;

    return fr_slice_compare(fr_buf_slice(&x->first), fr_buf_slice(&y->first));
}

static fr_status open_sources(struct ingest *in, const char *const *paths, size_t count)
{
    fr_status st = FR_OK;

    in->sources = fr_alloc_zeroed(count, sizeof(*in->sources));
    if (in->sources == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an ingest");
    for (size_t i = 0; i < count; i++) {
        struct source *source = &in->sources[in->count++];
        source->path = paths[i];
        FR_TRY(fr_prebuilt_open(in->engine->env, paths[i], &source->table));
        FR_TRY(find_bounds(source));
        in->bytes += fr_table_file_size(source->table);
    }
    qsort(in->sources, in->count, sizeof(*in->sources), compare_sources);
    for (size_t i = 1; i < in->count; i++) {
        const struct source *before = &in->sources[i - 1], *here = &in->sources[i];
        if (before->last.size == 0) continue; /* empty ones come first */
        if (fr_slice_compare(fr_buf_slice(&before->last), fr_buf_slice(&here->first)) < 0) continue;
        st = FR_FAIL(FR_ERR_MISUSE, "%s and %s: their ranges of keys overlap", before->path,
                here->path);
        goto out;
    }
out:
    return st;
}

/* ---- rewriting */

/* All sources, one behind the other, with the number of the ingest. Forwards only. */
struct joined {
    struct fr_iter iter;
    const struct ingest *in;
    size_t at;
    struct fr_iter *inner; /* of source at, or NULL */
};

static void joined_close(struct fr_iter *it)
{
    struct joined *joined = FR_CONTAINER_OF(it, struct joined, iter);

    fr_iter_close(joined->inner);
    fr_free(joined);
}

static fr_status joined_next(struct fr_iter *it)
{
    struct joined *joined = FR_CONTAINER_OF(it, struct joined, iter);
    struct fr_table_iter_options options = {.fill_cache = false};
    fr_status st = FR_END;

    for (; joined->at < joined->in->count; joined->at++) {
        if (joined->inner == NULL)
            FR_TRY(fr_table_iter_new(joined->in->sources[joined->at].table, &options,
                    &joined->inner));
        FR_TRY(fr_iter_next(joined->inner));
        if (st == FR_OK) {
            it->entry = joined->inner->entry;
            it->entry.seq = joined->in->seq;
            return FR_OK;
        }
        fr_iter_close(FR_TAKE(joined->inner));
        st = FR_END;
    }
out:
    return st;
}

static const struct fr_iter_ops joined_ops = {.close = joined_close, .next = joined_next};

static fr_status rewrite(struct ingest *in)
{
    struct fr_output_options options = {
            .origin = FR_TABLE_ORIGIN_INGEST, .table_size = in->engine->options.table_size};
    struct joined *joined = FR_NEW(struct joined);
    struct fr_fold_options fold_options = {0};
    struct fr_fold *fold = NULL;
    fr_status st;

    if (joined == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an ingest");
    joined->iter.ops = &joined_ops;
    joined->in = in;
    FR_TRY(fr_fold_new(&joined->iter, &fold_options, &fold));
    FR_TRY(fr_output_write(in->engine, fold, &fold_options, &options, &in->output));
out:
    fr_fold_close(fold);
    return st;
}

/* ---- what overlaps */

static bool covers(const struct fr_edit_table *table, fr_slice low, fr_slice high)
{
    return fr_slice_compare(table->smallest, high) <= 0 && !fr_version_is_before(table, low);
}

static fr_status memtable_has(const struct fr_memtable *memtable, const struct fr_edit_table *table,
        bool *ret_has)
{
    struct fr_range_set *ranges = NULL;
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(fr_memtable_ranges(memtable, &ranges));
    for (size_t i = 0; ranges != NULL && i < fr_range_set_count(ranges); i++) {
        const struct fr_range_fragment *fragment = fr_range_set_at(ranges, i);
        if (fr_slice_compare(fragment->start, table->largest) <= 0 &&
                fr_slice_compare(fragment->end, table->smallest) > 0)
            *ret_has = true;
    }
    FR_TRY(fr_memtable_iter_new(memtable, false, &it));
    fr_iter_seek(it, table->smallest, FR_SEQ_MAX);
    FR_TRY(fr_iter_next(it));
    if (st == FR_OK && fr_slice_compare(it->entry.key, table->largest) <= 0) *ret_has = true;
    st = FR_OK;
out:
    fr_iter_close(it);
    fr_range_set_unref(ranges);
    return st;
}

static fr_status any_in(const struct ingest *in, const struct fr_memtable *memtable, bool *ret_has)
{
    const struct fr_version_change *change = &in->output.change;
    fr_status st = FR_OK;

    for (size_t i = 0; i < change->add_table_count && !*ret_has; i++)
        FR_TRY(memtable_has(memtable, &change->add_tables[i].table->meta, ret_has));
out:
    return st;
}

/* Which memtables have keys in the ranges of the ingest. */
static fr_status find_overlaps(const struct ingest *in, bool *ret_active, bool *ret_sealed)
{
    struct fr_view *view = fr_engine_view(in->engine);
    fr_status st;

    *ret_active = *ret_sealed = false;
    FR_TRY(any_in(in, view->active, ret_active));
    for (size_t i = 0; i < view->sealed_count && !*ret_sealed; i++)
        FR_TRY(any_in(in, view->sealed[i], ret_sealed));
out:
    fr_view_unref(view);
    return st;
}

/* Before the turn, so that there is little left to be flushed in it. */
static fr_status flush_ahead(const struct ingest *in)
{
    bool active = true, sealed;
    fr_status st = FR_OK;

    for (unsigned i = 0; i < 2 && active; i++) {
        FR_TRY(find_overlaps(in, &active, &sealed));
        active |= sealed;
        if (active) FR_TRY(fr_engine_flush_so_far(in->engine));
    }
out:
    return st;
}

/* In the turn: nothing is added to the active memtable. */
static fr_status flush_overlaps(const struct ingest *in)
{
    struct fr_engine *engine = in->engine;
    bool active, sealed;

    fr_status st = find_overlaps(in, &active, &sealed);
    if (st < 0 || !(active || sealed)) return st;
    FR_COVER("ingest: flush in the turn");
    fr_mutex_lock(&engine->mu);
    if (active) st = fr_engine_seal_locked(engine);
    if (st == FR_OK) st = fr_engine_await_flush_locked(engine);
    fr_mutex_unlock(&engine->mu);
    return st;
}

/* ---- the level */

/* What running compactions have taken of the levels down to here, and all between. */
struct hull {
    bool any;
    fr_slice low, high;
};

static void widen(struct hull *hull, const struct fr_version_level *level)
{
    for (size_t i = 0; i < level->count; i++) {
        const struct fr_edit_table *meta = &level->tables[i]->meta;
        if (!level->tables[i]->busy) continue;
        if (!hull->any || fr_slice_compare(meta->smallest, hull->low) < 0)
            hull->low = meta->smallest;
        if (!hull->any || fr_slice_compare(meta->largest, hull->high) > 0)
            hull->high = meta->largest;
        hull->any = true;
    }
}

static bool is_clear(const struct fr_version_level *level, const struct hull *hull,
        const struct fr_edit_table *table)
{
    if (hull->any && fr_slice_compare(hull->low, table->largest) <= 0 &&
            fr_slice_compare(hull->high, table->smallest) >= 0)
        return false;
    for (size_t i = 0; i < level->count; i++)
        if (covers(&level->tables[i]->meta, table->smallest, table->largest)) return false;
    return true;
}

/* Down to the last level above the first overlap; level 0 if that is in level 0 already. */
static unsigned lowest_level(const struct fr_version *version, const struct fr_edit_table *table)
{
    struct hull hull = {0};
    unsigned level = 0;

    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++) {
        widen(&hull, &version->levels[l]);
        if (!is_clear(&version->levels[l], &hull, table)) break;
        level = l;
    }
    return level;
}

static void choose_levels(struct ingest *in)
{
    struct fr_version_change *change = &in->output.change;
    struct fr_view *view = fr_engine_view(in->engine);

    fr_mutex_lock(&in->engine->mu);
    for (size_t i = 0; i < change->add_table_count; i++)
        change->add_tables[i].level =
                lowest_level(view->version, &change->add_tables[i].table->meta);
    fr_mutex_unlock(&in->engine->mu);
    fr_view_unref(view);
}

/* ---- the turn */

static void set_placing(struct fr_engine *engine, bool placing)
{
    fr_mutex_lock(&engine->mu);
    engine->placing = placing;
    engine->compaction_rests = false;
    fr_cond_broadcast(&engine->progress);
    fr_cond_broadcast(&engine->work);
    fr_mutex_unlock(&engine->mu);
}

/* The version can only change under manifest_mu, so the levels chosen are still right. */
static fr_status install(struct ingest *in)
{
    struct fr_engine *engine = in->engine;
    struct fr_memtable *fresh = NULL;
    fr_status st;

    FR_TRY(fr_memtable_new(engine->options.memtable_size, engine->pool, &fresh));
    set_placing(engine, true);
    fr_mutex_lock(&engine->manifest_mu);
    choose_levels(in);
    st = fr_engine_install_locked(engine, &in->output.change, NULL, &fresh);
    /* A manifest that has got none of it is still there. */
    in->named = st == FR_OK || engine->manifest == NULL;
    fr_mutex_unlock(&engine->manifest_mu);
    /* Before compactions, whose edits tell the last number. */
    if (st == FR_OK) atomic_store_explicit(&engine->last_seq, in->seq, memory_order_release);
    set_placing(engine, false);
    if (fresh != NULL) fr_memtable_unref(fresh);
out:
    return st;
}

static fr_status publish(void *ctx)
{
    struct ingest *in = ctx;
    struct fr_engine *engine = in->engine;
    fr_lsn durable;
    fr_status st;

    in->overtaken = fr_engine_last_seq(engine) >= in->seq;
    if (in->overtaken) return FR_OK;
    FR_TRY(flush_overlaps(in));
    FR_TRY(fr_wal_writer_sync(engine->log, &durable));
    st = install(in);
    if (st < 0 && in->named) {
        /* It may be durable all the same, and nothing may be written that would be below it. */
        fr_mutex_lock(&engine->mu);
        fr_engine_fail_locked(engine);
        fr_mutex_unlock(&engine->mu);
    }
out:
    return st;
}

static fr_status attempt(struct ingest *in, uint64_t lead)
{
    fr_seq last = fr_engine_last_seq(in->engine);
    fr_status st;

    if (lead > FR_SEQ_MAX / 2 || last > FR_SEQ_MAX / 2 - lead)
        return FR_FAIL(FR_ERR_LIMIT, "no sequence numbers are left for an ingest");
    in->seq = last + lead;
    FR_TRY(rewrite(in));
    if (in->output.change.add_table_count == 0) return FR_OK; /* nothing in any of the files */
    FR_TRY(flush_ahead(in));
    fr_engine_begin_settling(in->engine);
    st = fr_engine_take_turn(in->engine, publish, in);
    fr_engine_end_settling(in->engine);
out:
    fr_output_deinit(&in->output, in->named);
    return st;
}

static fr_status run(struct ingest *in, const char *const *paths, size_t count)
{
    uint64_t lead = in->engine->options.ingest_lead;
    fr_status st;

    FR_TRY(open_sources(in, paths, count));
    if (lead == 0) lead = LEAD + in->bytes * LEAD_PER_BYTE;
    for (unsigned i = 0; i < ATTEMPTS; i++, lead *= LEAD_GROWTH) {
        FR_TRY(attempt(in, lead));
        if (!in->overtaken) return FR_OK;
        FR_COVER("ingest: overtaken");
    }
    st = FR_FAIL(FR_ERR_BUSY, "%s: more is written meanwhile than the ingest can keep ahead of",
            paths[0]);
out:
    return st;
}

static fr_status begin_ingesting(struct fr_engine *engine)
{
    if (engine->log == NULL) return FR_FAIL(FR_ERR_READONLY, "the store is open for reading only");
    fr_mutex_lock(&engine->mu);
    while (engine->ingesting)
        fr_cond_wait(&engine->progress, &engine->mu);
    engine->ingesting = true;
    fr_mutex_unlock(&engine->mu);
    return FR_OK;
}

static void end_ingesting(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    engine->ingesting = false;
    fr_cond_broadcast(&engine->progress);
    fr_mutex_unlock(&engine->mu);
}

static void close_sources(struct ingest *in)
{
    for (size_t i = 0; i < in->count; i++) {
        fr_table_unref(in->sources[i].table);
        fr_buf_deinit(&in->sources[i].first);
        fr_buf_deinit(&in->sources[i].last);
    }
    fr_free(in->sources);
}

fr_status fr_engine_ingest(struct fr_engine *engine, const char *const *paths, size_t count,
        bool move)
{
    struct ingest in = {.engine = engine};

    if (count == 0) return FR_OK;
    fr_status st = begin_ingesting(engine);
    if (st < 0) return st;
    st = run(&in, paths, count);
    close_sources(&in);
    end_ingesting(engine);
    for (size_t i = 0; st == FR_OK && move && i < count; i++)
        if (fr_prebuilt_remove(engine->env, paths[i]) < 0)
            fr_log(FR_LOG_WARN, "lsm", "%s", fr_last_error());
    return st;
}
