/*
 * filter.h - building and asking filters (lsm/filter_format.h).
 *
 * Filters deal in hashes: fr_hash64 of the user key. "No" is certain, "yes" is wrong in about 1 of
 * 100 cases at 10 bits per key.
 */
#ifndef FR_LSM_FILTER_H
#define FR_LSM_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/coding.h"
#include "base/slice.h"
#include "base/status.h"
#include "lsm/filter_format.h"

#define FR_FILTER_BITS_DEFAULT 10

/* Hashes gathered for a filter: eight bytes a key until it is finished. One thread. */
struct fr_filter_builder {
    struct fr_buf hashes;
    unsigned bits_per_key;
};

/* bits_per_key: 1..FR_FILTER_BITS_MAX. Takes no memory yet. */
void fr_filter_builder_init(struct fr_filter_builder *builder, unsigned bits_per_key);
void fr_filter_builder_deinit(struct fr_filter_builder *builder);

/* A failure for want of memory is told by finish. Equal hashes in a row count once. */
void fr_filter_builder_add(struct fr_filter_builder *builder, uint64_t hash);

/* Bytes that the filter would take. */
size_t fr_filter_builder_size(const struct fr_filter_builder *builder);

/*
 * Append the filter to out, and ask it for every key. FR_ERR_CORRUPT: it has lost one, so this
 * machine's memory or processor cannot be trusted.
 */
FR_NODISCARD fr_status fr_filter_builder_finish(struct fr_filter_builder *builder,
        struct fr_buf *out);

struct fr_filter {
    const uint8_t *lines;
    uint32_t line_count;
    uint32_t probes;
    uint64_t key_count;
};

/*
 * Check the bytes, which must stay as long as the filter is used. path and offset are for words.
 * FR_ERR_CORRUPT, FR_ERR_TOO_NEW.
 */
FR_NODISCARD fr_status fr_filter_open(fr_slice bytes, const char *path, uint64_t offset,
        struct fr_filter *ret_filter);

static inline const uint8_t *fr_filter_line(const struct fr_filter *filter, uint64_t hash)
{
    uint64_t line = ((hash >> 32) * filter->line_count) >> 32;

    return filter->lines + line * FR_FILTER_LINE_SIZE;
}

/* Get the line on its way to the processor, for a question that follows soon. */
static inline void fr_filter_prefetch(const struct fr_filter *filter, uint64_t hash)
{
    __builtin_prefetch(fr_filter_line(filter, hash));
}

/* false: no key of that hash was added. Any thread. */
static inline bool fr_filter_may_contain(const struct fr_filter *filter, uint64_t hash)
{
    const uint8_t *line = fr_filter_line(filter, hash);
    uint32_t h = (uint32_t)hash, all = 1;

    /* To the end, always: where a "no" shows is random, and no processor guesses it. */
    for (uint32_t i = 0; i < filter->probes; i++, h *= FR_FILTER_STEP)
        all &= (uint32_t)line[h >> 26] >> (h >> 23 & 7);
    return all != 0;
}

#endif
