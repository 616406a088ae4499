/*
 * db_index_test.c - the vector index through the public headers, on a real file system and with
 * real processes.
 */
#define FR_ALLOW_MALLOC
#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/db/test_store.h"

#define DIM 32

static char path[64];
static struct fr_db *db;
static struct fr_index *vectors;

static void open_store(void)
{
    must(fr_db_open(path, NULL, &db));
}

static void open_index(void)
{
    struct fr_index_options options;

    fr_index_options_init(&options);
    options.dimension = DIM;
    must(fr_index_open(db, "", &options, &vectors));
}

static void setup(void)
{
    test_store_name(path);
    open_store();
    open_index();
}

static void close_all(void)
{
    fr_index_close(vectors);
    must(fr_db_close(db));
}

static void teardown(void)
{
    close_all();
    test_store_remove(path);
}

/* The vector of an id is always the same. */
static void fill(uint64_t id, float *x)
{
    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)((id * 31 + i * i) * 2654435761U % 1009) / 1009;
}

static void put(uint64_t id, const char *payload)
{
    struct fr_payload about = {.data = payload, .size = strlen(payload)};
    float x[DIM];

    fill(id, x);
    must(fr_index_upsert(vectors, NULL, 1, &id, x, &about));
}

TestSuite(db_index, .init = setup, .fini = teardown);

Test(db_index, gives_back_what_was_put_and_finds_it_first)
{
    struct fr_pinned payload = {0};
    float x[DIM], got[DIM];
    struct fr_hit hits[3];
    size_t count;

    for (uint64_t id = 1; id <= 200; id++)
        put(id, id % 2 == 0 ? "even" : "");
    fill(44, x);
    must(fr_index_search(vectors, NULL, x, 3, hits, &count));
    cr_assert_eq(count, 3);
    cr_assert_eq(hits[0].id, 44);
    cr_assert_lt(hits[0].distance, 1e-3F);
    must(fr_index_get(vectors, 44, got, &payload));
    cr_assert_eq(memcmp(got, x, sizeof(x)), 0);
    cr_assert_eq(payload.size, 4);
    cr_assert_eq(memcmp(payload.data, "even", 4), 0);
    fr_pinned_release(&payload);
    cr_assert_eq(fr_index_get(vectors, 1000, got, NULL), FR_NOT_FOUND);
}

Test(db_index, forgets_what_was_deleted)
{
    uint64_t ids[3] = {3, 4, 9999};
    struct fr_hit hits[50];
    size_t deleted, count;
    float x[DIM];

    for (uint64_t id = 1; id <= 20; id++)
        put(id, "");
    must(fr_index_delete(vectors, NULL, 3, ids, &deleted));
    cr_assert_eq(deleted, 2);
    fill(3, x);
    must(fr_index_search(vectors, NULL, x, 50, hits, &count));
    cr_assert_eq(count, 18);
    for (size_t i = 0; i < count; i++)
        cr_assert(hits[i].id != 3 && hits[i].id != 4);
}

/* A writer that dies while much comes leaves postings that are too large, and tiers to be made. */
Test(db_index, a_reader_finds_right_what_is_left_to_be_split, .timeout = 300)
{
    enum { COUNT = 36000, BATCH = 1000 };
    struct fr_write_options weak = {.size = sizeof(weak), .sync = FR_SYNC_NONE};
    struct fr_db_options store;
    struct fr_index_options options;
    struct fr_index_stats stats = {.size = sizeof(stats)};
    static float x[BATCH * DIM];
    static uint64_t ids[BATCH];
    uint64_t left;

    fr_index_close(vectors);
    fr_index_options_init(&options);
    options.dimension = DIM;
    options.manual_maintenance = true;
    must(fr_index_open(db, "", &options, &vectors));
    for (uint64_t start = 0; start < COUNT; start += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++) {
            ids[i] = start + i;
            fill(start + i, x + i * DIM);
        }
        must(fr_index_upsert(vectors, &weak, BATCH, ids, x, NULL));
        if (start < COUNT * 3 / 4) must(fr_index_maintain(vectors, 0, &left));
    }
    close_all();

    fr_db_options_init(&store);
    store.read_only = true;
    must(fr_db_open(path, &store, &db));
    must(fr_index_open(db, "", NULL, &vectors));
    must(fr_index_wait_loaded(vectors));
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_eq(stats.tiers, 3, "%llu tiers, so this tries nothing",
            (unsigned long long)stats.tiers);
    must(fr_index_verify(vectors));
    cr_assert_gt(stats.pending, 0, "nothing is left to be split, so this tries nothing");
}

Test(db_index, has_its_memory_on_the_store_s_account)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    for (uint64_t id = 0; id < 200; id++)
        put(id, "");
    must(fr_index_maintain(vectors, 0, NULL)); /* or it shrinks between the two answers */
    must(fr_index_stats_get(vectors, &stats));
    uint64_t held = test_store_number(db, "memory.indexes");
    cr_assert_geq(held, stats.bytes);
    cr_assert_leq(held, test_store_number(db, "memory.total"));

    /* More than the whole budget, and all goes on. */
    must(fr_db_set_memory_budget(db, 1 << 20));
    test_store_fill(db, 0, 500, 4000);
    must(fr_db_flush(db));
    put(200, "");
    fr_index_close(vectors);
    cr_assert_eq(test_store_number(db, "memory.indexes"), 0);
    open_index();
}

Test(db_index, lives_beside_keys_and_other_indexes)
{
    struct fr_index_options options;
    char name[FR_INDEX_NAME_MAX + 1];
    struct fr_index *other, *again;

    fr_index_options_init(&options);
    options.dimension = 3;
    options.metric = FR_METRIC_COSINE;
    must(fr_db_put(db, NULL, "key", 3, "value", 5));
    must(fr_index_open(db, "other", &options, &other));
    must_fail(fr_index_open(db, "other", &options, &again), FR_ERR_BUSY, "other");
    must_fail(fr_index_drop(db, "other"), FR_ERR_BUSY, "other");
    must_fail(fr_index_open(db, "a/b", &options, &again), FR_ERR_MISUSE, "letters");
    must(fr_index_next_name(db, NULL, name));
    cr_assert_str_eq(name, "");
    must(fr_index_next_name(db, name, name));
    cr_assert_str_eq(name, "other");
    cr_assert_eq(fr_index_next_name(db, name, name), FR_END);
    fr_index_close(other);
    must(fr_index_drop(db, "other"));
    options.create = false;
    must_fail(fr_index_open(db, "other", &options, &again), FR_ERR_MISSING, "other");
}

Test(db_index, tells_figures)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_hit hit;
    float x[DIM];
    size_t count;

    for (uint64_t id = 1; id <= 50; id++)
        put(id, "");
    fill(1, x);
    must(fr_index_search(vectors, NULL, x, 1, &hit, &count));
    must(fr_index_maintain(vectors, 0, NULL));
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_eq(stats.dimension, DIM);
    cr_assert_eq(stats.count, 50);
    cr_assert_eq(stats.upserts, 50);
    cr_assert_eq(stats.searches, 1);
    cr_assert_geq(stats.scanned, 50);
    cr_assert_eq(stats.pending, 0);
    cr_assert_gt(stats.bytes, 50 * DIM);
}

Test(db_index, is_built_anew_and_has_all_that_it_had)
{
    struct fr_rebuild_options how = {.size = sizeof(how), .threads = 2};
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_hit hits[2];
    float x[DIM];
    size_t count;

    for (uint64_t id = 1; id <= 300; id++)
        put(id, "");
    must(fr_index_maintain(vectors, 0, NULL));
    must(fr_index_rebuild(vectors, NULL));
    must(fr_index_rebuild(vectors, &how));
    how.size = 1;
    must_fail(fr_index_rebuild(vectors, &how), FR_ERR_MISUSE, "size 1");
    must_fail(fr_index_rebuild(NULL, NULL), FR_ERR_MISUSE, "NULL");
    must(fr_index_verify(vectors));
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_eq(stats.count, 300);
    cr_assert_eq(stats.rebuilds, 2);
    cr_assert_eq(stats.generation, 3);
    cr_assert_eq(stats.rebuild_of, 0);
    close_all();
    open_store();
    open_index();
    fill(44, x);
    must(fr_index_search(vectors, NULL, x, 2, hits, &count));
    cr_assert_eq(hits[0].id, 44);
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_eq(stats.generation, 3);
    cr_assert_eq(stats.rebuilt, 0);
    must(fr_index_verify(vectors));
    fr_index_close(vectors);
    cr_assert_eq(test_store_number(db, "memory.indexes"), 0);
    open_index();
}

/* ---- Payloads ---- */

static void put_numbered(uint64_t count)
{
    char payload[32];

    for (uint64_t id = 1; id <= count; id++) {
        snprintf(payload, sizeof(payload), "about %llu", (unsigned long long)id);
        put(id, payload);
    }
}

static void check_payload(const struct fr_hit *hit, struct fr_pinned *payload)
{
    char expected[32];

    snprintf(expected, sizeof(expected), "about %llu", (unsigned long long)hit->id);
    cr_assert_eq(payload->size, strlen(expected));
    cr_assert_eq(memcmp(payload->data, expected, payload->size), 0);
    fr_pinned_release(payload);
    cr_assert_null(payload->data);
}

Test(db_index, hits_come_with_their_payloads_if_that_is_wished_for)
{
    struct fr_pinned payloads[200];
    struct fr_search_options how = {.size = sizeof(how), .ret_payloads = payloads};
    struct fr_hit hits[200];
    size_t count;
    float x[DIM];

    put_numbered(180);
    must(fr_db_flush(db));
    put_numbered(90); /* some from tables, some from memory */
    for (int way = 0; way < 8; way++) {
        how.exact_distances = way % 2 == 1;
        how.exhaustive = way / 2 % 2 == 1;
        how.limited = way / 4 == 1;
        how.max_distance = 6;
        fill((uint64_t)way, x);
        must(fr_index_search(vectors, &how, x, 200, hits, &count));
        cr_assert(how.limited ? count > 0 && count < 180 : count == 180, "%d: %zu", way, count);
        for (size_t i = 0; i < count; i++)
            check_payload(&hits[i], &payloads[i]);
        for (size_t i = count; i < 200; i++)
            cr_assert_null(payloads[i].data);
    }
}

Test(db_index, each_query_of_a_batch_has_payloads_of_its_own)
{
    enum { QUERIES = 40, K = 7 };
    static struct fr_pinned payloads[QUERIES][K];
    struct fr_search_options how = {.size = sizeof(how), .ret_payloads = payloads[0], .threads = 2};
    static struct fr_hit hits[QUERIES][K];
    static float queries[QUERIES][DIM];
    size_t counts[QUERIES];

    put_numbered(100);
    for (size_t i = 0; i < QUERIES; i++)
        fill(i / 2, queries[i]);
    for (int round = 0; round < 2; round++) {
        how.exact_distances = round == 1;
        must(fr_index_search_batch(vectors, &how, QUERIES, queries[0], K, hits[0], counts));
        for (size_t i = 0; i < QUERIES; i++) {
            cr_assert_eq(counts[i], K);
            if (i > 1) cr_assert_eq(hits[i][0].id, i / 2);
            for (size_t j = 0; j < K; j++)
                check_payload(&hits[i][j], &payloads[i][j]);
        }
    }
    queries[7][0] = INFINITY;
    must_fail(fr_index_search_batch(vectors, &how, QUERIES, queries[0], K, hits[0], counts),
            FR_ERR_MISUSE, "query 7");
    for (size_t i = 0; i < QUERIES; i++)
        cr_assert_null(payloads[i][0].data);
}

/* ---- Ids of text ---- */

static struct fr_text_id text(const char *words)
{
    return (struct fr_text_id){.data = words, .size = strlen(words)};
}

static void check_red(struct fr_index *named, float first)
{
    struct fr_pinned payload = {0}, payloads[3];
    struct fr_text texts[3];
    struct fr_search_options how = {.size = sizeof(how),
            .exact_distances = true,
            .ret_payloads = payloads,
            .ret_texts = texts};
    struct fr_hit hits[3];
    float x[2], query[2] = {first, 0};
    uint64_t id;
    size_t count;

    must(fr_index_get_text(named, text("red"), &id, x, &payload));
    cr_assert_eq(x[0], first);
    cr_assert_eq(payload.size, 4);
    cr_assert_eq(memcmp(payload.data, "warm", 4), 0);
    fr_pinned_release(&payload);
    must(fr_index_search(named, &how, query, 3, hits, &count));
    cr_assert_eq(count, 2);
    cr_assert_eq(hits[0].id, id);
    cr_assert_eq(texts[0].size, 3);
    cr_assert_eq(memcmp(texts[0].data, "red", 3), 0);
    cr_assert_eq(payloads[0].size, 4);
    cr_assert_eq(memcmp(payloads[0].data, "warm", 4), 0);
    cr_assert_eq(texts[2].size, 0);
    cr_assert_null(payloads[2].data);
    for (size_t i = 0; i < count; i++)
        fr_pinned_release(&payloads[i]);
}

Test(db_index, vectors_may_be_called_by_text)
{
    struct fr_text_id ids[3] = {text("red"), text("blue"), text("red")};
    struct fr_payload payloads[3] = {{"cold", 4}, {"", 0}, {"warm", 4}};
    float x[3][2] = {{1, 0}, {9, 9}, {2, 0}};
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_index_options options;
    struct fr_index *named;
    size_t deleted;
    uint64_t id = 1;

    fr_index_options_init(&options);
    options.dimension = 2;
    options.id_kind = FR_ID_TEXT;
    must(fr_index_open(db, "named", &options, &named));
    must(fr_index_upsert_text(named, NULL, 3, ids, x[0], payloads));
    check_red(named, 2);
    must_fail(fr_index_upsert(named, NULL, 1, &id, x[0], NULL), FR_ERR_MISUSE, "text");
    must_fail(fr_index_upsert_text(vectors, NULL, 1, ids, x[0], NULL), FR_ERR_MISUSE, "numbers");
    fr_index_close(named);
    options.id_kind = FR_ID_U64;
    must_fail(fr_index_open(db, "named", &options, &named), FR_ERR_MISUSE, "kind");
    options.id_kind = (fr_id_kind)3;
    must_fail(fr_index_open(db, "named", &options, &named), FR_ERR_MISUSE, "no kind");
    options.id_kind = (fr_id_kind)0;
    must(fr_index_open(db, "named", &options, &named));
    check_red(named, 2);
    must(fr_index_stats_get(named, &stats));
    cr_assert_eq(stats.id_kind, FR_ID_TEXT);
    must(fr_index_delete_text(named, NULL, 3, ids, &deleted));
    cr_assert_eq(deleted, 2);
    cr_assert_eq(fr_index_get_text(named, text("red"), &id, NULL, NULL), FR_NOT_FOUND);
    must(fr_index_verify(named));
    fr_index_close(named);
}

Test(db_index, tells_how_far_it_is_in_memory)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    must_fail(fr_index_wait_loaded(NULL), FR_ERR_MISUSE, "NULL");
    must(fr_index_wait_loaded(vectors));
    for (uint64_t id = 1; id <= 500; id++)
        put(id, "");
    must(fr_index_maintain(vectors, 0, NULL));
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_eq(stats.loaded + stats.to_load, 0);
    close_all();
    open_store();
    open_index();
    must(fr_index_wait_loaded(vectors));
    must(fr_index_stats_get(vectors, &stats));
    cr_assert_gt(stats.loaded, 1);
    cr_assert_eq(stats.to_load, 0);
    cr_assert_eq(stats.count, 500);
}

/* ---- Processes ---- */

/* Until it is killed; the id of each batch that was acknowledged goes through the pipe. */
static void stream(int out)
{
    uint64_t ids[10];
    float x[10][DIM];

    open_store();
    open_index();
    for (uint64_t next = 0;; next += 5) { /* each id is written twice */
        for (uint64_t i = 0; i < 10; i++) {
            ids[i] = next + i;
            fill(ids[i], x[i]);
        }
        if (fr_index_upsert(vectors, NULL, 10, ids, x[0], NULL) != FR_OK) _exit(1);
        if (write(out, &next, sizeof(next)) != sizeof(next)) _exit(2);
    }
}

static void check_all_there(uint64_t end)
{
    static const struct fr_search_options all = {.size = sizeof(all), .postings = 1000000};
    struct fr_hit *hits = malloc((end + 1000) * sizeof(*hits));
    bool *seen = calloc(end + 1000, 1);
    float x[DIM], got[DIM];
    size_t count, of_acknowledged = 0;

    fill(0, x);
    must(fr_index_search(vectors, &all, x, end + 1000, hits, &count));
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(hits[i].id, end + 1000);
        cr_assert_not(seen[hits[i].id]);
        seen[hits[i].id] = true;
        of_acknowledged += hits[i].id < end;
    }
    cr_assert_eq(of_acknowledged, end);
    for (uint64_t id = 0; id < end; id += 7) {
        fill(id, x);
        must(fr_index_get(vectors, id, got, NULL));
        cr_assert_eq(memcmp(got, x, sizeof(x)), 0);
    }
    free(hits);
    free(seen);
}

Test(db_index, a_writer_killed_in_mid_stream_has_lost_nothing_that_was_acknowledged, .timeout = 300)
{
    for (int round = 0; round < 4; round++) {
        uint64_t acknowledged = 0, next;
        int ends[2];

        close_all();
        cr_assert_eq(pipe(ends), 0);
        pid_t child = fork();
        if (child == 0) {
            close(ends[0]);
            stream(ends[1]);
        }
        close(ends[1]);
        while (acknowledged < 300U * (unsigned)(round + 1) &&
                read(ends[0], &next, sizeof(next)) == sizeof(next))
            acknowledged = next + 10;
        cr_assert_gt(acknowledged, 0);
        kill(child, SIGKILL);
        while (read(ends[0], &next, sizeof(next)) == sizeof(next))
            acknowledged = next + 10;
        waitpid(child, NULL, 0);
        close(ends[0]);
        open_store();
        open_index();
        check_all_there(acknowledged);
        must(fr_index_verify(vectors));
        struct fr_index_stats stats = {.size = sizeof(stats)};
        must(fr_index_stats_get(vectors, &stats));
        cr_assert_eq(stats.rebuilt, 0);
    }
}

Test(db_index, a_reader_beside_the_writer_searches_what_was_there_when_it_opened)
{
    struct fr_db_options options;
    struct fr_db *reader;
    struct fr_index *index;
    struct fr_hit hits[5];
    uint64_t id = 1;
    float x[DIM];
    size_t count;

    for (uint64_t n = 1; n <= 300; n++)
        put(n, "");
    fr_db_options_init(&options);
    options.read_only = true;
    must(fr_db_open(path, &options, &reader));
    must(fr_index_open(reader, "", NULL, &index));
    fill(17, x);
    must(fr_index_search(index, NULL, x, 5, hits, &count));
    cr_assert_eq(count, 5);
    cr_assert_eq(hits[0].id, 17);
    must_fail(fr_index_upsert(index, NULL, 1, &id, x, NULL), FR_ERR_READONLY, "reading");
    fr_index_close(index);
    must(fr_db_close(reader));
}
