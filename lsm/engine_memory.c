/*
 * engine_memory.c - one budget for everything that an engine holds, and options that change while
 * it runs.
 *
 * All of its memory is on one account (base/account.h). The cache has what the others leave of the
 * budget: it is trimmed when a memtable grows, a table is opened, or a job begins. When the others
 * alone come near the budget, memtables are sealed before they are full. A write is never refused.
 */
#include "base/assert.h"
#include "lsm/engine_priv.h"
#include "lsm/file_writer.h"
#include "lsm/memtable_pool.h"
#include "lsm/table.h"

/* What must be left for blocks, in parts of the budget, or memtables end early. */
#define CACHE_PARTS 16

/* A memtable of less than this part of its size is not worth a table of its own. */
#define EARLY_PARTS 8

/* A smaller dictionary holds next to nothing: zstd's tables alone are a part of it. */
#define DICTIONARY_SIZE_MIN 512

const char *const fr_memory_part_names[FR_MEMORY_PARTS] = {
        [FR_MEMORY_MEMTABLES] = "memtables",
        [FR_MEMORY_BLOCKS] = "blocks",
        [FR_MEMORY_CACHE] = "cache_slots",
        [FR_MEMORY_TABLES] = "tables",
        [FR_MEMORY_ITERATORS] = "iterators",
        [FR_MEMORY_JOBS] = "jobs",
        [FR_MEMORY_INDEXES] = "indexes",
        [FR_MEMORY_OTHER] = "other",
};

fr_status fr_engine_open_memory(struct fr_engine *engine)
{
    const struct fr_engine_options *o = &engine->options;
    size_t most = FR_MAX(o->cache_size, o->cache_size_max);
    fr_status st;

    (void)fr_account_work_for(fr_account_part(engine->account, FR_MEMORY_CACHE));
    FR_TRY(fr_cache_new(o->cache_size, most, &engine->cache));
    fr_cache_share(engine->cache, o->memory_budget == 0 ? 0 : engine->account,
            fr_account_part(engine->account, FR_MEMORY_BLOCKS), FR_MEMORY_INDEXES);
    if (o->memory_budget != 0) fr_cache_set_capacity(engine->cache, (size_t)o->memory_budget);
out:
    (void)fr_account_work_for(fr_account_part(engine->account, FR_MEMORY_OTHER));
    return st;
}

fr_charge fr_engine_charge(const struct fr_engine *engine, enum fr_memory_part part)
{
    return fr_account_part(engine->account, part);
}

size_t fr_engine_indexes_most(const struct fr_engine *engine)
{
    size_t budget = atomic_load_explicit(&engine->memory_budget, memory_order_relaxed);

    return budget == 0 || engine->account == 0 ? SIZE_MAX : fr_cache_guests_most(budget);
}

size_t fr_engine_indexes_bytes(const struct fr_engine *engine)
{
    return fr_account_bytes(engine->account, FR_MEMORY_INDEXES);
}

fr_charge fr_engine_work_for(const struct fr_engine *engine, enum fr_memory_part part)
{
    return fr_account_work_for(fr_engine_charge(engine, part));
}

void fr_engine_work_done(fr_charge before)
{
    (void)fr_account_work_for(before);
}

void fr_engine_balance(struct fr_engine *engine)
{
    fr_cache_trim(engine->cache);
}

bool fr_engine_seals_early(struct fr_engine *engine, const struct fr_memtable *active)
{
    size_t budget = atomic_load_explicit(&engine->memory_budget, memory_order_relaxed);
    struct fr_memtable_stats stats;

    fr_cache_trim(engine->cache);
    if (budget == 0 || engine->account == 0) return false;
    size_t total = fr_account_total(engine->account);
    size_t blocks = fr_account_bytes(engine->account, FR_MEMORY_BLOCKS);
    /* What waits for the next memtable is no more than that one will take. */
    size_t waiting = engine->pool == NULL ? 0 : fr_memtable_pool_waiting(engine->pool);
    size_t guests = fr_account_bytes(engine->account, FR_MEMORY_INDEXES);
    size_t uncounted = guests - FR_MIN(guests, fr_cache_guests_most(budget));
    size_t others = total - FR_MIN(total, blocks + waiting + uncounted);
    if (others <= budget - budget / CACHE_PARTS) return false;
    fr_memtable_stats_get(active, &stats);
    return stats.held_bytes >=
           atomic_load_explicit(&engine->memtable_size, memory_order_relaxed) / EARLY_PARTS;
}

struct fr_engine_options fr_engine_options_now(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    struct fr_engine_options options = engine->live;
    fr_mutex_unlock(&engine->mu);
    return options;
}

void fr_engine_retune(struct fr_engine *engine, const struct fr_engine_options *wanted)
{
    fr_mutex_lock(&engine->mu);
    struct fr_engine_options *live = &engine->live;
    live->memory_budget = wanted->memory_budget;
    live->memtable_size = wanted->memtable_size;
    live->table_size = wanted->table_size;
    live->block_size = wanted->block_size;
    live->filter_bits = wanted->filter_bits;
    live->value_threshold = wanted->value_threshold;
    live->dictionary_size = wanted->dictionary_size;
    live->compress = wanted->compress;
    live->verify_tables = wanted->verify_tables;
    live->disk_reserve = wanted->disk_reserve;
    atomic_store_explicit(&engine->disk_reserve, wanted->disk_reserve, memory_order_relaxed);
    atomic_store_explicit(&engine->memory_budget, wanted->memory_budget, memory_order_relaxed);
    atomic_store_explicit(&engine->memtable_size, wanted->memtable_size, memory_order_relaxed);
    fr_mutex_unlock(&engine->mu);
    fr_engine_set_background_rate(engine, wanted->background_rate);
    if (engine->pool != NULL) fr_memtable_pool_keep(engine->pool, wanted->memtable_size);
    if (wanted->memory_budget != 0)
        fr_cache_set_capacity(engine->cache, (size_t)wanted->memory_budget);
}

/* A share of the budget, no more than is any use and no less than works. */
static size_t share(const struct fr_engine_options *options, size_t parts, size_t least,
        size_t most)
{
    if (options->memory_budget == 0) return most;
    size_t part = (size_t)(options->memory_budget / parts);
    if (part < least) return least;
    return FR_MIN(part, most);
}

size_t fr_engine_write_buffer(const struct fr_engine_options *options)
{
    return share(options, 128, FR_FILE_WRITER_BUFFER_MIN * 4, FR_FILE_WRITER_BUFFER_DEFAULT);
}

size_t fr_engine_dictionary_size(const struct fr_engine_options *options)
{
    uint64_t size = options->dictionary_size;

    if (options->memory_budget > 0) size = FR_MIN(size, options->memory_budget / 1024);
    size = FR_MIN(size, options->table_size / 256);
    return size < DICTIONARY_SIZE_MIN ? 0 : (size_t)size;
}

size_t fr_engine_readahead(const struct fr_engine_options *options)
{
    return share(options, 512, FR_TABLE_READAHEAD_FIRST, FR_TABLE_READAHEAD_DEFAULT);
}
