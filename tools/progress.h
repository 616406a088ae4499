/*
 * progress.h - how far a long verb is, on standard error: a bar with rate and remaining time on a
 * terminal, a line now and then elsewhere.
 */
#ifndef FR_TOOLS_PROGRESS_H
#define FR_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct fr_progress {
    /* Set by the caller. */
    const char *verb;
    bool quiet;
    uint64_t line_ns; /* between lines where there is no terminal; 0: none */

    /* The module's own. */
    bool on_terminal, shown;
    uint64_t begin_ns, next_ns;
};

void fr_progress_begin(struct fr_progress *progress);

/* So many rows are done, and so much of the whole: part of total, of any unit; total 0: unknown.
 * Says something if it is time to. */
void fr_progress_tell(struct fr_progress *progress, uint64_t rows, uint64_t part, uint64_t total);

/* The bar goes. */
void fr_progress_end(struct fr_progress *progress);

uint64_t fr_progress_elapsed_ns(const struct fr_progress *progress);

#endif
