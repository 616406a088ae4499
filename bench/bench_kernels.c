/* bench of internals: the inner loops of the index, each set of instructions beside the definition.
 *
 * bench_kernels.c - nanoseconds for one call of each kernel, at 128 and at 768 dimensions.
 *
 * Each figure is the median of several rounds, after one that is thrown away. The data of each call
 * lies in the second cache, except for the last lines: a scan over as many blocks as a million
 * vectors have, which is what memory allows.
 *
 *   bench_kernels          a table
 *   bench_kernels --json   one JSON object
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "bench/measure.h"
#include "spfresh/kernels.h"
#include "spfresh/rotation.h"

#define ROUNDS       9
#define ROUND_NS     3000000.0
#define NEAR_BYTES   ((size_t)256 << 10)
#define FAR_VECTORS  ((size_t)1000000)
#define VARIANTS_MAX 4

/* One thing to measure, over data that it walks round and round. */
struct job {
    const char *name;
    float (*run)(const struct job *job, size_t at);
    size_t stride; /* bytes of one call's data, for dims */
    const struct fr_kernels *kernels;
    const struct fr_rotation *rotation;
    size_t dims;
    const uint8_t *data;
    size_t count; /* of pieces of data */
    const float *query;
    const uint8_t *table;
    float *scratch;
};

static volatile float sink;

static float run_l2(const struct job *job, size_t at)
{
    return job->kernels->l2(job->query, (const void *)(job->data + at), job->dims);
}

static float run_dot(const struct job *job, size_t at)
{
    return job->kernels->dot(job->query, (const void *)(job->data + at), job->dims);
}

static float run_dot_i8(const struct job *job, size_t at)
{
    return (float)job->kernels->dot_i8((const void *)job->table, (const void *)(job->data + at),
            job->dims);
}

static float run_row8(const struct job *job, size_t at)
{
    return job->kernels->l2_row8(job->query, (const void *)(job->data + at), 1, job->dims);
}

static float run_row12(const struct job *job, size_t at)
{
    return job->kernels->l2_row12(job->query, (const void *)(job->data + at),
            job->data + at + job->dims, 1, job->dims);
}

static float run_scan(const struct job *job, size_t at)
{
    struct fr_scan scan = {.table = job->table, .row_count = job->dims / 32, .step = 1};
    float bounds[FR_BLOCK_VECTORS];

    return (float)job->kernels->scan(job->data + at, &scan, bounds);
}

static float run_rotate(const struct job *job, size_t at)
{
    (void)at;
    fr_rotation_apply(job->rotation, job->query, job->scratch);
    return job->scratch[0];
}

static double time_ns(const struct job *job, size_t times)
{
    uint64_t before = measure_now_ns();
    float sum = 0;
    size_t piece = 0;

    for (size_t i = 0; i < times; i++) {
        sum += job->run(job, piece * job->stride);
        if (++piece == job->count) piece = 0;
    }
    sink = sum;
    return (double)(measure_now_ns() - before);
}

static double measure(const struct job *job)
{
    double rounds[ROUNDS];
    size_t times = job->count; /* all of the data at least */

    while (time_ns(job, times) < ROUND_NS)
        times *= 2;
    for (int i = 0; i < ROUNDS; i++)
        rounds[i] = time_ns(job, times) / (double)times;
    return measure_median(rounds, ROUNDS);
}

/* The same job by each variant, as one line or as one member of the object. */
static void report(struct job job, const char *suffix, bool json)
{
    static bool any;
    const struct fr_kernels *kernels;
    double ns[VARIANTS_MAX] = {0};
    size_t count = 0;

    for (; count < VARIANTS_MAX && (kernels = fr_kernels_variants(count)) != NULL; count++) {
        job.kernels = kernels;
        ns[count] = measure(&job);
        if (json)
            printf("%s\"%s%s %zu %s\": %.2f", any ? ", " : "{", job.name, suffix, job.dims,
                    kernels->name, ns[count]);
        any = true;
    }
    if (json || count == 0) return;
    printf("%-10s %5zu ", job.name, job.dims);
    for (size_t i = 0; i < count; i++)
        printf("%10.1f", ns[i]);
    printf("%9.1fx%s\n", ns[0] / ns[count - 1], suffix);
}

static size_t block_size(size_t dims)
{
    return dims / 32 * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
}

static void report_dims(struct job common, size_t dims, bool json)
{
    const struct job jobs[] = {{.name = "l2", .run = run_l2, .stride = dims * 4},
            {.name = "dot", .run = run_dot, .stride = dims * 4},
            {.name = "dot_i8", .run = run_dot_i8, .stride = dims},
            {.name = "l2_row8", .run = run_row8, .stride = dims},
            {.name = "l2_row12", .run = run_row12, .stride = dims * 3 / 2},
            {.name = "scan", .run = run_scan, .stride = block_size(dims)}};
    struct fr_rotation *rotation;

    common.dims = dims;
    for (size_t i = 0; i < FR_ARRAY_COUNT(jobs); i++) {
        common.name = jobs[i].name;
        common.run = jobs[i].run;
        common.stride = jobs[i].stride;
        common.count = NEAR_BYTES / common.stride;
        report(common, "", json);
    }
    common.count = FAR_VECTORS / FR_BLOCK_VECTORS;
    report(common, " over a million vectors", json);
    if (fr_rotation_new(dims, 1, &rotation) < 0) exit(1);
    common.name = "rotation";
    common.run = run_rotate;
    common.rotation = rotation;
    common.count = 1;
    report(common, " by the best set alone", json);
    fr_rotation_free(rotation);
}

static void print_head(void)
{
    const struct fr_kernels *kernels;

    printf("ns a call   dims ");
    for (size_t i = 0; (kernels = fr_kernels_variants(i)) != NULL; i++)
        printf("%10s", kernels->name);
    printf("%10s\n", "gain");
}

int main(int argc, char **argv)
{
    bool json = argc == 2 && strcmp(argv[1], "--json") == 0;
    size_t far_bytes = FAR_VECTORS / FR_BLOCK_VECTORS * block_size(768);
    uint8_t *data = fr_alloc(far_bytes), *table = fr_alloc(768 / 32 * FR_TABLE_ROW_SIZE);
    float *query = fr_alloc_zeroed(1024, sizeof(float)), *scratch = fr_alloc(1024 * sizeof(float));

    if (argc > 1 && !json) {
        fprintf(stderr, "usage: bench_kernels [--json]\n");
        return 2;
    }
    if (data == NULL || table == NULL || query == NULL || scratch == NULL) return 1;
    memset(data, 1, far_bytes); /* as floats tiny, but not denormal */
    memset(table, 1, 768 / 32 * FR_TABLE_ROW_SIZE);
    struct job common = {.data = data, .table = table, .query = query, .scratch = scratch};
    if (!json) print_head();
    report_dims(common, 128, json);
    report_dims(common, 768, json);
    if (json) printf("}\n");
    fr_free(data);
    fr_free(table);
    fr_free(query);
    fr_free(scratch);
    return 0;
}
