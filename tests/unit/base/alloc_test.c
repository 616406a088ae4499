#include <criterion/criterion.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "base/status.h"

static struct fr_alloc_stats stats(void)
{
    struct fr_alloc_stats s;
    fr_alloc_stats_get(&s);
    return s;
}

Test(alloc, live_bytes_and_counts_follow_what_is_held)
{
    struct fr_alloc_stats before = stats();
    void *a = fr_alloc(100);
    void *b = fr_alloc_aligned(5000, 4096);

    cr_assert_eq(stats().live_bytes, before.live_bytes + 5100);
    cr_assert_eq(stats().live_count, before.live_count + 2);
    fr_free(a);
    fr_free(b);
    fr_free(NULL);
    cr_assert_eq(stats().live_bytes, before.live_bytes);
    cr_assert_eq(stats().live_count, before.live_count);
    cr_assert_eq(stats().call_count, before.call_count + 2);
}

Test(alloc, every_alignment_is_kept_and_all_bytes_are_ours)
{
    for (size_t alignment = 1; alignment <= (size_t)1 << 20; alignment *= 2) {
        for (size_t size = 1; size <= 300; size += 23) {
            uint8_t *memory = fr_alloc_aligned(size, alignment);
            cr_assert_not_null(memory);
            cr_assert_eq((uintptr_t)memory % alignment, 0);
            memset(memory, 0xab, size);
            fr_free(memory);
        }
    }
}

Test(alloc, plain_memory_fits_the_largest_basic_type)
{
    void *memory = fr_alloc(1);
    cr_assert_eq((uintptr_t)memory % _Alignof(max_align_t), 0);
    fr_free(memory);
}

Test(alloc, nothing_is_memory_too)
{
    void *a = fr_alloc(0), *b = fr_alloc_zeroed(0, 8);

    cr_assert_not_null(a);
    cr_assert_not_null(b);
    cr_assert_neq(a, b);
    fr_free(a);
    fr_free(b);
}

Test(alloc, zeroed_memory_is_zero_even_when_it_was_used)
{
    for (int round = 0; round < 20; round++) {
        uint8_t *memory = fr_alloc_zeroed(10, 10);
        for (size_t i = 0; i < 100; i++)
            cr_assert_eq(memory[i], 0);
        memset(memory, 0xff, 100);
        fr_free(memory);
    }
}

/* The system's pages are zeros when they come, and those of others may not be. */
Test(alloc, large_zeroed_memory_is_zero_even_when_it_was_used)
{
    const size_t size = 3 << 20;

    for (int round = 0; round < 3; round++) {
        uint8_t *memory = fr_alloc_zeroed(size / 8, 8);
        cr_assert_not_null(memory);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(memory[i], 0);
        memset(memory, 0xff, size);
        fr_free(memory);
    }
}

/* Whole pages go back, and what is beside them stays. */
Test(alloc, what_is_dropped_reads_as_zeros_and_can_be_used_again)
{
    const size_t size = 1 << 20, page = 4096;
    uint8_t *memory = fr_alloc(size);

    for (size_t from = 0; from < 3 * page; from += 1000) {
        for (size_t part = 1; part < 4 * page; part += 1777) {
            memset(memory, 0xee, size);
            size_t dropped = fr_alloc_drop(memory + from, part);
            cr_assert_eq(dropped % page, 0);
            cr_assert_leq(dropped, part);
            cr_assert(part < 2 * page || dropped >= part - 2 * page);
            for (size_t i = 0; i < 8 * page; i++)
                cr_assert_eq(memory[i], i >= from && i < from + part ? 0 : 0xee);
        }
    }
    fr_free(memory);
}

Test(alloc, a_product_that_overflows_is_no_memory)
{
    cr_assert_null(fr_alloc_zeroed(SIZE_MAX / 2, 3));
    cr_assert_null(fr_alloc_zeroed((size_t)1 << 33, (size_t)1 << 33));
    cr_assert_null(fr_alloc(SIZE_MAX));
    cr_assert_null(fr_alloc(SIZE_MAX / 2 + 1));
}

Test(alloc, realloc_keeps_bytes_and_alignment)
{
    uint8_t *memory = fr_alloc_aligned(64, 256);

    memset(memory, 7, 64);
    for (size_t size = 65; size < 5000; size = size * 3 / 2) {
        memory = fr_realloc(memory, size);
        cr_assert_eq((uintptr_t)memory % 256, 0);
        for (size_t i = 0; i < 64; i++)
            cr_assert_eq(memory[i], 7);
    }
    memory = fr_realloc(memory, 3);
    cr_assert_eq(memory[2], 7);
    fr_free(memory);
}

Test(alloc, realloc_of_nothing_allocates)
{
    void *memory = fr_realloc(NULL, 10);
    cr_assert_not_null(memory);
    fr_free(memory);
}

Test(alloc, a_failed_realloc_leaves_the_old_memory)
{
    char *memory = fr_alloc(6);

    memcpy(memory, "intact", 6);
    fr_alloc_fail_at(1, false);
    cr_assert_null(fr_realloc(memory, 100));
    cr_assert_arr_eq(memory, "intact", 6);
    fr_free(memory);
}

Test(alloc, the_nth_call_fails_once)
{
    for (uint64_t n = 1; n <= 5; n++) {
        fr_alloc_fail_at(n, false);
        for (uint64_t call = 1; call <= 7; call++) {
            void *memory = fr_alloc(8);
            cr_assert_eq(memory == NULL, call == n);
            cr_assert_eq(fr_alloc_fault_hit(), call >= n);
            fr_free(memory);
        }
    }
}

Test(alloc, the_nth_call_and_all_later_ones_fail)
{
    for (uint64_t n = 1; n <= 5; n++) {
        fr_alloc_fail_at(n, true);
        for (uint64_t call = 1; call <= 7; call++) {
            void *memory = fr_alloc_zeroed(2, 4);
            cr_assert_eq(memory == NULL, call >= n);
            fr_free(memory);
        }
    }
    fr_alloc_fail_at(0, false);
    void *memory = fr_alloc(8);
    cr_assert_not_null(memory);
    cr_assert(!fr_alloc_fault_hit());
    fr_free(memory);
}

/* A sanitizer has its own word for this, and says it first. */
#ifndef FR_SANITIZED
Test(alloc, freeing_twice_aborts, .signal = SIGABRT)
{
    char *volatile memory = fr_alloc(100);

    fr_free(memory);
    fr_free(memory);
}
#endif

Test(alloc, freeing_what_was_never_allocated_aborts, .signal = SIGABRT)
{
    static uint64_t foreign[8];

    fr_free(&foreign[4]);
}

Test(alloc, an_alignment_that_is_no_power_of_two_aborts, .signal = SIGABRT)
{
    (void)fr_alloc_aligned(8, 48);
}

/* A host's allocator that remembers what it was told. */
struct host {
    uint8_t pool[1 << 16];
    size_t used;
    size_t size, alignment; /* of the latest call */
    bool empty;
};

static void *host_allocate(void *ctx, size_t size, size_t alignment)
{
    struct host *host = ctx;

    host->size = size;
    host->alignment = alignment;
    if (host->empty) return NULL;
    size_t at = (host->used + alignment - 1) & ~(alignment - 1);
    host->used = at + size;
    cr_assert_leq(host->used, sizeof(host->pool));
    return host->pool + at;
}

static void host_release(void *ctx, void *memory, size_t size, size_t alignment)
{
    struct host *host = ctx;

    cr_assert_not_null(memory);
    host->size = size;
    host->alignment = alignment;
}

static FR_ALIGNED(4096) struct host host;
static const struct fr_allocator host_allocator = {.size = sizeof(struct fr_allocator),
        .allocate = host_allocate,
        .release = host_release,
        .ctx = &host};

Test(alloc, the_hosts_allocator_gets_its_own_sizes_back)
{
    cr_assert_eq(fr_set_allocator(&host_allocator), FR_OK);
    for (size_t alignment = 1; alignment <= 4096; alignment *= 4) {
        void *memory = fr_alloc_aligned(100, alignment);
        size_t size = host.size, told = host.alignment;

        cr_assert_geq(size, 100);
        cr_assert_geq(told, _Alignof(max_align_t));
        fr_free(memory);
        cr_assert_eq(host.size, size);
        cr_assert_eq(host.alignment, told);
    }
    host.empty = true;
    cr_assert_null(fr_alloc(1));
    cr_assert_eq(stats().live_count, 0);
    cr_assert_eq(fr_set_allocator(NULL), FR_OK);
}

Test(alloc, the_allocator_does_not_change_while_memory_is_held)
{
    void *memory = fr_alloc(1);

    cr_assert_eq(fr_set_allocator(&host_allocator), FR_ERR_MISUSE);
    cr_assert_eq(fr_set_allocator(NULL), FR_ERR_MISUSE);
    fr_free(memory);
    cr_assert_eq(fr_set_allocator(NULL), FR_OK);
}

Test(alloc, half_an_allocator_is_misuse)
{
    struct fr_allocator a = host_allocator;

    a.size = 0;
    cr_assert_eq(fr_set_allocator(&a), FR_ERR_MISUSE);
    a = host_allocator;
    a.allocate = NULL;
    cr_assert_eq(fr_set_allocator(&a), FR_ERR_MISUSE);
    a = host_allocator;
    a.release = NULL;
    cr_assert_eq(fr_set_allocator(&a), FR_ERR_MISUSE);
}
