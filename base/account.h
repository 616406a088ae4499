/*
 * account.h - whose memory it is.
 *
 * An account is what one store holds, in parts: its memtables, its blocks, the workspace of its
 * jobs. A thread says for which part of which account it works, and whatever it allocates until it
 * says something else is charged there. A block of memory remembers where it was charged, and is
 * taken off that account whoever frees it, and whenever. So nobody has to tell how much he holds,
 * and nothing that goes through fr_alloc can be forgotten.
 *
 * Charged is what a block takes from the system: with what the allocators put in front of it and
 * round up to, which is a tenth of small values and a thousandth of blocks.
 *
 * Memory that is allocated while a thread works for nobody, which is how every thread begins, is on
 * no account: batches that a host fills, and values that it was given.
 */
#ifndef FR_BASE_ACCOUNT_H
#define FR_BASE_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

/* Parts are 1 to FR_ACCOUNT_PARTS - 1, and mean what the account's owner says. */
#define FR_ACCOUNT_PARTS 16

/* A part of an account. 0 is nobody's. It fits in the 16 bits that a block's header has for it. */
typedef uint16_t fr_charge;

/* Stores that have an account at once; further ones go without, and say so (0). */
#define FR_ACCOUNT_MAX 4096

/* A new account. 0: none is left. Any thread. */
unsigned fr_account_open(void);

/* What is still charged to it must be freed nonetheless; it is used again only once that has
 * happened. 0 is fine. Any thread. */
void fr_account_close(unsigned account);

/* Account 0 has no parts: its charges are nobody's. */
static inline fr_charge fr_account_part(unsigned account, unsigned part)
{
    return account == 0 ? 0 : (fr_charge)(account * FR_ACCOUNT_PARTS + part);
}

/* Bytes on a part, or on all of them. Other threads may just be changing it. */
size_t fr_account_bytes(unsigned account, unsigned part);
size_t fr_account_total(unsigned account);

/* Work for that part from now on; answers for which part it was, to be given back. This thread. */
fr_charge fr_account_work_for(fr_charge charge);

/* For alloc.c: for which part this thread works; so many bytes more, or fewer. */
fr_charge fr_account_current(void);
void fr_account_add(fr_charge charge, size_t bytes);
void fr_account_take(fr_charge charge, size_t bytes);

#endif
