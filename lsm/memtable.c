/*
 * memtable.c - memory, the hash table, versions of keys, and range deletes.
 *
 * The order of publication. A version is complete before `newest` of its key points to it; a key
 * is complete, its first version included, before its predecessor's `next` or a slot of the hash
 * table does. All these are release stores, which readers meet with acquire loads. Nothing is taken
 * away or moved before the memtable goes as a whole, so a reader needs no protection but its
 * reference. A grown hash table is published complete, and the old one stays for those who are in
 * it: they lack only what was inserted after they began, which they could not see anyway.
 */
#include "lsm/memtable.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/compiler.h"
#include "base/cover.h"
#include "base/rng.h"
#include "lsm/batch.h"
#include "lsm/memtable_pool.h"
#include "lsm/memtable_priv.h"

/* Large enough that a chunk is rare, small enough that the last one is no waste. */
#define CHUNK_MAX ((size_t)1 << 20)

#define TABLE_SLOTS_MIN 256

typedef struct fr_memtable_key key_node;
typedef struct fr_memtable_version version_node;

/* hash is written before key, which publishes both; a slot is filled once. */
struct slot {
    _Atomic(key_node *) key;
    _Atomic(uint32_t) hash;
};

struct table {
    struct table *older;
    size_t mask; /* slots - 1 */
    struct slot slots[];
};

/* Range deletes stand in a list, newest first; a view has those up to `upto` cut and sorted. */
struct range_node {
    const struct range_node *older;
    struct fr_range range;
    uint32_t check;
};

struct view {
    struct view *older;
    const struct range_node *upto;
    struct fr_range_set *set;
};

struct fr_memtable {
    _Atomic(uint32_t) refs; /* relaxed up; release down, acquire by the last */

    /* Constant after new. */
    size_t budget;
    uint64_t hash_seed;
    key_node head; /* before all keys; has no versions */

    /* The writer's. */
    struct fr_memtable_memory memory;
    struct fr_memtable_memory index_memory; /* apart: takes nothing of what was reserved */
    size_t table_used;
    uint64_t recent_ranges; /* in the list above the view */

    /* Written by the writer, by release; read by acquire. */
    struct fr_memtable_index index;
    _Atomic(struct table *) table;
    _Atomic(const struct range_node *) ranges;
    _Atomic(struct view *) view;

    /* Counts, relaxed: nothing follows from them. */
    _Atomic(uint64_t) entry_count;
    _Atomic(uint64_t) key_count;
    _Atomic(uint64_t) range_count;
    _Atomic(uint64_t) seq_min;
    _Atomic(uint64_t) seq_max;
};

static void count_up(_Atomic(size_t) *count, size_t more)
{
    size_t now = atomic_load_explicit(count, memory_order_relaxed);
    atomic_store_explicit(count, now + more, memory_order_relaxed);
}

static struct fr_memtable_chunk *add_chunk(struct fr_memtable_memory *memory, size_t size)
{
    bool pooled = memory->pool != NULL && size == memory->chunk_size;
    struct fr_memtable_chunk *chunk =
            pooled ? fr_memtable_pool_take(memory->pool) : fr_alloc_aligned(size, 64);
    if (chunk == NULL) return NULL;

    chunk->size = size;
    chunk->next = memory->chunks;
    memory->chunks = chunk;
    count_up(&memory->held_bytes, size);
    return chunk;
}

/* Room for size bytes in pieces, wherever they fall: in the chunk in use, or in a spare one. */
static bool make_room(struct fr_memtable_memory *memory, size_t size)
{
    size_t chunk_size = FR_MAX(memory->chunk_size, size + 64);

    if (size <= (size_t)(memory->end - memory->at)) return true;
    if (size <= (size_t)(memory->spare_end - memory->spare_at)) return true;
    struct fr_memtable_chunk *chunk = add_chunk(memory, chunk_size);
    if (chunk == NULL) return false;
    memory->spare_at = (uint8_t *)chunk + 64;
    memory->spare_end = (uint8_t *)chunk + chunk_size;
    return true;
}

static void *take(struct fr_memtable_memory *memory, size_t size, size_t alignment)
{
    size_t gap = -(uintptr_t)memory->at & (alignment - 1);
    size_t room = (size_t)(memory->end - memory->at);

    if (gap > room || size > room - gap) return NULL;
    uint8_t *piece = memory->at + gap;
    memory->at = piece + size;
    count_up(&memory->used_bytes, gap + size);
    return piece;
}

void *fr_memtable_memory_take(struct fr_memtable_memory *memory, size_t size, size_t alignment)
{
    void *piece = take(memory, size, alignment);

    if (FR_LIKELY(piece != NULL)) return piece;
    if (memory->spare_at == NULL && !make_room(memory, size + alignment)) return NULL;
    memory->at = memory->spare_at;
    memory->end = memory->spare_end;
    memory->spare_at = memory->spare_end = NULL;
    piece = take(memory, size, alignment);
    if (piece != NULL) return piece;
    return make_room(memory, size + alignment) ? fr_memtable_memory_take(memory, size, alignment)
                                               : NULL;
}

static uint64_t fold_multiply(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Not for adversaries who know the seed, which is the address of the memtable. */
static uint32_t hash_of(const struct fr_memtable *m, fr_slice key)
{
    uint64_t hash = m->hash_seed ^ key.size;
    const uint8_t *at = key.data;
    size_t left = key.size;
    uint64_t a = 0, b = 0;

    for (; left > 16; at += 16, left -= 16)
        hash = fold_multiply(fr_get_u64(at) ^ 0x9e3779b97f4a7c15u, fr_get_u64(at + 8) ^ hash);
    if (left >= 8) {
        a = fr_get_u64(at);
        b = fr_get_u64(at + left - 8);
    } else {
        memcpy(&a, at, left);
    }
    hash = fold_multiply(a ^ 0xbf58476d1ce4e5b9u, b ^ hash);
    return (uint32_t)(hash ^ hash >> 32);
}

static struct table *new_table(struct fr_memtable *m, size_t slots)
{
    size_t size = sizeof(struct table) + slots * sizeof(struct slot);
    struct table *table = fr_alloc_zeroed(1, size);

    if (table == NULL) return NULL;
    table->mask = slots - 1;
    count_up(&m->memory.used_bytes, size);
    count_up(&m->memory.held_bytes, size);
    return table;
}

static void table_add(struct table *table, uint32_t hash, key_node *key)
{
    size_t at = hash & table->mask;

    while (atomic_load_explicit(&table->slots[at].key, memory_order_relaxed) != NULL)
        at = (at + 1) & table->mask;
    atomic_store_explicit(&table->slots[at].hash, hash, memory_order_relaxed);
    atomic_store_explicit(&table->slots[at].key, key, memory_order_release);
}

static bool grow_table(struct fr_memtable *m, size_t slots)
{
    struct table *old = atomic_load_explicit(&m->table, memory_order_relaxed);
    struct table *table = new_table(m, slots);

    if (table == NULL) return false;
    table->older = old;
    for (size_t i = 0; old != NULL && i <= old->mask; i++) {
        key_node *key = atomic_load_explicit(&old->slots[i].key, memory_order_relaxed);
        uint32_t hash = atomic_load_explicit(&old->slots[i].hash, memory_order_relaxed);
        if (key != NULL) table_add(table, hash, key);
    }
    atomic_store_explicit(&m->table, table, memory_order_release);
    return true;
}

/* At most two thirds full after so many more keys. */
static bool make_room_in_table(struct fr_memtable *m, size_t count)
{
    struct table *table = atomic_load_explicit(&m->table, memory_order_relaxed);
    size_t slots = table->mask + 1;

    while (m->table_used + count > slots / 3 * 2)
        slots *= 2;
    return slots == table->mask + 1 || grow_table(m, slots);
}

static key_node *table_find(const struct fr_memtable *m, uint32_t hash, fr_slice key)
{
    struct table *table = atomic_load_explicit(&m->table, memory_order_acquire);

    for (size_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        key_node *found = atomic_load_explicit(&table->slots[at].key, memory_order_acquire);
        if (found == NULL) return NULL;
        if (atomic_load_explicit(&table->slots[at].hash, memory_order_relaxed) == hash &&
                fr_slice_equal(fr_memtable_key_slice(found), key))
            return found;
    }
}

fr_status fr_memtable_new(size_t budget, struct fr_memtable_pool *pool,
        struct fr_memtable **ret_memtable)
{
    struct fr_memtable *m = FR_NEW(struct fr_memtable);
    if (m == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a memtable");

    atomic_init(&m->refs, 1);
    m->budget = FR_MAX(budget, FR_MEMTABLE_BUDGET_MIN);
    m->hash_seed = fr_mix64((uintptr_t)m);
    size_t chunk_size = FR_MIN(CHUNK_MAX, m->budget / 4);
    m->memory.chunk_size = pool == NULL ? chunk_size : fr_memtable_pool_chunk_size(pool);
    m->memory.pool = pool;
    m->index_memory.chunk_size = FR_MAX(chunk_size / 16, (size_t)4096);
    if (!grow_table(m, TABLE_SLOTS_MIN) ||
            !fr_memtable_index_init(&m->index, &m->index_memory, &m->head)) {
        fr_memtable_unref(m);
        return FR_FAIL(FR_ERR_NOMEM, "no memory for a memtable");
    }
    *ret_memtable = m;
    return FR_OK;
}

struct fr_memtable *fr_memtable_ref(struct fr_memtable *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

static void free_views(struct fr_memtable *m)
{
    struct view *view = atomic_load_explicit(&m->view, memory_order_relaxed);

    while (view != NULL) {
        struct view *older = view->older;
        fr_range_set_unref(view->set);
        fr_free(view);
        view = older;
    }
}

static void free_chunks(struct fr_memtable_memory *memory)
{
    for (struct fr_memtable_chunk *c = memory->chunks, *next; c != NULL; c = next) {
        next = c->next;
        if (memory->pool != NULL && c->size == memory->chunk_size)
            fr_memtable_pool_give(memory->pool, c);
        else
            fr_free(c);
    }
}

void fr_memtable_unref(struct fr_memtable *m)
{
    if (m == NULL) return;
    if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1) return;
    free_views(m);
    for (struct table *t = atomic_load_explicit(&m->table, memory_order_relaxed), *older; t != NULL;
            t = older) {
        older = t->older;
        fr_free(t);
    }
    free_chunks(&m->memory);
    free_chunks(&m->index_memory);
    fr_free(m);
}

static size_t used_bytes(const struct fr_memtable *m)
{
    return atomic_load_explicit(&m->memory.used_bytes, memory_order_relaxed) +
           atomic_load_explicit(&m->index_memory.used_bytes, memory_order_relaxed);
}

static size_t held_bytes(const struct fr_memtable *m)
{
    return atomic_load_explicit(&m->memory.held_bytes, memory_order_relaxed) +
           atomic_load_explicit(&m->index_memory.held_bytes, memory_order_relaxed);
}

/* More than an entry takes beside its bytes: the larger struct, and gaps before two pieces. */
#define ENTRY_OVERHEAD (FR_MAX(sizeof(key_node), sizeof(struct range_node)) + 16)

fr_status fr_memtable_reserve(struct fr_memtable *m, size_t bytes, size_t count)
{
    size_t size = bytes + count * ENTRY_OVERHEAD;
    size_t used = used_bytes(m);
    bool empty = atomic_load_explicit(&m->seq_max, memory_order_relaxed) == 0;

    FR_ASSERT(count <= SIZE_MAX / 4 / ENTRY_OVERHEAD && bytes <= SIZE_MAX / 4);
    if (!empty && (used > m->budget || size > m->budget - used))
        return FR_FAIL(FR_ERR_FULL, "the memtable holds %zu of %zu bytes", used, m->budget);
    if (make_room(&m->memory, size) && make_room_in_table(m, count)) return FR_OK;
    return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu operations of %zu bytes", count, bytes);
}

static fr_seq version_seq(const version_node *version)
{
    return version->seq_kind_flags >> 8;
}

static void version_fill(version_node *v, const struct fr_entry *entry, uint32_t check,
        uint8_t *value)
{
    v->seq_kind_flags = entry->seq << 8 | (uint64_t)entry->flags << 4 | entry->kind;
    v->expires_us = entry->expires_us;
    v->value = value;
    v->value_size = (uint32_t)entry->value.size;
    v->check = check;
    if (entry->value.size > 0) memcpy(value, entry->value.data, entry->value.size);
}

/*
 * Versions jump down by the distances that skew binary numbers have for digits, so that any depth
 * is reached in a logarithmic number of steps: a reader of an old snapshot does not walk through
 * all that has been written to a hot key since.
 */
static void version_link(version_node *v, const version_node *older)
{
    const version_node *jump = older->jump;

    v->older = older;
    v->depth = older->depth + 1;
    v->jump = older;
    if (jump != NULL && jump->jump != NULL &&
            older->depth - jump->depth == jump->depth - jump->jump->depth)
        v->jump = jump->jump;
}

/* The newest version up to at, or NULL. */
static const version_node *find_visible(const version_node *v, fr_seq at)
{
    while (v != NULL && version_seq(v) > at)
        v = v->jump != NULL && version_seq(v->jump) > at ? v->jump : v->older;
    return v;
}

static bool add_version(struct fr_memtable *m, key_node *key, const struct fr_entry *entry,
        uint32_t check)
{
    version_node *older = atomic_load_explicit(&key->newest, memory_order_relaxed);
    version_node *v = fr_memtable_memory_take(&m->memory, sizeof(*v) + entry->value.size, 8);

    FR_ASSERT(version_seq(older) < entry->seq);
    if (v == NULL) return false;
    atomic_init(&v->newer, NULL);
    version_fill(v, entry, check, (uint8_t *)(v + 1));
    version_link(v, older);
    atomic_store_explicit(&older->newer, v, memory_order_release);
    atomic_store_explicit(&key->newest, v, memory_order_release);
    return true;
}

/* Into the list: seen by walkers from here on, in both directions. */
static void link_key(const struct fr_memtable_place *place, key_node *key)
{
    key_node *next = atomic_load_explicit(&place->pred->next, memory_order_relaxed);

    atomic_init(&key->next, next);
    atomic_init(&key->prev, place->pred);
    atomic_store_explicit(&place->pred->next, key, memory_order_release);
    if (next != NULL) atomic_store_explicit(&next->prev, key, memory_order_release);
}

static bool add_key(struct fr_memtable *m, uint32_t hash, const struct fr_entry *entry,
        uint32_t check)
{
    size_t size = sizeof(key_node) + entry->key.size + entry->value.size;
    struct fr_memtable_place place = fr_memtable_index_place(&m->index, entry->key);
    key_node *key = fr_memtable_memory_take(&m->memory, size, 8);
    if (key == NULL) return false;
    uint8_t *bytes = (uint8_t *)(key + 1);

    memcpy(bytes, entry->key.data, entry->key.size);
    key->data = bytes;
    key->size = (uint32_t)entry->key.size;
    key->first.older = key->first.jump = NULL;
    key->first.depth = 0;
    atomic_init(&key->first.newer, NULL);
    version_fill(&key->first, entry, check, bytes + entry->key.size);
    atomic_init(&key->newest, &key->first);
    link_key(&place, key);
    fr_memtable_index_add(&m->index, &place, key);
    table_add(atomic_load_explicit(&m->table, memory_order_relaxed), hash, key);
    m->table_used++;
    count_up(&m->key_count, 1);
    return true;
}

/* Cut and sort all ranges so far. Without memory the list is walked further than it need be. */
static void make_view(struct fr_memtable *m)
{
    struct view *view = FR_NEW(struct view);
    struct fr_range_set *set = NULL;

    if (view == NULL) return;
    if (fr_memtable_ranges(m, &set) != FR_OK) {
        fr_free(view);
        return;
    }
    view->set = set;
    view->upto = atomic_load_explicit(&m->ranges, memory_order_relaxed);
    view->older = atomic_load_explicit(&m->view, memory_order_relaxed);
    atomic_store_explicit(&m->view, view, memory_order_release);
    count_up(&m->memory.used_bytes, fr_range_set_bytes(set));
    count_up(&m->memory.held_bytes, fr_range_set_bytes(set));
    m->recent_ranges = 0;
}

static bool add_range(struct fr_memtable *m, const struct fr_entry *entry, uint32_t check)
{
    size_t size = sizeof(struct range_node) + entry->key.size + entry->value.size;
    struct range_node *node = fr_memtable_memory_take(&m->memory, size, 8);
    if (node == NULL) return false;
    uint8_t *bytes = (uint8_t *)(node + 1);

    memcpy(bytes, entry->key.data, entry->key.size);
    memcpy(bytes + entry->key.size, entry->value.data, entry->value.size);
    node->range.start = fr_slice_of(bytes, entry->key.size);
    node->range.end = fr_slice_of(bytes + entry->key.size, entry->value.size);
    node->range.seq = entry->seq;
    node->check = check;
    node->older = atomic_load_explicit(&m->ranges, memory_order_relaxed);
    atomic_store_explicit(&m->ranges, node, memory_order_release);
    count_up(&m->range_count, 1);
    if (++m->recent_ranges > 32 + m->range_count / 16) make_view(m);
    return true;
}

static fr_status insert(struct fr_memtable *m, const struct fr_entry *entry, uint32_t hash,
        uint32_t check)
{
    bool done;

    if (entry->kind == FR_KIND_DELETE_RANGE) {
        done = add_range(m, entry, check);
    } else {
        key_node *key = table_find(m, hash, entry->key);
        done = key != NULL ? add_version(m, key, entry, check) : add_key(m, hash, entry, check);
        if (done) count_up(&m->entry_count, 1);
    }
    if (!done) return FR_FAIL(FR_ERR_NOMEM, "no memory for an entry");
    if (atomic_load_explicit(&m->seq_min, memory_order_relaxed) == 0)
        atomic_store_explicit(&m->seq_min, entry->seq, memory_order_relaxed);
    atomic_store_explicit(&m->seq_max, entry->seq, memory_order_relaxed);
    return FR_OK;
}

fr_status fr_memtable_insert(struct fr_memtable *m, const struct fr_entry *entry)
{
    FR_ASSERT(entry->seq > 0 && entry->seq <= FR_SEQ_MAX);
    FR_ASSERT(fr_entry_kind_known(entry->kind));
    if (!make_room_in_table(m, 1)) return FR_FAIL(FR_ERR_NOMEM, "no memory for an entry");
    return insert(m, entry, hash_of(m, entry->key), fr_batch_record_check(entry));
}

/*
 * Each insertion waits for memory in three places that depend on each other. Operations of a batch
 * do not, so they go through those places side by side, so many at a time.
 */
#define WINDOW 16

struct window {
    struct fr_entry entries[WINDOW];
    uint32_t checks[WINDOW];
    uint32_t hashes[WINDOW];
    struct fr_memtable_index_node *leaves[WINDOW]; /* NULL: the key is there */
    size_t count;
};

/* FR_END: the window has the batch's last operations, or none. */
static fr_status read_window(struct fr_batch_reader *reader, struct window *w)
{
    fr_status st = FR_OK;

    for (w->count = 0; w->count < WINDOW; w->count++) {
        st = fr_batch_read_next(reader, &w->entries[w->count]);
        if (st != FR_OK) break;
        w->checks[w->count] = reader->check;
    }
    return st;
}

static void fetch_window(const struct fr_memtable *m, struct window *w)
{
    const struct table *table = atomic_load_explicit(&m->table, memory_order_relaxed);

    for (size_t i = 0; i < w->count; i++) {
        w->hashes[i] = hash_of(m, w->entries[i].key);
        __builtin_prefetch(&table->slots[w->hashes[i] & table->mask], 1);
    }
    for (size_t i = 0; i < w->count; i++) {
        const struct slot *slot = &table->slots[w->hashes[i] & table->mask];
        bool likely_there = atomic_load_explicit(&slot->hash, memory_order_relaxed) == w->hashes[i];
        w->leaves[i] = NULL;
        if (likely_there)
            __builtin_prefetch(atomic_load_explicit(&slot->key, memory_order_relaxed), 1);
        else
            w->leaves[i] = fr_memtable_index_fetch_leaf(&m->index, w->entries[i].key);
    }
    for (size_t i = 0; i < w->count; i++)
        if (w->leaves[i] != NULL) fr_memtable_index_fetch_pred(w->leaves[i], w->entries[i].key);
}

fr_status fr_memtable_insert_batch(struct fr_memtable *m, fr_slice batch, fr_seq first_seq)
{
    struct fr_batch_reader reader;
    struct window window;
    fr_status st;

    FR_ASSERT(first_seq > 0);
    FR_TRY(fr_batch_read(batch, first_seq, false, &reader));
    if (!make_room_in_table(m, reader.count)) return FR_FAIL(FR_ERR_NOMEM, "no memory for a batch");
    do {
        fr_status read = read_window(&reader, &window);
        fetch_window(m, &window);
        for (size_t i = 0; i < window.count; i++)
            FR_TRY(insert(m, &window.entries[i], window.hashes[i], window.checks[i]));
        st = read;
    } while (st == FR_OK);
    if (st == FR_END) st = FR_OK;
out:
    return st;
}

static fr_seq newest_covering(const struct fr_memtable *m, fr_slice key, fr_seq at)
{
    /* The view before the list: so what is above the view cannot be missed. */
    const struct view *view = atomic_load_explicit(&m->view, memory_order_acquire);
    const struct range_node *stop = view == NULL ? NULL : view->upto;
    const struct range_node *node = atomic_load_explicit(&m->ranges, memory_order_acquire);

    for (; node != stop; node = node->older)
        if (node->range.seq <= at && fr_slice_compare(node->range.start, key) <= 0 &&
                fr_slice_compare(key, node->range.end) < 0)
            return node->range.seq;
    return view == NULL ? 0 : fr_range_set_covering(view->set, key, at);
}

/* The entry that a version is; key and value stay as long as the memtable. */
static void version_entry(const key_node *key, const version_node *v, struct fr_entry *ret_entry)
{
    ret_entry->key = fr_memtable_key_slice(key);
    ret_entry->value = fr_slice_of(v->value, v->value_size);
    ret_entry->seq = version_seq(v);
    ret_entry->expires_us = v->expires_us;
    ret_entry->kind = v->seq_kind_flags & 0x0f;
    ret_entry->flags = v->seq_kind_flags >> 4 & 0x0f;
}

fr_status fr_memtable_get(const struct fr_memtable *m, fr_slice key, struct fr_lookup *lookup)
{
    const key_node *found = table_find(m, hash_of(m, key), key);
    fr_status st = FR_OK;

    if (atomic_load_explicit(&m->ranges, memory_order_acquire) != NULL)
        fr_lookup_cover(lookup, newest_covering(m, key, lookup->at));
    if (found == NULL) return FR_OK;
    const version_node *v =
            find_visible(atomic_load_explicit(&found->newest, memory_order_acquire), lookup->at);
    for (; v != NULL && !fr_lookup_complete(lookup); v = v->older) {
        struct fr_entry entry;
        version_entry(found, v, &entry);
        FR_TRY(fr_lookup_add(lookup, &entry, true));
    }
out:
    return st;
}

static size_t count_recent(const struct range_node *node, const struct range_node *stop)
{
    size_t count = 0;

    for (; node != stop; node = node->older)
        count++;
    return count;
}

static fr_status merge_recent(const struct range_node *node, const struct range_node *stop,
        const struct fr_range_set *cut, struct fr_range_set **ret_set)
{
    size_t count = count_recent(node, stop);
    struct fr_range *recent = fr_alloc_zeroed(count, sizeof(*recent));
    if (recent == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu ranges", count);

    for (size_t i = 0; i < count; i++, node = node->older)
        recent[i] = node->range;
    fr_status st = fr_range_set_merge(&cut, 1, recent, count, ret_set);
    fr_free(recent);
    return st;
}

fr_status fr_memtable_ranges(const struct fr_memtable *m, struct fr_range_set **ret_set)
{
    const struct view *view = atomic_load_explicit(&m->view, memory_order_acquire);
    const struct range_node *stop = view == NULL ? NULL : view->upto;
    const struct range_node *node = atomic_load_explicit(&m->ranges, memory_order_acquire);
    struct fr_range_set *set = view == NULL ? NULL : view->set;

    if (node != stop) return merge_recent(node, stop, set, ret_set);
    *ret_set = fr_range_set_ref(set);
    return FR_OK;
}

fr_status fr_memtable_verify_ranges(const struct fr_memtable *m)
{
    const struct range_node *node = atomic_load_explicit(&m->ranges, memory_order_acquire);

    for (; node != NULL; node = node->older) {
        struct fr_entry entry = {
                .key = node->range.start, .value = node->range.end, .kind = FR_KIND_DELETE_RANGE};
        if (fr_batch_record_check(&entry) != node->check)
            return FR_FAIL(FR_ERR_CORRUPT, "memtable: a range delete has changed in memory");
    }
    return FR_OK;
}

void fr_memtable_stats_get(const struct fr_memtable *m, struct fr_memtable_stats *ret_stats)
{
    *ret_stats = (struct fr_memtable_stats){
            .used_bytes = used_bytes(m),
            .held_bytes = held_bytes(m),
            .entry_count = atomic_load_explicit(&m->entry_count, memory_order_relaxed),
            .key_count = atomic_load_explicit(&m->key_count, memory_order_relaxed),
            .range_count = atomic_load_explicit(&m->range_count, memory_order_relaxed),
            .seq_min = atomic_load_explicit(&m->seq_min, memory_order_relaxed),
            .seq_max = atomic_load_explicit(&m->seq_max, memory_order_relaxed),
    };
}

/*
 * Keys lie in memory as they came, so a walk in order waits for memory at each step. Whoever walks
 * over a memtable that takes no more sends these ahead, along the leaves of the index: one fetches
 * keys, and the other, when these have come, their values. Where the index is incomplete they are
 * elsewhere, and only of no use.
 */
struct scout {
    const struct fr_memtable_index_node *leaf;
    uint32_t slot;
};

#define KEYS_AHEAD   16
#define VALUES_AHEAD 8

static const key_node *scout_next(struct scout *scout)
{
    /* Beyond the end, too: a leaf that is split loses half of its keys to the next one. */
    while (scout->leaf != NULL &&
            scout->slot >= atomic_load_explicit(&scout->leaf->count, memory_order_acquire)) {
        scout->leaf = atomic_load_explicit(&scout->leaf->next, memory_order_acquire);
        scout->slot = 0;
    }
    if (scout->leaf == NULL) return NULL;
    return atomic_load_explicit(&scout->leaf->key[scout->slot++], memory_order_acquire);
}

static void fetch_bytes(const void *from, size_t size)
{
    for (size_t at = 0; at < size; at += 64)
        __builtin_prefetch((const char *)from + at);
}

static void scout_keys(struct scout *scout, unsigned steps)
{
    const key_node *key;

    while (steps-- > 0 && (key = scout_next(scout)) != NULL)
        fetch_bytes(key, sizeof(*key));
}

/* What is beyond some lines the processor fetches by itself, once they are read. */
static void scout_values(struct scout *scout, unsigned steps)
{
    const key_node *key;

    while (steps-- > 0 && (key = scout_next(scout)) != NULL)
        fetch_bytes(key->first.value, FR_MIN(key->first.value_size, 1024u));
}

/* The iterator: it stands on a version, or in the gap before one, or behind all. */
struct memtable_iter {
    struct fr_iter it;
    const struct fr_memtable *m;
    bool verify;
    struct scout keys; /* with verify only, and on the way from the first to the last */
    struct scout values;
    bool on;             /* on the version; else in the gap before it */
    const key_node *key; /* NULL: behind all */
    const version_node *version;
    fr_status status; /* a failure that sticks */
};

static struct memtable_iter *iter_of(struct fr_iter *it)
{
    return FR_CONTAINER_OF(it, struct memtable_iter, it);
}

static void iter_close(struct fr_iter *it)
{
    fr_free(iter_of(it));
}

/* Into the gap before a key's newest version. */
static void stand_before(struct memtable_iter *i, const key_node *key)
{
    i->on = false;
    i->key = key;
    i->version = key == NULL ? NULL : atomic_load_explicit(&key->newest, memory_order_acquire);
}

static void iter_seek(struct fr_iter *it, fr_slice key, fr_seq seq)
{
    struct memtable_iter *i = iter_of(it);
    const key_node *before = fr_memtable_index_before(&i->m->index, key);
    const key_node *at = atomic_load_explicit(&before->next, memory_order_acquire);

    i->status = FR_OK;
    stand_before(i, at);
    if (at == NULL || !fr_slice_equal(fr_memtable_key_slice(at), key)) return;
    i->version = find_visible(i->version, seq);
    if (i->version == NULL) stand_before(i, atomic_load_explicit(&at->next, memory_order_acquire));
}

static void iter_seek_first(struct fr_iter *it)
{
    struct memtable_iter *i = iter_of(it);

    i->status = FR_OK;
    stand_before(i, atomic_load_explicit(&i->m->head.next, memory_order_acquire));
    if (!i->verify) return;
    i->keys = i->values = (struct scout){.leaf = fr_memtable_index_first(&i->m->index)};
    scout_keys(&i->keys, KEYS_AHEAD);
    scout_values(&i->values, VALUES_AHEAD);
}

static void iter_seek_last(struct fr_iter *it)
{
    struct memtable_iter *i = iter_of(it);

    i->status = FR_OK;
    stand_before(i, NULL);
}

static fr_status hand_out(struct memtable_iter *i)
{
    i->on = true;
    version_entry(i->key, i->version, &i->it.entry);
    if (!i->verify || fr_batch_record_check(&i->it.entry) == i->version->check) return FR_OK;
    i->status = FR_FAIL(FR_ERR_CORRUPT, "memtable: an entry has changed in memory");
    return i->status;
}

static fr_status iter_next(struct fr_iter *it)
{
    struct memtable_iter *i = iter_of(it);

    if (i->status != FR_OK) return i->status;
    if (i->on && i->version->older != NULL) {
        i->version = i->version->older;
        return hand_out(i);
    }
    if (i->on) {
        scout_keys(&i->keys, 1);
        scout_values(&i->values, 1);
        stand_before(i, atomic_load_explicit(&i->key->next, memory_order_acquire));
    }
    return i->key == NULL ? FR_END : hand_out(i);
}

static fr_status iter_prev(struct fr_iter *it)
{
    struct memtable_iter *i = iter_of(it);
    const key_node *key;

    if (i->status != FR_OK) return i->status;
    if (i->key != NULL) {
        version_node *newer = atomic_load_explicit(&((version_node *)fr_unconst(i->version))->newer,
                memory_order_acquire);
        if (newer != NULL) {
            i->version = newer;
            return hand_out(i);
        }
        key = atomic_load_explicit(&i->key->prev, memory_order_acquire);
    } else {
        key = fr_memtable_index_last(&i->m->index);
    }
    i->on = false;
    if (key == &i->m->head) return FR_END;
    i->key = key;
    i->version = &key->first;
    return hand_out(i);
}

static const struct fr_iter_ops iter_ops = {
        .close = iter_close,
        .seek = iter_seek,
        .seek_first = iter_seek_first,
        .seek_last = iter_seek_last,
        .next = iter_next,
        .prev = iter_prev,
};

fr_status fr_memtable_iter_new(const struct fr_memtable *m, bool verify, struct fr_iter **ret_it)
{
    struct memtable_iter *i = FR_NEW(struct memtable_iter);
    if (i == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an iterator");

    i->it.ops = &iter_ops;
    i->m = m;
    i->verify = verify;
    iter_seek_first(&i->it);
    *ret_it = &i->it;
    return FR_OK;
}

void fr_memtable_check(const struct fr_memtable *m)
{
    const key_node *before = &m->head;
    uint64_t keys = 0, entries = 0;

    for (const key_node *key; (key = atomic_load(&before->next)) != NULL; before = key) {
        fr_slice text = fr_memtable_key_slice(key);
        FR_ASSERT(atomic_load(&key->prev) == before);
        FR_ASSERT(fr_slice_compare(fr_memtable_key_slice(before), text) < 0);
        FR_ASSERT(table_find(m, hash_of(m, text), text) == key);
        FR_ASSERT(fr_memtable_index_before(&m->index, text) == before);
        keys++;
        for (const version_node *v = atomic_load(&key->newest); v != NULL; v = v->older) {
            FR_ASSERT(v->older == NULL || version_seq(v->older) < version_seq(v));
            FR_ASSERT(v->older != NULL || v == &key->first);
            entries++;
        }
    }
    FR_ASSERT(fr_memtable_index_last(&m->index) == before);
    FR_ASSERT(keys == m->key_count && entries == m->entry_count);
}
