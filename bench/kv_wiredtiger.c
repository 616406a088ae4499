/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_wiredtiger.c - WiredTiger's B-tree.
 *
 * Settings:
 *
 *   cache_size         the budget
 *   log                enabled, files of 64 MB
 *   transaction_sync   without sync: enabled, method=none, which hands the log to write(2) at
 * commit (disabled, it would stay in the process); with sync: method=fsync, in groups checkpoint
 * every 60 s or 2 GB of log, as its best-known user has it eviction           1 to 2 threads, for
 * two processors leaf pages         8 KB for values up to 1 KB, else 32 KB (the default): its
 * tuning guide wants small pages for random reads; values are kept in the page up to 4 KB
 *   compression        none: Debian's package has no zstd
 *
 * Append reads, joins and writes, under a lock; ranges are deleted by truncate between two cursors;
 * multi-get is a loop. Settling is a checkpoint.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <wiredtiger.h>

#include "bench/kv_engine.h"

#define TABLE "table:bench"

struct tiger {
    WT_CONNECTION *connection;
    pthread_mutex_t append_mu; /* one read-modify-write at a time */
};

struct session {
    struct tiger *tiger;
    WT_SESSION *wt;
    WT_CURSOR *cursor;
    char *values; /* copies of multi_get's, as the next search frees the last one */
    size_t value_room;
    char *joined;
    size_t joined_room;
};

struct iterator {
    WT_SESSION *wt;
    WT_CURSOR *cursor;
};

static void check(const char *what, int code)
{
    if (code != 0) kv_die("wiredtiger: %s: %s", what, wiredtiger_strerror(code));
}

static WT_ITEM item_of(struct kv_bytes bytes)
{
    WT_ITEM item = {.data = bytes.data, .size = bytes.size};

    return item;
}

static void make_table(struct tiger *tiger, const struct kv_options *options)
{
    WT_SESSION *wt;
    char config[256];

    snprintf(config, sizeof(config),
            "key_format=u,value_format=u,leaf_page_max=%s,leaf_value_max=4KB",
            options->value_bytes <= 1024 ? "8KB" : "32KB");
    check("session", tiger->connection->open_session(tiger->connection, NULL, NULL, &wt));
    check("create", wt->create(wt, TABLE, config));
    check("session", wt->close(wt, NULL));
}

static void *open_store(const char *dir, const struct kv_options *options)
{
    struct tiger *tiger = kv_alloc(sizeof(*tiger));
    char config[512];

    snprintf(config, sizeof(config),
            "create,cache_size=%lluMB,log=(enabled=true,file_max=64MB),"
            "transaction_sync=(enabled=true,method=%s),checkpoint=(wait=60,log_size=2GB),"
            "eviction=(threads_min=1,threads_max=2)",
            (unsigned long long)(options->cache_bytes >> 20),
            options->sync == KV_SYNC_DEVICE ? "fsync" : "none");
    check("open", wiredtiger_open(dir, NULL, config, &tiger->connection));
    make_table(tiger, options);
    pthread_mutex_init(&tiger->append_mu, NULL);
    return tiger;
}

static void close_store(void *store)
{
    struct tiger *tiger = store;

    check("close", tiger->connection->close(tiger->connection, NULL));
    pthread_mutex_destroy(&tiger->append_mu);
    kv_free(tiger);
}

static void *session_open(void *store)
{
    struct session *s = kv_alloc(sizeof(*s));
    WT_CONNECTION *connection = ((struct tiger *)store)->connection;

    s->tiger = store;
    check("session", connection->open_session(connection, NULL, NULL, &s->wt));
    check("cursor", s->wt->open_cursor(s->wt, TABLE, NULL, "overwrite=true", &s->cursor));
    return s;
}

static void session_close(void *session)
{
    struct session *s = session;

    check("session", s->wt->close(s->wt, NULL));
    kv_free(s->values);
    kv_free(s->joined);
    kv_free(s);
}

/* Room for so many bytes; what was there is lost. */
static char *reserve(char **memory, size_t *room, size_t size)
{
    if (size > *room) {
        kv_free(*memory);
        *room = 2 * size;
        *memory = kv_alloc(*room);
    }
    return *memory;
}

static int insert(struct session *s, struct kv_bytes key, struct kv_bytes value)
{
    WT_ITEM k = item_of(key), v = item_of(value);

    s->cursor->set_key(s->cursor, &k);
    s->cursor->set_value(s->cursor, &v);
    return s->cursor->insert(s->cursor);
}

static void put(void *session, struct kv_bytes key, struct kv_bytes value)
{
    int code;

    while ((code = insert(session, key, value)) == WT_ROLLBACK) /* asks to be tried again */
        ;
    check("insert", code);
}

static int try_pairs(struct session *s, const struct kv_pair *pairs, size_t count)
{
    check("begin", s->wt->begin_transaction(s->wt, NULL));
    for (size_t i = 0; i < count; i++) {
        int code = insert(s, pairs[i].key, pairs[i].value);
        if (code == 0) continue;
        check("rollback", s->wt->rollback_transaction(s->wt, NULL));
        return code;
    }
    return s->wt->commit_transaction(s->wt, NULL);
}

static void write_pairs(void *session, const struct kv_pair *pairs, size_t count)
{
    int code;

    while ((code = try_pairs(session, pairs, count)) == WT_ROLLBACK)
        ;
    check("write", code);
}

/* The cursor keeps its place, and so the page, until it is reset. */
static struct kv_bytes find(struct session *s, struct kv_bytes key)
{
    WT_ITEM k = item_of(key), v;

    s->cursor->set_key(s->cursor, &k);
    int code = s->cursor->search(s->cursor);
    if (code == WT_NOTFOUND) return (struct kv_bytes){0};
    check("search", code);
    check("value", s->cursor->get_value(s->cursor, &v));
    return (struct kv_bytes){v.data, v.size};
}

static struct kv_bytes get(void *session, struct kv_bytes key)
{
    return find(session, key);
}

static void multi_get(void *session, size_t count, const struct kv_bytes *keys,
        struct kv_bytes *ret_values)
{
    struct session *s = session;
    size_t offsets[KV_MULTI_MAX], used = 0;

    for (size_t i = 0; i < count; i++) {
        ret_values[i] = find(s, keys[i]);
        offsets[i] = used;
        if (ret_values[i].data == NULL) continue;
        if (used + ret_values[i].size > s->value_room) {
            char *grown = kv_alloc(2 * (used + ret_values[i].size));
            if (used > 0) memcpy(grown, s->values, used);
            kv_free(s->values);
            s->values = grown;
            s->value_room = 2 * (used + ret_values[i].size);
        }
        memcpy(s->values + used, ret_values[i].data, ret_values[i].size);
        used += ret_values[i].size;
    }
    for (size_t i = 0; i < count; i++)
        if (ret_values[i].data != NULL) ret_values[i].data = s->values + offsets[i];
}

static void append(void *session, struct kv_bytes key, struct kv_bytes fragment)
{
    struct session *s = session;

    pthread_mutex_lock(&s->tiger->append_mu);
    struct kv_bytes old = find(s, key);
    size_t size = old.size + fragment.size;
    char *joined = reserve(&s->joined, &s->joined_room, size);
    if (old.size > 0) memcpy(joined, old.data, old.size);
    memcpy(joined + old.size, fragment.data, fragment.size);
    put(s, key, (struct kv_bytes){joined, size});
    pthread_mutex_unlock(&s->tiger->append_mu);
}

/* Truncate takes the last key too: the end is moved back to the one before it. */
static void delete_range(void *session, struct kv_bytes start, struct kv_bytes end)
{
    struct session *s = session;
    WT_CURSOR *from, *to;
    WT_ITEM a = item_of(start), b = item_of(end);
    int exact = 0;

    check("cursor", s->wt->open_cursor(s->wt, TABLE, NULL, NULL, &from));
    check("cursor", s->wt->open_cursor(s->wt, TABLE, NULL, NULL, &to));
    from->set_key(from, &a);
    to->set_key(to, &b);
    int code = to->search_near(to, &exact);
    if (code == 0 && exact >= 0) code = to->prev(to);
    if (code == 0) code = from->search_near(from, &exact);
    if (code == 0 && exact < 0) code = from->next(from);
    if (code == 0) {
        int order = 0;
        check("compare", from->compare(from, to, &order));
        if (order <= 0) check("truncate", s->wt->truncate(s->wt, NULL, from, to, NULL));
    } else if (code != WT_NOTFOUND) {
        check("search", code);
    }
    check("cursor", from->close(from));
    check("cursor", to->close(to));
}

/* --- Iterators ---------------------------------------------------------------------------------
 */

static void *iterator_open(void *session)
{
    struct session *s = session;
    struct iterator *it = kv_alloc(sizeof(*it));
    WT_CONNECTION *connection = s->tiger->connection;

    check("session", connection->open_session(connection, NULL, "isolation=snapshot", &it->wt));
    check("cursor", it->wt->open_cursor(it->wt, TABLE, NULL, NULL, &it->cursor));
    return it;
}

static void iterator_close(void *iterator)
{
    struct iterator *it = iterator;

    check("session", it->wt->close(it->wt, NULL));
    kv_free(it);
}

static bool here(struct iterator *it, int code, struct kv_pair *ret_pair)
{
    WT_ITEM k, v;

    if (code == WT_NOTFOUND) return false;
    check("iterate", code);
    check("key", it->cursor->get_key(it->cursor, &k));
    check("value", it->cursor->get_value(it->cursor, &v));
    *ret_pair = (struct kv_pair){{k.data, k.size}, {v.data, v.size}};
    return true;
}

static bool iterator_next(void *iterator, struct kv_pair *ret_pair)
{
    struct iterator *it = iterator;

    return here(it, it->cursor->next(it->cursor), ret_pair);
}

static bool iterator_prev(void *iterator, struct kv_pair *ret_pair)
{
    struct iterator *it = iterator;

    return here(it, it->cursor->prev(it->cursor), ret_pair);
}

static void reset(struct iterator *it)
{
    check("reset", it->cursor->reset(it->cursor));
}

static bool iterator_first(void *iterator, struct kv_pair *ret_pair)
{
    reset(iterator);
    return iterator_next(iterator, ret_pair);
}

static bool iterator_last(void *iterator, struct kv_pair *ret_pair)
{
    reset(iterator);
    return iterator_prev(iterator, ret_pair);
}

static bool iterator_seek(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair)
{
    struct iterator *it = iterator;
    WT_ITEM k = item_of(key);
    int exact = 0;

    it->cursor->set_key(it->cursor, &k);
    int code = it->cursor->search_near(it->cursor, &exact);
    if (code == 0 && exact < 0) code = it->cursor->next(it->cursor);
    return here(it, code, ret_pair);
}

static void wait_idle(void *store, void *session)
{
    struct session *s = session;

    (void)store;
    check("reset", s->cursor->reset(s->cursor));
    check("checkpoint", s->wt->checkpoint(s->wt, NULL));
}

static const char *version(void)
{
    static char text[32];
    int major, minor, patch;

    wiredtiger_version(&major, &minor, &patch);
    snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
    return text;
}

const struct kv_engine kv_wiredtiger = {
        .name = "wiredtiger",
        .version = version,
        .caps = KV_CAP_DELETE_RANGE | KV_CAP_LOG,
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
