/*
 * index_check_test.c - the check of an index finds what is wrong with it, and says the same of it
 * whether one thread looks or several.
 *
 * The store is spoilt behind the back of an index that is open, so that memory is what was.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/rng.h"
#include "lsm/known.h"
#include "lsm/value_file.h"
#include "lsm/version.h"
#include "spfresh/index_priv.h"
#include "spfresh/row_digest.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/spfresh/put_key.h"

#define DIM   8
#define COUNT 4500 /* rows: a few pieces */
#define STEP  100

static struct {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_rng rng;
    char words[FR_ERROR_TEXT_MAX];
} t;

static void set_up(void)
{
    struct fr_spfresh_setup setup = {.create = true,
            .manual = true,
            .dimension = DIM,
            .seed = 7,
            .split_limit = 16,
            .chunk_bits = 6};
    struct fr_engine_options options = fr_engine_options_default();
    options.value_threshold = DIM * sizeof(float); /* so rows lie in value files */
    float vectors[STEP][DIM];
    uint64_t ids[STEP], left;

    t.world = test_world_open();
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &options, &t.engine));
    must(fr_spfresh_open(t.engine, "", &setup, &t.index));
    fr_rng_init(&t.rng, 1);
    for (uint64_t id = 0; id < COUNT; id += STEP) {
        for (size_t i = 0; i < STEP; i++) {
            ids[i] = id + i;
            for (size_t k = 0; k < DIM; k++)
                vectors[i][k] = (float)fr_rng_double(&t.rng);
        }
        must(fr_spfresh_upsert(t.index, FR_DURABLE_NONE, STEP, ids, vectors[0], NULL));
    }
    must(fr_spfresh_maintain(t.index, 0, &left));
    cr_assert_geq(fr_spfresh_tree(t.index)->tiers[1].slot_count, 256, "%u",
            fr_spfresh_tree(t.index)->tiers[1].slot_count); /* postings: a few pieces */
}

static void tear_down(void)
{
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
    test_world_close(&t.world);
}

TestSuite(index_check, .init = set_up, .fini = tear_down, .timeout = 240);

static struct fr_engine_value read_key(struct fr_index_key key)
{
    struct fr_engine_value value;

    must(fr_engine_get(t.engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value));
    return value;
}

/* What one thread says of it, several say, whenever they are asked. */
static const char *said(void)
{
    fr_status st = fr_spfresh_check_by(t.index, 1);

    snprintf(t.words, sizeof(t.words), "%s", st < 0 ? fr_last_error() : "");
    for (size_t threads = 2; threads <= 5; threads++) {
        cr_assert_eq(fr_spfresh_check_by(t.index, threads), st);
        if (st < 0) cr_assert_str_eq(fr_last_error(), t.words);
    }
    return t.words;
}

#define SAID(text) cr_assert(strstr(said(), text) != NULL, "%s", t.words)

/* Another vector where this one was. */
static void spoil_row(uint64_t id)
{
    struct fr_buf value = FR_BUF_EMPTY;
    float vector[DIM] = {9, 9};

    fr_stored_put_vector(&value, vector, DIM, NULL, NULL, 0);
    must(fr_buf_status(&value));
    put_key(t.engine, fr_key_vector(&t.index->prefix, id), value.data, value.size);
    fr_buf_deinit(&value);
}

static uint32_t nth_posting(size_t n)
{
    const struct fr_rows *rows = &fr_spfresh_tree(t.index)->tiers[1];
    uint32_t number = 0;

    for (; !fr_row_is_live(fr_rows_row(rows, number)) || n-- > 0; number++)
        continue;
    return number;
}

static struct fr_index_key posting_key(uint32_t number)
{
    return fr_key_posting(&t.index->prefix, t.index->generation, number);
}

static struct fr_index_key centroid_key(uint32_t number)
{
    return fr_key_centroid(&t.index->prefix, t.index->generation, 1, number);
}

/* A posting with a record more; or what is in it with the first one gone. */
static void change_posting(uint32_t number, uint64_t comes)
{
    struct fr_engine_value before = read_key(posting_key(number));
    struct fr_bytes in = fr_bytes_of(before.bytes);
    size_t dims = fr_spfresh_tree(t.index)->space->dims;
    struct fr_buf value = FR_BUF_EMPTY;
    struct fr_stored_record record;

    cr_assert_eq(fr_stored_read_record(&in, dims, number, &record), FR_OK);
    cr_assert(record.came);
    fr_buf_append(&value, before.bytes.data, before.bytes.size);
    if (comes != FR_NUMBER_NONE)
        fr_stored_put_came(&value, dims, number, comes, record.scale, record.high, record.low);
    else
        fr_stored_put_left(&value, record.id);
    must(fr_buf_status(&value));
    fr_engine_value_release(&before);
    put_key(t.engine, posting_key(number), value.data, value.size);
    fr_buf_deinit(&value);
}

Test(index_check, finds_nothing_where_all_is_well_and_counts_all_of_it)
{
    cr_assert_str_eq(said(), "");
    must(fr_spfresh_check(t.index));
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("index: several walks check"), 0);
#endif
}

Test(index_check, finds_a_code_that_is_another_vectors_wherever_it_stands)
{
    spoil_row(COUNT - 1);
    SAID("vector 4499 has the code of another one");
    spoil_row(2600);
    SAID("vector 2600 has the code of another one");
    spoil_row(0);
    SAID("vector 0 has the code of another one");
}

Test(index_check, finds_rows_that_are_too_many_or_too_few_or_cannot_be_read)
{
    put_key(t.engine, fr_key_vector(&t.index->prefix, 3000), NULL, 0);
    SAID("4499 rows, 4500 ids, 4500 vectors in the tree");
    spoil_row(3000000);
    SAID("vector 3000000 is a row and not in the index");
    put_key(t.engine, fr_key_vector(&t.index->prefix, 40), "xy", 2);
    said();
    cr_assert(strstr(t.words, "3000000") == NULL && t.words[0] != '\0');
}

Test(index_check, finds_what_postings_lack_or_have_too_much)
{
    uint32_t first = nth_posting(0), later = nth_posting(40);
    char words[64];

    change_posting(later, FR_NUMBER_NONE);
    snprintf(words, sizeof(words), "posting %u is stored without ", later);
    SAID(words);
    change_posting(first, 5000000);
    snprintf(words, sizeof(words), "posting %u is stored with 1 too many", first);
    SAID(words);
    put_key(t.engine, centroid_key(later), "", 0);
    said();
    cr_assert(strstr(t.words, "posting") == NULL && t.words[0] != '\0');
}

Test(index_check, finds_centroids_and_postings_that_are_not_stored_or_of_nobody)
{
    uint32_t last = fr_spfresh_tree(t.index)->tiers[1].slot_count;

    put_key(t.engine, centroid_key(nth_posting(7)), NULL, 0);
    SAID("centroids are stored of");
    change_posting(nth_posting(7), COUNT); /* so it is the posting that is told of */
    SAID("is stored with 1 too many");
    struct fr_engine_value value = read_key(centroid_key(nth_posting(3)));
    put_key(t.engine, centroid_key(last + 5), value.bytes.data, value.bytes.size);
    fr_engine_value_release(&value);
    SAID("is stored, but not in memory");
}

Test(index_check, what_is_wrong_first_is_told_before_what_follows_it)
{
    change_posting(nth_posting(0), 5000000);
    SAID("is stored with 1 too many");
    for (uint64_t id = 0; id < COUNT; id += 500)
        spoil_row(id);
    SAID("vector 0 has the code of another one");
}

Test(index_check, without_memory_it_fails_and_can_be_repeated)
{
    bool hit = true;

    for (uint64_t n = 1; hit; n += 1 + n / 3) {
        fr_alloc_fail_at(n, n % 2 == 0);
        fr_status st = fr_spfresh_check_by(t.index, 4);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || (hit && st == FR_ERR_NOMEM), "%s", fr_last_error());
    }
    must(fr_spfresh_check(t.index));
}

/* ---- With what is known of values ---- */

struct walk {
    struct fr_row_digester *digester;
    struct fr_known_value *values;
    uint64_t *digests;
    size_t count;
};

static bool on_record(void *ctx, const struct fr_value_item *record)
{
    struct walk *w = ctx;

    w->digests[w->count] = fr_row_digest(w->digester, record->key, record->value);
    w->values[w->count++] = (struct fr_known_value){.offset = record->place.offset,
            .print = fr_known_print(record->key, record->seq, record->place.size)};
    return true;
}

static void know_file(struct fr_known *known, const struct fr_row_digests *digests,
        struct fr_value_file *file)
{
    const struct fr_value_meta *meta = fr_value_file_meta(file);
    struct walk walk = {.values = fr_alloc(meta->count * sizeof(*walk.values)),
            .digests = fr_alloc(meta->count * sizeof(*walk.digests))};
    struct fr_value_check check = {.record = on_record, .ctx = &walk};

    must(fr_row_digester_new(digests, &walk.digester));
    must(fr_value_check(file, &check));
    fr_row_digester_free(walk.digester);
    fr_known_keep(known, meta->id.number, walk.values, walk.digests, walk.count);
}

/* As a walk over all files would have it. */
static void know_all(struct fr_known *known)
{
    struct fr_row_digests *digests;

    must(fr_engine_flush(t.engine));
    must(fr_row_digests_open(t.engine, &digests));
    fr_known_init(known, 1 << 24);
    struct fr_version *version = fr_engine_version(t.engine);
    for (size_t i = 0; i < version->values_count; i++)
        know_file(known, digests, version->values[i]->file);
    fr_version_unref(version);
    fr_row_digests_close(digests);
}

/* The same is said with and without. */
static const char *said_with(const struct fr_known *known, struct fr_index_checked *ret_checked)
{
    fr_status st;

    said();
    fr_cover_clear();
    st = fr_spfresh_check_with(t.index, known, ret_checked);
    cr_assert_str_eq(st < 0 ? fr_last_error() : "", t.words);
    return t.words;
}

static uint64_t rows_read_again(void)
{
    return fr_cover_count("index: a row is read for its digest is another one");
}

Test(index_check, rows_that_are_known_are_not_read_and_all_keys_are_counted)
{
    struct fr_index_checked checked, again;
    struct fr_known known, nothing = {0};

    know_all(&known);
    cr_assert_str_eq(said_with(&known, &checked), "");
    cr_assert_eq(rows_read_again(), 0);
    cr_assert_str_eq(said_with(&nothing, &again), "");
    cr_assert_eq(checked.range_count, 3); /* rows, centroids, postings */
    cr_assert_geq(checked.keys, COUNT);
    cr_assert(checked.keys == again.keys && checked.key_bytes == again.key_bytes &&
              checked.value_bytes == again.value_bytes);
    fr_known_deinit(&known);
}

Test(index_check, a_row_that_is_known_and_has_another_code_is_found)
{
    struct fr_index_checked checked;
    struct fr_known known;

    spoil_row(2600);
    spoil_row(COUNT - 1);
    know_all(&known);
    cr_assert_not_null(strstr(said_with(&known, &checked), "vector 2600 has the code of another"));
    cr_assert_eq(checked.range_count, 0);
#ifndef NDEBUG
    cr_assert_gt(rows_read_again(), 0);
#endif
    spoil_row(40); /* since then: in memory, so it is not known */
    cr_assert_not_null(strstr(said_with(&known, &checked), "vector 40 has the code of another"));
    must(fr_engine_flush(t.engine)); /* and in a file that nobody has looked at */
    cr_assert_not_null(strstr(said_with(&known, &checked), "vector 40 has the code of another"));
    put_key(t.engine, fr_key_vector(&t.index->prefix, 20), "xy", 2);
    said_with(&known, &checked);
    cr_assert_not_null(strstr(t.words, "the row of a vector is cut short"), "%s", t.words);
    fr_known_deinit(&known);
}

Test(index_check, rows_that_are_known_and_too_many_are_found)
{
    struct fr_known known;

    spoil_row(3000000);
    know_all(&known);
    cr_assert_not_null(strstr(said_with(&known, NULL), "vector 3000000 is a row and not in the"));
    put_key(t.engine, fr_key_vector(&t.index->prefix, 3000000), NULL, 0);
    put_key(t.engine, fr_key_vector(&t.index->prefix, 7), NULL, 0);
    cr_assert_not_null(strstr(said_with(&known, NULL), "4499 rows, 4500 ids, 4500 vectors"));
    fr_known_deinit(&known);
}

Test(index_check, codes_that_are_cold_are_compared_with_digests_as_well)
{
    struct fr_tree *tree = fr_spfresh_tree(t.index);
    struct fr_file *file;
    struct fr_known known;
    size_t bytes;

    know_all(&known);
    must(fr_engine_scratch(t.engine, &file));
    fr_tree_set_file(tree, file);
    while (fr_tree_cool(tree, &bytes) == FR_OK)
        continue;
    cr_assert(fr_rows_any_cold(&tree->tiers[0]));
    cr_assert_str_eq(said_with(&known, NULL), "");
    cr_assert_eq(rows_read_again(), 0);
    spoil_row(100);
    cr_assert_not_null(strstr(said_with(&known, NULL), "vector 100 has the code of another one"));
    fr_known_deinit(&known);
}

Test(index_check, without_memory_it_fails_also_with_what_is_known)
{
    struct fr_known known;
    bool hit = true;

    know_all(&known);
    for (uint64_t n = 1; hit; n += 1 + n / 3) {
        fr_alloc_fail_at(n, n % 2 == 0);
        fr_status st = fr_spfresh_check_with(t.index, &known, NULL);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || (hit && st == FR_ERR_NOMEM), "%s", fr_last_error());
    }
    must(fr_spfresh_check_with(t.index, &known, NULL));
    fr_known_deinit(&known);
}
