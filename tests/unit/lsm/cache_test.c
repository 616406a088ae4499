#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lsm/cache.h"

struct thing {
    struct fr_cache_item item;
    uint64_t check;
};

static _Atomic(int64_t) alive; /* relaxed: read after joins */

static uint64_t check_of(uint64_t file, uint64_t offset)
{
    return fr_mix64(file * 31 + offset);
}

static void destroy(struct fr_cache_item *item)
{
    atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    FR_CONTAINER_OF(item, struct thing, item)->check = 0;
    fr_free(item);
}

static struct fr_cache_item *make(uint64_t file, uint64_t offset, size_t charge)
{
    struct thing *thing = FR_NEW(struct thing);

    thing->item = (struct fr_cache_item){
            .destroy = destroy, .file = file, .offset = offset, .charge = charge};
    thing->check = check_of(file, offset);
    atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return &thing->item;
}

static bool right(struct fr_cache_item *item, uint64_t file, uint64_t offset)
{
    return item->file == file && item->offset == offset &&
           FR_CONTAINER_OF(item, struct thing, item)->check == check_of(file, offset);
}

static void put(struct fr_cache *cache, uint64_t file, uint64_t offset, bool cold)
{
    fr_cache_release(cache, fr_cache_insert(cache, make(file, offset, 4096), cold));
}

static bool has(struct fr_cache *cache, uint64_t file, uint64_t offset)
{
    struct fr_cache_item *item = fr_cache_lookup(cache, file, offset);

    if (item != NULL) cr_assert(right(item, file, offset));
    fr_cache_release(cache, item);
    return item != NULL;
}

static struct fr_cache *new_cache(size_t capacity)
{
    struct fr_cache *cache;

    cr_assert_eq(fr_cache_new(capacity, 2 * capacity, &cache), FR_OK);
    return cache;
}

Test(cache, gives_back_what_was_put_in)
{
    struct fr_cache *cache = new_cache(1 << 20);

    cr_assert_not(has(cache, 1, 2));
    put(cache, 1, 2, false);
    cr_assert(has(cache, 1, 2));
    cr_assert_not(has(cache, 2, 1));
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

Test(cache, stays_within_its_capacity)
{
    struct fr_cache *cache = new_cache(1 << 20);
    struct fr_cache_stats stats;

    for (uint64_t i = 0; i < 10000; i++) {
        put(cache, 1, i, i % 2 == 0);
        fr_cache_stats_get(cache, &stats);
        cr_assert_leq(stats.bytes, 1 << 20);
    }
    cr_assert_gt(stats.bytes, (1 << 20) * 3 / 4);
    cr_assert_eq(stats.inserts, 10000);
    cr_assert_gt(stats.evictions, 9000);
    fr_cache_set_capacity(cache, 64 << 10);
    fr_cache_stats_get(cache, &stats);
    cr_assert_leq(stats.bytes, 64 << 10);
    fr_cache_set_capacity(cache, 2 << 20);
    for (uint64_t i = 0; i < 1000; i++)
        put(cache, 2, i, false);
    fr_cache_stats_get(cache, &stats);
    cr_assert_gt(stats.bytes, 1 << 20);
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

Test(cache, never_drops_what_is_pinned)
{
    struct fr_cache *cache = new_cache(1 << 20);
    struct fr_cache_item *pinned = fr_cache_insert(cache, make(7, 7, 4096), true);
    struct fr_cache_stats stats;

    for (uint64_t i = 0; i < 5000; i++)
        put(cache, 1, i, false);
    cr_assert(right(pinned, 7, 7));
    fr_cache_stats_get(cache, &stats);
    cr_assert_eq(stats.pinned_bytes, 4096);
    fr_cache_pin(pinned);
    fr_cache_release(cache, pinned);
    cr_assert(has(cache, 7, 7));
    fr_cache_release(cache, pinned);
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

Test(cache, hands_out_what_it_has_no_room_for)
{
    struct fr_cache *cache = new_cache(16 << 10);
    struct fr_cache_item *items[8];
    struct fr_cache_stats stats;

    for (uint64_t i = 0; i < 8; i++)
        items[i] = fr_cache_insert(cache, make(1, i, 4096), false);
    for (uint64_t i = 0; i < 8; i++)
        cr_assert(right(items[i], 1, i));
    fr_cache_stats_get(cache, &stats);
    cr_assert_eq(stats.unplaced, 4);
    for (uint64_t i = 0; i < 8; i++)
        fr_cache_release(cache, items[i]);
    cr_assert_eq(alive, 4);
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

/* Slots are for values, which are small: where there are blocks most of them are empty. */
Test(cache, does_not_walk_over_slots_that_are_empty)
{
    struct fr_cache *cache = NULL;
    struct fr_cache_stats stats;

    cr_assert_eq(fr_cache_new(64 * 4096, (size_t)64 << 20, &cache), FR_OK);
    for (uint64_t i = 0; i < 1000; i++)
        put(cache, 1, i, false);
    fr_cache_stats_get(cache, &stats);
    cr_assert_gt(stats.slots, 100000);
    cr_assert_eq(stats.evictions, 1000 - 64);
    cr_assert_lt(stats.hand_steps, 1000 * 32);
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

/* However many slots there are: a multi-get pins all that it reads until it has ended. */
Test(cache, looks_for_room_among_what_is_pinned_once)
{
    enum { FIT = 1024, MORE = 1000 };
    struct fr_cache *cache = new_cache(FIT * 4096);
    static struct fr_cache_item *items[FIT + MORE];
    struct fr_cache_stats stats;

    for (uint64_t i = 0; i < FIT + MORE; i++)
        items[i] = fr_cache_insert(cache, make(1, i, 4096), false);
    fr_cache_stats_get(cache, &stats);
    cr_assert_eq(stats.unplaced, MORE);
    cr_assert_lt(stats.hand_steps, 4 * stats.slots + 300 * MORE);
    for (uint64_t i = 0; i < FIT + MORE; i++)
        fr_cache_release(cache, items[i]);
    for (uint64_t i = 0; i < MORE; i++)
        put(cache, 2, i, false);
    fr_cache_stats_get(cache, &stats);
    cr_assert_geq(stats.inserts, FIT + MORE - MORE / 4);
    fr_cache_free(cache);
    cr_assert_eq(alive, 0);
}

Test(cache, a_scan_does_not_drive_out_what_is_in_use)
{
    struct fr_cache *cache = new_cache(4 << 20);
    int kept = 0;

    for (uint64_t i = 0; i < 500; i++)
        put(cache, 1, i, false);
    for (uint64_t round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 500; i++)
            has(cache, 1, i);
        for (uint64_t i = 0; i < 500; i++)
            put(cache, 2, round * 500 + i, true);
    }
    for (uint64_t i = 0; i < 500; i++)
        kept += has(cache, 1, i);
    cr_assert_gt(kept, 450, "%d", kept);
    fr_cache_free(cache);
}

Test(cache, erases_a_file_even_while_it_is_pinned)
{
    struct fr_cache *cache = new_cache(1 << 20);
    struct fr_cache_item *pinned = fr_cache_insert(cache, make(5, 1, 4096), false);

    put(cache, 5, 2, false);
    put(cache, 6, 2, false);
    fr_cache_erase_file(cache, 5);
    cr_assert_not(has(cache, 5, 1));
    cr_assert_not(has(cache, 5, 2));
    cr_assert(has(cache, 6, 2));
    cr_assert(right(pinned, 5, 1));
    cr_assert_eq(alive, 2);
    fr_cache_release(cache, pinned);
    cr_assert_eq(alive, 1);
    fr_cache_free(cache);
}

Test(cache, without_a_cache_items_live_while_they_are_used)
{
    struct fr_cache_item *item = fr_cache_insert(NULL, make(1, 1, 10), false);

    cr_assert_null(fr_cache_lookup(NULL, 1, 1));
    fr_cache_pin(item);
    fr_cache_release(NULL, item);
    cr_assert(right(item, 1, 1));
    fr_cache_release(NULL, item);
    cr_assert_eq(alive, 0);
}

Test(cache, a_full_one_wants_a_value_that_is_asked_for_again_soon)
{
    struct fr_cache *cache = new_cache(256 << 10);

    cr_assert_not(fr_cache_wants(NULL, 1, 0, 100), "there is none to want it");
    cr_assert(fr_cache_wants(cache, 1, 0, 100), "there is room");
    cr_assert_not(fr_cache_wants(cache, 1, 0, 64 << 10), "too large a part of it");
    for (uint64_t i = 0; i < 64; i++)
        fr_cache_release(cache, fr_cache_insert(cache, make(1, i, 4096), false));
    cr_assert_not(fr_cache_wants(cache, 2, 7, 100), "full, and nobody asked before");
    cr_assert(fr_cache_wants(cache, 2, 7, 100), "the second time");
    cr_assert_not(fr_cache_wants(cache, 2, 8, 100), "another one's first");
    fr_cache_free(cache);
}

static struct fr_cache *shared;

static void *stress(void *seed)
{
    struct fr_rng rng;
    uint64_t wrong = 0;

    fr_rng_init(&rng, (uint64_t)(uintptr_t)seed);
    for (int i = 0; i < 60000; i++) {
        uint64_t file = 1 + fr_rng_below(&rng, 3), offset = fr_rng_below(&rng, 300);
        struct fr_cache_item *item = fr_cache_lookup(shared, file, offset);

        if (item == NULL)
            item = fr_cache_insert(shared, make(file, offset, 4096), fr_rng_one_in(&rng, 2));
        wrong += !right(item, file, offset);
        if (fr_rng_one_in(&rng, 8)) {
            fr_cache_pin(item);
            fr_cache_release(shared, item);
        }
        if (fr_rng_one_in(&rng, 2000)) fr_cache_erase_file(shared, file);
        if (fr_rng_one_in(&rng, 3000))
            fr_cache_set_capacity(shared, (256 + fr_rng_below(&rng, 512)) << 10);
        wrong += !right(item, file, offset);
        fr_cache_release(shared, item);
    }
    return (void *)(uintptr_t)wrong;
}

Test(cache, many_threads_never_see_a_wrong_or_freed_block)
{
    pthread_t threads[4];

    shared = new_cache(512 << 10);
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, stress, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *wrong;

        pthread_join(threads[i], &wrong);
        cr_assert_null(wrong);
    }
    struct fr_cache_stats stats;
    fr_cache_stats_get(shared, &stats);
    cr_assert_eq(stats.pinned_bytes, 0);
    cr_assert_eq((int64_t)(stats.bytes / 4096), alive);
    fr_cache_free(shared);
    cr_assert_eq(alive, 0);
}
