/*
 * verify_test.c - what is damaged, missing or in the wrong place is found and named, and nothing
 * else is. On the simulated machine.
 */
#include "io/sim.h"
#include "lsm/new_store.h"
#include "lsm/rate_limit.h"
#include "lsm/version.h"
#include "recovery/verify.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/recovery/test_store.h"
#include "wal/file_name.h"

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_dir *dir; /* of the store, which is closed but in some tests */
static struct fr_verify_stats stats;

/* What was told last. */
static struct told {
    fr_finding_kind kind;
    char file[64];
    uint64_t offset;
    char words[512];
} told[200];
static size_t told_count;

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    (void)ctx;
    if (told_count == sizeof(told) / sizeof(told[0])) return true;
    struct told *t = &told[told_count++];
    t->kind = finding->kind;
    t->offset = finding->offset;
    snprintf(t->file, sizeof(t->file), "%s", finding->file);
    snprintf(t->words, sizeof(t->words), "%s", finding->words);
    return true;
}

static struct fr_verify_options how = {
        .size = sizeof(how), .depth = FR_VERIFY_ENGINE, .finding = on_finding};

static void verify_at(const char *path)
{
    told_count = 0;
    stats = (struct fr_verify_stats){.size = sizeof(stats)};
    must(fr_verify_path(env, path, &how, NULL, &stats));
}

static void verify(void)
{
    verify_at("/store");
}

/* Tables in two levels, a value file for each, and a log that counts. */
static void set_up(void)
{
    struct fr_sim_options machine = {.seed = 1};

    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    struct fr_engine *engine = test_store_open(env, "/store");
    for (unsigned n = 1; n <= 3; n++)
        test_store_advance(engine, n);
    must(fr_engine_flush(engine));
    must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
    test_store_advance(engine, 4);
    must(fr_engine_flush(engine));
    must(fr_engine_wait_idle(engine));
    test_store_advance(engine, 5);
    must(fr_engine_close(engine));
    must(fr_dir_open(env, "/store", 0, &dir));
}

static void tear_down(void)
{
    fr_dir_close(dir);
    fr_sim_close(sim);
}

TestSuite(verify, .init = set_up, .fini = tear_down, .timeout = 300);

static void flip(const char *name, uint64_t offset, uint8_t bits)
{
    struct fr_file *file;
    uint8_t byte;

    must(fr_file_open(dir, name, FR_OPEN_WRITE, &file));
    must(fr_file_read_exact(file, offset, &byte, 1));
    byte ^= bits;
    must(fr_file_write(file, offset, &byte, 1, 0));
    fr_file_close(file);
}

static bool is_told(const char *file)
{
    for (size_t i = 0; i < told_count; i++)
        if (told[i].kind < FR_FINDING_ORPHAN && strcmp(told[i].file, file) == 0) return true;
    return false;
}

Test(verify, finds_nothing_in_a_store_that_is_whole_and_counts_all_of_it)
{
    verify();
    cr_assert_eq(told_count, 0, "%s", told[0].words);
    cr_assert_eq(stats.findings, 0);
    cr_assert_eq(stats.batches, 1);
    cr_assert(stats.entries > 100 && stats.values > 50 && stats.files >= 7);
    how.memory = 1; /* a walk for each value file */
    verify();
    cr_assert_eq(told_count, 0, "%s", told[0].words);
    how.threads = 1;
    verify();
    cr_assert_eq(told_count, 0, "%s", told[0].words);
}

/* Every byte of these files has a checksum, or is known. */
static void sweep(enum fr_file_kind kind, const char *only, uint64_t step)
{
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    while (only != NULL || test_store_next_file(dir, kind, &number, name)) {
        if (only != NULL) snprintf(name, sizeof(name), "%s", only);
        uint64_t size = test_store_file_size(dir, name);
        for (uint64_t at = 0; at < size; at += step) {
            uint8_t bits = (uint8_t)(1 << at % 8);
            flip(name, at, bits);
            verify();
            cr_assert(is_told(name), "byte %lu of %s", (unsigned long)at, name);
            cr_assert_gt(stats.findings, 0);
            flip(name, at, bits);
        }
        if (only != NULL) return;
    }
}

Test(verify, finds_every_byte_of_a_table)
{
    sweep(FR_FILE_TABLE, NULL, 5);
}

Test(verify, finds_every_byte_of_a_value_file)
{
    sweep(FR_FILE_VALUES, NULL, 13);
}

Test(verify, finds_every_byte_of_the_superblocks)
{
    sweep(FR_FILE_SUPER, "SUPER", 101);
}

Test(verify, finds_damage_in_manifest_and_log)
{
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    cr_assert(test_store_next_file(dir, FR_FILE_MANIFEST, &number, name));
    flip(name, 4096 + 60, 1);
    verify();
    cr_assert_gt(stats.findings, 0);
    flip(name, 4096 + 60, 1);
    number = 0;
    while (test_store_next_file(dir, FR_FILE_WAL, &number, name))
        flip(name, 4096 + 60, 1);
    verify();
    cr_assert_gt(stats.findings, 0);
}

Test(verify, names_every_file_that_is_missing)
{
    static const enum fr_file_kind kinds[] = {FR_FILE_TABLE, FR_FILE_VALUES, FR_FILE_WAL};
    char names[8][FR_FILE_NAME_SIZE];
    size_t count = 0;
    uint64_t number;

    for (size_t i = 0; i < 3; i++)
        for (number = 0; test_store_next_file(dir, kinds[i], &number, names[count]); count++)
            ;
    cr_assert_geq(count, 5);
    for (size_t i = 0; i < count; i++) {
        must(fr_dir_rename(dir, names[i], "aside"));
        verify();
        bool named = false;
        for (size_t k = 0; k < told_count; k++)
            named |= told[k].kind == FR_FINDING_MISSING && strstr(told[k].words, names[i]) != NULL;
        /* The log's first segment may be one that nothing was durable in. */
        cr_assert(named || strstr(names[i], ".wal") != NULL, "%s", names[i]);
        must(fr_dir_rename(dir, "aside", names[i]));
    }
}

Test(verify, tells_of_all_that_is_wrong_not_of_the_first_alone)
{
    char tables[2][FR_FILE_NAME_SIZE], values[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    for (size_t i = 0; i < 2; i++)
        cr_assert(test_store_next_file(dir, FR_FILE_TABLE, &number, tables[i]));
    number = 0;
    cr_assert(test_store_next_file(dir, FR_FILE_VALUES, &number, values));
    flip(tables[0], test_store_file_size(dir, tables[0]) - 20,
            1); /* of the footer, and of a block */
    flip(tables[1], 200, 1);
    for (uint64_t at = 4096 + 100; at < test_store_file_size(dir, values) - 200; at += 1000)
        flip(values, at, 1);
    flip("SUPER", 5000, 1);
    verify();
    cr_assert(is_told(tables[0]) && is_told(tables[1]) && is_told(values) && is_told("SUPER"));
    size_t of_values = 0, pointers = 0;
    for (size_t i = 0; i < told_count; i++)
        of_values += strcmp(told[i].file, values) == 0;
    cr_assert_geq(of_values, 3, "%zu", of_values);
    flip(tables[0], test_store_file_size(dir, tables[0]) - 20, 1);
    flip(tables[1], 200, 1);
    verify();
    for (size_t i = 0; i < told_count; i++)
        pointers += told[i].kind == FR_FINDING_POINTER;
    cr_assert_geq(pointers, 3, "%zu", pointers);
}

Test(verify, tells_the_same_in_the_same_order_by_however_many_threads)
{
    static const enum fr_file_kind kinds[] = {FR_FILE_TABLE, FR_FILE_VALUES};
    static struct told first[200];
    char name[FR_FILE_NAME_SIZE];
    size_t files = 0, count;
    uint64_t number;

    for (size_t i = 0; i < 2; i++)
        for (number = 0; test_store_next_file(dir, kinds[i], &number, name); files++)
            for (uint64_t at = 4096 + 100; at < test_store_file_size(dir, name) - 200; at += 3000)
                flip(name, at, 1);
    cr_assert_geq(files, 4);
    how.threads = 1;
    verify();
    count = told_count;
    memcpy(first, told, sizeof(first));
    cr_assert(count > files && count < 200, "%zu", count);
    for (how.threads = 2; how.threads <= 5; how.threads++) {
        memset(told, 0, sizeof(told));
        verify();
        cr_assert_eq(told_count, count);
        for (size_t i = 0; i < count; i++) {
            cr_assert_str_eq(told[i].words, first[i].words);
            cr_assert_str_eq(told[i].file, first[i].file);
            cr_assert_eq(told[i].offset, first[i].offset);
            cr_assert_eq(told[i].kind, first[i].kind);
        }
    }
}

Test(verify, looks_at_tables_by_themselves_if_nobody_says_which_there_are)
{
    char name[FR_FILE_NAME_SIZE], table[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    while (test_store_next_file(dir, FR_FILE_MANIFEST, &number, name))
        must(fr_dir_unlink(dir, name));
    must(fr_dir_unlink(dir, "SUPER"));
    number = 0;
    cr_assert(test_store_next_file(dir, FR_FILE_TABLE, &number, table));
    flip(table, 200, 1);
    verify();
    cr_assert(is_told("SUPER") && is_told(table));
    cr_assert_gt(stats.values, 50);
}

Test(verify, tells_of_orphans_and_strangers_and_does_not_count_them)
{
    struct fr_file *file;

    must(fr_file_open(dir, "777777.table", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    fr_file_close(file);
    must(fr_file_open(dir, "letter", FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    fr_file_close(file);
    verify();
    cr_assert_eq(stats.findings, 0);
    cr_assert_eq(told_count, 2);
    cr_assert_eq(told[0].kind, FR_FINDING_ORPHAN);
    cr_assert_str_eq(told[0].file, "777777.table");
    cr_assert_eq(told[1].kind, FR_FINDING_STRANGER);
    cr_assert_str_eq(told[1].file, "letter");
}

Test(verify, of_what_is_no_store_fails)
{
    struct fr_dir *empty;

    must_be(FR_ERR_MISSING, fr_verify_path(env, "/nowhere", &how, NULL, &stats));
    must(fr_dir_open(env, "/empty", FR_DIR_CREATE, &empty));
    fr_dir_close(empty);
    must_be(FR_ERR_MISSING, fr_verify_path(env, "/empty", &how, NULL, &stats));
}

/* --- Tables that are whole and stand in the wrong order ---------------------------------------
 */

static void copy_file(struct fr_dir *to_dir, const char *name)
{
    static uint8_t bytes[1 << 20];
    size_t size = (size_t)test_store_file_size(dir, name);
    struct fr_file *file;

    cr_assert_leq(size, sizeof(bytes));
    must(fr_file_open(dir, name, 0, &file));
    must(fr_file_read_exact(file, 0, bytes, size));
    fr_file_close(file);
    must(fr_file_open(to_dir, name, FR_OPEN_WRITE | FR_OPEN_CREATE, &file));
    must(fr_file_write(file, 0, bytes, size, 0));
    fr_file_close(file);
}

/* A store with the tables of another one, the oldest on top. */
static void turn_upside_down(void)
{
    struct fr_new_store made = {0};
    struct fr_engine_moment moment = {0};
    struct fr_engine *engine = test_store_open(env, "/store");
    struct fr_buf edit = FR_BUF_EMPTY;
    char name[FR_FILE_NAME_SIZE];
    unsigned level = 6;

    must(fr_engine_moment_take(engine, &moment));
    must(fr_new_store_begin(&made, env, "/turned"));
    fr_edit_put_reset(&edit);
    for (size_t i = 0; i < moment.version->values_count; i++) {
        fr_edit_put_add_values(&edit, &moment.version->values[i]->meta);
        fr_file_name_format(FR_FILE_VALUES, moment.version->values[i]->meta.number, name);
        copy_file(made.dir, name);
    }
    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++)
        for (size_t i = 0; i < moment.version->levels[l].count; i++) {
            const struct fr_edit_table *meta = &moment.version->levels[l].tables[i]->meta;
            fr_edit_put_add_table(&edit, level--, meta);
            fr_file_name_format(FR_FILE_TABLE, meta->number, name);
            copy_file(made.dir, name);
        }
    struct fr_new_store_content content = {.edit = fr_buf_slice(&edit),
            .last_seq = moment.last_seq,
            .next_number = moment.next_number};
    memcpy(content.store, moment.store, FR_STORE_ID_SIZE);
    must(fr_new_store_describe(&made, &content));
    must(fr_new_store_commit(&made));
    fr_new_store_end(&made);
    fr_buf_deinit(&edit);
    fr_engine_moment_release(&moment);
    must(fr_engine_close(engine));
}

Test(verify, an_older_entry_above_a_newer_one_is_found_by_who_looks_at_the_engine)
{
    turn_upside_down();
    how.depth = FR_VERIFY_FILES;
    verify_at("/turned");
    cr_assert_eq(told_count, 0, "%s", told[0].words);
    how.depth = FR_VERIFY_ENGINE;
    verify_at("/turned");
    cr_assert_gt(stats.findings, 0);
    cr_assert_eq(told[0].kind, FR_FINDING_DISAGREE);
}

/* --- A store that is open ---------------------------------------------------------------------
 */

Test(verify, of_an_open_store_finds_what_is_wrong_with_its_files)
{
    struct fr_engine *engine = test_store_open(env, "/store");
    char name[FR_FILE_NAME_SIZE];
    uint64_t number = 0;

    told_count = 0;
    stats = (struct fr_verify_stats){.size = sizeof(stats)};
    must(fr_verify_engine(engine, &how, NULL, &stats));
    cr_assert_eq(told_count, 0, "%s", told[0].words);
    cr_assert_gt(stats.files, 3);
    cr_assert(test_store_next_file(dir, FR_FILE_VALUES, &number, name));
    flip(name, 4096 + 100, 1);
    must(fr_verify_engine(engine, &how, NULL, &stats));
    cr_assert(is_told(name));
    flip(name, 4096 + 100, 1);
    must(fr_engine_close(engine));
}

static uint64_t findings_beside(struct fr_engine *engine)
{
    told_count = 0;
    stats = (struct fr_verify_stats){.size = sizeof(stats)};
    must(fr_verify_engine(engine, &how, NULL, &stats));
    return stats.findings;
}

/* Files that it writes on are looked at, too; those that are ahead of it have nothing in them. */
Test(verify, of_an_open_store_finds_damage_in_manifest_and_log)
{
    static const enum fr_file_kind kinds[] = {FR_FILE_MANIFEST, FR_FILE_WAL};
    struct fr_engine *engine = test_store_open(env, "/store");

    test_store_advance(engine, 6);
    must(fr_engine_sync(engine));
    for (size_t i = 0; i < FR_ARRAY_COUNT(kinds); i++) {
        char name[FR_FILE_NAME_SIZE] = "";
        uint64_t number = 0;
        size_t found = 0;

        while (test_store_next_file(dir, kinds[i], &number, name)) {
            flip(name, 4096 + 60, 1);
            found += findings_beside(engine) > 0;
            flip(name, 4096 + 60, 1);
            cr_assert_eq(findings_beside(engine), 0, "%s: %s", name, told[0].words);
        }
        cr_assert_gt(found, 0, "%s", name);
    }
    cr_assert_gt(stats.batches, 0);
    must(fr_engine_close(engine));
}

Test(verify, is_given_up_by_who_watches_it)
{
    struct fr_engine *engine = test_store_open(env, "/store");
    const _Atomic(bool) stop = true;
    struct fr_rate_limiter limiter;
    const struct fr_verify_watch watch = {.limiter = &limiter, .stop = &stop};

    fr_rate_limiter_init(&limiter, env, 0);
    stats = (struct fr_verify_stats){.size = sizeof(stats)};
    must_be(FR_ERR_CANCELLED, fr_verify_engine(engine, &how, &watch, &stats));
    fr_rate_limiter_deinit(&limiter);
    must(fr_engine_close(engine));
}

Test(verify, reads_no_faster_than_it_may)
{
    static const enum fr_file_kind kinds[] = {FR_FILE_TABLE, FR_FILE_VALUES};
    char name[FR_FILE_NAME_SIZE];
    uint64_t limited = 0;

    how.rate = 50000;
    uint64_t before = fr_env_now_us(env);
    verify();
    uint64_t took_us = fr_env_now_us(env) - before;
    for (size_t i = 0; i < 2; i++)
        for (uint64_t number = 0; test_store_next_file(dir, kinds[i], &number, name);)
            limited += test_store_file_size(dir, name);
    cr_assert_geq(took_us, limited * 1000000 / how.rate * 3 / 10, "%lu us for %lu bytes",
            (unsigned long)took_us, (unsigned long)limited);
}

static uint64_t done_before, calls_left;

static bool on_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    cr_assert(done_before <= done && done <= total);
    done_before = done;
    return --calls_left > 0;
}

Test(verify, tells_how_far_it_is)
{
    how.threads = 1;
    how.progress = on_progress;
    calls_left = UINT64_MAX;
    verify();
    cr_assert_leq(calls_left, UINT64_MAX - 4, "a call for each table and value file");
    cr_assert(done_before > 0 && done_before <= stats.bytes);
    cr_assert_eq(told_count, 0);
}

Test(verify, ends_when_who_is_told_of_progress_has_had_enough)
{
    how.progress = on_progress;
    done_before = 0;
    calls_left = 1;
    stats = (struct fr_verify_stats){.size = sizeof(stats)};
    must_be(FR_ERR_CANCELLED, fr_verify_path(env, "/store", &how, NULL, &stats));
    cr_assert_eq(calls_left, 0);
}
