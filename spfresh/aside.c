#include "spfresh/aside.h"

#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/status.h"
#include "lsm/engine.h"
#include "spfresh/stored.h"

#define RUN ((size_t)1 << FR_ASIDE_RUN_BITS)

/* ---- Memory ---- */

#define MEMORY_LEAST ((size_t)64 << 10)

struct fr_aside_memory {
    struct fr_aside_memory *next;
    size_t size, taken;
    uint8_t bytes[];
};

static void free_memory(struct fr_aside_memory *memory)
{
    for (struct fr_aside_memory *next; memory != NULL; memory = next) {
        next = memory->next;
        fr_free(memory);
    }
}

void fr_asides_deinit(struct fr_asides *asides)
{
    free_memory(asides->used);
    free_memory(asides->unused);
    for (size_t i = 0; i < asides->run_count; i++)
        fr_free(asides->rows[i]);
    fr_free(asides->rows);
    fr_free(asides->postings);
    fr_free(asides->parts);
    *asides = (struct fr_asides){0};
}

static void give_memory(struct fr_asides *asides)
{
    while (asides->used != NULL) {
        struct fr_aside_memory *memory = asides->used;

        asides->used = memory->next;
        memory->next = asides->unused;
        memory->taken = 0;
        asides->unused = memory;
    }
}

void fr_asides_clear(struct fr_asides *asides)
{
    give_memory(asides);
    asides->posting_count = asides->row_count = asides->failed_count = 0;
}

void fr_asides_end(struct fr_asides *asides)
{
    size_t kept = 0;

    give_memory(asides);
    for (struct fr_aside_memory **at = &asides->unused; *at != NULL; at = &(*at)->next) {
        kept += (*at)->size;
        if (kept <= asides->keep_max) continue;
        free_memory(FR_TAKE(*at));
        return;
    }
}

/* Of those that nobody uses the first one that is large enough, or a new one. */
static struct fr_aside_memory *more_memory(struct fr_asides *asides, size_t size)
{
    struct fr_aside_memory **at = &asides->unused, *memory;

    while (*at != NULL && (*at)->size < size)
        at = &(*at)->next;
    memory = *at;
    if (memory != NULL) {
        *at = memory->next;
        return memory;
    }
    size = FR_MAX(size, MEMORY_LEAST);
    fr_charge before = fr_account_work_for(asides->charge);
    memory = fr_alloc(sizeof(*memory) + size);
    (void)fr_account_work_for(before);
    if (memory != NULL) *memory = (struct fr_aside_memory){.size = size};
    return memory;
}

static uint8_t *take_memory(struct fr_asides *asides, size_t size)
{
    struct fr_aside_memory *memory = asides->used;

    if (memory == NULL || size > memory->size - memory->taken) {
        memory = more_memory(asides, size);
        if (memory == NULL) return NULL;
        memory->next = asides->used;
        asides->used = memory;
    }
    memory->taken += size;
    return memory->bytes + memory->taken - size;
}

/* ---- Setting aside ---- */

static fr_status reserve_posting(struct fr_asides *asides)
{
    size_t capacity = FR_MAX((size_t)64, 2 * asides->posting_capacity);
    struct fr_aside_posting *postings;
    struct fr_engine_part *parts;

    if (asides->posting_count < asides->posting_capacity) return FR_OK;
    postings = fr_realloc(asides->postings, capacity * sizeof(*postings));
    if (postings != NULL) asides->postings = postings;
    parts = fr_realloc(asides->parts, capacity * sizeof(*parts));
    if (parts != NULL) asides->parts = parts;
    if (postings == NULL || parts == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
    asides->posting_capacity = capacity;
    return FR_OK;
}

static fr_status reserve_rows(struct fr_asides *asides, size_t count)
{
    while (asides->row_count + count > asides->run_count * RUN) {
        struct fr_aside_row *run;

        if (asides->run_count == asides->run_capacity) {
            size_t capacity = FR_MAX((size_t)16, 2 * asides->run_capacity);
            struct fr_aside_row **rows =
                    fr_realloc(asides->rows, capacity * sizeof(struct fr_aside_row *));

            if (rows == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
            asides->rows = rows;
            asides->run_capacity = capacity;
        }
        run = fr_alloc(RUN * sizeof(*run));
        if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
        asides->rows[asides->run_count++] = run;
    }
    return FR_OK;
}

fr_status fr_asides_add(struct fr_asides *asides, const struct fr_node *node,
        const uint32_t *places, size_t count, const struct fr_node_entry **ret_entries)
{
    fr_status st;

    FR_TRY(reserve_posting(asides));
    FR_TRY(reserve_rows(asides, count));
    for (size_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)asides->row_count++;
        struct fr_aside_row *row = fr_asides_row(asides, number);

        *row = (struct fr_aside_row){.entry = {.slot = FR_SLOT_NONE},
                .number = number,
                .posting = (uint32_t)asides->posting_count,
                .place = places[i]};
        ret_entries[i] = &row->entry;
    }
    asides->postings[asides->posting_count++] = (struct fr_aside_posting){.node = node,
            .number = node->number,
            .count = atomic_load_explicit(&node->count, memory_order_relaxed),
            .state = FR_ASIDE_WANTED};
out:
    return st;
}

/* ---- Reading ---- */

/* Postings whose rows are wanted for the first time. */
static size_t begin_reading(struct fr_asides *asides, const struct fr_node_entry *const *wanted,
        size_t first)
{
    size_t count = 0;

    for (size_t i = 0; i < first; i++) {
        if (!fr_entry_is_aside(wanted[i])) continue;
        struct fr_aside_posting *posting = &asides->postings[fr_aside_of(wanted[i])->posting];

        if (posting->state != FR_ASIDE_WANTED) continue;
        posting->state = FR_ASIDE_READING;
        posting->first = UINT32_MAX;
        count++;
    }
    return count;
}

/* What is wanted of them may become less, but never more. */
static void find_spans(struct fr_asides *asides, const struct fr_node_entry *const *wanted,
        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!fr_entry_is_aside(wanted[i])) continue;
        const struct fr_aside_row *row = fr_aside_of(wanted[i]);
        struct fr_aside_posting *posting = &asides->postings[row->posting];

        if (posting->state != FR_ASIDE_READING) continue;
        posting->first = FR_MIN(posting->first, row->place);
        posting->end = FR_MAX(posting->end, row->place + 1);
    }
}

static fr_status read_spans(struct fr_asides *asides, size_t row_size)
{
    struct fr_engine_part *parts = asides->parts;
    size_t count = 0;
    fr_status st;

    for (size_t i = 0; i < asides->posting_count; i++) {
        struct fr_aside_posting *posting = &asides->postings[i];

        if (posting->state != FR_ASIDE_READING) continue;
        size_t size = (posting->end - posting->first) * row_size;
        posting->bytes = take_memory(asides, size);
        if (posting->bytes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
        parts[count] = (struct fr_engine_part){
                .spot = posting->node->spot, .size = size, .to = posting->bytes};
        if (parts[count].spot.file == FR_ASIDE_SCRATCH) parts[count].file = asides->scratch;
        parts[count++].spot.offset += posting->first * row_size;
    }
    FR_TRY(fr_engine_read_parts(asides->engine, asides->view, count, parts));
    count = 0;
    for (size_t i = 0; i < asides->posting_count; i++) {
        struct fr_aside_posting *posting = &asides->postings[i];

        if (posting->state != FR_ASIDE_READING) continue;
        posting->state = parts[count++].status == FR_OK ? FR_ASIDE_READ : FR_ASIDE_FAILED;
    }
out:
    return st;
}

/* false: it is not what was written. */
static bool take_row(const struct fr_aside_posting *posting, struct fr_aside_row *row, size_t dims,
        size_t row_size)
{
    FR_ASSERT(row->place >= posting->first && row->place < posting->end);
    struct fr_bytes in =
            fr_bytes_of(fr_slice_of(posting->bytes + (row->place - posting->first) * row_size,
                    row_size));
    struct fr_stored_record record;

    if (fr_stored_read_record(&in, dims, posting->number, &record) != FR_OK || !record.came)
        return false;
    row->entry.scale = record.scale;
    row->high = record.high;
    row->low = record.low;
    row->id = record.id;
    return true;
}

fr_status fr_asides_read(struct fr_asides *asides, size_t dims,
        const struct fr_node_entry *const *wanted, size_t count, size_t first, size_t chosen)
{
    size_t row_size = fr_stored_came_size(dims);
    fr_status st = FR_OK;

    if (begin_reading(asides, wanted, first) > 0) {
        find_spans(asides, wanted, count);
        FR_TRY(read_spans(asides, row_size));
    }
    for (size_t i = 0; i < chosen; i++) {
        if (!fr_entry_is_aside(wanted[i])) continue;
        struct fr_aside_row *row = fr_aside_of(wanted[i]);
        struct fr_aside_posting *posting = &asides->postings[row->posting];

        if (posting->state == FR_ASIDE_READ && !take_row(posting, row, dims, row_size))
            posting->state = FR_ASIDE_FAILED;
    }
    for (size_t i = 0; i < asides->posting_count; i++)
        asides->failed_count += asides->postings[i].state == FR_ASIDE_FAILED;
    if (asides->failed_count > 0) FR_COVER("index: rows cannot be read by themselves");
out:
    return st;
}
