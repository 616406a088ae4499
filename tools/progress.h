/*
 * progress.h - how far a long verb is, on standard error: a bar with rate and remaining time on a
 * terminal, a line now and then elsewhere.
 */
#ifndef FR_TOOLS_PROGRESS_H
#define FR_TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Rows of a verb's option table. */
#define FR_OPTION_QUIET(progress)                                                                  \
    {                                                                                              \
        "quiet", 'q', FR_OPTION_FLAG, NULL, "no progress", &(progress)->quiet                      \
    }
#define FR_OPTION_PROGRESS(progress)                                                               \
    {                                                                                              \
        "progress", 0, FR_OPTION_DURATION, "TIME",                                                 \
                "between lines of it where there is no terminal (10 s)", &(progress)->line_ns      \
    }

#define FR_PROGRESS_LINE_NS 10000000000u

struct fr_progress {
    /* Set by the caller. */
    const char *verb;
    const char *unit; /* what is counted: "rows"; NULL: bytes */
    bool quiet;
    uint64_t line_ns; /* between lines where there is no terminal; 0: none */

    /* The module's own. */
    bool on_terminal, shown;
    uint64_t begin_ns, next_ns;
};

void fr_progress_begin(struct fr_progress *progress);

/* So many units are done, and so much of the whole: part of total, of any unit; total 0: unknown.
 * Says something if it is time to. */
void fr_progress_tell(struct fr_progress *progress, uint64_t done, uint64_t part, uint64_t total);

/* The same as a hook of the library, whose context is the progress; false if the user has had
 * enough. */
bool fr_progress_hook(void *progress, uint64_t done, uint64_t total);

/* The bar goes, until there is something to tell again. */
void fr_progress_end(struct fr_progress *progress);

uint64_t fr_progress_elapsed_ns(const struct fr_progress *progress);

#endif
