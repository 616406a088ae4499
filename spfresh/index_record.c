/*
 * index_record.c - what a search did, for whoever asked, and what became of one id.
 *
 * Searches that nobody asks about pay a comparison with NULL here and there. The others are
 * watched by their probe (probe_trace.c); this turns its figures into the caller's.
 */
#include "base/alloc.h"
#include "spfresh/index_search.h"
#include "spfresh/tree_priv.h"

static_assert(FR_SEARCH_TIERS_MAX >= FR_TIERS_MAX, "a record has room for each tier");

static double us_of(uint64_t ns)
{
    return (double)ns / 1000;
}

const char *fr_why_name(fr_why why)
{
    switch (why) {
    case FR_WHY_HIT:
        return "hit";
    case FR_WHY_MISSING:
        return "missing";
    case FR_WHY_NOT_PROBED:
        return "not probed";
    case FR_WHY_NOT_MEASURED:
        return "not measured";
    case FR_WHY_BEATEN:
        return "beaten";
    case FR_WHY_FAR:
        return "too far";
    }
    return "unknown";
}

static void clear_why(struct fr_search_why *why)
{
    if (why == NULL) return;
    *why = (struct fr_search_why){.size = why->size, .id = why->id, .verdict = FR_WHY_MISSING};
}

void fr_search_record_clear(struct fr_search_record *record)
{
    *record = (struct fr_search_record){.size = record->size,
            .postings = record->postings,
            .postings_room = record->postings_room,
            .why = record->why};
    clear_why(record->why);
}

/* ---- One id ---- */

/*
 * Where the id is. Its posting is the writers' to know; no search may wait for a writer, so this
 * comes before one begins.
 */
static void locate(struct fr_spfresh *index, const struct fr_work *work, uint64_t id,
        struct fr_probe_quest *ret_quest)
{
    struct fr_generation *generation = work->generation;
    struct fr_tree *tree = generation->tree;

    *ret_quest = (struct fr_probe_quest){.slot = FR_SLOT_NONE, .node = FR_SLOT_NONE};
    fr_mutex_lock(&index->mu);
    bool is_current = fr_spfresh_is_current_locked(index, generation);
    fr_slot slot = fr_id_map_find(is_current ? &index->map : &generation->map, id);
    if (slot != FR_SLOT_NONE) {
        const struct fr_row *row = fr_rows_row(&tree->tiers[0], slot);
        fr_mutex_lock(&tree->mu);
        ret_quest->slot = slot;
        ret_quest->version = atomic_load_explicit(&row->version, memory_order_relaxed);
        ret_quest->node = row->node;
        fr_mutex_unlock(&tree->mu);
    }
    fr_mutex_unlock(&index->mu);
}

static float distance_to(const struct fr_work *work, const struct fr_rows *rows, fr_slot slot)
{
    return work->probe->tree->space->kernels->l2_row8(work->query, fr_rows_high(rows, slot),
            fr_rows_row(rows, slot)->scale, rows->dims);
}

static bool is_in_use(const struct fr_row *row)
{
    return atomic_load_explicit(&row->version, memory_order_acquire) % 2 == 1 &&
           (atomic_load_explicit(&row->stamp, memory_order_acquire) & FR_ROW_DEAD) == 0;
}

/* One more than there are centroids that are nearer. */
static uint64_t rank_posting(const struct fr_work *work, float distance)
{
    const struct fr_rows *rows = &work->probe->tree->tiers[1];
    fr_slot count = atomic_load_explicit(&rows->slot_count, memory_order_acquire);
    uint64_t rank = 1;

    for (fr_slot slot = 0; slot < count; slot++)
        if (is_in_use(fr_rows_row(rows, slot))) rank += distance_to(work, rows, slot) < distance;
    return rank;
}

static void describe_posting(const struct fr_work *work, const struct fr_answer *answer)
{
    const struct fr_probe_quest *quest = &work->trace.quest;
    const struct fr_rows *rows = &work->probe->tree->tiers[1];
    struct fr_search_why *why = answer->record->why;

    /* It may have been split since the id was located. */
    if (quest->node == FR_SLOT_NONE || !is_in_use(fr_rows_row(rows, quest->node))) return;
    float distance = distance_to(work, rows, quest->node);
    why->posting = quest->node;
    why->posting_distance = fr_search_tell(answer, distance);
    why->posting_rank = rank_posting(work, distance);
}

/* The caller is in the epoch, and the query is mapped. */
static void describe(struct fr_work *work, const struct fr_answer *answer)
{
    struct fr_probe_quest *quest = &work->trace.quest;
    const struct fr_rows *rows = &work->probe->tree->tiers[0];
    struct fr_search_why *why = answer->record->why;

    if (why == NULL || quest->slot == FR_SLOT_NONE) return;
    const struct fr_row *row = fr_rows_row(rows, quest->slot);
    if (atomic_load_explicit(&row->version, memory_order_acquire) != quest->version) {
        quest->slot = FR_SLOT_NONE; /* deleted, or put anew, since it was located */
        return;
    }
    const int8_t *high;
    const uint8_t *low;
    if (fr_rows_code(rows, quest->slot, &work->probe->room, &high, &low) != FR_OK) {
        quest->slot = FR_SLOT_NONE; /* the same, or nobody can say how far it is */
        return;
    }
    why->distance = fr_search_tell(answer, work->probe->tree->space->kernels->l2_row12(work->query,
                                                   high, low, row->scale, rows->dims));
    describe_posting(work, answer);
    why->probed = quest->reached != FR_QUEST_UNSEEN;
    if (!why->probed) return;
    why->estimate = fr_search_tell(answer, quest->estimate);
    why->limit = fr_search_tell(answer, quest->limit);
}

static bool is_hit(const struct fr_answer *answer, uint64_t id)
{
    for (size_t i = 0; i < answer->count; i++)
        if (answer->hits[i].id == id) return true;
    return false;
}

static fr_why judge(const struct fr_asking *asking, const struct fr_probe_quest *quest,
        const struct fr_answer *answer)
{
    const struct fr_search_options *how = asking->how;
    const struct fr_search_why *why = answer->record->why;
    bool measured = quest->reached == FR_QUEST_MEASURED || how->exhaustive;

    if (is_hit(answer, why->id)) return FR_WHY_HIT;
    if (quest->slot == FR_SLOT_NONE) return FR_WHY_MISSING;
    if (how->limited &&
            (why->distance > how->max_distance || (measured && answer->count < asking->k)))
        return FR_WHY_FAR;
    if (measured) return FR_WHY_BEATEN;
    return quest->reached == FR_QUEST_UNSEEN ? FR_WHY_NOT_PROBED : FR_WHY_NOT_MEASURED;
}

/* ---- By the tree ---- */

void fr_search_record_begin(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer)
{
    struct fr_search_record *record = answer->record;
    struct fr_engine *engine = asking->index->engine;

    record->effort_postings = asking->effort.postings;
    record->effort_width = asking->effort.width;
    record->effort_slack = (double)fr_effort_slack(&asking->effort, asking->index->space.dims);
    work->trace = (struct fr_probe_trace){.engine = engine, .quest.slot = FR_SLOT_NONE};
    if (record->why != NULL) locate(asking->index, work, record->why->id, &work->trace.quest);
    work->trace.now_ns = work->start_ns = fr_engine_now_ns(engine);
    work->probe->trace = &work->trace;
}

void fr_search_record_round_begin(struct fr_work *work)
{
    (void)fr_probe_trace_lap(&work->trace);
    work->trace.quest.reached = FR_QUEST_UNSEEN;
}

static void list_postings(const struct fr_work *work, const struct fr_answer *answer)
{
    const struct fr_probe *probe = work->probe;
    struct fr_search_record *record = answer->record;

    if (record->postings == NULL) return;
    for (size_t i = 0; i < probe->found_count && i < record->postings_room; i++) {
        const struct fr_node *node = probe->nodes[i];
        record->postings[i] = (struct fr_search_posting){.number = probe->found[i].slot,
                .distance = fr_search_tell(answer, probe->found[i].distance),
                .count = node == NULL ? 0
                                      : atomic_load_explicit(&node->count, memory_order_relaxed)};
    }
}

void fr_search_record_round_end(struct fr_work *work, const struct fr_answer *answer)
{
    struct fr_search_record *record = answer->record;

    record->rounds++;
    record->tiers = atomic_load_explicit(&work->probe->tree->tier_count, memory_order_acquire) - 1;
    list_postings(work, answer);
    describe(work, answer);
}

void fr_search_record_end(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer)
{
    struct fr_search_record *record = answer->record;
    const struct fr_probe_trace *trace = &work->trace;

    work->probe->trace = NULL;
    for (size_t i = 0; i < FR_TIERS_MAX; i++)
        record->steps[i] = (struct fr_search_step){.postings = trace->steps[i].nodes,
                .scanned = trace->steps[i].scanned,
                .measured = trace->steps[i].measured,
                .us = us_of(trace->steps[i].ns)};
    record->finished = trace->finished;
    record->prepare_us = us_of(trace->prepare_ns);
    record->finish_us = us_of(trace->finish_ns);
    record->total_us += us_of(fr_engine_now_ns(trace->engine) - work->start_ns);
    if (record->why != NULL) record->why->verdict = judge(asking, &trace->quest, answer);
}

/* ---- Rows ---- */

uint64_t fr_search_record_now(const struct fr_asking *asking)
{
    return asking->how->ret_records == NULL ? 0 : fr_engine_now_ns(asking->index->engine);
}

void fr_search_record_reading(const struct fr_asking *asking, const struct fr_answer *answers,
        size_t count, uint64_t start_ns, bool in_total)
{
    if (asking->how->ret_records == NULL) return;
    double us = us_of(fr_engine_now_ns(asking->index->engine) - start_ns) / (double)count;
    for (size_t i = 0; i < count; i++) {
        answers[i].record->read_us += us;
        if (in_total) answers[i].record->total_us += us;
    }
}

void fr_search_record_all(const struct fr_asking *asking, struct fr_work *work,
        const struct fr_answer *answer)
{
    struct fr_search_record *record = answer->record;
    struct fr_tree *tree = work->generation->tree;

    if (record->why == NULL) return;
    work->trace = (struct fr_probe_trace){.quest.slot = FR_SLOT_NONE};
    locate(asking->index, work, record->why->id, &work->trace.quest);
    fr_space_map_query(tree->space, answer->query, work->query);
    unsigned reader = fr_epoch_enter(&tree->epoch);
    describe(work, answer);
    fr_epoch_leave(&tree->epoch, reader);
    record->why->verdict = judge(asking, &work->trace.quest, answer);
}
