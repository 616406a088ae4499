/*
 * cache.h - blocks and values in memory, bounded in bytes, by the CLOCK algorithm and without
 * locks.
 *
 * Slots stand in sets of eight. A place (file, offset) belongs to one set, and a line of eight tags
 * says which slot may have it. A slot's state is one word:
 *
 *     bits  0..31   pins
 *     bits 32..33   how often the hand passes it by before it goes
 *     bits 34..35   EMPTY, BUSY, LIVE or DEAD
 *
 *            insert              publish
 *     EMPTY --------->  BUSY  ------------->  LIVE
 *       ^                ^ |                   |  |
 *       |    done        | |                   |  | erase
 *       +----------------|-+   the hand, no    |  v
 *                        +------- pins --------+ DEAD (still pinned)
 *                        |                         |
 *                        +------ last unpin -------+
 *
 * A hit adds one to the word and looks at what it was: LIVE, and still the same place, means that
 * the slot is pinned and stays. Otherwise the pin is taken back. BUSY belongs to the one thread
 * that got there by compare-and-swap; EMPTY and LIVE are left only if nobody has a pin. So a hit is
 * one atomic operation, and nobody ever waits for anybody.
 *
 * Blocks that a scan brings in start with no credit and go at the first pass of the hand; those of
 * point reads get one pass, and a hit makes it two. What cannot be had a slot for, because its set
 * is full of pinned ones or the budget is pinned, is handed out all the same, and freed when it is
 * released.
 *
 * Values are many and small, and most are asked for once. To give each of them a slot would cost
 * more than reading it from the system's own cache does, and would turn the others out. So while
 * the cache is full, a value gets a slot only if it was missed not long before (fr_cache_wants).
 *
 * Blocks are constant; if two threads bring the same one in, both copies are right, and one grows
 * cold.
 */
#ifndef FR_LSM_CACHE_H
#define FR_LSM_CACHE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/account.h"
#include "base/status.h"

struct fr_cache;
struct fr_cache_slot;

/* The first member of what is cached. Filled by whoever makes the object, but for slot and pins. */
struct fr_cache_item {
    void (*destroy)(struct fr_cache_item *item);
    uint64_t file;
    uint64_t offset;
    size_t charge; /* all the memory that goes when it is freed */

    /* The cache's own. */
    struct fr_cache_slot *slot; /* NULL: in no slot. Constant from publication on. */
    _Atomic(uint32_t) pins;     /* of an item in no slot */
};

/* capacity: bytes of charge. capacity_max: what it may ever be set to; it sizes the slots. */
FR_NODISCARD fr_status fr_cache_new(size_t capacity, size_t capacity_max,
        struct fr_cache **ret_cache);

/* Nothing may be pinned (asserted), no other thread be inside. NULL is fine. */
void fr_cache_free(struct fr_cache *cache);

/* The item of that place, pinned until fr_cache_release, or NULL. Any thread. */
struct fr_cache_item *fr_cache_lookup(struct fr_cache *cache, uint64_t file, uint64_t offset);

/* Get what a lookup of that place will look at on its way to the processor. Any thread. */
void fr_cache_prefetch(const struct fr_cache *cache, uint64_t file, uint64_t offset);

/* Once that has arrived: get the first lines of the item, if it is there. Any thread. */
void fr_cache_prefetch_item(const struct fr_cache *cache, uint64_t file, uint64_t offset,
        size_t lines);

/*
 * Whether a value of that place, which was looked up in vain and has been read, had better be
 * inserted; remembers that it was asked for. NULL wants nothing. Any thread.
 */
bool fr_cache_wants(struct fr_cache *cache, uint64_t file, uint64_t offset, size_t size);

/*
 * Take over an item and pin it; cannot fail. The answer is the item to use: the given one, or an
 * equal one that was there already, and then the given one is freed. cold: a scan brings it in.
 * cache may be NULL: the item lives until it is released. Any thread.
 */
struct fr_cache_item *fr_cache_insert(struct fr_cache *cache, struct fr_cache_item *item,
        bool cold);

/* One more pin on a pinned item. Any thread. */
void fr_cache_pin(struct fr_cache_item *item);

/* Give a pin back. Any thread. cache as it was at insert or lookup. */
void fr_cache_release(struct fr_cache *cache, struct fr_cache_item *item);

/* Drop the blocks of a file that is going away; pinned ones go when they are released. */
void fr_cache_erase_file(struct fr_cache *cache, uint64_t file);

/* Takes effect at once: evicts until it fits, as far as pins let it. Any thread. */
void fr_cache_set_capacity(struct fr_cache *cache, size_t capacity);

/*
 * Let the cache have what is left of its capacity by all else that is on an account
 * (base/account.h) and by nothing of its own: what others take, it gives up. Items are charged to
 * blocks, a part of it. Guests, another part, take fr_cache_guests_most of the capacity at the
 * most. Account 0: it shares with nobody. Before the cache is used.
 */
void fr_cache_share(struct fr_cache *cache, unsigned account, fr_charge blocks, unsigned guests);

static inline size_t fr_cache_guests_most(size_t capacity)
{
    return capacity - capacity / 4;
}

/* Where to charge an item; for who makes one. cache may be NULL. */
fr_charge fr_cache_charge(const struct fr_cache *cache);

/*
 * Evict what no longer fits beside the others of the account, up to some hundred items: for who has
 * just allocated much, or does so again and again. Any thread.
 */
void fr_cache_trim(struct fr_cache *cache);

/* Counts are kept without locked operations and may lose a few under contention. */
struct fr_cache_stats {
    uint64_t hits;
    uint64_t misses;
    uint64_t inserts;
    uint64_t evictions;
    uint64_t unplaced; /* handed out, but not kept */
    size_t bytes;
    size_t pinned_bytes; /* of those in slots; a walk over all slots */
    size_t capacity;     /* the most, if nobody else takes any */
    size_t slots;
    uint64_t hand_steps; /* slots that were looked at to make room */
    size_t slot_bytes;   /* memory of the cache itself, on top of capacity */
};

void fr_cache_stats_get(const struct fr_cache *cache, struct fr_cache_stats *ret_stats);

#endif
