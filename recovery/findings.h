/*
 * findings.h - what a check has found, gathered by several threads and told by one.
 *
 * The words of the thread's last error become the words of the finding; the file is read from them,
 * as every failure of a file begins with its path.
 */
#ifndef FR_RECOVERY_FINDINGS_H
#define FR_RECOVERY_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mutex.h"
#include "base/status.h"
#include "freshet/verify.h"

struct fr_dir;

/* Of one file so many are told one by one; what is behind is counted. */
#define FR_FINDINGS_TOLD_MAX 100

struct fr_findings {
    struct fr_dir *dir; /* whose path is left out of the words */
    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    struct fr_kept_finding *kept; /* not yet told */
    size_t count;
    size_t capacity;
    uint64_t counted; /* findings that are none of the harmless kinds */
    uint64_t untold;
    bool no_memory;
};

void fr_findings_init(struct fr_findings *findings, struct fr_dir *dir);
void fr_findings_deinit(struct fr_findings *findings);

/* The kind that a status stands for where nothing else is known. */
fr_finding_kind fr_finding_kind_of(fr_status st);

/*
 * Keep this thread's last error as a finding. name is the file's, or NULL: read it from the words.
 * *told counts those of one file, and may be NULL. Any thread.
 */
void fr_findings_add(struct fr_findings *findings, fr_finding_kind kind, fr_status st,
        const char *name, uint64_t offset, unsigned *told);

/* As if nothing had been found, and a number for all that was; 0: nothing was. One thread. */
void fr_findings_forget(struct fr_findings *findings);
uint64_t fr_findings_print(struct fr_findings *findings);

/* What is not yet told, by files; what one thread has found in a file keeps its order. One thread.
 */
void fr_findings_sort(struct fr_findings *findings);

/* Tell what there is by now. FR_ERR_CANCELLED: somebody has had enough. FR_ERR_NOMEM: some were
 * lost. One thread. */
FR_NODISCARD fr_status fr_findings_tell(struct fr_findings *findings,
        const struct fr_verify_options *how);

#endif
