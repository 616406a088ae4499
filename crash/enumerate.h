/*
 * enumerate.h - every disk that a crash may leave, recovered and compared.
 *
 * Around each change of a run's disk the plug is pulled, by whichever thread makes the change, and
 * the images that may be left are kept. They are recovered later, between two steps of the run,
 * because the subject may hold its locks while it changes the disk. A recovery may be crashed as
 * the run was, three deep, and what the first recovery has shown the next ones must show.
 */
#ifndef FR_CRASH_ENUMERATE_H
#define FR_CRASH_ENUMERATE_H

#include "crash/run.h"

/* The run's machine, which belongs to it from here on: its changes are crash points, as the plan
 * says. */
void fr_crash_enumerate_take(struct fr_crash_run *run, struct fr_sim *sim);

/* Pull the plug now. */
FR_NODISCARD fr_status fr_crash_enumerate_now(struct fr_crash_run *run);

/* Recover the images kept so far. */
FR_NODISCARD fr_status fr_crash_enumerate_check(struct fr_crash_run *run);

/*
 * The process dies and the machine does not: everything that was published must be there on the
 * machine that the run has from now on.
 */
FR_NODISCARD fr_status fr_crash_enumerate_kill(struct fr_crash_run *run);

#endif
