#include "lsm/batch.h"

#include <inttypes.h>

void fr_batch_deinit(struct fr_batch *batch)
{
    fr_buf_deinit(&batch->bytes);
    *batch = FR_BATCH_EMPTY;
}

void fr_batch_reset(struct fr_batch *batch)
{
    fr_buf_clear(&batch->bytes);
    batch->count = 0;
}

static fr_status check_key(fr_slice key, const char *what)
{
    if (key.size == 0) return FR_FAIL(FR_ERR_MISUSE, "a %s needs at least one byte", what);
    if (key.size > FR_KEY_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a %s of %zu bytes: %d is the most", what, key.size,
                FR_KEY_SIZE_MAX);
    return FR_OK;
}

static fr_status check_value(fr_slice value)
{
    if (value.size > FR_VALUE_SIZE_MAX)
        return FR_FAIL(FR_ERR_LIMIT, "a value of %zu bytes: %zu is the most", value.size,
                FR_VALUE_SIZE_MAX);
    return FR_OK;
}

static fr_status check_room(const struct fr_batch *batch, size_t size)
{
    size_t held = FR_MAX(batch->bytes.size, (size_t)FR_BATCH_HEADER_SIZE);

    if (size > FR_BATCH_SIZE_MAX - FR_MIN(held, FR_BATCH_SIZE_MAX))
        return FR_FAIL(FR_ERR_LIMIT, "a batch of more than %zu bytes", FR_BATCH_SIZE_MAX);
    return FR_OK;
}

/* The header's place is taken with the first record, so an empty batch needs no memory. */
static fr_status reserve(struct fr_batch *batch, size_t size)
{
    size_t header = batch->bytes.size == 0 ? FR_BATCH_HEADER_SIZE : 0;
    fr_status st = fr_buf_reserve(&batch->bytes, header + size);

    if (st != FR_OK) return st;
    if (header > 0) fr_buf_append_zeros(&batch->bytes, header);
    return FR_OK;
}

static fr_status add(struct fr_batch *batch, const struct fr_entry *entry)
{
    size_t size = fr_batch_record_size(entry);
    fr_status st;

    FR_TRY(check_key(entry->key, "key"));
    FR_TRY(check_value(entry->value));
    FR_TRY(check_room(batch, size));
    FR_TRY(reserve(batch, size));
    fr_batch_record_put(fr_buf_extend(&batch->bytes, size), entry);
    batch->count++;
out:
    return st;
}

fr_status fr_batch_add_put(struct fr_batch *batch, fr_slice key, fr_slice value)
{
    return add(batch, &(struct fr_entry){.key = key, .value = value, .kind = FR_KIND_PUT});
}

fr_status fr_batch_add_put_until(struct fr_batch *batch, fr_slice key, fr_slice value,
        uint64_t expires_us)
{
    return add(batch, &(struct fr_entry){.key = key,
                              .value = value,
                              .kind = FR_KIND_PUT,
                              .flags = FR_ENTRY_EXPIRES,
                              .expires_us = expires_us});
}

fr_status fr_batch_add_delete(struct fr_batch *batch, fr_slice key)
{
    return add(batch, &(struct fr_entry){.key = key, .kind = FR_KIND_DELETE});
}

fr_status fr_batch_add_delete_range(struct fr_batch *batch, fr_slice start, fr_slice end)
{
    fr_status st;

    FR_TRY(check_key(start, "start of a range"));
    FR_TRY(check_key(end, "end of a range"));
    if (fr_slice_compare(start, end) >= 0)
        return FR_FAIL(FR_ERR_MISUSE, "a range must end behind its start");
    return add(batch, &(struct fr_entry){.key = start, .value = end, .kind = FR_KIND_DELETE_RANGE});
out:
    return st;
}

fr_status fr_batch_add_append(struct fr_batch *batch, fr_slice key, fr_slice fragment)
{
    return add(batch, &(struct fr_entry){.key = key, .value = fragment, .kind = FR_KIND_APPEND});
}

struct fr_batch_mark fr_batch_mark(const struct fr_batch *batch)
{
    return (struct fr_batch_mark){.size = batch->bytes.size, .count = batch->count};
}

void fr_batch_rollback(struct fr_batch *batch, struct fr_batch_mark mark)
{
    FR_ASSERT(mark.size <= batch->bytes.size);
    FR_ASSERT(mark.count <= batch->count);
    batch->bytes.size = mark.size;
    batch->count = mark.count;
}

fr_status fr_batch_finish(struct fr_batch *batch, fr_slice *ret_bytes)
{
    fr_status st = reserve(batch, 0);
    if (st != FR_OK) return st;

    struct fr_batch_header header = {.count = batch->count, .size = (uint32_t)batch->bytes.size};
    fr_batch_header_put(batch->bytes.data, &header);
    *ret_bytes = fr_buf_slice(&batch->bytes);
    return FR_OK;
}

static fr_status check_header(fr_slice bytes)
{
    if (bytes.size < FR_BATCH_HEADER_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "batch: %zu bytes are less than a header", bytes.size);
    uint32_t stored = fr_get_u32(bytes.data);
    uint32_t found = fr_crc32c_mask(fr_crc32c(0, bytes.data + 4, FR_BATCH_HEADER_SIZE - 4));
    if (stored != found)
        return FR_FAIL(FR_ERR_CORRUPT, "batch: the header's check is %08" PRIx32 ", not %08" PRIx32,
                stored, found);
    return FR_OK;
}

fr_status fr_batch_read(fr_slice bytes, fr_seq first_seq, bool verify,
        struct fr_batch_reader *ret_reader)
{
    struct fr_bytes in = fr_bytes_of(bytes);
    fr_status st = check_header(bytes);
    if (st != FR_OK) return st;

    fr_bytes_skip(&in, 4);
    uint16_t version = fr_bytes_u16(&in), zero = fr_bytes_u16(&in);
    uint32_t count = fr_bytes_u32(&in), size = fr_bytes_u32(&in);
    if (version > FR_BATCH_VERSION)
        return FR_FAIL(FR_ERR_TOO_NEW, "batch: version %u, this library reads up to %d", version,
                FR_BATCH_VERSION);
    if (version != FR_BATCH_VERSION || zero != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "batch: a header with version %u and %u", version, zero);
    if (size != bytes.size)
        return FR_FAIL(FR_ERR_CORRUPT, "batch: %zu bytes where the header says %" PRIu32,
                bytes.size, size);
    if (count > fr_bytes_left(&in) / FR_BATCH_RECORD_SIZE)
        return FR_FAIL(FR_ERR_CORRUPT, "batch: %" PRIu32 " records cannot be in %zu bytes", count,
                bytes.size);
    *ret_reader = (struct fr_batch_reader){
            .in = in, .first_seq = first_seq, .count = count, .verify = verify};
    return FR_OK;
}

/* What is wrong with a record that is whole, or NULL. */
static const char *rule_broken(const struct fr_entry *entry)
{
    if (!fr_entry_kind_known(entry->kind)) return "its kind is unknown";
    if (entry->flags & ~FR_ENTRY_EXPIRES) return "it has flags that a batch does not have";
    if (entry->flags != 0 && entry->kind != FR_KIND_PUT) return "it expires, but is no put";
    if (entry->key.size == 0) return "its key is empty";
    if (entry->value.size > FR_VALUE_SIZE_MAX) return "its value is too large";
    if (entry->kind == FR_KIND_DELETE && entry->value.size > 0) return "a delete with a value";
    if (entry->kind != FR_KIND_DELETE_RANGE) return NULL;
    if (entry->value.size > FR_KEY_SIZE_MAX) return "the end of its range is too large";
    if (fr_slice_compare(entry->key, entry->value) >= 0) return "its range is empty";
    return NULL;
}

static fr_status record_damaged(const struct fr_batch_reader *reader, size_t offset,
        const char *what)
{
    return FR_FAIL(FR_ERR_CORRUPT, "batch: record %" PRIu32 " of %" PRIu32 " at byte %zu: %s",
            reader->index, reader->count, offset, what);
}

static fr_status read_end(struct fr_batch_reader *reader)
{
    if (fr_bytes_done(&reader->in)) return FR_END;
    return FR_FAIL(FR_ERR_CORRUPT, "batch: %zu bytes behind the last of %" PRIu32 " records",
            fr_bytes_left(&reader->in), reader->count);
}

fr_status fr_batch_read_next(struct fr_batch_reader *reader, struct fr_entry *ret_entry)
{
    struct fr_bytes *in = &reader->in;
    struct fr_entry entry = {.seq = reader->first_seq + reader->index};
    const uint8_t *record = in->at;
    size_t offset = fr_bytes_offset(in);

    if (reader->index == reader->count) return read_end(reader);
    uint32_t check = fr_bytes_u32(in);
    entry.kind = fr_bytes_u8(in);
    entry.flags = fr_bytes_u8(in);
    uint16_t key_size = fr_bytes_u16(in);
    uint32_t value_size = fr_bytes_u32(in);
    if (entry.flags & FR_ENTRY_EXPIRES) entry.expires_us = fr_bytes_u64(in);
    entry.key = fr_bytes_take(in, key_size);
    entry.value = fr_bytes_take(in, value_size);
    if (!fr_bytes_ok(in)) return record_damaged(reader, offset, "it runs over the end");
    size_t size = (size_t)(in->at - record);
    if (reader->verify && check != fr_crc32c_mask(fr_crc32c(0, record + 4, size - 4)))
        return record_damaged(reader, offset, "its check does not match");
    const char *broken = rule_broken(&entry);
    if (broken != NULL) return record_damaged(reader, offset, broken);
    reader->check = check;
    reader->index++;
    *ret_entry = entry;
    return FR_OK;
}

bool fr_batch_read_past(struct fr_batch_reader *reader)
{
    if (!fr_bytes_ok(&reader->in) || reader->index == reader->count) return false;
    reader->index++;
    return true;
}

fr_status fr_batch_verify(fr_slice bytes)
{
    struct fr_batch_reader reader;
    struct fr_entry entry;
    fr_status st = fr_batch_read(bytes, 0, true, &reader);

    while (st == FR_OK)
        st = fr_batch_read_next(&reader, &entry);
    return st == FR_END ? FR_OK : st;
}
