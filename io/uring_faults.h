/*
 * uring_faults.h - what a test does to rings: other answers than the kernel's, in another order.
 *
 * The simulated machine has no rings, and a kernel gives hardly any of the answers that it may
 * give: transfers that fail, stop short, are cancelled, or come back in any order; a submission
 * that is refused or interrupted; more completions than there is room for. Here a test decides
 * about each of these. The ring is a real one, and what it is not told to spoil is done by the
 * kernel.
 *
 * Nothing of this is for programs; without faults it costs one load and a branch for each transfer.
 */
#ifndef FR_IO_URING_FAULTS_H
#define FR_IO_URING_FAULTS_H

#include <stdbool.h>
#include <stddef.h>

struct fr_io_request;

/* What becomes of an attempt. All zeros: what the kernel says. */
struct fr_uring_verdict {
    int os_error;    /* the answer instead; 0 for the kernel's */
    bool done;       /* it is carried out all the same; otherwise nothing happens */
    size_t short_by; /* so many bytes less are asked for, but one at least; of direct
                        transfers whole blocks */
    bool late;       /* it is handed over behind those that have come after it */
};

/* Each may be NULL or 0. Called by any thread that has a ring. */
struct fr_uring_faults {
    void *ctx;

    /* About an attempt that is about to be staged; the verdict is all zeros before. */
    void (*attempt)(void *ctx, const struct fr_io_request *request,
            struct fr_uring_verdict *verdict);

    /* A positive errno, which the entry into the kernel answers; 0: it is made. */
    int (*enter)(void *ctx);

    /* So many completions of nothing are added; more than twice the depth go over the brim. Each
     * entry takes so many off again, so there may not be as many for each of them. */
    unsigned (*flood)(void *ctx);
};

/*
 * From now on, for all rings; NULL: no more. The caller keeps it, and changes it only while no ring
 * is open. Without liburing nothing happens.
 */
void fr_uring_faults_set(const struct fr_uring_faults *faults);

#endif
