#include "lsm/block.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/bytes.h"
#include "base/cover.h"
#include "base/hash.h"
#include "lsm/block_format.h"
#include "lsm/search.h"

/* ---- Opening ---- */

/* One entry as the checker sees it. */
struct raw_entry {
    uint64_t shared;
    uint64_t value_size;
    fr_slice rest;
    fr_seq seq;
    uint8_t kind;
    uint8_t flags;
};

struct check {
    const struct fr_block *block;
    struct fr_bytes in;
    uint8_t *key;    /* of the entry before, without the common prefix */
    size_t key_size; /* of that */
    fr_seq seq;
    uint64_t value; /* where the next value starts */
};

static const char *read_header(struct fr_bytes *in, struct fr_block *block)
{
    uint32_t entries_size, values_size;
    uint8_t version;

    block->count = fr_bytes_u32(in);
    block->restarts = fr_bytes_u32(in);
    block->buckets = fr_bytes_u32(in);
    entries_size = fr_bytes_u32(in);
    values_size = fr_bytes_u32(in);
    block->key_max = fr_bytes_u16(in);
    block->interval = fr_bytes_u8(in);
    version = fr_bytes_u8(in);
    block->seq_base = fr_bytes_u64(in);
    block->common = fr_bytes_u16(in);
    fr_slice zero = fr_bytes_take(in, 6);

    if (!fr_bytes_ok(in)) return "is shorter than its header";
    if (version != FR_BLOCK_VERSION) return "has an unknown version";
    if (memcmp(zero.data, "\0\0\0\0\0\0", 6) != 0) return "has bytes that should be zero";
    if (block->count == 0 || block->interval == 0 || block->interval > FR_BLOCK_INTERVAL_MAX)
        return "has no entries or a bad interval";
    if (block->restarts != (block->count - 1) / block->interval + 1)
        return "has a wrong number of restarts";
    if (block->key_max == 0 || block->common > block->key_max || block->seq_base > FR_SEQ_MAX)
        return "has a bad limit in its header";
    block->prefixes = fr_bytes_take(in, 8 * (uint64_t)block->restarts).data;
    block->places = fr_bytes_take(in, 8 * (uint64_t)block->restarts).data;
    block->hash = fr_bytes_take(in, block->buckets).data;
    block->prefix = fr_bytes_take(in, block->common).data;
    block->entries = fr_bytes_take(in, entries_size).data;
    block->values = fr_bytes_take(in, values_size).data;
    fr_slice pad = fr_bytes_take(in, FR_BLOCK_PAD_SIZE);
    if (!fr_bytes_done(in)) return "is not as long as its header says";
    if (fr_get_u64(pad.data) != 0) return "does not end in zeros";
    block->entries_end = block->entries + entries_size;
    block->values_end = block->values + values_size;
    return NULL;
}

static const char *read_entry(struct check *check, struct raw_entry *entry)
{
    struct fr_bytes *in = &check->in;
    uint8_t first = fr_bytes_u8(in);
    uint64_t rest, seq;

    entry->kind = first & FR_BLOCK_KIND_MASK;
    entry->flags = (uint8_t)(first >> FR_BLOCK_FLAG_SHIFT);
    entry->shared = fr_bytes_varint(in);
    rest = fr_bytes_varint(in);
    entry->value_size = fr_bytes_varint(in);
    seq = fr_bytes_varint(in);
    if (entry->flags & FR_ENTRY_EXPIRES) (void)fr_bytes_varint(in);
    entry->rest = fr_bytes_take(in, rest);
    if (!fr_bytes_ok(in)) return "has an entry that runs over its end";
    if (!fr_entry_kind_known(entry->kind) || (entry->flags & ~FR_ENTRY_FLAGS_KNOWN) != 0)
        return "has an entry of unknown kind";
    if (seq > FR_SEQ_MAX - check->block->seq_base) return "has too large a sequence number";
    entry->seq = check->block->seq_base + seq;
    return NULL;
}

static const char *check_restart(const struct check *check, uint32_t index, uint32_t entry_offset,
        const struct raw_entry *entry)
{
    const struct fr_block *block = check->block;
    const uint8_t *place = block->places + 8 * (size_t)(index / block->interval);

    if (entry->shared != 0) return "has a restart that leans on the entry before";
    if (fr_get_u32(place) != entry_offset || fr_get_u32(place + 4) != check->value)
        return "has a restart that leads elsewhere";
    if (fr_get_u64(block->prefixes + 8 * (size_t)(index / block->interval)) !=
            fr_key_prefix(entry->rest))
        return "has a restart with a wrong prefix";
    if (index == 0) return NULL;
    if (fr_entry_compare(fr_slice_of(check->key, check->key_size), check->seq, entry->rest,
                entry->seq) >= 0)
        return "has entries out of order";
    return NULL;
}

/* Behind the shared bytes, which are as many as can be, one byte tells the order. */
static const char *check_follower(const struct check *check, const struct raw_entry *entry)
{
    if (entry->shared > check->key_size) return "has a key that shares more than there is";
    if (entry->shared == check->key_size) {
        if (entry->rest.size == 0 && entry->seq >= check->seq) return "has entries out of order";
        return NULL;
    }
    if (entry->rest.size == 0 || entry->rest.data[0] <= check->key[entry->shared])
        return "has entries out of order";
    return NULL;
}

static const char *check_entry(struct check *check, uint32_t index)
{
    const struct fr_block *block = check->block;
    uint32_t entry_offset = (uint32_t)fr_bytes_offset(&check->in);
    struct raw_entry entry;
    const char *why = read_entry(check, &entry);

    if (why != NULL) return why;
    why = index % block->interval == 0 ? check_restart(check, index, entry_offset, &entry)
                                       : check_follower(check, &entry);
    if (why != NULL) return why;
    uint64_t key_size = block->common + entry.shared + entry.rest.size;

    if (key_size == 0 || key_size > block->key_max) return "has a key of bad size";
    if (entry.rest.size > 0) memcpy(check->key + entry.shared, entry.rest.data, entry.rest.size);
    check->key_size = (size_t)key_size - block->common;
    check->seq = entry.seq;
    if (entry.value_size > (uint64_t)(block->values_end - block->values) - check->value)
        return "has a value that runs over its end";
    check->value += entry.value_size;
    return NULL;
}

static const char *check_entries(const struct fr_block *block, uint8_t *key_memory)
{
    struct check check = {.block = block};
    const char *why = NULL;

    check.key = key_memory;
    check.in =
            fr_bytes_of(fr_slice_of(block->entries, (size_t)(block->entries_end - block->entries)));
    for (uint32_t i = 0; i < block->count && why == NULL; i++)
        why = check_entry(&check, i);
    if (why != NULL) return why;
    if (!fr_bytes_done(&check.in)) return "has more bytes of entries than entries";
    if (check.value != (uint64_t)(block->values_end - block->values))
        return "has more bytes of values than values";
    return NULL;
}

fr_status fr_block_open(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_block *ret_block)
{
    uint8_t small[FR_BLOCK_KEY_SMALL], *key = small;
    struct fr_bytes in = fr_bytes_of(bytes);
    struct fr_block block = {0};
    const char *why = read_header(&in, &block);

    if (why == NULL) {
        if (block.key_max > sizeof(small)) key = fr_alloc(block.key_max);
        if (key == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to check a block", path);
        why = check_entries(&block, key);
        if (key != small) fr_free(key);
    }
    if (why != NULL)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the block at %" PRIu64 " %s", path, offset, why);
    *ret_block = block;
    return FR_OK;
}

/* ---- Walking ---- */

static inline struct fr_block_iter *self(struct fr_iter *it)
{
    return FR_CONTAINER_OF(it, struct fr_block_iter, iter);
}

/* open has seen that it is one, and where it ends. */
static inline const uint8_t *read_varint(const uint8_t *at, uint64_t *ret_value)
{
    uint64_t value = *at++;

    if (FR_UNLIKELY(value >= 0x80)) {
        value &= 0x7f;
        for (unsigned shift = 7;; shift += 7) {
            uint64_t byte = *at++;

            value |= (byte & 0x7f) << shift;
            if (byte < 0x80) break;
        }
    }
    *ret_value = value;
    return at;
}

/* The slow way to read what stands before the key: some number takes more than a byte. */
static const uint8_t *read_long(const uint8_t *at, uint64_t *shared, uint64_t *rest, uint64_t *size)
{
    at = read_varint(at + 1, shared);
    at = read_varint(at, rest);
    return read_varint(at, size);
}

/* Bytes are followed by FR_BLOCK_PAD_SIZE others, and the key by FR_BLOCK_KEY_SLACK. */
FR_INLINE void copy_rest(uint8_t *to, const uint8_t *from, uint64_t size)
{
    if (FR_LIKELY(size <= 8))
        memcpy(to, from, 8);
    else
        memcpy(to, from, size);
}

/* Load the entry at it->after. Its value starts where the loaded one's ends. */
FR_INLINE void load(struct fr_block_iter *it)
{
    struct fr_entry *entry = &it->iter.entry;
    const struct fr_block *block = it->block;
    const uint8_t *at = it->after;
    uint32_t word = fr_get_u32(at);
    uint64_t shared, rest, size, seq;

    if (FR_LIKELY((word & 0x80808000) == 0)) {
        shared = word >> 8 & 0x7f;
        rest = word >> 16 & 0x7f;
        size = word >> 24;
        at += 4;
    } else {
        at = read_long(at, &shared, &rest, &size);
    }
    at = read_varint(at, &seq);
    entry->kind = word & FR_BLOCK_KIND_MASK;
    entry->flags = (word >> FR_BLOCK_FLAG_SHIFT) & FR_ENTRY_FLAGS_KNOWN;
    entry->expires_us = 0;
    if (FR_UNLIKELY(entry->flags & FR_ENTRY_EXPIRES)) at = read_varint(at, &entry->expires_us);
    copy_rest(it->key + block->common + shared, at, rest);
    it->after = at + rest;
    entry->key.size = block->common + shared + rest;
    entry->value.data += entry->value.size;
    entry->value.size = size;
    entry->seq = block->seq_base + seq;
}

/* Load the first entry of a restart. */
static void load_restart(struct fr_block_iter *it, uint32_t restart)
{
    const uint8_t *place = it->block->places + 8 * (size_t)restart;

    it->index = restart * it->block->interval;
    it->after = it->block->entries + fr_get_u32(place);
    /* Values lie far from the entries; whoever finds one looks at it next. */
    __builtin_prefetch(it->block->values + fr_get_u32(place + 4));
    it->iter.entry.value = fr_slice_of(it->block->values + fr_get_u32(place + 4), 0);
    load(it);
}

/* Load the entry of that number. */
static void load_index(struct fr_block_iter *it, uint32_t index)
{
    load_restart(it, index / it->block->interval);
    for (; it->index < index; it->index++)
        load(it);
}

static fr_status block_next(struct fr_iter *iter)
{
    struct fr_block_iter *it = self(iter);

    if (FR_UNLIKELY(it->stand != FR_BLOCK_ON)) {
        if (it->stand == FR_BLOCK_BEHIND) return FR_END;
        if (it->stand == FR_BLOCK_START) load_restart(it, 0);
        it->stand = FR_BLOCK_ON;
        return FR_OK;
    }
    if (FR_UNLIKELY(it->index + 1 == it->block->count)) {
        it->stand = FR_BLOCK_BEHIND;
        return FR_END;
    }
    it->index++;
    load(it);
    return FR_OK;
}

static fr_status block_prev(struct fr_iter *iter)
{
    struct fr_block_iter *it = self(iter);
    uint32_t below = it->stand == FR_BLOCK_BEHIND ? it->block->count : it->index;

    if (it->stand == FR_BLOCK_START) return FR_END;
    if (below == 0) {
        it->stand = FR_BLOCK_START;
        return FR_END;
    }
    load_index(it, below - 1);
    it->stand = FR_BLOCK_ON;
    return FR_OK;
}

static void block_seek_first(struct fr_iter *iter)
{
    self(iter)->stand = FR_BLOCK_START;
}

static void block_seek_last(struct fr_iter *iter)
{
    self(iter)->stand = FR_BLOCK_BEHIND;
}

/* ---- Searching. Keys here are without the common prefix. ---- */

static int compare_restart(const struct fr_block *block, uint32_t restart, fr_slice rest,
        fr_seq seq)
{
    const uint8_t *at = block->entries + fr_get_u32(block->places + 8 * (size_t)restart);
    uint64_t shared, size, value_size, delta, expires;
    uint8_t first = *at;

    at = read_long(at, &shared, &size, &value_size);
    at = read_varint(at, &delta);
    if ((first >> FR_BLOCK_FLAG_SHIFT) & FR_ENTRY_EXPIRES) at = read_varint(at, &expires);
    return fr_entry_compare(fr_slice_of(at, (size_t)size), block->seq_base + delta, rest, seq);
}

/* How many restarts stand before (rest, seq). */
static uint32_t restarts_before(const struct fr_block *block, fr_slice rest, fr_seq seq)
{
    uint64_t prefix = fr_key_prefix(rest);
    uint32_t low = (uint32_t)fr_count_below(block->prefixes, block->restarts, prefix);
    uint32_t high = block->restarts;

    if (low == high || fr_get_u64(block->prefixes + 8 * (size_t)low) != prefix) return low;
    if (prefix < UINT64_MAX)
        high = low +
               (uint32_t)fr_count_below(block->prefixes + 8 * (size_t)low, high - low, prefix + 1);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare_restart(block, middle, rest, seq) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Where (key, seq) stands to the loaded entry. */
static inline int compare_loaded(const struct fr_block_iter *it, fr_slice rest, fr_seq seq)
{
    uint32_t common = it->block->common;
    const struct fr_entry *entry = &it->iter.entry;

    return fr_entry_compare(fr_slice_of(it->key + common, entry->key.size - common), entry->seq,
            rest, seq);
}

static void seek_behind_prefix(struct fr_block_iter *it, fr_slice rest, fr_seq seq)
{
    uint32_t before = restarts_before(it->block, rest, seq);

    load_restart(it, before > 0 ? before - 1 : 0);
    it->stand = FR_BLOCK_BEFORE;
    while (compare_loaded(it, rest, seq) < 0) {
        if (it->index + 1 == it->block->count) {
            it->stand = FR_BLOCK_BEHIND;
            return;
        }
        it->index++;
        load(it);
    }
}

/* Negative: the key is below all that begin so; positive: above them; 0: it begins so, too. */
static int compare_prefix(const struct fr_block *block, fr_slice key)
{
    size_t size = FR_MIN((size_t)block->common, key.size);
    int order = size == 0 ? 0 : memcmp(key.data, block->prefix, size);

    return order != 0 ? order : -(key.size < block->common);
}

static void block_seek(struct fr_iter *iter, fr_slice key, fr_seq seq)
{
    struct fr_block_iter *it = self(iter);
    uint32_t common = it->block->common;
    int order = compare_prefix(it->block, key);

    if (order < 0 || key.size == 0)
        block_seek_first(iter);
    else if (order > 0)
        block_seek_last(iter);
    else
        seek_behind_prefix(it, fr_slice_of(key.data + common, key.size - common), seq);
}

static fr_status get_by_search(struct fr_block_iter *it, fr_slice key, fr_seq seq)
{
    block_seek(&it->iter, key, seq);
    if (it->stand != FR_BLOCK_BEFORE || !fr_slice_equal(it->iter.entry.key, key))
        return FR_NOT_FOUND;
    it->stand = FR_BLOCK_ON;
    return FR_OK;
}

/* The newest entry of the key is among those of one restart, if there is any. */
static fr_status get_from_restart(struct fr_block_iter *it, uint32_t restart, fr_slice key,
        fr_seq seq)
{
    uint32_t end = FR_MIN((restart + 1) * it->block->interval, it->block->count);
    bool met = false;

    load_restart(it, restart);
    for (;;) {
        if (fr_slice_equal(it->iter.entry.key, key)) {
            met = true;
            if (it->iter.entry.seq <= seq) break;
        } else if (met) {
            return FR_NOT_FOUND;
        }
        if (it->index + 1 == end) {
            if (!met) return FR_NOT_FOUND;
            FR_COVER("block: the wanted version is behind the hash's restart");
            return get_by_search(it, key, seq);
        }
        it->index++;
        load(it);
    }
    it->stand = FR_BLOCK_ON;
    return FR_OK;
}

fr_status fr_block_get_first(struct fr_block_iter *it, fr_slice key, uint64_t hash, fr_seq seq)
{
    const struct fr_block *block = it->block;

    if (block->buckets == 0) return get_by_search(it, key, seq);
    uint8_t restart = block->hash[fr_block_bucket(hash, block->buckets)];

    if (restart == FR_BLOCK_BUCKET_NONE) return FR_NOT_FOUND;
    if (restart == FR_BLOCK_BUCKET_MANY) return get_by_search(it, key, seq);
    if (FR_UNLIKELY(restart >= block->restarts)) return get_by_search(it, key, seq);
    return get_from_restart(it, restart, key, seq);
}

bool fr_block_hash_leads(const struct fr_block_iter *it, uint64_t hash)
{
    const struct fr_block *block = it->block;

    if (block->buckets == 0) return true;
    uint8_t restart = block->hash[fr_block_bucket(hash, block->buckets)];

    return restart == FR_BLOCK_BUCKET_MANY || restart == it->index / block->interval;
}

/* ---- The iterator's life ---- */

static void block_iter_close(struct fr_iter *iter)
{
    struct fr_block_iter *it = self(iter);

    if (it->key != it->small) fr_free(it->key);
    it->key = it->small;
    it->key_capacity = FR_BLOCK_KEY_SMALL;
    it->block = NULL;
}

static const struct fr_iter_ops block_iter_ops = {
        .close = block_iter_close,
        .seek = block_seek,
        .seek_first = block_seek_first,
        .seek_last = block_seek_last,
        .next = block_next,
        .prev = block_prev,
};

void fr_block_iter_init(struct fr_block_iter *it)
{
    it->iter = (struct fr_iter){.ops = &block_iter_ops};
    it->block = NULL;
    it->key = it->small;
    it->key_capacity = FR_BLOCK_KEY_SMALL;
}

static fr_status grow_key(struct fr_block_iter *it, size_t size)
{
    uint8_t *key = fr_alloc(size + FR_BLOCK_KEY_SLACK);

    if (key == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a key of %zu bytes", size);
    if (it->key != it->small) fr_free(it->key);
    it->key = key;
    it->key_capacity = size;
    return FR_OK;
}

fr_status fr_block_iter_set(struct fr_block_iter *it, const struct fr_block *block)
{
    fr_status st;

    if (FR_UNLIKELY(block->key_max > it->key_capacity)) FR_TRY(grow_key(it, block->key_max));
    it->block = block;
    if (block->common > 0) memcpy(it->key, block->prefix, block->common);
    it->iter.entry.key.data = it->key;
    block_seek_first(&it->iter);
    return FR_OK;
out:
    return st;
}

fr_status fr_block_verify(const struct fr_block *block, const char *path, uint64_t offset)
{
    struct fr_block_iter walk, look;
    fr_status st;

    fr_block_iter_init(&walk);
    fr_block_iter_init(&look);
    FR_TRY(fr_block_iter_set(&walk, block));
    FR_TRY(fr_block_iter_set(&look, block));
    while (fr_iter_next(&walk.iter) == FR_OK) {
        const struct fr_entry *entry = &walk.iter.entry;

        if (fr_block_get_first(&look, entry->key, fr_hash64(entry->key), entry->seq) != FR_OK ||
                look.iter.entry.seq != entry->seq) {
            st = FR_FAIL(FR_ERR_CORRUPT, "%s: the hash of the block at %" PRIu64 " misses a key",
                    path, offset);
            goto out;
        }
    }
    st = FR_OK;
out:
    fr_iter_close(&walk.iter);
    fr_iter_close(&look.iter);
    return st;
}
