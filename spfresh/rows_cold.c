#include "spfresh/rows_cold.h"

#include "base/alloc.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "io/file.h"
#include "spfresh/rotation.h"

/* What is written and read at once where a whole chunk comes or goes. */
#define RUN_BYTES ((size_t)256 << 10)

fr_status fr_code_room_init(struct fr_code_room *room, size_t dims)
{
    size_t low = fr_row_low_size(dims) + FR_COLD_TAIL;

    room->high = fr_alloc(dims + FR_COLD_TAIL + low);
    if (room->high == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the code of a vector");
    room->low = room->high + dims + FR_COLD_TAIL;
    return FR_OK;
}

void fr_code_room_deinit(struct fr_code_room *room)
{
    fr_free(room->high);
    *room = (struct fr_code_room){0};
}

/* ---- Places ---- */

static size_t part_size(const struct fr_rows *rows, enum fr_code_part part)
{
    return part == FR_CODE_HIGH ? rows->dims : fr_row_low_size(rows->dims);
}

static size_t record_size(const struct fr_rows *rows, enum fr_code_part part)
{
    return part_size(rows, part) + FR_COLD_TAIL;
}

static uint64_t place_of(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot)
{
    uint64_t both = record_size(rows, FR_CODE_LOW) + record_size(rows, FR_CODE_HIGH);
    uint64_t count = (uint64_t)1 << rows->chunk_bits;
    uint64_t start = (slot >> rows->chunk_bits) * count * both;

    if (part == FR_CODE_HIGH) start += count * record_size(rows, FR_CODE_LOW);
    return start + fr_rows_offset(rows, slot) * record_size(rows, part);
}

static uint8_t *in_memory(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot)
{
    return part == FR_CODE_HIGH ? (uint8_t *)fr_rows_high(rows, slot) : fr_rows_low(rows, slot);
}

static uint32_t version_of(const struct fr_rows *rows, fr_slot slot)
{
    return atomic_load_explicit(&fr_rows_row(rows, slot)->version, memory_order_acquire);
}

/* ---- Records ---- */

static uint32_t checksum(fr_slot slot, uint32_t version, const uint8_t *bytes, size_t size)
{
    uint8_t head[8];

    fr_put_u32(head, slot);
    fr_put_u32(head + 4, version);
    return fr_crc32c(fr_crc32c(0, head, sizeof(head)), bytes, size);
}

static void make_record(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot,
        const void *bytes, uint8_t *to)
{
    size_t size = part_size(rows, part);

    memcpy(to, bytes, size);
    fr_put_u32(to + size, checksum(slot, version_of(rows, slot), to, size));
}

static bool is_record(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot,
        uint32_t version, const uint8_t *record)
{
    size_t size = part_size(rows, part);

    return fr_get_u32(record + size) == checksum(slot, version, record, size);
}

static fr_status damaged(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot)
{
    return FR_FAIL(FR_ERR_CORRUPT, "%s, offset %llu: the code of a vector is damaged",
            fr_file_path(rows->file), (unsigned long long)place_of(rows, part, slot));
}

/* ---- Reading ---- */

/* The version is looked at after the bytes, as in memory: see is_alive in probe.c. */
static fr_status check_wish(const struct fr_rows *rows, enum fr_code_part part,
        struct fr_cold_wish *wish)
{
    wish->is_good = is_record(rows, part, wish->slot, wish->version, wish->to);
    if (wish->is_good || version_of(rows, wish->slot) != wish->version) return FR_OK;
    return damaged(rows, part, wish->slot);
}

/* What the system has in its memory costs a call each; all else is asked for before any is waited
 * for. */
fr_status fr_rows_read(const struct fr_rows *rows, enum fr_code_part part,
        struct fr_cold_wish *wishes, size_t count)
{
    size_t size = record_size(rows, part), missing = 0;
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        uint64_t place = place_of(rows, part, wishes[i].slot);

        wishes[i].is_good = fr_file_read_cached(rows->file, place, wishes[i].to, size);
        if (wishes[i].is_good) continue;
        missing++;
        fr_file_advise(rows->file, place, size, FR_ADVICE_WILL_NEED);
    }
    for (size_t i = 0; missing > 0 && i < count; i++)
        if (!wishes[i].is_good)
            FR_TRY(fr_file_read_exact(rows->file, place_of(rows, part, wishes[i].slot),
                    wishes[i].to, size));
    for (size_t i = 0; i < count; i++)
        FR_TRY(check_wish(rows, part, &wishes[i]));
out:
    return st;
}

/* NULL: its slot is another row's now. */
static fr_status read_part(const struct fr_rows *rows, enum fr_code_part part, fr_slot slot,
        uint8_t *room, const void **ret_bytes)
{
    struct fr_cold_wish wish = {.slot = slot, .version = version_of(rows, slot)};
    fr_status st = FR_OK;

    if (!fr_rows_is_cold(rows, part, slot)) {
        *ret_bytes = in_memory(rows, part, slot);
        return FR_OK;
    }
    wish.to = room;
    FR_TRY(fr_rows_read(rows, part, &wish, 1));
    *ret_bytes = room;
    if (!wish.is_good) st = FR_NOT_FOUND;
out:
    return st;
}

fr_status fr_rows_code(const struct fr_rows *rows, fr_slot slot, const struct fr_code_room *room,
        const int8_t **ret_high, const uint8_t **ret_low)
{
    const void *high, *low;
    fr_status st;

    FR_TRY(read_part(rows, FR_CODE_HIGH, slot, room->high, &high));
    if (st != FR_OK) goto out;
    FR_TRY(read_part(rows, FR_CODE_LOW, slot, room->low, &low));
    *ret_high = high;
    *ret_low = low;
out:
    return st;
}

fr_status fr_rows_read_vector(const struct fr_rows *rows, fr_slot slot,
        const struct fr_code_room *room, float *ret_x)
{
    const int8_t *high;
    const uint8_t *low;
    fr_status st;

    FR_TRY(fr_rows_code(rows, slot, room, &high, &low));
    if (st == FR_OK) fr_row_decode(high, low, fr_rows_row(rows, slot)->scale, rows->dims, ret_x);
out:
    return st;
}

void fr_rows_expect(const struct fr_rows *rows, fr_slot slot)
{
    for (int part = FR_CODE_LOW; part < FR_CODE_PARTS; part++)
        if (fr_rows_is_cold(rows, part, slot))
            fr_file_advise(rows->file, place_of(rows, part, slot), record_size(rows, part),
                    FR_ADVICE_WILL_NEED);
}

/* ---- Writing ---- */

static fr_status put_part(struct fr_rows *rows, enum fr_code_part part, fr_slot slot,
        const void *bytes)
{
    uint8_t record[FR_DIMENSION_MAX + FR_COLD_TAIL];

    if (!fr_rows_is_cold(rows, part, slot)) {
        memcpy(in_memory(rows, part, slot), bytes, part_size(rows, part));
        return FR_OK;
    }
    make_record(rows, part, slot, bytes, record);
    return fr_file_write(rows->file, place_of(rows, part, slot), record, record_size(rows, part),
            0);
}

fr_status fr_rows_put_code(struct fr_rows *rows, fr_slot slot, const int8_t *high,
        const uint8_t *low)
{
    fr_status st;

    FR_TRY(put_part(rows, FR_CODE_HIGH, slot, high));
    st = put_part(rows, FR_CODE_LOW, slot, low);
out:
    return st;
}

/* ---- Whole chunks ---- */

size_t fr_rows_part_bytes(const struct fr_rows *rows, enum fr_code_part part)
{
    return part_size(rows, part) << rows->chunk_bits;
}

/* So many records as are moved at once, and at least one. */
static size_t run_length(const struct fr_rows *rows, enum fr_code_part part)
{
    size_t most = (size_t)1 << rows->chunk_bits;
    size_t count = FR_MIN(RUN_BYTES / record_size(rows, part), most);

    return FR_MAX(count, (size_t)1);
}

static fr_status write_chunk(struct fr_rows *rows, enum fr_code_part part, uint32_t chunk,
        uint8_t *run)
{
    fr_slot first = chunk << rows->chunk_bits, end = (chunk + 1) << rows->chunk_bits;
    size_t size = record_size(rows, part), count = run_length(rows, part);
    fr_status st = FR_OK;

    for (fr_slot slot = first; slot < end; slot += (fr_slot)count) {
        count = FR_MIN(count, (size_t)(end - slot));
        for (size_t i = 0; i < count; i++)
            make_record(rows, part, slot + (fr_slot)i, in_memory(rows, part, slot + (fr_slot)i),
                    run + i * size);
        FR_TRY(fr_file_write(rows->file, place_of(rows, part, slot), run, count * size, 0));
    }
out:
    return st;
}

fr_status fr_rows_cool(struct fr_rows *rows, enum fr_code_part part, uint32_t *ret_chunk)
{
    uint32_t chunk = atomic_load_explicit(&rows->cold[part], memory_order_relaxed);
    fr_slot used = atomic_load_explicit(&rows->slot_count, memory_order_relaxed);
    uint8_t *run = NULL;
    fr_status st;

    if (rows->in_pieces || chunk >= used >> rows->chunk_bits) return FR_END;
    run = fr_alloc(run_length(rows, part) * record_size(rows, part));
    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to write codes to a file");
    FR_TRY(write_chunk(rows, part, chunk, run));
    /* Release: the file has it. Acquire in fr_rows_is_cold. */
    atomic_store_explicit(&rows->cold[part], chunk + 1, memory_order_release);
    *ret_chunk = chunk;
out:
    fr_free(run);
    return st;
}

size_t fr_rows_drop(struct fr_rows *rows, enum fr_code_part part, uint32_t chunk)
{
    fr_slot first = chunk << rows->chunk_bits;
    struct fr_row_chunk *at = fr_rows_chunk(rows, first);

    at->dropped[part] = fr_alloc_drop(in_memory(rows, part, first), fr_rows_part_bytes(rows, part));
    rows->dropped_bytes += at->dropped[part];
    fr_account_take(rows->charge, at->dropped[part]);
    return at->dropped[part];
}

/* Rows that are not in use have no record that would have to be good. */
static fr_status read_chunk(struct fr_rows *rows, enum fr_code_part part, uint32_t chunk,
        uint8_t *run)
{
    fr_slot first = chunk << rows->chunk_bits, end = (chunk + 1) << rows->chunk_bits;
    size_t size = record_size(rows, part), count = run_length(rows, part);
    fr_status st = FR_OK;

    for (fr_slot slot = first; slot < end; slot += (fr_slot)count) {
        count = FR_MIN(count, (size_t)(end - slot));
        FR_TRY(fr_file_read_exact(rows->file, place_of(rows, part, slot), run, count * size));
        for (size_t i = 0; i < count; i++) {
            fr_slot at = slot + (fr_slot)i;
            uint32_t version = version_of(rows, at);

            if (version % 2 == 1 && !is_record(rows, part, at, version, run + i * size))
                return damaged(rows, part, at);
            memcpy(in_memory(rows, part, at), run + i * size, part_size(rows, part));
        }
    }
out:
    return st;
}

fr_status fr_rows_warm(struct fr_rows *rows, enum fr_code_part part)
{
    uint32_t cold = atomic_load_explicit(&rows->cold[part], memory_order_relaxed);
    uint8_t *run = NULL;
    fr_status st;

    if (cold == 0) return FR_END;
    run = fr_alloc(run_length(rows, part) * record_size(rows, part));
    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read codes from a file");
    FR_TRY(read_chunk(rows, part, cold - 1, run));
    struct fr_row_chunk *at = fr_rows_chunk(rows, (cold - 1) << rows->chunk_bits);
    rows->dropped_bytes -= at->dropped[part];
    fr_account_add(rows->charge, at->dropped[part]);
    at->dropped[part] = 0;
    atomic_store_explicit(&rows->cold[part], cold - 1, memory_order_release);
out:
    fr_free(run);
    return st;
}
