/* model.h - a sorted array of entries, and an iterator held against it. */
#ifndef FR_TEST_LSM_MODEL_H
#define FR_TEST_LSM_MODEL_H

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "lsm/iter.h"

struct model {
    struct fr_entry *entries;
    size_t count;
    size_t capacity;
};

enum model_keys {
    MODEL_RANDOM,   /* short and random */
    MODEL_PREFIXED, /* long common prefixes */
    MODEL_VERSIONS, /* few keys, many entries of each */
    MODEL_EXTREME,  /* 1 byte to 64 KiB */
    MODEL_NUMBERS,  /* eight bytes, big-endian */
    MODEL_KINDS
};

/* A sorted model without equal entries; all kinds but DELETE_RANGE, flags, empty values. */
void model_fill(struct model *model, enum model_keys keys, size_t count, size_t value_max,
        uint64_t seed);
void model_add(struct model *model, fr_slice key, fr_seq seq, uint8_t kind, fr_slice value);
void model_sort(struct model *model);
void model_free(struct model *model);

/* The first entry that is not before (key, seq). */
size_t model_seek(const struct model *model, fr_slice key, fr_seq seq);

bool model_entry_equal(const struct fr_entry *a, const struct fr_entry *b);

/* Forward, backward, a seek to every entry and beside it, and a random walk. */
void model_check(const struct model *model, struct fr_iter *it, uint64_t seed);

#endif
