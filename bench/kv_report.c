/* bench of internals: it shares kv_work.h and uses json.h.
 *
 * kv_report.c - lines, tables, JSON.
 *
 * A figure is the median over the repeats. A ratio is taken repeat by repeat, because the machine's
 * speed drifts and the engines take turns within a repeat, and its median is told.
 */
#include "bench/kv_report.h"

#include <inttypes.h>
#include <string.h>

#include "base/compiler.h"
#include "base/human.h"
#include "bench/measure.h"
#include "tools/json.h"

typedef double figure(const struct kv_result *result);

enum peers { PEERS_LSM, PEERS_ALL, PEERS_ROCKSDB };

/* What must hold without compression. factor: Freshet's rate over the best peer's, at least. */
static const struct target {
    const char *workload;
    enum peers peers;
    double factor;
} targets[] = {
        {"fillrandom", PEERS_LSM, 2},
        {"overwrite", PEERS_LSM, 2},
        {"batch100", PEERS_LSM, 2},
        {"readrandom", PEERS_LSM, 2},
        {"multiread64", PEERS_LSM, 2},
        {"readseq", PEERS_LSM, 1},
        {"coldread", PEERS_ALL, 1},
        {"coldmulti64", PEERS_ALL, 2.5},
        {"append40", PEERS_ROCKSDB, 3},
        {"postingget", PEERS_ROCKSDB, 3},
        {"sync1", PEERS_ALL, 1},
        {"sync8", PEERS_ALL, 2},
};

/* --- Figures -----------------------------------------------------------------------------------
 */

static double ops_per_second(const struct kv_result *r)
{
    return r->elapsed_ns == 0 ? 0 : (double)r->ops * 1e9 / (double)r->elapsed_ns;
}

static double p50_us(const struct kv_result *r)
{
    return (double)r->p50_ns / 1e3;
}

static double p99_us(const struct kv_result *r)
{
    return (double)r->p99_ns / 1e3;
}

static double p999_us(const struct kv_result *r)
{
    return (double)r->p999_ns / 1e3;
}

static double max_us(const struct kv_result *r)
{
    return (double)r->max_ns / 1e3;
}

static double cpu_us(const struct kv_result *r)
{
    return r->ops == 0 ? 0 : (double)r->cpu_ns / 1e3 / (double)r->ops;
}

static double settle_s(const struct kv_result *r)
{
    return (double)r->settle_ns / 1e9;
}

static double stored_per_byte(const struct kv_result *r)
{
    return r->put_bytes == 0 ? 0 : (double)r->stored_bytes / (double)r->put_bytes;
}

static double passed_per_byte(const struct kv_result *r)
{
    return r->put_bytes == 0 ? 0 : (double)r->passed_bytes / (double)r->put_bytes;
}

static double space_per_byte(const struct kv_result *r)
{
    return r->live_bytes == 0 ? 0 : (double)r->disk_bytes / (double)r->live_bytes;
}

static double space_without_logs(const struct kv_result *r)
{
    return r->live_bytes == 0 ? 0 : (double)(r->disk_bytes - r->log_bytes) / (double)r->live_bytes;
}

static double peak_mib(const struct kv_result *r)
{
    return (double)r->peak_bytes / (1 << 20);
}

static double resident_percent(const struct kv_result *r)
{
    return 100 * r->resident_after;
}

static double stall_ratio(const struct kv_result *r)
{
    return r->p50_ns == 0 ? 0 : (double)r->p999_ns / (double)r->p50_ns;
}

static double median(const struct kv_cell *cell, figure *f)
{
    double figures[KV_REPEATS_MAX];

    for (uint64_t i = 0; i < cell->count; i++)
        figures[i] = f(&cell->results[i]);
    return measure_median(figures, cell->count);
}

static double extreme(const struct kv_cell *cell, figure *f, bool greatest)
{
    double best = cell->count == 0 ? 0 : f(&cell->results[0]);

    for (uint64_t i = 1; i < cell->count; i++) {
        double x = f(&cell->results[i]);
        best = greatest ? FR_MAX(best, x) : FR_MIN(best, x);
    }
    return best;
}

/* --- Lines -------------------------------------------------------------------------------------
 */

void kv_report_line(const char *workload, const struct kv_engine *engine,
        const struct kv_result *result)
{
    double ops = ops_per_second(result);

    printf("%-16s : %-14s %9.3f micros/op %9.0f ops/sec; %7.1f MB/s; p50 %.2f p99 %.2f p99.9 %.2f "
           "max %.0f us",
            workload, engine->name, ops > 0 ? 1e6 / ops : 0, ops,
            result->elapsed_ns == 0 ? 0 : (double)result->bytes * 1e3 / (double)result->elapsed_ns,
            p50_us(result), p99_us(result), p999_us(result), max_us(result));
    if (result->cpu_ns != 0) printf("; cpu %.2f us", cpu_us(result));
    if (result->settle_ns != 0 && result->put_bytes != 0)
        printf("; written %.2f (write %.2f), space %.2f (%.2f without logs), settled in %.1f s",
                stored_per_byte(result), passed_per_byte(result), space_per_byte(result),
                space_without_logs(result), settle_s(result));
    if (result->own_bytes != 0)
        printf(", own count %.2f", (double)result->own_bytes / (double)result->put_bytes);
    if (result->other_ops != 0)
        printf("; writer %.0f ops/sec",
                (double)result->other_ops * 1e9 / (double)result->elapsed_ns);
    if (result->resident_after > 0)
        printf("; %.0f %% in memory after", 100 * result->resident_after);
    if (result->resident > 0.001) printf("; %.1f %% were not cold", 100 * result->resident);
    if (result->cut) printf("; cut");
    printf("; rss %.0f MiB\n", peak_mib(result));
    fflush(stdout);
}

/* --- Tables ------------------------------------------------------------------------------------
 */

static size_t index_of(const char *workload)
{
    size_t i = 0;

    while (strcmp(kv_workloads[i].name, workload) != 0)
        i++;
    return i;
}

static bool has_row(const struct kv_report *report, size_t work)
{
    if ((kv_workloads[work].flags & KV_WORK_HIDDEN) != 0) return false;
    for (size_t e = 0; e < report->engine_count; e++)
        if (report->cells[work][e].count > 0) return true;
    return false;
}

static void print_head(const struct kv_report *report, const char *title)
{
    printf("\n%s\n%-16s", title, "");
    for (size_t e = 0; e < report->engine_count; e++)
        printf(" %21s", report->engines[e]->name);
    printf("\n");
}

static void print_rates(const struct kv_report *report)
{
    print_head(report, "operations per second: median (least..most)");
    for (size_t w = 0; kv_workloads[w].name != NULL; w++) {
        if (!has_row(report, w)) continue;
        printf("%-16s", kv_workloads[w].name);
        for (size_t e = 0; e < report->engine_count; e++) {
            const struct kv_cell *cell = &report->cells[w][e];
            char range[128];
            snprintf(range, sizeof(range), "(%s..%s)",
                    fr_human_count_short((uint64_t)extreme(cell, ops_per_second, false)).text,
                    fr_human_count_short((uint64_t)extreme(cell, ops_per_second, true)).text);
            if (cell->count == 0)
                printf(" %21s", "-");
            else if (cell->count == 1)
                printf(" %21.0f", median(cell, ops_per_second));
            else
                printf(" %8.0f %12s", median(cell, ops_per_second), range);
        }
        printf("\n");
    }
}

static void print_latencies(const struct kv_report *report)
{
    print_head(report, "latency, us: p50 / p99 / p99.9");
    for (size_t w = 0; kv_workloads[w].name != NULL; w++) {
        if (!has_row(report, w)) continue;
        printf("%-16s", kv_workloads[w].name);
        for (size_t e = 0; e < report->engine_count; e++) {
            const struct kv_cell *cell = &report->cells[w][e];
            char text[64];
            snprintf(text, sizeof(text), "%.3g / %.3g / %.3g", median(cell, p50_us),
                    median(cell, p99_us), median(cell, p999_us));
            printf(" %21s", cell->count == 0 ? "-" : text);
        }
        printf("\n");
    }
}

static void print_figure(const struct kv_report *report, unsigned flag, const char *title,
        figure *f, int digits)
{
    print_head(report, title);
    for (size_t w = 0; kv_workloads[w].name != NULL; w++) {
        if (!has_row(report, w) || (flag != 0 && (kv_workloads[w].flags & flag) == 0)) continue;
        printf("%-16s", kv_workloads[w].name);
        for (size_t e = 0; e < report->engine_count; e++) {
            const struct kv_cell *cell = &report->cells[w][e];
            if (cell->count == 0)
                printf(" %21s", "-");
            else
                printf(" %21.*f", digits, median(cell, f));
        }
        printf("\n");
    }
}

static bool is_ours(const struct kv_engine *engine)
{
    return kv_engine_is(engine, "freshet");
}

static bool is_peer(const struct kv_engine *engine, enum peers peers)
{
    if (is_ours(engine)) return false;
    if (peers == PEERS_ROCKSDB) return strncmp(engine->name, "rocksdb", 7) == 0;
    return peers == PEERS_ALL || (engine->caps & KV_CAP_LSM) != 0;
}

/* The engine of a row with the best median, or KV_ENGINES_MAX. */
static size_t best_peer(const struct kv_report *report, size_t work, enum peers peers)
{
    size_t best = KV_ENGINES_MAX;

    for (size_t e = 0; e < report->engine_count; e++) {
        const struct kv_cell *cell = &report->cells[work][e];
        if (!is_peer(report->engines[e], peers) || cell->count == 0) continue;
        if (best == KV_ENGINES_MAX ||
                median(cell, ops_per_second) > median(&report->cells[work][best], ops_per_second))
            best = e;
    }
    return best;
}

/* Of several variants the first that was named. */
static const struct kv_cell *our_cell(const struct kv_report *report, size_t work)
{
    for (size_t e = 0; e < report->engine_count; e++)
        if (is_ours(report->engines[e]) && report->cells[work][e].count > 0)
            return &report->cells[work][e];
    return NULL;
}

/* The median of our rate over the best rate among those peers, repeat by repeat; 0 if not known. */
static double ratio_to(const struct kv_report *report, size_t work, enum peers peers)
{
    const struct kv_cell *ours = our_cell(report, work);
    double ratios[KV_REPEATS_MAX];
    uint64_t count = 0;

    for (uint64_t i = 0; ours != NULL && i < ours->count; i++) {
        double best = 0;
        for (size_t e = 0; e < report->engine_count; e++) {
            const struct kv_cell *cell = &report->cells[work][e];
            if (is_peer(report->engines[e], peers) && i < cell->count)
                best = FR_MAX(best, ops_per_second(&cell->results[i]));
        }
        if (best > 0) ratios[count++] = ops_per_second(&ours->results[i]) / best;
    }
    return measure_median(ratios, count);
}

static void print_best(const struct kv_report *report, size_t work, enum peers peers)
{
    size_t best = best_peer(report, work, peers);

    if (best == KV_ENGINES_MAX)
        printf(" %13s %10s", "-", "");
    else
        printf(" %13s %10.0f", report->engines[best]->name,
                median(&report->cells[work][best], ops_per_second));
}

static void print_ratio(double ratio)
{
    if (ratio > 0)
        printf(" %8.2f", ratio);
    else
        printf(" %8s", "-");
}

static const struct target *target_of(const char *workload)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(targets); i++)
        if (strcmp(targets[i].workload, workload) == 0) return &targets[i];
    return NULL;
}

static void print_target(const struct kv_report *report, size_t work)
{
    static const char *const names[] = {"best LSM", "best", "RocksDB"};
    const struct target *target = target_of(kv_workloads[work].name);
    char text[64];

    if (target == NULL || report->settings->compression != KV_COMPRESSION_NONE) return;
    snprintf(text, sizeof(text), "%.3g x %s", target->factor, names[target->peers]);
    size_t best = best_peer(report, work, target->peers);
    printf("   %-16s", text);
    if (best == KV_ENGINES_MAX) return;
    printf(" %10.0f", target->factor * median(&report->cells[work][best], ops_per_second));
    double ratio = ratio_to(report, work, target->peers);
    if (ratio > 0) printf("  %s", ratio >= target->factor ? "met" : "NOT MET");
}

static void print_targets(const struct kv_report *report)
{
    printf("\nFreshet over the best peer, ops per second\n%-16s %24s %8s %24s %8s   %-16s %10s\n",
            "", "best LSM peer", "ratio", "best of all peers", "ratio", "target", "needs");
    for (size_t w = 0; kv_workloads[w].name != NULL; w++) {
        if (!has_row(report, w)) continue;
        printf("%-16s", kv_workloads[w].name);
        print_best(report, w, PEERS_LSM);
        print_ratio(ratio_to(report, w, PEERS_LSM));
        print_best(report, w, PEERS_ALL);
        print_ratio(ratio_to(report, w, PEERS_ALL));
        print_target(report, w);
        printf("\n");
    }
}

/* What is measured against a fixed figure. */
static void print_limit(const struct kv_report *report, const char *workload, const char *what,
        figure *f, double most)
{
    size_t work = index_of(workload);

    if (!has_row(report, work)) return;
    printf("%-44s", what);
    for (size_t e = 0; e < report->engine_count; e++)
        printf(" %s %.2f", report->engines[e]->name, median(&report->cells[work][e], f));
    const struct kv_cell *ours = our_cell(report, work);
    if (ours != NULL) printf("  %s", median(ours, f) <= most ? "met" : "NOT MET");
    printf("\n");
}

static double p50_ms(const struct kv_result *r)
{
    return (double)r->p50_ns / 1e6;
}

static double max_ms(const struct kv_result *r)
{
    return (double)r->max_ns / 1e6;
}

static void print_limits(const struct kv_report *report)
{
    size_t work = index_of("coldmulti64");

    printf("\nFixed limits\n");
    if (report->settings->compression == KV_COMPRESSION_NONE)
        print_limit(report, "fillrandom", "bytes stored per byte put (at most 2.2)",
                stored_per_byte, 2.2);
    print_limit(report, "reopen", "reopen, clean, ms (at most 50)", p50_ms, 50);
    print_limit(report, "reopenlog", "reopen with a full log, ms (at most 400)", p50_ms, 400);
    print_limit(report, "overload", "overload: p99.9 over p50 (at most 10)", stall_ratio, 10);
    print_limit(report, "overload", "overload: the longest stall, ms", max_ms, 1e9);
    if (report->disk_reads == 0 || !has_row(report, work)) return;
    printf("%-44s", "coldmulti64 over the disk's rate (at least 0.6)");
    for (size_t e = 0; e < report->engine_count; e++)
        printf(" %s %.2f", report->engines[e]->name,
                median(&report->cells[work][e], ops_per_second) / report->disk_reads);
    printf("  (the disk: %.0f random reads of 4 KiB per second)\n", report->disk_reads);
}

void kv_report_tables(const struct kv_report *report)
{
    print_rates(report);
    print_latencies(report);
    print_figure(report, 0,
            "processor time per operation, us (all threads; background work beyond the last "
            "operation "
            "is not in it)",
            cpu_us, 2);
    print_figure(report, KV_WORK_WRITES,
            "bytes stored per byte put (write_bytes of /proc/self/io, settled)", stored_per_byte,
            2);
    print_figure(report, KV_WORK_WRITES,
            "bytes passed to write(2) per byte put (wchar; nothing of io_uring's)", passed_per_byte,
            2);
    print_figure(report, KV_WORK_WRITES,
            "bytes on disk per live byte, settled (live bytes are counted before compression)",
            space_per_byte, 2);
    print_figure(report, KV_WORK_WRITES,
            "the same without logs, which engines keep for the next writes and which do not grow "
            "with the data",
            space_without_logs, 2);
    print_figure(report, KV_WORK_WRITES, "seconds to settle", settle_s, 1);
    print_figure(report, KV_WORK_COLD,
            "% of the files in memory after the cold reads: with much there, it is not cold any "
            "more",
            resident_percent, 0);
    print_figure(report, 0, "peak resident memory, MiB (lmdb's and leveldb's hold mapped files)",
            peak_mib, 0);
    print_targets(report);
    print_limits(report);
    fflush(stdout);
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static void json_result(struct fr_json *json, const struct kv_report *report, size_t work,
        size_t engine, uint64_t repeat)
{
    const struct kv_result *r = &report->cells[work][engine].results[repeat];

    fr_json_begin_object(json, NULL);
    fr_json_text(json, "workload", kv_workloads[work].name);
    fr_json_text(json, "engine", report->engines[engine]->name);
    fr_json_u64(json, "repeat", repeat);
    fr_json_double(json, "ops_per_second", ops_per_second(r));
    fr_json_u64(json, "ops", r->ops);
    fr_json_u64(json, "bytes", r->bytes);
    fr_json_u64(json, "elapsed_ns", r->elapsed_ns);
    fr_json_u64(json, "cpu_ns", r->cpu_ns);
    fr_json_u64(json, "p50_ns", r->p50_ns);
    fr_json_u64(json, "p99_ns", r->p99_ns);
    fr_json_u64(json, "p999_ns", r->p999_ns);
    fr_json_u64(json, "max_ns", r->max_ns);
    fr_json_u64(json, "settle_ns", r->settle_ns);
    fr_json_u64(json, "put_bytes", r->put_bytes);
    fr_json_u64(json, "stored_bytes", r->stored_bytes);
    fr_json_u64(json, "passed_bytes", r->passed_bytes);
    fr_json_u64(json, "own_bytes", r->own_bytes);
    fr_json_u64(json, "disk_bytes", r->disk_bytes);
    fr_json_u64(json, "live_bytes", r->live_bytes);
    fr_json_u64(json, "log_bytes", r->log_bytes);
    fr_json_double(json, "space_amplification", space_per_byte(r));
    fr_json_double(json, "space_amplification_without_logs", space_without_logs(r));
    fr_json_u64(json, "peak_bytes", r->peak_bytes);
    fr_json_u64(json, "other_ops", r->other_ops);
    fr_json_double(json, "resident", r->resident);
    fr_json_double(json, "resident_after", r->resident_after);
    fr_json_bool(json, "cut", r->cut);
    fr_json_end_object(json);
}

static void json_versions(struct fr_json *json, const struct kv_report *report)
{
    fr_json_begin_object(json, "versions");
    for (size_t e = 0; e < report->engine_count; e++)
        fr_json_text(json, report->engines[e]->name, report->engines[e]->version());
    fr_json_end_object(json);
}

static void json_settings(struct fr_json *json, const struct kv_report *report)
{
    const struct kv_settings *s = report->settings;

    fr_json_u64(json, "keys", s->keys);
    fr_json_u64(json, "value_size", s->value_size);
    fr_json_u64(json, "cache_bytes", s->cache_bytes);
    fr_json_u64(json, "write_buffer_bytes", s->write_buffer_bytes);
    fr_json_u64(json, "threads", s->threads);
    fr_json_text(json, "compression", s->compression == KV_COMPRESSION_ZSTD ? "zstd" : "none");
    fr_json_text(json, "values", s->values == KV_VALUES_JSON ? "json" : "floats");
    if (s->dictionary_bytes != UINT64_MAX)
        fr_json_u64(json, "dictionary_bytes", s->dictionary_bytes);
    fr_json_bool(json, "direct", s->direct);
    fr_json_u64(json, "repeats", report->repeats);
    json_versions(json, report);
    fr_json_double(json, "disk_reads_per_second", report->disk_reads);
}

bool kv_report_json(const struct kv_report *report, FILE *file)
{
    struct fr_json json = FR_JSON_EMPTY;

    fr_json_begin_object(&json, NULL);
    json_settings(&json, report);
    fr_json_begin_array(&json, "results");
    for (size_t w = 0; kv_workloads[w].name != NULL; w++)
        for (size_t e = 0; e < report->engine_count; e++)
            for (uint64_t i = 0; has_row(report, w) && i < report->cells[w][e].count; i++)
                json_result(&json, report, w, e, i);
    fr_json_end_array(&json);
    fr_json_end_object(&json);
    bool good = fr_buf_status(&json.text) == FR_OK &&
                fwrite(json.text.data, 1, json.text.size, file) == json.text.size &&
                fputc('\n', file) != EOF;
    fr_buf_deinit(&json.text);
    return good;
}
