#include "base/cpu.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

/* No feature has this bit: it tells "none" from "not asked yet". */
#define KNOWN ((uint64_t)1 << 63)

/* Relaxed: the value stands for itself, and threads that race compute the same one. */
static _Atomic(uint64_t) features_known;

/* The features that hang on one bit of one register. */
struct feature_bit {
    uint32_t bit;
    uint64_t feature;
};

FR_UNUSED static uint64_t pick(uint32_t reg, const struct feature_bit *bits, size_t count)
{
    uint64_t features = 0;

    for (size_t i = 0; i < count; i++)
        if (reg >> bits[i].bit & 1) features |= bits[i].feature;
    return features;
}

#if defined(__x86_64__)

/* Leaf 1, ecx; leaf 7, ebx and ecx. Those of AVX and AVX-512 need the system's help as well. */
static const struct feature_bit leaf1_ecx[] = {
        {20, FR_CPU_SSE42}, {1, FR_CPU_PCLMUL}, {12, FR_CPU_FMA}, {29, FR_CPU_F16C}};
static const struct feature_bit leaf7_ebx[] = {{5, FR_CPU_AVX2}, {16, FR_CPU_AVX512F},
        {30, FR_CPU_AVX512BW}, {31, FR_CPU_AVX512VL}, {17, FR_CPU_AVX512DQ}};
static const struct feature_bit leaf7_ecx[] = {{1, FR_CPU_VBMI}, {11, FR_CPU_VNNI},
        {14, FR_CPU_VPOPCNTDQ}, {12, FR_CPU_BITALG}, {10, FR_CPU_VPCLMULQDQ}};

#define NEEDS_XMM (FR_CPU_SSE42 | FR_CPU_PCLMUL)
#define NEEDS_YMM (NEEDS_XMM | FR_CPU_AVX2 | FR_CPU_FMA | FR_CPU_F16C | FR_CPU_VPCLMULQDQ)

#define ECX_OSXSAVE (1u << 27)
#define XCR0_YMM    0x06u /* the halves of ymm */
#define XCR0_ZMM    0xe6u /* the above, masks, and the rest of zmm */

/* Which registers the operating system saves when it switches threads. */
static uint64_t read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static uint64_t usable_with(uint64_t xcr0)
{
    if ((xcr0 & XCR0_ZMM) == XCR0_ZMM) return UINT64_MAX;
    if ((xcr0 & XCR0_YMM) == XCR0_YMM) return NEEDS_YMM;
    return NEEDS_XMM;
}

static uint64_t detect(void)
{
    uint32_t eax, ebx, ecx, edx;
    uint64_t features, xcr0;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return 0;
    features = pick(ecx, leaf1_ecx, FR_ARRAY_COUNT(leaf1_ecx));
    xcr0 = ecx & ECX_OSXSAVE ? read_xcr0() : 0;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        features |= pick(ebx, leaf7_ebx, FR_ARRAY_COUNT(leaf7_ebx));
        features |= pick(ecx, leaf7_ecx, FR_ARRAY_COUNT(leaf7_ecx));
    }
    return features & usable_with(xcr0);
}

#elif defined(__aarch64__)

static uint64_t detect(void)
{
    unsigned long hwcap = getauxval(AT_HWCAP);
    uint64_t features = 0;

    if (hwcap & HWCAP_ASIMD) features |= FR_CPU_NEON;
    if (hwcap & HWCAP_CRC32) features |= FR_CPU_CRC;
    if (hwcap & HWCAP_PMULL) features |= FR_CPU_PMULL;
    if (hwcap & HWCAP_ASIMDDP) features |= FR_CPU_DOTPROD;
    if (hwcap & HWCAP_SVE) features |= FR_CPU_SVE;
    return features;
}

#else

static uint64_t detect(void)
{
    return 0;
}

#endif

/* The whole text must be one number; the C library would also take octal, signs and leftovers. */
static bool parse_mask(const char *text, uint64_t *ret_mask)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *digits = hex ? text + 2 : text;
    char *end;

    if (digits[0] == '\0' || digits[0] == '+' || digits[0] == '-' || digits[0] == ' ') return false;
    errno = 0;
    uint64_t mask = strtoull(digits, &end, hex ? 16 : 10);
    if (errno != 0 || *end != '\0') return false;
    *ret_mask = mask;
    return true;
}

static uint64_t compute(void)
{
    const char *text = getenv("FR_CPU_MASK");
    uint64_t mask = UINT64_MAX;

    if (text != NULL) (void)parse_mask(text, &mask);
    return detect() & mask;
}

uint64_t fr_cpu_features(void)
{
    uint64_t features = atomic_load_explicit(&features_known, memory_order_relaxed);

    if (FR_LIKELY(features & KNOWN)) return features & ~KNOWN;
    features = compute();
    atomic_store_explicit(&features_known, features | KNOWN, memory_order_relaxed);
    return features;
}

void fr_cpu_set_mask_for_test(uint64_t mask)
{
    atomic_store_explicit(&features_known, (detect() & mask) | KNOWN, memory_order_relaxed);
}

void fr_cpu_feature_names(uint64_t features, struct fr_buf *buf)
{
    static const struct {
        uint64_t feature;
        const char *name;
    } names[] = {{FR_CPU_SSE42, "sse4.2"}, {FR_CPU_PCLMUL, "pclmul"}, {FR_CPU_AVX2, "avx2"},
            {FR_CPU_FMA, "fma"}, {FR_CPU_F16C, "f16c"}, {FR_CPU_AVX512F, "avx512f"},
            {FR_CPU_AVX512BW, "avx512bw"}, {FR_CPU_AVX512VL, "avx512vl"},
            {FR_CPU_AVX512DQ, "avx512dq"}, {FR_CPU_VBMI, "vbmi"}, {FR_CPU_VNNI, "vnni"},
            {FR_CPU_VPOPCNTDQ, "vpopcntdq"}, {FR_CPU_BITALG, "bitalg"},
            {FR_CPU_VPCLMULQDQ, "vpclmulqdq"}, {FR_CPU_NEON, "neon"}, {FR_CPU_CRC, "crc"},
            {FR_CPU_PMULL, "pmull"}, {FR_CPU_DOTPROD, "dotprod"}, {FR_CPU_SVE, "sve"}};
    const char *separator = "";

    for (size_t i = 0; i < FR_ARRAY_COUNT(names); i++) {
        if (!(features & names[i].feature)) continue;
        fr_buf_printf(buf, "%s%s", separator, names[i].name);
        separator = " ";
    }
    if (separator[0] == '\0') fr_buf_printf(buf, "none");
}
