/* For lsm/ and its unit tests only.
 *
 * memtable_priv.h - the nodes of a memtable, and its index.
 */
#ifndef FR_LSM_MEMTABLE_PRIV_H
#define FR_LSM_MEMTABLE_PRIV_H

#include <stdatomic.h>

#include "lsm/memtable.h"

/* Memory that is handed out from front to back, of which a part can be made sure of beforehand. */
struct fr_memtable_chunk {
    struct fr_memtable_chunk *next;
    size_t size;
};

struct fr_memtable_memory {
    struct fr_memtable_chunk *chunks; /* all */
    uint8_t *at;                      /* of the chunk in use */
    uint8_t *end;
    uint8_t *spare_at; /* of the one for what does not fit there, or NULL */
    uint8_t *spare_end;
    size_t chunk_size;
    struct fr_memtable_pool *pool; /* of chunks of that size, or NULL */
    _Atomic(size_t) used_bytes;    /* relaxed: the writer counts, others look */
    _Atomic(size_t) held_bytes;
};

/*
 * One version of a key: the struct, then the key if it is the first version, then the value.
 * Constant once published, but for `newer`.
 */
struct fr_memtable_version {
    const struct fr_memtable_version *older; /* NULL: there is none here */
    const struct fr_memtable_version *jump;  /* further down; see find_visible */
    /* NULL for the newest. Release by the writer, acquire by iterators that go backwards. */
    _Atomic(struct fr_memtable_version *) newer;
    uint64_t seq_kind_flags; /* seq << 8 | flags << 4 | kind */
    uint64_t expires_us;
    const uint8_t *value;
    uint32_t value_size;
    uint32_t check;
    uint32_t depth; /* versions below, the first has 0 */
};

/* A key. `next` and `newest` publish it: release by the writer, acquire by readers. */
struct fr_memtable_key {
    _Atomic(struct fr_memtable_key *) next; /* NULL for the last */
    _Atomic(struct fr_memtable_key *) prev; /* the head for the first */
    _Atomic(struct fr_memtable_version *) newest;
    const uint8_t *data;
    uint32_t size;
    struct fr_memtable_version first;
};

static inline fr_slice fr_memtable_key_slice(const struct fr_memtable_key *key)
{
    return fr_slice_of(key->data, key->size);
}

/*
 * The index: see memtable_index.c. Slots are in order; those up to count are filled. All fields are
 * written by one thread and read relaxed by others, count and pointers by acquire.
 */
#define FR_MEMTABLE_INDEX_SLOTS 64

struct fr_memtable_index_node {
    _Atomic(uint32_t) count;
    _Atomic(uint32_t) skip; /* leading bytes that all keys between the fences share */
    uint32_t level;         /* 0 for leaves */
    _Atomic(struct fr_memtable_index_node *) next;
    _Atomic(struct fr_memtable_index_node *) prev;
    _Atomic(uint64_t) prefix[FR_MEMTABLE_INDEX_SLOTS]; /* 8 bytes of the key from skip on */
    _Atomic(struct fr_memtable_key *) key[FR_MEMTABLE_INDEX_SLOTS];
    /* Above level 0 only: there the key is the least of the child. */
    _Atomic(struct fr_memtable_index_node *) child[];
};

struct fr_memtable_index {
    struct fr_memtable_memory *memory;
    _Atomic(struct fr_memtable_index_node *) root;
    struct fr_memtable_index_node *finger; /* the leaf of the last insertion */
    bool incomplete;                       /* for want of memory, some keys are in the list only */
};

/* Where a new key belongs: behind pred; at this slot of this leaf. */
struct fr_memtable_place {
    struct fr_memtable_key *pred;
    struct fr_memtable_index_node *leaf;
    uint32_t slot;
};

/* head: the key before all keys. false: no memory. */
bool fr_memtable_index_init(struct fr_memtable_index *index, struct fr_memtable_memory *memory,
        struct fr_memtable_key *head);

/* The writer's: where a key that is not there belongs. */
struct fr_memtable_place fr_memtable_index_place(struct fr_memtable_index *index, fr_slice key);

/*
 * The writer's: fetch the memory that placing a key will look at, in two steps between which others
 * are fetched: the leaf, and in it the key before.
 */
struct fr_memtable_index_node *fr_memtable_index_fetch_leaf(const struct fr_memtable_index *index,
        fr_slice key);
void fr_memtable_index_fetch_pred(const struct fr_memtable_index_node *leaf, fr_slice key);

/* The writer's: note a key that has been linked in the list behind place.pred. Cannot fail. */
void fr_memtable_index_add(struct fr_memtable_index *index, const struct fr_memtable_place *place,
        struct fr_memtable_key *key);

/* Any thread: the last key below the given one, which may be the head. */
struct fr_memtable_key *fr_memtable_index_before(const struct fr_memtable_index *index,
        fr_slice key);

/* Any thread: the leaf of the first keys. */
const struct fr_memtable_index_node *fr_memtable_index_first(const struct fr_memtable_index *index);

/* Any thread: the last key of all, or the head. */
struct fr_memtable_key *fr_memtable_index_last(const struct fr_memtable_index *index);

/* Memory on a boundary, of what was reserved first. NULL: there is none. */
void *fr_memtable_memory_take(struct fr_memtable_memory *memory, size_t size, size_t alignment);

#endif
