/*
 * arena.h - many small allocations, freed all at once.
 *
 * Memory comes in blocks that double from the first size to FR_ARENA_BLOCK_MAX; what is larger than
 * a quarter of a block gets a block of its own, after which the next ones double as well. Pointers
 * stay valid until the arena is reset or deinitialised. One thread.
 */
#ifndef FR_BASE_ARENA_H
#define FR_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

#define FR_ARENA_BLOCK_MAX ((size_t)1 << 20)

struct fr_arena_block;

struct fr_arena {
    struct fr_arena_block *blocks; /* newest first */
    uint8_t *at;
    uint8_t *end;
    size_t block_size; /* of the next block */
    size_t used_bytes; /* handed out, alignment gaps included */
    size_t held_bytes; /* taken from the allocator */
};

/* Takes no memory yet. first_block_size is at least 64. */
void fr_arena_init(struct fr_arena *arena, size_t first_block_size);
void fr_arena_deinit(struct fr_arena *arena);

/* Forget everything, keep the largest block for the next round. */
void fr_arena_reset(struct fr_arena *arena);

/* size bytes (one at least) on a boundary (a power of two up to 64), or NULL. */
void *fr_arena_alloc(struct fr_arena *arena, size_t size, size_t alignment);

/* A copy of the bytes; its data is NULL if there was no memory. */
fr_slice fr_arena_copy(struct fr_arena *arena, fr_slice slice);

#endif
