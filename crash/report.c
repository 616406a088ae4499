#include "crash/report.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/rng.h"

static const struct {
    const char *key, *text;
} names[FR_CRASH_COUNTERS] = {
        [FR_CRASH_HISTORIES] = {"histories", "histories"},
        [FR_CRASH_STEPS] = {"steps", "steps of them"},
        [FR_CRASH_POINTS] = {"crash_points", "crash points"},
        [FR_CRASH_POINTS_TENDED] = {"crash_points_tended", "of them in background work"},
        [FR_CRASH_IMAGES] = {"images", "images of the disk"},
        [FR_CRASH_DISTINCT] = {"distinct_images", "distinct images"},
        [FR_CRASH_LEFT_OUT] = {"images_left_out", "images left out"},
        [FR_CRASH_RECOVERIES] = {"recoveries", "recoveries"},
        [FR_CRASH_DEPTH_1] = {"recoveries_depth_1", "recoveries after one crash"},
        [FR_CRASH_DEPTH_2] = {"recoveries_depth_2", "recoveries from a crash in one"},
        [FR_CRASH_DEPTH_3] = {"recoveries_depth_3", "recoveries three deep"},
        [FR_CRASH_KILLS] = {"kills", "processes killed"},
        [FR_CRASH_REOPENINGS] = {"reopenings", "reopenings"},
        [FR_CRASH_INGESTS] = {"ingests", "ingests"},
        [FR_CRASH_CHECKPOINTS] = {"checkpoints", "checkpoints"},
        [FR_CRASH_CHECKPOINTS_READ] = {"checkpoints_read", "checkpoints read after a crash"},
        [FR_CRASH_HELD] = {"held_reads", "snapshots and iterators read later"},
        [FR_CRASH_FAULT_CASES] = {"fault_cases", "fault cases"},
        [FR_CRASH_FAULT_MEMORY] = {"fault_cases_memory", "fault cases of memory"},
        [FR_CRASH_FAILURES] = {"answers_failed", "answers that failed"},
        [FR_CRASH_POISONED] = {"answers_poisoned", "answers refused since"},
        [FR_CRASH_OPENS_FAILED] = {"openings_failed", "openings that failed"},
        [FR_CRASH_LIES_TOLD] = {"lies_told", "lies of a disk told"},
        [FR_CRASH_SEQUENCES] = {"sequences", "sequences of operations"},
        [FR_CRASH_DAMAGES] = {"damages", "damaged stores"},
        [FR_CRASH_DAMAGES_TOLD] = {"damages_told", "damages told"},
        [FR_CRASH_DAMAGES_HARMLESS] = {"damages_harmless", "damages without an effect"},
        [FR_CRASH_DAMAGES_TORN] = {"damages_torn", "damages taken for a torn log"},
        [FR_CRASH_CONFIG_RUNS] = {"config_runs", "histories by configurations"},
        [FR_CRASH_READS] = {"reads", "whole reads"},
        [FR_CRASH_FINDINGS] = {"findings", "findings"},
};

const char *fr_crash_counter_key(enum fr_crash_counter counter)
{
    return names[counter].key;
}

const char *fr_crash_counter_text(enum fr_crash_counter counter)
{
    return names[counter].text;
}

void fr_crash_report_init(struct fr_crash_report *report)
{
    memset(report, 0, sizeof(*report));
    fr_mutex_init(&report->mu, FR_RANK_LEAF);
}

void fr_crash_report_deinit(struct fr_crash_report *report)
{
    fr_free(report->seen);
    fr_mutex_deinit(&report->mu);
}

void fr_crash_count(struct fr_crash_report *report, enum fr_crash_counter counter, uint64_t by)
{
    atomic_fetch_add_explicit(&report->counters[counter], by, memory_order_relaxed);
}

uint64_t fr_crash_counted(const struct fr_crash_report *report, enum fr_crash_counter counter)
{
    return atomic_load_explicit(&report->counters[counter], memory_order_relaxed);
}

/* ---- what was seen */

/* Where the hash is, or may be put. */
static uint64_t *place_of(uint64_t *seen, size_t room, uint64_t hash)
{
    size_t at = (size_t)fr_mix64(hash) & (room - 1);

    while (seen[at] != 0 && seen[at] != hash)
        at = (at + 1) & (room - 1);
    return &seen[at];
}

static bool make_room_locked(struct fr_crash_report *report) FR_REQUIRES(report->mu)
{
    if (report->seen_count * 2 < report->seen_room) return true;

    size_t room = report->seen_room == 0 ? 4096 : report->seen_room * 2;
    uint64_t *grown = fr_alloc_zeroed(room, sizeof(*grown));
    if (grown == NULL) return false;
    for (size_t i = 0; i < report->seen_room; i++)
        if (report->seen[i] != 0) *place_of(grown, room, report->seen[i]) = report->seen[i];
    fr_free(report->seen);
    report->seen = grown;
    report->seen_room = room;
    return true;
}

bool fr_crash_report_is_new(struct fr_crash_report *report, uint64_t hash)
{
    bool is_new = true;

    if (hash == 0) hash = 1;
    fr_mutex_lock(&report->mu);
    if (make_room_locked(report)) {
        uint64_t *place = place_of(report->seen, report->seen_room, hash);
        is_new = *place == 0;
        *place = hash;
        report->seen_count += is_new;
    }
    fr_mutex_unlock(&report->mu);
    return is_new;
}

void fr_crash_report_forget(struct fr_crash_report *report)
{
    fr_mutex_lock(&report->mu);
    fr_free(FR_TAKE(report->seen));
    report->seen_count = report->seen_room = 0;
    fr_mutex_unlock(&report->mu);
}

/* ---- findings */

fr_status fr_crash_find(struct fr_crash_report *report, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fr_mutex_lock(&report->mu);
    if (report->finding[0] == '\0')
        (void)vsnprintf(report->finding, sizeof(report->finding), format, args);
    fr_mutex_unlock(&report->mu);
    va_end(args);
    fr_crash_count(report, FR_CRASH_FINDINGS, 1);
    return FR_FAIL(FR_ERR_CANCELLED, "a finding ends this history");
}

void fr_crash_report_explain(struct fr_crash_report *report, const char *words)
{
    char finding[FR_CRASH_FINDING_MAX];

    fr_mutex_lock(&report->mu);
    memcpy(finding, report->finding, sizeof(finding));
    (void)snprintf(report->finding, sizeof(report->finding), "%.200s: %.800s", words, finding);
    fr_mutex_unlock(&report->mu);
}
