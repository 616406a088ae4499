/* account_test.c - memory is charged to the part that a thread works for. */
#include "base/account.h"

#include <criterion/criterion.h>

#include "base/alloc.h"

/* What was asked for, and what the allocators need besides. */
static void must_hold(size_t bytes, size_t asked, size_t alignment)
{
    cr_assert_geq(bytes, asked + alignment);
    cr_assert_leq(bytes, asked + alignment + 32);
}

Test(account, charges_what_is_allocated_while_working_for_it)
{
    unsigned account = fr_account_open();
    fr_charge before = fr_account_work_for(fr_account_part(account, 3));
    void *memory = fr_alloc(1000);

    (void)fr_account_work_for(before);
    must_hold(fr_account_bytes(account, 3), 1000, 16);
    cr_assert_eq(fr_account_total(account), fr_account_bytes(account, 3));
    fr_free(memory);
    cr_assert_eq(fr_account_bytes(account, 3), 0);
    cr_assert_eq(fr_account_total(account), 0);
    fr_account_close(account);
}

Test(account, gives_nothing_to_who_works_for_nobody)
{
    unsigned account = fr_account_open();
    void *memory = fr_alloc(1000);

    cr_assert_eq(fr_account_current(), 0);
    cr_assert_eq(fr_account_total(account), 0);
    fr_free(memory);
    fr_account_close(account);
}

Test(account, keeps_a_block_on_its_part_when_another_makes_it_larger)
{
    unsigned account = fr_account_open();
    fr_charge before = fr_account_work_for(fr_account_part(account, 1));
    void *memory = fr_alloc_aligned(100, 64);

    (void)fr_account_work_for(fr_account_part(account, 2));
    memory = fr_realloc(memory, 5000);
    (void)fr_account_work_for(before);
    cr_assert_eq((uintptr_t)memory % 64, 0);
    must_hold(fr_account_bytes(account, 1), 5000, 64);
    cr_assert_eq(fr_account_bytes(account, 2), 0);
    fr_free(memory);
    cr_assert_eq(fr_account_total(account), 0);
    fr_account_close(account);
}

Test(account, takes_over_what_was_another_s_or_nobody_s)
{
    unsigned account = fr_account_open();
    void *memory = fr_alloc(700);

    cr_assert_eq(fr_account_total(account), 0);
    fr_alloc_charge(memory, fr_account_part(account, 1));
    must_hold(fr_account_bytes(account, 1), 700, 16);
    fr_alloc_charge(memory, fr_account_part(account, 2));
    cr_assert_eq(fr_account_bytes(account, 1), 0);
    cr_assert_eq(fr_account_bytes(account, 2), fr_account_total(account));
    fr_free(memory);
    cr_assert_eq(fr_account_total(account), 0);
    fr_account_close(account);
}

/* Whole pages, which are the system's again when they are given back. */
Test(account, charges_large_blocks_as_pages)
{
    unsigned account = fr_account_open();
    fr_charge before = fr_account_work_for(fr_account_part(account, 1));
    uint8_t *memory = fr_alloc(((size_t)3 << 20) + 1);

    (void)fr_account_work_for(before);
    memory[(size_t)3 << 20] = 1;
    cr_assert_geq(fr_account_total(account), ((size_t)3 << 20) + 1);
    cr_assert_leq(fr_account_total(account), ((size_t)3 << 20) + 4096);
    memory = fr_realloc(memory, (size_t)1 << 20);
    cr_assert_leq(fr_account_total(account), ((size_t)1 << 20) + 4096);
    memory = fr_realloc(memory, 100);
    must_hold(fr_account_total(account), 100, 16);
    fr_free(memory);
    cr_assert_eq(fr_account_total(account), 0);
    fr_account_close(account);
}

Test(account, is_not_used_again_before_its_last_block_is_free)
{
    unsigned first = fr_account_open();
    fr_charge before = fr_account_work_for(fr_account_part(first, 1));
    void *memory = fr_alloc(10);

    (void)fr_account_work_for(before);
    fr_account_close(first);
    unsigned second = fr_account_open();
    cr_assert_neq(second, first);
    fr_free(memory);
    fr_account_close(second);
    cr_assert_eq(fr_account_open(), first);
}

Test(account, has_a_last_one_and_nobody_beyond_it)
{
    for (unsigned i = 1; i < FR_ACCOUNT_MAX; i++)
        cr_assert_neq(fr_account_open(), 0);
    cr_assert_eq(fr_account_open(), 0);
    cr_assert_eq(fr_account_part(0, 5), 0);
}
