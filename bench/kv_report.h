/* bench of internals: it shares kv_work.h and uses json.h.
 *
 * kv_report.h - what bench_kv prints: a line per run, tables of medians, the targets, JSON.
 */
#ifndef FR_BENCH_KV_REPORT_H
#define FR_BENCH_KV_REPORT_H

#include <stdint.h>
#include <stdio.h>

#include "bench/kv_work.h"

#define KV_REPEATS_MAX   9
#define KV_ENGINES_MAX   12
#define KV_WORKLOADS_MAX 24

/* All results of a run. A cell without results has a count of 0. */
struct kv_cell {
    struct kv_result results[KV_REPEATS_MAX];
    uint64_t count;
};

struct kv_report {
    const struct kv_settings *settings;
    uint64_t repeats;
    const struct kv_engine *engines[KV_ENGINES_MAX];
    size_t engine_count;
    struct kv_cell cells[KV_WORKLOADS_MAX][KV_ENGINES_MAX];
    double disk_reads; /* random reads of 4 KiB per second at depth 64; 0: not measured */
};

/* db_bench's line for one run. */
void kv_report_line(const char *workload, const struct kv_engine *engine,
        const struct kv_result *result);

/* Medians, ratios to the best peers beside their targets, amplification, memory. */
void kv_report_tables(const struct kv_report *report);

/* Everything as one JSON object. Answers whether it could be written. */
bool kv_report_json(const struct kv_report *report, FILE *file);

#endif
