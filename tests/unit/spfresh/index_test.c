/*
 * index_test.c - what an index is to its users: what was written is found, bit by bit, whatever
 * happens beside it.
 */
#include <errno.h>
#include <math.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/thread.h"
#include "io/sim.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/spfresh/index_bed.h"

Test(index, an_empty_one_finds_nothing_and_opens_again)
{
    bed_open(0);
    bed_check_all();
    bed_reopen();
    bed_check_all();
    bed_maintain();
    bed_close();
}

Test(index, what_came_and_left_is_found_and_not_found)
{
    bed_open(0);
    for (int round = 0; round < 60; round++) {
        bed_put(1 + fr_rng_below(&bed.rng, 64));
        if (round % 3 == 0) bed_delete(1 + fr_rng_below(&bed.rng, 64));
        if (round % 5 == 0) bed_maintain();
        if (round % 10 == 9) bed_check_all();
    }
    bed_maintain();
    bed_check_all();
    bed_check_found(true);
    bed_check_vectors();
    bed_close();
}

/* Its caller may be told what a weaker delete has done, and rely on it. */
Test(index, a_durable_delete_of_nothing_carries_weaker_writes_along)
{
    uint64_t ids[2] = {5, 6};
    float vectors[2][DIM] = {{1}, {2}};
    size_t deleted;
    fr_seq seq;

    bed_open(0);
    must(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, 1, ids, vectors[0], NULL));
    seq = fr_engine_last_seq(bed.engine);
    must(fr_spfresh_delete(bed.index, FR_DURABLE_NONE, 1, &ids[1], &deleted));
    cr_assert_eq(fr_engine_last_seq(bed.engine), seq);
    must(fr_spfresh_delete(bed.index, FR_DURABLE_OS, 1, &ids[1], &deleted));
    cr_assert_eq(deleted, 0);
    cr_assert_gt(fr_engine_last_seq(bed.engine), seq);
    must(fr_spfresh_check(bed.index));
    bed_close();
}

Test(index, opens_as_it_was_without_looking_at_rows)
{
    bed_open(0);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 6; i++)
            bed_put(64);
        bed_delete(40);
        if (round % 2 == 0) bed_maintain();
        bed_reopen();
        cr_assert_eq(bed.index->rebuilt, 0);
        bed_check_all();
    }
    bed_check_vectors();
    bed_close();
}

/* What has failed may be there after all: nothing that follows may be told otherwise. */
static void check_poisoned(uint32_t ops)
{
    struct fr_sim_fault fault = {.ops = ops, .name = "*.wal", .os_error = EIO, .forever = true};
    uint64_t id = 5;
    float x[DIM];
    size_t deleted;

    bed_open(0);
    bed_put(64);
    bed_draw(&bed.rng, x);
    bed_delete_of(id, 1, 1);
    must(fr_sim_fault_add(bed.world.sim, &fault));
    cr_assert_lt(fr_spfresh_upsert(bed.index, FR_DURABLE_DEVICE, 1, &id, x, NULL), 0);
    for (int durability = FR_DURABLE_DEVICE; durability <= FR_DURABLE_NONE; durability++)
        must_be(FR_ERR_POISONED,
                fr_spfresh_delete(bed.index, (enum fr_durability)durability, 1, &id, &deleted));
    fr_sim_fault_clear(bed.world.sim);
    bed.may_be_poisoned = true;
    bed_close();
}

Test(index, a_poisoned_one_does_not_even_say_that_there_is_nothing_to_delete)
{
    check_poisoned(FR_SIM_MASK(FR_SIM_SYNC) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC));
    check_poisoned(FR_SIM_MASK(FR_SIM_WRITE) | FR_SIM_MASK(FR_SIM_WRITE_DSYNC));
}

/* ---- What is refused ---- */

Test(index, refuses_what_is_not_a_vector)
{
    uint64_t id = 5, ids[2] = {1, 2};
    float x[2][DIM];

    bed_open(FR_METRIC_COSINE);
    bed_draw(&bed.rng, x[0]);
    bed_draw(&bed.rng, x[1]);
    x[1][3] = NAN;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 2, ids, x[0], NULL));
    must_say("vector 2: value 3");
    x[1][3] = INFINITY;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    memset(x[1], 0, sizeof(x[1]));
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    must_say("no direction");
    x[1][0] = 1e30F;
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, x[1], NULL));
    struct fr_hit hit;
    size_t count;
    must_be(FR_ERR_MISUSE,
            fr_spfresh_search(bed.index, &(struct fr_search_options){0}, x[1], 1, &hit, &count));
    must_say("length is not finite");
    must(fr_spfresh_check(bed.index));
    cr_assert_null(fr_spfresh_tree(bed.index));
    bed_close();
}

Test(index, of_equal_ids_in_a_batch_the_last_counts)
{
    uint64_t ids[4] = {7, 8, 7, 7};
    float x[4][DIM];

    bed_open(0);
    for (int i = 0; i < 4; i++)
        bed_draw(&bed.rng, x[i]);
    for (int i = 0; i < 2; i++)
        must(fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 4, ids, x[0], NULL));
    bed.there[7] = bed.there[8] = true;
    bed.count = 2;
    memcpy(bed.vectors[7], x[3], sizeof(x[3]));
    memcpy(bed.vectors[8], x[1], sizeof(x[1]));
    bed_check_all();
    bed_check_vectors();
    bed_close();
}

Test(index, is_what_it_was_made_as)
{
    struct fr_spfresh *other;

    bed_open(FR_METRIC_L2);
    bed_put(10);
    fr_spfresh_close(bed.index);
    bed.setup.dimension = DIM + 1;
    must_be(FR_ERR_MISUSE, fr_spfresh_open(bed.engine, "", &bed.setup, &other));
    bed.setup.dimension = 0;
    bed.setup.metric = FR_METRIC_COSINE;
    must_be(FR_ERR_MISUSE, fr_spfresh_open(bed.engine, "", &bed.setup, &other));
    bed.setup.metric = 0;
    bed.setup.must_be_new = true;
    must_be(FR_ERR_EXISTS, fr_spfresh_open(bed.engine, "", &bed.setup, &other));
    bed.setup.must_be_new = false;
    bed_open_index();
    bed_check_all();
    bed_close();
}

/* ---- Names ---- */

Test(index, each_name_is_an_index_of_its_own)
{
    static const char *const names[] = {"", "a", "a-b", "b.c"};
    struct fr_spfresh *indexes[4];
    char name[FR_INDEX_NAME_MAX + 1];
    size_t count = 0;

    bed_open(0);
    indexes[0] = bed.index;
    for (int i = 1; i < 4; i++)
        must(fr_spfresh_open(bed.engine, names[i], &bed.setup, &indexes[i]));
    for (uint64_t i = 0; i < 4; i++) {
        float x[DIM];
        bed_draw(&bed.rng, x);
        must(fr_spfresh_upsert(indexes[i], FR_DURABLE_OS, 1, &i, x, NULL));
    }
    fr_status st = fr_spfresh_next_name(bed.engine, NULL, name);
    for (; st == FR_OK; count++) {
        cr_assert(strcmp(name, names[0]) == 0 || strcmp(name, names[1]) == 0 ||
                  strcmp(name, names[2]) == 0 || strcmp(name, names[3]) == 0);
        st = fr_spfresh_next_name(bed.engine, name, name);
    }
    cr_assert_eq(st, FR_END);
    cr_assert_eq(count, 4);
    fr_spfresh_close(indexes[1]);
    must(fr_spfresh_drop(bed.engine, "a"));
    must_be(FR_ERR_MISSING, fr_spfresh_drop(bed.engine, "a"));
    for (uint64_t i = 0; i < 4; i++) {
        struct fr_hit hit;
        float x[DIM] = {1};

        if (i == 1) continue;
        must(fr_spfresh_search(indexes[i], &(struct fr_search_options){0}, x, 1, &hit, &count));
        cr_assert_eq(count, 1);
        cr_assert_eq(hit.id, i);
        if (i > 0) fr_spfresh_close(indexes[i]);
    }
    bed_close();
}

/* ---- Many threads ---- */

#define WRITERS 3
#define ROUNDS  60

struct writer {
    uint64_t first; /* of the ids that are its own */
    struct fr_rng rng;
};

/* Batches of its own ids, and one that all want. */
static void write_on(void *arg)
{
    struct writer *w = arg;

    for (int round = 0; round < ROUNDS; round++) {
        size_t count = 1 + fr_rng_below(&w->rng, 20), deleted;
        float vectors[21][DIM];
        uint64_t ids[21];

        for (size_t i = 0; i <= count; i++) {
            ids[i] = i == count ? IDS - 1 : w->first + fr_rng_below(&w->rng, 500);
            for (size_t n = 0; n < DIM; n++)
                vectors[i][n] = (float)fr_rng_double(&w->rng);
        }
        FR_ASSERT(fr_spfresh_upsert(bed.index, FR_DURABLE_OS, count + 1, ids, vectors[0], NULL) ==
                  FR_OK);
        if (round % 4 == 0)
            FR_ASSERT(fr_spfresh_delete(bed.index, FR_DURABLE_OS, count, ids, &deleted) == FR_OK);
    }
}

static _Atomic(bool) over;

static void search_on(void *arg)
{
    struct fr_hit hits[10];
    float query[DIM] = {0};
    size_t count;

    (void)arg;
    /* The first search is watched, the second is not. */
    for (uint64_t n = 0; !atomic_load(&over); n++) {
        struct fr_search_why why = {.id = n % IDS};
        struct fr_search_record record = {.why = &why};
        struct fr_search_options how = {.ret_records = n % 2 == 0 ? &record : NULL};

        FR_ASSERT(fr_spfresh_search(bed.index, &how, query, 10, hits, &count) == FR_OK);
        for (size_t i = 1; i < count; i++)
            FR_ASSERT(hits[i].id != hits[i - 1].id);
    }
}

Test(index, many_write_and_search_while_it_is_maintained)
{
    struct fr_thread threads[WRITERS], searcher;
    struct writer writers[WRITERS];
    uint64_t left;

    bed_open(0);
    fr_spfresh_close(bed.index);
    bed.setup.manual = false;
    bed_open_index();
    atomic_store(&over, false);
    must(fr_thread_start(&searcher, "search", search_on, NULL));
    for (int i = 0; i < WRITERS; i++) {
        writers[i].first = (uint64_t)i * 500;
        fr_rng_init(&writers[i].rng, (uint64_t)i);
        must(fr_thread_start(&threads[i], "write", write_on, &writers[i]));
    }
    for (int i = 0; i < WRITERS; i++)
        fr_thread_join(&threads[i]);
    atomic_store(&over, true);
    fr_thread_join(&searcher);
    must(fr_spfresh_check(bed.index));
    must(fr_spfresh_maintain(bed.index, 0, &left));
    must(fr_spfresh_check(bed.index));
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    must(fr_spfresh_check(bed.index));
    bed_close();
}

/* ---- At rest ---- */

static size_t entries_left_behind(void)
{
    const struct fr_tree *tree = fr_spfresh_tree(bed.index);
    size_t left = 0;

    for (fr_slot slot = 0; slot < tree->tiers[1].slot_count; slot++) {
        const struct fr_node *node = fr_tree_node(tree, 1, slot);

        if (node != NULL) left += fr_node_listed(node) - node->live;
    }
    return left;
}

Test(index, at_rest_has_few_entries_that_rows_have_left_behind)
{
    bed_open(0);
    for (int round = 0; round < 60; round++)
        bed_put(64);
    bed_maintain();
    for (int round = 0; round < 4; round++) {
        bed_put(64);
        bed_delete(20);
    }
    bed_maintain();
    size_t left = entries_left_behind();
    cr_assert_leq(left, 32 + bed.count / 16, "%zu of %zu", left, bed.count);
    uint64_t compacted = fr_spfresh_tree(bed.index)->stats.compacted;
    fr_seq written = fr_engine_last_seq(bed.engine);
    bed_maintain();
    cr_assert_eq(fr_spfresh_tree(bed.index)->stats.compacted, compacted);
    cr_assert_eq(fr_engine_last_seq(bed.engine), written);
    bed_check_found(false);
    must(fr_spfresh_check(bed.index));
    bed_reopen();
    bed_check_found(false);
    bed_close();
}

/* ---- A full disk ---- */

#define LARGE 4000

static void open_on_small_disk(struct fr_sim *sim)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.cache_size = 1 << 20;
    options.log_segment_size = 1 << 20;
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &bed.engine));
    bed_open_index();
}

/* One after the other, with payloads that do not compress, until there is no space for another. */
static uint64_t fill_disk(void)
{
    struct fr_payload payload = {.size = LARGE};
    static uint8_t bytes[LARGE];
    float x[DIM];

    for (uint64_t id = 0;; id++) {
        fr_rng_fill(&bed.rng, bytes, sizeof(bytes));
        payload.data = bytes;
        bed_draw(&bed.rng, x);
        fr_status st = fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, x, &payload);
        if (st == FR_ERR_NOSPACE) return id;
        must(st);
    }
}

static size_t count_found(void)
{
    static const struct fr_search_options all = {.postings = 1000000};
    struct fr_hit *hits = fr_alloc(100000 * sizeof(*hits));
    float query[DIM] = {0};
    size_t count;

    must(fr_spfresh_search(bed.index, &all, query, 100000, hits, &count));
    fr_free(hits);
    return count;
}

Test(index, deletes_go_on_when_the_disk_is_full_and_make_room)
{
    struct fr_sim_options disk = {.seed = 1, .capacity_bytes = 32 << 20};
    size_t deleted = 0;
    struct fr_sim *sim;
    uint64_t left;

    memset(&bed, 0, sizeof(bed));
    bed.setup = (struct fr_spfresh_setup){.create = true, .manual = true, .dimension = DIM};
    fr_rng_init(&bed.rng, 1);
    must(fr_sim_open(&disk, &sim));
    open_on_small_disk(sim);
    uint64_t end = fill_disk();
    cr_assert_gt(end, 1000);
    for (uint64_t id = 0; id < 10; id++) {
        must(fr_spfresh_delete(bed.index, FR_DURABLE_OS, 1, &id, &deleted));
        cr_assert_eq(deleted, 1);
    }
    cr_assert_eq(bed.index->derived, FR_DERIVED_GIVEN);
    cr_assert_eq(count_found(), end - 10);
    fr_spfresh_close(bed.index);
    must(fr_engine_close(bed.engine));
    open_on_small_disk(sim);
    cr_assert_eq(count_found(), end - 10);
    for (uint64_t id = 10; id < end - 100; id++)
        must(fr_spfresh_delete(bed.index, FR_DURABLE_OS, 1, &id, &deleted));
    must(fr_engine_compact_range(bed.engine, fr_slice_of(NULL, 0), fr_slice_of(NULL, 0)));
    must(fr_spfresh_maintain(bed.index, 0, &left));
    cr_assert_eq(bed.index->derived, FR_DERIVED_GOOD);
    must(fr_spfresh_check(bed.index));
    cr_assert_eq(count_found(), 100);
    fr_spfresh_close(bed.index);
    must(fr_engine_close(bed.engine));
    fr_sim_close(sim);
}
