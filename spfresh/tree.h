/*
 * tree.h - vectors, the centroids of their postings, the centroids of those, and so on.
 *
 * A tier is a store of rows; the rows of tier 0 are the vectors. Each row of a tier but the last is
 * listed in a posting of the tier above it: each row there is a centroid, and has a node
 * (spfresh/node.h) that lists the rows which lie nearest to it. The last tier has so few rows
 * that all are looked at. So one set of rules keeps all tiers in shape:
 *
 *     tier 2    16 centroids of centroids         looked at one by one
 *     tier 1    2,000 centroids                   in 16 nodes
 *     tier 0    100,000 vectors                   in 2,000 nodes
 *
 * The rules (spfresh/reshape.h) are LIRE's: a node with too many entries is split, one with too
 * few is dissolved, and rows whose nearest centroid has become another are moved there. (Y. Xu et
 * al., "SPFresh: incremental in-place update for billion-scale vector search".)
 *
 * Writers take turns by the tree's lock. Searches take none. What they can rely on:
 *
 *   - A row is entered into its new node before it counts as there. Its old entry stays until that
 *     node is replaced, which waits until searches that may have missed the new entry have ended.
 *     So each search finds a row that is not being written at least once, and may find it twice.
 *   - A centroid that is replaced dies after those that replace it are in place. A search that
 * began before goes by the old one: node and slot stay until it has ended.
 *   - A row's vector never changes: a vector that is written anew gets another slot, and the old
 *     row dies in the same step in which the new one is born, as the clock counts steps. A search
 *     sees what was alive when it began.
 */
#ifndef FR_SPFRESH_TREE_H
#define FR_SPFRESH_TREE_H

#include "spfresh/node.h"
#include "spfresh/rows_cold.h"
#include "spfresh/space.h"

#define FR_TIERS_MAX 8

/* For fr_tree_options.copies: no vector is listed twice. */
#define FR_COPIES_NONE UINT32_MAX

struct fr_tree_options {
    uint32_t split_limit;  /* a posting of vectors is split beyond; 0: the default */
    uint32_t merge_limit;  /* and dissolved below */
    uint32_t inner_limit;  /* the same of centroids */
    uint32_t neighbours;   /* postings around a split whose rows are looked at */
    uint32_t insert_width; /* postings of centroids that are looked at to place a vector */
    uint32_t copies;       /* of a hundred vectors so many are listed twice (spfresh/copies.h) */
    uint32_t chunk_bits;   /* of rows of vectors (spfresh/rows.h) */
    fr_charge charge;      /* whose memory it is (base/account.h) */
    bool restored;         /* begins without a posting: these come by fr_tree_restore_posting */
};

/* What zeros stand for. */
struct fr_tree_options fr_tree_options_default(void);

/* A node that needs a look: by the tier of its centroid, and that one's slot. */
struct fr_task {
    uint32_t tier;
    fr_slot number;
    uint32_t version;
};

/* What died: its slot is given back, and its node freed, once nobody can be looking. */
struct fr_corpse {
    uint32_t tier;
    fr_slot slot;
    fr_slot node; /* where it was listed last, or none */
    uint32_t place;
};

struct fr_tree_stats {
    uint64_t splits, dissolved, refreshed, compacted;
    uint64_t split_failures;  /* all alike: left as they are */
    uint64_t examined, moved; /* rows, in reassignments */
};

/*
 * What maintenance has changed in the postings of vectors, for those who keep them elsewhere, too.
 * Rows that enter or leave the tree are not told: whoever lets them knows. A posting that is
 * written anew is as it is when the changes are taken.
 */
enum fr_change_kind {
    FR_CHANGE_LEFT,    /* the row of an id is not in the posting any more */
    FR_CHANGE_CAME,    /* the row in slot is in the posting now */
    FR_CHANGE_WRITTEN, /* the posting is new, or shorter than before */
    FR_CHANGE_GONE,    /* there is no such posting, nor centroid */
};

struct fr_change {
    enum fr_change_kind kind;
    fr_slot number; /* of the posting's centroid */
    fr_slot slot;
    uint64_t id;
};

/* Recorded while on. lost: there was no memory for one, so all must be looked at. */
struct fr_changes {
    bool on, lost;
    struct fr_change *items;
    size_t count, capacity;
};

struct fr_probe;

struct fr_tree {
    struct fr_epoch epoch; /* of searches */

    /* Constant after it is made. */
    const struct fr_space *space;
    struct fr_tree_options options;

    struct fr_node_pool pool;   /* any thread's */
    struct fr_node_pool pieces; /* of postings of vectors that come and go; loose */

    _Atomic(uint32_t) tier_count; /* release when a tier is complete, acquire by searches */
    _Atomic(uint64_t) clock;      /* steps: release when a step is complete, acquire by searches */
    _Atomic(bool) is_partial;     /* release when the last posting is there, acquire by searches */
    _Atomic(bool) is_untidy;      /* relaxed: a hint. Postings wait for fr_tree_tidy */
    struct fr_rows tiers[FR_TIERS_MAX];

    struct fr_mutex mu; /* rank FR_RANK_SPFRESH_TREE */

    /* Guarded by mu. */
    struct fr_task *tasks; /* the last first: what a split leaves is looked at next */
    size_t task_count, task_capacity;
    struct fr_corpse *corpses;
    size_t corpse_count, corpse_capacity;
    size_t corpses_promised; /* room that is kept for deaths to come */
    fr_slot refreshed;       /* the posting at which the next refresh begins */
    uint32_t tidied_tier;    /* the posting at which tidying goes on; 0: it begins */
    fr_slot tidied;
    uint64_t left_behind;   /* entries that were their rows' own, since tidying began last */
    uint64_t uncopied;      /* rows that came since then, or have lost their copy */
    size_t copies;          /* rows that have one */
    struct fr_probe *probe; /* the writers' own, as what follows */
    float *vector, *centroid;
    int8_t *high;
    uint8_t *low;
    struct fr_code_room room; /* of a row whose code is cold */
    struct fr_reshape *reshape;
    struct fr_copier *copier;
    struct fr_tree_stats stats;
    struct fr_changes changes;
};

/* FR_ERR_NOMEM. The space outlives the tree, and is calibrated. Zeros in options are defaults. */
FR_NODISCARD fr_status fr_tree_new(const struct fr_space *space,
        const struct fr_tree_options *options, struct fr_tree **ret_tree);

/* Accepts NULL. Nobody searches any more. */
void fr_tree_free(struct fr_tree *tree);

/*
 * Add the row of a user's vector. With replaces not FR_SLOT_NONE that row dies in the same step.
 * Searches that begin after this returns find it. FR_ERR_NOMEM, FR_ERR_FULL: nothing has changed.
 */
FR_NODISCARD fr_status fr_tree_add(struct fr_tree *tree, uint64_t id, const float *vector,
        fr_slot replaces, fr_slot *ret_slot);

/*
 * The same in steps, so that most of the work is done without the lock, and a row can be listed
 * before it counts: fr_tree_locate, fr_tree_enter, then fr_tree_publish or fr_tree_withdraw.
 */

/* A vector as it is to be entered, in the caller's memory; x is what the code says. */
struct fr_entrant {
    uint64_t id;
    float *x;
    int8_t *high;
    uint8_t *low;
    float scale;
    fr_slot number; /* where it belongs, as found */
    uint32_t version;
    fr_slot slot; /* where it has been entered */
};

/* Encode x, which is mapped, and find its posting. The caller is in the epoch. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_tree_locate(struct fr_probe *probe, struct fr_entrant *entrant);

/* The same of one vector alone: the caller is not in the epoch. */
FR_NODISCARD fr_status fr_tree_locate_one(struct fr_probe *probe, struct fr_entrant *entrant);

/* List it, unborn. It is as found in entrant->slot and number. FR_ERR_NOMEM, FR_ERR_FULL. */
FR_NODISCARD fr_status fr_tree_enter(struct fr_tree *tree, struct fr_entrant *entrant);

/*
 * Room for so many deaths, which is kept until fr_tree_publish or fr_tree_withdraw is told the same
 * number: these cannot fail. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_tree_reserve(struct fr_tree *tree, size_t count);

/* In one step the born are born and the dead die. */
void fr_tree_publish(struct fr_tree *tree, const struct fr_entrant *born, size_t born_count,
        const fr_slot *dead, size_t dead_count, size_t reserved);

/* They are not born. */
void fr_tree_withdraw(struct fr_tree *tree, const struct fr_entrant *unborn, size_t count,
        size_t reserved);

/*
 * How a tree is made of many vectors at once (spfresh/tree_bulk.c). It is new, and nobody else has
 * it. FR_ERR_NOMEM, FR_ERR_FULL, FR_ERR_CANCELLED: it is good for nothing but to be freed.
 *
 *     fr_tree_bulk_take    slots for some of them     any thread
 *     fr_tree_bulk_fill    a mapped vector in one     any thread
 *     fr_tree_bulk_end     postings of all of them, by several threads; stop may be NULL
 */
FR_NODISCARD fr_status fr_tree_bulk_take(struct fr_tree *tree, size_t count, fr_slot *ret_slots);
void fr_tree_bulk_fill(struct fr_tree *tree, fr_slot slot, uint64_t id, const float *x);
FR_NODISCARD fr_status fr_tree_bulk_end(struct fr_tree *tree, size_t threads,
        const _Atomic(bool) *stop);

/*
 * How a tree comes back (spfresh/tree_restore.c): all postings in the order of their numbers, as
 * they were written down, without what is in them; then the tiers above, by fr_tree_restore_end.
 * Postings are left as they are, however large: that is maintenance's. Nobody else has the tree
 * yet. FR_ERR_CORRUPT: numbers are out of order. FR_ERR_NOMEM, FR_ERR_FULL.
 */
FR_NODISCARD fr_status fr_tree_restore_posting(struct fr_tree *tree, uint32_t number, float scale,
        const int8_t *high, const uint8_t *low);

FR_NODISCARD fr_status fr_tree_restore_end(struct fr_tree *tree);

/*
 * What is in a posting, while others search the tree and load other postings. Nothing else changes
 * it until all are loaded, or found to be lost. scratch: two vectors.
 *
 *     fr_tree_load_rows   slots, in from[].slot, and the posting, which nobody sees yet
 *     fr_tree_load_show   searches scan it from now on
 *     fr_tree_load_undo   in place of that: the slots are given back
 *
 * FR_ERR_NOMEM, FR_ERR_FULL.
 */
FR_NODISCARD fr_status fr_tree_load_rows(struct fr_tree *tree, uint32_t number,
        struct fr_entrant *from, size_t count, float *scratch, struct fr_node **ret_node);
void fr_tree_load_show(struct fr_tree *tree, struct fr_node *node);
void fr_tree_load_undo(struct fr_tree *tree, struct fr_node *node, const struct fr_entrant *from,
        size_t count);

/*
 * Postings that leave again, if rows are in pieces. All of it may be done beside searches, by one
 * at a time for each posting:
 *
 *     fr_tree_evict_hide    no search that begins from now on sees it, but its signs if there is a
 *                           lean node of these
 *     fr_tree_evict_free    when all that had begun have ended: it and its rows are gone
 *
 * fr_tree_begin_rows: rows are in pieces from now on, or not any more. No posting is there.
 * FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_tree_begin_rows(struct fr_tree *tree, bool in_pieces);
struct fr_node *fr_tree_evict_hide(struct fr_tree *tree, uint32_t number, struct fr_node *lean);
void fr_tree_evict_free(struct fr_tree *tree, struct fr_node *node);

/* Memory of a posting of so many rows, about; and of its signs alone. */
size_t fr_tree_posting_bytes(const struct fr_tree *tree, size_t count);
size_t fr_tree_lean_bytes(const struct fr_tree *tree, size_t count);

/*
 * Whether there are postings that no search may scan: none there yet, or one that may lack some of
 * its rows. Setting it to false is what ends loading: postings that are too large line up then.
 */
static inline bool fr_tree_is_partial(const struct fr_tree *tree)
{
    return atomic_load_explicit(&tree->is_partial, memory_order_acquire);
}
void fr_tree_set_partial(struct fr_tree *tree, bool is_partial);

/* Let the row of a slot die. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_tree_remove(struct fr_tree *tree, fr_slot slot);

/* Work off what is to be done, so many tasks at the most. The answer is how many are left. */
FR_NODISCARD fr_status fr_tree_maintain(struct fr_tree *tree, size_t tasks_max, size_t *ret_left);

/*
 * Look after so many postings of vectors that need nothing, going on where the last call ended:
 * rows that lie nearer elsewhere are moved, centroids follow their rows. So quality does not depend
 * on how fast the vectors came. What it leaves to do is for fr_tree_maintain. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_tree_refresh(struct fr_tree *tree, size_t postings);

/*
 * Drop entries that rows have left behind in postings which are not worth a task yet, and list rows
 * a second time that are to be (spfresh/copies.h), of so many postings, going on where the last
 * call ended. Once there are enough of them all postings of all tiers are gone through, and then no
 * more before there are as many again. The answer is how many postings are left to be seen. For
 * when nothing else is to do. FR_ERR_NOMEM.
 */
FR_NODISCARD fr_status fr_tree_tidy(struct fr_tree *tree, size_t postings, size_t *ret_left);

/* Whether that has something to do. */
static inline bool fr_tree_is_untidy(const struct fr_tree *tree)
{
    return atomic_load_explicit(&tree->is_untidy, memory_order_relaxed);
}

/* Give back the slots of what has died, once no search that sees it is left. */
void fr_tree_bury(struct fr_tree *tree);

/* Postings that wait to be looked at. */
size_t fr_tree_pending(struct fr_tree *tree);

/*
 * Less memory, and more again (spfresh/rows_cold.h): part of one chunk of codes leaves for a file,
 * or comes back. The answer is how many bytes that was. The caller is not in the epoch. FR_END:
 * there is nothing that could leave, or come back.
 */
FR_NODISCARD fr_status fr_tree_cool(struct fr_tree *tree, size_t *ret_bytes);
FR_NODISCARD fr_status fr_tree_warm(struct fr_tree *tree, size_t *ret_bytes);

/* The digest (spfresh/row_digest.h) of a row's code; room: for that, if it is cold. */
FR_NODISCARD fr_status fr_tree_code_digest(struct fr_tree *tree, fr_slot slot,
        const struct fr_code_room *room, uint64_t *ret_digest);

/* Whether a row that is in use has this very code; room: for its own, if that is cold. */
struct fr_code {
    const int8_t *high;
    const uint8_t *low;
    float scale;
};
FR_NODISCARD fr_status fr_tree_has_code(struct fr_tree *tree, fr_slot slot,
        const struct fr_code *code, const struct fr_code_room *room, bool *ret_has);

/* Where codes can go: an empty file, the tree's from then on. It has none yet. */
void fr_tree_set_file(struct fr_tree *tree, struct fr_file *file);
bool fr_tree_has_file(struct fr_tree *tree);

/* Vectors of which the low bits are in the file, and of which all is; as far as slots tell. */
void fr_tree_count_cold(struct fr_tree *tree, uint64_t *ret_cool, uint64_t *ret_cold);

/* What there is, and what was done: postings, tiers, splits, merges, refreshes, moved. */
void fr_tree_count(struct fr_tree *tree, struct fr_index_stats *ret_stats);

/* Vectors that are listed twice. */
size_t fr_tree_copied(struct fr_tree *tree);

/* Vectors that are in memory. */
size_t fr_tree_vectors(struct fr_tree *tree);

/* Memory in use. */
size_t fr_tree_bytes(struct fr_tree *tree);

/*
 * Check all that must hold between two changes: each live row is listed once as its own, counts
 * agree, nodes and centroids belong together. FR_ERR_CORRUPT says what is wrong first.
 */
FR_NODISCARD fr_status fr_tree_check(struct fr_tree *tree);

#endif
