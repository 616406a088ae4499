/*
 * block.h - reading a block (lsm/block_format.h): open it once, then walk and look things up.
 *
 * fr_block_open checks every entry, so nothing that follows can fail or leave the bytes. A block
 * does not own its bytes. Blocks are constant and may be read by any number of threads; an iterator
 * belongs to one.
 */
#ifndef FR_LSM_BLOCK_H
#define FR_LSM_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"
#include "lsm/iter.h"

/* Where the parts are. Borrowed from the bytes given to fr_block_open. */
struct fr_block {
    const uint8_t *prefixes;
    const uint8_t *places;
    const uint8_t *hash;
    const uint8_t *prefix;
    const uint8_t *entries;
    const uint8_t *entries_end;
    const uint8_t *values;
    const uint8_t *values_end;
    uint64_t seq_base;
    uint32_t count;
    uint32_t restarts;
    uint32_t buckets;
    uint32_t interval;
    uint32_t key_max;
    uint32_t common;
};

/*
 * Check the bytes and find the parts. path and offset are for the words of an error. The bytes must
 * stay as long as the block is used. FR_ERR_CORRUPT, FR_ERR_TOO_NEW; FR_ERR_NOMEM only if a key is
 * longer than FR_BLOCK_KEY_SMALL.
 */
FR_NODISCARD fr_status fr_block_open(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_block *ret_block);

/* Check the hash as well, by looking every key up; for those who verify. */
FR_NODISCARD fr_status fr_block_verify(const struct fr_block *block, const char *path,
        uint64_t offset);

/* Keys up to this size need no memory of their own to be rebuilt in. */
#define FR_BLOCK_KEY_SMALL 128
#define FR_BLOCK_KEY_SLACK 8

enum fr_block_stand {
    FR_BLOCK_START,  /* before the first entry, and nothing is loaded */
    FR_BLOCK_BEFORE, /* in the gap before the loaded entry */
    FR_BLOCK_ON,     /* on the loaded entry */
    FR_BLOCK_BEHIND, /* behind the last entry */
};

/* struct fr_iter over a block, as lsm/iter.h says; keys and values in entry borrow. */
struct fr_block_iter {
    struct fr_iter iter;
    const struct fr_block *block;
    const uint8_t *after; /* the entry behind the loaded one */
    uint8_t *key;
    size_t key_capacity;
    uint32_t index; /* of the loaded entry */
    enum fr_block_stand stand;
    uint8_t small[FR_BLOCK_KEY_SMALL + FR_BLOCK_KEY_SLACK];
};

/*
 * An iterator in the caller's storage, standing before the first entry; may be set to another block
 * with fr_block_iter_set, which keeps its memory. fr_iter_close frees that. The iterator must not
 * be moved. FR_ERR_NOMEM: as fr_block_open.
 */
void fr_block_iter_init(struct fr_block_iter *it);
FR_NODISCARD fr_status fr_block_iter_set(struct fr_block_iter *it, const struct fr_block *block);

/*
 * The newest entry of key that is not newer than seq, by way of the hash. hash is fr_hash64(key).
 * FR_OK: the iterator stands on it, older entries of the key follow by next. FR_NOT_FOUND: the
 * block has none, and the iterator stands anywhere.
 */
FR_NODISCARD fr_status fr_block_get_first(struct fr_block_iter *it, fr_slice key, uint64_t hash,
        fr_seq seq);

/* Whether the hash leads to the entry on which the iterator stands, the first of its key. */
bool fr_block_hash_leads(const struct fr_block_iter *it, uint64_t hash);

#endif
