/*
 * index_cold.c - an index that is written, and has less memory than it would like.
 *
 * Where indexes hold more than they may (fr_engine_indexes_most), codes of vectors leave for a file
 * (spfresh/rows_cold.h), part by part, until that is not so any more, or all of them have left.
 * They come back, part by part, when there is room for two parts: so none comes that would have to
 * leave with the next few vectors. At 128 dimensions that is two thirds of an index's memory, at
 * 768 more than four fifths. What stays is always in memory: no write fails for want of room in the
 * budget.
 *
 * Who looks whether that is so: whoever makes an index larger (writes if there is no thread for
 * maintenance, loading, building it), each round of maintenance, and the thread for it now and then
 * if there is a budget at all. One at a time does something about it; others go on.
 *
 * The file is made when it is needed first. If it cannot be, or nothing can be written to it, codes
 * stay in memory: the log says so, and it is tried again a while later.
 *
 * An index that is bounded (index_tiers.c) is searched with less than that, and not written.
 */
#include "base/cover.h"
#include "base/log.h"
#include "io/file.h"
#include "spfresh/index_priv.h"

/* After a failure, so long nothing is tried. */
#define RETRY_US 2000000

static fr_status give_file(struct fr_spfresh *index, struct fr_tree *tree)
{
    struct fr_file *file = NULL;
    fr_status st = FR_OK;

    if (fr_tree_has_file(tree)) return FR_OK;
    FR_TRY(fr_engine_scratch(index->engine, &file));
    fr_tree_set_file(tree, file);
out:
    return st;
}

static size_t excess(const struct fr_spfresh *index)
{
    size_t most = fr_engine_indexes_most(index->engine);
    size_t used = fr_engine_indexes_bytes(index->engine);

    return used > most ? used - most : 0;
}

/* What leaves may be on its way to the system's memory still: no more leaves than has to. */
static fr_status cool(struct fr_spfresh *index, struct fr_tree *tree)
{
    size_t bytes;
    fr_status st;

    FR_TRY(give_file(index, tree));
    while (st == FR_OK && excess(index) > 0) {
        FR_TRY(fr_tree_cool(tree, &bytes));
        if (st == FR_OK) FR_COVER("index: codes leave memory");
    }
out:
    return st;
}

static bool has_room_for_two(const struct fr_spfresh *index, const struct fr_tree *tree)
{
    size_t most = fr_engine_indexes_most(index->engine);
    size_t part = fr_rows_part_bytes(&tree->tiers[0], FR_CODE_HIGH);

    return fr_spfresh_room(index) / 2 > part + most / 64;
}

static fr_status warm(struct fr_spfresh *index, struct fr_tree *tree)
{
    size_t bytes;
    fr_status st = FR_OK;

    while (st == FR_OK && has_room_for_two(index, tree)) {
        FR_TRY(fr_tree_warm(tree, &bytes));
        if (st == FR_OK) FR_COVER("index: codes come back into memory");
    }
out:
    return st;
}

/* A quarter is for postings, and for what is under way. */
bool fr_spfresh_has_room(const struct fr_spfresh *index)
{
    return fr_engine_indexes_bytes(index->engine) <= fr_engine_indexes_most(index->engine) / 4 * 3;
}

static bool is_needed(const struct fr_spfresh *index, const struct fr_tree *tree)
{
    return excess(index) > 0 ||
           (fr_rows_any_cold(&tree->tiers[0]) && has_room_for_two(index, tree));
}

void fr_spfresh_fit_tree(struct fr_spfresh *index, struct fr_tree *tree)
{
    if (FR_LIKELY(!is_needed(index, tree))) return;
    if (index->read_only || fr_spfresh_is_bounded(index)) return;
    uint64_t now_us = fr_engine_now_us(index->engine);
    if (now_us < atomic_load_explicit(&index->fit_after_us, memory_order_relaxed)) return;
    if (atomic_exchange_explicit(&index->is_fitting, true, memory_order_acquire)) return;
    fr_status st = excess(index) > 0 ? cool(index, tree) : warm(index, tree);
    /* Not FR_END: all that can leave has left, or all is back. */
    if (st < 0) {
        atomic_store_explicit(&index->fit_after_us, now_us + RETRY_US, memory_order_relaxed);
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": its codes stay where they are: %s",
                index->name, fr_last_error());
    }
    atomic_store_explicit(&index->is_fitting, false, memory_order_release);
}

void fr_spfresh_fit(struct fr_spfresh *index)
{
    struct fr_work *work = NULL;

    if (fr_spfresh_tree(index) == NULL || fr_spfresh_is_loading(index)) return;
    /* The tree stays while somebody has memory for a call in it. */
    if (fr_spfresh_take_work(index, &work) == FR_OK)
        fr_spfresh_fit_tree(index, work->generation->tree);
    fr_spfresh_give_work(index, work);
}
