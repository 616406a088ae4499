/*
 * block_format.h - the bytes of a block: entries in their order, and the ways into them.
 *
 * Data, index and range blocks all have this form. Integers are little-endian.
 *
 *   offset  size   field
 *        0     4   count      of entries, 1 or more
 *        4     4   restarts   how many places one may start to read at: count / interval, up
 *        8     4   buckets    of the hash, 0 if there is none
 *       12     4   entries    bytes of the region of that name
 *       16     4   values     bytes of the region of that name
 *       20     2   key_max    size of the longest key
 *       22     1   interval   entries from one restart to the next, 1..FR_BLOCK_INTERVAL_MAX
 *       23     1   version    FR_BLOCK_VERSION
 *       24     8   seq_base   the smallest sequence number
 *       32     2   common     size of the prefix that all keys share
 *       34     6   zero
 *       40   8 r   prefixes   for each restart: the first eight bytes of its key behind the common
 *                             prefix, zeros where it is shorter, as a number that compares as the
 *                             bytes do (the first byte is the most significant one)
 *            8 r   places     for each restart, two u32: where its entry starts in the region of
 *                             entries, and where its value starts in that of values
 *              b   hash       for each bucket one byte, see below
 *                  prefix     the common prefix
 *                  entries    one after the other
 *                  values     one after the other
 *              8   zero       so that whole words may be loaded from anywhere before
 *
 * An entry, of which every interval-th is a restart:
 *
 *     1    kind in bits 0..2, flags in bits 3..4, the rest 0
 *     v    shared    bytes that its key has in common with the one before, at the front and behind
 *                    the common prefix: all that there are. 0 in a restart.
 *     v    rest      bytes of the key that follow these
 *     v    size      of its value; values lie in the order of entries, without gaps
 *     v    seq       minus seq_base
 *     v    expires   only with FR_ENTRY_EXPIRES
 *          the rest of the key
 *
 * v is a varint. Keys are apart from values, so that a search stays in a few lines of the cache
 * whatever the values' size is. `shared` is always the most it can be; so where two neighbours part
 * is known without comparing them, and one byte proves their order.
 *
 * The hash leads from a key to the restart to start from. Bucket (hash64 >> 32) * buckets >> 32 has
 * the number of the restart from which one gets to the newest entry of the key,
 * FR_BLOCK_BUCKET_NONE if no key of the block falls there, FR_BLOCK_BUCKET_MANY if keys do that
 * start from different restarts. All older entries of a key stand behind the newest, in this
 * restart or those that follow; so fragments (APPEND) need no rule of their own. Blocks with more
 * restarts than a byte can tell have no hash.
 *
 * A reader checks all of this but the hash when it takes a block in, once. From then on, walking
 * cannot fail. The hash is compared with the keys by whoever verifies a table.
 */
#ifndef FR_LSM_BLOCK_FORMAT_H
#define FR_LSM_BLOCK_FORMAT_H

#include <assert.h>
#include <stdint.h>

#include "lsm/entry.h"

#define FR_BLOCK_VERSION     1
#define FR_BLOCK_HEADER_SIZE 40
#define FR_BLOCK_PAD_SIZE    8

/* Entries that have to be walked over to reach one are fewer than this. */
#define FR_BLOCK_INTERVAL_MAX 64

#define FR_BLOCK_BUCKET_NONE 255
#define FR_BLOCK_BUCKET_MANY 254

#define FR_BLOCK_KIND_MASK  0x07
#define FR_BLOCK_FLAG_SHIFT 3
static_assert(FR_ENTRY_FLAGS_KNOWN << FR_BLOCK_FLAG_SHIFT < 0x20, "flags fit in two bits");

/*
 * The largest block: one entry of the largest key and value, with room for what frames it. More
 * entries than one are gathered only up to the target size, which is far below.
 */
#define FR_BLOCK_SIZE_MAX (FR_VALUE_SIZE_MAX + (1 << 20))

static inline uint32_t fr_block_bucket(uint64_t hash, uint32_t buckets)
{
    return (uint32_t)(((hash >> 32) * buckets) >> 32);
}

#endif
