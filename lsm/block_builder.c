#include "lsm/block_builder.h"

#include "base/assert.h"
#include "base/hash.h"
#include "lsm/block_format.h"
#include "lsm/search.h"

void fr_block_builder_init(struct fr_block_builder *builder, unsigned interval, bool with_hash)
{
    FR_ASSERT(interval >= 1 && interval <= FR_BLOCK_INTERVAL_MAX);
    *builder = (struct fr_block_builder){.interval = interval, .with_hash = with_hash};
}

void fr_block_builder_deinit(struct fr_block_builder *builder)
{
    fr_buf_deinit(&builder->items);
    fr_buf_deinit(&builder->keys);
    fr_buf_deinit(&builder->values);
    fr_buf_deinit(&builder->out);
}

void fr_block_builder_reset(struct fr_block_builder *builder)
{
    fr_buf_clear(&builder->items);
    fr_buf_clear(&builder->keys);
    fr_buf_clear(&builder->values);
    fr_buf_clear(&builder->out);
    builder->entry_bytes = 0;
}

size_t fr_block_builder_count(const struct fr_block_builder *builder)
{
    return builder->items.size / sizeof(struct fr_block_item);
}

static const struct fr_block_item *item_at(const struct fr_block_builder *builder, size_t index)
{
    return (const struct fr_block_item *)(const void *)builder->items.data + index;
}

static fr_slice key_of(const struct fr_block_builder *builder, const struct fr_block_item *item)
{
    return fr_slice_of(builder->keys.data + item->key, item->key_size);
}

fr_slice fr_block_builder_first_key(const struct fr_block_builder *builder)
{
    FR_ASSERT(fr_block_builder_count(builder) > 0);
    return key_of(builder, item_at(builder, 0));
}

fr_slice fr_block_builder_last_key(const struct fr_block_builder *builder)
{
    FR_ASSERT(fr_block_builder_count(builder) > 0);
    return key_of(builder, item_at(builder, fr_block_builder_count(builder) - 1));
}

fr_seq fr_block_builder_last_seq(const struct fr_block_builder *builder)
{
    FR_ASSERT(fr_block_builder_count(builder) > 0);
    return item_at(builder, fr_block_builder_count(builder) - 1)->seq;
}

/* How much of the key the one before has, after asserting that it comes before. */
static size_t check_order(const struct fr_block_builder *builder, const struct fr_entry *entry)
{
    size_t count = fr_block_builder_count(builder);

    if (count == 0) return 0;
    const struct fr_block_item *last = item_at(builder, count - 1);
    fr_slice key = key_of(builder, last);
    size_t shared = fr_shared_size(key, entry->key);

    if (shared == entry->key.size) {
        FR_ASSERT(key.size == shared && entry->seq < last->seq);
    } else {
        FR_ASSERT(shared == key.size || key.data[shared] < entry->key.data[shared]);
    }
    return shared;
}

fr_status fr_block_builder_add(struct fr_block_builder *builder, const struct fr_entry *entry)
{
    FR_ASSERT(entry->key.size >= 1 && entry->key.size <= FR_KEY_SIZE_MAX);
    FR_ASSERT(entry->value.size <= FR_VALUE_SIZE_MAX && entry->seq <= FR_SEQ_MAX);
    FR_ASSERT(fr_entry_kind_known(entry->kind) && (entry->flags & ~FR_ENTRY_FLAGS_KNOWN) == 0);
    struct fr_block_item item = {.key = builder->keys.size,
            .expires_us = entry->expires_us,
            .seq = entry->seq,
            .value_size = (uint32_t)entry->value.size,
            .key_size = (uint16_t)entry->key.size,
            .shared = (uint16_t)check_order(builder, entry),
            .kind = entry->kind,
            .flags = entry->flags};

    fr_buf_append(&builder->keys, entry->key.data, entry->key.size);
    fr_buf_append(&builder->values, entry->value.data, entry->value.size);
    fr_buf_append(&builder->items, &item, sizeof(item));
    builder->entry_bytes += entry->key.size - item.shared + 7;
    if (builder->keys.failed || builder->values.failed)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for an entry of a block");
    return fr_buf_status(&builder->items);
}

size_t fr_block_builder_size_estimate(const struct fr_block_builder *builder)
{
    size_t count = fr_block_builder_count(builder);
    size_t per_restart = 16 * (count / builder->interval + 1);
    size_t hash = builder->with_hash ? count + count / 3 : 0;

    return FR_BLOCK_HEADER_SIZE + FR_BLOCK_PAD_SIZE + per_restart + hash + builder->entry_bytes +
           builder->values.size;
}

size_t fr_block_builder_size_of(const struct fr_entry *entry)
{
    return entry->value.size + entry->key.size / 2 + 10;
}

struct layout {
    size_t count;
    size_t restarts;
    size_t buckets;
    size_t common;
    size_t key_max;
    fr_seq seq_base;
};

static void measure(const struct fr_block_builder *builder, struct layout *layout)
{
    size_t count = fr_block_builder_count(builder);

    *layout = (struct layout){.count = count, .seq_base = FR_SEQ_MAX};
    layout->restarts = (count + builder->interval - 1) / builder->interval;
    if (builder->with_hash && layout->restarts < FR_BLOCK_BUCKET_MANY)
        layout->buckets = count + count / 3 + 1;
    layout->common =
            fr_shared_size(fr_block_builder_first_key(builder), fr_block_builder_last_key(builder));
    for (size_t i = 0; i < count; i++) {
        const struct fr_block_item *item = item_at(builder, i);

        layout->seq_base = FR_MIN(layout->seq_base, item->seq);
        layout->key_max = FR_MAX(layout->key_max, (size_t)item->key_size);
    }
}

static void put_header(struct fr_block_builder *builder, const struct layout *layout)
{
    struct fr_buf *out = &builder->out;

    fr_buf_u32(out, (uint32_t)layout->count);
    fr_buf_u32(out, (uint32_t)layout->restarts);
    fr_buf_u32(out, (uint32_t)layout->buckets);
    fr_buf_u32(out, 0); /* bytes of entries: known later */
    fr_buf_u32(out, (uint32_t)builder->values.size);
    fr_buf_u16(out, (uint16_t)layout->key_max);
    fr_buf_u8(out, (uint8_t)builder->interval);
    fr_buf_u8(out, FR_BLOCK_VERSION);
    fr_buf_u64(out, layout->seq_base);
    fr_buf_u16(out, (uint16_t)layout->common);
    fr_buf_append_zeros(out, 6);
}

static void put_bucket(uint8_t *hash, size_t buckets, fr_slice key, uint8_t restart)
{
    uint8_t *bucket = hash + fr_block_bucket(fr_hash64(key), (uint32_t)buckets);

    if (*bucket == FR_BLOCK_BUCKET_NONE)
        *bucket = restart;
    else if (*bucket != restart)
        *bucket = FR_BLOCK_BUCKET_MANY;
}

/* Prefixes and hash; the places follow once they are known. */
static void put_tables(struct fr_block_builder *builder, const struct layout *layout)
{
    uint8_t *to = fr_buf_extend(&builder->out, 16 * layout->restarts + layout->buckets);

    if (to == NULL) return;
    memset(to, 0, 16 * layout->restarts);
    for (size_t r = 0; r < layout->restarts; r++) {
        fr_slice key = key_of(builder, item_at(builder, r * builder->interval));

        fr_put_u64(to + 8 * r,
                fr_key_prefix(fr_slice_of(key.data + layout->common, key.size - layout->common)));
    }
    if (layout->buckets == 0) return;
    uint8_t *hash = to + 16 * layout->restarts;

    memset(hash, FR_BLOCK_BUCKET_NONE, layout->buckets);
    for (size_t i = 0; i < layout->count; i++) {
        const struct fr_block_item *item = item_at(builder, i);

        if (i > 0 && item->shared == item->key_size) continue; /* an older entry of the same key */
        put_bucket(hash, layout->buckets, key_of(builder, item), (uint8_t)(i / builder->interval));
    }
}

static void put_entry(struct fr_block_builder *builder, const struct layout *layout,
        const struct fr_block_item *item, bool restart)
{
    struct fr_buf *out = &builder->out;
    size_t shared = restart ? 0 : item->shared - layout->common;
    size_t skip = layout->common + shared;

    fr_buf_u8(out, (uint8_t)(item->kind | item->flags << FR_BLOCK_FLAG_SHIFT));
    fr_buf_varint(out, shared);
    fr_buf_varint(out, item->key_size - skip);
    fr_buf_varint(out, item->value_size);
    fr_buf_varint(out, item->seq - layout->seq_base);
    if (item->flags & FR_ENTRY_EXPIRES) fr_buf_varint(out, item->expires_us);
    fr_buf_append(out, builder->keys.data + item->key + skip, item->key_size - skip);
}

static void put_entries(struct fr_block_builder *builder, const struct layout *layout)
{
    struct fr_buf *out = &builder->out;
    size_t places = FR_BLOCK_HEADER_SIZE + 8 * layout->restarts;
    size_t start = out->size;
    uint32_t value = 0;

    for (size_t i = 0; i < layout->count && !out->failed; i++) {
        const struct fr_block_item *item = item_at(builder, i);
        bool restart = i % builder->interval == 0;

        if (restart) {
            uint8_t *place = out->data + places + 8 * (i / builder->interval);

            fr_put_u32(place, (uint32_t)(out->size - start));
            fr_put_u32(place + 4, value);
        }
        put_entry(builder, layout, item, restart);
        value += item->value_size;
    }
    if (!out->failed) fr_put_u32(out->data + 12, (uint32_t)(out->size - start));
}

fr_status fr_block_builder_finish(struct fr_block_builder *builder, fr_slice *ret_block)
{
    struct layout layout;
    fr_status st;

    FR_ASSERT(fr_block_builder_count(builder) > 0 && builder->out.size == 0);
    measure(builder, &layout);
    FR_TRY(fr_buf_reserve(&builder->out, fr_block_builder_size_estimate(builder) + 64));
    put_header(builder, &layout);
    put_tables(builder, &layout);
    fr_buf_append(&builder->out, fr_block_builder_first_key(builder).data, layout.common);
    put_entries(builder, &layout);
    fr_buf_append(&builder->out, builder->values.data, builder->values.size);
    fr_buf_append_zeros(&builder->out, FR_BLOCK_PAD_SIZE);
    FR_TRY(fr_buf_status(&builder->out));
    *ret_block = fr_buf_slice(&builder->out);
out:
    return st;
}
