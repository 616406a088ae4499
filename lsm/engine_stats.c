/*
 * engine_stats.c - all counters and sizes of an engine at one moment, or as near to one as costs
 * nobody anything.
 */
#include "base/alloc.h"
#include "io/env.h"
#include "lsm/engine_priv.h"
#include "lsm/events.h"

/* ---- Latencies ---- */

static const char *const timed_names[FR_TIMED_KINDS] = {
        "get", "put", "sync", "flush", "compaction"};

const char *fr_timed_name(enum fr_timed kind)
{
    return timed_names[kind];
}

fr_status fr_engine_open_latencies(struct fr_engine *engine)
{
    fr_mutex_init(&engine->latency_mu, FR_RANK_LEAF);
    engine->latencies = fr_alloc_zeroed(FR_TIMED_KINDS, sizeof(engine->latencies[0]));
    if (engine->latencies == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for histograms");
    for (unsigned i = 0; i < FR_TIMED_KINDS; i++)
        fr_histogram_init(&engine->latencies[i]);
    return FR_OK;
}

void fr_engine_record(struct fr_engine *engine, enum fr_timed kind, uint64_t ns)
{
    fr_mutex_lock(&engine->latency_mu);
    fr_histogram_record(&engine->latencies[kind], ns);
    fr_mutex_unlock(&engine->latency_mu);
}

static void read_latencies(struct fr_engine *engine, struct fr_engine_stats *stats)
{
    fr_mutex_lock(&engine->latency_mu);
    for (unsigned i = 0; i < FR_TIMED_KINDS; i++) {
        const struct fr_histogram *h = &engine->latencies[i];
        stats->latencies[i] = (struct fr_latency){.count = h->count,
                .sum_ns = (uint64_t)h->sum,
                .p50_ns = fr_histogram_percentile(h, FR_P50),
                .p99_ns = fr_histogram_percentile(h, FR_P99),
                .p999_ns = fr_histogram_percentile(h, FR_P999),
                .max_ns = h->max};
    }
    fr_mutex_unlock(&engine->latency_mu);
}

/* ---- Filters: each thread adds to a line of its own, mostly, so a plain add will do ---- */

static _Atomic(unsigned) next_line; /* relaxed: any spread is good */
static _Thread_local unsigned my_line;

static void add(_Atomic(uint64_t) *to, uint64_t count)
{
    if (count == 0) return;
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + count,
            memory_order_relaxed);
}

void fr_engine_count_filters(struct fr_engine *engine, const struct fr_filter_counts *counts)
{
    if (counts->checked == 0) return;
    if (FR_UNLIKELY(my_line == 0))
        my_line = 1 +
                  atomic_fetch_add_explicit(&next_line, 1, memory_order_relaxed) % FR_FILTER_LINES;
    struct fr_filter_line *line = &engine->filter_lines[my_line - 1];
    add(&line->checked, counts->checked);
    add(&line->useful, counts->useful);
    add(&line->wrong, counts->wrong);
}

static void read_filters(const struct fr_engine *engine, struct fr_engine_stats *stats)
{
    for (unsigned i = 0; i < FR_FILTER_LINES; i++) {
        const struct fr_filter_line *line = &engine->filter_lines[i];
        stats->filter_checked += atomic_load_explicit(&line->checked, memory_order_relaxed);
        stats->filter_useful += atomic_load_explicit(&line->useful, memory_order_relaxed);
        stats->filter_wrong += atomic_load_explicit(&line->wrong, memory_order_relaxed);
    }
}

/* ---- What a version holds ---- */

static void read_level(const struct fr_version_level *level, struct fr_level_stats *stats)
{
    stats->tables = level->count;
    stats->bytes = level->file_bytes;
    for (size_t i = 0; i < level->count; i++) {
        const struct fr_version_table *table = level->tables[i];
        stats->entries += table->meta.entry_count;
        stats->deletes += table->meta.delete_count;
        stats->ranges += table->meta.range_count;
        stats->fragments += table->meta.append_count;
        stats->value_bytes += table->value_bytes;
        for (size_t r = 0; r < table->meta.ref_count; r++)
            stats->value_refs += table->meta.refs[r].count;
    }
}

static void read_version(const struct fr_version *version, struct fr_engine_stats *stats)
{
    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++) {
        read_level(&version->levels[l], &stats->levels[l]);
        stats->table_count += stats->levels[l].tables;
        stats->table_bytes += stats->levels[l].bytes;
    }
    for (size_t i = 0; i < version->values_count; i++) {
        const struct fr_edit_values *meta = &version->values[i]->meta;
        uint64_t live = version->values_live[i];
        stats->value_file_count++;
        stats->value_file_bytes += meta->size;
        stats->value_live_bytes += live;
        stats->value_garbage_bytes += meta->value_bytes - FR_MIN(meta->value_bytes, live);
    }
}

static void read_locked(struct fr_engine *engine, struct fr_engine_stats *stats)
        FR_REQUIRES(engine->mu)
{
    struct fr_memtable_stats memtable;

    *stats = engine->stats;
    fr_memtable_stats_get(engine->active, &memtable);
    stats->memtable_bytes = memtable.used_bytes;
    stats->memtable_entries = memtable.entry_count + memtable.range_count;
    stats->sealed_count = engine->sealed_count;
    for (size_t i = 0; i < engine->sealed_count; i++) {
        fr_memtable_stats_get(engine->sealed[i].memtable, &memtable);
        stats->sealed_bytes += memtable.used_bytes;
    }
    stats->flushing = engine->flushing;
    stats->compacting = engine->compacting;
    stats->stall = engine->stall;
    double rate = fr_engine_rate_locked(engine, fr_env_now_us(engine->env));
    stats->rate_now = rate >= FR_PACE_FREE ? 0 : (uint64_t)(rate * 1e6);
    stats->limited_us = fr_rate_limiter_waited_us(&engine->limiter);
    for (size_t i = 0; i < engine->snapshot_count; i++)
        stats->snapshot_count += engine->snapshots[i].count;
    stats->snapshot_oldest = engine->snapshot_count > 0 ? engine->snapshots[0].seq : 0;
    stats->memory_budget = engine->live.memory_budget;
    stats->reads_direct = engine->options.direct_reads &&
                          !atomic_load_explicit(&engine->direct_refused, memory_order_relaxed);
    stats->background_error = engine->background_error;
}

static void read_memory(const struct fr_engine *engine, struct fr_engine_stats *stats)
{
    stats->memory_total = fr_account_total(engine->account);
    for (unsigned part = 1; part < FR_MEMORY_PARTS; part++)
        stats->memory[part] = fr_account_bytes(engine->account, part);
}

static void read_cache(const struct fr_engine *engine, struct fr_engine_stats *stats)
{
    struct fr_cache_stats cache;

    fr_cache_stats_get(engine->cache, &cache);
    stats->cache_hits = cache.hits;
    stats->cache_misses = cache.misses;
    stats->cache_bytes = cache.bytes;
    stats->cache_pinned_bytes = cache.pinned_bytes;
    stats->cache_inserts = cache.inserts;
    stats->cache_evictions = cache.evictions;
    stats->cache_unplaced = cache.unplaced;
}

unsigned fr_engine_stats_part_of(size_t offset)
{
#define FROM(field) offsetof(struct fr_engine_stats, field)
    static const struct {
        size_t from, end;
        unsigned part;
    } parts[] = {
            {FROM(table_count), FROM(batch_bytes), FR_STATS_VERSION},
            {FROM(cache_hits), FROM(filter_checked), FR_STATS_CACHE},
            {FROM(filter_checked), FROM(memory_budget), FR_STATS_FILTERS},
            {FROM(memory_total), FROM(snapshot_count), FR_STATS_MEMORY},
            {FROM(latencies), FROM(background_error), FR_STATS_LATENCIES},
    };
#undef FROM

    for (size_t i = 0; i < FR_ARRAY_COUNT(parts); i++)
        if (offset >= parts[i].from && offset < parts[i].end) return parts[i].part;
    return 0;
}

void fr_engine_stats_read(struct fr_engine *engine, unsigned parts,
        struct fr_engine_stats *ret_stats)
{
    struct fr_view *view;

    /* Counters first, then what they have led to, so a sum of parts is not ahead of its whole. */
    fr_mutex_lock(&engine->mu);
    read_locked(engine, ret_stats);
    view = engine->view;
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    fr_mutex_unlock(&engine->mu);
    if (parts & FR_STATS_VERSION) {
        read_version(view->version, ret_stats);
        ret_stats->debt_bytes = fr_picker_debt(view->version, &engine->options.picker);
    }
    fr_view_unref(view);
    if (parts & FR_STATS_MEMORY) read_memory(engine, ret_stats);
    if (parts & FR_STATS_CACHE) read_cache(engine, ret_stats);
    if (parts & FR_STATS_FILTERS) read_filters(engine, ret_stats);
    if (parts & FR_STATS_LATENCIES) read_latencies(engine, ret_stats);
    ret_stats->last_seq = fr_engine_last_seq(engine);
    ret_stats->log_bytes = engine->log == NULL ? 0 : fr_wal_writer_end(engine->log);
    ret_stats->events_dropped = fr_events_dropped(engine->events);
}

void fr_engine_stats_get(struct fr_engine *engine, struct fr_engine_stats *ret_stats)
{
    fr_engine_stats_read(engine, FR_STATS_ALL, ret_stats);
}
