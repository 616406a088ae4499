#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/cpu.h"

/* Whether the system's own account of the processor has this word. */
static bool system_lists(const char *flag)
{
    static char text[1 << 14];
    FILE *file = fopen("/proc/cpuinfo", "r");

    cr_assert_not_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[size] = '\0';
    for (char *at = text; (at = strstr(at, flag)) != NULL; at++) {
        char after = at[strlen(flag)];
        if (at[-1] == ' ' && (after == ' ' || after == '\n')) return true;
    }
    return false;
}

Test(cpu, what_is_detected_is_what_the_system_lists)
{
    static const struct {
        uint64_t feature;
        const char *flag;
    } rows[] = {
#if defined(__x86_64__)
        {FR_CPU_SSE42, "sse4_2"},
        {FR_CPU_PCLMUL, "pclmulqdq"},
        {FR_CPU_AVX2, "avx2"},
        {FR_CPU_FMA, "fma"},
        {FR_CPU_F16C, "f16c"},
        {FR_CPU_AVX512F, "avx512f"},
        {FR_CPU_AVX512BW, "avx512bw"},
        {FR_CPU_AVX512VL, "avx512vl"},
        {FR_CPU_AVX512DQ, "avx512dq"},
        {FR_CPU_VBMI, "avx512vbmi"},
        {FR_CPU_VNNI, "avx512_vnni"},
        {FR_CPU_VPOPCNTDQ, "avx512_vpopcntdq"},
        {FR_CPU_BITALG, "avx512_bitalg"},
        {FR_CPU_VPCLMULQDQ, "vpclmulqdq"},
#elif defined(__aarch64__)
        {FR_CPU_NEON, "asimd"},
        {FR_CPU_CRC, "crc32"},
        {FR_CPU_PMULL, "pmull"},
        {FR_CPU_DOTPROD, "asimddp"},
        {FR_CPU_SVE, "sve"},
#endif
        {0, ""}
    };

    unsetenv("FR_CPU_MASK");
    for (size_t i = 0; rows[i].feature != 0; i++)
        cr_assert_eq((fr_cpu_features() & rows[i].feature) != 0, system_lists(rows[i].flag), "%s",
                rows[i].flag);
}

Test(cpu, the_mask_for_tests_takes_features_away_and_gives_them_back)
{
    unsetenv("FR_CPU_MASK");
    uint64_t all = fr_cpu_features();

    fr_cpu_set_mask_for_test(0);
    cr_assert_eq(fr_cpu_features(), 0);
    fr_cpu_set_mask_for_test(FR_CPU_SSE42 | FR_CPU_NEON);
    cr_assert_eq(fr_cpu_features(), all & (FR_CPU_SSE42 | FR_CPU_NEON));
    fr_cpu_set_mask_for_test(UINT64_MAX);
    cr_assert_eq(fr_cpu_features(), all);
}

/* The environment is read once, so each text needs a process of its own. */
static uint64_t features_with(const char *mask)
{
    setenv("FR_CPU_MASK", mask, 1);
    return fr_cpu_features();
}

static uint64_t all_features(void)
{
    uint64_t all;

    fr_cpu_set_mask_for_test(UINT64_MAX);
    all = fr_cpu_features();
    return all;
}

Test(cpu, a_decimal_mask_in_the_environment_is_honoured)
{
    uint64_t features = features_with("3");
    cr_assert_eq(features, all_features() & 3);
}

Test(cpu, a_hexadecimal_mask_in_the_environment_is_honoured)
{
    uint64_t features = features_with("0x100000001F");
    cr_assert_eq(features, all_features() & 0x100000001f);
}

Test(cpu, a_mask_of_zero_leaves_nothing)
{
    cr_assert_eq(features_with("0"), 0);
}

Test(cpu, the_environment_is_read_only_once)
{
    uint64_t features = features_with("1");
    cr_assert_eq(features_with("0"), features);
}

#define IGNORED(name, text)                                                                        \
    Test(cpu, a_mask_that_is_##name##_is_ignored)                                                  \
    {                                                                                              \
        uint64_t features = features_with(text);                                                   \
        cr_assert_eq(features, all_features());                                                    \
    }

IGNORED(empty, "")
IGNORED(a_word, "avx2")
IGNORED(a_number_and_more, "1 ")
IGNORED(signed, "-1")
IGNORED(too_large, "0x10000000000000000")
IGNORED(only_a_prefix, "0x")

Test(cpu, names_stand_in_a_row)
{
    struct fr_buf buf = FR_BUF_EMPTY;

    fr_cpu_feature_names(FR_CPU_SSE42 | FR_CPU_AVX2 | FR_CPU_SVE, &buf);
    cr_assert(fr_slice_equal(fr_buf_slice(&buf), fr_slice_of_text("sse4.2 avx2 sve")));
    fr_buf_clear(&buf);
    fr_cpu_feature_names(0, &buf);
    cr_assert(fr_slice_equal(fr_buf_slice(&buf), fr_slice_of_text("none")));
    fr_buf_deinit(&buf);
}
