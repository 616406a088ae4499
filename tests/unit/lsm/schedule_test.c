/*
 * schedule_test.c - an engine with company, under many schedules: writers, a reader, and somebody
 * who flushes, compacts, waits and takes snapshots, besides the engine's own threads.
 *
 * Each writer counts in keys of its own, so what must be there follows from what was acknowledged.
 * With a fault each call may fail, but must end, and once the fault is gone and the store is opened
 * again what was acknowledged is there, or, of what was answered with a failure, the latest.
 * A schedule that cannot go on ends the test with a report of who waits for what. FR_TEST_SEED and
 * FR_TEST_SEEDS choose the seeds.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/env.h"
#include "io/sim.h"
#include "io/sim_schedule.h"
#include "lsm/batch.h"
#include "lsm/engine.h"

#define WRITERS     3
#define KEYS        8 /* of each writer */
#define WRITES      60
#define VALUE_BYTES 900

/* More than any run has needed, by far: who comes here goes round in circles. */
#define STEPS_MAX 3000000

struct bed {
    uint64_t seed;
    struct fr_sim *sim;
    struct fr_engine *engine;
    struct fr_mutex mu;  /* rank FR_RANK_SIM, which is no place to hand over at */
    struct fr_buf trace; /* lines; guarded by mu */
    _Atomic(unsigned) writing;
    bool may_fail;              /* a fault is set, or was */
    _Atomic(unsigned) failures; /* answers that say so */
};

struct writer {
    struct bed *bed;
    struct fr_thread thread;
    unsigned index;
    uint32_t values[KEYS]; /* acknowledged; 0: none */
    uint32_t doubts[KEYS]; /* the latest that was not, after that; 0: none */
};

/* On a thread of its own no assertion of Criterion's can end the test in an orderly way. */
static void must_at(const struct bed *bed, fr_status st, const char *what)
{
    if (st >= 0) return;
    fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)bed->seed, what, fr_last_error());
    abort();
}

#define must(bed, call) must_at(bed, (call), #call)

/* What a fault may fail: whether it went well. */
static bool try_at(struct bed *bed, fr_status st, const char *what)
{
    if (st >= 0) return true;
    if (!bed->may_fail) must_at(bed, st, what);
    atomic_fetch_add(&bed->failures, 1);
    return false;
}

#define try(bed, call) try_at(bed, (call), #call)

static void fail(const struct bed *bed, const char *what, size_t writer, size_t key)
{
    fprintf(stderr, "seed %llu: %s, writer %zu, key %zu\n", (unsigned long long)bed->seed, what,
            writer, key);
    abort();
}

static struct fr_engine_options tiny_options(uint64_t seed)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 16 << 10;
    options.log_segment_size = 32768;
    options.table_size = 6000;
    options.cache_size = 64 << 10;
    options.block_size = 4096;
    options.value_threshold = 300;
    options.picker.level0_trigger = 2;
    options.picker.level0_most = 2;
    options.picker.base_bytes = 12 << 10;
    options.value_file_size = 8 << 10;
    options.sealed_max = seed % 2 + 1; /* writers run into the end of their room */
    return options;
}

/* --- What the threads do --------------------------------------------------------------------- */

static fr_slice key_of(size_t writer, size_t key, char text[16])
{
    return fr_slice_of(text, (size_t)snprintf(text, 16, "w%zu/%02zu", writer, key));
}

/* What an erased key holds, and one that was never written, is 0. */
static void write_one(struct writer *me, struct fr_rng *rng, uint32_t number)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    size_t key = fr_rng_below(rng, KEYS);
    uint8_t value[VALUE_BYTES] = {0};
    size_t size = fr_rng_one_in(rng, 3) ? VALUE_BYTES : 100;
    enum fr_durability durability = (enum fr_durability)fr_rng_below(rng, 3);
    char text[16];
    fr_slice bytes;

    fr_rng_fill(rng, value, size);
    memcpy(value, &number, sizeof(number));
    bool erase = fr_rng_one_in(rng, 8);
    fr_slice name = key_of(me->index, key, text);
    /* What only the process has is lost by a close that fails. */
    if (me->bed->may_fail && durability == FR_DURABLE_NONE) durability = FR_DURABLE_OS;
    must(me->bed, erase ? fr_batch_add_delete(&batch, name)
                        : fr_batch_add_put(&batch, name, fr_slice_of(value, size)));
    must(me->bed, fr_batch_finish(&batch, &bytes));
    if (try(me->bed, fr_engine_write(me->bed->engine, bytes, 1, durability))) {
        me->values[key] = erase ? 0 : number;
        me->doubts[key] = 0;
    } else {
        me->doubts[key] = number;
    }
    fr_batch_deinit(&batch);
}

/* A failed write is not seen, but may be there when the store is opened again. */
static void check_key(struct bed *bed, const struct writer *w, size_t key, bool reopened)
{
    struct fr_engine_value value;
    uint32_t number = 0;
    char text[16];

    fr_status st = fr_engine_get(bed->engine, key_of(w->index, key, text), FR_SEQ_MAX, &value);
    if (!try(bed, st)) return;
    if (st != FR_NOT_FOUND) {
        memcpy(&number, value.bytes.data, sizeof(number));
        fr_engine_value_release(&value);
    }
    if (number == w->values[key]) return;
    bool is_doubt = number == 0 || (number > w->values[key] && number <= w->doubts[key]);
    if (!reopened || w->doubts[key] == 0 || !is_doubt)
        fail(bed, "not what was written", w->index, key);
}

/* What this thread has written nobody else changes. */
static void run_writer(void *arg)
{
    struct writer *me = arg;
    struct fr_rng rng;

    fr_rng_init(&rng, me->bed->seed * 10 + me->index);
    for (uint32_t i = 1; i <= WRITES; i++) {
        write_one(me, &rng, i);
        if (i % 5 == 0) check_key(me->bed, me, fr_rng_below(&rng, KEYS), false);
    }
    atomic_fetch_sub(&me->bed->writing, 1);
}

/* How many keys a scan shows; false if it could not be made. */
static bool count_keys(struct bed *bed, fr_seq at, size_t *ret_count)
{
    struct fr_engine_scan_options options = {.at = at};
    struct fr_iter *it;
    fr_status st;
    size_t count = 0;

    if (!try(bed, fr_engine_scan(bed->engine, &options, &it))) return false;
    while ((st = fr_iter_next(it)) == FR_OK)
        count++;
    fr_iter_close(it);
    *ret_count = count;
    return try(bed, st);
}

/* A snapshot shows the same however much is written and compacted meanwhile. */
static void run_reader(void *arg)
{
    struct bed *bed = arg;
    size_t before, after;
    fr_seq at;

    while (atomic_load(&bed->writing) > 0) {
        must(bed, fr_engine_snapshot_take(bed->engine, &at));
        bool counted = count_keys(bed, at, &before);
        fr_env_sleep_us(fr_sim_env(bed->sim), 50);
        if (count_keys(bed, at, &after) && counted && before != after)
            fail(bed, "a snapshot has changed", 0, 0);
        fr_engine_snapshot_release(bed->engine, at);
    }
}

static void keep_once(struct bed *bed, struct fr_rng *rng)
{
    fr_slice none = fr_slice_of(NULL, 0);
    uint64_t dice = fr_rng_below(rng, 16);

    if (dice < 4)
        (void)try(bed, fr_engine_flush(bed->engine));
    else if (dice < 6)
        (void)try(bed, fr_engine_compact_range(bed->engine, none, none));
    else if (dice < 8)
        (void)try(bed, fr_engine_wait_idle(bed->engine));
    else if (dice < 12)
        (void)try(bed, fr_engine_sync(bed->engine));
    else if (dice < 13 && bed->seed % 2)
        fr_sim_fault_clear(bed->sim);
}

static void run_keeper(void *arg)
{
    struct bed *bed = arg;
    struct fr_rng rng;

    fr_rng_init(&rng, bed->seed);
    while (atomic_load(&bed->writing) > 0) {
        keep_once(bed, &rng);
        fr_env_sleep_us(fr_sim_env(bed->sim), fr_rng_below(&rng, 1000));
    }
}

/* --- Runs ------------------------------------------------------------------------------------ */

static void note_call(void *ctx, const char *thread, const char *op, const char *name)
{
    struct bed *bed = ctx;
    char line[100];
    int size = snprintf(line, sizeof(line), "%s %s %s\n", thread, op, name);

    fr_mutex_lock(&bed->mu);
    fr_buf_append(&bed->trace, line, (size_t)size);
    fr_mutex_unlock(&bed->mu);
}

static void check_all(struct bed *bed, const struct writer *writers, bool reopened)
{
    for (size_t w = 0; w < WRITERS; w++)
        for (size_t key = 0; key < KEYS; key++)
            check_key(bed, &writers[w], key, reopened);
}

static void run_threads(struct bed *bed, struct writer *writers)
{
    struct fr_thread reader, keeper;

    atomic_store(&bed->writing, WRITERS);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.bed = bed, .index = i};
        must(bed, fr_thread_start(&writers[i].thread, "writer", run_writer, &writers[i]));
    }
    must(bed, fr_thread_start(&reader, "reader", run_reader, bed));
    must(bed, fr_thread_start(&keeper, "keeper", run_keeper, bed));
    for (unsigned i = 0; i < WRITERS; i++)
        fr_thread_join(&writers[i].thread);
    fr_thread_join(&reader);
    fr_thread_join(&keeper);
}

static struct fr_sim_schedule_options schedule_of(uint64_t seed)
{
    return (struct fr_sim_schedule_options){.seed = seed,
            .kind = seed % 2 ? FR_SIM_SCHEDULE_UNIFORM : FR_SIM_SCHEDULE_PRIORITIES,
            .switch_one_in = seed % 3 ? 0 : 2,
            .spurious_one_in = seed % 5 ? 0 : 50,
            .steps_max = STEPS_MAX};
}

static void set_fault(struct bed *bed, uint64_t seed)
{
    static const enum fr_sim_op ops[] = {FR_SIM_WRITE, FR_SIM_WRITE, FR_SIM_SYNC, FR_SIM_SYNC_DIR,
            FR_SIM_CREATE, FR_SIM_RENAME, FR_SIM_UNLINK, FR_SIM_READ, FR_SIM_OPEN, FR_SIM_TRUNCATE};
    static const char *const names[] = {NULL, "*.table", "*.manifest", "*.wal", "*.values"};
    struct fr_rng rng;

    fr_rng_init(&rng, seed ^ 77);
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(ops[fr_rng_below(&rng, FR_ARRAY_COUNT(ops))]),
            .nth = 1 + fr_rng_below(&rng, fr_rng_one_in(&rng, 2) ? 10 : 100),
            .forever = fr_rng_one_in(&rng, 2),
            .kind = fr_rng_one_in(&rng, 4) ? FR_SIM_FAULT_ERROR_AFTER : FR_SIM_FAULT_ERROR,
            .os_error = fr_rng_one_in(&rng, 2) ? ENOSPC : EIO,
            .name = names[fr_rng_below(&rng, FR_ARRAY_COUNT(names))]};
    bed->may_fail = true;
    must(bed, fr_sim_fault_add(bed->sim, &fault));
}

struct outcome {
    struct fr_buf trace;
    uint64_t machine_hash, schedule_hash;
    struct fr_engine_stats stats;
    unsigned failures;
};

static void run_store(struct bed *bed, bool faulty, struct outcome *outcome)
{
    struct fr_engine_options options = tiny_options(bed->seed);
    struct fr_env *env = fr_sim_env(bed->sim);
    struct writer writers[WRITERS];

    must(bed, fr_engine_open(env, "store", &options, &bed->engine));
    if (faulty) set_fault(bed, bed->seed);
    run_threads(bed, writers);
    check_all(bed, writers, false);
    fr_engine_stats_get(bed->engine, &outcome->stats);
    (void)try(bed, fr_engine_close(bed->engine));
    outcome->failures = bed->failures;
    fr_sim_fault_clear(bed->sim);
    bed->may_fail = false;
    must(bed, fr_engine_open(env, "store", &options, &bed->engine));
    check_all(bed, writers, true);
    must(bed, fr_engine_close(bed->engine));
}

static struct outcome run(uint64_t seed, bool faulty, bool traced)
{
    struct fr_sim_schedule_options schedule = schedule_of(seed);
    struct fr_sim_options machine = {.seed = seed, .latency = seed % 4 == 0};
    struct bed bed = {.seed = seed};
    struct outcome outcome;

    schedule.on_call = traced ? note_call : NULL;
    schedule.ctx = &bed;
    fr_mutex_init(&bed.mu, FR_RANK_SIM);
    must(&bed, fr_sim_schedule_begin(&schedule));
    must(&bed, fr_sim_open(&machine, &bed.sim));
    run_store(&bed, faulty, &outcome);
    outcome.machine_hash = fr_sim_trace_hash(bed.sim);
    outcome.schedule_hash = fr_sim_schedule_hash();
    outcome.trace = bed.trace;
    fr_sim_close(bed.sim);
    fr_sim_schedule_end();
    fr_mutex_deinit(&bed.mu);
    return outcome;
}

static uint64_t from_environment(const char *name, uint64_t usual)
{
    const char *given = getenv(name);

    return given == NULL ? usual : strtoull(given, NULL, 10);
}

static bool is_same(const struct fr_buf *a, const struct fr_buf *b)
{
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static bool mentions(const struct fr_buf *trace, const char *text)
{
    return memmem(trace->data, trace->size, text, strlen(text)) != NULL;
}

Test(engine_schedule, the_same_seed_gives_the_same_calls_by_the_same_threads)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct outcome a = run(seed, false, true), b = run(seed, false, true),
                       other = run(seed + 10, false, true);

        cr_assert_gt(a.stats.flush_count, 3);
        cr_assert_gt(a.stats.compaction_count, 1);
        cr_assert(mentions(&a.trace, "freshet-flush.1 write"));
        cr_assert(mentions(&a.trace, "freshet-compact.2 "));
        cr_assert(mentions(&a.trace, "writer.3 "));
        cr_assert(is_same(&a.trace, &b.trace), "seed %llu", (unsigned long long)seed);
        cr_assert_eq(a.machine_hash, b.machine_hash, "seed %llu", (unsigned long long)seed);
        cr_assert_eq(a.schedule_hash, b.schedule_hash);
        cr_assert(!is_same(&a.trace, &other.trace));
        fr_buf_deinit(&a.trace);
        fr_buf_deinit(&b.trace);
        fr_buf_deinit(&other.trace);
    }
}

#ifdef FR_SANITIZED
#define SEEDS_USUAL 20
#else
#define SEEDS_USUAL 60
#endif

Test(engine_schedule, every_schedule_ends_and_shows_what_was_written, .timeout = 600)
{
    uint64_t first = from_environment("FR_TEST_SEED", 1);
    uint64_t count = from_environment("FR_TEST_SEEDS", SEEDS_USUAL);
    uint64_t stalled = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct outcome outcome = run(first + i, false, false);
        if (outcome.stats.stop_count > 0) stalled++;
    }
    cr_log_info("writers had to wait for room in %llu of %llu runs", (unsigned long long)stalled,
            (unsigned long long)count);
}

Test(engine_schedule, every_schedule_ends_with_a_fault_too_and_keeps_what_was_acknowledged,
        .timeout = 600)
{
    uint64_t first = from_environment("FR_TEST_SEED", 1);
    uint64_t count = from_environment("FR_TEST_SEEDS", SEEDS_USUAL);
    uint64_t failed = 0, retried = 0;

    for (uint64_t i = 0; i < count; i++) {
        struct outcome outcome = run(first + i, true, false);
        if (outcome.failures > 0) failed++;
        if (outcome.stats.retry_count > 0) retried++;
    }
    cr_log_info("an answer failed in %llu of %llu runs, a job was tried again in %llu",
            (unsigned long long)failed, (unsigned long long)count, (unsigned long long)retried);
    cr_assert_gt(failed, count / 10);
    cr_assert_gt(retried, 0);
}
