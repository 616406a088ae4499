/*
 * account.c - all accounts of the process, in one array that is never freed: a block of memory may
 * outlive whoever made its account, and must still find the counter that it was charged to.
 */
#include "base/account.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/compiler.h"

static_assert(FR_ACCOUNT_MAX * FR_ACCOUNT_PARTS - 1 <= UINT16_MAX, "a charge has 16 bits");

/* The total first, where no part is; two lines of a cache for each account. */
struct account {
    FR_ALIGNED(64) _Atomic(size_t) bytes[FR_ACCOUNT_PARTS];
};

/* Relaxed throughout: sums that steer eviction and order nothing. Pages nobody uses cost nothing.
 */
static struct account accounts[FR_ACCOUNT_MAX];

/* Taken by compare-and-swap, acquire; given back by a store, release. */
static _Atomic(bool) taken[FR_ACCOUNT_MAX];

/* Asked for at every allocation: worth a slot that needs no call to find. */
static _Thread_local fr_charge current __attribute__((tls_model("initial-exec")));

unsigned fr_account_open(void)
{
    for (unsigned i = 1; i < FR_ACCOUNT_MAX; i++) {
        bool is_taken = false;
        if (fr_account_total(i) == 0 &&
                atomic_compare_exchange_strong_explicit(&taken[i], &is_taken, true,
                        memory_order_acquire, memory_order_relaxed))
            return i;
    }
    return 0;
}

void fr_account_close(unsigned account)
{
    if (account != 0) atomic_store_explicit(&taken[account], false, memory_order_release);
}

size_t fr_account_bytes(unsigned account, unsigned part)
{
    FR_ASSERT(account < FR_ACCOUNT_MAX && part < FR_ACCOUNT_PARTS);
    return atomic_load_explicit(&accounts[account].bytes[part], memory_order_relaxed);
}

size_t fr_account_total(unsigned account)
{
    return fr_account_bytes(account, 0);
}

fr_charge fr_account_work_for(fr_charge charge)
{
    fr_charge before = current;

    current = charge;
    return before;
}

fr_charge fr_account_current(void)
{
    return current;
}

void fr_account_add(fr_charge charge, size_t bytes)
{
    if (charge == 0) return;
    struct account *account = &accounts[charge / FR_ACCOUNT_PARTS];
    atomic_fetch_add_explicit(&account->bytes[0], bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&account->bytes[charge % FR_ACCOUNT_PARTS], bytes,
            memory_order_relaxed);
}

void fr_account_take(fr_charge charge, size_t bytes)
{
    if (charge == 0) return;
    struct account *account = &accounts[charge / FR_ACCOUNT_PARTS];
    atomic_fetch_sub_explicit(&account->bytes[charge % FR_ACCOUNT_PARTS], bytes,
            memory_order_relaxed);
    atomic_fetch_sub_explicit(&account->bytes[0], bytes, memory_order_relaxed);
}
