#include "base/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/assert.h"
#include "base/cpu.h"
#include "base/crc32c_priv.h"

/* Best last. */
static const struct fr_crc32c_variant variants[] = {
        {"table", 0, fr_crc32c_table},
#if defined(__x86_64__)
        {"sse42", FR_CPU_SSE42 | FR_CPU_PCLMUL, fr_crc32c_sse42},
        {"vpclmul",
                FR_CPU_SSE42 | FR_CPU_PCLMUL | FR_CPU_AVX2 | FR_CPU_AVX512F | FR_CPU_AVX512VL |
                        FR_CPU_VPCLMULQDQ,
                fr_crc32c_vpclmul},
#elif defined(__aarch64__)
        {"armv8", FR_CPU_CRC, fr_crc32c_armv8},
        {"pmull", FR_CPU_CRC | FR_CPU_NEON | FR_CPU_PMULL, fr_crc32c_pmull},
#endif
};

static uint32_t choose_and_run(uint32_t crc, const uint8_t *data, size_t size);

/* Release in choose_and_run, after the tables are filled; acquire in fr_crc32c. */
static _Atomic(fr_crc32c_fn) chosen = choose_and_run;

static void init_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    FR_ASSERT(pthread_once(&once, fr_crc32c_tables_init) == 0);
}

const struct fr_crc32c_variant *fr_crc32c_variants(size_t index)
{
    uint64_t features = fr_cpu_features();

    init_once();
    for (size_t i = 0; i < FR_ARRAY_COUNT(variants); i++) {
        if ((variants[i].needs & ~features) != 0) continue;
        if (index == 0) return &variants[i];
        index--;
    }
    return NULL;
}

/* The first call lands here. Threads that race choose the same. */
static uint32_t choose_and_run(uint32_t crc, const uint8_t *data, size_t size)
{
    const struct fr_crc32c_variant *best = NULL, *next;

    for (size_t i = 0; (next = fr_crc32c_variants(i)) != NULL; i++)
        best = next;
    FR_ASSERT(best != NULL);
    atomic_store_explicit(&chosen, best->fn, memory_order_release);
    return best->fn(crc, data, size);
}

uint32_t fr_crc32c(uint32_t crc, const void *data, size_t size)
{
    return atomic_load_explicit(&chosen, memory_order_acquire)(crc, data, size);
}

uint32_t fr_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t size_b)
{
    init_once();
    /* The inversions at both ends of A and B cancel out: moving A on is all there is to do. */
    for (unsigned n = 0; size_b != 0; n++, size_b >>= 1)
        if (size_b & 1) crc_a = fr_crc32c_multiply(crc_a, fr_crc32c_tables.steps[n]);
    return crc_a ^ crc_b;
}
