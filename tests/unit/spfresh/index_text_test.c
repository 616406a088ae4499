/*
 * index_text_test.c - an index whose ids are text, against a plain model: the latest vector of
 * each.
 *
 * fr_spfresh_check sees whether texts, numbers and rows belong together.
 */
#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "base/thread.h"
#include "io/sim.h"
#include "spfresh/index_priv.h"
#include "tests/unit/io/test_world.h"

#define DIM   8
#define TEXTS 400

struct bed {
    struct test_world world;
    struct fr_engine *engine;
    struct fr_spfresh *index;
    struct fr_rng rng;
    bool there[TEXTS];
    uint64_t numbers[TEXTS];
    float vectors[TEXTS][DIM];
};

static struct bed t;

static const struct fr_spfresh_setup of_text = {
        .create = true, .manual = true, .dimension = DIM, .id_kind = FR_ID_TEXT, .seed = 7};

static void open_all(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 128 << 10;
    options.cache_size = 1 << 20;
    must(fr_engine_open(t.world.env, fr_dir_path(t.world.dir), &options, &t.engine));
    must(fr_spfresh_open(t.engine, "", &of_text, &t.index));
}

static void close_all(void)
{
    fr_spfresh_close(t.index);
    must(fr_engine_close(t.engine));
}

static void open_bed(void)
{
    memset(&t, 0, sizeof(t));
    t.world = test_world_open();
    fr_rng_init(&t.rng, 1);
    open_all();
}

static void close_bed(void)
{
    close_all();
    test_world_close(&t.world);
}

/* Of one to 64 bytes, zeros and slashes among them; the memory is the caller's. */
static struct fr_text_id text_of(size_t n, char to[FR_TEXT_ID_MAX])
{
    size_t size = n % FR_TEXT_ID_MAX + 1;

    memset(to, n % 3 == 0 ? '/' : '\0', FR_TEXT_ID_MAX);
    to[0] = (char)n;
    if (size > 1) to[size - 1] = (char)(n >> 8);
    if (size == 1) to[0] = (char)(n / FR_TEXT_ID_MAX);
    return (struct fr_text_id){.data = to, .size = size};
}

static void draw(struct fr_rng *rng, float *x)
{
    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)fr_rng_double(rng);
}

static void put_some(size_t count)
{
    char bytes[64][FR_TEXT_ID_MAX];
    struct fr_text_id ids[64];
    float vectors[64][DIM];

    for (size_t i = 0; i < count; i++) {
        size_t n = fr_rng_below(&t.rng, i % 4 == 0 ? 10 : TEXTS); /* some come twice */
        ids[i] = text_of(n, bytes[i]);
        draw(&t.rng, vectors[i]);
        memcpy(t.vectors[n], vectors[i], sizeof(vectors[i]));
        t.there[n] = true;
    }
    must(fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, count, ids, vectors[0], NULL));
}

static void delete_some(size_t count)
{
    char bytes[64][FR_TEXT_ID_MAX];
    struct fr_text_id ids[64];
    size_t expected = 0, deleted;

    for (size_t i = 0; i < count; i++) {
        size_t n = fr_rng_below(&t.rng, TEXTS);
        ids[i] = text_of(n, bytes[i]);
        expected += t.there[n];
        t.there[n] = false;
        t.numbers[n] = 0;
    }
    must(fr_spfresh_delete_text(t.index, FR_DURABLE_OS, count, ids, &deleted));
    cr_assert_eq(deleted, expected);
}

/* A text that stays keeps its number. */
static void check_one(size_t n)
{
    struct fr_engine_value value;
    char bytes[FR_TEXT_ID_MAX];
    uint64_t number;
    float vector[DIM];
    fr_slice payload;

    fr_status st = fr_spfresh_find_text(t.index, text_of(n, bytes), &number);
    cr_assert_eq(st, t.there[n] ? FR_OK : FR_NOT_FOUND, "text %zu", n);
    if (!t.there[n]) return;
    if (t.numbers[n] != 0) cr_assert_eq(number, t.numbers[n], "text %zu", n);
    t.numbers[n] = number;
    must(fr_spfresh_get(t.index, number, vector, &value, &payload));
    cr_assert_eq(memcmp(vector, t.vectors[n], sizeof(vector)), 0);
    cr_assert_eq(payload.size, 0);
    fr_engine_value_release(&value);
}

static void check_all(void)
{
    must(fr_spfresh_check(t.index));
    for (size_t n = 0; n < TEXTS; n++)
        check_one(n);
}

Test(index_text, what_came_and_left_is_there_and_not_there_also_after_opening_again)
{
    open_bed();
    for (int round = 0; round < 60; round++) {
        put_some(1 + fr_rng_below(&t.rng, 64));
        delete_some(1 + fr_rng_below(&t.rng, 20));
        if (round % 10 != 9) continue;
        check_all();
        must(fr_spfresh_maintain(t.index, 0, &(uint64_t){0}));
        close_all();
        open_all();
        check_all();
    }
    close_bed();
}

Test(index_text, comes_back_from_its_rows)
{
    open_bed();
    for (int round = 0; round < 20; round++)
        put_some(64);
    must(fr_spfresh_forget_derived(t.index));
    close_all();
    open_all();
    cr_assert_eq(t.index->rebuilt, 1);
    check_all();
    put_some(64);
    check_all();
    close_bed();
}

/* ---- Hits ---- */

static void check_hits(const struct fr_search_options *how, struct fr_text *texts)
{
    struct fr_search_options wanting = *how;
    struct fr_hit hits[2][30];
    size_t counts[2];

    wanting.ret_texts = texts;
    must(fr_spfresh_search_batch(t.index, &wanting, 2, t.vectors[0], 30, hits[0], counts));
    for (size_t i = 0; i < 60; i++) {
        uint64_t number;
        cr_assert_eq(counts[i / 30], 30);
        struct fr_text_id id = {.data = texts[i].data, .size = texts[i].size};
        must(fr_spfresh_find_text(t.index, id, &number));
        cr_assert_eq(number, hits[i / 30][i % 30].id);
    }
}

Test(index_text, hits_have_their_texts)
{
    static struct fr_text texts[60];

    open_bed();
    for (int round = 0; round < 20; round++)
        put_some(64);
    check_hits(&(struct fr_search_options){.recall = 0.9}, texts);
    check_hits(&(struct fr_search_options){.exact_distances = true}, texts);
    check_hits(&(struct fr_search_options){.exhaustive = true}, texts);
    check_hits(&(struct fr_search_options){.limited = true, .max_distance = 1e9F}, texts);
    close_bed();
}

/* ---- What is refused ---- */

Test(index_text, refuses_what_is_no_id_of_its_kind)
{
    struct fr_spfresh_setup setup = {.create = true, .manual = true, .dimension = DIM};
    struct fr_text_id good = {.data = "red", .size = 3}, ids[3] = {good, good, good};
    float vectors[3][DIM] = {{1}, {2}, {3}};
    struct fr_spfresh *other;
    struct fr_text text;
    uint64_t id = 1;
    struct fr_hit hit;
    size_t count;

    open_bed();
    for (size_t size = 0; size <= FR_TEXT_ID_MAX + 1; size += FR_TEXT_ID_MAX + 1) {
        ids[1].size = size;
        must_be(FR_ERR_MISUSE,
                fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 3, ids, vectors[0], NULL));
        must_say("id 1");
    }
    vectors[2][1] = NAN;
    ids[1].size = 3;
    must_be(FR_ERR_MISUSE,
            fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 3, ids, vectors[0], NULL));
    must_say("vector \"red\": value 1");
    must_be(FR_NOT_FOUND, fr_spfresh_find_text(t.index, good, &id));
    must_be(FR_ERR_MISUSE, fr_spfresh_upsert(t.index, FR_DURABLE_OS, 1, &id, vectors[0], NULL));
    must_be(FR_ERR_MISUSE, fr_spfresh_delete(t.index, FR_DURABLE_OS, 1, &id, &count));
    must(fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &good, vectors[0], NULL));
    must(fr_spfresh_open(t.engine, "numbers", &setup, &other));
    must(fr_spfresh_upsert(other, FR_DURABLE_OS, 1, &id, vectors[0], NULL));
    must_be(FR_ERR_MISUSE,
            fr_spfresh_upsert_text(other, FR_DURABLE_OS, 1, &good, vectors[0], NULL));
    must_be(FR_ERR_MISUSE, fr_spfresh_delete_text(other, FR_DURABLE_OS, 1, &good, &count));
    must_be(FR_ERR_MISUSE, fr_spfresh_search(other, &(struct fr_search_options){.ret_texts = &text},
                                   vectors[0], 1, &hit, &count));
    fr_spfresh_close(other);
    must_be(FR_ERR_MISUSE, fr_spfresh_open(t.engine, "numbers", &of_text, &other));
    must_say("ids of kind 1, not 2");
    close_bed();
}

/* ---- By several threads ---- */

#define WRITERS 4

static void write_on(void *arg)
{
    struct fr_rng rng;

    fr_rng_init(&rng, *(uint64_t *)arg);
    for (int round = 0; round < 60; round++) {
        char bytes[8][FR_TEXT_ID_MAX];
        struct fr_text_id ids[8];
        float vectors[8][DIM];
        size_t deleted;

        for (size_t i = 0; i < 8; i++) {
            ids[i] = text_of(fr_rng_below(&rng, 30), bytes[i]);
            draw(&rng, vectors[i]);
        }
        FR_ASSERT(fr_spfresh_upsert_text(t.index, FR_DURABLE_NONE, 8, ids, vectors[0], NULL) ==
                  FR_OK);
        FR_ASSERT(fr_spfresh_delete_text(t.index, FR_DURABLE_NONE, 2, ids, &deleted) == FR_OK);
    }
}

/* Each text has one number and one row, whoever came first. */
Test(index_text, many_may_write_the_same_texts)
{
    struct fr_thread threads[WRITERS];
    uint64_t seeds[WRITERS];

    open_bed();
    for (size_t i = 0; i < WRITERS; i++) {
        seeds[i] = i;
        must(fr_thread_start(&threads[i], "write", write_on, &seeds[i]));
    }
    for (size_t i = 0; i < WRITERS; i++)
        fr_thread_join(&threads[i]);
    must(fr_spfresh_check(t.index));
    close_all();
    open_all();
    must(fr_spfresh_check(t.index));
    close_bed();
}

Test(index_text, a_write_that_finds_no_memory_changes_nothing)
{
    char bytes[FR_TEXT_ID_MAX];
    float vector[DIM] = {1};
    fr_status st = FR_OK;
    uint64_t n = 1;

    open_bed();
    put_some(64);
    for (; n < 100; n++) {
        struct fr_text_id id = text_of(TEXTS + n, bytes);
        fr_alloc_fail_at(n, false);
        st = fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &id, vector, NULL);
        fr_alloc_fail_at(0, false);
        if (st != FR_ERR_NOMEM) break; /* the simulated disk wants memory, too, and ends it all */
        must_be(FR_NOT_FOUND, fr_spfresh_find_text(t.index, id, &(uint64_t){0}));
        must(fr_spfresh_check(t.index));
    }
    cr_assert_gt(n, 3);
    check_all();
    fr_spfresh_close(t.index);
    (void)fr_engine_close(t.engine); /* its log may take nothing any more */
    open_all();
    must(fr_spfresh_check(t.index));
    check_all();
    close_bed();
}

/* ---- A full disk ---- */

static void open_on_small_disk(struct fr_sim *sim)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.cache_size = 1 << 20;
    options.log_segment_size = 1 << 20;
    must(fr_engine_open(fr_sim_env(sim), "store", &options, &t.engine));
    must(fr_spfresh_open(t.engine, "", &of_text, &t.index));
}

static struct fr_text_id numbered(size_t n, char to[FR_TEXT_ID_MAX])
{
    return (struct fr_text_id){
            .data = to, .size = (size_t)snprintf(to, FR_TEXT_ID_MAX, "number %zu", n)};
}

static size_t fill_disk(void)
{
    static uint8_t bytes[4000];
    struct fr_payload payload = {.data = bytes, .size = sizeof(bytes)};
    char text[FR_TEXT_ID_MAX];
    float x[DIM];

    for (size_t n = 0;; n++) {
        struct fr_text_id id = numbered(n, text);
        fr_rng_fill(&t.rng, bytes, sizeof(bytes));
        draw(&t.rng, x);
        fr_status st = fr_spfresh_upsert_text(t.index, FR_DURABLE_OS, 1, &id, x, &payload);
        if (st == FR_ERR_NOSPACE) return n;
        must(st);
    }
}

Test(index_text, deletes_on_a_full_disk_take_the_texts_along)
{
    struct fr_sim_options disk = {.seed = 1, .capacity_bytes = 32 << 20};
    char texts[4][FR_TEXT_ID_MAX];
    struct fr_text_id ids[4];
    struct fr_sim *sim;
    size_t deleted;

    memset(&t, 0, sizeof(t));
    fr_rng_init(&t.rng, 1);
    must(fr_sim_open(&disk, &sim));
    open_on_small_disk(sim);
    size_t end = fill_disk();
    cr_assert_gt(end, 1000);
    for (size_t n = 0; n < 20; n += 2) {
        ids[0] = numbered(n + 1, texts[0]);
        ids[1] = numbered(end + 100, texts[1]); /* never put */
        ids[2] = numbered(n, texts[2]);
        ids[3] = ids[0];
        must(fr_spfresh_delete_text(t.index, FR_DURABLE_OS, 4, ids, &deleted));
        cr_assert_eq(deleted, 2);
    }
    cr_assert_eq(t.index->derived, FR_DERIVED_GIVEN);
    must(fr_spfresh_check(t.index));
    close_all();
    open_on_small_disk(sim);
    must(fr_spfresh_check(t.index));
    must_be(FR_NOT_FOUND, fr_spfresh_find_text(t.index, ids[0], &(uint64_t){0}));
    cr_assert_eq(t.index->map.count, end - 20);
    close_all();
    fr_sim_close(sim);
}
