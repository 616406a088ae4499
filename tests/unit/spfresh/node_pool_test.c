#include "spfresh/node_pool.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"

#define COUNT 2000

/* Each piece of memory is filled with what nobody else would write there. */
struct taken {
    uint8_t *memory;
    size_t size;
    uint8_t mark;
};

static void check(const struct taken *taken)
{
    for (size_t i = 0; taken->memory != NULL && i < taken->size; i++)
        cr_assert_eq(taken->memory[i], taken->mark);
}

Test(node_pool, nobody_has_what_another_one_has)
{
    static struct taken taken[COUNT];
    struct fr_node_pool pool;
    struct fr_rng rng;

    fr_rng_init(&rng, 3);
    fr_node_pool_init(&pool, 0);
    for (int step = 0; step < 20000; step++) {
        struct taken *one = &taken[fr_rng_below(&rng, COUNT)];

        check(one);
        fr_node_pool_give(&pool, one->memory, one->size);
        one->size = 1 + fr_rng_below(&rng, step % 100 == 0 ? 100000 : 6000);
        one->mark = (uint8_t)step;
        one->memory = fr_node_pool_take(&pool, one->size);
        cr_assert_not_null(one->memory);
        cr_assert_eq((uintptr_t)one->memory % 64, 0);
        memset(one->memory, one->mark, one->size);
    }
    for (size_t i = 0; i < COUNT; i++) {
        check(&taken[i]);
        fr_node_pool_give(&pool, taken[i].memory, taken[i].size);
    }
    cr_assert_eq(pool.used, 0);
    fr_node_pool_deinit(&pool);
}

Test(node_pool, what_was_given_back_is_used_again)
{
    struct fr_node_pool pool;
    size_t bytes;

    fr_node_pool_init(&pool, 0);
    for (int round = 0; round < 100; round++) {
        void *memory[50];

        for (int i = 0; i < 50; i++)
            memory[i] = fr_node_pool_take(&pool, 3000);
        for (int i = 0; i < 50; i++)
            fr_node_pool_give(&pool, memory[i], 3000);
        if (round == 0) bytes = fr_node_pool_bytes(&pool);
    }
    cr_assert_eq(fr_node_pool_bytes(&pool), bytes);
    fr_node_pool_deinit(&pool);
}
