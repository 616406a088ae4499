/*
 * engine_scan.c - iterators: a visible iterator (lsm/visible_iter.h) over all sources of one view,
 * which it keeps alive.
 */
#include "base/alloc.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/level_iter.h"
#include "lsm/place.h"
#include "lsm/visible_iter.h"

struct scan {
    struct fr_iter iter; /* passes everything on to `visible` */
    struct fr_iter *visible;
    struct fr_view *view;
    fr_charge charge; /* what its steps allocate goes there */
    struct fr_value_windows windows;
    const uint8_t *found; /* in these, the last */
};

static struct scan *of(struct fr_iter *it)
{
    return FR_CONTAINER_OF(it, struct scan, iter);
}

static void scan_close(struct fr_iter *it)
{
    struct scan *scan = of(it);

    fr_iter_close(scan->visible);
    fr_value_windows_deinit(&scan->windows);
    fr_view_unref(scan->view);
    fr_free(scan);
}

static void scan_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    fr_charge before = fr_account_work_for(of(it)->charge);

    fr_iter_seek(of(it)->visible, key, seq);
    fr_engine_work_done(before);
}

static void scan_seek_first(struct fr_iter *it)
{
    fr_charge before = fr_account_work_for(of(it)->charge);

    fr_iter_seek_first(of(it)->visible);
    fr_engine_work_done(before);
}

static void scan_seek_last(struct fr_iter *it)
{
    fr_charge before = fr_account_work_for(of(it)->charge);

    fr_iter_seek_last(of(it)->visible);
    fr_engine_work_done(before);
}

static fr_status scan_next(struct fr_iter *it)
{
    fr_charge before = fr_account_work_for(of(it)->charge);
    fr_status st = fr_iter_next(of(it)->visible);

    fr_engine_work_done(before);
    it->entry = of(it)->visible->entry;
    return st;
}

static fr_status scan_prev(struct fr_iter *it)
{
    fr_charge before = fr_account_work_for(of(it)->charge);
    fr_status st = fr_iter_prev(of(it)->visible);

    fr_engine_work_done(before);
    it->entry = of(it)->visible->entry;
    return st;
}

/* Where the bytes of a value in a value file lie. */
static fr_status look(void *arg, const struct fr_entry *entry, fr_slice *ret_value)
{
    struct scan *scan = arg;
    struct fr_place place;

    if (FR_UNLIKELY(!fr_place_get(entry->value, &place)))
        return FR_FAIL(FR_ERR_CORRUPT, "an entry's place of its value makes no sense");
    fr_status st = fr_value_windows_get(&scan->windows, &place, entry->key, entry->seq, ret_value);
    scan->found = st == FR_OK ? ret_value->data : NULL;
    return st;
}

struct fr_spot fr_engine_scan_spot(const struct fr_iter *it)
{
    const struct scan *scan = of(fr_unconst(it));

    /* Else it lies in a table or a memtable, or others were appended to it. */
    if (scan->found == NULL || it->entry.value.data != scan->found) return (struct fr_spot){0};
    return scan->windows.spot;
}

static const struct fr_iter_ops scan_ops = {
        .close = scan_close,
        .seek = scan_seek,
        .seek_first = scan_seek_first,
        .seek_last = scan_seek_last,
        .next = scan_next,
        .prev = scan_prev,
};

/* The sources while they are gathered; iterators and sets of ranges are ours until handed over. */
struct sources {
    struct fr_merge_source *merge;
    size_t count;
    struct fr_range_set **ranges;
    size_t range_count;
};

static fr_status add_memtable(struct sources *s, const struct fr_memtable *memtable)
{
    struct fr_range_set *ranges = NULL;
    struct fr_iter *it;
    fr_status st;

    FR_TRY(fr_memtable_iter_new(memtable, false, &it));
    s->merge[s->count++] = (struct fr_merge_source){.it = it, .seq_max = FR_SEQ_MAX};
    FR_TRY(fr_memtable_ranges(memtable, &ranges));
    if (ranges != NULL) s->ranges[s->range_count++] = ranges;
out:
    return st;
}

static void add_ranges(struct sources *s, const struct fr_version_table *table)
{
    if (table->ranges != NULL) s->ranges[s->range_count++] = fr_range_set_ref(table->ranges);
}

static fr_status add_level0(struct sources *s, const struct fr_version_table *table,
        const struct fr_table_iter_options *options)
{
    struct fr_iter *it;

    fr_status st = fr_table_iter_new(table->table, options, &it);
    if (st < 0) return st;
    s->merge[s->count++] = (struct fr_merge_source){.it = it, .seq_max = table->meta.largest_seq};
    add_ranges(s, table);
    return FR_OK;
}

static fr_status add_level(struct sources *s, const struct fr_version_level *level,
        const struct fr_table_iter_options *options)
{
    struct fr_iter *it;
    fr_seq seq_max = 0;

    if (level->count == 0) return FR_OK;
    fr_status st = fr_level_iter_new(level, options, &it);
    if (st < 0) return st;
    for (size_t i = 0; i < level->count; i++) {
        seq_max = FR_MAX(seq_max, level->tables[i]->meta.largest_seq);
        add_ranges(s, level->tables[i]);
    }
    s->merge[s->count++] = (struct fr_merge_source){.it = it, .seq_max = seq_max};
    return FR_OK;
}

static fr_status gather(struct sources *s, const struct fr_view *view,
        const struct fr_table_iter_options *options)
{
    const struct fr_version *version = view->version;
    size_t most = 1 + view->sealed_count + version->levels[0].count + FR_LEVEL_COUNT;
    size_t tables = 0;
    fr_status st;

    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++)
        tables += version->levels[l].count;
    s->merge = fr_alloc_zeroed(most, sizeof(*s->merge));
    s->ranges = fr_alloc_zeroed(1 + view->sealed_count + tables, sizeof(void *));
    if (s->merge == NULL || s->ranges == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator");
    FR_TRY(add_memtable(s, view->active));
    for (size_t i = 0; i < view->sealed_count; i++)
        FR_TRY(add_memtable(s, view->sealed[i]));
    for (size_t i = 0; i < version->levels[0].count; i++)
        FR_TRY(add_level0(s, version->levels[0].tables[i], options));
    for (unsigned l = 1; l < FR_LEVEL_COUNT; l++)
        FR_TRY(add_level(s, &version->levels[l], options));
out:
    return st;
}

static void drop_sources(struct sources *s)
{
    for (size_t i = 0; i < s->count; i++)
        fr_iter_close(s->merge[i].it);
    for (size_t i = 0; i < s->range_count; i++)
        fr_range_set_unref(s->ranges[i]);
    fr_free(s->merge);
    fr_free(s->ranges);
}

static fr_status open_scan(struct fr_engine *engine, const struct fr_engine_scan_options *options,
        struct fr_iter **ret_iter)
{
    struct fr_table_iter_options table_options = {.readahead_max = options->readahead_max,
            .fill_cache = !options->no_cache,
            .damage = options->damage,
            .damage_ctx = options->damage_ctx};
    struct scan *scan = FR_NEW(struct scan);
    struct sources s = {0};
    fr_status st;

    if (scan == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator");
    scan->iter.ops = &scan_ops;
    scan->charge = fr_account_current();
    scan->view = fr_engine_view_or(engine, options->view);
    scan->windows.find = fr_engine_find_values;
    scan->windows.find_ctx = scan->view->version;
    FR_TRY(gather(&s, scan->view, &table_options));
    struct fr_visible_options visible = {
            .at = options->at == FR_SEQ_MAX ? fr_engine_last_seq(engine) : options->at,
            .now_us = fr_env_wall_us(engine->env),
            .bounds = {.lower = options->lower, .upper = options->upper},
            .prefix = options->prefix,
            .look = look,
            .fetch_ctx = scan,
            .damage = options->damage,
            .damage_ctx = options->damage_ctx,
            .known = options->known,
            .known_ctx = options->known_ctx,
            .ranges = s.ranges,
            .range_count = s.range_count};
    size_t count = s.count;
    s.count = 0; /* the iterator's from here on */
    FR_TRY(fr_visible_iter_new(s.merge, count, &visible, &scan->visible));
    *ret_iter = &scan->iter;
    scan = NULL;
out:
    drop_sources(&s);
    if (scan != NULL) scan_close(&scan->iter);
    return st;
}

fr_status fr_engine_scan(struct fr_engine *engine, const struct fr_engine_scan_options *options,
        struct fr_iter **ret_iter)
{
    fr_charge before = fr_engine_work_for(engine, FR_MEMORY_ITERATORS);
    fr_status st = open_scan(engine, options, ret_iter);

    fr_engine_work_done(before);
    return st;
}
