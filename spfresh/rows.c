#include "spfresh/rows.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/status.h"

/* High bytes of a chunk: a few huge pages, so that few translations serve many rows. */
#define CHUNK_BYTES    ((size_t)4 << 20)
#define CHUNK_BITS_MIN 6
#define CHUNK_BITS_MAX 15
#define HUGE_PAGE      ((size_t)2 << 20)

fr_status fr_rows_init(struct fr_rows *rows, size_t dims, bool are_centroids, fr_charge charge)
{
    *rows = (struct fr_rows){.dims = dims,
            .charge = charge,
            .are_centroids = are_centroids,
            .chunk_bits = CHUNK_BITS_MIN};
    while (rows->chunk_bits < CHUNK_BITS_MAX && dims << (rows->chunk_bits + 1) <= CHUNK_BYTES)
        rows->chunk_bits++;
    rows->chunks = fr_alloc_zeroed(FR_ROW_CHUNKS_MAX, sizeof(rows->chunks[0]));
    if (rows->chunks == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for the rows of an index");
    return FR_OK;
}

static void free_chunk(struct fr_row_chunk *chunk)
{
    if (chunk == NULL) return;
    fr_free(chunk->memory);
    fr_free(chunk->nodes);
    fr_free(chunk);
}

void fr_rows_deinit(struct fr_rows *rows)
{
    for (size_t i = 0; rows->chunks != NULL && i < FR_ROW_CHUNKS_MAX; i++)
        free_chunk(atomic_load_explicit(&rows->chunks[i], memory_order_relaxed));
    fr_free(rows->chunks);
    fr_free(rows->free_slots);
    *rows = (struct fr_rows){0};
}

/*
 * One piece of memory for all parts but the nodes: what a search reads of a row lies in huge pages
 * then, from the first byte to the last but few. Even to fetch ahead waits for a translation.
 */
static bool take_parts(struct fr_row_chunk *chunk, size_t count, size_t dims)
{
    size_t high = count * dims, low = count * fr_row_low_size(dims);
    size_t rows = count * sizeof(struct fr_row);

    chunk->memory = fr_alloc(high + low + rows + HUGE_PAGE);
    if (chunk->memory == NULL) return false;
    uintptr_t start = (uintptr_t)chunk->memory;
    uint8_t *parts =
            (uint8_t *)chunk->memory + ((start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE - start);
    fr_alloc_prefer_huge(parts, high + low + rows);
    chunk->high = (int8_t *)parts;
    chunk->low = parts + high;
    chunk->rows = (struct fr_row *)(void *)(parts + high + low);
    memset((void *)chunk->rows, 0, rows);
    return true;
}

static struct fr_row_chunk *new_chunk(const struct fr_rows *rows, size_t count)
{
    fr_charge before = fr_account_work_for(rows->charge);
    struct fr_row_chunk *chunk = FR_NEW(struct fr_row_chunk);

    bool good = chunk != NULL && take_parts(chunk, count, rows->dims);
    if (good && rows->are_centroids) {
        chunk->nodes = fr_alloc_zeroed(count, sizeof(chunk->nodes[0]));
        good = chunk->nodes != NULL;
    }
    if (!good) {
        free_chunk(chunk);
        chunk = NULL;
    }
    (void)fr_account_work_for(before);
    return chunk;
}

static fr_status add_chunk(struct fr_rows *rows, size_t index)
{
    size_t count = (size_t)1 << rows->chunk_bits;

    if (index >= FR_ROW_CHUNKS_MAX)
        return FR_FAIL(FR_ERR_FULL, "an index has no room for more than %zu vectors",
                count * FR_ROW_CHUNKS_MAX);
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

    if (rows->free_capacity > used_slots(rows)) return FR_OK;
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

size_t fr_rows_bytes(const struct fr_rows *rows)
{
    size_t count = (size_t)1 << rows->chunk_bits;
    size_t chunk_count = (used_slots(rows) + count - 1) >> rows->chunk_bits;
    size_t row_bytes = rows->dims + fr_row_low_size(rows->dims) + sizeof(struct fr_row);

    /* What lies in front of a chunk's boundary is never touched. */
    return chunk_count * count * row_bytes + rows->free_capacity * sizeof(fr_slot);
}
