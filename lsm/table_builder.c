#include "lsm/table_builder.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "io/file.h"
#include "lsm/block_builder.h"
#include "lsm/file_writer.h"
#include "lsm/filter.h"
#include "lsm/frame.h"
#include "lsm/place.h"
#include "lsm/ranges.h"
#include "lsm/search.h"
#include "lsm/table.h"
#include "wal/file_name.h"

/* A dictionary learns from so many times its size, from some blocks at least, within a limit. */
#define SAMPLE_FACTOR     64
#define SAMPLE_BLOCKS_MIN 16
#define SAMPLE_SIZE_MAX   ((size_t)1 << 20)

/* Of so many blocks of the sample one is not learnt from, but shows what has been learnt. */
#define SAMPLE_TEST_ONE_IN 4

/* A dictionary must save one part in so many. */
#define DICTIONARY_GAIN_ONE_IN 20

/* A block that waits for the dictionary, in samples. */
struct sample {
    size_t first_key;
    size_t last_key;
    size_t block;
    fr_seq last_seq;
    uint32_t block_size;
    uint16_t first_size;
    uint16_t last_size;
};

struct fr_table_builder {
    struct fr_table_options options;
    struct fr_file_id id;
    struct fr_dir *dir;
    uint32_t seed;
    fr_status status; /* of the first failure; sticks */
    bool finished;
    bool range_in_bounds;

    struct fr_file_writer writer;
    struct fr_packer packer;
    struct fr_block_builder block;
    struct fr_block_builder index;
    struct fr_block_builder top;
    struct fr_filter_builder filter;
    struct fr_ranges ranges;
    struct fr_table_properties properties;

    /* The last data block written: it gets its separator when the next one is known. */
    struct fr_block_handle last_handle;
    struct fr_buf last_key;
    fr_seq last_seq;
    bool has_last;

    /* Separators of the index blocks, in front of those blocks themselves, which wait here. */
    struct fr_buf index_blocks;
    struct fr_buf index_spans; /* struct index_span */
    struct fr_buf index_keys;

    /* While sampling: blocks and keys, and where they are. */
    bool sampling;
    struct fr_buf samples; /* blocks, back to back */
    struct fr_buf sample_keys;
    struct fr_buf sample_list; /* struct sample */
    struct fr_buf dictionary;

    struct fr_block_handle handles[FR_TABLE_HANDLES];
};

/* A finished index block and its separator. */
struct index_span {
    size_t block;
    size_t key;
    fr_seq seq;
    uint32_t block_size;
    uint16_t key_size;
};

/* ---- Life ---- */

struct fr_table_options fr_table_options_default(void)
{
    return (struct fr_table_options){
            .block_size = 8192,
            .index_block_size = 8192,
            .write_buffer_size = FR_FILE_WRITER_BUFFER_DEFAULT,
            .restart_interval = FR_BLOCK_INTERVAL_DEFAULT,
            .filter_bits = FR_FILTER_BITS_DEFAULT,
            .compression = FR_CODEC_NONE,
            .compression_level = 3,
            .verify = true,
    };
}

size_t fr_table_sample_size(const struct fr_table_options *options)
{
    size_t size = FR_MAX(SAMPLE_FACTOR * options->dictionary_size,
            SAMPLE_BLOCKS_MIN * options->block_size);

    return FR_MIN(size, SAMPLE_SIZE_MAX);
}

void fr_table_meta_deinit(struct fr_table_meta *meta)
{
    fr_table_properties_deinit(&meta->properties);
}

static fr_status write_header(struct fr_table_builder *b)
{
    uint8_t header[FR_TABLE_HEADER_SIZE] = {0};

    fr_put_u64(header, FR_TABLE_MAGIC);
    fr_put_u32(header + 8, FR_TABLE_VERSION);
    fr_file_id_put(header + 16, &b->id);
    fr_put_u32(header + 60, fr_crc32c_mask(fr_crc32c(0, header, 60)));
    return fr_file_writer_append(&b->writer, fr_slice_of(header, sizeof(header)));
}

static void init_parts(struct fr_table_builder *b)
{
    const struct fr_table_options *o = &b->options;

    fr_packer_init(&b->packer, o->compression_level);
    fr_block_builder_init(&b->block, o->restart_interval, true);
    fr_block_builder_init(&b->index, o->restart_interval, false);
    fr_block_builder_init(&b->top, o->restart_interval, false);
    fr_filter_builder_init(&b->filter, o->filter_bits == 0 ? 1 : o->filter_bits);
    fr_ranges_init(&b->ranges);
    b->sampling = o->compression == FR_CODEC_ZSTD && o->dictionary_size > 0;
    b->properties.created_us = o->created_us;
    b->properties.level = o->level;
    b->properties.origin = o->origin;
    b->properties.compression = o->compression;
}

fr_status fr_table_builder_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_table_options *options, struct fr_table_builder **ret_builder)
{
    char name[FR_FILE_NAME_SIZE];

    fr_file_name_format(FR_FILE_TABLE, id->number, name);
    return fr_table_builder_open_as(dir, name, id, options, ret_builder);
}

fr_status fr_table_builder_open_as(struct fr_dir *dir, const char *name,
        const struct fr_file_id *id, const struct fr_table_options *options,
        struct fr_table_builder **ret_builder)
{
    struct fr_table_builder *b = FR_NEW(struct fr_table_builder);
    fr_status st;

    if (b == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to build a table");
    b->options = options != NULL ? *options : fr_table_options_default();
    FR_ASSERT(b->options.block_size >= FR_TABLE_BLOCK_SIZE_MIN);
    FR_ASSERT(b->options.block_size <= FR_TABLE_BLOCK_SIZE_MAX);
    FR_ASSERT(b->options.dictionary_size <= FR_DICTIONARY_SIZE_MAX);
    b->id = *id;
    b->dir = dir;
    b->seed = fr_file_id_seed(id);
    init_parts(b);
    FR_TRY(fr_file_writer_open(dir, name, b->options.write_buffer_size, &b->writer));
    b->writer.limiter = b->options.limiter;
    b->writer.urgent = b->options.urgent;
    FR_TRY(write_header(b));
    *ret_builder = FR_TAKE(b);
out:
    fr_table_builder_close(b);
    return st;
}

void fr_table_builder_close(struct fr_table_builder *b)
{
    if (b == NULL) return;
    fr_file_writer_close(&b->writer, !b->finished);
    fr_packer_deinit(&b->packer);
    fr_block_builder_deinit(&b->block);
    fr_block_builder_deinit(&b->index);
    fr_block_builder_deinit(&b->top);
    fr_filter_builder_deinit(&b->filter);
    fr_ranges_deinit(&b->ranges);
    fr_table_properties_deinit(&b->properties);
    fr_buf_deinit(&b->last_key);
    fr_buf_deinit(&b->index_blocks);
    fr_buf_deinit(&b->index_spans);
    fr_buf_deinit(&b->index_keys);
    fr_buf_deinit(&b->samples);
    fr_buf_deinit(&b->sample_keys);
    fr_buf_deinit(&b->sample_list);
    fr_buf_deinit(&b->dictionary);
    fr_free(b);
}

/* ---- Frames and the index ---- */

static fr_status write_frame(struct fr_table_builder *b, enum fr_frame_type type, fr_slice raw,
        bool pack, struct fr_block_handle *ret_handle)
{
    struct fr_block_handle handle = {.offset = fr_file_writer_offset(&b->writer)};
    enum fr_codec compression = FR_CODEC_NONE;
    uint8_t trailer[FR_FRAME_TRAILER_SIZE];
    fr_slice stored = raw;
    fr_status st;

    if (raw.size > FR_BLOCK_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a part of a table would be of %zu bytes", raw.size);
    if (pack && b->options.compression != FR_CODEC_NONE)
        FR_TRY(fr_packer_pack(&b->packer, raw, &stored, &compression));
    handle.size = (uint32_t)(stored.size + sizeof(trailer));
    handle.crc = fr_frame_trailer_put(trailer, b->seed, handle.offset, stored, compression, type,
            (uint32_t)raw.size);
    FR_TRY(fr_file_writer_append(&b->writer, stored));
    FR_TRY(fr_file_writer_append(&b->writer, fr_slice_of(trailer, sizeof(trailer))));
    *ret_handle = handle;
out:
    return st;
}

static fr_status add_handle(struct fr_block_builder *block, fr_slice key, fr_seq seq,
        const struct fr_block_handle *handle)
{
    uint8_t bytes[2 * FR_VARINT64_MAX + 4];
    uint8_t *end = fr_put_varint(bytes, handle->offset);
    struct fr_entry entry = {.key = key, .seq = seq, .kind = FR_KIND_PUT};

    end = fr_put_varint(end, handle->size);
    fr_put_u32(end, handle->crc);
    entry.value = fr_slice_of(bytes, (size_t)(end + 4 - bytes));
    return fr_block_builder_add(block, &entry);
}

/* Put a full index block aside, with the separator behind which it ends. */
static fr_status cut_index(struct fr_table_builder *b)
{
    fr_slice key = fr_block_builder_last_key(&b->index), block;
    struct index_span span = {.block = b->index_blocks.size,
            .key = b->index_keys.size,
            .seq = fr_block_builder_last_seq(&b->index),
            .key_size = (uint16_t)key.size};
    fr_status st;

    fr_buf_append(&b->index_keys, key.data, key.size);
    FR_TRY(fr_block_builder_finish(&b->index, &block));
    span.block_size = (uint32_t)block.size;
    fr_buf_append(&b->index_blocks, block.data, block.size);
    fr_buf_append(&b->index_spans, &span, sizeof(span));
    fr_block_builder_reset(&b->index);
    FR_TRY(fr_buf_status(&b->index_keys));
    FR_TRY(fr_buf_status(&b->index_blocks));
    FR_TRY(fr_buf_status(&b->index_spans));
out:
    return st;
}

/* The shortest key that is not below last and is below next, in place of last. */
static void shorten(struct fr_buf *last, fr_slice next)
{
    size_t shared = fr_shared_size(fr_buf_slice(last), next);

    if (shared + 1 >= last->size || shared >= next.size) return;
    uint8_t byte = last->data[shared];

    if (byte + 1 < next.data[shared] || (byte + 1 == next.data[shared] && shared + 1 < next.size)) {
        last->data[shared]++;
        last->size = shared + 1;
    }
}

/* Give the last data block its place in the index. next: the first key of what follows, or empty.
 */
static fr_status index_last(struct fr_table_builder *b, fr_slice next)
{
    fr_seq seq = 1;
    fr_status st;

    if (!b->has_last) return FR_OK;
    if (next.size > 0 && fr_slice_equal(next, fr_buf_slice(&b->last_key)))
        seq = b->last_seq;
    else if (next.size > 0)
        shorten(&b->last_key, next);
    FR_TRY(add_handle(&b->index, fr_buf_slice(&b->last_key), seq, &b->last_handle));
    b->has_last = false;
    if (fr_block_builder_size_estimate(&b->index) >= b->options.index_block_size)
        FR_TRY(cut_index(b));
out:
    return st;
}

static fr_status place_block(struct fr_table_builder *b, fr_slice first_key, fr_slice last_key,
        fr_seq last_seq, fr_slice block)
{
    fr_status st;

    FR_TRY(index_last(b, first_key));
    FR_TRY(write_frame(b, FR_FRAME_DATA, block, true, &b->last_handle));
    b->properties.block_count++;
    b->properties.block_raw_bytes += block.size;
    b->properties.block_stored_bytes += b->last_handle.size;
    fr_buf_clear(&b->last_key);
    fr_buf_append(&b->last_key, last_key.data, last_key.size);
    FR_TRY(fr_buf_status(&b->last_key));
    b->last_seq = last_seq;
    b->has_last = true;
out:
    return st;
}

/* ---- The dictionary ---- */

static fr_status keep_sample(struct fr_table_builder *b, fr_slice first_key, fr_slice last_key,
        fr_seq last_seq, fr_slice block)
{
    struct sample sample = {.first_key = b->sample_keys.size,
            .last_key = b->sample_keys.size + first_key.size,
            .block = b->samples.size,
            .last_seq = last_seq,
            .block_size = (uint32_t)block.size,
            .first_size = (uint16_t)first_key.size,
            .last_size = (uint16_t)last_key.size};

    fr_buf_append(&b->sample_keys, first_key.data, first_key.size);
    fr_buf_append(&b->sample_keys, last_key.data, last_key.size);
    fr_buf_append(&b->samples, block.data, block.size);
    fr_buf_append(&b->sample_list, &sample, sizeof(sample));
    if (b->sample_keys.failed || b->samples.failed)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to sample blocks for a dictionary");
    return fr_buf_status(&b->sample_list);
}

static fr_slice sample_block(const struct fr_table_builder *b, const struct sample *sample)
{
    return fr_slice_of(b->samples.data + sample->block, sample->block_size);
}

/* What some blocks of the sample take, as the packer is now. */
static fr_status measure(struct fr_table_builder *b, const struct sample *list, size_t count,
        uint64_t *ret_size)
{
    enum fr_codec compression;
    uint64_t size = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        fr_slice stored;

        FR_TRY(fr_packer_pack(&b->packer, sample_block(b, &list[i]), &stored, &compression));
        size += stored.size;
    }
    *ret_size = size;
out:
    return st;
}

/* Learn from the first blocks of the list. FR_NOT_FOUND: there is nothing to learn. */
static fr_status train(struct fr_table_builder *b, const struct sample *list, size_t count)
{
    size_t *sizes = fr_alloc_zeroed(count + 1, sizeof(*sizes));
    fr_status st;

    if (sizes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to train a dictionary");
    for (size_t i = 0; i < count; i++)
        sizes[i] = list[i].block_size;
    st = fr_dictionary_train(b->samples.data, sizes, count, b->options.dictionary_size,
            &b->dictionary);
    fr_free(sizes);
    return st;
}

/*
 * Take a dictionary if it pays. What it has learnt from would flatter it, so it is judged by the
 * last blocks of the sample, which are most like those to come.
 */
static fr_status choose_dictionary(struct fr_table_builder *b, const struct sample *list,
        size_t count)
{
    size_t test = count / SAMPLE_TEST_ONE_IN, learn = count - test;
    uint64_t without = 0, with = 0;
    fr_status st;

    FR_TRY(measure(b, list + learn, test, &without));
    FR_TRY(train(b, list, learn));
    if (st == FR_OK) FR_TRY(fr_packer_set_dictionary(&b->packer, fr_buf_slice(&b->dictionary)));
    if (st == FR_NOT_FOUND) goto left_out;
    FR_TRY(measure(b, list + learn, test, &with));
    if (with + without / DICTIONARY_GAIN_ONE_IN < without &&
            (without - with) * SAMPLE_TEST_ONE_IN > b->dictionary.size) {
        FR_COVER("table: a dictionary pays");
        return FR_OK;
    }
left_out:
    FR_COVER("table: a dictionary does not pay");
    fr_packer_drop_dictionary(&b->packer);
    fr_buf_clear(&b->dictionary);
    st = FR_OK;
out:
    return st;
}

/* Learn from what was kept if it is enough, and write it. */
static fr_status end_sampling(struct fr_table_builder *b)
{
    const struct sample *list = (const struct sample *)(const void *)b->sample_list.data;
    size_t count = b->sample_list.size / sizeof(*list);
    fr_status st = FR_OK;

    if (!b->sampling) return FR_OK;
    b->sampling = false;
    if (b->samples.size >= fr_table_sample_size(&b->options))
        FR_TRY(choose_dictionary(b, list, count));
    for (size_t i = 0; i < count; i++)
        FR_TRY(place_block(b,
                fr_slice_of(b->sample_keys.data + list[i].first_key, list[i].first_size),
                fr_slice_of(b->sample_keys.data + list[i].last_key, list[i].last_size),
                list[i].last_seq, sample_block(b, &list[i])));
    fr_buf_deinit(&b->samples);
    fr_buf_deinit(&b->sample_keys);
    fr_buf_deinit(&b->sample_list);
out:
    return st;
}

/* ---- Entries ---- */

static fr_status cut_block(struct fr_table_builder *b)
{
    fr_slice first, last, block;
    fr_seq last_seq;
    fr_status st;

    if (fr_block_builder_count(&b->block) == 0) return FR_OK;
    first = fr_block_builder_first_key(&b->block);
    last = fr_block_builder_last_key(&b->block);
    last_seq = fr_block_builder_last_seq(&b->block);
    FR_TRY(fr_block_builder_finish(&b->block, &block));
    /* One large value: there is nothing in it for the others, and no room for it. */
    if (block.size > FR_TABLE_BLOCK_SIZE_MAX) FR_TRY(end_sampling(b));
    if (b->sampling) {
        FR_TRY(keep_sample(b, first, last, last_seq, block));
        if (b->samples.size >= fr_table_sample_size(&b->options)) FR_TRY(end_sampling(b));
    } else {
        FR_TRY(place_block(b, first, last, last_seq, block));
    }
    fr_block_builder_reset(&b->block);
out:
    return st;
}

static void count_seq(struct fr_table_properties *p, fr_seq seq)
{
    if (p->seq_least == 0 || seq < p->seq_least) p->seq_least = seq;
    if (seq > p->seq_most) p->seq_most = seq;
}

static void count_flags(struct fr_table_properties *p, const struct fr_entry *entry)
{
    struct fr_place place;

    if (entry->flags & FR_ENTRY_EXPIRES) {
        p->expires_count++;
        if (p->expires_least_us == 0 || entry->expires_us < p->expires_least_us)
            p->expires_least_us = entry->expires_us;
    }
    if (entry->flags & FR_ENTRY_PLACED) {
        bool good = fr_place_get(entry->value, &place);

        FR_ASSERT(good);
        p->placed_count++;
        fr_table_properties_add_ref(p, place.file, place.size, 1);
    }
}

static void count_entry(struct fr_table_builder *b, const struct fr_entry *entry, bool new_key)
{
    struct fr_table_properties *p = &b->properties;

    p->put_count += entry->kind == FR_KIND_PUT;
    p->delete_count += entry->kind == FR_KIND_DELETE;
    p->append_count += entry->kind == FR_KIND_APPEND;
    p->raw_key_bytes += entry->key.size;
    p->raw_value_bytes += entry->value.size;
    count_seq(p, entry->seq);
    if (entry->flags != 0) count_flags(p, entry);
    if (!new_key) return;
    p->key_count++;
    if (b->options.filter_bits > 0) fr_filter_builder_add(&b->filter, fr_hash64(entry->key));
}

/* Whether this key is another than that of the entry before, which it must stand behind. */
static bool check_order(const struct fr_table_builder *b, const struct fr_entry *entry)
{
    if (b->properties.key_count == 0) return true;
    fr_slice last = fr_buf_slice(&b->properties.largest);
    int order = fr_slice_compare(last, entry->key);

    FR_ASSERT(order < 0 || (order == 0 && entry->seq < b->last_seq));
    return order < 0;
}

/* To be looked at every time: setting it again forgets that it has failed. */
FR_NODISCARD static fr_status set_key(struct fr_buf *buf, fr_slice key)
{
    fr_buf_clear(buf);
    fr_buf_append(buf, key.data, key.size);
    return fr_buf_status(buf);
}

static fr_status add(struct fr_table_builder *b, const struct fr_entry *entry)
{
    bool in_block = fr_block_builder_count(&b->block) > 0;
    bool new_key = true;
    fr_status st;

    /* Within a block its builder asserts the order; here the keys of two blocks meet. */
    if (in_block) {
        new_key = !fr_slice_equal(fr_block_builder_last_key(&b->block), entry->key);
        if (fr_block_builder_size_estimate(&b->block) + fr_block_builder_size_of(entry) >
                b->options.block_size) {
            FR_TRY(set_key(&b->properties.largest, fr_block_builder_last_key(&b->block)));
            fr_seq last_seq = fr_block_builder_last_seq(&b->block);

            FR_TRY(cut_block(b));
            b->last_seq = last_seq;
            new_key = check_order(b, entry);
        }
    } else if (b->properties.smallest.size == 0) {
        FR_TRY(set_key(&b->properties.smallest, entry->key));
    }
    FR_TRY(fr_block_builder_add(&b->block, entry));
    count_entry(b, entry, new_key);
out:
    return st;
}

fr_status fr_table_builder_add(struct fr_table_builder *b, const struct fr_entry *entry)
{
    FR_ASSERT(!b->finished && entry->kind != FR_KIND_DELETE_RANGE && entry->seq > 0);
    if (FR_UNLIKELY(b->status < 0)) return b->status;
    b->status = add(b, entry);
    return b->status;
}

fr_status fr_table_builder_add_range(struct fr_table_builder *b, fr_slice start, fr_slice end,
        fr_seq seq)
{
    FR_ASSERT(!b->finished && seq > 0 && seq <= FR_SEQ_MAX);
    FR_ASSERT(start.size > 0 && start.size <= FR_KEY_SIZE_MAX && end.size <= FR_KEY_SIZE_MAX);
    if (b->status < 0) return b->status;
    b->status = fr_ranges_add(&b->ranges, start, end, seq);
    return b->status;
}

uint64_t fr_table_builder_size_estimate(const struct fr_table_builder *b)
{
    return fr_file_writer_offset(&b->writer) + b->samples.size +
           fr_block_builder_size_estimate(&b->block) + b->index_blocks.size +
           fr_block_builder_size_estimate(&b->index) +
           (b->options.filter_bits > 0 ? fr_filter_builder_size(&b->filter) : 0) +
           2 * b->ranges.keys.used_bytes + FR_TABLE_FOOTER_SIZE;
}

void fr_table_builder_set_shadowed(struct fr_table_builder *b, uint64_t bytes)
{
    b->properties.shadowed_bytes = bytes;
}

uint64_t fr_table_builder_count(const struct fr_table_builder *b)
{
    return fr_table_entry_count(&b->properties) + b->ranges.given.size / sizeof(struct fr_range);
}

/* ---- Finishing ---- */

static fr_status write_index(struct fr_table_builder *b)
{
    const struct index_span *spans = NULL;
    uint64_t start = fr_file_writer_offset(&b->writer);
    struct fr_block_handle handle;
    fr_slice top;
    fr_status st;

    FR_TRY(index_last(b, fr_slice_of(NULL, 0)));
    if (fr_block_builder_count(&b->index) > 0) FR_TRY(cut_index(b));
    spans = (const struct index_span *)(const void *)b->index_spans.data;
    for (size_t i = 0; i < b->index_spans.size / sizeof(*spans); i++) {
        FR_TRY(write_frame(b, FR_FRAME_INDEX,
                fr_slice_of(b->index_blocks.data + spans[i].block, spans[i].block_size), false,
                &handle));
        FR_TRY(add_handle(&b->top,
                fr_slice_of(b->index_keys.data + spans[i].key, spans[i].key_size), spans[i].seq,
                &handle));
    }
    if (fr_block_builder_count(&b->top) > 0) {
        FR_TRY(fr_block_builder_finish(&b->top, &top));
        FR_TRY(write_frame(b, FR_FRAME_TOP, top, false, &b->handles[FR_TABLE_HANDLE_TOP]));
    }
    b->properties.index_bytes = fr_file_writer_offset(&b->writer) - start;
out:
    return st;
}

static fr_status write_filter(struct fr_table_builder *b)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    fr_status st;

    if (b->options.filter_bits == 0 || b->properties.key_count == 0) return FR_OK;
    FR_TRY(fr_filter_builder_finish(&b->filter, &bytes));
    b->properties.filter_bytes = bytes.size;
    FR_TRY(write_frame(b, FR_FRAME_FILTER, fr_buf_slice(&bytes), false,
            &b->handles[FR_TABLE_HANDLE_FILTER]));
out:
    fr_buf_deinit(&bytes);
    return st;
}

/* Ranges may reach further than the entries do. */
static fr_status widen_bounds(struct fr_table_properties *p, const struct fr_range *first,
        const struct fr_range *last)
{
    fr_status st;

    if (p->smallest.size == 0 || fr_slice_compare(first->start, fr_buf_slice(&p->smallest)) < 0)
        FR_TRY(set_key(&p->smallest, first->start));
    if (p->largest.size > 0 && fr_slice_compare(last->end, fr_buf_slice(&p->largest)) <= 0)
        return FR_OK;
    FR_TRY(set_key(&p->largest, last->end));
    p->largest_open = 1;
out:
    return st;
}

static fr_status write_ranges(struct fr_table_builder *b)
{
    const struct fr_range *fragments;
    struct fr_block_builder block;
    size_t count;
    fr_slice bytes;
    fr_status st;

    fr_block_builder_init(&block, b->options.restart_interval, false);
    FR_TRY(fr_ranges_fragment(&b->ranges, &fragments, &count));
    if (count == 0) goto out;
    for (size_t i = 0; i < count; i++) {
        struct fr_entry entry = {.key = fragments[i].start,
                .value = fragments[i].end,
                .seq = fragments[i].seq,
                .kind = FR_KIND_DELETE_RANGE};

        FR_TRY(fr_block_builder_add(&block, &entry));
        count_seq(&b->properties, entry.seq);
    }
    FR_TRY(fr_block_builder_finish(&block, &bytes));
    FR_TRY(write_frame(b, FR_FRAME_RANGES, bytes, true, &b->handles[FR_TABLE_HANDLE_RANGES]));
    b->properties.range_count = count;
    FR_TRY(widen_bounds(&b->properties, &fragments[0], &fragments[count - 1]));
out:
    fr_block_builder_deinit(&block);
    return st;
}

static fr_status write_properties(struct fr_table_builder *b)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    fr_status st;

    if (b->dictionary.size > 0) {
        b->properties.dictionary_bytes = b->dictionary.size;
        FR_TRY(write_frame(b, FR_FRAME_DICTIONARY, fr_buf_slice(&b->dictionary), false,
                &b->handles[FR_TABLE_HANDLE_DICTIONARY]));
    }
    FR_TRY(fr_buf_status(&b->properties.value_refs));
    FR_TRY(fr_buf_status(&b->properties.smallest));
    FR_TRY(fr_buf_status(&b->properties.largest));
    fr_table_properties_put(&b->properties, &bytes);
    FR_TRY(fr_buf_status(&bytes));
    FR_TRY(write_frame(b, FR_FRAME_PROPERTIES, fr_buf_slice(&bytes), false,
            &b->handles[FR_TABLE_HANDLE_PROPERTIES]));
out:
    fr_buf_deinit(&bytes);
    return st;
}

static fr_status write_footer(struct fr_table_builder *b, uint64_t data_end, struct fr_hash128 hash)
{
    uint8_t footer[FR_TABLE_FOOTER_SIZE] = {0};

    fr_put_u64(footer, hash.low);
    fr_put_u64(footer + 8, hash.high);
    for (int i = 0; i < FR_TABLE_HANDLES; i++) {
        fr_put_u64(footer + 16 + 16 * i, b->handles[i].offset);
        fr_put_u32(footer + 24 + 16 * i, b->handles[i].size);
        fr_put_u32(footer + 28 + 16 * i, b->handles[i].crc);
    }
    fr_put_u64(footer + 96, data_end);
    fr_put_u64(footer + 104, fr_file_writer_offset(&b->writer) + sizeof(footer));
    fr_file_id_put(footer + 112, &b->id);
    fr_put_u32(footer + 176, FR_TABLE_VERSION);
    fr_put_u32(footer + 180, fr_crc32c_mask(fr_crc32c(0, footer, 180)));
    fr_put_u64(footer + 184, FR_TABLE_MAGIC);
    return fr_file_writer_append(&b->writer, fr_slice_of(footer, sizeof(footer)));
}

/* All that is written, read again by the reader's own code. */
static fr_status read_back(struct fr_table_builder *b, const struct fr_table_meta *meta)
{
    struct fr_table *table = NULL;
    fr_status st;

    FR_TRY(fr_table_open_with(b->dir, b->writer.name, &b->id, NULL,
            b->options.direct ? FR_OPEN_DIRECT : 0, &table));
    if (!fr_hash128_equal(fr_table_hash(table), meta->hash) ||
            fr_table_file_size(table) != meta->file_size)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: is not the file just written", b->writer.name));
    FR_TRY(fr_table_verify(table, NULL, NULL));
out:
    fr_table_unref(table);
    return st;
}

static fr_status write_rest(struct fr_table_builder *b, struct fr_hash128 *ret_hash)
{
    uint64_t data_end;
    fr_status st;

    if (fr_block_builder_count(&b->block) > 0)
        FR_TRY(set_key(&b->properties.largest, fr_block_builder_last_key(&b->block)));
    FR_TRY(cut_block(b));
    FR_TRY(end_sampling(b));
    data_end = fr_file_writer_offset(&b->writer);
    FR_TRY(write_index(b));
    FR_TRY(write_filter(b));
    FR_TRY(write_ranges(b));
    FR_TRY(write_properties(b));
    *ret_hash = fr_file_writer_hash(&b->writer);
    FR_TRY(write_footer(b, data_end, *ret_hash));
    FR_TRY(fr_file_writer_finish(&b->writer));
out:
    return st;
}

fr_status fr_table_builder_finish(struct fr_table_builder *b, struct fr_table_meta *ret_meta)
{
    struct fr_table_meta meta = {.id = b->id};
    fr_status st;

    FR_ASSERT(!b->finished);
    FR_TRY(b->status);
    FR_TRY(write_rest(b, &meta.hash));
    meta.file_size = fr_file_writer_offset(&b->writer);
    if (b->options.verify) FR_TRY(read_back(b, &meta));
    FR_TRY(fr_table_properties_copy(&b->properties, &meta.properties));
    b->finished = true;
    *ret_meta = meta;
out:
    b->status = st;
    return st;
}
