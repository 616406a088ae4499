/* bench of internals: the ground floor, below the public interface.
 *
 * bench_base.c - how fast the layer is on which everything else stands.
 *
 * Each figure is the median of several rounds, after one that is thrown away. CRC-32C is also
 * compared with what its instruction allows: the same number of bytes through three chains that
 * depend on nothing but themselves, once from registers and once with loads from the first cache.
 *
 *   bench_base           a table
 *   bench_base --json    one JSON object
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Before base/alloc.h, for it has functions that call malloc. */
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/alloc.h"
#include "base/coding.h"
#include "base/cpu.h"
#include "base/crc32c.h"
#include "base/histogram.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "bench/measure.h"

#define ROUNDS      15
#define ROUND_NS    4000000.0
#define BUFFER_SIZE 65536

/* One thing to measure: do it so many times. The answer goes where no compiler can drop it. */
struct job {
    uint64_t (*run)(const struct job *job, uint64_t times);
    fr_crc32c_fn crc;
    size_t size;
};

static FR_ALIGNED(64) uint8_t buffer[BUFFER_SIZE];
static volatile uint64_t sink;

static double time_ns(const struct job *job, uint64_t times)
{
    uint64_t before = measure_now_ns();

    sink = job->run(job, times);
    return (double)(measure_now_ns() - before);
}

/* Nanoseconds for one time: the median of rounds that are long enough for the clock. */
static double measure(const struct job *job)
{
    double rounds[ROUNDS];
    uint64_t times = 1;

    while (time_ns(job, times) < ROUND_NS)
        times *= 2;
    for (int i = 0; i < ROUNDS; i++)
        rounds[i] = time_ns(job, times) / (double)times;
    return measure_median(rounds, ROUNDS);
}

static uint64_t run_crc(const struct job *job, uint64_t times)
{
    uint32_t crc = 0;

    for (; times > 0; times--)
        crc = job->crc(crc, buffer, job->size);
    return crc;
}

#if defined(__x86_64__)
/* 4080 bytes' worth of instructions, all operands in registers. */
__attribute__((target("sse4.2"))) static uint64_t run_instruction(const struct job *job,
        uint64_t times)
{
    uint64_t a = 1, b = 2, c = 3;

    (void)job;
    for (; times > 0; times--) {
        for (int i = 0; i < 170; i++) {
            a = _mm_crc32_u64(a, times);
            b = _mm_crc32_u64(b, times);
            c = _mm_crc32_u64(c, times);
        }
    }
    return a ^ b ^ c;
}

__attribute__((target("sse4.2"))) static uint64_t run_instruction_with_loads(const struct job *job,
        uint64_t times)
{
    uint64_t a = 1, b = 2, c = 3;

    (void)job;
    for (; times > 0; times--) {
        for (size_t i = 0; i < 170; i++) {
            a = _mm_crc32_u64(a, fr_get_u64(buffer + 8 * i));
            b = _mm_crc32_u64(b, fr_get_u64(buffer + 1360 + 8 * i));
            c = _mm_crc32_u64(c, fr_get_u64(buffer + 2720 + 8 * i));
        }
    }
    return a ^ b ^ c;
}

static bool has_instruction(void)
{
    return fr_cpu_features() & FR_CPU_SSE42;
}
#else
static uint64_t run_instruction(const struct job *job, uint64_t times)
{
    (void)job;
    return times;
}

static uint64_t run_instruction_with_loads(const struct job *job, uint64_t times)
{
    return run_instruction(job, times);
}

static bool has_instruction(void)
{
    return false;
}
#endif

static uint64_t run_record(const struct job *job, uint64_t times)
{
    static struct fr_histogram histogram;

    (void)job;
    fr_histogram_init(&histogram);
    for (uint64_t i = 0; i < times; i++)
        fr_histogram_record(&histogram, 1000 + (i * 0x9e3779b97f4a7c15u >> 50));
    return histogram.max;
}

/* Varints of one to three bytes lie back to back in the first part of the buffer. */
static size_t varints_size;

static void fill_varints(struct fr_rng *rng)
{
    uint8_t *to = buffer;

    while (to < buffer + 4096)
        to = fr_put_varint(to, fr_rng_next(rng) >> fr_rng_between(rng, 43, 63));
    varints_size = (size_t)(to - buffer);
}

static uint64_t run_varint(const struct job *job, uint64_t times)
{
    const uint8_t *at = buffer, *end = buffer + varints_size;
    uint64_t sum = 0, value = 0;

    (void)job;
    for (; times > 0; times--) {
        at = fr_get_varint(at, end, &value);
        if (at == NULL || at == end) at = buffer;
        sum += value;
    }
    return sum;
}

static uint64_t run_alloc(const struct job *job, uint64_t times)
{
    uint64_t sum = 0;

    for (; times > 0; times--) {
        void *memory = fr_alloc(job->size);
        sum += (uintptr_t)memory;
        fr_free(memory);
    }
    return sum;
}

static uint64_t run_mutex(const struct job *job, uint64_t times)
{
    struct fr_mutex mutex;
    uint64_t sum = 0;

    (void)job;
    fr_mutex_init(&mutex, FR_RANK_LEAF);
    for (; times > 0; times--) {
        fr_mutex_lock(&mutex);
        sum++;
        fr_mutex_unlock(&mutex);
    }
    fr_mutex_deinit(&mutex);
    return sum;
}

static double gb_per_s(const struct job *job, size_t size)
{
    return (double)size / measure(job);
}

static const size_t crc_sizes[] = {64, 512, 4096, 65536};
#define CRC_SIZE_COUNT FR_ARRAY_COUNT(crc_sizes)

/* A figure's name and value; all are collected before anything is printed. */
struct figure {
    char name[48];
    const char *unit;
    double value;
};

struct report {
    struct figure figures[64];
    size_t count;
};

static void add(struct report *report, const char *name, const char *unit, double value)
{
    if (report->count == FR_ARRAY_COUNT(report->figures)) return;
    struct figure *figure = &report->figures[report->count++];

    snprintf(figure->name, sizeof(figure->name), "%s", name);
    figure->unit = unit;
    figure->value = value;
}

static void bench_variant(struct report *report, const struct fr_crc32c_variant *variant,
        double limit)
{
    char name[48];

    for (size_t i = 0; i < CRC_SIZE_COUNT; i++) {
        struct job job = {.run = run_crc, .crc = variant->fn, .size = crc_sizes[i]};
        double speed = gb_per_s(&job, crc_sizes[i]);

        snprintf(name, sizeof(name), "crc32c_%s_%zu", variant->name, crc_sizes[i]);
        add(report, name, "GB/s", speed);
        if (limit == 0 || crc_sizes[i] != 4096) continue;
        snprintf(name, sizeof(name), "crc32c_%s_4096_of_instruction", variant->name);
        add(report, name, "times", speed / limit);
    }
}

static void bench_crc(struct report *report)
{
    const struct fr_crc32c_variant *variant;
    double limit = 0;

    if (has_instruction()) {
        limit = gb_per_s(&(struct job){.run = run_instruction}, 4080);
        add(report, "crc32c_instruction_alone", "GB/s", limit);
        add(report, "crc32c_instruction_with_loads", "GB/s",
                gb_per_s(&(struct job){.run = run_instruction_with_loads}, 4080));
    }
    for (size_t i = 0; (variant = fr_crc32c_variants(i)) != NULL; i++)
        bench_variant(report, variant, limit);
}

static void bench_rest(struct report *report)
{
    add(report, "histogram_record", "ns", measure(&(struct job){.run = run_record}));
    add(report, "varint_decode", "ns", measure(&(struct job){.run = run_varint}));
    add(report, "alloc_free_64", "ns", measure(&(struct job){.run = run_alloc, .size = 64}));
    add(report, "alloc_free_4096", "ns", measure(&(struct job){.run = run_alloc, .size = 4096}));
    add(report, "mutex_lock_unlock", "ns", measure(&(struct job){.run = run_mutex}));
}

static void print_table(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        printf("%-40s %9.2f %s\n", report->figures[i].name, report->figures[i].value,
                report->figures[i].unit);
}

static void print_json(const struct report *report)
{
    for (size_t i = 0; i < report->count; i++)
        printf("%s\"%s\": {\"value\": %.4f, \"unit\": \"%s\"}", i == 0 ? "{" : ", ",
                report->figures[i].name, report->figures[i].value, report->figures[i].unit);
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct report report;
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    struct fr_rng rng;

    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_base [--json]\n");
        return 2;
    }
    fr_rng_init(&rng, 1);
    fr_rng_fill(&rng, buffer, sizeof(buffer));
    fill_varints(&rng);
    bench_crc(&report);
    bench_rest(&report);
    if (json)
        print_json(&report);
    else
        print_table(&report);
    return 0;
}
