/*
 * db_properties.c - the one table of properties: what can be known of a store, by name.
 *
 * Each is a field of the engine's statistics, or follows from some. Those of one kind stand
 * together, a level after the other: Prometheus wants it so. A name once published stays; docs/
 * observability.md and a test compare their lists with this one.
 */
#include <inttypes.h>
#include <stddef.h>

#include "base/assert.h"
#include "db/db_priv.h"
#include "db/options.h"

enum source { FROM_FIELD, FROM_WRITE_AMPLIFICATION, FROM_STALL, FROM_ERROR_TEXT, FROM_ERROR };

struct property {
    struct fr_db_property_info info;
    enum source source;
    uint32_t offset; /* in struct fr_engine_stats, of a uint64_t */
    int level;       /* -1: of none */
};

#define FIELD(type, name, field, unit, help)                                                       \
    {                                                                                              \
        {name, type, unit, help}, FROM_FIELD, offsetof(struct fr_engine_stats, field), -1          \
    }
#define GAUGE(name, field, unit, help)   FIELD(FR_PROPERTY_GAUGE, name, field, unit, help)
#define COUNTER(name, field, unit, help) FIELD(FR_PROPERTY_COUNTER, name, field, unit, help)
#define DERIVED(type, name, source, unit, help)                                                    \
    {                                                                                              \
        {name, type, unit, help}, source, 0, -1                                                    \
    }
#define LEVEL(n, field, unit, help)                                                                \
    {                                                                                              \
        {"level" #n "." #field, FR_PROPERTY_GAUGE, unit, help}, FROM_FIELD,                        \
                offsetof(struct fr_engine_stats, levels[n].field), n                               \
    }
#define LEVELS(field, unit, help)                                                                  \
    LEVEL(0, field, unit, help), LEVEL(1, field, unit, help), LEVEL(2, field, unit, help),         \
            LEVEL(3, field, unit, help), LEVEL(4, field, unit, help), LEVEL(5, field, unit, help), \
            LEVEL(6, field, unit, help)
#define LATENCY(name, kind, what)                                                                  \
    COUNTER("latency." name ".count", latencies[kind].count, "", what ", timed"),                  \
            COUNTER("latency." name ".sum_ns", latencies[kind].sum_ns, "ns", what ", together"),   \
            GAUGE("latency." name ".p50_ns", latencies[kind].p50_ns, "ns", what ", the median"),   \
            GAUGE("latency." name ".p99_ns", latencies[kind].p99_ns, "ns",                         \
                    what ", 99 of 100 are not above"),                                             \
            GAUGE("latency." name ".p999_ns", latencies[kind].p999_ns, "ns",                       \
                    what ", 999 of 1000 are not above"),                                           \
            GAUGE("latency." name ".max_ns", latencies[kind].max_ns, "ns", what ", the longest")
static_assert(FR_LEVEL_COUNT == 7, "LEVELS names them all");

static const struct property table[] = {
        GAUGE("seq.last", last_seq, "", "the newest sequence number"),

        GAUGE("memtable.bytes", memtable_bytes, "bytes", "of the active memtable"),
        GAUGE("memtable.entries", memtable_entries, "", "in the active memtable"),
        GAUGE("memtable.sealed_count", sealed_count, "", "memtables that wait for their flush"),
        GAUGE("memtable.sealed_bytes", sealed_bytes, "bytes", "of these"),

        GAUGE("tables.count", table_count, "", "tables of all levels"),
        GAUGE("tables.bytes", table_bytes, "bytes", "of their files"),
        LEVELS(tables, "", "tables of the level"),
        LEVELS(bytes, "bytes", "of their files"),
        LEVELS(entries, "", "entries in them, range deletes not counted"),
        LEVELS(deletes, "", "deletes of single keys among the entries"),
        LEVELS(ranges, "", "range deletes, as the fragments that they are cut in"),
        LEVELS(fragments, "", "appended fragments among the entries"),
        LEVELS(value_refs, "", "entries whose value lies in a value file"),
        LEVELS(value_bytes, "bytes", "of these values"),

        GAUGE("values.count", value_file_count, "", "value files"),
        GAUGE("values.bytes", value_file_bytes, "bytes", "of the files"),
        GAUGE("values.live_bytes", value_live_bytes, "bytes", "of values that a table points to"),
        GAUGE("values.garbage_bytes", value_garbage_bytes, "bytes", "of values that none does"),

        COUNTER("cache.hits", cache_hits, "", "blocks that were found in the cache"),
        COUNTER("cache.misses", cache_misses, "", "blocks that were not"),
        COUNTER("cache.inserts", cache_inserts, "", "blocks that were brought in"),
        COUNTER("cache.evictions", cache_evictions, "", "blocks that had to go"),
        COUNTER("cache.unplaced", cache_unplaced, "", "blocks that there was no place for"),
        GAUGE("cache.bytes", cache_bytes, "bytes", "of blocks in the cache"),
        GAUGE("cache.pinned_bytes", cache_pinned_bytes, "bytes", "of those that are in use"),

        COUNTER("filter.checked", filter_checked, "", "tables whose filter a read has asked"),
        COUNTER("filter.useful", filter_useful, "", "filters that said no, and saved a block"),
        COUNTER("filter.wrong", filter_wrong, "",
                "filters that said yes, and the key was not there"),

        DERIVED(FR_PROPERTY_TEXT, "stall.state", FROM_STALL, "",
                "why writers wait at the moment: none, memtables or pace"),
        COUNTER("stall.us", stall_us, "us", "that writers have waited, for any reason"),
        COUNTER("stall.memtables.count", stall_count_by[FR_STALL_MEMTABLES], "",
                "waits for a memtable to be flushed"),
        COUNTER("stall.memtables.us", stall_us_by[FR_STALL_MEMTABLES], "us", "of these waits"),
        COUNTER("stall.pace.count", stall_count_by[FR_STALL_PACE], "",
                "times that flush or compaction fell behind"),
        COUNTER("stall.pace.us", stall_us_by[FR_STALL_PACE], "us", "of these times"),
        GAUGE("stall.rate", rate_now, "bytes",
                "a second, that writers are held to now; 0: none is"),
        COUNTER("write.refused", refused_count, "", "writes for which there was no room"),
        COUNTER("jobs.retries", retry_count, "", "flushes and compactions that are tried again"),
        COUNTER("jobs.limited_us", limited_us, "us", "that they waited for background_rate"),

        COUNTER("bytes.user", batch_bytes, "bytes", "that callers wrote, keys and values"),
        GAUGE("bytes.log", log_bytes, "bytes", "where the log ends, counted from its first byte"),
        COUNTER("bytes.flush", flush_bytes, "bytes", "that flushes wrote"),
        COUNTER("bytes.compaction_read", compaction_read_bytes, "bytes",
                "of tables that were merged"),
        COUNTER("bytes.compaction_write", compaction_write_bytes, "bytes",
                "that compactions wrote"),
        COUNTER("bytes.garbage_read", garbage_read_bytes, "bytes",
                "of compaction_read, for the sake of value files"),
        COUNTER("bytes.garbage_write", garbage_write_bytes, "bytes",
                "of compaction_write, for the sake of value files"),
        DERIVED(FR_PROPERTY_RATIO, "write_amplification", FROM_WRITE_AMPLIFICATION, "",
                "bytes that flushes and compactions wrote, the log once more, to those of callers"),

        GAUGE("compaction.debt_bytes", debt_bytes, "bytes",
                "that the levels are over their targets"),
        COUNTER("compaction.count", compaction_count, "", "merges of tables"),
        COUNTER("compaction.moves", move_count, "", "tables that went down as they are"),
        COUNTER("compaction.covered", covered_count, "",
                "tables dropped unread: a range delete covers them"),
        COUNTER("compaction.garbage_count", garbage_count, "",
                "merges for the sake of value files"),
        GAUGE("compaction.running", compacting, "", "compactions that are under way"),
        COUNTER("flush.count", flush_count, "", "memtables that were flushed"),
        GAUGE("flush.running", flushing, "", "flushes that are under way"),

        GAUGE("reads.direct", reads_direct, "", "1 if tables and value files are read directly"),
        GAUGE("memory.budget", memory_budget, "bytes", "for all parts of memory together"),
        GAUGE("memory.total", memory_total, "bytes", "of all parts"),
        GAUGE("memory.memtables", memory[FR_MEMORY_MEMTABLES], "bytes", "active, sealed, and read"),
        GAUGE("memory.blocks", memory[FR_MEMORY_BLOCKS], "bytes", "in the cache or pinned"),
        GAUGE("memory.cache_slots", memory[FR_MEMORY_CACHE], "bytes", "of the cache itself"),
        GAUGE("memory.tables", memory[FR_MEMORY_TABLES], "bytes",
                "indexes and filters of open tables"),
        GAUGE("memory.iterators", memory[FR_MEMORY_ITERATORS], "bytes",
                "their windows and buffers"),
        GAUGE("memory.jobs", memory[FR_MEMORY_JOBS], "bytes", "buffers of flush and compaction"),
        GAUGE("memory.indexes", memory[FR_MEMORY_INDEXES], "bytes", "what finds vectors"),
        GAUGE("memory.other", memory[FR_MEMORY_OTHER], "bytes", "lists of files, log, manifest"),

        GAUGE("snapshots.count", snapshot_count, "", "snapshots that are held"),
        GAUGE("snapshots.oldest_seq", snapshot_oldest, "", "the oldest one's number; 0: none"),

        DERIVED(FR_PROPERTY_GAUGE, "background_error", FROM_ERROR, "",
                "1: a job or the log has failed, and writing has stopped"),
        DERIVED(FR_PROPERTY_TEXT, "background_error.text", FROM_ERROR_TEXT, "",
                "what has failed, in words"),
        GAUGE("scrub.running", scrub_running, "", "1: all files are being checked"),
        COUNTER("scrub.count", scrub_count, "", "checks of all files that came to their end"),
        COUNTER("scrub.bytes", scrub_bytes, "bytes", "of the files that these have read"),
        COUNTER("scrub.findings", scrub_findings, "", "what checks have found, each time anew"),
        GAUGE("scrub.last_findings", scrub_last_findings, "",
                "what the latest that came to its end has found; 0: all is well"),

        COUNTER("events.dropped", events_dropped, "", "events that a slow hook has missed"),

        LATENCY("get", FR_TIMED_GET, "reads of a key, one in 64"),
        LATENCY("put", FR_TIMED_PUT, "writes, one in 64"),
        LATENCY("sync", FR_TIMED_SYNC, "syncs of the log"),
        LATENCY("flush", FR_TIMED_FLUSH, "flushes"),
        LATENCY("compaction", FR_TIMED_COMPACTION, "compactions"),
};

const struct fr_db_property_info *fr_db_property_list(size_t index)
{
    return index < FR_ARRAY_COUNT(table) ? &table[index].info : NULL;
}

static fr_status find_property(const char *name, const struct property **ret_property)
{
    for (size_t i = 0; name != NULL && i < FR_ARRAY_COUNT(table); i++)
        if (strcmp(table[i].info.name, name) == 0) {
            *ret_property = &table[i];
            return FR_OK;
        }
    return FR_FAIL(FR_ERR_MISUSE, "there is no property \"%.60s\"", name == NULL ? "" : name);
}

/* In thousandths; 0 while nobody has written. */
static uint64_t write_amplification(const struct fr_engine_stats *stats)
{
    __extension__ typedef unsigned __int128 wide;
    wide written = (wide)stats->batch_bytes + stats->flush_bytes + stats->compaction_write_bytes;

    return stats->batch_bytes == 0 ? 0 : (uint64_t)(written * 1000 / stats->batch_bytes);
}

static uint64_t number_of(const struct property *property, const struct fr_engine_stats *stats)
{
    switch (property->source) {
    case FROM_WRITE_AMPLIFICATION:
        return write_amplification(stats);
    case FROM_ERROR:
        return stats->background_error.status != FR_OK;
    case FROM_FIELD:
        return *(const uint64_t *)(const void *)((const char *)stats + property->offset);
    case FROM_STALL:
    case FROM_ERROR_TEXT:
        break;
    }
    return 0;
}

static const char *text_of(const struct property *property, const struct fr_engine_stats *stats)
{
    static const char *const stalls[FR_STALL_REASONS] = {"none", "memtables", "pace"};

    if (property->source == FROM_STALL) return stalls[stats->stall];
    return stats->background_error.status == FR_OK ? "" : stats->background_error.text;
}

/* What this one property is made of, and not the rest. */
static void read_for(struct fr_db *db, const struct property *property,
        struct fr_engine_stats *ret_stats)
{
    bool field = property->source == FROM_FIELD;

    fr_engine_stats_read(db->engine, field ? fr_engine_stats_part_of(property->offset) : 0,
            ret_stats);
    fr_scrub_count(&db->scrub, ret_stats);
}

static void print_number(struct fr_buf *to, const struct property *property,
        const struct fr_engine_stats *stats)
{
    uint64_t number = number_of(property, stats);

    if (property->info.type == FR_PROPERTY_RATIO)
        fr_buf_printf(to, "%" PRIu64 ".%03" PRIu64, number / 1000, number % 1000);
    else
        fr_buf_printf(to, "%" PRIu64, number);
}

fr_status fr_db_property(struct fr_db *db, const char *name, char *to, size_t room,
        size_t *ret_size)
{
    const struct property *property = NULL;
    struct fr_engine_stats stats;
    struct fr_buf text = FR_BUF_EMPTY;
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(find_property(name, &property));
    FR_ASSERT(property != NULL);
    if (to == NULL && room > 0) return FR_FAIL(FR_ERR_MISUSE, "fr_db_property: no place for it");
    read_for(db, property, &stats);
    if (property->info.type == FR_PROPERTY_TEXT)
        fr_buf_printf(&text, "%s", text_of(property, &stats));
    else
        print_number(&text, property, &stats);
    st = fr_db_give_text(&text, to, room, ret_size);
out:
    return st;
}

fr_status fr_db_property_u64(struct fr_db *db, const char *name, uint64_t *ret_value)
{
    const struct property *property = NULL;
    struct fr_engine_stats stats;
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(find_property(name, &property));
    FR_ASSERT(property != NULL);
    if (property->info.type == FR_PROPERTY_TEXT || ret_value == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "property %s is no number", name);
    read_for(db, property, &stats);
    *ret_value = number_of(property, &stats);
out:
    return st;
}

/* ---- All of them ---- */

static void dump_text(struct fr_buf *to, const struct fr_engine_stats *stats)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++) {
        const struct fr_db_property_info *info = &table[i].info;
        fr_buf_printf(to, "%s ", info->name);
        if (info->type == FR_PROPERTY_TEXT)
            fr_buf_printf(to, "%s", text_of(&table[i], stats));
        else
            print_number(to, &table[i], stats);
        fr_buf_printf(to, "%s%s\n", info->unit[0] == '\0' ? "" : " ", info->unit);
    }
}

/* Messages hold paths, and paths may hold anything: what is not plain ASCII is shown by number. */
static void print_escaped(struct fr_buf *to, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fr_buf_printf(to, "\\%c", *at);
        else if (*at < 0x20 || *at >= 0x7f)
            fr_buf_printf(to, "\\u%04x", *at);
        else
            fr_buf_u8(to, *at);
    }
}

static void dump_json(struct fr_buf *to, const struct fr_engine_stats *stats)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++) {
        fr_buf_printf(to, "%s\n  \"%s\": ", i == 0 ? "{" : ",", table[i].info.name);
        if (table[i].info.type != FR_PROPERTY_TEXT) {
            print_number(to, &table[i], stats);
            continue;
        }
        fr_buf_u8(to, '"');
        print_escaped(to, text_of(&table[i], stats));
        fr_buf_u8(to, '"');
    }
    fr_buf_printf(to, "\n}\n");
}

/* "level3.bytes" is freshet_level_bytes{level="3"}; counters end in _total, as is the custom. */
static void metric_name(const struct property *property, struct fr_buf *to)
{
    const char *name = property->info.name;

    fr_buf_printf(to, "freshet_");
    if (property->level >= 0) {
        fr_buf_printf(to, "level_");
        name += strlen("level0.");
    }
    for (; *name != '\0'; name++)
        fr_buf_u8(to, *name == '.' ? '_' : (uint8_t)*name);
    if (property->info.type == FR_PROPERTY_COUNTER) fr_buf_printf(to, "_total");
    fr_buf_u8(to, 0);
}

static void dump_metric(struct fr_buf *to, struct fr_buf *name, const struct property *property,
        const struct fr_engine_stats *stats)
{
    const char *type = property->info.type == FR_PROPERTY_COUNTER ? "counter" : "gauge";

    fr_buf_clear(name);
    metric_name(property, name);
    if (name->failed) return;
    const char *metric = (const char *)name->data;
    if (property->level <= 0)
        fr_buf_printf(to, "# HELP %s %s\n# TYPE %s %s\n", metric, property->info.help, metric,
                type);
    fr_buf_printf(to, "%s", metric);
    if (property->level >= 0) fr_buf_printf(to, "{level=\"%d\"}", property->level);
    fr_buf_u8(to, ' ');
    print_number(to, property, stats);
    fr_buf_u8(to, '\n');
}

static void dump_prometheus(struct fr_buf *to, const struct fr_engine_stats *stats)
{
    struct fr_buf name = FR_BUF_EMPTY;

    for (size_t i = 0; i < FR_ARRAY_COUNT(table); i++)
        if (table[i].info.type != FR_PROPERTY_TEXT) dump_metric(to, &name, &table[i], stats);
    to->failed |= name.failed;
    fr_buf_deinit(&name);
}

fr_status fr_db_dump(struct fr_db *db, fr_dump_format format, char *to, size_t room,
        size_t *ret_size)
{
    static void (*const dumps[])(struct fr_buf *, const struct fr_engine_stats *) = {
            dump_text, dump_json, dump_prometheus};
    struct fr_engine_stats stats;
    struct fr_buf text = FR_BUF_EMPTY;
    fr_status st;

    FR_TRY(fr_db_check(db));
    if ((unsigned)format >= FR_ARRAY_COUNT(dumps) || (to == NULL && room > 0))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_dump: no such format, or no place for it");
    fr_engine_stats_get(db->engine, &stats);
    fr_scrub_count(&db->scrub, &stats);
    dumps[format](&text, &stats);
    st = fr_db_give_text(&text, to, room, ret_size);
out:
    return st;
}
