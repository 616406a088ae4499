#include "lsm/value_file.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/file.h"
#include "io/io_queue.h"
#include "lsm/file_writer.h"
#include "lsm/frame.h"
#include "lsm/rate_limit.h"
#include "lsm/value_format.h"
#include "lsm/value_parts.h"
#include "wal/file_name.h"

/* Values are short: more than the fastest gains nothing on vectors, and takes half as long again.
 */
#define LEVEL_DEFAULT 1

struct fr_value_builder {
    struct fr_value_options options;
    struct fr_dir *dir;
    uint32_t seed;
    struct fr_value_meta meta;
    struct fr_file_writer writer;
    struct fr_packer packer;
    struct fr_buf head; /* of the record being written: fields and key */
    fr_status status;   /* sticks */
    bool finished;
};

struct fr_value_file {
    /* Constant after open, but for unpacker.spare. */
    struct fr_file *file;
    uint32_t seed;
    struct fr_value_meta meta;
    uint64_t data_end;
    struct fr_unpacker unpacker;

    _Atomic(uint32_t) refs; /* relaxed to take one, release and acquire to give the last one back */
};

/* ---- Writing ---- */

static fr_status write_header(struct fr_value_builder *b)
{
    static const uint8_t zeros[FR_VALUE_HEADER_SIZE - 44];
    uint8_t header[44] = {0};

    fr_put_u64(header, FR_VALUE_MAGIC);
    fr_put_u32(header + 8, FR_VALUE_VERSION);
    fr_file_id_put(header + 16, &b->meta.id);
    fr_put_u32(header + 40, fr_crc32c_mask(fr_crc32c(0, header, 40)));
    (void)fr_file_writer_append(&b->writer, fr_slice_of(header, sizeof(header)));
    return fr_file_writer_append(&b->writer, fr_slice_of(zeros, sizeof(zeros)));
}

fr_status fr_value_builder_open(struct fr_dir *dir, const struct fr_file_id *id,
        const struct fr_value_options *options, struct fr_value_builder **ret_builder)
{
    struct fr_value_builder *b = FR_NEW(struct fr_value_builder);
    char name[FR_FILE_NAME_SIZE];
    fr_status st;

    if (b == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to build a value file");
    if (options != NULL) b->options = *options;
    b->dir = dir;
    b->meta.id = *id;
    b->seed = fr_file_id_seed(id);
    fr_packer_init(&b->packer,
            b->options.compression_level != 0 ? b->options.compression_level : LEVEL_DEFAULT);
    fr_file_name_format(FR_FILE_VALUES, id->number, name);
    FR_TRY(fr_file_writer_open(dir, name, b->options.write_buffer_size, &b->writer));
    b->writer.limiter = b->options.limiter;
    b->writer.urgent = b->options.urgent;
    FR_TRY(write_header(b));
    *ret_builder = FR_TAKE(b);
out:
    fr_value_builder_close(b);
    return st;
}

static fr_status add(struct fr_value_builder *b, fr_slice key, fr_seq seq, fr_slice value)
{
    uint64_t offset = fr_file_writer_offset(&b->writer);
    enum fr_codec compression = FR_CODEC_NONE;
    fr_slice stored = value;
    uint32_t crc;
    fr_status st;

    if (b->options.compress && value.size > 0)
        FR_TRY(fr_packer_pack(&b->packer, value, &stored, &compression));
    fr_buf_clear(&b->head);
    fr_buf_u32(&b->head, 0);
    fr_buf_u32(&b->head, (uint32_t)stored.size);
    fr_buf_u32(&b->head, (uint32_t)value.size);
    fr_buf_u16(&b->head, (uint16_t)key.size);
    fr_buf_u8(&b->head, (uint8_t)compression);
    fr_buf_u8(&b->head, 0);
    fr_buf_u64(&b->head, seq);
    fr_buf_append(&b->head, key.data, key.size);
    FR_TRY(fr_buf_status(&b->head));
    crc = fr_crc32c(fr_file_id_seed_at(b->seed, offset), b->head.data + 4, b->head.size - 4);
    crc = fr_crc32c(crc, stored.data, stored.size);
    fr_put_u32(b->head.data, fr_crc32c_mask(crc));
    FR_TRY(fr_file_writer_append(&b->writer, fr_buf_slice(&b->head)));
    FR_TRY(fr_file_writer_append(&b->writer, stored));
    b->meta.count++;
    b->meta.bytes += value.size;
out:
    return st;
}

fr_status fr_value_builder_add(struct fr_value_builder *b, fr_slice key, fr_seq seq, fr_slice value,
        struct fr_place *ret_place)
{
    struct fr_place place = {.file = b->meta.id.number,
            .offset = fr_file_writer_offset(&b->writer),
            .size = value.size};

    FR_ASSERT(!b->finished && key.size >= 1 && key.size <= FR_KEY_SIZE_MAX);
    FR_ASSERT(value.size <= FR_VALUE_SIZE_MAX && seq > 0 && seq <= FR_SEQ_MAX);
    if (b->status < 0) return b->status;
    b->status = add(b, key, seq, value);
    if (b->status == FR_OK) *ret_place = place;
    return b->status;
}

uint64_t fr_value_builder_size(const struct fr_value_builder *b)
{
    return fr_file_writer_offset(&b->writer);
}

static fr_status write_footer(struct fr_value_builder *b)
{
    uint8_t footer[FR_VALUE_FOOTER_SIZE] = {0};

    b->meta.hash = fr_file_writer_hash(&b->writer);
    b->meta.file_size = fr_file_writer_offset(&b->writer) + sizeof(footer);
    fr_put_u64(footer, b->meta.hash.low);
    fr_put_u64(footer + 8, b->meta.hash.high);
    fr_put_u64(footer + 16, b->meta.count);
    fr_put_u64(footer + 24, b->meta.bytes);
    fr_file_id_put(footer + 32, &b->meta.id);
    fr_put_u64(footer + 56, b->meta.file_size);
    fr_put_u32(footer + 64, FR_VALUE_VERSION);
    fr_put_u32(footer + 68, fr_crc32c_mask(fr_crc32c(0, footer, 68)));
    fr_put_u64(footer + 72, FR_VALUE_MAGIC);
    return fr_file_writer_append(&b->writer, fr_slice_of(footer, sizeof(footer)));
}

static fr_status read_back(struct fr_value_builder *b)
{
    struct fr_value_file *file = NULL;
    fr_status st;

    FR_TRY(fr_value_file_open_with(b->dir, &b->meta.id, b->options.direct ? FR_OPEN_DIRECT : 0,
            &file));
    if (!fr_hash128_equal(file->meta.hash, b->meta.hash) ||
            file->meta.file_size != b->meta.file_size)
        FR_TRY(FR_FAIL(FR_ERR_CORRUPT, "%s: is not the file just written", b->writer.name));
    FR_TRY(fr_value_verify(file));
out:
    fr_value_file_unref(file);
    return st;
}

fr_status fr_value_builder_finish(struct fr_value_builder *b, struct fr_value_meta *ret_meta)
{
    fr_status st;

    FR_ASSERT(!b->finished);
    FR_TRY(b->status);
    FR_TRY(write_footer(b));
    FR_TRY(fr_file_writer_finish(&b->writer));
    if (!b->options.skip_verify) FR_TRY(read_back(b));
    b->finished = true;
    *ret_meta = b->meta;
out:
    b->status = st;
    return st;
}

void fr_value_builder_close(struct fr_value_builder *b)
{
    if (b == NULL) return;
    fr_file_writer_close(&b->writer, !b->finished);
    fr_packer_deinit(&b->packer);
    fr_buf_deinit(&b->head);
    fr_free(b);
}

/* ---- Opening ---- */

static fr_status check_footer(const struct fr_value_file *f, const struct fr_value_footer *footer)
{
    const char *path = fr_file_path(f->file);

    if (!fr_file_id_equal(&footer->id, &f->meta.id))
        return FR_FAIL(FR_ERR_FOREIGN, "%s: is value file %" PRIu64 " of store %016" PRIx64, path,
                footer->id.number, footer->id.store[0]);
    if (footer->file_size != f->meta.file_size)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: is of %" PRIu64 " bytes, its footer says %" PRIu64,
                path, f->meta.file_size, footer->file_size);
    return FR_OK;
}

static fr_status read_footer(struct fr_value_file *f)
{
    uint8_t bytes[FR_VALUE_FOOTER_SIZE];
    struct fr_value_footer footer;
    struct fr_file_info info;
    fr_status st;

    FR_TRY(fr_file_info_get(f->file, &info));
    if (info.size < FR_VALUE_HEADER_SIZE + sizeof(bytes))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: %" PRIu64 " bytes are too few for a value file",
                fr_file_path(f->file), info.size);
    f->meta.file_size = info.size;
    f->data_end = info.size - sizeof(bytes);
    FR_TRY(fr_file_read_exact(f->file, f->data_end, bytes, sizeof(bytes)));
    FR_TRY(fr_value_footer_decode(bytes, fr_file_path(f->file), f->data_end, &footer));
    FR_TRY(check_footer(f, &footer));
    f->meta.hash = footer.hash;
    f->meta.count = footer.count;
    f->meta.bytes = footer.bytes;
out:
    return st;
}

fr_status fr_value_file_open(struct fr_dir *dir, const struct fr_file_id *id,
        struct fr_value_file **ret_file)
{
    return fr_value_file_open_with(dir, id, 0, ret_file);
}

bool fr_value_file_is_direct(const struct fr_value_file *f)
{
    return fr_file_is_direct(f->file);
}

fr_status fr_value_file_open_with(struct fr_dir *dir, const struct fr_file_id *id, unsigned flags,
        struct fr_value_file **ret_file)
{
    struct fr_value_file *f = FR_NEW(struct fr_value_file);
    char name[FR_FILE_NAME_SIZE];
    fr_status st;

    if (f == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to open a value file");
    f->meta.id = *id;
    f->seed = fr_file_id_seed(id);
    atomic_init(&f->refs, 1);
    fr_file_name_format(FR_FILE_VALUES, id->number, name);
    FR_TRY(fr_file_open(dir, name, flags, &f->file));
    if (fr_file_is_direct(f->file)) fr_file_advise(f->file, 0, 0, FR_ADVICE_DONT_NEED);
    FR_TRY(read_footer(f));
    *ret_file = FR_TAKE(f);
out:
    fr_value_file_unref(f);
    return st;
}

struct fr_value_file *fr_value_file_ref(struct fr_value_file *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void fr_value_file_unref(struct fr_value_file *f)
{
    if (f == NULL || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return;
    fr_file_close(f->file);
    fr_unpacker_deinit(&f->unpacker);
    fr_free(f);
}

const struct fr_value_meta *fr_value_file_meta(const struct fr_value_file *f)
{
    return &f->meta;
}

/* ---- Records ---- */

static fr_status unpack_record(struct fr_value_file *f, uint64_t offset,
        const struct fr_value_stored *record, struct fr_buf *memory, fr_slice *ret_value)
{
    uint8_t *to;
    fr_status st;

    if (record->compression == FR_CODEC_NONE) {
        *ret_value = record->stored;
        return FR_OK;
    }
    fr_buf_clear(memory);
    to = fr_buf_extend(memory, record->size);
    if (to == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a value", fr_file_path(f->file));
    FR_TRY(fr_unpack(&f->unpacker, record->stored, false, to, record->size, fr_file_path(f->file),
            offset));
    *ret_value = fr_slice_of(to, record->size);
out:
    return st;
}

static fr_status bad_record(const struct fr_value_file *f, uint64_t offset, const char *why)
{
    return FR_FAIL(FR_ERR_CORRUPT, "%s: the record at %" PRIu64 " %s", fr_file_path(f->file),
            offset, why);
}

static fr_status take_record(struct fr_value_file *f, const struct fr_place *place, fr_slice key,
        fr_seq seq, fr_slice bytes, struct fr_buf *memory, fr_slice *ret_value)
{
    struct fr_value_stored record;
    const char *why = fr_value_stored_read(f->seed, place->offset, bytes, &record);

    if (why == NULL && !fr_slice_equal(record.key, key)) why = "belongs to another key";
    if (why == NULL && seq != 0 && record.seq != seq) why = "belongs to another entry of the key";
    if (why == NULL && record.size != place->size) why = "is of another size than its place says";
    if (why != NULL) return bad_record(f, place->offset, why);
    return unpack_record(f, place->offset, &record, memory, ret_value);
}

fr_status fr_value_take(struct fr_value_file *f, const struct fr_place *place, fr_slice key,
        fr_seq seq, fr_slice bytes, struct fr_buf *memory, fr_slice *ret_value)
{
    return take_record(f, place, key, seq, bytes, memory, ret_value);
}

struct fr_file *fr_value_file_bytes(const struct fr_value_file *f)
{
    return f->file;
}

size_t fr_value_request_size(const struct fr_value_file *f, const struct fr_place *place,
        fr_slice key)
{
    uint64_t most, left;

    if (place->file != f->meta.id.number || place->size > FR_VALUE_SIZE_MAX) return 0;
    if (place->offset < FR_VALUE_HEADER_SIZE || place->offset >= f->data_end) return 0;
    most = FR_VALUE_RECORD_SIZE + (uint64_t)key.size + place->size;
    left = f->data_end - place->offset;
    return (size_t)FR_MIN(most, left);
}

void fr_value_request(const struct fr_value_file *f, const struct fr_place *place, size_t size,
        void *buffer, struct fr_io_request *ret_request)
{
    *ret_request = (struct fr_io_request){.op = FR_IO_READ,
            .file = f->file,
            .data = buffer,
            .size = size,
            .offset = place->offset};
}

fr_status fr_value_accept(struct fr_value_file *f, const struct fr_place *place, fr_slice key,
        fr_seq seq, const struct fr_io_request *request, struct fr_buf *memory, fr_slice *ret_value)
{
    fr_status st;

    FR_ASSERT(request->offset == place->offset);
    FR_TRY(fr_io_request_check_exact(request));
    FR_TRY(take_record(f, place, key, seq, fr_slice_of(request->data, request->size), memory,
            ret_value));
out:
    return st;
}

fr_status fr_value_read(struct fr_value_file *f, const struct fr_place *place, fr_slice key,
        fr_seq seq, struct fr_buf *ret_value)
{
    size_t size = fr_value_request_size(f, place, key);
    struct fr_buf memory = FR_BUF_EMPTY;
    fr_slice value;
    uint8_t *bytes;
    fr_status st;

    if (size == 0) return bad_record(f, place->offset, "is not in the file");
    bytes = fr_alloc(size);
    if (bytes == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a value", fr_file_path(f->file));
    FR_TRY(fr_file_read_exact(f->file, place->offset, bytes, size));
    FR_TRY(take_record(f, place, key, seq, fr_slice_of(bytes, size), &memory, &value));
    fr_buf_clear(ret_value);
    fr_buf_append(ret_value, value.data, value.size);
    FR_TRY(fr_buf_status(ret_value));
out:
    fr_free(bytes);
    fr_buf_deinit(&memory);
    return st;
}

/* ---- Records in the cache ---- */

/* What a value may take to be kept in the cache: beyond it, reading costs more than finding. */
#define KEPT_VALUE_MAX ((size_t)64 << 10)

static void destroy_record(struct fr_cache_item *item)
{
    fr_free(FR_CONTAINER_OF(item, struct fr_value_record, item));
}

static struct fr_value_record *new_record(const struct fr_value_file *f, uint64_t offset,
        size_t size)
{
    struct fr_value_record *record = fr_alloc(sizeof(*record) + size);

    if (record == NULL) return NULL;
    record->item = (struct fr_cache_item){.destroy = destroy_record,
            .file = f->meta.id.number,
            .offset = offset,
            .charge = sizeof(*record) + size};
    record->room = size;
    return record;
}

void fr_value_record_free(struct fr_value_record *record)
{
    fr_free(record);
}

fr_slice fr_value_record_value(const struct fr_value_record *record)
{
    size_t key_size = fr_get_u16(record->bytes + 12);

    return fr_slice_of(record->bytes + FR_VALUE_RECORD_SIZE + key_size,
            fr_get_u32(record->bytes + 8));
}

struct fr_spot fr_value_record_spot(const struct fr_value_record *record)
{
    /* One that was unpacked has the head with which it is stored. */
    if (record->bytes[14] != FR_CODEC_NONE) return (struct fr_spot){0};
    return (struct fr_spot){.file = record->item.file,
            .offset = record->item.offset + FR_VALUE_RECORD_SIZE + fr_get_u16(record->bytes + 12)};
}

void fr_value_record_prefetch(const struct fr_value_file *f, const struct fr_cache *cache,
        const struct fr_place *place, size_t lines)
{
    if (lines == 0)
        fr_cache_prefetch(cache, f->meta.id.number, place->offset);
    else
        fr_cache_prefetch_item(cache, f->meta.id.number, place->offset, lines);
}

/* A record that was checked when it came in: is it the one that this entry means? */
static const char *check_owner(const struct fr_value_record *record, const struct fr_place *place,
        fr_slice key, fr_seq seq)
{
    const uint8_t *bytes = record->bytes;
    fr_slice own = fr_slice_of(bytes + FR_VALUE_RECORD_SIZE, fr_get_u16(bytes + 12));

    if (!fr_slice_equal(own, key)) return "belongs to another key";
    if (seq != 0 && fr_get_u64(bytes + 16) != seq) return "belongs to another entry of the key";
    if (fr_get_u32(bytes + 8) != place->size) return "is of another size than its place says";
    return NULL;
}

fr_status fr_value_record_cached(const struct fr_value_file *f, struct fr_cache *cache,
        const struct fr_place *place, fr_slice key, fr_seq seq, struct fr_value_record **ret_record)
{
    struct fr_cache_item *item = fr_cache_lookup(cache, f->meta.id.number, place->offset);

    if (item == NULL) return FR_NOT_FOUND;
    struct fr_value_record *record = FR_CONTAINER_OF(item, struct fr_value_record, item);
    const char *why = check_owner(record, place, key, seq);
    if (why != NULL) {
        fr_cache_release(cache, item);
        return bad_record(f, place->offset, why);
    }
    *ret_record = record;
    return FR_OK;
}

fr_status fr_value_record_new(const struct fr_value_file *f, const struct fr_place *place,
        fr_slice key, struct fr_value_record **ret_record, struct fr_io_request *ret_request)
{
    size_t size = fr_value_request_size(f, place, key);

    if (size < FR_VALUE_RECORD_SIZE + key.size)
        return bad_record(f, place->offset, "is not in the file");
    struct fr_value_record *record = new_record(f, place->offset, size);
    if (record == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a value", fr_file_path(f->file));
    fr_value_request(f, place, size, record->bytes, ret_request);
    *ret_record = record;
    return FR_OK;
}

/* A compressed record becomes one of its own size: the same head and key, the value unpacked. */
static fr_status unpack_whole(struct fr_value_file *f, const struct fr_place *place, fr_slice key,
        fr_slice value, struct fr_value_record **record)
{
    size_t head = FR_VALUE_RECORD_SIZE + key.size;
    struct fr_value_record *whole = new_record(f, place->offset, head + value.size);

    if (whole == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory for a value", fr_file_path(f->file));
    memcpy(whole->bytes, (*record)->bytes, head);
    memcpy(whole->bytes + head, value.data, value.size);
    fr_free(*record);
    *record = whole;
    return FR_OK;
}

fr_status fr_value_record_accept(struct fr_value_file *f, struct fr_cache *cache,
        const struct fr_place *place, fr_slice key, fr_seq seq, const struct fr_io_request *request,
        struct fr_value_record **record)
{
    struct fr_buf memory = FR_BUF_EMPTY;
    struct fr_cache_item *item;
    fr_slice value;
    fr_status st;

    FR_ASSERT(request->data == (*record)->bytes);
    FR_TRY(fr_value_accept(f, place, key, seq, request, &memory, &value));
    if (value.data != (*record)->bytes + FR_VALUE_RECORD_SIZE + key.size)
        FR_TRY(unpack_whole(f, place, key, value, record));
    bool wanted = value.size <= KEPT_VALUE_MAX &&
                  fr_cache_wants(cache, f->meta.id.number, place->offset, (*record)->item.charge);
    /* Until then it was its reader's own. */
    if (wanted) fr_alloc_charge(*record, fr_cache_charge(cache));
    item = fr_cache_insert(wanted ? cache : NULL, &(*record)->item, true);
    *record = FR_CONTAINER_OF(item, struct fr_value_record, item);
out:
    fr_buf_deinit(&memory);
    if (st < 0) fr_free(FR_TAKE(*record));
    return st;
}

/* ---- Scanning ---- */

#define SCAN_CHUNK ((size_t)256 << 10)

struct fr_value_scan {
    struct fr_value_file *file;
    uint8_t *bytes; /* of the file, from offset on */
    size_t capacity;
    size_t size;
    uint64_t offset;
    uint64_t next; /* the record to read */
    struct fr_buf memory;
    fr_status status;

    /* For who checks: a hash of all that has been read, without a gap from the front on. */
    bool hashing;
    uint64_t hashed;
    struct fr_hash128_state hash;
    struct fr_rate_limiter *limiter;
};

fr_status fr_value_scan_open(struct fr_value_file *file, struct fr_value_scan **ret_scan)
{
    struct fr_value_scan *scan = FR_NEW(struct fr_value_scan);

    if (scan == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to scan a value file");
    scan->file = fr_value_file_ref(file);
    scan->next = scan->hashed = FR_VALUE_HEADER_SIZE;
    fr_hash128_init(&scan->hash);
    *ret_scan = scan;
    return FR_OK;
}

void fr_value_scan_close(struct fr_value_scan *scan)
{
    if (scan == NULL) return;
    fr_value_file_unref(scan->file);
    fr_free(scan->bytes);
    fr_buf_deinit(&scan->memory);
    fr_free(scan);
}

static fr_status read_piece(struct fr_value_scan *scan, uint64_t at, uint8_t *to, size_t size)
{
    fr_status st = FR_OK;

    while (size > 0) {
        size_t piece = fr_rate_limiter_take(scan->limiter, size, false);
        FR_TRY(fr_file_read_exact(scan->file->file, at, to, piece));
        at += piece;
        to += piece;
        size -= piece;
    }
out:
    return st;
}

/* What a piece has that the one before had not. */
static void hash_new(struct fr_value_scan *scan)
{
    uint64_t end = scan->offset + scan->size;

    if (!scan->hashing || scan->hashed < scan->offset || scan->hashed >= end) return;
    fr_hash128_add(&scan->hash, scan->bytes + (scan->hashed - scan->offset),
            (size_t)(end - scan->hashed));
    scan->hashed = end;
}

/* Have size bytes from next on, which the file has. */
static fr_status have(struct fr_value_scan *scan, uint64_t size)
{
    uint64_t left = scan->file->data_end - scan->next;
    uint64_t wanted = FR_MAX(size, (uint64_t)SCAN_CHUNK);
    fr_status st;

    if (scan->bytes != NULL && scan->next >= scan->offset &&
            scan->next + size <= scan->offset + scan->size)
        return FR_OK;
    if (wanted > left) wanted = left;
    if (wanted > scan->capacity) {
        uint8_t *bytes = fr_realloc(scan->bytes, (size_t)wanted);

        if (bytes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to scan a value file");
        scan->bytes = bytes;
        scan->capacity = (size_t)wanted;
    }
    scan->size = 0;
    FR_TRY(read_piece(scan, scan->next, scan->bytes, (size_t)wanted));
    scan->offset = scan->next;
    scan->size = (size_t)wanted;
    hash_new(scan);
out:
    return st;
}

static const uint8_t *scan_at(const struct fr_value_scan *scan)
{
    return scan->bytes + (scan->next - scan->offset);
}

static fr_status scan_record(struct fr_value_scan *scan, struct fr_value_item *ret_item)
{
    struct fr_value_file *f = scan->file;
    uint64_t left = f->data_end - scan->next, whole;
    struct fr_value_stored record;
    const char *why;
    fr_status st;

    if (left == 0) return FR_END;
    if (left < FR_VALUE_RECORD_SIZE) return bad_record(f, scan->next, "runs over its end");
    FR_TRY(have(scan, FR_VALUE_RECORD_SIZE));
    whole = FR_VALUE_RECORD_SIZE + (uint64_t)fr_get_u32(scan_at(scan) + 4) +
            fr_get_u16(scan_at(scan) + 12);
    if (whole > left) return bad_record(f, scan->next, "runs over its end");
    FR_TRY(have(scan, whole));
    why = fr_value_stored_read(f->seed, scan->next, fr_slice_of(scan_at(scan), (size_t)whole),
            &record);
    if (why != NULL) return bad_record(f, scan->next, why);
    FR_TRY(unpack_record(f, scan->next, &record, &scan->memory, &ret_item->value));
    ret_item->key = record.key;
    ret_item->seq = record.seq;
    ret_item->place =
            (struct fr_place){.file = f->meta.id.number, .offset = scan->next, .size = record.size};
    scan->next += whole;
out:
    return st;
}

fr_status fr_value_scan_next(struct fr_value_scan *scan, struct fr_value_item *ret_item)
{
    struct fr_value_item item = {0};

    if (scan->status != FR_OK) return scan->status;
    scan->status = scan_record(scan, &item);
    if (scan->status == FR_OK) *ret_item = item;
    return scan->status;
}

uint64_t fr_value_scan_offset(const struct fr_value_scan *scan)
{
    return scan->next;
}

/* The size of the record that stands at next, or may; 0: none can. What costs nothing is looked at
 * before memory is taken on its word. */
static uint64_t likely_size(struct fr_value_scan *scan)
{
    uint64_t left = scan->file->data_end - scan->next, whole;

    if (left < FR_VALUE_RECORD_SIZE) return 0;
    scan->status = have(scan, FR_VALUE_RECORD_SIZE);
    if (scan->status < 0) return 0;
    const uint8_t *at = scan_at(scan);
    uint32_t stored = fr_get_u32(at + 4), size = fr_get_u32(at + 8);
    whole = FR_VALUE_RECORD_SIZE + (uint64_t)stored + fr_get_u16(at + 12);
    bool plain = at[14] == FR_CODEC_NONE && stored == size;
    bool likely = (plain || at[14] == FR_CODEC_ZSTD) && at[15] == 0 && fr_get_u16(at + 12) > 0 &&
                  fr_get_u64(at + 16) <= FR_SEQ_MAX && size <= FR_VALUE_SIZE_MAX && whole <= left;
    return likely ? whole : 0;
}

/* An intact record stands at next. A read that fails, or want of memory, is in status. */
static bool is_record(struct fr_value_scan *scan)
{
    uint64_t whole = likely_size(scan);
    struct fr_value_stored record;

    if (whole == 0) return false;
    scan->status = have(scan, whole);
    return scan->status == FR_OK &&
           fr_value_stored_read(scan->file->seed, scan->next,
                   fr_slice_of(scan_at(scan), (size_t)whole), &record) == NULL;
}

fr_status fr_value_scan_skip(struct fr_value_scan *scan)
{
    uint64_t from = scan->next, end = scan->file->data_end;

    if (scan->status != FR_ERR_CORRUPT) return scan->status;
    uint64_t whole = likely_size(scan);
    if (scan->status < 0) return scan->status;
    if (whole > 0) {
        scan->next = from + whole;
        if (is_record(scan)) return FR_OK;
        if (scan->status == FR_OK && scan->next == end) scan->status = FR_END;
        if (scan->status != FR_OK) return scan->status;
    }
    for (scan->next = from + 1; scan->next < end; scan->next++) {
        if (is_record(scan)) return FR_OK;
        if (scan->status < 0) return scan->status;
    }
    return scan->status = FR_END;
}

static fr_status verify_header(const struct fr_value_file *f, const uint8_t *page)
{
    struct fr_file_id id;
    fr_status st;

    FR_TRY(fr_value_header_decode(page, fr_file_path(f->file), &id));
    if (!fr_file_id_equal(&id, &f->meta.id))
        return FR_FAIL(FR_ERR_CORRUPT, "%s: the header at 0 is another file's",
                fr_file_path(f->file));
out:
    return st;
}

/* --- Checking all of a file --- */

struct checking {
    struct fr_value_file *file;
    const struct fr_value_check *check;
    fr_status first;
    bool stop;
    bool damaged; /* sums cannot be compared then */
    uint64_t count;
    uint64_t bytes;
};

static void found(struct checking *c, uint64_t offset, fr_status st)
{
    if (st >= 0) return;
    if (c->first >= 0) c->first = st;
    c->damaged = true;
    if (c->check->finding == NULL || st == FR_ERR_NOMEM ||
            !c->check->finding(c->check->ctx, offset, st))
        c->stop = true;
}

/* The page of the header is the first that is hashed. */
static fr_status check_header(struct fr_value_file *f, struct fr_hash128_state *hash)
{
    uint8_t *page = fr_alloc(FR_VALUE_HEADER_SIZE);
    fr_status st;

    if (page == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to verify it", fr_file_path(f->file));
    FR_TRY(fr_file_read_exact(f->file, 0, page, FR_VALUE_HEADER_SIZE));
    fr_hash128_add(hash, page, FR_VALUE_HEADER_SIZE);
    FR_TRY(verify_header(f, page));
out:
    fr_free(page);
    return st;
}

static void check_records(struct checking *c, struct fr_value_scan *scan)
{
    struct fr_value_item item;
    fr_status st = FR_OK;

    while (!c->stop && st != FR_END) {
        st = fr_value_scan_next(scan, &item);
        if (st == FR_OK) {
            c->count++;
            c->bytes += item.value.size;
            if (c->check->record != NULL && !c->check->record(c->check->ctx, &item)) c->stop = true;
        } else if (st < 0) {
            found(c, scan->next, st);
            if (!c->stop) st = fr_value_scan_skip(scan);
            if (st < 0) c->stop = true;
        }
    }
}

static fr_status check_sums(const struct checking *c, const struct fr_value_scan *scan)
{
    const struct fr_value_file *f = c->file;

    if (c->count != f->meta.count || c->bytes != f->meta.bytes)
        return FR_FAIL(FR_ERR_CORRUPT, "%s: has %" PRIu64 " records, its footer says %" PRIu64,
                fr_file_path(f->file), c->count, f->meta.count);
    if (!fr_hash128_equal(fr_hash128_get(&scan->hash), f->meta.hash))
        return FR_FAIL(FR_ERR_CORRUPT,
                "%s: what is before the footer at %" PRIu64 " does not match its hash",
                fr_file_path(f->file), f->data_end);
    return FR_OK;
}

fr_status fr_value_check(struct fr_value_file *f, const struct fr_value_check *check)
{
    struct checking c = {.file = f, .check = check};
    struct fr_value_scan *scan = NULL;
    fr_status st;

    FR_TRY(fr_value_scan_open(f, &scan));
    FR_ASSERT(scan != NULL);
    scan->hashing = true;
    scan->limiter = check->limiter;
    found(&c, 0, check_header(f, &scan->hash));
    check_records(&c, scan);
    if (!c.stop && !c.damaged) found(&c, f->data_end, check_sums(&c, scan));
    st = c.first;
out:
    fr_value_scan_close(scan);
    return st;
}

fr_status fr_value_verify(struct fr_value_file *f)
{
    static const struct fr_value_check check;

    return fr_value_check(f, &check);
}
