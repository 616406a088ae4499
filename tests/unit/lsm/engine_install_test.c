/*
 * engine_install_test.c - changes of the version on their way into the manifest, and each call of
 * that way that may fail.
 *
 * The changes are of the smallest kinds: a table moves down a level, it is dropped with the value
 * file that it alone points to, a value file comes that nothing points to. After a failure the
 * version is the old one, and whoever opens the store finds the one or the other.
 */
#include <errno.h>

#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine_priv.h"
#include "tests/unit/io/test_world.h"

static struct fr_sim_image *image; /* of a machine with a store of one table and one value file */
static struct fr_engine_options options;

/* A store that is open. */
static struct fr_sim *sim;
static struct fr_engine *engine;

static void make_store(void)
{
    struct fr_sim_options how = {.seed = 1};
    struct fr_batch batch = FR_BATCH_EMPTY;
    static uint8_t value[1000];
    fr_slice bytes;

    options = fr_engine_options_default();
    options.memtable_size = 64 << 10;
    options.log_segment_size = 32 << 10;
    options.cache_size = 64 << 10;
    options.disk_reserve = 0;
    must(fr_sim_open(&how, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    test_fill(value, 0, sizeof(value));
    must(fr_batch_add_put(&batch, fr_slice_of_text("k"), fr_slice_of(value, sizeof(value))));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, 1, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
    must(fr_engine_flush(engine));
    must(fr_engine_close(engine));
    must(fr_sim_image_take(sim, &image));
    fr_sim_close(sim);
}

static void drop_store(void)
{
    fr_sim_image_free(image);
}

TestSuite(engine_install, .init = make_store, .fini = drop_store, .timeout = 60);

static void open_store(void)
{
    must(fr_sim_image_boot(image, 1, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    must(fr_engine_wait_idle(engine));
}

/* ---- changes */

/* Of the one table; FR_LEVEL_COUNT if there is none. */
static unsigned level_now(void)
{
    unsigned level = 0;

    while (level < FR_LEVEL_COUNT && engine->view->version->levels[level].count == 0)
        level++;
    return level;
}

static fr_status move_down(void)
{
    struct fr_version_change change = {0};
    unsigned level = level_now();
    struct fr_version_table *table = engine->view->version->levels[level].tables[0];
    fr_status st;

    FR_TRY(fr_version_change_drop_table(&change, level, table->meta.number));
    FR_TRY(fr_version_change_add_table(&change, level + 1, table));
    st = fr_engine_install(engine, &change, NULL);
out:
    fr_version_change_deinit(&change);
    return st;
}

static fr_status drop_all(void)
{
    struct fr_version_change change = {0};
    unsigned level = level_now();
    struct fr_version_table *table = engine->view->version->levels[level].tables[0];
    fr_status st;

    FR_TRY(fr_version_change_drop_table(&change, level, table->meta.number));
    st = fr_engine_install(engine, &change, NULL);
out:
    fr_version_change_deinit(&change);
    return st;
}

/* ---- whatever fails */

struct fault {
    bool of_memory;
    struct fr_sim_fault sim; /* nth and forever hold for both */
};

static void arm(const struct fault *fault)
{
    if (fault->of_memory)
        fr_alloc_fail_at(fault->sim.nth, fault->sim.forever);
    else
        must(fr_sim_fault_add(sim, &fault->sim));
}

static bool disarm(const struct fault *fault)
{
    bool hit = fault->of_memory ? fr_alloc_fault_hit() : fr_sim_fault_hits(sim) > 0;

    fr_alloc_fail_at(0, false);
    fr_sim_fault_clear(sim);
    return hit;
}

/* What another process finds: the table at a level of these, or none with FR_LEVEL_COUNT. */
static void check_reopened(unsigned one, unsigned other)
{
    struct fr_sim *heir;

    must(fr_sim_kill(sim, &heir));
    (void)fr_engine_close(engine);
    fr_sim_close(sim);
    sim = heir;
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &engine));
    unsigned level = level_now();
    cr_assert(level == one || level == other, "%u, neither %u nor %u", level, one, other);
    cr_assert_eq(engine->view->version->values_count, level < FR_LEVEL_COUNT);
    must(fr_engine_close(engine));
    fr_sim_close(sim);
}

static bool install_with(const struct fault *fault, fr_status (*install)(void), unsigned after)
{
    open_store();
    unsigned before = level_now();
    arm(fault);
    fr_status st = install();
    bool hit = disarm(fault);
    cr_assert(hit || st == FR_OK, "%s", st < 0 ? fr_last_error() : "");
    /* A manifest that is not removed yet is no failure. */
    cr_assert_eq(level_now(), st == FR_OK ? after : before);
    if (st < 0) {
        cr_assert(st == FR_ERR_NOMEM || st == FR_ERR_IO || st == FR_ERR_NOSPACE, "%s",
                fr_status_name(st));
        st = install();
        cr_assert(st == FR_OK || st == FR_ERR_POISONED, "%s", fr_last_error());
    }
    check_reopened(after, st == FR_OK ? after : before);
    return hit;
}

static unsigned sweep(struct fault fault, fr_status (*install)(void), unsigned after)
{
    unsigned hits = 0;

    for (fault.sim.nth = 1; install_with(&fault, install, after); fault.sim.nth++)
        hits++;
    return hits;
}

Test(engine_install, without_memory_nothing_changes_and_it_may_be_tried_again)
{
    struct fault fault = {.of_memory = true};

    cr_assert_gt(sweep(fault, move_down, 1), 10);
    cr_assert_gt(sweep(fault, drop_all, FR_LEVEL_COUNT), 10);
}

Test(engine_install, whatever_call_to_the_disk_fails_it_is_the_one_version_or_the_other)
{
    static const struct fault faults[] = {
            {.sim = {.os_error = ENOSPC}},
            {.sim = {.os_error = EIO, .kind = FR_SIM_FAULT_ERROR_AFTER}},
    };

    for (size_t i = 0; i < FR_ARRAY_COUNT(faults); i++) {
        struct fault fault = faults[i];
        fault.sim.ops = FR_SIM_MASK_ALL;
        fault.sim.name = "*.manifest";
        cr_assert_geq(sweep(fault, move_down, 1), 2);
    }
}

/* ---- particular cases */

Test(engine_install, a_long_manifest_is_begun_anew_by_the_change_itself)
{
    static uint8_t skipped[100000] = {64, 0x9c, 0x8d, 0x06}; /* a tag to skip, 99996 bytes */

    open_store();
    uint64_t before = engine->super.manifest;
    fr_mutex_lock(&engine->manifest_mu);
    while (!fr_manifest_is_long(engine->manifest))
        must(fr_manifest_append(engine->manifest, fr_slice_of(skipped, sizeof(skipped))));
    fr_mutex_unlock(&engine->manifest_mu);
    must(move_down());
    cr_assert_gt(engine->super.manifest, before);
    check_reopened(1, 1);
}

/* Its table may come with the next change: until then it is not garbage. */
Test(engine_install, a_value_file_to_which_nothing_points_goes_with_the_next_change)
{
    struct fr_edit_values meta = {.number = 999, .size = 10, .value_bytes = 5, .value_count = 1};
    struct fr_version_change change = {0};
    struct fr_version_values *values;

    open_store();
    must(fr_version_values_new(&engine->obsolete, &meta, NULL, NULL, &values));
    must(fr_version_change_add_values(&change, values));
    must(fr_engine_install(engine, &change, NULL));
    cr_assert_eq(engine->view->version->values_count, 2);
    fr_version_change_unref_added(&change);
    fr_version_change_deinit(&change);
    must(move_down());
    cr_assert_eq(engine->view->version->values_count, 1);
    check_reopened(1, 1);
}

static void put(const char *key)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    must(fr_batch_add_put(&batch, fr_slice_of_text(key), fr_slice_of_text("value")));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, 1, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

/* As an ingest does it: what is written before the change and after it must not meet. */
Test(engine_install, what_was_written_before_a_change_with_a_fresh_memtable_is_flushed)
{
    struct fr_version_change change = {0};
    struct fr_engine_value value;
    struct fr_memtable *fresh;

    open_store();
    for (int written = 0; written < 2; written++) {
        if (written) put("l");
        uint64_t flushes = engine->flushes_done;
        must(fr_memtable_new(options.memtable_size, NULL, &fresh));
        fr_mutex_lock(&engine->manifest_mu);
        must(fr_engine_install_locked(engine, &change, NULL, &fresh));
        fr_mutex_unlock(&engine->manifest_mu);
        cr_assert_null(fresh);
        must(fr_engine_wait_idle(engine));
        cr_assert_eq(engine->flushes_done, flushes + (uint64_t)written);
    }
    put("m");
    must(fr_engine_get(engine, fr_slice_of_text("l"), FR_SEQ_MAX, &value));
    fr_engine_value_release(&value);
    must(fr_engine_close(engine));
    fr_sim_close(sim);
}

static void fail_sync_of_manifest(void)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_SYNC), .name = "*.manifest"};

    must(fr_sim_fault_add(sim, &fault));
    must_be(FR_ERR_IO, move_down());
    fr_sim_fault_clear(sim);
}

Test(engine_install, behind_a_sync_of_the_manifest_that_failed_nothing_is_added)
{
    open_store();
    fail_sync_of_manifest();
    must_be(FR_ERR_POISONED, move_down());
    must_be(FR_ERR_POISONED, fr_engine_repair_manifest(engine));
    fr_mutex_lock(&engine->manifest_mu);
    must_be(FR_ERR_POISONED, fr_engine_tell_log(engine));
    fr_mutex_unlock(&engine->manifest_mu);
    check_reopened(0, 1);
}

static bool is_there(const char *name)
{
    struct fr_file_info info;

    return fr_dir_stat(engine->dir, name, &info) == FR_OK;
}

/* A job's output of one table and one value file, whose installation is said to have failed. */
static void abandon_output(bool no_memory)
{
    struct fr_edit_table table = {.number = 998, .size = 4};
    struct fr_edit_values values = {.number = 999, .size = 4};
    struct fr_version_values *new_values;
    struct fr_version_table *new_table;
    struct fr_output output = {0};
    struct fr_file *file;

    must(fr_file_open(engine->dir, "000998.table", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    fr_file_close(file);
    must(fr_version_table_new(&engine->obsolete, &table, NULL, NULL, NULL, &new_table));
    must(fr_version_values_new(&engine->obsolete, &values, NULL, NULL, &new_values));
    must(fr_version_change_add_table(&output.change, 0, new_table));
    must(fr_version_change_add_values(&output.change, new_values));
    if (no_memory) fr_alloc_fail_at(1, true);
    fr_engine_abandon(engine, &output);
    fr_alloc_fail_at(0, false);
}

Test(engine_install, files_of_a_failed_change_go_at_once_if_no_manifest_may_name_them)
{
    open_store();
    abandon_output(false);
    fr_engine_remove_obsolete(engine);
    cr_assert(!is_there("000998.table"));
    check_reopened(0, 0);
}

/* For want of memory they are forgotten, until the next opening finds them. */
Test(engine_install, files_that_a_lost_manifest_may_name_go_with_the_next_one)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_WRITE), .name = "*.manifest"};

    for (int no_memory = 0; no_memory < 2; no_memory++) {
        open_store();
        must(fr_sim_fault_add(sim, &fault));
        must_be(FR_ERR_IO, move_down());
        abandon_output(no_memory);
        fr_engine_remove_obsolete(engine);
        cr_assert(is_there("000998.table"));
        must(fr_engine_repair_manifest(engine));
        fr_engine_remove_obsolete(engine);
        cr_assert_eq(is_there("000998.table"), no_memory);
        check_reopened(0, 0);
    }
}
