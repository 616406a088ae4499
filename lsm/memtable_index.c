/*
 * memtable_index.c - a way into an ordered list that may be wrong for a moment and never hurts.
 *
 * The keys of a memtable are a doubly linked list in order. That list is the truth: whoever stands
 * on a key below the one that is looked for finds it by walking on. The index says where to start
 * walking. It is a tree of wide nodes, whose slots hold a key's node and eight bytes of the key, so
 * that a search compares numbers that lie side by side and touches one key in the end. The eight
 * bytes are taken behind the part that all keys between the node's fences have in common: keys
 * often begin alike ("spfresh/v/..."), and their first eight bytes would tell nothing.
 *
 * The writer shifts slots, splits nodes and adds levels in place while readers look on. For them
 *
 *   - every pointer that was ever in a slot is a key that stays as long as the memtable, so there
 *     is nothing to fall off;
 *   - slots only ever move towards higher numbers, and a split takes keys from the end, so what a
 *     reader finds in a slot late is a key that is too large, never too small: stepping back, at
 *     worst to the leaves before, leads to a smaller one. Slot 0 never changes, and `prev` leads
 *     to some leaf on the left;
 *   - too small a key costs some steps along the list, or from leaf to leaf.
 *
 * So a reader goes down once, without looking whether it was disturbed, checks what it found
 * against the key itself, and is right in any case. For the same reason an index node for which
 * there is no memory is simply not made: keys are missing in the index then, not in the memtable.
 *
 * Nodes split in halves, but for a leaf that is filled in ascending order: it stays full, and the
 * new one begins with the new key.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/coding.h"
#include "base/compiler.h"
#include "base/cover.h"
#include "lsm/memtable_priv.h"

#define SLOTS FR_MEMTABLE_INDEX_SLOTS

/* Half-full nodes of 32: more keys than addresses. */
#define DEPTH_MAX 12

typedef struct fr_memtable_index_node index_node;
typedef struct fr_memtable_key key_node;

#define GET(field)            atomic_load_explicit(&(field), memory_order_relaxed)
#define SET(field, value)     atomic_store_explicit(&(field), (value), memory_order_relaxed)
#define GET_ACQ(field)        atomic_load_explicit(&(field), memory_order_acquire)
#define SET_REL(field, value) atomic_store_explicit(&(field), (value), memory_order_release)

/* Eight bytes of the key from skip on, most significant first, zeros behind its end. */
static uint64_t prefix_of(fr_slice key, uint32_t skip)
{
    uint64_t value = 0;

    if (key.size >= (size_t)skip + 8) return __builtin_bswap64(fr_get_u64(key.data + skip));
    if (key.size <= skip) return 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | (skip + i < key.size ? key.data[skip + i] : 0);
    return value;
}

static int compare(const key_node *node, fr_slice key)
{
    return fr_slice_compare(fr_memtable_key_slice(node), key);
}

static index_node *new_node(struct fr_memtable_index *index, uint32_t level)
{
    size_t children = level == 0 ? 0 : SLOTS * sizeof(_Atomic(index_node *));
    index_node *node = fr_memtable_memory_take(index->memory, sizeof(*node) + children, 64);

    if (node == NULL) return NULL;
    memset((void *)node, 0, sizeof(*node) + children);
    node->level = level;
    return node;
}

bool fr_memtable_index_init(struct fr_memtable_index *index, struct fr_memtable_memory *memory,
        key_node *head)
{
    *index = (struct fr_memtable_index){.memory = memory};
    index_node *leaf = new_node(index, 0);
    if (leaf == NULL) return false;
    SET(leaf->key[0], head);
    SET(leaf->count, 1);
    index->finger = leaf;
    SET_REL(index->root, leaf);
    return true;
}

/* How many of the first count prefixes are below (or not above, with equal) the wanted one. */
FR_INLINE uint32_t count_below(const index_node *node, uint32_t count, uint64_t wanted, bool equal)
{
    uint32_t base = 0;

    while (count > 1) {
        uint32_t half = count / 2;
        uint64_t middle = GET(node->prefix[base + half - 1]);
        bool right = equal ? middle <= wanted : middle < wanted;
        base += right ? half : 0;
        count -= half;
    }
    if (count == 0) return base;
    uint64_t last = GET(node->prefix[base]);
    return base + (equal ? last <= wanted : last < wanted);
}

/* How many slots hold keys below the wanted one. */
static uint32_t count_keys_below(const index_node *node, uint32_t count, fr_slice key)
{
    uint64_t wanted = prefix_of(key, GET(node->skip));
    uint32_t low = count_below(node, count, wanted, false);

    if (low == count || GET(node->prefix[low]) != wanted) return low;
    uint32_t high = count_below(node, count, wanted, true);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const key_node *found = GET_ACQ(node->key[middle]);
        if (found != NULL && compare(found, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The child in which keys around the wanted one are. Slot 0 is below all that come here. */
static index_node *child_for(const index_node *node, fr_slice key, uint32_t *ret_slot)
{
    uint32_t count = GET_ACQ(node->count);
    uint32_t below = count_keys_below(node, count, key);

    *ret_slot = below == 0 ? 0 : below - 1;
    return GET_ACQ(node->child[*ret_slot]);
}

static index_node *leaf_for(const struct fr_memtable_index *index, fr_slice key)
{
    index_node *node = GET_ACQ(index->root);
    uint32_t slot;

    while (node->level > 0)
        node = child_for(node, key, &slot);
    return node;
}

/* The key from which to walk: below the wanted one, whatever has happened to the slots. */
static key_node *start_in(const index_node *leaf, fr_slice key)
{
    for (;; leaf = GET_ACQ(leaf->prev)) {
        uint32_t count = GET_ACQ(leaf->count);
        for (uint32_t i = count_keys_below(leaf, count, key); i-- > 0;) {
            key_node *found = GET_ACQ(leaf->key[i]);
            if (found != NULL && compare(found, key) < 0) return found;
        }
        if (GET_ACQ(leaf->prev) == NULL) return GET_ACQ(leaf->key[0]); /* the head */
        FR_COVER("memtable: a reader stepped back a leaf");
    }
}

key_node *fr_memtable_index_before(const struct fr_memtable_index *index, fr_slice key)
{
    key_node *at = start_in(leaf_for(index, key), key);
    key_node *next;

    while ((next = GET_ACQ(at->next)) != NULL && compare(next, key) < 0)
        at = next;
    return at;
}

const index_node *fr_memtable_index_first(const struct fr_memtable_index *index)
{
    const index_node *node = GET_ACQ(index->root);

    while (node->level > 0)
        node = GET_ACQ(node->child[0]);
    return node;
}

key_node *fr_memtable_index_last(const struct fr_memtable_index *index)
{
    index_node *node = GET_ACQ(index->root);
    key_node *at, *next;

    for (;; node = GET_ACQ(node->child[GET_ACQ(node->count) - 1])) {
        index_node *right;
        while ((right = GET_ACQ(node->next)) != NULL)
            node = right;
        if (node->level == 0) break;
    }
    at = GET_ACQ(node->key[GET_ACQ(node->count) - 1]);
    while ((next = GET_ACQ(at->next)) != NULL)
        at = next;
    return at;
}

/* Does the key belong to this leaf? So do keys next to the last one, mostly. */
static bool belongs(const index_node *leaf, fr_slice key)
{
    const index_node *next = GET(leaf->next);

    if (GET(leaf->prev) != NULL && compare(GET(leaf->key[0]), key) >= 0) return false;
    return next == NULL || compare(GET(next->key[0]), key) > 0;
}

/* The writer's: nodes that the level above does not know are reached from their left neighbours. */
static index_node *move_right(const struct fr_memtable_index *index, index_node *node, fr_slice key)
{
    index_node *next;

    if (!index->incomplete) return node;
    while ((next = GET(node->next)) != NULL && compare(GET(next->key[0]), key) < 0)
        node = next;
    return node;
}

/* The writer's: the node of a level to which the key belongs. */
static index_node *node_for(const struct fr_memtable_index *index, uint32_t level, fr_slice key)
{
    index_node *node = move_right(index, GET(index->root), key);
    uint32_t slot;

    while (node->level > level)
        node = move_right(index, child_for(node, key, &slot), key);
    return node;
}

/* The finger helps ascending writers and costs others a comparison; it is not for keys before it.
 */
static index_node *finger_for(const struct fr_memtable_index *index, fr_slice key,
        uint32_t *ret_slot)
{
    index_node *leaf = index->finger;
    uint32_t count = GET(leaf->count);

    if (compare(GET(leaf->key[count - 1]), key) < 0 && belongs(leaf, key)) {
        *ret_slot = count;
        return leaf;
    }
    leaf = node_for(index, 0, key);
    *ret_slot = count_keys_below(leaf, GET(leaf->count), key);
    return leaf;
}

struct fr_memtable_place fr_memtable_index_place(struct fr_memtable_index *index, fr_slice key)
{
    struct fr_memtable_place place;
    key_node *next;

    place.leaf = finger_for(index, key, &place.slot);
    FR_ASSERT(place.slot > 0); /* the writer is disturbed by nobody */
    place.pred = GET(place.leaf->key[place.slot - 1]);
    if (!index->incomplete) return place;
    while ((next = GET(place.pred->next)) != NULL && compare(next, key) < 0)
        place.pred = next;
    return place;
}

index_node *fr_memtable_index_fetch_leaf(const struct fr_memtable_index *index, fr_slice key)
{
    index_node *leaf = leaf_for(index, key);
    const char *from = (const char *)leaf;

    for (size_t at = 0; at < offsetof(index_node, key); at += 64)
        __builtin_prefetch(from + at);
    return leaf;
}

void fr_memtable_index_fetch_pred(const index_node *leaf, fr_slice key)
{
    uint32_t slot = count_keys_below(leaf, GET(leaf->count), key);

    if (slot > 0) __builtin_prefetch(GET(leaf->key[slot - 1]), 1);
    if (slot < GET(leaf->count)) __builtin_prefetch(GET(leaf->key[slot]), 1);
}

static uint32_t shared_bytes(fr_slice a, fr_slice b)
{
    size_t most = FR_MIN(a.size, b.size);
    size_t same = 0;

    while (same < most && a.data[same] == b.data[same])
        same++;
    return (uint32_t)same;
}

/* What all keys from slot 0 on to the next node have in common, and the prefixes behind that. */
static void set_prefixes(index_node *node, bool always)
{
    const index_node *next = GET(node->next);
    uint32_t skip = 0;

    if (next != NULL)
        skip = shared_bytes(fr_memtable_key_slice(GET(node->key[0])),
                fr_memtable_key_slice(GET(next->key[0])));
    if (!always && skip == GET(node->skip)) return;
    SET(node->skip, skip);
    for (uint32_t i = 0; i < GET(node->count); i++)
        SET(node->prefix[i], prefix_of(fr_memtable_key_slice(GET(node->key[i])), skip));
}

/* Make room by shifting from the end, so that at any moment each key is in some slot. */
static void put_in_slot(index_node *node, uint32_t slot, key_node *key, index_node *child)
{
    uint32_t count = GET(node->count);
    uint64_t prefix = prefix_of(fr_memtable_key_slice(key), GET(node->skip));

    FR_ASSERT(count < SLOTS);
    for (uint32_t i = count; i > slot; i--)
        SET(node->prefix[i], GET(node->prefix[i - 1]));
    for (uint32_t i = count; i > slot; i--)
        SET_REL(node->key[i], GET(node->key[i - 1]));
    for (uint32_t i = count; node->level > 0 && i > slot; i--)
        SET_REL(node->child[i], GET(node->child[i - 1]));
    SET(node->prefix[slot], prefix);
    SET_REL(node->key[slot], key);
    if (node->level > 0) SET_REL(node->child[slot], child);
    SET_REL(node->count, count + 1);
}

/* A new right neighbour takes the slots from `from` on; with none left it begins with first. */
static index_node *split(struct fr_memtable_index *index, index_node *node, uint32_t from,
        key_node *first)
{
    index_node *right = new_node(index, node->level), *next = GET(node->next);
    uint32_t count = GET(node->count);

    if (right == NULL) return NULL;
    for (uint32_t i = from; i < count; i++) {
        SET(right->key[i - from], GET(node->key[i]));
        if (node->level > 0) SET(right->child[i - from], GET(node->child[i]));
    }
    if (from == count) SET(right->key[0], first);
    SET(right->count, from == count ? 1 : count - from);
    SET(right->next, next);
    SET(right->prev, node);
    set_prefixes(right, true);
    SET_REL(node->next, right);
    if (next != NULL) SET_REL(next->prev, right);
    SET_REL(node->count, from);
    set_prefixes(node, false);
    return right;
}

static bool add_root(struct fr_memtable_index *index, index_node *left, index_node *right)
{
    index_node *root = new_node(index, left->level + 1);

    if (root == NULL || root->level >= DEPTH_MAX) return false;
    SET(root->key[0], GET(left->key[0]));
    SET(root->child[0], left);
    SET(root->key[1], GET(right->key[0]));
    SET(root->child[1], right);
    SET(root->count, 2);
    set_prefixes(root, true);
    SET_REL(index->root, root);
    return true;
}

/*
 * Tell the level above about a new node on the right of `left`. Without memory the levels above do
 * not know it: it is reached by the `next` of its neighbour only; hence `incomplete`.
 */
static bool add_above(struct fr_memtable_index *index, index_node *left, index_node *right)
{
    fr_slice key = fr_memtable_key_slice(GET(right->key[0]));

    if (GET(index->root)->level == left->level) {
        if (GET(index->root) == left) return add_root(index, left, right);
        return false; /* left itself is not known above */
    }
    index_node *node = node_for(index, left->level + 1, key);
    uint32_t slot = count_keys_below(node, GET(node->count), key);
    if (GET(node->count) == SLOTS) {
        index_node *other = split(index, node, SLOTS / 2, NULL);
        if (other == NULL || !add_above(index, node, other)) return false;
        if (slot > SLOTS / 2) {
            node = other;
            slot -= SLOTS / 2;
        }
    }
    put_in_slot(node, slot, GET(right->key[0]), right);
    return true;
}

static void add_to_full(struct fr_memtable_index *index, const struct fr_memtable_place *place,
        key_node *key)
{
    bool ascending = place->slot == SLOTS && place->leaf == index->finger;
    uint32_t from = ascending ? SLOTS : SLOTS / 2;
    index_node *right = split(index, place->leaf, from, key);

    if (right == NULL) {
        index->incomplete = true;
        return;
    }
    if (ascending)
        index->finger = right;
    else if (place->slot > from)
        put_in_slot(right, place->slot - from, key, NULL);
    else
        put_in_slot(place->leaf, place->slot, key, NULL);
    if (!add_above(index, place->leaf, right)) index->incomplete = true;
}

void fr_memtable_index_add(struct fr_memtable_index *index, const struct fr_memtable_place *place,
        key_node *key)
{
    if (GET(place->leaf->count) < SLOTS)
        put_in_slot(place->leaf, place->slot, key, NULL);
    else
        add_to_full(index, place, key);
    if (index->finger != GET(place->leaf->next)) index->finger = place->leaf;
}
