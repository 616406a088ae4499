#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/thread.h"
#include "lsm/batch.h"
#include "lsm/memtable_pool.h"
#include "lsm/memtable_priv.h"

static struct fr_memtable *new_memtable(size_t budget)
{
    struct fr_memtable *m;

    cr_assert_eq(fr_memtable_new(budget, NULL, &m), FR_OK);
    return m;
}

static fr_status insert(struct fr_memtable *m, uint8_t kind, const char *key, const char *value,
        fr_seq seq)
{
    return fr_memtable_insert(m, &(struct fr_entry){.key = fr_slice_of_text(key),
                                         .value = fr_slice_of_text(value),
                                         .seq = seq,
                                         .kind = kind});
}

static bool reads(const struct fr_memtable *m, const char *key, fr_seq at, const char *wanted)
{
    struct fr_buf buf = FR_BUF_EMPTY;
    struct fr_lookup lookup;
    fr_slice value;

    fr_lookup_init(&lookup, fr_slice_of_text(key), at, 0);
    cr_assert_eq(fr_memtable_get(m, fr_slice_of_text(key), &lookup), FR_OK);
    fr_status st = fr_lookup_value(&lookup, NULL, NULL, &buf, &value, NULL);
    bool same = wanted == NULL ? st == FR_NOT_FOUND
                               : st == FR_OK && fr_slice_equal(value, fr_slice_of_text(wanted));
    fr_lookup_deinit(&lookup);
    fr_buf_deinit(&buf);
    return same;
}

Test(memtable, a_reader_sees_what_was_there_at_its_number)
{
    struct fr_memtable *m = new_memtable(1 << 20);

    cr_assert_eq(insert(m, FR_KIND_PUT, "k", "1", 1), FR_OK);
    cr_assert_eq(insert(m, FR_KIND_APPEND, "k", "-2", 2), FR_OK);
    cr_assert_eq(insert(m, FR_KIND_DELETE_RANGE, "a", "z", 3), FR_OK);
    cr_assert_eq(insert(m, FR_KIND_APPEND, "k", "-4", 4), FR_OK);
    cr_assert(reads(m, "k", 1, "1"));
    cr_assert(reads(m, "k", 2, "1-2"));
    cr_assert(reads(m, "k", 3, NULL));
    cr_assert(reads(m, "k", 4, "-4"));
    cr_assert(reads(m, "x", 4, NULL));
    fr_memtable_unref(m);
}

static void insert_number(struct fr_memtable *m, uint64_t number, fr_seq seq)
{
    char key[40];

    snprintf(key, sizeof(key), "common/prefix/%016" PRIx64, number);
    cr_assert_eq(insert(m, FR_KIND_PUT, key, "value", seq), FR_OK);
}

static void fill(struct fr_memtable *m, size_t bytes)
{
    struct fr_memtable_stats stats = {0};

    for (uint64_t i = 1; stats.used_bytes < bytes; i++) {
        insert_number(m, i * 7919 % 100003, i);
        fr_memtable_stats_get(m, &stats);
    }
}

Test(memtable, the_memory_of_one_that_is_gone_serves_the_next)
{
    size_t budget = (size_t)8 << 20, chunk = (size_t)1 << 20;
    struct fr_memtable_pool *pool;
    struct fr_memtable *m;

    cr_assert_eq(fr_memtable_pool_new(chunk, budget, &pool), FR_OK);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(fr_memtable_new(budget, pool, &m), FR_OK);
        fill(m, budget - chunk);
        cr_assert_eq(fr_memtable_pool_waiting(pool), 0);
        fr_memtable_check(m);
        fr_memtable_unref(m);
        cr_assert_geq(fr_memtable_pool_waiting(pool), budget / 2);
        cr_assert_leq(fr_memtable_pool_waiting(pool), budget);
    }
    fr_memtable_pool_free(pool);
}

Test(memtable, a_pool_with_a_smaller_limit_gives_back_what_waits_beyond_it)
{
    size_t budget = (size_t)8 << 20, chunk = (size_t)1 << 20;
    struct fr_memtable_pool *pool;
    struct fr_memtable *m;

    cr_assert_eq(fr_memtable_pool_new(chunk, budget, &pool), FR_OK);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(fr_memtable_new(budget, pool, &m), FR_OK);
        fill(m, budget - chunk);
        fr_memtable_unref(m);
        cr_assert_eq(fr_memtable_pool_waiting(pool) > 3 * chunk, round == 0);
        fr_memtable_pool_keep(pool, 3 * chunk + 5);
        cr_assert_eq(fr_memtable_pool_waiting(pool), 3 * chunk);
    }
    fr_memtable_pool_keep(pool, 0);
    cr_assert_eq(fr_memtable_pool_waiting(pool), 0);
    fr_memtable_pool_free(pool);
}

Test(memtable, what_is_too_large_for_a_chunk_of_the_pool_never_waits_there)
{
    struct fr_memtable_pool *pool;
    struct fr_memtable *m;
    size_t size = (size_t)3 << 20;
    uint8_t *large = fr_alloc_zeroed(1, size);

    cr_assert_eq(fr_memtable_pool_new((size_t)1 << 20, (size_t)8 << 20, &pool), FR_OK);
    cr_assert_eq(fr_memtable_new((size_t)8 << 20, pool, &m), FR_OK);
    cr_assert_eq(fr_memtable_insert(m, &(struct fr_entry){.key = fr_slice_of_text("k"),
                                               .value = {large, size},
                                               .seq = 1,
                                               .kind = FR_KIND_PUT}),
            FR_OK);
    fr_memtable_unref(m);
    cr_assert_eq(fr_memtable_pool_waiting(pool), 0);
    fr_memtable_pool_free(pool);
    fr_free(large);
}

/* Orders that fill, split and extend the index in different ways. */
static uint64_t nth(unsigned order, uint64_t i)
{
    switch (order) {
    case 0:
        return i;
    case 1:
        return 100000 - i;
    case 2:
        return fr_mix64(i);
    default:
        return i % 2 == 0 ? i : 200000 - i; /* two runs that meet */
    }
}

Test(memtable, keeps_order_whatever_order_they_come_in)
{
    for (unsigned order = 0; order < 4; order++) {
        struct fr_memtable *m = new_memtable((size_t)64 << 20);
        for (uint64_t i = 1; i <= 20000; i++)
            insert_number(m, nth(order, i), i);
        fr_memtable_check(m);
        fr_memtable_unref(m);
    }
}

Test(memtable, an_old_reader_of_a_hot_key_does_not_walk_all_its_versions)
{
    struct fr_memtable *m = new_memtable((size_t)64 << 20);
    char value[32];

    for (fr_seq seq = 1; seq <= 100000; seq++) {
        snprintf(value, sizeof(value), "%" PRIu64, seq);
        cr_assert_eq(insert(m, FR_KIND_PUT, "hot", value, seq), FR_OK);
    }
    for (fr_seq at = 1; at <= 100000; at += 17) {
        snprintf(value, sizeof(value), "%" PRIu64, at);
        cr_assert(reads(m, "hot", at, value));
    }
    fr_memtable_unref(m);
}

Test(memtable, many_range_deletes_are_cut_now_and_then)
{
    struct fr_memtable *m = new_memtable((size_t)64 << 20);
    struct fr_range_set *set;
    char start[16], end[16];

    for (unsigned i = 1; i <= 2000; i++) {
        snprintf(start, sizeof(start), "%05u", i * 10);
        snprintf(end, sizeof(end), "%05u", i * 10 + 5);
        cr_assert_eq(insert(m, FR_KIND_PUT, start, "x", 2 * i), FR_OK);
        cr_assert_eq(insert(m, FR_KIND_DELETE_RANGE, start, end, 2 * i + 1), FR_OK);
        cr_assert(reads(m, start, 2 * i, "x"));
        cr_assert(reads(m, start, 2 * i + 1, NULL));
        cr_assert(reads(m, "00010", FR_SEQ_MAX, NULL));
    }
    cr_assert_eq(fr_memtable_ranges(m, &set), FR_OK);
    cr_assert_eq(fr_range_set_count(set), 2000);
    cr_assert_eq(fr_memtable_verify_ranges(m), FR_OK);
    fr_range_set_unref(set);
    fr_memtable_unref(m);
}

Test(memtable, is_full_when_the_budget_is_reached_and_takes_any_first_batch)
{
    struct fr_memtable *m = new_memtable(FR_MEMTABLE_BUDGET_MIN);
    struct fr_memtable_stats stats;

    cr_assert_eq(fr_memtable_reserve(m, 1 << 20, 10), FR_OK);
    insert_number(m, 1, 7);
    cr_assert_eq(fr_memtable_reserve(m, 1 << 20, 10), FR_ERR_FULL);
    cr_assert_eq(fr_memtable_reserve(m, 100, 1), FR_OK);
    fr_memtable_stats_get(m, &stats);
    cr_assert_eq(stats.entry_count, 1);
    cr_assert_eq(stats.seq_min, 7);
    cr_assert_eq(stats.seq_max, 7);
    cr_assert_geq(stats.held_bytes, stats.used_bytes);
    fr_memtable_unref(m);
}

Test(memtable, a_bit_that_flips_in_memory_is_found_on_the_way_out)
{
    struct fr_memtable *m = new_memtable(1 << 20);
    struct fr_iter *it;

    insert_number(m, 1, 1);
    cr_assert_eq(fr_memtable_iter_new(m, true, &it), FR_OK);
    cr_assert_eq(fr_iter_next(it), FR_OK);
    ((uint8_t *)fr_unconst(it->entry.value.data))[2] ^= 4;
    fr_iter_seek_first(it);
    cr_assert_eq(fr_iter_next(it), FR_ERR_CORRUPT);
    cr_assert_eq(fr_iter_next(it), FR_ERR_CORRUPT);
    fr_iter_close(it);
    fr_memtable_unref(m);
}

static void make_batch(struct fr_batch *batch, fr_slice *ret_bytes)
{
    char key[16], end[32];

    for (unsigned i = 0; i < 900; i++) {
        snprintf(key, sizeof(key), "%08x", i * 2654435761u);
        snprintf(end, sizeof(end), "%s~", key);
        cr_assert_eq(fr_batch_add_append(batch, fr_slice_of_text(key), fr_slice_of_text("v")),
                FR_OK);
        if (i % 20 > 0) continue;
        cr_assert_eq(fr_batch_add_delete_range(batch, fr_slice_of_text(key), fr_slice_of_text(end)),
                FR_OK);
    }
    cr_assert_eq(fr_batch_finish(batch, ret_bytes), FR_OK);
}

Test(memtable, after_a_reservation_no_failing_allocation_matters)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_memtable *m = new_memtable((size_t)4 << 20);
    fr_slice bytes;

    make_batch(&batch, &bytes);
    for (fr_seq first = 1; first < 20000; first += 2000) {
        cr_assert_eq(fr_memtable_reserve(m, bytes.size, batch.count), FR_OK);
        fr_alloc_fail_at(1, true);
        cr_assert_eq(fr_memtable_insert_batch(m, bytes, first), FR_OK);
        fr_alloc_fail_at(0, false);
        fr_memtable_check(m);
    }
    fr_memtable_unref(m);
    fr_batch_deinit(&batch);
}

Test(memtable, any_failing_allocation_of_new_and_reserve_is_reported)
{
    bool hit = true;

    for (uint64_t n = 1; hit; n++) {
        struct fr_memtable *m = NULL;
        fr_alloc_fail_at(n, false);
        fr_status st = fr_memtable_new(1 << 20, NULL, &m);
        if (st == FR_OK) st = fr_memtable_reserve(m, 1 << 20, 5000);
        hit = fr_alloc_fault_hit();
        fr_alloc_fail_at(0, false);
        cr_assert_eq(st, hit ? FR_ERR_NOMEM : FR_OK);
        fr_memtable_unref(m);
    }
}

/* One writer, and readers who take the number that it has published. */
#define READERS 3
#define WRITES  30000

struct race {
    struct fr_memtable *m;
    _Atomic(uint64_t) published;
    _Atomic(uint64_t) seed;
};

static fr_slice race_key(uint64_t i, char *to)
{
    return fr_slice_of(to, (size_t)sprintf(to, "key/%08x", (unsigned)fr_mix64(i % 7000)));
}

static void race_write(void *arg)
{
    struct race *race = arg;
    char key[32];

    for (uint64_t i = 1; i <= WRITES; i++) {
        struct fr_entry entry = {.key = race_key(i, key),
                .value = fr_slice_of(&i, sizeof(i)),
                .seq = i,
                .kind = i % 3 == 0 ? FR_KIND_APPEND : FR_KIND_PUT};
        if (i % 500 == 0) {
            entry.kind = FR_KIND_DELETE_RANGE;
            entry.key = fr_slice_of_text("key0");
            entry.value = fr_slice_of_text("key1");
        }
        FR_ASSERT(fr_memtable_insert(race->m, &entry) == FR_OK);
        atomic_store_explicit(&race->published, i, memory_order_release);
    }
}

/* Whatever was published is there, and on a walk keys rise, and fall. */
static void race_read_once(struct race *race, struct fr_rng *rng)
{
    uint64_t at = atomic_load_explicit(&race->published, memory_order_acquire);
    struct fr_lookup lookup;
    char key[32];

    if (at == 0) return;
    uint64_t i = fr_rng_between(rng, at > 6000 ? at - 6000 : 1, at);
    if (i % 500 == 0) return;
    fr_lookup_init(&lookup, race_key(i, key), at, 0);
    FR_ASSERT(fr_memtable_get(race->m, lookup.key, &lookup) == FR_OK);
    FR_ASSERT(lookup.newest >= i);
    fr_lookup_deinit(&lookup);
}

static void race_walk(struct race *race, struct fr_rng *rng)
{
    uint64_t at = atomic_load_explicit(&race->published, memory_order_acquire);
    struct fr_buf last = FR_BUF_EMPTY;
    struct fr_iter *it;
    bool forwards = fr_rng_one_in(rng, 2);
    char key[32];
    fr_seq seq = 0;

    FR_ASSERT(fr_memtable_iter_new(race->m, true, &it) == FR_OK);
    fr_slice from = race_key(fr_rng_between(rng, 1, at + 1), key);
    fr_iter_seek(it, from, FR_SEQ_MAX);
    for (int steps = 0; steps < 200; steps++) {
        if ((forwards ? fr_iter_next(it) : fr_iter_prev(it)) != FR_OK) break;
        int order = last.size == 0 ? 0
                                   : fr_entry_compare(fr_buf_slice(&last), seq, it->entry.key,
                                             it->entry.seq);
        FR_ASSERT(last.size == 0 || (forwards ? order < 0 : order > 0));
        fr_buf_clear(&last);
        fr_buf_append(&last, it->entry.key.data, it->entry.key.size);
        seq = it->entry.seq;
    }
    fr_iter_close(it);
    fr_buf_deinit(&last);
}

static void race_read(void *arg)
{
    struct race *race = arg;
    struct fr_range_set *set;
    struct fr_rng rng;

    fr_rng_init(&rng, atomic_fetch_add(&race->seed, 1));
    while (atomic_load_explicit(&race->published, memory_order_relaxed) < WRITES) {
        for (int i = 0; i < 100; i++)
            race_read_once(race, &rng);
        race_walk(race, &rng);
        FR_ASSERT(fr_memtable_ranges(race->m, &set) == FR_OK);
        fr_range_set_unref(set);
    }
}

Test(memtable, readers_are_right_while_one_writes)
{
    struct race race = {.m = new_memtable((size_t)64 << 20)};
    struct fr_thread writer, readers[READERS];

    for (int i = 0; i < READERS; i++)
        cr_assert_eq(fr_thread_start(&readers[i], "reader", race_read, &race), FR_OK);
    cr_assert_eq(fr_thread_start(&writer, "writer", race_write, &race), FR_OK);
    fr_thread_join(&writer);
    for (int i = 0; i < READERS; i++)
        fr_thread_join(&readers[i]);
    fr_memtable_check(race.m);
    fr_memtable_unref(race.m);
}
