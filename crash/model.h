/*
 * model.h - the oracle: what was written, in order, and what a store may therefore show.
 *
 * A model is the state after some batches. A history is the list of all batches with a hash of the
 * state after each of them; the hash of a state is the sum of the hashes of its slots, so that two
 * ways of reading that see the same in another order agree. A reading is what a store has shown.
 *
 * The rule that all harnesses hold a store to: what is there is the state after exactly one prefix
 * of the history, which reaches at least as far as was acknowledged, and at most as far as was
 * tried.
 */
#ifndef FR_CRASH_MODEL_H
#define FR_CRASH_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "crash/subject.h"

/* A slot's bytes as a number; 0 stands for nothing. */
uint64_t fr_crash_slot_hash(size_t slot, fr_slice bytes);

struct fr_crash_model {
    struct fr_buf bytes[FR_CRASH_SLOTS];
    uint64_t hashes[FR_CRASH_SLOTS]; /* 0: nothing is there */
};

void fr_crash_model_deinit(struct fr_crash_model *model);
FR_NODISCARD fr_status fr_crash_model_apply(struct fr_crash_model *model,
        const struct fr_crash_change *changes, size_t count);
uint64_t fr_crash_model_hash(const struct fr_crash_model *model);

/* ---- histories */

#define FR_CRASH_HISTORY_MAX 1024

/* Batches of which nobody knows whether they are behind the last one: their calls have failed. */
#define FR_CRASH_DOUBTS_MAX 8

/* [n] is after n batches; the batch that leads there has ids[n - 1]. */
struct fr_crash_history {
    size_t count;
    size_t doubt_count;
    uint32_t doubt_ids[FR_CRASH_DOUBTS_MAX]; /* one of them at most is behind count batches */
    uint64_t doubt_hashes[FR_CRASH_DOUBTS_MAX];
    uint32_t ids[FR_CRASH_HISTORY_MAX];
    uint64_t hashes[FR_CRASH_HISTORY_MAX + 1];
    uint64_t progress[FR_CRASH_HISTORY_MAX + 1];
};

/* The first most batches of a history. */
void fr_crash_history_copy(struct fr_crash_history *to, const struct fr_crash_history *from,
        size_t most);

/* ---- readings */

struct fr_crash_reading {
    enum fr_crash_way way;
    uint64_t seen[FR_CRASH_SLOTS]; /* hashes of slots; 0: nothing */
    size_t known_from, known_to;   /* of these slots; the others were not come to */
    size_t next;                   /* where the next one may be: at least, or below */
    bool disordered;
    bool foreign;      /* something that nobody has written */
    const char *wrong; /* something else that cannot be, in words; NULL: nothing. Static */
};

void fr_crash_reading_begin(struct fr_crash_reading *reading, enum fr_crash_way way);

/* A slot holds bytes. Slots come in the order of the way. */
void fr_crash_saw(struct fr_crash_reading *reading, size_t slot, fr_slice bytes);

/* By slot: this one holds nothing. */
void fr_crash_saw_nothing(struct fr_crash_reading *reading, size_t slot);

/* Something that is no slot's. */
void fr_crash_saw_foreign(struct fr_crash_reading *reading);

/* Something else that cannot be, whatever was written. The words are static. */
void fr_crash_saw_wrong(struct fr_crash_reading *reading, const char *words);

/* The reading has come to its end without a failure: all slots are known. */
void fr_crash_reading_end(struct fr_crash_reading *reading);

uint64_t fr_crash_reading_hash(const struct fr_crash_reading *reading);

/* The first slot, of those that are known, which differs from the model; FR_CRASH_SLOTS: none. */
size_t fr_crash_reading_differs(const struct fr_crash_reading *reading,
        const struct fr_crash_model *model);

/* What is wrong with a reading whatever was written, in words; NULL: nothing. Static. */
const char *fr_crash_reading_fault(const struct fr_crash_reading *reading);

#endif
