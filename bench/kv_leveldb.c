/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_leveldb.c - LevelDB through its C API.
 *
 * Settings:
 *
 *   block cache      the budget
 *   filter           bloom, 10 bits      its documentation's figure
 *   write buffer     64 MiB              as the others; its default of 4 MiB makes ten times the
 * files table files      64 MiB              as the others; the default of 2 MiB opens hundreds of
 * files open files       1000                the default; more than there are blocks           4
 * KiB               the default without sync     sync = false        every write reaches write(2)
 *   with sync        sync = true         fdatasync of the log, in groups
 *
 * Files are read through mappings: blocks that are not compressed are used where they lie, in the
 * page cache, and never enter the engine's own. The cache budget does not hold it, and its resident
 * memory counts the mapped pages.
 *
 * It has neither an append nor a range deletion nor a multi-get: append reads, joins and writes,
 * under a lock; ranges are deleted by iterating, in batches; multi-get is a loop. It does not tell
 * when compaction has ended: it has when nothing was written for half a second. Its memtable stays
 * in the log then, as it cannot be asked to flush without compacting everything.
 */
#include <leveldb/c.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench/kv_engine.h"

struct level {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
    pthread_mutex_t append_mu; /* one read-modify-write at a time */
};

struct session {
    struct level *level;
    char *values[KV_MULTI_MAX]; /* the engine's, to be freed */
    size_t value_count;
    leveldb_writebatch_t *batch;
    char *joined;
    size_t joined_room;
};

static void check(const char *what, char *error)
{
    if (error != NULL) kv_die("leveldb: %s: %s", what, error);
}

static void *open_store(const char *dir, const struct kv_options *options)
{
    struct level *level = kv_alloc(sizeof(*level));
    leveldb_options_t *o = leveldb_options_create();
    char *error = NULL;

    level->options = o;
    level->cache = leveldb_cache_create_lru(options->cache_bytes);
    level->filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_create_if_missing(o, 1);
    leveldb_options_set_cache(o, level->cache);
    leveldb_options_set_filter_policy(o, level->filter);
    leveldb_options_set_write_buffer_size(o, options->write_buffer_bytes);
    leveldb_options_set_max_file_size(o, (size_t)64 << 20);
    leveldb_options_set_compression(o, leveldb_no_compression);
    level->db = leveldb_open(o, dir, &error);
    check("open", error);
    level->read = leveldb_readoptions_create();
    level->write = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(level->write, options->sync == KV_SYNC_DEVICE);
    pthread_mutex_init(&level->append_mu, NULL);
    return level;
}

static void close_store(void *store)
{
    struct level *level = store;

    leveldb_close(level->db);
    leveldb_readoptions_destroy(level->read);
    leveldb_writeoptions_destroy(level->write);
    leveldb_options_destroy(level->options);
    leveldb_cache_destroy(level->cache);
    leveldb_filterpolicy_destroy(level->filter);
    pthread_mutex_destroy(&level->append_mu);
    kv_free(level);
}

static void *session_open(void *store)
{
    struct session *s = kv_alloc(sizeof(*s));

    s->level = store;
    s->batch = leveldb_writebatch_create();
    return s;
}

static void release(struct session *s)
{
    for (size_t i = 0; i < s->value_count; i++)
        if (s->values[i] != NULL) leveldb_free(s->values[i]);
    s->value_count = 0;
}

static void session_close(void *session)
{
    struct session *s = session;

    release(s);
    leveldb_writebatch_destroy(s->batch);
    kv_free(s->joined);
    kv_free(s);
}

static void put(void *session, struct kv_bytes key, struct kv_bytes value)
{
    struct level *l = ((struct session *)session)->level;
    char *error = NULL;

    leveldb_put(l->db, l->write, key.data, key.size, value.data, value.size, &error);
    check("put", error);
}

static void write_batch(struct session *s)
{
    char *error = NULL;

    leveldb_write(s->level->db, s->level->write, s->batch, &error);
    leveldb_writebatch_clear(s->batch);
    check("write", error);
}

static void write_pairs(void *session, const struct kv_pair *pairs, size_t count)
{
    struct session *s = session;

    for (size_t i = 0; i < count; i++)
        leveldb_writebatch_put(s->batch, pairs[i].key.data, pairs[i].key.size, pairs[i].value.data,
                pairs[i].value.size);
    write_batch(s);
}

/* One value into a slot of the session. */
static struct kv_bytes get_to(struct session *s, size_t slot, struct kv_bytes key)
{
    struct kv_bytes value = {0};
    char *error = NULL;

    s->values[slot] =
            leveldb_get(s->level->db, s->level->read, key.data, key.size, &value.size, &error);
    check("get", error);
    value.data = s->values[slot];
    return value;
}

static struct kv_bytes get(void *session, struct kv_bytes key)
{
    struct session *s = session;

    release(s);
    s->value_count = 1;
    return get_to(s, 0, key);
}

static void multi_get(void *session, size_t count, const struct kv_bytes *keys,
        struct kv_bytes *ret_values)
{
    struct session *s = session;

    release(s);
    for (size_t i = 0; i < count; i++)
        ret_values[i] = get_to(s, i, keys[i]);
    s->value_count = count;
}

static void reserve(struct session *s, size_t size)
{
    if (size <= s->joined_room) return;
    kv_free(s->joined);
    s->joined_room = 2 * size;
    s->joined = kv_alloc(s->joined_room);
}

static void append(void *session, struct kv_bytes key, struct kv_bytes fragment)
{
    struct session *s = session;

    pthread_mutex_lock(&s->level->append_mu);
    struct kv_bytes old = get(s, key);
    if (old.data == NULL) old.size = 0;
    reserve(s, old.size + fragment.size);
    if (old.size > 0) memcpy(s->joined, old.data, old.size);
    memcpy(s->joined + old.size, fragment.data, fragment.size);
    put(s, key, (struct kv_bytes){s->joined, old.size + fragment.size});
    pthread_mutex_unlock(&s->level->append_mu);
}

/* --- Iterators ---------------------------------------------------------------------------------
 */

static void *iterator_open(void *session)
{
    struct session *s = session;

    return leveldb_create_iterator(s->level->db, s->level->read);
}

static void iterator_close(void *iterator)
{
    leveldb_iter_destroy(iterator);
}

static bool here(leveldb_iterator_t *it, struct kv_pair *ret_pair)
{
    if (!leveldb_iter_valid(it)) {
        char *error = NULL;
        leveldb_iter_get_error(it, &error);
        check("iterate", error);
        return false;
    }
    ret_pair->key.data = leveldb_iter_key(it, &ret_pair->key.size);
    ret_pair->value.data = leveldb_iter_value(it, &ret_pair->value.size);
    return true;
}

static bool iterator_first(void *iterator, struct kv_pair *ret_pair)
{
    leveldb_iter_seek_to_first(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_last(void *iterator, struct kv_pair *ret_pair)
{
    leveldb_iter_seek_to_last(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_seek(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair)
{
    leveldb_iter_seek(iterator, key.data, key.size);
    return here(iterator, ret_pair);
}

static bool iterator_next(void *iterator, struct kv_pair *ret_pair)
{
    leveldb_iter_next(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_prev(void *iterator, struct kv_pair *ret_pair)
{
    leveldb_iter_prev(iterator);
    return here(iterator, ret_pair);
}

static bool is_below(struct kv_bytes a, struct kv_bytes b)
{
    int order = memcmp(a.data, b.data, FR_MIN(a.size, b.size));

    return order < 0 || (order == 0 && a.size < b.size);
}

static void delete_range(void *session, struct kv_bytes start, struct kv_bytes end)
{
    struct session *s = session;
    leveldb_iterator_t *it = iterator_open(s);
    struct kv_pair pair;
    size_t waiting = 0;

    for (bool more = iterator_seek(it, start, &pair); more && is_below(pair.key, end);
            more = iterator_next(it, &pair)) {
        leveldb_writebatch_delete(s->batch, pair.key.data, pair.key.size);
        if (++waiting % 1000 == 0) write_batch(s);
    }
    write_batch(s);
    iterator_close(it);
}

static void wait_idle(void *store, void *session)
{
    (void)store, (void)session;
    kv_wait_quiet(500);
}

static const char *version(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "%d.%d", leveldb_major_version(), leveldb_minor_version());
    return text;
}

const struct kv_engine kv_leveldb = {
        .name = "leveldb",
        .version = version,
        .caps = KV_CAP_LSM | KV_CAP_LOG | KV_CAP_MMAP,
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
};
