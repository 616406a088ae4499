/*
 * node_pool.h - memory for postings.
 *
 * A search walks over a hundred postings of a few kilobytes each, spread over all that an index
 * has. In pages of 4 KiB nearly every one costs a translation that is not at hand, so postings are
 * cut from large pieces, which lie in huge pages once there are many. What is freed is used for the
 * next posting of the same size, in steps of a quarter of a kilobyte; postings grow and shrink all
 * the time, and come in few sizes. Very large ones are the allocator's, and so are all of a loose
 * pool: what is freed of one does not stay with it.
 *
 * Any thread.
 */
#ifndef FR_SPFRESH_NODE_POOL_H
#define FR_SPFRESH_NODE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/compiler.h"
#include "base/mutex.h"

#define FR_NODE_POOL_STEP ((size_t)256)

/* With sanitizers all of them are: these are to see who looks at a posting that is gone. */
#ifdef FR_SANITIZED
#define FR_NODE_POOL_MOST ((size_t)0)
#else
#define FR_NODE_POOL_MOST ((size_t)32 << 10)
#endif

struct fr_node_pool_piece;
struct fr_node_pool_hole;

struct fr_node_pool {
    fr_charge charge;
    bool is_loose;      /* set before it is used, if at all */
    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct fr_node_pool_hole *holes[FR_NODE_POOL_MOST / FR_NODE_POOL_STEP + 1]; /* by size */
    struct fr_node_pool_piece *pieces;
    uint8_t *at, *end; /* what is left of the newest piece */
    size_t bytes;      /* of all pieces */
    size_t used;       /* of what was handed out, very large ones included */
};

/* The memory is charged so (base/account.h). */
void fr_node_pool_init(struct fr_node_pool *pool, fr_charge charge);

/* All that was handed out is gone with it, but for very large ones. */
void fr_node_pool_deinit(struct fr_node_pool *pool);

/* On a boundary of 64 bytes. NULL: no memory. */
void *fr_node_pool_take(struct fr_node_pool *pool, size_t size);

/* Accepts NULL; the size is that of the taking. */
void fr_node_pool_give(struct fr_node_pool *pool, void *memory, size_t size);

/* Memory in use. */
size_t fr_node_pool_bytes(struct fr_node_pool *pool);

#endif
