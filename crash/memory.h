/*
 * memory.h - allocations of a subject that fail, on whichever of its threads they are made.
 *
 * The library's allocator is replaced by one that counts. The harness's own thread is let off while
 * it does not call the subject, so that only what is under test goes hungry.
 */
#ifndef FR_CRASH_MEMORY_H
#define FR_CRASH_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "crash/subject.h"

/* Before anything else of the library. FR_ERR_MISUSE: it holds memory already. */
FR_NODISCARD fr_status fr_crash_memory_install(void);

/*
 * A subject that does what another one does, and is not let off while it does it. Static: one at a
 * time. The calling thread is let off from here on otherwise.
 */
const struct fr_crash_subject *fr_crash_memory_starve(const struct fr_crash_subject *subject);

/* The n-th allocation from now, counted from 1, fails; with forever, all after it as well. */
void fr_crash_memory_fail_at(uint64_t n, bool forever);

/* None fails any more. Whether one has. */
bool fr_crash_memory_stop(void);

#endif
