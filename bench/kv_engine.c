/* bench of internals: kv_engine.h shares compiler.h.
 *
 * kv_engine.c - which engines this build has; the build defines KV_HAVE_*.
 */
#include "bench/kv_engine.h"

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
