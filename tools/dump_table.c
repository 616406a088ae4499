/*
 * dump_table.c - a table, part by part: header, blocks with their entries, index, filter, ranges,
 * dictionary, properties, footer.
 *
 * Mostly the footer leads to all of it, and a damaged block costs its own entries and no others.
 * What no index leads to any more - the footer is damaged, or cut off, or a block of the index is -
 * is looked for: frames stand back to back, and each shows by its checksum where it ends.
 */
#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/coding.h"
#include "io/file.h"
#include "lsm/block.h"
#include "lsm/filter.h"
#include "lsm/frame.h"
#include "lsm/table_parts.h"
#include "lsm/table_properties.h"
#include "tools/dump.h"

/* Of a file whose index is lost so much is looked at to find where a frame ends. */
#define SEARCH_MIN ((uint64_t)64 << 10)

/* So often bytes may look like the beginning of a frame and be none: beyond, somebody has made them
 * so. */
#define TRIES_MAX 4096

struct table_dump {
    struct fr_dump *d;
    struct fr_file *file;
    const char *path;
    uint64_t size;
    uint32_t seed;
    unsigned tries;
    uint64_t next; /* where the next frame begins, if they are back to back */
    struct fr_table_footer footer;
    struct fr_unpacker unpacker;
};

/* A frame that is unpacked; its bytes are those of a block, or of what else it has. */
struct unpacked {
    struct fr_buf bytes; /* as stored */
    struct fr_buf raw;   /* if it is compressed */
    fr_slice payload;
    struct fr_frame frame;
};

static void free_unpacked(struct unpacked *u)
{
    fr_buf_deinit(&u->bytes);
    fr_buf_deinit(&u->raw);
}

static fr_status unpack(struct table_dump *t, uint64_t offset, struct unpacked *u)
{
    uint8_t *to;

    u->payload = u->frame.stored;
    if (u->frame.compression == FR_CODEC_NONE) return FR_OK;
    to = fr_buf_extend(&u->raw, (size_t)u->frame.raw_size + 1);
    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for %" PRIu32 " bytes", t->path,
                u->frame.raw_size);
    u->payload = fr_slice_of(to, u->frame.raw_size);
    return fr_frame_unpack(&t->unpacker, &u->frame, to, t->path, offset);
}

/* Read a frame. false: it is damaged, which has been told. */
static bool read_frame(struct table_dump *t, const struct fr_block_handle *handle,
        enum fr_frame_type type, struct unpacked *u)
{
    if (!fr_dump_read(t->d, t->file, handle->offset, handle->size, &u->bytes)) return false;
    fr_status st =
            fr_frame_check(fr_buf_slice(&u->bytes), t->seed, handle, type, t->path, &u->frame);
    if (st == FR_OK) st = unpack(t, handle->offset, u);
    if (st < 0) fr_dump_damage(t->d, handle->offset);
    return st == FR_OK;
}

static void begin_frame(struct table_dump *t, const struct fr_block_handle *handle,
        const char *name, const struct unpacked *u)
{
    static const char *const codecs[] = {[FR_CODEC_NONE] = "none",
            [FR_CODEC_ZSTD] = "zstd",
            [FR_CODEC_ZSTD_DICT] = "zstd_dictionary"};

    fr_dump_begin(t->d, handle->offset, name);
    fr_dump_u64(t->d, "size", handle->size);
    fr_dump_u64(t->d, "raw_size", u->frame.raw_size);
    fr_dump_words(t->d, "compression", codecs[u->frame.compression]);
    fr_dump_crc(t->d, "crc", handle->crc);
}

/* With the bytes of the trailer: the payload has records of its own, or is not for reading. */
static void end_frame(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u)
{
    uint64_t at = handle->size - FR_FRAME_TRAILER_SIZE;

    fr_dump_end(t->d, handle->offset + at, fr_slice_of(u->bytes.data + at, FR_FRAME_TRAILER_SIZE));
}

/* ---- Blocks ---- */

typedef void (*entry_fn)(struct table_dump *t, const struct fr_entry *entry);

/* The record of an entry, at its place in the file, or in the block if that is compressed. */
static void begin_entry(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u, uint64_t inside, const char *name)
{
    if (u->frame.compression == FR_CODEC_NONE)
        fr_dump_begin(t->d, handle->offset + inside, name);
    else
        fr_dump_begin_inside(t->d, handle->offset, inside, name);
}

static void tell_entries(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u, struct fr_block_iter *it, const char *name, entry_fn tell)
{
    const uint8_t *start = it->block->entries;

    while (!fr_dump_full(t->d) && fr_iter_next(&it->iter) == FR_OK) {
        uint64_t inside = (uint64_t)(start - u->payload.data);
        fr_slice raw = fr_slice_of(start, (size_t)(it->after - start));

        start = it->after;
        if (!fr_dump_concerns(t->d, &it->iter.entry)) continue;
        begin_entry(t, handle, u, inside, name);
        tell(t, &it->iter.entry);
        fr_dump_end(t->d, (u->frame.compression == FR_CODEC_NONE ? handle->offset : 0) + inside,
                raw);
    }
}

/* A block whose record has been begun: its fields, then its entries. */
static void tell_block(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u, const char *name, entry_fn tell)
{
    struct fr_block_iter it;
    struct fr_block block;

    fr_block_iter_init(&it);
    fr_status st = fr_block_open(u->payload, t->path, handle->offset, &block);
    if (st == FR_OK) {
        fr_dump_u64(t->d, "entries", block.count);
        fr_dump_u64(t->d, "restarts", block.restarts);
        fr_dump_u64(t->d, "seq_base", block.seq_base);
    }
    end_frame(t, handle, u);
    if (st == FR_OK) st = fr_block_iter_set(&it, &block);
    if (st == FR_OK && fr_dump_wants(t->d, name)) tell_entries(t, handle, u, &it, name, tell);
    if (st < 0) fr_dump_damage(t->d, handle->offset);
    fr_iter_close(&it.iter);
}

static void tell_one(struct table_dump *t, const struct fr_entry *entry)
{
    fr_dump_entry(t->d, entry);
}

static void dump_block(struct table_dump *t, const struct fr_block_handle *handle)
{
    struct unpacked u = {.frame = {.raw_size = 0}};

    t->next = handle->offset + handle->size;
    if ((fr_dump_wants(t->d, "block") || fr_dump_wants(t->d, "entry")) &&
            read_frame(t, handle, FR_FRAME_DATA, &u)) {
        begin_frame(t, handle, "block", &u);
        tell_block(t, handle, &u, "entry", tell_one);
    }
    free_unpacked(&u);
}

/* ---- The index ---- */

static void tell_handle(struct table_dump *t, const struct fr_entry *entry)
{
    struct fr_block_handle handle = {.offset = 0};

    fr_dump_u64(t->d, "seq", entry->seq);
    fr_dump_key(t->d, "separator", entry->key);
    if (!fr_block_handle_get(entry->value, &handle)) {
        fr_dump_flag(t->d, "no_handle");
        return;
    }
    fr_dump_u64(t->d, "block", handle.offset);
    fr_dump_u64(t->d, "size", handle.size);
    fr_dump_crc(t->d, "crc", handle.crc);
}

typedef void (*child_fn)(struct table_dump *t, const struct fr_block_handle *child);

/* Where a level of the index may lead to. */
struct span {
    uint64_t from, to;
    bool silent; /* what is wrong was told before */
};

/* Handles ascend, so no byte is told twice, whatever an index says. */
static bool leads_there(struct table_dump *t, struct span *span,
        const struct fr_block_handle *child)
{
    bool good = child->offset >= span->from && child->offset < span->to &&
                child->size <= span->to - child->offset;

    if (!good && !span->silent) {
        (void)!FR_FAIL(FR_ERR_CORRUPT,
                "%s: the index leads to %" PRIu64 ", %" PRIu32
                " bytes, which is not where blocks are",
                t->path, child->offset, child->size);
        fr_dump_damage(t->d, child->offset);
    }
    if (good) span->from = child->offset + child->size;
    return good;
}

/* Go on with each of those that an index block leads to. */
static void follow(struct table_dump *t, const struct unpacked *u, struct span span, child_fn fn)
{
    struct fr_block_handle child;
    struct fr_block_iter it;
    struct fr_block block;

    fr_block_iter_init(&it);
    if (fr_block_open(u->payload, t->path, 0, &block) == FR_OK &&
            fr_block_iter_set(&it, &block) == FR_OK)
        while (!fr_dump_full(t->d) && fr_iter_next(&it.iter) == FR_OK)
            if (fr_block_handle_get(it.iter.entry.value, &child) && leads_there(t, &span, &child))
                fn(t, &child);
    fr_iter_close(&it.iter);
}

static void search_frames(struct table_dump *t, uint64_t end);

/* Blocks in front of that one to which nothing leads, if there are any; then the block. */
static void dump_next_block(struct table_dump *t, const struct fr_block_handle *handle)
{
    search_frames(t, handle->offset);
    dump_block(t, handle);
}

static void dump_index_data(struct table_dump *t, const struct fr_block_handle *handle)
{
    struct unpacked u = {.frame = {.raw_size = 0}};

    if (read_frame(t, handle, FR_FRAME_INDEX, &u))
        follow(t, &u, (struct span){.from = t->next, .to = t->footer.data_end}, dump_next_block);
    free_unpacked(&u);
}

static void dump_index_itself(struct table_dump *t, const struct fr_block_handle *handle)
{
    struct unpacked u = {.frame = {.raw_size = 0}};

    t->next = handle->offset + handle->size;
    if (fr_dump_read(t->d, t->file, handle->offset, handle->size, &u.bytes) &&
            fr_frame_check(fr_buf_slice(&u.bytes), t->seed, handle, FR_FRAME_INDEX, t->path,
                    &u.frame) == FR_OK &&
            unpack(t, handle->offset, &u) == FR_OK) { /* else it was told with the data */
        begin_frame(t, handle, "index", &u);
        tell_block(t, handle, &u, "pointer", tell_handle);
    }
    free_unpacked(&u);
}

/* Data in the order of the file, then the index blocks that lead there, then the top. */
static void dump_data_and_index(struct table_dump *t)
{
    const struct fr_block_handle *top = &t->footer.handles[FR_TABLE_HANDLE_TOP];
    struct span span = {.from = t->footer.data_end, .to = t->size - FR_TABLE_FOOTER_SIZE};
    struct unpacked u = {.frame = {.raw_size = 0}};

    t->next = FR_TABLE_HEADER_SIZE;
    if (top->size > 0 && read_frame(t, top, FR_FRAME_TOP, &u)) {
        follow(t, &u, span, dump_index_data);
        search_frames(t, t->footer.data_end);
        span.silent = true;
        follow(t, &u, span, dump_index_itself);
        begin_frame(t, top, "top", &u);
        tell_block(t, top, &u, "pointer", tell_handle);
    } else {
        search_frames(t, t->footer.data_end);
    }
    free_unpacked(&u);
}

/* ---- The other parts ---- */

static void tell_filter(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u)
{
    begin_frame(t, handle, "filter", u);
    if (fr_dump_filter_at(t->d, t->path, handle->offset, u->payload)) end_frame(t, handle, u);
}

static void tell_ranges(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u)
{
    begin_frame(t, handle, "ranges", u);
    tell_block(t, handle, u, "entry", tell_one);
}

static void tell_dictionary(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u)
{
    begin_frame(t, handle, "dictionary", u);
    fr_dump_value(t->d, "content", u->payload);
    end_frame(t, handle, u);
}

static const struct {
    const char *name;
    size_t at;
} numbers[] = {
#define NUMBER(field)                                                                              \
    {                                                                                              \
#field, offsetof(struct fr_table_properties, field)                                        \
    }
        NUMBER(put_count),
        NUMBER(delete_count),
        NUMBER(append_count),
        NUMBER(range_count),
        NUMBER(key_count),
        NUMBER(placed_count),
        NUMBER(expires_count),
        NUMBER(expires_least_us),
        NUMBER(raw_key_bytes),
        NUMBER(raw_value_bytes),
        NUMBER(block_count),
        NUMBER(block_raw_bytes),
        NUMBER(block_stored_bytes),
        NUMBER(index_bytes),
        NUMBER(filter_bytes),
        NUMBER(dictionary_bytes),
        NUMBER(seq_least),
        NUMBER(seq_most),
        NUMBER(created_us),
        NUMBER(level),
        NUMBER(origin),
        NUMBER(compression),
        NUMBER(largest_open),
        NUMBER(shadowed_bytes),
#undef NUMBER
};

/* Those that are not zero: the others are not stored either. */
static void tell_numbers(struct fr_dump *d, const struct fr_table_properties *p)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(numbers); i++) {
        uint64_t value;

        memcpy(&value, (const char *)p + numbers[i].at, sizeof(value));
        if (value != 0) fr_dump_u64(d, numbers[i].name, value);
    }
}

static void tell_refs(struct table_dump *t, const struct fr_block_handle *handle,
        const struct fr_table_properties *p)
{
    const struct fr_value_ref *refs = fr_table_value_refs(p);

    for (size_t i = 0; i < fr_table_value_ref_count(p); i++) {
        fr_dump_begin(t->d, handle->offset, "values");
        fr_dump_u64(t->d, "number", refs[i].file);
        fr_dump_u64(t->d, "bytes", refs[i].bytes);
        fr_dump_u64(t->d, "count", refs[i].count);
        fr_dump_done(t->d);
    }
}

static void tell_properties(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u)
{
    struct fr_table_properties p = {.put_count = 0};
    fr_status st = fr_table_properties_get(u->payload, t->path, handle->offset, &p);

    if (st < 0) {
        fr_dump_damage(t->d, handle->offset);
        return;
    }
    begin_frame(t, handle, "properties", u);
    tell_numbers(t->d, &p);
    fr_dump_key(t->d, "smallest", fr_buf_slice(&p.smallest));
    fr_dump_key(t->d, "largest", fr_buf_slice(&p.largest));
    fr_dump_end(t->d, handle->offset, fr_buf_slice(&u->bytes));
    tell_refs(t, handle, &p);
    fr_table_properties_deinit(&p);
}

typedef void (*part_fn)(struct table_dump *t, const struct fr_block_handle *handle,
        const struct unpacked *u);

/* By type of frame. Blocks are not here: they have ways of their own. */
static const part_fn parts[] = {[FR_FRAME_FILTER] = tell_filter,
        [FR_FRAME_RANGES] = tell_ranges,
        [FR_FRAME_DICTIONARY] = tell_dictionary,
        [FR_FRAME_PROPERTIES] = tell_properties};

static void dump_part(struct table_dump *t, const struct fr_block_handle *handle,
        enum fr_frame_type type)
{
    struct unpacked u = {.frame = {.raw_size = 0}};

    if (handle->size > 0 && !fr_dump_full(t->d) && read_frame(t, handle, type, &u))
        parts[type](t, handle, &u);
    free_unpacked(&u);
}

/* Blocks may need it before they can be told. A damaged one is told when its turn comes. */
static void load_dictionary(struct table_dump *t)
{
    const struct fr_block_handle *handle = &t->footer.handles[FR_TABLE_HANDLE_DICTIONARY];
    struct fr_buf bytes = FR_BUF_EMPTY;
    struct fr_frame frame;

    if (handle->size == 0 || handle->size > FR_DICTIONARY_SIZE_MAX + FR_FRAME_TRAILER_SIZE) return;
    uint8_t *to = fr_buf_extend(&bytes, handle->size);
    if (to != NULL && fr_file_read_exact(t->file, handle->offset, to, handle->size) == FR_OK &&
            fr_frame_check(fr_buf_slice(&bytes), t->seed, handle, FR_FRAME_DICTIONARY, t->path,
                    &frame) == FR_OK &&
            fr_unpacker_set_dictionary(&t->unpacker, frame.stored, t->path, handle->offset) < 0)
        fr_dump_damage(t->d, handle->offset);
    fr_buf_deinit(&bytes);
}

/* ---- Without an index ---- */

static void dump_found(struct table_dump *t, const struct fr_block_handle *handle,
        enum fr_frame_type type)
{
    struct unpacked u = {.frame = {.raw_size = 0}};

    t->next = handle->offset + handle->size;
    if (type == FR_FRAME_DATA) {
        dump_block(t, handle);
    } else if (type == FR_FRAME_INDEX || type == FR_FRAME_TOP) {
        if (read_frame(t, handle, type, &u)) {
            begin_frame(t, handle, type == FR_FRAME_TOP ? "top" : "index", &u);
            tell_block(t, handle, &u, "pointer", tell_handle);
        }
        free_unpacked(&u);
    } else {
        dump_part(t, handle, type);
    }
}

/* The frame that begins at t->next and ends before end, in as few bytes as show it. */
static bool find_frame(struct table_dump *t, uint64_t end, struct fr_block_handle *ret_handle,
        enum fr_frame_type *ret_type)
{
    uint64_t left = end - t->next, most = (uint64_t)FR_BLOCK_SIZE_MAX + FR_FRAME_TRAILER_SIZE;
    struct fr_buf bytes = FR_BUF_EMPTY;
    bool found = false, all = false;

    if (left > most) left = most;
    for (uint64_t size = SEARCH_MIN; !found && !all; size *= 8) {
        all = size >= left;
        if (!fr_dump_read(t->d, t->file, t->next, all ? left : size, &bytes)) break;
        found = fr_frame_find(fr_buf_slice(&bytes), t->seed, t->next, ret_handle, ret_type);
    }
    fr_buf_deinit(&bytes);
    return found;
}

/* Whether a frame begins there and ends within these bytes. */
static bool begins_here(struct table_dump *t, fr_slice bytes, uint64_t offset)
{
    struct fr_block_handle handle;
    enum fr_frame_type type;

    if (!fr_frame_may_begin(bytes) || t->tries == TRIES_MAX) return false;
    t->tries++;
    return fr_frame_find(bytes, t->seed, offset, &handle, &type);
}

/* Move t->next to the next frame that shows by its first bytes, or to end. */
static void find_next(struct table_dump *t, uint64_t end)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    bool found = false;

    for (t->next++; t->next < end && !found && t->tries < TRIES_MAX;) {
        uint64_t size = FR_MIN(end - t->next, 2 * SEARCH_MIN);
        size_t at = 0, last = end - t->next <= size ? (size_t)size : (size_t)SEARCH_MIN;

        if (!fr_dump_read(t->d, t->file, t->next, size, &bytes)) break;
        for (; at < last && !found; at += !found)
            found = begins_here(t, fr_slice_of(bytes.data + at, (size_t)size - at), t->next + at);
        t->next += at;
    }
    if (!found) t->next = end;
    fr_buf_deinit(&bytes);
}

/* All frames from t->next to end. */
static void search_frames(struct table_dump *t, uint64_t end)
{
    struct fr_block_handle handle;
    enum fr_frame_type type;

    while (t->next < end && !fr_dump_full(t->d)) {
        uint64_t from = t->next;

        if (find_frame(t, end, &handle, &type)) {
            dump_found(t, &handle, type);
            continue;
        }
        find_next(t, end);
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: nothing whole from %" PRIu64 " to %" PRIu64, t->path,
                from, t->next);
        fr_dump_damage(t->d, from);
    }
}

/* ---- Header and footer ---- */

static bool read_header(struct table_dump *t, struct fr_file_id *ret_id)
{
    struct fr_buf bytes = FR_BUF_EMPTY;
    fr_status st = FR_ERR_CORRUPT;

    if (fr_dump_read(t->d, t->file, 0, FR_TABLE_HEADER_SIZE, &bytes)) {
        st = fr_table_header_decode(bytes.data, t->path, ret_id);
        if (st < 0) fr_dump_damage(t->d, 0);
    }
    if (st == FR_OK) {
        fr_dump_begin(t->d, 0, "header");
        fr_dump_file_id(t->d, ret_id);
        fr_dump_end(t->d, 0, fr_buf_slice(&bytes));
    }
    fr_buf_deinit(&bytes);
    return st == FR_OK;
}

static void tell_footer(struct table_dump *t, fr_slice bytes)
{
    static const char *const names[] = {[FR_TABLE_HANDLE_PROPERTIES] = "properties",
            [FR_TABLE_HANDLE_TOP] = "top",
            [FR_TABLE_HANDLE_FILTER] = "filter",
            [FR_TABLE_HANDLE_RANGES] = "ranges",
            [FR_TABLE_HANDLE_DICTIONARY] = "dictionary"};
    struct fr_dump *d = t->d;

    fr_dump_begin(d, t->size - FR_TABLE_FOOTER_SIZE, "footer");
    fr_dump_id(d, "hash", bytes.data, 16);
    fr_dump_u64(d, "data_end", t->footer.data_end);
    for (int i = 0; i < FR_TABLE_HANDLES; i++)
        if (t->footer.handles[i].size > 0) fr_dump_u64(d, names[i], t->footer.handles[i].offset);
    fr_dump_u64(d, "file_size", t->footer.file_size);
    fr_dump_file_id(d, &t->footer.id);
    fr_dump_end(d, t->size - FR_TABLE_FOOTER_SIZE, bytes);
}

/* false: it leads nowhere, and that has been told. */
static bool read_footer(struct table_dump *t, struct fr_buf *bytes)
{
    uint64_t at = t->size - FR_TABLE_FOOTER_SIZE;

    if (t->size < FR_TABLE_HEADER_SIZE + FR_TABLE_FOOTER_SIZE) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: %" PRIu64 " bytes are too few for a table", t->path,
                t->size);
        fr_dump_damage(t->d, t->size);
        return false;
    }
    if (!fr_dump_read(t->d, t->file, at, FR_TABLE_FOOTER_SIZE, bytes)) return false;
    fr_status st = fr_table_footer_decode(bytes->data, t->path, t->size, &t->footer);
    if (st == FR_OK) st = fr_table_footer_check(&t->footer, t->path, t->size);
    if (st < 0) fr_dump_damage(t->d, at);
    return st == FR_OK;
}

static void dump_by_footer(struct table_dump *t, fr_slice footer)
{
    load_dictionary(t);
    dump_data_and_index(t);
    dump_part(t, &t->footer.handles[FR_TABLE_HANDLE_FILTER], FR_FRAME_FILTER);
    dump_part(t, &t->footer.handles[FR_TABLE_HANDLE_RANGES], FR_FRAME_RANGES);
    dump_part(t, &t->footer.handles[FR_TABLE_HANDLE_DICTIONARY], FR_FRAME_DICTIONARY);
    dump_part(t, &t->footer.handles[FR_TABLE_HANDLE_PROPERTIES], FR_FRAME_PROPERTIES);
    tell_footer(t, footer);
}

void fr_dump_table(struct fr_dump *d, struct fr_file *file, uint64_t size)
{
    struct table_dump t = {.d = d, .file = file, .path = fr_file_path(file), .size = size};
    struct fr_buf footer = FR_BUF_EMPTY;
    struct fr_file_id id = {.number = 0};
    bool has_header = size >= FR_TABLE_HEADER_SIZE && read_header(&t, &id);
    bool has_footer = read_footer(&t, &footer);

    if (has_header && has_footer && !fr_file_id_equal(&id, &t.footer.id)) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 is another file's", t.path);
        fr_dump_damage(d, 0);
    }
    t.seed = fr_file_id_seed(has_footer ? &t.footer.id : &id);
    if (has_footer) {
        dump_by_footer(&t, fr_buf_slice(&footer));
    } else if (has_header) {
        t.next = FR_TABLE_HEADER_SIZE;
        search_frames(&t, size);
    }
    fr_unpacker_deinit(&t.unpacker);
    fr_buf_deinit(&footer);
}
