/*
 * schedule_test.c - an engine with company, under many schedules: writers, a reader, and somebody
 * who flushes, compacts, waits and takes snapshots, besides the engine's own threads.
 *
 * Each writer counts in keys of its own, so what must be there follows from what was acknowledged.
 * A schedule that cannot go on ends the test with a report of who waits for what. FR_TEST_SEED and
 * FR_TEST_SEEDS choose the seeds.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
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
};

struct writer {
    struct bed *bed;
    struct fr_thread thread;
    unsigned index;
    uint32_t values[KEYS]; /* acknowledged; 0: none */
};

/* On a thread of its own no assertion of Criterion's can end the test in an orderly way. */
static void must_at(const struct bed *bed, fr_status st, const char *what)
{
    if (st >= 0) return;
    fprintf(stderr, "seed %llu: %s: %s\n", (unsigned long long)bed->seed, what, fr_last_error());
    abort();
}

#define must(bed, call) must_at(bed, (call), #call)

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

static void write_one(struct writer *me, struct fr_rng *rng, uint32_t number)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    size_t key = fr_rng_below(rng, KEYS);
    uint8_t value[VALUE_BYTES] = {0};
    size_t size = fr_rng_one_in(rng, 3) ? VALUE_BYTES : 100;
    char text[16];
    fr_slice bytes;

    fr_rng_fill(rng, value, size);
    memcpy(value, &number, sizeof(number));
    bool erase = fr_rng_one_in(rng, 8);
    fr_slice name = key_of(me->index, key, text);
    must(me->bed, erase ? fr_batch_add_delete(&batch, name)
                        : fr_batch_add_put(&batch, name, fr_slice_of(value, size)));
    must(me->bed, fr_batch_finish(&batch, &bytes));
    must(me->bed,
            fr_engine_write(me->bed->engine, bytes, 1, (enum fr_durability)fr_rng_below(rng, 3)));
    fr_batch_deinit(&batch);
    me->values[key] = erase ? 0 : number;
}

static void check_key(const struct bed *bed, const struct writer *w, size_t key)
{
    struct fr_engine_value value;
    uint32_t number = 0;
    char text[16];

    fr_status st = fr_engine_get(bed->engine, key_of(w->index, key, text), FR_SEQ_MAX, &value);
    must(bed, st);
    if (st != FR_NOT_FOUND) {
        memcpy(&number, value.bytes.data, sizeof(number));
        fr_engine_value_release(&value);
    }
    if (number != w->values[key]) fail(bed, "not what was written", w->index, key);
}

/* What this thread has written nobody else changes. */
static void run_writer(void *arg)
{
    struct writer *me = arg;
    struct fr_rng rng;

    fr_rng_init(&rng, me->bed->seed * 10 + me->index);
    for (uint32_t i = 1; i <= WRITES; i++) {
        write_one(me, &rng, i);
        if (i % 5 == 0) check_key(me->bed, me, fr_rng_below(&rng, KEYS));
    }
    atomic_fetch_sub(&me->bed->writing, 1);
}

static size_t count_keys(const struct bed *bed, fr_seq at)
{
    struct fr_engine_scan_options options = {.at = at};
    struct fr_iter *it;
    fr_status st;
    size_t count = 0;

    must(bed, fr_engine_scan(bed->engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK)
        count++;
    fr_iter_close(it);
    must(bed, st);
    return count;
}

/* A snapshot shows the same however much is written and compacted meanwhile. */
static void run_reader(void *arg)
{
    struct bed *bed = arg;
    fr_seq at;

    while (atomic_load(&bed->writing) > 0) {
        must(bed, fr_engine_snapshot_take(bed->engine, &at));
        size_t count = count_keys(bed, at);
        fr_env_sleep_us(fr_sim_env(bed->sim), 50);
        if (count_keys(bed, at) != count) fail(bed, "a snapshot has changed", 0, 0);
        fr_engine_snapshot_release(bed->engine, at);
    }
}

static void run_keeper(void *arg)
{
    struct bed *bed = arg;
    fr_slice none = fr_slice_of(NULL, 0);
    struct fr_rng rng;

    fr_rng_init(&rng, bed->seed);
    while (atomic_load(&bed->writing) > 0) {
        uint64_t dice = fr_rng_below(&rng, 8);
        if (dice < 2)
            must(bed, fr_engine_flush(bed->engine));
        else if (dice < 3)
            must(bed, fr_engine_compact_range(bed->engine, none, none));
        else if (dice < 4)
            must(bed, fr_engine_wait_idle(bed->engine));
        else if (dice < 6)
            must(bed, fr_engine_sync(bed->engine));
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

static void check_all(const struct bed *bed, const struct writer *writers)
{
    for (size_t w = 0; w < WRITERS; w++)
        for (size_t key = 0; key < KEYS; key++)
            check_key(bed, &writers[w], key);
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

struct outcome {
    struct fr_buf trace;
    uint64_t machine_hash, schedule_hash;
    struct fr_engine_stats stats;
};

static struct outcome run(uint64_t seed, bool traced)
{
    struct fr_sim_schedule_options schedule = schedule_of(seed);
    struct fr_engine_options options = tiny_options(seed);
    struct bed bed = {.seed = seed};
    struct writer writers[WRITERS];
    struct fr_sim_options machine = {.seed = seed, .latency = seed % 4 == 0};
    struct outcome outcome;

    schedule.on_call = traced ? note_call : NULL;
    schedule.ctx = &bed;
    fr_mutex_init(&bed.mu, FR_RANK_SIM);
    must(&bed, fr_sim_schedule_begin(&schedule));
    must(&bed, fr_sim_open(&machine, &bed.sim));
    must(&bed, fr_engine_open(fr_sim_env(bed.sim), "store", &options, &bed.engine));
    run_threads(&bed, writers);
    check_all(&bed, writers);
    fr_engine_stats_get(bed.engine, &outcome.stats);
    must(&bed, fr_engine_close(bed.engine));
    must(&bed, fr_engine_open(fr_sim_env(bed.sim), "store", &options, &bed.engine));
    check_all(&bed, writers);
    must(&bed, fr_engine_close(bed.engine));
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
        struct outcome a = run(seed, true), b = run(seed, true), other = run(seed + 10, true);

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
        struct outcome outcome = run(first + i, false);
        if (outcome.stats.stop_count > 0) stalled++;
    }
    cr_log_info("writers had to wait for room in %llu of %llu runs", (unsigned long long)stalled,
            (unsigned long long)count);
}
