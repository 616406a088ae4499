#include "spfresh/node_pool.h"

#include "base/alloc.h"

/* Pieces double from the first size to the last, that of a huge page. */
#define PIECE_FIRST ((size_t)64 << 10)
#define PIECE_LAST  ((size_t)2 << 20)

/* As many of the last size are taken at once, where there are many: a boundary of huge pages costs
 * one of them. Of all that there is a part may be taken and not used yet: no more than that. */
#define PIECES_AT_ONCE 8
#define SPARE_PART     4

struct fr_node_pool_piece {
    struct fr_node_pool_piece *next;
    void *memory;
};

struct fr_node_pool_hole {
    struct fr_node_pool_hole *next;
};

void fr_node_pool_init(struct fr_node_pool *pool, fr_charge charge)
{
    *pool = (struct fr_node_pool){.charge = charge};
    fr_mutex_init(&pool->mu, FR_RANK_LEAF);
}

void fr_node_pool_deinit(struct fr_node_pool *pool)
{
    struct fr_node_pool_piece *next;

    for (struct fr_node_pool_piece *piece = pool->pieces; piece != NULL; piece = next) {
        next = piece->next;
        fr_free(piece->memory);
        fr_free(piece);
    }
    fr_mutex_deinit(&pool->mu);
}

/* Whether memory of that size is the allocator's. */
static bool is_single(const struct fr_node_pool *pool, size_t size)
{
    return pool->is_loose || size > FR_NODE_POOL_MOST;
}

static size_t rounded(const struct fr_node_pool *pool, size_t size)
{
    if (pool->is_loose) return size;
    return (size + FR_NODE_POOL_STEP - 1) / FR_NODE_POOL_STEP * FR_NODE_POOL_STEP;
}

static size_t size_of_next(const struct fr_node_pool *pool)
{
    size_t size = FR_MAX(pool->bytes, PIECE_FIRST);
    size_t most = PIECES_AT_ONCE * PIECE_LAST;
    size_t part = pool->bytes / SPARE_PART / PIECE_LAST * PIECE_LAST;

    if (size <= PIECE_LAST) return size;
    if (part < PIECE_LAST) return PIECE_LAST;
    return FR_MIN(part, most);
}

/* What is left of the piece before is given up: less than a posting in each. */
static bool add_piece_locked(struct fr_node_pool *pool) FR_REQUIRES(pool->mu)
{
    struct fr_node_pool_piece *piece = FR_NEW(struct fr_node_pool_piece);
    size_t size = size_of_next(pool);

    if (piece == NULL) return false;
    piece->memory = fr_alloc(size + 64);
    if (piece->memory == NULL) {
        fr_free(piece);
        return false;
    }
    if (size > PIECE_LAST) fr_alloc_prefer_huge(piece->memory, size);
    piece->next = pool->pieces;
    pool->pieces = piece;
    pool->at = (uint8_t *)piece->memory;
    pool->at += (64 - (uintptr_t)pool->at % 64) % 64;
    pool->end = pool->at + size;
    pool->bytes += size;
    return true;
}

static void *take_locked(struct fr_node_pool *pool, size_t size) FR_REQUIRES(pool->mu)
{
    struct fr_node_pool_hole **holes = &pool->holes[size / FR_NODE_POOL_STEP], *hole = *holes;

    if (hole != NULL) {
        *holes = hole->next;
        return hole;
    }
    if ((size_t)(pool->end - pool->at) < size && !add_piece_locked(pool)) return NULL;
    void *memory = pool->at;
    pool->at += size;
    return memory;
}

void *fr_node_pool_take(struct fr_node_pool *pool, size_t size)
{
    fr_charge before = fr_account_work_for(pool->charge);
    void *memory = NULL;

    size = rounded(pool, size);
    if (is_single(pool, size)) memory = fr_alloc_aligned(size, 64);
    fr_mutex_lock(&pool->mu);
    if (!is_single(pool, size)) memory = take_locked(pool, size);
    if (memory != NULL) pool->used += size;
    fr_mutex_unlock(&pool->mu);
    (void)fr_account_work_for(before);
    return memory;
}

void fr_node_pool_give(struct fr_node_pool *pool, void *memory, size_t size)
{
    struct fr_node_pool_hole *hole = memory;

    if (memory == NULL) return;
    size = rounded(pool, size);
    fr_mutex_lock(&pool->mu);
    pool->used -= size;
    if (!is_single(pool, size)) {
        hole->next = pool->holes[size / FR_NODE_POOL_STEP];
        pool->holes[size / FR_NODE_POOL_STEP] = hole;
    }
    fr_mutex_unlock(&pool->mu);
    if (is_single(pool, size)) fr_free(memory);
}

size_t fr_node_pool_bytes(struct fr_node_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    size_t bytes = FR_MAX(pool->bytes, pool->used);
    fr_mutex_unlock(&pool->mu);
    return bytes;
}
