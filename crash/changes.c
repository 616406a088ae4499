#include "crash/changes.h"

#include <stdio.h>

#include "base/rng.h"

/* Mostly short ones, some of a size that goes to value files; half of these can be compressed. */
static fr_slice make_bytes(struct fr_rng *rng, uint8_t *to)
{
    size_t size =
            fr_rng_one_in(rng, 4) ? fr_rng_below(rng, FR_CRASH_BYTES_MAX) : fr_rng_below(rng, 60);
    size_t pattern = fr_rng_one_in(rng, 2) ? 16 : FR_CRASH_BYTES_MAX;

    fr_rng_fill(rng, to, FR_MIN(size, pattern));
    for (size_t i = pattern; i < size; i++)
        to[i] = to[i - pattern];
    return fr_slice_of(to, size);
}

static enum fr_crash_change_kind choose_kind(struct fr_rng *rng)
{
    uint64_t dice = fr_rng_below(rng, 20);

    if (dice < 1) return FR_CRASH_DELETE_RANGE;
    if (dice < 4) return FR_CRASH_DELETE;
    if (dice < 9) return FR_CRASH_APPEND;
    return FR_CRASH_PUT;
}

static void add(struct fr_crash_changes *changes, const struct fr_crash_subject *subject,
        struct fr_rng *rng, enum fr_crash_change_kind kind)
{
    struct fr_crash_change *change = &changes->list[changes->count];
    size_t last = FR_CRASH_SLOT_ID;

    change->slot = fr_rng_below(rng, last);
    change->end = FR_MIN(change->slot + 1 + fr_rng_below(rng, 8), last);
    change->kind = subject->change_kinds & 1u << kind ? kind : FR_CRASH_PUT;
    change->bytes = make_bytes(rng, changes->bytes[changes->count]);
    changes->count++;
}

static void add_id(struct fr_crash_changes *changes)
{
    char *text = (char *)changes->bytes[changes->count];
    int size = snprintf(text, FR_CRASH_BYTES_MAX, "%u", changes->id);

    changes->list[changes->count++] = (struct fr_crash_change){.kind = FR_CRASH_PUT,
            .slot = FR_CRASH_SLOT_ID,
            .bytes = fr_slice_of(text, (size_t)size)};
}

static bool is_delete(const struct fr_crash_change *change)
{
    return change->kind == FR_CRASH_DELETE || change->kind == FR_CRASH_DELETE_RANGE;
}

/* One delete in it makes all of the batch deletes. */
static void unmix(struct fr_crash_changes *changes)
{
    bool deletes = false;

    for (size_t i = 0; i < changes->count; i++)
        deletes |= is_delete(&changes->list[i]);
    for (size_t i = 0; deletes && i < changes->count; i++)
        if (!is_delete(&changes->list[i])) changes->list[i].kind = FR_CRASH_DELETE;
}

/* Each slot above the one before, and room left for the id behind them. */
static void make_ingest(struct fr_crash_changes *changes, struct fr_rng *rng)
{
    size_t slot = fr_rng_below(rng, 8);

    while (slot < FR_CRASH_SLOT_ID && changes->count < FR_CRASH_CHANGES_MAX - 1) {
        struct fr_crash_change *change = &changes->list[changes->count];
        change->slot = slot;
        change->kind = fr_rng_one_in(rng, 4) ? FR_CRASH_DELETE : FR_CRASH_PUT;
        change->bytes = make_bytes(rng, changes->bytes[changes->count]);
        changes->count++;
        slot += 1 + fr_rng_below(rng, 9);
    }
    add_id(changes);
}

void fr_crash_changes_make(const struct fr_crash_subject *subject, uint32_t id,
        struct fr_crash_changes *ret_changes)
{
    struct fr_rng rng;

    fr_rng_init(&rng, id);
    ret_changes->id = id;
    ret_changes->count = 0;
    if (id & FR_CRASH_ID_INGEST) {
        make_ingest(ret_changes, &rng);
        return;
    }
    bool single = id & FR_CRASH_ID_SINGLE;
    uint64_t count = single ? 1 : fr_rng_below(&rng, 5), at = fr_rng_below(&rng, count + 1);
    for (uint64_t i = 0; i <= count; i++) {
        if (i == at) add_id(ret_changes);
        if (i == count) break;
        enum fr_crash_change_kind kind = single ? FR_CRASH_ID_KIND(id) : choose_kind(&rng);
        add(ret_changes, subject, &rng, kind);
    }
    if (subject->unmixed) unmix(ret_changes);
}
