/*
 * recovery_test.c - opening a store, and following one, where any call to the disk or to memory may
 * fail, and where files are not what they should be.
 *
 * A store has all that an opening looks at: tables and value files at several levels, a range
 * delete, a log of several segments that is to be replayed, orphans, a half-made SUPER. Each time
 * another call fails. What is answered must follow from that; afterwards the store opens with all
 * that was in it.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cover.h"
#include "io/sim.h"
#include "io/sim_schedule.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"
#include "wal/wal_reader.h"

#define KEYS 24

static struct fr_sim_image *image; /* of a machine with such a store, whose process has died */
static struct fr_engine_options options;
static unsigned versions[KEYS]; /* of each key's value; 0: it is deleted */

struct fault {
    bool of_memory;
    struct fr_sim_fault sim; /* nth and forever hold for both */
};

/* ---- keys and values */

static fr_slice key_of(unsigned key, char text[static 8])
{
    return fr_slice_of(text, (size_t)snprintf(text, 8, "k%03u", key % 1000));
}

/* Every third lies in a value file. */
static fr_slice value_of(unsigned key, unsigned version, uint8_t bytes[static 4000])
{
    size_t size = key % 3 == 0 ? 3000 : 100;

    test_fill(bytes, key * 1000 + version, size);
    return fr_slice_of(bytes, size);
}

static fr_status put(struct fr_engine *engine, unsigned key, unsigned version)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    uint8_t bytes[4000];
    char text[8];
    fr_slice b;

    must(fr_batch_add_put(&batch, key_of(key, text), value_of(key, version, bytes)));
    must(fr_batch_finish(&batch, &b));
    fr_status st = fr_engine_write(engine, b, 1, FR_DURABLE_OS);
    fr_batch_deinit(&batch);
    return st;
}

static void put_all(struct fr_engine *engine, unsigned first, unsigned step)
{
    for (unsigned key = first; key < KEYS; key += step)
        must(put(engine, key, ++versions[key]));
}

static void delete_range(struct fr_engine *engine, unsigned first, unsigned end)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    char text[8], end_text[8];
    fr_slice b;

    must(fr_batch_add_delete_range(&batch, key_of(first, text), key_of(end, end_text)));
    must(fr_batch_finish(&batch, &b));
    must(fr_engine_write(engine, b, 1, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
    for (unsigned key = first; key < end; key++)
        versions[key] = 0;
}

static void check_key(struct fr_engine *engine, unsigned key)
{
    struct fr_engine_value value;
    uint8_t bytes[4000];
    char text[8];

    fr_status st = fr_engine_get(engine, key_of(key, text), FR_SEQ_MAX, &value);
    cr_assert_eq(st, versions[key] > 0 ? FR_OK : FR_NOT_FOUND, "%s: %s: %s", text,
            fr_status_name(st), st < 0 ? fr_last_error() : "");
    if (st != FR_OK) return;
    cr_assert(fr_slice_equal(value.bytes, value_of(key, versions[key], bytes)), "%s", text);
    fr_engine_value_release(&value);
}

static void check_all(struct fr_engine *engine)
{
    for (unsigned key = 0; key < KEYS; key++)
        check_key(engine, key);
}

/* ---- the store */

static struct fr_engine_options tiny_options(void)
{
    struct fr_engine_options o = fr_engine_options_default();

    o.memtable_size = 64 << 10;
    o.log_segment_size = 32 << 10;
    o.table_size = 8 << 10;
    o.value_file_size = 16 << 10;
    o.cache_size = 64 << 10;
    o.disk_reserve = 0;
    o.dictionary_size = 0;
    o.direct_reads = true;
    return o;
}

static void make_files(struct fr_env *env)
{
    static const char *const names[] = {"000900.table", "000901.values", "SUPER.tmp"};
    struct fr_dir *dir;
    struct fr_file *file;

    must(fr_dir_open(env, "store", 0, &dir));
    for (size_t i = 0; i < FR_ARRAY_COUNT(names); i++) {
        must(fr_file_open(dir, names[i], FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
        must(fr_file_write(file, 0, "half", 4, 0));
        fr_file_close(file);
    }
    fr_dir_close(dir);
}

static void fill_store(struct fr_engine *engine)
{
    fr_slice all = fr_slice_of(NULL, 0);

    put_all(engine, 0, 1);
    must(fr_engine_compact_range(engine, all, all));
    put_all(engine, 0, 2);
    delete_range(engine, 5, 9);
    must(fr_engine_flush(engine));
    must(fr_engine_wait_idle(engine));
    put_all(engine, 10, 1);
    delete_range(engine, 12, 14);
}

static void make_store(void)
{
    struct fr_sim_options how = {.seed = 1};
    struct fr_engine *engine;
    struct fr_sim *sim, *heir;

    options = tiny_options();
    must(fr_sim_open(&how, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    fill_store(engine);
    must(fr_sim_kill(sim, &heir));
    must(fr_engine_close(engine));
    fr_sim_close(sim);
    make_files(fr_sim_env(heir));
    must(fr_sim_image_take(heir, &image));
    fr_sim_close(heir);
}

static void drop_store(void)
{
    fr_sim_image_free(image);
}

TestSuite(recovery, .init = make_store, .fini = drop_store, .timeout = 120);

/* ---- faults */

static void arm(struct fr_sim *sim, const struct fault *fault)
{
    if (fault->of_memory)
        fr_alloc_fail_at(fault->sim.nth, fault->sim.forever);
    else
        must(fr_sim_fault_add(sim, &fault->sim));
}

static bool disarm(struct fr_sim *sim, const struct fault *fault)
{
    bool hit = fault->of_memory ? fr_alloc_fault_hit() : fr_sim_fault_hits(sim) > 0;

    fr_alloc_fail_at(0, false);
    fr_sim_fault_clear(sim);
    return hit;
}

static bool explains(const struct fault *fault, fr_status st)
{
    if (st >= 0 || st == FR_ERR_IO || st == FR_ERR_POISONED) return true;
    if (fault->of_memory) return st == FR_ERR_NOMEM;
    /* For a lock, "denied" is what systems say of one that is held. */
    return st == fr_status_of_errno(fault->sim.os_error) || st == FR_ERR_BUSY;
}

/* Whatever has happened to the machine: another process finds it all. */
static void check_machine(struct fr_sim *sim)
{
    struct fr_engine *engine;
    struct fr_sim *heir;

    must(fr_sim_kill(sim, &heir));
    must(fr_engine_open(fr_sim_env(heir), "store", &options, &engine));
    check_all(engine);
    must(fr_engine_close(engine));
    fr_sim_close(heir);
}

/* An opening in which one call fails. */
static bool open_with(const struct fault *fault, bool read_only)
{
    struct fr_engine_options how = options;
    struct fr_engine *engine = NULL;
    struct fr_sim *sim;

    how.read_only = read_only;
    must(fr_sim_image_boot(image, 1, &sim));
    arm(sim, fault);
    fr_status st = fr_engine_open(fr_sim_env(sim), "store", &how, &engine);
    bool hit = disarm(sim, fault);
    cr_assert(explains(fault, st), "%s: %s", fr_status_name(st), fr_last_error());
    cr_assert(hit || st == FR_OK, "%s: %s", fr_status_name(st), st < 0 ? fr_last_error() : "");
    if (st == FR_OK) check_all(engine);
    if (st == FR_OK) cr_assert(explains(fault, fr_engine_close(engine)));
    if (fault->sim.nth % 4 == 0) check_machine(sim);
    fr_sim_close(sim);
    return hit;
}

static unsigned sweep(struct fault fault, bool (*try)(void *ctx, const struct fault *fault),
        void *ctx)
{
    struct fr_alloc_stats before, after;
    unsigned hits = 0;

    fr_alloc_stats_get(&before);
    for (fault.sim.nth = 1; try(ctx, &fault); fault.sim.nth++)
        hits++;
    fr_alloc_stats_get(&after);
    cr_assert_eq(before.live_count, after.live_count);
    return hits;
}

static bool try_to_open(void *ctx, const struct fault *fault)
{
    return open_with(fault, *(const bool *)ctx);
}

Test(recovery, whatever_call_to_the_disk_fails_while_it_opens_nothing_is_lost)
{
    static const int errors[] = {EIO, ENOSPC};
    bool read_only = false;

    for (int i = 0; i < 2; i++) {
        struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = errors[i]}};
        cr_assert_gt(sweep(fault, try_to_open, &read_only), 50);
    }
}

Test(recovery, whatever_allocation_fails_while_it_opens_nothing_is_lost)
{
    struct fault fault = {.of_memory = true};
    bool read_only = false;

    cr_assert_gt(sweep(fault, try_to_open, &read_only), 100);
}

Test(recovery, whatever_fails_while_it_is_opened_for_reading_nothing_is_lost)
{
    struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = EIO}};
    bool read_only = true;

    cr_assert_gt(sweep(fault, try_to_open, &read_only), 30);
    fault.of_memory = true;
    cr_assert_gt(sweep(fault, try_to_open, &read_only), 50);
}

/* ---- following */

struct pair {
    struct fr_sim *sim;
    struct fr_engine *writer, *reader;
};

/* What a writer can have done when a follower looks again. */
enum change { BATCHES, NEW_VERSION, NEW_MANIFEST, CHANGES };

static void open_pair(struct pair *p)
{
    struct fr_engine_options reading = options;

    reading.read_only = true;
    must(fr_sim_image_boot(image, 1, &p->sim));
    must(fr_engine_open(fr_sim_env(p->sim), "store", &options, &p->writer));
    must(fr_engine_wait_idle(p->writer));
    must(fr_engine_open(fr_sim_env(p->sim), "store", &reading, &p->reader));
}

/* Closed: else a fault that is meant for the follower could be the writer's. */
static void go_on(struct pair *p, enum change change)
{
    put_all(p->writer, change, 7);
    if (change != BATCHES) must(fr_engine_flush(p->writer));
    must(fr_engine_close(FR_TAKE(p->writer)));
    if (change != NEW_MANIFEST) return;
    must(fr_engine_open(fr_sim_env(p->sim), "store", &options, &p->writer));
    put_all(p->writer, change, 5);
    must(fr_engine_close(FR_TAKE(p->writer)));
}

static bool try_to_refresh(void *ctx, const struct fault *fault)
{
    struct pair p;
    unsigned before[KEYS];

    memcpy(before, versions, sizeof(before));
    open_pair(&p);
    go_on(&p, *(const enum change *)ctx);
    arm(p.sim, fault);
    fr_status st = fr_engine_refresh(p.reader);
    bool hit = disarm(p.sim, fault);
    cr_assert(explains(fault, st), "%s: %s", fr_status_name(st), fr_last_error());
    if (st < 0) must(fr_engine_refresh(p.reader));
    check_all(p.reader);
    must_be(FR_ERR_READONLY, put(p.reader, 0, 1));
    must(fr_engine_close(p.reader));
    fr_sim_close(p.sim);
    memcpy(versions, before, sizeof(before));
    return hit;
}

Test(recovery, whatever_fails_while_a_follower_goes_on_the_next_time_it_has_it_all)
{
    for (enum change change = BATCHES; change < CHANGES; change++) {
        struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = EIO}};
        cr_assert_gt(sweep(fault, try_to_refresh, &change), 5);
        fault.of_memory = true;
        cr_assert_gt(sweep(fault, try_to_refresh, &change), 3);
    }
}

/* An edit of no change, as a compaction that drops nothing that is seen. */
static void change_nothing(struct fr_engine *writer)
{
    struct fr_version_change change = {0};

    must(fr_engine_install(writer, &change, NULL));
}

Test(recovery, a_follower_goes_on_through_more_versions_than_it_keeps_memtables)
{
    struct pair p;

    open_pair(&p);
    for (unsigned i = 0; i < 2 * FR_SEALED_MAX; i++) {
        if (i % 5 != 0) must(put(p.writer, i % KEYS, ++versions[i % KEYS]));
        change_nothing(p.writer);
        must(fr_engine_refresh(p.reader));
        check_all(p.reader);
    }
    bool hit = true;
    for (uint64_t nth = 1; hit; nth++) {
        must(put(p.writer, 1, ++versions[1]));
        change_nothing(p.writer);
        fr_alloc_fail_at(nth, false);
        fr_status st = fr_engine_refresh(p.reader);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        must(fr_engine_refresh(p.reader));
        check_all(p.reader);
    }
    must(fr_engine_close(p.writer));
    must(fr_engine_close(p.reader));
    fr_sim_close(p.sim);
}

/* The last number that was shown was a delete's, which has gone with what it deleted. */
Test(recovery, a_follower_sees_that_what_it_had_last_was_compacted_away)
{
    struct pair p;

    open_pair(&p);
    delete_range(p.writer, 0, 4);
    must(fr_engine_refresh(p.reader));
    check_all(p.reader);
    must(fr_engine_compact_range(p.writer, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_engine_refresh(p.reader));
    check_all(p.reader);
    must(fr_engine_close(p.writer));
    must(fr_engine_close(p.reader));
    fr_sim_close(p.sim);
}

/* ---- a new store */

static bool try_to_make(void *ctx, const struct fault *fault)
{
    struct fr_sim_options how = {.seed = 1};
    struct fr_engine *engine = NULL;
    struct fr_sim *sim;

    (void)ctx;
    must(fr_sim_open(&how, &sim));
    arm(sim, fault);
    fr_status st = fr_engine_open(fr_sim_env(sim), "store", &options, &engine);
    bool hit = disarm(sim, fault);
    cr_assert(explains(fault, st), "%s: %s", fr_status_name(st), fr_last_error());
    cr_assert(hit || st == FR_OK, "%s", st < 0 ? fr_last_error() : "");
    if (st == FR_OK) cr_assert(explains(fault, fr_engine_close(engine)));
    check_machine(sim);
    fr_sim_close(sim);
    return hit;
}

static void ignore_open(void *ctx, const struct fr_event_open *open)
{
    (void)ctx;
    (void)open;
}

Test(recovery, whatever_fails_while_a_store_is_made_the_next_attempt_makes_it)
{
    struct fault fault = {.sim = {.ops = FR_SIM_MASK_ALL, .os_error = ENOSPC}};
    struct fr_event_hooks hooks = {.size = sizeof(hooks), .open = ignore_open};

    options.memtable_size = (size_t)8 << 20; /* enough to keep the memory of one */
    options.hooks = &hooks;
    memset(versions, 0, sizeof(versions));
    cr_assert_gt(sweep(fault, try_to_make, NULL), 20);
    fault.of_memory = true;
    cr_assert_gt(sweep(fault, try_to_make, NULL), 50);
}

#ifndef FR_SANITIZED /* which take all addresses there are */

#define STACK ((size_t)4 << 30)

static size_t address_space(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    cr_assert(file != NULL && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* Addresses for so many halves of a thread's stack. */
static fr_status open_with_room_for(unsigned halves, struct fr_sim *sim)
{
    struct rlimit before, limit;
    pthread_attr_t large, usual;
    struct fr_engine *engine;

    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    cr_assert_eq(pthread_getattr_default_np(&usual), 0);
    pthread_attr_init(&large);
    pthread_attr_setstacksize(&large, STACK);
    cr_assert_eq(pthread_setattr_default_np(&large), 0);
    limit = before;
    limit.rlim_cur = address_space() + halves * (STACK / 2);
    cr_assert_eq(setrlimit(RLIMIT_AS, &limit), 0);
    fr_status st = fr_engine_open(fr_sim_env(sim), "store", &options, &engine);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    cr_assert_eq(pthread_setattr_default_np(&usual), 0);
    if (st == FR_OK) check_all(engine);
    if (st == FR_OK) must(fr_engine_close(engine));
    return st;
}

/* It takes two threads. */
Test(recovery, a_store_is_not_opened_where_its_threads_cannot_be_started)
{
    struct fr_sim *sim;

    for (unsigned halves = 1; halves <= 3; halves += 2) {
        must(fr_sim_image_boot(image, 1, &sim));
        must_be(FR_ERR_NOMEM, open_with_room_for(halves, sim));
        must_say(halves == 1 ? "cannot start the thread freshet-flush"
                             : "cannot start the thread freshet-compact");
        must(open_with_room_for(5, sim));
        fr_sim_close(sim);
    }
}
#endif

/* Where nobody else can run, nobody is waited for by going round in circles. */
Test(recovery, a_store_opens_on_one_processor)
{
    struct fr_engine *engine;
    struct fr_sim *sim;
    cpu_set_t all, one;

    cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    must(fr_sim_image_boot(image, 1, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    cr_assert_eq(engine->spin_us_max, 0);
    check_all(engine);
    must(put(engine, 1, ++versions[1]));
    check_key(engine, 1);
    must(fr_engine_close(engine));
    fr_sim_close(sim);
}

Test(recovery, a_store_that_is_there_is_not_made_again)
{
    struct fr_engine_options how = options;
    struct fr_engine *engine;
    struct fr_sim *sim;

    how.must_be_new = true;
    must(fr_sim_image_boot(image, 1, &sim));
    for (int i = 0; i < 2; i++) {
        how.read_only = i == 1;
        must_be(FR_ERR_EXISTS, fr_engine_open(fr_sim_env(sim), "store", &how, &engine));
    }
    fr_sim_close(sim);
}

/* ---- files that are whole, and not what they should be */

static uint64_t take_number(void *ctx)
{
    return ++*(uint64_t *)ctx;
}

static void begin_manifest(struct fr_dir *dir, struct fr_super *super,
        const struct fr_manifest_state *state)
{
    uint64_t number = state->next_file + 1000;
    struct fr_buf edit = FR_BUF_EMPTY;
    struct fr_manifest *manifest;

    fr_version_encode(state->version, &edit);
    fr_edit_put_next_file(&edit, number + 1000);
    fr_edit_put_last_seq(&edit, state->last_seq);
    fr_edit_put_log(&edit, &state->log);
    must(fr_buf_status(&edit));
    must(fr_manifest_begin(dir, super, fr_buf_slice(&edit), take_number, &number, &manifest));
    fr_manifest_close(manifest);
    fr_buf_deinit(&edit);
}

/* Behind what is in it already. */
static void add_to_log(struct fr_dir *dir, const struct fr_super *super,
        const struct fr_edit_log *log, uint64_t tag, fr_slice payload)
{
    uint64_t number = 5000;
    struct fr_wal_reader_options reading = {
            .kind = FR_WAL_KIND_LOG, .start = log->start, .number = log->number};
    struct fr_wal_writer_options writing = {.kind = FR_WAL_KIND_LOG,
            .epoch = 77,
            .next_number = take_number,
            .next_number_ctx = &number,
            .segment_size = FR_WAL_SEGMENT_SIZE_MIN};
    struct fr_wal_reader *reader;
    struct fr_wal_writer *writer;
    struct fr_wal_end end;
    fr_slice batch;
    fr_lsn lsn;

    memcpy(reading.store, super->store, FR_STORE_ID_SIZE);
    memcpy(writing.store, super->store, FR_STORE_ID_SIZE);
    must(fr_wal_reader_open(dir, &reading, &reader));
    while (fr_wal_reader_next(reader, &batch, &(uint64_t){0}, &lsn) == FR_OK)
        continue;
    fr_wal_reader_end(reader, &end);
    fr_wal_reader_close(reader);
    writing.previous = end.link;
    must(fr_wal_writer_open(dir, &writing, &writer));
    must(fr_wal_writer_append(writer, &payload, 1, tag, FR_WAL_OS, &lsn));
    fr_wal_writer_close(writer);
}

/* A mistake, and the words that tell it. */
struct mistake {
    void (*in_manifest)(struct fr_manifest_state *state);
    const char *words;
    uint64_t tag;
    fr_status seen_by_follower; /* FR_OK: as by the writer */
    bool in_log;
    bool no_batch;
};

static void make_mistake(struct fr_sim *sim, const struct mistake *m)
{
    struct fr_manifest_state state;
    struct fr_obsolete obsolete;
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes = fr_slice_of_text("no batch");
    struct fr_super super;
    struct fr_dir *dir;

    fr_obsolete_init(&obsolete);
    must(fr_dir_open(fr_sim_env(sim), "store", 0, &dir));
    must(fr_super_read(dir, &super));
    must(fr_manifest_replay(dir, &super, &obsolete, false, &state));
    if (m->in_manifest != NULL) m->in_manifest(&state);
    begin_manifest(dir, &super, &state);
    must(fr_batch_add_delete(&batch, fr_slice_of_text("k000")));
    if (!m->no_batch) must(fr_batch_finish(&batch, &bytes));
    if (m->in_log) add_to_log(dir, &super, &state.log, m->tag, bytes);
    fr_batch_deinit(&batch);
    fr_version_unref(state.version);
    fr_obsolete_deinit(&obsolete);
    fr_dir_close(dir);
}

static struct fr_edit_table *a_table(struct fr_manifest_state *state)
{
    unsigned level = 0;

    while (state->version->levels[level].count == 0)
        level++;
    return &state->version->levels[level].tables[0]->meta;
}

static void wrong_table_size(struct fr_manifest_state *state)
{
    a_table(state)->size++;
}

static void wrong_table_hash_low(struct fr_manifest_state *state)
{
    a_table(state)->hash[0] ^= 1;
}

static void wrong_table_hash_high(struct fr_manifest_state *state)
{
    a_table(state)->hash[8] ^= 1;
}

static void wrong_values_size(struct fr_manifest_state *state)
{
    state->version->values[0]->meta.size++;
}

static void wrong_values_hash_low(struct fr_manifest_state *state)
{
    state->version->values[0]->meta.hash[0] ^= 1;
}

static void wrong_values_hash_high(struct fr_manifest_state *state)
{
    state->version->values[0]->meta.hash[8] ^= 1;
}

static void last_number(struct fr_manifest_state *state)
{
    state->last_seq = FR_SEQ_MAX;
}

/* As if it had lost its latest edits. */
static void no_newest_tables(struct fr_manifest_state *state)
{
    struct fr_version_level *level = &state->version->levels[0];

    cr_assert_gt(level->count, 0);
    while (level->count > 0)
        fr_version_table_unref(level->tables[--level->count]);
    state->last_seq = 1;
}

static const struct mistake mistakes[] = {
        {.in_manifest = wrong_table_size, .words = "is whole, but not the one"},
        {.in_manifest = wrong_table_hash_low, .words = "is whole, but not the one"},
        {.in_manifest = wrong_table_hash_high, .words = "is whole, but not the one"},
        {.in_manifest = wrong_values_size, .words = "is whole, but not the one"},
        {.in_manifest = wrong_values_hash_low, .words = "is whole, but not the one"},
        {.in_manifest = wrong_values_hash_high, .words = "is whole, but not the one"},
        {.in_manifest = no_newest_tables, .words = "numb", .seen_by_follower = FR_ERR_BUSY},
        {.in_log = true, .tag = 0, .words = "a batch of sequence number 0"},
        {.in_log = true, .tag = 1, .no_batch = true, .words = "batch"},
        {.in_manifest = last_number, .in_log = true, .tag = FR_SEQ_MAX, .words = "a batch of seq"},
};

Test(recovery, what_is_whole_and_yet_not_the_stores_is_told)
{
    for (size_t i = 0; i < 2 * FR_ARRAY_COUNT(mistakes); i++) {
        const struct mistake *m = &mistakes[i / 2];
        struct fr_engine_options how = options;
        struct fr_engine *engine;
        struct fr_sim *sim;

        how.read_only = i % 2 != 0;
        must(fr_sim_image_boot(image, 1, &sim));
        make_mistake(sim, m);
        fr_status wanted =
                how.read_only && m->seen_by_follower < 0 ? m->seen_by_follower : FR_ERR_CORRUPT;
        must_be(wanted, fr_engine_open(fr_sim_env(sim), "store", &how, &engine));
        if (wanted == FR_ERR_CORRUPT) must_say(m->words);
        fr_sim_close(sim);
    }
}

static void log_of_no_number(struct fr_manifest_state *state)
{
    state->log.number = 0;
}

/* Damage the last batch of the newest log file, so that it ends before. */
static void lose_last_batch(struct fr_dir *dir, uint64_t number)
{
    char name[FR_FILE_NAME_SIZE];
    uint8_t zeros[FR_WAL_BLOCK_SIZE] = {0};
    struct fr_file *file;

    fr_file_name_format(FR_FILE_WAL, number, name);
    must(fr_file_open(dir, name, FR_OPEN_WRITE, &file));
    must(fr_file_write(file, FR_WAL_HEADER_SIZE, zeros, sizeof(zeros), 0));
    fr_file_close(file);
}

static void lose_newest_table(struct pair *p)
{
    fr_seq at = FR_SEQ_MAX;
    struct fr_view *view = fr_engine_view_take(p->writer, &at);
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, view->version->levels[0].tables[0]->meta.number, name);
    must(fr_dir_unlink(p->writer->dir, name));
    fr_engine_view_release(p->writer, view);
}

/* What a follower that stays up finds where everything else has changed. */
enum upset { RENUMBERED, LOG_LOST, TABLE_LOST, SUPER_LOST, OTHER_STORE, UPSETS };

static const fr_status upset_status[] = {[RENUMBERED] = FR_OK,
        [LOG_LOST] = FR_ERR_BUSY,
        [TABLE_LOST] = FR_ERR_MISSING,
        [SUPER_LOST] = FR_ERR_MISSING,
        [OTHER_STORE] = FR_ERR_FOREIGN};

static void cause(enum upset upset, struct pair *p, struct fr_dir *dir)
{
    static const struct mistake renumbered = {.in_manifest = log_of_no_number};
    struct fr_super super;

    if (upset == TABLE_LOST) {
        must(put(p->writer, 3, ++versions[3]));
        must(fr_engine_flush(p->writer));
        lose_newest_table(p);
    }
    uint64_t log = fr_wal_writer_first_number(p->writer->log);
    must(fr_engine_close(FR_TAKE(p->writer)));
    if (upset == RENUMBERED || upset == LOG_LOST) make_mistake(p->sim, &renumbered);
    if (upset == LOG_LOST) lose_last_batch(dir, log);
    if (upset < SUPER_LOST) return;
    must(fr_super_read(dir, &super));
    must(fr_dir_unlink(dir, "SUPER"));
    super.store[3] ^= 1;
    super.generation = 0;
    if (upset == OTHER_STORE) must(fr_super_create(dir, &super));
}

Test(recovery, a_follower_shows_what_it_has_until_it_can_go_on)
{
    for (enum upset upset = RENUMBERED; upset < UPSETS; upset++) {
        unsigned before[KEYS];
        struct fr_dir *dir;
        struct pair p;

        open_pair(&p);
        must(put(p.writer, 2, ++versions[2]));
        must(fr_engine_refresh(p.reader));
        memcpy(before, versions, sizeof(before));
        must(fr_dir_open(fr_sim_env(p.sim), "store", 0, &dir));
        cause(upset, &p, dir);
        must_be(upset_status[upset], fr_engine_refresh(p.reader));
        memcpy(versions, before, sizeof(before));
        check_all(p.reader);
        versions[2]--;
        must(fr_engine_close(p.reader));
        fr_dir_close(dir);
        fr_sim_close(p.sim);
    }
}

struct restless {
    struct pair *pair;
    _Atomic(bool) over;
};

static void change_all_the_time(void *arg)
{
    struct restless *restless = arg;

    while (!atomic_load(&restless->over)) {
        change_nothing(restless->pair->writer);
        fr_env_sleep_us(fr_sim_env(restless->pair->sim), 100);
    }
}

static void flush_all_the_time(void *arg)
{
    struct restless *restless = arg;

    while (!atomic_load(&restless->over)) {
        must(put(restless->pair->writer, 2, ++versions[2]));
        must(fr_engine_flush(restless->pair->writer));
        fr_env_sleep_us(fr_sim_env(restless->pair->sim), 1000);
    }
}

/* What it reads of the manifest and of the log must be of one moment. */
Test(recovery, a_follower_goes_on_beside_a_writer_that_flushes_all_the_time)
{
    struct fr_sim_schedule_options schedule = {.seed = 1, .steps_max = 3000000};
    struct restless restless = {0};
    struct fr_thread thread;
    struct pair p;

    must(fr_sim_schedule_begin(&schedule));
    open_pair(&p);
    restless.pair = &p;
    must(fr_thread_start(&thread, "restless", flush_all_the_time, &restless));
    for (int i = 0; i < 40; i++)
        must(fr_engine_refresh(p.reader));
    atomic_store(&restless.over, true);
    fr_thread_join(&thread);
    must(fr_engine_refresh(p.reader));
    check_all(p.reader);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("follow: a flush while the log was read"), 0);
#endif
    must(fr_engine_close(p.writer));
    must(fr_engine_close(p.reader));
    fr_sim_close(p.sim);
    fr_sim_schedule_end();
}

/* As long as the manifest changes it may be the writer's doing, but not for ever. */
Test(recovery, a_follower_gives_up_at_last_however_much_the_writer_does)
{
    struct fr_sim_schedule_options schedule = {.seed = 1, .steps_max = 3000000};
    struct restless restless = {0};
    struct fr_thread thread;
    struct pair p;

    must(fr_sim_schedule_begin(&schedule));
    open_pair(&p);
    restless.pair = &p;
    must(put(p.writer, 3, ++versions[3]));
    must(fr_engine_flush(p.writer));
    lose_newest_table(&p);
    must(fr_thread_start(&thread, "restless", change_all_the_time, &restless));
    uint64_t start_us = fr_env_now_us(fr_sim_env(p.sim));
    must_be(FR_ERR_MISSING, fr_engine_refresh(p.reader));
    cr_assert_gt(fr_env_now_us(fr_sim_env(p.sim)) - start_us, 3000000);
    atomic_store(&restless.over, true);
    fr_thread_join(&thread);
    must(fr_engine_close(p.writer));
    must(fr_engine_close(p.reader));
    fr_sim_close(p.sim);
    fr_sim_schedule_end();
}

Test(recovery, a_store_without_its_super_is_told_from_none)
{
    struct fr_sim_fault unlisted = {.ops = FR_SIM_MASK(FR_SIM_LIST)};
    struct fr_engine_options how = options;
    struct fr_engine *engine;
    struct fr_sim *sim;
    struct fr_dir *dir;

    how.read_only = true;
    must(fr_sim_image_boot(image, 1, &sim));
    must(fr_dir_open(fr_sim_env(sim), "empty", FR_DIR_CREATE, &dir));
    must_be(FR_ERR_MISSING, fr_engine_open(fr_sim_env(sim), "empty", &how, &engine));
    must_say("there is no store");
    must(fr_sim_fault_add(sim, &unlisted));
    must_be(FR_ERR_MISSING, fr_engine_open(fr_sim_env(sim), "empty", &how, &engine));
    fr_dir_close(dir);
    must(fr_dir_open(fr_sim_env(sim), "store", 0, &dir));
    must(fr_dir_unlink(dir, "SUPER"));
    must_be(FR_ERR_MISSING, fr_engine_open(fr_sim_env(sim), "store", &how, &engine));
    must_say("a store without its SUPER");
    how.read_only = false;
    must_be(FR_ERR_MISSING, fr_engine_open(fr_sim_env(sim), "store", &how, &engine));
    must_say("a store without its SUPER");
    fr_dir_close(dir);
    fr_sim_close(sim);
}

static void note_log(void *ctx, const struct fr_event_open *open)
{
    if (open->phase == FR_OPEN_LOG) *(uint64_t *)ctx = open->done;
}

Test(recovery, a_long_log_tells_how_far_its_replay_is)
{
    uint64_t done = 0;
    struct fr_event_hooks hooks = {.size = sizeof(hooks), .ctx = &done, .open = note_log};
    struct fr_engine *engine;
    struct fr_sim *sim, *heir;

    options.memtable_size = (size_t)16 << 20;
    options.log_segment_size = (uint64_t)16 << 20;
    must(fr_sim_image_boot(image, 1, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    for (unsigned i = 0; i < 800; i++)
        must(put(engine, 0, ++versions[0]));
    must(fr_sim_kill(sim, &heir));
    must(fr_engine_close(engine));
    fr_sim_close(sim);
    options.hooks = &hooks;
    must(fr_engine_open(fr_sim_env(heir), "store", &options, &engine));
    cr_assert_gt(done, 1 << 20);
    check_all(engine);
    must(fr_engine_refresh(engine)); /* has nothing to do for who writes */
    must(fr_engine_close(engine));
    must(fr_engine_close(NULL));
    fr_sim_close(heir);
}
