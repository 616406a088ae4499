/*
 * index_tiers_test.c - an index that is searched within a budget that is less than its postings
 * take, against the same one with all of it in memory.
 */
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/sim.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/io/test_world.h"
#include "tests/unit/spfresh/put_key.h"

#define DIM     20
#define IDS     4000
#define QUERIES 60
#define K       10

/* Less than the tiers above the postings take: as little as can be. */
#define NOTHING 4096

struct expected {
    struct fr_hit hits[K];
    size_t count;
};

struct bed {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_spfresh_setup setup;
    struct fr_engine_options options;
    struct fr_rng rng;
    size_t count;
    bool there[IDS];
    float queries[QUERIES][DIM];
    struct expected expected[QUERIES];
    bool has_ties;      /* among vectors that are equally far any may be found */
    size_t whole, bare; /* bytes with all postings in memory, and with none */
};

static struct bed t;

/* Few, and many postings: more of them than a small budget has room for, and fewer. */
static const uint32_t efforts[] = {3, 12};

static void open_engine(uint64_t budget)
{
    t.options.memory_budget = budget;
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &t.options, &t.engine));
}

static void open_index(void)
{
    must(fr_spfresh_open(t.engine, "", &t.setup, &t.index));
}

static void close_all(void)
{
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
}

static void reopen(uint64_t budget)
{
    close_all();
    open_engine(budget);
    open_index();
}

static void draw(float *x)
{
    size_t cluster = fr_rng_below(&t.rng, 40);

    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(&t.rng) + 0.1F;
}

static void put_some(size_t count)
{
    uint64_t ids[64];
    float vectors[64][DIM];

    for (size_t i = 0; i < count; i++) {
        ids[i] = fr_rng_below(&t.rng, IDS);
        draw(vectors[i]);
        t.count += !t.there[ids[i]];
        t.there[ids[i]] = true;
    }
    must(fr_spfresh_upsert(t.index, FR_DURABLE_OS, count, ids, vectors[0], NULL));
}

static struct fr_index_stats stats_now(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(t.index, &stats);
    return stats;
}

static size_t bytes_now(void)
{
    return fr_engine_indexes_bytes(t.engine);
}

static fr_status search(size_t query, uint32_t postings, struct expected *ret)
{
    struct fr_search_options how = {.postings = postings};

    return fr_spfresh_search(t.index, &how, t.queries[query], K, ret->hits, &ret->count);
}

static bool is_as_expected(const struct expected *answer, const struct expected *expected)
{
    bool same = answer->count == expected->count;

    for (size_t i = 0; same && i < answer->count; i++)
        same = (t.has_ties || answer->hits[i].id == expected->hits[i].id) &&
               answer->hits[i].distance == expected->hits[i].distance;
    return same;
}

static void check_searches(uint32_t postings)
{
    for (size_t i = 0; i < QUERIES; i++) {
        struct expected answer;

        must(search(i, postings, &answer));
        cr_assert(is_as_expected(&answer, &t.expected[i]), "query %zu", i);
    }
}

static void expect(uint32_t postings)
{
    for (size_t i = 0; i < QUERIES; i++)
        must(search(i, postings, &t.expected[i]));
}

/* So that indexes may have the tiers above the postings, and this part of all that these take. */
static uint64_t budget_for(size_t eighths)
{
    return (t.bare + (t.whole - t.bare) / 8 * eighths) / 3 * 4;
}

static void set_budget(uint64_t budget)
{
    t.options.memory_budget = budget;
    fr_engine_retune(t.engine, &t.options);
}

static void check_budget(void)
{
    size_t most = fr_engine_indexes_most(t.engine);

    cr_assert_leq(bytes_now(), most + most / 20, "%zu of %zu", bytes_now(), most);
}

/* An index of many postings that is closed and in tables, how much it takes, and what it answers.
 */
static void open_bed(void)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    t.options = fr_engine_options_default();
    t.options.memtable_size = 256 << 10;
    t.options.table_size = 256 << 10;
    t.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .unhurried = true, .dimension = DIM, .seed = 7};
    fr_rng_init(&t.rng, 1);
    open_engine(0);
    open_index();
    for (int round = 0; round < 80; round++)
        put_some(64);
    must(fr_spfresh_maintain(t.index, 0, &(uint64_t){0}));
    must(fr_engine_flush(t.engine));
    for (size_t i = 0; i < QUERIES; i++)
        draw(t.queries[i]);
    reopen(NOTHING);
    cr_assert(fr_spfresh_is_bounded(t.index));
    t.bare = bytes_now();
    set_budget(0);
    for (size_t i = 0; i < QUERIES; i++)
        must(search(i, 1000000, &t.expected[i]));
    cr_assert_eq(stats_now().to_load, 0);
    cr_assert_eq(stats_now().count, t.count);
    t.whole = bytes_now();
    cr_assert_gt(stats_now().postings, 40);
}

static void close_bed(void)
{
    close_all();
    test_world_close(&t.world);
}

/* All ids there are, each once. */
static void check_found(void)
{
    static struct fr_hit hits[IDS + 1];
    static bool seen[IDS];
    struct fr_search_options how = {.postings = 1000000};
    size_t count;

    memset(seen, 0, sizeof(seen));
    must(fr_spfresh_search(t.index, &how, t.queries[0], IDS + 1, hits, &count));
    cr_assert_eq(count, t.count, "%zu found of %zu", count, t.count);
    for (size_t i = 0; i < count; i++) {
        cr_assert(t.there[hits[i].id] && !seen[hits[i].id]);
        seen[hits[i].id] = true;
    }
}

Test(index_tiers, what_fits_is_loaded_as_ever)
{
    open_bed();
    reopen(256 << 20);
    cr_assert_not(fr_spfresh_is_bounded(t.index));
    check_searches(1000000);
    cr_assert_eq(stats_now().evictions, 0);
    close_bed();
}

Test(index_tiers, answers_within_a_budget_are_as_with_all_of_it_in_memory)
{
    open_bed();
    for (size_t i = 0; i < sizeof(efforts) / sizeof(efforts[0]); i++) {
        reopen(256 << 20);
        expect(efforts[i]);
        for (size_t eighths = 2; eighths <= 6; eighths += 2) {
            reopen(budget_for(eighths));
            cr_assert(fr_spfresh_is_bounded(t.index));
            for (int round = 0; round < 3; round++) {
                check_searches(efforts[i]);
                check_budget();
            }
            cr_assert_gt(stats_now().evictions, 0);
            cr_assert_gt(stats_now().to_load, 0);
            cr_assert_gt(stats_now().loaded, 0);
            cr_assert_leq(stats_now().lean, stats_now().to_load);
            cr_assert_eq(stats_now().loads, stats_now().loaded + stats_now().evictions);
            cr_assert_lt(stats_now().count, t.count);
        }
    }
    close_bed();
}

/* Vectors that are all alike cannot be parted: their posting has more rows than a piece has. */
Test(index_tiers, a_posting_of_many_pieces_comes_and_leaves_as_one)
{
    static float same[64][DIM];
    uint64_t ids[64], left;

    open_bed();
    for (size_t i = 0; i < 64; i++)
        draw(same[i]);
    for (size_t i = 0; i < 64; i++)
        memcpy(same[i], same[0], sizeof(same[0]));
    for (uint64_t first = 0; first < 3 * FR_ROW_PIECE_MAX; first += 64) {
        for (uint64_t i = 0; i < 64; i++) {
            ids[i] = first + i;
            t.count += !t.there[ids[i]];
            t.there[ids[i]] = true;
        }
        must(fr_spfresh_upsert(t.index, FR_DURABLE_OS, 64, ids, same[0], NULL));
    }
    must(fr_spfresh_maintain(t.index, 0, &left));
    memcpy(t.queries[0], same[0], sizeof(same[0]));
    t.has_ties = true;
    reopen(256 << 20);
    expect(efforts[0]);
    reopen(budget_for(1));
    cr_assert(fr_spfresh_is_bounded(t.index));
    for (int round = 0; round < 4; round++)
        check_searches(efforts[0]);
    check_found();
    check_budget();
    cr_assert_gt(stats_now().evictions, 0);
    must(fr_spfresh_check(t.index));
    close_bed();
}

/* Most of what is scanned is not measured, and is not loaded then. */
Test(index_tiers, signs_serve_without_the_rest)
{
    struct fr_index_stats lean, whole;

    open_bed();
    reopen(256 << 20);
    expect(40);
    reopen(budget_for(4));
    check_searches(40);
    whole = stats_now();
    cr_assert_gt(whole.lean, 0);
    check_searches(40);
    lean = stats_now();
    cr_assert_gt(lean.to_load, 0);
    cr_assert_lt(lean.loads - whole.loads, QUERIES);
    close_bed();
}

/* Rows that can be read by themselves: from a value file, from the index's own, and not at all. */
struct spots {
    size_t stored, own, none;
};

static struct spots count_spots(void)
{
    const struct fr_tree *tree = fr_spfresh_tree(t.index);
    struct spots spots = {0};

    for (uint32_t number = 0; number < t.index->loading.slot_count; number++) {
        if (!fr_spfresh_is_posting(t.index, number)) continue;
        const struct fr_node *node = fr_tree_node(tree, 1, number);

        if (node == NULL) continue;
        spots.own += node->spot.file == FR_ASIDE_SCRATCH;
        spots.stored += node->spot.file != FR_ASIDE_SCRATCH && node->spot.file != 0;
        spots.none += node->spot.file == 0;
    }
    return spots;
}

/* All postings are written anew, and lie in value files. */
static void write_anew(void)
{
    reopen(256 << 20);
    must(fr_spfresh_rebuild(t.index, 1));
    must(fr_engine_flush(t.engine));
}

/* All postings have their signs in memory, and few more than that. */
static void reopen_lean(uint32_t postings)
{
    struct expected answer;

    reopen(256 << 20);
    expect(postings);
    reopen(budget_for(2));
    for (size_t i = 0; i < QUERIES; i++)
        must(search(i, 1000000, &answer));
    cr_assert_gt(stats_now().lean, 0);
}

Test(index_tiers, rows_are_read_without_their_postings)
{
    open_bed();
    for (int is_anew = 0; is_anew < 2; is_anew++) {
        if (is_anew) write_anew();
        reopen_lean(efforts[1]);
        cr_assert_eq(count_spots().none, 0);
        cr_assert_gt(is_anew ? count_spots().stored : count_spots().own, 0);
        uint64_t loads = stats_now().loads;
        for (int round = 0; round < 3; round++)
            check_searches(efforts[1]);
        cr_assert_lt(stats_now().loads - loads, QUERIES);
    }
    close_bed();
}

Test(index_tiers, without_a_file_for_rows_whole_postings_are_loaded)
{
    open_bed();
    reopen(256 << 20);
    expect(efforts[1]);
    reopen(budget_for(2));
    atomic_store(&t.index->loading.scratch_is_good, false);
    check_searches(efforts[1]);
    uint64_t loads = stats_now().loads;
    check_searches(efforts[1]);
    check_budget();
    cr_assert_eq(count_spots().own, 0);
    cr_assert_gt(stats_now().loads, loads);
    close_bed();
}

/* Their file has gone, or what they are said to be is something else: that is noticed, and mended
 * by loading the posting. */
Test(index_tiers, rows_that_cannot_be_read_cost_no_answer)
{
    open_bed();
    write_anew();
    for (int way = 0; way < 3; way++) {
        reopen_lean(efforts[1]);
        struct fr_tree *tree = fr_spfresh_tree(t.index);
        struct fr_spot before = {.file = 1000000};
        for (uint32_t number = 0; number < t.index->loading.slot_count; number++) {
            if (!fr_spfresh_is_posting(t.index, number)) continue;
            struct fr_node *node = fr_tree_node(tree, 1, number);

            if (node == NULL || !node->is_lean) continue;
            if (way == 0) node->spot.file = 1000000;
            if (way == 1) node->spot.offset++;
            struct fr_spot own = node->spot;

            if (way == 2) node->spot = before;
            before = own;
        }
        uint64_t loads = stats_now().loads;
        check_searches(efforts[1]);
        cr_assert_gt(stats_now().loads, loads);
        loads = stats_now().loads;
        check_searches(efforts[1]);
        check_searches(efforts[1]);
        cr_assert_lt(stats_now().loads - loads, 2 * QUERIES);
    }
    must(fr_spfresh_check(t.index));
    close_bed();
}

/* There is no room, but what is wanted again and again gets some, and what is not leaves. */
Test(index_tiers, what_is_read_most_comes_into_memory)
{
    struct expected answer;
    uint64_t loads;

    open_bed();
    reopen_lean(efforts[1]);
    loads = stats_now().loads;
    for (size_t i = 0; i < 40000 && stats_now().loads == loads; i++)
        must(search(i % 7, efforts[1], &answer));
    cr_assert_gt(stats_now().loads, loads);
    check_budget();
    close_bed();
}

Test(index_tiers, a_search_of_everything_has_it_in_memory_while_it_lasts)
{
    open_bed();
    reopen(budget_for(2));
    check_found();
    check_budget();
    check_searches(1000000);
    check_budget();
    cr_assert_gt(stats_now().evictions, 0);
    close_bed();
}

Test(index_tiers, what_is_searched_again_and_again_stays)
{
    struct expected answer;

    open_bed();
    reopen(budget_for(4));
    for (size_t i = 0; i < QUERIES; i++) {
        must(search(0, 3, &answer));
        uint64_t loads = stats_now().loads;
        must(search(0, 3, &answer));
        cr_assert_eq(stats_now().loads, loads);
        must(search(i, 3, &answer));
    }
    close_bed();
}

Test(index_tiers, the_budget_counts_from_when_it_is_set)
{
    open_bed();
    reopen(budget_for(4));
    cr_assert(fr_spfresh_is_bounded(t.index));
    check_searches(1000000);
    uint64_t before = stats_now().loaded;
    set_budget(budget_for(1));
    check_searches(1000000);
    cr_assert_lt(stats_now().loaded, before / 2);
    check_budget();
    set_budget(NOTHING);
    check_searches(1000000);
    cr_assert_eq(stats_now().loaded, 0);
    cr_assert_leq(bytes_now(), t.bare + (t.whole - t.bare) / 8); /* the map of ids */
    set_budget(budget_for(8) + (1 << 20));
    check_searches(1000000);
    cr_assert_eq(stats_now().to_load, 0);
    close_bed();
}

Test(index_tiers, a_thread_loads_what_there_is_room_for)
{
    open_bed();
    t.setup.unhurried = false;
    for (size_t eighths = 0; eighths <= 6; eighths += 2) {
        reopen(budget_for(eighths));
        fr_thread_join(&t.index->loading.thread);
        cr_assert(fr_spfresh_is_bounded(t.index));
        cr_assert(eighths == 0 || stats_now().loaded + stats_now().lean > 0);
        cr_assert_leq(stats_now().loads, stats_now().postings); /* each once at the most */
        check_budget();
        check_searches(1000000);
        check_budget();
    }
    close_bed();
}

Test(index_tiers, whoever_needs_everything_gets_it)
{
    uint64_t left;

    open_bed();
    for (int way = 0; way < 5; way++) {
        t.setup.unhurried = way % 2 == 0;
        reopen(budget_for(3));
        check_searches(1000000);
        if (way == 4) must(fr_spfresh_rebuild(t.index, 1));
        if (way == 0) put_some(1);
        if (way == 1) must(fr_spfresh_maintain(t.index, 0, &left));
        if (way == 2) must(fr_spfresh_check(t.index));
        if (way == 3) must(fr_spfresh_wait_loaded(t.index));
        cr_assert_not(fr_spfresh_is_bounded(t.index));
        cr_assert_eq(stats_now().to_load, 0);
        cr_assert_eq(stats_now().count, t.count);
        check_found();
        put_some(64);
        must(fr_spfresh_maintain(t.index, 0, &left));
        must(fr_spfresh_check(t.index));
        check_found();
        expect(1000000);
    }
    close_bed();
}

Test(index_tiers, maintenance_alone_loads_nothing)
{
    open_bed();
    t.setup.manual = false;
    for (int round = 0; round < 8; round++) {
        reopen(budget_for(3));
        if (round % 2 == 0) check_searches(1000000);
        cr_assert(fr_spfresh_is_bounded(t.index));
    }
    put_some(64);
    cr_assert_not(fr_spfresh_is_bounded(t.index));
    must(fr_spfresh_check(t.index));
    close_bed();
}

Test(index_tiers, a_reader_is_bounded_too)
{
    open_bed();
    t.setup.read_only = true;
    reopen(budget_for(3));
    cr_assert(fr_spfresh_is_bounded(t.index));
    check_searches(1000000);
    check_budget();
    check_found();
    close_bed();
}

/* ---- Beside one another ---- */

struct searcher {
    struct fr_thread thread;
    size_t first;
    uint32_t rounds;
};

static void searcher_main(void *arg)
{
    const struct searcher *s = arg;

    for (uint32_t i = 0; i < s->rounds * QUERIES; i++) {
        size_t query = (s->first + i) % QUERIES;
        struct expected answer;

        FR_ASSERT(search(query, efforts[1], &answer) == FR_OK);
        FR_ASSERT(is_as_expected(&answer, &t.expected[query]));
    }
}

static void start_searchers(struct searcher *searchers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        searchers[i] = (struct searcher){.first = i * QUERIES / count, .rounds = 4};
        must(fr_thread_start(&searchers[i].thread, "search", searcher_main, &searchers[i]));
    }
}

static void join_searchers(struct searcher *searchers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fr_thread_join(&searchers[i].thread);
}

/* The least budget: none of them finds room, and all come to an end. */
Test(index_tiers, many_search_while_postings_come_and_go)
{
    struct searcher searchers[4];

    open_bed();
    reopen(256 << 20);
    expect(efforts[1]);
    for (size_t eighths = 0; eighths <= 4; eighths += 2) {
        t.setup.unhurried = eighths == 2;
        reopen(eighths == 0 ? NOTHING : budget_for(eighths));
        start_searchers(searchers, 4);
        join_searchers(searchers, 4);
        cr_assert_gt(stats_now().evictions, 0);
        check_searches(efforts[1]);
        cr_assert(eighths == 0 || fr_spfresh_is_bounded(t.index));
        if (eighths > 0) check_budget();
    }
    close_bed();
}

Test(index_tiers, searches_go_on_while_everything_is_loaded_for_a_write)
{
    struct searcher searchers[3];

    open_bed();
    reopen(256 << 20);
    expect(efforts[1]);
    for (int round = 0; round < 6; round++) {
        t.setup.unhurried = round % 2 == 0;
        reopen(budget_for(3));
        start_searchers(searchers, 3);
        must(fr_spfresh_wait_loaded(t.index));
        join_searchers(searchers, 3);
        must(fr_spfresh_check(t.index));
    }
    close_bed();
}

Test(index_tiers, closes_while_postings_come_and_go)
{
    open_bed();
    t.setup.unhurried = false;
    for (int round = 0; round < 12; round++) {
        t.setup.manual = round % 2 == 0;
        reopen(budget_for((size_t)round % 6));
    }
    check_found();
    close_bed();
}

/* ---- Trouble ---- */

Test(index_tiers, a_read_that_fails_costs_the_searches_that_need_it)
{
    size_t failed = 0;

    open_bed();
    reopen(256 << 20);
    expect(efforts[1]);
    reopen(budget_for(2));
    for (uint64_t nth = 1; nth < 40; nth++) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_READ), .nth = nth};

        must(fr_sim_fault_add(t.world.sim, &fault));
        for (size_t i = 0; i < QUERIES; i++) {
            struct expected answer;
            fr_status st = search(i, efforts[1], &answer);

            failed += st < 0;
            if (st < 0)
                cr_assert_eq(st, FR_ERR_IO);
            else
                cr_assert(is_as_expected(&answer, &t.expected[i]));
        }
        fr_sim_fault_clear(t.world.sim);
    }
    cr_assert_gt(failed, 0);
    check_searches(efforts[1]);
    check_budget();
    must(fr_spfresh_check(t.index));
    close_bed();
}

Test(index_tiers, a_search_without_memory_leaves_nothing_pinned)
{
    open_bed();
    reopen(256 << 20);
    expect(efforts[1]);
    reopen(budget_for(2));
    for (uint64_t n = 1; n < 200; n++) {
        struct expected answer;
        size_t query = n % QUERIES;

        fr_alloc_fail_at(n, n % 3 == 0);
        fr_status st = search(query, efforts[1], &answer);
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_ERR_NOMEM ||
                  (st == FR_OK && is_as_expected(&answer, &t.expected[query])));
    }
    check_searches(efforts[1]);
    check_budget();
    for (uint32_t i = 0; i < t.index->loading.slot_count; i++)
        cr_assert_eq(t.index->loading.pins[i], 0);
    must(fr_spfresh_check(t.index));
    close_bed();
}

/* Which of the allocations fails: sanitizers take their time. */
#ifdef FR_SANITIZED
#define FAILURES_STEP 5
#else
#define FAILURES_STEP 1
#endif

Test(index_tiers, everything_without_memory_is_tried_again)
{
    open_bed();
    for (uint64_t n = 1; n < 40; n += FAILURES_STEP) {
        reopen(budget_for(3));
        check_searches(1000000);
        fr_alloc_fail_at(n * n, n % 2 == 0);
        fr_status st = fr_spfresh_wait_loaded(t.index);
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        check_searches(1000000);
        must(fr_spfresh_check(t.index));
    }
    close_bed();
}

static void put_posting(uint32_t generation, uint32_t number, fr_slice value)
{
    struct fr_index_key prefix;

    fr_key_prefix("", &prefix);
    put_key(t.engine, fr_key_posting(&prefix, generation, number), value.data, value.size);
}

static uint32_t next_posting(uint32_t number)
{
    while (!fr_spfresh_is_posting(t.index, number))
        number++;
    return number;
}

/* The index is open meanwhile, and has not looked there yet. */
Test(index_tiers, a_damaged_posting_is_mended_as_soon_as_it_is_wanted)
{
    static const uint8_t junk[5] = {1};
    uint32_t number = 0;

    open_bed();
    for (int by_thread = 0; by_thread < 2; by_thread++) {
        t.setup.unhurried = by_thread == 0;
        number = next_posting(number);
        uint32_t generation = t.index->generation;
        fr_spfresh_close(t.index);
        put_posting(generation, number++, fr_slice_of(junk, sizeof(junk)));
        must(fr_engine_close(t.engine));
        open_engine(budget_for(3));
        open_index();
        check_found();
        must(fr_spfresh_check(t.index)); /* mending has ended */
        cr_assert_eq(stats_now().rebuilt, 2);
    }
    reopen(budget_for(3));
    check_found();
    cr_assert_eq(stats_now().rebuilt, 0);
    close_bed();
}

/* A search sees it as soon as it finds one of them twice. */
Test(index_tiers, a_vector_in_two_postings_is_in_one_again)
{
    struct fr_engine_value value;
    struct fr_index_key prefix;

    open_bed();
    uint32_t from = next_posting(0), to = next_posting(from + 1);
    fr_key_prefix("", &prefix);
    struct fr_index_key key = fr_key_posting(&prefix, t.index->generation, from);
    must(fr_engine_get(t.engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value));
    uint32_t generation = t.index->generation;
    fr_spfresh_close(t.index);
    put_posting(generation, to, value.bytes);
    fr_engine_value_release(&value);
    must(fr_engine_close(t.engine));
    open_engine(budget_for(3));
    open_index();
    cr_assert(fr_spfresh_is_bounded(t.index));
    check_found();
    must(fr_spfresh_check(t.index));
    cr_assert_eq(stats_now().rebuilt, 2);
    reopen(budget_for(3));
    check_found();
    cr_assert_eq(stats_now().rebuilt, 0);
    close_bed();
}
