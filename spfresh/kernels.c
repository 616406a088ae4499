#include "spfresh/kernels.h"

#include <stdatomic.h>

#include "base/cpu.h"
#include "spfresh/kernels_priv.h"

/* Best last. */
static const struct fr_kernels *const variants[] = {
        &fr_kernels_scalar,
#if defined(__x86_64__)
        &fr_kernels_avx2,
        &fr_kernels_avx512,
#elif defined(__aarch64__)
        &fr_kernels_neon,
#endif
};

/* Release and acquire in fr_kernels_get; the tables are constant, so relaxed would do. */
static _Atomic(const struct fr_kernels *) chosen;

const struct fr_kernels *fr_kernels_variants(size_t index)
{
    uint64_t features = fr_cpu_features();

    for (size_t i = 0; i < FR_ARRAY_COUNT(variants); i++) {
        if ((variants[i]->needs & ~features) != 0) continue;
        if (index == 0) return variants[i];
        index--;
    }
    return NULL;
}

/* Threads that race choose the same. */
static const struct fr_kernels *choose(void)
{
    const struct fr_kernels *best = NULL, *next;

    for (size_t i = 0; (next = fr_kernels_variants(i)) != NULL; i++)
        best = next;
    FR_ASSERT(best != NULL);
    atomic_store_explicit(&chosen, best, memory_order_release);
    return best;
}

const struct fr_kernels *fr_kernels_get(void)
{
    const struct fr_kernels *kernels = atomic_load_explicit(&chosen, memory_order_acquire);

    return FR_LIKELY(kernels != NULL) ? kernels : choose();
}
