/* For spfresh/index_*.c and their tests: the inside of an index. */
#ifndef FR_SPFRESH_INDEX_PRIV_H
#define FR_SPFRESH_INDEX_PRIV_H

#include <stdatomic.h>

#include "base/mutex.h"
#include "base/thread.h"
#include "lsm/batch.h"
#include "spfresh/effort.h"
#include "spfresh/id_map.h"
#include "spfresh/index.h"
#include "spfresh/lost.h"
#include "spfresh/probe.h"
#include "spfresh/stored.h"

/*
 * A tree, and what goes with it. A rebuild puts another one in its place; calls that have begun go
 * on in theirs, which is freed when the last of them has ended.
 */
struct fr_generation {
    /* Constant. */
    struct fr_tree *tree;
    struct fr_space space; /* the tree's, unless that is the index's first: zeroed then */

    size_t works; /* guarded by works_mu: of calls that are under way */

    struct fr_id_map map; /* guarded by mu: once it is not the index's own any more */
};

/* Postings that are to stay until a search has ended. */
struct fr_pins {
    uint32_t *numbers;
    size_t count, capacity;
};

/* The memory of one call, kept for the next one. */
struct fr_work {
    struct fr_work *next;
    struct fr_generation *generation; /* whose tree the probe is for; held while the call lasts */
    struct fr_probe *probe;
    float *query;
    struct fr_found *found;
    size_t found_capacity;
    struct fr_pins pins;
    struct fr_view *view;  /* in which rows are read while it is searched, or NULL */
    size_t set_aside;      /* postings of which it has read rows, in all its searches */
    struct fr_id_set seen; /* ids of an answer */

    /* Of searches that read rows. */
    struct fr_row_wish *wishes;
    struct fr_ranked *ranked;
    size_t wish_capacity;
    float *row, *rows; /* one vector, and some of them */

    /* Of a search that is watched. */
    struct fr_probe_trace trace;
    uint64_t start_ns;

    /* Of writes. */
    struct fr_entrant *entrants;
    size_t entrant_capacity;
    float *vectors; /* mapped, as many */
    int8_t *high;
    uint8_t *low;
    fr_slot *dead;
    struct fr_batch batch;
    struct fr_buf value;
};

/* No vector has it: numbers of texts begin with 1. */
#define FR_NUMBER_NONE UINT64_MAX

/* Where ids are text: the texts of a write's numbers, and whether their entries are to be written.
 */
struct fr_naming {
    const struct fr_text_id *texts;
    const bool *are_new;
};

/* What is derived, as the store has it. */
enum fr_derived {
    FR_DERIVED_NONE,  /* there is no space yet: the first vectors make one */
    FR_DERIVED_GOOD,  /* complete, and changes with memory */
    FR_DERIVED_GIVEN, /* given up: to be written anew */
};

enum fr_posting_state {
    FR_POSTING_WAITING,
    FR_POSTING_CLAIMED,
    FR_POSTING_LOADED,
    FR_POSTING_LOST,
    FR_POSTING_LEAN, /* its signs are there */
};

/* Postings that are not in memory yet, or not any more: see index_load.c and index_tiers.c. */
struct fr_loading {
    /* Release when all is loaded, acquire by whoever needs that. */
    _Atomic(bool) on;

    /* Release when rows are laid out anew, acquire by whoever loads: postings come and go. */
    _Atomic(bool) is_bounded;

    _Atomic(bool) all_wanted; /* relaxed: somebody waits for all postings */

    _Atomic(bool) stop; /* relaxed: the index is being closed */

    /* Constant while on. */
    struct fr_view *view;
    fr_seq at;
    uint32_t slot_count;
    size_t total, vectors_hint; /* postings; vectors, about */

    /* Of a bounded index (index_aside.c): a file for rows, and where those of each posting are in
     * it, plus one; who has claimed a posting may write there. */
    struct fr_file *scratch;       /* or NULL */
    _Atomic(bool) scratch_is_good; /* relaxed: it takes more */
    _Atomic(uint64_t) scratch_end; /* relaxed: what is handed out of it */
    uint64_t *scratch_at;

    struct fr_mutex mu; /* rank FR_RANK_LEAF */

    /* Guarded by mu. */
    uint8_t *states;      /* by slot */
    uint32_t *pins;       /* by slot: searches that need it; NULL if it never was bounded */
    size_t leaving_bytes; /* of postings that are about to be freed */
    size_t left;          /* postings that are not loaded */
    size_t lean;          /* postings of which the signs are there */
    uint64_t loads, evictions;
    uint32_t hand;           /* the slot that the clock comes by next */
    bool is_switching;       /* rows are being laid out anew: nothing is claimed */
    bool is_damaged;         /* what is stored, somewhere */
    bool has_worker;         /* somebody loads all */
    bool copies_rows;        /* of a reader: rows are being listed twice, by the thread */
    unsigned copies_held;    /* so many want that not to be done meanwhile */
    struct fr_error failure; /* status not 0: damage that cannot be mended */
    struct fr_cond changed;  /* something of the above */

    bool lacks_rows;  /* constant while on: what is stored lacks rows that could not be read */
    bool has_changed; /* the worker's: mending has found something */
    bool is_complete; /* the worker's: all is in memory, and perhaps not stored anew yet */
    struct fr_thread thread;
};

/* A rebuild that is under way: see index_rebuild.c. */
struct fr_rebuild {
    /* Guarded by mu. */
    bool remembers;           /* ids that change are remembered */
    struct fr_id_set changed; /* since they were last caught up with */
    fr_status refused; /* FR_ERR_NOMEM: one could not be remembered; FR_ERR_NOSPACE: it gives way */
    uint64_t of;       /* rows that there were when it began */

    _Atomic(bool) stop;     /* relaxed: the index is being closed */
    _Atomic(uint64_t) done; /* relaxed: rows that are in the new tree */
};

/* What is read ahead where all of a kind is read. */
#define FR_SPFRESH_READAHEAD ((size_t)2 << 20)

struct fr_spfresh {
    /* Constant after open. */
    struct fr_engine *engine;
    char name[FR_INDEX_NAME_MAX + 1];
    struct fr_index_key prefix;
    struct fr_stored_options options;
    bool options_lost; /* they are not what is derived goes by: that is not to be believed */
    bool read_only;
    fr_spfresh_pin *pin;
    uint32_t split_limit, merge_limit, copies, chunk_bits; /* as in fr_spfresh_setup */

    _Atomic(uint64_t) rebuilt; /* relaxed: as in fr_index_stats */

    /*
     * The current generation's. Release when the first vectors have come, acquire by whoever asks
     * whether there are any. It is freed after a rebuild: who uses it holds that off by a work, or
     * by a write in flight, or is the one to hold off writes.
     */
    _Atomic(struct fr_tree *) tree;

    /* Of the first tree, and constant once there is one; a later one has a space of its own, with
     * the same dimensions. */
    struct fr_space space;

    struct fr_mutex mu; /* rank FR_RANK_SPFRESH_INDEX */

    /* Guarded by mu. */
    struct fr_id_map map;
    size_t map_promised;        /* room that is kept for writes in flight */
    struct fr_id_set in_flight; /* ids of writes that have lined up, and whose */
    struct fr_id_set texts;     /* hashes of texts that writes have taken */
    size_t writes_in_flight;
    size_t full_disk_deletes; /* no rebuild begins meanwhile */
    size_t writers_waiting;
    bool maintaining; /* a round is waiting, or under way: no write begins */
    bool closing;
    bool lingers;      /* the thread does, for more to maintain */
    bool yields;       /* it waits until no writer does */
    bool outgrows;     /* the thread rebuilds the index, for what follows has become too much */
    uint64_t outgrown; /* vectors written that are longer than the space reaches */
    enum fr_derived derived;
    uint32_t generation;        /* that is stored; it changes while no write is in flight */
    struct fr_rebuild *rebuild; /* NULL: none is under way */
    struct fr_error failure;    /* status not 0: nothing is written any more */
    uint64_t refresh_owed;      /* vectors that came since a posting was last refreshed */
    struct fr_cond turn;        /* something of the above has changed */
    struct fr_cond work;        /* for the thread: there is something to maintain */

    struct fr_mutex works_mu; /* rank FR_RANK_LEAF */

    /* Guarded by works_mu. */
    struct fr_generation *current; /* NULL: no vector has come yet */
    struct fr_work *works;         /* that nobody uses, of the current generation */
    struct fr_cond abandoned;      /* one that is not current has no work left */
    struct fr_generation first;    /* of opening, or of the first vectors */

    _Atomic(uint64_t) pending;     /* relaxed: postings that wait */
    _Atomic(uint64_t) next_number; /* relaxed: of a text that has none yet */
    _Atomic(uint64_t) upserts, deletes, searches, scanned, measured; /* relaxed: for people */
    _Atomic(uint64_t) rebuilds; /* relaxed: of those that were asked for, and have succeeded */

    /* Relaxed: ids that a rebuild has to catch up with, once it does. */
    _Atomic(uint64_t) behind;

    struct fr_efforts efforts;
    _Atomic(uint64_t) efforts_due; /* relaxed: measured again after so many upserts and deletes */

    _Atomic(uint64_t) fit_after_us; /* relaxed: nobody sees to the budget before */

    struct fr_loading loading;
    struct fr_lost lost;

    struct fr_thread thread;
    bool has_thread;
    _Atomic(bool) is_fitting; /* acquire and release: somebody sees to the budget */
};

/* NULL: no vector has come yet. See there for how long it lives. */
static inline struct fr_tree *fr_spfresh_tree(const struct fr_spfresh *index)
{
    return atomic_load_explicit(&index->tree, memory_order_acquire);
}

/* Vectors that have come or gone since the index was opened, each time that they did. */
static inline uint64_t fr_spfresh_written(const struct fr_spfresh *index)
{
    return atomic_load_explicit(&index->upserts, memory_order_relaxed) +
           atomic_load_explicit(&index->deletes, memory_order_relaxed);
}

static inline bool fr_spfresh_is_damage(fr_status st)
{
    return st == FR_ERR_CORRUPT || st == FR_ERR_TOO_NEW;
}

static inline bool fr_spfresh_is_loading(const struct fr_spfresh *index)
{
    return atomic_load_explicit(&index->loading.on, memory_order_acquire);
}

/* Whether postings come and go: see index_tiers.c. */
static inline bool fr_spfresh_is_bounded(const struct fr_spfresh *index)
{
    return atomic_load_explicit(&index->loading.is_bounded, memory_order_acquire);
}

/*
 * The life of loading. begin: the tree has its centroids, and the view is the one that they were
 * read in; start: the index is as good as open, a thread loads if there is something to load and
 * there can be one; stop: nothing is loaded any more.
 */
void fr_spfresh_loading_init(struct fr_spfresh *index);
FR_NODISCARD fr_status fr_spfresh_loading_begin(struct fr_spfresh *index, struct fr_tree *tree,
        size_t vectors_hint);
void fr_spfresh_loading_start(struct fr_spfresh *index, bool by_thread);
void fr_spfresh_loading_stop(struct fr_spfresh *index);
void fr_spfresh_loading_deinit(struct fr_spfresh *index);

/* Of loading: whether there is a posting of that number, and FR_ERR_CANCELLED when it is to stop.
 */
bool fr_spfresh_is_posting(const struct fr_spfresh *index, uint32_t number);
FR_NODISCARD fr_status fr_spfresh_check_stop(struct fr_spfresh *index);

/*
 * Make memory what the rows say, when all postings that can be read are loaded: see index_mend.c.
 * What it has done stays, whether it comes to its end or not: it can be done again.
 */
FR_NODISCARD fr_status fr_spfresh_mend(struct fr_spfresh *index);

/*
 * Of a reader, whose rows are listed twice once all are loaded, by the thread that has loaded them:
 * it does nothing to the tree from here to there. All is loaded. Others list rows twice in their
 * maintenance, which is held off as that is.
 */
void fr_spfresh_hold_copies(struct fr_spfresh *index);
void fr_spfresh_let_copies(struct fr_spfresh *index);

/* Postings of vectors that are in memory, and that are not. */
void fr_spfresh_loading_count(struct fr_spfresh *index, uint64_t *ret_loaded, uint64_t *ret_left);

/*
 * Have postings that a search has found in memory when this returns, and pinned if they might leave
 * again. The caller is not in the tree's epoch. FR_ERR_TOO_NEW: one is damaged,
 * and a row is of a later version.
 */
FR_NODISCARD fr_status fr_spfresh_load_found(struct fr_spfresh *index, const struct fr_found *found,
        size_t count, struct fr_pins *pins);

/* --- Rows of a bounded index that are read without the rest of their postings: index_aside.c ---
 */

/* Its file, if it can have one; when nobody reads it any more; and at the end. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_spfresh_asides_open(struct fr_spfresh *index);
void fr_spfresh_asides_empty(struct fr_spfresh *index);
void fr_spfresh_asides_close(struct fr_spfresh *index);

/*
 * Where the rows of a posting can be read, which is being loaded: where it is stored, if they are
 * all of it, or else in the file, to which they are written. value is memory for that.
 */
struct fr_spot fr_spfresh_spot(struct fr_spfresh *index, uint32_t number, struct fr_spot stored,
        const struct fr_entrant *rows, size_t count, struct fr_buf *value);

/* A search begins, and may read rows if the index is bounded; it has ended. */
void fr_spfresh_asides_begin(struct fr_spfresh *index, struct fr_work *work);
void fr_spfresh_asides_end(struct fr_spfresh *index, struct fr_work *work);

/* Then: of the postings of which it has read rows some are loaded, if there is room for them, and
 * now and then one if there is not. The caller is not in the tree's epoch. */
void fr_spfresh_bring_some(struct fr_spfresh *index, struct fr_work *work);

/* --- Less memory than postings take: index_tiers.c --- */

/* Bytes that indexes may have yet. */
static inline size_t fr_spfresh_room(const struct fr_spfresh *index)
{
    size_t most = fr_engine_indexes_most(index->engine);
    size_t used = fr_engine_indexes_bytes(index->engine);

    return most - FR_MIN(used, most);
}

/* At loading_begin: bound the index if it would not have the memory. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_spfresh_bound(struct fr_spfresh *index, struct fr_tree *tree,
        size_t vectors);

/* It is to have everything in memory, from now on. The caller has the turn to load. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_spfresh_unbound(struct fr_spfresh *index);

/* Return when somebody else has called that, or nothing is to be loaded any more. */
void fr_spfresh_wait_unbounded(struct fr_spfresh *index);

/* Of searches: pin postings; and what is pinned may leave again, for the search has ended. */
FR_NODISCARD fr_status fr_spfresh_pin_found(struct fr_spfresh *index, const struct fr_found *found,
        size_t count, struct fr_pins *pins);
void fr_spfresh_search_over(struct fr_spfresh *index, struct fr_pins *pins);

/* Let postings leave until so many more bytes are within the budget, as far as they may. The caller
 * holds no lock, and is not in the tree's epoch. */
void fr_spfresh_make_room(struct fr_spfresh *index, size_t coming);

/* The same, but signs stay. Answers whether that was enough. */
bool fr_spfresh_make_lean(struct fr_spfresh *index, size_t coming);

/*
 * A search has found an id twice, while it was bounded: everything is loaded for that, and mended.
 * What was found is to be looked for again.
 */
FR_NODISCARD fr_status fr_spfresh_found_twice(struct fr_spfresh *index, uint64_t id);

/* Whether a tree that is being made may have more codes in memory, before it has postings. */
bool fr_spfresh_has_room(const struct fr_spfresh *index);

/*
 * See to it that indexes have the memory that they may have: codes leave, or come back. The tree
 * stays until then: nobody else has it yet, or the caller has a work of it. No lock of the index is
 * held, and the caller is not in the epoch.
 */
void fr_spfresh_fit_tree(struct fr_spfresh *index, struct fr_tree *tree);

/* The same of the current one, if all of it is loaded. */
void fr_spfresh_fit(struct fr_spfresh *index);

/* What has come and left. */
void fr_spfresh_tiers_count(struct fr_spfresh *index, struct fr_index_stats *ret_stats);

/*
 * Memory for one call; give it back. There is a tree. Its generation stays until then, and is the
 * current one if no write has been let in since a rebuild. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_spfresh_take_work(struct fr_spfresh *index, struct fr_work **ret_work);
void fr_spfresh_give_work(struct fr_spfresh *index, struct fr_work *work);
void fr_spfresh_free_work(struct fr_work *work);

/* The tree of opening, or of the first vectors. */
void fr_spfresh_show_first(struct fr_spfresh *index, struct fr_tree *tree);

/*
 * Calls that begin from now on are of this generation, whose map is the index's own from now on.
 * The answer is the one before, with its map; wait, then free it. No write is in flight.
 */
struct fr_generation *fr_spfresh_show_locked(struct fr_spfresh *index,
        struct fr_generation *generation) FR_REQUIRES(index->mu);
void fr_spfresh_wait_abandoned(struct fr_spfresh *index, struct fr_generation *generation);
void fr_spfresh_free_generation(struct fr_spfresh *index, struct fr_generation *generation);

/* Whether a generation that is held is still the current one; it is as long as the lock is held, or
 * a write is in flight. */
static inline bool fr_spfresh_is_current_locked(const struct fr_spfresh *index,
        const struct fr_generation *generation) FR_REQUIRES(index->mu)
{
    return generation->tree == fr_spfresh_tree(index);
}

/* The first vectors: what they are calibrated by. Nothing is stored. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_spfresh_make_tree(struct fr_spfresh *index, const float *sample,
        size_t count, bool restored, struct fr_tree **ret_tree);

/* A tree as the index has them, in a space that is calibrated. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_spfresh_new_tree(struct fr_spfresh *index, const struct fr_space *space,
        bool restored, struct fr_tree **ret_tree);

/* Walk over all keys that begin so. */
FR_NODISCARD fr_status fr_spfresh_scan(struct fr_spfresh *index, const struct fr_index_key *kind,
        struct fr_iter **ret_iter);

/* The tree from the rows, and the map with it; NULL if there are none. Nobody else has the index.
 */
FR_NODISCARD fr_status fr_spfresh_build(struct fr_spfresh *index, struct fr_tree **ret_tree);

/*
 * For a build that has lost rows: the space as it is stored, FR_NOT_FOUND if that cannot be read;
 * and what the stored postings have of lost rows, into a tree of that space.
 */
FR_NODISCARD fr_status fr_spfresh_read_space(struct fr_spfresh *index);
FR_NODISCARD fr_status fr_spfresh_carry_codes(struct fr_spfresh *index, struct fr_tree *tree);

/* Rows, as they are at a moment, into a tree that nobody else has yet. */
struct fr_filling {
    struct fr_tree *tree;
    struct fr_id_map *map; /* nobody else's, either */
    struct fr_view *view;  /* and at: the moment, as of fr_engine_scan(); NULL: that of opening,
                              but for what is damaged */
    fr_seq at;
    size_t threads;            /* the caller's own among them */
    const _Atomic(bool) *stop; /* or NULL; FR_ERR_CANCELLED */
    _Atomic(uint64_t) *done;   /* rows so far; or NULL */
};
FR_NODISCARD fr_status fr_spfresh_fill(struct fr_spfresh *index, const struct fr_filling *how);

/* Vectors by which a space is calibrated, if there are as many. */
#define FR_SPFRESH_SAMPLE ((size_t)16384)

/* A row of v/ that an iterator stands at. */
FR_NODISCARD fr_status fr_spfresh_read_row(const struct fr_spfresh *index, const struct fr_iter *it,
        uint64_t *ret_id, float *ret_vector);

/* Into a batch: the space; a posting as it is in memory, or its end; the end of a generation. */
FR_NODISCARD fr_status fr_spfresh_add_space(struct fr_spfresh *index, uint32_t generation,
        const struct fr_space *space, struct fr_batch *batch, struct fr_buf *value);
FR_NODISCARD fr_status fr_spfresh_add_posting(struct fr_spfresh *index, uint32_t generation,
        const struct fr_tree *tree, fr_slot number, struct fr_batch *batch, struct fr_buf *value);
FR_NODISCARD fr_status fr_spfresh_add_clearing(struct fr_spfresh *index, uint32_t generation,
        struct fr_batch *batch);

/* The same: no row is missing in what is derived. */
FR_NODISCARD fr_status fr_spfresh_add_no_loss(struct fr_spfresh *index, struct fr_batch *batch);

/* The same: what maintenance has changed in the tree, which forgets it then. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_spfresh_add_changes(struct fr_spfresh *index, uint32_t generation,
        struct fr_tree *tree, struct fr_batch *batch);

/* Write it, if there is anything in it, and empty it. */
FR_NODISCARD fr_status fr_spfresh_write_batch(struct fr_spfresh *index, struct fr_batch *batch);

/*
 * Write all postings of a tree, which nobody changes meanwhile, as the whole of a generation; the
 * last ones are left in the batch. stop may be NULL: FR_ERR_CANCELLED.
 */
FR_NODISCARD fr_status fr_spfresh_write_postings(struct fr_spfresh *index, uint32_t generation,
        struct fr_tree *tree, const _Atomic(bool) *stop, struct fr_batch *batch,
        struct fr_buf *value);

/* Write all that is derived, m/space last. On FR_OK it is good. Nobody writes meanwhile. */
FR_NODISCARD fr_status fr_spfresh_write_derived(struct fr_spfresh *index, struct fr_tree *tree);

/* The same, but a full disk is no failure: it is written as soon as there is space. */
FR_NODISCARD fr_status fr_spfresh_write_if_space(struct fr_spfresh *index, struct fr_tree *tree);

/* Give up what is derived in the batch that is being made. */
FR_NODISCARD fr_status fr_spfresh_give_up(struct fr_spfresh *index, struct fr_batch *batch);

/*
 * As fr_spfresh_upsert() and fr_spfresh_delete(); naming is NULL where ids are numbers. No other
 * write has the texts.
 */
FR_NODISCARD fr_status fr_spfresh_upsert_named(struct fr_spfresh *index,
        enum fr_durability durability, size_t count, const uint64_t *ids,
        const struct fr_naming *naming, const float *vectors, const struct fr_payload *payloads);
FR_NODISCARD fr_status fr_spfresh_delete_named(struct fr_spfresh *index,
        enum fr_durability durability, size_t count, const uint64_t *ids,
        const struct fr_naming *naming, size_t *ret_count);

/* What it is, by what is stored, or else by rows and setup: see index_options.c. At opening. */
FR_NODISCARD fr_status fr_spfresh_find_options(struct fr_spfresh *index,
        const struct fr_spfresh_setup *setup);

/* From which number on texts get theirs. At opening. */
FR_NODISCARD fr_status fr_spfresh_find_next_number(struct fr_spfresh *index);

/* Wait until no write is in flight and none begins; then let them. */
void fr_spfresh_quiesce_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu);
void fr_spfresh_resume_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu);

/* What maintenance has changed in memory, into the store. No write is in flight. There is a tree.
 */
FR_NODISCARD fr_status fr_spfresh_store_changes_locked(struct fr_spfresh *index)
        FR_REQUIRES(index->mu);

/* Remember the failure after which memory and store may differ; every later write answers it. */
void fr_spfresh_fail_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu);

/*
 * Measure what efforts reach, if the index has grown or shrunk by half since that was last done.
 * The caller holds no lock. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_spfresh_measure_efforts(struct fr_spfresh *index);

/* These ids have changed, or perhaps have: for a rebuild that is under way. */
void fr_spfresh_remember_locked(struct fr_spfresh *index, size_t count, const uint64_t *ids)
        FR_REQUIRES(index->mu);

void fr_spfresh_thread_main(void *arg);

/* A write has ended: the thread may have something to do. */
void fr_spfresh_wake_locked(struct fr_spfresh *index) FR_REQUIRES(index->mu);

#endif
