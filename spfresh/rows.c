#include "spfresh/rows.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"
#include "io/file.h"

/* High bytes of a chunk: a few huge pages, so that few translations serve many rows. */
#define CHUNK_BYTES    ((size_t)4 << 20)
#define CHUNK_BITS_MIN 6
#define CHUNK_BITS_MAX 15
#define HUGE_PAGE      ((size_t)2 << 20)

/* Centroids are few: in huge pages most of them would be empty. */
#define CENTROID_CHUNK_BYTES ((size_t)256 << 10)

static unsigned bits_of_chunks(size_t dims, bool are_centroids)
{
    size_t most = are_centroids ? CENTROID_CHUNK_BYTES : CHUNK_BYTES;
    unsigned bits = CHUNK_BITS_MIN;

    while (bits < CHUNK_BITS_MAX && dims << (bits + 1) <= most)
        bits++;
    return bits;
}

fr_status fr_rows_init(struct fr_rows *rows, size_t dims, bool are_centroids, unsigned chunk_bits,
        fr_charge charge)
{
    *rows = (struct fr_rows){.dims = dims,
            .charge = charge,
            .are_centroids = are_centroids,
            .usual_bits = chunk_bits > 0 ? chunk_bits : bits_of_chunks(dims, are_centroids),
            .chunk_max = FR_ROW_CHUNKS_MAX};
    rows->chunk_bits = rows->usual_bits;
    rows->chunks = fr_alloc_zeroed(FR_ROW_CHUNKS_MAX, sizeof(rows->chunks[0]));
    if (rows->chunks == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the rows of an index");
    return FR_OK;
}

/* What is taken to find a boundary is never touched, and so nobody's memory. */
static size_t untouched(const struct fr_rows *rows)
{
    return rows->are_centroids ? 0 : HUGE_PAGE;
}

static void free_chunk(const struct fr_rows *rows, struct fr_row_chunk *chunk)
{
    if (chunk == NULL) return;
    if (chunk->memory != NULL)
        fr_account_add(rows->charge,
                untouched(rows) + chunk->dropped[FR_CODE_LOW] + chunk->dropped[FR_CODE_HIGH]);
    fr_free(chunk->memory);
    fr_free(chunk->nodes);
    fr_free(chunk);
}

void fr_rows_deinit(struct fr_rows *rows)
{
    for (size_t i = 0; rows->chunks != NULL && i < rows->chunk_max; i++)
        free_chunk(rows, atomic_load_explicit(&rows->chunks[i], memory_order_relaxed));
    fr_free(rows->chunks);
    fr_free(rows->free_slots);
    fr_file_close(rows->file);
    *rows = (struct fr_rows){0};
}

/*
 * One piece of memory for all parts but the nodes: what a search reads of a row lies in huge pages
 * then, from the first byte to the last but few. Even to fetch ahead waits for a translation.
 */
static bool take_parts(const struct fr_rows *rows, struct fr_row_chunk *chunk, size_t count)
{
    size_t high = count * rows->dims, low = count * fr_row_low_size(rows->dims);
    size_t bytes = high + low + count * sizeof(struct fr_row);
    size_t boundary = rows->are_centroids ? 64 : HUGE_PAGE;

    chunk->memory = fr_alloc(bytes + boundary);
    if (chunk->memory == NULL) return false;
    fr_account_take(rows->charge, untouched(rows));
    uintptr_t start = (uintptr_t)chunk->memory;
    uint8_t *parts =
            (uint8_t *)chunk->memory + ((start + boundary - 1) / boundary * boundary - start);
    if (boundary == HUGE_PAGE) fr_alloc_prefer_huge(parts, bytes);
    chunk->high = (int8_t *)parts;
    chunk->low = parts + high;
    chunk->rows = (struct fr_row *)(void *)(parts + high + low);
    memset((void *)chunk->rows, 0, count * sizeof(struct fr_row));
    return true;
}

static struct fr_row_chunk *new_chunk(const struct fr_rows *rows, size_t count)
{
    fr_charge before = fr_account_work_for(rows->charge);
    struct fr_row_chunk *chunk = FR_NEW(struct fr_row_chunk);

    bool good = chunk != NULL && take_parts(rows, chunk, count);
    if (good && rows->are_centroids) {
        chunk->nodes = fr_alloc_zeroed(count, sizeof(chunk->nodes[0]));
        good = chunk->nodes != NULL;
    }
    if (!good) {
        free_chunk(rows, chunk);
        chunk = NULL;
    }
    (void)fr_account_work_for(before);
    return chunk;
}

static fr_status add_chunk(struct fr_rows *rows, size_t index)
{
    size_t count = (size_t)1 << rows->chunk_bits;

    if (index >= rows->chunk_max)
        return FR_FAIL(FR_ERR_FULL, "an index has no room for more than %zu vectors",
                count * rows->chunk_max);
    struct fr_row_chunk *chunk = new_chunk(rows, count);
    if (chunk == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu more rows of an index", count);
    atomic_store_explicit(&rows->chunks[index], chunk, memory_order_release);
    return FR_OK;
}

static fr_slot used_slots(const struct fr_rows *rows)
{
    return atomic_load_explicit(&rows->slot_count, memory_order_relaxed);
}

/* So that giving a slot back never fails. */
static fr_status reserve_free(struct fr_rows *rows)
{
    size_t capacity = rows->free_capacity == 0 ? 1024 : 2 * rows->free_capacity;

    size_t most = rows->in_pieces ? used_slots(rows) >> rows->chunk_bits : used_slots(rows);
    if (rows->free_capacity > most) return FR_OK;
    fr_slot *grown = fr_realloc(rows->free_slots, capacity * sizeof(*grown));
    if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the free slots of an index");
    rows->free_slots = grown;
    rows->free_capacity = capacity;
    return FR_OK;
}

static fr_status new_slot(struct fr_rows *rows, fr_slot *ret_slot)
{
    fr_slot slot = used_slots(rows);
    fr_status st;

    if (slot == FR_SLOT_NONE) return FR_FAIL(FR_ERR_FULL, "an index has no slot left");
    FR_TRY(reserve_free(rows));
    if (fr_rows_offset(rows, slot) == 0) FR_TRY(add_chunk(rows, slot >> rows->chunk_bits));
    atomic_store_explicit(&rows->slot_count, slot + 1, memory_order_release);
    *ret_slot = slot;
out:
    return st;
}

/* It is in use from now on. */
static void use(struct fr_rows *rows, fr_slot slot)
{
    struct fr_row *row = fr_rows_row(rows, slot);
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);
    FR_ASSERT(version % 2 == 0);
    row->node = FR_SLOT_NONE;
    row->place = 0;
    atomic_store_explicit(&row->stamp, FR_ROW_UNBORN, memory_order_relaxed);
    /* Release: whoever finds an entry of this version finds the row that it is of. */
    atomic_store_explicit(&row->version, version + 1, memory_order_release);
    /* Pairs with the acquire fence of a search: who has read what is written from here on knows
     * that the version has changed. */
    atomic_thread_fence(memory_order_release);
    rows->live_count++;
}

fr_status fr_rows_take(struct fr_rows *rows, fr_slot *ret_slot)
{
    fr_slot slot = FR_SLOT_NONE;
    fr_status st = FR_OK;

    if (rows->free_count > 0)
        slot = rows->free_slots[--rows->free_count];
    else
        FR_TRY(new_slot(rows, &slot));
    use(rows, slot);
    *ret_slot = slot;
out:
    return st;
}

fr_status fr_rows_take_at(struct fr_rows *rows, fr_slot slot)
{
    fr_slot made = FR_SLOT_NONE;
    fr_status st = FR_OK;

    FR_ASSERT(slot >= used_slots(rows));
    while (made != slot) {
        FR_TRY(new_slot(rows, &made));
        if (made != slot) rows->free_slots[rows->free_count++] = made;
    }
    use(rows, slot);
out:
    return st;
}

void fr_rows_give(struct fr_rows *rows, fr_slot slot)
{
    struct fr_row *row = fr_rows_row(rows, slot);
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);

    FR_ASSERT(version % 2 == 1);
    FR_ASSERT(rows->live_count > 0);
    rows->live_count--;
    atomic_store_explicit(&row->version, version + 1, memory_order_release);
    if (version + 1 == 0) return; /* this slot's versions are used up */
    FR_ASSERT(rows->free_count < rows->free_capacity);
    rows->free_slots[rows->free_count++] = slot;
}

/* ---- Pieces ---- */

fr_status fr_rows_begin(struct fr_rows *rows, size_t piece_count)
{
    size_t chunk_max = FR_MAX(piece_count, (size_t)FR_ROW_CHUNKS_MAX);
    _Atomic(struct fr_row_chunk *) *chunks = fr_alloc_zeroed(chunk_max, sizeof(chunks[0]));

    FR_ASSERT(rows->live_count == 0);
    FR_ASSERT(!rows->are_centroids);
    FR_ASSERT(rows->cold[FR_CODE_LOW] == 0);
    if (chunks == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the rows of an index");
    for (size_t i = 0; i < rows->chunk_max; i++)
        free_chunk(rows, atomic_load_explicit(&rows->chunks[i], memory_order_relaxed));
    fr_free(rows->chunks);
    fr_free(FR_TAKE(rows->free_slots));
    rows->free_count = rows->free_capacity = rows->piece_bytes = 0;
    rows->chunks = chunks;
    rows->chunk_max = chunk_max;
    rows->in_pieces = piece_count > 0;
    rows->chunk_bits = rows->in_pieces ? FR_ROW_PIECE_BITS : rows->usual_bits;
    atomic_store_explicit(&rows->slot_count, 0, memory_order_relaxed);
    return FR_OK;
}

/* Its rows are in use. */
static struct fr_row_chunk *new_piece(const struct fr_rows *rows, size_t count)
{
    size_t high = count * rows->dims, low = count * fr_row_low_size(rows->dims);
    size_t head = (sizeof(struct fr_row_chunk) + 63) / 64 * 64;
    size_t bytes = head + high + low + count * sizeof(struct fr_row);
    fr_charge before = fr_account_work_for(rows->charge);
    struct fr_row_chunk *piece = fr_alloc_aligned(bytes, 64);
    (void)fr_account_work_for(before);

    if (piece == NULL) return NULL;
    *piece = (struct fr_row_chunk){.high = (int8_t *)piece + head,
            .low = (uint8_t *)piece + head + high,
            .rows = (struct fr_row *)(void *)((uint8_t *)piece + head + high + low),
            .count = count,
            .bytes = bytes};
    memset((void *)piece->rows, 0, count * sizeof(struct fr_row));
    for (size_t i = 0; i < count; i++) {
        piece->rows[i].node = FR_SLOT_NONE;
        atomic_init(&piece->rows[i].stamp, FR_ROW_UNBORN);
        atomic_init(&piece->rows[i].version, 1);
    }
    return piece;
}

/* What is free, or a new one. */
static fr_status take_first_slot(struct fr_rows *rows, fr_slot *ret_first)
{
    fr_slot first = used_slots(rows);
    fr_status st = FR_OK;

    if (rows->free_count > 0) {
        *ret_first = rows->free_slots[--rows->free_count];
        return FR_OK;
    }
    if (first >> rows->chunk_bits >= rows->chunk_max)
        return FR_FAIL(FR_ERR_FULL, "an index has no room for more than %zu pieces of rows",
                rows->chunk_max);
    FR_TRY(reserve_free(rows));
    atomic_store_explicit(&rows->slot_count, first + (fr_slot)FR_ROW_PIECE_MAX,
            memory_order_release);
    *ret_first = first;
out:
    return st;
}

fr_status fr_rows_take_piece(struct fr_rows *rows, size_t count, fr_slot *ret_first)
{
    struct fr_row_chunk *piece = new_piece(rows, count);
    fr_slot first = FR_SLOT_NONE;
    fr_status st;

    FR_ASSERT(rows->in_pieces);
    FR_ASSERT(count <= FR_ROW_PIECE_MAX);
    if (piece == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for %zu rows of an index", count);
    FR_TRY(take_first_slot(rows, &first));
    rows->live_count += count;
    rows->piece_bytes += piece->bytes;
    atomic_store_explicit(&rows->chunks[first >> rows->chunk_bits], FR_TAKE(piece),
            memory_order_release);
    *ret_first = first;
out:
    free_chunk(rows, piece);
    return st;
}

void fr_rows_give_piece(struct fr_rows *rows, fr_slot first)
{
    struct fr_row_chunk *piece = fr_rows_chunk(rows, first);

    FR_ASSERT(rows->in_pieces && fr_rows_offset(rows, first) == 0);
    FR_ASSERT(rows->live_count >= piece->count);
    FR_ASSERT(rows->free_count < rows->free_capacity);
    rows->live_count -= piece->count;
    rows->piece_bytes -= piece->bytes;
    atomic_store_explicit(&rows->chunks[first >> rows->chunk_bits], NULL, memory_order_relaxed);
    rows->free_slots[rows->free_count++] = first;
    free_chunk(rows, piece);
}

size_t fr_rows_bytes(const struct fr_rows *rows)
{
    if (rows->in_pieces)
        return rows->piece_bytes + rows->chunk_max * sizeof(rows->chunks[0]) +
               rows->free_capacity * sizeof(fr_slot);
    size_t count = (size_t)1 << rows->chunk_bits;
    size_t chunk_count = (used_slots(rows) + count - 1) >> rows->chunk_bits;
    size_t row_bytes = rows->dims + fr_row_low_size(rows->dims) + sizeof(struct fr_row);

    /* What lies in front of a chunk's boundary is never touched. */
    return chunk_count * count * row_bytes - rows->dropped_bytes +
           rows->free_capacity * sizeof(fr_slot);
}
