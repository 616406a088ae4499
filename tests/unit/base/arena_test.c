#include <criterion/criterion.h>
#include <signal.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/rng.h"

static uint64_t live_count(void)
{
    struct fr_alloc_stats stats;
    fr_alloc_stats_get(&stats);
    return stats.live_count;
}

Test(arena, takes_no_memory_before_it_is_asked)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    cr_assert_eq(live_count(), 0);
    cr_assert_eq(arena.held_bytes, 0);
    fr_arena_reset(&arena);
    fr_arena_deinit(&arena);
    fr_arena_deinit(&arena);
    cr_assert_eq(live_count(), 0);
}

Test(arena, keeps_every_alignment)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    for (int round = 0; round < 200; round++) {
        for (size_t alignment = 1; alignment <= 64; alignment *= 2) {
            void *memory = fr_arena_alloc(&arena, (size_t)round % 37 + 1, alignment);
            cr_assert_eq((uintptr_t)memory % alignment, 0);
        }
    }
    fr_arena_deinit(&arena);
}

#define PIECES 3000

/* Each piece is filled with its number; if two overlapped, one of them would have lost it. */
Test(arena, pieces_never_overlap_and_stay_until_reset)
{
    static uint8_t *pieces[PIECES];
    static size_t sizes[PIECES];
    struct fr_arena arena;
    struct fr_rng rng;

    fr_rng_init(&rng, 1);
    fr_arena_init(&arena, 100);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < PIECES; i++) {
            size_t most = fr_rng_one_in(&rng, 50) ? 40000 : 200;
            sizes[i] = (size_t)fr_rng_below(&rng, most);
            pieces[i] = fr_arena_alloc(&arena, sizes[i], (size_t)1 << fr_rng_below(&rng, 7));
            cr_assert_not_null(pieces[i]);
            memset(pieces[i], (int)(i & 0xff), sizes[i]);
        }
        for (size_t i = 0; i < PIECES; i++)
            for (size_t k = 0; k < sizes[i]; k++)
                cr_assert_eq(pieces[i][k], (uint8_t)i);
        cr_assert_leq(arena.used_bytes, arena.held_bytes);
        fr_arena_reset(&arena);
        cr_assert_eq(arena.used_bytes, 0);
        cr_assert_eq(live_count(), 1, "the largest block is kept");
    }
    fr_arena_deinit(&arena);
    cr_assert_eq(live_count(), 0);
}

Test(arena, blocks_double_up_to_a_limit)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    for (int i = 0; i < 4000; i++)
        cr_assert_not_null(fr_arena_alloc(&arena, 1024, 8));
    cr_assert_eq(arena.block_size, FR_ARENA_BLOCK_MAX);
    cr_assert_lt(live_count(), 4000 * 1024 / FR_ARENA_BLOCK_MAX + 40);
    fr_arena_deinit(&arena);
}

Test(arena, a_large_piece_does_not_end_the_current_block)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 4096);
    uint8_t *before = fr_arena_alloc(&arena, 8, 8);
    void *large = fr_arena_alloc(&arena, 100000, 64);
    uint8_t *after = fr_arena_alloc(&arena, 8, 8);

    cr_assert_eq((uintptr_t)large % 64, 0);
    cr_assert_eq(after, before + 8);
    fr_arena_deinit(&arena);
}

Test(arena, nothing_is_not_the_lack_of_memory)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    cr_assert_not_null(fr_arena_alloc(&arena, 0, 1));
    fr_arena_deinit(&arena);
    fr_arena_init(&arena, 64);
    fr_slice copy = fr_arena_copy(&arena, fr_slice_of(NULL, 0));
    cr_assert_not_null(copy.data);
    cr_assert_eq(copy.size, 0);
    fr_arena_deinit(&arena);
}

Test(arena, copies_are_equal_and_apart)
{
    char text[] = "text";
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    fr_slice copy = fr_arena_copy(&arena, fr_slice_of_text(text));
    text[0] = 'n';
    cr_assert(fr_slice_equal(copy, fr_slice_of_text("text")));
    fr_arena_deinit(&arena);
}

Test(arena, no_memory_is_null_and_changes_nothing)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    fr_alloc_fail_at(1, true);
    cr_assert_null(fr_arena_alloc(&arena, 8, 8));
    cr_assert_null(fr_arena_alloc(&arena, 5000, 8));
    cr_assert_null(fr_arena_copy(&arena, fr_slice_of_text("text")).data);
    cr_assert_null(fr_arena_alloc(&arena, SIZE_MAX, 1));
    cr_assert_eq(arena.used_bytes, 0);
    cr_assert_eq(arena.held_bytes, 0);
    fr_alloc_fail_at(0, false);
    cr_assert_not_null(fr_arena_alloc(&arena, 8, 8));
    cr_assert_null(fr_arena_alloc(&arena, SIZE_MAX - 100, 1));
    fr_arena_deinit(&arena);
}

Test(arena, an_alignment_above_the_limit_aborts, .signal = SIGABRT)
{
    struct fr_arena arena;

    fr_arena_init(&arena, 64);
    (void)fr_arena_alloc(&arena, 8, 128);
}
