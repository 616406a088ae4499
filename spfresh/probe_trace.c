/*
 * probe_trace.c - a walk that is watched: what each step looked at and how long it took, and how
 * far one row came.
 */
#include "spfresh/probe.h"

#include "lsm/engine.h"

void fr_probe_trace_begin(struct fr_probe *probe)
{
    struct fr_probe_trace *trace = probe->trace;

    trace->before = probe->stats;
    trace->prepare_ns += fr_probe_trace_lap(trace);
}

uint64_t fr_probe_trace_lap(struct fr_probe_trace *trace)
{
    uint64_t now_ns = fr_engine_now_ns(trace->engine);
    uint64_t lap_ns = now_ns > trace->now_ns ? now_ns - trace->now_ns : 0;

    trace->now_ns = now_ns;
    return lap_ns;
}

void fr_probe_trace_step(struct fr_probe *probe, uint32_t tier, size_t nodes)
{
    struct fr_probe_trace *trace = probe->trace;
    struct fr_probe_step *step = &trace->steps[tier];

    step->nodes += nodes;
    step->scanned += probe->stats.scanned - trace->before.scanned;
    step->measured += probe->stats.measured - trace->before.measured +
                      (probe->stats.centroids - trace->before.centroids);
    step->ns += fr_probe_trace_lap(trace);
    trace->before = probe->stats;
}

void fr_probe_trace_finish(struct fr_probe *probe)
{
    struct fr_probe_trace *trace = probe->trace;

    trace->finished += probe->stats.finished - trace->before.finished;
    trace->finish_ns += fr_probe_trace_lap(trace);
    trace->before = probe->stats;
}

/* ---- One row ---- */

static bool is_sought(const struct fr_probe_quest *quest, const struct fr_node_entry *entry)
{
    return entry->slot == quest->slot && fr_entry_version(entry) == quest->version;
}

/* The bound that a scan finds for one entry. */
static float bound_of(const struct fr_probe *probe, const struct fr_node *node, size_t place,
        const struct fr_scan *scan)
{
    float bounds[FR_BLOCK_VECTORS];

    (void)probe->tree->space->kernels->scan(node->blocks +
                                                    place / FR_BLOCK_VECTORS * node->block_size,
            scan, bounds);
    return bounds[place % FR_BLOCK_VECTORS];
}

void fr_probe_trace_node(struct fr_probe *probe, const struct fr_node *node,
        const struct fr_scan *scan)
{
    struct fr_probe_quest *quest = &probe->trace->quest;
    size_t count = atomic_load_explicit(&node->count, memory_order_acquire);

    if (quest->slot == FR_SLOT_NONE || quest->reached == FR_QUEST_MEASURED) return;
    for (size_t place = 0; place < count; place++) {
        if (!is_sought(quest, &node->entries[place])) continue;
        float bound = bound_of(probe, node, place, scan);
        if (quest->reached == FR_QUEST_WANTED && !(bound < quest->estimate)) continue;
        quest->node = node->number;
        quest->estimate = bound;
        quest->limit = scan->limit;
        quest->reached = bound <= scan->limit ? FR_QUEST_WANTED : FR_QUEST_DROPPED;
    }
}

/* Among the first count entries that are wanted. */
static bool is_among(const struct fr_probe *probe, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (is_sought(&probe->trace->quest, probe->wanted[i])) return true;
    return false;
}

void fr_probe_trace_drop(struct fr_probe *probe, float limit)
{
    struct fr_probe_quest *quest = &probe->trace->quest;

    if (quest->slot == FR_SLOT_NONE || quest->reached != FR_QUEST_WANTED) return;
    quest->limit = limit;
    if (!is_among(probe, probe->wanted_count)) quest->reached = FR_QUEST_DROPPED;
}

void fr_probe_trace_chosen(struct fr_probe *probe)
{
    struct fr_probe_quest *quest = &probe->trace->quest;

    if (quest->slot == FR_SLOT_NONE || quest->reached != FR_QUEST_WANTED) return;
    if (is_among(probe, probe->chosen_count)) quest->reached = FR_QUEST_MEASURED;
}
