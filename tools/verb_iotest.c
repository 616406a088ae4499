/*
 * verb_iotest.c - what a directory's disk does and what it costs there to be durable.
 *
 * Random direct reads by depth, and every way to make 4 KiB durable, one commit after the other. A
 * commit that is much faster than a device could write is pointed out: either the device's cache
 * survives a power loss, or somebody on the way acknowledges what is not there yet.
 */
#include <stdio.h>

#include "base/alloc.h"
#include "base/human.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "tools/args.h"
#include "tools/disk_probe.h"
#include "tools/json.h"
#include "tools/mount_info.h"
#include "tools/verbs.h"

#define READ_NAME   "iotest.read"
#define COMMIT_SIZE 4096

/* Flash takes longer than this to write, and disks far longer. */
#define COMMIT_US_PLAUSIBLE 20

static const unsigned depths[] = {1, 8, 64};

struct iotest {
    const char *path;
    uint64_t duration_ns; /* of each measurement */
    uint64_t file_size;
    bool as_json;
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_file *file;
    struct fr_mount_info mount;
    bool mount_known;
    struct fr_json json;
    struct fr_disk_rate rate; /* scratch: too large for the stack of a helper */
};

static struct fr_human latency(const struct iotest *t, uint32_t millionths)
{
    return fr_human_duration(fr_histogram_percentile(&t->rate.latency, millionths) * 1000);
}

static void json_rate(struct iotest *t)
{
    const struct fr_histogram *h = &t->rate.latency;

    fr_json_double(&t->json, "per_second", fr_disk_rate_per_second(&t->rate));
    fr_json_u64(&t->json, "p50_us", fr_histogram_percentile(h, FR_P50));
    fr_json_u64(&t->json, "p99_us", fr_histogram_percentile(h, FR_P99));
    fr_json_u64(&t->json, "p999_us", fr_histogram_percentile(h, FR_P999));
    fr_json_u64(&t->json, "max_us", h->max);
}

static void say_where(struct iotest *t)
{
    const char *warning = t->mount_known ? fr_mount_info_warning(&t->mount) : NULL;
    const char *kind = fr_env_kind_name(fr_env_kind(t->env));

    if (t->as_json) {
        fr_json_text(&t->json, "directory", t->path);
        fr_json_text(&t->json, "io", kind);
        fr_json_text(&t->json, "io_reason", fr_env_reason(t->env));
        fr_json_text(&t->json, "file_system", t->mount_known ? t->mount.type : "unknown");
        fr_json_text(&t->json, "mount_options", t->mount_known ? t->mount.options : "");
        fr_json_bool(&t->json, "direct", fr_file_is_direct(t->file));
        if (warning != NULL) fr_json_text(&t->json, "warning", warning);
        return;
    }
    printf("directory    %s\n", t->path);
    if (t->mount_known)
        printf("file system  %s on %s (%s)\n", t->mount.type, t->mount.source, t->mount.options);
    printf("i/o          %s (%s)\n", kind, fr_env_reason(t->env));
    printf("direct       %s\n", fr_file_is_direct(t->file)
                                        ? "yes"
                                        : "refused by the file system: figures are of memory");
    if (warning != NULL) printf("careful      %s\n", warning);
}

static fr_status test_reads(struct iotest *t)
{
    fr_status st = FR_OK;

    if (t->as_json)
        fr_json_begin_array(&t->json, "random_reads_4k");
    else
        printf("\n%-44s %12s %10s %10s\n", "random reads of 4 KiB", "per second", "p50", "p99");
    for (size_t i = 0; i < FR_ARRAY_COUNT(depths); i++) {
        struct fr_disk_reads plan = {.block_size = 4096,
                .depth = depths[i],
                .duration_us = t->duration_ns / 1000,
                .seed = i};
        FR_TRY(fr_disk_probe_reads(t->env, t->file, &plan, &t->rate));
        if (t->as_json) {
            fr_json_begin_object(&t->json, NULL);
            fr_json_u64(&t->json, "depth", depths[i]);
            json_rate(t);
            fr_json_end_object(&t->json);
            continue;
        }
        printf("  %2u at a time %41s %10s %10s\n", depths[i],
                fr_human_count((uint64_t)fr_disk_rate_per_second(&t->rate)).text,
                latency(t, FR_P50).text, latency(t, FR_P99).text);
        fflush(stdout);
    }
    if (t->as_json) fr_json_end_array(&t->json);
out:
    return st;
}

static fr_status test_syncs(struct iotest *t)
{
    bool implausible = false;
    fr_status st = FR_OK;

    if (t->as_json)
        fr_json_begin_array(&t->json, "durable_commits_4k");
    else
        printf("\n%-44s %12s %10s %10s\n", "durable commits of 4 KiB", "per second", "p50", "p99");
    for (int way = 0; way < FR_SYNC_WAY_COUNT; way++) {
        struct fr_disk_syncs plan = {.way = (enum fr_sync_way)way,
                .size = COMMIT_SIZE,
                .duration_us = t->duration_ns / 1000};
        FR_TRY(fr_disk_probe_syncs(t->env, t->dir, &plan, &t->rate));
        implausible |= fr_histogram_percentile(&t->rate.latency, FR_P50) < COMMIT_US_PLAUSIBLE;
        if (t->as_json) {
            fr_json_begin_object(&t->json, NULL);
            fr_json_text(&t->json, "way", fr_sync_way_name(plan.way));
            json_rate(t);
            fr_json_end_object(&t->json);
            continue;
        }
        printf("  %-42s %12s %10s %10s\n", fr_sync_way_text(plan.way),
                fr_human_count((uint64_t)fr_disk_rate_per_second(&t->rate)).text,
                latency(t, FR_P50).text, latency(t, FR_P99).text);
        fflush(stdout);
    }
    if (t->as_json) {
        fr_json_end_array(&t->json);
        fr_json_bool(&t->json, "implausibly_fast", implausible);
    } else if (implausible) {
        printf("\nA commit in less than %u us is faster than flash: either the device keeps its "
               "cache\n"
               "over a power loss, or something on the way acknowledges what is not stored yet.\n",
                COMMIT_US_PLAUSIBLE);
    }
out:
    return st;
}

static fr_status run_iotest(struct iotest *t)
{
    fr_status st;

    FR_TRY(fr_env_open(NULL, &t->env));
    FR_TRY(fr_dir_open(t->env, t->path, 0, &t->dir));
    t->mount_known = fr_mount_info_get(t->path, &t->mount) == FR_OK;
    FR_TRY(fr_disk_probe_file(t->dir, READ_NAME, t->file_size, &t->file));
    if (t->as_json) fr_json_begin_object(&t->json, NULL);
    say_where(t);
    FR_TRY(test_reads(t));
    FR_TRY(test_syncs(t));
    if (t->as_json) {
        fr_json_end_object(&t->json);
        FR_TRY(fr_json_print(&t->json));
    }
out:
    return st;
}

static void close_iotest(struct iotest *t)
{
    fr_file_close(t->file);
    if (t->dir != NULL) (void)!fr_dir_unlink(t->dir, READ_NAME);
    fr_dir_close(t->dir);
    fr_env_close(t->env);
    fr_buf_deinit(&t->json.text);
}

int fr_verb_iotest(int argc, char **argv)
{
    static struct iotest t = {.duration_ns = 500000000, .file_size = (uint64_t)256 << 20};
    const struct fr_option options[] = {
            {"time", 't', FR_OPTION_DURATION, "TIME", "of each measurement (500 ms)",
                    &t.duration_ns},
            {"size", 's', FR_OPTION_SIZE, "SIZE", "of the file that is read (256 MiB)",
                    &t.file_size},
            {"json", 0, FR_OPTION_FLAG, NULL, "the findings as one JSON object", &t.as_json},
    };
    struct fr_args args = {.verb = "iotest",
            .summary =
                    "Measure what reads, writes and syncs cost in a directory. Writes files named\n"
                    "iotest.* there and removes them.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    t.path = args.operands[0];
    if (run_iotest(&t) < 0) code = fr_exit_failed("iotest");
    close_iotest(&t);
    return code;
}
