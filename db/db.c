/*
 * db.c - the public storage engine: arguments are checked here, everything else is lsm/engine.h.
 */
#include "freshet/db.h"

#include "base/alloc.h"
#include "db/db_priv.h"
#include "db/options.h"
#include "io/env.h"
#include "lsm/batch.h"

struct fr_snapshot {
    struct fr_db *db;
    fr_seq seq;
    struct fr_view *view; /* of one that follows: what it shows stays by being held. Else NULL */
};

struct fr_iterator {
    struct fr_iter *it;
};

fr_status fr_db_check(const struct fr_db *db)
{
    return db != NULL ? FR_OK : FR_FAIL(FR_ERR_MISUSE, "the store is NULL");
}

static fr_status check_key(const void *key, size_t size)
{
    if (key == NULL || size == 0) return FR_FAIL(FR_ERR_MISUSE, "a key has one byte at least");
    if (size > FR_KEY_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a key of %zu bytes; %d are the most", size, FR_KEY_SIZE_MAX);
    return FR_OK;
}

static fr_status durability_of(const fr_sync sync, enum fr_durability *ret_durability)
{
    switch (sync) {
    case FR_SYNC_DEVICE:
        *ret_durability = FR_DURABLE_DEVICE;
        return FR_OK;
    case FR_SYNC_OS:
        *ret_durability = FR_DURABLE_OS;
        return FR_OK;
    case FR_SYNC_NONE:
        *ret_durability = FR_DURABLE_NONE;
        return FR_OK;
    }
    return FR_FAIL(FR_ERR_MISUSE, "%d is no durability class", (int)sync);
}

/* Memtables have half of the budget at most: an eighth for each of four. Blocks have the rest. */
struct fr_engine_options fr_db_engine_options(const struct fr_db_options *options)
{
    struct fr_engine_options o = fr_engine_options_default();
    uint64_t budget = options->memory_budget;
    uint64_t memtable = FR_MIN(budget / 8, (uint64_t)64 << 20);

    o.create = options->create;
    o.must_be_new = options->must_be_new;
    o.read_only = options->read_only;
    o.memory_budget = budget;
    o.memtable_size = (size_t)FR_MAX(memtable, (uint64_t)64 << 10);
    if (options->memtable_size != 0) o.memtable_size = (size_t)options->memtable_size;
    o.cache_size = (size_t)budget;
    o.cache_size_max = (size_t)options->memory_budget_max;
    o.log_segment_size = options->log_segment_size;
    o.table_size = options->table_size;
    o.block_size = options->block_size;
    o.filter_bits = options->filter_bits;
    o.value_threshold = options->value_threshold;
    o.dictionary_size = options->dictionary_size;
    o.compress = options->compression == FR_COMPRESSION_ZSTD;
    o.verify_tables = options->verify_tables;
    o.direct_reads = options->direct_reads;
    o.disk_reserve = options->disk_reserve;
    o.background_rate = options->background_rate;
    o.hooks = options->hooks;
    return o;
}

/* The caller's options over the defaults: those of an earlier version end before ours do. */
static fr_status take_options(const struct fr_db_options *from, struct fr_db_options *to)
{
    fr_db_options_init(to);
    if (from == NULL) return FR_OK;
    if (from->size < offsetof(struct fr_db_options, memory_budget) || from->size > sizeof(*to))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_options: size %zu, not %zu: use fr_db_options_init",
                from->size, sizeof(*to));
    memcpy(to, from, from->size);
    to->size = sizeof(*to);
    return fr_db_options_check(to);
}

static struct fr_db *db_new(const struct fr_db_options *options)
{
    struct fr_db *db = FR_NEW(struct fr_db);

    if (db == NULL) return NULL;
    db->options = *options;
    db->options.hooks = NULL; /* the engine has a copy */
    atomic_init(&db->sync, options->sync);
    fr_mutex_init(&db->options_mu, FR_RANK_DB_OPTIONS);
    fr_mutex_init(&db->indexes_mu, FR_RANK_LEAF);
    return db;
}

static void db_free(struct fr_db *db)
{
    if (db == NULL) return;
    fr_scrub_close(&db->scrub);
    if (db->engine != NULL) (void)fr_engine_close(db->engine);
    fr_env_close(db->env);
    fr_mutex_deinit(&db->options_mu);
    fr_mutex_deinit(&db->indexes_mu);
    fr_free(db);
}

fr_status fr_db_open(const char *path, const struct fr_db_options *options, struct fr_db **ret_db)
{
    struct fr_db_options given;
    struct fr_engine_options o;
    struct fr_db *db = NULL;
    fr_status st;

    if (path == NULL || path[0] == '\0' || ret_db == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_open: no path, or no place for the store");
    FR_TRY(take_options(options, &given));
    db = db_new(&given);
    if (db == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to open it", path);
    FR_TRY(fr_env_open(NULL, &db->env));
    o = fr_db_engine_options(&given);
    FR_TRY(fr_engine_open(db->env, path, &o, &db->engine));
    db->follows = o.read_only;
    fr_scrub_open(&db->scrub, db->engine);
    FR_TRY(fr_scrub_set(&db->scrub, given.scrub_interval, given.scrub_rate));
    *ret_db = db;
    /* From here on a hook may call the store by what the caller will find there. */
    fr_engine_start_events(db->engine);
    db = NULL;
out:
    db_free(db);
    return st;
}

fr_status fr_db_close(struct fr_db *db)
{
    if (db == NULL) return FR_OK;
    fr_scrub_close(&db->scrub);
    fr_status st = fr_engine_close(FR_TAKE(db->engine));
    db_free(db);
    return st;
}

/* --- Options of an open store --- */

/* The caller has changed a copy; the store takes it over. */
static fr_status use_options_locked(struct fr_db *db, const struct fr_db_options *changed)
        FR_REQUIRES(db->options_mu)
{
    struct fr_engine_options o;
    fr_status st;

    FR_TRY(fr_db_options_check(changed));
    FR_TRY(fr_scrub_set(&db->scrub, changed->scrub_interval, changed->scrub_rate));
    db->options = *changed;
    atomic_store_explicit(&db->sync, changed->sync, memory_order_relaxed);
    o = fr_db_engine_options(changed);
    fr_engine_retune(db->engine, &o);
out:
    return st;
}

fr_status fr_db_set_option(struct fr_db *db, const char *name, const char *value)
{
    struct fr_db_options changed;
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(fr_db_option_check_changeable(name));
    fr_mutex_lock(&db->options_mu);
    changed = db->options;
    st = fr_db_options_set(&changed, name, value);
    if (st == FR_OK) st = use_options_locked(db, &changed);
    fr_mutex_unlock(&db->options_mu);
out:
    return st;
}

fr_status fr_db_set_memory_budget(struct fr_db *db, uint64_t bytes)
{
    struct fr_db_options changed;
    fr_status st;

    FR_TRY(fr_db_check(db));
    fr_mutex_lock(&db->options_mu);
    changed = db->options;
    changed.memory_budget = bytes;
    st = use_options_locked(db, &changed);
    fr_mutex_unlock(&db->options_mu);
out:
    return st;
}

fr_status fr_db_get_option(struct fr_db *db, const char *name, char *to, size_t room,
        size_t *ret_size)
{
    struct fr_db_options now;
    fr_status st;

    FR_TRY(fr_db_check(db));
    fr_mutex_lock(&db->options_mu);
    now = db->options;
    fr_mutex_unlock(&db->options_mu);
    st = fr_db_options_get(&now, name, to, room, ret_size);
out:
    return st;
}

/* --- What is timed: one call in so many, as asking the time costs about what a read does --- */

#define TIMED_EVERY 64

static _Thread_local unsigned timed_turn;

/* 0: not this one. */
static uint64_t begin_timed(const struct fr_db *db)
{
    if (FR_LIKELY(++timed_turn % TIMED_EVERY != 0)) return 0;
    return fr_env_now_ns(db->env) | 1;
}

static void end_timed(struct fr_db *db, enum fr_timed kind, uint64_t start_ns)
{
    if (FR_LIKELY(start_ns == 0)) return;
    uint64_t now_ns = fr_env_now_ns(db->env);
    fr_engine_record(db->engine, kind, now_ns > start_ns ? now_ns - start_ns : 0);
}

/* --- Writing --- */

fr_status fr_db_write_options(const struct fr_db *db, const struct fr_write_options *how,
        enum fr_durability *ret_durability, uint64_t *ret_expires_us)
{
    *ret_durability = FR_DURABLE_DEVICE;
    *ret_expires_us = 0;
    if (db == NULL) return fr_db_check(db);
    if (how == NULL)
        return durability_of(atomic_load_explicit(&db->sync, memory_order_relaxed), ret_durability);
    if (how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_write_options: size %zu, not %zu", how->size,
                sizeof(*how));
    *ret_expires_us = how->expires_us;
    return durability_of(how->sync, ret_durability);
}

static fr_status write_batch(struct fr_db *db, const struct fr_batch *batch,
        enum fr_durability durability)
{
    /* Finishing fills in the header of bytes that are there; the operations are as they were. */
    struct fr_batch *finished = fr_unconst(batch);
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_batch_finish(finished, &bytes));
    uint64_t start_ns = begin_timed(db);
    st = fr_engine_write(db->engine, bytes, batch->count, durability);
    end_timed(db, FR_TIMED_PUT, start_ns);
out:
    return st;
}

/* What would never expire must not look as if it did. */
static fr_status refuse_expiry(uint64_t expires_us, const char *what)
{
    if (expires_us == 0) return FR_OK;
    return FR_FAIL(FR_ERR_MISUSE, "%s: expires_us is for fr_db_put; in batches, for each put",
            what);
}

fr_status fr_db_write(struct fr_db *db, const struct fr_write_options *how,
        const struct fr_batch *batch)
{
    enum fr_durability durability;
    uint64_t expires_us;
    fr_status st;

    FR_TRY(fr_db_write_options(db, how, &durability, &expires_us));
    if (batch == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_db_write: no batch");
    FR_TRY(refuse_expiry(expires_us, "fr_db_write"));
    st = write_batch(db, batch, durability);
out:
    return st;
}

/* A batch of one: the operation is added by the caller's own function. */
struct single {
    struct fr_batch batch;
    enum fr_durability durability;
    uint64_t expires_us;
};

static fr_status begin_single(struct fr_db *db, const struct fr_write_options *how,
        struct single *single)
{
    single->batch = FR_BATCH_EMPTY;
    return fr_db_write_options(db, how, &single->durability, &single->expires_us);
}

static fr_status end_single(struct fr_db *db, struct single *single, fr_status st)
{
    if (st == FR_OK) st = write_batch(db, &single->batch, single->durability);
    fr_batch_deinit(&single->batch);
    return st;
}

fr_status fr_db_put(struct fr_db *db, const struct fr_write_options *how, const void *key,
        size_t key_size, const void *value, size_t value_size)
{
    struct single s;

    fr_status st = begin_single(db, how, &s);
    if (st == FR_OK)
        st = fr_batch_put_until(&s.batch, key, key_size, value, value_size, s.expires_us);
    return end_single(db, &s, st);
}

fr_status fr_db_delete(struct fr_db *db, const struct fr_write_options *how, const void *key,
        size_t key_size)
{
    struct single s;

    fr_status st = begin_single(db, how, &s);
    if (st == FR_OK) st = fr_batch_delete(&s.batch, key, key_size);
    return end_single(db, &s, st);
}

fr_status fr_db_delete_range(struct fr_db *db, const struct fr_write_options *how,
        const void *start, size_t start_size, const void *end, size_t end_size)
{
    struct single s;

    fr_status st = begin_single(db, how, &s);
    if (st == FR_OK) st = fr_batch_delete_range(&s.batch, start, start_size, end, end_size);
    return end_single(db, &s, st);
}

fr_status fr_db_append(struct fr_db *db, const struct fr_write_options *how, const void *key,
        size_t key_size, const void *fragment, size_t fragment_size)
{
    struct single s;

    fr_status st = begin_single(db, how, &s);
    if (st == FR_OK) st = refuse_expiry(s.expires_us, "fr_db_append");
    if (st == FR_OK) st = fr_batch_append(&s.batch, key, key_size, fragment, fragment_size);
    return end_single(db, &s, st);
}

/* --- Reading --- */

static fr_status read_options(const struct fr_db *db, const struct fr_read_options *how,
        fr_seq *ret_at)
{
    *ret_at = FR_SEQ_MAX;
    if (db == NULL || how == NULL) return fr_db_check(db);
    if (how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_read_options: size %zu, not %zu", how->size,
                sizeof(*how));
    if (how->snapshot == NULL) return FR_OK;
    if (how->snapshot->db != db) return FR_FAIL(FR_ERR_MISUSE, "the snapshot is of another store");
    *ret_at = how->snapshot->seq;
    return FR_OK;
}

/* What a snapshot of a store that follows has kept; NULL: the store has it itself. */
static struct fr_view *held_view(const struct fr_read_options *how)
{
    return how == NULL || how->snapshot == NULL ? NULL : how->snapshot->view;
}

/* A value in place needs its keepers remembered; most fit in the caller's struct. */
static void hand_out(const struct fr_engine_value *value, struct fr_pinned *ret_value)
{
    ret_value->data = value->bytes.data;
    ret_value->size = value->bytes.size;
    ret_value->owner[0] = value->view;
    ret_value->owner[1] = value->item;
    ret_value->owner[2] = value->cache;
    ret_value->owner[3] = value->buf.data;
}

void fr_db_pin_part(const struct fr_engine_value *value, fr_slice part, struct fr_pinned *ret_value)
{
    hand_out(value, ret_value);
    ret_value->data = part.data;
    ret_value->size = part.size;
}

fr_status fr_db_get(struct fr_db *db, const struct fr_read_options *how, const void *key,
        size_t key_size, struct fr_pinned *ret_value)
{
    struct fr_engine_value value;
    fr_status st;
    fr_seq at;

    FR_TRY(read_options(db, how, &at));
    FR_TRY(check_key(key, key_size));
    if (ret_value == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_db_get: no place for the value");
    uint64_t start_ns = begin_timed(db);
    st = held_view(how) == NULL ? fr_engine_get(db->engine, fr_slice_of(key, key_size), at, &value)
                                : fr_engine_get_in(db->engine, held_view(how),
                                          fr_slice_of(key, key_size), at, &value);
    end_timed(db, FR_TIMED_GET, start_ns);
    if (st == FR_OK) hand_out(&value, ret_value);
out:
    return st;
}

void fr_pinned_release(struct fr_pinned *value)
{
    if (value == NULL) return;
    struct fr_engine_value held = {.view = value->owner[0],
            .item = value->owner[1],
            .cache = value->owner[2],
            .buf = {.data = value->owner[3]}};

    fr_engine_value_release(&held);
    *value = (struct fr_pinned){0};
}

fr_status fr_db_get_copy(struct fr_db *db, const struct fr_read_options *how, const void *key,
        size_t key_size, void *to, size_t room, size_t *ret_size)
{
    struct fr_pinned value;

    if (ret_size == NULL || (to == NULL && room > 0))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_get_copy: no place for the value");
    fr_status st = fr_db_get(db, how, key, key_size, &value);
    if (st != FR_OK) return st;
    if (room > 0 && value.size > 0) memcpy(to, value.data, FR_MIN(room, value.size));
    *ret_size = value.size;
    fr_pinned_release(&value);
    return FR_OK;
}

/* As many as are planned together. */
static fr_status multi_get_some(struct fr_db *db, struct fr_view *view, fr_seq at,
        uint64_t *moment_us, size_t count, const void *const *keys, const size_t *key_sizes,
        struct fr_pinned *values, fr_status *statuses)
{
    struct fr_engine_value found[FR_ENGINE_MULTI_MAX];
    fr_slice names[FR_ENGINE_MULTI_MAX];

    for (size_t i = 0; i < count; i++) {
        statuses[i] = check_key(keys[i], key_sizes[i]);
        names[i] = fr_slice_of(keys[i], key_sizes[i]);
    }
    fr_status st =
            fr_engine_multi_get(db->engine, view, at, moment_us, count, names, found, statuses);
    for (size_t i = 0; i < count; i++) {
        if (st < 0) statuses[i] = st;
        if (statuses[i] == FR_OK) hand_out(&found[i], &values[i]);
    }
    return st;
}

fr_status fr_db_multi_get(struct fr_db *db, const struct fr_read_options *how, size_t count,
        const void *const *keys, const size_t *key_sizes, struct fr_pinned *values,
        fr_status *statuses)
{
    struct fr_view *view, *held = held_view(how);
    uint64_t moment_us = 0;
    fr_status st;
    fr_seq at;

    FR_TRY(read_options(db, how, &at));
    if (count > 0 && (keys == NULL || key_sizes == NULL || values == NULL || statuses == NULL))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_multi_get: an array is NULL");
    view = held != NULL ? held : fr_engine_view_take(db->engine, &at);
    for (size_t i = 0; i < count; i += FR_ENGINE_MULTI_MAX) {
        fr_status some =
                multi_get_some(db, view, at, &moment_us, FR_MIN(count - i, FR_ENGINE_MULTI_MAX),
                        keys + i, key_sizes + i, values + i, statuses + i);
        if (i == 0) st = some; /* after that something could be done */
    }
    if (held == NULL) fr_engine_view_release(db->engine, view);
out:
    return st;
}

fr_status fr_snapshot_new(struct fr_db *db, struct fr_snapshot **ret_snapshot)
{
    struct fr_snapshot *snapshot;
    fr_status st;

    if (db == NULL || ret_snapshot == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_snapshot_new: an argument is NULL");
    snapshot = FR_NEW(struct fr_snapshot);
    if (snapshot == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a snapshot");
    snapshot->db = db;
    snapshot->seq = FR_SEQ_MAX;
    if (db->follows)
        snapshot->view = fr_engine_view_take(db->engine, &snapshot->seq);
    else
        FR_TRY(fr_engine_snapshot_take(db->engine, &snapshot->seq));
    st = FR_OK;
    *ret_snapshot = FR_TAKE(snapshot);
out:
    fr_free(snapshot);
    return st;
}

void fr_snapshot_free(struct fr_snapshot *snapshot)
{
    if (snapshot == NULL) return;
    if (snapshot->view != NULL)
        fr_engine_view_release(snapshot->db->engine, snapshot->view);
    else
        fr_engine_snapshot_release(snapshot->db->engine, snapshot->seq);
    fr_free(snapshot);
}

/* No key is longer than that, so a longer bound is a mistake. */
static fr_status check_bound(const char *what, const void *bound, size_t size)
{
    if (bound == NULL && size > 0)
        return FR_FAIL(FR_ERR_MISUSE, "%s: %zu bytes at no address", what, size);
    if (size > FR_KEY_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "%s: %zu bytes; keys have %d at most", what, size,
                FR_KEY_SIZE_MAX);
    return FR_OK;
}

fr_status fr_iterator_new(struct fr_db *db, const struct fr_read_options *how,
        struct fr_iterator **ret_iterator)
{
    struct fr_iterator *iterator = NULL;
    struct fr_engine_scan_options options = {0};
    fr_status st;

    FR_TRY(read_options(db, how, &options.at));
    if (ret_iterator == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_iterator_new: no place for it");
    options.view = held_view(how);
    if (how != NULL) {
        FR_TRY(check_bound("lower", how->lower, how->lower_size));
        FR_TRY(check_bound("upper", how->upper, how->upper_size));
        FR_TRY(check_bound("prefix", how->prefix, how->prefix_size));
        options.lower = fr_slice_of(how->lower, how->lower_size);
        options.upper = fr_slice_of(how->upper, how->upper_size);
        options.prefix = fr_slice_of(how->prefix, how->prefix_size);
        options.readahead_max = how->readahead;
        options.no_cache = how->no_cache;
    }
    iterator = FR_NEW(struct fr_iterator);
    if (iterator == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator");
    FR_TRY(fr_engine_scan(db->engine, &options, &iterator->it));
    *ret_iterator = FR_TAKE(iterator);
out:
    fr_free(iterator);
    return st;
}

void fr_iterator_free(struct fr_iterator *iterator)
{
    if (iterator == NULL) return;
    fr_iter_close(iterator->it);
    fr_free(iterator);
}

void fr_iterator_seek(struct fr_iterator *iterator, const void *key, size_t key_size)
{
    fr_iter_seek(iterator->it, fr_slice_of(key, key_size), FR_SEQ_MAX);
}

void fr_iterator_seek_first(struct fr_iterator *iterator)
{
    fr_iter_seek_first(iterator->it);
}

void fr_iterator_seek_last(struct fr_iterator *iterator)
{
    fr_iter_seek_last(iterator->it);
}

fr_status fr_iterator_next(struct fr_iterator *iterator)
{
    if (iterator == NULL) return FR_FAIL(FR_ERR_MISUSE, "the iterator is NULL");
    return fr_iter_next(iterator->it);
}

fr_status fr_iterator_prev(struct fr_iterator *iterator)
{
    if (iterator == NULL) return FR_FAIL(FR_ERR_MISUSE, "the iterator is NULL");
    return fr_iter_prev(iterator->it);
}

const void *fr_iterator_key(const struct fr_iterator *iterator, size_t *ret_size)
{
    *ret_size = iterator->it->entry.key.size;
    return iterator->it->entry.key.data;
}

const void *fr_iterator_value(const struct fr_iterator *iterator, size_t *ret_size)
{
    *ret_size = iterator->it->entry.value.size;
    return iterator->it->entry.value.data;
}

/* --- Maintenance --- */

fr_status fr_db_flush(struct fr_db *db)
{
    return db == NULL ? fr_db_check(db) : fr_engine_flush(db->engine);
}

fr_status fr_db_compact_range(struct fr_db *db, const void *start, size_t start_size,
        const void *end, size_t end_size)
{
    fr_status st;

    FR_TRY(fr_db_check(db));
    FR_TRY(check_bound("start", start, start_size));
    FR_TRY(check_bound("end", end, end_size));
    if (end_size > 0 &&
            fr_slice_compare(fr_slice_of(start, start_size), fr_slice_of(end, end_size)) > 0)
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_compact_range: the end is before the start");
    st = fr_engine_compact_range(db->engine, fr_slice_of(start, start_size),
            fr_slice_of(end, end_size));
out:
    return st;
}

fr_status fr_db_wait_idle(struct fr_db *db)
{
    return db == NULL ? fr_db_check(db) : fr_engine_wait_idle(db->engine);
}

fr_status fr_db_sync(struct fr_db *db)
{
    return db == NULL ? fr_db_check(db) : fr_engine_sync(db->engine);
}

fr_status fr_db_set_background_rate(struct fr_db *db, uint64_t bytes_per_second)
{
    struct fr_db_options changed;
    fr_status st;

    FR_TRY(fr_db_check(db));
    fr_mutex_lock(&db->options_mu);
    changed = db->options;
    changed.background_rate = bytes_per_second;
    st = use_options_locked(db, &changed);
    fr_mutex_unlock(&db->options_mu);
out:
    return st;
}

fr_status fr_db_stats_get(struct fr_db *db, struct fr_db_stats *ret_stats)
{
    struct fr_engine_stats from;

    if (db == NULL || ret_stats == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_stats_get: an argument is NULL");
    if (ret_stats->size != sizeof(*ret_stats))
        return FR_FAIL(FR_ERR_MISUSE, "fr_db_stats: size %zu, not %zu", ret_stats->size,
                sizeof(*ret_stats));
    fr_engine_stats_get(db->engine, &from);
    *ret_stats = (struct fr_db_stats){
            .size = sizeof(*ret_stats),
            .last_seq = from.last_seq,
            .memtable_bytes = from.memtable_bytes,
            .sealed_count = from.sealed_count,
            .table_count = from.table_count,
            .table_bytes = from.table_bytes,
            .value_file_count = from.value_file_count,
            .value_file_bytes = from.value_file_bytes,
            .value_garbage_bytes = from.value_garbage_bytes,
            .compaction_debt_bytes = from.debt_bytes,
            .put_bytes = from.batch_bytes,
            .log_bytes = from.log_bytes,
            .flush_bytes = from.flush_bytes,
            .compaction_read_bytes = from.compaction_read_bytes,
            .compaction_write_bytes = from.compaction_write_bytes,
            .flush_count = from.flush_count,
            .compaction_count = from.compaction_count,
            .stall_us = from.stall_us,
            .cache_hits = from.cache_hits,
            .cache_misses = from.cache_misses,
            .cache_bytes = from.cache_bytes,
            .filter_useful = from.filter_useful,
            .stop_us = from.stop_us,
            .stop_count = from.stop_count,
            .write_rate = from.rate_now,
            .refused_count = from.refused_count,
            .retry_count = from.retry_count,
            .limited_us = from.limited_us,
    };
    for (unsigned level = 0; level < FR_LEVEL_COUNT; level++) {
        ret_stats->level_tables[level] = from.levels[level].tables;
        ret_stats->level_bytes[level] = from.levels[level].bytes;
    }
    return FR_OK;
}
