/*
 * alloc.h - all the memory there is.
 *
 * Outside base/ nothing else hands out memory: malloc and its family do not compile once this
 * header is included, and a lint test looks for them in the objects. Every call goes through one
 * gate, which the host may replace (freshet/alloc.h), which counts, and at which a test can fail
 * the n-th call.
 *
 * A failed allocation answers NULL or FR_ERR_NOMEM; nobody prints and nobody aborts.
 */
#ifndef FR_BASE_ALLOC_H
#define FR_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/account.h"
#include "base/compiler.h"
#include "freshet/alloc.h"

/* Memory for size bytes (one at least), or NULL. Give it back with fr_free. Any thread. */
void *fr_alloc(size_t size);

/* The same, filled with zeros; count * size may not overflow, or the answer is NULL. */
void *fr_alloc_zeroed(size_t count, size_t size);

/* The same on a boundary: a power of two up to 1 MiB. */
void *fr_alloc_aligned(size_t size, size_t alignment);

/*
 * A hint: this memory is large, long-lived and walked through at random, so huge pages would pay.
 * What is not on a boundary of theirs is left as it is.
 */
void fr_alloc_prefer_huge(void *memory, size_t size);

/*
 * What is in this part of a block is not needed for now: its pages go back to the system, as far as
 * they are whole, and it reads as zeros. The answer is how much has gone back; accounts are not
 * told, neither now nor when the pages come again as they are written to.
 */
size_t fr_alloc_drop(void *memory, size_t size);

/* Grow or shrink; memory may be NULL. On failure NULL, and the old memory is as it was. */
void *fr_realloc(void *memory, size_t size);

/* Give back what any of the above gave. NULL is fine. */
void fr_free(void *memory);

/* Charge it to that part from now on: for who knows only later whose it is. It has one owner. */
void fr_alloc_charge(void *memory, fr_charge charge);

/* One zeroed object of a type, or NULL. */
#define FR_NEW(type) ((type *)fr_alloc_zeroed(1, sizeof(type)))

struct fr_alloc_stats {
    uint64_t live_bytes; /* asked for and not given back */
    uint64_t live_count;
    uint64_t call_count; /* allocations ever tried, failed ones included */
};

void fr_alloc_stats_get(struct fr_alloc_stats *ret_stats);

/*
 * For tests: let the n-th allocation from now (counted from 1) on this thread fail, and, if
 * forever, all that follow it. 0 switches it off. fr_alloc_fault_hit says whether it came to that.
 */
void fr_alloc_fail_at(uint64_t n, bool forever);
bool fr_alloc_fault_hit(void);

#ifndef FR_ALLOW_MALLOC
#define malloc(size)            fr_use_fr_alloc_instead(size)
#define calloc(count, size)     fr_use_fr_alloc_zeroed_instead(count, size)
#define realloc(memory, size)   fr_use_fr_realloc_instead(memory, size)
#define free(memory)            fr_use_fr_free_instead(memory)
#define aligned_alloc(align, n) fr_use_fr_alloc_aligned_instead(align, n)
#endif

#endif
