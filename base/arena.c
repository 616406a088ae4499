#include "base/arena.h"

#include "base/alloc.h"
#include "base/assert.h"

#define ALIGNMENT_MAX 64

struct fr_arena_block {
    struct fr_arena_block *next;
    size_t size; /* with this header */
};

/* The first usable byte: past the header, on the largest boundary anybody may ask for. */
#define BLOCK_HEADER ALIGNMENT_MAX
static_assert(sizeof(struct fr_arena_block) <= BLOCK_HEADER, "");

void fr_arena_init(struct fr_arena *arena, size_t first_block_size)
{
    FR_ASSERT(first_block_size >= 64);
    *arena = (struct fr_arena){.block_size = first_block_size + BLOCK_HEADER};
}

void fr_arena_deinit(struct fr_arena *arena)
{
    while (arena->blocks != NULL) {
        struct fr_arena_block *block = arena->blocks;
        arena->blocks = block->next;
        fr_free(block);
    }
    arena->at = arena->end = NULL;
    arena->used_bytes = arena->held_bytes = 0;
}

void fr_arena_reset(struct fr_arena *arena)
{
    struct fr_arena_block *largest = arena->blocks;

    for (struct fr_arena_block *b = arena->blocks; b != NULL; b = b->next)
        if (b->size > largest->size) largest = b;
    for (struct fr_arena_block *b = arena->blocks, *next; b != NULL; b = next) {
        next = b->next;
        if (b != largest) fr_free(b);
    }
    arena->blocks = largest;
    arena->used_bytes = 0;
    arena->held_bytes = 0;
    if (largest == NULL) return;
    largest->next = NULL;
    arena->held_bytes = largest->size;
    arena->at = (uint8_t *)largest + BLOCK_HEADER;
    arena->end = (uint8_t *)largest + largest->size;
}

static struct fr_arena_block *add_block(struct fr_arena *arena, size_t size)
{
    struct fr_arena_block *block = fr_alloc_aligned(size, ALIGNMENT_MAX);
    if (block == NULL) return NULL;

    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->held_bytes += size;
    return block;
}

/* The rare way: the current block has no room. */
static void *alloc_from_new_block(struct fr_arena *arena, size_t size)
{
    size_t block_size = arena->block_size;
    /* Also after a piece of its own: else an arena whose pieces are all larger than a quarter of
     * its first block would go to the allocator for each of them, for ever. */
    size_t next_size = FR_MIN(2 * block_size, FR_ARENA_BLOCK_MAX);

    if (size > SIZE_MAX / 2) return NULL;
    if (size > block_size / 4) {
        /* On its own, so that the rest of the current block is not given up for it. */
        struct fr_arena_block *own = add_block(arena, BLOCK_HEADER + size);
        if (own == NULL) return NULL;
        arena->block_size = next_size;
        arena->used_bytes += size;
        return (uint8_t *)own + BLOCK_HEADER;
    }
    struct fr_arena_block *block = add_block(arena, block_size);
    if (block == NULL) return NULL;
    arena->at = (uint8_t *)block + BLOCK_HEADER + size;
    arena->end = (uint8_t *)block + block->size;
    arena->used_bytes += size;
    arena->block_size = next_size;
    return (uint8_t *)block + BLOCK_HEADER;
}

void *fr_arena_alloc(struct fr_arena *arena, size_t size, size_t alignment)
{
    FR_ASSERT((alignment & (alignment - 1)) == 0 && alignment <= ALIGNMENT_MAX);

    /* NULL means failure, so nothing must have an address as well. */
    if (size == 0) size = 1;
    size_t gap = -(uintptr_t)arena->at & (alignment - 1);
    size_t room = (size_t)(arena->end - arena->at);
    if (FR_UNLIKELY(gap > room || size > room - gap)) return alloc_from_new_block(arena, size);
    uint8_t *memory = arena->at + gap;
    arena->at = memory + size;
    arena->used_bytes += gap + size;
    return memory;
}

fr_slice fr_arena_copy(struct fr_arena *arena, fr_slice slice)
{
    void *to = fr_arena_alloc(arena, slice.size, 1);

    if (to == NULL) return fr_slice_of(NULL, 0);
    if (slice.size > 0) memcpy(to, slice.data, slice.size);
    return fr_slice_of(to, slice.size);
}
