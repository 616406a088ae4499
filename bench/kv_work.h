/* bench of internals: it shares kv_engine.h.
 *
 * kv_work.h - the workloads: one engine, one store, one child process, one result.
 */
#ifndef FR_BENCH_KV_WORK_H
#define FR_BENCH_KV_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/kv_data.h"
#include "bench/kv_engine.h"

struct kv_settings {
    const char *dir;
    uint64_t keys;
    uint64_t value_size;
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes;
    uint64_t threads;     /* readers of readwhilewriting */
    uint64_t limit_ns;    /* of one measurement by count; it is cut there */
    uint64_t timed_ns;    /* of sync1, sync8, readwhilewriting */
    uint64_t overload_ns; /* of overload */
    uint64_t cold_reads;  /* keys that coldread reads; coldmulti64 twice as many */
    enum kv_compression compression;
    enum kv_values values;
    uint64_t dictionary_bytes; /* UINT64_MAX: each engine's default */
    bool direct;
    bool drop_machine; /* cold means the machine's whole page cache */
};

/* What an engine's store holds, from one workload to the next. */
struct kv_state {
    bool loaded;
    unsigned version; /* every value is of this one or later */
    uint64_t appended;
};

/* What one run of one workload came to. Plain, for it travels through a pipe. */
struct kv_result {
    uint64_t ops, bytes, elapsed_ns;
    uint64_t p50_ns, p99_ns, p999_ns, max_ns;
    uint64_t cpu_ns;    /* processor time of all threads while it was measured */
    uint64_t settle_ns; /* until background work had ended */
    uint64_t put_bytes; /* keys and values handed to the engine */
    uint64_t passed_bytes, stored_bytes, own_bytes; /* until it had settled; see kv_os.h */
    uint64_t disk_bytes;                            /* then */
    uint64_t log_bytes;                             /* of these, logs: what stays or is used anew */
    uint64_t live_bytes;                            /* keys and values that are in the store then */
    uint64_t peak_bytes;                            /* resident, of the child */
    uint64_t other_ops;                             /* of readwhilewriting's writer */
    double resident;       /* share of a cold store's bytes in memory before it was opened */
    double resident_after; /* and after the reads */
    bool cut;              /* the limit of time came first */
    struct kv_state state;
};

enum kv_store_kind { KV_STORE_SCRATCH, KV_STORE_MAIN, KV_STORE_POSTINGS };

enum kv_work_flags {
    KV_WORK_NEW = 1,     /* begins with an empty store */
    KV_WORK_WRITES = 2,  /* is followed by settling; amplification is told */
    KV_WORK_COLD = 4,    /* the store's files are dropped from the page cache before it is opened */
    KV_WORK_OPENS = 8,   /* opens the store itself */
    KV_WORK_HIDDEN = 16, /* only prepares */
    KV_WORK_SPOILS = 32, /* the store must be loaded anew for what needs it */
    KV_WORK_DEVICE = 64  /* writes are synced */
};

struct kv_run;

struct kv_workload {
    const char *name;
    enum kv_store_kind store;
    unsigned flags;
    void (*run)(struct kv_run *run);
    const char *what;
};

/* In the order in which they run, ending with a NULL name. */
extern const struct kv_workload kv_workloads[];

/* The hidden one that makes what the others read. */
const struct kv_workload *kv_workload_loader(enum kv_store_kind store);

/* Run it in this process, on the store in dir. */
void kv_workload_run(const struct kv_workload *work, const struct kv_engine *engine,
        const struct kv_settings *settings, const char *dir, const struct kv_state *state,
        struct kv_result *ret_result);

#endif
