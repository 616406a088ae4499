/*
 * lookup.h - what a point read has found of one key so far, over all the places it has looked in.
 *
 * The sources are asked from the newest to the oldest: memtables, then tables, level by level. Each
 * first says which of its range deletes covers the key, then hands over its entries of the key that
 * are visible, newest first, until it has none or the lookup is complete:
 *
 *     fr_lookup_init(&lookup, key, at, now_us);
 *     for each source, while !fr_lookup_complete(&lookup):
 *         fr_lookup_cover(&lookup, newest range of the source that covers the key up to at, or 0);
 *         for each entry of the key with seq <= at, while !fr_lookup_complete(&lookup):
 *             fr_lookup_add(&lookup, entry, ...);
 *         fr_lookup_source_done(&lookup);
 *     fr_lookup_value(&lookup, ...);
 *
 * An older source has older entries of the key, without exception. So it is of no interest once
 * a PUT or a DELETE was met, or a range covers the key.
 */
#ifndef FR_LSM_LOOKUP_H
#define FR_LSM_LOOKUP_H

#include "base/buf.h"
#include "base/status.h"
#include "lsm/entry.h"

struct fr_env;

/*
 * Bring the value of a PLACED entry: append its bytes to the buffer. From flush and compaction,
 * from iterators and from point reads; the engine knows the value files.
 */
typedef fr_status (*fr_fetch_fn)(void *ctx, const struct fr_entry *entry, struct fr_buf *to);

/* Fragments that fit in the struct; few keys have more at a time, and those pay for memory. */
#define FR_LOOKUP_FRAGMENTS 8

struct fr_lookup_fragment {
    const uint8_t *data; /* NULL: the bytes lie in `copies`, from offset */
    size_t offset;
    size_t size;
};

/* One thread. All fields are for lookup.c, but for `at`, `clock` and `moment_us`. */
struct fr_lookup {
    fr_slice key;
    fr_seq at; /* entries and ranges above are not visible to this reader */
    uint64_t now_us;
    struct fr_env *clock; /* to be asked what time it is once that matters; NULL: it is now_us */
    uint64_t *moment_us;  /* if not NULL: what the clock has said to one that shares it, or 0 */
    fr_seq covered;       /* entries below are deleted */
    bool complete;        /* no older entry can matter */
    bool has_base;        /* `base` is the PUT under the fragments */
    struct fr_entry base; /* with the lookup's key; value as base_bytes says */
    struct fr_lookup_fragment base_bytes;
    struct fr_lookup_fragment inline_fragments[FR_LOOKUP_FRAGMENTS];
    struct fr_lookup_fragment *fragments; /* newest first */
    size_t fragment_count;
    size_t fragment_capacity;
    fr_seq newest;        /* sequence number of the newest entry that counts, or 0 */
    struct fr_buf copies; /* values that would not have stayed */
};

/*
 * A read of the key's state at `at`; now_us says what has expired. The key is borrowed until
 * fr_lookup_deinit. Takes no memory.
 */
void fr_lookup_init(struct fr_lookup *lookup, fr_slice key, fr_seq at, uint64_t now_us);
void fr_lookup_deinit(struct fr_lookup *lookup);

/* A range delete with this sequence number (at most `at`) covers the key; 0 is none. */
void fr_lookup_cover(struct fr_lookup *lookup, fr_seq range_seq);

/*
 * The next older entry of the key. With stays, its value is borrowed and must stay valid until
 * fr_lookup_deinit; otherwise it is copied. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_lookup_add(struct fr_lookup *lookup, const struct fr_entry *entry,
        bool stays);

/* How many values the result is made of so far. */
static inline size_t fr_lookup_parts(const struct fr_lookup *lookup)
{
    return lookup->fragment_count + lookup->has_base;
}

/* This source has no more; the next one is older. */
void fr_lookup_source_done(struct fr_lookup *lookup);

static inline bool fr_lookup_complete(const struct fr_lookup *lookup)
{
    return lookup->complete;
}

/* Whether the result needs a value from a value file: *ret_value is the place then, as stored. */
bool fr_lookup_placed(const struct fr_lookup *lookup, struct fr_entry *ret_base);

/*
 * The value: a single inline one as it lies in its source, without copying; anything else put
 * together at the end of the buffer, which must outlive *ret_value and not change. *ret_seq, if not
 * NULL, is the newest sequence number in it. fetch is called at most once, for a placed base.
 * FR_NOT_FOUND: there is no value. FR_ERR_NOMEM, and what fetch answers: the buffer is unchanged.
 */
FR_NODISCARD fr_status fr_lookup_value(const struct fr_lookup *lookup, fr_fetch_fn fetch,
        void *fetch_ctx, struct fr_buf *buf, fr_slice *ret_value, fr_seq *ret_seq);

#endif
