/* bench of internals: the memtable, below the public interface.
 *
 * bench_memtable.c - how fast keys get into memory, and out again.
 *
 * 120,000 keys of 20 bytes in random order, with values of 512 and of 40 bytes. The yardstick is
 * what most engines have: an arena skiplist with a node, its key and its value in one piece, eight
 * bytes of the key beside the tower, one thread, no atomics. It is written here, for comparison
 * only. Figures are medians of several rounds, each in a new memtable.
 *
 *   bench_memtable           a table
 *   bench_memtable --json    one JSON object
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"
#include "bench/measure.h"
#include "lsm/batch.h"
#include "lsm/memtable.h"

#define KEYS      120000
#define KEY_SIZE  20
#define ROUNDS    7
#define BUDGET    ((size_t)256 << 20)
#define BATCH     100
#define LEVEL_MAX 12

static uint8_t (*keys)[KEY_SIZE];
static uint8_t value[4096];
static volatile uint64_t sink;

static fr_slice key_at(size_t i)
{
    return fr_slice_of(keys[i], KEY_SIZE);
}

static void must(bool done)
{
    if (done) return;
    fprintf(stderr, "bench_memtable: %s\n", fr_last_error());
    exit(1);
}

/* Random keys, or random ones behind a prefix that all share, or ascending ones. */
enum order { RANDOM, PREFIXED, ASCENDING };

static void make_keys(enum order order)
{
    struct fr_rng rng;

    fr_rng_init(&rng, 7);
    for (size_t i = 0; i < KEYS; i++) {
        fr_rng_fill(&rng, keys[i], KEY_SIZE);
        if (order == RANDOM) continue;
        memcpy(keys[i], "spfresh/v/", 10);
        if (order == ASCENDING)
            for (size_t k = 0; k < 8; k++)
                keys[i][10 + k] = (uint8_t)(i >> (56 - 8 * k));
    }
}

/* The yardstick. */
struct tower {
    uint64_t prefix;
    const uint8_t *key;
    const uint8_t *value;
    struct tower *next[];
};

struct skiplist {
    struct fr_arena arena;
    struct fr_rng rng;
    struct tower *head;
};

static uint64_t prefix_of(const uint8_t *key)
{
    return __builtin_bswap64(fr_get_u64(key));
}

static bool is_below(const struct tower *t, uint64_t prefix, const uint8_t *key)
{
    if (t->prefix != prefix) return t->prefix < prefix;
    return memcmp(t->key, key, KEY_SIZE) < 0;
}

static void skiplist_init(struct skiplist *s)
{
    fr_arena_init(&s->arena, FR_ARENA_BLOCK_MAX);
    fr_rng_init(&s->rng, 1);
    s->head = fr_arena_alloc(&s->arena, sizeof(struct tower) + LEVEL_MAX * sizeof(void *), 8);
    must(s->head != NULL);
    memset(s->head, 0, sizeof(struct tower) + LEVEL_MAX * sizeof(void *));
}

static struct tower *skiplist_seek(struct skiplist *s, const uint8_t *key, struct tower **before)
{
    uint64_t prefix = prefix_of(key);
    struct tower *at = s->head, *next = NULL;

    for (int level = LEVEL_MAX - 1; level >= 0; level--) {
        while ((next = at->next[level]) != NULL && is_below(next, prefix, key))
            at = next;
        if (before != NULL) before[level] = at;
    }
    return next;
}

static void skiplist_insert(struct skiplist *s, const uint8_t *key, size_t value_size)
{
    struct tower *before[LEVEL_MAX];
    int height = 1;

    while (height < LEVEL_MAX && fr_rng_one_in(&s->rng, 4))
        height++;
    (void)skiplist_seek(s, key, before);
    size_t size = sizeof(struct tower) + (size_t)height * sizeof(void *);
    struct tower *t = fr_arena_alloc(&s->arena, size + KEY_SIZE + value_size, 8);
    must(t != NULL);
    uint8_t *bytes = (uint8_t *)t + size;
    memcpy(bytes, key, KEY_SIZE);
    memcpy(bytes + KEY_SIZE, value, value_size);
    t->prefix = prefix_of(key);
    t->key = bytes;
    t->value = bytes + KEY_SIZE;
    for (int level = 0; level < height; level++) {
        t->next[level] = before[level]->next[level];
        before[level]->next[level] = t;
    }
}

struct figures {
    double insert, lookup, seek, iterate, append, bytes;
    double list_insert, list_lookup, list_iterate;
};

/* A batch is encoded before the clock runs: that is the client's part. */
static double insert_all(struct fr_memtable *m, size_t value_size)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    double spent = 0;
    fr_slice bytes;

    for (size_t i = 0; i < KEYS; i += BATCH) {
        fr_batch_reset(&batch);
        for (size_t k = i; k < i + BATCH; k++)
            must(fr_batch_add_put(&batch, key_at(k), fr_slice_of(value, value_size)) == FR_OK);
        must(fr_batch_finish(&batch, &bytes) == FR_OK);
        uint64_t before = measure_now_ns();
        must(fr_memtable_reserve(m, bytes.size, batch.count) == FR_OK);
        must(fr_memtable_insert_batch(m, bytes, i + 1) == FR_OK);
        spent += (double)(measure_now_ns() - before);
    }
    fr_batch_deinit(&batch);
    return spent / KEYS;
}

static size_t nth(size_t i)
{
    return i * 7919 % KEYS;
}

static double lookup_all(const struct fr_memtable *m)
{
    uint64_t sum = 0;
    uint64_t before = measure_now_ns();

    for (size_t i = 0; i < KEYS; i++) {
        struct fr_lookup lookup;
        struct fr_buf buf = FR_BUF_EMPTY;
        fr_slice found;
        fr_lookup_init(&lookup, key_at(nth(i)), FR_SEQ_MAX, 0);
        must(fr_memtable_get(m, key_at(nth(i)), &lookup) == FR_OK);
        must(fr_lookup_value(&lookup, NULL, NULL, &buf, &found, NULL) == FR_OK);
        sum += found.data[0];
        fr_lookup_deinit(&lookup);
    }
    sink = sum;
    return (double)(measure_now_ns() - before) / KEYS;
}

static void iterate_all(const struct fr_memtable *m, struct figures *f)
{
    struct fr_iter *it;
    uint64_t sum = 0;
    size_t count = 0;

    must(fr_memtable_iter_new(m, false, &it) == FR_OK);
    uint64_t before = measure_now_ns();
    for (size_t i = 0; i < KEYS; i++) {
        fr_iter_seek(it, key_at(nth(i)), FR_SEQ_MAX);
        must(fr_iter_next(it) == FR_OK);
        sum += it->entry.value.data[0];
    }
    f->seek = (double)(measure_now_ns() - before) / KEYS;
    fr_iter_seek_first(it);
    before = measure_now_ns();
    for (; fr_iter_next(it) == FR_OK; count++)
        sum += it->entry.value.data[0];
    f->iterate = (double)(measure_now_ns() - before) / KEYS;
    must(count == KEYS);
    fr_iter_close(it);
    sink = sum;
}

/* Fragments of 40 bytes for keys that are there. */
static double append_all(struct fr_memtable *m)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;

    for (size_t i = 0; i < KEYS; i++)
        must(fr_batch_add_append(&batch, key_at(nth(i)), fr_slice_of(value, 40)) == FR_OK);
    must(fr_batch_finish(&batch, &bytes) == FR_OK);
    uint64_t before = measure_now_ns();
    must(fr_memtable_reserve(m, bytes.size, batch.count) == FR_OK);
    must(fr_memtable_insert_batch(m, bytes, KEYS + 1) == FR_OK);
    double spent = (double)(measure_now_ns() - before);
    fr_batch_deinit(&batch);
    return spent / KEYS;
}

static void run_memtable(size_t value_size, struct figures *f)
{
    struct fr_memtable_stats stats;
    struct fr_memtable *m;

    must(fr_memtable_new(BUDGET, NULL, &m) == FR_OK);
    f->insert = insert_all(m, value_size);
    fr_memtable_stats_get(m, &stats);
    f->bytes = (double)stats.used_bytes / KEYS;
    f->lookup = lookup_all(m);
    iterate_all(m, f);
    f->append = append_all(m);
    fr_memtable_unref(m);
}

static void run_skiplist(size_t value_size, struct figures *f)
{
    struct skiplist s;
    uint64_t sum = 0;

    skiplist_init(&s);
    uint64_t before = measure_now_ns();
    for (size_t i = 0; i < KEYS; i++)
        skiplist_insert(&s, keys[i], value_size);
    f->list_insert = (double)(measure_now_ns() - before) / KEYS;
    before = measure_now_ns();
    for (size_t i = 0; i < KEYS; i++)
        sum += skiplist_seek(&s, keys[nth(i)], NULL)->value[0];
    f->list_lookup = (double)(measure_now_ns() - before) / KEYS;
    before = measure_now_ns();
    for (const struct tower *t = s.head->next[0]; t != NULL; t = t->next[0])
        sum += t->value[0];
    f->list_iterate = (double)(measure_now_ns() - before) / KEYS;
    sink = sum;
    fr_arena_deinit(&s.arena);
}

static double median_of(const struct figures *rounds, size_t offset)
{
    double values[ROUNDS];

    for (size_t i = 0; i < ROUNDS; i++)
        memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof(double));
    return measure_median(values, ROUNDS);
}

static const struct {
    const char *name, *unit;
    size_t offset;
} columns[] = {
        {"insert", "ns", offsetof(struct figures, insert)},
        {"lookup", "ns", offsetof(struct figures, lookup)},
        {"seek", "ns", offsetof(struct figures, seek)},
        {"iterate", "ns", offsetof(struct figures, iterate)},
        {"append", "ns", offsetof(struct figures, append)},
        {"memory", "bytes", offsetof(struct figures, bytes)},
        {"skiplist_insert", "ns", offsetof(struct figures, list_insert)},
        {"skiplist_lookup", "ns", offsetof(struct figures, list_lookup)},
        {"skiplist_iterate", "ns", offsetof(struct figures, list_iterate)},
};

static void bench(const char *name, enum order order, size_t value_size, bool json, bool first)
{
    struct figures rounds[ROUNDS];

    make_keys(order);
    for (size_t i = 0; i < ROUNDS; i++) {
        run_memtable(value_size, &rounds[i]);
        run_skiplist(value_size, &rounds[i]);
    }
    for (size_t c = 0; c < FR_ARRAY_COUNT(columns); c++) {
        double figure = median_of(rounds, columns[c].offset);
        if (json)
            printf("%s\"%s_%zu_%s\": {\"value\": %.1f, \"unit\": \"%s\"}", first ? "{" : ", ", name,
                    value_size, columns[c].name, figure, columns[c].unit);
        else
            printf("%s_%zu_%-24s %9.1f %s\n", name, value_size, columns[c].name, figure,
                    columns[c].unit);
        first = false;
    }
}

int main(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;

    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_memtable [--json]\n");
        return 2;
    }
    keys = fr_alloc((size_t)KEYS * KEY_SIZE);
    must(keys != NULL);
    bench("random", RANDOM, 512, json, true);
    bench("random", RANDOM, 40, json, false);
    bench("prefixed", PREFIXED, 512, json, false);
    bench("ascending", ASCENDING, 512, json, false);
    if (json) printf("}\n");
    fr_free(keys);
    return 0;
}
