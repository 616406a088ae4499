/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_engine.c - which engines this build has; the build defines KV_HAVE_*.
 */
#include "bench/kv_engine.h"

#include <stdio.h>
#include <string.h>

#define VARIANTS_MAX 16
#define NAME_ROOM    96

const struct kv_engine *const kv_engines[] = {
#ifdef KV_HAVE_FRESHET
        &kv_freshet,
#endif
#ifdef KV_HAVE_ROCKSDB
        &kv_rocksdb, &kv_rocksdb_blob,
#endif
#ifdef KV_HAVE_LEVELDB
        &kv_leveldb,
#endif
#ifdef KV_HAVE_LMDB
        &kv_lmdb,
#endif
#ifdef KV_HAVE_WIREDTIGER
        &kv_wiredtiger,
#endif
        NULL};

const char kv_engines_absent[] = ""
#ifndef KV_HAVE_FRESHET
                                 " freshet"
#endif
#ifndef KV_HAVE_ROCKSDB
                                 " rocksdb rocksdb-blob"
#endif
#ifndef KV_HAVE_LEVELDB
                                 " leveldb"
#endif
#ifndef KV_HAVE_LMDB
                                 " lmdb"
#endif
#ifndef KV_HAVE_WIREDTIGER
                                 " wiredtiger"
#endif
        ;

bool kv_variant_walk(const char *variant, bool (*each)(const char *word, void *arg), void *arg)
{
    char copy[NAME_ROOM];
    char *rest = copy;

    if (variant == NULL) return true;
    snprintf(copy, sizeof(copy), "%s", variant);
    for (char *word = strsep(&rest, "+"); word != NULL; word = strsep(&rest, "+"))
        if (!each(word, arg)) return false;
    return true;
}

static bool is_word_of(const char *word, void *arg)
{
    const struct kv_engine *engine = arg;

    return engine->takes != NULL && engine->takes(word);
}

bool kv_engine_is(const struct kv_engine *engine, const char *name)
{
    size_t length = strcspn(engine->name, "+");

    return strlen(name) == length && strncmp(engine->name, name, length) == 0;
}

/* The engine that the name begins with. */
static const struct kv_engine *base_of(const char *name)
{
    size_t length = strcspn(name, "+");

    for (size_t i = 0; kv_engines[i] != NULL; i++)
        if (strlen(kv_engines[i]->name) == length &&
                strncmp(kv_engines[i]->name, name, length) == 0)
            return kv_engines[i];
    return NULL;
}

const struct kv_engine *kv_engine_find(const char *name)
{
    static struct kv_engine variants[VARIANTS_MAX];
    static char names[VARIANTS_MAX][NAME_ROOM];
    static size_t count;
    const struct kv_engine *base = base_of(name);
    const char *words = strchr(name, '+');

    if (base == NULL || words == NULL) return base;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0) return &variants[i];
    if (count == VARIANTS_MAX || strlen(name) >= NAME_ROOM || strchr(name, '/') != NULL ||
            !kv_variant_walk(words + 1, is_word_of, (void *)(uintptr_t)base))
        return NULL;
    snprintf(names[count], NAME_ROOM, "%s", name);
    variants[count] = *base;
    variants[count].name = names[count];
    variants[count].variant = strchr(names[count], '+') + 1;
    return &variants[count++];
}
