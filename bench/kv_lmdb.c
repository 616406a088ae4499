/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_lmdb.c - LMDB.
 *
 * Settings:
 *
 *   map size         given by the caller, far above the data    its documentation: "the larger the
 *                                                               better"
 *   MDB_WRITEMAP     off                                        with it, a write does not pass
 *                                                               write(2)
 *   without sync     MDB_NOSYNC: pages and the meta page are written (pwrite) at commit, not synced
 *   with sync        neither MDB_NOSYNC nor MDB_NOMETASYNC: MDB_NOMETASYNC may lose the last commit
 *   MDB_NORDAHEAD    on: its documentation's advice for random reads that miss memory; warm reads
 * do not care, cold ones gain MDB_NOTLS        on: read transactions belong to sessions, not to
 * threads
 *
 * There is no cache but the page cache: the budget does not apply, and the resident memory that is
 * reported holds the mapped file. Every put is a transaction of its own; writers take turns, so
 * that there are no groups. Append reads, joins and writes in one transaction; ranges are deleted
 * by a cursor in one transaction. It has no log.
 */
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "bench/kv_engine.h"

struct lmdb {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct lmdb *lmdb;
    MDB_txn *reader; /* reset between calls */
    bool reading;
    char *joined;
    size_t joined_room;
};

struct iterator {
    MDB_txn *txn;
    MDB_cursor *cursor;
};

static void check(const char *what, int code)
{
    if (code != 0) kv_die("lmdb: %s: %s", what, mdb_strerror(code));
}

static MDB_val val_of(struct kv_bytes bytes)
{
    return (MDB_val){.mv_size = bytes.size, .mv_data = fr_unconst(bytes.data)};
}

static struct kv_bytes bytes_of(MDB_val val)
{
    return (struct kv_bytes){val.mv_data, val.mv_size};
}

static void *open_store(const char *dir, const struct kv_options *options)
{
    struct lmdb *lmdb = kv_alloc(sizeof(*lmdb));
    unsigned flags = MDB_NORDAHEAD | MDB_NOTLS;
    MDB_txn *txn;

    if (options->sync == KV_SYNC_OS) flags |= MDB_NOSYNC;
    check("create", mdb_env_create(&lmdb->env));
    check("map size", mdb_env_set_mapsize(lmdb->env, options->map_bytes));
    check("open", mdb_env_open(lmdb->env, dir, flags, 0644));
    check("begin", mdb_txn_begin(lmdb->env, NULL, 0, &txn));
    check("dbi", mdb_dbi_open(txn, NULL, 0, &lmdb->dbi));
    check("commit", mdb_txn_commit(txn));
    return lmdb;
}

static void close_store(void *store)
{
    struct lmdb *lmdb = store;

    mdb_env_close(lmdb->env);
    kv_free(lmdb);
}

static void *session_open(void *store)
{
    struct session *s = kv_alloc(sizeof(*s));

    s->lmdb = store;
    check("begin", mdb_txn_begin(s->lmdb->env, NULL, MDB_RDONLY, &s->reader));
    mdb_txn_reset(s->reader);
    return s;
}

/* Values that were given out end here: an old reader would keep pages from being used again. */
static void end_reading(struct session *s)
{
    if (s->reading) mdb_txn_reset(s->reader);
    s->reading = false;
}

static void begin_reading(struct session *s)
{
    end_reading(s);
    check("renew", mdb_txn_renew(s->reader));
    s->reading = true;
}

static void session_close(void *session)
{
    struct session *s = session;

    mdb_txn_abort(s->reader);
    kv_free(s->joined);
    kv_free(s);
}

static MDB_txn *begin_writing(struct session *s)
{
    MDB_txn *txn;

    end_reading(s);
    check("begin", mdb_txn_begin(s->lmdb->env, NULL, 0, &txn));
    return txn;
}

static void put_in(struct session *s, MDB_txn *txn, struct kv_bytes key, struct kv_bytes value)
{
    MDB_val k = val_of(key), v = val_of(value);

    check("put", mdb_put(txn, s->lmdb->dbi, &k, &v, 0));
}

static void write_pairs(void *session, const struct kv_pair *pairs, size_t count)
{
    MDB_txn *txn = begin_writing(session);

    for (size_t i = 0; i < count; i++)
        put_in(session, txn, pairs[i].key, pairs[i].value);
    check("commit", mdb_txn_commit(txn));
}

static void put(void *session, struct kv_bytes key, struct kv_bytes value)
{
    struct kv_pair pair = {key, value};

    write_pairs(session, &pair, 1);
}

static struct kv_bytes get_in(struct session *s, MDB_txn *txn, struct kv_bytes key)
{
    MDB_val k = val_of(key), v;
    int code = mdb_get(txn, s->lmdb->dbi, &k, &v);

    if (code == MDB_NOTFOUND) return (struct kv_bytes){0};
    check("get", code);
    return bytes_of(v);
}

static void append(void *session, struct kv_bytes key, struct kv_bytes fragment)
{
    struct session *s = session;
    MDB_txn *txn = begin_writing(s);
    struct kv_bytes old = get_in(s, txn, key);
    size_t size = old.size + fragment.size;

    if (size > s->joined_room) {
        kv_free(s->joined);
        s->joined_room = 2 * size;
        s->joined = kv_alloc(s->joined_room);
    }
    if (old.size > 0) memcpy(s->joined, old.data, old.size);
    memcpy(s->joined + old.size, fragment.data, fragment.size);
    put_in(s, txn, key, (struct kv_bytes){s->joined, size});
    check("commit", mdb_txn_commit(txn));
}

static void delete_range(void *session, struct kv_bytes start, struct kv_bytes end)
{
    struct session *s = session;
    MDB_txn *txn = begin_writing(s);
    MDB_val k = val_of(start), v, last = val_of(end);
    MDB_cursor *cursor;

    check("cursor", mdb_cursor_open(txn, s->lmdb->dbi, &cursor));
    int code = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (code == 0 && mdb_cmp(txn, s->lmdb->dbi, &k, &last) < 0) {
        check("delete", mdb_cursor_del(cursor, 0));
        code = mdb_cursor_get(cursor, &k, &v, MDB_GET_CURRENT);
        if (code != 0) code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    if (code != MDB_NOTFOUND) check("delete", code);
    mdb_cursor_close(cursor);
    check("commit", mdb_txn_commit(txn));
}

static struct kv_bytes get(void *session, struct kv_bytes key)
{
    struct session *s = session;

    begin_reading(s);
    return get_in(s, s->reader, key);
}

static void multi_get(void *session, size_t count, const struct kv_bytes *keys,
        struct kv_bytes *ret_values)
{
    struct session *s = session;

    begin_reading(s);
    for (size_t i = 0; i < count; i++)
        ret_values[i] = get_in(s, s->reader, keys[i]);
}

/* --- Iterators ---------------------------------------------------------------------------------
 */

static void *iterator_open(void *session)
{
    struct session *s = session;
    struct iterator *it = kv_alloc(sizeof(*it));

    check("begin", mdb_txn_begin(s->lmdb->env, NULL, MDB_RDONLY, &it->txn));
    check("cursor", mdb_cursor_open(it->txn, s->lmdb->dbi, &it->cursor));
    return it;
}

static void iterator_close(void *iterator)
{
    struct iterator *it = iterator;

    mdb_cursor_close(it->cursor);
    mdb_txn_abort(it->txn);
    kv_free(it);
}

static bool move(void *iterator, MDB_val key, MDB_cursor_op op, struct kv_pair *ret_pair)
{
    struct iterator *it = iterator;
    MDB_val value;
    int code = mdb_cursor_get(it->cursor, &key, &value, op);

    if (code == MDB_NOTFOUND) return false;
    check("iterate", code);
    *ret_pair = (struct kv_pair){bytes_of(key), bytes_of(value)};
    return true;
}

static bool iterator_first(void *iterator, struct kv_pair *ret_pair)
{
    return move(iterator, (MDB_val){0}, MDB_FIRST, ret_pair);
}

static bool iterator_last(void *iterator, struct kv_pair *ret_pair)
{
    return move(iterator, (MDB_val){0}, MDB_LAST, ret_pair);
}

static bool iterator_seek(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair)
{
    return move(iterator, val_of(key), MDB_SET_RANGE, ret_pair);
}

static bool iterator_next(void *iterator, struct kv_pair *ret_pair)
{
    return move(iterator, (MDB_val){0}, MDB_NEXT, ret_pair);
}

static bool iterator_prev(void *iterator, struct kv_pair *ret_pair)
{
    return move(iterator, (MDB_val){0}, MDB_PREV, ret_pair);
}

/* Nothing is done in the background. */
static void wait_idle(void *store, void *session)
{
    (void)store;
    end_reading(session);
}

static const char *version(void)
{
    static char text[32];
    int major, minor, patch;

    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof(text), "%d.%d.%d", major, minor, patch);
    return text;
}

const struct kv_engine kv_lmdb = {
        .name = "lmdb",
        .version = version,
        .caps = KV_CAP_MMAP,
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
