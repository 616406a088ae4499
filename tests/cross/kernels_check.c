/*
 * kernels_check.c - a small checker for machines on which the unit tests cannot run, as under an
 * emulator: every set of the index's kernels against the definition. Prints what it tried; exits 1
 * on the first difference.
 */
#include <stdio.h>

#include "base/compiler.h"
#include "tests/unit/spfresh/kernels_agree.h"

static bool check(const struct fr_kernels *kernels)
{
    static bool (*const agree[])(const struct fr_kernels *kernels) = {kernels_agree_on_vectors,
            kernels_agree_on_extremes, kernels_agree_on_codes, kernels_agree_on_scans,
            kernels_agree_on_halves, kernels_agree_on_runs, kernels_agree_on_counts,
            kernels_agree_on_residuals, kernels_agree_on_transforms};

    printf("%s: ", kernels->name);
    (void)fflush(stdout); /* one that reads too far ends here */
    for (size_t i = 0; i < FR_ARRAY_COUNT(agree); i++) {
        if (agree[i](kernels)) continue;
        printf("differs: %s\n", kernels_agree_text());
        return false;
    }
    printf("ok\n");
    return true;
}

int main(void)
{
    const struct fr_kernels *kernels;

    for (size_t i = 0; (kernels = fr_kernels_variants(i)) != NULL; i++)
        if (!check(kernels)) return 1;
    printf("chosen: %s\n", fr_kernels_get()->name);
    return 0;
}
