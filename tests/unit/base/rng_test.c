#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/rng.h"

Test(rng, splitmix64_gives_its_published_numbers)
{
    /* The first outputs of splitmix64 from seed 1234567. */
    const uint64_t step = 0x9e3779b97f4a7c15u;

    cr_assert_eq(fr_mix64(1234567), 6457827717110365317u);
    cr_assert_eq(fr_mix64(1234567 + step), 3203168211198807973u);
    cr_assert_eq(fr_mix64(1234567 + 2 * step), 9817491932198370423u);
}

Test(rng, xoshiro256_gives_its_published_numbers)
{
    /* From the state 1, 2, 3, 4. */
    struct fr_rng rng = {.state = {1, 2, 3, 4}};
    const uint64_t expected[] = {11520, 0, 1509978240, 1215971899390074240};

    for (int i = 0; i < 4; i++)
        cr_assert_eq(fr_rng_next(&rng), expected[i]);
}

Test(rng, a_seed_repeats_and_another_differs)
{
    struct fr_rng a, b, c;
    int same = 0;

    fr_rng_init(&a, 1);
    fr_rng_init(&b, 1);
    fr_rng_init(&c, 2);
    for (int i = 0; i < 1000; i++) {
        uint64_t next = fr_rng_next(&a);
        cr_assert_eq(next, fr_rng_next(&b));
        same += next == fr_rng_next(&c);
    }
    cr_assert_eq(same, 0);
}

Test(rng, below_stays_below_and_is_even)
{
    struct fr_rng rng;
    int counts[10] = {0};

    fr_rng_init(&rng, 3);
    for (int i = 0; i < 100000; i++)
        counts[fr_rng_below(&rng, 10)]++;
    /* Ten standard deviations, that is, never by chance. */
    for (int i = 0; i < 10; i++)
        cr_assert(counts[i] > 9000 && counts[i] < 11000, "%d: %d", i, counts[i]);
    cr_assert_eq(fr_rng_below(&rng, 1), 0);
}

Test(rng, between_reaches_both_ends)
{
    struct fr_rng rng;
    bool least = false, most = false;

    fr_rng_init(&rng, 4);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = fr_rng_between(&rng, 5, 8);
        cr_assert(value >= 5 && value <= 8);
        least |= value == 5;
        most |= value == 8;
        cr_assert_eq(fr_rng_between(&rng, 7, 7), 7);
        (void)fr_rng_between(&rng, 0, UINT64_MAX);
        cr_assert_geq(fr_rng_between(&rng, UINT64_MAX - 1, UINT64_MAX), UINT64_MAX - 1);
    }
    cr_assert(least && most);
}

Test(rng, doubles_lie_in_the_half_open_unit)
{
    struct fr_rng rng;
    double sum = 0;

    fr_rng_init(&rng, 5);
    for (int i = 0; i < 100000; i++) {
        double value = fr_rng_double(&rng);
        cr_assert(value >= 0 && value < 1);
        sum += value;
    }
    cr_assert(sum > 49000 && sum < 51000);
}

Test(rng, one_in_n_is_that_often)
{
    struct fr_rng rng;
    int hits = 0;

    fr_rng_init(&rng, 6);
    for (int i = 0; i < 100000; i++)
        hits += fr_rng_one_in(&rng, 100);
    cr_assert(hits > 700 && hits < 1300, "%d", hits);
    cr_assert(fr_rng_one_in(&rng, 1));
}

Test(rng, filling_writes_exactly_the_size_and_does_not_depend_on_it)
{
    uint8_t whole[64];
    struct fr_rng rng;

    fr_rng_init(&rng, 7);
    fr_rng_fill(&rng, whole, sizeof(whole));
    for (size_t size = 0; size <= 64; size++) {
        uint8_t *memory = fr_alloc(size + 1);
        memory[size] = 0xee;
        fr_rng_init(&rng, 7);
        fr_rng_fill(&rng, memory, size);
        cr_assert_eq(memory[size], 0xee);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(memory[i], whole[i]);
        fr_free(memory);
    }
}

Test(rng, entropy_does_not_repeat)
{
    uint64_t seen[100];

    for (int i = 0; i < 100; i++) {
        seen[i] = fr_rng_entropy();
        for (int k = 0; k < i; k++)
            cr_assert_neq(seen[i], seen[k]);
    }
}
