#include "crash/model.h"

#include <string.h>

#include "base/hash.h"
#include "base/rng.h"

uint64_t fr_crash_slot_hash(size_t slot, fr_slice bytes)
{
    uint64_t hash = fr_mix64(fr_hash64(bytes) + slot * 0x9e3779b97f4a7c15u + bytes.size);

    return hash == 0 ? 1 : hash;
}

void fr_crash_model_deinit(struct fr_crash_model *model)
{
    for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
        fr_buf_deinit(&model->bytes[i]);
    memset(model, 0, sizeof(*model));
}

static fr_status apply_one(struct fr_crash_model *model, const struct fr_crash_change *change)
{
    size_t slot = change->slot, end = slot + 1;
    struct fr_buf *bytes = &model->bytes[slot];

    if (change->kind == FR_CRASH_DELETE || change->kind == FR_CRASH_DELETE_RANGE) {
        if (change->kind == FR_CRASH_DELETE_RANGE) end = change->end;
        for (; slot < end; slot++) {
            fr_buf_clear(&model->bytes[slot]);
            model->hashes[slot] = 0;
        }
        return FR_OK;
    }
    if (change->kind == FR_CRASH_PUT) fr_buf_clear(bytes);
    fr_buf_append(bytes, change->bytes.data, change->bytes.size);
    model->hashes[slot] = fr_crash_slot_hash(slot, fr_buf_slice(bytes));
    return fr_buf_status(bytes);
}

fr_status fr_crash_model_apply(struct fr_crash_model *model, const struct fr_crash_change *changes,
        size_t count)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++)
        FR_TRY(apply_one(model, &changes[i]));
out:
    return st;
}

uint64_t fr_crash_model_hash(const struct fr_crash_model *model)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
        hash += model->hashes[i];
    return hash;
}

void fr_crash_history_copy(struct fr_crash_history *to, const struct fr_crash_history *from,
        size_t most)
{
    to->count = FR_MIN(from->count, most);
    to->doubt_count = from->doubt_count;
    memcpy(to->doubt_ids, from->doubt_ids, sizeof(to->doubt_ids));
    memcpy(to->doubt_hashes, from->doubt_hashes, sizeof(to->doubt_hashes));
    memcpy(to->ids, from->ids, most * sizeof(to->ids[0]));
    memcpy(to->hashes, from->hashes, (most + 1) * sizeof(to->hashes[0]));
    memcpy(to->progress, from->progress, (most + 1) * sizeof(to->progress[0]));
}

/* ---- readings */

void fr_crash_reading_begin(struct fr_crash_reading *reading, enum fr_crash_way way)
{
    memset(reading, 0, sizeof(*reading));
    reading->way = way;
    if (way == FR_CRASH_BACKWARDS)
        reading->next = reading->known_from = reading->known_to = FR_CRASH_SLOTS;
}

void fr_crash_saw(struct fr_crash_reading *reading, size_t slot, fr_slice bytes)
{
    bool back = reading->way == FR_CRASH_BACKWARDS;

    if (back ? slot >= reading->next : slot < reading->next) reading->disordered = true;
    reading->seen[slot] = fr_crash_slot_hash(slot, bytes);
    reading->next = back ? slot : slot + 1;
    if (back)
        reading->known_from = slot;
    else
        reading->known_to = slot + 1;
}

void fr_crash_saw_nothing(struct fr_crash_reading *reading, size_t slot)
{
    if (slot < reading->next) reading->disordered = true;
    reading->next = reading->known_to = slot + 1;
}

void fr_crash_saw_foreign(struct fr_crash_reading *reading)
{
    reading->foreign = true;
}

void fr_crash_saw_wrong(struct fr_crash_reading *reading, const char *words)
{
    reading->wrong = words;
}

void fr_crash_reading_end(struct fr_crash_reading *reading)
{
    reading->known_from = 0;
    reading->known_to = FR_CRASH_SLOTS;
}

uint64_t fr_crash_reading_hash(const struct fr_crash_reading *reading)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
        hash += reading->seen[i];
    return hash;
}

size_t fr_crash_reading_differs(const struct fr_crash_reading *reading,
        const struct fr_crash_model *model)
{
    for (size_t i = reading->known_from; i < reading->known_to; i++)
        if (reading->seen[i] != model->hashes[i]) return i;
    return FR_CRASH_SLOTS;
}

const char *fr_crash_reading_fault(const struct fr_crash_reading *reading)
{
    if (reading->wrong != NULL) return reading->wrong;
    if (reading->foreign) return "a key that nobody wrote";
    if (reading->disordered) return "keys out of order, or one of them twice";
    return NULL;
}
