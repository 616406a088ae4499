/*
 * index_search_test.c - searches: distances, efforts, many queries at once, and what is told of
 * them.
 */
#include <math.h>

#include "base/alloc.h"
#include "tests/unit/spfresh/index_bed.h"

static double distance(int metric, const float *a, const float *b)
{
    double square = 0, product = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < DIM; i++) {
        double x = (double)a[i], y = (double)b[i];

        square += (x - y) * (x - y);
        product += x * y;
        aa += x * x;
        bb += y * y;
    }
    return metric == FR_METRIC_L2       ? square
           : metric == FR_METRIC_COSINE ? 1 - product / sqrt(aa * bb)
                                        : -product;
}

/* What distances are like: from the query to some vector of another cluster. */
static double spread(int metric, const float *query)
{
    double most = 0;

    for (uint64_t id = 0; id < 100; id++)
        if (bed.there[id]) most = fmax(most, fabs(distance(metric, query, bed.vectors[id])));
    return most;
}

Test(index_search, serves_each_metric)
{
    for (int metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        struct fr_search_options exact = {.exhaustive = true}, usual = {.exact_distances = true};
        size_t right = 0, count;

        bed_open((enum fr_metric)metric);
        for (int round = 0; round < 40; round++)
            bed_put(64);
        bed_maintain();
        bed_check_all();
        for (int n = 0; n < 50; n++) {
            struct fr_hit truth[10], hits[10], about[10];
            float query[DIM];

            bed_draw(&bed.rng, query);
            must(fr_spfresh_search(bed.index, &exact, query, 10, truth, &count));
            cr_assert_eq(count, 10);
            must(fr_spfresh_search(bed.index, &usual, query, 10, hits, &count));
            cr_assert_eq(count, 10);
            must(fr_spfresh_search(bed.index, &(struct fr_search_options){.recall = 0.99}, query,
                    10, about, &count));
            for (size_t i = 0; i < 10; i++) {
                for (size_t j = 0; j < 10; j++)
                    right += hits[i].id == truth[j].id;
                double right_one = distance(metric, query, bed.vectors[about[i].id]);
                cr_assert_float_eq(about[i].distance, right_one, 0.004 * spread(metric, query),
                        "metric %d: %g, not %g", metric, (double)about[i].distance, right_one);
                right_one = distance(metric, query, bed.vectors[hits[i].id]);
                cr_assert_float_eq(hits[i].distance, right_one, 1e-5 * spread(metric, query));
            }
        }
        cr_assert_gt(right, 470, "metric %d: %zu of 500", metric, right);
        bed_close();
    }
}

/* ---- Effort ---- */

/* Data in which nothing is near to anything, in place of whatever was there. */
static void put_even(float width)
{
    for (uint64_t id = 0; id < IDS; id++) {
        for (size_t i = 0; i < DIM; i++)
            bed.vectors[id][i] = width * (float)fr_rng_double(&bed.rng);
        must(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, 1, &id, bed.vectors[id], NULL));
    }
    bed_maintain();
}

/* Of such data more is looked at, for the same recall. */
static void check_even_recall(void)
{
    static const struct fr_search_options exact = {.exhaustive = true}, usual = {.recall = 0.95};
    struct fr_hit truth[10], hits[10];
    size_t right = 0, count;

    for (uint64_t id = 0; id < 100; id++) {
        must(fr_spfresh_search(bed.index, &exact, bed.vectors[id], 10, truth, &count));
        must(fr_spfresh_search(bed.index, &usual, bed.vectors[id], 10, hits, &count));
        for (size_t i = 0; i < 10; i++)
            for (size_t j = 0; j < 10; j++)
                right += hits[i].id == truth[j].id;
    }
    cr_assert_gt(right, 920, "%zu of 1000", right);
}

Test(index_search, learns_which_effort_its_data_need)
{
    bed_open(0);
    float before = atomic_load(&bed.index->efforts.recalls[3]);
    put_even(1);
    cr_assert_neq(atomic_load(&bed.index->efforts.recalls[3]), before);
    check_even_recall();
    bed_close();
}

/* As many vectors as before may be quite other ones. */
Test(index_search, learns_it_again_when_its_data_have_changed)
{
    bed_open(0);
    for (uint64_t id = 0; id < IDS; id++) {
        bed_draw(&bed.rng, bed.vectors[id]);
        must(fr_spfresh_upsert(bed.index, FR_DURABLE_NONE, 1, &id, bed.vectors[id], NULL));
    }
    bed_maintain();
    float before = atomic_load(&bed.index->efforts.recalls[1]);
    put_even(25); /* about as wide as what was there */
    check_even_recall();
    cr_assert_lt(atomic_load(&bed.index->efforts.recalls[1]), before);
    check_even_recall();
    bed_close();
}

Test(index_search, finds_all_within_a_distance)
{
    static struct fr_hit truth[IDS], hits[IDS];
    struct fr_search_options exact = {.exhaustive = true, .limited = true};
    struct fr_search_options near = {.limited = true, .recall = 0.99, .exact_distances = true};
    size_t there, count;

    bed_open(0);
    for (int round = 0; round < 40; round++)
        bed_put(64);
    bed_maintain();
    for (float radius = 0.5F; radius < 3000; radius *= 3) {
        exact.max_distance = near.max_distance = radius;
        must(fr_spfresh_search(bed.index, &exact, bed.vectors[0], IDS, truth, &there));
        must(fr_spfresh_search(bed.index, &near, bed.vectors[0], IDS, hits, &count));
        cr_assert_leq(count, there);
        cr_assert_geq((double)count, 0.97 * (double)there, "%zu of %zu", count, there);
        for (size_t i = 0; i < count; i++)
            cr_assert_leq(hits[i].distance, radius);
    }
    cr_assert_gt(there, 100);
    bed_close();
}

/* ---- Many queries at once ---- */

#define QUERIES 150
#define K_BATCH 12

static float batch_queries[QUERIES][DIM];

static void draw_queries(void)
{
    for (size_t i = 0; i < QUERIES; i++)
        bed_draw(&bed.rng, batch_queries[i]);
    /* The same one several times, next to each other and not. */
    for (size_t i = 20; i < 30; i++)
        memcpy(batch_queries[i], batch_queries[3], sizeof(batch_queries[3]));
}

static void check_same(const struct fr_hit *hits, const struct fr_hit *others, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(hits[i].id, others[i].id, "hit %zu", i);
        cr_assert_eq(hits[i].distance, others[i].distance, "hit %zu", i);
    }
}

static void check_batch(const struct fr_search_options *how)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_hit alone[K_BATCH];
    size_t counts[QUERIES], count;

    must(fr_spfresh_search_batch(bed.index, how, QUERIES, batch_queries[0], K_BATCH, hits[0],
            counts));
    for (size_t i = 0; i < QUERIES; i++) {
        must(fr_spfresh_search(bed.index, how, batch_queries[i], K_BATCH, alone, &count));
        cr_assert_eq(counts[i], count);
        check_same(hits[i], alone, count);
    }
}

Test(index_search, a_batch_answers_each_query_as_if_it_were_alone)
{
    struct fr_search_options ways[] = {{.recall = 0.9}, {.postings = 3, .exact_distances = true},
            {.exhaustive = true}, {.limited = true, .max_distance = 20},
            {.limited = true, .max_distance = 0.01F, .exact_distances = true}};

    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_INNER_PRODUCT; metric++) {
        bed_open(metric);
        for (int round = 0; round < 60; round++)
            bed_put(64);
        bed_maintain();
        draw_queries();
        for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
            for (uint32_t threads = 0; threads < 6; threads += 1 + threads) {
                ways[i].threads = threads;
                check_batch(&ways[i]);
            }
        bed_close();
    }
}

Test(index_search, a_batch_ends_with_its_first_failure)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_options how = {.exact_distances = true, .threads = 3};
    size_t counts[QUERIES];

    bed_open(0);
    draw_queries();
    must(fr_spfresh_search_batch(bed.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
            counts));
    cr_assert_eq(counts[QUERIES - 1], 0);
    bed_put(64);
    batch_queries[77][5] = NAN;
    must_be(FR_ERR_MISUSE, fr_spfresh_search_batch(bed.index, &how, QUERIES, batch_queries[0],
                                   K_BATCH, hits[0], counts));
    must_say("query 77: its value 5");
    bed_close();
}

Test(index_search, a_search_that_is_warm_allocates_nothing)
{
    struct fr_hit hits[K_BATCH];
    size_t count;

    bed_open(0);
    for (int round = 0; round < 60; round++)
        bed_put(64);
    bed_maintain();
    draw_queries();
    for (int round = 0; round < 2; round++) {
        fr_alloc_fail_at(round, true); /* none at first */
        for (size_t i = 0; i < QUERIES; i++)
            must(fr_spfresh_search(bed.index, &(struct fr_search_options){0}, batch_queries[i],
                    K_BATCH, hits, &count));
        fr_alloc_fail_at(0, false);
    }
    bed_close();
}

Test(index_search, a_batch_that_finds_no_memory_ends_and_can_be_repeated)
{
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_options how = {.exact_distances = true, .threads = 2};
    size_t counts[QUERIES];
    fr_status st;

    bed_open(0);
    for (int round = 0; round < 20; round++)
        bed_put(64);
    draw_queries();
    for (uint64_t n = 1; n < 30; n++) {
        fr_alloc_fail_at(n, n % 2 == 0);
        st = fr_spfresh_search_batch(bed.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
                counts);
        fr_alloc_fail_at(0, false);
        cr_assert(st == FR_OK || st == FR_ERR_NOMEM);
        cr_assert(n > 1 || st == FR_ERR_NOMEM);
    }
    check_batch(&how);
    bed_close();
}

/* ---- What a search did ---- */

static uint64_t scanned_until_now(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(bed.index, &stats);
    return stats.scanned;
}

static void fill_index(void)
{
    for (int round = 0; round < 80; round++)
        bed_put(64);
    bed_maintain();
    draw_queries();
}

Test(index_search, a_record_tells_what_a_search_did_and_changes_nothing)
{
    static struct fr_search_posting postings[IDS];
    struct fr_search_record record = {.postings = postings, .postings_room = IDS};
    struct fr_search_options plain = {.exact_distances = true}, told = plain;
    struct fr_hit hits[K_BATCH], again[K_BATCH];
    size_t count, count_again;

    bed_open(0);
    fill_index();
    told.ret_records = &record;
    for (size_t q = 0; q < QUERIES; q++) {
        must(fr_spfresh_search(bed.index, &plain, batch_queries[q], K_BATCH, hits, &count));
        uint64_t before = scanned_until_now(), scanned = 0, codes = 0;
        must(fr_spfresh_search(bed.index, &told, batch_queries[q], K_BATCH, again, &count_again));
        cr_assert_eq(count, count_again);
        check_same(hits, again, count);
        cr_assert_geq(record.tiers, 1);
        for (size_t i = 0; i <= record.tiers; i++)
            scanned += record.steps[i].scanned;
        cr_assert_eq(scanned, scanned_until_now() - before);
        cr_assert_leq(record.steps[0].postings, record.effort_postings);
        for (size_t i = 0; i < record.steps[0].postings; i++) {
            codes += postings[i].count;
            if (i > 0) cr_assert_geq(postings[i].distance, postings[i - 1].distance);
        }
        cr_assert_eq(codes, record.steps[0].scanned);
        cr_assert_geq(record.steps[0].measured, count);
        cr_assert_geq(record.finished, count);
        cr_assert_eq(record.rounds, 1);
        cr_assert_eq(record.rows_read, count);
        cr_assert_geq(record.bytes_read, count * DIM * sizeof(float));
    }
    bed_close();
}

Test(index_search, each_query_of_a_batch_has_a_record_of_its_own)
{
    static struct fr_search_record records[QUERIES];
    static struct fr_hit hits[QUERIES][K_BATCH];
    struct fr_search_why why = {.id = 0};
    struct fr_search_options how = {.threads = 3, .ret_records = records};
    size_t counts[QUERIES];

    bed_open(FR_METRIC_COSINE);
    fill_index();
    for (int way = 0; way < 4; way++) {
        how.exact_distances = way % 2 == 1;
        how.exhaustive = way / 2 == 1;
        records[30].why = &why;
        must(fr_spfresh_search_batch(bed.index, &how, QUERIES, batch_queries[0], K_BATCH, hits[0],
                counts));
        for (size_t q = 0; q < QUERIES; q++) {
            cr_assert_eq(records[q].rounds, !how.exhaustive);
            cr_assert_eq(records[q].rows_read, how.exhaustive        ? bed.count
                                               : how.exact_distances ? K_BATCH
                                                                     : 0);
        }
        cr_assert_eq(why.verdict != FR_WHY_MISSING, bed.there[0]);
    }
    bed_close();
}

static bool is_listed(const struct fr_search_record *record, uint64_t posting)
{
    for (size_t i = 0; i < record->steps[0].postings; i++)
        if (record->postings[i].number == posting) return true;
    return false;
}

/* The verdict on one id, and that its figures go with it. */
static fr_why check_why(const struct fr_search_record *record, const struct fr_search_why *why,
        const struct fr_hit *hits, size_t count)
{
    bool is_hit = false;

    for (size_t i = 0; i < count; i++)
        is_hit = is_hit || hits[i].id == why->id;
    cr_assert_eq(why->verdict == FR_WHY_HIT, is_hit);
    cr_assert_eq(why->verdict == FR_WHY_MISSING, !bed.there[why->id]);
    if (!bed.there[why->id]) return why->verdict;
    double right = distance(bed.setup.metric, batch_queries[0], bed.vectors[why->id]);
    cr_assert_float_eq(why->distance, right, 0.004 * spread(bed.setup.metric, batch_queries[0]));
    if (!why->probed) cr_assert_not(is_listed(record, why->posting));
    if (why->probed) cr_assert(is_listed(record, why->posting));
    if (why->posting_rank <= 1) cr_assert(why->probed);
    if (why->verdict == FR_WHY_NOT_MEASURED) cr_assert_gt(why->estimate, why->limit);
    if (why->verdict == FR_WHY_BEATEN)
        cr_assert_geq(why->distance, hits[count - 1].distance * 0.99F);
    return why->verdict;
}

static void check_whys(const struct fr_search_options *way, size_t ret_verdicts[6])
{
    static struct fr_search_posting postings[IDS];
    struct fr_search_why why = {.size = sizeof(why)};
    struct fr_search_record record = {.postings = postings, .postings_room = IDS, .why = &why};
    struct fr_search_options how = *way;
    struct fr_hit hits[K_BATCH];
    size_t count;

    how.ret_records = &record;
    memset(ret_verdicts, 0, 6 * sizeof(*ret_verdicts));
    for (why.id = 0; why.id < IDS; why.id++) {
        must(fr_spfresh_search(bed.index, &how, batch_queries[0], K_BATCH, hits, &count));
        if (!how.exhaustive && !how.limited)
            ret_verdicts[check_why(&record, &why, hits, count)]++;
        else
            ret_verdicts[why.verdict]++;
    }
    cr_assert_eq(ret_verdicts[FR_WHY_HIT], count);
    cr_assert_eq(ret_verdicts[FR_WHY_MISSING], IDS - bed.count);
}

Test(index_search, what_became_of_each_id_is_told)
{
    size_t verdicts[6];

    for (enum fr_metric metric = FR_METRIC_L2; metric <= FR_METRIC_COSINE; metric++) {
        bed_open(metric);
        fill_index();
        check_whys(&(struct fr_search_options){.postings = 4}, verdicts);
        cr_assert_gt(verdicts[FR_WHY_NOT_PROBED], 100);
        cr_assert_gt(verdicts[FR_WHY_NOT_MEASURED], 10);
        cr_assert_gt(verdicts[FR_WHY_BEATEN], 1);
        check_whys(&(struct fr_search_options){.exhaustive = true}, verdicts);
        cr_assert_eq(verdicts[FR_WHY_BEATEN], bed.count - K_BATCH);
        check_whys(&(struct fr_search_options){.limited = true}, verdicts);
        cr_assert_eq(verdicts[FR_WHY_FAR], bed.count);
        bed_close();
    }
}
