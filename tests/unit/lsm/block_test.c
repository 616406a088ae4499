#include "tests/unit/lsm/model.h"

#include "base/hash.h"
#include "lsm/block.h"
#include "lsm/block_builder.h"
#include "lsm/block_format.h"

/* The block of a model; the builder owns the bytes. */
static fr_slice build(struct fr_block_builder *builder, const struct model *model,
        unsigned interval)
{
    fr_slice bytes;

    fr_block_builder_init(builder, interval, true);
    for (size_t i = 0; i < model->count; i++)
        cr_assert_eq(fr_block_builder_add(builder, &model->entries[i]), FR_OK);
    size_t estimate = fr_block_builder_size_estimate(builder);
    cr_assert_eq(fr_block_builder_finish(builder, &bytes), FR_OK);
    cr_assert_leq(bytes.size, estimate + estimate / 4 + 64);
    return bytes;
}

static void check_gets(const struct model *model, struct fr_block_iter *it)
{
    for (size_t i = 0; i < model->count; i++) {
        const struct fr_entry *entry = &model->entries[i];
        uint64_t hash = fr_hash64(entry->key);

        for (int k = 0; k < 3; k++) {
            fr_seq seq = entry->seq + (fr_seq)k - 1;
            size_t want = model_seek(model, entry->key, seq);
            bool there =
                    want < model->count && fr_slice_equal(model->entries[want].key, entry->key);
            fr_status st = fr_block_get_first(it, entry->key, hash, seq);

            cr_assert_eq(st, there ? FR_OK : FR_NOT_FOUND);
            if (there) cr_assert(model_entry_equal(&it->iter.entry, &model->entries[want]));
        }
    }
}

static void check_block(enum model_keys keys, size_t count, unsigned interval, uint64_t seed)
{
    struct fr_block_builder builder;
    struct fr_block_iter it;
    struct fr_block block;
    struct model model = {0};

    model_fill(&model, keys, count, 60, seed);
    fr_slice bytes = build(&builder, &model, interval);
    /* Of its exact size, so that a sanitizer sees a byte read too many. */
    uint8_t *exact = fr_alloc(bytes.size);
    memcpy(exact, bytes.data, bytes.size);
    cr_assert_eq(fr_block_open(fr_slice_of(exact, bytes.size), "test", 0, &block), FR_OK, "%s",
            fr_last_error());
    cr_assert_eq(fr_block_verify(&block, "test", 0), FR_OK);
    fr_block_iter_init(&it);
    cr_assert_eq(fr_block_iter_set(&it, &block), FR_OK);
    model_check(&model, &it.iter, seed);
    check_gets(&model, &it);
    fr_iter_close(&it.iter);
    fr_free(exact);
    fr_block_builder_deinit(&builder);
    model_free(&model);
}

Test(block, agrees_with_a_sorted_array)
{
    for (int keys = 0; keys < MODEL_KINDS; keys++)
        for (unsigned interval = 1; interval <= 64; interval *= 4)
            check_block((enum model_keys)keys, 150, interval, (uint64_t)keys * 100 + interval);
}

Test(block, agrees_when_small_or_without_room_for_a_hash)
{
    for (size_t count = 1; count <= 20; count++)
        check_block(MODEL_RANDOM, count, 8, count);
    check_block(MODEL_NUMBERS, 3000, 8, 77);
    check_block(MODEL_VERSIONS, 2000, 8, 78);
}

Test(block, says_quickly_that_a_key_is_not_there)
{
    struct fr_block_builder builder;
    struct fr_block_iter it;
    struct fr_block block;
    struct model model = {0};
    struct fr_rng rng;

    model_fill(&model, MODEL_NUMBERS, 200, 10, 5);
    cr_assert_eq(fr_block_open(build(&builder, &model, 8), "test", 0, &block), FR_OK);
    fr_block_iter_init(&it);
    cr_assert_eq(fr_block_iter_set(&it, &block), FR_OK);
    fr_rng_init(&rng, 9);
    for (int i = 0; i < 5000; i++) {
        uint8_t key[9];

        fr_rng_fill(&rng, key, sizeof(key));
        fr_slice slice = fr_slice_of(key, 1 + fr_rng_below(&rng, 9));
        size_t at = model_seek(&model, slice, FR_SEQ_MAX);
        bool there = at < model.count && fr_slice_equal(model.entries[at].key, slice);
        cr_assert_eq(fr_block_get_first(&it, slice, fr_hash64(slice), FR_SEQ_MAX),
                there ? FR_OK : FR_NOT_FOUND);
    }
    fr_iter_close(&it.iter);
    fr_block_builder_deinit(&builder);
    model_free(&model);
}

/* Blocks carry no checksum of their own: damage must be told or harmless, never a way out. */
static void use_damaged(fr_slice bytes)
{
    struct fr_block_iter it;
    struct fr_block block;
    uint64_t sum = 0;

    if (fr_block_open(bytes, "test", 0, &block) != FR_OK) return;
    fr_block_iter_init(&it);
    if (fr_block_iter_set(&it, &block) == FR_OK) {
        struct fr_buf last = FR_BUF_EMPTY;

        while (fr_iter_next(&it.iter) == FR_OK) {
            cr_assert(fr_slice_compare(fr_buf_slice(&last), it.iter.entry.key) <= 0);
            fr_buf_clear(&last);
            fr_buf_append(&last, it.iter.entry.key.data, it.iter.entry.key.size);
            for (size_t i = 0; i < it.iter.entry.value.size; i++)
                sum += it.iter.entry.value.data[i];
        }
        fr_slice key = fr_slice_of_text("p");
        fr_iter_seek(&it.iter, key, 5);
        sum += (uint64_t)fr_iter_prev(&it.iter);
        sum += (uint64_t)fr_block_get_first(&it, key, fr_hash64(key), sum);
        fr_buf_deinit(&last);
    }
    fr_iter_close(&it.iter);
}

Test(block, survives_each_flipped_byte_and_each_truncation)
{
    struct fr_block_builder builder;
    struct model model = {0};

    model_fill(&model, MODEL_PREFIXED, 40, 20, 3);
    fr_slice bytes = build(&builder, &model, 4);
    uint8_t *copy = fr_alloc(bytes.size);
    for (size_t i = 0; i < bytes.size; i++) {
        static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x10};

        for (size_t k = 0; k < 4; k++) {
            memcpy(copy, bytes.data, bytes.size);
            copy[i] ^= flips[k];
            use_damaged(fr_slice_of(copy, bytes.size));
        }
    }
    memcpy(copy, bytes.data, bytes.size);
    for (size_t size = 0; size < bytes.size; size++) {
        struct fr_block block;

        cr_assert_eq(fr_block_open(fr_slice_of(copy, size), "test", 0, &block), FR_ERR_CORRUPT);
    }
    fr_free(copy);
    fr_block_builder_deinit(&builder);
    model_free(&model);
}

Test(block, a_hash_that_misses_a_key_is_found_by_verify)
{
    struct fr_block_builder builder;
    struct fr_block block;
    struct model model = {0};
    size_t damaged = 0;

    model_fill(&model, MODEL_RANDOM, 50, 5, 8);
    fr_slice bytes = build(&builder, &model, 8);
    cr_assert_eq(fr_block_open(bytes, "test", 0, &block), FR_OK);
    uint8_t *hash = fr_unconst(block.hash);
    for (uint32_t i = 0; i < block.buckets; i++) {
        if (hash[i] >= FR_BLOCK_BUCKET_MANY) continue;
        uint8_t was = hash[i];

        hash[i] = FR_BLOCK_BUCKET_NONE;
        cr_assert_eq(fr_block_verify(&block, "test", 0), FR_ERR_CORRUPT);
        hash[i] = was;
        damaged++;
    }
    cr_assert_gt(damaged, 10);
    fr_block_builder_deinit(&builder);
    model_free(&model);
}
