/*
 * block_builder.h - gathers entries and makes a block of them (lsm/block_format.h).
 *
 * Entries are copied and kept as they are until the block is finished, because the common prefix
 * and the smallest sequence number are known only then. One thread at a time.
 */
#ifndef FR_LSM_BLOCK_BUILDER_H
#define FR_LSM_BLOCK_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "lsm/entry.h"

struct fr_block_item {
    size_t key; /* where it is in keys */
    uint64_t expires_us;
    fr_seq seq;
    uint32_t value_size;
    uint16_t key_size;
    uint16_t shared; /* with the key before */
    uint8_t kind;
    uint8_t flags;
};

struct fr_block_builder {
    struct fr_buf items; /* struct fr_block_item */
    struct fr_buf keys;
    struct fr_buf values;
    struct fr_buf out;
    size_t entry_bytes; /* about what the region of entries will take */
    unsigned interval;
    bool with_hash;
};

#define FR_BLOCK_INTERVAL_DEFAULT 8

/* interval: entries per restart, 1..FR_BLOCK_INTERVAL_MAX. Takes no memory yet. */
void fr_block_builder_init(struct fr_block_builder *builder, unsigned interval, bool with_hash);
void fr_block_builder_deinit(struct fr_block_builder *builder);

/* Forget all entries, keep the memory. */
void fr_block_builder_reset(struct fr_block_builder *builder);

/*
 * One more entry, which must stand behind the one before (asserted). Copied. FR_ERR_NOMEM: the
 * builder is good for reset and deinit only. A sequence number of 0 is taken, for separators.
 */
FR_NODISCARD fr_status fr_block_builder_add(struct fr_block_builder *builder,
        const struct fr_entry *entry);

size_t fr_block_builder_count(const struct fr_block_builder *builder);

/* About the size of the block if it were finished now; a few bytes more than it will be. */
size_t fr_block_builder_size_estimate(const struct fr_block_builder *builder);

/* About how much one more entry would add. */
size_t fr_block_builder_size_of(const struct fr_entry *entry);

/* First and last key so far; there must be one. Valid until the next call but queries. */
fr_slice fr_block_builder_first_key(const struct fr_block_builder *builder);
fr_slice fr_block_builder_last_key(const struct fr_block_builder *builder);
fr_seq fr_block_builder_last_seq(const struct fr_block_builder *builder);

/* The block, valid until reset. There must be an entry, and it must not have been finished. */
FR_NODISCARD fr_status fr_block_builder_finish(struct fr_block_builder *builder,
        fr_slice *ret_block);

#endif
