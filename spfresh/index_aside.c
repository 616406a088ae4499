/*
 * index_aside.c - rows of a bounded index that are read without the rest of their postings
 * (spfresh/aside.h, index_tiers.c).
 *
 * A posting is stored as it came: records of rows, and records of what has left, and what came last
 * may lie apart from what came first. If it is rows alone, and lies in a value file as it is, its
 * rows are read from there. Where it lies is as of some earlier moment. A search takes a view for
 * as long as it lasts, which keeps the files of the store; if one is none of these any more, the
 * posting is loaded as a whole, and that tells where it lies now.
 *
 * Any other posting has its rows written to a file when it is loaded first, as they would be stored
 * if it were written anew. The file has no name, ends with the index, and is emptied when that
 * gets everything into memory; what it has of a posting stays good until then, for a bounded index
 * does not change. If there can be no such file, as for whoever only reads the store, or nothing
 * can be written to it any more, these postings are loaded as a whole when something is wanted of
 * them.
 */
#include "base/alloc.h"
#include "base/cover.h"
#include "base/log.h"
#include "io/file.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/* Of what indexes may have, what a search keeps at the most of the memory for rows it has read. */
#define KEPT_PART 32

/*
 * Postings of which a search has read rows: so many are loaded after it, if there is room. And one
 * of so many, if there is none: others leave for it, as many as leave together, and others come in
 * their places. So what is searched most is there in the end, and a search hardly ever pays for it.
 */
#define BRING_MAX    8
#define BRING_ONE_OF 16384

/* ---- The file ---- */

fr_status fr_spfresh_asides_open(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    l->scratch_at = fr_alloc_zeroed(l->slot_count, sizeof(*l->scratch_at));
    if (l->scratch_at == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to load an index");
    fr_status st = fr_engine_scratch(index->engine, &l->scratch);
    if (st < 0) FR_COVER("index: there is no file for rows");
    if (st < 0 && st != FR_ERR_READONLY)
        fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": it is searched without a file for rows: %s",
                index->name, fr_last_error());
    atomic_store_explicit(&l->scratch_is_good, st == FR_OK, memory_order_relaxed);
    return FR_OK;
}

void fr_spfresh_asides_empty(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    if (l->scratch != NULL && fr_file_truncate(l->scratch, 0) < 0)
        FR_COVER("index: the file for rows stays as it is"); /* until the index is closed */
}

void fr_spfresh_asides_close(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_file_close(FR_TAKE(l->scratch));
    fr_free(FR_TAKE(l->scratch_at));
}

static fr_status write_rows(struct fr_spfresh *index, uint32_t number,
        const struct fr_entrant *rows, size_t count, struct fr_buf *value)
{
    struct fr_loading *l = &index->loading;
    fr_status st;

    fr_buf_clear(value);
    for (size_t i = 0; i < count; i++)
        fr_stored_put_came(value, index->space.dims, number, rows[i].id, rows[i].scale,
                rows[i].high, rows[i].low);
    FR_TRY(fr_buf_status(value));
    uint64_t at = atomic_fetch_add_explicit(&l->scratch_end, value->size, memory_order_relaxed);
    FR_TRY(fr_file_write(l->scratch, at, value->data, value->size, 0));
    l->scratch_at[number] = at + 1;
out:
    return st;
}

/* Once and for all: what is there stays good. */
static void give_up_writing(struct fr_spfresh *index)
{
    FR_COVER("index: rows cannot be written to their file");
    if (!atomic_exchange_explicit(&index->loading.scratch_is_good, false, memory_order_relaxed))
        return;
    fr_log(FR_LOG_WARN, "spfresh", "index \"%s\": its file for rows takes no more: %s", index->name,
            fr_last_error());
}

struct fr_spot fr_spfresh_spot(struct fr_spfresh *index, uint32_t number, struct fr_spot stored,
        const struct fr_entrant *rows, size_t count, struct fr_buf *value)
{
    struct fr_loading *l = &index->loading;

    if (!fr_spfresh_is_bounded(index) || count == 0) return (struct fr_spot){0};
    if (stored.file != 0) return stored;
    if (l->scratch_at[number] == 0 &&
            atomic_load_explicit(&l->scratch_is_good, memory_order_relaxed) &&
            write_rows(index, number, rows, count, value) < 0)
        give_up_writing(index);
    if (l->scratch_at[number] == 0) return (struct fr_spot){0};
    return (struct fr_spot){.file = FR_ASIDE_SCRATCH, .offset = l->scratch_at[number] - 1};
}

/* ---- A search ---- */

void fr_spfresh_asides_begin(struct fr_spfresh *index, struct fr_work *work)
{
    struct fr_asides *asides = &work->probe->asides;
    fr_seq at = FR_SEQ_MAX;

    if (FR_LIKELY(!fr_spfresh_is_bounded(index))) return;
    asides->engine = index->engine;
    asides->scratch = index->loading.scratch;
    asides->view = work->view = fr_engine_view_take(index->engine, &at);
    asides->charge = work->generation->tree->options.charge;
    asides->keep_max = fr_engine_indexes_most(index->engine) / KEPT_PART;
}

void fr_spfresh_asides_end(struct fr_spfresh *index, struct fr_work *work)
{
    if (FR_LIKELY(work->view == NULL)) return;
    fr_asides_end(&work->probe->asides);
    work->probe->asides.view = NULL;
    fr_engine_view_release(index->engine, FR_TAKE(work->view));
}

void fr_spfresh_bring_some(struct fr_spfresh *index, struct fr_work *work)
{
    const struct fr_asides *asides = &work->probe->asides;
    const struct fr_tree *tree = work->generation->tree;
    size_t room = fr_spfresh_room(index), count = 0;
    struct fr_found found[BRING_MAX];

    for (size_t i = 0; i < asides->posting_count && count < BRING_MAX; i++) {
        const struct fr_aside_posting *posting = &asides->postings[i];
        /* More than it takes: none is to leave for it. */
        size_t bytes = fr_tree_posting_bytes(tree, posting->count) * 5 / 4 + 1024;
        bool has_turn = ++work->set_aside % BRING_ONE_OF == 0;

        if (room < bytes && !has_turn) continue;
        room -= FR_MIN(room, bytes);
        found[count++] = (struct fr_found){.slot = posting->number};
    }
    if (count == 0) return;
    FR_COVER("index: what was read in part is loaded");
    if (fr_spfresh_load_found(index, found, count, &work->pins) < 0)
        FR_COVER("index: what was read in part cannot be loaded"); /* nobody needs it now */
}
