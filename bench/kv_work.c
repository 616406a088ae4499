/* bench of internals: histogram.h, rng.h and thread.h.
 *
 * kv_work.c - the workloads. What each one does is said in bench_kv.c.
 */
#include "bench/kv_work.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/histogram.h"
#include "base/rng.h"
#include "base/thread.h"
#include "bench/kv_data.h"
#include "bench/kv_os.h"
#include "bench/measure.h"

#define BATCH          100
#define LOAD_BATCH     1000
#define SCAN_GROUP     64 /* entries per clock reading in scans */
#define SEEK_NEXTS     10
#define DELETE_SLICES  100
#define SCAN_MARGIN    10 /* live keys on either side of what deleterange deleted */
#define REOPENS        5
#define SYNC_THREADS   8
#define THREADS_MAX    64
#define POSTING_SHARE  100 /* keys per posting */
#define SEED_FILL      1
#define SEED_OVERWRITE 1000

struct kv_run {
    const struct kv_engine *engine;
    const struct kv_settings *settings;
    const char *dir;
    struct kv_options options;
    struct kv_data data;
    void *store;
    void *session;
    char *scratch;
    struct fr_rng rng;
    struct fr_histogram latency; /* ns */
    struct kv_result *result;

    uint64_t start_ns, last_ns, limit_ns, start_cpu_ns;
};

/* --- Time --------------------------------------------------------------------------------------
 */

static void begin(struct kv_run *r, uint64_t limit_ns)
{
    fr_histogram_init(&r->latency);
    r->result->ops = 0;
    r->result->bytes = 0;
    r->start_cpu_ns = kv_cpu_ns();
    r->start_ns = r->last_ns = measure_now_ns();
    r->limit_ns = r->start_ns + limit_ns;
}

/* One operation has ended, and the next one begins: the clock is read once for both. */
static inline void tick(struct kv_run *r, uint64_t ops, uint64_t bytes)
{
    uint64_t now = measure_now_ns();

    fr_histogram_record(&r->latency, now - r->last_ns);
    r->last_ns = now;
    r->result->ops += ops;
    r->result->bytes += bytes;
}

static inline bool in_time(struct kv_run *r)
{
    if (r->last_ns < r->limit_ns) return true;
    r->result->cut = true;
    return false;
}

static void end(struct kv_run *r)
{
    r->result->elapsed_ns = r->last_ns - r->start_ns;
    r->result->cpu_ns = kv_cpu_ns() - r->start_cpu_ns;
}

/* --- Writing -----------------------------------------------------------------------------------
 */

static size_t pair_bytes(const struct kv_run *r)
{
    return KV_KEY_SIZE + r->data.value_size;
}

static void put_one(struct kv_run *r, uint64_t id, unsigned version)
{
    char key[KV_KEY_SIZE];

    r->engine->put(r->session, kv_data_key(key, id),
            kv_data_value(&r->data, id, version, r->scratch));
    r->result->put_bytes += pair_bytes(r);
}

/* So many values of a random order, from the index-th on, as one batch. */
static void put_many(struct kv_run *r, uint64_t index, size_t count, uint64_t seed,
        unsigned version)
{
    static char keys[LOAD_BATCH][KV_KEY_SIZE];
    static struct kv_pair pairs[LOAD_BATCH];

    for (size_t i = 0; i < count; i++) {
        uint64_t id = kv_data_permute(&r->data, index + i, seed);
        pairs[i].key = kv_data_key(keys[i], id);
        pairs[i].value = kv_data_value(&r->data, id, version, r->scratch + i * r->data.value_size);
    }
    r->engine->write(r->session, pairs, count);
    r->result->put_bytes += count * pair_bytes(r);
}

/* The rest of the store, so that it holds all keys; not measured. */
static void load_from(struct kv_run *r, uint64_t index)
{
    for (; index < r->data.keys; index += LOAD_BATCH)
        put_many(r, index, (size_t)FR_MIN(r->data.keys - index, (uint64_t)LOAD_BATCH), SEED_FILL,
                1);
    r->result->state = (struct kv_state){.loaded = true, .version = 1};
}

static void run_load(struct kv_run *r)
{
    begin(r, r->settings->limit_ns);
    load_from(r, 0);
    end(r);
}

static void run_fillseq(struct kv_run *r)
{
    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i < r->data.keys && in_time(r); i++) {
        put_one(r, i, 1);
        tick(r, 1, pair_bytes(r));
    }
    end(r);
}

static void run_fillrandom(struct kv_run *r)
{
    uint64_t i = 0;

    begin(r, r->settings->limit_ns);
    for (; i < r->data.keys && in_time(r); i++) {
        put_one(r, kv_data_permute(&r->data, i, SEED_FILL), 1);
        tick(r, 1, pair_bytes(r));
    }
    end(r);
    load_from(r, i);
}

static void run_batch100(struct kv_run *r)
{
    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i + BATCH <= r->data.keys && in_time(r); i += BATCH) {
        put_many(r, i, BATCH, SEED_FILL, 1);
        tick(r, BATCH, BATCH * pair_bytes(r));
    }
    end(r);
}

static void run_overwrite(struct kv_run *r)
{
    unsigned version = r->result->state.version + 1;
    uint64_t i = 0;

    begin(r, r->settings->limit_ns);
    for (; i < r->data.keys && in_time(r); i++) {
        put_one(r, kv_data_permute(&r->data, i, SEED_OVERWRITE + version), version);
        tick(r, 1, pair_bytes(r));
    }
    end(r);
    if (i == r->data.keys) r->result->state.version = version;
}

static void run_overload(struct kv_run *r)
{
    begin(r, r->settings->overload_ns);
    while (r->last_ns < r->limit_ns) {
        put_one(r, fr_rng_below(&r->rng, r->data.keys), 1);
        tick(r, 1, pair_bytes(r));
    }
    end(r);
}

/* --- Reading -----------------------------------------------------------------------------------
 */

static void get_one(struct kv_run *r, uint64_t id)
{
    char key[KV_KEY_SIZE];

    kv_data_check(&r->data, id, r->result->state.version,
            r->engine->get(r->session, kv_data_key(key, id)));
}

static void multi_get_random(struct kv_run *r)
{
    char keys[KV_MULTI_MAX][KV_KEY_SIZE];
    struct kv_bytes names[KV_MULTI_MAX], values[KV_MULTI_MAX];
    uint64_t ids[KV_MULTI_MAX];

    for (size_t i = 0; i < KV_MULTI_MAX; i++) {
        ids[i] = fr_rng_below(&r->rng, r->data.keys);
        names[i] = kv_data_key(keys[i], ids[i]);
    }
    r->engine->multi_get(r->session, KV_MULTI_MAX, names, values);
    for (size_t i = 0; i < KV_MULTI_MAX; i++)
        kv_data_check(&r->data, ids[i], r->result->state.version, values[i]);
}

/* As many random reads as there are keys, a quarter of the time at most: caches are full then. */
static void warm_up(struct kv_run *r)
{
    uint64_t stop = measure_now_ns() + r->settings->limit_ns / 4;

    for (uint64_t i = 0; i < r->data.keys; i++) {
        get_one(r, fr_rng_below(&r->rng, r->data.keys));
        if (i % 256 == 0 && measure_now_ns() > stop) return;
    }
}

static void read_singly(struct kv_run *r, uint64_t count)
{
    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i < count && in_time(r); i++) {
        get_one(r, fr_rng_below(&r->rng, r->data.keys));
        tick(r, 1, pair_bytes(r));
    }
    end(r);
}

static void read_by_64(struct kv_run *r, uint64_t count)
{
    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i < count && in_time(r); i += KV_MULTI_MAX) {
        multi_get_random(r);
        tick(r, KV_MULTI_MAX, KV_MULTI_MAX * pair_bytes(r));
    }
    end(r);
}

static void run_readrandom(struct kv_run *r)
{
    warm_up(r);
    read_singly(r, r->data.keys);
}

static void run_multiread64(struct kv_run *r)
{
    warm_up(r);
    read_by_64(r, r->data.keys);
}

static void run_coldread(struct kv_run *r)
{
    read_singly(r, r->settings->cold_reads);
}

static void run_coldmulti64(struct kv_run *r)
{
    read_by_64(r, 2 * r->settings->cold_reads);
}

/* --- Scanning ----------------------------------------------------------------------------------
 */

static void check_entry(struct kv_run *r, uint64_t expected, const struct kv_pair *pair)
{
    uint64_t id = kv_data_id(pair->key);

    if (id != expected)
        kv_die("wrong answer: a scan came to key %" PRIu64 " instead of %" PRIu64, id, expected);
    kv_data_check(&r->data, id, r->result->state.version, pair->value);
}

/* Every key in order, each way; the loop is the same but for what moves. */
static void scan_all(struct kv_run *r, bool forwards)
{
    const struct kv_engine *e = r->engine;
    uint64_t count = 0, told = 0;
    struct kv_pair pair;

    begin(r, r->settings->limit_ns);
    void *it = e->iterator_open(r->session);
    bool more = forwards ? e->iterator_first(it, &pair) : e->iterator_last(it, &pair);
    while (more) {
        check_entry(r, forwards ? count : r->data.keys - 1 - count, &pair);
        count++;
        if (count % SCAN_GROUP == 0) {
            tick(r, SCAN_GROUP, SCAN_GROUP * pair_bytes(r));
            told = count;
            if (!in_time(r)) break;
        }
        more = forwards ? e->iterator_next(it, &pair) : e->iterator_prev(it, &pair);
    }
    if (count > told) tick(r, count - told, (count - told) * pair_bytes(r));
    end(r);
    e->iterator_close(it);
    if (!r->result->cut && count != r->data.keys)
        kv_die("wrong answer: a scan found %" PRIu64 " keys of %" PRIu64, count, r->data.keys);
}

static void run_readseq(struct kv_run *r)
{
    scan_all(r, true);
}

static void run_readreverse(struct kv_run *r)
{
    scan_all(r, false);
}

/* Seek to an id and look at it and what follows; yields the entries that were seen. */
static uint64_t seek_and_look(struct kv_run *r, void *it, uint64_t id)
{
    char key[KV_KEY_SIZE];
    struct kv_pair pair;
    uint64_t at = id;
    bool more = r->engine->iterator_seek(it, kv_data_key(key, id), &pair);

    while (more) {
        check_entry(r, at, &pair);
        if (++at > id + SEEK_NEXTS) break;
        more = r->engine->iterator_next(it, &pair);
    }
    if (at != FR_MIN(id + SEEK_NEXTS + 1, r->data.keys))
        kv_die("wrong answer: a scan from key %" PRIu64 " ended before key %" PRIu64, id, at);
    return at - id;
}

static void run_seekrandom(struct kv_run *r)
{
    void *it = r->engine->iterator_open(r->session);

    warm_up(r);
    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i < r->data.keys / 4 && in_time(r); i++) {
        uint64_t seen = seek_and_look(r, it, fr_rng_below(&r->rng, r->data.keys));
        tick(r, 1, seen * pair_bytes(r));
    }
    end(r);
    r->engine->iterator_close(it);
}

/* --- Postings ----------------------------------------------------------------------------------
 */

static uint64_t posting_count(const struct kv_run *r)
{
    return FR_MAX(r->data.keys / POSTING_SHARE, (uint64_t)1);
}

static void run_append40(struct kv_run *r)
{
    char key[KV_KEY_SIZE], piece[KV_PIECE_SIZE];
    uint64_t postings = posting_count(r);

    begin(r, r->settings->limit_ns);
    for (uint64_t i = 0; i < r->data.keys && in_time(r); i++) {
        uint64_t id = fr_rng_below(&r->rng, postings);
        r->engine->append(r->session, kv_data_key(key, id), kv_data_piece(&r->data, id, i, piece));
        tick(r, 1, KV_PIECE_SIZE);
    }
    end(r);
    r->result->put_bytes = r->result->ops * (KV_KEY_SIZE + KV_PIECE_SIZE);
    r->result->state = (struct kv_state){.loaded = true, .appended = r->result->ops};
}

/* Whole passes over all postings, each of which must find all that was appended. */
static void run_postingget(struct kv_run *r)
{
    struct kv_data postings = r->data;
    char key[KV_KEY_SIZE];

    postings.keys = posting_count(r);
    postings.half_bits = 0;
    while (((uint64_t)1 << (2 * postings.half_bits)) < postings.keys)
        postings.half_bits++;
    begin(r, r->settings->limit_ns);
    for (uint64_t pass = 0; pass < 10 && in_time(r); pass++) {
        uint64_t found = 0;
        for (uint64_t i = 0; i < postings.keys; i++) {
            uint64_t id = kv_data_permute(&postings, i, pass);
            struct kv_bytes posting = r->engine->get(r->session, kv_data_key(key, id));
            found += kv_data_check_posting(id, posting);
            tick(r, 1, posting.data == NULL ? 0 : posting.size);
        }
        if (found != r->result->state.appended)
            kv_die("wrong answer: %" PRIu64 " fragments of %" PRIu64, found,
                    r->result->state.appended);
    }
    end(r);
}

/* --- Deleting ranges ---------------------------------------------------------------------------
 */

/* A tenth of the keys, in the middle. */
static uint64_t slice_keys(const struct kv_run *r)
{
    return FR_MAX(r->data.keys / (10 * DELETE_SLICES), (uint64_t)1);
}

static uint64_t first_deleted(const struct kv_run *r)
{
    return r->data.keys / 2 - slice_keys(r) * DELETE_SLICES / 2;
}

static void run_deleterange(struct kv_run *r)
{
    char start[KV_KEY_SIZE], stop[KV_KEY_SIZE];
    uint64_t id = first_deleted(r), step = slice_keys(r);

    begin(r, r->settings->limit_ns);
    for (int i = 0; i < DELETE_SLICES; i++, id += step) {
        r->engine->delete_range(r->session, kv_data_key(start, id), kv_data_key(stop, id + step));
        tick(r, 1, 0);
    }
    end(r);
}

static void run_scandeleted(struct kv_run *r)
{
    uint64_t low = first_deleted(r), high = low + slice_keys(r) * DELETE_SLICES;
    char key[KV_KEY_SIZE];
    struct kv_pair pair;

    begin(r, r->settings->limit_ns);
    for (int i = 0; i < DELETE_SLICES && in_time(r); i++) {
        void *it = r->engine->iterator_open(r->session);
        uint64_t id = low - SCAN_MARGIN;
        bool more = r->engine->iterator_seek(it, kv_data_key(key, id), &pair);
        while (more) {
            check_entry(r, id, &pair);
            id = id + 1 == low ? high : id + 1;
            if (id == high + SCAN_MARGIN) break;
            more = r->engine->iterator_next(it, &pair);
        }
        if (id != high + SCAN_MARGIN) kv_die("wrong answer: a scan over deleted keys ended early");
        r->engine->iterator_close(it);
        tick(r, 1, 0);
    }
    end(r);
}

/* --- Several threads ---------------------------------------------------------------------------
 */

struct worker {
    struct kv_run run; /* a copy with a session, a histogram and a result of its own */
    struct kv_result result;
    struct fr_thread thread;
    uint64_t index, count;
    _Atomic(bool) *stop; /* relaxed: only says that enough was written */
};

static struct worker *new_worker(struct kv_run *r, uint64_t index, uint64_t count)
{
    struct worker *w = kv_alloc(sizeof(*w));

    w->run = *r;
    w->result.state = r->result->state;
    w->run.result = &w->result;
    w->run.session = r->engine->session_open(r->store);
    w->run.scratch = kv_alloc(r->data.value_size);
    fr_rng_init(&w->run.rng, 77 + index);
    w->index = index;
    w->count = count;
    return w;
}

static void start_worker(struct worker *w, void (*work)(void *))
{
    if (fr_thread_start(&w->thread, "bench", work, w) < 0) kv_die("%s", fr_last_error());
}

/* Wait for it and add what it did. */
static void end_worker(struct kv_run *r, struct worker *w)
{
    fr_thread_join(&w->thread);
    fr_histogram_merge(&r->latency, &w->run.latency);
    r->result->ops += w->result.ops;
    r->result->bytes += w->result.bytes;
    r->result->put_bytes += w->result.put_bytes;
    r->last_ns = FR_MAX(r->last_ns, w->run.last_ns);
    r->engine->session_close(w->run.session);
    kv_free(w->run.scratch);
    kv_free(w);
}

static void put_durably(void *arg)
{
    struct worker *w = arg;
    struct kv_run *r = &w->run;

    begin(r, r->settings->timed_ns);
    for (uint64_t i = w->index; i < r->data.keys && in_time(r); i += w->count) {
        put_one(r, kv_data_permute(&r->data, i, SEED_FILL), 1);
        tick(r, 1, pair_bytes(r));
    }
}

static void put_durably_by(struct kv_run *r, uint64_t threads)
{
    struct worker *workers[SYNC_THREADS];

    for (uint64_t i = 0; i < threads; i++)
        workers[i] = new_worker(r, i, threads);
    begin(r, r->settings->timed_ns);
    for (uint64_t i = 0; i < threads; i++)
        start_worker(workers[i], put_durably);
    for (uint64_t i = 0; i < threads; i++)
        end_worker(r, workers[i]);
    end(r);
}

static void run_sync1(struct kv_run *r)
{
    put_durably_by(r, 1);
}

static void run_sync8(struct kv_run *r)
{
    put_durably_by(r, SYNC_THREADS);
}

static void read_for_a_while(void *arg)
{
    struct worker *w = arg;
    struct kv_run *r = &w->run;

    begin(r, r->settings->timed_ns);
    while (r->last_ns < r->limit_ns) {
        get_one(r, fr_rng_below(&r->rng, r->data.keys));
        tick(r, 1, pair_bytes(r));
    }
}

static void write_until_told(void *arg)
{
    struct worker *w = arg;
    struct kv_run *r = &w->run;
    unsigned version = r->result->state.version + 1;

    begin(r, r->settings->timed_ns);
    while (!atomic_load_explicit(w->stop, memory_order_relaxed)) {
        put_one(r, fr_rng_below(&r->rng, r->data.keys), version);
        tick(r, 1, pair_bytes(r));
    }
}

static void run_readwhilewriting(struct kv_run *r)
{
    uint64_t readers = FR_MIN(r->settings->threads, (uint64_t)THREADS_MAX);
    struct worker *workers[THREADS_MAX], *writer = new_worker(r, THREADS_MAX, 1);
    _Atomic(bool) stop = false;

    warm_up(r);
    for (uint64_t i = 0; i < readers; i++)
        workers[i] = new_worker(r, i, readers);
    writer->stop = &stop;
    begin(r, r->settings->timed_ns);
    start_worker(writer, write_until_told);
    for (uint64_t i = 0; i < readers; i++)
        start_worker(workers[i], read_for_a_while);
    for (uint64_t i = 0; i < readers; i++)
        end_worker(r, workers[i]);
    end(r);
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    fr_thread_join(&writer->thread);
    r->result->other_ops = writer->result.ops;
    r->result->put_bytes += writer->result.put_bytes;
    r->engine->session_close(writer->run.session);
    kv_free(writer->run.scratch);
    kv_free(writer);
}

/* --- Opening -----------------------------------------------------------------------------------
 */

static void open_store(struct kv_run *r)
{
    r->store = r->engine->open(r->dir, &r->options);
    r->session = r->engine->session_open(r->store);
}

static void close_store(struct kv_run *r)
{
    r->engine->session_close(r->session);
    r->engine->close(r->store);
}

static void run_reopen(struct kv_run *r)
{
    begin(r, UINT64_MAX / 2);
    for (int i = 0; i < REOPENS; i++) {
        if (i > 0) close_store(r);
        uint64_t before = measure_now_ns();
        open_store(r);
        get_one(r, fr_rng_below(&r->rng, r->data.keys));
        uint64_t took = measure_now_ns() - before;
        fr_histogram_record(&r->latency, took);
        r->result->ops++;
        r->result->elapsed_ns += took;
    }
}

/* In a process of its own: fill the log and die without a word. */
static void fill_log_and_die(struct kv_run *r, uint64_t count)
{
    open_store(r);
    for (uint64_t i = 0; i < count; i++)
        put_one(r, kv_data_permute(&r->data, i, SEED_FILL), 1);
    kill(getpid(), SIGKILL);
    _exit(0);
}

static void run_reopenlog(struct kv_run *r)
{
    uint64_t count = FR_MIN(r->settings->write_buffer_bytes / pair_bytes(r), r->data.keys);
    int status = 0;

    r->options.write_buffer_bytes *= 2; /* so that nothing is flushed */
    pid_t child = fork();
    if (child < 0) kv_die("cannot fork: %s", strerror(errno));
    if (child == 0) fill_log_and_die(r, count);
    if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        kv_die("%s: the process that fills the log ended early", r->engine->name);
    r->result->put_bytes = count * pair_bytes(r);
    r->result->state.version = 1;
    begin(r, UINT64_MAX / 2);
    open_store(r);
    get_one(r, kv_data_permute(&r->data, count - 1, SEED_FILL));
    tick(r, 1, count * pair_bytes(r));
    end(r);
    for (uint64_t i = 0; i < count; i++)
        get_one(r, kv_data_permute(&r->data, i, SEED_FILL));
}

/* --- The table ---------------------------------------------------------------------------------
 */

const struct kv_workload kv_workloads[] = {
        {"load", KV_STORE_MAIN, KV_WORK_NEW | KV_WORK_WRITES | KV_WORK_HIDDEN, run_load, ""},
        {"fillseq", KV_STORE_SCRATCH, KV_WORK_NEW | KV_WORK_WRITES, run_fillseq,
                "put every key in order"},
        {"batch100", KV_STORE_SCRATCH, KV_WORK_NEW | KV_WORK_WRITES, run_batch100,
                "put every key in random order, 100 to a batch"},
        {"fillrandom", KV_STORE_MAIN, KV_WORK_NEW | KV_WORK_WRITES, run_fillrandom,
                "put every key in random order"},
        {"overwrite", KV_STORE_MAIN, KV_WORK_WRITES, run_overwrite,
                "put every key anew in another order"},
        {"readrandom", KV_STORE_MAIN, 0, run_readrandom, "get random keys"},
        {"multiread64", KV_STORE_MAIN, 0, run_multiread64, "get random keys, 64 to a call"},
        {"readseq", KV_STORE_MAIN, 0, run_readseq, "iterate over all"},
        {"readreverse", KV_STORE_MAIN, 0, run_readreverse, "iterate over all, backwards"},
        {"seekrandom", KV_STORE_MAIN, 0, run_seekrandom, "seek a random key and read 10 on"},
        {"coldread", KV_STORE_MAIN, KV_WORK_COLD, run_coldread, "get, nothing in memory"},
        {"coldmulti64", KV_STORE_MAIN, KV_WORK_COLD, run_coldmulti64,
                "get 64 to a call, nothing in memory"},
        {"reopen", KV_STORE_MAIN, KV_WORK_OPENS, run_reopen, "open a closed store, first get"},
        {"readwhilewriting", KV_STORE_MAIN, 0, run_readwhilewriting,
                "get random keys while one thread overwrites"},
        {"deleterange", KV_STORE_MAIN, 0, run_deleterange, "delete a tenth, in 100 ranges"},
        {"scandeleted", KV_STORE_MAIN, KV_WORK_SPOILS, run_scandeleted,
                "scan across what was deleted"},
        {"append40", KV_STORE_POSTINGS, KV_WORK_NEW | KV_WORK_WRITES, run_append40,
                "append 40 bytes to a random posting"},
        {"postingget", KV_STORE_POSTINGS, 0, run_postingget, "get random postings"},
        {"sync1", KV_STORE_SCRATCH, KV_WORK_NEW | KV_WORK_DEVICE, run_sync1,
                "put durably, one thread"},
        {"sync8", KV_STORE_SCRATCH, KV_WORK_NEW | KV_WORK_DEVICE, run_sync8,
                "put durably, 8 threads"},
        {"reopenlog", KV_STORE_SCRATCH, KV_WORK_NEW | KV_WORK_OPENS, run_reopenlog,
                "open after kill -9 with a full log, first get"},
        {"overload", KV_STORE_SCRATCH, KV_WORK_NEW, run_overload,
                "put random keys as fast as it goes"},
        {NULL, KV_STORE_SCRATCH, 0, NULL, NULL},
};

const struct kv_workload *kv_workload_loader(enum kv_store_kind store)
{
    const char *name = store == KV_STORE_MAIN ? "load" : "append40";

    for (const struct kv_workload *work = kv_workloads; work->name != NULL; work++)
        if (strcmp(work->name, name) == 0) return work;
    return NULL;
}

static void settle(struct kv_run *r, const struct kv_io *before)
{
    uint64_t start = measure_now_ns();

    r->engine->wait_idle(r->store, r->session);
    r->result->settle_ns = measure_now_ns() - start;
    struct kv_io after = kv_io_get();
    r->result->passed_bytes = after.passed - before->passed;
    r->result->stored_bytes = after.stored - before->stored;
    if (r->engine->bytes_written != NULL) r->result->own_bytes = r->engine->bytes_written(r->store);
    struct kv_space space = kv_dir_space(r->dir);
    r->result->disk_bytes = space.all;
    r->result->log_bytes = space.logs;
}

static uint64_t live_bytes(const struct kv_run *r, const struct kv_workload *work)
{
    if (work->store == KV_STORE_POSTINGS)
        return r->result->ops * KV_PIECE_SIZE + posting_count(r) * KV_KEY_SIZE;
    if (work->store == KV_STORE_MAIN) return r->data.keys * pair_bytes(r);
    return FR_MIN(r->result->put_bytes, r->data.keys * pair_bytes(r));
}

static void set_options(struct kv_run *r, const struct kv_workload *work)
{
    const struct kv_settings *s = r->settings;

    r->options = (struct kv_options){
            .cache_bytes = s->cache_bytes,
            .write_buffer_bytes = s->write_buffer_bytes,
            .value_bytes = s->value_size,
            .sync = (work->flags & KV_WORK_DEVICE) != 0 ? KV_SYNC_DEVICE : KV_SYNC_OS,
            .compression = s->compression,
            .dictionary_bytes = s->dictionary_bytes,
            .direct = s->direct,
            .variant = r->engine->variant,
    };
    /* Copy-on-write keeps old pages until they are used again, and pages are at most half empty. */
    r->options.map_bytes = ((uint64_t)1 << 30) + 8 * s->keys * (s->value_size + 64);
}

static void init_run(struct kv_run *r, const struct kv_workload *work)
{
    kv_data_init(&r->data, r->settings->keys, (size_t)r->settings->value_size, r->settings->values);
    r->scratch = kv_alloc(LOAD_BATCH * r->data.value_size);
    fr_rng_init(&r->rng, 4242);
    fr_histogram_init(&r->latency);
    set_options(r, work);
}

void kv_workload_run(const struct kv_workload *work, const struct kv_engine *engine,
        const struct kv_settings *settings, const char *dir, const struct kv_state *state,
        struct kv_result *ret_result)
{
    static struct kv_run run;
    struct kv_run *r = &run;

    *ret_result = (struct kv_result){.state = *state};
    *r = (struct kv_run){.engine = engine, .settings = settings, .dir = dir, .result = ret_result};
    init_run(r, work);
    if ((work->flags & KV_WORK_COLD) != 0)
        ret_result->resident = kv_dir_make_cold(dir, settings->drop_machine);
    struct kv_io before = kv_io_get();
    if ((work->flags & KV_WORK_OPENS) == 0) open_store(r);
    work->run(r);
    ret_result->p50_ns = fr_histogram_percentile(&r->latency, FR_P50);
    ret_result->p99_ns = fr_histogram_percentile(&r->latency, FR_P99);
    ret_result->p999_ns = fr_histogram_percentile(&r->latency, FR_P999);
    ret_result->max_ns = fr_histogram_percentile(&r->latency, FR_P100);
    ret_result->live_bytes = live_bytes(r, work);
    if ((work->flags & KV_WORK_WRITES) != 0) settle(r, &before);
    if ((work->flags & KV_WORK_COLD) != 0) ret_result->resident_after = kv_dir_resident(dir);
    if ((work->flags & KV_WORK_SPOILS) != 0) ret_result->state.loaded = false;
    close_store(r);
}
