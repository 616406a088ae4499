#include "lsm/memtable_pool.h"

#include "base/alloc.h"
#include "base/mutex.h"

struct waiting {
    struct waiting *next;
};

struct fr_memtable_pool {
    size_t chunk_size; /* constant */

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct waiting *chunks;
    size_t bytes;
    size_t keep_bytes;
};

fr_status fr_memtable_pool_new(size_t chunk_size, size_t keep_bytes,
        struct fr_memtable_pool **ret_pool)
{
    struct fr_memtable_pool *pool = FR_NEW(struct fr_memtable_pool);

    if (pool == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a pool of memtables' memory");
    pool->chunk_size = chunk_size;
    pool->keep_bytes = keep_bytes;
    fr_mutex_init(&pool->mu, FR_RANK_LEAF);
    *ret_pool = pool;
    return FR_OK;
}

void fr_memtable_pool_free(struct fr_memtable_pool *pool)
{
    if (pool == NULL) return;
    for (struct waiting *chunk = pool->chunks, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        fr_free(chunk);
    }
    fr_mutex_deinit(&pool->mu);
    fr_free(pool);
}

size_t fr_memtable_pool_chunk_size(const struct fr_memtable_pool *pool)
{
    return pool->chunk_size;
}

void *fr_memtable_pool_take(struct fr_memtable_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    struct waiting *chunk = pool->chunks;
    if (chunk != NULL) {
        pool->chunks = chunk->next;
        pool->bytes -= pool->chunk_size;
    }
    fr_mutex_unlock(&pool->mu);
    if (chunk != NULL) return chunk;
    void *fresh = fr_alloc_aligned(pool->chunk_size, 64);
    if (fresh != NULL) fr_alloc_prefer_huge(fresh, pool->chunk_size);
    return fresh;
}

void fr_memtable_pool_give(struct fr_memtable_pool *pool, void *chunk)
{
    struct waiting *waiting = chunk;

    fr_mutex_lock(&pool->mu);
    bool keep = pool->bytes + pool->chunk_size <= pool->keep_bytes;
    if (keep) {
        waiting->next = pool->chunks;
        pool->chunks = waiting;
        pool->bytes += pool->chunk_size;
    }
    fr_mutex_unlock(&pool->mu);
    if (!keep) fr_free(chunk);
}

/* One that waits beyond the limit, out of the list; NULL if there is none. */
static struct waiting *take_surplus(struct fr_memtable_pool *pool)
{
    struct waiting *chunk = NULL;

    fr_mutex_lock(&pool->mu);
    if (pool->bytes > pool->keep_bytes) {
        chunk = pool->chunks;
        pool->chunks = chunk->next;
        pool->bytes -= pool->chunk_size;
    }
    fr_mutex_unlock(&pool->mu);
    return chunk;
}

void fr_memtable_pool_keep(struct fr_memtable_pool *pool, size_t keep_bytes)
{
    struct waiting *chunk;

    fr_mutex_lock(&pool->mu);
    pool->keep_bytes = keep_bytes;
    fr_mutex_unlock(&pool->mu);
    while ((chunk = take_surplus(pool)) != NULL)
        fr_free(chunk);
}

size_t fr_memtable_pool_waiting(struct fr_memtable_pool *pool)
{
    fr_mutex_lock(&pool->mu);
    size_t bytes = pool->bytes;
    fr_mutex_unlock(&pool->mu);
    return bytes;
}
