/*
 * repair_test.c - stores with each kind of damage, repaired, against what was in them: no value is
 * wrong, what is kept is all that is certain, and every key that is not there is among the losses.
 */
#include "io/sim.h"
#include "lsm/batch.h"
#include "recovery/repair.h"
#include "recovery/verify.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/recovery/test_store.h"
#include "wal/file_name.h"

#define KEYS   600
#define ROUNDS 4

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_dir *dir; /* of the damaged store */
static struct fr_repair_stats stats;

/* --- The model: what each key's value is, and was ---------------------------------------------
 */

static unsigned rounds_of_key(unsigned i, unsigned round)
{
    return (i * 7 + round * 13) %
           5; /* 0: it is deleted in that round; 1, 2: put; else left alone */
}

static fr_slice key_of(unsigned i, char text[16])
{
    snprintf(text, 16, "key%05u", i);
    return fr_slice_of_text(text);
}

static fr_slice value_of(unsigned i, unsigned round, char bytes[400])
{
    size_t size = i % 2 == 0 ? 300 : 40;

    uint32_t state = i * 31 + round * 17 + 1;

    for (size_t b = 0; b < size; b++) {
        state = state * 1664525 + 1013904223; /* so that it does not compress */
        bytes[b] = (char)(state >> 24);
    }
    snprintf(bytes, 30, "%u in round %u", i, round);
    return fr_slice_of(bytes, size);
}

static void write_round(struct fr_engine *engine, unsigned round)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    char key[16], bytes[400];
    uint32_t count = 0;
    fr_slice all;

    for (unsigned i = 0; i < KEYS; i++) {
        unsigned what = rounds_of_key(i, round);
        if (what == 0) must(fr_batch_add_delete(&batch, key_of(i, key)));
        if (what == 1 || what == 2)
            must(fr_batch_add_put(&batch, key_of(i, key), value_of(i, round, bytes)));
        if (what == 2) must(fr_batch_add_append(&batch, key_of(i, key), fr_slice_of_text("+more")));
        count += what < 3 ? 1 + (what == 2) : 0;
    }
    if (round == 2) {
        must(fr_batch_add_delete_range(&batch, fr_slice_of_text("key00100"),
                fr_slice_of_text("key00140")));
        count++;
    }
    must(fr_batch_finish(&batch, &all));
    must(fr_engine_write(engine, all, count, FR_DURABLE_DEVICE));
    fr_batch_deinit(&batch);
}

/* The round whose value the key has after so many; 0: none. */
static unsigned round_of(unsigned i, unsigned rounds)
{
    for (unsigned round = rounds; round > 0; round--) {
        if (round == 2 && i >= 100 && i < 140) return 0;
        if (rounds_of_key(i, round) == 0) return 0;
        if (rounds_of_key(i, round) < 3) return round;
    }
    return 0;
}

static bool is_value(unsigned i, unsigned round, fr_slice found)
{
    char bytes[400];
    fr_slice expected = value_of(i, round, bytes);

    if (rounds_of_key(i, round) == 2) {
        memcpy(bytes + expected.size, "+more", 5);
        expected.size += 5;
    }
    return fr_slice_equal(found, expected);
}

/* Rounds 1 and 2 at the bottom, 3 in level 0, 4 in the log. */
static void set_up(void)
{
    struct fr_engine_options options = test_store_options();
    struct fr_sim_options machine = {.seed = 1};
    struct fr_engine *engine;

    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    options.log_segment_size = 512 << 10;
    options.memtable_size = 1 << 20;
    options.table_size = 16 << 10;
    must(fr_engine_open(env, "/store", &options, &engine));
    write_round(engine, 1);
    must(fr_engine_flush(engine));
    must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
    for (unsigned round = 2; round <= 3; round++) {
        write_round(engine, round);
        must(fr_engine_flush(engine));
    }
    must(fr_engine_wait_idle(engine));
    write_round(engine, 4);
    must(fr_engine_close(engine));
    must(fr_dir_open(env, "/store", 0, &dir));
}

static void tear_down(void)
{
    fr_dir_close(dir);
    fr_sim_close(sim);
}

TestSuite(repair, .init = set_up, .fini = tear_down, .timeout = 300);

/* --- Losses -----------------------------------------------------------------------------------
 */

static bool named[KEYS]; /* in a row or within a span */
static size_t span_count;
static bool others; /* a loss that names no keys */

static unsigned number_of(const void *key, size_t size, unsigned otherwise)
{
    char text[16] = "";
    unsigned i;

    if (key == NULL || size >= sizeof(text)) return otherwise;
    memcpy(text, key, size);
    return sscanf(text, "key%u", &i) == 1 ? i : otherwise;
}

static bool on_loss(void *ctx, const struct fr_loss *loss)
{
    (void)ctx;
    cr_assert_gt(strlen(loss->words), 0);
    if (loss->kind == FR_LOSS_KEYS) {
        unsigned first = number_of(loss->key, loss->key_size, 0);
        unsigned last = number_of(loss->end, loss->end_size, KEYS - 1);
        for (unsigned i = first; i <= last && i < KEYS; i++)
            named[i] = true;
        span_count++;
    } else if (loss->kind == FR_LOSS_VALUE || loss->kind == FR_LOSS_STALE) {
        named[number_of(loss->key, loss->key_size, 0)] = true;
    } else {
        others = true;
    }
    return true;
}

static struct fr_repair_options how = {.size = sizeof(how), .loss = on_loss};

static void repair_to(const char *to)
{
    memset(named, 0, sizeof(named));
    span_count = 0;
    others = false;
    stats = (struct fr_repair_stats){.size = sizeof(stats)};
    must(fr_repair_run(env, "/store", to, &how, &stats));
}

static void remove_made(void)
{
    struct fr_dir_names names;
    struct fr_dir *made, *root;

    must(fr_dir_open(env, "/made", 0, &made));
    must(fr_dir_list(made, &names));
    for (size_t i = 0; i < names.count; i++)
        must(fr_dir_unlink(made, names.names[i]));
    fr_dir_names_deinit(&names);
    fr_dir_close(made);
    must(fr_dir_open(env, "/", 0, &root));
    must(fr_dir_remove(root, "made"));
    fr_dir_close(root);
}

/* Compare with the model after so many rounds. Answers how many keys are not as they were, each of
 * which must be named. A value that is wrong ends the test. */
static unsigned compare(unsigned rounds)
{
    struct fr_engine *engine = test_store_open(env, "/made");
    struct fr_engine_value value;
    unsigned missing = 0, found = 0;
    char key[16];

    for (unsigned i = 0; i < KEYS; i++) {
        unsigned round = round_of(i, rounds);
        fr_status st = fr_engine_get(engine, key_of(i, key), FR_SEQ_MAX, &value);
        cr_assert(st == FR_OK || st == FR_NOT_FOUND, "%s", fr_last_error());
        if (st == FR_OK) {
            cr_assert(round != 0, "%s is back", key);
            cr_assert(is_value(i, round, value.bytes), "%s is %.30s, not of round %u", key,
                    (const char *)value.bytes.data, round);
            fr_engine_value_release(&value);
            found++;
        } else if (round != 0) {
            cr_assert(named[i], "%s is not there, and nobody says so", key);
            missing++;
        }
    }
    cr_assert_eq(stats.keys, found);
    must(fr_engine_close(engine));
    return missing;
}

static unsigned repair_and_compare(unsigned rounds)
{
    repair_to("/made");
    unsigned missing = compare(rounds);
    remove_made();
    return missing;
}

/* --- Damage -----------------------------------------------------------------------------------
 */

static void flip(const char *name, uint64_t offset)
{
    struct fr_file *file;
    uint8_t byte;

    must(fr_file_open(dir, name, FR_OPEN_WRITE, &file));
    must(fr_file_read_exact(file, offset, &byte, 1));
    byte ^= 0x20;
    must(fr_file_write(file, offset, &byte, 1, 0));
    fr_file_close(file);
}

Test(repair, of_a_store_that_is_whole_loses_nothing)
{
    repair_to(NULL);
    cr_assert_eq(stats.damaged_files, 0);
    cr_assert(span_count == 0 && stats.quarantined == 0 && !others);
    uint64_t keys = stats.keys;
    cr_assert_eq(repair_and_compare(ROUNDS), 0);
    cr_assert_eq(stats.keys, keys);
}

Test(repair, changes_nothing_unless_asked_and_never_the_damaged_store)
{
    struct fr_sim_image *before, *after;
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    cr_assert(test_store_next_file(dir, FR_FILE_TABLE, &number, name));
    flip(name, 200);
    must(fr_sim_image_take(sim, &before));
    repair_to(NULL);
    must(fr_sim_image_take(sim, &after));
    cr_assert_eq(fr_sim_image_hash(before), fr_sim_image_hash(after));
    fr_sim_image_free(after);
    repair_to("/made");
    remove_made();
    must(fr_sim_image_take(sim, &after));
    cr_assert_eq(fr_sim_image_hash(before), fr_sim_image_hash(after));
    fr_sim_image_free(before);
    fr_sim_image_free(after);
    must_be(FR_ERR_EXISTS, fr_repair_run(env, "/store", "/store", &how, &stats));
    must_be(FR_ERR_MISSING, fr_repair_run(env, "/nowhere", NULL, &how, &stats));
}

Test(repair, a_block_that_is_damaged_costs_what_was_in_it)
{
    char name[FR_FILE_NAME_SIZE];
    unsigned cases = 0, lost = 0;

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_TABLE, &number, name);)
        for (uint64_t at = 100; at < test_store_file_size(dir, name); at += 1999) {
            flip(name, at);
            unsigned missing = repair_and_compare(ROUNDS);
            cr_assert_lt(missing, KEYS * 2 / 3);
            lost += missing;
            cases++;
            flip(name, at);
        }
    cr_assert(cases >= 6 && lost > 0, "%u cases, %u lost", cases, lost);
}

Test(repair, a_table_without_its_footer_is_read_all_the_same)
{
    char name[FR_FILE_NAME_SIZE];

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_TABLE, &number, name);) {
        flip(name, test_store_file_size(dir, name) - 30);
        cr_assert_eq(repair_and_compare(ROUNDS), 0, "%s", name);
        cr_assert_eq(stats.damaged_files, 1);
        /* And with a block damaged besides, which is found out without an index. */
        flip(name, 100);
        (void)repair_and_compare(ROUNDS);
        flip(name, 100);
        flip(name, test_store_file_size(dir, name) - 30);
    }
}

Test(repair, a_table_that_is_missing_costs_what_may_have_been_in_it)
{
    char name[FR_FILE_NAME_SIZE];
    unsigned cases = 0;

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_TABLE, &number, name); cases++) {
        must(fr_dir_rename(dir, name, "aside"));
        (void)repair_and_compare(ROUNDS);
        cr_assert_geq(span_count, 1);
        must(fr_dir_rename(dir, "aside", name));
    }
    cr_assert_geq(cases, 2);
}

Test(repair, a_value_that_is_damaged_costs_its_row_and_no_other)
{
    char name[FR_FILE_NAME_SIZE];
    unsigned lost = 0;

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_VALUES, &number, name);)
        for (uint64_t at = 4096 + 50; at < test_store_file_size(dir, name); at += 3001) {
            flip(name, at);
            unsigned missing = repair_and_compare(ROUNDS);
            cr_assert_leq(missing, 1);
            cr_assert_eq(stats.quarantined, missing);
            lost += missing;
            flip(name, at);
        }
    cr_assert_gt(lost, 3, "%u", lost);
}

Test(repair, a_value_file_without_footer_and_header_is_read_all_the_same)
{
    char name[FR_FILE_NAME_SIZE];

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_VALUES, &number, name);) {
        flip(name, test_store_file_size(dir, name) - 30);
        flip(name, 3);
        cr_assert_eq(repair_and_compare(ROUNDS), 0, "%s", name);
        flip(name, 3);
        flip(name, test_store_file_size(dir, name) - 30);
    }
}

Test(repair, a_value_file_that_is_missing_costs_its_rows)
{
    char name[FR_FILE_NAME_SIZE];

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_VALUES, &number, name);) {
        must(fr_dir_rename(dir, name, "aside"));
        unsigned missing = repair_and_compare(ROUNDS);
        cr_assert_eq(stats.quarantined, missing);
        must(fr_dir_rename(dir, "aside", name));
    }
}

Test(repair, a_log_that_is_damaged_costs_the_last_writes_and_that_is_said)
{
    char name[FR_FILE_NAME_SIZE];

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_WAL, &number, name);)
        flip(name, 4096 + 600);
    cr_assert_eq(repair_and_compare(ROUNDS - 1), 0);
}

Test(repair, without_manifest_and_superblocks_all_tables_and_the_log_are_taken)
{
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    while (test_store_next_file(dir, FR_FILE_MANIFEST, &number, name))
        must(fr_dir_unlink(dir, name));
    cr_assert_eq(repair_and_compare(ROUNDS), 0);
    cr_assert(stats.history_lost && others);
    must(fr_dir_unlink(dir, "SUPER"));
    cr_assert_eq(repair_and_compare(ROUNDS), 0);
    number = 0;
    cr_assert(test_store_next_file(dir, FR_FILE_TABLE, &number, name));
    flip(name, test_store_file_size(dir, name) - 30);
    cr_assert_eq(repair_and_compare(ROUNDS), 0);
    flip(name, 100);
    (void)repair_and_compare(ROUNDS);
}

/* All tables and value files, as they are now. */
static struct {
    char name[FR_FILE_NAME_SIZE];
    struct fr_buf bytes;
} set_aside[64];
static size_t set_aside_count;

static void copy_aside(enum fr_file_kind kind)
{
    char name[FR_FILE_NAME_SIZE];
    struct fr_file *file;

    for (uint64_t number = 0; test_store_next_file(dir, kind, &number, name); set_aside_count++) {
        size_t size = (size_t)test_store_file_size(dir, name);
        snprintf(set_aside[set_aside_count].name, sizeof(name), "%s", name);
        uint8_t *to = fr_buf_extend(&set_aside[set_aside_count].bytes, size);
        must(fr_file_open(dir, name, 0, &file));
        must(fr_file_read_exact(file, 0, to, size));
        fr_file_close(file);
    }
}

static size_t put_back(void)
{
    struct fr_file_info info;
    struct fr_file *file;
    size_t count = 0;

    for (size_t i = 0; i < set_aside_count; i++) {
        if (fr_dir_stat(dir, set_aside[i].name, &info) == FR_NOT_FOUND) {
            must(fr_file_open(dir, set_aside[i].name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
            must(fr_file_write(file, 0, set_aside[i].bytes.data, set_aside[i].bytes.size, 0));
            fr_file_close(file);
            count++;
        }
        fr_buf_deinit(&set_aside[i].bytes);
    }
    return count;
}

Test(repair, a_store_that_somebody_writes_to_is_refused)
{
    struct fr_engine *engine = test_store_open(env, "/store");

    stats = (struct fr_repair_stats){.size = sizeof(stats)};
    must_be(FR_ERR_BUSY, fr_repair_run(env, "/store", NULL, &how, &stats));
    must_say("held by ");
    must_be(FR_ERR_BUSY, fr_repair_run(env, "/store", "/made", &how, &stats));
    must(fr_engine_close(engine));
    must(fr_repair_run(env, "/store", NULL, &how, &stats));
}

Test(repair, files_of_before_a_compaction_do_no_harm_if_all_are_there)
{
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    struct fr_engine *engine = test_store_open(env, "/store");
    must(fr_engine_flush(engine));
    must(fr_engine_wait_idle(engine));
    copy_aside(FR_FILE_TABLE); /* with the deletes that compaction will throw away */
    copy_aside(FR_FILE_VALUES);
    must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
    must(fr_engine_close(engine));
    cr_assert_geq(put_back(), 3);
    cr_assert_eq(repair_and_compare(ROUNDS), 0); /* the manifest knows that they are none of it */
    while (test_store_next_file(dir, FR_FILE_MANIFEST, &number, name))
        must(fr_dir_unlink(dir, name));
    cr_assert_eq(repair_and_compare(ROUNDS), 0);
}

Test(repair, rows_that_may_be_stale_are_kept_if_that_is_wanted)
{
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0, last = 0;

    while (test_store_next_file(dir, FR_FILE_TABLE, &number, name))
        last = number;
    fr_file_name_format(FR_FILE_TABLE, last, name);
    must(fr_dir_unlink(dir, name)); /* the newest: all below it may be stale */
    repair_to("/made");
    uint64_t certain = stats.keys, quarantined = stats.quarantined;
    cr_assert_gt(quarantined, 0);
    remove_made();
    how.keep_stale = true;
    repair_to("/made");
    cr_assert_eq(stats.keys, certain + quarantined);
    cr_assert_eq(stats.stale_kept, quarantined);
    cr_assert_eq(stats.quarantined, 0);
}

/* --- Failures ---------------------------------------------------------------------------------
 */

/* Where the log was cut: the last round is in it as one batch, or it is not. */
static unsigned rounds_made(void)
{
    struct fr_engine *engine = test_store_open(env, "/made");
    struct fr_engine_value value;
    bool last = false;
    char key[16];

    if (fr_engine_get(engine, key_of(0, key), FR_SEQ_MAX, &value) == FR_OK) {
        last = is_value(0, ROUNDS, value.bytes);
        fr_engine_value_release(&value);
    }
    must(fr_engine_close(engine));
    return last ? ROUNDS : ROUNDS - 1;
}

Test(repair, an_operation_that_fails_leaves_a_store_without_wrong_values_or_none)
{
    struct fr_sim *calm = sim;
    struct fr_env *calm_env = env;
    struct fr_sim_image *image;
    struct fr_file_info info;
    struct fr_dir *root;
    unsigned failed = 0, tries = 0;
    bool hit = true;

    must(fr_sim_image_take(sim, &image));
    for (uint64_t nth = 1; hit; nth += 7, tries++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK_ALL, .nth = nth};
        must(fr_sim_image_boot(image, 1, &sim));
        env = fr_sim_env(sim);
        must(fr_sim_fault_add(sim, &fault));
        memset(named, 0, sizeof(named));
        stats = (struct fr_repair_stats){.size = sizeof(stats)};
        fr_status st = fr_repair_run(env, "/store", "/made", &how, &stats);
        hit = fr_sim_fault_hits(sim) > 0;
        fr_sim_fault_clear(sim);
        failed += st < 0;
        must(fr_dir_open(env, "/", 0, &root));
        fr_status there = fr_dir_stat(root, "made", &info);
        fr_dir_close(root);
        cr_assert(there == FR_OK || st < 0);
        if (there == FR_OK) (void)compare(stats.log_cut ? rounds_made() : ROUNDS);
        fr_sim_close(sim);
    }
    sim = calm;
    env = calm_env;
    fr_sim_image_free(image);
    cr_assert(failed >= 10 && tries >= 20, "%u of %u", failed, tries);
}

static uint64_t done_before, calls_left;

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    cr_assert(done_before < done && done <= total);
    done_before = done;
    return --calls_left > 0;
}

Test(repair, tells_how_far_it_is)
{
    how.progress = on_progress;
    calls_left = UINT64_MAX;
    repair_to("/made");
    remove_made();
    cr_assert_leq(calls_left, UINT64_MAX - 4);
}

Test(repair, ends_when_who_is_told_of_progress_has_had_enough)
{
    how.progress = on_progress;
    done_before = 0;
    for (uint64_t calls = 1; calls <= 4; calls++, done_before = 0) {
        calls_left = calls;
        stats = (struct fr_repair_stats){.size = sizeof(stats)};
        must_be(FR_ERR_CANCELLED, fr_repair_run(env, "/store", "/made", &how, &stats));
    }
    calls_left = UINT64_MAX;
    repair_to("/made");
    remove_made();
}
