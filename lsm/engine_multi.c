/*
 * engine_multi.c - reads of many keys at once: plan, read everything that is missing, answer.
 *
 *     plan      each key: memtables, then the tables that may have it, by range and filter
 *     blocks    of all keys and all levels: cached, or at once from the system's memory, or in one
 *               submission to the device, each block once
 *     answer    each key from its blocks, from the newest table to the oldest
 *     values    of all keys that turn out to lie in value files: the same, in a second submission
 *
 * So a call waits for the device twice, however many keys and levels there are. Blocks of older
 * tables are read although a newer one may make them needless; filters let few of these through,
 * and another round for the others would cost all keys a wait.
 *
 * In memory, too, most of the time is spent waiting. Hence each step goes over all keys, and asks
 * for what the next step will look at: filters, the cache's slots, the first lines of blocks.
 *
 * What a call works with (an array of reads, and a queue to the device once it needed one) waits in
 * a pool for the next call.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/io_queue.h"
#include "lsm/engine_read.h"

/* Tables of one key that are planned; further ones are read one after the other. */
#define SOURCES_MAX 12

/* What is read in one submission. A key whose block is beyond that waits for it on its own. */
#define TRANSFERS_MAX 512
#define PENDING_SLOTS (2 * TRANSFERS_MAX)

#define POOL_MAX 16

struct source {
    const struct fr_version_table *table;
    struct fr_table_spot spot;
    struct fr_table_block *block; /* pinned, or NULL */
    bool wanted;                  /* the filter lets it, and it has a block for the key */
    uint16_t waits_for;           /* 1 + the transfer that brings the block, or 0 */
};

/* A key on its way. */
struct item {
    struct fr_read read;
    struct fr_sources rest; /* behind the planned ones */
    struct source sources[SOURCES_MAX];
    size_t count;
    bool more; /* than were planned */
    bool open; /* read has begun */
    bool placed;
    struct fr_read_place place;
    struct fr_value_record *record; /* being read */
};

/* A block or record that comes from the device. */
struct transfer {
    struct fr_io_request request;
    struct item *item;     /* whose record it is, or NULL: */
    struct source *source; /* the first of those who want the block */
    fr_status status;
    struct fr_table_block *block; /* pinned, once it has arrived */
};

struct multi {
    struct multi *next;
    struct fr_io_queue *queue; /* NULL: never needed */
    size_t transfer_count;
    uint16_t pending[PENDING_SLOTS]; /* 1 + a transfer, or 0: blocks by their place */
    struct transfer transfers[TRANSFERS_MAX];
    struct item items[FR_ENGINE_MULTI_MAX];
};

struct fr_multi_pool {
    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct multi *first;
    size_t count;
};

/* ---- The pool ---- */

static void free_multi(struct multi *m)
{
    if (m->queue != NULL) fr_io_queue_close(m->queue);
    fr_free(m);
}

fr_status fr_multi_pool_new(struct fr_multi_pool **ret_pool)
{
    struct fr_multi_pool *pool = FR_NEW(struct fr_multi_pool);

    if (pool == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for reads of many keys");
    fr_mutex_init(&pool->mu, FR_RANK_LEAF);
    *ret_pool = pool;
    return FR_OK;
}

void fr_multi_pool_free(struct fr_multi_pool *pool)
{
    if (pool == NULL) return;
    for (struct multi *m = pool->first, *next; m != NULL; m = next) {
        next = m->next;
        free_multi(m);
    }
    fr_mutex_deinit(&pool->mu);
    fr_free(pool);
}

static struct multi *take_multi(struct fr_multi_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    struct multi *m = pool->first;
    if (m != NULL) {
        pool->first = m->next;
        pool->count--;
    }
    fr_mutex_unlock(&pool->mu);
    return m != NULL ? m : FR_NEW(struct multi);
}

static void give_multi(struct fr_multi_pool *pool, struct multi *m)
{
    fr_mutex_lock(&pool->mu);
    bool keep = pool->count < POOL_MAX;
    if (keep) {
        m->next = pool->first;
        pool->first = m;
        pool->count++;
    }
    fr_mutex_unlock(&pool->mu);
    if (!keep) free_multi(m);
}

/* ---- Transfers ---- */

/* Read them all in one submission; each has its outcome in its request then. */
static void run_transfers(struct fr_engine *engine, struct multi *m)
{
    struct fr_io_queue_options options = {.wanders = true};

    if (m->transfer_count > 1 && m->queue == NULL &&
            fr_io_queue_open(engine->env, &options, &m->queue) < 0)
        m->queue = NULL; /* one after the other, then */
    if (m->transfer_count == 1 || m->queue == NULL) {
        for (size_t i = 0; i < m->transfer_count; i++) {
            struct fr_io_request *r = &m->transfers[i].request;
            m->transfers[i].status =
                    fr_file_read(r->file, r->offset, r->data, r->size, &r->done_size);
        }
        return;
    }
    for (size_t i = 0; i < m->transfer_count; i++)
        fr_io_queue_push(m->queue, &m->transfers[i].request);
    fr_io_queue_wait(m->queue, m->transfer_count);
    while (fr_io_queue_pop(m->queue) != NULL)
        continue;
    for (size_t i = 0; i < m->transfer_count; i++)
        m->transfers[i].status = fr_io_request_check(&m->transfers[i].request);
}

/* ---- Plan ---- */

static void plan(struct item *item)
{
    struct fr_sources sources = {.version = item->read.view->version, .key = item->read.lookup.key};
    const struct fr_version_table *table = NULL;

    item->count = 0;
    while (item->count < SOURCES_MAX && (table = fr_sources_next(&sources)) != NULL) {
        item->sources[item->count++] = (struct source){.table = table};
        fr_table_prefetch(table->table, item->read.hash);
    }
    item->more = table != NULL;
    item->rest = sources;
}

/* Filters and indexes: which blocks there are to look at. */
static void choose_blocks(struct item *item)
{
    struct fr_lookup *lookup = &item->read.lookup;

    for (size_t i = 0; i < item->count; i++) {
        struct source *source = &item->sources[i];
        struct fr_table *table = source->table->table;
        source->wanted = fr_read_passes(&item->read, table) &&
                         fr_table_locate(table, lookup->key, lookup->at, &source->spot) == FR_OK;
        if (source->wanted) fr_table_block_prefetch(table, &source->spot.handle, 0);
    }
}

static void prefetch_blocks(const struct item *item)
{
    for (size_t i = 0; i < item->count; i++)
        if (item->sources[i].wanted)
            fr_table_block_prefetch(item->sources[i].table->table, &item->sources[i].spot.handle,
                    10);
}

/* ---- Blocks ---- */

/* Is it on its way already, for another key? *ret_slot: where to note that it is, from now on. */
static uint16_t find_pending(const struct multi *m, const struct source *source,
        const struct fr_io_request *request, uint16_t **ret_slot)
{
    uint64_t hash = fr_mix64((uintptr_t)source->table->table ^ request->offset);

    for (size_t at = hash % PENDING_SLOTS;; at = (at + 1) % PENDING_SLOTS) {
        uint16_t number = m->pending[at];
        *ret_slot = fr_unconst(&m->pending[at]);
        if (number == 0) return 0;
        const struct fr_io_request *other = &m->transfers[number - 1].request;
        if (other->file == request->file && other->offset == request->offset) return number;
    }
}

static void ask_device(struct multi *m, struct source *source, const struct fr_io_request *request,
        uint16_t *pending)
{
    m->transfers[m->transfer_count++] = (struct transfer){.request = *request, .source = source};
    source->waits_for = *pending = (uint16_t)m->transfer_count;
}

/* Pin the block, or see to it that it is read. */
static fr_status want_block(struct multi *m, struct source *source)
{
    struct fr_table *table = source->table->table;
    const struct fr_block_handle *handle = &source->spot.handle;
    struct fr_io_request request;
    uint16_t *pending = NULL;
    void *buffer = NULL;
    fr_status st = FR_OK;

    if (fr_table_block_cached(table, handle, &source->block)) return FR_OK;
    fr_table_block_request(table, handle, NULL, &request);
    source->waits_for = find_pending(m, source, &request, &pending);
    if (source->waits_for != 0 || m->transfer_count == TRANSFERS_MAX) return FR_OK;
    request.data = buffer = fr_alloc(handle->size);
    if (buffer == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "%s: no memory to read a block", fr_table_path(table)));
    if (fr_file_read_cached(request.file, request.offset, buffer, request.size)) {
        request.done_size = request.size;
        FR_TRY(fr_table_block_accept(table, handle, &request, &source->block));
    } else {
        ask_device(m, source, &request, pending);
        buffer = NULL; /* the transfer's */
    }
out:
    fr_free(buffer);
    return st;
}

static void accept_blocks(struct multi *m)
{
    for (size_t i = 0; i < m->transfer_count; i++) {
        struct transfer *t = &m->transfers[i];
        if (t->status == FR_OK)
            t->status = fr_table_block_accept(t->source->table->table, &t->source->spot.handle,
                    &t->request, &t->block);
        fr_free(t->request.data);
    }
}

/* A transfer's block for each source that waits for it. */
static fr_status take_arrived(struct multi *m, struct source *source)
{
    if (source->waits_for == 0) return FR_OK;
    struct transfer *t = &m->transfers[source->waits_for - 1];
    source->waits_for = 0;
    if (t->status < 0) return t->status;
    fr_cache_pin(&t->block->item);
    source->block = t->block;
    return FR_OK;
}

/* The blocks that transfers have brought are with those who asked for them, or not needed. */
static void forget_transfers(struct fr_engine *engine, struct multi *m)
{
    if (m->transfer_count == 0) return;
    for (size_t i = 0; i < m->transfer_count; i++)
        if (m->transfers[i].block != NULL)
            fr_cache_release(engine->cache, &m->transfers[i].block->item);
    memset(m->pending, 0, sizeof(m->pending));
    m->transfer_count = 0;
}

/* ---- Answer ---- */

static fr_status answer(struct multi *m, struct item *item)
{
    struct fr_read *read = &item->read;
    fr_status st = FR_OK;

    for (size_t i = 0; i < item->count && !fr_lookup_complete(&read->lookup); i++) {
        struct source *source = &item->sources[i];
        fr_read_ranges(read, source->table);
        if (source->wanted) {
            FR_TRY(take_arrived(m, source));
            FR_TRY(fr_read_table(read, source->table->table, source->spot, FR_TAKE(source->block)));
        }
        fr_lookup_source_done(&read->lookup);
    }
    if (item->more && !fr_lookup_complete(&read->lookup))
        FR_TRY(fr_read_sources(read, &item->rest));
out:
    return st;
}

/* ---- Values ---- */

static fr_status want_value(struct fr_engine *engine, struct multi *m, struct item *item)
{
    struct fr_read_place *at = &item->place;
    struct fr_read *read = &item->read;
    fr_slice key = read->lookup.key;
    struct fr_io_request request;

    fr_status st = fr_value_record_cached(at->file, engine->cache, &at->place, key, at->seq,
            &read->record);
    if (st != FR_NOT_FOUND) return st;
    FR_TRY(fr_value_record_new(at->file, &at->place, key, &item->record, &request));
    if (!fr_file_read_cached(request.file, request.offset, request.data, request.size)) {
        m->transfers[m->transfer_count++] = (struct transfer){.request = request, .item = item};
        return FR_OK;
    }
    request.done_size = request.size;
    FR_TRY(fr_value_record_accept(at->file, engine->cache, &at->place, key, at->seq, &request,
            &item->record));
    read->record = FR_TAKE(item->record);
out:
    return st;
}

static fr_status accept_value(struct fr_engine *engine, struct transfer *t)
{
    struct item *item = t->item;
    struct fr_read_place *at = &item->place;
    fr_status st = t->status;

    FR_TRY(st);
    FR_TRY(fr_value_record_accept(at->file, engine->cache, &at->place, item->read.lookup.key,
            at->seq, &t->request, &item->record));
    item->read.record = FR_TAKE(item->record);
out:
    return st;
}

/* ---- All of it ---- */

/* Each step for all keys that are still under way; a key that fails drops out. */
static void begin_all(struct fr_engine *engine, struct multi *m, const struct fr_view *view,
        fr_seq at, uint64_t *moment_us, size_t count, const fr_slice *keys, fr_status *statuses)
{
    for (size_t i = 0; i < count; i++) {
        struct item *item = &m->items[i];
        item->open = statuses[i] >= 0;
        item->count = 0;
        item->record = NULL;
        item->placed = item->more = false;
        if (!item->open) continue;
        fr_read_begin(&item->read, engine, view, keys[i], fr_hash64(keys[i]), at);
        item->read.lookup.moment_us = moment_us;
        statuses[i] = fr_read_memtables(&item->read);
        if (statuses[i] == FR_OK && !fr_lookup_complete(&item->read.lookup)) plan(item);
    }
}

static void want_blocks(struct multi *m, struct item *item, fr_status *status)
{
    for (size_t i = 0; i < item->count && *status >= 0; i++)
        if (item->sources[i].wanted) *status = want_block(m, &item->sources[i]);
}

static void read_blocks(struct fr_engine *engine, struct multi *m, size_t count,
        fr_status *statuses)
{
    for (size_t i = 0; i < count; i++)
        choose_blocks(&m->items[i]);
    for (size_t i = 0; i < count; i++)
        prefetch_blocks(&m->items[i]);
    for (size_t i = 0; i < count; i++)
        want_blocks(m, &m->items[i], &statuses[i]);
    run_transfers(engine, m);
    accept_blocks(m);
    for (size_t i = 0; i < count; i++)
        if (m->items[i].open && statuses[i] >= 0) statuses[i] = answer(m, &m->items[i]);
    forget_transfers(engine, m);
}

static void read_values(struct fr_engine *engine, struct multi *m, size_t count,
        fr_status *statuses)
{
    for (size_t i = 0; i < count; i++) {
        struct item *item = &m->items[i];
        if (!item->open || statuses[i] < 0) continue;
        fr_status st = fr_read_place(&item->read, &item->place);
        item->placed = st == FR_OK;
        if (st < 0) statuses[i] = st;
        if (item->placed)
            fr_value_record_prefetch(item->place.file, engine->cache, &item->place.place, 0);
    }
    for (size_t i = 0; i < count; i++)
        if (m->items[i].placed)
            fr_value_record_prefetch(m->items[i].place.file, engine->cache,
                    &m->items[i].place.place, 10);
    for (size_t i = 0; i < count; i++)
        if (m->items[i].placed) statuses[i] = want_value(engine, m, &m->items[i]);
    run_transfers(engine, m);
    for (size_t i = 0; i < m->transfer_count; i++) {
        struct transfer *t = &m->transfers[i];
        fr_status st = accept_value(engine, t);
        if (st < 0) statuses[t->item - m->items] = st;
    }
    m->transfer_count = 0;
}

static void end_item(struct fr_engine *engine, struct item *item)
{
    for (size_t i = 0; i < item->count; i++)
        if (item->sources[i].block != NULL)
            fr_cache_release(engine->cache, &item->sources[i].block->item);
    fr_value_record_free(item->record);
    fr_read_end(&item->read);
}

fr_status fr_engine_multi_get(struct fr_engine *engine, struct fr_view *view, fr_seq at,
        uint64_t *moment_us, size_t count, const fr_slice *keys, struct fr_engine_value *values,
        fr_status *statuses)
{
    struct multi *m = take_multi(engine->multis);

    FR_ASSERT(count <= FR_ENGINE_MULTI_MAX);
    if (m == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read many keys at once");
    begin_all(engine, m, view, at, moment_us, count, keys, statuses);
    read_blocks(engine, m, count, statuses);
    read_values(engine, m, count, statuses);
    for (size_t i = 0; i < count; i++) {
        if (!m->items[i].open) continue;
        if (statuses[i] >= 0) statuses[i] = fr_read_finish(&m->items[i].read, &values[i]);
        end_item(engine, &m->items[i]);
    }
    give_multi(engine->multis, m);
    return FR_OK;
}

/* ---- Parts of values ---- */

/* At once, or a transfer for it. */
static void want_part(struct multi *m, const struct fr_view *view, struct fr_engine_part *part)
{
    struct fr_value_file *values =
            part->file != NULL ? NULL : fr_engine_find_values(view->version, part->spot.file);
    struct fr_file *file = values != NULL ? fr_value_file_bytes(values) : part->file;

    part->status = file == NULL ? FR_NOT_FOUND : FR_OK;
    if (file == NULL) return;
    struct fr_io_request request = {.op = FR_IO_READ,
            .file = file,
            .offset = part->spot.offset,
            .data = part->to,
            .size = part->size,
            .owner = part};
    if (!fr_file_read_cached(request.file, request.offset, request.data, request.size))
        m->transfers[m->transfer_count++] = (struct transfer){.request = request};
}

fr_status fr_engine_read_parts(struct fr_engine *engine, struct fr_view *view, size_t count,
        struct fr_engine_part *parts)
{
    struct multi *m = take_multi(engine->multis);

    if (m == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read parts of values");
    for (size_t at = 0; at < count;) {
        while (at < count && m->transfer_count < TRANSFERS_MAX)
            want_part(m, view, &parts[at++]);
        run_transfers(engine, m);
        for (size_t i = 0; i < m->transfer_count; i++) {
            struct fr_engine_part *part = m->transfers[i].request.owner;

            part->status = m->transfers[i].status;
            if (part->status == FR_OK)
                part->status = fr_io_request_check_exact(&m->transfers[i].request);
        }
        m->transfer_count = 0;
    }
    give_multi(engine->multis, m);
    return FR_OK;
}
