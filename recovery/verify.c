/*
 * verify.c - checking a store: what holds it together first, then each of its files, then all of
 * them side by side.
 *
 *     SUPER       every copy, and the bytes between
 *     manifest    replayed: the version says which tables and value files there are
 *     files       opened, all of one version, so that they stay though a writer drops them
 *     log         read from where the manifest says
 *     names       what nobody knows
 *     items       every byte, every pointer                          verify_items.c
 *     order       newer entries above older ones                     verify_order.c
 *
 * Where SUPER or manifest cannot be read, the tables and value files of the directory are looked at
 * by themselves.
 *
 * Somebody may be writing meanwhile: what looks wrong up to the log may only be a moment between
 * two of his steps. So that much is looked at again until nothing is wrong, or the same twice.
 */
#include "recovery/verify.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/engine.h"
#include "lsm/manifest.h"
#include "lsm/super.h"
#include "lsm/table.h"
#include "lsm/value_file.h"
#include "recovery/store_id.h"
#include "recovery/verify_priv.h"

#define ATTEMPTS_MAX 50
#define PAUSE_US     20000

/* --- Begin and end --- */

static void verify_init(struct fr_verify *v, struct fr_env *env, struct fr_dir *dir,
        const struct fr_verify_options *how)
{
    *v = (struct fr_verify){.env = env, .dir = dir, .how = how};
    fr_findings_init(&v->findings, dir);
    fr_rate_limiter_init(&v->own_limiter, env, how->rate);
    v->limiter = &v->own_limiter;
}

static void close_items(struct fr_verify *v)
{
    for (size_t i = 0; i < v->item_count; i++) {
        fr_table_unref(v->items[i].table);
        fr_value_file_unref(v->items[i].values);
        fr_free(v->items[i].records);
        fr_free(v->items[i].digests);
    }
    fr_free(FR_TAKE(v->items));
    v->item_count = v->values_count = 0;
}

static void verify_deinit(struct fr_verify *v)
{
    close_items(v);
    fr_rate_limiter_deinit(&v->own_limiter);
    fr_findings_deinit(&v->findings);
}

static void tell_stats(const struct fr_verify *v, struct fr_verify_stats *stats)
{
    stats->findings = v->findings.counted;
    stats->untold = v->findings.untold;
    stats->entries = atomic_load_explicit(&v->entries, memory_order_relaxed);
    stats->values = atomic_load_explicit(&v->values, memory_order_relaxed);
    stats->batches = v->batches;
}

/* --- Items --- */

static int compare_items(const void *a, const void *b)
{
    const struct fr_verify_item *left = a, *right = b;

    if (left->kind != right->kind) return left->kind == FR_FILE_VALUES ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

static fr_status room_for_items(struct fr_verify *v, size_t count)
{
    v->items = fr_alloc_zeroed(count + 1, sizeof(*v->items));
    return v->items == NULL ? FR_FAIL(FR_ERR_NOMEM, "no memory for a list of files") : FR_OK;
}

static size_t count_files(const struct fr_version *version)
{
    size_t count = version->values_count;

    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        count += version->levels[level].count;
    return count;
}

/* Those of a version, with the files that it has open, if it has. */
static fr_status take_version(struct fr_verify *v)
{
    const struct fr_version *version = v->version;

    fr_status st = room_for_items(v, count_files(version));
    if (st < 0) return st;
    for (size_t i = 0; i < version->values_count; i++) {
        const struct fr_version_values *values = version->values[i];
        v->items[v->item_count++] = (struct fr_verify_item){.kind = FR_FILE_VALUES,
                .number = values->meta.number,
                .values_meta = &values->meta,
                .values = values->file == NULL ? NULL : fr_value_file_ref(values->file)};
    }
    v->values_count = v->item_count;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct fr_version_table *table = version->levels[level].tables[i];
            v->items[v->item_count++] = (struct fr_verify_item){.kind = FR_FILE_TABLE,
                    .number = table->meta.number,
                    .level = level,
                    .table_meta = &table->meta,
                    .table = table->table == NULL ? NULL : fr_table_ref(table->table)};
        }
    qsort(v->items, v->item_count, sizeof(*v->items), compare_items);
    return FR_OK;
}

/* Those that lie there, where nobody can tell which belong to the store. */
static fr_status take_directory(struct fr_verify *v)
{
    struct fr_dir_names names = {0};
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st;

    FR_TRY(fr_dir_list(v->dir, &names));
    FR_TRY(room_for_items(v, names.count));
    for (size_t i = 0; i < names.count; i++) {
        if (!fr_file_name_parse(names.names[i], &kind, &number)) continue;
        if (kind != FR_FILE_TABLE && kind != FR_FILE_VALUES) continue;
        v->items[v->item_count++] = (struct fr_verify_item){.kind = kind, .number = number};
        v->values_count += kind == FR_FILE_VALUES;
    }
    qsort(v->items, v->item_count, sizeof(*v->items), compare_items);
    st = FR_OK;
out:
    fr_dir_names_deinit(&names);
    return st;
}

static bool is_other(uint64_t size, struct fr_hash128 hash, uint64_t meta_size, const uint8_t *meta)
{
    return size != meta_size || hash.low != fr_get_u64(meta) || hash.high != fr_get_u64(meta + 8);
}

static fr_status open_table(struct fr_verify *v, struct fr_verify_item *item,
        const struct fr_file_id *id)
{
    fr_status st = fr_table_open(v->dir, id, NULL, &item->table);

    if (st < 0 || item->table_meta == NULL) return st;
    if (!is_other(fr_table_file_size(item->table), fr_table_hash(item->table),
                item->table_meta->size, item->table_meta->hash))
        return FR_OK;
    return FR_FAIL(FR_ERR_FOREIGN, "%s: is whole, but not the one that the manifest knows",
            fr_table_path(item->table));
}

static fr_status open_values(struct fr_verify *v, struct fr_verify_item *item,
        const struct fr_file_id *id)
{
    fr_status st = fr_value_file_open(v->dir, id, &item->values);

    if (st < 0 || item->values_meta == NULL) return st;
    const struct fr_value_meta *own = fr_value_file_meta(item->values);
    if (!is_other(own->file_size, own->hash, item->values_meta->size, item->values_meta->hash))
        return FR_OK;
    return FR_FAIL(FR_ERR_FOREIGN,
            "%s/%06" PRIu64 ".values: is whole, but not the one that the manifest knows",
            fr_dir_path(v->dir), item->number);
}

/* What cannot be opened is told, and not looked at any further. */
static fr_status open_items(struct fr_verify *v, const uint8_t *store)
{
    struct fr_file_id id = {.store = {fr_get_u64(store), fr_get_u64(store + 8)}};

    for (size_t i = 0; i < v->item_count; i++) {
        struct fr_verify_item *item = &v->items[i];
        id.number = item->number;
        fr_status st =
                item->kind == FR_FILE_TABLE ? open_table(v, item, &id) : open_values(v, item, &id);
        if (st == FR_ERR_NOMEM) return st;
        if (st < 0) fr_verify_found(v, item, fr_finding_kind_of(st), 0, st);
    }
    return FR_OK;
}

/* --- A store in a directory --- */

struct on_disk {
    struct fr_verify v;
    const struct fr_engine *engine; /* that has it open; NULL: that is not known */
    struct fr_super super;
    struct fr_manifest_state state;
    struct fr_obsolete obsolete;
};

static void forget_attempt(struct on_disk *d)
{
    close_items(&d->v);
    fr_version_unref(d->state.version);
    d->state = (struct fr_manifest_state){0};
    d->v.version = NULL;
    d->v.last_seq = 0;
    fr_findings_forget(&d->v.findings);
}

static fr_status found_in_store(struct on_disk *d, fr_status st)
{
    if (st >= 0 || st == FR_ERR_NOMEM) return st;
    fr_findings_add(&d->v.findings, fr_finding_kind_of(st), st, NULL, 0, NULL);
    return FR_OK;
}

/* SUPER is read once more, as whoever opens the store reads it: one good copy is enough. */
static fr_status read_version(struct on_disk *d)
{
    fr_status st = fr_super_read(d->v.dir, &d->super);

    if (st < 0) return found_in_store(d, st);
    st = fr_manifest_replay(d->v.dir, &d->super, &d->obsolete, false, &d->state);
    if (st < 0) return found_in_store(d, st);
    d->v.version = d->state.version;
    return FR_OK;
}

static fr_status attempt(struct on_disk *d)
{
    struct fr_verify *v = &d->v;
    fr_status st;

    FR_TRY(fr_verify_super(v));
    FR_TRY(read_version(d));
    if (v->version != NULL) {
        FR_TRY(take_version(v));
        v->last_seq = d->state.last_seq;
    } else {
        FR_TRY(take_directory(v));
        FR_TRY(fr_store_id_guess(v->dir, d->super.store));
    }
    FR_TRY(open_items(v, d->super.store));
    if (v->version != NULL) FR_TRY(fr_verify_log(v, &d->super, &d->state.log));
    st = FR_OK;
out:
    return st;
}

static fr_status settle(struct on_disk *d, fr_status (*look)(struct on_disk *d))
{
    uint64_t before = 0;
    fr_status st;

    for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
        forget_attempt(d);
        FR_TRY(look(d));
        uint64_t now = fr_findings_print(&d->v.findings);
        if (now == 0 || now == before) return FR_OK;
        before = now;
        fr_env_sleep_us(d->v.env, PAUSE_US);
    }
    return FR_FAIL(FR_ERR_BUSY, "%s: is being written faster than it can be looked at",
            fr_dir_path(d->v.dir));
out:
    return st;
}

static bool is_whole(const struct fr_verify *v)
{
    for (size_t i = 0; i < v->item_count; i++)
        if (v->items[i].kind == FR_FILE_TABLE && v->items[i].table == NULL) return false;
    return v->version != NULL;
}

/* The version that was read has no files open: it is given ours for the walk over all. */
static fr_status verify_order(struct on_disk *d)
{
    struct fr_verify *v = &d->v;

    if (v->how->depth < FR_VERIFY_ENGINE || !is_whole(v)) return FR_OK;
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++)
        for (size_t i = 0; i < v->version->levels[level].count; i++) {
            struct fr_version_table *table = v->version->levels[level].tables[i];
            for (size_t k = v->values_count; k < v->item_count; k++)
                if (v->items[k].number == table->meta.number) table->table = v->items[k].table;
        }
    return fr_verify_order(v);
}

fr_status fr_verify_path(struct fr_env *env, const char *path, const struct fr_verify_options *how,
        const struct fr_verify_keep *keep, struct fr_verify_stats *ret_stats)
{
    struct fr_dir *dir = NULL;
    struct on_disk d = {0};
    fr_status st;

    FR_TRY(fr_dir_open(env, path, 0, &dir));
    st = fr_store_check(dir);
    if (st < 0) goto close;
    fr_obsolete_init(&d.obsolete);
    verify_init(&d.v, env, dir, how);
    d.v.keep = keep;
    st = settle(&d, attempt);
    if (st >= 0) st = fr_verify_names(&d.v, ret_stats);
    if (st >= 0) st = fr_verify_items(&d.v);
    if (st >= 0) st = verify_order(&d);
    tell_stats(&d.v, ret_stats);
    verify_deinit(&d.v);
    fr_version_unref(d.state.version);
    fr_obsolete_deinit(&d.obsolete);
close:
    fr_dir_close(dir);
out:
    return st;
}

/* --- An open one --- */

/* What it is writing on. How far the log must go it knows itself. */
static fr_status attempt_beside(struct on_disk *d)
{
    uint64_t durable = fr_engine_log_durable(d->engine);
    struct fr_verify *v = &d->v;
    fr_status st;

    FR_TRY(fr_verify_super(v));
    FR_TRY(read_version(d));
    d->state.log.durable = FR_MAX(d->state.log.durable, durable);
    if (v->version != NULL) FR_TRY(fr_verify_log(v, &d->super, &d->state.log));
    st = FR_OK;
out:
    return st;
}

/* The log is read at once, before it goes, and paid for afterwards. */
static void pay_for_log(struct fr_verify *v)
{
    while (v->log_bytes > 0 && fr_verify_goes_on(v)) {
        size_t piece = (size_t)FR_MIN(v->log_bytes, (uint64_t)1 << 20);

        v->log_bytes -= fr_rate_limiter_take(v->limiter, piece, false);
    }
}

static fr_status verify_beside(struct on_disk *d)
{
    fr_status st;

    fr_obsolete_init(&d->obsolete);
    FR_TRY(settle(d, attempt_beside));
    FR_TRY(fr_findings_tell(&d->v.findings, d->v.how));
    pay_for_log(&d->v);
out:
    fr_version_unref(d->state.version);
    fr_obsolete_deinit(&d->obsolete);
    return st;
}

static fr_status verify_version(struct fr_verify *v)
{
    fr_status st;

    FR_TRY(take_version(v));
    FR_TRY(fr_verify_items(v));
    if (v->how->depth >= FR_VERIFY_ENGINE) FR_TRY(fr_verify_order(v));
out:
    return st;
}

fr_status fr_verify_engine(struct fr_engine *engine, const struct fr_verify_options *how,
        const struct fr_verify_watch *watch, struct fr_verify_stats *ret_stats)
{
    struct fr_version *version = NULL;
    struct on_disk d = {.engine = engine};
    struct fr_verify *v = &d.v;
    fr_status st;

    verify_init(v, fr_engine_env(engine), fr_engine_dir(engine), how);
    if (watch != NULL) v->limiter = watch->limiter;
    if (watch != NULL) v->stop = watch->stop;
    FR_TRY(verify_beside(&d));
    v->version = version = fr_engine_version(engine);
    v->last_seq = fr_engine_last_seq(engine);
    FR_TRY(verify_version(v));
    for (size_t i = 0; i < v->item_count; i++) {
        ret_stats->files++;
        ret_stats->bytes += v->items[i].kind == FR_FILE_TABLE ? v->items[i].table_meta->size
                                                              : v->items[i].values_meta->size;
    }
out:
    tell_stats(v, ret_stats);
    verify_deinit(v);
    fr_version_unref(version);
    return st;
}
