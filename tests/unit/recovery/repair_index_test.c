/*
 * repair_index_test.c - a store with an index, damaged where all of a table or of the index hangs
 * on a few bytes: the footer, the table's index, the index's options. Verification names the table,
 * opening refuses it, and a repair brings back every vector whose bytes are there.
 */
#include "base/rng.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/table.h"
#include "lsm/table_parts.h"
#include "lsm/version.h"
#include "recovery/repair.h"
#include "recovery/verify.h"
#include "spfresh/index.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/recovery/test_store.h"

#define DIM 20
#define IDS 900

static struct fr_sim *sim;
static struct fr_env *env;
static struct fr_dir *dir; /* of the damaged store */
static struct fr_repair_stats stats;
static float vectors[IDS][DIM];
static struct fr_spfresh_setup setup = {.manual = true};

static struct fr_engine *open_engine(const char *path)
{
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_engine *engine;

    options.memtable_size = 512 << 10;
    options.table_size = 40 << 10;
    options.block_size = 4096;
    options.compress = false;
    options.value_threshold = 0;
    must(fr_engine_open(env, path, &options, &engine));
    return engine;
}

/* Several tables on the lowest level, and nothing else. */
static void set_up(void)
{
    struct fr_spfresh_setup made = {
            .create = true, .manual = true, .dimension = DIM, .metric = FR_METRIC_COSINE};
    struct fr_sim_options machine = {.seed = 1};
    struct fr_spfresh *index;
    struct fr_engine *engine;
    struct fr_rng rng;
    uint64_t left;

    must(fr_sim_open(&machine, &sim));
    env = fr_sim_env(sim);
    fr_rng_init(&rng, 1);
    engine = open_engine("/store");
    must(fr_spfresh_open(engine, "", &made, &index));
    for (uint64_t id = 0; id < IDS; id++) {
        for (size_t i = 0; i < DIM; i++)
            vectors[id][i] = (float)fr_rng_double(&rng) - 0.3F;
        must(fr_spfresh_upsert(index, FR_DURABLE_NONE, 1, &id, vectors[id], NULL));
    }
    must(fr_spfresh_maintain(index, 0, &left));
    fr_spfresh_close(index);
    must(fr_engine_compact_range(engine, fr_slice_of("", 0), fr_slice_of("", 0)));
    must(fr_engine_close(engine));
    must(fr_dir_open(env, "/store", 0, &dir));
}

static void tear_down(void)
{
    fr_dir_close(dir);
    fr_sim_close(sim);
}

TestSuite(repair_index, .init = set_up, .fini = tear_down, .timeout = 300);

/* ---- What is told ---- */

static bool named[IDS]; /* within a span that may be lost */
static size_t options_lost, values_lost;

static bool on_loss(void *ctx, const struct fr_loss *loss)
{
    struct fr_index_key prefix, key;

    (void)ctx;
    cr_assert_gt(strlen(loss->words), 0);
    options_lost += loss->kind == FR_LOSS_OPTIONS;
    values_lost += loss->kind == FR_LOSS_VALUE;
    if (loss->kind != FR_LOSS_KEYS) return true;
    fr_key_prefix("", &prefix);
    fr_slice low = fr_slice_of(loss->key, loss->key_size);
    fr_slice high = fr_slice_of(loss->end, loss->end_size);
    for (uint64_t id = 0; id < IDS; id++) {
        key = fr_key_vector(&prefix, id);
        named[id] |= fr_slice_compare(fr_index_key_slice(&key), low) >= 0 &&
                     (loss->end == NULL || fr_slice_compare(fr_index_key_slice(&key), high) <= 0);
    }
    return true;
}

static void repair(void)
{
    const struct fr_repair_options how = {.size = sizeof(how), .loss = on_loss};

    memset(named, 0, sizeof(named));
    options_lost = values_lost = 0;
    stats = (struct fr_repair_stats){.size = sizeof(stats)};
    must(fr_repair_run(env, "/store", "/made", &how, &stats));
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

/* Every vector is as it was, or named. Answers how many are not there. */
static size_t compare(struct fr_spfresh *index)
{
    struct fr_engine_value value;
    float vector[DIM];
    fr_slice payload;
    size_t missing = 0;

    for (uint64_t id = 0; id < IDS; id++) {
        fr_status st = fr_spfresh_get(index, id, vector, &value, &payload);

        cr_assert(st == FR_OK || (st == FR_NOT_FOUND && named[id]), "vector %d: %s", (int)id,
                fr_status_name(st));
        missing += st == FR_NOT_FOUND;
        if (st != FR_OK) continue;
        for (size_t i = 0; i < DIM; i++)
            cr_assert_eq(vector[i], vectors[id][i]);
        fr_engine_value_release(&value);
    }
    return missing;
}

/* Of what was made: opened as the setup says, with all that is derived. */
static size_t open_and_compare(void)
{
    struct fr_engine *engine = open_engine("/made");
    struct fr_spfresh *index;

    must(fr_spfresh_open(engine, "", &setup, &index));
    size_t missing = compare(index);
    must(fr_spfresh_check(index));
    fr_spfresh_close(index);
    must(fr_engine_close(engine));
    return missing;
}

static size_t repair_and_compare(void)
{
    repair();
    size_t missing = open_and_compare();
    remove_made();
    return missing;
}

/* ---- Damage ---- */

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

static uint64_t end_of_data(const char *name)
{
    uint8_t bytes[FR_TABLE_FOOTER_SIZE];
    struct fr_table_footer footer;
    struct fr_file *file;
    uint64_t size = test_store_file_size(dir, name);

    must(fr_file_open(dir, name, 0, &file));
    must(fr_file_read_exact(file, size - sizeof(bytes), bytes, sizeof(bytes)));
    must(fr_table_footer_decode(bytes, name, size, &footer));
    fr_file_close(file);
    return footer.data_end;
}

static bool was_named;

static bool on_finding(void *ctx, const struct fr_finding *finding)
{
    was_named |= strcmp(finding->file, ctx) == 0;
    return true;
}

static bool verify_names(const char *name)
{
    struct fr_verify_stats found = {.size = sizeof(found)};
    const struct fr_verify_options how = {.size = sizeof(how),
            .depth = FR_VERIFY_ENGINE,
            .finding = on_finding,
            .ctx = fr_unconst(name)};

    was_named = false;
    must(fr_verify_path(env, "/store", &how, NULL, &found));
    return was_named && found.findings > 0;
}

/* A table that does not open: nothing in it is lost as long as its blocks are whole. */
Test(repair_index, a_table_that_does_not_open_is_named_and_read_all_the_same)
{
    struct fr_engine_options options = fr_engine_options_default();
    char name[FR_FILE_NAME_SIZE];
    struct fr_engine *engine;
    unsigned tables = 0, refused = 0;

    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_TABLE, &number, name); tables++) {
        uint64_t data_end = end_of_data(name), size = test_store_file_size(dir, name);
        for (uint64_t at = data_end; at < size; at += (size - data_end) / 9 + 1) {
            flip(name, at);
            cr_assert(verify_names(name), "%s, %d", name, (int)at);
            fr_status st = fr_engine_open(env, "/store", &options, &engine);
            if (st == FR_OK) must(fr_engine_close(engine));
            if (st < 0) cr_assert_not_null(strstr(fr_last_error(), name), "%s", fr_last_error());
            refused += st < 0;
            cr_assert_eq(repair_and_compare(), 0, "%s, %d", name, (int)at);
            flip(name, at);
        }
    }
    cr_assert(tables >= 3 && refused >= tables, "%u tables, %u refused", tables, refused);
}

/* And one with damaged blocks besides costs what was in these. */
Test(repair_index, a_table_that_does_not_open_and_has_damaged_blocks_costs_these)
{
    char name[FR_FILE_NAME_SIZE];
    size_t cases = 0, most = 0, all = 0;

    setup.metric = FR_METRIC_COSINE; /* its options may be in one of them */
    for (uint64_t number = 0; test_store_next_file(dir, FR_FILE_TABLE, &number, name);) {
        uint64_t data_end = end_of_data(name), size = test_store_file_size(dir, name);
        flip(name, size - 30);
        for (uint64_t at = 4200; at < data_end; at += 9001, cases++) {
            flip(name, at);
            cr_assert(verify_names(name));
            size_t missing = repair_and_compare();
            all += missing;
            most = FR_MAX(most, missing);
            flip(name, at);
        }
        flip(name, size - 30);
    }
    cr_assert(cases >= 6 && all > 0, "%zu cases, %zu lost", cases, all);
    cr_assert_lt(most, 100, "%zu lost for a block", most); /* a hundred bytes each, and 4096 */
}

/* ---- The options of an index ---- */

static struct fr_index_key options_key(void)
{
    struct fr_index_key prefix;

    fr_key_prefix("", &prefix);
    return fr_key_options(&prefix);
}

/* In the middle of the block that has them. */
static void flip_options(void)
{
    struct fr_index_key key = options_key();
    struct fr_engine *engine = open_engine("/store");
    struct fr_version *version = fr_engine_version(engine);
    char name[FR_FILE_NAME_SIZE] = "";
    struct fr_table_spot spot;

    for (unsigned l = 0; l < FR_LEVEL_COUNT; l++)
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct fr_version_table *table = version->levels[l].tables[i];
            if (fr_slice_compare(fr_index_key_slice(&key), table->meta.smallest) < 0 ||
                    fr_slice_compare(fr_index_key_slice(&key), table->meta.largest) > 0)
                continue;
            must(fr_table_locate(table->table, fr_index_key_slice(&key), FR_SEQ_MAX, &spot));
            fr_file_name_format(FR_FILE_TABLE, table->meta.number, name);
        }
    fr_version_unref(version);
    must(fr_engine_close(engine));
    cr_assert_neq(name[0], '\0');
    flip(name, spot.handle.offset + spot.handle.size / 2);
}

static void lose_options_of_made(void)
{
    struct fr_engine *engine;
    struct fr_spfresh *index;

    repair();
    cr_assert_eq(options_lost, 1);
    cr_assert_gt(stats.derived_dropped, 0);
    engine = open_engine("/made");
    setup.metric = 0;
    must_be(FR_ERR_CORRUPT, fr_spfresh_open(engine, "", &setup, &index));
    cr_assert_not_null(strstr(fr_last_error(), "open it with its metric"), "%s", fr_last_error());
    must(fr_engine_close(engine));
    setup.metric = FR_METRIC_COSINE;
    cr_assert_eq(open_and_compare(), 0);
    setup.metric = 0;
    cr_assert_eq(open_and_compare(), 0); /* they are there again */
}

Test(repair_index, options_in_a_damaged_block_are_told_and_cost_no_vector)
{
    flip_options();
    lose_options_of_made();
    cr_assert_eq(values_lost, 0);
}

Test(repair_index, options_that_make_no_sense_are_put_aside_and_cost_no_vector)
{
    struct fr_index_key key = options_key();
    struct fr_engine *engine = open_engine("/store");
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    must(fr_batch_add_put(&batch, fr_index_key_slice(&key), fr_slice_of_text("junk")));
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(engine, bytes, batch.count, FR_DURABLE_DEVICE));
    fr_batch_deinit(&batch);
    must(fr_engine_close(engine));
    lose_options_of_made();
    cr_assert_eq(values_lost, 1);
    cr_assert_eq(stats.quarantined, 1);
}
