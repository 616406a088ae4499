/* bench_test.c - what `freshet bench` measures with: threads that repeat something, and vectors. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "tools/bench_crew.h"
#include "tools/bench_data.h"

#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>

static _Atomic(uint64_t) left;
static struct fr_bench_result result;

/* So many in all, whoever does them. */
static fr_status take_one(void *context, unsigned thread, uint64_t turn)
{
    (void)context;
    (void)turn;
    if (thread >= 3) return FR_FAIL(FR_ERR_MISUSE, "thread %u", thread);
    uint64_t before = atomic_load(&left);
    while (before > 0 && !atomic_compare_exchange_weak(&left, &before, before - 1))
        ;
    return before == 0 ? FR_END : FR_OK;
}

Test(bench, threads_go_on_until_nothing_is_left)
{
    atomic_store(&left, 1000);
    cr_assert_eq(fr_bench_run(3, 0, take_one, NULL, &result), FR_OK);
    cr_assert_eq(result.count, 1000);
    cr_assert_eq(result.latency.count, 1000);
    cr_assert_gt(result.elapsed_ns, 0);
}

static fr_status never_end(void *context, unsigned thread, uint64_t turn)
{
    uint64_t *turns = context;

    turns[thread] = turn + 1;
    return FR_OK;
}

Test(bench, threads_go_on_until_the_time_is_over)
{
    uint64_t turns[2] = {0};

    cr_assert_eq(fr_bench_run(2, 20000000, never_end, turns, &result), FR_OK);
    cr_assert_eq(result.count, turns[0] + turns[1]);
    cr_assert_geq(result.elapsed_ns, 20000000);
}

static fr_status fail_at_three(void *context, unsigned thread, uint64_t turn)
{
    (void)context;
    if (thread == 0 && turn == 3) return FR_FAIL(FR_ERR_IO, "the third time");
    return FR_OK;
}

Test(bench, a_failure_ends_it_for_all_and_is_told)
{
    cr_assert_eq(fr_bench_run(2, 0, fail_at_three, NULL, &result), FR_ERR_IO);
    cr_assert_str_eq(fr_last_error(), "the third time");
}

static struct fr_bench_data made_with(uint64_t seed)
{
    struct fr_bench_data data = {.dimension = 33, .count = 50, .query_count = 7};

    cr_assert_eq(fr_bench_data_make(&data, seed), FR_OK);
    cr_assert_eq(data.vectors.size, 50 * 33 * sizeof(float));
    cr_assert_eq(data.queries.size, 7 * 33 * sizeof(float));
    return data;
}

Test(bench, a_seed_makes_the_same_vectors_again)
{
    struct fr_bench_data one = made_with(1), again = made_with(1), other = made_with(2);

    cr_assert_arr_eq(one.vectors.data, again.vectors.data, one.vectors.size);
    cr_assert_arr_eq(one.queries.data, again.queries.data, one.queries.size);
    cr_assert_neq(memcmp(one.vectors.data, other.vectors.data, one.vectors.size), 0);
    for (size_t i = 0; i < 50 * 33; i++)
        cr_assert(isfinite(fr_bench_vector(&one, 0)[i]));
    cr_assert_neq(fr_bench_query(&one, 1)[0], fr_bench_query(&one, 2)[0]);
    fr_bench_data_deinit(&one);
    fr_bench_data_deinit(&again);
    fr_bench_data_deinit(&other);
}
