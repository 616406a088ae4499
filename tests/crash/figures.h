/* figures.h - how much the crash tests do, and what they have done. */
#ifndef FR_TESTS_CRASH_FIGURES_H
#define FR_TESTS_CRASH_FIGURES_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crash/report.h"

static inline unsigned long from_environment(const char *name, unsigned long usual)
{
    const char *given = getenv(name);

    return given == NULL ? usual : strtoul(given, NULL, 10);
}

/* Of a sweep that is done in parts, another one each day: in so many days it is whole. */
static inline unsigned part_of_today(unsigned long parts)
{
    unsigned long day = from_environment("FR_TEST_DAY", (unsigned long)time(NULL) / 86400);

    if (parts > 1) fprintf(stderr, "FR_TEST_DAY=%lu: part %lu of %lu\n", day, day % parts, parts);
    return (unsigned)(day % parts);
}

/* The figures that are not zero; a finding is a failure, with its words. */
static inline void tell(const struct fr_crash_report *report)
{
    for (int i = 0; i < FR_CRASH_COUNTERS; i++) {
        uint64_t count = fr_crash_counted(report, (enum fr_crash_counter)i);
        if (count > 0)
            fprintf(stderr, "%10llu %s\n", (unsigned long long)count,
                    fr_crash_counter_text((enum fr_crash_counter)i));
    }
    cr_assert_str_empty(report->finding, "%s", report->finding);
}

#endif
