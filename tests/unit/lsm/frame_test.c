/* frame_test.c - what is compressed, and what is not tried. */
#include "lsm/frame.h"

#include "base/rng.h"
#include "tests/unit/io/test_world.h"

#define SIZE 500

static bool is_packed(struct fr_packer *packer, fr_slice raw)
{
    enum fr_codec codec;
    fr_slice stored;

    must(fr_packer_pack(packer, raw, &stored, &codec));
    cr_assert_eq(stored.size < raw.size, codec == FR_CODEC_ZSTD);
    return codec == FR_CODEC_ZSTD;
}

static fr_slice noise(void)
{
    static uint8_t bytes[SIZE];
    static struct fr_rng rng;

    if (bytes[0] == 0) fr_rng_init(&rng, 1);
    fr_rng_fill(&rng, bytes, SIZE);
    return fr_slice_of(bytes, SIZE);
}

static fr_slice words(void)
{
    static uint8_t bytes[SIZE];

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)('a' + i % 7);
    return fr_slice_of(bytes, SIZE);
}

Test(packer, compresses_what_gets_smaller_among_what_does_not)
{
    struct fr_packer packer;

    fr_packer_init(&packer, 1);
    for (int i = 0; i < 100; i++) {
        cr_assert_not(is_packed(&packer, noise()));
        cr_assert(is_packed(&packer, words()), "%d", i);
    }
    fr_packer_deinit(&packer);
}

Test(packer, finds_out_soon_that_it_pays_again)
{
    struct fr_packer packer;
    int until = 0;

    fr_packer_init(&packer, 1);
    for (int i = 0; i < 1000; i++)
        cr_assert_not(is_packed(&packer, noise()));
    while (!is_packed(&packer, words()))
        until++;
    cr_assert_leq(until, 32);
    for (int i = 0; i < 100; i++)
        cr_assert(is_packed(&packer, words()));
    fr_packer_deinit(&packer);
}
