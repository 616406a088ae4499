/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_freshet.c - Freshet, through its public interface only.
 *
 * Settings:
 *
 *   memory_budget   the cache budget: memtables and caches together live in it, while the others'
 *                   write buffers come on top of theirs
 *   sync            FR_SYNC_OS or FR_SYNC_DEVICE
 *   compression     as asked for; the library's default is zstd, at level 3
 *   the rest        the defaults, verification of new tables included
 *
 * Words of a variant: `dict`, `nodict` (a dictionary for zstd, or none), `direct` (direct reads),
 * and any option of the store as `name=value`: freshet+direct+block_size=16KiB.
 */
#include <stdio.h>
#include <string.h>

#include "bench/kv_engine.h"
#include "freshet/db.h"
#include "freshet/version.h"

struct session {
    struct fr_db *db;
    struct fr_batch *batch;
    struct fr_pinned pinned[KV_MULTI_MAX];
    size_t pinned_count;
};

static void check(const char *what, fr_status st)
{
    if (st < 0) kv_die("freshet: %s: %s: %s", what, fr_status_name(st), fr_last_error());
}

/* One word of a variant; only words that are known get to a store. */
static bool set_word(const char *word, void *arg)
{
    struct fr_db_options *o = arg;
    char name[64];
    const char *value = strchr(word, '=');

    if (strcmp(word, "dict") == 0) {
        if (o->dictionary_size == 0) o->dictionary_size = (uint32_t)KV_DICTIONARY_BYTES;
    } else if (strcmp(word, "nodict") == 0) {
        o->dictionary_size = 0;
    } else if (strcmp(word, "direct") == 0) {
        o->direct_reads = true;
    } else {
        if (value == NULL || (size_t)(value - word) >= sizeof(name)) return false;
        snprintf(name, sizeof(name), "%.*s", (int)(value - word), word);
        return fr_db_options_set(o, name, value + 1) == FR_OK;
    }
    return true;
}

static bool takes(const char *word)
{
    struct fr_db_options o;

    fr_db_options_init(&o);
    return set_word(word, &o);
}

static void *open_store(const char *dir, const struct kv_options *options)
{
    struct fr_db_options o;
    struct fr_db *db = NULL;

    fr_db_options_init(&o);
    o.memory_budget = options->cache_bytes;
    o.direct_reads = options->direct;
    if (options->dictionary_bytes != UINT64_MAX)
        o.dictionary_size = (uint32_t)options->dictionary_bytes;
    o.sync = options->sync == KV_SYNC_DEVICE ? FR_SYNC_DEVICE : FR_SYNC_OS;
    o.compression =
            options->compression == KV_COMPRESSION_ZSTD ? FR_COMPRESSION_ZSTD : FR_COMPRESSION_NONE;
    if (!kv_variant_walk(options->variant, set_word, &o)) kv_die("freshet: %s", fr_last_error());
    check("open", fr_db_open(dir, &o, &db));
    return db;
}

static void close_store(void *store)
{
    check("close", fr_db_close(store));
}

static void *session_open(void *store)
{
    struct session *s = kv_alloc(sizeof(*s));

    s->db = store;
    check("batch", fr_batch_new(&s->batch));
    return s;
}

static void release(struct session *s)
{
    for (size_t i = 0; i < s->pinned_count; i++)
        fr_pinned_release(&s->pinned[i]);
    s->pinned_count = 0;
}

static void session_close(void *session)
{
    struct session *s = session;

    release(s);
    fr_batch_free(s->batch);
    kv_free(s);
}

static void put(void *session, struct kv_bytes key, struct kv_bytes value)
{
    struct session *s = session;

    check("put", fr_db_put(s->db, NULL, key.data, key.size, value.data, value.size));
}

static void write_pairs(void *session, const struct kv_pair *pairs, size_t count)
{
    struct session *s = session;

    fr_batch_clear(s->batch);
    for (size_t i = 0; i < count; i++)
        check("batch", fr_batch_put(s->batch, pairs[i].key.data, pairs[i].key.size,
                               pairs[i].value.data, pairs[i].value.size));
    check("write", fr_db_write(s->db, NULL, s->batch));
}

static void append(void *session, struct kv_bytes key, struct kv_bytes fragment)
{
    struct session *s = session;

    check("append", fr_db_append(s->db, NULL, key.data, key.size, fragment.data, fragment.size));
}

static void delete_range(void *session, struct kv_bytes start, struct kv_bytes end)
{
    struct session *s = session;

    check("delete_range",
            fr_db_delete_range(s->db, NULL, start.data, start.size, end.data, end.size));
}

static struct kv_bytes get(void *session, struct kv_bytes key)
{
    struct session *s = session;

    release(s);
    fr_status st = fr_db_get(s->db, NULL, key.data, key.size, &s->pinned[0]);
    check("get", st);
    if (st == FR_NOT_FOUND) return (struct kv_bytes){0};
    s->pinned_count = 1;
    return (struct kv_bytes){s->pinned[0].data, s->pinned[0].size};
}

static void multi_get(void *session, size_t count, const struct kv_bytes *keys,
        struct kv_bytes *ret_values)
{
    struct session *s = session;
    const void *names[KV_MULTI_MAX];
    size_t sizes[KV_MULTI_MAX];
    fr_status statuses[KV_MULTI_MAX];

    release(s);
    memset(s->pinned, 0, count * sizeof(s->pinned[0]));
    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i].data;
        sizes[i] = keys[i].size;
    }
    check("multi_get", fr_db_multi_get(s->db, NULL, count, names, sizes, s->pinned, statuses));
    s->pinned_count = count;
    for (size_t i = 0; i < count; i++) {
        check("multi_get of one", statuses[i]);
        ret_values[i] = (struct kv_bytes){0};
        if (statuses[i] == FR_OK)
            ret_values[i] = (struct kv_bytes){s->pinned[i].data, s->pinned[i].size};
    }
}

static void *iterator_open(void *session)
{
    struct fr_iterator *it = NULL;

    check("iterator", fr_iterator_new(((struct session *)session)->db, NULL, &it));
    return it;
}

static void iterator_close(void *iterator)
{
    fr_iterator_free(iterator);
}

static bool here(struct fr_iterator *it, fr_status st, struct kv_pair *ret_pair)
{
    check("iterate", st);
    if (st == FR_END) return false;
    ret_pair->key.data = fr_iterator_key(it, &ret_pair->key.size);
    ret_pair->value.data = fr_iterator_value(it, &ret_pair->value.size);
    return true;
}

static bool iterator_next(void *iterator, struct kv_pair *ret_pair)
{
    return here(iterator, fr_iterator_next(iterator), ret_pair);
}

static bool iterator_prev(void *iterator, struct kv_pair *ret_pair)
{
    return here(iterator, fr_iterator_prev(iterator), ret_pair);
}

static bool iterator_first(void *iterator, struct kv_pair *ret_pair)
{
    fr_iterator_seek_first(iterator);
    return iterator_next(iterator, ret_pair);
}

static bool iterator_last(void *iterator, struct kv_pair *ret_pair)
{
    fr_iterator_seek_last(iterator);
    return iterator_prev(iterator, ret_pair);
}

static bool iterator_seek(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair)
{
    fr_iterator_seek(iterator, key.data, key.size);
    return iterator_next(iterator, ret_pair);
}

static void wait_idle(void *store, void *session)
{
    (void)session;
    check("flush", fr_db_flush(store));
    check("wait_idle", fr_db_wait_idle(store));
}

static uint64_t bytes_written(void *store)
{
    struct fr_db_stats stats = {.size = sizeof(stats)};

    check("stats", fr_db_stats_get(store, &stats));
    return stats.log_bytes + stats.flush_bytes + stats.compaction_write_bytes;
}

const struct kv_engine kv_freshet = {
        .name = "freshet",
        .caps = KV_CAP_LSM | KV_CAP_APPEND | KV_CAP_DELETE_RANGE | KV_CAP_ZSTD | KV_CAP_LOG,
        .version = fr_version,
        .takes = takes,
        .open = open_store,
        .close = close_store,
        .session_open = session_open,
        .session_close = session_close,
        .put = put,
        .write = write_pairs,
        .append = append,
        .delete_range = delete_range,
        .get = get,
        .multi_get = multi_get,
        .iterator_open = iterator_open,
        .iterator_close = iterator_close,
        .iterator_first = iterator_first,
        .iterator_last = iterator_last,
        .iterator_seek = iterator_seek,
        .iterator_next = iterator_next,
        .iterator_prev = iterator_prev,
        .wait_idle = wait_idle,
        .bytes_written = bytes_written,
};
