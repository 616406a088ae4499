/*
 * pressure_test.c - an engine whose disk is full, refuses, or is slow: what is answered, what stays
 * readable, and that work goes on by itself when the reason is gone.
 *
 * The model is a number for each key, of the latest version that was acknowledged; a value's bytes
 * follow from key and version. A ballast file beside the store takes the space and gives it back.
 */
#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"

/* More than a small disk holds, so that it fills however fast compaction is. */
#define KEYS        5000
#define VALUE_BYTES 2000
#define KIB         ((uint64_t)1 << 10)
#define MIB         ((uint64_t)1 << 20)

/* Longer than a full disk goes unasked. */
#define MOMENT_US 20000

struct store {
    struct fr_env *env;
    struct fr_sim *sim;   /* NULL for a real disk */
    struct fr_dir *outer; /* where the ballast is */
    char path[64];
    struct fr_engine_options options;
    struct fr_engine *engine;
    uint32_t versions[KEYS]; /* acknowledged; 0: there is none */
    uint32_t next_version;
};

static struct fr_engine_options small_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 64 * KIB;
    options.log_segment_size = 128 * KIB;
    options.table_size = 64 * KIB;
    options.cache_size = 256 * KIB;
    options.block_size = 4096;
    options.value_threshold = 1000;
    options.picker.base_bytes = 128 * KIB;
    options.disk_reserve = 0;
    return options;
}

static void open_engine(struct store *s)
{
    must(fr_engine_open(s->env, s->path, &s->options, &s->engine));
}

/* A simulated machine; 0: a disk without end. */
static void open_machine(struct store *s, uint64_t capacity)
{
    struct fr_sim_options options = {.seed = 1, .capacity_bytes = capacity};

    *s = (struct store){.options = small_options(), .path = "store"};
    must(fr_sim_open(&options, &s->sim));
    s->env = fr_sim_env(s->sim);
    must(fr_dir_open(s->env, "/", 0, &s->outer));
}

static void close_machine(struct store *s)
{
    must(fr_engine_close(s->engine));
    fr_dir_close(s->outer);
    fr_sim_close(s->sim);
}

static fr_slice key_of(size_t index, char *text, size_t size)
{
    return fr_slice_of(text, (size_t)snprintf(text, size, "key/%05zu", index));
}

/* Bytes that cannot be compressed; every third value stays in its table. */
static fr_slice value_of(size_t index, uint32_t version, uint8_t *bytes)
{
    size_t size = version % 3 == 0 ? 200 : VALUE_BYTES;
    struct fr_rng rng;

    fr_rng_init(&rng, (uint64_t)version * KEYS + index);
    fr_rng_fill(&rng, bytes, size);
    return fr_slice_of(bytes, size);
}

/* The next version of a key, which is the model's only if the store has taken it. */
static fr_status put(struct store *s, size_t index)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    uint32_t version = ++s->next_version;
    uint8_t bytes[VALUE_BYTES];
    char text[32];
    fr_slice all;

    must(fr_batch_add_put(&batch, key_of(index, text, sizeof(text)),
            value_of(index, version, bytes)));
    must(fr_batch_finish(&batch, &all));
    fr_status st = fr_engine_write(s->engine, all, 1, FR_DURABLE_OS);
    if (st == FR_OK) s->versions[index] = version;
    fr_batch_deinit(&batch);
    return st;
}

static fr_status erase(struct store *s, size_t from, size_t to)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    char text[32], end_text[32];
    fr_slice all;

    must(fr_batch_add_delete_range(&batch, key_of(from, text, sizeof(text)),
            key_of(to, end_text, sizeof(end_text))));
    must(fr_batch_finish(&batch, &all));
    fr_status st = fr_engine_write(s->engine, all, 1, FR_DURABLE_OS);
    for (size_t i = from; i < to && st == FR_OK; i++)
        s->versions[i] = 0;
    fr_batch_deinit(&batch);
    return st;
}

static void put_many(struct store *s, size_t count)
{
    for (size_t i = 0; i < count; i++)
        must(put(s, s->next_version * 7 % KEYS));
}

static void check_all(struct store *s)
{
    struct fr_engine_value value;
    uint8_t bytes[VALUE_BYTES];
    char text[32];

    for (size_t i = 0; i < KEYS; i++) {
        fr_status st = fr_engine_get(s->engine, key_of(i, text, sizeof(text)), FR_SEQ_MAX, &value);
        cr_assert_eq(st, s->versions[i] > 0 ? FR_OK : FR_NOT_FOUND, "%s: %s: %s", text,
                fr_status_name(st), st < 0 ? fr_last_error() : "");
        if (st != FR_OK) continue;
        cr_assert(fr_slice_equal(value.bytes, value_of(i, s->versions[i], bytes)), "%s", text);
        fr_engine_value_release(&value);
    }
}

static void reopen(struct store *s)
{
    must(fr_engine_close(s->engine));
    open_engine(s);
    check_all(s);
}

/* A file of that size, so that so much less is free; as much as there is room for. */
static void take_space(struct store *s, uint64_t size)
{
    static const uint8_t block[64 << 10] = {1};
    struct fr_file *file;

    must(fr_file_open(s->outer, "ballast", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    for (uint64_t at = 0; at < size; at += sizeof(block))
        if (fr_file_write(file, at, block, sizeof(block), 0) < 0) break;
    fr_file_close(file);
}

static void give_space(struct store *s)
{
    must(fr_dir_unlink(s->outer, "ballast"));
}

/* Put until that is refused. */
static void fill_up(struct store *s)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < 20000 && st == FR_OK; i++)
        st = put(s, s->next_version * 7 % KEYS);
    cr_assert_eq(st, FR_ERR_NOSPACE, "%s: %s", fr_status_name(st), st < 0 ? fr_last_error() : "");
}

/* Space has returned: one attempt is made at once, and then all is as ever. */
static void go_on(struct store *s)
{
    fr_env_sleep_us(s->env, MOMENT_US);
    must(fr_engine_flush(s->engine));
    put_many(s, 200);
    must(fr_engine_wait_idle(s->engine));
    check_all(s);
    reopen(s);
    put_many(s, 20);
    must(fr_engine_compact_range(s->engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    check_all(s);
}

/* A full disk, some more attempts on it, and then space. */
static void live_through_a_full_disk(struct store *s)
{
    open_engine(s);
    fill_up(s);
    check_all(s);
    for (size_t i = 0; i < 20; i++) {
        fr_status st = put(s, i);
        cr_assert(st == FR_OK || st == FR_ERR_NOSPACE, "%s", fr_last_error());
    }
    fr_status st = fr_engine_flush(s->engine);
    cr_assert(st == FR_OK || st == FR_ERR_NOSPACE, "%s", fr_last_error());
    check_all(s);
    give_space(s);
    go_on(s);
}

TestSuite(pressure, .timeout = 120);

/* --- Full disks ------------------------------------------------------------------------------- */

Test(pressure, a_full_disk_loses_nothing_and_ends_when_there_is_space)
{
    static struct store s;

    /* In odd steps, so that the last page goes to the log here, a table or the manifest there. */
    for (uint64_t free_bytes = 4 * MIB; free_bytes < 6 * MIB; free_bytes += 107 * KIB) {
        open_machine(&s, 32 * MIB);
        take_space(&s, 32 * MIB - free_bytes);
        live_through_a_full_disk(&s);
        close_machine(&s);
    }
}

Test(pressure, the_reserve_is_kept_from_writes_and_ends_their_refusal_likewise)
{
    static struct store s;

    for (uint64_t free_bytes = 6 * MIB; free_bytes < 8 * MIB; free_bytes += 307 * KIB) {
        open_machine(&s, 32 * MIB);
        s.options.disk_reserve = 64 * MIB;
        take_space(&s, 32 * MIB - free_bytes);
        live_through_a_full_disk(&s);
        close_machine(&s);
    }
}

Test(pressure, what_a_full_disk_has_acknowledged_survives_the_process)
{
    static struct store s;
    struct fr_sim *next;

    for (uint64_t free_bytes = 4 * MIB; free_bytes < 6 * MIB; free_bytes += 211 * KIB) {
        open_machine(&s, 32 * MIB);
        take_space(&s, 32 * MIB - free_bytes);
        open_engine(&s);
        fill_up(&s);
        must(fr_sim_kill(s.sim, &next));
        (void)!fr_engine_close(s.engine);
        fr_dir_close(s.outer);
        fr_sim_close(s.sim);
        s.sim = next;
        s.env = fr_sim_env(next);
        must(fr_dir_open(s.env, "/", 0, &s.outer));
        give_space(&s);
        open_engine(&s);
        check_all(&s);
        go_on(&s);
        close_machine(&s);
    }
}

Test(pressure, deletes_are_taken_on_a_full_disk_and_make_room)
{
    static struct store s;
    struct fr_engine_stats stats;

    open_machine(&s, 64 * MIB);
    s.options.disk_reserve = 64 * MIB; /* cut to four */
    take_space(&s, 50 * MIB);
    open_engine(&s);
    fill_up(&s);
    must_say("reserve");
    must(erase(&s, 0, KEYS));
    must_be(FR_ERR_NOSPACE, put(&s, 0));
    must(fr_engine_compact_range(s.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    check_all(&s);
    fr_engine_stats_get(s.engine, &stats);
    cr_assert_geq(stats.refused_count, 2);
    go_on(&s);
    close_machine(&s);
}

Test(pressure, without_a_reserve_nothing_is_refused_in_advance)
{
    static struct store s;

    open_machine(&s, 64 * MIB);
    open_engine(&s);
    take_space(&s, 60 * MIB);
    put_many(&s, 5);
    must(fr_engine_close(s.engine));
    s.options.disk_reserve = 64 * MIB;
    open_engine(&s);
    must_be(FR_ERR_NOSPACE, put(&s, 0));
    check_all(&s);
    close_machine(&s);
}

Test(pressure, the_next_write_is_judged_by_a_reserve_that_was_changed)
{
    struct fr_engine_options options;
    static struct store s;

    open_machine(&s, 64 * MIB);
    open_engine(&s);
    take_space(&s, 60 * MIB);
    options = s.options;
    for (int i = 0; i < 3; i++) {
        put_many(&s, 5);
        options.disk_reserve = 64 * MIB;
        fr_engine_retune(s.engine, &options);
        must_be(FR_ERR_NOSPACE, put(&s, 0));
        must_say("reserve");
        options.disk_reserve = i == 1 ? 1 : 0; /* another one, or none */
        fr_engine_retune(s.engine, &options);
    }
    check_all(&s);
    close_machine(&s);
}

/* Many keys in one batch, of which the store has all or none. */
static fr_status put_large(struct store *s, size_t count)
{
    uint32_t first = s->next_version + 1;
    struct fr_batch batch = FR_BATCH_EMPTY;
    uint8_t bytes[VALUE_BYTES];
    char text[32];
    fr_slice all;

    for (size_t i = 0; i < count; i++)
        must(fr_batch_add_put(&batch, key_of(i, text, sizeof(text)),
                value_of(i, ++s->next_version, bytes)));
    must(fr_batch_finish(&batch, &all));
    cr_assert_gt(all.size, 8 * s->options.log_segment_size);
    fr_status st = fr_engine_write(s->engine, all, batch.count, FR_DURABLE_OS);
    for (size_t i = 0; i < count && st == FR_OK; i++)
        s->versions[i] = first + (uint32_t)i;
    fr_batch_deinit(&batch);
    return st;
}

Test(pressure, a_batch_larger_than_log_segments_is_taken_or_refused_as_a_whole)
{
    unsigned refusals = 0;
    static struct store s;

    for (uint64_t kept = 0; kept < 4 * MIB; kept += 307 * KIB) {
        uint64_t free_bytes, total_bytes;
        open_machine(&s, 32 * MIB);
        open_engine(&s);
        put_many(&s, 100);
        must(fr_engine_wait_idle(s.engine));
        must(fr_dir_space(s.outer, &free_bytes, &total_bytes));
        take_space(&s, free_bytes - kept);
        fr_status st = put_large(&s, 1000);
        if (st < 0) must_be(FR_ERR_NOSPACE, st);
        refusals += st < 0;
        check_all(&s);
        give_space(&s);
        fr_env_sleep_us(s.env, MOMENT_US);
        must(put_large(&s, 1000));
        go_on(&s);
        close_machine(&s);
    }
    cr_assert(refusals > 3 && refusals < 13, "%u", refusals);
}

/* The same on a real file system, with seven megabytes of space. */
Test(pressure, a_full_tmpfs_loses_nothing_and_ends_when_there_is_space)
{
    struct fr_env_options options = {.kind = FR_ENV_POSIX, .pool_threads_max = 2};
    char path[] = "pressure-test-XXXXXX";
    static struct store s;

    if (geteuid() != 0) cr_skip_test("only root can mount a tmpfs");
    cr_assert_not_null(mkdtemp(path));
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("tmpfs", path, "tmpfs", 0, "size=32m") != 0) {
        int os_error = errno;
        rmdir(path);
        cr_skip_test("a tmpfs cannot be mounted here: %s", strerror(os_error));
    }
    s = (struct store){.options = small_options()};
    snprintf(s.path, sizeof(s.path), "%s/store", path);
    must(fr_env_open(&options, &s.env));
    must(fr_dir_open(s.env, path, 0, &s.outer));
    take_space(&s, 25 * MIB);
    live_through_a_full_disk(&s);
    must(fr_engine_close(s.engine));
    fr_dir_close(s.outer);
    fr_env_close(s.env);
    cr_assert_eq(umount(path), 0);
    rmdir(path);
}

/* --- Failures that pass ----------------------------------------------------------------------- */

struct trouble_case {
    uint32_t ops;
    const char *name;
    int os_error;
    bool after;
};

/* Each attempt fails while the fault is there; reads go on; without it the store does. */
static void live_through(const struct trouble_case *c)
{
    struct fr_sim_fault fault = {.ops = c->ops,
            .name = c->name,
            .os_error = c->os_error,
            .forever = true,
            .kind = c->after ? FR_SIM_FAULT_ERROR_AFTER : FR_SIM_FAULT_ERROR};
    fr_status wanted = fr_status_of_errno(c->os_error);
    struct fr_engine_stats stats;
    static struct store s;

    open_machine(&s, 0);
    open_engine(&s);
    put_many(&s, 100);
    must(fr_engine_flush(s.engine));
    must(fr_sim_fault_add(s.sim, &fault));
    put_many(&s, 20);
    must_be(wanted, fr_engine_flush(s.engine));
    must_be(wanted, fr_engine_flush(s.engine));
    cr_assert_gt(fr_sim_fault_hits(s.sim), 1, "%s", c->name);
    put_many(&s, 5);
    check_all(&s);
    fr_sim_fault_clear(s.sim);
    fr_engine_stats_get(s.engine, &stats);
    cr_assert_gt(stats.retry_count, 1);
    go_on(&s);
    close_machine(&s);
}

Test(pressure, a_failure_that_passes_costs_nothing_but_time)
{
    static const struct trouble_case cases[] = {
            {FR_SIM_MASK(FR_SIM_CREATE), "*.table", EMFILE, false},
            {FR_SIM_MASK(FR_SIM_CREATE), "*.table", ENFILE, false},
            {FR_SIM_MASK(FR_SIM_CREATE), "*.values", EDQUOT, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.table", EIO, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.table", EIO, true},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.values", EIO, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.values", ENOSPC, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.table", EDQUOT, true},
            {FR_SIM_MASK(FR_SIM_OPEN), "*.table", EMFILE, false},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++)
        live_through(&cases[i]);
}

Test(pressure, a_compaction_that_cannot_read_reads_again)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_CREATE), .name = "*.table", .os_error = EIO, .forever = true};
    static struct store s;
    fr_slice all = fr_slice_of(NULL, 0);

    open_machine(&s, 0);
    s.options.cache_size = 0;
    open_engine(&s);
    put_many(&s, 100);
    must(fr_engine_flush(s.engine));
    fault.ops = FR_SIM_MASK(FR_SIM_READ);
    must(fr_sim_fault_add(s.sim, &fault));
    must_be(FR_ERR_IO, fr_engine_compact_range(s.engine, all, all));
    put_many(&s, 5);
    fr_sim_fault_clear(s.sim);
    must(fr_engine_compact_range(s.engine, all, all));
    go_on(&s);
    close_machine(&s);
}

/* The manifest fails while it is changed, once or several times, and a new one is begun. */
static void lose_the_manifest(const struct trouble_case *c, bool forever)
{
    struct fr_sim_fault fault = {.ops = c->ops,
            .name = c->name,
            .os_error = c->os_error,
            .forever = forever,
            .kind = c->after ? FR_SIM_FAULT_ERROR_AFTER : FR_SIM_FAULT_ERROR};
    static struct store s;

    open_machine(&s, 0);
    open_engine(&s);
    put_many(&s, 100);
    must(fr_engine_flush(s.engine));
    must(fr_sim_fault_add(s.sim, &fault));
    for (int round = 0; round < 3; round++) {
        put_many(&s, 10);
        fr_mutex_lock(&s.engine->manifest_mu);
        struct fr_view *view = fr_engine_view(s.engine);
        fr_status begun = fr_engine_begin_manifest(s.engine, view->version);
        fr_view_unref(view);
        fr_mutex_unlock(&s.engine->manifest_mu);
        if (forever || round == 0) cr_assert_lt(begun, 0, "%s", c->name);
        fr_status st = fr_engine_flush(s.engine);
        if (forever) cr_assert_eq(st, fr_status_of_errno(c->os_error), "%s", fr_last_error());
        check_all(&s);
    }
    fr_sim_fault_clear(s.sim);
    go_on(&s);
    close_machine(&s);
}

Test(pressure, a_manifest_that_fails_in_passing_is_begun_anew)
{
    static const struct trouble_case cases[] = {
            {FR_SIM_MASK(FR_SIM_CREATE), "*.manifest", ENOSPC, false},
            {FR_SIM_MASK(FR_SIM_CREATE), "*.manifest", EMFILE, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "*.manifest", EIO, false},
            {FR_SIM_MASK(FR_SIM_OPEN), "SUPER", EMFILE, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "SUPER", ENOSPC, false},
            {FR_SIM_MASK(FR_SIM_WRITE), "SUPER", EIO, true},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        lose_the_manifest(&cases[i], false);
        lose_the_manifest(&cases[i], true);
    }
}

/* --- What is told of them --------------------------------------------------------------------- */

/* The hooks run on one thread, and are done when the engine is closed. */
struct heard {
    unsigned begun[3], over[3]; /* by kind */
    unsigned errors;
    bool is_under_way[3];
    struct fr_event_trouble first, last;
    char text[300]; /* of the last */
};

static void on_trouble(void *ctx, const struct fr_event_trouble *trouble)
{
    struct heard *heard = ctx;

    cr_assert_eq(heard->is_under_way[trouble->kind], trouble->over); /* one after the other */
    heard->is_under_way[trouble->kind] = !trouble->over;
    (trouble->over ? heard->over : heard->begun)[trouble->kind]++;
    if (heard->first.text == NULL) heard->first = *trouble;
    heard->last = *trouble;
    snprintf(heard->text, sizeof(heard->text), "%s", trouble->text);
    cr_assert_eq(heard->errors, 0);
}

static void on_error(void *ctx, const struct fr_event_error *error)
{
    cr_assert_eq(error->status, FR_ERR_IO);
    ((struct heard *)ctx)->errors++;
}

/* As open_machine and open_engine. */
static void open_listening(struct store *s, struct heard *heard, uint64_t capacity,
        uint64_t reserve)
{
    struct fr_event_hooks hooks = {.size = sizeof(hooks),
            .ctx = heard,
            .trouble = on_trouble,
            .background_error = on_error};

    *heard = (struct heard){0};
    open_machine(s, capacity);
    s->options.disk_reserve = reserve;
    s->options.hooks = &hooks;
    open_engine(s);
    s->options.hooks = NULL;
    fr_engine_start_events(s->engine);
}

Test(pressure, a_flush_that_succeeds_again_is_told)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_CREATE),
            .name = "*.table",
            .os_error = EMFILE,
            .forever = true};
    struct heard heard;
    static struct store s;

    open_listening(&s, &heard, 0, 0);
    put_many(&s, 20);
    must(fr_sim_fault_add(s.sim, &fault));
    must_be(FR_ERR_IO, fr_engine_flush(s.engine));
    must_be(FR_ERR_IO, fr_engine_flush(s.engine));
    fr_sim_fault_clear(s.sim);
    must(fr_engine_flush(s.engine));
    put_many(&s, 20);
    must(fr_engine_flush(s.engine)); /* of which nothing is told */
    close_machine(&s);
    cr_assert_eq(heard.begun[FR_TROUBLE_FLUSH], 1);
    cr_assert_eq(heard.over[FR_TROUBLE_FLUSH], 1);
    cr_assert_eq(heard.begun[FR_TROUBLE_COMPACTION] + heard.begun[FR_TROUBLE_SPACE], 0);
    cr_assert_eq(heard.first.failures, 1);
    cr_assert_not(heard.first.over);
    cr_assert_geq(heard.last.failures, 2);
    cr_assert_gt(heard.last.duration_us, 0);
    cr_assert_eq(heard.last.status, FR_ERR_IO);
    cr_assert_eq(heard.last.os_error, EMFILE);
    cr_assert(strstr(heard.text, ".table") != NULL, "%s", heard.text);
}

Test(pressure, a_compaction_that_succeeds_again_is_told)
{
    struct fr_sim_fault fault = {
            .ops = FR_SIM_MASK(FR_SIM_READ), .name = "*.table", .os_error = EIO, .forever = true};
    fr_slice all = fr_slice_of(NULL, 0);
    struct heard heard;
    static struct store s;

    open_listening(&s, &heard, 0, 0);
    put_many(&s, 100);
    must(fr_engine_flush(s.engine));
    must(fr_engine_wait_idle(s.engine));
    must(fr_sim_fault_add(s.sim, &fault));
    fr_status st = fr_engine_compact_range(s.engine, all, all);
    fr_sim_fault_clear(s.sim);
    must(fr_engine_compact_range(s.engine, all, all));
    close_machine(&s);
    cr_assert_eq(st, FR_ERR_IO);
    cr_assert_geq(heard.begun[FR_TROUBLE_COMPACTION], 1);
    cr_assert_eq(heard.over[FR_TROUBLE_COMPACTION], heard.begun[FR_TROUBLE_COMPACTION]);
    cr_assert_eq(heard.begun[FR_TROUBLE_FLUSH] + heard.begun[FR_TROUBLE_SPACE], 0);
}

Test(pressure, a_store_that_has_space_again_is_told)
{
    struct heard heard;
    static struct store s;

    open_listening(&s, &heard, 32 * MIB, 64 * MIB);
    take_space(&s, 25 * MIB);
    fill_up(&s);
    give_space(&s);
    fr_env_sleep_us(s.env, MOMENT_US);
    put_many(&s, 20);
    close_machine(&s);
    cr_assert_geq(heard.begun[FR_TROUBLE_SPACE], 1);
    cr_assert_eq(heard.over[FR_TROUBLE_SPACE], heard.begun[FR_TROUBLE_SPACE]);
    cr_assert_eq(heard.last.kind, FR_TROUBLE_SPACE);
    cr_assert_eq(heard.last.status, FR_ERR_NOSPACE);
    cr_assert_geq(heard.last.duration_us, MOMENT_US);
    cr_assert(strstr(heard.text, "bytes are free") != NULL, "%s", heard.text);
}

/* The first attempt fails in passing, the second for good. */
Test(pressure, what_does_not_pass_is_not_told_to_be_over)
{
    struct fr_sim_fault create = {
            .ops = FR_SIM_MASK(FR_SIM_CREATE), .name = "*.table", .os_error = EMFILE};
    struct fr_sim_fault sync = {
            .ops = FR_SIM_MASK(FR_SIM_SYNC), .name = "*.table", .os_error = EIO, .forever = true};
    struct heard heard;
    static struct store s;

    open_listening(&s, &heard, 0, 0);
    put_many(&s, 20);
    must(fr_sim_fault_add(s.sim, &create));
    must(fr_sim_fault_add(s.sim, &sync));
    must_be(FR_ERR_IO, fr_engine_flush(s.engine));
    must_be(FR_ERR_IO, fr_engine_flush(s.engine));
    cr_assert_lt(fr_engine_close(s.engine), 0);
    fr_dir_close(s.outer);
    fr_sim_close(s.sim);
    cr_assert_eq(heard.begun[FR_TROUBLE_FLUSH], 1);
    cr_assert_eq(heard.over[FR_TROUBLE_FLUSH], 0);
    cr_assert_eq(heard.errors, 1);
}

/* --- Failures that do not --------------------------------------------------------------------- */

Test(pressure, a_failed_sync_ends_all_writing_at_once)
{
    static const struct trouble_case cases[] = {
            {FR_SIM_MASK(FR_SIM_SYNC), "*.table", EIO, false},
            {FR_SIM_MASK(FR_SIM_SYNC), "*.values", ENOSPC, false},
            {FR_SIM_MASK(FR_SIM_SYNC), "*.manifest", EIO, true},
            {FR_SIM_MASK(FR_SIM_SYNC_DIR), NULL, EIO, false},
    };
    static struct store s;

    for (size_t i = 0; i < FR_ARRAY_COUNT(cases); i++) {
        struct fr_sim_fault fault = {
                .ops = cases[i].ops, .name = cases[i].name, .os_error = cases[i].os_error};

        open_machine(&s, 0);
        open_engine(&s);
        put_many(&s, 50);
        must(fr_sim_fault_add(s.sim, &fault));
        must_be(fr_status_of_errno(cases[i].os_error), fr_engine_flush(s.engine));
        must_be(FR_ERR_POISONED, put(&s, 0));
        check_all(&s);
        cr_assert_lt(fr_engine_close(s.engine), 0);
        open_engine(&s);
        check_all(&s);
        put_many(&s, 50);
        close_machine(&s);
    }
}

Test(pressure, a_failed_sync_of_the_log_ends_all_writing_at_once)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC), .name = "*.wal"};
    static struct store s;

    open_machine(&s, 0);
    open_engine(&s);
    put_many(&s, 5);
    must(fr_sim_fault_add(s.sim, &fault));
    must_be(FR_ERR_IO, fr_engine_sync(s.engine));
    must_be(FR_ERR_POISONED, put(&s, 0));
    must_be(FR_ERR_POISONED, fr_engine_sync(s.engine));
    check_all(&s);
    cr_assert_lt(fr_engine_close(s.engine), 0);
    open_engine(&s);
    check_all(&s);
    close_machine(&s);
}

/* --- Rates ------------------------------------------------------------------------------------ */

Test(pressure, the_rate_of_the_background_can_be_changed_while_it_works)
{
    struct fr_engine_stats slow, fast;
    static struct store s;

    open_machine(&s, 0);
    s.options.background_rate = 256 * KIB;
    open_engine(&s);
    put_many(&s, 200);
    must(fr_engine_flush(s.engine));
    must(fr_engine_wait_idle(s.engine));
    fr_engine_stats_get(s.engine, &slow);
    cr_assert_gt(slow.limited_us, 100000);
    fr_engine_set_background_rate(s.engine, 0);
    put_many(&s, 200);
    must(fr_engine_flush(s.engine));
    must(fr_engine_wait_idle(s.engine));
    fr_engine_stats_get(s.engine, &fast);
    cr_assert_eq(fast.limited_us, slow.limited_us);
    check_all(&s);
    close_machine(&s);
}

/* Flushes far slower than writes: by the bucket's waits, not by standing still. */
Test(pressure, writers_are_slowed_while_the_background_falls_behind)
{
    struct fr_engine_stats stats;
    static struct store s;

    open_machine(&s, 0);
    s.options.background_rate = 64 * KIB;
    open_engine(&s);
    put_many(&s, 1500);
    fr_engine_stats_get(s.engine, &stats);
    cr_assert_gt(stats.stall_us, 0);
    cr_assert_leq(stats.stop_us, stats.stall_us);
    check_all(&s);
    fr_engine_set_background_rate(s.engine, 0);
    must(fr_engine_wait_idle(s.engine));
    check_all(&s);
    close_machine(&s);
}
