#include "lsm/cache.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/museum.h"
#include "base/rng.h"

#define WAYS 8

#define PIN         ((uint64_t)1)
#define PINS_MASK   ((uint64_t)UINT32_MAX)
#define CREDIT      ((uint64_t)1 << 32)
#define CREDIT_MASK (CREDIT * 3)
#define CREDIT_MAX  (CREDIT * 2)
#define STATE       ((uint64_t)1 << 34)
#define STATE_MASK  (STATE * 3)
#define EMPTY       (STATE * 0)
#define BUSY        (STATE * 1)
#define LIVE        (STATE * 2)
#define DEAD        (STATE * 3)

/*
 * About the least that a value takes which is worth a slot. A slot and its tag are 24 bytes, so all
 * of them are a twentieth of the capacity or less; they are rounded up to a power of two. Where
 * there are blocks only, of some thousand bytes, most slots are empty, and no set ever fills up.
 */
#define BYTES_PER_SLOT 512
#define SLOTS_MIN      512

/* Values that were asked for once and not kept: one of a few slots each is remembered. */
#define SLOTS_PER_MEMORY 4

/* Of the hand, when it is not for an item of our own: bounds what a writer pays at a time. */
#define TRIM_STEPS 1024

/* Sets whose bits are in one word. */
#define WORD_SETS 64

/* And for items of our own, when whole rounds have just shown that all that is left is pinned. */
#define STUCK_STEPS 256

struct fr_cache_slot {
    /* acquire when a pin or BUSY is taken, release when one is given back or LIVE is published. */
    _Atomic(uint64_t) word;

    /*
     * Written in BUSY by its owner, read by those who have a pin and have seen LIVE; and, to
     * prefetch what may not be there any more, by anybody: relaxed, as the word orders it.
     */
    _Atomic(struct fr_cache_item *) item;
};

/* A guess at what is in each slot of a set; relaxed, the slot itself is asked before use. */
struct tags {
    FR_ALIGNED(64) _Atomic(uint64_t) of[WAYS];
};

#define STRIPES 16
struct stripe {
    FR_ALIGNED(64) _Atomic(uint64_t) hits;
    _Atomic(uint64_t) misses;
    _Atomic(uint64_t) inserts;
    _Atomic(uint64_t) evictions;
    _Atomic(uint64_t) unplaced;
    _Atomic(uint64_t) hand_steps;
};

struct fr_cache {
    struct stripe stripes[STRIPES];

    /* Constant. */
    struct tags *tags;
    struct fr_cache_slot *slots;
    _Atomic(uint64_t) *occupied; /* a bit for each set: see forget_if_empty */
    size_t set_mask;
    size_t slot_count;
    unsigned account; /* shared with, or 0 */
    fr_charge blocks;
    unsigned guests; /* the part of the account that is bounded */

    /* Of places that were missed lately, for fr_cache_wants; relaxed: a hint. */
    _Atomic(uint32_t) *missed;
    size_t missed_mask;

    /* Relaxed: sums that steer eviction and order nothing. */
    _Atomic(size_t) capacity;
    _Atomic(size_t) bytes;
    _Atomic(size_t) hand;
    _Atomic(bool) is_stuck; /* the last item found no room, in however many steps */
};

/* ---- Counting: a thread has a stripe of its own, mostly, and a plain add will do. ---- */

static _Atomic(unsigned) next_stripe; /* relaxed: any spread is good */
static _Thread_local unsigned my_stripe;

static inline unsigned stripe_index(void)
{
    if (FR_UNLIKELY(my_stripe == 0))
        my_stripe = 1 + atomic_fetch_add_explicit(&next_stripe, 1, memory_order_relaxed) % STRIPES;
    return my_stripe - 1;
}

static inline void count(_Atomic(uint64_t) *counter)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
            memory_order_relaxed);
}

/* ---- Life ---- */

fr_status fr_cache_new(size_t capacity, size_t capacity_max, struct fr_cache **ret_cache)
{
    size_t wanted = FR_MAX(capacity, capacity_max) / BYTES_PER_SLOT, slots = SLOTS_MIN;
    struct fr_cache *cache = fr_alloc_aligned(sizeof(*cache), 64);

    while (slots < wanted)
        slots *= 2;
    if (cache == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a cache");
    memset(cache, 0, sizeof(*cache));
    cache->slot_count = slots;
    cache->set_mask = slots / WAYS - 1;
    cache->tags = fr_alloc_aligned(slots / WAYS * sizeof(struct tags), 64);
    cache->slots = fr_alloc_aligned(slots * sizeof(struct fr_cache_slot), 64);
    cache->occupied = fr_alloc_zeroed(slots / WAYS / WORD_SETS, sizeof(*cache->occupied));
    cache->missed_mask = slots / SLOTS_PER_MEMORY - 1;
    cache->missed = fr_alloc_zeroed(slots / SLOTS_PER_MEMORY, sizeof(*cache->missed));
    atomic_init(&cache->capacity, capacity);
    if (cache->tags == NULL || cache->slots == NULL || cache->occupied == NULL ||
            cache->missed == NULL) {
        fr_cache_free(cache);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu slots of a cache", slots);
    }
    fr_alloc_prefer_huge(cache->tags, slots / WAYS * sizeof(struct tags));
    fr_alloc_prefer_huge(cache->slots, slots * sizeof(struct fr_cache_slot));
    memset((void *)cache->tags, 0, slots / WAYS * sizeof(struct tags));
    memset((void *)cache->slots, 0, slots * sizeof(struct fr_cache_slot));
    *ret_cache = cache;
    return FR_OK;
}

void fr_cache_free(struct fr_cache *cache)
{
    if (cache == NULL) return;
    bool whole = cache->slots != NULL && cache->tags != NULL && cache->occupied != NULL &&
                 cache->missed != NULL;

    for (size_t i = 0; whole && i < cache->slot_count; i++) {
        struct fr_cache_slot *slot = &cache->slots[i];
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);

        FR_ASSERT((word & PINS_MASK) == 0);
        if ((word & STATE_MASK) == LIVE) {
            struct fr_cache_item *item = atomic_load_explicit(&slot->item, memory_order_relaxed);
            item->destroy(item);
        }
    }
    fr_free(cache->tags);
    fr_free(cache->slots);
    fr_free(cache->occupied);
    fr_free(cache->missed);
    fr_free(cache);
}

/* ---- Finding ---- */

static inline struct fr_cache_item *item_of(const struct fr_cache_slot *slot)
{
    return atomic_load_explicit(&slot->item, memory_order_relaxed);
}

static inline uint64_t place_hash(uint64_t file, uint64_t offset)
{
    /* museum 33: blocks in the cache for another file of the same number */
    if (FR_MUSEUM(33)) file %= 8;
    return fr_mix64(file * 0x9e3779b97f4a7c15u ^ offset);
}

/* Never 0, which stands for nothing. */
static inline uint64_t tag_of(uint64_t hash)
{
    return hash | 1;
}

static void empty_slot(struct fr_cache *cache, struct fr_cache_slot *slot)
{
    FR_ASSERT(slot != NULL && item_of(slot) != NULL);
    struct fr_cache_item *item = item_of(slot);
    size_t index = (size_t)(slot - cache->slots);

    atomic_store_explicit(&cache->tags[index / WAYS].of[index % WAYS], 0, memory_order_relaxed);
    atomic_store_explicit(&slot->item, NULL, memory_order_relaxed);
    atomic_fetch_sub_explicit(&cache->bytes, item->charge, memory_order_relaxed);
    /* Not a store: others may just be adding a pin, to find BUSY and take it back. */
    atomic_fetch_and_explicit(&slot->word, PINS_MASK, memory_order_release);
    item->destroy(item);
}

/* A pin less. The last one of a dead item frees it. */
static inline void unpin(struct fr_cache *cache, struct fr_cache_slot *slot)
{
    uint64_t word = atomic_fetch_sub_explicit(&slot->word, PIN, memory_order_release) - PIN;

    if (FR_LIKELY((word & STATE_MASK) != DEAD)) return;
    while ((word & STATE_MASK) == DEAD && (word & PINS_MASK) == 0) {
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word, BUSY, memory_order_acquire,
                    memory_order_relaxed)) {
            empty_slot(cache, slot);
            return;
        }
    }
}

static inline bool is_file(const struct fr_cache_item *item, uint64_t file)
{
    return item->file == file || (FR_MUSEUM(33) && item->file % 8 == file % 8);
}

/* Pin the slot if it has that item, and give it credit for the hit. */
static inline struct fr_cache_item *pin_slot(struct fr_cache *cache, struct fr_cache_slot *slot,
        uint64_t file, uint64_t offset)
{
    uint64_t word = atomic_fetch_add_explicit(&slot->word, PIN, memory_order_acquire);

    struct fr_cache_item *item = item_of(slot);

    /* The state first: of any other but LIVE there is no item, or not any more. */
    if (FR_LIKELY((word & STATE_MASK) == LIVE && is_file(item, file) && item->offset == offset)) {
        /* Adding to a credit that others add to as well could spill over: set bits instead. */
        if ((word & CREDIT_MASK) < CREDIT_MAX)
            atomic_fetch_or_explicit(&slot->word, CREDIT_MAX, memory_order_relaxed);
        return item;
    }
    FR_COVER("cache: a pin on the wrong slot");
    unpin(cache, slot);
    return NULL;
}

/* Tags and slots at once: each may be a trip to memory. */
static inline void prefetch_set(const struct fr_cache *cache, size_t set)
{
    __builtin_prefetch(&cache->tags[set]);
    for (unsigned way = 0; way < WAYS; way += 64 / sizeof(struct fr_cache_slot))
        __builtin_prefetch(&cache->slots[set * WAYS + way]);
}

static inline size_t set_of(const struct fr_cache *cache, uint64_t hash)
{
    return (size_t)(hash >> 8) & cache->set_mask;
}

static inline struct fr_cache_item *lookup_in_set(struct fr_cache *cache, uint64_t hash,
        uint64_t file, uint64_t offset)
{
    size_t set = set_of(cache, hash);
    struct tags *tags = &cache->tags[set];
    uint64_t tag = tag_of(hash);

    prefetch_set(cache, set);
    for (unsigned way = 0; way < WAYS; way++) {
        if (atomic_load_explicit(&tags->of[way], memory_order_relaxed) != tag) continue;
        struct fr_cache_item *item = pin_slot(cache, &cache->slots[set * WAYS + way], file, offset);

        if (item != NULL) return item;
    }
    return NULL;
}

struct fr_cache_item *fr_cache_lookup(struct fr_cache *cache, uint64_t file, uint64_t offset)
{
    struct fr_cache_item *item;

    if (cache == NULL) return NULL;
    item = lookup_in_set(cache, place_hash(file, offset), file, offset);
    count(item != NULL ? &cache->stripes[stripe_index()].hits
                       : &cache->stripes[stripe_index()].misses);
    return item;
}

void fr_cache_prefetch(const struct fr_cache *cache, uint64_t file, uint64_t offset)
{
    if (cache != NULL) prefetch_set(cache, set_of(cache, place_hash(file, offset)));
}

void fr_cache_prefetch_item(const struct fr_cache *cache, uint64_t file, uint64_t offset,
        size_t lines)
{
    if (cache == NULL) return;
    uint64_t hash = place_hash(file, offset);
    size_t set = set_of(cache, hash);

    for (unsigned way = 0; way < WAYS; way++) {
        if (atomic_load_explicit(&cache->tags[set].of[way], memory_order_relaxed) != tag_of(hash))
            continue;
        const char *item = (const char *)item_of(&cache->slots[set * WAYS + way]);
        for (size_t line = 0; item != NULL && line < lines; line++)
            __builtin_prefetch(item + 64 * line);
        return;
    }
}

bool fr_cache_wants(struct fr_cache *cache, uint64_t file, uint64_t offset, size_t size)
{
    if (cache == NULL) return false;
    size_t capacity = atomic_load_explicit(&cache->capacity, memory_order_relaxed);

    if (size > capacity / 64) return false;
    if (atomic_load_explicit(&cache->bytes, memory_order_relaxed) + size <= capacity) return true;
    uint64_t hash = place_hash(file, offset);
    uint32_t mark = (uint32_t)tag_of(hash);
    _Atomic(uint32_t) *seen = &cache->missed[(hash >> 32) & cache->missed_mask];

    if (atomic_load_explicit(seen, memory_order_relaxed) == mark) return true;
    atomic_store_explicit(seen, mark, memory_order_relaxed);
    return false;
}

void fr_cache_pin(struct fr_cache_item *item)
{
    if (item->slot != NULL)
        atomic_fetch_add_explicit(&item->slot->word, PIN, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&item->pins, 1, memory_order_relaxed);
}

void fr_cache_release(struct fr_cache *cache, struct fr_cache_item *item)
{
    if (item == NULL) return;
    if (item->slot != NULL) {
        unpin(cache, item->slot);
        return;
    }
    /* acq_rel: the last one out must see what the others did with it. */
    if (atomic_fetch_sub_explicit(&item->pins, 1, memory_order_acq_rel) == 1) item->destroy(item);
}

/* ---- Making room ---- */

/* Let the hand pass one slot; true if that freed it. */
static bool pass(struct fr_cache *cache, struct fr_cache_slot *slot)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);

    count(&cache->stripes[stripe_index()].hand_steps);
    if ((word & (STATE_MASK | PINS_MASK)) != LIVE) return false;
    if ((word & CREDIT_MASK) != 0) {
        /* If it fails the slot is in use: that is as good a reason to stay. */
        atomic_compare_exchange_strong_explicit(&slot->word, &word, word - CREDIT,
                memory_order_relaxed, memory_order_relaxed);
        return false;
    }
    if (!atomic_compare_exchange_strong_explicit(&slot->word, &word, BUSY, memory_order_acquire,
                memory_order_relaxed))
        return false;
    empty_slot(cache, slot);
    count(&cache->stripes[stripe_index()].evictions);
    return true;
}

/* The capacity without what others hold of it; size bytes of that are about to be ours. */
static size_t room(const struct fr_cache *cache, size_t size)
{
    size_t capacity = atomic_load_explicit(&cache->capacity, memory_order_relaxed);

    if (cache->account == 0) return capacity;
    size_t own = atomic_load_explicit(&cache->bytes, memory_order_relaxed) + size;
    size_t total = fr_account_total(cache->account), others = total > own ? total - own : 0;
    size_t guests = fr_account_bytes(cache->account, cache->guests);
    size_t uncounted = guests - FR_MIN(guests, fr_cache_guests_most(capacity));
    others -= FR_MIN(others, uncounted);
    return capacity > others ? capacity - others : 0;
}

static bool is_empty(const struct fr_cache *cache, size_t set)
{
    for (size_t way = 0; way < WAYS; way++) {
        const struct fr_cache_slot *slot = &cache->slots[set * WAYS + way];

        if ((atomic_load_explicit(&slot->word, memory_order_acquire) & STATE_MASK) != EMPTY)
            return false;
    }
    return true;
}

/*
 * Whoever publishes sets the bit of his set afterwards. Whoever clears it has found the set empty,
 * and looks again afterwards: if that is what he does last, he sees what was published before.
 */
static void forget_if_empty(struct fr_cache *cache, size_t set)
{
    _Atomic(uint64_t) *word = &cache->occupied[set / WORD_SETS];
    uint64_t bit = (uint64_t)1 << set % WORD_SETS;

    if (!is_empty(cache, set)) return;
    atomic_fetch_and_explicit(word, ~bit, memory_order_acq_rel);
    if (!is_empty(cache, set)) atomic_fetch_or_explicit(word, bit, memory_order_acq_rel);
}

/* How many sets from this one on have nothing in them, or all. Most of them if there are few
 * blocks, and values of their size only: nobody shall walk over these. */
static size_t count_empty(const struct fr_cache *cache, size_t set)
{
    size_t sets = cache->set_mask + 1;

    for (size_t gone = 0; gone < sets;) {
        size_t at = (set + gone) & cache->set_mask, bit = at % WORD_SETS;
        uint64_t word =
                atomic_load_explicit(&cache->occupied[at / WORD_SETS], memory_order_relaxed) >> bit;

        if (word != 0) return FR_MIN(gone + (size_t)__builtin_ctzll(word), sets);
        gone += WORD_SETS - bit;
    }
    return sets;
}

/* The slot that the hand comes by next. *ret_gone: how far it has gone, over empty sets too. */
static struct fr_cache_slot *turn_hand(struct fr_cache *cache, size_t *ret_gone)
{
    size_t at = atomic_fetch_add_explicit(&cache->hand, 1, memory_order_relaxed), over = 0;

    if (at % WAYS == 0) {
        over = count_empty(cache, at / WAYS & cache->set_mask) * WAYS;
        if (over > 0) atomic_fetch_add_explicit(&cache->hand, over, memory_order_relaxed);
        at += over;
        forget_if_empty(cache, at / WAYS & cache->set_mask);
    }
    *ret_gone = 1 + over;
    return &cache->slots[at & (cache->slot_count - 1)];
}

/* After so many steps no item has credit any more: what is still there is pinned. */
static size_t all_rounds(const struct fr_cache *cache)
{
    return 4 * cache->slot_count;
}

/* Turn the hand until size more bytes fit; false if so many slots that were looked at, or all
 * rounds, did not do it. */
static bool make_room(struct fr_cache *cache, size_t size, size_t steps_max)
{
    size_t capacity = room(cache, size), most = all_rounds(cache), gone = 0, step;

    if (size > capacity) return false;
    for (size_t steps = 0; steps <= steps_max && gone <= most; steps++, gone += step) {
        if (atomic_load_explicit(&cache->bytes, memory_order_relaxed) + size <= capacity)
            return true;
        pass(cache, turn_hand(cache, &step));
    }
    return false;
}

/* A read of many blocks pins them all: if they fill a small cache, one of them finds that out for
 * the rest. */
static bool make_room_for_item(struct fr_cache *cache, size_t size)
{
    bool was_stuck = atomic_load_explicit(&cache->is_stuck, memory_order_relaxed);
    bool has_room = make_room(cache, size, was_stuck ? STUCK_STEPS : all_rounds(cache));

    if (has_room == was_stuck)
        atomic_store_explicit(&cache->is_stuck, !has_room, memory_order_relaxed);
    return has_room;
}

void fr_cache_set_capacity(struct fr_cache *cache, size_t capacity)
{
    atomic_store_explicit(&cache->capacity, capacity, memory_order_relaxed);
    (void)make_room(cache, 0, all_rounds(cache));
}

void fr_cache_share(struct fr_cache *cache, unsigned account, fr_charge blocks, unsigned guests)
{
    cache->account = account;
    cache->blocks = blocks;
    cache->guests = guests;
}

fr_charge fr_cache_charge(const struct fr_cache *cache)
{
    return cache == NULL ? 0 : cache->blocks;
}

void fr_cache_trim(struct fr_cache *cache)
{
    if (cache->account != 0) (void)make_room(cache, 0, TRIM_STEPS);
}

/* ---- Bringing in ---- */

static struct fr_cache_slot *take_empty(struct fr_cache *cache, size_t set)
{
    for (unsigned way = 0; way < WAYS; way++) {
        struct fr_cache_slot *slot = &cache->slots[set * WAYS + way];
        uint64_t word = EMPTY;

        if (atomic_compare_exchange_strong_explicit(&slot->word, &word, BUSY, memory_order_acquire,
                    memory_order_relaxed))
            return slot;
    }
    return NULL;
}

static struct fr_cache_slot *take_slot(struct fr_cache *cache, size_t set)
{
    struct fr_cache_slot *slot = take_empty(cache, set);

    /* What has no credit first, or those of the set that are in use would pay each time. */
    for (unsigned way = 0; slot == NULL && way < WAYS; way++) {
        struct fr_cache_slot *other = &cache->slots[set * WAYS + way];

        if ((atomic_load_explicit(&other->word, memory_order_relaxed) & CREDIT_MASK) == 0 &&
                pass(cache, other))
            slot = take_empty(cache, set);
    }
    /* As many rounds as take any credit away. */
    for (unsigned step = 0; slot == NULL && step < 4 * WAYS; step++) {
        FR_COVER("cache: a full set");
        if (pass(cache, &cache->slots[set * WAYS + step % WAYS])) slot = take_empty(cache, set);
    }
    return slot;
}

static void publish(struct fr_cache *cache, struct fr_cache_slot *slot, struct fr_cache_item *item,
        uint64_t tag, bool cold)
{
    size_t index = (size_t)(slot - cache->slots);

    item->slot = slot;
    atomic_store_explicit(&slot->item, item, memory_order_relaxed);
    atomic_fetch_add_explicit(&cache->bytes, item->charge, memory_order_relaxed);
    /* Added, not stored, as others may be adding and taking back pins. */
    atomic_fetch_add_explicit(&slot->word, LIVE - BUSY + PIN + (cold ? 0 : CREDIT),
            memory_order_release);
    /* Behind the word, and never before: see forget_if_empty. */
    atomic_fetch_or_explicit(&cache->occupied[index / WAYS / WORD_SETS],
            (uint64_t)1 << index / WAYS % WORD_SETS, memory_order_acq_rel);
    atomic_store_explicit(&cache->tags[index / WAYS].of[index % WAYS], tag, memory_order_relaxed);
    count(&cache->stripes[stripe_index()].inserts);
}

static struct fr_cache_item *keep_outside(struct fr_cache *cache, struct fr_cache_item *item)
{
    item->slot = NULL;
    atomic_store_explicit(&item->pins, 1, memory_order_relaxed);
    if (cache != NULL) count(&cache->stripes[stripe_index()].unplaced);
    return item;
}

struct fr_cache_item *fr_cache_insert(struct fr_cache *cache, struct fr_cache_item *item, bool cold)
{
    if (cache == NULL) return keep_outside(cache, item);
    uint64_t hash = place_hash(item->file, item->offset);
    struct fr_cache_item *other = lookup_in_set(cache, hash, item->file, item->offset);

    if (other != NULL) {
        item->destroy(item);
        return other;
    }
    if (!make_room_for_item(cache, item->charge)) return keep_outside(cache, item);
    struct fr_cache_slot *slot = take_slot(cache, set_of(cache, hash));

    if (slot == NULL) return keep_outside(cache, item);
    publish(cache, slot, item, tag_of(hash), cold);
    return item;
}

/* ---- The rest ---- */

static void erase_slot(struct fr_cache *cache, struct fr_cache_slot *slot, uint64_t file)
{
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);

    if ((word & STATE_MASK) != LIVE) return;
    word = atomic_fetch_add_explicit(&slot->word, PIN, memory_order_acquire) + PIN;
    /* While this pin is held LIVE can become DEAD, and by us or another eraser only. */
    while ((word & STATE_MASK) == LIVE && item_of(slot)->file == file) {
        if (atomic_compare_exchange_weak_explicit(&slot->word, &word, word - LIVE + DEAD,
                    memory_order_acquire, memory_order_acquire))
            break;
    }
    unpin(cache, slot);
}

void fr_cache_erase_file(struct fr_cache *cache, uint64_t file)
{
    for (size_t i = 0; cache != NULL && i < cache->slot_count; i++)
        erase_slot(cache, &cache->slots[i], file);
}

static size_t pinned_bytes(const struct fr_cache *cache)
{
    struct fr_cache *mutable = fr_unconst(cache);
    size_t bytes = 0;

    for (size_t i = 0; i < cache->slot_count; i++) {
        struct fr_cache_slot *slot = &mutable->slots[i];
        uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);

        if ((word & STATE_MASK) != LIVE || (word & PINS_MASK) == 0) continue;
        word = atomic_fetch_add_explicit(&slot->word, PIN, memory_order_acquire);
        if ((word & STATE_MASK) == LIVE) bytes += item_of(slot)->charge;
        unpin(mutable, slot);
    }
    return bytes;
}

void fr_cache_stats_get(const struct fr_cache *cache, struct fr_cache_stats *ret_stats)
{
    struct fr_cache_stats stats = {0};

    for (unsigned i = 0; i < STRIPES; i++) {
        const struct stripe *stripe = &cache->stripes[i];

        stats.hits += atomic_load_explicit(&stripe->hits, memory_order_relaxed);
        stats.misses += atomic_load_explicit(&stripe->misses, memory_order_relaxed);
        stats.inserts += atomic_load_explicit(&stripe->inserts, memory_order_relaxed);
        stats.evictions += atomic_load_explicit(&stripe->evictions, memory_order_relaxed);
        stats.unplaced += atomic_load_explicit(&stripe->unplaced, memory_order_relaxed);
        stats.hand_steps += atomic_load_explicit(&stripe->hand_steps, memory_order_relaxed);
    }
    stats.bytes = atomic_load_explicit(&cache->bytes, memory_order_relaxed);
    stats.capacity = atomic_load_explicit(&cache->capacity, memory_order_relaxed);
    stats.pinned_bytes = pinned_bytes(cache);
    stats.slots = cache->slot_count;
    stats.slot_bytes = cache->slot_count * (sizeof(struct fr_cache_slot) + sizeof(uint64_t)) +
                       (cache->missed_mask + 1) * sizeof(uint32_t) +
                       cache->slot_count / WAYS / WORD_SETS * sizeof(uint64_t);
    *ret_stats = stats;
}
