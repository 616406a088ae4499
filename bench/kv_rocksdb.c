/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_rocksdb.c - RocksDB through its C API, plain and with blob files (`rocksdb-blob`).
 *
 * Settings, after its tuning guide and for two processors:
 *
 *   block cache         the budget, LRU                     the C API of 7.8 has no HyperClock
 *   blocks              4 KiB, format 5                     the default; larger ones lose point
 * reads filter              bloom, 10 bits, full                "recommended for point lookups"
 *   index and filters   in the heap, not in the cache       the default, and the fastest
 *   write buffers       3 of 64 MiB                         outside of the cache budget
 *   background jobs     2                                   the processors that there are
 *   levels              dynamic sizes                       the guide's, keeps space near 1.1
 *   bytes_per_sync      1 MiB                               the guide's, smooths write-back
 *   files kept open     all                                 the default
 *   blob files          from 256 B, collected, in the same  the threshold is Freshet's own
 *                       cache
 *   compression         none, or zstd at level 3            its default for zstd, said aloud
 *   dictionary          none                                the default; `dict`, the one word of a
 *                       variant, trains one from 100 times its size
 *   without sync        WriteOptions.sync = false           every write reaches write(2)
 *   with sync           WriteOptions.sync = true            fdatasync of the log, in groups
 *
 * Debian builds it for any x86-64, without the processor's CRC instructions; its LOG says so.
 * Blocks are checked by XXH3, but records of the log pay for that.
 *
 * Append is a merge operator that concatenates, written against the C API.
 */
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/kv_engine.h"

/* What pkg-config said when this was built: the C API does not tell. */
#ifndef KV_VERSION_ROCKSDB
#define KV_VERSION_ROCKSDB "of unknown version"
#endif

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_column_family_handle_t *family;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

struct session {
    struct rocks *rocks;
    rocksdb_pinnableslice_t *pinned[KV_MULTI_MAX];
    size_t pinned_count;
    rocksdb_writebatch_t *batch;
};

static void check(const char *what, char *error)
{
    if (error != NULL) kv_die("rocksdb: %s: %s", what, error);
}

/* --- The merge operator ------------------------------------------------------------------------
 */

static char *concatenate(const char *head, size_t head_size, const char *const *parts,
        const size_t *sizes, int count, size_t *ret_size)
{
    size_t size = head_size;

    for (int i = 0; i < count; i++)
        size += sizes[i];
    char *all = malloc(size + 1), *at = all;
    if (all == NULL) return NULL;
    if (head_size > 0) memcpy(at, head, head_size);
    at += head_size;
    for (int i = 0; i < count; i++) {
        memcpy(at, parts[i], sizes[i]);
        at += sizes[i];
    }
    *ret_size = size;
    return all;
}

static char *merge_full(void *state, const char *key, size_t key_size, const char *value,
        size_t value_size, const char *const *parts, const size_t *sizes, int count,
        unsigned char *success, size_t *ret_size)
{
    (void)state, (void)key, (void)key_size;
    char *all = concatenate(value, value == NULL ? 0 : value_size, parts, sizes, count, ret_size);
    *success = all != NULL;
    return all;
}

static char *merge_partial(void *state, const char *key, size_t key_size, const char *const *parts,
        const size_t *sizes, int count, unsigned char *success, size_t *ret_size)
{
    (void)state, (void)key, (void)key_size;
    char *all = concatenate(NULL, 0, parts, sizes, count, ret_size);
    *success = all != NULL;
    return all;
}

static void merge_nothing(void *state)
{
    (void)state;
}

static const char *merge_name(void *state)
{
    (void)state;
    return "concatenate";
}

/* --- Opening -----------------------------------------------------------------------------------
 */

static void set_tables(rocksdb_options_t *o, rocksdb_cache_t *cache)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, cache);
    rocksdb_block_based_options_set_block_size(table, 4096);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_block_based_options_set_filter_policy(table,
            rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(o, table);
    rocksdb_block_based_options_destroy(table);
}

static void set_blobs(rocksdb_options_t *o, rocksdb_cache_t *cache, int compression)
{
    rocksdb_options_set_enable_blob_files(o, 1);
    rocksdb_options_set_min_blob_size(o, 256);
    rocksdb_options_set_enable_blob_gc(o, 1);
    rocksdb_options_set_blob_cache(o, cache);
    rocksdb_options_set_blob_compression_type(o, compression);
}

static bool is_dict(const char *word, void *arg)
{
    (void)arg;
    return strcmp(word, "dict") == 0;
}

static bool takes(const char *word)
{
    return is_dict(word, NULL);
}

/* Window and strategy are the defaults. */
static void set_zstd(rocksdb_options_t *o, const struct kv_options *options)
{
    int dictionary = 0;

    if (options->variant != NULL && kv_variant_walk(options->variant, is_dict, NULL)) {
        uint64_t size = options->dictionary_bytes;
        dictionary = (int)(size == UINT64_MAX || size == 0 ? KV_DICTIONARY_BYTES : size);
        rocksdb_options_set_compression_options_zstd_max_train_bytes(o, 100 * dictionary);
    }
    rocksdb_options_set_compression_options(o, -14, KV_ZSTD_LEVEL, 0, dictionary);
}

static rocksdb_options_t *new_options(const struct kv_options *options, bool blobs)
{
    rocksdb_options_t *o = rocksdb_options_create();
    rocksdb_cache_t *cache = rocksdb_cache_create_lru(options->cache_bytes);
    int compression = options->compression == KV_COMPRESSION_ZSTD ? rocksdb_zstd_compression
                                                                  : rocksdb_no_compression;

    rocksdb_options_set_create_if_missing(o, 1);
    rocksdb_options_set_write_buffer_size(o, options->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(o, 3);
    rocksdb_options_set_max_background_jobs(o, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
    rocksdb_options_set_bytes_per_sync(o, 1 << 20);
    rocksdb_options_set_compression(o, compression);
    if (options->compression == KV_COMPRESSION_ZSTD) set_zstd(o, options);
    rocksdb_options_set_merge_operator(o, rocksdb_mergeoperator_create(NULL, merge_nothing,
                                                  merge_full, merge_partial, NULL, merge_name));
    set_tables(o, cache);
    if (blobs) set_blobs(o, cache, compression);
    rocksdb_cache_destroy(cache);
    return o;
}

static void *open_store(const char *dir, const struct kv_options *options, bool blobs)
{
    static const char *const names[] = {"default"};
    struct rocks *rocks = kv_alloc(sizeof(*rocks));
    char *error = NULL;

    rocks->options = new_options(options, blobs);
    const rocksdb_options_t *family_options[] = {rocks->options};
    rocks->db = rocksdb_open_column_families(rocks->options, dir, 1, names, family_options,
            &rocks->family, &error);
    check("open", error);
    rocks->read = rocksdb_readoptions_create();
    rocks->write = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write, options->sync == KV_SYNC_DEVICE);
    return rocks;
}

static void *open_plain(const char *dir, const struct kv_options *options)
{
    return open_store(dir, options, false);
}

static void *open_blob(const char *dir, const struct kv_options *options)
{
    return open_store(dir, options, true);
}

static void close_store(void *store)
{
    struct rocks *rocks = store;

    rocksdb_column_family_handle_destroy(rocks->family);
    rocksdb_close(rocks->db);
    rocksdb_readoptions_destroy(rocks->read);
    rocksdb_writeoptions_destroy(rocks->write);
    rocksdb_options_destroy(rocks->options);
    kv_free(rocks);
}

static void *session_open(void *store)
{
    struct session *s = kv_alloc(sizeof(*s));

    s->rocks = store;
    s->batch = rocksdb_writebatch_create();
    return s;
}

static void release(struct session *s)
{
    for (size_t i = 0; i < s->pinned_count; i++)
        if (s->pinned[i] != NULL) rocksdb_pinnableslice_destroy(s->pinned[i]);
    s->pinned_count = 0;
}

static void session_close(void *session)
{
    struct session *s = session;

    release(s);
    rocksdb_writebatch_destroy(s->batch);
    kv_free(s);
}

/* --- Writing -----------------------------------------------------------------------------------
 */

static void put(void *session, struct kv_bytes key, struct kv_bytes value)
{
    struct rocks *r = ((struct session *)session)->rocks;
    char *error = NULL;

    rocksdb_put(r->db, r->write, key.data, key.size, value.data, value.size, &error);
    check("put", error);
}

static void write_batch(struct session *s, const char *what)
{
    char *error = NULL;

    rocksdb_write(s->rocks->db, s->rocks->write, s->batch, &error);
    rocksdb_writebatch_clear(s->batch);
    check(what, error);
}

static void write_pairs(void *session, const struct kv_pair *pairs, size_t count)
{
    struct session *s = session;

    for (size_t i = 0; i < count; i++)
        rocksdb_writebatch_put(s->batch, pairs[i].key.data, pairs[i].key.size, pairs[i].value.data,
                pairs[i].value.size);
    write_batch(s, "write");
}

static void append(void *session, struct kv_bytes key, struct kv_bytes fragment)
{
    struct rocks *r = ((struct session *)session)->rocks;
    char *error = NULL;

    rocksdb_merge(r->db, r->write, key.data, key.size, fragment.data, fragment.size, &error);
    check("merge", error);
}

static void delete_range(void *session, struct kv_bytes start, struct kv_bytes end)
{
    struct session *s = session;

    rocksdb_writebatch_delete_range(s->batch, start.data, start.size, end.data, end.size);
    write_batch(s, "delete_range");
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static struct kv_bytes get(void *session, struct kv_bytes key)
{
    struct session *s = session;
    struct kv_bytes value = {0};
    char *error = NULL;

    release(s);
    s->pinned[0] = rocksdb_get_pinned(s->rocks->db, s->rocks->read, key.data, key.size, &error);
    s->pinned_count = 1;
    check("get", error);
    if (s->pinned[0] != NULL) value.data = rocksdb_pinnableslice_value(s->pinned[0], &value.size);
    return value;
}

static void multi_get(void *session, size_t count, const struct kv_bytes *keys,
        struct kv_bytes *ret_values)
{
    struct session *s = session;
    const char *names[KV_MULTI_MAX];
    size_t sizes[KV_MULTI_MAX];
    char *errors[KV_MULTI_MAX] = {0};

    release(s);
    for (size_t i = 0; i < count; i++) {
        names[i] = keys[i].data;
        sizes[i] = keys[i].size;
        s->pinned[i] = NULL;
    }
    rocksdb_batched_multi_get_cf(s->rocks->db, s->rocks->read, s->rocks->family, count, names,
            sizes, s->pinned, errors, false);
    s->pinned_count = count;
    for (size_t i = 0; i < count; i++) {
        check("multi_get", errors[i]);
        ret_values[i] = (struct kv_bytes){0};
        if (s->pinned[i] == NULL) continue;
        ret_values[i].data = rocksdb_pinnableslice_value(s->pinned[i], &ret_values[i].size);
    }
}

static void *iterator_open(void *session)
{
    struct session *s = session;

    return rocksdb_create_iterator(s->rocks->db, s->rocks->read);
}

static void iterator_close(void *iterator)
{
    rocksdb_iter_destroy(iterator);
}

static bool here(rocksdb_iterator_t *it, struct kv_pair *ret_pair)
{
    if (!rocksdb_iter_valid(it)) {
        char *error = NULL;
        rocksdb_iter_get_error(it, &error);
        check("iterate", error);
        return false;
    }
    ret_pair->key.data = rocksdb_iter_key(it, &ret_pair->key.size);
    ret_pair->value.data = rocksdb_iter_value(it, &ret_pair->value.size);
    return true;
}

static bool iterator_first(void *iterator, struct kv_pair *ret_pair)
{
    rocksdb_iter_seek_to_first(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_last(void *iterator, struct kv_pair *ret_pair)
{
    rocksdb_iter_seek_to_last(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_seek(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair)
{
    rocksdb_iter_seek(iterator, key.data, key.size);
    return here(iterator, ret_pair);
}

static bool iterator_next(void *iterator, struct kv_pair *ret_pair)
{
    rocksdb_iter_next(iterator);
    return here(iterator, ret_pair);
}

static bool iterator_prev(void *iterator, struct kv_pair *ret_pair)
{
    rocksdb_iter_prev(iterator);
    return here(iterator, ret_pair);
}

/* --- Settling ----------------------------------------------------------------------------------
 */

static uint64_t property(struct rocks *rocks, const char *name)
{
    uint64_t value = 0;

    rocksdb_property_int(rocks->db, name, &value);
    return value;
}

static bool is_busy(struct rocks *rocks)
{
    return property(rocks, "rocksdb.mem-table-flush-pending") != 0 ||
           property(rocks, "rocksdb.num-running-flushes") != 0 ||
           property(rocks, "rocksdb.compaction-pending") != 0 ||
           property(rocks, "rocksdb.num-running-compactions") != 0;
}

static void wait_idle(void *store, void *session)
{
    struct rocks *rocks = store;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    char *error = NULL;

    (void)session;
    rocksdb_flush(rocks->db, flush, &error);
    check("flush", error);
    rocksdb_flushoptions_destroy(flush);
    /* Between one compaction and the next there is a moment in which nothing is pending. */
    for (int calm = 0; calm < 10; calm = is_busy(rocks) ? 0 : calm + 1)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

static const char *version(void)
{
    return KV_VERSION_ROCKSDB;
}

#define ROCKS_ENGINE(engine_name, opener)                                                          \
    {                                                                                              \
        .name = (engine_name),                                                                     \
        .caps = KV_CAP_LSM | KV_CAP_APPEND | KV_CAP_DELETE_RANGE | KV_CAP_ZSTD | KV_CAP_LOG,       \
        .version = version, .takes = takes, .open = (opener), .close = close_store,                \
        .session_open = session_open, .session_close = session_close, .put = put,                  \
        .write = write_pairs, .append = append, .delete_range = delete_range, .get = get,          \
        .multi_get = multi_get, .iterator_open = iterator_open, .iterator_close = iterator_close,  \
        .iterator_first = iterator_first, .iterator_last = iterator_last,                          \
        .iterator_seek = iterator_seek, .iterator_next = iterator_next,                            \
        .iterator_prev = iterator_prev, .wait_idle = wait_idle,                                    \
    }

const struct kv_engine kv_rocksdb = ROCKS_ENGINE("rocksdb", open_plain);
const struct kv_engine kv_rocksdb_blob = ROCKS_ENGINE("rocksdb-blob", open_blob);
