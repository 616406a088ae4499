/*
 * criterion_patience.c - the limits of single tests are stretched as those of whole programs are.
 *
 * A test says how long it may take on a machine that has nothing else to do. Sanitizers make it
 * many times slower, and so do others who want the processor; Criterion's limits know nothing of
 * that. Meson's are stretched as much by scripts/lib.sh, so what hangs still ends, and by name.
 *
 * Linked to all tests.
 */
#include <criterion/criterion.h>
#include <criterion/hooks.h>

/* As --timeout-multiplier of scripts/lib.sh. */
#define PATIENCE 4

ReportHook(PRE_ALL)(struct criterion_test_set *all)
{
    FOREACH_SET(struct criterion_suite_set * suite, all->suites)
    {
        if (suite->suite.data != NULL) suite->suite.data->timeout *= PATIENCE;
        FOREACH_SET(struct criterion_test * test, suite->tests)
        {
            test->data->timeout *= PATIENCE;
        }
    }
}
