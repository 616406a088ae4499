/*
 * index_rebuild_test.c - an index that is built anew while it is used, against a plain model.
 *
 * fr_spfresh_check compares memory with what is stored. That writes fall into the time of a rebuild
 * is left to no chance: while the rebuild fills its tree it is stopped until another thread has
 * written some.
 */
#define FR_ALLOW_MALLOC
#include <sched.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/thread.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "spfresh/tree_priv.h"
#include "tests/unit/spfresh/index_bed.h"
#include "tests/unit/spfresh/put_key.h"

static void fill_bed(size_t batches)
{
    uint64_t left;

    for (size_t i = 0; i < batches; i++) {
        bed_put_of(0, IDS, 64);
        if (i % 4 == 0) bed_delete_of(0, IDS, 30);
    }
    must(fr_spfresh_maintain(bed.index, 0, &left));
}

static void check_all(void)
{
    bed_check_all();
    bed_check_found(true);
}

/* Keys of a kind and generation, or of all of them: 0. */
static size_t count_keys(char letter, uint32_t generation)
{
    struct fr_index_key kind = generation == 0
                                       ? fr_key_kind(&bed.index->prefix, letter)
                                       : fr_key_generation(&bed.index->prefix, letter, generation);
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX, .prefix = fr_index_key_slice(&kind)};
    struct fr_iter *it = NULL;
    size_t count = 0;

    must(fr_engine_scan(bed.engine, &options, &it));
    while (fr_iter_next(it) == FR_OK)
        count++;
    fr_iter_close(it);
    return count;
}

static void check_only_generation(uint32_t generation)
{
    cr_assert_eq(bed.index->generation, generation);
    cr_assert_gt(count_keys('c', generation), 0);
    cr_assert_eq(count_keys('c', 0), count_keys('c', generation));
    cr_assert_eq(count_keys('p', 0), count_keys('p', generation));
}

/* ---- By itself ---- */

Test(index_rebuild, has_what_there_was_and_comes_back)
{
    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        bed_open(metric);
        fill_bed(60);
        for (uint32_t generation = 2; generation < 5; generation++) {
            must(fr_spfresh_rebuild(bed.index, 1 + generation % 2));
            check_only_generation(generation);
            check_all();
            fill_bed(5);
            check_all();
            if (generation == 3) continue;
            bed_reopen();
            cr_assert_eq(bed.index->rebuilt, 0);
            check_only_generation(generation);
            check_all();
        }
        cr_assert_eq(bed_stats().generation, 4);
        cr_assert_eq(bed_stats().rebuild_of, 0);
        bed_close();
    }
}

Test(index_rebuild, of_nothing_is_nothing)
{
    bed_open(0);
    must(fr_spfresh_rebuild(bed.index, 1));
    bed_put_of(0, IDS, 10);
    for (uint64_t id = 0; id < IDS; id++)
        if (bed.there[id]) must(fr_spfresh_delete(bed.index, FR_DURABLE_OS, 1, &id, &(size_t){0}));
    memset(bed.there, 0, sizeof(bed.there));
    bed.count = 0;
    must(fr_spfresh_rebuild(bed.index, 1));
    cr_assert_eq(bed.index->generation, 1);
    bed_put_of(0, IDS, 10);
    check_all();
    bed.setup.read_only = true;
    bed_reopen();
    must_be(FR_ERR_READONLY, fr_spfresh_rebuild(bed.index, 1));
    bed_close();
}

/* It was given up, and is complete again. */
Test(index_rebuild, stores_what_was_given_up)
{
    bed_open(0);
    fill_bed(20);
    must(fr_spfresh_forget_derived(bed.index));
    must(fr_spfresh_rebuild(bed.index, 1));
    cr_assert_eq(bed.index->derived, FR_DERIVED_GOOD);
    check_all();
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    check_all();
    bed_close();
}

/* Works of the old tree are not used in the new one, whatever they were used for. */
Test(index_rebuild, searches_of_every_kind_go_on_behind_it)
{
    static struct fr_hit hits[4][5];
    struct fr_search_why why = {.size = sizeof(why)};
    struct fr_search_record records[4] = {{.why = &why}};
    struct fr_search_options how = {.exact_distances = true};
    float queries[4][DIM];
    size_t counts[4];

    bed_open(FR_METRIC_COSINE);
    fill_bed(40);
    for (size_t i = 0; i < 4; i++)
        bed_draw(&bed.rng, queries[i]);
    for (int round = 0; round < 3; round++) {
        for (int way = 0; way < 4; way++) {
            how.exhaustive = way == 1;
            how.limited = way == 2;
            how.max_distance = 0.5F;
            how.ret_records = way == 3 ? records : NULL;
            must(fr_spfresh_search_batch(bed.index, &how, 4, queries[0], 5, hits[0], counts));
        }
        cr_assert_eq(why.verdict != FR_WHY_MISSING, bed.there[0]);
        must(fr_spfresh_rebuild(bed.index, 2));
    }
    bed_close();
}

/*
 * All threads allocate, also those of the engine. What is to happen then is known to the thread
 * that rebuilds, and no other may look: first comes the question whether it is that one.
 */

/* ---- Writes that come meanwhile ---- */

/*
 * A thread that writes while the rebuild's thread stands still in an allocation: there its tree
 * grows, and nothing that a writer needs is held. Locks are not used, for some may be held there.
 */
struct company {
    size_t batch_size;
    _Atomic(unsigned) asked, answered;
    _Atomic(bool) over;
    struct fr_thread thread;
};

static struct company company;
static _Thread_local bool is_rebuilding;

static void write_when_asked(void *arg)
{
    struct company *c = arg;

    for (; !atomic_load(&c->over); (void)sched_yield()) {
        if (atomic_load(&c->answered) == atomic_load(&c->asked)) continue;
        bed_put_of(0, IDS, c->batch_size);
        bed_delete_of(0, IDS, c->batch_size / 2);
        atomic_fetch_add(&c->answered, 1);
    }
}

/* While rows come into the new tree, something is written a few times before it goes on. */
static void let_others_write(void)
{
    const struct fr_rebuild *rebuild = is_rebuilding ? bed.index->rebuild : NULL;
    uint64_t done;

    if (rebuild == NULL || company.batch_size == 0 || !rebuild->remembers) return;
    done = atomic_load(&rebuild->done);
    if (done == 0 || done >= rebuild->of || atomic_load(&company.asked) == 4) return;
    unsigned asked = atomic_fetch_add(&company.asked, 1) + 1;
    while (atomic_load(&company.answered) < asked)
        (void)sched_yield();
}

/* ---- Vectors that outgrow the new space, too ---- */

#define LONGER_FEW 5
static bool is_to_outgrow;

static void put_longer(void *arg)
{
    uint64_t ids[LONGER_FEW] = {IDS, IDS + 1, IDS + 2, IDS + 3, IDS + 4};
    float vectors[LONGER_FEW][DIM];

    (void)arg;
    for (size_t i = 0; i < LONGER_FEW; i++)
        for (size_t n = 0; n < DIM; n++)
            vectors[i][n] = 100;
    FR_ASSERT(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, LONGER_FEW, ids, vectors[0], NULL) ==
              FR_OK);
}

/* When the rebuild has measured all vectors and makes its tree: a header goes before that. */
static void let_vectors_outgrow(size_t size, size_t alignment)
{
    struct fr_thread thread;

    if (!is_rebuilding || !is_to_outgrow || size != alignment + sizeof(struct fr_tree)) return;
    is_to_outgrow = false;
    FR_ASSERT(fr_thread_start(&thread, "outgrow", put_longer, NULL) == FR_OK);
    fr_thread_join(&thread);
}

/* ---- Calls that are under way at the swap ---- */

/* The next allocation of this thread waits until the index has been rebuilt. */
static _Thread_local bool is_to_wait;
static struct fr_thread rebuilder;

static void rebuild_beside(void *arg)
{
    (void)arg;
    FR_ASSERT(fr_spfresh_rebuild(bed.index, 1) == FR_OK);
}

/* It does not end before the call that waits here has ended: that is in the old tree. */
static void wait_for_swap(void)
{
    if (!is_to_wait) return;
    is_to_wait = false;
    uint32_t before = bed_stats().generation;
    FR_ASSERT(fr_thread_start(&rebuilder, "rebuild", rebuild_beside, NULL) == FR_OK);
    while (bed_stats().generation == before)
        (void)sched_yield();
}

/* ---- Stopped in an allocation ---- */

static void *allocate(void *ctx, size_t size, size_t alignment)
{
    (void)ctx;
    let_others_write();
    let_vectors_outgrow(size, alignment);
    wait_for_swap();
    return aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
}

static void release(void *ctx, void *memory, size_t size, size_t alignment)
{
    (void)ctx;
    (void)size;
    (void)alignment;
    free(memory);
}

static const struct fr_allocator stopping = {
        .size = sizeof(stopping), .allocate = allocate, .release = release};

static void rebuild_in_company(size_t batch_size)
{
    company = (struct company){.batch_size = batch_size};
    must(fr_thread_start(&company.thread, "write", write_when_asked, &company));
    is_rebuilding = true;
    must(fr_spfresh_rebuild(bed.index, 1));
    is_rebuilding = false;
    atomic_store(&company.over, true);
    fr_thread_join(&company.thread);
    cr_assert_eq(atomic_load(&company.answered), 4);
}

/* So few that they are for the swap; so many that rounds come before. */
Test(index_rebuild, has_what_was_written_while_it_was_built)
{
    static const size_t sizes[] = {2, 10, 60, 8};

    must(fr_set_allocator(&stopping));
    bed_open(0);
    fill_bed(60);
    for (size_t i = 0; i < FR_ARRAY_COUNT(sizes); i++) {
        rebuild_in_company(sizes[i]);
        check_all();
        check_only_generation((uint32_t)i + 2);
    }
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    check_all();
    bed_close();
}

static void search_and_ask(uint64_t id)
{
    struct fr_search_why why = {.size = sizeof(why), .id = id};
    struct fr_search_record record = {.why = &why};
    struct fr_search_options how = {.ret_records = &record};
    struct fr_hit hits[10];
    size_t count;

    must(fr_spfresh_search(bed.index, &how, bed.vectors[id], 10, hits, &count));
    cr_assert_eq(why.verdict == FR_WHY_MISSING, !bed.there[id]);
    if (bed.there[id]) cr_assert_eq(hits[0].id, id);
}

static void call_across_swap(int which)
{
    is_to_wait = true;
    if (which == 0) bed_put_of(0, IDS, 40);
    if (which == 1) bed_delete_of(0, IDS, 40);
    if (which == 2) bed_check_found(false);
    if (which == 3) bed_check_found(true);
    if (which >= 4) search_and_ask((uint64_t)which);
    cr_assert_not(is_to_wait);
    fr_thread_join(&rebuilder);
}

/* They have taken hold of the old tree, and that is all they have done. */
Test(index_rebuild, calls_that_began_before_the_swap_end_well)
{
    must(fr_set_allocator(&stopping));
    bed_open(0);
    fill_bed(30);
    for (int which = 0; which < 8; which++) {
        bed_reopen(); /* no memory of calls is left, so that they need some */
        must(fr_spfresh_wait_loaded(bed.index));
        call_across_swap(which);
        check_all();
        check_only_generation((uint32_t)which + 2);
    }
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("index: a write is located again in a tree that was rebuilt"), 0);
#endif
    bed_close();
}

/* ---- Many threads ---- */

#define WRITERS 2
#define OWN     400 /* ids of each writer; behind these are those that nobody changes */

static _Atomic(bool) over;

struct writer {
    uint64_t first;
    struct fr_rng rng;
};

/* Its own ids come and leave. The model is this thread's alone where they are. */
static void write_on(void *arg)
{
    struct writer *w = arg;

    while (!atomic_load(&over)) {
        size_t count = 1 + fr_rng_below(&w->rng, 20), deleted;
        float vectors[20][DIM];
        uint64_t ids[20];

        for (size_t i = 0; i < count; i++) {
            ids[i] = w->first + fr_rng_below(&w->rng, OWN);
            bed_draw(&w->rng, vectors[i]);
            memcpy(bed.vectors[ids[i]], vectors[i], sizeof(vectors[i]));
            bed.there[ids[i]] = true;
        }
        FR_ASSERT(fr_spfresh_upsert(bed.index, FR_DURABLE_OS, count, ids, vectors[0], NULL) ==
                  FR_OK);
        if (!fr_rng_one_in(&w->rng, 3)) continue;
        for (size_t i = 0; i < count; i++)
            bed.there[ids[i]] = false;
        FR_ASSERT(fr_spfresh_delete(bed.index, FR_DURABLE_OS, count, ids, &deleted) == FR_OK);
    }
}

/* Each id once; all that nobody changes, and none that has left for good. */
static void search_on(void *arg)
{
    static const struct fr_search_options how = {.postings = 1000000};
    struct fr_hit *hits = fr_alloc(IDS * sizeof(*hits));
    uint8_t *seen = fr_alloc(IDS);
    float query[DIM] = {0};
    size_t count;

    (void)arg;
    FR_ASSERT(hits != NULL && seen != NULL);
    while (!atomic_load(&over)) {
        memset(seen, 0, IDS);
        FR_ASSERT(fr_spfresh_search(bed.index, &how, query, IDS, hits, &count) == FR_OK);
        for (size_t i = 0; i < count; i++) {
            FR_ASSERT(seen[hits[i].id] == 0);
            seen[hits[i].id] = 1;
        }
        for (size_t id = (size_t)WRITERS * OWN; id < IDS; id++)
            FR_ASSERT(seen[id] == bed.there[id]);
    }
    fr_free(hits);
    fr_free(seen);
}

Test(index_rebuild, is_not_seen_by_those_who_write_and_search)
{
    struct fr_thread threads[WRITERS], searcher;
    struct writer writers[WRITERS];

    bed_open(0);
    fill_bed(40);
    fr_spfresh_close(bed.index);
    bed.setup.manual = false;
    bed_open_index();
    atomic_store(&over, false);
    must(fr_thread_start(&searcher, "search", search_on, NULL));
    for (int i = 0; i < WRITERS; i++) {
        writers[i].first = (uint64_t)i * OWN;
        fr_rng_init(&writers[i].rng, (uint64_t)i);
        must(fr_thread_start(&threads[i], "write", write_on, &writers[i]));
    }
    for (int i = 0; i < 4; i++)
        must(fr_spfresh_rebuild(bed.index, 2));
    atomic_store(&over, true);
    for (int i = 0; i < WRITERS; i++)
        fr_thread_join(&threads[i]);
    fr_thread_join(&searcher);
    bed.count = 0;
    for (size_t id = 0; id < IDS; id++)
        bed.count += bed.there[id];
    check_all();
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    check_only_generation(5);
    check_all();
    bed_close();
}

/* ---- What it is for ---- */

#define QUERIES 50
#define K       10

/* What share of the ten best is found. */
static double recall(void)
{
    struct fr_search_options all = {.exhaustive = true}, some = {0};
    struct fr_hit best[K], found[K];
    size_t best_count, found_count, right = 0;
    struct fr_rng rng;
    float query[DIM];

    fr_rng_init(&rng, 99);
    for (int q = 0; q < QUERIES; q++) {
        for (size_t i = 0; i < DIM; i++)
            query[i] = (float)fr_rng_double(&rng) - 0.5F;
        must(fr_spfresh_search(bed.index, &all, query, K, best, &best_count));
        must(fr_spfresh_search(bed.index, &some, query, K, found, &found_count));
        for (size_t i = 0; i < best_count; i++)
            for (size_t j = 0; j < found_count; j++)
                right += best[i].id == found[j].id;
    }
    return (double)right / (QUERIES * K);
}

/* Vectors in all directions, up to a length. */
static void put_long(uint64_t first, float length)
{
    uint64_t ids[64];
    float vectors[64][DIM];

    for (size_t i = 0; i < 64; i++) {
        float factor = length * (float)fr_rng_double(&bed.rng);

        ids[i] = first + i;
        for (size_t n = 0; n < DIM; n++)
            vectors[i][n] = factor * ((float)fr_rng_double(&bed.rng) - 0.5F);
    }
    must(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, 64, ids, vectors[0], NULL));
}

Test(index_rebuild, finds_vectors_that_are_far_longer_than_the_first_were)
{
    uint64_t left;

    bed_open(FR_METRIC_INNER_PRODUCT);
    put_long(0, 1);
    for (uint64_t i = 1; i < 40; i++)
        put_long(64 * i, 100);
    must(fr_spfresh_maintain(bed.index, 0, &left));
    double before = recall();
    must(fr_spfresh_rebuild(bed.index, 1));
    double after = recall();
    cr_assert_lt(before, 0.5, "%g", before);
    cr_assert_gt(after, 0.9, "%g", after);
    must(fr_spfresh_check(bed.index));
    bed_close();
}

/* Or it would never be built anew for them. */
Test(index_rebuild, counts_those_beyond_its_reach_that_came_meanwhile)
{
    must(fr_set_allocator(&stopping));
    bed_open(FR_METRIC_INNER_PRODUCT);
    put_long(0, 1);
    is_to_outgrow = is_rebuilding = true;
    must(fr_spfresh_rebuild(bed.index, 1));
    is_rebuilding = false;
    cr_assert_not(is_to_outgrow);
    cr_assert_eq(bed.index->outgrown, LONGER_FEW);
    must(fr_spfresh_check(bed.index));
    bed_close();
}

/* Nobody asks for it. */
Test(index_rebuild, comes_by_itself_where_vectors_outgrow_the_first)
{
    uint64_t left;

    bed_open(FR_METRIC_INNER_PRODUCT);
    fr_spfresh_close(bed.index);
    bed.setup.manual = false;
    bed_open_index();
    put_long(0, 1);
    for (uint64_t i = 1; i < 40; i++)
        put_long(64 * i, i < 20 ? 10 : 100);
    must(fr_spfresh_maintain(bed.index, 0, &left));
    double found = recall();
    cr_assert_gt(found, 0.9, "%g", found);
    cr_assert_gt(bed.index->generation, 1);
    must(fr_spfresh_check(bed.index));
    bed_close();
}

/* ---- What goes wrong ---- */

Test(index_rebuild, leaves_all_as_it_was_without_memory)
{
    fr_status st = FR_ERR_NOMEM;

    bed_open(0);
    bed.may_be_poisoned = true; /* the simulated disk wants memory, too */
    fill_bed(10);
    for (uint64_t n = 1; st != FR_OK; n += 1 + n / 16) {
        fr_alloc_fail_at(n, n % 2 == 0);
        st = fr_spfresh_rebuild(bed.index, 1);
        fr_alloc_fail_at(0, false);
        /* Not even then. */
        cr_assert_neq(st, FR_ERR_CORRUPT, "%s", fr_last_error());
        cr_assert_eq(bed.index->generation, st == FR_OK ? 2 : 1);
        must(fr_spfresh_check(bed.index));
        bed_reopen(); /* there may have been no memory to clear up, either */
        cr_assert_eq(bed.index->rebuilt, 0);
        check_only_generation(st == FR_OK ? 2 : 1);
        must(fr_spfresh_check(bed.index));
    }
    check_all();
    bed_put_of(0, IDS, 20);
    check_all();
    bed_close();
}

/* Where the set of what has changed cannot grow, the write is none the worse for it. */
Test(index_rebuild, ends_when_it_cannot_remember)
{
    struct fr_rebuild rebuild = {.remembers = true};
    uint64_t ids[2] = {1, 2};

    bed_open(0);
    fr_mutex_lock(&bed.index->mu);
    bed.index->rebuild = &rebuild;
    fr_alloc_fail_at(1, false);
    fr_spfresh_remember_locked(bed.index, 2, ids);
    fr_alloc_fail_at(0, false);
    cr_assert_eq(rebuild.refused, FR_ERR_NOMEM);
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("index: a rebuild cannot remember what has changed"), 0);
#endif
    fr_spfresh_remember_locked(bed.index, 2, ids);
    cr_assert_eq(rebuild.changed.count, 0);
    bed.index->rebuild = NULL;
    fr_mutex_unlock(&bed.index->mu);
    bed_close();
}

/* The n-th write of the rebuild fails, and with it the log: what there is then is found again. */
Test(index_rebuild, leaves_one_or_the_other_where_a_write_fails)
{
    bool any_failed = false, failed = true;

    bed_open(0);
    fill_bed(10);
    for (uint64_t n = 1; failed; n += 1 + n / 4) {
        struct fr_sim_fault fault = {.ops = FR_SIM_MASK(FR_SIM_WRITE) |
                                            FR_SIM_MASK(FR_SIM_WRITE_DSYNC) |
                                            FR_SIM_MASK(FR_SIM_SYNC),
                .nth = n,
                .forever = true};

        must(fr_sim_fault_add(bed.world.sim, &fault));
        fr_status st = fr_spfresh_rebuild(bed.index, 1);
        if (st == FR_OK) st = fr_engine_flush(bed.engine);
        failed = st < 0;
        any_failed |= failed;
        if (failed) must(fr_spfresh_check(bed.index));
        fr_spfresh_close(bed.index);
        (void)fr_engine_close(bed.engine);
        fr_sim_fault_clear(bed.world.sim);
        bed_open_engine();
        bed_open_index();
        cr_assert_eq(bed.index->rebuilt, 0);
        check_only_generation(bed.index->generation);
        check_all();
    }
    cr_assert(any_failed);
    bed_close();
}

/* What the old tree has of such a row is all there is of it. */
Test(index_rebuild, ends_at_a_row_that_cannot_be_read)
{
    uint64_t id = 0;

    bed_open(0);
    fill_bed(20);
    while (!bed.there[id])
        id++;
    put_key(bed.engine, fr_key_vector(&bed.index->prefix, id), "\1\1\0\0cut", 7);
    must_be(FR_ERR_CORRUPT, fr_spfresh_rebuild(bed.index, 1));
    cr_assert_eq(bed.index->generation, 1);
    check_only_generation(1);
    bed_check_found(false);
    must(fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, bed.vectors[id], NULL));
    must(fr_spfresh_rebuild(bed.index, 1));
    check_only_generation(2);
    check_all();
    bed_close();
}

static _Atomic(bool) rebuild_is_over;

static void rebuild_once(void *arg)
{
    *(fr_status *)arg = fr_spfresh_rebuild(bed.index, 2);
    atomic_store(&rebuild_is_over, true);
}

/* Wherever it is then; it may have come to its end. */
Test(index_rebuild, ends_when_the_index_is_closed)
{
    unsigned cancelled = 0;

    bed_open(0);
    fill_bed(60);
    for (int round = 0; round < 8; round++) {
        struct fr_thread thread = {0};
        fr_status st = FR_OK;

        atomic_store(&rebuild_is_over, false);
        must(fr_thread_start(&thread, "rebuild", rebuild_once, &st));
        while (bed_stats().rebuild_of == 0 && !atomic_load(&rebuild_is_over))
            fr_thread_pause();
        fr_spfresh_close(bed.index);
        fr_thread_join(&thread);
        cr_assert(st == FR_OK || st == FR_ERR_CANCELLED, "%d", st);
        cancelled += st == FR_ERR_CANCELLED;
        bed_open_index();
        cr_assert_eq(bed.index->rebuilt, 0);
        check_only_generation(bed.index->generation);
        check_all();
    }
    fprintf(stderr, "%u of 8 were cancelled\n", cancelled);
    bed_close();
}

/* As if the process had died just before the swap, or just behind it. */
Test(index_rebuild, what_another_generation_has_left_behind_is_removed_at_opening)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    bed_open(0);
    fill_bed(10);
    must(fr_spfresh_rebuild(bed.index, 1));
    for (uint32_t generation = 0; generation < 5; generation++) {
        struct fr_index_key keys[2] = {
                fr_key_posting(&bed.index->prefix, generation == 4 ? UINT32_MAX : generation, 5),
                fr_key_centroid(&bed.index->prefix, generation, 1, 7)};

        for (int i = 0; i < 2 && generation != 2; i++)
            must(fr_batch_add_put(&batch, fr_index_key_slice(&keys[i]), fr_slice_of("?", 1)));
    }
    must(fr_batch_finish(&batch, &bytes));
    must(fr_engine_write(bed.engine, bytes, batch.count, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
    cr_assert_gt(count_keys('p', 0), count_keys('p', 2));
    bed.setup.read_only = true; /* it is not for a reader to do */
    bed_reopen();
    cr_assert_gt(count_keys('p', 0), count_keys('p', 2));
    check_all();
    bed.setup.read_only = false;
    bed_reopen();
    cr_assert_eq(bed.index->rebuilt, 0);
    check_only_generation(2);
    check_all();
#ifndef NDEBUG
    cr_assert_gt(fr_cover_count("index: another generation is left over"), 0);
#endif
    bed_close();
}

/* ---- A full disk ---- */

/* Payloads that do not compress, until there is no space for another. */
static void fill_disk(void)
{
    static uint8_t bytes[4000];
    struct fr_payload payload = {.data = bytes, .size = sizeof(bytes)};
    fr_status st = FR_OK;
    float x[DIM];

    for (uint64_t id = 0; st == FR_OK; id++) {
        fr_rng_fill(&bed.rng, bytes, sizeof(bytes));
        bed_draw(&bed.rng, x);
        st = fr_spfresh_upsert(bed.index, FR_DURABLE_OS, 1, &id, x, &payload);
    }
    cr_assert_eq(st, FR_ERR_NOSPACE);
}

Test(index_rebuild, gives_way_on_a_full_disk)
{
    struct fr_sim_options disk = {.seed = 1, .capacity_bytes = 24 << 20};
    struct fr_engine_options options = fr_engine_options_default();
    struct fr_rebuild rebuild = {.remembers = true};
    struct fr_sim *sim;
    size_t deleted;

    memset(&bed, 0, sizeof(bed));
    bed.setup = (struct fr_spfresh_setup){.create = true, .manual = true, .dimension = DIM};
    fr_rng_init(&bed.rng, 1);
    must(fr_sim_open(&disk, &sim));
    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.log_segment_size = 1 << 20;
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &bed.engine));
    bed_open_index();
    fill_disk();
    must_be(FR_ERR_NOSPACE, fr_spfresh_rebuild(bed.index, 1));
    must(fr_spfresh_check(bed.index));
    cr_assert_eq(bed.index->generation, 1);
    fr_mutex_lock(&bed.index->mu);
    bed.index->rebuild = &rebuild; /* one that is under way */
    fr_mutex_unlock(&bed.index->mu);
    for (uint64_t id = 0; id < 20; id++)
        must(fr_spfresh_delete(bed.index, FR_DURABLE_OS, 1, &id, &deleted));
    cr_assert_eq(rebuild.refused, FR_ERR_NOSPACE);
    fr_mutex_lock(&bed.index->mu);
    bed.index->rebuild = NULL;
    fr_mutex_unlock(&bed.index->mu);
    fr_id_set_deinit(&rebuild.changed);
    must(fr_spfresh_check(bed.index));
    fr_spfresh_close(bed.index);
    must(fr_engine_close(bed.engine));
    fr_sim_close(sim);
}
