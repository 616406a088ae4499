/*
 * memtable_pool.h - the memory of memtables that are gone, for those that come.
 *
 * A memtable lives for a second and is as large as the one before it. Handing its memory back to
 * the system and asking for it again would cost a fault and a page of zeros for each 4 KiB, more
 * than the insertion of what goes in there. So chunks of one size wait here for the next memtable,
 * up to a limit; they are asked to lie on huge pages, as all of it is walked through at random.
 */
#ifndef FR_LSM_MEMTABLE_POOL_H
#define FR_LSM_MEMTABLE_POOL_H

#include <stddef.h>

#include "base/status.h"

struct fr_memtable_pool;

/* Chunks of chunk_size bytes, of which up to keep_bytes wait for their next use. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_memtable_pool_new(size_t chunk_size, size_t keep_bytes,
        struct fr_memtable_pool **ret_pool);

/* All that was taken must have been given back. NULL is fine. */
void fr_memtable_pool_free(struct fr_memtable_pool *pool);

size_t fr_memtable_pool_chunk_size(const struct fr_memtable_pool *pool);

/* A chunk on a boundary of 64, or NULL; and back again. Any thread. */
void *fr_memtable_pool_take(struct fr_memtable_pool *pool);
void fr_memtable_pool_give(struct fr_memtable_pool *pool, void *chunk);

/* Another limit from now on; what waits beyond it goes at once. Any thread. */
void fr_memtable_pool_keep(struct fr_memtable_pool *pool, size_t keep_bytes);

/* Bytes that wait. Any thread. */
size_t fr_memtable_pool_waiting(struct fr_memtable_pool *pool);

#endif
