/*
 * fuzz_block.c - blocks from anywhere: refused, or walked in order, both ways, without leaving
 * them.
 *
 * A block has no checksum of its own, so a plain fuzzer gets in. What opens must have as many
 * entries as it says, strictly in order, the same ones back as forth, and each must be found by a
 * seek.
 */
#include "base/buf.h"
#include "base/hash.h"
#include "fuzz/fuzz.h"
#include "lsm/block.h"

static uint64_t walk(struct fr_block_iter *it, const struct fr_block *block)
{
    struct fr_buf last = FR_BUF_EMPTY;
    fr_seq last_seq = 0;
    uint32_t count = 0;
    uint64_t sum = 0;

    while (fr_iter_next(&it->iter) == FR_OK) {
        const struct fr_entry *entry = &it->iter.entry;

        if (count++ > 0)
            FUZZ_CHECK(fr_entry_compare(fr_buf_slice(&last), last_seq, entry->key, entry->seq) < 0);
        fr_buf_clear(&last);
        fr_buf_append(&last, entry->key.data, entry->key.size);
        last_seq = entry->seq;
        for (size_t i = 0; i < entry->value.size; i++)
            sum += entry->value.data[i];
    }
    FUZZ_CHECK(count == block->count);
    fr_buf_deinit(&last);
    return sum;
}

static void look_up(struct fr_block_iter *walk, struct fr_block_iter *seek, uint32_t count)
{
    uint32_t seen = 0;

    while (fr_iter_prev(&walk->iter) == FR_OK) {
        const struct fr_entry *entry = &walk->iter.entry;

        seen++;
        fr_iter_seek(&seek->iter, entry->key, entry->seq);
        FUZZ_CHECK(fr_iter_next(&seek->iter) == FR_OK);
        FUZZ_CHECK(fr_slice_equal(seek->iter.entry.key, entry->key));
        FUZZ_CHECK(seek->iter.entry.seq == entry->seq);
        FUZZ_CHECK(seek->iter.entry.value.data == entry->value.data);
        if (fr_block_get_first(seek, entry->key, fr_hash64(entry->key), entry->seq) == FR_OK)
            FUZZ_CHECK(seek->iter.entry.seq <= entry->seq);
    }
    FUZZ_CHECK(seen == count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fr_block_iter a, b;
    struct fr_block block;

    if (fr_block_open(fr_slice_of(data, size), "fuzz", 0, &block) != FR_OK) return 0;
    fr_block_iter_init(&a);
    fr_block_iter_init(&b);
    if (fr_block_iter_set(&a, &block) == FR_OK && fr_block_iter_set(&b, &block) == FR_OK) {
        (void)walk(&a, &block);
        look_up(&a, &b, block.count);
    }
    fr_status verified = fr_block_verify(&block, "fuzz", 0);
    FUZZ_CHECK(verified == FR_OK || verified == FR_ERR_CORRUPT);
    fr_iter_close(&a.iter);
    fr_iter_close(&b.iter);
    return 0;
}
