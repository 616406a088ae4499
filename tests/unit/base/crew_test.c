#include "base/crew.h"

#include <criterion/criterion.h>
#include <string.h>

#include "base/alloc.h"

#define PIECES 1000

struct ledger {
    _Atomic(int) done[PIECES];
    _Atomic(size_t) begun;
    size_t fails_at, ends_at;
    _Atomic(bool) stop;
    size_t stops_at;
    size_t members;
};

static struct ledger ledger;

static fr_status tick_off(void *ctx, size_t member, size_t piece)
{
    struct ledger *l = ctx;

    cr_assert_lt(member, l->members);
    atomic_fetch_add(&l->begun, 1);
    if (piece == l->stops_at) atomic_store(&l->stop, true);
    if (piece == l->ends_at) return FR_END;
    if (piece >= l->fails_at) return FR_FAIL(FR_ERR_IO, "piece %zu", piece);
    atomic_fetch_add(&l->done[piece], 1);
    return FR_OK;
}

static fr_status run(size_t threads, size_t count)
{
    struct fr_crew crew = {.name = "crew", .threads = threads, .stop = &ledger.stop};

    ledger.members = fr_crew_size(&crew);
    return fr_crew_run(&crew, count, tick_off, &ledger);
}

static void begin(void)
{
    ledger = (struct ledger){.fails_at = SIZE_MAX, .ends_at = SIZE_MAX, .stops_at = SIZE_MAX};
}

Test(crew, does_each_piece_once_whatever_the_threads, .init = begin)
{
    static const size_t threads[] = {1, 2, 5, 100};

    for (size_t t = 0; t < 4; t++) {
        memset(ledger.done, 0, sizeof(ledger.done));
        cr_assert_eq(run(threads[t], PIECES), FR_OK);
        for (size_t i = 0; i < PIECES; i++)
            cr_assert_eq(ledger.done[i], 1, "%zu threads, piece %zu", threads[t], i);
    }
    cr_assert_eq(run(3, 0), FR_OK);
}

Test(crew, answers_the_first_failure_and_begins_nothing_more, .init = begin)
{
    ledger.fails_at = 10;
    cr_assert_eq(run(4, SIZE_MAX), FR_ERR_IO);
    cr_assert_not_null(strstr(fr_last_error(), "piece 1"));
    cr_assert_leq(ledger.begun, 10 + 4 * 2); /* each may have begun one more before it was seen */
}

Test(crew, a_thread_that_is_told_the_end_takes_no_more, .init = begin)
{
    ledger.ends_at = 3;
    cr_assert_eq(run(1, PIECES), FR_OK);
    cr_assert_eq(ledger.begun, 4);
}

Test(crew, can_be_stopped, .init = begin)
{
    ledger.stops_at = 5;
    cr_assert_eq(run(1, PIECES), FR_ERR_CANCELLED);
    cr_assert_eq(ledger.begun, 6);
}
