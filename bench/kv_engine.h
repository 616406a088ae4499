/* bench of internals: it shares compiler.h.
 *
 * kv_engine.h - what bench_kv asks of an engine, and nothing more.
 *
 * An engine is a table of functions, one static object per adapter. A store is opened once in a
 * child process; every thread opens a session of its own on it. Nothing here returns a status: a
 * benchmark whose engine fails has no result, so an adapter calls kv_die(), which prints words and
 * ends the process; the parent then ends the run.
 *
 * Durability is given at open. KV_SYNC_OS means that the bytes of a write were handed to the
 * operating system before the call returned, so that they survive the death of the process;
 * KV_SYNC_DEVICE means that they are on the device. `reopenlog` kills the process and looks for
 * what was acknowledged, so no adapter can keep writes to itself.
 *
 * Keys and values are borrowed for the call. What get, multi_get and the iterators give is valid
 * until the next call on the same session or iterator.
 */
#ifndef FR_BENCH_KV_ENGINE_H
#define FR_BENCH_KV_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum kv_sync { KV_SYNC_OS, KV_SYNC_DEVICE };
enum kv_compression { KV_COMPRESSION_NONE, KV_COMPRESSION_ZSTD };

struct kv_options {
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes; /* one memtable */
    uint64_t map_bytes;          /* address space for engines that map their file */
    uint64_t value_bytes;        /* what most values will be, for page sizes */
    enum kv_sync sync;
    enum kv_compression compression; /* at KV_ZSTD_LEVEL */
    uint64_t dictionary_bytes;       /* of zstd's, UINT64_MAX: what the engine does by itself */
    bool direct;                     /* read past the page cache, if the engine is Freshet */
    const char *variant;             /* the engine's; NULL: none */
};

/* Whose level can be chosen is asked for the level that the others have. It is zstd's default. */
#define KV_ZSTD_LEVEL 3

/* A dictionary where one is asked for without its size. */
#define KV_DICTIONARY_BYTES ((uint64_t)16 << 10)

struct kv_bytes {
    const void *data; /* NULL: not there */
    size_t size;
};

struct kv_pair {
    struct kv_bytes key, value;
};

#define KV_MULTI_MAX 64

enum kv_caps {
    KV_CAP_LSM = 1,          /* counts among the LSM peers */
    KV_CAP_APPEND = 2,       /* append without reading; otherwise read-modify-write */
    KV_CAP_DELETE_RANGE = 4, /* by one call; otherwise key by key */
    KV_CAP_ZSTD = 8,
    KV_CAP_LOG = 16, /* has a log to replay */
    KV_CAP_MMAP = 32 /* resident memory includes the page cache */
};

struct kv_engine {
    const char *name;
    unsigned caps;
    const char *variant; /* words with + between them, in name behind the first +; or NULL */
    const char *(*version)(void);
    bool (*takes)(const char *word); /* is it a word of a variant? NULL: it has none */

    void *(*open)(const char *dir, const struct kv_options *options);
    void (*close)(void *store);
    void *(*session_open)(void *store);
    void (*session_close)(void *session);

    void (*put)(void *session, struct kv_bytes key, struct kv_bytes value);
    void (*write)(void *session, const struct kv_pair *pairs, size_t count);
    void (*append)(void *session, struct kv_bytes key, struct kv_bytes fragment);
    void (*delete_range)(void *session, struct kv_bytes start, struct kv_bytes end);

    struct kv_bytes (*get)(void *session, struct kv_bytes key);
    void (*multi_get)(void *session, size_t count, const struct kv_bytes *keys,
            struct kv_bytes *ret_values);

    /* Each moves and says whether there is an entry there. */
    void *(*iterator_open)(void *session);
    void (*iterator_close)(void *iterator);
    bool (*iterator_first)(void *iterator, struct kv_pair *ret_pair);
    bool (*iterator_last)(void *iterator, struct kv_pair *ret_pair);
    bool (*iterator_seek)(void *iterator, struct kv_bytes key, struct kv_pair *ret_pair);
    bool (*iterator_next)(void *iterator, struct kv_pair *ret_pair);
    bool (*iterator_prev)(void *iterator, struct kv_pair *ret_pair);

    /* Write what is in memory to tables and return when background work has ended. */
    void (*wait_idle)(void *store, void *session);

    /* Bytes written so far by the engine's own count; NULL if it has none. */
    uint64_t (*bytes_written)(void *store);
};

/* Print what went wrong and end this process. */
FR_NORETURN void kv_die(const char *format, ...) FR_PRINTF(1, 2);

/* Memory or the end. */
void *kv_alloc(size_t size);
void kv_free(void *memory);

/* For engines that do not tell when they are done: until this process has written nothing for so
 * long. */
void kv_wait_quiet(unsigned quiet_ms);

/* What is compiled in, ending with NULL. */
extern const struct kv_engine *const kv_engines[];

/*
 * An engine by its name, or a variant of one: "freshet+direct". NULL: there is none. What is
 * yielded for the same name is the same object, and lives as long as the process.
 */
const struct kv_engine *kv_engine_find(const char *name);

/* Do two names belong to variants of one engine? */
bool kv_engine_is(const struct kv_engine *engine, const char *name);

/* Call with each word of a variant; stops where that answers false, and yields the answer. */
bool kv_variant_walk(const char *variant, bool (*each)(const char *word, void *arg), void *arg);

/* The names of what is not compiled in, separated by blanks; "" if all are. */
extern const char kv_engines_absent[];

extern const struct kv_engine kv_freshet;
extern const struct kv_engine kv_rocksdb;
extern const struct kv_engine kv_rocksdb_blob;
extern const struct kv_engine kv_leveldb;
extern const struct kv_engine kv_lmdb;
extern const struct kv_engine kv_wiredtiger;

#endif
